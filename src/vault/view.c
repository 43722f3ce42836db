/* view.c - what a view leaves of a record: fields that it names, each cut as it says, and nothing
 * else. What is not named is never looked at.
 *
 * Pseudonyms are HMAC-SHA-256 under a key of the recipient's own, which is derived from a secret of
 * the installation: two recipients cannot join what they have, nor can one of them try values, and
 * none of it leads back. A consumer's is made of the cid, so that one who was erased and comes back
 * is somebody new. */
#include <string.h>

#include "vault/private.h"

static const int64_t MILLION = 1000000, HOUR_MS = 3600000;

/* ---- pseudonyms ---- */

static bool needs_key(const struct viewer *x)
{
    bool any = x->activity->view == VIEW_PSEUDONYMOUS;
    for (size_t i = 0; i < x->part->count; i++)
        any |= x->part->fields[i].cut == VIEW_PSEUDONYM;
    return any;
}

void viewer_init(struct viewer *x, const struct vault *v, const struct policy_activity *activity,
                 const struct policy_category *category, int64_t now)
{
    *x = (struct viewer){
        .activity = activity,
        .part = policy_view_of(activity, category),
        .category = category,
        .now = now,
    };
    if (!x->part)
        bug("a view of a category that its activity does not use");
    x->has_key = needs_key(x);
    if (x->has_key)
        x->key = secret_derive(&v->pseudonyms, activity->recipient->id);
}

void viewer_wipe(struct viewer *x)
{
    secret_wipe(&x->key);
}

void viewer_pseudonym(const struct viewer *x, const char *use, struct str bytes, struct buf *out)
{
    enum { SHOWN = 16 };
    _cleanup_buf struct buf text = {0};
    if (!x->has_key)
        bug("a pseudonym without a key");
    buf_cstr(&text, use);
    buf_char(&text, '\0');
    buf_str(&text, bytes);
    struct sha256 mac = hmac_sha256(&x->key, buf_view(&text));
    hex_encode(mac.b, SHOWN, out);
}

/* ---- one field ---- */

static int64_t floor_to(int64_t n, int64_t step)
{
    int64_t rest = n % step;
    return n - rest - (rest < 0 ? step : 0);
}

/* The whole part, rounded down: what bands and limits go by. */
static int64_t whole_of(const struct policy_field *f, const struct value *v)
{
    return f->type == FIELD_INTEGER ? v->number : floor_to(v->number, MILLION) / MILLION;
}

static void cut_time(const struct policy_view_field *f, const struct value *v, struct jw *w)
{
    bool date = f->field->type == FIELD_DATE;
    int32_t day = date ? v->day : (int32_t)(floor_to(v->at, DAY_MS) / DAY_MS);
    struct civil c = civil_from_days(day);
    char text[32];
    if (f->cut == VIEW_YEAR)
        snprintf(text, sizeof text, "%04d", c.year);
    else if (f->cut == VIEW_MONTH)
        snprintf(text, sizeof text, "%04d-%02d", c.year, c.month);
    else if (f->cut == VIEW_DAY)
        snprintf(text, sizeof text, "%04d-%02d-%02d", c.year, c.month, c.day);
    else
        snprintf(text, sizeof text, "%04d-%02d-%02dT%02d", c.year, c.month, c.day,
                 (int)((v->at - date_start(day)) / HOUR_MS));
    jw_str(w, str_of(text));
}

static void cut_band(const struct policy_view_field *f, const struct value *v, struct jw *w)
{
    int64_t from = floor_to(whole_of(f->field, v), f->n);
    char text[64];
    snprintf(text, sizeof text, "%lld..%lld%s%.*s", (long long)from, (long long)(from + f->n),
             v->currency.n ? " " : "", STR_ARG(v->currency));
    jw_str(w, str_of(text));
}

/* The first n characters, not bytes. */
static struct str prefix(struct str s, int64_t n)
{
    size_t i = 0;
    while (i < s.n && ((s.p[i] & 0xC0) == 0x80 || n-- > 0))
        i++;
    return (struct str){s.p, i};
}

