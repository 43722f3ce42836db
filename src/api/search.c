/* search.c - OpenID AuthZEN search: who may use this (subjects), whose (resources), for what
 * (actions).
 *
 * A page is a run of candidates from a position on: recipients and purposes in the order of the
 * policy, consumers in the order in which they came. The token is that position, sealed together
 * with the size of the page, and bound to caller and query by the associated data, so that it says
 * nothing to its holder and fits no other question. */
#include <string.h>

#include "api/audience_query.h"

enum {
    PAGE_MAX = 10000,
    RECORDED_PAGE_MAX = 1000, /* each result is a write that the answer waits for */
    FIND_PATIENCE_MS = 100,   /* so that no call takes a thread for long */
    COUNT_PATIENCE_MS = 500,
};

struct page_request {
    struct str token;
    int64_t limit;
};
static const struct json_field page_fields[] = {
    {"token", JSON_K_STRING, offsetof(struct page_request, token), false, 0, 512},
    {"limit", JSON_K_INT, offsetof(struct page_request, limit), false, 0, PAGE_MAX},
};

struct search_request {
    struct entities entities;
    const json_t *page;
};
#define ENTITY(name)                                                                               \
    {                                                                                              \
#name, JSON_K_OBJECT, offsetof(struct search_request, entities.name), false, 0, 0          \
    }

static const struct json_field search_fields[] = {
    ENTITY(subject),
    ENTITY(action),
    ENTITY(resource),
    ENTITY(context),
    {"page", JSON_K_OBJECT, offsetof(struct search_request, page), false, 0, 0},
};

#define COUNT(table) (sizeof(table) / sizeof *(table))

struct position {
    int64_t next, limit;
};

struct search {
    struct http_call *call;
    json_t *body;
    struct rules *rules;
    struct evaluation ev;
    const json_t *context; /* borrowed from body */
    struct sha256 binding; /* of caller and query */
    struct position at;
    bool more, paged;
    int64_t total; /* -1: was not asked for */
    struct jw w;
    struct buf results;
    int64_t count;
};

/* ---- tokens ---- */

static struct sha256 bind_query(const struct http_call *call, const struct entities *e,
                                enum wanted wanted)
{
    _cleanup_json json_t *context = e->context ? json_copy((json_t *)e->context) : NULL;
    const json_t *parts[] = {e->subject, wanted == WANT_ACTION ? NULL : e->action, e->resource,
                             context};
    _cleanup_buf struct buf text = {0};
    /* Each page of staff has an approval of its own. */
    json_object_del(context, "approval");
    buf_str(&text, call->path);
    buf_char(&text, '\0');
    buf_str(&text, caller_of(call)->actor);
    for (size_t i = 0; i < COUNT(parts); i++) {
        buf_char(&text, '\0');
        if (parts[i])
            json_canonical(parts[i], &text);
    }
    return sha256_of(buf_view(&text));
}

static struct str binding_str(const struct search *s)
{
    return (struct str){(const char *)s->binding.b, sizeof s->binding.b};
}

static void write_token(struct search *s)
{
    _cleanup_buf struct buf sealed = {0}, text = {0};
    if (s->more) {
        seal(&api_of(s->call)->cursor_key, binding_str(s),
             (struct str){(const char *)&s->at, sizeof s->at}, &sealed);
        base64url_encode(sealed.p, sealed.n, &text);
    }
    jw_str_member(&s->w, "next_token", buf_view(&text));
}

static int read_token(struct search *s, struct str token, struct err *err)
{
    _cleanup_buf struct buf sealed = {0}, plain = {0};
    if (!base64url_decode(token, &sealed) ||
        unseal(&api_of(s->call)->cursor_key, binding_str(s), buf_view(&sealed), &plain, NULL) ||
        plain.n != sizeof s->at)
        return err_reason(err, LOV_EINVAL, "invalid_cursor",
                          "page.token is not one of this caller and this query");
    memcpy(&s->at, plain.p, plain.n);
    return 0;
}

static int take_page(struct search *s, const json_t *json, struct err *err)
{
    struct page_request page = {.limit = -1};
    int rc = json ? json_take(json, page_fields, COUNT(page_fields), JSON_IGNORE_UNKNOWN, "page",
                              &s->call->arena, &page, err)
                  : 0;
    if (rc)
        return rc;
    s->at = (struct position){0, page.limit < 0 ? LIST_DEFAULT : page.limit};
    if (!page.token.n)
        return 0;
    rc = read_token(s, page.token, err);
    if (rc == 0 && page.limit >= 0 && page.limit != s->at.limit)
        rc = err_reason(err, LOV_EINVAL, "invalid_cursor",
                        "page.limit is not the one that the first page was asked with");
    return rc;
}

