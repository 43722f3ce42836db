/* Keys: who may what, and how little a key that is lost, revoked or guessed is good for. */
#include <pthread.h>
#include <stdatomic.h>

#include "test_api_fixture.h"

static int begin(void **state)
{
    char id[33];
    int rc = world_begin(state);
    give(*state, GIVE("00001"), id);
    return rc;
}

/* What each call asks for; a role not in `roles` is forbidden it. */
static const struct {
    const char *method, *target, *body;
    const char *roles;
} rights[] = {
    {"POST", "/v1/consents", "{}", "admin privacy_officer support collector"},
    {"POST", "/v1/consents/batch", "{}", "admin privacy_officer support collector"},
    {"GET", "/v1/consents/0", NULL, "admin privacy_officer support collector auditor recipient"},
    {"GET", "/v1/consents/0/receipt", NULL,
     "admin privacy_officer support collector auditor recipient"},
    {"POST", "/v1/consents/0/withdraw", NULL, "admin privacy_officer support collector"},
    {"POST", "/v1/consents/0/renew", "{}", "admin privacy_officer support collector"},
    {"POST", "/v1/consents/0/amend", "{}", "admin privacy_officer support collector"},
    {"GET", "/v1/consumers/00001", NULL, "admin privacy_officer support auditor"},
    {"PUT", "/v1/consumers/00001", "{}", "admin privacy_officer support"},
    {"POST", "/v1/consumers/00009/erase", NULL, "admin privacy_officer"},
    {"GET", "/v1/consumers/00001/consents", NULL,
     "admin privacy_officer support collector auditor recipient"},
    {"GET", "/v1/consumers/00001/history", NULL, "admin privacy_officer support auditor"},
    {"GET", "/v1/events", NULL, "admin privacy_officer auditor recipient"},
    {"GET", "/v1/policy", NULL,
     "admin privacy_officer analyst support marketing auditor deployer recipient"},
    {"GET", "/v1/policy/history", NULL,
     "admin privacy_officer analyst support marketing auditor deployer recipient"},
    {"POST", "/v1/policy", "{}", "admin privacy_officer"},
    {"POST", "/v1/policy/check", "{}", "admin privacy_officer deployer"},
    {"POST", "/v1/policy/diff", "{}", "admin privacy_officer deployer"},
    {"GET", "/v1/notices/personal_offers", NULL,
     "admin privacy_officer analyst support marketing auditor collector deployer recipient"},
    {"POST", "/v1/accesses", "{}", "admin privacy_officer recipient"},
    {"POST", "/access/v1/evaluation", "{}",
     "admin privacy_officer analyst support marketing auditor recipient"},
    {"POST", "/access/v1/evaluations", "{}",
     "admin privacy_officer analyst support marketing auditor recipient"},
    {"POST", "/access/v1/search/subject", "{}",
     "admin privacy_officer analyst support marketing auditor recipient"},
    {"POST", "/access/v1/search/resource", "{}",
     "admin privacy_officer analyst support marketing auditor recipient"},
    {"POST", "/access/v1/search/action", "{}",
     "admin privacy_officer analyst support marketing auditor recipient"},
    {"GET", "/log/0/tile/entries/000.p/1", NULL, "admin privacy_officer auditor"},
    {"POST", "/v1/log/checkpoint", NULL, "admin privacy_officer"},
    {"POST", "/v1/keys", "{}", "admin"},
    {"GET", "/v1/keys", NULL, "admin"},
    {"DELETE", "/v1/keys/0", NULL, "admin"},
    {"POST", "/v1/store/rotate", NULL, "admin"},
    {"GET", "/v1/overview", NULL, "admin privacy_officer analyst support marketing auditor"},
    {"GET", "/v1/response-times", NULL, "admin privacy_officer support auditor"},
    {"GET", "/v1/uses", NULL, "admin privacy_officer auditor recipient"},
    {"POST", "/v1/policy/proposals", "{}", "admin privacy_officer deployer"},
    {"GET", "/v1/policy/proposals", NULL, "admin privacy_officer auditor deployer"},
    {"GET", "/v1/policy/proposals/0", NULL, "admin privacy_officer auditor deployer"},
    {"POST", "/v1/policy/proposals/0/approve", "{}", "admin privacy_officer"},
    {"POST", "/v1/policy/proposals/0/reject", NULL, "admin privacy_officer"},
    {"POST", "/v1/reads", "{}", "admin privacy_officer"},
    {"GET", "/v1/reads", NULL, "admin privacy_officer auditor"},
    {"GET", "/v1/reads/0", NULL, "admin privacy_officer auditor"},
    {"GET", "/v1/reads/0/result", NULL, "admin privacy_officer"},
    {"POST", "/v1/reads/0/approve", "{}", "admin privacy_officer"},
    {"POST", "/v1/reads/0/reject", NULL, "admin privacy_officer"},
    {"POST", "/v1/staff", "{}", "admin"},
    {"GET", "/v1/staff", NULL, "admin"},
    {"POST", "/v1/staff/0/invitations", NULL, "admin"},
    {"GET", "/v1/staff/0", NULL, "admin"},
    {"POST", "/v1/staff/0/change", "{}", "admin"},
    {"POST", "/v1/staff/0/training", "{}", "admin"},
    {"POST", "/v1/staff/0/disable", NULL, "admin"},
};

