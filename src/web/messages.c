/* messages.c - the consumer's messages: what changed, what became of a request, the regular
 * summary; and how often and by which way they want to hear. What a message says is kept as names
 * and numbers: the words are those of the page's language, whichever that is today. */
#include "notify/notify.h"
#include "web/private.h"

enum { PAGE = 20, MAIL_FIELD = 8, SUMMARY_FIELD = 16 };

/* ---- what a message says ---- */

static struct str member(const json_t *json, const char *name)
{
    const json_t *v = json_object_get(json, name);
    return json_is_string(v) ? json_text(v) : (struct str){0};
}

static struct str day_of(struct visit *v, const json_t *json, const char *name)
{
    int32_t day;
    return date_parse(member(json, name), &day) ? day_text(v, day) : (struct str){0};
}

static struct str title_of(struct visit *v, const json_t *json)
{
    struct str kind = member(json, "kind");
    if (str_is(kind, "request"))
        return word_of(v, "message_request_", member(json, "step"));
    struct str title = word_of(v, "message_", kind);
    if (!str_is(kind, "summary"))
        return title;
    return arena_printf(v->arena, "%.*s: %.*s – %.*s", STR_ARG(title),
                        STR_ARG(day_of(v, json, "from")), STR_ARG(day_of(v, json, "to")));
}

static void set_names(struct visit *v, const json_t *json, json_t *view)
{
    set_text(view, "recipient", recipient_label(v, member(json, "recipient")));
    set_text(view, "purpose", purpose_label(v, member(json, "purpose")));
}

static void set_link(struct visit *v, json_t *view, struct str path, const char *label)
{
    set_text(view, "link", path);
    set_text(view, "link_text", word(v, label));
}

/* Where to go on from the page. */
static void set_go(struct visit *v, struct str path, const char *label)
{
    set_text(v->view, "go", path);
    set_text(v->view, "go_text", word(v, label));
}

static void set_change(struct visit *v, const json_t *change, json_t *view)
{
    struct str what = member(change, "what"), notice = member(change, "notice");
    bool material = json_is_true(json_object_get(change, "material"));
    set_text(view, "what", word_of(v, "change_", material ? STR("notice_material") : what));
    set_names(v, change, view);
    if (notice.n)
        set_link(v, view,
                 arena_printf(v->arena, "/portal/policies/%.*s?version=%lld", STR_ARG(notice),
                              (long long)json_integer_value(json_object_get(change, "version"))),
                 "change_read");
    else if (str_is(what, "added") || str_is(what, "taken_over"))
        set_link(v, view, STR("/portal/choices"), "change_answer");
}

static void set_items(struct visit *v, const json_t *list, bool uses)
{
    size_t i;
    const json_t *item;
    json_t *items = json_array();
    json_array_foreach(list, i, item) {
        json_t *view = json_object();
        if (uses) {
            set_names(v, item, view);
            set_int(view, "count", json_integer_value(json_object_get(item, "count")));
        } else {
            set_change(v, item, view);
        }
        json_array_append_new(items, view);
    }
    json_object_set_new(v->view, "items", items);
}

static void set_summary(struct visit *v, const json_t *json)
{
    const json_t *uses = json_object_get(json, "uses");
    int64_t yes = json_integer_value(json_object_get(json, "yes"));
    set_text(v->view, "fact", word(v, "message_summary_yes"));
    set_text(v->view, "fact_value", arena_printf(v->arena, "%lld", (long long)yes));
    set_items(v, uses, true);
    if (!json_array_size(uses))
        set_text(v->view, "none", word(v, "message_summary_none"));
    if (json_integer_value(json_object_get(json, "more")))
        set_text(v->view, "none", word(v, "message_summary_more"));
    set_go(v, STR("/portal/activity"), "menu_activity");
}

static void set_request(struct visit *v, const json_t *json)
{
    int64_t due;
    struct str step = member(json, "step");
    set_text(v->view, "about", word_of(v, "right_", member(json, "right")));
    if (!str_is(step, "fulfil") && !str_is(step, "refuse") &&
        time_parse(member(json, "due_at"), &due)) {
        set_text(v->view, "fact", word(v, "request_due"));
        set_text(v->view, "fact_value", moment_text(v, due));
    }
    set_go(v, STR("/portal/requests"), "menu_requests");
}

