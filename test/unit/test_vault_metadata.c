/* test_vault_metadata.c - what a record may be used for, narrower than the policy, and what is
 * known about many records: listed, changed and deleted by it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "test_api_fixture.h"
#include "test_seed.h"
#include "vault/vault.h"

#define OFFERS "purpose=personal_offers&recipient=marketing"
#define SUPPORT "purpose=customer_support&recipient=customer_service"
#define DATA                                                                                       \
    "\"data\":{\"order_id\":\"A-17\",\"bought_at\":\"2026-11-20T10:15:30Z\","                      \
    "\"product\":\"kettle\",\"amount\":{\"amount\":\"349.50\",\"currency\":\"SEK\"}}"

static size_t items(const struct answer *a)
{
    return json_array_size(at(a->json, "items"));
}

static int64_t number_at(const struct answer *a, const char *path)
{
    return json_integer_value(at(a->json, path));
}

/* A purchase of the consumer; `more` are members beside its data, begun by a comma. */
static void put(struct world *w, const char *consumer, const char *more, char id[33])
{
    char target[96], body[600];
    snprintf(target, sizeof target, "/v1/consumers/%s/records/purchases", consumer);
    snprintf(body, sizeof body, "{" DATA "%s}", more);
    _cleanup_answer struct answer a = ask(w, NULL, "POST", target, body);
    assert_status(a, 201);
    snprintf(id, 33, "%s", text_at(&a, "id"));
}

static size_t seen(struct world *w, const char *consumer, const char *use)
{
    char target[160];
    snprintf(target, sizeof target, "/v1/consumers/%s/records/purchases?%s", consumer, use);
    _cleanup_answer struct answer a = ask(w, NULL, "GET", target, "");
    assert_status(a, 200);
    return items(&a);
}

static bool verify(struct world *w, struct state_report *report)
{
    struct err err = {0};
    struct db *db;
    assert_int_equal(db_pool_get(engine_lov(w->e), &db, &err), 0);
    if (vault_verify(db, 0, report, &err))
        fail_msg("%s", err.text);
    db_pool_put(engine_lov(w->e), db);
    return !report->wrong;
}

static void assert_right(struct world *w)
{
    struct state_report report;
    if (!verify(w, &report))
        fail_msg("event %lld: %s", (long long)report.seq, report.what);
}

/* ---- limits ---- */

static void test_a_record_is_used_for_what_its_limits_say(void **state)
{
    struct world *w = *state;
    char consent[33], id[33];
    give(w, GIVE("00001"), consent);
    put(w, "00001", "", id);
    put(w, "00001", ",\"limits\":{\"purposes\":[\"customer_support\"]}", id);
    put(w, "00001", ",\"limits\":{\"objections\":[\"personal_offers\"]}", id);
    put(w, "00001", ",\"limits\":{\"recipients\":[\"marketing\"]}", id);
    put(w, "00001", ",\"limits\":{\"purposes\":[]}", id);
    assert_int_equal(seen(w, "00001", OFFERS), 3);
    assert_int_equal(seen(w, "00001", SUPPORT), 4);
    /* A page is full of what may be seen, and says that there is more. */
    _cleanup_answer struct answer page =
        ask(w, NULL, "GET", "/v1/consumers/00001/records/purchases?" OFFERS "&limit=2", "");
    assert_int_equal(items(&page), 2);
    assert_true(json_is_string(at(page.json, "next")));
    assert_right(w);
}

static void test_limits_name_what_the_policy_has(void **state)
{
    static const struct {
        const char *limits;
        int status;
        const char *reason;
    } cases[] = {
        {"{\"purposes\":[\"gossip\"]}", 422, "unknown_purpose"},
        {"{\"objections\":[\"gossip\"]}", 422, "unknown_purpose"},
        {"{\"recipients\":[\"nobody\"]}", 422, "unknown_recipient"},
        {"{\"purpose\":[]}", 400, "unknown_field"},
        {"{\"purposes\":[\"personal_offers\",\"personal_offers\"]}", 400, "invalid_field"},
        {"[]", 400, "invalid_field"},
    };
    struct world *w = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char body[600];
        snprintf(body, sizeof body, "{" DATA ",\"limits\":%s}", cases[i].limits);
        _cleanup_answer struct answer a =
            ask(w, NULL, "POST", "/v1/consumers/00001/records/purchases", body);
        assert_status(a, cases[i].status);
        assert_reason(a, cases[i].reason);
    }
}