static const char *const roles[] = {"admin",     "privacy_officer", "analyst",
                                    "support",   "marketing",       "auditor",
                                    "collector", "deployer",        "recipient"};

static bool is_listed(const char *list, const char *role)
{
    size_t n = strlen(role);
    for (const char *p = strstr(list, role); p; p = strstr(p + 1, role))
        if ((p == list || p[-1] == ' ') && (p[n] == 0 || p[n] == ' '))
            return true;
    return false;
}

static void test_each_role_may_what_the_table_says_and_no_more(void **state)
{
    struct world *w = *state;
    for (size_t r = 0; r < sizeof roles / sizeof *roles; r++) {
        char key[80], body[64];
        bool recipient = strcmp(roles[r], "recipient") == 0;
        snprintf(body, sizeof body, "{\"%s\":\"%s\"}", recipient ? "recipient" : "staff",
                 recipient ? "marketing" : roles[r]);
        make_key(w, body, key, NULL);
        for (size_t i = 0; i < sizeof rights / sizeof *rights; i++) {
            _cleanup_answer struct answer a =
                ask(w, key, rights[i].method, rights[i].target, rights[i].body);
            bool forbidden = a.status == 403 && strcmp(text_at(&a, "reason"), "forbidden") == 0;
            if (forbidden == is_listed(rights[i].roles, roles[r]) || a.status == 401)
                fail_msg("%s %s %s: %d", roles[r], rights[i].method, rights[i].target, a.status);
        }
    }
}

static void test_what_is_no_key_opens_nothing(void **state)
{
    struct world *w = *state;
    char key[80], wrong[90];
    make_key(w, "{\"staff\":\"admin\"}", key, NULL);
    assert_int_equal(strlen(key), 4 + 16 + 1 + 43);
    static const size_t places[] = {0, 4, 10, 21, 40, 63};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        snprintf(wrong, sizeof wrong, "%s", key);
        wrong[places[i]] = wrong[places[i]] == 'a' ? 'b' : 'a';
        _cleanup_answer struct answer a = ask(w, wrong, "GET", "/v1/policy", NULL);
        assert_status(a, 401);
    }
    static const char *const others[] = {"", "lov_", "lov__", "lov_0123456789abcdef_", "x y"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        _cleanup_answer struct answer a = ask(w, others[i], "GET", "/v1/policy", NULL);
        assert_status(a, 401);
        assert_reason(a, "invalid_key");
    }
    _cleanup_answer struct answer longer = ask(w, strcat(key, "A"), "GET", "/v1/policy", NULL);
    assert_status(longer, 401);
}

static void test_revoked_key_is_refused_at_once_and_after_a_restart(void **state)
{
    struct world *w = *state;
    char key[80], id[20], other[80], path[64];
    make_key(w, "{\"staff\":\"auditor\"}", key, id);
    make_key(w, "{\"staff\":\"privacy-officer\"}", other, NULL);
    _cleanup_answer struct answer before = ask(w, key, "GET", "/v1/policy", NULL);
    assert_status(before, 200);
    snprintf(path, sizeof path, "/v1/keys/%s", id);
    _cleanup_answer struct answer gone = ask(w, NULL, "DELETE", path, NULL);
    assert_status(gone, 200);
    _cleanup_answer struct answer after = ask(w, key, "GET", "/v1/policy", NULL);
    assert_status(after, 401);
    _cleanup_answer struct answer twice = ask(w, NULL, "DELETE", path, NULL);
    assert_status(twice, 200);
    assert_string_equal(text_at(&twice, "revoked_at"), text_at(&gone, "revoked_at"));
    world_close(w);
    world_open(w);
    _cleanup_answer struct answer again = ask(w, key, "GET", "/v1/policy", NULL);
    assert_status(again, 401);
    _cleanup_answer struct answer lives = ask(w, other, "GET", "/v1/events", NULL);
    assert_status(lives, 200);
}

