/* sums.c - answers: whole blocks, added up by some of their groups. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "vault/aggregate.h"

enum { GROUPS_MAX = 10000, KEYS_MAX = 8 + MEASURES_MAX };

struct group {
    struct str key; /* JSON object of the asked-for keys */
    int64_t records, counts[MEASURES_MAX];
    wide sums[MEASURES_MAX];
};

struct adding {
    struct shape shape;
    bool by[KEYS_MAX]; /* keys that are asked for */
    bool shown[MEASURES_MAX];
    struct arena arena;
    struct group *groups; /* sorted by key */
    size_t count, cap;
    struct err *err;
};

/* ---- what is asked ---- */

static bool is_among(const struct json_names *names, struct str name)
{
    for (size_t i = 0; i < names->count; i++)
        if (str_eq(names->items[i], name))
            return true;
    return false;
}

/* Every name that is asked for is one that there is. */
static int check_names(const struct json_names *names, size_t found, const char *member,
                       struct err *err)
{
    if (names->count == found)
        return 0;
    return err_reason(err, LOV_EINVAL, "invalid_field",
                      "%s: the activity's view has no such name, or not for this", member);
}

/* A sum of amounts is a sum of one currency: where it is asked for, its currency is a group. */
static bool needs_currency(const struct adding *a, struct str key)
{
    for (size_t i = 0; i < a->shape.measure_count; i++) {
        struct str name = a->shape.measures[i]->name;
        if (a->shown[i] && key.n == name.n + 9 && memcmp(key.p, name.p, name.n) == 0)
            return true;
    }
    return false;
}

static int take_query(struct adding *a, const struct vault_sums *query)
{
    size_t found = 0;
    _cleanup_buf struct buf name = {0};
    for (size_t i = 0; i < a->shape.measure_count; i++) {
        bool asked = is_among(&query->fields, a->shape.measures[i]->name);
        found += asked;
        a->shown[i] = asked || query->all_fields;
    }
    int rc = query->all_fields ? 0 : check_names(&query->fields, found, "fields", a->err);
    found = 0;
    for (size_t k = 0; rc == 0 && shape_key_name(&a->shape, k, &name); k++) {
        bool currency = k >= a->shape.group_count;
        bool asked = !currency && is_among(&query->group_by, buf_view(&name));
        found += asked;
        a->by[k] = asked || (!currency && query->all_groups) ||
                   (currency && needs_currency(a, buf_view(&name)));
        buf_clear(&name);
    }
    return rc || query->all_groups ? rc : check_names(&query->group_by, found, "group_by", a->err);
}

/* ---- blocks ---- */

static struct str group_key(struct adding *a, const json_t *keys)
{
    _cleanup_buf struct buf text = {0}, name = {0}, value = {0};
    struct jw w = {.out = &text};
    jw_object_start(&w);
    for (size_t k = 0; shape_key_name(&a->shape, k, &name); k++) {
        if (a->by[k]) {
            buf_clear(&value);
            json_canonical(json_array_get(keys, k), &value);
            jw_key_str(&w, buf_view(&name));
            jw_raw(&w, buf_view(&value));
        }
        buf_clear(&name);
    }
    jw_object_end(&w);
    return arena_str(&a->arena, buf_view(&text));
}

