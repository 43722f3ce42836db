/* diff.h - what the files of the difference share: details, one for each thing that changes.
 * Private.
 */
#ifndef LOV_POLICY_DIFF_H
#define LOV_POLICY_DIFF_H

#include "policy/draft.h"

/* The details of one change while they are collected, in the diff's arena. */
struct details {
    struct arena *arena;
    struct policy_detail *items;
    size_t count, cap;
    struct str part; /* what is added is of this field of the thing */
};
void details_clear(struct details *out);
/* Makes them the change's, with its text in English. Texts that it borrowed are copied. */
void details_give(const struct details *details, struct policy_change *c);

/* `name`: of what in the thing it is, "gdpr" of a basis; may be empty. All is copied. */
void detail_add(struct details *out, enum policy_detail_kind kind, const char *field,
                struct str name);
void detail_set(struct details *out, const char *field, struct str name, struct str before,
                struct str after, const char *unit);
void detail_is(struct details *out, const char *field, struct str name, struct str value,
               const char *unit);
void detail_is_int(struct details *out, const char *field, int64_t value, const char *unit);

/* Nothing where both are the same. */
void diff_str(struct details *out, const char *field, struct str a, struct str b);
void diff_int(struct details *out, const char *field, int64_t a, int64_t b, const char *unit);
void diff_bool(struct details *out, const char *field, bool a, bool b);
/* The last day before that instant; INT64_MAX: no end. */
void diff_end(struct details *out, const char *field, int64_t a, int64_t b);
void diff_day(struct details *out, const char *field, int64_t a, int64_t b);
void diff_names(struct details *out, const char *field, const struct str *a, size_t a_count,
                const struct str *b, size_t b_count);
/* In languages that either policy has; one that comes or goes is told of the controller. */
void diff_text(struct details *out, const char *field, const struct policy *before,
               const struct policy_text *a, const struct policy *after,
               const struct policy_text *b);

struct policy_change *diff_add(struct policy_diff *d, enum policy_change_kind kind,
                               const char *what, struct str id);
/* Nothing where there are no details. */
void diff_changed(struct policy_diff *d, const char *what, struct str id,
                  const struct details *details);

/* ---- diff_category.c, diff_law.c ---- */

void diff_all_categories(const struct policy *before, const struct policy *after,
                         struct policy_diff *d);
void diff_laws(const struct policy *before, const struct policy *after, struct policy_diff *d);

#endif
