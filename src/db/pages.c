/* pages.c - see pages.h. Only the main database file is wrapped; the WAL has checksums of its own
 * and is emptied by db_scrub(), and all other files go straight to the system's VFS.
 *
 * The checksum is two sums of 32 bits, each of which takes up the other at every step. A step is
 * an invertible linear map, so two pages that differ within one word never have the same sum. */
#include "db/pages.h"

#include <endian.h>
#include <pthread.h>
#include <sqlite3.h>
#include <string.h>

/* From this many pages on, the number of a page may begin with a byte that looks like the head of a
 * tree's page, so that the chain of a long value could be mistaken for one (137 GB). */
enum { MOST_CLEARED = 0x02000000 };

struct page_file {
    sqlite3_file base; /* first: SQLite knows this one */
    bool sums, tolerant;
    int64_t pages;
    sqlite3_file real; /* last: the system's file goes on behind it */
};

/* ---- pages ---- */

static void sum_of(uint32_t number, const unsigned char *page, unsigned char out[PAGE_SUM_BYTES])
{
    uint32_t a = number,
             b = 0x6c6f7621; /* never written: zeros; so no page of zeros sums to zero */
    for (size_t i = 0; i < PAGE_BYTES - PAGE_SUM_BYTES; i += 8) {
        uint32_t x, y;
        memcpy(&x, page + i, 4);
        memcpy(&y, page + i + 4, 4);
        a += le32toh(x) + b;
        b += le32toh(y) + a;
    }
    a = htole32(a);
    b = htole32(b);
    memcpy(out, &a, 4);
    memcpy(out + 4, &b, 4);
}

bool pages_intact(uint32_t number, const unsigned char page[PAGE_BYTES])
{
    static const unsigned char zeros[PAGE_BYTES];
    unsigned char sum[PAGE_SUM_BYTES];
    sum_of(number, page, sum);
    return memcmp(sum, page + PAGE_BYTES - PAGE_SUM_BYTES, sizeof sum) == 0 ||
           memcmp(page, zeros, PAGE_BYTES) == 0;
}

void pages_sum(uint32_t number, unsigned char page[PAGE_BYTES])
{
    sum_of(number, page, page + PAGE_BYTES - PAGE_SUM_BYTES);
}

/* The gap of a tree's page lies between the list of its cells and the first cell (SQLite's file
 * format §1.6). */
static void clear_gap(uint32_t number, unsigned char *page)
{
    const unsigned char *head = page + (number == 1 ? 100 : 0);
    bool leaf = head[0] == 10 || head[0] == 13;
    if (!leaf && head[0] != 2 && head[0] != 5)
        return;
    size_t cells = (size_t)head[3] << 8 | head[4], content = (size_t)head[5] << 8 | head[6];
    size_t start = (size_t)(head - page) + (leaf ? 8 : 12) + 2 * cells;
    if (start < content && content <= PAGE_BYTES - PAGE_SUM_BYTES)
        memset(page + start, 0, content - start);
}

/* ---- the file ---- */

static sqlite3_file *real_of(sqlite3_file *file)
{
    return &((struct page_file *)file)->real;
}

static bool is_page(int n, sqlite3_int64 at)
{
    return n == PAGE_BYTES && at % PAGE_BYTES == 0;
}

static int file_read_at(sqlite3_file *file, void *out, int n, sqlite3_int64 at)
{
    struct page_file *f = (struct page_file *)file;
    int rc = f->real.pMethods->xRead(&f->real, out, n, at);
    if (rc != SQLITE_OK || !f->sums || f->tolerant || !is_page(n, at))
        return rc;
    return pages_intact((uint32_t)(at / PAGE_BYTES) + 1, out) ? SQLITE_OK : SQLITE_IOERR_DATA;
}

static int file_write_at(sqlite3_file *file, const void *from, int n, sqlite3_int64 at)
{
    struct page_file *f = (struct page_file *)file;
    unsigned char page[PAGE_BYTES];
    if (!is_page(n, at))
        return f->real.pMethods->xWrite(&f->real, from, n, at);
    uint32_t number = (uint32_t)(at / PAGE_BYTES) + 1;
    memcpy(page, from, PAGE_BYTES);
    if (number == 1)
        f->sums = page[20] == PAGE_SUM_BYTES; /* the header's "reserved space" */
    if (number > f->pages)
        f->pages = number;
    if (f->sums) {
        if (f->pages < MOST_CLEARED)
            clear_gap(number, page);
        pages_sum(number, page);
    }
    return f->real.pMethods->xWrite(&f->real, page, n, at);
}

static int file_close(sqlite3_file *file)
{
    return real_of(file)->pMethods->xClose(real_of(file));
}

