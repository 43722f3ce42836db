/* identity.c - see identity.h. One random root secret, sealed by the KEK, is stored; every other
 * secret of the installation is derived from it, so that changing the KEK rewrites rows but never
 * moves a consumer. */
#include "identity/store.h"

#include <stdlib.h>
#include <string.h>

#include "db/schema.h"
#include "identity/account.h"

const char SEALED_ID[] = "lov id", SEALED_KEY[] = "lov data key", SEALED_ROOT[] = "lov root",
           SEALED_LOG[] = "lov log";

/* ---- under the key-encryption keys ---- */

void kek_seal(const struct identity *who, struct str associated, struct str plain, struct buf *out)
{
    pthread_rwlock_rdlock(&((struct identity *)who)->lock);
    seal(&who->keys.key[0], associated, plain, out);
    pthread_rwlock_unlock(&((struct identity *)who)->lock);
}

int kek_unseal(const struct identity *who, struct str associated, struct str sealed,
               struct buf *out, struct err *err)
{
    int rc = LOV_ECORRUPT;
    pthread_rwlock_rdlock(&((struct identity *)who)->lock);
    for (int i = 0; i < who->keys.count && rc; i++)
        rc = unseal(&who->keys.key[i], associated, sealed, out, err);
    pthread_rwlock_unlock(&((struct identity *)who)->lock);
    return rc;
}

/* ---- opening ---- */

/* 1 and the root, 0 when the store has none yet. */
static int load_root(struct identity *who, struct db *db, struct err *err)
{
    static const char select[] = "select sealed from secret where name = 'root'";
    _cleanup_buf struct buf plain = {0};
    struct db_stmt *s = db_use(db, select);
    int rc = db_step(s, err);
    if (rc != 1)
        return rc;
    rc = kek_unseal(who, STR(SEALED_ROOT), db_blob(s, 0), &plain, NULL);
    db_done(s);
    if (rc || plain.n != sizeof who->root.b)
        return err_set(err, LOV_ECORRUPT,
                       "the key does not open this installation: put back the file `key` that "
                       "it was made with, or set LOV_KEY");
    memcpy(who->root.b, plain.p, plain.n);
    memset(plain.p, 0, plain.n);
    return 1;
}

static int make_root(struct identity *who, struct db *db, struct err *err)
{
    static const char insert[] = "insert into secret (name, sealed) values ('root', $1)";
    _cleanup_buf struct buf sealed = {0};
    random_bytes(who->root.b, sizeof who->root.b);
    kek_seal(who, STR(SEALED_ROOT), (struct str){(char *)who->root.b, sizeof who->root.b}, &sealed);
    struct db_stmt *s = db_use(db, insert);
    db_bind_blob(s, 1, buf_view(&sealed));
    return db_run(s, err);
}

/* The key that signs checkpoints: random, not derived, so that it can be moved or replaced. */
static int load_log_key(struct identity *who, struct db *db, struct err *err)
{
    static const char select[] = "select sealed from secret where name = 'log'";
    static const char insert[] = "insert into secret (name, sealed) values ('log', $1)";
    _cleanup_buf struct buf bytes = {0};
    struct db_stmt *s = db_use(db, select);
    int rc = db_step(s, err);
    if (rc < 0)
        return rc;
    if (rc == 1) {
        rc = kek_unseal(who, STR(SEALED_LOG), db_blob(s, 0), &bytes, NULL);
        db_done(s);
        if (rc || bytes.n != sizeof who->log.b)
            return err_set(err, LOV_ECORRUPT, "the key of the log does not open");
        memcpy(who->log.b, bytes.p, bytes.n);
        memset(bytes.p, 0, bytes.n);
        return 0;
    }
    random_bytes(who->log.b, sizeof who->log.b);
    kek_seal(who, STR(SEALED_LOG), (struct str){(char *)who->log.b, sizeof who->log.b}, &bytes);
    s = db_use(db, insert);
    db_bind_blob(s, 1, buf_view(&bytes));
    return db_run(s, err);
}

static struct identity *new_identity(const struct identity_keys *keys, uint32_t shards)
{
    struct identity *who = mem_zero(sizeof *who);
    pthread_rwlock_init(&who->lock, NULL);
    who->keys = *keys;
    who->shards = shards;
    who->recent = recent_new();
    return who;
}

