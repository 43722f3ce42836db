/*
 * jws.h - signed tokens of others: JSON Web Signature (RFC 7515), compact, with the keys of a JSON
 * Web Key Set (RFC 7517). ES256, RS256, PS256 (RFC 7518 §3) and EdDSA with Ed25519 (RFC 8037):
 * "none" and what is keyed by a shared secret are refused. Thread-safe, no state.
 */
#ifndef LOV_BASE_JWS_H
#define LOV_BASE_JWS_H

#include <jansson.h>

#include "base/err.h"
#include "base/str.h"

enum { JWS_MAX = 16384 };

/* Verifies `token` by the one key of `keys` (a JWK Set) that its header names, or the only one that
 * fits where it names none, and gives its payload, which the caller frees. LOV_EINVAL: it is
 * malformed, or the signature is not the key's. LOV_ENOTFOUND (reason "unknown_key"): there is no
 * such key - it may be newer than the set. */
int jws_verify(struct str token, const json_t *keys, json_t **payload, struct err *err);

#endif
