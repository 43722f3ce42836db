/* console_policy.c - the policy in words, its history, and what is proposed: looked at by one
 * person, approved by another. */
#include <string.h>

#include "base/zip.h"
#include "web/console.h"

/* ---- the policy in words ---- */

static void add_bases(struct visit *v, json_t *view, const struct policy_activity *a)
{
    json_t *list = json_array();
    for (size_t i = 0; i < v->policy->law_count; i++) {
        if (a->basis[i] == BASIS_NONE)
            continue;
        json_t *basis = json_object();
        set_text(basis, "law", v->policy->laws[i].name);
        set_text(basis, "basis", word_of(v, "basis_", str_of(policy_basis_name(a->basis[i]))));
        json_array_append_new(list, basis);
    }
    json_object_set_new(view, "bases", list);
}

static void set_activities(struct visit *v)
{
    json_t *list = json_array();
    for (size_t i = 0; v->policy && i < v->policy->activity_count; i++) {
        const struct policy_activity *a = &v->policy->activities[i];
        json_t *view = json_object();
        set_activity_labels(v, view, a);
        add_bases(v, view, a);
        json_array_append_new(list, view);
    }
    json_object_set_new(v->view, "activities", list);
}

static void set_laws(struct visit *v)
{
    json_t *list = json_array();
    for (size_t i = 0; v->policy && i < v->policy->law_count; i++) {
        const struct policy_law *law = &v->policy->laws[i];
        json_t *view = json_object();
        _cleanup_buf struct buf where = {0};
        for (size_t k = 0; k < law->territory_count; k++)
            buf_printf(&where, "%s%.*s", k ? ", " : "", STR_ARG(law->territories[k]));
        set_text(view, "name", law->name);
        set_text(view, "citation", law->citation);
        set_text(view, "where", buf_view(&where));
        set_text(view, "model", word(v, law->opt_out_model ? "basis_opt_out" : "basis_consent"));
        json_array_append_new(list, view);
    }
    json_object_set_new(v->view, "laws", list);
}

static void set_history(struct visit *v)
{
    int status;
    const json_t *answer = desk_ask(v, "GET", STR("/v1/policy/history?limit=50"), NULL, &status);
    const json_t *item;
    size_t i;
    json_t *list = json_array();
    json_array_foreach(json_object_get(answer, "items"), i, item) {
        json_t *view = json_object();
        set_int(view, "version", member_int(item, "version"));
        set_moment_of(v, view, "at", member(item, "applied_at"));
        set_text(view, "by", actor_text(v, member(item, "actor")));
        set_text(view, "hash", member(item, "hash"));
        json_array_append_new(list, view);
    }
    json_object_set_new(v->view, "history", list);
}

static void set_proposal(struct visit *v, json_t *view, const json_t *p)
{
    set_text(view, "id", member(p, "id"));
    set_text(view, "state", word_of(v, "proposal_", member(p, "state")));
    set_true(view, "open", str_is(member(p, "state"), "open"));
    set_true(view, "own", json_is_true(json_object_get(p, "own")));
    set_text(view, "by", actor_text(v, member(p, "proposed_by")));
    set_moment_of(v, view, "at", member(p, "proposed_at"));
    set_moment_of(v, view, "expires", member(p, "expires_at"));
    set_int(view, "base", member_int(p, "base_version"));
    set_text(view, "hash", member(p, "hash"));
    if (member(p, "decided_by").n)
        set_text(view, "decided_by", actor_text(v, member(p, "decided_by")));
    set_moment_of(v, view, "decided", member(p, "decided_at"));
    if (member_int(p, "version"))
        set_int(view, "became", member_int(p, "version"));
}

static void set_proposals(struct visit *v)
{
    int status;
    const json_t *answer = desk_ask(v, "GET", STR("/v1/policy/proposals?limit=20"), NULL, &status);
    const json_t *item;
    size_t i;
    json_t *list = json_array();
    json_array_foreach(json_object_get(answer, "items"), i, item) {
        json_t *view = json_object();
        set_proposal(v, view, item);
        json_array_append_new(list, view);
    }
    json_object_set_new(v->view, "proposals", list);
    set_true(v->view, "sees_proposals", true);
}

int console_policy(struct http_call *call)
{
    _cleanup_visit struct visit v = {0};
    if (!console_begin(call, &v))
        return 0;
    if (v.policy) {
        set_int(v.view, "version", v.policy->version);
        set_true(v.view, "in_force", true);
    }
    set_activities(&v);
    set_laws(&v);
    set_history(&v);
    if (may(&v, MAY_READ_PROPOSALS))
        set_proposals(&v);
    set_true(v.view, "may_propose", may(&v, MAY_WRITE_POLICY));
    return visit_page(&v, 200, "console_policy.html", "policy");
}