static void set_message(struct visit *v, const json_t *json)
{
    struct str kind = member(json, "kind");
    if (!str_is(kind, "request"))
        set_text(v->view, "lead", word_of(v, "message_lead_", kind));
    if (str_is(kind, "request")) {
        set_request(v, json);
    } else if (str_is(kind, "policy")) {
        set_items(v, json_object_get(json, "changes"), false);
    } else if (str_is(kind, "summary")) {
        set_summary(v, json);
    } else if (str_is(kind, "withdrawal")) {
        set_text(v->view, "about",
                 arena_printf(v->arena, "%.*s, %.*s",
                              STR_ARG(recipient_label(v, member(json, "recipient"))),
                              STR_ARG(purpose_label(v, member(json, "purpose")))));
        set_go(v, STR("/portal/choices"), "menu_choices");
    } else if (str_is(kind, "unusual")) {
        const json_t *text = json_object_get(json, "text");
        set_text(v->view, "about", member(text, arena_cstr(v->arena, v->language)));
        set_go(v, STR("/portal/activity"), "menu_activity");
    }
}

/* ---- the list ---- */

struct listing {
    struct visit *v;
    json_t *items;
    size_t count;
    bool more;
    int64_t last_at;
    struct str last;
    struct err err;
};

/* What tells one message from another of the same title. */
static struct str about_of(struct visit *v, const json_t *json)
{
    struct str kind = member(json, "kind");
    if (str_is(kind, "request"))
        return word_of(v, "right_", member(json, "right"));
    return str_is(kind, "withdrawal") ? purpose_label(v, member(json, "purpose")) : (struct str){0};
}

static int message_row(void *ctx, const struct message *m)
{
    struct listing *l = ctx;
    _cleanup_json json_t *json = NULL;
    if (l->count++ == PAGE) {
        l->more = true;
        return 1;
    }
    int rc = json_read(m->json, &json, &l->err);
    if (rc)
        return rc;
    json_t *view = json_object();
    set_text(view, "source", m->source);
    set_text(view, "title", title_of(l->v, json));
    set_text(view, "about", about_of(l->v, json));
    set_moment(l->v, view, "at", m->at);
    set_true(view, "unread", m->read_at == TIME_NONE);
    json_array_append_new(l->items, view);
    l->last_at = m->at;
    l->last = m->source;
    return 0;
}

/* "1764493964120.event-17": where the page before ended. */
static bool take_cursor(struct visit *v, int64_t *at, struct str *source)
{
    struct str text = {0};
    *at = INT64_MAX;
    *source = (struct str){0};
    if (!http_query(v->call, "before", &text))
        return true;
    struct str number = str_cut(&text, '.');
    *source = text;
    return text.n <= MESSAGE_SOURCE_MAX && str_to_int(number, 0, INT64_MAX, at);
}

static int set_list(struct visit *v, struct err *err)
{
    struct listing l = {.v = v, .items = json_array()};
    int64_t at;
    struct str source;
    json_object_set_new(v->view, "messages", l.items);
    if (!take_cursor(v, &at, &source))
        return err_reason(err, LOV_ENOTFOUND, "invalid_cursor", "there is no such page");
    set_true(v->view, "older_page", at != INT64_MAX);
    int rc = message_list(v->engine, &v->who.who, at, source, PAGE + 1, v->arena, message_row, &l,
                          &l.err);
    if (rc < 0) {
        *err = l.err;
        return rc;
    }
    if (l.more)
        set_text(v->view, "next",
                 arena_printf(v->arena, "%lld.%.*s", (long long)l.last_at, STR_ARG(l.last)));
    return 0;
}

/* ---- settings ---- */

static int set_address(struct visit *v, struct err *err)
{
    _cleanup_buf struct buf name = {0};
    struct db *db;
    int rc = db_pool_get(engine_identities(v->engine), &db, err);
    if (rc)
        return rc;
    rc = account_name(engine_identity(v->engine), db, &v->who.who.cid, &name, err);
    db_pool_put(engine_identities(v->engine), db);
    if (rc == 1 && v->web->mail && mail_address_check(buf_view(&name)))
        set_text(v->view, "address", buf_view(&name));
    return rc < 0 ? rc : 0;
}

static int set_settings(struct visit *v, struct err *err)
{
    struct message_settings s;
    json_t *options = json_array();
    int rc = message_settings_get(v->engine, &v->who.who, &s, err);
    json_object_set_new(v->view, "often", options);
    if (rc)
        return rc;
    for (int i = SUMMARY_NEVER; i <= SUMMARY_YEARLY; i++) {
        struct str name = str_of(message_summary_name((enum message_summary)i));
        json_t *view = json_object();
        set_text(view, "value", name);
        set_text(view, "label", word_of(v, "often_", name));
        set_true(view, "chosen", i == (int)s.summary);
        json_array_append_new(options, view);
    }
    set_true(v->view, "mail", s.mail);
    set_true(v->view, "mail_possible", v->web->mail);
    return set_address(v, err);
}

