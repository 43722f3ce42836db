/* verify.c - does the state say what the ledger says? Each row of a consumer or consent must equal
 * the body of the event that it names, and no later event may speak of it: so neither can be
 * changed without the other. Consumers whose rows are yet to be written are checked as the ledger's
 * tail makes them. Memory for those only: rows are looked up, not collected. */
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "consent/engine.h"
#include "consent/verify.h"

void verify_wrong(struct checking *c, int64_t seq, const char *what)
{
    c->out->wrong = true;
    c->out->seq = seq;
    snprintf(c->out->what, sizeof c->out->what, "%s", what);
}

int verify_rows(struct checking *c, const char *sql, verify_row *check, void *ctx)
{
    struct db_stmt *s = db_use(c->lov, sql);
    db_bind_int(s, 1, c->shard);
    int rc = 0;
    while (!c->out->wrong && (rc = db_step(s, c->err)) == 1) {
        rc = check(c, s, ctx);
        if (rc)
            break;
    }
    if (c->out->wrong || rc < 0)
        db_done(s);
    return rc < 0 ? rc : 0;
}

struct each {
    struct checking *c;
    verify_event *check;
    void *ctx;
};

/* 1: no further. */
static int see_event(void *ctx, const struct ledger_event *event)
{
    struct each *each = ctx;
    if (each->c->latest == TIME_NONE || event->at > each->c->latest)
        each->c->latest = event->at;
    int rc = each->check(each->c, event, each->ctx);
    return rc ? rc : each->c->out->wrong;
}

int verify_events(struct checking *c, verify_event *check, void *ctx)
{
    struct each each = {c, check, ctx};
    int rc = ledger_each(c->lov, c->shard, 0, see_event, &each, c->err);
    return rc < 0 ? rc : 0;
}

struct expected {
    struct str kind_prefix, body;
    const struct uid *cid;
    bool same;
};

static int compare_event(void *ctx, const struct ledger_event *event)
{
    struct expected *x = ctx;
    x->same = str_starts(event->kind, x->kind_prefix) && body_says(event->body, x->body) &&
              event->has_cid && memcmp(event->cid.b, x->cid->b, sizeof x->cid->b) == 0;
    return 0;
}

/* Does event `seq` say `body` about the consumer? */
static int check_event(struct checking *c, int64_t seq, struct expected *x)
{
    int rc = ledger_get(c->lov, c->shard, seq, compare_event, x, c->err);
    if (rc < 0)
        return rc;
    c->out->rows++;
    if (rc == 0 || !x->same)
        verify_wrong(c, seq, "a row of the state does not say what its event says");
    return 0;
}

static int check_consent(struct checking *c, const struct consent *row)
{
    _cleanup_buf struct buf body = {0};
    body_consent(row, &body);
    struct expected x = {STR("consent."), buf_view(&body), &row->cid, false};
    return check_event(c, row->event, &x);
}

static int check_consent_row(struct checking *c, struct db_stmt *s, void *ctx)
{
    (void)ctx;
    _cleanup_arena struct arena arena = {0};
    struct consent row;
    struct err damaged;
    if (row_consent_read(s, &arena, &row, &damaged) != 0) {
        verify_wrong(c, db_int(s, 2), "a consent's row is damaged");
        return 0;
    }
    if (db_int(s, CONSENT_COLUMN_COUNT) != consent_is_dead(&row)) {
        verify_wrong(c, row.event, "a consent stands in the wrong place among its consumer's");
        return 0;
    }
    return check_consent(c, &row);
}

static int see_owner(void *ctx, const struct ledger_event *event)
{
    struct expected *x = ctx;
    x->same = event->has_cid && memcmp(event->cid.b, x->cid->b, sizeof x->cid->b) == 0;
    return 0;
}

/* The consumer's history begins with an event of their own. */
static int check_head(struct checking *c, const struct consumer_row *row)
{
    struct expected x = {.cid = &row->cid};
    int rc = ledger_get(c->lov, c->shard, row->last_event, see_owner, &x, c->err);
    if (rc >= 0 && !x.same)
        verify_wrong(c, row->last_event, "a consumer's history ends with this event of another");
    return rc < 0 ? rc : 0;
}

static int check_consumer(struct checking *c, const struct consumer_row *row)
{
    _cleanup_buf struct buf body = {0};
    body_consumer(row, &body);
    struct expected x = {STR("consumer."), buf_view(&body), &row->cid, false};
    int rc = check_event(c, row->event, &x);
    return rc || c->out->wrong ? rc : check_head(c, row);
}

static int check_consumer_row(struct checking *c, struct db_stmt *s, void *ctx)
{
    (void)ctx;
    struct consumer_row row = {
        .residence = db_text(s, 1),
        .restricted = db_int(s, 2) != 0,
        .opt_out_signal = db_int(s, 3) != 0,
        .sealed = db_blob(s, 4),
        .event = db_int(s, 5),
        .last_event = db_int(s, 6),
        .no_automated_decision = db_int(s, 7) != 0,
    };
    struct str cid = db_blob(s, 0);
    if (cid.n != sizeof row.cid.b) {
        verify_wrong(c, row.event, "a consumer's row is damaged");
        return 0;
    }
    memcpy(row.cid.b, cid.p, cid.n);
    return check_consumer(c, &row);
}

