/* test_ledger.c - the Merkle tree against published vectors and a plain recursive one; appending,
 * rolling back, verifying. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "test_ledger_rows.h"
#include "ledger/tree.h"

static struct sha256 from_hex(const char *text)
{
    struct sha256 h;
    assert_true(hex_decode(str_of(text), h.b, sizeof h.b));
    return h;
}

static void test_roots_are_those_of_the_published_vectors(void **state)
{
    (void)state;
    /* The eight leaves and roots of the reference tests of RFC 6962's authors. */
    static const struct str leaves[8] = {
        {"", 0},
        {"\x00", 1},
        {"\x10", 1},
        {"\x20\x21", 2},
        {"\x30\x31", 2},
        {"\x40\x41\x42\x43", 4},
        {"\x50\x51\x52\x53\x54\x55\x56\x57", 8},
        {"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f", 16},
    };
    static const char *const roots[9] = {
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    };
    struct tree t = {0};
    for (size_t i = 0; i <= 8; i++) {
        struct sha256 root = tree_root(&t), expected = from_hex(roots[i]);
        assert_memory_equal(root.b, expected.b, sizeof root.b);
        if (i < 8) {
            struct sha256 leaf = tree_leaf(leaves[i]);
            tree_append(&t, &leaf);
        }
    }
}

/* RFC 6962 §2.1, word for word: split at the largest power of two below n. */
static struct sha256 plain_root(const struct sha256 *leaf, size_t n)
{
    if (n == 1)
        return leaf[0];
    size_t k = 1;
    while (k * 2 < n)
        k *= 2;
    struct sha256 left = plain_root(leaf, k), right = plain_root(leaf + k, n - k);
    return tree_node(&left, &right);
}

static void test_growing_leaf_by_leaf_gives_the_root_of_the_definition(void **state)
{
    (void)state;
    enum { MOST = 600 };
    struct sha256 *leaf = calloc(MOST, sizeof *leaf);
    struct tree t = {0};
    for (size_t n = 1; n <= MOST; n++) {
        leaf[n - 1] = tree_leaf((struct str){(const char *)&n, sizeof n});
        tree_append(&t, &leaf[n - 1]);
        struct sha256 root = tree_root(&t), expected = plain_root(leaf, n);
        assert_memory_equal(root.b, expected.b, sizeof root.b);
    }
    free(leaf);
}

static void test_long_and_short_leaves_hash_the_same_way(void **state)
{
    (void)state;
    char data[2048];
    memset(data, 'x', sizeof data);
    for (size_t n = 1000; n < 1100; n++) {
        struct str parts[2] = {{"\0", 1}, {data, n}};
        struct sha256 expected = sha256_parts(parts, 2), leaf = tree_leaf(parts[1]);
        assert_memory_equal(leaf.b, expected.b, sizeof leaf.b);
    }
}

/* ---- with a database ---- */

struct fixture {
    char dir[64], path[96];
    struct db *db;
    struct ledger *ledger;
    struct write_stores stores;
    struct write_observer observer;
};

