/* check.c - lov check. */
#include "base/json.h"
#include "cli/cli.h"

static void entity(struct jw *w, const char *member, struct str type, struct str id)
{
    jw_key(w, member);
    jw_object_start(w);
    jw_str_member(w, "type", type);
    jw_str_member(w, "id", id);
    jw_object_end(w);
}

/* The question in the words of OpenID AuthZEN. */
static void write_question(const struct cli *c, struct buf *out)
{
    struct jw w = {.out = out};
    jw_object_start(&w);
    entity(&w, "subject", STR("recipient"), cli_text(c, "recipient"));
    jw_object_member(&w, "action");
    jw_str_member(&w, "name", cli_text(c, "purpose"));
    jw_object_end(&w);
    entity(&w, "resource", cli_text(c, "category"), cli_text(c, "consumer"));
    if (cli_value(c, "record")) {
        jw_object_member(&w, "context");
        jw_bool_member(&w, "record", true);
        jw_object_end(&w);
    }
    jw_object_end(&w);
}

/* Asks for a decision, and answers by the exit code too. */
static int run_check(struct cli *c)
{
    _cleanup_buf struct buf body = {0};
    _cleanup_answer struct cli_answer a = {0};
    write_question(c, &body);
    int code = cli_ask(c, "POST", "/access/v1/evaluation", buf_view(&body), &a);
    if (code)
        return code;
    bool permit = json_is_true(json_object_get(a.json, "decision"));
    const json_t *context = json_object_get(a.json, "context");
    if (c->json)
        cli_print_json(&a);
    else
        printf("%s %s: %s\n", permit ? "permit" : "deny", json_cstr(context, "reason"),
               json_cstr(context, "reason_text"));
    return permit ? CLI_YES : CLI_NO;
}

static const struct cli_option options[] = {
    {"recipient", "ID", "who wants to use the data", NULL, true},
    {"purpose", "ID", "what for", NULL, true},
    {"category", "ID", "which kind of data", NULL, true},
    {"consumer", "ID", "whose", NULL, true},
    {"record", NULL, "the data is used now: record the access before the answer", NULL, false},
};
const struct cli_command cmd_check = {
    .name = "check",
    .arguments = "",
    .summary = "ask whether data may be used",
    .text = "Prints permit or deny, the reason's word and the reason in a sentence. The exit code "
            "is 0\n"
            "for permit and 1 for deny.\n"
            "\n"
            "  lov check --recipient marketing --purpose personal_offers \\\n"
            "      --category purchases --consumer 00001",
    CLI_OPTIONS(options),
    .run = run_check,
};
