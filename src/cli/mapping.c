/* mapping.c - the mapping file, loaded by libcyaml straight into structs and then checked, and what
 * it makes of a row. docs/cli.md describes the file. */
#include <cyaml/cyaml.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "cli/import.h"

/* ---- the file ---- */

struct translation {
    char *from, *to;
};
struct member {
    char *member, *column, *constant, *fallback, *date, *separator, *type, *currency, *prefix,
        *lookup;
    struct translation *values;
    unsigned values_count;
};
struct lookup_file {
    char *name, *file, *key, *value, *only, *is;
};
struct mapping_file {
    char *kind, *format, *delimiter;
    bool *header;
    struct lookup_file *lookups;
    unsigned lookups_count;
    struct member *members;
    unsigned members_count;
};

enum {
    NAME_MAX_BYTES = 128,
    TEXT_MAX_BYTES = 4096,
    MEMBERS_MAX = 64,
    VALUES_MAX = 1000,
    LOOKUPS_MAX = 8
};
#define OPTIONAL_TEXT(key, type, member, max)                                                      \
    CYAML_FIELD_STRING_PTR(key, CYAML_FLAG_OPTIONAL, type, member, 0, max)

static const cyaml_schema_field_t translation_fields[] = {
    CYAML_FIELD_STRING_PTR("from", CYAML_FLAG_DEFAULT, struct translation, from, 0, TEXT_MAX_BYTES),
    CYAML_FIELD_STRING_PTR("to", CYAML_FLAG_DEFAULT, struct translation, to, 0, TEXT_MAX_BYTES),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t translation_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct translation, translation_fields),
};
static const cyaml_schema_field_t member_fields[] = {
    CYAML_FIELD_STRING_PTR("member", CYAML_FLAG_DEFAULT, struct member, member, 1, NAME_MAX_BYTES),
    OPTIONAL_TEXT("column", struct member, column, NAME_MAX_BYTES),
    OPTIONAL_TEXT("constant", struct member, constant, TEXT_MAX_BYTES),
    OPTIONAL_TEXT("default", struct member, fallback, TEXT_MAX_BYTES),
    OPTIONAL_TEXT("date", struct member, date, NAME_MAX_BYTES),
    OPTIONAL_TEXT("separator", struct member, separator, 1),
    OPTIONAL_TEXT("type", struct member, type, NAME_MAX_BYTES),
    OPTIONAL_TEXT("currency", struct member, currency, 3),
    OPTIONAL_TEXT("prefix", struct member, prefix, NAME_MAX_BYTES),
    OPTIONAL_TEXT("lookup", struct member, lookup, NAME_MAX_BYTES),
    CYAML_FIELD_SEQUENCE("values", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct member, values,
                         &translation_schema, 0, VALUES_MAX),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t member_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct member, member_fields),
};
static const cyaml_schema_field_t lookup_fields[] = {
    CYAML_FIELD_STRING_PTR("name", CYAML_FLAG_DEFAULT, struct lookup_file, name, 1, NAME_MAX_BYTES),
    CYAML_FIELD_STRING_PTR("file", CYAML_FLAG_DEFAULT, struct lookup_file, file, 1, NAME_MAX_BYTES),
    CYAML_FIELD_STRING_PTR("key", CYAML_FLAG_DEFAULT, struct lookup_file, key, 1, NAME_MAX_BYTES),
    CYAML_FIELD_STRING_PTR("value", CYAML_FLAG_DEFAULT, struct lookup_file, value, 1,
                           NAME_MAX_BYTES),
    OPTIONAL_TEXT("only", struct lookup_file, only, NAME_MAX_BYTES),
    OPTIONAL_TEXT("is", struct lookup_file, is, TEXT_MAX_BYTES),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t lookup_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct lookup_file, lookup_fields),
};
static const cyaml_schema_field_t file_fields[] = {
    OPTIONAL_TEXT("kind", struct mapping_file, kind, NAME_MAX_BYTES),
    CYAML_FIELD_STRING_PTR("format", CYAML_FLAG_DEFAULT, struct mapping_file, format, 1,
                           NAME_MAX_BYTES),
    OPTIONAL_TEXT("delimiter", struct mapping_file, delimiter, 1),
    CYAML_FIELD_BOOL_PTR("header", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct mapping_file,
                         header),
    CYAML_FIELD_SEQUENCE("lookups", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct mapping_file,
                         lookups, &lookup_schema, 0, LOOKUPS_MAX),
    CYAML_FIELD_SEQUENCE("members", CYAML_FLAG_POINTER, struct mapping_file, members,
                         &member_schema, 1, MEMBERS_MAX),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t file_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct mapping_file, file_fields),
};

