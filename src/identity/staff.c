/* staff.c - see staff.h. Names are sealed under a secret of the installation, which a change of the
 * key-encryption key leaves as it is, so that no row has to be sealed anew. */
#include "identity/staff.h"

#include <string.h>

#include "base/clock.h"
#include "identity/rows.h"
#include "identity/store.h"

static int64_t take_time(struct db_stmt *s, int column)
{
    return db_is_null(s, column) ? TIME_NONE : db_int(s, column);
}

static void bind_time(struct db_stmt *s, int i, int64_t at)
{
    if (at == TIME_NONE)
        db_bind_null(s, i);
    else
        db_bind_int(s, i, at);
}

/* ---- lists ---- */

struct str staff_list_next(struct str *list)
{
    return str_cut(list, ' ');
}

bool staff_list_has(struct str list, struct str name)
{
    while (list.n)
        if (str_eq(staff_list_next(&list), name))
            return true;
    return false;
}

/* ---- staff ---- */

static const char SEALED_STAFF[] = "lov staff name";

#define STAFF_COLUMNS                                                                              \
    "id, name, password, roles, recipients, trained_until, created_at, disabled_at, "              \
    "approves_from, signed_in_at"

static int take_staff(const struct identity *who, struct db_stmt *s, struct arena *arena,
                      struct staff *out, struct err *err)
{
    _cleanup_secret struct secret key = identity_secret(who, "staff name");
    _cleanup_buf struct buf about = {0}, name = {0};
    struct staff row = {
        .password = db_is_null(s, 2) ? (struct str){0} : arena_str(arena, db_text(s, 2)),
        .roles = arena_str(arena, db_text(s, 3)),
        .recipients = arena_str(arena, db_text(s, 4)),
        .trained_until = take_time(s, 5),
        .created_at = db_int(s, 6),
        .disabled_at = take_time(s, 7),
        .approves_from = db_int(s, 8),
        .signed_in_at = take_time(s, 9),
    };
    int rc = row_uid(s, 0, &row.id, err);
    if (rc == 0)
        rc = unseal(&key, identity_associated(SEALED_STAFF, &row.id, &about), db_blob(s, 1), &name,
                    err);
    row.name = arena_str(arena, buf_view(&name));
    if (rc == 0)
        *out = row;
    return rc;
}

static int take_one(const struct identity *who, struct db_stmt *s, struct arena *arena,
                    struct staff *out, struct err *err)
{
    int rc = db_step(s, err);
    if (rc != 1)
        return rc;
    rc = take_staff(who, s, arena, out, err);
    db_done(s);
    return rc ? rc : 1;
}

int staff_add(const struct identity *who, struct db *db, const struct staff *v, struct err *err)
{
    static const char sql[] = "insert into staff (id, name, roles, recipients, trained_until, "
                              "created_at, approves_from) "
                              "values ($1, $2, $3, $4, $5, $6, $7)";
    _cleanup_secret struct secret key = identity_secret(who, "staff name");
    _cleanup_buf struct buf about = {0}, sealed = {0};
    seal(&key, identity_associated(SEALED_STAFF, &v->id, &about), v->name, &sealed);
    struct db_stmt *s = db_use(db, sql);
    db_bind_blob(s, 1, uid_str(&v->id));
    db_bind_blob(s, 2, buf_view(&sealed));
    db_bind_text(s, 3, v->roles);
    db_bind_text(s, 4, v->recipients);
    bind_time(s, 5, v->trained_until);
    db_bind_int(s, 6, v->created_at);
    db_bind_int(s, 7, v->approves_from);
    return db_run(s, err);
}

int staff_get(const struct identity *who, struct db *db, const struct uid *id, struct arena *arena,
              struct staff *out, struct err *err)
{
    static const char sql[] = "select " STAFF_COLUMNS " from staff where id = $1";
    struct db_stmt *s = db_use(db, sql);
    db_bind_blob(s, 1, uid_str(id));
    return take_one(who, s, arena, out, err);
}

int staff_find(const struct identity *who, struct db *db, struct str login, struct arena *arena,
               struct staff *out, struct err *err)
{
    static const char sql[] = "select " STAFF_COLUMNS " from staff where login = $1";
    struct sha256 hash = row_login(who, "staff login", login);
    struct db_stmt *s = db_use(db, sql);
    db_bind_blob(s, 1, row_digest(&hash));
    return take_one(who, s, arena, out, err);
}

int staff_each(const struct identity *who, struct db *db, const struct uid *after, int64_t limit,
               struct arena *arena, int (*row)(void *ctx, const struct staff *s), void *ctx,
               struct err *err)
{
    static const char sql[] =
        "select " STAFF_COLUMNS " from staff where id > $1 order by id limit $2";
    struct db_stmt *s = db_use(db, sql);
    int rc;
    db_bind_blob(s, 1, after ? uid_str(after) : (struct str){"", 0});
    db_bind_int(s, 2, limit);
    while ((rc = db_step(s, err)) == 1) {
        struct staff one;
        rc = take_staff(who, s, arena, &one, err);
        if (rc == 0)
            rc = row(ctx, &one);
        if (rc) {
            db_done(s);
            return rc;
        }
    }
    return rc;
}

