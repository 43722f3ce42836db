/* import_recorded.c - which rows of a file a bulk has recorded, from the notes that it left in the
 * store: "import.<digest of the file>.<last row>", "<first row>:<rows that are not recorded>". */
#include <stdlib.h>

#include "cli/import.h"
#include "consent/bulk.h"

static void prefix_of(const struct sha256 *file, struct buf *out)
{
    buf_cstr(out, "import.");
    hex_encode(file->b, sizeof file->b, out);
    buf_char(out, '.');
}

void recorded_note(const struct sha256 *file, int64_t first, int64_t last, struct buf *name,
                   struct buf *value)
{
    prefix_of(file, name);
    buf_printf(name, "%015lld", (long long)last);
    buf_printf(value, "%lld:", (long long)first);
}

void recorded_note_not(struct buf *value, int64_t row)
{
    if (value->p[value->n - 1] != ':')
        buf_char(value, ',');
    buf_int(value, row);
}

static int damaged(struct err *err)
{
    return err_set(err, LOV_ECORRUPT, "the store says nothing readable of what was imported");
}

struct reading {
    struct recorded *r;
    size_t prefix;
    struct err *err;
};

static bool add_row(struct recorded *r, struct str text, const struct import_range *range)
{
    int64_t row;
    if (!str_to_int(text, range->first, range->last, &row))
        return false;
    if ((r->not_count & (r->not_count - 1)) == 0)
        r->not = mem_grow(r->not, r->not_count ? r->not_count * 2 : 1, sizeof *r->not );
    r->not [r->not_count++] = row;
    return true;
}

static int take_note(void *ctx, struct str name, struct str value)
{
    struct reading *reading = ctx;
    struct recorded *r = reading->r;
    struct import_range range;
    struct str last = {name.p + reading->prefix, name.n - reading->prefix};
    if (!str_to_int(last, 1, INT64_MAX, &range.last) ||
        !str_to_int(str_cut(&value, ':'), 1, range.last, &range.first))
        return damaged(reading->err);
    r->ranges = mem_grow(r->ranges, r->range_count + 1, sizeof *r->ranges);
    r->ranges[r->range_count++] = range;
    while (value.n)
        if (!add_row(r, str_cut(&value, ','), &range))
            return damaged(reading->err);
    return 0;
}

int recorded_load(struct recorded *r, struct db *lov, const struct sha256 *file, struct err *err)
{
    _cleanup_buf struct buf prefix = {0};
    prefix_of(file, &prefix);
    struct reading reading = {r, prefix.n, err};
    return bulk_notes(lov, buf_view(&prefix), take_note, &reading, err);
}

static int by_row(const void *row, const void *element)
{
    int64_t a = *(const int64_t *)row, b = *(const int64_t *)element;
    return (a > b) - (a < b);
}

static int by_range(const void *row, const void *element)
{
    int64_t a = *(const int64_t *)row;
    const struct import_range *b = element;
    return (a > b->last) - (a < b->first);
}

bool recorded_has(const struct recorded *r, int64_t row)
{
    return r->range_count &&
           bsearch(&row, r->ranges, r->range_count, sizeof *r->ranges, by_range) &&
           !(r->not_count && bsearch(&row, r->not, r->not_count, sizeof *r->not, by_row));
}

void recorded_free(struct recorded *r)
{
    free(r->ranges);
    free(r->not );
}
