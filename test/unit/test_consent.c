/* test_consent.c - the engine step by step: what each write leaves, refuses and repeats. Random
 * histories are in test_consent_model.c. */
#include "test_consent_fixture.h"

/* ---- answers ---- */

static void test_a_yes_permits_and_a_withdrawal_ends_it(void **state)
{
    struct fixture *f = *state;
    assert_string_equal(may_use(f, "purchases"), "unknown_consumer");
    struct consent c = give(f, "p");
    assert_string_equal(may_use(f, "purchases"), "permitted");
    assert_string_equal(may_use(f, "contact"), "no_consent");
    struct engine_write w = write_of(f, WRITE_WITHDRAW);
    w.consent = c.seq;
    w.detail = STR("\"too many letters\"");
    run(f, &w);
    assert_string_equal(may_use(f, "purchases"), "withdrawn");
    assert_int_equal(status_of(f, &c), CONSENT_WITHDRAWN);
    reopen(f);
    assert_string_equal(may_use(f, "purchases"), "withdrawn");
}

static void test_withdrawing_twice_is_no_error_and_no_second_event(void **state)
{
    struct fixture *f = *state;
    struct consent c = give(f, "p");
    struct engine_write w = write_of(f, WRITE_WITHDRAW);
    w.consent = c.seq;
    run(f, &w);
    int64_t event = w.out.event;
    run(f, &w);
    assert_int_equal(w.out.event, event);
}

static void test_a_no_is_recorded_and_a_later_yes_takes_its_place(void **state)
{
    struct fixture *f = *state;
    struct engine_write no = write_of(f, WRITE_REFUSE);
    name_categories(f, &no, "pc");
    run(f, &no);
    assert_string_equal(may_use(f, "purchases"), "refused");
    assert_true(no.out.expires_at == TIME_NONE);
    give(f, "p");
    assert_string_equal(may_use(f, "purchases"), "permitted");
    assert_string_equal(may_use(f, "contact"), "refused");
    assert_int_equal(status_of(f, &no.out), CONSENT_REFUSED);
    give(f, "c");
    assert_int_equal(status_of(f, &no.out), CONSENT_SUPERSEDED);
    verifies(f, true);
}

static void test_consent_for_one_category_leaves_the_others_as_they_were(void **state)
{
    struct fixture *f = *state;
    give(f, "p");
    give(f, "c");
    assert_string_equal(may_use(f, "purchases"), "permitted");
    assert_string_equal(may_use(f, "contact"), "permitted");
}

static void test_what_the_policy_does_not_know_is_refused(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *recipient, *purpose, *category, *reason;
    } cases[] = {
        {"nobody", "personal_offers", "purchases", "unknown_recipient"},
        {"marketing", "anything", "purchases", "unknown_purpose"},
        {"marketing", "personal_offers", "nothing", "unknown_category"},
        {"marketing", "personal_offers", "transactions", "not_in_policy"},
        {"marketing", "credit_scoring", "credit", "not_in_policy"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct engine_write w = write_of(f, WRITE_GIVE);
        struct str category = str_of(cases[i].category);
        w.recipient = str_of(cases[i].recipient);
        w.purpose = str_of(cases[i].purpose);
        w.categories = &category;
        w.category_count = 1;
        refused(f, &w, cases[i].reason);
    }
    assert_string_equal(may_use(f, "purchases"), "unknown_consumer");
}

static void test_only_the_notice_in_force_counts(void **state)
{
    struct fixture *f = *state;
    struct engine_write w = write_of(f, WRITE_GIVE);
    name_categories(f, &w, "p");
    w.notice.version = 2;
    refused(f, &w, "notice_not_in_force");
    w.notice.version = 0;
    refused(f, &w, "notice_not_in_force");
    w.notice = (struct notice_shown){0};
    refused(f, &w, "notice_required");
    w.notice = (struct notice_shown){STR("fraud_prevention"), STR("sv"), 1, false, {{0}}};
    refused(f, &w, "notice_not_in_force");
    w.notice = (struct notice_shown){STR("personal_offers"), STR("fr"), 1, false, {{0}}};
    refused(f, &w, "notice_language_missing");
    w.notice = (struct notice_shown){STR("personal_offers"), STR("en"), 1, true, {{1}}};
    refused(f, &w, "notice_hash_mismatch");
    struct consent c = give(f, "p");
    w.notice = (struct notice_shown){STR("personal_offers"), STR("sv"), 1, true, c.notice_hash};
    run(f, &w);
}

