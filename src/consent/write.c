/* write.c - how a write runs, and what it does to the index once it is durable. */
#include <string.h>

#include "consent/engine.h"

typedef int write_run(struct work *k, struct err *err);

static write_run *const kinds[] = {
    [WRITE_GIVE] = write_answer,       [WRITE_REFUSE] = write_answer,
    [WRITE_WITHDRAW] = write_withdraw, [WRITE_RENEW] = write_renew,
    [WRITE_AMEND] = write_amend,       [WRITE_EXPIRE] = write_expire,
    [WRITE_CONSUMER] = write_consumer, [WRITE_ERASE] = write_erase,
    [WRITE_ACCESS] = write_access,     [WRITE_POLICY] = write_policy,
    [WRITE_OTHER] = write_other,
};

/* ---- idempotency ---- */

static struct str hash_str(const struct sha256 *h)
{
    return (struct str){(const char *)h->b, sizeof h->b};
}

static int load_replayed(struct work *k, int64_t seq, struct err *err)
{
    struct engine_write *w = k->w;
    w->replayed = true;
    w->out_seq = seq;
    if (w->kind > WRITE_AMEND)
        return 0;
    int rc = work_consumer_of(k, 0, seq, err);
    if (rc == 1)
        rc = person_find_consent(&k->person, k->lov, seq, w->arena, &w->out, err);
    k->change->has_who = false;
    if (rc == 0)
        return err_reason(err, LOV_ECONFLICT, "erased", "the consumer was erased");
    return rc < 0 ? rc : 0;
}

/* 1: the key was used before for the same request, and what came of it is in the write's output. */
static int replay(struct work *k, struct err *err)
{
    static const char sql[] =
        "select request, seq from idempotency where shard = $1 and digest = $2";
    struct engine_write *w = k->w;
    if (!w->idempotent)
        return 0;
    struct db_stmt *s = db_use(k->lov, sql);
    db_bind_int(s, 1, 0);
    db_bind_blob(s, 2, hash_str(&w->idempotency));
    int rc = db_step(s, err);
    if (rc != 1)
        return rc;
    bool same = str_eq(db_blob(s, 0), hash_str(&w->request));
    int64_t seq = db_int(s, 1);
    db_done(s);
    if (!same)
        return err_reason(err, LOV_EINVAL, "idempotency_key_reused",
                          "this Idempotency-Key was used for another request: choose a new one");
    rc = load_replayed(k, seq, err);
    return rc ? rc : 1;
}

/* A key as an entry of the journal; one machine writes and reads it. */
struct key_entry {
    char kind; /* KEY_ENTRY */
    char zero[7];
    int64_t seq, at;
    struct sha256 digest, request;
};
enum { KEY_ENTRY = 'K' };

static int put_key(struct db *lov, const struct key_entry *key, struct err *err)
{
    static const char sql[] = "insert into idempotency (shard, digest, request, seq, at) "
                              "values ($1, $2, $3, $4, $5) on conflict (shard, digest) do nothing";
    struct db_stmt *s = db_use(lov, sql);
    db_bind_int(s, 1, 0);
    db_bind_blob(s, 2, hash_str(&key->digest));
    db_bind_blob(s, 3, hash_str(&key->request));
    db_bind_int(s, 4, key->seq);
    db_bind_int(s, 5, key->at);
    return db_run(s, err);
}

static int remember(struct work *k, struct err *err)
{
    struct engine_write *w = k->w;
    struct engine *e = k->e;
    if (!w->idempotent)
        return 0;
    struct key_entry key = {
        .kind = KEY_ENTRY,
        .seq = w->kind <= WRITE_AMEND ? w->out.seq : w->out_seq,
        .at = k->now,
        .digest = w->idempotency,
        .request = w->request,
    };
    journal_entry_add(&e->keys, (struct str){(const char *)&key, sizeof key});
    e->key_count++;
    return put_key(k->lov, &key, err);
}

int engine_recover_other(struct db *lov, struct str entry, struct err *err)
{
    struct key_entry key;
    if (entry.n != sizeof key || entry.p[0] != KEY_ENTRY)
        return err_set(err, LOV_ECORRUPT, "the journal holds something that is not known");
    memcpy(&key, entry.p, sizeof key);
    return put_key(lov, &key, err);
}

