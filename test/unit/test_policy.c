/* test_policy.c - the compiled policy, its look-ups, bundles, and versions of notices. */
#include "test_policy_fixture.h"

static void test_the_shipped_policy_has_no_finding(void **state)
{
    (void)state;
    struct fixture f;
    fixture_demo(&f);
    fixture_show(&f);
    assert_int_equal(f.findings.count, 0);
    fixture_close(&f);
}

static const struct policy_activity *activity(const struct fixture *f, const char *recipient,
                                              const char *purpose)
{
    const struct policy_recipient *r = policy_recipient(f->policy, str_of(recipient));
    const struct policy_purpose *p = policy_purpose(f->policy, str_of(purpose));
    assert_non_null(r);
    assert_non_null(p);
    return policy_activity(f->policy, r, p);
}

static const struct policy_law *law(const struct fixture *f, const char *residence)
{
    return policy_law_of(f->policy, str_of(residence));
}

static void test_names_are_found_and_others_are_not(void **state)
{
    (void)state;
    struct fixture f;
    fixture_demo(&f);
    for (size_t i = 0; i < f.policy->category_count; i++)
        assert_ptr_equal(policy_category(f.policy, f.policy->categories[i].id),
                         &f.policy->categories[i]);
    for (size_t i = 0; i < f.policy->notice_count; i++)
        assert_ptr_equal(policy_notice(f.policy, f.policy->notices[i].id), &f.policy->notices[i]);
    assert_null(policy_category(f.policy, STR("nothing")));
    assert_null(policy_category(f.policy, STR("")));
    assert_null(policy_purpose(f.policy, STR("personal_offer")));
    assert_null(policy_recipient(f.policy, STR("Marketing")));
    assert_null(activity(&f, "marketing", "bookkeeping"));
    fixture_close(&f);
}

static void test_an_activity_is_compiled_with_all_that_was_said(void **state)
{
    (void)state;
    struct fixture f;
    fixture_demo(&f);
    const struct policy_activity *a = activity(&f, "marketing", "personal_offers");
    assert_non_null(a);
    assert_int_equal(a->basis[law(&f, "SE")->index], BASIS_CONSENT);
    assert_int_equal(a->basis[law(&f, "US-CA")->index], BASIS_OPT_OUT);
    assert_int_equal(a->view, VIEW_IDENTIFIED);
    assert_int_equal(a->view_field_count, 8);
    assert_true(str_is(a->view_fields[0], "purchases.product"));
    assert_int_equal(a->retention_days, 365);
    assert_int_equal(a->consent_days, 730);
    assert_false(a->record_always);
    assert_true(str_is(a->notice->id, "personal_offers"));
    assert_true(policy_activity_covers(a, policy_category(f.policy, STR("contact"))));
    assert_false(policy_activity_covers(a, policy_category(f.policy, STR("credit"))));
    a = activity(&f, "risk", "credit_scoring");
    assert_true(a->record_always);
    assert_true(a->no_automated_decision);
    a = activity(&f, "operations", "stock_planning");
    assert_int_equal(a->view, VIEW_AGGREGATE);
    assert_int_equal(a->aggregate_k, 20);
    assert_null(activity(&f, "accounting", "bookkeeping")->notice);
    fixture_close(&f);
}

static void test_a_paper_holds_through_its_last_day(void **state)
{
    (void)state;
    struct fixture f;
    fixture_demo(&f);
    int64_t first_without;
    assert_true(time_parse(STR("2031-07-01T00:00:00Z"), &first_without));
    const struct policy_recipient *mailhouse = policy_recipient(f.policy, STR("mailhouse"));
    assert_int_equal(mailhouse->contract_end, first_without);
    assert_int_equal(mailhouse->training_end, TIME_NONE);
    assert_true(str_starts(mailhouse->contract, STR("DPA 2026-014")));
    fixture_close(&f);
}

static void test_a_contract_without_date_has_no_end(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f);
    fixture_edit(&f, "recipients.yaml", ", until: 2031-06-30", "");
    fixture_compile(&f, NULL, 0);
    assert_int_equal(f.rc, 0);
    assert_int_equal(policy_recipient(f.policy, STR("mailhouse"))->contract_end, INT64_MAX);
    fixture_close(&f);
}

