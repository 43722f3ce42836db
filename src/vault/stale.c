/* stale.c - asks about records that have grown old. Records of a category are gone through once, in
 * the order in which they were observed: the place that was reached is kept, so that each is asked
 * about when it has become too old, and not again. */
#include <string.h>

#include "base/clock.h"
#include "vault/issue.h"
#include "vault/private.h"

enum { AT_ONCE = 500 };

/* The last record that was asked about. */
struct place {
    int64_t observed_at, seq;
    struct uid cid;
};

struct asking {
    struct vault *v;
    struct db *lov, *identities;
    struct arena arena;
    struct engine_write *writes;
    struct record *records;
    size_t count;
    struct place place;
};

/* ---- the place, as text in table meta ---- */

static struct str place_name(struct str category, struct buf *out)
{
    buf_printf(out, "stale.%.*s", STR_ARG(category));
    return buf_view(out);
}

static int read_place(struct db *lov, struct str category, struct place *out, struct err *err)
{
    static const char sql[] = "select value from meta where name = $1";
    _cleanup_buf struct buf name = {0};
    *out = (struct place){.observed_at = INT64_MIN, .seq = -1};
    struct db_stmt *s = db_use(lov, sql);
    db_bind_text(s, 1, place_name(category, &name));
    int rc = db_step(s, err);
    if (rc != 1)
        return rc;
    struct str text = db_text(s, 0), at = str_cut(&text, ' '), seq = str_cut(&text, ' ');
    bool ok = str_to_int(at, INT64_MIN, INT64_MAX, &out->observed_at) &&
              str_to_int(seq, 0, INT64_MAX, &out->seq) &&
              hex_decode(text, out->cid.b, sizeof out->cid.b);
    db_done(s);
    return ok ? 0 : err_set(err, LOV_ECORRUPT, "what was asked about last cannot be read");
}

struct place_write {
    struct write_job job; /* first */
    struct str category;
    struct place place;
};

static int run_place(struct write_job *job, struct write_stores *stores, struct err *err)
{
    static const char sql[] = "insert into meta (name, value) values ($1, $2) "
                              "on conflict (name) do update set value = excluded.value";
    struct place_write *p = (struct place_write *)job;
    _cleanup_buf struct buf name = {0}, value = {0};
    buf_printf(&value, "%lld %lld ", (long long)p->place.observed_at, (long long)p->place.seq);
    hex_encode(p->place.cid.b, sizeof p->place.cid.b, &value);
    struct db_stmt *s = db_use(stores->lov, sql);
    db_bind_text(s, 1, place_name(p->category, &name));
    db_bind_text(s, 2, buf_view(&value));
    return db_run(s, err);
}

/* ---- one record ---- */

static int is_asked(struct write_scope *scope, const struct record *r, struct err *err)
{
    static const char sql[] = "select 1 from issue where shard = $1 and cid = $2 and record = $3 "
                              "and kind = 'stale' limit 1";
    struct db_stmt *s = db_use(scope->lov, sql);
    db_bind_int(s, 1, r->shard);
    db_bind_blob(s, 2, uid_str(&r->cid));
    db_bind_int(s, 3, r->seq);
    int rc = db_step(s, err);
    if (rc == 1)
        db_done(s);
    return rc;
}

/* The record may have been corrected, deleted or asked about since it was listed. */
static int ask(struct engine_write *w, struct write_scope *scope, struct err *err)
{
    const struct record *listed = w->input;
    struct findings stale = {.arena = scope->arena};
    struct record r;
    static const struct secret no_key; /* nothing is proposed, so nothing is sealed */
    w->written = 0;
    if (!scope->who)
        return 0;
    int rc = record_get(scope->lov, listed->shard, &listed->cid, listed->category, listed->seq,
                        scope->arena, &r, err);
    if (rc != 1 || r.observed_at != listed->observed_at)
        return rc < 0 ? rc : 0;
    rc = is_asked(scope, &r, err);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    finding_add(&stale, FINDING_STALE, (struct str){0}, (struct str){0});
    rc = issue_open(scope, &no_key, &r, &stale, err);
    w->written = rc == 0;
    return rc;
}

