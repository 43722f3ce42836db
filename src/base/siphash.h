/*
 * siphash.h - SipHash-2-4 with 128-bit output (Aumasson and Bernstein): a keyed pseudo-random
 * function for tables whose keys a stranger may choose. Thread-safe, no state.
 */
#ifndef LOV_BASE_SIPHASH_H
#define LOV_BASE_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

#include "base/hash128.h"

/* `key` is 16 secret random bytes. */
struct hash128 siphash128_of(const uint8_t key[16], const void *data, size_t n);

#endif
