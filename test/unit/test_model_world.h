/*
 * test_model_world.h - what the model test (test_consent_model.c) runs in: an installation that is
 * opened again and again with other policies, the model's plain arrays beside it, and another
 * process that answers the same questions through liblov from the mapped index.
 */
#ifndef LOV_TEST_MODEL_WORLD_H
#define LOV_TEST_MODEL_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "consent/engine.h"
#include "lov.h"

enum { CONSUMERS = 40, CATEGORIES = 16, ACTIVITIES = 32, STEPS = 4000 };

enum answer { NOTHING, YES, NO, TAKEN_BACK };

struct model_answer {
    enum answer answer;
    int64_t expires_at;
    int notice_version;
    bool guardian;
    int64_t consent; /* seq of the consent that says it */
};

struct model_consumer {
    char id[16];
    bool known, erased, restricted, opt_out, by_people;
    const char *residence;
    int32_t born;
    struct model_answer says[ACTIVITIES][CATEGORIES];
};

struct model_consent {
    int consumer, activity;
    int64_t seq;
};

struct world {
    char dir[64];
    struct log log;
    struct engine *e;
    struct rules *rules;
    const struct policy *policy;
    struct model_consumer consumer[CONSUMERS];
    struct model_consent *consents;
    size_t consent_count;
    uint64_t random;
    int opened;
    int to_reader, from_reader; /* pipes of a process that decides through liblov */
    pid_t reader;
    struct reading {
        long count;
        struct read_question {
            char recipient[80], purpose[80], category[80], consumer[16];
            int64_t at;
            int32_t expected; /* enum lov_reason */
            bool by_people;   /* no decision by machines alone */
        } question[4096];
    } reading;
    long compared, compared_by_reader;
    long reasons[REASON_COUNT];
};

