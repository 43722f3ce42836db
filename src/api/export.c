/* export.c - GET /v1/requests/{id}/export, and the same in the portal: all that there is of one
 * consumer, as a ZIP.
 *
 * What the files say is what the API answers to the operator: lists are read through its own calls,
 * so that there is one form of each thing. Records come through the vault's door, after the event
 * that records the disclosure. The file is made for one answer and lies nowhere. */
#include <string.h>

#include "api/export.h"
#include "api/private.h"
#include "api/receipt_page.h"
#include "base/zip.h"
#include "base/clock.h"
#include "base/template.h"

enum { EXPORT_MAX = 64 << 20 };

struct exporting {
    struct http_call *call;
    struct zip *zip;
    struct jw manifest;
    struct buf manifest_text;
    json_t *files; /* names, in order */
    json_t *consumer, *consents, *history, *requests, *decisions;
    json_t *records; /* {category: [records]} */
    struct str id;   /* the consumer's */
    struct str language;
    struct err *err;
};

/* ---- files ---- */

static int add_file(struct exporting *x, const char *name, struct str content)
{
    struct sha256 hash = sha256_of(content);
    jw_object_start(&x->manifest);
    jw_cstr_member(&x->manifest, "name", name);
    jw_int_member(&x->manifest, "bytes", (int64_t)content.n);
    jw_hex_member(&x->manifest, "sha256", hash.b, sizeof hash.b);
    jw_object_end(&x->manifest);
    json_array_append_new(x->files, json_string(name));
    return zip_add(x->zip, name, content, x->err);
}

static int add_json(struct exporting *x, const char *name, const json_t *value)
{
    _cleanup_buf struct buf text = {0};
    json_canonical(value, &text);
    buf_char(&text, '\n');
    int rc = add_file(x, name, buf_view(&text));
    secret_wipe_bytes(text.p, text.n);
    return rc;
}

/* RFC 4180: quoted where it must be. */
static void csv_cell(struct str text, struct buf *out)
{
    bool quote = false;
    for (size_t i = 0; i < text.n && !quote; i++)
        quote = strchr(",\"\r\n", text.p[i]) != NULL;
    if (quote)
        buf_char(out, '"');
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] == '"')
            buf_char(out, '"');
        buf_char(out, text.p[i]);
    }
    if (quote)
        buf_char(out, '"');
}

static void csv_value(const json_t *value, struct buf *out)
{
    _cleanup_buf struct buf text = {0};
    if (!value || json_is_null(value))
        return;
    if (json_is_string(value)) {
        csv_cell(json_text(value), out);
        return;
    }
    json_canonical(value, &text);
    csv_cell(buf_view(&text), out);
}

/* One column for each member that any of the objects has, in order of first appearance. */
static int add_csv(struct exporting *x, const char *name, const json_t *items)
{
    _cleanup_json json_t *columns = json_object();
    _cleanup_buf struct buf text = {0};
    size_t i;
    json_t *item, *value;
    const char *key;
    json_array_foreach((json_t *)items, i, item)
        json_object_foreach(item, key, value)
            json_object_set_new(columns, key, json_null());
    bool first = true;
    json_object_foreach(columns, key, value) {
        if (!first)
            buf_char(&text, ',');
        first = false;
        csv_cell(str_of(key), &text);
    }
    buf_cstr(&text, "\r\n");
    json_array_foreach((json_t *)items, i, item) {
        first = true;
        json_object_foreach(columns, key, value) {
            if (!first)
                buf_char(&text, ',');
            first = false;
            csv_value(json_object_get(item, key), &text);
        }
        buf_cstr(&text, "\r\n");
    }
    int rc = add_file(x, name, buf_view(&text));
    secret_wipe_bytes(text.p, text.n);
    return rc;
}

/* ---- through the API ---- */

/* The text of an answer; 1 where there is one, 0 where the call was refused. */
static int get_text(struct exporting *x, const char *target, struct buf *out)
{
    struct http_call *call = http_call_new("GET", target, (struct str){0});
    http_dispatch(api_app(api_of(x->call)), call);
    bool ok = call->status == 200;
    if (ok)
        buf_str(out, buf_view(&call->out));
    int status = call->status;
    http_call_free(call);
    if (status >= 500)
        return err_set(x->err, LOV_EIO, "a part of the export could not be read");
    return ok;
}

