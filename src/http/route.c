/* route.c - a tree of path segments. Patterns are few and short, so siblings are a list that is
 * compared by length and bytes; a look-up touches one node a segment. Literal segments are compared
 * as they were sent: "/v1/%63onsents" is not "/v1/consents", so that what a proxy in front allows
 * by prefix is what is served here. */
#include <string.h>

#include "http/private.h"

static const char *const method_names[METHOD_COUNT] = {"GET", "POST", "PUT", "PATCH", "DELETE"};

static int method_parse(struct str name)
{
    for (int i = 0; i < METHOD_COUNT; i++)
        if (str_is(name, method_names[i]))
            return i;
    return str_is(name, "HEAD") ? METHOD_GET : -1;
}

/* "{name...}" */
static bool is_tail(struct str segment)
{
    return str_ends(segment, STR("...}"));
}

static struct route_node *node_below(struct route_tree *tree, struct route_node *node,
                                     struct str segment, bool is_param)
{
    if (is_param && is_tail(segment)) {
        if (!node->tail)
            node->tail = arena_alloc(&tree->arena, sizeof *node);
        return node->tail;
    }
    if (is_param) {
        if (!node->param)
            node->param = arena_alloc(&tree->arena, sizeof *node);
        return node->param;
    }
    for (struct route_node *child = node->children; child; child = child->next)
        if (str_eq(child->text, segment))
            return child;
    struct route_node *child = arena_alloc(&tree->arena, sizeof *child);
    child->text = segment;
    child->next = node->children;
    node->children = child;
    return child;
}

/* Patterns end up as labels in the metrics, hence the quotes. */
static bool segment_ok(struct str segment)
{
    for (size_t i = 0; i < segment.n; i++)
        if (strchr("{}%?#\"\\ ", segment.p[i]))
            return false;
    return str_no_controls(segment, false);
}

static int add_route(struct route_tree *tree, const struct http_route *route, struct err *err)
{
    struct route_node *node = tree->root;
    struct str rest = str_of(route->pattern);
    int method = method_parse(str_of(route->method));
    if (method < 0 || str_is(str_of(route->method), "HEAD") || !rest.n || rest.p[0] != '/' ||
        !route->handler)
        return err_set(err, LOV_EINVAL, "route %s %s is malformed", route->method, route->pattern);
    str_cut(&rest, '/');
    size_t params = 0;
    for (bool more = true; more;) {
        more = str_find(rest, '/') < rest.n;
        struct str segment = str_cut(&rest, '/');
        bool is_param = segment.n > 2 && segment.p[0] == '{' && segment.p[segment.n - 1] == '}';
        if (is_param && ++params > HTTP_PARAMS)
            return err_set(err, LOV_EINVAL, "route %s has too many parameters", route->pattern);
        struct str inner = is_param ? (struct str){segment.p + 1, segment.n - 2} : segment;
        if (!segment_ok(inner) || (is_param && is_tail(segment) && more))
            return err_set(err, LOV_EINVAL, "route %s is malformed", route->pattern);
        node = node_below(tree, node, segment, is_param);
    }
    if (node->by_method[method])
        return err_set(err, LOV_EINVAL, "route %s %s is there twice", route->method,
                       route->pattern);
    node->by_method[method] = route;
    node->end = true;
    node->params = params;
    return 0;
}

int route_tree_build(const struct http_route *routes, size_t count, struct route_tree *out,
                     struct err *err)
{
    struct route_tree tree = {0};
    tree.root = arena_alloc(&tree.arena, sizeof *tree.root);
    for (size_t i = 0; i < count; i++) {
        int rc = add_route(&tree, &routes[i], err);
        if (rc) {
            arena_free(&tree.arena);
            return rc;
        }
    }
    *out = tree;
    return 0;
}

void route_tree_free(struct route_tree *tree)
{
    arena_free(&tree->arena);
    tree->root = NULL;
}

/* As deep as the longest pattern. Going back to the parameter when the literal leads nowhere makes
 * "/a/{x}/c" reachable beside "/a/b". */
static const struct route_node *match(const struct route_node *node, struct str rest,
                                      struct str *raw, size_t params)
{
    bool last = str_find(rest, '/') == rest.n;
    struct str whole = rest;
    struct str segment = str_cut(&rest, '/');
    const struct route_node *found = NULL;
    for (const struct route_node *child = node->children; child; child = child->next) {
        if (str_eq(child->text, segment)) {
            found = last ? (child->end ? child : NULL) : match(child, rest, raw, params);
            break;
        }
    }
    if (!found && node->param && segment.n) {
        raw[params] = segment;
        if (!last)
            found = match(node->param, rest, raw, params + 1);
        else if (node->param->end)
            found = node->param;
    }
    if (found || !node->tail || !segment.n)
        return found;
    raw[params] = whole;
    return node->tail;
}

const struct route_node *route_find(const struct route_tree *tree, struct str path,
                                    struct str raw[HTTP_PARAMS])
{
    if (!path.n || path.p[0] != '/')
        return NULL;
    str_cut(&path, '/');
    return match(tree->root, path, raw, 0);
}

const struct http_route *route_of_method(const struct route_node *node, struct str method)
{
    int i = method_parse(method);
    return i < 0 ? NULL : node->by_method[i];
}

void route_allow(const struct route_node *node, struct buf *out)
{
    for (int i = 0; i < METHOD_COUNT; i++) {
        if (!node->by_method[i])
            continue;
        buf_printf(out, "%s%s", out->n ? ", " : "", method_names[i]);
        if (i == METHOD_GET)
            buf_cstr(out, ", HEAD");
    }
}
