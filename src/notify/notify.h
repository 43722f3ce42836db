/*
 * notify.h - telling those outside what happens: webhooks to the company's own systems and to
 * recipients, messages to consumers in the portal, and e-mails that say that there is one.
 *
 * The ledger is the queue. Each webhook has a cursor in it, durable, which moves on once an event
 * was delivered or is kept for another attempt: every event arrives at least once, usually in
 * order, and a process that is killed delivers again what it had not noted. Messages to consumers
 * are made from the same events by a cursor of their own, and carry what they came of, so that
 * nobody is told the same twice.
 *
 * Messages of webhooks are CloudEvents 1.0 (structured JSON), signed as Standard Webhooks 1.0
 * demands: webhook-id, webhook-timestamp, webhook-signature.
 *
 * Functions that make writes set members of *w and leave the rest (actor, arena) to the caller; the
 * input stays the caller's, in the write's arena. All may be called from any thread.
 */
#ifndef LOV_NOTIFY_NOTIFY_H
#define LOV_NOTIFY_NOTIFY_H

#include <sys/socket.h>

#include "base/json.h"
#include "consent/consent.h"

/* ---- events as others see them ---- */

struct event_view {
    struct engine *engine;
    struct db *identities; /* a reading connection; NULL: consumers are not named */
    bool open_sealed;      /* shows what is sealed under the consumer's key */
    struct str consumer;   /* their name, where it is known; empty: looked up */
};
/* Writes an event as GET /v1/events shows it: the members of its body beside its own, with public
 * ids instead of numbers, the consumer by the controller's id (null for nobody, and for who was
 * erased). */
int event_write(const struct event_view *v, const struct ledger_event *event, struct jw *w,
                struct err *err);

/* ---- webhooks ---- */

enum { WEBHOOK_ID = 16, WEBHOOK_URL_MAX = 2000, WEBHOOK_KINDS_MAX = 16, WEBHOOK_SECRETS = 4 };

/* "https://host/path": https, or http to a loopback address; no user, no fragment. LOV_EINVAL
 * ("invalid_url") says what is wrong. */
int webhook_url_check(struct str url, struct err *err);
/* Is a connection to the address outside of this machine and its networks (RFC 6890)? */
bool webhook_address_is_public(const struct sockaddr *address);
/* "consent", "request.fulfil": an event's kind, or its first word. */
bool webhook_kind_check(struct str kind);

struct webhook_secrets {
    struct secret key[WEBHOOK_SECRETS];
    int64_t until[WEBHOOK_SECRETS]; /* signs before then; TIME_NONE: without end */
    int count;
};
#define _cleanup_webhook_secrets __attribute__((cleanup(webhook_secrets_wipe)))
void webhook_secrets_wipe(struct webhook_secrets *s);
/* "whsec_" and base64. */
void webhook_secret_format(const struct secret *key, struct buf *out);
/* The value of webhook-signature: "v1,..." for each secret that signs at `at`. `timestamp` is in
 * seconds (Standard Webhooks, "Signature scheme"). */
void webhook_sign(const struct webhook_secrets *s, int64_t at, struct str id, int64_t timestamp,
                  struct str body, struct buf *out);

struct webhook {
    struct str id, recipient, url, kinds; /* recipient empty: the company's */
    int64_t created_at, revoked_at, stopped_at;
    int64_t revision;
    struct str sealed;
    /* Of its delivery, all shards taken together. */
    int64_t position; /* in shard 0: the next event to look at */
    int64_t behind;   /* events that it has not looked at */
    int64_t delivered, delivered_at;
    int64_t waiting, dead; /* failed: tried again, or no more */
    struct str error;      /* of the last failure that is not made good; empty: none */
    int64_t status;        /* ... what HTTP answered, 0: nothing */
};
/* 1 and *out, texts from the arena, without what is told of its delivery; or 0. */
int webhook_find(struct db *lov, struct str id, struct arena *arena, struct webhook *out,
                 struct err *err);
/* What stands in its row, secrets too: each event that changes one has this. */
struct sha256 webhook_state(const struct webhook *h);
/* In order of id, those behind `after`; stops when `row` returns non-zero, and returns that. */
int webhook_list(struct engine *e, struct str after, int64_t limit, struct arena *arena,
                 int (*row)(void *ctx, const struct webhook *h), void *ctx, struct err *err);
/* 1 and *out (texts from the arena), or 0. */
int webhook_get(struct engine *e, struct str id, struct arena *arena, struct webhook *out,
                struct err *err);

struct webhook_failure {
    uint32_t shard;
    int64_t seq, attempts, next_at, status, at; /* next_at TIME_NONE: dead */
    struct str error;
};
/* What a webhook has not taken, in order of seq, those behind `after`. */
int webhook_failures(struct engine *e, struct str id, int64_t after, int64_t limit,
                     int (*row)(void *ctx, const struct webhook_failure *f), void *ctx,
                     struct err *err);

struct webhook_new {
    struct str recipient, url;
    struct json_names kinds;
    /* Out, of the write: what the caller shows once. */
    char id[WEBHOOK_ID + 1];
    struct secret secret;
    int64_t created_at;
};
/* Draws id and secret, and makes *w the write that registers it, from the next event on. The caller
 * wipes the secret. Refusals: unknown_recipient, no_policy, invalid_url, too_many_webhooks. */
