/* index_file.c - the two files of the index: made, opened, held open, closed.
 *
 * permits.idx is sparse: it has its full size from the start, so that a reader maps it once and
 * never sees it move, and takes disk and memory only where something is. Whatever is written was
 * allocated before, since a page without a place on the disk would end this process with SIGBUS.
 *
 * Only the fixed part of the header and the fields that say how it was closed decide whether it can
 * be taken as it is. When in doubt it is emptied and filled again. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "consent/index_private.h"

enum { CHUNK = 1 << 20, FIRST_LINES = 1024, HUGE_FROM = 32 << 20, HUGE_PAGE = 2 << 20 };
static const uint64_t LARGEST = (uint64_t)1 << 37, SMALLEST = (uint64_t)1 << 31;
static const char CID_MAGIC[8] = "LOVCIDS";

struct cid_header {
    char magic[8];
    uint8_t installation[16];
    uint64_t pairing; /* the same as in permits.idx: these two were filled together */
};

/* ---- room ---- */

void index_break(struct index *ix, const char *what)
{
    if (index_is_broken(ix))
        return;
    atomic_store_explicit(&ix->h->state, PERMIT_BROKEN, memory_order_release);
    index_turn(ix);
    log_printf(
        ix->log, LOG_ERROR,
        "the permit index is out of use and every decision is unavailable: %s; make room and "
        "start again",
        what);
}

static bool allocate(struct index *ix, int fd, uint64_t offset, uint64_t *allocated, uint64_t bytes,
                     uint64_t most)
{
    if (bytes <= *allocated)
        return true;
    uint64_t step = *allocated / 8 > CHUNK ? *allocated / 8 : CHUNK;
    uint64_t to = bytes > *allocated + step ? bytes : *allocated + step;
    if (to > most)
        to = most;
    int rc;
    do
        rc = fallocate(fd, FALLOC_FL_KEEP_SIZE, (off_t)(offset + *allocated),
                       (off_t)(to - *allocated));
    while (rc != 0 && errno == EINTR);
    if (bytes > most || (rc != 0 && errno != EOPNOTSUPP)) {
        index_break(ix, bytes > most ? "a section of it is full" : "the disk is full");
        return false;
    }
    *allocated = to;
    return true;
}

bool index_room(struct index *ix, enum permit_section_id section, uint64_t bytes)
{
    const struct permit_section *s = &ix->h->fixed.section[section];
    if (index_is_broken(ix))
        return false;
    return allocate(ix, ix->fd, s->offset, &ix->allocated[section], bytes, s->size);
}

bool index_cid_room(struct index *ix, uint64_t count)
{
    uint64_t bytes = CIDS_AT + count * CID_WORDS * 4;
    if (index_is_broken(ix))
        return false;
    if (bytes >= HUGE_FROM)
        madvise(ix->cid_base, (bytes + HUGE_PAGE) & ~(uint64_t)(HUGE_PAGE - 1), MADV_HUGEPAGE);
    return allocate(ix, ix->cid_fd, 0, &ix->cid_allocated, bytes, ix->cid_size);
}

void index_want_huge(struct index *ix, enum permit_section_id section, uint64_t bytes)
{
    const struct permit_section *s = &ix->h->fixed.section[section];
    uint64_t whole = (bytes + HUGE_PAGE - 1) & ~(uint64_t)(HUGE_PAGE - 1);
    if (bytes >= HUGE_FROM && whole <= s->size)
        madvise(ix->base + s->offset, whole, MADV_HUGEPAGE);
}

static bool release(int fd, uint64_t offset, uint64_t size)
{
    return fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)size) ==
           0;
}

bool index_release(struct index *ix, enum permit_section_id section)
{
    const struct permit_section *s = &ix->h->fixed.section[section];
    ix->allocated[section] = 0;
    return release(ix->fd, s->offset, s->size);
}

/* ---- making ---- */

