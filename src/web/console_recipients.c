/* console_recipients.c - who may get data: what binds them and until when, what they used lately
 * and what they were denied. */
#include <string.h>

#include "web/console.h"

/* ---- what binds them ---- */

/* "state" of something that ends: good, soon (within 30 days), over; or none where there is none.
 */
static void set_end(struct visit *v, json_t *view, const char *what, struct str name, int64_t end)
{
    const char *state = end == TIME_NONE                       ? "none"
                        : end == INT64_MAX                     ? "open"
                        : end <= v->now                        ? "over"
                        : end - v->now <= 30 * (int64_t)DAY_MS ? "soon"
                                                               : "good";
    json_t *one = json_object();
    set_text(one, "what", word_of(v, "bond_", str_of(what)));
    set_text(one, "name", name);
    set_text(one, "state", word_of(v, "ends_", str_of(state)));
    set_true(one, "bad", strcmp(state, "over") == 0 || strcmp(state, "soon") == 0);
    if (end != TIME_NONE && end != INT64_MAX)
        set_text(one, "day", day_text(v, (int32_t)(end / DAY_MS) - 1));
    json_array_append_new(json_object_get(view, "bonds"), one);
}

static json_t *view_recipient(struct visit *v, const struct policy_recipient *r)
{
    json_t *view = json_object();
    set_text(view, "id", r->id);
    set_text(view, "label", policy_text_in(v->policy, &r->label, v->language));
    set_text(view, "kind", word_of(v, "kind_", str_of(recipient_kind_name(r->kind))));
    set_true(view, "inside", r->kind == RECIPIENT_DEPARTMENT);
    set_true(view, "suspended", r->suspended);
    set_text(view, "contact", r->contact);
    json_object_set_new(view, "bonds", json_array());
    if (r->kind != RECIPIENT_DEPARTMENT) {
        set_end(v, view, "contract", r->contract, r->contract_end);
        set_end(v, view, "safeguards", r->safeguards, r->safeguards_end);
    }
    set_end(v, view, "training", (struct str){0}, r->training_end);
    if (r->begins != TIME_NONE) {
        set_text(view, "announced", day_text(v, (int32_t)(r->announced / DAY_MS)));
        set_text(view, "begins", day_text(v, (int32_t)(r->begins / DAY_MS)));
    }
    return view;
}

/* ---- what they did ---- */

static void add_reasons(struct visit *v, json_t *row, json_t *denied)
{
    const char *reason;
    const json_t *count;
    json_t *list = json_array();
    json_object_foreach(denied, reason, count) {
        json_t *one = json_object();
        set_text(one, "reason", word_of(v, "reason_", str_of(reason)));
        set_int(one, "count", json_integer_value(count));
        json_array_append_new(list, one);
    }
    json_object_set_new(row, "reasons", list);
}

/* Purposes of the recipient with their numbers; sums into the view. */
static void set_uses(struct visit *v, json_t *view, const json_t *uses, struct str recipient)
{
    const json_t *use;
    size_t i;
    int64_t permitted = 0, denied = 0;
    json_t *list = json_array();
    json_array_foreach(json_object_get(uses, "items"), i, use) {
        if (!str_eq(member(use, "recipient"), recipient))
            continue;
        json_t *row = json_object();
        set_text(row, "purpose", purpose_label(v, member(use, "purpose")));
        set_int(row, "permitted", member_int(use, "permitted"));
        set_int(row, "denied", member_int(use, "refused"));
        add_reasons(v, row, json_object_get(use, "denied"));
        permitted += member_int(use, "permitted");
        denied += member_int(use, "refused");
        json_array_append_new(list, row);
    }
    json_object_set_new(view, "uses", list);
    set_int(view, "permitted", permitted);
    set_int(view, "denied", denied);
}

int console_recipients(struct http_call *call)
{
    _cleanup_visit struct visit v = {0};
    int status;
    if (!console_begin(call, &v))
        return 0;
    const json_t *uses = desk_ask(&v, "GET", STR("/v1/uses"), NULL, &status);
    if (status != 200)
        return desk_problem(&v, status, uses);
    json_t *list = json_array();
    for (size_t i = 0; v.policy && i < v.policy->recipient_count; i++) {
        json_t *view = view_recipient(&v, &v.policy->recipients[i]);
        set_uses(&v, view, uses, v.policy->recipients[i].id);
        json_array_append_new(list, view);
    }
    json_object_set_new(v.view, "recipients", list);
    set_moment_of(&v, v.view, "from", member(uses, "from"));
    return visit_page(&v, 200, "console_recipients.html", "recipients");
}

/* ---- one of them ---- */

static void set_activities(struct visit *v, json_t *view, const struct policy_recipient *r)
{
    json_t *list = json_array();
    for (size_t i = 0; i < v->policy->activity_count; i++) {
        if (v->policy->activities[i].recipient != r)
            continue;
        json_t *one = json_object();
        set_activity_labels(v, one, &v->policy->activities[i]);
        json_array_append_new(list, one);
    }
    json_object_set_new(view, "activities", list);
}

int console_recipient(struct http_call *call)
{
    _cleanup_visit struct visit v = {0};
    int status;
    if (!console_begin(call, &v))
        return 0;
    const struct policy_recipient *r = v.policy ? policy_recipient(v.policy, call->param[0]) : NULL;
    if (!r)
        return visit_trouble(&v, 404, "oops_missing");
    const json_t *uses = desk_ask(&v, "GET", STR("/v1/uses"), NULL, &status);
    if (status != 200)
        return desk_problem(&v, status, uses);
    json_t *view = view_recipient(&v, r);
    set_uses(&v, view, uses, r->id);
    set_activities(&v, view, r);
    json_object_set_new(v.view, "one", view);
    set_moment_of(&v, v.view, "from", member(uses, "from"));
    set_text(v.view, "title", policy_text_in(v.policy, &r->label, v.language));
    return visit_page(&v, 200, "console_recipient.html", "recipients");
}
