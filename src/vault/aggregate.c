/* aggregate.c - from records to blocks (aggregate.h).
 *
 * One run for one activity and category, some ten thousand consumers at a time: those with records
 * that are in no block yet; of those who permit it now, the records as the view cuts them; sorted
 * into divisions. Divisions with k consumers become blocks, once the access to each of those
 * consumers is recorded, which decides again. Blocks are written in transactions of their own size,
 * in which each record is looked at once more: one that was deleted or corrected meanwhile is not
 * in the sum. */
#include "vault/aggregate.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

enum { ACCESSES_AT_ONCE = 500, CONSUMERS_MAX = 20000 };

static const int64_t MILLION = 1000000;

struct person {
    struct uid cid;
    struct str name;
    bool wanted, permitted;
};

/* A record that may go into a block. */
struct candidate {
    struct str key; /* JSON array: groups, currencies, which measures there are */
    uint32_t person;
    int64_t seq, event;
    int64_t values[MEASURES_MAX]; /* millionths; whole numbers of a FIELD_INTEGER */
};

struct run {
    struct vault *v;
    struct shape shape;
    const struct policy *policy;
    struct rules *rules;
    struct db *lov, *identities;
    struct arena arena;
    struct person *people;
    size_t person_count;
    struct candidate *items;
    size_t count, cap;
    struct uid after; /* the consumer behind whom it goes on ... */
    bool more;        /* ... if there are any */
    int64_t blocks;
    struct err *err;
};

/* ---- one record ---- */

/* The value as a group is told: JSON as the view made it, null where there is none. */
static void add_group(const json_t *data, const struct policy_view_field *f, struct jw *w)
{
    _cleanup_buf struct buf text = {0};
    const json_t *value = json_object_getn(data, f->name.p, f->name.n);
    if (!value) {
        jw_null(w);
        return;
    }
    json_canonical(value, &text);
    jw_raw(w, buf_view(&text));
}

/* Currency and presence are groups too: a sum over another currency, or the one record that has no
 * amount, is a block of its own or none. */
static void take_measures(const struct shape *s, const json_t *data, struct candidate *c,
                          struct jw *w)
{
    char present[MEASURES_MAX + 1] = "";
    for (size_t i = 0; i < s->measure_count; i++) {
        const struct policy_view_field *f = s->measures[i];
        struct value v = {0};
        const json_t *json = json_object_getn(data, f->name.p, f->name.n);
        bool has = json && value_read(f->field, json, &v);
        present[i] = has ? '1' : '0';
        c->values[i] = v.number;
        if (f->field->type != FIELD_CURRENCY_AMOUNT)
            continue;
        if (has)
            jw_str(w, v.currency);
        else
            jw_null(w);
    }
    jw_str(w, str_of(present));
}

static int take_record(void *ctx, const struct record *r, struct str data)
{
    struct run *x = ctx;
    _cleanup_json json_t *json = NULL;
    _cleanup_buf struct buf key = {0};
    struct jw w = {.out = &key};
    if (json_read(data, &json, NULL))
        return err_set(x->err, LOV_ECORRUPT, "a record is not JSON");
    if (x->count == x->cap) {
        x->cap = x->cap ? 2 * x->cap : 1024;
        x->items = mem_grow(x->items, x->cap, sizeof *x->items);
    }
    struct candidate *c = &x->items[x->count];
    *c = (struct candidate){
        .person = (uint32_t)x->person_count - 1, .seq = r->seq, .event = r->event};
    jw_array_start(&w);
    for (size_t i = 0; i < x->shape.group_count; i++)
        add_group(json, x->shape.groups[i], &w);
    take_measures(&x->shape, json, c, &w);
    jw_array_end(&w);
    c->key = arena_str(&x->arena, buf_view(&key));
    x->count++;
    return 0;
}

/* ---- everybody ---- */

static struct question question_of(const struct run *x, struct str consumer)
{
    return (struct question){
        .recipient = x->shape.activity->recipient->id,
        .purpose = x->shape.activity->purpose->id,
        .category = x->shape.category->id,
        .consumer = consumer,
        .at = clock_now(),
    };
}

