/*
 * account.h - how consumers come in: accounts, invitations to make one, sessions, and who may act
 * for whom. All of it lies in the identity store, is found by hashes alone, and goes when the
 * consumer is erased (identity_erase).
 *
 * Functions that change rows are for the writer's thread, inside its transaction; those that read
 * take any connection to the identity store. Times are ms UTC. Functions that look for one row
 * return 1, 0 where there is none, or an error.
 */
#ifndef LOV_IDENTITY_ACCOUNT_H
#define LOV_IDENTITY_ACCOUNT_H

#include "base/arena.h"
#include "identity/identity.h"

enum { ACCOUNT_NAME_MAX = 254, ACCOUNT_DEVICE_MAX = 80 };

/* ---- accounts ---- */

struct account {
    struct uid cid;
    struct str password; /* PHC; empty: none */
    struct str words;    /* "sv"; empty: not chosen */
    int64_t created_at;
};
/* `name` is what they sign in with: an e-mail address or the controller's id, in any case. Texts
 * from the arena. */
int account_find(const struct identity *who, struct db *db, struct str name, struct arena *arena,
                 struct account *out, struct err *err);
int account_get(struct db *db, const struct uid *cid, struct arena *arena, struct account *out,
                struct err *err);
/* Appends the name that they sign in with. */
int account_name(const struct identity *who, struct db *db, const struct uid *cid, struct buf *out,
                 struct err *err);
/* Makes the account, or gives it this name and password. LOV_ECONFLICT (reason "name_taken") when
 * another account has the name. */
int account_put(const struct identity *who, struct db *db, const struct uid *cid, struct str name,
                struct str password, struct str words, int64_t now, struct err *err);
int account_set_words(struct db *db, const struct uid *cid, struct str words, struct err *err);

/* Accounts behind the one of `after`, in order of cid. */
int account_each(struct db *db, const struct uid *after, int64_t limit,
                 int (*row)(void *ctx, const struct uid *cid, int64_t created_at), void *ctx,
                 struct err *err);

/* ---- invitations ---- */

int invitation_put(struct db *db, const struct sha256 *digest, const struct uid *cid,
                   int64_t expires_at, int64_t now, struct err *err);
int invitation_find(struct db *db, const struct sha256 *digest, int64_t now, struct uid *cid,
                    struct err *err);
/* All of the consumer's. */
int invitation_end(struct db *db, const struct uid *cid, struct err *err);

/* ---- sessions ---- */

struct session {
    struct sha256 digest; /* of the token */
    struct uid cid, id;   /* whose; the name of the session, which is no secret */
    int64_t created_at, seen_at, proved_at;
    struct str device;
    bool acting; /* for another: for_cid */
    struct uid for_cid;
};
int session_find(struct db *db, const struct sha256 *digest, struct arena *arena,
                 struct session *out, struct err *err);
/* A consumer's, the one seen last first. */
int session_each(struct db *db, const struct uid *cid, struct arena *arena,
                 int (*row)(void *ctx, const struct session *s), void *ctx, struct err *err);
int session_put(struct db *db, const struct session *s, struct err *err);
int session_touch(struct db *db, const struct session *s, struct err *err);
/* One of the consumer's by its name; nothing where it is not theirs. */
int session_end(struct db *db, const struct uid *cid, const struct uid *id, struct err *err);
/* All of the consumer's but the one named `except` (may be NULL). */
int session_end_all(struct db *db, const struct uid *cid, const struct uid *except,
                    struct err *err);
/* Those not seen since `seen_before` or begun before `created_before`. */
int session_sweep(struct db *db, int64_t seen_before, int64_t created_before, struct err *err);

/* ---- passkeys ---- */

struct passkey {
    struct str id; /* of the credential: bytes */
    struct uid cid;
    struct str key;    /* DER of SubjectPublicKeyInfo */
    int64_t algorithm; /* COSE */
    int64_t count;     /* signature counter */
    struct str label;
    int64_t created_at, used_at;
};
int passkey_find(struct db *db, struct str id, struct arena *arena, struct passkey *out,
                 struct err *err);
int passkey_each(struct db *db, const struct uid *cid, struct arena *arena,
                 int (*row)(void *ctx, const struct passkey *p), void *ctx, struct err *err);
/* LOV_ECONFLICT (reason "passkey_known") when somebody has it already. */
int passkey_put(struct db *db, const struct passkey *p, struct err *err);
/* It was used: the counter, and when. LOV_ECONFLICT when the counter is not beyond the stored one,
 * where either is not 0. */
int passkey_used(struct db *db, const struct passkey *p, int64_t count, int64_t now,
                 struct err *err);
int passkey_end(struct db *db, const struct uid *cid, struct str id, struct err *err);

/* ---- acting for another ---- */

int delegate_put(struct db *db, const struct uid *cid, const struct uid *for_cid, struct str kind,
                 int64_t now, struct err *err);
int delegate_end(struct db *db, const struct uid *cid, const struct uid *for_cid, struct err *err);
/* *kind ("guardian", "delegate") from the arena. */
int delegate_find(struct db *db, const struct uid *cid, const struct uid *for_cid,
                  struct arena *arena, struct str *kind, struct err *err);
int delegate_each(struct db *db, const struct uid *cid,
                  int (*row)(void *ctx, const struct uid *for_cid, struct str kind), void *ctx,
                  struct err *err);

/* ---- for identity_erase ---- */

int account_erase(struct db *db, const struct uid *cid, struct err *err);

#endif
