/* activity.c - everything that happened to a consumer's data, newest first, as the ledger has it;
 * why one of these things was decided as it was; and saying that it was not right. */
#include <string.h>
#include <strings.h>

#include "web/private.h"

enum { PAGE_EVENTS = 25, SCAN_MOST = 5000, EXPORT_MOST = 10000, BATCH = 200, SEARCH_MAX = 100 };

/* ---- one event ---- */

static struct str text_of(const json_t *body, const char *name)
{
    const json_t *text = json_object_get(body, name);
    return json_is_string(text) ? json_text(text) : (struct str){0};
}

static struct str actor_label(struct visit *v, struct str actor)
{
    struct str rest = actor, kind = str_cut(&rest, ':');
    struct str who = str_cut(&rest, '/');
    if (str_is(kind, "recipient"))
        return recipient_label(v, who);
    return word_of(v, "actor_", kind);
}

static bool is_use(struct str kind)
{
    return str_is(kind, "access") || str_is(kind, "access.denied");
}

static void set_categories(struct visit *v, json_t *view, const json_t *body)
{
    json_t *list = json_array();
    const json_t *names = json_object_get(body, "categories"), *name;
    struct str one = text_of(body, "category");
    size_t i;
    if (one.n) {
        struct str label = category_label(v, one);
        json_array_append_new(list, json_stringn(label.p, label.n));
    }
    json_array_foreach(names, i, name) {
        struct str label =
            json_is_string(name) ? category_label(v, json_text(name)) : (struct str){0};
        json_array_append_new(list, json_stringn(label.p ? label.p : "", label.n));
    }
    json_object_set_new(view, "data", list);
}

/* NULL where the body is damaged. */
static json_t *view_event(struct visit *v, const struct ledger_event *event)
{
    _cleanup_json json_t *body = NULL;
    if (json_read(event->body, &body, NULL) || !json_is_object(body))
        return NULL;
    json_t *view = json_object();
    struct str purpose = event->activity, recipient = str_cut(&purpose, '/');
    struct str reason = text_of(body, "reason");
    bool use = is_use(event->kind), denied = str_is(event->kind, "access.denied");
    set_int(view, "seq", event->seq);
    set_text(view, "kind", event->kind);
    set_moment(v, view, "at", event->at);
    set_text(view, "title", word_of(v, "event_", event->kind));
    set_text(view, "actor", actor_label(v, event->actor));
    if (recipient.n)
        set_text(view, "recipient", recipient_label(v, recipient));
    if (purpose.n)
        set_text(view, "purpose", purpose_label(v, purpose));
    set_categories(v, view, body);
    set_true(view, "use", use);
    set_true(view, "denied", denied);
    set_true(view, "permitted", use && !denied);
    set_true(view, "other", !use);
    set_true(view, "reported", json_is_true(json_object_get(body, "reported")));
    set_text(view, "reason_id", reason);
    if (reason.n)
        set_text(view, "reason", word_of(v, "reason_", reason));
    struct str basis = text_of(body, "basis");
    if (basis.n)
        set_text(view, "basis", word_of(v, "basis_", basis));
    json_object_set(view, "policy_version", json_object_get(body, "policy_version"));
    const json_t *consent = json_object_get(body, "consent");
    if (json_is_integer(consent)) {
        _cleanup_buf struct buf id = {0};
        consent_id_format(v->engine, event->shard, json_integer_value(consent), &id);
        set_text(view, "consent", buf_view(&id));
    }
    return view;
}

/* ---- filters ---- */

struct filter {
    struct str show, search;
};

static bool shows(struct str show, struct str kind)
{
    if (str_is(show, "uses"))
        return str_is(kind, "access");
    if (str_is(show, "denied"))
        return str_is(kind, "access.denied");
    if (str_is(show, "choices"))
        return str_starts(kind, STR("consent."));
    if (str_is(show, "receipts")) /* that another answer took a consent's place has none */
        return str_starts(kind, STR("consent.")) && !str_is(kind, "consent.supersede");
    return true;
}

static bool has_text(const json_t *value, const char *search)
{
    size_t i;
    const json_t *item;
    if (json_is_string(value))
        return strcasestr(json_string_value(value), search) != NULL;
    json_array_foreach(value, i, item)
        if (has_text(item, search))
            return true;
    return false;
}

