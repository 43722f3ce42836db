/* proposals.c - /v1/policy/proposals: a policy that one person proposes and another one approves.
 *
 * Approving names the hash of the files that were looked at (second.c), and holds only while the
 * policy is in force on top of which they were proposed. */
#include <string.h>

#include "api/policy_json.h"
#include "api/private.h"
#include "base/clock.h"

enum { DAYS_OPEN = 14 };

struct proposal {
    uint32_t shard;
    int64_t seq, proposed_at, expires_at, base_version;
    struct str actor, state, bundle; /* bundle: where it was asked for */
    struct sha256 hash;
    struct str decided_by;
    int64_t decided_at, version; /* TIME_NONE, 0: not decided, not applied */
};

/* ---- reading ---- */

#define PROPOSAL_COLUMNS                                                                           \
    "shard, seq, actor, proposed_at, expires_at, base_version, hash, state, decided_by, "          \
    "decided_at, version"
enum { BUNDLE_COLUMN = 11 };

static int take_row(struct db_stmt *s, struct arena *arena, struct proposal *out, struct err *err)
{
    struct str hash = db_blob(s, 6);
    *out = (struct proposal){
        .shard = (uint32_t)db_int(s, 0),
        .seq = db_int(s, 1),
        .actor = arena_str(arena, db_text(s, 2)),
        .proposed_at = db_int(s, 3),
        .expires_at = db_int(s, 4),
        .base_version = db_int(s, 5),
        .state = arena_str(arena, db_text(s, 7)),
        .decided_by = db_is_null(s, 8) ? (struct str){0} : arena_str(arena, db_text(s, 8)),
        .decided_at = db_is_null(s, 9) ? TIME_NONE : db_int(s, 9),
        .version = db_is_null(s, 10) ? 0 : db_int(s, 10),
    };
    if (hash.n != sizeof out->hash.b)
        return err_set(err, LOV_ECORRUPT, "a proposal has a hash of a wrong size");
    memcpy(out->hash.b, hash.p, hash.n);
    return 0;
}

static int find(struct db *db, uint32_t shard, int64_t seq, struct arena *arena,
                struct proposal *out, struct err *err)
{
    static const char sql[] = "select " PROPOSAL_COLUMNS ", bundle from policy_proposal "
                              "where shard = $1 and seq = $2";
    struct db_stmt *s = db_use(db, sql);
    db_bind_int(s, 1, shard);
    db_bind_int(s, 2, seq);
    int rc = db_step(s, err);
    if (rc != 1)
        return rc;
    rc = take_row(s, arena, out, err);
    out->bundle = arena_str(arena, db_text(s, BUNDLE_COLUMN));
    db_done(s);
    return rc ? rc : 1;
}

static int unknown(struct err *err)
{
    return err_reason(err, LOV_ENOTFOUND, "unknown_proposal", "there is no such proposal");
}

static int load(struct http_call *call, struct proposal *out, struct err *err)
{
    uint32_t shard;
    int64_t seq;
    struct engine *e = api_of(call)->engine;
    struct db *db;
    if (!consent_id_parse(e, call->param[0], &shard, &seq))
        return unknown(err);
    int rc = db_pool_get(engine_lov(e), &db, err);
    if (rc)
        return rc;
    rc = find(db, shard, seq, &call->arena, out, err);
    db_pool_put(engine_lov(e), db);
    return rc == 1 ? 0 : rc < 0 ? rc : unknown(err);
}

/* As it stands now: one that nobody decided is over when its time is, or another policy came. */
static const char *state_of(const struct proposal *p, int version_in_force, int64_t now)
{
    if (!str_is(p->state, "open"))
        return p->state.p;
    if (p->base_version != version_in_force)
        return "overtaken";
    return now >= p->expires_at ? "expired" : "open";
}

