/* sqlite.c - the SQLite driver of db.h: WAL, synchronous=FULL, one statement cache a connection.
 *
 * Files go through the layer of pages.h, which keeps a checksum with each page.
 *
 * In SQLite "$1" is a name, numbered by first appearance, so each statement keeps a table from the
 * dialect's numbers to SQLite's. A schema comment of the form "sqlite: words", where a table ends,
 * becomes those words here and stays a comment for other drivers. */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "db/db.h"
#include "db/pages.h"

enum { MAX_PARAMS = 32, CACHE_SLOTS = 256, BUSY_MS = 10000 };

struct db_stmt {
    const char *sql;
    struct db *db;
    sqlite3_stmt *handle;
    int param[MAX_PARAMS + 1];
    bool in_use;
};

struct db {
    sqlite3 *handle;
    char *path;
    int64_t log_pages;
    uint64_t note; /* db_note() */
    db_write_kept *write_kept;
    void *kept;
    struct db_stmt cache[CACHE_SLOTS];
};

static int sqlite_error(struct db *db, int rc, struct err *err)
{
    int primary = rc & 0xFF;
    if (rc == SQLITE_IOERR_DATA)
        return err_set(err, LOV_ECORRUPT,
                       "database %s: a page does not match its checksum: the disk has changed it; "
                       "run lov log verify",
                       db->path);
    int code = primary == SQLITE_BUSY || primary == SQLITE_LOCKED      ? LOV_EUNAVAILABLE
               : primary == SQLITE_CORRUPT || primary == SQLITE_NOTADB ? LOV_ECORRUPT
                                                                       : LOV_EIO;
    /* SQLite's own message may quote values; the name of the code never does. */
    return err_set(err, code, "database %s: %s (%d)", db->path, sqlite3_errstr(rc), rc);
}

static int execute(struct db *db, const char *sql, struct err *err)
{
    int rc = sqlite3_exec(db->handle, sql, NULL, NULL, NULL);
    return rc == SQLITE_OK ? 0 : sqlite_error(db, rc, err);
}

static int note_pages(void *ctx, sqlite3 *handle, const char *name, int pages)
{
    (void)handle;
    (void)name;
    ((struct db *)ctx)->log_pages = pages;
    return SQLITE_OK;
}

