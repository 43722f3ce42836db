/* test_vault.c - records over the API: what is stored, who reads what of it, and what is left of it
 * anywhere else. Random views are in test_vault_model.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "test_api_fixture.h"
#include "vault/vault.h"

#define PURCHASES "/v1/consumers/00001/records/purchases"
#define FOR_OFFERS "?purpose=personal_offers&recipient=marketing"
#define PURCHASE(order)                                                                            \
    "{\"data\":{\"order_id\":\"" order "\",\"bought_at\":\"2026-11-20T10:15:30Z\","                \
    "\"product\":\"kettle\",\"department\":\"home\",\"quantity\":2,"                               \
    "\"amount\":{\"amount\":\"349.50\",\"currency\":\"SEK\"},\"store\":\"Lund\"},"                 \
    "\"source\":\"till\",\"observed_at\":\"2026-11-20T10:15:30Z\"}"

static void put(struct world *w, const char *target, const char *body, char id[33])
{
    _cleanup_answer struct answer a = ask(w, NULL, "POST", target, body);
    assert_status(a, 201);
    snprintf(id, 33, "%s", text_at(&a, "id"));
}

static int64_t number_at(const struct answer *a, const char *path)
{
    return json_integer_value(at(a->json, path));
}

static size_t items(const struct answer *a)
{
    return json_array_size(at(a->json, "items"));
}

/* Is the text anywhere in the files of the installation? */
static bool is_in_files(const struct world *w, const char *text)
{
    char command[256];
    /* The index is sparse, and hundreds of gigabytes to grep. */
    snprintf(command, sizeof command, "grep -rqaF --exclude='permits*' '%s' %s", text, w->dir);
    int status = system(command);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) <= 1);
    return WEXITSTATUS(status) == 0;
}

static void test_a_record_is_read_for_a_purpose_cut_to_it_and_logged(void **state)
{
    struct world *w = *state;
    char consent[33], id[33];
    give(w, GIVE("00001"), consent);
    put(w, PURCHASES, PURCHASE("A-17"), id);
    _cleanup_answer struct answer a = ask(w, NULL, "GET", PURCHASES FOR_OFFERS, "");
    assert_status(a, 200);
    assert_int_equal(items(&a), 1);
    assert_string_equal(text_at(&a, "items.0.id"), id);
    assert_string_equal(text_at(&a, "items.0.consumer"), "00001");
    assert_string_equal(text_at(&a, "items.0.data.product"), "kettle");
    assert_string_equal(text_at(&a, "items.0.data.amount.amount"), "349.50");
    /* Not in the view, or about the record and not in it. */
    assert_null(at(a.json, "items.0.data.order_id"));
    assert_null(at(a.json, "items.0.data.store"));
    assert_null(at(a.json, "items.0.source"));
    assert_string_equal(text_at(&a, "context.reason"), "permitted");
    assert_string_equal(text_at(&a, "context.consent"), consent);
    _cleanup_answer struct answer history = ask(w, NULL, "GET", "/v1/consumers/00001/history", "");
    size_t n = items(&history);
    char path[40];
    snprintf(path, sizeof path, "items.%zu.kind", n - 1);
    assert_string_equal(text_at(&history, path), "access");
    snprintf(path, sizeof path, "items.%zu.seq", n - 1);
    assert_int_equal(number_at(&history, path), number_at(&a, "context.event"));
    snprintf(path, sizeof path, "items.%zu.record", n - 2);
    assert_string_equal(text_at(&history, path), id);
}

