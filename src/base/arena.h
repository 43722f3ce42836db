/*
 * arena.h - memory that is freed all at once, when the request (or the policy, or the command) that
 * it was made for ends. Nothing taken from an arena is freed by hand. One thread at a time.
 */
#ifndef LOV_BASE_ARENA_H
#define LOV_BASE_ARENA_H

#include <stddef.h>

#include "base/str.h"

struct arena {
    struct arena_block *head;
};

#define _cleanup_arena __attribute__((cleanup(arena_free)))

/* Zeroed memory, aligned for any type. */
void *arena_alloc(struct arena *a, size_t size) __attribute__((returns_nonnull));
void *arena_array(struct arena *a, size_t count, size_t size) __attribute__((returns_nonnull));
/* A copy with a NUL behind it. */
struct str arena_str(struct arena *a, struct str s);
char *arena_cstr(struct arena *a, struct str s);
struct str arena_printf(struct arena *a, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void arena_free(struct arena *a);
/* The same, but for a first small block, which the next request then need not ask for. */
void arena_reset(struct arena *a);

#endif
