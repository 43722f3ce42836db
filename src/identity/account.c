/* account.c - see account.h. */
#include "identity/account.h"

#include <string.h>

#include "identity/rows.h"
#include "identity/store.h"

/* ---- accounts ---- */

static int take_account(struct db_stmt *s, struct arena *arena, struct account *out,
                        struct err *err)
{
    struct account a = {.created_at = db_int(s, 3)};
    int rc = row_uid(s, 0, &a.cid, err);
    a.password = db_is_null(s, 1) ? (struct str){0} : arena_str(arena, db_text(s, 1));
    a.words = arena_str(arena, db_text(s, 2));
    db_done(s);
    if (rc == 0)
        *out = a;
    return rc ? rc : 1;
}

int account_find(const struct identity *who, struct db *db, struct str name, struct arena *arena,
                 struct account *out, struct err *err)
{
    static const char sql[] = "select cid, password, words, created_at from account "
                              "where login = $1";
    struct sha256 login = row_login(who, "login", name);
    struct db_stmt *s = db_use(db, sql);
    db_bind_blob(s, 1, row_digest(&login));
    int rc = db_step(s, err);
    return rc == 1 ? take_account(s, arena, out, err) : rc;
}

int account_get(struct db *db, const struct uid *cid, struct arena *arena, struct account *out,
                struct err *err)
{
    static const char sql[] = "select cid, password, words, created_at from account where cid = $1";
    struct db_stmt *s = db_use(db, sql);
    db_bind_blob(s, 1, uid_str(cid));
    int rc = db_step(s, err);
    return rc == 1 ? take_account(s, arena, out, err) : rc;
}

int account_each(struct db *db, const struct uid *after, int64_t limit,
                 int (*row)(void *ctx, const struct uid *cid, int64_t created_at), void *ctx,
                 struct err *err)
{
    static const char sql[] =
        "select cid, created_at from account where cid > $1 order by cid limit $2";
    struct db_stmt *s = db_use(db, sql);
    db_bind_blob(s, 1, uid_str(after));
    db_bind_int(s, 2, limit);
    int rc;
    while ((rc = db_step(s, err)) == 1) {
        struct uid cid;
        rc = row_uid(s, 0, &cid, err);
        if (rc == 0)
            rc = row(ctx, &cid, db_int(s, 1));
        if (rc) {
            db_done(s);
            return rc;
        }
    }
    return rc;
}

static const char SEALED_NAME[] = "lov account name";

int account_name(const struct identity *who, struct db *db, const struct uid *cid, struct buf *out,
                 struct err *err)
{
    static const char sql[] = "select name from account where cid = $1";
    _cleanup_secret struct secret key;
    _cleanup_buf struct buf about = {0};
    int rc = identity_data_key(who, db, cid, &key, err);
    if (rc != 1)
        return rc;
    struct db_stmt *s = db_use(db, sql);
    db_bind_blob(s, 1, uid_str(cid));
    rc = db_step(s, err);
    if (rc != 1)
        return rc;
    rc = unseal(&key, identity_associated(SEALED_NAME, cid, &about), db_blob(s, 0), out, err);
    db_done(s);
    return rc ? rc : 1;
}

static int check_free(struct db *db, const struct sha256 *login, const struct uid *cid,
                      struct err *err)
{
    static const char sql[] = "select 1 from account where login = $1 and cid <> $2";
    struct db_stmt *s = db_use(db, sql);
    db_bind_blob(s, 1, row_digest(login));
    db_bind_blob(s, 2, uid_str(cid));
    int rc = db_step(s, err);
    if (rc != 1)
        return rc;
    db_done(s);
    return err_reason(err, LOV_ECONFLICT, "name_taken", "another account has this name");
}

int account_put(const struct identity *who, struct db *db, const struct uid *cid, struct str name,
                struct str password, struct str words, int64_t now, struct err *err)
{
    static const char sql[] =
        "insert into account (cid, login, name, password, words, created_at) "
        "values ($1, $2, $3, $4, $5, $6) on conflict (cid) do update set "
        "login = excluded.login, name = excluded.name, password = excluded.password";
    _cleanup_secret struct secret key;
    _cleanup_buf struct buf about = {0}, sealed = {0};
    struct sha256 login = row_login(who, "login", name);
    int rc = identity_data_key(who, db, cid, &key, err);
    if (rc == 0)
        return err_reason(err, LOV_ECONFLICT, "erased", "the consumer was erased");
    if (rc == 1)
        rc = check_free(db, &login, cid, err);
    if (rc < 0)
        return rc;
    seal(&key, identity_associated(SEALED_NAME, cid, &about), name, &sealed);
    struct db_stmt *s = db_use(db, sql);
    db_bind_blob(s, 1, uid_str(cid));
    db_bind_blob(s, 2, row_digest(&login));
    db_bind_blob(s, 3, buf_view(&sealed));
    if (password.n)
        db_bind_text(s, 4, password);
    else
        db_bind_null(s, 4);
    db_bind_text(s, 5, words);
    db_bind_int(s, 6, now);
    return db_run(s, err);
}