static void test_the_law_is_that_of_the_residence(void **state)
{
    (void)state;
    struct fixture f;
    fixture_demo(&f);
    assert_true(str_is(law(&f, "SE")->id, "gdpr"));
    assert_true(str_is(law(&f, "NO")->id, "gdpr"));
    assert_true(str_is(law(&f, "DE-BY")->id, "gdpr"));
    assert_true(str_is(law(&f, "US-CA")->id, "ccpa"));
    assert_true(str_is(law(&f, "US-NY")->id, "gdpr"));
    assert_true(str_is(law(&f, "")->id, "gdpr"));
    assert_true(law(&f, "US-CA")->opt_out_model);
    fixture_close(&f);
}

static void test_a_region_goes_before_its_country(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f);
    fixture_edit(&f, "laws/gdpr.yaml", "[AT,", "[US, AT,");
    fixture_compile(&f, NULL, 0);
    assert_int_equal(f.rc, 0);
    assert_true(str_is(law(&f, "US-CA")->id, "ccpa"));
    assert_true(str_is(law(&f, "US-NY")->id, "gdpr"));
    fixture_close(&f);
}

static void test_guardians_act_below_the_age_of_the_state(void **state)
{
    (void)state;
    struct fixture f;
    fixture_demo(&f);
    assert_int_equal(policy_guardian_below(law(&f, "SE"), STR("SE")), 13);
    assert_int_equal(policy_guardian_below(law(&f, "DK"), STR("DK")), 15);
    assert_int_equal(policy_guardian_below(law(&f, "DE"), STR("DE-BY")), 16);
    assert_int_equal(policy_guardian_below(law(&f, "FR"), STR("FR")), 15);
    assert_int_equal(policy_guardian_below(law(&f, "US-NY"), STR("US-NY")), 16);
    assert_int_equal(policy_guardian_below(law(&f, "US-CA"), STR("US-CA")), 13);
    assert_int_equal(law(&f, "US-CA")->opt_in_below, 16);
    assert_int_equal(law(&f, "SE")->opt_in_below, 0);
    fixture_close(&f);
}

static int64_t instant(const char *text)
{
    int64_t at;
    assert_true(time_parse(str_of(text), &at));
    return at;
}