static void test_the_end_is_bounded_by_policy_and_must_lie_ahead(void **state)
{
    struct fixture *f = *state;
    struct engine_write w = write_of(f, WRITE_GIVE);
    name_categories(f, &w, "p");
    w.expires_at = clock_now() - 1000;
    refused(f, &w, "expires_in_the_past");
    w.expires_at = clock_now() + INT64_C(20000) * DAY_MS;
    refused(f, &w, "expires_too_late");
    w.expires_at = clock_now() + DAY_MS;
    run(f, &w);
    assert_string_equal(may_use(f, "purchases"), "permitted");
    assert_string_equal(
        ask(f, "marketing", "personal_offers", "purchases", clock_now() + 2 * (int64_t)DAY_MS),
        "expired");
}

static void test_an_expired_consent_is_recorded_as_such(void **state)
{
    struct fixture *f = *state;
    struct engine_write w = write_of(f, WRITE_GIVE);
    name_categories(f, &w, "p");
    w.expires_at = clock_now() + 30;
    run(f, &w);
    while (clock_now() < w.expires_at)
        usleep(1000);
    assert_string_equal(may_use(f, "purchases"), "expired");
    struct engine_write job = write_of(f, WRITE_EXPIRE);
    run(f, &job);
    assert_int_equal(job.written, 1);
    assert_int_equal(status_of(f, &w.out), CONSENT_EXPIRED);
    run(f, &job);
    assert_int_equal(job.written, 0);
    struct engine_write renew = write_of(f, WRITE_RENEW);
    renew.consent = w.out.seq;
    run(f, &renew);
    assert_int_equal(renew.out.status, CONSENT_ACTIVE);
    assert_string_equal(may_use(f, "purchases"), "permitted");
    verifies(f, true);
}

static void test_amending_narrows_freely_and_widens_only_with_a_notice(void **state)
{
    struct fixture *f = *state;
    struct consent c = give(f, "pc");
    struct engine_write w = write_of(f, WRITE_AMEND);
    w.notice = (struct notice_shown){0};
    w.consent = c.seq;
    name_categories(f, &w, "p");
    run(f, &w);
    assert_string_equal(may_use(f, "contact"), "withdrawn");
    refused(f, &w, "nothing_to_amend");
    name_categories(f, &w, "pr");
    refused(f, &w, "notice_required");
    w.notice = write_of(f, WRITE_GIVE).notice;
    run(f, &w);
    assert_string_equal(may_use(f, "profile"), "permitted");
    assert_string_equal(may_use(f, "contact"), "withdrawn");
    reopen(f);
    assert_string_equal(may_use(f, "contact"), "withdrawn");
    verifies(f, true);
}

static void test_a_material_change_of_the_notice_asks_again(void **state)
{
    struct fixture *f = *state;
    struct consent c = give(f, "p");
    apply(f, "notices/personal_offers", "version: 1", "version: 2", NULL);
    assert_string_equal(may_use(f, "purchases"), "notice_superseded");
    reopen(f);
    assert_string_equal(may_use(f, "purchases"), "notice_superseded");
    struct engine_write renew = write_of(f, WRITE_RENEW);
    renew.consent = c.seq;
    refused(f, &renew, "notice_not_in_force");
    renew.notice.version = 2;
    run(f, &renew);
    assert_string_equal(may_use(f, "purchases"), "permitted");
}