static int get_json(struct exporting *x, const char *target, json_t **out)
{
    _cleanup_buf struct buf text = {0};
    int rc = get_text(x, target, &text);
    if (rc == 0)
        return err_reason(x->err, LOV_ECONFLICT, "erased", "the consumer was erased");
    return rc < 0 ? rc : json_read(buf_view(&text), out, x->err);
}

/* All pages of a list. */
static int get_list(struct exporting *x, const char *target, json_t **out)
{
    _cleanup_json json_t *all = json_array();
    _cleanup_buf struct buf after = {0}, path = {0};
    int rc;
    do {
        _cleanup_json json_t *page = NULL;
        buf_clear(&path);
        buf_printf(&path, "%s?limit=%d%s%.*s", target, (int)LIST_MAX, after.n ? "&after=" : "",
                   STR_ARG(buf_view(&after)));
        rc = get_json(x, path.p, &page);
        if (rc)
            return rc;
        json_array_extend(all, json_object_get(page, "items"));
        buf_clear(&after);
        if (json_is_string(json_object_get(page, "next")))
            buf_str(&after, json_text(json_object_get(page, "next")));
    } while (after.n);
    *out = json_incref(all);
    return 0;
}

static void encode(struct str text, struct buf *out)
{
    for (size_t i = 0; i < text.n; i++)
        buf_printf(out, "%%%02X", (unsigned char)text.p[i]);
}

static int read_lists(struct exporting *x)
{
    _cleanup_buf struct buf base = {0}, target = {0};
    buf_cstr(&base, "/v1/consumers/");
    encode(x->id, &base);
    struct list {
        const char *name;
        json_t **out;
    } lists[] = {{"consents", &x->consents}, {"history", &x->history}, {"requests", &x->requests}};
    int rc = get_json(x, base.p, &x->consumer);
    for (size_t i = 0; rc == 0 && i < sizeof lists / sizeof *lists; i++) {
        buf_clear(&target);
        buf_printf(&target, "%s/%s", base.p, lists[i].name);
        rc = get_list(x, target.p, lists[i].out);
    }
    return rc;
}

/* The random number that receipts name them by: of an erasure, too, when nothing else is left. */
static int add_number(struct exporting *x)
{
    struct identity_row who;
    _cleanup_buf struct buf number = {0};
    int rc = consumer_find(api_of(x->call)->engine, x->id, &who, x->err);
    if (rc == 0)
        return err_reason(x->err, LOV_ECONFLICT, "erased", "the consumer was erased");
    if (rc < 0)
        return rc;
    hex_encode(who.cid.b, sizeof who.cid.b, &number);
    json_object_set_new(x->consumer, "number", json_stringn(number.p, number.n));
    return 0;
}

/* ---- records ---- */

static int keep_record(void *ctx, const struct vault_item *item)
{
    struct exporting *x = ctx;
    json_t *data = NULL, *limits = NULL;
    int rc = json_read(item->data, &data, x->err);
    if (rc == 0 && item->limits.n)
        rc = json_read(item->limits, &limits, x->err);
    if (rc) {
        json_decref(data);
        return rc;
    }
    const char *category = arena_cstr(&x->call->arena, item->category);
    json_t *items = json_object_get(x->records, category), *record = json_object();
    if (!items)
        json_object_set_new(x->records, category, items = json_array());
    _cleanup_buf struct buf at = {0}, end = {0};
    time_format(item->observed_at, &at);
    json_object_set_new(record, "id", json_stringn(item->id.p, item->id.n));
    json_object_set_new(record, "version", json_integer(item->version));
    json_object_set_new(record, "observed_at", json_stringn(at.p, at.n));
    json_object_set_new(record, "source", json_stringn(item->source.p, item->source.n));
    if (item->retention_end != TIME_NONE) {
        time_format(item->retention_end, &end);
        json_object_set_new(record, "retention_end", json_stringn(end.p, end.n));
    }
    if (limits)
        json_object_set_new(record, "limits", limits);
    json_object_set_new(record, "data", data);
    json_array_append_new(items, record);
    return 0;
}

