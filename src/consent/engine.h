/*
 * engine.h - what the files of this module share. Private.
 */
#ifndef LOV_CONSENT_ENGINE_H
#define LOV_CONSENT_ENGINE_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/json.h"
#include "consent/consent.h"
#include "consent/index.h"

struct engine {
    int lock_fd;
    char *dir;
    pthread_mutex_t scrub_lock; /* one scrubs at a time */
    _Atomic bool unclean;     /* something deleted may still be in the WAL; relaxed: asked again */
    struct lineage *lineages; /* one a restore, by `from`; set before the engine is used */
    size_t lineage_count;
    bool rotating; /* this and rotate_after: the writer's thread only */
    int64_t rotate_after;
    struct log *log;
    struct identity *identity;
    struct ledger *ledger;
    struct writer *writer;
    struct db_pool *lov, *identities;
    struct index *index;
    struct cipher_block *ids;
    pthread_mutex_t rules_lock; /* guards `rules` and the count of the one it points to */
    struct rules *rules;
    /* Consumers whom the batch under way has changed, and the index does not show yet; the writer's
     * thread only. */
    struct hash128 *changed;
    size_t changed_count, changed_cap;
    /* The newest instant in the ledger; relaxed: a decision may miss the last event's, never more.
     */
    _Atomic int64_t latest;
};

struct rules {
    _Atomic long refs;
    struct policy *policy;
    struct buf *obligations; /* by activity->index: JSON */
    uint32_t **keys;         /* by activity->index, then by position of the category */
    uint32_t *notices;       /* index number by notice->index */
    const struct policy_law *
        *laws; /* by residence number, for those known when the rules were made */
    uint32_t law_count;
};

/* Takes the caller's reference to `policy`. Under the index's write lock. */
struct rules *rules_new(struct index *ix, struct policy *policy);
/* Puts `r` in force; the engine takes the caller's reference. */
void engine_set_rules(struct engine *e, struct rules *r);
/* decide() for a consumer who was found already; under the index's read lock. */
void decide_for(const struct engine *e, const struct rules *r, const struct question *q,
                const struct index_consumer *c, struct decision *out);

/* What a restore has left to do, if there was one; before anybody else writes. */
int engine_reconcile(struct engine *e, struct err *err);
/* Events from `from` on were numbered after a restore: the numbers may have been others' before, so
 * that ids made of them carry another mark. */
struct lineage {
    int64_t from;
    uint32_t mark;
};
int engine_load_lineages(struct engine *e, struct err *err);

/* ---- rows ---- */

struct consumer_row {
    struct uid cid;
    uint32_t shard;
    struct str residence, sealed;
    bool restricted, opt_out_signal;
    int64_t event, last_event;
};

/* 1 and *out, texts in the arena; 0 where there is none. */
int row_consumer_get(struct db *lov, uint32_t shard, const struct uid *cid, struct arena *arena,
                     struct consumer_row *out, struct err *err);
int row_consumer_put(struct db *lov, const struct consumer_row *row, struct err *err);
/* The event's body that says what the row says. */
void row_consumer_body(const struct consumer_row *row, struct buf *out);

int row_consent_get(struct db *lov, uint32_t shard, const struct uid *cid, int64_t seq,
                    struct arena *arena, struct consent *out, struct err *err);
/* Those of one recipient and purpose (both empty: all) with seq > after, in order of seq. */
int row_consent_each(struct db *lov, uint32_t shard, const struct uid *cid, struct str recipient,
                     struct str purpose, int64_t after, int64_t limit, struct arena *arena,
                     int (*row)(void *ctx, const struct consent *c), void *ctx, struct err *err);
int row_consent_put(struct db *lov, const struct consent *c, struct err *err);
void row_consent_body(const struct consent *c, struct buf *out);
/* The member "sealed": base64url, or null where there is nothing. */
void row_sealed_member(struct jw *w, struct str sealed);
/* The columns of consent, in the order that row_consent_read expects. */
#define CONSENT_COLUMNS                                                                            \
    "shard, cid, seq, purpose, recipient, categories, narrowed, status, notice, notice_version, "  \
    "notice_language, notice_hash, channel, given_at, expires_at, guardian, sealed, event"
