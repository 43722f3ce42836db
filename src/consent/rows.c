/* rows.c - consumers and consents as rows of the state tables. */
#include <string.h>

#include "consent/state.h"

/* ---- names ---- */

static struct str *names_split(struct arena *arena, struct str text, size_t *count)
{
    size_t n = text.n ? 1 : 0;
    for (size_t i = 0; i < text.n; i++)
        n += text.p[i] == ',';
    struct str rest = arena_str(arena, text);
    struct str *names = arena_array(arena, n, sizeof *names);
    for (size_t i = 0; i < n; i++)
        names[i] = str_cut(&rest, ',');
    *count = n;
    return names;
}

/* ---- consumers ---- */

int row_consumer_get(struct db *lov, uint32_t shard, const struct uid *cid, struct arena *arena,
                     struct consumer_row *out, struct err *err)
{
    static const char sql[] =
        "select residence, restricted, opt_out_signal, sealed, event, last_event, "
        "no_automated_decision from consumer where shard = $1 and cid = $2";
    struct db_stmt *s = db_use(lov, sql);
    db_bind_int(s, 1, shard);
    db_bind_blob(s, 2, uid_str(cid));
    int rc = db_step(s, err);
    if (rc != 1)
        return rc;
    *out = (struct consumer_row){
        .cid = *cid,
        .shard = shard,
        .residence = arena_str(arena, db_text(s, 0)),
        .restricted = db_int(s, 1) != 0,
        .opt_out_signal = db_int(s, 2) != 0,
        .sealed = arena_str(arena, db_blob(s, 3)),
        .event = db_int(s, 4),
        .last_event = db_int(s, 5),
        .no_automated_decision = db_int(s, 6) != 0,
    };
    db_done(s);
    return 1;
}

int row_consumer_put(struct db *lov, const struct consumer_row *row, struct err *err)
{
    static const char sql[] =
        "insert into consumer (shard, cid, residence, restricted, opt_out_signal, sealed, event, "
        "last_event, no_automated_decision) values ($1, $2, $3, $4, $5, $6, $7, $8, $9) on conflict (shard, cid) do update "
        "set residence = excluded.residence, restricted = excluded.restricted, "
        "opt_out_signal = excluded.opt_out_signal, sealed = excluded.sealed, "
        "event = excluded.event, last_event = excluded.last_event, "
        "no_automated_decision = excluded.no_automated_decision";
    struct db_stmt *s = db_use(lov, sql);
    db_bind_int(s, 1, row->shard);
    db_bind_blob(s, 2, uid_str(&row->cid));
    db_bind_text(s, 3, row->residence);
    db_bind_int(s, 4, row->restricted);
    db_bind_int(s, 5, row->opt_out_signal);
    db_bind_blob(s, 6, row->sealed.n ? row->sealed : (struct str){0});
    db_bind_int(s, 7, row->event);
    db_bind_int(s, 8, row->last_event);
    db_bind_int(s, 9, row->no_automated_decision);
    return db_run(s, err);
}

/* ---- consents ---- */

int row_consent_read(struct db_stmt *s, struct arena *arena, struct consent *out, struct err *err)
{
    struct consent c = {
        .shard = (uint32_t)db_int(s, 0),
        .seq = db_int(s, 2),
        .purpose = arena_str(arena, db_text(s, 3)),
        .recipient = arena_str(arena, db_text(s, 4)),
        .notice = arena_str(arena, db_text(s, 8)),
        .notice_version = (int)db_int(s, 9),
        .notice_language = arena_str(arena, db_text(s, 10)),
        .channel = arena_str(arena, db_text(s, 12)),
        .given_at = db_int(s, 13),
        .expires_at = db_is_null(s, 14) ? TIME_NONE : db_int(s, 14),
        .by_guardian = db_int(s, 15) != 0,
        .sealed = arena_str(arena, db_blob(s, 16)),
        .event = db_int(s, 17),
    };
    struct str cid = db_blob(s, 1), hash = db_blob(s, 11);
    if (cid.n != sizeof c.cid.b || hash.n != sizeof c.notice_hash.b ||
        !consent_status_parse(db_text(s, 7), &c.status))
        return err_set(err, LOV_ECORRUPT, "a consent's row is damaged: run lov log verify");
    memcpy(c.cid.b, cid.p, cid.n);
    memcpy(c.notice_hash.b, hash.p, hash.n);
    c.categories = names_split(arena, db_text(s, 5), &c.category_count);
    c.narrowed = names_split(arena, db_text(s, 6), &c.narrowed_count);
    *out = c;
    return 0;
}

