/* worker.c - a thread for what takes long, one job at a time: passwords, which take 64 MiB and a
 * tenth of a second each, and talking to others. Threads that answer calls must not wait for it. */
#include <stdlib.h>

#include "web/private.h"

enum { WAITING_MOST = 64 };

struct worker {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct job *first, **last; /* under lock */
    size_t waiting;            /* under lock */
    bool stopping;             /* under lock */
};

static struct job *take_job(struct worker *h)
{
    pthread_mutex_lock(&h->lock);
    while (!h->first && !h->stopping)
        pthread_cond_wait(&h->wake, &h->lock);
    struct job *job = h->first;
    if (job) {
        h->first = job->next;
        if (!h->first)
            h->last = &h->first;
        h->waiting--;
    }
    pthread_mutex_unlock(&h->lock);
    return job;
}

static void *work(void *arg)
{
    struct job *job;
    while ((job = take_job(arg)) != NULL) {
        struct http_call *call = job->call;
        job->run(job);
        http_resume(call);
    }
    return NULL;
}

struct worker *worker_new(const char *name)
{
    struct worker *h = mem_zero(sizeof *h);
    pthread_mutex_init(&h->lock, NULL);
    pthread_cond_init(&h->wake, NULL);
    h->last = &h->first;
    if (pthread_create(&h->thread, NULL, work, h))
        bug("no thread %s", name);
    pthread_setname_np(h->thread, name);
    return h;
}

bool worker_submit(struct worker *h, struct job *job)
{
    pthread_mutex_lock(&h->lock);
    bool room = h->waiting < WAITING_MOST && !h->stopping;
    if (room) {
        job->next = NULL;
        *h->last = job;
        h->last = &job->next;
        h->waiting++;
        pthread_cond_signal(&h->wake);
    }
    pthread_mutex_unlock(&h->lock);
    return room;
}

void worker_free(struct worker *h)
{
    pthread_mutex_lock(&h->lock);
    h->stopping = true;
    pthread_cond_signal(&h->wake);
    pthread_mutex_unlock(&h->lock);
    pthread_join(h->thread, NULL);
    pthread_cond_destroy(&h->wake);
    pthread_mutex_destroy(&h->lock);
    free(h);
}
