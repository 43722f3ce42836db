/* test_ledger_rows.h - changes events with SQL, as rows of the table that older stores have: taken
 * out of their bundles and adopted again. */
#ifndef LOV_TEST_LEDGER_ROWS_H
#define LOV_TEST_LEDGER_ROWS_H

#include "ledger/bundle.h"

static inline void put_row(struct db *db, const struct ledger_event *e)
{
    static const char sql[] =
        "insert into event (shard, seq, prev, at, kind, cid, actor, activity, body, leaf) "
        "values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    struct err err = {0};
    struct db_stmt *s = db_use(db, sql);
    db_bind_int(s, 1, e->shard);
    db_bind_int(s, 2, e->seq);
    db_bind_int(s, 3, e->prev);
    db_bind_int(s, 4, e->at);
    db_bind_text(s, 5, e->kind);
    db_bind_blob(s, 6, e->has_cid ? uid_str(&e->cid) : (struct str){0});
    db_bind_text(s, 7, e->actor);
    db_bind_text(s, 8, e->activity);
    db_bind_text(s, 9, e->body);
    db_bind_blob(s, 10, (struct str){(const char *)e->leaf.b, sizeof e->leaf.b});
    assert_int_equal(db_run(s, &err), 0);
}

/* Runs the statements, ending in NULL, on shard 0. */
static inline void edit_events(struct db *db, const char *const *statements)
{
    static const char clear[] = "delete from bundle";
    struct err err = {0};
    struct cursor c = cursor_from(db, 0, 0, INT64_MAX);
    struct entry e;
    struct ledger_event event;
    int64_t count;
    while (cursor_next(&c, &e, &err) == 1) {
        assert_true(entry_event(&e, 0, &event));
        put_row(db, &event);
    }
    cursor_close(&c);
    assert_int_equal(db_run(db_use(db, clear), &err), 0);
    /* Nobody reads a store that was left half-way. */
    assert_int_equal(ledger_check_store(db, &err), LOV_EVERSION);
    for (; *statements; statements++)
        /* Statements are known by address: each of these runs once. */
        if (db_run(db_use(db, *statements), &err))
            fail_msg("%s: %s", *statements, err.text);
    assert_int_equal(ledger_adopt(db, &count, &err), 0);
    assert_int_equal(ledger_check_store(db, &err), 0);
}

#define EDIT_EVENTS(db, ...) edit_events(db, (const char *const[]){__VA_ARGS__, NULL})

#endif
