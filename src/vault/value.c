/* value.c - the types of the policy's fields, as JSON. The same check stands at both ends: what is
 * written is a value of its field, and what comes out of the store under a policy that has changed
 * its mind about a field is left out rather than shown as something else. */
#include <string.h>

#include "base/decimal.h"
#include "base/clock.h"
#include "vault/check.h"
#include "vault/private.h"

enum { EMAIL_MAX = 254, PHONE_MAX = 32 };

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_upper(struct str s, size_t n)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < 'A' || s.p[i] > 'Z')
            return false;
    return s.n == n;
}

/* One @ with something before it, and a dotted name behind: what can be written to is known only by
 * writing to it. */
static bool is_email(struct str s)
{
    struct str host = s, local = str_cut(&host, '@');
    bool dot = false;
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] <= ' ')
            return false;
    for (size_t i = 1; i + 1 < host.n; i++)
        dot |= host.p[i] == '.';
    return s.n <= EMAIL_MAX && local.n && dot && str_find(host, '@') == host.n;
}

static bool is_phone(struct str s)
{
    size_t digits = 0;
    for (size_t i = 0; i < s.n; i++) {
        digits += is_digit(s.p[i]);
        if (!is_digit(s.p[i]) && !strchr("+-() ", s.p[i]))
            return false;
    }
    return s.n <= PHONE_MAX && digits >= 3;
}

static bool is_among(const struct policy_field *field, struct str text)
{
    for (size_t i = 0; i < field->value_count; i++)
        if (str_eq(field->values[i], text))
            return true;
    return false;
}

static bool read_text(const struct policy_field *field, struct value *v)
{
    struct str s = v->text;
    switch (field->type) {
    case FIELD_STRING:
        return s.n >= 1 && s.n <= RECORD_TEXT_MAX && str_no_controls(s, true);
    case FIELD_DECIMAL:
        return decimal_parse(s, &v->number);
    case FIELD_DATE:
        return date_parse(s, &v->day);
    case FIELD_TIMESTAMP:
        return time_parse(s, &v->at);
    case FIELD_ENUM:
        return is_among(field, s);
    case FIELD_EMAIL:
        return is_email(s) && str_no_controls(s, false);
    case FIELD_PHONE:
        return is_phone(s);
    case FIELD_COUNTRY:
        return is_upper(s, 2);
    case FIELD_INTEGER:
    case FIELD_BOOLEAN:
    case FIELD_CURRENCY_AMOUNT:
        break;
    }
    return false;
}

static bool read_amount(const json_t *json, struct value *v)
{
    const json_t *amount = json_object_get(json, "amount");
    const json_t *currency = json_object_get(json, "currency");
    if (json_object_size(json) != 2 || !json_is_string(amount) || !json_is_string(currency))
        return false;
    v->text = json_text(amount);
    v->currency = json_text(currency);
    return decimal_parse(v->text, &v->number) && is_upper(v->currency, 3);
}

bool value_read(const struct policy_field *field, const json_t *json, struct value *out)
{
    static const int64_t LARGEST = INT64_C(9007199254740991); /* RFC 7493 §2.2 */
    struct value v = {0};
    bool ok = false;
    if (field->type == FIELD_BOOLEAN) {
        ok = json_is_boolean(json);
        v.yes = json_is_true(json);
    } else if (field->type == FIELD_INTEGER) {
        v.number = json_integer_value(json);
        ok = json_is_integer(json) && v.number >= -LARGEST && v.number <= LARGEST;
    } else if (field->type == FIELD_CURRENCY_AMOUNT) {
        ok = json_is_object(json) && read_amount(json, &v);
    } else if (json_is_string(json)) {
        v.text = json_text(json);
        ok = read_text(field, &v);
    }
    if (ok)
        *out = v;
    return ok;
}

const char *value_expected(enum field_type type)
{
    static const char *const expected[] = {
        [FIELD_STRING] = "text of 1 to 4096 bytes",
        [FIELD_INTEGER] = "a whole number within 2^53",
        [FIELD_DECIMAL] =
            "a decimal number as text such as \"12.50\", of 12 digits and 6 behind the point",
        [FIELD_DATE] = "a date such as \"2026-11-24\"",
        [FIELD_TIMESTAMP] = "a time such as \"2026-11-24T09:30:00Z\"",
        [FIELD_BOOLEAN] = "true or false",
        [FIELD_ENUM] = "one of its values",
        [FIELD_EMAIL] = "an e-mail address",
        [FIELD_PHONE] = "a telephone number",
        [FIELD_COUNTRY] = "a country's code of two letters, such as \"SE\"",
        [FIELD_CURRENCY_AMOUNT] =
            "an amount such as {\"amount\": \"12.50\", \"currency\": \"SEK\"}",
    };
    return expected[type];
}

