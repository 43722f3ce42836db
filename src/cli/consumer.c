/* consumer.c - lov consumer shred. */
#include "cli/cli.h"

/* Erases a consumer, down to the bytes. */
static int run_shred(struct cli *c)
{
    _cleanup_buf struct buf target = {0};
    _cleanup_answer struct cli_answer a = {0};
    buf_cstr(&target, "/v1/consumers/");
    target_add(&target, str_of(c->args[0]));
    buf_cstr(&target, "/erase");
    int code = cli_ask(c, "POST", target.p, (struct str){0}, &a);
    if (code)
        return code;
    bool overwritten = json_is_true(json_object_get(a.json, "overwritten"));
    if (c->json)
        cli_print_json(&a);
    else if (overwritten)
        printf("erased, and overwritten in every file\n");
    else
        printf("erased; a reader of an older state is still at work, and what it sees is "
               "overwritten when it ends\n");
    return CLI_YES;
}

const struct cli_command cmd_consumer_shred = {
    .name = "consumer shred",
    .arguments = "ID",
    .least = 1,
    .most = 1,
    .summary = "erase a consumer so that nothing left can be read or points at them",
    .text =
        "Deletes the one row that says who they are and holds the key to their data, and "
        "overwrites\n"
        "it in the database files. What is sealed under that key can be read nowhere any more, in\n"
        "the ledger, and in every earlier backup of lov.db that meets the current identities. The\n"
        "copy of the identities is refreshed by the next lov backup. There is no way back.",
    .run = run_shred,
};
