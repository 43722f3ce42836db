/*
 * private.h - what the files of the vault share: rows, values and views.
 */
#ifndef LOV_VAULT_PRIVATE_H
#define LOV_VAULT_PRIVATE_H

#include <stdatomic.h>

#include "vault/vault.h"

enum { FINDING_KINDS = 6 };

struct vault {
    struct engine *engine;
    struct secret pseudonyms; /* keys of recipients are derived from it */
    struct secret likeness;
    struct stats *stats;
    _Atomic int64_t found[FINDING_KINDS]; /* relaxed: each alone */
};

/* ---- record.c: rows and events ---- */

struct record {
    uint32_t shard;
    struct uid cid;
    struct str category;
    int64_t seq, event, version;
    struct str source;
    int64_t observed_at, retention_end; /* TIME_NONE: none of its own */
    struct str sealed;
    struct str limits; /* see limits.c; empty: none */
};

/* What the sealed bytes are bound to, appended. */
struct str record_associated(const struct record *r, struct buf *out);
/* What the event says that made the row as it is. */
void record_body(const struct record *r, struct buf *out);
/* The same with the hash of `sealed`, which need not be there. */
void record_body_of(const struct record *r, const struct sha256 *sealed, struct buf *out);
#define RECORD_COLUMNS                                                                             \
    "cid, category, seq, event, version, source, observed_at, retention_end, sealed, limits"
/* Texts are borrowed from the statement. False when a column has a wrong size. */
bool record_from_row(struct db_stmt *s, uint32_t shard, struct record *out);
/* 1 and *out without sealed, texts in the arena; or 0. */
int record_get(struct db *lov, uint32_t shard, const struct uid *cid, struct str category,
               int64_t seq, struct arena *arena, struct record *out, struct err *err);
int record_insert(struct db *lov, const struct record *r, struct err *err);
int record_replace(struct db *lov, const struct record *r, struct err *err);
int record_remove(struct db *lov, const struct record *r, struct err *err);

/* Writes what bulk changes change: event, source, retention_end and limits. `before`: as it was;
 * `purposes`: those that the limits name may be others. */
int record_amend(struct db *lov, const struct record *r, const struct record *before, bool purposes,
                 struct err *err);

/* ---- limits.c ---- */

/* Reads limits that are stored. Names borrow from *json, which the caller frees. */
int limits_read(struct str limits, struct arena *arena, json_t **json, struct vault_limits *out,
                struct err *err);
/* `old` with what `change` has in the place of its own; text from the arena. */
int limits_merge(struct str old, const struct vault_limits *change, struct arena *arena,
                 struct str *out, struct err *err);
/* Refuses names that the policy does not have. */
int limits_check(const struct policy *p, const struct vault_limits *limits, struct err *err);
/* 1: the record may be used so; 0: its limits say no. */
int limits_allow(struct str limits, struct str purpose, struct str recipient, struct err *err);

/* What is sealed: version of the format, form of the category, JSON. */
enum { SEALED_FORMAT = 1, SEALED_HEAD = 1 + 8 };

/* ---- write.c ---- */

/* Deletes the row with an event of that kind, "record.delete" or "record.expire". */
int end_record(struct write_scope *scope, const char *kind, const struct record *r, int64_t *event,
               struct err *err);

struct vault_ending {
    struct str category;
    int64_t before; /* what was observed by then is due, ms UTC */
    int64_t limit;  /* records */
};
/* Makes *w the write that deletes what is due of one category of the consumer that it names;
 * w->written says how many. */
void vault_expire(struct engine_write *w, const struct vault_ending *ending);

/* ---- held.c: legal holds, whose rows are those of rights/ ---- */

/* Put after "from record r where": nothing keeps r, at the instant that `now` binds. */
#define RECORD_NOT_HELD(now)                                                                       \
    "not exists (select 1 from hold h where h.shard = r.shard and h.cid = r.cid and "              \
    "h.released = 0 and (h.until is null or h.until > " now                                        \
    ") and h.category in ('', r.category))"
/* Has anything of the category to be kept for the consumer? 1 or 0. */
int held_any(struct db *lov, const struct identity_row *who, struct str category, int64_t now,
             struct err *err);
/* Refuses with "on_hold", and says why, where it has. */
int held_refuse(const struct write_scope *scope, struct str category, struct err *err);

/* ---- group.c ---- */

/* Submits writes that have everything set but done and ctx, so that few commits take them, and
 * waits for the last; each has its own job.rc. Not on the writer's thread. */
void group_run(struct engine *e, struct engine_write *writes, size_t count);
/* The same of writes that count what they wrote in w->written: *written is the sum over those that
 * were durable. Consumers who were erased meanwhile (LOV_ECONFLICT) are passed over; another
 * failure is returned when all are done. */
int group_write(struct engine *e, struct engine_write *writes, size_t count, int64_t *written,
                struct err *err);

/* ---- aggregate.c ---- */

/* A block's part of what its event's hash is over, appended. */
void block_digest(struct str keys, int64_t records, struct str sums, struct buf *out);

/* ---- read.c ---- */

/* For a view that is an aggregate, and what is done with it in this module: who is permitted by
 * `decision`, and what of their records is in no block of the recipient yet, as the view cuts it.
 */
struct sums_reader {
    struct db *lov, *identities;
    const struct policy *policy;
    const struct policy_activity *activity;
    const struct policy_category *category;
    const struct decision *decision;
};
typedef int sums_row(void *ctx, const struct record *r, struct str data);
int read_for_sums(struct vault *v, const struct sums_reader *reader, const struct identity_row *who,
                  sums_row *row, void *ctx, struct err *err);

/* ---- value.c: one field ---- */

struct value {
    struct str text;     /* as it is written; of an amount, the number */
    struct str currency; /* of an amount */
    int64_t number;      /* of an integer; of decimal and amount, millionths */
    int64_t at;          /* of a timestamp, ms UTC */
    int32_t day;         /* of a date */
    bool yes;
};

/* False unless `json` is a value of the field's type. Texts are borrowed. */
bool value_read(const struct policy_field *field, const json_t *json, struct value *out);
/* What value_read() expects, for a person. */
const char *value_expected(enum field_type type);
/* In canonical form. */
void value_write(const struct policy_field *field, const struct value *v, struct jw *w);

/* ---- view.c: what is left of a record ---- */

struct viewer {
    const struct policy_activity *activity;
    const struct policy_view_part *part;
    const struct policy_category *category;
    struct secret key; /* of the recipient's pseudonyms, where `has_key` */
    bool has_key;
    int64_t now;
};

void viewer_init(struct viewer *x, const struct vault *v, const struct policy_activity *activity,
                 const struct policy_category *category, int64_t now);
void viewer_wipe(struct viewer *x);
#define _cleanup_viewer __attribute__((cleanup(viewer_wipe)))
/* 32 hexadecimal digits, appended: the same for the same use, bytes and recipient. */
void viewer_pseudonym(const struct viewer *x, const char *use, struct str bytes, struct buf *out);
/* What one field of the view makes of its value; false when nothing is left. */
bool viewer_cut(const struct viewer *x, const struct policy_view_field *f, const struct value *v,
                struct jw *w);
/* The object that the view leaves of `plain`, which was sealed, appended. */
int viewer_write(const struct viewer *x, struct str plain, struct buf *out, struct err *err);

#endif
