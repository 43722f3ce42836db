/* checkpoint.c - see checkpoint.h. */
#include "db/checkpoint.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

/* Pages in the log. A long log makes checkpoints rarer, which sync random pages. */
enum { PAGES_BEGIN = 8000, PAGES_MOST = 64000 };

struct checkpoint {
    struct db *db, *own; /* the writer's; the thread's */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool wanted, stopping; /* under the lock */
    _Atomic bool busy;     /* set by the writer, cleared by the thread when the bulk is moved */
    bool begun;            /* the writer's: the bulk is, or is being, moved */
};

static bool wait_until_wanted(struct checkpoint *c)
{
    pthread_mutex_lock(&c->lock);
    while (!c->wanted && !c->stopping)
        pthread_cond_wait(&c->wake, &c->lock);
    c->wanted = false;
    bool stopping = c->stopping;
    pthread_mutex_unlock(&c->lock);
    return !stopping;
}

static void *checkpoint_main(void *arg)
{
    struct checkpoint *c = arg;
    struct err ignored;
    while (wait_until_wanted(c)) {
        db_checkpoint(c->own, &ignored);
        atomic_store_explicit(&c->busy, false, memory_order_release);
    }
    return NULL;
}

int checkpoint_start(struct db *db, struct checkpoint **out, struct err *err)
{
    struct checkpoint *c = mem_zero(sizeof *c);
    c->db = db;
    int rc = db_open(db_path(db), DB_READ, &c->own, err);
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->wake, NULL);
    if (rc == 0 && pthread_create(&c->thread, NULL, checkpoint_main, c) != 0) {
        db_close(c->own);
        rc = err_set(err, LOV_EIO, "cannot start the thread that moves the log");
    }
    if (rc)
        free(c);
    else
        *out = c;
    return rc;
}

void checkpoint_stop(struct checkpoint *c)
{
    if (!c)
        return;
    pthread_mutex_lock(&c->lock);
    c->stopping = true;
    pthread_cond_signal(&c->wake);
    pthread_mutex_unlock(&c->lock);
    pthread_join(c->thread, NULL);
    db_close(c->own);
    pthread_cond_destroy(&c->wake);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

void checkpoint_after_commit(struct checkpoint *c)
{
    struct err ignored;
    int64_t pages = db_log_pages(c->db);
    bool busy = atomic_load_explicit(&c->busy, memory_order_acquire);
    if (c->begun && !busy) {
        db_checkpoint(c->db, &ignored);
        c->begun = false;
    } else if (!c->begun && pages >= PAGES_BEGIN) {
        c->begun = true;
        atomic_store_explicit(&c->busy, true, memory_order_relaxed);
        pthread_mutex_lock(&c->lock);
        c->wanted = true;
        pthread_cond_signal(&c->wake);
        pthread_mutex_unlock(&c->lock);
    } else if (pages >= PAGES_MOST) {
        /* The thread does not keep up: whoever fills the log waits for it to be emptied. */
        db_checkpoint(c->db, &ignored);
    }
}
