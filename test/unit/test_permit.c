/* test_permit.c - the permit index against a plain array: random changes, growth, reuse, crashes,
 * and readers in other threads and processes that must never see what was not there. */
#include "test_permit_fixture.h"

static void reopen(struct fixture *f, bool whole, enum index_found expected)
{
    index_close(f->ix, whole);
    open_index_in(f);
    assert_int_equal(f->found, expected);
    name_things(f);
    publish_policy(f);
    index_go_live(f->ix);
}

static void test_the_index_says_what_was_set_through_growth_and_restarts(void **state)
{
    enum { CONSUMERS = 30000, STEPS = 90000 };
    struct fixture *f = *state;
    struct plain *all = calloc(CONSUMERS, sizeof *all);
    uint64_t seed = seed_start();
    long known = 0;
    for (int step = 0; step < STEPS; step++) {
        bool new = known < CONSUMERS &&seed_next(&seed) % 3 == 0;
        long id = new ? known : known ? (long)(seed_next(&seed) % (uint64_t)known) : -1;
        if (id < 0)
            continue;
        struct plain *p = &all[id];
        struct hash128 lookup = lookup_of(id);
        struct uid cid = cid_of(id);
        index_write_lock(f->ix);
        if (new) {
            *p = (struct plain){.residence = f->residence, .born = DAY_NONE};
            assert_null(index_change(f->ix, &lookup));
        }
        if (!p->erased)
            change_plain(f, p, &seed);
        if (seed_next(&seed) % 500 == 0)
            p->erased = true;
        write_plain(f, p, new ? index_add(f->ix, &lookup, &cid, 0) : index_change(f->ix, &lookup));
        index_write_unlock(f->ix);
        known += new;
        if (step % 16 == 0)
            compare_plain(f, id, p);
        if (step % (STEPS / 3) == STEPS / 6)
            reopen(f, true, INDEX_WHOLE);
    }
    int64_t permits = 0;
    for (long id = 0; id < known; id++) {
        compare_plain(f, id, &all[id]);
        for (int k = 0; k < KEYS && !all[id].erased; k++)
            permits += all[id].has[k];
        struct uid cid = index_cid(f->ix, id), expected = cid_of(id), none = {{0}};
        assert_memory_equal(cid.b, all[id].erased ? none.b : expected.b, sizeof cid.b);
    }
    assert_int_equal(index_count(f->ix), known);
    assert_int_equal(index_permits(f->ix), permits);
    struct permit_answer a;
    struct hash128 nobody = lookup_of(-5);
    assert_int_equal(permit_find(index_map(f->ix), &nobody, f->keys[0], &a), PERMIT_NOBODY);
    free(all);
}

static enum permit_found find(struct fixture *f, long id, struct permit_answer *a)
{
    struct hash128 lookup = lookup_of_text(id);
    return permit_find(index_map(f->ix), &lookup, f->keys[0], a);
}

static void test_who_is_forgotten_is_nobody_through_growth_and_may_come_back(void **state)
{
    enum { CONSUMERS = 20000 };
    struct fixture *f = *state;
    uint64_t seed = seed_start();
    bool *gone = calloc(CONSUMERS, sizeof *gone);
    struct permit_answer a;
    for (long id = 0; id < CONSUMERS; id++) {
        long other = (long)(seed_next(&seed) % (uint64_t)(id + 1));
        struct uid cid = cid_of(other);
        add_consumer(f, id, PERMIT_GIVEN);
        if (seed_next(&seed) % 8)
            continue;
        index_write_lock(f->ix);
        struct index_consumer *c = index_by_cid(f->ix, &cid);
        assert_int_equal(c == NULL, gone[other]);
        if (c)
            index_forget(f->ix, c);
        index_write_unlock(f->ix);
        gone[other] = true;
        assert_int_equal(find(f, other, &a), PERMIT_NOBODY);
    }
    for (long id = 0; id < CONSUMERS; id++) {
        assert_int_equal(find(f, id, &a), gone[id] ? PERMIT_NOBODY : PERMIT_SOMEBODY);
        assert_true(gone[id] || a.answered);
        assert_int_equal(permit_find_number(index_map(f->ix), index_address(f->ix, id),
                                            (uint32_t)id, f->keys[0], &a),
                         PERMIT_SOMEBODY);
        assert_int_equal(a.erased, gone[id]);
    }
    for (long id = 0; id < CONSUMERS; id++) {
        struct hash128 lookup = lookup_of_text(id);
        struct uid cid = cid_of(id + CONSUMERS);
        if (!gone[id])
            continue;
        index_write_lock(f->ix);
        index_add(f->ix, &lookup, &cid, 0);
        index_write_unlock(f->ix);
        assert_int_equal(find(f, id, &a), PERMIT_SOMEBODY);
        assert_true(!a.answered && !a.erased);
    }
    free(gone);
}

