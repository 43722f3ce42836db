/* webhook.c - lov webhook ...: who is told of events. */
#include <string.h>
#include <time.h>

#include "base/json.h"
#include "cli/cli.h"

static void print_webhook(struct cli *c, const json_t *h)
{
    (void)c;
    const char *recipient = json_cstr(h, "recipient"), *error = json_cstr(h, "error");
    json_int_t status = json_integer_value(json_object_get(h, "status"));
    printf("%s  %-8s  %-16s  %s\n", json_cstr(h, "id"), json_cstr(h, "state"),
           *recipient ? recipient : "(company)", json_cstr(h, "url"));
    printf("  delivered %lld, behind %lld, waiting %lld, dead %lld",
           (long long)json_integer_value(json_object_get(h, "delivered")),
           (long long)json_integer_value(json_object_get(h, "behind")),
           (long long)json_integer_value(json_object_get(h, "waiting")),
           (long long)json_integer_value(json_object_get(h, "dead")));
    if (status)
        printf("; last failure: %s %lld", error, (long long)status);
    else if (*error)
        printf("; last failure: %s", error);
    putchar('\n');
}

static int print_secret(struct cli *c, const struct cli_answer *a)
{
    return cli_say(c, a, "%s\n%s\n", json_cstr(a->json, "id"), json_cstr(a->json, "secret"));
}

static void target_of(const struct cli *c, const char *more, struct buf *out)
{
    buf_cstr(out, "/v1/webhooks/");
    target_add(out, str_of(c->args[0]));
    buf_cstr(out, more);
}

/* ---- create ---- */

static int run_create(struct cli *c)
{
    _cleanup_buf struct buf body = {0}, kinds = {0};
    _cleanup_answer struct cli_answer a = {0};
    struct jw w = {.out = &body};
    jw_object_start(&w);
    jw_str_member(&w, "url", str_of(c->args[0]));
    if (cli_value(c, "recipient"))
        jw_str_member(&w, "recipient", cli_text(c, "recipient"));
    if (cli_value(c, "kinds")) {
        names_to_json(cli_text(c, "kinds"), &kinds);
        jw_key(&w, "kinds");
        jw_raw(&w, buf_view(&kinds));
    }
    jw_object_end(&w);
    int code = cli_ask(c, "POST", "/v1/webhooks", buf_view(&body), &a);
    return code ? code : print_secret(c, &a);
}

static const struct cli_option create_options[] = {
    {"recipient", "ID", "sends what concerns this recipient alone; all when not given", NULL,
     false},
    {"kinds", "LIST", "consent,request,notification, or some kinds of these; all when not given",
     NULL, false},
};
const struct cli_command cmd_webhook_create = {
    .name = "webhook create",
    .arguments = "URL",
    .least = 1,
    .most = 1,
    .summary = "send events to a URL",
    .text =
        "Prints the webhook's id and, this once, the secret that its messages are signed with.\n"
        "Events from then on are sent: CloudEvents 1.0 in JSON, signed as Standard Webhooks\n"
        "demands (docs/notify.md). URL begins with https://, or http:// on this machine.",
    CLI_OPTIONS(create_options),
    .run = run_create,
};

/* ---- list ---- */

static int run_list(struct cli *c)
{
    return cli_list(c, "/v1/webhooks", NULL, 0, print_webhook);
}

const struct cli_command cmd_webhook_list = {
    .name = "webhook list",
    .arguments = "",
    .summary = "list the webhooks, and how their delivery stands",
    .text =
        "Of each: id, state, recipient and URL; then how many events were delivered, how many it\n"
        "has not come to yet, how many failed and are tried again (waiting) or no more (dead).\n"
        "States are active, failing (something waits or is dead), stopped (the endpoint said 410\n"
        "Gone; lov webhook replay goes on) and revoked.",
    .run = run_list,
};

static void print_failure(struct cli *c, const json_t *f)
{
    (void)c;
    json_int_t status = json_integer_value(json_object_get(f, "status"));
    bool dead = json_is_true(json_object_get(f, "dead"));
    printf("%lld  %s  attempts %lld  %s", (long long)json_integer_value(json_object_get(f, "seq")),
           json_cstr(f, "message"), (long long)json_integer_value(json_object_get(f, "attempts")),
           json_cstr(f, "error"));
    if (status)
        printf(" %lld", (long long)status);
    printf("  %s%s\n", dead ? "dead" : "again at ", dead ? "" : json_cstr(f, "next_at"));
}

static int run_failures(struct cli *c)
{
    _cleanup_buf struct buf target = {0};
    target_of(c, "/failures", &target);
    return cli_list(c, target.p, NULL, 0, print_failure);
}

const struct cli_command cmd_webhook_failures = {
    .name = "webhook failures",
    .arguments = "ID",
    .least = 1,
    .most = 1,
    .summary = "list the events that a webhook has not taken",
    .text =
        "One line an event: its number in the ledger, the message's id (webhook-id), how often it\n"
        "was tried, what went wrong, and when it is tried again. Words: status (with what the\n"
        "endpoint answered), timeout, unreachable, unknown_host, tls, private_address,\n"
        "broken_off.",
    .run = run_failures,
};

/* ---- revoke, rotate, replay ---- */

static int run_revoke(struct cli *c)
{
    _cleanup_buf struct buf target = {0};
    _cleanup_answer struct cli_answer a = {0};
    target_of(c, "", &target);
    int code = cli_ask(c, "DELETE", target.p, (struct str){0}, &a);
    return code ? code : cli_say(c, &a, "webhook %s is revoked\n", c->args[0]);
}

