/* record.c - a record as a row, and as the body of the event that made it so. */
#include <string.h>

#include "vault/private.h"

static void big_endian(uint64_t n, int bytes, struct buf *out)
{
    while (bytes-- > 0)
        buf_char(out, (char)(n >> (8 * bytes)));
}

/* The category comes last: nothing before it varies in length. */
struct str record_associated(const struct record *r, struct buf *out)
{
    size_t start = out->n;
    buf_cstr(out, "lov record");
    big_endian(r->shard, 4, out);
    buf_add(out, r->cid.b, sizeof r->cid.b);
    big_endian((uint64_t)r->seq, 8, out);
    big_endian((uint64_t)r->version, 8, out);
    buf_str(out, r->category);
    return (struct str){out->p + start, out->n - start};
}

void record_body(const struct record *r, struct buf *out)
{
    struct sha256 hash = sha256_of(r->sealed);
    record_body_of(r, &hash, out);
}

void record_body_of(const struct record *r, const struct sha256 *sealed, struct buf *out)
{
    struct jw w = {.out = out};
    jw_object_start(&w);
    jw_int_member(&w, "record", r->seq);
    jw_str_member(&w, "category", r->category);
    jw_int_member(&w, "version", r->version);
    jw_str_member(&w, "source", r->source);
    jw_time_member(&w, "observed_at", r->observed_at);
    jw_time_member(&w, "retention_end", r->retention_end);
    jw_hex_member(&w, "content_sha256", sealed->b, sizeof sealed->b);
    if (r->limits.n) {
        jw_key(&w, "limits");
        jw_raw(&w, r->limits);
    }
    jw_object_end(&w);
}

bool record_from_row(struct db_stmt *s, uint32_t shard, struct record *out)
{
    struct str cid = db_blob(s, 0);
    *out = (struct record){
        .shard = shard,
        .category = db_text(s, 1),
        .seq = db_int(s, 2),
        .event = db_int(s, 3),
        .version = db_int(s, 4),
        .source = db_text(s, 5),
        .observed_at = db_int(s, 6),
        .retention_end = db_is_null(s, 7) ? TIME_NONE : db_int(s, 7),
        .sealed = db_blob(s, 8),
        .limits = db_text(s, 9),
    };
    if (cid.n != sizeof out->cid.b)
        return false;
    memcpy(out->cid.b, cid.p, cid.n);
    return true;
}

/* Binds $1 to $4, the key. */
static struct db_stmt *use_key(struct db *lov, const char *sql, uint32_t shard,
                               const struct uid *cid, struct str category, int64_t seq)
{
    struct db_stmt *s = db_use(lov, sql);
    db_bind_int(s, 1, shard);
    db_bind_blob(s, 2, uid_str(cid));
    db_bind_text(s, 3, category);
    db_bind_int(s, 4, seq);
    return s;
}

int record_get(struct db *lov, uint32_t shard, const struct uid *cid, struct str category,
               int64_t seq, struct arena *arena, struct record *out, struct err *err)
{
    static const char sql[] = "select " RECORD_COLUMNS " from record where shard = $1 and "
                              "cid = $2 and category = $3 and seq = $4";
    struct db_stmt *s = use_key(lov, sql, shard, cid, category, seq);
    int rc = db_step(s, err);
    if (rc != 1)
        return rc;
    bool ok = record_from_row(s, shard, out);
    out->category = arena_str(arena, out->category);
    out->source = arena_str(arena, out->source);
    out->limits = arena_str(arena, out->limits);
    out->sealed = (struct str){0};
    db_done(s);
    return ok ? 1 : err_set(err, LOV_ECORRUPT, "a record's row is damaged: run lov log verify");
}

/* Binds $5 to $11, the rest. */
static int put_row(struct db_stmt *s, const struct record *r, struct err *err)
{
    db_bind_int(s, 5, r->event);
    db_bind_int(s, 6, r->version);
    db_bind_text(s, 7, r->source);
    db_bind_int(s, 8, r->observed_at);
    if (r->retention_end == TIME_NONE)
        db_bind_null(s, 9);
    else
        db_bind_int(s, 9, r->retention_end);
    db_bind_blob(s, 10, r->sealed);
    db_bind_text(s, 11, r->limits);
    return db_run(s, err);
}

/* ---- the purposes that limits name ---- */

