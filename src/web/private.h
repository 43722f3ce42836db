/*
 * private.h - what the files of this folder share.
 *
 * visit.c says who a request is from and makes the page; hash.c checks passwords on a thread of its
 * own; sign.c is coming in and going out; each other file is a page or a few that belong together:
 * it fills v->view (JSON) and names the template. What is of the console alone is in console.h.
 */
#ifndef LOV_WEB_PRIVATE_H
#define LOV_WEB_PRIVATE_H

#include <pthread.h>

#include "api/api.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/template.h"
#include "identity/account.h"
#include "web/web.h"

enum {
    WEB_LANGUAGES = 16,
    WEB_FORM_MAX = 16 << 10,
    WEB_UPLOAD_MAX = 16 << 20,
    FIELD_MAX = 4000,
    TOKEN_BYTES = 32,
    TOKEN_CHARS = 43,
    /* Sessions end after so long without a visit, and after so long in any case. */
    SESSION_IDLE_MS = 30 * 60 * 1000,
    SESSION_MOST_MS = 12 * 60 * 60 * 1000,
    /* What is sensitive asks for the password again after so long. */
    PROOF_MS = 5 * 60 * 1000,
};

struct words {
    struct str language;
    json_t *json;    /* read only once web_open() returned */
    json_t *console; /* the same with the console's own */
};

struct worker;
struct streams;
struct challenges;

struct web {
    struct engine *engine;
    bool secure;
    struct secret csrf_key;
    struct words words[WEB_LANGUAGES];
    size_t word_count;
    struct limiter *by_name, *by_address;
    struct limiter *looks; /* of a member of staff at consumers */
    struct worker *hasher;
    struct provider *provider; /* NULL: none */
    struct streams *streams;
    struct challenges *challenges;
    struct str base_url;     /* empty: not said */
    struct str training_url; /* where staff renew their training; empty: not said */
    bool mail;
};

/* ---- visit.c: one request for a page ---- */

struct visit;
/* Portal or console: two sets of pages that share no session. */
struct site {
    const char *root;   /* "/portal" */
    const char *layout; /* template around each page */
    const char *cookie; /* of its sessions */
    void (*menu)(struct visit *v, const char *page);
};
extern const struct site portal_site;

struct desk;
struct visit {
    const struct site *site;
    struct desk *desk; /* of the console: who sits there; NULL: nobody, or the portal */
    struct http_call *call;
    struct web *web;
    struct arena *arena;
    struct engine *engine;
    int64_t now;
    struct str language;
    const json_t *words;
    json_t *view; /* what the template sees; "t" are the words */
    struct rules *rules;
    struct policy *policy; /* in force; NULL: none */

    /* Set by visit_begin. */
    bool signed_in;
    struct str token; /* of the session */
    struct session session;
    struct str consumer; /* whose pages these are: the controller's id */
    struct consumer who;
    struct str acting; /* "guardian", "delegate"; empty: for themselves */
};
#define _cleanup_visit __attribute__((cleanup(visit_free)))
void visit_free(struct visit *v);
/* For pages that anybody may see: signed in or not. */
void visit_open(struct http_call *call, struct visit *v);
/* For a consumer's own pages: false with the answer filled (to the sign-in page) for others. */
bool visit_begin(struct http_call *call, struct visit *v);
/* The same for a POST: the form must carry the token of the session. */
bool visit_post(struct http_call *call, struct visit *v);
/* The same for forms before anybody is signed in: visit_form_token() put the token into the form,
 * and the browser holds its other half in a cookie. */
void visit_form_token(struct visit *v);
bool visit_form_is_ours(struct visit *v);
/* True when they have lately proved who they are; otherwise false, and the answer asks for it. */
bool visit_proved(struct visit *v, const char *next);

/* Answers with the template inside the layout; `page` names the entry of the menu. Returns 0. */
int visit_page(struct visit *v, int status, const char *template, const char *page);
/* A page that says what went wrong: `what` is a word of the translations, "oops_...". */
int visit_trouble(struct visit *v, int status, const char *what);
/* Sets the language, and goes back to the page of that site that the query names. */
int visit_language(struct http_call *call, const struct site *site);
/* The text of a notice as it was published; LOV_ENOTFOUND. */
int visit_notice(struct visit *v, struct str notice, int version, struct str language,
                 struct policy_published *out, struct err *err);
