/* test_policy_lint.c - each rule of the linter refuses what it is for, and names file and line. */
#include "test_policy_fixture.h"

struct lint_case {
    const char *name;
    const char *file, *from, *to; /* the edit */
    const char *rule;
    const char *at;   /* what stands on the line that the finding names; NULL: line 0 */
    const char *says; /* what its text holds; NULL: whatever */
    bool warning;
    const char *reported; /* the file that the finding names, where it is another */
};

#define ACTIVITIES "activities.yaml"
#define CHANGE "consent: {guardian_below: {DK: 15}}"
#define OFFERS "notices/personal_offers.en.md"

static const struct lint_case cases[] = {
    /* shape of files */
    {"test_broken_yaml_is_refused", "purposes.yaml", "purposes:\n", "purposes: }\n", "syntax",
     "purposes: }", NULL, false, NULL},
    {"test_an_anchor_is_refused", "purposes.yaml", "id: data_sale", "id: &a data_sale", "alias",
     "&a", NULL, false, NULL},
    {"test_an_alias_is_refused", "purposes.yaml", "dpv: dpv:CustomerCare", "dpv: *a", "alias", "*a",
     NULL, false, NULL},
    {"test_a_tag_is_refused", "purposes.yaml", "dpv: dpv:CustomerCare", "dpv: !!str x", "syntax",
     "!!str", NULL, false, NULL},
    {"test_a_second_document_is_refused", "purposes.yaml", "# Why", "x: 1\n--- # second\n# Why",
     "syntax", "--- # second", NULL, false, NULL},
    {"test_a_member_given_twice_is_refused", "purposes.yaml", "dpv: dpv:CustomerCare",
     "dpv: dpv:CustomerCare\n    dpv: dpv:Twice", "duplicate_member", "dpv:Twice", NULL, false,
     NULL},
    {"test_deep_nesting_is_refused", "purposes.yaml", "dpv: dpv:CustomerCare",
     "dpv: [[[[[[[[[[[[[[[[[[[[[[[[[x]]]]]]]]]]]]]]]]]]]]]]]]]", "too_large", "[[[[", NULL, false,
     NULL},
    {"test_deep_nesting_of_mappings_is_refused", "purposes.yaml", "dpv: dpv:CustomerCare",
     "dpv: {a: {a: {a: {a: {a: {a: {a: {a: {a: {a: {a: {a: {a: x}}}}}}}}}}}}}", "too_large",
     "{a: {a", NULL, false, NULL},
    {"test_a_control_character_is_refused", "purposes.yaml", "dpv: dpv:CustomerCare",
     "dpv: \"dpv:\\x07Bell\"", "syntax", "Bell", NULL, false, NULL},
    {"test_a_null_is_no_value", "purposes.yaml", "dpv: dpv:CustomerCare", "dpv: ~",
     "missing_member", "dpv: ~", NULL, false, NULL},
    {"test_a_residence_in_words_is_refused", "controller.yaml", "default_residence: SE",
     "default_residence: SE-", "bad_territory", "SE-", NULL, false, NULL},
    {"test_a_language_that_is_no_code_is_refused", "controller.yaml", "  en:\n", "  EN:\n",
     "bad_name", "  EN:", NULL, false, NULL},
    {"test_an_unknown_member_is_refused_with_a_suggestion", "recipients.yaml", "kind: broker",
     "kind: broker\n    statos: active", "unknown_member", "statos", "did you mean status?", false,
     NULL},
    {"test_a_missing_retention_is_refused", ACTIVITIES, "    retention: 90\n", "", "missing_member",
     "- id: credit_scoring_by_risk", "retention", false, NULL},
    {"test_a_member_without_value_is_refused", ACTIVITIES, "retention: 90\n", "retention:\n",
     "missing_member", "retention:\n", "retention", false, NULL},
    {"test_yes_is_no_boolean", "categories.yaml", "sensitive: true\n    dpv: pd:Credit",
     "sensitive: yes\n    dpv: pd:Credit", "wrong_type", "sensitive: yes", NULL, false, NULL},
    {"test_a_list_where_a_name_belongs_is_refused", ACTIVITIES, "recipient: datamark",
     "recipient: [datamark]", "wrong_type", "[datamark]", NULL, false, NULL},
    {"test_a_retention_of_no_days_is_refused", ACTIVITIES, "retention: 7\n", "retention: 0\n",
     "out_of_range", "retention: 0", NULL, false, NULL},
    {"test_a_quoted_number_is_no_number", ACTIVITIES, "retention: 7\n", "retention: \"7\"\n",
     "out_of_range", "retention: \"7\"", NULL, false, NULL},
    {"test_a_name_in_capitals_is_refused", "purposes.yaml", "id: data_sale", "id: Data-Sale",
     "bad_name", "Data-Sale", NULL, false, NULL},
    {"test_a_day_that_does_not_exist_is_refused", "recipients.yaml", "2031-06-30", "2031-06-31",
     "bad_date", "2031-06-31", NULL, false, NULL},
    {"test_a_territory_in_words_is_refused", "laws/ccpa.yaml", "[US-CA]", "[California]",
     "bad_territory", "[California]", NULL, false, NULL},
    {"test_a_guardian_age_of_a_territory_in_words_is_refused", "laws/gdpr.yaml", "SE: 13",
     "Sweden: 13", "bad_territory", "Sweden: 13", NULL, false, NULL},
    {"test_an_unknown_word_is_refused_with_a_suggestion", "recipients.yaml", "kind: broker",
     "kind: brokr", "unknown_word", "kind: brokr", "did you mean broker?", false, NULL},
    {"test_an_unknown_basis_is_refused_with_a_suggestion", ACTIVITIES, "{gdpr: contract,",
     "{gdpr: contrcat,", "unknown_word", "contrcat", "did you mean contract?", false, NULL},
    {"test_a_field_type_that_does_not_exist_is_refused", "categories.yaml", "type: timestamp",
     "type: timestmap", "unknown_word", "timestmap", "did you mean timestamp?", false, NULL},
    {"test_a_successor_without_a_transfer_is_refused", "recipients.yaml",
     "    transfer: {announced: 2026-09-01, from: 2026-11-01}\n", "", "no_transfer",
     "- id: nyhandel", "no transfer", false, NULL},
    {"test_a_transfer_without_time_to_choose_is_refused", "recipients.yaml",
     "announced: 2026-09-01, from: 2026-11-01", "announced: 2026-10-03, from: 2026-11-01",
     "no_time_to_choose", "transfer: {", "29 days", false, NULL},
    {"test_a_transfer_to_a_broker_is_refused", "recipients.yaml", "    kind: broker\n",
     "    kind: broker\n    transfer: {announced: 2026-01-01, from: 2026-11-01}\n",
     "unknown_member", "transfer: {announced: 2026-01-01", "only a successor", false, NULL},
    {"test_a_transfer_that_nobody_can_refuse_is_refused", ACTIVITIES,
     "    basis: {gdpr: legitimate_interest, ccpa: opt_out}\n    notice: business_transfer",
     "    basis: {gdpr: contract, ccpa: opt_out}\n    notice: business_transfer",
     "transfer_without_choice", "basis: {gdpr: contract, ccpa: opt_out}\n    notice: business",
     "say no", false, NULL},
    {"test_a_sale_that_nobody_can_refuse_is_refused", ACTIVITIES,
     "    basis: {gdpr: consent, ccpa: consent}\n    if_refused: nothing\n    notice: data_sale",
     "    basis: {gdpr: legitimate_interest, ccpa: consent}\n    notice: data_sale",
     "sale_without_choice",
     "basis: {gdpr: legitimate_interest, ccpa: consent}\n    notice: data_sale", "is a broker",
     false, NULL},
    {"test_a_range_of_text_is_refused", "categories.yaml", "{name: order_id, type: string,",
     "{name: order_id, type: string, min: 3,", "unknown_member", "min: 3", "no order", false, NULL},
    {"test_an_end_of_another_type_is_refused", "categories.yaml", "min: 1900-01-01", "min: 1900",
     "wrong_type", "min: 1900", "no value of a date", false, NULL},
    {"test_a_range_that_is_upside_down_is_refused", "categories.yaml", "min: 1, max: 1000",
     "min: 10, max: 1", "out_of_range", "min: 10", "above max", false, NULL},
    {"test_a_breach_without_a_range_is_refused", "categories.yaml",
     "{name: household_size, type: integer,",
     "{name: household_size, type: integer, breach: refuse,", "unknown_member", "household_size",
     "min or max", false, NULL},
    {"test_a_rule_about_an_unknown_field_is_refused", "categories.yaml",
     "birth_date < customer_since", "born < customer_since", "bad_condition", "holds: born",
     "no field", false, NULL},
    {"test_a_rule_without_a_comparison_is_refused", "categories.yaml",
     "birth_date < customer_since", "birth_date before customer_since", "bad_condition",
     "holds: birth_date before", "one of", false, NULL},
    {"test_a_rule_between_a_date_and_a_number_is_refused", "categories.yaml",
     "birth_date < customer_since", "birth_date < household_size", "bad_condition",
     "holds: birth_date < household", "cannot be compared", false, NULL},
    {"test_a_rule_that_orders_texts_is_refused", "categories.yaml", "birth_date < customer_since",
     "language < interests", "bad_condition", "holds: language", "= or !=", false, NULL},
    {"test_a_rule_with_a_value_of_another_type_is_refused", "categories.yaml",
     "birth_date < customer_since", "birth_date < yesterday", "bad_condition",
     "holds: birth_date < y", "neither a field nor a value", false, NULL},
    {"test_two_rules_of_one_name_are_refused", "categories.yaml", "id: born_by_now",
     "id: born_before_customer", "duplicate_name",
     "- id: born_before_customer\n        label:\n          en: The", "two rules", false, NULL},
    {"test_an_enum_without_values_is_refused", "categories.yaml",
     "{name: department, type: enum, values: [food, clothes, home, electronics, garden],",
     "{name: department, type: enum,", "missing_member", "{name: department, type: enum,", "values",
     false, NULL},
    {"test_a_purpose_that_is_no_dpv_term_is_refused", "purposes.yaml",
     "dpv: dpv:CustomerSolvencyMonitoring", "dpv: credit checking", "bad_term", "credit checking",
     NULL, false, NULL},
    {"test_a_category_that_is_no_fdx_cluster_is_refused", "categories.yaml", "fdx: TRANSACTIONS",
     "fdx: transactions!", "bad_term", "transactions!", NULL, false, NULL},
    {"test_a_number_of_law_without_source_is_refused", "laws/ccpa.yaml",
     "{years: 16, source: § 1798.120(c)}", "{years: 16}", "missing_member", "{years: 16}", "source",
     false, NULL},
    {"test_a_deadline_without_length_is_refused", "laws/gdpr.yaml", "right: erasure, months: 1,",
     "right: erasure,", "deadline", "right: erasure", NULL, false, NULL},

    /* names */
    {"test_an_unknown_purpose_is_refused_with_a_suggestion", ACTIVITIES, "purpose: data_sale",
     "purpose: data_sail", "unknown_name", "data_sail", "did you mean data_sale?", false, NULL},
    {"test_an_unknown_recipient_is_refused", ACTIVITIES, "recipient: datamark",
     "recipient: datmark", "unknown_name", "datmark", "did you mean datamark?", false, NULL},
    {"test_an_unknown_category_is_refused", ACTIVITIES, "categories: [credit, account]",
     "categories: [credit, acount]", "unknown_name", "acount", "did you mean account?", false,
     NULL},
    {"test_an_unknown_notice_is_refused", ACTIVITIES, "notice: data_sale", "notice: data_sold",
     "unknown_name", "data_sold", "did you mean data_sale?", false, NULL},
    {"test_an_unknown_law_is_refused", ACTIVITIES, "{gdpr: contract,", "{gdrp: contract,",
     "unknown_name", "gdrp", "did you mean gdpr?", false, NULL},
    {"test_an_unknown_default_law_is_refused", "controller.yaml", "default_law: gdpr",
     "default_law: gpdr", "unknown_name", "gpdr", NULL, false, NULL},
    {"test_an_unknown_field_is_refused", ACTIVITIES, "- purchases.product\n",
     "- purchases.prodct\n", "unknown_field", "prodct", "did you mean purchases.product?", false,
     NULL},
    {"test_a_field_of_another_category_is_refused", ACTIVITIES, "- purchases.product\n",
     "- credit.income\n", "unknown_field", "credit.income", NULL, false, NULL},
    {"test_a_purpose_of_a_notice_must_exist", OFFERS, "purpose: personal_offers",
     "purpose: personal_offer", "unknown_name", "purpose: personal_offer", NULL, false, NULL},
    {"test_two_categories_of_one_name_are_refused", "categories.yaml", "id: profile", "id: contact",
     "duplicate_name", NULL, "the other on line 3", false, NULL},
    {"test_two_fields_of_one_name_are_refused", "categories.yaml", "{name: phone, type: phone,",
     "{name: email, type: phone,", "duplicate_name", "{name: email, type: phone,", NULL, false,
     NULL},
    {"test_a_field_without_a_label_in_a_language_is_refused", "categories.yaml",
     "label: {en: Store, sv: Butik}", "label: {en: Store}", "missing_language",
     "label: {en: Store}", "no text in sv", false, NULL},
    {"test_a_category_listed_twice_is_refused", ACTIVITIES, "categories: [credit, account]",
     "categories: [credit, credit]", "duplicate_name", "[credit, credit]", NULL, false, NULL},
    {"test_two_activities_of_one_purpose_and_recipient_are_refused", ACTIVITIES,
     "purpose: safety_recall\n    recipient: operations",
     "purpose: stock_planning\n    recipient: operations", "duplicate_activity", NULL, NULL, false,
     NULL},
    {"test_a_refusal_of_an_unknown_right_is_refused", "laws/gdpr.yaml",
     "rights: [rectification], source: art. 16", "rights: [rectifying], source: art. 16", "refusal",
     "rights: [rectifying]", NULL, false, NULL},
    {"test_a_refusal_without_source_is_refused", "laws/gdpr.yaml",
     "reason: excessive, source: art. 12(5)", "reason: excessive", "missing_member",
     "reason: excessive", NULL, false, NULL},
    {"test_a_reason_that_is_there_twice_is_refused", "laws/gdpr.yaml", "reason: excessive, source",
     "reason: manifestly_unfounded, source", "duplicate_name", NULL, NULL, false, NULL},
    {"test_a_change_with_a_mistake_to_come_is_refused", "laws/gdpr.yaml", CHANGE,
     CHANGE "\n  - {from: 2099-01-01, source: x, consent: {model: opt_inn}}", "unknown_word",
     "model: opt_inn", "opt_in", false, NULL},
    {"test_a_change_of_what_is_fixed_is_refused", "laws/gdpr.yaml", CHANGE,
     CHANGE "\n    effective: 2024-01-01", "unknown_member", "    effective: 2024", NULL, false,
     NULL},
    {"test_changes_out_of_order_are_refused", "laws/gdpr.yaml", CHANGE,
     CHANGE "\n  - {from: 2024-01-01, source: x, name: y}", "out_of_range", NULL, NULL, false,
     NULL},
    {"test_a_change_without_source_is_refused", "laws/gdpr.yaml", CHANGE,
     CHANGE "\n  - {from: 2099-01-01, name: y}", "missing_member", "{from: 2099-01-01, name: y}",
     "source", false, NULL},
    {"test_a_change_of_nothing_is_refused", "laws/gdpr.yaml", CHANGE,
     CHANGE "\n  - {from: 2099-01-01, source: x}", "missing_member",
     "{from: 2099-01-01, source: x}", NULL, false, NULL},
    {"test_a_change_that_is_no_mapping_is_refused", "laws/gdpr.yaml", CHANGE,
     CHANGE "\n  - 2099-01-01", "wrong_type", "  - 2099", NULL, false, NULL},
    {"test_an_east_that_is_west_is_refused", "laws/gdpr.yaml", "{west: -4, east: 4}",
     "{west: 4, east: -4}", "out_of_range", NULL, NULL, false, NULL},
    {"test_bases_of_a_law_that_is_not_there_are_refused", "laws/fadp.yaml", "basis_as: gdpr",
     "basis_as: nowhere", "unknown_name", "basis_as: nowhere", NULL, false, NULL},
    {"test_bases_of_a_law_without_own_ones_are_refused", "laws/fadp.yaml", "basis_as: gdpr",
     "basis_as: uk_gdpr", "unknown_name", "basis_as: uk_gdpr", NULL, false, NULL},
    {"test_two_laws_of_one_territory_are_refused", "laws/ccpa.yaml", "[US-CA]", "[US-CA, SE]",
     "duplicate_territory", "[US-CA, SE]", "SE", false, "laws/gdpr.yaml"},
    {"test_a_residence_that_no_law_covers_is_refused", "controller.yaml",
     "default_residence: SE\ndefault_law: gdpr", "default_residence: JP", "no_law",
     "default_residence: JP", NULL, false, NULL},
    {"test_a_category_that_nobody_uses_is_told", "categories.yaml", "  - id: loyalty\n",
     "  - id: shoe_size\n    label: {en: Shoe size, sv: Skostorlek}\n    dpv: pd:Size\n"
     "    fields: [{name: size, type: integer}]\n  - id: loyalty\n",
     "unused", "id: shoe_size", NULL, true, NULL},
    {"test_a_law_in_a_file_of_another_name_is_refused", "laws/ccpa.yaml", "id: ccpa", "id: cpra",
     "file_name", "id: cpra", NULL, false, NULL},
    {"test_a_notice_in_a_file_of_another_name_is_refused", OFFERS, "id: personal_offers",
     "id: offers", "file_name", "id: offers", NULL, false, NULL},

    /* languages */
    {"test_a_label_missing_in_a_language_is_refused", "purposes.yaml",
     "{en: Credit scoring, sv: Kreditbedömning}", "{en: Credit scoring}", "missing_language",
     "{en: Credit scoring}", "sv", false, NULL},
    {"test_a_label_in_an_unknown_language_is_refused", "purposes.yaml", "sv: Kreditbedömning}",
     "sv: Kreditbedömning, de: Kredit}", "unknown_language", "de: Kredit", NULL, false, NULL},
    {"test_a_heading_missing_in_a_language_is_refused", "controller.yaml", "    kept: Hur länge\n",
     "", "missing_member", "  sv:", "kept", false, NULL},

    /* purposes */
    {"test_a_catch_all_label_is_refused", "purposes.yaml", "{en: Sale of data,",
     "{en: Various marketing,", "catch_all_purpose", "Various marketing", NULL, false, NULL},
    {"test_a_catch_all_description_is_refused", "purposes.yaml",
     "We help you with your orders when you contact us.",
     "We help you with your orders and use the data for other purposes.", "catch_all_purpose",
     "other purposes", NULL, false, NULL},
    {"test_a_catch_all_description_in_swedish_is_refused", "purposes.yaml",
     "Vi hjälper dig med dina beställningar när du hör av dig.", "Vi hjälper dig, med mera.",
     "catch_all_purpose", "med mera", NULL, false, NULL},
    {"test_a_catch_all_name_is_refused", "purposes.yaml", "id: nearby_offers",
     "id: general_business", "catch_all_purpose", "general_business", NULL, false, NULL},
    {"test_the_root_of_the_dpv_tree_is_a_catch_all", "purposes.yaml",
     "dpv: dpv:CustomerSolvencyMonitoring", "dpv: dpv:Purpose", "catch_all_purpose", "dpv:Purpose",
     NULL, false, NULL},
    {"test_a_purpose_that_holds_another_is_refused", "purposes.yaml",
     "We send you our newsletter by e-mail once a month.",
     "We send you a letter with personal offers.", "bundled_purpose", "with personal offers",
     "personal_offers", false, NULL},
    {"test_a_purpose_of_two_is_told", "purposes.yaml", "{en: Newsletter, sv: Nyhetsbrev}",
     "{en: Newsletter and competitions, sv: Nyhetsbrev}", "bundled_purpose", "competitions", NULL,
     true, NULL},
    {"test_a_notice_about_another_purpose_is_refused", ACTIVITIES, "notice: data_sale",
     "notice: nearby_offers", "bundled_purpose", "notice: nearby_offers", NULL, false, NULL},

    /* recipients */
    {"test_an_outsider_without_contract_is_refused", "recipients.yaml",
     "    contract: {reference: \"Agreement 2026-021\", until: 2030-12-31}\n", "", "no_contract",
     "- id: adnord", NULL, false, NULL},
    {"test_an_outsider_without_safeguards_is_refused", "recipients.yaml",
     "    safeguards: {reference: \"Annex B, no re-identification\", until: 2030-12-31}\n", "",
     "no_safeguards", "- id: adnord", NULL, false, NULL},
    {"test_a_department_without_training_is_refused", "recipients.yaml",
     "contact: risk@nordhandel.example\n    training: {until: 2030-12-31}",
     "contact: risk@nordhandel.example", "no_training", "- id: risk", NULL, false, NULL},
    {"test_a_contract_that_has_ended_is_told", "recipients.yaml", "until: 2031-06-30",
     "until: 2019-06-30", "lapsed", "2019-06-30", "contract", true, NULL},

    /* activities */
    {"test_a_basis_missing_under_one_law_is_refused", ACTIVITIES,
     "{gdpr: contract, ccpa: contract}", "{gdpr: contract}", "missing_basis", "{gdpr: contract}",
     "ccpa", false, NULL},
    {"test_a_consent_whose_refusal_costs_something_is_refused", ACTIVITIES, "if_refused: nothing",
     "if_refused: worse_price", "refusal_costs", "worse_price", NULL, false, NULL},
    {"test_a_consent_that_is_silent_on_refusal_is_refused", ACTIVITIES, "    if_refused: nothing\n",
     "", "refusal_costs", "id: personal_offers_by_marketing", NULL, false, NULL},
    {"test_a_consent_without_duration_is_refused", ACTIVITIES, "    consent_duration: 90\n", "",
     "missing_member", "id: credit_scoring_by_risk", "consent_duration", false, NULL},
    {"test_a_consent_longer_than_the_law_allows_is_refused", "laws/gdpr.yaml", "  model: opt_in\n",
     "  model: opt_in\n  max_days: {days: 90, source: x}\n", "consent_too_long", NULL, "730", false,
     ACTIVITIES},
    {"test_opt_out_is_no_basis_where_the_law_asks_first", ACTIVITIES, "{gdpr: consent, ccpa:",
     "{gdpr: opt_out, ccpa:", "opt_out_under_opt_in", "gdpr: opt_out", NULL, false, NULL},
    {"test_a_sensitive_category_by_legitimate_interest_is_refused", ACTIVITIES,
     "categories: [transactions, account, profile]", "categories: [transactions, account, credit]",
     "sensitive_basis", "{gdpr: legitimate_interest", NULL, false, NULL},
    {"test_a_broker_with_identified_data_needs_consent", ACTIVITIES,
     "categories: [profile]\n    basis: {gdpr: consent, ccpa: consent}",
     "categories: [profile]\n    basis: {gdpr: consent, ccpa: opt_out} # broker",
     "identified_without_consent", "# broker", NULL, false, NULL},
    {"test_an_advertiser_with_identified_data_needs_consent", ACTIVITIES,
     "      form: aggregate\n      k: 50\n", "      form: identified\n",
     "identified_without_consent", NULL, "adnord", false, NULL},
    {"test_a_third_party_needs_consent", ACTIVITIES,
     "categories: [transactions, account]\n    basis: {gdpr: consent, ccpa: consent}",
     "categories: [transactions, account]\n    basis: {gdpr: consent, ccpa: contract} # app",
     "third_party_without_consent", "# app", NULL, false, NULL},
    {"test_what_a_consumer_can_refuse_needs_a_notice", ACTIVITIES, "    notice: fraud_prevention\n",
     "", "no_notice", "id: fraud_prevention_by_risk", NULL, false, NULL},
    {"test_an_aggregate_view_without_k_is_refused", ACTIVITIES, "      k: 20\n", "", "aggregate_k",
     "      form: aggregate\n", NULL, false, NULL},
    {"test_an_aggregate_of_one_is_refused", ACTIVITIES, "      k: 20\n", "      k: 1\n",
     "aggregate_k", "k: 1\n", NULL, false, NULL},
    {"test_an_aggregate_of_four_is_told", ACTIVITIES, "      k: 20\n", "      k: 4\n",
     "aggregate_k", "k: 4\n", NULL, true, NULL},
    {"test_a_field_that_is_cut_in_two_ways_is_refused", ACTIVITIES, "to: month, group",
     "to: month, prefix: 3, group", "view_field", "to: month, prefix", NULL, false, NULL},
    {"test_a_field_that_is_cut_against_its_type_is_refused", ACTIVITIES,
     "        - profile.interests\n", "        - {field: profile.interests, to: year}\n",
     "view_field", "profile.interests, to", NULL, false, NULL},
    {"test_a_band_of_text_is_refused", ACTIVITIES, "        - profile.interests\n",
     "        - {field: profile.interests, band: 10}\n", "view_field", "profile.interests, band",
     NULL, false, NULL},
    {"test_a_band_of_nothing_is_refused", ACTIVITIES, "points, band: 1000", "points, band: 0",
     "out_of_range", "points, band: 0", NULL, false, NULL},
    {"test_a_predicate_needs_a_name", ACTIVITIES, "        - profile.interests\n",
     "        - {field: profile.customer_since, at_least_years: 2}\n", "missing_member",
     "profile.customer_since, at", "name", false, NULL},
    {"test_two_fields_of_one_name_are_refused", ACTIVITIES, "        - profile.interests\n",
     "        - {field: profile.interests, name: language}\n", "duplicate_name",
     "- profile.language", NULL, false, NULL},
    {"test_an_unknown_field_of_a_cut_is_refused", ACTIVITIES, "        - profile.interests\n",
     "        - {field: profile.interest, prefix: 3}\n", "unknown_field", "profile.interest, ",
     NULL, false, NULL},
    {"test_an_unknown_way_to_cut_is_refused", ACTIVITIES, "        - profile.interests\n",
     "        - {field: profile.interests, blur: 3}\n", "unknown_member", "profile.interests, blur",
     NULL, false, NULL},
    {"test_a_group_outside_an_aggregate_is_refused", ACTIVITIES, "        - profile.interests\n",
     "        - {field: profile.interests, group: true}\n", "view_field",
     "profile.interests, group", NULL, false, NULL},
    {"test_privacy_outside_an_aggregate_is_refused", ACTIVITIES, "{form: pseudonymous}",
     "{form: pseudonymous, privacy: {epsilon: '1', budget: '2', days: 30, records: 1, most: 9}}",
     "privacy", "privacy: {epsilon", NULL, false, NULL},
    {"test_a_budget_below_epsilon_is_refused", ACTIVITIES, "      k: 20\n",
     "      k: 20\n"
     "      privacy: {epsilon: '1', budget: '0.5', days: 30, records: 1, most: 9}\n",
     "privacy", "privacy: {epsilon", NULL, false, NULL},
    {"test_an_epsilon_that_is_none_is_refused", ACTIVITIES, "      k: 20\n",
     "      k: 20\n      privacy: {epsilon: x, budget: '2', days: 30, records: 1, most: 9}\n",
     "privacy", "privacy: {epsilon", NULL, false, NULL},
    {"test_an_email_address_in_a_pseudonymous_view_is_refused", ACTIVITIES,
     "categories: [purchases, browsing]", "categories: [purchases, browsing, contact]",
     "pseudonymous_identifier", "{form: pseudonymous}", NULL, false, NULL},
    {"test_two_sums_of_one_category_for_one_recipient_are_refused", ACTIVITIES,
     "    recipient: accounting\n    categories: [transactions]\n",
     "    recipient: operations\n    categories: [transactions, purchases]\n", "aggregate_overlap",
     "[transactions, purchases]", NULL, false, NULL},
    {"test_k_outside_an_aggregate_is_refused", ACTIVITIES, "{form: pseudonymous}",
     "{form: pseudonymous, k: 9}", "aggregate_k", "k: 9", NULL, false, NULL},
    {"test_a_category_of_which_the_view_keeps_nothing_is_told", ACTIVITIES,
     "        - profile.interests\n        - profile.language\n", "", "unused",
     "categories: [purchases, profile, contact]", "profile", true, NULL},

    /* notices */
    {"test_a_notice_without_front_matter_is_refused", OFFERS, "---\n", "", "syntax",
     "id: personal_offers", NULL, false, NULL},
    {"test_a_notice_without_version_is_refused", OFFERS, "version: 1\n", "", "missing_member",
     "id: personal_offers", "version", false, NULL},
    {"test_a_notice_that_does_not_say_what_is_refused", OFFERS, "## What data", "## Data",
     "notice_section", NULL, "(what)", false, NULL},
    {"test_a_notice_that_does_not_say_how_used_is_refused", OFFERS, "## How it is used", "## Use",
     "notice_section", NULL, "(used)", false, NULL},
    {"test_a_notice_that_does_not_say_with_whom_is_refused", OFFERS, "## Who gets it", "## Who",
     "notice_section", NULL, "(shared)", false, NULL},
    {"test_a_notice_that_does_not_say_how_long_is_refused", OFFERS, "## How long", "## Time",
     "notice_section", NULL, "(kept)", false, NULL},
    {"test_a_consent_notice_says_what_refusing_does", OFFERS, "## If you say no", "## No",
     "notice_section", NULL, "(refuse)", false, NULL},
    {"test_a_consent_notice_says_how_to_withdraw", OFFERS, "## How to take it back", "## Back",
     "notice_section", NULL, "(withdraw)", false, NULL},
    {"test_a_section_without_text_is_refused", OFFERS, "## How it is used",
     "## How it is used\n\n## And so", "notice_section", "## How it is used", "empty", false, NULL},
    {"test_a_notice_names_every_category", OFFERS, "**Profile**", "**Interests**",
     "notice_category", "## What data", "Profile", false, NULL},
    {"test_a_notice_names_its_recipient", OFFERS, "Nordhandel's marketing department", "We",
     "notice_recipient", "## Who gets it", "marketing department", false, NULL},
    {"test_a_notice_that_is_vague_on_time_is_refused", "notices/nearby_offers.en.md",
     "For 7 days. Your yes holds for 365 days.", "For a good time.", "notice_kept", "## How long",
     NULL, false, NULL},
    {"test_a_notice_with_html_is_refused", OFFERS, "Nothing happens.", "<b>Nothing</b> happens.",
     "notice_html", "<b>", NULL, false, NULL},
    {"test_a_notice_without_title_is_refused", OFFERS, "# Offers chosen for you", "",
     "notice_title", NULL, NULL, false, NULL},
    {"test_languages_of_a_notice_have_one_version", "notices/personal_offers.sv.md", "version: 1",
     "version: 2", "notice_differs", "version: 2", NULL, false, NULL},
    {"test_languages_of_a_notice_agree_on_material", "notices/personal_offers.sv.md",
     "material: true", "material: false", "notice_differs", "material: false", NULL, false, NULL},
};

