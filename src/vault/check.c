/* check.c - ranges and rules, and what a wrong value may have been meant to be: a decimal point
 * that slipped, or two fields that changed places. */
#include <string.h>

#include "base/decimal.h"
#include "vault/check.h"

enum { SLIPS = 3 };
static const int64_t slips[SLIPS] = {10, 100, 1000};

const char *finding_kind_name(enum finding_kind kind)
{
    static const char *const names[] = {"out_of_range", "rule_broken", "outlier",
                                        "duplicate",    "likeness",    "stale"};
    return names[kind];
}

/* ---- a record taken apart ---- */

static size_t index_of(const struct parsed *p, const struct policy_field *f)
{
    return (size_t)(f - p->category->fields);
}

static const struct value *value_of(const struct parsed *p, const struct policy_field *f)
{
    size_t i = index_of(p, f);
    return p->present[i] ? &p->values[i] : NULL;
}

int64_t value_number(const struct policy_field *field, const struct value *v)
{
    return field->type == FIELD_DATE        ? date_start(v->day)
           : field->type == FIELD_TIMESTAMP ? v->at
                                            : v->number;
}

struct finding *finding_add(struct findings *f, enum finding_kind kind, struct str field,
                            struct str rule)
{
    struct finding *grown = arena_array(f->arena, f->count + 1, sizeof *grown);
    if (f->count)
        memcpy(grown, f->items, f->count * sizeof *grown);
    f->items = grown;
    f->items[f->count] = (struct finding){.kind = kind, .field = field, .rule = rule};
    return &f->items[f->count++];
}

/* ---- proposals ---- */

/* The record with other values of the fields `a` and (where not NULL) `b`. */
static struct str record_with(const struct parsed *p, const struct policy_field *a,
                              const struct value *va, const struct policy_field *b,
                              const struct value *vb, struct arena *arena)
{
    _cleanup_buf struct buf text = {0};
    struct jw w = {.out = &text};
    jw_object_start(&w);
    for (size_t i = 0; i < p->category->field_count; i++) {
        const struct policy_field *f = &p->category->fields[i];
        const struct value *v = f == a ? va : f == b ? vb : value_of(p, f);
        if (!v)
            continue;
        jw_key_str(&w, f->name);
        value_write(f, v, &w);
    }
    jw_object_end(&w);
    struct str copy = arena_str(arena, buf_view(&text));
    secret_wipe_bytes(text.p, text.n);
    return copy;
}

/* False where the type has no point to slip, or digits would be lost. */
static bool slip(const struct policy_field *f, const struct value *v, int64_t by, bool up,
                 struct arena *arena, struct value *out)
{
    int64_t n;
    if (!field_is_number(f->type))
        return false;
    if (up ? __builtin_mul_overflow(v->number, by, &n) : v->number % by != 0)
        return false;
    if (!up)
        n = v->number / by;
    if (f->type == FIELD_CURRENCY_AMOUNT && n % (DECIMAL_ONE / 100) != 0) /* no such coins */
        return false;
    *out = *v;
    out->number = n;
    if (f->type == FIELD_INTEGER)
        return true;
    _cleanup_buf struct buf text = {0};
    decimal_format(n, &text);
    out->text = arena_str(arena, buf_view(&text));
    return decimal_parse(out->text, &n);
}

bool check_slipped(const struct parsed *p, const struct policy_field *f, int64_t low, int64_t high,
                   struct arena *arena, struct str *out)
{
    struct value moved;
    const struct value *v = value_of(p, f);
    for (int i = 0; v && i < SLIPS; i++) {
        for (int up = 0; up <= 1; up++) {
            if (!slip(f, v, slips[i], up, arena, &moved) || moved.number < low ||
                moved.number > high)
                continue;
            *out = record_with(p, f, &moved, NULL, NULL, arena);
            return true;
        }
    }
    return false;
}

/* ---- ranges ---- */

static bool in_range(const struct policy_field *f, int64_t n)
{
    return (!f->has_min || n >= f->min) && (!f->has_max || n <= f->max);
}

static int check_range(const struct parsed *p, const struct policy_field *f, struct findings *out,
                       struct err *err)
{
    const struct value *v = value_of(p, f);
    if (!v || (!f->has_min && !f->has_max) || in_range(f, value_number(f, v)))
        return 0;
    if (f->refuse)
        return err_reason(err, LOV_EINVAL, "out_of_range",
                          "data.%.*s: outside of what the policy lets it be", STR_ARG(f->name));
    struct finding *found = finding_add(out, FINDING_RANGE, f->name, (struct str){0});
    if (f->has_min && f->has_max)
        check_slipped(p, f, f->min, f->max, out->arena, &found->proposal);
    return 0;
}

/* ---- rules ---- */

static bool compare(enum policy_compare how, int order)
{
    switch (how) {
    case COMPARE_EQ:
        return order == 0;
    case COMPARE_NE:
        return order != 0;
    case COMPARE_LT:
        return order < 0;
    case COMPARE_LE:
        return order <= 0;
    case COMPARE_GT:
        return order > 0;
    case COMPARE_GE:
        return order >= 0;
    }
    return true;
}

static struct str text_of(const struct policy_field *f, const struct value *v)
{
    if (f->type == FIELD_BOOLEAN)
        return v->yes ? STR("true") : STR("false");
    return v->text;
}

/* Two amounts in different currencies have no order: nothing is said about them. */
static bool same_currency(const struct value *a, const struct value *b)
{
    return !a->currency.n || !b->currency.n || str_eq(a->currency, b->currency);
}

/* 1 it holds, 0 it does not, -1 nothing can be said, since a value is missing. */
static int holds(const struct parsed *p, const struct policy_condition *c, int64_t now)
{
    const struct value *left = value_of(p, c->left), *right = NULL;
    if (c->right)
        right = value_of(p, c->right);
    if (!left || (c->right && !right) || (right && !same_currency(left, right)))
        return -1;
    if (!field_has_order(c->left->type)) {
        struct str other = c->right ? text_of(c->right, right) : c->text;
        return compare(c->compare, str_cmp(text_of(c->left, left), other));
    }
    int64_t a = value_number(c->left, left), b = c->number;
    if (c->right)
        b = value_number(c->right, right);
    else if (c->now)
        b = now;
    return compare(c->compare, (a > b) - (a < b));
}

/* Two dates, say, that changed places. */
static void propose_swap(const struct parsed *p, const struct policy_condition *c,
                         struct arena *arena, struct str *out)
{
    if (!c->right || c->left->type != c->right->type || c->compare < COMPARE_LT)
        return;
    *out = record_with(p, c->left, value_of(p, c->right), c->right, value_of(p, c->left), arena);
}

static int check_rule(const struct parsed *p, const struct policy_rule *r, int64_t now,
                      struct findings *out, struct err *err)
{
    if ((r->conditional && holds(p, &r->when, now) != 1) || holds(p, &r->holds, now) != 0)
        return 0;
    if (r->refuse)
        return err_reason(err, LOV_EINVAL, "rule_broken", "data: the rule %.*s does not hold",
                          STR_ARG(r->id));
    struct finding *found = finding_add(out, FINDING_RULE, r->holds.left->name, r->id);
    propose_swap(p, &r->holds, out->arena, &found->proposal);
    return 0;
}

int check_record(const struct parsed *p, int64_t now, struct findings *out, struct err *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < p->category->field_count; i++)
        rc = check_range(p, &p->category->fields[i], out, err);
    for (size_t i = 0; rc == 0 && i < p->category->rule_count; i++)
        rc = check_rule(p, &p->category->rules[i], now, out, err);
    return rc;
}
