/* test_ledger_proof.c - proofs against published vectors, against a plain tree for every size up
 * to 300 and for large random ones, and after every single change. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ledger/proof.h"
#include "ledger/tree.h"
#include "test_seed.h"

enum { MOST = 300 };

static uint64_t seed;
static struct sha256 leaves[MOST];

static struct sha256 from_base64(const char *text)
{
    _cleanup_buf struct buf raw = {0};
    struct sha256 h;
    assert_true(base64_decode(str_of(text), &raw));
    assert_int_equal(raw.n, sizeof h.b);
    memcpy(h.b, raw.p, sizeof h.b);
    return h;
}

static struct proof proof_of(const char *const hash[4])
{
    struct proof p = {0};
    while (p.count < 4 && hash[p.count]) {
        p.hash[p.count] = from_base64(hash[p.count]);
        p.count++;
    }
    return p;
}

/* The numbers that the tests of transparency-dev/merkle publish for RFC 6962's eight leaves. */
static const char root8[] = "XcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQyg=";
static const char root5[] = "Tju7H3tHjc/nH7YxYxUZo7yhLJrvyhYSv85ME6hiZNQ=";

static void test_published_inclusion_proofs_verify(void **state)
{
    (void)state;
    static const struct {
        int64_t index, size;
        const char *root, *leaf;
        const char *proof[4];
    } vectors[] = {
        {0,
         8,
         root8,
         "bjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhevoB0=",
         {"lqKW0iTyhcZ77pPDD4owkVfw2qNdxbh+QQt4YwoJz8c=",
          "Xwg/ChozygdqlSeYMlgNs+DvRYS9/x9UyKNg9Q3jAx4=",
          "a0eq8p7jwq+a+Im8H7klTavTEXfxYjLdaqsDXKOb9uQ="}},
        {5,
         8,
         root8,
         "QnGia+DYqE8L1UyMMC58s6O10fpngKQLzOKHNHfatlg=",
         {"vBoGQ7EuTS18d5GPROD095qDi2z57FtcKD4fTYhZnms=",
          "yoVOoSjtBQtBs1/8G4e46yveRh6eO1WW7Oa51ZdaCuA=",
          "037kGJdt2VdTwcc4Yrk5j6Kiz5tP8P3+izDNlSCWFLc="}},
        {2,
         3,
         "rra8/idLcKFPsGel5VeCZNsPqbUa9eC6FZFY8yngbnc=",
         "ApjRIpBtz8EIkstTpzmS/FufST6kybrbJ7eRtBJ6f+c=",
         {"+sVCA+fMaWzw38tCySodnbr3CtnmIfS9jZhmLwDjwSU="}},
        {1,
         5,
         root5,
         "lqKW0iTyhcZ77pPDD4owkVfw2qNdxbh+QQt4YwoJz8c=",
         {"bjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhevoB0=",
          "Xwg/ChozygdqlSeYMlgNs+DvRYS9/x9UyKNg9Q3jAx4=",
          "vBoGQ7EuTS18d5GPROD095qDi2z57FtcKD4fTYhZnms="}},
    };
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        struct sha256 root = from_base64(vectors[i].root), leaf = from_base64(vectors[i].leaf);
        struct proof proof = proof_of(vectors[i].proof);
        assert_true(proof_includes(&proof, vectors[i].index, vectors[i].size, &leaf, &root));
        assert_false(proof_includes(&proof, vectors[i].index ^ 1, vectors[i].size, &leaf, &root));
    }
}

