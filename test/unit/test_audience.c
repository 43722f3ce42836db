/* test_audience.c - audiences against decide(): random policies, random consumers over several
 * segments, random changes; every audience must be those and only those whom decide() permits, and
 * the count their number. Then the same while others write, build and ask at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "consent/engine.h"
#include "consent/sets.h"
#include "test_policy_fixture.h"
#include "test_seed.h"

enum { MOST_CONSUMERS = 140000, CODES = 7 };
static const char *const codes[CODES] = {"SE", "DE", "US-CA", "US", "US-NY", "", "XX"};

struct world {
    char dir[64];
    struct log log;
    struct engine e; /* an index and rules, no more */
    struct fixture fixture;
    uint64_t random;
    int64_t consumers;
    int64_t start;
    uint32_t *found; /* of one asking */
};

static uint64_t below(struct world *w, uint64_t bound)
{
    return seed_below(&w->random, bound);
}

static struct hash128 lookup_of(int64_t number)
{
    static const uint8_t key[16] = "key of the tests";
    return siphash128(key, (struct str){(const char *)&number, sizeof number});
}

/* ---- the world ---- */

static void randomise(struct world *w, struct policy *p)
{
    static const int ages[] = {0, 13, 16, 18, 21, 22, 30};
    for (size_t i = 0; i < p->law_count; i++) {
        p->laws[i].guardian_below = ages[below(w, 7)];
        p->laws[i].opt_in_below = ages[below(w, 7)];
    }
    for (size_t i = 0; i < p->activity_count; i++)
        for (size_t k = 0; k < p->law_count; k++)
            p->activities[i].basis[k] = (enum policy_basis)below(w, BASIS_PUBLIC_TASK + 1);
    for (size_t i = 0; i < p->notice_count; i++)
        p->notices[i].sufficient_from = 1 + (int)below(w, 2);
    for (size_t i = 0; i < p->recipient_count; i++)
        p->recipients[i].suspended = below(w, 12) == 0;
}

static void new_policy(struct world *w)
{
    struct policy *p = NULL;
    struct policy_findings findings = {0};
    struct err err = {0};
    if (policy_compile(&w->fixture.bundle, NULL, 0, &p, &findings, &err) != 0)
        fail_msg("%s", err.text);
    policy_findings_free(&findings);
    randomise(w, p);
    index_write_lock(w->e.index);
    engine_set_rules(&w->e, rules_new(w->e.index, p));
    index_write_unlock(w->e.index);
}

static void open_index(struct world *w)
{
    struct index_options o = {.dir = w->dir, .installation = "test", .shards = 1, .log = &w->log};
    enum index_found found;
    struct err err = {0};
    if (index_open(&o, &w->e.index, &found, &err) != 0)
        fail_msg("%s", err.text);
    index_write_lock(w->e.index);
    index_residence(w->e.index, STR("SE"));
    index_write_unlock(w->e.index);
    new_policy(w);
    index_go_live(w->e.index);
}