static int file_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    return real_of(file)->pMethods->xTruncate(real_of(file), size);
}

static int file_sync(sqlite3_file *file, int flags)
{
    return real_of(file)->pMethods->xSync(real_of(file), flags);
}

static int file_size(sqlite3_file *file, sqlite3_int64 *size)
{
    return real_of(file)->pMethods->xFileSize(real_of(file), size);
}

static int file_lock(sqlite3_file *file, int lock)
{
    return real_of(file)->pMethods->xLock(real_of(file), lock);
}

static int file_unlock(sqlite3_file *file, int lock)
{
    return real_of(file)->pMethods->xUnlock(real_of(file), lock);
}

static int file_check_lock(sqlite3_file *file, int *out)
{
    return real_of(file)->pMethods->xCheckReservedLock(real_of(file), out);
}

static int file_control(sqlite3_file *file, int op, void *argument)
{
    if (op == PAGES_TOLERATE) {
        ((struct page_file *)file)->tolerant = true;
        return SQLITE_OK;
    }
    return real_of(file)->pMethods->xFileControl(real_of(file), op, argument);
}

static int file_sector_size(sqlite3_file *file)
{
    return real_of(file)->pMethods->xSectorSize(real_of(file));
}

static int file_characteristics(sqlite3_file *file)
{
    return real_of(file)->pMethods->xDeviceCharacteristics(real_of(file));
}

static int file_shm_map(sqlite3_file *file, int page, int size, int extend, void volatile **out)
{
    return real_of(file)->pMethods->xShmMap(real_of(file), page, size, extend, out);
}

static int file_shm_lock(sqlite3_file *file, int offset, int n, int flags)
{
    return real_of(file)->pMethods->xShmLock(real_of(file), offset, n, flags);
}

static void file_shm_barrier(sqlite3_file *file)
{
    real_of(file)->pMethods->xShmBarrier(real_of(file));
}

static int file_shm_unmap(sqlite3_file *file, int remove)
{
    return real_of(file)->pMethods->xShmUnmap(real_of(file), remove);
}

/* Version 2: without the calls that map the file into memory, past xRead. */
static const sqlite3_io_methods methods = {
    .iVersion = 2,
    .xClose = file_close,
    .xRead = file_read_at,
    .xWrite = file_write_at,
    .xTruncate = file_truncate,
    .xSync = file_sync,
    .xFileSize = file_size,
    .xLock = file_lock,
    .xUnlock = file_unlock,
    .xCheckReservedLock = file_check_lock,
    .xFileControl = file_control,
    .xSectorSize = file_sector_size,
    .xDeviceCharacteristics = file_characteristics,
    .xShmMap = file_shm_map,
    .xShmLock = file_shm_lock,
    .xShmBarrier = file_shm_barrier,
    .xShmUnmap = file_shm_unmap,
};

/* ---- the VFS ---- */

/* An empty file is about to get room for checksums (db_open). */
static int look_at(struct page_file *f)
{
    unsigned char head[100];
    sqlite3_int64 size = 0;
    int rc = f->real.pMethods->xFileSize(&f->real, &size);
    f->pages = size / PAGE_BYTES;
    f->sums = true;
    if (rc != SQLITE_OK || size < (sqlite3_int64)sizeof head)
        return rc;
    rc = f->real.pMethods->xRead(&f->real, head, sizeof head, 0);
    f->sums = head[20] == PAGE_SUM_BYTES;
    return rc;
}

static int vfs_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out)
{
    sqlite3_vfs *system = vfs->pAppData;
    if (!(flags & SQLITE_OPEN_MAIN_DB))
        return system->xOpen(system, name, file, flags, out);
    struct page_file *f = (struct page_file *)file;
    *f = (struct page_file){0};
    int rc = system->xOpen(system, name, &f->real, flags, out);
    if (rc == SQLITE_OK)
        rc = look_at(f);
    if (f->real.pMethods)
        f->base.pMethods = &methods; /* SQLite closes what has methods, also after an error */
    return rc;
}

static sqlite3_vfs pages_vfs;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void register_vfs(void)
{
    /* Counting what it takes from malloc() has all threads queue for one lock. */
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    sqlite3_initialize();
    sqlite3_vfs *system = sqlite3_vfs_find(NULL);
    pages_vfs = *system;
    pages_vfs.pNext = NULL;
    pages_vfs.zName = PAGES_VFS;
    pages_vfs.szOsFile += (int)sizeof(struct page_file);
    pages_vfs.pAppData = system;
    pages_vfs.xOpen = vfs_open;
    sqlite3_vfs_register(&pages_vfs, 0);
}

void pages_register(void)
{
    pthread_once(&once, register_vfs);
}
