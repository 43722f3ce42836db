/* hold.c - lov hold: what a law demands to be kept of a consumer who may want to be erased. */
#include "base/json.h"
#include "cli/cli.h"

static void holds_of(const char *consumer, struct buf *out)
{
    buf_cstr(out, "/v1/consumers/");
    target_add(out, str_of(consumer));
    buf_cstr(out, "/holds");
}

static int print_id(struct cli *c, const struct cli_answer *a)
{
    return cli_say(c, a, "%s\n", json_cstr(a->json, "id"));
}

/* Places one. */
static int run_place(struct cli *c)
{
    _cleanup_buf struct buf target = {0}, body = {0};
    _cleanup_answer struct cli_answer a = {0};
    struct jw w = {.out = &body};
    holds_of(c->args[0], &target);
    jw_object_start(&w);
    jw_str_member(&w, "reason", cli_text(c, "reason"));
    jw_str_member(&w, "source", cli_text(c, "source"));
    if (cli_value(c, "until"))
        jw_str_member(&w, "until", cli_text(c, "until"));
    if (cli_value(c, "category"))
        jw_str_member(&w, "category", cli_text(c, "category"));
    jw_object_end(&w);
    int code = cli_ask(c, "POST", target.p, buf_view(&body), &a);
    return code ? code : print_id(c, &a);
}

static const struct cli_option place_options[] = {
    {"reason", "NAME", "why, in a word: bookkeeping, dispute", NULL, true},
    {"source", "TEXT", "the law and article that demand it", NULL, true},
    {"until", "TIME", "it ends by itself then (RFC 3339)", NULL, false},
    {"category", "NAME", "keeps this category alone; all of the consumer when not given", NULL,
     false},
};
const struct cli_command cmd_hold_place = {
    .name = "hold place",
    .arguments = "CONSUMER",
    .least = 1,
    .most = 1,
    .summary = "keep a consumer, or a category of theirs, from being erased",
    .text = "While it stands an erasure is refused and tells why, records that it keeps are not\n"
            "deleted, by hand or when they are due. Prints the hold's id.",
    CLI_OPTIONS(place_options),
    .run = run_place,
};

static void print_hold(struct cli *c, const json_t *h)
{
    (void)c;
    const char *category = json_cstr(h, "category"), *until = json_cstr(h, "until");
    printf("%s  %-8s  %s: %s  keeps %s%s%s\n", json_cstr(h, "id"),
           json_is_true(json_object_get(h, "released")) ? "released" : "stands",
           json_cstr(h, "reason"), json_cstr(h, "source"), *category ? category : "everything",
           *until ? ", until " : "", until);
}

/* Prints those of a consumer. */
static int run_list(struct cli *c)
{
    _cleanup_buf struct buf target = {0};
    holds_of(c->args[0], &target);
    return cli_list(c, target.p, NULL, 0, print_hold);
}

const struct cli_command cmd_hold_list = {
    .name = "hold list",
    .arguments = "CONSUMER",
    .least = 1,
    .most = 1,
    .summary = "list what keeps a consumer from being erased",
    .text = "One line a hold, oldest first, those that were released too: id, whether it stands,\n"
            "why, by which law, what it keeps, and until when.",
    .run = run_list,
};

/* Releases one. */
static int run_release(struct cli *c)
{
    _cleanup_buf struct buf target = {0};
    _cleanup_answer struct cli_answer a = {0};
    holds_of(c->args[0], &target);
    buf_char(&target, '/');
    target_add(&target, str_of(c->args[1]));
    int code = cli_ask(c, "DELETE", target.p, (struct str){0}, &a);
    return code ? code : print_id(c, &a);
}

const struct cli_command cmd_hold_release = {
    .name = "hold release",
    .arguments = "CONSUMER HOLD",
    .least = 2,
    .most = 2,
    .summary = "end a hold",
    .text = "What it kept can be erased again; a request that waits for it is not carried out by\n"
            "itself.",
    .run = run_release,
};
