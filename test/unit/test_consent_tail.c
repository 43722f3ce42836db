/* test_consent_tail.c - the rows that are written later: the tail against a plain array, bodies of
 * events there and back, and processes that are killed while rows are being written. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "consent/engine.h"
#include "test_seed.h"

enum { PERSONS = 200 };

static uint64_t seed;

/* ---- the tail by itself ---- */

struct naive {
    bool there;
    int64_t last_event;
};

static struct uid cid_of(size_t i)
{
    struct uid cid = {0};
    /* The last eight bytes choose the slot, the first of them most: make them meet. */
    cid.b[8] = (uint8_t)(i % 7);
    cid.b[15] = (uint8_t)i;
    return cid;
}

static void check_tail(struct tail *t, const struct naive *naive)
{
    size_t count = 0;
    for (size_t i = 0; i < PERSONS; i++) {
        _cleanup_arena struct arena arena = {0};
        struct uid cid = cid_of(i);
        struct person p;
        assert_int_equal(tail_read(t, &cid, &arena, &p), naive[i].there);
        if (naive[i].there) {
            assert_int_equal(p.row.last_event, naive[i].last_event);
            assert_true(str_is(p.row.residence, "SE"));
            assert_int_equal(p.consent_count, 1);
            assert_true(str_is(p.consents[0].categories[1], "contact"));
        }
        count += naive[i].there;
    }
    assert_int_equal(tail_size(t).persons, count);
}

static void test_the_tail_holds_what_was_committed_and_nothing_else(void **state)
{
    (void)state;
    struct naive committed[PERSONS] = {0}, batch[PERSONS];
    struct tail *t = tail_new();
    struct str categories[] = {STR("purchases"), STR("contact")};
    struct consent c = {.categories = categories, .category_count = 2, .purpose = STR("p")};
    memcpy(batch, committed, sizeof batch);
    for (int64_t n = 0; n < 20000; n++) {
        size_t i = (size_t)seed_below(&seed, PERSONS);
        struct uid cid = cid_of(i);
        struct person p = {.row = {.cid = cid, .residence = STR("SE"), .last_event = n},
                           .consents = &c,
                           .consent_count = 1};
        bool drop = seed_below(&seed, 4) == 0;
        batch[i] = (struct naive){!drop, n};
        if (drop)
            tail_drop(t, &cid);
        else
            tail_put(t, &p);
        const struct person *found = tail_find(t, &cid);
        assert_int_equal(found != NULL && found->row.last_event == n, !drop);
        if (seed_below(&seed, 5) == 0) {
            tail_commit(t, n);
            memcpy(committed, batch, sizeof batch);
        } else if (seed_below(&seed, 20) == 0) {
            tail_roll_back(t);
            memcpy(batch, committed, sizeof batch);
        }
        if (n % 500 == 0)
            check_tail(t, committed);
    }
    check_tail(t, committed);
    tail_free(t);
}

static void put(struct tail *t, size_t i, int64_t last_event)
{
    struct person p = {.row = {.cid = cid_of(i), .residence = STR("SE"), .last_event = last_event}};
    tail_put(t, &p);
}

static int64_t row_of(struct db *lov, size_t i)
{
    _cleanup_arena struct arena arena = {0};
    struct consumer_row row;
    struct uid cid = cid_of(i);
    int rc = row_consumer_get(lov, 0, &cid, &arena, &row, NULL);
    return rc == 1 ? row.last_event : -1;
}

static int64_t held_of(struct tail *t, size_t i)
{
    struct uid cid = cid_of(i);
    const struct person *p = tail_find(t, &cid);
    return p ? p->row.last_event : -1;
}

/* Rows are written in a transaction that may be committed many batches later, or the batch undone.
 */
/* An empty lov.db of a new installation in `dir`, which ends in XXXXXX. */
static struct db *new_store(char *dir)
{
    char path[64];
    struct err err;
    struct db *lov;
    assert_non_null(mkdtemp(dir));
    assert_int_equal(engine_init(dir, &err), 0);
    snprintf(path, sizeof path, "%s/lov.db", dir);
    assert_int_equal(db_open(path, DB_WRITE, &lov, &err), 0);
    return lov;
}

