/* test_base_hash.c - hashes against published vectors and OpenSSL, bytes as text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include "base/err.h"
#include "base/cmac.h"
#include "base/hash.h"
#include "test_seed.h"

static const struct str none;

static void assert_hex(const void *p, size_t n, const char *expected)
{
    _cleanup_buf struct buf text = {0};
    hex_encode(p, n, &text);
    assert_string_equal(text.p, expected);
}

/* ---- SHA-256 ---- */

static void test_sha256_gives_the_vectors_of_fips_180(void **state)
{
    (void)state;
    struct sha256 h = sha256_of(STR("abc"));
    assert_hex(h.b, 32, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    h = sha256_of(STR("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"));
    assert_hex(h.b, 32, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    h = sha256_of(none);
    assert_hex(h.b, 32, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    char *million = mem_alloc(1000000);
    memset(million, 'a', 1000000);
    h = sha256_of((struct str){million, 1000000});
    assert_hex(h.b, 32, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    free(million);
}

static void test_hash_of_parts_is_the_hash_of_the_whole(void **state)
{
    (void)state;
    struct str parts[] = {STR("a"), none, STR("b"), STR("c")};
    struct sha256 whole = sha256_of(STR("abc")), split = sha256_parts(parts, 4);
    assert_memory_equal(whole.b, split.b, 32);
    whole = sha256_of(none);
    split = sha256_parts(NULL, 0);
    assert_memory_equal(whole.b, split.b, 32);
}

/* ---- SipHash ---- */

/* vectors_sip128 of the authors' reference: key 00 01 .. 0f, message 00 01 .. */
static void test_siphash_gives_the_authors_vectors(void **state)
{
    (void)state;
    static const char *const expected[] = {
        "a3817f04ba25a8e66df67214c7550293",
        "da87c1d86b99af44347659119b22fc45",
        "8177228da4a45dc7fca38bdef60affe4",
    };
    uint8_t key[16], message[3] = {0, 1, 2};
    for (uint8_t i = 0; i < 16; i++)
        key[i] = i;
    for (size_t n = 0; n < 3; n++) {
        struct hash128 h = siphash128(key, (struct str){(char *)message, n});
        assert_hex(h.b, 16, expected[n]);
    }
}

static void openssl_siphash(EVP_MAC_CTX *ctx, const uint8_t key[16], struct str data,
                            uint8_t out[16])
{
    size_t size = 16, n = 0;
    OSSL_PARAM params[] = {OSSL_PARAM_construct_size_t("size", &size), OSSL_PARAM_construct_end()};
    assert_int_equal(EVP_MAC_init(ctx, key, 16, params), 1);
    assert_int_equal(EVP_MAC_update(ctx, (const unsigned char *)data.p, data.n), 1);
    assert_int_equal(EVP_MAC_final(ctx, out, &n, 16), 1);
    assert_int_equal(n, 16);
}

static void test_siphash_is_openssls_for_every_length(void **state)
{
    (void)state;
    uint64_t seed = seed_start();
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "SIPHASH", NULL);
    EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(mac);
    assert_non_null(ctx);
    for (size_t n = 0; n < 600; n++) {
        /* Exact memory, so that reading one byte too many is seen by AddressSanitizer. */
        char *data = mem_alloc(n);
        uint8_t key[16], expected[16];
        for (size_t i = 0; i < n; i++)
            data[i] = (char)seed_next(&seed);
        for (size_t i = 0; i < 16; i++)
            key[i] = (uint8_t)seed_next(&seed);
        openssl_siphash(ctx, key, (struct str){data, n}, expected);
        struct hash128 h = siphash128(key, (struct str){data, n});
        assert_memory_equal(h.b, expected, 16);
        free(data);
    }
    EVP_MAC_CTX_free(ctx);
    EVP_MAC_free(mac);
}

/* ---- AES-CMAC ---- */

/* RFC 4493 §4, with the processor's instructions and without. */
static void test_cmac_gives_the_vectors_of_its_standard(void **state)
{
    (void)state;
    static const struct {
        size_t n;
        const char *expected;
    } vectors[] = {
        {0, "bb1d6929e95937287fa37d129b756746"},
        {16, "070a16b46b4d4144f79bdd9dd04a287c"},
        {40, "dfa66747de9ae63030ca32611497c827"},
        {64, "51f0bebf7e3b9d92fc49741779363cfe"},
    };
    uint8_t key[16];
    char message[64];
    assert_true(hex_decode(STR("2b7e151628aed2a6abf7158809cf4f3c"), key, sizeof key));
    assert_true(hex_decode(STR("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
                               "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"),
                           message, sizeof message));
    for (int hardware = 0; hardware < 2; hardware++) {
        struct cmac_key k;
        cmac_key_init(&k, key, hardware);
        for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
            struct hash128 h = cmac_short(&k, message, vectors[i].n);
            assert_hex(h.b, 16, vectors[i].expected);
        }
    }
}

static void openssl_cmac(EVP_MAC_CTX *ctx, const uint8_t key[16], struct str data, uint8_t out[16])
{
    char name[] = "AES-128-CBC";
    size_t n = 0;
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string("cipher", name, 0),
                           OSSL_PARAM_construct_end()};
    assert_int_equal(EVP_MAC_init(ctx, key, 16, params), 1);
    assert_int_equal(EVP_MAC_update(ctx, (const unsigned char *)data.p, data.n), 1);
    assert_int_equal(EVP_MAC_final(ctx, out, &n, 16), 1);
    assert_int_equal(n, 16);
}

static void test_cmac_is_openssls_for_every_length(void **state)
{
    (void)state;
    uint64_t seed = seed_start();
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "CMAC", NULL);
    EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(mac);
    assert_non_null(ctx);
    for (size_t n = 0; n < 300; n++) {
        /* Exact memory, so that reading one byte too many is seen by AddressSanitizer. */
        char *data = mem_alloc(n);
        uint8_t key[16], expected[16];
        for (size_t i = 0; i < n; i++)
            data[i] = (char)seed_next(&seed);
        for (size_t i = 0; i < 16; i++)
            key[i] = (uint8_t)seed_next(&seed);
        openssl_cmac(ctx, key, (struct str){data, n}, expected);
        for (int hardware = 0; hardware < 2; hardware++) {
            struct cmac_key k;
            cmac_key_init(&k, key, hardware);
            struct hash128 h = cmac_short(&k, data, n), same = cmac_of(&k, data, n);
            assert_memory_equal(h.b, expected, 16);
            assert_memory_equal(same.b, expected, 16);
        }
        free(data);
    }
    EVP_MAC_CTX_free(ctx);
    EVP_MAC_free(mac);
}