static int add_record(struct asking *x, struct db_stmt *s, struct str category, struct err *err)
{
    _cleanup_buf struct buf name = {0};
    struct record *r = &x->records[x->count];
    if (!record_from_row(s, 0, r))
        return err_set(err, LOV_ECORRUPT, "a record's row is damaged: run lov log verify");
    r->category = category;
    r->source = r->sealed = r->limits = (struct str){0};
    x->place = (struct place){r->observed_at, r->seq, r->cid};
    int rc = identity_name(engine_identity(x->v->engine), x->identities, &r->cid, &name, err);
    if (rc != 1)
        return rc;
    x->writes[x->count++] = (struct engine_write){
        .kind = WRITE_OTHER,
        .other = ask,
        .input = r,
        .actor = STR("lov"),
        .arena = &x->arena,
        .consumer = arena_str(&x->arena, buf_view(&name)),
        .expires_at = TIME_NONE,
        .given_at = TIME_NONE,
    };
    return 0;
}

/* ---- a category ---- */

static int list_stale(struct asking *x, struct str category, int64_t before, int64_t limit,
                      struct err *err)
{
    static const char sql[] =
        "select " RECORD_COLUMNS " from record where shard = $1 and category = $2 and "
        "observed_at <= $3 and (observed_at, cid, seq) > ($4, $5, $6) "
        "order by observed_at, cid, seq limit $7";
    struct db_stmt *s = db_use(x->lov, sql);
    db_bind_int(s, 1, 0);
    db_bind_text(s, 2, category);
    db_bind_int(s, 3, before);
    db_bind_int(s, 4, x->place.observed_at);
    db_bind_blob(s, 5, uid_str(&x->place.cid));
    db_bind_int(s, 6, x->place.seq);
    db_bind_int(s, 7, limit);
    int rc;
    while ((rc = db_step(s, err)) == 1) {
        rc = add_record(x, s, category, err);
        if (rc)
            break;
    }
    if (rc)
        db_done(s);
    return rc;
}

static int ask_all(struct asking *x, struct str category, int64_t *asked, struct err *err)
{
    struct place_write p = {.job.run = run_place, .category = category, .place = x->place};
    int64_t written;
    int rc = group_write(x->v->engine, x->writes, x->count, &written, err);
    *asked += written;
    atomic_fetch_add_explicit(&x->v->found[FINDING_STALE], written, memory_order_relaxed);
    if (rc)
        return rc;
    return writer_run(engine_writer(x->v->engine), &p.job, err);
}

static int ask_category(struct asking *x, const struct policy_category *c, int64_t limit,
                        int64_t *asked, struct err *err)
{
    struct place from;
    int rc = read_place(x->lov, c->id, &from, err);
    if (rc)
        return rc;
    x->place = from;
    x->count = 0;
    x->writes = arena_array(&x->arena, AT_ONCE, sizeof *x->writes);
    x->records = arena_array(&x->arena, AT_ONCE, sizeof *x->records);
    int64_t before = clock_now() - c->fresh_days * (int64_t)DAY_MS;
    rc = list_stale(x, c->id, before, limit < AT_ONCE ? limit : AT_ONCE, err);
    if (rc == 0 && memcmp(&x->place, &from, sizeof from) != 0)
        rc = ask_all(x, c->id, asked, err);
    arena_free(&x->arena);
    return rc;
}

static int ask_policy(struct asking *x, const struct policy *p, int64_t limit, int64_t *asked,
                      struct err *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && *asked < limit && i < p->category_count; i++)
        if (p->categories[i].fresh_days)
            rc = ask_category(x, &p->categories[i], limit - *asked, asked, err);
    return rc;
}

int vault_ask_stale(struct vault *v, int64_t limit, int64_t *asked, struct err *err)
{
    struct rules *rules = engine_rules(v->engine);
    struct asking x = {.v = v};
    *asked = 0;
    if (!rules)
        return 0;
    int rc = db_pool_get(engine_lov(v->engine), &x.lov, err);
    if (rc == 0)
        rc = db_pool_get(engine_identities(v->engine), &x.identities, err);
    if (rc == 0)
        rc = ask_policy(&x, rules_policy(rules), limit, asked, err);
    if (x.lov)
        db_pool_put(engine_lov(v->engine), x.lov);
    if (x.identities)
        db_pool_put(engine_identities(v->engine), x.identities);
    rules_unref(rules);
    return rc;
}
