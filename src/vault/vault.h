/*
 * vault.h - what is known of consumers: records of the policy's categories, and the one door to
 * them.
 *
 * A record is an object of the category's fields, encrypted under the consumer's data key (AES-256-
 * GCM) with shard, cid, category, identity and version as associated data. The ledger says of each
 * version who wrote it, from which source, as of when, and the SHA-256 of the ciphertext.
 *
 * Reading: decide, record the access (WRITE_ACCESS), and only when that is durable vault_read(),
 * which demands that write and cuts every record down to the view of its activity. Nothing else in
 * the program opens a record.
 *
 * How long a record is kept: from observed_at on as many days as the activity that needs its
 * category longest says (policy_retention_days), or until its own retention_end if that is earlier.
 * An activity does not see what is older than its own retention.
 *
 * All functions may be called from any thread. Texts of writes are the caller's and stay until the
 * write is done, but for those that a function says it copies.
 */
#ifndef LOV_VAULT_VAULT_H
#define LOV_VAULT_VAULT_H

#include "base/json.h"
#include "consent/consent.h"

enum {
    RECORD_MAX = 16 << 10,    /* bytes of a record's JSON */
    RECORD_TEXT_MAX = 4 << 10 /* bytes of one text in it */
};

struct vault;
/* The engine must outlive it. */
int vault_open(struct engine *e, struct vault **out, struct err *err);
void vault_close(struct vault *v);

/* ---- writing ---- */

/* What a record may be used for, narrower than the policy: for these purposes alone (those that it
 * was collected for), not for those that the consumer objects to, by these recipients alone. */
enum vault_limit { LIMIT_OBJECTIONS, LIMIT_PURPOSES, LIMIT_RECIPIENTS, LIMIT_KINDS };
struct vault_limits {
    bool has[LIMIT_KINDS]; /* false: of a change: as it is */
    struct json_names names[LIMIT_KINDS];
};
const char *vault_limit_name(enum vault_limit kind); /* "objections" */
/* Takes {"purposes": [...], "objections": [...], "recipients": [...]} apart; NULL: nothing. Names
 * are copied to the arena. */
int vault_limits_take(const json_t *json, const char *path, struct arena *arena,
                      struct vault_limits *out, struct err *err);

/* A record on its way in, checked against the category's fields. */
struct vault_content {
    struct str json;            /* canonical, in the arena that it was checked with */
    const struct value *values; /* private: the same, by field, where present */
    const bool *present;
    uint8_t form[8];                    /* of the category that it was checked against */
    struct str source;                  /* a name: where it is from */
    int64_t observed_at, retention_end; /* TIME_NONE: now (of a correction: as it was); no own */
    struct vault_limits limits;
};
/* Checks that `data` is an object of the category's fields, and takes it over in their canonical
 * form. LOV_EINVAL "invalid_record" names the field. */
int vault_check(const struct policy_category *category, const json_t *data, struct arena *arena,
                struct vault_content *out, struct err *err);

struct vault_change {
    struct str category;
    struct vault_content *items; /* of a put: `count` of them, of a correction one */
    size_t count;
    int64_t record;         /* of a correction or deletion: the record's seq */
    int64_t version;        /* that it has; 0: whatever it has */
    struct str only_source; /* not empty: a record of another source is not there */
    struct vault *vault;    /* private */
};
/* Make *w the write (WRITE_OTHER) of the consumer that it names. w->out_seq becomes the seq of the
 * first record that was put, the others follow it one by one; otherwise of the last event; a
 * correction sets w->written to the new version.
 * Refusals: unknown_category, not_in_policy (no activity uses the category), unknown_consumer,
 * erased, unknown_record, record_moved_on, unknown_purpose, unknown_recipient (in limits),
 * time_out_of_range, retention_over, on_hold (a deletion, of what a legal hold keeps), unavailable
 * (the policy changed since the check: check again). */
void vault_put(struct vault *v, struct engine_write *w, struct vault_change *change);
void vault_correct(struct vault *v, struct engine_write *w, struct vault_change *change);
void vault_delete(struct vault *v, struct engine_write *w, struct vault_change *change);

/* In a write about a consumer that has found them: deletes their records of a category, each with
 * its event "record.delete". *erased says how many. Refusals: unknown_consumer, on_hold. */
int vault_erase_category(struct write_scope *scope, struct str category, int64_t *erased,
                         struct err *err);

/* ---- reading ---- */

