/* webhook.c - webhooks as rows, and the writes that change them. Each change is an event of the
 * ledger with the hash of the row: neither the URL's secrets nor the signing ones can be read
 * there.
 */
#include "notify/private.h"

#include <string.h>

enum { MOST_WEBHOOKS = 1000, HOUR_MS = 3600000 };

/* What is told when nothing else was asked for. */
static const char *const told[] = {"consent", "request", "notification"};
/* First words of kinds that may be asked for, and the kinds of a consent that mean something to who
 * is outside: what superseded an answer is the next one. */
static const char *const kinds[] = {
    "consent.give",
    "consent.refuse",
    "consent.withdraw",
    "consent.renew",
    "consent.amend",
    "consent.expire",
    "request.receive",
    "request.ask_identity",
    "request.verify_identity",
    "request.extend",
    "request.fulfil",
    "request.refuse",
    "request.withdraw",
    "request.close",
    "request.remind",
    "notification.make",
    "notification.acknowledge",
};
#define COUNT(table) (sizeof(table) / sizeof *(table))

/* ---- which events ---- */

static bool is_of_kind(struct str kind, struct str asked)
{
    return str_eq(kind, asked) ||
           (str_starts(kind, asked) && kind.n > asked.n && kind.p[asked.n] == '.');
}

bool webhook_kind_check(struct str kind)
{
    for (size_t i = 0; i < COUNT(kinds); i++)
        if (kind.n && is_of_kind(str_of(kinds[i]), kind))
            return true;
    return false;
}

static bool is_asked_for(const struct webhook *h, struct str kind)
{
    struct str list = h->kinds;
    bool known = false;
    for (size_t i = 0; i < COUNT(kinds) && !known; i++)
        known = str_is(kind, kinds[i]);
    while (known && list.n) {
        struct str one = str_cut(&list, ',');
        if (is_of_kind(kind, one))
            return true;
    }
    return false;
}

/* A text member of an event's body. */
static bool says(const struct ledger_event *event, const char *name, struct str value)
{
    _cleanup_json json_t *body = NULL;
    const json_t *member;
    if (json_read(event->body, &body, NULL))
        return false;
    member = json_object_get(body, name);
    return json_is_string(member) && str_eq(json_text(member), value);
}

bool webhook_wants(const struct webhook *h, const struct ledger_event *event)
{
    if (str_is(event->kind, "webhook.test"))
        return says(event, "webhook", h->id);
    if (!is_asked_for(h, event->kind))
        return false;
    if (!h->recipient.n)
        return true;
    /* Of its own activities, and what it is told of others' requests. */
    struct str activity = event->activity, recipient = str_cut(&activity, '/');
    if (str_starts(event->kind, STR("notification.")))
        return says(event, "recipient", h->recipient);
    return event->activity.n && str_eq(recipient, h->recipient);
}

/* ---- rows ---- */

void webhook_from_row(struct db_stmt *s, struct arena *arena, struct webhook *out)
{
    *out = (struct webhook){
        .id = arena_str(arena, db_text(s, 0)),
        .recipient = arena_str(arena, db_text(s, 1)),
        .url = arena_str(arena, db_text(s, 2)),
        .kinds = arena_str(arena, db_text(s, 3)),
        .created_at = db_int(s, 4),
        .revoked_at = db_is_null(s, 5) ? TIME_NONE : db_int(s, 5),
        .stopped_at = db_is_null(s, 6) ? TIME_NONE : db_int(s, 6),
        .revision = db_int(s, 7),
        .sealed = arena_str(arena, db_blob(s, 8)),
        .delivered_at = TIME_NONE,
    };
}

static int put(struct db *lov, const struct webhook *h, struct err *err)
{
    static const char sql[] =
        "insert into webhook (id, recipient, url, kinds, created_at, revoked_at, stopped_at, "
        "revision, sealed) values ($1, $2, $3, $4, $5, $6, $7, $8, $9) on conflict (id) do update "
        "set revoked_at = $6, stopped_at = $7, revision = $8, sealed = $9";
    struct db_stmt *s = db_use(lov, sql);
    db_bind_text(s, 1, h->id);
    db_bind_text(s, 2, h->recipient.n ? h->recipient : STR(""));
    db_bind_text(s, 3, h->url);
    db_bind_text(s, 4, h->kinds);
    db_bind_int(s, 5, h->created_at);
    if (h->revoked_at == TIME_NONE)
        db_bind_null(s, 6);
    else
        db_bind_int(s, 6, h->revoked_at);
    if (h->stopped_at == TIME_NONE)
        db_bind_null(s, 7);
    else
        db_bind_int(s, 7, h->stopped_at);
    db_bind_int(s, 8, h->revision);
    db_bind_blob(s, 9, h->sealed);
    return db_run(s, err);
}

