/*
 * engine.h - what the files of this module share. Private.
 */
#ifndef LOV_CONSENT_ENGINE_H
#define LOV_CONSENT_ENGINE_H

#include <pthread.h>
#include <stdatomic.h>

#include "consent/consent.h"
#include "consent/index.h"
#include "consent/state.h"

struct sweep_limits {
    int64_t after_ms;     /* a tail that old is written ... */
    size_t after_bytes;   /* ... or that large */
    size_t per_commit;    /* persons, and twice as many as the batch adds */
    size_t when_idle;     /* persons, in a commit of its own */
    int64_t unchanged_ms; /* or one that so long nobody was added to; 0: that does not count */
};
struct sweep_limits sweep_defaults(void);
/* engine_open() with other limits. */
int engine_open_with(const char *dir, struct log *log, const struct sweep_limits *limits,
                     struct engine **out, struct err *err);

/* How far the audit of a shard has come; its thread only. */
struct shard_audit {
    bool started;
    int64_t fresh, next; /* events: the first that is new, the next of all */
    int64_t older;       /* size of the checkpoint that was looked at last */
};

struct engine {
    int lock_fd;
    char *dir;
    pthread_mutex_t scrub_lock; /* one scrubs at a time */
    _Atomic bool unclean;     /* something deleted may still be in the WAL; relaxed: asked again */
    struct lineage *lineages; /* one a restore, by `from`; set before the engine is used */
    size_t lineage_count;
    bool rotating; /* this and rotate_after: the writer's thread only */
    int64_t rotate_after;
    uint32_t shards;
    struct log *log;
    struct identity *identity;
    struct ledger *ledger;
    struct tail *tail;
    struct sweep_limits sweep;
    bool closing; /* the writer's thread only */
    struct writer *writer;
    struct db_pool *lov, *identities;
    struct index *index;
    int64_t committed[PERMIT_SHARDS];    /* events of each shard; the writer's thread */
    struct sha256 leaves[PERMIT_SHARDS]; /* of the last of them ... */
    bool has_leaf[PERMIT_SHARDS];        /* ... where it is known */
    struct cipher_block *ids;
    _Atomic uint64_t rules; /* in force; see rules.c */
    /* Consumers whom the batch under way has changed, and the index does not show yet; the writer's
     * thread only. */
    struct hash128 *changed;
    size_t changed_count, changed_cap;
    struct buf
        keys; /* of idempotency, of the batch under way: for the journal; the writer's thread */
    int64_t key_count;
    bool bulk; /* a bulk is in the batch: it may have changed anybody; the writer's thread only */
    /* The newest instant in the ledger; relaxed: a decision may miss the last event's, never more.
     */
    _Atomic int64_t latest;
    struct log_signer *signers; /* by shard; as opened */
    struct shard_audit *audits; /* by shard */
    _Atomic bool audit_wrong;   /* this and the counts: relaxed, each alone */
    struct keeper *keeper;      /* audience_keep.c */
    _Atomic int64_t audit_runs, audited_events, audit_at;
};

/* Reads, or makes, what signing needs; before the writer starts. */
int publish_load(struct engine *e, struct db *lov, struct err *err);
void publish_unload(struct engine *e);

/* What a permit of an activity obliges to, as JSON; [1]: of consumers who want no decision by
 * machines alone. */
struct obligations {
    struct buf text[2];
};

struct rules {
    struct engine *published; /* where it is, or was, in force; NULL: never */
    _Atomic int64_t refs;     /* see rules.c */
    struct policy *policy;
    struct obligations *obligations; /* by activity->index */
    struct buf image;                /* what decisions are made from: permit/image.h */
};

/* Takes the caller's reference to `policy`. Under the index's write lock. */
struct rules *rules_new(struct index *ix, struct policy *policy);
/* Puts `r` in force, here and for readers in other processes; the engine takes the caller's
 * reference. Under the index's write lock. */
void engine_set_rules(struct engine *e, struct rules *r);
/* Those in force, not counted; the writer's thread, which alone replaces them. */
struct rules *rules_in_force(struct engine *e);
/* Takes what is in force out of it, when nobody decides any more. */
void rules_retire(struct engine *e);
/* The policy as one run of bytes, with the index's numbers in it, appended to *out. Under the
 * index's write lock. */
void image_write(struct index *ix, const struct policy *policy,
                 const struct obligations *obligations, struct buf *out);
/* decide() by an answer that is known already; NULL: of nobody. */
void decide_by(const struct engine *e, const struct rules *r, const struct question *q,
               const struct permit_answer *answer, struct decision *out);
/* decide() for the consumer of that number in the index. */
void decide_number(const struct engine *e, const struct rules *r, const struct question *q,
                   int64_t number, struct decision *out);

/* What a restore has left to do, if there was one; before anybody else writes. */
int engine_reconcile(struct engine *e, struct err *err);
/* Events from `from` on were numbered after a restore: the numbers may have been others' before, so
 * that ids made of them carry another mark. */
struct lineage {
    int64_t from;
    uint32_t mark;
};
int engine_load_lineages(struct engine *e, struct err *err);

/* ---- a write under way ---- */

/* The birthday inside what is sealed with the consumer, or DAY_NONE. */
int sealed_born(const struct identity *who, struct db *identities, const struct uid *cid,
                struct str sealed, int32_t *out, struct err *err);
/* Seals JSON under the consumer's key: text from the arena. */
int seal_json(const struct identity *who, struct db *identities, const struct uid *cid,
              struct str json, struct arena *arena, struct str *out, struct err *err);