/* JSON Schema (2020-12) of a category's fields. */
static json_t *schema_of(const struct policy_category *c)
{
    static const char *const types[] = {[FIELD_INTEGER] = "integer",
                                        [FIELD_BOOLEAN] = "boolean",
                                        [FIELD_CURRENCY_AMOUNT] = "object"};
    json_t *properties = json_object(), *required = json_array(), *schema = json_object();
    for (size_t i = 0; i < c->field_count; i++) {
        const struct policy_field *f = &c->fields[i];
        const char *type = (size_t)f->type < sizeof types / sizeof *types ? types[f->type] : NULL;
        json_t *property = json_pack("{s:s}", "type", type ? type : "string");
        if (f->type == FIELD_ENUM) {
            json_t *values = json_array();
            for (size_t k = 0; k < f->value_count; k++)
                json_array_append_new(values, json_stringn(f->values[k].p, f->values[k].n));
            json_object_set_new(property, "enum", values);
        }
        json_object_setn_new(properties, f->name.p, f->name.n, property);
        if (f->required)
            json_array_append_new(required, json_stringn(f->name.p, f->name.n));
    }
    json_object_set_new(schema, "$schema",
                        json_string("https://json-schema.org/draft/2020-12/schema"));
    json_object_set_new(schema, "type", json_string("object"));
    json_object_set_new(schema, "properties", properties);
    json_object_set_new(schema, "required", required);
    return schema;
}

/* A record as one flat object: what is known of it, then its fields. */
static json_t *flat_records(const json_t *items)
{
    json_t *flat = json_array(), *item, *value;
    size_t i;
    const char *key;
    json_array_foreach((json_t *)items, i, item) {
        json_t *row = json_object();
        json_object_foreach(item, key, value)
            if (strcmp(key, "data") != 0)
                json_object_set(row, key, value);
        json_object_foreach(json_object_get(item, "data"), key, value)
            json_object_set(row, key, value);
        json_array_append_new(flat, row);
    }
    return flat;
}

static int add_category(struct exporting *x, const struct policy *policy, const char *category,
                        const json_t *items)
{
    _cleanup_json json_t *flat = flat_records(items), *schema = NULL;
    struct arena *arena = &x->call->arena;
    const struct policy_category *c = policy ? policy_category(policy, str_of(category)) : NULL;
    int rc = add_json(x, arena_printf(arena, "records/%s.json", category).p, items);
    if (rc == 0)
        rc = add_csv(x, arena_printf(arena, "records/%s.csv", category).p, flat);
    if (rc || !c)
        return rc;
    schema = schema_of(c);
    return add_json(x, arena_printf(arena, "records/%s.schema.json", category).p, schema);
}

static int add_records(struct exporting *x, const struct engine_write *recorded)
{
    struct rules *rules = engine_rules(api_of(x->call)->engine);
    const char *category;
    json_t *items;
    int rc = vault_disclose(api_of(x->call)->vault, recorded, keep_record, x, x->err);
    json_object_foreach(x->records, category, items)
        if (rc == 0)
            rc = add_category(x, rules ? rules_policy(rules) : NULL, category, items);
    rules_unref(rules);
    return rc < 0 ? rc : 0;
}

/* ---- receipts ---- */

