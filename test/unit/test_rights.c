/* test_rights.c - requests: every step in every state, deadlines, what is carried out and who is
 * told, over the API. */
#include "base/clock.h"
#include "rights/rights.h"
#include "test_api_fixture.h"

#define OPEN(consumer, right)                                                                      \
    "{\"consumer\":\"" consumer "\",\"right\":\"" right "\",\"channel\":\"web\","                  \
    "\"detail\":\"please, " right "\"}"
#define NOTE "{\"note\":\"seen a passport\"}"

/* ---- the state machine ---- */

static void test_every_step_in_every_state(void **state)
{
    (void)state;
    /* Rows: states; columns: ask-identity verify-identity extend fulfil refuse withdraw close. "."
     * is not to be taken; otherwise the first letter of where it leads. */
    static const char *const expected[REQUEST_STATES] = {
        "io..rwc", ".o..rwc", "..efrwc", "...frwc", ".......", ".......", ".......", ".......",
    };
    static const char letters[REQUEST_STATES] = {'R', 'i', 'o', 'e', 'f', 'r', 'w', 'c'};
    for (int from = 0; from < REQUEST_STATES; from++) {
        for (int step = 0; step < REQUEST_STEPS; step++) {
            enum request_state next = REQUEST_STATES;
            bool ok = request_next((enum request_state)from, (enum request_step)step, &next);
            char got = ok ? letters[next] : '.';
            if (got != expected[from][step])
                fail_msg("%s, %s: %c, not %c", request_state_name((enum request_state)from),
                         request_step_name((enum request_step)step), got, expected[from][step]);
            if (!ok)
                assert_int_equal(next, REQUEST_STATES);
        }
        enum request_state parsed;
        assert_true(
            request_state_parse(str_of(request_state_name((enum request_state)from)), &parsed));
        assert_int_equal(parsed, from);
        assert_int_equal(request_is_live((enum request_state)from), from <= REQUEST_EXTENDED);
    }
}

/* ---- deadlines ---- */

static int64_t instant(const char *text)
{
    int64_t at;
    assert_true(time_parse(str_of(text), &at));
    return at;
}

static void assert_due(const struct policy_law *law, const struct policy_deadline *d,
                       const char *received, bool extended, const char *due)
{
    _cleanup_buf struct buf text = {0};
    time_format(request_due(law, d, instant(received), extended), &text);
    if (strcmp(text.p, due) != 0)
        fail_msg("received %s: due %s, not %s", received, text.p, due);
}

static void test_months_end_with_the_same_day_or_the_last_one(void **state)
{
    (void)state;
    struct policy_law utc = {0};
    struct policy_deadline d = {.months = 1, .extend_months = 2};
    assert_due(&utc, &d, "2026-01-15T10:00:00Z", false, "2026-02-15T23:59:59.999Z");
    assert_due(&utc, &d, "2026-01-31T00:00:00Z", false, "2026-02-28T23:59:59.999Z");
    assert_due(&utc, &d, "2028-01-31T23:59:59Z", false, "2028-02-29T23:59:59.999Z");
    assert_due(&utc, &d, "2028-01-29T00:00:00Z", false, "2028-02-29T23:59:59.999Z");
    assert_due(&utc, &d, "2026-08-31T12:00:00Z", false, "2026-09-30T23:59:59.999Z");
    assert_due(&utc, &d, "2026-12-31T12:00:00Z", false, "2027-01-31T23:59:59.999Z");
    /* Two more months are counted from receipt, not from the clipped end of the first. */
    assert_due(&utc, &d, "2026-01-31T00:00:00Z", true, "2026-04-30T23:59:59.999Z");
    assert_due(&utc, &d, "2026-11-30T00:00:00Z", true, "2027-02-28T23:59:59.999Z");
    assert_due(&utc, &d, "2027-11-30T00:00:00Z", true, "2028-02-29T23:59:59.999Z");
    assert_due(&utc, &d, "2100-01-31T00:00:00Z", false, "2100-02-28T23:59:59.999Z");
    struct policy_deadline year = {.months = 12};
    assert_due(&utc, &year, "2028-02-29T00:00:00Z", false, "2029-02-28T23:59:59.999Z");
}

