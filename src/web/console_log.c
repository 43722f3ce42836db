/* console_log.c - the ledger: searched, one event with the proof that it is in the tree that was
 * signed, and a file for a regulator. Searches are forms that are sent, so that no consumer's id
 * stands in an address; a search for a consumer is a look at them, and taking a file along is an
 * event of its own. */
#include <string.h>

#include "ledger/proof.h"
#include "web/console.h"

enum { SHOWN = 50, EXPORT_PAGE = 1000, EXPORT_MOST = 20000, DAYS_BACK = 7 };

struct search {
    struct str from, to, kind, recipient, consumer; /* from, to: days */
    struct str after;
    int32_t first, last; /* days; DAY_NONE: not said */
};

/* ---- what is searched for ---- */

static void take_search(struct visit *v, struct search *s)
{
    const struct {
        const char *name;
        size_t max;
        struct str *out;
    } fields[] = {{"from", 10, &s->from},          {"to", 10, &s->to},
                  {"kind", 64, &s->kind},          {"recipient", 64, &s->recipient},
                  {"consumer", 128, &s->consumer}, {"after", 20, &s->after}};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        http_form(v->call, fields[i].name, fields[i].max, fields[i].out);
        *fields[i].out = str_trim(*fields[i].out);
    }
    s->first = s->last = DAY_NONE;
    if (!date_parse(s->from, &s->first))
        s->from = (struct str){0};
    if (!date_parse(s->to, &s->last))
        s->to = (struct str){0};
}

static void since_days(struct visit *v, struct search *s)
{
    _cleanup_buf struct buf day = {0};
    s->first = (int32_t)(v->now / DAY_MS) - DAYS_BACK;
    s->last = DAY_NONE;
    date_format(s->first, &day);
    s->from = arena_str(v->arena, buf_view(&day));
}

static void add_query(struct buf *target, const char *name, struct str value)
{
    if (!value.n)
        return;
    buf_printf(target, "&%s=", name);
    add_encoded(target, value);
}

static struct str search_target(struct visit *v, const struct search *s, int limit,
                                struct str after)
{
    _cleanup_buf struct buf target = {0}, time = {0};
    buf_printf(&target, "/v1/events?limit=%d", limit);
    if (s->first != DAY_NONE) {
        time_format(date_start(s->first), &time);
        add_query(&target, "from", buf_view(&time));
    }
    if (s->last != DAY_NONE) {
        buf_clear(&time);
        time_format(date_start(s->last) + (int64_t)DAY_MS, &time);
        add_query(&target, "to", buf_view(&time));
    }
    add_query(&target, "kind", s->kind);
    add_query(&target, "recipient", s->recipient);
    add_query(&target, "after", after);
    return arena_str(v->arena, buf_view(&target));
}

/* Of one consumer: their chain, which the API does not cut. */
static struct str chain_target(struct visit *v, const struct search *s, struct str after)
{
    _cleanup_buf struct buf target = {0};
    buf_cstr(&target, "/v1/consumers/");
    add_encoded(&target, s->consumer);
    buf_printf(&target, "/history?limit=%d", (int)EXPORT_PAGE);
    add_query(&target, "after", after);
    return arena_str(v->arena, buf_view(&target));
}

static bool is_found(const struct search *s, const json_t *event)
{
    int64_t at = 0;
    struct str kind = member(event, "kind");
    bool prefix = str_ends(s->kind, STR("."));
    time_parse(member(event, "at"), &at);
    if (s->first != DAY_NONE && at < date_start(s->first))
        return false;
    if (s->last != DAY_NONE && at >= date_start(s->last) + (int64_t)DAY_MS)
        return false;
    if (s->recipient.n && !str_eq(member(event, "recipient"), s->recipient))
        return false;
    return !s->kind.n || (prefix ? str_starts(kind, s->kind) : str_eq(kind, s->kind));
}