int webhook_find(struct db *lov, struct str id, struct arena *arena, struct webhook *out,
                 struct err *err)
{
    static const char sql[] = "select " WEBHOOK_COLUMNS " from webhook where id = $1";
    struct db_stmt *s = db_use(lov, sql);
    db_bind_text(s, 1, id);
    int rc = db_step(s, err);
    if (rc != 1)
        return rc;
    webhook_from_row(s, arena, out);
    db_done(s);
    return 1;
}

struct sha256 webhook_state(const struct webhook *h)
{
    _cleanup_buf struct buf text = {0};
    struct jw j = {.out = &text};
    jw_object_start(&j);
    jw_str_member(&j, "url", h->url);
    jw_str_member(&j, "kinds", h->kinds);
    jw_optional_member(&j, "recipient", h->recipient);
    jw_time_member(&j, "created_at", h->created_at);
    jw_time_member(&j, "revoked_at", h->revoked_at);
    jw_time_member(&j, "stopped_at", h->stopped_at);
    jw_int_member(&j, "revision", h->revision);
    jw_hex_member(&j, "sealed", h->sealed.p, h->sealed.n);
    jw_object_end(&j);
    return sha256_of(buf_view(&text));
}

void webhook_body(const struct webhook *h, struct buf *out)
{
    struct sha256 state = webhook_state(h);
    struct jw j = {.out = out};
    jw_object_start(&j);
    jw_str_member(&j, "webhook", h->id);
    jw_optional_member(&j, "recipient", h->recipient);
    jw_hex_member(&j, "state_sha256", state.b, sizeof state.b);
    jw_object_end(&j);
}

/* ---- writing ---- */

static int append(struct write_scope *scope, const char *kind, const struct webhook *h,
                  int64_t *seq, struct err *err)
{
    _cleanup_buf struct buf body = {0};
    webhook_body(h, &body);
    return engine_append(scope, kind, (struct str){0}, buf_view(&body), seq, err);
}

static int count(struct db *lov, int64_t *out, struct err *err)
{
    static const char sql[] = "select count(*) from webhook where revoked_at is null";
    struct db_stmt *s = db_use(lov, sql);
    return db_number(s, out, err);
}

static int put_cursor(struct db *lov, uint32_t shard, struct str id, int64_t seq, struct err *err)
{
    static const char sql[] = "insert into webhook_cursor (shard, webhook, seq, delivered) "
                              "values ($1, $2, $3, 0) on conflict (shard, webhook) do update set "
                              "seq = $3";
    struct db_stmt *s = db_use(lov, sql);
    db_bind_int(s, 1, shard);
    db_bind_text(s, 2, id);
    db_bind_int(s, 3, seq);
    return db_run(s, err);
}

static int check_new(const struct write_scope *scope, const struct webhook_new *hook,
                     struct err *err)
{
    int64_t there = 0;
    int rc = count(scope->lov, &there, err);
    if (rc == 0)
        rc = webhook_url_check(hook->url, err);
    if (rc)
        return rc;
    if (there >= MOST_WEBHOOKS)
        return err_reason(err, LOV_ECONFLICT, "too_many_webhooks",
                          "there are %d webhooks: revoke one first", (int)MOST_WEBHOOKS);
    for (size_t i = 0; i < hook->kinds.count; i++)
        if (!webhook_kind_check(hook->kinds.items[i]))
            return err_reason(err, LOV_EINVAL, "invalid_field",
                              "kinds: consent, request, notification, or one kind of these");
    if (hook->recipient.n && !scope->policy)
        return err_reason(err, LOV_EUNAVAILABLE, "no_policy",
                          "no policy is in force: apply one with lov policy apply");
    if (hook->recipient.n && !policy_recipient(scope->policy, hook->recipient))
        return err_reason(err, LOV_EINVAL, "unknown_recipient",
                          "the policy in force has no such recipient");
    return 0;
}

