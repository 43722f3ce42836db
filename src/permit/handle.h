/*
 * handle.h - what lov_open() gives, for the files of liblov. Private to it.
 */
#ifndef LOV_PERMIT_HANDLE_H
#define LOV_PERMIT_HANDLE_H

#include <pthread.h>

#include "permit/mapping.h"

struct lov {
    char *path;
    uint64_t boot;
    _Atomic(struct mapping *) mapping;
    pthread_mutex_t lock;       /* who replaces mapping or policy */
    _Atomic uint64_t looked_at; /* ticks: when the path was last looked at for a new file */
};

/* The policy in force, copied out of the mapping where it is a new one; NULL as
 * mapping_read_policy(). */
const struct reading_policy *handle_policy(struct lov *lov, struct mapping *m);

#endif
