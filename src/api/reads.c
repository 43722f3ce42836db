/* reads.c - /v1/reads: a read of many that one member of staff proposes, another one approves, and
 * who proposed it then makes, once.
 *
 * All that decides is looked at in the writer's thread, one write after the other: of two that come
 * at once to decide a proposal, or to spend an approval, the second finds what the first has done.
 */
#include <string.h>

#include "api/audience_query.h"
#include "base/clock.h"

enum { DAYS_OPEN = 7, WHY_MAX = 500, COUNT_PATIENCE_MS = 500 };

struct read_proposal {
    uint32_t shard;
    int64_t seq, proposed_at, expires_at;
    struct str actor, state, why;
    struct read_ask ask;
    struct sha256 hash;
    int64_t people; /* -1: not known */
    struct str decided_by;
    int64_t decided_at, used_at; /* TIME_NONE: not yet */
};

/* ---- reading ---- */

#define READ_COLUMNS                                                                               \
    "shard, seq, actor, proposed_at, expires_at, recipient, purpose, category, format, why, "      \
    "hash, state, decided_by, decided_at, used_at, people"

static int take_row(struct db_stmt *s, struct arena *arena, struct read_proposal *out,
                    struct err *err)
{
    struct str hash = db_blob(s, 10);
    *out = (struct read_proposal){
        .shard = (uint32_t)db_int(s, 0),
        .seq = db_int(s, 1),
        .actor = arena_str(arena, db_text(s, 2)),
        .proposed_at = db_int(s, 3),
        .expires_at = db_int(s, 4),
        .ask = {.recipient = arena_str(arena, db_text(s, 5)),
                .purpose = arena_str(arena, db_text(s, 6)),
                .category = arena_str(arena, db_text(s, 7)),
                .format = arena_str(arena, db_text(s, 8))},
        .why = arena_str(arena, db_text(s, 9)),
        .state = arena_str(arena, db_text(s, 11)),
        .decided_by = db_is_null(s, 12) ? (struct str){0} : arena_str(arena, db_text(s, 12)),
        .decided_at = db_is_null(s, 13) ? TIME_NONE : db_int(s, 13),
        .used_at = db_is_null(s, 14) ? TIME_NONE : db_int(s, 14),
        .people = db_is_null(s, 15) ? -1 : db_int(s, 15),
    };
    if (hash.n != sizeof out->hash.b)
        return err_set(err, LOV_ECORRUPT, "a proposed read has a hash of a wrong size");
    memcpy(out->hash.b, hash.p, hash.n);
    return 0;
}

static int find(struct db *db, uint32_t shard, int64_t seq, struct arena *arena,
                struct read_proposal *out, struct err *err)
{
    static const char sql[] =
        "select " READ_COLUMNS " from read_proposal where shard = $1 and seq = $2";
    struct db_stmt *s = db_use(db, sql);
    db_bind_int(s, 1, shard);
    db_bind_int(s, 2, seq);
    int rc = db_step(s, err);
    if (rc < 0)
        return rc;
    if (rc == 0)
        return err_reason(err, LOV_ENOTFOUND, "unknown_proposal", "there is no such proposal");
    rc = take_row(s, arena, out, err);
    db_done(s);
    return rc;
}

/* One that waits, for a decision or to be used, is over when its time is. */
static const char *state_of(const struct read_proposal *r, int64_t now)
{
    bool waits = str_is(r->state, "open") || str_is(r->state, "approved");
    return waits && now >= r->expires_at ? "expired" : r->state.p;
}

static void ask_write(const struct read_ask *ask, struct jw *w)
{
    jw_str_member(w, "recipient", ask->recipient);
    jw_str_member(w, "purpose", ask->purpose);
    jw_str_member(w, "category", ask->category);
    jw_str_member(w, "format", ask->format);
}

static void people_write(const struct read_proposal *r, struct jw *w)
{
    jw_key(w, "people");
    if (r->people < 0)
        jw_raw(w, STR("null"));
    else
        jw_int(w, r->people);
}

