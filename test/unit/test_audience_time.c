/* test_audience_time.c - audiences while time goes on, without their sets, and while consumers
 * change. */
#include "test_audience_fixture.h"

/* ---- time ---- */

static const struct policy_activity *consent_activity(struct world *w)
{
    const struct policy *p = policy_of(w);
    for (size_t i = 0; i < p->activity_count; i++)
        if (p->activities[i].notice && !p->activities[i].recipient->suspended)
            return &p->activities[i];
    fail();
    return NULL;
}

static struct permit given(struct world *w, const struct policy_activity *a, int64_t end)
{
    return (struct permit){
        .key = index_key(w->e.index, a->recipient->id, a->purpose->id, a->categories[0]->id),
        .state = PERMIT_GIVEN,
        .by_guardian = true,
        .notice = index_notice(w->e.index, a->notice->id),
        .notice_version = 2,
        .expires_at = end,
    };
}

static struct asking asking_of(const struct policy_activity *a, struct question *q)
{
    *q = (struct question){
        .recipient = a->recipient->id, .purpose = a->purpose->id, .category = a->categories[0]->id};
    return (struct asking){.all = {*q}, .ask = {.all = q, .count = 1}};
}

/* Consent decides everywhere. */
static void consent_alone(struct world *w)
{
    struct policy *p = (struct policy *)policy_of(w);
    for (size_t i = 0; i < p->activity_count; i++)
        for (size_t k = 0; k < p->law_count; k++)
            p->activities[i].basis[k] = BASIS_CONSENT;
    struct policy *again = policy_ref(p);
    index_write_lock(w->e.index);
    engine_set_rules(&w->e, rules_new(w->e.index, again));
    index_write_unlock(w->e.index);
}

static void test_a_consent_that_ends_leaves_the_audience_at_its_end(void **state)
{
    struct world *w = *state;
    struct question question;
    consent_alone(w);
    const struct policy_activity *a = consent_activity(w);
    struct asking q = asking_of(a, &question);
    int64_t ends = clock_now() + 700;
    index_write_lock(w->e.index);
    for (; w->consumers < 1000; w->consumers++) {
        struct hash128 lookup = lookup_of(w->consumers);
        struct uid cid = uid_new();
        struct permit p = given(w, a, w->consumers % 2 ? ends : INT64_MAX);
        index_set(w->e.index, index_add(w->e.index, &lookup, &cid, 0), &p);
    }
    index_write_unlock(w->e.index);
    struct audience *audience = audience_open(&w->e, &q.ask);
    assert_int_equal(count_now(audience), 1000);
    assert_true(clock_now() < ends);
    uint64_t built = index_sets(w->e.index)->built_count;
    while (clock_now() <= ends)
        usleep(20000);
    assert_int_equal(count_now(audience), 500);
    assert_int_equal(find_all(w, audience, 7), 500);
    assert_int_equal(index_sets(w->e.index)->built_count, built);
    audience_close(audience);
}

static void test_a_segment_is_built_again_after_its_window(void **state)
{
    struct world *w = *state;
    struct sets *s = index_sets(w->e.index);
    struct question question;
    consent_alone(w);
    const struct policy_activity *a = consent_activity(w);
    struct asking q = asking_of(a, &question);
    int64_t now = clock_now(), day = DAY_MS;
    index_write_lock(w->e.index);
    for (; w->consumers < 300; w->consumers++) {
        struct hash128 lookup = lookup_of(w->consumers);
        struct uid cid = uid_new();
        struct permit p = given(w, a, w->consumers % 3 ? now + day : now - day);
        index_set(w->e.index, index_add(w->e.index, &lookup, &cid, 0), &p);
    }
    index_write_unlock(w->e.index);
    struct audience *audience = audience_open(&w->e, &q.ask);
    /* As if asked two days ago, and two days from now: neither is what holds now. */
    assert_true(sets_build(s, 0, now - 2 * day, 0));
    assert_null(sets_segment(s, 0, now));
    assert_int_equal(count_now(audience), 200);
    assert_true(sets_build(s, 0, now + 2 * day, 0));
    assert_null(sets_segment(s, 0, now));
    assert_int_equal(count_now(audience), 200);
    audience_close(audience);
}

