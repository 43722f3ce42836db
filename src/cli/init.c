/* init.c - lov init. */
#include "base/file.h"
#include "base/json.h"
#include "cli/cli.h"
#include "consent/consent.h"

static int apply(struct cli *c, struct policy_bundle *bundle)
{
    _cleanup_buf struct buf body = {0};
    _cleanup_answer struct cli_answer a = {0};
    policy_bundle_to_json(bundle, &body);
    return cli_ask(c, "POST", "/v1/policy", buf_view(&body), &a);
}

/* Makes the installation: the folder, readable by its owner alone, with the key that everything
 * personal is sealed with, and both stores. The policy is read first, so that a wrong path leaves
 * nothing behind. */
static int run_init(struct cli *c)
{
    struct err err = {0};
    const char *dir;
    struct policy_bundle bundle = {0};
    const char *policy = cli_value(c, "policy");
    int rc = cli_dir(c, &dir, &err);
    if (rc == 0 && policy)
        rc = policy_bundle_read(policy, &bundle, &err);
    if (rc == 0)
        rc = engine_init_named(dir, cli_value(c, "origin"), &err);
    int code = rc ? cli_fail(c, &err) : CLI_YES;
    if (rc == 0 && policy)
        code = apply(c, &bundle);
    policy_bundle_free(&bundle);
    if (code)
        return code;
    if (!c->json) {
        printf("made an installation in %s\n", dir);
        return CLI_YES;
    }
    _cleanup_buf struct buf out = {0};
    struct jw w = {.out = &out};
    jw_object_start(&w);
    jw_cstr_member(&w, "dir", dir);
    jw_object_end(&w);
    puts(out.p);
    return CLI_YES;
}

static const struct cli_option options[] = {
    {"policy", "DIR", "apply the policy in this folder to it", NULL, false},
    {"origin", "NAME", "what its log is called; drawn when not given", NULL, false},
};
const struct cli_command cmd_init = {
    .name = "init",
    .arguments = "",
    .summary = "make a new installation",
    .text =
        "Makes the folder, which only its owner can read, with a new key and empty stores. The\n"
        "key (DIR/key) opens everything personal in the stores: keep a copy of it in another\n"
        "place than the copies of the stores. Until a policy is applied, everything is denied.\n"
        "\n"
        "The origin names the log in its checkpoints, for ever: a name under a domain of yours,\n"
        "such as consent.example.com/lov; each shard adds /N.",
    CLI_OPTIONS(options),
    .run = run_init,
};
