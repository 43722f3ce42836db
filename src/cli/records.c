/* records.c - lov records list, change, delete: what is known about many records. */
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "cli/cli.h"

static const char *const filters[] = {"consumer", "category", "source", "purpose"};

static bool is_filtered(const struct cli *c)
{
    for (size_t i = 0; i < sizeof filters / sizeof *filters; i++)
        if (cli_value(c, filters[i]))
            return true;
    return false;
}

/* ---- list ---- */

static int run_list(struct cli *c)
{
    struct err err = {0};
    _cleanup_buf struct buf target = {0};
    int64_t limit = 0;
    if (cli_number(c, "limit", 1, INT64_MAX, &limit, &err))
        return cli_fail(c, &err);
    buf_cstr(&target, "/v1/records");
    const char *sign = "?";
    for (size_t i = 0; i < sizeof filters / sizeof *filters; i++) {
        if (!cli_value(c, filters[i]))
            continue;
        buf_printf(&target, "%s%s=", sign, filters[i]);
        target_add(&target, cli_text(c, filters[i]));
        sign = "&";
    }
    return cli_list(c, target.p, NULL, limit, cli_print_item);
}

#define FILTERS                                                                                    \
    {"consumer", "ID", "of that consumer", NULL, false},                                           \
        {"category", "NAME", "of that category", NULL, false},                                     \
        {"source", "NAME", "from that source", NULL, false},                                       \
    {                                                                                              \
        "purpose", "NAME", "whose limits name that purpose", NULL, false                           \
    }

static const struct cli_option list_options[] = {
    FILTERS,
    {"limit", "N", "at most N records", NULL, false},
};
const struct cli_command cmd_records_list = {
    .name = "records list",
    .arguments = "",
    .summary = "list what is known about records, without what is in them",
    .text = "One record a line, as JSON. The ledger says who looked, and by which filter.",
    CLI_OPTIONS(list_options),
    .run = run_list,
};

/* ---- change and delete ---- */

static void add_names(struct cli *c, struct jw *w, const char *option, const char *member)
{
    if (!cli_value(c, option))
        return;
    struct str list = cli_text(c, option);
    jw_list_member(w, member, str_is(list, "none") ? (struct str){0} : list);
}

static void add_set(struct cli *c, struct jw *w)
{
    const char *end = cli_value(c, "set-retention-end");
    jw_object_member(w, "set");
    if (cli_value(c, "set-source"))
        jw_str_member(w, "source", cli_text(c, "set-source"));
    if (end && strcmp(end, "none") == 0)
        jw_time_member(w, "retention_end", TIME_NONE);
    else if (end)
        jw_cstr_member(w, "retention_end", end);
    if (cli_value(c, "set-purposes") || cli_value(c, "set-objections") ||
        cli_value(c, "set-recipients")) {
        jw_object_member(w, "limits");
        add_names(c, w, "set-purposes", "purposes");
        add_names(c, w, "set-objections", "objections");
        add_names(c, w, "set-recipients", "recipients");
        jw_object_end(w);
    }
    jw_object_end(w);
}

static void make_body(struct cli *c, bool change, const char *after, struct buf *out)
{
    struct jw w = {.out = out};
    jw_object_start(&w);
    jw_object_member(&w, "where");
    for (size_t i = 0; i < sizeof filters / sizeof *filters; i++)
        if (cli_value(c, filters[i]))
            jw_str_member(&w, filters[i], cli_text(c, filters[i]));
    jw_object_end(&w);
    if (change)
        add_set(c, &w);
    if (*after)
        jw_cstr_member(&w, "after", after);
    jw_object_end(&w);
}

struct counts {
    long long matched, done, held;
};

static void print_counts(const struct cli *c, bool change, const struct counts *n)
{
    const char *what = change ? "changed" : "deleted";
    if (c->json && change)
        printf("{\"matched\":%lld,\"changed\":%lld}\n", n->matched, n->done);
    else if (c->json)
        printf("{\"matched\":%lld,\"deleted\":%lld,\"on_hold\":%lld}\n", n->matched, n->done,
               n->held);
    else
        printf("%lld found, %lld %s", n->matched, n->done, what);
    if (!c->json && n->held)
        printf(", %lld kept by legal holds", n->held);
    if (!c->json)
        putchar('\n');
}

/* Goes on until all are done. */
static int run_bulk(struct cli *c)
{
    bool change = strcmp(c->command->name, "records change") == 0;
    _cleanup_arena struct arena arena = {0};
    const char *after = "";
    struct counts n = {0};
    struct err err = {0};
    if (!is_filtered(c)) {
        err_reason(&err, LOV_EINVAL, "missing_field",
                   "name a --consumer, --category, --source or --purpose");
        return cli_fail(c, &err);
    }
    do {
        _cleanup_buf struct buf body = {0};
        _cleanup_answer struct cli_answer a = {0};
        make_body(c, change, after, &body);
        int code = cli_ask(c, "POST", change ? "/v1/records/change" : "/v1/records/delete",
                           buf_view(&body), &a);
        if (code)
            return code;
        n.matched += json_integer_value(json_object_get(a.json, "matched"));
        n.done += json_integer_value(json_object_get(a.json, change ? "changed" : "deleted"));
        n.held += json_integer_value(json_object_get(a.json, "on_hold"));
        after = arena_cstr(&arena, str_of(json_cstr(a.json, "next")));
    } while (*after);
    print_counts(c, change, &n);
    return CLI_YES;
}

static const struct cli_option change_options[] = {
    FILTERS,
    {"set-source", "NAME", "where they are from", NULL, false},
    {"set-retention-end", "TIME", "an end of their own, or none", NULL, false},
    {"set-purposes", "NAME,...", "what they may be used for alone; none: no limit", NULL, false},
    {"set-objections", "NAME,...", "what they are not used for; none: nothing", NULL, false},
    {"set-recipients", "NAME,...", "who alone may use them; none: no limit", NULL, false},
};
const struct cli_command cmd_records_change = {
    .name = "records change",
    .arguments = "",
    .summary = "change source, end or limits of many records",
    .text =
        "Of all that the filter finds, of which at least one part is needed. Each consumer's\n"
        "history says what was set. What is so already is not written; when it is interrupted,\n"
        "the same command does what is left.",
    CLI_OPTIONS(change_options),
    .run = run_bulk,
};

static const struct cli_option delete_options[] = {FILTERS};
const struct cli_command cmd_records_delete = {
    .name = "records delete",
    .arguments = "",
    .summary = "delete many records",
    .text = "All that the filter finds, of which at least one part is needed, but those that a\n"
            "legal hold keeps. Each consumer's history says so.",
    CLI_OPTIONS(delete_options),
    .run = run_bulk,
};