static void test_whose_rows_are_not_committed_in_their_newest_form_stays_held(void **state)
{
    (void)state;
    enum { UNDONE = 1, CHANGED = 2, WRITTEN = 3 };
    char dir[] = "/tmp/lov-stored-XXXXXX", command[64];
    struct err err;
    struct db *lov = new_store(dir);
    struct tail *t = tail_new();
    for (size_t i = UNDONE; i <= WRITTEN; i++)
        put(t, i, 10);
    tail_commit(t, 1);
    assert_int_equal(db_begin(lov, &err), 0);
    tail_sweep_start(t);
    assert_int_equal(tail_sweep(t, lov, SIZE_MAX, &err), 0);
    tail_roll_back(t);
    assert_false(tail_swept(t));
    tail_commit(t, 2);
    tail_stored(t, 2);
    assert_int_equal(tail_size(t).persons, 3);
    assert_int_equal(tail_sweep(t, lov, SIZE_MAX, &err), 0);
    tail_commit(t, 3);
    put(t, CHANGED, 20);
    tail_commit(t, 4);
    assert_int_equal(tail_size(t).persons, 3);
    assert_int_equal(db_commit(lov, &err), 0);
    tail_stored(t, 5);
    assert_false(tail_sweeping(t));
    assert_int_equal(held_of(t, CHANGED), 20);
    assert_int_equal(held_of(t, UNDONE), -1);
    assert_int_equal(held_of(t, WRITTEN), -1);
    assert_int_equal(row_of(lov, WRITTEN), 10);
    tail_free(t);
    db_close(lov);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    assert_int_equal(system(command), 0);
}

/* One who was put while a sweep is under way is not in its order: what a flush would forget of them
 * would leave what was held before in its place. */
static void test_a_flush_forgets_those_alone_whose_rows_say_the_newest(void **state)
{
    (void)state;
    enum { SWEPT = 1, BETWEEN = 2, NEW = 3 };
    char dir[] = "/tmp/lov-flush-XXXXXX", command[64];
    struct err err;
    struct db *lov = new_store(dir);
    struct tail *t = tail_new();
    put(t, SWEPT, 10);
    tail_commit(t, 1);
    tail_sweep_start(t);
    put(t, BETWEEN, 11);
    tail_commit(t, 2);
    put(t, SWEPT, 20);
    put(t, BETWEEN, 21);
    put(t, NEW, 22);
    assert_int_equal(db_begin(lov, &err), 0);
    assert_int_equal(tail_sweep(t, lov, SIZE_MAX, &err), 0);
    assert_int_equal(tail_flush(t, lov, &err), 0);
    assert_int_equal(db_commit(lov, &err), 0);
    tail_commit(t, 3);
    assert_int_equal(held_of(t, SWEPT), 20);
    tail_stored(t, 3);
    assert_int_equal(row_of(lov, SWEPT), 20);
    assert_int_equal(held_of(t, SWEPT), -1);
    assert_int_equal(held_of(t, BETWEEN), 21);
    assert_int_equal(row_of(lov, NEW), 22);
    assert_int_equal(held_of(t, NEW), -1);
    tail_free(t);
    db_close(lov);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    assert_int_equal(system(command), 0);
}

/* ---- bodies ---- */

static struct str random_name(struct arena *arena)
{
    return arena_printf(arena, "n%llx", (unsigned long long)seed_next(&seed));
}

static struct str *random_names(struct arena *arena, size_t *count)
{
    *count = (size_t)seed_below(&seed, 5);
    struct str *names = arena_array(arena, *count, sizeof *names);
    for (size_t i = 0; i < *count; i++)
        names[i] = random_name(arena);
    return names;
}

/* Adds the names of so many others to the body, which says what the row's says all the same. */
static void check_superseded(struct buf *body, struct str of_row, size_t count, struct arena *arena)
{
    struct superseded items[4];
    struct superseded_list list = {items, count}, back;
    struct consent c;
    struct err err = {0};
    for (size_t i = 0; i < count; i++)
        items[i] = (struct superseded){(int64_t)i, (int64_t)(i + seed_below(&seed, 1u << 30))};
    body_superseded(&list, body);
    assert_int_equal(body->n == of_row.n, count == 0);
    assert_true(body_says(buf_view(body), of_row));
    assert_false(body_says(of_row, (struct str){of_row.p, of_row.n - 1}));
    assert_int_equal(body_read_consent(buf_view(body), arena, &c, &err), 0);
    assert_int_equal(body_consent_seq(buf_view(body)), c.seq);
    assert_int_equal(body_read_superseded(buf_view(body), arena, &back, &err), 0);
    assert_int_equal(back.count, count);
    if (count)
        assert_memory_equal(back.items, items, count * sizeof *items);
}

