/* test_identity.c - the store of who: rows, keys, and changing the key that seals them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "db/schema.h"
#include "identity/identity.h"

enum { PEOPLE = 50 };

struct fixture {
    char dir[64], path[96];
    struct db *db;
    struct identity *who;
    struct identity_keys keys; /* as made */
    struct secret data_keys[PEOPLE];
    struct identity_row rows[PEOPLE];
    struct err err;
};

static struct str name_of(int n, char text[32])
{
    snprintf(text, 32, "person-%d", n);
    return str_of(text);
}

static void open_store(struct fixture *f)
{
    struct identity_keys keys;
    assert_int_equal(identity_load_keys(f->dir, &keys, &f->err), 0);
    assert_int_equal(db_open(f->path, DB_WRITE, &f->db, &f->err), 0);
    if (identity_open(f->db, &keys, 4, &f->who, &f->err))
        fail_msg("%s", f->err.text);
}

static void close_store(struct fixture *f)
{
    identity_close(f->who);
    db_close(f->db);
    f->who = NULL;
    f->db = NULL;
}

static void add(struct fixture *f, int n)
{
    char text[32];
    assert_int_equal(identity_add(f->who, f->db, name_of(n, text), 1000, &f->rows[n], &f->err), 0);
    assert_int_equal(identity_data_key(f->who, f->db, &f->rows[n].cid, &f->data_keys[n], &f->err),
                     1);
}