static void proposal_write(struct http_call *call, const struct proposal *p, struct jw *w)
{
    struct engine *e = api_of(call)->engine;
    _cleanup_buf struct buf id = {0};
    consent_id_format(e, p->shard, p->seq, &id);
    jw_str_member(w, "id", buf_view(&id));
    jw_cstr_member(w, "state", state_of(p, engine_counts(e).policy_version, clock_now()));
    jw_str_member(w, "proposed_by", p->actor);
    jw_bool_member(w, "own", second_is_same(p->actor, caller_of(call)->actor));
    jw_time_member(w, "proposed_at", p->proposed_at);
    jw_time_member(w, "expires_at", p->expires_at);
    jw_int_member(w, "base_version", p->base_version);
    jw_hex_member(w, "hash", p->hash.b, sizeof p->hash.b);
    jw_optional_member(w, "decided_by", p->decided_by);
    jw_time_member(w, "decided_at", p->decided_at);
    jw_key(w, "version");
    if (p->version)
        jw_int(w, p->version);
    else
        jw_null(w);
}

static int candidate_of(struct http_call *call, const struct proposal *p, struct candidate *c,
                        struct err *err)
{
    c->as_of = clock_now();
    int rc = policy_bundle_from_json(p->bundle, &c->bundle, err);
    return rc ? rc : candidate_compile(call, c, err);
}

int proposals_get(struct http_call *call)
{
    struct err err = {0};
    struct proposal p = {0};
    struct candidate c = {0};
    int rc = load(call, &p, &err);
    if (rc)
        return answer_problem(call, &err);
    bool open =
        strcmp(state_of(&p, engine_counts(api_of(call)->engine).policy_version, clock_now()),
               "open") == 0;
    if (open)
        rc = candidate_of(call, &p, &c, &err);
    if (rc && !c.findings.errors) {
        candidate_free(&c);
        return answer_problem(call, &err);
    }
    struct jw w = answer_start(call, 200);
    jw_object_start(&w);
    proposal_write(call, &p, &w);
    findings_write(&c.findings, &w);
    if (open && rc == 0) {
        candidate_changes(call, &c, &w);
    } else {
        jw_array_member(&w, "changes");
        jw_array_end(&w);
    }
    jw_object_end(&w);
    candidate_free(&c);
    return 0;
}

static int list_row(struct http_call *call, struct db_stmt *s, struct jw *w, uint32_t *shard,
                    int64_t *seq, struct err *err)
{
    struct proposal p;
    int rc = take_row(s, &call->arena, &p, err);
    if (rc)
        return rc;
    jw_object_start(w);
    proposal_write(call, &p, w);
    jw_object_end(w);
    *shard = p.shard;
    *seq = p.seq;
    return 0;
}

int proposals_list(struct http_call *call)
{
    static const char sql[] = "select " PROPOSAL_COLUMNS " from policy_proposal "
                              "where seq < $1 order by seq desc limit $2";
    return second_list(call, sql, list_row);
}

/* ---- proposing ---- */

static int append_proposal(struct engine_write *w, struct write_scope *scope,
                           const struct proposal *p, struct err *err)
{
    _cleanup_buf struct buf body = {0};
    struct jw j = {.out = &body};
    jw_object_start(&j);
    jw_hex_member(&j, "hash", p->hash.b, sizeof p->hash.b);
    jw_int_member(&j, "base_version", p->base_version);
    jw_time_member(&j, "expires_at", p->expires_at);
    jw_time_member(&j, "recorded_at", p->proposed_at);
    jw_object_end(&j);
    return engine_append(scope, "policy.propose", (struct str){0}, buf_view(&body), &w->out_seq,
                         err);
}

