/* diff_detail.c - the details of a difference, and how they read in English. Pages say them in
 * their own language, from the same parts. */
#include "policy/diff.h"

#include <string.h>

enum { FIRST_DETAILS = 8 };

void details_clear(struct details *out)
{
    *out = (struct details){.arena = out->arena};
}

static struct policy_detail *add(struct details *out, enum policy_detail_kind kind,
                                 const char *field, struct str name)
{
    if (out->count == out->cap) {
        size_t cap = out->cap ? out->cap * 2 : FIRST_DETAILS;
        struct policy_detail *items = arena_array(out->arena, cap, sizeof *items);
        if (out->count)
            memcpy(items, out->items, out->count * sizeof *items);
        out->items = items;
        out->cap = cap;
    }
    struct policy_detail *one = &out->items[out->count++];
    *one = (struct policy_detail){.kind = kind,
                                  .field = field,
                                  .part = arena_str(out->arena, out->part),
                                  .name = arena_str(out->arena, name),
                                  .unit = ""};
    return one;
}

void detail_add(struct details *out, enum policy_detail_kind kind, const char *field,
                struct str name)
{
    add(out, kind, field, name);
}

void detail_set(struct details *out, const char *field, struct str name, struct str before,
                struct str after, const char *unit)
{
    struct policy_detail *one = add(out, POLICY_D_SET, field, name);
    one->before = arena_str(out->arena, before);
    one->after = arena_str(out->arena, after);
    one->unit = unit;
}

void detail_is(struct details *out, const char *field, struct str name, struct str value,
               const char *unit)
{
    struct policy_detail *one = add(out, POLICY_D_IS, field, name);
    one->after = arena_str(out->arena, value);
    one->unit = unit;
}

void detail_is_int(struct details *out, const char *field, int64_t value, const char *unit)
{
    _cleanup_buf struct buf text = {0};
    buf_int(&text, value);
    detail_is(out, field, (struct str){0}, buf_view(&text), unit);
}

/* ---- two values ---- */

static void set(struct details *out, const char *field, const struct buf *a, const struct buf *b,
                const char *unit)
{
    detail_set(out, field, (struct str){0}, buf_view(a), buf_view(b), unit);
}

void diff_str(struct details *out, const char *field, struct str a, struct str b)
{
    if (!str_eq(a, b))
        detail_set(out, field, (struct str){0}, a, b, "");
}

void diff_int(struct details *out, const char *field, int64_t a, int64_t b, const char *unit)
{
    _cleanup_buf struct buf before = {0}, after = {0};
    if (a == b)
        return;
    buf_int(&before, a);
    buf_int(&after, b);
    set(out, field, &before, &after, unit);
}

void diff_bool(struct details *out, const char *field, bool a, bool b)
{
    diff_str(out, field, a ? STR("yes") : STR("no"), b ? STR("yes") : STR("no"));
}

static void add_end(struct buf *out, int64_t end)
{
    if (end == INT64_MAX)
        buf_cstr(out, "no end");
    else if (end != TIME_NONE)
        date_format((int32_t)(end / DAY_MS) - 1, out);
}

void diff_end(struct details *out, const char *field, int64_t a, int64_t b)
{
    _cleanup_buf struct buf before = {0}, after = {0};
    if (a == b)
        return;
    add_end(&before, a);
    add_end(&after, b);
    set(out, field, &before, &after, "");
}

static void add_day(struct buf *out, int64_t at)
{
    if (at != TIME_NONE)
        date_format((int32_t)(at / DAY_MS), out);
}

void diff_day(struct details *out, const char *field, int64_t a, int64_t b)
{
    _cleanup_buf struct buf before = {0}, after = {0};
    if (a == b)
        return;
    add_day(&before, a);
    add_day(&after, b);
    set(out, field, &before, &after, "");
}

static struct str text_of(const struct policy *p, const struct policy_text *t, struct str language)
{
    for (size_t i = 0; i < p->language_count; i++) {
        if (str_eq(p->languages[i], language))
            return t->in[i];
    }
    return (struct str){0};
}

void diff_text(struct details *out, const char *field, const struct policy *before,
               const struct policy_text *a, const struct policy *after, const struct policy_text *b)
{
    for (size_t i = 0; i < after->language_count; i++) {
        struct str language = after->languages[i];
        struct str old = text_of(before, a, language);
        if (old.n && !str_eq(old, b->in[i]))
            detail_set(out, field, language, old, b->in[i], "");
    }
}