static void test_days_are_counted_from_the_day_after(void **state)
{
    (void)state;
    struct policy_law utc = {0};
    struct policy_deadline d = {.days = 45, .extend_days = 45};
    assert_due(&utc, &d, "2026-01-01T00:00:00Z", false, "2026-02-15T23:59:59.999Z");
    assert_due(&utc, &d, "2026-01-01T23:59:59Z", true, "2026-04-01T23:59:59.999Z");
    assert_due(&utc, &d, "2028-01-31T08:00:00Z", false, "2028-03-16T23:59:59.999Z");
}

static void test_no_zone_of_the_law_ends_earlier(void **state)
{
    (void)state;
    struct policy_deadline d = {.days = 45};
    /* 31 January in Greenwich, 30 January in California, where the last day ends at 07:00 UTC. */
    struct policy_law california = {.west = -8, .east = -7};
    assert_due(&california, &d, "2026-01-31T02:00:00Z", false, "2026-03-17T06:59:59.999Z");
    assert_due(&california, &d, "2026-01-31T09:00:00Z", false, "2026-03-18T06:59:59.999Z");
    struct policy_law europe = {.west = -1, .east = 3};
    struct policy_deadline month = {.months = 1};
    assert_due(&europe, &month, "2026-03-31T22:30:00Z", false, "2026-04-30T20:59:59.999Z");
    assert_due(&europe, &month, "2026-04-01T00:30:00Z", false, "2026-04-30T20:59:59.999Z");
    /* Before 1970 days count down. */
    assert_due(&california, &d, "1970-01-01T07:59:59Z", false, "1970-02-15T06:59:59.999Z");
}

/* ---- over the API ---- */

static void open_request(struct world *w, const char *body, char id[33])
{
    _cleanup_answer struct answer a = ask(w, NULL, "POST", "/v1/requests", body);
    assert_status(a, 201);
    snprintf(id, 33, "%s", text_at(&a, "id"));
}

static struct answer take(struct world *w, const char *id, const char *step, const char *body)
{
    char target[96];
    snprintf(target, sizeof target, "/v1/requests/%s/%s", id, step);
    return ask(w, NULL, "POST", target, body);
}

static void steps(struct world *w, const char *id, const char *const *names)
{
    for (; *names; names++) {
        _cleanup_answer struct answer a = take(w, id, *names, NOTE);
        assert_status(a, 200);
    }
}
#define STEPS(w, id, ...) steps(w, id, (const char *const[]){__VA_ARGS__, NULL})

static void known(struct world *w, const char *consumer, const char *residence)
{
    char target[64], body[64];
    snprintf(target, sizeof target, "/v1/consumers/%s", consumer);
    snprintf(body, sizeof body, "{\"residence\":\"%s\"}", residence);
    _cleanup_answer struct answer a = ask(w, NULL, "PUT", target, body);
    assert_true(a.status == 200 || a.status == 201);
}

static void verify(struct world *w)
{
    struct err err = {0};
    struct db *db;
    struct state_report report;
    assert_int_equal(db_pool_get(engine_lov(w->e), &db, &err), 0);
    if (rights_verify(db, 0, &report, &err))
        fail_msg("%s", err.text);
    if (report.wrong)
        fail_msg("event %lld: %s", (long long)report.seq, report.what);
    db_pool_put(engine_lov(w->e), db);
}

static void test_a_request_goes_its_way_and_the_ledger_tells_it(void **state)
{
    struct world *w = *state;
    char id[33], target[64];
    known(w, "00001", "SE");
    open_request(w, OPEN("00001", "access"), id);
    snprintf(target, sizeof target, "/v1/requests/%s", id);
    _cleanup_answer struct answer early = take(w, id, "fulfil", "{}");
    assert_status(early, 409);
    assert_reason(early, "wrong_state");
    _cleanup_answer struct answer bare = take(w, id, "verify-identity", "{}");
    assert_status(bare, 400);
    assert_reason(bare, "note_required");
    STEPS(w, id, "ask-identity", "verify-identity", "extend", "fulfil");
    _cleanup_answer struct answer a = ask(w, NULL, "GET", target, "");
    assert_status(a, 200);
    assert_string_equal(text_at(&a, "state"), "fulfilled");
    assert_string_equal(text_at(&a, "consumer"), "00001");
    assert_string_equal(text_at(&a, "law"), "gdpr");
    assert_string_equal(text_at(&a, "detail"), "please, access");
    assert_string_equal(text_at(&a, "notes.1.step"), "verify-identity");
    assert_string_equal(text_at(&a, "notes.1.note"), "seen a passport");
    assert_true(json_is_true(at(a.json, "extended")));
    _cleanup_answer struct answer history = ask(w, NULL, "GET", "/v1/consumers/00001/history", "");
    static const char *const kinds[] = {
        "consumer.add",
        "consumer.set",
        "request.receive",
        "request.ask_identity",
        "request.verify_identity",
        "request.extend",
        "request.fulfil",
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        char path[32];
        snprintf(path, sizeof path, "items.%zu.kind", i);
        assert_string_equal(text_at(&history, path), kinds[i]);
    }
    assert_string_equal(text_at(&history, "items.2.request"), id);
    verify(w);
}