static void test_a_correction_leaves_limits_that_it_does_not_name(void **state)
{
    struct world *w = *state;
    char consent[33], id[33], target[128];
    give(w, GIVE("00001"), consent);
    put(w, "00001", ",\"limits\":{\"purposes\":[\"customer_support\"]}", id);
    snprintf(target, sizeof target, "/v1/consumers/00001/records/purchases/%s", id);
    _cleanup_answer struct answer same = ask(w, NULL, "PUT", target, "{" DATA "}");
    assert_status(same, 200);
    assert_int_equal(seen(w, "00001", OFFERS), 0);
    assert_right(w);
    _cleanup_answer struct answer none =
        ask(w, NULL, "PUT", target, "{" DATA ",\"limits\":{\"purposes\":[]}}");
    assert_status(none, 200);
    assert_int_equal(seen(w, "00001", OFFERS), 1);
    assert_right(w);
}

static void test_one_record_is_read_like_a_list_of_it(void **state)
{
    struct world *w = *state;
    char consent[33], first[33], second[33], target[200];
    give(w, GIVE("00001"), consent);
    put(w, "00001", "", first);
    put(w, "00001", ",\"limits\":{\"purposes\":[\"customer_support\"]}", second);
    snprintf(target, sizeof target, "/v1/consumers/00001/records/purchases/%s?" OFFERS, first);
    _cleanup_answer struct answer a = ask(w, NULL, "GET", target, "");
    assert_status(a, 200);
    assert_string_equal(text_at(&a, "record.id"), first);
    assert_true(json_is_integer(at(a.json, "context.event")));
    snprintf(target, sizeof target, "/v1/consumers/00001/records/purchases/%s?" OFFERS, second);
    _cleanup_answer struct answer no = ask(w, NULL, "GET", target, "");
    assert_status(no, 404);
    assert_reason(no, "unknown_record");
    snprintf(target, sizeof target, "/v1/consumers/00002/records/purchases/%s?" SUPPORT, first);
    _cleanup_answer struct answer foreign = ask(w, NULL, "GET", target, "");
    assert_int_not_equal(foreign.status, 200);
    _cleanup_answer struct answer nothing =
        ask(w, NULL, "GET", "/v1/consumers/00001/records/purchases/x?" OFFERS, "");
    assert_status(nothing, 404);
}

/* ---- lists ---- */

static void test_a_list_tells_about_records_and_not_what_is_in_them(void **state)
{
    struct world *w = *state;
    char id[33], target[512];
    put(w, "00001", ",\"source\":\"till\",\"limits\":{\"purposes\":[\"customer_support\"]}", id);
    put(w, "00001", ",\"source\":\"web\"", id);
    put(w, "00002", ",\"source\":\"till\"", id);
    _cleanup_answer struct answer all = ask(w, NULL, "GET", "/v1/records", "");
    assert_status(all, 200);
    assert_int_equal(items(&all), 3);
    assert_null(at(all.json, "items.0.data"));
    assert_null(strstr(all.text, "kettle"));
    _cleanup_answer struct answer till = ask(w, NULL, "GET", "/v1/records?source=till", "");
    assert_int_equal(items(&till), 2);
    _cleanup_answer struct answer one =
        ask(w, NULL, "GET", "/v1/records?consumer=00001&source=web&category=purchases", "");
    assert_int_equal(items(&one), 1);
    assert_string_equal(text_at(&one, "items.0.consumer"), "00001");
    _cleanup_answer struct answer purpose =
        ask(w, NULL, "GET", "/v1/records?purpose=customer_support", "");
    assert_int_equal(items(&purpose), 1);
    assert_string_equal(text_at(&purpose, "items.0.limits.purposes.0"), "customer_support");
    _cleanup_answer struct answer both =
        ask(w, NULL, "GET", "/v1/records?purpose=customer_support&consumer=00002", "");
    assert_int_equal(items(&both), 0);
    _cleanup_answer struct answer unknown = ask(w, NULL, "GET", "/v1/records?consumer=00009", "");
    assert_status(unknown, 404);
    /* Page by page, by every way, and a cursor is of its list. */
    static const char *const lists[] = {"", "&consumer=00001", "&source=till"};
    static const size_t counts[] = {3, 2, 2};
    for (size_t i = 0; i < 3; i++) {
        size_t count = 0;
        snprintf(target, sizeof target, "/v1/records?limit=1%s", lists[i]);
        for (;;) {
            _cleanup_answer struct answer page = ask(w, NULL, "GET", target, "");
            assert_status(page, 200);
            count += items(&page);
            if (!json_is_string(at(page.json, "next")))
                break;
            snprintf(target, sizeof target, "/v1/records?limit=1%s&after=%s", lists[i],
                     text_at(&page, "next"));
        }
        assert_int_equal(count, counts[i]);
    }
    _cleanup_answer struct answer first = ask(w, NULL, "GET", "/v1/records?limit=1", "");
    snprintf(target, sizeof target, "/v1/records?source=till&after=%s", text_at(&first, "next"));
    _cleanup_answer struct answer other = ask(w, NULL, "GET", target, "");
    assert_reason(other, "invalid_cursor");
    /* Whoever looked is in the ledger, and in the history of whom they looked at. */
    _cleanup_answer struct answer history = ask(w, NULL, "GET", "/v1/consumers/00001/history", "");
    char path[40];
    snprintf(path, sizeof path, "items.%zu.kind", items(&history) - 1);
    assert_string_equal(text_at(&history, path), "record.list");
}

