/* audience.c - of whom may this be used? A question about all consumers at once, answered from the
 * sets of sets.h, a segment of 65,536 at a time: some dozens of operations on words of 64 bits.
 *
 * What permit_judge() (permit/judge.c) says of one consumer is written here once more as what sets
 * say of many: of whom it is sure, and of whom it may turn within the sets' window (a permit ends,
 * a birthday comes), who are then asked one by one. The two must say the same: test_audience.c
 * compares them on random histories. And nobody is named by sets alone: who is found is decided in
 * the index at that moment, so that a withdrawal that was answered holds. */
#include <stdlib.h>

#include "base/clock.h"
#include "consent/engine.h"
#include "consent/sets.h"

enum { CHECKED_AT_ONCE = 32 };

enum { BASES = IMAGE_BASES };

/* What the rules say of a residence. */
struct residence {
    bool wanted;
    int32_t law, guardian_below, opt_in_below;
};

/* What a permit of a term says, as far as a condition is concerned. */
enum role { ROLE_NOTHING, ROLE_GIVEN, ROLE_BY_GUARDIAN, ROLE_NO };

struct condition {
    struct str recipient, purpose, category;
    const struct image_use *use; /* NULL: policy permits nobody */
    uint8_t *roles;              /* by term */
    uint32_t role_count;
};

/* What is worked with in a segment. */
struct sheet {
    struct bits alive, restricted, signal; /* alive: and wanted */
    struct bits minor, turning;            /* below the age of consent; perhaps so */
    struct bits child, turning_child;      /* below the age of opt-out */
    struct bits sure, possible;            /* so far */
    struct bits given, by_guardian, soon, soon_by_guardian, no;
    struct bits these, others; /* of a basis; of all before it */
    struct bits by_consent, perhaps;
    struct bits condition_sure, condition_maybe;
};

struct audience {
    struct engine *e;
    struct rules *rules;
    const struct image *image;
    int64_t at;
    struct arena arena;
    struct condition conditions[AUDIENCE_CONDITIONS];
    size_t count;
    struct str residences[AUDIENCE_CODES], laws[AUDIENCE_CODES];
    size_t residence_count, law_count;
    struct residence *known; /* by residence */
    uint32_t known_count;
    int64_t segment; /* what the sheet is of, -1: nothing */
    bool by_sets;    /* else everybody is possible, and nobody sure */
    struct sheet *sheet;
};

/* ---- the policy ---- */

static void forget_condition(struct condition *c)
{
    free(c->roles);
    *c = (struct condition){c->recipient, c->purpose, c->category, .use = NULL};
}

static void read_policy(struct audience *a)
{
    for (size_t i = 0; i < a->count; i++) {
        struct condition *c = &a->conditions[i];
        enum lov_reason reason =
            permit_policy(a->image, c->recipient, c->purpose, c->category, a->at, &c->use);
        if (reason != LOV_PERMITTED)
            c->use = NULL;
    }
}

/* Takes the rules in force and the time; false when nothing can be decided. */
static bool come_up_to_date(struct audience *a)
{
    struct decision d;
    struct rules *rules = engine_rules(a->e);
    bool available = decide_available(a->e, rules, &d);
    if (rules != a->rules) {
        rules_unref(a->rules);
        a->rules = rules;
        a->segment = -1;
        for (size_t i = 0; i < a->count; i++)
            forget_condition(&a->conditions[i]);
        free(a->known);
        a->known = NULL;
        a->known_count = 0;
    } else {
        rules_unref(rules);
    }
    if (!available)
        return false;
    a->image = (const struct image *)(const void *)a->rules->image.p;
    a->at = permit_now();
    read_policy(a);
    return true;
}

static enum role role_of(const struct condition *c, const struct permit_term *t)
{
    uint32_t key = c->use->key;
    if (t->group != key >> GROUP_BITS || !(t->mask >> (key & ((1U << GROUP_BITS) - 1)) & 1))
        return ROLE_NOTHING;
    if (t->state != PERMIT_GIVEN)
        return ROLE_NO;
    if (c->use->notice_from == INT32_MAX || t->notice != c->use->notice ||
        t->notice_version < c->use->notice_from)
        return ROLE_NOTHING;
    return t->by_guardian ? ROLE_BY_GUARDIAN : ROLE_GIVEN;
}