static void test_a_body_says_all_that_the_row_says(void **state)
{
    (void)state;
    for (int i = 0; i < 2000; i++) {
        _cleanup_arena struct arena arena = {0};
        _cleanup_buf struct buf body = {0}, again = {0};
        struct err err = {0};
        struct consent c = {
            .seq = (int64_t)seed_below(&seed, 1u << 30),
            .purpose = random_name(&arena),
            .recipient = random_name(&arena),
            .status = (enum consent_status)seed_below(&seed, 5),
            .notice = random_name(&arena),
            .notice_language = STR("sv"),
            .notice_version = (int)seed_below(&seed, 100),
            .channel = STR("web"),
            .given_at = (int64_t)seed_below(&seed, 1ull << 41),
            .expires_at = i % 3 ? (int64_t)seed_below(&seed, 1ull << 41) : TIME_NONE,
            .by_guardian = i % 2,
            .sealed = i % 5 ? random_name(&arena) : (struct str){0},
        };
        c.categories = random_names(&arena, &c.category_count);
        c.narrowed = random_names(&arena, &c.narrowed_count);
        random_bytes(c.notice_hash.b, sizeof c.notice_hash.b);
        body_consent(&c, &body);
        struct consent back;
        assert_int_equal(body_read_consent(buf_view(&body), &arena, &back, &err), 0);
        body_consent(&back, &again);
        assert_true(str_eq(buf_view(&body), buf_view(&again)));
        check_superseded(&body, buf_view(&again), (size_t)i % 4, &arena);
        body.p[seed_below(&seed, body.n)] ^= 0x11;
        if (body_read_consent(buf_view(&body), &arena, &back, &err) != 0)
            assert_int_equal(err.code, LOV_ECORRUPT);
    }
}

/* ---- killed while rows are written ---- */

static struct engine *open_with(const char *dir, const struct sweep_limits *limits)
{
    static struct log log = {.fd = STDERR_FILENO, .level = LOG_ERROR};
    struct err err = {0};
    struct engine *e = NULL;
    if (engine_open_with(dir, &log, limits, &e, &err) != 0)
        fail_msg("%s", err.text);
    return e;
}

static void apply_demo_policy(struct engine *e)
{
    struct err err = {0};
    _cleanup_arena struct arena arena = {0};
    struct policy_bundle bundle = {0};
    assert_int_equal(policy_bundle_read("policy", &bundle, &err), 0);
    struct engine_write w = {
        .kind = WRITE_POLICY, .actor = STR("test"), .arena = &arena, .bundle = &bundle};
    assert_int_equal(engine_run(e, &w, &err), 0);
    policy_unref(w.policy);
    policy_findings_free(&w.findings);
    policy_bundle_free(&bundle);
}

static struct engine_write answer_of(int consumer, struct arena *arena)
{
    struct str *categories = arena_alloc(arena, sizeof *categories);
    *categories = STR("purchases");
    return (struct engine_write){
        .kind = WRITE_GIVE,
        .actor = STR("test"),
        .arena = arena,
        .consumer = arena_printf(arena, "%03d", consumer),
        .purpose = STR("personal_offers"),
        .recipient = STR("marketing"),
        .categories = categories,
        .category_count = 1,
        .notice = {.id = STR("personal_offers"), .language = STR("sv"), .version = 1},
        .channel = STR("web"),
        .expires_at = TIME_NONE,
        .given_at = TIME_NONE,
    };
}

/* Writes for ever, one byte to `acknowledged` for each write that was. */
static void write_until_killed(const char *dir, int acknowledged)
{
    /* Long enough for a crowd to wait, so that a kill falls among them. */
    static const struct sweep_limits slowly = {5, SIZE_MAX, 1, 1, 0};
    struct engine *e = open_with(dir, &slowly);
    /* Five: nearly every answer takes the place of one. */
    int consumers = seed_below(&seed, 2) ? 200 : 5;
    for (;;) {
        _cleanup_arena struct arena arena = {0};
        struct err err = {0};
        struct engine_write w = answer_of((int)seed_below(&seed, (uint64_t)consumers), &arena);
        w.kind = seed_below(&seed, 3) ? WRITE_GIVE : WRITE_REFUSE;
        if (consumers > 5 && seed_below(&seed, 40) == 0)
            w.kind = WRITE_ERASE;
        int rc = engine_run(e, &w, &err);
        if (rc == 0 && write(acknowledged, "y", 1) != 1)
            _exit(1);
    }
}

