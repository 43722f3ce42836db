/* bulk.c - see bulk.h. Three passes in the writer's transaction: find each consumer, in order of
 * lookup; decide, in order of the writes, who is new and has a write that is not refused, and add
 * those to the identity store, in order of lookup again; run the writes. */
#include "consent/bulk.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "consent/engine.h"

/* ---- who, before the writer has it ---- */

struct place {
    struct hash128 lookup;
    size_t write;
};

static int by_lookup(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    int rc = memcmp(x->lookup.b, y->lookup.b, sizeof x->lookup.b);
    return rc ? rc : (x->write > y->write) - (x->write < y->write);
}

static bool same_lookup(const struct place *a, const struct place *b)
{
    return memcmp(a->lookup.b, b->lookup.b, sizeof a->lookup.b) == 0;
}

/* Random bytes and sealing take longer than the row; who is there already does not need them. */
static void prepare(struct engine_bulk *b, struct bulk_consumer *c)
{
    struct engine *e = b->engine;
    struct permit_answer answer;
    bool there =
        !index_is_broken(e->index) &&
        permit_find(index_map(e->index), &c->who.lookup, INDEX_NO_KEY, &answer) == PERMIT_SOMEBODY;
    if (there)
        return;
    identity_prepare(e->identity, c->id, clock_now(), &b->arena, &c->new);
    c->prepared = true;
}

void engine_bulk_begin(struct engine *e, struct engine_bulk *b)
{
    struct arena *arena = &b->arena;
    b->engine = e;
    pthread_mutex_init(&b->lock, NULL);
    pthread_cond_init(&b->ready, NULL);
    b->of = arena_array(arena, b->count + 1, sizeof(struct bulk_consumer *));
    b->out = arena_array(arena, b->count + 1, sizeof *b->out);
    b->consumers = arena_array(arena, b->count + 1, sizeof *b->consumers);
    struct place *places = mem_grow(NULL, b->count + 1, sizeof *places);
    for (size_t i = 0; i < b->count; i++) {
        b->writes[i].engine = e;
        places[i] = (struct place){identity_lookup(e->identity, b->writes[i].consumer), i};
    }
    qsort(places, b->count, sizeof *places, by_lookup);
    for (size_t i = 0; i < b->count; i++) {
        if (i == 0 || !same_lookup(&places[i - 1], &places[i])) {
            struct bulk_consumer *c = &b->consumers[b->consumer_count++];
            c->id = b->writes[places[i].write].consumer;
            c->who.lookup = places[i].lookup;
        }
        b->of[places[i].write] = &b->consumers[b->consumer_count - 1];
    }
    free(places);
    for (size_t i = 0; i < b->consumer_count; i++)
        prepare(b, &b->consumers[i]);
}

void engine_bulk_end(struct engine_bulk *b)
{
    arena_free(&b->arena);
    pthread_mutex_destroy(&b->lock);
    pthread_cond_destroy(&b->ready);
}

/* ---- passes ---- */

static struct work work_of(struct engine_bulk *b, size_t i, const struct write_stores *stores)
{
    return (struct work){
        .e = b->engine,
        .w = &b->writes[i],
        .lov = stores->lov,
        .identities = stores->identity,
        .now = stores->now,
        .rules = rules_in_force(b->engine),
        .known = b->of[i],
    };
}

