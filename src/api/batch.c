/* batch.c - GET /v1/records/{category}: the records of everybody for whom a purpose is
 * permitted, as JSON Lines or CSV, in parts.
 *
 * A round takes the next consumers in the order in which they came, records the access to each, in
 * one commit, and when that is durable lets their records leave, so much at a time that the memory
 * of a call is bounded whatever it reads. Nothing is recorded of consumers whose turn does not come
 * because the client has left. Staff read with the approval of a second person (reads.c). */
#include <stdlib.h>
#include <string.h>

#include "api/audience_query.h"

enum {
    ROUND_CONSUMERS = 200,
    PATIENCE_MS = 100,
    PAGE_RECORDS = 100,
    PART_BYTES = 128 << 10,
    TRIES = 4,
    COLUMNS_MAX = 256,
};

struct batch {
    struct http_call *call;
    struct str recipient, purpose, category;
    bool csv;
    struct audience *audience;
    struct str *columns; /* of CSV */
    size_t column_count;
    int policy_version;

    int64_t from;       /* the number that the next round begins at; -1: there is none */
    struct arena arena; /* of the round */
    struct uid cids[ROUND_CONSUMERS];
    struct engine_write writes[ROUND_CONSUMERS], *some[ROUND_CONSUMERS];
    size_t count;
    _Atomic size_t left;
    int tries;

    size_t at; /* the consumer whose records leave */
    struct vault_page page;
};

static http_handler begin_round, after_round, give_part;

static void release(struct http_call *call)
{
    struct batch *a = call->work;
    audience_close(a->audience);
    arena_free(&a->arena);
    free(a);
}

/* ---- a round ---- */

/* Who comes next, but for those who were erased meanwhile. */
static void find_some(struct batch *a)
{
    uint32_t numbers[ROUND_CONSUMERS];
    size_t found = 0;
    const struct engine *e = api_of(a->call)->engine;
    audience_find(a->audience, a->from, ROUND_CONSUMERS, PATIENCE_MS, numbers, &found, &a->from);
    for (size_t i = 0; i < found; i++)
        a->cids[a->count++] = engine_cid(e, numbers[i]);
}

static struct question question_of(const struct batch *a, struct str consumer)
{
    return (struct question){
        .recipient = a->recipient,
        .purpose = a->purpose,
        .category = a->category,
        .consumer = consumer,
        .at = clock_now(),
    };
}

static int make_writes(struct batch *a, struct err *err)
{
    struct api *api = api_of(a->call);
    struct db *db = NULL, *lov = NULL;
    _cleanup_buf struct buf name = {0};
    size_t found = a->count;
    a->count = 0;
    int rc = db_pool_get(engine_identities(api->engine), &db, err);
    if (rc == 0)
        rc = db_pool_get(engine_lov(api->engine), &lov, err);
    for (size_t i = 0; i < found && rc >= 0; i++) {
        buf_clear(&name);
        rc = vault_any(lov, 0, &a->cids[i], a->category, err);
        if (rc == 1)
            rc = identity_name(engine_identity(api->engine), db, &a->cids[i], &name, err);
        if (rc != 1)
            continue;
        struct str consumer = arena_str(&a->arena, buf_view(&name));
        a->writes[a->count++] = (struct engine_write){
            .kind = WRITE_ACCESS,
            .actor = caller_of(a->call)->actor,
            .arena = &a->arena,
            .question = question_of(a, consumer),
            .policy_version = a->policy_version,
            .expires_at = TIME_NONE,
            .given_at = TIME_NONE,
            .ctx = a,
        };
    }
    if (lov)
        db_pool_put(engine_lov(api->engine), lov);
    if (db)
        db_pool_put(engine_identities(api->engine), db);
    return rc < 0 ? rc : 0;
}

static void write_done(struct engine_write *w)
{
    struct batch *a = w->ctx;
    if (atomic_fetch_sub_explicit(&a->left, 1, memory_order_acq_rel) == 1)
        http_resume(a->call);
}

static int submit(struct batch *a, const struct rules *rules, size_t count)
{
    struct engine *e = api_of(a->call)->engine;
    a->call->then = after_round;
    atomic_store_explicit(&a->left, count, memory_order_relaxed);
    for (size_t i = 0; i < count; i++) {
        decide(e, rules, &a->some[i]->question, &a->some[i]->decision);
        a->some[i]->done = write_done;
    }
    /* With the last of them the call may be over. */
    for (size_t i = 0; i < count; i++)
        engine_submit(e, a->some[i]);
    return HTTP_LATER;
}

