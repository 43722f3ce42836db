/* OpenID AuthZEN Authorization API 1.0: each MUST of the specification and of its certification
 * scenario that JSON over HTTP can show, and what Lov adds: recording. */
#include <pthread.h>

#include "test_api_fixture.h"

#define SUBJECT "\"subject\":{\"type\":\"recipient\",\"id\":\"marketing\"}"
#define ACTION "\"action\":{\"name\":\"personal_offers\"}"
#define RESOURCE "\"resource\":{\"type\":\"purchases\",\"id\":\"00001\"}"
#define EVALUATION "/access/v1/evaluation"
#define EVALUATIONS "/access/v1/evaluations"

static int begin(void **state)
{
    char id[33];
    int rc = world_begin(state);
    give(*state, GIVE("00001"), id);
    give(*state, GIVE("00002"), id);
    give(*state, GIVE("00003"), id);
    return rc;
}

static struct answer post(struct world *w, const char *path, const char *body)
{
    return ask(w, NULL, "POST", path, body);
}

/* ---- evaluation ---- */

static void test_context_properties_and_unknown_members_do_not_matter(void **state)
{
    static const char *const bodies[] = {
        "{" SUBJECT "," ACTION "," RESOURCE "}",
        "{" RESOURCE "," SUBJECT "," ACTION "}",
        "{" SUBJECT "," ACTION "," RESOURCE
        ",\"context\":{\"time\":\"2025-06-27T18:03-07:00\",\"ip\":\"192.168.1.1\"}}",
        "{" SUBJECT "," ACTION "," RESOURCE ",\"foo\":\"bar\",\"futureField\":{\"nested\":true}}",
        "{\"subject\":{\"type\":\"recipient\",\"id\":\"marketing\",\"properties\":{\"a\":[1]}},"
        "\"action\":{\"name\":\"personal_offers\",\"properties\":{\"method\":\"GET\"},\"x\":1},"
        "\"resource\":{\"type\":\"purchases\",\"id\":\"00001\",\"properties\":{}}}",
    };
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        _cleanup_answer struct answer a = post(*state, EVALUATION, bodies[i]);
        assert_status(a, 200);
        assert_true(json_is_true(at(a.json, "decision")));
        assert_string_equal(text_at(&a, "context.reason"), "permitted");
        assert_string_equal(text_at(&a, "context.basis"), "consent");
        assert_string_equal(text_at(&a, "context.obligations.view.form"), "identified");
    }
}

static void test_malformed_questions_are_bad_requests(void **state)
{
    static const char *const bodies[] = {
        "",
        "{",
        "7",
        "[]",
        "{}",
        "null",
        "{" ACTION "," RESOURCE "}",
        "{" SUBJECT "," RESOURCE "}",
        "{" SUBJECT "," ACTION "}",
        "{\"subject\":{\"id\":\"marketing\"}," ACTION "," RESOURCE "}",
        "{\"subject\":{\"type\":\"recipient\"}," ACTION "," RESOURCE "}",
        "{" SUBJECT ",\"action\":{}," RESOURCE "}",
        "{" SUBJECT "," ACTION ",\"resource\":{\"id\":\"00001\"}}",
        "{" SUBJECT "," ACTION ",\"resource\":{\"type\":\"purchases\"}}",
        "{\"subject\":\"marketing\"," ACTION "," RESOURCE "}",
        "{" SUBJECT ",\"action\":{\"name\":123}," RESOURCE "}",
        "{" SUBJECT "," ACTION ",\"resource\":[]}",
        "{" SUBJECT "," ACTION "," RESOURCE ",\"context\":\"x\"}",
        "{\"subject\":{\"type\":\"recipient\"},\"subject\":{\"id\":\"marketing\"}," ACTION
        "," RESOURCE "}",
        "{" SUBJECT "," ACTION "," RESOURCE ",}",
        "{" SUBJECT "," ACTION "," RESOURCE "}}",
        "{" SUBJECT "," ACTION "," RESOURCE ",\"context\":{\"record\":\"yes\"}}",
        "{" SUBJECT "," SUBJECT "," ACTION "," RESOURCE "}",
        "{" SUBJECT "," ACTION ",\"resource\":{\"type\":\"purchases\",\"id\":\"\"}}",
        "{" SUBJECT "," ACTION ",\"resource\":{\"type\":\"purchases\",\"id\":\"a\\u0007b\"}}",
        "{" SUBJECT "," ACTION ",\"resource\":{\"type\":\"purchases\",\"id\":\"\xc3\x28\"}}",
    };
    static const char *const paths[] = {EVALUATION, EVALUATIONS};
    for (size_t p = 0; p < 2; p++) {
        for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
            _cleanup_answer struct answer a = post(*state, paths[p], bodies[i]);
            if (a.status != 400)
                fail_msg("%s %s: %d %s", paths[p], bodies[i], a.status, a.text);
        }
    }
}

