/*
 * private.h - what the files of this module share.
 */
#ifndef LOV_NOTIFY_PRIVATE_H
#define LOV_NOTIFY_PRIVATE_H

#include <curl/curl.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "notify/notify.h"

/* ---- address.c ---- */

bool address_is_loopback(const struct sockaddr *address);
/* By what it says: "localhost", "127.0.0.1", "[::1]". */
bool host_is_loopback(struct str host);

/* ---- sign.c ---- */

void webhook_secrets_seal(const struct identity *who, const struct webhook *h,
                          const struct webhook_secrets *s, struct buf *out);
/* LOV_ECORRUPT also where recipient, kinds or URL are not those that it was registered with. */
int webhook_unseal(const struct identity *who, const struct webhook *h, struct webhook_secrets *out,
                   struct err *err);

/* ---- webhook.c ---- */

#define WEBHOOK_COLUMNS                                                                            \
    "id, recipient, url, kinds, created_at, revoked_at, stopped_at, revision, sealed"
/* Texts from the arena. */
void webhook_from_row(struct db_stmt *s, struct arena *arena, struct webhook *out);
/* Appends the body of the event that leaves the row like this. */
void webhook_body(const struct webhook *h, struct buf *out);
/* Is the event one that goes there? */
bool webhook_wants(const struct webhook *h, const struct ledger_event *event);

/* ---- deliver.c: the thread that sends ---- */

struct deliverer;
struct deliverer *deliverer_start(struct engine *e, const struct notify_options *o);
void deliverer_stop(struct deliverer *d);
void deliverer_counts(const struct deliverer *d, struct notify_counts *out);

/* ---- message.c ---- */

struct draft {
    struct uid cid;
    uint32_t shard;
    struct str source, json;
    struct str sealed; /* empty: the consumer was erased */
};
/* Seals what it says, into the arena; on any thread, with a connection of its own. */
int draft_seal(const struct identity *who, struct db *identities, struct draft *d,
               struct arena *arena, struct err *err);
/* In a transaction: 1 when the row is new, 0 when they were told already. */
int draft_put(struct db *lov, const struct draft *d, int64_t now, struct err *err);
int messages_forget(struct db *lov, uint32_t shard, const struct uid *cid, struct err *err);
int settings_read(struct db *lov, uint32_t shard, const struct uid *cid,
                  struct message_settings *out, struct err *err);

/* ---- inbox.c: the thread that makes messages ---- */

struct inbox;
struct inbox *inbox_start(struct engine *e);
void inbox_stop(struct inbox *b);
void inbox_counts(const struct inbox *b, struct notify_counts *out);

/* ---- round.c: what many are told ---- */

/* Begins the summaries of the period that has ended, where that is not done. */
int rounds_begin_summary(struct engine *e, int64_t now, struct err *err);
/* One step of one round that is not ended; *more is false when there is none. *told counts. */
int rounds_step(struct engine *e, bool *more, int64_t *told, struct err *err);

/* ---- summary.c ---- */

/* Appends what a summary says, as JSON; 1, or 0 where the consumer wants none for this month. */
int summary_write(struct engine *e, struct db *lov, struct db *identities, const struct uid *cid,
                  int32_t month, struct arena *arena, uint32_t *shard, struct buf *out,
                  struct err *err);

/* ---- mail.c: the thread that sends e-mails ---- */

struct mailer;
struct mailer *mailer_start(struct engine *e, const struct notify_options *o);
void mailer_stop(struct mailer *m);
void mailer_counts(const struct mailer *m, struct notify_counts *out);

/* ---- notify.c ---- */

void notify_add_counts(const struct notify *n, struct notify_counts *out);

/* ---- flight.c: one message on its way ---- */

struct flight_end {
    bool delivered, gone; /* gone: the endpoint wants no more (410) */
    int status;
    const char *error;      /* a word; "" when it was delivered */
    int64_t retry_after_ms; /* what the endpoint asked for; 0: nothing */
};
struct flight;
struct flight_options {
    const struct notify_options *notify;
    const char *url;
    const struct webhook_secrets *secrets;
    struct str id, body; /* copied */
};
/* NULL where it could not begin. */
struct flight *flight_start(CURLM *multi, const struct flight_options *o, void *ctx);
void *flight_of(CURL *curl);
/* Ends it, done or not, and frees it. `result` is curl's. */
void flight_end(CURLM *multi, struct flight *f, CURLcode result, struct flight_end *out);

/* ---- cloud.c: what is sent ---- */

struct cloud_event {
    struct engine *engine;
    struct db *identities;
    struct str origin;
    const struct notify_options *options;
};
int cloud_event_write(const struct cloud_event *c, const struct ledger_event *event, struct buf *id,
                      struct buf *out, struct err *err);

#endif
