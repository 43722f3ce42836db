/* mapping.c - see mapping.h. */
#include "permit/mapping.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "permit/guard.h"

enum { TRIES = 1000 };

static int fail(int code, char *error, size_t size, const char *path, const char *what)
{
    if (error && size)
        snprintf(error, size, "%s: %s", path, what);
    return code;
}

/* The file itself, or permits.idx in the folder. */
static int open_file(const char *path, struct stat *st)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, st) != 0 || !S_ISDIR(st->st_mode))
        return fd;
    int inside = openat(fd, "permits.idx", O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    int why = errno;
    close(fd);
    errno = why;
    if (inside >= 0 && fstat(inside, st) != 0) {
        close(inside);
        return -1;
    }
    return inside;
}

static int map(struct mapping *m, int fd, const struct stat *st, const char **what)
{
    *what = "not a file";
    if (!S_ISREG(st->st_mode))
        return LOV_ECORRUPT;
    *what = "too short for a permit index";
    if (st->st_size < (off_t)sizeof(struct permit_header))
        return LOV_ECORRUPT;
    m->size = (size_t)st->st_size;
    void *p = mmap(NULL, m->size, PROT_READ, MAP_SHARED | MAP_NORESERVE, fd, 0);
    if (p == MAP_FAILED) {
        *what = strerror(errno);
        return LOV_EIO;
    }
    m->base = p;
    *what = "too many permit indexes are open";
    if (!guard_add(m->base, m->size, &m->broken))
        return LOV_ELIMIT;
    int rc = permit_map_init(m->base, m->size, &m->map, what);
    if (rc)
        return rc;
    madvise(m->base, m->size, MADV_DONTDUMP);
    cmac_key_init(&m->lookup_key, m->map.header->fixed.lookup_key, true);
    m->device = st->st_dev;
    m->inode = st->st_ino;
    return 0;
}

static void free_policy(struct reading_policy *p)
{
    free(p->image);
    free(p->named);
    free(p->names);
    free(p);
}

int mapping_open(const char *path, struct mapping **out, char *error, size_t size)
{
    struct stat st;
    const char *what = "";
    int fd = open_file(path, &st);
    if (fd < 0)
        return fail(errno == ENOENT || errno == ENOTDIR ? LOV_ENOTFOUND : LOV_EIO, error, size,
                    path, strerror(errno));
    struct mapping *m = calloc(1, sizeof *m);
    int rc = m ? map(m, fd, &st, &what) : LOV_EIO;
    close(fd);
    if (rc) {
        rc = fail(rc, error, size, path, m ? what : "out of memory");
        mapping_close(m);
        return rc;
    }
    *out = m;
    return 0;
}

void mapping_close(struct mapping *m)
{
    while (m) {
        struct mapping *older = m->older;
        struct reading_policy *p = atomic_load_explicit(&m->policy, memory_order_relaxed);
        while (p) {
            struct reading_policy *next = p->older;
            free_policy(p);
            p = next;
        }
        if (m->base) {
            guard_remove(m->base);
            munmap(m->base, m->size);
        }
        free(m);
        m = older;
    }
}

bool mapping_is_replaced(const struct mapping *m, const char *path)
{
    struct stat st;
    int fd = open_file(path, &st);
    if (fd < 0)
        return false;
    close(fd);
    return st.st_dev != m->device || st.st_ino != m->inode || (size_t)st.st_size != m->size;
}

/* ---- the policy ---- */

static void copy_words(void *to, const _Atomic uint64_t *from, size_t bytes)
{
    for (size_t i = 0; i < bytes; i += 8) {
        uint64_t w = word_get(from + i / 8);
        memcpy((char *)to + i, &w, bytes - i < 8 ? bytes - i : 8);
    }
}

