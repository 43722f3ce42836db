/* sqlite_store.c - the store as a whole (db.h): scrub, copy, check, for SQLite.
 *
 * Scrubbing: secure_delete and pages.h see to it that a page which reaches the database file holds
 * nothing deleted. What is left is the WAL with its older images of pages: a checkpoint that
 * truncates it. It keeps the writer waiting only for moments and tries again, so that a long
 * reader delays the scrubbing and nobody's write.
 *
 * Copying: SQLite's backup interface starts over when another connection writes between two steps,
 * unless the source has a read transaction open: then all steps see that one state. */
#include <fcntl.h>
#include <errno.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "db/db.h"
#include "db/pages.h"
#include "db/writer.h"

enum { BUSY_MS = 10000, LOCK_MS = 20, STEP_PAGES = 1024, READ_TRIES = 20, MS_NS = 1000000 };

static int failed(const char *path, int rc, struct err *err)
{
    int primary = rc & 0xFF;
    if (rc == SQLITE_IOERR_DATA)
        return err_set(err, LOV_ECORRUPT,
                       "database %s: a page does not match its checksum: run lov log verify", path);
    int code = primary == SQLITE_BUSY || primary == SQLITE_LOCKED      ? LOV_EUNAVAILABLE
               : primary == SQLITE_CORRUPT || primary == SQLITE_NOTADB ? LOV_ECORRUPT
                                                                       : LOV_EIO;
    return err_set(err, code, "database %s: %s (%d)", path, sqlite3_errstr(rc), rc);
}

static int open_handle(const char *path, int flags, sqlite3 **out, struct err *err)
{
    pages_register();
    int rc =
        sqlite3_open_v2(path, out, SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_READWRITE | flags, PAGES_VFS);
    if (rc != SQLITE_OK) {
        sqlite3_close(*out);
        *out = NULL;
        return failed(path, rc, err);
    }
    sqlite3_extended_result_codes(*out, 1);
    sqlite3_busy_timeout(*out, BUSY_MS);
    return 0;
}

/* A checkpoint does nothing on a connection that has not read yet, and so does not know its WAL. */
static int checkpoint(sqlite3 *db, int mode)
{
    int rc = sqlite3_exec(db, "select count(*) from sqlite_schema", NULL, NULL, NULL);
    return rc == SQLITE_OK ? sqlite3_wal_checkpoint_v2(db, NULL, mode, NULL, NULL) : rc;
}

static void rest(int ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * MS_NS};
    nanosleep(&t, NULL);
}

/* ---- scrub ---- */

/* While a transaction is open, which may be always, the log cannot be emptied. */
static int empty_log(sqlite3 *db, struct writer *writer)
{
    if (writer)
        writer_hold(writer);
    int status = checkpoint(db, SQLITE_CHECKPOINT_TRUNCATE);
    if (writer)
        writer_release(writer);
    return status;
}

int db_scrub(const char *path, struct writer *writer, int wait_ms, bool *clean, struct err *err)
{
    sqlite3 *db = NULL;
    int rc = open_handle(path, 0, &db, err);
    if (rc)
        return rc;
    /* The bulk of the pages is copied without the lock of writers. */
    int status = checkpoint(db, SQLITE_CHECKPOINT_PASSIVE);
    int64_t until = clock_monotonic() + (int64_t)wait_ms * MS_NS;
    sqlite3_busy_timeout(db, LOCK_MS);
    while (status == SQLITE_OK || (status & 0xFF) == SQLITE_BUSY) {
        status = empty_log(db, writer);
        if ((status & 0xFF) != SQLITE_BUSY || clock_monotonic() > until)
            break;
        rest(LOCK_MS);
    }
    sqlite3_close(db);
    bool busy = (status & 0xFF) == SQLITE_BUSY;
    if (status != SQLITE_OK && !busy)
        return failed(path, status, err);
    *clean = !busy;
    return 0;
}

/* ---- copy ---- */

static int create_empty(const char *to, struct err *err)
{
    int fd = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_set(err, errno == EEXIST ? LOV_ECONFLICT : LOV_EIO, "cannot create %s: %s", to,
                       strerror(errno));
    close(fd);
    return 0;
}

/* The transaction starts with the first read. */
static int hold_state(sqlite3 *db)
{
    int rc = sqlite3_exec(db, "begin", NULL, NULL, NULL);
    return rc == SQLITE_OK
               ? sqlite3_exec(db, "select count(*) from sqlite_schema", NULL, NULL, NULL)
               : rc;
}

