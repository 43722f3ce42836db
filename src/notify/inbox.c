/* inbox.c - the thread that makes messages of events: it reads the ledger from a cursor on, and
 * writes what it made of a part together with the cursor, in one transaction. What many are told is
 * a round (round.c), of which it takes a step in between. Nothing that a consumer was told of
 * before the cursor began is told again: an installation begins where its ledger is. A cursor that
 * only passed by events is written now and then: what is read again after a crash tells nobody
 * twice. */
#include "notify/private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { READ_AT_ONCE = 500, LOOK_MS = 500, SAVE_MS = 5000, MESSAGES_AT_ONCE = 200 };

/* Of a shard's ledger: up to where it is read, and what the cursor says. */
struct position {
    bool known;
    int64_t next, saved, saved_at;
};

struct inbox {
    struct engine *engine;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stopping; /* under lock */
    bool fails;
    struct position *positions; /* by shard; its thread only */
    _Atomic uint64_t messages;  /* relaxed */
};

/* ---- what an event says to its consumer ---- */

static void write_withdrawal(const struct ledger_event *event, struct jw *w)
{
    struct str purpose = event->activity, recipient = str_cut(&purpose, '/');
    jw_cstr_member(w, "kind", "withdrawal");
    jw_str_member(w, "recipient", recipient);
    jw_str_member(w, "purpose", purpose);
}

static void write_request(struct engine *e, const struct ledger_event *event, const json_t *body,
                          struct jw *w)
{
    _cleanup_buf struct buf id = {0};
    struct str step = event->kind;
    str_cut(&step, '.');
    consent_id_format(e, event->shard, json_integer_value(json_object_get(body, "request")), &id);
    jw_cstr_member(w, "kind", "request");
    jw_str_member(w, "request", buf_view(&id));
    jw_str_member(w, "step", step);
    jw_str_member(w, "right", json_text(json_object_get(body, "right")));
    jw_str_member(w, "due_at", json_text(json_object_get(body, "due_at")));
}

static bool is_told_step(struct str kind)
{
    static const char *const kinds[] = {"request.receive", "request.ask_identity", "request.extend",
                                        "request.fulfil", "request.refuse"};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (str_is(kind, kinds[i]))
            return true;
    return false;
}

/* False where there is nothing to tell. */
static bool write_message(struct engine *e, const struct ledger_event *event, struct buf *out)
{
    bool withdrawal = str_is(event->kind, "consent.withdraw");
    if (!event->has_cid || (!withdrawal && !is_told_step(event->kind)))
        return false;
    _cleanup_json json_t *body = NULL;
    if (json_read(event->body, &body, NULL))
        return false;
    const json_t *channel = json_object_get(body, "channel");
    /* What is brought in from another system is no news to anybody. */
    if (withdrawal && json_is_string(channel) && str_is(json_text(channel), "import"))
        return false;
    const json_t *right = json_object_get(body, "right"), *due = json_object_get(body, "due_at");
    if (!withdrawal && (!json_is_string(right) || !json_is_string(due)))
        return false;
    struct jw w = {.out = out};
    jw_object_start(&w);
    if (withdrawal)
        write_withdrawal(event, &w);
    else
        write_request(e, event, body, &w);
    jw_object_end(&w);
    return true;
}

/* ---- one part of the ledger ---- */

struct round_new {
    struct str source;
    int64_t event, version, at;
};

struct part {
    struct inbox *inbox;
    struct arena *arena;
    struct db *identities;
    uint32_t shard;
    int64_t next;
    struct draft drafts[MESSAGES_AT_ONCE];
    size_t draft_count;
    struct uid erased[MESSAGES_AT_ONCE];
    size_t erased_count;
    struct round_new rounds[MESSAGES_AT_ONCE];
    size_t round_count;
    int64_t made;
    struct err err;
};

static struct str source_of(struct part *p, const struct ledger_event *event)
{
    return arena_printf(p->arena, "event-%lld", (long long)event->seq);
}

static int64_t version_of(const struct ledger_event *event)
{
    _cleanup_json json_t *body = NULL;
    return json_read(event->body, &body, NULL)
               ? 0
               : json_integer_value(json_object_get(body, "version"));
}

static int take_event(struct part *p, const struct ledger_event *event)
{
    _cleanup_buf struct buf json = {0};
    if (str_is(event->kind, "policy.apply")) {
        p->rounds[p->round_count++] =
            (struct round_new){source_of(p, event), event->seq, version_of(event), event->at};
        return 0;
    }
    if (str_is(event->kind, "consumer.erase") && event->has_cid)
        p->erased[p->erased_count++] = event->cid;
    if (!write_message(p->inbox->engine, event, &json))
        return 0;
    struct draft *d = &p->drafts[p->draft_count];
    *d = (struct draft){
        event->cid, event->shard, source_of(p, event), arena_str(p->arena, buf_view(&json)), {0}};
    secret_wipe_bytes(json.p, json.n);
    int rc = draft_seal(engine_identity(p->inbox->engine), p->identities, d, p->arena, &p->err);
    if (rc == 0)
        p->draft_count++;
    return rc;
}

