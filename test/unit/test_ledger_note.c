/* test_ledger_note.c - signed notes and checkpoints against the examples of C2SP and of Go's
 * checksum database, and after every change of one byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ledger/checkpoint.h"
#include "ledger/note.h"

/* golang.org/x/mod/sumdb/note, example_test.go. */
static const char neumann_vkey[] =
    "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
static const char neumann_text[] = "If you think cryptography is the answer to your problem,\n"
                                   "then you don't know what your problem is.\n";
static const char neumann_line[] =
    "\xe2\x80\x94 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXg"
    "KvqfqdngotpRZb6KE6RyyBwJnAM=\n";
/* C2SP signed-note, "Example". */
static const char foo_vkey[] =
    "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
static const char foo_note[] =
    "This is an example message.\n\n"
    "\xe2\x80\x94 example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsY"
    "jOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";

static struct note_key key_of(const char *vkey)
{
    struct note_key key;
    struct err err = {0};
    assert_int_equal(note_key_parse(str_of(vkey), &key, &err), 0);
    return key;
}

static void test_published_notes_verify(void **state)
{
    (void)state;
    struct err err;
    struct note note;
    struct note_key foo = key_of(foo_vkey), neumann = key_of(neumann_vkey);
    int64_t at = -1;
    assert_int_equal(note_parse(str_of(foo_note), &note, &err), 0);
    assert_int_equal(note_verify(&note, &foo, &at, &err), 0);
    assert_int_equal(at, 0);
    assert_int_equal(note_verify(&note, &neumann, NULL, &err), LOV_ENOTFOUND);
    assert_true(str_is(note.text, "This is an example message.\n"));
    assert_int_equal(foo.id, 0x530d903a);
}

static void test_signing_gives_the_published_signature(void **state)
{
    (void)state;
    /* The secret key of that example: PRIVATE+KEY+PeterNeumann+c74f20a3+AYEK..., type and seed. */
    _cleanup_buf struct buf raw = {0}, line = {0}, vkey = {0};
    assert_true(base64_decode(STR("AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"), &raw));
    struct secret seed;
    memcpy(seed.b, raw.p + 1, sizeof seed.b);
    struct ed25519_key public = ed25519_public(&seed);
    struct note_key key;
    struct err err;
    assert_int_equal(note_key_make(STR("PeterNeumann"), NOTE_ED25519, &public, &key, &err), 0);
    note_key_format(&key, &vkey);
    assert_true(str_is(buf_view(&vkey), neumann_vkey));
    note_sign(str_of(neumann_text), &key, &seed, 0, &line);
    assert_true(str_is(buf_view(&line), neumann_line));
}

/* RFC 8032 §7.1, tests 1 and 3. */
static void test_ed25519_gives_the_published_signatures(void **state)
{
    (void)state;
    static const struct {
        const char *seed, *key, *message, *signature;
    } vectors[] = {
        {"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
         "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
         "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701c"
         "f9b46bd25bf5f0595bbe24655141438e7a100b"},
        {"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
         "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
         "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984"
         "dc6594a7c15e9716ed28dc027beceea1ec40a"},
    };
    for (size_t i = 0; i < 2; i++) {
        struct secret seed;
        uint8_t message[2], expected[64];
        size_t n = strlen(vectors[i].message) / 2;
        assert_true(hex_decode(str_of(vectors[i].seed), seed.b, 32));
        assert_true(hex_decode(str_of(vectors[i].message), message, n));
        assert_true(hex_decode(str_of(vectors[i].signature), expected, 64));
        struct ed25519_key key = ed25519_public(&seed), published;
        assert_true(hex_decode(str_of(vectors[i].key), published.b, 32));
        assert_memory_equal(key.b, published.b, 32);
        struct str text = {(char *)message, n};
        struct ed25519_signature signature = ed25519_sign(&seed, text);
        assert_memory_equal(signature.b, expected, 64);
        assert_true(ed25519_verify(&key, text, &signature));
        signature.b[40] ^= 1;
        assert_false(ed25519_verify(&key, text, &signature));
    }
}

