/* test_notify.c - signatures as the specification's libraries make them, where a webhook may go,
 * which events it gets, how attempts are spread, and messages that are one consumer's own. */
#include <arpa/inet.h>

#include "notify/deliver.h"
#include "test_consent_fixture.h"

/* ---- signatures ---- */

static void test_a_signature_is_the_one_of_the_reference(void **state)
{
    (void)state;
    /* By Python's hmac over "msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330." and the body. */
    struct webhook_secrets s = {.count = 1, .until = {TIME_NONE}};
    _cleanup_buf struct buf secret = {0}, out = {0};
    for (size_t i = 0; i < sizeof s.key[0].b; i++)
        s.key[0].b[i] = (uint8_t)i;
    webhook_secret_format(&s.key[0], &secret);
    assert_string_equal(secret.p, "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");
    webhook_sign(&s, 0, STR("msg_p5jXN8AQM9LWM0D4loKWxJek"), 1614265330,
                 STR("{\"test\": 2432232314}"), &out);
    assert_string_equal(out.p, "v1,O4Gjv1HqPqsMrjmczoggs/sWA8gZD0VyHG+fLh4+ktI=");
}

static void test_each_secret_signs_until_its_end(void **state)
{
    (void)state;
    struct webhook_secrets s = {.count = 3, .until = {TIME_NONE, 2000, 1000}};
    _cleanup_buf struct buf early = {0}, late = {0}, last = {0};
    for (int i = 0; i < 3; i++)
        random_bytes(s.key[i].b, sizeof s.key[i].b);
    webhook_sign(&s, 999, STR("m"), 1, STR("b"), &early);
    webhook_sign(&s, 1000, STR("m"), 1, STR("b"), &late);
    webhook_sign(&s, 2000, STR("m"), 1, STR("b"), &last);
    assert_int_equal(early.n, 3 * 47 + 2);
    assert_int_equal(late.n, 2 * 47 + 1);
    assert_int_equal(last.n, 47);
    assert_true(str_starts(buf_view(&early), buf_view(&late)));
    assert_true(str_starts(buf_view(&late), buf_view(&last)));
}

/* ---- addresses ---- */

static bool is_public(const char *text)
{
    struct sockaddr_in four = {.sin_family = AF_INET};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6};
    if (inet_pton(AF_INET, text, &four.sin_addr) == 1)
        return webhook_address_is_public((const struct sockaddr *)&four);
    assert_int_equal(inet_pton(AF_INET6, text, &six.sin6_addr), 1);
    return webhook_address_is_public((const struct sockaddr *)&six);
}

static void test_no_address_of_a_private_network_is_public(void **state)
{
    (void)state;
    static const char *const private[] = {
        "0.0.0.0",
        "10.0.0.1",
        "10.255.255.255",
        "100.64.0.1",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.255.255",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.1",
        "192.0.2.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "255.255.255.255",
        "240.0.0.1",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::a00:1",
        "2002:7f00:1::",
        "2002:a00:1::",
        "fc00::1",
        "fdff::1",
        "fe80::1",
        "febf::1",
        "fec0::1",
        "ff02::1",
        "2001:db8::1",
        "2001::1",
        "100::1",
        "::127.0.0.1",
    };
    static const char *const public[] = {
        "1.1.1.1",     "8.8.8.8",       "100.63.255.255",  "100.128.0.1",      "128.0.0.1",
        "172.15.0.1",  "172.32.0.1",    "192.167.255.255", "198.17.255.255",   "198.20.0.1",
        "223.0.0.1",   "2606:4700::1",  "::ffff:8.8.8.8",  "64:ff9b::808:808", "2002:808:808::",
        "2a00:1450::", "2001:4860::88",
    };
    for (size_t i = 0; i < sizeof private / sizeof *private; i++)
        if (is_public(private[i]))
            fail_msg("%s is public", private[i]);
    for (size_t i = 0; i < sizeof public / sizeof *public; i++)
        if (!is_public(public[i]))
            fail_msg("%s is not public", public[i]);
    struct sockaddr local = {.sa_family = AF_UNIX};
    assert_false(webhook_address_is_public(&local));
}

