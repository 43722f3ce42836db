/*
 * password.h - passwords: argon2id (RFC 9106) through libargon2. Thread-safe, no state; slow and
 * hungry on purpose: PASSWORD_KIB of memory a call, so callers bound how many run at a time.
 */
#ifndef LOV_BASE_PASSWORD_H
#define LOV_BASE_PASSWORD_H

#include "base/str.h"

/* The second recommended option of RFC 9106 §4. */
enum { PASSWORD_KIB = 65536, PASSWORD_PASSES = 3, PASSWORD_LANES = 4, PASSWORD_MAX = 256 };

/* Appends the hash in PHC form ("$argon2id$v=19$m=..."), with a random salt. Running out of memory
 * is false. */
bool password_hash(struct str password, struct buf *out);
/* `hash` empty: spends the same time on a hash that nothing fits, and is false. */
bool password_fits(struct str password, struct str hash);

#endif