void webhook_create(struct engine_write *w, struct webhook_new *hook);
struct webhook_change {
    struct str id;
    int64_t hours;        /* webhook_rotate: the secrets before it sign for so long yet */
    struct secret secret; /* webhook_rotate: the new one, out */
    int64_t from;         /* webhook_replay: a seq of shard 0; -1: what is dead */
    int64_t count;        /* webhook_replay: how many events that is at most; out */
};
/* Refusals: unknown_webhook, revoked (but of webhook_revoke, which twice is nothing). */
void webhook_revoke(struct engine_write *w, struct webhook_change *change);
void webhook_rotate(struct engine_write *w, struct webhook_change *change);
/* Delivers again: all from a number of the ledger on, or what is dead. One that had stopped goes
 * on. */
void webhook_replay(struct engine_write *w, struct webhook_change *change);
/* Appends "webhook.test", which is delivered to this webhook alone; w->out_seq is its event. */
void webhook_test(struct engine_write *w, struct webhook_change *change);

/* ---- messages to consumers ---- */

/* JSON, kept under the consumer's key; "kind" says which members there are:
 *   withdrawal  recipient, purpose: they took a yes back
 *   request     request (public id), right, step, due_at: their request went on
 *   policy      version, changes: [{what: "notice", recipient, purpose, notice, version, material}
 * | {what: "changed" | "added" | "removed", recipient, purpose}] summary     from, to (days), yes,
 * uses: [{recipient, purpose, count}], more (uses not counted) unusual     text: by language, what
 * was noticed */
struct message {
    struct str source;
    int64_t at, read_at; /* TIME_NONE: unread */
    struct str json;
};
enum { MESSAGE_SOURCE_MAX = 64 };
/* A consumer's, newest first, from behind (before_at, before_source): INT64_MAX begins. Those that
 * open no more, since the consumer was erased, are left out. Stops when `row` returns non-zero. */
int message_list(struct engine *e, const struct identity_row *who, int64_t before_at,
                 struct str before_source, int64_t limit, struct arena *arena,
                 int (*row)(void *ctx, const struct message *m), void *ctx, struct err *err);
/* 1 and *out (texts from the arena), or 0. */
int message_get(struct engine *e, const struct identity_row *who, struct str source,
                struct arena *arena, struct message *out, struct err *err);
int message_unread(struct engine *e, const struct identity_row *who, int64_t *out, struct err *err);
struct message_mark {
    struct str source; /* empty: all */
    bool read;
};
/* Makes *w, which names the consumer, the write that marks theirs. */
void message_mark(struct engine_write *w, const struct message_mark *mark);
/* Inside the write of another module: tells the scope's consumer. Nothing where they were told of
 * that source already. */
int message_post(struct write_scope *scope, struct str source, struct str json, struct err *err);

enum message_summary { SUMMARY_NEVER, SUMMARY_MONTHLY, SUMMARY_QUARTERLY, SUMMARY_YEARLY };
const char *message_summary_name(enum message_summary summary);
bool message_summary_parse(struct str text, enum message_summary *out);
struct message_settings {
    enum message_summary summary; /* SUMMARY_QUARTERLY where they have not chosen */
    bool mail;
    struct str
        language; /* in which they chose, for message_settings_set(): that of their e-mails */
};
int message_settings_get(struct engine *e, const struct identity_row *who,
                         struct message_settings *out, struct err *err);
/* Makes *w, which names the consumer, the write that keeps them. */
void message_settings_set(struct engine_write *w, const struct message_settings *settings);
/* One plain address ("ada@example.com") that can stand in a header and a command of SMTP. */
bool mail_address_check(struct str address);

/* ---- what runs ---- */

struct mail_options {
    const char *url;             /* smtp:// or smtps://; NULL: no e-mail is sent */
    const char *from;            /* an address */
    const char *user, *password; /* NULL: none */
    const char *portal;          /* the URL of the messages' page */
    /* A word of the pages in a language, or in English where it has no such. */
    struct str (*word)(void *ctx, struct str language, const char *name);
    void *ctx;
};
/* LOV_EINVAL ("usage") where something is missing or cannot be. */
int mail_options_check(const struct mail_options *o, struct err *err);

struct notify_options {
    struct mail_options mail; /* its texts are borrowed and outlive the notify */
    bool private_addresses;   /* webhooks may go to this machine and its networks */
    const char *ca_file; /* authorities of webhooks and of the mail server; NULL: the system's */
    unsigned timeout_seconds, retry_seconds, attempts; /* 0: 20, 5, 10 */
    /* Appends the name under which a recipient is told of an erased consumer; 1, or 0. */
    int (*told_name)(struct engine *e, struct db *identities, uint32_t shard, int64_t seq,
                     struct buf *out, struct err *err);
};
struct notify;
/* Starts delivering. The engine must outlive it; options are copied. */
int notify_start(struct engine *e, const struct notify_options *options, struct notify **out,
                 struct err *err);
/* Lets what is under way end, for a moment. NULL is nothing. */
void notify_stop(struct notify *n);
struct notify_counts {
    uint64_t delivered, failed, dead; /* attempts since the start */
    int64_t webhooks, waiting, dead_letters, behind;
    uint64_t messages, mails, mails_failed; /* since the start */
    int64_t mails_waiting;
};
/* `n` NULL: only what the store says. */
int notify_counts(struct engine *e, const struct notify *n, struct notify_counts *out,
                  struct err *err);

#endif
