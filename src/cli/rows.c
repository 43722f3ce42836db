/* rows.c - rows of either format as values of the mapping's columns. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "cli/import.h"

/* ---- CSV ---- */

static int find_column(const char *name, const struct str *header, size_t width, size_t *out,
                       struct err *err)
{
    int64_t number;
    if (!header) {
        if (!str_to_int(str_of(name), 1, COLUMN_MAX, &number))
            return err_reason(err, LOV_EINVAL, "invalid_mapping",
                              "column %s: without a header, columns are numbers from 1", name);
        *out = (size_t)number - 1;
        return 0;
    }
    size_t found = 0;
    for (size_t i = 0; i < width; i++) {
        if (!str_is(str_trim(header[i]), name))
            continue;
        *out = i;
        found++;
    }
    if (found == 1)
        return 0;
    return err_reason(err, LOV_EINVAL, "invalid_mapping", "the file has %s column \"%s\"",
                      found ? "more than one" : "no", name);
}

static int open_csv(struct rows *r, struct err *err)
{
    struct str *header = NULL;
    size_t width = 0;
    int64_t line;
    size_t count = mapping_columns(r->mapping);
    if (mapping_has_header(r->mapping)) {
        int rc = csv_next(&r->csv, &r->arena, &header, &width, &line, err);
        if (rc == 0)
            rc = err_reason(err, LOV_EINVAL, "invalid_file", "the file has no header");
        if (rc < 0)
            return rc;
        r->width = width;
    }
    r->places = arena_array(&r->arena, count, sizeof *r->places);
    for (size_t i = 0; i < count; i++) {
        int rc = find_column(mapping_column(r->mapping, i), header, width, &r->places[i], err);
        if (rc)
            return rc;
    }
    return 0;
}

static int next_csv(struct rows *r, struct arena *arena, struct str *values,
                    struct import_item *item)
{
    struct str *cells;
    size_t count = 0;
    int rc = csv_next(&r->csv, arena, &cells, &count, &item->line, &item->err);
    if (rc <= 0)
        return rc == 0 ? 0 : 1;
    if (!r->width)
        r->width = count;
    if (count != r->width) {
        err_reason(&item->err, LOV_EINVAL, "malformed_row", "the row has %zu columns and not %zu",
                   count, r->width);
        return 1;
    }
    for (size_t i = 0; i < mapping_columns(r->mapping); i++)
        if (r->places[i] < count)
            values[i] = cells[r->places[i]];
    return 1;
}

/* ---- JSON Lines ---- */

/* "notice.id" is the member id of the member notice. */
static const json_t *member_at(const json_t *object, const char *path)
{
    const char *dot;
    char name[160];
    while (object && (dot = strchr(path, '.'))) {
        snprintf(name, sizeof name, "%.*s", (int)(dot - path), path);
        object = json_object_get(object, name);
        path = dot + 1;
    }
    return json_object_get(object, path);
}

static struct str text_of(const json_t *value, struct arena *arena)
{
    _cleanup_buf struct buf out = {0};
    size_t i;
    json_t *item;
    if (!value || json_is_null(value))
        return (struct str){0};
    if (json_is_string(value)) {
        buf_str(&out, json_text(value));
    } else if (json_is_array(value)) {
        json_array_foreach(value, i, item) {
            if (i)
                buf_char(&out, ',');
            if (json_is_string(item))
                buf_str(&out, json_text(item));
        }
    } else {
        json_canonical(value, &out);
    }
    return arena_str(arena, buf_view(&out));
}

static int next_json(struct rows *r, struct arena *arena, struct str *values,
                     struct import_item *item)
{
    struct csv *at = &r->csv;
    struct str line;
    do {
        if (at->at == at->text.n)
            return 0;
        struct str rest = {at->text.p + at->at, at->text.n - at->at};
        size_t before = rest.n;
        line = str_cut(&rest, '\n');
        at->at += before - rest.n;
        item->line = at->line++;
        line = str_trim(line);
    } while (!line.n);
    _cleanup_json json_t *json = NULL;
    if (line.n > ROW_MAX) {
        err_reason(&item->err, LOV_EINVAL, "malformed_row", "the row is longer than 1 MiB");
        return 1;
    }
    if (json_read(line, &json, &item->err))
        return 1;
    if (!json_is_object(json)) {
        err_reason(&item->err, LOV_EINVAL, "malformed_row", "the row is not a JSON object");
        return 1;
    }
    for (size_t i = 0; i < mapping_columns(r->mapping); i++)
        values[i] = text_of(member_at(json, mapping_column(r->mapping, i)), arena);
    return 1;
}

/* ---- both ---- */

int rows_open(struct rows *r, const struct mapping *m, struct str text, struct err *err)
{
    *r = (struct rows){.mapping = m};
    csv_start(&r->csv, text, mapping_delimiter(m));
    r->csv.blanks = mapping_is_columns(m);
    int rc = mapping_is_csv(m) ? open_csv(r, err) : 0;
    if (rc)
        rows_close(r);
    return rc;
}

void rows_close(struct rows *r)
{
    arena_free(&r->arena);
}

int rows_next(struct rows *r, struct arena *arena, struct import_item *item)
{
    *item = (struct import_item){.keep = r->keep};
    size_t count = mapping_columns(r->mapping);
    struct str *values = arena_array(arena, count ? count : 1, sizeof *values);
    int rc = mapping_is_csv(r->mapping) ? next_csv(r, arena, values, item)
                                        : next_json(r, arena, values, item);
    if (rc == 0)
        return 0;
    item->row = ++r->row;
    if (!item->err.code)
        mapping_apply(r->mapping, values, arena, item);
    return 1;
}
