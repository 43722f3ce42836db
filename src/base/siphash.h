/*
 * siphash.h - SipHash-2-4 with 128-bit output (Aumasson and Bernstein): a keyed pseudo-random
 * function, used where a consumer's id must be found but not kept. Needs libc alone, since liblov
 * links it. Thread-safe, no state.
 */
#ifndef LOV_BASE_SIPHASH_H
#define LOV_BASE_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

struct hash128 {
    uint8_t b[16];
};
/* `key` is 16 secret random bytes. */
struct hash128 siphash128_of(const uint8_t key[16], const void *data, size_t n);

/* The same in two steps: the first eight bytes, then the rest. Who looks something up by the first
 * ones may start to fetch it before the others are there. */
struct siphash {
    uint64_t v[4];
};
uint64_t siphash128_first(struct siphash *s, const uint8_t key[16], const void *data, size_t n);
uint64_t siphash128_second(struct siphash *s);

#endif
