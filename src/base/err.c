/* err.c - see err.h. */
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

#undef err_set
#undef err_reason

static void fill(struct err *err, int code, const char *reason, const char *format, va_list args)
{
    if (!err)
        return;
    /* The arguments may point into *err itself when context is added. The text has room for one
     * byte more, which tells whether a character ends where it is cut. */
    char text[sizeof err->text + 1], word[sizeof err->reason];
    vsnprintf(text, sizeof text, format, args);
    snprintf(word, sizeof word, "%s", reason);
    struct str head = str_utf8_head(str_of(text), sizeof err->text - 1);
    err->code = code;
    memcpy(err->reason, word, sizeof word);
    memcpy(err->text, head.p, head.n);
    err->text[head.n] = '\0';
}

int err_set(struct err *err, int code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fill(err, code, "", format, args);
    va_end(args);
    return code;
}

int err_reason(struct err *err, int code, const char *reason, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fill(err, code, reason, format, args);
    va_end(args);
    return code;
}

void bug(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("lov: bug: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    abort();
}

void *mem_alloc(size_t size)
{
    void *p = malloc(size ? size : 1);
    if (!p)
        bug("out of memory (%zu bytes)", size);
    return p;
}

void *mem_zero(size_t size)
{
    void *p = calloc(1, size ? size : 1);
    if (!p)
        bug("out of memory (%zu bytes)", size);
    return p;
}

void *mem_grow(void *p, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes))
        bug("array size overflow");
    void *grown = realloc(p, bytes ? bytes : 1);
    if (!grown)
        bug("out of memory (%zu bytes)", bytes);
    return grown;
}
