/* choices.c - the overview, and each purpose's yes and no. What a page says is allowed is what
 * decide() answers at that moment. */
#include <string.h>

#include "web/private.h"

/* ---- what stands ---- */

struct answers {
    struct arena *arena;
    struct consent *items;
    size_t count;
};

static int keep_consent(void *ctx, const struct consent *c)
{
    struct answers *a = ctx;
    if (c->status == CONSENT_SUPERSEDED)
        return 0;
    struct consent *grown = arena_array(a->arena, a->count + 1, sizeof *grown);
    if (a->count)
        memcpy(grown, a->items, a->count * sizeof *grown);
    grown[a->count++] = *c;
    a->items = grown;
    return 0;
}

/* The last one that is active, or else the last. Several may be active, for different categories.
 */
static void set_latest(const struct answers *a, struct choice *out)
{
    const struct policy_activity *of = out->activity;
    for (size_t i = 0; i < a->count; i++) {
        const struct consent *c = &a->items[i];
        if (!str_eq(c->purpose, of->purpose->id) || !str_eq(c->recipient, of->recipient->id))
            continue;
        out->active += c->status == CONSENT_ACTIVE;
        if (c->status == CONSENT_ACTIVE || out->active == 0)
            out->consent = c;
    }
}

static void decide_choice(struct visit *v, struct choice *c)
{
    const struct policy_activity *a = c->activity;
    for (size_t i = 0; i < a->category_count; i++) {
        struct decision d;
        struct question q = {
            .recipient = a->recipient->id,
            .purpose = a->purpose->id,
            .category = a->categories[i]->id,
            .consumer = v->consumer,
            .at = v->now,
        };
        decide(v->engine, v->rules, &q, &d);
        if (i == 0 || (d.permit && !c->permitted))
            c->decision = d;
        c->permitted = c->permitted || d.permit;
    }
}

int choices_of(struct visit *v, struct choice **out, size_t *count, struct err *err)
{
    struct answers answers = {.arena = v->arena};
    *count = 0;
    if (!v->policy)
        return err_reason(err, LOV_EUNAVAILABLE, "no_policy", "no policy is in force");
    int rc = consent_list_living(v->engine, &v->who.who, v->arena, keep_consent, &answers, err);
    if (rc < 0)
        return rc;
    const struct policy *p = v->policy;
    const struct policy_law *law = policy_law_of(p, v->who.residence);
    *out = arena_array(v->arena, p->activity_count + 1, sizeof **out);
    for (size_t i = 0; i < p->activity_count; i++) {
        const struct policy_activity *a = &p->activities[i];
        enum policy_basis basis = a->basis[law->index];
        if (basis == BASIS_NONE)
            continue;
        struct choice *c = &(*out)[(*count)++];
        *c = (struct choice){
            .activity = a,
            .basis = basis,
            .asked = a->notice && (basis == BASIS_CONSENT || basis == BASIS_OPT_OUT ||
                                   basis == BASIS_LEGITIMATE_INTEREST),
        };
        set_latest(&answers, c);
        decide_choice(v, c);
    }
    return 0;
}

/* ---- the overview ---- */

static bool covers(const struct consent *consent, struct str category)
{
    for (size_t i = 0; i < consent->category_count; i++)
        if (str_eq(consent->categories[i], category))
            return true;
    return false;
}

/* Of a yes only the data that it is still about. */
static void set_covered(struct visit *v, json_t *view, const struct choice *c)
{
    const struct policy_activity *a = c->activity;
    json_t *data = json_array();
    for (size_t i = 0; i < a->category_count; i++) {
        struct str label = category_label(v, a->categories[i]->id);
        if (covers(c->consent, a->categories[i]->id))
            json_array_append_new(data, json_stringn(label.p, label.n));
    }
    json_object_set_new(view, "data", data);
}

