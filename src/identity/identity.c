/* identity.c - see identity.h. One random root secret, sealed by the KEK, is stored; every other
 * secret of the installation is derived from it, so that changing the KEK rewrites rows but never
 * moves a consumer. */
#include "identity/identity.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "db/schema.h"

struct identity {
    struct secret kek, root;
    uint8_t lookup_key[16];
    uint32_t shards;
};

static const char SEALED_ID[] = "lov id", SEALED_KEY[] = "lov data key", SEALED_ROOT[] = "lov root";

/* ---- the key-encryption key ---- */

int identity_create_key(const char *dir, struct err *err)
{
    _cleanup_buf struct buf path = {0}, text = {0};
    _cleanup_secret struct secret kek;
    random_bytes(kek.b, sizeof kek.b);
    buf_printf(&path, "%s/key", dir);
    hex_encode(kek.b, sizeof kek.b, &text);
    buf_char(&text, '\n');
    int rc = file_create(path.p, 0600, buf_view(&text), err);
    memset(text.p, 0, text.n);
    return rc;
}

int identity_load_key(const char *dir, struct secret *kek, struct err *err)
{
    const char *given = getenv("LOV_KEY");
    if (given) {
        if (!hex_decode(str_trim(str_of(given)), kek->b, sizeof kek->b))
            return err_set(err, LOV_EINVAL, "LOV_KEY is not 64 hexadecimal digits");
        return 0;
    }
    _cleanup_buf struct buf path = {0}, text = {0};
    buf_printf(&path, "%s/key", dir);
    int rc = file_check_private(path.p, err);
    if (rc == 0)
        rc = file_read(path.p, 256, &text, err);
    if (rc)
        return rc;
    bool ok = hex_decode(str_trim(buf_view(&text)), kek->b, sizeof kek->b);
    memset(text.p, 0, text.n);
    return ok ? 0 : err_set(err, LOV_EINVAL, "%s is not 64 hexadecimal digits", path.p);
}

/* ---- opening ---- */

static int load_root(struct identity *who, struct db *db, struct err *err)
{
    static const char select[] = "select sealed from secret where name = 'root'";
    static const char insert[] = "insert into secret (name, sealed) values ('root', $1)";
    _cleanup_buf struct buf plain = {0};
    struct db_stmt *s = db_use(db, select);
    int rc = db_step(s, err);
    if (rc < 0)
        return rc;
    if (rc == 1) {
        rc = unseal(&who->kek, STR(SEALED_ROOT), db_blob(s, 0), &plain, NULL);
        db_done(s);
        if (rc || plain.n != sizeof who->root.b)
            return err_set(err, LOV_ECORRUPT,
                           "the key does not open this installation: put back the file `key` that "
                           "it was made with, or set LOV_KEY");
        memcpy(who->root.b, plain.p, plain.n);
        memset(plain.p, 0, plain.n);
        return 0;
    }
    random_bytes(who->root.b, sizeof who->root.b);
    seal(&who->kek, STR(SEALED_ROOT), (struct str){(char *)who->root.b, sizeof who->root.b},
         &plain);
    s = db_use(db, insert);
    db_bind_blob(s, 1, buf_view(&plain));
    return db_run(s, err);
}

int identity_open(struct db *db, const struct secret *kek, uint32_t shards, struct identity **out,
                  struct err *err)
{
    int rc = db_migrate_embedded(db, "identity", err);
    if (rc)
        return rc;
    struct identity *who = mem_zero(sizeof *who);
    who->kek = *kek;
    who->shards = shards;
    rc = load_root(who, db, err);
    if (rc) {
        identity_close(who);
        return rc;
    }
    _cleanup_secret struct secret lookup = identity_secret(who, "lookup");
    memcpy(who->lookup_key, lookup.b, sizeof who->lookup_key);
    *out = who;
    return 0;
}

void identity_close(struct identity *who)
{
    if (!who)
        return;
    secret_wipe(&who->kek);
    secret_wipe(&who->root);
    free(who);
}

struct secret identity_secret(const struct identity *who, const char *use)
{
    return secret_derive(&who->root, str_of(use));
}

/* ---- rows ---- */

static struct str hash_str(const struct hash128 *h)
{
    return (struct str){(const char *)h->b, sizeof h->b};
}

struct hash128 identity_lookup(const struct identity *who, struct str id)
{
    return siphash128(who->lookup_key, id);
}

