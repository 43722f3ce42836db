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
    /* For a block in which a text ends, by its length: which bytes are the text's, and what is
     * added to them: the end as of §2.4, K1 or K2, and the first round's key. */
    struct {
        _Alignas(16) uint8_t kept[CMAC_BLOCK], added[CMAC_BLOCK];
    } ends[CMAC_BLOCK + 1];
};
/* `key` is 16 secret random bytes. `hardware` false: without the processor's instructions, for
 * tests; true: with them where there are any. */
void cmac_key_init(struct cmac_key *k, const uint8_t key[CMAC_BLOCK], bool hardware);
/* Of any length. */
struct hash128 cmac_of(const struct cmac_key *k, const void *data, size_t n);

/* ---- the short way, inlined where a decision needs it ---- */

/* Memory is read in whole aligned blocks of 16 bytes, as strlen(3) reads it: a block in which a
 * text's first or last byte lies can be read as a whole. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__x86_64__)
#define CMAC_WHOLE_BLOCKS 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define CMAC_WHOLE_BLOCKS 0
#endif
#endif
#ifndef CMAC_WHOLE_BLOCKS
#define CMAC_WHOLE_BLOCKS 1
#endif

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

/* The same in one vector, where there are any. */
#if CMAC_WHOLE_BLOCKS
typedef __m128i cmac_vector;
#else
typedef struct cmac_words cmac_vector;
#endif
static inline cmac_vector cmac_vector_of(struct cmac_words w)
{
#if CMAC_WHOLE_BLOCKS
    return _mm_set_epi64x((long long)w.high, (long long)w.low);
#else
    return w;
#endif
}
static inline struct cmac_words cmac_words_of(cmac_vector v)
{
#if CMAC_WHOLE_BLOCKS
    return (struct cmac_words){(uint64_t)_mm_cvtsi128_si64(v),
                               (uint64_t)_mm_cvtsi128_si64(_mm_unpackhi_epi64(v, v))};
#else
    return v;
#endif
}

/* Of a NUL-terminated text of at most 16 bytes. False: it is longer, or to be hashed as above. */
static inline __attribute__((always_inline)) bool cmac_text(const struct cmac_key *k,
                                                            const char *text, cmac_vector *out)
{
#if CMAC_WHOLE_BLOCKS
    /* Which bytes of a block a text has: 16 that it hasn't, 16 that it has, 16 that it hasn't. */
    static const uint8_t chosen[3 * CMAC_BLOCK] = {
#define CMAC_NONE 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128
        CMAC_NONE, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, CMAC_NONE};
#undef CMAC_NONE
    const uintptr_t into = (uintptr_t)text & (CMAC_BLOCK - 1);
    const __m128i *at = (const __m128i *)(const void *)(text - into);
    const __m128i *round = (const __m128i *)(const void *)k->round, zero = _mm_setzero_si128();
    __m128i block = _mm_load_si128(at);
    uint64_t ends = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(block, zero)), n;
    if (__builtin_expect(!k->hardware, 0))
        return false;
        /* As an instruction, like those of cmac_encrypt(): who has them has this one. */
#define CMAC_CHOOSE(block, from)                                                                   \
    __asm__("pshufb %1, %0"                                                                        \
            : "+x"(block)                                                                          \
            : "x"(_mm_loadu_si128((const __m128i *)(const void *)(chosen + (from)))))
    if (__builtin_expect(into != 0, 0)) {
        CMAC_CHOOSE(block, CMAC_BLOCK + into);
        ends >>= into;
    }
    /* As an instruction: the built-in one is a number with a sign, to be made longer. */
    __asm__("tzcnt %1, %0" : "=r"(n) : "r"(ends) : "cc");
    if (!ends) {
        __m128i next = _mm_load_si128(at + 1);
        ends = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(next, zero)) | 1U << 31;
        n = CMAC_BLOCK - into + (unsigned)__builtin_ctz((unsigned)ends);
        if (n > CMAC_BLOCK)
            return false;
        CMAC_CHOOSE(next, into);
        block = _mm_or_si128(block, next);
    }
#undef CMAC_CHOOSE
    block = _mm_and_si128(block, *(const __m128i *)(const void *)k->ends[n].kept);
    block = _mm_xor_si128(block, *(const __m128i *)(const void *)k->ends[n].added);
    for (int i = 1; i < CMAC_ROUNDS; i++)
        __asm__("aesenc %1, %0" : "+x"(block) : "m"(round[i]));
    __asm__("aesenclast %1, %0" : "+x"(block) : "m"(round[CMAC_ROUNDS]));
    *out = block;
    return true;
#else
    (void)k, (void)text, (void)out;
    return false;
#endif
}

static inline struct hash128 cmac_short(const struct cmac_key *k, const char *p, size_t n)
{
    struct cmac_words w = cmac_words(k, p, n);
    struct hash128 out;
    memcpy(out.b, &w, sizeof out.b);
    return out;
}

#endif
