/* verify_company.c - does the state say of policies, notices and API keys what the ledger says?
 * Each event is held against its rows; that there are no other rows is known by their number. */
#include <string.h>

#include "base/json.h"
#include "consent/engine.h"
#include "consent/verify.h"

/* How many rows the events account for. */
struct seen {
    int64_t policies, notices, keys, revoked, last;
};

/* Is the column what the event says, and the hash of the text beside it? */
static bool is_hashed(struct str column, struct str text, const json_t *said)
{
    struct sha256 hash = sha256_of(text);
    return str_eq(column, (struct str){(const char *)hash.b, sizeof hash.b}) &&
           json_is_hex(said, hash.b, sizeof hash.b);
}

/* ---- policies and notices ---- */

static int check_notice(struct checking *c, int64_t seq, int64_t policy, const json_t *said,
                        struct seen *seen)
{
    static const char sql[] = "select hash, markdown, policy_version from notice "
                              "where id = $1 and version = $2 and language = $3";
    struct db_stmt *s = db_use(c->lov, sql);
    db_bind_text(s, 1, json_text(json_object_get(said, "id")));
    db_bind_int(s, 2, json_integer_value(json_object_get(said, "version")));
    db_bind_text(s, 3, json_text(json_object_get(said, "language")));
    int rc = db_step(s, c->err);
    if (rc < 0)
        return rc;
    c->out->rows++;
    if (rc == 0)
        verify_wrong(c, seq, "a notice that this event published is gone");
    else if (!is_hashed(db_blob(s, 0), db_text(s, 1), json_object_get(said, "hash")))
        verify_wrong(c, seq, "a published notice is not what this event published");
    else
        seen->notices += db_int(s, 2) == policy;
    if (rc == 1)
        db_done(s);
    return 0;
}

static int check_policy(struct checking *c, int64_t seq, struct str actor, const json_t *said,
                        struct seen *seen)
{
    static const char sql[] = "select hash, bundle, actor from policy where version = $1";
    int64_t version = json_integer_value(json_object_get(said, "version"));
    struct db_stmt *s = db_use(c->lov, sql);
    db_bind_int(s, 1, version);
    int rc = db_step(s, c->err);
    if (rc < 0)
        return rc;
    c->out->rows++;
    seen->policies++;
    if (rc == 0 || !is_hashed(db_blob(s, 0), db_text(s, 1), json_object_get(said, "hash")) ||
        !str_eq(db_text(s, 2), actor))
        verify_wrong(c, seq, "the stored policy is not what this event applied");
    if (rc == 1)
        db_done(s);
    const json_t *notices = json_object_get(said, "notices");
    rc = 0;
    for (size_t i = 0; rc == 0 && !c->out->wrong && i < json_array_size(notices); i++)
        rc = check_notice(c, seq, version, json_array_get(notices, i), seen);
    return rc;
}

/* ---- keys ---- */

/* What the event of a key's beginning or end says of its row. */
static bool key_is(struct db_stmt *row, const json_t *said, bool end)
{
    const json_t *at = json_object_get(said, "recorded_at");
    struct str hash = db_blob(row, 4);
    struct sha256 stored = {0};
    if (hash.n != sizeof stored.b)
        return false;
    memcpy(stored.b, hash.p, hash.n);
    return str_eq(db_text(row, 0), json_text(json_object_get(said, "holder"))) &&
           str_eq(db_text(row, 1), json_text(json_object_get(said, "subject"))) &&
           (end ? !db_is_null(row, 3) && json_is_time(at, db_int(row, 3))
                : json_is_time(at, db_int(row, 2)) &&
                      json_is_hex(json_object_get(said, "secret_hash"), stored.b, sizeof stored.b));
}

static int check_key(struct checking *c, int64_t seq, bool end, const json_t *said,
                     struct seen *seen)
{
    static const char sql[] = "select kind, subject, created_at, revoked_at, secret_hash "
                              "from api_key where id = $1";
    struct db_stmt *s = db_use(c->lov, sql);
    db_bind_text(s, 1, json_text(json_object_get(said, "key")));
    int rc = db_step(s, c->err);
    if (rc < 0)
        return rc;
    c->out->rows += !end;
    seen->keys += !end;
    seen->revoked += end;
    if (rc == 0 || !key_is(s, said, end))
        verify_wrong(c, seq, "the row of an API key does not say what this event says");
    if (rc == 1)
        db_done(s);
    return 0;
}

/* ---- all of them ---- */

static int check_event(struct checking *c, const struct ledger_event *event, void *ctx)
{
    struct seen *seen = ctx;
    _cleanup_json json_t *said = NULL;
    struct str kind = event->kind;
    int64_t seq = event->seq;
    bool policy = str_is(kind, "policy.apply"), end = str_is(kind, "key.revoke");
    if (event->has_cid || (!policy && !end && !str_is(kind, "key.create")))
        return 0;
    seen->last = seq;
    if (json_read(event->body, &said, NULL) != 0) {
        verify_wrong(c, seq, "the body of the event is not JSON");
        return 0;
    }
    return policy ? check_policy(c, seq, event->actor, said, seen)
                  : check_key(c, seq, end, said, seen);
}

static int check_counts(struct checking *c, const struct seen *seen)
{
    static const char sql[] =
        "select (select count(*) from policy), (select count(*) from notice), "
        "(select count(*) from api_key), "
        "(select count(*) from api_key where revoked_at is not null)";
    struct db_stmt *s = db_use(c->lov, sql);
    int rc = db_step(s, c->err);
    if (rc < 0)
        return rc;
    if (db_int(s, 0) != seen->policies)
        verify_wrong(c, seen->last, "a policy is stored that no event applied");
    else if (db_int(s, 1) != seen->notices)
        verify_wrong(c, seen->last, "a notice is stored that no event published");
    else if (db_int(s, 2) != seen->keys || db_int(s, 3) != seen->revoked)
        verify_wrong(c, seen->last, "an API key is stored, or revoked, by no event");
    db_done(s);
    return 0;
}

int verify_company(struct checking *c)
{
    struct seen seen = {0};
    int rc = verify_events(c, check_event, &seen);
    return rc || c->out->wrong ? rc : check_counts(c, &seen);
}

int verify_latest(struct checking *c)
{
    static const char sql[] = "select last_at, size from shard where shard = $1";
    struct db_stmt *s = db_use(c->lov, sql);
    db_bind_int(s, 1, c->shard);
    int rc = db_step(s, c->err);
    if (rc == 1) {
        if (c->latest != TIME_NONE && db_int(s, 0) != c->latest)
            verify_wrong(c, db_int(s, 1) - 1,
                         "the ledger's latest instant is not that of its events");
        db_done(s);
    }
    return rc < 0 ? rc : 0;
}