int unseal_json(const struct identity *who, struct db *identities, const struct uid *cid,
                struct str sealed, struct buf *json, struct err *err);

/* What a write does to the index once it is durable; made by run(), which may run again. */
struct engine_change {
    struct identity_row who;
    bool has_who;
    bool attributes; /* what follows is to be set */
    struct str residence;
    bool restricted, opt_out_signal, no_automated_decision;
    int32_t born;
    bool erase, forget;       /* forget: who it was, too */
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
    struct person person;
    struct bulk_consumer *known; /* of a bulk, which has found them already; otherwise NULL */
};

/* A consumer whom writes of a bulk are about. */
struct bulk_consumer {
    struct identity_row who;
    struct str id;
    bool prepared; /* new, as far as the index knew ahead; otherwise when it turns out */
    struct identity_new new;
    bool found, added; /* somebody; by this bulk */
    bool erased;
};

/* The consumer of that lookup, of whom the index or the identity store knows. 1 or 0. */
int work_find_who(struct work *k, const struct hash128 *lookup, struct identity_row *out,
                  struct err *err);
/* What may be refused before a consumer is added: of WRITE_GIVE and WRITE_REFUSE. */
int answer_check_new(struct work *k, struct err *err);
/* One write of a bulk, as if it ran by itself. */
int write_run_known(struct work *k, struct err *err);
/* Was its idempotency key used before? Negative: for something else. */
int write_is_known(struct work *k, struct err *err);
/* The instant of what is durable now, for decisions. */
void write_show_time(struct engine *e);
/* Shows the index what a durable write has changed. Under its write lock. */
void write_show(struct engine *e, const struct engine_write *w);

/* Finds the consumer; adds them where `add` and they are new. 1 found or added, 0 not there;
 * LOV_ECONFLICT "erased". Fills work->person, with the
 * living consents where `living`, and change->who. */
int work_consumer(struct work *k, struct str id, bool add, bool living, struct err *err);
/* The same, with the living consents, by what a consent's event says. */
int work_consumer_of(struct work *k, uint32_t shard, int64_t seq, struct err *err);
/* Appends an event about the consumer and moves the head of their chain. */
int work_event(struct work *k, const char *kind, struct str activity, struct str body, int64_t *seq,
               struct err *err);
/* Writes a consent with the event that says so; `kind` "consent.give" ...; instead of those, which
 * may be NULL. */
int work_consent(struct work *k, const char *kind, struct consent *c,
                 const struct superseded_list *instead_of, struct err *err);
/* After the last event: hands the consumer to the tail. */
void work_finish(struct work *k);
struct str work_activity(struct work *k, struct str recipient, struct str purpose);
/* Checks purpose, recipient, categories against the policy in force. */
int work_check_names(struct work *k, const struct policy_activity **activity, struct err *err);
int work_check_notice(struct work *k, const struct policy_activity *activity, struct consent *out,
                      struct err *err);
/* Does it record what was answered earlier, by import or on paper? */
bool work_is_late(const struct work *k);
int work_check_expiry(struct work *k, const struct policy_activity *activity, int64_t from,
                      int64_t *expires_at, struct err *err);
int work_check_guardian(struct work *k, struct err *err);
int work_check_channel(struct work *k, bool required, struct err *err);
/* Adds evidence, guardian and detail of the write to what is sealed with the consent. */
int work_seal(struct work *k, struct consent *c, struct err *err);

/* What the journal has beside events comes into the store (ledger_recover). */
int engine_recover_other(struct db *lov, struct str entry, struct err *err);
/* The ledger's observer, which also ends what a batch has noted in engine and tail. */
struct write_observer engine_observer(struct engine *e);
/* Writes some rows of the tail, in the transaction, where it is time for it. */
int sweep(struct engine *e, struct db *lov, struct err *err);
/* Writes them all, where nobody else writes. */
int sweep_all(struct engine *e, struct db *lov, struct err *err);
/* Writes them all, and those of the batch under way: before the commit of a bulk. */
int sweep_bulk(struct engine *e, struct db *lov, struct err *err);
/* In how many ms it is; negative: there is nothing to write. */
int64_t sweep_wait(struct engine *e, bool stopping);
/* Has an earlier write of this batch changed the consumer? */
bool engine_changed(const struct engine *e, const struct hash128 *lookup);
/* Opens the index and makes it agree with the stores: as it is, by what came since, or anew. */
int engine_load_index(struct engine *e, const char *dir, struct db *identities, struct db *lov,
                      struct err *err);
/* Closes it; `started`: the writer ran, and ended with everything taken in. */
void engine_close_index(struct engine *e, bool started);
/* A batch is committed: what it wrote is about to be taken in by the index. */
void engine_index_committed(struct engine *e);
/* Tells the index that it has taken in every batch so far. */
int engine_index_applied(struct engine *e, struct db *lov, struct err *err);
/* Sets what a consent says in the index; under its write lock. */
void index_consent(struct index *ix, struct index_consumer *who, const struct consent *c);

/* Does `use` of the rules' image permit the consumer of that number? Also where they live: not set
 * where there is nobody. */
bool decide_use(const struct engine *e, const struct rules *r, const struct image_use *use,
                int64_t number, int64_t at, uint32_t *residence);
/* Ends the thread that engine_keep_audiences() started. */
void engine_stop_keeper(struct engine *e);

/* decide() as of an earlier time, for the consumer whose row is in work->consumer. */
int decide_past(struct work *k, const struct question *q, struct decision *out, struct err *err);

/* Lets the write's other(), if it has one, act on the consumer that was found. */
int work_with_other(struct work *k, struct err *err);

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
int write_other(struct work *k, struct err *err);

#endif
