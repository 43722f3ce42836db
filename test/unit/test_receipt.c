/* test_receipt.c - receipts of a real engine: what each says, what it proves, and that nothing in
 * one can be changed. */
#include <ctype.h>

#include "base/clock.h"
#include "base/template.h"
#include "ledger/event.h"
#include "ledger/tiles.h"
#include "test_receipt_fixture.h"

/* ---- what a receipt says ---- */

static void says(struct fixture *f, const struct consent *c, const char *kind, const char *status)
{
    struct str receipt = receipt_of(f, c);
    struct receipt_report r = verify(f, receipt);
    if (r.finding != RECEIPT_PROVEN)
        fail_msg("%s", r.what);
    assert_true(str_is(r.kind, kind));
    assert_int_equal(r.seq, c->event);
    assert_true(r.size > r.seq);
    assert_true(str_is(r.origin, "log.example/shop/0"));
    assert_true(str_is(r.recipient, "marketing"));
    assert_true(r.has_notice_text);
    assert_false(r.has_personal);
    assert_non_null(strstr(receipt.p, status));
}

static void test_each_event_of_a_consent_has_a_receipt(void **state)
{
    struct fixture *f = *state;
    struct consent c = answer(f, WRITE_GIVE, "anna");
    struct consent given = c;
    says(f, &c, "consent.give", "\"dpv:ConsentGiven\"");
    c = change(f, WRITE_AMEND, &c, 1);
    says(f, &c, "consent.amend", "lov:narrowed");
    c = change(f, WRITE_RENEW, &c, 1);
    says(f, &c, "consent.renew", "\"dpv:RenewedConsentGiven\"");
    c = change(f, WRITE_WITHDRAW, &c, 0);
    says(f, &c, "consent.withdraw", "\"dpv:ConsentWithdrawn\"");
    struct consent no = answer(f, WRITE_REFUSE, "bo");
    says(f, &no, "consent.refuse", "\"dpv:ConsentRefused\"");
    /* An earlier event's receipt says what was so then. */
    struct str then;
    assert_int_equal(make(f, &given, given.event, false, &then), 0);
    struct receipt_report r = verify(f, then);
    assert_int_equal(r.finding, RECEIPT_PROVEN);
    assert_int_equal(r.category_count, 2);
    assert_true(str_is(r.kind, "consent.give"));
}

static void test_an_expiry_has_a_receipt(void **state)
{
    struct fixture *f = *state;
    struct engine_write w = write_of(f, WRITE_GIVE, "anna");
    w.expires_at = clock_now() + 100;
    run(f, &w);
    struct engine_write expire = write_of(f, WRITE_EXPIRE, "");
    expire.limit = 10;
    int64_t until = clock_monotonic() + 10 * INT64_C(1000000000);
    while (expire.written == 0 && clock_monotonic() < until)
        run(f, &expire);
    struct consent c;
    assert_int_equal(consent_get(f->e, w.out.shard, w.out.seq, &f->arena, &c, &f->err), 1);
    says(f, &c, "consent.expire", "\"dpv:ConsentExpired\"");
    struct str said = with(f, receipt_of(f, &c), "\"lov:event\"",
                           "\"dpv:isIndicatedBy\": \"dpv:DataSubject\", \"lov:event\"");
    contradicts(f, said, "nobody says that time is over");
}

static void test_what_is_personal_is_in_the_consumers_copy_alone(void **state)
{
    struct fixture *f = *state;
    struct consent c = answer(f, WRITE_GIVE, "anna-1");
    struct str plain = receipt_of(f, &c), copy;
    assert_int_equal(make(f, &c, -1, true, &copy), 0);
    assert_null(strstr(plain.p, "tack"));
    assert_null(strstr(plain.p, "anna-1"));
    assert_non_null(strstr(copy.p, "tack"));
    assert_non_null(strstr(copy.p, "anna-1"));
    finds(f, copy, RECEIPT_PROVEN);
    assert_true(verify(f, copy).has_personal);
    finds(f, with(f, copy, "tack", "nope"), RECEIPT_ALTERED);
}

