/* lint_notice.c - the rules about notices: that a text says what, how used, with whom and how long
 * (GDPR art. 13), that all languages say it, and that nothing published changes under its version.
 */
#include "policy/draft.h"

static const struct notice_draft *text_of(const struct draft *d, size_t notice, size_t language)
{
    return &d->notices[notice * MAX_LANGUAGES + language];
}

static void check_sections(struct draft *d, const struct notice_draft *t, size_t language,
                           const bool wanted[SECTION_COUNT])
{
    for (size_t s = 0; s < SECTION_COUNT; s++) {
        if (!wanted[s])
            continue;
        if (!t->heading_line[s])
            find_error(d, t->file, 0, "notice_section",
                       "there is no section \"%.*s\" (%s): the consumer must be told",
                       STR_ARG(d->section[language][s]), section_names[s]);
        else if (!t->section[s].n)
            find_error(d, t->file, t->heading_line[s], "notice_section",
                       "section \"%.*s\" is empty", STR_ARG(d->section[language][s]));
    }
}

/* How long is told by a number, by a word of time, or by what ends it. Other languages than English
 * and Swedish are held to the section being there. */
static bool tells_how_long(struct str language, struct str text)
{
    static const char *const english[] = {"day",        "week",  "month", "year",     "until",
                                          "as long as", "while", "never", "not kept", "at once"};
    static const char *const swedish[] = {"dag",   "dygn",     "vecka",  "månad", "år",
                                          "tills", "så länge", "aldrig", "inte",  "genast"};
    const char *const *words = str_is(language, "en") ? english : swedish;
    if (!str_is(language, "en") && !str_is(language, "sv"))
        return true;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] >= '0' && text.p[i] <= '9')
            return true;
    }
    for (size_t i = 0; i < 10; i++) {
        if (text_has_phrase(text, str_of(words[i])))
            return true;
    }
    return false;
}

static void check_kept(struct draft *d, const struct notice_draft *t, size_t language)
{
    struct str kept = t->section[SECTION_KEPT];
    if (kept.n && !tells_how_long(d->policy->languages[language], kept))
        find_error(d, t->file, t->heading_line[SECTION_KEPT], "notice_kept",
                   "the section does not say how long: give a time, or what ends it");
}

/* Labels as they are compared with the sections. */
struct labels {
    struct policy_text *categories, *recipients;
};

static struct labels fold_labels(struct draft *d)
{
    const struct policy *p = d->policy;
    struct labels l = {
        arena_array(d->scratch, p->category_count + 1, sizeof *l.categories),
        arena_array(d->scratch, p->recipient_count + 1, sizeof *l.recipients),
    };
    for (size_t i = 0; i < p->category_count; i++)
        l.categories[i] = text_fold_all(d, &p->categories[i].label);
    for (size_t i = 0; i < p->recipient_count; i++)
        l.recipients[i] = text_fold_all(d, &p->recipients[i].label);
    return l;
}

/* A section that is missing has its finding already, and is passed over here. */
static void check_says(struct draft *d, const struct notice_draft *t, size_t language,
                       const struct policy_activity *a, const struct labels *labels)
{
    struct str what = t->section[SECTION_WHAT], shared = t->section[SECTION_SHARED];
    for (size_t i = 0; what.n && i < a->category_count; i++) {
        const struct policy_category *c = a->categories[i];
        struct str label = labels->categories[c->index].in[language];
        if (label.n && !text_has_phrase(what, label))
            find_error(d, t->file, t->heading_line[SECTION_WHAT], "notice_category",
                       "the section does not name \"%.*s\", which %.*s uses",
                       STR_ARG(c->label.in[language]), STR_ARG(a->id));
    }
    const struct policy_recipient *r = a->recipient;
    struct str label = r ? labels->recipients[r->index].in[language] : (struct str){0};
    if (shared.n && label.n && !text_has_phrase(shared, label))
        find_error(d, t->file, t->heading_line[SECTION_SHARED], "notice_recipient",
                   "the section does not name \"%.*s\", which %.*s gives data to",
                   STR_ARG(r->label.in[language]), STR_ARG(a->id));
}

static void want_sections(const struct draft *d, const struct policy_activity *a, bool *wanted)
{
    for (size_t law = 0; law < d->policy->law_count; law++) {
        enum policy_basis basis = a->basis[law];
        wanted[SECTION_REFUSE] |= basis == BASIS_CONSENT;
        wanted[SECTION_WITHDRAW] |=
            basis == BASIS_CONSENT || basis == BASIS_OPT_OUT || basis == BASIS_LEGITIMATE_INTEREST;
    }
}