static int check_free(struct db *db, const struct sha256 *login, const struct uid *id,
                      struct err *err)
{
    static const char sql[] = "select 1 from staff where login = $1 and id <> $2";
    struct db_stmt *s = db_use(db, sql);
    db_bind_blob(s, 1, row_digest(login));
    db_bind_blob(s, 2, uid_str(id));
    int rc = db_step(s, err);
    if (rc == 1)
        db_done(s);
    if (rc == 1)
        return err_reason(err, LOV_ECONFLICT, "name_taken", "somebody signs in with that name");
    return rc;
}

int staff_set_login(const struct identity *who, struct db *db, const struct uid *id,
                    struct str login, struct str password, struct err *err)
{
    static const char sql[] = "update staff set login = $2, password = $3 where id = $1";
    struct sha256 hash = row_login(who, "staff login", login);
    int rc = check_free(db, &hash, id, err);
    if (rc)
        return rc;
    struct db_stmt *s = db_use(db, sql);
    db_bind_blob(s, 1, uid_str(id));
    db_bind_blob(s, 2, row_digest(&hash));
    db_bind_text(s, 3, password);
    return db_run(s, err);
}

int staff_set(struct db *db, const struct staff *v, struct err *err)
{
    static const char sql[] = "update staff set roles = $2, recipients = $3, trained_until = $4, "
                              "approves_from = $5 where id = $1";
    struct db_stmt *s = db_use(db, sql);
    db_bind_blob(s, 1, uid_str(&v->id));
    db_bind_text(s, 2, v->roles);
    db_bind_text(s, 3, v->recipients);
    bind_time(s, 4, v->trained_until);
    db_bind_int(s, 5, v->approves_from);
    return db_run(s, err);
}

int staff_credentials(struct db *db, const struct uid *id, struct sha256 *out, struct err *err)
{
    static const char sql[] = "select login, password from staff where id = $1 and "
                              "login is not null and password is not null";
    struct db_stmt *s = db_use(db, sql);
    db_bind_blob(s, 1, uid_str(id));
    int rc = db_step(s, err);
    if (rc != 1)
        return rc;
    struct str parts[] = {db_blob(s, 0), db_text(s, 1)};
    *out = sha256_parts(parts, 2);
    db_done(s);
    return 1;
}

static int run_at(struct db *db, const char *sql, const struct uid *id, int64_t at, struct err *err)
{
    struct db_stmt *s = db_use(db, sql);
    db_bind_blob(s, 1, uid_str(id));
    db_bind_int(s, 2, at);
    return db_run(s, err);
}

int staff_signed_in(struct db *db, const struct uid *id, int64_t now, struct err *err)
{
    static const char sql[] = "update staff set signed_in_at = $2 where id = $1";
    return run_at(db, sql, id, now, err);
}

int staff_set_power(struct db *db, const struct uid *id, int64_t now, struct err *err)
{
    static const char sql[] = "update staff set power_at = $2 where id = $1 and power_at is null";
    return run_at(db, sql, id, now, err);
}

int staff_four_eyes(struct db *db, int64_t *since, struct err *err)
{
    static const char sql[] = "select power_at from staff where power_at is not null "
                              "order by power_at limit 1 offset 1";
    struct db_stmt *s = db_use(db, sql);
    int rc = db_step(s, err);
    if (rc < 0)
        return rc;
    *since = rc ? db_int(s, 0) : TIME_NONE;
    if (rc)
        db_done(s);
    return 0;
}

int staff_disable(struct db *db, const struct uid *id, int64_t now, struct err *err)
{
    static const char sql[] = "update staff set disabled_at = $2, login = null, password = null "
                              "where id = $1";
    int rc = run_at(db, sql, id, now, err);
    if (rc == 0)
        rc = staff_invitation_end(db, id, err);
    return rc ? rc : staff_session_end_all(db, id, NULL, err);
}

/* ---- invitations ---- */

static const struct link_sql LINK_SQL = {
    .sweep = "delete from staff_invitation where expires_at <= $1",
    .put = "insert into staff_invitation (digest, staff, created_at, expires_at) "
           "values ($1, $2, $3, $4)",
    .find = "select staff from staff_invitation where digest = $1 and expires_at > $2",
};

int staff_invitation_put(struct db *db, const struct sha256 *digest, const struct uid *id,
                         int64_t expires_at, int64_t now, struct err *err)
{
    return row_link_put(db, &LINK_SQL, digest, id, expires_at, now, err);
}