/* At every place in a block, at the end of a page, after which nothing can be read. */
static void test_cmac_of_a_text_is_that_of_its_bytes(void **state)
{
    (void)state;
    enum { PAGE = 4096, LONGEST = 20 };
    uint64_t seed = seed_start();
    char *pages = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(pages, MAP_FAILED);
    assert_int_equal(mprotect(pages + PAGE, PAGE, PROT_NONE), 0);
    for (int i = 0; i < 4000; i++) {
        const size_t n = (size_t)i % LONGEST, room = (size_t)i % 37;
        struct cmac_key k;
        uint8_t key[CMAC_BLOCK];
        cmac_vector v;
        for (size_t b = 0; b < sizeof key; b++)
            key[b] = (uint8_t)seed_next(&seed);
        for (size_t b = 0; b < 64; b++)
            pages[PAGE - 1 - b] = (char)(1 + seed_next(&seed) % 255);
        char *text = pages + PAGE - 1 - n - room;
        text[n] = '\0';
        cmac_key_init(&k, key, true);
        struct hash128 expected = cmac_of(&k, text, n);
        bool found = cmac_text(&k, text, &v);
        if (found) {
            struct cmac_words words = cmac_words_of(v);
            assert_memory_equal(&words, expected.b, sizeof words);
        }
        assert_int_equal(found, CMAC_WHOLE_BLOCKS && k.hardware && n <= CMAC_BLOCK);
        cmac_key_init(&k, key, false);
        assert_false(cmac_text(&k, text, &v));
    }
    munmap(pages, 2 * PAGE);
}

static void test_table_hash_spreads_names_that_differ_little(void **state)
{
    (void)state;
    bool seen[256] = {0};
    size_t used = 0;
    for (int i = 0; i < 2000; i++) {
        char name[16];
        snprintf(name, sizeof name, "activity_%d", i);
        size_t slot = hash64(str_of(name)) & 255;
        used += !seen[slot];
        seen[slot] = true;
    }
    assert_int_equal(used, 256);
    assert_true(hash64(STR("a")) == hash64(STR("a")));
}

static void test_secret_bytes_are_equal_only_if_all_are(void **state)
{
    (void)state;
    uint8_t a[32] = {0}, b[32] = {0};
    assert_true(bytes_equal_secret(a, b, 32));
    for (size_t i = 0; i < 32; i++) {
        b[i] = 0x80;
        assert_false(bytes_equal_secret(a, b, 32));
        b[i] = 0;
    }
    assert_true(bytes_equal_secret(a, b, 0));
}

/* ---- hexadecimal ---- */

static void test_hexadecimal_of_every_byte_reads_back_in_either_case(void **state)
{
    (void)state;
    for (unsigned v = 0; v < 256; v++) {
        uint8_t byte = (uint8_t)v, back = (uint8_t)~v;
        _cleanup_buf struct buf text = {0};
        hex_encode(&byte, 1, &text);
        assert_true(hex_decode(buf_view(&text), &back, 1));
        assert_int_equal(back, v);
        char upper[3];
        snprintf(upper, sizeof upper, "%02X", v);
        assert_true(hex_decode(STR("ff"), &back, 1) && hex_decode(str_of(upper), &back, 1));
        assert_int_equal(back, v);
    }
}

