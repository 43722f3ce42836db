/* load_change.c - laws change on a day that is known beforehand. A law file says what holds at
 * first and then, in `changes`, which members are otherwise from which day on. Each state is
 * checked whole, also those to come, so that nothing fails on the day. */
#include <string.h>

#include "policy/draft.h"

enum { MAX_CHANGES = 32 };

struct change_in {
    int32_t from;
    struct str source;
};
static const struct member change_members[] = {
    {.name = "from",
     .kind = MEMBER_DATE,
     .offset = offsetof(struct change_in, from),
     .required = true},
    {.name = "source",
     .kind = MEMBER_TEXT,
     .offset = offsetof(struct change_in, source),
     .required = true},
};

static bool is_about_change(const struct node *item)
{
    return str_is(item->key, "from") || str_is(item->key, "source");
}

/* A mapping of some members of another one: those about the change, or those of the law. */
static struct node *part(struct draft *d, const struct node *change, bool about)
{
    struct node *out = arena_alloc(d->arena, sizeof *out), **tail = &out->first;
    *out = *change;
    out->first = NULL;
    out->count = 0;
    for (const struct node *item = change->first; item; item = item->next) {
        if (is_about_change(item) != about)
            continue;
        *tail = arena_alloc(d->arena, sizeof **tail);
        **tail = *item;
        (*tail)->next = NULL;
        tail = &(*tail)->next;
        out->count++;
    }
    return out;
}

static const struct node *same_key(const struct node *map, struct str key)
{
    for (const struct node *item = map->first; item; item = item->next)
        if (str_eq(item->key, key))
            return item;
    return NULL;
}

/* Members of mappings take each other's place one by one, all else as a whole. */
static struct node *merge(struct draft *d, const struct node *a, const struct node *b)
{
    struct node *out = arena_alloc(d->arena, sizeof *out), **tail = &out->first;
    *out = *b;
    out->next = NULL;
    if (a->kind != TREE_MAP || b->kind != TREE_MAP)
        return out;
    out->count = 0;
    for (const struct node *item = a->first; item; item = item->next, out->count++) {
        const struct node *other = same_key(b, item->key);
        *tail = merge(d, item, other ? other : item);
        tail = &(*tail)->next;
    }
    for (const struct node *item = b->first; item; item = item->next) {
        if (same_key(a, item->key))
            continue;
        *tail = merge(d, item, item);
        tail = &(*tail)->next;
        out->count++;
    }
    return out;
}

static void check_members(struct draft *d, struct str file, const struct node *law)
{
    static const char *const fixed[] = {"id", "effective", "changes"};
    if (!law->count)
        find_error(d, file, law->line, "missing_member", "this change changes nothing: remove it");
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++) {
        const struct node *item = node_get(law, fixed[i]);
        if (item)
            find_error(d, file, item->key_line, "unknown_member", "a change cannot change %s",
                       fixed[i]);
    }
}

/* One change of the law as it stood after `before`, NULL: at first; false when it cannot be read.
 */
static bool read_change(struct draft *d, struct str file, const struct node *item,
                        const struct node *state, const struct law_change *before,
                        struct law_change *out)
{
    struct change_in in = {0};
    size_t errors = d->findings->errors;
    if (item->kind != TREE_MAP) {
        find_error(d, file, item->line, "wrong_type",
                   "a change is {from, source, and what is otherwise from then on}");
        return false;
    }
    take(d, file, part(d, item, true), change_members, 2, &in);
    const struct node *members = part(d, item, false);
    check_members(d, file, members);
    *out = (struct law_change){date_start(in.from), in.source, merge(d, state, members)};
    if (d->findings->errors == errors && before && out->from <= before->from)
        find_error(d, file, node_line(item, "from"), "out_of_range",
                   "changes stand in the order of their days, one a day");
    return d->findings->errors == errors;
}

size_t load_changes(struct draft *d, struct str file, const struct node *root,
                    struct law_change **out)
{
    const struct node *list = node_get(root, "changes");
    const struct law_change *before = NULL;
    size_t count = 0;
    if (!list || list->kind != TREE_LIST)
        return 0;
    if (list->count > MAX_CHANGES) {
        find_error(d, file, list->key_line, "too_many", "%zu changes: %d is the limit", list->count,
                   MAX_CHANGES);
        return 0;
    }
    *out = arena_array(d->arena, list->count + 1, sizeof **out);
    for (const struct node *item = list->first; item; item = item->next) {
        struct law_change *c = &(*out)[count++];
        if (!read_change(d, file, item, before ? before->state : root, before, c))
            return 0;
        before = c;
    }
    return count;
}
