/* test_ledger_publish.c - tiles, checkpoints and the audit: what is published is right at every
 * size, and each way to change the past is found and named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "test_ledger_rows.h"
#include "ledger/audit.h"
#include "ledger/publish.h"
#include "ledger/tiles.h"
#include "test_seed.h"

struct fixture {
    char dir[64], path[96];
    struct db *db;
    struct ledger *ledger;
    struct write_stores stores;
    struct log_signer signer;
    int64_t count;
};

static uint64_t seed;

static struct log_signer signer_of(struct str name, enum note_kind kind)
{
    struct log_signer s;
    struct err err;
    random_bytes(s.seed.b, sizeof s.seed.b);
    struct ed25519_key key = ed25519_public(&s.seed);
    assert_int_equal(note_key_make(name, kind, &key, &s.key, &err), 0);
    return s;
}

static int open_fixture(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct err err = {0};
    snprintf(f->dir, sizeof f->dir, "/tmp/lov-publish-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->path, sizeof f->path, "%s/lov.db", f->dir);
    assert_int_equal(db_open(f->path, DB_WRITE, &f->db, &err), 0);
    assert_int_equal(db_migrate_embedded(f->db, "lov", &err), 0);
    assert_int_equal(ledger_open(f->db, &f->ledger, &err), 0);
    f->stores.lov = f->db;
    f->signer = signer_of(STR("example.com/lov/0"), NOTE_ED25519);
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

static void run_sql(struct fixture *f, const char *sql)
{
    struct err err = {0};
    /* Statements are known by address: each of these runs once. */
    if (db_run(db_use(f->db, sql), &err))
        fail_msg("%s: %s", sql, err.text);
}

static void append_many(struct fixture *f, int count)
{
    struct err err = {0};
    struct write_observer o = ledger_observer(f->ledger);
    assert_int_equal(db_begin(f->db, &err), 0);
    for (int i = 0; i < count; i++) {
        char body[64];
        int n = snprintf(body, sizeof body, "{\"n\":%lld}", (long long)f->count++);
        struct ledger_event e = {
            .prev = -1,
            .at = 1000 + f->count,
            .kind = STR("test"),
            .actor = STR("a"),
            .activity = STR("marketing/offers"),
            .body = {body, (size_t)n},
        };
        assert_int_equal(ledger_append(f->ledger, f->db, &e, &err), 0);
    }
    assert_int_equal(o.before_store(o.ctx, &f->stores, &err), 0);
    assert_int_equal(db_commit(f->db, &err), 0);
    o.committed(o.ctx);
    o.stored(o.ctx);
}

static int publish(struct fixture *f, struct err *err)
{
    bool more = true;
    int rc = 0, steps = 0;
    while (rc == 0 && more) {
        assert_int_equal(db_begin(f->db, err), 0);
        rc = publish_step(f->db, 0, &f->signer, 5000, &more, err);
        if (rc)
            db_rollback(f->db);
        else
            assert_int_equal(db_commit(f->db, err), 0);
        assert_true(++steps < 100);
    }
    return rc;
}

static void grow(struct fixture *f, int count)
{
    struct err err = {0};
    append_many(f, count);
    if (publish(f, &err))
        fail_msg("%s", err.text);
}

/* ---- tiles ---- */

static struct sha256 *all_leaves(struct fixture *f)
{
    struct sha256 *leaves = calloc((size_t)f->count, sizeof *leaves);
    struct err err;
    _cleanup_buf struct buf stored = {0};
    assert_int_equal(bundle_leaves(f->db, 0, 0, (unsigned)f->count, &stored, &err), 0);
    assert_int_equal(stored.n, (size_t)f->count * 32);
    memcpy(leaves, stored.p, stored.n);
    return leaves;
}

static struct sha256 plain_root(const struct sha256 *leaf, int64_t n)
{
    struct tree t = {0};
    for (int64_t i = 0; i < n; i++)
        tree_append(&t, &leaf[i]);
    return tree_root(&t);
}

