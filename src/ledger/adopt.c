/* adopt.c - the events of a store from before lov_014.sql, which had a row for each. They are moved
 * as they are, with what may be wrong about them, for a verifier to find. */
#include <string.h>

#include "ledger/bundle.h"

/* What reads the store's events and consents needs the tables of lov_015.sql. */
enum { NEEDED_MIGRATION = 15, ROWS_A_STEP = 256 };

/* Is there an event that is yet to be moved? 1 or 0. */
static int is_left(struct db *lov, struct err *err)
{
    static const char sql[] = "select count(*) from (select 1 from event limit 1) as any_event";
    int64_t any = 0;
    int rc = db_number(db_use(lov, sql), &any, err);
    return rc ? rc : any > 0;
}

int ledger_check_store(struct db *lov, struct err *err)
{
    int64_t number;
    int rc = db_migrated(lov, &number, err);
    if (rc == 0 && number >= NEEDED_MIGRATION)
        rc = is_left(lov, err);
    else if (rc == 0)
        rc = 1;
    if (rc != 1)
        return rc;
    return err_set(
        err, LOV_EVERSION,
        "the store was written by an older Lov: lov log checkpoint brings an installation "
        "up to date, and lov restore a copy");
}

/* What one row of the new table is made of. */
struct moving {
    int64_t shard, first, count;
    struct buf entries, leaves, encoding;
};

/* False when the row has no room for it. */
static bool add_row(struct moving *m, struct db_stmt *s)
{
    struct str cid = db_blob(s, 5);
    struct ledger_event event = {
        .shard = (uint32_t)db_int(s, 0),
        .seq = db_int(s, 1),
        .prev = db_int(s, 2),
        .at = db_int(s, 3),
        .kind = db_text(s, 4),
        .has_cid = cid.n == sizeof event.cid.b,
        .actor = db_text(s, 6),
        .activity = db_text(s, 7),
        .body = db_text(s, 8),
    };
    if (event.has_cid)
        memcpy(event.cid.b, cid.p, cid.n);
    buf_clear(&m->encoding);
    event_encode(&event, &m->encoding);
    struct str leaf = db_blob(s, 9);
    if (m->count && m->entries.n + m->leaves.n + 2 + m->encoding.n + leaf.n > BUNDLE_BYTES)
        return false;
    bundle_add(&m->entries, buf_view(&m->encoding));
    buf_str(&m->leaves, leaf);
    m->count++;
    return true;
}

/* Reads the events of the first row to be made; 0 when there is none. */
static int take_row(struct db *lov, struct moving *m, struct err *err)
{
    static const char sql[] = "select shard, seq, prev, at, kind, cid, actor, activity, body, leaf "
                              "from event order by shard, seq";
    struct db_stmt *s = db_use(lov, sql);
    int rc;
    m->count = 0;
    buf_clear(&m->entries);
    buf_clear(&m->leaves);
    while ((rc = db_step(s, err)) == 1) {
        if (m->count == 0) {
            m->shard = db_int(s, 0);
            m->first = db_int(s, 1);
        }
        if (db_int(s, 0) != m->shard || db_int(s, 1) != m->first + m->count || !add_row(m, s)) {
            db_done(s);
            break;
        }
    }
    return rc < 0 ? rc : m->count > 0;
}

static int move_row(struct db *lov, struct moving *m, int64_t *count, struct err *err)
{
    static const char sql[] = "delete from event where shard = $1 and seq < $2";
    int rc = take_row(lov, m, err);
    if (rc != 1)
        return rc;
    rc = bundle_put(lov, (uint32_t)m->shard, m->first, buf_view(&m->entries), buf_view(&m->leaves),
                    err);
    if (rc)
        return rc;
    struct db_stmt *s = db_use(lov, sql);
    db_bind_int(s, 1, m->shard);
    db_bind_int(s, 2, m->first + m->count);
    *count += m->count;
    rc = db_run(s, err);
    return rc ? rc : 1;
}

static int move_some(struct db *lov, struct moving *m, int64_t *count, struct err *err)
{
    int rc = db_begin(lov, err);
    if (rc)
        return rc;
    rc = 1;
    for (int i = 0; rc == 1 && i < ROWS_A_STEP; i++)
        rc = move_row(lov, m, count, err);
    int failed = rc < 0 ? rc : db_commit(lov, err);
    if (rc < 0)
        db_rollback(lov);
    return failed ? failed : rc;
}

int ledger_adopt(struct db *lov, int64_t *count, struct err *err)
{
    struct moving m = {0};
    int rc = is_left(lov, err);
    *count = 0;
    while (rc == 1)
        rc = move_some(lov, &m, count, err);
    buf_free(&m.entries);
    buf_free(&m.leaves);
    buf_free(&m.encoding);
    return rc;
}
