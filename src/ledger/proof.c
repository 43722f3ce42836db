/* proof.c - see proof.h. Verifying follows the algorithms of RFC 9162 to the letter. A proof is
 * made by walking from the root down, noting the ranges of leaves whose roots are its hashes; a
 * range is hashed from the complete subtrees that it falls into. */
#include "ledger/proof.h"

#include <string.h>

#include "ledger/tree.h"

static bool same(const struct sha256 *a, const struct sha256 *b)
{
    return memcmp(a->b, b->b, sizeof a->b) == 0;
}

/* ---- verifying ---- */

/* RFC 9162 §2.1.3.2. */
bool proof_includes(const struct proof *proof, int64_t index, int64_t size,
                    const struct sha256 *leaf, const struct sha256 *root)
{
    if (index < 0 || index >= size || proof->count > PROOF_MAX)
        return false;
    uint64_t fn = (uint64_t)index, sn = (uint64_t)size - 1;
    struct sha256 r = *leaf;
    for (size_t i = 0; i < proof->count; i++) {
        const struct sha256 *p = &proof->hash[i];
        if (sn == 0)
            return false;
        if ((fn & 1) || fn == sn) {
            r = tree_node(p, &r);
            for (; !(fn & 1) && fn != 0; fn >>= 1)
                sn >>= 1;
        } else {
            r = tree_node(&r, p);
        }
        fn >>= 1;
        sn >>= 1;
    }
    return sn == 0 && same(&r, root);
}

/* RFC 9162 §2.1.4.2 from step 3 on: `i` is the first hash of the proof that is not the start. */
static bool follows(const struct proof *proof, size_t i, const struct sha256 *start, int64_t from,
                    const struct sha256 *from_root, int64_t to, const struct sha256 *to_root)
{
    uint64_t fn = (uint64_t)from - 1, sn = (uint64_t)to - 1;
    for (; fn & 1; fn >>= 1)
        sn >>= 1;
    struct sha256 fr = *start, sr = *start;
    for (; i < proof->count; i++) {
        const struct sha256 *c = &proof->hash[i];
        if (sn == 0)
            return false;
        if ((fn & 1) || fn == sn) {
            fr = tree_node(c, &fr);
            sr = tree_node(c, &sr);
            for (; !(fn & 1) && fn != 0; fn >>= 1)
                sn >>= 1;
        } else {
            sr = tree_node(&sr, c);
        }
        fn >>= 1;
        sn >>= 1;
    }
    return sn == 0 && same(&fr, from_root) && same(&sr, to_root);
}

bool proof_consistent(const struct proof *proof, int64_t from, const struct sha256 *from_root,
                      int64_t to, const struct sha256 *to_root)
{
    if (from < 0 || from > to || proof->count > PROOF_MAX)
        return false;
    if (from == to)
        return proof->count == 0 && same(from_root, to_root);
    if (from == 0) {
        struct sha256 empty = sha256_of((struct str){"", 0});
        return proof->count == 0 && same(from_root, &empty);
    }
    if (proof->count == 0)
        return false;
    if ((from & (from - 1)) == 0)
        return follows(proof, 0, from_root, from, from_root, to, to_root);
    return follows(proof, 1, &proof->hash[0], from, from_root, to, to_root);
}

/* ---- making ---- */

struct range {
    int64_t start, end;
};

struct sha256 proof_fold(const struct sha256 *hash, unsigned count)
{
    struct tree tree = {0};
    for (unsigned i = 0; i < count; i++)
        tree_append(&tree, &hash[i]);
    return tree_root(&tree);
}

/* The root of the complete subtree of 2^height leaves that starts at `start`. */
static int subtree(const struct proof_source *source, unsigned height, int64_t start,
                   struct sha256 *out, struct err *err)
{
    struct sha256 hash[128];
    unsigned level = height / 8, count = 1U << height % 8;
    int rc = source->hashes(source->ctx, level, start >> 8 * level, count, hash, err);
    if (rc)
        return rc;
    *out = proof_fold(hash, count);
    return 0;
}

/* The root of a range whose start is a multiple of the largest power of two that is not above its
 * length: such are all ranges in proofs. */
static int range_root(const struct proof_source *source, struct range range, struct sha256 *out,
                      struct err *err)
{
    struct sha256 part[64];
    unsigned count = 0;
    for (int64_t at = range.start; at < range.end;) {
        unsigned height = 63U - (unsigned)__builtin_clzll((uint64_t)(range.end - at));
        int rc = subtree(source, height, at, &part[count++], err);
        if (rc)
            return rc;
        at += (int64_t)1 << height;
    }
    struct sha256 root = part[count - 1];
    for (unsigned i = count - 1; i > 0; i--)
        root = tree_node(&part[i - 1], &root);
    *out = root;
    return 0;
}

/* The proof's hashes are those of the ranges, the last noted first. */
static int ranges_proof(const struct proof_source *source, const struct range *range, size_t count,
                        struct proof *out, struct err *err)
{
    struct proof made = {.count = count};
    for (size_t i = 0; i < count; i++) {
        int rc = range_root(source, range[count - 1 - i], &made.hash[i], err);
        if (rc)
            return rc;
    }
    *out = made;
    return 0;
}

/* The largest power of two below n > 1: where RFC 6962 splits. */
static int64_t split_of(int64_t n)
{
    return (int64_t)1 << (63 - __builtin_clzll((uint64_t)n - 1));
}

/* PATH(m, D[n]) of RFC 9162 §2.1.3.1. */
int proof_make_inclusion(const struct proof_source *source, int64_t index, int64_t size,
                         struct proof *out, struct err *err)
{
    if (index < 0 || index >= size)
        return err_set(err, LOV_EINVAL, "event %lld is not in a tree of %lld events",
                       (long long)index, (long long)size);
    struct range noted[PROOF_MAX];
    size_t count = 0;
    for (int64_t start = 0, end = size; end - start > 1;) {
        int64_t middle = start + split_of(end - start);
        if (index < middle) {
            noted[count++] = (struct range){middle, end};
            end = middle;
        } else {
            noted[count++] = (struct range){start, middle};
            start = middle;
        }
    }
    return ranges_proof(source, noted, count, out, err);
}

/* SUBPROOF(m, D[n], b) of RFC 9162 §2.1.4.1. */
int proof_make_consistency(const struct proof_source *source, int64_t from, int64_t to,
                           struct proof *out, struct err *err)
{
    if (from < 0 || from > to)
        return err_set(err, LOV_EINVAL, "a tree of %lld events does not follow one of %lld",
                       (long long)to, (long long)from);
    struct range noted[PROOF_MAX];
    size_t count = 0;
    int64_t start = 0, end = to;
    if (from == 0 || from == to) {
        out->count = 0;
        return 0;
    }
    while (from != end) {
        int64_t middle = start + split_of(end - start);
        if (from <= middle) {
            noted[count++] = (struct range){middle, end};
            end = middle;
        } else {
            noted[count++] = (struct range){start, middle};
            start = middle;
        }
    }
    if (start > 0)
        noted[count++] = (struct range){start, end};
    return ranges_proof(source, noted, count, out, err);
}

int proof_make_root(const struct proof_source *source, int64_t size, struct sha256 *out,
                    struct err *err)
{
    if (size < 0)
        return err_set(err, LOV_EINVAL, "a tree has not %lld events", (long long)size);
    if (size == 0) {
        *out = sha256_of((struct str){"", 0});
        return 0;
    }
    return range_root(source, (struct range){0, size}, out, err);
}
