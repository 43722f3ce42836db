/* Consents, consumers, events and policy over HTTP: what goes in, what comes out, what is refused.
 */
#include "test_api_fixture.h"

static void test_consent_is_given_asked_for_and_withdrawn(void **state)
{
    struct world *w = *state;
    char id[33], path[80];
    give(w, GIVE("00001"), id);
    assert_int_equal(strlen(id), 32);
    snprintf(path, sizeof path, "/v1/consents/%s", id);
    _cleanup_answer struct answer got = ask(w, NULL, "GET", path, NULL);
    assert_status(got, 200);
    assert_string_equal(text_at(&got, "consumer"), "00001");
    assert_string_equal(text_at(&got, "status"), "active");
    assert_string_equal(text_at(&got, "notice.language"), "sv");
    assert_int_equal(strlen(text_at(&got, "notice.hash")), 64);
    assert_string_equal(text_at(&got, "evidence.form"), "checkout");
    assert_true(json_is_null(at(got.json, "guardian")));
    _cleanup_answer struct answer yes =
        ask(w, NULL, "POST", "/access/v1/evaluation", QUESTION("00001", "purchases"));
    assert_true(json_is_true(at(yes.json, "decision")));
    assert_string_equal(text_at(&yes, "context.consent"), id);
    strcat(path, "/withdraw");
    _cleanup_answer struct answer gone = ask(w, NULL, "POST", path, NULL);
    assert_status(gone, 200);
    assert_string_equal(text_at(&gone, "status"), "withdrawn");
    _cleanup_answer struct answer no =
        ask(w, NULL, "POST", "/access/v1/evaluation", QUESTION("00001", "purchases"));
    assert_true(json_is_false(at(no.json, "decision")));
    assert_string_equal(text_at(&no, "context.reason"), "withdrawn");
}

static void test_answer_to_a_new_consent_names_its_location(void **state)
{
    struct world *w = *state;
    _cleanup_answer struct answer a = ask(w, NULL, "POST", "/v1/consents", GIVE("00002"));
    assert_status(a, 201);
    char expected[80];
    snprintf(expected, sizeof expected, "/v1/consents/%s", text_at(&a, "id"));
    assert_string_equal(a.location, expected);
}

static void test_amend_narrows_and_renew_prolongs(void **state)
{
    struct world *w = *state;
    char id[33], path[80];
    give(w, GIVE("00003"), id);
    snprintf(path, sizeof path, "/v1/consents/%s/amend", id);
    _cleanup_answer struct answer a =
        ask(w, NULL, "POST", path, "{\"categories\":[\"purchases\"]}");
    assert_status(a, 200);
    assert_int_equal(json_array_size(at(a.json, "categories")), 1);
    assert_string_equal(text_at(&a, "narrowed.0"), "profile");
    _cleanup_answer struct answer again =
        ask(w, NULL, "POST", path, "{\"categories\":[\"purchases\"]}");
    assert_status(again, 422);
    assert_reason(again, "nothing_to_amend");
    snprintf(path, sizeof path, "/v1/consents/%s/renew", id);
    _cleanup_answer struct answer b =
        ask(w, NULL, "POST", path,
            "{\"notice\":{\"id\":\"personal_offers\",\"version\":1,\"language\":\"en\"},"
            "\"channel\":\"app\"}");
    assert_status(b, 200);
    assert_string_equal(text_at(&b, "channel"), "app");
    assert_string_equal(text_at(&b, "notice.language"), "en");
}

/* ---- refusals ---- */

#define HEAD "{\"consumer\":\"00009\",\"purpose\":\"personal_offers\",\"recipient\":\"marketing\","
#define MIDDLE "\"categories\":[\"purchases\"],\"decision\":\"give\",\"channel\":\"web\","
#define NOTICE "\"notice\":{\"id\":\"personal_offers\",\"version\":1,\"language\":\"en\"}"

