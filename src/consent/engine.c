/* engine.c - opening and closing an installation.
 *
 * The folder holds: key (the key-encryption key), identity.db, lov.db, and lock, which the process
 * that has it open holds with flock(2). Opening builds the permit index from the stores. */
#include "consent/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/file.h"

enum { SHARDS = 1 }; /* with SQLite */

static void path_in(const char *dir, const char *name, struct buf *out)
{
    buf_clear(out);
    buf_printf(out, "%s/%s", dir, name);
}

/* ---- making one ---- */

/* Before the first opening, which would draw one. */
static int init_origin(const char *dir, const char *origin, struct err *err)
{
    _cleanup_buf struct buf path = {0};
    struct db *lov = NULL;
    path_in(dir, "lov.db", &path);
    int rc = db_open(path.p, DB_WRITE, &lov, err);
    if (rc == 0)
        rc = db_migrate_embedded(lov, "lov", err);
    if (rc == 0)
        rc = publish_set_origin(lov, str_of(origin), err);
    db_close(lov);
    return rc;
}

int engine_init_named(const char *dir, const char *origin, struct err *err)
{
    _cleanup_buf struct buf path = {0};
    path_in(dir, "key", &path);
    if (file_exists(path.p))
        return err_set(err, LOV_ECONFLICT, "%s holds an installation already", dir);
    int rc = origin ? publish_check_origin(str_of(origin), err) : 0;
    if (rc == 0)
        rc = dir_create(dir, 0700, err);
    if (rc == 0)
        rc = file_check_private(dir, err);
    if (rc == 0)
        rc = identity_create_key(dir, err);
    if (rc == 0 && origin)
        rc = init_origin(dir, origin, err);
    if (rc)
        return rc;
    struct log quiet = {.fd = STDERR_FILENO, .level = LOG_ERROR};
    struct engine *e = NULL;
    rc = engine_open(dir, &quiet, &e, err);
    engine_close(e);
    return rc;
}

int engine_init(const char *dir, struct err *err)
{
    return engine_init_named(dir, NULL, err);
}

/* ---- the index from the stores ---- */

struct loading {
    struct engine *e;
    struct db *lov, *identities;
    struct err *err;
};

static int load_identity(void *ctx, const struct identity_row *row)
{
    struct loading *l = ctx;
    index_add(l->e->index, &row->lookup, &row->cid, row->shard);
    return 0;
}

static int load_erased(void *ctx, const struct hash128 *lookup)
{
    struct loading *l = ctx;
    /* A consumer who came back under the same id after an erasure is there already. */
    if (index_find(l->e->index, lookup))
        return 0;
    struct uid nobody = uid_new();
    index_erase(l->e->index, index_add(l->e->index, lookup, &nobody, 0));
    return 0;
}

static int load_attributes(struct loading *l, struct db_stmt *s)
{
    struct uid cid;
    struct str blob = db_blob(s, 0);
    if (blob.n != sizeof cid.b)
        return err_set(l->err, LOV_ECORRUPT, "a consumer's row is damaged: run lov log verify");
    memcpy(cid.b, blob.p, sizeof cid.b);
    struct index_consumer *c = index_by_cid(l->e->index, &cid);
    if (!c) /* an older copy of this store, beside the current identities: erased since */
        return 0;
    c->residence = index_number(l->e->index, db_text(s, 1));
    c->restricted = db_int(s, 2) != 0;
    c->opt_out_signal = db_int(s, 3) != 0;
    if (db_is_null(s, 4))
        return 0;
    return sealed_born(l->e->identity, l->identities, &cid, db_blob(s, 4), &c->born, l->err);
}

static int load_consumers(struct loading *l)
{
    static const char sql[] =
        "select cid, residence, restricted, opt_out_signal, sealed from consumer";
    struct db_stmt *s = db_use(l->lov, sql);
    int rc;
    while ((rc = db_step(s, l->err)) == 1) {
        rc = load_attributes(l, s);
        if (rc) {
            db_done(s);
            return rc;
        }
    }
    return rc;
}

