/*
 * import.h - what the files of lov import share: readers of rows (CSV, JSON Lines), the mapping
 * from a row's columns to members of the API, and how far an import has come. The readers and the
 * mapping know no engine, so that tests and fuzzers call them alone.
 *
 * Files come from elsewhere: a row holds at most ROW_MAX bytes and COLUMN_MAX columns, a mapping
 * MAPPING_MAX bytes.
 */
#ifndef LOV_CLI_IMPORT_H
#define LOV_CLI_IMPORT_H

#include "base/arena.h"
#include "base/hash.h"
#include "cli/cli.h"
#include "cli/rejects.h"
#include "db/db.h"

enum {
    ROW_MAX = 1 << 20,
    COLUMN_MAX = 256,
    MAPPING_MAX = 64 << 10,
    ITEM_MAX = 16000, /* bytes of a row's JSON: a batch of them stays below the API's 8 MiB */
    BATCH_ROWS = 500,
};

/* ---- csv.c: RFC 4180, strictly ---- */

struct csv {
    struct str text;
    size_t at;    /* of the next row */
    int64_t line; /* of the next row, from 1 */
    char delimiter;
    bool blanks; /* cells are what stands between runs of blanks, and none is quoted */
};
/* A byte order mark is skipped. The text must stay. */
void csv_start(struct csv *r, struct str text, char delimiter);
/* 1 and the row's cells (from the arena), 0 at the end, or LOV_EINVAL: the row is malformed, and
 * the next call goes on with the line after the one it began on. Empty lines are passed over. *line
 * is where the row began. */
int csv_next(struct csv *r, struct arena *arena, struct str **cells, size_t *count, int64_t *line,
             struct err *err);

/* ---- mapping.c ---- */

enum import_kind { IMPORT_CONSENTS, IMPORT_CONSUMERS, IMPORT_RECORDS, IMPORT_EXPORT };

struct mapping;
/* `kind` is what the command imports; the file may say so too. */
int mapping_load(struct str yaml, enum import_kind kind, struct mapping **out, struct err *err);
void mapping_free(struct mapping *m);
/* Reads the files that the mapping looks values up in, from `folder`; before the first row. */
int mapping_load_lookups(struct mapping *m, const char *folder, struct err *err);
/* Has it rows of cells (csv, columns), not of JSON? */
bool mapping_is_csv(const struct mapping *m);
bool mapping_is_columns(const struct mapping *m);
char mapping_delimiter(const struct mapping *m);
bool mapping_has_header(const struct mapping *m);
/* The columns that it reads, each once. */
size_t mapping_columns(const struct mapping *m);
const char *mapping_column(const struct mapping *m, size_t i);

struct import_item {
    int64_t row, line; /* the row's number, and the line that it begins on, both from 1 */
    struct str json;   /* what the API is sent; arena */
    bool keep;         /* in: the same as a tree is wanted, too; it is the caller's */
    json_t *tree;
    struct str consumer; /* of IMPORT_CONSUMERS and IMPORT_RECORDS: the id in the path; arena */
    struct str category; /* of IMPORT_RECORDS: in the path; arena */
    struct err err;      /* code 0: accepted so far */
};
/* From the values of the columns (p NULL: there is none) to JSON; what is wrong goes into
 * item->err. */
void mapping_apply(const struct mapping *m, const struct str *values, struct arena *arena,
                   struct import_item *item);

/* ---- rows.c: either format ---- */

struct rows {
    const struct mapping *mapping;
    struct csv csv; /* of JSON Lines: its text, at and line alone */
    int64_t row;    /* rows read */
    size_t *places; /* CSV: where the mapping's columns stand */
    size_t width;   /* CSV: columns of each row, 0: not known yet */
    struct arena arena;
    bool keep; /* trees of items */
};
/* Reads the header where there is one. */
int rows_open(struct rows *r, const struct mapping *m, struct str text, struct err *err);
void rows_close(struct rows *r);
/* 1 and *item, with item->err where the row is refused; 0 at the end. */
int rows_next(struct rows *r, struct arena *arena, struct import_item *item);

/* ---- lookup.c: one column of another file by another ---- */

struct lookup;
/* `only` and `is`, which may be NULL: only rows whose column `only` says so. CSV with a header. A
 * key that comes twice has the first of its values. */
int lookup_load(struct str text, const char *key, const char *value, const char *only,
                const char *is, struct lookup **out, struct err *err);
void lookup_free(struct lookup *l);
/* False when there is none. Borrowed. */
bool lookup_find(const struct lookup *l, struct str key, struct str *out);

/* ---- when.c: times in other notations ---- */

/* "epoch", "epoch_ms", or text with YYYY, MM, DD, hh, mm and ss in it, which is UTC. */
bool when_valid(const char *pattern);
/* The instant; false when `text` is not written so, or is no date. */
bool when_parse(const char *pattern, struct str text, int64_t *out);

/* ---- import.c ---- */

/* An answer that is not the row's fault: the import stops, and may be resumed. */
bool import_is_trouble(int status);
int import_trouble(const json_t *problem, struct err *err);

/* ---- import_state.c ---- */

/* What is durable after each batch, in DIR/import/<digest of the file>.json. */
struct import_state {
    struct buf path, folder;
    struct sha256 mapping;
    int64_t rows, accepted, replayed, rejected, rejects_bytes;
};
int import_state_open(struct import_state *s, const char *dir, const struct sha256 *file,
                      const struct sha256 *mapping, enum import_kind kind, struct err *err);
/* 1: there is one, and it is taken up; 0: none. LOV_ECONFLICT when the mapping is another now. */
int import_state_load(struct import_state *s, struct err *err);
int import_state_save(const struct import_state *s, struct err *err);
/* The import is complete. */
void import_state_remove(const struct import_state *s);
void import_state_close(struct import_state *s);

/* ---- import_recorded.c: rows that a bulk has recorded ---- */

struct import_range {
    int64_t first, last;
};
struct recorded {
    struct import_range *ranges; /* in order */
    int64_t * not ;              /* rows in them that are not recorded, in order */
    size_t range_count, not_count;
};
/* Adds what the store says of the file. */
int recorded_load(struct recorded *r, struct db *lov, const struct sha256 *file, struct err *err);
bool recorded_has(const struct recorded *r, int64_t row);
void recorded_free(struct recorded *r);
/* The note that says so, appended; and its rows that are not recorded, in order. */
void recorded_note(const struct sha256 *file, int64_t first, int64_t last, struct buf *name,
                   struct buf *value);
void recorded_note_not(struct buf *value, int64_t row);

/* ---- import_bulk.c ---- */

struct api;

struct import_run {
    struct api *api;
    struct engine *engine;
    struct str text;
    const struct sha256 *digest; /* of the text */
    struct rows *rows;
    struct import_state *state;
    struct rejects *rejects;
    struct progress *progress;
};
/* All rows of consents that the state does not have, in this process. */
int import_bulk(struct import_run *run, struct err *err);

#endif
