/* restore.c - bringing a restored lov store and the identities together.
 *
 * The two may be of different times. Whoever the lov store knows and the identities do not was
 * erased after the backup was made: the ledger says so again, and their rows go. Whoever the ledger
 * has erased and the identities still know was erased after those were copied: they are erased
 * again. The file `restored` asks for it and goes when all is durable, so that a crash in between
 * only means doing it at the next opening. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "consent/engine.h"

enum { BATCH = 500, MARKER_MAX = 256 };

static void note_path(const char *dir, struct buf *out)
{
    buf_printf(out, "%s/restored", dir);
}

int engine_note_restore(const char *dir, int64_t made_at, struct err *err)
{
    _cleanup_buf struct buf path = {0}, text = {0};
    note_path(dir, &path);
    time_format(made_at, &text);
    unlink(path.p); /* of a restore that did not come to its end */
    return file_create(path.p, 0600, buf_view(&text), err);
}

static int read_note(const char *path, int64_t *made_at, struct err *err)
{
    _cleanup_buf struct buf text = {0};
    int rc = file_read(path, MARKER_MAX, &text, err);
    if (rc == 0 && !time_parse(str_trim(buf_view(&text)), made_at))
        rc = err_set(err, LOV_ECORRUPT, "%s holds no time: remove it", path);
    return rc;
}

/* ---- one step ---- */

struct step {
    struct write_job job; /* first */
    struct engine *e;
    int64_t made_at;
    struct uid after; /* the consumer behind whom the search for strangers goes on */
    int64_t event;    /* the event behind which the search for erasures goes on */
    struct uid next_after;
    int64_t next_event;
    struct {
        struct uid cid;
        uint32_t shard;
        int64_t last_event;
    } strangers[BATCH];
    struct {
        struct hash128 lookup;
        bool suppressed;
    } erased[BATCH];
    size_t stranger_count, erased_count;
    int64_t looked_at;
};

/* A consumer of the lov store whom the identities do not know. */
static int forget(struct step *t, struct write_stores *stores, size_t i, struct err *err)
{
    struct ledger_event event = {
        .shard = t->strangers[i].shard,
        .prev = t->strangers[i].last_event,
        .at = stores->now,
        .kind = STR("consumer.erase"),
        .has_cid = true,
        .cid = t->strangers[i].cid,
        .actor = STR("lov"),
        .body = STR("{}"),
    };
    int rc = ledger_append(t->e->ledger, stores->lov, &event, err);
    return rc ? rc : rows_erase(stores->lov, event.shard, &event.cid, err);
}

static int find_strangers(struct step *t, struct write_stores *stores, struct uid *last,
                          struct err *err)
{
    static const char sql[] = "select shard, cid, last_event from consumer "
                              "where shard = 0 and cid > $1 order by cid limit $2";
    struct identity_row known;
    struct db_stmt *s = db_use(stores->lov, sql);
    db_bind_blob(s, 1, uid_str(&t->after));
    db_bind_int(s, 2, BATCH);
    t->stranger_count = 0;
    t->looked_at = 0;
    int rc;
    while ((rc = db_step(s, err)) == 1) {
        struct str cid = db_blob(s, 1);
        t->looked_at++;
        if (cid.n != sizeof last->b) {
            rc = err_set(err, LOV_ECORRUPT, "a consumer's row is damaged: run lov log verify");
            break;
        }
        memcpy(last->b, cid.p, cid.n);
        rc = identity_find_cid(stores->identity, last, &known, err);
        if (rc < 0)
            break;
        if (rc == 1)
            continue;
        size_t n = t->stranger_count++;
        t->strangers[n].cid = *last;
        t->strangers[n].shard = (uint32_t)db_int(s, 0);
        t->strangers[n].last_event = db_int(s, 2);
    }
    if (rc < 0)
        db_done(s);
    return rc;
}

static int run_strangers(struct write_job *job, struct write_stores *stores, struct err *err)
{
    struct step *t = (struct step *)job;
    struct uid last = t->after;
    int rc = find_strangers(t, stores, &last, err);
    for (size_t i = 0; rc == 0 && i < t->stranger_count; i++)
        rc = forget(t, stores, i, err);
    t->next_after = last;
    return rc;
}

static void durable_strangers(struct write_job *job)
{
    struct step *t = (struct step *)job;
    t->after = t->next_after;
}

struct erasures {
    struct step *t;
    struct write_stores *stores;
    struct err *err;
};

static int take_erasure(void *ctx, const struct ledger_event *event)
{
    struct erasures *x = ctx;
    struct identity_row row;
    x->t->next_event = event->seq;
    if (!event->has_cid || !str_is(event->kind, "consumer.erase"))
        return 0;
    /* As it was decided then: by the law of a residence that nobody knows any more. */
    bool suppressed = body_is_suppressed(event->body);
    int rc = identity_find_cid(x->stores->identity, &event->cid, &row, x->err);
    if (rc != 1)
        return rc;
    rc = identity_erase(x->stores->identity, &row.lookup, x->stores->now, suppressed, x->err);
    if (rc)
        return rc;
    x->t->erased[x->t->erased_count].lookup = row.lookup;
    x->t->erased[x->t->erased_count++].suppressed = suppressed;
    return x->t->erased_count == BATCH;
}

