/* test_consent.c - the engine step by step: what each write leaves, refuses and repeats. Random
 * histories are in test_consent_model.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/file.h"
#include "consent/consent.h"

struct fixture {
    char dir[64];
    struct log log;
    struct engine *e;
    struct arena arena;
    struct err err;
};

static void apply(struct fixture *f, const char *path_part, const char *from, const char *to,
                  struct policy **out)
{
    struct policy_bundle bundle = {0};
    assert_int_equal(policy_bundle_read("policy", &bundle, &f->err), 0);
    for (size_t i = 0; path_part && i < bundle.count; i++) {
        struct policy_file *file = &bundle.files[i];
        const char *at = strstr(file->text.p, from);
        if (at && strstr(file->path.p, path_part))
            file->text = arena_printf(&bundle.arena, "%.*s%s%s", (int)(at - file->text.p),
                                      file->text.p, to, at + strlen(from));
    }
    struct engine_write w = {
        .kind = WRITE_POLICY, .actor = STR("test"), .arena = &f->arena, .bundle = &bundle};
    if (out) {
        struct db *lov;
        struct policy_findings findings = {0};
        assert_int_equal(engine_open_store(f->dir, "lov", &lov, &f->err), 0);
        assert_int_equal(policy_store_compile(lov, &bundle, out, &findings, &f->err), 0);
        policy_findings_free(&findings);
        db_close(lov);
    } else {
        assert_int_equal(engine_run(f->e, &w, &f->err), 0);
        policy_unref(w.policy);
        policy_findings_free(&w.findings);
    }
    policy_bundle_free(&bundle);
}

static void reopen(struct fixture *f)
{
    engine_close(f->e);
    assert_int_equal(engine_open(f->dir, &f->log, &f->e, &f->err), 0);
}

static int open_empty(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    snprintf(f->dir, sizeof f->dir, "/tmp/lov-consent-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    f->log = (struct log){.fd = STDERR_FILENO, .level = LOG_ERROR};
    assert_int_equal(engine_init(f->dir, &f->err), 0);
    assert_int_equal(engine_open(f->dir, &f->log, &f->e, &f->err), 0);
    *state = f;
    return 0;
}

static int open_fixture(void **state)
{
    open_empty(state);
    apply(*state, NULL, NULL, NULL, NULL);
    return 0;
}

static int close_fixture(void **state)
{
    struct fixture *f = *state;
    char command[128];
    engine_close(f->e);
    arena_free(&f->arena);
    snprintf(command, sizeof command, "rm -rf %s", f->dir);
    int ignored = system(command);
    (void)ignored;
    free(f);
    return 0;
}

/* ---- short forms ---- */

static struct engine_write write_of(struct fixture *f, enum write_kind kind)
{
    return (struct engine_write){
        .kind = kind,
        .actor = STR("test"),
        .arena = &f->arena,
        .consumer = STR("00001"),
        .purpose = STR("personal_offers"),
        .recipient = STR("marketing"),
        .notice = {.id = STR("personal_offers"), .language = STR("sv"), .version = 1},
        .channel = STR("web"),
        .expires_at = TIME_NONE,
        .given_at = TIME_NONE,
    };
}

/* Categories by their first letters: "pc" is purchases and contact, "r" profile. */
static void name_categories(struct fixture *f, struct engine_write *w, const char *letters)
{
    w->categories = arena_array(&f->arena, strlen(letters), sizeof *w->categories);
    w->category_count = strlen(letters);
    for (size_t i = 0; letters[i]; i++)
        w->categories[i] = letters[i] == 'p'   ? STR("purchases")
                           : letters[i] == 'c' ? STR("contact")
                                               : STR("profile");
}

static struct consent give(struct fixture *f, const char *letters)
{
    struct engine_write w = write_of(f, WRITE_GIVE);
    name_categories(f, &w, letters);
    if (engine_run(f->e, &w, &f->err))
        fail_msg("%s: %s", f->err.reason, f->err.text);
    return w.out;
}

static void run(struct fixture *f, struct engine_write *w)
{
    if (engine_run(f->e, w, &f->err))
        fail_msg("%s: %s", f->err.reason, f->err.text);
}

static void refused(struct fixture *f, struct engine_write *w, const char *reason)
{
    assert_true(engine_run(f->e, w, &f->err) < 0);
    assert_string_equal(f->err.reason, reason);
}