static void test_an_effect_is_told_before_a_policy_is_applied(void **state)
{
    struct fixture *f = *state;
    struct policy *after;
    struct policy_diff diff = {0};
    give(f, "pc");
    apply(f, "notices/personal_offers", "version: 1", "version: 2", &after);
    struct rules *r = engine_rules(f->e);
    policy_diff(rules_policy(r), after, &diff);
    struct policy_effect *effects = calloc(diff.count, sizeof *effects);
    policy_effects(f->e, after, clock_now(), &diff, effects);
    int64_t lost = 0, consents = 0;
    for (size_t i = 0; i < diff.count; i++) {
        lost += effects[i].permits_lost;
        consents += effects[i].consents;
    }
    assert_int_equal(lost, 2);
    assert_int_equal(consents, 1);
    assert_string_equal(may_use(f, "purchases"), "permitted");
    free(effects);
    rules_unref(r);
    policy_diff_free(&diff);
    policy_unref(after);
}

/* ---- idempotency ---- */

static void test_a_repeated_key_does_nothing_twice(void **state)
{
    struct fixture *f = *state;
    struct engine_write w = write_of(f, WRITE_GIVE);
    name_categories(f, &w, "p");
    w.idempotent = true;
    w.idempotency.b[0] = 7;
    run(f, &w);
    int64_t seq = w.out.seq;
    assert_false(w.replayed);
    run(f, &w);
    assert_true(w.replayed);
    assert_int_equal(w.out.seq, seq);
    w.request.b[0] = 1;
    refused(f, &w, "idempotency_key_reused");
    w.request.b[0] = 0;
    reopen(f);
    run(f, &w);
    assert_true(w.replayed);
    assert_int_equal(w.out.seq, seq);
}

/* ---- consumers ---- */

static void test_the_young_need_a_guardian(void **state)
{
    struct fixture *f = *state;
    struct engine_write w = write_of(f, WRITE_CONSUMER);
    w.set.has_born = true;
    w.set.born = (int32_t)(clock_now() / DAY_MS) - 12 * 365;
    run(f, &w);
    struct engine_write yes = write_of(f, WRITE_GIVE);
    name_categories(f, &yes, "p");
    refused(f, &yes, "guardian_required");
    yes.guardian = STR("{\"id\":\"00002\"}");
    run(f, &yes);
    assert_string_equal(may_use(f, "purchases"), "permitted");
    reopen(f);
    assert_string_equal(may_use(f, "purchases"), "permitted");
    struct consumer c;
    assert_int_equal(consumer_get(f->e, STR("00001"), &f->arena, &c, &f->err), 1);
    assert_int_equal(c.born, w.set.born);
}

static void test_restriction_and_erasure_stop_every_use(void **state)
{
    struct fixture *f = *state;
    struct consent c = give(f, "p");
    struct engine_write w = write_of(f, WRITE_CONSUMER);
    w.set.has_restricted = w.set.restricted = true;
    run(f, &w);
    assert_string_equal(may_use(f, "purchases"), "restricted");
    assert_string_equal(ask(f, "accounting", "bookkeeping", "purchases", clock_now()), "permitted");
    struct engine_write erase = write_of(f, WRITE_ERASE);
    run(f, &erase);
    assert_string_equal(may_use(f, "purchases"), "erased");
    struct consent gone;
    assert_int_equal(consent_get(f->e, c.shard, c.seq, &f->arena, &gone, &f->err), 0);
    struct engine_write again = write_of(f, WRITE_GIVE);
    name_categories(f, &again, "p");
    refused(f, &again, "erased");
    reopen(f);
    assert_string_equal(may_use(f, "purchases"), "erased");
    verifies(f, true);
}

static void shell(struct fixture *f, const char *command)
{
    char line[256];
    snprintf(line, sizeof line, "cd %s && %s", f->dir, command);
    assert_int_equal(system(line), 0);
}

/* The index of before the erasure, beside stores that know of it: as after a crash. */
static void test_an_index_that_lags_behind_forgets_whom_no_list_keeps(void **state)
{
    struct fixture *f = *state;
    struct engine_write live = write_of(f, WRITE_CONSUMER);
    live.set.has_residence = true;
    live.set.residence = STR("BR");
    run(f, &live);
    give(f, "p");
    engine_close(f->e);
    shell(f, "mkdir old && cp -a --sparse=always permits* old/");
    assert_int_equal(engine_open(f->dir, &f->log, &f->e, &f->err), 0);
    assert_string_equal(may_use(f, "purchases"), "permitted");
    struct engine_write erase = write_of(f, WRITE_ERASE);
    run(f, &erase);
    engine_close(f->e);
    shell(f, "mv -f old/* .");
    assert_int_equal(engine_open(f->dir, &f->log, &f->e, &f->err), 0);
    assert_string_equal(may_use(f, "purchases"), "unknown_consumer");
    give(f, "p");
    assert_string_equal(may_use(f, "purchases"), "permitted");
}

