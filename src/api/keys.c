/* keys.c - API keys: "lov_<id>_<secret>", of which SHA-256 of the secret is kept.
 *
 * Every call looks one up, so they are in memory: hash chains to which entries are only added, by
 * the writer's thread once the change is durable, and from which none is taken before the end. So
 * readers need no lock, and a caller's principal outlives its call even when the key is revoked in
 * between. The cost is one entry for each key made while the process lives. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "api/private.h"
#include "base/crypt.h"

enum { KEY_ID_BYTES = 8, KEY_ID_LENGTH = 2 * KEY_ID_BYTES, SECRET_LENGTH = 43, CHAINS = 1024 };

struct key {
    char id[KEY_ID_LENGTH + 1];
    struct sha256 secret_hash;
    struct principal principal;
    char actor[128], subject[65];
    _Atomic bool revoked;
    _Atomic uint64_t tag[2]; /* of the secret, once it was seen; see is_secret() */
    struct key *next;        /* set before the entry is published */
};

struct keys {
    struct key *_Atomic chains[CHAINS];
    uint8_t tag_key[16];
};

static struct key *_Atomic *chain_of(struct keys *keys, struct str id)
{
    return &keys->chains[hash64(id) % CHAINS];
}

static struct key *find_id(struct keys *keys, struct str id)
{
    /* Acquire: pairs with the release in add_key(). */
    struct key *k = atomic_load_explicit(chain_of(keys, id), memory_order_acquire);
    while (k && !str_is(id, k->id))
        k = k->next;
    return k;
}

/* The writer's thread only, or before there are readers. */
static void add_key(struct keys *keys, struct key *k)
{
    struct key *_Atomic *chain = chain_of(keys, str_of(k->id));
    k->next = atomic_load_explicit(chain, memory_order_relaxed);
    atomic_store_explicit(chain, k, memory_order_release);
}

/* NULL when the kind or the role is not one that this program knows: such a key opens nothing. */
static struct key *new_key(struct str id, struct str kind, struct str subject,
                           const struct sha256 *secret_hash)
{
    struct key *k = mem_zero(sizeof *k);
    bool staff = str_is(kind, "staff");
    bool known = id.n == KEY_ID_LENGTH && subject.n < sizeof k->subject;
    if (staff)
        known = known && role_find(subject, &k->principal.permissions);
    else
        known = known && str_is(kind, "recipient");
    if (!known) {
        free(k);
        return NULL;
    }
    memcpy(k->id, id.p, id.n);
    memcpy(k->subject, subject.p, subject.n);
    snprintf(k->actor, sizeof k->actor, "%s:%s/%s", staff ? "staff" : "recipient", k->subject,
             k->id);
    k->secret_hash = *secret_hash;
    k->principal.actor = str_of(k->actor);
    k->principal.hash = hash64(k->principal.actor);
    if (!staff) {
        k->principal.permissions = recipient_permissions();
        k->principal.recipient = str_of(k->subject);
    }
    return k;
}

/* ---- opening ---- */

static int load_row(struct keys *keys, struct db_stmt *s, struct err *err)
{
    struct str hash = db_blob(s, 1);
    struct sha256 secret_hash;
    if (hash.n != sizeof secret_hash.b)
        return err_set(err, LOV_ECORRUPT, "API key of a wrong size");
    memcpy(secret_hash.b, hash.p, hash.n);
    struct key *k = new_key(db_text(s, 0), db_text(s, 2), db_text(s, 3), &secret_hash);
    if (k)
        add_key(keys, k);
    return 0;
}

static int load(struct keys *keys, struct db *db, struct err *err)
{
    static const char sql[] =
        "select id, secret_hash, kind, subject from api_key where revoked_at is null";
    struct db_stmt *s = db_use(db, sql);
    int rc;
    while ((rc = db_step(s, err)) == 1) {
        rc = load_row(keys, s, err);
        if (rc) {
            db_done(s);
            return rc;
        }
    }
    return rc;
}

int keys_open(struct engine *e, struct keys **out, struct err *err)
{
    struct keys *keys = mem_zero(sizeof *keys);
    struct db *db;
    random_bytes(keys->tag_key, sizeof keys->tag_key);
    int rc = db_pool_get(engine_lov(e), &db, err);
    if (rc == 0) {
        rc = load(keys, db, err);
        db_pool_put(engine_lov(e), db);
    }
    if (rc)
        keys_close(keys);
    else
        *out = keys;
    return rc;
}