static void test_published_consistency_proofs_verify(void **state)
{
    (void)state;
    static const char node01[] = "+sVCA+fMaWzw38tCySodnbr3CtnmIfS9jZhmLwDjwSU=";
    static const char root6[] = "duZ9rbzfHhDht03cYIq9L5jfsW+851J3tSMqEn8gh+8=";
    static const struct {
        int64_t from, to;
        const char *from_root, *to_root;
        const char *proof[4];
    } vectors[] = {
        {1,
         8,
         "bjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhevoB0=",
         root8,
         {"lqKW0iTyhcZ77pPDD4owkVfw2qNdxbh+QQt4YwoJz8c=",
          "Xwg/ChozygdqlSeYMlgNs+DvRYS9/x9UyKNg9Q3jAx4=",
          "a0eq8p7jwq+a+Im8H7klTavTEXfxYjLdaqsDXKOb9uQ="}},
        {6,
         8,
         root6,
         root8,
         {"DrxdNDf74tsVi58Sah0RjjCBgQMdCpSfje3t68VY72o=",
          "yoVOoSjtBQtBs1/8G4e46yveRh6eO1WW7Oa51ZdaCuA=",
          "037kGJdt2VdTwcc4Yrk5j6Kiz5tP8P3+izDNlSCWFLc="}},
        {2,
         5,
         node01,
         root5,
         {"Xwg/ChozygdqlSeYMlgNs+DvRYS9/x9UyKNg9Q3jAx4=",
          "vBoGQ7EuTS18d5GPROD095qDi2z57FtcKD4fTYhZnms="}},
        {6,
         7,
         root6,
         "3bib5AOAnjJXUNPSY814kpwpQreUKjS3fhIslZSnTIw=",
         {"DrxdNDf74tsVi58Sah0RjjCBgQMdCpSfje3t68VY72o=",
          "sIaT7C5yFZcTBkHoIR5+7cy0wmQTlj7ubB4u0W/7Gl8=",
          "037kGJdt2VdTwcc4Yrk5j6Kiz5tP8P3+izDNlSCWFLc="}},
    };
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        struct sha256 old = from_base64(vectors[i].from_root);
        struct sha256 new = from_base64(vectors[i].to_root);
        struct proof proof = proof_of(vectors[i].proof);
        assert_true(proof_consistent(&proof, vectors[i].from, &old, vectors[i].to, &new));
        assert_false(proof_consistent(&proof, vectors[i].from, &new, vectors[i].to, &old));
    }
}

/* RFC 6962 §2.1, word for word. */
static struct sha256 plain_root(const struct sha256 *leaf, size_t n)
{
    if (n == 1)
        return leaf[0];
    size_t k = 1;
    while (k * 2 < n)
        k *= 2;
    struct sha256 left = plain_root(leaf, k), right = plain_root(leaf + k, n - k);
    return tree_node(&left, &right);
}

/* The same for n = 0. */
static struct sha256 root_of(size_t n)
{
    return n == 0 ? sha256_of((struct str){"", 0}) : plain_root(leaves, n);
}

static int plain_hashes(void *ctx, unsigned level, int64_t first, unsigned count,
                        struct sha256 *out, struct err *err)
{
    (void)ctx;
    (void)err;
    assert_true(count >= 1 && count <= 256);
    assert_true((first & 255) + count <= 256);
    int64_t width = (int64_t)1 << 8 * level;
    assert_true((first + count) * width <= MOST);
    for (unsigned i = 0; i < count; i++)
        out[i] = plain_root(leaves + (first + i) * width, (size_t)width);
    return 0;
}

static const struct proof_source plain = {plain_hashes, NULL};

static int set_up(void **state)
{
    (void)state;
    seed = seed_start();
    for (int i = 0; i < MOST; i++) {
        uint64_t content = seed_next(&seed);
        leaves[i] = tree_leaf((struct str){(char *)&content, sizeof content});
    }
    return 0;
}

static void test_every_event_of_every_size_is_included(void **state)
{
    (void)state;
    struct err err;
    struct proof proof;
    for (int64_t size = 1; size <= MOST; size++) {
        struct sha256 root = root_of((size_t)size), made;
        assert_int_equal(proof_make_root(&plain, size, &made, &err), 0);
        assert_memory_equal(made.b, root.b, sizeof root.b);
        for (int64_t i = 0; i < size; i++) {
            assert_int_equal(proof_make_inclusion(&plain, i, size, &proof, &err), 0);
            assert_true(proof_includes(&proof, i, size, &leaves[i], &root));
            assert_false(proof_includes(&proof, i, size, &leaves[(i + 1) % MOST], &root));
            assert_false(proof_includes(&proof, (i + 1) % size, size, &leaves[i], &root) &&
                         size > 1);
        }
    }
}

