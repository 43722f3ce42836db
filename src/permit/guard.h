/*
 * guard.h - a mapped file that is cut short under its reader. Reading what is gone raises SIGBUS;
 * for guarded mappings a handler puts zeros in its place and sets *broken.
 */
#ifndef LOV_PERMIT_GUARD_H
#define LOV_PERMIT_GUARD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* False where 256 mappings are guarded already. `broken` must live until guard_remove(). */
bool guard_add(const void *base, size_t size, atomic_bool *broken);
void guard_remove(const void *base);

#endif
