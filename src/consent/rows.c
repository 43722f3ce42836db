/* rows.c - consumers and consents as rows, as event bodies, and sealed. A row and the body of the
 * event that last changed it say the same, to the byte: that is what state_verify() compares. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "consent/engine.h"

static const char *const statuses[] = {"active", "refused", "withdrawn", "expired", "superseded"};

const char *consent_status_name(enum consent_status status)
{
    return statuses[status];
}

bool consent_status_parse(struct str text, enum consent_status *out)
{
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
        if (str_is(text, statuses[i])) {
            *out = (enum consent_status)i;
            return true;
        }
    }
    return false;
}

/* ---- names ---- */

struct str *names_copy(struct arena *arena, const struct str *names, size_t count)
{
    struct str *copy = arena_array(arena, count, sizeof *copy);
    for (size_t i = 0; i < count; i++)
        copy[i] = arena_str(arena, names[i]);
    return copy;
}

bool names_have(const struct str *names, size_t count, struct str name)
{
    for (size_t i = 0; i < count; i++)
        if (str_eq(names[i], name))
            return true;
    return false;
}

static void names_join(const struct str *names, size_t count, struct buf *out)
{
    buf_clear(out);
    for (size_t i = 0; i < count; i++) {
        if (i)
            buf_char(out, ',');
        buf_str(out, names[i]);
    }
}

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
        "select residence, restricted, opt_out_signal, sealed, event, last_event from consumer "
        "where shard = $1 and cid = $2";
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
    };
    db_done(s);
    return 1;
}

int row_consumer_put(struct db *lov, const struct consumer_row *row, struct err *err)
{
    static const char sql[] =
        "insert into consumer (shard, cid, residence, restricted, opt_out_signal, sealed, event, "
        "last_event) values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict (shard, cid) do update "
        "set residence = excluded.residence, restricted = excluded.restricted, "
        "opt_out_signal = excluded.opt_out_signal, sealed = excluded.sealed, "
        "event = excluded.event, last_event = excluded.last_event";
    struct db_stmt *s = db_use(lov, sql);
    db_bind_int(s, 1, row->shard);
    db_bind_blob(s, 2, uid_str(&row->cid));
    db_bind_text(s, 3, row->residence);
    db_bind_int(s, 4, row->restricted);
    db_bind_int(s, 5, row->opt_out_signal);
    db_bind_blob(s, 6, row->sealed.n ? row->sealed : (struct str){0});
    db_bind_int(s, 7, row->event);
    db_bind_int(s, 8, row->last_event);
    return db_run(s, err);
}

void row_sealed_member(struct jw *w, struct str sealed)
{
    jw_key(w, "sealed");
    if (sealed.n == 0) {
        jw_null(w);
        return;
    }
    jw_raw(w, (struct str){0});
    buf_char(w->out, '"');
    base64url_encode(sealed.p, sealed.n, w->out);
    buf_char(w->out, '"');
}