static void test_a_guardians_answer_says_so_and_names_nobody(void **state)
{
    struct fixture *f = *state;
    struct str copy;
    struct engine_write w = write_of(f, WRITE_GIVE, "child");
    w.guardian = STR("\"Maria M\"");
    run(f, &w);
    struct str plain = receipt_of(f, &w.out);
    finds(f, plain, RECEIPT_PROVEN);
    assert_non_null(strstr(plain.p, "dpv:GuardianOfDataSubject"));
    assert_null(strstr(plain.p, "Maria"));
    assert_int_equal(make(f, &w.out, -1, true, &copy), 0);
    assert_non_null(strstr(copy.p, "Maria M"));
}

static void test_no_receipt_for_what_is_none_of_the_consents_events(void **state)
{
    struct fixture *f = *state;
    struct str out;
    struct consent c = answer(f, WRITE_GIVE, "anna"), other = answer(f, WRITE_GIVE, "bo");
    assert_int_equal(make(f, &c, other.event, false, &out), LOV_ENOTFOUND);
    assert_string_equal(f->err.reason, "unknown_event");
    assert_int_equal(make(f, &c, 0, false, &out), LOV_ENOTFOUND);
    assert_int_equal(make(f, &c, 1000000, false, &out), LOV_ENOTFOUND);
    struct consent later = answer(f, WRITE_REFUSE, "anna");
    assert_int_equal(make(f, &c, -1, false, &out), LOV_ECONFLICT);
    assert_string_equal(f->err.reason, "no_receipt");
    assert_int_equal(make(f, &c, c.event, false, &out), 0);
    says(f, &later, "consent.refuse", "\"dpv:ConsentRefused\"");
}

/* ---- what a receipt proves ---- */

static void test_each_kind_of_alteration_is_named(void **state)
{
    struct fixture *f = *state;
    struct consent c = answer(f, WRITE_GIVE, "anna");
    struct str r = receipt_of(f, &c);
    finds(f, r, RECEIPT_PROVEN);
    finds(f, with(f, r, "Nordhandel AB", "Sydhandel AB"), RECEIPT_ALTERED);
    finds(f, with(f, r, "\"dct:identifier\": \"purchases\"", "\"dct:identifier\": \"location\""),
          RECEIPT_CONTRADICTS);
    finds(f, with(f, r, "dpv:ConsentGiven", "dpv:ConsentRefused"), RECEIPT_CONTRADICTS);
    finds(f, with(f, r, "\"seq\": 2", "\"seq\": 1"), RECEIPT_NOT_INCLUDED);
    finds(f, with(f, r, "log.example/shop/0\\n3\\n", "log.example/shop/0\\n4\\n"),
          RECEIPT_CHECKPOINT_ALTERED);
    finds(f, with(f, r, "log.example/shop/0", "log.example/other/0"), RECEIPT_OTHER_KEY);
    finds(f, with(f, r, "\"dpv:hasRecordOfActivity\"", "\"other\""), RECEIPT_UNREADABLE);
    finds(f, STR(""), RECEIPT_UNREADABLE);
    finds(f, STR("{}"), RECEIPT_UNREADABLE);
    finds(f, STR("[1]"), RECEIPT_UNREADABLE);
}

static void test_another_key_is_named(void **state)
{
    struct fixture *f = *state;
    struct consent c = answer(f, WRITE_GIVE, "anna");
    struct str r = receipt_of(f, &c);
    struct secret seed = {{7}};
    struct ed25519_key public = ed25519_public(&seed);
    struct note_key other;
    struct receipt_report report;
    /* The same name, so that only the key differs; and another company's. */
    const char *names[] = {"log.example/shop/0", "evil.example/0"};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(note_key_make(str_of(names[i]), NOTE_ED25519, &public, &other, &f->err),
                         0);
        receipt_verify(r, &other, &f->arena, &report);
        assert_int_equal(report.finding, RECEIPT_OTHER_KEY);
    }
}