static json_t *view_choice(struct visit *v, const struct choice *c)
{
    json_t *view = json_object();
    set_activity_labels(v, view, c->activity);
    if (c->basis == BASIS_CONSENT && c->permitted && c->active == 1)
        set_covered(v, view, c);
    set_true(view, "permitted", c->permitted);
    set_true(view, "asked", c->asked);
    set_text(view, "basis", word_of(v, "basis_", str_of(policy_basis_name(c->basis))));
    set_text(view, "reason",
             word_of(v, "reason_", str_of(decision_reason_name(c->decision.reason))));
    if (c->consent) {
        set_moment(v, view, "given", c->consent->given_at);
        set_moment(v, view, "ends", c->consent->expires_at);
    }
    set_true(view, "by_consent", c->basis == BASIS_CONSENT && c->permitted);
    return view;
}

int overview_get(struct http_call *call)
{
    _cleanup_visit struct visit v = {0};
    struct err err = {0};
    struct choice *choices;
    size_t count, allowed = 0;
    if (!visit_begin(call, &v))
        return 0;
    if (signal_is_new(&v))
        return signal_record(&v);
    if (choices_of(&v, &choices, &count, &err))
        return visit_error(&v, &err);
    json_t *yes = json_array(), *no = json_array();
    for (size_t i = 0; i < count; i++) {
        allowed += choices[i].permitted;
        json_array_append_new(choices[i].permitted ? yes : no, view_choice(&v, &choices[i]));
    }
    json_object_set_new(v.view, "yes", yes);
    json_object_set_new(v.view, "no", no);
    set_int(v.view, "allowed", (int64_t)allowed);
    set_int(v.view, "denied", (int64_t)(count - allowed));
    set_true(v.view, "restricted", v.who.restricted);
    set_true(v.view, "by_people", v.who.no_automated_decision);
    set_true(v.view, "signal", signal_holds(&v));
    return visit_page(&v, 200, "overview.html", "overview");
}

/* ---- the choices ---- */

static void set_diff(struct visit *v, json_t *view, const struct policy_notice *n,
                     const struct policy_notice_text *now, int version, struct str language)
{
    struct policy_published past = {0};
    struct err err = {0};
    _cleanup_buf struct buf diff = {0};
    if (version == n->version || visit_notice(v, n->id, version, language, &past, &err))
        return;
    word_diff(past.markdown, now->markdown, &diff);
    set_text(view, "diff", buf_view(&diff));
    set_int(view, "diff_from", version);
}

/* The text in the page's language, or else in the first that it has. */
static const struct policy_notice_text *text_of(const struct visit *v,
                                                const struct policy_notice *n)
{
    const struct policy_notice_text *text = policy_notice_text(n, v->language);
    return text ? text : &n->texts[0];
}

static void set_notice(struct visit *v, json_t *view, const struct policy_notice *n)
{
    const struct policy_notice_text *text = text_of(v, n);
    _cleanup_buf struct buf hash = {0};
    hex_encode(text->hash.b, sizeof text->hash.b, &hash);
    set_text(view, "notice", n->id);
    set_text(view, "notice_title", text->title);
    set_int(view, "notice_version", n->version);
    set_text(view, "notice_language", text->language);
    set_text(view, "notice_hash", buf_view(&hash));
    set_markdown(view, "notice_html", text->markdown);
    enum { IF_REFUSED = 4 };
    set_section(view, "if_refused", text->markdown, IF_REFUSED);
}

/* The data that a yes is about, each of which may be taken out of it; the last one by a no. */
static void set_parts(struct visit *v, json_t *view, const struct choice *c)
{
    const struct policy_activity *a = c->activity;
    json_t *parts = json_array();
    for (size_t i = 0; a->category_count > 1 && i < a->category_count; i++) {
        bool covered = covers(c->consent, a->categories[i]->id);
        json_t *part = json_object();
        set_text(part, "category", a->categories[i]->id);
        set_text(part, "label", category_label(v, a->categories[i]->id));
        set_true(part, "covered", covered);
        set_true(part, "may_go", covered && c->consent->category_count > 1);
        json_array_append_new(parts, part);
    }
    set_true(view, "has_parts", json_array_size(parts) > 0);
    json_object_set_new(view, "parts", parts);
}

