/*
 * crypt.h - keys, sealing, and random bytes: a thin layer on OpenSSL 3.
 *
 * Sealed bytes are `nonce (12) | ciphertext | tag (16)`, AES-256-GCM (NIST SP 800-38D) with a
 * random nonce and the caller's associated data, so that a sealed value moved to another row does
 * not open. Thread-safe, no state.
 */
#ifndef LOV_BASE_CRYPT_H
#define LOV_BASE_CRYPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/hash.h"
#include "base/str.h"

/* Wiped when it goes out of scope with _cleanup_secret; never printed. */
struct secret {
    uint8_t b[32];
};
#define _cleanup_secret __attribute__((cleanup(secret_wipe)))

enum { SEAL_EXTRA = 28 };

void secret_wipe(struct secret *s);
/* The same for n bytes that held something opened; p may be NULL. */
void secret_wipe_bytes(void *p, size_t n);
/* Cryptographically strong; a machine without them stops the process. */
void random_bytes(void *out, size_t n);
/* A random 16-byte id, such as the one that stands for a consumer (cid). */
struct uid {
    uint8_t b[16];
};
struct uid uid_new(void);
/* The bytes, borrowed. */
struct str uid_str(const struct uid *id);
/* HKDF-SHA-256 (RFC 5869), empty salt: a key for one use, named by `info`. */
struct secret secret_derive(const struct secret *from, struct str info);
/* HMAC-SHA-256 (RFC 2104). */
struct sha256 hmac_sha256(const struct secret *key, struct str data);
/* Appends the sealed bytes to *out. */
void seal(const struct secret *key, struct str associated, struct str plain, struct buf *out);
/* Appends the plain bytes to *out; LOV_ECORRUPT when the key, the data or `associated` is not the
 * one it was sealed with (*out as it was). */
int unseal(const struct secret *key, struct str associated, struct str sealed, struct buf *out,
           struct err *err);

/* unseal() for many values under one key, which is made ready once. One thread at a time. */
struct opener;
struct opener *opener_new(const struct secret *key);
void opener_free(struct opener *o);
/* Like unseal(), but a value that does not open is nothing to tell an error of: false. */
bool opener_open(struct opener *o, struct str associated, struct str sealed, struct buf *out);

/* Ed25519 (RFC 8032 §5.1). The secret key is the 32-byte seed. */
struct ed25519_key {
    uint8_t b[32];
};
struct ed25519_signature {
    uint8_t b[64];
};
struct ed25519_key ed25519_public(const struct secret *seed);
struct ed25519_signature ed25519_sign(const struct secret *seed, struct str message);
bool ed25519_verify(const struct ed25519_key *key, struct str message,
                    const struct ed25519_signature *signature);

/* One block of AES-128: a permutation of 16 bytes, to show a counter without giving it away. */
struct cipher_block;
struct cipher_block *cipher_block_new(const uint8_t key[16]);
void cipher_block_free(struct cipher_block *c);
void cipher_block_encrypt(const struct cipher_block *c, const uint8_t in[16], uint8_t out[16]);
void cipher_block_decrypt(const struct cipher_block *c, const uint8_t in[16], uint8_t out[16]);

#endif