static void test_a_reader_sees_every_change_at_once(void **state)
{
    struct fixture *f = *state;
    struct lov *lov = open_lov(f->dir);
    struct lov_decision d;
    assert_int_equal(ask(lov, 1, &d), 0);
    assert_int_equal(d.reason, LOV_UNKNOWN_CONSUMER);
    assert_int_equal(d.policy_version, 7);
    for (long id = 0; id < 5000; id++) {
        add_consumer(f, id, PERMIT_GIVEN);
        assert_int_equal(ask(lov, id, &d), 1);
        assert_true(d.consent == id);
        add_consumer(f, id, PERMIT_WITHDRAWN);
        assert_int_equal(ask(lov, id, &d), 0);
        assert_int_equal(d.reason, LOV_WITHDRAWN);
    }
    char text[512], small[8];
    size_t n = lov_explain(lov, &d, text, sizeof text);
    assert_int_equal(n, strlen(text));
    assert_non_null(strstr(text, "\"reason\":\"withdrawn\""));
    assert_non_null(strstr(text, "\"law\":\"law\""));
    assert_int_equal(lov_explain(lov, &d, small, sizeof small), n);
    assert_int_equal(strlen(small), sizeof small - 1);
    lov_close(lov);
}

static void test_misuse_is_answered_with_no(void **state)
{
    struct fixture *f = *state;
    struct lov *lov = open_lov(f->path);
    struct lov_decision d;
    char long_id[400];
    memset(long_id, 'x', sizeof long_id - 1);
    long_id[sizeof long_id - 1] = '\0';
    add_consumer(f, 1, PERMIT_GIVEN);
    assert_int_equal(lov_decide(NULL, "r", "p", "c1", "00000001", 0, &d), 0);
    assert_int_equal(d.reason, LOV_UNAVAILABLE);
    assert_int_equal(lov_decide(lov, NULL, NULL, NULL, NULL, 0, NULL), 0);
    assert_int_equal(lov_decide(lov, "r", "p", "c1", NULL, 0, &d), 0);
    assert_int_equal(d.reason, LOV_UNKNOWN_CONSUMER);
    assert_int_equal(lov_decide(lov, long_id, "p", "c1", "00000001", 0, &d), 0);
    assert_int_equal(d.reason, LOV_RECIPIENT_UNKNOWN);
    assert_int_equal(lov_decide(lov, "r", long_id, "c1", "00000001", 0, &d), 0);
    assert_int_equal(d.reason, LOV_NOT_IN_POLICY);
    assert_int_equal(lov_decide(lov, "r", "p", "c1", long_id, 0, &d), 0);
    assert_int_equal(lov_decide_many(lov, "r", "p", "c1", NULL, 3, 0, &d), 0);
    assert_int_equal(lov_decide(lov, "r", "p", "c1", "00000001", 0, NULL), 1);
    assert_null(lov_reason_name(-1));
    assert_null(lov_reason_name(LOV_REASON_COUNT));
    lov_close(lov);
    lov_close(NULL);
    assert_int_equal(lov_open(NULL, &lov, NULL, 0), LOV_EINVAL);
    assert_int_equal(lov_open("/nowhere/at/all", &lov, NULL, 0), LOV_ENOTFOUND);
    assert_int_equal(lov_open("/dev/null", &lov, NULL, 0), LOV_ECORRUPT);
}

