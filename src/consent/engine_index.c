/* engine_index.c - the permit index at opening and closing: taken as it lies in the folder, caught
 * up by what came since, or filled anew from the stores. It says of each shard's ledger how many
 * events it has taken in and what the last one's leaf was, so that an index of another history (the
 * database was restored, say) is noticed. */
#include <stdlib.h>

#include "consent/engine.h"

/* ---- from the stores ---- */

struct loading {
    struct engine *e;
    struct db *lov, *identities;
    struct err *err;
};

static int load_identity(void *ctx, const struct identity_row *row)
{
    struct loading *l = ctx;
    index_add(l->e->index, &row->lookup, &row->cid, row->shard);
    return 0;
}

static int load_erased(void *ctx, const struct hash128 *lookup)
{
    struct loading *l = ctx;
    /* A consumer who came back under the same id after an erasure is there already. */
    if (index_change(l->e->index, lookup))
        return 0;
    struct uid nobody = uid_new();
    uint32_t shard = index_shard_of(l->e->index, lookup_address(lookup));
    index_erase(l->e->index, index_add(l->e->index, lookup, &nobody, shard));
    return 0;
}

static int load_attributes(struct loading *l, struct db_stmt *s)
{
    struct uid cid;
    struct str blob = db_blob(s, 0);
    if (blob.n != sizeof cid.b)
        return err_set(l->err, LOV_ECORRUPT, "a consumer's row is damaged: run lov log verify");
    memcpy(cid.b, blob.p, sizeof cid.b);
    struct index_consumer *c = index_by_cid(l->e->index, &cid);
    if (!c) /* an older copy of this store, beside the current identities: erased since */
        return 0;
    c->residence = index_residence(l->e->index, db_text(s, 1));
    c->restricted = db_int(s, 2) != 0;
    c->opt_out_signal = db_int(s, 3) != 0;
    c->no_automated_decision = db_int(s, 5) != 0;
    if (db_is_null(s, 4))
        return 0;
    return sealed_born(l->e->identity, l->identities, &cid, db_blob(s, 4), &c->born, l->err);
}

static int load_consumers(struct loading *l)
{
    static const char sql[] =
        "select cid, residence, restricted, opt_out_signal, sealed, no_automated_decision "
        "from consumer";
    struct db_stmt *s = db_use(l->lov, sql);
    int rc;
    while ((rc = db_step(s, l->err)) == 1) {
        rc = load_attributes(l, s);
        if (rc) {
            db_done(s);
            return rc;
        }
    }
    return rc;
}

static int load_consents(struct loading *l)
{
    enum { ROWS_PER_ARENA = 1000 };
    static const char sql[] = "select " CONSENT_COLUMNS " from consent where past = 0";
    _cleanup_arena struct arena arena = {0};
    struct db_stmt *s = db_use(l->lov, sql);
    int rc;
    for (int row = 1; (rc = db_step(s, l->err)) == 1; row++) {
        struct consent c;
        rc = row_consent_read(s, &arena, &c, l->err);
        if (rc) {
            db_done(s);
            return rc;
        }
        struct index_consumer *who = index_by_cid(l->e->index, &c.cid);
        if (who)
            index_consent(l->e->index, who, &c);
        if (row % ROWS_PER_ARENA == 0)
            arena_free(&arena);
    }
    return rc;
}

static void set_person(struct loading *l, struct index_consumer *c, const struct person *p,
                       int32_t born)
{
    c->residence = index_residence(l->e->index, p->row.residence);
    c->restricted = p->row.restricted;
    c->opt_out_signal = p->row.opt_out_signal;
    c->no_automated_decision = p->row.no_automated_decision;
    c->born = born;
    for (size_t i = 0; i < p->consent_count; i++)
        index_consent(l->e->index, c, &p->consents[i]);
}

/* Of one whose rows are yet to be written. */
static int load_person(void *ctx, const struct person *p)
{
    struct loading *l = ctx;
    int32_t born = DAY_NONE;
    struct index_consumer *c = index_by_cid(l->e->index, &p->row.cid);
    if (!c)
        return 0;
    int rc = sealed_born(l->e->identity, l->identities, &p->row.cid, p->row.sealed, &born, l->err);
    if (rc == 0)
        set_person(l, c, p, born);
    return rc;
}

static int load_all(struct loading *l)
{
    int64_t most = 0;
    int rc = identity_next_number(l->identities, &most, l->err);
    if (rc)
        return rc;
    /* Growing on the way would write every part of the table to the disk several times. */
    index_reserve(l->e->index, most);
    rc = identity_each(l->identities, load_identity, l, l->err);
    if (rc == 0)
        rc = identity_each_erased(l->identities, load_erased, l, l->err);
    if (rc == 0)
        rc = load_consumers(l);
    if (rc == 0)
        rc = load_consents(l);
    return rc ? rc : tail_each(l->e->tail, load_person, l);
}

