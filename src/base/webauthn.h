/*
 * webauthn.h - passkeys: the relying party's half of W3C Web Authentication, Level 2. No transport,
 * no storage, no state: what the browser sent is held against what was expected. Attestation is not
 * asked for ("none"). Algorithms: ES256 (-7), EdDSA with Ed25519 (-8), RS256 (-257).
 *
 * The user must have been verified by the authenticator (its PIN, a finger), since a passkey stands
 * for a password. Everything from outside is bounded by the caller to WEBAUTHN_MAX bytes.
 */
#ifndef LOV_BASE_WEBAUTHN_H
#define LOV_BASE_WEBAUTHN_H

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

enum { WEBAUTHN_MAX = 4096, WEBAUTHN_ID_MAX = 1023 };

struct webauthn_expected {
    struct str origin; /* "https://consent.example.com" */
    struct str rp_id;  /* "consent.example.com" */
};

struct webauthn_credential {
    struct str id;     /* arena */
    struct str key;    /* DER of SubjectPublicKeyInfo, arena */
    int64_t algorithm; /* COSE */
    int64_t count;     /* signature counter; 0: the authenticator keeps none */
};

/* The challenge that a client's data answers, as its base64url text (arena); LOV_EINVAL when it is
 * no such data. The caller looks whether it gave it out, for this, and not long ago. */
int webauthn_challenge(struct str client_data, struct arena *arena, struct str *challenge,
                       struct err *err);
/* A new credential (§7.1). `attestation` is the attestation object. LOV_EINVAL says what is wrong.
 */
int webauthn_register(struct str client_data, struct str attestation,
                      const struct webauthn_expected *expected, struct arena *arena,
                      struct webauthn_credential *out, struct err *err);
/* Somebody who signs in (§7.2). `known` is as it was stored; *count is to be stored. */
int webauthn_assert(struct str client_data, struct str authenticator_data, struct str signature,
                    const struct webauthn_expected *expected,
                    const struct webauthn_credential *known, int64_t *count, struct err *err);

#endif