static const struct {
    const char *body;
    int status;
    const char *reason;
} refusals[] = {
    {"", 400, "missing_body"},
    {"{", 400, "invalid_json"},
    {"[]", 400, "invalid_field"},
    {"{}", 400, "missing_field"},
    {HEAD MIDDLE NOTICE ",\"x\":1}", 400, "unknown_field"},
    {HEAD MIDDLE NOTICE ",\"consumer\":\"1\"}", 400, "invalid_json"},
    {HEAD MIDDLE NOTICE "} x", 400, "invalid_json"},
    {HEAD MIDDLE NOTICE ",\"evidence\":7}", 400, "invalid_field"},
    {HEAD MIDDLE NOTICE ",\"guardian\":[]}", 400, "invalid_field"},
    {HEAD MIDDLE NOTICE ",\"expires_at\":\"2027-02-30T00:00:00Z\"}", 400, "invalid_field"},
    {HEAD MIDDLE NOTICE ",\"expires_at\":\"tomorrow\"}", 400, "invalid_field"},
    {HEAD MIDDLE NOTICE ",\"expires_at\":1}", 400, "invalid_field"},
    {HEAD MIDDLE NOTICE ",\"evidence\":{\"a\":[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]}}", 400,
     "invalid_json"},
    {HEAD MIDDLE NOTICE ",\"evidence\":\"\xff\"}", 400, "invalid_json"},
    {HEAD MIDDLE NOTICE ",\"evidence\":\"\\ud800\"}", 400, "invalid_json"},
    {HEAD MIDDLE "\"notice\":{\"id\":\"personal_offers\",\"version\":99999999999999999999,"
                 "\"language\":\"en\"}}",
     400, "invalid_json"},
    {HEAD MIDDLE "\"notice\":{\"id\":\"personal_offers\",\"version\":1.5,\"language\":\"en\"}}",
     400, "invalid_field"},
    {HEAD MIDDLE "\"notice\":{\"id\":\"personal_offers\",\"version\":1,\"language\":\"en\","
                 "\"hash\":\"abc\"}}",
     400, "invalid_field"},
    {HEAD MIDDLE "\"notice\":\"personal_offers\"}", 400, "invalid_field"},
    {HEAD "\"categories\":[\"purchases\",\"purchases\"],\"decision\":\"give\",\"channel\":"
          "\"web\"," NOTICE "}",
     400, "invalid_field"},
    {HEAD "\"categories\":[],\"decision\":\"give\",\"channel\":\"web\"," NOTICE "}", 400,
     "invalid_field"},
    {HEAD "\"categories\":[\"purchases\"],\"decision\":\"maybe\",\"channel\":\"web\"," NOTICE "}",
     400, "invalid_field"},
    {HEAD "\"categories\":[\"purchases\"],\"decision\":\"give\",\"channel\":\"fax\"," NOTICE "}",
     400, "invalid_field"},
    {HEAD "\"categories\":[\"credit\"],\"decision\":\"give\",\"channel\":\"web\"," NOTICE "}", 422,
     "not_in_policy"},
    {HEAD "\"categories\":[\"nothing\"],\"decision\":\"give\",\"channel\":\"web\"," NOTICE "}", 422,
     "unknown_category"},
    {HEAD MIDDLE "\"notice\":{\"id\":\"personal_offers\",\"version\":9,\"language\":\"en\"}}", 422,
     "notice_not_in_force"},
    {HEAD MIDDLE "\"notice\":{\"id\":\"personal_offers\",\"version\":1,\"language\":\"fi\"}}", 422,
     "notice_language_missing"},
    {HEAD MIDDLE
     "\"notice\":{\"id\":\"personal_offers\",\"version\":1,\"language\":\"en\",\"hash\":"
     "\"sha256:0000000000000000000000000000000000000000000000000000000000000000\"}}",
     422, "notice_hash_mismatch"},
    {HEAD MIDDLE NOTICE ",\"expires_at\":\"2020-01-01T00:00:00Z\"}", 422, "expires_in_the_past"},
    {HEAD MIDDLE NOTICE ",\"expires_at\":\"2099-01-01T00:00:00Z\"}", 422, "expires_too_late"},
};

static void test_wrong_consents_are_refused_and_change_nothing(void **state)
{
    struct world *w = *state;
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        _cleanup_answer struct answer a = ask(w, NULL, "POST", "/v1/consents", refusals[i].body);
        if (a.status != refusals[i].status ||
            strcmp(text_at(&a, "reason"), refusals[i].reason) != 0)
            fail_msg("case %zu: %d %s: %s", i, refusals[i].status, refusals[i].reason, a.text);
    }
    _cleanup_answer struct answer nobody = ask(w, NULL, "GET", "/v1/consumers/00009", NULL);
    assert_status(nobody, 404);
    assert_reason(nobody, "unknown_consumer");
}

