/*
 * policy.h - the company's rules: read from files, checked, compared, compiled, stored.
 *
 * A bundle is the files as text. policy_compile() checks it (the linter) and turns it into a struct
 * policy: immutable, reference-counted, readable from any thread, with every name resolved.
 * Files: controller.yaml, categories.yaml, purposes.yaml, recipients.yaml, activities.yaml,
 * laws/<id>.yaml, notices/<id>.<language>.md (docs/policy.md describes each member).
 *
 * Names and texts are borrowed from the policy and live as long as it does.
 */
#ifndef LOV_POLICY_POLICY_H
#define LOV_POLICY_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/str.h"
#include "db/db.h"

/* ---- words ---- */

enum policy_basis {
    BASIS_NONE, /* not said: denied */
    BASIS_CONSENT,
    BASIS_OPT_OUT,
    BASIS_LEGITIMATE_INTEREST,
    BASIS_CONTRACT,
    BASIS_LEGAL_OBLIGATION,
    BASIS_VITAL_INTEREST,
    BASIS_PUBLIC_TASK,
};
enum recipient_kind {
    RECIPIENT_DEPARTMENT,
    RECIPIENT_PROCESSOR,
    RECIPIENT_ADVERTISER,
    RECIPIENT_AFFILIATE,
    RECIPIENT_BROKER,
    RECIPIENT_SUCCESSOR,
    RECIPIENT_THIRD_PARTY,
};
enum view_form { VIEW_IDENTIFIED, VIEW_PSEUDONYMOUS, VIEW_AGGREGATE };
enum field_type {
    FIELD_STRING,
    FIELD_INTEGER,
    FIELD_DECIMAL,
    FIELD_DATE,
    FIELD_TIMESTAMP,
    FIELD_BOOLEAN,
    FIELD_ENUM,
    FIELD_EMAIL,
    FIELD_PHONE,
    FIELD_COUNTRY,
    FIELD_CURRENCY_AMOUNT,
};
/* What a view does to a field. */
enum view_cut {
    VIEW_KEEP,
    VIEW_YEAR, /* these four: of a date or timestamp, the rest is left out */
    VIEW_MONTH,
    VIEW_DAY,
    VIEW_HOUR,
    VIEW_BAND,           /* of a number: "20000..30000", the first included and the last not */
    VIEW_PREFIX,         /* of text: the first n characters */
    VIEW_PSEUDONYM,      /* a code, the same for the same value and recipient */
    VIEW_AT_LEAST_YEARS, /* these three: true or false */
    VIEW_AT_LEAST,
    VIEW_ONE_OF,
};
/* The words as files and answers spell them ("legitimate_interest", "third_party", ...). */
const char *policy_basis_name(enum policy_basis basis);
const char *recipient_kind_name(enum recipient_kind kind);
const char *view_form_name(enum view_form form);
const char *field_type_name(enum field_type type);

/* ---- the compiled policy ---- */

/* Text in each of the controller's languages, in their order. */
struct policy_text {
    struct str in[8];
};