static struct str join_kinds(const struct webhook_new *hook, struct arena *arena)
{
    _cleanup_buf struct buf list = {0};
    for (size_t i = 0; i < (hook->kinds.count ? hook->kinds.count : COUNT(told)); i++) {
        if (i)
            buf_char(&list, ',');
        buf_str(&list, hook->kinds.count ? hook->kinds.items[i] : str_of(told[i]));
    }
    return arena_str(arena, buf_view(&list));
}

static int create(struct engine_write *w, struct write_scope *scope, struct err *err)
{
    struct webhook_new *hook = (struct webhook_new *)w->input;
    _cleanup_webhook_secrets struct webhook_secrets secrets = {.count = 1, .until = {TIME_NONE}};
    _cleanup_buf struct buf sealed = {0};
    int rc = check_new(scope, hook, err);
    if (rc)
        return rc;
    secrets.key[0] = hook->secret;
    hook->created_at = scope->now;
    struct webhook h = {
        .id = str_of(hook->id),
        .recipient = hook->recipient,
        .url = hook->url,
        .kinds = join_kinds(hook, scope->arena),
        .created_at = scope->now,
        .revoked_at = TIME_NONE,
        .stopped_at = TIME_NONE,
    };
    webhook_secrets_seal(engine_identity(scope->engine), &h, &secrets, &sealed);
    h.sealed = buf_view(&sealed);
    struct ledger *ledger = engine_ledger(scope->engine);
    for (uint32_t shard = 0; rc == 0 && shard < engine_shards(scope->engine); shard++)
        rc = put_cursor(scope->lov, shard, h.id, ledger_next(ledger, shard), err);
    if (rc == 0)
        rc = put(scope->lov, &h, err);
    return rc ? rc : append(scope, "webhook.create", &h, &w->out_seq, err);
}

void webhook_create(struct engine_write *w, struct webhook_new *hook)
{
    uint8_t id[WEBHOOK_ID / 2];
    _cleanup_buf struct buf hex = {0};
    random_bytes(id, sizeof id);
    random_bytes(hook->secret.b, sizeof hook->secret.b);
    hex_encode(id, sizeof id, &hex);
    memcpy(hook->id, hex.p, sizeof hook->id);
    w->kind = WRITE_OTHER;
    w->other = create;
    w->input = hook;
}

/* A change begins with the row as it is, which is not revoked. */
static int find_live(struct write_scope *scope, struct str id, struct webhook *out, struct err *err)
{
    int rc = webhook_find(scope->lov, id, scope->arena, out, err);
    if (rc == 0)
        rc = err_reason(err, LOV_ENOTFOUND, "unknown_webhook", "there is no such webhook");
    if (rc == 1 && out->revoked_at != TIME_NONE)
        return err_reason(err, LOV_ECONFLICT, "revoked", "the webhook was revoked");
    return rc < 0 ? rc : 0;
}

static int forget_failures(struct db *lov, struct str id, struct err *err)
{
    static const char sql[] = "delete from webhook_delivery where webhook = $1";
    struct db_stmt *s = db_use(lov, sql);
    db_bind_text(s, 1, id);
    return db_run(s, err);
}

static int revoke(struct engine_write *w, struct write_scope *scope, struct err *err)
{
    const struct webhook_change *change = w->input;
    struct webhook h = {0};
    int rc = webhook_find(scope->lov, change->id, scope->arena, &h, err);
    if (rc == 0)
        return err_reason(err, LOV_ENOTFOUND, "unknown_webhook", "there is no such webhook");
    if (rc < 0 || h.revoked_at != TIME_NONE)
        return rc < 0 ? rc : 0;
    struct webhook_secrets none = {0};
    _cleanup_buf struct buf sealed = {0};
    webhook_secrets_seal(engine_identity(scope->engine), &h, &none, &sealed);
    h.sealed = buf_view(&sealed);
    h.revoked_at = scope->now;
    h.revision++;
    rc = put(scope->lov, &h, err);
    if (rc == 0)
        rc = forget_failures(scope->lov, h.id, err);
    return rc ? rc : append(scope, "webhook.revoke", &h, &w->out_seq, err);
}

