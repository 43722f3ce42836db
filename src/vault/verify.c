/* verify.c - do the rows of records, and of questions about them, say what the ledger says?
 *
 * Each row must equal the body of the event that it names, which holds the hash of what is sealed.
 * Then the events are gone through from the last to the first, so that who was erased and what was
 * deleted is known before what it ended: a record that was put has a row of no older an event, or
 * was deleted, or its consumer erased. Deleted and missing records are summed up under a key drawn
 * for the run, so that no list is needed and none can be made that adds up. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ledger/ledger.h"
#include "vault/issue.h"
#include "vault/private.h"

/* Of erased consumers; open addressing, at most half full. */
struct cids {
    struct uid *items;
    bool *used;
    size_t count, cap;
};

struct checking {
    struct db *lov;
    uint32_t shard;
    struct state_report *out;
    struct err *err;
    struct cids erased;
    uint8_t key[16];
    uint64_t missing, gone;               /* records */
    uint64_t missing_issues, gone_issues; /* issues */
    int64_t first_missing, first_missing_issue;
    int64_t blocks, last_publication;
    int64_t named; /* purposes, by limits */
};

static void wrong(struct checking *c, int64_t seq, const char *what)
{
    c->out->wrong = true;
    c->out->seq = seq;
    snprintf(c->out->what, sizeof c->out->what, "%s", what);
}

/* ---- a set of cids ---- */

static size_t cids_place(const struct cids *s, const struct uid *cid)
{
    uint64_t at;
    memcpy(&at, cid->b + sizeof cid->b - sizeof at, sizeof at); /* random bytes */
    size_t i = (size_t)at & (s->cap - 1);
    while (s->used[i] && memcmp(s->items[i].b, cid->b, sizeof cid->b) != 0)
        i = (i + 1) & (s->cap - 1);
    return i;
}

static bool cids_have(const struct cids *s, const struct uid *cid)
{
    return s->cap && s->used[cids_place(s, cid)];
}

static void cids_grow(struct cids *s)
{
    struct cids old = *s;
    s->cap = old.cap ? 2 * old.cap : 64;
    s->items = mem_zero(s->cap * sizeof *s->items);
    s->used = mem_zero(s->cap * sizeof *s->used);
    for (size_t i = 0; i < old.cap; i++) {
        if (!old.used[i])
            continue;
        size_t k = cids_place(s, &old.items[i]);
        s->items[k] = old.items[i];
        s->used[k] = true;
    }
    free(old.items);
    free(old.used);
}

static void cids_add(struct cids *s, const struct uid *cid)
{
    if (2 * (s->count + 1) > s->cap)
        cids_grow(s);
    size_t i = cids_place(s, cid);
    s->count += !s->used[i];
    s->items[i] = *cid;
    s->used[i] = true;
}

/* ---- rows against events ---- */

struct expected {
    struct str body;
    const struct uid *cid;
    bool same;
};

/* An event about many records has the hash of what each of them is. */
static bool is_amended(const struct expected *x, const struct ledger_event *event)
{
    _cleanup_json json_t *body = NULL;
    _cleanup_buf struct buf hex = {0};
    struct sha256 hash = sha256_of(x->body);
    size_t i;
    json_t *item;
    hex_encode(hash.b, sizeof hash.b, &hex);
    if (json_read(event->body, &body, NULL))
        return false;
    json_array_foreach(json_object_get(body, "records"), i, item) {
        const json_t *state = json_object_get(item, "state_sha256");
        if (json_is_string(state) && str_eq(json_text(state), buf_view(&hex)))
            return true;
    }
    return false;
}

static int compare_event(void *ctx, const struct ledger_event *event)
{
    struct expected *x = ctx;
    bool kind = str_is(event->kind, "record.put") || str_is(event->kind, "record.correct") ||
                str_is(event->kind, "issue.open");
    bool says = str_is(event->kind, "record.amend") ? is_amended(x, event)
                                                    : kind && str_eq(event->body, x->body);
    x->same = says && event->has_cid && memcmp(event->cid.b, x->cid->b, sizeof x->cid->b) == 0;
    return 0;
}

/* ---- the purposes that limits name ---- */