enum { FULL = 1 };

static int part_row(void *ctx, const struct ledger_event *event)
{
    struct part *p = ctx;
    if (p->draft_count == MESSAGES_AT_ONCE || p->erased_count == MESSAGES_AT_ONCE ||
        p->round_count == MESSAGES_AT_ONCE)
        return FULL;
    int rc = take_event(p, event);
    if (rc == 0)
        p->next = event->seq + 1;
    return rc;
}

/* ---- writing it ---- */

static int put_round(struct db *lov, uint32_t shard, const struct round_new *r, struct err *err)
{
    static const char sql[] =
        "insert into message_round (shard, source, version, event, cid, told, begun_at) values "
        "($1, $2, $3, $4, $5, 0, $6) on conflict (shard, source) do nothing";
    static const struct uid first;
    struct db_stmt *s = db_use(lov, sql);
    db_bind_int(s, 1, shard);
    db_bind_text(s, 2, r->source);
    db_bind_int(s, 3, r->version);
    db_bind_int(s, 4, r->event);
    db_bind_blob(s, 5, uid_str(&first));
    db_bind_int(s, 6, r->at);
    return db_run(s, err);
}

static int put_cursor(struct db *lov, uint32_t shard, int64_t seq, struct err *err)
{
    static const char sql[] = "insert into message_cursor (shard, seq) values ($1, $2) "
                              "on conflict (shard) do update set seq = $2";
    struct db_stmt *s = db_use(lov, sql);
    db_bind_int(s, 1, shard);
    db_bind_int(s, 2, seq);
    return db_run(s, err);
}

struct part_job {
    struct write_job job; /* first */
    struct part *part;
};

static int run_part(struct write_job *job, struct write_stores *stores, struct err *err)
{
    struct part *p = ((struct part_job *)job)->part;
    int rc = 0;
    p->made = 0;
    for (size_t i = 0; rc >= 0 && i < p->draft_count; i++) {
        rc = draft_put(stores->lov, &p->drafts[i], stores->now, err);
        p->made += rc == 1;
    }
    for (size_t i = 0; rc >= 0 && i < p->erased_count; i++)
        rc = messages_forget(stores->lov, p->shard, &p->erased[i], err);
    for (size_t i = 0; rc >= 0 && i < p->round_count; i++)
        rc = put_round(stores->lov, p->shard, &p->rounds[i], err);
    if (rc >= 0)
        rc = put_cursor(stores->lov, p->shard, p->next, err);
    return rc < 0 ? rc : 0;
}

static int save_part(struct part *p, struct err *err)
{
    struct part_job job = {.job.run = run_part, .part = p};
    int rc = writer_run(engine_writer(p->inbox->engine), &job.job, err);
    if (rc == 0)
        atomic_fetch_add_explicit(&p->inbox->messages, (uint64_t)p->made, memory_order_relaxed);
    if (rc == 0 && p->erased_count)
        engine_unclean(p->inbox->engine);
    return rc;
}

/* 1 and where the cursor is, or 0. */
static int read_cursor(struct db *lov, uint32_t shard, int64_t *out, struct err *err)
{
    static const char sql[] = "select seq from message_cursor where shard = $1";
    struct db_stmt *s = db_use(lov, sql);
    db_bind_int(s, 1, shard);
    int rc = db_step(s, err);
    if (rc != 1)
        return rc;
    *out = db_int(s, 0);
    db_done(s);
    return 1;
}

/* Is it an event that something is made of? */
static bool is_told(struct str kind)
{
    return str_is(kind, "consent.withdraw") || is_told_step(kind) || str_is(kind, "policy.apply") ||
           str_is(kind, "consumer.erase");
}

static int read_part(struct part *p, struct db *lov, int64_t *scanned, struct err *err)
{
    struct ledger_filter filter = {
        .shard = p->shard, .after = p->next - 1, .limit = READ_AT_ONCE, .kind = is_told};
    int rc = ledger_read(lov, &filter, part_row, p, scanned, &p->err);
    if (rc < 0)
        *err = p->err;
    if (rc == 0)
        p->next = *scanned + 1;
    return rc < 0 ? rc : 0;
}

/* An installation that has no cursor begins at the end. */
static int find_position(struct position *at, struct db *lov, uint32_t shard, int64_t size,
                         struct err *err)
{
    if (at->known)
        return 0;
    int rc = read_cursor(lov, shard, &at->saved, err);
    if (rc < 0)
        return rc;
    at->next = rc ? at->saved : size;
    at->saved = rc ? at->saved : -1;
    at->known = true;
    return 0;
}