static void test_a_law_is_as_its_changes_say_on_the_day(void **state)
{
    (void)state;
    static const struct {
        const char *as_of;
        int denmark, sweden;
        const char *next;
    } cases[] = {
        {"2023-12-31T23:59:59.999Z", 13, 13, "2024-01-01T00:00:00Z"},
        {"2024-01-01T00:00:00Z", 15, 13, "2099-01-01T00:00:00Z"},
        {"2099-01-01T00:00:00Z", 15, 16, "2099-03-01T00:00:00Z"},
        {"2099-03-01T00:00:00Z", 15, 16, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct fixture f;
        fixture_open(&f);
        fixture_edit(&f, "laws/gdpr.yaml", "{guardian_below: {DK: 15}}",
                     "{guardian_below: {DK: 15}}\n"
                     "  - {from: 2099-01-01, source: a, consent: {guardian_below: {SE: 16}}}\n"
                     "  - {from: 2099-03-01, source: b, refusals: [], name: Other}");
        f.as_of = instant(cases[i].as_of);
        fixture_compile(&f, NULL, 0);
        fixture_show(&f);
        assert_int_equal(f.rc, 0);
        const struct policy_law *gdpr = law(&f, "SE");
        assert_int_equal(policy_guardian_below(gdpr, STR("DK")), cases[i].denmark);
        assert_int_equal(policy_guardian_below(gdpr, STR("SE")), cases[i].sweden);
        assert_int_equal(policy_guardian_below(gdpr, STR("FR")), 15);
        assert_int_equal(gdpr->guardian_by_territory_count, 30);
        assert_int_equal(gdpr->pending_count, 3 - i);
        assert_true(f.policy->next_change == (cases[i].next ? instant(cases[i].next) : INT64_MAX));
        assert_int_equal(gdpr->refusal_count == 0, i == 3);
        assert_true(str_is(gdpr->name, "Other") == (i == 3));
        fixture_close(&f);
    }
}

static void test_every_member_state_is_under_the_gdpr(void **state)
{
    (void)state;
    static const char *const states[] = {
        "AT", "BE", "BG", "HR", "CY", "CZ", "DK", "EE", "FI", "FR", "DE", "GR", "HU", "IE", "IT",
        "LV", "LT", "LU", "MT", "NL", "PL", "PT", "RO", "SK", "SI", "ES", "SE", "IS", "LI", "NO"};
    struct fixture f;
    fixture_demo(&f);
    const struct policy_law *gdpr = law(&f, "SE");
    assert_int_equal(gdpr->territory_count, 30);
    assert_int_equal(gdpr->guardian_by_territory_count, 30);
    for (size_t i = 0; i < 30; i++) {
        assert_ptr_equal(law(&f, states[i]), gdpr);
        int years = policy_guardian_below(gdpr, str_of(states[i]));
        assert_in_range(years, 13, 16); /* art. 8(1) */
    }
    fixture_close(&f);
}

static void test_deadlines_are_those_of_the_law(void **state)
{
    (void)state;
    struct fixture f;
    fixture_demo(&f);
    const struct policy_law *gdpr = law(&f, "SE"), *ccpa = law(&f, "US-CA");
    assert_int_equal(gdpr->deadlines[0].months, 1);
    assert_int_equal(gdpr->deadlines[0].extend_months, 2);
    assert_int_equal(gdpr->deadlines[0].days, 0);
    for (size_t i = 0; i < ccpa->deadline_count; i++) {
        bool fast = str_is(ccpa->deadlines[i].right, "opt_out") ||
                    str_is(ccpa->deadlines[i].right, "limit_use");
        assert_int_equal(ccpa->deadlines[i].days, fast ? 15 : 45);
        assert_int_equal(ccpa->deadlines[i].extend_days, fast ? 0 : 45);
        assert_int_equal(ccpa->deadlines[i].months, 0);
        assert_true(ccpa->deadlines[i].source.n > 0);
    }
    fixture_close(&f);
}

static void test_texts_are_found_by_language(void **state)
{
    (void)state;
    struct fixture f;
    fixture_demo(&f);
    const struct policy_notice *n = policy_notice(f.policy, STR("personal_offers"));
    const struct policy_notice_text *sv = policy_notice_text(n, STR("sv"));
    assert_non_null(sv);
    assert_true(str_is(sv->title, "Erbjudanden som är valda för dig"));
    struct sha256 hash = sha256_of(fixture_file(&f, "notices/personal_offers.sv.md")->text);
    assert_memory_equal(&hash, &sv->hash, sizeof hash);
    assert_null(policy_notice_text(n, STR("de")));
    const struct policy_category *c = policy_category(f.policy, STR("purchases"));
    assert_true(str_is(policy_text_in(f.policy, &c->label, STR("sv")), "Köp"));
    assert_true(str_is(policy_text_in(f.policy, &c->label, STR("de")), "Purchases"));
    fixture_close(&f);
}

static void test_a_policy_lives_as_long_as_someone_holds_it(void **state)
{
    (void)state;
    struct fixture f;
    fixture_demo(&f);
    struct policy *held = policy_ref(f.policy);
    fixture_close(&f);
    assert_non_null(policy_recipient(held, STR("marketing")));
    policy_unref(held);
    policy_unref(NULL);
}

/* ---- findings ---- */

static void test_all_findings_are_told_in_reading_order(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f);
    fixture_edit(&f, "recipients.yaml", "kind: broker", "kind: brokr");
    fixture_edit(&f, "activities.yaml", "retention: 90\n", "retention: 0\n");
    fixture_edit(&f, "activities.yaml", "purpose: data_sale", "purpose: data_sail");
    fixture_edit(&f, "controller.yaml", "default_residence: SE", "default_residence: Sweden");
    fixture_compile(&f, NULL, 0);
    assert_int_equal(f.rc, LOV_EINVAL);
    assert_string_equal(f.err.reason, "policy_refused");
    assert_true(f.findings.errors >= 4);
    for (size_t i = 1; i < f.findings.count; i++) {
        const struct policy_finding *a = &f.findings.items[i - 1], *b = &f.findings.items[i];
        int order = str_cmp(a->file, b->file);
        assert_true(order < 0 || (order == 0 && a->line <= b->line));
    }
    fixture_close(&f);
}

static bool has_finding(const struct fixture *f, const char *file, const char *rule)
{
    for (size_t i = 0; i < f->findings.count; i++) {
        if (str_is(f->findings.items[i].file, file) && strcmp(f->findings.items[i].rule, rule) == 0)
            return true;
    }
    return false;
}