static int configure(struct db *db, enum db_mode mode, struct err *err)
{
    sqlite3_extended_result_codes(db->handle, 1);
    sqlite3_busy_timeout(db->handle, BUSY_MS);
    sqlite3_db_config(db->handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(db->handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    if (mode == DB_INSPECT)
        sqlite3_file_control(db->handle, "main", PAGES_TOLERATE, NULL);
    int rc = execute(db, "pragma cache_size = -65536; pragma temp_store = memory", err);
    if (rc || mode != DB_WRITE)
        return rc;
    /* A new file gets room for the checksum of each page; an old one keeps what it has. */
    int reserve = PAGE_SUM_BYTES;
    sqlite3_file_control(db->handle, "main", SQLITE_FCNTL_RESERVE_BYTES, &reserve);
    /* secure_delete: what is deleted is overwritten, not left in free pages. The hook takes the
     * place of SQLite's own checkpoints. */
    sqlite3_wal_hook(db->handle, note_pages, db);
    return execute(db,
                   "pragma journal_mode = wal; pragma synchronous = full;"
                   "pragma secure_delete = on; pragma journal_size_limit = 67108864",
                   err);
}

int db_open(const char *path, enum db_mode mode, struct db **out, struct err *err)
{
    struct db *db = mem_zero(sizeof *db);
    db->path = str_dup(str_of(path));
    int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_READWRITE;
    if (mode == DB_WRITE)
        flags |= SQLITE_OPEN_CREATE;
    pages_register();
    mode_t before = umask(0077);
    int rc = sqlite3_open_v2(path, &db->handle, flags, PAGES_VFS);
    int result = rc == SQLITE_OK ? configure(db, mode, err) : sqlite_error(db, rc, err);
    umask(before);
    if (result == 0 && mode != DB_WRITE)
        result = execute(db, "pragma query_only = on", err);
    if (result) {
        db_close(db);
        return result;
    }
    *out = db;
    return 0;
}

void db_close(struct db *db)
{
    if (!db)
        return;
    for (int i = 0; i < CACHE_SLOTS; i++)
        sqlite3_finalize(db->cache[i].handle);
    sqlite3_close(db->handle);
    free(db->path);
    free(db);
}

/* ---- statements ---- */

static void number_params(struct db_stmt *s)
{
    for (int i = 1; i <= MAX_PARAMS; i++) {
        char name[16];
        snprintf(name, sizeof name, "$%d", i);
        s->param[i] = sqlite3_bind_parameter_index(s->handle, name);
    }
}

struct db_stmt *db_use(struct db *db, const char *sql)
{
    size_t at = ((uintptr_t)sql >> 3) * 0x9E3779B97F4A7C15u >> 32;
    for (size_t i = 0; i < CACHE_SLOTS; i++) {
        struct db_stmt *s = &db->cache[(at + i) % CACHE_SLOTS];
        if (!s->sql) {
            int rc = sqlite3_prepare_v3(db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, &s->handle,
                                        NULL);
            if (rc != SQLITE_OK)
                bug("cannot prepare: %s: %s", sql, sqlite3_errmsg(db->handle));
            s->sql = sql;
            s->db = db;
            number_params(s);
        }
        if (s->sql == sql) {
            if (s->in_use)
                bug("statement used twice at once: %s", sql);
            s->in_use = true;
            return s;
        }
    }
    bug("more than %d statements on one connection", CACHE_SLOTS);
}

static int param_index(const struct db_stmt *s, int i)
{
    if (i < 1 || i > MAX_PARAMS || s->param[i] == 0)
        bug("no parameter $%d in: %s", i, s->sql);
    return s->param[i];
}

void db_bind_int(struct db_stmt *s, int i, int64_t v)
{
    sqlite3_bind_int64(s->handle, param_index(s, i), v);
}

void db_bind_text(struct db_stmt *s, int i, struct str v)
{
    sqlite3_bind_text64(s->handle, param_index(s, i), v.p ? v.p : "", v.n, SQLITE_STATIC,
                        SQLITE_UTF8);
}

void db_bind_blob(struct db_stmt *s, int i, struct str v)
{
    if (v.p)
        sqlite3_bind_blob64(s->handle, param_index(s, i), v.p, v.n, SQLITE_STATIC);
    else
        sqlite3_bind_null(s->handle, param_index(s, i));
}

void db_bind_null(struct db_stmt *s, int i)
{
    sqlite3_bind_null(s->handle, param_index(s, i));
}

int db_number(struct db_stmt *s, int64_t *out, struct err *err)
{
    int rc = db_step(s, err);
    if (rc < 0)
        return rc;
    *out = db_int(s, 0);
    db_done(s);
    return 0;
}

void db_done(struct db_stmt *s)
{
    sqlite3_reset(s->handle);
    sqlite3_clear_bindings(s->handle);
    s->in_use = false;
}

int db_step(struct db_stmt *s, struct err *err)
{
    int rc = sqlite3_step(s->handle);
    if (rc == SQLITE_ROW)
        return 1;
    int result = rc == SQLITE_DONE ? 0 : sqlite_error(s->db, rc, err);
    db_done(s);
    return result;
}

int db_run(struct db_stmt *s, struct err *err)
{
    int rc;
    while ((rc = db_step(s, err)) > 0)
        continue;
    return rc;
}

int64_t db_int(struct db_stmt *s, int column)
{
    return sqlite3_column_int64(s->handle, column);
}

struct str db_text(struct db_stmt *s, int column)
{
    const char *p = (const char *)sqlite3_column_text(s->handle, column);
    return (struct str){p, (size_t)sqlite3_column_bytes(s->handle, column)};
}

struct str db_blob(struct db_stmt *s, int column)
{
    const char *p = sqlite3_column_blob(s->handle, column);
    return (struct str){p, (size_t)sqlite3_column_bytes(s->handle, column)};
}

bool db_is_null(struct db_stmt *s, int column)
{
    return sqlite3_column_type(s->handle, column) == SQLITE_NULL;
}

/* ---- transactions ---- */

int db_begin(struct db *db, struct err *err)
{
    static const char sql[] = "begin immediate";
    db->note = 0;
    return db_run(db_use(db, sql), err);
}

int db_begin_read(struct db *db, struct err *err)
{
    static const char sql[] = "begin";
    db->note = 0;
    return db_run(db_use(db, sql), err);
}

bool db_in_transaction(const struct db *db)
{
    return !sqlite3_get_autocommit(db->handle) ||
           sqlite3_txn_state(db->handle, "main") != SQLITE_TXN_NONE;
}

void db_set_note(struct db *db, uint64_t note)
{
    db->note = note;
}

uint64_t db_note(const struct db *db)
{
    return db->note;
}

int db_commit(struct db *db, struct err *err)
{
    static const char sql[] = "commit";
    db->note = 0;
    int rc = db_run(db_use(db, sql), err);
    if (rc)
        db_rollback(db);
    return rc;
}

void db_rollback(struct db *db)
{
    db->note = 0;
    /* After some errors SQLite has rolled back already. */
    if (sqlite3_get_autocommit(db->handle) == 0)
        sqlite3_exec(db->handle, "rollback", NULL, NULL, NULL);
}

int db_savepoint(struct db *db, struct err *err)
{
    static const char sql[] = "savepoint part";
    return db_run(db_use(db, sql), err);
}

int db_release(struct db *db, struct err *err)
{
    static const char sql[] = "release part";
    return db_run(db_use(db, sql), err);
}

int db_rollback_to(struct db *db, struct err *err)
{
    static const char sql[] = "rollback to part";
    int rc = db_run(db_use(db, sql), err);
    return rc ? rc : db_release(db, err);
}

int64_t db_log_pages(const struct db *db)
{
    return db->log_pages;
}

int db_checkpoint(struct db *db, struct err *err)
{
    /* A connection that has not read since does not know what is in the log. */
    int rc = sqlite3_exec(db->handle, "select count(*) from sqlite_schema", NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_wal_checkpoint_v2(db->handle, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    return rc == SQLITE_OK || (rc & 0xFF) == SQLITE_BUSY ? 0 : sqlite_error(db, rc, err);
}

void db_keep(struct db *db, db_write_kept *write, void *ctx)
{
    db->write_kept = write;
    db->kept = ctx;
}

int db_catch_up(struct db *db, struct err *err)
{
    return db->write_kept ? db->write_kept(db->kept, db, err) : 0;
}

const char *db_path(const struct db *db)
{
    return db->path;
}

int64_t db_changes(const struct db *db)
{
    return sqlite3_total_changes64(db->handle);
}

/* ---- migrations ---- */

static void translate(struct str sql, struct buf *out)
{
    static const char mark[] = "/* sqlite: ";
    const char *p = sql.p, *end = sql.p + sql.n, *at;
    while ((at = memmem(p, (size_t)(end - p), mark, sizeof mark - 1)) != NULL) {
        const char *words = at + sizeof mark - 1;
        const char *close = memmem(words, (size_t)(end - words), "*/", 2);
        if (!close)
            bug("comment without an end in the schema");
        buf_add(out, p, (size_t)(at - p));
        buf_add(out, words, (size_t)(close - words));
        p = close + 2;
    }
    buf_add(out, p, (size_t)(end - p));
}

static int current_version(struct db *db, int *out, struct err *err)
{
    static const char create[] = "create table if not exists migration ("
                                 "number bigint primary key, applied_at bigint not null)";
    static const char select[] = "select coalesce(max(number), 0) from migration";
    int rc = execute(db, create, err);
    if (rc)
        return rc;
    struct db_stmt *s = db_use(db, select);
    rc = db_step(s, err);
    if (rc < 0)
        return rc;
    *out = (int)db_int(s, 0);
    db_done(s);
    return 0;
}

static int run_migration(struct db *db, const struct db_migration *m, struct err *err)
{
    static const char insert[] = "insert into migration (number, applied_at) values ($1, $2)";
    _cleanup_buf struct buf sql = {0};
    translate(m->sql, &sql);
    int rc = db_begin(db, err);
    if (rc)
        return rc;
    rc = execute(db, sql.p, err);
    if (rc == 0) {
        struct db_stmt *s = db_use(db, insert);
        db_bind_int(s, 1, m->number);
        db_bind_int(s, 2, clock_now());
        rc = db_run(s, err);
    }
    if (rc) {
        db_rollback(db);
        return rc;
    }
    return db_commit(db, err);
}

int db_migrate(struct db *db, const struct db_migration *list, size_t count, struct err *err)
{
    int version = 0;
    int rc = current_version(db, &version, err);
    if (rc)
        return rc;
    if (version > (int)count)
        return err_set(err, LOV_EVERSION,
                       "%s is at schema version %d, this program knows %zu: use the newer program "
                       "that wrote it",
                       db->path, version, count);
    for (size_t i = (size_t)version; rc == 0 && i < count; i++) {
        if (list[i].number != (int)i + 1)
            bug("migration %d out of order", list[i].number);
        rc = run_migration(db, &list[i], err);
    }
    return rc;
}
