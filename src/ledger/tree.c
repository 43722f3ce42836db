/* tree.c - see tree.h. */
#include "ledger/tree.h"

#include <openssl/sha.h>
#include <string.h>

#include "base/err.h"

enum { SMALL = 1024 };

struct sha256 tree_leaf(struct str data)
{
    /* One call over a copy is faster than a context for the sizes that events have. */
    uint8_t small[SMALL];
    if (data.n < SMALL) {
        small[0] = 0;
        memcpy(small + 1, data.p, data.n);
        return sha256_of((struct str){(char *)small, data.n + 1});
    }
    struct str parts[2] = {{"\0", 1}, data};
    return sha256_parts(parts, 2);
}

struct sha256 tree_node(const struct sha256 *left, const struct sha256 *right)
{
    uint8_t both[1 + 2 * 32];
    both[0] = 1;
    memcpy(both + 1, left->b, 32);
    memcpy(both + 33, right->b, 32);
    return sha256_of((struct str){(char *)both, sizeof both});
}

unsigned tree_width(uint64_t size)
{
    return (unsigned)__builtin_popcountll(size);
}

void tree_append(struct tree *t, const struct sha256 *leaf)
{
    struct sha256 node = *leaf;
    unsigned width = tree_width(t->size);
    /* Each trailing one bit of the size is a complete subtree that the new one completes. */
    for (uint64_t rest = t->size; rest & 1; rest >>= 1)
        node = tree_node(&t->node[--width], &node);
    t->node[width] = node;
    if (++t->size == 0)
        bug("ledger is full");
}

struct sha256 tree_root(const struct tree *t)
{
    unsigned width = tree_width(t->size);
    if (width == 0)
        return sha256_of((struct str){"", 0});
    struct sha256 root = t->node[width - 1];
    for (unsigned i = width - 1; i > 0; i--)
        root = tree_node(&t->node[i - 1], &root);
    return root;
}