const struct cli_command cmd_webhook_revoke = {
    .name = "webhook revoke",
    .arguments = "ID",
    .least = 1,
    .most = 1,
    .summary = "send nothing more to a webhook",
    .text =
        "Within a second no more messages are begun. Its secrets and what failed are forgotten.",
    .run = run_revoke,
};

static int run_rotate(struct cli *c)
{
    _cleanup_buf struct buf target = {0}, body = {0};
    _cleanup_answer struct cli_answer a = {0};
    struct err err = {0};
    int64_t hours = 24;
    int rc = cli_number(c, "hours", 0, 720, &hours, &err);
    if (rc)
        return cli_fail(c, &err);
    target_of(c, "/rotate", &target);
    buf_printf(&body, "{\"hours\":%lld}", (long long)hours);
    int code = cli_ask(c, "POST", target.p, buf_view(&body), &a);
    return code ? code : print_secret(c, &a);
}

static const struct cli_option rotate_options[] = {
    {"hours", "N", "the secrets before it sign for so long yet, at most 720; 24 when not given",
     NULL, false},
};
const struct cli_command cmd_webhook_rotate = {
    .name = "webhook rotate",
    .arguments = "ID",
    .least = 1,
    .most = 1,
    .summary = "change the secret of a webhook",
    .text =
        "Prints the id and, this once, the new secret. Until the old one has ended messages carry\n"
        "a signature by each.",
    CLI_OPTIONS(rotate_options),
    .run = run_rotate,
};

static int run_replay(struct cli *c)
{
    _cleanup_buf struct buf target = {0}, body = {0};
    _cleanup_answer struct cli_answer a = {0};
    struct err err = {0};
    int64_t from = -1;
    int rc = cli_number(c, "from", 0, INT64_MAX, &from, &err);
    if (rc)
        return cli_fail(c, &err);
    target_of(c, "/replay", &target);
    if (from < 0)
        buf_cstr(&body, "{}");
    else
        buf_printf(&body, "{\"from\":%lld}", (long long)from);
    int code = cli_ask(c, "POST", target.p, buf_view(&body), &a);
    return code ? code
                : cli_say(c, &a, "%lld events are looked at again\n",
                          (long long)json_integer_value(json_object_get(a.json, "events")));
}

static const struct cli_option replay_options[] = {
    {"from", "SEQ", "all events from this number of the ledger on; what is dead when not given",
     NULL, false},
};
const struct cli_command cmd_webhook_replay = {
    .name = "webhook replay",
    .arguments = "ID",
    .least = 1,
    .most = 1,
    .summary = "deliver again",
    .text =
        "Tries what is dead once more, with all its attempts; with --from, delivers everything\n"
        "from there on again, under the same message ids. A webhook that had stopped goes on.",
    CLI_OPTIONS(replay_options),
    .run = run_replay,
};

/* ---- test ---- */

static void rest(void)
{
    struct timespec t = {.tv_nsec = 100 * 1000000L};
    nanosleep(&t, NULL);
}

/* The failure of that event, if it has one. */
static const json_t *failure_of(const json_t *list, json_int_t seq)
{
    size_t i;
    const json_t *f;
    json_array_foreach(json_object_get(list, "items"), i, f)
        if (json_integer_value(json_object_get(f, "seq")) == seq)
            return f;
    return NULL;
}

/* CLI_YES once it was delivered, CLI_NO once it failed. */
static int wait_for(struct cli *c, json_int_t seq)
{
    enum { TRIES = 300 };
    for (int i = 0; i < TRIES; i++) {
        _cleanup_buf struct buf one = {0}, failures = {0};
        _cleanup_answer struct cli_answer a = {0}, list = {0};
        target_of(c, "", &one);
        target_of(c, "/failures", &failures);
        buf_printf(&failures, "?after=%lld", (long long)seq - 1);
        int code = cli_ask(c, "GET", one.p, (struct str){0}, &a);
        if (code == 0)
            code = cli_ask(c, "GET", failures.p, (struct str){0}, &list);
        if (code)
            return code;
        const json_t *f = failure_of(list.json, seq);
        if (f) {
            fprintf(stderr, "not delivered: %s", json_cstr(f, "error"));
            json_int_t status = json_integer_value(json_object_get(f, "status"));
            if (status)
                fprintf(stderr, " %lld", (long long)status);
            fputc('\n', stderr);
            return CLI_NO;
        }
        if (json_integer_value(json_object_get(a.json, "position")) > seq) {
            printf(c->json ? "{\"delivered\":true}\n" : "delivered\n");
            return CLI_YES;
        }
        rest();
    }
    fprintf(stderr, "not delivered yet: lov webhook list tells how it stands\n");
    return CLI_UNAVAILABLE;
}

static int run_test(struct cli *c)
{
    _cleanup_buf struct buf target = {0};
    _cleanup_answer struct cli_answer a = {0};
    target_of(c, "/test", &target);
    int code = cli_ask(c, "POST", target.p, STR("{}"), &a);
    if (code)
        return code;
    if (cli_engine(c)) {
        printf(c->json ? "{\"delivered\":false}\n" : "it is sent when the server runs\n");
        return CLI_YES;
    }
    return wait_for(c, json_integer_value(json_object_get(a.json, "event")));
}

const struct cli_command cmd_webhook_test = {
    .name = "webhook test",
    .arguments = "ID",
    .least = 1,
    .most = 1,
    .summary = "send a test event to a webhook",
    .text =
        "Sends an event of type lov.webhook.test, to this webhook alone, and waits up to 30\n"
        "seconds. Exit code 0 when it was delivered, 1 when it failed: it is tried again as any\n"
        "other.",
    .run = run_test,
};