/* Edits after which the policy is still without any finding: where each rule ends. */
static const struct lint_case sound[] = {
    {.name = "test_a_consent_as_long_as_the_law_allows_is_fine",
     .file = "laws/gdpr.yaml",
     .from = "  model: opt_in\n",
     .to = "  model: opt_in\n  max_days: {days: 1095, source: x}\n"},
    {.name = "test_an_aggregate_of_five_is_fine",
     .file = ACTIVITIES,
     .from = "      k: 20\n",
     .to = "      k: 5\n"},
    {.name = "test_labels_are_found_in_capitals",
     .file = "notices/personal_offers.sv.md",
     .from = "**Köp**",
     .to = "**KÖP**"},
    {.name = "test_a_label_may_break_over_lines",
     .file = OFFERS,
     .from = "Nordhandel's marketing department",
     .to = "Nordhandel's marketing\ndepartment"},
    {.name = "test_a_term_of_a_dpv_extension_is_fine",
     .file = "purposes.yaml",
     .from = "dpv: dpv:CustomerSolvencyMonitoring",
     .to = "dpv: eu-aiact2:Credit-Checking_1"},
    {.name = "test_a_time_in_words_is_fine",
     .file = "notices/nearby_offers.en.md",
     .from = "For 7 days. Your yes holds for 365 days.",
     .to = "Until you take it back."},
    {.name = "test_a_word_that_only_begins_like_a_wide_one_is_fine",
     .file = "purposes.yaml",
     .from = "{en: Newsletter, sv: Nyhetsbrev}",
     .to = "{en: Anyone's allotment letter, sv: Nyhetsbrev}"},
    {.name = "test_a_suspended_recipient_is_fine",
     .file = "recipients.yaml",
     .from = "kind: broker\n",
     .to = "kind: broker\n    status: suspended\n"},
    {.name = "test_a_region_as_residence_is_fine",
     .file = "controller.yaml",
     .from = "default_residence: SE",
     .to = "default_residence: SE-AB1"},
};