static void test_bytes_behind_a_question_are_refused(void **state)
{
    static const char body[] = "{" SUBJECT "," ACTION "," RESOURCE "} \n";
    struct call_options options = {0};
    _cleanup_answer struct answer nul =
        ask_with(*state, &options, "POST", EVALUATION, (struct str){body, sizeof body});
    assert_status(nul, 400);
    _cleanup_answer struct answer space =
        ask_with(*state, &options, "POST", EVALUATION, (struct str){body, sizeof body - 1});
    assert_status(space, 200);
}

static void test_another_content_type_is_a_bad_request(void **state)
{
    struct call_options options = {.type = "text/plain"};
    _cleanup_answer struct answer a = ask_with(*state, &options, "POST", EVALUATION,
                                               STR("{" SUBJECT "," ACTION "," RESOURCE "}"));
    assert_status(a, 400);
}

static void test_unknown_names_are_denied_with_their_reason(void **state)
{
    static const struct {
        const char *body, *reason;
    } cases[] = {
        {"{\"subject\":{\"type\":\"user\",\"id\":\"alice\"}," ACTION "," RESOURCE "}",
         "recipient_unknown"},
        {"{\"subject\":{\"type\":\"recipient\",\"id\":\"No One\"}," ACTION "," RESOURCE "}",
         "recipient_unknown"},
        {"{" SUBJECT ",\"action\":{\"name\":\"can_read\"}," RESOURCE "}", "not_in_policy"},
        {"{" SUBJECT "," ACTION ",\"resource\":{\"type\":\"credit\",\"id\":\"00001\"}}",
         "not_in_policy"},
        {"{" SUBJECT "," ACTION ",\"resource\":{\"type\":\"purchases\",\"id\":\"nobody\"}}",
         "unknown_consumer"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        _cleanup_answer struct answer a = post(*state, EVALUATION, cases[i].body);
        assert_status(a, 200);
        assert_true(json_is_false(at(a.json, "decision")));
        assert_string_equal(text_at(&a, "context.reason"), cases[i].reason);
        assert_null(at(a.json, "context.obligations"));
    }
}

/* ---- evaluations ---- */

static void assert_decisions(const struct answer *a, const char *expected)
{
    const json_t *list = at(a->json, "evaluations");
    assert_int_equal(a->status, 200);
    assert_int_equal(json_array_size(list), strlen(expected));
    for (size_t i = 0; expected[i]; i++) {
        const json_t *decision = json_object_get(json_array_get(list, i), "decision");
        assert_true(json_is_boolean(decision));
        assert_int_equal(json_is_true(decision), expected[i] == 'y');
    }
    assert_null(at(a->json, "decision"));
}

#define OF(id) "{\"resource\":{\"type\":\"purchases\",\"id\":\"" id "\"}}"

static void test_evaluations_take_defaults_whole_and_keep_their_order(void **state)
{
    static const struct {
        const char *body, *expected;
    } cases[] = {
        {"{" SUBJECT "," ACTION
         ",\"evaluations\":[" OF("00001") "," OF("nobody") "," OF("00002") "]}",
         "yny"},
        {"{" SUBJECT "," ACTION "," RESOURCE ",\"evaluations\":[{}," OF("nobody") "]}", "yn"},
        {"{" SUBJECT "," ACTION ",\"options\":{\"evaluations_semantic\":\"execute_all\",\"x\":1},"
         "\"evaluations\":[" OF("00001") ",{}]}",
         "yn"},
        {"{\"evaluations\":[{" SUBJECT "," ACTION "," RESOURCE "},{" SUBJECT "," ACTION "}]}",
         "yn"},
        /* No merging below the entity: a type without an id does not inherit one. */
        {"{" SUBJECT "," ACTION "," RESOURCE
         ",\"evaluations\":[{\"resource\":{\"type\":\"purchases\"}},{\"resource\":7},7]}",
         "nnn"},
        {"{" SUBJECT "," ACTION ",\"options\":{\"evaluations_semantic\":\"deny_on_first_deny\"},"
         "\"evaluations\":[" OF("00001") "," OF("nobody") "," OF("00002") "]}",
         "yn"},
        {"{" SUBJECT "," ACTION ",\"options\":{\"evaluations_semantic\":\"deny_on_first_deny\"},"
         "\"evaluations\":[" OF("00001") ",{}," OF("00002") "]}",
         "yn"},
        {"{" SUBJECT "," ACTION
         ",\"options\":{\"evaluations_semantic\":\"permit_on_first_permit\"},"
         "\"evaluations\":[" OF("nobody") "," OF("00001") "," OF("00002") "]}",
         "ny"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        _cleanup_answer struct answer a = post(*state, EVALUATIONS, cases[i].body);
        assert_decisions(&a, cases[i].expected);
    }
}

static void test_failed_item_says_its_error(void **state)
{
    _cleanup_answer struct answer a =
        post(*state, EVALUATIONS, "{" SUBJECT "," ACTION ",\"evaluations\":[{}]}");
    assert_decisions(&a, "n");
    assert_int_equal(json_integer_value(at(a.json, "evaluations.0.context.error.status")), 400);
    assert_true(*text_at(&a, "evaluations.0.context.error.message") != 0);
}

static void test_evaluations_without_items_are_one_evaluation(void **state)
{
    static const char *const bodies[] = {
        "{" SUBJECT "," ACTION "," RESOURCE "}",
        "{" SUBJECT "," ACTION "," RESOURCE ",\"evaluations\":[]}",
    };
    for (size_t i = 0; i < 2; i++) {
        _cleanup_answer struct answer a = post(*state, EVALUATIONS, bodies[i]);
        assert_status(a, 200);
        assert_true(json_is_true(at(a.json, "decision")));
        assert_null(at(a.json, "evaluations"));
    }
}

static void test_wrong_options_and_too_many_items_are_bad_requests(void **state)
{
    _cleanup_answer struct answer a =
        post(*state, EVALUATIONS,
             "{" SUBJECT "," ACTION "," RESOURCE
             ",\"options\":{\"evaluations_semantic\":\"guess\"},\"evaluations\":[{}]}");
    assert_status(a, 400);
    _cleanup_buf struct buf body = {0};
    buf_cstr(&body, "{" SUBJECT "," ACTION "," RESOURCE ",\"evaluations\":[{}");
    for (int i = 0; i < 1000; i++)
        buf_cstr(&body, ",{}");
    buf_cstr(&body, "]}");
    _cleanup_answer struct answer b = post(*state, EVALUATIONS, body.p);
    assert_status(b, 400);
}

/* The answer to a body, and to the same with a member that nobody knows, which only the general
 * reader takes, are one. */
static void assert_read_in_one_way(struct world *w, const char *path, const char *body)
{
    _cleanup_buf struct buf general = {0};
    buf_cstr(&general, "{\"unknown\":null,");
    buf_cstr(&general, body + 1);
    _cleanup_answer struct answer a = post(w, path, body);
    _cleanup_answer struct answer b = post(w, path, general.p);
    assert_int_equal(a.status, b.status);
    /* What is wrong is told with where it stands, which is not the same place. */
    const char *same = a.status == 200 ? "" : "reason";
    if (!json_equal(*same ? at(a.json, same) : a.json, *same ? at(b.json, same) : b.json))
        fail_msg("%s is answered in two ways", body);
}

static void test_plain_and_general_reader_agree(void **state)
{
    static const char *const bodies[] = {
        "{" SUBJECT "," ACTION "," RESOURCE "}",
        "{" SUBJECT "," ACTION "," RESOURCE ",\"context\":{\"record\":false}}",
        "{" SUBJECT "," ACTION "," RESOURCE ",\"context\":{\"record\":1}}",
        "{" SUBJECT "," ACTION "," RESOURCE ",\"context\":{\"record\":false,\"record\":false}}",
        "{" SUBJECT "," ACTION "," RESOURCE ",\"context\":{},\"context\":{\"record\":false}}",
        "{" SUBJECT "," ACTION "," RESOURCE ",\"context\":{\"record\":falsehood}}",
        "{" SUBJECT "," ACTION "," RESOURCE "," RESOURCE "}",
        "{" SUBJECT "," ACTION ",\"resource\":{\"type\":\"purchases\"}}",
        "{" SUBJECT "," ACTION ",\"resource\":{\"type\":\"purchases\",\"id\":\"\"}}",
        "{" SUBJECT ",\"action\":{\"id\":\"personal_offers\"}," RESOURCE "}",
        "{" SUBJECT "," ACTION ",\"evaluations\":[" OF("00001") " , " OF("nobody") "]} ",
        "{\"evaluations\":[" OF("00001") "," OF("00002") "]," ACTION "," SUBJECT "}",
        "{\"evaluations\":[" OF("00001") "],\"evaluations\":[" OF("00002") "]," ACTION "," SUBJECT
                                                                           "}",
        "{" SUBJECT "," ACTION "," RESOURCE ",\"evaluations\":[{},{},{" ACTION
        "}," OF("00003") "]}",
        "{" SUBJECT "," ACTION "," RESOURCE
        ",\"evaluations\":[{\"context\":{\"record\":false}},{}]}",
        "{" SUBJECT "," ACTION "," RESOURCE ",\"evaluations\":[{" ACTION "," ACTION "}]}",
        "{" SUBJECT "," ACTION "," RESOURCE ",\"evaluations\":[{},]}",
        "{" SUBJECT "," ACTION "," RESOURCE ",\"evaluations\":[{}]",
        "{" SUBJECT "," ACTION "," RESOURCE ",\"evaluations\":[{}]}}",
        "{" SUBJECT "," ACTION "," RESOURCE ",\"evaluations\":[{\"evaluations\":[{}]}]}",
        "{" SUBJECT ",\"evaluations\":[" OF("00001") ",{" ACTION "," RESOURCE "}]}",
        "{\"subject\":{\"type\":\"user\",\"id\":\"marketing\"}," ACTION "," RESOURCE
        ",\"evaluations\":[{},{" SUBJECT "}]}",
        "{" SUBJECT "," ACTION
        ",\"evaluations\":[" OF("\\u0030\\u00300001") "," OF("0000\xc3\xa5") "]}",
    };
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        assert_read_in_one_way(*state, EVALUATION, bodies[i]);
        assert_read_in_one_way(*state, EVALUATIONS, bodies[i]);
    }
}

/* More than any room that the reader begins with, and the most that there may be. */
static void test_long_lists_are_answered_in_order(void **state)
{
    static const int counts[] = {31, 32, 33, 64, 65, 999, 1000};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        _cleanup_buf struct buf body = {0}, expected = {0};
        buf_cstr(&body, "{" SUBJECT "," ACTION ",\"evaluations\":[");
        for (int k = 0; k < counts[i]; k++) {
            bool known = k % 7 == 0 || k % 3 == 0;
            buf_cstr(&body, k ? "," : "");
            buf_cstr(&body, known ? OF("00002") : OF("nobody"));
            buf_char(&expected, known ? 'y' : 'n');
        }
        buf_cstr(&body, "]}");
        _cleanup_answer struct answer a = post(*state, EVALUATIONS, body.p);
        assert_decisions(&a, expected.p);
    }
}

