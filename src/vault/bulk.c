/* bulk.c - what is known about many records, listed and changed by what it is.
 *
 * A filter finds rows in the order of places (cid, category, seq), by the consumer, by a purpose
 * that limits name, or among all. A change runs on the writer's thread part by part, so that others
 * come in between: it looks at some rows, takes what it needs of them, and then changes them,
 * consumer by consumer. What is in a record is not opened: the event has the hash of what the row
 * says, the hash of what is sealed among it. */
#include <string.h>

#include "vault/private.h"

/* $1 shard, $2 to $4 the place, $5 limit, $6 category, $7 source, $8 purpose. */
#define SELECT                                                                                     \
    "select r.cid, r.category, r.seq, r.event, r.version, r.source, r.observed_at, "               \
    "r.retention_end, r.sealed, r.limits from "
#define MATCHES "($6 = '' or r.category = $6) and ($7 = '' or r.source = $7)"

static const char by_consumer[] =
    SELECT "record r where r.shard = $1 and r.cid = $2 and (r.category, r.seq) > ($3, $4) "
           "and " MATCHES " and ($8 = '' or exists (select 1 from record_purpose p where "
           "p.shard = r.shard and p.purpose = $8 and p.cid = r.cid and p.category = r.category "
           "and p.seq = r.seq)) order by r.category, r.seq limit $5";
/* A cross join is done in the order that it is written in. */
static const char by_purpose[] =
    SELECT "record_purpose p cross join record r where p.shard = $1 and p.purpose = $8 and "
           "(p.cid, p.category, p.seq) > ($2, $3, $4) and r.shard = $1 and r.cid = p.cid and "
           "r.category = p.category and r.seq = p.seq and " MATCHES
           " order by p.cid, p.category, p.seq limit $5";
static const char of_all[] =
    SELECT "record r where r.shard = $1 and (r.cid, r.category, r.seq) > ($2, $3, $4) and " MATCHES
           " and $8 = '' order by r.cid, r.category, r.seq limit $5";

/* ---- finding ---- */

static struct db_stmt *use(struct db *lov, const struct vault_filter *f,
                           const struct vault_place *after, int64_t limit)
{
    const char *sql = f->cid ? by_consumer : f->purpose.n ? by_purpose : of_all;
    struct db_stmt *s = db_use(lov, sql);
    bool begun = after->category.n > 0;
    db_bind_int(s, 1, 0);
    db_bind_blob(s, 2, uid_str(f->cid ? f->cid : &after->cid));
    db_bind_text(s, 3, begun ? after->category : STR(""));
    db_bind_int(s, 4, begun ? after->seq : -1);
    db_bind_int(s, 5, limit);
    db_bind_text(s, 6, f->category.n ? f->category : STR(""));
    db_bind_text(s, 7, f->source.n ? f->source : STR(""));
    db_bind_text(s, 8, f->purpose.n ? f->purpose : STR(""));
    return s;
}

/* ---- lists ---- */

static void filter_members(const struct vault_filter *f, struct jw *w)
{
    const struct {
        const char *name;
        struct str value;
    } members[] = {{"category", f->category}, {"purpose", f->purpose}, {"source", f->source}};
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        if (members[i].value.n)
            jw_str_member(w, members[i].name, members[i].value);
}

static int record_listing(struct engine_write *w, struct write_scope *scope, struct err *err)
{
    _cleanup_buf struct buf body = {0};
    struct jw j = {.out = &body};
    if (w->consumer.n && !scope->who)
        return err_reason(err, LOV_ENOTFOUND, "unknown_consumer", "there is no such consumer");
    jw_object_start(&j);
    filter_members(w->input, &j);
    jw_object_end(&j);
    return engine_append(scope, "record.list", (struct str){0}, buf_view(&body), &w->out_seq, err);
}

void vault_record_listing(struct engine_write *w, const struct vault_filter *filter)
{
    w->kind = WRITE_OTHER;
    w->other = record_listing;
    w->input = filter;
}

