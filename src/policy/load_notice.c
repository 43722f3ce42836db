/* load_notice.c - reads notices/<id>.<language>.md: YAML front matter between two lines of three
 * dashes, then Markdown. A section runs from a heading that controller.yaml names to the next
 * heading; its text is what a reader sees, without the marks. */
#include <cmark.h>
#include <stdlib.h>
#include <string.h>

#include "policy/draft.h"

struct front {
    struct str id, purpose;
    int version;
    bool material;
    int32_t effective;
};

bool notice_path(struct str path, struct str *id, struct str *language)
{
    if (!str_starts(path, STR("notices/")) || !str_ends(path, STR(".md")))
        return false;
    struct str rest = {path.p + strlen("notices/"), path.n - strlen("notices/.md")};
    *id = str_cut(&rest, '.');
    *language = rest;
    return str_is_name(*id) && rest.n >= 2 && rest.n <= 3 && str_find(rest, '/') == rest.n;
}

static int lines_in(struct str s)
{
    int lines = 0;
    for (size_t i = 0; i < s.n; i++)
        lines += s.p[i] == '\n';
    return lines;
}

/* Splits a file into front matter and body; false when it has no front matter. */
static bool split(struct str text, struct str *front, struct str *body)
{
    struct str rest = text;
    if (!str_is(str_trim(str_cut(&rest, '\n')), "---"))
        return false;
    front->p = rest.p;
    while (rest.n) {
        const char *start = rest.p;
        if (str_is(str_trim(str_cut(&rest, '\n')), "---")) {
            front->n = (size_t)(start - front->p);
            *body = rest;
            return true;
        }
    }
    return false;
}

static void add_text(cmark_node *node, struct buf *out)
{
    const char *literal = cmark_node_get_literal(node);
    cmark_node_type type = cmark_node_get_type(node);
    if (type == CMARK_NODE_SOFTBREAK || type == CMARK_NODE_LINEBREAK)
        buf_char(out, ' ');
    else if (literal && type != CMARK_NODE_HTML_BLOCK && type != CMARK_NODE_HTML_INLINE)
        buf_cstr(out, literal);
}

static struct str visible_text(struct arena *arena, cmark_node *block)
{
    struct buf text = {0};
    cmark_iter *iter = cmark_iter_new(block);
    cmark_event_type event;
    while ((event = cmark_iter_next(iter)) != CMARK_EVENT_DONE) {
        cmark_node *node = cmark_iter_get_node(iter);
        if (event == CMARK_EVENT_ENTER)
            add_text(node, &text);
        else if (cmark_node_get_type(node) == CMARK_NODE_PARAGRAPH)
            buf_char(&text, ' ');
    }
    cmark_iter_free(iter);
    struct str out = arena_str(arena, str_trim(buf_view(&text)));
    buf_free(&text);
    return out;
}

static void refuse_html(struct draft *d, struct str file, int offset, cmark_node *document)
{
    cmark_iter *iter = cmark_iter_new(document);
    cmark_event_type event;
    int line = 0;
    while ((event = cmark_iter_next(iter)) != CMARK_EVENT_DONE) {
        cmark_node *node = cmark_iter_get_node(iter);
        cmark_node_type type = cmark_node_get_type(node);
        if (cmark_node_get_start_line(node))
            line = cmark_node_get_start_line(node);
        if (event == CMARK_EVENT_ENTER &&
            (type == CMARK_NODE_HTML_BLOCK || type == CMARK_NODE_HTML_INLINE))
            find_error(d, file, line + offset, "notice_html",
                       "a notice holds no HTML: write it as Markdown");
    }
    cmark_iter_free(iter);
}

static int section_of(struct draft *d, size_t language, struct str heading)
{
    struct str folded = text_fold(d->scratch, heading);
    for (int i = 0; i < SECTION_COUNT; i++) {
        if (folded.n && str_eq(folded, d->section[language][i]))
            return i;
    }
    return -1;
}

static bool is_title(cmark_node *n)
{
    return cmark_node_get_type(n) == CMARK_NODE_HEADING && cmark_node_get_heading_level(n) == 1;
}

static void load_body(struct draft *d, struct str body, int offset, size_t language,
                      struct notice_draft *out, struct str *title)
{
    cmark_node *document = cmark_parse_document(body.p, body.n, CMARK_OPT_DEFAULT);
    struct buf text[SECTION_COUNT] = {{0}};
    int current = -1;
    for (cmark_node *n = cmark_node_first_child(document); n; n = cmark_node_next(n)) {
        struct str words = visible_text(d->scratch, n);
        if (cmark_node_get_type(n) == CMARK_NODE_HEADING) {
            current = section_of(d, language, words);
            if (current >= 0 && !out->heading_line[current])
                out->heading_line[current] = cmark_node_get_start_line(n) + offset;
            if (!title->n && is_title(n))
                *title = arena_str(d->arena, words);
        } else if (current >= 0) {
            buf_str(&text[current], words);
            buf_char(&text[current], ' ');
        }
    }
    for (int i = 0; i < SECTION_COUNT; i++) {
        out->section[i] = text_fold(d->scratch, buf_view(&text[i]));
        buf_free(&text[i]);
    }
    refuse_html(d, out->file, offset, document);
    cmark_node_free(document);
}

