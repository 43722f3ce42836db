/* sketch.c - see sketch.h. Bin i of the positive values holds those above bound(i - 1) and up to
 * bound(i), where bounds grow by 2 %, and by 1 at least as long as that is more. The negative ones
 * mirror them. */
#include "vault/sketch.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/err.h"

enum { FORMAT = 1, BINS_MOST = 2200, SIDES = 2, VARINT_MOST = 10 };

struct sketch {
    int64_t count, zeros;
    int64_t bins[SIDES][BINS_MOST]; /* positive, negative */
};

/* ---- bounds ---- */

static int64_t bounds[BINS_MOST];
static size_t bound_count;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void make_bounds(void)
{
    int64_t bound = 1;
    for (bound_count = 0; bound < INT64_MAX; bound_count++) {
        if (bound_count == BINS_MOST)
            bug("more bounds than bins");
        bounds[bound_count] = bound;
        int64_t step = bound / 50 + (bound < 50);
        bound = bound > INT64_MAX - step ? INT64_MAX : bound + step;
    }
    bounds[bound_count++] = INT64_MAX;
}

static size_t bin_of(int64_t magnitude)
{
    size_t low = 0, high = bound_count - 1;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (bounds[middle] < magnitude)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The middle of a bin. */
static int64_t value_of(size_t bin, int side)
{
    int64_t below = bin ? bounds[bin - 1] + 1 : 1;
    int64_t value = below + (bounds[bin] - below) / 2;
    return side ? -value : value;
}

/* INT64_MIN has no magnitude of its own. */
static int64_t magnitude_of(int64_t value)
{
    return value >= 0 ? value : value == INT64_MIN ? INT64_MAX : -value;
}

static int64_t *place_of(struct sketch *s, int64_t value)
{
    return value ? &s->bins[value < 0][bin_of(magnitude_of(value))] : &s->zeros;
}

/* ---- counting ---- */

struct sketch *sketch_new(void)
{
    pthread_once(&once, make_bounds);
    return mem_zero(sizeof(struct sketch));
}

void sketch_free(struct sketch *s)
{
    free(s);
}

void sketch_add(struct sketch *s, int64_t value)
{
    ++*place_of(s, value);
    s->count++;
}

void sketch_remove(struct sketch *s, int64_t value)
{
    int64_t *place = place_of(s, value);
    if (*place == 0)
        return;
    --*place;
    s->count--;
}

void sketch_merge(struct sketch *into, const struct sketch *from)
{
    into->count += from->count;
    into->zeros += from->zeros;
    for (int side = 0; side < SIDES; side++)
        for (size_t i = 0; i < bound_count; i++)
            into->bins[side][i] += from->bins[side][i];
}

int64_t sketch_count(const struct sketch *s)
{
    return s->count;
}

/* ---- reading off ---- */

int64_t sketch_quantile(const struct sketch *s, double q)
{
    if (s->count == 0)
        return 0;
    int64_t rank = (int64_t)((double)(s->count - 1) * q), seen = 0;
    for (size_t i = bound_count; i-- > 0;) {
        seen += s->bins[1][i];
        if (seen > rank)
            return value_of(i, 1);
    }
    seen += s->zeros;
    if (seen > rank)
        return 0;
    for (size_t i = 0; i < bound_count; i++) {
        seen += s->bins[0][i];
        if (seen > rank)
            return value_of(i, 0);
    }
    return 0;
}

struct distance {
    double distance; /* exact enough: bins are 2 % wide */
    int64_t count;
};

static int nearer(const void *a, const void *b)
{
    const struct distance *x = a, *y = b;
    return (x->distance > y->distance) - (x->distance < y->distance);
}

static void add_distance(struct distance *all, size_t *n, double distance, int64_t count)
{
    if (count)
        all[(*n)++] = (struct distance){distance < 0 ? -distance : distance, count};
}

static double median_of(struct distance *all, size_t n)
{
    int64_t count = 0, seen = 0;
    for (size_t i = 0; i < n; i++)
        count += all[i].count;
    int64_t rank = (count - 1) / 2;
    qsort(all, n, sizeof *all, nearer);
    for (size_t i = 0; i < n; i++) {
        seen += all[i].count;
        if (seen > rank)
            return all[i].distance;
    }
    return 0;
}

int64_t sketch_distance(const struct sketch *s, int64_t center)
{
    struct distance all[SIDES * BINS_MOST + 1];
    size_t n = 0;
    double c = (double)center;
    add_distance(all, &n, c, s->zeros);
    for (int side = 0; side < SIDES; side++)
        for (size_t i = 0; i < bound_count; i++)
            add_distance(all, &n, (double)value_of(i, side) - c, s->bins[side][i]);
    double median = median_of(all, n);
    return median < 9.2e18 ? (int64_t)median : INT64_MAX;
}

bool sketch_is_positive(const struct sketch *s)
{
    int64_t positive = 0;
    for (size_t i = 0; i < bound_count; i++)
        positive += s->bins[0][i];
    return (s->count - positive) * 20 <= s->count;
}

double sketch_ratio(const struct sketch *s, int64_t center)
{
    struct distance all[BINS_MOST];
    size_t n = 0;
    for (size_t i = 0; i < bound_count; i++)
        add_distance(all, &n, log((double)value_of(i, 0) / (double)center), s->bins[0][i]);
    return median_of(all, n);
}

/* ---- bytes: format, zeros, then for each side the number of bins and (gap, count) of each ---- */

static void put_number(uint64_t n, struct buf *out)
{
    for (; n >= 0x80; n >>= 7)
        buf_char(out, (char)(n | 0x80));
    buf_char(out, (char)n);
}

static bool take_number(struct str *s, int64_t *out)
{
    uint64_t n = 0;
    for (int i = 0; i < VARINT_MOST && s->n; i++) {
        unsigned char c = (unsigned char)*s->p++;
        s->n--;
        n |= (uint64_t)(c & 0x7F) << (7 * i);
        if (c & 0x80)
            continue;
        *out = (int64_t)n;
        /* Bounded, so that sums of all bins cannot overflow; and shortest, so that there is one
         * form. */
        return n <= INT64_MAX / (SIDES * BINS_MOST + 1) && (c != 0 || i == 0);
    }
    return false;
}

void sketch_write(const struct sketch *s, struct buf *out)
{
    buf_char(out, FORMAT);
    put_number((uint64_t)s->zeros, out);
    for (int side = 0; side < SIDES; side++) {
        uint64_t used = 0;
        for (size_t i = 0; i < bound_count; i++)
            used += s->bins[side][i] != 0;
        put_number(used, out);
        size_t next = 0;
        for (size_t i = 0; i < bound_count; i++) {
            if (s->bins[side][i] == 0)
                continue;
            put_number(i - next, out);
            put_number((uint64_t)s->bins[side][i], out);
            next = i + 1;
        }
    }
}

static bool read_side(struct sketch *s, int side, struct str *bytes)
{
    int64_t used, gap, count;
    size_t next = 0;
    if (!take_number(bytes, &used))
        return false;
    for (; used > 0; used--) {
        if (!take_number(bytes, &gap) || !take_number(bytes, &count) || count == 0 ||
            (uint64_t)gap >= bound_count - next)
            return false;
        next += (size_t)gap;
        s->bins[side][next++] = count;
        s->count += count;
    }
    return true;
}

struct sketch *sketch_read(struct str bytes)
{
    struct sketch *s = sketch_new();
    bool ok = bytes.n && *bytes.p == FORMAT;
    if (ok) {
        bytes.p++;
        bytes.n--;
        ok = take_number(&bytes, &s->zeros);
        s->count = s->zeros;
    }
    for (int side = 0; ok && side < SIDES; side++)
        ok = read_side(s, side, &bytes);
    if (ok && bytes.n == 0)
        return s;
    sketch_free(s);
    return NULL;
}