/* Its place, made where it is new; NULL when there are too many. */
static struct group *find_group(struct adding *a, struct str key)
{
    size_t low = 0, high = a->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = str_cmp(a->groups[middle].key, key);
        if (order == 0)
            return &a->groups[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (a->count == GROUPS_MAX)
        return NULL;
    if (a->count == a->cap) {
        a->cap = a->cap ? 2 * a->cap : 64;
        a->groups = mem_grow(a->groups, a->cap, sizeof *a->groups);
    }
    memmove(&a->groups[low + 1], &a->groups[low], (a->count - low) * sizeof *a->groups);
    a->count++;
    a->groups[low] = (struct group){.key = key};
    return &a->groups[low];
}

static int damaged(struct adding *a)
{
    return err_set(a->err, LOV_ECORRUPT, "a block of sums is damaged: run lov log verify");
}

static int add_block(struct adding *a, struct str keys, int64_t records, struct str sums)
{
    _cleanup_json json_t *key = NULL, *by_field = NULL;
    if (json_read(keys, &key, NULL) || json_read(sums, &by_field, NULL))
        return damaged(a);
    struct group *g = find_group(a, group_key(a, key));
    if (!g)
        return err_reason(a->err, LOV_ELIMIT, "too_many_groups",
                          "there are more than %d groups: group by less", (int)GROUPS_MAX);
    g->records += records;
    for (size_t i = 0; i < a->shape.measure_count; i++) {
        struct str name = a->shape.measures[i]->name;
        const json_t *sum = json_object_getn(by_field, name.p, name.n);
        wide n;
        if (!sum)
            continue;
        if (!json_is_string(sum) || !wide_read(json_text(sum), &n))
            return damaged(a);
        g->sums[i] += n;
        g->counts[i] += records;
    }
    return 0;
}

static int add_blocks(struct adding *a, struct db *lov, const struct vault_sums *query)
{
    static const char sql[] =
        "select keys, records, sums from aggregate_block where shard = $1 and recipient = $2 and "
        "purpose = $3 and category = $4 and form = $5 and at > $6";
    struct db_stmt *s = db_use(lov, sql);
    db_bind_int(s, 1, 0);
    db_bind_text(s, 2, query->recipient);
    db_bind_text(s, 3, query->purpose);
    db_bind_text(s, 4, query->category);
    db_bind_text(s, 5, str_of(a->shape.form));
    db_bind_int(s, 6, clock_now() - a->shape.activity->retention_days * (int64_t)DAY_MS);
    int rc;
    while ((rc = db_step(s, a->err)) == 1) {
        rc = add_block(a, db_text(s, 0), db_int(s, 1), db_text(s, 2));
        if (rc)
            break;
    }
    if (rc)
        db_done(s);
    return rc;
}

/* ---- the answer ---- */

static void write_number(struct jw *w, const char *name, wide n)
{
    _cleanup_buf struct buf text = {0};
    wide_write_decimal(n, &text);
    jw_str_member(w, name, buf_view(&text));
}

/* Noise may have left a count that nothing can be divided by. */
static void write_field(struct jw *w, struct str name, wide sum, int64_t count)
{
    jw_key_str(w, name);
    jw_object_start(w);
    jw_int_member(w, "count", count);
    write_number(w, "sum", sum);
    if (count > 0)
        write_number(w, "mean", sum / count);
    jw_object_end(w);
}

static void write_groups(const struct adding *a, struct jw *w)
{
    jw_array_member(w, "groups");
    for (size_t i = 0; i < a->count; i++) {
        const struct group *g = &a->groups[i];
        jw_object_start(w);
        jw_key(w, "group");
        jw_raw(w, g->key);
        jw_int_member(w, "count", g->records);
        jw_object_member(w, "fields");
        for (size_t m = 0; m < a->shape.measure_count; m++)
            if (a->shown[m])
                write_field(w, a->shape.measures[m]->name, g->sums[m], g->counts[m]);
        jw_object_end(w);
        jw_object_end(w);
    }
    jw_array_end(w);
}

static int find_shape(struct adding *a, const struct policy *p, const struct vault_sums *query)
{
    const struct policy_recipient *r = policy_recipient(p, query->recipient);
    const struct policy_purpose *u = policy_purpose(p, query->purpose);
    const struct policy_category *c = policy_category(p, query->category);
    const struct policy_activity *activity = r && u ? policy_activity(p, r, u) : NULL;
    if (!activity || !c || !policy_activity_covers(activity, c) || activity->view != VIEW_AGGREGATE)
        return err_reason(a->err, LOV_EINVAL, "not_in_policy",
                          "no activity of the recipient sees sums of this category");
    shape_init(&a->shape, activity, c);
    return 0;
}

int vault_sums(struct vault *v, const struct rules *rules, const struct vault_sums *query,
               struct jw *w, struct err *err)
{
    struct db *lov;
    struct adding a = {.err = err};
    int rc = find_shape(&a, rules_policy(rules), query);
    if (rc == 0)
        rc = take_query(&a, query);
    if (rc)
        return rc;
    rc = db_pool_get(engine_lov(v->engine), &lov, err);
    if (rc == 0) {
        rc = add_blocks(&a, lov, query);
        db_pool_put(engine_lov(v->engine), lov);
    }
    if (rc == 0)
        write_groups(&a, w);
    free(a.groups);
    arena_free(&a.arena);
    return rc;
}

/* ---- the question, in the ledger ---- */

static int record(struct engine_write *w, struct write_scope *scope, struct err *err)
{
    const struct vault_sums *query = w->input;
    _cleanup_buf struct buf body = {0};
    struct jw j = {.out = &body};
    jw_object_start(&j);
    jw_str_member(&j, "category", query->category);
    if (!query->all_groups)
        jw_strs_member(&j, "group_by", query->group_by.items, query->group_by.count);
    if (!query->all_fields)
        jw_strs_member(&j, "fields", query->fields.items, query->fields.count);
    jw_object_end(&j);
    struct str activity =
        arena_printf(scope->arena, "%.*s/%.*s", STR_ARG(query->recipient), STR_ARG(query->purpose));
    return engine_append(scope, "aggregate.read", activity, buf_view(&body), &w->out_seq, err);
}

void vault_record_sums(struct engine_write *w, const struct vault_sums *query)
{
    w->kind = WRITE_OTHER;
    w->other = record;
    w->input = query;
}