/* White space for white space, or "-0" for "0": the same JSON (RFC 8259 §2, RFC 8785 §3.2.2.3). */
static bool is_idle(struct str before, struct str after, size_t i)
{
    static const char space[] = " \n\t\r";
    if (!strchr(space, before.p[i]))
        return false;
    return strchr(space, after.p[i]) || (after.p[i] == '-' && after.p[i + 1] == '0');
}

/* 1 when the receipt with that byte is still proven, which then must say the same. */
static size_t try_byte(struct fixture *f, struct str receipt, const json_t *original,
                       struct buf *copy, size_t i, char c)
{
    _cleanup_arena struct arena arena = {0};
    _cleanup_json json_t *changed = NULL;
    struct receipt_report r;
    if (c == receipt.p[i])
        return 0;
    copy->p[i] = c;
    receipt_verify(buf_view(copy), key_of(f), &arena, &r);
    if (r.finding == RECEIPT_PROVEN) {
        assert_int_equal(json_read(buf_view(copy), &changed, &f->err), 0);
        if (!json_equal(original, changed) || !is_idle(receipt, buf_view(copy), i))
            fail_msg("byte %zu can be changed from %02x to %02x", i, (unsigned char)receipt.p[i],
                     (unsigned char)c);
    }
    copy->p[i] = receipt.p[i];
    return r.finding == RECEIPT_PROVEN;
}

/* LOV_ALL=1 tries each of the 255 other values of each byte, otherwise one bit, and some of what
 * JSON gives a meaning. */
static void test_no_byte_can_be_changed_to_another_meaning(void **state)
{
    static const char meaningful[] = " \n\t\r-+.0eE\"\\/,:{}[]";
    struct fixture *f = *state;
    struct consent c = answer(f, WRITE_GIVE, "anna");
    struct str receipt;
    assert_int_equal(make(f, &c, -1, true, &receipt), 0);
    _cleanup_json json_t *original = NULL;
    _cleanup_buf struct buf copy = {0};
    assert_int_equal(json_read(receipt, &original, &f->err), 0);
    buf_str(&copy, receipt);
    bool all = getenv("LOV_ALL") != NULL;
    size_t tried = 0, same = 0;
    for (size_t i = 0; i < receipt.n; i++) {
        for (int k = all ? 1 : 1 << i % 8; k < 256; k = all ? k + 1 : 256, tried++)
            same += try_byte(f, receipt, original, &copy, i, (char)(receipt.p[i] ^ k));
        bool letter = isalnum((unsigned char)receipt.p[i]);
        for (size_t k = i % 5; !all && !letter && k < sizeof meaningful - 1; k += 5, tried++)
            same += try_byte(f, receipt, original, &copy, i, meaningful[k]);
    }
    print_message("%zu bytes, %zu changes, %zu of them idle\n", receipt.n, tried, same);
    for (size_t i = 0; i < receipt.n - 1; i++) { /* the last byte is a newline */
        _cleanup_arena struct arena arena = {0};
        struct receipt_report r;
        receipt_verify((struct str){receipt.p, i}, key_of(f), &arena, &r);
        assert_int_equal(r.finding, RECEIPT_UNREADABLE);
    }
}

static void test_a_receipt_survives_growth_and_erasure(void **state)
{
    struct fixture *f = *state;
    struct str ignored;
    struct consent anna = answer(f, WRITE_GIVE, "anna"), bo = answer(f, WRITE_GIVE, "bo");
    struct str before = receipt_of(f, &anna), bos = receipt_of(f, &bo);
    for (int i = 0; i < 300; i++) {
        char name[16];
        snprintf(name, sizeof name, "c%d", i);
        answer(f, WRITE_GIVE, name);
    }
    struct engine_write erase = write_of(f, WRITE_ERASE, "bo");
    run(f, &erase);
    assert_int_equal(engine_publish(f->e, &f->err), 0);
    struct str after = receipt_of(f, &anna);
    finds(f, before, RECEIPT_PROVEN);
    finds(f, bos, RECEIPT_PROVEN);
    finds(f, after, RECEIPT_PROVEN);
    assert_true(verify(f, after).size > verify(f, before).size);
    assert_true(make(f, &bo, bo.event, true, &ignored) < 0);
    /* And another process that opens the same installation. */
    engine_close(f->e);
    assert_int_equal(engine_open(f->dir, &f->log, &f->e, &f->err), 0);
    finds(f, before, RECEIPT_PROVEN);
    says(f, &anna, "consent.give", "dpv:ConsentGiven");
}

