/* requests.c - the consumer's requests: what they have asked for and what became of it, and asking
 * for something. Whoever has just proved who they are needs to show it no second time: the request
 * is open at once. */
#include <string.h>

#include "api/export.h"
#include "api/receipt_page.h"
#include "web/private.h"

enum { SHOWN_MOST = 100 };

/* ---- one request ---- */

/* The texts that people wrote for the consumer to read, each with its step. */
static int set_notes(struct visit *v, const struct request *r, json_t *view, struct err *err)
{
    _cleanup_buf struct buf text = {0};
    _cleanup_json json_t *all = NULL;
    size_t i;
    const json_t *item;
    int rc = request_unseal(v->engine, r, &text, err);
    if (rc < 0 || !text.n)
        return rc < 0 ? rc : 0;
    rc = json_read(buf_view(&text), &all, err);
    secret_wipe_bytes(text.p, text.n);
    if (rc)
        return rc;
    set_text(view, "detail", json_text(json_object_get(all, "detail")));
    json_t *notes = json_array();
    json_array_foreach(json_object_get(all, "notes"), i, item) {
        struct str step = json_text(json_object_get(item, "step"));
        struct str note = json_text(json_object_get(item, "note"));
        bool theirs = str_is(step, "extend") || str_is(step, "refuse") || str_is(step, "fulfil");
        if (!theirs || !note.n)
            continue;
        json_t *line = json_object();
        set_text(line, "step", word_of(v, "step_", step));
        set_text(line, "note", note);
        json_array_append_new(notes, line);
    }
    json_object_set_new(view, "notes", notes);
    return 0;
}

/* Of an erasure of some categories: which. */
static int set_categories(struct visit *v, const struct request *r, json_t *view, struct err *err)
{
    struct json_names names;
    int rc = request_categories(v->engine, r, v->arena, &names, err);
    if (rc || !names.count)
        return rc;
    json_t *list = json_array();
    for (size_t i = 0; i < names.count; i++) {
        struct str label = category_label(v, names.items[i]);
        json_array_append_new(list, json_stringn(label.p, label.n));
    }
    set_true(view, "some", true);
    json_object_set_new(view, "categories", list);
    set_text(view, "right", word(v, "right_erasure_some"));
    return 0;
}

static void set_refusal(struct visit *v, const struct request *r, json_t *view)
{
    if (!r->reason.n)
        return;
    const struct policy_law *law = policy_law(v->policy, r->law);
    const struct policy_refusal *refusal = law ? law_refusal(law, r->right, r->reason) : NULL;
    set_text(view, "refusal", word_of(v, "refusal_", r->reason));
    set_text(view, "source", refusal ? refusal->source : (struct str){0});
}

struct listing {
    struct visit *v;
    json_t *items;
    struct err *err;
};

static int request_row(void *ctx, const struct request *r)
{
    struct listing *list = ctx;
    struct visit *v = list->v;
    _cleanup_buf struct buf id = {0};
    json_t *view = json_object();
    bool live = request_is_live(r->state);
    consent_id_format(v->engine, r->shard, r->seq, &id);
    set_text(view, "id", buf_view(&id));
    set_text(view, "right", word_of(v, "right_", r->right));
    set_text(view, "state", word_of(v, "state_", str_of(request_state_name(r->state))));
    set_moment(v, view, "received", r->received_at);
    set_moment(v, view, "due", r->due_at);
    set_true(view, "live", live);
    set_true(view, "overdue", live && v->now > r->due_at);
    set_true(view, "extended", r->extended);
    set_true(view, "fulfilled", r->state == REQUEST_FULFILLED);
    set_true(view, "refused", r->state == REQUEST_REFUSED);
    set_true(view, "file", export_allowed(r));
    set_refusal(v, r, view);
    int rc = set_notes(v, r, view, list->err);
    if (rc == 0)
        rc = set_categories(v, r, view, list->err);
    json_array_insert_new(list->items, 0, view); /* newest first */
    if (json_array_size(list->items) > SHOWN_MOST)
        json_array_remove(list->items, SHOWN_MOST);
    return rc;
}

/* ---- what may be asked for ---- */

static const struct policy_law *law_of(const struct visit *v)
{
    return v->policy ? policy_law_of(v->policy, v->who.residence) : NULL;
}

bool has_right(const struct visit *v, struct str right)
{
    const struct policy_law *law = law_of(v);
    return law && law_deadline(law, right);
}

void set_rights(struct visit *v, const char *const *rights)
{
    const struct policy_law *law = law_of(v);
    json_t *list = json_array();
    for (; law && *rights; rights++) {
        struct str right = str_of(*rights);
        if (!law_deadline(law, right))
            continue;
        json_t *view = json_object();
        set_text(view, "id", right);
        set_text(view, "label", word_of(v, "right_", right));
        set_text(view, "what", word_of(v, "right_what_", right));
        json_array_append_new(list, view);
    }
    json_object_set_new(v->view, "rights", list);
    set_text(v->view, "law", law ? law->name : (struct str){0});
}

