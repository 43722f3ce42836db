/* load.c - reads controller, categories, purposes and recipients. Each thing that has a name enters
 * the policy even if something else about it is wrong, so that one mistake does not show up again
 * wherever the thing is named. */
#include <string.h>

#include "policy/draft.h"

const char *const section_names[SECTION_COUNT] = {"what", "used",   "shared",
                                                  "kept", "refuse", "withdraw"};

static bool is_language(struct str s)
{
    if (s.n < 2 || s.n > 3)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < 'a' || s.p[i] > 'z')
            return false;
    }
    return true;
}

static void load_language(struct draft *d, const struct node *item)
{
    const struct str file = STR("controller.yaml");
    struct policy *p = d->policy;
    struct str *sections = d->section[p->language_count];
    struct member members[SECTION_COUNT];
    for (size_t i = 0; i < SECTION_COUNT; i++)
        members[i] = (struct member){.name = section_names[i],
                                     .kind = MEMBER_TEXT,
                                     .offset = i * sizeof *sections,
                                     .required = true};
    if (!is_language(item->key)) {
        find_error(d, file, item->key_line, "bad_name",
                   "%.*s is no language: use its ISO 639 code, such as sv", STR_ARG(item->key));
        return;
    }
    take(d, file, item, members, SECTION_COUNT, sections);
    for (size_t i = 0; i < SECTION_COUNT; i++)
        sections[i] = text_fold(d->scratch, sections[i]);
    p->languages[p->language_count++] = item->key;
}

static void load_languages(struct draft *d, const struct node *list)
{
    if (list && list->count > MAX_LANGUAGES)
        find_error(d, STR("controller.yaml"), list->key_line, "too_many",
                   "%zu languages: %d is the limit", list->count, MAX_LANGUAGES);
    else if (list && list->count == 0)
        find_error(d, STR("controller.yaml"), list->key_line, "missing_member",
                   "languages is empty");
    else if (list)
        for (const struct node *item = list->first; item; item = item->next)
            load_language(d, item);
}

struct controller {
    struct str id, name, contact, residence, law;
    const struct node *languages;
};

void load_controller(struct draft *d)
{
    static const struct member members[] = {
        {.name = "id",
         .kind = MEMBER_NAME,
         .offset = offsetof(struct controller, id),
         .required = true},
        {.name = "name",
         .kind = MEMBER_TEXT,
         .offset = offsetof(struct controller, name),
         .required = true},
        {.name = "contact",
         .kind = MEMBER_TEXT,
         .offset = offsetof(struct controller, contact),
         .required = true},
        {.name = "languages",
         .kind = MEMBER_MAP,
         .offset = offsetof(struct controller, languages),
         .required = true},
        {.name = "default_residence",
         .kind = MEMBER_TEXT,
         .offset = offsetof(struct controller, residence),
         .required = true},
        {.name = "default_law", .kind = MEMBER_NAME, .offset = offsetof(struct controller, law)},
    };
    const struct str file = STR("controller.yaml");
    struct controller c = {0};
    struct policy *p = d->policy;
    p->languages = arena_array(d->arena, MAX_LANGUAGES, sizeof *p->languages);
    d->controller = take_file(d, "controller.yaml");
    if (!d->controller || !take(d, file, d->controller, members, 6, &c))
        return;
    if (c.residence.n && !is_territory(c.residence))
        find_error(d, file, node_line(d->controller, "default_residence"), "bad_territory",
                   "%.*s is no residence: use ISO 3166 codes such as SE or US-CA",
                   STR_ARG(c.residence));
    p->controller = c.id;
    p->controller_name = c.name;
    p->contact = c.contact;
    p->default_residence = c.residence;
    d->default_law = c.law;
    load_languages(d, c.languages);
}

/* ---- categories ---- */

static const char *const field_types[] = {"string",    "integer", "decimal",        "date",
                                          "timestamp", "boolean", "enum",           "email",
                                          "phone",     "country", "currency_amount"};

struct field_in {
    struct str name, min, max;
    struct policy_text label;
    int type, breach;
    bool required, sensitive, identifies, any_size;
    const struct node *values;
};