static void test_every_size_follows_every_smaller_one(void **state)
{
    (void)state;
    struct err err;
    struct proof proof;
    static struct sha256 root[MOST + 1];
    for (size_t n = 0; n <= MOST; n++)
        root[n] = root_of(n);
    for (int64_t to = 0; to <= MOST; to++)
        for (int64_t from = 0; from <= to; from++) {
            assert_int_equal(proof_make_consistency(&plain, from, to, &proof, &err), 0);
            assert_true(proof_consistent(&proof, from, &root[from], to, &root[to]));
            if (from > 0 && from < to) {
                assert_false(proof_consistent(&proof, from, &root[from - 1], to, &root[to]));
                assert_false(proof_consistent(&proof, from, &root[from], to, &root[to - 1]));
                assert_false(proof_consistent(&proof, from - 1, &root[from], to, &root[to]));
            }
        }
}

/* A tree whose leaves are all alike: its subtrees are known for any size. */
static int alike_hashes(void *ctx, unsigned level, int64_t first, unsigned count,
                        struct sha256 *out, struct err *err)
{
    (void)first;
    (void)err;
    for (unsigned i = 0; i < count; i++)
        out[i] = ((const struct sha256 *)ctx)[8 * level];
    return 0;
}

static void test_proofs_of_large_trees_verify(void **state)
{
    (void)state;
    struct sha256 at_height[72];
    at_height[0] = tree_leaf(STR("alike"));
    for (int i = 1; i < 72; i++)
        at_height[i] = tree_node(&at_height[i - 1], &at_height[i - 1]);
    struct proof_source source = {alike_hashes, at_height};
    struct err err;
    struct proof proof;
    for (int round = 0; round < 3000; round++) {
        int64_t to = (int64_t)(seed_next(&seed) >> (1 + seed_below(&seed, 60))) + 2;
        if (round == 0)
            to = INT64_MAX;
        int64_t from = 1 + (int64_t)seed_below(&seed, (uint64_t)to - 1);
        struct sha256 old, new;
        assert_int_equal(proof_make_root(&source, from, &old, &err), 0);
        assert_int_equal(proof_make_root(&source, to, &new, &err), 0);
        assert_int_equal(proof_make_consistency(&source, from, to, &proof, &err), 0);
        assert_true(proof_consistent(&proof, from, &old, to, &new));
        assert_int_equal(proof_make_inclusion(&source, from, to, &proof, &err), 0);
        assert_true(proof_includes(&proof, from, to, &at_height[0], &new));
    }
}

static bool holds(const struct proof *proof, int64_t a, int64_t b, bool inclusion)
{
    struct sha256 new = root_of((size_t)b);
    if (inclusion)
        return proof_includes(proof, a, b, &leaves[a], &new);
    struct sha256 old = root_of((size_t)a);
    return proof_consistent(proof, a, &old, b, &new);
}

/* Each byte of each hash, one hash less, one more, two swapped. */
static void refuse_changes(struct proof proof, int64_t a, int64_t b, bool inclusion)
{
    assert_true(holds(&proof, a, b, inclusion));
    for (size_t i = 0; i < proof.count * sizeof proof.hash[0]; i++) {
        uint8_t *byte = (uint8_t *)proof.hash + i, bit = (uint8_t)(1U << seed_below(&seed, 8));
        *byte ^= bit;
        assert_false(holds(&proof, a, b, inclusion));
        *byte ^= bit;
    }
    struct proof changed = proof;
    changed.count--;
    assert_false(holds(&changed, a, b, inclusion));
    memmove(changed.hash, changed.hash + 1, changed.count * sizeof changed.hash[0]);
    assert_false(holds(&changed, a, b, inclusion));
    changed = proof;
    changed.hash[changed.count++] = leaves[0];
    assert_false(holds(&changed, a, b, inclusion));
    changed = proof;
    for (size_t i = 1; i < proof.count; i++) {
        changed.hash[i] = proof.hash[i - 1];
        changed.hash[i - 1] = proof.hash[i];
        assert_false(holds(&changed, a, b, inclusion));
        changed.hash[i - 1] = proof.hash[i - 1];
        changed.hash[i] = proof.hash[i];
    }
}

