/* likeness.c - see likeness.h. */
#include "vault/likeness.h"

#include <string.h>

enum { TOKEN_BYTES = 16 };

struct token {
    uint8_t b[TOKEN_BYTES];
};

static struct token token_of(const struct secret *key, struct str text)
{
    struct sha256 mac = hmac_sha256(key, text);
    struct token t;
    memcpy(t.b, mac.b, sizeof t.b);
    return t;
}

static struct str token_str(const struct token *t)
{
    return (struct str){(const char *)t->b, sizeof t->b};
}

static struct token record_token(const struct secret *key, const struct record *r, struct str json)
{
    _cleanup_buf struct buf text = {0};
    buf_cstr(&text, "record");
    buf_add(&text, r->cid.b, sizeof r->cid.b);
    buf_str(&text, r->category);
    buf_char(&text, '\0');
    buf_str(&text, json);
    struct token t = token_of(key, buf_view(&text));
    secret_wipe_bytes(text.p, text.n);
    return t;
}

/* Letters in lower case (those of ASCII), no white space; of a telephone number only what is
 * dialled.
 */
static struct token value_token(const struct secret *key, const struct policy_category *category,
                                const struct policy_field *f, const struct value *v)
{
    _cleanup_buf struct buf text = {0};
    buf_printf(&text, "value %.*s.%.*s", STR_ARG(category->id), STR_ARG(f->name));
    buf_char(&text, '\0');
    if (f->type == FIELD_INTEGER)
        buf_int(&text, v->number);
    for (size_t i = 0; f->type != FIELD_INTEGER && i < v->text.n; i++) {
        char c = v->text.p[i];
        bool digit = c >= '0' && c <= '9';
        if (f->type == FIELD_PHONE ? digit || c == '+' : (unsigned char)c > ' ')
            buf_char(&text, c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c);
    }
    struct token t = token_of(key, buf_view(&text));
    secret_wipe_bytes(text.p, text.n);
    return t;
}

/* ---- rows ---- */

static int remember(struct db *lov, const struct record *r, const struct token *t, struct err *err)
{
    static const char sql[] = "insert into likeness (shard, cid, record, token) "
                              "values ($1, $2, $3, $4) on conflict do nothing";
    struct db_stmt *s = db_use(lov, sql);
    db_bind_int(s, 1, r->shard);
    db_bind_blob(s, 2, uid_str(&r->cid));
    db_bind_int(s, 3, r->seq);
    db_bind_blob(s, 4, token_str(t));
    return db_run(s, err);
}

int likeness_forget(struct db *lov, const struct record *r, struct err *err)
{
    static const char sql[] = "delete from likeness where shard = $1 and cid = $2 and record = $3";
    struct db_stmt *s = db_use(lov, sql);
    db_bind_int(s, 1, r->shard);
    db_bind_blob(s, 2, uid_str(&r->cid));
    db_bind_int(s, 3, r->seq);
    return db_run(s, err);
}

static int exists(struct db_stmt *s, struct err *err)
{
    int rc = db_step(s, err);
    if (rc == 1)
        db_done(s);
    return rc;
}

/* Another record of the consumer with the same content, observed within a day. */
static int same_record(struct db *lov, const struct record *r, const struct token *t,
                       struct err *err)
{
    static const char sql[] =
        "select 1 from likeness l join record o on o.shard = l.shard and o.cid = l.cid and "
        "o.category = $5 and o.seq = l.record where l.shard = $1 and l.token = $2 and l.cid = $3 "
        "and l.record <> $4 and o.observed_at >= $6 and o.observed_at <= $7 limit 1";
    struct db_stmt *s = db_use(lov, sql);
    db_bind_int(s, 1, r->shard);
    db_bind_blob(s, 2, token_str(t));
    db_bind_blob(s, 3, uid_str(&r->cid));
    db_bind_int(s, 4, r->seq);
    db_bind_text(s, 5, r->category);
    db_bind_int(s, 6, r->observed_at - DAY_MS);
    db_bind_int(s, 7, r->observed_at + DAY_MS);
    return exists(s, err);
}

static int other_consumer(struct db *lov, const struct record *r, const struct token *t,
                          struct err *err)
{
    static const char sql[] =
        "select 1 from likeness where shard = $1 and token = $2 and cid <> $3 limit 1";
    struct db_stmt *s = db_use(lov, sql);
    db_bind_int(s, 1, r->shard);
    db_bind_blob(s, 2, token_str(t));
    db_bind_blob(s, 3, uid_str(&r->cid));
    return exists(s, err);
}

static int check_value(const struct secret *key, struct db *lov, const struct parsed *p,
                       const struct policy_field *f, const struct value *v, const struct record *r,
                       struct findings *out, struct err *err)
{
    struct token t = value_token(key, p->category, f, v);
    int rc = other_consumer(lov, r, &t, err);
    if (rc == 1)
        finding_add(out, FINDING_LIKENESS, f->name, (struct str){0});
    return rc < 0 ? rc : remember(lov, r, &t, err);
}

int likeness_check(const struct secret *key, struct db *lov, const struct parsed *p,
                   const struct record *r, struct str json, struct findings *out, struct err *err)
{
    struct token t = record_token(key, r, json);
    int rc = same_record(lov, r, &t, err);
    if (rc == 1)
        finding_add(out, FINDING_DUPLICATE, (struct str){0}, (struct str){0})->drop = true;
    rc = rc < 0 ? rc : remember(lov, r, &t, err);
    for (size_t i = 0; rc == 0 && i < p->category->field_count; i++) {
        const struct policy_field *f = &p->category->fields[i];
        if (p->present[i] && f->identifies)
            rc = check_value(key, lov, p, f, &p->values[i], r, out, err);
    }
    return rc;
}