static void test_where_no_law_allows_a_list_of_who_was_erased_none_is_kept(void **state)
{
    struct fixture *f = *state;
    struct engine_write live = write_of(f, WRITE_CONSUMER);
    live.set.has_residence = true;
    live.set.residence = STR("BR");
    run(f, &live);
    struct consent before = give(f, "p");
    struct engine_write erase = write_of(f, WRITE_ERASE);
    run(f, &erase);
    assert_string_equal(may_use(f, "purchases"), "unknown_consumer");
    reopen(f);
    assert_string_equal(may_use(f, "purchases"), "unknown_consumer");
    refused(f, &erase, "unknown_consumer");
    struct consent after = give(f, "p");
    assert_memory_not_equal(before.cid.b, after.cid.b, sizeof before.cid.b);
    assert_string_equal(may_use(f, "purchases"), "permitted");
    reopen(f);
    assert_string_equal(may_use(f, "purchases"), "permitted");
    verifies(f, true);
}

static void test_evidence_is_sealed_and_opens_for_the_consent_only(void **state)
{
    struct fixture *f = *state;
    struct engine_write w = write_of(f, WRITE_GIVE);
    name_categories(f, &w, "p");
    w.evidence = STR("{\"form\":\"a-very-private-form\"}");
    run(f, &w);
    _cleanup_buf struct buf json = {0}, path = {0}, bytes = {0};
    assert_int_equal(consent_unseal(f->e, &w.out, &json, &f->err), 0);
    assert_string_equal(json.p, "{\"evidence\":{\"form\":\"a-very-private-form\"}}");
    engine_close(f->e);
    f->e = NULL;
    static const char *const files[] = {"lov.db", "identity.db"};
    for (int i = 0; i < 2; i++) {
        buf_clear(&path);
        buf_clear(&bytes);
        buf_printf(&path, "%s/%s", f->dir, files[i]);
        assert_int_equal(file_read(path.p, 1 << 26, &bytes, &f->err), 0);
        assert_null(memmem(bytes.p, bytes.n, "a-very-private", 14));
        assert_null(memmem(bytes.p, bytes.n, "00001", 5));
    }
}

/* ---- decisions without a consumer's answer ---- */

static void test_every_reason_that_needs_no_consent_is_given(void **state)
{
    struct fixture *f = *state;
    int64_t now = clock_now(), far = now + INT64_C(40) * 365 * DAY_MS;
    give(f, "p");
    assert_string_equal(ask(f, "nobody", "personal_offers", "purchases", now), "recipient_unknown");
    assert_string_equal(ask(f, "marketing", "bookkeeping", "purchases", now), "not_in_policy");
    assert_string_equal(ask(f, "marketing", "personal_offers", "credit", now), "not_in_policy");
    assert_string_equal(ask(f, "marketing", "nothing", "purchases", now), "not_in_policy");
    assert_string_equal(ask(f, "marketing", "personal_offers", "purchases", far),
                        "recipient_training_lapsed");
    assert_string_equal(ask(f, "mailhouse", "newsletter_delivery", "contact", far),
                        "recipient_contract_ended");
    apply(f, "recipients.yaml",
          "safeguards: {reference: \"ISO/IEC 27001 certificate 88123\", until: 2030-12-31}",
          "safeguards: {reference: \"old\", until: 2020-12-31}", NULL);
    assert_string_equal(ask(f, "mailhouse", "newsletter_delivery", "contact", now),
                        "recipient_safeguards_ended");
}