/* The formula of tlog-tiles, for each tile and width that there is. */
static void check_all_tiles(struct fixture *f)
{
    struct sha256 *leaves = all_leaves(f), hash[TILE_WIDTH];
    struct tiles t;
    struct err err;
    tiles_init(&t, f->db, 0);
    int64_t span = 1;
    for (unsigned level = 0; level < 3; level++, span *= TILE_WIDTH) {
        int64_t total = f->count / span;
        for (int64_t n = 0; n * TILE_WIDTH < total; n++) {
            int64_t left = total - n * TILE_WIDTH;
            unsigned width = left < TILE_WIDTH ? (unsigned)left : TILE_WIDTH;
            assert_int_equal(tiles_read(&t, level, n, width, hash, &err), 0);
            for (unsigned i = 0; i < width; i++) {
                struct sha256 expected = plain_root(leaves + (n * TILE_WIDTH + i) * span, span);
                assert_memory_equal(hash[i].b, expected.b, 32);
            }
            if (width < TILE_WIDTH)
                assert_int_equal(tiles_read(&t, level, n, width + 1, hash, &err), LOV_ENOTFOUND);
        }
    }
    static const unsigned levels[] = {3, 6, 7, 8, 63, UINT32_MAX};
    for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++)
        assert_int_equal(tiles_read(&t, levels[i], 0, 1, hash, &err), LOV_ENOTFOUND);
    assert_int_equal(tiles_read(&t, 0, INT64_MAX, 1, hash, &err), LOV_ENOTFOUND);
    assert_int_equal(tiles_read(&t, 0, INT64_MAX / 256, 256, hash, &err), LOV_ENOTFOUND);
    assert_int_equal(tiles_read(&t, 0, -1, 1, hash, &err), LOV_ENOTFOUND);
    free(leaves);
}

static void test_tiles_are_right_before_and_after_they_are_written(void **state)
{
    struct fixture *f = *state;
    static const int steps[] = {1, 254, 1, 1, 255, 300, 64000, 700};
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        append_many(f, steps[i]);
        if (i != 6)
            check_all_tiles(f);
        grow(f, 0);
        check_all_tiles(f);
    }
    assert_true(f->count > 65536 - 100);
}

static void test_proofs_verify_at_every_size_over_tiles(void **state)
{
    struct fixture *f = *state;
    struct tiles t;
    struct err err;
    tiles_init(&t, f->db, 0);
    grow(f, 70000);
    append_many(f, 333);
    struct sha256 *leaves = all_leaves(f);
    for (int round = 0; round < 60; round++) {
        int64_t size = 1 + (int64_t)seed_below(&seed, (uint64_t)f->count);
        int64_t seq = (int64_t)seed_below(&seed, (uint64_t)size);
        struct sha256 root = plain_root(leaves, size), old = plain_root(leaves, seq), made;
        struct proof proof;
        assert_int_equal(proof_make_root(&t.source, size, &made, &err), 0);
        assert_memory_equal(made.b, root.b, 32);
        assert_int_equal(proof_make_inclusion(&t.source, seq, size, &proof, &err), 0);
        assert_true(proof_includes(&proof, seq, size, &leaves[seq], &root));
        assert_int_equal(proof_make_consistency(&t.source, seq, size, &proof, &err), 0);
        assert_true(proof_consistent(&proof, seq, &old, size, &root));
    }
    free(leaves);
}

static void test_entries_hash_to_their_leaves(void **state)
{
    struct fixture *f = *state;
    struct err err;
    _cleanup_buf struct buf out = {0};
    grow(f, 300);
    struct sha256 *leaves = all_leaves(f);
    assert_int_equal(tiles_entries(f->db, 0, 1, 44, &out, &err), 0);
    size_t at = 0;
    for (int i = 0; i < 44; i++) {
        size_t n = (size_t)(uint8_t)out.p[at] << 8 | (uint8_t)out.p[at + 1];
        struct sha256 leaf = tree_leaf((struct str){out.p + at + 2, n});
        assert_memory_equal(leaf.b, leaves[256 + i].b, 32);
        at += 2 + n;
    }
    assert_int_equal(at, out.n);
    assert_int_equal(tiles_entries(f->db, 0, 1, 45, &out, &err), LOV_ENOTFOUND);
    assert_int_equal(tiles_entries(f->db, 0, 2, 1, &out, &err), LOV_ENOTFOUND);
    assert_int_equal(tiles_entries(f->db, 1, 0, 1, &out, &err), LOV_ENOTFOUND);
    free(leaves);
}