int account_set_words(struct db *db, const struct uid *cid, struct str words, struct err *err)
{
    static const char sql[] = "update account set words = $2 where cid = $1";
    struct db_stmt *s = db_use(db, sql);
    db_bind_blob(s, 1, uid_str(cid));
    db_bind_text(s, 2, words);
    return db_run(s, err);
}

/* ---- invitations ---- */

static const struct link_sql LINK_SQL = {
    .sweep = "delete from invitation where expires_at <= $1",
    .put = "insert into invitation (digest, cid, created_at, expires_at) values ($1, $2, $3, $4)",
    .find = "select cid from invitation where digest = $1 and expires_at > $2",
};

int invitation_put(struct db *db, const struct sha256 *digest, const struct uid *cid,
                   int64_t expires_at, int64_t now, struct err *err)
{
    return row_link_put(db, &LINK_SQL, digest, cid, expires_at, now, err);
}

int invitation_find(struct db *db, const struct sha256 *digest, int64_t now, struct uid *cid,
                    struct err *err)
{
    return row_link_find(db, &LINK_SQL, digest, now, cid, err);
}

int invitation_end(struct db *db, const struct uid *cid, struct err *err)
{
    static const char sql[] = "delete from invitation where cid = $1";
    struct str blobs[] = {uid_str(cid)};
    return row_run(db, sql, blobs, 1, err);
}

/* ---- sessions ---- */

#define SESSION_COLUMNS "digest, cid, id, created_at, seen_at, proved_at, device, for_cid"

static int take_session(struct db_stmt *s, struct arena *arena, struct session *out,
                        struct err *err)
{
    struct str digest = db_blob(s, 0);
    struct session row = {
        .created_at = db_int(s, 3),
        .seen_at = db_int(s, 4),
        .proved_at = db_int(s, 5),
        .device = arena_str(arena, db_text(s, 6)),
        .acting = !db_is_null(s, 7),
    };
    if (digest.n != sizeof row.digest.b)
        return err_set(err, LOV_ECORRUPT, "a session has a digest of a wrong size");
    memcpy(row.digest.b, digest.p, digest.n);
    int rc = row_uid(s, 1, &row.cid, err);
    if (rc == 0)
        rc = row_uid(s, 2, &row.id, err);
    if (rc == 0 && row.acting)
        rc = row_uid(s, 7, &row.for_cid, err);
    if (rc == 0)
        *out = row;
    return rc;
}

int session_find(struct db *db, const struct sha256 *digest, struct arena *arena,
                 struct session *out, struct err *err)
{
    static const char sql[] = "select " SESSION_COLUMNS " from session where digest = $1";
    struct db_stmt *s = db_use(db, sql);
    db_bind_blob(s, 1, row_digest(digest));
    int rc = db_step(s, err);
    if (rc != 1)
        return rc;
    rc = take_session(s, arena, out, err);
    db_done(s);
    return rc ? rc : 1;
}