static uint64_t next_random(struct world *w)
{
    uint64_t z = (w->random += 0x9E3779B97F4A7C15u);
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

static size_t pick(struct world *w, size_t below)
{
    return (size_t)(next_random(w) % below);
}

/* ---- another process, which knows nothing but the folder ---- */

static bool read_all(int fd, void *p, size_t n)
{
    for (size_t done = 0; done < n;) {
        ssize_t got = read(fd, (char *)p + done, n - done);
        if (got <= 0)
            return false;
        done += (size_t)got;
    }
    return true;
}

/* Answers each batch with the position of the first question that liblov answers differently, and
 * the reason it gave; -1: none. */
static void read_and_answer(const char *dir, int in, int out)
{
    static struct reading r;
    struct lov *lov;
    if (lov_open(dir, &lov, NULL, 0) != 0)
        _exit(3);
    while (read_all(in, &r.count, sizeof r.count) &&
           read_all(in, r.question, (size_t)r.count * sizeof *r.question)) {
        int32_t wrong[2] = {-1, 0};
        for (long i = 0; i < r.count && wrong[0] < 0; i++) {
            struct lov_decision one, many;
            const struct read_question *q = &r.question[i];
            const char *const ids[] = {q->consumer};
            int permit =
                lov_decide(lov, q->recipient, q->purpose, q->category, q->consumer, q->at, &one);
            lov_decide_many(lov, q->recipient, q->purpose, q->category, ids, 1, q->at, &many);
            bool same = memcmp(&one, &many, sizeof one) == 0 && permit == one.permit &&
                        permit == (q->expected == LOV_PERMITTED) &&
                        (!permit || one.no_automated_decision == q->by_people);
            if (one.reason != q->expected || !same)
                wrong[0] = (int32_t)i, wrong[1] = one.reason;
        }
        if (write(out, wrong, sizeof wrong) != sizeof wrong)
            break;
    }
    lov_close(lov);
    _exit(0);
}

static void start_reader(struct world *w)
{
    int to[2], from[2];
    assert_int_equal(pipe(to) | pipe(from), 0);
    w->reader = fork();
    assert_true(w->reader >= 0);
    if (w->reader == 0) {
        close(to[1]);
        close(from[0]);
        read_and_answer(w->dir, to[0], from[1]);
    }
    close(to[0]);
    close(from[1]);
    w->to_reader = to[1];
    w->from_reader = from[0];
}

static void ask_reader(struct world *w)
{
    struct reading *r = &w->reading;
    int32_t wrong[2];
    size_t n = sizeof r->count + (size_t)r->count * sizeof *r->question;
    _Static_assert(offsetof(struct reading, question) == sizeof r->count, "one run of bytes");
    for (size_t done = 0; done < n;) {
        ssize_t wrote = write(w->to_reader, (const char *)r + done, n - done);
        assert_true(wrote > 0);
        done += (size_t)wrote;
    }
    assert_true(read_all(w->from_reader, wrong, sizeof wrong));
    if (wrong[0] >= 0) {
        const struct read_question *q = &r->question[wrong[0]];
        fail_msg("consumer %s, %s/%s/%s: liblov says %s, model says %s", q->consumer, q->recipient,
                 q->purpose, q->category, lov_reason_name(wrong[1]), lov_reason_name(q->expected));
    }
    w->compared_by_reader += r->count;
    r->count = 0;
}

static void note_for_reader(struct world *w, const struct question *q, const char *expected,
                            bool by_people)
{
    struct read_question *to = &w->reading.question[w->reading.count++];
    assert_true((size_t)w->reading.count <= sizeof w->reading.question / sizeof *to);
    memset(to, 0, sizeof *to);
    snprintf(to->recipient, sizeof to->recipient, "%.*s", STR_ARG(q->recipient));
    snprintf(to->purpose, sizeof to->purpose, "%.*s", STR_ARG(q->purpose));
    snprintf(to->category, sizeof to->category, "%.*s", STR_ARG(q->category));
    snprintf(to->consumer, sizeof to->consumer, "%.*s", STR_ARG(q->consumer));
    to->at = q->at;
    to->by_people = by_people;
    while (strcmp(lov_reason_name(to->expected), expected) != 0)
        to->expected++;
}

/* ---- the real one ---- */

struct edit {
    const char *path_part, *from, *to;
};

static void edit_bundle(struct policy_bundle *bundle, const struct edit *edits, size_t count)
{
    for (size_t i = 0; i < bundle->count; i++) {
        struct policy_file *f = &bundle->files[i];
        for (size_t k = 0; k < count; k++) {
            const char *at = strstr(f->text.p, edits[k].from);
            if (!at || !strstr(f->path.p, edits[k].path_part))
                continue;
            f->text = arena_printf(&bundle->arena, "%.*s%s%s", (int)(at - f->text.p), f->text.p,
                                   edits[k].to, at + strlen(edits[k].from));
        }
    }
}

static void apply_policy(struct world *w, const struct edit *edits, size_t count)
{
    struct err err = {0};
    struct policy_bundle bundle = {0};
    assert_int_equal(policy_bundle_read("policy", &bundle, &err), 0);
    edit_bundle(&bundle, edits, count);
    _cleanup_arena struct arena arena = {0};
    struct engine_write write = {
        .kind = WRITE_POLICY, .actor = STR("test"), .arena = &arena, .bundle = &bundle};
    int rc = engine_run(w->e, &write, &err);
    for (size_t i = 0; i < write.findings.count; i++)
        print_message("%.*s:%d %.*s\n", STR_ARG(write.findings.items[i].file),
                      write.findings.items[i].line, STR_ARG(write.findings.items[i].text));
    if (rc)
        print_message("%s\n", err.text);
    assert_int_equal(rc, 0);
    policy_unref(write.policy);
    policy_findings_free(&write.findings);
    policy_bundle_free(&bundle);
    rules_unref(w->rules);
    w->rules = engine_rules(w->e);
    w->policy = rules_policy(w->rules);
    assert_true(w->policy->activity_count <= ACTIVITIES);
}

/* Every other time rows are written at once, a person at a time; in between, never. */
static void open_engine(struct world *w)
{
    static const struct sweep_limits at_once = {0, 0, 1, 1, 0},
                                     never = {INT64_MAX / 4, SIZE_MAX, 1, 1, 0};
    struct err err = {0};
    int rc = engine_open_with(w->dir, &w->log, w->opened++ % 2 ? &at_once : &never, &w->e, &err);
    if (rc)
        print_message("%s\n", err.text);
    assert_int_equal(rc, 0);
    w->rules = engine_rules(w->e);
    w->policy = w->rules ? rules_policy(w->rules) : NULL;
}

static void close_engine(struct world *w)
{
    rules_unref(w->rules);
    engine_close(w->e);
    w->rules = NULL;
    w->e = NULL;
}

static int make_world(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    struct err err = {0};
    snprintf(w->dir, sizeof w->dir, "/tmp/lov-model-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    w->log = (struct log){.fd = STDERR_FILENO, .level = LOG_ERROR};
    const char *seed = getenv("LOV_SEED");
    w->random = seed ? strtoull(seed, NULL, 10) : (uint64_t)clock_monotonic();
    print_message("LOV_SEED=%llu\n", (unsigned long long)w->random);
    assert_int_equal(engine_init(w->dir, &err), 0);
    /* First: a child would share the lock of the folder. */
    start_reader(w);
    open_engine(w);
    for (int i = 0; i < CONSUMERS; i++) {
        snprintf(w->consumer[i].id, sizeof w->consumer[i].id, "%05d", i + 1);
        w->consumer[i].residence = "SE";
        w->consumer[i].born = INT32_MIN;
    }
    *state = w;
    return 0;
}

static int end_world(void **state)
{
    struct world *w = *state;
    char command[128];
    int status = -1;
    close(w->to_reader);
    assert_int_equal(waitpid(w->reader, &status, 0), w->reader);
    assert_int_equal(status, 0);
    close(w->from_reader);
    close_engine(w);
    snprintf(command, sizeof command, "rm -rf %s", w->dir);
    int ignored = system(command);
    (void)ignored;
    free(w->consents);
    free(w);
    return 0;
}

/* Opens again: as it is on disk while the engine has written no rows, or after a clean stop. */
static void open_again(struct world *w)
{
    char command[300];
    bool crash = w->opened % 2 == 1;
    snprintf(command, sizeof command, "cp -r %s %s-copy && rm %s-copy/lock", w->dir, w->dir,
             w->dir);
    if (crash)
        assert_int_equal(system(command), 0);
    close_engine(w);
    snprintf(command, sizeof command, "rm -rf %s && mv %s-copy %s", w->dir, w->dir, w->dir);
    if (crash)
        assert_int_equal(system(command), 0);
    open_engine(w);
}

#endif
