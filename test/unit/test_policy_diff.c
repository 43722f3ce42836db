/* test_policy_diff.c - what a new policy changes, told before it applies. */
#include "test_policy_fixture.h"

static struct fixture before, after;
static struct policy_diff diff;

static int set_up(void **state)
{
    (void)state;
    fixture_demo(&before);
    fixture_open(&after);
    diff = (struct policy_diff){0};
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    policy_diff_free(&diff);
    fixture_close(&before);
    fixture_close(&after);
    return 0;
}

static void compare(void)
{
    fixture_compile(&after, NULL, 0);
    if (after.rc != 0)
        fixture_show(&after);
    assert_int_equal(after.rc, 0);
    policy_diff(before.policy, after.policy, &diff);
}

static void show(void)
{
    for (size_t i = 0; i < diff.count; i++)
        print_message("%d %s %.*s: %.*s\n", diff.items[i].kind, diff.items[i].what,
                      STR_ARG(diff.items[i].id), STR_ARG(diff.items[i].detail));
}

/* The only change there is. */
static const struct policy_change *only(enum policy_change_kind kind, const char *what,
                                        const char *id, const char *detail)
{
    if (diff.count != 1 || strcmp(diff.items[0].what, what) != 0 ||
        !str_is(diff.items[0].detail, detail))
        show();
    assert_int_equal(diff.count, 1);
    assert_int_equal(diff.items[0].kind, kind);
    assert_string_equal(diff.items[0].what, what);
    assert_true(str_is(diff.items[0].id, id));
    assert_true(str_is(diff.items[0].detail, detail));
    return &diff.items[0];
}

static const struct policy_change *find_change(enum policy_change_kind kind, const char *what,
                                               const char *id)
{
    for (size_t i = 0; i < diff.count; i++) {
        const struct policy_change *c = &diff.items[i];
        if (c->kind == kind && strcmp(c->what, what) == 0 && str_is(c->id, id))
            return c;
    }
    show();
    fail_msg("no change of %s %s", what, id);
    return NULL;
}

static void test_the_same_policy_changes_nothing(void **state)
{
    (void)state;
    compare();
    assert_int_equal(diff.count, 0);
}

static void test_a_first_policy_is_all_new(void **state)
{
    (void)state;
    policy_diff(NULL, before.policy, &diff);
    assert_string_equal(diff.items[0].what, "activity");
    for (size_t i = 0; i < diff.count; i++)
        assert_int_equal(diff.items[i].kind, POLICY_ADDED);
    const struct policy_change *c =
        find_change(POLICY_ADDED, "activity", "stock_planning_by_operations");
    assert_true(str_is(c->recipient, "operations"));
    assert_true(str_is(c->purpose, "stock_planning"));
    assert_true(str_is(
        c->detail,
        "categories purchases; basis under ccpa legitimate_interest; basis under "
        "cpa legitimate_interest; basis under fadp legitimate_interest; basis under "
        "gdpr legitimate_interest; basis under lgpd legitimate_interest; basis under "
        "uk_gdpr legitimate_interest; basis under vcdpa legitimate_interest; view aggregate; k 20; retention 730 days"));
}

static void test_a_change_of_an_activity_is_told_in_detail(void **state)
{
    (void)state;
    fixture_edit(&after, "activities.yaml", "retention: 90\n", "retention: 180\n");
    fixture_edit(&after, "activities.yaml", "record: always\n    automated_decision: forbidden",
                 "record: on_request\n    automated_decision: allowed");
    compare();
    const struct policy_change *c =
        find_change(POLICY_CHANGED, "activity", "credit_scoring_by_risk");
    assert_non_null(c);
    assert_true(str_is(c->detail, "retention 90 -> 180 days; record always -> on_request; "
                                  "automated_decision forbidden -> allowed"));
    assert_true(str_is(c->recipient, "risk"));
    assert_true(str_is(c->purpose, "credit_scoring"));
    assert_int_equal(c->detail_count, 3);
    const struct policy_detail *first = &c->details[0];
    assert_int_equal(first->kind, POLICY_D_SET);
    assert_string_equal(first->field, "retention");
    assert_true(str_is(first->before, "90") && str_is(first->after, "180"));
    assert_string_equal(first->unit, "days");
    /* No other activity keeps credit details that long. */
    c = find_change(POLICY_CHANGED, "category", "credit");
    assert_non_null(c);
    assert_true(str_is(c->detail, "records are kept 90 -> 180 days"));
}

