/* test_vault_stream.c - reading the records of an audience: whole, cut, recorded, and no more than
 * that. How it is carried over a connection is in test/system/test_records.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "test_api_fixture.h"

enum { PEOPLE = 450, SOME = 25 };

static char *fetch(struct world *w, const char *target, int *status, char type[64])
{
    struct http_call *call = http_call_new("GET", target, STR(""));
    http_dispatch(api_app(w->api), call);
    *status = call->status;
    snprintf(type, 64, "%s", call->content_type);
    char *bytes = str_dup(buf_view(&call->out));
    http_call_free(call);
    return bytes;
}

/* The operator proposes a read, and an officer approves it: what is left of its query. */
static void approve(struct world *w, const char *purpose, const char *recipient, const char *format,
                    char query[256])
{
    char key[80], body[300], target[160];
    make_key(w, "{\"staff\":\"privacy_officer\"}", key, NULL);
    snprintf(body, sizeof body,
             "{\"category\":\"purchases\",\"purpose\":\"%s\",\"recipient\":\"%s\","
             "\"format\":\"%s\",\"why\":\"the campaign of spring\"}",
             purpose, recipient, format);
    _cleanup_answer struct answer made = ask(w, NULL, "POST", "/v1/reads", body);
    assert_status(made, 201);
    snprintf(target, sizeof target, "%s/approve", made.location);
    snprintf(body, sizeof body, "{\"hash\":\"%s\"}", text_at(&made, "hash"));
    _cleanup_answer struct answer done = ask(w, key, "POST", target, body);
    assert_status(done, 200);
    snprintf(query, 256, "?purpose=%s&recipient=%s&format=%s&approval=%s", purpose, recipient,
             format, text_at(&made, "id"));
}

static char *fetch_approved(struct world *w, const char *purpose, const char *recipient,
                            const char *format, int *status, char type[64])
{
    char query[256], target[300];
    approve(w, purpose, recipient, format, query);
    snprintf(target, sizeof target, "/v1/records/purchases%s", query);
    return fetch(w, target, status, type);
}

static void buy(struct world *w, const char *who, int count)
{
    char target[100];
    _cleanup_buf struct buf body = {0};
    snprintf(target, sizeof target, "/v1/consumers/%s/records/purchases", who);
    buf_cstr(&body, "{\"records\":[");
    for (int i = 0; i < count; i++)
        buf_printf(&body,
                   "%s{\"data\":{\"order_id\":\"%s-%d\",\"bought_at\":\"2026-11-20T10:15:30Z\","
                   "\"product\":\"a \\\"b\\\", c\",\"amount\":{\"amount\":\"%d\",\"currency\":"
                   "\"SEK\"}}}",
                   i ? "," : "", who, i, i);
    buf_cstr(&body, "]}");
    _cleanup_answer struct answer a = ask(w, NULL, "POST", target, body.p);
    assert_status(a, 201);
}

static void answer_offer(struct world *w, const char *who, const char *decision)
{
    char body[400];
    snprintf(body, sizeof body,
             "{\"consumer\":\"%s\",\"purpose\":\"personal_offers\",\"recipient\":\"marketing\","
             "\"categories\":[\"purchases\"],\"decision\":\"%s\",\"notice\":{\"id\":"
             "\"personal_offers\",\"version\":1,\"language\":\"sv\"},\"channel\":\"web\"}",
             who, decision);
    _cleanup_answer struct answer a = ask(w, NULL, "POST", "/v1/consents", body);
    assert_status(a, 201);
}

static size_t lines(const char *bytes)
{
    size_t n = 0;
    for (; *bytes; bytes++)
        n += *bytes == '\n';
    return n;
}

static size_t count_events(struct world *w, const char *kind)
{
    size_t n = 0;
    int64_t after = -1;
    for (;;) {
        char target[64];
        snprintf(target, sizeof target, "/v1/events?limit=1000&after=%lld", (long long)after);
        _cleanup_answer struct answer a = ask(w, NULL, "GET", target, "");
        const json_t *items = at(a.json, "items");
        for (size_t i = 0; i < json_array_size(items); i++) {
            const json_t *e = json_array_get(items, i);
            n += strcmp(json_string_value(json_object_get(e, "kind")), kind) == 0;
            after = json_integer_value(json_object_get(e, "seq"));
        }
        if (json_array_size(items) < 1000)
            return n;
    }
}

static void test_the_audience_is_read_whole_and_each_access_recorded(void **state)
{
    struct world *w = *state;
    char who[24], type[64];
    int status;
    for (int i = 0; i < PEOPLE; i++) {
        snprintf(who, sizeof who, "c%d", i);
        buy(w, who, i == 7 ? 1000 : 1);
    }
    buy(w, "no-consent", 1);
    for (int i = 0; i < PEOPLE; i++) {
        snprintf(who, sizeof who, "c%d", i);
        answer_offer(w, who, "give");
    }
    answer_offer(w, "no-records", "give");
    answer_offer(w, "no-consent", "refuse");
    char *bytes = fetch_approved(w, "personal_offers", "marketing", "jsonl", &status, type);
    assert_int_equal(status, 200);
    assert_string_equal(type, "application/jsonl");
    assert_int_equal(lines(bytes), PEOPLE - 1 + 1000);
    assert_null(strstr(bytes, "no-consent"));
    assert_null(strstr(bytes, "order_id")); /* not in the view */
    assert_int_equal(count_events(w, "access"), PEOPLE);
    char *line = strtok(bytes, "\n");
    json_t *first = json_loads(line, 0, NULL);
    assert_string_equal(json_string_value(json_object_get(first, "consumer")), "c0");
    json_decref(first);
    free(bytes);
}

