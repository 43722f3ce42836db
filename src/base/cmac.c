/* cmac.c - see cmac.h. Ours because OpenSSL reaches CMAC only through a context that must be
 * allocated for each call, and because liblov links libc alone. */
#include "base/cmac.h"

/* FIPS 197 §5.1.1 */
static const uint8_t sbox[256] = {
    0x63, 0x7C, 0x77, 0x7B, 0xF2, 0x6B, 0x6F, 0xC5, 0x30, 0x01, 0x67, 0x2B, 0xFE, 0xD7, 0xAB, 0x76,
    0xCA, 0x82, 0xC9, 0x7D, 0xFA, 0x59, 0x47, 0xF0, 0xAD, 0xD4, 0xA2, 0xAF, 0x9C, 0xA4, 0x72, 0xC0,
    0xB7, 0xFD, 0x93, 0x26, 0x36, 0x3F, 0xF7, 0xCC, 0x34, 0xA5, 0xE5, 0xF1, 0x71, 0xD8, 0x31, 0x15,
    0x04, 0xC7, 0x23, 0xC3, 0x18, 0x96, 0x05, 0x9A, 0x07, 0x12, 0x80, 0xE2, 0xEB, 0x27, 0xB2, 0x75,
    0x09, 0x83, 0x2C, 0x1A, 0x1B, 0x6E, 0x5A, 0xA0, 0x52, 0x3B, 0xD6, 0xB3, 0x29, 0xE3, 0x2F, 0x84,
    0x53, 0xD1, 0x00, 0xED, 0x20, 0xFC, 0xB1, 0x5B, 0x6A, 0xCB, 0xBE, 0x39, 0x4A, 0x4C, 0x58, 0xCF,
    0xD0, 0xEF, 0xAA, 0xFB, 0x43, 0x4D, 0x33, 0x85, 0x45, 0xF9, 0x02, 0x7F, 0x50, 0x3C, 0x9F, 0xA8,
    0x51, 0xA3, 0x40, 0x8F, 0x92, 0x9D, 0x38, 0xF5, 0xBC, 0xB6, 0xDA, 0x21, 0x10, 0xFF, 0xF3, 0xD2,
    0xCD, 0x0C, 0x13, 0xEC, 0x5F, 0x97, 0x44, 0x17, 0xC4, 0xA7, 0x7E, 0x3D, 0x64, 0x5D, 0x19, 0x73,
    0x60, 0x81, 0x4F, 0xDC, 0x22, 0x2A, 0x90, 0x88, 0x46, 0xEE, 0xB8, 0x14, 0xDE, 0x5E, 0x0B, 0xDB,
    0xE0, 0x32, 0x3A, 0x0A, 0x49, 0x06, 0x24, 0x5C, 0xC2, 0xD3, 0xAC, 0x62, 0x91, 0x95, 0xE4, 0x79,
    0xE7, 0xC8, 0x37, 0x6D, 0x8D, 0xD5, 0x4E, 0xA9, 0x6C, 0x56, 0xF4, 0xEA, 0x65, 0x7A, 0xAE, 0x08,
    0xBA, 0x78, 0x25, 0x2E, 0x1C, 0xA6, 0xB4, 0xC6, 0xE8, 0xDD, 0x74, 0x1F, 0x4B, 0xBD, 0x8B, 0x8A,
    0x70, 0x3E, 0xB5, 0x66, 0x48, 0x03, 0xF6, 0x0E, 0x61, 0x35, 0x57, 0xB9, 0x86, 0xC1, 0x1D, 0x9E,
    0xE1, 0xF8, 0x98, 0x11, 0x69, 0xD9, 0x8E, 0x94, 0x9B, 0x1E, 0x87, 0xE9, 0xCE, 0x55, 0x28, 0xDF,
    0x8C, 0xA1, 0x89, 0x0D, 0xBF, 0xE6, 0x42, 0x68, 0x41, 0x99, 0x2D, 0x0F, 0xB0, 0x54, 0xBB, 0x16,
};

/* Times x in GF(2^8) (FIPS 197 §4.2.1). */
static uint8_t twice(uint8_t v)
{
    return (uint8_t)(v << 1 ^ (v & 0x80 ? 0x1B : 0));
}

/* ---- AES-128 in tables ---- */