/* ---- what the API takes ---- */

enum value_kind { V_TEXT, V_LIST, V_INT, V_BOOL, V_TIME, V_DATE, V_WHOLE, V_AMOUNT };
struct target {
    const char *name; /* "notice.id": member id of the object notice */
    enum value_kind kind;
    bool required;
};
/* Members of one object stand together. */
static const struct target consent_targets[] = {
    {"consumer", V_TEXT, true},      {"purpose", V_TEXT, true},         {"recipient", V_TEXT, true},
    {"categories", V_LIST, true},    {"decision", V_TEXT, true},        {"notice.id", V_TEXT, true},
    {"notice.version", V_INT, true}, {"notice.language", V_TEXT, true}, {"channel", V_TEXT, true},
    {"given_at", V_TIME, false},     {"expires_at", V_TIME, false},     {"evidence", V_TEXT, false},
    {"guardian", V_TEXT, false},
};
static const struct target consumer_targets[] = {
    {"consumer", V_TEXT, true},        {"residence", V_TEXT, false},
    {"birth_date", V_DATE, false},     {"restricted", V_BOOL, false},
    {"opt_out_signal", V_BOOL, false}, {"no_automated_decision", V_BOOL, false},
};
/* Then the fields of the record, as the mapping names them. */
static const struct target record_targets[] = {
    {"consumer", V_TEXT, true},
    {"category", V_TEXT, true},
    {"source", V_TEXT, false},
    {"observed_at", V_TIME, false},
    {"retention_end", V_TIME, false},
    {"limits.purposes", V_LIST, false},
    {"limits.objections", V_LIST, false},
    {"limits.recipients", V_LIST, false},
};
enum { RECORD_TARGETS = sizeof record_targets / sizeof *record_targets, TARGETS_MAX = 70 };
/* In place of a column's: the number of the row. */
static const size_t ROW_NUMBER = SIZE_MAX;

struct mapping {
    struct mapping_file *file;
    enum import_kind kind;
    const struct target *targets;
    size_t target_count;
    struct target own[TARGETS_MAX]; /* of records: what `targets` points to */
    struct lookup *lookups[LOOKUPS_MAX];
    const struct lookup *lookup_of[TARGETS_MAX];
    const struct member *of[TARGETS_MAX]; /* by target; NULL: not mapped */
    size_t column_of[TARGETS_MAX];        /* where the member has a column */
    const char *columns[TARGETS_MAX];
    size_t column_count;
};

/* ---- loading ---- */

/* libcyaml tells first what is wrong, and then where, in lines of their own. */
struct complaint {
    char text[300];
};

static void keep_complaint(cyaml_log_t level, void *ctx, const char *format, va_list args)
    __attribute__((format(printf, 3, 0)));
static void keep_complaint(cyaml_log_t level, void *ctx, const char *format, va_list args)
{
    struct complaint *c = ctx;
    size_t n = strlen(c->text);
    if (level < CYAML_LOG_ERROR || n + 3 >= sizeof c->text)
        return;
    if (n) {
        memcpy(c->text + n, "; ", 3);
        n += 2;
    }
    vsnprintf(c->text + n, sizeof c->text - n, format, args);
    n = strlen(c->text);
    while (n && (c->text[n - 1] == '\n' || c->text[n - 1] == ' '))
        c->text[--n] = '\0';
}

static cyaml_config_t config_of(struct complaint *c)
{
    return (cyaml_config_t){
        .log_fn = keep_complaint,
        .log_ctx = c,
        .mem_fn = cyaml_mem,
        .log_level = CYAML_LOG_ERROR,
        .flags = CYAML_CFG_NO_ALIAS,
    };
}