/* Like an import, the copy needs no journal: until it is complete it is nothing. */
static int copy_pages(sqlite3 *from, sqlite3 *into,
                      void (*progress)(void *ctx, int64_t done, int64_t all), void *ctx)
{
    int rc = sqlite3_exec(into, "pragma journal_mode = off; pragma synchronous = full", NULL, NULL,
                          NULL);
    if (rc != SQLITE_OK)
        return rc;
    sqlite3_backup *backup = sqlite3_backup_init(into, "main", from, "main");
    if (!backup)
        return sqlite3_errcode(into);
    do {
        rc = sqlite3_backup_step(backup, STEP_PAGES);
        int64_t all = sqlite3_backup_pagecount(backup);
        if (progress)
            progress(ctx, all - sqlite3_backup_remaining(backup), all);
    } while (rc == SQLITE_OK);
    int end = sqlite3_backup_finish(backup);
    return rc == SQLITE_DONE ? end : rc;
}

static int sync_file(const char *path, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;
    int why = errno;
    if (fd >= 0)
        close(fd);
    return ok ? 0 : err_set(err, LOV_EIO, "cannot sync %s: %s", path, strerror(why));
}

int db_copy(const char *path, const char *to,
            void (*progress)(void *ctx, int64_t done, int64_t all), void *ctx, struct err *err)
{
    sqlite3 *from = NULL, *into = NULL;
    int rc = create_empty(to, err);
    if (rc)
        return rc;
    rc = open_handle(path, 0, &from, err);
    if (rc == 0)
        rc = open_handle(to, 0, &into, err);
    if (rc == 0) {
        int status = hold_state(from);
        if (status != SQLITE_OK)
            rc = failed(path, status, err);
    }
    if (rc == 0) {
        int status = copy_pages(from, into, progress, ctx);
        if (status != SQLITE_OK)
            rc = failed(status == SQLITE_IOERR_DATA ? path : to, status, err);
    }
    int closed = sqlite3_close(into);
    sqlite3_close(from);
    if (rc == 0 && closed != SQLITE_OK)
        rc = failed(to, closed, err);
    if (rc == 0)
        rc = sync_file(to, err);
    if (rc)
        unlink(to);
    return rc;
}

/* ---- check ---- */

__attribute__((format(printf, 2, 3))) static void wrong(struct db_report *out, const char *format,
                                                        ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(out->what, sizeof out->what, format, args);
    va_end(args);
    out->wrong = true;
}

static int read_page(int fd, int64_t number, unsigned char *page, struct err *err)
{
    ssize_t n;
    do {
        n = pread(fd, page, PAGE_BYTES, (number - 1) * PAGE_BYTES);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return err_set(err, LOV_EIO, "cannot read page %lld: %s", (long long)number,
                       strerror(errno));
    return n == PAGE_BYTES;
}

static bool has_wal(const char *path)
{
    _cleanup_buf struct buf wal = {0};
    struct stat st;
    buf_printf(&wal, "%s-wal", path);
    return stat(wal.p, &st) == 0 && st.st_size > 0;
}

/* A page may be on its way from the WAL into the file, half written: then it is right soon. Where
 * there is nothing in the WAL any more it was written by now, so one more look tells. */
static int check_page(const char *path, int fd, int64_t number, bool *intact, struct err *err)
{
    enum { SURE = 2 };
    unsigned char page[PAGE_BYTES];
    *intact = false;
    for (int i = 0; i < READ_TRIES && !*intact && (i < SURE || has_wal(path)); i++) {
        if (i)
            rest(1);
        int rc = read_page(fd, number, page, err);
        if (rc < 0)
            return rc;
        *intact = rc == 1 && pages_intact((uint32_t)number, page);
    }
    return 0;
}

static int check_pages(const char *path, struct db_report *out, struct err *err)
{
    unsigned char head[100];
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0) {
        int rc = err_set(err, errno == ENOENT ? LOV_ENOTFOUND : LOV_EIO, "cannot read %s: %s", path,
                         strerror(errno));
        if (fd >= 0)
            close(fd);
        return rc;
    }
    int rc = 0;
    if (pread(fd, head, sizeof head, 0) != (ssize_t)sizeof head)
        wrong(out, "the file is too short to be a database");
    else if (head[20] != PAGE_SUM_BYTES)
        wrong(out, "page 1 says that pages have no checksums");
    for (out->pages = 0; rc == 0 && !out->wrong && out->pages < st.st_size / PAGE_BYTES;) {
        bool intact;
        out->pages++;
        rc = check_page(path, fd, out->pages, &intact, err);
        if (rc == 0 && !intact)
            wrong(out, "page %lld does not match its checksum", (long long)out->pages);
    }
    close(fd);
    return rc;
}

