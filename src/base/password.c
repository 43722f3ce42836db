/* password.c - see password.h. */
#include "base/password.h"

#include <argon2.h>

#include "base/crypt.h"

enum { SALT = 16, TAG = 32, HASH_MAX = 256 };

bool password_hash(struct str password, struct buf *out)
{
    uint8_t salt[SALT];
    char encoded[HASH_MAX];
    random_bytes(salt, sizeof salt);
    if (argon2id_hash_encoded(PASSWORD_PASSES, PASSWORD_KIB, PASSWORD_LANES, password.p, password.n,
                              salt, sizeof salt, TAG, encoded, sizeof encoded) != ARGON2_OK)
        return false;
    buf_cstr(out, encoded);
    return true;
}

/* A hash of nothing in particular: an account that is not there costs as much as one that is. */
static const char nobody[] = "$argon2id$v=19$m=65536,t=3,p=4$bm9ib2R5bm9ib2R5bm9ibw"
                             "$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

bool password_fits(struct str password, struct str hash)
{
    char text[HASH_MAX];
    bool known = hash.n && hash.n < sizeof text;
    memcpy(text, known ? hash.p : nobody, known ? hash.n : sizeof nobody);
    if (known)
        text[hash.n] = '\0';
    return argon2id_verify(text, password.p, password.n) == ARGON2_OK && known;
}