static int wrong(struct err *err, const char *member, const char *what)
{
    return err_reason(err, LOV_EINVAL, "invalid_mapping", "the mapping's member %s: %s", member,
                      what);
}

static size_t add_column(struct mapping *m, const char *name)
{
    for (size_t i = 0; i < m->column_count; i++)
        if (strcmp(m->columns[i], name) == 0)
            return i;
    m->columns[m->column_count] = name;
    return m->column_count++;
}

static int check_words(const struct mapping *m, const struct member *member, size_t i,
                       struct err *err)
{
    bool field = m->kind == IMPORT_RECORDS && i >= RECORD_TARGETS;
    bool amount = m->targets[i].kind == V_AMOUNT;
    if (member->type && !field)
        return wrong(err, member->member, "only a field of a record has a type");
    if (amount != (member->currency != NULL))
        return wrong(err, member->member, "an amount, and nothing else, has a currency");
    for (unsigned k = 0; member->lookup && k < m->file->lookups_count; k++)
        if (strcmp(m->file->lookups[k].name, member->lookup) == 0)
            return 0;
    return member->lookup ? wrong(err, member->member, "there is no such lookup") : 0;
}

/* "data.amount" of type amount; what the category's fields are, the server knows. */
static int add_field(struct mapping *m, const struct member *member, struct err *err)
{
    static const struct {
        const char *name;
        enum value_kind kind;
    } types[] = {{"text", V_TEXT}, {"integer", V_WHOLE}, {"boolean", V_BOOL},
                 {"date", V_DATE}, {"time", V_TIME},     {"amount", V_AMOUNT}};
    const char *type = member->type ? member->type : "text";
    size_t i = 0;
    if (!str_is_name(str_of(member->member + 5)))
        return wrong(err, member->member, "is no name of a field");
    while (i < sizeof types / sizeof *types && strcmp(types[i].name, type) != 0)
        i++;
    if (i == sizeof types / sizeof *types)
        return wrong(err, member->member, "type is text, integer, boolean, date, time or amount");
    m->own[m->target_count++] = (struct target){member->member, types[i].kind, false};
    return 0;
}

static int take_member(struct mapping *m, const struct member *member, struct err *err)
{
    size_t i = 0;
    while (i < m->target_count && strcmp(m->targets[i].name, member->member) != 0)
        i++;
    if (i == m->target_count && m->kind == IMPORT_RECORDS && i < TARGETS_MAX &&
        strncmp(member->member, "data.", 5) == 0) {
        int rc = add_field(m, member, err);
        if (rc)
            return rc;
    }
    if (i == m->target_count)
        return wrong(err, member->member, "there is no such member: docs/cli.md lists them");
    if (m->of[i])
        return wrong(err, member->member, "is mapped twice");
    if (!member->column == !member->constant)
        return wrong(err, member->member, "needs a column or a constant, one of them");
    if (member->date && m->targets[i].kind != V_TIME && m->targets[i].kind != V_DATE)
        return wrong(err, member->member, "is no time: leave out date");
    if (member->date && !when_valid(member->date))
        return wrong(err, member->member,
                     "date is epoch, epoch_ms, or text with YYYY, MM and DD, and hh, mm, ss, each "
                     "once");
    m->of[i] = member;
    if (member->column && strcmp(member->column, "#") == 0)
        m->column_of[i] = ROW_NUMBER;
    else if (member->column)
        m->column_of[i] = add_column(m, member->column);
    return check_words(m, member, i, err);
}

static int check_head(const struct mapping *m, struct err *err)
{
    static const char *const kinds[] = {"consents", "consumers", "records"};
    const struct mapping_file *f = m->file;
    if (f->kind && strcmp(f->kind, kinds[m->kind]) != 0)
        return err_reason(err, LOV_EINVAL, "invalid_mapping",
                          "the mapping is for %s: use lov import %s", f->kind, f->kind);
    if (strcmp(f->format, "csv") != 0 && strcmp(f->format, "jsonl") != 0 &&
        strcmp(f->format, "columns") != 0)
        return err_reason(err, LOV_EINVAL, "invalid_mapping",
                          "the mapping's format is csv, columns or jsonl");
    if (f->delimiter && (!*f->delimiter || strchr("\"\r\n", *f->delimiter)))
        return err_reason(err, LOV_EINVAL, "invalid_mapping",
                          "the mapping's delimiter is one character");
    return 0;
}