static void test_time_is_extended_once(void **state)
{
    struct world *w = *state;
    char id[33];
    known(w, "00001", "SE");
    open_request(w, OPEN("00001", "access"), id);
    STEPS(w, id, "verify-identity", "extend");
    _cleanup_answer struct answer again = take(w, id, "extend", NOTE);
    assert_status(again, 409);
    assert_reason(again, "already_extended");
    /* After the first period there is nothing to extend. */
    open_request(w,
                 "{\"consumer\":\"00001\",\"right\":\"access\",\"channel\":\"paper\","
                 "\"received_at\":\"2026-01-15T00:00:00Z\"}",
                 id);
    STEPS(w, id, "verify-identity");
    _cleanup_answer struct answer late = take(w, id, "extend", NOTE);
    assert_status(late, 409);
    assert_reason(late, "too_late");
    _cleanup_answer struct answer list =
        ask(w, NULL, "GET", "/v1/requests?state=live&due_before=2026-03-01T00:00:00Z", "");
    assert_status(list, 200);
    assert_int_equal(json_array_size(at(list.json, "items")), 1);
    assert_string_equal(text_at(&list, "items.0.id"), id);
    assert_true(json_is_true(at(list.json, "items.0.overdue")));
    /* No word of CCPA's 15 days for opt-out allows more. */
    known(w, "00002", "US-CA");
    open_request(w, OPEN("00002", "opt_out"), id);
    _cleanup_answer struct answer none = take(w, id, "extend", NOTE);
    assert_status(none, 409);
    assert_reason(none, "no_extension");
}

static void test_a_refusal_needs_a_reason_of_the_law(void **state)
{
    struct world *w = *state;
    char id[33];
    known(w, "00001", "SE");
    open_request(w, OPEN("00001", "access"), id);
    _cleanup_answer struct answer ours =
        take(w, id, "refuse", "{\"reason\":\"busy\",\"note\":\"x\"}");
    assert_status(ours, 422);
    assert_reason(ours, "unknown_reason");
    /* A reason of art. 17, which is about erasure. */
    _cleanup_answer struct answer other =
        take(w, id, "refuse", "{\"reason\":\"legal_obligation\",\"note\":\"x\"}");
    assert_status(other, 422);
    assert_reason(other, "unknown_reason");
    _cleanup_answer struct answer bare =
        take(w, id, "refuse", "{\"reason\":\"manifestly_unfounded\"}");
    assert_status(bare, 400);
    assert_reason(bare, "note_required");
    _cleanup_answer struct answer a =
        take(w, id, "refuse", "{\"reason\":\"manifestly_unfounded\",\"note\":\"daily\"}");
    assert_status(a, 200);
    assert_string_equal(text_at(&a, "state"), "refused");
    assert_string_equal(text_at(&a, "source"), "art. 12(5)");
    verify(w);
}