/* ---- beginning and end ---- */

static int search_start(struct search *s, enum wanted wanted, struct err *err)
{
    struct search_request request = {0};
    struct http_call *call = s->call;
    int rc = request_body(call, search_fields, COUNT(search_fields), JSON_IGNORE_UNKNOWN, &request,
                          &s->body, err);
    if (rc == 0)
        rc = evaluation_read(call, &request.entities, wanted, &s->ev, err);
    if (rc)
        return rc;
    s->context = request.entities.context;
    s->binding = bind_query(call, &request.entities, wanted);
    s->rules = engine_rules(api_of(call)->engine);
    s->total = -1;
    s->paged = request.page != NULL;
    return take_page(s, request.page, err);
}

static void search_free(struct search *s)
{
    json_decref(s->body);
    rules_unref(s->rules);
    buf_free(&s->results);
}

static int search_refuse(struct search *s, const struct err *err)
{
    search_free(s);
    return answer_problem(s->call, err);
}

/* An empty list because nothing can be decided must not look like one because nobody is permitted.
 */
static void write_unavailable(struct search *s)
{
    struct engine *e = api_of(s->call)->engine;
    struct rules *rules = engine_rules(e);
    struct decision d;
    bool available = decide_available(e, rules, &d);
    rules_unref(rules);
    if (available)
        return;
    jw_object_member(&s->w, "context");
    reason_write(&d, &s->w);
    jw_object_end(&s->w);
}

/* AuthZEN wants the page first; its count is known last, so results are written aside. */
static int search_answer(struct search *s)
{
    s->w = answer_start(s->call, 200);
    jw_object_start(&s->w);
    jw_object_member(&s->w, "page");
    write_token(s);
    jw_int_member(&s->w, "count", s->count);
    if (s->total >= 0)
        jw_int_member(&s->w, "total", s->total);
    jw_object_end(&s->w);
    write_unavailable(s);
    jw_key(&s->w, "results");
    jw_raw(&s->w, STR("["));
    buf_str(s->w.out, buf_view(&s->results));
    buf_char(s->w.out, ']');
    jw_object_end(&s->w);
    search_free(s);
    return 0;
}

static void add_entity(struct search *s, struct str type, struct str id)
{
    struct jw w = {.out = &s->results, .comma = s->results.n > 0};
    jw_object_start(&w);
    jw_str_member(&w, "type", type);
    jw_str_member(&w, "id", id);
    jw_object_end(&w);
    s->count++;
}

static void add_action(struct search *s, struct str name)
{
    struct jw w = {.out = &s->results, .comma = s->results.n > 0};
    jw_object_start(&w);
    jw_str_member(&w, "name", name);
    jw_object_end(&w);
    s->count++;
}

/* ---- subjects and actions: candidates from the policy ---- */

typedef bool candidate(struct search *s, size_t index);

static bool is_permitted(struct search *s)
{
    struct decision d;
    decide(api_of(s->call)->engine, s->rules, &s->ev.question, &d);
    return d.permit;
}

static bool try_recipient(struct search *s, size_t index)
{
    struct str own = caller_of(s->call)->recipient;
    const struct policy_recipient *r = &rules_policy(s->rules)->recipients[index];
    s->ev.question.recipient = r->id;
    if ((own.n && !str_eq(own, r->id)) || !is_permitted(s))
        return false;
    add_entity(s, STR("recipient"), r->id);
    return true;
}

static bool try_purpose(struct search *s, size_t index)
{
    const struct policy_purpose *p = &rules_policy(s->rules)->purposes[index];
    s->ev.question.purpose = p->id;
    if (!is_permitted(s))
        return false;
    add_action(s, p->id);
    return true;
}

static void try_all(struct search *s, candidate *try_one, size_t candidates)
{
    while (s->at.next < (int64_t)candidates && s->count < s->at.limit)
        try_one(s, (size_t)s->at.next++);
    s->more = s->at.next < (int64_t)candidates;
}