static void test_only_officers_change_many(void **state)
{
    struct world *w = *state;
    static const char *const bodies[] = {"change", "delete"};
    char support[80], marketing[80], auditor[80], target[64];
    make_key(w, "{\"staff\":\"support\"}", support, NULL);
    make_key(w, "{\"staff\":\"auditor\"}", auditor, NULL);
    make_key(w, "{\"recipient\":\"marketing\"}", marketing, NULL);
    for (size_t i = 0; i < 2; i++) {
        snprintf(target, sizeof target, "/v1/records/%s", bodies[i]);
        const char *const keys[] = {support, auditor, marketing};
        for (size_t k = 0; k < 3; k++) {
            _cleanup_answer struct answer a =
                ask(w, keys[k], "POST", target, "{\"where\":{\"source\":\"till\"}}");
            assert_status(a, 403);
        }
    }
    _cleanup_answer struct answer list = ask(w, auditor, "GET", "/v1/records", "");
    assert_status(list, 200);
    _cleanup_answer struct answer no = ask(w, marketing, "GET", "/v1/records", "");
    assert_status(no, 403);
    _cleanup_answer struct answer nor = ask(w, support, "GET", "/v1/records", "");
    assert_status(nor, 403);
}

/* ---- changes ---- */

#define CHANGE(where, set) "{\"where\":{" where "},\"set\":{" set "}}"

static void test_a_change_is_of_those_that_the_filter_finds(void **state)
{
    struct world *w = *state;
    char consent[33], id[33];
    give(w, GIVE("00001"), consent);
    put(w, "00001", ",\"source\":\"till\",\"limits\":{\"purposes\":[\"personal_offers\"]}", id);
    put(w, "00001", ",\"source\":\"web\"", id);
    put(w, "00002", ",\"source\":\"till\"", id);
    assert_int_equal(seen(w, "00001", OFFERS), 2);
    _cleanup_answer struct answer a =
        ask(w, NULL, "POST", "/v1/records/change",
            CHANGE("\"purpose\":\"personal_offers\"",
                   "\"source\":\"crm\",\"limits\":{\"objections\":[\"personal_offers\"]}"));
    assert_status(a, 200);
    assert_int_equal(number_at(&a, "matched"), 1);
    assert_int_equal(number_at(&a, "changed"), 1);
    assert_true(json_is_null(at(a.json, "next")));
    assert_int_equal(seen(w, "00001", OFFERS), 1);
    assert_right(w);
    /* What is so already is not written again. */
    _cleanup_answer struct answer again =
        ask(w, NULL, "POST", "/v1/records/change",
            CHANGE("\"source\":\"crm\"", "\"limits\":{\"objections\":[\"personal_offers\"]}"));
    assert_int_equal(number_at(&again, "matched"), 1);
    assert_int_equal(number_at(&again, "changed"), 0);
    _cleanup_answer struct answer history = ask(w, NULL, "GET", "/v1/consumers/00001/history", "");
    char path[64];
    size_t last = items(&history) - 1;
    while (last &&
           strcmp(text_at(&history, (snprintf(path, sizeof path, "items.%zu.kind", last), path)),
                  "record.amend") != 0)
        last--;
    snprintf(path, sizeof path, "items.%zu.set.source", last);
    assert_string_equal(text_at(&history, path), "crm");
    snprintf(path, sizeof path, "items.%zu.records.0.record", last);
    assert_int_equal(strlen(text_at(&history, path)), 32);
    /* An end of its own, for all of a consumer; the job deletes what it is over for. */
    _cleanup_buf struct buf end = {0};
    time_format(clock_now() + 500, &end);
    char body[200];
    snprintf(body, sizeof body, CHANGE("\"consumer\":\"00002\"", "\"retention_end\":\"%s\""),
             end.p);
    _cleanup_answer struct answer ends = ask(w, NULL, "POST", "/v1/records/change", body);
    assert_int_equal(number_at(&ends, "changed"), 1);
    int64_t deadline = clock_now() + 10000, deleted = 0;
    struct vault *v;
    struct err err = {0};
    assert_int_equal(vault_open(w->e, &v, &err), 0);
    while (deleted == 0 && clock_now() < deadline)
        assert_int_equal(vault_expire_due(v, 100, &deleted, &err), 0);
    vault_close(v);
    assert_int_equal(deleted, 1);
    assert_right(w);
    _cleanup_answer struct answer none = ask(w, NULL, "GET", "/v1/records?consumer=00002", "");
    assert_int_equal(items(&none), 0);
}

