/* round.c - what many consumers are told: a change of the policy, a summary.
 *
 * A round has a row with how far it has come, in the order of cids. A step reads some consumers,
 * makes and seals their messages, and only then is a job of the writer: the messages and how far it
 * has come, in one short transaction, so that no other write waits long. A process that is killed
 * goes on where it was; whoever were told already has a message of that source, and gets no second
 * one. */
#include "identity/account.h"
#include "notify/private.h"

#include <string.h>

enum { ROWS_AT_ONCE = 600, PEOPLE_AT_ONCE = 100, MOST_CHANGES = 64, BATCHES = 10 };

struct round {
    uint32_t shard;
    struct str source;
    int64_t version, event, told, begun_at;
    struct uid cid; /* those up to here were told */
    bool ended;
};

struct batch {
    struct engine *engine;
    struct arena *arena;
    struct db *lov, *identities;
    struct round *round;
    struct draft drafts[ROWS_AT_ONCE];
    size_t count;
    struct uid last; /* done when this is written */
    bool whole;      /* there is nobody behind */
    int64_t made;
};

/* ---- rows ---- */

/* 1: *out is a round that is not ended; 0: there is none. */
static int find_round(struct db *lov, struct arena *arena, struct round *out, struct err *err)
{
    static const char sql[] = "select shard, source, version, event, cid, told, begun_at from "
                              "message_round where ended_at is null order by begun_at, source "
                              "limit 1";
    struct db_stmt *s = db_use(lov, sql);
    int rc = db_step(s, err);
    if (rc != 1)
        return rc;
    *out = (struct round){
        .shard = (uint32_t)db_int(s, 0),
        .source = arena_str(arena, db_text(s, 1)),
        .version = db_int(s, 2),
        .event = db_int(s, 3),
        .told = db_int(s, 5),
        .begun_at = db_int(s, 6),
    };
    struct str cid = db_blob(s, 4);
    bool sound = cid.n == sizeof out->cid.b;
    if (sound)
        memcpy(out->cid.b, cid.p, cid.n);
    db_done(s);
    return sound ? 1 : err_set(err, LOV_ECORRUPT, "a round of messages is damaged");
}

static int put_progress(struct db *lov, const struct batch *b, struct err *err)
{
    static const char sql[] =
        "update message_round set cid = $3, told = told + $4 where shard = $1 and source = $2";
    struct db_stmt *s = db_use(lov, sql);
    db_bind_int(s, 1, b->round->shard);
    db_bind_text(s, 2, b->round->source);
    db_bind_blob(s, 3, uid_str(&b->last));
    db_bind_int(s, 4, b->made);
    return db_run(s, err);
}

struct batch_job {
    struct write_job job; /* first */
    struct batch *batch;
};

static int run_batch(struct write_job *job, struct write_stores *stores, struct err *err)
{
    struct batch *b = ((struct batch_job *)job)->batch;
    int rc = 0;
    b->made = 0;
    for (size_t i = 0; rc >= 0 && i < b->count; i++) {
        rc = draft_put(stores->lov, &b->drafts[i], stores->now, err);
        b->made += rc == 1;
    }
    return rc < 0 ? rc : put_progress(stores->lov, b, err);
}

static int save_batch(struct batch *b, struct err *err)
{
    struct batch_job job = {.job.run = run_batch, .batch = b};
    int rc = writer_run(engine_writer(b->engine), &job.job, err);
    if (rc)
        return rc;
    b->round->cid = b->last;
    b->round->told += b->made;
    return 0;
}

static int end_round(struct engine_write *w, struct write_scope *scope, struct err *err)
{
    static const char sql[] =
        "update message_round set ended_at = $3 where shard = $1 and source = $2";
    const struct round *r = w->input;
    _cleanup_buf struct buf body = {0};
    struct jw j = {.out = &body};
    struct db_stmt *s = db_use(scope->lov, sql);
    db_bind_int(s, 1, r->shard);
    db_bind_text(s, 2, r->source);
    db_bind_int(s, 3, scope->now);
    int rc = db_run(s, err);
    if (rc || !r->told)
        return rc;
    jw_object_start(&j);
    jw_str_member(&j, "source", r->source);
    jw_int_member(&j, "policy_version", r->version);
    jw_int_member(&j, "told", r->told);
    jw_object_end(&j);
    return engine_append(scope, "message.round", (struct str){0}, buf_view(&body), &w->out_seq,
                         err);
}