static int write_proposal(struct engine_write *w, struct write_scope *scope, struct err *err)
{
    static const char sql[] =
        "insert into policy_proposal (shard, seq, actor, proposed_at, expires_at, base_version, "
        "hash, bundle, state) values (0, $1, $2, $3, $4, $5, $6, $7, 'open')";
    struct proposal *p = ((struct pending *)w->ctx)->more;
    p->base_version = scope->policy ? scope->policy->version : 0;
    p->proposed_at = scope->now;
    p->expires_at = scope->now + DAYS_OPEN * (int64_t)DAY_MS;
    int rc = append_proposal(w, scope, p, err);
    if (rc)
        return rc;
    struct db_stmt *s = db_use(scope->lov, sql);
    db_bind_int(s, 1, w->out_seq);
    db_bind_text(s, 2, w->actor);
    db_bind_int(s, 3, p->proposed_at);
    db_bind_int(s, 4, p->expires_at);
    db_bind_int(s, 5, p->base_version);
    db_bind_blob(s, 6, (struct str){(const char *)p->hash.b, sizeof p->hash.b});
    db_bind_text(s, 7, p->bundle);
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
    proposals_get(call);
    if (call->status == 200)
        call->status = 201;
    http_answer_header(
        call, "Location",
        arena_printf(&call->arena, "/v1/policy/proposals/%.*s", STR_ARG(call->param[0])));
    return 0;
}

int proposals_create(struct http_call *call)
{
    struct err err = {0};
    struct candidate c = {.as_of = clock_now()};
    _cleanup_buf struct buf canonical = {0};
    struct proposal *p = arena_alloc(&call->arena, sizeof *p);
    int rc = policy_bundle_from_json(call->body, &c.bundle, &err);
    if (rc == 0)
        rc = candidate_compile(call, &c, &err);
    if (rc) {
        if (c.findings.errors)
            answer_findings(call, &c.findings);
        else
            answer_problem(call, &err);
        candidate_free(&c);
        return 0;
    }
    policy_bundle_to_json(&c.bundle, &canonical);
    p->bundle = arena_str(&call->arena, buf_view(&canonical));
    p->hash = c.policy->hash;
    candidate_free(&c);
    struct pending *pending = pending_new(call, NULL, 1);
    pending->more = p;
    pending->writes[0].kind = WRITE_OTHER;
    pending->writes[0].other = write_proposal;
    return pending_submit(pending, answer_proposed);
}

/* ---- deciding ---- */

struct deciding {
    struct proposal proposal;
    bool approve;
    int64_t version; /* that it became */
};

/* What an open one is refused for; `own` may one's own not be decided so. */
static int check_open(struct http_call *call, const struct proposal *p, bool own, struct err *err)
{
    const char *state =
        state_of(p, engine_counts(api_of(call)->engine).policy_version, clock_now());
    if (strcmp(state, "open") != 0)
        return err_reason(err, LOV_ECONFLICT, "proposal_over", "the proposal is %s", state);
    return own ? second_person(p->actor, caller_of(call)->actor, err) : 0;
}

static int append_decision(struct engine_write *w, struct write_scope *scope,
                           const struct deciding *d, struct err *err)
{
    _cleanup_buf struct buf body = {0};
    struct jw j = {.out = &body};
    jw_object_start(&j);
    jw_int_member(&j, "proposal", d->proposal.seq);
    jw_hex_member(&j, "hash", d->proposal.hash.b, sizeof d->proposal.hash.b);
    if (d->approve)
        jw_int_member(&j, "policy_version", d->version);
    jw_time_member(&j, "recorded_at", scope->now);
    jw_object_end(&j);
    return engine_append(scope, d->approve ? "policy.approve" : "policy.reject", (struct str){0},
                         buf_view(&body), &w->out_seq, err);
}