static uint32_t shard_of(const struct identity *who, const struct hash128 *lookup)
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
    return find_row(db, sql, hash_str(lookup), out, err);
}

int identity_find_cid(struct db *db, const struct uid *cid, struct identity_row *out,
                      struct err *err)
{
    static const char sql[] = "select lookup, number, shard, cid from consumer where cid = $1";
    return find_row(db, sql, uid_str(cid), out, err);
}

static struct str associated(const char *use, const struct uid *cid, struct buf *out)
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
    int rc = db_step(s, err);
    if (rc < 0)
        return rc;
    *out = db_int(s, 0);
    db_done(s);
    return 0;
}

int identity_add(const struct identity *who, struct db *db, struct str id, int64_t now,
                 struct identity_row *out, struct err *err)
{
    static const char sql[] =
        "insert into consumer (lookup, number, shard, cid, sealed_id, data_key, created_at) "
        "values ($1, $2, $3, $4, $5, $6, $7)";
    _cleanup_buf struct buf about = {0}, sealed_id = {0}, sealed_key = {0};
    _cleanup_secret struct secret data_key;
    struct identity_row row = {.lookup = identity_lookup(who, id), .cid = uid_new()};
    row.shard = shard_of(who, &row.lookup);
    int rc = identity_next_number(db, &row.number, err);
    if (rc)
        return rc;
    random_bytes(data_key.b, sizeof data_key.b);
    seal(&who->kek, associated(SEALED_ID, &row.cid, &about), id, &sealed_id);
    seal(&who->kek, associated(SEALED_KEY, &row.cid, &about),
         (struct str){(char *)data_key.b, sizeof data_key.b}, &sealed_key);
    struct db_stmt *s = db_use(db, sql);
    db_bind_blob(s, 1, hash_str(&row.lookup));
    db_bind_int(s, 2, row.number);
    db_bind_int(s, 3, row.shard);
    db_bind_blob(s, 4, uid_str(&row.cid));
    db_bind_blob(s, 5, buf_view(&sealed_id));
    db_bind_blob(s, 6, buf_view(&sealed_key));
    db_bind_int(s, 7, now);
    rc = db_run(s, err);
    if (rc == 0)
        *out = row;
    return rc;
}

/* Opens the sealed value that `sql` selects for the cid. 1 and appended, 0 when there is none. */
static int open_sealed(const struct identity *who, struct db *db, const char *sql, const char *use,
                       const struct uid *cid, struct buf *out, struct err *err)
{
    _cleanup_buf struct buf about = {0};
    struct db_stmt *s = db_use(db, sql);
    db_bind_blob(s, 1, uid_str(cid));
    int rc = db_step(s, err);
    if (rc != 1)
        return rc;
    rc = unseal(&who->kek, associated(use, cid, &about), db_blob(s, 0), out, err);
    db_done(s);
    return rc ? rc : 1;
}

int identity_name(const struct identity *who, struct db *db, const struct uid *cid, struct buf *id,
                  struct err *err)
{
    static const char sql[] = "select sealed_id from consumer where cid = $1";
    return open_sealed(who, db, sql, SEALED_ID, cid, id, err);
}

int identity_data_key(const struct identity *who, struct db *db, const struct uid *cid,
                      struct secret *out, struct err *err)
{
    static const char sql[] = "select data_key from consumer where cid = $1";
    _cleanup_buf struct buf plain = {0};
    int rc = open_sealed(who, db, sql, SEALED_KEY, cid, &plain, err);
    if (rc != 1)
        return rc;
    if (plain.n != sizeof out->b)
        return err_set(err, LOV_ECORRUPT, "data key of a wrong size");
    memcpy(out->b, plain.p, plain.n);
    memset(plain.p, 0, plain.n);
    return 1;
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
    db_bind_blob(s, 1, hash_str(lookup));
    int rc = db_step(s, err);
    if (rc == 1)
        db_done(s);
    return rc;
}

int identity_erase(struct db *db, const struct hash128 *lookup, int64_t now, struct err *err)
{
    static const char delete[] = "delete from consumer where lookup = $1";
    static const char insert[] =
        "insert into erased (lookup, at) values ($1, $2) on conflict (lookup) do nothing";
    struct db_stmt *s = db_use(db, delete);
    db_bind_blob(s, 1, hash_str(lookup));
    int rc = db_run(s, err);
    if (rc)
        return rc;
    s = db_use(db, insert);
    db_bind_blob(s, 1, hash_str(lookup));
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