static void test_without_a_policy_everything_is_denied_and_nothing_recorded(void **state)
{
    struct fixture *f = *state;
    assert_string_equal(may_use(f, "purchases"), "unavailable");
    struct engine_write w = write_of(f, WRITE_GIVE);
    name_categories(f, &w, "p");
    refused(f, &w, "no_policy");
}

/* ---- uses ---- */

static struct engine_write use_of(struct fixture *f, const char *category)
{
    struct engine_write w = write_of(f, WRITE_ACCESS);
    struct rules *r = engine_rules(f->e);
    w.question = (struct question){.recipient = w.recipient,
                                   .purpose = w.purpose,
                                   .category = str_of(category),
                                   .consumer = w.consumer,
                                   .at = clock_now()};
    w.policy_version = rules_policy(r)->version;
    decide(f->e, r, &w.question, &w.decision);
    rules_unref(r);
    return w;
}

static void test_a_use_decided_before_a_withdrawal_is_not_recorded_after_it(void **state)
{
    struct fixture *f = *state;
    struct consent c = give(f, "p");
    struct engine_write use = use_of(f, "purchases");
    assert_true(use.decision.permit);
    struct engine_write w = write_of(f, WRITE_WITHDRAW);
    w.consent = c.seq;
    run(f, &w);
    run(f, &use);
    assert_false(use.decision.permit);
    assert_int_equal(use.decision.reason, REASON_WITHDRAWN);
}

static enum decision_reason reported(struct fixture *f, const char *category, int64_t at)
{
    struct engine_write use = use_of(f, category);
    use.reported = true;
    use.question.at = at;
    run(f, &use);
    return use.decision.reason;
}

static void test_a_use_told_afterwards_is_judged_by_what_was_said_then(void **state)
{
    struct fixture *f = *state;
    int64_t before = clock_now() - 1000;
    struct consent c = give(f, "pc");
    int64_t between = clock_now();
    while (clock_now() < between + 3)
        usleep(1000);
    struct engine_write w = write_of(f, WRITE_WITHDRAW);
    w.consent = c.seq;
    run(f, &w);
    assert_int_equal(reported(f, "purchases", before), REASON_NO_CONSENT);
    assert_int_equal(reported(f, "purchases", between), REASON_PERMITTED);
    assert_int_equal(reported(f, "profile", between), REASON_NO_CONSENT);
    assert_int_equal(reported(f, "purchases", clock_now()), REASON_WITHDRAWN);
}

static void note_done(struct engine_write *w)
{
    *(_Atomic int *)w->ctx += 1;
}

static void test_a_use_in_the_same_commit_as_a_withdrawal_is_not_permitted(void **state)
{
    struct fixture *f = *state;
    int refusals = 0;
    for (int round = 0; round < 50; round++) {
        struct consent c = give(f, "p");
        _Atomic int done = 0;
        struct engine_write use = use_of(f, "purchases");
        struct engine_write w = write_of(f, WRITE_WITHDRAW), other = write_of(f, WRITE_CONSUMER);
        other.consumer = STR("00002");
        w.consent = c.seq;
        other.done = w.done = use.done = note_done;
        other.ctx = w.ctx = use.ctx = &done;
        /* The first keeps the writer busy, so that the other two wait and share a commit. */
        engine_submit(f->e, &other);
        engine_submit(f->e, &w);
        engine_submit(f->e, &use);
        while (done < 3)
            usleep(100);
        assert_false(use.job.rc == 0 && use.decision.permit);
        refusals += use.job.rc == LOV_EUNAVAILABLE;
    }
    assert_true(refusals > 0);
}

/* ---- the rest ---- */

static void test_public_ids_lead_back_and_others_lead_nowhere(void **state)
{
    struct fixture *f = *state;
    uint32_t shard = 9;
    int64_t seq = 9;
    for (int64_t i = 0; i < 1000; i++) {
        _cleanup_buf struct buf id = {0};
        consent_id_format(f->e, 0, i, &id);
        assert_int_equal(id.n, 32);
        assert_true(consent_id_parse(f->e, buf_view(&id), &shard, &seq));
        assert_int_equal(seq, i);
        id.p[i % 32] = id.p[i % 32] == 'f' ? '0' : 'f';
        assert_false(consent_id_parse(f->e, buf_view(&id), &shard, &seq));
    }
    assert_false(consent_id_parse(f->e, STR("1"), &shard, &seq));
}

