/*
 * audit.h - does the ledger still say what was signed? Recomputes events from their content and
 * compares them with tiles, and tiles with checkpoints, and says in what way a history differs.
 *
 * On any connection; one thread. Nothing is believed that the store says of itself but what is
 * compared: an old checkpoint that was kept elsewhere is the judge.
 */
#ifndef LOV_LEDGER_AUDIT_H
#define LOV_LEDGER_AUDIT_H

#include "db/db.h"
#include "ledger/checkpoint.h"

enum audit_finding {
    AUDIT_GOOD,
    AUDIT_REWRITTEN, /* an event says something else than it did, or was put in */
    AUDIT_DROPPED,   /* an event is gone */
    AUDIT_REORDERED, /* an event stands where another was */
    AUDIT_FORKED,    /* whole in itself, and another history than the one that was signed */
    AUDIT_DAMAGED,   /* the events are right; a tile, head or checkpoint in the store is not */
};
const char *audit_finding_name(enum audit_finding finding);

struct audit_report {
    enum audit_finding finding;
    int64_t seq;        /* the first wrong event, where one is known; otherwise -1 */
    int64_t events;     /* recomputed */
    struct sha256 root; /* of the whole ledger (audit_against) */
    char what[240];     /* one sentence; empty when all is good */
};

/* Recomputes the shard from its events: is it what `old` signed, and only longer? In constant
 * memory, in one snapshot. The signature is the caller's business. 0 whatever was found. */
int audit_against(struct db *lov, uint32_t shard, const struct checkpoint *old,
                  void (*progress)(void *ctx, int64_t done), void *ctx, struct audit_report *out,
                  struct err *err);
/* Events [from, to) against their tiles, where tiles are complete, otherwise against their own
 * hashes. */
int audit_events(struct db *lov, uint32_t shard, int64_t from, int64_t to, struct audit_report *out,
                 struct err *err);
/* The last checkpoint against its key, the tiles and the head, and likewise the next one smaller
 * than *older; *older becomes the size of that one, or INT64_MAX when there is none, so that
 * calling again and again looks at all. */
int audit_published(struct db *lov, uint32_t shard, const struct note_key *key, int64_t *older,
                    struct audit_report *out, struct err *err);

#endif