static void test_what_is_not_permitted_is_not_read_and_is_recorded(void **state)
{
    struct world *w = *state;
    char id[33];
    put(w, PURCHASES, PURCHASE("A-17"), id);
    _cleanup_answer struct answer a = ask(w, NULL, "GET", PURCHASES FOR_OFFERS, "");
    assert_status(a, 403);
    assert_reason(a, "no_consent");
    _cleanup_answer struct answer sums =
        ask(w, NULL, "GET", PURCHASES "?purpose=stock_planning&recipient=operations", "");
    assert_status(sums, 403);
    assert_reason(sums, "aggregate_only");
    _cleanup_answer struct answer nobody =
        ask(w, NULL, "GET", "/v1/consumers/nobody/records/purchases" FOR_OFFERS, "");
    assert_status(nobody, 403);
    assert_reason(nobody, "unknown_consumer");
    _cleanup_answer struct answer events = ask(w, NULL, "GET", "/v1/events", "");
    size_t denied = 0;
    for (size_t i = 0; i < items(&events); i++) {
        char path[40];
        snprintf(path, sizeof path, "items.%zu.kind", i);
        denied += strcmp(text_at(&events, path), "access.denied") == 0;
    }
    assert_int_equal(denied, 3);
}

/* ---- what is stored ---- */

static void test_a_record_is_an_object_of_the_fields_of_its_category(void **state)
{
    struct world *w = *state;
    static const char *const wrong[] = {
        "{}",
        "[]",
        "{\"data\":[]}",
        "{\"data\":{}}",
        "{\"data\":{\"name\":\"Ada\",\"shoe_size\":\"38\"}}",
        "{\"data\":{\"name\":\"\"}}",
        "{\"data\":{\"name\":7}}",
        "{\"data\":{\"name\":\"A\\u0000B\"}}",
        "{\"data\":{\"name\":\"A\\u001bB\"}}",
        "{\"data\":{\"name\":\"Ada\",\"email\":\"ada\"}}",
        "{\"data\":{\"name\":\"Ada\",\"email\":\"ada@@example.com\"}}",
        "{\"data\":{\"name\":\"Ada\",\"email\":\"ada @example.com\"}}",
        "{\"data\":{\"name\":\"Ada\",\"phone\":\"call me\"}}",
        "{\"data\":{\"name\":\"Ada\",\"country\":\"Sweden\"}}",
        "{\"data\":{\"name\":\"Ada\",\"country\":{\"a\":1}}}",
        "{\"data\":{\"name\":\"Ada\"},\"extra\":1}",
        "{\"data\":{\"name\":\"Ada\"},\"source\":\"Not A Name\"}",
        "{\"data\":{\"name\":\"Ada\"},\"observed_at\":\"yesterday\"}",
        "{\"data\":{\"name\":\"Ada\"},\"observed_at\":\"2999-01-01T00:00:00Z\"}",
        "{\"data\":{\"name\":\"Ada\"},\"observed_at\":\"1999-01-01T00:00:00Z\"}",
        "{\"data\":{\"name\":\"Ada\"},\"retention_end\":\"2020-01-01T00:00:00Z\"}",
        "{\"records\":[]}",
        "{\"records\":[{\"data\":{\"name\":\"Ada\"}},7]}",
        "{\"records\":[{\"data\":{\"name\":\"Ada\"}}],\"data\":{}}",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        _cleanup_answer struct answer a =
            ask(w, NULL, "POST", "/v1/consumers/00001/records/contact", wrong[i]);
        if (a.status != 400 && a.status != 422)
            fail_msg("%s: status %d: %s", wrong[i], a.status, a.text);
    }
    _cleanup_answer struct answer category =
        ask(w, NULL, "POST", "/v1/consumers/00001/records/shoes", "{\"data\":{}}");
    assert_status(category, 422);
    assert_reason(category, "unknown_category");
    /* Nothing was written, and nobody added. */
    _cleanup_answer struct answer who = ask(w, NULL, "GET", "/v1/consumers/00001", "");
    assert_status(who, 404);
}

