/*
 * web.h - the door of the pages: the consumer's portal at /portal, the console of staff at
 * /console.
 *
 * Pages are made on the server from the templates of web/ (base/template.h), with words from
 * web/portal.<language>.json and web/console.<language>.json: adding a language is adding files.
 * Everything that a consumer must do works without JavaScript; the scripts add what is live. Every
 * answer keeps to a strict Content-Security-Policy; nothing is loaded from elsewhere.
 *
 * A consumer's pages show that consumer alone: whose they are comes from the session (cookie),
 * never from the request. Each change is a POST that carries a token bound to the session.
 *
 * A struct web hangs on an open engine. Its routes are handed to api_open() with the struct itself
 * as what belongs to them (api_options.more). Any thread.
 */
#ifndef LOV_WEB_WEB_H
#define LOV_WEB_WEB_H

#include "api/api.h"

struct web;

/* An OpenID provider that knows the consumers; docs/portal.md. Copied. */
struct provider_options {
    const char *issuer, *client;
    const char *secret; /* NULL: a public client */
    const char *claim;  /* that holds the controller's id; NULL: "sub" */
};

struct web_options {
    /* Browsers reach the portal over HTTPS: cookies are then for HTTPS alone ("__Host-", Secure).
     * Without it they are for plain HTTP, which only a loopback address should speak. */
    bool secure;
    /* What browsers reach it by, which passkeys are bound to; NULL: as each browser calls it.
     * Copied. */
    const char *base_url;
    const struct provider_options *provider; /* NULL: none */
    /* Where staff renew their training; NULL: not said. Copied. */
    const char *training_url;
    bool mail; /* a mail server is there: consumers may choose it */
};

/* The engine must outlive it. */
int web_open(struct engine *e, const struct web_options *options, struct web **out,
             struct err *err);
/* No call may be under way. */
void web_close(struct web *web);
const struct http_route *web_routes(size_t *count);
/* A word of the pages in a language, or in English where it has none; for mail_options.word, with
 * the struct web as its context. */
struct str web_word(void *web, struct str language, const char *name);
/* Answers the event streams that wait, and lets no more wait: before the server is stopped. */
void web_stop_streams(struct web *web);

#endif
