/* group.c - many writes at once, and one who waits for all of them. */
#include <pthread.h>

#include "vault/private.h"

struct group {
    pthread_mutex_t lock;
    pthread_cond_t over;
    size_t left; /* under lock */
};

static void one_done(struct engine_write *w)
{
    struct group *g = w->ctx;
    pthread_mutex_lock(&g->lock);
    if (--g->left == 0)
        pthread_cond_signal(&g->over);
    pthread_mutex_unlock(&g->lock);
}

void group_run(struct engine *e, struct engine_write *writes, size_t count)
{
    struct group g = {.left = count};
    pthread_mutex_init(&g.lock, NULL);
    pthread_cond_init(&g.over, NULL);
    for (size_t i = 0; i < count; i++) {
        writes[i].ctx = &g;
        writes[i].done = one_done;
        engine_submit(e, &writes[i]);
    }
    pthread_mutex_lock(&g.lock);
    while (g.left)
        pthread_cond_wait(&g.over, &g.lock);
    pthread_mutex_unlock(&g.lock);
    pthread_cond_destroy(&g.over);
    pthread_mutex_destroy(&g.lock);
}

int group_write(struct engine *e, struct engine_write *writes, size_t count, int64_t *written,
                struct err *err)
{
    int rc = 0;
    *written = 0;
    group_run(e, writes, count);
    for (size_t i = 0; i < count; i++) {
        const struct engine_write *w = &writes[i];
        if (w->job.rc == 0) {
            *written += w->written;
        } else if (w->job.rc != LOV_ECONFLICT) {
            rc = w->job.rc;
            *err = w->job.err;
        }
    }
    return rc;
}
