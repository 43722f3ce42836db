/* request.c - lov request: what consumers have asked for. */
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "cli/cli.h"

static void print_request(struct cli *c, const json_t *r)
{
    (void)c;
    const char *consumer = json_cstr(r, "consumer"), *reason = json_cstr(r, "reason");
    printf("%s  %-16s  %-18s  %s  received %s, due %s%s%s%s\n", json_cstr(r, "id"),
           json_cstr(r, "state"), json_cstr(r, "right"), *consumer ? consumer : "(erased)",
           json_cstr(r, "received_at"), json_cstr(r, "due_at"),
           json_is_true(json_object_get(r, "overdue")) ? ", OVERDUE" : "", *reason ? ": " : "",
           reason);
}

static int print_answer(struct cli *c, const struct cli_answer *a)
{
    if (c->json)
        cli_print_json(a);
    else
        print_request(c, a->json);
    return CLI_YES;
}

static void write_categories(struct cli *c, struct jw *w)
{
    if (cli_value(c, "categories"))
        jw_list_member(w, "categories", cli_text(c, "categories"));
}

/* ---- open ---- */

static int run_open(struct cli *c)
{
    _cleanup_buf struct buf body = {0};
    _cleanup_answer struct cli_answer a = {0};
    struct jw w = {.out = &body};
    jw_object_start(&w);
    jw_str_member(&w, "consumer", cli_text(c, "consumer"));
    jw_str_member(&w, "right", cli_text(c, "right"));
    jw_str_member(&w, "channel", cli_value(c, "channel") ? cli_text(c, "channel") : STR("web"));
    if (cli_value(c, "received"))
        jw_str_member(&w, "received_at", cli_text(c, "received"));
    if (cli_value(c, "detail"))
        jw_str_member(&w, "detail", cli_text(c, "detail"));
    write_categories(c, &w);
    jw_object_end(&w);
    int code = cli_ask(c, "POST", "/v1/requests", buf_view(&body), &a);
    return code ? code : print_answer(c, &a);
}

static const struct cli_option open_options[] = {
    {"consumer", "ID", "who asks", NULL, true},
    {"right", "RIGHT", "what for",
     "access portability rectification erasure restriction objection opt_out limit_use "
     "automated_decision explanation",
     true},
    {"channel", "NAME", "how it came in; web when not given", NULL, false},
    {"received", "TIME", "when (RFC 3339); now when not given", NULL, false},
    {"detail", "TEXT", "what they wrote; kept under their key", NULL, false},
    {"categories", "ID,...", "of an erasure: the records of these only", NULL, false},
};
const struct cli_command cmd_request_open = {
    .name = "request open",
    .arguments = "",
    .summary = "record what a consumer asks for",
    .text = "The law of the consumer's residence says by when it is answered. The line that is\n"
            "printed begins with the request's id.",
    CLI_OPTIONS(open_options),
    .run = run_open,
};

/* ---- list, show ---- */

static int run_list(struct cli *c)
{
    _cleanup_buf struct buf target = {0};
    if (cli_value(c, "consumer")) {
        buf_cstr(&target, "/v1/consumers/");
        target_add(&target, cli_text(c, "consumer"));
        buf_cstr(&target, "/requests");
        if (cli_value(c, "state") || cli_value(c, "right") || cli_value(c, "due-before"))
            return cli_usage(c, "--consumer lists all that one consumer has asked for");
        return cli_list(c, target.p, NULL, 0, print_request);
    }
    buf_printf(&target, "/v1/requests?state=%s",
               cli_value(c, "state") ? cli_value(c, "state") : "live");
    if (cli_value(c, "right"))
        buf_printf(&target, "&right=%s", cli_value(c, "right"));
    if (cli_value(c, "due-before")) {
        buf_cstr(&target, "&due_before=");
        target_add(&target, cli_text(c, "due-before"));
    }
    return cli_list(c, target.p, NULL, 0, print_request);
}

static const struct cli_option list_options[] = {
    {"consumer", "ID", "of one consumer, in every state", NULL, false},
    {"state", "STATE", "in one state; live (those to answer) when not given",
     "live received identity_pending open extended fulfilled refused withdrawn closed", false},
    {"right", "RIGHT", "for one right",
     "access portability rectification erasure restriction objection opt_out limit_use "
     "automated_decision explanation",
     false},
    {"due-before", "TIME", "due before then (RFC 3339)", NULL, false},
};
const struct cli_command cmd_request_list = {
    .name = "request list",
    .arguments = "",
    .summary = "list what consumers have asked for",
    .text = "One line a request, oldest first: id, state, right, consumer, when it came in and by\n"
            "when it is answered, and the reason where it was refused.",
    CLI_OPTIONS(list_options),
    .run = run_list,
};

static int run_show(struct cli *c)
{
    _cleanup_buf struct buf target = {0};
    _cleanup_answer struct cli_answer a = {0};
    buf_cstr(&target, "/v1/requests/");
    target_add(&target, str_of(c->args[0]));
    int code = cli_ask(c, "GET", target.p, (struct str){0}, &a);
    if (code)
        return code;
    print_answer(c, &a);
    const char *detail = json_cstr(a.json, "detail");
    if (!c->json && *detail)
        printf("  %s\n", detail);
    size_t i;
    json_t *category, *note;
    json_array_foreach(json_object_get(a.json, "categories"), i, category) {
        if (!c->json)
            printf("  only: %s\n", json_string_value(category));
    }
    json_array_foreach(json_object_get(a.json, "notes"), i, note) {
        if (!c->json)
            printf("  %s  %s: %s\n", json_cstr(note, "at"), json_cstr(note, "step"),
                   json_cstr(note, "note"));
    }
    return CLI_YES;
}