static void test_paths_of_tiles_are_read_exactly(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        int level;
        int64_t index;
        unsigned width;
    } good[] = {
        {"0/000", 0, 0, 256},
        {"0/x001/x234/067", 0, 1234067, 256},
        {"1/x001/000.p/1", 1, 1000, 1},
        {"63/999.p/255", 63, 999, 255},
        {"entries/x999/999.p/17", -1, 999999, 17},
        {"0/x001/x000/x000/x000/x000/000", 0, 1000000000000000, 256},
    };
    static const char *const bad[] = {
        "",
        "0",
        "0/",
        "0/0",
        "0/00",
        "0/0000",
        "00/000",
        "64/000",
        "-1/000",
        "x/000",
        "0/x000/000",
        "0/001/000",
        "0/x001",
        "0/x01/000",
        "0/000/",
        "0/000.p",
        "0/000.p/",
        "0/000.p/0",
        "0/000.p/01",
        "0/000.p/256",
        "0/000.p/1/1",
        "0/000.p/1x",
        "entries/-01",
        "Entries/000",
        "0/x001/x000/x000/x000/x000/x000/000",
        "0/000 ",
        "0//000",
        "+1/000",
        "0/000.p/+1",
    };
    int level;
    int64_t index;
    unsigned width;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_true(tiles_parse_path(str_of(good[i].path), &level, &index, &width));
        assert_int_equal(level, good[i].level);
        assert_int_equal(index, good[i].index);
        assert_int_equal(width, good[i].width);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (tiles_parse_path(str_of(bad[i]), &level, &index, &width))
            fail_msg("taken: %s", bad[i]);
}

static void test_an_event_that_no_bundle_can_hold_is_refused(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    struct ledger_event e = {.prev = -1, .kind = STR("test"), .actor = STR("a")};
    static char body[LEDGER_EVENT_MAX + 1];
    memset(body, 'x', sizeof body);
    _cleanup_buf struct buf empty = {0};
    event_encode(&e, &empty);
    assert_int_equal(db_begin(f->db, &err), 0);
    e.body = (struct str){body, LEDGER_EVENT_MAX - empty.n + 1};
    assert_int_equal(ledger_append(f->ledger, f->db, &e, &err), LOV_ELIMIT);
    assert_string_equal(err.reason, "event_too_long");
    e.body.n--;
    assert_int_equal(ledger_append(f->ledger, f->db, &e, &err), 0);
    assert_int_equal(e.seq, 0);
    struct write_observer o = ledger_observer(f->ledger);
    assert_int_equal(o.before_store(o.ctx, &f->stores, &err), 0);
    assert_int_equal(db_commit(f->db, &err), 0);
    o.committed(o.ctx);
    o.stored(o.ctx);
    _cleanup_buf struct buf out = {0};
    assert_int_equal(tiles_entries(f->db, 0, 0, 1, &out, &err), 0);
    assert_int_equal(out.n, LEDGER_EVENT_MAX + 2);
}

/* ---- checkpoints ---- */

static struct checkpoint open_last(struct fixture *f, struct buf *note)
{
    struct checkpoint c;
    struct err err = {0};
    assert_int_equal(publish_note(f->db, 0, -1, note, &err), 0);
    assert_int_equal(checkpoint_open(buf_view(note), &f->signer.key, &c, &err), 0);
    return c;
}

