/*
 * authzen.h - what evaluations, searches and reported uses share: a question with its decision, and
 * the entities of OpenID AuthZEN (Authorization API 1.0, "Information Model") in Lov's words:
 * subject {type "recipient", id}, action {name: purpose}, resource {type: category, id: consumer}.
 */
#ifndef LOV_API_AUTHZEN_H
#define LOV_API_AUTHZEN_H

#include "api/private.h"

/* Which identifier a search leaves out. */
enum wanted { WANT_DECISION, WANT_SUBJECT, WANT_RESOURCE, WANT_ACTION };

struct entities {
    const json_t *subject, *action, *resource, *context; /* borrowed; NULL where absent */
};

struct evaluation {
    struct question question;
    bool other_subject; /* its type is none that Lov knows: denied */
    bool record;        /* asked for, or demanded by the activity */
    struct decision decision;
    int policy_version;
    struct str obligations;     /* JSON, of a permit; borrowed from the rules */
    const struct err *err;      /* arena; not NULL: not evaluated */
    struct engine_write *write; /* where recorded */
};

/* Fills the question; refuses (LOV_EINVAL) what lacks a required member or has a wrong type, and
 * (LOV_EFORBIDDEN) a recipient that asks for another. Unknown members are ignored. */
int evaluation_read(struct http_call *call, const struct entities *entities, enum wanted wanted,
                    struct evaluation *out, struct err *err);
/* The plainest form of a single evaluation, and of a list with the defaults filled in: false when
 * the body is of another form, right or wrong. */
struct plain_question {
    struct str subject_type, recipient, purpose, category, consumer; /* borrowed from the body */
    bool record;
    unsigned read; /* private */
};
struct plain_list {
    struct plain_question *items; /* arena */
    size_t count;                 /* 1 to BATCH_MAX */
};
bool plain_question_read(struct str body, struct plain_question *out);
bool plain_list_read(struct str body, struct arena *arena, struct plain_list *out);
/* evaluation_read() for it, at an instant of the caller's. */
int evaluation_take_plain(struct http_call *call, const struct plain_question *plain, int64_t at,
                          struct evaluation *out, struct err *err);
/* Decides, and counts when nothing is to be recorded first. */
void evaluation_decide(struct api *api, const struct rules *rules, struct evaluation *ev);
/* Prepares the write that records it. */
void evaluation_record(struct evaluation *ev, struct engine_write *w);
/* After the writes: true when some have to be recorded once more, and `then` follows again. A use
 * is refused by the writer when its consumer was changed in the very same commit: then the decision
 * is taken anew, on what the change left. */
bool evaluation_repeat(struct pending *p, http_handler *then);
/* After the write: a use that could not be recorded is denied. */
void evaluation_settle(struct api *api, struct evaluation *ev);
/* Who reads what for: ?purpose=, and of staff ?recipient=. The rest of *out is the caller's to set.
 */
int access_question(struct http_call *call, struct str purpose, struct question *out,
                    struct err *err);
/* The members of a record as its reader sees it. */
void record_item_write(const struct vault_item *item, struct jw *w);
/* The members reason, reason_text and, where there is one, cause. */
void reason_write(const struct decision *d, struct jw *w);
/* The member "context": {...} of a larger answer. */
void evaluation_write_context(struct api *api, const struct evaluation *ev, struct jw *w);
/* {"decision": ..., "context": {...}} */
void evaluation_write(struct api *api, const struct evaluation *ev, struct jw *w);

#endif