static int make_world(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    w->random = seed_start();
    w->start = clock_now();
    w->log = (struct log){.fd = STDERR_FILENO, .level = LOG_ERROR};
    snprintf(w->dir, sizeof w->dir, "/tmp/lov-audience-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    w->e.log = &w->log;
    w->found = calloc(MOST_CONSUMERS + SEGMENT, sizeof *w->found);
    fixture_open(&w->fixture);
    open_index(w);
    *state = w;
    return 0;
}

static int end_world(void **state)
{
    struct world *w = *state;
    char command[128];
    engine_stop_keeper(&w->e);
    rules_retire(&w->e);
    index_close(w->e.index, true);
    fixture_close(&w->fixture);
    snprintf(command, sizeof command, "rm -rf %s", w->dir);
    int ignored = system(command);
    (void)ignored;
    free(w->found);
    free(w);
    return 0;
}

static const struct policy *policy_of(struct world *w)
{
    return rules_policy(rules_in_force(&w->e));
}

/* ---- consumers ---- */

/* Never so near that it passes while two answers are compared: but within the window, and not. */
static int64_t random_end(struct world *w)
{
    int64_t hour = 3600000;
    switch (below(w, 7)) {
    case 0:
        return INT64_MAX;
    case 3:
        return w->start - 60000 - (int64_t)below(w, 44 * (uint64_t)hour);
    case 1:
        return w->start - (int64_t)below(w, 3000) * hour - 60000;
    case 2:
        return w->start + 2 * hour + (int64_t)below(w, 6 * (uint64_t)hour);
    default:
        return w->start + 24 * hour + (int64_t)below(w, 9000) * hour;
    }
}

/* Some on a birthday, some the day before and after. */
static int32_t random_born(struct world *w)
{
    static const int ages[] = {0, 13, 16, 18, 21, 22, 23, 30, 40, 80};
    int32_t today = (int32_t)(w->start / DAY_MS);
    switch (below(w, 5)) {
    case 0:
        return DAY_NONE;
    case 1:
        return date_add_years(today, -ages[below(w, 10)]) + (int32_t)below(w, 5) - 2;
    case 2:
        return below(w, 50) ? today - (int32_t)below(w, 12000)
                            : (int32_t)(below(w, 2) ? 3900000 + below(w, 900000) : 0) -
                                  (int32_t)below(w, 30000);
    default:
        return today - 4000 - (int32_t)below(w, 8000);
    }
}

static void random_permit(struct world *w, struct index_consumer *c, bool plain)
{
    const struct policy *p = policy_of(w);
    const struct policy_activity *a = &p->activities[below(w, p->activity_count)];
    const struct policy_category *category = a->categories[below(w, a->category_count)];
    struct permit permit = {
        .key = index_key(w->e.index, a->recipient->id, a->purpose->id, category->id),
        .state = below(w, 3) ? PERMIT_GIVEN : (uint8_t)below(w, 3),
        .by_guardian = below(w, 5) == 0,
        .notice =
            index_notice(w->e.index, a->notice && below(w, 20) ? a->notice->id : STR("another")),
        .notice_version = 1 + (int32_t)below(w, 2),
        .expires_at = random_end(w),
        .consent = (int64_t)below(w, 1000000),
    };
    if (plain && below(w, 4))
        permit.state = PERMIT_GIVEN, permit.expires_at = INT64_MAX, permit.notice_version = 2;
    index_set(w->e.index, c, &permit);
}

static void change_at_random(struct world *w, struct index_consumer *c)
{
    struct index *ix = w->e.index;
    if (below(w, 3) == 0) {
        c->residence = index_residence(ix, str_of(codes[below(w, CODES)]));
        c->restricted = below(w, 10) == 0;
        c->opt_out_signal = below(w, 8) == 0;
        c->born = random_born(w);
    }
    if (below(w, 6) == 0)
        index_clear(ix, c);
    for (uint64_t n = below(w, 4); n-- > 0;)
        random_permit(w, c, false);
}

static void add_consumers(struct world *w, int64_t count)
{
    struct index *ix = w->e.index;
    index_write_lock(ix);
    for (; count-- > 0; w->consumers++) {
        struct hash128 lookup = lookup_of(w->consumers);
        struct uid cid = {{0}};
        memcpy(cid.b, &w->consumers, sizeof w->consumers);
        struct index_consumer *c = index_add(ix, &lookup, &cid, 0);
        /* Mostly of one residence, so that there are arrays, bits and all. */
        c->residence = index_residence(ix, str_of(codes[below(w, 3) ? 0 : below(w, CODES)]));
        c->born = below(w, 3) ? DAY_NONE : random_born(w);
        c->restricted = below(w, 50) == 0;
        c->opt_out_signal = below(w, 20) == 0;
        for (uint64_t n = below(w, 4); n-- > 0;)
            random_permit(w, c, true);
    }
    index_write_unlock(ix);
}

static void change_some(struct world *w, int count)
{
    struct index *ix = w->e.index;
    while (count-- > 0) {
        struct hash128 lookup = lookup_of((int64_t)below(w, (uint64_t)w->consumers));
        index_write_lock(ix);
        struct index_consumer *c = index_change(ix, &lookup);
        if (!c->erased && below(w, 20) == 0)
            index_erase(ix, c);
        else if (!c->erased)
            change_at_random(w, c);
        index_write_unlock(ix);
    }
}

/* ---- asking ---- */

static int64_t count_now(struct audience *a)
{
    struct err err = {0};
    int64_t n = -1;
    assert_int_equal(audience_count(a, -1, &n, &err), 0);
    return n;
}

struct asking {
    struct question all[AUDIENCE_CONDITIONS];
    struct str residences[3], laws[2];
    struct audience_ask ask;
};

static void random_asking(struct world *w, struct asking *q)
{
    const struct policy *p = policy_of(w);
    *q = (struct asking){.ask = {.all = q->all, .residences = q->residences, .laws = q->laws}};
    const struct policy_activity *a = &p->activities[below(w, p->activity_count)];
    for (q->ask.count = 0; q->ask.count < 1 + below(w, 2) * below(w, 3); q->ask.count++) {
        if (below(w, 4) == 0)
            a = &p->activities[below(w, p->activity_count)];
        q->all[q->ask.count] = (struct question){
            .recipient = a->recipient->id,
            .purpose = a->purpose->id,
            .category =
                below(w, 40) ? a->categories[below(w, a->category_count)]->id : STR("unheard_of"),
        };
    }
    if (below(w, 3) == 0)
        q->residences[q->ask.residence_count++] = str_of(codes[below(w, CODES)]);
    if (below(w, 6) == 0)
        q->residences[q->ask.residence_count++] = STR("US");
    if (below(w, 4) == 0)
        q->laws[q->ask.law_count++] = p->laws[below(w, p->law_count)].id;
}

static bool lives_in(struct str code, struct str territory)
{
    struct str country = code;
    return str_eq(code, territory) ||
           (str_find(code, '-') < code.n && str_eq(str_cut(&country, '-'), territory));
}

/* By decide_number() for each condition, and the names of residence and law. */
static bool expected(struct world *w, const struct asking *q, int64_t number)
{
    struct rules *r = rules_in_force(&w->e);
    struct permit_answer answer;
    const struct permit_map *m = index_map(w->e.index);
    for (size_t i = 0; i < q->ask.count; i++) {
        struct question one = q->all[i];
        struct decision d;
        one.at = clock_now();
        decide_number(&w->e, r, &one, number, &d);
        if (!d.permit)
            return false;
    }
    if (permit_find_number(m, index_address(w->e.index, number), (uint32_t)number, INDEX_NO_KEY,
                           &answer) != PERMIT_SOMEBODY)
        return false;
    index_write_lock(w->e.index);
    struct str code = index_residence_name(w->e.index, answer.residence);
    index_write_unlock(w->e.index);
    bool lives = q->ask.residence_count == 0, covered = q->ask.law_count == 0;
    for (size_t i = 0; i < q->ask.residence_count; i++)
        lives |= lives_in(code, q->residences[i]);
    for (size_t i = 0; i < q->ask.law_count; i++)
        covered |= str_eq(policy_law_of(rules_policy(r), code)->id, q->laws[i]);
    return lives && covered;
}

static size_t find_all(struct world *w, struct audience *a, size_t page)
{
    size_t n = 0;
    for (int64_t next = 0; next >= 0;) {
        size_t count;
        audience_find(a, next, page, -1, w->found + n, &count, &next);
        n += count;
    }
    return n;
}

/* Returns how many were permitted. */
static int64_t compare(struct world *w, const struct asking *q)
{
    struct audience *a = audience_open(&w->e, &q->ask);
    struct err err = {0};
    int64_t counted = -1, n = 0;
    assert_int_equal(audience_count(a, -1, &counted, &err), 0);
    size_t found = find_all(w, a, below(w, 2) ? 1000000 : 1 + below(w, 3000));
    for (int64_t number = 0; number < w->consumers; number++) {
        if (!expected(w, q, number))
            continue;
        if ((size_t)n >= found || w->found[n] != number)
            fail_msg("consumer %lld is permitted and not found: %.*s/%.*s/%.*s", (long long)number,
                     STR_ARG(q->all[0].recipient), STR_ARG(q->all[0].purpose),
                     STR_ARG(q->all[0].category));
        n++;
    }
    assert_int_equal((int64_t)found, n);
    assert_int_equal(counted, n);
    audience_close(a);
    return n;
}

/* Windows that began some time ago: permits have ended in them, and a birthday has begun. */
static void grow_old(struct world *w)
{
    struct sets *s = index_sets(w->e.index);
    s->window_ms = 2 * DAY_MS;
    for (int64_t n = 0; n < w->consumers; n += SEGMENT) {
        int64_t at = clock_now() - (int64_t)below(w, 46 * 3600000);
        assert_true(sets_build(s, (uint32_t)(n >> SEGMENT_BITS), at, s->window_ms));
    }
}

/* Found by sets, not by asking everybody. */
static void assert_by_sets(struct world *w)
{
    struct sets *s = index_sets(w->e.index);
    assert_true(s->usable);
    for (int64_t n = 0; n < w->consumers; n += SEGMENT)
        assert_non_null(sets_segment(s, (uint32_t)(n >> SEGMENT_BITS), clock_now()));
}

static void test_an_audience_is_whom_decide_permits(void **state)
{
    struct world *w = *state;
    struct asking q;
    int64_t permitted = 0;
    add_consumers(w, 70000);
    for (int round = 0; round < 12; round++) {
        if (round % 2 == 0)
            new_policy(w);
        if (round == 6)
            add_consumers(w, MOST_CONSUMERS - w->consumers);
        if (round % 2)
            grow_old(w);
        for (int k = 0; k < 3; k++) {
            random_asking(w, &q);
            permitted += compare(w, &q);
        }
        assert_by_sets(w);
        change_some(w, 3000);
        if (round % 5 == 3)
            add_consumers(w, 500);
    }
    assert_true(permitted > 50000);
}

/* So few that a set may well be empty, or have everybody of an age. */
static void test_a_small_audience_is_whom_decide_permits(void **state)
{
    struct world *w = *state;
    struct asking q;
    add_consumers(w, 12);
    for (int round = 0; round < 1200; round++) {
        if (round % 8 == 0)
            new_policy(w);
        if (round % 100 == 0)
            add_consumers(w, 1);
        if (round % 3 == 0)
            grow_old(w);
        random_asking(w, &q);
        compare(w, &q);
        change_some(w, 4);
    }
    assert_by_sets(w);
}

static void test_an_audience_follows_the_policy(void **state)
{
    struct world *w = *state;
    struct asking q;
    int64_t different = 0, last = 0;
    add_consumers(w, 3000);
    for (int i = 0; i < 10; i++) {
        random_asking(w, &q);
        struct audience *a = audience_open(&w->e, &q.ask);
        /* The names of what is asked outlive the policy that they were taken from. */
        char names[AUDIENCE_CONDITIONS * 3 + 8][64];
        size_t n = 0;
        struct str *texts[AUDIENCE_CONDITIONS * 3 + 8];
        for (size_t k = 0; k < q.ask.count; k++) {
            texts[n++] = &q.all[k].recipient;
            texts[n++] = &q.all[k].purpose;
            texts[n++] = &q.all[k].category;
        }
        for (size_t k = 0; k < q.ask.law_count; k++)
            texts[n++] = &q.laws[k];
        for (size_t k = 0; k < n; k++) {
            snprintf(names[k], sizeof names[k], "%.*s", STR_ARG(*texts[k]));
            *texts[k] = str_of(names[k]);
        }
        for (int k = 0; k < 12; k++) {
            new_policy(w);
            int64_t now = count_now(a);
            assert_int_equal(now, compare(w, &q));
            different += now != last;
            last = now;
        }
        audience_close(a);
    }
    assert_true(different > 20);
}

/* The members of sets themselves: built anew they are what changes have made of them. */
static void test_sets_that_changed_are_those_that_are_built(void **state)
{
    struct world *w = *state;
    struct sets *s = index_sets(w->e.index);
    int64_t now = clock_now();
    add_consumers(w, 66000);
    assert_true(sets_build(s, 0, now, 0) && sets_build(s, 1, now, 0));
    change_some(w, 60000);
    add_consumers(w, 3000);
    for (uint32_t i = 0; i < 2; i++) {
        struct segment kept = *s->segments[i];
        struct slot *slots = calloc(kept.count, sizeof *slots);
        struct bits *before = calloc(kept.count, sizeof *before), after;
        for (uint32_t k = 0; k < kept.count; k++) {
            slots[k] = kept.slots[k];
            slot_or(&s->region, &kept.slots[k], &before[k]);
        }
        assert_true(sets_build(s, i, now, 6 * 3600000));
        const struct segment *built = s->segments[i];
        assert_int_equal(built->count, kept.count);
        for (uint32_t k = 0; k < built->count; k++) {
            memset(&after, 0, sizeof after);
            slot_or(&s->region, &built->slots[k], &after);
            assert_int_equal(built->slots[k].set, slots[k].set);
            assert_int_equal(built->slots[k].count, slots[k].count);
            assert_memory_equal(&after, &before[k], sizeof after);
        }
        free(slots);
        free(before);
    }
}

/* ---- one set ---- */

static void check_slot(const struct region *r, const struct slot *s, const struct bits *model)
{
    struct bits b = {{0}};
    uint32_t count = 0;
    slot_or(r, s, &b);
    assert_memory_equal(&b, model, sizeof b);
    for (uint32_t i = 0; i < SEGMENT_WORDS; i++)
        count += (uint32_t)__builtin_popcountll(model->w[i]);
    assert_int_equal(s->count, count);
}

static void test_a_set_holds_what_was_put_into_it(void **state)
{
    struct world *w = *state;
    struct region r;
    struct slot s[4] = {{0}};
    static struct bits model[4];
    assert_true(region_open(&r, w->dir));
    /* Up to all, down to none, in a random order, several at once. */
    for (uint32_t step = 0; step < 600000; step++) {
        uint64_t k = below(w, 4);
        uint16_t number = (uint16_t)below(w, SEGMENT);
        bool grows = (step / 150000 + k) % 2 == 0;
        if (grows) {
            bits_add(&model[k], number);
            assert_true(slot_add(&r, &s[k], number));
        } else {
            model[k].w[number >> 6] &= ~((uint64_t)1 << (number & 63));
            assert_true(slot_remove(&r, &s[k], number));
        }
        if (step % 20000 == 0)
            check_slot(&r, &s[k], &model[k]);
    }
    for (uint32_t n = 0; n < SEGMENT; n++)
        assert_true(slot_add(&r, &s[0], (uint16_t)n));
    assert_int_equal(s[0].form, SLOT_ALL);
    for (uint32_t n = 0; n < SEGMENT; n++)
        assert_true(slot_remove(&r, &s[0], (uint16_t)n));
    assert_int_equal(s[0].count, 0);
    for (int k = 1; k < 4; k++)
        check_slot(&r, &s[k], &model[k]);
    region_close(&r);
}

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
    }
    return NULL;
}

static void *race_to_build(void *arg)
{
    struct race *r = arg;
    struct sets *s = index_sets(r->w->e.index);
    for (uint32_t i = 0; !atomic_load(&r->stop); i++)
        sets_build(s, i % 2, clock_now(), 6 * 3600000);
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

#define WORLD(test) cmocka_unit_test_setup_teardown(test, make_world, end_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD(test_a_set_holds_what_was_put_into_it),
        WORLD(test_an_audience_is_whom_decide_permits),
        WORLD(test_a_small_audience_is_whom_decide_permits),
        WORLD(test_an_audience_follows_the_policy),
        WORLD(test_sets_that_changed_are_those_that_are_built),
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