/* A segment that is built between the two looks at a change may hold either of what they saw. */
static void test_a_change_is_seen_by_a_segment_built_in_its_midst(void **state)
{
    struct world *w = *state;
    struct sets *s = index_sets(w->e.index);
    struct question question;
    consent_alone(w);
    const struct policy_activity *a = consent_activity(w);
    struct asking q = asking_of(a, &question);
    int64_t now = clock_now(), hour = 3600000;
    struct permit p = given(w, a, now + 3 * hour);
    index_write_lock(w->e.index);
    for (; w->consumers < 20; w->consumers++) {
        struct hash128 lookup = lookup_of(w->consumers);
        struct uid cid = uid_new();
        index_set(w->e.index, index_add(w->e.index, &lookup, &cid, 0), &p);
    }
    index_write_unlock(w->e.index);
    struct hash128 lookup = lookup_of(7);
    struct audience *audience = audience_open(&w->e, &q.ask);
    assert_int_equal(count_now(audience), 20);
    /* The window of the first ends after the consent, that of the second before. */
    sets_before(s, lookup_address(&lookup), 7, false);
    assert_true(sets_build(s, 0, now - 4 * hour, 0));
    assert_non_null(sets_segment(s, 0, now));
    uint64_t build = s->before_build;
    uint32_t count = s->before_count;
    assert_true(build > 0 && count > 0);
    atomic_store(&s->any, false); /* the change itself goes unseen */
    p.state = PERMIT_WITHDRAWN;
    index_write_lock(w->e.index);
    index_set(w->e.index, index_change(w->e.index, &lookup), &p);
    index_write_unlock(w->e.index);
    atomic_store(&s->any, true);
    assert_int_equal(count_now(audience), 20);
    s->before_build = build;
    s->before_count = count;
    sets_after(s, lookup_address(&lookup), 7);
    assert_int_equal(count_now(audience), 19);
    audience_close(audience);
}

/* ---- without sets, without an answer ---- */

static void test_without_room_everybody_is_asked_alone(void **state)
{
    struct world *w = *state;
    struct asking q;
    struct sets *s = index_sets(w->e.index);
    add_consumers(w, 3000);
    for (int i = 0; i < 20; i++) {
        random_asking(w, &q);
        compare(w, &q);
    }
    struct rlimit all, none;
    getrlimit(RLIMIT_FSIZE, &all);
    none = all;
    none.rlim_cur = s->region.allocated;
    /* The index has its room; the sets have what they have. */
    index_reserve(w->e.index, MOST_CONSUMERS);
    setrlimit(RLIMIT_FSIZE, &none);
    s->region.used = s->region.allocated;
    memset(s->region.free, 0, sizeof s->region.free);
    change_some(w, 2000);
    setrlimit(RLIMIT_FSIZE, &all);
    assert_false(s->usable);
    for (int i = 0; i < 20; i++) {
        random_asking(w, &q);
        compare(w, &q);
    }
}

static void test_nobody_is_found_where_nothing_can_be_decided(void **state)
{
    struct world *w = *state;
    struct asking q;
    add_consumers(w, 3000);
    random_asking(w, &q);
    struct audience *a = audience_open(&w->e, &q.ask);
    atomic_store(&w->e.latest, clock_now() + 3600000); /* the clock ran backwards */
    assert_int_equal(count_now(a), 0);
    assert_int_equal(find_all(w, a, 100), 0);
    atomic_store(&w->e.latest, 0);
    audience_close(a);
}

static void test_who_has_no_patience_gets_a_part(void **state)
{
    struct world *w = *state;
    struct question question;
    struct err err = {0};
    int64_t n = -1, next = 0;
    size_t count;
    consent_alone(w);
    struct asking q = asking_of(consent_activity(w), &question);
    add_consumers(w, 70000);
    struct audience *a = audience_open(&w->e, &q.ask);
    assert_int_equal(audience_count(a, 0, &n, &err), LOV_EUNAVAILABLE);
    assert_string_equal(err.reason, "audience_not_ready");
    audience_find(a, 0, 10, 0, w->found, &count, &next);
    assert_int_equal(count, 0);
    assert_int_equal(next, 0);
    assert_true(engine_keep_audiences(&w->e, &err) == 0);
    uint32_t wanting = 0;
    while (sets_wanting(index_sets(w->e.index), &wanting, clock_now(), 0))
        usleep(1000);
    uint64_t built = index_sets(w->e.index)->built_count;
    n = count_now(a);
    assert_true(n > 0 && built == index_sets(w->e.index)->built_count);
    assert_int_equal(n, (int64_t)find_all(w, a, 1000));
    assert_by_sets(w);
    audience_close(a);
}

/* ---- all at once ---- */

struct race {
    struct world *w;
    const struct policy_activity *a;
    _Atomic bool stop;
    _Atomic uint8_t *withdrawn; /* for good, and the call has returned */
    _Atomic int64_t answers;
};