static void test_a_missing_file_is_refused(void **state)
{
    (void)state;
    static const char *const files[] = {"controller.yaml", "categories.yaml", "purposes.yaml",
                                        "recipients.yaml", "activities.yaml"};
    for (size_t i = 0; i < 5; i++) {
        struct fixture f;
        fixture_open(&f);
        fixture_remove(&f, files[i]);
        fixture_compile(&f, NULL, 0);
        assert_int_equal(f.rc, LOV_EINVAL);
        assert_true(has_finding(&f, files[i], "missing_file"));
        fixture_close(&f);
    }
}

static void test_a_file_that_was_not_read_is_told_once(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f);
    fixture_edit(&f, "purposes.yaml", "purposes:\n", "purposes: }\n");
    fixture_compile(&f, NULL, 0);
    assert_int_equal(f.findings.count, 1);
    fixture_close(&f);
}

static void test_a_policy_without_law_is_refused(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f);
    fixture_remove(&f, "laws/gdpr.yaml");
    static const char *const others[] = {"laws/ccpa.yaml",    "laws/cpa.yaml",  "laws/fadp.yaml",
                                         "laws/uk_gdpr.yaml", "laws/lgpd.yaml", "laws/vcdpa.yaml"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        fixture_remove(&f, others[i]);
    fixture_compile(&f, NULL, 0);
    assert_true(has_finding(&f, "laws", "missing_file"));
    fixture_close(&f);
}

static void test_an_unknown_file_is_refused(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f);
    fixture_add(&f, "reciepients.yaml", "recipients: []\n");
    fixture_compile(&f, NULL, 0);
    assert_true(has_finding(&f, "reciepients.yaml", "unknown_file"));
    fixture_close(&f);
}

static void test_a_notice_missing_in_a_language_is_refused(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f);
    fixture_remove(&f, "notices/data_sale.sv.md");
    fixture_compile(&f, NULL, 0);
    assert_int_equal(f.rc, LOV_EINVAL);
    assert_true(has_finding(&f, "notices/data_sale.sv.md", "missing_language"));
    fixture_close(&f);
}

static void test_a_notice_in_an_unknown_language_is_refused(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f);
    fixture_add(&f, "notices/data_sale.de.md", "---\nid: data_sale\n---\n");
    fixture_compile(&f, NULL, 0);
    assert_true(has_finding(&f, "notices/data_sale.de.md", "unknown_language"));
    fixture_close(&f);
}

static void add_activities(struct fixture *f, int count)
{
    struct buf text = {0};
    buf_cstr(&text, "activities:\n");
    for (int i = 0; i < count; i++)
        buf_printf(&text, "  - {id: a%d}\n", i);
    struct policy_file *file = fixture_file(f, "activities.yaml");
    file->text = arena_str(&f->bundle.arena, buf_view(&text));
    buf_free(&text);
}

static void test_who_trades_gets_no_names_unless_the_policy_says_so(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f);
    fixture_edit(&f, "activities.yaml",
                 "      form: aggregate\n      k: 50\n      fields:", "      fields:");
    fixture_edit(&f, "activities.yaml",
                 "    view:\n      form: identified\n      fields: [profile.interests, "
                 "profile.language]\n",
                 "");
    fixture_edit(&f, "activities.yaml", "    view: {form: identified}\n    retention: 1095\n",
                 "    retention: 1095\n");
    fixture_compile(&f, NULL, 0);
    assert_non_null(f.policy);
    const struct policy_activity *a = activity(&f, "adnord", "ad_measurement");
    assert_int_equal(a->view, VIEW_AGGREGATE);
    assert_int_equal(a->aggregate_k, 20);
    assert_int_equal(activity(&f, "datamark", "data_sale")->view, VIEW_PSEUDONYMOUS);
    assert_int_equal(activity(&f, "customer_service", "customer_support")->view, VIEW_IDENTIFIED);
    fixture_close(&f);
}

static void test_more_than_256_activities_are_refused(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f);
    add_activities(&f, 257);
    fixture_compile(&f, NULL, 0);
    assert_true(has_finding(&f, "activities.yaml", "too_many"));
    fixture_close(&f);
}

static void test_findings_stop_at_200_but_errors_are_counted(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f);
    add_activities(&f, 256);
    fixture_compile(&f, NULL, 0);
    assert_int_equal(f.findings.count, 200);
    assert_true(f.findings.errors > 1000);
    fixture_close(&f);
}