/* The rules, where they are still those that the answer began under; NULL: it breaks off. */
static struct rules *same_rules(const struct batch *a)
{
    struct rules *rules = engine_rules(api_of(a->call)->engine);
    if (rules && rules_policy(rules)->version == a->policy_version)
        return rules;
    rules_unref(rules);
    return NULL;
}

static int begin_round(struct http_call *call)
{
    struct batch *a = call->work;
    struct err err = {0};
    struct rules *rules = same_rules(a);
    if (!rules)
        return LOV_EUNAVAILABLE;
    arena_free(&a->arena);
    a->count = a->at = 0;
    a->tries = 0;
    a->page = (struct vault_page){.after = -1, .limit = PAGE_RECORDS};
    find_some(a);
    int rc = make_writes(a, &err);
    for (size_t i = 0; i < a->count; i++)
        a->some[i] = &a->writes[i];
    if (rc == 0 && a->count)
        rc = submit(a, rules, a->count);
    else if (rc == 0)
        rc = give_part(call);
    rules_unref(rules);
    return rc;
}

/* Those whose consumer was changed in the very same commit are recorded once more. */
static int after_round(struct http_call *call)
{
    struct batch *a = call->work;
    size_t again = 0;
    for (size_t i = 0; i < a->count; i++) {
        struct engine_write *w = &a->writes[i];
        bool overtaken =
            w->job.rc == LOV_EUNAVAILABLE && strcmp(w->job.err.reason, "unavailable") == 0;
        if (overtaken)
            a->some[again++] = w;
        else if (w->job.rc)
            return w->job.rc;
    }
    if (!again)
        return give_part(call);
    struct rules *rules = same_rules(a);
    int rc = rules && a->tries++ < TRIES ? submit(a, rules, again) : LOV_EUNAVAILABLE;
    rules_unref(rules);
    return rc;
}

/* ---- rows ---- */

static void csv_text(struct str text, struct buf *out)
{
    bool plain = true;
    for (size_t i = 0; i < text.n; i++)
        plain = plain && !strchr(",\"\r\n", text.p[i]);
    if (plain) {
        buf_str(out, text);
        return;
    }
    buf_char(out, '"');
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] == '"')
            buf_char(out, '"');
        buf_char(out, text.p[i]);
    }
    buf_char(out, '"');
}

static void csv_value(const json_t *value, struct buf *out)
{
    _cleanup_buf struct buf text = {0};
    if (json_is_string(value)) {
        csv_text(json_text(value), out);
    } else if (json_is_object(value)) {
        buf_str(&text, json_text(json_object_get(value, "amount")));
        buf_char(&text, ' ');
        buf_str(&text, json_text(json_object_get(value, "currency")));
        csv_text(buf_view(&text), out);
    } else if (value) {
        json_canonical(value, out);
    }
}

static int csv_row(struct batch *a, const struct vault_item *item)
{
    struct buf *out = &a->call->out;
    _cleanup_json json_t *data = NULL;
    if (json_read(item->data, &data, NULL))
        return LOV_ECORRUPT;
    csv_text(item->consumer, out);
    buf_char(out, ',');
    csv_text(item->id, out);
    for (size_t i = 0; i < a->column_count; i++) {
        buf_char(out, ',');
        csv_value(json_object_getn(data, a->columns[i].p, a->columns[i].n), out);
    }
    buf_cstr(out, "\r\n");
    return 0;
}

static int give_row(void *ctx, const struct vault_item *item)
{
    struct batch *a = ctx;
    a->page.after = item->seq;
    if (a->csv)
        return csv_row(a, item);
    struct jw w = {.out = &a->call->out};
    jw_object_start(&w);
    record_item_write(item, &w);
    jw_object_end(&w);
    buf_char(&a->call->out, '\n');
    return 0;
}

/* Records of those who were recorded, until the part is large enough. */
static int give_part(struct http_call *call)
{
    struct batch *a = call->work;
    struct api *api = api_of(call);
    struct err err = {0};
    int rc = 0;
    size_t start = call->out.n;
    while (rc == 0 && a->at < a->count && call->out.n - start < PART_BYTES) {
        const struct engine_write *w = &a->writes[a->at];
        a->page.more = false;
        if (w->decision.permit)
            rc = vault_read(api->vault, w, &a->page, give_row, a, &err);
        if (a->page.more)
            continue;
        a->at++;
        a->page.after = -1;
    }
    if (rc) {
        log_printf(engine_log(api->engine), LOG_ERROR, "an answer broke off: %s", err.text);
        return rc;
    }
    bool over = a->at == a->count && a->from < 0;
    call->then = over ? NULL : a->at < a->count ? give_part : begin_round;
    return over ? 0 : HTTP_MORE;
}

