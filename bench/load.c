/* load.c - fills an installation with consents through the engine, a window of writes at a time,
 * and says how fast: load FOLDER CONSENTS [record]. One consent for each of the consumers 00000001,
 * 00000002 ..., and where `record` is said one record of a purchase. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "consent/consent.h"
#include "vault/vault.h"

enum { WINDOW = 2000, ID_SIZE = 24 };

struct window {
    struct engine *e;
    struct engine_write write[WINDOW];
    struct arena arena[WINDOW];
    char id[WINDOW][ID_SIZE];
    struct vault *vault; /* NULL: consents are loaded, no records */
    struct vault_change change[WINDOW];
    struct vault_content content[WINDOW];
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

static void make_record(struct window *w, int i, long number)
{
    struct err err = {0};
    struct rules *rules = engine_rules(w->e);
    const struct policy_category *purchases =
        policy_category(rules_policy(rules), STR("purchases"));
    json_t *data = json_pack("{s:s, s:s, s:s, s:{s:s, s:s}}", "order_id", w->id[i], "bought_at",
                             "2026-11-20T10:15:30Z", "product", "kettle", "amount", "amount",
                             number % 2 ? "90.00" : "110.00", "currency", "SEK");
    w->content[i] = (struct vault_content){
        .source = STR("bench"), .observed_at = TIME_NONE, .retention_end = TIME_NONE};
    if (vault_check(purchases, data, &w->arena[i], &w->content[i], &err))
        fail(&err);
    json_decref(data);
    rules_unref(rules);
    w->change[i] =
        (struct vault_change){.category = STR("purchases"), .items = &w->content[i], .count = 1};
    vault_put(w->vault, &w->write[i], &w->change[i]);
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
    if (w->vault)
        make_record(w, i, number);
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

static double load_all(struct window *w, int64_t total)
{
    int64_t start = clock_monotonic();
    for (int64_t done = 0; done < total; done += WINDOW)
        load(w, (long)done + 1, (int)(total - done < WINDOW ? total - done : WINDOW));
    return (double)total / ((double)(clock_monotonic() - start) / 1e9);
}

int main(int argc, char **argv)
{
    struct err err = {0};
    struct log log = {.fd = STDERR_FILENO, .level = LOG_ERROR};
    int64_t total;
    bool records = argc == 4 && strcmp(argv[3], "record") == 0;
    if (argc != 3 + records || !str_to_int(str_of(argv[2]), 1, 100000000, &total)) {
        fprintf(stderr, "usage: load FOLDER CONSENTS [record]\n");
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
    printf("%.0f\n", load_all(w, total));
    if (records && vault_open(w->e, &w->vault, &err))
        fail(&err);
    if (records)
        printf("%.0f\n", load_all(w, total));
    vault_close(w->vault);
    engine_close(w->e);
    for (int i = 0; i < WINDOW; i++)
        arena_free(&w->arena[i]);
    free(w);
    return 0;
}
