/* csv.c - a reader of RFC 4180 that refuses what the RFC does not allow: a quote inside a cell that
 * is not quoted, text behind a closing quote, a carriage return without a line feed, a quote that
 * is never closed. Lines may end in LF alone. After a malformed row it goes on with the line after
 * the one on which the row began, so one stray quote costs one row and not the rest of the file. */
#include <string.h>

#include "cli/import.h"

void csv_start(struct csv *r, struct str text, char delimiter)
{
    *r = (struct csv){.text = text, .line = 1, .delimiter = delimiter};
    if (str_starts(text, STR("\xef\xbb\xbf")))
        r->at = 3;
}

/* A row under way: cells are put behind each other in `out`, unquoted. */
struct parsing {
    const struct csv *r;
    size_t at, end; /* end: of what a row may take */
    int64_t lines;
    struct buf out;
    size_t starts[COLUMN_MAX + 1];
    size_t count;
    const char *wrong;
};

static bool wrong(struct parsing *p, const char *what)
{
    p->wrong = what;
    return false;
}

static int peek(const struct parsing *p, size_t ahead)
{
    size_t at = p->at + ahead;
    return at < p->r->text.n ? (unsigned char)p->r->text.p[at] : -1;
}

static bool at_end_of_cell(const struct parsing *p)
{
    int c = peek(p, 0);
    return c == -1 || c == p->r->delimiter || c == '\n' || (c == '\r' && peek(p, 1) == '\n');
}

static bool read_quoted(struct parsing *p)
{
    for (p->at++; p->at < p->end; p->at++) {
        int c = peek(p, 0);
        if (c == '"' && peek(p, 1) != '"') {
            p->at++;
            return at_end_of_cell(p) || wrong(p, "there is text behind a closing quote");
        }
        if (c == '"')
            p->at++;
        p->lines += c == '\n';
        buf_char(&p->out, (char)c);
    }
    return wrong(p, p->end < p->r->text.n ? "the row is longer than 1 MiB, or a quote is not closed"
                                          : "a quote is not closed");
}

static bool read_plain(struct parsing *p)
{
    size_t start = p->at;
    while (!at_end_of_cell(p)) {
        int c = peek(p, 0);
        if (p->at >= p->end)
            return wrong(p, "the row is longer than 1 MiB");
        if (c == '"')
            return wrong(p, "there is a quote inside a cell that is not quoted");
        if (c == '\r')
            return wrong(p, "there is a carriage return without a line feed");
        p->at++;
    }
    buf_add(&p->out, p->r->text.p + start, p->at - start);
    return true;
}

static bool read_cells(struct parsing *p)
{
    for (;;) {
        if (p->count == COLUMN_MAX)
            return wrong(p, "the row has more than 256 columns");
        p->starts[p->count++] = p->out.n;
        if (!(peek(p, 0) == '"' ? read_quoted(p) : read_plain(p)))
            return false;
        if (peek(p, 0) != p->r->delimiter || p->at >= p->r->text.n)
            break;
        p->at++;
    }
    if (peek(p, 0) == '\r')
        p->at++;
    if (peek(p, 0) == '\n') {
        p->at++;
        p->lines++;
    }
    struct str all = buf_view(&p->out);
    return str_utf8_valid(all) || wrong(p, "the row is not UTF-8");
}

static void skip_line(struct csv *r)
{
    struct str rest = {r->text.p + r->at, r->text.n - r->at};
    size_t n = str_find(rest, '\n');
    r->at += n < rest.n ? n + 1 : n;
    r->line++;
}

static void skip_empty_lines(struct csv *r)
{
    while (r->at < r->text.n) {
        struct str rest = {r->text.p + r->at, r->text.n - r->at};
        if (rest.p[0] != '\n' && !str_starts(rest, STR("\r\n")))
            return;
        skip_line(r);
    }
}

static struct str *cells_of(struct parsing *p, struct arena *arena)
{
    struct str *cells = arena_array(arena, p->count, sizeof *cells);
    struct str all = arena_str(arena, buf_view(&p->out));
    p->starts[p->count] = all.n;
    for (size_t i = 0; i < p->count; i++)
        cells[i] = (struct str){all.p + p->starts[i], p->starts[i + 1] - p->starts[i]};
    return cells;
}

/* A line of words: what is written in columns of a fixed width. */
static int next_blanks(struct csv *r, struct arena *arena, struct str **cells, size_t *count,
                       int64_t *line, struct err *err)
{
    struct str text = {r->text.p + r->at, r->text.n - r->at};
    text.n = str_find(text, '\n');
    *line = r->line;
    skip_line(r);
    *count = 0;
    if (text.n > ROW_MAX)
        return err_reason(err, LOV_EINVAL, "malformed_row", "the row is longer than 1 MiB");
    if (!str_utf8_valid(text))
        return err_reason(err, LOV_EINVAL, "malformed_row", "the row is not UTF-8");
    *cells = arena_array(arena, COLUMN_MAX, sizeof **cells);
    for (size_t i = 0; i < text.n;) {
        size_t start = i;
        bool blank = strchr(" \t\r", text.p[i]) != NULL;
        while (i < text.n && (strchr(" \t\r", text.p[i]) != NULL) == blank)
            i++;
        if (blank)
            continue;
        if (*count == COLUMN_MAX)
            return err_reason(err, LOV_EINVAL, "malformed_row",
                              "the row has more than 256 columns");
        (*cells)[(*count)++] = (struct str){text.p + start, i - start};
    }
    return *count ? 1 : csv_next(r, arena, cells, count, line, err);
}

int csv_next(struct csv *r, struct arena *arena, struct str **cells, size_t *count, int64_t *line,
             struct err *err)
{
    skip_empty_lines(r);
    if (r->at == r->text.n)
        return 0;
    if (r->blanks)
        return next_blanks(r, arena, cells, count, line, err);
    size_t left = r->text.n - r->at;
    struct parsing p = {
        .r = r,
        .at = r->at,
        .end = r->at + (left < ROW_MAX ? left : ROW_MAX),
    };
    int rc = 1;
    *line = r->line;
    if (read_cells(&p)) {
        *cells = cells_of(&p, arena);
        *count = p.count;
        r->at = p.at;
        r->line += p.lines;
    } else {
        rc = err_reason(err, LOV_EINVAL, "malformed_row", "%s", p.wrong);
        skip_line(r);
    }
    buf_free(&p.out);
    return rc;
}
