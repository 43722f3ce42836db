/* test_vault_quality.c - records that look wrong: what is asked, what is proposed, and what the
 * answer does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/private.h"
#include "base/clock.h"
#include "test_api_fixture.h"
#include "vault/vault.h"

#define PROFILE(members)                                                                           \
    "{\"data\":{" members "},\"source\":\"form\",\"observed_at\":\"2026-11-20T10:15:30Z\"}"

static void put(struct world *w, const char *consumer, const char *category, const char *body,
                char id[33])
{
    char target[128];
    snprintf(target, sizeof target, "/v1/consumers/%s/records/%s", consumer, category);
    _cleanup_answer struct answer a = ask(w, NULL, "POST", target, body);
    assert_status(a, 201);
    if (id)
        snprintf(id, 33, "%s", text_at(&a, "id"));
}

static void put_purchase(struct world *w, const char *consumer, const char *order, int quantity,
                         const char *amount, char id[33])
{
    char body[512];
    snprintf(body, sizeof body,
             "{\"data\":{\"order_id\":\"%s\",\"bought_at\":\"2026-11-20T10:15:30Z\",\"product\":"
             "\"kettle\",\"quantity\":%d,\"amount\":{\"amount\":\"%s\",\"currency\":\"SEK\"}},"
             "\"source\":\"till\",\"observed_at\":\"2026-11-20T10:15:30Z\"}",
             order, quantity, amount);
    put(w, consumer, "purchases", body, id);
}

static struct answer issues(struct world *w, const char *consumer)
{
    char target[96] = "/v1/issues";
    if (consumer)
        snprintf(target, sizeof target, "/v1/consumers/%s/issues", consumer);
    struct answer a = ask(w, NULL, "GET", target, "");
    assert_status(a, 200);
    return a;
}

static size_t count_issues(struct world *w, const char *consumer)
{
    _cleanup_answer struct answer a = issues(w, consumer);
    return json_array_size(at(a.json, "items"));
}

static struct answer settle(struct world *w, const char *id, const char *how)
{
    char target[96], body[64];
    snprintf(target, sizeof target, "/v1/issues/%s/settle", id);
    snprintf(body, sizeof body, "{\"answer\":\"%s\"}", how);
    return ask(w, NULL, "POST", target, body);
}

static void verifies(struct world *w, bool expected)
{
    struct db *lov;
    struct err err = {0};
    struct state_report report;
    assert_int_equal(engine_open_store(w->dir, "lov", &lov, &err), 0);
    assert_int_equal(vault_verify(lov, 0, &report, &err), 0);
    if (report.wrong == expected)
        fail_msg("%s", report.wrong ? report.what : "nothing wrong found");
    db_close(lov);
}

static void run_sql(struct world *w, const char *sql)
{
    char path[128];
    struct db *db;
    struct err err = {0};
    snprintf(path, sizeof path, "%s/lov.db", w->dir);
    assert_int_equal(db_open(path, DB_WRITE, &db, &err), 0);
    assert_int_equal(db_run(db_use(db, sql), &err), 0);
    db_close(db);
}

static int64_t number_in(struct world *w, const char *sql)
{
    struct db *lov;
    struct err err = {0};
    int64_t n = -1;
    assert_int_equal(engine_open_store(w->dir, "lov", &lov, &err), 0);
    struct db_stmt *s = db_use(lov, sql);
    if (db_step(s, &err) == 1) {
        n = db_int(s, 0);
        db_done(s);
    }
    db_close(lov);
    return n;
}

/* ---- range and rules ---- */