static int check(struct mapping *m, struct err *err)
{
    static const struct {
        const struct target *targets;
        size_t count;
    } kinds[] = {{consent_targets, sizeof consent_targets / sizeof *consent_targets},
                 {consumer_targets, sizeof consumer_targets / sizeof *consumer_targets},
                 {record_targets, RECORD_TARGETS}};
    memcpy(m->own, kinds[m->kind].targets, kinds[m->kind].count * sizeof *m->own);
    m->targets = m->own;
    m->target_count = kinds[m->kind].count;
    int rc = check_head(m, err);
    for (unsigned i = 0; i < m->file->members_count && rc == 0; i++)
        rc = take_member(m, &m->file->members[i], err);
    for (size_t i = 0; i < m->target_count && rc == 0; i++)
        if (m->targets[i].required && !m->of[i])
            rc = wrong(err, m->targets[i].name, "is required, and is not mapped");
    return rc;
}

int mapping_load(struct str yaml, enum import_kind kind, struct mapping **out, struct err *err)
{
    struct complaint complaint = {0};
    cyaml_config_t config = config_of(&complaint);
    struct mapping *m = mem_zero(sizeof *m);
    cyaml_data_t *data = NULL;
    int rc = 0;
    m->kind = kind;
    if (yaml.n == 0 || yaml.n > MAPPING_MAX || memchr(yaml.p, '\0', yaml.n) ||
        !str_utf8_valid(yaml))
        rc = err_reason(err, LOV_EINVAL, "invalid_mapping",
                        "the mapping is UTF-8 text of at most 64 KiB");
    if (rc == 0) {
        cyaml_err_t e =
            cyaml_load_data((const uint8_t *)yaml.p, yaml.n, &config, &file_schema, &data, NULL);
        if (e != CYAML_OK)
            rc = err_reason(err, LOV_EINVAL, "invalid_mapping", "the mapping: %s",
                            *complaint.text ? complaint.text : cyaml_strerror(e));
    }
    m->file = data;
    if (rc == 0 && !data)
        rc = err_reason(err, LOV_EINVAL, "invalid_mapping", "the mapping is empty");
    if (rc == 0 && m->file)
        rc = check(m, err);
    if (rc)
        mapping_free(m);
    else
        *out = m;
    return rc;
}

void mapping_free(struct mapping *m)
{
    struct complaint ignored = {0};
    cyaml_config_t config = config_of(&ignored);
    if (!m)
        return;
    for (size_t i = 0; i < LOOKUPS_MAX; i++)
        lookup_free(m->lookups[i]);
    if (m->file)
        cyaml_free(&config, &file_schema, m->file, 0);
    free(m);
}

/* A name in the folder, and nothing that leads out of it. */
static int load_lookup(const struct lookup_file *f, const char *folder, struct lookup **out,
                       struct err *err)
{
    enum { LOOKUP_MAX = 256 << 20 };
    _cleanup_buf struct buf path = {0}, text = {0};
    if (strchr(f->file, '/') || strcmp(f->file, "..") == 0)
        return wrong(err, f->name, "file is the name of a file beside the one that is imported");
    if (!f->only != !f->is)
        return wrong(err, f->name, "only and is stand together");
    buf_printf(&path, "%s/%s", folder, f->file);
    int rc = file_read(path.p, LOOKUP_MAX, &text, err);
    return rc ? rc : lookup_load(buf_view(&text), f->key, f->value, f->only, f->is, out, err);
}

