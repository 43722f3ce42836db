/* test_base_crypt.c - sealing, derived keys, random bytes, one block of AES. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/crypt.h"
#include "base/hash.h"
#include "test_seed.h"

static const struct str none;

static struct secret key_of(uint8_t first)
{
    struct secret key;
    for (size_t i = 0; i < sizeof key.b; i++)
        key.b[i] = (uint8_t)(first + i);
    return key;
}

/* ---- sealing ---- */

static void test_what_was_sealed_opens_at_every_length(void **state)
{
    (void)state;
    struct secret key = key_of(1);
    char plain[300];
    memset(plain, 'p', sizeof plain);
    for (size_t n = 0; n < sizeof plain; n++) {
        _cleanup_buf struct buf sealed = {0}, opened = {0};
        struct err err;
        seal(&key, STR("row 7"), (struct str){plain, n}, &sealed);
        assert_int_equal(sealed.n, n + SEAL_EXTRA);
        assert_int_equal(unseal(&key, STR("row 7"), buf_view(&sealed), &opened, &err), 0);
        assert_true(str_eq(buf_view(&opened), (struct str){plain, n}));
        assert_int_equal(opened.p[opened.n], 0);
    }
}

static void test_nothing_seals_under_nothing(void **state)
{
    (void)state;
    struct secret key = key_of(1);
    _cleanup_buf struct buf sealed = {0}, opened = {0};
    struct err err;
    seal(&key, none, none, &sealed);
    assert_int_equal(unseal(&key, none, buf_view(&sealed), &opened, &err), 0);
    assert_int_equal(opened.n, 0);
    assert_int_equal(unseal(&key, STR("x"), buf_view(&sealed), &opened, &err), LOV_ECORRUPT);
}

static void refuse(const struct secret *key, struct str associated, struct str sealed)
{
    _cleanup_buf struct buf opened = {0};
    struct err err;
    buf_cstr(&opened, "before");
    assert_int_equal(unseal(key, associated, sealed, &opened, &err), LOV_ECORRUPT);
    assert_int_equal(opened.n, 6);
    assert_string_equal(opened.p, "before");
}

