/* map.c - what a mapped file must be before anything in it is followed. */
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include "permit/permit.h"

uint64_t permit_boot(void)
{
    char text[64];
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t n = read(fd, text, sizeof text);
    close(fd);
    return n > 0 ? permit_checksum(text, (size_t)n) | 1 : 0;
}

/* The exact clock waits for every read of memory that is under way (its instruction is ordered
 * after them), which would cost a decision more than all else. So this is the clock of the last
 * tick. */
static uint64_t read_clock(clockid_t id)
{
    struct timespec t;
    /* These clocks are always there on Linux; 0 is far from every heartbeat, and so denies. */
    if (clock_gettime(id, &t) != 0)
        return 0;
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

uint64_t permit_ticks(void)
{
    return read_clock(CLOCK_MONOTONIC_COARSE);
}

/* A tick is added: a consent is never honoured after its end, at most a tick less. */
int64_t permit_now(void)
{
    enum { TICK_MS = 10 }; /* of the slowest kernel configuration */
    return (int64_t)(read_clock(CLOCK_REALTIME_COARSE) / 1000000) + TICK_MS;
}

static uint64_t mix(uint64_t a, uint64_t w)
{
    a = (a ^ w) * 0x9E3779B97F4A7C15u;
    return a ^ a >> 32;
}

/* Four lanes, so that a core checks several gigabytes a second. It finds damage, not malice. */
uint64_t permit_checksum(const void *data, size_t n)
{
    const uint8_t *p = data;
    uint64_t lane[4] = {1, 2, 3, 4}, w[4];
    size_t left = n;
    for (; left >= sizeof w; left -= sizeof w, p += sizeof w) {
        memcpy(w, p, sizeof w);
        for (int i = 0; i < 4; i++)
            lane[i] = mix(lane[i], w[i]);
    }
    memset(w, 0, sizeof w);
    if (left)
        memcpy(w, p, left);
    uint64_t sum = mix(0, n);
    for (int i = 0; i < 4; i++)
        sum = mix(sum, mix(lane[i], w[i]));
    return sum;
}

static bool section_fits(const struct permit_section *s, uint64_t size)
{
    return s->offset % 64 == 0 && s->offset >= sizeof(struct permit_header) && s->offset <= size &&
           s->size <= size - s->offset;
}

static int check(const struct permit_fixed *f, size_t size, const char **what)
{
    if (memcmp(f->magic, PERMIT_MAGIC, sizeof f->magic) != 0) {
        *what = "not a permit index";
        return LOV_ECORRUPT;
    }
    if (f->format != PERMIT_FORMAT) {
        *what = f->format > PERMIT_FORMAT ? "of a newer format: update liblov"
                                          : "of an older format: start the server once";
        return LOV_EVERSION;
    }
    *what = "a damaged permit index";
    if (f->fixed_size != sizeof *f ||
        f->checksum != permit_checksum(f, offsetof(struct permit_fixed, checksum)))
        return LOV_ECORRUPT;
    if (f->file_size != size) {
        *what = "a permit index that was cut short";
        return LOV_ECORRUPT;
    }
    for (int i = 0; i < SECTION_COUNT; i++)
        if (!section_fits(&f->section[i], size))
            return LOV_ECORRUPT;
    return 0;
}

int permit_map_init(const void *base, size_t size, struct permit_map *out, const char **what)
{
    const struct permit_header *h = base;
    *what = "too short for a permit index";
    if (size < sizeof *h)
        return LOV_ECORRUPT;
    int rc = check(&h->fixed, size, what);
    if (rc)
        return rc;
    const struct permit_section *s = h->fixed.section;
    const char *bytes = base;
    *out = (struct permit_map){
        .header = h,
        .size = size,
        .terms = (const void *)(bytes + s[SECTION_TERMS].offset),
        .overflow = (const void *)(bytes + s[SECTION_OVERFLOW].offset),
        .residences = (const void *)(bytes + s[SECTION_RESIDENCES].offset),
        .term_limit = s[SECTION_TERMS].size / (TERM_WORDS * 8),
        .overflow_units = s[SECTION_OVERFLOW].size / (UNIT_WORDS * 8),
        .residence_limit = s[SECTION_RESIDENCES].size / 8,
    };
    for (int i = 0; i < 2; i++) {
        out->table[i] = (const void *)(bytes + s[SECTION_TABLE_0 + i].offset);
        out->table_lines[i] = s[SECTION_TABLE_0 + i].size / (LINE_WORDS * 8);
        out->table_homes[i] =
            out->table_lines[i] > PERMIT_SLACK ? out->table_lines[i] - PERMIT_SLACK : 0;
        out->policy[i] = (const void *)(bytes + s[SECTION_POLICY_0 + i].offset);
        out->policy_room[i] = s[SECTION_POLICY_0 + i].size;
    }
    return 0;
}