int mapping_load_lookups(struct mapping *m, const char *folder, struct err *err)
{
    int rc = 0;
    for (unsigned i = 0; i < m->file->lookups_count && rc == 0; i++)
        rc = load_lookup(&m->file->lookups[i], folder, &m->lookups[i], err);
    for (size_t t = 0; t < m->target_count; t++)
        for (unsigned i = 0; m->of[t] && m->of[t]->lookup && i < m->file->lookups_count; i++)
            if (strcmp(m->file->lookups[i].name, m->of[t]->lookup) == 0)
                m->lookup_of[t] = m->lookups[i];
    return rc;
}

bool mapping_is_columns(const struct mapping *m)
{
    return strcmp(m->file->format, "columns") == 0;
}

bool mapping_is_csv(const struct mapping *m)
{
    return strcmp(m->file->format, "jsonl") != 0;
}

char mapping_delimiter(const struct mapping *m)
{
    return m->file->delimiter ? *m->file->delimiter : ',';
}

bool mapping_has_header(const struct mapping *m)
{
    return !m->file->header || *m->file->header;
}

size_t mapping_columns(const struct mapping *m)
{
    return m->column_count;
}

const char *mapping_column(const struct mapping *m, size_t i)
{
    return m->columns[i];
}

/* ---- applying ---- */

static void refuse(struct import_item *item, const char *member, const char *what)
{
    err_reason(&item->err, LOV_EINVAL, "invalid_row", "%s: %s", member, what);
}

/* What the mapping makes of a word; false when it is not among the values. */
static bool translate(const struct member *member, struct str *text)
{
    for (unsigned i = 0; i < member->values_count; i++) {
        if (str_is(*text, member->values[i].from)) {
            *text = str_of(member->values[i].to);
            return true;
        }
    }
    return !member->values || member->constant;
}

/* 1 and *out; 0 when there is no value; -1 when it is not among the values. The names in a list are
 * translated one by one, later. */
static int value_of(const struct mapping *m, size_t i, const struct str *values, int64_t row,
                    struct arena *arena, struct str *out)
{
    const struct member *member = m->of[i];
    if (!member)
        return 0;
    if (member->constant)
        *out = str_of(member->constant);
    else if (m->column_of[i] == ROW_NUMBER)
        *out = arena_printf(arena, "%lld", (long long)row);
    else
        *out = str_trim(values[m->column_of[i]]);
    if (!out->n)
        *out = str_of(member->fallback);
    if (!out->n)
        return 0;
    if (member->lookup && (!m->lookup_of[i] || !lookup_find(m->lookup_of[i], *out, out)))
        return -1;
    if (m->targets[i].kind != V_LIST && !translate(member, out))
        return -1;
    if (out->n && member->prefix)
        *out = arena_printf(arena, "%s%.*s", member->prefix, STR_ARG(*out));
    return out->n ? 1 : 0;
}

static bool write_time(struct jw *w, enum value_kind kind, const char *pattern, struct str text)
{
    int64_t at;
    int32_t day;
    if (!pattern && kind == V_DATE && !date_parse(text, &day))
        return false;
    if (!pattern && kind == V_TIME && !time_parse(text, &at))
        return false;
    if (pattern && !when_parse(pattern, text, &at))
        return false;
    if (!pattern) {
        jw_str(w, text);
    } else if (kind == V_TIME) {
        jw_time(w, at);
    } else {
        _cleanup_buf struct buf date = {0};
        date_format((int32_t)((at - (at % DAY_MS + DAY_MS) % DAY_MS) / DAY_MS), &date);
        jw_str(w, buf_view(&date));
    }
    return true;
}

static bool write_list(struct jw *w, const struct member *member, struct str text)
{
    char separator = member->separator && *member->separator ? *member->separator : ',';
    bool ok = true;
    jw_array_start(w);
    while (text.n && ok) {
        struct str name = str_trim(str_cut(&text, separator));
        ok = translate(member, &name);
        if (name.n && ok)
            jw_str(w, name);
    }
    jw_array_end(w);
    return ok;
}

static bool write_bool(struct jw *w, struct str text)
{
    static const char *const yes[] = {"true", "yes", "1"}, *const no[] = {"false", "no", "0"};
    for (size_t i = 0; i < 3; i++) {
        if (str_is(text, yes[i]) || str_is(text, no[i])) {
            jw_bool(w, str_is(text, yes[i]));
            return true;
        }
    }
    return false;
}