void keys_close(struct keys *keys)
{
    if (!keys)
        return;
    for (size_t i = 0; i < CHAINS; i++) {
        struct key *k = atomic_load_explicit(&keys->chains[i], memory_order_relaxed);
        while (k) {
            struct key *next = k->next;
            free(k);
            k = next;
        }
    }
    free(keys);
}

/* A secret is told by its SHA-256 the first time, and from then on by SipHash under a key that only
 * this process has: as hard to meet by chance, and it takes neither memory nor a third of the time.
 * The words of the tag are relaxed: half of one is no secret's, and leads to the hash again. */
static bool is_secret(const struct keys *keys, struct key *k, struct str text)
{
    uint64_t words[2], seen[2];
    struct hash128 tag = siphash128(keys->tag_key, text);
    memcpy(words, tag.b, sizeof words);
    for (size_t i = 0; i < 2; i++)
        seen[i] = atomic_load_explicit(&k->tag[i], memory_order_relaxed);
    if (bytes_equal_secret(words, seen, sizeof words))
        return true;
    struct sha256 hash = sha256_of(text);
    if (!bytes_equal_secret(hash.b, k->secret_hash.b, sizeof hash.b))
        return false;
    for (size_t i = 0; i < 2; i++)
        atomic_store_explicit(&k->tag[i], words[i], memory_order_relaxed);
    return true;
}

const struct principal *keys_find(struct keys *keys, struct str text)
{
    struct str prefix = STR("lov_");
    if (!str_starts(text, prefix))
        return NULL;
    text.p += prefix.n;
    text.n -= prefix.n;
    struct str id = str_cut(&text, '_');
    if (id.n != KEY_ID_LENGTH || text.n != SECRET_LENGTH)
        return NULL;
    struct key *k = find_id(keys, id);
    /* Acquire: a revocation whose call has returned is seen here. */
    if (!k || !is_secret(keys, k, text) || atomic_load_explicit(&k->revoked, memory_order_acquire))
        return NULL;
    return &k->principal;
}

/* ---- writing ---- */

struct key_write {
    struct write_job job; /* first */
    struct engine *engine;
    struct keys *keys;
    struct str actor;
    struct str id, kind, subject;
    struct sha256 secret_hash;
    int64_t created_at, revoked_at; /* out */
    bool was_revoked;               /* out */
};

static int append_event(struct key_write *w, struct write_stores *stores, const char *event_kind,
                        struct err *err)
{
    _cleanup_buf struct buf body = {0};
    struct jw j = {.out = &body};
    jw_object_start(&j);
    /* Lists of events show a body's members beside the event's own, which has a kind already. */
    jw_str_member(&j, "key", w->id);
    jw_str_member(&j, "holder", w->kind);
    jw_str_member(&j, "subject", w->subject);
    /* The row's instant: the ledger's own may be later, after a clock that ran backwards. */
    jw_time_member(&j, "recorded_at", stores->now);
    if (str_is(str_of(event_kind), "key.create")) {
        /* Of 256 random bits, so it tells nobody the secret; a row with another one is noticed. */
        jw_hex_member(&j, "secret_hash", w->secret_hash.b, sizeof w->secret_hash.b);
    }
    jw_object_end(&j);
    struct ledger_event event = {
        .prev = -1,
        .at = stores->now,
        .kind = str_of(event_kind),
        .actor = w->actor,
        .body = buf_view(&body),
    };
    return ledger_append(engine_ledger(w->engine), stores->lov, &event, err);
}

static int run_create(struct write_job *job, struct write_stores *stores, struct err *err)
{
    static const char sql[] = "insert into api_key (id, secret_hash, kind, subject, created_at) "
                              "values ($1, $2, $3, $4, $5)";
    struct key_write *w = (struct key_write *)job;
    w->created_at = stores->now;
    struct db_stmt *s = db_use(stores->lov, sql);
    db_bind_text(s, 1, w->id);
    db_bind_blob(s, 2, (struct str){(const char *)w->secret_hash.b, sizeof w->secret_hash.b});
    db_bind_text(s, 3, w->kind);
    db_bind_text(s, 4, w->subject);
    db_bind_int(s, 5, stores->now);
    int rc = db_run(s, err);
    return rc ? rc : append_event(w, stores, "key.create", err);
}

