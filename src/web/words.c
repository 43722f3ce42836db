/* words.c - the difference of two texts, word by word: the longest common subsequence, after what
 * is the same at both ends is set aside. Texts that differ too much to be compared in bounded
 * memory are shown one after the other. */
#include <stdlib.h>
#include <string.h>

#include "web/private.h"

enum { WORDS_MOST = 20000, CELLS_MOST = 4000000 };

struct word_list {
    struct str *items;
    size_t count;
};

/* Words; an empty line is the word "\n". Front matter is left out, and the marks of headings. */
static struct word_list split(struct str text)
{
    struct word_list w = {mem_zero((WORDS_MOST + 1) * sizeof(struct str)), 0};
    struct str rest = text;
    if (str_starts(text, STR("---\n"))) {
        const char *end = memmem(text.p + 4, text.n - 4, "\n---\n", 5);
        if (end)
            rest = (struct str){end + 5, text.n - (size_t)(end + 5 - text.p)};
    }
    while (rest.n && w.count < WORDS_MOST - 1) {
        struct str line = str_trim(str_cut(&rest, '\n'));
        if (!line.n && w.count)
            w.items[w.count++] = STR("\n");
        while (line.n && w.count < WORDS_MOST - 1) {
            struct str one = str_cut(&line, ' ');
            if (one.n && one.p[0] != '#')
                w.items[w.count++] = one;
        }
    }
    return w;
}

static void put_words(const struct str *words, size_t count, const char *tag, struct buf *out)
{
    for (size_t i = 0; i < count; i++) {
        if (str_is(words[i], "\n")) {
            buf_cstr(out, "<br><br>");
            continue;
        }
        if (tag)
            buf_printf(out, "<%s>", tag);
        html_escape(words[i], out);
        if (tag)
            buf_printf(out, "</%s>", tag);
        buf_char(out, ' ');
    }
}

/* lengths[i][j]: of the longest common subsequence of what is left from a[i] and b[j]. */
static uint16_t *measure(const struct str *a, size_t n, const struct str *b, size_t m)
{
    uint16_t *table = mem_zero((n + 1) * (m + 1) * sizeof *table);
    for (size_t i = n; i-- > 0;) {
        for (size_t j = m; j-- > 0;) {
            uint16_t *cell = &table[i * (m + 1) + j];
            uint16_t down = cell[m + 1], right = cell[1];
            if (str_eq(a[i], b[j]))
                *cell = (uint16_t)(cell[m + 2] + 1);
            else
                *cell = down >= right ? down : right;
        }
    }
    return table;
}

static void put_middle(const struct str *a, size_t n, const struct str *b, size_t m,
                       struct buf *out)
{
    if (n && m > CELLS_MOST / n) {
        put_words(a, n, "del", out);
        put_words(b, m, "ins", out);
        return;
    }
    uint16_t *table = measure(a, n, b, m);
    size_t i = 0, j = 0;
    while (i < n || j < m) {
        bool same = i < n && j < m && str_eq(a[i], b[j]);
        if (same) {
            put_words(&a[i++], 1, NULL, out);
            j++;
        } else if (j == m ||
                   (i < n && table[(i + 1) * (m + 1) + j] >= table[i * (m + 1) + j + 1])) {
            put_words(&a[i++], 1, "del", out);
        } else {
            put_words(&b[j++], 1, "ins", out);
        }
    }
    free(table);
}

void word_diff(struct str before, struct str after, struct buf *out)
{
    struct word_list a = split(before), b = split(after);
    size_t head = 0, tail = 0;
    while (head < a.count && head < b.count && str_eq(a.items[head], b.items[head]))
        head++;
    while (tail < a.count - head && tail < b.count - head &&
           str_eq(a.items[a.count - 1 - tail], b.items[b.count - 1 - tail]))
        tail++;
    put_words(a.items, head, NULL, out);
    put_middle(a.items + head, a.count - head - tail, b.items + head, b.count - head - tail, out);
    put_words(a.items + a.count - tail, tail, NULL, out);
    free(a.items);
    free(b.items);
}