static void write_value(const struct mapping *m, size_t i, struct str text, struct jw *w,
                        struct import_item *item)
{
    const struct target *t = &m->targets[i];
    int64_t n;
    switch (t->kind) {
    case V_TEXT:
        jw_str(w, text);
        break;
    case V_LIST:
        if (!write_list(w, m->of[i], text))
            refuse(item, t->name, "a name in it is not among the mapping's values");
        break;
    case V_INT:
        if (str_to_int(text, 0, INT32_MAX, &n))
            jw_int(w, n);
        else
            refuse(item, t->name, "is not a whole number");
        break;
    case V_WHOLE:
        if (str_to_int(text, -(INT64_C(1) << 53), INT64_C(1) << 53, &n))
            jw_int(w, n);
        else
            refuse(item, t->name, "is not a whole number");
        break;
    case V_AMOUNT:
        jw_object_start(w);
        jw_str_member(w, "amount", text);
        jw_cstr_member(w, "currency", m->of[i]->currency);
        jw_object_end(w);
        break;
    case V_BOOL:
        if (!write_bool(w, text))
            refuse(item, t->name, "is neither true nor false");
        break;
    case V_TIME:
    case V_DATE:
        if (!write_time(w, t->kind, m->of[i]->date, text))
            refuse(item, t->name, "is not a time as the mapping says");
        break;
    }
}

/* Opens and closes the object that "notice.id" is a member of, and names the member. *object is the
 * one that is open, or empty. */
static void write_name(const char *name, struct str *object, struct jw *w)
{
    const char *dot = strchr(name, '.');
    struct str own = {name, dot ? (size_t)(dot - name) : 0};
    bool same = str_eq(own, *object);
    if (object->n && !same)
        jw_object_end(w);
    if (dot && !same) {
        char key[32];
        snprintf(key, sizeof key, "%.*s", STR_ARG(own));
        jw_key(w, key);
        jw_object_start(w);
    }
    *object = own;
    jw_key(w, dot ? dot + 1 : name);
}

static void write_item(const struct mapping *m, const struct str *values, struct arena *arena,
                       struct jw *w, struct import_item *item)
{
    struct str object = {0}, text;
    jw_object_start(w);
    for (size_t i = 0; i < m->target_count && !item->err.code; i++) {
        const struct target *t = &m->targets[i];
        int rc = value_of(m, i, values, item->row, arena, &text);
        if (rc < 0)
            refuse(item, t->name,
                   m->of[i]->lookup ? "the value is not found in the other file"
                                    : "the value is not among the mapping's values");
        else if (rc == 0 && t->required)
            refuse(item, t->name, "is empty");
        if (rc <= 0)
            continue;
        if (m->kind != IMPORT_CONSENTS && i == 0) {
            item->consumer = arena_str(arena, text);
            continue;
        }
        if (m->kind == IMPORT_RECORDS && i == 1) {
            item->category = arena_str(arena, text);
            continue;
        }
        write_name(t->name, &object, w);
        write_value(m, i, text, w, item);
    }
    if (object.n)
        jw_object_end(w);
    jw_object_end(w);
}

void mapping_apply(const struct mapping *m, const struct str *values, struct arena *arena,
                   struct import_item *item)
{
    _cleanup_buf struct buf out = {0};
    _cleanup_json json_t *json = NULL;
    struct err why = {0};
    struct jw w = {.out = &out};
    write_item(m, values, arena, &w, item);
    if (item->err.code)
        return;
    if (!str_no_controls(item->consumer, false))
        refuse(item, "consumer", "holds a control character");
    else if (m->kind == IMPORT_RECORDS && !str_is_name(item->category))
        refuse(item, "category", "is no name of a category");
    else if (out.n > ITEM_MAX)
        refuse(item, "the row", "is larger than 16,000 bytes");
    else if (json_read(buf_view(&out), &json, &why))
        refuse(item, "the row", why.text); /* alone: one such row would spoil its whole batch */
    else
        item->json = arena_str(arena, buf_view(&out));
    if (item->keep && !item->err.code)
        item->tree = json_incref(json);
}