static int find_consumers(struct engine_bulk *b, struct write_stores *stores, struct err *err)
{
    struct work k = {.e = b->engine, .lov = stores->lov, .identities = stores->identity};
    for (size_t i = 0; i < b->consumer_count; i++) {
        struct bulk_consumer *c = &b->consumers[i];
        struct hash128 lookup = c->who.lookup;
        int rc = work_find_who(&k, &lookup, &c->who, err);
        c->found = rc == 1;
        c->added = c->erased = false;
        if (rc == 0)
            rc = identity_was_erased(stores->identity, &lookup, err);
        c->erased = !c->found && rc == 1;
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* Numbers those who are to be added, in the order in which they come. */
static int admit(struct engine_bulk *b, struct write_stores *stores, struct err *err)
{
    int64_t number;
    struct err refused;
    int rc = identity_next_number(stores->identity, &number, err);
    for (size_t i = 0; rc == 0 && i < b->count; i++) {
        struct bulk_consumer *c = b->of[i];
        if (c->found || c->added || c->erased || b->out[i])
            continue;
        struct work k = work_of(b, i, stores);
        if (write_is_known(&k, &refused) || answer_check_new(&k, &refused) < 0)
            continue;
        c->added = true;
        c->new.row.number = number++;
    }
    return rc;
}

static int add_consumers(struct engine_bulk *b, struct write_stores *stores, struct err *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < b->consumer_count; i++) {
        struct bulk_consumer *c = &b->consumers[i];
        if (!c->added)
            continue;
        if (!c->prepared)
            identity_prepare(b->engine->identity, c->id, stores->now, &b->arena, &c->new);
        c->prepared = true;
        rc = identity_put(b->engine->identity, stores->identity, &c->new, stores->now, err);
        c->who = c->new.row;
        c->found = rc == 0;
    }
    return rc;
}

/* The caller's row is wrong, and not what the rows are written to. */
static bool is_refusal(int rc)
{
    return rc == LOV_EINVAL || rc == LOV_ENOTFOUND || rc == LOV_ECONFLICT || rc == LOV_ELIMIT;
}

static int run_writes(struct engine_bulk *b, struct write_stores *stores, struct err *err)
{
    for (size_t i = 0; i < b->count; i++) {
        struct engine_write *w = &b->writes[i];
        if (b->out[i])
            continue;
        struct work k = work_of(b, i, stores);
        int64_t rows = db_changes(stores->lov), events = ledger_appended(b->engine->ledger);
        w->job.err = (struct err){0};
        w->job.rc = write_run_known(&k, &w->job.err);
        if (w->job.rc == 0)
            continue;
        *err = w->job.err;
        if (!is_refusal(w->job.rc))
            return w->job.rc;
        if (db_changes(stores->lov) != rows || ledger_appended(b->engine->ledger) != events) {
            b->spoilt = (int64_t)i;
            return w->job.rc;
        }
    }
    return 0;
}

static int keep_note(const struct engine_bulk *b, struct db *lov, struct err *err)
{
    static const char sql[] = "insert into meta (name, value) values ($1, $2) "
                              "on conflict (name) do update set value = excluded.value";
    _cleanup_buf struct buf name = {0}, value = {0};
    if (!b->note)
        return 0;
    b->note(b, &name, &value);
    struct db_stmt *s = db_use(lov, sql);
    db_bind_text(s, 1, buf_view(&name));
    db_bind_text(s, 2, buf_view(&value));
    return db_run(s, err);
}

static int run(struct write_job *job, struct write_stores *stores, struct err *err)
{
    struct engine_bulk *b = (struct engine_bulk *)job;
    struct engine *e = b->engine;
    b->spoilt = -1;
    if (!rules_in_force(e))
        return err_reason(err, LOV_EUNAVAILABLE, "no_policy",
                          "no policy is in force: apply one with lov policy apply");
    int rc = find_consumers(b, stores, err);
    if (rc == 0)
        rc = admit(b, stores, err);
    if (rc == 0)
        rc = add_consumers(b, stores, err);
    if (rc == 0)
        rc = run_writes(b, stores, err);
    if (rc == 0)
        rc = keep_note(b, stores->lov, err);
    e->bulk = true;
    return rc;
}

/* ---- durable ---- */

/* In parts, so that who waits for the index does not wait for all. */
static void durable(struct write_job *job)
{
    enum { AT_ONCE = 256 };
    struct engine_bulk *b = (struct engine_bulk *)job;
    struct engine *e = b->engine;
    for (size_t i = 0; i < b->count;) {
        index_write_lock(e->index);
        for (size_t end = i + AT_ONCE; i < end && i < b->count; i++)
            if (b->writes[i].job.rc == 0)
                write_show(e, &b->writes[i]);
        index_write_unlock(e->index);
    }
    write_show_time(e);
}

static void finish(struct write_job *job)
{
    struct engine_bulk *b = (struct engine_bulk *)job;
    pthread_mutex_lock(&b->lock);
    b->finished = true;
    pthread_cond_signal(&b->ready);
    pthread_mutex_unlock(&b->lock);
}

void engine_bulk_submit(struct engine_bulk *b)
{
    b->finished = false;
    b->job.run = run;
    b->job.durable = durable;
    b->job.done = finish;
    writer_submit(b->engine->writer, &b->job);
}

static void wait_once(struct engine_bulk *b)
{
    pthread_mutex_lock(&b->lock);
    while (!b->finished)
        pthread_cond_wait(&b->ready, &b->lock);
    pthread_mutex_unlock(&b->lock);
}

int engine_bulk_wait(struct engine_bulk *b, struct err *err)
{
    wait_once(b);
    /* A write that fails after it wrote takes the whole batch with it: again without it. */
    while (b->job.rc < 0 && b->spoilt >= 0) {
        b->out[b->spoilt] = true;
        engine_bulk_submit(b);
        wait_once(b);
    }
    if (b->job.rc < 0)
        *err = b->job.err;
    return b->job.rc < 0 ? b->job.rc : 0;
}

/* ---- notes ---- */

int bulk_notes(struct db *lov, struct str prefix,
               int (*row)(void *ctx, struct str name, struct str value), void *ctx, struct err *err)
{
    static const char sql[] = "select name, value from meta where name >= $1 order by name";
    struct db_stmt *s = db_use(lov, sql);
    db_bind_text(s, 1, prefix);
    int rc;
    while ((rc = db_step(s, err)) == 1) {
        if (!str_starts(db_text(s, 0), prefix)) {
            db_done(s);
            return 0;
        }
        rc = row(ctx, db_text(s, 0), db_text(s, 1));
        if (rc) {
            db_done(s);
            return rc;
        }
    }
    return rc;
}

int bulk_has_keys(struct db *lov, bool *out, struct err *err)
{
    static const char sql[] = "select 1 from idempotency limit 1";
    struct db_stmt *s = db_use(lov, sql);
    int rc = db_step(s, err);
    if (rc < 0)
        return rc;
    *out = rc == 1;
    if (rc == 1)
        db_done(s);
    return 0;
}
