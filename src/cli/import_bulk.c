/* import_bulk.c - consents in bulks, where this process holds the installation.
 *
 * One bulk is read while the one before it is written. Bulks end at rows that the file alone
 * decides, and each leaves a note of its rows with what it writes: so after a crash, at any moment,
 * the store itself says which rows are recorded. The state file may lag behind by a bulk; what it
 * does not know is looked at again and found to be recorded. */
#include <string.h>

#include "api/api.h"
#include "cli/import.h"
#include "consent/bulk.h"

enum { BULK_ROWS = 20000, BULK_BYTES = 16 << 20, ROWS_A_CALL = 500 };

struct row {
    struct import_item item;
    struct engine_write *write; /* NULL: refused before, recorded, or done */
    bool recorded, done;
};

struct load {
    struct import_run *run;
    struct arena arena; /* what the writes need */
    struct row *rows;
    size_t count;
    struct engine_write *writes;
    size_t write_count;
    bool news; /* a row is not recorded yet */
    double part;
    struct engine_bulk bulk;
};

struct loading {
    struct import_run *run;
    struct load loads[2];
    struct arena scratch; /* of a row */
    struct recorded recorded;
    struct buf key; /* of a call of the API that would have sent the row */
    bool keys;      /* some are remembered: an import beside a server may have been before this */
};

/* ---- reading ---- */

static void read_key(struct loading *l, const struct import_item *item, struct api_row *row)
{
    if (!l->keys)
        return;
    int64_t first = (item->row - 1) / ROWS_A_CALL * ROWS_A_CALL + 1;
    buf_clear(&l->key);
    hex_encode(l->run->digest->b, sizeof l->run->digest->b, &l->key);
    buf_printf(&l->key, "-%lld", (long long)first);
    row->key = buf_view(&l->key);
    row->item = (size_t)(item->row - first);
}

static void take_row(struct loading *l, struct load *load, struct row *row)
{
    struct import_item *item = &row->item;
    row->recorded = recorded_has(&l->recorded, item->row);
    row->done = item->row <= l->run->state->rows;
    load->news |= !row->recorded && !row->done;
    if (row->recorded) {
        item->err = (struct err){0};
        return;
    }
    if (row->done || item->err.code)
        return;
    struct api_row from = {.json = item->tree};
    struct engine_write *w = &load->writes[load->write_count];
    read_key(l, item, &from);
    if (api_read_row(l->run->api, &from, &load->arena, w, &item->err))
        return;
    row->write = w;
    load->write_count++;
}

/* False at the end of the file. */
static bool read_load(struct loading *l, struct load *load)
{
    struct rows *rows = l->run->rows;
    size_t start = rows->csv.at;
    arena_free(&load->arena);
    load->rows = arena_array(&load->arena, BULK_ROWS, sizeof *load->rows);
    load->writes = arena_array(&load->arena, BULK_ROWS, sizeof *load->writes);
    load->count = load->write_count = 0;
    load->news = false;
    while (load->count < BULK_ROWS && rows->csv.at - start < BULK_BYTES) {
        struct row *row = &load->rows[load->count];
        if (!rows_next(rows, &l->scratch, &row->item))
            break;
        take_row(l, load, row);
        json_decref(row->item.tree);
        row->item.json = (struct str){0};
        row->item.tree = NULL;
        arena_reset(&l->scratch);
        load->count++;
    }
    load->part = (double)rows->csv.at / (double)l->run->text.n;
    return load->count > 0;
}

/* ---- writing ---- */

static bool is_recorded(const struct row *row)
{
    return row->recorded || (row->write && row->write->job.rc == 0);
}

static void write_note(const struct engine_bulk *b, struct buf *name, struct buf *value)
{
    const struct load *load = b->ctx;
    const struct row *last = &load->rows[load->count - 1];
    recorded_note(load->run->digest, load->rows[0].item.row, last->item.row, name, value);
    for (size_t i = 0; i < load->count; i++)
        if (!is_recorded(&load->rows[i]))
            recorded_note_not(value, load->rows[i].item.row);
}

static void submit_load(struct load *load)
{
    load->bulk = (struct engine_bulk){
        .writes = load->writes,
        .count = load->write_count,
        .note = write_note,
        .ctx = load,
    };
    if (!load->news)
        return;
    engine_bulk_begin(load->run->engine, &load->bulk);
    engine_bulk_submit(&load->bulk);
}

static void count_row(struct import_run *run, struct row *row)
{
    struct import_item *item = &row->item;
    struct import_state *s = run->state;
    if (row->done)
        return;
    if (row->write && row->write->job.rc)
        item->err = row->write->job.err;
    if (item->err.code) {
        s->rejected++;
        rejects_add(run->rejects, item->row, item->line,
                    *item->err.reason ? item->err.reason : "invalid", item->err.text);
    } else {
        s->accepted++;
        s->replayed += row->recorded || row->write->replayed;
    }
}

static int finish_load(struct load *load, struct err *err)
{
    struct import_run *run = load->run;
    int64_t last = load->rows[load->count - 1].item.row;
    int rc = 0;
    if (load->news) {
        rc = engine_bulk_wait(&load->bulk, err);
        engine_bulk_end(&load->bulk);
    }
    if (rc)
        return rc;
    for (size_t i = 0; i < load->count; i++)
        count_row(run, &load->rows[i]);
    if (last <= run->state->rows)
        return 0;
    run->state->rows = last;
    rc = rejects_sync(run->rejects, &run->state->rejects_bytes, err);
    if (rc == 0)
        rc = import_state_save(run->state, err);
    progress_show(run->progress, load->part, run->state->rows);
    return rc;
}

static int run_loads(struct loading *l, struct err *err)
{
    struct load *before = NULL;
    int rc = 0;
    for (size_t i = 0; rc == 0 && read_load(l, &l->loads[i % 2]); i++) {
        struct load *load = &l->loads[i % 2];
        rc = before ? finish_load(before, err) : 0;
        before = NULL;
        if (rc)
            break;
        submit_load(load);
        before = load;
    }
    return before ? finish_load(before, err) : rc;
}

/* ---- the run ---- */

static int open_loading(struct loading *l, struct err *err)
{
    struct db_pool *pool = engine_lov(l->run->engine);
    struct db *lov;
    l->loads[0].run = l->loads[1].run = l->run;
    int rc = db_pool_get(pool, &lov, err);
    if (rc)
        return rc;
    rc = recorded_load(&l->recorded, lov, l->run->digest, err);
    if (rc == 0)
        rc = bulk_has_keys(lov, &l->keys, err);
    db_pool_put(pool, lov);
    return rc;
}

static int trouble(struct err *err)
{
    struct err why = *err;
    if (why.code == LOV_EINVAL || why.code == LOV_ECONFLICT)
        return why.code;
    return err_reason(err, LOV_EUNAVAILABLE, "unavailable",
                      "the import stopped: %s (run it again with --resume)", why.text);
}

int import_bulk(struct import_run *run, struct err *err)
{
    struct loading l = {.run = run};
    int rc = open_loading(&l, err);
    run->rows->keep = true;
    progress_start(run->progress, "rows");
    if (rc == 0)
        rc = run_loads(&l, err);
    progress_end(run->progress);
    arena_free(&l.scratch);
    arena_free(&l.loads[0].arena);
    arena_free(&l.loads[1].arena);
    recorded_free(&l.recorded);
    buf_free(&l.key);
    return rc ? trouble(err) : 0;
}