static bool has_name(const struct str *names, size_t count, struct str name)
{
    for (size_t i = 0; i < count; i++) {
        if (str_eq(names[i], name))
            return true;
    }
    return false;
}

void diff_names(struct details *out, const char *field, const struct str *a, size_t a_count,
                const struct str *b, size_t b_count)
{
    for (size_t i = 0; i < b_count; i++) {
        if (!has_name(a, a_count, b[i]))
            detail_add(out, POLICY_D_ADDED, field, b[i]);
    }
    for (size_t i = 0; i < a_count; i++) {
        if (!has_name(b, b_count, a[i]))
            detail_add(out, POLICY_D_REMOVED, field, a[i]);
    }
}

/* ---- in English, separated by "; " ---- */

/* How a field reads that does not read as its own name, with the name behind it. */
static const struct phrase {
    const char *field, *text, *end;
} phrases[] = {
    {"any_size", "any size", ""},
    {"basis", "basis under", ""},
    {"contract_until", "contract until", ""},
    {"deadline", "deadline for", ""},
    {"guardian_below", "guardian_below in", ""},
    {"kept", "records are kept", ""},
    {"refusal_rights", "rights of refusal", ""},
    {"refusal_source", "refusal", " by"},
    {"safeguards_until", "safeguards until", ""},
    {"text", "text in", ""},
    {"training_until", "training until", ""},
    {"transfer_announced", "transfer announced", ""},
    {"transfer_from", "transfer from", ""},
    {"utc_offsets_east", "utc_offsets east", ""},
    {"utc_offsets_west", "utc_offsets west", ""},
    {"view_fields", "view keeps", ""},
};

/* Words of people, in one language. */
static bool is_words(const struct policy_detail *d)
{
    return d->name.n && (strcmp(d->field, "label") == 0 || strcmp(d->field, "description") == 0);
}

static void say_field(const struct policy_detail *d, struct buf *out)
{
    const struct phrase *phrase = NULL;
    /* "guardian_below 13 -> 15 years" is of everywhere. */
    bool bare = !d->name.n && strcmp(d->field, "guardian_below") == 0;
    for (size_t i = 0; i < sizeof phrases / sizeof *phrases && !bare; i++)
        if (strcmp(phrases[i].field, d->field) == 0)
            phrase = &phrases[i];
    buf_cstr(out, phrase ? phrase->text : d->field);
    if (d->name.n)
        buf_printf(out, is_words(d) ? " (%.*s)" : " %.*s", STR_ARG(d->name));
    if (phrase)
        buf_cstr(out, phrase->end);
}

static void say_value(const struct policy_detail *d, struct str value, struct buf *out)
{
    buf_printf(out, is_words(d) ? "\"%.*s\"" : "%.*s", STR_ARG(value.n ? value : STR("none")));
}

static void say(const struct policy_detail *d, struct buf *out)
{
    static const char *const ends[] = {[POLICY_D_ADDED] = " added",
                                       [POLICY_D_REMOVED] = " removed",
                                       [POLICY_D_CHANGED] = " changed"};
    say_field(d, out);
    if (d->kind != POLICY_D_SET && d->kind != POLICY_D_IS) {
        buf_cstr(out, ends[d->kind]);
        return;
    }
    buf_char(out, ' ');
    if (d->kind == POLICY_D_SET) {
        say_value(d, d->before, out);
        buf_cstr(out, " -> ");
    }
    say_value(d, d->after, out);
    buf_printf(out, "%s%s", *d->unit ? " " : "", d->unit);
}

void details_give(const struct details *details, struct policy_change *c)
{
    _cleanup_buf struct buf text = {0};
    struct str part = {0};
    for (size_t i = 0; i < details->count; i++) {
        const struct policy_detail *d = &details->items[i];
        if (i)
            buf_cstr(&text, "; ");
        if (d->part.n && !str_eq(d->part, part))
            buf_printf(&text, "field %.*s: ", STR_ARG(d->part));
        part = d->part;
        say(d, &text);
    }
    if (c->material && c->kind == POLICY_CHANGED)
        buf_printf(&text, "%smaterial: consents under older versions no longer hold",
                   text.n ? "; " : "");
    c->details = details->items;
    c->detail_count = details->count;
    c->detail = arena_str(details->arena, buf_view(&text));
}
