/* test_base_webauthn.c - passkeys of each kind, made here with OpenSSL, and everything about them
 * that may be wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

#include "base/hash.h"
#include "base/webauthn.h"

static const struct webauthn_expected expected = {{"https://shop.example", 20},
                                                  {"shop.example", 12}};
enum { ES256 = -7, EDDSA = -8, RS256 = -257 };
enum { UP = 1, UV = 4, AT = 64 };

/* ---- an authenticator ---- */

struct authenticator {
    EVP_PKEY *key;
    int algorithm;
    struct arena arena;
    struct webauthn_credential known;
};

static void head(struct buf *out, int major, size_t n)
{
    if (n < 24) {
        buf_char(out, (char)(major << 5 | (int)n));
    } else if (n < 256) {
        buf_char(out, (char)(major << 5 | 24));
        buf_char(out, (char)n);
    } else {
        buf_char(out, (char)(major << 5 | 25));
        buf_char(out, (char)(n >> 8));
        buf_char(out, (char)n);
    }
}

static void cbor_number(struct buf *out, int v)
{
    head(out, v < 0, (size_t)(v < 0 ? -1 - v : v));
}

static void cbor_bytes(struct buf *out, const void *p, size_t n)
{
    head(out, 2, n);
    buf_add(out, p, n);
}

static void cbor_text(struct buf *out, const char *text)
{
    head(out, 3, strlen(text));
    buf_cstr(out, text);
}

static void cose_number(struct buf *out, const char *name, EVP_PKEY *key, int label)
{
    BIGNUM *n = NULL;
    uint8_t bytes[512];
    assert_int_equal(EVP_PKEY_get_bn_param(key, name, &n), 1);
    int size = label < -1 && strcmp(name, OSSL_PKEY_PARAM_RSA_E) != 0 ? 32 : BN_num_bytes(n);
    assert_int_equal(BN_bn2binpad(n, bytes, size), size);
    cbor_number(out, label);
    cbor_bytes(out, bytes, (size_t)size);
    BN_free(n);
}

static void cose_key(const struct authenticator *a, struct buf *out)
{
    uint8_t raw[32];
    size_t n = sizeof raw;
    head(out, 5, a->algorithm == ES256 ? 5 : 4);
    cbor_number(out, 1);
    cbor_number(out, a->algorithm == ES256 ? 2 : a->algorithm == EDDSA ? 1 : 3);
    cbor_number(out, 3);
    cbor_number(out, a->algorithm);
    if (a->algorithm == RS256) {
        cose_number(out, OSSL_PKEY_PARAM_RSA_N, a->key, -1);
        cose_number(out, OSSL_PKEY_PARAM_RSA_E, a->key, -2);
        return;
    }
    cbor_number(out, -1);
    cbor_number(out, a->algorithm == ES256 ? 1 : 6);
    if (a->algorithm == ES256) {
        cose_number(out, OSSL_PKEY_PARAM_EC_PUB_X, a->key, -2);
        cose_number(out, OSSL_PKEY_PARAM_EC_PUB_Y, a->key, -3);
        return;
    }
    assert_int_equal(EVP_PKEY_get_raw_public_key(a->key, raw, &n), 1);
    cbor_number(out, -2);
    cbor_bytes(out, raw, n);
}

static void data_head(struct buf *out, const char *rp, int flags, uint32_t count)
{
    struct sha256 hash = sha256_of(str_of(rp));
    buf_add(out, hash.b, sizeof hash.b);
    buf_char(out, (char)flags);
    for (int shift = 24; shift >= 0; shift -= 8)
        buf_char(out, (char)(count >> shift));
}

static void attestation(const struct authenticator *a, const char *rp, int flags,
                        const char *format, struct buf *out)
{
    _cleanup_buf struct buf data = {0};
    data_head(&data, rp, flags, 0);
    buf_add(&data, (uint8_t[18]){[17] = 16}, 18);
    buf_cstr(&data, "0123456789abcdef");
    cose_key(a, &data);
    head(out, 5, 3);
    cbor_text(out, "fmt");
    cbor_text(out, format);
    cbor_text(out, "attStmt");
    head(out, 5, 0);
    cbor_text(out, "authData");
    cbor_bytes(out, data.p, data.n);
}

static void sign(const struct authenticator *a, struct str data, struct str client, struct buf *out)
{
    struct sha256 hash = sha256_of(client);
    _cleanup_buf struct buf text = {0};
    uint8_t signature[512];
    size_t n = sizeof signature;
    buf_str(&text, data);
    buf_add(&text, hash.b, sizeof hash.b);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    assert_int_equal(
        EVP_DigestSignInit(ctx, NULL, a->algorithm == EDDSA ? NULL : EVP_sha256(), NULL, a->key),
        1);
    assert_int_equal(EVP_DigestSign(ctx, signature, &n, (uint8_t *)text.p, text.n), 1);
    EVP_MD_CTX_free(ctx);
    buf_add(out, signature, n);
}