static int add_receipts(struct exporting *x)
{
    size_t i;
    json_t *consent;
    json_array_foreach(x->consents, i, consent) {
        _cleanup_buf struct buf text = {0}, target = {0}, name = {0};
        const char *id = json_string_value(json_object_get(consent, "id"));
        buf_printf(&target, "/v1/consents/%s/receipt?copy=consumer", id);
        buf_printf(&name, "receipts/%s.json", id);
        /* One that a later answer took the place of last has none of that event. */
        int rc = get_text(x, target.p, &text);
        if (rc == 1)
            rc = add_file(x, name.p, buf_view(&text));
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* ---- the page ---- */

static struct str web_file(const char *name)
{
    for (size_t i = 0; i < embedded_web_count; i++)
        if (strcmp(embedded_web[i].name, name) == 0)
            return (struct str){embedded_web[i].text, embedded_web[i].size};
    bug("web/%s is not built in", name);
}

static json_t *page_fields(const struct policy *policy, const struct policy_category *c,
                           struct str lang, const json_t *data)
{
    json_t *fields = json_array(), *value;
    const char *key;
    json_object_foreach((json_t *)data, key, value) {
        _cleanup_buf struct buf text = {0};
        const json_t *amount = json_object_get(value, "amount");
        const json_t *currency = json_object_get(value, "currency");
        if (json_is_string(value))
            buf_str(&text, json_text(value));
        else if (json_is_string(amount) && json_is_string(currency))
            buf_printf(&text, "%s %s", json_string_value(amount), json_string_value(currency));
        else
            json_canonical(value, &text);
        json_t *field = json_object();
        const struct policy_field *f = c ? policy_field(c, str_of(key)) : NULL;
        struct str label =
            f && f->label.in[0].n ? policy_text_in(policy, &f->label, lang) : str_of(key);
        json_object_set_new(field, "name", json_stringn(label.p, label.n));
        json_object_set_new(field, "value", json_stringn(text.p ? text.p : "", text.n));
        json_array_append_new(fields, field);
    }
    return fields;
}

/* "purposes": {"names": [labels]} and so on, of what narrows a record. */
static void page_limits(const struct policy *policy, struct str lang, const json_t *limits,
                        json_t *shown)
{
    const char *kind;
    json_t *ids, *id;
    json_object_foreach((json_t *)limits, kind, ids) {
        json_t *names = json_array(), *view = json_object();
        size_t i;
        json_array_foreach(ids, i, id) {
            struct str name = json_text(id);
            const struct policy_text *label = NULL;
            const struct policy_recipient *r = policy ? policy_recipient(policy, name) : NULL;
            const struct policy_purpose *p = policy ? policy_purpose(policy, name) : NULL;
            if (strcmp(kind, "recipients") == 0)
                label = r ? &r->label : NULL;
            else
                label = p ? &p->label : NULL;
            if (label)
                name = policy_text_in(policy, label, lang);
            json_array_append_new(names, json_stringn(name.p, name.n));
        }
        json_object_set_new(view, "names", names);
        json_object_set_new(shown, kind, view);
    }
}

static json_t *page_records(struct exporting *x, const struct policy *policy, struct str lang)
{
    json_t *all = json_array(), *items, *item;
    const char *category;
    json_object_foreach(x->records, category, items) {
        const struct policy_category *c = policy ? policy_category(policy, str_of(category)) : NULL;
        struct str label = c ? policy_text_in(policy, &c->label, lang) : str_of(category);
        json_t *group = json_object(), *list = json_array();
        size_t i;
        json_array_foreach(items, i, item) {
            json_t *shown = json_object();
            json_object_set(shown, "observed_at", json_object_get(item, "observed_at"));
            json_object_set(shown, "source", json_object_get(item, "source"));
            json_object_set_new(shown, "fields",
                                page_fields(policy, c, lang, json_object_get(item, "data")));
            page_limits(policy, lang, json_object_get(item, "limits"), shown);
            json_array_append_new(list, shown);
        }
        json_object_set_new(group, "category", json_string(category));
        json_object_set_new(group, "label", json_stringn(label.p, label.n));
        json_object_set_new(group, "items", list);
        json_array_append_new(all, group);
    }
    return all;
}

/* Of the newest notice that the consumer answered, where it is one of the page's. */
static struct str page_language(const struct exporting *x)
{
    size_t n = json_array_size(x->consents);
    const json_t *notice = n ? json_object_get(json_array_get(x->consents, n - 1), "notice") : NULL;
    const json_t *language = json_object_get(notice, "language");
    if (x->language.n)
        return x->language;
    struct str known =
        json_is_string(language) ? receipt_page_language(json_text(language)) : (struct str){0};
    return known.n ? known : STR("en");
}

/* ---- decisions ---- */

static int add_decisions(struct exporting *x)
{
    struct engine *e = api_of(x->call)->engine;
    struct rules *rules = engine_rules(e);
    x->decisions = decisions_of(e, rules, x->id);
    rules_unref(rules);
    int rc = add_json(x, "decisions.json", x->decisions);
    return rc ? rc : add_csv(x, "decisions.csv", x->decisions);
}

/* In words of the portal and labels of the policy. */
static int page_decisions(struct exporting *x, const struct policy *p, struct str lang,
                          json_t *page)
{
    _cleanup_json json_t *words = NULL;
    size_t i;
    json_t *d, *list = json_array();
    json_object_set_new(page, "decisions", list);
    int rc = json_read(web_file(str_is(lang, "sv") ? "portal.sv.json" : "portal.en.json"), &words,
                       x->err);
    if (rc)
        return rc;
    json_array_foreach(x->decisions, i, d) {
        const struct policy_purpose *purpose =
            policy_purpose(p, json_text(json_object_get(d, "purpose")));
        const struct policy_recipient *recipient =
            policy_recipient(p, json_text(json_object_get(d, "recipient")));
        const struct policy_category *c =
            policy_category(p, json_text(json_object_get(d, "category")));
        _cleanup_buf struct buf reason = {0};
        if (!purpose || !recipient || !c)
            continue;
        struct str label[] = {policy_text_in(p, &purpose->label, lang),
                              policy_text_in(p, &recipient->label, lang),
                              policy_text_in(p, &c->label, lang)};
        static const char *const names[] = {"purpose", "recipient", "category"};
        json_t *view = json_object();
        for (size_t k = 0; k < 3; k++)
            json_object_set_new(view, names[k], json_stringn(label[k].p, label[k].n));
        buf_printf(&reason, "reason_%s", json_string_value(json_object_get(d, "reason")));
        json_object_set(view, "reason", json_object_get(words, reason.p));
        json_array_append_new(list, view);
    }
    return 0;
}

static int add_page(struct exporting *x)
{
    _cleanup_json json_t *words = NULL, *view = json_object();
    _cleanup_buf struct buf html = {0};
    struct str lang = page_language(x);
    int rc = json_read(web_file("export.json"), &words, x->err);
    if (rc)
        return rc;
    struct rules *rules = engine_rules(api_of(x->call)->engine);
    const struct policy *policy = rules ? rules_policy(rules) : NULL;
    struct str style = web_file("receipt.css");
    struct str company = policy ? policy->controller_name : (struct str){0};
    json_object_update(view, x->consumer);
    json_object_set(view, "t", json_object_get(words, str_is(lang, "sv") ? "sv" : "en"));
    json_object_set_new(view, "lang", json_stringn(lang.p, lang.n));
    json_object_set_new(view, "style", json_stringn(style.p, style.n));
    json_object_set_new(view, "controller", json_stringn(company.p ? company.p : "", company.n));
    json_object_set(view, "consents", x->consents);
    json_object_set_new(view, "records", page_records(x, policy, lang));
    json_object_set(view, "files", x->files);
    if (policy)
        rc = page_decisions(x, policy, lang, view);
    rules_unref(rules);
    if (rc)
        return rc;
    template_render(web_file("export.html"), view, &html);
    return add_file(x, "index.html", buf_view(&html));
}

/* ---- all of it ---- */

static int add_manifest(struct exporting *x)
{
    _cleanup_buf struct buf checkpoint = {0};
    int rc = get_text(x, "/log/0/checkpoint", &checkpoint);
    if (rc < 0)
        return rc;
    jw_array_end(&x->manifest);
    jw_optional_member(&x->manifest, "checkpoint", buf_view(&checkpoint));
    jw_object_end(&x->manifest);
    return zip_add(x->zip, "manifest.json", buf_view(&x->manifest_text), x->err);
}

static int write_export(struct exporting *x, const struct engine_write *recorded)
{
    int rc = engine_publish(api_of(x->call)->engine, x->err);
    if (rc == 0)
        rc = read_lists(x);
    if (rc == 0)
        rc = add_number(x);
    if (rc == 0)
        rc = add_json(x, "consumer.json", x->consumer);
    if (rc == 0)
        rc = add_json(x, "consents.json", x->consents);
    if (rc == 0)
        rc = add_csv(x, "consents.csv", x->consents);
    if (rc == 0)
        rc = add_json(x, "history.json", x->history);
    if (rc == 0)
        rc = add_csv(x, "history.csv", x->history);
    if (rc == 0)
        rc = add_json(x, "requests.json", x->requests);
    if (rc == 0)
        rc = add_decisions(x);
    if (rc == 0)
        rc = add_receipts(x);
    if (rc == 0)
        rc = add_records(x, recorded);
    if (rc == 0)
        rc = add_page(x);
    if (rc == 0)
        rc = add_manifest(x);
    return rc ? rc : zip_finish(x->zip, x->err);
}

static int answer_export(struct http_call *call)
{
    struct pending *p = call->work;
    const struct export_ask *ask = p->more;
    const struct engine_write *w = &p->writes[0];
    struct err err = {0};
    if (w->job.rc)
        return ask->failed(call, &w->job.err);
    struct exporting x = {
        .call = call,
        .files = json_array(),
        .records = json_object(),
        .id = w->consumer,
        .language = ask->language,
        .err = &err,
    };
    _cleanup_buf struct buf file = {0};
    x.zip = zip_new(&file, EXPORT_MAX);
    x.manifest.out = &x.manifest_text;
    jw_object_start(&x.manifest);
    jw_cstr_member(&x.manifest, "format", "lov export 1");
    jw_array_member(&x.manifest, "files");
    int rc = write_export(&x, w);
    zip_free(x.zip);
    buf_free(&x.manifest_text);
    json_t *const all[] = {x.files,   x.records,  x.consumer, x.consents,
                           x.history, x.requests, x.decisions};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        json_decref(all[i]);
    if (rc)
        return ask->failed(call, &err);
    buf_str(&call->out, buf_view(&file));
    secret_wipe_bytes(file.p, file.n);
    call->status = 200;
    call->content_type = "application/zip";
    http_answer_header(call, "Content-Disposition", STR("attachment; filename=\"export.zip\""));
    http_answer_header(call, "Cache-Control", STR("no-store"));
    return 0;
}

bool export_allowed(const struct request *r)
{
    bool verified =
        r->state == REQUEST_OPEN || r->state == REQUEST_EXTENDED || r->state == REQUEST_FULFILLED;
    return verified && (str_is(r->right, "access") || str_is(r->right, "portability") ||
                        str_is(r->right, "explanation"));
}

static int submit_export(struct pending *p, const struct export_ask *ask)
{
    struct export_ask *kept = arena_alloc(&p->call->arena, sizeof *kept);
    *kept = *ask;
    p->more = kept;
    p->writes[0].consumer = ask->consumer;
    vault_record_disclosure(&p->writes[0], &kept->request);
    return pending_submit(p, answer_export);
}

int export_start(struct http_call *call, const struct export_ask *ask)
{
    static const struct principal consumer = {.actor = {"consumer", 8}};
    call->principal = (void *)&consumer;
    return submit_export(pending_new(call, NULL, 1), ask);
}

/* Whose request it is, by name. */
static int find_request(struct http_call *call, struct str *consumer, struct err *err)
{
    struct engine *e = api_of(call)->engine;
    struct request r;
    uint32_t shard;
    int64_t seq;
    struct db *identities;
    _cleanup_buf struct buf name = {0};
    int rc = consent_id_parse(e, call->param[0], &shard, &seq)
                 ? request_get(e, shard, seq, &call->arena, &r, err)
                 : 0;
    if (rc == 0)
        return err_reason(err, LOV_ENOTFOUND, "unknown_request", "there is no such request");
    if (rc == 1 && !export_allowed(&r))
        return err_reason(err, LOV_ECONFLICT, "wrong_state",
                          "an export is for a request for access, portability or an explanation "
                          "whose identity is verified");
    if (rc == 1)
        rc = db_pool_get(engine_identities(e), &identities, err);
    if (rc)
        return rc;
    rc = identity_name(engine_identity(e), identities, &r.cid, &name, err);
    db_pool_put(engine_identities(e), identities);
    if (rc == 0)
        return err_reason(err, LOV_ECONFLICT, "erased", "the consumer was erased");
    *consumer = arena_str(&call->arena, buf_view(&name));
    return rc < 0 ? rc : 0;
}

int requests_export(struct http_call *call)
{
    static const char *const names[] = {"language", NULL};
    struct err err = {0};
    struct str language = {0};
    struct export_ask ask = {.request = call->param[0], .failed = answer_problem};
    int rc = http_query_check(call, names, &err);
    if (rc == 0 && http_query(call, "language", &language)) {
        ask.language = receipt_page_language(language);
        if (!ask.language.n)
            rc = err_reason(&err, LOV_EINVAL, "invalid_query", "language: sv or en");
    }
    if (rc == 0)
        rc = find_request(call, &ask.consumer, &err);
    return rc ? answer_problem(call, &err) : submit_export(pending_new(call, NULL, 1), &ask);
}