static void test_amounts_decimals_and_times_are_exact_or_refused(void **state)
{
    struct world *w = *state;
    static const char *const right[] = {"0", "-0.5", "12.50", "999999999999.999999"};
    static const char *const wrong[] = {"",   "1.",   ".5",        "01",  "1e5",
                                        "+1", "1,5",  "1.0000001", "NaN", "1000000000000",
                                        " 1", "0x10", "--1",       "-",   "1.-5"};
    for (size_t i = 0; i < sizeof right / sizeof *right; i++) {
        char body[200], id[33];
        snprintf(
            body, sizeof body,
            "{\"data\":{\"at\":\"2026-11-20T10:15:30+01:00\",\"page\":\"/\",\"seconds\":\"%s\"}}",
            right[i]);
        put(w, "/v1/consumers/00001/records/browsing", body, id);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char body[200];
        snprintf(body, sizeof body,
                 "{\"data\":{\"at\":\"2026-11-20T10:15:30Z\",\"page\":\"/\",\"seconds\":\"%s\"}}",
                 wrong[i]);
        _cleanup_answer struct answer a =
            ask(w, NULL, "POST", "/v1/consumers/00001/records/browsing", body);
        if (a.status != 422)
            fail_msg("%s: status %d", wrong[i], a.status);
        assert_reason(a, "invalid_record");
    }
}

static void test_a_batch_is_written_whole_or_not_at_all(void **state)
{
    struct world *w = *state;
    char consent[33];
    give(w, GIVE("00001"), consent);
    _cleanup_answer struct answer bad =
        ask(w, NULL, "POST", PURCHASES, "{\"records\":[" PURCHASE("A-1") ",{\"data\":{}}]}");
    assert_status(bad, 422);
    assert_non_null(strstr(text_at(&bad, "detail"), "records[1]"));
    struct call_options options = {.idempotency = "batch-1"};
    struct str body = STR("{\"records\":[" PURCHASE("A-1") "," PURCHASE("A-2") "]}");
    _cleanup_answer struct answer first = ask_with(w, &options, "POST", PURCHASES, body);
    assert_status(first, 201);
    assert_int_equal(items(&first), 2);
    _cleanup_answer struct answer again = ask_with(w, &options, "POST", PURCHASES, body);
    assert_status(again, 201);
    assert_true(again.replayed);
    assert_string_equal(text_at(&again, "items.1.id"), text_at(&first, "items.1.id"));
    _cleanup_answer struct answer all = ask(w, NULL, "GET", PURCHASES FOR_OFFERS, "");
    assert_int_equal(items(&all), 2);
}

static void test_a_list_is_read_page_by_page_and_a_cursor_is_of_its_reader(void **state)
{
    struct world *w = *state;
    char consent[33], id[33], target[400], next[256] = "";
    give(w, GIVE("00001"), consent);
    for (int i = 0; i < 5; i++)
        put(w, PURCHASES, PURCHASE("A-1"), id);
    size_t seen = 0;
    do {
        snprintf(target, sizeof target, PURCHASES FOR_OFFERS "&limit=2%s%s", *next ? "&after=" : "",
                 next);
        _cleanup_answer struct answer a = ask(w, NULL, "GET", target, "");
        assert_status(a, 200);
        assert_true(items(&a) <= 2);
        seen += items(&a);
        if (*text_at(&a, "next"))
            snprintf(target, sizeof target,
                     PURCHASES "?purpose=customer_support&recipient=customer_service&after=%s",
                     text_at(&a, "next"));
        _cleanup_answer struct answer other = ask(w, NULL, "GET", target, "");
        if (*text_at(&a, "next"))
            assert_reason(other, "invalid_cursor");
        snprintf(next, sizeof next, "%s", text_at(&a, "next"));
    } while (*next);
    assert_int_equal(seen, 5);
}

