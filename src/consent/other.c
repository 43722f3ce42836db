/* other.c - the writes of other modules: their rows, with the events that say so. */
#include "consent/engine.h"

struct scope {
    struct write_scope scope; /* first */
    struct work *work;
    bool appended;
};

int engine_append(struct write_scope *scope, const char *kind, struct str activity, struct str body,
                  int64_t *seq, struct err *err)
{
    struct scope *s = (struct scope *)scope;
    s->appended = true;
    return work_event(s->work, kind, activity, body, seq, err);
}

int scope_seal(struct write_scope *scope, struct str json, struct str *out, struct err *err)
{
    return seal_json(scope->engine->identity, scope->identities, &scope->who->cid, json,
                     scope->arena, out, err);
}

int scope_unseal(struct write_scope *scope, struct str sealed, struct buf *json, struct err *err)
{
    return unseal_json(scope->engine->identity, scope->identities, &scope->who->cid, sealed, json,
                       err);
}

int engine_seal(struct write_scope *scope, struct str json, struct str *out, struct err *err)
{
    _cleanup_buf struct buf text = {0};
    struct str sealed = {0};
    int rc = scope_seal(scope, json, &sealed, err);
    if (rc)
        return rc;
    base64url_encode(sealed.p, sealed.n, &text);
    *out = arena_str(scope->arena, buf_view(&text));
    return 0;
}

int scope_enter(struct write_scope *scope, uint32_t shard, const struct uid *cid, struct err *err)
{
    struct scope *s = (struct scope *)scope;
    struct work *k = s->work;
    int rc = person_take(k->e->tail, k->lov, shard, cid, false, ledger_next(k->e->ledger, shard),
                         k->w->arena, &k->person, err);
    if (rc != 1)
        return rc;
    k->change->who = (struct identity_row){.cid = *cid, .shard = shard};
    k->change->has_who = true;
    s->appended = false;
    scope->who = &k->change->who;
    scope->residence = k->person.row.residence;
    scope->last_event = k->person.row.last_event;
    return 1;
}

void scope_leave(struct write_scope *scope)
{
    struct scope *s = (struct scope *)scope;
    if (s->appended)
        work_finish(s->work);
    /* The index has nothing to take in of one whose events are other modules'. */
    s->work->change->has_who = false;
    scope->who = NULL;
}

static struct scope scope_of(struct work *k, bool found)
{
    return (struct scope){
        .scope =
            {
                .engine = k->e,
                .lov = k->lov,
                .identities = k->identities,
                .now = k->now,
                .arena = k->w->arena,
                .who = found ? &k->change->who : NULL,
                .residence = k->person.row.residence,
                .last_event = found ? k->person.row.last_event : -1,
                .policy = k->rules ? k->rules->policy : NULL,
            },
        .work = k,
    };
}

int work_with_other(struct work *k, struct err *err)
{
    if (!k->w->other)
        return 0;
    struct scope s = scope_of(k, true);
    return k->w->other(k->w, &s.scope, err);
}

int write_other(struct work *k, struct err *err)
{
    struct engine_write *w = k->w;
    int found = w->consumer.n ? work_consumer(k, w->consumer, w->add, false, err) : 0;
    if (found < 0)
        return found;
    if (found == 0)
        k->person.row = (struct consumer_row){.last_event = -1};
    struct scope s = scope_of(k, found == 1);
    s.appended = found == 1 && k->change->attributes; /* consumer.add */
    int rc = w->other(w, &s.scope, err);
    if (rc == 0 && found == 1 && s.appended)
        work_finish(k);
    return rc;
}
