/* engine.c - opening and closing an installation.
 *
 * The folder holds: key (the key-encryption key), identity.db, lov.db, the journal of its newest
 * events (lov.db-events), the permit index (permits.idx, permits.cid), and lock, which the process
 * that has it open holds with flock(2). */
#include "consent/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/file.h"

enum { SHARDS = 1 }; /* with SQLite */

static const char journal_name[] = "lov.db-events";

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

/* ---- opening ---- */

int engine_lock(const char *dir, int *fd, struct err *err)
{
    _cleanup_buf struct buf path = {0};
    path_in(dir, "lock", &path);
    int lock = open(path.p, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (lock < 0)
        return err_set(err, LOV_EIO, "cannot open %s: %s", path.p, strerror(errno));
    if (flock(lock, LOCK_EX | LOCK_NB) == 0) {
        *fd = lock;
        return 0;
    }
    close(lock);
    return err_reason(err, LOV_ECONFLICT, "locked", "another process has %s open", dir);
}

void engine_unlock(int fd)
{
    if (fd >= 0)
        close(fd);
}

/* Brought up to date; *adopted: how many events an older program had laid elsewhere. */
static int open_lov(const char *path, struct db **lov, int64_t *adopted, struct err *err)
{
    int rc = db_open(path, DB_WRITE, lov, err);
    if (rc == 0)
        rc = db_migrate_embedded(*lov, "lov", err);
    return rc ? rc : ledger_adopt(*lov, adopted, err);
}

int engine_update_copy(const char *path, struct err *err)
{
    struct db *lov = NULL;
    int64_t adopted;
    int rc = open_lov(path, &lov, &adopted, err);
    db_close(lov);
    return rc;
}

static int open_stores(struct engine *e, const char *dir, struct db **identities, struct db **lov,
                       struct err *err)
{
    _cleanup_buf struct buf path = {0};
    _cleanup_keys struct identity_keys keys = {0};
    int64_t adopted = 0;
    int rc = identity_load_keys(dir, &keys, err);
    if (rc)
        return rc;
    path_in(dir, "identity.db", &path);
    rc = db_open(path.p, DB_WRITE, identities, err);
    if (rc == 0)
        rc = identity_open(*identities, &keys, SHARDS, &e->identity, err);
    e->identities = db_pool_new(path.p);
    path_in(dir, "lov.db", &path);
    if (rc == 0)
        rc = open_lov(path.p, lov, &adopted, err);
    if (rc == 0 && adopted)
        log_printf(e->log, LOG_INFO, "%lld events of an older store taken over",
                   (long long)adopted);
    e->lov = db_pool_new(path.p);
    return rc;
}

/* What a crash has left in the journal comes into the store; then it is for the writer. */
static int open_journal(struct engine *e, const char *dir, struct db *lov, struct journal **out,
                        struct err *err)
{
    _cleanup_buf struct buf path = {0};
    int64_t count;
    path_in(dir, journal_name, &path);
    int rc = ledger_recover(lov, path.p, engine_recover_other, &count, err);
    if (rc == 0 && count)
        log_printf(e->log, LOG_INFO, "%lld events of the journal recovered", (long long)count);
    return rc ? rc : journal_open(path.p, out, err);
}

static void settle(void *writer)
{
    writer_settle(writer);
}

static int start_writer(struct engine *e, struct db *identities, struct db *lov,
                        struct journal *journal, struct err *err)
{
    struct write_observer observer = engine_observer(e);
    int rc = writer_start(identities, lov, journal, &observer, e->log, &e->writer, err);
    if (rc == 0)
        db_pool_follow(e->lov, settle, e->writer);
    return rc;
}

static int start(struct engine *e, const char *dir, struct err *err)
{
    struct db *identities = NULL, *lov = NULL;
    struct journal *journal = NULL;
    int rc = engine_lock(dir, &e->lock_fd, err);
    if (rc == 0)
        rc = open_stores(e, dir, &identities, &lov, err);
    if (rc == 0)
        rc = open_journal(e, dir, lov, &journal, err);
    if (rc == 0) {
        _cleanup_secret struct secret ids = identity_secret(e->identity, "public ids");
        e->ids = cipher_block_new(ids.b);
        rc = engine_load_index(e, dir, identities, lov, err);
    }
    if (rc == 0)
        rc = ledger_open(lov, &e->ledger, err);
    if (rc == 0)
        rc = publish_load(e, lov, err);
    if (rc == 0)
        rc = start_writer(e, identities, lov, journal, err);
    if (rc) {
        db_close(identities);
        db_close(lov);
        journal_close(journal);
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
    e->dir = str_dup(str_of(dir));
    pthread_mutex_init(&e->scrub_lock, NULL);
    /* A crash may have left what was deleted in the WAL. */
    atomic_store_explicit(&e->unclean, true, memory_order_relaxed);
    e->log = log;
    e->shards = SHARDS;
    e->tail = tail_new();
    e->sweep = *limits;
    rc = start(e, dir, err);
    if (rc == 0)
        rc = engine_reconcile(e, err);
    if (rc == 0)
        rc = engine_load_lineages(e, err);
    if (rc == 0)
        engine_scrub_again(e, 0);
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
    bool started = e->writer != NULL;
    engine_stop_keeper(e);
    writer_stop(e->writer);
    /* Everything is in the stores, and nobody is there to be asked. */
    if (e->lov)
        db_pool_follow(e->lov, NULL, NULL);
    engine_close_index(e, started);
    ledger_close(e->ledger);
    tail_free(e->tail);
    db_pool_free(e->lov);
    db_pool_free(e->identities);
    free(e->changed);
    buf_free(&e->keys);
    rules_retire(e);
    cipher_block_free(e->ids);
    publish_unload(e);
    identity_close(e->identity);
    pthread_mutex_destroy(&e->scrub_lock);
    free(e->dir);
    free(e->lineages);
    engine_unlock(e->lock_fd);
    free(e);
}

/* ---- from another process ---- */

static int recover(const char *path, const char *journal, struct err *err)
{
    struct db *lov;
    int64_t count;
    int rc = db_open(path, DB_WRITE, &lov, err);
    if (rc)
        return rc;
    rc = ledger_recover(lov, journal, engine_recover_other, &count, err);
    db_close(lov);
    return rc;
}

/* The server that has it open commits within a second; where none has, it was killed. */
static int wait_or_recover(const char *dir, struct db *lov, const char *path, const char *journal,
                           struct err *err)
{
    enum { WAIT_MS = 10000, STEP_MS = 2 };
    int rc = 1, lock;
    for (int ms = 0; rc == 1 && ms < WAIT_MS; ms += STEP_MS) {
        if (engine_lock(dir, &lock, err) == 0) {
            rc = recover(path, journal, err);
            engine_unlock(lock);
            return rc;
        }
        usleep(STEP_MS * 1000);
        rc = ledger_is_behind(lov, journal, err);
    }
    return rc == 1
               ? err_set(err, LOV_EUNAVAILABLE,
                         "the process that has %s open does not commit what it acknowledged", dir)
               : rc;
}

int engine_settle(const char *dir, struct err *err)
{
    _cleanup_buf struct buf path = {0}, journal = {0};
    struct db *lov;
    path_in(dir, "lov.db", &path);
    path_in(dir, journal_name, &journal);
    if (!file_exists(journal.p))
        return 0;
    int rc = db_open(path.p, DB_READ, &lov, err);
    if (rc)
        return rc;
    rc = ledger_is_behind(lov, journal.p, err);
    if (rc == 1)
        rc = wait_or_recover(dir, lov, path.p, journal.p, err);
    db_close(lov);
    return rc;
}

int engine_open_store(const char *dir, const char *store, struct db **out, struct err *err)
{
    struct err damaged; /* which whoever reads it will find */
    _cleanup_buf struct buf path = {0};
    buf_printf(&path, "%s/%s.db", dir, store);
    if (!file_exists(path.p))
        return err_set(err, LOV_ENOTFOUND,
                       "%s holds no installation: make one with lov init --dir %s", dir, dir);
    if (strcmp(store, "lov") != 0)
        return db_open(path.p, DB_INSPECT, out, err);
    if (engine_settle(dir, &damaged) == LOV_EUNAVAILABLE) {
        *err = damaged;
        return LOV_EUNAVAILABLE;
    }
    struct db *db;
    int rc = db_open(path.p, DB_INSPECT, &db, err);
    if (rc)
        return rc;
    if (ledger_check_store(db, &damaged) == LOV_EVERSION) {
        db_close(db);
        *err = damaged;
        return LOV_EVERSION;
    }
    *out = db;
    return 0;
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
    counts.consumers = index_count(e->index);
    counts.permits = index_permits(e->index);
    return counts;
}