/* ---- what came since ---- */

struct changed {
    struct buf cids, forgotten;
};

static int keep_cid(void *ctx, const struct ledger_event *event)
{
    struct changed *changed = ctx;
    if (event->has_cid)
        buf_add(&changed->cids, event->cid.b, sizeof event->cid.b);
    if (event->has_cid && str_is(event->kind, "consumer.erase") && !body_is_suppressed(event->body))
        buf_add(&changed->forgotten, event->cid.b, sizeof event->cid.b);
    return 0;
}

static int by_bytes(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct uid));
}

/* The consumers that events from `from` on tell of, and whom they make forgotten. */
static int changed_since(struct loading *l, uint32_t shard, int64_t from, int64_t to,
                         struct changed *out)
{
    int rc = 0;
    for (int64_t after = from - 1; rc == 0 && after + 1 < to;) {
        struct ledger_filter filter = {.shard = shard, .after = after, .limit = to - after};
        int64_t last = after;
        rc = ledger_read(l->lov, &filter, keep_cid, out, &last, l->err);
        if (rc == 0 && last <= after)
            return err_set(l->err, LOV_ECORRUPT, "the ledger has a gap: run lov log verify");
        after = last;
    }
    if (rc == 0 && out->cids.n)
        qsort(out->cids.p, out->cids.n / sizeof(struct uid), sizeof(struct uid), by_bytes);
    return rc;
}

/* Sets what the index says of a consumer to what the stores say. */
static int reload_consumer(struct loading *l, const struct uid *cid)
{
    struct index *ix = l->e->index;
    struct identity_row who;
    struct person p;
    _cleanup_arena struct arena arena = {0};
    int32_t born = DAY_NONE;
    int rc = identity_find_cid(l->identities, cid, &who, l->err);
    if (rc <= 0) /* 0: erased, which forget() and erase_again() see to */
        return rc;
    rc = person_take(l->e->tail, l->lov, who.shard, cid, true, 0, &arena, &p, l->err);
    if (rc <= 0)
        return rc;
    rc = sealed_born(l->e->identity, l->identities, cid, p.row.sealed, &born, l->err);
    if (rc)
        return rc;
    struct index_consumer *c = index_change(ix, &who.lookup);
    if (!c)
        c = index_add(ix, &who.lookup, cid, who.shard);
    index_clear(ix, c);
    set_person(l, c, &p, born);
    return 0;
}

static int erase_again(void *ctx, const struct hash128 *lookup)
{
    struct loading *l = ctx;
    struct identity_row who;
    struct index_consumer *c = index_change(l->e->index, lookup);
    if (!c)
        return load_erased(l, lookup);
    if (c->erased)
        return 0;
    int rc = identity_find(l->identities, lookup, &who, l->err);
    if (rc == 0)
        index_erase(l->e->index, c);
    return rc < 0 ? rc : 0;
}

/* Before anybody is reloaded: the same id may be somebody new since. */
static void forget(struct index *ix, const struct buf *cids)
{
    struct uid cid;
    for (size_t i = 0; i < cids->n; i += sizeof cid) {
        memcpy(&cid, cids->p + i, sizeof cid);
        struct index_consumer *c = index_by_cid(ix, &cid);
        if (c)
            index_forget(ix, c);
    }
}

static int reload(struct loading *l, const struct buf *cids)
{
    struct uid cid, last = {{0}};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < cids->n; i += sizeof cid) {
        memcpy(&cid, cids->p + i, sizeof cid);
        if (i == 0 || memcmp(cid.b, last.b, sizeof cid.b) != 0)
            rc = reload_consumer(l, &cid);
        last = cid;
    }
    if (rc == 0 && cids->n)
        rc = identity_each_erased(l->identities, erase_again, l, l->err);
    return rc;
}

static int catch_up(struct loading *l, uint32_t shard, int64_t to)
{
    struct changed changed = {0};
    int rc = changed_since(l, shard, index_applied(l->e->index, shard), to, &changed);
    if (rc == 0) {
        forget(l->e->index, &changed.forgotten);
        rc = reload(l, &changed.cids);
    }
    buf_free(&changed.cids);
    buf_free(&changed.forgotten);
    return rc;
}

/* ---- does it belong to this ledger? ---- */

static int keep_leaf(void *ctx, const struct ledger_event *event)
{
    *(struct sha256 *)ctx = event->leaf;
    return 0;
}

static int leaf_of_last(struct db *lov, uint32_t shard, int64_t size, struct sha256 *out,
                        struct err *err)
{
    *out = (struct sha256){{0}};
    if (size == 0)
        return 0;
    int rc = ledger_get(lov, shard, size - 1, keep_leaf, out, err);
    if (rc == 0)
        return err_set(err, LOV_ECORRUPT, "event %lld is missing: run lov log verify",
                       (long long)(size - 1));
    return rc < 0 ? rc : 0;
}