static int check_person(void *ctx, const struct person *p)
{
    struct checking *c = ctx;
    int rc = check_consumer(c, &p->row);
    for (size_t i = 0; rc == 0 && i < p->consent_count; i++)
        rc = check_consent(c, &p->consents[i]);
    return rc;
}

/* What the state knows of a row: the event that it mirrors, and of a consumer the head of their
 * chain. */
struct known {
    int64_t event, last_event;
};

static const char select_consumer[] =
    "select event, last_event from consumer where shard = $1 and cid = $2";

static const struct person *held(const struct checking *c, struct str cid)
{
    struct uid id;
    if (cid.n != sizeof id.b)
        return NULL;
    memcpy(id.b, cid.p, sizeof id.b);
    return tail_find(c->tail, &id);
}

/* 1 and *out, or 0 where there is no row. */
static int row_known(struct checking *c, const char *sql, struct str cid, int64_t seq,
                     struct known *out)
{
    const struct person *p = held(c, cid);
    const struct consent *consent = p && seq >= 0 ? person_consent(p, seq) : NULL;
    if (p && (seq < 0 || consent)) {
        *out = (struct known){seq < 0 ? p->row.event : consent->event, p->row.last_event};
        return 1;
    }
    if (p && person_is_gone(p, seq))
        return 0;
    struct db_stmt *s = db_use(c->lov, sql);
    db_bind_int(s, 1, c->shard);
    db_bind_blob(s, 2, cid);
    if (seq >= 0)
        db_bind_int(s, 3, seq);
    int rc = db_step(s, c->err);
    if (rc == 1) {
        *out = (struct known){db_int(s, 0), db_int(s, 1)};
        db_done(s);
    }
    return rc;
}

/* Consumers that were added and are not there any more must be those that were erased, and consents
 * without a row those that an answer names as superseded. All are summed up, so that no list is
 * needed: the end of a cid is random, added once and erased once. */
struct sums {
    uint64_t missing, erased;
    int64_t first_missing;
    uint64_t rowless, superseded; /* consents */
};

/* The head of the chain of events is what a history begins with: moved back, it would hide some. */
static void check_chain(struct checking *c, int64_t seq, const struct known *consumer)
{
    if (consumer->last_event < seq)
        verify_wrong(c, seq, "the consumer's history ends before this event");
}

static int check_consumer_event(struct checking *c, const struct ledger_event *event,
                                struct sums *sums)
{
    struct str kind = event->kind, cid = uid_str(&event->cid);
    struct known known = {-1, -1};
    int64_t seq = event->seq;
    uint64_t sum = 0;
    memcpy(&sum, cid.p + cid.n - sizeof sum, sizeof sum);
    int rc = row_known(c, select_consumer, cid, -1, &known);
    if (rc < 0)
        return rc;
    if (str_is(kind, "consumer.erase")) {
        sums->erased += sum;
        if (rc == 1)
            verify_wrong(c, seq, "the consumer whom this event erased is still there");
        return 0;
    }
    if (rc == 0 && str_is(kind, "consumer.add")) {
        sums->missing += sum;
        if (sums->first_missing < 0)
            sums->first_missing = seq;
    }
    if (rc == 1 && known.event < seq)
        verify_wrong(c, seq, "the consumer's row is older than this event");
    else if (rc == 1)
        check_chain(c, seq, &known);
    return 0;
}

static const char select_consent[] =
    "select event, event from consent where shard = $1 and cid = $2 and past in (0, 1) and seq = $3";

/* So that different seqs do not add up to the same (splitmix64's finalizer). */
static uint64_t mix(int64_t seq)
{
    uint64_t x = (uint64_t)seq + 0x9e3779b97f4a7c15;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    return x ^ (x >> 31);
}

static int check_superseded(struct checking *c, const struct ledger_event *event, struct sums *sums)
{
    _cleanup_arena struct arena arena = {0};
    struct superseded_list list;
    struct known row;
    int rc = body_read_superseded(event->body, &arena, &list, c->err);
    for (size_t i = 0; rc == 0 && i < list.count; i++) {
        sums->superseded += mix(list.items[i].consent);
        rc = row_known(c, select_consent, uid_str(&event->cid), list.items[i].consent, &row);
        if (rc == 1)
            verify_wrong(c, event->seq, "a consent whose place this event took is still there");
    }
    return rc < 0 ? rc : 0;
}

/* 1 and *consumer where they are there. */
static int check_head_of(struct checking *c, const struct ledger_event *event,
                         struct known *consumer)
{
    int rc = row_known(c, select_consumer, uid_str(&event->cid), -1, consumer);
    if (rc == 1)
        check_chain(c, event->seq, consumer);
    return rc;
}