struct policy_field {
    struct str name;
    struct policy_text label; /* for the consumer; may be empty */
    enum field_type type;
    bool required;
    bool sensitive;
    struct str *values; /* of an enum */
    size_t value_count;
    /* What quality_check() of the vault looks at. */
    bool has_min, has_max;
    int64_t min, max; /* in the unit of policy_literal() */
    bool refuse;      /* what is out of range is not taken at all, rather than questioned */
    bool identifies;  /* who has the same value is likely the same consumer */
    bool any_size;    /* a number that may be far from all others */
};
/* What must hold between the fields of a record: "opened <= today". */
enum policy_compare { COMPARE_EQ, COMPARE_NE, COMPARE_LT, COMPARE_LE, COMPARE_GT, COMPARE_GE };
struct policy_condition {
    const struct policy_field *left, *right; /* right NULL: a literal */
    enum policy_compare compare;
    bool now;        /* the literal is the present */
    int64_t number;  /* the literal, in the unit of policy_literal() */
    struct str text; /* the same, of a field that has no order */
};
struct policy_rule {
    struct str id;
    struct policy_text label; /* for the person whom it concerns */
    bool conditional, refuse;
    struct policy_condition when, holds;
};
struct policy_category {
    uint32_t index;
    struct str id;
    struct policy_text label;
    bool sensitive;
    struct str dpv, fdx; /* "pd:PurchasesAndSpendingHabit"; fdx may be empty */
    struct policy_field *fields;
    size_t field_count;
    int retention_days; /* at most, whatever activities say; 0: not said */
    uint8_t form[8];    /* stands for names, types and values of the fields */
    int fresh_days;     /* what was observed longer ago is questioned; 0: never */
    struct policy_rule *rules;
    size_t rule_count;
};
struct policy_purpose {
    uint32_t index;
    struct str id;
    struct policy_text label, description;
    struct str dpv;
};
struct policy_recipient {
    uint32_t index;
    struct str id;
    struct policy_text label;
    enum recipient_kind kind;
    bool suspended;
    /* First instant at which each no longer holds; INT64_MAX: no end; TIME_NONE: there is none. */
    int64_t contract_end, safeguards_end, training_end;
    /* Of a successor: since when consumers know of the transfer, and its first instant. TIME_NONE:
     * of all others. */
    int64_t announced, begins;
    struct str contract, safeguards, contact;
};
struct policy_law {
    uint32_t index;
    struct str id, name, citation;
    int64_t effective;       /* denied under it before that instant is not implied: information */
    struct str *territories; /* "SE", "US-CA" */
    size_t territory_count;
    bool opt_out_model; /* consent: opt_in | opt_out */
    int guardian_below; /* years: below it a guardian must act; 0: no rule */
    struct {
        struct str territory;
        int years;
    } * guardian_by_territory;
    size_t guardian_by_territory_count;
    int opt_in_below;     /* years: below it opt_out activities need consent; 0: no rule */
    int consent_max_days; /* 0: the law sets no limit */
    int reask_after_days; /* after an opt-out, before asking again; 0: no rule */
    /* Deadlines for requests: exactly one of months and days is not 0. */
    struct policy_deadline {
        struct str right, source; /* "access", "art. 12(3)" */
        int months, days, extend_months, extend_days;
    } * deadlines;
    size_t deadline_count;
    /* Why a request may be refused: nothing else is a reason. */
    struct policy_refusal {
        struct str reason, source; /* "legal_obligation", "art. 17(3)(b)" */
        struct str *rights;        /* that it is for; count 0: all */
        size_t right_count;
    } * refusals;
    size_t refusal_count;
    /* Hours from UTC of its westernmost and easternmost territory, in any season: days are counted
     * so that they end nowhere before the day does. */
    int west, east;
    struct str basis_as; /* the law whose basis activities have under this one too, where they name
                          * none; empty: none */
    struct str opt_out_signal;   /* the article that demands it be honoured; empty: none does */
    struct str suppression_list; /* the article that allows keeping one; empty: none is kept */
    /* What was scheduled when the policy was compiled, in order; the members above are those of
     * then. */
    struct policy_law_change {
        int64_t from; /* ms UTC */
        struct str source;
    } * pending;
    size_t pending_count;
};
/* The rights, as laws and requests name them; NULL ends the list. */
extern const char *const policy_rights[];
struct policy_notice_text {
    struct str language, title, markdown; /* the whole file; the hash is over its bytes */
    struct sha256 hash;
};
struct policy_notice {
    uint32_t index;
    struct str id;
    int version;
    bool material;       /* against the version before */
    int sufficient_from; /* the oldest version under which a consent still holds */
    struct str purpose;
    struct policy_notice_text *texts; /* one per language of the controller, in their order */
    size_t text_count;
};
/* One field of a view, and what comes out as `name`. */
struct policy_view_field {
    const struct policy_category *category;
    const struct policy_field *field;
    struct str name;
    enum view_cut cut;
    int64_t n;          /* width of a band, characters, years, the least number */
    struct str *values; /* of VIEW_ONE_OF */
    size_t value_count;
    bool group; /* of an aggregate: groups are made by it */
};
/* The part of a view that is about one category. */
struct policy_view_part {
    bool whole; /* every field, as it is */
    const struct policy_view_field *fields;
    size_t count;
};
struct policy_activity {
    uint32_t index;
    struct str id;
    const struct policy_purpose *purpose;
    const struct policy_recipient *recipient;
    const struct policy_category **categories;
    size_t category_count;
    enum policy_basis *basis; /* by law->index */
    const struct policy_notice
        *notice; /* NULL only where no law's basis can be answered by the consumer */
    enum view_form view;
    struct str *view_fields; /* in words: "purchases.bought_at to month"; count 0: all, whole */
    size_t view_field_count;
    struct policy_view_part *view_parts; /* by the place in `categories` */
    int aggregate_k;                     /* aggregate_only(k); 0 unless VIEW_AGGREGATE */
    struct policy_privacy {
        int64_t epsilon; /* differential privacy of a block, in thousandths; 0: none */
        int64_t budget;  /* the most in a period, in thousandths */
        int days;        /* of a period */
        int records;     /* of one consumer that count in a block, at most */
        int64_t most;    /* a value is at most that far from 0 */
    } privacy;
    bool no_automated_decision;
    bool record_always;
    int retention_days;
    int consent_days; /* how long a consent runs when the caller names no end; > 0 */
};