static void test_what_is_no_request_is_refused_and_changes_nothing(void **state)
{
    struct world *w = *state;
    known(w, "00001", "SE");
    static const struct {
        const char *body;
        int status;
    } bad[] = {
        {"", 400},
        {"{}", 400},
        {"[]", 400},
        {OPEN("00001", "everything"), 400},
        {OPEN("00001", "opt_out"), 400},
        {OPEN("nobody", "access"), 404},
        {"{\"consumer\":\"\",\"right\":\"access\",\"channel\":\"web\"}", 400},
        {"{\"consumer\":\"00001\",\"right\":\"access\"}", 400},
        {"{\"consumer\":\"00001\",\"right\":\"access\",\"channel\":\"We b\"}", 400},
        {"{\"consumer\":\"00001\",\"right\":\"access\",\"channel\":\"web\",\"detail\":7}", 400},
        {"{\"consumer\":\"00001\",\"right\":\"access\",\"channel\":\"web\",\"more\":7}", 400},
        {"{\"consumer\":\"00001\",\"right\":\"access\",\"channel\":\"web\","
         "\"received_at\":\"2999-01-01T00:00:00Z\"}",
         400},
        {"{\"consumer\":\"00001\",\"right\":\"access\",\"channel\":\"web\","
         "\"received_at\":\"1999-01-01T00:00:00Z\"}",
         400},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        _cleanup_answer struct answer a = ask(w, NULL, "POST", "/v1/requests", bad[i].body);
        if (a.status != bad[i].status && a.status != 422)
            fail_msg("%s: %d %s", bad[i].body, a.status, a.text);
    }
    _cleanup_answer struct answer list = ask(w, NULL, "GET", "/v1/requests", "");
    assert_int_equal(json_array_size(at(list.json, "items")), 0);
    static const char *const nobody[] = {
        "/v1/requests/x", "/v1/requests/00000000000000000000000000000000",
        "/v1/requests?state=lost", "/v1/requests?due_before=soon", "/v1/requests?after=x"};
    for (size_t i = 0; i < sizeof nobody / sizeof *nobody; i++) {
        _cleanup_answer struct answer a = ask(w, NULL, "GET", nobody[i], "");
        assert_status(a, i < 2 ? 404 : 400);
    }
}

/* ---- what is carried out ---- */

static void assert_decision(struct world *w, const char *question, const char *reason)
{
    _cleanup_answer struct answer a = ask(w, NULL, "POST", "/access/v1/evaluation", question);
    assert_status(a, 200);
    assert_string_equal(text_at(&a, "context.reason"), reason);
}

static void test_restriction_is_in_force_with_the_fulfilment(void **state)
{
    struct world *w = *state;
    char id[33];
    known(w, "00001", "SE");
    give(w, GIVE("00001"), id);
    open_request(w, OPEN("00001", "restriction"), id);
    STEPS(w, id, "verify-identity");
    assert_decision(w, QUESTION("00001", "purchases"), "permitted");
    STEPS(w, id, "fulfil");
    assert_decision(w, QUESTION("00001", "purchases"), "restricted");
    verify(w);
}

static void test_recipients_are_told_and_acknowledge(void **state)
{
    struct world *w = *state;
    char id[33], key[80], other[80], target[96];
    known(w, "00001", "SE");
    give(w, GIVE("00001"), id);
    open_request(w, OPEN("00001", "restriction"), id);
    STEPS(w, id, "verify-identity", "fulfil");
    make_key(w, "{\"recipient\":\"marketing\"}", key, NULL);
    make_key(w, "{\"recipient\":\"operations\"}", other, NULL);
    _cleanup_answer struct answer none = ask(w, other, "GET", "/v1/notifications", "");
    assert_status(none, 200);
    assert_int_equal(json_array_size(at(none.json, "items")), 0);
    _cleanup_answer struct answer a = ask(w, key, "GET", "/v1/notifications?open=true", "");
    assert_status(a, 200);
    assert_int_equal(json_array_size(at(a.json, "items")), 1);
    assert_string_equal(text_at(&a, "items.0.consumer"), "00001");
    assert_string_equal(text_at(&a, "items.0.right"), "restriction");
    assert_string_equal(text_at(&a, "items.0.request"), id);
    snprintf(target, sizeof target, "/v1/notifications/%s/acknowledge", text_at(&a, "items.0.id"));
    _cleanup_answer struct answer theirs = ask(w, other, "POST", target, "");
    assert_status(theirs, 404);
    for (int i = 0; i < 2; i++) {
        _cleanup_answer struct answer ok = ask(w, key, "POST", target, "");
        assert_status(ok, 200);
    }
    _cleanup_answer struct answer done = ask(w, key, "GET", "/v1/notifications?open=true", "");
    assert_int_equal(json_array_size(at(done.json, "items")), 0);
    _cleanup_answer struct answer all = ask(w, key, "GET", "/v1/notifications", "");
    assert_true(json_is_null(at(all.json, "items.0.consumer")));
    assert_true(json_is_string(at(all.json, "items.0.acknowledged_at")));
    verify(w);
}