void value_write(const struct policy_field *field, const struct value *v, struct jw *w)
{
    switch (field->type) {
    case FIELD_BOOLEAN:
        jw_bool(w, v->yes);
        break;
    case FIELD_INTEGER:
        jw_int(w, v->number);
        break;
    case FIELD_TIMESTAMP:
        jw_time(w, v->at);
        break;
    case FIELD_CURRENCY_AMOUNT:
        jw_object_start(w);
        jw_str_member(w, "amount", v->text);
        jw_str_member(w, "currency", v->currency);
        jw_object_end(w);
        break;
    default:
        jw_str(w, v->text);
    }
}

/* ---- a whole record ---- */

static int refuse(struct err *err, const char *name, size_t n, const char *what)
{
    return err_reason(err, LOV_EINVAL, "invalid_record", "data.%.*s: %s", (int)(n < 64 ? n : 64),
                      name, what);
}

/* A name that nobody chose is not repeated: it may be anything. */
static int check_names(const struct policy_category *c, const json_t *data, struct err *err)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)data, name, value) {
        bool known = false;
        for (size_t i = 0; i < c->field_count && !known; i++)
            known = str_is(c->fields[i].name, name);
        if (!known)
            return err_reason(err, LOV_EINVAL, "invalid_record",
                              "data has a member that is no field of category %.*s",
                              STR_ARG(c->id));
    }
    return 0;
}

/* What the policy says to refuse; what it says to question is asked when the record is written. */
static int check_refusals(const struct policy_category *category, const struct vault_content *c,
                          struct arena *arena, struct err *err)
{
    struct findings ignored = {.arena = arena};
    const struct parsed p = {category, c->values, c->present};
    return check_record(&p, clock_now(), &ignored, err);
}

/* Texts of its own, which outlive the JSON, and are those of the canonical form. */
static struct value value_copy(const struct policy_field *field, const struct value *v,
                               struct arena *arena)
{
    _cleanup_buf struct buf time = {0};
    struct value copy = *v;
    if (field->type == FIELD_TIMESTAMP)
        time_format(v->at, &time);
    copy.text = arena_str(arena, time.n ? buf_view(&time) : v->text);
    copy.currency = arena_str(arena, v->currency);
    return copy;
}

int vault_check(const struct policy_category *category, const json_t *data, struct arena *arena,
                struct vault_content *out, struct err *err)
{
    _cleanup_buf struct buf text = {0};
    struct jw w = {.out = &text};
    if (!json_is_object(data))
        return err_reason(err, LOV_EINVAL, "invalid_record", "data: expected an object");
    int rc = check_names(category, data, err);
    if (rc)
        return rc;
    struct value *values = arena_array(arena, category->field_count + 1, sizeof *values);
    bool *present = arena_array(arena, category->field_count + 1, sizeof *present);
    jw_object_start(&w);
    for (size_t i = 0; i < category->field_count; i++) {
        const struct policy_field *f = &category->fields[i];
        const json_t *json = json_object_getn(data, f->name.p, f->name.n);
        struct value v;
        if (!json || json_is_null(json)) {
            if (f->required)
                return refuse(err, f->name.p, f->name.n, "is required");
            continue;
        }
        if (!value_read(f, json, &v))
            return refuse(err, f->name.p, f->name.n, value_expected(f->type));
        jw_key_str(&w, f->name);
        value_write(f, &v, &w);
        values[i] = value_copy(f, &v, arena);
        present[i] = true;
    }
    jw_object_end(&w);
    if (text.n > RECORD_MAX)
        return err_reason(err, LOV_EINVAL, "invalid_record", "data: at most %d bytes",
                          (int)RECORD_MAX);
    struct vault_content checked = *out;
    checked.values = values;
    checked.present = present;
    rc = check_refusals(category, &checked, arena, err);
    if (rc)
        return rc;
    checked.json = arena_str(arena, buf_view(&text));
    memcpy(checked.form, category->form, sizeof checked.form);
    *out = checked;
    return 0;
}