static void test_any_change_to_a_proof_is_refused(void **state)
{
    (void)state;
    struct err err;
    struct proof proof;
    for (int round = 0; round < 40; round++) {
        int64_t to = 2 + (int64_t)seed_below(&seed, MOST - 1);
        int64_t from = 1 + (int64_t)seed_below(&seed, (uint64_t)to - 1);
        assert_int_equal(proof_make_inclusion(&plain, from, to, &proof, &err), 0);
        refuse_changes(proof, from, to, true);
        assert_int_equal(proof_make_consistency(&plain, from, to, &proof, &err), 0);
        refuse_changes(proof, from, to, false);
    }
}

/* A root stands for one size: the same proof says nothing of a tree that is said to be larger. */
static void test_a_proof_is_of_one_size(void **state)
{
    (void)state;
    struct err err;
    struct proof proof;
    for (int64_t size = 1; size <= 40; size++)
        for (int64_t i = 0; i < size; i++) {
            struct sha256 root = root_of((size_t)size), old = root_of((size_t)i + 1);
            assert_int_equal(proof_make_inclusion(&plain, i, size, &proof, &err), 0);
            assert_false(proof_includes(&proof, i, size * 2, &leaves[i], &root));
            assert_false(proof_includes(&proof, i, size * 4, &leaves[i], &root));
            assert_int_equal(proof_make_consistency(&plain, i + 1, size, &proof, &err), 0);
            assert_false(proof_consistent(&proof, i + 1, &old, size * 2, &root));
            assert_false(proof_consistent(&proof, i + 1, &old, size * 4, &root));
        }
}

static void test_impossible_questions_are_refused(void **state)
{
    (void)state;
    struct err err;
    struct proof none = {0}, proof;
    struct sha256 empty = root_of(0), one = root_of(1), two = root_of(2);
    assert_int_equal(proof_make_inclusion(&plain, 5, 5, &proof, &err), LOV_EINVAL);
    assert_int_equal(proof_make_inclusion(&plain, -1, 5, &proof, &err), LOV_EINVAL);
    assert_int_equal(proof_make_inclusion(&plain, 0, 0, &proof, &err), LOV_EINVAL);
    assert_int_equal(proof_make_consistency(&plain, 6, 5, &proof, &err), LOV_EINVAL);
    assert_int_equal(proof_make_consistency(&plain, -1, 5, &proof, &err), LOV_EINVAL);
    assert_int_equal(proof_make_root(&plain, -1, &empty, &err), LOV_EINVAL);
    assert_false(proof_includes(&none, -1, 1, &one, &one));
    assert_false(proof_includes(&none, 0, 0, &one, &empty));
    assert_false(proof_includes(&none, 1, 1, &one, &one));
    assert_true(proof_includes(&none, 0, 1, &one, &one));
    assert_true(proof_consistent(&none, 0, &empty, 2, &two));
    assert_false(proof_consistent(&none, 0, &one, 2, &two));
    assert_false(proof_consistent(&none, 1, &one, 2, &two));
    assert_false(proof_consistent(&none, 2, &two, 1, &one));
    assert_false(proof_consistent(&none, 2, &two, 2, &one));
    struct proof filler = {.count = 1};
    assert_false(proof_consistent(&filler, 0, &empty, 2, &two));
    assert_false(proof_consistent(&filler, 2, &two, 2, &two));
    filler.count = PROOF_MAX + 1;
    assert_false(proof_includes(&filler, 0, 1, &one, &one));
    assert_false(proof_consistent(&filler, 1, &one, 2, &two));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published_inclusion_proofs_verify),
        cmocka_unit_test(test_published_consistency_proofs_verify),
        cmocka_unit_test(test_every_event_of_every_size_is_included),
        cmocka_unit_test(test_every_size_follows_every_smaller_one),
        cmocka_unit_test(test_proofs_of_large_trees_verify),
        cmocka_unit_test(test_any_change_to_a_proof_is_refused),
        cmocka_unit_test(test_a_proof_is_of_one_size),
        cmocka_unit_test(test_impossible_questions_are_refused),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
