/* load_view.c - reads the view of an activity: which fields are left, and how much of each.
 *
 * A field of the list is a name, or a mapping that says what is made of it. Each is resolved
 * against the activity's categories here, so that whoever cuts a record looks nothing up. */
#include <string.h>

#include "policy/draft.h"

static const struct str file = {"activities.yaml", sizeof "activities.yaml" - 1};

enum { GROUPS_MAX = 4, TO_COUNT = 5, BAND_MAX = 1000000000, DEFAULT_K = 20 };

struct view_in {
    int form, k;
    const struct node *fields, *privacy;
};

struct field_in {
    struct str field, name;
    int to, band, prefix, at_least_years, at_least;
    const struct node *one_of;
    bool group;
};

/* ---- what may be made of which type ---- */

static bool cut_fits(enum view_cut cut, enum field_type t)
{
    switch (cut) {
    case VIEW_KEEP:
        return true;
    case VIEW_YEAR:
    case VIEW_MONTH:
        return t == FIELD_DATE || t == FIELD_TIMESTAMP;
    case VIEW_DAY:
    case VIEW_HOUR:
        return t == FIELD_TIMESTAMP;
    case VIEW_BAND:
    case VIEW_AT_LEAST:
        return field_is_number(t);
    case VIEW_PREFIX:
        return t == FIELD_STRING || t == FIELD_PHONE;
    case VIEW_PSEUDONYM:
        return t == FIELD_STRING || t == FIELD_INTEGER || t == FIELD_EMAIL || t == FIELD_PHONE;
    case VIEW_AT_LEAST_YEARS:
        return t == FIELD_DATE;
    case VIEW_ONE_OF:
        return t == FIELD_STRING || t == FIELD_ENUM || t == FIELD_COUNTRY;
    }
    return false;
}

/* ---- one field ---- */

static const struct policy_field *find_field(const struct policy_activity *a, struct str full,
                                             const struct policy_category **category)
{
    struct str name = full, id = str_cut(&name, '.');
    for (size_t i = 0; i < a->category_count; i++) {
        if (str_eq(a->categories[i]->id, id)) {
            *category = a->categories[i];
            return policy_field(a->categories[i], name);
        }
    }
    return NULL;
}

/* How many ways to cut it the item names, and the last of them. */
static int read_cut(struct draft *d, const struct field_in *in, struct policy_view_field *out)
{
    static const enum view_cut to[TO_COUNT] = {VIEW_YEAR, VIEW_MONTH, VIEW_DAY, VIEW_HOUR,
                                               VIEW_PSEUDONYM};
    const struct {
        bool said;
        enum view_cut cut;
        int64_t n;
    } ways[] = {
        {in->to >= 0, in->to >= 0 ? to[in->to] : VIEW_KEEP, 0},
        {in->band != 0, VIEW_BAND, in->band},
        {in->prefix != 0, VIEW_PREFIX, in->prefix},
        {in->at_least_years != 0, VIEW_AT_LEAST_YEARS, in->at_least_years},
        {in->at_least != INT32_MIN, VIEW_AT_LEAST, in->at_least},
        {in->one_of != NULL, VIEW_ONE_OF, 0},
    };
    int said = 0;
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        if (!ways[i].said)
            continue;
        said++;
        out->cut = ways[i].cut;
        out->n = ways[i].n;
    }
    if (in->one_of)
        out->values = take_names(d, file, in->one_of, &out->value_count);
    return said;
}

static void check_cut(struct draft *d, const struct node *item, const struct field_in *in, int said,
                      const struct policy_view_field *f)
{
    bool predicate = f->cut >= VIEW_AT_LEAST_YEARS;
    if (said > 1)
        find_error(d, file, item->line, "view_field", "%.*s is cut in %d ways: choose one",
                   STR_ARG(in->field), said);
    else if (f->field && !cut_fits(f->cut, f->field->type))
        find_error(d, file, item->line, "view_field", "a %s cannot be cut like this",
                   field_type_name(f->field->type));
    else if (predicate && !in->name.n)
        find_error(d, file, item->line, "missing_member",
                   "name is missing: what is answered in place of %.*s, such as age_18",
                   STR_ARG(in->field));
}