static int give(const struct record *r, int (*row)(void *ctx, const struct vault_about *about),
                void *ctx)
{
    const struct vault_about about = {
        .cid = r->cid,
        .category = r->category,
        .source = r->source,
        .limits = r->limits,
        .seq = r->seq,
        .event = r->event,
        .version = r->version,
        .observed_at = r->observed_at,
        .retention_end = r->retention_end,
    };
    return row(ctx, &about);
}

static int damaged(struct err *err)
{
    return err_set(err, LOV_ECORRUPT, "a record's row is damaged: run lov log verify");
}

int vault_list(struct vault *v, const struct engine_write *recorded,
               const struct vault_place *after, int64_t limit,
               int (*row)(void *ctx, const struct vault_about *about), void *ctx, struct err *err)
{
    struct db *lov;
    if (recorded->other != record_listing || recorded->job.rc != 0)
        bug("records are listed without it being recorded");
    int rc = db_pool_get_rows(engine_lov(v->engine), &lov, err);
    if (rc)
        return rc;
    struct db_stmt *s = use(lov, recorded->input, after, limit);
    while ((rc = db_step(s, err)) == 1) {
        struct record r;
        rc = record_from_row(s, 0, &r) ? give(&r, row, ctx) : damaged(err);
        if (rc)
            break;
    }
    if (rc)
        db_done(s);
    db_pool_put(engine_lov(v->engine), lov);
    return rc;
}

/* ---- changes ---- */

struct found {
    struct record was;
    struct sha256 sealed; /* its hash: of what is sealed nothing is kept */
};

static int collect(struct write_scope *scope, const struct vault_bulk *b, struct found *out,
                   size_t *count, struct err *err)
{
    struct db_stmt *s = use(scope->lov, &b->filter, &b->after, b->limit);
    struct arena *arena = scope->arena;
    int rc;
    while ((rc = db_step(s, err)) == 1) {
        struct found *f = &out[(*count)++];
        struct record *r = &f->was;
        if (!record_from_row(s, 0, r)) {
            db_done(s);
            return damaged(err);
        }
        f->sealed = sha256_of(r->sealed);
        r->sealed = (struct str){0};
        r->category = arena_str(arena, r->category);
        r->source = arena_str(arena, r->source);
        r->limits = arena_str(arena, r->limits);
    }
    return rc;
}

/* What the record is to be; *changes says whether that is something else. */
static int amended(struct write_scope *scope, const struct vault_bulk *b, const struct record *was,
                   struct record *out, bool *changes, struct err *err)
{
    *out = *was;
    if (b->source.n)
        out->source = b->source;
    if (b->has_retention_end)
        out->retention_end = b->retention_end;
    int rc = limits_merge(was->limits, &b->limits, scope->arena, &out->limits, err);
    *changes = !str_eq(out->source, was->source) || out->retention_end != was->retention_end ||
               !str_eq(out->limits, was->limits);
    return rc;
}

static void set_members(const struct vault_bulk *b, struct jw *w)
{
    jw_object_member(w, "set");
    if (b->source.n)
        jw_str_member(w, "source", b->source);
    if (b->has_retention_end)
        jw_time_member(w, "retention_end", b->retention_end);
    for (int i = 0; i < LIMIT_KINDS; i++)
        if (b->limits.has[i])
            jw_strs_member(w, vault_limit_name((enum vault_limit)i), b->limits.names[i].items,
                           b->limits.names[i].count);
    jw_object_end(w);
}

/* Of a record that changes: the row, and its part of the event. */
static int amend_one(struct write_scope *scope, const struct vault_bulk *b, const struct found *f,
                     const struct record *now, struct jw *w, struct err *err)
{
    _cleanup_buf struct buf body = {0};
    record_body_of(now, &f->sealed, &body);
    struct sha256 hash = sha256_of(buf_view(&body));
    jw_object_start(w);
    jw_int_member(w, "record", now->seq);
    jw_str_member(w, "category", now->category);
    jw_hex_member(w, "state_sha256", hash.b, sizeof hash.b);
    jw_object_end(w);
    return record_amend(scope->lov, now, &f->was, b->limits.has[LIMIT_PURPOSES], err);
}

