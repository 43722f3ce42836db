/*
 * consent.h - the engine: consents, consumers, accesses, and decide().
 *
 * A struct engine is an open installation: both stores, the policy in force, the ledger, the permit
 * index (a mapped file, which other processes may read: liblov) and the writer. One process at a
 * time may hold it (a lock in the folder). All functions may be called from any thread unless they
 * say otherwise.
 *
 * Writes are asynchronous: fill a struct engine_write of the right kind, submit it, and its done()
 * is called on the writer's thread once it is durable and in force in the index - or refused. Until
 * then everything it points to must stay. engine_run() does the same and waits.
 *
 * One consent is a consumer's answer for one purpose and recipient and some categories. For each
 * category the latest answer stands: a new answer takes its categories over from older ones, and an
 * older one that has none left is superseded.
 */
#ifndef LOV_CONSENT_CONSENT_H
#define LOV_CONSENT_CONSENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/str.h"
#include "db/writer.h"
#include "identity/identity.h"
#include "ledger/ledger.h"
#include "ledger/publish.h"
#include "policy/policy.h"

/* ---- the installation ---- */

struct engine;

/* Makes a new installation: folder (0700), key, both stores. LOV_ECONFLICT when there is one. */
int engine_init(const char *dir, struct err *err);
/* The same with the origin of its log (publish.h); NULL: one that is drawn. */
int engine_init_named(const char *dir, const char *origin, struct err *err);
/* LOV_ENOTFOUND when `dir` holds none; LOV_ECONFLICT (reason "locked") when another process holds
 * it; LOV_EVERSION when it is newer than the program. */
int engine_open(const char *dir, struct log *log, struct engine **out, struct err *err);
/* Waits for the writes under way. */
void engine_close(struct engine *e);

/* Keeps an installation from being opened, by anybody, until engine_unlock(). LOV_ECONFLICT (reason
 * "locked") when it is open. */
int engine_lock(const char *dir, int *fd, struct err *err);
void engine_unlock(int fd);

const struct identity *engine_identity(const struct engine *e);
struct writer *engine_writer(struct engine *e);
struct ledger *engine_ledger(struct engine *e); /* inside a write job only */
/* Reading connections to the two stores: take one, put it back. */
struct db_pool *engine_lov(struct engine *e);
struct db_pool *engine_identities(struct engine *e);
struct log *engine_log(struct engine *e);
/* What was acknowledged before the call is in the store of events, for who reads lov.db without the
 * engine: waits for the process that has it open, or recovers what one that was killed has left. */
int engine_settle(const char *dir, struct err *err);
/* A store of an installation, "lov" or "identity", for reading beside a server that runs, damaged
 * pages too (log verify); lov is settled. */
int engine_open_store(const char *dir, const char *store, struct db **out, struct err *err);
/* Brings a copy of lov.db, which nobody has open, to where this program's stores are. */
int engine_update_copy(const char *path, struct err *err);

/* ---- keeping the stores (store.c) ---- */

/* Overwrites what is left of the consumers whose erasure is durable, in both stores (db_scrub).
 * Waits for readers of an older state, `wait_ms` at most; *clean is false when they were slower,
 * and then engine_scrub_again() does it when they are gone. */
int engine_scrub(struct engine *e, int wait_ms, bool *clean, struct err *err);
/* Does what is left to do, if anything. To be called now and then; fails silently. */
void engine_scrub_again(struct engine *e, int wait_ms);

/* Rows were deleted or replaced, durably, whose content is to be overwritten: engine_scrub_again()
 * will. */
void engine_unclean(struct engine *e);

/* The lov store in `dir` is about to be one that was backed up at `made_at`: the next opening
 * brings it and the identities together (whoever either of them has erased is erased in both) and
 * records "store.restore" in the ledger. */
int engine_note_restore(const char *dir, int64_t made_at, struct err *err);