static json_t *view_question(struct visit *v, const struct choice *c)
{
    json_t *view = view_choice(v, c);
    const struct consent *consent = c->consent;
    const struct policy_notice *n = c->activity->notice;
    _cleanup_buf struct buf id = {0};
    set_notice(v, view, n);
    bool yes = consent ? consent->status == CONSENT_ACTIVE : false;
    bool no =
        consent && (consent->status == CONSENT_REFUSED || consent->status == CONSENT_WITHDRAWN);
    set_true(view, "said_yes", yes);
    set_true(view, "said_no", no);
    set_true(view, "refused", no && consent->status == CONSENT_REFUSED);
    set_true(view, "withdrawn", no && consent->status == CONSENT_WITHDRAWN);
    /* The reason where the answer does not say it already. */
    set_true(view, "tell_reason", !c->permitted && !no && consent != NULL);
    set_true(view, "unanswered", !yes && !no);
    set_true(view, "needs_answer", yes && !c->permitted);
    if (yes && c->active == 1)
        set_parts(v, view, c);
    if (consent) {
        consent_id_format(v->engine, consent->shard, consent->seq, &id);
        set_text(view, "consent", buf_view(&id));
        set_diff(v, view, n, text_of(v, n), consent->notice_version, consent->notice_language);
    }
    return view;
}

/* What was just done, from a fixed list: nothing of the query gets onto the page. */
static void set_done(struct visit *v, struct choice *choices, size_t count)
{
    static const char *const done[] = {"given", "refused", "withdrawn", "undone", "narrowed"};
    struct str what = {0}, activity = {0};
    http_query(v->call, "done", &what);
    http_query(v->call, "activity", &activity);
    for (size_t i = 0; i < count; i++) {
        for (size_t d = 0; d < sizeof done / sizeof *done; d++) {
            if (!str_is(what, done[d]) || !str_eq(choices[i].activity->id, activity) ||
                !choices[i].asked)
                continue;
            json_t *view = view_question(v, &choices[i]);
            set_text(view, "text", word_of(v, "done_", what));
            set_true(
                view, "undo",
                d == 2 && choices[i].consent && choices[i].consent->status == CONSENT_WITHDRAWN &&
                    choices[i].consent->notice_version == choices[i].activity->notice->version);
            json_object_set_new(v->view, "done", view);
        }
    }
}

int choices_get(struct http_call *call)
{
    _cleanup_visit struct visit v = {0};
    struct err err = {0};
    struct choice *choices;
    size_t count;
    if (!visit_begin(call, &v))
        return 0;
    if (signal_is_new(&v))
        return signal_record(&v);
    if (choices_of(&v, &choices, &count, &err))
        return visit_error(&v, &err);
    json_t *list = json_array(), *fixed = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(choices[i].asked ? list : fixed, choices[i].asked
                                                                   ? view_question(&v, &choices[i])
                                                                   : view_choice(&v, &choices[i]));
    json_object_set_new(v.view, "choices", list);
    json_object_set_new(v.view, "fixed", fixed);
    set_done(&v, choices, count);
    return visit_page(&v, 200, "choices.html", "choices");
}

/* ---- one choice ---- */

static const struct choice *find_choice(const struct choice *choices, size_t count, struct str id)
{
    for (size_t i = 0; i < count; i++)
        if (choices[i].asked && str_eq(choices[i].activity->id, id))
            return &choices[i];
    return NULL;
}

