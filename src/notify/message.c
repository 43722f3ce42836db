/* message.c - messages as rows, each sealed under its consumer's key and bound to the consumer and
 * to what it came of. */
#include "identity/account.h"
#include "notify/private.h"

#include <string.h>

static struct str associated(const struct uid *cid, struct str source, struct buf *out)
{
    buf_cstr(out, "lov message");
    buf_add(out, cid->b, sizeof cid->b);
    buf_str(out, source);
    return buf_view(out);
}

/* ---- making ---- */

int draft_seal(const struct identity *who, struct db *identities, struct draft *d,
               struct arena *arena, struct err *err)
{
    _cleanup_secret struct secret key = {0};
    _cleanup_buf struct buf about = {0}, sealed = {0};
    int rc = identity_data_key(who, identities, &d->cid, &key, err);
    if (rc != 1)
        return rc;
    seal(&key, associated(&d->cid, d->source, &about), d->json, &sealed);
    d->sealed = arena_str(arena, buf_view(&sealed));
    return 0;
}

int draft_put(struct db *lov, const struct draft *d, int64_t now, struct err *err)
{
    static const char sql[] =
        "insert into message (shard, cid, source, at, mail_at, mail_attempts, sealed) values "
        "($1, $2, $3, $4, (select $4 from message_setting s where s.shard = $1 and s.cid = $2 and "
        "s.mail = 1), 0, $5) on conflict (shard, cid, source) do nothing";
    if (!d->sealed.n)
        return 0;
    int64_t before = db_changes(lov);
    struct db_stmt *s = db_use(lov, sql);
    db_bind_int(s, 1, d->shard);
    db_bind_blob(s, 2, uid_str(&d->cid));
    db_bind_text(s, 3, d->source);
    db_bind_int(s, 4, now);
    db_bind_blob(s, 5, d->sealed);
    int rc = db_run(s, err);
    return rc ? rc : db_changes(lov) > before;
}

int message_post(struct write_scope *scope, struct str source, struct str json, struct err *err)
{
    struct draft d = {scope->who->cid, scope->who->shard, source, json, {0}};
    int rc = draft_seal(engine_identity(scope->engine), scope->identities, &d, scope->arena, err);
    if (rc == 0)
        rc = draft_put(scope->lov, &d, scope->now, err);
    return rc < 0 ? rc : 0;
}

static int delete_of(struct db *lov, const char *sql, uint32_t shard, const struct uid *cid,
                     struct err *err)
{
    struct db_stmt *s = db_use(lov, sql);
    db_bind_int(s, 1, shard);
    db_bind_blob(s, 2, uid_str(cid));
    return db_run(s, err);
}

int messages_forget(struct db *lov, uint32_t shard, const struct uid *cid, struct err *err)
{
    static const char messages[] = "delete from message where shard = $1 and cid = $2";
    static const char settings[] = "delete from message_setting where shard = $1 and cid = $2";
    int rc = delete_of(lov, messages, shard, cid, err);
    return rc ? rc : delete_of(lov, settings, shard, cid, err);
}

/* ---- reading ---- */

#define MESSAGE_COLUMNS "source, at, read_at, sealed"

struct opening {
    const struct uid *cid;
    struct secret key;
    bool has_key;
    struct arena *arena;
};

static int open_row(const struct opening *o, struct db_stmt *s, struct message *out,
                    struct err *err)
{
    _cleanup_buf struct buf about = {0}, json = {0};
    struct str source = arena_str(o->arena, db_text(s, 0));
    int rc = unseal(&o->key, associated(o->cid, source, &about), db_blob(s, 3), &json, err);
    if (rc)
        return rc;
    *out = (struct message){
        .source = source,
        .at = db_int(s, 1),
        .read_at = db_is_null(s, 2) ? TIME_NONE : db_int(s, 2),
        .json = arena_str(o->arena, buf_view(&json)),
    };
    secret_wipe_bytes(json.p, json.n);
    return 0;
}