/* ---- racing ---- */

struct race {
    struct fixture *f;
    struct lov *lov;
    _Atomic long turn; /* consumers below it have been withdrawn, for good */
    atomic_bool over;
    _Atomic long decided, permits_too_late;
};

/* In other processes RACING decisions race with each of RACED withdrawals. */
enum { RACERS = 4000, RACED = 1000, RACING = 400 };

static void *race_reader(void *arg)
{
    struct race *r = arg;
    uint64_t seed = (uint64_t)(uintptr_t)&seed;
    while (!atomic_load(&r->over)) {
        long id = (long)(seed_next(&seed) % RACERS);
        bool withdrawn = id < atomic_load(&r->turn);
        struct lov_decision d;
        int permit = ask(r->lov, id, &d);
        atomic_fetch_add(&r->decided, 1);
        if ((withdrawn && permit) || (permit && d.consent != id) ||
            (d.reason != LOV_PERMITTED && d.reason != LOV_WITHDRAWN))
            atomic_fetch_add(&r->permits_too_late, 1);
    }
    return NULL;
}

/* Given under even consents, withdrawn under odd ones: half of each is neither. */
static void *torn_reader(void *arg)
{
    struct race *r = arg;
    while (!atomic_load(&r->over)) {
        struct lov_decision d;
        int permit = ask(r->lov, 1, &d);
        atomic_fetch_add(&r->decided, 1);
        if (d.consent % 2 != !permit)
            atomic_fetch_add(&r->permits_too_late, 1);
    }
    return NULL;
}

static void test_no_reader_sees_half_of_a_change(void **state)
{
    struct fixture *f = *state;
    struct race r = {.f = f, .lov = open_lov(f->dir)};
    struct hash128 lookup = hash_of("00000001", 8);
    pthread_t reader;
    add_consumer(f, 1, PERMIT_GIVEN);
    for (long i = 0; i < 300000; i++) {
        index_write_lock(f->ix);
        struct index_consumer *c = index_change(f->ix, &lookup);
        struct permit p = {.key = f->keys[1],
                           .state = i % 2 ? PERMIT_WITHDRAWN : PERMIT_GIVEN,
                           .notice = f->notice,
                           .notice_version = 1,
                           .expires_at = INT64_MAX,
                           .consent = i};
        index_clear(f->ix, c);
        index_set(f->ix, c, &p);
        index_write_unlock(f->ix);
        if (i == 0)
            assert_int_equal(pthread_create(&reader, NULL, torn_reader, &r), 0);
    }
    while (atomic_load(&r.decided) < 1000)
        usleep(1000);
    atomic_store(&r.over, true);
    pthread_join(reader, NULL);
    assert_int_equal(atomic_load(&r.permits_too_late), 0);
    lov_close(r.lov);
}

static void test_no_thread_permits_after_a_withdrawal_while_the_table_grows(void **state)
{
    struct fixture *f = *state;
    struct race r = {.f = f, .lov = open_lov(f->dir)};
    pthread_t readers[2];
    for (long id = 0; id < RACERS; id++)
        add_consumer(f, id, PERMIT_GIVEN);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&readers[i], NULL, race_reader, &r), 0);
    for (long id = 0; id < RACERS; id++) {
        add_consumer(f, id, PERMIT_WITHDRAWN);
        atomic_store(&r.turn, id + 1);
        for (long more = 0; more < 5; more++)
            add_consumer(f, RACERS + id * 5 + more, PERMIT_GIVEN);
        if (id % 500 == 0)
            publish_policy(f);
    }
    while (atomic_load(&r.decided) < 20000)
        usleep(1000);
    atomic_store(&r.over, true);
    for (int i = 0; i < 2; i++)
        pthread_join(readers[i], NULL);
    print_message("%ld decisions raced\n", atomic_load(&r.decided));
    assert_int_equal(atomic_load(&r.permits_too_late), 0);
    lov_close(r.lov);
}