static void load_field(struct draft *d, const struct node *item, struct policy_category *c)
{
    static const struct member members[] = {
        {.name = "name",
         .kind = MEMBER_NAME,
         .offset = offsetof(struct field_in, name),
         .required = true},
        {.name = "label", .kind = MEMBER_TEXTS, .offset = offsetof(struct field_in, label)},
        {.name = "type",
         .kind = MEMBER_WORD,
         .offset = offsetof(struct field_in, type),
         .required = true,
         .words = field_types,
         .word_count = 11},
        {.name = "required", .kind = MEMBER_BOOL, .offset = offsetof(struct field_in, required)},
        {.name = "sensitive", .kind = MEMBER_BOOL, .offset = offsetof(struct field_in, sensitive)},
        {.name = "values", .kind = MEMBER_LIST, .offset = offsetof(struct field_in, values)},
        {.name = "min", .kind = MEMBER_TEXT, .offset = offsetof(struct field_in, min)},
        {.name = "max", .kind = MEMBER_TEXT, .offset = offsetof(struct field_in, max)},
        {.name = "breach",
         .kind = MEMBER_WORD,
         .offset = offsetof(struct field_in, breach),
         .words = breach_words,
         .word_count = BREACHES},
        {.name = "identifies",
         .kind = MEMBER_BOOL,
         .offset = offsetof(struct field_in, identifies)},
        {.name = "any_size", .kind = MEMBER_BOOL, .offset = offsetof(struct field_in, any_size)},
    };
    const struct str file = STR("categories.yaml");
    struct field_in in = {.type = FIELD_STRING};
    if (!take(d, file, item, members, sizeof members / sizeof *members, &in) || !in.name.n)
        return;
    if (policy_field(c, in.name))
        find_error(d, file, item->line, "duplicate_name", "%.*s has two fields %.*s",
                   STR_ARG(c->id), STR_ARG(in.name));
    struct policy_field *f = &c->fields[c->field_count++];
    *f = (struct policy_field){.name = in.name,
                               .label = in.label,
                               .type = (enum field_type)in.type,
                               .required = in.required,
                               .sensitive = in.sensitive,
                               .refuse = in.breach == BREACH_REFUSE,
                               .identifies = in.identifies,
                               .any_size = in.any_size};
    load_range(d, item, in.min, in.max, f);
    f->values = take_names(d, file, in.values, &f->value_count);
    if (f->type == FIELD_ENUM && !in.values)
        find_error(d, file, item->line, "missing_member",
                   "values is missing: an enum lists what it can be");
    if (f->type != FIELD_ENUM && in.values)
        find_error(d, file, in.values->key_line, "unknown_member",
                   "only a field of type enum has values");
}

struct category_in {
    struct str id;
    struct policy_text label;
    bool sensitive;
    struct str dpv, fdx;
    const struct node *fields, *rules;
    int retention, fresh;
};

static void set_form(struct policy_category *c)
{
    _cleanup_buf struct buf text = {0};
    for (size_t i = 0; i < c->field_count; i++) {
        const struct policy_field *f = &c->fields[i];
        buf_printf(&text, "%.*s:%s:%d", STR_ARG(f->name), field_type_name(f->type), f->required);
        for (size_t k = 0; k < f->value_count; k++)
            buf_printf(&text, ":%.*s", STR_ARG(f->values[k]));
        buf_char(&text, '\n');
    }
    struct sha256 hash = sha256_of(buf_view(&text));
    memcpy(c->form, hash.b, sizeof c->form);
}