static void test_sound(void **state)
{
    const struct lint_case *c = *state;
    struct fixture f;
    fixture_open(&f);
    fixture_edit(&f, c->file, c->from, c->to);
    fixture_compile(&f, NULL, 0);
    if (f.findings.count)
        fixture_show(&f);
    assert_int_equal(f.rc, 0);
    assert_int_equal(f.findings.count, 0);
    fixture_close(&f);
}

static void test_more_than_512_items_are_refused(void **state)
{
    (void)state;
    struct fixture f;
    struct buf values = {0};
    fixture_open(&f);
    buf_cstr(&values, "values: [food");
    for (int i = 0; i < 512; i++)
        buf_printf(&values, ", v%d", i);
    fixture_edit(&f, "categories.yaml", "values: [food", values.p);
    fixture_compile(&f, NULL, 0);
    assert_int_equal(f.rc, LOV_EINVAL);
    assert_int_equal(f.findings.count, 1);
    assert_string_equal(f.findings.items[0].rule, "too_large");
    buf_free(&values);
    fixture_close(&f);
}

static const struct policy_finding *finding_of(const struct fixture *f, const char *file,
                                               const struct lint_case *c, int line)
{
    for (size_t i = 0; i < f->findings.count; i++) {
        const struct policy_finding *x = &f->findings.items[i];
        bool same = str_is(x->file, file) && strcmp(x->rule, c->rule) == 0 &&
                    (x->severity == POLICY_WARNING) == c->warning;
        if (!same || (line >= 0 && x->line != line))
            continue;
        if (!c->says || strstr(x->text.p, c->says))
            return x;
    }
    return NULL;
}