struct vault_item {
    int64_t seq;
    struct str category;
    struct str id;       /* hexadecimal; of a pseudonymous view one of the recipient's own */
    struct str consumer; /* the controller's id, or the pseudonym of the recipient */
    bool whole;          /* the view leaves the record as it is: what follows may be told too */
    int64_t version, observed_at;
    struct str source;
    struct str controller; /* of what goes to a broker: whose data it is, and the last three are
                              told with it; otherwise empty */
    struct str data;       /* JSON object: what the view leaves */
    struct str limits;     /* to the consumer: JSON, or empty */
    int64_t
        retention_end; /* to the consumer: where the record has an end of its own; or TIME_NONE */
};
struct vault_page {
    int64_t after; /* records with seq > after; -1: from the first */
    int64_t limit;
    int64_t only; /* seq of the one record that is read; 0: all */
    bool more;    /* out */
};
typedef int vault_row(void *ctx, const struct vault_item *item);
/* Reads what the recipient of a recorded access may see of the consumer's records. `access` is a
 * WRITE_ACCESS that is durable and permitted (anything else is a bug), of a view with rows. Calls
 * `row` in order of seq; stops when it returns non-zero and returns that. Nobody's (any more)
 * records are none. LOV_EUNAVAILABLE when another policy is in force than the access was decided
 * under: decide again. */
int vault_read(struct vault *v, const struct engine_write *access, struct vault_page *page,
               vault_row *row, void *ctx, struct err *err);

/* To the consumer, on their own request: everything, whole. First the write that records it, of the
 * consumer that it names: the event "record.disclose" with `reason`, a short text of ours such as
 * the request's id, which stays until the write is done. Refusals: unknown_consumer, erased. */
void vault_record_disclosure(struct engine_write *w, const struct str *reason);
/* Then, when that write is durable (anything else is a bug), what there is: in order of category
 * and seq, those that a policy has forgotten or that are due, too. */
int vault_disclose(struct vault *v, const struct engine_write *recorded, vault_row *row, void *ctx,
                   struct err *err);

/* Has the consumer any record of the category? 1 or 0. `lov` is a reading connection. Says nothing
 * of what is in them, and is for leaving out those of whom there is nothing to read. */
int vault_any(struct db *lov, uint32_t shard, const struct uid *cid, struct str category,
              struct err *err);

/* ---- many records: what is known about them, without what is in them ---- */

/* Where a list has come to: begins as all zero. */
struct vault_place {
    struct uid cid;
    struct str category;
    int64_t seq;
};
struct vault_filter {
    const struct uid *cid; /* NULL: of everybody */
    struct str category, source;
    struct str purpose; /* that their limits name. Empty: any */
};
struct vault_about {
    struct uid cid;
    struct str category, source, limits;
    int64_t seq, event, version, observed_at, retention_end;
};
/* Makes *w the write that records the list: "record.list" with the filter, about the consumer that
 * it names, if any. `filter` stays until it is done. */
void vault_record_listing(struct engine_write *w, const struct vault_filter *filter);
/* Then, when that is durable (anything else is a bug): those after `after`, `limit` at most, in
 * the order of places. Stops when `row` returns non-zero and returns that. */
int vault_list(struct vault *v, const struct engine_write *recorded,
               const struct vault_place *after, int64_t limit,
               int (*row)(void *ctx, const struct vault_about *about), void *ctx, struct err *err);

/* A change of many; `limit` at most in one write, from a place on. */
struct vault_bulk {
    struct vault_filter filter;
    struct vault_place after;
    int64_t limit;
    bool remove;       /* delete them; otherwise set what follows */
    struct str source; /* empty: as it is */
    bool has_retention_end;
    int64_t retention_end; /* TIME_NONE: none of its own */
    struct vault_limits limits;
    struct vault_bulk_part *part; /* what the write did */
};
struct vault_bulk_part {
    int64_t matched, changed, held; /* found; were not so already; kept by legal holds */
    struct vault_place last;        /* goes on after it ... */
    bool more;                      /* ... where there may be more */
};
/* Makes *w the write (of nobody) that does the next part of it. Each consumer's history has one
 * event "record.amend" with what was set and which records, or "record.delete" for each record.
 * What already is so is not written. Refusals: no_policy, unknown_purpose, unknown_recipient,
 * retention_over. */
void vault_bulk(struct engine_write *w, const struct vault_bulk *change);

/* ---- quality ----
 *
 * A record that is put or corrected is looked at: ranges and rules of the policy, what is usual in
 * the category (stats.h), the same record again, the same value with another consumer, age. What
 * the policy says to refuse vault_check() refuses; of everything else an issue asks, and the record
 * stands until somebody answers. */