static int show_choice(struct visit *v, const struct choice *c, int status, const char *notice)
{
    json_t *list = json_array();
    json_t *view = view_question(v, c);
    int64_t shown = 0;
    struct str version = {0}, language = {0};
    /* The text changed while they read the old one: what changed is shown. */
    if (notice && http_form(v->call, "notice_version", 12, &version) &&
        str_to_int(version, 1, INT32_MAX, &shown) &&
        http_form(v->call, "notice_language", 35, &language))
        set_diff(v, view, c->activity->notice, text_of(v, c->activity->notice), (int)shown,
                 language);
    set_true(view, "open", true);
    json_array_append_new(list, view);
    json_object_set_new(v->view, "choices", list);
    set_text(v->view, "problem", notice ? word(v, notice) : (struct str){0});
    set_true(v->view, "single", true);
    return visit_page(v, status, "choices.html", "choices");
}

int choice_get(struct http_call *call)
{
    _cleanup_visit struct visit v = {0};
    struct err err = {0};
    struct choice *choices;
    size_t count;
    if (!visit_begin(call, &v))
        return 0;
    if (choices_of(&v, &choices, &count, &err))
        return visit_error(&v, &err);
    const struct choice *c = find_choice(choices, count, call->param[0]);
    return c ? show_choice(&v, c, 200, NULL) : visit_trouble(&v, 404, "oops_missing");
}

/* ---- answering ---- */

struct answer {
    struct str activity;
    const char *done;
    bool same; /* it is so already: the second of two clicks */
};

static int go_back(struct http_call *call, const struct answer *a)
{
    return visit_go(call, arena_printf(&call->arena, "/portal/choices?done=%s&activity=%.*s",
                                       a->done, STR_ARG(a->activity)));
}

static int answered(struct http_call *call)
{
    struct web_write *w = call->work;
    struct answer *a = w->more;
    _cleanup_visit struct visit v = {0};
    struct choice *choices;
    size_t count;
    if (!w->w.job.rc)
        return go_back(call, a);
    if (!visit_begin(call, &v))
        return 0;
    struct err err = w->w.job.err;
    bool guardian = strcmp(err.reason, "guardian_required") == 0;
    bool changed = strncmp(err.reason, "notice_", 7) == 0;
    if ((!changed && !guardian) || choices_of(&v, &choices, &count, &err))
        return visit_error(&v, &err);
    const struct choice *c = find_choice(choices, count, a->activity);
    return c ? show_choice(&v, c, 409, changed ? "choice_changed" : "choice_guardian")
             : visit_trouble(&v, 404, "oops_missing");
}

/* The notice as it stood on the page. False when the form does not say. */
static bool take_notice(struct visit *v, const struct choice *c, struct engine_write *w)
{
    struct str version = {0}, hash = {0}, language = {0};
    if (!http_form(v->call, "notice_version", 12, &version) ||
        !http_form(v->call, "notice_hash", 64, &hash) ||
        !http_form(v->call, "notice_language", 35, &language) ||
        !str_to_int(version, 1, INT32_MAX, &w->notice.version) ||
        !hex_decode(hash, w->notice.hash.b, sizeof w->notice.hash.b))
        return false;
    w->notice.has_hash = true;
    w->notice.id = arena_str(v->arena, c->activity->notice->id);
    w->notice.language = arena_str(v->arena, language);
    return true;
}

/* All of the activity's categories; those of the consent that is given again after a withdrawal. */
static void take_categories(struct visit *v, const struct choice *c, bool undo,
                            struct engine_write *w)
{
    const struct policy_activity *a = c->activity;
    w->category_count = undo ? c->consent->category_count : a->category_count;
    w->categories = arena_array(v->arena, w->category_count, sizeof *w->categories);
    for (size_t i = 0; i < w->category_count; i++)
        w->categories[i] =
            arena_str(v->arena, undo ? c->consent->categories[i] : a->categories[i]->id);
}

