/*
 * deliver.h - what the thread that sends webhooks has in memory. Private to deliver.c and
 * outcome.c; all of it is that thread's own, but for the counts.
 */
#ifndef LOV_NOTIFY_DELIVER_H
#define LOV_NOTIFY_DELIVER_H

#include "notify/private.h"

enum {
    WINDOW = 8,         /* messages of one webhook on their way at a time */
    MOST_FLYING = 128,  /* of all webhooks together: each has a socket */
    MOST_WAITING = 200, /* failed ones; then the ledger keeps what follows */
    DOWN_AFTER = 3,     /* failures in a row: the endpoint is taken to be down */
    DOWN_MOST_MS = 300000,
    WAIT_MOST_MS = 86400000,
};

struct lane {          /* a webhook's way through one shard's ledger */
    int64_t next;      /* the first event that was not looked at */
    int64_t saved;     /* the cursor as it is in the store */
    int64_t delivered; /* since it was saved */
    int64_t waiting;
};

struct hook {
    struct hook *link;
    struct arena arena;
    struct webhook row;
    struct webhook_secrets secrets;
    struct lane *lanes; /* by shard */
    struct sending *flying[WINDOW];
    size_t flying_count;
    bool sound;         /* what is sealed fits the rest of the row */
    bool there, live;   /* not revoked; and sound and not stopped */
    unsigned failures;  /* in a row */
    int64_t rest_until; /* ms of the monotonic clock */
    bool recovered;     /* what waits is to be tried at once */
};

struct sending {
    struct hook *hook;
    struct flight *flight;
    uint32_t shard;
    bool first;            /* of the ledger, not of a row */
    int64_t seq, attempts; /* before this one */
};

struct outcome {
    struct hook *hook;
    uint32_t shard;
    bool first;
    int64_t seq, attempts;
    struct flight_end end;
};

struct deliverer {
    struct engine *engine;
    struct notify_options options;
    struct buf origin;
    CURLM *multi;
    pthread_t thread;
    _Atomic bool stopping;
    struct hook *hooks;
    size_t flying; /* messages on their way, of all */
    struct outcome *outcomes;
    size_t outcome_count, outcome_cap;
    int64_t looked_at, saved_at;              /* ms of the monotonic clock */
    bool fails;                               /* said already */
    _Atomic uint64_t delivered, failed, dead; /* relaxed: each alone */
};

/* How long to wait after so many attempts, ms: exponential, within a quarter more or less. */
int64_t delivery_wait_ms(const struct notify_options *o, int64_t attempts);
/* The event before which all are delivered or kept. */
int64_t lane_done(const struct hook *h, uint32_t shard);
/* Writes what has become of messages, and the cursors, in one transaction. Waits. */
int outcomes_save(struct deliverer *d, struct err *err);

#endif