/* ---- what a batch has changed so far ---- */

static void forget_batch(struct engine *e)
{
    e->changed_count = 0;
    e->bulk = false;
    buf_clear(&e->keys);
    e->key_count = 0;
}

static void batch_committed(void *ctx)
{
    struct engine *e = ctx;
    forget_batch(e);
    tail_commit(e->tail, clock_now());
    struct write_observer ledger = ledger_observer(e->ledger);
    ledger.committed(ledger.ctx);
    engine_index_committed(e);
}

static void batch_rolled_back(void *ctx)
{
    struct engine *e = ctx;
    forget_batch(e);
    tail_roll_back(e->tail);
    struct write_observer ledger = ledger_observer(e->ledger);
    ledger.rolled_back(ledger.ctx);
}

static int batch_before_commit(void *ctx, struct write_stores *stores, struct err *err)
{
    struct engine *e = ctx;
    /* What is committed so far was taken in by the index after its commit. */
    int rc = engine_index_applied(e, stores->lov, err);
    if (rc)
        return rc;
    return e->bulk ? sweep_bulk(e, stores->lov, err) : sweep(e, stores->lov, err);
}

static int batch_before_store(void *ctx, struct write_stores *stores, struct err *err)
{
    struct write_observer ledger = ledger_observer(((struct engine *)ctx)->ledger);
    return ledger.before_store(ledger.ctx, stores, err);
}

static int64_t batch_kept(void *ctx)
{
    struct write_observer ledger = ledger_observer(((struct engine *)ctx)->ledger);
    return ledger.kept(ledger.ctx);
}

static int64_t batch_idle(void *ctx, bool stopping)
{
    return sweep_wait(ctx, stopping);
}

/* A bulk has written rows of its own, and more than a journal holds. */
static int64_t batch_journal(void *ctx, struct buf *payload)
{
    struct engine *e = ctx;
    struct write_observer ledger = ledger_observer(e->ledger);
    if (e->bulk)
        return -1;
    buf_str(payload, buf_view(&e->keys));
    return e->key_count + ledger.journal(ledger.ctx, payload);
}

static void batch_stored(void *ctx)
{
    struct engine *e = ctx;
    struct write_observer ledger = ledger_observer(e->ledger);
    ledger.stored(ledger.ctx);
    tail_stored(e->tail, clock_now());
}

struct write_observer engine_observer(struct engine *e)
{
    return (struct write_observer){.ctx = e,
                                   .before_commit = batch_before_commit,
                                   .before_store = batch_before_store,
                                   .committed = batch_committed,
                                   .rolled_back = batch_rolled_back,
                                   .idle = batch_idle,
                                   .kept = batch_kept,
                                   .journal = batch_journal,
                                   .stored = batch_stored};
}

bool engine_changed(const struct engine *e, const struct hash128 *lookup)
{
    if (e->bulk)
        return true;
    for (size_t i = 0; i < e->changed_count; i++)
        if (memcmp(e->changed[i].b, lookup->b, sizeof lookup->b) == 0)
            return true;
    return false;
}

static void note_change(struct engine *e, const struct engine_change *change)
{
    bool says_something = change->attributes || change->erase || change->consent_count > 0;
    if (!change->has_who || !says_something)
        return;
    if (e->changed_count == e->changed_cap) {
        e->changed_cap = e->changed_cap ? e->changed_cap * 2 : 64;
        e->changed = mem_grow(e->changed, e->changed_cap, sizeof *e->changed);
    }
    e->changed[e->changed_count++] = change->who.lookup;
}

/* ---- running ---- */

static int run(struct write_job *job, struct write_stores *stores, struct err *err)
{
    struct engine_write *w = (struct engine_write *)job;
    struct work k = {
        .e = w->engine,
        .w = w,
        .lov = stores->lov,
        .identities = stores->identity,
        .now = stores->now,
        .rules = rules_in_force(w->engine),
        .change = arena_alloc(w->arena, sizeof *w->change),
    };
    w->replayed = false;
    w->change = k.change;
    int rc = replay(&k, err);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    rc = kinds[w->kind](&k, err);
    if (rc == 0)
        rc = remember(&k, err);
    if (rc == 0)
        note_change(k.e, k.change);
    return rc;
}

