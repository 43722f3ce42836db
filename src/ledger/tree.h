/*
 * tree.h - the Merkle tree of RFC 6962 §2.1, grown leaf by leaf.
 *
 * A frontier holds the roots of the complete subtrees that make up a tree of `size` leaves, largest
 * first: one for each bit that is set in size. It is all that appending and the root need.
 */
#ifndef LOV_LEDGER_TREE_H
#define LOV_LEDGER_TREE_H

#include <stdint.h>

#include "base/hash.h"

struct tree {
    uint64_t size;
    struct sha256 node[64];
};

struct sha256 tree_leaf(struct str data);
struct sha256 tree_node(const struct sha256 *left, const struct sha256 *right);
void tree_append(struct tree *t, const struct sha256 *leaf);
/* SHA-256 of nothing for the empty tree. */
struct sha256 tree_root(const struct tree *t);
/* How many nodes a frontier of that size has. */
unsigned tree_width(uint64_t size);

#endif