/* FIPS 197 §5.2 */
static void expand(struct cmac_key *k, const uint8_t key[CMAC_BLOCK])
{
    uint8_t *w = k->round[0], once = 1;
    memcpy(w, key, CMAC_BLOCK);
    for (size_t i = CMAC_BLOCK; i < sizeof k->round; i += 4) {
        uint8_t t[4];
        memcpy(t, w + i - 4, 4);
        if (i % CMAC_BLOCK == 0) {
            const uint8_t first = t[0];
            t[0] = sbox[t[1]] ^ once;
            t[1] = sbox[t[2]];
            t[2] = sbox[t[3]];
            t[3] = sbox[first];
            once = twice(once);
        }
        for (size_t b = 0; b < 4; b++)
            w[i + b] = w[i + b - CMAC_BLOCK] ^ t[b];
    }
}

/* SubBytes and ShiftRows (FIPS 197 §5.1.1, §5.1.2). */
static void substitute(uint8_t s[CMAC_BLOCK])
{
    uint8_t t[CMAC_BLOCK];
    for (int i = 0; i < CMAC_BLOCK; i++)
        t[i] = sbox[s[(i + 4 * (i % 4)) % CMAC_BLOCK]];
    memcpy(s, t, sizeof t);
}

/* FIPS 197 §5.1.3 */
static void mix_columns(uint8_t s[CMAC_BLOCK])
{
    for (uint8_t *c = s; c < s + CMAC_BLOCK; c += 4) {
        uint8_t all = c[0] ^ c[1] ^ c[2] ^ c[3], first = c[0];
        for (int i = 0; i < 4; i++)
            c[i] ^= all ^ twice(c[i] ^ (i < 3 ? c[i + 1] : first));
    }
}

static void add(uint8_t s[CMAC_BLOCK], const uint8_t with[CMAC_BLOCK])
{
    for (int i = 0; i < CMAC_BLOCK; i++)
        s[i] ^= with[i];
}

static void encrypt(const struct cmac_key *k, uint8_t s[CMAC_BLOCK])
{
#if defined(__x86_64__)
    if (k->hardware) {
        __m128i *at = (__m128i *)(void *)s;
        _mm_storeu_si128(at, cmac_encrypt(k, _mm_loadu_si128(at)));
        return;
    }
#endif
    add(s, k->round[0]);
    for (int i = 1; i < CMAC_ROUNDS; i++) {
        substitute(s);
        mix_columns(s);
        add(s, k->round[i]);
    }
    substitute(s);
    add(s, k->round[CMAC_ROUNDS]);
}

/* ---- CMAC ---- */

/* Times x in GF(2^128), most significant bit first (RFC 4493 §2.3). */
static void double_block(uint8_t out[CMAC_BLOCK], const uint8_t in[CMAC_BLOCK])
{
    const uint8_t carry = in[0] & 0x80 ? 0x87 : 0;
    for (int i = 0; i < CMAC_BLOCK - 1; i++)
        out[i] = (uint8_t)(in[i] << 1 | in[i + 1] >> 7);
    out[CMAC_BLOCK - 1] = (uint8_t)(in[CMAC_BLOCK - 1] << 1) ^ carry;
}

void cmac_key_init(struct cmac_key *k, const uint8_t key[CMAC_BLOCK], bool hardware)
{
    uint8_t zero[CMAC_BLOCK] = {0};
    memset(k, 0, sizeof *k);
#if defined(__x86_64__)
    k->hardware = hardware && __builtin_cpu_supports("aes") && __builtin_cpu_supports("sse4.1");
#else
    (void)hardware;
#endif
    expand(k, key);
    encrypt(k, zero);
    double_block(k->whole, zero);
    double_block(k->part, k->whole);
    for (size_t n = 0; n <= CMAC_BLOCK; n++) {
        memset(k->ends[n].kept, 0xFF, n);
        if (n < CMAC_BLOCK)
            k->ends[n].added[n] = 0x80;
        add(k->ends[n].added, n < CMAC_BLOCK ? k->part : k->whole);
        add(k->ends[n].added, k->round[0]);
    }
}

struct hash128 cmac_of(const struct cmac_key *k, const void *data, size_t n)
{
    struct hash128 out = {{0}};
    const char *p = data;
    uint64_t last[2];
    for (; n > CMAC_BLOCK; n -= CMAC_BLOCK, p += CMAC_BLOCK) {
        add(out.b, (const uint8_t *)p);
        encrypt(k, out.b);
    }
    cmac_pad(p, n, &last[0], &last[1]);
    add(out.b, (const uint8_t *)last);
    add(out.b, n == CMAC_BLOCK ? k->whole : k->part);
    encrypt(k, out.b);
    return out;
}
