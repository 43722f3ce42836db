/*
 * str.h - text that we do not own (struct str) and text that we build (struct buf).
 *
 * A str is a pointer and a length; it need not end in NUL and never owns what it points to.
 * A buf owns its memory, grows on demand, and always keeps a NUL behind its last byte, so that
 * buf.p may be handed to a C interface. Running out of memory stops the process (bug()).
 * None of this is shared between threads without a lock of the caller's.
 */
#ifndef LOV_BASE_STR_H
#define LOV_BASE_STR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct str {
    const char *p;
    size_t n;
};

#define STR(literal) ((struct str){(literal), sizeof(literal) - 1})
/* For printf: "%.*s", STR_ARG(s). */
#define STR_ARG(s) (int)(s).n, (s).p ? (s).p : ""

/* A str over a C string; NULL gives the empty str. */
static inline struct str str_of(const char *cstr)
{
    return (struct str){cstr, cstr ? strlen(cstr) : 0};
}
static inline bool str_eq(struct str a, struct str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}
static inline bool str_is(struct str a, const char *cstr)
{
    return str_eq(a, str_of(cstr));
}
bool str_starts(struct str s, struct str prefix);
bool str_ends(struct str s, struct str suffix);
/* Order of bytes, shorter first where one is a prefix: <0, 0, >0. */
int str_cmp(struct str a, struct str b);
/* Index of the first `c`, or s.n. */
size_t str_find(struct str s, char c);
/* Cuts `s` at the first `c`: returns what is before it, leaves the rest in *s (empty if none). */
struct str str_cut(struct str *s, char c);
struct str str_trim(struct str s);
/* A malloc'd, NUL-terminated copy; the caller frees it. */
char *str_dup(struct str s);

/* True if `s` is well-formed UTF-8 (Unicode §3.9, no surrogates, no overlong forms). */
bool str_utf8_valid(struct str s);
/* The longest head of at most `max` bytes that does not end inside a character of UTF-8. */
struct str str_utf8_head(struct str s, size_t max);
/* True if no byte is a control character (C0, DEL); `allow_lines` admits \n and \t. C1 controls
 * (U+0080-U+009F) count as control characters too. */
bool str_no_controls(struct str s, bool allow_lines);
/* A name as policy uses it: [a-z][a-z0-9_]*, at most 64 bytes. */
bool str_is_name(struct str s);
/* Whole decimal number in range; false (and *out untouched) otherwise. */
bool str_to_int(struct str s, int64_t min, int64_t max, int64_t *out);

struct buf {
    char *p;
    size_t n;
    size_t cap;
};

#define _cleanup_buf __attribute__((cleanup(buf_free)))

void buf_free(struct buf *b);
/* Empties without giving memory back. */
void buf_clear(struct buf *b);
void buf_grow(struct buf *b, size_t more);
/* These are here to be inlined: answers are built of many small pieces. */
static inline void buf_reserve(struct buf *b, size_t more)
{
    if (more >= b->cap - b->n)
        buf_grow(b, more);
}
static inline void buf_add(struct buf *b, const void *p, size_t n)
{
    buf_reserve(b, n);
    if (n)
        memcpy(b->p + b->n, p, n);
    b->n += n;
    b->p[b->n] = '\0';
}
static inline void buf_str(struct buf *b, struct str s)
{
    buf_add(b, s.p, s.n);
}
void buf_cstr(struct buf *b, const char *s);
static inline void buf_char(struct buf *b, char c)
{
    buf_reserve(b, 1);
    b->p[b->n++] = c;
    b->p[b->n] = '\0';
}
void buf_int(struct buf *b, int64_t v);
/* The texts with the separator between them; str_cut() takes them apart again. */
void buf_join(struct buf *b, const struct str *texts, size_t count, char separator);
void buf_printf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buf_vprintf(struct buf *b, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));
/* What was built, borrowed. */
struct str buf_view(const struct buf *b);

#endif
