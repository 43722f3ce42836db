/* journal.c - see journal.h. The file keeps its size when it starts over, since overwriting is
 * cheaper to sync than growing. */
#include "db/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"

enum { BLOCK = 4096, VERSION = 1, SUM_BYTES = 24 };

struct frame {
    char magic[4];
    uint32_t version;
    uint64_t generation, place, length, zero;
    uint8_t sum[SUM_BYTES];
};

static const char magic[4] = {'L', 'O', 'V', 'J'};

struct journal {
    int fd;
    bool dead;
    uint64_t generation, place;
    int64_t at;
    char *frame; /* reused; in whole blocks, as writing past the page cache demands */
    size_t cap;
};

static size_t blocks(size_t n)
{
    return (n + BLOCK - 1) / BLOCK * BLOCK;
}

static void sum_of(const struct frame *head, struct str payload, uint8_t *out)
{
    struct str parts[] = {{(const char *)head, offsetof(struct frame, sum)}, payload};
    struct sha256 sum = sha256_parts(parts, 2);
    memcpy(out, sum.b, SUM_BYTES);
}

/* `n` bytes more, to be filled by the caller. */
static char *room(struct buf *b, size_t n)
{
    buf_reserve(b, n);
    b->n += n;
    return b->p + b->n - n;
}

/* ---- reading ---- */

static bool read_at(int fd, void *to, size_t n, int64_t at)
{
    for (size_t done = 0; done < n;) {
        ssize_t got = pread(fd, (char *)to + done, n - done, at + (int64_t)done);
        if (got == 0 || (got < 0 && errno != EINTR))
            return false;
        done += got > 0 ? (size_t)got : 0;
    }
    return true;
}

/* The frame at `at`, its payload in *payload; false where there is no whole one. */
static bool read_frame(int fd, int64_t at, struct frame *head, struct buf *payload)
{
    uint8_t sum[SUM_BYTES];
    if (!read_at(fd, head, sizeof *head, at) || memcmp(head->magic, magic, sizeof magic) != 0 ||
        head->version != VERSION || head->length > JOURNAL_BYTES)
        return false;
    buf_clear(payload);
    if (!read_at(fd, room(payload, head->length), head->length, at + (int64_t)sizeof *head))
        return false;
    sum_of(head, buf_view(payload), sum);
    return memcmp(sum, head->sum, sizeof sum) == 0;
}

static int each_entry(struct str payload, journal_entry *each, void *ctx)
{
    int rc = 0;
    while (rc == 0 && payload.n) {
        uint32_t n;
        if (payload.n < sizeof n)
            return LOV_ECORRUPT;
        memcpy(&n, payload.p, sizeof n);
        payload.p += sizeof n;
        payload.n -= sizeof n;
        if (n > payload.n)
            return LOV_ECORRUPT;
        rc = each(ctx, (struct str){payload.p, n});
        payload.p += n;
        payload.n -= n;
    }
    return rc;
}

static int read_frames(int fd, journal_entry *each, void *ctx, struct err *err)
{
    _cleanup_buf struct buf payload = {0};
    struct frame head;
    uint64_t generation = 0, place = 0;
    int rc = 0;
    for (int64_t at = 0; rc == 0 && read_frame(fd, at, &head, &payload); place++) {
        if (place == 0)
            generation = head.generation;
        if (head.generation != generation || head.place != place)
            break;
        rc = each_entry(buf_view(&payload), each, ctx);
        at += (int64_t)blocks(sizeof head + head.length);
    }
    return rc == LOV_ECORRUPT ? err_set(err, LOV_ECORRUPT, "the journal is damaged") : rc;
}

int journal_read(const char *path, journal_entry *each, void *ctx, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0
                               : err_set(err, LOV_EIO, "cannot open %s: %s", path, strerror(errno));
    int rc = read_frames(fd, each, ctx, err);
    close(fd);
    return rc;
}

/* ---- writing ---- */

/* Past the page cache: the processor's time for a sync is three quarters of what it is through it.
 */
static void write_directly(int fd, bool directly)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags >= 0)
        fcntl(fd, F_SETFL, directly ? flags | O_DIRECT : flags & ~O_DIRECT);
}

int journal_open(const char *path, struct journal **out, struct err *err)
{
    _cleanup_buf struct buf payload = {0};
    struct frame head;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return err_set(err, LOV_EIO, "cannot open %s: %s", path, strerror(errno));
    struct journal *j = mem_zero(sizeof *j);
    j->fd = fd;
    if (read_frame(fd, 0, &head, &payload))
        j->generation = head.generation;
    write_directly(fd, true);
    journal_restart(j);
    *out = j;
    return 0;
}

void journal_close(struct journal *j)
{
    if (!j)
        return;
    /* Nothing in it is needed: what it held does not lie there longer than it must. */
    if (journal_is_empty(j) && ftruncate(j->fd, 0) != 0)
        j->dead = true;
    close(j->fd);
    free(j->frame);
    free(j);
}

void journal_entry_add(struct buf *payload, struct str entry)
{
    uint32_t n = (uint32_t)entry.n;
    buf_add(payload, &n, sizeof n);
    buf_str(payload, entry);
}

static int write_all(int fd, struct str bytes, int64_t at)
{
    for (size_t done = 0; done < bytes.n;) {
        ssize_t n = pwrite(fd, bytes.p + done, bytes.n - done, at + (int64_t)done);
        if (n < 0 && errno == EINVAL && (fcntl(fd, F_GETFL) & O_DIRECT))
            write_directly(fd, false); /* not on this file system, or of larger blocks */
        else if (n < 0 && errno != EINTR)
            return -errno;
        else if (n > 0 && n % BLOCK)
            write_directly(fd, false); /* what is left does not begin with a block */
        done += n > 0 ? (size_t)n : 0;
    }
    return fdatasync(fd) == 0 ? 0 : -errno;
}

static void reserve(struct journal *j, size_t bytes)
{
    if (bytes <= j->cap)
        return;
    void *grown = NULL;
    j->cap = bytes > 2 * j->cap ? bytes : 2 * j->cap;
    free(j->frame);
    if (posix_memalign(&grown, BLOCK, j->cap) != 0)
        bug("out of memory (journal)");
    j->frame = grown;
}

int journal_append(struct journal *j, struct str payload, struct err *err)
{
    struct frame head = {
        .version = VERSION, .generation = j->generation, .place = j->place, .length = payload.n};
    size_t bytes = blocks(sizeof head + payload.n);
    if (j->dead)
        return err_set(err, LOV_EIO, "the journal failed before");
    if (j->at + (int64_t)bytes > JOURNAL_BYTES)
        return err_set(err, LOV_ELIMIT, "the journal is full");
    memcpy(head.magic, magic, sizeof magic);
    sum_of(&head, payload, head.sum);
    reserve(j, bytes);
    memcpy(j->frame, &head, sizeof head);
    if (payload.n)
        memcpy(j->frame + sizeof head, payload.p, payload.n);
    memset(j->frame + sizeof head + payload.n, 0, bytes - sizeof head - payload.n);
    int rc = write_all(j->fd, (struct str){j->frame, bytes}, j->at);
    if (rc) {
        j->dead = true;
        return err_set(err, LOV_EIO, "cannot write the journal: %s", strerror(-rc));
    }
    j->at += (int64_t)bytes;
    j->place++;
    return 0;
}

void journal_restart(struct journal *j)
{
    j->generation++;
    j->place = 0;
    j->at = 0;
}

bool journal_is_empty(const struct journal *j)
{
    return j->at == 0;
}