struct engine_rotation {
    struct str actor;
    bool go_on; /* in: only what was begun */
    /* Out: */
    bool done;
    bool environment; /* $LOV_KEY has to be changed to what is in key.next */
    int64_t rows;     /* that this step has looked at */
};
/* One step of changing the key-encryption key, some milliseconds of the writer's time: call it
 * until it is done. The first call begins, or takes up what a process that ended has begun. */
int engine_rotate(struct engine *e, struct engine_rotation *r, struct err *err);

/* ---- what the ledger publishes (ledger/publish.h) ---- */

/* There are the shards 0 to engine_shards() - 1. */
uint32_t engine_shards(const struct engine *e);
/* Who signs for the shard, and by what verifier key; lives as long as the engine. */
const struct log_signer *engine_signer(const struct engine *e, uint32_t shard);
/* Makes a checkpoint of each shard that grew since its last one. Any thread but the writer's;
 * waits. LOV_ECORRUPT: the ledger does not continue what was signed, see publish_step(). */
int engine_publish(struct engine *e, struct err *err);
/* Keeps lines of witnesses, see publish_cosign(). */
int engine_cosign(struct engine *e, uint32_t shard, int64_t size, struct str lines,
                  const struct witnesses *by, int *kept, struct err *err);
/* Examines what was published and some of the events (ledger/audit.h), a bounded part in each call;
 * one thread at a time. When something is wrong for the first time it is logged, and the event
 * "log.alert" tells of it. */
int engine_audit(struct engine *e, struct err *err);
struct engine_audit_state {
    bool wrong;         /* stays until the server is started again and finds nothing */
    int64_t runs;       /* since the start */
    int64_t events;     /* recomputed so far */
    int64_t checked_at; /* ms UTC; 0: never */
};
struct engine_audit_state engine_audit_state(struct engine *e);

/* ---- decide ---- */

/* The rules in force: a policy and what is derived from it. Hold it while a decision is in use;
 * NULL where no policy was ever applied. */
struct rules;
struct rules *engine_rules(struct engine *e);
void rules_unref(struct rules *r); /* before the engine is closed */
struct policy *rules_policy(const struct rules *r);
/* What travels with a permit, as a JSON object {view, retention_days, no_automated_decision}: text
 * made once per policy, since every permit carries it. Of a decision that names an activity. */
struct decision;
struct str rules_obligations(const struct rules *r, const struct decision *d);

struct question {
    struct str recipient, purpose, category, consumer;
    int64_t at; /* ms UTC */
    /* Private to decide_ahead() and decide(). */
    bool looked_up;
    struct hash128 lookup;
};

/* Why: stable words, see decision_reason_name(); the numbers are those of lov.h. */
enum decision_reason {
    REASON_PERMITTED = LOV_PERMITTED,
    REASON_UNAVAILABLE = LOV_UNAVAILABLE,
    REASON_RECIPIENT_UNKNOWN = LOV_RECIPIENT_UNKNOWN,
    REASON_RECIPIENT_SUSPENDED = LOV_RECIPIENT_SUSPENDED,
    REASON_RECIPIENT_CONTRACT_ENDED = LOV_RECIPIENT_CONTRACT_ENDED,
    REASON_RECIPIENT_SAFEGUARDS_ENDED = LOV_RECIPIENT_SAFEGUARDS_ENDED,
    REASON_RECIPIENT_TRAINING_LAPSED = LOV_RECIPIENT_TRAINING_LAPSED,
    REASON_NOT_IN_POLICY = LOV_NOT_IN_POLICY,
    REASON_UNKNOWN_CONSUMER = LOV_UNKNOWN_CONSUMER,
    REASON_ERASED = LOV_ERASED,
    REASON_RESTRICTED = LOV_RESTRICTED,
    REASON_NO_CONSENT = LOV_NO_CONSENT,
    REASON_WITHDRAWN = LOV_WITHDRAWN,
    REASON_REFUSED = LOV_REFUSED,
    REASON_EXPIRED = LOV_EXPIRED,
    REASON_NOTICE_SUPERSEDED = LOV_NOTICE_SUPERSEDED,
    REASON_GUARDIAN_REQUIRED = LOV_GUARDIAN_REQUIRED,
    REASON_OPTED_OUT = LOV_OPTED_OUT,
    REASON_OBJECTED = LOV_OBJECTED,
    REASON_RECIPIENT_NOT_BEGUN = LOV_RECIPIENT_NOT_BEGUN,
    REASON_COUNT = LOV_REASON_COUNT,
};
const char *decision_reason_name(enum decision_reason reason);
/* One sentence in plain English. */
const char *decision_reason_text(enum decision_reason reason);

