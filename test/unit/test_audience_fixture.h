/*
 * test_audience_fixture.h - random policies and consumers in an index, and who an audience should
 * have.
 */
#ifndef LOV_TEST_AUDIENCE_FIXTURE_H
#define LOV_TEST_AUDIENCE_FIXTURE_H

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

static inline uint64_t below(struct world *w, uint64_t bound)
{
    return seed_below(&w->random, bound);
}

static inline struct hash128 lookup_of(int64_t number)
{
    static const uint8_t key[16] = "key of the tests";
    return siphash128(key, (struct str){(const char *)&number, sizeof number});
}

/* ---- the world ---- */

static inline void randomise(struct world *w, struct policy *p)
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

static inline void new_policy(struct world *w)
{
    struct policy *p = NULL;
    struct policy_findings findings = {0};
    struct err err = {0};
    if (policy_compile(&w->fixture.bundle, NULL, 0, clock_now(), &p, &findings, &err) != 0)
        fail_msg("%s", err.text);
    policy_findings_free(&findings);
    randomise(w, p);
    index_write_lock(w->e.index);
    engine_set_rules(&w->e, rules_new(w->e.index, p));
    index_write_unlock(w->e.index);
}

static inline void open_index(struct world *w)
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

static inline int make_world(void **state)
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

static inline int end_world(void **state)
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

static inline const struct policy *policy_of(struct world *w)
{
    return rules_policy(rules_in_force(&w->e));
}

/* ---- consumers ---- */

/* Never so near that it passes while two answers are compared: but within the window, and not. */
static inline int64_t random_end(struct world *w)
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
static inline int32_t random_born(struct world *w)
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

static inline void random_permit(struct world *w, struct index_consumer *c, bool plain)
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

static inline void change_at_random(struct world *w, struct index_consumer *c)
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

static inline void add_consumers(struct world *w, int64_t count)
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

static inline void change_some(struct world *w, int count)
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

static inline int64_t count_now(struct audience *a)
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

static inline void random_asking(struct world *w, struct asking *q)
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

static inline bool lives_in(struct str code, struct str territory)
{
    struct str country = code;
    return str_eq(code, territory) ||
           (str_find(code, '-') < code.n && str_eq(str_cut(&country, '-'), territory));
}

/* By decide_number() for each condition, and the names of residence and law. */
static inline bool expected(struct world *w, const struct asking *q, int64_t number)
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

static inline size_t find_all(struct world *w, struct audience *a, size_t page)
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
static inline int64_t compare(struct world *w, const struct asking *q)
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
static inline void grow_old(struct world *w)
{
    struct sets *s = index_sets(w->e.index);
    s->window_ms = 2 * DAY_MS;
    for (int64_t n = 0; n < w->consumers; n += SEGMENT) {
        int64_t at = clock_now() - (int64_t)below(w, 46 * 3600000);
        assert_true(sets_build(s, (uint32_t)(n >> SEGMENT_BITS), at, s->window_ms));
    }
}

/* Found by sets, not by asking everybody. */
static inline void assert_by_sets(struct world *w)
{
    struct sets *s = index_sets(w->e.index);
    assert_true(s->usable);
    for (int64_t n = 0; n < w->consumers; n += SEGMENT)
        assert_non_null(sets_segment(s, (uint32_t)(n >> SEGMENT_BITS), clock_now()));
}

#define WORLD(test) cmocka_unit_test_setup_teardown(test, make_world, end_world)

#endif