static void test_wrong_key_requests_are_refused(void **state)
{
    static const struct {
        const char *body;
        int status;
    } cases[] = {
        {"{}", 400},
        {"{\"staff\":\"king\"}", 400},
        {"{\"staff\":\"admin\",\"recipient\":\"marketing\"}", 400},
        {"{\"recipient\":\"nobody\"}", 422},
        {"{\"recipient\":\"marketing\",\"x\":1}", 400},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        _cleanup_answer struct answer a = ask(*state, NULL, "POST", "/v1/keys", cases[i].body);
        assert_status(a, cases[i].status);
    }
    _cleanup_answer struct answer unknown = ask(*state, NULL, "DELETE", "/v1/keys/x", NULL);
    assert_status(unknown, 404);
    struct call_options options = {.idempotency = "1"};
    _cleanup_answer struct answer repeated =
        ask_with(*state, &options, "POST", "/v1/keys", STR("{\"staff\":\"admin\"}"));
    assert_status(repeated, 400);
}

static void test_keys_are_listed_without_their_secrets_and_in_the_ledger(void **state)
{
    struct world *w = *state;
    char key[80], id[20];
    make_key(w, "{\"recipient\":\"mailhouse\"}", key, id);
    _cleanup_answer struct answer list = ask(w, NULL, "GET", "/v1/keys?limit=1000", NULL);
    assert_status(list, 200);
    char *text = json_dumps(list.json, 0);
    assert_non_null(strstr(text, id));
    assert_null(strstr(text, key + 21));
    free(text);
    struct http_call *call = http_call_new("GET", "/v1/events?limit=1000", (struct str){0});
    http_dispatch(api_app(w->api), call);
    assert_non_null(strstr(call->out.p, "key.create"));
    assert_non_null(strstr(call->out.p, id));
    assert_null(strstr(call->out.p, key + 21));
    http_call_free(call);
}

/* ---- a recipient's key ---- */

static void test_recipient_asks_for_itself_only(void **state)
{
    struct world *w = *state;
    char key[80];
    make_key(w, "{\"recipient\":\"risk\"}", key, NULL);
    _cleanup_answer struct answer other =
        ask(w, key, "POST", "/access/v1/evaluation", QUESTION("00001", "purchases"));
    assert_status(other, 403);
    _cleanup_answer struct answer item =
        ask(w, key, "POST", "/access/v1/evaluations",
            "{\"evaluations\":[" QUESTION("00001", "purchases") "]}");
    assert_status(item, 200);
    assert_true(json_is_false(at(item.json, "evaluations.0.decision")));
    assert_int_equal(json_integer_value(at(item.json, "evaluations.0.context.error.status")), 403);
    _cleanup_answer struct answer who =
        ask(w, key, "POST", "/access/v1/search/subject", QUESTION("00001", "purchases"));
    assert_status(who, 200);
    assert_int_equal(json_array_size(at(who.json, "results")), 0);
    static const char *const paths[] = {"/access/v1/search/resource", "/access/v1/search/action"};
    for (size_t i = 0; i < 2; i++) {
        _cleanup_answer struct answer a =
            ask(w, key, "POST", paths[i], QUESTION("00001", "purchases"));
        assert_status(a, 403);
    }
    _cleanup_answer struct answer use =
        ask(w, key, "POST", "/v1/accesses",
            "{\"items\":[{\"recipient\":\"marketing\",\"purpose\":\"personal_offers\","
            "\"category\":\"purchases\",\"consumer\":\"00001\"}]}");
    assert_status(use, 403);
}

static void test_recipient_sees_its_own_consents_and_events_only(void **state)
{
    struct world *w = *state;
    char own[80], foreign[80], id[33], path[64];
    make_key(w, "{\"recipient\":\"marketing\"}", own, NULL);
    make_key(w, "{\"recipient\":\"risk\"}", foreign, NULL);
    give(w, GIVE("00005"), id);
    snprintf(path, sizeof path, "/v1/consents/%s", id);
    _cleanup_answer struct answer a = ask(w, own, "GET", path, NULL);
    assert_status(a, 200);
    assert_true(json_is_null(at(a.json, "evidence")));
    _cleanup_answer struct answer b = ask(w, foreign, "GET", path, NULL);
    assert_status(b, 404);
    assert_reason(b, "unknown_consent");
    _cleanup_answer struct answer c = ask(w, own, "GET", "/v1/consumers/00005/consents", NULL);
    assert_int_equal(json_array_size(at(c.json, "items")), 1);
    _cleanup_answer struct answer d = ask(w, foreign, "GET", "/v1/consumers/00005/consents", NULL);
    assert_int_equal(json_array_size(at(d.json, "items")), 0);
    _cleanup_answer struct answer e = ask(w, own, "GET", "/v1/events", NULL);
    assert_true(json_array_size(at(e.json, "items")) > 0);
    assert_string_equal(text_at(&e, "items.0.recipient"), "marketing");
    _cleanup_answer struct answer f = ask(w, foreign, "GET", "/v1/events", NULL);
    assert_int_equal(json_array_size(at(f.json, "items")), 0);
    assert_true(json_is_null(at(f.json, "next")));
}