/* ---- search ---- */

static bool has_result(const struct answer *a, const char *member, const char *value)
{
    const json_t *results = at(a->json, "results"), *item;
    size_t i;
    assert_true(json_is_array(results));
    json_array_foreach((json_t *)results, i, item) {
        const char *text = json_string_value(json_object_get(item, member));
        if (text && strcmp(text, value) == 0)
            return true;
    }
    return false;
}

static void test_searches_find_who_whose_and_for_what(void **state)
{
    _cleanup_answer struct answer who =
        post(*state, "/access/v1/search/subject",
             "{\"subject\":{\"type\":\"recipient\",\"id\":\"ignored\"}," ACTION "," RESOURCE "}");
    assert_status(who, 200);
    assert_true(has_result(&who, "id", "marketing"));
    assert_false(has_result(&who, "id", "risk"));
    assert_string_equal(text_at(&who, "results.0.type"), "recipient");
    _cleanup_answer struct answer whose =
        post(*state, "/access/v1/search/resource",
             "{" SUBJECT "," ACTION ",\"resource\":{\"type\":\"purchases\",\"id\":7}}");
    assert_status(whose, 200);
    assert_int_equal(json_array_size(at(whose.json, "results")), 3);
    assert_true(has_result(&whose, "id", "00002"));
    _cleanup_answer struct answer what =
        post(*state, "/access/v1/search/action", "{" SUBJECT "," RESOURCE "}");
    assert_status(what, 200);
    assert_true(has_result(&what, "name", "personal_offers"));
    assert_false(has_result(&what, "name", "bookkeeping"));
}

