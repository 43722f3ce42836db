/* hasher.c - passwords are checked one at a time on a thread of their own: each takes 64 MiB and a
 * tenth of a second, and threads that answer calls must not wait for it. */
#include <stdlib.h>

#include "base/password.h"
#include "web/private.h"

enum { WAITING_MOST = 64 };

struct hasher {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct hash_job *first, **last; /* under lock */
    size_t waiting;                 /* under lock */
    bool stopping;                  /* under lock */
};

static void do_job(struct hash_job *job)
{
    if (job->make) {
        _cleanup_buf struct buf hash = {0};
        job->fits = password_hash(job->password, &hash);
        job->hash = arena_str(job->arena, buf_view(&hash));
    } else {
        job->fits = password_fits(job->password, job->hash);
    }
}

static struct hash_job *take_job(struct hasher *h)
{
    pthread_mutex_lock(&h->lock);
    while (!h->first && !h->stopping)
        pthread_cond_wait(&h->wake, &h->lock);
    struct hash_job *job = h->first;
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
    struct hash_job *job;
    while ((job = take_job(arg)) != NULL) {
        do_job(job);
        http_resume(job->call);
    }
    return NULL;
}

struct hasher *hasher_new(void)
{
    struct hasher *h = mem_zero(sizeof *h);
    pthread_mutex_init(&h->lock, NULL);
    pthread_cond_init(&h->wake, NULL);
    h->last = &h->first;
    if (pthread_create(&h->thread, NULL, work, h))
        bug("no thread for passwords");
    pthread_setname_np(h->thread, "lov-password");
    return h;
}

bool hasher_submit(struct hasher *h, struct hash_job *job)
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

void hasher_free(struct hasher *h)
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