/* SQLite tells of tables, indexes, pages and row numbers, never of values. */
static int check_structure(sqlite3 *db, struct db_report *out)
{
    sqlite3_stmt *s = NULL;
    int rc = sqlite3_prepare_v2(db, "pragma integrity_check(1)", -1, &s, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(s);
    if (rc == SQLITE_ROW) {
        const char *text = (const char *)sqlite3_column_text(s, 0);
        if (text && strcmp(text, "ok") != 0) {
            wrong(out, "%s", text);
            for (char *p = out->what; *p; p++)
                if (*p == '\n')
                    *p = ' ';
        }
        rc = SQLITE_OK;
    }
    sqlite3_finalize(s);
    return rc;
}

static bool is_damage(int status)
{
    int primary = status & 0xFF;
    return primary == SQLITE_CORRUPT || primary == SQLITE_NOTADB || primary == SQLITE_ERROR ||
           primary == SQLITE_FORMAT || primary == SQLITE_READONLY || status == SQLITE_IOERR_DATA ||
           status == SQLITE_IOERR_SHORT_READ || primary == SQLITE_CANTOPEN;
}

int db_check(const char *path, struct db_report *out, struct err *err)
{
    *out = (struct db_report){0};
    sqlite3 *db = NULL;
    if (!file_exists(path))
        return err_set(err, LOV_ENOTFOUND, "there is no %s", path);
    int rc = open_handle(path, 0, &db, err);
    if (rc)
        return rc;
    sqlite3_file_control(db, "main", PAGES_TOLERATE, NULL);
    sqlite3_exec(db, "pragma query_only = on", NULL, NULL, NULL);
    /* What a crash has left in the WAL is put in its place first. */
    int status = checkpoint(db, SQLITE_CHECKPOINT_PASSIVE);
    rc = check_pages(path, out, err);
    if (rc == 0 && !out->wrong && (status == SQLITE_OK || (status & 0xFF) == SQLITE_BUSY))
        status = check_structure(db, out);
    sqlite3_close(db);
    if (rc || out->wrong || status == SQLITE_OK || (status & 0xFF) == SQLITE_BUSY)
        return rc;
    if (!is_damage(status))
        return failed(path, status, err);
    wrong(out, "SQLite cannot read it: %s (%d)", sqlite3_errstr(status), status);
    return 0;
}

/* ---- mend ---- */

static int mend_page(int fd, int64_t number, bool *mended, struct err *err)
{
    unsigned char page[PAGE_BYTES];
    int rc = read_page(fd, number, page, err);
    if (rc == 1 && pages_intact((uint32_t)number, page))
        return 0;
    if (rc == 1) {
        pages_sum((uint32_t)number, page);
        if (pwrite(fd, page, PAGE_BYTES, (number - 1) * PAGE_BYTES) == PAGE_BYTES) {
            *mended = true;
            return 0;
        }
    }
    return rc < 0 ? rc
                  : err_set(err, LOV_EIO, "cannot write page %lld: %s", (long long)number,
                            strerror(errno));
}

static int mend_pages(const char *path, int64_t *count, struct err *err)
{
    struct stat st;
    int rc = 0;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    bool ok = fd >= 0 && fstat(fd, &st) == 0;
    for (int64_t n = 1; ok && rc == 0 && n <= st.st_size / PAGE_BYTES; n++) {
        bool mended = false;
        rc = mend_page(fd, n, &mended, err);
        *count += mended;
    }
    if (rc == 0 && (!ok || fsync(fd) != 0))
        rc = err_set(err, LOV_EIO, "cannot mend %s: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    return rc;
}

int db_mend(const char *path, int64_t *mended, struct err *err)
{
    struct db_report report = {0};
    sqlite3 *db = NULL;
    *mended = 0;
    int rc = open_handle(path, 0, &db, err);
    if (rc)
        return rc;
    sqlite3_file_control(db, "main", PAGES_TOLERATE, NULL);
    int status = checkpoint(db, SQLITE_CHECKPOINT_TRUNCATE);
    if (status == SQLITE_OK)
        status = check_structure(db, &report);
    sqlite3_close(db);
    if (status != SQLITE_OK)
        return failed(path, status, err);
    if (report.wrong)
        return err_set(err, LOV_ECORRUPT, "%s cannot be mended: %s", path, report.what);
    return mend_pages(path, mended, err);
}
