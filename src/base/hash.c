/* hash.c - see hash.h. SHA-256 is OpenSSL's. */
#include "base/hash.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <string.h>

#include "base/err.h"

/* Looking the algorithm up costs more than a short hash, so it is done once: fetched is written
 * before anybody reads it and never again. */
static pthread_once_t fetch_once = PTHREAD_ONCE_INIT;
static const EVP_MD *fetched;

static void fetch(void)
{
    fetched = EVP_MD_fetch(NULL, "SHA2-256", NULL);
    if (!fetched)
        bug("this OpenSSL has no SHA-256");
}

struct sha256 sha256_of(struct str data)
{
    return sha256_parts(&data, 1);
}

struct sha256 sha256_parts(const struct str *parts, size_t count)
{
    pthread_once(&fetch_once, fetch);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    struct sha256 out;
    int ok = ctx && EVP_DigestInit_ex2(ctx, fetched, NULL);
    for (size_t i = 0; ok && i < count; i++)
        ok = EVP_DigestUpdate(ctx, parts[i].p, parts[i].n);
    if (!ok || !EVP_DigestFinal_ex(ctx, out.b, NULL))
        bug("SHA-256 failed");
    EVP_MD_CTX_free(ctx);
    return out;
}

struct hash128 siphash128(const uint8_t key[16], struct str data)
{
    return siphash128_of(key, data.p, data.n);
}

uint64_t hash64(struct str data)
{
    static const uint8_t key[16] = "lov table names";
    struct hash128 h = siphash128(key, data);
    uint64_t v;
    memcpy(&v, h.b, sizeof v);
    return v;
}

bool bytes_equal_secret(const void *a, const void *b, size_t n)
{
    return CRYPTO_memcmp(a, b, n) == 0;
}

void hex_encode(const void *p, size_t n, struct buf *out)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *bytes = p;
    buf_reserve(out, n * 2);
    char *at = out->p + out->n;
    for (size_t i = 0; i < n; i++) {
        *at++ = digits[bytes[i] >> 4];
        *at++ = digits[bytes[i] & 15];
    }
    *at = '\0';
    out->n += n * 2;
}

int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool hex_decode(struct str text, void *out, size_t n)
{
    if (text.n != n * 2)
        return false;
    for (size_t i = 0; i < text.n; i++)
        if (hex_digit(text.p[i]) < 0)
            return false;
    uint8_t *bytes = out;
    for (size_t i = 0; i < n; i++)
        bytes[i] = (uint8_t)((unsigned)hex_digit(text.p[2 * i]) << 4 |
                             (unsigned)hex_digit(text.p[2 * i + 1]));
    return true;
}

/* What both alphabets of RFC 4648 share; they differ in the last two digits. */
static void encode64(const void *p, size_t n, const char last[2], struct buf *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    const uint8_t *b = p;
    for (size_t i = 0; i < n; i += 3) {
        size_t left = n - i;
        uint32_t v = (uint32_t)b[i] << 16;
        if (left > 1)
            v |= (uint32_t)b[i + 1] << 8;
        if (left > 2)
            v |= b[i + 2];
        for (size_t k = 0; k < (left > 2 ? 4 : left + 1); k++) {
            unsigned digit = v >> (18 - 6 * k) & 63;
            buf_char(out, digit < 62 ? digits[digit] : last[digit - 62]);
        }
    }
}

static int digit64(char c, const char last[2])
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == last[0])
        return 62;
    return c == last[1] ? 63 : -1;
}

static bool decode64(struct str text, const char last[2], struct buf *out)
{
    if (text.n % 4 == 1)
        return false;
    size_t start = out->n;
    uint32_t bits = 0;
    int have = 0;
    for (size_t i = 0; i < text.n; i++) {
        int digit = digit64(text.p[i], last);
        if (digit < 0)
            goto bad;
        bits = bits << 6 | (uint32_t)digit;
        have += 6;
        if (have >= 8) {
            have -= 8;
            buf_char(out, (char)(bits >> have & 0xFF));
        }
    }
    if ((bits & ((1U << have) - 1)) != 0) /* bits that say nothing must be zero (RFC 4648 §3.5) */
        goto bad;
    return true;
bad:
    out->n = start;
    if (out->p)
        out->p[start] = '\0';
    return false;
}

void base64url_encode(const void *p, size_t n, struct buf *out)
{
    encode64(p, n, "-_", out);
}

bool base64url_decode(struct str text, struct buf *out)
{
    return decode64(text, "-_", out);
}

void base64_encode(const void *p, size_t n, struct buf *out)
{
    encode64(p, n, "+/", out);
    for (; n % 3 != 0; n++)
        buf_char(out, '=');
}

bool base64_decode(struct str text, struct buf *out)
{
    if (text.n % 4 != 0)
        return false;
    for (int padding = 0; padding < 2 && text.n > 0 && text.p[text.n - 1] == '='; padding++)
        text.n--;
    return decode64(text, "+/", out);
}
