/*
 * cli.h - what the commands share. A command is a row of a table (its name, options, help and what
 * it runs): the table drives parsing, help, the man page and completion. A command is a client of
 * the HTTP API: cli_call() sends a request to the server that holds the installation over its
 * socket, and runs it in this process by http_dispatch() when no server does, so that answers and
 * errors are the same in both cases.
 *
 * One thread runs a command; cli_call() may be called from several once cli_open() returned.
 */
#ifndef LOV_CLI_CLI_H
#define LOV_CLI_CLI_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"
#include "base/log.h"
#include "base/str.h"

/* Exit codes: part of the interface, see docs/cli.md. */
enum cli_exit { CLI_YES = 0, CLI_NO = 1, CLI_USAGE = 2, CLI_UNAVAILABLE = 3 };

/* ---- the table ---- */

struct cli;

struct cli_option {
    const char *name;     /* "consumer" for --consumer */
    const char *argument; /* "ID"; NULL: a flag */
    const char *help;     /* one line */
    const char *choices;  /* words apart by one space: nothing else is admitted; NULL: any text */
    bool required;
};
struct cli_command {
    const char *name;      /* "consent give" */
    const char *arguments; /* "ID", "[COMMAND]"; "" for none */
    int least, most;       /* how many of them */
    const char *summary;   /* "record a consumer's yes", without a full stop */
    const char *text;      /* paragraphs; lines that start with two spaces stand as they are */
    const struct cli_option *options;
    size_t option_count;
    int (*run)(struct cli *c);
};
#define CLI_OPTIONS(table) .options = (table), .option_count = sizeof(table) / sizeof *(table)

extern const struct cli_command cmd_init, cmd_serve, cmd_demo, cmd_check, cmd_key_create,
    cmd_account_invite, cmd_account_allow, cmd_account_disallow, cmd_key_revoke, cmd_key_list,
    cmd_key_rotate, cmd_consumer_shred, cmd_backup, cmd_restore, cmd_consent_give,
    cmd_consent_refuse, cmd_consent_withdraw, cmd_consent_renew, cmd_consent_amend,
    cmd_consent_list, cmd_receipt_get, cmd_receipt_erasure, cmd_receipt_verify, cmd_policy_check,
    cmd_policy_diff, cmd_policy_propose, cmd_policy_apply, cmd_policy_show, cmd_policy_history,
    cmd_import_consents, cmd_import_consumers, cmd_import_records, cmd_import_export, cmd_read,
    cmd_reads_list, cmd_reads_propose, cmd_reads_approve, cmd_reads_reject, cmd_reads_get,
    cmd_records_list, cmd_records_change, cmd_records_delete, cmd_retention_due, cmd_issue_list,
    cmd_issue_settle, cmd_log_show, cmd_log_verify, cmd_log_root, cmd_log_checkpoint, cmd_log_proof,
    cmd_log_audit, cmd_key_log, cmd_request_open, cmd_request_list, cmd_request_show,
    cmd_request_ask, cmd_request_export, cmd_request_verify, cmd_request_extend, cmd_request_fulfil,
    cmd_request_refuse, cmd_request_withdraw, cmd_staff_invite, cmd_staff_link, cmd_staff_list,
    cmd_staff_change, cmd_staff_training, cmd_staff_disable, cmd_version, cmd_help, cmd_completion,
    cmd_man, cmd_webhook_create, cmd_webhook_list, cmd_webhook_failures, cmd_webhook_revoke,
    cmd_webhook_rotate, cmd_webhook_replay, cmd_webhook_test, cmd_hold_place, cmd_hold_list,
    cmd_hold_release;
extern const struct cli_command *const cli_commands[];
extern const size_t cli_command_count;
/* --dir, --json, --help: of every command. */
extern const struct cli_option cli_common[];
extern const size_t cli_common_count;

/* ---- parse.c ---- */

enum { CLI_ARGS = 8, CLI_OPTIONS_MAX = 40 };

struct cli {
    const struct cli_command *command;
    const char *values[CLI_OPTIONS_MAX]; /* the command's options, then the common ones */
    const char *args[CLI_ARGS];
    int arg_count;
    bool json;
    struct log log;
    struct cli_line *line; /* call.c */
};

/* 0, or an exit code: the usage was wrong (said on stderr) or help was asked for (printed). */
int cli_parse(struct cli *c, int argc, char **argv, bool *finished);
/* What was given for an option of this command ("" of a flag), or NULL. */
const char *cli_value(const struct cli *c, const char *name);
/* The same as a str; empty when it was not given. */
struct str cli_text(const struct cli *c, const char *name);
/* A whole number; LOV_EINVAL names the option. *out stays when it was not given. */
int cli_number(const struct cli *c, const char *name, int64_t min, int64_t max, int64_t *out,
               struct err *err);