static void test_a_change_that_cannot_be_changes_nothing(void **state)
{
    static const struct {
        const char *body;
        int status;
        const char *reason;
    } cases[] = {
        {"{}", 400, "missing_field"},
        {"{\"where\":{},\"set\":{\"source\":\"crm\"}}", 400, "missing_field"},
        {CHANGE("\"source\":\"till\"", ""), 400, "missing_field"},
        {CHANGE("\"source\":\"till\"", "\"version\":3"), 400, "unknown_field"},
        {CHANGE("\"id\":\"x\"", "\"source\":\"crm\""), 400, "unknown_field"},
        {CHANGE("\"source\":\"till\"", "\"limits\":{\"purposes\":[\"gossip\"]}"), 422,
         "unknown_purpose"},
        {CHANGE("\"source\":\"till\"", "\"retention_end\":\"2001-01-01T00:00:00Z\""), 422,
         "retention_over"},
        {CHANGE("\"consumer\":\"00009\"", "\"source\":\"crm\""), 404, "unknown_consumer"},
        {"{\"where\":{\"source\":\"till\"},\"set\":{\"source\":\"crm\"},\"after\":\"x\"}", 400,
         "invalid_cursor"},
    };
    struct world *w = *state;
    char id[33];
    put(w, "00001", ",\"source\":\"till\"", id);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        _cleanup_answer struct answer a = ask(w, NULL, "POST", "/v1/records/change", cases[i].body);
        if (a.status != cases[i].status)
            fail_msg("%s: %d %s", cases[i].body, a.status, a.text);
        assert_reason(a, cases[i].reason);
    }
    _cleanup_answer struct answer list = ask(w, NULL, "GET", "/v1/records?source=till", "");
    assert_int_equal(items(&list), 1);
    assert_int_equal(number_at(&list, "items.0.version"), 1);
}

static void test_many_are_deleted_but_what_a_hold_keeps(void **state)
{
    struct world *w = *state;
    char id[33], kept[33];
    put(w, "00001", ",\"source\":\"till\",\"limits\":{\"purposes\":[\"customer_support\"]}", kept);
    put(w, "00002", ",\"source\":\"till\",\"limits\":{\"purposes\":[\"customer_support\"]}", id);
    put(w, "00002", ",\"source\":\"web\"", id);
    _cleanup_answer struct answer h = ask(w, NULL, "POST", "/v1/consumers/00001/holds",
                                          "{\"reason\":\"lawsuit\",\"source\":\"RB 38:2\"}");
    assert_status(h, 201);
    _cleanup_answer struct answer a =
        ask(w, NULL, "POST", "/v1/records/delete", "{\"where\":{\"source\":\"till\"}}");
    assert_status(a, 200);
    assert_int_equal(number_at(&a, "matched"), 2);
    assert_int_equal(number_at(&a, "deleted"), 1);
    assert_int_equal(number_at(&a, "on_hold"), 1);
    _cleanup_answer struct answer left = ask(w, NULL, "GET", "/v1/records", "");
    assert_int_equal(items(&left), 2);
    _cleanup_answer struct answer purpose =
        ask(w, NULL, "GET", "/v1/records?purpose=customer_support", "");
    assert_int_equal(items(&purpose), 1);
    assert_string_equal(text_at(&purpose, "items.0.id"), kept);
    assert_right(w);
}