static int count_named(struct checking *c, const struct record *r, const struct str *names,
                       size_t count, int64_t *found)
{
    static const char sql[] = "select 1 from record_purpose where shard = $1 and purpose = $2 and "
                              "cid = $3 and category = $4 and seq = $5";
    for (size_t i = 0; i < count; i++) {
        struct db_stmt *s = db_use(c->lov, sql);
        db_bind_int(s, 1, c->shard);
        db_bind_text(s, 2, names[i]);
        db_bind_blob(s, 3, uid_str(&r->cid));
        db_bind_text(s, 4, r->category);
        db_bind_int(s, 5, r->seq);
        int rc = db_step(s, c->err);
        if (rc < 0)
            return rc;
        if (rc == 1)
            db_done(s);
        *found += rc;
    }
    return 0;
}

static int check_named(struct checking *c, const struct record *r)
{
    _cleanup_arena struct arena arena = {0};
    _cleanup_json json_t *json = NULL;
    struct vault_limits limits;
    struct err damaged;
    int64_t found = 0;
    if (!r->limits.n)
        return 0;
    if (limits_read(r->limits, &arena, &json, &limits, &damaged)) {
        wrong(c, r->event, "a record's row is damaged");
        return 0;
    }
    const struct json_names *names = &limits.names[LIMIT_PURPOSES];
    int rc = count_named(c, r, names->items, names->count, &found);
    c->named += found;
    if (rc == 0 && found != (int64_t)names->count)
        wrong(c, r->event, "a record is not found by a purpose that its limits name");
    return rc;
}

static int check_purposes(struct checking *c)
{
    static const char sql[] = "select count(*) from record_purpose where shard = $1";
    struct db_stmt *s = db_use(c->lov, sql);
    db_bind_int(s, 1, c->shard);
    int rc = db_step(s, c->err);
    if (rc != 1)
        return rc;
    bool same = db_int(s, 0) == c->named;
    db_done(s);
    if (!same)
        wrong(c, 0, "a record is found by a purpose that its limits do not name");
    return 0;
}

/* ---- all rows ---- */

static int check_row(struct checking *c, const struct record *r)
{
    _cleanup_buf struct buf body = {0};
    record_body(r, &body);
    struct expected x = {buf_view(&body), &r->cid, false};
    int rc = ledger_get(c->lov, c->shard, r->event, compare_event, &x, c->err);
    c->out->rows++;
    if (rc >= 0 && !x.same)
        wrong(c, r->event, "a record's row does not say what its event says");
    return rc < 0 ? rc : check_named(c, r);
}

static int check_rows(struct checking *c)
{
    static const char sql[] = "select " RECORD_COLUMNS " from record where shard = $1";
    struct db_stmt *s = db_use(c->lov, sql);
    db_bind_int(s, 1, c->shard);
    int rc;
    while ((rc = db_step(s, c->err)) == 1) {
        struct record r;
        if (!record_from_row(s, c->shard, &r))
            wrong(c, r.event, "a record's row is damaged");
        else
            rc = check_row(c, &r);
        if (rc < 0 || c->out->wrong)
            break;
    }
    if (rc || c->out->wrong)
        db_done(s);
    return rc < 0 || c->out->wrong ? rc : check_purposes(c);
}

static int check_issue_row(struct checking *c, const struct issue *i)
{
    _cleanup_buf struct buf body = {0};
    issue_body(i, &body);
    struct expected x = {buf_view(&body), &i->cid, false};
    int rc = ledger_get(c->lov, c->shard, i->seq, compare_event, &x, c->err);
    c->out->rows++;
    if (rc >= 0 && !x.same)
        wrong(c, i->seq, "an issue's row does not say what its event says");
    return rc < 0 ? rc : 0;
}

static int check_issue_rows(struct checking *c)
{
    static const char sql[] = "select " ISSUE_COLUMNS " from issue where shard = $1";
    struct db_stmt *s = db_use(c->lov, sql);
    db_bind_int(s, 1, c->shard);
    int rc;
    while ((rc = db_step(s, c->err)) == 1) {
        struct issue i;
        if (!issue_from_row(s, c->shard, &i))
            wrong(c, i.seq, "an issue's row is damaged");
        else
            rc = check_issue_row(c, &i);
        if (rc < 0 || c->out->wrong)
            break;
    }
    if (rc || c->out->wrong)
        db_done(s);
    return rc < 0 ? rc : 0;
}

/* ---- events against rows ---- */

struct said {
    int64_t seq, record;
    struct uid cid;
    struct str kind, category;
};

