/* load_checks.c - reads what a category expects of its records beside the types: the range of a
 * field, and rules between fields.
 *
 * A condition is "<field> <comparison> <field or literal>", three words; a literal is written as a
 * value of the field is, and may be `today` where that has a date or a time. */
#include <string.h>

#include "base/clock.h"
#include "base/decimal.h"
#include "policy/draft.h"

enum { RULES_MAX = 64 };

static const struct str file = {"categories.yaml", sizeof "categories.yaml" - 1};

const char *const breach_words[BREACHES] = {"question", "refuse"};

/* ---- literals ---- */

bool field_is_number(enum field_type type)
{
    return type == FIELD_INTEGER || type == FIELD_DECIMAL || type == FIELD_CURRENCY_AMOUNT;
}

bool field_has_order(enum field_type type)
{
    return field_is_number(type) || type == FIELD_DATE || type == FIELD_TIMESTAMP;
}

bool policy_literal(enum field_type type, struct str text, int64_t *out)
{
    static const int64_t LARGEST = INT64_C(9007199254740991); /* RFC 7493 §2.2 */
    int32_t day;
    switch (type) {
    case FIELD_INTEGER:
        return str_to_int(text, -LARGEST, LARGEST, out);
    case FIELD_DECIMAL:
    case FIELD_CURRENCY_AMOUNT:
        return decimal_parse(text, out);
    case FIELD_TIMESTAMP:
        if (time_parse(text, out))
            return true;
        break;
    case FIELD_DATE:
        break;
    default:
        return false;
    }
    if (!date_parse(text, &day))
        return false;
    *out = date_start(day);
    return true;
}

/* ---- ranges ---- */

static bool read_end(struct draft *d, const struct node *item, const char *name, struct str text,
                     const struct policy_field *f, int64_t *out)
{
    if (!text.n)
        return false;
    if (policy_literal(f->type, text, out))
        return true;
    find_error(d, file, node_line(item, name), "wrong_type", "%s: \"%.*s\" is no value of a %s",
               name, STR_ARG(text), field_type_name(f->type));
    return false;
}

void load_range(struct draft *d, const struct node *item, struct str min, struct str max,
                struct policy_field *f)
{
    if ((min.n || max.n) && !field_has_order(f->type)) {
        find_error(d, file, item->line, "unknown_member", "a %s has no order, so no min and max",
                   field_type_name(f->type));
        return;
    }
    f->has_min = read_end(d, item, "min", min, f, &f->min);
    f->has_max = read_end(d, item, "max", max, f, &f->max);
    if (f->has_min && f->has_max && f->min > f->max)
        find_error(d, file, node_line(item, "min"), "out_of_range", "min is above max");
    if (f->refuse && !f->has_min && !f->has_max)
        find_error(d, file, node_line(item, "breach"), "unknown_member",
                   "breach says what happens out of range: give min or max");
}

/* ---- conditions ---- */

static bool is_date(enum field_type type)
{
    return type == FIELD_DATE || type == FIELD_TIMESTAMP;
}

/* Of one unit: so that numbers of both mean the same. */
static bool comparable(const struct policy_field *a, const struct policy_field *b)
{
    return a->type == b->type || (is_date(a->type) && is_date(b->type)) ||
           (!field_has_order(a->type) && !field_has_order(b->type));
}

static bool read_compare(struct str text, enum policy_compare *out)
{
    static const char *const names[] = {"=", "!=", "<", "<=", ">", ">="};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (str_is(text, names[i])) {
            *out = (enum policy_compare)i;
            return true;
        }
    }
    return false;
}

static bool is_literal(const struct policy_field *f, struct str text)
{
    if (f->type == FIELD_BOOLEAN)
        return str_is(text, "true") || str_is(text, "false");
    for (size_t i = 0; i < f->value_count; i++)
        if (str_eq(f->values[i], text))
            return true;
    return f->type != FIELD_ENUM && text.n > 0;
}