/* Why nothing can be decided: what is behind REASON_UNAVAILABLE. */
enum decision_cause {
    CAUSE_NONE,
    CAUSE_NO_POLICY,
    CAUSE_CLOCK,        /* it is behind the newest event of the ledger */
    CAUSE_INDEX,        /* it is damaged, or the disk had no room for it */
    CAUSE_NOT_RECORDED, /* permitted, but what must be recorded could not be */
    CAUSE_COUNT,
};
/* A stable word; "" for CAUSE_NONE. */
const char *decision_cause_name(enum decision_cause cause);

struct decision {
    bool permit;
    enum decision_reason reason;
    enum decision_cause cause;    /* of REASON_UNAVAILABLE */
    int64_t latest;               /* ms UTC, of the ledger's newest event; with CAUSE_CLOCK */
    enum policy_basis basis;      /* BASIS_NONE where no activity was found */
    const struct policy_law *law; /* NULL where the consumer is unknown */
    const struct policy_activity
        *activity;              /* NULL where there is none; lives as long as the rules */
    int64_t consent;            /* seq of the consent that decided, -1: none */
    uint32_t shard;             /* of the ledger that `consent` is in */
    bool no_automated_decision; /* the consumer wants no decision by machines alone */
};
/* The decision in a sentence, appended: decision_reason_text(), or the cause where there is one. */
void decision_text(const struct decision *d, struct buf *out);
/* Can anything be decided now? False with *out a denial that says why not. */
bool decide_available(const struct engine *e, const struct rules *r, struct decision *out);
/* The one implementation (DESIGN §4). `r` may be NULL: denies as unavailable. Never fails, takes no
 * memory, counts nothing. */
void decide(struct engine *e, const struct rules *r, const struct question *q,
            struct decision *out);
/* Optional: starts fetching what decide() will read of the consumer, for who has other questions to
 * decide meanwhile. The question's consumer may not be changed afterwards. */
void decide_ahead(const struct engine *e, struct question *q);

/* ---- audiences: of whom may this be used? ---- */

enum { AUDIENCE_CONDITIONS = 16, AUDIENCE_CODES = 64 };
struct audience_ask {
    const struct question *all; /* recipient, purpose and category: each of them must be permitted
                                 */
    size_t count;               /* 1 to AUDIENCE_CONDITIONS */
    /* Of those alone who live in one of these residences (a country has its parts in it), and whom
     * one of these laws covers; none: everybody. */
    const struct str *residences, *laws;
    size_t residence_count, law_count;
};
/* An audience that is being asked for; one thread. Texts of `ask` are copied. It follows changes:
 * of consents, of consumers, of the policy. */
struct audience;
struct audience *audience_open(struct engine *e, const struct audience_ask *ask);
void audience_close(struct audience *a); /* before the engine */
/* Numbers of consumers from `from` on, in order, for whom decide() permits all now, `most` at most;
 * *next is the number to go on from, -1 at the end. It takes about `patience_ms` (negative: as long
 * as it needs), then it may return fewer, or none. None and -1 when nothing can be decided now. */
void audience_find(struct audience *a, int64_t from, size_t most, int64_t patience_ms,
                   uint32_t *numbers, size_t *count, int64_t *next);
