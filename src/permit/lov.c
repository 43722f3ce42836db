/* lov.c - the public calls. A decision reads the policy's epoch and the table's generation before
 * and after (the latter in permit_find), and starts again when one moved: its answer was true at
 * one instant in between. What is rare (another policy, another file) happens in one place under a
 * lock; else nothing is written and nothing waited for. */
#include <pthread.h>
#include <stdlib.h>

#include "permit/mapping.h"

enum { BATCH = 32, TRIES = 64, LOOK_AGAIN_MS = 100, LONGEST_ID = 128, LONGEST_NAME = 128 };

struct lov {
    char *path;
    uint64_t boot;
    _Atomic(struct mapping *) mapping;
    pthread_mutex_t lock;      /* who replaces mapping or policy */
    _Atomic int64_t looked_at; /* ticks: when the path was last looked at for a new file */
};

int lov_open(const char *path, struct lov **out, char *error, size_t size)
{
    struct mapping *m;
    if (!path || !out)
        return LOV_EINVAL;
    int rc = mapping_open(path, &m, error, size);
    if (rc)
        return rc;
    struct lov *lov = calloc(1, sizeof *lov);
    char *copy = strdup(path);
    if (!lov || !copy) {
        free(lov);
        free(copy);
        mapping_close(m);
        return LOV_EIO;
    }
    lov->path = copy;
    lov->boot = permit_boot();
    pthread_mutex_init(&lov->lock, NULL);
    atomic_store_explicit(&lov->mapping, m, memory_order_release);
    *out = lov;
    return 0;
}

void lov_close(struct lov *lov)
{
    if (!lov)
        return;
    mapping_close(atomic_load_explicit(&lov->mapping, memory_order_acquire));
    pthread_mutex_destroy(&lov->lock);
    free(lov->path);
    free(lov);
}

/* ---- the file and the policy as they are now ---- */

static bool is_alive(const struct lov *lov, const struct mapping *m)
{
    const struct permit_header *h = m->map.header;
    if (atomic_load_explicit(&h->state, memory_order_acquire) != PERMIT_LIVE)
        return false;
    int64_t silence = permit_ticks() - (int64_t)word_get(&h->heartbeat);
    return lov->boot != 0 && word_get(&h->boot) == lov->boot && silence > -PERMIT_DEAD_MS &&
           silence < PERMIT_DEAD_MS && !atomic_load_explicit(&m->broken, memory_order_acquire);
}

/* The server may have made the file anew. Looked for now and then only, by one thread. */
static struct mapping *look_for_another(struct lov *lov, struct mapping *m)
{
    int64_t now = permit_ticks();
    int64_t last = atomic_load_explicit(&lov->looked_at, memory_order_relaxed);
    if (now - last < LOOK_AGAIN_MS || !atomic_compare_exchange_strong(&lov->looked_at, &last, now))
        return m;
    pthread_mutex_lock(&lov->lock);
    struct mapping *fresh = NULL, *current = atomic_load(&lov->mapping);
    if (current == m &&
        (mapping_is_replaced(m, lov->path) ||
         atomic_load_explicit(&m->broken, memory_order_acquire)) &&
        mapping_open(lov->path, &fresh, NULL, 0) == 0) {
        fresh->older = m;
        atomic_store_explicit(&lov->mapping, fresh, memory_order_release);
        current = fresh;
    }
    pthread_mutex_unlock(&lov->lock);
    return current;
}

static struct mapping *live_mapping(struct lov *lov)
{
    struct mapping *m = atomic_load_explicit(&lov->mapping, memory_order_acquire);
    if (is_alive(lov, m))
        return m;
    m = look_for_another(lov, m);
    return is_alive(lov, m) ? m : NULL;
}

static const struct reading_policy *policy_of(struct lov *lov, struct mapping *m)
{
    struct reading_policy *p = atomic_load_explicit(&m->policy, memory_order_acquire);
    if (p && p->epoch == atomic_load_explicit(&m->map.header->epoch, memory_order_acquire))
        return p;
    pthread_mutex_lock(&lov->lock);
    p = atomic_load_explicit(&m->policy, memory_order_acquire);
    if (!p || p->epoch != atomic_load_explicit(&m->map.header->epoch, memory_order_acquire))
        p = mapping_read_policy(m);
    pthread_mutex_unlock(&lov->lock);
    return p;
}

static bool clock_is_sane(const struct mapping *m, int64_t now)
{
    return now + PERMIT_CLOCK_BACK_MS >=
           atomic_load_explicit(&m->map.header->latest, memory_order_relaxed);
}

