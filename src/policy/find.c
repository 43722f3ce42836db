/* find.c - findings of the linter, and the comparing of words that people wrote. A spelling is
 * suggested when it is at most two edits away (Levenshtein), which is what a slip of the finger
 * makes; more would suggest nonsense for short words. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/draft.h"

enum { MAX_WORD = 64 };

__attribute__((format(printf, 6, 0))) static void add(struct draft *d,
                                                      enum policy_severity severity,
                                                      struct str file, int line, const char *rule,
                                                      const char *format, va_list args)
{
    struct policy_findings *f = d->findings;
    if (severity == POLICY_ERROR)
        f->errors++;
    if (f->count == MAX_FINDINGS)
        return;
    if (f->count == f->cap) {
        f->cap = f->cap ? f->cap * 2 : 16;
        f->items = mem_grow(f->items, f->cap, sizeof *f->items);
    }
    char text[512];
    vsnprintf(text, sizeof text, format, args);
    struct str shown = str_of(text);
    while (shown.n && !str_utf8_valid(shown))
        shown.n--;
    f->items[f->count++] = (struct policy_finding){severity, arena_str(&f->arena, file), line, rule,
                                                   arena_str(&f->arena, shown)};
}

void find(struct draft *d, enum policy_severity severity, struct str file, int line,
          const char *rule, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    add(d, severity, file, line, rule, format, args);
    va_end(args);
}

void find_error(struct draft *d, struct str file, int line, const char *rule, const char *format,
                ...)
{
    va_list args;
    va_start(args, format);
    add(d, POLICY_ERROR, file, line, rule, format, args);
    va_end(args);
}

static int in_reading_order(const void *a, const void *b)
{
    const struct policy_finding *x = a, *y = b;
    int order = str_cmp(x->file, y->file);
    if (order == 0)
        order = (x->line > y->line) - (x->line < y->line);
    if (order == 0)
        order = strcmp(x->rule, y->rule);
    return order ? order : str_cmp(x->text, y->text);
}

void findings_sort(struct policy_findings *f)
{
    if (f->count)
        qsort(f->items, f->count, sizeof *f->items, in_reading_order);
}

void policy_findings_free(struct policy_findings *f)
{
    arena_free(&f->arena);
    free(f->items);
    *f = (struct policy_findings){0};
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t edits(struct str a, struct str b)
{
    size_t row[MAX_WORD + 1];
    for (size_t j = 0; j <= b.n; j++)
        row[j] = j;
    for (size_t i = 1; i <= a.n; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b.n; j++) {
            size_t changed = diagonal + (a.p[i - 1] != b.p[j - 1]);
            diagonal = row[j];
            row[j] = least(changed, least(row[j], row[j - 1]) + 1);
        }
    }
    return row[b.n];
}

static bool is_near(struct str typed, struct str word, size_t *best)
{
    if (typed.n > MAX_WORD || word.n > MAX_WORD)
        return false;
    size_t distance = edits(typed, word);
    if (distance >= *best || distance * 2 > word.n)
        return false;
    *best = distance;
    return true;
}

const char *find_nearest(struct str typed, const char *const *words, size_t count)
{
    const char *nearest = NULL;
    size_t best = 3;
    for (size_t i = 0; i < count; i++) {
        if (is_near(typed, str_of(words[i]), &best))
            nearest = words[i];
    }
    return nearest;
}

struct str find_hint(struct draft *d, struct str typed, const struct str *words, size_t count)
{
    struct str nearest = {0};
    size_t best = 3;
    for (size_t i = 0; i < count; i++) {
        if (is_near(typed, words[i], &best))
            nearest = words[i];
    }
    if (!nearest.n)
        return STR("");
    return arena_printf(d->scratch, " (did you mean %.*s?)", STR_ARG(nearest));
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* ASCII and the Latin-1 letters U+00C0-U+00DE, whose lower case differs in one bit of the second
 * UTF-8 byte; other letters compare as they are. */
struct str text_fold(struct arena *arena, struct str text)
{
    text = str_trim(text);
    char *out = arena_alloc(arena, text.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        unsigned char byte = (unsigned char)c;
        if (is_space(c)) {
            if (n && out[n - 1] != ' ')
                out[n++] = ' ';
        } else if (c >= 'A' && c <= 'Z') {
            out[n++] = (char)(c + 32);
        } else if (i && text.p[i - 1] == '\xc3' && byte >= 0x80 && byte <= 0x9e && byte != 0x97) {
            out[n++] = (char)(byte + 32);
        } else {
            out[n++] = c;
        }
    }
    return (struct str){out, n};
}

static bool is_word_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (unsigned char)c >= 0x80;
}

bool text_has_phrase(struct str text, struct str phrase)
{
    if (!phrase.n)
        return false;
    for (size_t i = 0; i + phrase.n <= text.n; i++) {
        const char *at = memchr(text.p + i, phrase.p[0], text.n - i - phrase.n + 1);
        if (!at)
            return false;
        i = (size_t)(at - text.p);
        bool left = i == 0 || !is_word_byte(text.p[i - 1]);
        bool right = i + phrase.n == text.n || !is_word_byte(text.p[i + phrase.n]);
        if (left && right && memcmp(at, phrase.p, phrase.n) == 0)
            return true;
    }
    return false;
}
