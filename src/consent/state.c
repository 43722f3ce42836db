/* state.c - a consumer as the last event left them: what the tail holds, and the tables else.
 *
 * Who is not in the tail has nothing that the tables lack, and who leaves it does so after their
 * rows were committed: so a reader who looks there first misses nothing. The tables may have more
 * than the tail by then; the later event says which of two forms of a consent is the newer. */
#include <stdlib.h>
#include <string.h>

#include "consent/state.h"

struct consent *consents_grow(struct arena *arena, struct consent *consents, size_t count)
{
    bool full = (count & (count - 1)) == 0;
    if (!full)
        return consents;
    struct consent *grown = arena_array(arena, count ? count * 2 : 1, sizeof *grown);
    if (count)
        memcpy(grown, consents, count * sizeof *grown);
    return grown;
}

struct consent consent_copy(const struct consent *c, struct arena *arena)
{
    struct consent copy = *c;
    copy.purpose = arena_str(arena, c->purpose);
    copy.recipient = arena_str(arena, c->recipient);
    copy.categories = names_copy(arena, c->categories, c->category_count);
    copy.narrowed = names_copy(arena, c->narrowed, c->narrowed_count);
    copy.notice = arena_str(arena, c->notice);
    copy.notice_language = arena_str(arena, c->notice_language);
    copy.channel = arena_str(arena, c->channel);
    copy.sealed = c->sealed.n ? arena_str(arena, c->sealed) : (struct str){0};
    return copy;
}

bool consent_is_dead(const struct consent *c)
{
    return c->status == CONSENT_SUPERSEDED && c->narrowed_count == 0;
}

struct consent *person_consent(const struct person *p, int64_t seq)
{
    for (size_t i = 0; i < p->consent_count; i++)
        if (p->consents[i].seq == seq)
            return &p->consents[i];
    return NULL;
}

static int by_seq(const void *a, const void *b)
{
    const struct consent *x = a, *y = b;
    return (x->seq > y->seq) - (x->seq < y->seq);
}

void person_set_consent(struct person *p, const struct consent *c, struct arena *arena)
{
    struct consent *grown =
        arena_array(arena, p->consent_count + 1, sizeof *grown); /* what is there is borrowed */
    if (p->consent_count)
        memcpy(grown, p->consents, p->consent_count * sizeof *grown);
    p->consents = grown;
    struct consent *same = person_consent(p, c->seq);
    bool last = !p->consent_count || grown[p->consent_count - 1].seq < c->seq;
    if (same)
        *same = *c;
    else
        p->consents[p->consent_count++] = *c;
    if (!same && !last)
        qsort(grown, p->consent_count, sizeof *grown, by_seq);
}

void person_drop_consent(struct person *p, int64_t seq, struct arena *arena)
{
    struct consent *kept = arena_array(arena, p->consent_count, sizeof *kept);
    size_t count = 0;
    for (size_t i = 0; i < p->consent_count; i++)
        if (p->consents[i].seq != seq)
            kept[count++] = p->consents[i];
    p->consents = kept;
    p->consent_count = count;
}

/* Adds what the table has, but for what is held in a newer form. */
static int add_consents(struct db *lov, bool living, struct arena *arena, struct person *p,
                        struct err *err)
{
    struct consent *rows = NULL, *held = p->consents;
    size_t count = 0, held_count = p->consent_count;
    int rc = row_consents(lov, p->row.shard, &p->row.cid, living, arena, &rows, &count, err);
    if (rc)
        return rc;
    p->consents = rows;
    p->consent_count = count;
    for (size_t i = 0; i < held_count; i++) {
        const struct consent *row = person_consent(p, held[i].seq);
        if (!row || row->event < held[i].event)
            person_set_consent(p, &held[i], arena);
    }
    return 0;
}

int person_take(struct tail *t, struct db *lov, uint32_t shard, const struct uid *cid, bool living,
                int64_t next, struct arena *arena, struct person *out, struct err *err)
{
    struct person p = {.since = next};
    bool held = tail_take(t, cid, &p);
    int rc = held ? 1 : row_consumer_get(lov, shard, cid, arena, &p.row, err);
    if (rc == 1 && living && !p.living) {
        int failed = add_consents(lov, true, arena, &p, err);
        if (failed)
            return failed;
        p.living = true;
    }
    if (rc == 1)
        *out = p;
    return rc;
}

int person_put_row(struct db *lov, const struct person *p, const struct consent *c, struct err *err)
{
    return row_consent_put(lov, c, p->swept || c->seq < p->since, err);
}

/* Drops the dead from the person, and writes those to the tables that are not there. */
static int bury(struct tail *t, struct db *lov, struct person *p, struct arena *arena,
                struct err *err)
{
    struct consent *kept = arena_array(arena, p->consent_count, sizeof *kept);
    size_t count = 0;
    for (size_t i = 0; i < p->consent_count; i++) {
        const struct consent *c = &p->consents[i];
        bool dead = consent_is_dead(c);
        bool missing = dead && c->event >= p->since;
        int64_t before = db_changes(lov);
        int rc = missing ? person_put_row(lov, p, c, err) : 0;
        if (rc)
            return rc;
        tail_bury(t, db_changes(lov) - before);
        if (!dead)
            kept[count++] = *c;
    }
    p->consents = kept;
    p->consent_count = count;
    return 0;
}

int person_put(struct tail *t, struct db *lov, struct person *p, struct arena *arena,
               struct err *err)
{
    enum { DEAD_MOST = 8 };
    size_t dead = 0;
    for (size_t i = 0; i < p->consent_count; i++)
        dead += consent_is_dead(&p->consents[i]);
    int rc = dead > DEAD_MOST ? bury(t, lov, p, arena, err) : 0;
    if (rc == 0)
        tail_put(t, p);
    return rc;
}

int person_find_consent(const struct person *p, struct db *lov, int64_t seq, struct arena *arena,
                        struct consent *out, struct err *err)
{
    const struct consent *held = person_consent(p, seq);
    if (!held)
        return row_consent_get(lov, p->row.shard, &p->row.cid, seq, arena, out, err);
    *out = consent_copy(held, arena);
    return 1;
}

int person_read(struct tail *t, struct db *lov, uint32_t shard, const struct uid *cid, bool all,
                struct arena *arena, struct person *out, struct err *err)
{
    struct person p = {0};
    int rc =
        tail_read(t, cid, arena, &p) ? 1 : row_consumer_get(lov, shard, cid, arena, &p.row, err);
    if (rc == 1 && all && add_consents(lov, false, arena, &p, err))
        return err->code;
    if (rc == 1)
        *out = p;
    return rc;
}