/* ---- versions of notices ---- */

static void set_version(struct fixture *f, const char *version, const char *material)
{
    static const char *const files[] = {"notices/personal_offers.en.md",
                                        "notices/personal_offers.sv.md"};
    for (size_t i = 0; i < 2; i++) {
        fixture_edit(f, files[i], "version: 1", version);
        fixture_edit(f, files[i], "material: true", material);
    }
}

static struct policy_past_notice past(const char *language, int version, bool material,
                                      struct sha256 hash)
{
    return (struct policy_past_notice){STR("personal_offers"), str_of(language), version, material,
                                       hash};
}

static void test_a_text_may_not_change_under_its_version(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f);
    struct sha256 sv = sha256_of(fixture_file(&f, "notices/personal_offers.sv.md")->text);
    struct policy_past_notice before[] = {past("en", 1, true, (struct sha256){{1}}),
                                          past("sv", 1, true, sv)};
    fixture_compile(&f, before, 2);
    assert_int_equal(f.rc, LOV_EINVAL);
    assert_int_equal(f.findings.count, 1);
    assert_string_equal(f.findings.items[0].rule, "text_changed");
    assert_true(str_is(f.findings.items[0].file, "notices/personal_offers.en.md"));
    assert_int_equal(f.findings.items[0].line, 3);
    fixture_close(&f);
}

static void test_a_version_may_not_go_back(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f);
    struct policy_past_notice before[] = {past("en", 2, true, (struct sha256){{1}})};
    fixture_compile(&f, before, 1);
    assert_int_equal(f.rc, LOV_EINVAL);
    assert_true(has_finding(&f, "notices/personal_offers.en.md", "version_backwards"));
    assert_true(has_finding(&f, "notices/personal_offers.sv.md", "version_backwards"));
    fixture_close(&f);
}

static int sufficient_from(const char *version, const char *material,
                           const struct policy_past_notice *before, size_t count)
{
    struct fixture f;
    fixture_open(&f);
    set_version(&f, version, material);
    fixture_compile(&f, before, count);
    if (f.rc != 0)
        fixture_show(&f);
    assert_int_equal(f.rc, 0);
    int from = policy_notice(f.policy, STR("personal_offers"))->sufficient_from;
    fixture_close(&f);
    return from;
}

static void test_a_consent_holds_from_the_last_material_version(void **state)
{
    (void)state;
    struct sha256 other = {{1}};
    struct policy_past_notice before[] = {past("en", 1, false, other), past("en", 2, true, other),
                                          past("sv", 2, true, other), past("en", 3, false, other)};
    assert_int_equal(sufficient_from("version: 4", "material: false", before, 4), 2);
    assert_int_equal(sufficient_from("version: 4", "material: true", before, 4), 4);
    assert_int_equal(sufficient_from("version: 2", "material: false", before, 1), 1);
    assert_int_equal(sufficient_from("version: 1", "material: false", NULL, 0), 1);
}

/* ---- bundles ---- */

static void test_a_bundle_survives_json(void **state)
{
    (void)state;
    struct fixture f;
    fixture_demo(&f);
    struct buf json = {0};
    struct policy_bundle again = {0};
    struct policy *policy = NULL;
    policy_bundle_to_json(&f.bundle, &json);
    assert_int_equal(policy_bundle_from_json(buf_view(&json), &again, &f.err), 0);
    assert_int_equal(again.count, f.bundle.count);
    assert_int_equal(policy_compile(&again, NULL, 0, clock_now(), &policy, &f.findings, &f.err), 0);
    assert_memory_equal(&policy->hash, &f.policy->hash, sizeof policy->hash);
    policy_unref(policy);
    policy_bundle_free(&again);
    buf_free(&json);
    fixture_close(&f);
}

static void test_a_bundle_with_a_path_out_of_its_folder_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"{\"files\": {\"../x.yaml\": \"\"}}",
                                      "{\"files\": {\"/etc/passwd\": \"\"}}",
                                      "{\"files\": {\"laws/../x\": \"\"}}",
                                      "{\"files\": {\"a b.yaml\": \"\"}}",
                                      "{\"files\": {\"\": \"\"}}",
                                      "{\"files\": {\"a//b.yaml\": \"\"}}",
                                      "{\"files\": {\".hidden.yaml\": \"\"}}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct policy_bundle b = {0};
        struct err err = {0};
        assert_int_equal(policy_bundle_from_json(str_of(bad[i]), &b, &err), LOV_EINVAL);
        assert_string_equal(err.reason, "invalid_bundle");
        assert_int_equal(b.count, 0);
    }
}