int requests_page(struct http_call *call)
{
    _cleanup_visit struct visit v = {0};
    struct err err = {0};
    struct str done = {0};
    if (!visit_begin(call, &v))
        return 0;
    struct listing list = {&v, json_array(), &err};
    struct request_filter filter = {
        .consumer = &v.who.who, .due_before = TIME_NONE, .after = -1, .limit = INT64_MAX};
    json_object_set_new(v.view, "requests", list.items);
    int rc = request_list(v.engine, &filter, v.arena, request_row, &list, &err);
    if (rc < 0)
        return visit_error(&v, &err);
    if (http_query(call, "done", &done) && (str_is(done, "asked") || str_is(done, "withdrawn")))
        set_text(v.view, "done", word_of(&v, "request_", done));
    set_rights(&v, policy_rights);
    return visit_page(&v, 200, "requests.html", "requests");
}

/* ---- asking ---- */

struct asking {
    struct str right;
    const struct policy_deadline *deadline;
    struct str category; /* of an erasure: of this alone; empty: of everything */
};

static struct str page_of(const struct visit *v, const struct asking *ask)
{
    return arena_printf(v->arena, "/portal/ask/%.*s%s%.*s", STR_ARG(ask->right),
                        ask->category.n ? "?category=" : "", STR_ARG(ask->category));
}

/* A right that the consumer's law knows; false with the answer filled for others, and for what
 * needs them to prove first who they are. */
static bool take_right(struct visit *v, struct asking *out)
{
    const struct policy_law *law = law_of(v);
    struct http_call *call = v->call;
    *out = (struct asking){.right = call->param[0]};
    out->deadline = law ? law_deadline(law, out->right) : NULL;
    if (!http_form(call, "category", FIELD_MAX, &out->category))
        http_query(call, "category", &out->category);
    bool known = !out->category.n ||
                 (str_is(out->right, "erasure") && policy_category(v->policy, out->category));
    if (!out->deadline || !known) {
        visit_trouble(v, 404, "oops_missing");
        return false;
    }
    return !request_needs_identity(out->right) || visit_proved(v, page_of(v, out).p);
}

/* ---- what has to be kept ---- */

struct holding {
    struct visit *v;
    struct str category; /* empty: whatever is kept */
    json_t *items;
};

static int hold_row(void *ctx, const struct hold *h)
{
    struct holding *list = ctx;
    struct visit *v = list->v;
    bool over = h->released || (h->until != TIME_NONE && h->until <= v->now);
    if (over || (list->category.n && h->category.n && !str_eq(h->category, list->category)))
        return 0;
    json_t *view = json_object();
    /* Staff may name any reason; the usual ones have words. */
    set_text(view, "reason", word_or(v, "hold_", h->reason, name_text(v, h->reason)));
    set_text(view, "source", h->source);
    if (h->category.n)
        set_text(view, "kept", category_label(v, h->category));
    set_moment(v, view, "until", h->until);
    json_array_append_new(list->items, view);
    return 0;
}

static int set_holds(struct visit *v, struct str category, struct err *err)
{
    struct holding list = {v, category, json_array()};
    int rc = hold_list(v->engine, &v->who.who, v->arena, hold_row, &list, err);
    set_true(v->view, "held", json_array_size(list.items) != 0);
    json_object_set_new(v->view, "holds", list.items);
    return rc;
}

static int ask_form(struct visit *v, const struct asking *ask, int status, const char *problem)
{
    struct err err = {0};
    bool some = ask->category.n != 0;
    struct str name = some ? STR("erasure_some") : ask->right;
    struct str title = word_of(v, "right_", name);
    if (some)
        title = arena_printf(v->arena, "%.*s: %.*s", STR_ARG(word(v, "data_erase")),
                             STR_ARG(category_label(v, ask->category)));
    set_text(v->view, "right", ask->right);
    set_text(v->view, "category", ask->category);
    set_text(v->view, "title", title);
    set_text(v->view, "what", word_of(v, "right_what_", name));
    set_text(v->view, "next", word_of(v, "right_next_", name));
    set_text(v->view, "problem", problem ? word(v, problem) : (struct str){0});
    if (str_is(ask->right, "erasure")) {
        set_text(v->view, "final", word(v, some ? "ask_final_some" : "ask_final"));
        if (set_holds(v, ask->category, &err) < 0)
            return visit_error(v, &err);
    }
    set_moment(v, v->view, "due", request_due(law_of(v), ask->deadline, v->now, false));
    return visit_page(v, status, "ask.html", "requests");
}

int ask_page(struct http_call *call)
{
    _cleanup_visit struct visit v = {0};
    struct asking ask;
    if (!visit_begin(call, &v) || !take_right(&v, &ask))
        return 0;
    return ask_form(&v, &ask, 200, NULL);
}

static const char after_asking[] = "/portal/requests?done=asked";

static int identified(struct http_call *call)
{
    return web_written(call, after_asking);
}

