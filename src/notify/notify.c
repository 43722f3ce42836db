/* notify.c - what runs: the threads of webhooks, of messages, and of e-mails where a
 * mail server is named. */
#include <stdlib.h>

#include "notify/private.h"

enum { TIMEOUT_SECONDS = 20, RETRY_SECONDS = 5, ATTEMPTS = 10 };

struct notify {
    struct deliverer *deliverer;
    struct inbox *inbox;
    struct mailer *mailer; /* NULL: no e-mail is sent */
    struct notify_options options;
    char *ca_file;
};

int notify_start(struct engine *e, const struct notify_options *options, struct notify **out,
                 struct err *err)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT))
        return err_set(err, LOV_EUNAVAILABLE, "libcurl does not start");
    struct notify *n = mem_zero(sizeof *n);
    n->options = *options;
    if (options->ca_file)
        n->options.ca_file = n->ca_file = str_dup(str_of(options->ca_file));
    if (!n->options.timeout_seconds)
        n->options.timeout_seconds = TIMEOUT_SECONDS;
    if (!n->options.retry_seconds)
        n->options.retry_seconds = RETRY_SECONDS;
    if (!n->options.attempts)
        n->options.attempts = ATTEMPTS;
    n->deliverer = deliverer_start(e, &n->options);
    n->inbox = inbox_start(e);
    n->mailer = mailer_start(e, &n->options);
    *out = n;
    return 0;
}

void notify_stop(struct notify *n)
{
    if (!n)
        return;
    mailer_stop(n->mailer);
    inbox_stop(n->inbox);
    deliverer_stop(n->deliverer);
    free(n->ca_file);
    free(n);
}

void notify_add_counts(const struct notify *n, struct notify_counts *out)
{
    deliverer_counts(n->deliverer, out);
    inbox_counts(n->inbox, out);
    if (n->mailer)
        mailer_counts(n->mailer, out);
}
