/* issue.c - lov issue: questions about records that look wrong. */
#include <stdlib.h>

#include "cli/cli.h"

static void print_issue(struct cli *c, const json_t *item)
{
    (void)c;
    const json_t *proposal = json_object_get(item, "proposal");
    printf("%s  %s  %s  %s", json_cstr(item, "id"), json_cstr(item, "consumer"),
           json_cstr(item, "category"), json_cstr(item, "finding"));
    if (json_is_string(json_object_get(item, "field")))
        printf(" %s", json_cstr(item, "field"));
    if (json_is_string(json_object_get(item, "rule")))
        printf(" (%s)", json_cstr(item, "rule"));
    char *text = proposal ? json_dumps(proposal, JSON_COMPACT) : NULL;
    printf("%s%s\n", text ? "  proposed: " : "", text ? text : "");
    free(text);
}

/* Prints the issues that are open. */
static int run_list(struct cli *c)
{
    struct err err = {0};
    _cleanup_buf struct buf target = {0};
    int64_t limit = 0;
    if (cli_number(c, "limit", 1, INT64_MAX, &limit, &err))
        return cli_fail(c, &err);
    if (cli_value(c, "consumer")) {
        buf_cstr(&target, "/v1/consumers/");
        target_add(&target, cli_text(c, "consumer"));
        buf_cstr(&target, "/issues");
    } else {
        buf_cstr(&target, "/v1/issues");
    }
    if (cli_value(c, "category")) {
        buf_cstr(&target, "?category=");
        target_add(&target, cli_text(c, "category"));
    }
    return cli_list(c, target.p, NULL, limit, print_issue);
}

static const struct cli_option list_options[] = {
    {"consumer", "ID", "of one consumer", NULL, false},
    {"category", "NAME", "of one category", NULL, false},
    {"limit", "N", "at most N issues", NULL, false},
};
const struct cli_command cmd_issue_list = {
    .name = "issue list",
    .arguments = "",
    .summary = "list records that look wrong",
    .text = "One line an issue that nobody has settled, oldest first: its id, the consumer, the\n"
            "category, what was found, and what the record may have been meant to be.",
    CLI_OPTIONS(list_options),
    .run = run_list,
};

/* Settles one. */
static int run_settle(struct cli *c)
{
    struct err err = {0};
    _cleanup_buf struct buf target = {0};
    _cleanup_answer struct cli_answer a = {0};
    bool accept = cli_value(c, "accept"), confirm = cli_value(c, "confirm");
    if (accept == confirm) {
        err_set(&err, LOV_EINVAL,
                "say --accept (what is proposed) or --confirm (the record is "
                "right as it is)");
        return cli_fail(c, &err);
    }
    buf_cstr(&target, "/v1/issues/");
    target_add(&target, str_of(c->args[0]));
    buf_cstr(&target, "/settle");
    struct str body = accept ? STR("{\"answer\":\"accept\"}") : STR("{\"answer\":\"confirm\"}");
    int code = cli_ask(c, "POST", target.p, body, &a);
    if (code)
        return code;
    return cli_say(c, &a, "%s\n", json_cstr(a.json, "settled"));
}

static const struct cli_option settle_options[] = {
    {"accept", NULL, "put what is proposed in the place of the record", NULL, false},
    {"confirm", NULL, "the record is right as it is", NULL, false},
};
const struct cli_command cmd_issue_settle = {
    .name = "issue settle",
    .arguments = "ISSUE",
    .least = 1,
    .most = 1,
    .summary = "answer a question about a record",
    .text =
        "The record is corrected, or dropped, as proposed, or it stands as it is. To correct it\n"
        "in another way, correct the record itself: that settles its issues too.",
    CLI_OPTIONS(settle_options),
    .run = run_settle,
};