static int finish_round(struct engine *e, const struct round *r, struct err *err)
{
    _cleanup_arena struct arena arena = {0};
    struct engine_write w = {
        .kind = WRITE_OTHER,
        .actor = STR("lov"),
        .arena = &arena,
        .other = end_round,
        .input = r,
        .expires_at = TIME_NONE,
        .given_at = TIME_NONE,
    };
    return engine_run(e, &w, err);
}

static int add_draft(struct batch *b, const struct uid *cid, uint32_t shard, struct str json,
                     struct err *err)
{
    struct draft *d = &b->drafts[b->count];
    *d = (struct draft){*cid, shard, b->round->source, json, {0}};
    int rc = draft_seal(engine_identity(b->engine), b->identities, d, b->arena, err);
    if (rc == 0)
        b->count++;
    return rc;
}

/* ---- a change of the policy ---- */

struct news {
    const char *what; /* "notice", "changed", "removed", "added", "taken_over" */
    struct str recipient, purpose, notice;
    int version;
    bool material;
    bool everybody; /* also to those who have never answered anything */
    bool applies;   /* to the consumer at hand */
};

struct changes {
    struct policy *before, *after;
    struct policy_diff diff;
    struct news items[MOST_CHANGES];
    size_t count;
    bool everybody; /* one of them is for everybody */
};

static void free_changes(struct changes *c)
{
    policy_diff_free(&c->diff);
    policy_unref(c->before);
    policy_unref(c->after);
}

/* Whoever buys the business gets the data of all who do not say no. */
static bool takes_over(const struct policy *p, struct str recipient)
{
    const struct policy_recipient *r = policy_recipient(p, recipient);
    return r && r->kind == RECIPIENT_SUCCESSOR;
}

static void add_news(struct changes *c, const struct policy_change *change)
{
    static const char *const activity[] = {"added", "removed", "changed"};
    if (c->count == MOST_CHANGES || !change->recipient.n)
        return;
    struct news n = {.recipient = change->recipient, .purpose = change->purpose};
    if (strcmp(change->what, "activity") == 0) {
        n.what = activity[change->kind];
        if (change->kind == POLICY_ADDED && takes_over(c->after, change->recipient)) {
            n.what = "taken_over";
            n.everybody = c->everybody = true;
        }
    } else if (strcmp(change->what, "notice") == 0 && change->kind == POLICY_CHANGED) {
        const struct policy_notice *notice = policy_notice(c->after, change->id);
        n.what = "notice";
        n.notice = change->id;
        n.version = notice ? notice->version : 0;
        n.material = change->material;
    } else {
        return;
    }
    c->items[c->count++] = n;
}

static int read_changes(struct db *lov, const struct round *r, struct changes *c, struct err *err)
{
    if (r->version <= 1)
        return 0;
    int rc = policy_store_load(lov, (int)r->version - 1, &c->before, err);
    if (rc == 0)
        rc = policy_store_load(lov, (int)r->version, &c->after, err);
    if (rc)
        return rc;
    policy_diff(c->before, c->after, &c->diff);
    for (size_t i = 0; i < c->diff.count; i++)
        add_news(c, &c->diff.items[i]);
    return 0;
}

static void see_anybody(struct changes *c)
{
    for (size_t i = 0; i < c->count; i++)
        c->items[i].applies = c->items[i].applies || c->items[i].everybody;
}

/* Of an answer that was given before: what changes for it. */
static void see_answer(struct changes *c, struct str recipient, struct str purpose,
                       struct str status)
{
    if (str_is(status, "superseded"))
        return;
    for (size_t i = 0; i < c->count; i++) {
        struct news *n = &c->items[i];
        bool same = str_eq(n->purpose, purpose);
        if (n->everybody)
            continue;
        if (strcmp(n->what, "added") == 0)
            n->applies = n->applies || (same && str_is(status, "active"));
        else
            n->applies = n->applies || (same && str_eq(n->recipient, recipient));
    }
}

/* False where nothing applies to the consumer; ready for the next one. */
static bool write_news(struct changes *c, int64_t version, struct buf *out)
{
    struct jw w = {.out = out};
    bool any = false;
    jw_object_start(&w);
    jw_cstr_member(&w, "kind", "policy");
    jw_int_member(&w, "version", version);
    jw_array_member(&w, "changes");
    for (size_t i = 0; i < c->count; i++) {
        struct news *n = &c->items[i];
        if (!n->applies)
            continue;
        n->applies = false;
        any = true;
        jw_object_start(&w);
        jw_cstr_member(&w, "what", n->what);
        jw_str_member(&w, "recipient", n->recipient);
        jw_str_member(&w, "purpose", n->purpose);
        if (n->notice.n) {
            jw_str_member(&w, "notice", n->notice);
            jw_int_member(&w, "version", n->version);
            jw_bool_member(&w, "material", n->material);
        }
        jw_object_end(&w);
    }
    jw_array_end(&w);
    jw_object_end(&w);
    return any;
}