static int check_consent_event(struct checking *c, const struct ledger_event *event,
                               struct sums *sums)
{
    struct known row = {-1, -1}, consumer;
    int64_t seq = event->seq, consent = body_consent_seq(event->body);
    int has_row = row_known(c, select_consent, uid_str(&event->cid), consent, &row);
    if (has_row == 1 && row.event < seq)
        verify_wrong(c, seq, "the consent's row is older than this event");
    int rc = has_row < 0 ? has_row : check_head_of(c, event, &consumer);
    if (rc == 1 && has_row == 0 && consent == seq)
        sums->rowless += mix(seq);
    return rc == 1 ? check_superseded(c, event, sums) : rc;
}

/* Each event against the state: rows that were put back to an earlier event, or taken away. */
static int check_said(struct checking *c, const struct ledger_event *event, void *sums)
{
    struct known consumer;
    if (!event->has_cid)
        return 0;
    if (str_starts(event->kind, STR("consumer.")))
        return check_consumer_event(c, event, sums);
    if (str_starts(event->kind, STR("consent.")))
        return check_consent_event(c, event, sums);
    int rc = check_head_of(c, event, &consumer);
    return rc < 0 ? rc : 0;
}

/* ---- which consent has lost its row ---- */

struct named {
    int64_t seq;
    struct err *err;
};

/* 1: the event names it. */
static int is_named(void *ctx, const struct ledger_event *event)
{
    const struct named *n = ctx;
    _cleanup_arena struct arena arena = {0};
    struct superseded_list list;
    if (!str_starts(event->kind, STR("consent.")))
        return 0;
    int rc = body_read_superseded(event->body, &arena, &list, n->err);
    for (size_t i = 0; rc == 0 && i < list.count; i++)
        rc = list.items[i].consent == n->seq;
    return rc;
}

static int find_lost(struct checking *c, const struct ledger_event *event, void *ctx)
{
    (void)ctx;
    struct known row, consumer;
    struct str cid = uid_str(&event->cid);
    struct named named = {event->seq, c->err};
    if (!event->has_cid || !str_starts(event->kind, STR("consent.")) ||
        body_consent_seq(event->body) != event->seq)
        return 0;
    int rc = row_known(c, select_consumer, cid, -1, &consumer);
    if (rc == 1)
        rc = row_known(c, select_consent, cid, event->seq, &row) == 0;
    if (rc != 1)
        return rc;
    rc = ledger_history(c->lov, c->shard, consumer.last_event, event->seq, INT64_MAX, is_named,
                        &named, c->err);
    if (rc == 0)
        verify_wrong(c, event->seq, "the consent of this event has no row");
    return rc < 0 ? rc : 0;
}

static int check_events(struct checking *c)
{
    struct sums sums = {.first_missing = -1};
    int rc = verify_events(c, check_said, &sums);
    if (rc == 0 && !c->out->wrong && sums.missing != sums.erased)
        verify_wrong(c, sums.first_missing < 0 ? 0 : sums.first_missing,
                     "a consumer's row is missing though no event erased them");
    if (rc || c->out->wrong || sums.rowless == sums.superseded)
        return rc;
    rc = verify_events(c, find_lost, NULL);
    if (rc == 0 && !c->out->wrong)
        verify_wrong(c, 0, "answers name consents that are not there");
    return rc;
}

int state_verify(struct db *lov, uint32_t shard, struct state_report *out, struct err *err)
{
    static const char consents[] = "select " CONSENT_COLUMNS ", past from consent where shard = $1";
    static const char consumers[] =
        "select cid, residence, restricted, opt_out_signal, sealed, event, last_event, "
        "no_automated_decision from consumer where shard = $1";
    *out = (struct state_report){0};
    struct checking c = {.lov = lov,
                         .tail = tail_new(),
                         .shard = shard,
                         .latest = TIME_NONE,
                         .out = out,
                         .err = err};
    int rc = db_begin_read(lov, err);
    if (rc == 0)
        rc = tail_replay(c.tail, lov, shard, err);
    if (rc == LOV_ECORRUPT) {
        verify_wrong(&c, 0, "a row or an event of a consumer cannot be read");
        rc = 0;
    }
    if (rc == 0 && !out->wrong)
        rc = tail_each(c.tail, check_person, &c);
    if (rc == 0 && !out->wrong)
        rc = verify_rows(&c, consents, check_consent_row, NULL);
    if (rc == 0 && !out->wrong)
        rc = verify_rows(&c, consumers, check_consumer_row, NULL);
    if (rc == 0 && !out->wrong)
        rc = check_events(&c);
    if (rc == 0 && !out->wrong)
        rc = verify_latest(&c);
    if (rc == 0 && !out->wrong && shard == 0)
        rc = verify_company(&c);
    db_rollback(lov);
    tail_free(c.tail);
    return rc;
}