static void test_what_is_out_of_range_is_kept_and_asked_about(void **state)
{
    struct world *w = *state;
    char id[33];
    put_purchase(w, "00001", "A-1", 5, "100.00", NULL);
    assert_int_equal(count_issues(w, "00001"), 0);
    put_purchase(w, "00001", "A-2", 20000, "100.00", id);
    _cleanup_answer struct answer a = issues(w, "00001");
    assert_int_equal(json_array_size(at(a.json, "items")), 1);
    assert_string_equal(text_at(&a, "items.0.finding"), "out_of_range");
    assert_string_equal(text_at(&a, "items.0.field"), "quantity");
    assert_string_equal(text_at(&a, "items.0.record"), id);
    assert_string_equal(text_at(&a, "items.0.consumer"), "00001");
    assert_int_equal(json_integer_value(at(a.json, "items.0.proposal.data.quantity")), 200);
    assert_int_equal(count_issues(w, NULL), 1);
    assert_int_equal(count_issues(w, "00001"), 1);
    verifies(w, true);
}

static void test_a_rule_of_the_policy_asks_or_refuses(void **state)
{
    struct world *w = *state;
    put(w, "00001", "profile",
        PROFILE("\"birth_date\":\"2020-05-01\",\"customer_since\":\"1980-02-03\""), NULL);
    _cleanup_answer struct answer a = issues(w, "00001");
    assert_string_equal(text_at(&a, "items.0.finding"), "rule_broken");
    assert_string_equal(text_at(&a, "items.0.rule"), "born_before_customer");
    assert_true(strstr(text_at(&a, "items.0.explanation.sv"), "Ingen") != NULL);
    assert_string_equal(text_at(&a, "items.0.proposal.data.birth_date"), "1980-02-03");
    assert_string_equal(text_at(&a, "items.0.proposal.data.customer_since"), "2020-05-01");
    _cleanup_answer struct answer no = ask(w, NULL, "POST", "/v1/consumers/00001/records/profile",
                                           PROFILE("\"birth_date\":\"2999-05-01\""));
    assert_status(no, 422);
    assert_reason(no, "rule_broken");
    assert_int_equal(count_issues(w, "00001"), 1);
}

/* ---- what is usual ---- */

static void test_what_is_far_from_the_usual_is_asked_about_once_there_is_a_usual(void **state)
{
    struct world *w = *state;
    char order[16], amount[16], consumer[8];
    put_purchase(w, "00001", "A", 1, "99000.00", NULL); /* nothing is known yet */
    for (int i = 0; i < 150; i++) {
        snprintf(order, sizeof order, "B-%d", i);
        snprintf(amount, sizeof amount, "%d.50", 80 + i % 41);
        snprintf(consumer, sizeof consumer, "%05d", 2 + i % 10);
        put_purchase(w, consumer, order, 1, amount, NULL);
    }
    assert_int_equal(count_issues(w, NULL), 0);
    put_purchase(w, "00020", "C-1", 1, "9950", NULL);
    _cleanup_answer struct answer a = issues(w, "00020");
    assert_string_equal(text_at(&a, "items.0.finding"), "outlier");
    assert_string_equal(text_at(&a, "items.0.field"), "amount");
    /* A decimal point that slipped. */
    assert_string_equal(text_at(&a, "items.0.proposal.data.amount.amount"), "99.5");
    put_purchase(w, "00021", "C-2", 1, "130.00", NULL); /* rather much, and possible */
    put_purchase(w, "00021", "C-3", 1, "0", NULL);      /* nothing is never unusual */
    assert_int_equal(count_issues(w, "00021"), 0);
    put_purchase(w, "00021", "C-4", 1, "-100", NULL); /* less than nothing is */
    put_purchase(w, "00021", "C-5", 1, "0.01", NULL);
    assert_int_equal(count_issues(w, "00021"), 2);
    put_purchase(w, "00022", "C-6", 1, "987.65", NULL); /* no coins make a tenth of it */
    _cleanup_answer struct answer b = issues(w, "00022");
    assert_string_equal(text_at(&b, "items.0.finding"), "outlier");
    assert_null(at(b.json, "items.0.proposal"));
    _cleanup_answer struct answer m = ask(w, NULL, "GET", "/metrics", "");
    assert_status(m, 200);
}

