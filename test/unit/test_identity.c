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
    assert_int_equal(identity_erase(f->db, &gone->lookup, 5, &f->err), 0);
    assert_int_equal(identity_find(f->db, &gone->lookup, &row, &f->err), 0);
    assert_int_equal(identity_find_cid(f->db, &gone->cid, &row, &f->err), 0);
    assert_int_equal(identity_name(f->who, f->db, &gone->cid, &id, &f->err), 0);
    assert_int_equal(identity_data_key(f->who, f->db, &gone->cid, &key, &f->err), 0);
    assert_int_equal(identity_was_erased(f->db, &gone->lookup, &f->err), 1);
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