static int save_position(struct part *p, struct position *at, int64_t now, struct err *err)
{
    bool made = p->draft_count || p->erased_count || p->round_count;
    bool due = at->saved < 0 || (p->next != at->saved && now - at->saved_at >= SAVE_MS);
    int rc = made || due ? save_part(p, err) : 0;
    if (rc)
        return rc;
    at->next = p->next;
    if (made || due) {
        at->saved = p->next;
        at->saved_at = now;
    }
    return 0;
}

/* *more: there may be more at once. */
static int step_shard(struct inbox *b, struct db *lov, uint32_t shard, bool *more, struct err *err)
{
    _cleanup_arena struct arena arena = {0};
    struct position *at = &b->positions[shard];
    struct part *p = arena_alloc(&arena, sizeof *p);
    struct sha256 root;
    int64_t size, scanned, now = clock_monotonic() / 1000000;
    p->inbox = b;
    p->arena = &arena;
    p->shard = shard;
    int rc = ledger_head(lov, shard, &size, &root, err);
    if (rc == 0)
        rc = find_position(at, lov, shard, size, err);
    if (rc)
        return rc;
    p->next = at->next;
    if (p->next < size) {
        rc = db_pool_get(engine_identities(b->engine), &p->identities, err);
        if (rc)
            return rc;
        rc = read_part(p, lov, &scanned, err);
        db_pool_put(engine_identities(b->engine), p->identities);
    }
    if (rc == 0)
        rc = save_position(p, at, now, err);
    *more = *more || (rc == 0 && p->next < size);
    return rc;
}

/* ---- the thread ---- */

static int step_all(struct inbox *b, bool *more, struct err *err)
{
    struct db *lov;
    int rc = db_pool_get_rows(engine_lov(b->engine), &lov, err);
    if (rc)
        return rc;
    for (uint32_t shard = 0; rc == 0 && shard < engine_shards(b->engine); shard++)
        rc = step_shard(b, lov, shard, more, err);
    db_pool_put(engine_lov(b->engine), lov);
    return rc;
}

static int step(struct inbox *b, bool *more, struct err *err)
{
    int64_t told = 0;
    bool round = false;
    int rc = step_all(b, more, err);
    if (rc == 0)
        rc = rounds_begin_summary(b->engine, clock_now(), err);
    if (rc == 0)
        rc = rounds_step(b->engine, &round, &told, err);
    atomic_fetch_add_explicit(&b->messages, (uint64_t)told, memory_order_relaxed);
    *more = *more || round;
    return rc;
}

/* False when it is time to stop. */
static bool wait_a_while(struct inbox *b, bool more)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    int64_t ns = until.tv_nsec + LOOK_MS * INT64_C(1000000);
    until.tv_sec += ns / 1000000000;
    until.tv_nsec = ns % 1000000000;
    pthread_mutex_lock(&b->lock);
    while (!more && !b->stopping && pthread_cond_timedwait(&b->wake, &b->lock, &until) != ETIMEDOUT)
        ;
    bool go_on = !b->stopping;
    pthread_mutex_unlock(&b->lock);
    return go_on;
}

static void *make_messages(void *arg)
{
    struct inbox *b = arg;
    bool more;
    do {
        struct err err = {0};
        more = false;
        int rc = step(b, &more, &err);
        if (rc && !b->fails)
            log_printf(engine_log(b->engine), LOG_ERROR, "messages: %s", err.text);
        b->fails = rc != 0;
        more = more && rc == 0;
    } while (wait_a_while(b, more));
    return NULL;
}

struct inbox *inbox_start(struct engine *e)
{
    struct inbox *b = mem_zero(sizeof *b);
    pthread_condattr_t attributes;
    b->engine = e;
    b->positions = mem_zero(engine_shards(e) * sizeof *b->positions);
    pthread_mutex_init(&b->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&b->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    if (pthread_create(&b->thread, NULL, make_messages, b))
        bug("no thread for messages");
    pthread_setname_np(b->thread, "lov-messages");
    return b;
}

void inbox_stop(struct inbox *b)
{
    pthread_mutex_lock(&b->lock);
    b->stopping = true;
    pthread_cond_signal(&b->wake);
    pthread_mutex_unlock(&b->lock);
    pthread_join(b->thread, NULL);
    pthread_cond_destroy(&b->wake);
    pthread_mutex_destroy(&b->lock);
    free(b->positions);
    free(b);
}

void inbox_counts(const struct inbox *b, struct notify_counts *out)
{
    out->messages = atomic_load_explicit(&b->messages, memory_order_relaxed);
}