static void test_erasure_closes_what_was_asked_and_still_tells(void **state)
{
    struct world *w = *state;
    char id[33], second[33], key[80], target[64];
    known(w, "00001", "SE");
    give(w, GIVE("00001"), id);
    open_request(w, OPEN("00001", "access"), second);
    open_request(w, OPEN("00001", "erasure"), id);
    STEPS(w, id, "verify-identity", "fulfil");
    assert_decision(w, QUESTION("00001", "purchases"), "erased");
    snprintf(target, sizeof target, "/v1/requests/%s", id);
    _cleanup_answer struct answer a = ask(w, NULL, "GET", target, "");
    assert_string_equal(text_at(&a, "state"), "fulfilled");
    assert_true(json_is_null(at(a.json, "consumer")));
    assert_null(at(a.json, "detail"));
    snprintf(target, sizeof target, "/v1/requests/%s", second);
    _cleanup_answer struct answer b = ask(w, NULL, "GET", target, "");
    assert_string_equal(text_at(&b, "state"), "closed");
    make_key(w, "{\"recipient\":\"marketing\"}", key, NULL);
    _cleanup_answer struct answer told = ask(w, key, "GET", "/v1/notifications", "");
    assert_string_equal(text_at(&told, "items.0.consumer"), "00001");
    _cleanup_answer struct answer again =
        ask(w, NULL, "POST", "/v1/requests", OPEN("00001", "access"));
    assert_reason(again, "erased");
    _cleanup_answer struct answer late = take(w, second, "withdraw", "{}");
    assert_status(late, 409);
    verify(w);
}

static void test_who_gets_data_while_it_is_looked_for_is_told_too(void **state)
{
    struct world *w = *state;
    struct err err = {0};
    struct consumer who;
    char id[33], key[80];
    _cleanup_arena struct arena arena = {0};
    struct request_change change = {.step = STEP_CLOSE};
    known(w, "00001", "SE");
    assert_int_equal(consumer_get(w->e, STR("00001"), &arena, &who, &err), 1);
    assert_int_equal(request_recipients(w->e, &who, &arena, &change.told, &err), 0);
    assert_int_equal(change.told.count, 0);
    give(w, GIVE("00001"), id);
    struct engine_write erase = {
        .actor = STR("test"),
        .arena = &arena,
        .consumer = STR("00001"),
        .expires_at = TIME_NONE,
        .given_at = TIME_NONE,
    };
    request_erase(&erase, &change);
    if (engine_run(w->e, &erase, &err))
        fail_msg("%s", err.text);
    make_key(w, "{\"recipient\":\"marketing\"}", key, NULL);
    _cleanup_answer struct answer told = ask(w, key, "GET", "/v1/notifications", "");
    assert_string_equal(text_at(&told, "items.0.consumer"), "00001");
    verify(w);
}

static void test_a_hold_keeps_a_consumer_and_says_why(void **state)
{
    struct world *w = *state;
    char id[33], hold[33], target[96];
    known(w, "00001", "SE");
    _cleanup_answer struct answer h =
        ask(w, NULL, "POST", "/v1/consumers/00001/holds",
            "{\"reason\":\"bookkeeping\",\"source\":\"Bokföringslagen 7 kap. 2 §\"}");
    assert_status(h, 201);
    snprintf(hold, sizeof hold, "%s", text_at(&h, "id"));
    open_request(w, OPEN("00001", "erasure"), id);
    STEPS(w, id, "verify-identity");
    _cleanup_answer struct answer no = take(w, id, "fulfil", "{}");
    assert_status(no, 409);
    assert_reason(no, "on_hold");
    assert_non_null(strstr(text_at(&no, "detail"), "bookkeeping"));
    _cleanup_answer struct answer direct = ask(w, NULL, "POST", "/v1/consumers/00001/erase", "");
    assert_status(direct, 409);
    assert_reason(direct, "on_hold");
    snprintf(target, sizeof target, "/v1/consumers/00001/holds/%s", hold);
    _cleanup_answer struct answer gone = ask(w, NULL, "DELETE", target, "");
    assert_status(gone, 200);
    STEPS(w, id, "fulfil");
    verify(w);
}