const struct cli_command cmd_request_show = {
    .name = "request show",
    .arguments = "REQUEST",
    .least = 1,
    .most = 1,
    .summary = "show a request with what was written about it",
    .text =
        "The line of lov request list, then what the consumer wrote, the categories that alone\n"
        "are to be erased, and the notes of each step.",
    .run = run_show,
};

/* ---- export ---- */

static int run_export(struct cli *c)
{
    struct err err = {0};
    _cleanup_buf struct buf target = {0};
    _cleanup_answer struct cli_answer a = {0};
    buf_cstr(&target, "/v1/requests/");
    target_add(&target, str_of(c->args[0]));
    buf_cstr(&target, "/export");
    if (cli_value(c, "language"))
        buf_printf(&target, "?language=%s", cli_value(c, "language"));
    struct cli_request request = {.method = "GET", .target = target.p, .text = true};
    int rc = cli_open(c, &err);
    if (rc == 0)
        rc = cli_call(c, &request, &a, &err);
    if (rc)
        return cli_fail(c, &err);
    if (a.status != 200)
        return cli_problem(c, &a);
    rc = file_create(c->args[1], 0600, buf_view(&a.body), &err);
    return rc ? cli_fail(c, &err) : CLI_YES;
}

static const struct cli_option export_options[] = {
    {"language", "CODE", "of index.html; that of the consumer's newest notice when not given",
     "sv en", false},
};
const struct cli_command cmd_request_export = {
    .name = "request export",
    .arguments = "REQUEST FILE",
    .least = 2,
    .most = 2,
    .summary = "save all that there is of the consumer, as a ZIP",
    .text =
        "Of a request for access, portability or an explanation whose identity is verified. FILE\n"
        "is made for its owner alone, and may not be there before. The ledger says that it was made.",
    CLI_OPTIONS(export_options),
    .run = run_export,
};

/* ---- steps ---- */

static int run_step(struct cli *c)
{
    _cleanup_buf struct buf target = {0}, body = {0};
    _cleanup_answer struct cli_answer a = {0};
    struct jw w = {.out = &body};
    buf_cstr(&target, "/v1/requests/");
    target_add(&target, str_of(c->args[0]));
    buf_printf(&target, "/%s", strchr(c->command->name, ' ') + 1);
    jw_object_start(&w);
    if (cli_value(c, "note"))
        jw_str_member(&w, "note", cli_text(c, "note"));
    if (c->command == &cmd_request_fulfil)
        write_categories(c, &w);
    if (c->command == &cmd_request_refuse)
        jw_str_member(&w, "reason", cli_text(c, "reason"));
    jw_object_end(&w);
    int code = cli_ask(c, "POST", target.p, buf_view(&body), &a);
    return code ? code : print_answer(c, &a);
}

#define STEP(variable, step, says, explains, table)                                                \
    const struct cli_command variable = {                                                          \
        .name = "request " step,                                                                   \
        .arguments = "REQUEST",                                                                    \
        .least = 1,                                                                                \
        .most = 1,                                                                                 \
        .summary = says,                                                                           \
        .text = explains,                                                                          \
        CLI_OPTIONS(table),                                                                        \
        .run = run_step,                                                                           \
    }

static const struct cli_option note_options[] = {
    {"note", "TEXT", "kept with the request, under the consumer's key", NULL, false},
};
static const struct cli_option fulfil_options[] = {
    {"note", "TEXT", "kept with the request, under the consumer's key", NULL, false},
    {"categories", "ID,...",
     "of an erasure: delete the records of these only; those asked for when not given", NULL,
     false},
};
static const struct cli_option needed_options[] = {
    {"note", "TEXT", "kept with the request, under the consumer's key", NULL, true},
};
static const struct cli_option refuse_options[] = {
    {"reason", "REASON", "one that the law names", NULL, true},
    {"note", "TEXT", "what it rests on", NULL, true},
};

STEP(cmd_request_ask, "ask-identity", "ask a consumer to show who they are",
     "The time that the law gives goes on meanwhile.", note_options);
STEP(cmd_request_verify, "verify-identity", "record how a consumer showed who they are",
     "Nothing is fulfilled before it, but opt-outs, which need none.", needed_options);
STEP(cmd_request_extend, "extend", "take the longer time that the law allows",
     "Once, while the first time runs, and with a reason that the consumer is told.",
     needed_options);
STEP(cmd_request_fulfil, "fulfil", "carry a request out and close it",
     "Erasure erases the consumer, restriction, objection and opt-out are in force when the\n"
     "command returns, and the recipients who had data are told. What a person has to do\n"
     "(access, rectification, explanation) is done before: the note says how.",
     fulfil_options);
STEP(cmd_request_refuse, "refuse", "refuse a request for a reason that its law names",
     "GET /v1/policy lists the reasons of each law, with the articles.", refuse_options);
STEP(cmd_request_withdraw, "withdraw", "close a request that the consumer takes back",
     "What was carried out already stays.", note_options);