static void test_case(void **state)
{
    const struct lint_case *c = *state;
    struct fixture f;
    fixture_open(&f);
    fixture_edit(&f, c->file, c->from, c->to);
    fixture_compile(&f, NULL, 0);
    bool whole_file = strncmp(c->rule, "notice_", 7) == 0;
    int line = c->at ? fixture_line(&f, c->file, c->at) : whole_file ? 0 : -1;
    const char *file = c->reported ? c->reported : c->file;
    if (c->reported)
        line = -1;
    if (!finding_of(&f, file, c, line)) {
        fixture_show(&f);
        fail_msg("no finding %s at %s:%d", c->rule, file, line);
    }
    if (c->warning)
        assert_int_equal(f.rc, 0);
    else
        assert_int_equal(f.rc, LOV_EINVAL);
    fixture_close(&f);
}

enum { CASES = sizeof cases / sizeof *cases, SOUND = sizeof sound / sizeof *sound };

int main(void)
{
    struct CMUnitTest tests[CASES + SOUND + 1] = {
        cmocka_unit_test(test_more_than_512_items_are_refused)};
    struct CMUnitTest *next = tests + 1;
    for (size_t i = 0; i < CASES; i++)
        *next++ = (struct CMUnitTest){cases[i].name, test_case, NULL, NULL, (void *)&cases[i]};
    for (size_t i = 0; i < SOUND; i++)
        *next++ = (struct CMUnitTest){sound[i].name, test_sound, NULL, NULL, (void *)&sound[i]};
    return _cmocka_run_group_tests("policy_lint", tests, sizeof tests / sizeof *tests, NULL, NULL);
}
