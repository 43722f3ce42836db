/* test_db_journal.c - the journal: frames, torn and foreign ones; and the writer that commits
 * later. */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "db/journal.h"
#include "db/writer.h"

enum { BLOCK = 4096 };

struct fixture {
    char dir[64], path[96], identity[96], lov[96];
};

static int open_fixture(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    snprintf(f->dir, sizeof f->dir, "/tmp/lov-journal-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->path, sizeof f->path, "%s/journal", f->dir);
    snprintf(f->identity, sizeof f->identity, "%s/identity.db", f->dir);
    snprintf(f->lov, sizeof f->lov, "%s/lov.db", f->dir);
    *state = f;
    return 0;
}

static int close_fixture(void **state)
{
    struct fixture *f = *state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", f->dir);
    int ignored = system(command);
    (void)ignored;
    free(f);
    return 0;
}

/* ---- the file ---- */

static int keep(void *ctx, struct str entry)
{
    struct buf *out = ctx;
    buf_str(out, entry);
    buf_char(out, '|');
    return 0;
}

static void expect(const struct fixture *f, const char *entries)
{
    struct err err = {0};
    _cleanup_buf struct buf out = {0};
    buf_cstr(&out, "");
    assert_int_equal(journal_read(f->path, keep, &out, &err), 0);
    assert_string_equal(out.p, entries);
}

static int append(struct journal *j, const char *first, const char *second)
{
    struct err err = {0};
    _cleanup_buf struct buf payload = {0};
    journal_entry_add(&payload, str_of(first));
    if (second)
        journal_entry_add(&payload, str_of(second));
    return journal_append(j, buf_view(&payload), &err);
}

static struct journal *open_journal(const struct fixture *f)
{
    struct err err = {0};
    struct journal *j;
    assert_int_equal(journal_open(f->path, &j, &err), 0);
    return j;
}

static void test_entries_come_back_in_order_until_it_starts_over(void **state)
{
    struct fixture *f = *state;
    struct stat st;
    expect(f, "");
    struct journal *j = open_journal(f);
    assert_true(journal_is_empty(j));
    expect(f, "");
    assert_int_equal(append(j, "one", "two"), 0);
    assert_int_equal(append(j, "three", NULL), 0);
    assert_false(journal_is_empty(j));
    expect(f, "one|two|three|");
    journal_restart(j);
    assert_int_equal(append(j, "four", NULL), 0);
    expect(f, "four|");
    assert_int_equal(stat(f->path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    journal_close(j);
    /* Left behind, as after a crash: what is written next is of another generation. */
    expect(f, "four|");
    j = open_journal(f);
    assert_int_equal(append(j, "five", NULL), 0);
    expect(f, "five|");
    journal_restart(j);
    journal_close(j);
    expect(f, "");
}

static void test_a_frame_that_is_not_whole_ends_it(void **state)
{
    struct fixture *f = *state;
    struct journal *j = open_journal(f);
    assert_int_equal(append(j, "one", NULL), 0);
    assert_int_equal(append(j, "two", NULL), 0);
    assert_int_equal(append(j, "three", NULL), 0);
    int fd = open(f->path, O_RDWR);
    /* Every byte that a frame has, behind which is filling. */
    for (off_t at = 0; at < 40 + 24 + 4 + 3; at++) {
        uint8_t byte, other;
        assert_int_equal(pread(fd, &byte, 1, BLOCK + at), 1);
        other = byte ^ 0x20;
        assert_int_equal(pwrite(fd, &other, 1, BLOCK + at), 1);
        expect(f, "one|");
        assert_int_equal(pwrite(fd, &byte, 1, BLOCK + at), 1);
    }
    expect(f, "one|two|three|");
    for (off_t size = 3 * BLOCK; size > 0; size -= 97) {
        assert_int_equal(ftruncate(fd, size), 0);
        expect(f, size >= 2 * BLOCK + 40 + 24 + 4 + 5 ? "one|two|three|"
                  : size >= BLOCK + 40 + 24 + 4 + 3   ? "one|two|"
                  : size >= 40 + 24 + 4 + 3           ? "one|"
                                                      : "");
    }
    close(fd);
    journal_close(j);
}

static void test_a_full_journal_takes_more_when_it_started_over(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    _cleanup_buf struct buf payload = {0};
    struct journal *j = open_journal(f);
    static char large[1 << 20];
    journal_entry_add(&payload, (struct str){large, sizeof large});
    int rc, count = 0;
    while ((rc = journal_append(j, buf_view(&payload), &err)) == 0)
        count++;
    assert_int_equal(rc, LOV_ELIMIT);
    assert_int_equal(count, 15);
    journal_restart(j);
    assert_int_equal(journal_append(j, buf_view(&payload), &err), 0);
    journal_close(j);
}

/* ---- the writer ---- */

static const char CREATE[] = "create table item (n bigint primary key)";

struct log_of_items {
    struct writer *writer;
    struct log log;
    struct buf entries; /* of the batch */
    int64_t rows;
    bool fail_before_commit;
    int stored;
};

static void forget(void *ctx)
{
    struct log_of_items *l = ctx;
    buf_clear(&l->entries);
    l->rows = 0;
}

static int before_commit(void *ctx, struct write_stores *stores, struct err *err)
{
    struct log_of_items *l = ctx;
    (void)stores;
    return l->fail_before_commit ? err_set(err, LOV_EIO, "no disk") : 0;
}

static int64_t journal_rows(void *ctx, struct buf *payload)
{
    struct log_of_items *l = ctx;
    buf_str(payload, buf_view(&l->entries));
    return l->rows;
}

static void stored(void *ctx)
{
    ((struct log_of_items *)ctx)->stored++;
}

static void start(const struct fixture *f, struct log_of_items *l)
{
    struct err err = {0};
    struct db *identity, *lov;
    const struct db_migration schema[] = {{1, STR(CREATE)}};
    l->log = (struct log){.fd = STDERR_FILENO, .level = -1};
    assert_int_equal(db_open(f->identity, DB_WRITE, &identity, &err), 0);
    assert_int_equal(db_open(f->lov, DB_WRITE, &lov, &err), 0);
    assert_int_equal(db_migrate(identity, schema, 1, &err), 0);
    assert_int_equal(db_migrate(lov, schema, 1, &err), 0);
    struct write_observer o = {.ctx = l,
                               .before_commit = before_commit,
                               .committed = forget,
                               .rolled_back = forget,
                               .journal = journal_rows,
                               .stored = stored};
    assert_int_equal(writer_start(identity, lov, open_journal(f), &o, &l->log, &l->writer, &err),
                     0);
}

static void stop(struct log_of_items *l)
{
    writer_stop(l->writer);
    buf_free(&l->entries);
}

struct item {
    struct write_job job;
    struct log_of_items *log;
    int64_t n;
    bool appended;    /* it is in the journal's entries */
    bool of_identity; /* another store is changed, too */
    bool fail;        /* after it wrote */
};

static int insert_into(struct db *db, int64_t n, struct err *err)
{
    static const char sql[] = "insert into item (n) values ($1)";
    struct db_stmt *s = db_use(db, sql);
    db_bind_int(s, 1, n);
    return db_run(s, err);
}

static int run_item(struct write_job *job, struct write_stores *stores, struct err *err)
{
    struct item *i = (struct item *)job;
    int rc = insert_into(stores->lov, i->n, err);
    if (rc == 0 && i->of_identity)
        rc = insert_into(stores->identity, i->n, err);
    if (i->appended) {
        char text[24];
        snprintf(text, sizeof text, "%lld", (long long)i->n);
        journal_entry_add(&i->log->entries, str_of(text));
        i->log->rows++;
    }
    return rc == 0 && i->fail ? err_set(err, LOV_EINVAL, "failed half way") : rc;
}

static int write_item(struct log_of_items *l, struct item item)
{
    struct err err = {0};
    item.job.run = run_item;
    item.log = l;
    return writer_run(l->writer, &item.job, &err);
}

static int64_t seen(const struct fixture *f)
{
    static const char sql[] = "select count(*) from item";
    struct db *db;
    struct err err = {0};
    assert_int_equal(db_open(f->lov, DB_READ, &db, &err), 0);
    struct db_stmt *s = db_use(db, sql);
    assert_int_equal(db_step(s, &err), 1);
    int64_t n = db_int(s, 0);
    db_done(s);
    db_close(db);
    return n;
}

static void test_what_is_appended_is_durable_at_once_and_committed_when_asked(void **state)
{
    struct fixture *f = *state;
    struct log_of_items l = {0};
    start(f, &l);
    for (int64_t n = 1; n <= 3; n++)
        assert_int_equal(write_item(&l, (struct item){.n = n, .appended = true}), 0);
    writer_settle(l.writer);
    assert_int_equal(seen(f), 3);
    assert_true(l.stored > 0);
    writer_settle(l.writer);
    stop(&l);
    assert_int_equal(seen(f), 3);
    expect(f, "");
}

static void test_what_is_more_than_appended_is_committed_at_once(void **state)
{
    struct fixture *f = *state;
    struct log_of_items l = {0};
    start(f, &l);
    assert_int_equal(write_item(&l, (struct item){.n = 1, .appended = true}), 0);
    assert_int_equal(write_item(&l, (struct item){.n = 2}), 0);
    assert_int_equal(seen(f), 2);
    assert_int_equal(write_item(&l, (struct item){.n = 3, .appended = true, .of_identity = true}),
                     0);
    assert_int_equal(seen(f), 3);
    stop(&l);
}

static void test_a_batch_that_is_undone_leaves_those_before_it(void **state)
{
    struct fixture *f = *state;
    struct log_of_items l = {0};
    start(f, &l);
    for (int64_t n = 0; n < 200; n++) {
        bool fail = n % 3 == 1;
        assert_int_equal(write_item(&l, (struct item){.n = n, .appended = true, .fail = fail}),
                         fail ? LOV_EINVAL : 0);
    }
    writer_settle(l.writer);
    assert_int_equal(seen(f), 133);
    stop(&l);
}

static void *write_on(void *arg)
{
    struct log_of_items *l = arg;
    for (int64_t n = 0; n < 2000; n++)
        assert_int_equal(write_item(l, (struct item){.n = n, .appended = true}), 0);
    return NULL;
}

static void test_a_writer_that_is_never_idle_gives_way_and_goes_on(void **state)
{
    struct fixture *f = *state;
    struct log_of_items l = {0};
    struct err err = {0};
    pthread_t busy;
    start(f, &l);
    assert_int_equal(pthread_create(&busy, NULL, write_on, &l), 0);
    for (int i = 0; i < 20; i++) {
        bool clean = false;
        assert_int_equal(db_scrub(f->lov, l.writer, 10000, &clean, &err), 0);
        assert_true(clean);
        writer_hold(l.writer);
        int64_t before = seen(f);
        sched_yield();
        assert_int_equal(seen(f), before);
        writer_release(l.writer);
    }
    pthread_join(busy, NULL);
    writer_settle(l.writer);
    assert_int_equal(seen(f), 2000);
    stop(&l);
}

static void test_after_a_failed_commit_the_journal_has_what_was_acknowledged(void **state)
{
    struct fixture *f = *state;
    struct log_of_items l = {0};
    start(f, &l);
    int acknowledged = 0;
    for (int64_t n = 1; n <= 2; n++)
        acknowledged += write_item(&l, (struct item){.n = n, .appended = true}) == 0;
    l.fail_before_commit = true;
    assert_true(write_item(&l, (struct item){.n = 3}) < 0);
    assert_int_equal(acknowledged, 2);
    assert_true(writer_counts(l.writer).stopped_by_error);
    writer_settle(l.writer); /* does not wait for ever */
    stop(&l);
    /* What was not committed by then is in the journal. */
    if (seen(f) == 0)
        expect(f, "1|2|");
    else if (seen(f) == 1)
        expect(f, "2|");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_entries_come_back_in_order_until_it_starts_over,
                                        open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(test_a_frame_that_is_not_whole_ends_it, open_fixture,
                                        close_fixture),
        cmocka_unit_test_setup_teardown(test_a_full_journal_takes_more_when_it_started_over,
                                        open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(
            test_what_is_appended_is_durable_at_once_and_committed_when_asked, open_fixture,
            close_fixture),
        cmocka_unit_test_setup_teardown(test_what_is_more_than_appended_is_committed_at_once,
                                        open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(test_a_batch_that_is_undone_leaves_those_before_it,
                                        open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(test_a_writer_that_is_never_idle_gives_way_and_goes_on,
                                        open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(
            test_after_a_failed_commit_the_journal_has_what_was_acknowledged, open_fixture,
            close_fixture),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
