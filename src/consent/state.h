/*
 * state.h - the state of consumers: rows in the tables, bodies of events, and the tail. Private.
 *
 * What a consumer said is in the ledger first: an event is appended and its batch is durable. The
 * rows that it changes lie in random places of the tables, so they are written later, many at a
 * time and in order; PostgreSQL does the same with its pages. Until then the consumer is held in
 * the tail. shard.applied says up to which event the tables are complete; what follows is read
 * again from the ledger when the installation is opened (replay.c).
 */
#ifndef LOV_CONSENT_STATE_H
#define LOV_CONSENT_STATE_H

#include "base/arena.h"
#include "base/json.h"
#include "consent/consent.h"
#include "db/db.h"

struct consumer_row {
    struct uid cid;
    uint32_t shard;
    struct str residence, sealed;
    bool restricted, opt_out_signal, no_automated_decision;
    int64_t event;      /* the last that changed the row; its body says what the row says */
    int64_t last_event; /* the head of the consumer's chain of events */
};

/* A consumer as the last event left them. */
struct person {
    struct consumer_row row;
    int64_t since; /* what an event from this seq on has changed is not in the tables */
    bool living;   /* all consents are here that can still change */
    bool swept;    /* the tables may have earlier rows of what came since */
    size_t consent_count;
    struct consent *consents; /* those, by seq; and dead ones of older logs, without a row yet */
    size_t gone_count;
    int64_t *gone; /* seqs of consents that were superseded: the tables may still have them */
};

/* What the body of an answer says of a consent that it took the place of, wholly: no event of its
 * own does, and it has no row. `event` is the last that changed it. */
struct superseded {
    int64_t consent, event;
};
struct superseded_list {
    struct superseded *items;
    size_t count;
};

/* ---- bodies of events ---- */

void body_consumer(const struct consumer_row *row, struct buf *out);
void body_consent(const struct consent *c, struct buf *out);
/* Adds to the body of a consent what it took the place of, where that is anything. */
void body_superseded(const struct superseded_list *list, struct buf *body);
/* Does the body of an event say what the row's says? */
bool body_says(struct str body, struct str of_row);
/* Of "consumer.erase": a keyed hash of the id is kept. */
struct str body_erasure(bool suppressed);
bool body_is_suppressed(struct str body);
/* The member "sealed": base64url, or null where there is nothing. */
void body_sealed(struct jw *w, struct str sealed);
/* The reverse: texts from the arena; what the body does not say is left as it was (consumer) or
 * zero (consent: shard, cid, event). LOV_ECORRUPT on anything that body_...() does not write. */
int body_read_consumer(struct str body, struct arena *arena, struct consumer_row *out,
                       struct err *err);
int body_read_consent(struct str body, struct arena *arena, struct consent *out, struct err *err);
int body_read_superseded(struct str body, struct arena *arena, struct superseded_list *out,
                         struct err *err);
/* The seq of the consent that a consent's body speaks of, or -1. */
int64_t body_consent_seq(struct str body);
bool consent_status_parse(struct str text, enum consent_status *out);
struct str *names_copy(struct arena *arena, const struct str *names, size_t count);
bool names_have(const struct str *names, size_t count, struct str name);

/* ---- rows ---- */

/* 1 and *out, texts in the arena; 0 where there is none. */
int row_consumer_get(struct db *lov, uint32_t shard, const struct uid *cid, struct arena *arena,
                     struct consumer_row *out, struct err *err);
int row_consumer_put(struct db *lov, const struct consumer_row *row, struct err *err);
/* A consumer's consents, in order of seq: the living ones, or (`past`) the dead. */
int row_consents(struct db *lov, uint32_t shard, const struct uid *cid, bool past,
                 struct arena *arena, struct consent **out, size_t *count, struct err *err);
int row_consent_put(struct db *lov, const struct consent *c, struct err *err);
/* Takes away the row of a consent that was superseded, if there is one. */
int row_consent_drop(struct db *lov, uint32_t shard, const struct uid *cid, int64_t seq,
                     struct err *err);
/* Deletes what any module keeps of the consumer: each table of theirs is named here. */
int rows_erase(struct db *lov, uint32_t shard, const struct uid *cid, struct err *err);
/* The columns of consent, in the order that row_consent_read expects. */
#define CONSENT_COLUMNS                                                                            \
    "shard, cid, seq, purpose, recipient, categories, narrowed, status, notice, notice_version, "  \
    "notice_language, notice_hash, channel, given_at, expires_at, guardian, sealed, event"