int search_subject(struct http_call *call)
{
    struct search s = {.call = call};
    struct err err = {0};
    if (search_start(&s, WANT_SUBJECT, &err))
        return search_refuse(&s, &err);
    if (s.rules && !s.ev.other_subject)
        try_all(&s, try_recipient, rules_policy(s.rules)->recipient_count);
    return search_answer(&s);
}

int search_action(struct http_call *call)
{
    struct search s = {.call = call};
    struct err err = {0};
    if (search_start(&s, WANT_ACTION, &err))
        return search_refuse(&s, &err);
    if (s.rules && !s.ev.other_subject)
        try_all(&s, try_purpose, rules_policy(s.rules)->purpose_count);
    return search_answer(&s);
}

/* ---- resources: the audience ---- */

static int check_record(const struct search *s, const struct audience_query *q, struct err *err)
{
    int rc = 0;
    if (s->ev.record && q->ask.count > 1)
        return err_reason(err, LOV_EINVAL, "invalid_field",
                          "context.also: an audience that is recorded has one condition");
    for (size_t i = 0; rc == 0 && i < q->ask.count && !s->ev.record; i++)
        rc = audience_may_list(s->rules, &q->all[i], err);
    return rc;
}

struct found {
    uint32_t *numbers;
    size_t count;
};

static int find_audience(struct search *s, const struct audience_query *q, struct found *f,
                         struct err *err)
{
    struct audience *a = audience_open(api_of(s->call)->engine, &q->ask);
    size_t limit = (size_t)s->at.limit;
    int64_t next = s->at.next;
    int rc = 0;
    if (s->ev.record && limit > RECORDED_PAGE_MAX)
        limit = RECORDED_PAGE_MAX;
    f->numbers = arena_array(&s->call->arena, limit, sizeof *f->numbers);
    if (q->count)
        rc = audience_count(a, COUNT_PATIENCE_MS, &s->total, err);
    if (rc == 0 && limit)
        audience_find(a, next, limit, FIND_PATIENCE_MS, f->numbers, &f->count, &next);
    audience_close(a);
    s->more = next >= 0;
    s->at.next = next;
    return rc;
}

/* Names in the arena; the empty name for one who was erased meanwhile. */
static int find_names(struct search *s, const struct found *f, struct str **names, struct err *err)
{
    struct engine *e = api_of(s->call)->engine;
    struct arena *arena = &s->call->arena;
    struct uid *cids = arena_array(arena, f->count, sizeof *cids);
    struct identity_span *spans = arena_array(arena, f->count, sizeof *spans);
    struct identity_names *reader = identity_names_new(engine_identity(e), engine_identities(e));
    int rc = 0;
    *names = arena_array(arena, f->count, sizeof **names);
    for (size_t i = 0; rc == 0 && i < f->count; i += IDENTITY_NAMES) {
        _cleanup_buf struct buf text = {0};
        size_t n = f->count - i < IDENTITY_NAMES ? f->count - i : IDENTITY_NAMES;
        for (size_t k = i; k < i + n; k++)
            cids[k] = engine_cid(e, f->numbers[k]);
        rc = identity_names_read(reader, f->numbers + i, cids + i, n, &text, spans + i, err);
        struct str kept = arena_str(arena, buf_view(&text));
        for (size_t k = i; rc == 0 && k < i + n; k++)
            (*names)[k] = (struct str){kept.p + spans[k].offset, spans[k].length};
    }
    identity_names_free(reader);
    return rc;
}

static int answer_names(struct search *s, const struct str *names, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        if (names[i].n)
            add_entity(s, s->ev.question.category, names[i]);
    return search_answer(s);
}

static int answer_recorded(struct http_call *call)
{
    struct pending *p = call->work;
    struct search *s = p->more;
    if (evaluation_repeat(p, answer_recorded))
        return HTTP_LATER;
    struct str *names = arena_array(&call->arena, p->count, sizeof *names);
    size_t count = 0;
    struct err err = {0};
    for (size_t i = 0; i < p->count; i++) {
        const struct engine_write *w = &p->writes[i];
        if (w->job.rc < 0)
            err = w->job.err;
        else if (w->decision.permit)
            names[count++] = w->question.consumer;
    }
    /* A list of which a part is not recorded is not given away. */
    if (err.code)
        err_reason(&err, LOV_EUNAVAILABLE, "unavailable",
                   "the accesses could not be recorded: ask again");
    return err.code ? search_refuse(s, &err) : answer_names(s, names, (int64_t)count);
}

