/*
 * audience_query.h - what a search for resources asks beyond AuthZEN's entities, in its context:
 * {"also": [{"purpose": ..., "category": ...}], "residence": [...], "law": [...], "count": true,
 * "approval": "..."}.
 */
#ifndef LOV_API_AUDIENCE_QUERY_H
#define LOV_API_AUDIENCE_QUERY_H

#include "api/authzen.h"

struct audience_query {
    struct question all[AUDIENCE_CONDITIONS]; /* the first is the question itself */
    struct audience_ask ask;                  /* points into this and the arena */
    bool count;
    struct str approval; /* that staff spends on it */
};

/* `context` may be NULL. Texts are borrowed from it. LOV_EINVAL on wrong types and sizes. */
int audience_query_read(struct http_call *call, const json_t *context, const struct question *first,
                        struct audience_query *out, struct err *err);

/* A list of people is a use of what the list is made of: LOV_EFORBIDDEN where the activity has
 * every use recorded. */
int audience_may_list(const struct rules *rules, const struct question *q, struct err *err);
/* 0 when everybody of the audience could be answered with now; LOV_EUNAVAILABLE. */
int audience_can_stream(struct http_call *call, const struct audience_query *query,
                        struct err *err);
/* Answers with everybody of the audience, a line each, as they are found (application/x-ndjson).
 * Texts of the query are copied. */
int audience_stream(struct http_call *call, const struct audience_query *query);

#endif
