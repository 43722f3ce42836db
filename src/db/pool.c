/* pool.c - reading connections that are kept for the next reader; see db.h. */
#include <pthread.h>
#include <stdlib.h>

#include "db/db.h"

enum { KEEP = 16 };

struct db_pool {
    pthread_mutex_t lock;
    char *path;
    void (*settle)(void *ctx); /* NULL: nothing to wait for */
    void *ctx;
    struct db *idle[KEEP];
    size_t count;
};

struct db_pool *db_pool_new(const char *path)
{
    struct db_pool *pool = mem_zero(sizeof *pool);
    pthread_mutex_init(&pool->lock, NULL);
    pool->path = str_dup(str_of(path));
    return pool;
}

void db_pool_free(struct db_pool *pool)
{
    if (!pool)
        return;
    for (size_t i = 0; i < pool->count; i++)
        db_close(pool->idle[i]);
    pthread_mutex_destroy(&pool->lock);
    free(pool->path);
    free(pool);
}

void db_pool_follow(struct db_pool *pool, void (*settle)(void *ctx), void *ctx)
{
    pool->ctx = ctx;
    pool->settle = settle;
}

int db_pool_get(struct db_pool *pool, struct db **out, struct err *err)
{
    if (pool->settle)
        pool->settle(pool->ctx);
    return db_pool_get_rows(pool, out, err);
}

int db_pool_get_rows(struct db_pool *pool, struct db **out, struct err *err)
{
    struct db *db = NULL;
    pthread_mutex_lock(&pool->lock);
    if (pool->count)
        db = pool->idle[--pool->count];
    pthread_mutex_unlock(&pool->lock);
    if (!db)
        return db_open(pool->path, DB_READ, out, err);
    *out = db;
    return 0;
}

void db_pool_put(struct db_pool *pool, struct db *db)
{
    if (!db)
        return;
    pthread_mutex_lock(&pool->lock);
    bool kept = pool->count < KEEP;
    if (kept)
        pool->idle[pool->count++] = db;
    pthread_mutex_unlock(&pool->lock);
    if (!kept)
        db_close(db);
}
