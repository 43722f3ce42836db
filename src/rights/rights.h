/*
 * rights.h - requests: consumers exercising their rights, from the day they come in to the answer.
 *
 * A request names a right (policy_rights), and the law of the consumer's residence says by when it
 * is answered. Its states and the steps between them are those of request_next(); each step is an
 * event "request.<step>" in the ledger, in one transaction with its row and with what it carries
 * out. What people write (detail, how the identity was established, notes) is sealed under the
 * consumer's key.
 *
 * Once a consumer is erased, what is left of their requests is the bare row, without a name; the
 * ones still open are closed.
 *
 * Functions that make writes set members of *w and leave the rest (actor, arena, consumer) to the
 * caller; texts stay the caller's until the write is done. All may be called from any thread.
 */
#ifndef LOV_RIGHTS_RIGHTS_H
#define LOV_RIGHTS_RIGHTS_H

#include "base/json.h"
#include "consent/consent.h"

enum request_state {
    REQUEST_RECEIVED,
    REQUEST_IDENTITY_PENDING, /* the consumer was asked to show who they are */
    REQUEST_OPEN,             /* their identity is established */
    REQUEST_EXTENDED,         /* open, with a later deadline */
    REQUEST_FULFILLED,
    REQUEST_REFUSED,
    REQUEST_WITHDRAWN, /* by the consumer */
    REQUEST_CLOSED,    /* the consumer was erased before it was answered */
    REQUEST_STATES,
};
enum request_step {
    STEP_ASK_IDENTITY,
    STEP_VERIFY_IDENTITY,
    STEP_EXTEND,
    STEP_FULFIL,
    STEP_REFUSE,
    STEP_WITHDRAW,
    STEP_CLOSE,
    REQUEST_STEPS,
};
const char *request_state_name(enum request_state state);
bool request_state_parse(struct str text, enum request_state *out);
const char *request_step_name(enum request_step step); /* "verify-identity" */
/* Waits for an answer. */
bool request_is_live(enum request_state state);
/* True and the state that `step` leads to, or false where it is not to be taken. */
bool request_next(enum request_state state, enum request_step step, enum request_state *out);
/* Needs nobody to show who they are: taking the wrong person's request harms nobody (11 CCR
 * §7026(d), §7027(e)). */
bool request_needs_identity(struct str right);

/* The last instant by which a request that was received then is answered, ms UTC.
 *
 * The day of receipt does not count. A period in months ends with the day of the same number, or
 * with the last day of a month that has none (Regulation 1182/71 art. 3(1), 3(2)(c)). Holidays and
 * weekends, which would move an end to a later day (art. 3(4)), are not looked at; the day of
 * receipt is that of the law's westernmost territory and the end of the last day that of its
 * easternmost: so the result is never later than the law's. */
int64_t request_due(const struct policy_law *law, const struct policy_deadline *deadline,
                    int64_t received_at, bool extended);
/* NULL where the law knows no such right. */
const struct policy_deadline *law_deadline(const struct policy_law *law, struct str right);
/* NULL where that is no reason to refuse the right. */
const struct policy_refusal *law_refusal(const struct policy_law *law, struct str right,
                                         struct str reason);

struct request {
    uint32_t shard;
    struct uid cid;
    int64_t seq, event; /* identity, see consent_id_format(); of the last change */
    struct str right, channel, law;
    enum request_state state;
    int64_t received_at, due_at;
    bool extended;
    struct str reason; /* of a refusal */
    int reminded;      /* how many reminders there were */
    struct str sealed; /* JSON, see request_unseal(); may be empty */
};

/* 1 and *out (texts from the arena), or 0. */
int request_get(struct engine *e, uint32_t shard, int64_t seq, struct arena *arena,
                struct request *out, struct err *err);
struct request_filter {
    const struct identity_row *consumer; /* NULL: of all */
    struct str right;                    /* empty: all */
    bool has_state;
    enum request_state state;
    bool live;          /* only those */
    int64_t due_before; /* TIME_NONE: all */
    int64_t after;      /* seq; -1: from the first */
    int64_t limit;
};
/* In order of seq. Stops when `row` returns non-zero and returns that. */
int request_list(struct engine *e, const struct request_filter *filter, struct arena *arena,
                 int (*row)(void *ctx, const struct request *r), void *ctx, struct err *err);
/* {"categories": [...], "detail": ..., "notes": [...]}, appended; nothing where there is nothing or
 * the consumer was erased. */
int request_unseal(struct engine *e, const struct request *r, struct buf *json, struct err *err);
/* The categories that an erasure was asked for, names from the arena: none where it is of all that
 * there is, and once the consumer was erased. */
int request_categories(struct engine *e, const struct request *r, struct arena *arena,
                       struct json_names *out, struct err *err);

/* ---- writes ---- */

