/* node.c - see node.h. Built on libyaml's events and not on libcyaml: a policy has mappings whose
 * members are data (languages, laws, territories), which a fixed schema cannot name, and every
 * mistake of a file has to be told with its line, not only the first one. */
#include "policy/node.h"

#include <yaml.h>

struct reader {
    yaml_parser_t parser;
    struct arena *arena;
    int line_offset;
    struct node_problem *problem;
};

static bool fail(struct reader *r, const char *rule, size_t mark, const char *text)
{
    int line = (int)mark + r->line_offset;
    *r->problem = (struct node_problem){rule, line, arena_str(r->arena, str_of(text))};
    return false;
}

static bool next_event(struct reader *r, yaml_event_t *event)
{
    if (yaml_parser_parse(&r->parser, event))
        return true;
    const char *what = r->parser.problem ? r->parser.problem : "this is not YAML";
    size_t line = r->parser.problem_mark.line;
    if (r->parser.error == YAML_READER_ERROR)
        line = r->parser.mark.line;
    return fail(r, "syntax", line, what);
}

static bool refuse_reference(struct reader *r, const yaml_event_t *e, const yaml_char_t *anchor,
                             const yaml_char_t *tag)
{
    if (anchor)
        return fail(r, "alias", e->start_mark.line,
                    "anchors and aliases are not used here: write the value where it is needed");
    if (tag)
        return fail(r, "syntax", e->start_mark.line, "tags are not used here: remove it");
    return true;
}

static bool read_text(struct reader *r, const yaml_event_t *e, struct node *node)
{
    node->kind = TREE_TEXT;
    node->plain = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    struct str text = {(const char *)e->data.scalar.value, e->data.scalar.length};
    if (!str_utf8_valid(text) || !str_no_controls(text, true))
        return fail(r, "syntax", e->start_mark.line, "control characters are not allowed");
    node->text = arena_str(r->arena, text);
    return refuse_reference(r, e, e->data.scalar.anchor, e->data.scalar.tag);
}

static bool read_value(struct reader *r, const yaml_event_t *event, int depth, struct node *node);

static bool read_key(struct reader *r, const yaml_event_t *event, const struct node *map,
                     struct node *item)
{
    if (event->type != YAML_SCALAR_EVENT)
        return fail(r, "syntax", event->start_mark.line, "the name of a member is plain text");
    if (!read_text(r, event, item))
        return false;
    item->key = item->text;
    item->key_line = (int)event->start_mark.line + r->line_offset;
    for (const struct node *other = map->first; other; other = other->next) {
        if (str_eq(other->key, item->key))
            return fail(
                r, "duplicate_member", event->start_mark.line,
                arena_printf(r->arena, "%.*s is given twice: keep one of them", STR_ARG(item->key))
                    .p);
    }
    return true;
}

/* One member or item; *end when the collection is over. */
static bool read_item(struct reader *r, int depth, struct node *parent, struct node *item,
                      bool *end)
{
    yaml_event_t event;
    if (!next_event(r, &event))
        return false;
    *end = event.type == YAML_MAPPING_END_EVENT || event.type == YAML_SEQUENCE_END_EVENT;
    bool ok = true;
    if (!*end && parent->count == NODE_ITEMS)
        ok = fail(r, "too_large", event.start_mark.line, "too many items: 512 is the limit");
    if (ok && !*end && parent->kind == TREE_MAP) {
        ok = read_key(r, &event, parent, item);
        yaml_event_delete(&event);
        if (!ok || !next_event(r, &event))
            return false;
    }
    if (ok && !*end)
        ok = read_value(r, &event, depth, item);
    yaml_event_delete(&event);
    return ok;
}

static bool read_items(struct reader *r, int depth, struct node *parent)
{
    struct node **tail = &parent->first;
    for (;;) {
        struct node *item = arena_alloc(r->arena, sizeof *item);
        bool end = false;
        if (!read_item(r, depth, parent, item, &end))
            return false;
        if (end)
            return true;
        *tail = item;
        tail = &item->next;
        parent->count++;
    }
}

static bool read_value(struct reader *r, const yaml_event_t *event, int depth, struct node *node)
{
    node->line = (int)event->start_mark.line + r->line_offset;
    if (event->type == YAML_SCALAR_EVENT)
        return read_text(r, event, node);
    if (event->type == YAML_ALIAS_EVENT)
        return refuse_reference(r, event, event->data.alias.anchor, NULL);
    if (depth == NODE_DEPTH)
        return fail(r, "too_large", event->start_mark.line, "nested too deeply");
    if (event->type == YAML_MAPPING_START_EVENT) {
        node->kind = TREE_MAP;
        return refuse_reference(r, event, event->data.mapping_start.anchor,
                                event->data.mapping_start.tag) &&
               read_items(r, depth + 1, node);
    }
    if (event->type == YAML_SEQUENCE_START_EVENT) {
        node->kind = TREE_LIST;
        return refuse_reference(r, event, event->data.sequence_start.anchor,
                                event->data.sequence_start.tag) &&
               read_items(r, depth + 1, node);
    }
    return fail(r, "syntax", event->start_mark.line, "a value is missing");
}

static bool skip_event(struct reader *r, yaml_event_type_t wanted, const char *otherwise)
{
    yaml_event_t event;
    if (!next_event(r, &event))
        return false;
    bool ok = event.type == wanted;
    if (!ok)
        fail(r, "syntax", event.start_mark.line, otherwise);
    yaml_event_delete(&event);
    return ok;
}

static bool read_document(struct reader *r, struct node *root)
{
    if (!skip_event(r, YAML_STREAM_START_EVENT, "this is not YAML") ||
        !skip_event(r, YAML_DOCUMENT_START_EVENT, "the file is empty"))
        return false;
    yaml_event_t event;
    if (!next_event(r, &event))
        return false;
    bool ok = read_value(r, &event, 0, root);
    yaml_event_delete(&event);
    return ok && skip_event(r, YAML_DOCUMENT_END_EVENT, "the document does not end") &&
           skip_event(r, YAML_STREAM_END_EVENT, "a file holds one document: remove the second");
}

bool node_parse(struct str text, int first_line, struct arena *arena, struct node **out,
                struct node_problem *problem)
{
    struct reader r = {.arena = arena, .line_offset = first_line, .problem = problem};
    if (!yaml_parser_initialize(&r.parser))
        return fail(&r, "syntax", 0, "the YAML parser did not start");
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)(text.p ? text.p : ""), text.n);
    struct node *root = arena_alloc(arena, sizeof *root);
    bool ok = read_document(&r, root);
    yaml_parser_delete(&r.parser);
    if (ok)
        *out = root;
    return ok;
}

const struct node *node_get(const struct node *map, const char *key)
{
    if (!map || map->kind != TREE_MAP)
        return NULL;
    for (const struct node *item = map->first; item; item = item->next) {
        if (str_is(item->key, key))
            return item;
    }
    return NULL;
}

int node_own_line(const struct node *node)
{
    return node->key_line ? node->key_line : node->line;
}

int node_line(const struct node *map, const char *key)
{
    const struct node *item = node_get(map, key);
    return node_own_line(item ? item : map);
}