static void test_statistics_outlive_the_process(void **state)
{
    struct world *w = *state;
    char order[16];
    struct err err = {0};
    for (int i = 0; i < 120; i++) {
        snprintf(order, sizeof order, "B-%d", i);
        put_purchase(w, "00002", order, 1, i % 2 ? "90.00" : "110.00", NULL);
    }
    assert_int_equal(vault_save_statistics(w->api->vault, &err), 0);
    world_close(w);
    world_open(w);
    put_purchase(w, "00003", "C-1", 1, "9000.00", NULL);
    assert_int_equal(count_issues(w, "00003"), 1);
    /* What was not saved is forgotten, no more. */
    run_sql(w, "delete from sketch");
    world_close(w);
    world_open(w);
    put_purchase(w, "00004", "C-2", 1, "9000.00", NULL);
    assert_int_equal(count_issues(w, "00004"), 0);
}

/* ---- the same again ---- */

static void test_the_same_record_again_is_asked_about_and_can_be_dropped(void **state)
{
    struct world *w = *state;
    char id[33];
    put_purchase(w, "00001", "A-1", 1, "10.00", NULL);
    put_purchase(w, "00002", "A-1", 1, "10.00", NULL); /* somebody else's */
    assert_int_equal(count_issues(w, NULL), 0);
    put_purchase(w, "00001", "A-1", 1, "10.00", id);
    _cleanup_answer struct answer a = issues(w, "00001");
    assert_string_equal(text_at(&a, "items.0.finding"), "duplicate");
    assert_true(json_is_true(at(a.json, "items.0.proposal.drop")));
    assert_int_equal(number_in(w, "select count(*) from record"), 3);
    _cleanup_answer struct answer done = settle(w, text_at(&a, "items.0.id"), "accept");
    assert_status(done, 200);
    assert_int_equal(number_in(w, "select count(*) from record"), 2);
    assert_int_equal(count_issues(w, "00001"), 0);
    verifies(w, true);
    put_purchase(w, "00001", "A-1", 1, "10.00", id); /* the first one is still there */
    assert_int_equal(count_issues(w, "00001"), 1);
}

static void test_two_consumers_with_one_address_are_likely_one(void **state)
{
    struct world *w = *state;
    put(w, "00001", "contact", PROFILE("\"name\":\"Siv\",\"email\":\"Siv.Ek@Example.org\""), NULL);
    put(w, "00001", "contact", PROFILE("\"name\":\"Siv Ek\",\"email\":\"siv.ek@example.org\""),
        NULL);
    assert_int_equal(count_issues(w, NULL), 0);
    put(w, "00002", "contact", PROFILE("\"name\":\"S Ek\",\"email\":\"siv.ek@example.org\""), NULL);
    _cleanup_answer struct answer a = issues(w, NULL);
    assert_int_equal(json_array_size(at(a.json, "items")), 1);
    assert_string_equal(text_at(&a, "items.0.finding"), "likeness");
    assert_string_equal(text_at(&a, "items.0.consumer"), "00002");
    assert_false(json_is_true(at(a.json, "items.0.has_proposal")));
    _cleanup_answer struct answer no = settle(w, text_at(&a, "items.0.id"), "accept");
    assert_status(no, 409);
    assert_reason(no, "no_proposal");
    /* With the first one erased nobody is alike any more. */
    _cleanup_answer struct answer gone = ask(w, NULL, "POST", "/v1/consumers/00001/erase", "");
    assert_status(gone, 200);
    assert_int_equal(number_in(w, "select count(*) from likeness"), 2);
    put(w, "00003", "contact", PROFILE("\"name\":\"X\",\"email\":\"other@example.org\""), NULL);
    assert_int_equal(count_issues(w, "00003"), 0);
}

/* ---- answers ---- */