static void take_root(struct identity *who, struct identity **out)
{
    _cleanup_secret struct secret lookup = identity_secret(who, "lookup");
    cmac_key_init(&who->lookup_key, lookup.b, true);
    *out = who;
}

int identity_open(struct db *db, const struct identity_keys *keys, uint32_t shards,
                  struct identity **out, struct err *err)
{
    int rc = db_migrate_embedded(db, "identity", err);
    if (rc)
        return rc;
    struct identity *who = new_identity(keys, shards);
    rc = load_root(who, db, err);
    if (rc == 0)
        rc = make_root(who, db, err);
    if (rc >= 0)
        rc = load_log_key(who, db, err);
    if (rc < 0)
        identity_close(who);
    else
        take_root(who, out);
    return rc < 0 ? rc : 0;
}

int identity_open_read(struct db *db, const struct identity_keys *keys, uint32_t shards,
                       struct identity **out, struct err *err)
{
    struct identity *who = new_identity(keys, shards);
    int rc = load_root(who, db, err);
    if (rc == 0)
        rc = err_set(err, LOV_ECORRUPT, "the identity store has lost its root secret");
    if (rc < 0)
        identity_close(who);
    else
        take_root(who, out);
    return rc < 0 ? rc : 0;
}

void identity_close(struct identity *who)
{
    if (!who)
        return;
    recent_free(who->recent);
    identity_keys_wipe(&who->keys);
    secret_wipe(&who->root);
    secret_wipe(&who->log);
    pthread_rwlock_destroy(&who->lock);
    free(who);
}

struct secret identity_secret(const struct identity *who, const char *use)
{
    return secret_derive(&who->root, str_of(use));
}

const struct secret *identity_log_key(const struct identity *who)
{
    return &who->log;
}

/* ---- rows ---- */

struct str identity_hash_str(const struct hash128 *h)
{
    return (struct str){(const char *)h->b, sizeof h->b};
}

struct hash128 identity_lookup(const struct identity *who, struct str id)
{
    return cmac_short(&who->lookup_key, id.p, id.n);
}

uint32_t identity_shard(const struct identity *who, const struct hash128 *lookup)
{
    uint32_t v;
    memcpy(&v, lookup->b, sizeof v);
    return v % who->shards;
}

static int read_row(struct db_stmt *s, struct identity_row *out, struct err *err)
{
    struct str lookup = db_blob(s, 0), cid = db_blob(s, 3);
    if (lookup.n != sizeof out->lookup.b || cid.n != sizeof out->cid.b)
        return err_set(err, LOV_ECORRUPT, "identity row of a wrong size");
    memcpy(out->lookup.b, lookup.p, lookup.n);
    memcpy(out->cid.b, cid.p, cid.n);
    out->number = db_int(s, 1);
    out->shard = (uint32_t)db_int(s, 2);
    return 0;
}

static int find_row(struct db *db, const char *sql, struct str key, struct identity_row *out,
                    struct err *err)
{
    struct db_stmt *s = db_use(db, sql);
    db_bind_blob(s, 1, key);
    int rc = db_step(s, err);
    if (rc != 1)
        return rc;
    rc = read_row(s, out, err);
    db_done(s);
    return rc ? rc : 1;
}

int identity_find(struct db *db, const struct hash128 *lookup, struct identity_row *out,
                  struct err *err)
{
    static const char sql[] = "select lookup, number, shard, cid from consumer where lookup = $1";
    return find_row(db, sql, identity_hash_str(lookup), out, err);
}

int identity_find_cid(struct db *db, const struct uid *cid, struct identity_row *out,
                      struct err *err)
{
    static const char sql[] = "select lookup, number, shard, cid from consumer where cid = $1";
    return find_row(db, sql, uid_str(cid), out, err);
}

struct str identity_associated(const char *use, const struct uid *cid, struct buf *out)
{
    buf_clear(out);
    buf_cstr(out, use);
    buf_add(out, cid->b, sizeof cid->b);
    return buf_view(out);
}

int identity_next_number(struct db *db, int64_t *out, struct err *err)
{
    static const char sql[] = "select coalesce(max(number), -1) + 1 from consumer";
    struct db_stmt *s = db_use(db, sql);
    return db_number(s, out, err);
}

/* Those who come together stand together in every table: first the instant (6 bytes, as the first
 * event of theirs says it too), then 10 random bytes. */