static const char *ask(struct fixture *f, const char *recipient, const char *purpose,
                       const char *category, int64_t at)
{
    struct decision d;
    struct question q = {.recipient = str_of(recipient),
                         .purpose = str_of(purpose),
                         .category = str_of(category),
                         .consumer = STR("00001"),
                         .at = at};
    struct rules *r = engine_rules(f->e);
    decide(f->e, r, &q, &d);
    rules_unref(r);
    assert_int_equal(d.permit, d.reason == REASON_PERMITTED);
    return decision_reason_name(d.reason);
}

static const char *may_use(struct fixture *f, const char *category)
{
    return ask(f, "marketing", "personal_offers", category, clock_now());
}

static enum consent_status status_of(struct fixture *f, const struct consent *c)
{
    struct consent now;
    assert_int_equal(consent_get(f->e, c->shard, c->seq, &f->arena, &now, &f->err), 1);
    return now.status;
}

static void verifies(struct fixture *f, bool expected)
{
    struct db *lov;
    struct state_report report;
    assert_int_equal(engine_open_store(f->dir, "lov", &lov, &f->err), 0);
    assert_int_equal(state_verify(lov, 0, &report, &f->err), 0);
    if (report.wrong == expected)
        fail_msg("state: %s", report.wrong ? report.what : "nothing wrong found");
    db_close(lov);
}

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
    assert_int_equal(policy_effects(f->e, after, &diff, effects, &f->err), 0);
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

/* ---- transfers ---- */

#define TRANSFER "transfer: {announced: 2026-09-01, from: 2026-11-01}"

static int count_begun(void *ctx, const struct ledger_event *event)
{
    struct buf *body = ctx;
    if (!str_is(event->kind, "transfer.begin"))
        return 0;
    buf_str(body, event->body);
    buf_char(body, '\n');
    return 0;
}

/* The bodies of all events that say so, a line each. */
static struct str begun(struct fixture *f)
{
    _cleanup_buf struct buf bodies = {0};
    struct ledger_filter all = {.after = -1, .limit = 10000};
    struct db *lov;
    assert_int_equal(engine_begin_transfers(f->e, &f->err), 0);
    assert_int_equal(db_pool_get(engine_lov(f->e), &lov, &f->err), 0);
    assert_int_equal(ledger_read(lov, &all, count_begun, &bodies, NULL, &f->err), 0);
    db_pool_put(engine_lov(f->e), lov);
    return arena_str(&f->arena, buf_view(&bodies));
}

static void test_a_successor_waits_until_the_transfer_begins(void **state)
{
    struct fixture *f = *state;
    int64_t now = clock_now();
    apply(f, "recipients.yaml", TRANSFER, "transfer: {announced: 2026-11-01, from: 2099-11-01}",
          NULL);
    give(f, "p");
    assert_string_equal(ask(f, "nyhandel", "business_transfer", "purchases", now),
                        "recipient_not_begun");
    assert_int_equal(begun(f).n, 0);
    struct engine_write no = write_of(f, WRITE_REFUSE);
    no.consumer = STR("00002");
    no.purpose = STR("business_transfer");
    no.recipient = STR("nyhandel");
    no.notice.id = STR("business_transfer");
    name_categories(f, &no, "pc");
    run(f, &no);
    apply(f, NULL, NULL, NULL, NULL);
    assert_string_equal(ask(f, "nyhandel", "business_transfer", "purchases", now), "permitted");
    struct str once = begun(f);
    assert_non_null(strstr(once.p, "\"consumers\":2,\"permitted\":["));
    assert_non_null(strstr(once.p, "\"category\":\"purchases\",\"consumers\":1}"));
    assert_true(str_eq(begun(f), once));
    reopen(f);
    assert_true(str_eq(begun(f), once));
    /* Put off and begun again, it is told again. */
    apply(f, "recipients.yaml", TRANSFER, "transfer: {announced: 2026-08-01, from: 2026-10-01}",
          NULL);
    assert_true(begun(f).n > once.n + 10);
}

/* ---- writes of other modules ---- */

struct others {
    int64_t seqs[2];
    const char *row;
    bool fails, known;
};