static void test_search_for_what_nobody_knows_is_empty(void **state)
{
    static const struct {
        const char *path, *body;
    } cases[] = {
        {"/access/v1/search/subject",
         "{\"subject\":{\"type\":\"spaceship\"}," ACTION "," RESOURCE "}"},
        {"/access/v1/search/subject", "{\"subject\":{\"type\":\"recipient\"}," ACTION
                                      ",\"resource\":{\"type\":\"purchases\",\"id\":\"nobody\"}}"},
        {"/access/v1/search/resource", "{" SUBJECT "," ACTION ",\"resource\":{\"type\":\"moon\"}}"},
        {"/access/v1/search/resource",
         "{\"subject\":{\"type\":\"recipient\",\"id\":\"nobody\"}," ACTION
         ",\"resource\":{\"type\":\"purchases\"}}"},
        {"/access/v1/search/action",
         "{\"subject\":{\"type\":\"user\",\"id\":\"nobody\"}," RESOURCE "}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        _cleanup_answer struct answer a = post(*state, cases[i].path, cases[i].body);
        assert_status(a, 200);
        assert_int_equal(json_array_size(at(a.json, "results")), 0);
        assert_string_equal(text_at(&a, "page.next_token"), "");
    }
}

static void test_search_demands_what_it_searches_by(void **state)
{
    static const struct {
        const char *path, *body;
    } cases[] = {
        {"/access/v1/search/subject", "{\"subject\":{\"type\":\"recipient\"}," RESOURCE "}"},
        {"/access/v1/search/subject",
         "{\"subject\":{\"type\":\"recipient\"}," ACTION ",\"resource\":{\"type\":\"purchases\"}}"},
        {"/access/v1/search/subject", "{" ACTION "," RESOURCE "}"},
        {"/access/v1/search/resource", "{" ACTION ",\"resource\":{\"type\":\"purchases\"}}"},
        {"/access/v1/search/resource",
         "{\"subject\":{\"type\":\"recipient\"}," ACTION ",\"resource\":{\"type\":\"purchases\"}}"},
        {"/access/v1/search/action", "{" SUBJECT "}"},
        {"/access/v1/search/action", "{\"subject\":{\"type\":\"recipient\"}," RESOURCE "}"},
        {"/access/v1/search/action", "{" SUBJECT "," RESOURCE ",\"page\":{\"limit\":-1}}"},
        {"/access/v1/search/action", "{" SUBJECT "," RESOURCE ",\"page\":{\"token\":\"AAAA\"}}"},
        {"/access/v1/search/action", "{" SUBJECT "," RESOURCE ",\"page\":7}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        _cleanup_answer struct answer a = post(*state, cases[i].path, cases[i].body);
        if (a.status != 400)
            fail_msg("%s %s: %d", cases[i].path, cases[i].body, a.status);
    }
}

#define AUDIENCE(category, page)                                                                   \
    "{" SUBJECT "," ACTION ",\"resource\":{\"type\":\"" category "\"},\"page\":{" page "}}"

static void test_pages_follow_their_token_and_no_other_query(void **state)
{
    struct world *w = *state;
    static const char path[] = "/access/v1/search/resource";
    char body[1024], token[512] = "", key[80];
    size_t seen = 0;
    make_key(w, "{\"recipient\":\"marketing\"}", key, NULL);
    _cleanup_answer struct answer first =
        ask(w, key, "POST", path, AUDIENCE("purchases", "\"limit\":2"));
    assert_status(first, 200);
    assert_int_equal(json_array_size(at(first.json, "results")), 2);
    assert_int_equal(json_integer_value(at(first.json, "page.count")), 2);
    snprintf(token, sizeof token, "%s", text_at(&first, "page.next_token"));
    assert_true(*token);
    static const char *const changed[] = {
        AUDIENCE("profile", "\"limit\":2,\"token\":\"%s\""),
        AUDIENCE("purchases", "\"limit\":3,\"token\":\"%s\""),
        AUDIENCE("purchases", "\"token\":\"%sA\""),
    };
    for (size_t i = 0; i < 3; i++) {
        const char *hole = strstr(changed[i], "%s");
        snprintf(body, sizeof body, "%.*s%s%s", (int)(hole - changed[i]), changed[i], token,
                 hole + 2);
        _cleanup_answer struct answer a = ask(w, key, "POST", path, body);
        assert_status(a, 400);
        assert_reason(a, "invalid_cursor");
    }
    for (seen = 2; *token;) {
        snprintf(body, sizeof body, AUDIENCE("purchases", "\"token\":\"%s\""), token);
        _cleanup_answer struct answer a = ask(w, key, "POST", path, body);
        assert_status(a, 200);
        seen += json_array_size(at(a.json, "results"));
        snprintf(token, sizeof token, "%s", text_at(&a, "page.next_token"));
    }
    assert_int_equal(seen, 3);
}

static void test_staff_see_the_first_of_an_audience_and_no_more_alone(void **state)
{
    static const struct {
        const char *body;
        int status;
    } cases[] = {
        {AUDIENCE("purchases", ""), 200},
        {AUDIENCE("purchases", "\"limit\":0"), 200},
        {AUDIENCE("purchases", "\"limit\":100"), 200},
        {AUDIENCE("purchases", "\"limit\":101"), 403},
        {AUDIENCE("purchases", "\"limit\":10000"), 403},
        {AUDIENCE("moon", "\"limit\":10000"), 403},
    };
    static const char path[] = "/access/v1/search/resource";
    char body[1024];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        _cleanup_answer struct answer a = post(*state, path, cases[i].body);
        assert_status(a, cases[i].status);
        if (a.status == 403)
            assert_reason(a, "approval_required");
    }
    _cleanup_answer struct answer first = post(*state, path, AUDIENCE("purchases", "\"limit\":2"));
    snprintf(body, sizeof body, AUDIENCE("purchases", "\"token\":\"%s\""),
             text_at(&first, "page.next_token"));
    _cleanup_answer struct answer next = post(*state, path, body);
    assert_status(next, 403);
    assert_reason(next, "approval_required");
}

/* ---- recording ---- */

static void test_recorded_use_is_in_the_ledger(void **state)
{
    struct world *w = *state;
    char target[64];
    static const struct {
        const char *body, *kind;
    } cases[] = {
        {"{" SUBJECT "," ACTION "," RESOURCE ",\"context\":{\"record\":true}}", "access"},
        {"{" SUBJECT "," ACTION ",\"resource\":{\"type\":\"contact\",\"id\":\"00001\"},"
         "\"context\":{\"record\":true}}",
         "access.denied"},
        {"{" SUBJECT "," ACTION ",\"resource\":{\"type\":\"purchases\",\"id\":\"nobody\"},"
         "\"context\":{\"record\":true}}",
         "access.denied"},
        /* Policy demands it for this one. */
        {"{\"subject\":{\"type\":\"recipient\",\"id\":\"risk\"},"
         "\"action\":{\"name\":\"credit_scoring\"},"
         "\"resource\":{\"type\":\"credit\",\"id\":\"00001\"}}",
         "access.denied"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        _cleanup_answer struct answer a = post(w, EVALUATION, cases[i].body);
        assert_status(a, 200);
        assert_int_equal(json_is_true(at(a.json, "decision")), i == 0);
        assert_true(json_is_integer(at(a.json, "context.event")));
        snprintf(target, sizeof target, "/v1/events?limit=1&after=%lld",
                 (long long)json_integer_value(at(a.json, "context.event")) - 1);
        _cleanup_answer struct answer event = ask(w, NULL, "GET", target, NULL);
        assert_string_equal(text_at(&event, "items.0.kind"), cases[i].kind);
    }
}

static void test_question_without_record_leaves_the_ledger_alone(void **state)
{
    struct world *w = *state;
    _cleanup_answer struct answer before = ask(w, NULL, "GET", "/v1/events?limit=1000", NULL);
    _cleanup_answer struct answer a = post(w, EVALUATION, "{" SUBJECT "," ACTION "," RESOURCE "}");
    assert_null(at(a.json, "context.event"));
    _cleanup_answer struct answer after = ask(w, NULL, "GET", "/v1/events?limit=1000", NULL);
    assert_int_equal(json_array_size(at(before.json, "items")),
                     json_array_size(at(after.json, "items")));
}

static void test_recorded_evaluations_are_recorded_each(void **state)
{
    _cleanup_answer struct answer a =
        post(*state, EVALUATIONS,
             "{" SUBJECT "," ACTION ",\"context\":{\"record\":true},\"evaluations\":[" OF(
                 "00001") ",{}," OF("nobody") "," OF("00002") "]}");
    assert_decisions(&a, "ynny");
    assert_true(json_is_integer(at(a.json, "evaluations.0.context.event")));
    assert_null(at(a.json, "evaluations.1.context.event"));
    assert_true(json_is_integer(at(a.json, "evaluations.2.context.event")));
    assert_true(json_is_integer(at(a.json, "evaluations.3.context.event")));
}

static void test_recording_is_a_default_that_an_item_may_turn_off(void **state)
{
    _cleanup_answer struct answer a =
        post(*state, EVALUATIONS,
             "{" SUBJECT "," ACTION "," RESOURCE ",\"context\":{\"record\":true},"
             "\"evaluations\":[{},{\"context\":{\"record\":false}}," OF("00002") "]}");
    assert_decisions(&a, "yyy");
    assert_true(json_is_integer(at(a.json, "evaluations.0.context.event")));
    assert_null(at(a.json, "evaluations.1.context.event"));
    assert_true(json_is_integer(at(a.json, "evaluations.2.context.event")));
}

static void test_only_the_items_that_ask_for_it_are_recorded(void **state)
{
    _cleanup_answer struct answer a =
        post(*state, EVALUATIONS,
             "{" SUBJECT "," ACTION ",\"evaluations\":[" OF(
                 "00001") ",{\"resource\":{\"type\":"
                          "\"purchases\",\"id\":\"00002\"},\"context\":{\"record\":true}}," OF(
                              "00003") "]}");
    assert_decisions(&a, "yyy");
    assert_null(at(a.json, "evaluations.0.context.event"));
    assert_true(json_is_integer(at(a.json, "evaluations.1.context.event")));
    assert_null(at(a.json, "evaluations.2.context.event"));
    assert_string_equal(text_at(&a, "evaluations.2.context.obligations.view.form"), "identified");
}

#define SCORING(context)                                                                           \
    "{\"subject\":{\"type\":\"recipient\",\"id\":\"risk\"},"                                       \
    "\"action\":{\"name\":\"credit_scoring\"},\"resource\":{\"type\":\"credit\"}" context "}"

static void test_audience_of_a_recorded_activity_is_recorded(void **state)
{
    struct world *w = *state;
    char id[33];
    give(w,
         "{\"consumer\":\"00004\",\"purpose\":\"credit_scoring\",\"recipient\":\"risk\","
         "\"categories\":[\"credit\"],\"decision\":\"give\",\"notice\":{\"id\":"
         "\"credit_scoring\",\"version\":1,\"language\":\"en\"},\"channel\":\"app\"}",
         id);
    _cleanup_answer struct answer no = post(w, "/access/v1/search/resource", SCORING(""));
    assert_status(no, 403);
    assert_reason(no, "record_required");
    _cleanup_answer struct answer yes =
        post(w, "/access/v1/search/resource", SCORING(",\"context\":{\"record\":true}"));
    assert_status(yes, 200);
    assert_true(has_result(&yes, "id", "00004"));
    _cleanup_answer struct answer history =
        ask(w, NULL, "GET", "/v1/consumers/00004/history", NULL);
    assert_string_equal(text_at(&history, "items.2.kind"), "access");
    assert_string_equal(text_at(&history, "items.2.consent"), id);
}

static void test_reported_uses_are_recorded_permitted_or_not(void **state)
{
    static const char body[] =
        "{\"items\":[{\"recipient\":\"marketing\",\"purpose\":\"personal_offers\","
        "\"category\":\"purchases\",\"consumer\":\"00001\",\"detail\":{\"job\":\"letter\"}},"
        "{\"recipient\":\"marketing\",\"purpose\":\"personal_offers\",\"category\":\"contact\","
        "\"consumer\":\"00001\"}]}";
    _cleanup_answer struct answer a = post(*state, "/v1/accesses", body);
    assert_status(a, 200);
    assert_true(json_is_true(at(a.json, "items.0.decision")));
    assert_true(json_is_integer(at(a.json, "items.0.event")));
    assert_true(json_is_false(at(a.json, "items.1.decision")));
    assert_string_equal(text_at(&a, "items.1.reason"), "no_consent");
    assert_true(json_is_integer(at(a.json, "items.1.event")));
    static const char *const wrong[] = {"2020-01-01T00:00:00Z", "2099-01-01T00:00:00Z"};
    for (size_t i = 0; i < 2; i++) {
        char late[512];
        snprintf(late, sizeof late,
                 "{\"items\":[{\"recipient\":\"marketing\",\"purpose\":\"personal_offers\","
                 "\"category\":\"purchases\",\"consumer\":\"00001\",\"at\":\"%s\"}]}",
                 wrong[i]);
        _cleanup_answer struct answer b = post(*state, "/v1/accesses", late);
        assert_status(b, 422);
        assert_reason(b, "time_out_of_range");
    }
}

static void *keep_answering(void *arg)
{
    struct world *w = arg;
    for (int i = 0; i < 200; i++) {
        _cleanup_answer struct answer a = ask(w, NULL, "POST", "/v1/consents", GIVE("00003"));
        if (a.status != 201)
            return a.text[0] ? arg : NULL;
    }
    return NULL;
}

static void test_use_recorded_beside_changes_is_decided_on_what_they_leave(void **state)
{
    struct world *w = *state;
    pthread_t threads[2];
    void *failed;
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, keep_answering, w), 0);
    for (int i = 0; i < 200; i++) {
        _cleanup_answer struct answer a =
            post(w, EVALUATIONS,
                 "{" SUBJECT "," ACTION ",\"context\":{\"record\":true},\"evaluations\":[" OF(
                     "00003") "," OF("00001") "," OF("nobody") "]}");
        /* Each answer given meanwhile is a yes. Unavailable only when overtaken again and again. */
        assert_string_equal(text_at(&a, "evaluations.1.context.reason"), "permitted");
        assert_string_equal(text_at(&a, "evaluations.2.context.reason"), "unknown_consumer");
        if (strcmp(text_at(&a, "evaluations.0.context.reason"), "unavailable") != 0)
            assert_string_equal(text_at(&a, "evaluations.0.context.reason"), "permitted");
    }
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
}