/* ---- against another checkpoint ---- */

static struct str sign_checkpoint(struct fixture *f, int64_t size, struct sha256 root)
{
    const struct log_signer *signer = engine_signer(f->e, 0);
    return sign_checkpoint_by(f, &signer->key, &signer->seed, size, root);
}

static struct str consistency(struct fixture *f, int64_t from, int64_t to)
{
    _cleanup_buf struct buf out = {0};
    struct jw w = {.out = &out};
    struct tiles tiles;
    struct proof proof;
    struct db *lov;
    assert_int_equal(db_pool_get(engine_lov(f->e), &lov, &f->err), 0);
    tiles_init(&tiles, lov, 0);
    assert_int_equal(proof_make_consistency(&tiles.source, from, to, &proof, &f->err), 0);
    db_pool_put(engine_lov(f->e), lov);
    jw_object_start(&w);
    jw_int_member(&w, "from", from);
    jw_int_member(&w, "to", to);
    jw_key(&w, "hashes");
    jw_array_start(&w);
    for (size_t i = 0; i < proof.count; i++) {
        _cleanup_buf struct buf hash = {0};
        base64_encode(proof.hash[i].b, sizeof proof.hash[i].b, &hash);
        jw_str(&w, buf_view(&hash));
    }
    jw_array_end(&w);
    jw_object_end(&w);
    return arena_str(&f->arena, buf_view(&out));
}

static void test_a_fork_is_named(void **state)
{
    struct fixture *f = *state;
    struct consent c = answer(f, WRITE_GIVE, "anna");
    struct receipt_report r = verify(f, receipt_of(f, &c)), was = r;
    struct sha256 other = {{1}};
    struct str none = {0};
    assert_int_equal(
        receipt_against(&r, sign_checkpoint(f, r.size, r.root), none, key_of(f), &f->err), 0);
    assert_int_equal(r.finding, RECEIPT_PROVEN);
    assert_int_equal(
        receipt_against(&r, sign_checkpoint(f, r.size, other), none, key_of(f), &f->err), 0);
    assert_int_equal(r.finding, RECEIPT_FORKED);
    /* The log has grown: a proof connects old and new, and nothing else does. */
    answer(f, WRITE_GIVE, "bo");
    struct consent last = answer(f, WRITE_GIVE, "ceo");
    struct receipt_report grown = verify(f, receipt_of(f, &last));
    struct str now = sign_checkpoint(f, grown.size, grown.root);
    struct str proof = consistency(f, was.size, grown.size);
    r = was;
    assert_int_equal(receipt_against(&r, now, none, key_of(f), &f->err), LOV_EINVAL);
    assert_string_equal(f->err.reason, "proof_required");
    assert_int_equal(receipt_against(&r, now, proof, key_of(f), &f->err), 0);
    assert_int_equal(r.finding, RECEIPT_PROVEN);
    r = grown;
    assert_int_equal(
        receipt_against(&r, sign_checkpoint(f, was.size, was.root), proof, key_of(f), &f->err), 0);
    assert_int_equal(r.finding, RECEIPT_PROVEN);
    r = was;
    assert_int_equal(
        receipt_against(&r, sign_checkpoint(f, grown.size, other), proof, key_of(f), &f->err), 0);
    assert_int_equal(r.finding, RECEIPT_UNCONNECTED);
    r = was;
    assert_int_equal(receipt_against(&r, STR("nothing"), proof, key_of(f), &f->err), LOV_EINVAL);
    assert_int_equal(receipt_against(&r, now, STR("{}"), key_of(f), &f->err), LOV_EINVAL);
    struct str shorter = consistency(f, was.size - 1, grown.size);
    assert_int_equal(receipt_against(&r, now, shorter, key_of(f), &f->err), LOV_EINVAL);
    assert_string_equal(f->err.reason, "proof_required");
    shorter = consistency(f, was.size, grown.size - 1);
    assert_int_equal(receipt_against(&r, now, shorter, key_of(f), &f->err), LOV_EINVAL);
}