static void test_an_erasure_takes_the_purposes_along(void **state)
{
    struct world *w = *state;
    char id[33];
    put(w, "00001", ",\"limits\":{\"purposes\":[\"customer_support\"]}", id);
    _cleanup_answer struct answer gone = ask(w, NULL, "POST", "/v1/consumers/00001/erase", "");
    assert_status(gone, 200);
    _cleanup_answer struct answer list =
        ask(w, NULL, "GET", "/v1/records?purpose=customer_support", "");
    assert_int_equal(items(&list), 0);
    assert_right(w);
}

/* ---- what the ledger did not do ---- */

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

static void test_limits_that_no_event_set_are_found(void **state)
{
    static const char *const forged[] = {
        "update record set limits = ''",
        "update record set limits = '{\"purposes\":[\"personal_offers\"]}'",
        "update record set source = 'forged' where event <> seq",
        "update record set retention_end = 1 where event <> seq",
        "update record set event = seq",
        "update record set sealed = x'00' where event <> seq",
        "delete from record where event <> seq",
        "delete from record_purpose",
        "insert into record_purpose select shard, 'gossip', cid, category, seq from record",
    };
    struct world *w = *state;
    struct state_report report;
    char id[33];
    put(w, "00001", ",\"limits\":{\"purposes\":[\"customer_support\"]}", id);
    put(w, "00002", ",\"source\":\"till\",\"limits\":{\"recipients\":[\"marketing\"]}", id);
    _cleanup_answer struct answer a = ask(w, NULL, "POST", "/v1/records/change",
                                          CHANGE("\"source\":\"till\"", "\"source\":\"crm\""));
    assert_int_equal(number_at(&a, "changed"), 1);
    assert_right(w);
    run_sql(w, "create table kept as select * from record");
    run_sql(w, "create table named as select * from record_purpose");
    for (size_t i = 0; i < sizeof forged / sizeof *forged; i++) {
        run_sql(w, forged[i]);
        if (verify(w, &report))
            fail_msg("not found: %s", forged[i]);
        run_sql(w, "delete from record");
        run_sql(w, "delete from record_purpose");
        run_sql(w, "insert into record select * from kept");
        run_sql(w, "insert into record_purpose select * from named");
        assert_right(w);
    }
}

/* ---- at random ---- */

enum { CONSUMERS = 6, STEPS = 150, RECORDS_MOST = 200 };
static const char *const purposes[] = {"personal_offers", "customer_support"};
static const char *const sources[] = {"till", "web", "crm"};

static uint64_t seed;

static int below(int bound)
{
    return (int)seed_below(&seed, (uint64_t)bound);
}

struct model {
    int consumer, source;
    bool for_purpose[2], objects[2], there;
};

static bool model_sees(const struct model *m, int purpose)
{
    bool limited = m->for_purpose[0] || m->for_purpose[1];
    return (!limited || m->for_purpose[purpose]) && !m->objects[purpose];
}

static void names(struct buf *out, const char *member, const bool *which)
{
    buf_printf(out, "\"%s\":[", member);
    for (int i = 0, n = 0; i < 2; i++)
        if (which[i])
            buf_printf(out, "%s\"%s\"", n++ ? "," : "", purposes[i]);
    buf_cstr(out, "]");
}

static void random_put(struct world *w, struct model *m)
{
    _cleanup_buf struct buf more = {0};
    char id[33], consumer[8];
    m->consumer = below(CONSUMERS);
    m->source = below(3);
    for (int i = 0; i < 2; i++) {
        m->for_purpose[i] = below(3) == 0;
        m->objects[i] = below(4) == 0;
    }
    m->there = true;
    buf_printf(&more, ",\"source\":\"%s\",\"limits\":{", sources[m->source]);
    names(&more, "purposes", m->for_purpose);
    buf_cstr(&more, ",");
    names(&more, "objections", m->objects);
    buf_cstr(&more, "}");
    snprintf(consumer, sizeof consumer, "%05d", m->consumer);
    put(w, consumer, more.p, id);
}

struct model_filter {
    int consumer, source, purpose; /* -1: any */
};

static bool matches(const struct model *m, const struct model_filter *f)
{
    return m->there && (f->consumer < 0 || m->consumer == f->consumer) &&
           (f->source < 0 || m->source == f->source) &&
           (f->purpose < 0 || m->for_purpose[f->purpose]);
}