static void load_category(struct draft *d, const struct node *item)
{
    static const struct member members[] = {
        {.name = "id",
         .kind = MEMBER_NAME,
         .offset = offsetof(struct category_in, id),
         .required = true},
        {.name = "label",
         .kind = MEMBER_TEXTS,
         .offset = offsetof(struct category_in, label),
         .required = true},
        {.name = "sensitive",
         .kind = MEMBER_BOOL,
         .offset = offsetof(struct category_in, sensitive)},
        {.name = "dpv",
         .kind = MEMBER_TEXT,
         .offset = offsetof(struct category_in, dpv),
         .required = true},
        {.name = "fdx", .kind = MEMBER_TEXT, .offset = offsetof(struct category_in, fdx)},
        {.name = "fields",
         .kind = MEMBER_LIST,
         .offset = offsetof(struct category_in, fields),
         .required = true},
        {.name = "retention",
         .kind = MEMBER_INT,
         .offset = offsetof(struct category_in, retention),
         .min = 1,
         .max = 36525},
        {.name = "fresh",
         .kind = MEMBER_INT,
         .offset = offsetof(struct category_in, fresh),
         .min = 1,
         .max = 36525},
        {.name = "rules", .kind = MEMBER_LIST, .offset = offsetof(struct category_in, rules)},
    };
    struct category_in in = {0};
    if (!take(d, STR("categories.yaml"), item, members, sizeof members / sizeof *members, &in) ||
        !in.id.n)
        return;
    size_t n = in.fields ? in.fields->count : 0;
    if (in.fields && (n == 0 || n > MAX_THINGS)) {
        find_error(d, STR("categories.yaml"), in.fields->key_line,
                   n ? "too_many" : "missing_member", "%.*s has %zu fields: 1 to %d are allowed",
                   STR_ARG(in.id), n, MAX_THINGS);
        n = 0;
    }
    struct policy *p = d->policy;
    d->categories[p->category_count] = item;
    struct policy_category *c = &p->categories[p->category_count];
    *c = (struct policy_category){.index = (uint32_t)p->category_count++,
                                  .id = in.id,
                                  .label = in.label,
                                  .sensitive = in.sensitive,
                                  .dpv = in.dpv,
                                  .fdx = in.fdx,
                                  .retention_days = in.retention,
                                  .fresh_days = in.fresh};
    c->fields = arena_array(d->arena, n + 1, sizeof *c->fields);
    for (const struct node *field = n ? in.fields->first : NULL; field; field = field->next)
        load_field(d, field, c);
    load_rules(d, in.rules, c);
    set_form(c);
}

void load_categories(struct draft *d)
{
    const struct node *root = take_file(d, "categories.yaml");
    const struct node *list = take_list(d, STR("categories.yaml"), root, "categories", MAX_THINGS);
    size_t n = list ? list->count : 0;
    d->policy->categories = arena_array(d->arena, n + 1, sizeof *d->policy->categories);
    d->categories = arena_array(d->scratch, n + 1, sizeof *d->categories);
    for (const struct node *item = list ? list->first : NULL; item; item = item->next)
        load_category(d, item);
}

/* ---- purposes ---- */

void load_purposes(struct draft *d)
{
    static const struct member members[] = {
        {.name = "id",
         .kind = MEMBER_NAME,
         .offset = offsetof(struct policy_purpose, id),
         .required = true},
        {.name = "label",
         .kind = MEMBER_TEXTS,
         .offset = offsetof(struct policy_purpose, label),
         .required = true},
        {.name = "description",
         .kind = MEMBER_TEXTS,
         .offset = offsetof(struct policy_purpose, description),
         .required = true},
        {.name = "dpv",
         .kind = MEMBER_TEXT,
         .offset = offsetof(struct policy_purpose, dpv),
         .required = true},
    };
    const struct node *root = take_file(d, "purposes.yaml");
    const struct node *list = take_list(d, STR("purposes.yaml"), root, "purposes", MAX_THINGS);
    size_t n = list ? list->count : 0;
    struct policy *p = d->policy;
    p->purposes = arena_array(d->arena, n + 1, sizeof *p->purposes);
    d->purposes = arena_array(d->scratch, n + 1, sizeof *d->purposes);
    for (const struct node *item = list ? list->first : NULL; item; item = item->next) {
        struct policy_purpose in = {0};
        if (!take(d, STR("purposes.yaml"), item, members, 4, &in) || !in.id.n)
            continue;
        in.index = (uint32_t)p->purpose_count;
        d->purposes[p->purpose_count] = item;
        p->purposes[p->purpose_count++] = in;
    }
}

/* ---- recipients ---- */

struct recipient_in {
    struct str id;
    struct policy_text label;
    int kind, status;
    struct str contact;
    const struct node *contract, *safeguards, *training, *transfer;
};

struct paper {
    struct str reference;
    int32_t until;
};