static bool is_found(const json_t *view, struct str search)
{
    static const char *const members[] = {"title",  "recipient", "purpose", "data",
                                          "reason", "actor",     "at_text"};
    if (!search.n)
        return true;
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        if (has_text(json_object_get(view, members[i]), search.p))
            return true;
    return false;
}

/* ---- lists ---- */

struct list {
    struct visit *v;
    struct filter filter;
    json_t *items;
    size_t most, scan, scanned;
    int64_t next; /* where the next page begins; -1: there is none */
};

static int event_row(void *ctx, const struct ledger_event *event)
{
    struct list *list = ctx;
    if (json_array_size(list->items) == list->most || list->scanned == list->scan) {
        list->next = event->seq;
        return 1;
    }
    list->scanned++;
    list->next = event->prev;
    json_t *view = shows(list->filter.show, event->kind) ? view_event(list->v, event) : NULL;
    if (view && is_found(view, list->filter.search))
        json_array_append(list->items, view);
    json_decref(view);
    return 0;
}

static int read_list(struct list *list, int64_t from, struct err *err)
{
    struct visit *v = list->v;
    struct db *db;
    int rc = db_pool_get(engine_lov(v->engine), &db, err);
    if (rc)
        return rc;
    list->next = from;
    while (rc == 0 && list->next >= 0)
        rc = ledger_back(db, v->who.who.shard, list->next, BATCH, event_row, list, err);
    db_pool_put(engine_lov(v->engine), db);
    return rc < 0 ? rc : 0;
}

static struct filter take_filter(struct visit *v)
{
    static const char *const shown[] = {"uses", "denied", "choices"};
    struct filter f = {.show = STR("all")};
    struct str show = {0}, search = {0};
    http_query(v->call, "show", &show);
    http_query(v->call, "q", &search);
    for (size_t i = 0; i < 3; i++)
        if (str_is(show, shown[i]))
            f.show = str_of(shown[i]);
    f.search = arena_str(v->arena, str_utf8_head(str_trim(search), SEARCH_MAX));
    return f;
}

static void percent_encode(struct str text, struct buf *out)
{
    for (size_t i = 0; i < text.n; i++)
        buf_printf(out, "%%%02X", (unsigned char)text.p[i]);
}

static void set_filter(struct visit *v, const struct filter *f)
{
    static const char *const shown[] = {"all", "uses", "denied", "choices"};
    _cleanup_buf struct buf search = {0};
    json_t *tabs = json_array();
    percent_encode(f->search, &search);
    for (size_t i = 0; i < 4; i++) {
        json_t *tab = json_object();
        set_text(tab, "show", str_of(shown[i]));
        set_text(tab, "label", word_of(v, "show_", str_of(shown[i])));
        set_true(tab, "here", str_is(f->show, shown[i]));
        json_array_append_new(tabs, tab);
    }
    json_object_set_new(v->view, "tabs", tabs);
    set_text(v->view, "show", f->show);
    set_text(v->view, "search", f->search);
    set_text(v->view, "search_encoded", buf_view(&search));
}

int receipts_list(struct visit *v, json_t *items, struct err *err)
{
    enum { RECEIPTS_MOST = 200 };
    struct list list = {
        .v = v,
        .filter = {.show = STR("receipts")},
        .items = items,
        .most = RECEIPTS_MOST,
        .scan = EXPORT_MOST,
    };
    return read_list(&list, v->who.last_event, err);
}

/* ---- one of the consumer's own events ---- */

struct found {
    struct visit *v;
    json_t *view;
    struct str activity;
};

static int own_row(void *ctx, const struct ledger_event *event)
{
    struct found *f = ctx;
    if (!event->has_cid || memcmp(event->cid.b, f->v->who.who.cid.b, sizeof event->cid.b) != 0)
        return 0;
    f->view = view_event(f->v, event);
    f->activity = arena_str(f->v->arena, event->activity);
    return 0;
}

/* 1 and *out, which the caller frees, or 0: also where the event is somebody else's. */
static int find_own(struct visit *v, struct str number, struct found *out, struct err *err)
{
    int64_t seq;
    struct db *db;
    *out = (struct found){.v = v};
    if (!str_to_int(number, 0, INT64_MAX, &seq))
        return 0;
    int rc = db_pool_get(engine_lov(v->engine), &db, err);
    if (rc)
        return rc;
    rc = ledger_get(db, v->who.who.shard, seq, own_row, out, err);
    db_pool_put(engine_lov(v->engine), db);
    return rc < 0 ? rc : out->view != NULL;
}

