/* arena.c - see arena.h. A list of blocks, each twice the one before up to 1 MiB; an item larger
 * than that has a block of its own. */
#include "base/arena.h"

#include <sanitizer/asan_interface.h>
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

enum { FIRST_BLOCK = 2048, LARGEST_BLOCK = 1 << 20 };

struct arena_block {
    struct arena_block *next;
    size_t size, used;
    alignas(max_align_t) char data[];
};

static size_t round_up(size_t size)
{
    size_t mask = alignof(max_align_t) - 1;
    if (__builtin_add_overflow(size, mask, &size))
        bug("arena size overflow");
    return size & ~mask;
}

static void add_block(struct arena *a, size_t least)
{
    size_t size = a->head ? a->head->size * 2 : FIRST_BLOCK;
    if (size > LARGEST_BLOCK)
        size = LARGEST_BLOCK;
    if (size < least)
        size = least;
    if (size > SIZE_MAX - sizeof(struct arena_block))
        bug("arena size overflow");
    struct arena_block *block = mem_alloc(sizeof *block + size);
    block->next = a->head;
    block->size = size;
    block->used = 0;
    a->head = block;
}

void *arena_alloc(struct arena *a, size_t size)
{
    size = round_up(size);
    if (!a->head || a->head->size - a->head->used < size)
        add_block(a, size);
    void *p = a->head->data + a->head->used;
    a->head->used += size;
    ASAN_UNPOISON_MEMORY_REGION(p, size);
    return memset(p, 0, size);
}

void *arena_array(struct arena *a, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes))
        bug("array size overflow");
    return arena_alloc(a, bytes);
}

char *arena_cstr(struct arena *a, struct str s)
{
    char *copy = arena_alloc(a, s.n + 1);
    if (s.n)
        memcpy(copy, s.p, s.n);
    return copy;
}

struct str arena_str(struct arena *a, struct str s)
{
    return (struct str){arena_cstr(a, s), s.n};
}

struct str arena_printf(struct arena *a, const char *format, ...)
{
    _cleanup_buf struct buf text = {0};
    va_list args;
    va_start(args, format);
    buf_vprintf(&text, format, args);
    va_end(args);
    return arena_str(a, buf_view(&text));
}

void arena_free(struct arena *a)
{
    while (a->head) {
        struct arena_block *next = a->head->next;
        free(a->head);
        a->head = next;
    }
}

void arena_reset(struct arena *a)
{
    while (a->head && (a->head->next || a->head->size > FIRST_BLOCK)) {
        struct arena_block *next = a->head->next;
        free(a->head);
        a->head = next;
    }
    if (!a->head)
        return;
    a->head->used = 0;
    /* Whoever still points into it is found as if it had been freed. */
    ASAN_POISON_MEMORY_REGION(a->head->data, a->head->size);
}
