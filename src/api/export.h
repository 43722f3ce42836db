/* export.h - all that there is of one consumer, as a ZIP: for the answers of the API and of the
 * portal. Private. */
#ifndef LOV_API_EXPORT_H
#define LOV_API_EXPORT_H

#include <jansson.h>

#include "http/http.h"
#include "rights/rights.h"

/* A request for access, portability or an explanation whose identity is verified. */
bool export_allowed(const struct request *r);

struct export_ask {
    struct str consumer, request; /* the controller's id; the request's */
    struct str language;          /* of the readable page; empty: that of their last notice */
    int (*failed)(struct http_call *call, const struct err *err);
};
/* Answers the consumer's own call with it, once the ledger has the disclosure; by failed() where it
 * cannot be made. The texts live as long as the call. Returns what a handler returns. */
int export_start(struct http_call *call, const struct export_ask *ask);

/* [{recipient, purpose, category, permitted, reason, explanation, basis, law, consent}]: each
 * decision of now on the consumer's data. The caller frees. */
json_t *decisions_of(struct engine *e, const struct rules *rules, struct str consumer);

#endif