static void test_overlong_texts_are_refused(void **state)
{
    struct world *w = *state;
    _cleanup_buf struct buf body = {0};
    buf_cstr(&body, HEAD MIDDLE NOTICE ",\"evidence\":\"");
    for (int i = 0; i < 17 * 1024; i++)
        buf_char(&body, 'x');
    buf_cstr(&body, "\"}");
    _cleanup_answer struct answer a = ask(w, NULL, "POST", "/v1/consents", body.p);
    assert_status(a, 400);
    assert_reason(a, "invalid_field");
    for (int i = 0; i < 64 * 1024; i++)
        buf_char(&body, ' ');
    _cleanup_answer struct answer b = ask(w, NULL, "POST", "/v1/consents", body.p);
    assert_status(b, 413);
}

static void test_unknown_consent_is_not_found(void **state)
{
    struct world *w = *state;
    static const char *const ids[] = {"x", "00000000000000000000000000000000",
                                      "ffffffffffffffffffffffffffffffffff"};
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        char path[96];
        snprintf(path, sizeof path, "/v1/consents/%s", ids[i]);
        _cleanup_answer struct answer a = ask(w, NULL, "GET", path, NULL);
        assert_status(a, 404);
        assert_reason(a, "unknown_consent");
        strcat(path, "/withdraw");
        _cleanup_answer struct answer b = ask(w, NULL, "POST", path, NULL);
        assert_status(b, 404);
    }
}

/* ---- idempotency and batches ---- */

static void test_repeated_call_with_its_key_writes_once(void **state)
{
    struct world *w = *state;
    struct call_options options = {.idempotency = "order 17"};
    _cleanup_answer struct answer a =
        ask_with(w, &options, "POST", "/v1/consents", STR(GIVE("00010")));
    assert_status(a, 201);
    assert_false(a.replayed);
    _cleanup_answer struct answer b =
        ask_with(w, &options, "POST", "/v1/consents", STR(GIVE("00010")));
    assert_status(b, 201);
    assert_true(b.replayed);
    assert_string_equal(text_at(&a, "id"), text_at(&b, "id"));
    _cleanup_answer struct answer c =
        ask_with(w, &options, "POST", "/v1/consents", STR(GIVE("00011")));
    assert_status(c, 422);
    assert_reason(c, "idempotency_key_reused");
    options.idempotency = "";
    _cleanup_answer struct answer d =
        ask_with(w, &options, "POST", "/v1/consents", STR(GIVE("00011")));
    assert_status(d, 400);
    _cleanup_answer struct answer list = ask(w, NULL, "GET", "/v1/consumers/00010/consents", NULL);
    assert_int_equal(json_array_size(at(list.json, "items")), 1);
}

static void test_repeated_batch_replays_each_item(void **state)
{
    struct world *w = *state;
    struct call_options options = {.idempotency = "batch 1"};
    static const char first[] = "{\"items\":[" GIVE("00022") "," GIVE("00023") "]}";
    static const char second[] = "{\"items\":[" GIVE("00022") "," GIVE("00024") "]}";
    _cleanup_answer struct answer a =
        ask_with(w, &options, "POST", "/v1/consents/batch", str_of(first));
    _cleanup_answer struct answer b =
        ask_with(w, &options, "POST", "/v1/consents/batch", str_of(second));
    assert_status(b, 200);
    assert_true(json_is_true(at(b.json, "items.0.replayed")));
    assert_string_equal(text_at(&a, "items.0.consent.id"), text_at(&b, "items.0.consent.id"));
    assert_string_equal(text_at(&b, "items.1.problem.reason"), "idempotency_key_reused");
}

static void test_batch_answers_each_item(void **state)
{
    struct world *w = *state;
    static const char body[] = "{\"items\":[" GIVE("00020") ",{\"consumer\":7}," GIVE(
        "00021") "," HEAD "\"categories\":[\"nothing\"],\"decision\":\"give\","
                 "\"channel\":\"web\"," NOTICE "}]}";
    _cleanup_answer struct answer a = ask(w, NULL, "POST", "/v1/consents/batch", body);
    assert_status(a, 200);
    static const int statuses[] = {201, 400, 201, 422};
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(
            json_integer_value(json_object_get(json_array_get(at(a.json, "items"), i), "status")),
            statuses[i]);
    assert_string_equal(text_at(&a, "items.2.consent.consumer"), "00021");
    assert_string_equal(text_at(&a, "items.3.problem.reason"), "unknown_category");
}