static int run_erasures(struct write_job *job, struct write_stores *stores, struct err *err)
{
    struct step *t = (struct step *)job;
    struct erasures x = {t, stores, err};
    int64_t scanned = t->event;
    struct ledger_filter filter = {.after = t->event, .limit = INT64_MAX};
    t->erased_count = 0;
    t->next_event = t->event;
    int rc = ledger_read(stores->lov, &filter, take_erasure, &x, &scanned, err);
    if (rc == 0)
        t->next_event = scanned;
    t->looked_at = t->next_event - t->event;
    return rc < 0 ? rc : 0;
}

static void durable_erasures(struct write_job *job)
{
    struct step *t = (struct step *)job;
    struct index *ix = t->e->index;
    t->event = t->next_event;
    index_write_lock(ix);
    for (size_t i = 0; i < t->erased_count; i++) {
        struct index_consumer *c = index_change(ix, &t->erased[i].lookup);
        if (c && t->erased[i].suppressed)
            index_erase(ix, c);
        else if (c)
            index_forget(ix, c);
    }
    index_write_unlock(ix);
}

/* The rows of all are wanted in the tables: strangers are looked for there. */
static int run_settle(struct write_job *job, struct write_stores *stores, struct err *err)
{
    return sweep_all(((struct step *)job)->e, stores->lov, err);
}

/* ---- lineages ---- */

/* The row of meta: "120:3f2a9c01,300:..." */
static int add_lineage(struct db *lov, int64_t from, struct err *err)
{
    static const char sql[] = "insert into meta (name, value) values ('restored', $1) "
                              "on conflict (name) do update set "
                              "value = meta.value || ',' || excluded.value";
    _cleanup_buf struct buf text = {0};
    uint8_t mark[4];
    random_bytes(mark, sizeof mark);
    buf_printf(&text, "%lld:", (long long)from);
    hex_encode(mark, sizeof mark, &text);
    struct db_stmt *s = db_use(lov, sql);
    db_bind_text(s, 1, buf_view(&text));
    return db_run(s, err);
}

static int parse_lineages(struct engine *e, struct str text, struct err *err)
{
    while (text.n) {
        struct str item = str_cut(&text, ','), from = str_cut(&item, ':');
        struct lineage l;
        if (!str_to_int(from, 0, INT64_MAX, &l.from) || !hex_decode(item, &l.mark, sizeof l.mark))
            return err_set(err, LOV_ECORRUPT, "meta says nothing readable of what was restored");
        e->lineages = mem_grow(e->lineages, e->lineage_count + 1, sizeof *e->lineages);
        e->lineages[e->lineage_count++] = l;
    }
    return 0;
}

int engine_load_lineages(struct engine *e, struct err *err)
{
    static const char sql[] = "select value from meta where name = 'restored'";
    struct db *lov;
    int rc = db_pool_get(e->lov, &lov, err);
    if (rc)
        return rc;
    struct db_stmt *s = db_use(lov, sql);
    rc = db_step(s, err);
    if (rc == 1) {
        rc = parse_lineages(e, db_text(s, 0), err);
        db_done(s);
    }
    db_pool_put(e->lov, lov);
    return rc;
}

/* ---- the record ---- */

static int run_record(struct write_job *job, struct write_stores *stores, struct err *err)
{
    struct step *t = (struct step *)job;
    _cleanup_buf struct buf body = {0};
    struct jw w = {.out = &body};
    jw_object_start(&w);
    jw_time_member(&w, "made_at", t->made_at);
    jw_object_end(&w);
    struct ledger_event event = {
        .prev = -1,
        .at = stores->now,
        .kind = STR("store.restore"),
        .actor = STR("local"),
        .body = buf_view(&body),
    };
    int rc = ledger_append(t->e->ledger, stores->lov, &event, err);
    return rc ? rc : add_lineage(stores->lov, event.seq, err);
}

/* ---- all ---- */

static int write_all(struct engine *e, struct step *t, struct err *err)
{
    int rc = 0;
    t->e = e;
    t->event = -1;
    t->job = (struct write_job){.run = run_settle};
    rc = writer_run(e->writer, &t->job, err);
    while (rc == 0) {
        t->job = (struct write_job){.run = run_erasures, .durable = durable_erasures};
        rc = writer_run(e->writer, &t->job, err);
        if (t->looked_at == 0)
            break;
    }
    while (rc == 0) {
        t->job = (struct write_job){.run = run_strangers, .durable = durable_strangers};
        rc = writer_run(e->writer, &t->job, err);
        if (t->looked_at < BATCH)
            break;
    }
    if (rc == 0) {
        t->job = (struct write_job){.run = run_record};
        rc = writer_run(e->writer, &t->job, err);
    }
    return rc;
}

int engine_reconcile(struct engine *e, struct err *err)
{
    _cleanup_buf struct buf path = {0};
    int64_t made_at;
    note_path(e->dir, &path);
    if (!file_exists(path.p))
        return 0;
    int rc = read_note(path.p, &made_at, err);
    if (rc)
        return rc;
    struct step *t = mem_zero(sizeof *t);
    t->made_at = made_at;
    rc = write_all(e, t, err);
    free(t);
    if (rc == 0 && unlink(path.p) != 0)
        rc = err_set(err, LOV_EIO, "cannot remove %s: %s", path.p, strerror(errno));
    return rc ? rc : dir_sync(e->dir, err);
}