static int take_key(struct engine *e, struct opening *o, struct err *err)
{
    struct db *identities;
    int rc = db_pool_get(engine_identities(e), &identities, err);
    if (rc)
        return rc;
    rc = identity_data_key(engine_identity(e), identities, o->cid, &o->key, err);
    db_pool_put(engine_identities(e), identities);
    o->has_key = rc == 1;
    return rc < 0 ? rc : 0;
}

static int list_rows(const struct opening *o, struct db_stmt *s,
                     int (*row)(void *ctx, const struct message *m), void *ctx, struct err *err)
{
    int rc;
    while ((rc = db_step(s, err)) == 1) {
        struct message m;
        rc = open_row(o, s, &m, err);
        if (rc == 0)
            rc = row(ctx, &m);
        if (rc) {
            db_done(s);
            return rc;
        }
    }
    return rc;
}

int message_list(struct engine *e, const struct identity_row *who, int64_t before_at,
                 struct str before_source, int64_t limit, struct arena *arena,
                 int (*row)(void *ctx, const struct message *m), void *ctx, struct err *err)
{
    static const char sql[] =
        "select " MESSAGE_COLUMNS " from message where shard = $1 and cid = $2 and (at < $3 or "
        "(at = $3 and source < $4)) order by at desc, source desc limit $5";
    struct opening o = {.cid = &who->cid, .arena = arena};
    struct db *lov;
    int rc = take_key(e, &o, err);
    if (rc || !o.has_key)
        return rc;
    rc = db_pool_get_rows(engine_lov(e), &lov, err);
    if (rc == 0) {
        struct db_stmt *s = db_use(lov, sql);
        db_bind_int(s, 1, who->shard);
        db_bind_blob(s, 2, uid_str(&who->cid));
        db_bind_int(s, 3, before_at);
        db_bind_text(s, 4, before_source.n ? before_source : STR(""));
        db_bind_int(s, 5, limit);
        rc = list_rows(&o, s, row, ctx, err);
        db_pool_put(engine_lov(e), lov);
    }
    secret_wipe(&o.key);
    return rc;
}

static int get_row(const struct opening *o, struct db *lov, uint32_t shard, struct str source,
                   struct message *out, struct err *err)
{
    static const char sql[] =
        "select " MESSAGE_COLUMNS " from message where shard = $1 and cid = $2 and source = $3";
    struct db_stmt *s = db_use(lov, sql);
    db_bind_int(s, 1, shard);
    db_bind_blob(s, 2, uid_str(o->cid));
    db_bind_text(s, 3, source);
    int rc = db_step(s, err);
    if (rc != 1)
        return rc;
    rc = open_row(o, s, out, err);
    db_done(s);
    return rc ? rc : 1;
}

int message_get(struct engine *e, const struct identity_row *who, struct str source,
                struct arena *arena, struct message *out, struct err *err)
{
    struct opening o = {.cid = &who->cid, .arena = arena};
    struct db *lov;
    int rc = take_key(e, &o, err);
    if (rc || !o.has_key)
        return rc;
    rc = db_pool_get_rows(engine_lov(e), &lov, err);
    if (rc == 0) {
        rc = get_row(&o, lov, who->shard, source, out, err);
        db_pool_put(engine_lov(e), lov);
    }
    secret_wipe(&o.key);
    return rc;
}

int message_unread(struct engine *e, const struct identity_row *who, int64_t *out, struct err *err)
{
    static const char sql[] =
        "select count(*) from message where shard = $1 and cid = $2 and read_at is null";
    struct db *lov;
    int rc = db_pool_get_rows(engine_lov(e), &lov, err);
    if (rc)
        return rc;
    struct db_stmt *s = db_use(lov, sql);
    db_bind_int(s, 1, who->shard);
    db_bind_blob(s, 2, uid_str(&who->cid));
    rc = db_step(s, err);
    if (rc == 1) {
        *out = db_int(s, 0);
        db_done(s);
    }
    db_pool_put(engine_lov(e), lov);
    return rc < 0 ? rc : 0;
}