static void client_data(const char *type, const char *origin, struct buf *out)
{
    buf_printf(out,
               "{\"type\":\"%s\",\"challenge\":\"Y2hhbGxlbmdl\",\"origin\":\"%s\","
               "\"crossOrigin\":false,\"other\":[1]}",
               type, origin);
}

static void make(struct authenticator *a, int algorithm)
{
    *a = (struct authenticator){.algorithm = algorithm};
    a->key = algorithm == ES256   ? EVP_EC_gen("P-256")
             : algorithm == EDDSA ? EVP_PKEY_Q_keygen(NULL, NULL, "ED25519")
                                  : EVP_RSA_gen(2048);
    assert_non_null(a->key);
}

static void finish(struct authenticator *a)
{
    EVP_PKEY_free(a->key);
    arena_free(&a->arena);
}

static int enrol(struct authenticator *a)
{
    _cleanup_buf struct buf client = {0}, object = {0};
    struct err err = {0};
    client_data("webauthn.create", "https://shop.example", &client);
    attestation(a, "shop.example", UP | UV | AT, "none", &object);
    return webauthn_register(buf_view(&client), buf_view(&object), &expected, &a->arena, &a->known,
                             &err);
}

/* Signs in with a counter of `count`; the stored one is `stored`. */
static int assertion(struct authenticator *a, const char *type, const char *origin, const char *rp,
                     int flags, uint32_t count, int64_t stored)
{
    _cleanup_buf struct buf client = {0}, data = {0}, signature = {0};
    struct err err = {0};
    int64_t now = -1;
    client_data(type, origin, &client);
    data_head(&data, rp, flags, count);
    sign(a, buf_view(&data), buf_view(&client), &signature);
    a->known.count = stored;
    int rc = webauthn_assert(buf_view(&client), buf_view(&data), buf_view(&signature), &expected,
                             &a->known, &now, &err);
    assert_int_equal(now, rc ? -1 : (int64_t)count);
    return rc;
}

static int usual(struct authenticator *a, uint32_t count, int64_t stored)
{
    return assertion(a, "webauthn.get", "https://shop.example", "shop.example", UP | UV, count,
                     stored);
}

/* ---- tests ---- */

static const int algorithms[] = {ES256, EDDSA, RS256};

static void test_each_kind_of_key_is_enrolled_and_signs_in(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct authenticator a;
        make(&a, algorithms[i]);
        assert_int_equal(enrol(&a), 0);
        assert_int_equal(a.known.algorithm, algorithms[i]);
        assert_true(str_is(a.known.id, "0123456789abcdef"));
        assert_int_equal(usual(&a, 1, 0), 0);
        finish(&a);
    }
}

static void test_what_was_signed_for_another_is_refused(void **state)
{
    (void)state;
    struct authenticator a;
    make(&a, ES256);
    assert_int_equal(enrol(&a), 0);
    const char *get = "webauthn.get", *ours = "https://shop.example", *rp = "shop.example";
    assert_int_equal(assertion(&a, get, ours, rp, UP | UV, 1, 0), 0);
    assert_int_not_equal(assertion(&a, "webauthn.create", ours, rp, UP | UV, 1, 0), 0);
    assert_int_not_equal(assertion(&a, get, "https://evil.example", rp, UP | UV, 1, 0), 0);
    assert_int_not_equal(assertion(&a, get, "http://shop.example", rp, UP | UV, 1, 0), 0);
    assert_int_not_equal(assertion(&a, get, ours, "evil.example", UP | UV, 1, 0), 0);
    assert_int_not_equal(assertion(&a, get, ours, rp, UP, 1, 0), 0);
    assert_int_not_equal(assertion(&a, get, ours, rp, UV, 1, 0), 0);
    finish(&a);
}

static void test_a_counter_that_does_not_grow_is_a_copy(void **state)
{
    (void)state;
    struct authenticator a;
    make(&a, EDDSA);
    assert_int_equal(enrol(&a), 0);
    assert_int_equal(usual(&a, 6, 5), 0);
    assert_int_equal(usual(&a, 0, 0), 0); /* it keeps none */
    assert_int_not_equal(usual(&a, 5, 5), 0);
    assert_int_not_equal(usual(&a, 4, 5), 0);
    assert_int_not_equal(usual(&a, 0, 5), 0);
    finish(&a);
}

static void test_another_key_does_not_sign_in(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct authenticator a, b;
        make(&a, algorithms[i]);
        make(&b, algorithms[i]);
        assert_int_equal(enrol(&a), 0);
        assert_int_equal(enrol(&b), 0);
        struct webauthn_credential mine = a.known;
        a.known = b.known;
        assert_int_not_equal(usual(&a, 1, 0), 0);
        a.known = mine;
        assert_int_equal(usual(&a, 1, 0), 0);
        finish(&a);
        finish(&b);
    }
}

static int enrol_as(struct authenticator *a, const char *type, const char *origin, const char *rp,
                    int flags, const char *format)
{
    _cleanup_buf struct buf client = {0}, object = {0};
    struct webauthn_credential out = {0};
    client_data(type, origin, &client);
    attestation(a, rp, flags, format, &object);
    return webauthn_register(buf_view(&client), buf_view(&object), &expected, &a->arena, &out,
                             NULL);
}

