/*
 * err.h - how functions fail.
 *
 * A function that can fail returns 0 or one of the negative codes of enum lov_error and takes a
 * struct err last: it holds a sentence for a person (what happened, to what, what to do) and a
 * stable reason word for a program. Nothing personal or secret goes into either. Expected refusals
 * (deny, not found, conflict) that a caller may want to show use the same struct.
 */
#ifndef LOV_BASE_ERR_H
#define LOV_BASE_ERR_H

#include <stddef.h>

#include "lov.h" /* enum lov_error */

struct err {
    int code;
    char reason[48]; /* e.g. "notice_not_in_force"; "" where the code says it all */
    char text[464];
};

/* Fills *err (which may be NULL) and returns `code`. Text that does not fit is cut. */
int err_set(struct err *err, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The same with a reason word. */
int err_reason(struct err *err, int code, const char *reason, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#ifdef __clang_analyzer__
/* It does not look into err.c: so that it knows that what is returned is no success. */
#define err_set(err, code, ...) (err_set(err, code, __VA_ARGS__), (code))
#define err_reason(err, code, ...) (err_reason(err, code, __VA_ARGS__), (code))
#endif

/* A broken invariant: says so on stderr and stops the process (a wrong answer is worse). */
void bug(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn, cold));

/* malloc and friends that never return NULL. */
void *mem_alloc(size_t size) __attribute__((malloc, returns_nonnull));
void *mem_zero(size_t size) __attribute__((malloc, returns_nonnull));
/* An array of `count` items of `size` bytes, grown from `p`; overflow of the product is a bug. */
void *mem_grow(void *p, size_t count, size_t size) __attribute__((returns_nonnull));

#endif