static void test_every_flipped_bit_is_refused(void **state)
{
    (void)state;
    struct secret key = key_of(1);
    char associated[] = "consent 7 of c0ffee";
    struct str name = {associated, sizeof associated - 1};
    _cleanup_buf struct buf sealed = {0};
    seal(&key, name, STR("a free text that is personal"), &sealed);
    for (size_t bit = 0; bit < sealed.n * 8; bit++) {
        sealed.p[bit / 8] ^= (char)(1 << bit % 8);
        refuse(&key, name, buf_view(&sealed));
        sealed.p[bit / 8] ^= (char)(1 << bit % 8);
    }
    for (size_t bit = 0; bit < name.n * 8; bit++) {
        associated[bit / 8] ^= (char)(1 << bit % 8);
        refuse(&key, name, buf_view(&sealed));
        associated[bit / 8] ^= (char)(1 << bit % 8);
    }
    for (size_t bit = 0; bit < sizeof key.b * 8; bit++) {
        key.b[bit / 8] ^= (uint8_t)(1 << bit % 8);
        refuse(&key, name, buf_view(&sealed));
        key.b[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    _cleanup_buf struct buf opened = {0};
    assert_int_equal(unseal(&key, name, buf_view(&sealed), &opened, NULL), 0);
}

static void test_cut_off_and_prolonged_values_are_refused(void **state)
{
    (void)state;
    struct secret key = key_of(1);
    _cleanup_buf struct buf sealed = {0};
    seal(&key, STR("row"), STR("plain text"), &sealed);
    for (size_t n = 0; n < sealed.n; n++)
        refuse(&key, STR("row"), (struct str){sealed.p, n});
    buf_char(&sealed, 0);
    refuse(&key, STR("row"), buf_view(&sealed));
    refuse(&key, STR("row"), none);
}

static void test_sealing_twice_gives_different_bytes(void **state)
{
    (void)state;
    struct secret key = key_of(1);
    _cleanup_buf struct buf one = {0}, two = {0};
    seal(&key, none, STR("the same text"), &one);
    seal(&key, none, STR("the same text"), &two);
    assert_memory_not_equal(one.p, two.p, 12);
    assert_memory_not_equal(one.p + 12, two.p + 12, 13);
}

static void test_sealed_bytes_come_behind_what_was_there(void **state)
{
    (void)state;
    struct secret key = key_of(1);
    _cleanup_buf struct buf sealed = {0}, opened = {0};
    buf_cstr(&sealed, "head");
    seal(&key, none, STR("text"), &sealed);
    assert_memory_equal(sealed.p, "head", 4);
    buf_cstr(&opened, "head ");
    struct str tail = {sealed.p + 4, sealed.n - 4};
    assert_int_equal(unseal(&key, none, tail, &opened, NULL), 0);
    assert_string_equal(opened.p, "head text");
}

/* Test case 16 of the GCM specification (McGrew and Viega), which NIST's CAVS files repeat. */
static void test_published_value_of_aes_256_gcm_opens(void **state)
{
    (void)state;
    struct secret key;
    uint8_t sealed[12 + 60 + 16], associated[20], plain[60];
    assert_true(hex_decode(STR("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308"),
                           key.b, 32));
    assert_true(hex_decode(STR("feedfacedeadbeeffeedfacedeadbeefabaddad2"), associated, 20));
    assert_true(hex_decode(STR("cafebabefacedbaddecaf888"
                               "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
                               "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
                               "76fc6ece0f4e1768cddf8853bb2d551b"),
                           sealed, sizeof sealed));
    assert_true(hex_decode(STR("d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
                               "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"),
                           plain, sizeof plain));
    _cleanup_buf struct buf opened = {0};
    assert_int_equal(unseal(&key, (struct str){(char *)associated, 20},
                            (struct str){(char *)sealed, sizeof sealed}, &opened, NULL),
                     0);
    assert_int_equal(opened.n, 60);
    assert_memory_equal(opened.p, plain, 60);
}

/* ---- derived keys ---- */

/* RFC 5869 §2 with an empty salt and one block of output, written out on HMAC. */
static struct secret hkdf_by_hand(const uint8_t *ikm, size_t n, struct str info)
{
    uint8_t salt[32] = {0}, prk[32], last[512];
    struct secret out;
    unsigned size = 32;
    assert_non_null(HMAC(EVP_sha256(), salt, 32, ikm, n, prk, &size));
    assert_true(info.n < sizeof last);
    if (info.n)
        memcpy(last, info.p, info.n);
    last[info.n] = 1;
    assert_non_null(HMAC(EVP_sha256(), prk, 32, last, info.n + 1, out.b, &size));
    return out;
}

static void test_writing_out_hkdf_gives_test_case_3_of_rfc_5869(void **state)
{
    (void)state;
    uint8_t ikm[22], expected[32];
    memset(ikm, 0x0b, sizeof ikm);
    struct secret okm = hkdf_by_hand(ikm, sizeof ikm, none);
    assert_true(hex_decode(STR("8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d"),
                           expected, 32));
    assert_memory_equal(okm.b, expected, 32);
}

static void test_derived_keys_are_those_of_rfc_5869(void **state)
{
    (void)state;
    struct secret key = key_of(9);
    char info[300];
    memset(info, 'i', sizeof info);
    for (size_t n = 0; n <= sizeof info; n += 25) {
        struct str name = n ? (struct str){info, n} : none;
        struct secret derived = secret_derive(&key, name);
        struct secret expected = hkdf_by_hand(key.b, sizeof key.b, name);
        assert_memory_equal(derived.b, expected.b, 32);
    }
}

static void test_each_use_has_its_own_key(void **state)
{
    (void)state;
    struct secret key = key_of(9), other = key_of(10);
    struct secret a = secret_derive(&key, STR("lookup")), b = secret_derive(&key, STR("seal")),
                  c = secret_derive(&other, STR("lookup"));
    assert_memory_not_equal(a.b, b.b, 32);
    assert_memory_not_equal(a.b, c.b, 32);
    secret_wipe(&a);
    uint8_t zero[32] = {0};
    assert_memory_equal(a.b, zero, 32);
}

static void test_ids_do_not_repeat(void **state)
{
    (void)state;
    enum { COUNT = 1000 };
    struct uid ids[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        ids[i] = uid_new();
        for (size_t k = 0; k < i; k++)
            assert_memory_not_equal(ids[i].b, ids[k].b, 16);
    }
    assert_int_equal(uid_str(&ids[0]).n, 16);
    assert_ptr_equal(uid_str(&ids[0]).p, ids[0].b);
}

/* ---- one block ---- */

static void test_block_gives_the_vector_of_fips_197(void **state)
{
    (void)state;
    uint8_t key[16], plain[16], expected[16], out[16], back[16];
    assert_true(hex_decode(STR("000102030405060708090a0b0c0d0e0f"), key, 16));
    assert_true(hex_decode(STR("00112233445566778899aabbccddeeff"), plain, 16));
    assert_true(hex_decode(STR("69c4e0d86a7b0430d8cdb78070b4c55a"), expected, 16));
    struct cipher_block *c = cipher_block_new(key);
    for (int again = 0; again < 3; again++) {
        cipher_block_encrypt(c, plain, out);
        assert_memory_equal(out, expected, 16);
        cipher_block_decrypt(c, out, back);
        assert_memory_equal(back, plain, 16);
    }
    cipher_block_free(c);
    cipher_block_free(NULL);
}

static void *use_block(void *arg)
{
    const struct cipher_block *c = arg;
    uint64_t seed = (uint64_t)(uintptr_t)&seed;
    for (int i = 0; i < 20000; i++) {
        uint64_t plain[2] = {seed_next(&seed), seed_next(&seed)};
        uint8_t in[16], out[16], back[16];
        memcpy(in, plain, 16);
        cipher_block_encrypt(c, in, out);
        cipher_block_decrypt(c, out, back);
        if (memcmp(in, back, 16) != 0)
            return arg;
    }
    return NULL;
}

static void test_one_block_cipher_serves_many_threads(void **state)
{
    (void)state;
    uint8_t key[16] = {1, 2, 3};
    struct cipher_block *c = cipher_block_new(key);
    pthread_t threads[4];
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, use_block, c), 0);
    for (size_t i = 0; i < 4; i++) {
        void *wrong = c;
        pthread_join(threads[i], &wrong);
        assert_null(wrong);
    }
    cipher_block_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_was_sealed_opens_at_every_length),
        cmocka_unit_test(test_nothing_seals_under_nothing),
        cmocka_unit_test(test_every_flipped_bit_is_refused),
        cmocka_unit_test(test_cut_off_and_prolonged_values_are_refused),
        cmocka_unit_test(test_sealing_twice_gives_different_bytes),
        cmocka_unit_test(test_sealed_bytes_come_behind_what_was_there),
        cmocka_unit_test(test_published_value_of_aes_256_gcm_opens),
        cmocka_unit_test(test_writing_out_hkdf_gives_test_case_3_of_rfc_5869),
        cmocka_unit_test(test_derived_keys_are_those_of_rfc_5869),
        cmocka_unit_test(test_each_use_has_its_own_key),
        cmocka_unit_test(test_ids_do_not_repeat),
        cmocka_unit_test(test_block_gives_the_vector_of_fips_197),
        cmocka_unit_test(test_one_block_cipher_serves_many_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