static void read_write(struct http_call *call, const struct read_proposal *r, struct jw *w)
{
    _cleanup_buf struct buf id = {0};
    consent_id_format(api_of(call)->engine, r->shard, r->seq, &id);
    jw_object_start(w);
    jw_str_member(w, "id", buf_view(&id));
    jw_cstr_member(w, "state", state_of(r, clock_now()));
    ask_write(&r->ask, w);
    jw_str_member(w, "why", r->why);
    people_write(r, w);
    jw_hex_member(w, "hash", r->hash.b, sizeof r->hash.b);
    jw_str_member(w, "proposed_by", r->actor);
    jw_bool_member(w, "own", second_is_same(r->actor, caller_of(call)->actor));
    jw_time_member(w, "proposed_at", r->proposed_at);
    jw_time_member(w, "expires_at", r->expires_at);
    jw_optional_member(w, "decided_by", r->decided_by);
    jw_time_member(w, "decided_at", r->decided_at);
    jw_time_member(w, "used_at", r->used_at);
    jw_object_end(w);
}

static int parse_id(struct http_call *call, struct str id, uint32_t *shard, int64_t *seq,
                    struct err *err)
{
    if (consent_id_parse(api_of(call)->engine, id, shard, seq))
        return 0;
    return err_reason(err, LOV_ENOTFOUND, "unknown_proposal", "there is no such proposal");
}

static int staff_only(const struct http_call *call, struct err *err)
{
    if (!caller_of(call)->recipient.n)
        return 0;
    return err_reason(err, LOV_EFORBIDDEN, "forbidden",
                      "a recipient reads its own activities without an approval");
}

static int get(struct http_call *call, struct str id, struct read_proposal *out, struct err *err)
{
    struct engine *e = api_of(call)->engine;
    uint32_t shard;
    int64_t seq;
    struct db *db;
    int rc = parse_id(call, id, &shard, &seq, err);
    if (rc == 0)
        rc = db_pool_get(engine_lov(e), &db, err);
    if (rc)
        return rc;
    rc = find(db, shard, seq, &call->arena, out, err);
    db_pool_put(engine_lov(e), db);
    return rc;
}

int reads_get(struct http_call *call)
{
    struct err err = {0};
    struct read_proposal r = {0};
    if (get(call, call->param[0], &r, &err))
        return answer_problem(call, &err);
    struct jw w = answer_start(call, 200);
    read_write(call, &r, &w);
    return 0;
}

static int list_row(struct http_call *call, struct db_stmt *s, struct jw *w, uint32_t *shard,
                    int64_t *seq, struct err *err)
{
    struct read_proposal r;
    int rc = take_row(s, &call->arena, &r, err);
    if (rc)
        return rc;
    read_write(call, &r, w);
    *shard = r.shard;
    *seq = r.seq;
    return 0;
}

int reads_list(struct http_call *call)
{
    static const char sql[] = "select " READ_COLUMNS " from read_proposal "
                              "where seq < $1 order by seq desc limit $2";
    return second_list(call, sql, list_row);
}

/* ---- what all writes share ---- */

struct sha256 read_hash(const struct read_ask *ask, struct str why)
{
    _cleanup_buf struct buf text = {0};
    struct jw w = {.out = &text};
    jw_object_start(&w);
    ask_write(ask, &w);
    jw_str_member(&w, "why", why);
    jw_object_end(&w);
    return sha256_of(buf_view(&text));
}

/* What is asked for and why is bound by the hash; why is in no event as it was written. */
static int append(struct engine_write *w, struct write_scope *scope, const char *kind,
                  const struct read_proposal *r, struct err *err)
{
    _cleanup_buf struct buf body = {0};
    struct jw j = {.out = &body};
    jw_object_start(&j);
    if (r->seq >= 0)
        jw_int_member(&j, "proposal", r->seq);
    ask_write(&r->ask, &j);
    people_write(r, &j);
    jw_hex_member(&j, "hash", r->hash.b, sizeof r->hash.b);
    jw_time_member(&j, "expires_at", r->expires_at);
    jw_time_member(&j, "recorded_at", scope->now);
    jw_object_end(&j);
    return engine_append(scope, kind, (struct str){0}, buf_view(&body), &w->out_seq, err);
}

