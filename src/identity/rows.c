/* rows.c - see rows.h. */
#include "identity/rows.h"

#include <string.h>

struct str row_digest(const struct sha256 *d)
{
    return (struct str){(const char *)d->b, sizeof d->b};
}

int row_run(struct db *db, const char *sql, const struct str *blobs, int count, struct err *err)
{
    struct db_stmt *s = db_use(db, sql);
    for (int i = 0; i < count; i++)
        db_bind_blob(s, i + 1, blobs[i]);
    return db_run(s, err);
}

int row_uid(struct db_stmt *s, int column, struct uid *out, struct err *err)
{
    struct str blob = db_blob(s, column);
    if (blob.n != sizeof out->b)
        return err_set(err, LOV_ECORRUPT, "a row of the accounts has an id of a wrong size");
    memcpy(out->b, blob.p, blob.n);
    return 0;
}

struct sha256 row_login(const struct identity *who, const char *use, struct str name)
{
    enum { MOST = 254 };
    _cleanup_secret struct secret key = identity_secret(who, use);
    char folded[MOST];
    size_t n = name.n < sizeof folded ? name.n : sizeof folded;
    for (size_t i = 0; i < n; i++)
        folded[i] = name.p[i] >= 'A' && name.p[i] <= 'Z' ? (char)(name.p[i] + 32) : name.p[i];
    struct str parts[] = {{(const char *)key.b, sizeof key.b}, {folded, n}};
    return sha256_parts(parts, 2);
}

int row_link_put(struct db *db, const struct link_sql *sql, const struct sha256 *digest,
                 const struct uid *whose, int64_t expires_at, int64_t now, struct err *err)
{
    struct db_stmt *s = db_use(db, sql->sweep);
    db_bind_int(s, 1, now);
    int rc = db_run(s, err);
    if (rc)
        return rc;
    s = db_use(db, sql->put);
    db_bind_blob(s, 1, row_digest(digest));
    db_bind_blob(s, 2, uid_str(whose));
    db_bind_int(s, 3, now);
    db_bind_int(s, 4, expires_at);
    return db_run(s, err);
}

int row_link_find(struct db *db, const struct link_sql *sql, const struct sha256 *digest,
                  int64_t now, struct uid *whose, struct err *err)
{
    struct db_stmt *s = db_use(db, sql->find);
    db_bind_blob(s, 1, row_digest(digest));
    db_bind_int(s, 2, now);
    int rc = db_step(s, err);
    if (rc != 1)
        return rc;
    rc = row_uid(s, 0, whose, err);
    db_done(s);
    return rc ? rc : 1;
}