static void test_checkpoints_follow_each_other(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    _cleanup_buf struct buf first = {0}, second = {0}, same = {0}, old = {0};
    grow(f, 0);
    assert_int_equal(open_last(f, &first).size, 0);
    grow(f, 700);
    struct checkpoint c = open_last(f, &second);
    assert_int_equal(c.size, 700);
    struct sha256 *leaves = all_leaves(f), root = plain_root(leaves, 700);
    assert_memory_equal(c.root.b, root.b, 32);
    free(leaves);
    grow(f, 0);
    open_last(f, &same);
    assert_true(str_eq(buf_view(&second), buf_view(&same)));
    assert_int_equal(publish_note(f->db, 0, 0, &old, &err), 0);
    assert_true(str_eq(buf_view(&first), buf_view(&old)));
    assert_int_equal(publish_note(f->db, 0, 5, &old, &err), LOV_ENOTFOUND);
    assert_int_equal(publish_note(f->db, 1, -1, &old, &err), LOV_ENOTFOUND);
}

static void expect_no_checkpoint(struct fixture *f, const char *reason)
{
    struct err err = {0};
    assert_int_equal(publish(f, &err), LOV_ECORRUPT);
    assert_string_equal(err.reason, reason);
}

static void test_nothing_is_signed_over_a_changed_history(void **state)
{
    struct fixture *f = *state;
    grow(f, 600);
    append_many(f, 10);
    /* A leaf that no tile holds yet, but a checkpoint signed. */
    EDIT_EVENTS(f->db, "update event set leaf = zeroblob(32) where seq = 550");
    expect_no_checkpoint(f, "history_changed");
}

static void test_nothing_is_signed_over_a_dropped_event(void **state)
{
    struct fixture *f = *state;
    grow(f, 600);
    append_many(f, 10);
    EDIT_EVENTS(f->db, "delete from event where seq = 599");
    expect_no_checkpoint(f, "history_dropped");
}

static void test_nothing_is_signed_over_another_history(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    grow(f, 600);
    run_sql(f, "delete from bundle");
    run_sql(f, "delete from tile");
    run_sql(f, "delete from shard");
    ledger_close(f->ledger);
    assert_int_equal(ledger_open(f->db, &f->ledger, &err), 0);
    f->count = 1;
    append_many(f, 700);
    expect_no_checkpoint(f, "history_changed");
}

static void test_nothing_is_signed_over_an_older_copy(void **state)
{
    struct fixture *f = *state;
    append_many(f, 590);
    run_sql(f, "create table copy as select * from shard");
    grow(f, 10);
    run_sql(f, "delete from shard");
    run_sql(f, "insert into shard select * from copy");
    expect_no_checkpoint(f, "history_dropped");
}

static void test_cosignatures_of_witnesses_are_kept_and_served(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    struct log_signer one = signer_of(STR("w.example/1"), NOTE_COSIGNATURE);
    struct log_signer two = signer_of(STR("w.example/2"), NOTE_COSIGNATURE);
    _cleanup_buf struct buf file = {0}, memory = {0}, lines = {0}, note = {0};
    static struct witnesses by;
    struct published p;
    int kept;
    buf_cstr(&file, "# who watches\n\n");
    note_key_format(&one.key, &file);
    buf_char(&file, '\n');
    assert_int_equal(publish_witnesses(buf_view(&file), &by, &err), 0);
    assert_int_equal(by.count, 1);
    grow(f, 300);
    assert_int_equal(publish_get(f->db, 0, -1, &memory, &p, &err), 1);
    note_sign(p.text, &one.key, &one.seed, 1700000000000, &lines);
    assert_int_equal(publish_verify(f->db, 0, -1, buf_view(&lines), &by, &err), 0);
    assert_int_equal(publish_cosign(f->db, 0, 300, buf_view(&lines), &by, &kept, &err), 0);
    assert_int_equal(kept, 1);
    assert_int_equal(publish_cosign(f->db, 0, -1, buf_view(&lines), &by, &kept, &err), 0);
    assert_int_equal(kept, 0);
    open_last(f, &note);
    static struct note parsed;
    int64_t at = 0;
    assert_int_equal(note_parse(buf_view(&note), &parsed, &err), 0);
    assert_int_equal(parsed.count, 2);
    assert_int_equal(note_verify(&parsed, &one.key, &at, &err), 0);
    assert_int_equal(at, 1700000000000);
    /* One wrong line, and none is kept. */
    note_sign(p.text, &two.key, &two.seed, 1700000000000, &lines);
    assert_int_equal(publish_cosign(f->db, 0, -1, buf_view(&lines), &by, &kept, &err), LOV_EINVAL);
    assert_string_equal(err.reason, "unknown_witness");
    buf_clear(&lines);
    note_sign(STR("other\n"), &one.key, &one.seed, 1700000000000, &lines);
    assert_int_equal(publish_verify(f->db, 0, -1, buf_view(&lines), &by, &err), LOV_EINVAL);
    assert_string_equal(err.reason, "invalid_cosignature");
    assert_int_equal(publish_verify(f->db, 0, -1, STR(""), &by, &err), LOV_EINVAL);
    assert_int_equal(publish_verify(f->db, 0, 7, buf_view(&lines), &by, &err), LOV_ENOTFOUND);
    assert_int_equal(publish_witnesses(STR("nonsense\n"), &by, &err), LOV_EINVAL);
}