static void test_a_correction_replaces_what_is_read_and_asks_for_the_right_version(void **state)
{
    struct world *w = *state;
    char consent[33], id[33], target[128];
    give(w, GIVE("00001"), consent);
    put(w, PURCHASES, PURCHASE("A-17"), id);
    snprintf(target, sizeof target, PURCHASES "/%s", id);
    struct call_options options = {.idempotency = "fix-1"};
    struct str body = STR("{\"version\":1,\"data\":{\"order_id\":\"A-17\",\"bought_at\":"
                          "\"2026-11-20T10:15:30Z\",\"product\":\"teapot\",\"amount\":"
                          "{\"amount\":\"100\",\"currency\":\"SEK\"}}}");
    _cleanup_answer struct answer fixed = ask_with(w, &options, "PUT", target, body);
    assert_status(fixed, 200);
    assert_int_equal(number_at(&fixed, "version"), 2);
    assert_string_equal(text_at(&fixed, "id"), id);
    _cleanup_answer struct answer again = ask_with(w, &options, "PUT", target, body);
    assert_true(again.replayed);
    assert_int_equal(number_at(&again, "version"), 2);
    _cleanup_answer struct answer late =
        ask_with(w, &(struct call_options){0}, "PUT", target, body);
    assert_status(late, 409);
    assert_reason(late, "record_moved_on");
    _cleanup_answer struct answer a = ask(w, NULL, "GET", PURCHASES FOR_OFFERS, "");
    assert_int_equal(items(&a), 1);
    assert_string_equal(text_at(&a, "items.0.data.product"), "teapot");
    assert_null(at(a.json, "items.0.data.department"));
}

static void test_a_deleted_record_is_gone(void **state)
{
    struct world *w = *state;
    char consent[33], id[33], target[128];
    give(w, GIVE("00001"), consent);
    put(w, PURCHASES, PURCHASE("A-17"), id);
    snprintf(target, sizeof target, "/v1/consumers/00002/records/purchases/%s", id);
    _cleanup_answer struct answer foreign = ask(w, NULL, "DELETE", target, "");
    assert_status(foreign, 404);
    snprintf(target, sizeof target, "/v1/consumers/00001/records/contact/%s", id);
    _cleanup_answer struct answer category = ask(w, NULL, "DELETE", target, "");
    assert_status(category, 404);
    snprintf(target, sizeof target, PURCHASES "/%s", id);
    _cleanup_answer struct answer gone = ask(w, NULL, "DELETE", target, "");
    assert_status(gone, 200);
    _cleanup_answer struct answer twice = ask(w, NULL, "DELETE", target, "");
    assert_status(twice, 404);
    assert_reason(twice, "unknown_record");
    _cleanup_answer struct answer a = ask(w, NULL, "GET", PURCHASES FOR_OFFERS, "");
    assert_int_equal(items(&a), 0);
}

/* ---- who may ---- */

static void test_recipients_read_and_write_for_themselves_only(void **state)
{
    struct world *w = *state;
    char consent[33], id[33], marketing[80], service[80], broker[80], target[160];
    give(w, GIVE("00001"), consent);
    put(w, PURCHASES, PURCHASE("A-17"), id);
    make_key(w, "{\"recipient\":\"marketing\"}", marketing, NULL);
    make_key(w, "{\"recipient\":\"customer_service\"}", service, NULL);
    make_key(w, "{\"recipient\":\"datamark\"}", broker, NULL);
    _cleanup_answer struct answer own =
        ask(w, marketing, "GET", PURCHASES "?purpose=personal_offers", "");
    assert_status(own, 200);
    assert_int_equal(items(&own), 1);
    _cleanup_answer struct answer other = ask(
        w, marketing, "GET", PURCHASES "?purpose=customer_support&recipient=customer_service", "");
    assert_status(other, 403);
    assert_reason(other, "forbidden");
    _cleanup_answer struct answer whose =
        ask(w, service, "GET", PURCHASES "?purpose=personal_offers", "");
    assert_status(whose, 403);
    assert_reason(whose, "not_in_policy");
    /* The contract permits, with the whole record. */
    _cleanup_answer struct answer all =
        ask(w, service, "GET", PURCHASES "?purpose=customer_support", "");
    assert_status(all, 200);
    assert_string_equal(text_at(&all, "items.0.source"), "till");
    assert_string_equal(text_at(&all, "items.0.data.store"), "Lund");
    /* Writing: departments what they see, under their own name. */
    _cleanup_answer struct answer forged = ask(w, service, "POST", PURCHASES, PURCHASE("B-1"));
    assert_status(forged, 403);
    static const char mine[] = "{\"data\":{\"name\":\"Ada\"}}";
    _cleanup_answer struct answer added =
        ask(w, service, "POST", "/v1/consumers/00001/records/contact", mine);
    assert_status(added, 201);
    _cleanup_answer struct answer unseen =
        ask(w, service, "POST", "/v1/consumers/00001/records/location", mine);
    assert_status(unseen, 403);
    _cleanup_answer struct answer sold =
        ask(w, broker, "POST", "/v1/consumers/00001/records/profile", "{\"data\":{}}");
    assert_status(sold, 403);
    _cleanup_answer struct answer new_one =
        ask(w, service, "POST", "/v1/consumers/99999/records/contact", mine);
    assert_status(new_one, 404);
    snprintf(target, sizeof target, PURCHASES "/%s", id);
    _cleanup_answer struct answer not_mine = ask(w, service, "DELETE", target, "");
    assert_status(not_mine, 404);
    snprintf(target, sizeof target, "/v1/consumers/00001/records/contact/%s",
             text_at(&added, "id"));
    _cleanup_answer struct answer mine_goes = ask(w, service, "DELETE", target, "");
    assert_status(mine_goes, 200);
}

