/*
 * draft.h - a policy while it is being read: what the linter needs beside the compiled structures,
 * that is where each thing was said, and what only a check wants to know.
 *
 * load_*.c fill it, lint_*.c read it. A reference to a thing that does not exist stays NULL and has
 * its finding already, so every check passes over NULL in silence.
 */
#ifndef LOV_POLICY_DRAFT_H
#define LOV_POLICY_DRAFT_H

#include "policy/node.h"
#include "policy/policy.h"

enum { MAX_LANGUAGES = 8, MAX_FINDINGS = 200, MAX_THINGS = 256, MAX_LAWS = 64 };

enum section {
    SECTION_WHAT,
    SECTION_USED,
    SECTION_SHARED,
    SECTION_KEPT,
    SECTION_REFUSE,
    SECTION_WITHDRAW,
    SECTION_COUNT,
};
extern const char *const section_names[SECTION_COUNT];

enum refusal { REFUSAL_UNSAID = -1, REFUSAL_NOTHING, REFUSAL_PRICE, REFUSAL_SERVICE, REFUSAL_NONE };

struct activity_draft {
    const struct node *node;
    int if_refused;
    int k;
};

struct notice_draft {
    struct str file; /* empty: there is no text in this language */
    int effective_line, version_line, purpose_line, material_line;
    int version;
    bool material;
    struct str purpose;
    int heading_line[SECTION_COUNT]; /* 0: there is no such section */
    struct str section[SECTION_COUNT];
};

struct policy_private {
    struct arena arena;
    struct name_table *categories, *purposes, *recipients, *notices;
    uint32_t *activities; /* [recipient * purpose_count + purpose]: index + 1, or 0 */
    const struct policy_law *default_law;
};

struct draft {
    struct policy *policy;
    struct arena *arena;   /* the policy's: trees and texts live as long as it */
    struct arena *scratch; /* gone with the draft: what only checks need, which can be much */
    const struct policy_bundle *bundle;
    const struct policy_past_notice *past;
    size_t past_count;
    struct policy_findings *findings;
    int64_t now;
    struct str section[MAX_LANGUAGES][SECTION_COUNT];
    const struct node *controller;
    struct str default_law;
    const struct node **categories, **purposes, **recipients, **laws; /* by index */
    struct str *law_files;
    struct activity_draft *activities;
    struct notice_draft *notices; /* [notice * MAX_LANGUAGES + language] */
};

/* ---- findings (find.c) ---- */

void find(struct draft *d, enum policy_severity severity, struct str file, int line,
          const char *rule, const char *format, ...) __attribute__((format(printf, 6, 7)));
void find_error(struct draft *d, struct str file, int line, const char *rule, const char *format,
                ...) __attribute__((format(printf, 5, 6)));
void findings_sort(struct policy_findings *f);
/* The nearest of `words` to a mistyped one, or NULL when none is near. */
const char *find_nearest(struct str typed, const char *const *words, size_t count);
/* " (did you mean x?)", or the empty string. */
struct str find_hint(struct draft *d, struct str typed, const struct str *words, size_t count);
/* Lower case, runs of white space as one space: for comparing what people wrote. */
struct str text_fold(struct arena *arena, struct str text);
/* True if the folded `phrase` stands in the folded `text` between word borders. */
bool text_has_phrase(struct str text, struct str phrase);

/* ---- members of a mapping, by table (take.c) ---- */

enum member_kind {
    MEMBER_NAME,  /* struct str that is a policy name */
    MEMBER_TEXT,  /* struct str, not empty */
    MEMBER_INT,   /* int between min and max */
    MEMBER_BOOL,  /* bool */
    MEMBER_DATE,  /* int32_t day */
    MEMBER_WORD,  /* int: index of one of `words` */
    MEMBER_MAP,   /* const struct node * */
    MEMBER_LIST,  /* const struct node * */
    MEMBER_TEXTS, /* struct policy_text: one text a language */
};

struct member {
    const char *name;
    enum member_kind kind;
    size_t offset;
    bool required;
    int min, max;
    const char *const *words;
    size_t word_count;
};

/* Fills *out from a mapping and makes a finding of whatever is wrong; false when `node` is no
 * mapping at all. Members that are absent or wrong keep what *out holds. */
bool take(struct draft *d, struct str file, const struct node *node, const struct member *members,
          size_t count, void *out);
/* The index of a value among `words`, or -1 with a finding. */
int take_word(struct draft *d, struct str file, const struct node *n, const char *const *words,
              size_t count);
/* Names in a list, each once; the array comes from the arena. */
struct str *take_names(struct draft *d, struct str file, const struct node *list, size_t *count);
/* A file of the bundle as a mapping; NULL, with a finding, where it is missing or unreadable. */
const struct node *take_file(struct draft *d, const char *path);
/* The things of `root.member`: NULL-safe, at most `max`. */
const struct node *take_list(struct draft *d, struct str file, const struct node *root,
                             const char *member, size_t max);
bool is_territory(struct str s);

/* ---- readers of each file ---- */

void load_controller(struct draft *d);
void load_categories(struct draft *d);
void load_purposes(struct draft *d);
void load_recipients(struct draft *d);
void load_laws(struct draft *d);
/* What a law will be, or is, from a day on (load_change.c). */
struct law_change {
    int64_t from; /* ms UTC */
    struct str source;
    const struct node *state; /* the law's whole file from then on */
};
/* The changes of a law's file in order; 0 where there are none, or with findings. */
size_t load_changes(struct draft *d, struct str file, const struct node *root,
                    struct law_change **out);
void load_deadlines(struct draft *d, struct str file, const struct node *list,
                    struct policy_law *law);
void load_refusals(struct draft *d, struct str file, const struct node *list,
                   struct policy_law *law);
void load_utc_offsets(struct draft *d, struct str file, const struct node *node,
                      struct policy_law *law);
/* The source of {source}; empty where there is no node. */
struct str load_source(struct draft *d, struct str file, const struct node *node);
void load_notices(struct draft *d);
void load_activities(struct draft *d);
/* What becomes of a record that breaks a range or a rule: "question", "refuse" (load_checks.c). */
enum { BREACH_QUESTION, BREACH_REFUSE, BREACHES };
extern const char *const breach_words[BREACHES];
/* Range and rules of a category, whose fields are read (load_checks.c). */
void load_range(struct draft *d, const struct node *item, struct str min, struct str max,
                struct policy_field *f);
void load_rules(struct draft *d, const struct node *list, struct policy_category *c);
/* The activity's categories are known already. *k is the member as it was said, or -1. */
void load_view(struct draft *d, const struct node *node, struct policy_activity *a, int *k);
/* True and what a notice's path says: "notices/<id>.<language>.md". */
bool notice_path(struct str path, struct str *id, struct str *language);

/* The first heading of a notice's text, which is its title; empty where it has none. */
struct str notice_title(struct arena *arena, struct str markdown);

/* ---- the linter ---- */

/* The same text in every language, folded. */
struct policy_text text_fold_all(struct draft *d, const struct policy_text *text);
void lint_names(struct draft *d);
void lint_purposes(struct draft *d);
void lint_recipients(struct draft *d);
void lint_activities(struct draft *d);
void lint_notices(struct draft *d);

/* ---- look-ups, once all is read (policy.c) ---- */

void policy_index(struct policy *p);

#endif