static void test_what_is_not_hexadecimal_is_refused_and_writes_nothing(void **state)
{
    (void)state;
    uint8_t out[2] = {7, 7};
    assert_false(hex_decode(STR("0"), out, 1));
    assert_false(hex_decode(STR("000"), out, 1));
    assert_false(hex_decode(STR("00"), out, 2));
    assert_false(hex_decode(STR("000g"), out, 2));
    assert_false(hex_decode(STR("0x"), out, 1));
    assert_false(hex_decode(STR(" 0"), out, 1));
    assert_false(hex_decode(STR("0\0"), out, 1));
    assert_false(hex_decode(none, out, 1));
    assert_int_equal(out[0], 7);
    assert_int_equal(out[1], 7);
    assert_true(hex_decode(none, out, 0));
}

/* ---- base64url ---- */

/* RFC 4648 §10, in the alphabet of §5 and without its padding. */
static void test_base64url_gives_the_vectors_of_rfc_4648(void **state)
{
    (void)state;
    static const char *const vectors[][2] = {
        {"", ""},           {"f", "Zg"},          {"fo", "Zm8"},          {"foo", "Zm9v"},
        {"foob", "Zm9vYg"}, {"fooba", "Zm9vYmE"}, {"foobar", "Zm9vYmFy"}, {"\xFB\xFF", "-_8"},
    };
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        _cleanup_buf struct buf text = {0}, back = {0};
        struct str plain = str_of(vectors[i][0]), encoded = str_of(vectors[i][1]);
        base64url_encode(plain.p, plain.n, &text);
        assert_true(str_eq(buf_view(&text), encoded));
        assert_true(base64url_decode(encoded, &back));
        assert_true(str_eq(buf_view(&back), plain));
    }
}

static void test_base64url_that_is_not_canonical_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {"Z",
                                        "Zg==",
                                        "Zg=",
                                        "Zh",
                                        "Zm9",
                                        "Zm+v",
                                        "Zm/v",
                                        "Zm 9v",
                                        "Zm9v\n",
                                        "Zm9vZ",
                                        "Zm.v",
                                        "Zm9v=",
                                        "\xC3\xA5\xC3\xA5"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        _cleanup_buf struct buf out = {0};
        buf_cstr(&out, "before");
        if (base64url_decode(str_of(wrong[i]), &out))
            fail_msg("%s was taken", wrong[i]);
        assert_string_equal(out.p, "before");
        assert_int_equal(out.n, 6);
    }
}

static void test_base64url_of_random_bytes_reads_back(void **state)
{
    (void)state;
    uint64_t seed = seed_start();
    for (size_t n = 0; n < 500; n++) {
        uint8_t *bytes = mem_alloc(n);
        for (size_t i = 0; i < n; i++)
            bytes[i] = (uint8_t)seed_next(&seed);
        _cleanup_buf struct buf text = {0}, back = {0};
        base64url_encode(bytes, n, &text);
        assert_int_equal(text.n, (n * 8 + 5) / 6);
        assert_true(base64url_decode(buf_view(&text), &back));
        assert_int_equal(back.n, n);
        assert_true(n == 0 || memcmp(back.p, bytes, n) == 0);
        free(bytes);
    }
}

/* Each text of four characters stands for its own three bytes; of two and three, at most one. */
static void test_two_texts_never_stand_for_the_same_bytes(void **state)
{
    (void)state;
    for (unsigned v = 0; v < 65536; v++) {
        char text[2] = {(char)(v >> 8), (char)v};
        _cleanup_buf struct buf bytes = {0}, again = {0};
        if (!base64url_decode((struct str){text, 2}, &bytes))
            continue;
        base64url_encode(bytes.p, bytes.n, &again);
        assert_true(str_eq(buf_view(&again), (struct str){text, 2}));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sha256_gives_the_vectors_of_fips_180),
        cmocka_unit_test(test_hash_of_parts_is_the_hash_of_the_whole),
        cmocka_unit_test(test_siphash_gives_the_authors_vectors),
        cmocka_unit_test(test_siphash_is_openssls_for_every_length),
        cmocka_unit_test(test_cmac_gives_the_vectors_of_its_standard),
        cmocka_unit_test(test_cmac_is_openssls_for_every_length),
        cmocka_unit_test(test_cmac_of_a_text_is_that_of_its_bytes),
        cmocka_unit_test(test_table_hash_spreads_names_that_differ_little),
        cmocka_unit_test(test_secret_bytes_are_equal_only_if_all_are),
        cmocka_unit_test(test_hexadecimal_of_every_byte_reads_back_in_either_case),
        cmocka_unit_test(test_what_is_not_hexadecimal_is_refused_and_writes_nothing),
        cmocka_unit_test(test_base64url_gives_the_vectors_of_rfc_4648),
        cmocka_unit_test(test_base64url_that_is_not_canonical_is_refused),
        cmocka_unit_test(test_base64url_of_random_bytes_reads_back),
        cmocka_unit_test(test_two_texts_never_stand_for_the_same_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