static struct uid new_cid(int64_t now)
{
    enum { INSTANT = 6 };
    struct uid cid = uid_new();
    for (int i = 0; i < INSTANT; i++)
        cid.b[i] = (uint8_t)((uint64_t)now >> 8 * (INSTANT - 1 - i));
    return cid;
}

static uint64_t generation_of(const struct identity *who)
{
    pthread_rwlock_rdlock(&((struct identity *)who)->lock);
    uint64_t generation = who->generation;
    pthread_rwlock_unlock(&((struct identity *)who)->lock);
    return generation;
}

void identity_prepare(const struct identity *who, struct str id, int64_t now, struct arena *arena,
                      struct identity_new *out)
{
    _cleanup_buf struct buf about = {0}, sealed = {0};
    _cleanup_secret struct secret data_key;
    struct identity_row *row = &out->row;
    row->lookup = identity_lookup(who, id);
    row->cid = new_cid(now);
    row->shard = identity_shard(who, &row->lookup);
    out->id = id;
    out->generation = generation_of(who);
    random_bytes(data_key.b, sizeof data_key.b);
    kek_seal(who, identity_associated(SEALED_ID, &row->cid, &about), id, &sealed);
    out->sealed_id = arena_str(arena, buf_view(&sealed));
    buf_clear(&sealed);
    kek_seal(who, identity_associated(SEALED_KEY, &row->cid, &about),
             (struct str){(char *)data_key.b, sizeof data_key.b}, &sealed);
    out->sealed_key = arena_str(arena, buf_view(&sealed));
}

int identity_put(const struct identity *who, struct db *db, struct identity_new *new, int64_t now,
                 struct err *err)
{
    static const char sql[] =
        "insert into consumer (lookup, number, shard, cid, sealed_id, data_key, created_at) "
        "values ($1, $2, $3, $4, $5, $6, $7)";
    _cleanup_arena struct arena arena = {0};
    struct identity_new fresh = {.row = new->row};
    if (new->generation != generation_of(who)) {
        identity_prepare(who, new->id, now, &arena, &fresh);
        new->row = fresh.row;
    } else {
        fresh = *new;
    }
    struct db_stmt *s = db_use(db, sql);
    db_bind_blob(s, 1, identity_hash_str(&fresh.row.lookup));
    db_bind_int(s, 2, fresh.row.number);
    db_bind_int(s, 3, fresh.row.shard);
    db_bind_blob(s, 4, uid_str(&fresh.row.cid));
    db_bind_blob(s, 5, fresh.sealed_id);
    db_bind_blob(s, 6, fresh.sealed_key);
    db_bind_int(s, 7, now);
    return db_run(s, err);
}

int identity_add(const struct identity *who, struct db *db, struct str id, int64_t now,
                 struct identity_row *out, struct err *err)
{
    _cleanup_arena struct arena arena = {0};
    struct identity_new new = {0};
    int rc = identity_next_number(db, &new.row.number, err);
    if (rc)
        return rc;
    identity_prepare(who, id, now, &arena, &new);
    rc = identity_put(who, db, &new, now, err);
    if (rc == 0)
        *out = new.row;
    return rc;
}

/* Opens the sealed value that the statement selects. 1 and appended, 0 when there is none. */
static int open_sealed(const struct identity *who, struct db_stmt *s, const char *use,
                       const struct uid *cid, struct buf *out, struct err *err)
{
    _cleanup_buf struct buf about = {0};
    int rc = db_step(s, err);
    if (rc != 1)
        return rc;
    rc = kek_unseal(who, identity_associated(use, cid, &about), db_blob(s, 0), out, err);
    db_done(s);
    return rc ? rc : 1;
}

int identity_name(const struct identity *who, struct db *db, const struct uid *cid, struct buf *id,
                  struct err *err)
{
    static const char sql[] = "select sealed_id from consumer where cid = $1";
    size_t start = id->n;
    uint64_t mark = db_in_transaction(db) ? db_note(db) : recent_mark(who->recent);
    if (mark && recent_get(who->recent, cid, id))
        return 1;
    struct db_stmt *s = db_use(db, sql);
    db_bind_blob(s, 1, uid_str(cid));
    int rc = open_sealed(who, s, SEALED_ID, cid, id, err);
    if (rc == 1 && mark)
        recent_put(who->recent, mark, cid, (struct str){id->p + start, id->n - start});
    return rc;
}