/* The decision of each is taken once more, as what is recorded with it: the consent, the basis. */
static int record_names(struct search *found, const struct str *names, int64_t count)
{
    struct http_call *call = found->call;
    struct search *s = arena_alloc(&call->arena, sizeof *s);
    *s = *found;
    struct pending *p = pending_new(call, NULL, (size_t)count);
    p->more = s;
    p->count = 0;
    for (int64_t i = 0; i < count; i++) {
        struct evaluation ev = s->ev;
        ev.question.consumer = names[i];
        if (!names[i].n)
            continue;
        evaluation_decide(api_of(call), s->rules, &ev);
        if (ev.decision.permit)
            evaluation_record(&ev, &p->writes[p->count++]);
    }
    if (!p->count)
        return search_answer(s);
    s->ev.question.category = arena_str(&call->arena, s->ev.question.category);
    p->body = s->body;
    p->rules = s->rules;
    s->body = NULL;
    s->rules = NULL;
    return pending_submit(p, answer_recorded);
}

/* Lines of everybody instead of a page, where that is what the client prefers. */
static bool wants_stream(const struct http_call *call)
{
    struct str accept = http_header(call, "Accept");
    return http_accept_weight(accept, "application/x-ndjson") >
           http_accept_weight(accept, "application/json");
}

static int check_stream(const struct search *s, struct err *err)
{
    struct decision d;
    if (s->paged)
        return err_reason(err, LOV_EINVAL, "invalid_field",
                          "page: an audience in lines comes without pages");
    if (s->ev.record)
        return err_reason(err, LOV_EINVAL, "invalid_field",
                          "context.record: an audience in lines is not recorded: ask for pages");
    if (!decide_available(api_of(s->call)->engine, s->rules, &d))
        return err_reason(err, LOV_EUNAVAILABLE, "unavailable", "nothing can be decided now");
    return 0;
}

/* Whoever works here and asks for more than a look at the first of them needs a second person. */
static bool needs_approval(const struct search *s, bool stream)
{
    return !caller_of(s->call)->recipient.n &&
           (stream || s->at.next > 0 || s->at.limit > LIST_DEFAULT);
}

static int resource_approved(struct http_call *call);

static int spend_approval(struct search *s, const struct audience_query *query, bool stream)
{
    struct http_call *call = s->call;
    struct err err = {0};
    const struct question *q = &query->all[0];
    struct read_ask *ask = arena_alloc(&call->arena, sizeof *ask);
    struct str approval = arena_str(&call->arena, query->approval);
    if (stream && approval.n && audience_can_stream(call, query, &err))
        return search_refuse(s, &err);
    *ask = (struct read_ask){
        .recipient = arena_str(&call->arena, q->recipient),
        .purpose = arena_str(&call->arena, q->purpose),
        .category = arena_str(&call->arena, q->category),
        .format = STR("ids"),
    };
    search_free(s);
    return read_use(call, approval, ask, resource_approved);
}

static int answer_page(struct search *s, const struct audience_query *query)
{
    struct err err = {0};
    struct found found = {0};
    struct str *names = NULL;
    if (find_audience(s, query, &found, &err) || find_names(s, &found, &names, &err))
        return search_refuse(s, &err);
    if (s->ev.record && found.count)
        return record_names(s, names, (int64_t)found.count);
    return answer_names(s, names, (int64_t)found.count);
}

static int resource(struct http_call *call, bool approved)
{
    struct search s = {.call = call};
    struct err err = {0};
    struct audience_query query;
    bool stream = wants_stream(call);
    if (search_start(&s, WANT_RESOURCE, &err) ||
        audience_query_read(call, s.context, &s.ev.question, &query, &err))
        return search_refuse(&s, &err);
    if (s.ev.other_subject || (!s.rules && !stream))
        return search_answer(&s);
    if ((s.rules && check_record(&s, &query, &err)) || (stream && check_stream(&s, &err)))
        return search_refuse(&s, &err);
    if (!approved && needs_approval(&s, stream))
        return spend_approval(&s, &query, stream);
    if (!stream)
        return answer_page(&s, &query);
    int rc = audience_stream(call, &query);
    search_free(&s);
    return rc;
}

static int resource_approved(struct http_call *call)
{
    const struct pending *p = call->work;
    return p->writes[0].job.rc ? answer_problem(call, &p->writes[0].job.err) : resource(call, true);
}

int search_resource(struct http_call *call)
{
    return resource(call, false);
}