int staff_invitation_find(struct db *db, const struct sha256 *digest, int64_t now, struct uid *id,
                          struct err *err)
{
    return row_link_find(db, &LINK_SQL, digest, now, id, err);
}

int staff_invitation_end(struct db *db, const struct uid *id, struct err *err)
{
    static const char sql[] = "delete from staff_invitation where staff = $1";
    struct str blobs[] = {uid_str(id)};
    return row_run(db, sql, blobs, 1, err);
}

/* ---- sessions ---- */

#define SESSION_COLUMNS "digest, staff, id, role, created_at, seen_at, proved_at, device"

static int take_session(struct db_stmt *s, struct arena *arena, struct staff_session *out,
                        struct err *err)
{
    struct str digest = db_blob(s, 0);
    struct staff_session row = {
        .role = arena_str(arena, db_text(s, 3)),
        .created_at = db_int(s, 4),
        .seen_at = db_int(s, 5),
        .proved_at = db_int(s, 6),
        .device = arena_str(arena, db_text(s, 7)),
    };
    if (digest.n != sizeof row.digest.b)
        return err_set(err, LOV_ECORRUPT, "a session has a digest of a wrong size");
    memcpy(row.digest.b, digest.p, digest.n);
    int rc = row_uid(s, 1, &row.staff, err);
    if (rc == 0)
        rc = row_uid(s, 2, &row.id, err);
    if (rc == 0)
        *out = row;
    return rc;
}

int staff_session_find(struct db *db, const struct sha256 *digest, struct arena *arena,
                       struct staff_session *out, struct err *err)
{
    static const char sql[] = "select " SESSION_COLUMNS " from staff_session where digest = $1";
    struct db_stmt *s = db_use(db, sql);
    db_bind_blob(s, 1, row_digest(digest));
    int rc = db_step(s, err);
    if (rc != 1)
        return rc;
    rc = take_session(s, arena, out, err);
    db_done(s);
    return rc ? rc : 1;
}

int staff_session_each(struct db *db, const struct uid *staff, struct arena *arena,
                       int (*row)(void *ctx, const struct staff_session *s), void *ctx,
                       struct err *err)
{
    static const char sql[] = "select " SESSION_COLUMNS " from staff_session where staff = $1 "
                              "order by seen_at desc";
    struct db_stmt *s = db_use(db, sql);
    int rc;
    db_bind_blob(s, 1, uid_str(staff));
    while ((rc = db_step(s, err)) == 1) {
        struct staff_session one;
        rc = take_session(s, arena, &one, err);
        if (rc == 0)
            rc = row(ctx, &one);
        if (rc) {
            db_done(s);
            return rc;
        }
    }
    return rc;
}

int staff_session_put(struct db *db, const struct staff_session *v, struct err *err)
{
    static const char sql[] = "insert into staff_session (" SESSION_COLUMNS ") "
                              "values ($1, $2, $3, $4, $5, $6, $7, $8)";
    struct db_stmt *s = db_use(db, sql);
    db_bind_blob(s, 1, row_digest(&v->digest));
    db_bind_blob(s, 2, uid_str(&v->staff));
    db_bind_blob(s, 3, uid_str(&v->id));
    db_bind_text(s, 4, v->role);
    db_bind_int(s, 5, v->created_at);
    db_bind_int(s, 6, v->seen_at);
    db_bind_int(s, 7, v->proved_at);
    db_bind_text(s, 8, v->device);
    return db_run(s, err);
}

int staff_session_touch(struct db *db, const struct staff_session *v, struct err *err)
{
    static const char sql[] =
        "update staff_session set seen_at = $2 where digest = $1 and seen_at < $2";
    struct db_stmt *s = db_use(db, sql);
    db_bind_blob(s, 1, row_digest(&v->digest));
    db_bind_int(s, 2, v->seen_at);
    return db_run(s, err);
}

int staff_session_end(struct db *db, const struct uid *staff, const struct uid *id, struct err *err)
{
    static const char sql[] = "delete from staff_session where staff = $1 and id = $2";
    struct str blobs[] = {uid_str(staff), uid_str(id)};
    return row_run(db, sql, blobs, 2, err);
}

int staff_session_end_all(struct db *db, const struct uid *staff, const struct uid *except,
                          struct err *err)
{
    static const char sql[] = "delete from staff_session where staff = $1 and id <> $2";
    static const struct uid none;
    struct str blobs[] = {uid_str(staff), uid_str(except ? except : &none)};
    return row_run(db, sql, blobs, 2, err);
}

int staff_session_sweep(struct db *db, int64_t seen_before, int64_t created_before, struct err *err)
{
    static const char sql[] = "delete from staff_session where seen_at < $1 or created_at < $2";
    struct db_stmt *s = db_use(db, sql);
    db_bind_int(s, 1, seen_before);
    db_bind_int(s, 2, created_before);
    return db_run(s, err);
}