static int finish_consumer(struct batch *b, struct changes *c, const struct uid *cid,
                           struct err *err)
{
    _cleanup_buf struct buf json = {0};
    b->last = *cid;
    if (!write_news(c, b->round->version, &json))
        return 0;
    return add_draft(b, cid, b->round->shard, arena_str(b->arena, buf_view(&json)), err);
}

static void forget_consumer(struct changes *c)
{
    for (size_t i = 0; i < c->count; i++)
        c->items[i].applies = false;
}

/* The answers of whole consumers: the last one of a full page may have more on the next. Whoever
 * has given none is a row without an answer. */
static int read_answers(struct batch *b, struct changes *c, struct err *err)
{
    static const char answers[] =
        "select cid, recipient, purpose, status, given_at from consent where shard = $1 and "
        "cid > $2 order by cid, seq limit $3";
    static const char all[] =
        "select p.cid, a.recipient, a.purpose, a.status, a.given_at from consumer p left join "
        "consent a on a.shard = p.shard and a.cid = p.cid where p.shard = $1 and p.cid > $2 "
        "order by p.cid, a.seq limit $3";
    struct db_stmt *s = db_use(b->lov, c->everybody ? all : answers);
    struct uid cid = {0};
    int64_t rows = 0;
    int rc = 0;
    bool any = false;
    db_bind_int(s, 1, b->round->shard);
    db_bind_blob(s, 2, uid_str(&b->round->cid));
    db_bind_int(s, 3, ROWS_AT_ONCE);
    while (rc == 0 && (rc = db_step(s, err)) == 1) {
        struct str bytes = db_blob(s, 0);
        rc = bytes.n == sizeof cid.b ? 0 : err_set(err, LOV_ECORRUPT, "a consent is damaged");
        if (rc == 0 && any && memcmp(cid.b, bytes.p, bytes.n) != 0)
            rc = finish_consumer(b, c, &cid, err);
        if (rc)
            break;
        memcpy(cid.b, bytes.p, bytes.n);
        any = true;
        rows++;
        see_anybody(c);
        if (!db_is_null(s, 1) && db_int(s, 4) < b->round->begun_at)
            see_answer(c, db_text(s, 1), db_text(s, 2), db_text(s, 3));
    }
    db_done(s);
    b->whole = rows < ROWS_AT_ONCE;
    bool alone = any && memcmp(b->last.b, b->round->cid.b, sizeof b->last.b) == 0;
    if (rc == 0 && any && (b->whole || alone))
        rc = finish_consumer(b, c, &cid, err);
    forget_consumer(c);
    return rc;
}

/* The tables may follow the ledger: what the event comes after must be in them. */
static int is_applied(struct db *lov, const struct round *r, struct err *err)
{
    static const char sql[] = "select applied from shard where shard = $1";
    struct db_stmt *s = db_use(lov, sql);
    db_bind_int(s, 1, r->shard);
    int rc = db_step(s, err);
    if (rc != 1)
        return rc;
    bool applied = db_int(s, 0) > r->event;
    db_done(s);
    return applied;
}

/* ---- a summary ---- */

struct people {
    struct uid cids[PEOPLE_AT_ONCE];
    size_t count, seen;
    struct uid last;
    int64_t before; /* accounts that were made before then */
};

static int person_row(void *ctx, const struct uid *cid, int64_t created_at)
{
    struct people *p = ctx;
    p->last = *cid;
    p->seen++;
    if (created_at < p->before)
        p->cids[p->count++] = *cid;
    return 0;
}

static int read_people(struct batch *b, int32_t month, struct err *err)
{
    struct people p = {.last = b->round->cid, .before = date_start(month)};
    int rc = account_each(b->identities, &b->round->cid, PEOPLE_AT_ONCE, person_row, &p, err);
    b->whole = p.seen < PEOPLE_AT_ONCE;
    b->last = p.last;
    for (size_t i = 0; rc >= 0 && i < p.count; i++) {
        _cleanup_buf struct buf json = {0};
        uint32_t shard = 0;
        rc = summary_write(b->engine, b->lov, b->identities, &p.cids[i], month, b->arena, &shard,
                           &json, err);
        if (rc == 1)
            rc = add_draft(b, &p.cids[i], shard, arena_str(b->arena, buf_view(&json)), err);
    }
    return rc < 0 ? rc : 0;
}