/* ---- the beginning ---- */

static void take_columns(struct batch *a, const struct policy_view_part *part,
                         const struct policy_category *category)
{
    struct arena *arena = &a->call->arena;
    a->columns = arena_array(arena, COLUMNS_MAX, sizeof *a->columns);
    for (size_t i = 0; part->whole && i < category->field_count && i < COLUMNS_MAX; i++)
        a->columns[a->column_count++] = arena_str(arena, category->fields[i].name);
    for (size_t i = 0; i < part->count && a->column_count < COLUMNS_MAX; i++)
        a->columns[a->column_count++] = arena_str(arena, part->fields[i].name);
    buf_cstr(&a->call->out, "consumer,id");
    for (size_t i = 0; i < a->column_count; i++) {
        buf_char(&a->call->out, ',');
        buf_str(&a->call->out, a->columns[i]);
    }
    buf_cstr(&a->call->out, "\r\n");
}

static int begin_answer(struct http_call *call, const struct rules *rules, const struct question *q,
                        bool csv)
{
    const struct policy *p = rules_policy(rules);
    const struct policy_category *category = policy_category(p, q->category);
    const struct policy_activity *activity =
        policy_activity(p, policy_recipient(p, q->recipient), policy_purpose(p, q->purpose));
    struct batch *a = mem_zero(sizeof *a);
    call->work = a;
    call->release = release;
    a->call = call;
    a->csv = csv;
    a->recipient = arena_str(&call->arena, q->recipient);
    a->purpose = arena_str(&call->arena, q->purpose);
    a->category = q->category;
    a->policy_version = p->version;
    answer_start(call, 200);
    call->content_type = csv ? "text/csv; charset=utf-8" : "application/jsonl";
    answer_file_name(call, a->category, csv ? "csv" : "jsonl");
    if (csv)
        take_columns(a, policy_view_of(activity, category), category);
    struct question all = question_of(a, (struct str){0});
    a->audience =
        audience_open(api_of(call)->engine, &(struct audience_ask){.all = &all, .count = 1});
    call->then = begin_round;
    return HTTP_MORE;
}

struct refusal {
    int status;
    const char *reason, *text;
};

static int answer_refusal(struct http_call *call)
{
    struct pending *p = call->work;
    const struct refusal *r = p->more;
    return http_problem_status(call, r->status, r->reason, r->text);
}

/* Recorded like any use that was not permitted, of nobody. */
static int refuse(struct http_call *call, const struct question *q, const struct decision *d,
                  bool sums, int policy_version)
{
    struct pending *p = pending_new(call, NULL, 1);
    struct refusal *r = arena_alloc(&call->arena, sizeof *r);
    struct engine_write *w = &p->writes[0];
    *r = (struct refusal){d->reason == REASON_UNAVAILABLE ? 503 : 403,
                          sums ? "aggregate_only" : decision_reason_name(d->reason),
                          sums ? "this activity sees sums only: ask POST /v1/aggregates"
                               : decision_reason_text(d->reason)};
    w->kind = WRITE_ACCESS;
    w->question = *q;
    w->decision = *d;
    w->policy_version = policy_version;
    if (sums)
        w->decision.reason = REASON_NOT_IN_POLICY;
    p->more = r;
    return pending_submit(p, answer_refusal);
}

bool audience_permitted(struct http_call *call, const struct question *q, struct rules **rules,
                        int *answer)
{
    struct decision d;
    struct engine *e = api_of(call)->engine;
    *rules = engine_rules(e);
    /* Of nobody: what is left to refuse is who it is about. */
    decide(e, *rules, q, &d);
    const struct policy *p = *rules ? rules_policy(*rules) : NULL;
    bool allowed = d.reason == REASON_UNKNOWN_CONSUMER;
    bool sums = allowed &&
                policy_activity(p, policy_recipient(p, q->recipient), policy_purpose(p, q->purpose))
                        ->view == VIEW_AGGREGATE;
    if (allowed && !sums)
        return true;
    counters_add(api_of(call)->counters, d.reason);
    *answer = refuse(call, q, &d, sums, p ? p->version : 0);
    rules_unref(*rules);
    *rules = NULL;
    return false;
}