static struct model_filter random_filter(struct buf *where)
{
    struct model_filter f = {-1, -1, -1};
    buf_cstr(where, "\"category\":\"purchases\"");
    if (below(2))
        buf_printf(where, ",\"consumer\":\"%05d\"", f.consumer = below(CONSUMERS));
    if (below(2))
        buf_printf(where, ",\"source\":\"%s\"", sources[f.source = below(3)]);
    if (below(2))
        buf_printf(where, ",\"purpose\":\"%s\"", purposes[f.purpose = below(2)]);
    return f;
}

static void random_change(struct world *w, struct model *all, size_t count)
{
    _cleanup_buf struct buf body = {0};
    bool remove = below(6) == 0, objects[2] = {below(2) == 0, below(2) == 0};
    int source = below(4), kind = below(2); /* 3: none */
    buf_cstr(&body, "{\"where\":{");
    struct model_filter f = random_filter(&body);
    buf_cstr(&body, "}");
    if (!remove) {
        buf_cstr(&body, ",\"set\":{\"limits\":{");
        names(&body, kind ? "purposes" : "objections", objects);
        buf_printf(&body, "}%s%s%s}", source < 3 ? ",\"source\":\"" : "",
                   source < 3 ? sources[source] : "", source < 3 ? "\"" : "");
    }
    buf_cstr(&body, "}");
    int64_t expected = 0;
    for (size_t i = 0; i < count; i++) {
        if (!matches(&all[i], &f))
            continue;
        expected++;
        all[i].there = !remove;
        if (!remove && source < 3)
            all[i].source = source;
        if (!remove)
            memcpy(kind ? all[i].for_purpose : all[i].objects, objects, sizeof objects);
    }
    _cleanup_answer struct answer a =
        ask(w, NULL, "POST", remove ? "/v1/records/delete" : "/v1/records/change", body.p);
    if (a.status == 404) { /* a consumer who is not there yet */
        assert_int_equal(expected, 0);
        return;
    }
    assert_status(a, 200);
    assert_int_equal(number_at(&a, "matched"), expected);
}

static void compare(struct world *w, const struct model *all, size_t count)
{
    static const char *const uses[] = {OFFERS, SUPPORT};
    for (int c = 0; c < CONSUMERS; c++) {
        char consumer[8];
        size_t expected[2] = {0}, records = 0;
        snprintf(consumer, sizeof consumer, "%05d", c);
        for (size_t i = 0; i < count; i++) {
            for (int u = 0; u < 2; u++)
                expected[u] += all[i].there && all[i].consumer == c && model_sees(&all[i], u);
            records += all[i].consumer == c;
        }
        for (int u = 0; records && u < 2; u++)
            assert_int_equal(seen(w, consumer, uses[u]), expected[u]);
    }
}

static void test_any_changes_leave_what_a_model_says(void **state)
{
    struct world *w = *state;
    static struct model all[RECORDS_MOST];
    size_t count = 0;
    seed = seed_start();
    for (int c = 0; c < CONSUMERS; c++) {
        char body[512], consent[33];
        snprintf(body, sizeof body, GIVE("%05d"), c);
        give(w, body, consent);
    }
    for (int step = 0; step < STEPS; step++) {
        if (below(2))
            random_put(w, &all[count++]);
        else
            random_change(w, all, count);
        if (step % 30 == 29)
            compare(w, all, count);
    }
    assert_right(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define WITH_POLICY(test) cmocka_unit_test_setup_teardown(test, world_begin, world_end)
        WITH_POLICY(test_a_record_is_used_for_what_its_limits_say),
        WITH_POLICY(test_limits_name_what_the_policy_has),
        WITH_POLICY(test_a_correction_leaves_limits_that_it_does_not_name),
        WITH_POLICY(test_one_record_is_read_like_a_list_of_it),
        WITH_POLICY(test_a_list_tells_about_records_and_not_what_is_in_them),
        WITH_POLICY(test_only_officers_change_many),
        WITH_POLICY(test_a_change_is_of_those_that_the_filter_finds),
        WITH_POLICY(test_a_change_that_cannot_be_changes_nothing),
        WITH_POLICY(test_many_are_deleted_but_what_a_hold_keeps),
        WITH_POLICY(test_an_erasure_takes_the_purposes_along),
        WITH_POLICY(test_limits_that_no_event_set_are_found),
        WITH_POLICY(test_any_changes_leave_what_a_model_says),
#undef WITH_POLICY
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
