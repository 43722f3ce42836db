/*
 * staff.h - who works with the console: staff, invitations, sessions. A member of staff has roles,
 * of which one is worked in at a time, and may look at data for the departments in `recipients`.
 * Their passkeys are kept as consumers' are (account.h), under their own id.
 *
 * Functions that change rows are for the writer's thread, inside its transaction; those that read
 * take any connection to the identity store. Times are ms UTC. Functions that look for one row
 * return 1, 0 where there is none, or an error. Texts come from the arena.
 */
#ifndef LOV_IDENTITY_STAFF_H
#define LOV_IDENTITY_STAFF_H

#include "base/arena.h"
#include "identity/identity.h"

enum { STAFF_NAME_MAX = 200 };

struct staff {
    struct uid id;
    struct str name;
    struct str roles, recipients; /* names apart by one space */
    struct str password;          /* PHC; empty: the account was not made yet */
    int64_t trained_until;        /* first instant at which it no longer holds; TIME_NONE: never */
    int64_t created_at;
    int64_t disabled_at;   /* TIME_NONE: they are not */
    int64_t approves_from; /* when they may begin to approve what others propose */
    int64_t signed_in_at;  /* last; TIME_NONE: never */
};

/* Is `name` one of the words of the list? */
bool staff_list_has(struct str list, struct str name);
/* Cuts the next word off; empty at the end. */
struct str staff_list_next(struct str *list);

/* A new one: id, name, roles, recipients, trained_until, created_at, approves_from. */
int staff_add(const struct identity *who, struct db *db, const struct staff *s, struct err *err);
int staff_get(const struct identity *who, struct db *db, const struct uid *id, struct arena *arena,
              struct staff *out, struct err *err);
/* `login` is what they sign in with, in any case. */
int staff_find(const struct identity *who, struct db *db, struct str login, struct arena *arena,
               struct staff *out, struct err *err);
/* In order of id, those with an id beyond `after` (NULL: from the first). Stops when `row` returns
 * non-zero and returns that. */
int staff_each(const struct identity *who, struct db *db, const struct uid *after, int64_t limit,
               struct arena *arena, int (*row)(void *ctx, const struct staff *s), void *ctx,
               struct err *err);
/* LOV_ECONFLICT (reason "name_taken") when somebody else signs in with that. */
int staff_set_login(const struct identity *who, struct db *db, const struct uid *id,
                    struct str login, struct str password, struct err *err);
/* The hash of what they sign in with, as it is stored: 1 and *out, or 0 where they have nothing. */
int staff_credentials(struct db *db, const struct uid *id, struct sha256 *out, struct err *err);
/* Their roles, recipients, trained_until and approves_from become those of *s. */
int staff_set(struct db *db, const struct staff *s, struct err *err);
int staff_signed_in(struct db *db, const struct uid *id, int64_t now, struct err *err);
/* They have an account and a role with power over the rules. */
int staff_set_power(struct db *db, const struct uid *id, int64_t now, struct err *err);
/* Since when two of the staff have had that, whether they are still there or not; TIME_NONE. */
int staff_four_eyes(struct db *db, int64_t *since, struct err *err);
/* For good: invitations and sessions go, too. */
int staff_disable(struct db *db, const struct uid *id, int64_t now, struct err *err);

/* ---- invitations ---- */

int staff_invitation_put(struct db *db, const struct sha256 *digest, const struct uid *id,
                         int64_t expires_at, int64_t now, struct err *err);
int staff_invitation_find(struct db *db, const struct sha256 *digest, int64_t now, struct uid *id,
                          struct err *err);
int staff_invitation_end(struct db *db, const struct uid *id, struct err *err);

/* ---- sessions ---- */

struct staff_session {
    struct sha256 digest; /* of the token */
    struct uid staff, id; /* whose; the name of the session, which is no secret */
    struct str role;
    int64_t created_at, seen_at;
    int64_t proved_at; /* 0: their passkey is still asked for */
    struct str device;
};
int staff_session_find(struct db *db, const struct sha256 *digest, struct arena *arena,
                       struct staff_session *out, struct err *err);
/* One's own, the one seen last first. */
int staff_session_each(struct db *db, const struct uid *staff, struct arena *arena,
                       int (*row)(void *ctx, const struct staff_session *s), void *ctx,
                       struct err *err);
int staff_session_put(struct db *db, const struct staff_session *s, struct err *err);
int staff_session_touch(struct db *db, const struct staff_session *s, struct err *err);
/* One of their own by its name; nothing where it is not theirs. */
int staff_session_end(struct db *db, const struct uid *staff, const struct uid *id,
                      struct err *err);
/* All of theirs but the one named `except` (may be NULL). */
int staff_session_end_all(struct db *db, const struct uid *staff, const struct uid *except,
                          struct err *err);
/* Those not seen since `seen_before` or begun before `created_before`. */
int staff_session_sweep(struct db *db, int64_t seen_before, int64_t created_before,
                        struct err *err);

#endif