/* One page of the search; *next where the next one begins, empty at the end. */
static const json_t *read_page(struct visit *v, const struct search *s, int limit, struct str after,
                               struct str *next, int *status)
{
    struct str target =
        s->consumer.n ? chain_target(v, s, after) : search_target(v, s, limit, after);
    const json_t *answer = desk_ask(v, "GET", target, NULL, status);
    const json_t *more = json_object_get(answer, "next");
    *next = json_is_integer(more)
                ? arena_printf(v->arena, "%lld", (long long)json_integer_value(more))
            : json_is_string(more) ? arena_str(v->arena, json_text(more))
                                   : (struct str){0};
    return json_object_get(answer, "items");
}

/* ---- the page ---- */

static json_t *view_event(struct visit *v, const json_t *event)
{
    json_t *view = json_object();
    struct str recipient = member(event, "recipient"), purpose = member(event, "purpose");
    struct str kind = member(event, "kind");
    set_int(view, "seq", member_int(event, "seq"));
    set_int(view, "shard", member_int(event, "shard"));
    set_text(view, "kind", kind);
    set_true(view, "denied", str_is(kind, "access.denied"));
    set_moment_of(v, view, "at", member(event, "at"));
    set_text(view, "by", actor_text(v, member(event, "actor")));
    if (recipient.n)
        set_text(view, "recipient", recipient_label(v, recipient));
    if (purpose.n)
        set_text(view, "purpose", purpose_label(v, purpose));
    if (member(event, "reason").n)
        set_text(view, "reason", word_of(v, "reason_", member(event, "reason")));
    return view;
}

static void set_choices(struct visit *v, const struct search *s)
{
    static const char *const kinds[] = {"access",   "access.denied", "consent.", "consumer.",
                                        "record.",  "request.",      "policy.",  "staff.",
                                        "account.", "key.",          "log.",     "complaint.open"};
    json_t *list = json_array();
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        json_t *one = json_object();
        set_text(one, "id", str_of(kinds[i]));
        set_text(one, "label", word_of(v, "kinds_", str_of(kinds[i])));
        set_true(one, "chosen", str_is(s->kind, kinds[i]));
        json_array_append_new(list, one);
    }
    json_object_set_new(v->view, "kinds", list);
    list = json_array();
    for (size_t i = 0; v->policy && i < v->policy->recipient_count; i++) {
        json_t *one = json_object();
        set_text(one, "id", v->policy->recipients[i].id);
        set_text(one, "label", recipient_label(v, v->policy->recipients[i].id));
        set_true(one, "chosen", str_eq(s->recipient, v->policy->recipients[i].id));
        json_array_append_new(list, one);
    }
    json_object_set_new(v->view, "recipients", list);
}

static void set_search(struct visit *v, const struct search *s)
{
    set_text(v->view, "from", s->from);
    set_text(v->view, "to", s->to);
    set_text(v->view, "kind_asked", s->kind);
    set_text(v->view, "recipient_asked", s->recipient);
    set_text(v->view, "consumer_asked", s->consumer);
    set_choices(v, s);
}

static int show_log(struct visit *v, const struct search *s)
{
    int status;
    struct str next = {0};
    const json_t *event, *items = read_page(v, s, SHOWN, s->after, &next, &status);
    size_t i;
    json_t *list = json_array();
    set_search(v, s);
    json_array_foreach(items, i, event)
        if (is_found(s, event))
            json_array_append_new(list, view_event(v, event));
    json_object_set_new(v->view, "events", list);
    set_text(v->view, "next", next);
    if (status == 404)
        set_text(v->view, "problem", word(v, "problem_unknown_consumer"));
    else if (status != 200)
        set_text(v->view, "problem", word(v, "log_cannot"));
    return visit_page(v,
                      status == 200   ? 200
                      : status == 404 ? 404
                                      : 422,
                      "console_log.html", "log");
}