static int take_person(struct run *x, const struct uid *cid)
{
    struct decision decision;
    _cleanup_buf struct buf name = {0};
    const struct identity *who = engine_identity(x->v->engine);
    int rc = identity_name(who, x->identities, cid, &name, x->err);
    if (rc != 1)
        return rc;
    struct question q = question_of(x, buf_view(&name));
    decide(x->v->engine, x->rules, &q, &decision);
    if (!decision.permit)
        return 0;
    struct identity_row row;
    rc = identity_find_cid(x->identities, cid, &row, x->err);
    if (rc != 1)
        return rc;
    x->people[x->person_count++] =
        (struct person){.cid = *cid, .name = arena_str(&x->arena, buf_view(&name))};
    struct sums_reader reader = {
        .lov = x->lov,
        .identities = x->identities,
        .policy = x->policy,
        .activity = x->shape.activity,
        .category = x->shape.category,
        .decision = &decision,
    };
    return read_for_sums(x->v, &reader, &row, take_record, x, x->err);
}

/* Who has records in no block, listed before the first is opened. */
static int list_people(struct run *x, struct uid *cids, size_t *count)
{
    static const char sql[] =
        "select distinct r.cid from record r where r.shard = $1 and r.category = $2 and not exists "
        "(select 1 from aggregate_use u where u.shard = r.shard and u.cid = r.cid and "
        "u.category = r.category and u.seq = r.seq and u.recipient = $3) and r.cid > $5 "
        "order by r.cid limit $4";
    struct db_stmt *s = db_use(x->lov, sql);
    db_bind_int(s, 1, 0);
    db_bind_text(s, 2, x->shape.category->id);
    db_bind_text(s, 3, x->shape.activity->recipient->id);
    db_bind_int(s, 4, (int64_t)(CONSUMERS_MAX - *count));
    db_bind_blob(s, 5, uid_str(&x->after));
    int rc;
    while ((rc = db_step(s, x->err)) == 1) {
        struct str cid = db_blob(s, 0);
        if (cid.n == sizeof cids->b)
            memcpy(cids[(*count)++].b, cid.p, cid.n);
    }
    return rc;
}

/* A budget pays for one publication at a time: when there are more consumers than it takes in, it
 * begins anywhere, and goes around, so that everybody's turn comes. */
static int list_anywhere(struct run *x, struct uid *cids, size_t *count)
{
    *count = 0;
    random_bytes(x->after.b, sizeof x->after.b);
    int rc = list_people(x, cids, count);
    x->after = (struct uid){0};
    return rc == 0 && *count < CONSUMERS_MAX ? list_people(x, cids, count) : rc;
}

static int gather(struct run *x)
{
    bool budget = x->shape.activity->privacy.epsilon > 0;
    size_t count = 0;
    struct uid *cids = mem_alloc(CONSUMERS_MAX * sizeof *cids);
    int rc = list_people(x, cids, &count);
    if (rc == 0 && budget && count == CONSUMERS_MAX)
        rc = list_anywhere(x, cids, &count);
    x->people = arena_array(&x->arena, count + 1, sizeof *x->people);
    size_t i = 0;
    for (; rc == 0 && i < count && x->count < RUN_RECORDS; i++) {
        rc = take_person(x, &cids[i]);
        x->after = cids[i];
    }
    x->more = !budget && (i < count || count == CONSUMERS_MAX);
    free(cids);
    return rc;
}

/* ---- divisions ---- */

static int by_key_and_person(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    int order = str_cmp(x->key, y->key);
    if (order == 0)
        order = (x->person > y->person) - (x->person < y->person);
    return order ? order : (x->seq > y->seq) - (x->seq < y->seq);
}

/* The end of the division that begins at `from`. */
static size_t division_end(const struct run *x, size_t from)
{
    size_t end = from;
    while (end < x->count && str_eq(x->items[end].key, x->items[from].key))
        end++;
    return end;
}

/* Of one division, sorted by person. */
static size_t persons_in(const struct candidate *items, size_t count)
{
    size_t n = 0;
    for (size_t i = 0; i < count; i++)
        n += i == 0 || items[i].person != items[i - 1].person;
    return n;
}

