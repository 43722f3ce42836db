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
    struct jw w = {.out = out};
    jw_object_start(&w);
    jw_int_member(&w, "record", r->seq);
    jw_str_member(&w, "category", r->category);
    jw_int_member(&w, "version", r->version);
    jw_str_member(&w, "source", r->source);
    jw_time_member(&w, "observed_at", r->observed_at);
    jw_time_member(&w, "retention_end", r->retention_end);
    jw_hex_member(&w, "content_sha256", hash.b, sizeof hash.b);
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
    out->sealed = (struct str){0};
    db_done(s);
    return ok ? 1 : err_set(err, LOV_ECORRUPT, "a record's row is damaged: run lov log verify");
}

/* Binds $5 to $10, the rest. */
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
    return db_run(s, err);
}

int record_insert(struct db *lov, const struct record *r, struct err *err)
{
    static const char sql[] =
        "insert into record (shard, cid, category, seq, event, version, source, observed_at, "
        "retention_end, sealed) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    return put_row(use_key(lov, sql, r->shard, &r->cid, r->category, r->seq), r, err);
}

int record_replace(struct db *lov, const struct record *r, struct err *err)
{
    static const char sql[] =
        "update record set event = $5, version = $6, source = $7, observed_at = $8, "
        "retention_end = $9, sealed = $10 where shard = $1 and cid = $2 and category = $3 "
        "and seq = $4";
    return put_row(use_key(lov, sql, r->shard, &r->cid, r->category, r->seq), r, err);
}

int record_remove(struct db *lov, const struct record *r, struct err *err)
{
    static const char record[] =
        "delete from record where shard = $1 and cid = $2 and category = $3 and seq = $4";
    static const char use[] =
        "delete from aggregate_use where shard = $1 and cid = $2 and category = $3 and seq = $4";
    int rc = db_run(use_key(lov, record, r->shard, &r->cid, r->category, r->seq), err);
    return rc ? rc : db_run(use_key(lov, use, r->shard, &r->cid, r->category, r->seq), err);
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
