/*
 * node.h - one YAML file as a tree, with the line of every member and item.
 *
 * Input may come from an attacker: a tree is at most NODE_DEPTH deep, a mapping or list holds at
 * most NODE_ITEMS items, and anchors, aliases, tags and second documents are refused, so that a
 * tree is never larger than its file.
 */
#ifndef LOV_POLICY_NODE_H
#define LOV_POLICY_NODE_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/str.h"

enum { NODE_DEPTH = 12, NODE_ITEMS = 512 };

enum tree_kind { TREE_TEXT, TREE_MAP, TREE_LIST };

struct node {
    enum tree_kind kind;
    int line;        /* of the value, from 1 */
    struct str text; /* of TREE_TEXT */
    bool plain;      /* not quoted: may be a number, a date or a word */
    struct str key;  /* of a member of a mapping */
    int key_line;
    struct node *first, *next;
    size_t count;
};

/* What made a file unreadable. */
struct node_problem {
    const char *rule; /* "syntax", "alias", "duplicate_member", "too_large" */
    int line;
    struct str text;
};

/* Parses `text`, whose first line has number `first_line`. The tree lives in `arena`. False and
 * *problem when it is not one well-formed document. */
bool node_parse(struct str text, int first_line, struct arena *arena, struct node **out,
                struct node_problem *problem);
/* The member of a mapping, or NULL; NULL for any other node. */
const struct node *node_get(const struct node *map, const char *key);
/* The line of a member, or of the mapping that lacks it. */
int node_line(const struct node *map, const char *key);
/* The line on which a member's name or a list's item stands. */
int node_own_line(const struct node *node);

#endif
