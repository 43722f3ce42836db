/*
 * cmac.h - AES-CMAC with a key of 128 bits (RFC 4493; NIST SP 800-38B): the keyed hash under which
 * a consumer's id is found but not kept. An id of up to 16 bytes is one block, which the
 * processor's own AES instructions hash in a dozen steps; without them it is done in tables, some
 * ten times slower. Needs libc alone, since liblov links it. A key is written once, then read by
 * any thread.
 */
#ifndef LOV_BASE_CMAC_H
#define LOV_BASE_CMAC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__)
#include <emmintrin.h>
#endif

#include "base/hash128.h"

enum { CMAC_BLOCK = 16, CMAC_ROUNDS = 10 };

struct cmac_key {
    _Alignas(16) uint8_t round[CMAC_ROUNDS + 1][CMAC_BLOCK];
    uint8_t whole[CMAC_BLOCK],
        part[CMAC_BLOCK]; /* K1, K2 of §2.3: the last block is full, or not */
    bool hardware;
};
/* `key` is 16 secret random bytes. `hardware` false: without the processor's instructions, for
 * tests; true: with them where there are any. */
void cmac_key_init(struct cmac_key *k, const uint8_t key[CMAC_BLOCK], bool hardware);
/* Of any length. */
struct hash128 cmac_of(const struct cmac_key *k, const void *data, size_t n);

/* ---- the short way, inlined where a decision needs it ---- */

/* The `n` <= 16 bytes at `p`, then 10..0 where there is room (§2.4), as two words; reads nothing
 * beyond them. */
static inline void cmac_pad(const char *p, size_t n, uint64_t *low, uint64_t *high)
{
    uint64_t last = 0;
    uint32_t a = 0, b = 0;
    *low = *high = 0;
    if (n >= CMAC_BLOCK) {
        memcpy(low, p, 8);
        memcpy(high, p + 8, 8);
    } else if (n >= 8) {
        memcpy(low, p, 8);
        memcpy(&last, p + n - 8, 8);
        /* In two steps: shifting by all 64 bits is undefined. */
        *high = last >> (8 * (15 - n)) >> 8 | (uint64_t)0x80 << (8 * (n - 8));
    } else {
        if (n >= 4) {
            memcpy(&a, p, 4);
            memcpy(&b, p + n - 4, 4);
            *low = a | (uint64_t)b << (8 * (n - 4));
        } else if (n) {
            *low = (uint64_t)(uint8_t)p[0] | (uint64_t)(uint8_t)p[n / 2] << (8 * (n / 2)) |
                   (uint64_t)(uint8_t)p[n - 1] << (8 * (n - 1));
        }
        *low |= (uint64_t)0x80 << (8 * n);
    }
}

#if defined(__x86_64__)
/* Written as instructions, so that the rest may be compiled for a processor that lacks them; who
 * calls has seen k->hardware. */
static inline __m128i cmac_encrypt(const struct cmac_key *k, __m128i block)
{
    const __m128i *round = (const __m128i *)(const void *)k->round;
    block = _mm_xor_si128(block, _mm_load_si128(round));
    for (int i = 1; i < CMAC_ROUNDS; i++)
        __asm__("aesenc %1, %0" : "+x"(block) : "x"(_mm_load_si128(round + i)));
    __asm__("aesenclast %1, %0" : "+x"(block) : "x"(_mm_load_si128(round + CMAC_ROUNDS)));
    return block;
}
#endif

/* The same in two words. */
struct cmac_words {
    uint64_t low, high;
};
static inline __attribute__((always_inline)) struct cmac_words cmac_words(const struct cmac_key *k,
                                                                          const char *p, size_t n)
{
    struct cmac_words w;
#if defined(__x86_64__)
    if (__builtin_expect(n <= CMAC_BLOCK && k->hardware, 1)) {
        cmac_pad(p, n, &w.low, &w.high);
        const void *mask = n == CMAC_BLOCK ? k->whole : k->part;
        __m128i block = _mm_set_epi64x((long long)w.high, (long long)w.low);
        block = cmac_encrypt(k, _mm_xor_si128(block, _mm_loadu_si128((const __m128i *)mask)));
        w.low = (uint64_t)_mm_cvtsi128_si64(block);
        w.high = (uint64_t)_mm_cvtsi128_si64(_mm_unpackhi_epi64(block, block));
        return w;
    }
#endif
    struct hash128 h = cmac_of(k, p, n);
    memcpy(&w, h.b, sizeof w);
    return w;
}

static inline struct hash128 cmac_short(const struct cmac_key *k, const char *p, size_t n)
{
    struct cmac_words w = cmac_words(k, p, n);
    struct hash128 out;
    memcpy(out.b, &w, sizeof out.b);
    return out;
}

#endif