#define CONTACT "{\"data\":{\"name\":\"Ann\",\"email\":\"a@example.org\"}}"
#define PURCHASE                                                                                     \
    "{\"data\":{\"order_id\":\"A-1\",\"bought_at\":\"2026-11-20T10:15:30Z\",\"product\":\"kettle\"," \
    "\"amount\":{\"amount\":\"349.50\",\"currency\":\"SEK\"}}}"

static void put_record(struct world *w, const char *category, const char *body, char target[160])
{
    char list[96];
    snprintf(list, sizeof list, "/v1/consumers/00001/records/%s", category);
    _cleanup_answer struct answer a = ask(w, NULL, "POST", list, body);
    assert_status(a, 201);
    snprintf(target, 160, "%s/%s", list, text_at(&a, "id"));
}

static void test_an_erasure_of_a_category_leaves_the_rest(void **state)
{
    struct world *w = *state;
    char id[33], contact[160], purchase[160], key[80];
    known(w, "00001", "SE");
    put_record(w, "contact", CONTACT, contact);
    put_record(w, "purchases", PURCHASE, purchase);
    open_request(w, OPEN("00001", "erasure"), id);
    STEPS(w, id, "verify-identity");
    _cleanup_answer struct answer unknown = take(w, id, "fulfil", "{\"categories\":[\"shoes\"]}");
    assert_status(unknown, 422);
    assert_reason(unknown, "unknown_category");
    _cleanup_answer struct answer none = take(w, id, "fulfil", "{\"categories\":[]}");
    assert_status(none, 400);
    _cleanup_answer struct answer other = take(w, id, "refuse", "{\"categories\":[\"contact\"]}");
    assert_status(other, 400);
    _cleanup_answer struct answer done = take(w, id, "fulfil", "{\"categories\":[\"contact\"]}");
    assert_status(done, 200);
    assert_string_equal(text_at(&done, "state"), "fulfilled");
    _cleanup_answer struct answer gone = ask(w, NULL, "DELETE", contact, "");
    assert_status(gone, 404);
    _cleanup_answer struct answer there = ask(w, NULL, "GET", "/v1/consumers/00001", "");
    assert_status(there, 200);
    _cleanup_answer struct answer stays = ask(w, NULL, "DELETE", purchase, "");
    assert_status(stays, 200);
    make_key(w, "{\"staff\":\"support\"}", key, NULL);
    open_request(w, OPEN("00001", "erasure"), id);
    STEPS(w, id, "verify-identity");
    char target[96];
    snprintf(target, sizeof target, "/v1/requests/%s/fulfil", id);
    _cleanup_answer struct answer may =
        ask(w, key, "POST", target, "{\"categories\":[\"contact\"]}");
    assert_status(may, 403);
    verify(w);
}

static void test_a_hold_on_a_category_keeps_its_records_and_no_others(void **state)
{
    struct world *w = *state;
    char id[33], contact[160], purchase[160], target[96];
    known(w, "00001", "SE");
    put_record(w, "contact", CONTACT, contact);
    put_record(w, "purchases", PURCHASE, purchase);
    _cleanup_answer struct answer bad =
        ask(w, NULL, "POST", "/v1/consumers/00001/holds",
            "{\"reason\":\"bookkeeping\",\"source\":\"BFL 7:2\",\"category\":\"shoes\"}");
    assert_status(bad, 422);
    assert_reason(bad, "unknown_category");
    _cleanup_answer struct answer h =
        ask(w, NULL, "POST", "/v1/consumers/00001/holds",
            "{\"reason\":\"bookkeeping\",\"source\":\"BFL 7:2\",\"category\":\"purchases\"}");
    assert_status(h, 201);
    _cleanup_answer struct answer list = ask(w, NULL, "GET", "/v1/consumers/00001/holds", "");
    assert_string_equal(text_at(&list, "items.0.category"), "purchases");
    _cleanup_answer struct answer kept = ask(w, NULL, "DELETE", purchase, "");
    assert_status(kept, 409);
    assert_reason(kept, "on_hold");
    assert_non_null(strstr(text_at(&kept, "detail"), "bookkeeping"));
    open_request(w, OPEN("00001", "erasure"), id);
    STEPS(w, id, "verify-identity");
    _cleanup_answer struct answer all = take(w, id, "fulfil", "{}");
    assert_reason(all, "on_hold");
    /* All or nothing: the contact stays with the purchases. */
    _cleanup_answer struct answer both =
        take(w, id, "fulfil", "{\"categories\":[\"contact\",\"purchases\"]}");
    assert_reason(both, "on_hold");
    _cleanup_answer struct answer part = take(w, id, "fulfil", "{\"categories\":[\"contact\"]}");
    assert_status(part, 200);
    _cleanup_answer struct answer gone = ask(w, NULL, "DELETE", contact, "");
    assert_status(gone, 404);
    snprintf(target, sizeof target, "/v1/consumers/00001/holds/%s", text_at(&h, "id"));
    _cleanup_answer struct answer released = ask(w, NULL, "DELETE", target, "");
    assert_status(released, 200);
    _cleanup_answer struct answer now = ask(w, NULL, "DELETE", purchase, "");
    assert_status(now, 200);
    verify(w);
}