static void test_a_bundle_of_another_shape_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"[]",
                                      "{}",
                                      "{\"files\": []}",
                                      "{\"files\": {\"a.yaml\": 1}}",
                                      "{\"files\": {}, \"more\": 1}",
                                      "{\"files\": {\"a\": null}}",
                                      "{\"files\": {\"a\": \"x\\u0000y\"}}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct policy_bundle b = {0};
        struct err err = {0};
        assert_int_equal(policy_bundle_from_json(str_of(bad[i]), &b, &err), LOV_EINVAL);
    }
}

static void test_a_bundle_of_too_many_or_too_large_files_is_refused(void **state)
{
    (void)state;
    struct buf json = {0};
    struct policy_bundle b = {0};
    struct err err = {0};
    buf_cstr(&json, "{\"files\": {");
    for (int i = 0; i < 257; i++)
        buf_printf(&json, "%s\"laws/l%d.yaml\": \"\"", i ? "," : "", i);
    buf_cstr(&json, "}}");
    assert_int_equal(policy_bundle_from_json(buf_view(&json), &b, &err), LOV_ELIMIT);
    buf_clear(&json);
    buf_cstr(&json, "{\"files\": {\"controller.yaml\": \"");
    for (int i = 0; i < 256 * 1024 + 1; i++)
        buf_char(&json, 'x');
    buf_cstr(&json, "\"}}");
    assert_int_equal(policy_bundle_from_json(buf_view(&json), &b, &err), LOV_ELIMIT);
    buf_free(&json);
}

static void test_a_folder_that_is_not_there_is_told(void **state)
{
    (void)state;
    struct policy_bundle b = {0};
    struct err err = {0};
    assert_int_equal(policy_bundle_read("/nowhere/at/all", &b, &err), LOV_ENOTFOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_shipped_policy_has_no_finding),
        cmocka_unit_test(test_names_are_found_and_others_are_not),
        cmocka_unit_test(test_an_activity_is_compiled_with_all_that_was_said),
        cmocka_unit_test(test_a_paper_holds_through_its_last_day),
        cmocka_unit_test(test_a_contract_without_date_has_no_end),
        cmocka_unit_test(test_the_law_is_that_of_the_residence),
        cmocka_unit_test(test_a_region_goes_before_its_country),
        cmocka_unit_test(test_guardians_act_below_the_age_of_the_state),
        cmocka_unit_test(test_a_law_is_as_its_changes_say_on_the_day),
        cmocka_unit_test(test_every_member_state_is_under_the_gdpr),
        cmocka_unit_test(test_deadlines_are_those_of_the_law),
        cmocka_unit_test(test_texts_are_found_by_language),
        cmocka_unit_test(test_a_policy_lives_as_long_as_someone_holds_it),
        cmocka_unit_test(test_all_findings_are_told_in_reading_order),
        cmocka_unit_test(test_a_missing_file_is_refused),
        cmocka_unit_test(test_a_file_that_was_not_read_is_told_once),
        cmocka_unit_test(test_a_policy_without_law_is_refused),
        cmocka_unit_test(test_an_unknown_file_is_refused),
        cmocka_unit_test(test_a_notice_missing_in_a_language_is_refused),
        cmocka_unit_test(test_a_notice_in_an_unknown_language_is_refused),
        cmocka_unit_test(test_who_trades_gets_no_names_unless_the_policy_says_so),
        cmocka_unit_test(test_more_than_256_activities_are_refused),
        cmocka_unit_test(test_findings_stop_at_200_but_errors_are_counted),
        cmocka_unit_test(test_a_text_may_not_change_under_its_version),
        cmocka_unit_test(test_a_version_may_not_go_back),
        cmocka_unit_test(test_a_consent_holds_from_the_last_material_version),
        cmocka_unit_test(test_a_bundle_survives_json),
        cmocka_unit_test(test_a_bundle_with_a_path_out_of_its_folder_is_refused),
        cmocka_unit_test(test_a_bundle_of_another_shape_is_refused),
        cmocka_unit_test(test_a_bundle_of_too_many_or_too_large_files_is_refused),
        cmocka_unit_test(test_a_folder_that_is_not_there_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
