/* recipients.c - who has had data of a consumer. Their whole history is read ahead of the write
 * that tells them, off the writer's thread; the write looks at what has happened since. */
#include <string.h>

#include "rights/private.h"

struct finding {
    struct arena *arena;
    struct recipients all;
    size_t cap;
    bool consents; /* also by the events that gave them */
};

static void add(struct finding *f, struct str name)
{
    struct recipients *all = &f->all;
    for (size_t i = 0; i < all->count; i++)
        if (str_eq(all->names[i], name))
            return;
    if (all->count == f->cap) {
        f->cap = f->cap ? 2 * f->cap : 8;
        struct str *grown = arena_array(f->arena, f->cap, sizeof *grown);
        if (all->count)
            memcpy(grown, all->names, all->count * sizeof *grown);
        all->names = grown;
    }
    all->names[all->count++] = arena_str(f->arena, name);
}

static int see_event(void *ctx, const struct ledger_event *event)
{
    struct finding *f = ctx;
    struct str activity = event->activity, recipient = str_cut(&activity, '/');
    bool told =
        str_is(event->kind, "access") || (f->consents && str_starts(event->kind, STR("consent.")));
    if (told && recipient.n)
        add(f, recipient);
    return 0;
}

static int see_consent(void *ctx, const struct consent *c)
{
    if (c->status == CONSENT_ACTIVE)
        add(ctx, c->recipient);
    return 0;
}

int request_recipients(struct engine *e, const struct consumer *who, struct arena *arena,
                       struct recipients *out, struct err *err)
{
    struct finding f = {.arena = arena, .all.seen = who->last_event};
    struct db *db;
    int rc = consent_list_living(e, &who->who, arena, see_consent, &f, err);
    if (rc == 0)
        rc = db_pool_get(engine_lov(e), &db, err);
    if (rc)
        return rc;
    rc = ledger_history(db, who->who.shard, who->last_event, -1, INT64_MAX, see_event, &f, err);
    db_pool_put(engine_lov(e), db);
    if (rc < 0)
        return rc;
    *out = f.all;
    return 0;
}

int recipients_since(struct write_scope *scope, struct recipients *all, struct err *err)
{
    struct finding f = {.arena = scope->arena, .all = *all, .cap = all->count, .consents = true};
    int rc = ledger_history(scope->lov, scope->who->shard, scope->last_event, all->seen, INT64_MAX,
                            see_event, &f, err);
    if (rc == 0)
        *all = f.all;
    return rc;
}
