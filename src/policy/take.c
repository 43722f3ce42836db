/* take.c - takes a mapping apart into a struct by a table of members, so that every file refuses
 * unknown, missing and mistyped members in the same words and with its line. */
#include <string.h>

#include "policy/draft.h"

static bool is_empty(const struct node *n)
{
    return n->kind == TREE_TEXT && n->plain &&
           (n->text.n == 0 || str_is(n->text, "~") || str_is(n->text, "null"));
}

static void wrong(struct draft *d, struct str file, const struct node *n, const char *wanted)
{
    find_error(d, file, node_own_line(n), "wrong_type", "%.*s must be %s", STR_ARG(n->key), wanted);
}

static const struct member *member_of(const struct member *members, size_t count, struct str name)
{
    for (size_t i = 0; i < count; i++) {
        if (str_is(name, members[i].name))
            return &members[i];
    }
    return NULL;
}

static void unknown_member(struct draft *d, struct str file, const struct node *item,
                           const struct member *members, size_t count)
{
    const char *names[32];
    size_t n = count < 32 ? count : 32;
    for (size_t i = 0; i < n; i++)
        names[i] = members[i].name;
    const char *near = find_nearest(item->key, names, n);
    find_error(d, file, item->key_line, "unknown_member", "there is no member %.*s here%s%s%s",
               STR_ARG(item->key), near ? " (did you mean " : "", near ? near : "",
               near ? "?)" : ": remove it");
}

int take_word(struct draft *d, struct str file, const struct node *n, const char *const *words,
              size_t count)
{
    for (size_t i = 0; n->kind == TREE_TEXT && i < count; i++) {
        if (str_is(n->text, words[i]))
            return (int)i;
    }
    const char *near = find_nearest(n->text, words, count);
    _cleanup_buf struct buf all = {0};
    for (size_t i = 0; i < count; i++)
        buf_printf(&all, "%s%s", i ? ", " : "", words[i]);
    find_error(d, file, n->line, "unknown_word", "%.*s cannot be \"%.*s\"%s%s%s: it is one of %s",
               STR_ARG(n->key), STR_ARG(n->text), near ? " (did you mean " : "", near ? near : "",
               near ? "?)" : "", all.p);
    return -1;
}

static void take_texts(struct draft *d, struct str file, const struct node *n,
                       struct policy_text *out)
{
    const struct policy *p = d->policy;
    if (n->kind != TREE_MAP) {
        wrong(d, file, n, "a text for each language, such as {en: ..., sv: ...}");
        return;
    }
    for (const struct node *item = n->first; item; item = item->next) {
        size_t i = 0;
        while (i < p->language_count && !str_eq(p->languages[i], item->key))
            i++;
        struct str text = item->kind == TREE_TEXT ? str_trim(item->text) : (struct str){0};
        if (i == p->language_count)
            find_error(d, file, item->key_line, "unknown_language",
                       "%.*s is not among the languages of controller.yaml", STR_ARG(item->key));
        else if (!text.n)
            wrong(d, file, item, "text");
        else
            out->in[i] = text;
    }
    for (size_t i = 0; i < p->language_count; i++) {
        if (!out->in[i].p && !node_get(n, arena_cstr(d->scratch, p->languages[i])))
            find_error(d, file, node_own_line(n), "missing_language", "%.*s has no text in %.*s",
                       STR_ARG(n->key), STR_ARG(p->languages[i]));
    }
}

static void take_scalar(struct draft *d, struct str file, const struct node *n,
                        const struct member *m, void *at)
{
    int64_t number = 0;
    if (n->kind != TREE_TEXT) {
        wrong(d, file, n, "a single value");
    } else if (m->kind == MEMBER_NAME) {
        if (str_is_name(n->text))
            *(struct str *)at = n->text;
        else
            find_error(d, file, n->line, "bad_name",
                       "%s: \"%.*s\" is no name: use a-z, 0-9 and _, a letter first, at most 64",
                       m->name, STR_ARG(n->text));
    } else if (m->kind == MEMBER_TEXT) {
        *(struct str *)at = str_trim(n->text);
    } else if (m->kind == MEMBER_WORD) {
        int word = take_word(d, file, n, m->words, m->word_count);
        if (word >= 0)
            *(int *)at = word;
    } else if (m->kind == MEMBER_DATE) {
        if (!date_parse(n->text, at))
            find_error(d, file, n->line, "bad_date", "%s: %.*s is not a date such as 2030-12-31",
                       m->name, STR_ARG(n->text));
    } else if (m->kind == MEMBER_BOOL) {
        if (str_is(n->text, "true") || str_is(n->text, "false"))
            *(bool *)at = str_is(n->text, "true");
        else
            wrong(d, file, n, "true or false");
    } else if (n->plain && str_to_int(n->text, m->min, m->max, &number)) {
        *(int *)at = (int)number;
    } else {
        find_error(d, file, n->line, "out_of_range", "%s must be a whole number from %d to %d",
                   m->name, m->min, m->max);
    }
}