static void cut_pseudonym(const struct viewer *x, const struct policy_view_field *f,
                          const struct value *v, struct jw *w)
{
    _cleanup_buf struct buf use = {0}, bytes = {0}, out = {0};
    buf_printf(&use, "field %.*s.%.*s", STR_ARG(f->category->id), STR_ARG(f->field->name));
    if (f->field->type == FIELD_INTEGER)
        buf_int(&bytes, v->number);
    else
        buf_str(&bytes, v->text);
    viewer_pseudonym(x, use.p, buf_view(&bytes), &out);
    jw_str(w, buf_view(&out));
}

static bool is_one_of(const struct policy_view_field *f, struct str text)
{
    for (size_t i = 0; i < f->value_count; i++)
        if (str_eq(f->values[i], text))
            return true;
    return false;
}

bool viewer_cut(const struct viewer *x, const struct policy_view_field *f, const struct value *v,
                struct jw *w)
{
    switch (f->cut) {
    case VIEW_KEEP:
        value_write(f->field, v, w);
        return true;
    case VIEW_YEAR:
    case VIEW_MONTH:
    case VIEW_DAY:
    case VIEW_HOUR:
        cut_time(f, v, w);
        return true;
    case VIEW_BAND:
        cut_band(f, v, w);
        return true;
    case VIEW_PREFIX:
        jw_str(w, prefix(v->text, f->n));
        return true;
    case VIEW_PSEUDONYM:
        cut_pseudonym(x, f, v, w);
        return true;
    case VIEW_AT_LEAST_YEARS:
        jw_bool(w, date_start(date_add_years(v->day, (int)f->n)) <= x->now);
        return true;
    case VIEW_AT_LEAST:
        jw_bool(w, whole_of(f->field, v) >= f->n);
        return true;
    case VIEW_ONE_OF:
        jw_bool(w, is_one_of(f, v->text));
        return true;
    }
    return false;
}

/* ---- the record ---- */

static void write_field(const struct viewer *x, const struct policy_view_field *f,
                        const json_t *record, struct jw *w)
{
    struct value v;
    const json_t *json = json_object_getn(record, f->field->name.p, f->field->name.n);
    if (!json || !value_read(f->field, json, &v))
        return;
    jw_key_str(w, f->name);
    viewer_cut(x, f, &v, w);
}

/* Every field that the category has now, as it is. */
static void write_whole(const struct viewer *x, const json_t *record, struct jw *w)
{
    for (size_t i = 0; i < x->category->field_count; i++) {
        const struct policy_field *field = &x->category->fields[i];
        struct policy_view_field f = {.category = x->category, .field = field, .name = field->name};
        write_field(x, &f, record, w);
    }
}

int viewer_write(const struct viewer *x, struct str plain, struct buf *out, struct err *err)
{
    _cleanup_json json_t *record = NULL;
    struct jw w = {.out = out};
    if (plain.n < SEALED_HEAD || plain.p[0] != SEALED_FORMAT)
        return err_set(err, LOV_ECORRUPT, "a record is of an unknown format");
    struct str json = {plain.p + SEALED_HEAD, plain.n - SEALED_HEAD};
    /* The consumer's own, of a category that the policy has forgotten. */
    if (x->part->whole && !x->category) {
        buf_str(out, json);
        return 0;
    }
    /* Checked against these very fields when it came in, and all of them are shown. */
    if (x->part->whole && memcmp(plain.p + 1, x->category->form, sizeof x->category->form) == 0) {
        buf_str(out, json);
        return 0;
    }
    int rc = json_read(json, &record, err);
    if (rc)
        return err_set(err, LOV_ECORRUPT, "a record is not JSON");
    jw_object_start(&w);
    if (x->part->whole)
        write_whole(x, record, &w);
    for (size_t i = 0; i < x->part->count; i++)
        write_field(x, &x->part->fields[i], record, &w);
    jw_object_end(&w);
    return 0;
}