/* ---- consumers and the ledger ---- */

static void test_consumer_is_set_and_read(void **state)
{
    struct world *w = *state;
    _cleanup_answer struct answer a =
        ask(w, NULL, "PUT", "/v1/consumers/00030",
            "{\"residence\":\"US-CA\",\"birth_date\":\"1980-02-29\"}");
    assert_status(a, 201);
    _cleanup_answer struct answer b =
        ask(w, NULL, "PUT", "/v1/consumers/00030", "{\"opt_out_signal\":true}");
    assert_status(b, 200);
    _cleanup_answer struct answer c = ask(w, NULL, "GET", "/v1/consumers/00030", NULL);
    assert_string_equal(text_at(&c, "residence"), "US-CA");
    assert_string_equal(text_at(&c, "birth_date"), "1980-02-29");
    assert_true(json_is_true(at(c.json, "opt_out_signal")));
    _cleanup_answer struct answer d =
        ask(w, NULL, "PUT", "/v1/consumers/00030", "{\"residence\":\"Sweden\"}");
    assert_status(d, 400);
    _cleanup_answer struct answer e =
        ask(w, NULL, "PUT", "/v1/consumers/00030", "{\"restricted\":\"yes\"}");
    assert_status(e, 400);
}

static void test_lists_are_paged_to_the_end(void **state)
{
    struct world *w = *state;
    char id[33], target[160];
    for (int i = 0; i < 5; i++)
        give(w, GIVE("00040"), id);
    static const char *const lists[] = {"consents", "history"};
    for (size_t l = 0; l < 2; l++) {
        size_t seen = 0, pages = 0;
        snprintf(target, sizeof target, "/v1/consumers/00040/%s?limit=2", lists[l]);
        for (bool more = true; more; pages++) {
            _cleanup_answer struct answer a = ask(w, NULL, "GET", target, NULL);
            assert_status(a, 200);
            seen += json_array_size(at(a.json, "items"));
            more = !json_is_null(at(a.json, "next"));
            snprintf(target, sizeof target, "/v1/consumers/00040/%s?limit=2&after=%s", lists[l],
                     text_at(&a, "next"));
        }
        /* The history: the consumer is new, and five answers. */
        assert_int_equal(seen, l == 0 ? 5 : 6);
        assert_int_equal(pages, 3);
    }
    static const char *const wrong[] = {"limit=0", "limit=1001", "limit=x",
                                        "after=x", "x=1",        "limit=1&limit=2"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        snprintf(target, sizeof target, "/v1/consumers/00040/consents?%s", wrong[i]);
        _cleanup_answer struct answer a = ask(w, NULL, "GET", target, NULL);
        assert_status(a, 400);
    }
}

static void test_history_tells_what_happened_in_order(void **state)
{
    struct world *w = *state;
    char id[33], path[80];
    give(w, GIVE("00050"), id);
    snprintf(path, sizeof path, "/v1/consents/%s/withdraw", id);
    _cleanup_answer struct answer gone =
        ask(w, NULL, "POST", path, "{\"reason\":\"too many letters\",\"channel\":\"phone\"}");
    assert_status(gone, 200);
    _cleanup_answer struct answer a = ask(w, NULL, "GET", "/v1/consumers/00050/history", NULL);
    static const char *const kinds[] = {"consumer.add", "consent.give", "consent.withdraw"};
    assert_int_equal(json_array_size(at(a.json, "items")), 3);
    for (size_t i = 0; i < 3; i++)
        assert_string_equal(
            json_string_value(json_object_get(json_array_get(at(a.json, "items"), i), "kind")),
            kinds[i]);
    assert_string_equal(text_at(&a, "items.1.consent"), id);
    assert_string_equal(text_at(&a, "items.1.purpose"), "personal_offers");
    assert_string_equal(text_at(&a, "items.1.evidence.form"), "checkout");
    assert_string_equal(text_at(&a, "items.2.actor"), "local");
    assert_null(at(a.json, "items.2.sealed"));
}