/* ---- its files ---- */

int console_policy_files(struct http_call *call)
{
    enum { MOST = 64 << 20 };
    _cleanup_visit struct visit v = {0};
    _cleanup_buf struct buf file = {0};
    struct policy_bundle bundle = {0};
    struct err err = {0};
    if (!console_begin(call, &v))
        return 0;
    int rc = engine_policy_files(v.engine, 0, &bundle, &err);
    struct zip *zip = zip_new(&file, MOST);
    for (size_t i = 0; rc == 0 && i < bundle.count; i++)
        rc = zip_add(zip, arena_cstr(v.arena, bundle.files[i].path), bundle.files[i].text, &err);
    if (rc == 0)
        rc = zip_finish(zip, &err);
    zip_free(zip);
    policy_bundle_free(&bundle);
    if (rc)
        return visit_error(&v, &err);
    visit_headers(call);
    call->status = 200;
    call->content_type = "application/zip";
    http_answer_header(call, "Content-Disposition", STR("attachment; filename=\"policy.zip\""));
    buf_str(&call->out, buf_view(&file));
    return 0;
}

/* ---- what is uploaded ---- */

enum { PARTS_MOST = 300, ARCHIVE_MOST = 16 << 20 };

static struct str base_of(struct str path)
{
    for (size_t i = path.n; i; i--)
        if (path.p[i - 1] == '/' || path.p[i - 1] == '\\')
            return (struct str){path.p + i, path.n - i};
    return path;
}

static bool is_policy_file(struct str path)
{
    return str_ends(path, STR(".yaml")) || str_ends(path, STR(".md"));
}

static void set_file(struct visit *v, json_t *files, struct str path, struct str text)
{
    json_object_set_new(files, arena_cstr(v->arena, path),
                        json_stringn(text.p ? text.p : "", text.n));
}

/* A single file takes the place of the one in force that has its name; another notice goes to the
 * notices, and anything else to the top. */
static struct str place_of(struct visit *v, const struct policy_bundle *in_force,
                           struct str filename)
{
    struct str name = base_of(filename);
    for (size_t i = 0; i < in_force->count; i++)
        if (str_eq(base_of(in_force->files[i].path), name))
            return in_force->files[i].path;
    return str_ends(name, STR(".md")) ? arena_printf(v->arena, "notices/%.*s", STR_ARG(name))
                                      : name;
}

/* An archive is the whole policy, in the folder that has controller.yaml. */
static int take_archive(struct visit *v, struct str content, json_t *files, struct err *err)
{
    struct zip_file *list;
    size_t count;
    struct str root = {0}, mark = STR("controller.yaml");
    int rc = zip_read(content, ARCHIVE_MOST, v->arena, &list, &count, err);
    for (size_t i = 0; rc == 0 && i < count; i++)
        if (str_eq(base_of(list[i].name), mark))
            root = (struct str){list[i].name.p, list[i].name.n - mark.n};
    for (size_t i = 0; rc == 0 && i < count; i++) {
        struct str name = list[i].name;
        if (!str_starts(name, root) || !is_policy_file(name))
            continue;
        set_file(v, files, (struct str){name.p + root.n, name.n - root.n}, list[i].content);
    }
    return rc;
}

static int take_parts(struct visit *v, const struct multipart *parts, size_t count, json_t *files,
                      struct err *err)
{
    struct policy_bundle in_force = {0};
    bool archive = false, any = false;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < count; i++) {
        if (!parts[i].file || !str_ends(parts[i].filename, STR(".zip")))
            continue;
        archive = any = true;
        rc = take_archive(v, parts[i].content, files, err);
    }
    if (!archive && v->policy)
        rc = engine_policy_files(v->engine, 0, &in_force, err);
    for (size_t i = 0; rc == 0 && i < in_force.count; i++)
        set_file(v, files, in_force.files[i].path, in_force.files[i].text);
    for (size_t i = 0; rc == 0 && i < count; i++) {
        if (!parts[i].file || !is_policy_file(parts[i].filename))
            continue;
        any = true;
        set_file(v, files, place_of(v, &in_force, parts[i].filename), parts[i].content);
    }
    policy_bundle_free(&in_force);
    if (rc == 0 && !any)
        rc = err_reason(err, LOV_EINVAL, "no_files", "no policy file was chosen");
    return rc;
}

/* ---- proposing ---- */