/* The first instant at which a paper no longer holds; `until` is the last day that it does. */
static int64_t load_paper(struct draft *d, const struct node *node, bool has_reference,
                          struct str *reference)
{
    static const struct member members[] = {
        {.name = "until", .kind = MEMBER_DATE, .offset = offsetof(struct paper, until)},
        {.name = "reference",
         .kind = MEMBER_TEXT,
         .offset = offsetof(struct paper, reference),
         .required = true},
    };
    if (!node)
        return TIME_NONE;
    struct paper in = {.until = INT32_MAX};
    take(d, STR("recipients.yaml"), node, members, has_reference ? 2 : 1, &in);
    *reference = in.reference;
    return in.until == INT32_MAX ? INT64_MAX : date_start(in.until + 1);
}

static void load_transfer(struct draft *d, const struct node *node, struct policy_recipient *r)
{
    struct {
        int32_t announced, from;
    } in = {INT32_MAX, INT32_MAX};
    const struct member members[] = {
        {.name = "announced",
         .kind = MEMBER_DATE,
         .offset = (size_t)((char *)&in.announced - (char *)&in),
         .required = true},
        {.name = "from",
         .kind = MEMBER_DATE,
         .offset = (size_t)((char *)&in.from - (char *)&in),
         .required = true},
    };
    r->announced = r->begins = TIME_NONE;
    if (!node || !take(d, STR("recipients.yaml"), node, members, 2, &in))
        return;
    if (in.announced != INT32_MAX)
        r->announced = date_start(in.announced);
    if (in.from != INT32_MAX)
        r->begins = date_start(in.from);
}

static void load_recipient(struct draft *d, const struct node *item)
{
    static const char *const kinds[] = {"department", "processor", "advertiser", "affiliate",
                                        "broker",     "successor", "third_party"};
    static const char *const statuses[] = {"active", "suspended"};
    static const struct member members[] = {
        {.name = "id",
         .kind = MEMBER_NAME,
         .offset = offsetof(struct recipient_in, id),
         .required = true},
        {.name = "label",
         .kind = MEMBER_TEXTS,
         .offset = offsetof(struct recipient_in, label),
         .required = true},
        {.name = "kind",
         .kind = MEMBER_WORD,
         .offset = offsetof(struct recipient_in, kind),
         .required = true,
         .words = kinds,
         .word_count = 7},
        {.name = "status",
         .kind = MEMBER_WORD,
         .offset = offsetof(struct recipient_in, status),
         .words = statuses,
         .word_count = 2},
        {.name = "contact",
         .kind = MEMBER_TEXT,
         .offset = offsetof(struct recipient_in, contact),
         .required = true},
        {.name = "contract", .kind = MEMBER_MAP, .offset = offsetof(struct recipient_in, contract)},
        {.name = "safeguards",
         .kind = MEMBER_MAP,
         .offset = offsetof(struct recipient_in, safeguards)},
        {.name = "training", .kind = MEMBER_MAP, .offset = offsetof(struct recipient_in, training)},
        {.name = "transfer", .kind = MEMBER_MAP, .offset = offsetof(struct recipient_in, transfer)},
    };
    struct recipient_in in = {0};
    if (!take(d, STR("recipients.yaml"), item, members, sizeof members / sizeof *members, &in) ||
        !in.id.n)
        return;
    struct policy *p = d->policy;
    struct policy_recipient r = {.index = (uint32_t)p->recipient_count,
                                 .id = in.id,
                                 .label = in.label,
                                 .kind = (enum recipient_kind)in.kind,
                                 .suspended = in.status == 1,
                                 .contact = in.contact};
    struct str none;
    r.contract_end = load_paper(d, in.contract, true, &r.contract);
    r.safeguards_end = load_paper(d, in.safeguards, true, &r.safeguards);
    r.training_end = load_paper(d, in.training, false, &none);
    load_transfer(d, in.transfer, &r);
    d->recipients[p->recipient_count] = item;
    p->recipients[p->recipient_count++] = r;
}

void load_recipients(struct draft *d)
{
    const struct node *root = take_file(d, "recipients.yaml");
    const struct node *list = take_list(d, STR("recipients.yaml"), root, "recipients", MAX_THINGS);
    size_t n = list ? list->count : 0;
    d->policy->recipients = arena_array(d->arena, n + 1, sizeof *d->policy->recipients);
    d->recipients = arena_array(d->scratch, n + 1, sizeof *d->recipients);
    for (const struct node *item = list ? list->first : NULL; item; item = item->next)
        load_recipient(d, item);
}
