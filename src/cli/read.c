/* read.c - lov read. */
#include "cli/cli.h"

/* Reads records for a purpose, as any recipient does. */
static int run_read(struct cli *c)
{
    struct err err = {0};
    _cleanup_buf struct buf target = {0};
    int64_t limit = 0;
    if (cli_number(c, "limit", 1, INT64_MAX, &limit, &err))
        return cli_fail(c, &err);
    buf_cstr(&target, "/v1/consumers/");
    target_add(&target, str_of(c->args[0]));
    buf_cstr(&target, "/records/");
    target_add(&target, str_of(c->args[1]));
    buf_cstr(&target, "?purpose=");
    target_add(&target, cli_text(c, "purpose"));
    buf_cstr(&target, "&recipient=");
    target_add(&target, cli_text(c, "recipient"));
    return cli_list(c, target.p, NULL, limit, cli_print_item);
}

static const struct cli_option read_options[] = {
    {"purpose", "NAME", "what the data is read for", NULL, true},
    {"recipient", "NAME", "for whom it is read", NULL, true},
    {"limit", "N", "at most N records", NULL, false},
};
const struct cli_command cmd_read = {
    .name = "read",
    .arguments = "CONSUMER CATEGORY",
    .least = 2,
    .most = 2,
    .summary = "read a consumer's records for a purpose",
    .text =
        "One record a line, as JSON, cut down to what the activity may see. The access is decided\n"
        "and in the ledger, durable, before anything is printed; one that is not permitted is\n"
        "recorded too.",
    CLI_OPTIONS(read_options),
    .run = run_read,
};