static void test_urls_are_https_or_of_this_machine(void **state)
{
    (void)state;
    static const char *const good[] = {
        "https://example.com", "https://example.com:8443/hook?tenant=1",
        "http://127.0.0.1:1/", "http://localhost/hook",
        "http://[::1]:8080/",  "https://[2606:4700::1]/",
    };
    static const char *const bad[] = {
        "",
        "example.com",
        "http://example.com/",
        "http://127.0.0.1.example.com/",
        "https://",
        "ftp://localhost/",
        "https://u@example.com/",
        "https://u:p@example.com/",
        "https://example.com/#x",
        "https://exa mple.com/",
        "http://localhost.example.com/",
        "file:///etc/passwd",
        "https://example.com/\r\nX",
        "http://1.2.3.4/",
        "https://example.com\\@localhost/",
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (webhook_url_check(str_of(good[i]), NULL))
            fail_msg("refused: %s", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct err err = {0};
        assert_int_equal(webhook_url_check(str_of(bad[i]), &err), LOV_EINVAL);
        assert_string_equal(err.reason, "invalid_url");
    }
}

static void test_mail_goes_to_plain_addresses_alone(void **state)
{
    (void)state;
    static const char *const good[] = {"ada@example.com", "a.b+c@mail.example.co.uk", "x_y@a-b.se"};
    static const char *const bad[] = {
        "",         "ada",           "ada@",          "@example.com", "ada@localhost",
        "a b@c.se", "a@b@c.se",      "a@c.se\r\nX",   "a@c..se",      "a@-c.se",
        "a@c.se.",  "<a@c.se>",      "a@c.se,b@c.se", "\"a\"@c.se",   "a@c.se>",
        "-f@c.se",  "\303\245@c.se",
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(mail_address_check(str_of(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (mail_address_check(str_of(bad[i])))
            fail_msg("taken: %s", bad[i]);
}

/* ---- which events, and when ---- */

static bool wants(const char *recipient, const char *kinds, const char *kind, const char *activity,
                  const char *body)
{
    struct webhook h = {
        .id = STR("0123456789abcdef"), .recipient = str_of(recipient), .kinds = str_of(kinds)};
    struct ledger_event event = {
        .kind = str_of(kind), .activity = str_of(activity), .body = str_of(body)};
    return webhook_wants(&h, &event);
}

static void test_a_webhook_gets_what_it_asked_for_and_may_know(void **state)
{
    (void)state;
    assert_true(wants("", "consent", "consent.give", "marketing/offers", "{}"));
    assert_false(wants("", "consent", "consent.supersede", "marketing/offers", "{}"));
    assert_false(wants("", "consent", "access", "marketing/offers", "{}"));
    assert_false(wants("", "consent.give", "consent.refuse", "marketing/offers", "{}"));
    assert_true(wants("", "request,consent.give", "consent.give", "marketing/offers", "{}"));
    assert_true(wants("", "request", "request.fulfil", "", "{}"));
    assert_true(wants("marketing", "consent", "consent.give", "marketing/offers", "{}"));
    assert_false(wants("market", "consent", "consent.give", "marketing/offers", "{}"));
    assert_false(wants("risk", "consent", "consent.give", "marketing/offers", "{}"));
    assert_false(wants("marketing", "request", "request.fulfil", "", "{}"));
    assert_true(wants("risk", "notification", "notification.make", "", "{\"recipient\":\"risk\"}"));
    assert_false(
        wants("risk", "notification", "notification.make", "", "{\"recipient\":\"marketing\"}"));
    assert_false(wants("risk", "notification", "notification.make", "", "[]"));
    assert_true(wants("risk", "notification.acknowledge", "notification.acknowledge", "",
                      "{\"recipient\":\"risk\"}"));
    assert_false(
        wants("risk", "notification", "notification.acknowledge", "", "{\"notification\":7}"));
    assert_true(wants("risk", "consent", "webhook.test", "", "{\"webhook\":\"0123456789abcdef\"}"));
    assert_false(wants("", "consent", "webhook.test", "", "{\"webhook\":\"1123456789abcdef\"}"));
    assert_true(webhook_kind_check(STR("consent")) && webhook_kind_check(STR("request.fulfil")));
    assert_false(webhook_kind_check(STR("")) || webhook_kind_check(STR("access")) ||
                 webhook_kind_check(STR("consent.")) || webhook_kind_check(STR("webhook.test")));
}

static void test_attempts_are_spread_further_and_further(void **state)
{
    (void)state;
    struct notify_options o = {.retry_seconds = 5};
    int64_t expected = 5000;
    for (int64_t attempts = 1; attempts < 30; attempts++) {
        bool differ = false;
        int64_t first = delivery_wait_ms(&o, attempts);
        for (int i = 0; i < 100; i++) {
            int64_t wait = delivery_wait_ms(&o, attempts);
            assert_in_range(wait, expected - expected / 4, expected + expected / 4);
            differ = differ || wait != first;
        }
        assert_true(differ);
        expected = expected * 4 < WAIT_MOST_MS ? expected * 4 : WAIT_MOST_MS;
    }
}

/* ---- registered, and changed by other hands ---- */

static struct engine_write other_write(struct fixture *f)
{
    return (struct engine_write){
        .kind = WRITE_OTHER,
        .actor = STR("test"),
        .arena = &f->arena,
        .expires_at = TIME_NONE,
        .given_at = TIME_NONE,
    };
}

static int lead_elsewhere(struct engine_write *w, struct write_scope *scope, struct err *err)
{
    static const char sql[] = "update webhook set url = 'https://elsewhere.example/'";
    (void)w;
    return db_run(db_use(scope->lov, sql), err);
}

static void test_nothing_is_signed_for_a_row_that_others_have_changed(void **state)
{
    struct fixture *f = *state;
    struct webhook_new hook = {.url = STR("https://example.com/hook"),
                               .recipient = STR("marketing")};
    _cleanup_webhook_secrets struct webhook_secrets secrets = {0};
    struct webhook h = {0};
    struct engine_write w = other_write(f);
    webhook_create(&w, &hook);
    assert_int_equal(engine_run(f->e, &w, &f->err), 0);
    assert_int_equal(webhook_get(f->e, str_of(hook.id), &f->arena, &h, &f->err), 1);
    assert_int_equal(webhook_unseal(engine_identity(f->e), &h, &secrets, &f->err), 0);
    assert_memory_equal(secrets.key[0].b, hook.secret.b, sizeof hook.secret.b);
    w = other_write(f);
    w.other = lead_elsewhere;
    assert_int_equal(engine_run(f->e, &w, &f->err), 0);
    assert_int_equal(webhook_get(f->e, str_of(hook.id), &f->arena, &h, &f->err), 1);
    assert_int_equal(webhook_unseal(engine_identity(f->e), &h, &secrets, &f->err), LOV_ECORRUPT);
}

/* ---- messages ---- */

struct posting {
    const char *source, *json;
};

static int post(struct engine_write *w, struct write_scope *scope, struct err *err)
{
    const struct posting *p = w->input;
    return message_post(scope, str_of(p->source), str_of(p->json), err);
}

static int tell(struct fixture *f, const char *consumer, const struct posting *p)
{
    struct engine_write w = {
        .kind = WRITE_OTHER,
        .actor = STR("test"),
        .arena = &f->arena,
        .consumer = str_of(consumer),
        .add = true,
        .other = post,
        .input = p,
        .expires_at = TIME_NONE,
        .given_at = TIME_NONE,
    };
    return engine_run(f->e, &w, &f->err);
}

static int count_row(void *ctx, const struct message *m)
{
    (void)m;
    ++*(int *)ctx;
    return 0;
}

static int count_messages(struct fixture *f, const char *consumer)
{
    struct identity_row who;
    int count = 0;
    assert_int_equal(consumer_find(f->e, str_of(consumer), &who, &f->err), 1);
    assert_int_equal(message_list(f->e, &who, INT64_MAX, (struct str){0}, 100, &f->arena, count_row,
                                  &count, &f->err),
                     0);
    return count;
}

static void test_nobody_is_told_twice_of_the_same(void **state)
{
    struct fixture *f = *state;
    struct posting one = {"event-1", "{\"kind\":\"unusual\"}"};
    struct posting two = {"event-2", "{\"kind\":\"unusual\"}"};
    assert_int_equal(tell(f, "ada", &one), 0);
    assert_int_equal(tell(f, "ada", &one), 0);
    assert_int_equal(tell(f, "bo", &one), 0);
    assert_int_equal(tell(f, "ada", &two), 0);
    assert_int_equal(count_messages(f, "ada"), 2);
    assert_int_equal(count_messages(f, "bo"), 1);
}

static int exchange(struct engine_write *w, struct write_scope *scope, struct err *err)
{
    static const char sql[] = "update message set sealed = (select o.sealed from message o where "
                              "o.source = 'event-2') where source = 'event-1'";
    (void)w;
    return db_run(db_use(scope->lov, sql), err);
}

static void test_a_message_is_bound_to_its_consumer_and_source(void **state)
{
    struct fixture *f = *state;
    struct posting one = {"event-1", "{\"kind\":\"unusual\"}"};
    struct posting two = {"event-2", "{\"kind\":\"withdrawal\"}"};
    struct identity_row who;
    struct message m;
    assert_int_equal(tell(f, "ada", &one), 0);
    assert_int_equal(tell(f, "ada", &two), 0);
    assert_int_equal(consumer_find(f->e, STR("ada"), &who, &f->err), 1);
    assert_int_equal(message_get(f->e, &who, STR("event-1"), &f->arena, &m, &f->err), 1);
    assert_true(str_is(m.json, one.json) && m.read_at == TIME_NONE);
    struct engine_write w = {
        .kind = WRITE_OTHER,
        .actor = STR("test"),
        .arena = &f->arena,
        .other = exchange,
        .expires_at = TIME_NONE,
        .given_at = TIME_NONE,
    };
    assert_int_equal(engine_run(f->e, &w, &f->err), 0);
    assert_int_equal(message_get(f->e, &who, STR("event-1"), &f->arena, &m, &f->err), LOV_ECORRUPT);
    assert_int_equal(message_get(f->e, &who, STR("event-2"), &f->arena, &m, &f->err), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_signature_is_the_one_of_the_reference),
        cmocka_unit_test(test_each_secret_signs_until_its_end),
        cmocka_unit_test(test_no_address_of_a_private_network_is_public),
        cmocka_unit_test(test_urls_are_https_or_of_this_machine),
        cmocka_unit_test(test_mail_goes_to_plain_addresses_alone),
        cmocka_unit_test(test_a_webhook_gets_what_it_asked_for_and_may_know),
        cmocka_unit_test(test_attempts_are_spread_further_and_further),
        cmocka_unit_test_setup_teardown(test_nothing_is_signed_for_a_row_that_others_have_changed,
                                        open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(test_nobody_is_told_twice_of_the_same, open_fixture,
                                        close_fixture),
        cmocka_unit_test_setup_teardown(test_a_message_is_bound_to_its_consumer_and_source,
                                        open_fixture, close_fixture),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