/* What many decisions share: taken before them, checked after them. */
struct view {
    struct mapping *m;
    const struct reading_policy *policy;
    const struct image *image;
    const struct image_use *use;
    enum lov_reason reason; /* LOV_PERMITTED: the consumer decides */
    int64_t at;
};

struct asking {
    struct str recipient, purpose, category;
    int64_t at;
};

static void take_view(struct lov *lov, const struct asking *a, struct view *v)
{
    int64_t now = permit_now();
    *v = (struct view){.reason = LOV_UNAVAILABLE, .at = a->at ? a->at : now};
    v->m = live_mapping(lov);
    if (!v->m || !clock_is_sane(v->m, now))
        return;
    v->policy = policy_of(lov, v->m);
    if (!v->policy || !v->policy->image)
        return;
    v->image = v->policy->image;
    v->reason = permit_policy(v->image, a->recipient, a->purpose, a->category, v->at, &v->use);
}

static bool still_holds(const struct view *v)
{
    if (!v->m || !v->policy)
        return true;
    /* The reads of the table come before these. */
    atomic_thread_fence(memory_order_acquire);
    const struct permit_header *h = v->m->map.header;
    return word_get(&h->epoch) == v->policy->epoch && word_get(&h->state) == PERMIT_LIVE &&
           !atomic_load_explicit(&v->m->broken, memory_order_acquire);
}

/* ---- deciding ---- */

static struct str text(const char *s, size_t most)
{
    return s ? (struct str){s, strnlen(s, most + 1)} : (struct str){"", 0};
}

static void decide_one(const struct view *v, const struct hash128 *lookup, struct lov_decision *out)
{
    struct permit_answer answer;
    if (v->reason != LOV_PERMITTED) {
        *out = permit_denied(v->reason, v->image, v->at);
        return;
    }
    enum permit_found found = permit_find(&v->m->map, lookup, v->use->key, &answer);
    if (found == PERMIT_BUSY) {
        *out = permit_denied(LOV_UNAVAILABLE, v->image, v->at);
        return;
    }
    permit_judge(&v->m->map, v->image, v->use, found == PERMIT_SOMEBODY ? &answer : NULL, v->at,
                 out);
}

/* The keyed hash of the id; memory is on its way before the whole of it is there. */
static struct hash128 lookup_in(const struct mapping *m, struct str consumer)
{
    struct siphash state;
    struct hash128 out;
    uint64_t half[2];
    half[0] = siphash128_first(&state, m->map.header->fixed.lookup_key, consumer.p, consumer.n);
    permit_prefetch(&m->map, (uint32_t)half[0]);
    half[1] = siphash128_second(&state);
    memcpy(out.b, half, sizeof out.b);
    return out;
}

static struct asking asking_of(const char *recipient, const char *purpose, const char *category,
                               int64_t at)
{
    return (struct asking){text(recipient, LONGEST_NAME), text(purpose, LONGEST_NAME),
                           text(category, LONGEST_NAME), at};
}

int lov_decide(struct lov *lov, const char *recipient, const char *purpose, const char *category,
               const char *consumer, int64_t at, struct lov_decision *out)
{
    struct lov_decision own;
    if (!out)
        out = &own;
    struct str id = text(consumer, LONGEST_ID);
    bool holds = false;
    for (int i = 0; lov && i < TRIES && !holds; i++) {
        struct view v;
        /* First of all, so that memory comes while the rest is looked at. */
        struct mapping *m = atomic_load_explicit(&lov->mapping, memory_order_acquire);
        struct hash128 lookup = lookup_in(m, id);
        struct asking asking = asking_of(recipient, purpose, category, at);
        take_view(lov, &asking, &v);
        if (v.m && v.m != m)
            lookup = lookup_in(v.m, id);
        decide_one(&v, &lookup, out);
        holds = still_holds(&v);
    }
    if (!holds)
        *out = permit_denied(LOV_UNAVAILABLE, NULL, at);
    return out->permit;
}

/* One batch under one view: first every line is asked for, then each is read. */
static size_t decide_batch(const struct view *v, const char *const *consumers, size_t count,
                           struct lov_decision *out)
{
    struct hash128 lookup[BATCH];
    size_t permits = 0;
    for (size_t i = 0; v->reason == LOV_PERMITTED && i < count; i++)
        lookup[i] = lookup_in(v->m, text(consumers[i], LONGEST_ID));
    for (size_t i = 0; i < count; i++) {
        decide_one(v, &lookup[i], &out[i]);
        permits += (size_t)out[i].permit;
    }
    return permits;
}