static int64_t events_of(struct engine *e)
{
    struct db *lov;
    struct err err = {0};
    struct sha256 root;
    int64_t size = 0;
    assert_int_equal(db_pool_get(engine_lov(e), &lov, &err), 0);
    assert_int_equal(ledger_head(lov, 0, &size, &root, &err), 0);
    db_pool_put(engine_lov(e), lov);
    return size;
}

static void verify_state(const char *dir)
{
    struct db *lov;
    struct err err = {0};
    struct state_report report;
    assert_int_equal(engine_open_store(dir, "lov", &lov, &err), 0);
    assert_int_equal(state_verify(lov, 0, &report, &err), 0);
    db_close(lov);
    if (report.wrong)
        fail_msg("event %lld: %s", (long long)report.seq, report.what);
}

/* Kills a writer after some acknowledged writes; how many there were. */
static int64_t kill_a_writer(const char *dir)
{
    int pipe_of[2];
    assert_int_equal(pipe(pipe_of), 0);
    pid_t child = fork();
    if (child == 0) {
        seed_next(&seed);
        close(pipe_of[0]);
        write_until_killed(dir, pipe_of[1]);
    }
    close(pipe_of[1]);
    int64_t wanted = (int64_t)seed_below(&seed, 300) + 1, count = 0;
    char byte;
    while (count < wanted && read(pipe_of[0], &byte, 1) == 1)
        count++;
    kill(child, SIGKILL);
    while (read(pipe_of[0], &byte, 1) == 1)
        count++;
    close(pipe_of[0]);
    assert_int_equal(waitpid(child, NULL, 0), child);
    return count;
}

static void test_a_process_killed_while_it_writes_rows_loses_none(void **state)
{
    (void)state;
    static const struct sweep_limits never = {INT64_MAX / 4, SIZE_MAX, 1, 64, 0};
    char dir[] = "/tmp/lov-tail-XXXXXX", command[64];
    struct err err = {0};
    assert_non_null(mkdtemp(dir));
    assert_int_equal(engine_init(dir, &err), 0);
    struct engine *e = open_with(dir, &never);
    apply_demo_policy(e);
    for (int i = 0; i < 25; i++) {
        int64_t before = events_of(e);
        engine_close(e);
        int64_t acknowledged = kill_a_writer(dir);
        verify_state(dir);
        e = open_with(dir, &never);
        verify_state(dir);
        assert_true(events_of(e) - before >= acknowledged);
    }
    engine_close(e);
    verify_state(dir);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    assert_int_equal(system(command), 0);
}

/* ---- when rows are written ---- */

static int64_t consents_in_the_table(struct engine *e)
{
    static const char sql[] = "select count(*) from consent";
    struct db *lov;
    struct err err = {0};
    assert_int_equal(db_pool_get(engine_lov(e), &lov, &err), 0);
    struct db_stmt *s = db_use(lov, sql);
    assert_int_equal(db_step(s, &err), 1);
    int64_t n = db_int(s, 0);
    db_done(s);
    db_pool_put(engine_lov(e), lov);
    return n;
}

static int64_t number(struct db *db, const char *sql)
{
    struct err err = {0};
    int64_t n = -1;
    assert_int_equal(db_number(db_use(db, sql), &n, &err), 0);
    return n;
}

static int list_into(void *ctx, const struct consent *c)
{
    struct person *all = ctx;
    all->consents[all->consent_count++] = *c;
    return 0;
}

