/* load.c - fills an installation with consents through the engine, a window of writes at a time,
 * and says how fast: load FOLDER CONSENTS. One consent for each of the consumers 00000001, 00000002
 * ... */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "consent/consent.h"

enum { WINDOW = 2000, ID_SIZE = 24 };

struct window {
    struct engine *e;
    struct engine_write write[WINDOW];
    struct arena arena[WINDOW];
    char id[WINDOW][ID_SIZE];
    struct str category;
    pthread_mutex_t lock;
    pthread_cond_t empty;
    int left;
};

static void fail(const struct err *err)
{
    fprintf(stderr, "load: %s\n", err->text);
    exit(3);
}

static void apply_policy(struct engine *e)
{
    struct err err = {0};
    struct policy_bundle bundle = {0};
    _cleanup_arena struct arena arena = {0};
    if (policy_bundle_read("policy", &bundle, &err))
        fail(&err);
    struct engine_write w = {
        .kind = WRITE_POLICY, .actor = STR("bench"), .arena = &arena, .bundle = &bundle};
    if (engine_run(e, &w, &err))
        fail(&err);
    policy_unref(w.policy);
    policy_findings_free(&w.findings);
    policy_bundle_free(&bundle);
}

static void one_done(struct engine_write *w)
{
    struct window *window = w->ctx;
    pthread_mutex_lock(&window->lock);
    if (--window->left == 0)
        pthread_cond_signal(&window->empty);
    pthread_mutex_unlock(&window->lock);
}

static void submit(struct window *w, int i, long number)
{
    arena_free(&w->arena[i]);
    snprintf(w->id[i], ID_SIZE, "%08ld", number);
    w->write[i] = (struct engine_write){
        .kind = WRITE_GIVE,
        .actor = STR("bench"),
        .arena = &w->arena[i],
        .consumer = str_of(w->id[i]),
        .purpose = STR("personal_offers"),
        .recipient = STR("marketing"),
        .categories = &w->category,
        .category_count = 1,
        .notice = {.id = STR("personal_offers"), .language = STR("sv"), .version = 1},
        .channel = STR("web"),
        .expires_at = TIME_NONE,
        .given_at = TIME_NONE,
        .done = one_done,
        .ctx = w,
    };
    engine_submit(w->e, &w->write[i]);
}

static void load(struct window *w, long from, int count)
{
    w->left = count;
    for (int i = 0; i < count; i++)
        submit(w, i, from + i);
    pthread_mutex_lock(&w->lock);
    while (w->left > 0)
        pthread_cond_wait(&w->empty, &w->lock);
    pthread_mutex_unlock(&w->lock);
    for (int i = 0; i < count; i++)
        if (w->write[i].job.rc < 0)
            fail(&w->write[i].job.err);
}

int main(int argc, char **argv)
{
    struct err err = {0};
    struct log log = {.fd = STDERR_FILENO, .level = LOG_ERROR};
    int64_t total;
    if (argc != 3 || !str_to_int(str_of(argv[2]), 1, 100000000, &total)) {
        fprintf(stderr, "usage: load FOLDER CONSENTS\n");
        return 2;
    }
    struct window *w = calloc(1, sizeof *w);
    if (!w)
        return 3;
    w->category = STR("purchases");
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->empty, NULL);
    if (engine_init(argv[1], &err) || engine_open(argv[1], &log, &w->e, &err))
        fail(&err);
    apply_policy(w->e);
    int64_t start = clock_monotonic();
    for (int64_t done = 0; done < total; done += WINDOW)
        load(w, (long)done + 1, (int)(total - done < WINDOW ? total - done : WINDOW));
    double seconds = (double)(clock_monotonic() - start) / 1e9;
    printf("%.0f\n", (double)total / seconds);
    engine_close(w->e);
    for (int i = 0; i < WINDOW; i++)
        arena_free(&w->arena[i]);
    free(w);
    return 0;
}