/* How many there are, as of one instant but for changes during the call. LOV_EUNAVAILABLE
 * ("audience_not_ready") when they cannot be counted within `patience_ms`: the next call has less
 * to do. */
int audience_count(struct audience *a, int64_t patience_ms, int64_t *out, struct err *err);
/* Is what it is computed from ready? Makes it for about `patience_ms`; LOV_EUNAVAILABLE
 * ("audience_not_ready") when that is not enough. */
int audience_prepare(struct audience *a, int64_t patience_ms, struct err *err);
/* Who the consumer of a number is: all zero for one who was erased. */
struct uid engine_cid(const struct engine *e, uint32_t number);
/* Keeps what audiences are computed from ready, in a thread of its own, until the engine is closed;
 * else it is made when it is first asked for. Once. */
int engine_keep_audiences(struct engine *e, struct err *err);

/* ---- consents ---- */

enum consent_status {
    CONSENT_ACTIVE,
    CONSENT_REFUSED,
    CONSENT_WITHDRAWN,
    CONSENT_EXPIRED,
    CONSENT_SUPERSEDED,
};
const char *consent_status_name(enum consent_status status);

struct consent {
    uint32_t shard;
    struct uid cid;
    int64_t seq; /* with shard: its identity; see consent_id_format */
    struct str purpose, recipient;
    struct str *categories;
    size_t category_count;
    struct str *narrowed; /* taken out by the consumer through amend */
    size_t narrowed_count;
    enum consent_status
        status; /* as of the time it was read: an active one past its end is expired */
    struct str notice, notice_language;
    int notice_version;
    struct sha256 notice_hash;
    struct str channel;
    int64_t given_at, expires_at; /* expires_at TIME_NONE: of a refusal */
    bool by_guardian;
    struct str sealed; /* evidence, guardian and reasons under the consumer's key; may be empty */
    int64_t event;     /* seq of its own last event */
};

/* A consent's public id: 32 hexadecimal digits that show nothing of shard and seq. */
void consent_id_format(const struct engine *e, uint32_t shard, int64_t seq, struct buf *out);
bool consent_id_parse(const struct engine *e, struct str id, uint32_t *shard, int64_t *seq);

/* 1 and *out (texts from the arena), or 0. */
int consent_get(struct engine *e, uint32_t shard, int64_t seq, struct arena *arena,
                struct consent *out, struct err *err);
/* A consumer's consents, in order of seq. Those that a later answer took the place of wholly are
 * read from the ledger, one by one. */
typedef int consent_row(void *ctx, const struct consent *c);
int consent_list(struct engine *e, const struct identity_row *consumer, struct arena *arena,
                 consent_row *row, void *ctx, struct err *err);
/* Without those. */
int consent_list_living(struct engine *e, const struct identity_row *consumer, struct arena *arena,
                        consent_row *row, void *ctx, struct err *err);
/* {"evidence": ..., "guardian": ..., ...}, opened with the consumer's key, appended; nothing is
 * appended when there is nothing or the consumer was erased. */
int consent_unseal(struct engine *e, const struct consent *c, struct buf *json, struct err *err);

/* Where a consumer is: 1 and *out, or 0. */
int consumer_find(struct engine *e, struct str id, struct identity_row *out, struct err *err);
struct consumer {
    struct identity_row who;
    struct str residence; /* arena */
    bool restricted, opt_out_signal, no_automated_decision;
    int32_t born; /* day; DAY_NONE: not known */
    int64_t last_event;
};
/* 1 and *out, or 0. */
int consumer_get(struct engine *e, struct str id, struct arena *arena, struct consumer *out,
                 struct err *err);

/* ---- writes ---- */

