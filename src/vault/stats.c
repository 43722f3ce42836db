/* stats.c - see stats.h. One sketch for each number of a category, and for each currency of an
 * amount; median and limits are computed anew when a twentieth more values have come. */
#include "vault/stats.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "vault/sketch.h"

enum { ENOUGH = 100, GROWN_BY = 20, NAME_MOST = 160, SERIES_MOST = 4096 };
static const double DEVIATIONS = 4, MAD_TO_SIGMA = 1.4826, LEAST_RATIO = 0.05;

struct series {
    char name[NAME_MOST]; /* "purchases.amount.SEK" */
    struct sketch *sketch;
    int64_t judged_at; /* values that there were when the limits were computed */
    int64_t low, high;
    int64_t least; /* between 0 and this nothing is usual, either */
    bool changed;
};

struct stats {
    pthread_mutex_t lock; /* guards all that follows */
    struct series *items;
    size_t count, cap;
};

/* ---- series ---- */

static struct series *find(struct stats *s, const char *name)
{
    for (size_t i = 0; i < s->count; i++)
        if (strcmp(s->items[i].name, name) == 0)
            return &s->items[i];
    return NULL;
}

/* Takes over the sketch. */
static struct series *add(struct stats *s, const char *name, struct sketch *sketch)
{
    if (s->count == s->cap) {
        s->cap = s->cap ? s->cap * 2 : 32;
        s->items = mem_grow(s->items, s->cap, sizeof *s->items);
    }
    struct series *x = &s->items[s->count++];
    *x = (struct series){.sketch = sketch};
    snprintf(x->name, sizeof x->name, "%s", name);
    return x;
}

static int64_t clamp(double v)
{
    return v >= 9.2e18 ? INT64_MAX : v <= -9.2e18 ? INT64_MIN : (int64_t)v;
}

static void compute_limits(struct series *x)
{
    int64_t n = sketch_count(x->sketch);
    if (x->judged_at && n - x->judged_at < x->judged_at / GROWN_BY)
        return;
    x->judged_at = n;
    int64_t median = sketch_quantile(x->sketch, 0.5);
    if (sketch_is_positive(x->sketch)) {
        double ratio = fmax(sketch_ratio(x->sketch, median), LEAST_RATIO);
        double factor = exp(DEVIATIONS * MAD_TO_SIGMA * ratio);
        x->least = clamp(floor((double)median / factor));
        x->low = 0;
        x->high = clamp(ceil((double)median * factor));
    } else {
        x->least = INT64_MIN;
        double least = fmax(1, fabs((double)median) * LEAST_RATIO);
        double mad = fmax((double)sketch_distance(x->sketch, median), least);
        x->low = clamp((double)median - DEVIATIONS * MAD_TO_SIGMA * mad);
        x->high = clamp((double)median + DEVIATIONS * MAD_TO_SIGMA * mad);
    }
}

/* ---- checking ---- */

static bool is_watched(const struct policy_field *f)
{
    return field_is_number(f->type) && !f->any_size;
}

static struct series *series_of(struct stats *s, const struct parsed *p,
                                const struct policy_field *f, const struct value *v)
{
    char name[NAME_MOST];
    snprintf(name, sizeof name, "%.*s.%.*s%s%.*s", STR_ARG(p->category->id), STR_ARG(f->name),
             v->currency.n ? "." : "", STR_ARG(v->currency));
    struct series *x = find(s, name);
    return x || s->count >= SERIES_MOST ? x : add(s, name, sketch_new());
}

static void check_number(struct stats *s, const struct parsed *p, size_t i, bool count,
                         struct findings *out)
{
    const struct policy_field *f = &p->category->fields[i];
    const struct value *v = &p->values[i];
    struct series *x = series_of(s, p, f, v);
    if (!x)
        return;
    if (sketch_count(x->sketch) >= ENOUGH) {
        compute_limits(x);
        bool small = v->number > 0 && v->number < x->least;
        if (small || v->number < x->low || v->number > x->high) {
            struct finding *found = finding_add(out, FINDING_OUTLIER, f->name, (struct str){0});
            check_slipped(p, f, x->least > x->low ? x->least : x->low, x->high, out->arena,
                          &found->proposal);
        }
    }
    if (count) {
        sketch_add(x->sketch, v->number);
        x->changed = true;
    }
}

void stats_check(struct stats *s, const struct parsed *p, bool count, struct findings *out)
{
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < p->category->field_count; i++)
        if (p->present[i] && is_watched(&p->category->fields[i]))
            check_number(s, p, i, count, out);
    pthread_mutex_unlock(&s->lock);
}

/* ---- keeping ---- */

static int load(struct stats *s, struct db *lov, struct err *err)
{
    static const char sql[] = "select name, counts from sketch";
    struct db_stmt *q = db_use(lov, sql);
    int rc;
    while ((rc = db_step(q, err)) == 1) {
        struct sketch *sketch = sketch_read(db_blob(q, 1));
        if (!sketch) {
            db_done(q);
            return err_set(err, LOV_ECORRUPT, "a row of statistics is damaged");
        }
        char name[NAME_MOST];
        snprintf(name, sizeof name, "%.*s", STR_ARG(db_text(q, 0)));
        struct series *x = find(s, name);
        if (x) { /* of another shard */
            sketch_merge(x->sketch, sketch);
            sketch_free(sketch);
        } else {
            add(s, name, sketch);
        }
    }
    return rc;
}

int stats_open(struct db *lov, struct stats **out, struct err *err)
{
    struct stats *s = mem_zero(sizeof *s);
    pthread_mutex_init(&s->lock, NULL);
    int rc = load(s, lov, err);
    if (rc)
        stats_close(s);
    else
        *out = s;
    return rc;
}

void stats_close(struct stats *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->count; i++)
        sketch_free(s->items[i].sketch);
    pthread_mutex_destroy(&s->lock);
    free(s->items);
    free(s);
}

static int save_one(struct series *x, struct db *lov, uint32_t shard, int64_t now, struct err *err)
{
    static const char sql[] = "insert into sketch (shard, name, counts, at) values "
                              "($1, $2, $3, $4) on conflict (shard, name) do update set "
                              "counts = excluded.counts, at = excluded.at";
    _cleanup_buf struct buf bytes = {0};
    sketch_write(x->sketch, &bytes);
    struct db_stmt *q = db_use(lov, sql);
    db_bind_int(q, 1, shard);
    db_bind_text(q, 2, str_of(x->name));
    db_bind_blob(q, 3, buf_view(&bytes));
    db_bind_int(q, 4, now);
    x->changed = false;
    return db_run(q, err);
}

int stats_save(struct stats *s, struct db *lov, uint32_t shard, int64_t now, struct err *err)
{
    int rc = 0;
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; rc == 0 && i < s->count; i++)
        if (s->items[i].changed)
            rc = save_one(&s->items[i], lov, shard, now, err);
    pthread_mutex_unlock(&s->lock);
    return rc;
}