enum { CONSENT_COLUMN_COUNT = 18 };
int row_consent_read(struct db_stmt *s, struct arena *arena, struct consent *out, struct err *err);
/* Texts in the arena. */
struct consent consent_copy(const struct consent *c, struct arena *arena);
/* Room for one more than `count`. */
struct consent *consents_grow(struct arena *arena, struct consent *consents, size_t count);

/* ---- persons ---- */

/* Superseded, with nothing that a later answer could still take from it: it never changes again.
 * It has a row (and an event) only where it was recorded before answers named what they took the
 * place of; superseded.c finds the others. */
bool consent_is_dead(const struct consent *c);
/* NULL where it is not held. */
struct consent *person_consent(const struct person *p, int64_t seq);
/* Adds the consent, or puts it in the place of the one with its seq. */
void person_set_consent(struct person *p, const struct consent *c, struct arena *arena);
/* The consent stands no more. */
void person_supersede(struct person *p, int64_t seq, struct arena *arena);
bool person_is_gone(const struct person *p, int64_t seq);

/* ---- the tail ---- */

struct tail;
struct tail *tail_new(void);
void tail_free(struct tail *t);

/* The writer's thread, and those who have the tail to themselves. A batch sees its own changes;
 * others see them when it is committed. What is borrowed from the tail lives until the batch after
 * this one commits. */

/* NULL: not held, ask the tables. */
const struct person *tail_find(const struct tail *t, const struct uid *cid);
/* The same to be changed and put again: what it points to is borrowed. False: not held. */
bool tail_take(const struct tail *t, const struct uid *cid, struct person *out);
/* Copies. */
void tail_put(struct tail *t, const struct person *p);
/* Of one who was erased, whose rows are gone. */
void tail_drop(struct tail *t, const struct uid *cid);
/* The batch is durable, which its readers see from now on. */
void tail_commit(struct tail *t, int64_t now);
/* The tables are committed: those whose rows are written are held no longer. */
void tail_stored(struct tail *t, int64_t now);
void tail_roll_back(struct tail *t);
/* Everyone who is held, committed. Stops when `row` returns non-zero and returns that. */
int tail_each(const struct tail *t, int (*row)(void *ctx, const struct person *p), void *ctx);

struct tail_size {
    size_t persons, bytes;
    int64_t since, latest; /* when the first of them came, and the last one, ms */
};
struct tail_size tail_size(const struct tail *t);
/* Begins to write those who are held now (without the batch under way); no other sweep is on. */
void tail_sweep_start(struct tail *t);
bool tail_sweeping(const struct tail *t);
/* Writes the rows of the next of them, at most `most` persons, in the batch under way. */
int tail_sweep(struct tail *t, struct db *lov, size_t most, struct err *err);
/* Are they all written? The sweep is over when the tables are committed. */
bool tail_swept(const struct tail *t);
/* Writes the rows of all whom the batch under way has put, in order, and forgets them; but for
 * those who are held from before, too: their rows a sweep writes. After it no job may run in the
 * batch. */
int tail_flush(struct tail *t, struct db *lov, struct err *err);
/* How many persons the batch under way has put. */
size_t tail_batch(const struct tail *t);

/* Any thread. True and a copy in the arena, as last committed; false: not held, ask the tables. */
bool tail_read(struct tail *t, const struct uid *cid, struct arena *arena, struct person *out);

/* ---- from the tail, or else the tables: 1 and *out, or 0 ---- */

/* The writer's thread. With the living consents where `living`. `next`: seq of the shard's next
 * event. */
int person_take(struct tail *t, struct db *lov, uint32_t shard, const struct uid *cid, bool living,
                int64_t next, struct arena *arena, struct person *out, struct err *err);
/* A consent of a person that was taken with the living ones: 1 and *out, or 0. */
int person_find_consent(const struct person *p, struct db *lov, int64_t seq, struct arena *arena,
                        struct consent *out, struct err *err);
/* Any thread. With the living consents where `living`. */
int person_read(struct tail *t, struct db *lov, uint32_t shard, const struct uid *cid, bool living,
                struct arena *arena, struct person *out, struct err *err);

/* ---- consents that others took the place of ---- */

/* Those that never change any more, of a person with the living ones: in order of seq. */
int superseded_list(struct db *lov, const struct person *p, struct arena *arena,
                    struct consent **out, size_t *count, struct err *err);
/* One of them: 1 and *out, or 0. */
int superseded_find(struct db *lov, const struct person *p, int64_t seq, struct arena *arena,
                    struct consent *out, struct err *err);

/* Holds in the tail what the ledger says and the tables of the shard do not; committed. */
int tail_replay(struct tail *t, struct db *lov, uint32_t shard, struct err *err);

#endif