static void test_the_origin_is_set_once(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    _cleanup_buf struct buf origin = {0};
    static const char *const bad[] = {"", "a b", "a+b", "a/", "a\n"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(publish_set_origin(f->db, str_of(bad[i]), &err), LOV_EINVAL);
    assert_int_equal(publish_origin(f->db, &origin, &err), 0);
    assert_int_equal(publish_set_origin(f->db, STR("a.example/lov"), &err), 0);
    assert_int_equal(publish_set_origin(f->db, STR("b.example/lov"), &err), 0);
    assert_int_equal(publish_origin(f->db, &origin, &err), 1);
    assert_true(str_is(buf_view(&origin), "a.example/lov"));
}

/* ---- the audit ---- */

static struct audit_report audit(struct fixture *f, const struct checkpoint *old)
{
    struct audit_report r;
    struct err err = {0};
    if (audit_against(f->db, 0, old, NULL, NULL, &r, &err))
        fail_msg("%s", err.text);
    return r;
}

static void expect(struct fixture *f, const struct checkpoint *old, enum audit_finding finding,
                   int64_t seq)
{
    struct audit_report r = audit(f, old);
    if (r.finding != finding || r.seq != seq)
        fail_msg("%s at %lld, not %s at %lld: %s", audit_finding_name(r.finding), (long long)r.seq,
                 audit_finding_name(finding), (long long)seq, r.what);
}

/* A ledger of 700 whose checkpoint of 600 somebody kept. */
static struct checkpoint kept_checkpoint(struct fixture *f, struct buf *note)
{
    grow(f, 600);
    struct checkpoint c = open_last(f, note);
    grow(f, 100);
    expect(f, &c, AUDIT_GOOD, -1);
    return c;
}

static void test_a_rewritten_event_is_named(void **state)
{
    struct fixture *f = *state;
    _cleanup_buf struct buf note = {0};
    struct checkpoint c = kept_checkpoint(f, &note);
    EDIT_EVENTS(f->db, "update event set actor = 'mallory' where seq = 590");
    expect(f, &c, AUDIT_REWRITTEN, 590);
    EDIT_EVENTS(f->db, "update event set body = '{}' where seq = 17");
    expect(f, &c, AUDIT_REWRITTEN, 17);
}

static void test_dropped_events_are_named(void **state)
{
    struct fixture *f = *state;
    _cleanup_buf struct buf note = {0};
    struct checkpoint c = kept_checkpoint(f, &note);
    EDIT_EVENTS(f->db, "delete from event where seq = 699");
    expect(f, &c, AUDIT_DROPPED, 699);
    EDIT_EVENTS(f->db, "delete from event where seq = 300");
    expect(f, &c, AUDIT_DROPPED, 300);
    EDIT_EVENTS(f->db, "update event set seq = -seq where seq > 300",
                "update event set seq = -seq - 1 where seq < 0");
    expect(f, &c, AUDIT_DROPPED, 300);
}

static void test_reordered_events_are_named(void **state)
{
    struct fixture *f = *state;
    _cleanup_buf struct buf note = {0};
    struct checkpoint c = kept_checkpoint(f, &note);
    EDIT_EVENTS(f->db, "update event set seq = -1 where seq = 40",
                "update event set seq = 40 where seq = 555",
                "update event set seq = 555 where seq = -1");
    expect(f, &c, AUDIT_REORDERED, 40);
    EDIT_EVENTS(f->db, "update event set seq = -1 where seq = 20",
                "update event set seq = 20 where seq = 21",
                "update event set seq = 21 where seq = -1");
    expect(f, &c, AUDIT_REORDERED, 20);
}

/* Another history that is whole in itself, tiles and head and checkpoints and all. */
static void test_a_forked_history_is_named(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    _cleanup_buf struct buf note = {0};
    struct checkpoint c = kept_checkpoint(f, &note);
    run_sql(f, "delete from bundle");
    run_sql(f, "delete from tile");
    run_sql(f, "delete from checkpoint");
    run_sql(f, "delete from shard");
    ledger_close(f->ledger);
    assert_int_equal(ledger_open(f->db, &f->ledger, &err), 0);
    f->count = 1;
    grow(f, 700);
    expect(f, &c, AUDIT_FORKED, -1);
}

static void test_a_shorter_ledger_is_dropped_history(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    _cleanup_buf struct buf note = {0};
    struct checkpoint c = kept_checkpoint(f, &note);
    run_sql(f, "delete from bundle");
    run_sql(f, "delete from tile");
    run_sql(f, "delete from shard");
    ledger_close(f->ledger);
    assert_int_equal(ledger_open(f->db, &f->ledger, &err), 0);
    f->count = 0;
    append_many(f, 599);
    expect(f, &c, AUDIT_DROPPED, 599);
}

static void test_a_damaged_head_or_hash_is_named(void **state)
{
    struct fixture *f = *state;
    _cleanup_buf struct buf note = {0};
    struct checkpoint c = kept_checkpoint(f, &note);
    EDIT_EVENTS(f->db, "update event set leaf = zeroblob(32) where seq = 100");
    expect(f, &c, AUDIT_DAMAGED, 100);
}

static void test_any_changed_byte_of_a_tile_is_found(void **state)
{
    static const char set[] = "update tile set hashes = $1 where level = 0 and idx = 1";
    static const char get[] = "select hashes from tile where level = 0 and idx = 1";
    struct fixture *f = *state;
    struct err err = {0};
    struct audit_report r;
    struct sha256 hash[TILE_WIDTH];
    grow(f, 600);
    struct db_stmt *s = db_use(f->db, get);
    assert_int_equal(db_step(s, &err), 1);
    memcpy(hash, db_blob(s, 0).p, sizeof hash);
    db_done(s);
    assert_int_equal(db_begin(f->db, &err), 0);
    for (size_t i = 0; i <= sizeof hash; i++) {
        if (i < sizeof hash)
            ((uint8_t *)hash)[i] ^= (uint8_t)(1U << seed_below(&seed, 8));
        uint8_t changed = i < sizeof hash ? ((uint8_t *)hash)[i] : 0;
        s = db_use(f->db, set);
        db_bind_blob(s, 1, (struct str){(char *)hash, sizeof hash});
        assert_int_equal(db_run(s, &err), 0);
        int64_t seq = 256 + (int64_t)(i / 32);
        if (i == sizeof hash)
            break;
        assert_int_equal(audit_events(f->db, 0, seq, seq + 1, &r, &err), 0);
        assert_int_equal(r.finding, AUDIT_DAMAGED);
        _cleanup_buf struct buf leaf = {0};
        assert_int_equal(bundle_leaves(f->db, 0, seq, 1, &leaf, &err), 0);
        ((uint8_t *)hash)[i] = (uint8_t)leaf.p[i % 32];
        assert_true(changed != ((uint8_t *)hash)[i]);
    }
    assert_int_equal(db_commit(f->db, &err), 0);
    assert_int_equal(audit_events(f->db, 0, 0, 600, &r, &err), 0);
    assert_int_equal(r.finding, AUDIT_GOOD);
    assert_int_equal(r.events, 600);
}

static void test_a_tile_of_a_higher_level_is_audited(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    struct audit_report r;
    grow(f, 65536);
    assert_int_equal(audit_events(f->db, 0, 65000, 65536, &r, &err), 0);
    assert_int_equal(r.finding, AUDIT_GOOD);
    run_sql(f, "update tile set hashes = zeroblob(8192) where level = 1");
    assert_int_equal(audit_events(f->db, 0, 65000, 65536, &r, &err), 0);
    assert_int_equal(r.finding, AUDIT_DAMAGED);
}

static enum audit_finding published(struct fixture *f)
{
    struct audit_report r;
    struct err err = {0};
    int64_t older = INT64_MAX;
    enum audit_finding finding = AUDIT_GOOD;
    do {
        assert_int_equal(audit_published(f->db, 0, &f->signer.key, &older, &r, &err), 0);
        if (r.finding != AUDIT_GOOD)
            finding = r.finding;
    } while (older != INT64_MAX && r.finding == AUDIT_GOOD);
    return finding;
}

static void test_stored_checkpoints_are_audited(void **state)
{
    struct fixture *f = *state;
    grow(f, 100);
    grow(f, 500);
    grow(f, 7);
    assert_int_equal(published(f), AUDIT_GOOD);
    run_sql(f, "update checkpoint set text = replace(text, '100', '101') where size = 100");
    assert_int_equal(published(f), AUDIT_DAMAGED);
    run_sql(f, "update checkpoint set text = replace(text, '101', '100') where size = 100");
    assert_int_equal(published(f), AUDIT_GOOD);
    run_sql(f, "update tile set root = zeroblob(32) where level = 0 and idx = 0");
    assert_int_equal(published(f), AUDIT_FORKED);
}

static int set_up(void **state)
{
    (void)state;
    seed = seed_start();
    return 0;
}

#define WITH_FIXTURE(test) cmocka_unit_test_setup_teardown(test, open_fixture, close_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FIXTURE(test_tiles_are_right_before_and_after_they_are_written),
        WITH_FIXTURE(test_proofs_verify_at_every_size_over_tiles),
        WITH_FIXTURE(test_entries_hash_to_their_leaves),
        cmocka_unit_test(test_paths_of_tiles_are_read_exactly),
        WITH_FIXTURE(test_an_event_that_no_bundle_can_hold_is_refused),
        WITH_FIXTURE(test_checkpoints_follow_each_other),
        WITH_FIXTURE(test_nothing_is_signed_over_a_changed_history),
        WITH_FIXTURE(test_nothing_is_signed_over_a_dropped_event),
        WITH_FIXTURE(test_nothing_is_signed_over_another_history),
        WITH_FIXTURE(test_nothing_is_signed_over_an_older_copy),
        WITH_FIXTURE(test_cosignatures_of_witnesses_are_kept_and_served),
        WITH_FIXTURE(test_the_origin_is_set_once),
        WITH_FIXTURE(test_a_rewritten_event_is_named),
        WITH_FIXTURE(test_dropped_events_are_named),
        WITH_FIXTURE(test_reordered_events_are_named),
        WITH_FIXTURE(test_a_forked_history_is_named),
        WITH_FIXTURE(test_a_shorter_ledger_is_dropped_history),
        WITH_FIXTURE(test_a_damaged_head_or_hash_is_named),
        WITH_FIXTURE(test_any_changed_byte_of_a_tile_is_found),
        WITH_FIXTURE(test_a_tile_of_a_higher_level_is_audited),
        WITH_FIXTURE(test_stored_checkpoints_are_audited),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