int row_consent_read(struct db_stmt *s, struct arena *arena, struct consent *out, struct err *err);
bool consent_status_parse(struct str text, enum consent_status *out);
/* The birthday inside what is sealed with the consumer, or DAY_NONE. */
int sealed_born(const struct identity *who, struct db *identities, const struct uid *cid,
                struct str sealed, int32_t *out, struct err *err);
/* Seals JSON under the consumer's key: text from the arena. */
int seal_json(const struct identity *who, struct db *identities, const struct uid *cid,
              struct str json, struct arena *arena, struct str *out, struct err *err);
int unseal_json(const struct identity *who, struct db *identities, const struct uid *cid,
                struct str sealed, struct buf *json, struct err *err);
struct str *names_copy(struct arena *arena, const struct str *names, size_t count);
bool names_have(const struct str *names, size_t count, struct str name);

/* ---- a write under way ---- */

/* What a write does to the index once it is durable; made by run(), which may run again. */
struct engine_change {
    struct identity_row who;
    bool has_who;
    bool attributes; /* residence, restricted, opt_out_signal, born are to be set */
    struct str residence;
    bool restricted, opt_out_signal;
    int32_t born;
    bool erase;
    struct consent *consents; /* each category of each is set to what the consent says */
    size_t consent_count;
    struct engine_change *next; /* of another consumer (expiry) */
};

struct work {
    struct engine *e;
    struct engine_write *w;
    struct db *lov, *identities;
    int64_t now;
    struct rules *rules; /* in force; not counted: only this thread replaces them */
    struct engine_change *change;
    struct consumer_row consumer;
};

/* Finds the consumer; adds them where `add` and they are new. 1 found or added, 0 not there;
 * LOV_ECONFLICT "erased". Fills work->consumer and change->who. */
int work_consumer(struct work *k, struct str id, bool add, struct err *err);
/* The same by what a consent's event says. */
int work_consumer_of(struct work *k, uint32_t shard, int64_t seq, struct err *err);
/* Appends an event about the consumer and moves the head of their chain. */
int work_event(struct work *k, const char *kind, struct str activity, struct str body, int64_t *seq,
               struct err *err);
/* Writes a consent with the event that says so; `kind` "consent.give" ... */
int work_consent(struct work *k, const char *kind, struct consent *c, struct err *err);
/* After the last event: writes the consumer's row. */
int work_finish(struct work *k, struct err *err);
struct str work_activity(struct work *k, struct str recipient, struct str purpose);
/* Checks purpose, recipient, categories against the policy in force. */
int work_check_names(struct work *k, const struct policy_activity **activity, struct err *err);
int work_check_notice(struct work *k, const struct policy_activity *activity, struct consent *out,
                      struct err *err);
int work_check_expiry(struct work *k, const struct policy_activity *activity, int64_t from,
                      int64_t *expires_at, struct err *err);
int work_check_guardian(struct work *k, struct err *err);
int work_check_channel(struct work *k, bool required, struct err *err);
/* Adds evidence, guardian and detail of the write to what is sealed with the consent. */
int work_seal(struct work *k, struct consent *c, struct err *err);

/* The ledger's observer, which also ends what a batch has noted in the engine. */
struct write_observer engine_observer(struct engine *e);
/* Has an earlier write of this batch changed the consumer? */
bool engine_changed(const struct engine *e, const struct hash128 *lookup);
/* Sets what a consent says in the index; under its write lock. */
void index_consent(struct index *ix, struct index_consumer *who, const struct consent *c);

/* decide() as of an earlier time, for the consumer whose row is in work->consumer. */
int decide_past(struct work *k, const struct question *q, struct decision *out, struct err *err);

/* One function a kind of write. */
int write_answer(struct work *k, struct err *err);
int write_withdraw(struct work *k, struct err *err);
int write_renew(struct work *k, struct err *err);
int write_amend(struct work *k, struct err *err);
int write_expire(struct work *k, struct err *err);
int write_consumer(struct work *k, struct err *err);
int write_erase(struct work *k, struct err *err);
int write_access(struct work *k, struct err *err);
int write_policy(struct work *k, struct err *err);

#endif