static struct str summary_source(int32_t month, struct buf *out)
{
    buf_cstr(out, "summary-");
    date_format(month, out);
    return buf_view(out);
}

static int find_source(struct db *lov, struct str source, struct err *err)
{
    static const char sql[] = "select 1 from message_round where shard = 0 and source = $1";
    struct db_stmt *s = db_use(lov, sql);
    db_bind_text(s, 1, source);
    int rc = db_step(s, err);
    if (rc == 1)
        db_done(s);
    return rc;
}

static int begin_summary(struct engine_write *w, struct write_scope *scope, struct err *err)
{
    static const char sql[] =
        "insert into message_round (shard, source, version, event, cid, told, begun_at) values "
        "(0, $1, 0, -1, $2, 0, $3) on conflict (shard, source) do nothing";
    static const struct uid first;
    const struct str *source = w->input;
    struct db_stmt *s = db_use(scope->lov, sql);
    db_bind_text(s, 1, *source);
    db_bind_blob(s, 2, uid_str(&first));
    db_bind_int(s, 3, scope->now);
    return db_run(s, err);
}

static int32_t month_of(int64_t at)
{
    struct civil c = civil_from_days((int32_t)(at / DAY_MS));
    c.day = 1;
    return days_from_civil(c);
}

int rounds_begin_summary(struct engine *e, int64_t now, struct err *err)
{
    _cleanup_arena struct arena arena = {0};
    _cleanup_buf struct buf text = {0};
    struct str source = summary_source(month_of(now), &text);
    struct db *lov;
    int rc = db_pool_get_rows(engine_lov(e), &lov, err);
    if (rc)
        return rc;
    rc = find_source(lov, source, err);
    db_pool_put(engine_lov(e), lov);
    if (rc)
        return rc < 0 ? rc : 0;
    struct engine_write w = {
        .kind = WRITE_OTHER,
        .actor = STR("lov"),
        .arena = &arena,
        .other = begin_summary,
        .input = &source,
        .expires_at = TIME_NONE,
        .given_at = TIME_NONE,
    };
    return engine_run(e, &w, err);
}

/* ---- steps ---- */

static int take_batch(struct batch *b, struct changes *c, struct err *err)
{
    int32_t month;
    struct str day = b->round->source;
    b->last = b->round->cid;
    if (b->round->version)
        return read_answers(b, c, err);
    str_cut(&day, '-');
    if (!date_parse(day, &month))
        return err_set(err, LOV_ECORRUPT, "a round of messages is damaged");
    return read_people(b, month, err);
}

static int run_batches(struct engine *e, struct db *lov, struct db *identities, struct round *r,
                       struct changes *c, struct err *err)
{
    int rc = 0;
    bool whole = r->version && !c->count;
    for (int i = 0; rc == 0 && !whole && i < BATCHES; i++) {
        _cleanup_arena struct arena arena = {0};
        struct batch *b = arena_alloc(&arena, sizeof *b);
        *b = (struct batch){
            .engine = e, .arena = &arena, .lov = lov, .identities = identities, .round = r};
        rc = take_batch(b, c, err);
        if (rc == 0)
            rc = save_batch(b, err);
        whole = b->whole;
    }
    r->ended = rc == 0 && whole;
    return rc;
}

static int step_round(struct engine *e, struct db *lov, struct round *r, bool *more,
                      struct err *err)
{
    struct changes changes = {0};
    struct db *identities;
    int rc = r->version ? is_applied(lov, r, err) : 1;
    if (rc != 1)
        return rc;
    *more = true;
    rc = db_pool_get(engine_identities(e), &identities, err);
    if (rc)
        return rc;
    rc = read_changes(lov, r, &changes, err);
    if (rc == 0)
        rc = run_batches(e, lov, identities, r, &changes, err);
    db_pool_put(engine_identities(e), identities);
    free_changes(&changes);
    return rc == 0 && r->ended ? finish_round(e, r, err) : rc;
}

int rounds_step(struct engine *e, bool *more, int64_t *told, struct err *err)
{
    _cleanup_arena struct arena arena = {0};
    struct round r;
    struct db *lov;
    int rc = db_pool_get_rows(engine_lov(e), &lov, err);
    if (rc)
        return rc;
    int found = find_round(lov, &arena, &r, err);
    db_pool_put(engine_lov(e), lov);
    if (found != 1)
        return found;
    /* What is told may lead to the newest events. */
    rc = db_pool_get(engine_lov(e), &lov, err);
    if (rc)
        return rc;
    int64_t before = r.told;
    rc = step_round(e, lov, &r, more, err);
    *told = r.told - before;
    db_pool_put(engine_lov(e), lov);
    return rc;
}