/* The new one first, then those that sign for a while yet. */
static void add_secret(struct webhook_secrets *s, const struct webhook_change *change, int64_t now)
{
    struct webhook_secrets all = {.count = 1, .until = {TIME_NONE}};
    int64_t end = now + change->hours * HOUR_MS;
    all.key[0] = change->secret;
    for (int i = 0; i < s->count && all.count < WEBHOOK_SECRETS; i++) {
        int64_t until = s->until[i] == TIME_NONE || s->until[i] > end ? end : s->until[i];
        if (until <= now)
            continue;
        all.key[all.count] = s->key[i];
        all.until[all.count++] = until;
    }
    *s = all;
    webhook_secrets_wipe(&all);
}

static int rotate(struct engine_write *w, struct write_scope *scope, struct err *err)
{
    const struct webhook_change *change = w->input;
    const struct identity *who = engine_identity(scope->engine);
    _cleanup_webhook_secrets struct webhook_secrets secrets = {0};
    _cleanup_buf struct buf sealed = {0};
    struct webhook h = {0};
    int rc = find_live(scope, change->id, &h, err);
    if (rc == 0)
        rc = webhook_unseal(who, &h, &secrets, err);
    if (rc)
        return rc;
    add_secret(&secrets, change, scope->now);
    webhook_secrets_seal(who, &h, &secrets, &sealed);
    h.sealed = buf_view(&sealed);
    h.revision++;
    rc = put(scope->lov, &h, err);
    return rc ? rc : append(scope, "webhook.rotate", &h, &w->out_seq, err);
}

/* What is dead gets all its attempts again, from now on. */
static int revive(struct write_scope *scope, struct str id, int64_t *many, struct err *err)
{
    static const char sql[] = "update webhook_delivery set next_at = $2, attempts = 0 "
                              "where webhook = $1 and next_at is null";
    int64_t before = db_changes(scope->lov);
    struct db_stmt *s = db_use(scope->lov, sql);
    db_bind_text(s, 1, id);
    db_bind_int(s, 2, scope->now);
    int rc = db_run(s, err);
    *many = db_changes(scope->lov) - before;
    return rc;
}

static int replay(struct engine_write *w, struct write_scope *scope, struct err *err)
{
    struct webhook_change *change = (struct webhook_change *)w->input;
    int64_t next = ledger_next(engine_ledger(scope->engine), 0);
    struct webhook h = {0};
    int rc = find_live(scope, change->id, &h, err);
    if (rc)
        return rc;
    if (change->from > next)
        return err_reason(err, LOV_EINVAL, "invalid_field",
                          "from: the ledger has %lld events so far", (long long)next);
    change->count = next - change->from;
    rc = change->from < 0 ? revive(scope, h.id, &change->count, err)
                          : put_cursor(scope->lov, 0, h.id, change->from, err);
    h.stopped_at = TIME_NONE;
    h.revision++;
    if (rc == 0)
        rc = put(scope->lov, &h, err);
    return rc ? rc : append(scope, "webhook.replay", &h, &w->out_seq, err);
}

static int test(struct engine_write *w, struct write_scope *scope, struct err *err)
{
    const struct webhook_change *change = w->input;
    struct webhook h = {0};
    int rc = find_live(scope, change->id, &h, err);
    return rc ? rc : append(scope, "webhook.test", &h, &w->out_seq, err);
}

static void change_by(struct engine_write *w, struct webhook_change *change,
                      int (*other)(struct engine_write *, struct write_scope *, struct err *))
{
    w->kind = WRITE_OTHER;
    w->other = other;
    w->input = change;
}

void webhook_revoke(struct engine_write *w, struct webhook_change *change)
{
    change_by(w, change, revoke);
}

void webhook_rotate(struct engine_write *w, struct webhook_change *change)
{
    random_bytes(change->secret.b, sizeof change->secret.b);
    change_by(w, change, rotate);
}

void webhook_replay(struct engine_write *w, struct webhook_change *change)
{
    change_by(w, change, replay);
}

void webhook_test(struct engine_write *w, struct webhook_change *change)
{
    change_by(w, change, test);
}