static int open_fixture(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct err err = {0};
    snprintf(f->dir, sizeof f->dir, "/tmp/lov-ledger-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->path, sizeof f->path, "%s/lov.db", f->dir);
    assert_int_equal(db_open(f->path, DB_WRITE, &f->db, &err), 0);
    assert_int_equal(db_migrate_embedded(f->db, "lov", &err), 0);
    assert_int_equal(ledger_open(f->db, &f->ledger, &err), 0);
    f->stores.lov = f->db;
    f->observer = ledger_observer(f->ledger);
    *state = f;
    return 0;
}

static int close_fixture(void **state)
{
    struct fixture *f = *state;
    char command[128];
    ledger_close(f->ledger);
    db_close(f->db);
    snprintf(command, sizeof command, "rm -rf %s", f->dir);
    int ignored = system(command);
    (void)ignored;
    free(f);
    return 0;
}

static void append(struct fixture *f, uint32_t shard, const char *body, int64_t at)
{
    struct err err = {0};
    struct ledger_event e = {
        .shard = shard,
        .prev = -1,
        .at = at,
        .kind = STR("test"),
        .actor = STR("a"),
        .activity = STR("marketing/offers"),
        .body = str_of(body),
    };
    assert_int_equal(ledger_append(f->ledger, f->db, &e, &err), 0);
}

static void commit(struct fixture *f)
{
    struct err err = {0};
    assert_int_equal(f->observer.before_store(f->observer.ctx, &f->stores, &err), 0);
    assert_int_equal(db_commit(f->db, &err), 0);
    f->observer.committed(f->observer.ctx);
    f->observer.stored(f->observer.ctx);
}

static void append_many(struct fixture *f, int count)
{
    struct err err = {0};
    assert_int_equal(db_begin(f->db, &err), 0);
    for (int i = 0; i < count; i++)
        append(f, 0, "{}", 1000 + i);
    commit(f);
}

static struct ledger_report verify(struct fixture *f)
{
    struct err err = {0};
    struct ledger_report report;
    assert_int_equal(ledger_verify(f->db, 0, NULL, NULL, &report, &err), 0);
    return report;
}

static void run_sql(struct fixture *f, const char *sql)
{
    struct err err = {0};
    assert_int_equal(db_run(db_use(f->db, sql), &err), 0);
}

static void test_a_ledger_verifies_and_goes_on_after_reopening(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    append_many(f, 100);
    assert_int_equal(verify(f).wrong_seq, -1);
    ledger_close(f->ledger);
    assert_int_equal(ledger_open(f->db, &f->ledger, &err), 0);
    f->observer = ledger_observer(f->ledger);
    append_many(f, 37);
    struct ledger_report report = verify(f);
    assert_int_equal(report.wrong_seq, -1);
    assert_int_equal(report.events, 137);
    int64_t size;
    struct sha256 root;
    assert_int_equal(ledger_head(f->db, 0, &size, &root, &err), 0);
    assert_int_equal(size, 137);
    assert_memory_equal(root.b, report.root.b, sizeof root.b);
}

static void test_what_is_rolled_back_leaves_no_trace(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    append_many(f, 10);
    assert_int_equal(db_begin(f->db, &err), 0);
    append(f, 0, "{}", 5000);
    append(f, 3, "{}", 5000);
    db_rollback(f->db);
    f->observer.rolled_back(f->observer.ctx);
    append_many(f, 5);
    struct ledger_report report = verify(f);
    assert_int_equal(report.wrong_seq, -1);
    assert_int_equal(report.events, 15);
}

static void expect_wrong(struct fixture *f, int64_t seq)
{
    struct ledger_report report = verify(f);
    if (report.wrong_seq != seq)
        fail_msg("named %lld, not %lld: %s", (long long)report.wrong_seq, (long long)seq,
                 report.wrong);
}

static int count_event(void *ctx, const struct ledger_event *event)
{
    (void)event;
    ++*(int *)ctx;
    return 0;
}

/* Events wait in memory for the commit; whoever reads on the writing connection sees them, and
 * undoing a batch takes back what that has written. */
static void test_a_batch_that_was_read_and_undone_leaves_no_trace(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    int seen = 0;
    append_many(f, 40);
    assert_int_equal(db_begin(f->db, &err), 0);
    assert_int_equal(db_savepoint(f->db, &err), 0);
    for (int i = 0; i < 30; i++)
        append(f, 0, "{\"kept\":1}", 5000);
    assert_int_equal(db_release(f->db, &err), 0);
    f->observer.committed(f->observer.ctx); /* in a journal, say */
    for (int round = 0; round < 2; round++) {
        assert_int_equal(db_savepoint(f->db, &err), 0);
        append(f, 0, "{\"undone\":1}", 6000);
        assert_int_equal(ledger_get(f->db, 0, 70, count_event, &seen, &err), 1);
        assert_int_equal(ledger_get(f->db, 0, 71, count_event, &seen, &err), 0);
        assert_int_equal(db_rollback_to(f->db, &err), 0);
        f->observer.rolled_back(f->observer.ctx);
        assert_int_equal(ledger_get(f->db, 0, 70, count_event, &seen, &err), 0);
    }
    assert_int_equal(seen, 2);
    append(f, 0, "{}", 7000);
    commit(f);
    struct ledger_report report = verify(f);
    assert_int_equal(report.wrong_seq, -1);
    assert_int_equal(report.events, 71);
}

static void test_a_cursor_misses_nothing_of_a_ledger_that_grows(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    struct cursor c = cursor_from(f->db, 0, 5, INT64_MAX);
    struct entry e;
    int64_t next = 5;
    int rc = 0;
    for (int round = 0; round < 12; round++) {
        append_many(f, 7 + round * 15);
        while ((rc = cursor_next(&c, &e, &err)) == 1) {
            assert_int_equal(e.seq, next);
            assert_int_equal(event_seq(e.bytes), next++);
        }
        assert_int_equal(rc, 0);
        assert_int_equal(next, ledger_next(f->ledger, 0));
    }
    cursor_close(&c);
    c = cursor_back(f->db, 0, INT64_MAX);
    while ((rc = cursor_next(&c, &e, &err)) == 1)
        assert_int_equal(e.seq, --next);
    assert_int_equal(next, 0);
    cursor_close(&c);
}

static void test_events_of_an_older_store_are_adopted(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    int64_t count;
    append_many(f, 100);
    struct ledger_report before = verify(f);
    EDIT_EVENTS(f->db, "delete from event where seq < 0");
    struct ledger_report after = verify(f);
    assert_int_equal(after.wrong_seq, -1);
    assert_memory_equal(after.root.b, before.root.b, sizeof after.root.b);
    assert_int_equal(ledger_adopt(f->db, &count, &err), 0);
    assert_int_equal(count, 0);
    append_many(f, 10);
    assert_int_equal(verify(f).wrong_seq, -1);
}

/* A chain is followed by what its events say, and somebody may have made them say anything. */
static void test_a_chain_that_runs_in_a_circle_is_refused(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    int seen = 0;
    append_many(f, 10);
    EDIT_EVENTS(f->db, "update event set prev = 7 where seq = 5",
                "update event set prev = 5 where seq = 7");
    assert_int_equal(ledger_history(f->db, 0, 7, -1, 100, count_event, &seen, &err), LOV_ECORRUPT);
    assert_int_equal(ledger_back(f->db, 0, 7, 100, count_event, &seen, &err), LOV_ECORRUPT);
    assert_int_equal(seen, 0);
}

static void test_what_is_no_event_is_named(void **state)
{
    static const char *const changes[] = {
        "update bundle set entries = substr(entries, 1, length(entries) - 1) where first > 0",
        "update bundle set leaves = substr(leaves, 1, length(leaves) - 1) where first > 0",
        "update bundle set leaves = leaves || zeroblob(32) where first > 0",
        "update bundle set entries = entries || zeroblob(1) where first > 0",
        "update bundle set entries = entries || zeroblob(3) where first > 0",
        "update bundle set entries = zeroblob(0), leaves = zeroblob(0) where first > 0",
        "update bundle set first = first + 7 where first > 0",
    };
    static const char undo[] = "insert or replace into bundle select * from kept";
    struct fixture *f = *state;
    struct err err = {0};
    int64_t first;
    append_many(f, 150);
    assert_int_equal(bundle_last(f->db, 0, &first, &err), 0);
    assert_in_range(first, 1, 148);
    const int64_t named[] = {149, 149, 149, 150, 150, first, first};
    run_sql(f, "create table kept as select * from bundle");
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        run_sql(f, changes[i]);
        expect_wrong(f, named[i]);
        run_sql(f, "delete from bundle");
        run_sql(f, undo);
    }
    assert_int_equal(verify(f).wrong_seq, -1);
}

