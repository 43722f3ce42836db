/*
 * rows.h - what rows of consumers' accounts and of staff have in common. Private.
 */
#ifndef LOV_IDENTITY_ROWS_H
#define LOV_IDENTITY_ROWS_H

#include "db/db.h"
#include "identity/identity.h"

struct str row_digest(const struct sha256 *d);
/* Binds `count` blobs and runs the statement. */
int row_run(struct db *db, const char *sql, const struct str *blobs, int count, struct err *err);
int row_uid(struct db_stmt *s, int column, struct uid *out, struct err *err);
/* What somebody signs in with: in lower case, as far as it is ASCII, hashed with the secret of the
 * installation for that use. */
struct sha256 row_login(const struct identity *who, const char *use, struct str name);
/* A link to make an account: puts one (columns digest, whose, created_at, expires_at), after
 * sweeping those that are over; finds whose it is, 1 or 0. */
struct link_sql {
    const char *sweep, *put, *find;
};
int row_link_put(struct db *db, const struct link_sql *sql, const struct sha256 *digest,
                 const struct uid *whose, int64_t expires_at, int64_t now, struct err *err);
int row_link_find(struct db *db, const struct link_sql *sql, const struct sha256 *digest,
                  int64_t now, struct uid *whose, struct err *err);

#endif