/* An answer leaves one row, however many it took the place of; those are found by what it says. */
static void test_what_was_superseded_has_no_row(void **state)
{
    (void)state;
    enum { ANSWERS = 40 };
    static const char rows[] = "select count(*) from consent";
    static const struct sweep_limits at_once = {0, 0, 4, 256, 0};
    struct err err = {0};
    char dir[] = "/tmp/lov-tail-XXXXXX", command[64];
    struct consent consents[2 * ANSWERS];
    struct db *lov;
    assert_non_null(mkdtemp(dir));
    assert_int_equal(engine_init(dir, &err), 0);
    for (int round = 1; round <= 2; round++) {
        _cleanup_arena struct arena arena = {0};
        struct person all = {.consents = consents};
        struct identity_row who;
        struct consent one;
        struct engine *e = open_with(dir, &at_once);
        if (round == 1)
            apply_demo_policy(e);
        struct engine_write w = answer_of(7, &arena);
        for (int i = 0; i < ANSWERS; i++)
            assert_int_equal(engine_run(e, &w, &err), 0);
        assert_int_equal(consumer_find(e, w.consumer, &who, &err), 1);
        assert_int_equal(consent_list(e, &who, &arena, list_into, &all, &err), 0);
        assert_int_equal(all.consent_count, round * ANSWERS);
        for (size_t i = 0; i < all.consent_count; i++) {
            bool last = i + 1 == all.consent_count;
            assert_true(i == 0 || consents[i - 1].seq < consents[i].seq);
            assert_int_equal(consents[i].status, last ? CONSENT_ACTIVE : CONSENT_SUPERSEDED);
            assert_int_equal(consent_get(e, 0, consents[i].seq, &arena, &one, &err), 1);
            assert_int_equal(one.status, consents[i].status);
            assert_true(str_is(one.categories[0], "purchases"));
        }
        engine_close(e);
        verify_state(dir);
        assert_int_equal(engine_open_store(dir, "lov", &lov, &err), 0);
        assert_int_equal(number(lov, rows), 1);
        db_close(lov);
    }
    snprintf(command, sizeof command, "rm -rf %s", dir);
    assert_int_equal(system(command), 0);
}

static int supersede_as_before(struct engine_write *w, struct write_scope *scope, struct err *err)
{
    _cleanup_buf struct buf body = {0};
    int64_t seq;
    w->out.status = CONSENT_SUPERSEDED;
    body_consent(&w->out, &body);
    return engine_append(scope, "consent.supersede", STR("marketing/personal_offers"),
                         buf_view(&body), &seq, err);
}

/* Logs from before answers named what they took the place of have an event of that, and it a row.
 */
static void test_an_older_log_is_taken_over(void **state)
{
    (void)state;
    static const char past[] = "select count(*) from consent where past = 1";
    static const struct sweep_limits never = {INT64_MAX / 4, SIZE_MAX, 1, 64, 0};
    _cleanup_arena struct arena arena = {0};
    char dir[] = "/tmp/lov-older-XXXXXX", killed[64], command[160];
    struct err err = {0};
    struct consent consents[8];
    struct person all = {.consents = consents};
    struct identity_row who;
    struct db *lov;
    assert_non_null(mkdtemp(dir));
    assert_int_equal(engine_init(dir, &err), 0);
    struct engine *e = open_with(dir, &never);
    apply_demo_policy(e);
    struct engine_write w = answer_of(7, &arena);
    assert_int_equal(engine_run(e, &w, &err), 0);
    struct engine_write old = {.kind = WRITE_OTHER,
                               .actor = STR("test"),
                               .arena = &arena,
                               .consumer = w.consumer,
                               .other = supersede_as_before,
                               .out = w.out};
    assert_int_equal(engine_run(e, &old, &err), 0);
    snprintf(killed, sizeof killed, "%s-killed", dir);
    snprintf(command, sizeof command, "cp -a %s %s", dir, killed);
    assert_int_equal(system(command), 0);
    engine_close(e);
    verify_state(killed);
    e = open_with(killed, &never);
    for (size_t answers = 1; answers <= 3; answers++) {
        all.consent_count = 0;
        assert_int_equal(consumer_find(e, w.consumer, &who, &err), 1);
        assert_int_equal(consent_list(e, &who, &arena, list_into, &all, &err), 0);
        assert_int_equal(all.consent_count, answers);
        assert_int_equal(consents[0].status, CONSENT_SUPERSEDED);
        assert_int_equal(consent_get(e, 0, consents[0].seq, &arena, &consents[7], &err), 1);
        assert_int_equal(consents[7].status, CONSENT_SUPERSEDED);
        struct engine_write again = answer_of(7, &arena);
        assert_int_equal(engine_run(e, &again, &err), 0);
    }
    engine_close(e);
    verify_state(killed);
    assert_int_equal(engine_open_store(killed, "lov", &lov, &err), 0);
    assert_int_equal(number(lov, past), 1);
    db_close(lov);
    snprintf(command, sizeof command, "rm -rf %s %s", dir, killed);
    assert_int_equal(system(command), 0);
}