/* As it is now, in the state that the write takes it from. The stored row must be what was
 * proposed. */
static int find_in(struct write_scope *scope, const char *state, struct read_proposal *r,
                   struct err *err)
{
    int rc = find(scope->lov, r->shard, r->seq, scope->arena, r, err);
    if (rc)
        return rc;
    struct sha256 hash = read_hash(&r->ask, r->why);
    if (memcmp(hash.b, r->hash.b, sizeof hash.b) != 0)
        return err_set(err, LOV_ECORRUPT, "a proposed read is not what was proposed");
    const char *now = state_of(r, scope->now);
    if (strcmp(now, state) == 0)
        return 0;
    return err_reason(err, LOV_ECONFLICT,
                      strcmp(now, "open") == 0 ? "not_approved" : "proposal_over",
                      "the proposed read is %s", now);
}

/* ---- proposing ---- */

struct read_request {
    struct str recipient, purpose, category, format, why;
};
#define MEMBER(name, kind, required, min, max)                                                     \
    {                                                                                              \
#name, kind, offsetof(struct read_request, name), required, min, max                       \
    }
static const struct json_field read_fields[] = {
    MEMBER(recipient, JSON_K_NAME, true, 0, 0),   MEMBER(purpose, JSON_K_NAME, true, 0, 0),
    MEMBER(category, JSON_K_NAME, true, 0, 0),    MEMBER(format, JSON_K_STRING, false, 1, 8),
    MEMBER(why, JSON_K_STRING, true, 1, WHY_MAX),
};
enum { READ_FIELDS = sizeof read_fields / sizeof *read_fields };

static int write_proposal(struct engine_write *w, struct write_scope *scope, struct err *err)
{
    static const char sql[] =
        "insert into read_proposal (shard, seq, actor, proposed_at, expires_at, recipient, "
        "purpose, category, format, why, hash, state, people) "
        "values (0, $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 'open', $11)";
    struct read_proposal *r = ((struct pending *)w->ctx)->more;
    r->proposed_at = scope->now;
    r->expires_at = scope->now + DAYS_OPEN * (int64_t)DAY_MS;
    int rc = append(w, scope, "read.propose", r, err);
    if (rc)
        return rc;
    struct db_stmt *s = db_use(scope->lov, sql);
    db_bind_int(s, 1, w->out_seq);
    db_bind_text(s, 2, w->actor);
    db_bind_int(s, 3, r->proposed_at);
    db_bind_int(s, 4, r->expires_at);
    db_bind_text(s, 5, r->ask.recipient);
    db_bind_text(s, 6, r->ask.purpose);
    db_bind_text(s, 7, r->ask.category);
    db_bind_text(s, 8, r->ask.format);
    db_bind_text(s, 9, r->why);
    db_bind_blob(s, 10, (struct str){(const char *)r->hash.b, sizeof r->hash.b});
    if (r->people < 0)
        db_bind_null(s, 11);
    else
        db_bind_int(s, 11, r->people);
    return db_run(s, err);
}

static int answer_proposed(struct http_call *call)
{
    struct pending *p = call->work;
    const struct engine_write *w = &p->writes[0];
    _cleanup_buf struct buf id = {0};
    if (w->job.rc)
        return answer_problem(call, &w->job.err);
    consent_id_format(api_of(call)->engine, 0, w->out_seq, &id);
    call->param[0] = arena_str(&call->arena, buf_view(&id));
    reads_get(call);
    if (call->status == 200)
        call->status = 201;
    http_answer_header(call, "Location",
                       arena_printf(&call->arena, "/v1/reads/%.*s", STR_ARG(call->param[0])));
    return 0;
}