/* Withdrawn ids come through a pipe; the child asks for them over and over. */
static void race_in_a_child(const char *dir, _Atomic long *turn, _Atomic long *decided,
                            _Atomic long *wrong)
{
    struct lov *lov;
    if (lov_open(dir, &lov, NULL, 0) != 0)
        _exit(3);
    uint64_t seed = (uint64_t)getpid();
    while (atomic_load(turn) <= RACED) {
        long before = atomic_load(turn);
        /* Near the edge, where it matters. */
        long id = before - 1 - (long)(seed_next(&seed) % 3) + (long)(seed_next(&seed) % 3);
        struct lov_decision d;
        if (id < 0 || id >= RACED)
            continue;
        int permit = ask(lov, id, &d);
        atomic_fetch_add(decided, 1);
        if ((id < before && permit) || (d.reason != LOV_PERMITTED && d.reason != LOV_WITHDRAWN))
            atomic_fetch_add(wrong, 1);
    }
    lov_close(lov);
    _exit(0);
}

static void test_no_process_permits_after_a_withdrawal(void **state)
{
    struct fixture *f = *state;
    _Atomic long *shared =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(shared != MAP_FAILED);
    for (long id = 0; id < RACED; id++)
        add_consumer(f, id, PERMIT_GIVEN);
    pid_t children[2];
    for (int i = 0; i < 2; i++) {
        children[i] = fork();
        if (children[i] == 0)
            race_in_a_child(f->dir, &shared[0], &shared[1], &shared[2]);
    }
    for (long id = 0; id < RACED; id++) {
        add_consumer(f, id, PERMIT_WITHDRAWN);
        long seen = atomic_load(&shared[1]);
        atomic_store(&shared[0], id + 1);
        while (atomic_load(&shared[1]) < seen + RACING)
            sched_yield();
    }
    atomic_store(&shared[0], RACED + 1);
    for (int i = 0; i < 2; i++) {
        int status;
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_int_equal(status, 0);
    }
    print_message("%ld decisions raced in other processes\n", atomic_load(&shared[1]));
    assert_true(atomic_load(&shared[1]) >= (long)RACED * RACING);
    assert_int_equal(atomic_load(&shared[2]), 0);
    munmap((void *)shared, 4096);
}

/* ---- the writer goes ---- */

static void test_without_a_writer_the_answer_is_unavailable(void **state)
{
    struct fixture *f = *state;
    struct lov *lov = open_lov(f->dir);
    struct lov_decision d;
    add_consumer(f, 1, PERMIT_GIVEN);
    assert_int_equal(ask(lov, 1, &d), 1);
    index_close(f->ix, true);
    assert_int_equal(ask(lov, 1, &d), 0);
    assert_int_equal(d.reason, LOV_UNAVAILABLE);
    open_index_in(f);
    assert_int_equal(f->found, INDEX_WHOLE);
    assert_int_equal(ask(lov, 1, &d), 0);
    name_things(f);
    publish_policy(f);
    index_go_live(f->ix);
    assert_int_equal(ask(lov, 1, &d), 1);
    lov_close(lov);
}

/* Does `work` with the index in a process that ends without closing it. */
static void in_a_process_that_dies(struct fixture *f, void (*work)(struct fixture *f))
{
    index_close(f->ix, true);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        open_index_in(f);
        name_things(f);
        publish_policy(f);
        index_go_live(f->ix);
        work(f);
        raise(SIGKILL);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
}

static void add_some(struct fixture *f)
{
    for (long id = 0; id < 3000; id++)
        add_consumer(f, id, PERMIT_GIVEN);
}

