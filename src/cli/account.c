/* account.c - lov account invite|allow|disallow: who comes into the portal. */
#include "base/json.h"
#include "cli/cli.h"

static void target_of(struct buf *target, const char *consumer, const char *rest)
{
    buf_cstr(target, "/v1/consumers/");
    target_add(target, str_of(consumer));
    buf_cstr(target, rest);
}

/* Makes a link with which a consumer makes their account, once. */
static int run_invite(struct cli *c)
{
    struct err err = {0};
    _cleanup_buf struct buf target = {0}, body = {0};
    int64_t hours = 72;
    if (cli_number(c, "hours", 1, 720, &hours, &err))
        return cli_fail(c, &err);
    target_of(&target, c->args[0], "/invitations");
    struct jw w = {.out = &body};
    jw_object_start(&w);
    jw_int_member(&w, "hours", hours);
    jw_object_end(&w);
    return cli_link(c, target.p, buf_view(&body));
}

static const struct cli_option invite_options[] = {
    {"hours", "N", "how long the link is good; 72 when not given", NULL, false},
};
const struct cli_command cmd_account_invite = {
    .name = "account invite",
    .arguments = "CONSUMER",
    .least = 1,
    .most = 1,
    .summary = "make a link with which a consumer makes their account",
    .text =
        "Prints the link, to be sent to the consumer by a channel that reaches nobody else: who\n"
        "opens it chooses the name and password of the consumer's portal. It works once. A link\n"
        "for somebody who has an account gives it a new name and password, and ends its sessions.\n"
        "Where no server runs, the path is printed without the server's address.",
    CLI_OPTIONS(invite_options),
    .run = run_invite,
};

/* Lets one consumer act for another in the portal. */
static int run_allow(struct cli *c)
{
    _cleanup_buf struct buf target = {0}, body = {0};
    _cleanup_answer struct cli_answer a = {0};
    target_of(&target, c->args[1], "/delegates");
    struct jw w = {.out = &body};
    jw_object_start(&w);
    jw_cstr_member(&w, "person", c->args[0]);
    jw_cstr_member(&w, "kind", cli_value(c, "as"));
    jw_object_end(&w);
    int code = cli_ask(c, "POST", target.p, buf_view(&body), &a);
    if (code)
        return code;
    return cli_say(c, &a, "%s may act for %s\n", c->args[0], c->args[1]);
}

static const struct cli_option allow_options[] = {
    {"as", "KIND", "a guardian answers for a minor, a delegate for an adult who asked for it",
     "guardian delegate", true},
};
const struct cli_command cmd_account_allow = {
    .name = "account allow",
    .arguments = "PERSON CONSUMER",
    .least = 2,
    .most = 2,
    .summary = "let a person act for a consumer in the portal",
    .text = "Both are consumers of the company. The consumer sees in their activity that it was "
            "allowed,\n"
            "and every answer that the person gives for them says so.",
    CLI_OPTIONS(allow_options),
    .run = run_allow,
};

/* Takes it back. */
static int run_disallow(struct cli *c)
{
    _cleanup_buf struct buf target = {0};
    _cleanup_answer struct cli_answer a = {0};
    target_of(&target, c->args[1], "/delegates/");
    target_add(&target, str_of(c->args[0]));
    int code = cli_ask(c, "DELETE", target.p, (struct str){0}, &a);
    if (code)
        return code;
    return cli_say(c, &a, "%s may no longer act for %s\n", c->args[0], c->args[1]);
}

const struct cli_command cmd_account_disallow = {
    .name = "account disallow",
    .arguments = "PERSON CONSUMER",
    .least = 2,
    .most = 2,
    .summary = "end that a person may act for a consumer",
    .text = "Sessions in which the person acts for the consumer end at once.",
    .run = run_disallow,
};