int console_log(struct http_call *call)
{
    _cleanup_visit struct visit v = {0};
    struct search s = {0};
    if (!console_begin(call, &v))
        return 0;
    since_days(&v, &s);
    return show_log(&v, &s);
}

int console_log_search(struct http_call *call)
{
    _cleanup_visit struct visit v = {0};
    struct search s = {0};
    struct err err = {0};
    if (!console_post(call, &v))
        return 0;
    take_search(&v, &s);
    int rc = s.consumer.n ? desk_look(&v, s.consumer, NULL, &err) : 0;
    if (rc == LOV_ELIMIT)
        return visit_trouble(&v, 429, "problem_too_many_looks");
    if (rc && rc != LOV_ENOTFOUND && strcmp(err.reason, "erased") != 0)
        return visit_error(&v, &err);
    return show_log(&v, &s);
}

/* ---- one event ---- */

static bool take_hash(const json_t *text, struct sha256 *out)
{
    _cleanup_buf struct buf bytes = {0};
    if (!json_is_string(text) || !base64_decode(json_text(text), &bytes) ||
        bytes.n != sizeof out->b)
        return false;
    memcpy(out->b, bytes.p, bytes.n);
    return true;
}

/* Follows the path from the event's leaf to the root that was signed. */
static bool proves(const json_t *answer)
{
    struct sha256 leaf, root;
    struct proof proof = {0};
    const json_t *hash;
    size_t i;
    json_array_foreach(json_object_get(answer, "hashes"), i, hash)
        if (i >= PROOF_MAX || !take_hash(hash, &proof.hash[proof.count++]))
            return false;
    return take_hash(json_object_get(answer, "leaf"), &leaf) &&
           take_hash(json_object_get(answer, "root"), &root) &&
           proof_includes(&proof, member_int(answer, "seq"), member_int(answer, "size"), &leaf,
                          &root);
}

static void set_proof(struct visit *v, int64_t seq)
{
    int status;
    const json_t *answer = desk_ask(
        v, "GET", arena_printf(v->arena, "/v1/log/proof/inclusion?seq=%lld", (long long)seq), NULL,
        &status);
    if (status != 200)
        return; /* it is too new to be in a checkpoint */
    static const char *const same[] = {"size", "leaf", "root", "hashes", "checkpoint"};
    json_t *view = json_object();
    set_true(view, "proven", proves(answer));
    for (size_t i = 0; i < sizeof same / sizeof *same; i++)
        json_object_set(view, same[i], json_object_get(answer, same[i]));
    json_object_set_new(v->view, "proof", view);
}

static void set_members(struct visit *v, const json_t *event)
{
    static const char *const shown[] = {"seq", "shard", "at", "kind", "actor"};
    const char *name;
    json_t *value, *list = json_array();
    json_object_foreach((json_t *)event, name, value) {
        _cleanup_buf struct buf text = {0};
        bool known = json_is_null(value);
        for (size_t i = 0; i < sizeof shown / sizeof *shown; i++)
            known = known || strcmp(name, shown[i]) == 0;
        if (known)
            continue;
        if (json_is_string(value))
            buf_str(&text, json_text(value));
        else
            json_canonical(value, &text);
        json_t *one = json_object();
        set_text(one, "name", str_of(name));
        set_text(one, "value", buf_view(&text));
        json_array_append_new(list, one);
    }
    json_object_set_new(v->view, "members", list);
}

