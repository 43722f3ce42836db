/*
 * proofs.c - measures the ledger in this process, without HTTP: events appended durably through
 * group commit, checkpoints, and proofs from a store that was opened anew.
 *
 *     build/bench/proofs EVENTS DIR
 *
 * DIR must not exist; it holds some 300 bytes for each event, and is left for others to look at.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "db/writer.h"
#include "ledger/ledger.h"
#include "ledger/publish.h"
#include "ledger/tiles.h"

enum { IN_FLIGHT = 4096, PROOFS = 2000, SECOND = 1000000000 };

static void demand(int rc, const struct err *err)
{
    if (rc == 0)
        return;
    fprintf(stderr, "bench: %s\n", err->text);
    exit(1);
}

struct run {
    struct ledger *ledger;
    struct writer *writer;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    int in_flight; /* under lock */
};

struct append_job {
    struct write_job job;
    struct run *run;
    int64_t n;
    bool busy; /* under lock */
};

static int run_append(struct write_job *job, struct write_stores *stores, struct err *err)
{
    struct append_job *a = (struct append_job *)job;
    char body[160];
    int n =
        snprintf(body, sizeof body,
                 "{\"consent\":%lld,\"purpose\":\"personal_offers\",\"recipient\":\"marketing\","
                 "\"categories\":[\"purchases\",\"contact\"]}",
                 (long long)a->n);
    struct ledger_event e = {
        .prev = -1,
        .at = stores->now,
        .kind = STR("consent.give"),
        .has_cid = true,
        .actor = STR("staff:support/0123456789abcdef"),
        .activity = STR("marketing/personal_offers"),
        .body = {body, (size_t)n},
    };
    memcpy(e.cid.b, &a->n, sizeof a->n);
    return ledger_append(a->run->ledger, stores->lov, &e, err);
}

static void append_done(struct write_job *job)
{
    struct append_job *a = (struct append_job *)job;
    struct run *run = a->run;
    demand(job->rc, &job->err);
    pthread_mutex_lock(&run->lock);
    a->busy = false;
    run->in_flight--;
    pthread_cond_signal(&run->wake);
    pthread_mutex_unlock(&run->lock);
}

/* Callers who each wait for their event to be durable. */
static void append_all(struct run *run, int64_t count)
{
    struct append_job *jobs = calloc(IN_FLIGHT, sizeof *jobs);
    for (int64_t n = 0; n < count; n++) {
        struct append_job *a = &jobs[n % IN_FLIGHT];
        pthread_mutex_lock(&run->lock);
        while (a->busy)
            pthread_cond_wait(&run->wake, &run->lock);
        a->busy = true;
        run->in_flight++;
        pthread_mutex_unlock(&run->lock);
        *a = (struct append_job){{.run = run_append, .done = append_done}, run, n, true};
        writer_submit(run->writer, &a->job);
    }
    pthread_mutex_lock(&run->lock);
    while (run->in_flight > 0)
        pthread_cond_wait(&run->wake, &run->lock);
    pthread_mutex_unlock(&run->lock);
    free(jobs);
}

struct publish_job {
    struct write_job job;
    struct log_signer *signer;
    bool more;
};

static int run_publish(struct write_job *job, struct write_stores *stores, struct err *err)
{
    struct publish_job *p = (struct publish_job *)job;
    return publish_step(stores->lov, 0, p->signer, stores->now, &p->more, err);
}

static int64_t publish_all(struct run *run, struct log_signer *signer)
{
    struct publish_job p = {.job.run = run_publish, .signer = signer};
    struct err err = {0};
    int64_t longest = 0;
    do {
        int64_t start = clock_monotonic();
        demand(writer_run(run->writer, &p.job, &err), &err);
        int64_t took = clock_monotonic() - start;
        longest = took > longest ? took : longest;
    } while (p.more);
    return longest;
}