/* Those of one consumer. */
static int amend(struct write_scope *scope, const struct vault_bulk *b, const struct found *items,
                 size_t count, struct err *err)
{
    _cleanup_buf struct buf body = {0};
    struct jw w = {.out = &body};
    int64_t event = ledger_next(engine_ledger(scope->engine), 0), changed = 0, seq;
    int rc = 0;
    jw_object_start(&w);
    set_members(b, &w);
    jw_array_member(&w, "records");
    for (size_t i = 0; rc == 0 && i < count; i++) {
        struct record now;
        bool changes;
        rc = amended(scope, b, &items[i].was, &now, &changes, err);
        now.event = event;
        if (rc == 0 && changes)
            rc = amend_one(scope, b, &items[i], &now, &w, err);
        changed += rc == 0 && changes;
    }
    jw_array_end(&w);
    jw_object_end(&w);
    b->part->changed += changed;
    if (rc || !changed)
        return rc;
    rc = engine_append(scope, "record.amend", (struct str){0}, buf_view(&body), &seq, err);
    if (rc == 0 && seq != event)
        bug("a change of records has another number than their rows say");
    return rc;
}

static int drop(struct write_scope *scope, const struct vault_bulk *b, const struct found *items,
                size_t count, struct err *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < count; i++) {
        int64_t event;
        rc = held_any(scope->lov, scope->who, items[i].was.category, scope->now, err);
        if (rc == 1) {
            b->part->held++;
            rc = 0;
            continue;
        }
        if (rc == 0)
            rc = end_record(scope, "record.delete", &items[i].was, &event, err);
        b->part->changed += rc == 0;
    }
    return rc;
}

static size_t same_consumer(const struct found *items, size_t count)
{
    size_t n = 1;
    while (n < count && memcmp(items[n].was.cid.b, items->was.cid.b, sizeof items->was.cid.b) == 0)
        n++;
    return n;
}

static int change_all(struct write_scope *scope, const struct vault_bulk *b,
                      const struct found *items, size_t count, struct err *err)
{
    int rc = 0;
    for (size_t i = 0, n; rc == 0 && i < count; i += n) {
        n = same_consumer(&items[i], count - i);
        rc = scope_enter(scope, items[i].was.shard, &items[i].was.cid, err);
        if (rc == 0)
            return err_set(err, LOV_ECORRUPT, "a record is of nobody: run lov log verify");
        if (rc == 1)
            rc = b->remove ? drop(scope, b, &items[i], n, err) : amend(scope, b, &items[i], n, err);
        if (rc == 0)
            scope_leave(scope);
    }
    return rc;
}

static int check(const struct write_scope *scope, const struct vault_bulk *b, struct err *err)
{
    if (!scope->policy)
        return err_reason(err, LOV_EUNAVAILABLE, "no_policy",
                          "no policy is in force: apply one with lov policy apply");
    if (b->has_retention_end && b->retention_end != TIME_NONE && b->retention_end <= scope->now)
        return err_reason(err, LOV_EINVAL, "retention_over", "retention_end: a time to come");
    return limits_check(scope->policy, &b->limits, err);
}

static int bulk(struct engine_write *w, struct write_scope *scope, struct err *err)
{
    const struct vault_bulk *b = w->input;
    struct found *items = arena_array(scope->arena, (size_t)b->limit, sizeof *items);
    size_t count = 0;
    *b->part = (struct vault_bulk_part){.last = b->after};
    w->out_seq = -1;
    int rc = check(scope, b, err);
    if (rc == 0)
        rc = collect(scope, b, items, &count, err);
    if (rc == 0)
        rc = change_all(scope, b, items, count, err);
    if (rc || !count)
        return rc;
    const struct record *last = &items[count - 1].was;
    b->part->matched = (int64_t)count;
    b->part->more = (int64_t)count == b->limit;
    b->part->last = (struct vault_place){last->cid, last->category, last->seq};
    w->written = b->part->changed;
    return 0;
}

void vault_bulk(struct engine_write *w, const struct vault_bulk *change)
{
    w->kind = WRITE_OTHER;
    w->other = bulk;
    w->input = change;
}