/* The page for an error of the engine. */
int visit_error(struct visit *v, const struct err *err);
/* After a write of the account page: back to it, or what went wrong. */
http_handler back_to_account;
/* 303 See Other to a path of ours. */
int visit_go(struct http_call *call, struct str path);
/* Headers that every answer of the portal has. */
void visit_headers(struct http_call *call);

/* The token that a form carries: bound to what it is used for and to the browser's own token. */
struct str form_token(struct visit *v, const char *use, struct str token);
/* Does the form come from a page of ours, and carry that token? */
bool form_fits(struct visit *v, struct str expected);
/* The same where the token was read from the form already. */
bool token_fits(struct visit *v, struct str sent, struct str expected);
/* A path below the root of the site, from the field or query `next`, or else `otherwise`: never
 * another site. */
struct str local_path(const struct site *site, struct str asked, const char *otherwise);
void set_cookie(struct http_call *call, const struct web *web, const char *name, struct str value,
                int64_t seconds);
struct str visit_cookie(struct visit *v, const char *name);
/* "https://consent.example.com": as the operator said, or else as this browser calls it. */
struct str visit_origin(struct visit *v);
/* Makes a token, base64url of 32 random bytes, in the arena. */
struct str new_token(struct arena *arena);

/* ---- writes ---- */

/* A write that the call waits for; then() goes on. */
struct web_write {
    struct engine_write w;
    struct http_call *call;
    void *more;
};
struct web_write *web_write_new(struct visit *v, enum write_kind kind);
int web_submit(struct web_write *w, http_handler *then);
/* In then(): on to a path of ours, or the page that says what went wrong. */
int web_written(struct http_call *call, const char *path);
/* For one that nobody waits for. */
struct background {
    struct engine_write w;
    struct arena arena;
    struct session session;
};

/* ---- view.c: values of a view ---- */

void set_text(json_t *view, const char *name, struct str text);
void set_int(json_t *view, const char *name, int64_t v);
void set_true(json_t *view, const char *name, bool v);
/* "at" (RFC 3339) and "at_text" ("24 November 2026, 09:05") of an instant. */
void set_moment(const struct visit *v, json_t *view, const char *name, int64_t at);
/* "24 November 2026, 09:05" and "24 November 2026", in the arena. */
struct str moment_text(const struct visit *v, int64_t at);
struct str day_text(const struct visit *v, int32_t day);
/* A word of the translations; its own name where it is missing. */
struct str word(const struct visit *v, const char *name);
struct str word_of(const struct visit *v, const char *prefix, struct str name);
/* The same of a name that need not have one: then what is said otherwise. */
struct str word_or(const struct visit *v, const char *prefix, struct str name,
                   struct str otherwise);
/* A name that has no label, as people write it: "order id". */
struct str name_text(const struct visit *v, struct str name);
/* Labels in the page's language; the name itself where the policy has no such. */
struct str purpose_label(const struct visit *v, struct str id);
struct str recipient_label(const struct visit *v, struct str id);
struct str category_label(const struct visit *v, struct str id);
void set_activity_labels(const struct visit *v, json_t *view, const struct policy_activity *a);
/* Markdown without its front matter, as markup; raw HTML in it is left out. */
void set_markdown(json_t *view, const char *name, struct str markdown);
/* The text below the n-th heading of the second level (from 0), as markup. */
void set_section(json_t *view, const char *name, struct str markdown, int n);

/* ---- worker.c: a thread for what takes long ---- */

struct job {
    struct http_call *call; /* resumed when it is done */
    void (*run)(struct job *job);
    struct job *next;
};
struct worker;
struct worker *worker_new(const char *name);
void worker_free(struct worker *h);
/* False when too many are waiting. */
bool worker_submit(struct worker *h, struct job *job);

/* ---- hash.c: passwords, and what signing in has in common ---- */

enum { PASSWORD_LEAST = 10, PASSWORD_MOST = 256 };

struct hash_job {
    struct job job; /* first */
    bool make;      /* a new hash into `hash`; otherwise whether `password` fits it */
    struct str password, hash;
    struct arena *arena;
    bool fits;
};
/* `then` goes on when it is done, with `work` as call->work. Returns what a handler returns. */
int hash_later(struct visit *v, struct hash_job *job, void *work, http_handler *then);
/* One bucket for the name, whoever tries it, and one for the address, whatever it tries. */
bool may_try(struct visit *v, struct str name);
/* "Firefox, Linux": enough to know one's own, and no more. */
struct str device_of(struct http_call *call);
/* What is wrong with the fields name, password and again of a new account, as a word; NULL:
 * nothing. The password goes into the job. */