/* The installation's folder: --dir, or LOV_DIR. */
int cli_dir(const struct cli *c, const char **out, struct err *err);

/* ---- help.c, manual.c ---- */

void help_overview(FILE *out);
void help_command(const struct cli_command *command, FILE *out);
/* The commands that start with `group` and a space; false when there is none. */
bool help_group(const char *group, FILE *out);

/* ---- call.c ---- */

struct engine;
struct api;

struct cli_request {
    const char *method, *target; /* "GET", "/v1/events?after=5" */
    struct str body;             /* JSON; empty: none */
    const char *idempotency_key; /* NULL: none */
    bool text;                   /* the answer need not be JSON */
    FILE *out;                   /* an answer of status 200 is written there as it comes, however
                                    long; NULL: all of it is kept */
};
struct cli_answer {
    int status;
    struct buf body;
    json_t *json; /* NULL where the body is not JSON */
};
#define _cleanup_answer __attribute__((cleanup(cli_answer_free)))
void cli_answer_free(struct cli_answer *a);

/* What holds the API key for a server elsewhere. */
#define CLI_KEY "LOV_API_KEY"
/* Finds the installation and who holds it. Opening twice is nothing. */
int cli_open(struct cli *c, struct err *err);
/* Takes a server elsewhere in place of that. */
int cli_open_url(struct cli *c, const char *url, struct err *err);
int cli_open_at(struct cli *c, const char *dir, struct err *err);
/* The engine, where this process holds it; NULL where a server does. */
struct engine *cli_engine(const struct cli *c);
/* The API on that engine, or NULL. */
struct api *cli_api(const struct cli *c);
/* Opens the engine in this process; LOV_EUNAVAILABLE when a server (or a command that does not end)
 * holds it. */
int cli_open_engine(struct cli *c, const char *dir, struct engine **out, struct err *err);
void cli_close(struct cli *c);
/* 0 when there is an answer, whatever its status. */
int cli_call(struct cli *c, const struct cli_request *request, struct cli_answer *out,
             struct err *err);
/* Opens when it must, calls, and tells problems on stderr: 0, or the exit code. */
int cli_ask(struct cli *c, const char *method, const char *target, struct str body,
            struct cli_answer *out);
/* The same for a list of pages: calls `row` for each item of each page until `limit` items (0: all)
 * were seen. `target` is without limit and after. With --json prints {"items", "next"} instead. */
int cli_list(struct cli *c, const char *target, const char *after, int64_t limit,
             void (*row)(struct cli *c, const json_t *item));

/* ---- output.c ---- */

/* Says what failed on stderr (a problem object with --json) and returns the exit code. */
int cli_fail(struct cli *c, const struct err *err);
int cli_usage(struct cli *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The answer is a problem: says so and returns the exit code. */
int cli_problem(struct cli *c, const struct cli_answer *a);
/* The sentence of a problem. */
const char *problem_detail(const json_t *problem);
/* Text of a member, "" when there is none; "-" is the caller's business. */
const char *json_cstr(const json_t *object, const char *member);
/* Asks for a link to make an account with, and prints it. Returns the exit code. */
int cli_link(struct cli *c, const char *target, struct str body);
/* The answer's JSON on one line. */
void cli_print_json(const struct cli_answer *a);
/* With --json the answer's, otherwise what it means; returns CLI_YES. */
int cli_say(const struct cli *c, const struct cli_answer *a, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* An item of a list, as JSON on one line. */
void cli_print_item(struct cli *c, const json_t *item);
/* Appends percent-encoded (RFC 3986 §2.1) for use as one segment or one query value. */
void target_add(struct buf *target, struct str text);
/* A JSON array of the names in a comma-separated list. */
void names_to_json(struct str list, struct buf *out);
void consent_print(struct cli *c, const json_t *consent);

/* ---- progress.c ---- */

/* A bar on stderr, shown when that is a terminal and the work has taken two seconds. */
struct progress {
    const char *what; /* "rows" */
    int64_t started, shown;
    bool terminal;
};
void progress_start(struct progress *p, const char *what);
/* `part` of 0 to 1 is done, which is `count` things; part < 0: not known. */
void progress_show(struct progress *p, double part, int64_t count);
void progress_end(struct progress *p);

#endif