static int remove_purposes(struct db *lov, const struct record *r, struct err *err)
{
    static const char sql[] = "delete from record_purpose where shard = $1 and cid = $2 and "
                              "category = $3 and seq = $4";
    return db_run(use_key(lov, sql, r->shard, &r->cid, r->category, r->seq), err);
}

static int insert_purposes(struct db *lov, const struct record *r, struct err *err)
{
    static const char sql[] = "insert into record_purpose (shard, cid, category, seq, purpose) "
                              "values ($1, $2, $3, $4, $5)";
    _cleanup_arena struct arena arena = {0};
    _cleanup_json json_t *json = NULL;
    struct vault_limits limits;
    int rc = limits_read(r->limits, &arena, &json, &limits, err);
    const struct json_names *names = &limits.names[LIMIT_PURPOSES];
    for (size_t i = 0; rc == 0 && i < names->count; i++) {
        struct db_stmt *s = use_key(lov, sql, r->shard, &r->cid, r->category, r->seq);
        db_bind_text(s, 5, names->items[i]);
        rc = db_run(s, err);
    }
    return rc;
}

/* ---- rows ---- */

int record_insert(struct db *lov, const struct record *r, struct err *err)
{
    static const char sql[] =
        "insert into record (shard, cid, category, seq, event, version, source, observed_at, "
        "retention_end, sealed, limits) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
    int rc = put_row(use_key(lov, sql, r->shard, &r->cid, r->category, r->seq), r, err);
    return rc == 0 && r->limits.n ? insert_purposes(lov, r, err) : rc;
}

static int change_purposes(struct db *lov, const struct record *r, struct err *err)
{
    int rc = remove_purposes(lov, r, err);
    return rc == 0 && r->limits.n ? insert_purposes(lov, r, err) : rc;
}

int record_replace(struct db *lov, const struct record *r, struct err *err)
{
    static const char sql[] =
        "update record set event = $5, version = $6, source = $7, observed_at = $8, "
        "retention_end = $9, sealed = $10, limits = $11 where shard = $1 and cid = $2 and "
        "category = $3 and seq = $4";
    int rc = put_row(use_key(lov, sql, r->shard, &r->cid, r->category, r->seq), r, err);
    return rc ? rc : change_purposes(lov, r, err);
}

int record_amend(struct db *lov, const struct record *r, const struct record *before, bool purposes,
                 struct err *err)
{
    /* A column that is set has its index written anew, whether it changes or not. */
    static const char same_end[] = "update record set event = $5, source = $6, limits = $7 where "
                                   "shard = $1 and cid = $2 and category = $3 and seq = $4";
    static const char other_end[] =
        "update record set event = $5, source = $6, limits = $7, retention_end = $8 where "
        "shard = $1 and cid = $2 and category = $3 and seq = $4";
    bool same = r->retention_end == before->retention_end;
    struct db_stmt *s =
        use_key(lov, same ? same_end : other_end, r->shard, &r->cid, r->category, r->seq);
    db_bind_int(s, 5, r->event);
    db_bind_text(s, 6, r->source);
    db_bind_text(s, 7, r->limits);
    if (!same && r->retention_end == TIME_NONE)
        db_bind_null(s, 8);
    else if (!same)
        db_bind_int(s, 8, r->retention_end);
    int rc = db_run(s, err);
    return rc == 0 && purposes ? change_purposes(lov, r, err) : rc;
}

int record_remove(struct db *lov, const struct record *r, struct err *err)
{
    static const char record[] =
        "delete from record where shard = $1 and cid = $2 and category = $3 and seq = $4";
    static const char use[] =
        "delete from aggregate_use where shard = $1 and cid = $2 and category = $3 and seq = $4";
    int rc = db_run(use_key(lov, record, r->shard, &r->cid, r->category, r->seq), err);
    if (rc == 0)
        rc = db_run(use_key(lov, use, r->shard, &r->cid, r->category, r->seq), err);
    return rc ? rc : remove_purposes(lov, r, err);
}

int vault_any(struct db *lov, uint32_t shard, const struct uid *cid, struct str category,
              struct err *err)
{
    static const char sql[] =
        "select 1 from record where shard = $1 and cid = $2 and category = $3 and seq >= $4 limit 1";
    struct db_stmt *s = use_key(lov, sql, shard, cid, category, 0);
    int rc = db_step(s, err);
    if (rc == 1)
        db_done(s);
    return rc;
}
