/* key.c - lov key create|revoke|list|rotate. */
#include "base/json.h"
#include "cli/cli.h"

/* Makes a key, which is shown this once: only its hash is kept. */
static int run_create(struct cli *c)
{
    _cleanup_buf struct buf body = {0};
    _cleanup_answer struct cli_answer a = {0};
    struct str recipient = cli_text(c, "recipient"), staff = cli_text(c, "staff");
    if (!recipient.n == !staff.n)
        return cli_usage(c, "a key is for --recipient ID or for --staff ROLE: say one of them");
    struct jw w = {.out = &body};
    jw_object_start(&w);
    jw_str_member(&w, recipient.n ? "recipient" : "staff", recipient.n ? recipient : staff);
    jw_object_end(&w);
    int code = cli_ask(c, "POST", "/v1/keys", buf_view(&body), &a);
    return code ? code : cli_say(c, &a, "%s\n", json_cstr(a.json, "key"));
}

static const struct cli_option create_options[] = {
    {"recipient", "ID", "a key with which this recipient asks for itself", NULL, false},
    {"staff", "ROLE", "a key for staff",
     "admin privacy_officer analyst support marketing auditor collector deployer", false},
};
const struct cli_command cmd_key_create = {
    .name = "key create",
    .arguments = "",
    .summary = "make an API key, and show it this once",
    .text = "Prints the key, to be sent as \"Authorization: Bearer KEY\". Only its hash is kept, "
            "so it\n"
            "cannot be shown again. Every key is made for one recipient or one staff role.",
    CLI_OPTIONS(create_options),
    .run = run_create,
};

/* Ends a key's life at once. */
static int run_revoke(struct cli *c)
{
    _cleanup_buf struct buf target = {0};
    _cleanup_answer struct cli_answer a = {0};
    buf_cstr(&target, "/v1/keys/");
    target_add(&target, str_of(c->args[0]));
    int code = cli_ask(c, "DELETE", target.p, (struct str){0}, &a);
    return code ? code : cli_say(c, &a, "key %s is revoked\n", c->args[0]);
}

const struct cli_command cmd_key_revoke = {
    .name = "key revoke",
    .arguments = "ID",
    .least = 1,
    .most = 1,
    .summary = "end a key",
    .text =
        "The key is refused from the next request on. ID is the one that lov key list shows: in\n"
        "lov_ID_secret it is the part in the middle.",
    .run = run_revoke,
};

static void print_key(struct cli *c, const json_t *key)
{
    (void)c;
    const char *revoked = json_cstr(key, "revoked_at");
    printf("%s  %-9s  %-16s  made %s%s%s\n", json_cstr(key, "id"), json_cstr(key, "kind"),
           json_cstr(key, "subject"), json_cstr(key, "created_at"), *revoked ? ", revoked " : "",
           revoked);
}

/* Lists keys, those that were revoked too. */
static int run_list(struct cli *c)
{
    return cli_list(c, "/v1/keys", NULL, 0, print_key);
}

const struct cli_command cmd_key_list = {
    .name = "key list",
    .arguments = "",
    .summary = "list the keys",
    .text =
        "Lists each key's id, whose it is, and when it was made and revoked; never the key itself.",
    .run = run_list,
};

/* ---- the key-encryption key ---- */

static int rotate_steps(struct cli *c, int64_t *looked_at, bool *environment)
{
    struct progress progress;
    bool done = false;
    int code = CLI_YES;
    *looked_at = 0;
    progress_start(&progress, "consumers");
    for (const char *body = "{}"; code == CLI_YES && !done; body = "{\"continue\":true}") {
        _cleanup_answer struct cli_answer a = {0};
        code = cli_ask(c, "POST", "/v1/store/rotate", str_of(body), &a);
        done = json_is_true(json_object_get(a.json, "done"));
        *looked_at += json_integer_value(json_object_get(a.json, "rows"));
        *environment = json_is_true(json_object_get(a.json, "environment"));
        int64_t all = json_integer_value(json_object_get(a.json, "consumers"));
        progress_show(&progress, all > 0 ? (double)*looked_at / (double)all : -1, *looked_at);
    }
    progress_end(&progress);
    return code;
}

/* Changes the key-encryption key. */
static int run_rotate(struct cli *c)
{
    int64_t looked_at;
    bool environment = false;
    const char *dir = NULL;
    struct err err = {0};
    int rc = cli_dir(c, &dir, &err);
    if (rc)
        return cli_fail(c, &err);
    int code = rotate_steps(c, &looked_at, &environment);
    if (code)
        return code;
    const char *file = environment ? "key.next" : "key";
    if (c->json) {
        _cleanup_buf struct buf out = {0}, path = {0};
        struct jw w = {.out = &out};
        buf_printf(&path, "%s/%s", dir, file);
        jw_object_start(&w);
        jw_int_member(&w, "consumers", looked_at);
        jw_str_member(&w, "key_file", buf_view(&path));
        jw_bool_member(&w, "environment", environment);
        jw_object_end(&w);
        puts(out.p);
        return CLI_YES;
    }
    printf(
        "%lld consumers are sealed by the new key in %s/%s: keep a copy of it apart, and make a\n"
        "backup, since the one before opens by the old key alone\n",
        (long long)looked_at, dir, file);
    if (environment)
        printf("set LOV_KEY to what that file holds, for the server too, and remove the file\n");
    return CLI_YES;
}

const struct cli_command cmd_key_rotate = {
    .name = "key rotate",
    .arguments = "",
    .summary = "change the key that everything personal is sealed with",
    .text =
        "Makes a new key-encryption key and seals the consumers' ids and data keys, and the\n"
        "installation's secrets, under it, while a server goes on with its work. When it is "
        "stopped,\n"
        "by whatever, both keys are in the folder (key and key.next), everything can be read, and\n"
        "running it again finishes it. To use a key from elsewhere, write its 64 hexadecimal "
        "digits\n"
        "to DIR/key.next, readable by its owner alone, first. At the end the old key is "
        "overwritten.",
    .run = run_rotate,
};