/* Whoever is not to be counted is taken out, the order stays. */
static void keep_permitted(struct run *x)
{
    size_t n = 0;
    for (size_t i = 0; i < x->count; i++)
        if (x->people[x->items[i].person].permitted)
            x->items[n++] = x->items[i];
    x->count = n;
}

/* With differential privacy one consumer changes few numbers, by little. */
static void bound_contributions(struct run *x)
{
    const struct policy_privacy *p = &x->shape.activity->privacy;
    size_t n = 0;
    if (!p->epsilon)
        return;
    int *seen = mem_zero((x->person_count + 1) * sizeof *seen);
    for (size_t i = 0; i < x->count; i++) {
        struct candidate *c = &x->items[i];
        if (seen[c->person]++ >= p->records)
            continue;
        for (size_t m = 0; m < x->shape.measure_count; m++) {
            bool whole = x->shape.measures[m]->field->type == FIELD_INTEGER;
            int64_t most = whole ? p->most : p->most * MILLION;
            c->values[m] = c->values[m] > most ? most : c->values[m] < -most ? -most : c->values[m];
        }
        x->items[n++] = *c;
    }
    x->count = n;
    free(seen);
}

/* ---- accesses ---- */

static void mark_wanted(struct run *x)
{
    for (size_t from = 0, end; from < x->count; from = end) {
        end = division_end(x, from);
        bool enough =
            persons_in(x->items + from, end - from) >= (size_t)x->shape.activity->aggregate_k;
        for (size_t i = from; enough && i < end; i++)
            x->people[x->items[i].person].wanted = true;
    }
}

static void record_some(struct run *x, struct person **some, size_t count)
{
    _cleanup_arena struct arena arena = {0};
    struct engine_write *writes = mem_zero(ACCESSES_AT_ONCE * sizeof *writes);
    for (size_t i = 0; i < count; i++) {
        writes[i] = (struct engine_write){
            .kind = WRITE_ACCESS,
            .actor = STR("lov"),
            .arena = &arena,
            .question = question_of(x, some[i]->name),
            .policy_version = x->policy->version,
            .expires_at = TIME_NONE,
            .given_at = TIME_NONE,
        };
        decide(x->v->engine, x->rules, &writes[i].question, &writes[i].decision);
    }
    group_run(x->v->engine, writes, count);
    for (size_t i = 0; i < count; i++)
        some[i]->permitted = writes[i].job.rc == 0 && writes[i].decision.permit;
    free(writes);
}

static void record_accesses(struct run *x)
{
    struct person *some[ACCESSES_AT_ONCE];
    size_t count = 0;
    for (size_t i = 0; i < x->person_count; i++) {
        if (x->people[i].wanted)
            some[count++] = &x->people[i];
        if (count == ACCESSES_AT_ONCE || (count && i + 1 == x->person_count)) {
            record_some(x, some, count);
            count = 0;
        }
    }
}

/* ---- blocks ---- */

struct block {
    const struct candidate *items;
    size_t count;
};

/* What one transaction writes. */
struct publication {
    struct run *run;
    struct block *blocks;
    size_t count;
    int64_t made, records; /* out */
};

static int is_there(struct write_scope *scope, const struct run *x, const struct candidate *c,
                    struct err *err)
{
    static const char sql[] = "select 1 from record where shard = $1 and cid = $2 and "
                              "category = $3 and seq = $4 and event = $5";
    struct db_stmt *s = db_use(scope->lov, sql);
    db_bind_int(s, 1, 0);
    db_bind_blob(s, 2, uid_str(&x->people[c->person].cid));
    db_bind_text(s, 3, x->shape.category->id);
    db_bind_int(s, 4, c->seq);
    db_bind_int(s, 5, c->event);
    int rc = db_step(s, err);
    if (rc == 1)
        db_done(s);
    return rc;
}

static int mark_used(struct write_scope *scope, const struct run *x, const struct candidate *c,
                     struct err *err)
{
    static const char sql[] = "insert into aggregate_use (shard, cid, category, seq, recipient) "
                              "values ($1, $2, $3, $4, $5)";
    struct db_stmt *s = db_use(scope->lov, sql);
    db_bind_int(s, 1, 0);
    db_bind_blob(s, 2, uid_str(&x->people[c->person].cid));
    db_bind_text(s, 3, x->shape.category->id);
    db_bind_int(s, 4, c->seq);
    db_bind_text(s, 5, x->shape.activity->recipient->id);
    return db_run(s, err);
}

