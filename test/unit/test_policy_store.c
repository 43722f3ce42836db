/* test_policy_store.c - applied versions, on a real SQLite file with the shipped schema. */
#include <sqlite3.h>
#include <unistd.h>

#include "base/file.h"
#include "test_policy_fixture.h"

static char folder[] = "/tmp/lov-policy-store-XXXXXX";
static char store[64];
static struct db *db;
static struct err err;

static void open_store(void)
{
    struct buf schema = {0};
    const char *path = getenv("LOV_SCHEMA");
    assert_int_equal(file_read(path ? path : "src/db/schema/lov_001.sql", 1 << 20, &schema, &err),
                     0);
    const struct db_migration migration = {1, buf_view(&schema)};
    assert_int_equal(db_open(store, DB_WRITE, &db, &err), 0);
    assert_int_equal(db_migrate(db, &migration, 1, &err), 0);
    buf_free(&schema);
}

static int set_up(void **state)
{
    (void)state;
    strcpy(folder + sizeof folder - 7, "XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(store, sizeof store, "%s/lov.db", folder);
    open_store();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    db_close(db);
    char command[96];
    static const char *const ends[] = {"", "-wal", "-shm"};
    for (size_t i = 0; i < 3; i++) {
        snprintf(command, sizeof command, "%s%s", store, ends[i]);
        unlink(command);
    }
    rmdir(folder);
    return 0;
}

/* Compiles against the store and saves; the result of whichever step failed. */
static int apply(struct fixture *f)
{
    int rc = policy_store_compile(db, &f->bundle, clock_now(), &f->policy, &f->findings, &f->err);
    if (rc)
        return rc;
    assert_int_equal(db_begin(db, &err), 0);
    rc = policy_store_save(db, &f->bundle, f->policy, STR("staff:anna"), 1234, &f->err);
    if (rc)
        db_rollback(db);
    else
        assert_int_equal(db_commit(db, &err), 0);
    return rc;
}

static void apply_demo(void)
{
    struct fixture f;
    fixture_open(&f);
    assert_int_equal(apply(&f), 0);
    fixture_close(&f);
}

static void edit_offers(struct fixture *f, const char *version, const char *material)
{
    static const char *const files[] = {"notices/personal_offers.en.md",
                                        "notices/personal_offers.sv.md"};
    for (size_t i = 0; i < 2; i++) {
        fixture_edit(f, files[i], "version: 1", version);
        fixture_edit(f, files[i], "material: true", material);
    }
}

static void test_without_a_policy_there_is_none(void **state)
{
    (void)state;
    struct policy *policy = NULL;
    struct buf json = {0};
    assert_int_equal(policy_store_load(db, 0, &policy, &err), LOV_ENOTFOUND);
    assert_null(policy);
    assert_int_equal(policy_store_bundle(db, 0, &json, &err), LOV_ENOTFOUND);
    assert_int_equal(json.n, 0);
}

static void test_what_was_applied_is_loaded_again(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f);
    assert_int_equal(apply(&f), 0);
    assert_int_equal(f.policy->version, 1);
    db_close(db);
    open_store();
    struct policy *loaded = NULL;
    assert_int_equal(policy_store_load(db, 0, &loaded, &err), 0);
    assert_int_equal(loaded->version, 1);
    assert_memory_equal(&loaded->hash, &f.policy->hash, sizeof loaded->hash);
    policy_unref(loaded);
    fixture_close(&f);
}

static void test_each_version_can_be_loaded(void **state)
{
    (void)state;
    apply_demo();
    struct fixture f;
    fixture_open(&f);
    edit_offers(&f, "version: 2", "material: true");
    assert_int_equal(apply(&f), 0);
    assert_int_equal(f.policy->version, 2);
    fixture_close(&f);
    for (int version = 1; version <= 2; version++) {
        struct policy *loaded = NULL;
        assert_int_equal(policy_store_load(db, version, &loaded, &err), 0);
        assert_int_equal(loaded->version, version);
        assert_int_equal(policy_notice(loaded, STR("personal_offers"))->version, version);
        assert_int_equal(policy_notice(loaded, STR("personal_offers"))->sufficient_from, version);
        policy_unref(loaded);
    }
    struct policy *none = NULL;
    assert_int_equal(policy_store_load(db, 3, &none, &err), LOV_ENOTFOUND);
}

static void test_sufficiency_is_remembered_through_versions(void **state)
{
    (void)state;
    static const struct {
        const char *version, *material;
        int from;
    } steps[] = {{"version: 2", "material: true", 2},
                 {"version: 3", "material: false", 2},
                 {"version: 4", "material: false", 2},
                 {"version: 5", "material: true", 5}};
    apply_demo();
    for (size_t i = 0; i < 4; i++) {
        struct fixture f;
        fixture_open(&f);
        edit_offers(&f, steps[i].version, steps[i].material);
        assert_int_equal(apply(&f), 0);
        assert_int_equal(policy_notice(f.policy, STR("personal_offers"))->sufficient_from,
                         steps[i].from);
        fixture_close(&f);
    }
}