/* They are signed in, and have just proved it. */
static int asked(struct http_call *call)
{
    struct web_write *w = call->work;
    const struct request_new *new = w->w.input;
    if (w->w.job.rc || !request_needs_identity(new->right))
        return web_written(call, after_asking);
    struct web_write *next = arena_alloc(&call->arena, sizeof *next);
    struct request_change *change = arena_alloc(&call->arena, sizeof *change);
    *next = (struct web_write){.w = {.kind = WRITE_OTHER,
                                     .actor = STR("lov"),
                                     .arena = w->w.arena,
                                     .consumer = w->w.consumer,
                                     .expires_at = TIME_NONE,
                                     .given_at = TIME_NONE,
                                     .done = w->w.done},
                               .call = call};
    *change = (struct request_change){
        .seq = w->w.out_seq,
        .step = STEP_VERIFY_IDENTITY,
        .note = STR("\"signed in to the portal, and proved it anew for this request\""),
    };
    request_change(&next->w, change);
    return web_submit(next, identified);
}

struct waiting {
    struct visit *v;
    struct str category;
    bool found;
    struct err *err;
};

/* Of the same category, or of everything. */
static int same_asked(void *ctx, const struct request *r)
{
    struct waiting *w = ctx;
    struct json_names names;
    int rc = request_categories(w->v->engine, r, w->v->arena, &names, w->err);
    w->found = !names.count;
    for (size_t i = 0; rc == 0 && i < names.count; i++)
        w->found |= str_eq(names.items[i], w->category);
    return rc ? rc : w->found;
}

static int is_waiting(struct visit *v, const struct asking *ask, bool *out, struct err *err)
{
    struct waiting w = {v, ask->category, false, err};
    struct request_filter filter = {.consumer = &v->who.who,
                                    .right = ask->right,
                                    .live = true,
                                    .due_before = TIME_NONE,
                                    .after = -1,
                                    .limit = INT64_MAX};
    int rc = request_list(v->engine, &filter, v->arena, same_asked, &w, err);
    *out = w.found;
    return rc < 0 ? rc : 0;
}

int ask_post(struct http_call *call)
{
    _cleanup_visit struct visit v = {0};
    _cleanup_buf struct buf detail = {0};
    struct asking ask;
    struct err err = {0};
    struct str text = {0};
    bool waiting;
    if (!visit_post(call, &v) || !take_right(&v, &ask))
        return 0;
    if (is_waiting(&v, &ask, &waiting, &err))
        return visit_error(&v, &err);
    if (waiting)
        return ask_form(&v, &ask, 409, "request_waiting");
    if (http_form(call, "text", FIELD_MAX, &text) && str_trim(text).n) {
        struct jw w = {.out = &detail};
        jw_str(&w, str_trim(text));
    }
    struct web_write *w = web_write_new(&v, WRITE_OTHER);
    struct request_new *new = arena_alloc(v.arena, sizeof *new);
    *new = (struct request_new){
        .right = arena_str(v.arena, ask.right),
        .channel = STR("web"),
        .received_at = TIME_NONE,
        .detail = arena_str(v.arena, buf_view(&detail)),
    };
    if (ask.category.n) {
        new->categories = (struct json_names){arena_alloc(v.arena, sizeof(struct str)), 1};
        new->categories.items[0] = arena_str(v.arena, ask.category);
    }
    request_open(&w->w, new);
    return web_submit(w, asked);
}

/* ---- taking it back ---- */

static int withdrawn(struct http_call *call)
{
    return web_written(call, "/portal/requests?done=withdrawn");
}

int request_withdraw(struct http_call *call)
{
    _cleanup_visit struct visit v = {0};
    if (!visit_post(call, &v))
        return 0;
    struct web_write *w = web_write_new(&v, WRITE_OTHER);
    struct request_change *change = arena_alloc(v.arena, sizeof *change);
    *change = (struct request_change){.step = STEP_WITHDRAW};
    if (!consent_id_parse(v.engine, call->param[0], &change->shard, &change->seq))
        return visit_trouble(&v, 404, "oops_missing");
    request_change(&w->w, change);
    return web_submit(w, withdrawn);
}

/* ---- the file ---- */

static int export_failed(struct http_call *call, const struct err *err)
{
    _cleanup_visit struct visit v = {0};
    visit_open(call, &v);
    return visit_error(&v, err);
}

int request_file(struct http_call *call)
{
    _cleanup_visit struct visit v = {0};
    struct err err = {0};
    struct request r;
    uint32_t shard;
    int64_t seq;
    if (!visit_begin(call, &v) || !visit_proved(&v, "/portal/requests"))
        return 0;
    int rc = consent_id_parse(v.engine, call->param[0], &shard, &seq)
                 ? request_get(v.engine, shard, seq, v.arena, &r, &err)
                 : 0;
    if (rc < 0)
        return visit_error(&v, &err);
    if (rc == 0 || memcmp(r.cid.b, v.who.who.cid.b, sizeof r.cid.b) != 0 || !export_allowed(&r))
        return visit_trouble(&v, 404, "oops_missing");
    struct export_ask ask = {
        .consumer = v.consumer,
        .request = call->param[0],
        .language = receipt_page_language(v.language),
        .failed = export_failed,
    };
    return export_start(call, &ask);
}