static void test_token_of_one_caller_is_no_use_to_another(void **state)
{
    struct world *w = *state;
    char one[80], two[80], body[700], id[33];
    static const char *const question =
        "{\"subject\":{\"type\":\"recipient\",\"id\":\"marketing\"},"
        "\"action\":{\"name\":\"personal_offers\"},"
        "\"resource\":{\"type\":\"purchases\"},"
        "\"page\":{\"limit\":1%s%s%s}}";
    make_key(w, "{\"recipient\":\"marketing\"}", one, NULL);
    make_key(w, "{\"recipient\":\"marketing\"}", two, NULL);
    give(w, GIVE("00006"), id);
    snprintf(body, sizeof body, question, "", "", "");
    _cleanup_answer struct answer a = ask(w, one, "POST", "/access/v1/search/resource", body);
    assert_status(a, 200);
    snprintf(body, sizeof body, question, ",\"token\":\"", text_at(&a, "page.next_token"), "\"");
    _cleanup_answer struct answer b = ask(w, one, "POST", "/access/v1/search/resource", body);
    assert_status(b, 200);
    _cleanup_answer struct answer c = ask(w, two, "POST", "/access/v1/search/resource", body);
    assert_status(c, 400);
}

static void test_idempotency_keys_of_two_callers_are_two(void **state)
{
    struct world *w = *state;
    char one[80], two[80];
    make_key(w, "{\"staff\":\"collector\"}", one, NULL);
    make_key(w, "{\"staff\":\"collector\"}", two, NULL);
    struct call_options first = {.key = one, .idempotency = "1"};
    struct call_options second = {.key = two, .idempotency = "1"};
    _cleanup_answer struct answer a =
        ask_with(w, &first, "POST", "/v1/consents", STR(GIVE("00007")));
    _cleanup_answer struct answer b =
        ask_with(w, &second, "POST", "/v1/consents", STR(GIVE("00008")));
    assert_status(a, 201);
    assert_status(b, 201);
    assert_false(b.replayed);
}

/* ---- many at once ---- */

struct asker {
    struct world *w;
    const char *key;
    _Atomic bool *stop;
    unsigned answers, others;
};

static void *keep_asking(void *arg)
{
    struct asker *a = arg;
    while (!atomic_load(a->stop)) {
        struct answer answer =
            ask(a->w, a->key, "POST", "/access/v1/evaluation", QUESTION("00001", "purchases"));
        a->answers++;
        a->others += answer.status != 200;
        answer_free(&answer);
    }
    return NULL;
}

static void test_keys_come_and_go_while_others_ask(void **state)
{
    enum { ASKERS = 3, ROUNDS = 30 };
    struct world *w = *state;
    struct asker askers[ASKERS];
    pthread_t threads[ASKERS];
    _Atomic bool stop = false;
    char key[80], fleeting[80], id[20], path[64];
    make_key(w, "{\"recipient\":\"marketing\"}", key, NULL);
    for (size_t i = 0; i < ASKERS; i++) {
        askers[i] = (struct asker){.w = w, .key = key, .stop = &stop};
        assert_int_equal(pthread_create(&threads[i], NULL, keep_asking, &askers[i]), 0);
    }
    for (int i = 0; i < ROUNDS; i++) {
        make_key(w, "{\"staff\":\"auditor\"}", fleeting, id);
        snprintf(path, sizeof path, "/v1/keys/%s", id);
        _cleanup_answer struct answer before = ask(w, fleeting, "GET", "/v1/policy", NULL);
        assert_status(before, 200);
        _cleanup_answer struct answer gone = ask(w, NULL, "DELETE", path, NULL);
        assert_status(gone, 200);
        _cleanup_answer struct answer after = ask(w, fleeting, "GET", "/v1/policy", NULL);
        assert_status(after, 401);
    }
    atomic_store(&stop, true);
    for (size_t i = 0; i < ASKERS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(askers[i].others, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_role_may_what_the_table_says_and_no_more),
        cmocka_unit_test(test_what_is_no_key_opens_nothing),
        cmocka_unit_test(test_revoked_key_is_refused_at_once_and_after_a_restart),
        cmocka_unit_test(test_wrong_key_requests_are_refused),
        cmocka_unit_test(test_keys_are_listed_without_their_secrets_and_in_the_ledger),
        cmocka_unit_test(test_recipient_asks_for_itself_only),
        cmocka_unit_test(test_recipient_sees_its_own_consents_and_events_only),
        cmocka_unit_test(test_token_of_one_caller_is_no_use_to_another),
        cmocka_unit_test(test_idempotency_keys_of_two_callers_are_two),
        cmocka_unit_test(test_keys_come_and_go_while_others_ask),
    };
    return cmocka_run_group_tests(tests, begin, world_end);
}
