/*
 * api.h - the door of Lov's HTTP interface: JSON of each domain module, keys, and decisions by the
 * OpenID AuthZEN Authorization API 1.0. docs/openapi.yaml is its contract.
 *
 * A struct api hangs on an open engine. Its http_app is served by http_server_start(), and used
 * inside a process by http_dispatch(): such a call, and one over the local socket, is the operator
 * (an administrator whose actor is "local") unless it brings a key of its own.
 *
 * Everything here may be called from any thread once api_open() returned.
 */
#ifndef LOV_API_API_H
#define LOV_API_API_H

#include "base/json.h"
#include "consent/consent.h"
#include "http/http.h"

struct api;

struct api_options {
    /* What callers reach the server by ("https://consent.example.com"), for the metadata of
     * AuthZEN; NULL: the scheme and address that the server listens on. Copied. */
    const char *base_url;
    /* Verifier keys of the witnesses whose cosignatures are kept, one a line; read each time one
     * comes. NULL, or no such file: none. Copied. */
    const char *witnesses_path;
    bool public_entries;         /* anybody may read the log's entries */
    unsigned checkpoint_seconds; /* how often housekeeping publishes what is new; 0: 10 */
    unsigned audit_seconds;      /* how often it audits the ledger; 0: 60 */
    unsigned aggregate_seconds;  /* how often new records are summed up; 0: 60 */
    /* Routes that are served beside its own, and what api_more() gives their handlers: the pages.
     * Borrowed, must outlive the api. */
    const struct http_route *more;
    size_t more_count;
    void *more_ctx;
};

/* Reads the keys. The engine must outlive the api. */
int api_open(struct engine *e, const struct api_options *options, struct api **out,
             struct err *err);
/* Stops housekeeping. No call may be under way. */
void api_close(struct api *api);
const struct http_app *api_app(struct api *api);
/* In a handler: api_options.more_ctx. */
void *api_more(const struct http_call *call);
struct vault;
struct vault *api_vault(const struct http_call *call);
/* Appends what the server is reached by ("https://consent.example.com"); nothing where that is not
 * known. */
void api_base(const struct http_call *call, struct buf *out);
/* Who asks, of those who sit at the console. */
struct api_asker {
    struct str role;      /* of the table of roles */
    struct str actor;     /* as the ledger names it: "staff:support/3f2a..." */
    struct str recipient; /* the department for which they look at records; empty: for none */
};
/* From a handler: asks the API as if that member of staff called it, with what the role may, and
 * waits. For a department a role that may read for departments reads records, and may nothing else.
 * The caller frees the answer (http_call_free). */
struct http_call *api_ask_as(const struct http_call *call, const struct api_asker *asker,
                             const char *method, const char *target, struct str body);
/* The same for a GET whose answer becomes that of the call, in parts where it comes so: the handler
 * returns what this returns. `target` lives as long as the call. */
int api_answer_as(struct http_call *call, const struct api_asker *asker, const char *target);
/* A row of an import, as an item of POST /v1/consents/batch by the operator. `key` and `item` are
 * the call's Idempotency-Key and the item's place in it; empty: it has none. *w becomes the write,
 * with all that it needs in the arena. LOV_EINVAL as the call would answer. */
struct api_row {
    const json_t *json;
    struct str key;
    size_t item;
};
int api_read_row(const struct api *api, const struct api_row *row, struct arena *arena,
                 struct engine_write *w, struct err *err);
/* Compares each row that people make - proposals of policies and of reads, webhooks, staff - with
 * the events that tell of it. Of a ledger that ledger_verify() found right. Both connections read.
 * While somebody writes, one store may be seen with what the other does not tell yet: ask again.
 * identities NULL: staff are left out. */
int people_verify(struct db *lov, struct db *identities, struct state_report *out, struct err *err);
/* The server whose address and counters the metadata and /metrics tell; NULL takes it away again,
 * before the server is stopped. */
void api_set_server(struct api *api, struct http_server *server);
/* What delivers webhooks, whose counters /metrics tells; NULL takes it away again, before it is
 * stopped. */
struct notify;
void api_set_notify(struct api *api, struct notify *notify);
/* Starts the thread that each second records what has expired, overwrites what an erasure could
 * not, publishes checkpoints and audits the ledger; it publishes once more when it stops. */
int api_start_housekeeping(struct api *api, struct err *err);

#endif