enum write_kind {
    WRITE_GIVE, /* consumer, purpose, recipient, categories, notice; evidence, guardian, expires_at
                 */
    WRITE_REFUSE,   /* the same */
    WRITE_WITHDRAW, /* consent; detail */
    WRITE_RENEW,    /* consent, notice; evidence, guardian, expires_at */
    WRITE_AMEND,  /* consent, categories; notice (demanded to widen), evidence, guardian, expires_at
                   */
    WRITE_EXPIRE, /* nothing: records up to `limit` consents as expired; written says how many */
    WRITE_CONSUMER, /* consumer; the members of `set` that has_... says */
    WRITE_ERASE,    /* consumer */
    WRITE_ACCESS,   /* question + decision of a use, detail; out_seq is its event. A permit is
                     * decided again in the order of the ledger: look at `decision` afterwards.
                     * "unavailable": overtaken by a change of policy or consumer, submit again */
    WRITE_POLICY,   /* bundle */
    WRITE_OTHER,    /* other; consumer (empty: of nobody); adds them where `add` and they are new */
};

/* What the write of another module works with, on the writer's thread and in its transaction. */
struct write_scope {
    struct engine *engine;
    struct db *lov, *identities;
    int64_t now; /* of the batch: what the rows say and the events */
    struct arena *arena;
    const struct identity_row *who; /* NULL: no consumer was named, or there is none such */
    struct str residence;           /* of the consumer */
    int64_t last_event;             /* the head of their chain of events, -1: none yet */
    const struct policy *policy;    /* in force; NULL: none is */
};
/* Appends an event of the scope's consumer, or of nobody. The event is durable with the rows that
 * the write puts, or neither is. */
int engine_append(struct write_scope *scope, const char *kind, struct str activity, struct str body,
                  int64_t *seq, struct err *err);
/* In a write of nobody: from here to scope_leave() it is about the consumer of that cid. 1, or 0
 * where there is none such. When something fails in between, so does the write. */
int scope_enter(struct write_scope *scope, uint32_t shard, const struct uid *cid, struct err *err);
void scope_leave(struct write_scope *scope);
/* Seals JSON under the key of the scope's consumer, into the scope's arena, as evidence is; and
 * opens it (appended). LOV_ECONFLICT "erased" when there is no key any more. */
int scope_seal(struct write_scope *scope, struct str json, struct str *out, struct err *err);
int scope_unseal(struct write_scope *scope, struct str sealed, struct buf *json, struct err *err);

/* Seals JSON that is personal under the key of the scope's consumer, for the member "sealed" of an
 * event's body: base64url, in the scope's arena. LOV_ECONFLICT "erased". */
int engine_seal(struct write_scope *scope, struct str json, struct str *out, struct err *err);

struct notice_shown {
    struct str id, language;
    int64_t version; /* 0: not said */
    bool has_hash;
    struct sha256 hash; /* when the caller sends it, it must be the notice's */
};

struct engine_write {
    struct write_job job; /* private; first */
    struct engine *engine;
    enum write_kind kind;
    struct str actor;    /* "staff:admin/3f2a" */
    struct arena *arena; /* of the caller: what `out` points to; the writer's thread uses it */

    /* Input, by kind. */
    struct str consumer;
    uint32_t shard;
    int64_t consent; /* seq */
    struct str purpose, recipient;
    struct str *categories;
    size_t category_count;
    struct notice_shown notice;
    struct str channel; /* web app phone paper cmp oauth import; empty: as it was */
    struct str evidence, guardian, detail; /* JSON; empty: none */
    int64_t expires_at;                    /* TIME_NONE: the longest that policy and law allow */
    int64_t given_at; /* TIME_NONE: now; earlier only with channel import or paper */
    bool idempotent;
    struct sha256 idempotency; /* of caller and key */
    struct sha256 request;     /* of what was asked */
    int64_t limit;
    struct {
        bool has_residence, has_restricted, has_opt_out_signal, has_no_automated_decision, has_born;
        struct str residence;
        bool restricted, opt_out_signal, no_automated_decision;
        int32_t born;
    } set;
    struct question question; /* access: who used what of whom for what, and when */
    struct decision decision;
    int policy_version;
    bool reported; /* the use was made elsewhere and is told afterwards */
    const struct policy_bundle *bundle;
    /* WRITE_OTHER: checks, then writes rows of its module and appends their events; sets out_seq.
     * With WRITE_CONSUMER and WRITE_ERASE, where it may be NULL: does so before the event of these,
     * in one transaction with what they do; what it refuses, they refuse. May run more than once,
     * each time as if it were the first: it keeps what it makes in the write's arena. Refusals as
     * of the other kinds. */
    int (*other)(struct engine_write *w, struct write_scope *scope, struct err *err);
    const void *input;    /* other: its own, of the caller's arena */
    bool add;             /* other: a consumer who is new */
    bool confirm_version; /* policy: apply only on top of expected_version */
    int expected_version;