struct policy {
    _Atomic long refs;  /* policy_ref, policy_unref */
    int version;        /* 0 until stored */
    struct sha256 hash; /* of the bundle's canonical form */
    struct str controller, controller_name, contact;
    struct str *languages; /* at most 8 */
    size_t language_count;
    struct str default_residence; /* "SE" */
    struct policy_category *categories;
    size_t category_count;
    struct policy_purpose *purposes;
    size_t purpose_count;
    struct policy_recipient *recipients;
    size_t recipient_count;
    struct policy_law *laws;
    size_t law_count;
    int64_t next_change; /* of a law, ms UTC; INT64_MAX: none is scheduled */
    struct policy_notice *notices;
    size_t notice_count;
    struct policy_activity *activities;
    size_t activity_count;
    struct policy_private *private;
};

struct policy *policy_ref(struct policy *p);
void policy_unref(struct policy *p); /* NULL is nothing */

/* Look-ups by name: constant time; NULL when there is none. */
const struct policy_category *policy_category(const struct policy *p, struct str id);
const struct policy_purpose *policy_purpose(const struct policy *p, struct str id);
const struct policy_recipient *policy_recipient(const struct policy *p, struct str id);
const struct policy_notice *policy_notice(const struct policy *p, struct str id);
/* The activity of a recipient for a purpose (there is at most one). */
const struct policy_activity *policy_activity(const struct policy *p,
                                              const struct policy_recipient *recipient,
                                              const struct policy_purpose *purpose);
/* The category's field of that name, or NULL; looks at each. */
const struct policy_field *policy_field(const struct policy_category *c, struct str name);
bool policy_activity_covers(const struct policy_activity *a, const struct policy_category *c);
/* What the activity's view makes of the category, which it covers. */
const struct policy_view_part *policy_view_of(const struct policy_activity *a,
                                              const struct policy_category *c);
/* How long a record of the category is kept after it was observed: the longest that an activity
 * which covers it needs it, and what the category says at most. 0: no activity covers it. */
int policy_retention_days(const struct policy *p, const struct policy_category *c);
/* The law of that name; NULL where the policy, which may be NULL, has none. */
const struct policy_law *policy_law(const struct policy *p, struct str id);
/* The law that covers a residence ("SE", "US-CA"): the most specific territory that matches, then
 * the controller's default law, or else that of its default residence. Never NULL. */
const struct policy_law *policy_law_of(const struct policy *p, struct str residence);
/* A value of a field with an order as a number: of an integer itself; of decimal and amount
 * millionths; of date and timestamp ms since 1970 UTC. False when `text` is none. */
bool policy_literal(enum field_type type, struct str text, int64_t *out);
bool field_has_order(enum field_type type);
/* Integers, decimals and amounts: what can be added up. */
bool field_is_number(enum field_type type);
/* Years below which a guardian must act there. */
int policy_guardian_below(const struct policy_law *law, struct str residence);
const struct policy_notice_text *policy_notice_text(const struct policy_notice *n,
                                                    struct str language);
/* "sv" of a policy_text; the first language where there is no such. */
struct str policy_text_in(const struct policy *p, const struct policy_text *text,
                          struct str language);

/* ---- bundles, the linter, differences ---- */

struct policy_file {
    struct str path, text;
};
struct policy_bundle {
    struct arena arena;
    struct policy_file *files; /* sorted by path */
    size_t count;
};
void policy_bundle_free(struct policy_bundle *b);
/* Reads *.yaml and notices/..md below `dir`; 256 files of 256 KiB at most, UTF-8. */
int policy_bundle_read(const char *dir, struct policy_bundle *out, struct err *err);
/* {"files": {"controller.yaml": "...", ...}}: as stored, and as sent to POST /v1/policy. */
int policy_bundle_from_json(struct str json, struct policy_bundle *out, struct err *err);
void policy_bundle_to_json(const struct policy_bundle *b, struct buf *out);