static void check_text(struct draft *d, size_t notice, size_t language, const struct labels *labels)
{
    const struct policy *p = d->policy;
    const struct notice_draft *t = text_of(d, notice, language);
    bool wanted[SECTION_COUNT] = {[SECTION_WHAT] = true,
                                  [SECTION_USED] = true,
                                  [SECTION_SHARED] = true,
                                  [SECTION_KEPT] = true};
    for (size_t i = 0; i < p->activity_count; i++) {
        if (p->activities[i].notice != &p->notices[notice])
            continue;
        want_sections(d, &p->activities[i], wanted);
        check_says(d, t, language, &p->activities[i], labels);
    }
    check_sections(d, t, language, wanted);
    check_kept(d, t, language);
    if (!p->notices[notice].texts[language].title.n)
        find_error(d, t->file, 0, "notice_title", "there is no title: begin with \"# ...\"");
}

static void check_languages(struct draft *d, size_t notice)
{
    const struct policy *p = d->policy;
    const struct policy_notice *n = &p->notices[notice];
    for (size_t l = 0; l < p->language_count; l++) {
        const struct notice_draft *t = text_of(d, notice, l);
        if (!t->file.n) {
            struct str missing = arena_printf(d->scratch, "notices/%.*s.%.*s.md", STR_ARG(n->id),
                                              STR_ARG(p->languages[l]));
            find_error(d, missing, 0, "missing_language", "notice %.*s has no text in %.*s",
                       STR_ARG(n->id), STR_ARG(p->languages[l]));
            continue;
        }
        if (t->version && t->version != n->version)
            find_error(d, t->file, t->version_line, "notice_differs",
                       "version %d here and %d in another language: they change together",
                       t->version, n->version);
        if (t->version && t->material != n->material)
            find_error(d, t->file, t->material_line, "notice_differs",
                       "material is not the same in every language");
        if (t->purpose.n && !str_eq(t->purpose, n->purpose))
            find_error(d, t->file, t->purpose_line, "notice_differs",
                       "purpose is not the same in every language");
    }
}

static void check_past(struct draft *d, size_t notice, size_t language)
{
    const struct policy_notice *n = &d->policy->notices[notice];
    const struct policy_notice_text *text = &n->texts[language];
    const struct notice_draft *t = text_of(d, notice, language);
    int newest = 0;
    for (size_t i = 0; i < d->past_count; i++) {
        const struct policy_past_notice *past = &d->past[i];
        if (!str_eq(past->id, n->id))
            continue;
        newest = past->version > newest ? past->version : newest;
        if (past->version == t->version && str_eq(past->language, text->language) &&
            !bytes_equal_secret(&past->hash, &text->hash, sizeof text->hash))
            find_error(d, t->file, t->version_line, "text_changed",
                       "version %d was published with another text: give this one version %d",
                       t->version, t->version + 1);
    }
    if (t->version && t->version < newest)
        find_error(d, t->file, t->version_line, "version_backwards",
                   "version %d after version %d: a notice never goes back", t->version, newest);
}

static void check_purpose(struct draft *d, size_t notice, size_t language)
{
    const struct policy *p = d->policy;
    const struct notice_draft *t = text_of(d, notice, language);
    struct str *ids = arena_array(d->scratch, p->purpose_count + 1, sizeof *ids);
    for (size_t i = 0; i < p->purpose_count; i++) {
        ids[i] = p->purposes[i].id;
        if (str_eq(ids[i], t->purpose))
            return;
    }
    struct str hint = find_hint(d, t->purpose, ids, p->purpose_count);
    if (t->purpose.n && p->purpose_count)
        find_error(d, t->file, t->purpose_line, "unknown_name", "there is no purpose %.*s%.*s",
                   STR_ARG(t->purpose), STR_ARG(hint));
}

static void check_used(struct draft *d, size_t notice)
{
    const struct policy *p = d->policy;
    for (size_t i = 0; i < p->activity_count; i++) {
        if (p->activities[i].notice == &p->notices[notice])
            return;
    }
    for (size_t l = 0; l < p->language_count; l++) {
        const struct notice_draft *t = text_of(d, notice, l);
        if (t->file.n)
            find(d, POLICY_WARNING, t->file, 0, "unused", "no activity uses notice %.*s",
                 STR_ARG(p->notices[notice].id));
    }
}

void lint_notices(struct draft *d)
{
    const struct labels labels = fold_labels(d);
    for (size_t i = 0; i < d->policy->notice_count; i++) {
        check_languages(d, i);
        check_used(d, i);
        for (size_t l = 0; l < d->policy->language_count; l++) {
            /* Without readable front matter the text has its finding already. */
            if (!text_of(d, i, l)->version_line)
                continue;
            check_text(d, i, l, &labels);
            check_purpose(d, i, l);
            check_past(d, i, l);
        }
    }
}
