/* test_db_store.c - the store as a whole: what is deleted is gone from its files, a copy is one
 * state while others write, and a bit that the disk has changed is found wherever it is. */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/crypt.h"
#include "base/file.h"
#include "base/hash.h"
#include "db/db.h"
#include "test_seed.h"

enum { KEY = 16, VALUE = 200, PAGE = 4096 };

struct fixture {
    char dir[64], path[96], copy[96];
    struct db *db;
    struct err err;
};

static int open_fixture(void **state)
{
    static const char schema[] =
        "create table item (k bytea primary key, v bytea not null, n bigint not null) "
        "/* sqlite: without rowid */;"
        "create unique index item_n on item (n);"
        "create table long (n bigint primary key, text text not null);";
    struct fixture *f = calloc(1, sizeof *f);
    const struct db_migration migrations[] = {{1, STR(schema)}};
    snprintf(f->dir, sizeof f->dir, "/tmp/lov-store-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->path, sizeof f->path, "%s/a.db", f->dir);
    snprintf(f->copy, sizeof f->copy, "%s/b.db", f->dir);
    assert_int_equal(db_open(f->path, DB_WRITE, &f->db, &f->err), 0);
    assert_int_equal(db_migrate(f->db, migrations, 1, &f->err), 0);
    *state = f;
    return 0;
}

static int close_fixture(void **state)
{
    struct fixture *f = *state;
    char command[128];
    db_close(f->db);
    snprintf(command, sizeof command, "rm -rf %s", f->dir);
    int ignored = system(command);
    (void)ignored;
    free(f);
    return 0;
}

struct item {
    unsigned char k[KEY], v[VALUE];
};

static void item_of(int n, struct item *out)
{
    char text[64];
    for (int part = 0; part * 32 < KEY + VALUE; part++) {
        snprintf(text, sizeof text, "%d/%d", n, part);
        struct sha256 h = sha256_of(str_of(text));
        int room = KEY + VALUE - part * 32;
        memcpy((unsigned char *)out + (ptrdiff_t)part * 32, h.b, room < 32 ? (size_t)room : 32);
    }
}

static void put(struct fixture *f, int n)
{
    static const char sql[] = "insert into item (k, v, n) values ($1, $2, $3)";
    struct item item;
    item_of(n, &item);
    struct db_stmt *s = db_use(f->db, sql);
    db_bind_blob(s, 1, (struct str){(char *)item.k, KEY});
    db_bind_blob(s, 2, (struct str){(char *)item.v, VALUE - (size_t)n % 120});
    db_bind_int(s, 3, n);
    assert_int_equal(db_run(s, &f->err), 0);
}

static void take(struct fixture *f, int n)
{
    static const char sql[] = "delete from item where k = $1";
    struct item item;
    item_of(n, &item);
    struct db_stmt *s = db_use(f->db, sql);
    db_bind_blob(s, 1, (struct str){(char *)item.k, KEY});
    assert_int_equal(db_run(s, &f->err), 0);
}

static void put_long(struct fixture *f, int n, size_t bytes)
{
    static const char sql[] = "insert into long (n, text) values ($1, $2)";
    _cleanup_buf struct buf text = {0};
    for (size_t i = 0; i < bytes; i++)
        buf_char(&text, (char)('a' + (i + (size_t)n) % 26));
    struct db_stmt *s = db_use(f->db, sql);
    db_bind_int(s, 1, n);
    db_bind_text(s, 2, buf_view(&text));
    assert_int_equal(db_run(s, &f->err), 0);
}

static void read_file(const char *path, struct buf *out)
{
    struct err err = {0};
    if (file_exists(path))
        assert_int_equal(file_read(path, 1 << 28, out, &err), 0);
}

/* Everything that the folder holds of the store, one file behind the other. */
static void read_files(const struct fixture *f, struct buf *out)
{
    char path[128];
    read_file(f->path, out);
    snprintf(path, sizeof path, "%s-wal", f->path);
    read_file(path, out);
    snprintf(path, sizeof path, "%s-shm", f->path);
    read_file(path, out);
}

static bool holds(const struct buf *files, const void *p, size_t n)
{
    return memmem(files->p, files->n, p, n) != NULL;
}

/* ---- scrub ---- */

static void test_no_byte_of_a_deleted_row_is_left_in_any_file(void **state)
{
    struct fixture *f = *state;
    enum { ROWS = 5000 };
    uint64_t seed = seed_start();
    bool *there = calloc(ROWS, sizeof *there);
    for (int round = 0; round < 3; round++) {
        assert_int_equal(db_begin(f->db, &f->err), 0);
        for (int i = 0; i < ROWS * 2; i++) {
            int n = (int)seed_below(&seed, ROWS);
            if (!there[n])
                put(f, n);
            else if (seed_below(&seed, 2))
                take(f, n);
            else
                continue;
            there[n] = !there[n];
        }
        assert_int_equal(db_commit(f->db, &f->err), 0);
        bool clean = false;
        assert_int_equal(db_scrub(f->path, NULL, 1000, &clean, &f->err), 0);
        assert_true(clean);
        _cleanup_buf struct buf files = {0};
        read_files(f, &files);
        for (int n = 0; n < ROWS; n++) {
            struct item item;
            item_of(n, &item);
            /* Any 12 bytes in a row would do for who knows what to look for. */
            if (holds(&files, item.k, 12) != there[n] || holds(&files, item.v, 12) != there[n])
                fail_msg("row %d: there %d", n, there[n]);
        }
    }
    free(there);
}

static void test_scrubbing_waits_for_readers_and_says_so(void **state)
{
    static const char sql[] = "select count(*) from item";
    struct fixture *f = *state;
    struct db *reader;
    bool clean = true;
    put(f, 1);
    assert_int_equal(db_open(f->path, DB_READ, &reader, &f->err), 0);
    assert_int_equal(db_begin_read(reader, &f->err), 0);
    struct db_stmt *s = db_use(reader, sql);
    assert_int_equal(db_step(s, &f->err), 1);
    db_done(s);
    take(f, 1);
    assert_int_equal(db_scrub(f->path, NULL, 50, &clean, &f->err), 0);
    assert_false(clean);
    put(f, 2); /* writers are not kept waiting */
    db_rollback(reader);
    assert_int_equal(db_scrub(f->path, NULL, 1000, &clean, &f->err), 0);
    assert_true(clean);
    db_close(reader);
}

/* ---- copy ---- */

struct writing {
    struct fixture *f;
    _Atomic bool stop;
    _Atomic int written;
};

/* Rows come in pairs, one transaction each. */
static void *write_pairs(void *arg)
{
    struct writing *w = arg;
    for (int n = 0; !atomic_load(&w->stop); n += 2) {
        assert_int_equal(db_begin(w->f->db, &w->f->err), 0);
        put(w->f, n);
        put(w->f, n + 1);
        assert_int_equal(db_commit(w->f->db, &w->f->err), 0);
        atomic_store(&w->written, n + 2);
    }
    return NULL;
}

static void note_progress(void *ctx, int64_t done, int64_t all)
{
    assert_true(done <= all);
    ++*(int *)ctx;
}

static void test_a_copy_is_one_state_while_others_write(void **state)
{
    static const char sql[] = "select count(*), count(distinct n / 2) from item";
    struct fixture *f = *state;
    struct writing w = {.f = f};
    pthread_t thread;
    pthread_create(&thread, NULL, write_pairs, &w);
    for (int round = 0, last = 0; round < 5; round++) {
        int steps = 0;
        struct err err = {0};
        struct db_report report;
        struct db *copy;
        while (atomic_load(&w.written) < last + 400)
            usleep(1000);
        int before = atomic_load(&w.written);
        assert_int_equal(db_copy(f->path, f->copy, note_progress, &steps, &err), 0);
        assert_true(steps > 0);
        assert_int_equal(db_check(f->copy, &report, &err), 0);
        if (report.wrong)
            fail_msg("%s", report.what);
        assert_int_equal(db_open(f->copy, DB_READ, &copy, &err), 0);
        struct db_stmt *s = db_use(copy, sql);
        assert_int_equal(db_step(s, &err), 1);
        last = (int)db_int(s, 0);
        assert_true(last >= before);
        assert_int_equal(db_int(s, 1) * 2, last);
        db_done(s);
        db_close(copy);
        struct stat st;
        assert_int_equal(stat(f->copy, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
        unlink(f->copy);
    }
    atomic_store(&w.stop, true);
    pthread_join(thread, NULL);
}

static void test_a_copy_never_overwrites(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(file_create(f->copy, 0600, STR("mine"), &f->err), 0);
    assert_int_equal(db_copy(f->path, f->copy, NULL, NULL, &f->err), LOV_ECONFLICT);
    _cleanup_buf struct buf content = {0};
    read_file(f->copy, &content);
    assert_true(str_is(buf_view(&content), "mine"));
}

/* ---- check ---- */

static void settle(struct fixture *f)
{
    bool clean = false;
    assert_int_equal(db_scrub(f->path, NULL, 1000, &clean, &f->err), 0);
    assert_true(clean);
    db_close(f->db);
    f->db = NULL;
}

static void flip(const char *path, off_t at, int bit)
{
    unsigned char b;
    int fd = open(path, O_RDWR);
    assert_int_equal(pread(fd, &b, 1, at), 1);
    b ^= (unsigned char)(1 << bit);
    assert_int_equal(pwrite(fd, &b, 1, at), 1);
    close(fd);
}

static void fill(struct fixture *f)
{
    for (int n = 0; n < 300; n++)
        put(f, n);
    for (int n = 0; n < 5; n++)
        put_long(f, n, (size_t)n * 5000);
    for (int n = 0; n < 290; n++) /* free pages */
        take(f, n);
}

static void test_a_flipped_bit_is_found_in_any_page(void **state)
{
    struct fixture *f = *state;
    struct stat st;
    struct db_report report;
    uint64_t seed = seed_start();
    fill(f);
    settle(f);
    assert_int_equal(db_check(f->path, &report, &f->err), 0);
    if (report.wrong)
        fail_msg("%s", report.what);
    assert_int_equal(stat(f->path, &st), 0);
    assert_true(report.pages == st.st_size / PAGE && report.pages > 20);
    for (int64_t page = 0; page < report.pages; page++) {
        for (int i = 0; i < 8; i++) {
            struct db_report found;
            /* The first and last bytes of each page are always among them. */
            int at = i == 0                ? 0
                     : i == 1              ? PAGE - 1
                     : i == 2 && page == 0 ? 20
                                           : (int)seed_below(&seed, PAGE);
            int bit = (int)seed_below(&seed, 8);
            flip(f->path, page * PAGE + at, bit);
            assert_int_equal(db_check(f->path, &found, &f->err), 0);
            flip(f->path, page * PAGE + at, bit);
            if (!found.wrong)
                fail_msg("page %d byte %d bit %d", (int)page + 1, at, bit);
        }
    }
    assert_int_equal(db_check(f->path, &report, &f->err), 0);
    assert_false(report.wrong);
}

static void test_every_byte_of_the_first_page_is_covered(void **state)
{
    struct fixture *f = *state;
    put(f, 1);
    settle(f);
    for (int at = 0; at < PAGE; at += 1 + (at > 200) * 12) {
        struct db_report found;
        flip(f->path, at, at % 8);
        assert_int_equal(db_check(f->path, &found, &f->err), 0);
        flip(f->path, at, at % 8);
        if (!found.wrong)
            fail_msg("byte %d", at);
    }
}

static void test_a_damaged_page_is_not_read_as_data(void **state)
{
    static const char sql[] = "select sum(length(v)), max(v), sum(n) from item";
    struct fixture *f = *state;
    struct stat st;
    struct db *db;
    for (int n = 0; n < 300; n++)
        put(f, n);
    settle(f);
    assert_int_equal(stat(f->path, &st), 0);
    flip(f->path, st.st_size - 1000, 3);
    assert_int_equal(db_open(f->path, DB_READ, &db, &f->err), 0);
    assert_int_equal(db_step(db_use(db, sql), &f->err), LOV_ECORRUPT);
    db_close(db);
    assert_int_equal(db_copy(f->path, f->copy, NULL, NULL, &f->err), LOV_ECORRUPT);
    assert_false(file_exists(f->copy));
    assert_int_equal(db_open(f->path, DB_INSPECT, &db, &f->err), 0);
    struct db_stmt *s = db_use(db, sql);
    assert_int_equal(db_step(s, &f->err), 1);
    db_done(s);
    db_close(db);
}

static void test_a_lost_end_is_found(void **state)
{
    struct fixture *f = *state;
    struct db_report report;
    struct stat st;
    fill(f);
    settle(f);
    assert_int_equal(stat(f->path, &st), 0);
    assert_int_equal(truncate(f->path, st.st_size - PAGE), 0);
    assert_int_equal(db_check(f->path, &report, &f->err), 0);
    assert_true(report.wrong);
    assert_int_equal(truncate(f->path, 50), 0);
    assert_int_equal(db_check(f->path, &report, &f->err), 0);
    assert_true(report.wrong);
    assert_int_equal(db_check(f->copy, &report, &f->err), LOV_ENOTFOUND);
}

/* Not by checksums, which whoever writes the file could make: by the structure. */
static void test_an_index_that_disagrees_with_its_table_is_found(void **state)
{
    struct fixture *f = *state;
    struct db_report report;
    sqlite3 *raw = NULL;
    put(f, 1);
    settle(f);
    assert_int_equal(sqlite3_open_v2(f->path, &raw, SQLITE_OPEN_READWRITE, "lov"), SQLITE_OK);
    assert_int_equal(sqlite3_exec(raw,
                                  "pragma writable_schema = on;"
                                  "update sqlite_schema set sql = replace(sql, '(n)', '(v)') "
                                  "where name = 'item_n'",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    sqlite3_close(raw);
    assert_int_equal(db_check(f->path, &report, &f->err), 0);
    assert_true(report.wrong);
    assert_non_null(strstr(report.what, "item_n"));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, open_fixture, close_fixture)
    const struct CMUnitTest tests[] = {
        T(test_no_byte_of_a_deleted_row_is_left_in_any_file),
        T(test_scrubbing_waits_for_readers_and_says_so),
        T(test_a_copy_is_one_state_while_others_write),
        T(test_a_copy_never_overwrites),
        T(test_a_flipped_bit_is_found_in_any_page),
        T(test_every_byte_of_the_first_page_is_covered),
        T(test_a_damaged_page_is_not_read_as_data),
        T(test_a_lost_end_is_found),
        T(test_an_index_that_disagrees_with_its_table_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
