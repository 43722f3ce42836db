/*
 * private.h - what the files of this folder share: callers and what they may, calls that wait for
 * writes, and the forms that several answers have in common.
 */
#ifndef LOV_API_PRIVATE_H
#define LOV_API_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "api/api.h"
#include "api/roles.h"
#include "base/json.h"
#include "notify/notify.h"
#include "rights/rights.h"
#include "vault/vault.h"

enum {
    CONSUMER_ID_MAX = 128,
    LIST_DEFAULT = 100,
    LIST_MAX = 1000,
    BATCH_MAX = 1000,
    EVIDENCE_MAX = 16 * 1024,
    GUARDIAN_MAX = 1024,
};

/* ---- roles.c: who may what (roles.h) ---- */

struct principal {
    uint64_t permissions;
    struct str actor;     /* as the ledger names it: "staff:admin/3f2a..." */
    struct str recipient; /* empty: staff */
    uint64_t hash;        /* of the actor: for the rate limit */
    bool person;          /* a member of staff, at the console */
};

uint64_t recipient_permissions(void);
const struct principal *operator_principal(void);
/* Who brings no key, where the log's entries are for everybody. */
const struct principal *anybody_principal(void);

/* ---- keys.c: API keys ---- */

struct keys;
int keys_open(struct engine *e, struct keys **out, struct err *err);
void keys_close(struct keys *keys);
/* The caller behind a key's text; lives as long as the keys. NULL when it is not (any more) one. */
const struct principal *keys_find(struct keys *keys, struct str text);
http_handler keys_create, keys_list, keys_revoke;

/* ---- counters.c: decisions, counted without a lock ---- */

struct counters;
struct counters *counters_new(void);
void counters_free(struct counters *counters);
void counters_add(struct counters *counters, enum decision_reason reason);
uint64_t counters_sum(const struct counters *counters, enum decision_reason reason);

/* ---- policies.c ---- */

/* A policy that somebody thinks of applying. */
struct candidate {
    struct policy_bundle bundle;
    struct policy_findings findings;
    struct policy *policy;
    int64_t as_of; /* ms UTC */
};
void candidate_free(struct candidate *c);
/* Compiles it against what is stored. 0, or an error, which is LOV_EINVAL with errors among the
 * findings when it does not pass. */
int candidate_compile(struct http_call *call, struct candidate *c, struct err *err);
/* The member "changes": what it would change, and for whom. */
void candidate_changes(struct http_call *call, const struct candidate *c, struct jw *w);
/* 422 with the findings beside what every problem has. */
int answer_findings(struct http_call *call, const struct policy_findings *findings);

/* ---- overview.c ---- */

/* The first event of the shard that is not before `at`; `size` where there is none. */
int ledger_since(struct db *lov, uint32_t shard, int64_t size, int64_t at, int64_t *seq,
                 struct err *err);
enum { DAYS_SHOWN = 14 }; /* that overview and uses count */
/* Events since *from of each shard, of a recipient's activities or (empty) all, the latest 20,000
 * at most; *from is then since when. */
int recent_events(struct engine *e, struct str recipient, int64_t *from, ledger_row *row, void *ctx,
                  struct err *err);
/* By the reason in the body of an event "access.denied". */
void count_reason(int64_t by_reason[REASON_COUNT], struct str body);
/* The member "denied", by reason. */
void reasons_write(const int64_t by_reason[REASON_COUNT], struct jw *w);

/* ---- api.c ---- */

struct api {
    struct engine *engine;
    struct http_app app;
    struct http_route *routes; /* its own, then those of api_options.more */
    void *more;
    char *base_url, *witnesses_path;
    bool public_entries;
    int64_t checkpoint_seconds, audit_seconds, aggregate_seconds;
    struct http_server *_Atomic server;
    struct notify *_Atomic notify;
    struct keys *keys;
    struct vault *vault;
    struct counters *counters;
    struct secret cursor_key, idempotency_key;
    _Atomic int streams; /* audiences that are being streamed */

    pthread_t housekeeper;
    bool housekeeping; /* set before the thread starts */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stopping; /* under lock */
};

static inline struct api *api_of(const struct http_call *call)
{
    return call->app;
}
static inline const struct principal *caller_of(const struct http_call *call)
{
    return call->principal;
}

/* ---- house.c: what is done without being asked ---- */