/* ---- what is left ---- */

static bool records_verify(struct world *w, struct state_report *report)
{
    struct db *lov;
    struct err err = {0};
    assert_int_equal(engine_open_store(w->dir, "lov", &lov, &err), 0);
    assert_int_equal(vault_verify(lov, 0, report, &err), 0);
    db_close(lov);
    return !report->wrong;
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

static void test_a_record_that_the_ledger_did_not_make_is_found(void **state)
{
    struct world *w = *state;
    static const char *const keep[] = {
        "create table kept as select * from record",
        "update record set source = 'forged'",
        "update record set observed_at = observed_at + 1",
        "update record set retention_end = 1",
        "update record set sealed = (select sealed from record order by seq limit 1) "
        "where seq = (select max(seq) from record)",
        "update record set version = 7 where seq = (select max(seq) from record)",
        "delete from record where seq = (select max(seq) from record)",
        "delete from record",
        "insert into record select shard, cid, category, seq + 1000, event, version, source, "
        "observed_at, retention_end, sealed, limits from kept where seq = (select max(seq) from kept)",
    };
    char one[33], two[33], three[33], target[128];
    struct state_report report;
    put(w, PURCHASES, PURCHASE("A-1"), one);
    put(w, PURCHASES, PURCHASE("A-2"), two);
    put(w, "/v1/consumers/00002/records/purchases", PURCHASE("A-3"), three);
    assert_true(records_verify(w, &report));
    assert_int_equal(report.rows, 3);
    run_sql(w, keep[0]);
    for (size_t i = 1; i < sizeof keep / sizeof *keep; i++) {
        run_sql(w, keep[i]);
        if (records_verify(w, &report))
            fail_msg("not found: %s", keep[i]);
        run_sql(w, "delete from record");
        run_sql(w, "insert into record select * from kept");
        assert_true(records_verify(w, &report));
    }
    /* Deleted or replaced, and put back. */
    snprintf(target, sizeof target, PURCHASES "/%s", one);
    _cleanup_answer struct answer gone = ask(w, NULL, "DELETE", target, "");
    assert_status(gone, 200);
    assert_true(records_verify(w, &report));
    run_sql(w, "insert into record select * from kept where seq = (select min(seq) from kept)");
    assert_false(records_verify(w, &report));
    run_sql(w, "delete from record where seq = (select min(seq) from kept)");
    snprintf(target, sizeof target, PURCHASES "/%s", two);
    _cleanup_answer struct answer fixed = ask(w, NULL, "PUT", target, PURCHASE("A-9"));
    assert_status(fixed, 200);
    assert_true(records_verify(w, &report));
    run_sql(w, "delete from record where version = 2");
    assert_false(records_verify(w, &report));
    run_sql(w, "insert into record select * from kept where seq = (select min(seq) from kept "
               "where seq > (select min(seq) from kept))");
    assert_false(records_verify(w, &report));
}

static void test_erasure_leaves_nothing_of_a_record(void **state)
{
    struct world *w = *state;
    char id[33];
    struct state_report report;
    put(w, PURCHASES, PURCHASE("A-17"), id);
    put(w, "/v1/consumers/00002/records/purchases", PURCHASE("A-18"), id);
    assert_false(is_in_files(w, "kettle"));
    assert_true(is_in_files(w, "purchases")); /* or the search would find nothing at all */
    run_sql(w, "create table kept as select * from record");
    _cleanup_answer struct answer gone = ask(w, NULL, "POST", "/v1/consumers/00001/erase", "");
    assert_status(gone, 200);
    assert_true(records_verify(w, &report));
    assert_int_equal(report.rows, 1);
    _cleanup_answer struct answer back = ask(w, NULL, "POST", PURCHASES, PURCHASE("A-17"));
    assert_status(back, 410);
    _cleanup_answer struct answer a = ask(w, NULL, "GET", PURCHASES FOR_OFFERS, "");
    assert_status(a, 403);
    run_sql(w, "insert into record select * from kept where seq = (select min(seq) from kept)");
    assert_false(records_verify(w, &report));
}

static int count_item(void *ctx, const struct vault_item *item)
{
    struct buf *out = ctx;
    buf_printf(out, "%.*s %.*s %.*s\n", STR_ARG(item->category), STR_ARG(item->consumer),
               STR_ARG(item->data));
    return 0;
}

static void test_the_consumer_gets_everything_whole_and_it_is_recorded(void **state)
{
    struct world *w = *state;
    char id[33];
    struct vault *v;
    struct err err = {0};
    struct str reason = STR("request 7");
    _cleanup_buf struct buf out = {0};
    _cleanup_arena struct arena arena = {0};
    put(w, PURCHASES, PURCHASE("A-17"), id);
    put(w, "/v1/consumers/00001/records/contact", "{\"data\":{\"name\":\"Ada\"}}", id);
    put(w, "/v1/consumers/00002/records/contact", "{\"data\":{\"name\":\"Bob\"}}", id);
    struct engine_write write = {.actor = STR("test"),
                                 .arena = &arena,
                                 .consumer = STR("nobody"),
                                 .expires_at = TIME_NONE,
                                 .given_at = TIME_NONE};
    vault_record_disclosure(&write, &reason);
    assert_int_equal(engine_run(w->e, &write, &err), LOV_ENOTFOUND);
    write.consumer = STR("00001");
    assert_int_equal(engine_run(w->e, &write, &err), 0);
    assert_int_equal(vault_open(w->e, &v, &err), 0);
    assert_int_equal(vault_disclose(v, &write, count_item, &out, &err), 0);
    vault_close(v);
    const char *first = "contact 00001 {\"name\":\"Ada\"}\npurchases 00001 {";
    assert_int_equal(strncmp(out.p, first, strlen(first)), 0);
    assert_non_null(strstr(out.p, "\"store\":\"Lund\""));
    assert_null(strstr(out.p, "Bob"));
    _cleanup_answer struct answer history = ask(w, NULL, "GET", "/v1/consumers/00001/history", "");
    char path[40];
    snprintf(path, sizeof path, "items.%zu.kind", items(&history) - 1);
    assert_string_equal(text_at(&history, path), "record.disclose");
}

/* ---- retention ---- */

static int64_t expire(struct world *w)
{
    struct vault *v;
    struct err err = {0};
    int64_t deleted = -1;
    assert_int_equal(vault_open(w->e, &v, &err), 0);
    if (vault_expire_due(v, 1000, &deleted, &err))
        fail_msg("%s", err.text);
    vault_close(v);
    return deleted;
}

/* The policy with `from` replaced by `to` in the file whose path holds `part`. */
static void apply_changed(struct world *w, const char *part, const char *from, const char *to)
{
    struct err err = {0};
    struct policy_bundle bundle = {0};
    _cleanup_arena struct arena arena = {0};
    bool done = false;
    assert_int_equal(policy_bundle_read("policy", &bundle, &err), 0);
    for (size_t i = 0; i < bundle.count; i++) {
        struct policy_file *file = &bundle.files[i];
        const char *at_text = strstr(file->text.p, from);
        if (!at_text || !strstr(file->path.p, part))
            continue;
        file->text = arena_printf(&bundle.arena, "%.*s%s%s", (int)(at_text - file->text.p),
                                  file->text.p, to, at_text + strlen(from));
        done = true;
    }
    assert_true(done);
    struct engine_write write = {
        .kind = WRITE_POLICY, .actor = STR("test"), .arena = &arena, .bundle = &bundle};
    if (engine_run(w->e, &write, &err))
        fail_msg("%s", err.text);
    policy_unref(write.policy);
    policy_findings_free(&write.findings);
    policy_bundle_free(&bundle);
}

static void ago(int days, char out[40])
{
    _cleanup_buf struct buf text = {0};
    time_format(clock_now() - days * (int64_t)DAY_MS, &text);
    snprintf(out, 40, "%s", text.p);
}

static void put_old(struct world *w, const char *consumer, int days)
{
    char body[400], target[100], when[40], id[33];
    ago(days, when);
    snprintf(target, sizeof target, "/v1/consumers/%s/records/purchases", consumer);
    snprintf(body, sizeof body,
             "{\"data\":{\"order_id\":\"A-1\",\"bought_at\":\"%s\",\"product\":\"x\",\"amount\":"
             "{\"amount\":\"1\",\"currency\":\"SEK\"}},\"observed_at\":\"%s\"}",
             when, when);
    put(w, target, body, id);
}

static void test_an_activity_sees_nothing_older_than_its_own_retention(void **state)
{
    struct world *w = *state;
    char consent[33];
    give(w, GIVE("00001"), consent);
    put_old(w, "00001", 400); /* personal_offers 365 days, customer_support 1095 */
    put_old(w, "00001", 300);
    _cleanup_answer struct answer offers = ask(w, NULL, "GET", PURCHASES FOR_OFFERS, "");
    assert_int_equal(items(&offers), 1);
    _cleanup_answer struct answer service =
        ask(w, NULL, "GET", PURCHASES "?purpose=customer_support&recipient=customer_service", "");
    assert_int_equal(items(&service), 2);
}

static void test_what_is_due_is_deleted_and_recorded_when_the_policy_says_so(void **state)
{
    struct world *w = *state;
    struct state_report report;
    put_old(w, "00001", 10);
    put_old(w, "00001", 40);
    put_old(w, "00002", 50);
    put_old(w, "00003", 5);
    assert_int_equal(expire(w), 0);
    apply_changed(w, "categories.yaml", "dpv: pd:PurchasesAndSpendingHabit",
                  "retention: 30\n    dpv: pd:PurchasesAndSpendingHabit");
    _cleanup_answer struct answer due = ask(w, NULL, "GET", "/v1/retention", "");
    assert_status(due, 200);
    assert_string_equal(text_at(&due, "items.0.category"), "purchases");
    assert_int_equal(number_at(&due, "items.0.retention_days"), 30);
    assert_int_equal(number_at(&due, "items.0.records"), 4);
    assert_int_equal(number_at(&due, "items.0.due"), 2);
    assert_int_equal(number_at(&due, "items.0.due_within_30_days"), 2);
    /* Not read any more, before the job comes. */
    _cleanup_answer struct answer read =
        ask(w, NULL, "GET", PURCHASES "?purpose=customer_support&recipient=customer_service", "");
    assert_int_equal(items(&read), 1);
    assert_int_equal(expire(w), 2);
    assert_int_equal(expire(w), 0);
    assert_true(records_verify(w, &report));
    assert_int_equal(report.rows, 2);
    _cleanup_answer struct answer history = ask(w, NULL, "GET", "/v1/consumers/00002/history", "");
    char path[40];
    snprintf(path, sizeof path, "items.%zu.kind", items(&history) - 1);
    assert_string_equal(text_at(&history, path), "record.expire");
}

static void test_what_a_hold_keeps_is_not_deleted_when_it_is_due(void **state)
{
    struct world *w = *state;
    char target[128];
    put_old(w, "00001", 40);
    put_old(w, "00002", 50);
    _cleanup_answer struct answer h =
        ask(w, NULL, "POST", "/v1/consumers/00001/holds",
            "{\"reason\":\"lawsuit\",\"source\":\"RB 38:2\",\"category\":\"purchases\"}");
    assert_status(h, 201);
    apply_changed(w, "categories.yaml", "dpv: pd:PurchasesAndSpendingHabit",
                  "retention: 30\n    dpv: pd:PurchasesAndSpendingHabit");
    _cleanup_answer struct answer due = ask(w, NULL, "GET", "/v1/retention", "");
    assert_int_equal(number_at(&due, "items.0.due"), 1);
    assert_int_equal(number_at(&due, "items.0.on_hold"), 1);
    assert_int_equal(expire(w), 1);
    assert_int_equal(expire(w), 0);
    snprintf(target, sizeof target, "/v1/consumers/00001/holds/%s", text_at(&h, "id"));
    _cleanup_answer struct answer released = ask(w, NULL, "DELETE", target, "");
    assert_status(released, 200);
    assert_int_equal(expire(w), 1);
}

static void test_a_record_ends_when_it_was_told_to(void **state)
{
    struct world *w = *state;
    char body[400], id[33], consent[33];
    give(w, GIVE("00001"), consent);
    _cleanup_buf struct buf end = {0};
    time_format(clock_now() + 300, &end);
    snprintf(body, sizeof body, "{\"retention_end\":\"%s\",%s", end.p, &PURCHASE("A-1")[1]);
    put(w, PURCHASES, body, id);
    put(w, PURCHASES, PURCHASE("A-2"), id);
    int64_t deadline = clock_now() + 10000, deleted = 0;
    while (deleted == 0 && clock_now() < deadline)
        deleted = expire(w);
    assert_int_equal(deleted, 1);
    _cleanup_answer struct answer a = ask(w, NULL, "GET", PURCHASES FOR_OFFERS, "");
    assert_int_equal(items(&a), 1);
    assert_string_equal(text_at(&a, "items.0.id"), id);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define WITH_POLICY(test) cmocka_unit_test_setup_teardown(test, world_begin, world_end)
        WITH_POLICY(test_a_record_is_read_for_a_purpose_cut_to_it_and_logged),
        WITH_POLICY(test_what_is_not_permitted_is_not_read_and_is_recorded),
        WITH_POLICY(test_a_record_is_an_object_of_the_fields_of_its_category),
        WITH_POLICY(test_amounts_decimals_and_times_are_exact_or_refused),
        WITH_POLICY(test_a_batch_is_written_whole_or_not_at_all),
        WITH_POLICY(test_a_list_is_read_page_by_page_and_a_cursor_is_of_its_reader),
        WITH_POLICY(test_a_correction_replaces_what_is_read_and_asks_for_the_right_version),
        WITH_POLICY(test_a_deleted_record_is_gone),
        WITH_POLICY(test_recipients_read_and_write_for_themselves_only),
        WITH_POLICY(test_a_record_that_the_ledger_did_not_make_is_found),
        WITH_POLICY(test_the_consumer_gets_everything_whole_and_it_is_recorded),
        WITH_POLICY(test_erasure_leaves_nothing_of_a_record),
        WITH_POLICY(test_an_activity_sees_nothing_older_than_its_own_retention),
        WITH_POLICY(test_what_is_due_is_deleted_and_recorded_when_the_policy_says_so),
        WITH_POLICY(test_what_a_hold_keeps_is_not_deleted_when_it_is_due),
        WITH_POLICY(test_a_record_ends_when_it_was_told_to),
#undef WITH_POLICY
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