static const char *read_right(struct str text, const struct policy_category *category,
                              struct policy_condition *c)
{
    c->right = policy_field(category, text);
    c->now = str_is(text, "today") && is_date(c->left->type);
    c->text = text;
    if (c->right)
        return comparable(c->left, c->right) ? NULL : "the two fields cannot be compared";
    if (c->now)
        return NULL;
    bool ok = field_has_order(c->left->type) ? policy_literal(c->left->type, text, &c->number)
                                             : is_literal(c->left, text);
    return ok ? NULL : "what stands on the right is neither a field nor a value of the left one";
}

static const char *read_condition(struct str text, const struct policy_category *category,
                                  struct policy_condition *out)
{
    struct policy_condition c = {0};
    struct str rest = str_trim(text), left = str_cut(&rest, ' ');
    rest = str_trim(rest);
    struct str compare = str_cut(&rest, ' ');
    rest = str_trim(rest);
    c.left = policy_field(category, left);
    if (!c.left)
        return "what stands on the left is no field of the category";
    if (!read_compare(compare, &c.compare))
        return "the comparison is one of = != < <= > >=";
    if (c.compare > COMPARE_NE && !field_has_order(c.left->type))
        return "values of this type are the same or not: compare them by = or !=";
    const char *wrong = read_right(rest, category, &c);
    if (!wrong)
        *out = c;
    return wrong;
}

/* ---- rules ---- */

struct rule_in {
    struct str id, when, holds;
    struct policy_text label;
    int breach;
};

static void load_condition(struct draft *d, const struct node *item, const char *name,
                           struct str text, const struct policy_category *c,
                           struct policy_condition *out)
{
    const char *wrong = text.n ? read_condition(text, c, out) : NULL;
    if (wrong)
        find_error(d, file, node_line(item, name), "bad_condition", "%s: \"%.*s\": %s", name,
                   STR_ARG(text), wrong);
}

static void load_rule(struct draft *d, const struct node *item, struct policy_category *c)
{
    static const struct member members[] = {
        {.name = "id",
         .kind = MEMBER_NAME,
         .offset = offsetof(struct rule_in, id),
         .required = true},
        {.name = "label",
         .kind = MEMBER_TEXTS,
         .offset = offsetof(struct rule_in, label),
         .required = true},
        {.name = "when", .kind = MEMBER_TEXT, .offset = offsetof(struct rule_in, when)},
        {.name = "holds",
         .kind = MEMBER_TEXT,
         .offset = offsetof(struct rule_in, holds),
         .required = true},
        {.name = "breach",
         .kind = MEMBER_WORD,
         .offset = offsetof(struct rule_in, breach),
         .words = breach_words,
         .word_count = BREACHES},
    };
    struct rule_in in = {0};
    if (!take(d, file, item, members, sizeof members / sizeof *members, &in) || !in.id.n)
        return;
    for (size_t i = 0; i < c->rule_count; i++)
        if (str_eq(c->rules[i].id, in.id))
            find_error(d, file, item->line, "duplicate_name", "%.*s has two rules %.*s",
                       STR_ARG(c->id), STR_ARG(in.id));
    struct policy_rule *r = &c->rules[c->rule_count++];
    *r = (struct policy_rule){.id = in.id,
                              .label = in.label,
                              .conditional = in.when.n > 0,
                              .refuse = in.breach == BREACH_REFUSE};
    load_condition(d, item, "when", in.when, c, &r->when);
    load_condition(d, item, "holds", in.holds, c, &r->holds);
}

void load_rules(struct draft *d, const struct node *list, struct policy_category *c)
{
    if (!list)
        return;
    if (list->count == 0 || list->count > RULES_MAX) {
        find_error(d, file, list->key_line, list->count ? "too_many" : "missing_member",
                   "%.*s has %zu rules: 1 to %d are allowed", STR_ARG(c->id), list->count,
                   RULES_MAX);
        return;
    }
    c->rules = arena_array(d->arena, list->count, sizeof *c->rules);
    for (const struct node *item = list->first; item; item = item->next)
        load_rule(d, item, c);
}