/* A mapping: {field: profile.birth_date, at_least_years: 18, name: age_18} */
static bool read_item(struct draft *d, const struct node *item, struct field_in *in)
{
    static const char *const to[TO_COUNT] = {"year", "month", "day", "hour", "pseudonym"};
#define INT(member, least, most)                                                                   \
    {                                                                                              \
        .name = #member, .kind = MEMBER_INT, .offset = offsetof(struct field_in, member),          \
        .min = least, .max = most                                                                  \
    }
    static const struct member members[] = {
        {.name = "field",
         .kind = MEMBER_TEXT,
         .offset = offsetof(struct field_in, field),
         .required = true},
        {.name = "name", .kind = MEMBER_NAME, .offset = offsetof(struct field_in, name)},
        {.name = "to",
         .kind = MEMBER_WORD,
         .offset = offsetof(struct field_in, to),
         .words = to,
         .word_count = TO_COUNT},
        INT(band, 1, BAND_MAX),
        INT(prefix, 1, 64),
        INT(at_least_years, 1, 150),
        INT(at_least, -BAND_MAX, BAND_MAX),
        {.name = "one_of", .kind = MEMBER_LIST, .offset = offsetof(struct field_in, one_of)},
        {.name = "group", .kind = MEMBER_BOOL, .offset = offsetof(struct field_in, group)},
    };
#undef INT
    *in = (struct field_in){.to = -1, .at_least = INT32_MIN};
    if (item->kind == TREE_TEXT) {
        in->field = item->text;
        return in->field.n > 0;
    }
    return take(d, file, item, members, sizeof members / sizeof *members, in) && in->field.n;
}

static void words_of(const struct field_in *in, const struct policy_view_field *f, struct buf *out)
{
    static const char *const to[] = {"", "year", "month", "day", "hour"};
    buf_str(out, in->field);
    if (f->cut >= VIEW_YEAR && f->cut <= VIEW_HOUR)
        buf_printf(out, " to %s", to[f->cut]);
    else if (f->cut == VIEW_BAND)
        buf_printf(out, " in bands of %lld", (long long)f->n);
    else if (f->cut == VIEW_PREFIX)
        buf_printf(out, ", first %lld characters", (long long)f->n);
    else if (f->cut == VIEW_PSEUDONYM)
        buf_cstr(out, " as a pseudonym");
    else if (f->cut == VIEW_AT_LEAST_YEARS)
        buf_printf(out, " at least %lld years ago", (long long)f->n);
    else if (f->cut == VIEW_AT_LEAST)
        buf_printf(out, " at least %lld", (long long)f->n);
    for (size_t i = 0; i < f->value_count; i++)
        buf_printf(out, "%s%.*s", i ? ", " : " one of ", STR_ARG(f->values[i]));
    if (in->name.n)
        buf_printf(out, " as %.*s", STR_ARG(in->name));
    if (f->group)
        buf_cstr(out, ", grouped");
}

static bool is_named(const struct policy_view_field *fields, size_t count,
                     const struct policy_view_field *f)
{
    for (size_t i = 0; i < count; i++)
        if (fields[i].category == f->category && str_eq(fields[i].name, f->name))
            return true;
    return false;
}

/* Adds the field to fields[*count]; of one that does not exist the linter tells. */
static void load_field(struct draft *d, const struct node *item, struct policy_activity *a,
                       struct policy_view_field *fields, size_t *count)
{
    struct field_in in;
    struct policy_view_field f = {0};
    _cleanup_buf struct buf words = {0};
    if (!read_item(d, item, &in))
        return;
    int said = read_cut(d, &in, &f);
    f.field = find_field(a, in.field, &f.category);
    f.group = in.group;
    check_cut(d, item, &in, said, &f);
    words_of(&in, &f, &words);
    a->view_fields[a->view_field_count++] = arena_str(d->arena, buf_view(&words));
    if (!f.field)
        return;
    f.name = in.name.n ? in.name : f.field->name;
    if (is_named(fields, *count, &f))
        find_error(d, file, item->line, "duplicate_name", "%.*s is listed twice", STR_ARG(f.name));
    if (f.group && a->view != VIEW_AGGREGATE)
        find_error(d, file, item->line, "view_field", "only an aggregate view has groups");
    fields[(*count)++] = f;
}

/* ---- the whole ---- */

/* The fields of each category side by side, and every category with its part. */
static void make_parts(struct draft *d, struct policy_activity *a,
                       const struct policy_view_field *fields, size_t count)
{
    struct policy_view_field *sorted = arena_array(d->arena, count + 1, sizeof *sorted);
    a->view_parts = arena_array(d->arena, a->category_count + 1, sizeof *a->view_parts);
    size_t n = 0;
    for (size_t i = 0; i < a->category_count; i++) {
        struct policy_view_part *part = &a->view_parts[i];
        part->whole = a->view_field_count == 0;
        part->fields = sorted + n;
        for (size_t k = 0; k < count; k++)
            if (fields[k].category == a->categories[i])
                sorted[n++] = fields[k];
        part->count = n - (size_t)(part->fields - sorted);
    }
}

static void check_groups(struct draft *d, const struct node *list, const struct policy_activity *a)
{
    for (size_t i = 0; i < a->category_count; i++) {
        size_t groups = 0;
        for (size_t k = 0; k < a->view_parts[i].count; k++)
            groups += a->view_parts[i].fields[k].group;
        if (groups > GROUPS_MAX)
            find_error(d, file, list->key_line, "too_many",
                       "%.*s is grouped by %zu fields: %d is "
                       "the limit",
                       STR_ARG(a->categories[i]->id), groups, GROUPS_MAX);
    }
}

