/*
 * test_seed.h - random numbers for tests. Each program prints its seed, and takes it back from
 * LOV_SEED to run again what failed. The generator is SplitMix64 (Steele, Lea and Flood, 2014).
 */
#ifndef LOV_TEST_SEED_H
#define LOV_TEST_SEED_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"

static inline uint64_t seed_start(void)
{
    const char *given = getenv("LOV_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 10) : (uint64_t)clock_monotonic();
    printf("LOV_SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

static inline uint64_t seed_next(uint64_t *seed)
{
    uint64_t z = (*seed += 0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

/* Below `bound`, which is not 0. The bias does not matter to a test. */
static inline uint64_t seed_below(uint64_t *seed, uint64_t bound)
{
    return seed_next(seed) % bound;
}

#endif