static const struct node *load_front(struct draft *d, struct str file, struct str text,
                                     struct front *out)
{
    static const struct member members[] = {
        {.name = "id", .kind = MEMBER_NAME, .offset = offsetof(struct front, id), .required = true},
        {.name = "version",
         .kind = MEMBER_INT,
         .offset = offsetof(struct front, version),
         .required = true,
         .min = 1,
         .max = 1000000},
        {.name = "purpose",
         .kind = MEMBER_NAME,
         .offset = offsetof(struct front, purpose),
         .required = true},
        {.name = "material",
         .kind = MEMBER_BOOL,
         .offset = offsetof(struct front, material),
         .required = true},
        {.name = "effective",
         .kind = MEMBER_DATE,
         .offset = offsetof(struct front, effective),
         .required = true},
    };
    struct node *root = NULL;
    struct node_problem problem;
    if (!node_parse(text, 2, d->arena, &root, &problem)) {
        find_error(d, file, problem.line, problem.rule, "%.*s", STR_ARG(problem.text));
        return NULL;
    }
    return take(d, file, root, members, 5, out) ? root : NULL;
}

static struct policy_notice *notice_named(struct draft *d, struct str id)
{
    struct policy *p = d->policy;
    for (size_t i = 0; i < p->notice_count; i++) {
        if (str_eq(p->notices[i].id, id))
            return &p->notices[i];
    }
    struct policy_notice *n = &p->notices[p->notice_count];
    *n = (struct policy_notice){.index = (uint32_t)p->notice_count++, .id = id};
    n->texts = arena_array(d->arena, MAX_LANGUAGES, sizeof *n->texts);
    n->text_count = p->language_count;
    for (size_t i = 0; i < p->language_count; i++)
        n->texts[i].language = p->languages[i];
    return n;
}

static void load_text(struct draft *d, const struct policy_file *file, struct str id,
                      size_t language)
{
    struct policy_notice *notice = notice_named(d, id);
    struct notice_draft *out = &d->notices[notice->index * MAX_LANGUAGES + language];
    struct policy_notice_text *text = &notice->texts[language];
    struct str front_text = {0}, body = {0};
    out->file = file->path;
    text->markdown = file->text;
    text->hash = sha256_of(file->text);
    if (!split(file->text, &front_text, &body)) {
        find_error(d, file->path, 1, "syntax",
                   "a notice begins with its members between two lines of ---");
        return;
    }
    struct front front = {0};
    const struct node *root = load_front(d, file->path, front_text, &front);
    if (!root)
        return;
    if (front.id.n && !str_eq(front.id, id))
        find_error(d, file->path, node_line(root, "id"), "file_name",
                   "the file of notice %.*s is notices/%.*s.%.*s.md", STR_ARG(front.id),
                   STR_ARG(front.id), STR_ARG(text->language));
    out->version_line = node_line(root, "version");
    out->purpose_line = node_line(root, "purpose");
    out->material_line = node_line(root, "material");
    out->version = front.version;
    out->purpose = front.purpose;
    out->material = front.material;
    load_body(d, body, lines_in(front_text) + 2, language, out, &text->title);
    if (!notice->version) {
        notice->version = front.version;
        notice->purpose = front.purpose;
        notice->material = front.material;
    }
}

struct str notice_title(struct arena *arena, struct str markdown)
{
    struct str front = {0}, body = markdown, title = {0};
    split(markdown, &front, &body);
    cmark_node *document = cmark_parse_document(body.p, body.n, CMARK_OPT_DEFAULT);
    for (cmark_node *n = cmark_node_first_child(document); n && !title.n; n = cmark_node_next(n))
        if (is_title(n))
            title = visible_text(arena, n);
    cmark_node_free(document);
    return title;
}

void load_notices(struct draft *d)
{
    struct policy *p = d->policy;
    p->notices = arena_array(d->arena, d->bundle->count + 1, sizeof *p->notices);
    d->notices =
        arena_array(d->scratch, (d->bundle->count + 1) * MAX_LANGUAGES, sizeof *d->notices);
    for (size_t i = 0; i < d->bundle->count; i++) {
        struct policy_file file = {arena_str(d->arena, d->bundle->files[i].path),
                                   arena_str(d->arena, d->bundle->files[i].text)};
        struct str id, language;
        if (!notice_path(file.path, &id, &language))
            continue;
        size_t n = 0;
        while (n < p->language_count && !str_eq(p->languages[n], language))
            n++;
        if (n == p->language_count)
            find_error(d, file.path, 0, "unknown_language",
                       "%.*s is not among the languages of controller.yaml", STR_ARG(language));
        else
            load_text(d, &file, id, n);
    }
}
