/* consent.c - lov consent give|refuse|withdraw|renew|amend|list: each builds the JSON of one call.
 */
#include <string.h>

#include "base/json.h"
#include "cli/cli.h"

#define CHANNELS "web app phone paper cmp oauth import"

/* ---- options into JSON ---- */

/* "personal_offers@1" and the language; the version in force is looked up when none is said. */
static int notice_version(struct cli *c, struct str id, int64_t *version)
{
    _cleanup_buf struct buf target = {0};
    _cleanup_answer struct cli_answer a = {0};
    buf_cstr(&target, "/v1/notices/");
    target_add(&target, id);
    if (cli_value(c, "language")) {
        buf_cstr(&target, "?language=");
        target_add(&target, cli_text(c, "language"));
    }
    int code = cli_ask(c, "GET", target.p, (struct str){0}, &a);
    if (code == CLI_YES)
        *version = json_integer_value(json_object_get(a.json, "version"));
    return code;
}

static int add_notice(struct cli *c, struct jw *w)
{
    int64_t version = 0;
    struct str rest = cli_text(c, "notice");
    struct str language = cli_text(c, "language");
    if (!rest.n && !language.n)
        return CLI_YES;
    if (!rest.n || !language.n)
        return cli_usage(c, "--notice and --language belong together: say which text was shown");
    struct str id = str_cut(&rest, '@');
    if (rest.n && !str_to_int(rest, 1, INT32_MAX, &version))
        return cli_usage(c, "--notice is ID or ID@VERSION, such as personal_offers@1");
    int code = rest.n ? CLI_YES : notice_version(c, id, &version);
    if (code)
        return code;
    jw_object_member(w, "notice");
    jw_str_member(w, "id", id);
    jw_int_member(w, "version", version);
    jw_str_member(w, "language", language);
    jw_object_end(w);
    return CLI_YES;
}

/* Text, or a JSON object. */
static int add_json(struct cli *c, struct jw *w, const char *option)
{
    struct err err = {0};
    _cleanup_json json_t *json = NULL;
    struct str text = cli_text(c, option);
    if (!text.n)
        return CLI_YES;
    jw_key(w, option);
    if (text.p[0] != '{') {
        jw_str(w, text);
        return CLI_YES;
    }
    if (json_read(text, &json, &err))
        return cli_usage(c, "--%s is not valid JSON: %s", option, err.text);
    jw_raw(w, text);
    return CLI_YES;
}

static void add_text(struct cli *c, struct jw *w, const char *option, const char *member)
{
    struct str text = cli_text(c, option);
    if (text.n)
        jw_str_member(w, member, text);
}

static void add_categories(struct cli *c, struct jw *w)
{
    _cleanup_buf struct buf names = {0};
    struct str list = cli_text(c, "categories");
    if (!list.n)
        return;
    names_to_json(list, &names);
    jw_key(w, "categories");
    jw_raw(w, buf_view(&names));
}

/* The members that giving, renewing and amending have in common. */
static int add_common(struct cli *c, struct jw *w)
{
    add_text(c, w, "channel", "channel");
    add_text(c, w, "expires-at", "expires_at");
    int code = add_json(c, w, "evidence");
    if (code == CLI_YES)
        code = add_json(c, w, "guardian");
    return code ? code : add_notice(c, w);
}

/* ---- calls ---- */

static int send(struct cli *c, const char *target, const struct buf *body)
{
    struct err err = {0};
    _cleanup_answer struct cli_answer a = {0};
    struct cli_request request = {
        .method = "POST",
        .target = target,
        .body = buf_view(body),
        .idempotency_key = cli_value(c, "idempotency-key"),
    };
    int rc = cli_open(c, &err);
    if (rc == 0)
        rc = cli_call(c, &request, &a, &err);
    if (rc)
        return cli_fail(c, &err);
    if (a.status < 200 || a.status > 299)
        return cli_problem(c, &a);
    if (c->json)
        cli_print_json(&a);
    else
        consent_print(c, a.json);
    return CLI_YES;
}

static int answer(struct cli *c, const char *decision)
{
    _cleanup_buf struct buf body = {0};
    struct jw w = {.out = &body};
    jw_object_start(&w);
    add_text(c, &w, "consumer", "consumer");
    add_text(c, &w, "purpose", "purpose");
    add_text(c, &w, "recipient", "recipient");
    add_categories(c, &w);
    jw_cstr_member(&w, "decision", decision);
    add_text(c, &w, "given-at", "given_at");
    if (!cli_value(c, "channel"))
        jw_cstr_member(&w, "channel", "web");
    int code = add_common(c, &w);
    jw_object_end(&w);
    return code ? code : send(c, "/v1/consents", &body);
}

/* Sends what `body` holds to one consent. */
static int change(struct cli *c, const char *verb, const struct buf *body)
{
    _cleanup_buf struct buf target = {0};
    buf_cstr(&target, "/v1/consents/");
    target_add(&target, str_of(c->args[0]));
    buf_printf(&target, "/%s", verb);
    return send(c, target.p, body);
}

/* ---- give and refuse ---- */

/* Records a yes. */
static int run_give(struct cli *c)
{
    return answer(c, "give");
}

/* Records a no, which is a fact too. */
static int run_refuse(struct cli *c)
{
    return answer(c, "refuse");
}

