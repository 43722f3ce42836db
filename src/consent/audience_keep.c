/* audience_keep.c - a thread that builds segments of sets before somebody asks for them: after the
 * start, and again before their window ends. It works when nobody else wants the processor. */
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "consent/engine.h"
#include "consent/sets.h"

enum { PAUSE_SECONDS = 5, AHEAD_MS = 2 * 3600000, NICE = 10 };

struct keeper {
    struct engine *e;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stopping; /* under the lock */
};

static bool is_stopping(struct keeper *k)
{
    pthread_mutex_lock(&k->lock);
    bool stopping = k->stopping;
    pthread_mutex_unlock(&k->lock);
    return stopping;
}

static void build_all(struct keeper *k)
{
    struct sets *s = index_sets(k->e->index);
    for (uint32_t i = 0; sets_wanting(s, &i, permit_now(), AHEAD_MS) && !is_stopping(k); i++)
        if (!sets_build(s, i, permit_now(), AHEAD_MS))
            return;
}

static void *keeper_main(void *arg)
{
    struct keeper *k = arg;
    /* Of this thread alone, on Linux. */
    setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), NICE);
    pthread_mutex_lock(&k->lock);
    while (!k->stopping) {
        struct timespec until;
        pthread_mutex_unlock(&k->lock);
        build_all(k);
        pthread_mutex_lock(&k->lock);
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += PAUSE_SECONDS;
        if (!k->stopping)
            pthread_cond_timedwait(&k->wake, &k->lock, &until);
    }
    pthread_mutex_unlock(&k->lock);
    return NULL;
}

int engine_keep_audiences(struct engine *e, struct err *err)
{
    struct keeper *k = mem_zero(sizeof *k);
    k->e = e;
    pthread_mutex_init(&k->lock, NULL);
    pthread_cond_init(&k->wake, NULL);
    if (pthread_create(&k->thread, NULL, keeper_main, k) != 0) {
        free(k);
        return err_set(err, LOV_EIO, "cannot start a thread");
    }
    e->keeper = k;
    return 0;
}

void engine_stop_keeper(struct engine *e)
{
    struct keeper *k = e->keeper;
    if (!k)
        return;
    pthread_mutex_lock(&k->lock);
    k->stopping = true;
    pthread_cond_signal(&k->wake);
    pthread_mutex_unlock(&k->lock);
    pthread_join(k->thread, NULL);
    pthread_cond_destroy(&k->wake);
    pthread_mutex_destroy(&k->lock);
    free(k);
    e->keeper = NULL;
}