/* A copy of what lies in the section; NULL where that is no policy, which is an answer too. */
static struct image *copy_image(const struct mapping *m, uint64_t epoch)
{
    const _Atomic uint64_t *from = m->map.policy[epoch & 1];
    uint64_t room = m->map.policy_room[epoch & 1];
    struct image head;
    if (room < sizeof head)
        return NULL;
    copy_words(&head, from, sizeof head);
    if (memcmp(head.magic, IMAGE_MAGIC, sizeof head.magic) != 0 || head.size > room ||
        head.size < sizeof head)
        return NULL;
    struct image *image = malloc(((size_t)head.size + 7) & ~(size_t)7);
    if (!image)
        return NULL;
    copy_words(image, from, head.size);
    if (image_check(image, head.size))
        return image;
    free(image);
    return NULL;
}

/* ---- its uses by name ---- */

/* Cut at a length that no question has: whoever looks for it compared the whole before. */
static size_t name_length(const struct image_text *t)
{
    return t->length < LONGEST_NAME + 1 ? t->length : LONGEST_NAME + 1;
}

static bool is_short(size_t length)
{
    return length + 1 >= sizeof(uint64_t) && length + 1 <= 2 * sizeof(uint64_t);
}

static struct named_text name(const struct image *i, const struct image_text *t, char **at)
{
    struct named_text out = {.text = *at};
    size_t n = name_length(t);
    memcpy(*at, (const char *)i + i->strings.offset + t->offset, n);
    (*at)[n] = '\0';
    *at += n + 1;
    if (is_short(n)) {
        out.last_at = n + 1 - sizeof *out.ends;
        memcpy(&out.ends[0], out.text, sizeof *out.ends);
        memcpy(&out.ends[1], out.text + out.last_at, sizeof *out.ends);
    }
    return out;
}

static size_t names_size(const struct image *i)
{
    const struct image_use *u = IMAGE_AT(i, uses, struct image_use);
    const struct image_recipient *r = IMAGE_AT(i, recipients, struct image_recipient);
    size_t n = 1;
    for (uint32_t k = 0; k < i->uses.count; k++, u++)
        n += name_length(&r[u->recipient].name) + name_length(&u->purpose) +
             name_length(&u->category) + 3;
    return n;
}

/* False where memory is short. */
static bool name_uses(struct reading_policy *p)
{
    /* Since the day began, so that it holds for all of it. */
    p->grown = permit_now() / DAY_MS * DAY_MS;
    const struct image *i = p->image;
    const struct image_use *u = IMAGE_AT(i, uses, struct image_use);
    const struct image_recipient *r = IMAGE_AT(i, recipients, struct image_recipient);
    p->named =
        aligned_alloc(_Alignof(struct named_use), ((size_t)i->uses.count + 1) * sizeof *p->named);
    char *at = p->names = malloc(names_size(i));
    if (!p->named || !at)
        return false;
    for (uint32_t k = 0; k < i->uses.count; k++, u++) {
        struct named_use *n = &p->named[k];
        n->policy = p;
        n->use = u;
        n->usable_until = permit_usable_until(&r[u->recipient]);
        const struct image_text *const names[] = {&r[u->recipient].name, &u->purpose, &u->category};
        n->are_short = true;
        for (int j = 0; j < 3; j++) {
            n->are_short &= is_short(name_length(names[j]));
            n->names[j] = name(i, names[j], &at);
        }
        usual_of(i, u, p->grown, &n->usual);
    }
    return true;
}

struct reading_policy *mapping_read_policy(struct mapping *m)
{
    struct reading_policy *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    for (int i = 0; i < TRIES; i++) {
        uint64_t epoch = atomic_load_explicit(&m->map.header->epoch, memory_order_acquire);
        p->image = copy_image(m, epoch);
        atomic_thread_fence(memory_order_acquire);
        if (word_get(&m->map.header->epoch) == epoch) {
            p->epoch = epoch;
            if (p->image && !name_uses(p))
                break;
            p->older = atomic_load_explicit(&m->policy, memory_order_relaxed);
            atomic_store_explicit(&m->policy, p, memory_order_release);
            return p;
        }
        free(p->image);
        p->image = NULL;
    }
    free_policy(p);
    return NULL;
}