static int take_proposal(struct http_call *call, struct read_proposal *r, struct err *err)
{
    struct read_request in = {.format = STR("jsonl")};
    struct arena *arena = &call->arena;
    _cleanup_json json_t *body = NULL;
    int rc = staff_only(call, err);
    if (rc == 0)
        rc = request_body(call, read_fields, READ_FIELDS, JSON_REFUSE_UNKNOWN, &in, &body, err);
    if (rc)
        return rc;
    if (!str_is(in.format, "csv") && !str_is(in.format, "jsonl") && !str_is(in.format, "ids"))
        return err_reason(err, LOV_EINVAL, "invalid_field", "format is jsonl, csv or ids");
    *r = (struct read_proposal){
        .seq = -1,
        .ask = {.recipient = arena_str(arena, in.recipient),
                .purpose = arena_str(arena, in.purpose),
                .category = arena_str(arena, in.category),
                .format = arena_str(arena, in.format)},
        .why = arena_str(arena, in.why),
    };
    r->hash = read_hash(&r->ask, r->why);
    return 0;
}

/* For how many it is permitted now; -1 when that takes too long. */
static int64_t count_people(struct engine *e, const struct question *q)
{
    struct err err = {0};
    int64_t count = -1;
    struct audience *a = audience_open(e, &(struct audience_ask){.all = q, .count = 1});
    int rc = audience_count(a, COUNT_PATIENCE_MS, &count, &err);
    audience_close(a);
    return rc ? -1 : count;
}

/* What the policy permits of nobody is refused at once, and recorded as such a read is. */
int reads_create(struct http_call *call)
{
    struct err err = {0};
    struct read_proposal *r = arena_alloc(&call->arena, sizeof *r);
    struct rules *rules;
    int rc = take_proposal(call, r, &err);
    if (rc)
        return answer_problem(call, &err);
    struct question q = {
        .recipient = r->ask.recipient,
        .purpose = r->ask.purpose,
        .category = r->ask.category,
        .consumer = STR(""),
        .at = clock_now(),
    };
    if (!audience_permitted(call, &q, &rules, &rc))
        return rc;
    rc = str_is(r->ask.format, "ids") ? audience_may_list(rules, &q, &err) : 0;
    rules_unref(rules);
    if (rc)
        return answer_problem(call, &err);
    r->people = count_people(api_of(call)->engine, &q);
    struct pending *p = pending_new(call, NULL, 1);
    p->more = r;
    p->writes[0].kind = WRITE_OTHER;
    p->writes[0].other = write_proposal;
    return pending_submit(p, answer_proposed);
}

/* ---- deciding ---- */

struct deciding {
    struct read_proposal read;
    struct sha256 seen;
    bool approve;
};

static int write_decision(struct engine_write *w, struct write_scope *scope, struct err *err)
{
    static const char sql[] =
        "update read_proposal set state = $3, decided_by = $4, decided_at = $5 "
        "where shard = $1 and seq = $2";
    struct deciding *d = ((struct pending *)w->ctx)->more;
    int rc = find_in(scope, "open", &d->read, err);
    if (rc == 0 && d->approve)
        rc = second_person(d->read.actor, w->actor, err);
    if (rc == 0 && d->approve && memcmp(d->seen.b, d->read.hash.b, sizeof d->seen.b) != 0)
        rc = second_differs(err);
    if (rc == 0)
        rc = append(w, scope, d->approve ? "read.approve" : "read.reject", &d->read, err);
    if (rc)
        return rc;
    struct db_stmt *s = db_use(scope->lov, sql);
    db_bind_int(s, 1, d->read.shard);
    db_bind_int(s, 2, d->read.seq);
    db_bind_text(s, 3, d->approve ? STR("approved") : STR("rejected"));
    db_bind_text(s, 4, w->actor);
    db_bind_int(s, 5, scope->now);
    return db_run(s, err);
}

static int answer_decided(struct http_call *call)
{
    struct pending *p = call->work;
    const struct engine_write *w = &p->writes[0];
    return w->job.rc ? answer_problem(call, &w->job.err) : reads_get(call);
}

