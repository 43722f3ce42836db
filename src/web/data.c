/* data.c - what the company holds about the consumer, record by record, and the questions about it.
 * Records come through the vault's door: the ledger has each look before the page has a word. */
#include <string.h>

#include "base/clock.h"
#include "vault/vault.h"
#include "web/private.h"

enum { SHOWN_OF_CATEGORY = 30 };

/* ---- values ---- */

static const struct policy_field *field_of(const struct visit *v, struct str category,
                                           struct str name)
{
    const struct policy_category *c = v->policy ? policy_category(v->policy, category) : NULL;
    return c ? policy_field(c, name) : NULL;
}

static struct str field_label(const struct visit *v, const struct policy_field *f, struct str name)
{
    if (f && f->label.in[0].n)
        return policy_text_in(v->policy, &f->label, v->language);
    return name_text(v, name);
}

static struct str value_text(const struct visit *v, const struct policy_field *f,
                             const json_t *value)
{
    _cleanup_buf struct buf text = {0};
    int64_t at;
    int32_t day;
    if (json_is_string(value) && f && f->type == FIELD_TIMESTAMP &&
        time_parse(json_text(value), &at))
        return moment_text(v, at);
    if (json_is_string(value) && f && f->type == FIELD_DATE && date_parse(json_text(value), &day))
        return day_text(v, day);
    if (json_is_string(value))
        return json_text(value);
    if (json_is_boolean(value))
        return word(v, json_is_true(value) ? "yes" : "no");
    const json_t *amount = json_object_get(value, "amount");
    const json_t *currency = json_object_get(value, "currency");
    if (json_is_string(amount) && json_is_string(currency))
        return arena_printf(v->arena, "%s %s", json_string_value(amount),
                            json_string_value(currency));
    json_canonical(value, &text);
    return arena_str(v->arena, buf_view(&text));
}

json_t *record_fields(const struct visit *v, struct str category, const json_t *data)
{
    json_t *fields = json_array();
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)data, name, value) {
        json_t *field = json_object();
        const struct policy_field *f = field_of(v, category, str_of(name));
        set_text(field, "name", field_label(v, f, str_of(name)));
        set_text(field, "value", value_text(v, f, value));
        json_array_append_new(fields, field);
    }
    return fields;
}

/* What the record may be used for, narrower than the policy says. */
static int set_limits(const struct visit *v, struct str limits, json_t *view, struct err *err)
{
    static const struct {
        const char *kind, *word;
        struct str (*label)(const struct visit *v, struct str id);
    } kinds[] = {{"purposes", "limit_purposes", purpose_label},
                 {"objections", "limit_objections", purpose_label},
                 {"recipients", "limit_recipients", recipient_label}};
    _cleanup_json json_t *json = NULL;
    int rc = limits.n ? json_read(limits, &json, err) : 0;
    json_t *list = json_array(), *name;
    json_object_set_new(view, "limits", list);
    for (size_t i = 0; rc == 0 && i < sizeof kinds / sizeof *kinds; i++) {
        size_t k;
        json_t *limit = json_object(), *names = json_array();
        json_array_foreach(json_object_get(json, kinds[i].kind), k, name) {
            struct str label = kinds[i].label(v, json_text(name));
            json_array_append_new(names, json_stringn(label.p, label.n));
        }
        set_text(limit, "what", word(v, kinds[i].word));
        json_object_set_new(limit, "names", names);
        if (json_array_size(names))
            json_array_append(list, limit);
        json_decref(limit);
    }
    return rc;
}

/* ---- records ---- */

struct showing {
    struct visit *v;
    struct vault *vault;
    json_t *categories; /* of the view */
    json_t *category;   /* the one under way */
    struct str name;
    json_t *by_record; /* {seq: view of the record} */
    struct err *err;
};

static void start_category(struct showing *s, struct str name)
{
    struct visit *v = s->v;
    const struct policy_category *c = v->policy ? policy_category(v->policy, name) : NULL;
    int days = c ? policy_retention_days(v->policy, c) : 0;
    s->name = arena_str(v->arena, name);
    s->category = json_object();
    set_text(s->category, "id", s->name);
    set_text(s->category, "label", category_label(v, s->name));
    if (days)
        set_int(s->category, "kept", days);
    set_int(s->category, "count", 0);
    set_true(s->category, "erasable", has_right(v, STR("erasure")));
    json_object_set_new(s->category, "records", json_array());
    json_array_append_new(s->categories, s->category);
}

static int show_record(void *ctx, const struct vault_item *item)
{
    struct showing *s = ctx;
    _cleanup_json json_t *data = NULL;
    _cleanup_buf struct buf seq = {0};
    if (!s->category || !str_eq(s->name, item->category))
        start_category(s, item->category);
    json_t *records = json_object_get(s->category, "records");
    int64_t count = json_integer_value(json_object_get(s->category, "count")) + 1;
    set_int(s->category, "count", count);
    int rc = json_read(item->data, &data, s->err);
    if (rc)
        return rc;
    json_t *view = json_object();
    set_text(view, "source", item->source);
    set_moment(s->v, view, "observed", item->observed_at);
    json_object_set_new(view, "fields", record_fields(s->v, item->category, data));
    rc = set_limits(s->v, item->limits, view, s->err);
    buf_printf(&seq, "%lld", (long long)item->seq);
    json_object_set(s->by_record, seq.p, view);
    json_array_insert_new(records, 0, view); /* newest first */
    if (json_array_size(records) > SHOWN_OF_CATEGORY)
        json_array_remove(records, SHOWN_OF_CATEGORY);
    if (count > SHOWN_OF_CATEGORY)
        set_int(s->category, "more", count - SHOWN_OF_CATEGORY);
    return rc;
}