/* Appends events from seq `from` on in a transaction that is undone, and leaves them in the
 * journal. */
static void leave_in_journal(struct fixture *f, const char *path, int64_t from, int count)
{
    struct err err = {0};
    struct journal *j;
    _cleanup_buf struct buf payload = {0};
    assert_int_equal(db_begin(f->db, &err), 0);
    for (int64_t n = ledger_next(f->ledger, 0); n < from + count; n++)
        append(f, 0, "{}", 9000 + n);
    int64_t all = f->observer.kept(f->observer.ctx);
    assert_true(all >= count);
    assert_int_equal(f->observer.journal(f->observer.ctx, &payload), 0);
    /* Entries have all the same size. */
    size_t bytes = payload.n / (size_t)all * (size_t)count;
    struct str last = {payload.p + payload.n - bytes, bytes};
    assert_int_equal(journal_open(path, &j, &err), 0);
    assert_int_equal(journal_append(j, last, &err), 0);
    journal_close(j);
    db_rollback(f->db);
    f->observer.rolled_back(f->observer.ctx);
}

static void test_what_the_journal_has_more_is_recovered(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    char path[128];
    int64_t count;
    snprintf(path, sizeof path, "%s/journal", f->dir);
    append_many(f, 10);
    assert_int_equal(ledger_is_behind(f->db, path, &err), 0);
    assert_int_equal(ledger_recover(f->db, path, NULL, &count, &err), 0);
    assert_int_equal(count, 0);
    leave_in_journal(f, path, 10, 5);
    assert_int_equal(ledger_is_behind(f->db, path, &err), 1);
    assert_int_equal(ledger_recover(f->db, path, NULL, &count, &err), 0);
    assert_int_equal(count, 5);
    assert_int_equal(ledger_is_behind(f->db, path, &err), 0);
    assert_int_equal(ledger_recover(f->db, path, NULL, &count, &err), 0);
    assert_int_equal(count, 0);
    struct ledger_report report = verify(f);
    assert_int_equal(report.wrong_seq, -1);
    assert_int_equal(report.events, 15);
}