static void test_an_objection_is_a_no_to_all_legitimate_interest(void **state)
{
    struct world *w = *state;
    char id[33];
    known(w, "00001", "SE");
    open_request(w, OPEN("00001", "objection"), id);
    STEPS(w, id, "verify-identity", "fulfil");
    _cleanup_answer struct answer list = ask(w, NULL, "GET", "/v1/consumers/00001/consents", "");
    size_t n = json_array_size(at(list.json, "items"));
    assert_true(n > 0);
    for (size_t i = 0; i < n; i++) {
        char path[40];
        snprintf(path, sizeof path, "items.%zu.status", i);
        assert_string_equal(text_at(&list, path), "refused");
    }
    verify(w);
}

static void test_a_consumer_is_not_decided_on_by_machines_alone(void **state)
{
    static const char question[] =
        "{\"subject\":{\"type\":\"recipient\",\"id\":\"customer_service\"},"
        "\"action\":{\"name\":\"customer_support\"},"
        "\"resource\":{\"type\":\"purchases\",\"id\":\"00001\"}}";
    static const char member[] = "context.obligations.no_automated_decision";
    struct world *w = *state;
    char id[33];
    known(w, "00001", "SE");
    _cleanup_answer struct answer before = ask(w, NULL, "POST", "/access/v1/evaluation", question);
    assert_true(json_is_false(at(before.json, member)));
    open_request(w, OPEN("00001", "automated_decision"), id);
    STEPS(w, id, "verify-identity", "fulfil");
    _cleanup_answer struct answer after = ask(w, NULL, "POST", "/access/v1/evaluation", question);
    assert_true(json_is_true(at(after.json, "decision")));
    assert_true(json_is_true(at(after.json, member)));
    _cleanup_answer struct answer c = ask(w, NULL, "GET", "/v1/consumers/00001", "");
    assert_true(json_is_true(at(c.json, "no_automated_decision")));
    _cleanup_answer struct answer set =
        ask(w, NULL, "PUT", "/v1/consumers/00001", "{\"no_automated_decision\":false}");
    assert_status(set, 200);
    _cleanup_answer struct answer again = ask(w, NULL, "POST", "/access/v1/evaluation", question);
    assert_true(json_is_false(at(again.json, member)));
    verify(w);
}

static void test_the_signal_of_a_browser_is_an_opt_out(void **state)
{
    struct world *w = *state;
    known(w, "00002", "US-CA");
    _cleanup_answer struct answer none =
        ask(w, NULL, "POST", "/v1/consumers/00002/signals", "{\"gpc\":false}");
    assert_status(none, 400);
    assert_reason(none, "no_signal");
    _cleanup_answer struct answer a =
        ask(w, NULL, "POST", "/v1/consumers/00002/signals", "{\"gpc\":true}");
    assert_status(a, 200);
    _cleanup_answer struct answer c = ask(w, NULL, "GET", "/v1/consumers/00002", "");
    assert_true(json_is_true(at(c.json, "opt_out_signal")));
    assert_string_equal(text_at(&c, "law"), "ccpa");
    _cleanup_answer struct answer gpc = ask(w, NULL, "GET", "/.well-known/gpc.json", "");
    assert_status(gpc, 200);
    assert_true(json_is_true(at(gpc.json, "gpc")));
}