static int begin(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    snprintf(f->dir, sizeof f->dir, "/tmp/lov-identity-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->path, sizeof f->path, "%s/identity.db", f->dir);
    assert_int_equal(identity_create_key(f->dir, &f->err), 0);
    assert_int_equal(identity_load_keys(f->dir, &f->keys, &f->err), 0);
    open_store(f);
    for (int n = 0; n < PEOPLE - 1; n++)
        add(f, n);
    *state = f;
    return 0;
}

static int end(void **state)
{
    struct fixture *f = *state;
    char command[128];
    close_store(f);
    snprintf(command, sizeof command, "rm -rf %s", f->dir);
    int ignored = system(command);
    (void)ignored;
    free(f);
    return 0;
}

/* The first `count` people are found by their ids, with the cid, name and data key they had. */
static void expect_all(struct fixture *f, int count)
{
    struct identity_report report;
    for (int n = 0; n < count; n++) {
        char text[32];
        struct identity_row row;
        struct secret key;
        _cleanup_buf struct buf id = {0};
        struct hash128 lookup = identity_lookup(f->who, name_of(n, text));
        assert_int_equal(identity_find(f->db, &lookup, &row, &f->err), 1);
        assert_memory_equal(&row.cid, &f->rows[n].cid, sizeof row.cid);
        assert_int_equal(identity_name(f->who, f->db, &row.cid, &id, &f->err), 1);
        assert_true(str_eq(buf_view(&id), name_of(n, text)));
        assert_int_equal(identity_data_key(f->who, f->db, &row.cid, &key, &f->err), 1);
        assert_memory_equal(key.b, f->data_keys[n].b, sizeof key.b);
    }
    assert_int_equal(identity_verify(f->who, f->db, &report, &f->err), 0);
    assert_int_equal(report.wrong_number, -1);
    assert_int_equal(report.consumers, count);
}

/* Does the store open with nothing but this key? */
static bool opens_by(struct fixture *f, const struct secret *key)
{
    struct identity_keys keys = {.key = {*key}, .count = 1};
    struct identity *who = NULL;
    struct identity_report report;
    bool ok = identity_open_read(f->db, &keys, 4, &who, &f->err) == 0;
    if (ok)
        ok = identity_verify(who, f->db, &report, &f->err) == 0 && report.wrong_number < 0;
    identity_close(who);
    return ok;
}

static void rotate_rest(struct fixture *f, int64_t after)
{
    int64_t rows, last = after;
    bool environment = true;
    do {
        assert_int_equal(identity_rotate_some(f->who, f->db, last, 7, &last, &rows, &f->err), 0);
    } while (last >= 0);
    assert_int_equal(identity_rotate_secrets(f->who, f->db, &f->err), 0);
    assert_int_equal(identity_rotate_end(f->who, f->dir, &environment, &f->err), 0);
    assert_false(environment);
}

static void expect_new_key_alone(struct fixture *f)
{
    struct identity_keys keys;
    assert_false(identity_is_rotating(f->dir));
    assert_int_equal(identity_load_keys(f->dir, &keys, &f->err), 0);
    assert_int_equal(keys.count, 1);
    assert_memory_not_equal(keys.key[0].b, f->keys.key[0].b, sizeof keys.key[0].b);
    assert_true(opens_by(f, &keys.key[0]));
    assert_false(opens_by(f, &f->keys.key[0]));
}

static void test_a_rotation_moves_nobody(void **state)
{
    struct fixture *f = *state;
    assert_true(opens_by(f, &f->keys.key[0]));
    assert_int_equal(identity_rotate_begin(f->who, f->dir, &f->err), 0);
    assert_true(identity_is_rotating(f->dir));
    expect_all(f, PEOPLE - 1);
    rotate_rest(f, -1);
    expect_all(f, PEOPLE - 1);
    expect_new_key_alone(f);
    close_store(f);
    open_store(f);
    expect_all(f, PEOPLE - 1);
}

static void test_a_rotation_that_stopped_anywhere_is_taken_up(void **state)
{
    struct fixture *f = *state;
    for (int stop = 0; stop < 4; stop++) {
        int64_t last = -1, rows;
        f->keys.count = 0;
        assert_int_equal(identity_load_keys(f->dir, &f->keys, &f->err), 0);
        assert_int_equal(identity_rotate_begin(f->who, f->dir, &f->err), 0);
        struct identity_keys both;
        assert_int_equal(identity_load_keys(f->dir, &both, &f->err), 0);
        assert_int_equal(both.count, 2);
        if (stop >= 1)
            assert_int_equal(identity_rotate_some(f->who, f->db, -1, 20, &last, &rows, &f->err), 0);
        if (stop >= 2)
            while (last >= 0)
                assert_int_equal(
                    identity_rotate_some(f->who, f->db, last, 20, &last, &rows, &f->err), 0);
        if (stop >= 3)
            assert_int_equal(identity_rotate_secrets(f->who, f->db, &f->err), 0);
        close_store(f);
        open_store(f);
        expect_all(f, PEOPLE - 1);
        assert_int_equal(identity_rotate_begin(f->who, f->dir, &f->err), 0);
        struct identity_keys again;
        assert_int_equal(identity_load_keys(f->dir, &again, &f->err), 0);
        assert_memory_equal(again.key[0].b, both.key[0].b, sizeof again.key[0].b);
        rotate_rest(f, -1);
        expect_all(f, PEOPLE - 1);
        expect_new_key_alone(f);
    }
}

static void test_who_comes_meanwhile_is_sealed_by_the_new_key(void **state)
{
    struct fixture *f = *state;
    int64_t last, rows;
    assert_int_equal(identity_rotate_begin(f->who, f->dir, &f->err), 0);
    do { /* all but the newcomer were looked at */
        assert_int_equal(identity_rotate_some(f->who, f->db, -1, 1000, &last, &rows, &f->err), 0);
    } while (last >= 0);
    add(f, PEOPLE - 1);
    assert_int_equal(identity_rotate_secrets(f->who, f->db, &f->err), 0);
    bool environment;
    assert_int_equal(identity_rotate_end(f->who, f->dir, &environment, &f->err), 0);
    expect_all(f, PEOPLE);
    expect_new_key_alone(f);
}

static void test_a_bad_next_key_changes_nothing(void **state)
{
    struct fixture *f = *state;
    char path[96];
    snprintf(path, sizeof path, "%s/key.next", f->dir);
    assert_int_equal(file_create(path, 0600, STR("not a key"), &f->err), 0);
    assert_int_equal(identity_rotate_begin(f->who, f->dir, &f->err), LOV_EINVAL);
    chmod(path, 0644);
    assert_int_equal(identity_rotate_begin(f->who, f->dir, &f->err), LOV_EINVAL);
    unlink(path);
    expect_all(f, PEOPLE - 1);
    assert_true(opens_by(f, &f->keys.key[0]));
}

static void execute(struct fixture *f, const char *sql)
{
    assert_int_equal(db_run(db_use(f->db, sql), &f->err), 0);
}

static void expect_wrong(struct fixture *f, int64_t number)
{
    struct identity_report report;
    assert_int_equal(identity_verify(f->who, f->db, &report, &f->err), 0);
    assert_int_equal(report.wrong_number, number);
    assert_non_null(report.what);
}

static void test_rows_with_exchanged_parts_are_found(void **state)
{
    struct fixture *f = *state;
    static const char key[] =
        "update consumer set data_key = (select data_key from consumer where number = 8) "
        "where number = 9";
    static const char id[] =
        "update consumer set sealed_id = (select sealed_id from consumer where number = 4) "
        "where number = 5";
    static const char lookup[] = "update consumer set lookup = $1 where number = 3";
    static const char shard[] = "update consumer set shard = (shard + 1) % 4 where number = 2";
    execute(f, key);
    expect_wrong(f, 9);
    execute(f, id);
    expect_wrong(f, 5);
    struct hash128 other = identity_lookup(f->who, STR("somebody else"));
    struct db_stmt *s = db_use(f->db, lookup);
    db_bind_blob(s, 1, (struct str){(const char *)other.b, sizeof other.b});
    assert_int_equal(db_run(s, &f->err), 0);
    expect_wrong(f, 3);
    execute(f, shard);
    expect_wrong(f, 2);
}

static void test_an_erased_consumer_is_found_nowhere(void **state)
{
    struct fixture *f = *state;
    struct identity_row row;
    struct secret key;
    _cleanup_buf struct buf id = {0};
    const struct identity_row *gone = &f->rows[7];
    assert_int_equal(identity_erase(f->db, &gone->lookup, 5, true, &f->err), 0);
    assert_int_equal(identity_find(f->db, &gone->lookup, &row, &f->err), 0);
    assert_int_equal(identity_find_cid(f->db, &gone->cid, &row, &f->err), 0);
    assert_int_equal(identity_name(f->who, f->db, &gone->cid, &id, &f->err), 0);
    assert_int_equal(identity_data_key(f->who, f->db, &gone->cid, &key, &f->err), 0);
    assert_int_equal(identity_was_erased(f->db, &gone->lookup, &f->err), 1);
}

/* ---- names that are remembered ---- */

static int name_there(struct fixture *f, struct db *db, int n)
{
    _cleanup_buf struct buf id = {0};
    char text[32];
    int rc = identity_name(f->who, db, &f->rows[n].cid, &id, &f->err);
    if (rc == 1)
        assert_true(str_eq(buf_view(&id), name_of(n, text)));
    return rc;
}

static void test_a_name_is_remembered_until_somebody_is_erased(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(name_there(f, f->db, 7), 1);
    execute(f, "delete from consumer where number = 7");
    assert_int_equal(name_there(f, f->db, 7), 1);
    /* A transaction that does not say since when its state is there is not told. */
    assert_int_equal(db_begin_read(f->db, &f->err), 0);
    assert_int_equal(name_there(f, f->db, 7), 0);
    db_rollback(f->db);
    assert_int_equal(identity_begin_read(f->who, f->db, &f->err), 0);
    assert_int_equal(name_there(f, f->db, 7), 1);
    db_rollback(f->db);
    identity_forget_name(f->who, &f->rows[7].cid);
    assert_int_equal(name_there(f, f->db, 7), 0);
    assert_int_equal(name_there(f, f->db, 8), 1);
}

/* Who still reads a state from before the erasure finds the name there, and must not hand it on. */
static void test_an_older_state_brings_no_erased_name_back(void **state)
{
    struct fixture *f = *state;
    struct db *old;
    const struct identity_row *gone = &f->rows[7];
    assert_int_equal(db_open(f->path, DB_READ, &old, &f->err), 0);
    for (int n = 0; n < 2; n++) {
        int rc = n ? db_begin_read(old, &f->err) : identity_begin_read(f->who, old, &f->err);
        assert_int_equal(rc, 0);
        assert_int_equal(name_there(f, old, 3 + n), 1);
        if (n == 0) {
            assert_int_equal(identity_erase(f->db, &gone->lookup, 5, true, &f->err), 0);
            identity_forget_name(f->who, &f->rows[7].cid);
            assert_int_equal(name_there(f, old, 7), 1);
        }
        db_rollback(old);
        assert_int_equal(name_there(f, f->db, 7), 0);
        assert_int_equal(name_there(f, old, 7), 0);
    }
    db_close(old);
}

static void test_a_long_name_is_given_though_not_remembered(void **state)
{
    struct fixture *f = *state;
    static const char text[] = "a-very-long-id-of-a-consumer-that-no-slot-has-any-room-for-at-all";
    struct identity_row row;
    assert_int_equal(identity_add(f->who, f->db, STR(text), 1000, &row, &f->err), 0);
    for (int n = 0; n < 2; n++) {
        _cleanup_buf struct buf id = {0};
        buf_cstr(&id, "before ");
        assert_int_equal(identity_name(f->who, f->db, &row.cid, &id, &f->err), 1);
        assert_true(str_is(buf_view(&id),
                           "before a-very-long-id-of-a-consumer-that-no-slot-has-any-"
                           "room-for-at-all"));
    }
}

/* ---- many names at once ---- */

enum { MANY = 6000 };

struct many {
    struct identity_row rows[MANY];
    uint32_t numbers[MANY];
    struct uid cids[MANY];
    bool gone[MANY];
    struct identity_span ids[IDENTITY_NAMES];
};

static struct many *add_many(struct fixture *f)
{
    struct many *m = calloc(1, sizeof *m);
    assert_int_equal(db_begin(f->db, &f->err), 0);
    for (int i = 0; i < MANY; i++) {
        char text[32];
        assert_int_equal(
            identity_add(f->who, f->db, name_of(1000 + i, text), 1, &m->rows[i], &f->err), 0);
    }
    assert_int_equal(db_commit(f->db, &f->err), 0);
    return m;
}

static void erase_many(struct fixture *f, struct many *m, int every)
{
    assert_int_equal(db_begin(f->db, &f->err), 0);
    for (int i = every / 2; i < MANY; i += every) {
        assert_int_equal(identity_erase(f->db, &m->rows[i].lookup, 1, true, &f->err), 0);
        m->gone[i] = true;
    }
    assert_int_equal(db_commit(f->db, &f->err), 0);
}

/* Asks for each `step`th of those who are listed, in pieces; each has the name it should have. */
static void expect_names(struct fixture *f, struct many *m, int step, size_t piece, bool dense)
{
    struct db_pool *pool = db_pool_new(f->path);
    struct identity_names *names = identity_names_new(f->who, pool);
    int who[MANY], count = 0;
    uint32_t living = 0;
    for (int i = 0; i < MANY; i++) {
        /* Dense: as an index has them that was made after the erasures. */
        uint32_t number = dense ? living : (uint32_t)m->rows[i].number;
        living += !m->gone[i];
        if (i % step || (dense && m->gone[i]))
            continue;
        m->numbers[count] = number;
        m->cids[count] = m->rows[i].cid;
        who[count++] = i;
    }
    for (int i = 0; i < count; i += (int)piece) {
        _cleanup_buf struct buf text = {0};
        size_t n = count - i < (int)piece ? (size_t)(count - i) : piece;
        if (identity_names_read(names, m->numbers + i, m->cids + i, n, &text, m->ids, &f->err))
            fail_msg("%s", f->err.text);
        for (size_t k = 0; k < n; k++) {
            char expected[32];
            int person = who[i + (int)k];
            struct str id = {text.p + m->ids[k].offset, m->ids[k].length};
            struct str wanted = name_of(1000 + person, expected);
            assert_true(str_eq(id, m->gone[person] ? STR("") : wanted));
        }
    }
    identity_names_free(names);
    db_pool_free(pool);
}

static void expect_all_names(struct fixture *f, struct many *m)
{
    static const int steps[] = {1, 2, 3, 11, 13, 50, 700};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        for (int dense = 0; dense < 2; dense++) {
            expect_names(f, m, steps[i], IDENTITY_NAMES, dense);
            expect_names(f, m, steps[i], 37, dense);
        }
}

static void test_many_names_are_those_of_their_consumers(void **state)
{
    struct fixture *f = *state;
    struct many *m = add_many(f);
    expect_all_names(f, m);
    erase_many(f, m, 97);
    expect_all_names(f, m);
    erase_many(f, m, 3);
    expect_all_names(f, m);
    free(m);
}

static void test_names_are_read_while_the_key_changes(void **state)
{
    struct fixture *f = *state;
    struct many *m = add_many(f);
    int64_t last = -1, rows;
    bool environment;
    assert_int_equal(identity_rotate_begin(f->who, f->dir, &f->err), 0);
    expect_names(f, m, 1, 500, false);
    assert_int_equal(identity_rotate_some(f->who, f->db, -1, 900, &last, &rows, &f->err), 0);
    expect_names(f, m, 1, 500, false);
    while (last >= 0)
        assert_int_equal(identity_rotate_some(f->who, f->db, last, 900, &last, &rows, &f->err), 0);
    assert_int_equal(identity_rotate_secrets(f->who, f->db, &f->err), 0);
    assert_int_equal(identity_rotate_end(f->who, f->dir, &environment, &f->err), 0);
    expect_names(f, m, 1, 500, false);
    free(m);
}

static void test_a_name_that_was_exchanged_is_not_given(void **state)
{
    struct fixture *f = *state;
    static const char sql[] =
        "update consumer set sealed_id = (select sealed_id from consumer where number = 4) "
        "where number = 5";
    struct identity_span ids[3];
    _cleanup_buf struct buf text = {0};
    const uint32_t numbers[] = {4, 5, 6};
    const struct uid cids[] = {f->rows[4].cid, f->rows[5].cid, f->rows[6].cid};
    execute(f, sql);
    struct db_pool *pool = db_pool_new(f->path);
    struct identity_names *names = identity_names_new(f->who, pool);
    assert_int_equal(identity_names_read(names, numbers, cids, 3, &text, ids, &f->err),
                     LOV_ECORRUPT);
    assert_int_equal(identity_names_read(names, numbers, cids, 1, &text, ids, &f->err), 0);
    identity_names_free(names);
    db_pool_free(pool);
}

/* ---- an older store ---- */

static void put_row(struct db *db, int number)
{
    static const char sql[] =
        "insert into consumer (lookup, number, shard, cid, sealed_id, data_key, "
        "created_at) values ($1, $2, 0, $3, $4, $4, 7)";
    struct err err;
    char lookup[16] = {(char)(number * 37)}, cid[16] = {(char)(number * 91)}, sealed[] = "sealed";
    struct db_stmt *s = db_use(db, sql);
    db_bind_blob(s, 1, (struct str){lookup, sizeof lookup});
    db_bind_int(s, 2, number);
    db_bind_blob(s, 3, (struct str){cid, sizeof cid});
    db_bind_blob(s, 4, str_of(sealed));
    assert_int_equal(db_run(s, &err), 0);
}

static int count_row(void *ctx, const struct identity_row *r)
{
    int *count = ctx;
    assert_int_equal(r->number, *count);
    assert_int_equal(r->lookup.b[0], (uint8_t)(*count * 37));
    assert_int_equal(r->cid.b[0], (uint8_t)(*count * 91));
    ++*count;
    return 0;
}

static void test_a_store_of_the_first_schema_keeps_everybody(void **state)
{
    (void)state;
    char path[] = "/tmp/lov-identity-old-XXXXXX", command[96];
    struct db_migration first = {.number = 1};
    struct db *db;
    struct err err;
    int count = 0;
    for (size_t i = 0; i < embedded_schema_count; i++)
        if (strcmp(embedded_schema[i].name, "identity_001.sql") == 0)
            first.sql = (struct str){embedded_schema[i].text, embedded_schema[i].size};
    close(mkstemp(path));
    assert_int_equal(db_open(path, DB_WRITE, &db, &err), 0);
    assert_int_equal(db_migrate(db, &first, 1, &err), 0);
    for (int i = 0; i < PEOPLE; i++)
        put_row(db, i);
    assert_int_equal(db_migrate_embedded(db, "identity", &err), 0);
    assert_int_equal(identity_each(db, count_row, &count, &err), 0);
    assert_int_equal(count, PEOPLE);
    struct identity_row row;
    struct hash128 lookup = {{(uint8_t)(5 * 37)}};
    assert_int_equal(identity_find(db, &lookup, &row, &err), 1);
    assert_int_equal(row.number, 5);
    db_close(db);
    snprintf(command, sizeof command, "rm -f %s %s-wal %s-shm", path, path, path);
    assert_int_equal(system(command), 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, begin, end)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_store_of_the_first_schema_keeps_everybody),
        T(test_a_rotation_moves_nobody),
        T(test_a_rotation_that_stopped_anywhere_is_taken_up),
        T(test_who_comes_meanwhile_is_sealed_by_the_new_key),
        T(test_a_bad_next_key_changes_nothing),
        T(test_rows_with_exchanged_parts_are_found),
        T(test_an_erased_consumer_is_found_nowhere),
        T(test_a_name_is_remembered_until_somebody_is_erased),
        T(test_an_older_state_brings_no_erased_name_back),
        T(test_a_long_name_is_given_though_not_remembered),
        T(test_many_names_are_those_of_their_consumers),
        T(test_names_are_read_while_the_key_changes),
        T(test_a_name_that_was_exchanged_is_not_given),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