/* ---- read and unread ---- */

static int need_consumer(const struct write_scope *scope, struct err *err)
{
    if (scope->who)
        return 0;
    return err_reason(err, LOV_ENOTFOUND, "unknown_consumer", "there is no such consumer");
}

static int mark(struct engine_write *w, struct write_scope *scope, struct err *err)
{
    static const char sql[] =
        "update message set read_at = $4, mail_at = null where shard = $1 and cid = $2 and "
        "($3 = '' or source = $3) and (read_at is null) = ($4 is not null)";
    const struct message_mark *m = w->input;
    int rc = need_consumer(scope, err);
    if (rc)
        return rc;
    struct db_stmt *s = db_use(scope->lov, sql);
    db_bind_int(s, 1, scope->who->shard);
    db_bind_blob(s, 2, uid_str(&scope->who->cid));
    db_bind_text(s, 3, m->source.n ? m->source : STR(""));
    if (m->read)
        db_bind_int(s, 4, scope->now);
    else
        db_bind_null(s, 4);
    return db_run(s, err);
}

void message_mark(struct engine_write *w, const struct message_mark *mark_)
{
    w->kind = WRITE_OTHER;
    w->other = mark;
    w->input = mark_;
}

/* ---- settings ---- */

static const char *const summaries[] = {"never", "monthly", "quarterly", "yearly"};

const char *message_summary_name(enum message_summary summary)
{
    return summaries[summary];
}

bool message_summary_parse(struct str text, enum message_summary *out)
{
    for (size_t i = 0; i < sizeof summaries / sizeof *summaries; i++) {
        if (str_is(text, summaries[i])) {
            *out = (enum message_summary)i;
            return true;
        }
    }
    return false;
}

int settings_read(struct db *lov, uint32_t shard, const struct uid *cid,
                  struct message_settings *out, struct err *err)
{
    static const char sql[] =
        "select summary, mail from message_setting where shard = $1 and cid = $2";
    *out = (struct message_settings){.summary = SUMMARY_QUARTERLY};
    struct db_stmt *s = db_use(lov, sql);
    db_bind_int(s, 1, shard);
    db_bind_blob(s, 2, uid_str(cid));
    int rc = db_step(s, err);
    if (rc != 1)
        return rc;
    message_summary_parse(db_text(s, 0), &out->summary);
    out->mail = db_int(s, 1) != 0;
    db_done(s);
    return 0;
}

int message_settings_get(struct engine *e, const struct identity_row *who,
                         struct message_settings *out, struct err *err)
{
    struct db *lov;
    int rc = db_pool_get_rows(engine_lov(e), &lov, err);
    if (rc)
        return rc;
    rc = settings_read(lov, who->shard, &who->cid, out, err);
    db_pool_put(engine_lov(e), lov);
    return rc;
}

static int keep(struct engine_write *w, struct write_scope *scope, struct err *err)
{
    static const char sql[] =
        "insert into message_setting (shard, cid, summary, mail) values ($1, $2, $3, $4) "
        "on conflict (shard, cid) do update set summary = $3, mail = $4";
    const struct message_settings *m = w->input;
    int rc = need_consumer(scope, err);
    if (rc)
        return rc;
    struct db_stmt *s = db_use(scope->lov, sql);
    db_bind_int(s, 1, scope->who->shard);
    db_bind_blob(s, 2, uid_str(&scope->who->cid));
    db_bind_text(s, 3, str_of(summaries[m->summary]));
    db_bind_int(s, 4, m->mail);
    rc = db_run(s, err);
    return rc || !m->language.n
               ? rc
               : account_set_words(scope->identities, &scope->who->cid, m->language, err);
}

void message_settings_set(struct engine_write *w, const struct message_settings *settings)
{
    w->kind = WRITE_OTHER;
    w->other = keep;
    w->input = settings;
}