/* Each of count and sums takes its share of epsilon; a consumer changes the counts of a publication
 * by `records` in all, and the sums by `records` times `most`. */
static int64_t noise(const struct shape *s, int64_t most)
{
    const struct policy_privacy *p = &s->activity->privacy;
    int64_t shares = (int64_t)s->measure_count + 1;
    return p->epsilon ? noise_laplace(most * p->records * shares * 1000, p->epsilon) : 0;
}

static void write_sums(const struct shape *s, struct str key, const wide *sums, struct jw *w)
{
    /* The last member of the key says which measures there are: ...,"101"] */
    const char *present = key.p + key.n - 2 - s->measure_count;
    const struct policy_privacy *p = &s->activity->privacy;
    jw_object_start(w);
    for (size_t i = 0; i < s->measure_count; i++) {
        _cleanup_buf struct buf text = {0};
        wide sum = sums[i];
        bool whole = s->measures[i]->field->type == FIELD_INTEGER;
        if (present[i] != '1')
            continue;
        if (p->epsilon)
            sum = (whole ? sum : sum / MILLION) + noise(s, p->most);
        if (whole || p->epsilon)
            sum *= MILLION;
        wide_write(sum, &text);
        jw_key_str(w, s->measures[i]->name);
        jw_str(w, buf_view(&text));
    }
    jw_object_end(w);
}

void block_digest(struct str keys, int64_t records, struct str sums, struct buf *out)
{
    buf_printf(out, "%.*s\n%lld\n%.*s\n", STR_ARG(keys), (long long)records, STR_ARG(sums));
}

static int insert_block(struct write_scope *scope, const struct run *x, int64_t seq, int64_t part,
                        struct str key, int64_t records, struct str sums, struct err *err)
{
    static const char sql[] =
        "insert into aggregate_block (shard, recipient, purpose, category, seq, part, form, keys, "
        "records, sums, epsilon, at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
    struct db_stmt *s = db_use(scope->lov, sql);
    db_bind_int(s, 1, 0);
    db_bind_text(s, 2, x->shape.activity->recipient->id);
    db_bind_text(s, 3, x->shape.activity->purpose->id);
    db_bind_text(s, 4, x->shape.category->id);
    db_bind_int(s, 5, seq);
    db_bind_int(s, 6, part);
    db_bind_text(s, 7, str_of(x->shape.form));
    db_bind_text(s, 8, key);
    db_bind_int(s, 9, records);
    db_bind_text(s, 10, sums);
    db_bind_int(s, 11, x->shape.activity->privacy.epsilon);
    db_bind_int(s, 12, scope->now);
    return db_run(s, err);
}

/* Sums up what is still there; a block that has become too small is none, and its records wait. */
static int make_block(struct write_scope *scope, struct publication *p, const struct block *b,
                      int64_t seq, struct buf *digest, struct err *err)
{
    const struct run *x = p->run;
    _cleanup_buf struct buf text = {0};
    struct jw w = {.out = &text};
    wide sums[MEASURES_MAX] = {0};
    struct candidate *left = mem_alloc((b->count + 1) * sizeof *left);
    size_t n = 0;
    int rc = 0;
    for (size_t i = 0; rc >= 0 && i < b->count; i++) {
        rc = is_there(scope, x, &b->items[i], err);
        if (rc == 1)
            left[n++] = b->items[i];
    }
    bool enough = rc >= 0 && persons_in(left, n) >= (size_t)x->shape.activity->aggregate_k;
    for (size_t i = 0; enough && rc >= 0 && i < n; i++) {
        for (size_t m = 0; m < x->shape.measure_count; m++)
            sums[m] += left[i].values[m];
        rc = mark_used(scope, x, &left[i], err);
    }
    free(left);
    if (rc < 0 || !enough)
        return rc < 0 ? rc : 0;
    write_sums(&x->shape, b->items->key, sums, &w);
    int64_t records = (int64_t)n + noise(&x->shape, 1);
    block_digest(b->items->key, records, buf_view(&text), digest);
    p->records += records;
    return insert_block(scope, x, seq, p->made++, b->items->key, records, buf_view(&text), err);
}