static void test_erased_consumer_is_gone_and_stays_in_the_ledger_as_nobody(void **state)
{
    struct world *w = *state;
    char id[33], path[80];
    give(w, GIVE("00060"), id);
    _cleanup_answer struct answer a = ask(w, NULL, "POST", "/v1/consumers/00060/erase", NULL);
    assert_status(a, 200);
    assert_true(json_is_true(at(a.json, "erased")));
    snprintf(path, sizeof path, "/v1/events?after=%lld",
             (long long)json_integer_value(at(a.json, "event")) - 2);
    _cleanup_answer struct answer events = ask(w, NULL, "GET", path, NULL);
    assert_status(events, 200);
    assert_string_equal(text_at(&events, "items.1.kind"), "consumer.erase");
    assert_true(json_is_null(at(events.json, "items.0.consumer")));
    assert_null(at(events.json, "items.0.sealed"));
    snprintf(path, sizeof path, "/v1/consents/%s", id);
    _cleanup_answer struct answer consent = ask(w, NULL, "GET", path, NULL);
    assert_status(consent, 404);
    _cleanup_answer struct answer again = ask(w, NULL, "POST", "/v1/consents", GIVE("00060"));
    assert_status(again, 410);
    assert_reason(again, "erased");
    _cleanup_answer struct answer twice = ask(w, NULL, "POST", "/v1/consumers/00060/erase", NULL);
    assert_status(twice, 410);
}

/* ---- policy ---- */

/* {"files": ...} of the demo company, with `from` replaced by `to` in one file. */
static char *bundle_with(const char *file, const char *from, const char *to)
{
    struct policy_bundle bundle = {0};
    struct err err = {0};
    _cleanup_buf struct buf json = {0};
    const char *dir = getenv("LOV_POLICY");
    assert_int_equal(policy_bundle_read(dir ? dir : "policy", &bundle, &err), 0);
    for (size_t i = 0; i < bundle.count; i++) {
        struct policy_file *f = &bundle.files[i];
        const char *hit = str_is(f->path, file) ? strstr(f->text.p, from) : NULL;
        if (hit)
            f->text = arena_printf(&bundle.arena, "%.*s%s%s", (int)(hit - f->text.p), f->text.p, to,
                                   hit + strlen(from));
    }
    policy_bundle_to_json(&bundle, &json);
    policy_bundle_free(&bundle);
    return str_dup(buf_view(&json));
}

static void test_policy_is_checked_compared_and_applied(void **state)
{
    struct world *w = *state;
    char *wrong = bundle_with("activities.yaml", "recipient: marketing", "recipient: nobody");
    char *changed = bundle_with("activities.yaml", "retention: 365", "retention: 300");
    _cleanup_answer struct answer check = ask(w, NULL, "POST", "/v1/policy/check", wrong);
    assert_status(check, 200);
    assert_true(json_is_false(at(check.json, "ok")));
    assert_string_equal(text_at(&check, "findings.0.file"), "activities.yaml");
    _cleanup_answer struct answer refused = ask(w, NULL, "POST", "/v1/policy", wrong);
    assert_status(refused, 422);
    assert_reason(refused, "policy_invalid");
    assert_true(json_array_size(at(refused.json, "findings")) > 0);
    _cleanup_answer struct answer diff = ask(w, NULL, "POST", "/v1/policy/diff", changed);
    assert_status(diff, 200);
    assert_string_equal(text_at(&diff, "changes.0.what"), "activity");
    _cleanup_answer struct answer applied = ask(w, NULL, "POST", "/v1/policy", changed);
    assert_status(applied, 200);
    assert_int_equal(json_integer_value(at(applied.json, "version")), 2);
    _cleanup_answer struct answer now = ask(w, NULL, "GET", "/v1/policy", NULL);
    assert_int_equal(json_integer_value(at(now.json, "version")), 2);
    assert_int_equal(json_integer_value(at(now.json, "activities.0.retention_days")), 300);
    _cleanup_answer struct answer history = ask(w, NULL, "GET", "/v1/policy/history?limit=1", NULL);
    assert_int_equal(json_integer_value(at(history.json, "items.0.version")), 2);
    assert_string_equal(text_at(&history, "next"), "2");
    free(wrong);
    free(changed);
}

static void test_policy_on_top_of_another_version_is_refused(void **state)
{
    struct world *w = *state;
    char *files = bundle_with("", "", "");
    _cleanup_buf struct buf body = {0};
    buf_printf(&body, "%.*s,\"expected_version\":77}", (int)strlen(files) - 1, files);
    _cleanup_answer struct answer a = ask(w, NULL, "POST", "/v1/policy", body.p);
    assert_status(a, 409);
    assert_reason(a, "policy_moved_on");
    free(files);
}