static void learn_terms(struct condition *c, const struct term_table *terms)
{
    if (c->role_count == terms->count)
        return;
    c->roles = mem_grow(c->roles, terms->count, sizeof *c->roles);
    for (; c->role_count < terms->count; c->role_count++)
        c->roles[c->role_count] = (uint8_t)role_of(c, &terms->term[c->role_count]);
}

/* ---- residences ---- */

static bool is_in(struct str code, struct str territory)
{
    return str_eq(code, territory) || (str_starts(code, territory) && code.p[territory.n] == '-');
}

static bool is_wanted(const struct audience *a, uint32_t residence, int32_t law)
{
    const struct permit_map *m = index_map(a->e->index);
    char code[9] = {0};
    uint64_t word = residence < m->residence_limit ? word_get(m->residences + residence) : 0;
    memcpy(code, &word, sizeof word);
    struct str id = rules_policy(a->rules)->laws[law].id;
    bool lives = a->residence_count == 0, covered = a->law_count == 0;
    for (size_t i = 0; i < a->residence_count; i++)
        lives |= is_in(str_of(code), a->residences[i]);
    for (size_t i = 0; i < a->law_count; i++)
        covered |= str_eq(id, a->laws[i]);
    return lives && covered;
}

static const struct residence *residence_of(struct audience *a, uint32_t number)
{
    if (number < a->known_count)
        return &a->known[number];
    a->known = mem_grow(a->known, number + 1, sizeof *a->known);
    for (; a->known_count <= number; a->known_count++) {
        struct image_residence r =
            permit_residence(index_map(a->e->index), a->image, a->known_count);
        a->known[a->known_count] = (struct residence){
            .wanted = is_wanted(a, a->known_count, r.law),
            .law = r.law,
            .guardian_below = r.guardian_below,
            .opt_in_below = IMAGE_AT(a->image, laws, struct image_law)[r.law].opt_in_below,
        };
    }
    return &a->known[number];
}

/* ---- words ---- */

static void clear(struct bits *b)
{
    memset(b, 0, sizeof *b);
}

/* A segment that is being computed. */
struct at_work {
    struct audience *a;
    const struct sets *s;
    const struct segment *g;
    uint32_t homes, homes_end; /* slots: the sets of residences, */
    uint32_t ages_end;         /* then those of ages, */
    uint32_t soon;             /* then those of terms, then of terms that end soon */
    int64_t part;              /* of the window: it is now */
};