static void add_and_stay_inside(struct fixture *f)
{
    add_some(f);
    struct permit_header *h = (struct permit_header *)(uintptr_t)index_map(f->ix)->header;
    atomic_store(&h->changing, 1);
}

static void test_a_dead_writer_is_noticed_and_its_work_taken_over(void **state)
{
    struct fixture *f = *state;
    struct lov *lov = open_lov(f->dir);
    struct lov_decision d;
    in_a_process_that_dies(f, add_some);
    int64_t start = clock_monotonic();
    while (ask(lov, 7, &d) == 1)
        usleep(10000);
    assert_true(clock_monotonic() - start < INT64_C(5000000000));
    assert_int_equal(d.reason, LOV_UNAVAILABLE);
    open_index_in(f);
    assert_int_equal(f->found, INDEX_BEHIND);
    assert_int_equal(index_count(f->ix), 3000);
    name_things(f);
    publish_policy(f);
    index_go_live(f->ix);
    assert_int_equal(ask(lov, 7, &d), 1);
    lov_close(lov);
}

static void test_a_writer_that_died_inside_a_change_leaves_nothing_to_trust(void **state)
{
    struct fixture *f = *state;
    in_a_process_that_dies(f, add_and_stay_inside);
    open_index_in(f);
    assert_int_equal(f->found, INDEX_EMPTY);
    assert_int_equal(index_count(f->ix), 0);
    name_things(f);
    publish_policy(f);
    index_go_live(f->ix);
    add_consumer(f, 1, PERMIT_GIVEN);
    struct lov *lov = open_lov(f->dir);
    assert_int_equal(ask(lov, 1, NULL), 1);
    lov_close(lov);
}

/* ---- damage ---- */

static void put(const char *path, off_t at, const void *bytes, size_t n)
{
    int fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, n, at), (ssize_t)n);
    close(fd);
}

static off_t section_of(const struct fixture *f, enum permit_section_id id)
{
    return (off_t)index_map(f->ix)->header->fixed.section[id].offset;
}

static void test_damage_in_a_closed_index_empties_it(void **state)
{
    struct fixture *f = *state;
    static const enum permit_section_id sections[] = {SECTION_NAMES, SECTION_TERMS, SECTION_TABLE_0,
                                                      SECTION_TABLE_1};
    int found_damage = 0;
    for (size_t i = 0; i < sizeof sections / sizeof *sections; i++) {
        add_some(f);
        off_t at = section_of(f, sections[i]);
        bool unused =
            sections[i] == SECTION_TABLE_0 + (index_map(f->ix)->header->generation + 1) % 2;
        index_close(f->ix, true);
        put(f->path, at + 3, "\x55\xaa", 2);
        open_index_in(f);
        assert_int_equal(f->found, unused ? INDEX_WHOLE : INDEX_EMPTY);
        found_damage += !unused;
        name_things(f);
        publish_policy(f);
        index_go_live(f->ix);
    }
    assert_int_equal(found_damage, 3);
}

static void test_files_that_are_no_index_of_this_format_are_refused(void **state)
{
    struct fixture *f = *state;
    struct lov *lov = NULL;
    char error[256], other[128];
    uint32_t format[] = {0, PERMIT_FORMAT + 1};
    struct permit_fixed fixed = index_map(f->ix)->header->fixed;
    snprintf(other, sizeof other, "%s/other", f->dir);
    assert_int_equal(close(creat(other, 0600)), 0);
    assert_int_equal(lov_open(other, &lov, error, sizeof error), LOV_ECORRUPT);
    assert_int_equal(truncate(other, 1 << 20), 0);
    assert_int_equal(lov_open(other, &lov, error, sizeof error), LOV_ECORRUPT);
    for (int i = 0; i < 2; i++) {
        fixed.format = format[i];
        put(other, 0, &fixed, sizeof fixed);
        assert_int_equal(lov_open(other, &lov, error, sizeof error), LOV_EVERSION);
        assert_non_null(strstr(error, i ? "newer" : "older"));
    }
    fixed = index_map(f->ix)->header->fixed;
    put(other, 0, &fixed, sizeof fixed);
    assert_int_equal(lov_open(other, &lov, error, sizeof error), LOV_ECORRUPT);
    assert_non_null(strstr(error, "cut short"));
    fixed.section[SECTION_TERMS].offset += 64;
    put(other, 0, &fixed, sizeof fixed);
    assert_int_equal(truncate(other, (off_t)fixed.file_size), 0);
    assert_int_equal(lov_open(other, &lov, error, sizeof error), LOV_ECORRUPT);
    assert_null(lov);
}

