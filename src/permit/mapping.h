/*
 * mapping.h - an index that is open for reading, and the policy copied out of it. Private to
 * liblov.
 *
 * Both may be replaced while other threads decide: the file when the server made a new one, the
 * policy when it was changed. The old ones stay until the handle is closed, so that nobody needs a
 * lock to hold them; both are rare.
 */
#ifndef LOV_PERMIT_MAPPING_H
#define LOV_PERMIT_MAPPING_H

#include <stdatomic.h>
#include <sys/types.h>

#include "base/cmac.h"
#include "permit/usual.h"

enum { HINTS = 64, /* a power of two */ LONGEST_NAME = 128 };

/* A name, and its first and last 8 bytes with the NUL, where it has 8 to 16 of them. */
struct named_text {
    const char *text;
    size_t last_at; /* where the last 8 begin */
    _Alignas(16) uint64_t ends[2];
};

/* A use of the policy and what is asked for it: NUL-terminated, since callers' texts are. */
struct reading_policy;
struct named_use {
    const struct reading_policy *policy;
    const struct image_use *use;
    struct usual usual;
    int64_t usable_until;       /* before it nothing of the recipient's stands in the way */
    struct named_text names[3]; /* recipient, purpose, category */
    bool are_short;             /* all three have `ends` */
};

/* A policy as of one epoch; image NULL: none, or damaged. */
struct reading_policy {
    uint64_t epoch;
    struct image *image;
    int64_t grown;           /* as of when its uses are what they are: ms UTC */
    struct named_use *named; /* one for each of the image's uses */
    char *names;
    struct reading_policy *older;
    /* What was asked for lately, by where the caller's texts lie: callers mostly ask with the same
     * ones. A hint only, since what lies there may have changed: who takes one compares the
     * texts. */
    _Atomic(struct named_use *) hints[HINTS];
};

/* What was found in order by all that there is to look at, once for each heartbeat: while `second`,
 * `beat` and `turn` are as they were, it still is. */
struct ready {
    _Atomic uint64_t turn; /* of the header, not 0: with it the policy in force is `policy`, and */
    _Atomic(const _Atomic uint64_t *) table; /* this is its table */
    _Atomic uint64_t lines;
    _Atomic int64_t second; /* of the wall clock */
    _Atomic uint64_t beat;
    /* For decisions for now: what they say, and when they are answered at the latest, ms UTC; the
     * same for usual_ends(). */
    _Atomic int64_t at, until;
    _Atomic uint32_t ends;
    atomic_bool taken; /* by who writes it */
};

struct mapping {
    struct cmac_key lookup_key;
    void *base;
    size_t size;
    struct permit_map map;
    dev_t device;
    ino_t inode;
    atomic_bool broken; /* cut short under us */
    _Atomic(struct reading_policy *) policy;
    struct ready ready;
    struct mapping *older;
};

/* Opens and checks; `error` as of lov_open(). */
int mapping_open(const char *path, struct mapping **out, char *error, size_t size);
void mapping_close(struct mapping *m); /* and its older ones */
/* Is another file at the path now? */
bool mapping_is_replaced(const struct mapping *m, const char *path);
/* Copies the policy that is in force; NULL where it changes too fast or memory is short. The
 * caller holds the handle's lock. */
struct reading_policy *mapping_read_policy(struct mapping *m);

#endif