static uint32_t first_of(const struct segment *g, enum set_kind kind)
{
    uint32_t low = 0, high = g->count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (set_kind(g->slots[middle].set) < kind)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static const struct residence *home(const struct at_work *w, uint32_t slot)
{
    return residence_of(w->a, set_value(w->g->slots[slot].set));
}

static void or_slot(const struct at_work *w, uint32_t slot, struct bits *out)
{
    slot_or(&w->s->region, &w->g->slots[slot], out);
}

/* ---- ages ---- */

static int32_t age_of(const struct residence *r, bool opt_in)
{
    return opt_in ? r->opt_in_below : r->guardian_below;
}

/* The ages, up to YOUNG, that hold where somebody wanted lives, as bits; who is where a higher one
 * holds may be younger than it, for all that the sets know. */
static uint32_t find_ages(const struct at_work *w, bool opt_in, struct bits *turning)
{
    uint32_t ages = 0;
    for (uint32_t i = w->homes; i < w->homes_end; i++) {
        int32_t years = age_of(home(w, i), opt_in);
        if (!home(w, i)->wanted || years <= 0)
            continue;
        if (years <= YOUNG)
            ages |= 1U << years;
        else
            or_slot(w, i, turning);
    }
    return ages;
}

/* Of those who live where that age holds: who is of `younger`, and who is of `same`. */
static void add_young(const struct at_work *w, bool opt_in, int32_t years,
                      const struct bits *younger, const struct bits *same, struct bits *young,
                      struct bits *turning)
{
    struct bits *these = &w->a->sheet->these;
    clear(these);
    for (uint32_t i = w->homes; i < w->homes_end; i++)
        if (home(w, i)->wanted && age_of(home(w, i), opt_in) == years)
            or_slot(w, i, these);
    for (size_t i = 0; i < SEGMENT_WORDS; i++) {
        young->w[i] |= younger->w[i] & these->w[i];
        turning->w[i] |= same->w[i] & these->w[i];
    }
}

/* What they turn within the window counts: who turns that very age may be younger or not. */
static uint32_t oldest_of(const struct at_work *w, uint32_t slot)
{
    uint32_t value = set_value(w->g->slots[slot].set);
    return value / 2 + value % 2;
}

/* Who is below the age that holds where they live: for consent, and for opting out. */
static void find_young(const struct at_work *w)
{
    struct sheet *t = w->a->sheet;
    struct bits *younger = &t->by_consent, *same = &t->perhaps;
    clear(&t->minor);
    clear(&t->turning);
    clear(&t->child);
    clear(&t->turning_child);
    uint32_t consent = find_ages(w, false, &t->turning);
    uint32_t opt_in = find_ages(w, true, &t->turning_child), next = w->homes_end;
    bool some = w->homes_end < w->ages_end;
    clear(younger);
    for (int32_t years = 1; some && years <= YOUNG; years++) {
        if (!((consent | opt_in) >> years & 1))
            continue;
        for (; next < w->ages_end && oldest_of(w, next) < (uint32_t)years; next++)
            or_slot(w, next, younger);
        clear(same);
        for (uint32_t i = next; i < w->ages_end && oldest_of(w, i) == (uint32_t)years; i++)
            if (set_value(w->g->slots[i].set) % 2)
                or_slot(w, i, same);
        if (consent >> years & 1)
            add_young(w, false, years, younger, same, &t->minor, &t->turning);
        if (opt_in >> years & 1)
            add_young(w, true, years, younger, same, &t->child, &t->turning_child);
    }
}

/* ---- a condition: what permit_judge() says, of many ---- */

/* Where a permit of the slot belongs: of those that end within the window, those that have ended
 * nowhere, those that end later in another part of it with those that do not. */
static struct bits *sink_of(const struct at_work *w, const struct condition *c, uint32_t slot,
                            bool objections)
{
    struct sheet *t = w->a->sheet;
    uint32_t value = set_value(w->g->slots[slot].set);
    enum role role = (enum role)c->roles[value & ((1U << SET_TERM_BITS) - 1)];
    int64_t part = slot >= w->soon ? value >> SET_TERM_BITS : PARTS;
    if (role == ROLE_NOTHING || part < w->part)
        return NULL;
    if (role == ROLE_NO)
        return objections ? &t->no : NULL;
    if (role == ROLE_BY_GUARDIAN)
        return part > w->part ? &t->by_guardian : &t->soon_by_guardian;
    return part > w->part ? &t->given : &t->soon;
}

static void gather_answers(const struct at_work *w, const struct condition *c, bool objections)
{
    struct sheet *t = w->a->sheet;
    clear(&t->given);
    clear(&t->by_guardian);
    clear(&t->soon);
    clear(&t->soon_by_guardian);
    clear(&t->no);
    for (uint32_t i = w->ages_end; i < w->g->count; i++) {
        struct bits *sink = sink_of(w, c, i, objections);
        if (sink)
            or_slot(w, i, sink);
    }
    for (size_t i = 0; i < SEGMENT_WORDS; i++) {
        t->by_consent.w[i] =
            t->by_guardian.w[i] | (t->given.w[i] & ~(t->minor.w[i] | t->turning.w[i]));
        t->perhaps.w[i] = t->soon_by_guardian.w[i] | (t->soon.w[i] & ~t->minor.w[i]) |
                          (t->given.w[i] & t->turning.w[i]);
    }
}

static void judge_opt_out(struct sheet *t)
{
    for (size_t i = 0; i < SEGMENT_WORDS; i++) {
        uint64_t here = t->these.w[i] & ~t->restricted.w[i] & ~t->no.w[i] & ~t->signal.w[i];
        uint64_t adult = ~(t->child.w[i] | t->turning_child.w[i]);
        t->condition_sure.w[i] |= here & (adult | (t->child.w[i] & t->by_consent.w[i]));
        t->condition_maybe.w[i] |=
            here & (t->turning_child.w[i] | (t->child.w[i] & t->perhaps.w[i]));
    }
}

static void judge_consent(struct sheet *t)
{
    for (size_t i = 0; i < SEGMENT_WORDS; i++) {
        uint64_t here = t->these.w[i] & ~t->restricted.w[i];
        t->condition_sure.w[i] |= here & t->by_consent.w[i];
        t->condition_maybe.w[i] |= here & t->perhaps.w[i];
    }
}

/* Those of `these`, for whom the activity has that basis. */
static void judge_these(struct sheet *t, int basis)
{
    switch (basis) {
    case BASIS_CONSENT:
        judge_consent(t);
        break;
    case BASIS_OPT_OUT:
        judge_opt_out(t);
        break;
    case BASIS_LEGITIMATE_INTEREST:
        for (size_t i = 0; i < SEGMENT_WORDS; i++)
            t->condition_sure.w[i] |= t->these.w[i] & ~t->restricted.w[i] & ~t->no.w[i];
        break;
    case BASIS_LEGAL_OBLIGATION:
        for (size_t i = 0; i < SEGMENT_WORDS; i++)
            t->condition_sure.w[i] |= t->these.w[i];
        break;
    case BASIS_CONTRACT:
    case BASIS_VITAL_INTEREST:
    case BASIS_PUBLIC_TASK:
        for (size_t i = 0; i < SEGMENT_WORDS; i++)
            t->condition_sure.w[i] |= t->these.w[i] & ~t->restricted.w[i];
        break;
    default:
        break;
    }
}

static int basis_of(const struct audience *a, const struct condition *c, const struct residence *r)
{
    return IMAGE_AT(a->image, bases, uint8_t)[c->use->bases + (uint32_t)r->law];
}

/* Those of the commonest basis are all who have no other: mostly there is one alone, and then no
 * residence has to be looked at. */
static void judge_condition(const struct at_work *w, struct condition *c)
{
    struct audience *a = w->a;
    struct sheet *t = a->sheet;
    uint64_t weight[BASES] = {0};
    int largest = 0;
    clear(&t->condition_sure);
    clear(&t->condition_maybe);
    if (!c->use)
        return;
    learn_terms(c, &w->s->terms);
    for (uint32_t i = w->homes; i < w->homes_end; i++)
        if (home(w, i)->wanted)
            weight[basis_of(a, c, home(w, i))] += w->g->slots[i].count;
    for (int k = 1; k < BASES; k++)
        if (weight[k] > weight[largest])
            largest = k;
    gather_answers(w, c, weight[BASIS_OPT_OUT] || weight[BASIS_LEGITIMATE_INTEREST]);
    clear(&t->others);
    for (int k = 0; k < BASES; k++) {
        if (k == largest || weight[k] == 0)
            continue;
        clear(&t->these);
        for (uint32_t i = w->homes; i < w->homes_end; i++)
            if (home(w, i)->wanted && basis_of(a, c, home(w, i)) == k)
                or_slot(w, i, &t->these);
        for (size_t i = 0; i < SEGMENT_WORDS; i++)
            t->others.w[i] |= t->these.w[i];
        judge_these(t, k);
    }
    for (size_t i = 0; i < SEGMENT_WORDS; i++)
        t->these.w[i] = t->alive.w[i] & ~t->others.w[i];
    judge_these(t, largest);
}

/* ---- a segment ---- */

static void gather_people(const struct at_work *w)
{
    struct audience *a = w->a;
    struct sheet *t = a->sheet;
    clear(&t->alive);
    clear(&t->restricted);
    clear(&t->signal);
    bool all = a->residence_count + a->law_count == 0;
    for (uint32_t i = 0; i < w->homes; i++) {
        enum set_kind kind = set_kind(w->g->slots[i].set);
        if (kind != SET_ALIVE || all)
            or_slot(w, i,
                    kind == SET_ALIVE        ? &t->alive
                    : kind == SET_RESTRICTED ? &t->restricted
                                             : &t->signal);
    }
    for (uint32_t i = w->homes; !all && i < w->homes_end; i++)
        if (home(w, i)->wanted)
            or_slot(w, i, &t->alive);
}

static void compute_segment(const struct at_work *w)
{
    struct audience *a = w->a;
    struct sheet *t = a->sheet;
    gather_people(w);
    find_young(w);
    t->sure = t->possible = t->alive;
    for (size_t k = 0; k < a->count; k++) {
        judge_condition(w, &a->conditions[k]);
        for (size_t i = 0; i < SEGMENT_WORDS; i++) {
            t->possible.w[i] &= t->condition_sure.w[i] | t->condition_maybe.w[i];
            t->sure.w[i] &= t->condition_sure.w[i];
        }
    }
}

/* False: the segment is not built. */
static bool compute(struct audience *a, uint32_t segment)
{
    struct sets *s = index_sets(a->e->index);
    pthread_rwlock_rdlock(&s->lock);
    struct at_work w = {.a = a, .s = s, .g = sets_segment(s, segment, a->at)};
    if (w.g) {
        w.homes = first_of(w.g, SET_RESIDENCE);
        w.homes_end = first_of(w.g, SET_AGE);
        w.ages_end = first_of(w.g, SET_TERM);
        w.soon = first_of(w.g, SET_SOON);
        w.part = window_part(w.g, a->at);
        compute_segment(&w);
    }
    pthread_rwlock_unlock(&s->lock);
    return w.g != NULL;
}

/* Without sets everybody of the segment is asked. */
static void take_all(struct audience *a, uint32_t segment)
{
    int64_t first = (int64_t)segment << SEGMENT_BITS;
    clear(&a->sheet->sure);
    clear(&a->sheet->possible);
    for (int64_t n = first; n < first + SEGMENT && n < index_count(a->e->index); n++)
        bits_add(&a->sheet->possible, (uint32_t)(n - first));
}

/* False: it has to be built, and there is no time for it. */
static bool take_segment(struct audience *a, uint32_t segment, int64_t until)
{
    a->segment = -1;
    for (;;) {
        a->by_sets = compute(a, segment);
        if (a->by_sets)
            break;
        if (clock_monotonic() > until)
            return false;
        if (!sets_build(index_sets(a->e->index), segment, a->at, 0)) {
            take_all(a, segment);
            break;
        }
    }
    a->segment = segment;
    return true;
}

/* ---- one by one ---- */

static bool permits(struct audience *a, int64_t number)
{
    uint32_t residence = 0;
    for (size_t i = 0; i < a->count; i++)
        if (!a->conditions[i].use ||
            !decide_use(a->e, a->rules, a->conditions[i].use, number, a->at, &residence))
            return false;
    return residence_of(a, residence)->wanted;
}

struct checking {
    struct audience *a;
    int64_t first;       /* number of the segment's first */
    uint32_t low, count; /* where to go on; of `batch` */
    uint32_t batch[CHECKED_AT_ONCE];
};

/* The next numbers that `which` has, with what the index says of them on its way here. */
static bool next_batch(struct checking *c, const struct bits *which)
{
    const struct index *ix = c->a->e->index;
    c->count = 0;
    while (c->low < SEGMENT && c->count < CHECKED_AT_ONCE) {
        uint64_t word = which->w[c->low >> 6] >> (c->low & 63);
        if (word == 0) {
            c->low = (c->low | 63) + 1;
            continue;
        }
        c->low += (uint32_t)__builtin_ctzll(word);
        c->batch[c->count++] = c->low++;
    }
    for (uint32_t i = 0; i < c->count; i++)
        permit_prefetch(index_map(ix), index_address(ix, c->first + c->batch[i]));
    for (uint32_t i = 0; i < c->count; i++)
        permit_prefetch_blocks(index_map(ix), index_address(ix, c->first + c->batch[i]));
    return c->count > 0;
}

static int64_t patience(int64_t ms)
{
    return ms < 0 ? INT64_MAX : clock_monotonic() + ms * 1000000;
}

/* Permitted ones of the sheet until there are `most`, or it is late. */
static void find_in_sheet(struct checking *c, size_t most, int64_t until, uint32_t *numbers,
                          size_t *count)
{
    while (*count < most && next_batch(c, &c->a->sheet->possible)) {
        for (uint32_t i = 0; i < c->count; i++) {
            if (*count == most) {
                c->low = c->batch[i];
                return;
            }
            if (permits(c->a, c->first + c->batch[i]))
                numbers[(*count)++] = (uint32_t)c->first + c->batch[i];
        }
        if (clock_monotonic() > until)
            return;
    }
}

void audience_find(struct audience *a, int64_t from, size_t most, int64_t patience_ms,
                   uint32_t *numbers, size_t *count, int64_t *next)
{
    int64_t until = patience(patience_ms);
    bool late = false;
    *count = 0;
    *next = -1;
    if (from < 0 || !come_up_to_date(a))
        return;
    while (from < index_count(a->e->index) && *count < most && !late) {
        uint32_t segment = (uint32_t)(from >> SEGMENT_BITS);
        struct checking c = {a, (int64_t)segment << SEGMENT_BITS, (uint32_t)from % SEGMENT, 0, {0}};
        if (a->segment != segment && !take_segment(a, segment, until))
            break;
        find_in_sheet(&c, most, until, numbers, count);
        from = c.first + c.low;
        late = clock_monotonic() > until;
    }
    *next = from < index_count(a->e->index) ? from : -1;
}

/* Of the sheet: the sure ones, and who else is permitted. Negative: out of time. */
static int64_t count_sheet(struct audience *a, int64_t until)
{
    struct sheet *t = a->sheet;
    struct checking c = {.a = a, .first = a->segment << SEGMENT_BITS};
    int64_t n = 0;
    for (size_t i = 0; i < SEGMENT_WORDS; i++) {
        n += __builtin_popcountll(t->sure.w[i]);
        t->possible.w[i] &= ~t->sure.w[i];
    }
    while (next_batch(&c, &t->possible)) {
        for (uint32_t i = 0; i < c.count; i++)
            n += permits(a, c.first + c.batch[i]);
        if (clock_monotonic() > until)
            return -1;
    }
    return n;
}

static int64_t segments_of(const struct audience *a)
{
    return (index_count(a->e->index) + SEGMENT - 1) >> SEGMENT_BITS;
}

static int not_ready(int64_t done, int64_t all, struct err *err)
{
    return err_reason(err, LOV_EUNAVAILABLE, "audience_not_ready",
                      "what audiences are computed from is being made (%lld of %lld parts): ask "
                      "again",
                      (long long)done, (long long)all);
}

int audience_prepare(struct audience *a, int64_t patience_ms, struct err *err)
{
    struct sets *s = index_sets(a->e->index);
    int64_t until = patience(patience_ms);
    for (uint32_t i = 0; sets_wanting(s, &i, permit_now(), 0); i++) {
        if (clock_monotonic() > until)
            return not_ready(i, segments_of(a), err);
        sets_build(s, i, permit_now(), 0);
    }
    return 0;
}

int audience_count(struct audience *a, int64_t patience_ms, int64_t *out, struct err *err)
{
    int64_t until = patience(patience_ms), sum = 0;
    if (come_up_to_date(a)) {
        int64_t segments = segments_of(a);
        for (int64_t i = 0; i < segments; i++) {
            int64_t n = take_segment(a, (uint32_t)i, until) ? count_sheet(a, until) : -1;
            a->segment = -1;
            if (n < 0)
                return not_ready(i, segments, err);
            sum += n;
        }
    }
    *out = sum;
    return 0;
}

/* ---- opening ---- */

static size_t copy_codes(struct arena *arena, const struct str *from, size_t count, struct str *to)
{
    if (count > AUDIENCE_CODES)
        bug("an audience of %zu residences or laws", count);
    for (size_t i = 0; i < count; i++)
        to[i] = arena_str(arena, from[i]);
    return count;
}

struct audience *audience_open(struct engine *e, const struct audience_ask *ask)
{
    struct audience *a = mem_zero(sizeof *a);
    if (ask->count == 0 || ask->count > AUDIENCE_CONDITIONS)
        bug("an audience of %zu conditions", ask->count);
    a->e = e;
    a->segment = -1;
    a->sheet = mem_zero(sizeof *a->sheet);
    for (a->count = 0; a->count < ask->count; a->count++) {
        struct condition *c = &a->conditions[a->count];
        c->recipient = arena_str(&a->arena, ask->all[a->count].recipient);
        c->purpose = arena_str(&a->arena, ask->all[a->count].purpose);
        c->category = arena_str(&a->arena, ask->all[a->count].category);
    }
    a->residence_count =
        copy_codes(&a->arena, ask->residences, ask->residence_count, a->residences);
    a->law_count = copy_codes(&a->arena, ask->laws, ask->law_count, a->laws);
    return a;
}

void audience_close(struct audience *a)
{
    if (!a)
        return;
    for (size_t i = 0; i < a->count; i++)
        forget_condition(&a->conditions[i]);
    free(a->known);
    free(a->sheet);
    rules_unref(a->rules);
    arena_free(&a->arena);
    free(a);
}

struct uid engine_cid(const struct engine *e, uint32_t number)
{
    return index_cid(e->index, number);
}