static void test_as_csv_it_has_the_columns_of_the_view(void **state)
{
    struct world *w = *state;
    char type[64];
    int status;
    buy(w, "c1", 2);
    answer_offer(w, "c1", "give");
    char *bytes = fetch_approved(w, "personal_offers", "marketing", "csv", &status, type);
    assert_int_equal(status, 200);
    assert_string_equal(type, "text/csv; charset=utf-8");
    assert_int_equal(lines(bytes), 3);
    const char *head = "consumer,id,product,department,bought_at,amount\r\nc1,";
    assert_int_equal(strncmp(bytes, head, strlen(head)), 0);
    assert_non_null(strstr(bytes, ",\"a \"\"b\"\", c\",,2026-11-20T10:15:30Z,0 SEK\r\n"));
    free(bytes);
}

static void test_a_pseudonymous_audience_shows_no_id_and_cannot_be_joined(void **state)
{
    struct world *w = *state;
    char who[24], type[64];
    int status;
    for (int i = 0; i < SOME; i++) {
        char body[400];
        snprintf(who, sizeof who, "member-%d", i);
        buy(w, who, 1);
        snprintf(body, sizeof body,
                 "{\"consumer\":\"%s\",\"purpose\":\"product_development\",\"recipient\":"
                 "\"product\",\"categories\":[\"purchases\"],\"decision\":\"give\",\"notice\":"
                 "{\"id\":\"product_development\",\"version\":1,\"language\":\"sv\"},"
                 "\"channel\":\"web\"}",
                 who);
        _cleanup_answer struct answer a = ask(w, NULL, "POST", "/v1/consents", body);
        assert_status(a, 201);
        snprintf(body, sizeof body,
                 "{\"consumer\":\"%s\",\"purpose\":\"bonus_programme\",\"recipient\":"
                 "\"nordbank\",\"categories\":[\"purchases\"],\"decision\":\"give\",\"notice\":"
                 "{\"id\":\"bonus_programme\",\"version\":1,\"language\":\"sv\"},"
                 "\"channel\":\"web\"}",
                 who);
        _cleanup_answer struct answer b = ask(w, NULL, "POST", "/v1/consents", body);
        assert_status(b, 201);
    }
    char *one = fetch_approved(w, "product_development", "product", "jsonl", &status, type);
    char *two = fetch_approved(w, "bonus_programme", "nordbank", "jsonl", &status, type);
    assert_int_equal(lines(one), SOME);
    assert_int_equal(lines(two), SOME);
    /* Whole records of one hold the id in the order's number: that is a field's. */
    assert_null(strstr(two, "member-"));
    for (char *line = strtok(one, "\n"); line; line = strtok(NULL, "\n")) {
        json_t *json = json_loads(line, 0, NULL);
        static const char *const names[] = {"id", "consumer"};
        for (int i = 0; i < 2; i++) {
            const char *code = json_string_value(json_object_get(json, names[i]));
            assert_int_equal(strlen(code), 32);
            assert_null(strstr(two, code));
        }
        json_decref(json);
    }
    free(one);
    free(two);
}

static void test_who_may_not_gets_nothing_and_is_recorded(void **state)
{
    struct world *w = *state;
    static const struct {
        const char *target, *reason;
        int status;
    } cases[] = {
        {"?purpose=stock_planning&recipient=operations", "aggregate_only", 403},
        {"?purpose=credit_scoring&recipient=risk", "not_in_policy", 403},
        {"?purpose=personal_offers&recipient=nobody", "recipient_unknown", 403},
        {"?recipient=marketing", "missing_field", 400},
        {"?purpose=personal_offers", "missing_field", 400},
        {"?purpose=personal_offers&recipient=marketing&format=xml", "invalid_query", 400},
        {"?purpose=personal_offers&recipient=marketing&limit=5", "unknown_parameter", 400},
        {"?purpose=personal_offers&recipient=marketing", "approval_required", 403},
        {"?purpose=personal_offers&recipient=marketing&approval=x", "unknown_proposal", 404},
    };
    buy(w, "c1", 1);
    answer_offer(w, "c1", "give");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char target[160];
        snprintf(target, sizeof target, "/v1/records/purchases%s", cases[i].target);
        _cleanup_answer struct answer a = ask(w, NULL, "GET", target, "");
        assert_status(a, cases[i].status);
        assert_reason(a, cases[i].reason);
    }
    assert_int_equal(count_events(w, "access"), 0);
    assert_int_equal(count_events(w, "access.denied"), 3);
    char key[80];
    make_key(w, "{\"recipient\":\"marketing\"}", key, NULL);
    _cleanup_answer struct answer own =
        ask(w, key, "GET", "/v1/records/purchases?purpose=personal_offers", "");
    assert_status(own, 200);
    _cleanup_answer struct answer other = ask(
        w, key, "GET", "/v1/records/purchases?purpose=product_development&recipient=product", "");
    assert_status(other, 403);
    _cleanup_answer struct answer more =
        ask(w, key, "GET", "/v1/records/purchases?purpose=personal_offers&approval=x", "");
    assert_reason(more, "unknown_parameter");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define WITH_POLICY(test) cmocka_unit_test_setup_teardown(test, world_begin, world_end)
        WITH_POLICY(test_the_audience_is_read_whole_and_each_access_recorded),
        WITH_POLICY(test_as_csv_it_has_the_columns_of_the_view),
        WITH_POLICY(test_a_pseudonymous_audience_shows_no_id_and_cannot_be_joined),
        WITH_POLICY(test_who_may_not_gets_nothing_and_is_recorded),
#undef WITH_POLICY
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