static void take_member(struct draft *d, struct str file, const struct node *n,
                        const struct member *m, void *out)
{
    void *at = (char *)out + m->offset;
    bool blank = m->kind == MEMBER_TEXT && n->kind == TREE_TEXT && !str_trim(n->text).n;
    if (is_empty(n) || blank)
        find_error(d, file, n->key_line, "missing_member", "%s has no value", m->name);
    else if (m->kind == MEMBER_TEXTS)
        take_texts(d, file, n, at);
    else if (m->kind == MEMBER_MAP && n->kind != TREE_MAP)
        wrong(d, file, n, "a mapping of members");
    else if (m->kind == MEMBER_LIST && n->kind != TREE_LIST)
        wrong(d, file, n, "a list");
    else if (m->kind == MEMBER_MAP || m->kind == MEMBER_LIST)
        *(const struct node **)at = n;
    else
        take_scalar(d, file, n, m, at);
}

bool take(struct draft *d, struct str file, const struct node *node, const struct member *members,
          size_t count, void *out)
{
    if (node->kind != TREE_MAP) {
        find_error(d, file, node->line, "wrong_type", "a mapping of members is expected here");
        return false;
    }
    for (const struct node *item = node->first; item; item = item->next) {
        const struct member *m = member_of(members, count, item->key);
        if (m)
            take_member(d, file, item, m, out);
        else
            unknown_member(d, file, item, members, count);
    }
    for (size_t i = 0; i < count; i++) {
        if (members[i].required && !node_get(node, members[i].name))
            find_error(d, file, node_own_line(node), "missing_member", "%s is missing",
                       members[i].name);
    }
    return true;
}

struct str *take_names(struct draft *d, struct str file, const struct node *list, size_t *count)
{
    *count = 0;
    if (!list)
        return NULL;
    struct str *names = arena_array(d->arena, list->count + 1, sizeof *names);
    for (const struct node *item = list->first; item; item = item->next) {
        bool again = false;
        for (size_t i = 0; i < *count; i++)
            again |= str_eq(names[i], item->text);
        if (item->kind != TREE_TEXT || !item->text.n)
            find_error(d, file, item->line, "wrong_type", "each item of %.*s is a name",
                       STR_ARG(list->key));
        else if (again)
            find_error(d, file, item->line, "duplicate_name", "%.*s is listed twice",
                       STR_ARG(item->text));
        else
            names[(*count)++] = item->text;
    }
    return names;
}

const struct node *take_file(struct draft *d, const char *path)
{
    for (size_t i = 0; i < d->bundle->count; i++) {
        const struct policy_file *file = &d->bundle->files[i];
        if (!str_is(file->path, path))
            continue;
        struct node *root = NULL;
        struct node_problem problem;
        if (!node_parse(file->text, 1, d->arena, &root, &problem)) {
            find_error(d, file->path, problem.line, problem.rule, "%.*s", STR_ARG(problem.text));
            return NULL;
        }
        return root;
    }
    find_error(d, str_of(path), 0, "missing_file", "the policy has no %s", path);
    return NULL;
}

const struct node *take_list(struct draft *d, struct str file, const struct node *root,
                             const char *name, size_t max)
{
    if (!root)
        return NULL;
    const struct node *list = NULL;
    const struct member members[] = {{.name = name, .kind = MEMBER_LIST, .required = true}};
    take(d, file, root, members, 1, &list);
    if (list && list->count > max) {
        find_error(d, file, list->key_line, "too_many", "%zu %s: %zu is the limit", list->count,
                   name, max);
        return NULL;
    }
    if (list && list->count == 0)
        find_error(d, file, list->key_line, "missing_member", "%s is empty", name);
    return list;
}

static bool is_upper(char c)
{
    return c >= 'A' && c <= 'Z';
}

bool is_territory(struct str s)
{
    if (s.n < 2 || s.n > 6 || !is_upper(s.p[0]) || !is_upper(s.p[1]))
        return false;
    if (s.n == 2)
        return true;
    if (s.n == 3 || s.p[2] != '-')
        return false;
    for (size_t i = 3; i < s.n; i++) {
        if (!is_upper(s.p[i]) && !(s.p[i] >= '0' && s.p[i] <= '9'))
            return false;
    }
    return true;
}
