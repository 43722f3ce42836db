/* reads.c - lov reads: what members of staff propose to read of many, for a second one to decide,
 * and the read itself. */
#include "base/json.h"
#include "cli/cli.h"

static void print_read(struct cli *c, const json_t *r)
{
    const json_t *people = json_object_get(r, "people");
    (void)c;
    printf("%s  %-8s  %s of %s for %s, %s  by %s\n    %s\n    hash %s", json_cstr(r, "id"),
           json_cstr(r, "state"), json_cstr(r, "category"), json_cstr(r, "purpose"),
           json_cstr(r, "recipient"), json_cstr(r, "format"), json_cstr(r, "proposed_by"),
           json_cstr(r, "why"), json_cstr(r, "hash"));
    if (json_is_integer(people))
        printf("  of %lld consumers", (long long)json_integer_value(people));
    putchar('\n');
}

static int run_list(struct cli *c)
{
    struct err err = {0};
    int64_t limit = 0;
    if (cli_number(c, "limit", 1, INT64_MAX, &limit, &err))
        return cli_fail(c, &err);
    return cli_list(c, "/v1/reads", NULL, limit, print_read);
}

static const struct cli_option list_options[] = {
    {"limit", "N", "at most N proposals", NULL, false},
};
const struct cli_command cmd_reads_list = {
    .name = "reads list",
    .arguments = "",
    .summary = "list reads of many that staff proposed",
    .text = "Newest first: id, state, what is asked for and by whom; then why, the hash that\n"
            "approving takes, and of how many consumers it was permitted when it was proposed.",
    CLI_OPTIONS(list_options),
    .run = run_list,
};

static int run_propose(struct cli *c)
{
    static const char *const members[] = {"recipient", "purpose", "why", "format"};
    _cleanup_buf struct buf body = {0};
    _cleanup_answer struct cli_answer a = {0};
    struct jw w = {.out = &body};
    jw_object_start(&w);
    jw_cstr_member(&w, "category", c->args[0]);
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        if (cli_value(c, members[i]))
            jw_str_member(&w, members[i], cli_text(c, members[i]));
    jw_object_end(&w);
    int code = cli_ask(c, "POST", "/v1/reads", buf_view(&body), &a);
    if (code)
        return code;
    if (c->json)
        cli_print_json(&a);
    else
        print_read(c, a.json);
    return CLI_YES;
}

static const struct cli_option propose_options[] = {
    {"recipient", "NAME", "for whom it is read", NULL, true},
    {"purpose", "NAME", "what the data is read for", NULL, true},
    {"why", "TEXT", "the reason, for whoever approves it; it names no consumer", NULL, true},
    {"format", "FORMAT", "records as jsonl or csv, or ids alone", "jsonl csv ids", false},
};
const struct cli_command cmd_reads_propose = {
    .name = "reads propose",
    .arguments = "CATEGORY",
    .least = 1,
    .most = 1,
    .summary = "propose a read of everybody for whom a purpose is permitted",
    .text =
        "Somebody else approves it, on the command line or in the console. Then \"lov reads get\"\n"
        "reads, once, within 7 days of proposing.",
    CLI_OPTIONS(propose_options),
    .run = run_propose,
};

static int decide(struct cli *c, const char *step, struct str body)
{
    _cleanup_buf struct buf target = {0};
    _cleanup_answer struct cli_answer a = {0};
    buf_cstr(&target, "/v1/reads/");
    target_add(&target, str_of(c->args[0]));
    buf_printf(&target, "/%s", step);
    int code = cli_ask(c, "POST", target.p, body, &a);
    if (code)
        return code;
    return cli_say(c, &a, "%s\n", json_cstr(a.json, "state"));
}

static int run_approve(struct cli *c)
{
    _cleanup_buf struct buf body = {0};
    struct jw w = {.out = &body};
    jw_object_start(&w);
    jw_str_member(&w, "hash", cli_text(c, "hash"));
    jw_object_end(&w);
    return decide(c, "approve", buf_view(&body));
}

static const struct cli_option approve_options[] = {
    {"hash", "HASH", "of the proposal as you looked at it", NULL, true},
};
const struct cli_command cmd_reads_approve = {
    .name = "reads approve",
    .arguments = "READ",
    .least = 1,
    .most = 1,
    .summary = "let who proposed a read of many make it, once",
    .text =
        "Somebody else than who proposed it approves, while it is open: 7 days. Once two members "
        "of\n"
        "staff have power over the rules, one of them does, at the console.",
    CLI_OPTIONS(approve_options),
    .run = run_approve,
};

static int run_reject(struct cli *c)
{
    return decide(c, "reject", STR("{}"));
}

const struct cli_command cmd_reads_reject = {
    .name = "reads reject",
    .arguments = "READ",
    .least = 1,
    .most = 1,
    .summary = "reject a proposed read of many, or take back one's own",
    .text = "Nothing is read of it any more.",
    .run = run_reject,
};

/* ---- reading ---- */

static int run_get(struct cli *c)
{
    struct err err = {0};
    _cleanup_buf struct buf target = {0};
    _cleanup_answer struct cli_answer a = {0};
    buf_cstr(&target, "/v1/reads/");
    target_add(&target, str_of(c->args[0]));
    buf_cstr(&target, "/result");
    struct cli_request request = {.method = "GET", .target = target.p, .out = stdout};
    if (cli_open(c, &err) || cli_call(c, &request, &a, &err))
        return cli_fail(c, &err);
    return a.status == 200 ? CLI_YES : cli_problem(c, &a);
}

const struct cli_command cmd_reads_get = {
    .name = "reads get",
    .arguments = "READ",
    .least = 1,
    .most = 1,
    .summary = "make the read that one proposed and somebody else approved",
    .text =
        "Prints it as it comes, in the form that was approved. The approval is spent before the\n"
        "first line; one that fails later has to be proposed again.",
    .run = run_get,
};