void house_init(struct api *api);
/* Ends the thread, if it was started (api_start_housekeeping). */
void house_stop(struct api *api);

/* ---- answer.c: what answers have in common ---- */

/* Begins the answer's body; the content type is JSON. */
struct jw answer_start(struct http_call *call, int status);
/* The problem of a refusal: like http_problem(), with the statuses of docs/api.md. Returns 0. */
int answer_problem(struct http_call *call, const struct err *err);
/* The member "next" of a list whose cursor is a number; null where there is no more. */
void answer_next(struct http_call *call, struct jw *w, bool more, int64_t last);
/* What a browser saves the answer as: "purchases.csv". */
void answer_file_name(struct http_call *call, struct str name, const char *ending);
/* The status that answer_problem() gives. */
int problem_status(const struct err *err);
/* A problem object as a member of a larger answer. */
void problem_write(struct jw *w, const struct err *err);

/* The controller's id of a consumer, or null when nobody (any more) has that cid. `identities` is a
 * reading connection. */
int consumer_name_write(struct api *api, struct db *identities, const struct uid *cid, struct jw *w,
                        struct err *err);
struct consent_writer {
    struct api *api;
    const struct principal *caller; /* decides whether evidence is shown */
    struct db *identities;          /* a reading connection */
    struct str consumer;            /* its name where known; empty: looked up */
};
int consent_write(const struct consent_writer *cw, const struct consent *c, struct jw *w,
                  struct err *err);

/* ---- request.c: what requests have in common ---- */

/* Reads the body and takes it apart (json_take). The strings in *out borrow from *body, which the
 * caller frees. An empty body is an object without members. */
int request_body(struct http_call *call, const struct json_field *fields, size_t count,
                 enum json_unknown unknown, void *out, json_t **body, struct err *err);
/* ?limit= and nothing else but ?after= and the names in `more` (NULL-ended, may be NULL). */
int request_page(struct http_call *call, const char *const *more, int64_t *limit, struct str *after,
                 struct err *err);
/* JSON text of a member that may be of the kinds allowed; the empty str when `value` is NULL. */
int request_json(struct arena *arena, const json_t *value, const char *name, bool object,
                 size_t max, struct str *out, struct err *err);
struct request_key {
    struct str actor, key, method, path;
};
/* What the engine knows a repeated write by. */
void request_digests(const struct api *api, const struct request_key *k, const json_t *body,
                     size_t item, struct arena *arena, struct engine_write *w);
/* Idempotency-Key, if the call has one. `item` tells the writes of one call apart. */
int request_idempotency(struct http_call *call, const json_t *body, size_t item,
                        struct engine_write *w, struct err *err);

/* ---- pending.c: calls that wait for writes ---- */

struct pending {
    struct http_call *call;
    json_t *body;        /* what the writes borrow from until they are submitted; may be NULL */
    struct rules *rules; /* what their decisions borrow from until then; may be NULL */
    struct engine_write *writes;
    size_t count;
    void *more; /* the handler's own */
    _Atomic size_t left;
    int repeated; /* times */
};

/* From the call's arena, with `count` writes that have actor and arena set. Takes over `body`. */
struct pending *pending_new(struct http_call *call, json_t *body, size_t count);
/* Hands over all writes, so that one commit takes them, and lets `then` go on when the last is
 * durable or refused - unless the client has left: then the call ends without it, so from here on
 * all that the call holds is in its arena. Body and rules are given back, and what the writes had
 * from them is copied. Nothing of the call may be touched after it: return what it returns. */
int pending_submit(struct pending *p, http_handler *then);
/* The same once more for some of its writes, from `then`: true when they were handed over, false
 * when there are none or it was tried often enough. */
bool pending_repeat(struct pending *p, struct engine_write **some, size_t count,
                    http_handler *then);
/* Copies what the write has from JSON into the arena. */
void pending_keep(struct arena *arena, struct engine_write *w);
/* Gives back body and rules, of a call that is not submitted after all. */
void pending_free(struct pending *p);

/* ---- second.c: what one person proposes and another one approves ---- */

