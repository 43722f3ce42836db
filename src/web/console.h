/*
 * console.h - what the pages of the console (/console) share: who sits at the desk, and how they
 * ask the API.
 *
 * A page names in its route (web.c) the permission that it takes; console_begin() refuses whoever
 * has another role. What a page shows and does goes through the API (desk_ask), which checks the
 * same table once more and records the member of staff as the actor.
 */
#ifndef LOV_WEB_CONSOLE_H
#define LOV_WEB_CONSOLE_H

#include "api/roles.h"
#include "base/multipart.h"
#include "identity/staff.h"
#include "web/private.h"

enum {
    /* Sessions end after so long without a visit, and after so long in any case. */
    STAFF_IDLE_MS = 15 * 60 * 1000,
    STAFF_MOST_MS = 10 * 60 * 60 * 1000,
};

struct desk {
    struct staff staff;
    struct staff_session session;
    uint64_t permissions; /* of the role that they work in */
    struct str actor;     /* "staff:support/3f2a..." */
};

extern const struct site console_site;

/* ---- console_visit.c ---- */

/* For pages that anybody may see. */
void console_open(struct http_call *call, struct visit *v);
/* Reads whose session the browser brings: 1, 0 where there is none that holds. A session whose
 * passkey is still asked for counts. */
int console_find(struct visit *v, struct err *err);
/* For staff whose role has the permission of the route, and whose training holds: false with the
 * answer filled for all others. */
bool console_begin(struct http_call *call, struct visit *v);
/* The same for a POST: the form must carry the token of the session. */
bool console_post(struct http_call *call, struct visit *v);
/* For a POST of whoever has a session, trained or not. */
bool console_post_any(struct http_call *call, struct visit *v);
/* The same for a form with files, at most so many parts. */
bool console_upload(struct http_call *call, struct visit *v, size_t most, struct multipart **parts,
                    size_t *count);
/* True when they have lately signed in; otherwise false, and the answer asks for it again. */
bool desk_proved(struct visit *v, const char *next);
static inline bool may(const struct visit *v, uint64_t permission)
{
    return (v->desk->permissions & permission) == permission;
}

/* A write of the console's own, by whoever sits there. */
struct web_write *desk_write(struct visit *v, void *more,
                             int (*other)(struct engine_write *, struct write_scope *,
                                          struct err *));
/* In then() of a write: on to a path of ours, or the page that says what went wrong. */
int desk_written(struct http_call *call, struct str path);

/* What the API answers whoever sits there; it lives as long as the visit. `body` may be NULL, and
 * is taken over. The answer is an object: an empty one where it was none. */
const json_t *desk_ask(struct visit *v, const char *method, struct str target, json_t *body,
                       int *status);
/* The same for the department `recipient`, whose records are looked at. */
const json_t *desk_ask_for(struct visit *v, struct str recipient, struct str target, int *status);
/* The page for an answer that is a problem. */
int desk_problem(struct visit *v, int status, const json_t *problem);
/* What a problem says, in the page's language where there are words for its reason. */
struct str desk_problem_text(struct visit *v, const json_t *problem);
/* Who an actor is, in words: "privacy officer Anna Berg". */
struct str actor_text(struct visit *v, struct str actor);
/* Text of a member; empty where there is none. */
struct str member(const json_t *object, const char *name);
int64_t member_int(const json_t *object, const char *name);
/* The time of a member, RFC 3339, as set_moment() sets it. */
void set_moment_of(struct visit *v, json_t *view, const char *name, struct str rfc3339);
/* Appends percent-encoded. */
void add_encoded(struct buf *out, struct str text);

/* `part` of `whole` in thousandths, for the width of a bar. */
int64_t permille(int64_t part, int64_t whole);

/* ---- console_consumers.c ---- */

/* Records that whoever sits there looks at a consumer, for an activity or (NULL) none; waits.
 * LOV_ENOTFOUND where there is nobody, LOV_ELIMIT after too many. */
int desk_look(struct visit *v, struct str consumer, const struct policy_activity *a,
              struct err *err);

/* ---- handlers ---- */

http_handler console_language, console_missing;
http_handler console_sign_page, console_sign_in, console_sign_out;
http_handler console_second_page, console_second;
http_handler console_welcome_page, console_welcome;
http_handler console_account, console_end_session, console_end_others, console_role,
    console_passkey_make, console_passkey_end;
http_handler console_staff, console_invite, console_member, console_member_change,
    console_member_link, console_member_disable;
http_handler console_today;
http_handler console_policy, console_policy_files, console_propose_page, console_propose,
    console_proposal, console_approve, console_reject;
http_handler console_reports, console_report;
http_handler console_log, console_log_search, console_log_event, console_log_export;
http_handler console_consumers, console_look;
http_handler console_recipients, console_recipient;
http_handler console_reads, console_read_propose, console_read, console_read_approve,
    console_read_reject, console_read_file;
http_handler console_requests, console_request_open, console_request, console_request_step;

/* ---- console_diff.c ---- */

/* The changes that the API tells of a proposal, in the language of the page. */
void set_changes(struct visit *v, const json_t *answer);

#endif
