/* policies.c - what the company promises: the texts in force, those before them, and what changed
 * between two of them, word by word. */
#include "web/private.h"

static const struct policy_notice_text *text_of(const struct visit *v,
                                                const struct policy_notice *n)
{
    const struct policy_notice_text *text = policy_notice_text(n, v->language);
    return text ? text : &n->texts[0];
}

static int history_row(void *ctx, const struct policy_version *version)
{
    struct visit *v = ctx;
    json_t *view = json_object();
    set_int(view, "version", version->version);
    set_moment(v, view, "at", version->applied_at);
    json_array_append_new(json_object_get(v->view, "history"), view);
    return 0;
}

int policies_get(struct http_call *call)
{
    enum { HISTORY_MOST = 50 };
    _cleanup_visit struct visit v = {0};
    struct err err = {0};
    struct db *db;
    if (!visit_begin(call, &v))
        return 0;
    if (!v.policy)
        return visit_trouble(&v, 503, "oops_busy");
    json_t *list = json_array();
    for (size_t i = 0; i < v.policy->notice_count; i++) {
        const struct policy_notice *n = &v.policy->notices[i];
        json_t *view = json_object();
        set_text(view, "notice", n->id);
        set_text(view, "notice_title", text_of(&v, n)->title);
        set_text(view, "notice_language", text_of(&v, n)->language);
        set_int(view, "version", n->version);
        set_text(view, "purpose", purpose_label(&v, n->purpose));
        json_array_append_new(list, view);
    }
    json_object_set_new(v.view, "notices", list);
    json_object_set_new(v.view, "history", json_array());
    int rc = db_pool_get(engine_lov(v.engine), &db, &err);
    if (rc)
        return visit_error(&v, &err);
    rc = policy_store_history(db, 0, HISTORY_MOST, history_row, &v, &err);
    db_pool_put(engine_lov(v.engine), db);
    return rc < 0 ? visit_error(&v, &err) : visit_page(&v, 200, "policies.html", "policies");
}

static void set_versions(struct visit *v, const struct policy_notice *n, int64_t shown)
{
    json_t *list = json_array();
    for (int i = n->version; i >= 1; i--) {
        json_t *view = json_object();
        set_int(view, "version", i);
        set_text(view, "notice", n->id);
        set_true(view, "here", i == shown);
        set_true(view, "current", i == n->version);
        json_array_append_new(list, view);
    }
    json_object_set_new(v->view, "versions", list);
    set_true(v->view, "several", n->version > 1);
}

int policies_version(struct http_call *call)
{
    _cleanup_visit struct visit v = {0};
    _cleanup_buf struct buf diff = {0};
    struct err err = {0};
    struct policy_published text = {0}, before = {0};
    struct str asked = {0};
    if (!visit_begin(call, &v))
        return 0;
    const struct policy_notice *n = v.policy ? policy_notice(v.policy, call->param[0]) : NULL;
    if (!n)
        return visit_trouble(&v, 404, "oops_missing");
    int64_t version = n->version;
    struct str language = text_of(&v, n)->language;
    if (http_query(call, "version", &asked) && !str_to_int(asked, 1, n->version, &version))
        return visit_trouble(&v, 404, "oops_missing");
    if (visit_notice(&v, n->id, (int)version, language, &text, &err))
        return visit_error(&v, &err);
    set_text(v.view, "title", text.title);
    set_text(v.view, "notice_language", language);
    set_int(v.view, "version", version);
    set_true(v.view, "old", version != n->version);
    set_markdown(v.view, "notice_html", text.markdown);
    set_versions(&v, n, version);
    if (version > 1 && visit_notice(&v, n->id, (int)version - 1, language, &before, &err) == 0) {
        word_diff(before.markdown, text.markdown, &diff);
        set_text(v.view, "diff", buf_view(&diff));
        set_int(v.view, "diff_from", version - 1);
    }
    return visit_page(&v, 200, "policy_view.html", "policies");
}