static void test_a_view_that_cuts_more_or_less_is_told(void **state)
{
    (void)state;
    fixture_edit(&after, "activities.yaml", "points, band: 1000", "points, band: 500");
    compare();
    only(POLICY_CHANGED, "activity", "bonus_programme_by_nordbank",
         "field loyalty.points in bands of 500 added; "
         "field loyalty.points in bands of 1000 removed");
}

static void test_a_basis_that_changes_under_one_law_is_told(void **state)
{
    (void)state;
    fixture_edit(&after, "activities.yaml", "{gdpr: consent, ccpa: opt_out}",
                 "{gdpr: consent, ccpa: consent}");
    compare();
    only(POLICY_CHANGED, "activity", "personal_offers_by_marketing",
         "basis under ccpa opt_out -> consent; basis under cpa opt_out -> consent; basis under "
         "vcdpa opt_out -> consent");
}

static void test_categories_and_fields_that_come_and_go_are_told(void **state)
{
    (void)state;
    fixture_edit(&after, "activities.yaml", "categories: [transactions, account, profile]",
                 "categories: [transactions, account]");
    fixture_edit(&after, "activities.yaml", "        - profile.interests\n",
                 "        - profile.customer_since\n");
    compare();
    assert_true(str_is(find_change(POLICY_CHANGED, "activity", "fraud_prevention_by_risk")->detail,
                       "category profile removed"));
    assert_true(
        str_is(find_change(POLICY_CHANGED, "activity", "personal_offers_by_marketing")->detail,
               "field profile.customer_since added; field profile.interests removed"));
}

static void test_an_activity_of_another_recipient_is_another_activity(void **state)
{
    (void)state;
    fixture_edit(&after, "activities.yaml", "purpose: safety_recall\n    recipient: operations",
                 "purpose: safety_recall\n    recipient: marketing");
    compare();
    assert_true(
        str_is(find_change(POLICY_ADDED, "activity", "safety_recall_by_operations")->recipient,
               "marketing"));
    assert_true(
        str_is(find_change(POLICY_REMOVED, "activity", "safety_recall_by_operations")->recipient,
               "operations"));
}

static void set_notice(const char *language, const char *version, const char *material, bool reword)
{
    char path[64];
    snprintf(path, sizeof path, "notices/personal_offers.%s.md", language);
    fixture_edit(&after, path, "version: 1", version);
    fixture_edit(&after, path, "material: true", material);
    if (reword)
        fixture_edit(&after, path, "365", "366");
}

static void test_a_material_notice_ends_older_consents(void **state)
{
    (void)state;
    set_notice("en", "version: 2", "material: true", true);
    set_notice("sv", "version: 2", "material: true", true);
    compare();
    const struct policy_change *c =
        only(POLICY_CHANGED, "notice", "personal_offers",
             "version 1 -> 2; text in en changed; text in sv changed; material: consents under "
             "older versions no longer hold");
    assert_true(c->material);
    assert_true(str_is(c->recipient, "marketing"));
    assert_true(str_is(c->purpose, "personal_offers"));
}

static void test_a_notice_that_is_only_reworded_keeps_consents(void **state)
{
    (void)state;
    set_notice("en", "version: 2", "material: false", true);
    set_notice("sv", "version: 2", "material: false", false);
    compare();
    const struct policy_change *c = only(POLICY_CHANGED, "notice", "personal_offers",
                                         "version 1 -> 2; text in en changed; text in sv changed");
    assert_false(c->material);
}

static void test_a_change_in_one_language_is_told(void **state)
{
    (void)state;
    fixture_edit(&after, "notices/personal_offers.sv.md", "365", "366");
    compare();
    only(POLICY_CHANGED, "notice", "personal_offers", "text in sv changed");
}

