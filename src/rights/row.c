/* row.c - requests and holds as rows, and as the bodies of the events that made them so. */
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "rights/private.h"

static int damaged(struct err *err)
{
    return err_set(err, LOV_ECORRUPT, "a request's row is damaged: run lov log verify");
}

static bool take_cid(struct db_stmt *s, int column, struct uid *out)
{
    struct str cid = db_blob(s, column);
    if (cid.n != sizeof out->b)
        return false;
    memcpy(out->b, cid.p, cid.n);
    return true;
}

/* ---- requests ---- */

int request_from_row(struct db_stmt *s, uint32_t shard, struct arena *arena, struct request *out,
                     struct err *err)
{
    *out = (struct request){
        .shard = shard,
        .seq = db_int(s, 1),
        .event = db_int(s, 2),
        .right = arena_str(arena, db_text(s, 3)),
        .channel = arena_str(arena, db_text(s, 5)),
        .law = arena_str(arena, db_text(s, 6)),
        .received_at = db_int(s, 7),
        .due_at = db_int(s, 8),
        .extended = db_int(s, 9) != 0,
        .reason = arena_str(arena, db_text(s, 10)),
        .reminded = (int)db_int(s, 11),
        .sealed = arena_str(arena, db_blob(s, 12)),
    };
    if (!take_cid(s, 0, &out->cid) || !request_state_parse(db_text(s, 4), &out->state))
        return damaged(err);
    return 0;
}

int request_row_get(struct db *lov, uint32_t shard, int64_t seq, struct arena *arena,
                    struct request *out, struct err *err)
{
    static const char sql[] =
        "select " REQUEST_COLUMNS " from request where shard = $1 and seq = $2";
    struct db_stmt *s = db_use(lov, sql);
    db_bind_int(s, 1, shard);
    db_bind_int(s, 2, seq);
    int rc = db_step(s, err);
    if (rc != 1)
        return rc;
    rc = request_from_row(s, shard, arena, out, err);
    db_done(s);
    return rc ? rc : 1;
}

int request_row_put(struct db *lov, const struct request *r, struct err *err)
{
    static const char sql[] =
        "insert into request (shard, cid, seq, event, kind, state, channel, law, received_at, "
        "due_at, extended, reason, reminded, sealed) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, "
        "$10, $11, $12, $13, $14) on conflict (shard, cid, seq) do update set event = $4, "
        "state = $6, due_at = $10, extended = $11, reason = $12, reminded = $13, sealed = $14";
    struct db_stmt *s = db_use(lov, sql);
    db_bind_int(s, 1, r->shard);
    db_bind_blob(s, 2, uid_str(&r->cid));
    db_bind_int(s, 3, r->seq);
    db_bind_int(s, 4, r->event);
    db_bind_text(s, 5, r->right);
    db_bind_text(s, 6, str_of(request_state_name(r->state)));
    db_bind_text(s, 7, r->channel);
    db_bind_text(s, 8, r->law);
    db_bind_int(s, 9, r->received_at);
    db_bind_int(s, 10, r->due_at);
    db_bind_int(s, 11, r->extended);
    db_bind_text(s, 12, r->reason);
    db_bind_int(s, 13, r->reminded);
    db_bind_blob(s, 14, r->sealed.n ? r->sealed : (struct str){0});
    return db_run(s, err);
}

void request_event_body(const struct request *r, struct buf *out)
{
    struct jw w = {.out = out};
    jw_object_start(&w);
    jw_int_member(&w, "request", r->seq);
    jw_str_member(&w, "right", r->right);
    jw_cstr_member(&w, "state", request_state_name(r->state));
    jw_str_member(&w, "channel", r->channel);
    jw_str_member(&w, "law", r->law);
    jw_time_member(&w, "received_at", r->received_at);
    jw_time_member(&w, "due_at", r->due_at);
    jw_bool_member(&w, "extended", r->extended);
    jw_optional_member(&w, "reason", r->reason);
    jw_int_member(&w, "reminded", r->reminded);
    jw_key(&w, "sealed");
    if (r->sealed.n) {
        _cleanup_buf struct buf text = {0};
        base64url_encode(r->sealed.p, r->sealed.n, &text);
        jw_str(&w, buf_view(&text));
    } else {
        jw_null(&w);
    }
    jw_object_end(&w);
}

/* ---- holds ---- */

int hold_from_row(struct db_stmt *s, uint32_t shard, struct arena *arena, struct hold *out,
                  struct err *err)
{
    *out = (struct hold){
        .shard = shard,
        .seq = db_int(s, 1),
        .event = db_int(s, 2),
        .category = arena_str(arena, db_text(s, 3)),
        .reason = arena_str(arena, db_text(s, 4)),
        .source = arena_str(arena, db_text(s, 5)),
        .until = db_is_null(s, 6) ? TIME_NONE : db_int(s, 6),
        .released = db_int(s, 7) != 0,
    };
    return take_cid(s, 0, &out->cid) ? 0 : damaged(err);
}

int hold_row_put(struct db *lov, const struct hold *h, struct err *err)
{
    static const char sql[] =
        "insert into hold (shard, cid, seq, event, category, reason, source, until, released) "
        "values ($1, $2, $3, $4, $5, $6, $7, $8, $9) on conflict (shard, cid, seq) do update set "
        "event = $4, released = $9";
    struct db_stmt *s = db_use(lov, sql);
    db_bind_int(s, 1, h->shard);
    db_bind_blob(s, 2, uid_str(&h->cid));
    db_bind_int(s, 3, h->seq);
    db_bind_int(s, 4, h->event);
    db_bind_text(s, 5, h->category);
    db_bind_text(s, 6, h->reason);
    db_bind_text(s, 7, h->source);
    if (h->until == TIME_NONE)
        db_bind_null(s, 8);
    else
        db_bind_int(s, 8, h->until);
    db_bind_int(s, 9, h->released);
    return db_run(s, err);
}

void hold_body(const struct hold *h, struct buf *out)
{
    struct jw w = {.out = out};
    jw_object_start(&w);
    jw_int_member(&w, "hold", h->seq);
    jw_optional_member(&w, "category", h->category);
    jw_str_member(&w, "reason", h->reason);
    jw_str_member(&w, "source", h->source);
    jw_time_member(&w, "until", h->until);
    jw_bool_member(&w, "released", h->released);
    jw_object_end(&w);
}