int row_consents(struct db *lov, uint32_t shard, const struct uid *cid, bool past,
                 struct arena *arena, struct consent **out, size_t *count, struct err *err)
{
    static const char sql[] = "select " CONSENT_COLUMNS " from consent where shard = $1 and "
                              "cid = $2 and past = $3 order by seq";
    struct consent *consents = NULL;
    size_t n = 0;
    struct db_stmt *s = db_use(lov, sql);
    db_bind_int(s, 1, shard);
    db_bind_blob(s, 2, uid_str(cid));
    db_bind_int(s, 3, past);
    int rc;
    while ((rc = db_step(s, err)) == 1) {
        consents = consents_grow(arena, consents, n);
        rc = row_consent_read(s, arena, &consents[n++], err);
        if (rc) {
            db_done(s);
            return rc;
        }
    }
    if (rc == 0) {
        *out = consents;
        *count = n;
    }
    return rc;
}

int row_consent_drop(struct db *lov, uint32_t shard, const struct uid *cid, int64_t seq,
                     struct err *err)
{
    static const char sql[] =
        "delete from consent where shard = $1 and cid = $2 and past = 0 and seq = $3";
    struct db_stmt *s = db_use(lov, sql);
    db_bind_int(s, 1, shard);
    db_bind_blob(s, 2, uid_str(cid));
    db_bind_int(s, 3, seq);
    return db_run(s, err);
}

int row_consent_put(struct db *lov, const struct consent *c, struct err *err)
{
    static const char sql[] =
        "insert into consent (" CONSENT_COLUMNS ", past) values ($1, $2, $3, $4, $5, $6, $7, $8, "
        "$9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19) "
        "on conflict (shard, cid, past, seq) do update set "
        "categories = excluded.categories, narrowed = excluded.narrowed, "
        "status = excluded.status, notice = excluded.notice, "
        "notice_version = excluded.notice_version, notice_language = excluded.notice_language, "
        "notice_hash = excluded.notice_hash, channel = excluded.channel, "
        "expires_at = excluded.expires_at, guardian = excluded.guardian, "
        "sealed = excluded.sealed, event = excluded.event";
    _cleanup_buf struct buf categories = {0}, narrowed = {0};
    buf_join(&categories, c->categories, c->category_count, ',');
    buf_join(&narrowed, c->narrowed, c->narrowed_count, ',');
    struct db_stmt *s = db_use(lov, sql);
    db_bind_int(s, 1, c->shard);
    db_bind_blob(s, 2, uid_str(&c->cid));
    db_bind_int(s, 3, c->seq);
    db_bind_text(s, 4, c->purpose);
    db_bind_text(s, 5, c->recipient);
    db_bind_text(s, 6, buf_view(&categories));
    db_bind_text(s, 7, buf_view(&narrowed));
    db_bind_text(s, 8, str_of(consent_status_name(c->status)));
    db_bind_text(s, 9, c->notice);
    db_bind_int(s, 10, c->notice_version);
    db_bind_text(s, 11, c->notice_language);
    db_bind_blob(s, 12, (struct str){(const char *)c->notice_hash.b, sizeof c->notice_hash.b});
    db_bind_text(s, 13, c->channel);
    db_bind_int(s, 14, c->given_at);
    if (c->expires_at == TIME_NONE)
        db_bind_null(s, 15);
    else
        db_bind_int(s, 15, c->expires_at);
    db_bind_int(s, 16, c->by_guardian);
    db_bind_blob(s, 17, c->sealed.n ? c->sealed : (struct str){0});
    db_bind_int(s, 18, c->event);
    db_bind_int(s, 19, consent_is_dead(c));
    return db_run(s, err);
}

int rows_erase(struct db *lov, uint32_t shard, const struct uid *cid, struct err *err)
{
    static const char consents[] = "delete from consent where shard = $1 and cid = $2";
    static const char records[] = "delete from record where shard = $1 and cid = $2";
    static const char uses[] = "delete from aggregate_use where shard = $1 and cid = $2";
    static const char purposes[] = "delete from record_purpose where shard = $1 and cid = $2";
    static const char issues[] = "delete from issue where shard = $1 and cid = $2";
    static const char likeness[] = "delete from likeness where shard = $1 and cid = $2";
    static const char consumer[] = "delete from consumer where shard = $1 and cid = $2";
    const char *const statements[] = {consents, records,  uses,    purposes,
                                      issues,   likeness, consumer};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < sizeof statements / sizeof *statements; i++) {
        struct db_stmt *s = db_use(lov, statements[i]);
        db_bind_int(s, 1, shard);
        db_bind_blob(s, 2, uid_str(cid));
        rc = db_run(s, err);
    }
    return rc;
}