static void test_two_processes_cannot_hold_one_installation(void **state)
{
    struct fixture *f = *state;
    struct engine *other;
    assert_int_equal(engine_open(f->dir, &f->log, &other, &f->err), LOV_ECONFLICT);
    assert_string_equal(f->err.reason, "locked");
}

static void change_row(struct fixture *f, const char *sql)
{
    char command[512];
    engine_close(f->e);
    f->e = NULL;
    snprintf(command, sizeof command, "%s/lov.db", f->dir);
    struct db *db;
    assert_int_equal(db_open(command, DB_WRITE, &db, &f->err), 0);
    assert_int_equal(db_run(db_use(db, sql), &f->err), 0);
    db_close(db);
}

static void test_a_state_that_the_ledger_did_not_make_is_found(void **state)
{
    struct fixture *f = *state;
    struct consent c = give(f, "p");
    struct engine_write w = write_of(f, WRITE_WITHDRAW);
    w.consent = c.seq;
    run(f, &w);
    verifies(f, true);
    change_row(f, "update consent set status = 'active'");
    verifies(f, false);
    /* Put back to what its first event said: true once, not any more. */
    change_row(f, "update consent set status = 'active', event = seq");
    verifies(f, false);
    change_row(f, "update consent set status = 'withdrawn', event = seq + 1");
    verifies(f, true);
    change_row(f, "delete from consent");
    verifies(f, false);
    change_row(f, "delete from consumer");
    verifies(f, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define WITH_POLICY(test) cmocka_unit_test_setup_teardown(test, open_fixture, close_fixture)
        WITH_POLICY(test_a_yes_permits_and_a_withdrawal_ends_it),
        WITH_POLICY(test_withdrawing_twice_is_no_error_and_no_second_event),
        WITH_POLICY(test_a_no_is_recorded_and_a_later_yes_takes_its_place),
        WITH_POLICY(test_consent_for_one_category_leaves_the_others_as_they_were),
        WITH_POLICY(test_what_the_policy_does_not_know_is_refused),
        WITH_POLICY(test_only_the_notice_in_force_counts),
        WITH_POLICY(test_the_end_is_bounded_by_policy_and_must_lie_ahead),
        WITH_POLICY(test_an_expired_consent_is_recorded_as_such),
        WITH_POLICY(test_amending_narrows_freely_and_widens_only_with_a_notice),
        WITH_POLICY(test_a_material_change_of_the_notice_asks_again),
        WITH_POLICY(test_an_effect_is_told_before_a_policy_is_applied),
        WITH_POLICY(test_a_repeated_key_does_nothing_twice),
        WITH_POLICY(test_the_young_need_a_guardian),
        WITH_POLICY(test_restriction_and_erasure_stop_every_use),
        WITH_POLICY(test_where_no_law_allows_a_list_of_who_was_erased_none_is_kept),
        WITH_POLICY(test_an_index_that_lags_behind_forgets_whom_no_list_keeps),
        WITH_POLICY(test_evidence_is_sealed_and_opens_for_the_consent_only),
        WITH_POLICY(test_every_reason_that_needs_no_consent_is_given),
        WITH_POLICY(test_a_use_decided_before_a_withdrawal_is_not_recorded_after_it),
        WITH_POLICY(test_a_use_told_afterwards_is_judged_by_what_was_said_then),
        WITH_POLICY(test_a_use_in_the_same_commit_as_a_withdrawal_is_not_permitted),
        WITH_POLICY(test_public_ids_lead_back_and_others_lead_nowhere),
        WITH_POLICY(test_two_processes_cannot_hold_one_installation),
        WITH_POLICY(test_a_state_that_the_ledger_did_not_make_is_found),
#undef WITH_POLICY
        cmocka_unit_test_setup_teardown(
            test_without_a_policy_everything_is_denied_and_nothing_recorded, open_empty,
            close_fixture),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