enum policy_severity { POLICY_ERROR, POLICY_WARNING };
struct policy_finding {
    enum policy_severity severity;
    struct str file;
    int line; /* from 1; 0: the file as a whole */
    const char
        *rule; /* "unknown_name", "catch_all_purpose", ...: stable, listed in docs/policy.md */
    struct str text; /* what is wrong and what to do */
};
struct policy_findings {
    struct arena arena;
    struct policy_finding *items;
    size_t count, cap, errors;
};
void policy_findings_free(struct policy_findings *f);

/* What earlier versions published: needed to know which notice versions suffice, and to refuse a
 * text that changed without a new version. */
struct policy_past_notice {
    struct str id, language;
    int version;
    bool material;
    struct sha256 hash;
};

/* Checks and compiles, with the laws as they stand at `as_of` (ms UTC). 0 and *out with one
 * reference; or LOV_EINVAL when there is any finding of severity error (all are in *findings,
 * warnings too; at most 200). */
int policy_compile(const struct policy_bundle *bundle, const struct policy_past_notice *past,
                   size_t past_count, int64_t as_of, struct policy **out,
                   struct policy_findings *findings, struct err *err);

/* SET: from one value to another; IS: of what is new or gone, the value that it has. */
enum policy_detail_kind {
    POLICY_D_SET,
    POLICY_D_IS,
    POLICY_D_ADDED,
    POLICY_D_REMOVED,
    POLICY_D_CHANGED
};
struct policy_detail {
    enum policy_detail_kind kind;
    const char *field;        /* "retention", "basis": a word of diff*.c */
    struct str part;          /* of a category: the field of its records that it is of; or empty */
    struct str name;          /* "gdpr" of a basis, "sv" of a text; or empty */
    struct str before, after; /* before: of SET; empty: none */
    const char *unit;         /* "days"; or "" */
};
enum policy_change_kind { POLICY_ADDED, POLICY_REMOVED, POLICY_CHANGED };
struct policy_change {
    enum policy_change_kind kind;
    const char
        *what; /* "activity", "recipient", "purpose", "category", "law", "notice", "controller" */
    struct str id;
    struct str recipient, purpose; /* of an activity, and of each activity that a notice serves */
    const struct policy_detail *details;
    size_t detail_count;
    struct str detail; /* the same: "retention 365 -> 730 days; category contact added" */
    bool material;     /* of a notice: consents under the older version no longer hold */
};
struct policy_diff {
    struct arena arena;
    struct policy_change *items;
    size_t count, cap;
};
/* `before` may be NULL: everything is added. Activities first, then notices, then the rest. */
void policy_diff(const struct policy *before, const struct policy *after, struct policy_diff *out);
void policy_diff_free(struct policy_diff *d);

/* ---- stored versions ---- (tables policy and notice; the caller holds the transaction) */

/* LOV_ENOTFOUND when no policy was ever applied. `version` 0: the newest. */
int policy_store_load(struct db *db, int version, struct policy **out, struct err *err);
/* Compiles `bundle` against what is stored, see policy_compile(). A stored version is compiled as
 * of when it was applied. */
int policy_store_compile(struct db *db, const struct policy_bundle *bundle, int64_t as_of,
                         struct policy **out, struct policy_findings *findings, struct err *err);
/* Writes `policy` (compiled from `bundle`) as the next version, and sets policy->version. */
int policy_store_save(struct db *db, const struct policy_bundle *bundle, struct policy *policy,
                      struct str actor, int64_t now, struct err *err);

struct policy_version {
    int version;
    int64_t applied_at;
    struct str actor;
    struct sha256 hash;
};
/* Newest first, those with version < before (0: from the newest), at most `limit`. */
int policy_store_history(struct db *db, int before, size_t limit,
                         int (*row)(void *ctx, const struct policy_version *v), void *ctx,
                         struct err *err);
/* One published text of any version, appended to *markdown; LOV_ENOTFOUND. `hash` may be NULL. */
int policy_store_notice(struct db *db, struct str id, int version, struct str language,
                        struct buf *markdown, struct sha256 *hash, struct err *err);
/* The same with all that is known of it; texts in the arena. */
struct policy_published {
    struct str title, markdown;
    struct sha256 hash;
    bool material;
};
int policy_store_published(struct db *db, struct str id, int version, struct str language,
                           struct arena *arena, struct policy_published *out, struct err *err);
/* The stored bundle as JSON, appended. */
int policy_store_bundle(struct db *db, int version, struct buf *json, struct err *err);

#endif
