/*
 * private.h - what the files of this module share: rows and the bodies of their events.
 */
#ifndef LOV_RIGHTS_PRIVATE_H
#define LOV_RIGHTS_PRIVATE_H

#include "rights/rights.h"
#include "vault/vault.h"

/* ---- row.c ---- */

#define REQUEST_COLUMNS                                                                             \
    "cid, seq, event, kind, state, channel, law, received_at, due_at, extended, reason, reminded, " \
    "sealed"
/* Texts from the arena. LOV_ECORRUPT when the row is none. */
int request_from_row(struct db_stmt *s, uint32_t shard, struct arena *arena, struct request *out,
                     struct err *err);
/* 1 and *out, or 0. */
int request_row_get(struct db *lov, uint32_t shard, int64_t seq, struct arena *arena,
                    struct request *out, struct err *err);
int request_row_put(struct db *lov, const struct request *r, struct err *err);
void request_event_body(const struct request *r, struct buf *out);
/* The categories in what is sealed with a request, once it is unsealed. */
int categories_take(struct str sealed, struct arena *arena, struct json_names *out,
                    struct err *err);

#define HOLD_COLUMNS "cid, seq, event, category, reason, source, until, released"
int hold_from_row(struct db_stmt *s, uint32_t shard, struct arena *arena, struct hold *out,
                  struct err *err);
int hold_row_put(struct db *lov, const struct hold *h, struct err *err);
void hold_body(const struct hold *h, struct buf *out);

/* ---- hold.c ---- */

/* Refuses with "on_hold" where something keeps the consumer from being erased. */
int holds_check(struct write_scope *scope, struct err *err);

/* ---- recipients.c ---- */

/* Adds who has had data of the scope's consumer, or was permitted to, after all->seen. */
int recipients_since(struct write_scope *scope, struct recipients *all, struct err *err);

/* ---- notify.c ---- */

/* A notification, with its event, for each recipient. `request` -1: of none. */
int notify_all(struct write_scope *scope, const struct request_change *change, int64_t request,
               struct str right, struct err *err);
/* `categories`: comma-separated, as in the row. */
void notification_body(int64_t request, struct str recipient, struct str right,
                       struct str categories, struct buf *out);

#endif