static void test_a_published_text_does_not_change(void **state)
{
    (void)state;
    apply_demo();
    struct fixture f;
    fixture_open(&f);
    fixture_edit(&f, "notices/data_sale.en.md", "365", "366");
    assert_int_equal(apply(&f), LOV_EINVAL);
    assert_int_equal(f.findings.count, 1);
    assert_string_equal(f.findings.items[0].rule, "text_changed");
    fixture_close(&f);
}

/* Someone else applies between the check and the writing. */
static void test_a_text_published_meanwhile_is_a_conflict(void **state)
{
    (void)state;
    struct fixture mine, theirs;
    fixture_open(&mine);
    edit_offers(&mine, "version: 2", "material: true");
    assert_int_equal(policy_store_compile(db, &mine.bundle, clock_now(), &mine.policy,
                                          &mine.findings, &mine.err),
                     0);
    fixture_open(&theirs);
    edit_offers(&theirs, "version: 2", "material: false");
    assert_int_equal(apply(&theirs), 0);
    assert_int_equal(db_begin(db, &err), 0);
    assert_int_equal(
        policy_store_save(db, &mine.bundle, mine.policy, STR("staff:bo"), 1, &mine.err),
        LOV_ECONFLICT);
    assert_string_equal(mine.err.reason, "text_changed");
    assert_int_equal(mine.policy->version, 0);
    db_rollback(db);
    fixture_close(&mine);
    fixture_close(&theirs);
}

static void test_an_old_text_is_found_by_its_version(void **state)
{
    (void)state;
    apply_demo();
    struct fixture f;
    fixture_open(&f);
    struct str old = fixture_file(&f, "notices/personal_offers.sv.md")->text;
    edit_offers(&f, "version: 2", "material: true");
    assert_int_equal(apply(&f), 0);
    struct buf text = {0};
    struct sha256 hash, expected = sha256_of(old);
    assert_int_equal(
        policy_store_notice(db, STR("personal_offers"), 1, STR("sv"), &text, &hash, &err), 0);
    assert_true(str_eq(buf_view(&text), old));
    assert_memory_equal(&hash, &expected, sizeof hash);
    assert_int_equal(
        policy_store_notice(db, STR("personal_offers"), 3, STR("sv"), &text, NULL, &err),
        LOV_ENOTFOUND);
    struct arena arena = {0};
    struct policy_published published;
    assert_int_equal(
        policy_store_published(db, STR("personal_offers"), 1, STR("sv"), &arena, &published, &err),
        0);
    assert_true(str_eq(published.markdown, old));
    assert_memory_equal(&published.hash, &expected, sizeof expected);
    assert_true(str_is(published.title, "Erbjudanden som är valda för dig"));
    assert_true(published.material);
    assert_int_equal(
        policy_store_published(db, STR("personal_offers"), 3, STR("sv"), &arena, &published, &err),
        LOV_ENOTFOUND);
    arena_free(&arena);
    buf_free(&text);
    fixture_close(&f);
}

struct seen {
    int versions[8];
    size_t count;
};

static int see(void *ctx, const struct policy_version *v)
{
    struct seen *seen = ctx;
    assert_true(str_is(v->actor, "staff:anna"));
    assert_int_equal(v->applied_at, 1234);
    seen->versions[seen->count++] = v->version;
    return 0;
}

static int stop_at_once(void *ctx, const struct policy_version *v)
{
    (void)v;
    ++*(int *)ctx;
    return 7;
}

static void test_history_is_told_newest_first_and_in_pages(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++)
        apply_demo();
    struct seen seen = {0};
    assert_int_equal(policy_store_history(db, 0, 2, see, &seen, &err), 0);
    assert_int_equal(seen.count, 2);
    assert_int_equal(seen.versions[0], 3);
    assert_int_equal(seen.versions[1], 2);
    seen.count = 0;
    assert_int_equal(policy_store_history(db, 2, 10, see, &seen, &err), 0);
    assert_int_equal(seen.count, 1);
    assert_int_equal(seen.versions[0], 1);
    int calls = 0;
    assert_int_equal(policy_store_history(db, 0, 10, stop_at_once, &calls, &err), 7);
    assert_int_equal(calls, 1);
}

static void test_a_stored_bundle_that_was_tampered_with_is_not_loaded(void **state)
{
    (void)state;
    apply_demo();
    sqlite3 *raw = NULL;
    assert_int_equal(sqlite3_open(store, &raw), SQLITE_OK);
    assert_int_equal(sqlite3_exec(raw,
                                  "update policy set bundle = replace(bundle, 'retention: 90', "
                                  "'retention: 91')",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    sqlite3_close(raw);
    struct policy *policy = NULL;
    assert_int_equal(policy_store_load(db, 0, &policy, &err), LOV_ECORRUPT);
    assert_null(policy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_without_a_policy_there_is_none, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_was_applied_is_loaded_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_each_version_can_be_loaded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_sufficiency_is_remembered_through_versions, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_a_published_text_does_not_change, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_text_published_meanwhile_is_a_conflict, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_an_old_text_is_found_by_its_version, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_history_is_told_newest_first_and_in_pages, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_a_stored_bundle_that_was_tampered_with_is_not_loaded,
                                        set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