/* A yes to all but one category. False when that cannot be. */
static bool take_narrowing(struct visit *v, const struct choice *c, struct web_write *w,
                           struct answer *a)
{
    const struct consent *consent = c->consent;
    struct str category = {0};
    if (!consent || consent->status != CONSENT_ACTIVE || c->active != 1 ||
        consent->category_count < 2 || !http_form(v->call, "category", 64, &category))
        return false;
    a->done = "narrowed";
    a->same = !covers(consent, category);
    w->w.kind = WRITE_AMEND;
    w->w.shard = consent->shard;
    w->w.consent = consent->seq;
    w->w.categories = arena_array(v->arena, consent->category_count, sizeof *w->w.categories);
    for (size_t i = 0; i < consent->category_count; i++)
        if (!str_eq(consent->categories[i], category))
            w->w.categories[w->w.category_count++] = arena_str(v->arena, consent->categories[i]);
    return true;
}

/* Which write an answer is; false when there is none such. */
static bool take_answer(struct visit *v, const struct choice *c, struct web_write *w,
                        struct answer *a)
{
    struct str said = {0};
    bool withdrawn = c->consent && c->consent->status == CONSENT_WITHDRAWN;
    if (!http_form(v->call, "answer", 16, &said))
        return false;
    if (str_is(said, "without"))
        return take_narrowing(v, c, w, a);
    bool yes = str_is(said, "yes"), no = str_is(said, "no");
    bool undo = str_is(said, "undo") && withdrawn;
    if (!yes && !no && !undo)
        return false;
    bool one = c->active == 1;
    a->done = undo ? "undone" : yes ? "given" : one ? "withdrawn" : "refused";
    a->same = no ? c->consent && c->active == 0 && c->consent->status != CONSENT_EXPIRED
                 : yes && one && c->permitted && c->consent->narrowed_count == 0;
    /* A refusal takes the place of all that stand, in one event. */
    w->w.kind = !no ? WRITE_GIVE : one ? WRITE_WITHDRAW : WRITE_REFUSE;
    w->w.purpose = arena_str(v->arena, c->activity->purpose->id);
    w->w.recipient = arena_str(v->arena, c->activity->recipient->id);
    take_categories(v, c, undo, &w->w);
    if (w->w.kind != WRITE_WITHDRAW)
        return take_notice(v, c, &w->w);
    w->w.shard = c->consent->shard;
    w->w.consent = c->consent->seq;
    return true;
}

/* Whoever acts for another is named in the consent, sealed as its evidence is. */
static void take_guardian(struct visit *v, struct engine_write *w)
{
    _cleanup_buf struct buf id = {0}, json = {0};
    struct err err = {0};
    struct db *db;
    if (!v->session.acting || w->kind == WRITE_WITHDRAW ||
        db_pool_get(engine_identities(v->engine), &db, &err))
        return;
    if (identity_name(engine_identity(v->engine), db, &v->session.cid, &id, &err) == 1) {
        struct jw j = {.out = &json};
        jw_object_start(&j);
        jw_str_member(&j, "consumer", buf_view(&id));
        jw_str_member(&j, "as", v->acting);
        jw_object_end(&j);
        w->guardian = arena_str(v->arena, buf_view(&json));
    }
    db_pool_put(engine_identities(v->engine), db);
}

int choices_post(struct http_call *call)
{
    _cleanup_visit struct visit v = {0};
    struct err err = {0};
    struct choice *choices;
    size_t count;
    if (!visit_post(call, &v))
        return 0;
    if (choices_of(&v, &choices, &count, &err))
        return visit_error(&v, &err);
    const struct choice *c = find_choice(choices, count, call->param[0]);
    struct web_write *w = web_write_new(&v, WRITE_GIVE);
    struct answer *a = arena_alloc(v.arena, sizeof *a);
    a->activity = arena_str(v.arena, call->param[0]);
    w->more = a;
    if (!c)
        return visit_trouble(&v, 404, "oops_missing");
    if (!take_answer(&v, c, w, a))
        return visit_trouble(&v, 400, "oops_form");
    if (a->same)
        return go_back(call, a);
    take_guardian(&v, &w->w);
    return web_submit(w, answered);
}
