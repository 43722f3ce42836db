/* output.c - what commands print: problems on stderr with their exit code, answers on stdout. */
#include <stdarg.h>
#include <string.h>

#include "base/json.h"
#include "cli/cli.h"

/* ---- problems ---- */

static int exit_of_code(int code)
{
    switch (code) {
    case LOV_EINVAL:
        return CLI_USAGE;
    case LOV_EIO:
    case LOV_EUNAVAILABLE:
    case LOV_ECORRUPT:
    case LOV_EVERSION:
        return CLI_UNAVAILABLE;
    default:
        return CLI_NO;
    }
}

/* A request that is not well-formed is the caller's mistake; a refusal is a no. */
static int exit_of_status(int status)
{
    if (status == 400 || status == 413 || status == 414 || status == 415)
        return CLI_USAGE;
    if (status == 408 || status == 429 || status >= 500)
        return CLI_UNAVAILABLE;
    return CLI_NO;
}

static const char *reason_of_code(int code)
{
    switch (code) {
    case LOV_EINVAL:
        return "invalid";
    case LOV_ENOTFOUND:
        return "not_found";
    case LOV_ECONFLICT:
        return "conflict";
    case LOV_EFORBIDDEN:
    case LOV_EAUTH:
        return "forbidden";
    case LOV_ELIMIT:
        return "limit";
    default:
        return "unavailable";
    }
}

static void say(const struct cli *c, const char *reason, const char *text)
{
    if (!c->json) {
        fprintf(stderr, "lov: %s\n", text);
        return;
    }
    _cleanup_buf struct buf out = {0};
    _cleanup_buf struct buf type = {0};
    struct jw w = {.out = &out};
    buf_printf(&type, "urn:lov:problem:%s", reason);
    jw_object_start(&w);
    jw_str_member(&w, "type", buf_view(&type));
    jw_cstr_member(&w, "detail", text);
    jw_cstr_member(&w, "reason", reason);
    jw_object_end(&w);
    fprintf(stderr, "%s\n", out.p);
}

int cli_fail(struct cli *c, const struct err *err)
{
    say(c, *err->reason ? err->reason : reason_of_code(err->code), err->text);
    return exit_of_code(err->code);
}

int cli_usage(struct cli *c, const char *format, ...)
{
    char text[400];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    say(c, "usage", text);
    return CLI_USAGE;
}

const char *json_cstr(const json_t *object, const char *member)
{
    const char *text = json_string_value(json_object_get(object, member));
    return text ? text : "";
}

const char *problem_detail(const json_t *problem)
{
    const char *detail = json_cstr(problem, "detail");
    if (!*detail)
        detail = json_cstr(problem, "title");
    return *detail ? detail : "the server answered with an error and no reason";
}

int cli_problem(struct cli *c, const struct cli_answer *a)
{
    if (!a->json)
        fprintf(stderr, "lov: the server answered with status %d and no JSON\n", a->status);
    else if (c->json)
        fprintf(stderr, "%.*s\n", (int)a->body.n, a->body.p);
    else
        fprintf(stderr, "lov: %s\n", problem_detail(a->json));
    return exit_of_status(a->status);
}

/* ---- answers ---- */

void cli_print_json(const struct cli_answer *a)
{
    fwrite(a->body.p, 1, a->body.n, stdout);
    putchar('\n');
}

int cli_link(struct cli *c, const char *target, struct str body)
{
    _cleanup_answer struct cli_answer a = {0};
    int code = cli_ask(c, "POST", target, body, &a);
    if (code)
        return code;
    const char *url = json_cstr(a.json, "url");
    return cli_say(c, &a, "%s\n", *url ? url : json_cstr(a.json, "path"));
}

int cli_say(const struct cli *c, const struct cli_answer *a, const char *format, ...)
{
    va_list args;
    if (c->json) {
        cli_print_json(a);
        return CLI_YES;
    }
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    return CLI_YES;
}

void cli_print_item(struct cli *c, const json_t *item)
{
    (void)c;
    char *text = json_dumps(item, JSON_COMPACT);
    if (text)
        puts(text);
    free(text);
}

void target_add(struct buf *target, struct str text)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < text.n; i++) {
        unsigned char b = (unsigned char)text.p[i];
        bool plain = (b >= 'a' && b <= 'z') || (b >= 'A' && b <= 'Z') || (b >= '0' && b <= '9') ||
                     b == '-' || b == '_' || b == '~' || (b == '.' && text.n > 2);
        if (plain) {
            buf_char(target, (char)b);
        } else {
            buf_char(target, '%');
            buf_char(target, digits[b >> 4]);
            buf_char(target, digits[b & 15]);
        }
    }
}

void names_to_json(struct str list, struct buf *out)
{
    struct jw w = {.out = out};
    jw_array_start(&w);
    while (list.n)
        jw_str(&w, str_trim(str_cut(&list, ',')));
    jw_array_end(&w);
}

static void print_names(const json_t *names)
{
    size_t i;
    json_t *name;
    json_array_foreach(names, i, name)
        printf("%s%s", i ? "," : "", json_string_value(name) ? json_string_value(name) : "");
}

/* One line a consent, so that lists can be cut up by other programs. */
void consent_print(struct cli *c, const json_t *consent)
{
    (void)c;
    const json_t *notice = json_object_get(consent, "notice");
    const char *ends = json_cstr(consent, "expires_at");
    printf("%s  %-10s  %s  %s by %s: ", json_cstr(consent, "id"), json_cstr(consent, "status"),
           json_cstr(consent, "consumer"), json_cstr(consent, "purpose"),
           json_cstr(consent, "recipient"));
    print_names(json_object_get(consent, "categories"));
    printf("  %s", json_cstr(consent, "given_at"));
    if (*ends)
        printf(" to %s", ends);
    printf("  notice %s@%lld %s, %s\n", json_cstr(notice, "id"),
           (long long)json_integer_value(json_object_get(notice, "version")),
           json_cstr(notice, "language"), json_cstr(consent, "channel"));
}
