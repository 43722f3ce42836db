/*
 * check.h - what looks wrong about a record, by itself and beside others. Private to the vault.
 */
#ifndef LOV_VAULT_CHECK_H
#define LOV_VAULT_CHECK_H

#include "vault/private.h"

enum finding_kind {
    FINDING_RANGE,     /* out of its field's min and max */
    FINDING_RULE,      /* a rule of the category does not hold */
    FINDING_OUTLIER,   /* far from what is usual in the category */
    FINDING_DUPLICATE, /* the consumer has the same record already */
    FINDING_LIKENESS,  /* another consumer has the same value of a field that identifies */
    FINDING_STALE,     /* observed longer ago than the category says */
};
const char *finding_kind_name(enum finding_kind kind);

struct finding {
    enum finding_kind kind;
    struct str field, rule; /* names of the policy; empty where it has none */
    struct str proposal;    /* the whole record as it may have been meant, JSON; or empty */
    bool drop;              /* proposed: this record is one too many */
};

/* A record taken apart: values[i] is of the category's field i where present[i]. */
struct parsed {
    const struct policy_category *category;
    const struct value *values;
    const bool *present;
};

/* The value as a number, in the unit of policy_literal(); of a field that has an order. */
int64_t value_number(const struct policy_field *field, const struct value *v);

struct findings {
    struct arena *arena;
    struct finding *items;
    size_t count;
};
struct finding *finding_add(struct findings *f, enum finding_kind kind, struct str field,
                            struct str rule);

/* The record with the field's decimal point moved so that its number is from `low` to `high`. */
bool check_slipped(const struct parsed *p, const struct policy_field *f, int64_t low, int64_t high,
                   struct arena *arena, struct str *out);
/* Ranges and rules. The first that the policy says to refuse is told in *err (LOV_EINVAL,
 * "out_of_range", "rule_broken"); the others are added. */
int check_record(const struct parsed *p, int64_t now, struct findings *out, struct err *err);

#endif
