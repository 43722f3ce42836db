/* transfer.c - the instant from which a successor may use what consumers did not refuse. The policy
 * says when that is, and decide() goes by it; what is done here is to put into the ledger that it
 * has come, and for how many. */
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "consent/engine.h"

struct transfer {
    struct engine *e;
    const struct rules *rules;
    const struct policy_recipient *to;
    struct str name, value; /* of the row in meta that says it is recorded */
    struct buf body;
};

/* ---- how many ---- */

static int count_permitted(struct transfer *t, const struct policy_activity *a,
                           const struct policy_category *c, int64_t *out, struct err *err)
{
    struct question q = {
        .recipient = t->to->id, .purpose = a->purpose->id, .category = c->id, .at = clock_now()};
    struct audience *audience = audience_open(t->e, &(struct audience_ask){.all = &q, .count = 1});
    int rc = audience_count(audience, -1, out, err);
    audience_close(audience);
    return rc;
}

static int write_counts(struct transfer *t, struct jw *w, struct err *err)
{
    int rc = 0;
    const struct policy *p = t->rules->policy;
    jw_array_member(w, "permitted");
    for (size_t i = 0; i < p->activity_count; i++) {
        const struct policy_activity *a = &p->activities[i];
        for (size_t k = 0; rc == 0 && a->recipient == t->to && k < a->category_count; k++) {
            int64_t count = 0;
            rc = count_permitted(t, a, a->categories[k], &count, err);
            jw_object_start(w);
            jw_str_member(w, "purpose", a->purpose->id);
            jw_str_member(w, "category", a->categories[k]->id);
            jw_int_member(w, "consumers", count);
            jw_object_end(w);
        }
    }
    jw_array_end(w);
    return rc;
}

static int write_body(struct transfer *t, struct err *err)
{
    struct jw w = {.out = &t->body};
    jw_object_start(&w);
    jw_str_member(&w, "recipient", t->to->id);
    jw_time_member(&w, "announced", t->to->announced);
    jw_time_member(&w, "begins", t->to->begins);
    jw_int_member(&w, "policy_version", t->rules->policy->version);
    jw_int_member(&w, "consumers", engine_counts(t->e).consumers);
    int rc = write_counts(t, &w, err);
    jw_object_end(&w);
    return rc;
}

/* ---- recording it once ---- */

static int is_recorded(struct db *lov, const struct transfer *t, struct err *err)
{
    static const char sql[] = "select 1 from meta where name = $1 and value = $2";
    struct db_stmt *s = db_use(lov, sql);
    db_bind_text(s, 1, t->name);
    db_bind_text(s, 2, t->value);
    int rc = db_step(s, err);
    if (rc == 1)
        db_done(s);
    return rc;
}

static int record(struct engine_write *w, struct write_scope *scope, struct err *err)
{
    static const char sql[] = "insert into meta (name, value) values ($1, $2) "
                              "on conflict (name) do update set value = excluded.value";
    const struct transfer *t = w->input;
    int rc = is_recorded(scope->lov, t, err);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    rc = engine_append(scope, "transfer.begin", (struct str){0}, buf_view(&t->body), &w->out_seq,
                       err);
    if (rc)
        return rc;
    struct db_stmt *s = db_use(scope->lov, sql);
    db_bind_text(s, 1, t->name);
    db_bind_text(s, 2, t->value);
    return db_run(s, err);
}

static int begin(struct transfer *t, struct db *lov, struct err *err)
{
    _cleanup_arena struct arena arena = {0};
    t->name = arena_printf(&arena, "transfer.%.*s", STR_ARG(t->to->id));
    t->value = arena_printf(&arena, "%lld", (long long)t->to->begins);
    int rc = is_recorded(lov, t, err);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    rc = write_body(t, err);
    struct engine_write w = {.kind = WRITE_OTHER,
                             .other = record,
                             .input = t,
                             .actor = STR("lov"),
                             .arena = &arena,
                             .expires_at = TIME_NONE,
                             .given_at = TIME_NONE};
    if (rc == 0)
        rc = engine_run(t->e, &w, err);
    buf_free(&t->body);
    return rc;
}

int engine_begin_transfers(struct engine *e, struct err *err)
{
    struct rules *rules = engine_rules(e);
    const struct policy *p = rules ? rules->policy : NULL;
    struct db *lov = NULL;
    int64_t now = clock_now();
    int rc = db_pool_get(e->lov, &lov, err);
    for (size_t i = 0; rc == 0 && p && i < p->recipient_count; i++) {
        const struct policy_recipient *r = &p->recipients[i];
        struct transfer t = {.e = e, .rules = rules, .to = r};
        if (r->begins != TIME_NONE && r->begins <= now)
            rc = begin(&t, lov, err);
    }
    if (lov)
        db_pool_put(e->lov, lov);
    rules_unref(rules);
    return rc;
}