static int load_consents(struct loading *l)
{
    enum { ROWS_PER_ARENA = 1000 };
    static const char sql[] = "select " CONSENT_COLUMNS " from consent";
    _cleanup_arena struct arena arena = {0};
    struct db_stmt *s = db_use(l->lov, sql);
    int rc;
    for (int row = 1; (rc = db_step(s, l->err)) == 1; row++) {
        struct consent c;
        rc = row_consent_read(s, &arena, &c, l->err);
        if (rc) {
            db_done(s);
            return rc;
        }
        struct index_consumer *who = index_by_cid(l->e->index, &c.cid);
        if (who)
            index_consent(l->e->index, who, &c);
        if (row % ROWS_PER_ARENA == 0)
            arena_free(&arena);
    }
    return rc;
}

static int load_person(void *ctx, const struct person *p)
{
    struct loading *l = ctx;
    struct index_consumer *c = index_by_cid(l->e->index, &p->row.cid);
    if (!c)
        return 0;
    for (size_t i = 0; i < p->consent_count; i++)
        index_consent(l->e->index, c, &p->consents[i]);
    c->residence = index_number(l->e->index, p->row.residence);
    c->restricted = p->row.restricted;
    c->opt_out_signal = p->row.opt_out_signal;
    return sealed_born(l->e->identity, l->identities, &p->row.cid, p->row.sealed, &c->born, l->err);
}

/* What the tables do not say yet. */
static int load_tail(struct loading *l)
{
    int rc = 0;
    for (uint32_t shard = 0; rc == 0 && shard < SHARDS; shard++)
        rc = tail_replay(l->e->tail, l->lov, shard, l->err);
    return rc ? rc : tail_each(l->e->tail, load_person, l);
}

static int load_policy(struct loading *l)
{
    struct policy *policy = NULL;
    int rc = policy_store_load(l->lov, 0, &policy, l->err);
    if (rc == LOV_ENOTFOUND)
        return 0;
    if (rc == 0)
        l->e->rules = rules_new(l->e->index, policy);
    return rc;
}

static int load_index(struct engine *e, struct db *identities, struct db *lov, struct err *err)
{
    struct loading l = {e, lov, identities, err};
    int64_t latest = 0;
    index_write_lock(e->index);
    int rc = identity_each(identities, load_identity, &l, err);
    if (rc == 0)
        rc = identity_each_erased(identities, load_erased, &l, err);
    if (rc == 0)
        rc = load_consumers(&l);
    if (rc == 0)
        rc = load_consents(&l);
    if (rc == 0)
        rc = load_tail(&l);
    if (rc == 0)
        rc = load_policy(&l);
    index_write_unlock(e->index);
    if (rc == 0)
        rc = ledger_last_at(lov, &latest, err);
    atomic_store_explicit(&e->latest, latest, memory_order_relaxed);
    return rc;
}

/* ---- opening ---- */

