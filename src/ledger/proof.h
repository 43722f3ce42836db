/*
 * proof.h - inclusion and consistency proofs (RFC 9162 §2.1.3 and §2.1.4; RFC 6962 §2.1.1 and
 * §2.1.2, which give the same hashes).
 *
 * Verifying is arithmetic over hashes: no database, no key. Making asks a callback for hashes of
 * tiles (C2SP tlog-tiles): level 0 holds the leaf hashes, level l the roots of 256^l leaves.
 * Thread-safe, no state.
 */
#ifndef LOV_LEDGER_PROOF_H
#define LOV_LEDGER_PROOF_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/hash.h"

/* No proof over a tree of fewer than 2^63 leaves is longer. */
enum { PROOF_MAX = 64 };

struct proof {
    size_t count;
    struct sha256 hash[PROOF_MAX];
};

/* Is `leaf` (a leaf hash) at `index`, from 0, in the tree of `size` leaves with this root? */
bool proof_includes(const struct proof *proof, int64_t index, int64_t size,
                    const struct sha256 *leaf, const struct sha256 *root);
/* Is the tree of `from` leaves the beginning of the tree of `to`? Everything follows the empty
 * tree: its proof is empty and says nothing. */
bool proof_consistent(const struct proof *proof, int64_t from, const struct sha256 *from_root,
                      int64_t to, const struct sha256 *to_root);

/* Gives `count` (1 to 256) hashes of tile level `level` from index `first` on. They lie in one
 * tile and belong to complete subtrees. */
struct proof_source {
    int (*hashes)(void *ctx, unsigned level, int64_t first, unsigned count, struct sha256 *out,
                  struct err *err);
    void *ctx;
};

/* LOV_EINVAL unless 0 <= index < size; otherwise fails as the source does. */
int proof_make_inclusion(const struct proof_source *source, int64_t index, int64_t size,
                         struct proof *out, struct err *err);
/* LOV_EINVAL unless 0 <= from <= to. */
int proof_make_consistency(const struct proof_source *source, int64_t from, int64_t to,
                           struct proof *out, struct err *err);
/* The root of the first `size` leaves. */
int proof_make_root(const struct proof_source *source, int64_t size, struct sha256 *out,
                    struct err *err);

/* The root of `count` (1 to 256) hashes that are neighbours. */
struct sha256 proof_fold(const struct sha256 *hash, unsigned count);

#endif