    /* Output, valid in done() when job.rc is 0. */
    struct consent out;
    int64_t out_seq;
    int64_t written;
    struct identity_row who; /* access that was permitted: the consumer whom its event is about */
    bool replayed;           /* the idempotency key was known: nothing was written */
    struct policy *policy;   /* WRITE_POLICY: one reference for the caller */
    struct policy_findings findings; /* WRITE_POLICY: the caller frees */

    void (*done)(struct engine_write *w);
    void *ctx;

    struct engine_change *change; /* private: what durable() does to the index */
};

/* Refusals come back in job.rc and job.err: LOV_EINVAL, LOV_ENOTFOUND, LOV_ECONFLICT with reasons
 * unknown_purpose, unknown_recipient, unknown_category, not_in_policy, unknown_notice,
 * notice_not_in_force, notice_language_missing, notice_hash_mismatch, notice_required,
 * expires_too_late, expires_in_the_past, guardian_required, unknown_consent, unknown_consumer,
 * erased, not_active, superseded, idempotency_key_reused, nothing_to_amend, policy_invalid,
 * policy_moved_on, no_policy. */
void engine_submit(struct engine *e, struct engine_write *w);
int engine_run(struct engine *e, struct engine_write *w, struct err *err);

/* Records each transfer to a successor that has begun since it was called last: event
 * "transfer.begin", with how many permit what. Waits. */
int engine_begin_transfers(struct engine *e, struct err *err);

/* The files of a stored version, 0: of the newest. LOV_ENOTFOUND. */
int engine_policy_files(struct engine *e, int version, struct policy_bundle *out, struct err *err);
/* Applies the policy in force once more when a change of a law that it schedules has come: the next
 * version, by "lov". Waits. */
int engine_follow_laws(struct engine *e, struct err *err);

/* ---- effects of a policy before it is applied ---- */

struct policy_effect {
    int64_t consumers;                 /* for whom at least one decision on the activity changes */
    int64_t consents;                  /* active consents whose decision changes */
    int64_t permits_lost, permits_won; /* decisions (consumer and category) that turn */
    int64_t covered;                   /* of a law: consumers whom it covers, before or after */
};
/* The decisions at `at` under the rules in force and under `after`: effects[i] of each change of
 * `diff` that names a recipient and purpose, or a law; others are zero. */
void policy_effects(struct engine *e, struct policy *after, int64_t at,
                    const struct policy_diff *diff, struct policy_effect *effects);

/* ---- verifying ---- */

struct state_report {
    int64_t rows;
    bool wrong;
    char what[200];
    int64_t seq; /* the event that the wrong row should agree with */
};
/* Compares each state row of a shard with the event that it mirrors - consumers, consents,
 * policies, notices, API keys - and each such event with its rows. Of a ledger that ledger_verify()
 * found right. */
int state_verify(struct db *lov, uint32_t shard, struct state_report *out, struct err *err);

struct engine_counts {
    int64_t consumers, permits;
    int policy_version;
    struct writer_counts writer;
};
struct engine_counts engine_counts(struct engine *e);

#endif
