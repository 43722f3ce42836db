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

#include "permit/permit.h"

/* A policy as of one epoch; image NULL: none, or damaged. */
struct reading_policy {
    uint64_t epoch;
    struct image *image;
    struct reading_policy *older;
};

struct mapping {
    void *base;
    size_t size;
    struct permit_map map;
    dev_t device;
    ino_t inode;
    atomic_bool broken; /* cut short under us */
    _Atomic(struct reading_policy *) policy;
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