int identity_begin_read(const struct identity *who, struct db *db, struct err *err)
{
    uint64_t mark = recent_mark(who->recent);
    int rc = db_begin_read(db, err);
    if (rc == 0)
        db_set_note(db, mark);
    return rc;
}

void identity_forget_name(const struct identity *who, const struct uid *cid)
{
    recent_forget(who->recent, cid);
}

static int open_key(const struct identity *who, struct db_stmt *s, const struct uid *cid,
                    struct secret *out, struct err *err)
{
    _cleanup_buf struct buf plain = {0};
    int rc = open_sealed(who, s, SEALED_KEY, cid, &plain, err);
    if (rc != 1)
        return rc;
    if (plain.n != sizeof out->b)
        return err_set(err, LOV_ECORRUPT, "data key of a wrong size");
    memcpy(out->b, plain.p, plain.n);
    secret_wipe_bytes(plain.p, plain.n);
    return 1;
}

int identity_data_key(const struct identity *who, struct db *db, const struct uid *cid,
                      struct secret *out, struct err *err)
{
    static const char sql[] = "select data_key from consumer where cid = $1";
    struct db_stmt *s = db_use(db, sql);
    db_bind_blob(s, 1, uid_str(cid));
    return open_key(who, s, cid, out, err);
}

int identity_data_key_of(const struct identity *who, struct db *db, const struct identity_row *row,
                         struct secret *out, struct err *err)
{
    static const char sql[] = "select data_key from consumer where lookup = $1 and cid = $2";
    struct db_stmt *s = db_use(db, sql);
    db_bind_blob(s, 1, identity_hash_str(&row->lookup));
    db_bind_blob(s, 2, uid_str(&row->cid));
    return open_key(who, s, &row->cid, out, err);
}

int identity_each(struct db *db, int (*row)(void *ctx, const struct identity_row *r), void *ctx,
                  struct err *err)
{
    static const char sql[] = "select lookup, number, shard, cid from consumer order by number";
    struct db_stmt *s = db_use(db, sql);
    int rc;
    while ((rc = db_step(s, err)) == 1) {
        struct identity_row r;
        rc = read_row(s, &r, err);
        if (rc == 0)
            rc = row(ctx, &r);
        if (rc) {
            db_done(s);
            return rc;
        }
    }
    return rc;
}

/* ---- erasure ---- */

int identity_was_erased(struct db *db, const struct hash128 *lookup, struct err *err)
{
    static const char sql[] = "select 1 from erased where lookup = $1";
    struct db_stmt *s = db_use(db, sql);
    db_bind_blob(s, 1, identity_hash_str(lookup));
    int rc = db_step(s, err);
    if (rc == 1)
        db_done(s);
    return rc;
}

int identity_erase(struct db *db, const struct hash128 *lookup, int64_t now, bool suppress,
                   struct err *err)
{
    static const char delete[] = "delete from consumer where lookup = $1";
    static const char insert[] =
        "insert into erased (lookup, at) values ($1, $2) on conflict (lookup) do nothing";
    struct identity_row row;
    int rc = identity_find(db, lookup, &row, err);
    if (rc == 1)
        rc = account_erase(db, &row.cid, err);
    if (rc < 0)
        return rc;
    struct db_stmt *s = db_use(db, delete);
    db_bind_blob(s, 1, identity_hash_str(lookup));
    rc = db_run(s, err);
    if (rc || !suppress)
        return rc;
    s = db_use(db, insert);
    db_bind_blob(s, 1, identity_hash_str(lookup));
    db_bind_int(s, 2, now);
    return db_run(s, err);
}

int identity_each_erased(struct db *db, int (*row)(void *ctx, const struct hash128 *lookup),
                         void *ctx, struct err *err)
{
    static const char sql[] = "select lookup from erased order by lookup";
    struct db_stmt *s = db_use(db, sql);
    int rc;
    while ((rc = db_step(s, err)) == 1) {
        struct str lookup = db_blob(s, 0);
        struct hash128 h;
        rc = lookup.n == sizeof h.b ? 0 : err_set(err, LOV_ECORRUPT, "erased row of a wrong size");
        if (rc == 0) {
            memcpy(h.b, lookup.p, sizeof h.b);
            rc = row(ctx, &h);
        }
        if (rc) {
            db_done(s);
            return rc;
        }
    }
    return rc;
}
