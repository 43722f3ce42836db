/* sets_slot.c - one set of numbers within a segment, in the form that takes least room for its
 * size (the idea is Roaring's: Chambi, Lemire, Kaser, Godin 2016), and the room for them. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/str.h"
#include "consent/sets.h"

enum { UNIT = 16, ARRAY_MOST = 4096, ARRAY_AGAIN = 3072, STEP = 16 << 20, BITS_CLASS = 18 };
static const uint64_t MOST = (uint64_t)1 << 36; /* 2^32 units */

/* Sizes in bytes: a half more at each step wastes a quarter at most. */
static const uint16_t class_size[REGION_CLASSES] = {
    16,  32,   48,   64,   96,   128,  192,  256,  384,  512,
    768, 1024, 1536, 2048, 3072, 4096, 6144, 7168, 8192,
};

/* ---- room ---- */

bool region_open(struct region *r, const char *dir)
{
    *r = (struct region){.fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600)};
    if (r->fd < 0) { /* a file system that has no files without a name */
        _cleanup_buf struct buf path = {0};
        buf_printf(&path, "%s/permits.sets", dir);
        unlink(path.p);
        r->fd = open(path.p, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        unlink(path.p);
    }
    if (r->fd < 0)
        return false;
    void *p = mmap(NULL, MOST, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, r->fd, 0);
    if (p == MAP_FAILED) {
        close(r->fd);
        r->fd = -1;
        return false;
    }
    madvise(p, MOST, MADV_DONTDUMP);
    r->base = p;
    region_reset(r);
    return true;
}

void region_close(struct region *r)
{
    if (r->base)
        munmap(r->base, MOST);
    if (r->fd >= 0)
        close(r->fd);
    *r = (struct region){.fd = -1};
}

void region_reset(struct region *r)
{
    r->used = UNIT; /* so that no block is unit 0 */
    memset(r->free, 0, sizeof r->free);
}

/* Whatever is written was allocated before, since a page without a place on the disk would end this
 * process with SIGBUS; and beyond the limit of a file there is SIGXFSZ. */
static bool extend(struct region *r, uint64_t bytes)
{
    struct rlimit limit;
    uint64_t to = (bytes / STEP + 1) * STEP;
    if (bytes <= r->allocated)
        return true;
    if (to > MOST || (getrlimit(RLIMIT_FSIZE, &limit) == 0 && to > limit.rlim_cur))
        return false;
    int rc;
    do
        rc = fallocate(r->fd, 0, (off_t)r->allocated, (off_t)(to - r->allocated));
    while (rc != 0 && errno == EINTR);
    if (rc != 0 && (errno != EOPNOTSUPP || ftruncate(r->fd, (off_t)to) != 0))
        return false;
    r->allocated = to;
    return true;
}

static uint8_t *at(const struct region *r, uint32_t ref)
{
    return r->base + (uint64_t)ref * UNIT;
}

static uint32_t take(struct region *r, int class)
{
    uint32_t ref = r->free[class];
    if (ref) {
        memcpy(&r->free[class], at(r, ref), sizeof ref);
        return ref;
    }
    if (!extend(r, r->used + class_size[class]))
        return 0;
    ref = (uint32_t)(r->used / UNIT);
    r->used += class_size[class];
    return ref;
}

static void give(struct region *r, uint32_t ref, int class)
{
    memcpy(at(r, ref), &r->free[class], sizeof ref);
    r->free[class] = ref;
}

static int class_for(uint32_t count)
{
    int class = 0;
    while (class_size[class] < count * sizeof(uint16_t))
        class ++;
    return class;
}

/* ---- forms ---- */

static uint16_t *array_of(const struct region *r, const struct slot *s)
{
    return (uint16_t *)(void *)at(r, s->ref);
}

static struct bits *bits_of(const struct region *r, const struct slot *s)
{
    return (struct bits *)(void *)at(r, s->ref);
}

void slot_free(struct region *r, struct slot *s)
{
    if (s->ref)
        give(r, s->ref, s->class);
    s->ref = 0;
    s->count = 0;
}

/* Another block for the slot; its content is the caller's to write. 0: no room. */
static uint32_t new_block(struct region *r, struct slot *s, int class)
{
    uint32_t ref = take(r, class);
    if (!ref)
        return 0;
    if (s->ref)
        give(r, s->ref, s->class);
    s->ref = ref;
    s->class = (uint8_t) class;
    return ref;
}

static void set_all(struct bits *b, const uint16_t *numbers, uint32_t count)
{
    memset(b, 0, sizeof *b);
    for (uint32_t i = 0; i < count; i++)
        bits_add(b, numbers[i]);
}