static void give(struct person *p, struct tail *t, int64_t seq, struct arena *arena)
{
    struct consent c = {.cid = p->row.cid, .seq = seq, .event = seq};
    if (p->consent_count)
        person_supersede(p, p->consents[0].seq, arena);
    person_set_consent(p, &c, arena);
    assert_int_equal(p->consent_count, 1);
    tail_put(t, p);
}

/* A row goes with the sweep behind what took its place, be it in the table from before or in a
 * transaction that is still open. */
static void test_no_row_stays_of_what_was_superseded(void **state)
{
    (void)state;
    static const char rows[] = "select count(*) from consent";
    static const char which[] = "select max(seq) from consent";
    _cleanup_arena struct arena arena = {0};
    struct uid cid = cid_of(1);
    struct person p = {.row = {.cid = cid, .residence = STR("SE")}, .living = true};
    char dir[] = "/tmp/lov-gone-XXXXXX", command[64];
    struct err err;
    struct db *lov = new_store(dir);
    struct tail *t = tail_new();
    assert_int_equal(db_begin(lov, &err), 0);
    for (int64_t seq = 0; seq < 12; seq++) {
        if (seq)
            assert_int_equal(person_take(t, lov, 0, &cid, true, seq, &arena, &p, &err), 1);
        give(&p, t, seq, &arena);
        tail_commit(t, seq);
        if (seq % 3 == 2) {
            tail_sweep_start(t);
            assert_int_equal(tail_sweep(t, lov, SIZE_MAX, &err), 0);
            if (seq == 5) { /* the row is written again, as it is after a batch that was undone */
                tail_roll_back(t);
                assert_int_equal(tail_sweep(t, lov, SIZE_MAX, &err), 0);
            }
            tail_commit(t, seq);
            assert_int_equal(number(lov, rows), 1);
            assert_int_equal(number(lov, which), seq);
            if (seq == 8) /* given again before the tables are committed */
                assert_int_equal(person_take(t, lov, 0, &cid, true, ++seq, &arena, &p, &err), 1),
                    give(&p, t, seq, &arena), tail_commit(t, seq);
            tail_stored(t, seq);
        }
    }
    db_rollback(lov);
    tail_free(t);
    db_close(lov);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    assert_int_equal(system(command), 0);
}

static void test_rows_are_written_when_nothing_changes_any_more(void **state)
{
    (void)state;
    static const struct timespec moment = {.tv_nsec = 20000000};
    static const struct sweep_limits limits = {INT64_MAX / 4, SIZE_MAX, 4, 256, 600};
    char dir[] = "/tmp/lov-tail-XXXXXX", command[64];
    struct err err = {0};
    assert_non_null(mkdtemp(dir));
    assert_int_equal(engine_init(dir, &err), 0);
    struct engine *e = open_with(dir, &limits);
    apply_demo_policy(e);
    /* One at a time, for longer than that: none is written. */
    for (int i = 0; i < 50; i++) {
        _cleanup_arena struct arena arena = {0};
        struct engine_write w = answer_of(i, &arena);
        assert_int_equal(engine_run(e, &w, &err), 0);
        assert_int_equal(consents_in_the_table(e), 0);
        nanosleep(&moment, NULL);
    }
    for (int i = 0; consents_in_the_table(e) < 50; i++) {
        assert_true(i < 1000);
        nanosleep(&moment, NULL);
    }
    engine_close(e);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    assert_int_equal(system(command), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_tail_holds_what_was_committed_and_nothing_else),
        cmocka_unit_test(test_whose_rows_are_not_committed_in_their_newest_form_stays_held),
        cmocka_unit_test(test_a_flush_forgets_those_alone_whose_rows_say_the_newest),
        cmocka_unit_test(test_a_body_says_all_that_the_row_says),
        cmocka_unit_test(test_a_process_killed_while_it_writes_rows_loses_none),
        cmocka_unit_test(test_what_was_superseded_has_no_row),
        cmocka_unit_test(test_an_older_log_is_taken_over),
        cmocka_unit_test(test_no_row_stays_of_what_was_superseded),
        cmocka_unit_test(test_rows_are_written_when_nothing_changes_any_more),
    };
    seed = seed_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
