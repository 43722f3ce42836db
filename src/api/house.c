/* house.c - the thread that does what nobody asks for: chores, each at its time. One that fails is
 * said once, until it works again, and tried at its next time; those that come seldom say it each
 * time. */
#include <errno.h>
#include <time.h>

#include "api/private.h"

enum { TICK_SECONDS = 1, AT_ONCE = 1000, QUALITY_SECONDS = 60 };

/* ---- the chores ---- */

static int expire(struct api *api, struct err *err)
{
    int64_t written;
    do {
        _cleanup_arena struct arena arena = {0};
        struct engine_write w = {
            .kind = WRITE_EXPIRE,
            .actor = STR("lov"),
            .arena = &arena,
            .limit = AT_ONCE,
            .expires_at = TIME_NONE,
            .given_at = TIME_NONE,
        };
        int rc = engine_run(api->engine, &w, err);
        if (rc)
            return rc;
        written = w.written;
    } while (written == AT_ONCE);
    return 0;
}

static int expire_records(struct api *api, struct err *err)
{
    int64_t deleted;
    int rc;
    do
        rc = vault_expire_due(api->vault, AT_ONCE, &deleted, err);
    while (rc == 0 && deleted >= AT_ONCE);
    return rc;
}

static int begin_transfers(struct api *api, struct err *err)
{
    return engine_begin_transfers(api->engine, err);
}

static int follow_laws(struct api *api, struct err *err)
{
    return engine_follow_laws(api->engine, err);
}

static int remind(struct api *api, struct err *err)
{
    int64_t written;
    return request_remind(api->engine, AT_ONCE, &written, err);
}

static int keep_quality(struct api *api, struct err *err)
{
    int64_t asked;
    int rc = vault_ask_stale(api->vault, AT_ONCE, &asked, err);
    return rc ? rc : vault_save_statistics(api->vault, err);
}

static int aggregate(struct api *api, struct err *err)
{
    int64_t blocks;
    return vault_aggregate(api->vault, &blocks, err);
}

static int publish(struct api *api, struct err *err)
{
    return engine_publish(api->engine, err);
}

static int audit(struct api *api, struct err *err)
{
    return engine_audit(api->engine, err);
}

struct chore {
    int (*run)(struct api *api, struct err *err);
    int64_t seconds; /* how often */
    bool later;      /* not at the start */
    bool each_time;  /* a failure is said */
    const char *failed;
    bool fails;
};

/* ---- the thread ---- */

static void run_chore(struct api *api, struct chore *c)
{
    struct err err = {0};
    bool failed = c->run(api, &err) != 0;
    if (failed && (c->each_time || !c->fails))
        log_printf(engine_log(api->engine), LOG_ERROR, "%s: %s", c->failed, err.text);
    c->fails = failed;
}

/* False when it is time to stop. */
static bool wait_a_tick(struct api *api)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += TICK_SECONDS;
    pthread_mutex_lock(&api->lock);
    int rc = 0;
    while (!api->stopping && rc != ETIMEDOUT)
        rc = pthread_cond_timedwait(&api->wake, &api->lock, &until);
    bool go_on = !api->stopping;
    pthread_mutex_unlock(&api->lock);
    return go_on;
}

static void *keep_house(void *arg)
{
    struct api *api = arg;
    struct chore chores[] = {
        {follow_laws, 1, false, false, "a law's change is not in force", false},
        {aggregate, api->aggregate_seconds, false, true, "sums could not be made", false},
        {publish, api->checkpoint_seconds, false, true, "no checkpoint was made", false},
        {audit, api->audit_seconds, false, true, "the ledger could not be audited", false},
        {expire, 1, false, false, "recording expiry failed", false},
        {expire_records, 1, false, false, "deleting what is due failed", false},
        {begin_transfers, 1, false, false, "recording a transfer failed", false},
        {remind, 1, false, false, "reminding of requests failed", false},
        {keep_quality, QUALITY_SECONDS, true, false, "looking after the quality failed", false},
    };
    enum { CHORES = sizeof chores / sizeof *chores };
    int64_t second = 0;
    do {
        for (size_t i = 0; i < CHORES; i++)
            if (second % chores[i].seconds == 0 && (second || !chores[i].later))
                run_chore(api, &chores[i]);
        engine_scrub_again(api->engine, 0);
        second++;
    } while (wait_a_tick(api));
    run_chore(api, &chores[CHORES - 1]); /* what is usual is saved once more */
    run_chore(api, &(struct chore){publish, 1, false, true, "no last checkpoint", false});
    return NULL;
}

int api_start_housekeeping(struct api *api, struct err *err)
{
    api->housekeeping = true;
    if (pthread_create(&api->housekeeper, NULL, keep_house, api)) {
        api->housekeeping = false;
        return err_set(err, LOV_EUNAVAILABLE, "no thread for housekeeping");
    }
    pthread_setname_np(api->housekeeper, "lov-house");
    return 0;
}

void house_init(struct api *api)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    /* So that a wall clock set back does not stop expiry. */
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&api->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&api->lock, NULL);
}

void house_stop(struct api *api)
{
    if (api->housekeeping) {
        pthread_mutex_lock(&api->lock);
        api->stopping = true;
        pthread_cond_signal(&api->wake);
        pthread_mutex_unlock(&api->lock);
        pthread_join(api->housekeeper, NULL);
    }
    pthread_cond_destroy(&api->wake);
    pthread_mutex_destroy(&api->lock);
}