static int decide_it(struct http_call *call, bool approve)
{
    struct err err = {0};
    char nothing;
    _cleanup_json json_t *body = NULL;
    struct deciding *d = arena_alloc(&call->arena, sizeof *d);
    *d = (struct deciding){.approve = approve};
    int rc = parse_id(call, call->param[0], &d->read.shard, &d->read.seq, &err);
    if (rc == 0 && approve)
        rc = eyes_approve(call, &err);
    if (rc == 0 && approve)
        rc = second_hash(call, &d->seen, &err);
    else if (rc == 0)
        rc = request_body(call, NULL, 0, JSON_REFUSE_UNKNOWN, &nothing, &body, &err);
    if (rc)
        return answer_problem(call, &err);
    struct pending *p = pending_new(call, NULL, 1);
    p->more = d;
    p->writes[0].kind = WRITE_OTHER;
    p->writes[0].other = write_decision;
    return pending_submit(p, answer_decided);
}

int reads_approve(struct http_call *call)
{
    return decide_it(call, true);
}

int reads_reject(struct http_call *call)
{
    return decide_it(call, false);
}

/* ---- using ---- */

int read_ask_find(struct http_call *call, struct str id, struct read_ask *out, struct err *err)
{
    struct read_proposal r;
    int rc = staff_only(call, err);
    if (rc == 0)
        rc = get(call, id, &r, err);
    if (rc == 0)
        *out = r.ask;
    return rc;
}

static bool same_ask(const struct read_ask *a, const struct read_ask *b)
{
    return str_eq(a->recipient, b->recipient) && str_eq(a->purpose, b->purpose) &&
           str_eq(a->category, b->category) && str_eq(a->format, b->format);
}

/* Of who proposed it, since why is theirs; whoever approved it may propose a read as well. */
static int check_use(const struct engine_write *w, const struct read_ask *ask,
                     const struct read_proposal *r, struct err *err)
{
    if (!second_is_same(r->actor, w->actor))
        return err_reason(err, LOV_EFORBIDDEN, "approval_of_another",
                          "the approval is for who proposed the read");
    if (!same_ask(ask, &r->ask))
        return err_reason(err, LOV_ECONFLICT, "approval_differs",
                          "another read was approved than this one");
    return 0;
}

static int write_use(struct engine_write *w, struct write_scope *scope, struct err *err)
{
    static const char sql[] = "update read_proposal set state = 'used', used_at = $3 "
                              "where shard = $1 and seq = $2";
    struct read_proposal r = *(const struct read_proposal *)w->input;
    const struct read_ask *ask = ((struct pending *)w->ctx)->more;
    int rc = find_in(scope, "approved", &r, err);
    if (rc == 0)
        rc = check_use(w, ask, &r, err);
    if (rc == 0)
        rc = append(w, scope, "read.use", &r, err);
    if (rc)
        return rc;
    struct db_stmt *s = db_use(scope->lov, sql);
    db_bind_int(s, 1, r.shard);
    db_bind_int(s, 2, r.seq);
    db_bind_int(s, 3, scope->now);
    return db_run(s, err);
}

int read_use(struct http_call *call, struct str approval, const struct read_ask *ask,
             http_handler *then)
{
    struct err err = {0};
    struct read_proposal *r = arena_alloc(&call->arena, sizeof *r);
    int rc = 0;
    *r = (struct read_proposal){0};
    if (!approval.n)
        rc = err_reason(&err, LOV_EFORBIDDEN, "approval_required",
                        "staff reads of many with the approval of a read that POST /v1/reads "
                        "proposes and somebody else approves");
    if (rc == 0)
        rc = parse_id(call, approval, &r->shard, &r->seq, &err);
    if (rc)
        return answer_problem(call, &err);
    struct pending *p = pending_new(call, NULL, 1);
    p->more = (void *)ask;
    p->writes[0].kind = WRITE_OTHER;
    p->writes[0].other = write_use;
    p->writes[0].input = r;
    return pending_submit(p, then);
}