void row_consumer_body(const struct consumer_row *row, struct buf *out)
{
    struct jw w = {.out = out};
    jw_object_start(&w);
    jw_bool_member(&w, "opt_out_signal", row->opt_out_signal);
    jw_str_member(&w, "residence", row->residence);
    jw_bool_member(&w, "restricted", row->restricted);
    row_sealed_member(&w, row->sealed);
    jw_object_end(&w);
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

int row_consent_get(struct db *lov, uint32_t shard, const struct uid *cid, int64_t seq,
                    struct arena *arena, struct consent *out, struct err *err)
{
    static const char sql[] =
        "select " CONSENT_COLUMNS " from consent where shard = $1 and cid = $2 and seq = $3";
    struct db_stmt *s = db_use(lov, sql);
    db_bind_int(s, 1, shard);
    db_bind_blob(s, 2, uid_str(cid));
    db_bind_int(s, 3, seq);
    int rc = db_step(s, err);
    if (rc != 1)
        return rc;
    rc = row_consent_read(s, arena, out, err);
    db_done(s);
    return rc ? rc : 1;
}

int row_consent_each(struct db *lov, uint32_t shard, const struct uid *cid, struct str recipient,
                     struct str purpose, int64_t after, int64_t limit, struct arena *arena,
                     int (*row)(void *ctx, const struct consent *c), void *ctx, struct err *err)
{
    static const char sql[] = "select " CONSENT_COLUMNS " from consent where shard = $1 and "
                              "cid = $2 and seq > $3 and ($4 = '' or recipient = $4) and "
                              "($5 = '' or purpose = $5) order by seq limit $6";
    struct db_stmt *s = db_use(lov, sql);
    db_bind_int(s, 1, shard);
    db_bind_blob(s, 2, uid_str(cid));
    db_bind_int(s, 3, after);
    db_bind_text(s, 4, recipient);
    db_bind_text(s, 5, purpose);
    db_bind_int(s, 6, limit);
    int rc;
    while ((rc = db_step(s, err)) == 1) {
        struct consent c;
        rc = row_consent_read(s, arena, &c, err);
        if (rc == 0)
            rc = row(ctx, &c);
        if (rc) {
            db_done(s);
            return rc;
        }
    }
    return rc;
}

int row_consent_put(struct db *lov, const struct consent *c, struct err *err)
{
    static const char sql[] =
        "insert into consent (" CONSENT_COLUMNS ") values ($1, $2, $3, $4, $5, $6, $7, $8, $9, "
        "$10, $11, $12, $13, $14, $15, $16, $17, $18) on conflict (shard, cid, seq) do update set "
        "categories = excluded.categories, narrowed = excluded.narrowed, "
        "status = excluded.status, notice = excluded.notice, "
        "notice_version = excluded.notice_version, notice_language = excluded.notice_language, "
        "notice_hash = excluded.notice_hash, channel = excluded.channel, "
        "expires_at = excluded.expires_at, guardian = excluded.guardian, "
        "sealed = excluded.sealed, event = excluded.event";
    _cleanup_buf struct buf categories = {0}, narrowed = {0};
    names_join(c->categories, c->category_count, &categories);
    names_join(c->narrowed, c->narrowed_count, &narrowed);
    struct db_stmt *s = db_use(lov, sql);
    db_bind_int(s, 1, c->shard);
    db_bind_blob(s, 2, uid_str(&c->cid));
    db_bind_int(s, 3, c->seq);
    db_bind_text(s, 4, c->purpose);
    db_bind_text(s, 5, c->recipient);
    db_bind_text(s, 6, buf_view(&categories));
    db_bind_text(s, 7, buf_view(&narrowed));
    db_bind_text(s, 8, str_of(statuses[c->status]));
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
    return db_run(s, err);
}

static void names_member(struct jw *w, const char *name, const struct str *names, size_t count)
{
    jw_key(w, name);
    jw_array_start(w);
    for (size_t i = 0; i < count; i++)
        jw_str(w, names[i]);
    jw_array_end(w);
}

void row_consent_body(const struct consent *c, struct buf *out)
{
    struct jw w = {.out = out};
    jw_object_start(&w);
    jw_int_member(&w, "consent", c->seq);
    jw_str_member(&w, "purpose", c->purpose);
    jw_str_member(&w, "recipient", c->recipient);
    names_member(&w, "categories", c->categories, c->category_count);
    names_member(&w, "narrowed", c->narrowed, c->narrowed_count);
    jw_cstr_member(&w, "status", statuses[c->status]);
    jw_key(&w, "notice");
    jw_object_start(&w);
    jw_str_member(&w, "id", c->notice);
    jw_int_member(&w, "version", c->notice_version);
    jw_str_member(&w, "language", c->notice_language);
    jw_key(&w, "hash");
    jw_hex(&w, c->notice_hash.b, sizeof c->notice_hash.b);
    jw_object_end(&w);
    jw_str_member(&w, "channel", c->channel);
    jw_time_member(&w, "given_at", c->given_at);
    jw_time_member(&w, "expires_at", c->expires_at);
    jw_bool_member(&w, "guardian", c->by_guardian);
    row_sealed_member(&w, c->sealed);
    jw_object_end(&w);
}

/* ---- sealed under the consumer's key ---- */

static struct str associated(const struct uid *cid, struct buf *out)
{
    buf_cstr(out, "lov consumer data");
    buf_add(out, cid->b, sizeof cid->b);
    return buf_view(out);
}

int seal_json(const struct identity *who, struct db *identities, const struct uid *cid,
              struct str json, struct arena *arena, struct str *out, struct err *err)
{
    _cleanup_secret struct secret key;
    _cleanup_buf struct buf about = {0}, sealed = {0};
    int rc = identity_data_key(who, identities, cid, &key, err);
    if (rc < 0)
        return rc;
    if (rc == 0)
        return err_reason(err, LOV_ECONFLICT, "erased", "the consumer was erased");
    seal(&key, associated(cid, &about), json, &sealed);
    *out = arena_str(arena, buf_view(&sealed));
    return 0;
}

int unseal_json(const struct identity *who, struct db *identities, const struct uid *cid,
                struct str sealed, struct buf *json, struct err *err)
{
    _cleanup_secret struct secret key;
    _cleanup_buf struct buf about = {0};
    if (sealed.n == 0)
        return 0;
    int rc = identity_data_key(who, identities, cid, &key, err);
    if (rc != 1)
        return rc;
    return unseal(&key, associated(cid, &about), sealed, json, err);
}

int sealed_born(const struct identity *who, struct db *identities, const struct uid *cid,
                struct str sealed, int32_t *out, struct err *err)
{
    static const struct json_field fields[] = {{"birth_date", JSON_K_DATE, 0, false, 0, 0}};
    _cleanup_buf struct buf text = {0};
    _cleanup_json json_t *json = NULL;
    *out = DAY_NONE;
    int rc = unseal_json(who, identities, cid, sealed, &text, err);
    if (rc || text.n == 0)
        return rc;
    rc = json_read(buf_view(&text), &json, err);
    return rc ? rc : json_take(json, fields, 1, JSON_IGNORE_UNKNOWN, "", NULL, out, err);
}