static void test_only_ones_own_credential_is_enrolled(void **state)
{
    (void)state;
    struct authenticator a;
    make(&a, ES256);
    const char *create = "webauthn.create", *ours = "https://shop.example", *rp = "shop.example";
    assert_int_equal(enrol_as(&a, create, ours, rp, UP | UV | AT, "none"), 0);
    assert_int_not_equal(enrol_as(&a, "webauthn.get", ours, rp, UP | UV | AT, "none"), 0);
    assert_int_not_equal(enrol_as(&a, create, "https://x.example", rp, UP | UV | AT, "none"), 0);
    assert_int_not_equal(enrol_as(&a, create, ours, "x.example", UP | UV | AT, "none"), 0);
    assert_int_not_equal(enrol_as(&a, create, ours, rp, UP | AT, "none"), 0);
    assert_int_not_equal(enrol_as(&a, create, ours, rp, UP | UV, "none"), 0);
    assert_int_not_equal(enrol_as(&a, create, ours, rp, UP | UV | AT, "packed"), 0);
    finish(&a);
}

/* Every cut and every changed byte: an error or another credential, never a crash. */
static void test_damaged_objects_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct authenticator a;
        _cleanup_buf struct buf client = {0}, object = {0};
        struct webauthn_credential out = {0};
        make(&a, algorithms[i]);
        client_data("webauthn.create", "https://shop.example", &client);
        attestation(&a, "shop.example", UP | UV | AT, "none", &object);
        for (size_t n = 0; n < object.n; n++) {
            /* A copy of just that size, so that a byte too far is seen. */
            char *cut = mem_alloc(n + 1);
            memcpy(cut, object.p, n);
            assert_int_not_equal(webauthn_register(buf_view(&client), (struct str){cut, n},
                                                   &expected, &a.arena, &out, NULL),
                                 0);
            free(cut);
        }
        for (size_t n = 0; n < object.n * 8; n++) {
            object.p[n / 8] = (char)(object.p[n / 8] ^ (1 << n % 8));
            webauthn_register(buf_view(&client), buf_view(&object), &expected, &a.arena, &out,
                              NULL);
            object.p[n / 8] = (char)(object.p[n / 8] ^ (1 << n % 8));
        }
        finish(&a);
    }
}

/* Lengths that a few bytes claim, nesting, and what CTAP2 does not write: all cost nothing. */
static void test_objects_that_claim_too_much_are_refused(void **state)
{
    (void)state;
    _cleanup_arena struct arena arena = {0};
    _cleanup_buf struct buf client = {0}, deep = {0};
    struct webauthn_credential out = {0};
    client_data("webauthn.create", "https://shop.example", &client);
    for (int i = 0; i < 4000; i++)
        buf_char(&deep, (char)0x81);
    buf_char(&deep, 0);
    const struct str bad[] = {
        {"\xba\x00\xd1\xad\x00", 5},
        {"\xbb\xff\xff\xff\xff\xff\xff\xff\xff", 9},
        {"\x9a\xff\xff\xff\xff", 5},
        {"\x5b\x7f\xff\xff\xff\xff\xff\xff\xff", 9},
        {"\xbf\xff", 2},
        {"\xc0\xa0", 2},
        {"\x9f", 1},
        buf_view(&deep),
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_not_equal(
            webauthn_register(buf_view(&client), bad[i], &expected, &arena, &out, NULL), 0);
}

static void test_client_data_is_read_strictly(void **state)
{
    (void)state;
    _cleanup_arena struct arena arena = {0};
    struct str challenge = {0};
    assert_int_equal(webauthn_challenge(STR("{\"type\":\"webauthn.get\",\"challenge\":\"YQ\","
                                            "\"origin\":\"https://a\"}"),
                                        &arena, &challenge, NULL),
                     0);
    assert_true(str_is(challenge, "YQ"));
    static const char *const bad[] = {
        "",
        "{}",
        "[]",
        "{\"type\":\"webauthn.get\",\"origin\":\"https://a\"}",
        "{\"type\":\"webauthn.get\",\"challenge\":1,\"origin\":\"https://a\"}",
        "{\"type\":\"a\",\"challenge\":\"YQ\",\"challenge\":\"Yg\",\"origin\":\"https://a\"}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_not_equal(webauthn_challenge(str_of(bad[i]), &arena, &challenge, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_kind_of_key_is_enrolled_and_signs_in),
        cmocka_unit_test(test_what_was_signed_for_another_is_refused),
        cmocka_unit_test(test_a_counter_that_does_not_grow_is_a_copy),
        cmocka_unit_test(test_another_key_does_not_sign_in),
        cmocka_unit_test(test_only_ones_own_credential_is_enrolled),
        cmocka_unit_test(test_damaged_objects_are_refused),
        cmocka_unit_test(test_objects_that_claim_too_much_are_refused),
        cmocka_unit_test(test_client_data_is_read_strictly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
