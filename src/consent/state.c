/* state.c - a consumer as the last event left them: what the tail holds, and the tables else.
 *
 * Who is not in the tail has nothing that the tables lack, and who leaves it does so after their
 * rows were committed: so a reader who looks there first misses nothing. */
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

static int64_t *seqs_with(const int64_t *seqs, size_t count, int64_t seq, struct arena *arena)
{
    int64_t *grown = arena_array(arena, count + 1, sizeof *grown);
    if (count)
        memcpy(grown, seqs, count * sizeof *grown);
    grown[count] = seq;
    return grown;
}

void person_supersede(struct person *p, int64_t seq, struct arena *arena)
{
    struct consent *kept = arena_array(arena, p->consent_count, sizeof *kept);
    size_t count = 0;
    for (size_t i = 0; i < p->consent_count; i++)
        if (p->consents[i].seq != seq)
            kept[count++] = p->consents[i];
    p->consents = kept;
    p->consent_count = count;
    if (p->swept || seq < p->since)
        p->gone = seqs_with(p->gone, p->gone_count++, seq, arena);
}

bool person_is_gone(const struct person *p, int64_t seq)
{
    for (size_t i = 0; i < p->gone_count; i++)
        if (p->gone[i] == seq)
            return true;
    return false;
}

/* Whose consents were not asked for before has changed none of them. */
static int add_living(struct db *lov, struct arena *arena, struct person *p, struct err *err)
{
    if (p->living)
        return 0;
    p->living = true;
    return row_consents(lov, p->row.shard, &p->row.cid, false, arena, &p->consents,
                        &p->consent_count, err);
}

int person_take(struct tail *t, struct db *lov, uint32_t shard, const struct uid *cid, bool living,
                int64_t next, struct arena *arena, struct person *out, struct err *err)
{
    struct person p = {.since = next};
    bool held = tail_take(t, cid, &p);
    int rc = held ? 1 : row_consumer_get(lov, shard, cid, arena, &p.row, err);
    int failed = rc == 1 && living ? add_living(lov, arena, &p, err) : 0;
    if (failed)
        return failed;
    if (rc == 1)
        *out = p;
    return rc;
}

int person_find_consent(const struct person *p, struct db *lov, int64_t seq, struct arena *arena,
                        struct consent *out, struct err *err)
{
    const struct consent *held = person_consent(p, seq);
    if (!held)
        return superseded_find(lov, p, seq, arena, out, err);
    *out = consent_copy(held, arena);
    return 1;
}

int person_read(struct tail *t, struct db *lov, uint32_t shard, const struct uid *cid, bool living,
                struct arena *arena, struct person *out, struct err *err)
{
    struct person p = {0};
    int rc =
        tail_read(t, cid, arena, &p) ? 1 : row_consumer_get(lov, shard, cid, arena, &p.row, err);
    int failed = rc == 1 && living ? add_living(lov, arena, &p, err) : 0;
    if (failed)
        return failed;
    if (rc == 1)
        *out = p;
    return rc;
}