static void test_changed_verifier_keys_are_refused(void **state)
{
    (void)state;
    struct err err;
    struct note_key key;
    static const char *const bad[] = {
        "",
        "+",
        "++",
        "a+b",
        "a+00000000+",
        /* golang.org/x/mod: wrong length and unknown kind, with a fitting id. */
        "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==",
        "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeumann+C74F20A3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(note_key_parse(str_of(bad[i]), &key, &err), LOV_EINVAL);
    char vkey[sizeof neumann_vkey];
    size_t n = strlen(neumann_vkey);
    for (size_t i = 0; i < n; i++) {
        memcpy(vkey, neumann_vkey, sizeof vkey);
        vkey[i]++;
        assert_int_equal(note_key_parse((struct str){vkey, n}, &key, &err), LOV_EINVAL);
        for (size_t to = i + 1; to <= n; to++)
            if (i != 0 || to != n)
                assert_int_equal(note_key_parse((struct str){neumann_vkey + i, to - i}, &key, &err),
                                 LOV_EINVAL);
    }
}

static void test_names_are_those_the_standard_allows(void **state)
{
    (void)state;
    static const char *const good[] = {"a", "example.com/log42", "r\xc3\xa4tt.se/0", "a-b_c:d"};
    static const char *const bad[] = {"",          "a b",           "a+b",  "a\nb",
                                      "a\xc2\xa0", "\xe3\x80\x80x", "\xff", "a\xe2\x80\xa8"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_true(note_name_valid(str_of(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(note_name_valid(str_of(bad[i])));
    char long_name[NOTE_NAME_MAX + 1];
    memset(long_name, 'x', sizeof long_name);
    assert_true(note_name_valid((struct str){long_name, NOTE_NAME_MAX}));
    assert_false(note_name_valid((struct str){long_name, NOTE_NAME_MAX + 1}));
}

static void test_malformed_notes_are_refused(void **state)
{
    (void)state;
    struct err err;
    static struct note note;
    static const char *const bad[] = {
        "",
        "\n",
        "\n\n",
        "text\n",
        "text\n\n",
        "text\n\n\xe2\x80\x94 a AAAAAAE=",         /* no newline */
        "text\n\n\xe2\x80\x94 a AAAAAAE=\nmore\n", /* not a signature line */
        "text\n\n\xe2\x80\x94 a AAAAAA==\n",       /* nothing but an id */
        "text\n\n\xe2\x80\x94 a  AAAAAAE=\n",
        "text\n\n\xe2\x80\x94 a AAAAAAE= \n",
        "text\n\n\xe2\x80\x94 a AAAAAAE\n",
        "text\n\n\xe2\x80\x94 a AAAAAAF=\n", /* bits that say nothing are set */
        "text\n\n\xe2\x80\x94  AAAAAAE=\n",
        "text\n\n- a AAAAAAE=\n",
        "te\txt\n\n\xe2\x80\x94 a AAAAAAE=\n",
        "te\xffxt\n\n\xe2\x80\x94 a AAAAAAE=\n",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(note_parse(str_of(bad[i]), &note, &err), LOV_EINVAL);
    assert_int_equal(note_parse(STR("t\n\n\xe2\x80\x94 a AAAAAAE=\n"), &note, &err), 0);
    _cleanup_buf struct buf many = {0};
    buf_cstr(&many, "t\n\n");
    for (int i = 0; i < NOTE_LINES_MAX; i++)
        buf_cstr(&many, "\xe2\x80\x94 a AAAAAAE=\n");
    assert_int_equal(note_parse(buf_view(&many), &note, &err), 0);
    assert_int_equal(note.count, NOTE_LINES_MAX);
    buf_cstr(&many, "\xe2\x80\x94 a AAAAAAE=\n");
    assert_int_equal(note_parse(buf_view(&many), &note, &err), LOV_ELIMIT);
}

struct signer {
    struct secret seed;
    struct note_key key;
};

static struct signer signer_of(struct str name, enum note_kind kind)
{
    struct signer s;
    struct err err;
    random_bytes(s.seed.b, sizeof s.seed.b);
    struct ed25519_key public = ed25519_public(&s.seed);
    assert_int_equal(note_key_make(name, kind, &public, &s.key, &err), 0);
    return s;
}

static void checkpoint_of(const struct signer *log, int64_t size, struct buf *out)
{
    struct checkpoint c = {note_key_name(&log->key), size, sha256_of(STR("root")), {0}};
    checkpoint_format(&c, out);
    _cleanup_buf struct buf line = {0};
    note_sign(buf_view(out), &log->key, &log->seed, 0, &line);
    buf_char(out, '\n');
    buf_str(out, buf_view(&line));
}

static void test_cosignatures_say_when(void **state)
{
    (void)state;
    struct signer log = signer_of(STR("example.com/lov/0"), NOTE_ED25519);
    struct signer witness = signer_of(STR("witness.example"), NOTE_COSIGNATURE);
    _cleanup_buf struct buf bytes = {0}, vkey = {0};
    struct err err;
    static struct note note;
    checkpoint_of(&log, 12, &bytes);
    assert_int_equal(note_parse(buf_view(&bytes), &note, &err), 0);
    struct str text = note.text;
    _cleanup_buf struct buf line = {0};
    note_sign(text, &witness.key, &witness.seed, 1679315147999, &line);
    buf_str(&bytes, buf_view(&line));
    assert_int_equal(note_parse(buf_view(&bytes), &note, &err), 0);
    assert_int_equal(note.count, 2);
    text = note.text;
    int64_t at = 0;
    assert_int_equal(note_verify(&note, &log.key, NULL, &err), 0);
    assert_int_equal(note_verify(&note, &witness.key, &at, &err), 0);
    assert_int_equal(at, 1679315147000);
    struct note_key parsed;
    note_key_format(&witness.key, &vkey);
    assert_int_equal(note_key_parse(buf_view(&vkey), &parsed, &err), 0);
    assert_int_equal(note_verify(&note, &parsed, &at, &err), 0);
    /* The same key and name of the other kind has another id and is not this one. */
    struct ed25519_key public = ed25519_public(&witness.seed);
    assert_int_equal(note_key_make(STR("witness.example"), NOTE_ED25519, &public, &parsed, &err),
                     0);
    assert_int_equal(note_verify(&note, &parsed, NULL, &err), LOV_ENOTFOUND);
    /* Each byte of the line is covered: name, id, time and signature. */
    for (size_t i = 0; i < line.n; i++) {
        struct note_line read;
        line.p[i] ^= 1;
        assert_true(note_line_parse(buf_view(&line), &read, &err) != 0 ||
                    note_verify_line(text, &read, &witness.key, NULL, &err) != 0);
        line.p[i] ^= 1;
    }
}

static void test_any_changed_byte_of_a_checkpoint_is_refused(void **state)
{
    (void)state;
    struct signer log = signer_of(STR("example.com/lov/0"), NOTE_ED25519);
    _cleanup_buf struct buf bytes = {0};
    struct checkpoint c;
    struct err err;
    checkpoint_of(&log, 123456789, &bytes);
    assert_int_equal(checkpoint_open(buf_view(&bytes), &log.key, &c, &err), 0);
    assert_int_equal(c.size, 123456789);
    for (size_t i = 0; i < bytes.n; i++) {
        for (int flip = 1; flip < 256; flip++) {
            bytes.p[i] = (char)(bytes.p[i] ^ flip);
            assert_int_not_equal(checkpoint_open(buf_view(&bytes), &log.key, &c, &err), 0);
            bytes.p[i] = (char)(bytes.p[i] ^ flip);
        }
        assert_int_not_equal(checkpoint_open((struct str){bytes.p, i}, &log.key, &c, &err), 0);
    }
    struct signer other = signer_of(STR("example.com/lov/0"), NOTE_ED25519);
    assert_int_equal(checkpoint_open(buf_view(&bytes), &other.key, &c, &err), LOV_ENOTFOUND);
}

static void test_a_checkpoint_is_three_lines(void **state)
{
    (void)state;
    struct checkpoint c;
    struct err err;
#define ROOT "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I="
    assert_int_equal(
        checkpoint_parse(STR("example.com/behind-the-sofa\n20852163\n" ROOT "\n"), &c, &err), 0);
    assert_true(str_is(c.origin, "example.com/behind-the-sofa"));
    assert_int_equal(c.size, 20852163);
    assert_int_equal(c.root.b[0], 0x0a);
    assert_int_equal(checkpoint_parse(STR("o\n0\n" ROOT "\nextension\n"), &c, &err), 0);
    assert_true(str_is(c.extensions, "extension\n"));
    static const char *const bad[] = {
        "",
        "o\n1\n",
        "o\n1\n" ROOT,
        "\n1\n" ROOT "\n",
        "o\n01\n" ROOT "\n",
        "o\n-1\n" ROOT "\n",
        "o\n+1\n" ROOT "\n",
        "o\n1 \n" ROOT "\n",
        "o\n0x1\n" ROOT "\n",
        "o\n9223372036854775808\n" ROOT "\n",
        "o\n1\n" ROOT "=\n",
        "o\n1\nAAAA\n",
        "o\n1\n" ROOT "\n\n",
        "o\n1\n" ROOT "\nextension",
        "o\xff\n1\n" ROOT "\n",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(checkpoint_parse(str_of(bad[i]), &c, &err), LOV_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published_notes_verify),
        cmocka_unit_test(test_signing_gives_the_published_signature),
        cmocka_unit_test(test_ed25519_gives_the_published_signatures),
        cmocka_unit_test(test_changed_verifier_keys_are_refused),
        cmocka_unit_test(test_names_are_those_the_standard_allows),
        cmocka_unit_test(test_malformed_notes_are_refused),
        cmocka_unit_test(test_cosignatures_say_when),
        cmocka_unit_test(test_any_changed_byte_of_a_checkpoint_is_refused),
        cmocka_unit_test(test_a_checkpoint_is_three_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