/* Of three one never changes, one goes back and forth, one is taken back at some time. */
static void *race_to_write(void *arg)
{
    struct race *r = arg;
    struct index *ix = r->w->e.index;
    uint64_t random = 7;
    while (!atomic_load(&r->stop)) {
        int64_t number = (int64_t)seed_below(&random, (uint64_t)r->w->consumers);
        if (number % 3 == 0)
            continue;
        struct hash128 lookup = lookup_of(number);
        index_write_lock(ix);
        struct index_consumer *c = index_change(ix, &lookup);
        struct permit p = given(r->w, r->a, INT64_MAX);
        if (number % 3 == 2 || seed_below(&random, 2))
            p.state = PERMIT_WITHDRAWN;
        if (seed_below(&random, 3) == 0)
            p.expires_at = clock_now() + 600000 + (int64_t)seed_below(&random, 2 * DAY_MS);
        index_set(ix, c, &p);
        index_write_unlock(ix);
        if (number % 3 == 2)
            atomic_store(&r->withdrawn[number], 1);
        sched_yield(); /* the lock is not fair: who comes back at once may keep it for minutes */
    }
    return NULL;
}

static void *race_to_build(void *arg)
{
    struct race *r = arg;
    struct sets *s = index_sets(r->w->e.index);
    for (uint32_t i = 0; !atomic_load(&r->stop); i++) {
        sets_build(s, i % 2, clock_now(), 6 * 3600000);
        sched_yield();
    }
    return NULL;
}

static void *race_to_ask(void *arg)
{
    struct race *r = arg;
    struct question question;
    struct asking q = asking_of(r->a, &question);
    uint32_t *found = calloc(MOST_CONSUMERS, sizeof *found);
    uint8_t *gone = calloc(MOST_CONSUMERS, 1);
    while (!atomic_load(&r->stop)) {
        struct audience *a = audience_open(&r->w->e, &q.ask);
        size_t n = 0, kept = 0, count;
        for (int64_t i = 0; i < r->w->consumers; i++)
            gone[i] = atomic_load(&r->withdrawn[i]);
        for (int64_t next = 0; next >= 0; n += count)
            audience_find(a, next, 5000, -1, found + n, &count, &next);
        for (size_t i = 0; i < n; i++) {
            if (gone[found[i]])
                fail_msg("consumer %u was withdrawn before the question", found[i]);
            kept += found[i] % 3 == 0;
        }
        assert_int_equal(kept, (r->w->consumers + 2) / 3);
        int64_t counted = count_now(a);
        assert_true(counted >= (int64_t)kept && counted <= r->w->consumers);
        atomic_fetch_add(&r->answers, 1);
        audience_close(a);
    }
    free(found);
    free(gone);
    return NULL;
}

static void test_nobody_who_withdrew_before_the_question_is_found(void **state)
{
    struct world *w = *state;
    struct question question;
    consent_alone(w);
    struct race r = {.w = w, .a = consent_activity(w)};
    struct asking q = asking_of(r.a, &question);
    pthread_t threads[4];
    void *(*const work[4])(void *) = {race_to_write, race_to_build, race_to_ask, race_to_ask};
    index_write_lock(w->e.index);
    for (; w->consumers < 80000; w->consumers++) {
        struct hash128 lookup = lookup_of(w->consumers);
        struct uid cid = uid_new();
        struct permit p = given(w, r.a, INT64_MAX);
        index_set(w->e.index, index_add(w->e.index, &lookup, &cid, 0), &p);
    }
    index_write_unlock(w->e.index);
    r.withdrawn = calloc(MOST_CONSUMERS, sizeof *r.withdrawn);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work[i], &r), 0);
    int64_t start = clock_now();
    while (clock_now() - start < 4000 || atomic_load(&r.answers) < 6)
        usleep(10000);
    atomic_store(&r.stop, true);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    print_message("%lld audiences, %llu segments built\n", (long long)r.answers,
                  (unsigned long long)index_sets(w->e.index)->built_count);
    /* What the race left behind is what would be built. */
    compare(w, &q);
    free((void *)r.withdrawn);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD(test_a_consent_that_ends_leaves_the_audience_at_its_end),
        WORLD(test_a_segment_is_built_again_after_its_window),
        WORLD(test_a_change_is_seen_by_a_segment_built_in_its_midst),
        WORLD(test_without_room_everybody_is_asked_alone),
        WORLD(test_nobody_is_found_where_nothing_can_be_decided),
        WORLD(test_who_has_no_patience_gets_a_part),
        WORLD(test_nobody_who_withdrew_before_the_question_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