static void write_event(const struct publication *p, const struct buf *digest, struct buf *out)
{
    const struct shape *s = &p->run->shape;
    struct sha256 hash = sha256_of(buf_view(digest));
    struct jw w = {.out = out};
    jw_object_start(&w);
    jw_str_member(&w, "category", s->category->id);
    jw_int_member(&w, "blocks", p->made);
    jw_int_member(&w, "records", p->records);
    jw_int_member(&w, "k", s->activity->aggregate_k);
    jw_int_member(&w, "epsilon_thousandths", s->activity->privacy.epsilon);
    jw_hex_member(&w, "blocks_sha256", hash.b, sizeof hash.b);
    jw_object_end(&w);
}

/* What the recipient's publications have cost in the period, and when the last one was. */
static int spent(struct db *lov, const struct shape *s, int64_t now, int64_t *total, int64_t *last,
                 struct err *err)
{
    static const char sql[] =
        "select coalesce(sum(e), 0), coalesce(max(t), 0) from (select max(epsilon) as e, "
        "max(at) as t from aggregate_block where shard = $1 and recipient = $2 and at > $3 "
        "group by seq) as publications";
    struct db_stmt *q = db_use(lov, sql);
    db_bind_int(q, 1, 0);
    db_bind_text(q, 2, s->activity->recipient->id);
    db_bind_int(q, 3, now - s->activity->privacy.days * (int64_t)DAY_MS);
    int rc = db_step(q, err);
    if (rc != 1)
        return rc;
    *total = db_int(q, 0);
    *last = db_int(q, 1);
    db_done(q);
    return 0;
}

/* May the recipient be given another publication? They are spread over the period, so that what
 * comes at its end is told too. */
static int check_budget(struct db *lov, const struct shape *s, int64_t now, struct err *err)
{
    const struct policy_privacy *p = &s->activity->privacy;
    int64_t total = 0, last = 0;
    int rc = p->epsilon ? spent(lov, s, now, &total, &last, err) : 0;
    if (rc || !p->epsilon)
        return rc;
    int64_t apart = p->days * (int64_t)DAY_MS / (p->budget / p->epsilon);
    if (total + p->epsilon <= p->budget && (total == 0 || now - last >= apart))
        return 0;
    return err_reason(err, LOV_ECONFLICT, "budget_spent",
                      "the recipient's privacy budget is spent for now");
}

static int publish(struct engine_write *w, struct write_scope *scope, struct err *err)
{
    struct publication *p = (struct publication *)w->input;
    const struct policy_activity *a = p->run->shape.activity;
    _cleanup_buf struct buf digest = {0}, body = {0};
    int64_t seq = ledger_next(engine_ledger(scope->engine), 0);
    p->made = p->records = 0;
    int rc = check_budget(scope->lov, &p->run->shape, scope->now, err);
    for (size_t i = 0; rc == 0 && i < p->count; i++)
        rc = make_block(scope, p, &p->blocks[i], seq, &digest, err);
    if (rc || !p->made)
        return rc;
    write_event(p, &digest, &body);
    struct str activity =
        arena_printf(scope->arena, "%.*s/%.*s", STR_ARG(a->recipient->id), STR_ARG(a->purpose->id));
    int64_t event;
    rc = engine_append(scope, "aggregate.publish", activity, buf_view(&body), &event, err);
    if (rc == 0 && event != seq)
        bug("a block's event has another number than its block");
    w->out_seq = event;
    return rc;
}

static int write_publication(struct run *x, struct block *blocks, size_t count)
{
    _cleanup_arena struct arena arena = {0};
    struct publication p = {.run = x, .blocks = blocks, .count = count};
    struct engine_write w = {
        .kind = WRITE_OTHER,
        .actor = STR("lov"),
        .arena = &arena,
        .other = publish,
        .input = &p,
        .expires_at = TIME_NONE,
        .given_at = TIME_NONE,
    };
    int rc = engine_run(x->v->engine, &w, x->err);
    if (rc == 0)
        x->blocks += p.made;
    return rc == LOV_ECONFLICT ? 0 : rc;
}

