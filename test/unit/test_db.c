/* test_db.c - statements, migrations, and the writer: group commit, order, failures, stopping. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "db/writer.h"

static const char CREATE[] = "create table item (n bigint primary key, word text not null)";

struct fixture {
    char dir[64], identity[96], lov[96];
    struct writer *writer;
    struct log log;
    _Atomic int before, committed, rolled_back;
    bool fail_commit;
};

static int before_commit(void *ctx, struct write_stores *stores, struct err *err)
{
    struct fixture *f = ctx;
    (void)stores;
    f->before++;
    return f->fail_commit ? err_set(err, LOV_EIO, "no disk") : 0;
}

static void committed(void *ctx)
{
    ((struct fixture *)ctx)->committed++;
}

static void rolled_back(void *ctx)
{
    ((struct fixture *)ctx)->rolled_back++;
}

static int open_fixture(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct err err = {0};
    struct db *identity, *lov;
    snprintf(f->dir, sizeof f->dir, "/tmp/lov-db-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->identity, sizeof f->identity, "%s/identity.db", f->dir);
    snprintf(f->lov, sizeof f->lov, "%s/lov.db", f->dir);
    f->log = (struct log){.fd = STDERR_FILENO, .level = -1};
    const struct db_migration schema[] = {{1, STR(CREATE)}};
    assert_int_equal(db_open(f->identity, DB_WRITE, &identity, &err), 0);
    assert_int_equal(db_open(f->lov, DB_WRITE, &lov, &err), 0);
    assert_int_equal(db_migrate(identity, schema, 1, &err), 0);
    assert_int_equal(db_migrate(lov, schema, 1, &err), 0);
    struct write_observer observer = {.ctx = f,
                                      .before_commit = before_commit,
                                      .committed = committed,
                                      .rolled_back = rolled_back};
    assert_int_equal(writer_start(identity, lov, NULL, &observer, &f->log, &f->writer, &err), 0);
    *state = f;
    return 0;
}

static int close_fixture(void **state)
{
    struct fixture *f = *state;
    char command[128];
    writer_stop(f->writer);
    snprintf(command, sizeof command, "rm -rf %s", f->dir);
    int ignored = system(command);
    (void)ignored;
    free(f);
    return 0;
}

static int64_t count_items(const char *path)
{
    static const char sql[] = "select count(*) from item";
    struct db *db;
    struct err err = {0};
    assert_int_equal(db_open(path, DB_READ, &db, &err), 0);
    struct db_stmt *s = db_use(db, sql);
    assert_int_equal(db_step(s, &err), 1);
    int64_t n = db_int(s, 0);
    db_done(s);
    db_close(db);
    return n;
}

/* ---- jobs ---- */

struct insert {
    struct write_job job;
    int64_t n;
    int fail; /* 1: before writing, 2: after */
    _Atomic bool durable, done;
};

static int insert_into(struct db *db, int64_t n, struct err *err)
{
    static const char sql[] = "insert into item (n, word) values ($1, $2)";
    struct db_stmt *s = db_use(db, sql);
    db_bind_int(s, 1, n);
    db_bind_text(s, 2, STR("word"));
    return db_run(s, err);
}

static int run_insert(struct write_job *job, struct write_stores *stores, struct err *err)
{
    struct insert *i = (struct insert *)job;
    if (i->fail == 1)
        return err_reason(err, LOV_ECONFLICT, "no", "refused");
    int rc = insert_into(stores->identity, i->n, err);
    if (rc == 0)
        rc = insert_into(stores->lov, i->n, err);
    return rc == 0 && i->fail == 2 ? err_set(err, LOV_EINVAL, "failed half way") : rc;
}

static void note_durable(struct write_job *job)
{
    ((struct insert *)job)->durable = true;
}

static void note_done(struct write_job *job)
{
    ((struct insert *)job)->done = true;
}

static struct insert *make_inserts(size_t count)
{
    struct insert *list = calloc(count, sizeof *list);
    for (size_t i = 0; i < count; i++) {
        list[i].job.run = run_insert;
        list[i].job.durable = note_durable;
        list[i].job.done = note_done;
        list[i].n = (int64_t)i;
    }
    return list;
}

static void wait_done(struct insert *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        for (long spins = 0; !list[i].done; spins++) {
            if (spins > 20000000)
                fail_msg("job %zu is never done", i);
            sched_yield();
        }
}

static void test_many_jobs_share_few_commits(void **state)
{
    struct fixture *f = *state;
    enum { COUNT = 1000 };
    struct insert *list = make_inserts(COUNT);
    for (int i = 0; i < COUNT; i++)
        writer_submit(f->writer, &list[i].job);
    wait_done(list, COUNT);
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(list[i].job.rc, 0);
        assert_true(list[i].durable);
    }
    assert_int_equal(count_items(f->lov), COUNT);
    assert_int_equal(count_items(f->identity), COUNT);
    struct writer_counts counts = writer_counts(f->writer);
    assert_true(counts.commits < COUNT / 4);
    assert_int_equal(f->committed, counts.commits);
    free(list);
}

static void test_a_job_that_fails_half_way_takes_nobody_with_it(void **state)
{
    struct fixture *f = *state;
    enum { COUNT = 300 };
    struct insert *list = make_inserts(COUNT);
    for (int i = 0; i < COUNT; i++) {
        list[i].fail = i % 100 == 50 ? 2 : i % 10 == 3 ? 1 : 0;
        writer_submit(f->writer, &list[i].job);
    }
    wait_done(list, COUNT);
    int64_t written = 0;
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(list[i].job.rc, list[i].fail == 2   ? LOV_EINVAL
                                         : list[i].fail == 1 ? LOV_ECONFLICT
                                                             : 0);
        assert_int_equal(list[i].durable, list[i].fail == 0);
        written += list[i].fail == 0;
    }
    assert_int_equal(count_items(f->lov), written);
    assert_int_equal(count_items(f->identity), written);
    free(list);
}