static void durable_create(struct write_job *job)
{
    struct key_write *w = (struct key_write *)job;
    struct key *k = new_key(w->id, w->kind, w->subject, &w->secret_hash);
    if (!k)
        bug("a key that was just made is not valid");
    add_key(w->keys, k);
}

/* The texts of *w that come from the row are borrowed until the statement is done, so the event is
 * appended before it is. */
static int revoke_row(struct key_write *w, struct db_stmt *s, struct write_stores *stores,
                      struct err *err)
{
    static const char sql[] = "update api_key set revoked_at = $2 where id = $1";
    w->kind = str_is(db_text(s, 0), "staff") ? STR("staff") : STR("recipient");
    w->subject = db_text(s, 1);
    w->created_at = db_int(s, 2);
    w->was_revoked = !db_is_null(s, 3);
    w->revoked_at = w->was_revoked ? db_int(s, 3) : stores->now;
    if (w->was_revoked)
        return 0;
    struct db_stmt *update = db_use(stores->lov, sql);
    db_bind_text(update, 1, w->id);
    db_bind_int(update, 2, stores->now);
    int rc = db_run(update, err);
    return rc ? rc : append_event(w, stores, "key.revoke", err);
}

static int run_revoke(struct write_job *job, struct write_stores *stores, struct err *err)
{
    static const char sql[] =
        "select kind, subject, created_at, revoked_at from api_key where id = $1";
    struct key_write *w = (struct key_write *)job;
    struct db_stmt *s = db_use(stores->lov, sql);
    db_bind_text(s, 1, w->id);
    int rc = db_step(s, err);
    if (rc == 0)
        return err_reason(err, LOV_ENOTFOUND, "unknown_key", "there is no such key");
    if (rc < 0)
        return rc;
    rc = revoke_row(w, s, stores, err);
    db_done(s);
    return rc;
}

static void durable_revoke(struct write_job *job)
{
    struct key_write *w = (struct key_write *)job;
    struct key *k = find_id(w->keys, w->id);
    if (k)
        atomic_store_explicit(&k->revoked, true, memory_order_release);
}

static struct key_write start_write(struct http_call *call)
{
    struct api *api = api_of(call);
    return (struct key_write){
        .engine = api->engine,
        .keys = api->keys,
        .actor = caller_of(call)->actor,
    };
}

/* ---- handlers ---- */

struct key_request {
    struct str recipient, staff;
};
static const struct json_field key_fields[] = {
    {"recipient", JSON_K_NAME, offsetof(struct key_request, recipient), false, 0, 0},
    {"staff", JSON_K_STRING, offsetof(struct key_request, staff), false, 0, 0},
};

static int check_recipient(struct engine *e, struct str id, struct err *err)
{
    struct rules *rules = engine_rules(e);
    bool known = rules && policy_recipient(rules_policy(rules), id);
    bool none = !rules;
    rules_unref(rules);
    if (none)
        return err_reason(err, LOV_EUNAVAILABLE, "no_policy", "no policy was applied yet");
    if (!known)
        return err_reason(err, LOV_EINVAL, "unknown_recipient",
                          "the policy in force has no such recipient");
    return 0;
}

static int take_subject(struct http_call *call, const struct key_request *request,
                        struct key_write *w, struct err *err)
{
    uint64_t permissions;
    if ((request->recipient.n != 0) == (request->staff.n != 0))
        return err_reason(err, LOV_EINVAL, "invalid_field",
                          "a key is for a recipient or for a staff role: give one of both");
    if (request->recipient.n) {
        w->kind = STR("recipient");
        w->subject = request->recipient;
        return check_recipient(api_of(call)->engine, request->recipient, err);
    }
    const char *role = role_find(request->staff, &permissions);
    if (!role)
        return err_reason(err, LOV_EINVAL, "unknown_role",
                          "staff is one of admin, privacy_officer, analyst, support, marketing, "
                          "auditor, collector, deployer");
    w->kind = STR("staff");
    w->subject = str_of(role);
    return eyes_give(call, w->subject, err);
}

/* Draws id and secret; *text is the whole key. */
static void draw(struct http_call *call, struct key_write *w, struct buf *text)
{
    uint8_t id[KEY_ID_BYTES];
    _cleanup_secret struct secret secret;
    _cleanup_buf struct buf hex = {0};
    random_bytes(id, sizeof id);
    random_bytes(secret.b, sizeof secret.b);
    hex_encode(id, sizeof id, &hex);
    w->id = arena_str(&call->arena, buf_view(&hex));
    buf_printf(text, "lov_%.*s_", STR_ARG(w->id));
    size_t start = text->n;
    base64url_encode(secret.b, sizeof secret.b, text);
    w->secret_hash = sha256_of((struct str){text->p + start, text->n - start});
}

