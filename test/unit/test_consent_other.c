/* test_consent_other.c - what the engine does for others: transfers to a successor, and the writes
 * of other modules. */
#include "test_consent_fixture.h"

/* ---- transfers ---- */

#define TRANSFER "transfer: {announced: 2026-09-01, from: 2026-11-01}"

static int count_begun(void *ctx, const struct ledger_event *event)
{
    struct buf *body = ctx;
    if (!str_is(event->kind, "transfer.begin"))
        return 0;
    buf_str(body, event->body);
    buf_char(body, '\n');
    return 0;
}

/* The bodies of all events that say so, a line each. */
static struct str begun(struct fixture *f)
{
    _cleanup_buf struct buf bodies = {0};
    struct ledger_filter all = {.after = -1, .limit = 10000};
    struct db *lov;
    assert_int_equal(engine_begin_transfers(f->e, &f->err), 0);
    assert_int_equal(db_pool_get(engine_lov(f->e), &lov, &f->err), 0);
    assert_int_equal(ledger_read(lov, &all, count_begun, &bodies, NULL, &f->err), 0);
    db_pool_put(engine_lov(f->e), lov);
    return arena_str(&f->arena, buf_view(&bodies));
}

static void test_a_successor_waits_until_the_transfer_begins(void **state)
{
    struct fixture *f = *state;
    int64_t now = clock_now();
    apply(f, "recipients.yaml", TRANSFER, "transfer: {announced: 2026-11-01, from: 2099-11-01}",
          NULL);
    give(f, "p");
    assert_string_equal(ask(f, "nyhandel", "business_transfer", "purchases", now),
                        "recipient_not_begun");
    assert_int_equal(begun(f).n, 0);
    struct engine_write no = write_of(f, WRITE_REFUSE);
    no.consumer = STR("00002");
    no.purpose = STR("business_transfer");
    no.recipient = STR("nyhandel");
    no.notice.id = STR("business_transfer");
    name_categories(f, &no, "pc");
    run(f, &no);
    apply(f, NULL, NULL, NULL, NULL);
    assert_string_equal(ask(f, "nyhandel", "business_transfer", "purchases", now), "permitted");
    struct str once = begun(f);
    assert_non_null(strstr(once.p, "\"consumers\":2,\"permitted\":["));
    assert_non_null(strstr(once.p, "\"category\":\"purchases\",\"consumers\":1}"));
    assert_true(str_eq(begun(f), once));
    reopen(f);
    assert_true(str_eq(begun(f), once));
    /* Put off and begun again, it is told again. */
    apply(f, "recipients.yaml", TRANSFER, "transfer: {announced: 2026-08-01, from: 2026-10-01}",
          NULL);
    assert_true(begun(f).n > once.n + 10);
}

/* ---- writes of other modules ---- */

struct others {
    int64_t seqs[2];
    const char *row;
    bool fails, known;
};

/* Two events, and a row that a refusal must take back. */
static int write_two(struct engine_write *w, struct write_scope *s, struct err *err)
{
    static const char sql[] = "insert into meta (name, value) values ($1, 'x')";
    struct others *o = w->ctx;
    o->known = s->who != NULL;
    struct db_stmt *row = db_use(s->lov, sql);
    db_bind_text(row, 1, str_of(o->row));
    int rc = db_run(row, err);
    for (int i = 0; rc == 0 && i < 2; i++)
        rc = engine_append(s, "test.note", STR("a/b"), STR("{}"), &o->seqs[i], err);
    w->out_seq = o->seqs[1];
    return rc == 0 && o->fails ? err_reason(err, LOV_ECONFLICT, "not_now", "not now") : rc;
}

static int see_event(void *ctx, const struct ledger_event *event)
{
    struct ledger_event *out = ctx;
    out->seq = event->seq;
    out->prev = event->prev;
    out->has_cid = event->has_cid;
    return 0;
}

static struct ledger_event event_at(struct fixture *f, int64_t seq)
{
    struct ledger_event event = {.seq = -1};
    struct db *lov;
    assert_int_equal(db_pool_get(engine_lov(f->e), &lov, &f->err), 0);
    ledger_get(lov, 0, seq, see_event, &event, &f->err);
    db_pool_put(engine_lov(f->e), lov);
    return event;
}

static void test_events_of_other_modules_join_the_consumers_history(void **state)
{
    struct fixture *f = *state;
    struct consent c = give(f, "p");
    struct others o = {.row = "first"};
    struct engine_write w = {.kind = WRITE_OTHER,
                             .actor = STR("test"),
                             .arena = &f->arena,
                             .consumer = STR("00001"),
                             .other = write_two,
                             .ctx = &o};
    o.fails = true;
    refused(f, &w, "not_now");
    assert_int_equal(event_at(f, o.seqs[1]).seq, -1);
    o.fails = false;
    run(f, &w); /* the refused one's row would be in the way */
    assert_true(o.known);
    assert_int_equal(event_at(f, o.seqs[0]).prev, c.event);
    assert_int_equal(event_at(f, o.seqs[1]).prev, o.seqs[0]);
    w = write_of(f, WRITE_WITHDRAW);
    w.consent = c.seq;
    run(f, &w);
    assert_int_equal(event_at(f, w.out_seq).prev, o.seqs[1]);
    verifies(f, true);
    reopen(f);
    verifies(f, true);
}

static void test_other_modules_write_of_new_consumers_and_of_nobody(void **state)
{
    struct fixture *f = *state;
    struct others o = {.row = "first"};
    struct consumer who;
    struct engine_write w = {.kind = WRITE_OTHER,
                             .actor = STR("test"),
                             .arena = &f->arena,
                             .other = write_two,
                             .ctx = &o};
    run(f, &w);
    assert_false(o.known);
    assert_false(event_at(f, o.seqs[0]).has_cid);
    o.row = "second";
    w.consumer = STR("00002");
    o.fails = true;
    refused(f, &w, "not_now");
    assert_false(o.known);
    w.add = true;
    refused(f, &w, "not_now");
    assert_true(o.known);
    assert_int_equal(consumer_get(f->e, STR("00002"), &f->arena, &who, &f->err), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define WITH_POLICY(test) cmocka_unit_test_setup_teardown(test, open_fixture, close_fixture)
        WITH_POLICY(test_a_successor_waits_until_the_transfer_begins),
        WITH_POLICY(test_events_of_other_modules_join_the_consumers_history),
        WITH_POLICY(test_other_modules_write_of_new_consumers_and_of_nobody),
#undef WITH_POLICY
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