struct vault_issue {
    uint32_t shard;
    int64_t seq; /* of the event that asked; with shard its identity */
    struct uid cid;
    struct str category;
    int64_t record, version;
    struct str finding;     /* out_of_range, rule_broken, outlier, duplicate, likeness, stale */
    struct str field, rule; /* names of the policy; may be empty */
    bool has_proposal;
};
struct vault_issue_filter {
    const struct identity_row *who; /* NULL: everybody's */
    struct str category;            /* empty: every */
    int64_t after, limit;           /* issues with seq > after */
};
/* Calls `row` in order of seq; stops when it returns non-zero and returns that. */
int vault_issues(struct vault *v, const struct vault_issue_filter *filter,
                 int (*row)(void *ctx, const struct vault_issue *issue), void *ctx,
                 struct err *err);
/* What the record may have been meant to be, for the consumer and who acts for them: {"data":
 * {...}} or {"drop": true}, appended; nothing where nothing is proposed. */
int vault_proposal(struct vault *v, const struct vault_issue *issue, struct buf *json,
                   struct err *err);
/* The consumer of an issue that is open: 1 and their id appended, or 0. */
int vault_issue_consumer(struct vault *v, uint32_t shard, int64_t seq, struct buf *consumer,
                         struct err *err);

struct vault_answer {
    int64_t issue;
    bool accept;         /* what is proposed; false: the record is right as it stands */
    struct vault *vault; /* private */
};
/* Makes *w the write (WRITE_OTHER) that settles an issue of the consumer that it names. Refusals:
 * unknown_issue, no_proposal, and those of a correction. */
void vault_settle(struct vault *v, struct engine_write *w, struct vault_answer *answer);
/* Asks about records that have grown stale since it was asked last, about `limit` at most. Waits.
 * *asked says how many. */
int vault_ask_stale(struct vault *v, int64_t limit, int64_t *asked, struct err *err);
/* Saves the statistics, where they changed. Waits. */
int vault_save_statistics(struct vault *v, struct err *err);
/* Findings so far by name, for /metrics; NULL ends. */
const char *vault_finding(struct vault *v, int i, int64_t *count);

/* ---- retention ---- */

struct vault_due {
    struct str category;
    int days;        /* that a record is kept; 0: no activity uses the category any more, so nobody
                      * can read it, and it stays until the policy says more */
    int64_t records; /* that there are */
    int64_t due;     /* that the expiry job deletes next: none that a legal hold keeps */
    int64_t soon;    /* that will be due within 30 days, as far as no hold keeps them then */
    int64_t held;    /* that would be due, were they not kept */
    int64_t first;   /* ms UTC: when the oldest is due; TIME_NONE: never */
};
/* Each category of which there are records, in order of name. */
int vault_retention(struct vault *v, int (*row)(void *ctx, const struct vault_due *due), void *ctx,
                    struct err *err);
/* Deletes records that are due, about `limit` at most, each with its event "record.expire". Waits.
 * *deleted says how many. */
int vault_expire_due(struct vault *v, int64_t limit, int64_t *deleted, struct err *err);

/* ---- sums ---- */

/* Makes blocks of the records that are in none yet, for each activity whose view is an aggregate:
 * decides for each consumer, records each access, and sums up what is permitted. Waits; one thread
 * at a time. *blocks says how many were made. */
int vault_aggregate(struct vault *v, int64_t *blocks, struct err *err);

struct vault_sums {
    struct str recipient, purpose, category;
    struct json_names group_by; /* names of the view's groups; `all_groups`: by all */
    struct json_names fields;   /* measured fields; `all_fields`: all */
    bool all_groups, all_fields;
};
/* Adds up blocks, and writes the member "groups" of an answer: [{"group": {...}, "count": n,
 * "fields": {"amount": {"count", "sum", "mean"}}}], in order of the group. LOV_EINVAL
 * "invalid_field" for a name that the view does not have, LOV_ELIMIT "too_many_groups". The caller
 * has seen that the recipient may ask at all, and records that it did. */
int vault_sums(struct vault *v, const struct rules *rules, const struct vault_sums *query,
               struct jw *w, struct err *err);
/* Makes *w the write (of nobody) that records the question: "aggregate.read". */
void vault_record_sums(struct engine_write *w, const struct vault_sums *query);

/* ---- verifying ---- */

/* Compares each record's row of a shard with the event that it mirrors, and each such event with
 * the rows; of a ledger that ledger_verify() found right, and a state that state_verify() did. */
int vault_verify(struct db *lov, uint32_t shard, struct state_report *out, struct err *err);

#endif
