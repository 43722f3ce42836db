/*
 * pubkey.h - public keys from their numbers, for OpenSSL. Thread-safe, no state.
 *
 * Each returns a key that the caller frees (EVP_PKEY_free), or NULL where the numbers are none. How
 * large an RSA key may be is the caller's to bound.
 */
#ifndef LOV_BASE_PUBKEY_H
#define LOV_BASE_PUBKEY_H

#include <openssl/evp.h>

#include "base/str.h"

/* Modulus and exponent, big-endian (RFC 8017 §3.1). */
EVP_PKEY *pubkey_rsa(struct str n, struct str e);
/* The coordinates of a point of P-256, 32 bytes each. */
EVP_PKEY *pubkey_p256(struct str x, struct str y);
/* 32 bytes (RFC 8032 §5.1.2). */
EVP_PKEY *pubkey_ed25519(struct str x);

#endif