static void set_findings(struct visit *v, const json_t *answer)
{
    const json_t *finding;
    size_t i;
    json_t *list = json_array();
    json_array_foreach(json_object_get(answer, "findings"), i, finding) {
        json_t *view = json_object();
        struct str severity = member(finding, "severity");
        set_text(view, "severity", word_of(v, "finding_", severity));
        set_true(view, "error", str_is(severity, "error"));
        set_text(view, "file", member(finding, "file"));
        if (member_int(finding, "line"))
            set_int(view, "line", member_int(finding, "line"));
        set_text(view, "rule", member(finding, "rule"));
        set_text(view, "text", member(finding, "text"));
        json_array_append_new(list, view);
    }
    json_object_set_new(v->view, "findings", list);
}

static int propose_form(struct visit *v, int status, struct str problem)
{
    set_text(v->view, "title", word(v, "propose_title"));
    set_text(v->view, "problem", problem);
    return visit_page(v, status, "console_propose.html", "policy");
}

int console_propose_page(struct http_call *call)
{
    _cleanup_visit struct visit v = {0};
    if (!console_begin(call, &v))
        return 0;
    return propose_form(&v, 200, (struct str){0});
}

static int propose_problem(struct visit *v, const struct err *err)
{
    struct str text = arena_str(v->arena, str_of(err->text));
    return propose_form(v, 422, word_or(v, "problem_", str_of(err->reason), text));
}

int console_propose(struct http_call *call)
{
    _cleanup_visit struct visit v = {0};
    struct err err = {0};
    struct multipart *parts;
    size_t count;
    int status;
    if (!console_upload(call, &v, PARTS_MOST, &parts, &count))
        return 0;
    json_t *files = json_object();
    if (take_parts(&v, parts, count, files, &err)) {
        json_decref(files);
        return propose_problem(&v, &err);
    }
    json_t *body = json_object();
    json_object_set_new(body, "files", files);
    const json_t *answer = desk_ask(&v, "POST", STR("/v1/policy/proposals"), body, &status);
    if (status == 201)
        return visit_go(call, arena_printf(v.arena, "/console/policy/proposals/%.*s",
                                           STR_ARG(member(answer, "id"))));
    if (status != 422 && status != 400)
        return desk_problem(&v, status, answer);
    set_findings(&v, answer);
    return propose_form(&v, 422, desk_problem_text(&v, answer));
}

/* ---- one proposal ---- */

static struct str proposal_target(struct visit *v, const char *rest)
{
    _cleanup_buf struct buf target = {0};
    buf_cstr(&target, "/v1/policy/proposals/");
    add_encoded(&target, v->call->param[0]);
    buf_cstr(&target, rest);
    return arena_str(v->arena, buf_view(&target));
}

static int show_proposal(struct visit *v, int status, struct str problem)
{
    int got;
    const json_t *answer = desk_ask(v, "GET", proposal_target(v, ""), NULL, &got);
    if (got != 200)
        return desk_problem(v, got, answer);
    json_t *view = json_object();
    set_proposal(v, view, answer);
    json_object_set_new(v->view, "proposal", view);
    set_findings(v, answer);
    set_changes(v, answer);
    bool open = str_is(member(answer, "state"), "open") && may(v, MAY_WRITE_POLICY);
    bool own = json_is_true(json_object_get(answer, "own"));
    set_true(v->view, "may_decide", open);
    set_true(v->view, "may_approve", open && !own);
    set_text(v->view, "title", word(v, "proposal_title"));
    set_text(v->view, "problem", problem);
    return visit_page(v, status, "console_proposal.html", "policy");
}

int console_proposal(struct http_call *call)
{
    _cleanup_visit struct visit v = {0};
    if (!console_begin(call, &v))
        return 0;
    return show_proposal(&v, 200, (struct str){0});
}

static int decide_proposal(struct http_call *call, const char *step, bool approve)
{
    _cleanup_visit struct visit v = {0};
    struct str hash = {0};
    int status;
    if (!console_post(call, &v))
        return 0;
    struct str here =
        arena_printf(v.arena, "/console/policy/proposals/%.*s", STR_ARG(call->param[0]));
    if (!str_eq(local_path(v.site, here, ""), here))
        return visit_trouble(&v, 404, "oops_missing");
    if (!desk_proved(&v, here.p))
        return 0;
    json_t *body = json_object();
    http_form(call, "hash", 64, &hash);
    if (approve)
        set_text(body, "hash", hash);
    const json_t *answer = desk_ask(&v, "POST", proposal_target(&v, step), body, &status);
    if (status == 200)
        return visit_go(call, here);
    if (status == 404 || status == 503)
        return desk_problem(&v, status, answer);
    return show_proposal(&v, status, desk_problem_text(&v, answer));
}

int console_approve(struct http_call *call)
{
    return decide_proposal(call, "/approve", true);
}

int console_reject(struct http_call *call)
{
    return decide_proposal(call, "/reject", false);
}