static void lay_out(struct permit_fixed *f, uint64_t size)
{
    const uint64_t unit = size / 512;
    const struct permit_section sections[SECTION_COUNT] = {
        [SECTION_RESIDENCES] = {65536, 65536 * 8},
        [SECTION_NAMES] = {2 << 20, unit - (2 << 20)},
        [SECTION_POLICY_0] = {unit, unit / 2},
        [SECTION_POLICY_1] = {unit + unit / 2, unit / 2},
        [SECTION_TERMS] = {2 * unit, unit},
        [SECTION_OVERFLOW] = {4 * unit, 252 * unit},
        [SECTION_TABLE_0] = {256 * unit, 128 * unit},
        [SECTION_TABLE_1] = {384 * unit, 128 * unit},
    };
    memcpy(f->section, sections, sizeof sections);
    f->file_size = size;
}

/* As large as the file system and the limits of the process let it be; 0: not even small. */
static uint64_t set_size(int fd)
{
    struct rlimit limit;
    /* Beyond the limit ftruncate would raise SIGXFSZ. */
    uint64_t most = getrlimit(RLIMIT_FSIZE, &limit) == 0 ? limit.rlim_cur : RLIM_INFINITY;
    for (uint64_t size = LARGEST; size >= SMALLEST; size /= 2)
        if (size <= most && ftruncate(fd, (off_t)size) == 0)
            return size;
    return 0;
}

static int write_fixed(int fd, const struct index_options *o)
{
    struct permit_fixed f = {
        .magic = PERMIT_MAGIC, .format = PERMIT_FORMAT, .fixed_size = sizeof f};
    uint64_t size = set_size(fd);
    if (size == 0)
        return -1;
    lay_out(&f, size);
    memcpy(f.lookup_key, o->lookup_key, sizeof f.lookup_key);
    memcpy(f.installation, o->installation, sizeof f.installation);
    f.checksum = permit_checksum(&f, offsetof(struct permit_fixed, checksum));
    return fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, sizeof(struct permit_header)) != 0 &&
                   errno != EOPNOTSUPP
               ? -1
               : (pwrite(fd, &f, sizeof f, 0) == (ssize_t)sizeof f && fsync(fd) == 0 ? 0 : -1);
}