static int by_time(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static int64_t cpu_time(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return t.tv_sec * (int64_t)SECOND + t.tv_nsec;
}

static void measure_proofs(const char *path, int64_t size, bool inclusion)
{
    static int64_t took[PROOFS];
    struct db *db;
    struct tiles tiles;
    struct proof proof;
    struct err err = {0};
    uint64_t state = 1;
    demand(db_open(path, DB_READ, &db, &err), &err);
    int64_t cpu = cpu_time();
    for (int i = 0; i < PROOFS; i++) {
        state = state * 6364136223846793005U + 1442695040888963407U;
        int64_t n = (int64_t)((state >> 11) % (uint64_t)size);
        int64_t start = clock_monotonic();
        tiles_init(&tiles, db, 0); /* as for a call of its own */
        demand(inclusion ? proof_make_inclusion(&tiles.source, n, size, &proof, &err)
                         : proof_make_consistency(&tiles.source, n + 1, size, &proof, &err),
               &err);
        took[i] = clock_monotonic() - start;
    }
    cpu = (cpu_time() - cpu) / PROOFS;
    int64_t first = took[0];
    qsort(took, PROOFS, sizeof took[0], by_time);
    printf("%s: first %lld us, median %lld us, 99%% %lld us, longest %lld us, "
           "CPU %lld us\n",
           inclusion ? "inclusion" : "consistency", (long long)first / 1000,
           (long long)took[PROOFS / 2] / 1000, (long long)took[PROOFS * 99 / 100] / 1000,
           (long long)took[PROOFS - 1] / 1000, (long long)cpu / 1000);
    db_close(db);
}

static struct log_signer signer_new(void)
{
    struct log_signer s;
    struct err err;
    random_bytes(s.seed.b, sizeof s.seed.b);
    struct ed25519_key key = ed25519_public(&s.seed);
    demand(note_key_make(STR("bench.example/0"), NOTE_ED25519, &key, &s.key, &err), &err);
    return s;
}

int main(int argc, char **argv)
{
    int64_t count = 0;
    struct err err = {0};
    struct log log = {.fd = STDERR_FILENO, .level = LOG_ERROR};
    if (argc != 3 || !str_to_int(str_of(argv[1]), 1, INT64_MAX, &count) || mkdir(argv[2], 0700)) {
        fputs("usage: proofs EVENTS DIR (which must not exist)\n", stderr);
        return 2;
    }
    _cleanup_buf struct buf lov_path = {0}, identity_path = {0};
    buf_printf(&lov_path, "%s/lov.db", argv[2]);
    buf_printf(&identity_path, "%s/identity.db", argv[2]);
    struct db *lov, *identity;
    demand(db_open(lov_path.p, DB_WRITE, &lov, &err), &err);
    demand(db_migrate_embedded(lov, "lov", &err), &err);
    demand(db_open(identity_path.p, DB_WRITE, &identity, &err), &err);
    demand(db_migrate_embedded(identity, "identity", &err), &err);
    struct run run = {.lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER};
    demand(ledger_open(lov, &run.ledger, &err), &err);
    struct write_observer observer = ledger_observer(run.ledger);
    demand(writer_start(identity, lov, NULL, &observer, &log, &run.writer, &err), &err);

    int64_t start = clock_monotonic();
    append_all(&run, count);
    double seconds = (double)(clock_monotonic() - start) / SECOND;
    printf("append: %lld events in %.1f s, %.0f a second, %llu commits\n", (long long)count,
           seconds, (double)count / seconds, (unsigned long long)writer_counts(run.writer).commits);
    struct log_signer signer = signer_new();
    start = clock_monotonic();
    int64_t longest = publish_all(&run, &signer);
    printf("tiles and checkpoint: %.2f s, longest write %lld us\n",
           (double)(clock_monotonic() - start) / SECOND, (long long)longest / 1000);
    writer_stop(run.writer);
    ledger_close(run.ledger);
    measure_proofs(lov_path.p, count, true);
    measure_proofs(lov_path.p, count, false);
    return 0;
}
