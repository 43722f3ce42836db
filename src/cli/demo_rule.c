/* demo_rule.c - what the demo company's customers answered, and in which department they bought. It
 * is invented: docs/cli.md describes
 * the rule and says so. Each draw comes from splitmix64 (Steele, Lea and Flood, 2014) seeded with
 * the FNV-1a hash of "<customer>/<what is drawn>", so it is the same on every machine, whatever
 * else is drawn before it. */
#include <stdio.h>

#include "cli/demo.h"

enum {
    COUNTED_PURCHASES = 9,
    MOST_YES = 95,
    OPT_OUT = 10, /* per cent who say no where they must */
    OBJECT = 2,
    NARROWER = 20, /* per cent of yeses without the last category */
    DAYS = 300,
    DAY_SECONDS = 86400,
};

/* Per cent: asked at all; saying yes after one purchase, and more for each further one (eight at
 * most); taking a yes back. */
static const struct {
    const char *purpose;
    unsigned asked, yes, yes_more, withdrawn;
} habits[] = {
    {"personal_offers", 88, 40, 6, 9},     {"newsletter_delivery", 50, 35, 5, 14},
    {"product_development", 28, 50, 2, 5}, {"ad_measurement", 28, 18, 2, 10},
    {"data_sale", 16, 6, 1, 20},           {"bonus_programme", 22, 45, 5, 6},
    {"nearby_offers", 14, 30, 3, 10},      {"budget_overview", 6, 85, 0, 12},
    {"credit_scoring", 5, 90, 0, 3},
};
enum { OTHER_ASKED = 10, OTHER_YES = 40 };

/* ---- draws ---- */

static uint64_t seed(const char *customer, struct str what)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (const char *p = customer; *p; p++)
        h = (h ^ (uint8_t)*p) * UINT64_C(0x100000001b3);
    h = (h ^ (uint8_t)'/') * UINT64_C(0x100000001b3);
    for (size_t i = 0; i < what.n; i++)
        h = (h ^ (uint8_t)what.p[i]) * UINT64_C(0x100000001b3);
    return h;
}

static uint64_t splitmix64(uint64_t *state)
{
    *state += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t z = *state;
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static unsigned draw(uint64_t *state, unsigned below)
{
    return (unsigned)(splitmix64(state) % below);
}

/* ---- people ---- */

static const char *draw_residence(const char *id)
{
    uint64_t state = seed(id, STR("residence"));
    unsigned r = draw(&state, 100);
    return r < 3 ? "US-CA" : r < 6 ? "DE" : r < 9 ? "FI" : r < 12 ? "NO" : "SE";
}

struct demo_person demo_person(const struct demo_customers *customers, unsigned number)
{
    struct demo_person p = {.number = number, .purchases = customers->purchases[number]};
    snprintf(p.id, sizeof p.id, "%05u", number);
    /* The customer of the examples in the documentation lives in Sweden. */
    p.residence = number == 1 ? "SE" : draw_residence(p.id);
    uint64_t state = seed(p.id, STR("language"));
    bool swedish = p.residence[0] == 'S' && draw(&state, 100) < 90;
    p.language = swedish ? STR("sv") : STR("en");
    return p;
}

/* ---- answers ---- */

static struct demo_answer draw_consent(const struct demo_person *p, const struct policy_activity *a,
                                       uint64_t *state)
{
    unsigned asked = OTHER_ASKED, yes = OTHER_YES, withdrawn = 0;
    unsigned more = p->purchases > COUNTED_PURCHASES ? COUNTED_PURCHASES : p->purchases;
    for (size_t i = 0; i < sizeof habits / sizeof *habits; i++) {
        if (!str_is(a->purpose->id, habits[i].purpose))
            continue;
        asked = habits[i].asked;
        yes = habits[i].yes + habits[i].yes_more * (more ? more - 1 : 0);
        withdrawn = habits[i].withdrawn;
    }
    struct demo_answer answer = {.categories = a->category_count};
    answer.asked = draw(state, 100) < asked;
    answer.give = draw(state, 100) < (yes > MOST_YES ? MOST_YES : yes);
    answer.withdrawn = answer.give && draw(state, 100) < withdrawn;
    if (answer.give && answer.categories > 1 && draw(state, 100) < NARROWER)
        answer.categories--;
    return answer;
}

/* The story of the documentation: asked by name, so always the same answer, and given today. */
static bool is_first(const struct demo_person *p, const struct policy_activity *a)
{
    return p->number == 1 && str_is(a->purpose->id, "personal_offers") &&
           str_is(a->recipient->id, "marketing");
}

struct demo_answer demo_draw(const struct demo_person *person, const struct policy_activity *a,
                             enum policy_basis basis)
{
    struct demo_answer answer = {0};
    uint64_t state = seed(person->id, a->id);
    if (!a->notice)
        return answer;
    if (is_first(person, a))
        return (struct demo_answer){.asked = true, .give = true, .categories = a->category_count};
    if (basis == BASIS_CONSENT)
        answer = draw_consent(person, a, &state);
    else if (basis == BASIS_OPT_OUT)
        answer.asked = draw(&state, 100) < OPT_OUT;
    else if (basis == BASIS_LEGITIMATE_INTEREST)
        answer.asked = draw(&state, 100) < OBJECT;
    if (!answer.give)
        answer.categories = a->category_count;
    answer.days_ago = 1 + draw(&state, DAYS);
    answer.seconds = draw(&state, DAY_SECONDS);
    return answer;
}

/* ---- purchases ---- */

struct demo_goods demo_goods(const struct demo_person *person, unsigned n)
{
    static const char *const departments[] = {"food", "clothes", "home", "electronics", "garden"};
    char what[32];
    snprintf(what, sizeof what, "purchase/%u", n);
    uint64_t state = seed(person->id, str_of(what));
    struct demo_goods goods = {.department = departments[draw(&state, 5)]};
    goods.seconds = draw(&state, DAY_SECONDS);
    return goods;
}