/* ---- the page ---- */

int activity_get(struct http_call *call)
{
    _cleanup_visit struct visit v = {0};
    struct err err = {0};
    struct str before = {0};
    int64_t from;
    if (!visit_begin(call, &v))
        return 0;
    struct list list = {.v = &v,
                        .filter = take_filter(&v),
                        .items = json_array(),
                        .most = PAGE_EVENTS,
                        .scan = SCAN_MOST};
    json_object_set_new(v.view, "events", list.items);
    from = v.who.last_event;
    if (http_query(call, "before", &before)) {
        struct found own;
        int rc = find_own(&v, before, &own, &err);
        json_decref(own.view);
        if (rc <= 0)
            return rc ? visit_error(&v, &err) : visit_trouble(&v, 404, "oops_missing");
        str_to_int(before, 0, INT64_MAX, &from);
    }
    if (read_list(&list, from, &err))
        return visit_error(&v, &err);
    set_filter(&v, &list.filter);
    set_true(v.view, "live", !before.n);
    set_int(v.view, "last", v.who.last_event);
    if (list.next >= 0)
        set_text(v.view, "next", arena_printf(v.arena, "%lld", (long long)list.next));
    struct str said = {0};
    set_true(v.view, "complained", http_query(call, "done", &said) && str_is(said, "complaint"));
    return visit_page(&v, 200, "activity.html", "activity");
}

/* ---- taking it along ---- */

/* A cell that a spreadsheet would take for a formula begins with an apostrophe. */
static void csv_cell(struct buf *out, struct str text, bool last)
{
    buf_char(out, '"');
    if (text.n && strchr("=+-@\t\r", text.p[0]))
        buf_char(out, '\'');
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] == '"')
            buf_char(out, '"');
        buf_char(out, text.p[i]);
    }
    buf_cstr(out, last ? "\"\r\n" : "\",");
}

static void csv_row(struct buf *out, const json_t *view)
{
    static const char *const members[] = {"at", "kind", "title", "recipient", "purpose"};
    _cleanup_buf struct buf data = {0};
    size_t i;
    const json_t *item;
    for (i = 0; i < sizeof members / sizeof *members; i++)
        csv_cell(out, text_of(view, members[i]), false);
    json_array_foreach(json_object_get(view, "data"), i, item) {
        buf_cstr(&data, i ? "; " : "");
        buf_str(&data, json_text(item));
    }
    csv_cell(out, buf_view(&data), false);
    csv_cell(out, text_of(view, "reason_id"), false);
    csv_cell(out, text_of(view, "reason"), false);
    csv_cell(out, text_of(view, "actor"), true);
}

static void write_export(struct visit *v, const json_t *items, bool csv)
{
    size_t i;
    const json_t *item;
    struct http_call *call = v->call;
    visit_headers(call);
    call->status = 200;
    call->content_type = csv ? "text/csv; charset=utf-8" : "application/json";
    http_answer_header(call, "Content-Disposition",
                       csv ? STR("attachment; filename=\"activity.csv\"")
                           : STR("attachment; filename=\"activity.json\""));
    if (!csv) {
        json_canonical(items, &call->out);
        return;
    }
    buf_cstr(&call->out, "at,kind,what,recipient,purpose,data,reason_code,reason,actor\r\n");
    json_array_foreach(items, i, item)
        csv_row(&call->out, item);
}

int activity_export(struct http_call *call)
{
    _cleanup_visit struct visit v = {0};
    struct err err = {0};
    struct str format = {0};
    if (!visit_begin(call, &v) || !visit_proved(&v, "/portal/activity"))
        return 0;
    _cleanup_json json_t *items = json_array();
    struct list list = {.v = &v,
                        .filter = take_filter(&v),
                        .items = items,
                        .most = EXPORT_MOST,
                        .scan = EXPORT_MOST};
    http_query(call, "format", &format);
    if (read_list(&list, v.who.last_event, &err))
        return visit_error(&v, &err);
    write_export(&v, items, str_is(format, "csv"));
    return 0;
}

/* ---- why ---- */