/* 1 and the event that the row names, or 0 where there is none. */
static int find_row(struct checking *c, const struct said *e, int64_t *event)
{
    static const char sql[] = "select event from record where shard = $1 and cid = $2 and "
                              "category = $3 and seq = $4";
    struct db_stmt *s = db_use(c->lov, sql);
    db_bind_int(s, 1, c->shard);
    db_bind_blob(s, 2, uid_str(&e->cid));
    db_bind_text(s, 3, e->category);
    db_bind_int(s, 4, e->record);
    int rc = db_step(s, c->err);
    if (rc == 1) {
        *event = db_int(s, 0);
        db_done(s);
    }
    return rc;
}

static uint64_t weight(const struct checking *c, int64_t record)
{
    struct hash128 h = siphash128(c->key, (struct str){(const char *)&record, sizeof record});
    uint64_t n;
    memcpy(&n, h.b, sizeof n);
    return n;
}

static int check_said(struct checking *c, const struct said *e)
{
    bool end = str_is(e->kind, "record.delete") || str_is(e->kind, "record.expire");
    bool erased = cids_have(&c->erased, &e->cid);
    int64_t event = -1;
    int rc = find_row(c, e, &event);
    if (rc < 0)
        return rc;
    if (rc == 1 && (end || erased))
        wrong(c, e->seq, "a record that this event ended, or an erasure, is still there");
    else if (rc == 1 && event < e->seq)
        wrong(c, e->seq, "the record's row is older than this event");
    else if (end && !erased)
        c->gone += weight(c, e->record);
    if (rc == 1 || erased || !str_is(e->kind, "record.put"))
        return 0;
    c->missing += weight(c, e->record);
    c->first_missing = e->seq;
    return 0;
}

/* 1 where the issue is open. */
static int find_issue(struct checking *c, const struct uid *cid, int64_t issue)
{
    static const char sql[] = "select 1 from issue where shard = $1 and cid = $2 and seq = $3";
    struct db_stmt *s = db_use(c->lov, sql);
    db_bind_int(s, 1, c->shard);
    db_bind_blob(s, 2, uid_str(cid));
    db_bind_int(s, 3, issue);
    int rc = db_step(s, c->err);
    if (rc == 1)
        db_done(s);
    return rc;
}

static int check_issue_said(struct checking *c, const struct said *e, int64_t closed)
{
    bool end = str_is(e->kind, "issue.close"), erased = cids_have(&c->erased, &e->cid);
    int64_t issue = end ? closed : e->seq;
    int rc = find_issue(c, &e->cid, issue);
    if (rc < 0)
        return rc;
    if (rc == 1 && (end || erased))
        wrong(c, e->seq, "an issue that this event settled, or an erasure, is still there");
    if (erased)
        return 0;
    if (end) {
        c->gone_issues += weight(c, issue);
    } else if (rc == 0) {
        c->missing_issues += weight(c, issue);
        c->first_missing_issue = issue;
    }
    return 0;
}

static int check_amended(struct checking *c, struct said *e, const json_t *records)
{
    size_t i;
    json_t *item;
    int rc = 0;
    json_array_foreach((json_t *)records, i, item) {
        const json_t *category = json_object_get(item, "category");
        if (!json_is_string(category)) {
            wrong(c, e->seq, "the event of a record cannot be read");
            return 0;
        }
        e->category = json_text(category);
        e->record = json_integer_value(json_object_get(item, "record"));
        rc = check_said(c, e);
        if (rc < 0 || c->out->wrong)
            break;
    }
    return rc;
}

static bool is_of_record(struct str kind)
{
    static const char *const kinds[] = {"record.put",    "record.correct", "record.amend",
                                        "record.delete", "record.expire",  "issue.open",
                                        "issue.close",   "consumer.erase"};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (str_is(kind, kinds[i]))
            return true;
    return false;
}

static int check_event(struct checking *c, const struct ledger_event *event)
{
    _cleanup_json json_t *body = NULL;
    struct said e = {.seq = event->seq, .kind = event->kind, .cid = event->cid};
    if (!event->has_cid) {
        wrong(c, e.seq, "the event of a record names no consumer");
        return 0;
    }
    if (str_is(e.kind, "consumer.erase")) {
        cids_add(&c->erased, &e.cid);
        return 0;
    }
    const json_t *category = NULL;
    bool read = json_read(event->body, &body, NULL) == 0;
    if (read && str_is(e.kind, "record.amend"))
        return check_amended(c, &e, json_object_get(body, "records"));
    if (read && str_starts(e.kind, STR("issue.")))
        return check_issue_said(c, &e, json_integer_value(json_object_get(body, "issue")));
    if (read)
        category = json_object_get(body, "category");
    if (!json_is_string(category)) {
        wrong(c, e.seq, "the event of a record cannot be read");
        return 0;
    }
    e.category = json_text(category);
    e.record = json_integer_value(json_object_get(body, "record"));
    return check_said(c, &e);
}