int console_log_event(struct http_call *call)
{
    _cleanup_visit struct visit v = {0};
    int64_t seq;
    int status;
    if (!console_begin(call, &v))
        return 0;
    if (!str_to_int(call->param[0], 0, INT64_MAX, &seq))
        return visit_trouble(&v, 404, "oops_missing");
    const json_t *answer = desk_ask(
        &v, "GET", arena_printf(v.arena, "/v1/events?limit=1&after=%lld", (long long)seq - 1), NULL,
        &status);
    const json_t *event = json_array_get(json_object_get(answer, "items"), 0);
    if (status != 200 || !event || member_int(event, "seq") != seq)
        return visit_trouble(&v, 404, "oops_missing");
    json_object_set_new(v.view, "event", view_event(&v, event));
    set_text(v.view, "actor", member(event, "actor"));
    set_members(&v, event);
    set_proof(&v, seq);
    set_text(v.view, "title", word(&v, "log_event"));
    return visit_page(&v, 200, "console_event.html", "log");
}

/* ---- a file ---- */

static int write_export(struct engine_write *w, struct write_scope *scope, struct err *err)
{
    const struct search *s = w->input;
    _cleanup_buf struct buf body = {0};
    struct jw j = {.out = &body};
    jw_object_start(&j);
    jw_optional_member(&j, "from", s->from);
    jw_optional_member(&j, "to", s->to);
    jw_optional_member(&j, "kinds", s->kind);
    jw_optional_member(&j, "of_recipient", s->recipient);
    jw_bool_member(&j, "of_one_consumer", s->consumer.n != 0);
    jw_object_end(&j);
    return engine_append(scope, "log.export", (struct str){0}, buf_view(&body), &w->out_seq, err);
}

static int record_export(struct visit *v, const struct search *s, struct err *err)
{
    struct engine_write w = {
        .kind = WRITE_OTHER,
        .actor = v->desk->actor,
        .arena = v->arena,
        .expires_at = TIME_NONE,
        .given_at = TIME_NONE,
        .other = write_export,
        .input = s,
    };
    int rc = s->consumer.n ? desk_look(v, s->consumer, NULL, err) : 0;
    return rc ? rc : engine_run(v->engine, &w, err);
}

/* Lines of JSON: each event, then what the log says of itself, so that the file can be held against
 * what others know of it. */
static int write_lines(struct visit *v, const struct search *s, struct buf *out)
{
    struct str next = s->after;
    const json_t *event;
    size_t i;
    int status, count = 0;
    do {
        const json_t *items = read_page(v, s, EXPORT_PAGE, next, &next, &status);
        if (status != 200)
            return status;
        json_array_foreach(items, i, event) {
            if (!is_found(s, event))
                continue;
            json_canonical(event, out);
            buf_char(out, '\n');
            count++;
        }
        json_array_clear(json_object_get(v->view, "answers"));
    } while (next.n && count < EXPORT_MOST);
    const json_t *log = desk_ask(v, "GET", STR("/v1/log"), NULL, &status);
    struct jw j = {.out = out};
    _cleanup_buf struct buf text = {0};
    json_canonical(log, &text);
    jw_object_start(&j);
    jw_bool_member(&j, "complete", next.n == 0);
    jw_optional_member(&j, "next", next);
    jw_key(&j, "log");
    jw_raw(&j, buf_view(&text));
    jw_object_end(&j);
    buf_char(out, '\n');
    return 200;
}

int console_log_export(struct http_call *call)
{
    _cleanup_visit struct visit v = {0};
    _cleanup_buf struct buf lines = {0};
    struct search s = {0};
    struct err err = {0};
    if (!console_post(call, &v) || !desk_proved(&v, "/console/log"))
        return 0;
    take_search(&v, &s);
    int rc = record_export(&v, &s, &err);
    if (rc == LOV_ELIMIT)
        return visit_trouble(&v, 429, "problem_too_many_looks");
    if (rc)
        return visit_error(&v, &err);
    int status = write_lines(&v, &s, &lines);
    if (status != 200)
        return visit_trouble(&v, 422, "log_cannot");
    visit_headers(call);
    call->status = 200;
    call->content_type = "application/jsonl";
    http_answer_header(call, "Content-Disposition", STR("attachment; filename=\"log.jsonl\""));
    buf_str(&call->out, buf_view(&lines));
    return 0;
}