/* "0.5" to thousandths; 0 where it is no such number. */
static int64_t thousandths(struct str text)
{
    int64_t whole = 0, part = 0, scale = 1000;
    struct str rest = text, head = str_cut(&rest, '.');
    if (!str_to_int(head, 0, 1000, &whole) || rest.n > 3)
        return 0;
    if (rest.n && !str_to_int(rest, 0, 999, &part))
        return 0;
    for (size_t i = 0; i < rest.n; i++)
        scale /= 10;
    return whole * 1000 + part * scale;
}

struct privacy_in {
    struct str epsilon, budget;
    int days, records, most;
};

static void load_privacy(struct draft *d, const struct node *node, struct policy_activity *a)
{
#define MEMBER(member, what, least, top)                                                           \
    {                                                                                              \
        .name = #member, .kind = what, .offset = offsetof(struct privacy_in, member),              \
        .required = true, .min = least, .max = top                                                 \
    }
    static const struct member members[] = {
        MEMBER(epsilon, MEMBER_TEXT, 0, 0),    MEMBER(budget, MEMBER_TEXT, 0, 0),
        MEMBER(days, MEMBER_INT, 1, 3660),     MEMBER(records, MEMBER_INT, 1, 1000),
        MEMBER(most, MEMBER_INT, 1, BAND_MAX),
    };
#undef MEMBER
    struct privacy_in in = {0};
    if (!take(d, file, node, members, sizeof members / sizeof *members, &in))
        return;
    a->privacy.epsilon = thousandths(in.epsilon);
    a->privacy.budget = thousandths(in.budget);
    a->privacy.days = in.days;
    a->privacy.records = in.records;
    a->privacy.most = in.most;
    if (a->view != VIEW_AGGREGATE)
        find_error(d, file, node->key_line, "privacy", "only an aggregate view has privacy");
    else if (in.epsilon.n && in.budget.n &&
             (a->privacy.epsilon <= 0 || a->privacy.budget < a->privacy.epsilon))
        find_error(d, file, node->key_line, "privacy",
                   "epsilon is a number such as 0.5, above 0, and budget is not below it");
}

/* What a recipient gets where the view does not say: who trades with data or in attention gets no
 * names. */
static enum view_form default_form(const struct policy_recipient *r)
{
    enum recipient_kind kind = r ? r->kind : RECIPIENT_DEPARTMENT;
    return kind == RECIPIENT_ADVERTISER ? VIEW_AGGREGATE
           : kind == RECIPIENT_BROKER   ? VIEW_PSEUDONYMOUS
                                        : VIEW_IDENTIFIED;
}

void load_view(struct draft *d, const struct node *node, struct policy_activity *a, int *k)
{
    static const char *const forms[] = {"identified", "pseudonymous", "aggregate"};
    static const struct member members[] = {
        {.name = "form",
         .kind = MEMBER_WORD,
         .offset = offsetof(struct view_in, form),
         .words = forms,
         .word_count = 3},
        {.name = "k",
         .kind = MEMBER_INT,
         .offset = offsetof(struct view_in, k),
         .min = 0,
         .max = 1000000},
        {.name = "fields", .kind = MEMBER_LIST, .offset = offsetof(struct view_in, fields)},
        {.name = "privacy", .kind = MEMBER_MAP, .offset = offsetof(struct view_in, privacy)},
    };
    struct view_in in = {.form = -1, .k = -1};
    if (node)
        take(d, file, node, members, 4, &in);
    a->view = in.form < 0 ? default_form(a->recipient) : (enum view_form)in.form;
    if (in.form < 0 && a->view == VIEW_AGGREGATE && in.k < 0)
        in.k = DEFAULT_K;
    a->aggregate_k = a->view == VIEW_AGGREGATE && in.k > 0 ? in.k : 0;
    size_t most = in.fields ? in.fields->count : 0, count = 0;
    struct policy_view_field *fields = arena_array(d->scratch, most + 1, sizeof *fields);
    a->view_fields = arena_array(d->arena, most + 1, sizeof *a->view_fields);
    for (const struct node *item = most ? in.fields->first : NULL; item; item = item->next)
        load_field(d, item, a, fields, &count);
    make_parts(d, a, fields, count);
    if (in.fields && !most)
        find_error(d, file, in.fields->key_line, "missing_member",
                   "fields is empty: leave it out to keep all fields");
    else if (in.fields)
        check_groups(d, in.fields, a);
    if (in.privacy)
        load_privacy(d, in.privacy, a);
    *k = in.k;
}
