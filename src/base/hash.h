/*
 * hash.h - hashes, and bytes as text. Thread-safe, no state.
 */
#ifndef LOV_BASE_HASH_H
#define LOV_BASE_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/siphash.h"
#include "base/str.h"

struct sha256 {
    uint8_t b[32];
};

struct sha256 sha256_of(struct str data);
/* SHA-256 over the concatenation of `count` parts. */
struct sha256 sha256_parts(const struct str *parts, size_t count);

/* See siphash.h. */
struct hash128 siphash128(const uint8_t key[16], struct str data);

/* Unkeyed 64-bit hash for in-memory tables of our own names; not for input an attacker picks. */
uint64_t hash64(struct str data);

/* True if equal, in time that depends on n only. */
bool bytes_equal_secret(const void *a, const void *b, size_t n);

/* Lower-case hexadecimal. */
/* The value of a hexadecimal digit in either case; -1 for another character. */
int hex_digit(char c);
void hex_encode(const void *p, size_t n, struct buf *out);
/* Exactly n bytes from 2n digits of either case. */
bool hex_decode(struct str text, void *out, size_t n);
/* RFC 4648 §5, no padding. */
void base64url_encode(const void *p, size_t n, struct buf *out);
/* Appends the bytes to *out; false (and *out as it was) on anything but canonical base64url. */
bool base64url_decode(struct str text, struct buf *out);
/* RFC 4648 §4, padded. */
void base64_encode(const void *p, size_t n, struct buf *out);
/* Appends the bytes to *out; false (and *out as it was) on anything but canonical base64. */
bool base64_decode(struct str text, struct buf *out);

#endif