static int take_lock(struct engine *e, const char *dir, struct err *err)
{
    _cleanup_buf struct buf path = {0};
    path_in(dir, "lock", &path);
    e->lock_fd = open(path.p, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (e->lock_fd < 0)
        return err_set(err, LOV_EIO, "cannot open %s: %s", path.p, strerror(errno));
    if (flock(e->lock_fd, LOCK_EX | LOCK_NB) == 0)
        return 0;
    return err_reason(err, LOV_ECONFLICT, "locked", "another process has %s open", dir);
}

static int open_stores(struct engine *e, const char *dir, struct db **identities, struct db **lov,
                       struct err *err)
{
    _cleanup_buf struct buf path = {0};
    _cleanup_secret struct secret kek = {0};
    int rc = identity_load_key(dir, &kek, err);
    if (rc)
        return rc;
    path_in(dir, "identity.db", &path);
    rc = db_open(path.p, DB_WRITE, identities, err);
    if (rc == 0)
        rc = identity_open(*identities, &kek, SHARDS, &e->identity, err);
    e->identities = db_pool_new(path.p);
    path_in(dir, "lov.db", &path);
    if (rc == 0)
        rc = db_open(path.p, DB_WRITE, lov, err);
    if (rc == 0)
        rc = db_migrate_embedded(*lov, "lov", err);
    e->lov = db_pool_new(path.p);
    return rc;
}

static int start(struct engine *e, const char *dir, struct err *err)
{
    struct db *identities = NULL, *lov = NULL;
    int rc = take_lock(e, dir, err);
    if (rc == 0)
        rc = open_stores(e, dir, &identities, &lov, err);
    if (rc == 0) {
        _cleanup_secret struct secret ids = identity_secret(e->identity, "public ids");
        e->ids = cipher_block_new(ids.b);
        rc = load_index(e, identities, lov, err);
    }
    if (rc == 0)
        rc = ledger_open(lov, &e->ledger, err);
    if (rc == 0)
        rc = publish_load(e, lov, SHARDS, err);
    if (rc == 0) {
        struct write_observer observer = engine_observer(e);
        rc = writer_start(identities, lov, &observer, e->log, &e->writer, err);
    }
    if (rc) {
        db_close(identities);
        db_close(lov);
    }
    return rc;
}

int engine_open(const char *dir, struct log *log, struct engine **out, struct err *err)
{
    struct sweep_limits limits = sweep_defaults();
    return engine_open_with(dir, log, &limits, out, err);
}

int engine_open_with(const char *dir, struct log *log, const struct sweep_limits *limits,
                     struct engine **out, struct err *err)
{
    _cleanup_buf struct buf path = {0};
    path_in(dir, "lov.db", &path);
    bool there = file_exists(path.p);
    path_in(dir, "key", &path);
    if (!there && !file_exists(path.p))
        return err_set(err, LOV_ENOTFOUND,
                       "%s holds no installation: make one with lov init --dir %s", dir, dir);
    int rc = file_check_private(dir, err);
    if (rc)
        return rc;
    struct engine *e = mem_zero(sizeof *e);
    e->lock_fd = -1;
    e->log = log;
    e->index = index_new();
    e->tail = tail_new();
    e->sweep = *limits;
    pthread_mutex_init(&e->rules_lock, NULL);
    rc = start(e, dir, err);
    if (rc) {
        engine_close(e);
        return rc;
    }
    *out = e;
    return 0;
}

void engine_close(struct engine *e)
{
    if (!e)
        return;
    writer_stop(e->writer);
    ledger_close(e->ledger);
    tail_free(e->tail);
    db_pool_free(e->lov);
    db_pool_free(e->identities);
    free(e->changed);
    rules_unref(e->rules);
    index_free(e->index);
    cipher_block_free(e->ids);
    publish_unload(e);
    identity_close(e->identity);
    pthread_mutex_destroy(&e->rules_lock);
    if (e->lock_fd >= 0)
        close(e->lock_fd);
    free(e);
}

int engine_open_store(const char *dir, struct db **out, struct err *err)
{
    _cleanup_buf struct buf path = {0};
    path_in(dir, "lov.db", &path);
    if (!file_exists(path.p))
        return err_set(err, LOV_ENOTFOUND,
                       "%s holds no installation: make one with lov init --dir %s", dir, dir);
    return db_open(path.p, DB_READ, out, err);
}

const struct identity *engine_identity(const struct engine *e)
{
    return e->identity;
}

struct writer *engine_writer(struct engine *e)
{
    return e->writer;
}

struct ledger *engine_ledger(struct engine *e)
{
    return e->ledger;
}

struct db_pool *engine_lov(struct engine *e)
{
    return e->lov;
}

struct db_pool *engine_identities(struct engine *e)
{
    return e->identities;
}

struct log *engine_log(struct engine *e)
{
    return e->log;
}

struct engine_counts engine_counts(struct engine *e)
{
    struct engine_counts counts = {.writer = writer_counts(e->writer)};
    struct rules *r = engine_rules(e);
    counts.policy_version = r ? r->policy->version : 0;
    rules_unref(r);
    index_read_lock(e->index);
    counts.consumers = index_count(e->index);
    counts.permits = index_permits(e->index);
    index_read_unlock(e->index);
    return counts;
}