/* Whether two actors are one person, in whatever role. */
bool second_is_same(struct str one, struct str other);
/* 0 when `actor` may approve what `proposed_by` proposed, else the refusal. */
int second_person(struct str proposed_by, struct str actor, struct err *err);
/* The hash of what the caller has looked at, from the body of the call. */
int second_hash(struct http_call *call, struct sha256 *out, struct err *err);
/* The refusal when it is another one. */
int second_differs(struct err *err);
/* Answers a page of what was proposed, newest first. `sql` selects rows with seq < $1, at most $2;
 * `row` writes one, and says which it was. */
typedef int second_row(struct http_call *call, struct db_stmt *s, struct jw *w, uint32_t *shard,
                       int64_t *seq, struct err *err);
int second_list(struct http_call *call, const char *sql, second_row *row);

/* ---- eyes.c: what nobody does alone (eyes.h) ---- */

/* Whether it is the machine itself that calls, or somebody with an API key. */
bool eyes_machine(const struct http_call *call);
bool eyes_key(const struct http_call *call);
/* Each 0 where the caller may, else the refusal: give power, if the roles have such, to a key;
 * apply a policy; approve what another person proposed. */
int eyes_give(struct http_call *call, struct str roles, struct err *err);
int eyes_apply(struct http_call *call, bool alone, struct err *err);
int eyes_approve(struct http_call *call, struct err *err);
/* The refusal of a caller with an API key. */
int eyes_refuse_key(struct err *err);
/* Appends {since, seen}: since when four eyes are needed, and what staff ought to see of it. */
int eyes_report(struct http_call *call, struct buf *out, struct err *err);

/* ---- reads.c: reads of many by staff, approved by a second member of staff ---- */

struct read_ask {
    struct str recipient, purpose, category;
    struct str format; /* "jsonl", "csv": records; "ids": an audience */
};
/* What the read with this id asks for, into the arena; for staff. */
int read_ask_find(struct http_call *call, struct str id, struct read_ask *out, struct err *err);
/* What an approval is bound to: all that is asked for, and why. */
struct sha256 read_hash(const struct read_ask *ask, struct str why);
/* Spends the approval with this id on the read that is asked for, and lets `then` go on when that
 * is in the ledger or refused (its work is the pending). `ask` lives as long as the call. */
int read_use(struct http_call *call, struct str approval, const struct read_ask *ask,
             http_handler *then);

/* ---- batch.c ---- */

/* Whether anybody could be read of so under the rules in force, which are then in *rules. When not,
 * the call is answered with the refusal, recorded: return *answer. */
bool audience_permitted(struct http_call *call, const struct question *q, struct rules **rules,
                        int *answer);

/* ---- handlers ---- */

http_handler consents_create, consents_batch, consents_get, consents_withdraw, consents_renew,
    consents_amend, erasures_receipt, consents_receipt;
http_handler consumers_get, consumers_put, consumers_erase, consumers_consents;
http_handler accounts_invite, accounts_delegate, accounts_undelegate;
http_handler staff_create, staff_list, staff_read, staff_change, staff_invite, staff_end,
    staff_train;
http_handler history_list, events_list, overview_read, uses_list;
http_handler policy_get, policy_history, policy_apply, policy_check, policy_compare, notices_get;
http_handler proposals_create, proposals_list, proposals_get, proposals_approve, proposals_reject;
http_handler reads_create, reads_list, reads_get, reads_result, reads_approve, reads_reject;
http_handler issues_list, consumers_issues, issues_settle;
http_handler accesses_report;
http_handler records_create, records_list, records_get, records_correct, records_delete;

/* ---- metadata.c: what is known about many records ---- */

http_handler metadata_list, metadata_change, metadata_delete;
http_handler requests_create, requests_list, requests_get, requests_step, requests_of_consumer,
    requests_export, response_times;
http_handler holds_create, holds_list, holds_release, notifications_list, notifications_acknowledge;
http_handler consumers_signal, gpc_support;
http_handler retention_list, aggregates_ask, audience_read;
http_handler authzen_evaluation, authzen_evaluations, authzen_metadata;
http_handler search_subject, search_resource, search_action;
http_handler webhooks_create, webhooks_list, webhooks_get, webhooks_revoke, webhooks_rotate,
    webhooks_replay, webhooks_test, webhooks_failures;
http_handler store_rotate;
http_handler log_describe, log_checkpoint, log_make_checkpoint, log_tile, log_entries, log_cosign,
    log_inclusion, log_consistency;
http_handler operations_metrics, operations_alive, operations_ready;

#endif