static void test_a_file_cut_short_under_its_reader_is_unavailable(void **state)
{
    struct fixture *f = *state;
    struct lov *lov = open_lov(f->dir), *second = open_lov(f->dir);
    struct lov_decision d;
    add_some(f);
    assert_int_equal(ask(lov, 1, &d), 1);
    /* In another process, since this one's writer has the file mapped too. */
    pid_t child = fork();
    if (child == 0) {
        bool ok = truncate(f->path, 4096 * 2) == 0;
        for (int i = 0; i < 2; i++)
            ok = ok && ask(i ? second : lov, 1, &d) == 0 && d.reason == LOV_UNAVAILABLE;
        ok = ok && truncate(f->path, 0) == 0 && ask(lov, 1, &d) == 0;
        lov_close(lov);
        lov_close(second);
        _exit(ok ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(ask(lov, 1, &d), 0);
    assert_int_equal(d.reason, LOV_UNAVAILABLE);
    /* The writer's mapping is gone with it: as a server would, it starts again. */
    int fd = open(f->path, O_RDWR);
    assert_int_equal(ftruncate(fd, (off_t)index_map(f->ix)->size), 0);
    close(fd);
    index_close(f->ix, false);
    open_index_in(f);
    assert_int_equal(f->found, INDEX_EMPTY);
    name_things(f);
    publish_policy(f);
    index_go_live(f->ix);
    add_some(f);
    /* Looked for anew a moment later. */
    int64_t start = clock_monotonic();
    while (ask(lov, 1, &d) == 0 && clock_monotonic() - start < INT64_C(3000000000))
        usleep(20000);
    assert_int_equal(ask(lov, 1, &d), 1);
    lov_close(lov);
    lov_close(second);
}

static void test_a_clock_behind_the_ledger_is_not_trusted(void **state)
{
    struct fixture *f = *state;
    struct lov *lov = open_lov(f->dir);
    struct lov_decision d;
    add_consumer(f, 1, PERMIT_GIVEN);
    /* Not only from the next second or heartbeat on. */
    for (int i = 0; i < 3; i++)
        assert_int_equal(ask(lov, 1, &d), 1);
    index_write_lock(f->ix);
    index_latest(f->ix, clock_now() + 60000);
    index_write_unlock(f->ix);
    assert_int_equal(ask(lov, 1, &d), 0);
    assert_int_equal(d.reason, LOV_UNAVAILABLE);
    lov_close(lov);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, make, end)
        T(test_the_index_says_what_was_set_through_growth_and_restarts),
        T(test_who_is_forgotten_is_nobody_through_growth_and_may_come_back),
        T(test_a_reader_sees_every_change_at_once),
        T(test_misuse_is_answered_with_no),
        T(test_no_reader_sees_half_of_a_change),
        T(test_no_thread_permits_after_a_withdrawal_while_the_table_grows),
        T(test_no_process_permits_after_a_withdrawal),
        T(test_without_a_writer_the_answer_is_unavailable),
        T(test_a_dead_writer_is_noticed_and_its_work_taken_over),
        T(test_a_writer_that_died_inside_a_change_leaves_nothing_to_trust),
        T(test_damage_in_a_closed_index_empties_it),
        T(test_files_that_are_no_index_of_this_format_are_refused),
        T(test_a_file_cut_short_under_its_reader_is_unavailable),
        T(test_a_clock_behind_the_ledger_is_not_trusted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