int session_each(struct db *db, const struct uid *cid, struct arena *arena,
                 int (*row)(void *ctx, const struct session *s), void *ctx, struct err *err)
{
    static const char sql[] = "select " SESSION_COLUMNS " from session where cid = $1 "
                              "order by seen_at desc";
    struct db_stmt *s = db_use(db, sql);
    db_bind_blob(s, 1, uid_str(cid));
    int rc;
    while ((rc = db_step(s, err)) == 1) {
        struct session one;
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

int session_put(struct db *db, const struct session *v, struct err *err)
{
    static const char sql[] = "insert into session (" SESSION_COLUMNS ") "
                              "values ($1, $2, $3, $4, $5, $6, $7, $8)";
    struct db_stmt *s = db_use(db, sql);
    db_bind_blob(s, 1, row_digest(&v->digest));
    db_bind_blob(s, 2, uid_str(&v->cid));
    db_bind_blob(s, 3, uid_str(&v->id));
    db_bind_int(s, 4, v->created_at);
    db_bind_int(s, 5, v->seen_at);
    db_bind_int(s, 6, v->proved_at);
    db_bind_text(s, 7, v->device);
    if (v->acting)
        db_bind_blob(s, 8, uid_str(&v->for_cid));
    else
        db_bind_null(s, 8);
    return db_run(s, err);
}

int session_touch(struct db *db, const struct session *v, struct err *err)
{
    static const char sql[] = "update session set seen_at = $2 where digest = $1 and seen_at < $2";
    struct db_stmt *s = db_use(db, sql);
    db_bind_blob(s, 1, row_digest(&v->digest));
    db_bind_int(s, 2, v->seen_at);
    return db_run(s, err);
}

int session_end(struct db *db, const struct uid *cid, const struct uid *id, struct err *err)
{
    static const char sql[] = "delete from session where cid = $1 and id = $2";
    struct str blobs[] = {uid_str(cid), uid_str(id)};
    return row_run(db, sql, blobs, 2, err);
}

int session_end_all(struct db *db, const struct uid *cid, const struct uid *except, struct err *err)
{
    static const char sql[] = "delete from session where cid = $1 and id <> $2";
    static const struct uid none;
    struct str blobs[] = {uid_str(cid), uid_str(except ? except : &none)};
    return row_run(db, sql, blobs, 2, err);
}

int session_sweep(struct db *db, int64_t seen_before, int64_t created_before, struct err *err)
{
    static const char sql[] = "delete from session where seen_at < $1 or created_at < $2";
    struct db_stmt *s = db_use(db, sql);
    db_bind_int(s, 1, seen_before);
    db_bind_int(s, 2, created_before);
    return db_run(s, err);
}

/* ---- passkeys ---- */

#define PASSKEY_COLUMNS "id, cid, key, algorithm, count, label, created_at, used_at"

static int take_passkey(struct db_stmt *s, struct arena *arena, struct passkey *out,
                        struct err *err)
{
    struct passkey row = {
        .id = arena_str(arena, db_blob(s, 0)),
        .key = arena_str(arena, db_blob(s, 2)),
        .algorithm = db_int(s, 3),
        .count = db_int(s, 4),
        .label = arena_str(arena, db_text(s, 5)),
        .created_at = db_int(s, 6),
        .used_at = db_int(s, 7),
    };
    int rc = row_uid(s, 1, &row.cid, err);
    if (rc == 0)
        *out = row;
    return rc;
}

int passkey_find(struct db *db, struct str id, struct arena *arena, struct passkey *out,
                 struct err *err)
{
    static const char sql[] = "select " PASSKEY_COLUMNS " from passkey where id = $1";
    struct db_stmt *s = db_use(db, sql);
    db_bind_blob(s, 1, id);
    int rc = db_step(s, err);
    if (rc != 1)
        return rc;
    rc = take_passkey(s, arena, out, err);
    db_done(s);
    return rc ? rc : 1;
}

int passkey_each(struct db *db, const struct uid *cid, struct arena *arena,
                 int (*row)(void *ctx, const struct passkey *p), void *ctx, struct err *err)
{
    static const char sql[] = "select " PASSKEY_COLUMNS " from passkey where cid = $1 "
                              "order by created_at";
    struct db_stmt *s = db_use(db, sql);
    db_bind_blob(s, 1, uid_str(cid));
    int rc;
    while ((rc = db_step(s, err)) == 1) {
        struct passkey one;
        rc = take_passkey(s, arena, &one, err);
        if (rc == 0)
            rc = row(ctx, &one);
        if (rc) {
            db_done(s);
            return rc;
        }
    }
    return rc;
}

int passkey_put(struct db *db, const struct passkey *p, struct err *err)
{
    static const char sql[] = "insert into passkey (" PASSKEY_COLUMNS ") values "
                              "($1, $2, $3, $4, $5, $6, $7, $8) on conflict (id) do nothing "
                              "returning count";
    struct db_stmt *s = db_use(db, sql);
    db_bind_blob(s, 1, p->id);
    db_bind_blob(s, 2, uid_str(&p->cid));
    db_bind_blob(s, 3, p->key);
    db_bind_int(s, 4, p->algorithm);
    db_bind_int(s, 5, p->count);
    db_bind_text(s, 6, p->label);
    db_bind_int(s, 7, p->created_at);
    db_bind_int(s, 8, p->used_at);
    int rc = db_step(s, err);
    if (rc == 1)
        db_done(s);
    if (rc == 0)
        return err_reason(err, LOV_ECONFLICT, "passkey_known", "this passkey is known already");
    return rc < 0 ? rc : 0;
}

int passkey_used(struct db *db, const struct passkey *p, int64_t count, int64_t now,
                 struct err *err)
{
    static const char sql[] = "update passkey set count = $2, used_at = $3 where id = $1 and "
                              "(count < $2 or (count = 0 and $2 = 0)) returning count";
    struct db_stmt *s = db_use(db, sql);
    db_bind_blob(s, 1, p->id);
    db_bind_int(s, 2, count);
    db_bind_int(s, 3, now);
    int rc = db_step(s, err);
    if (rc == 1)
        db_done(s);
    if (rc == 0)
        return err_reason(err, LOV_ECONFLICT, "passkey_refused", "the passkey was ended or copied");
    return rc < 0 ? rc : 0;
}

int passkey_end(struct db *db, const struct uid *cid, struct str id, struct err *err)
{
    static const char sql[] = "delete from passkey where cid = $1 and id = $2";
    struct str blobs[] = {uid_str(cid), id};
    return row_run(db, sql, blobs, 2, err);
}

/* ---- acting for another ---- */

int delegate_put(struct db *db, const struct uid *cid, const struct uid *for_cid, struct str kind,
                 int64_t now, struct err *err)
{
    static const char sql[] = "insert into delegate (cid, for_cid, kind, created_at) "
                              "values ($1, $2, $3, $4) on conflict (cid, for_cid) do update set "
                              "kind = excluded.kind";
    struct db_stmt *s = db_use(db, sql);
    db_bind_blob(s, 1, uid_str(cid));
    db_bind_blob(s, 2, uid_str(for_cid));
    db_bind_text(s, 3, kind);
    db_bind_int(s, 4, now);
    return db_run(s, err);
}

int delegate_end(struct db *db, const struct uid *cid, const struct uid *for_cid, struct err *err)
{
    static const char sessions[] = "delete from session where cid = $1 and for_cid = $2";
    static const char sql[] = "delete from delegate where cid = $1 and for_cid = $2";
    struct str blobs[] = {uid_str(cid), uid_str(for_cid)};
    int rc = row_run(db, sessions, blobs, 2, err);
    return rc ? rc : row_run(db, sql, blobs, 2, err);
}

int delegate_find(struct db *db, const struct uid *cid, const struct uid *for_cid,
                  struct arena *arena, struct str *kind, struct err *err)
{
    static const char sql[] = "select kind from delegate where cid = $1 and for_cid = $2";
    struct db_stmt *s = db_use(db, sql);
    db_bind_blob(s, 1, uid_str(cid));
    db_bind_blob(s, 2, uid_str(for_cid));
    int rc = db_step(s, err);
    if (rc != 1)
        return rc;
    *kind = arena_str(arena, db_text(s, 0));
    db_done(s);
    return 1;
}

int delegate_each(struct db *db, const struct uid *cid,
                  int (*row)(void *ctx, const struct uid *for_cid, struct str kind), void *ctx,
                  struct err *err)
{
    static const char sql[] =
        "select for_cid, kind from delegate where cid = $1 order by created_at";
    struct db_stmt *s = db_use(db, sql);
    db_bind_blob(s, 1, uid_str(cid));
    int rc;
    while ((rc = db_step(s, err)) == 1) {
        struct uid one;
        rc = row_uid(s, 0, &one, err);
        if (rc == 0)
            rc = row(ctx, &one, db_text(s, 1));
        if (rc) {
            db_done(s);
            return rc;
        }
    }
    return rc;
}

/* ---- erasure ---- */

int account_erase(struct db *db, const struct uid *cid, struct err *err)
{
    static const char accounts[] = "delete from account where cid = $1";
    static const char invitations[] = "delete from invitation where cid = $1";
    static const char sessions[] = "delete from session where cid = $1 or for_cid = $1";
    static const char delegates[] = "delete from delegate where cid = $1 or for_cid = $1";
    static const char passkeys[] = "delete from passkey where cid = $1";
    static const char *const all[] = {accounts, invitations, sessions, delegates, passkeys};
    struct str blobs[] = {uid_str(cid)};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < sizeof all / sizeof *all; i++)
        rc = row_run(db, all[i], blobs, 1, err);
    return rc;
}