struct request_new {
    struct str right, channel; /* web app phone paper email api: a name */
    int64_t received_at;       /* TIME_NONE: now; not in the future, at most a year ago */
    struct str detail;         /* JSON; may be empty */
    /* Of an erasure: the records of these only; none: all that there is of them. */
    struct json_names categories;
};
/* Makes *w the write (WRITE_OTHER) that opens a request; w->out_seq becomes its seq. Refusals:
 * unknown_consumer, erased, unknown_right, no_such_right (in the consumer's law),
 * time_out_of_range, unknown_category, unknown_field (categories of another right). */
void request_open(struct engine_write *w, const struct request_new *request);

/* The recipients to whom data of a consumer was disclosed. */
struct recipients {
    struct str *names;
    size_t count;
    int64_t seen; /* the last event of the consumer's chain that was looked at */
};

struct request_change {
    uint32_t shard;
    int64_t seq;
    enum request_step step;
    struct str reason; /* of a refusal: one of the law's; of an extension: why, JSON in `note` */
    struct str note;   /* JSON: what is kept sealed; may be empty */
    /* Fulfilment: who is told (restriction, objection, rectification, erasure), and whoever has
     * had data since they were looked for. */
    struct recipients told;
    /* Fulfilment of an erasure: only the records of these categories are deleted, and the consumer
     * stays; none: all that there is of them. */
    struct json_names categories;
};
/* Makes *w take the step. w->kind stays where it is WRITE_CONSUMER or WRITE_ERASE: then both happen
 * or neither does. The write names the request's consumer. Refusals: unknown_request, wrong_state,
 * already_extended, too_late (to extend after the first period), unknown_reason, note_required,
 * erased, on_hold (erasure: says why), unknown_category, not_asked_for (an erasure of more than the
 * categories that it was asked for). */
void request_change(struct engine_write *w, const struct request_change *change);

/* Makes a WRITE_ERASE, of no request, keep what has to be kept: refuses with on_hold, and closes
 * what the consumer has asked for. `change` has step STEP_CLOSE and the recipients. */
void request_erase(struct engine_write *w, const struct request_change *change);

/* By accesses in the ledger, and by consents that are active. Names from the arena. */
int request_recipients(struct engine *e, const struct consumer *who, struct arena *arena,
                       struct recipients *out, struct err *err);

/* Records "request.remind" for what is due within seven days, within one, and is overdue: each once
 * a request. Waits; *written says how many. */
int request_remind(struct engine *e, int64_t limit, int64_t *written, struct err *err);

struct request_counts {
    int64_t by_state[REQUEST_STATES];
    int64_t overdue;
};
int request_counts(struct engine *e, struct request_counts *out, struct err *err);

/* ---- legal holds ----
 *
 * What a hold keeps is neither erased nor deleted, by hand or by the expiry job (vault/held.c). */

struct hold {
    uint32_t shard;
    struct uid cid;
    int64_t seq, event;
    struct str category; /* empty: all */
    struct str reason, source;
    int64_t until; /* TIME_NONE: until it is released */
    bool released;
};
/* Makes *w the write that puts the hold of `h` (category, reason, source, until) on a consumer. */
void hold_place(struct engine_write *w, const struct hold *h);
/* ... that takes it away: shard and seq. Refusals: unknown_hold. */
void hold_release(struct engine_write *w, const struct hold *h);
int hold_list(struct engine *e, const struct identity_row *consumer, struct arena *arena,
              int (*row)(void *ctx, const struct hold *h), void *ctx, struct err *err);

/* ---- recipients are told (GDPR art. 19) ---- */

struct notification {
    uint32_t shard;
    int64_t seq, request; /* request -1: an erasure without one */
    struct str recipient, right;
    struct str categories; /* of an erasure: these, comma-separated; empty: all */
    struct str consumer;   /* the controller's id; empty once it is acknowledged */
    int64_t at, acknowledged_at;
};
/* In order of seq; `recipient` empty: of all. */
int notification_list(struct engine *e, struct str recipient, bool open_only, int64_t after,
                      int64_t limit, struct arena *arena,
                      int (*row)(void *ctx, const struct notification *n), void *ctx,
                      struct err *err);
/* 1 and the name under which the recipient is told of the consumer appended, or 0 once that was
 * acknowledged. `identities` is a reading connection. */
int notification_name(struct engine *e, struct db *identities, uint32_t shard, int64_t seq,
                      struct buf *out, struct err *err);
struct notification_key {
    uint32_t shard;
    int64_t seq;
    struct str recipient; /* empty: of whomever */
};
/* Makes *w the write (of nobody) that acknowledges it; twice is nothing. Refusals:
 * unknown_notification. */
void notification_acknowledge(struct engine_write *w, const struct notification_key *key);

/* ---- verifying ---- */

/* Compares each row of a request, hold and notification of a shard with the event that it mirrors,
 * and each such event with its row; of a ledger and a state that are right. */
int rights_verify(struct db *lov, uint32_t shard, struct state_report *out, struct err *err);

#endif