static void test_a_proposal_that_is_accepted_corrects_the_record(void **state)
{
    struct world *w = *state;
    char consent[33], id[33];
    give(w, GIVE("00001"), consent);
    put_purchase(w, "00001", "A-2", 20000, "100.00", id);
    _cleanup_answer struct answer a = issues(w, "00001");
    char issue[33];
    snprintf(issue, sizeof issue, "%s", text_at(&a, "items.0.id"));
    _cleanup_answer struct answer done = settle(w, issue, "accept");
    assert_status(done, 200);
    assert_string_equal(text_at(&done, "settled"), "accepted");
    assert_int_equal(count_issues(w, "00001"), 0);
    assert_int_equal(number_in(w, "select version from record"), 2);
    _cleanup_answer struct answer again = settle(w, issue, "accept");
    assert_status(again, 404);
    assert_reason(again, "unknown_issue");
    verifies(w, true);
}

static void test_a_record_that_is_confirmed_stays_as_it_is(void **state)
{
    struct world *w = *state;
    put_purchase(w, "00001", "A-2", 20000, "100.00", NULL);
    _cleanup_answer struct answer a = issues(w, "00001");
    _cleanup_answer struct answer bad = settle(w, text_at(&a, "items.0.id"), "perhaps");
    assert_status(bad, 400);
    _cleanup_answer struct answer done = settle(w, text_at(&a, "items.0.id"), "confirm");
    assert_status(done, 200);
    assert_int_equal(count_issues(w, "00001"), 0);
    assert_int_equal(number_in(w, "select version from record"), 1);
    verifies(w, true);
}

static void test_a_correction_settles_and_looks_again(void **state)
{
    struct world *w = *state;
    char id[33], target[128];
    put_purchase(w, "00001", "A-2", 20000, "100.00", id);
    snprintf(target, sizeof target, "/v1/consumers/00001/records/purchases/%s", id);
    _cleanup_answer struct answer worse =
        ask(w, NULL, "PUT", target,
            "{\"data\":{\"order_id\":\"A-2\",\"bought_at\":\"2026-11-20T10:15:30Z\",\"product\":"
            "\"kettle\",\"quantity\":0,\"amount\":{\"amount\":\"1\",\"currency\":\"SEK\"}}}");
    assert_status(worse, 200);
    assert_int_equal(count_issues(w, "00001"), 1);
    _cleanup_answer struct answer better =
        ask(w, NULL, "PUT", target,
            "{\"data\":{\"order_id\":\"A-2\",\"bought_at\":\"2026-11-20T10:15:30Z\",\"product\":"
            "\"kettle\",\"quantity\":2,\"amount\":{\"amount\":\"1\",\"currency\":\"SEK\"}}}");
    assert_status(better, 200);
    assert_int_equal(count_issues(w, "00001"), 0);
    put_purchase(w, "00001", "A-3", 20000, "100.00", id);
    snprintf(target, sizeof target, "/v1/consumers/00001/records/purchases/%s", id);
    _cleanup_answer struct answer gone = ask(w, NULL, "DELETE", target, "");
    assert_status(gone, 200);
    assert_int_equal(count_issues(w, "00001"), 0);
    verifies(w, true);
}

/* ---- age ---- */

