/*
 * issue.h - questions about records: what looks wrong and is not settled. Private to the vault; the
 * writer's thread, but for issue_each().
 */
#ifndef LOV_VAULT_ISSUE_H
#define LOV_VAULT_ISSUE_H

#include "vault/check.h"

struct issue {
    uint32_t shard;
    struct uid cid;
    int64_t seq; /* of the event that asked; with shard its identity */
    struct str category;
    int64_t record, version;
    struct str kind, field, rule;
    struct str sealed; /* the proposal; may be empty */
};

/* Asks about each finding: row and event "issue.open". */
int issue_open(struct write_scope *scope, const struct secret *key, const struct record *r,
               const struct findings *f, struct err *err);
/* Settles the consumer's questions about a record, all or (seq >= 0) one: the rows go, and an event
 * "issue.close" says how: "corrected", "confirmed", "deleted". *closed (may be NULL) is how many.
 */
int issue_close(struct write_scope *scope, int64_t record, int64_t seq, const char *how,
                int64_t *closed, struct err *err);
/* 1 and *out, texts in the arena, or 0. */
int issue_get(struct db *lov, uint32_t shard, const struct uid *cid, int64_t seq,
              struct arena *arena, struct issue *out, struct err *err);
/* The proposal opened, appended: {"drop": true} or {"data": {...}}; nothing where there is none. */
int issue_proposal(const struct issue *i, const struct secret *key, struct buf *json,
                   struct err *err);
/* The body of the event that asked. */
void issue_body(const struct issue *i, struct buf *out);
#define ISSUE_COLUMNS "cid, seq, category, record, version, kind, field, rule, sealed"
/* Texts are borrowed from the statement. */
bool issue_from_row(struct db_stmt *s, uint32_t shard, struct issue *out);

#endif
