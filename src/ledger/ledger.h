/*
 * ledger.h - the memory of the company: an append-only Merkle log (RFC 6962 §2.1) per shard.
 *
 * An event is the state it tells of: tables are made of events, at once or later. Its leaf hash is
 * SHA-256(0x00 | encoding); the encoding, version 1, is: the byte 1, shard (4 bytes), seq, prev, at
 * (8 bytes each, two's complement), then kind, cid, actor, activity and body, each as 4 bytes of
 * length and the bytes; all numbers big-endian. What is personal in a body is sealed under the
 * consumer's key before it comes here, so erasure leaves the tree whole.
 *
 * In the store many events share a row (bundle.h). A struct ledger keeps the heads of the shards
 * and the events of the transaction under way in memory, and belongs to the writer's thread; the
 * functions that take a struct db only may be used on any connection, the writer's too.
 */
#ifndef LOV_LEDGER_LEDGER_H
#define LOV_LEDGER_LEDGER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/crypt.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/str.h"
#include "db/writer.h"

struct ledger;

/* Bytes of an event's encoding: what an entry bundle (C2SP tlog-tiles) can hold. */
enum { LEDGER_EVENT_MAX = 65535 };

struct ledger_event {
    uint32_t shard;
    int64_t seq;     /* from 0; set by ledger_append */
    int64_t prev;    /* the consumer's event before this one, -1: none */
    int64_t at;      /* ms UTC */
    struct str kind; /* "consent.give" */
    bool has_cid;
    struct uid cid;
    struct str actor;    /* "staff:admin/3f2a...", "recipient:marketing/...", "lov" */
    struct str activity; /* "recipient/purpose", or empty */
    struct str body;     /* JSON */
    struct sha256 leaf;
};

/* LOV_EVERSION where an older program has written the store and no newer one has brought it up to
 * date, or not to the end: events lie elsewhere. For connections that read. */
int ledger_check_store(struct db *lov, struct err *err);
/* On one that writes, before anybody reads: puts events of an older store where they lie now.
 * *count: how many; an interruption is no harm, the next call goes on. */
int ledger_adopt(struct db *lov, int64_t *count, struct err *err);
int ledger_open(struct db *lov, struct ledger **out, struct err *err);
void ledger_close(struct ledger *ledger);
/* How the writer keeps the heads in memory and in the database together. */
struct write_observer ledger_observer(struct ledger *ledger);
/* Brings what the journal has and the store lacks there: after a crash, before anybody else uses
 * it, on a connection that writes. Events are appended; `other` (NULL: there are none) gets each
 * entry that is not an event, in the transaction, with those that are in the store already among
 * them. *count: how many events; nothing is written where nothing is missing. LOV_ECORRUPT where
 * the journal does not continue the store. */
typedef int ledger_other(struct db *lov, struct str entry, struct err *err);
int ledger_recover(struct db *lov, const char *journal, ledger_other *other, int64_t *count,
                   struct err *err);
/* An entry of the journal that is not an event begins with a byte from this one on. */
enum { LEDGER_OTHER = 'A' };
/* Is there an event in the journal that the store lacks? 1 or 0. Any process. */
int ledger_is_behind(struct db *lov, const char *journal, struct err *err);
/* Sets event->seq and event->leaf. The caller holds the transaction and sets all else. LOV_ELIMIT
 * "event_too_long" beyond LEDGER_EVENT_MAX. */
int ledger_append(struct ledger *ledger, struct db *lov, struct ledger_event *event,
                  struct err *err);

/* The tables that are made of events may follow later. applied counts the events whose changes are
 * there: ledger_mark() notes what is committed now, and ledger_applied(), in a transaction that
 * completes the tables up to there, says so. */
void ledger_mark(struct ledger *ledger);
void ledger_applied(struct ledger *ledger);
/* The same for all events, those of the transaction under way too, which completes the tables. */
void ledger_applied_all(struct ledger *ledger);
/* Is there no event that the tables lack? */
bool ledger_is_applied(const struct ledger *ledger);

/* Events that the batch under way has appended, to any shard. */
int64_t ledger_appended(const struct ledger *ledger);
/* The seq that the next event of the shard will have. */
int64_t ledger_next(struct ledger *ledger, uint32_t shard);
/* The leaf of the event before that; false where none was appended since the ledger was opened, or
 * the last transaction was rolled back. */
bool ledger_last_leaf(struct ledger *ledger, uint32_t shard, struct sha256 *out);

/* The latest instant in any shard's ledger; 0 when empty. */
int ledger_last_at(struct db *lov, int64_t *out, struct err *err);
/* The committed head. An empty or unknown shard has size 0 and the hash of the empty tree. */
int ledger_head(struct db *lov, uint32_t shard, int64_t *size, struct sha256 *root,
                struct err *err);

struct ledger_filter {
    uint32_t shard;
    int64_t after; /* events with seq > after; -1: from the first */
    int64_t limit;
    struct str recipient;          /* of the activity; empty: all */
    bool (*kind)(struct str kind); /* which ones; NULL: all */
};
typedef int ledger_row(void *ctx, const struct ledger_event *event);
/* In order of seq. Stops when `row` returns non-zero and returns that. *scanned_to (may be NULL) is
 * the last seq that was looked at, matching or not: at most 100,000 are looked at in one call. */
int ledger_read(struct db *lov, const struct ledger_filter *filter, ledger_row *row, void *ctx,
                int64_t *scanned_to, struct err *err);
/* All from `from` on in order, or all the newest first. Stops when `row` returns non-zero and
 * returns that. */
int ledger_each(struct db *lov, uint32_t shard, int64_t from, ledger_row *row, void *ctx,
                struct err *err);
int ledger_each_back(struct db *lov, uint32_t shard, ledger_row *row, void *ctx, struct err *err);
/* One event; 1 and row called, or 0. */
int ledger_get(struct db *lov, uint32_t shard, int64_t seq, ledger_row *row, void *ctx,
               struct err *err);
/* A consumer's events after `after`, oldest first: the chain that ends at `head`. */
int ledger_history(struct db *lov, uint32_t shard, int64_t head, int64_t after, int64_t limit,
                   ledger_row *row, void *ctx, struct err *err);

/* The same from `head` backwards, newest first: event->prev is the head to go on from, -1 the end.
 */
int ledger_back(struct db *lov, uint32_t shard, int64_t head, int64_t limit, ledger_row *row,
                void *ctx, struct err *err);

struct ledger_report {
    uint32_t shard;
    int64_t events;
    struct sha256 root;
    int64_t wrong_seq; /* -1: all right; otherwise the first event that is wrong */
    char wrong[200];   /* in what way */
};
/* Recomputes one shard from its events, in constant memory. 0 whether it verifies or not (look at
 * wrong_seq); negative when it could not be read. `progress` (may be NULL) is called now and then.
 */
int ledger_verify(struct db *lov, uint32_t shard, void (*progress)(void *ctx, int64_t done),
                  void *ctx, struct ledger_report *out, struct err *err);
/* The shards that there are, in order, appended as uint32_t to *out. */
int ledger_shards(struct db *lov, struct buf *out, struct err *err);

#endif