static void test_a_journal_of_another_ledger_is_refused(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    char path[128];
    int64_t count;
    snprintf(path, sizeof path, "%s/journal", f->dir);
    append_many(f, 10);
    leave_in_journal(f, path, 12, 3);
    assert_int_equal(ledger_recover(f->db, path, NULL, &count, &err), LOV_ECORRUPT);
    assert_int_equal(verify(f).events, 10);
    struct journal *j;
    _cleanup_buf struct buf payload = {0};
    journal_entry_add(&payload, STR("no event"));
    assert_int_equal(journal_open(path, &j, &err), 0);
    assert_int_equal(journal_append(j, buf_view(&payload), &err), 0);
    journal_close(j);
    assert_int_equal(ledger_recover(f->db, path, NULL, &count, &err), LOV_ECORRUPT);
    assert_int_equal(verify(f).events, 10);
}

static void test_time_in_the_ledger_never_runs_backwards(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    int64_t last = 0;
    assert_int_equal(db_begin(f->db, &err), 0);
    append(f, 0, "{}", 9000);
    append(f, 0, "{}", 100);
    commit(f);
    assert_int_equal(ledger_last_at(f->db, &last, &err), 0);
    assert_int_equal(last, 9000);
}

static void test_a_changed_column_is_named(void **state)
{
    struct fixture *f = *state;
    append_many(f, 50);
    EDIT_EVENTS(f->db, "update event set body = '{ }' where seq = 17");
    EDIT_EVENTS(f->db, "update event set at = at + 1 where seq = 30");
    expect_wrong(f, 17);
    EDIT_EVENTS(f->db, "update event set body = '{}' where seq = 17");
    expect_wrong(f, 30);
    EDIT_EVENTS(f->db, "update event set at = at - 1 where seq = 30");
    EDIT_EVENTS(f->db, "update event set actor = 'b' where seq = 49");
    expect_wrong(f, 49);
}