static void test_metadata_names_each_endpoint(void **state)
{
    _cleanup_answer struct answer a =
        ask(*state, NULL, "GET", "/.well-known/authzen-configuration", NULL);
    assert_status(a, 200);
    const char *base = text_at(&a, "policy_decision_point");
    char expected[128];
    snprintf(expected, sizeof expected, "%s/access/v1/search/resource", base);
    assert_string_equal(text_at(&a, "search_resource_endpoint"), expected);
    snprintf(expected, sizeof expected, "%s/access/v1/evaluation", base);
    assert_string_equal(text_at(&a, "access_evaluation_endpoint"), expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_context_properties_and_unknown_members_do_not_matter),
        cmocka_unit_test(test_malformed_questions_are_bad_requests),
        cmocka_unit_test(test_bytes_behind_a_question_are_refused),
        cmocka_unit_test(test_another_content_type_is_a_bad_request),
        cmocka_unit_test(test_unknown_names_are_denied_with_their_reason),
        cmocka_unit_test(test_evaluations_take_defaults_whole_and_keep_their_order),
        cmocka_unit_test(test_failed_item_says_its_error),
        cmocka_unit_test(test_evaluations_without_items_are_one_evaluation),
        cmocka_unit_test(test_wrong_options_and_too_many_items_are_bad_requests),
        cmocka_unit_test(test_plain_and_general_reader_agree),
        cmocka_unit_test(test_long_lists_are_answered_in_order),
        cmocka_unit_test(test_searches_find_who_whose_and_for_what),
        cmocka_unit_test(test_search_for_what_nobody_knows_is_empty),
        cmocka_unit_test(test_search_demands_what_it_searches_by),
        cmocka_unit_test(test_pages_follow_their_token_and_no_other_query),
        cmocka_unit_test(test_staff_see_the_first_of_an_audience_and_no_more_alone),
        cmocka_unit_test(test_recorded_use_is_in_the_ledger),
        cmocka_unit_test(test_question_without_record_leaves_the_ledger_alone),
        cmocka_unit_test(test_recorded_evaluations_are_recorded_each),
        cmocka_unit_test(test_recording_is_a_default_that_an_item_may_turn_off),
        cmocka_unit_test(test_only_the_items_that_ask_for_it_are_recorded),
        cmocka_unit_test(test_audience_of_a_recorded_activity_is_recorded),
        cmocka_unit_test(test_reported_uses_are_recorded_permitted_or_not),
        cmocka_unit_test(test_use_recorded_beside_changes_is_decided_on_what_they_leave),
        cmocka_unit_test(test_metadata_names_each_endpoint),
    };
    return cmocka_run_group_tests(tests, begin, world_end);
}