static void test_notice_is_read_by_language_and_version(void **state)
{
    struct world *w = *state;
    _cleanup_answer struct answer a =
        ask(w, NULL, "GET", "/v1/notices/personal_offers?language=sv", NULL);
    assert_status(a, 200);
    assert_string_equal(text_at(&a, "language"), "sv");
    assert_true(json_is_true(at(a.json, "current")));
    assert_true(strlen(text_at(&a, "markdown")) > 100);
    static const char *const missing[] = {"personal_offers?language=fi",
                                          "personal_offers?version=9", "nothing"};
    for (size_t i = 0; i < 3; i++) {
        char path[80];
        snprintf(path, sizeof path, "/v1/notices/%s", missing[i]);
        _cleanup_answer struct answer b = ask(w, NULL, "GET", path, NULL);
        assert_status(b, 404);
    }
}

static void test_without_a_policy_everything_is_denied_and_said(void **state)
{
    struct world *w = *state;
    _cleanup_answer struct answer ready = ask(w, NULL, "GET", "/readyz", NULL);
    assert_status(ready, 503);
    assert_string_equal(text_at(&ready, "reasons.0"), "no_policy");
    _cleanup_answer struct answer alive = ask(w, NULL, "GET", "/healthz", NULL);
    assert_status(alive, 200);
    _cleanup_answer struct answer give = ask(w, NULL, "POST", "/v1/consents", GIVE("00001"));
    assert_status(give, 503);
    assert_reason(give, "no_policy");
    _cleanup_answer struct answer ask1 =
        ask(w, NULL, "POST", "/access/v1/evaluation", QUESTION("00001", "purchases"));
    assert_status(ask1, 200);
    assert_string_equal(text_at(&ask1, "context.reason"), "unavailable");
    _cleanup_answer struct answer policy = ask(w, NULL, "GET", "/v1/policy", NULL);
    assert_status(policy, 503);
}

static void test_metrics_count_decisions(void **state)
{
    struct world *w = *state;
    _cleanup_answer struct answer no =
        ask(w, NULL, "POST", "/access/v1/evaluation", QUESTION("99999", "purchases"));
    assert_status(no, 200);
    struct http_call *call = http_call_new("GET", "/metrics", (struct str){0});
    http_dispatch(api_app(w->api), call);
    assert_int_equal(call->status, 200);
    assert_non_null(
        strstr(call->out.p, "lov_decisions_total{permit=\"false\",reason=\"unknown_consumer\"} "));
    assert_non_null(strstr(call->out.p, "lov_policy_version "));
    http_call_free(call);
}

static void test_housekeeping_stops_when_asked(void **state)
{
    struct world *w = *state;
    struct err err = {0};
    assert_int_equal(api_start_housekeeping(w->api, &err), 0);
    world_close(w);
    world_open(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_consent_is_given_asked_for_and_withdrawn),
        cmocka_unit_test(test_answer_to_a_new_consent_names_its_location),
        cmocka_unit_test(test_amend_narrows_and_renew_prolongs),
        cmocka_unit_test(test_wrong_consents_are_refused_and_change_nothing),
        cmocka_unit_test(test_overlong_texts_are_refused),
        cmocka_unit_test(test_unknown_consent_is_not_found),
        cmocka_unit_test(test_repeated_call_with_its_key_writes_once),
        cmocka_unit_test(test_batch_answers_each_item),
        cmocka_unit_test(test_repeated_batch_replays_each_item),
        cmocka_unit_test(test_consumer_is_set_and_read),
        cmocka_unit_test(test_lists_are_paged_to_the_end),
        cmocka_unit_test(test_history_tells_what_happened_in_order),
        cmocka_unit_test(test_erased_consumer_is_gone_and_stays_in_the_ledger_as_nobody),
        cmocka_unit_test(test_notice_is_read_by_language_and_version),
        cmocka_unit_test(test_metrics_count_decisions),
        cmocka_unit_test(test_housekeeping_stops_when_asked),
        cmocka_unit_test(test_policy_on_top_of_another_version_is_refused),
        cmocka_unit_test_setup_teardown(test_policy_is_checked_compared_and_applied, world_begin,
                                        world_end),
        cmocka_unit_test_setup_teardown(test_without_a_policy_everything_is_denied_and_said,
                                        world_bare, world_end),
    };
    return cmocka_run_group_tests(tests, world_begin, world_end);
}