/* 1: no further. */
static int see_event(void *ctx, const struct ledger_event *event)
{
    struct checking *c = ctx;
    int rc = is_of_record(event->kind) ? check_event(c, event) : 0;
    return rc < 0 ? rc : c->out->wrong;
}

static int check_events(struct checking *c)
{
    int rc = ledger_each_back(c->lov, c->shard, see_event, c, c->err);
    if (rc >= 0 && !c->out->wrong && c->missing != c->gone)
        wrong(c, c->first_missing, "a record's row is missing though no event ended it");
    if (rc >= 0 && !c->out->wrong && c->missing_issues != c->gone_issues)
        wrong(c, c->first_missing_issue, "an issue's row is missing though no event settled it");
    return rc < 0 ? rc : 0;
}

/* ---- sums ---- */

/* The blocks that an event tells of, by their hash; *count says how many there are. */
static int hash_blocks(struct checking *c, int64_t seq, int64_t *count, struct buf *hex)
{
    static const char sql[] = "select keys, records, sums from aggregate_block "
                              "where shard = $1 and seq = $2 order by part";
    _cleanup_buf struct buf text = {0};
    struct db_stmt *s = db_use(c->lov, sql);
    db_bind_int(s, 1, c->shard);
    db_bind_int(s, 2, seq);
    int rc;
    *count = 0;
    while ((rc = db_step(s, c->err)) == 1) {
        ++*count;
        block_digest(db_text(s, 0), db_int(s, 1), db_text(s, 2), &text);
    }
    struct sha256 hash = sha256_of(buf_view(&text));
    hex_encode(hash.b, sizeof hash.b, hex);
    return rc;
}

static int check_publication(struct checking *c, int64_t seq, struct str text)
{
    _cleanup_json json_t *body = NULL;
    _cleanup_buf struct buf hex = {0};
    int64_t count;
    int rc = hash_blocks(c, seq, &count, &hex);
    if (rc)
        return rc;
    c->blocks += count;
    c->out->rows += count;
    if (json_read(text, &body, NULL) ||
        json_integer_value(json_object_get(body, "blocks")) != count ||
        !str_eq(json_text(json_object_get(body, "blocks_sha256")), buf_view(&hex)))
        wrong(c, seq, "blocks of sums are not what this event published");
    return 0;
}

static int count_blocks(struct checking *c, int64_t *out)
{
    static const char sql[] = "select count(*) from aggregate_block where shard = $1";
    struct db_stmt *s = db_use(c->lov, sql);
    db_bind_int(s, 1, c->shard);
    int rc = db_step(s, c->err);
    if (rc == 1) {
        *out = db_int(s, 0);
        db_done(s);
    }
    return rc < 0 ? rc : 0;
}

/* 1: no further. */
static int see_publication(void *ctx, const struct ledger_event *event)
{
    struct checking *c = ctx;
    if (!str_is(event->kind, "aggregate.publish"))
        return 0;
    c->last_publication = event->seq;
    int rc = check_publication(c, event->seq, event->body);
    return rc < 0 ? rc : c->out->wrong;
}

static int check_blocks(struct checking *c)
{
    int64_t stored = 0;
    int rc = ledger_each(c->lov, c->shard, 0, see_publication, c, c->err);
    if (rc >= 0 && !c->out->wrong)
        rc = count_blocks(c, &stored);
    if (rc == 0 && !c->out->wrong && stored != c->blocks)
        wrong(c, c->last_publication, "a block of sums is stored that no event published");
    return rc < 0 ? rc : 0;
}

int vault_verify(struct db *lov, uint32_t shard, struct state_report *out, struct err *err)
{
    struct checking c = {.lov = lov, .shard = shard, .out = out, .err = err};
    *out = (struct state_report){0};
    random_bytes(c.key, sizeof c.key);
    int rc = db_begin_read(lov, err);
    if (rc)
        return rc;
    rc = check_rows(&c);
    if (rc == 0 && !out->wrong)
        rc = check_issue_rows(&c);
    if (rc == 0 && !out->wrong)
        rc = check_events(&c);
    if (rc == 0 && !out->wrong)
        rc = check_blocks(&c);
    db_rollback(lov);
    free(c.erased.items);
    free(c.erased.used);
    return rc;
}