static void test_what_has_grown_stale_is_asked_about_once(void **state)
{
    struct world *w = *state;
    struct err err = {0};
    int64_t asked = -1;
    char old[160];
    _cleanup_buf struct buf at_text = {0};
    time_format(clock_now() - 729 * (int64_t)DAY_MS, &at_text);
    snprintf(old, sizeof old,
             "{\"data\":{\"name\":\"Siv\"},\"source\":\"form\",\"observed_at\":\"%s\"}", at_text.p);
    put(w, "00001", "contact", old, NULL);
    put(w, "00001", "contact", PROFILE("\"name\":\"Siv Ek\""), NULL);
    assert_int_equal(vault_ask_stale(w->api->vault, 100, &asked, &err), 0);
    assert_int_equal(asked, 0);
    run_sql(w, "update record set observed_at = observed_at - 2 * 86400000");
    assert_int_equal(vault_ask_stale(w->api->vault, 100, &asked, &err), 0);
    assert_int_equal(asked, 1);
    assert_int_equal(vault_ask_stale(w->api->vault, 100, &asked, &err), 0);
    assert_int_equal(asked, 0);
    /* Though the place that was reached is lost: it is asked already. */
    run_sql(w, "delete from meta where name like 'stale.%'");
    assert_int_equal(vault_ask_stale(w->api->vault, 100, &asked, &err), 0);
    assert_int_equal(asked, 0);
    _cleanup_answer struct answer a = issues(w, "00001");
    assert_string_equal(text_at(&a, "items.0.finding"), "stale");
}

/* ---- who sees what, and what the ledger says ---- */

static void test_only_who_may_see_evidence_sees_what_is_proposed(void **state)
{
    struct world *w = *state;
    char support[80], collector[80];
    make_key(w, "{\"staff\":\"support\"}", support, NULL);
    make_key(w, "{\"staff\":\"collector\"}", collector, NULL);
    put_purchase(w, "00001", "A-2", 20000, "100.00", NULL);
    _cleanup_answer struct answer a = ask(w, support, "GET", "/v1/consumers/00001/issues", "");
    assert_status(a, 200);
    assert_true(json_is_true(at(a.json, "items.0.has_proposal")));
    assert_null(at(a.json, "items.0.proposal"));
    _cleanup_answer struct answer no = ask(w, collector, "GET", "/v1/issues", "");
    assert_status(no, 403);
    _cleanup_answer struct answer nobody = ask(w, NULL, "GET", "/v1/consumers/09999/issues", "");
    assert_status(nobody, 404);
}

static void test_an_issue_that_the_ledger_did_not_make_is_found(void **state)
{
    struct world *w = *state;
    put_purchase(w, "00001", "A-2", 20000, "100.00", NULL);
    put_purchase(w, "00001", "A-3", 30000, "100.00", NULL);
    verifies(w, true);
    run_sql(w, "create table kept as select * from issue");
    run_sql(w, "update issue set field = 'store'");
    verifies(w, false);
    run_sql(w, "delete from issue");
    verifies(w, false);
    run_sql(w, "insert into issue select * from kept");
    verifies(w, true);
    _cleanup_answer struct answer a = issues(w, "00001");
    _cleanup_answer struct answer done = settle(w, text_at(&a, "items.0.id"), "confirm");
    assert_status(done, 200);
    verifies(w, true);
    run_sql(w, "insert into issue select * from kept where seq not in (select seq from issue)");
    verifies(w, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define IN_WORLD(test) cmocka_unit_test_setup_teardown(test, world_begin, world_end)
        IN_WORLD(test_what_is_out_of_range_is_kept_and_asked_about),
        IN_WORLD(test_a_rule_of_the_policy_asks_or_refuses),
        IN_WORLD(test_what_is_far_from_the_usual_is_asked_about_once_there_is_a_usual),
        IN_WORLD(test_statistics_outlive_the_process),
        IN_WORLD(test_the_same_record_again_is_asked_about_and_can_be_dropped),
        IN_WORLD(test_two_consumers_with_one_address_are_likely_one),
        IN_WORLD(test_a_proposal_that_is_accepted_corrects_the_record),
        IN_WORLD(test_a_record_that_is_confirmed_stays_as_it_is),
        IN_WORLD(test_a_correction_settles_and_looks_again),
        IN_WORLD(test_what_has_grown_stale_is_asked_about_once),
        IN_WORLD(test_only_who_may_see_evidence_sees_what_is_proposed),
        IN_WORLD(test_an_issue_that_the_ledger_did_not_make_is_found),
#undef IN_WORLD
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