size_t lov_decide_many(struct lov *lov, const char *recipient, const char *purpose,
                       const char *category, const char *const *consumers, size_t count, int64_t at,
                       struct lov_decision *out)
{
    struct asking asking = asking_of(recipient, purpose, category, at);
    size_t permits = 0;
    if (!out || (count && !consumers))
        return 0;
    for (size_t from = 0; from < count; from += BATCH) {
        size_t n = count - from < BATCH ? count - from : BATCH, won = 0;
        bool holds = false;
        for (int i = 0; lov && i < TRIES && !holds; i++) {
            struct view v;
            take_view(lov, &asking, &v);
            won = decide_batch(&v, consumers + from, n, out + from);
            holds = still_holds(&v);
        }
        for (size_t i = 0; i < n && !holds; i++)
            out[from + i] = permit_denied(LOV_UNAVAILABLE, NULL, at);
        permits += holds ? won : 0;
    }
    return permits;
}

/* ---- explaining ---- */

struct writing {
    char *out;
    size_t size, n;
};

static void add(struct writing *w, const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++, w->n++)
        if (w->n + 1 < w->size)
            w->out[w->n] = p[i];
}

static void add_text(struct writing *w, const char *text)
{
    add(w, text, strlen(text));
}

static void add_number(struct writing *w, int64_t v)
{
    char digits[24];
    int i = sizeof digits;
    uint64_t left = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    do
        digits[--i] = (char)('0' + left % 10);
    while (left /= 10);
    if (v < 0)
        digits[--i] = '-';
    add(w, digits + i, sizeof digits - (size_t)i);
}

/* Names and sentences of ours: nothing in them needs escaping but what image.c would refuse. */
static void add_member(struct writing *w, const char *name, const char *p, size_t n)
{
    add_text(w, ",\"");
    add_text(w, name);
    add_text(w, "\":");
    if (!p) {
        add_text(w, "null");
        return;
    }
    add_text(w, "\"");
    for (size_t i = 0; i < n; i++) {
        char c = p[i];
        if (c == '"' || c == '\\')
            add(w, "\\", 1);
        if ((unsigned char)c >= ' ')
            add(w, &c, 1);
    }
    add_text(w, "\"");
}

static void add_image_member(struct writing *w, const char *name, const struct image *image,
                             const struct image_text *t)
{
    const char *p = t ? (const char *)image + image->strings.offset + t->offset : NULL;
    add_member(w, name, p, t ? t->length : 0);
}

/* Numbers of a decision made under another version mean nothing now. */
static void add_policy(struct writing *w, const struct image *image, const struct lov_decision *d)
{
    const struct image_activity *a = NULL;
    const struct image_law *law = NULL;
    const struct image_text *basis = NULL;
    if (image && (int32_t)image->version == d->policy_version) {
        if (d->activity >= 0 && (uint32_t)d->activity < image->activities.count)
            a = IMAGE_AT(image, activities, struct image_activity) + d->activity;
        if (d->law >= 0 && (uint32_t)d->law < image->laws.count)
            law = IMAGE_AT(image, laws, struct image_law) + d->law;
        if (d->basis > 0 && d->basis < IMAGE_BASES)
            basis = &image->basis_names[d->basis];
    }
    add_image_member(w, "basis", image, basis);
    add_image_member(w, "law", image, law ? &law->id : NULL);
    add_image_member(w, "activity", image, a ? &a->id : NULL);
    if (a && d->permit == 1) {
        add_text(w, ",\"obligations\":");
        add(w, (const char *)image + image->strings.offset + a->obligations.offset,
            a->obligations.length);
    }
}

size_t lov_explain(struct lov *lov, const struct lov_decision *d, char *out, size_t size)
{
    struct writing w = {out, out ? size : 0, 0};
    const struct reading_policy *policy = NULL;
    if (!d)
        return 0;
    struct mapping *m = lov ? atomic_load_explicit(&lov->mapping, memory_order_acquire) : NULL;
    if (m)
        policy = policy_of(lov, m);
    const char *name = lov_reason_name(d->reason), *sentence = lov_reason_text(d->reason);
    add_text(&w, d->permit == 1 ? "{\"permit\":true" : "{\"permit\":false");
    add_member(&w, "reason", name, name ? strlen(name) : 0);
    add_member(&w, "reason_text", sentence, sentence ? strlen(sentence) : 0);
    add_policy(&w, policy ? policy->image : NULL, d);
    add_text(&w, ",\"consent\":");
    if (d->consent < 0)
        add_text(&w, "null");
    else
        add_number(&w, d->consent);
    add_text(&w, ",\"policy_version\":");
    add_number(&w, d->policy_version);
    add_text(&w, "}");
    if (w.size)
        w.out[w.n < w.size ? w.n : w.size - 1] = '\0';
    return w.n;
}

const char *lov_version(void)
{
    return LOV_VERSION;
}