static void test_changes_of_a_recipient_are_told(void **state)
{
    (void)state;
    fixture_edit(&after, "recipients.yaml", "until: 2031-06-30", "until: 2032-01-31");
    fixture_edit(&after, "recipients.yaml", "    kind: processor\n",
                 "    kind: processor\n    status: suspended\n");
    compare();
    only(POLICY_CHANGED, "recipient", "mailhouse",
         "status active -> suspended; contract until 2031-06-30 -> 2032-01-31");
}

static void test_changes_of_a_purpose_are_told_by_language(void **state)
{
    (void)state;
    fixture_edit(&after, "purposes.yaml", "sv: Nyhetsbrev}", "sv: Månadsbrev}");
    compare();
    only(POLICY_CHANGED, "purpose", "newsletter_delivery",
         "label (sv) \"Nyhetsbrev\" -> \"Månadsbrev\"");
}

static void test_changes_of_a_category_are_told_by_field(void **state)
{
    (void)state;
    fixture_edit(&after, "categories.yaml", "{name: quantity, type: integer, min: 1, max: 1000,",
                 "{name: quantity, type: decimal, required: true,");
    fixture_edit(&after, "categories.yaml", "label: {en: How many, sv: Antal}",
                 "label: {en: How many, sv: Styck}");
    fixture_edit(
        &after, "categories.yaml",
        "      - {name: returned, type: boolean,\n         label: {en: Returned, sv: Återlämnad}}\n",
        "");
    fixture_edit(&after, "categories.yaml", ",\n         label: {en: Store, sv: Butik}}", "}");
    fixture_edit(&after, "categories.yaml", "electronics, garden]", "electronics]");
    compare();
    only(
        POLICY_CHANGED, "category", "purchases",
        "field department: value garden removed; field quantity: label (sv) \"Antal\" -> \"Styck\"; type integer -> "
        "decimal; "
        "required no -> yes; range changed; field store: label yes -> no; field returned removed");
}

static void test_changes_of_what_is_asked_about_are_told(void **state)
{
    (void)state;
    fixture_edit(&after, "categories.yaml", "holds: birth_date < customer_since",
                 "holds: birth_date <= customer_since");
    fixture_edit(&after, "categories.yaml", "        breach: refuse\n",
                 "        breach: refuse\n      - {id: new_rule, label: {en: E, sv: S}, "
                 "when: language = sv, holds: household_size > 0}\n");
    compare();
    only(POLICY_CHANGED, "category", "profile",
         "rule born_before_customer changed; rule new_rule added");
}

static void test_changes_of_a_law_are_told(void **state)
{
    (void)state;
    fixture_edit(&after, "laws/gdpr.yaml", "SE: 13", "SE: 15");
    fixture_edit(&after, "laws/gdpr.yaml", "right: erasure, months: 1, extend_months: 2",
                 "right: erasure, days: 30");
    compare();
    only(POLICY_CHANGED, "law", "gdpr",
         "guardian_below in SE 13 -> 15 years; deadline for erasure 1 months + 2 months -> 30 "
         "days");
}

static void test_changes_of_the_controller_are_told(void **state)
{
    (void)state;
    fixture_edit(&after, "controller.yaml", "name: Nordhandel AB", "name: Nordhandel Group AB");
    fixture_edit(&after, "controller.yaml", "default_law: gdpr\n", "");
    compare();
    only(POLICY_CHANGED, "controller", "nordhandel",
         "name Nordhandel AB -> Nordhandel Group AB; default_law gdpr -> none");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_the_same_policy_changes_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_first_policy_is_all_new, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_change_of_an_activity_is_told_in_detail, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_a_view_that_cuts_more_or_less_is_told, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_a_basis_that_changes_under_one_law_is_told, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_categories_and_fields_that_come_and_go_are_told,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_an_activity_of_another_recipient_is_another_activity,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_material_notice_ends_older_consents, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_a_notice_that_is_only_reworded_keeps_consents, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_a_change_in_one_language_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_changes_of_a_recipient_are_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_changes_of_a_purpose_are_told_by_language, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_changes_of_a_category_are_told_by_field, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_changes_of_what_is_asked_about_are_told, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_changes_of_a_law_are_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_changes_of_the_controller_are_told, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