/* 1: the index has taken in the first part of this very ledger, and what is missing is little. */
static int belongs(struct loading *l, uint32_t shard, int64_t size)
{
    enum { LITTLE = 100000 };
    struct sha256 leaf;
    int64_t applied = index_applied(l->e->index, shard);
    if (applied > size || size - applied > LITTLE + applied / 16)
        return 0;
    int rc = leaf_of_last(l->lov, shard, applied, &leaf, l->err);
    return rc < 0 ? rc : index_applied_is(l->e->index, shard, &leaf);
}

static int bring_up(struct loading *l, enum index_found found)
{
    struct sha256 root;
    struct engine *e = l->e;
    int rc = 0, ours = found != INDEX_EMPTY;
    for (uint32_t i = 0; rc == 0 && i < e->shards; i++) {
        rc = ledger_head(l->lov, i, &e->committed[i], &root, l->err);
        if (rc == 0 && ours > 0)
            ours = belongs(l, i, e->committed[i]);
    }
    if (rc || ours < 0)
        return rc ? rc : ours;
    if (!ours) {
        rc = found == INDEX_EMPTY ? 0 : index_reset(e->index, l->err);
        return rc ? rc : load_all(l);
    }
    for (uint32_t i = 0; rc == 0 && i < e->shards; i++)
        rc = catch_up(l, i, e->committed[i]);
    return rc;
}

static int load_policy(struct loading *l)
{
    struct policy *policy = NULL;
    int rc = policy_store_load(l->lov, 0, &policy, l->err);
    if (rc == 0)
        engine_set_rules(l->e, rules_new(l->e->index, policy));
    else if (rc == LOV_ENOTFOUND)
        index_publish(l->e->index, NULL, 0);
    return rc == LOV_ENOTFOUND ? 0 : rc;
}

static int open_index(struct engine *e, const char *dir, enum index_found *found, struct err *err)
{
    _cleanup_secret struct secret lookup = identity_secret(e->identity, "lookup");
    _cleanup_secret struct secret installation = identity_secret(e->identity, "permit index");
    struct index_options o = {.dir = dir, .shards = e->shards, .log = e->log};
    memcpy(o.lookup_key, lookup.b, sizeof o.lookup_key);
    memcpy(o.installation, installation.b, sizeof o.installation);
    return index_open(&o, &e->index, found, err);
}

int engine_load_index(struct engine *e, const char *dir, struct db *identities, struct db *lov,
                      struct err *err)
{
    struct loading l = {e, lov, identities, err};
    enum index_found found;
    int64_t latest = 0;
    int rc = open_index(e, dir, &found, err);
    if (rc)
        return rc;
    for (uint32_t i = 0; rc == 0 && i < e->shards; i++)
        rc = tail_replay(e->tail, lov, i, err);
    if (rc)
        return rc;
    index_write_lock(e->index);
    rc = bring_up(&l, found);
    if (rc == 0)
        rc = load_policy(&l);
    if (rc == 0)
        rc = ledger_last_at(lov, &latest, err);
    index_latest(e->index, latest);
    index_write_unlock(e->index);
    atomic_store_explicit(&e->latest, latest, memory_order_relaxed);
    if (rc == 0)
        rc = engine_index_applied(e, lov, err);
    if (rc == 0 && index_is_broken(e->index))
        rc = err_set(err, LOV_EIO, "no room on the disk for the permit index");
    if (rc == 0)
        index_go_live(e->index);
    return rc;
}

/* ---- while it runs ---- */

void engine_index_committed(struct engine *e)
{
    for (uint32_t i = 0; i < e->shards; i++) {
        e->committed[i] = ledger_next(e->ledger, i);
        e->has_leaf[i] = ledger_last_leaf(e->ledger, i, &e->leaves[i]);
    }
}

int engine_index_applied(struct engine *e, struct db *lov, struct err *err)
{
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < e->shards; i++) {
        struct sha256 leaf = e->leaves[i];
        if (index_applied(e->index, i) == e->committed[i])
            continue;
        if (!e->has_leaf[i])
            rc = leaf_of_last(lov, i, e->committed[i], &leaf, err);
        if (rc)
            break;
        index_write_lock(e->index);
        index_set_applied(e->index, i, e->committed[i], &leaf);
        index_write_unlock(e->index);
    }
    return rc;
}

void engine_close_index(struct engine *e, bool started)
{
    struct db *lov;
    bool whole = started && e->lov && db_pool_get(e->lov, &lov, NULL) == 0;
    if (whole) {
        whole = engine_index_applied(e, lov, NULL) == 0;
        db_pool_put(e->lov, lov);
    }
    index_close(e->index, whole);
    e->index = NULL;
}