int write_is_known(struct work *k, struct err *err)
{
    k->change = arena_alloc(k->w->arena, sizeof *k->change);
    return k->w->idempotent ? replay(k, err) : 0;
}

int write_run_known(struct work *k, struct err *err)
{
    struct engine_write *w = k->w;
    k->change = arena_alloc(w->arena, sizeof *w->change);
    w->replayed = false;
    w->change = k->change;
    int rc = replay(k, err);
    if (rc == 0)
        rc = kinds[w->kind](k, err);
    return rc < 0 ? rc : 0;
}

/* ---- the index ---- */

static void set_permits(struct index *ix, struct index_consumer *who, const struct consent *c,
                        const struct str *names, size_t count, enum permit_state state)
{
    for (size_t i = 0; i < count; i++) {
        struct permit p = {
            .key = index_key(ix, c->recipient, c->purpose, names[i]),
            .state = (uint8_t)state,
            .by_guardian = c->by_guardian,
            .notice = index_notice(ix, c->notice),
            .notice_version = c->notice_version,
            .expires_at = c->expires_at == TIME_NONE ? INT64_MAX : c->expires_at,
            .consent = c->seq,
        };
        index_set(ix, who, &p);
    }
}

void index_consent(struct index *ix, struct index_consumer *who, const struct consent *c)
{
    enum permit_state state = c->status == CONSENT_REFUSED     ? PERMIT_REFUSED
                              : c->status == CONSENT_WITHDRAWN ? PERMIT_WITHDRAWN
                                                               : PERMIT_GIVEN;
    if (c->status != CONSENT_SUPERSEDED)
        set_permits(ix, who, c, c->categories, c->category_count, state);
    set_permits(ix, who, c, c->narrowed, c->narrowed_count, PERMIT_WITHDRAWN);
}

static void change_index(struct index *ix, const struct engine_change *change)
{
    struct index_consumer *c = index_change(ix, &change->who.lookup);
    if (!c)
        c = index_add(ix, &change->who.lookup, &change->who.cid, change->who.shard);
    if (change->forget)
        index_forget(ix, c);
    else if (change->erase)
        index_erase(ix, c);
    if (change->erase)
        return;
    if (change->attributes) {
        c->residence = index_residence(ix, change->residence);
        c->restricted = change->restricted;
        c->opt_out_signal = change->opt_out_signal;
        c->no_automated_decision = change->no_automated_decision;
        c->born = change->born;
    }
    for (size_t i = 0; i < change->consent_count; i++)
        index_consent(ix, c, &change->consents[i]);
}

static void show_change(struct engine *e, const struct engine_change *change)
{
    if (change->erase)
        identity_forget_name(e->identity, &change->who.cid);
    change_index(e->index, change);
}

static void show_time(struct engine *e)
{
    int64_t latest = atomic_load_explicit(&e->latest, memory_order_relaxed);
    int64_t now = clock_now();
    if (now > latest)
        atomic_store_explicit(&e->latest, now, memory_order_relaxed);
    index_latest(e->index, now);
}

void write_show_time(struct engine *e)
{
    index_write_lock(e->index);
    show_time(e);
    index_write_unlock(e->index);
}

void write_show(struct engine *e, const struct engine_write *w)
{
    if (!w->replayed && w->change->has_who)
        show_change(e, w->change);
}

static void durable(struct write_job *job)
{
    struct engine_write *w = (struct engine_write *)job;
    struct engine *e = w->engine;
    if (w->replayed)
        return;
    struct rules *rules = NULL;
    index_write_lock(e->index);
    if (w->change->has_who)
        show_change(e, w->change);
    if (w->policy)
        rules = rules_new(e->index, policy_ref(w->policy));
    if (rules)
        engine_set_rules(e, rules);
    show_time(e);
    index_write_unlock(e->index);
}

static void done(struct write_job *job)
{
    struct engine_write *w = (struct engine_write *)job;
    w->done(w);
}

void engine_submit(struct engine *e, struct engine_write *w)
{
    w->engine = e;
    w->job.run = run;
    w->job.durable = durable;
    w->job.done = done;
    writer_submit(e->writer, &w->job);
}

int engine_run(struct engine *e, struct engine_write *w, struct err *err)
{
    w->engine = e;
    w->job.run = run;
    w->job.durable = durable;
    return writer_run(e->writer, &w->job, err);
}