#define SHOWN_OPTIONS(needed)                                                                      \
    {"notice", "ID[@VERSION]",                                                                     \
     "the notice that was shown; the version in force when none is said", NULL, needed},           \
        {"language", "CODE", "its language, such as sv", NULL, needed},                            \
        {"evidence", "TEXT", "what proves the answer: text, or a JSON object", NULL, false},       \
        {"guardian", "TEXT", "who answered for a child: text, or a JSON object", NULL, false},     \
        {"expires-at", "TIME", "when it ends (RFC 3339); otherwise as long as policy allows",      \
         NULL, false},                                                                             \
    {                                                                                              \
        "idempotency-key", "KEY", "repeating the command with this key does nothing more", NULL,   \
            false                                                                                  \
    }

static const struct cli_option answer_options[] = {
    {"consumer", "ID", "who answers", NULL, true},
    {"purpose", "ID", "what for", NULL, true},
    {"recipient", "ID", "who may use the data", NULL, true},
    {"categories", "ID,...", "which kinds of data", NULL, true},
    SHOWN_OPTIONS(true),
    {"channel", "CHANNEL", "where; web when not given", CHANNELS, false},
    {"given-at", "TIME", "when (RFC 3339): in the past with channel import or paper", NULL, false},
};
const struct cli_command cmd_consent_give = {
    .name = "consent give",
    .arguments = "",
    .summary = "record a consumer's yes",
    .text = "Records that the consumer saw a notice and said yes, and prints the consent.\n"
            "\n"
            "  lov consent give --consumer 00001 --purpose personal_offers \\\n"
            "      --recipient marketing --categories purchases,contact \\\n"
            "      --notice personal_offers@1 --language sv --channel phone",
    CLI_OPTIONS(answer_options),
    .run = run_give,
};
const struct cli_command cmd_consent_refuse = {
    .name = "consent refuse",
    .arguments = "",
    .summary = "record a consumer's no",
    .text =
        "Records that the consumer saw a notice and said no. Where the legal basis is opt_out or\n"
        "legitimate_interest, this is how a consumer opts out or objects.",
    CLI_OPTIONS(answer_options),
    .run = run_refuse,
};

/* ---- withdraw, renew, amend ---- */

/* Takes a yes back: in force before the command ends. */
static int run_withdraw(struct cli *c)
{
    _cleanup_buf struct buf body = {0};
    struct jw w = {.out = &body};
    jw_object_start(&w);
    add_text(c, &w, "channel", "channel");
    add_text(c, &w, "reason", "reason");
    jw_object_end(&w);
    return change(c, "withdraw", &body);
}

static const struct cli_option withdraw_options[] = {
    {"channel", "CHANNEL", "where the consumer said so", CHANNELS, false},
    {"reason", "TEXT", "why, in the consumer's words", NULL, false},
    {"idempotency-key", "KEY", "repeating the command with this key does nothing more", NULL,
     false},
};
const struct cli_command cmd_consent_withdraw = {
    .name = "consent withdraw",
    .arguments = "CONSENT",
    .least = 1,
    .most = 1,
    .summary = "take a consent back",
    .text = "From the moment that the command ends, no decision permits anything because of it.",
    CLI_OPTIONS(withdraw_options),
    .run = run_withdraw,
};

/* Makes a consent run anew. */
static int run_renew(struct cli *c)
{
    _cleanup_buf struct buf body = {0};
    struct jw w = {.out = &body};
    jw_object_start(&w);
    int code = add_common(c, &w);
    jw_object_end(&w);
    return code ? code : change(c, "renew", &body);
}

static const struct cli_option renew_options[] = {
    SHOWN_OPTIONS(true),
    {"channel", "CHANNEL", "where; as it was when not given", CHANNELS, false},
};
const struct cli_command cmd_consent_renew = {
    .name = "consent renew",
    .arguments = "CONSENT",
    .least = 1,
    .most = 1,
    .summary = "let a consent run anew, under the notice in force",
    .text = "The consumer saw the notice that is in force and said yes again.",
    CLI_OPTIONS(renew_options),
    .run = run_renew,
};

/* Changes which categories a consent is for. */
static int run_amend(struct cli *c)
{
    _cleanup_buf struct buf body = {0};
    struct jw w = {.out = &body};
    jw_object_start(&w);
    add_categories(c, &w);
    int code = add_common(c, &w);
    jw_object_end(&w);
    return code ? code : change(c, "amend", &body);
}

static const struct cli_option amend_options[] = {
    {"categories", "ID,...", "what it is for from now on", NULL, true},
    SHOWN_OPTIONS(false),
    {"channel", "CHANNEL", "where; as it was when not given", CHANNELS, false},
};
const struct cli_command cmd_consent_amend = {
    .name = "consent amend",
    .arguments = "CONSENT",
    .least = 1,
    .most = 1,
    .summary = "narrow a consent, or widen it with a notice",
    .text =
        "Naming fewer categories narrows the consent. Naming more widens it, and then the notice\n"
        "that was shown must be said.",
    CLI_OPTIONS(amend_options),
    .run = run_amend,
};

/* ---- list ---- */

/* Lists what one consumer has answered. */
static int run_list(struct cli *c)
{
    _cleanup_buf struct buf target = {0};
    buf_cstr(&target, "/v1/consumers/");
    target_add(&target, cli_text(c, "consumer"));
    buf_cstr(&target, "/consents");
    return cli_list(c, target.p, NULL, 0, consent_print);
}

static const struct cli_option list_options[] = {
    {"consumer", "ID", "whose", NULL, true},
};
const struct cli_command cmd_consent_list = {
    .name = "consent list",
    .arguments = "",
    .summary = "list a consumer's consents",
    .text = "One line a consent, oldest first: id, status, consumer, purpose and recipient, "
            "categories,\n"
            "when it was given and ends, the notice, and the channel.",
    CLI_OPTIONS(list_options),
    .run = run_list,
};