static void test_nothing_is_acknowledged_after_a_failed_commit(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    struct insert *list = make_inserts(3);
    assert_int_equal(writer_run(f->writer, &list[0].job, &err), 0);
    f->fail_commit = true;
    assert_int_equal(writer_run(f->writer, &list[1].job, &err), LOV_EIO);
    assert_false(list[1].durable);
    f->fail_commit = false;
    assert_int_equal(writer_run(f->writer, &list[2].job, &err), LOV_EUNAVAILABLE);
    assert_true(writer_counts(f->writer).stopped_by_error);
    assert_int_equal(count_items(f->lov), 1);
    assert_int_equal(f->rolled_back, 1);
    free(list);
}

static void *submit_some(void *arg)
{
    struct fixture *f = ((void **)arg)[0];
    struct insert *list = ((void **)arg)[1];
    for (int i = 0; i < 200; i++) {
        struct err err = {0};
        assert_int_equal(writer_run(f->writer, &list[i].job, &err), 0);
    }
    return NULL;
}

static void test_threads_may_write_at_once(void **state)
{
    struct fixture *f = *state;
    enum { THREADS = 4, EACH = 200 };
    struct insert *list = make_inserts(THREADS * EACH);
    pthread_t thread[THREADS];
    void *args[THREADS][2];
    for (int t = 0; t < THREADS; t++) {
        args[t][0] = f;
        args[t][1] = list + t * EACH;
        assert_int_equal(pthread_create(&thread[t], NULL, submit_some, args[t]), 0);
    }
    for (int t = 0; t < THREADS; t++)
        pthread_join(thread[t], NULL);
    assert_int_equal(count_items(f->lov), THREADS * EACH);
    free(list);
}

/* ---- stores ---- */

static void test_a_store_that_is_newer_than_the_program_is_refused(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    struct db *db;
    char path[128];
    snprintf(path, sizeof path, "%s/new.db", f->dir);
    const struct db_migration two[] = {{1, STR(CREATE)},
                                       {2, STR("alter table item add column more bigint")}};
    assert_int_equal(db_open(path, DB_WRITE, &db, &err), 0);
    assert_int_equal(db_migrate(db, two, 2, &err), 0);
    assert_int_equal(db_migrate(db, two, 2, &err), 0);
    assert_int_equal(db_migrate(db, two, 1, &err), LOV_EVERSION);
    db_close(db);
}

static void test_a_migration_that_fails_changes_nothing(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    struct db *db;
    char path[128];
    snprintf(path, sizeof path, "%s/bad.db", f->dir);
    const struct db_migration bad[] = {
        {1, STR("create table one (n bigint); create table one (n bigint)")}};
    const struct db_migration good[] = {{1, STR("create table one (n bigint)")}};
    assert_int_equal(db_open(path, DB_WRITE, &db, &err), 0);
    assert_true(db_migrate(db, bad, 1, &err) < 0);
    assert_int_equal(db_migrate(db, good, 1, &err), 0);
    db_close(db);
}

static void test_parameters_go_by_their_number_not_their_place(void **state)
{
    struct fixture *f = *state;
    static const char sql[] = "select $2, $1, $2";
    struct err err = {0};
    struct db *db;
    assert_int_equal(db_open(f->lov, DB_READ, &db, &err), 0);
    struct db_stmt *s = db_use(db, sql);
    db_bind_int(s, 1, 11);
    db_bind_int(s, 2, 22);
    assert_int_equal(db_step(s, &err), 1);
    assert_int_equal(db_int(s, 0), 22);
    assert_int_equal(db_int(s, 1), 11);
    assert_int_equal(db_int(s, 2), 22);
    db_done(s);
    db_close(db);
}

static void test_readers_cannot_write(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    struct db *db;
    assert_int_equal(db_open(f->lov, DB_READ, &db, &err), 0);
    assert_true(insert_into(db, 1, &err) < 0);
    db_close(db);
}

static void test_stores_are_for_their_owner_only(void **state)
{
    struct fixture *f = *state;
    struct stat st;
    assert_int_equal(stat(f->identity, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void test_a_file_that_is_no_database_is_refused(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    struct db *db;
    char path[128];
    snprintf(path, sizeof path, "%s/noise.db", f->dir);
    FILE *file = fopen(path, "w");
    for (int i = 0; i < 4096; i++)
        fputc(i * 7 % 251, file);
    fclose(file);
    assert_int_equal(db_open(path, DB_WRITE, &db, &err), LOV_ECORRUPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_many_jobs_share_few_commits, open_fixture,
                                        close_fixture),
        cmocka_unit_test_setup_teardown(test_a_job_that_fails_half_way_takes_nobody_with_it,
                                        open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(test_nothing_is_acknowledged_after_a_failed_commit,
                                        open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(test_threads_may_write_at_once, open_fixture,
                                        close_fixture),
        cmocka_unit_test_setup_teardown(test_a_store_that_is_newer_than_the_program_is_refused,
                                        open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(test_a_migration_that_fails_changes_nothing, open_fixture,
                                        close_fixture),
        cmocka_unit_test_setup_teardown(test_parameters_go_by_their_number_not_their_place,
                                        open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(test_readers_cannot_write, open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(test_stores_are_for_their_owner_only, open_fixture,
                                        close_fixture),
        cmocka_unit_test_setup_teardown(test_a_file_that_is_no_database_is_refused, open_fixture,
                                        close_fixture),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
