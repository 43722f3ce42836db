/* lookup.c - joins: the value of a row's column in another file, found by its key. The file is read
 * once into pairs that are sorted, and bounded by the memory that it takes. */
#include <stdlib.h>
#include <string.h>

#include "cli/import.h"

struct pair {
    struct str key, value;
    size_t order;
};

struct lookup {
    struct arena arena;
    struct pair *pairs;
    size_t count, cap;
};

static int by_key(const void *a, const void *b)
{
    const struct pair *x = a, *y = b;
    int order = str_cmp(x->key, y->key);
    return order ? order : (x->order > y->order) - (x->order < y->order);
}

static int find_column(const char *name, const struct str *header, size_t width, size_t *out,
                       struct err *err)
{
    for (size_t i = 0; name && i < width; i++) {
        if (str_is(str_trim(header[i]), name)) {
            *out = i;
            return 0;
        }
    }
    if (!name)
        return 0;
    return err_reason(err, LOV_EINVAL, "invalid_mapping",
                      "the file that is looked up in has no "
                      "column \"%s\"",
                      name);
}

struct places {
    size_t key, value, only, width;
};

static int find_places(struct csv *r, struct arena *arena, const char *const names[3],
                       struct places *out, struct err *err)
{
    struct str *header;
    int64_t line;
    int rc = csv_next(r, arena, &header, &out->width, &line, err);
    if (rc == 0)
        rc = err_reason(err, LOV_EINVAL, "invalid_file", "the file has no header");
    if (rc < 0)
        return rc;
    size_t *const places[] = {&out->key, &out->value, &out->only};
    rc = 0;
    for (int i = 0; i < 3 && rc == 0; i++)
        rc = find_column(names[i], header, out->width, places[i], err);
    return rc;
}

static void add_pair(struct lookup *l, struct str key, struct str value)
{
    if (l->count == l->cap) {
        l->cap = l->cap ? 2 * l->cap : 256;
        l->pairs = mem_grow(l->pairs, l->cap, sizeof *l->pairs);
    }
    l->pairs[l->count] = (struct pair){arena_str(&l->arena, str_trim(key)),
                                       arena_str(&l->arena, str_trim(value)), l->count};
    l->count++;
}

static int read_pairs(struct lookup *l, struct csv *r, const struct places *at, const char *is,
                      struct err *err)
{
    struct str *cells;
    size_t count;
    int64_t line;
    int rc;
    do {
        _cleanup_arena struct arena arena = {0};
        rc = csv_next(r, &arena, &cells, &count, &line, err);
        if (rc == 1 && count != at->width)
            rc = err_reason(err, LOV_EINVAL, "malformed_row",
                            "line %lld of the file that is looked up in has %zu columns, not %zu",
                            (long long)line, count, at->width);
        if (rc == 1 && (!is || str_is(str_trim(cells[at->only]), is)))
            add_pair(l, cells[at->key], cells[at->value]);
    } while (rc == 1);
    return rc;
}

int lookup_load(struct str text, const char *key, const char *value, const char *only,
                const char *is, struct lookup **out, struct err *err)
{
    struct lookup *l = mem_zero(sizeof *l);
    struct csv r;
    struct places at = {0};
    _cleanup_arena struct arena arena = {0};
    const char *const names[] = {key, value, only};
    csv_start(&r, text, ',');
    int rc = find_places(&r, &arena, names, &at, err);
    if (rc == 0)
        rc = read_pairs(l, &r, &at, is, err);
    if (rc) {
        lookup_free(l);
        return rc;
    }
    if (l->count)
        qsort(l->pairs, l->count, sizeof *l->pairs, by_key);
    *out = l;
    return 0;
}

void lookup_free(struct lookup *l)
{
    if (!l)
        return;
    arena_free(&l->arena);
    free(l->pairs);
    free(l);
}

bool lookup_find(const struct lookup *l, struct str key, struct str *out)
{
    size_t low = 0, high = l->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (str_cmp(l->pairs[middle].key, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == l->count || !str_eq(l->pairs[low].key, key))
        return false;
    *out = l->pairs[low].value;
    return true;
}