int why_get(struct http_call *call)
{
    _cleanup_visit struct visit v = {0};
    struct err err = {0};
    struct found own;
    struct choice *choices;
    size_t count;
    if (!visit_begin(call, &v))
        return 0;
    int rc = find_own(&v, call->param[0], &own, &err);
    if (rc <= 0)
        return rc ? visit_error(&v, &err) : visit_trouble(&v, 404, "oops_missing");
    json_object_set_new(v.view, "event", own.view);
    if (choices_of(&v, &choices, &count, &err))
        return visit_error(&v, &err);
    for (size_t i = 0; i < count; i++) {
        const struct policy_activity *a = choices[i].activity;
        if (!str_eq(own.activity, arena_printf(v.arena, "%.*s/%.*s", STR_ARG(a->recipient->id),
                                               STR_ARG(a->purpose->id))))
            continue;
        json_t *view = json_object();
        set_activity_labels(&v, view, a);
        set_true(view, "asked", choices[i].asked);
        set_true(view, "permitted", choices[i].permitted);
        set_text(view, "now",
                 word_of(&v, "reason_", str_of(decision_reason_name(choices[i].decision.reason))));
        if (choices[i].consent)
            set_moment(&v, view, "given", choices[i].consent->given_at);
        json_object_set_new(v.view, "rule", view);
    }
    set_text(v.view, "title", word(&v, "why_title"));
    return visit_page(&v, 200, "why.html", "activity");
}

/* ---- "this was not right" ---- */

static int complaint_form(struct visit *v, struct found *own, int status, const char *problem)
{
    json_object_set_new(v->view, "event", own->view);
    set_text(v->view, "title", word(v, "complaint_title"));
    set_text(v->view, "problem", problem ? word(v, problem) : (struct str){0});
    return visit_page(v, status, "complaint.html", "activity");
}

int complaint_page(struct http_call *call)
{
    _cleanup_visit struct visit v = {0};
    struct err err = {0};
    struct found own;
    if (!visit_begin(call, &v))
        return 0;
    int rc = find_own(&v, call->param[0], &own, &err);
    if (rc <= 0)
        return rc ? visit_error(&v, &err) : visit_trouble(&v, 404, "oops_missing");
    return complaint_form(&v, &own, 200, NULL);
}

struct complaint {
    int64_t event;
    struct str text, activity;
};

static int write_complaint(struct engine_write *w, struct write_scope *scope, struct err *err)
{
    const struct complaint *c = ((struct web_write *)w)->more;
    _cleanup_buf struct buf json = {0}, body = {0};
    struct str sealed = {0};
    struct jw j = {.out = &json};
    if (!scope->who)
        return err_reason(err, LOV_ENOTFOUND, "unknown_consumer", "there is no such consumer");
    jw_object_start(&j);
    jw_str_member(&j, "detail", c->text);
    jw_object_end(&j);
    int rc = engine_seal(scope, buf_view(&json), &sealed, err);
    if (rc)
        return rc;
    j = (struct jw){.out = &body};
    jw_object_start(&j);
    jw_int_member(&j, "event", c->event);
    jw_str_member(&j, "sealed", sealed);
    jw_object_end(&j);
    return engine_append(scope, "complaint.open", c->activity, buf_view(&body), &w->out_seq, err);
}

static int complained(struct http_call *call)
{
    return web_written(call, "/portal/activity?done=complaint");
}

int complaint_post(struct http_call *call)
{
    _cleanup_visit struct visit v = {0};
    struct err err = {0};
    struct found own;
    struct str text = {0};
    if (!visit_post(call, &v))
        return 0;
    int rc = find_own(&v, call->param[0], &own, &err);
    if (rc <= 0)
        return rc ? visit_error(&v, &err) : visit_trouble(&v, 404, "oops_missing");
    if (!http_form(call, "text", FIELD_MAX, &text) || !str_trim(text).n)
        return complaint_form(&v, &own, 422, "complaint_empty");
    json_decref(own.view);
    struct web_write *w = web_write_new(&v, WRITE_OTHER);
    struct complaint *c = arena_alloc(v.arena, sizeof *c);
    str_to_int(call->param[0], 0, INT64_MAX, &c->event);
    c->text = arena_str(v.arena, str_trim(text));
    c->activity = own.activity;
    w->w.other = write_complaint;
    w->more = c;
    return web_submit(w, complained);
}