const char *judge_account(struct http_call *call, size_t name_max, struct str *name,
                          struct hash_job *job);

/* ---- provider.c ---- */

struct provider;
struct provider *provider_new(const struct provider_options *o, const struct identity *who);
void provider_free(struct provider *p);

/* ---- sign.c ---- */

/* Begins a session of the consumer's, and sends the browser on. Returns what a handler returns. */
int sign_in_as(struct visit *v, const struct uid *cid, struct str next);

/* ---- streams.c ---- */

struct streams *streams_new(struct engine *e);
void streams_stop(struct streams *s);
void streams_free(struct streams *s);

/* ---- challenges.c, passkeys.c ---- */

struct challenges *challenges_new(void);
void challenges_free(struct challenges *c);
/* A new challenge, base64url, in the arena. `use` says what for: "sign-in", or whose session. */
struct str challenge_give(struct challenges *c, struct arena *arena, struct str use);
/* True once, for ten minutes. */
bool challenge_take(struct challenges *c, struct str text, struct str use);
/* Puts what the browser needs for a passkey into the view. */
void passkey_offer(struct visit *v, struct str use);
/* 1: the form is an answer of the passkey *out to a challenge for that use, and its counter is now
 * *count; 0: it is not. */
int passkey_find_for(struct visit *v, struct str use, struct passkey *out, int64_t *count,
                     struct err *err);
/* Puts somebody's into the view, as "passkeys". */
int passkey_list(struct visit *v, struct db *db, const struct uid *owner, struct err *err);
/* Takes a new passkey from the form; false where it is none, with the answer filled. */
bool passkey_take(struct visit *v, const struct uid *owner, struct passkey *out);

/* ---- consents of a visit (choices.c) ---- */

struct choice {
    const struct policy_activity *activity;
    enum policy_basis basis;
    bool asked;                    /* the consumer has a say */
    bool permitted;                /* at least one category */
    struct decision decision;      /* of the first category; of the first that is permitted */
    const struct consent *consent; /* the answer that stands; NULL: none */
    size_t active;                 /* consents that stand */
};
/* One for each activity that some law allows for this consumer, in the policy's order. */
int choices_of(struct visit *v, struct choice **out, size_t *count, struct err *err);

/* ---- signal.c ---- */

/* Has the consumer opted out by a signal that their law demands be honoured? */
bool signal_holds(const struct visit *v);
/* Does the browser send it (Sec-GPC: 1), and it is not recorded yet? Then the handler returns
 * signal_record(), which shows the same page again once it is. */
bool signal_is_new(const struct visit *v);
int signal_record(struct visit *v);

/* ---- requests.c ---- */

/* Does the consumer's law know it? */
bool has_right(const struct visit *v, struct str right);
/* Those of the rights (NULL ends) that the consumer's law knows, to ask for, into the view. */
void set_rights(struct visit *v, const char *const *rights);

/* ---- data.c ---- */

/* The fields of a record as {name, value}, in words. */
json_t *record_fields(const struct visit *v, struct str category, const json_t *data);

/* ---- activity.c ---- */

/* The consumer's latest events that have a receipt, newest first, appended to the array. */
int receipts_list(struct visit *v, json_t *items, struct err *err);

/* ---- words.c: the difference of two texts ---- */

/* Markup with <del> and <ins>, word by word. */
void word_diff(struct str before, struct str after, struct buf *out);

/* ---- handlers ---- */

http_handler assets_get, language_set, page_missing;
http_handler sign_page, sign_in, sign_out, welcome_page, welcome_post, prove_page, prove_post;
http_handler overview_get, choices_get, choices_post, choice_get;
http_handler activity_get, activity_export, complaint_page, complaint_post, why_get, streams_get;
http_handler data_get, data_settle;
http_handler requests_page, request_file, request_withdraw, ask_page, ask_post;
http_handler receipts_get, receipt_get, receipt_file, receipt_print;
http_handler policies_get, policies_version;
http_handler sign_in_passkey, passkey_make, passkey_remove;
http_handler provider_go, provider_back;
http_handler messages_get, messages_settings, messages_read, message_get_page, message_unread_again;
http_handler apps_get, account_get_page, account_end_session, account_end_others, account_act;

#endif
