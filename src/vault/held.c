/* held.c - what has to be kept although its time has come or somebody wants it gone. */
#include "base/clock.h"
#include "vault/private.h"

static struct db_stmt *use(struct db *lov, const struct identity_row *who, struct str category,
                           int64_t now)
{
    static const char sql[] =
        "select reason, source, until from hold where shard = $1 and cid = $2 and released = 0 and "
        "(until is null or until > $3) and category in ('', $4) order by seq limit 1";
    struct db_stmt *s = db_use(lov, sql);
    db_bind_int(s, 1, who->shard);
    db_bind_blob(s, 2, uid_str(&who->cid));
    db_bind_int(s, 3, now);
    db_bind_text(s, 4, category);
    return s;
}

int held_any(struct db *lov, const struct identity_row *who, struct str category, int64_t now,
             struct err *err)
{
    struct db_stmt *s = use(lov, who, category, now);
    int rc = db_step(s, err);
    if (rc == 1)
        db_done(s);
    return rc;
}

int held_refuse(const struct write_scope *scope, struct str category, struct err *err)
{
    _cleanup_buf struct buf until = {0};
    struct db_stmt *s = use(scope->lov, scope->who, category, scope->now);
    int rc = db_step(s, err);
    if (rc != 1)
        return rc;
    if (db_is_null(s, 2))
        buf_cstr(&until, "until it is released");
    else
        buf_cstr(&until, "until "), time_format(db_int(s, 2), &until);
    rc = err_reason(err, LOV_ECONFLICT, "on_hold", "%.*s is kept %s: %.*s (%.*s)",
                    STR_ARG(category), until.p, STR_ARG(db_text(s, 0)), STR_ARG(db_text(s, 1)));
    db_done(s);
    return rc;
}