/* ---- questions ---- */

static void set_rule(const struct visit *v, const struct vault_issue *issue, json_t *view)
{
    const struct policy_category *c =
        v->policy ? policy_category(v->policy, issue->category) : NULL;
    for (size_t i = 0; c && issue->rule.n && i < c->rule_count; i++)
        if (str_eq(c->rules[i].id, issue->rule))
            set_text(view, "rule", policy_text_in(v->policy, &c->rules[i].label, v->language));
}

static int set_proposal(struct showing *s, const struct vault_issue *issue, json_t *view)
{
    _cleanup_buf struct buf json = {0};
    _cleanup_json json_t *proposal = NULL;
    if (!issue->has_proposal)
        return 0;
    int rc = vault_proposal(s->vault, issue, &json, s->err);
    if (rc >= 0 && json.n)
        rc = json_read(buf_view(&json), &proposal, s->err);
    secret_wipe_bytes(json.p, json.n);
    if (rc < 0 || !proposal)
        return rc < 0 ? rc : 0;
    json_t *data = json_object_get(proposal, "data");
    set_true(view, "proposed", true);
    set_true(view, "drop", json_is_true(json_object_get(proposal, "drop")));
    if (data)
        json_object_set_new(view, "instead", record_fields(s->v, issue->category, data));
    return 0;
}

static int show_issue(void *ctx, const struct vault_issue *issue)
{
    struct showing *s = ctx;
    struct visit *v = s->v;
    _cleanup_buf struct buf id = {0}, seq = {0};
    json_t *view = json_object();
    consent_id_format(v->engine, issue->shard, issue->seq, &id);
    buf_printf(&seq, "%lld", (long long)issue->record);
    set_text(view, "id", buf_view(&id));
    set_true(v->view, "questions", true);
    set_text(view, "category", category_label(v, issue->category));
    set_text(view, "finding", word_of(v, "finding_", issue->finding));
    if (issue->field.n)
        set_text(view, "field",
                 field_label(v, field_of(v, issue->category, issue->field), issue->field));
    set_rule(v, issue, view);
    json_t *record = json_object_get(s->by_record, seq.p);
    if (record)
        json_object_set(view, "record", record);
    int rc = set_proposal(s, issue, view);
    json_array_append_new(json_object_get(v->view, "issues"), view);
    return rc;
}

/* ---- the page ---- */

static int show(struct visit *v, const struct engine_write *recorded, struct err *err)
{
    _cleanup_json json_t *by_record = json_object();
    struct showing s = {.v = v,
                        .vault = api_vault(v->call),
                        .categories = json_array(),
                        .by_record = by_record,
                        .err = err};
    static const char *const rights[] = {"rectification", "restriction", "portability", "erasure",
                                         NULL};
    struct vault_issue_filter filter = {.who = &v->who.who, .after = -1, .limit = 100};
    json_object_set_new(v->view, "categories", s.categories);
    json_object_set_new(v->view, "issues", json_array());
    set_rights(v, rights);
    int rc = vault_disclose(s.vault, recorded, show_record, &s, err);
    return rc < 0 ? rc : vault_issues(s.vault, &filter, show_issue, &s, err);
}

static int shown(struct http_call *call)
{
    struct web_write *w = call->work;
    _cleanup_visit struct visit v = {0};
    struct err err = {0};
    struct str done = {0};
    if (!visit_begin(call, &v))
        return 0;
    if (w->w.job.rc)
        return visit_error(&v, &w->w.job.err);
    if (show(&v, &w->w, &err) < 0)
        return visit_error(&v, &err);
    set_true(v.view, "done", http_query(call, "done", &done) && str_is(done, "settled"));
    return visit_page(&v, 200, "data.html", "data");
}

int data_get(struct http_call *call)
{
    static const struct str reason = {"portal", 6};
    _cleanup_visit struct visit v = {0};
    if (!visit_begin(call, &v))
        return 0;
    struct web_write *w = web_write_new(&v, WRITE_OTHER);
    vault_record_disclosure(&w->w, &reason);
    return web_submit(w, shown);
}

/* ---- answers ---- */

static int settled(struct http_call *call)
{
    return web_written(call, "/portal/data?done=settled");
}

int data_settle(struct http_call *call)
{
    _cleanup_visit struct visit v = {0};
    _cleanup_buf struct buf owner = {0};
    struct err err = {0};
    struct str said = {0};
    uint32_t shard;
    if (!visit_post(call, &v))
        return 0;
    struct vault_answer *answer = arena_alloc(v.arena, sizeof *answer);
    *answer = (struct vault_answer){0};
    int rc = consent_id_parse(v.engine, call->param[0], &shard, &answer->issue);
    if (rc)
        rc = vault_issue_consumer(api_vault(call), shard, answer->issue, &owner, &err);
    if (rc < 0)
        return visit_error(&v, &err);
    if (rc == 0 || !str_eq(buf_view(&owner), v.consumer))
        return visit_trouble(&v, 404, "oops_missing");
    http_form(call, "answer", 16, &said);
    answer->accept = str_is(said, "accept");
    if (!answer->accept && !str_is(said, "confirm"))
        return visit_trouble(&v, 400, "oops_form");
    struct web_write *w = web_write_new(&v, WRITE_OTHER);
    vault_settle(api_vault(call), &w->w, answer);
    return web_submit(w, settled);
}