bool slot_fill(struct region *r, struct slot *s, const uint16_t *numbers, uint32_t count)
{
    s->count = count;
    s->ref = 0;
    s->form = count == SEGMENT ? SLOT_ALL : count > ARRAY_MOST ? SLOT_BITS : SLOT_ARRAY;
    if (s->form == SLOT_ALL)
        return true;
    if (!new_block(r, s, s->form == SLOT_BITS ? BITS_CLASS : class_for(count)))
        return false;
    if (s->form == SLOT_BITS)
        set_all(bits_of(r, s), numbers, count);
    else
        memcpy(array_of(r, s), numbers, count * sizeof *numbers);
    return true;
}

static bool to_bits(struct region *r, struct slot *s)
{
    struct bits b;
    set_all(&b, array_of(r, s), s->count);
    if (!new_block(r, s, BITS_CLASS))
        return false;
    *bits_of(r, s) = b;
    s->form = SLOT_BITS;
    return true;
}

static bool to_array(struct region *r, struct slot *s)
{
    uint16_t numbers[ARRAY_AGAIN];
    const struct bits *b = bits_of(r, s);
    uint32_t n = 0;
    for (uint32_t i = 0; i < SEGMENT_WORDS; i++)
        for (uint64_t w = b->w[i]; w; w &= w - 1)
            numbers[n++] = (uint16_t)(i * 64 + (uint32_t)__builtin_ctzll(w));
    if (!new_block(r, s, class_for(n)))
        return false;
    memcpy(array_of(r, s), numbers, n * sizeof *numbers);
    s->form = SLOT_ARRAY;
    return true;
}

/* Where the number is in the array, or would be. */
static uint32_t place_in(const uint16_t *a, uint32_t count, uint16_t number)
{
    uint32_t low = 0, high = count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (a[middle] < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool add_to_array(struct region *r, struct slot *s, uint16_t number)
{
    uint16_t *a = array_of(r, s);
    uint32_t i = place_in(a, s->count, number);
    if (i < s->count && a[i] == number)
        return true;
    if ((s->count + 1) * sizeof *a > class_size[s->class]) {
        struct slot old = *s;
        uint32_t ref = take(r, class_for(s->count + 1));
        if (!ref)
            return false;
        memcpy(at(r, ref), a, s->count * sizeof *a);
        give(r, old.ref, old.class);
        s->ref = ref;
        s->class = (uint8_t)class_for(s->count + 1);
        a = array_of(r, s);
    }
    memmove(a + i + 1, a + i, (s->count - i) * sizeof *a);
    a[i] = number;
    s->count++;
    return true;
}

bool slot_add(struct region *r, struct slot *s, uint16_t number)
{
    if (s->form == SLOT_ALL)
        return true;
    if (s->form == SLOT_ARRAY && s->count == 0 && !s->ref)
        return slot_fill(r, s, &number, 1);
    if (s->form == SLOT_ARRAY && s->count >= ARRAY_MOST && !to_bits(r, s))
        return false;
    if (s->form == SLOT_ARRAY)
        return add_to_array(r, s, number);
    if (bits_has(bits_of(r, s), number))
        return true;
    bits_add(bits_of(r, s), number);
    if (++s->count == SEGMENT) {
        slot_free(r, s);
        s->form = SLOT_ALL;
        s->count = SEGMENT;
    }
    return true;
}

bool slot_remove(struct region *r, struct slot *s, uint16_t number)
{
    if (s->form == SLOT_ALL) {
        if (!new_block(r, s, BITS_CLASS))
            return false;
        memset(bits_of(r, s), 0xFF, sizeof(struct bits));
        s->form = SLOT_BITS;
    }
    if (s->form == SLOT_BITS) {
        if (!bits_has(bits_of(r, s), number))
            return true;
        bits_of(r, s)->w[number >> 6] &= ~((uint64_t)1 << (number & 63));
        return --s->count >= ARRAY_AGAIN || to_array(r, s);
    }
    uint16_t *a = array_of(r, s);
    uint32_t i = s->count ? place_in(a, s->count, number) : 0;
    if (i == s->count || a[i] != number)
        return true;
    memmove(a + i, a + i + 1, (s->count - i - 1) * sizeof *a);
    if (--s->count == 0)
        slot_free(r, s);
    return true;
}

static void or_bits(const struct bits *restrict from, struct bits *restrict b)
{
    for (uint32_t i = 0; i < SEGMENT_WORDS; i++)
        b->w[i] |= from->w[i];
}

void slot_or(const struct region *r, const struct slot *s, struct bits *b)
{
    if (s->form == SLOT_ALL) {
        memset(b, 0xFF, sizeof *b);
    } else if (s->form == SLOT_BITS) {
        or_bits(bits_of(r, s), b);
    } else {
        const uint16_t *a = s->count ? array_of(r, s) : NULL;
        for (uint32_t i = 0; i < s->count; i++)
            bits_add(b, a[i]);
    }
}