/* Two events, and a row that a refusal must take back. */
static int write_two(struct engine_write *w, struct write_scope *s, struct err *err)
{
    static const char sql[] = "insert into meta (name, value) values ($1, 'x')";
    struct others *o = w->ctx;
    o->known = s->who != NULL;
    struct db_stmt *row = db_use(s->lov, sql);
    db_bind_text(row, 1, str_of(o->row));
    int rc = db_run(row, err);
    for (int i = 0; rc == 0 && i < 2; i++)
        rc = engine_append(s, "test.note", STR("a/b"), STR("{}"), &o->seqs[i], err);
    w->out_seq = o->seqs[1];
    return rc == 0 && o->fails ? err_reason(err, LOV_ECONFLICT, "not_now", "not now") : rc;
}

static int see_event(void *ctx, const struct ledger_event *event)
{
    struct ledger_event *out = ctx;
    out->seq = event->seq;
    out->prev = event->prev;
    out->has_cid = event->has_cid;
    return 0;
}

static struct ledger_event event_at(struct fixture *f, int64_t seq)
{
    struct ledger_event event = {.seq = -1};
    struct db *lov;
    assert_int_equal(db_pool_get(engine_lov(f->e), &lov, &f->err), 0);
    ledger_get(lov, 0, seq, see_event, &event, &f->err);
    db_pool_put(engine_lov(f->e), lov);
    return event;
}

static void test_events_of_other_modules_join_the_consumers_history(void **state)
{
    struct fixture *f = *state;
    struct consent c = give(f, "p");
    struct others o = {.row = "first"};
    struct engine_write w = {.kind = WRITE_OTHER,
                             .actor = STR("test"),
                             .arena = &f->arena,
                             .consumer = STR("00001"),
                             .other = write_two,
                             .ctx = &o};
    o.fails = true;
    refused(f, &w, "not_now");
    assert_int_equal(event_at(f, o.seqs[1]).seq, -1);
    o.fails = false;
    run(f, &w); /* the refused one's row would be in the way */
    assert_true(o.known);
    assert_int_equal(event_at(f, o.seqs[0]).prev, c.event);
    assert_int_equal(event_at(f, o.seqs[1]).prev, o.seqs[0]);
    w = write_of(f, WRITE_WITHDRAW);
    w.consent = c.seq;
    run(f, &w);
    assert_int_equal(event_at(f, w.out_seq).prev, o.seqs[1]);
    verifies(f, true);
    reopen(f);
    verifies(f, true);
}

static void test_other_modules_write_of_new_consumers_and_of_nobody(void **state)
{
    struct fixture *f = *state;
    struct others o = {.row = "first"};
    struct consumer who;
    struct engine_write w = {.kind = WRITE_OTHER,
                             .actor = STR("test"),
                             .arena = &f->arena,
                             .other = write_two,
                             .ctx = &o};
    run(f, &w);
    assert_false(o.known);
    assert_false(event_at(f, o.seqs[0]).has_cid);
    o.row = "second";
    w.consumer = STR("00002");
    o.fails = true;
    refused(f, &w, "not_now");
    assert_false(o.known);
    w.add = true;
    refused(f, &w, "not_now");
    assert_true(o.known);
    assert_int_equal(consumer_get(f->e, STR("00002"), &f->arena, &who, &f->err), 0);
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
        WITH_POLICY(test_evidence_is_sealed_and_opens_for_the_consent_only),
        WITH_POLICY(test_every_reason_that_needs_no_consent_is_given),
        WITH_POLICY(test_a_use_decided_before_a_withdrawal_is_not_recorded_after_it),
        WITH_POLICY(test_a_use_told_afterwards_is_judged_by_what_was_said_then),
        WITH_POLICY(test_a_use_in_the_same_commit_as_a_withdrawal_is_not_permitted),
        WITH_POLICY(test_public_ids_lead_back_and_others_lead_nowhere),
        WITH_POLICY(test_two_processes_cannot_hold_one_installation),
        WITH_POLICY(test_a_state_that_the_ledger_did_not_make_is_found),
        WITH_POLICY(test_a_successor_waits_until_the_transfer_begins),
        WITH_POLICY(test_events_of_other_modules_join_the_consumers_history),
        WITH_POLICY(test_other_modules_write_of_new_consumers_and_of_nobody),
#undef WITH_POLICY
        cmocka_unit_test_setup_teardown(
            test_without_a_policy_everything_is_denied_and_nothing_recorded, open_empty,
            close_fixture),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
