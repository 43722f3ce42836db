/* test_vault.c - records over the API: what is stored, who reads what of it, and what is left of it
 * anywhere else. Random views are in test_vault_model.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "test_api_fixture.h"

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
    snprintf(command, sizeof command, "grep -rqaF '%s' %s", text, w->dir);
    return system(command) == 0;
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

int main(void)
{
    const struct CMUnitTest tests[] = {
#define WITH_POLICY(test) cmocka_unit_test_setup_teardown(test, world_begin, world_end)
        WITH_POLICY(test_a_record_is_read_for_a_purpose_cut_to_it_and_logged),
        WITH_POLICY(test_what_is_not_permitted_is_not_read_and_is_recorded),
#undef WITH_POLICY
    };
    (void)is_in_files;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