int messages_get(struct http_call *call)
{
    _cleanup_visit struct visit v = {0};
    struct err err = {0};
    struct str done = {0};
    int64_t unread = 0;
    if (!visit_begin(call, &v))
        return 0;
    int rc = set_list(&v, &err);
    if (rc == 0)
        rc = set_settings(&v, &err);
    if (rc == 0)
        rc = message_unread(v.engine, &v.who.who, &unread, &err);
    if (rc)
        return visit_error(&v, &err);
    set_true(v.view, "any_unread", unread > 0);
    set_true(v.view, "saved", http_query(call, "done", &done) && str_is(done, "settings"));
    return visit_page(&v, 200, "messages.html", "messages");
}

static int settings_saved(struct http_call *call)
{
    return web_written(call, "/portal/messages?done=settings");
}

int messages_settings(struct http_call *call)
{
    _cleanup_visit struct visit v = {0};
    struct str often = {0}, mail = {0};
    if (!visit_post(call, &v))
        return 0;
    struct message_settings *s = arena_alloc(v.arena, sizeof *s);
    if (!http_form(call, "often", SUMMARY_FIELD, &often) ||
        !message_summary_parse(often, &s->summary))
        return visit_trouble(&v, 400, "oops_form");
    s->language = v.language;
    s->mail = http_form(call, "mail", MAIL_FIELD, &mail) && mail.n;
    struct web_write *w = web_write_new(&v, WRITE_OTHER);
    message_settings_set(&w->w, s);
    return web_submit(w, settings_saved);
}

/* ---- one message ---- */

static int load(struct visit *v, struct message *out, struct err *err)
{
    struct str source = v->call->param[0];
    int rc = source.n <= MESSAGE_SOURCE_MAX
                 ? message_get(v->engine, &v->who.who, source, v->arena, out, err)
                 : 0;
    return rc == 0 ? err_reason(err, LOV_ENOTFOUND, "unknown_message", "there is no such message")
                   : rc;
}

static int show(struct http_call *call)
{
    _cleanup_visit struct visit v = {0};
    _cleanup_json json_t *json = NULL;
    struct err err = {0};
    struct message m = {0};
    if (!visit_begin(call, &v))
        return 0;
    int rc = load(&v, &m, &err);
    if (rc == 1)
        rc = json_read(m.json, &json, &err);
    if (rc)
        return visit_error(&v, &err);
    set_text(v.view, "source", m.source);
    set_text(v.view, "title", title_of(&v, json));
    set_moment(&v, v.view, "at", m.at);
    set_message(&v, json);
    return visit_page(&v, 200, "message.html", "messages");
}

static struct web_write *mark_new(struct visit *v, struct str source, bool read)
{
    struct web_write *w = web_write_new(v, WRITE_OTHER);
    struct message_mark *mark = arena_alloc(v->arena, sizeof *mark);
    *mark = (struct message_mark){source, read};
    message_mark(&w->w, mark);
    return w;
}

/* What is shown is read. */
int message_get_page(struct http_call *call)
{
    _cleanup_visit struct visit v = {0};
    struct err err = {0};
    struct message m = {0};
    if (!visit_begin(call, &v))
        return 0;
    if (load(&v, &m, &err) < 0)
        return visit_error(&v, &err);
    if (m.read_at != TIME_NONE)
        return show(call);
    return web_submit(mark_new(&v, m.source, true), show);
}

static int back_to_messages(struct http_call *call)
{
    return web_written(call, "/portal/messages");
}

int messages_read(struct http_call *call)
{
    _cleanup_visit struct visit v = {0};
    if (!visit_post(call, &v))
        return 0;
    return web_submit(mark_new(&v, (struct str){0}, true), back_to_messages);
}

int message_unread_again(struct http_call *call)
{
    _cleanup_visit struct visit v = {0};
    struct err err = {0};
    struct message m = {0};
    if (!visit_post(call, &v))
        return 0;
    if (load(&v, &m, &err) < 0)
        return visit_error(&v, &err);
    return web_submit(mark_new(&v, m.source, false), back_to_messages);
}