static int make_file(const char *path, const struct index_options *o, struct err *err)
{
    _cleanup_buf struct buf temporary = {0};
    buf_printf(&temporary, "%s.new", path);
    unlink(temporary.p);
    int fd = open(temporary.p, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
    if (fd < 0)
        return err_set(err, LOV_EIO, "cannot create %s: %s", temporary.p, strerror(errno));
    bool ok = write_fixed(fd, o) == 0 && rename(temporary.p, path) == 0;
    int rc = ok ? 0 : err_set(err, LOV_EIO, "cannot make %s: %s", path, strerror(errno));
    close(fd);
    if (!ok)
        unlink(temporary.p);
    return rc;
}

/* ---- opening ---- */

/* permits.idx may be a link into a folder that readers of another user may enter. */
static void index_path(const char *dir, struct buf *out)
{
    char target[4096];
    buf_printf(out, "%s/permits.idx", dir);
    ssize_t n = readlink(out->p, target, sizeof target - 1);
    if (n <= 0)
        return;
    target[n] = '\0';
    buf_clear(out);
    if (target[0] == '/')
        buf_cstr(out, target);
    else
        buf_printf(out, "%s/%s", dir, target);
}

static int map_file(struct index *ix, const char *path, struct err *err)
{
    struct stat st;
    const char *what = "";
    ix->fd = open(path, O_RDWR | O_CLOEXEC);
    if (ix->fd < 0 || fstat(ix->fd, &st) != 0) {
        const int code = errno == ENOENT ? LOV_ENOTFOUND : LOV_EIO;
        err_set(err, code, "cannot open %s: %s", path, strerror(errno));
        return code;
    }
    if (!S_ISREG(st.st_mode) || st.st_size < (off_t)sizeof(struct permit_header))
        return LOV_ECORRUPT;
    ix->size = (size_t)st.st_size;
    ix->base = mmap(NULL, ix->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, ix->fd, 0);
    if (ix->base == MAP_FAILED) {
        ix->base = NULL;
        err_set(err, LOV_EIO, "cannot map %s: %s", path, strerror(errno));
        return LOV_EIO;
    }
    madvise(ix->base, ix->size, MADV_DONTDUMP);
    ix->h = (struct permit_header *)(void *)ix->base;
    return permit_map_init(ix->base, ix->size, &ix->map, &what);
}

static void unmap_file(struct index *ix)
{
    if (ix->base)
        munmap(ix->base, ix->size);
    if (ix->fd >= 0)
        close(ix->fd);
    ix->base = NULL;
    ix->h = NULL;
    ix->fd = -1;
}

static bool is_ours(const struct index *ix, const struct index_options *o)
{
    const struct permit_fixed *f = &ix->h->fixed;
    return memcmp(f->lookup_key, o->lookup_key, sizeof f->lookup_key) == 0 &&
           memcmp(f->installation, o->installation, sizeof f->installation) == 0;
}

/* Opens what is there; what is not ours, damaged or of another format is replaced, since all of it
 * can be made again. */
static int open_index(struct index *ix, const struct index_options *o, struct err *err)
{
    _cleanup_buf struct buf path = {0};
    index_path(o->dir, &path);
    int rc = map_file(ix, path.p, err);
    if (rc == 0 && is_ours(ix, o))
        return 0;
    if (rc == LOV_EIO)
        return rc;
    unmap_file(ix);
    rc = make_file(path.p, o, err);
    return rc ? rc : map_file(ix, path.p, err);
}

static int open_cids(struct index *ix, const struct index_options *o, struct err *err)
{
    _cleanup_buf struct buf path = {0};
    buf_printf(&path, "%s/permits.cid", o->dir);
    ix->cid_size = ix->size / 2;
    ix->cid_fd = open(path.p, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (ix->cid_fd < 0 || ftruncate(ix->cid_fd, (off_t)ix->cid_size) != 0)
        return err_set(err, LOV_EIO, "cannot open %s: %s", path.p, strerror(errno));
    void *p =
        mmap(NULL, ix->cid_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, ix->cid_fd, 0);
    if (p == MAP_FAILED)
        return err_set(err, LOV_EIO, "cannot map %s: %s", path.p, strerror(errno));
    madvise(p, ix->cid_size, MADV_DONTDUMP);
    ix->cid_base = p;
    ix->cids = (_Atomic uint32_t *)(void *)(ix->cid_base + CIDS_AT);
    ix->cid_limit = (ix->cid_size - CIDS_AT) / (CID_WORDS * 4);
    return 0;
}

static bool cids_are_paired(struct index *ix)
{
    struct cid_header c;
    memcpy(&c, ix->cid_base, sizeof c);
    return memcmp(c.magic, CID_MAGIC, sizeof c.magic) == 0 &&
           memcmp(c.installation, ix->h->fixed.installation, sizeof c.installation) == 0 &&
           c.pairing == ix->h->pairing && c.pairing != 0;
}

bool index_fresh_cids(struct index *ix, struct err *err)
{
    struct cid_header c;
    release(ix->cid_fd, 0, ix->cid_size);
    ix->cid_allocated = 0;
    if (!index_cid_room(ix, 1)) {
        err_set(err, LOV_EIO, "no room on the disk for the permit index");
        return false;
    }
    memcpy(c.magic, CID_MAGIC, sizeof c.magic);
    memcpy(c.installation, ix->h->fixed.installation, sizeof c.installation);
    random_bytes(&c.pairing, sizeof c.pairing);
    c.pairing |= 1;
    ix->h->pairing = c.pairing;
    memcpy(ix->cid_base, &c, sizeof c);
    return true;
}

/* ---- can it be trusted? ---- */

static uint64_t content(const struct index *ix)
{
    const struct permit_header *h = ix->h;
    const struct permit_section *s = h->fixed.section;
    uint64_t g = word_get(&h->generation) & 1, lines = word_get(&h->lines[g]);
    const uint64_t used[] = {
        [SECTION_RESIDENCES] = word_get(&h->residences) * 8,
        [SECTION_NAMES] = word_get(&h->names_used),
        [SECTION_TERMS] = word_get(&h->terms) * TERM_WORDS * 8,
        [SECTION_OVERFLOW] = word_get(&h->overflow_used) * UNIT_WORDS * 8,
        [SECTION_TABLE_0] = g ? 0 : (lines + PERMIT_SLACK) * LINE_WORDS * 8,
        [SECTION_TABLE_1] = g ? (lines + PERMIT_SLACK) * LINE_WORDS * 8 : 0,
    };
    uint64_t sums[SECTION_COUNT + 5] = {g, lines, word_get(&h->count), word_get(&h->permits),
                                        permit_checksum(h->applied, sizeof h->applied)};
    for (int i = 0; i < SECTION_COUNT; i++)
        sums[5 + i] = permit_checksum(ix->base + s[i].offset, used[i]);
    uint64_t cids = permit_checksum(ix->cid_base, CIDS_AT + word_get(&h->count) * CID_WORDS * 4);
    return permit_checksum(sums, sizeof sums) ^ cids;
}

/* Every count within its section: nothing is followed beyond it. */
static bool counts_fit(const struct index *ix)
{
    const struct permit_header *h = ix->h;
    uint64_t g = word_get(&h->generation) & 1, lines = word_get(&h->lines[g]);
    return lines > 0 && lines <= ix->map.table_lines[g] &&
           lines + PERMIT_SLACK <= ix->map.table_lines[g] && word_get(&h->count) < UINT32_MAX &&
           word_get(&h->count) <= ix->cid_limit &&
           word_get(&h->residences) <= ix->map.residence_limit &&
           word_get(&h->terms) <= ix->map.term_limit &&
           word_get(&h->overflow_used) <= ix->map.overflow_units &&
           word_get(&h->names_used) <= h->fixed.section[SECTION_NAMES].size;
}

static enum index_found judge(struct index *ix)
{
    const struct permit_header *h = ix->h;
    uint64_t boot = permit_boot();
    bool same_boot = boot != 0 && word_get(&h->boot) == boot;
    if (!counts_fit(ix) || !cids_are_paired(ix))
        return INDEX_EMPTY;
    if (word_get(&h->clean))
        return content(ix) == word_get(&h->content) ? INDEX_WHOLE : INDEX_EMPTY;
    /* Its writer ended, but the machine did not: what it had written is there. */
    bool complete = word_get(&h->state) == PERMIT_LIVE && word_get(&h->changing) == 0;
    return same_boot && complete ? INDEX_BEHIND : INDEX_EMPTY;
}

int index_reset(struct index *ix, struct err *err)
{
    struct permit_header *h = ix->h;
    atomic_store_explicit(&h->state, PERMIT_LOADING, memory_order_release);
    index_turn(ix);
    word_set(&h->clean, 0);
    ix->growth = (struct growth){0};
    ix->work.open = false;
    sets_empty(ix->sets);
    index_names_free(ix);
    index_pack_free(ix);
    _Atomic uint64_t *const counts[] = {&h->count,         &h->permits,    &h->terms,
                                        &h->residences,    &h->names_used, &h->changing,
                                        &h->overflow_used, &h->lines[0],   &h->lines[1]};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        word_set(counts[i], 0);
    atomic_store_explicit(&h->latest, 0, memory_order_relaxed);
    index_turn(ix);
    for (int i = 0; i < PERMIT_SHARDS; i++) {
        word_set(&h->applied[i].size, 0);
        word_set(&h->applied[i].leaf, 0);
    }
    for (int i = 0; i < SECTION_COUNT; i++)
        index_release(ix, (enum permit_section_id)i);
    index_publish(ix, NULL, 0);
    index_terms_load(ix);
    if (!index_fresh_cids(ix, err))
        return LOV_EIO;
    return index_first_table(ix, FIRST_LINES)
               ? 0
               : err_set(err, LOV_EIO, "no room on the disk for the permit index");
}

int index_open(const struct index_options *o, struct index **out, enum index_found *found,
               struct err *err)
{
    struct index *ix = mem_zero(sizeof *ix);
    ix->fd = ix->cid_fd = -1;
    ix->log = o->log;
    ix->shards = o->shards;
    pthread_mutex_init(&ix->lock, NULL);
    pthread_mutex_init(&ix->beat_lock, NULL);
    pthread_cond_init(&ix->beat_wake, NULL);
    int rc = open_index(ix, o, err);
    if (rc == 0)
        rc = open_cids(ix, o, err);
    if (rc == 0) {
        ix->sets = sets_new(ix, o->dir);
        *found = judge(ix);
        ix->was_clean = *found == INDEX_WHOLE;
        atomic_store_explicit(&ix->h->state, PERMIT_LOADING, memory_order_release);
        index_turn(ix);
        word_set(&ix->h->clean, 0);
        rc = *found == INDEX_EMPTY ? index_reset(ix, err) : 0;
    }
    if (rc) {
        index_close(ix, false);
        return rc;
    }
    if (*found != INDEX_EMPTY) {
        uint64_t g = word_get(&ix->h->generation) & 1;
        index_release(ix, g ? SECTION_TABLE_0 : SECTION_TABLE_1); /* one that was being filled */
        index_want_huge(ix, g ? SECTION_TABLE_1 : SECTION_TABLE_0,
                        word_get(&ix->h->lines[g]) * LINE_WORDS * 8);
        index_names_load(ix);
        index_terms_load(ix);
    }
    *out = ix;
    return 0;
}

/* ---- the heartbeat ---- */

/* By a call rather than through the mapping: a file that another program has cut short must not end
 * this process. Who reads the mapping sees it at once. */
static void beat(struct index *ix)
{
    const uint64_t clocks[2] = {permit_ticks(), (uint64_t)permit_now()};
    ssize_t ignored =
        pwrite(ix->fd, clocks, sizeof clocks, offsetof(struct permit_header, heartbeat));
    (void)ignored;
}

static void *beat_main(void *arg)
{
    struct index *ix = arg;
    pthread_mutex_lock(&ix->beat_lock);
    while (!ix->stopping) {
        struct timespec until;
        beat(ix);
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += PERMIT_BEAT_MS * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        pthread_cond_timedwait(&ix->beat_wake, &ix->beat_lock, &until);
    }
    pthread_mutex_unlock(&ix->beat_lock);
    return NULL;
}

void index_go_live(struct index *ix)
{
    index_write_lock(ix);
    index_write_unlock(ix);
    free(ix->by_cid.slot);
    ix->by_cid = (struct table){0};
    if (index_is_broken(ix))
        return;
    beat(ix);
    word_set(&ix->h->boot, permit_boot());
    atomic_store_explicit(&ix->h->state, PERMIT_LIVE, memory_order_release);
    index_turn(ix);
    ix->beating = pthread_create(&ix->beat, NULL, beat_main, ix) == 0;
    if (!ix->beating)
        log_printf(ix->log, LOG_ERROR, "cannot start the heartbeat of the permit index");
}

/* ---- closing ---- */

static void stop_beating(struct index *ix)
{
    if (!ix->beating)
        return;
    pthread_mutex_lock(&ix->beat_lock);
    ix->stopping = true;
    pthread_cond_signal(&ix->beat_wake);
    pthread_mutex_unlock(&ix->beat_lock);
    pthread_join(ix->beat, NULL);
}

static void seal_content(struct index *ix)
{
    struct permit_header *h = ix->h;
    if (ix->growth.active)
        index_release(ix, word_get(&h->generation) & 1 ? SECTION_TABLE_0 : SECTION_TABLE_1);
    if (ix->touched || !ix->was_clean) {
        word_set(&h->content, content(ix));
        if (fdatasync(ix->fd) != 0 || fdatasync(ix->cid_fd) != 0)
            return;
    }
    /* Only now, when all else is on the disk. */
    word_set(&h->clean, 1);
    fdatasync(ix->fd);
}

void index_close(struct index *ix, bool whole)
{
    if (!ix)
        return;
    stop_beating(ix);
    bool sound = ix->h && word_get(&ix->h->state) == PERMIT_LIVE;
    if (sound || (ix->h && word_get(&ix->h->state) == PERMIT_LOADING)) {
        atomic_store_explicit(&ix->h->state, PERMIT_CLOSED, memory_order_release);
        index_turn(ix);
    }
    if (sound && whole)
        seal_content(ix);
    sets_free(ix->sets);
    index_names_free(ix);
    index_pack_free(ix);
    free(ix->by_cid.slot);
    free(ix->work.packed);
    if (ix->cid_base)
        munmap(ix->cid_base, ix->cid_size);
    if (ix->cid_fd >= 0)
        close(ix->cid_fd);
    unmap_file(ix);
    pthread_cond_destroy(&ix->beat_wake);
    pthread_mutex_destroy(&ix->beat_lock);
    pthread_mutex_destroy(&ix->lock);
    free(ix);
}