/* ---- pieces ---- */

static void test_an_event_is_decoded_from_its_encoding_alone(void **state)
{
    (void)state;
    struct ledger_event e = {.shard = 7,
                             .seq = 41,
                             .prev = -1,
                             .at = -5,
                             .kind = STR("consent.give"),
                             .has_cid = true,
                             .cid = {{1, 2, 3}},
                             .actor = STR("staff:x"),
                             .activity = STR("a/b"),
                             .body = STR("{}")},
                        back;
    _cleanup_buf struct buf bytes = {0}, again = {0};
    event_encode(&e, &bytes);
    assert_true(event_decode(buf_view(&bytes), &back));
    event_encode(&back, &again);
    assert_true(str_eq(buf_view(&bytes), buf_view(&again)));
    assert_true(back.prev == -1 && back.at == -5 && back.seq == 41 && back.shard == 7);
    struct sha256 leaf = tree_leaf(buf_view(&bytes));
    assert_memory_equal(leaf.b, back.leaf.b, sizeof leaf.b);
    for (size_t i = 0; i < bytes.n; i++)
        assert_false(event_decode((struct str){bytes.p, i}, &back));
    buf_char(&bytes, 0);
    assert_false(event_decode(buf_view(&bytes), &back));
    bytes.n--;
    bytes.p[0] = 2;
    assert_false(event_decode(buf_view(&bytes), &back));
}

static void test_templates_escape_and_repeat(void **state)
{
    (void)state;
    struct err err;
    _cleanup_json json_t *v = NULL;
    _cleanup_buf struct buf out = {0};
    assert_int_equal(json_read(STR("{\"a\":\"<&>\\\"'\",\"l\":[{\"n\":1},{\"n\":2,\"a\":\"x\"}],"
                                   "\"e\":[],\"o\":{\"p\":\"q\"},\"f\":false}"),
                               &v, &err),
                     0);
    template_render(STR("{{a}}|{{{a}}}|{{#l}}{{n}}{{#a}}({{.}}){{/a}}{{/l}}|{{#e}}no{{/e}}{{^e}}yes"
                        "{{/e}}|{{o.p}}|{{missing}}|{{#f}}no{{/f}}{{^f}}{{#l}}{{^zz}}z{{/zz}}{{/l}}"
                        "{{/f}}"),
                    v, &out);
    assert_string_equal(out.p,
                        "&lt;&amp;&gt;&quot;&#39;|<&>\"'|1(&lt;&amp;&gt;&quot;&#39;)2(x)|yes|"
                        "q||zz");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        T(test_each_event_of_a_consent_has_a_receipt),
        T(test_an_expiry_has_a_receipt),
        T(test_what_is_personal_is_in_the_consumers_copy_alone),
        T(test_a_guardians_answer_says_so_and_names_nobody),
        T(test_no_receipt_for_what_is_none_of_the_consents_events),
        T(test_each_kind_of_alteration_is_named),
        T(test_another_key_is_named),
        T(test_no_byte_can_be_changed_to_another_meaning),
        T(test_a_receipt_survives_growth_and_erasure),
        T(test_a_fork_is_named),
        cmocka_unit_test(test_an_event_is_decoded_from_its_encoding_alone),
        cmocka_unit_test(test_templates_escape_and_repeat),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