static void test_a_missing_event_is_named(void **state)
{
    struct fixture *f = *state;
    append_many(f, 20);
    EDIT_EVENTS(f->db, "delete from event where seq = 7");
    expect_wrong(f, 7);
}

static void test_a_cut_off_end_is_named(void **state)
{
    struct fixture *f = *state;
    append_many(f, 20);
    EDIT_EVENTS(f->db, "delete from event where seq >= 18");
    expect_wrong(f, 18);
}

static void test_an_event_slipped_in_at_the_end_is_named(void **state)
{
    struct fixture *f = *state;
    append_many(f, 20);
    EDIT_EVENTS(f->db,
                "insert into event select shard, 20, prev, at, kind, cid, actor, activity, body, "
                "leaf from event where seq = 19");
    expect_wrong(f, 20);
}

static void test_a_changed_head_is_told(void **state)
{
    struct fixture *f = *state;
    append_many(f, 20);
    run_sql(f, "update shard set frontier = zeroblob(length(frontier))");
    expect_wrong(f, 19);
}

static int count_row(void *ctx, const struct ledger_event *event)
{
    (void)event;
    ++*(int *)ctx;
    return 0;
}

static void test_reading_filters_by_recipient_and_tells_how_far_it_looked(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    int rows = 0;
    int64_t to = -1;
    append_many(f, 30);
    struct ledger_filter filter = {.after = 9, .limit = 5, .recipient = STR("marketing")};
    assert_int_equal(ledger_read(f->db, &filter, count_row, &rows, &to, &err), 0);
    assert_int_equal(rows, 5);
    assert_int_equal(to, 14);
    filter.recipient = STR("market");
    rows = 0;
    assert_int_equal(ledger_read(f->db, &filter, count_row, &rows, &to, &err), 0);
    assert_int_equal(rows, 0);
    assert_int_equal(to, 29);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_roots_are_those_of_the_published_vectors),
        cmocka_unit_test(test_growing_leaf_by_leaf_gives_the_root_of_the_definition),
        cmocka_unit_test(test_long_and_short_leaves_hash_the_same_way),
        cmocka_unit_test_setup_teardown(test_a_ledger_verifies_and_goes_on_after_reopening,
                                        open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(test_what_is_rolled_back_leaves_no_trace, open_fixture,
                                        close_fixture),
        cmocka_unit_test_setup_teardown(test_time_in_the_ledger_never_runs_backwards, open_fixture,
                                        close_fixture),
        cmocka_unit_test_setup_teardown(test_a_changed_column_is_named, open_fixture,
                                        close_fixture),
        cmocka_unit_test_setup_teardown(test_a_missing_event_is_named, open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(test_what_the_journal_has_more_is_recovered, open_fixture,
                                        close_fixture),
        cmocka_unit_test_setup_teardown(test_a_journal_of_another_ledger_is_refused, open_fixture,
                                        close_fixture),
        cmocka_unit_test_setup_teardown(test_a_cut_off_end_is_named, open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(test_an_event_slipped_in_at_the_end_is_named, open_fixture,
                                        close_fixture),
        cmocka_unit_test_setup_teardown(test_a_changed_head_is_told, open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(test_a_batch_that_was_read_and_undone_leaves_no_trace,
                                        open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(test_a_cursor_misses_nothing_of_a_ledger_that_grows,
                                        open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(test_events_of_an_older_store_are_adopted, open_fixture,
                                        close_fixture),
        cmocka_unit_test_setup_teardown(test_a_chain_that_runs_in_a_circle_is_refused, open_fixture,
                                        close_fixture),
        cmocka_unit_test_setup_teardown(test_what_is_no_event_is_named, open_fixture,
                                        close_fixture),
        cmocka_unit_test_setup_teardown(
            test_reading_filters_by_recipient_and_tells_how_far_it_looked, open_fixture,
            close_fixture),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