static bool is_wrong_after(struct world *w, const char *sql)
{
    struct err err = {0};
    struct db *db;
    struct state_report report;
    char path[96];
    snprintf(path, sizeof path, "%s/lov.db", w->dir);
    if (db_open(path, DB_WRITE, &db, &err) || db_run(db_use(db, sql), &err) ||
        rights_verify(db, 0, &report, &err))
        fail_msg("%s: %s", sql, err.text);
    db_close(db);
    return report.wrong;
}

static void test_whoever_changes_a_row_is_noticed(void **state)
{
    struct world *w = *state;
    char id[33];
    /* Each with what takes it back. A row with another number is one that is missing. */
    static const char *const changes[][2] = {
        {"update request set due_at = due_at + 1", "update request set due_at = due_at - 1"},
        {"update request set state = 'open'", "update request set state = 'fulfilled'"},
        {"update request set event = event - 1", "update request set event = event + 1"},
        {"update request set seq = -seq", "update request set seq = -seq"},
        {"update hold set seq = -seq", "update hold set seq = -seq"},
        {"update hold set released = 1", "update hold set released = 0"},
        {"update notification set recipient = 'x'",
         "update notification set recipient = 'marketing'"},
        {"update notification set seq = -seq", "update notification set seq = -seq"},
    };
    known(w, "00001", "SE");
    give(w, GIVE("00001"), id);
    open_request(w, OPEN("00001", "restriction"), id);
    STEPS(w, id, "verify-identity", "fulfil");
    _cleanup_answer struct answer h = ask(w, NULL, "POST", "/v1/consumers/00001/holds",
                                          "{\"reason\":\"dispute\",\"source\":\"art. 17(3)(e)\"}");
    assert_status(h, 201);
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        if (!is_wrong_after(w, changes[i][0]))
            fail_msg("not noticed: %s", changes[i][0]);
        if (is_wrong_after(w, changes[i][1]))
            fail_msg("wrong after: %s", changes[i][1]);
    }
}

static void test_reminders_come_once_for_each_stage(void **state)
{
    struct world *w = *state;
    char id[33];
    struct err err = {0};
    int64_t written = -1;
    known(w, "00001", "SE");
    open_request(w, OPEN("00001", "access"), id);
    assert_int_equal(request_remind(w->e, 100, &written, &err), 0);
    assert_int_equal(written, 0);
    open_request(w,
                 "{\"consumer\":\"00001\",\"right\":\"access\",\"channel\":\"paper\","
                 "\"received_at\":\"2026-01-15T00:00:00Z\"}",
                 id);
    assert_int_equal(request_remind(w->e, 100, &written, &err), 0);
    assert_int_equal(written, 1);
    assert_int_equal(request_remind(w->e, 100, &written, &err), 0);
    assert_int_equal(written, 0);
    struct request_counts c;
    assert_int_equal(request_counts(w->e, &c, &err), 0);
    assert_int_equal(c.overdue, 1);
    assert_int_equal(c.by_state[REQUEST_RECEIVED], 2);
    verify(w);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, world_begin, world_end)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_step_in_every_state),
        cmocka_unit_test(test_months_end_with_the_same_day_or_the_last_one),
        cmocka_unit_test(test_days_are_counted_from_the_day_after),
        cmocka_unit_test(test_no_zone_of_the_law_ends_earlier),
        T(test_a_request_goes_its_way_and_the_ledger_tells_it),
        T(test_time_is_extended_once),
        T(test_a_refusal_needs_a_reason_of_the_law),
        T(test_what_is_no_request_is_refused_and_changes_nothing),
        T(test_restriction_is_in_force_with_the_fulfilment),
        T(test_recipients_are_told_and_acknowledge),
        T(test_erasure_closes_what_was_asked_and_still_tells),
        T(test_who_gets_data_while_it_is_looked_for_is_told_too),
        T(test_a_hold_keeps_a_consumer_and_says_why),
        T(test_an_erasure_of_a_category_leaves_the_rest),
        T(test_a_hold_on_a_category_keeps_its_records_and_no_others),
        T(test_an_objection_is_a_no_to_all_legitimate_interest),
        T(test_a_consumer_is_not_decided_on_by_machines_alone),
        T(test_the_signal_of_a_browser_is_an_opt_out),
        T(test_whoever_changes_a_row_is_noticed),
        T(test_reminders_come_once_for_each_stage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