/* A recipient is bound to its own activities, and brings no approval. */
static int take_query(struct http_call *call, struct question *q, struct str *format,
                      struct str *approval, struct err *err)
{
    static const char *const of_recipients[] = {"purpose", "recipient", "format", NULL};
    static const char *const of_staff[] = {"purpose", "recipient", "format", "approval", NULL};
    struct str purpose = {0};
    int rc = http_query_check(call, caller_of(call)->recipient.n ? of_recipients : of_staff, err);
    if (rc)
        return rc;
    *format = STR("jsonl");
    http_query(call, "purpose", &purpose);
    http_query(call, "format", format);
    http_query(call, "approval", approval);
    if (!str_is(*format, "csv") && !str_is(*format, "jsonl"))
        return err_reason(err, LOV_EINVAL, "invalid_query", "format is jsonl or csv");
    rc = access_question(call, purpose, q, err);
    q->category = call->param[0];
    q->consumer = STR("");
    return rc;
}

static struct question question_of_ask(const struct read_ask *ask)
{
    return (struct question){
        .recipient = ask->recipient,
        .purpose = ask->purpose,
        .category = ask->category,
        .consumer = STR(""),
        .at = clock_now(),
    };
}

/* Could everybody be named now? */
static int check_ids(struct http_call *call, const struct rules *rules, const struct question *q,
                     struct audience_query *query, struct err *err)
{
    *query = (struct audience_query){.ask = {.all = query->all, .count = 1}};
    query->all[0] = *q;
    int rc = audience_may_list(rules, q, err);
    return rc ? rc : audience_can_stream(call, query, err);
}

static int begin_ids(struct http_call *call, const struct rules *rules, const struct question *q)
{
    struct err err = {0};
    struct audience_query query;
    if (check_ids(call, rules, q, &query, &err))
        return answer_problem(call, &err);
    return audience_stream(call, &query);
}

/* Of the rules that are in force by now. */
static int begin_approved(struct http_call *call)
{
    struct pending *p = call->work;
    const struct read_ask *ask = p->more;
    struct rules *rules;
    int rc;
    if (p->writes[0].job.rc)
        return answer_problem(call, &p->writes[0].job.err);
    struct question q = question_of_ask(ask);
    if (!audience_permitted(call, &q, &rules, &rc))
        return rc;
    rc = str_is(ask->format, "ids") ? begin_ids(call, rules, &q)
                                    : begin_answer(call, rules, &q, str_is(ask->format, "csv"));
    rules_unref(rules);
    return rc;
}

/* What cannot be answered now spends no approval. */
int reads_result(struct http_call *call)
{
    struct err err = {0};
    struct audience_query query;
    struct rules *rules;
    struct read_ask *ask = arena_alloc(&call->arena, sizeof *ask);
    int rc = read_ask_find(call, call->param[0], ask, &err);
    if (rc)
        return answer_problem(call, &err);
    struct question q = question_of_ask(ask);
    if (!audience_permitted(call, &q, &rules, &rc))
        return rc;
    if (str_is(ask->format, "ids"))
        rc = check_ids(call, rules, &q, &query, &err);
    rules_unref(rules);
    return rc ? answer_problem(call, &err) : read_use(call, call->param[0], ask, begin_approved);
}

static int begin_for_staff(struct http_call *call, const struct question *q, struct str format,
                           struct str approval)
{
    struct read_ask *ask = arena_alloc(&call->arena, sizeof *ask);
    *ask = (struct read_ask){
        .recipient = arena_str(&call->arena, q->recipient),
        .purpose = arena_str(&call->arena, q->purpose),
        .category = arena_str(&call->arena, q->category),
        .format = arena_str(&call->arena, format),
    };
    return read_use(call, approval, ask, begin_approved);
}

int audience_read(struct http_call *call)
{
    struct err err = {0};
    struct question q = {0};
    struct str format, approval = {0};
    struct rules *rules;
    int rc;
    if (take_query(call, &q, &format, &approval, &err))
        return answer_problem(call, &err);
    if (!audience_permitted(call, &q, &rules, &rc))
        return rc;
    rc = caller_of(call)->recipient.n ? begin_answer(call, rules, &q, str_is(format, "csv"))
                                      : begin_for_staff(call, &q, format, approval);
    rules_unref(rules);
    return rc;
}