/* Cuts a division into blocks of a bounded size, each of k consumers: a last one that is too small
 * belongs to the one before. */
static size_t cut_division(const struct run *x, size_t from, size_t end, struct block *out)
{
    size_t k = (size_t)x->shape.activity->aggregate_k, count = 0;
    while (from < end) {
        size_t stop = from, persons = 0;
        while (stop < end && (stop - from < BLOCK_RECORDS || persons < k ||
                              x->items[stop].person == x->items[stop - 1].person)) {
            persons += stop == from || x->items[stop].person != x->items[stop - 1].person;
            stop++;
        }
        if (persons_in(x->items + stop, end - stop) < k)
            stop = end;
        out[count++] = (struct block){x->items + from, stop - from};
        from = stop;
    }
    return count;
}

static size_t cut_all(const struct run *x, struct block *out)
{
    size_t count = 0;
    for (size_t from = 0, end; from < x->count; from = end) {
        end = division_end(x, from);
        if (persons_in(x->items + from, end - from) >= (size_t)x->shape.activity->aggregate_k)
            count += cut_division(x, from, end, out + count);
    }
    return count;
}

/* With a budget all blocks of a run are one publication; without, a transaction has a bounded size.
 */
static int publish_all(struct run *x)
{
    struct block *blocks = arena_array(&x->arena, x->count + 1, sizeof *blocks);
    bool one = x->shape.activity->privacy.epsilon > 0;
    size_t total = cut_all(x, blocks);
    int rc = 0;
    for (size_t i = 0, n; rc == 0 && i < total; i += n) {
        size_t records = 0;
        for (n = 0; i + n < total && (one || n == 0 || records < BLOCK_RECORDS); n++)
            records += blocks[i + n].count;
        rc = write_publication(x, blocks + i, n);
    }
    return rc;
}

/* ---- a run ---- */

static int run_some(struct run *x)
{
    x->more = false;
    int rc = check_budget(x->lov, &x->shape, clock_now(), x->err);
    if (rc)
        return rc == LOV_ECONFLICT ? 0 : rc;
    rc = gather(x);
    if (rc == 0 && x->count) {
        qsort(x->items, x->count, sizeof *x->items, by_key_and_person);
        bound_contributions(x);
        mark_wanted(x);
        record_accesses(x);
        keep_permitted(x);
        rc = publish_all(x);
    }
    arena_free(&x->arena);
    free(x->items);
    x->items = NULL;
    x->count = x->cap = x->person_count = 0;
    return rc;
}

static int run_category(struct run *x)
{
    int rc;
    x->after = (struct uid){0};
    do
        rc = run_some(x);
    while (rc == 0 && x->more);
    return rc;
}

static int run_all(struct run *x)
{
    int rc = 0;
    for (size_t i = 0; i < x->policy->activity_count && rc == 0; i++) {
        const struct policy_activity *a = &x->policy->activities[i];
        for (size_t k = 0; a->view == VIEW_AGGREGATE && k < a->category_count && rc == 0; k++) {
            shape_init(&x->shape, a, a->categories[k]);
            rc = run_category(x);
        }
    }
    return rc;
}

int vault_aggregate(struct vault *v, int64_t *blocks, struct err *err)
{
    struct run x = {.v = v, .rules = engine_rules(v->engine), .err = err};
    *blocks = 0;
    if (!x.rules)
        return 0;
    x.policy = rules_policy(x.rules);
    int rc = db_pool_get(engine_lov(v->engine), &x.lov, err);
    if (rc == 0)
        rc = db_pool_get(engine_identities(v->engine), &x.identities, err);
    if (rc == 0)
        rc = run_all(&x);
    if (x.lov)
        db_pool_put(engine_lov(v->engine), x.lov);
    if (x.identities)
        db_pool_put(engine_identities(v->engine), x.identities);
    rules_unref(x.rules);
    *blocks = x.blocks;
    return rc;
}
