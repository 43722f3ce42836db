/*
 * db.h - the database: one interface for every driver.
 *
 * SQL is written in the dialect that SQLite >= 3.40, PostgreSQL >= 15 and Citus share ($1
 * parameters, bigint, bytea, text, ON CONFLICT, RETURNING; no triggers, sequences or rowids), as
 * constants beside the function that runs them. The address of the constant is the statement's id:
 * db_use() prepares it once per connection.
 *
 * A struct db is one connection; one thread at a time may use it. Writes go through the writer
 * (writer.h), which alone holds a writing connection; readers take theirs from a pool.
 * A failing disk, a full disk and a failing fsync come back as LOV_EIO: nothing was committed.
 */
#ifndef LOV_DB_DB_H
#define LOV_DB_DB_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

struct db;
struct db_stmt;
struct writer;

enum db_mode {
    DB_READ,    /* reads only; sees each commit as soon as it is made */
    DB_WRITE,   /* reads and writes; durable (fsync) before commit returns */
    DB_INSPECT, /* DB_READ that also reads what db_check() finds damaged, to see how far it goes */
};

struct db_migration {
    int number; /* 1, 2, 3 ... without gaps */
    struct str sql;
};

/* `path` names the store: a file for SQLite. DB_WRITE creates it (0600) when absent. */
int db_open(const char *path, enum db_mode mode, struct db **out, struct err *err);
void db_close(struct db *db);
/* Runs the migrations that the store lacks, each in a transaction. LOV_EVERSION when the store is
 * newer than the program. */
int db_migrate(struct db *db, const struct db_migration *list, size_t count, struct err *err);

/* The same with the built-in files schema/<store>_001.sql, _002.sql ... */
int db_migrate_embedded(struct db *db, const char *store, struct err *err);

/* The number of the last migration that the store has had; 0: none. */
int db_migrated(struct db *db, int64_t *out, struct err *err);

int db_begin(struct db *db, struct err *err);
/* A transaction that only reads: all statements see one state. Ended by db_rollback(). */
int db_begin_read(struct db *db, struct err *err);
int db_commit(struct db *db, struct err *err);
/* Does the connection see one state, by a transaction or a statement that is still in use? */
bool db_in_transaction(const struct db *db);
/* A number of the caller's own that goes with a transaction: 0 when one begins. */
void db_set_note(struct db *db, uint64_t note);
uint64_t db_note(const struct db *db);
/* Never fails: a transaction that cannot be rolled back is gone with its connection. */
void db_rollback(struct db *db);
/* A part of a transaction that can be undone alone: db_savepoint(), then db_release() keeps it and
 * db_rollback_to() undoes it. They do not nest. */
int db_savepoint(struct db *db, struct err *err);
int db_release(struct db *db, struct err *err);
int db_rollback_to(struct db *db, struct err *err);
/* On a connection that writes: pages in its write-ahead log as of its last commit. It does not move
 * them into the file by itself (checkpoint.h), but for when it is the last to close. */
int64_t db_log_pages(const struct db *db);
/* Moves what can be moved without keeping anybody out. */
int db_checkpoint(struct db *db, struct err *err);
/* For who keeps in memory what belongs to the transaction: `write` puts it there, and db_catch_up()
 * calls that before something is read which it may lack. NULL: nothing is kept. On connections that
 * read db_catch_up() does nothing. */
typedef int db_write_kept(void *ctx, struct db *db, struct err *err);
void db_keep(struct db *db, db_write_kept *write, void *ctx);
int db_catch_up(struct db *db, struct err *err);
/* Borrowed. */
const char *db_path(const struct db *db);
/* Rows written on this connection so far; to see whether something was written in between. */
int64_t db_changes(const struct db *db);

/* ---- the store as a whole: each opens it for itself, beside whoever has it open ---- */

/* Overwrites what was deleted before the call wherever the store keeps it: free space, and the
 * write-ahead log, which is emptied. *clean is false where readers of an older state kept that from
 * being done within `wait_ms`: call again. `writer` (may be NULL) is whoever writes to it in this
 * process, and is held for moments. */
int db_scrub(const char *path, struct writer *writer, int wait_ms, bool *clean, struct err *err);
/* Copies the store as it is at the beginning of the call, while others write, to the file `to`
 * (new, 0600, durable when it returns 0; removed otherwise). For PostgreSQL: pg_dump's custom
 * format. `progress` (may be NULL) is told pages done and pages in all. */
int db_copy(const char *path, const char *to,
            void (*progress)(void *ctx, int64_t done, int64_t all), void *ctx, struct err *err);

struct db_report {
    int64_t pages;
    bool wrong;
    char what[200]; /* what is wrong, and where */
};
/* Reads all of the store's files: checksums of all pages, the free ones too, then the structure of
 * tables and indexes and whether they agree. 0 whether it is right or wrong; negative when it could
 * not be read at all. */
int db_check(const char *path, struct db_report *out, struct err *err);

/* For a store that another program has written to, without checksums: makes them anew where the
 * structure is right; LOV_ECORRUPT, and nothing is changed, where it is not. Whoever calls has seen
 * that the content is right, and that nobody has the store open. */
int db_mend(const char *path, int64_t *mended, struct err *err);

/* A prepared statement ready for binding. SQL that does not prepare is a bug(). A statement is in
 * use until db_done(), db_run(), or db_step() returned 0 or an error; using one twice at the same
 * time is a bug(). */
struct db_stmt *db_use(struct db *db, const char *sql);
/* Parameters count from 1; text and blob are borrowed until the statement is done. A blob with
 * p == NULL is NULL. */
void db_bind_int(struct db_stmt *s, int i, int64_t v);
void db_bind_text(struct db_stmt *s, int i, struct str v);
void db_bind_blob(struct db_stmt *s, int i, struct str v);
void db_bind_null(struct db_stmt *s, int i);
/* 1: a row is there; 0: no more rows; negative: error. Values are borrowed until the next step. */
int db_step(struct db_stmt *s, struct err *err);
/* Steps to the end and is done. */
int db_run(struct db_stmt *s, struct err *err);
void db_done(struct db_stmt *s);
/* Of one that selects one number, always: steps it, and is done. */
int db_number(struct db_stmt *s, int64_t *out, struct err *err);
int64_t db_int(struct db_stmt *s, int column); /* columns count from 0 */
struct str db_text(struct db_stmt *s, int column);
struct str db_blob(struct db_stmt *s, int column);
bool db_is_null(struct db_stmt *s, int column);

/* A pool of reading connections, opened on demand. Any thread. */
struct db_pool;
struct db_pool *db_pool_new(const char *path);
void db_pool_free(struct db_pool *pool);
/* `settle` is called before a connection is handed out, so that it sees what was acknowledged
 * before. */
void db_pool_follow(struct db_pool *pool, void (*settle)(void *ctx), void *ctx);
int db_pool_get(struct db_pool *pool, struct db **out, struct err *err);
/* Without waiting for that: for who reads no events (writer.h), which alone may be missing. */
int db_pool_get_rows(struct db_pool *pool, struct db **out, struct err *err);
void db_pool_put(struct db_pool *pool, struct db *db);

#endif