static int write_decision(struct engine_write *w, struct write_scope *scope, struct err *err)
{
    static const char sql[] =
        "update policy_proposal set state = $3, decided_by = $4, decided_at = $5, version = $6 "
        "where shard = $1 and seq = $2";
    const struct deciding *d = w->input;
    struct proposal now = {0};
    int rc = find(scope->lov, d->proposal.shard, d->proposal.seq, scope->arena, &now, err);
    if (rc <= 0)
        return rc ? rc : unknown(err);
    if (!d->approve && !str_is(now.state, "open"))
        return err_reason(err, LOV_ECONFLICT, "proposal_over", "the proposal is %.*s",
                          STR_ARG(now.state));
    rc = append_decision(w, scope, d, err);
    if (rc)
        return rc;
    struct db_stmt *s = db_use(scope->lov, sql);
    db_bind_int(s, 1, d->proposal.shard);
    db_bind_int(s, 2, d->proposal.seq);
    db_bind_text(s, 3, d->approve ? STR("applied") : STR("rejected"));
    db_bind_text(s, 4, w->actor);
    db_bind_int(s, 5, scope->now);
    if (d->approve)
        db_bind_int(s, 6, d->version);
    else
        db_bind_null(s, 6);
    return db_run(s, err);
}

static int decide_it(struct http_call *call, const struct deciding *d, struct err *err)
{
    struct engine_write w = {
        .kind = WRITE_OTHER,
        .actor = caller_of(call)->actor,
        .arena = &call->arena,
        .expires_at = TIME_NONE,
        .given_at = TIME_NONE,
        .other = write_decision,
        .input = d,
    };
    return engine_run(api_of(call)->engine, &w, err);
}

/* Puts it in force where nothing else came in between: then it is approved, whatever happens to the
 * note of it, since its version tells. Waits in this thread, as policy_apply() does. */
static int apply(struct http_call *call, struct deciding *d, struct policy_findings *findings,
                 struct err *err)
{
    struct engine *e = api_of(call)->engine;
    struct policy_bundle bundle = {0};
    struct err ignored;
    int rc = policy_bundle_from_json(d->proposal.bundle, &bundle, err);
    if (rc)
        return rc;
    struct engine_write w = {
        .kind = WRITE_POLICY,
        .actor = caller_of(call)->actor,
        .arena = &call->arena,
        .bundle = &bundle,
        .confirm_version = true,
        .expected_version = (int)d->proposal.base_version,
    };
    rc = engine_run(e, &w, err);
    if (rc == 0) {
        d->version = w.policy->version;
        engine_begin_transfers(e, &ignored); /* what fails here, housekeeping does */
        rc = decide_it(call, d, err);
    }
    policy_unref(w.policy);
    *findings = w.findings;
    policy_bundle_free(&bundle);
    return rc;
}

int proposals_approve(struct http_call *call)
{
    struct err err = {0};
    struct sha256 seen = {0};
    struct policy_findings findings = {0};
    struct candidate c = {0};
    struct deciding d = {.approve = true};
    int rc = load(call, &d.proposal, &err);
    if (rc == 0)
        rc = second_hash(call, &seen, &err);
    if (rc == 0)
        rc = check_open(call, &d.proposal, true, &err);
    if (rc == 0)
        rc = eyes_approve(call, &err);
    if (rc == 0 && memcmp(seen.b, d.proposal.hash.b, sizeof seen.b) != 0)
        rc = second_differs(&err);
    if (rc == 0)
        rc = candidate_of(call, &d.proposal, &c, &err);
    if (rc == 0 && memcmp(c.policy->hash.b, d.proposal.hash.b, sizeof c.policy->hash.b) != 0)
        rc = err_set(&err, LOV_ECORRUPT, "a proposal is not what was proposed");
    candidate_free(&c);
    if (rc == 0)
        rc = apply(call, &d, &findings, &err);
    if (rc && findings.errors)
        answer_findings(call, &findings);
    else if (rc)
        answer_problem(call, &err);
    else
        proposals_get(call);
    policy_findings_free(&findings);
    return 0;
}

int proposals_reject(struct http_call *call)
{
    struct err err = {0};
    struct deciding d = {0};
    int rc = load(call, &d.proposal, &err);
    if (rc == 0)
        rc = check_open(call, &d.proposal, false, &err);
    if (rc == 0)
        rc = decide_it(call, &d, &err);
    return rc ? answer_problem(call, &err) : proposals_get(call);
}