static void key_write_json(struct jw *j, const struct key_write *w)
{
    jw_str_member(j, "id", w->id);
    jw_str_member(j, "kind", w->kind);
    jw_str_member(j, "subject", w->subject);
    jw_time_member(j, "created_at", w->created_at);
}

int keys_create(struct http_call *call)
{
    struct err err = {0};
    struct key_request request = {0};
    _cleanup_json json_t *body = NULL;
    _cleanup_buf struct buf text = {0};
    struct key_write w = start_write(call);
    int rc = 0;
    /* A replay could not show the secret again, and a second key is not what was asked for. */
    if (http_header(call, "Idempotency-Key").p)
        rc = err_reason(&err, LOV_EINVAL, "invalid_idempotency_key",
                        "making a key cannot be repeated: leave out Idempotency-Key");
    if (rc == 0)
        rc = request_body(call, key_fields, sizeof key_fields / sizeof *key_fields,
                          JSON_REFUSE_UNKNOWN, &request, &body, &err);
    if (rc == 0)
        rc = take_subject(call, &request, &w, &err);
    if (rc)
        return answer_problem(call, &err);
    draw(call, &w, &text);
    w.job.run = run_create;
    w.job.durable = durable_create;
    rc = writer_run(engine_writer(w.engine), &w.job, &err);
    if (rc)
        return answer_problem(call, &err);
    struct jw j = answer_start(call, 201);
    jw_object_start(&j);
    key_write_json(&j, &w);
    jw_str_member(&j, "key", buf_view(&text));
    jw_object_end(&j);
    memset(text.p, 0, text.n);
    http_answer_header(call, "Cache-Control", STR("no-store"));
    return 0;
}

int keys_revoke(struct http_call *call)
{
    struct err err = {0};
    struct key_write w = start_write(call);
    w.id = call->param[0];
    w.job.run = run_revoke;
    w.job.durable = durable_revoke;
    int rc = writer_run(engine_writer(w.engine), &w.job, &err);
    if (rc)
        return answer_problem(call, &err);
    struct jw j = answer_start(call, 200);
    jw_object_start(&j);
    jw_str_member(&j, "id", w.id);
    jw_time_member(&j, "revoked_at", w.revoked_at);
    jw_object_end(&j);
    return 0;
}

static int list_rows(struct http_call *call, struct db *db, int64_t limit, struct str after,
                     struct jw *j, struct err *err)
{
    static const char sql[] = "select id, kind, subject, created_at, revoked_at from api_key "
                              "where id > $1 order by id limit $2";
    struct db_stmt *s = db_use(db, sql);
    struct str last = {0};
    int64_t count = 0;
    int rc;
    db_bind_text(s, 1, after);
    db_bind_int(s, 2, limit + 1);
    while ((rc = db_step(s, err)) == 1) {
        if (count++ == limit)
            continue;
        last = arena_str(&call->arena, db_text(s, 0));
        jw_object_start(j);
        jw_str_member(j, "id", last);
        jw_str_member(j, "kind", db_text(s, 1));
        jw_str_member(j, "subject", db_text(s, 2));
        jw_time_member(j, "created_at", db_int(s, 3));
        jw_time_member(j, "revoked_at", db_is_null(s, 4) ? TIME_NONE : db_int(s, 4));
        jw_object_end(j);
    }
    jw_array_end(j);
    jw_optional_member(j, "next", count > limit ? last : (struct str){0});
    return rc;
}

int keys_list(struct http_call *call)
{
    struct err err = {0};
    int64_t limit;
    struct str after;
    struct db *db;
    struct db_pool *pool = engine_lov(api_of(call)->engine);
    int rc = request_page(call, NULL, &limit, &after, &err);
    if (rc == 0)
        rc = db_pool_get(pool, &db, &err);
    if (rc)
        return answer_problem(call, &err);
    struct jw j = answer_start(call, 200);
    jw_object_start(&j);
    jw_array_member(&j, "items");
    rc = list_rows(call, db, limit, after, &j, &err);
    db_pool_put(pool, db);
    jw_object_end(&j);
    return rc ? answer_problem(call, &err) : 0;
}
