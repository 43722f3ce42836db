/* read.c - reading consents and consumers, and the public id of a consent.
 *
 * The id is shard and seq under one block of AES: no index is needed to find a consent by it, and
 * it tells nothing of how many there are. A block that does not decrypt to our mark is nobody's id.
 * After a restore numbers are given again; the mark is another one then, so that an id from the
 * time that was lost does not become somebody else's. */
#include <string.h>

#include "consent/engine.h"

static const uint32_t MARK = 0x6c6f7631; /* "lov1" */

static uint32_t mark_of(const struct engine *e, int64_t seq)
{
    uint32_t mark = MARK;
    for (size_t i = 0; i < e->lineage_count && e->lineages[i].from <= seq; i++)
        mark = e->lineages[i].mark;
    return mark;
}

void consent_id_format(const struct engine *e, uint32_t shard, int64_t seq, struct buf *out)
{
    uint8_t plain[16], id[16];
    uint32_t mark = mark_of(e, seq);
    memcpy(plain, &mark, 4);
    memcpy(plain + 4, &shard, 4);
    memcpy(plain + 8, &seq, 8);
    cipher_block_encrypt(e->ids, plain, id);
    hex_encode(id, sizeof id, out);
}

bool consent_id_parse(const struct engine *e, struct str id, uint32_t *shard, int64_t *seq)
{
    uint8_t plain[16], bytes[16];
    if (!hex_decode(id, bytes, sizeof bytes))
        return false;
    cipher_block_decrypt(e->ids, bytes, plain);
    int64_t number;
    memcpy(&number, plain + 8, 8);
    uint32_t mark = mark_of(e, number);
    if (memcmp(plain, &mark, 4) != 0 || number < 0)
        return false;
    memcpy(shard, plain + 4, 4);
    *seq = number;
    return true;
}

/* An active consent past its end is told as what it is, before the expiry job has said so. */
static void as_of_now(struct consent *c)
{
    if (c->status == CONSENT_ACTIVE && c->expires_at <= clock_now())
        c->status = CONSENT_EXPIRED;
}

static int keep_cid(void *ctx, const struct ledger_event *event)
{
    struct identity_row *who = ctx;
    who->number = event->has_cid;
    who->cid = event->cid;
    return 0;
}

/* Who changed since the connection was taken has events that it does not see: so another is. */
static int find_superseded(struct engine *e, const struct person *p, int64_t seq,
                           struct arena *arena, struct consent *out, struct err *err)
{
    struct db *lov;
    int rc = db_pool_get(e->lov, &lov, err);
    if (rc)
        return rc;
    rc = superseded_find(lov, p, seq, arena, out, err);
    db_pool_put(e->lov, lov);
    return rc;
}

int consent_get(struct engine *e, uint32_t shard, int64_t seq, struct arena *arena,
                struct consent *out, struct err *err)
{
    struct db *lov;
    struct identity_row who = {0};
    struct person p;
    int rc = db_pool_get(e->lov, &lov, err);
    if (rc)
        return rc;
    rc = ledger_get(lov, shard, seq, keep_cid, &who, err);
    if (rc == 1)
        rc = who.number ? person_read(e->tail, lov, shard, &who.cid, true, arena, &p, err) : 0;
    db_pool_put(e->lov, lov);
    if (rc != 1)
        return rc;
    const struct consent *c = person_consent(&p, seq);
    if (c)
        *out = *c;
    else
        rc = find_superseded(e, &p, seq, arena, out, err);
    if (rc == 1)
        as_of_now(out);
    return rc;
}

static int each(struct consent *consents, size_t count, consent_row *row, void *ctx)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < count; i++) {
        as_of_now(&consents[i]);
        rc = row(ctx, &consents[i]);
    }
    return rc;
}

static int read_living(struct engine *e, const struct identity_row *consumer, struct arena *arena,
                       struct person *out, struct err *err)
{
    struct db *lov;
    *out = (struct person){0};
    int rc = db_pool_get_rows(e->lov, &lov, err);
    if (rc)
        return rc;
    rc = person_read(e->tail, lov, consumer->shard, &consumer->cid, true, arena, out, err);
    db_pool_put(e->lov, lov);
    return rc;
}

int consent_list_living(struct engine *e, const struct identity_row *consumer, struct arena *arena,
                        consent_row *row, void *ctx, struct err *err)
{
    struct person p;
    int rc = read_living(e, consumer, arena, &p, err);
    return rc < 0 ? rc : each(p.consents, p.consent_count, row, ctx);
}

int consent_list(struct engine *e, const struct identity_row *consumer, struct arena *arena,
                 consent_row *row, void *ctx, struct err *err)
{
    struct db *lov;
    struct person p;
    struct consent *consents = NULL;
    size_t count = 0;
    int rc = read_living(e, consumer, arena, &p, err);
    if (rc != 1)
        return rc;
    rc = db_pool_get(e->lov, &lov, err);
    if (rc)
        return rc;
    rc = superseded_list(lov, &p, arena, &consents, &count, err);
    db_pool_put(e->lov, lov);
    return rc < 0 ? rc : each(consents, count, row, ctx);
}

int consent_unseal(struct engine *e, const struct consent *c, struct buf *json, struct err *err)
{
    struct db *identities;
    if (c->sealed.n == 0)
        return 0;
    int rc = db_pool_get(e->identities, &identities, err);
    if (rc)
        return rc;
    rc = unseal_json(e->identity, identities, &c->cid, c->sealed, json, err);
    db_pool_put(e->identities, identities);
    return rc;
}

int consumer_find(struct engine *e, struct str id, struct identity_row *out, struct err *err)
{
    struct db *identities;
    struct hash128 lookup = identity_lookup(e->identity, id);
    int rc = db_pool_get(e->identities, &identities, err);
    if (rc)
        return rc;
    rc = identity_find(identities, &lookup, out, err);
    db_pool_put(e->identities, identities);
    return rc;
}

int consumer_get(struct engine *e, struct str id, struct arena *arena, struct consumer *out,
                 struct err *err)
{
    struct db *lov = NULL, *identities = NULL;
    struct person p = {0};
    struct consumer c = {.born = DAY_NONE};
    int rc = consumer_find(e, id, &c.who, err);
    if (rc != 1)
        return rc;
    rc = db_pool_get_rows(e->lov, &lov, err);
    if (rc == 0)
        rc = person_read(e->tail, lov, c.who.shard, &c.who.cid, false, arena, &p, err);
    db_pool_put(e->lov, lov);
    if (rc != 1)
        return rc;
    rc = db_pool_get(e->identities, &identities, err);
    if (rc == 0)
        rc = sealed_born(e->identity, identities, &c.who.cid, p.row.sealed, &c.born, err);
    db_pool_put(e->identities, identities);
    if (rc)
        return rc;
    c.residence = p.row.residence;
    c.restricted = p.row.restricted;
    c.opt_out_signal = p.row.opt_out_signal;
    c.no_automated_decision = p.row.no_automated_decision;
    c.last_event = p.row.last_event;
    *out = c;
    return 1;
}
