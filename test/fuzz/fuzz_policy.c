/* fuzz_policy.c - bytes as a policy. The first byte says what the rest is: a bundle as JSON, or one
 * file of an otherwise sound, small policy. Nothing may crash, leak or take long; a policy that
 * compiles must answer look-ups and be the same after a journey through JSON. */
#include <stdlib.h>
#include <string.h>

#include "policy/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char controller[] =
    "id: c\nname: C\ncontact: c@c.example\ndefault_residence: SE\nlanguages:\n  en: {what: What, "
    "used: Used, shared: Shared, kept: Kept, refuse: Refuse, withdraw: Withdraw}\n";
static const char categories[] = "categories:\n  - {id: buys, label: {en: Buys}, dpv: \"pd:Buys\", "
                                 "fields: [{name: item, type: string}]}\n";
static const char purposes[] = "purposes:\n  - {id: offers, label: {en: Offers}, description: {en: "
                               "We send offers.}, dpv: \"dpv:DirectMarketing\"}\n";
static const char recipients[] = "recipients:\n  - {id: shop, label: {en: The shop}, kind: "
                                 "department, contact: s@c.example, training: {}}\n";
static const char activities[] =
    "activities:\n  - {id: a, purpose: offers, recipient: shop, categories: [buys], basis: {gdpr: "
    "consent}, if_refused: nothing, notice: offers, view: {form: identified}, retention: 9, "
    "consent_duration: 9}\n";
static const char law[] =
    "id: gdpr\nname: G\ncitation: G\neffective: 2018-05-25\nterritories: [SE]\nconsent: {model: "
    "opt_in, source: a}\ndeadlines: [{right: access, months: 1, source: a}]\n";
static const char notice[] =
    "---\nid: offers\nversion: 1\npurpose: offers\nmaterial: true\neffective: 2026-01-01\n---\n# "
    "T\n## What\nBuys\n## Used\nx\n## Shared\nThe shop\n## Kept\n9 days\n## Refuse\nx\n## "
    "Withdraw\nx\n";

static void look_around(const struct policy *p)
{
    for (size_t i = 0; i < p->activity_count; i++) {
        const struct policy_activity *a = &p->activities[i];
        if (policy_activity(p, a->recipient, a->purpose) != a)
            abort();
    }
    if (!policy_law_of(p, STR("XX")))
        abort();
    struct policy_diff diff = {0};
    policy_diff(NULL, p, &diff);
    policy_diff_free(&diff);
    policy_diff(p, p, &diff);
    if (diff.count)
        abort();
    policy_diff_free(&diff);
}

static void compile(const struct policy_bundle *bundle)
{
    struct policy_findings findings = {0};
    struct policy *policy = NULL;
    struct err err = {0};
    if (policy_compile(bundle, NULL, 0, clock_now(), &policy, &findings, &err) == 0)
        look_around(policy);
    else if (findings.errors == 0)
        abort();
    policy_unref(policy);
    policy_findings_free(&findings);
}

static void compile_json(struct str text)
{
    struct policy_bundle bundle = {0};
    struct err err = {0};
    if (policy_bundle_from_json(text, &bundle, &err) == 0)
        compile(&bundle);
    policy_bundle_free(&bundle);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size)
        return 0;
    struct str text = {(const char *)data + 1, size - 1};
    if (data[0] % 8 == 7) {
        compile_json(text);
        return 0;
    }
    struct policy_file files[] = {
        {STR("activities.yaml"), str_of(activities)},  {STR("categories.yaml"), str_of(categories)},
        {STR("controller.yaml"), str_of(controller)},  {STR("laws/gdpr.yaml"), str_of(law)},
        {STR("notices/offers.en.md"), str_of(notice)}, {STR("purposes.yaml"), str_of(purposes)},
        {STR("recipients.yaml"), str_of(recipients)},
    };
    files[data[0] % 8].text = text;
    if (!str_utf8_valid(text) || (text.n && memchr(text.p, '\0', text.n)))
        return 0; /* a bundle never holds such a file */
    struct policy_bundle bundle = {.files = files, .count = 7};
    compile(&bundle);
    return 0;
}
