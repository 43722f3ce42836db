/* test_consent_model.c - random histories against a naive model: after each step every decision of
 * the real engine must be the one that a reader of DESIGN §4 would work out by hand. The model
 * keeps plain arrays, shares no code with the engine, and knows the policy only through its
 * compiled form. The same questions go to another process, which answers through liblov from the
 * mapped index, over changes of policy and restarts. */
#include "test_model_world.h"

/* ---- the model ---- */

static bool younger(const struct model_consumer *c, int years, int64_t at)
{
    return years > 0 && c->born != INT32_MIN && at < date_start(date_add_years(c->born, years));
}

static const char *model_consent_reason(const struct model_consumer *c,
                                        const struct model_answer *m,
                                        const struct policy_activity *a,
                                        const struct policy_law *law, int64_t at)
{
    if (m->answer == NOTHING)
        return "no_consent";
    if (m->answer == TAKEN_BACK)
        return "withdrawn";
    if (m->answer == NO)
        return "refused";
    if (at >= m->expires_at)
        return "expired";
    if (m->notice_version < a->notice->sufficient_from)
        return "notice_superseded";
    if (!m->guardian && younger(c, policy_guardian_below(law, str_of(c->residence)), at))
        return "guardian_required";
    return "permitted";
}

static const char *model_reason(struct world *w, const struct model_consumer *c, size_t activity,
                                size_t position, int64_t at)
{
    const struct policy_activity *a = &w->policy->activities[activity];
    const struct policy_recipient *r = a->recipient;
    if (r->suspended)
        return "recipient_suspended";
    if (r->begins != TIME_NONE && at < r->begins)
        return "recipient_not_begun";
    if (r->contract_end != TIME_NONE && at >= r->contract_end)
        return "recipient_contract_ended";
    if (r->safeguards_end != TIME_NONE && at >= r->safeguards_end)
        return "recipient_safeguards_ended";
    if (r->training_end != TIME_NONE && at >= r->training_end)
        return "recipient_training_lapsed";
    if (c->erased)
        return "erased";
    if (!c->known)
        return "unknown_consumer";
    const struct policy_law *law = policy_law_of(w->policy, str_of(c->residence));
    enum policy_basis basis = a->basis[law->index];
    const struct model_answer *m = &c->says[activity][position];
    bool no = m->answer == NO || m->answer == TAKEN_BACK;
    if (c->restricted && basis != BASIS_LEGAL_OBLIGATION)
        return "restricted";
    if (basis == BASIS_CONSENT)
        return model_consent_reason(c, m, a, law, at);
    if (basis == BASIS_OPT_OUT) {
        if (no || c->opt_out)
            return "opted_out";
        return younger(c, law->opt_in_below, at) ? model_consent_reason(c, m, a, law, at)
                                                 : "permitted";
    }
    if (basis == BASIS_LEGITIMATE_INTEREST && no)
        return "objected";
    return basis == BASIS_NONE ? "not_in_policy" : "permitted";
}

static void compare_one(struct world *w, const struct model_consumer *c, size_t activity,
                        size_t position, int64_t at)
{
    const struct policy_activity *a = &w->policy->activities[activity];
    struct question q = {.recipient = a->recipient->id,
                         .purpose = a->purpose->id,
                         .category = a->categories[position]->id,
                         .consumer = str_of(c->id),
                         .at = at};
    struct decision d;
    decide(w->e, w->rules, &q, &d);
    const char *expected = model_reason(w, c, activity, position, at);
    if (strcmp(decision_reason_name(d.reason), expected) != 0)
        fail_msg("consumer %s, %.*s/%.*s/%.*s: engine says %s, model says %s", c->id,
                 STR_ARG(q.recipient), STR_ARG(q.purpose), STR_ARG(q.category),
                 decision_reason_name(d.reason), expected);
    assert_int_equal(d.permit, strcmp(expected, "permitted") == 0);
    if (d.permit)
        assert_int_equal(d.no_automated_decision, c->by_people);
    w->compared++;
    w->reasons[d.reason]++;
    note_for_reader(w, &q, expected, c->by_people);
}

static void compare_consumer(struct world *w, size_t who)
{
    enum { YEAR = 365 };
    int64_t now = clock_now();
    const int64_t at[] = {now, now + YEAR * (int64_t)DAY_MS, now + 12 * YEAR * (int64_t)DAY_MS};
    for (size_t t = 0; t < sizeof at / sizeof *at; t++)
        for (size_t a = 0; a < w->policy->activity_count; a++)
            for (size_t p = 0; p < w->policy->activities[a].category_count; p++)
                compare_one(w, &w->consumer[who], a, p, at[t]);
    ask_reader(w);
}

static void compare_all(struct world *w)
{
    for (size_t i = 0; i < CONSUMERS; i++)
        compare_consumer(w, i);
}

/* Everybody whom the model permits, by name, is in the audience, and nobody else. */
static void compare_audience(struct world *w, size_t activity, size_t position)
{
    const struct policy_activity *a = &w->policy->activities[activity];
    const struct question q = {.recipient = a->recipient->id,
                               .purpose = a->purpose->id,
                               .category = a->categories[position]->id};
    const struct audience_ask ask = {.all = &q, .count = 1};
    struct audience *audience = audience_open(w->e, &ask);
    struct identity_names *names =
        identity_names_new(engine_identity(w->e), engine_identities(w->e));
    _cleanup_buf struct buf text = {0};
    struct err err = {0};
    uint32_t numbers[CONSUMERS];
    struct uid cids[CONSUMERS];
    struct identity_span ids[CONSUMERS];
    size_t count, expected = 0;
    int64_t next, total;
    audience_find(audience, 0, CONSUMERS, -1, numbers, &count, &next);
    assert_int_equal(next, -1);
    assert_int_equal(audience_count(audience, -1, &total, &err), 0);
    assert_int_equal(total, (int64_t)count);
    for (size_t i = 0; i < count; i++)
        cids[i] = engine_cid(w->e, numbers[i]);
    assert_int_equal(identity_names_read(names, numbers, cids, count, &text, ids, &err), 0);
    for (size_t i = 0; i < CONSUMERS; i++) {
        const struct model_consumer *c = &w->consumer[i];
        bool in = false, permitted = strcmp(model_reason(w, c, activity, position, clock_now()),
                                            "permitted") == 0;
        for (size_t k = 0; k < count; k++)
            in |= str_is((struct str){text.p + ids[k].offset, ids[k].length}, c->id);
        assert_int_equal(in, permitted);
        expected += permitted;
    }
    assert_int_equal(count, expected);
    identity_names_free(names);
    audience_close(audience);
}

static void compare_audiences(struct world *w)
{
    for (size_t a = 0; a < w->policy->activity_count; a++)
        for (size_t p = 0; p < w->policy->activities[a].category_count; p++)
            compare_audience(w, a, p);
}

/* ---- steps, in the engine and in the model ---- */

static struct engine_write start(struct world *w, enum write_kind kind, struct arena *arena)
{
    (void)w;
    return (struct engine_write){
        .kind = kind,
        .actor = STR("test"),
        .arena = arena,
        .expires_at = TIME_NONE,
        .given_at = TIME_NONE,
        .channel = STR("web"),
    };
}

static size_t position_of(const struct policy_activity *a, struct str category)
{
    for (size_t i = 0; i < a->category_count; i++)
        if (str_eq(a->categories[i]->id, category))
            return i;
    return SIZE_MAX;
}

/* A random part of an activity's categories, at least one. */
static size_t some_categories(struct world *w, const struct policy_activity *a, struct str *out)
{
    size_t n = 0;
    while (n == 0)
        for (size_t i = 0; i < a->category_count; i++)
            if (next_random(w) & 1)
                out[n++] = a->categories[i]->id;
    return n;
}

static void show_notice(struct world *w, const struct policy_activity *a,
                        struct engine_write *write)
{
    const struct policy_notice *n = a->notice;
    write->notice = (struct notice_shown){
        .id = n->id, .version = n->version, .language = n->texts[pick(w, n->text_count)].language};
}

static void answer(struct world *w, size_t who)
{
    struct model_consumer *c = &w->consumer[who];
    size_t activity = pick(w, w->policy->activity_count);
    const struct policy_activity *a = &w->policy->activities[activity];
    if (!a->notice)
        return;
    _cleanup_arena struct arena arena = {0};
    struct err err = {0};
    struct str categories[CATEGORIES];
    bool yes = pick(w, 3) > 0;
    struct engine_write write = start(w, yes ? WRITE_GIVE : WRITE_REFUSE, &arena);
    write.consumer = str_of(c->id);
    write.purpose = a->purpose->id;
    write.recipient = a->recipient->id;
    write.categories = categories;
    write.category_count = some_categories(w, a, categories);
    show_notice(w, a, &write);
    if (pick(w, 4) == 0)
        write.guardian = STR("\"guardian-1\"");
    if (pick(w, 4) == 0)
        write.evidence = STR("{\"form\":7}");
    if (yes && pick(w, 3) == 0)
        write.expires_at = clock_now() + (int64_t)(1 + pick(w, 80)) * DAY_MS;
    int rc = engine_run(w->e, &write, &err);
    if (c->erased) {
        assert_int_equal(rc, LOV_ECONFLICT);
        return;
    }
    const struct policy_law *law = policy_law_of(w->policy, str_of(c->residence));
    if (yes && !write.guardian.n &&
        younger(c, policy_guardian_below(law, str_of(c->residence)), clock_now())) {
        assert_string_equal(err.reason, "guardian_required");
        return;
    }
    if (rc)
        print_message("%s: %s\n", err.reason, err.text);
    assert_int_equal(rc, 0);
    c->known = true;
    for (size_t i = 0; i < write.category_count; i++)
        c->says[activity][position_of(a, categories[i])] =
            (struct model_answer){yes ? YES : NO, yes ? write.out.expires_at : INT64_MAX,
                                  a->notice->version, write.guardian.n > 0, write.out.seq};
    w->consents = realloc(w->consents, (w->consent_count + 1) * sizeof *w->consents);
    w->consents[w->consent_count++] = (struct model_consent){
        .consumer = (int)who, .activity = (int)activity, .seq = write.out.seq};
}

/* The categories whose standing answer is this consent's; `said` limits to one kind of answer. */
static size_t held(struct world *w, const struct model_consent *m, enum answer said,
                   struct str *out)
{
    const struct policy_activity *a = &w->policy->activities[m->activity];
    size_t n = 0;
    for (size_t i = 0; i < a->category_count; i++) {
        const struct model_answer *s = &w->consumer[m->consumer].says[m->activity][i];
        if (s->consent == m->seq && s->answer == said)
            out[n++] = a->categories[i]->id;
    }
    return n;
}

static void withdraw(struct world *w, const struct model_consent *m)
{
    struct model_consumer *c = &w->consumer[m->consumer];
    _cleanup_arena struct arena arena = {0};
    struct err err = {0};
    struct str yes[CATEGORIES], no[CATEGORIES];
    bool active = held(w, m, YES, yes) > 0;
    struct engine_write write = start(w, WRITE_WITHDRAW, &arena);
    write.consent = m->seq;
    int rc = engine_run(w->e, &write, &err);
    if (c->erased) {
        assert_int_equal(rc, LOV_ENOTFOUND);
        return;
    }
    if (held(w, m, NO, no) > 0) {
        assert_int_equal(rc, LOV_ECONFLICT);
        return;
    }
    if (!active)
        return;
    assert_int_equal(rc, 0);
    const struct policy_activity *a = &w->policy->activities[m->activity];
    for (size_t i = 0; i < a->category_count; i++)
        if (c->says[m->activity][i].consent == m->seq)
            c->says[m->activity][i].answer = TAKEN_BACK;
}

static void renew(struct world *w, const struct model_consent *m)
{
    struct model_consumer *c = &w->consumer[m->consumer];
    const struct policy_activity *a = &w->policy->activities[m->activity];
    _cleanup_arena struct arena arena = {0};
    struct err err = {0};
    struct str yes[CATEGORIES];
    size_t count = held(w, m, YES, yes);
    struct engine_write write = start(w, WRITE_RENEW, &arena);
    write.consent = m->seq;
    show_notice(w, a, &write);
    if (pick(w, 2))
        write.guardian = STR("\"guardian-2\"");
    int rc = engine_run(w->e, &write, &err);
    if (rc || c->erased || count == 0)
        return;
    for (size_t i = 0; i < a->category_count; i++) {
        struct model_answer *s = &c->says[m->activity][i];
        if (s->consent != m->seq || s->answer != YES)
            continue;
        s->expires_at = write.out.expires_at;
        s->notice_version = a->notice->version;
        s->guardian = write.guardian.n > 0;
    }
}

static void amend(struct world *w, const struct model_consent *m)
{
    struct model_consumer *c = &w->consumer[m->consumer];
    const struct policy_activity *a = &w->policy->activities[m->activity];
    _cleanup_arena struct arena arena = {0};
    struct err err = {0};
    struct str yes[CATEGORIES], wanted[CATEGORIES];
    size_t count = held(w, m, YES, yes);
    struct engine_write write = start(w, WRITE_AMEND, &arena);
    write.consent = m->seq;
    write.categories = wanted;
    write.category_count = some_categories(w, a, wanted);
    if (pick(w, 2))
        show_notice(w, a, &write);
    bool with_notice = write.notice.id.n > 0;
    int rc = engine_run(w->e, &write, &err);
    if (rc || c->erased || count == 0)
        return;
    for (size_t i = 0; i < a->category_count; i++) {
        struct model_answer *s = &c->says[m->activity][i];
        bool in = false;
        for (size_t k = 0; k < write.category_count; k++)
            in |= str_eq(wanted[k], a->categories[i]->id);
        if (!in && s->consent == m->seq && s->answer == YES)
            s->answer = TAKEN_BACK;
        if (!in)
            continue;
        struct model_answer before = *s;
        s->answer = YES;
        s->consent = m->seq;
        s->expires_at = write.out.expires_at;
        s->notice_version = with_notice ? a->notice->version : before.notice_version;
        s->guardian = write.out.by_guardian;
    }
}

static void change_consumer(struct world *w, size_t who)
{
    static const char *const residences[] = {"SE", "DE", "US-CA", "FI", "BR"};
    struct model_consumer *c = &w->consumer[who];
    _cleanup_arena struct arena arena = {0};
    struct err err = {0};
    struct engine_write write = start(w, WRITE_CONSUMER, &arena);
    write.consumer = str_of(c->id);
    const char *residence = residences[pick(w, 4)];
    write.set.has_residence = true;
    write.set.residence = str_of(residence);
    write.set.has_restricted = true;
    write.set.restricted = pick(w, 6) == 0;
    write.set.has_opt_out_signal = true;
    write.set.opt_out_signal = pick(w, 6) == 0;
    write.set.has_no_automated_decision = pick(w, 2);
    write.set.no_automated_decision = pick(w, 3) == 0;
    if (pick(w, 2)) {
        write.set.has_born = true;
        write.set.born = (int32_t)(clock_now() / DAY_MS - (int64_t)(9 + pick(w, 20)) * 365);
    }
    int rc = engine_run(w->e, &write, &err);
    if (c->erased) {
        assert_int_equal(rc, LOV_ECONFLICT);
        return;
    }
    assert_int_equal(rc, 0);
    c->known = true;
    c->residence = residence;
    c->restricted = write.set.restricted;
    c->opt_out = write.set.opt_out_signal;
    if (write.set.has_no_automated_decision)
        c->by_people = write.set.no_automated_decision;
    if (write.set.has_born)
        c->born = write.set.born;
}

static void forget_consents(struct world *w, size_t who)
{
    size_t n = 0;
    for (size_t i = 0; i < w->consent_count; i++)
        if ((size_t)w->consents[i].consumer != who)
            w->consents[n++] = w->consents[i];
    w->consent_count = n;
}

static void erase(struct world *w, size_t who)
{
    struct model_consumer *c = &w->consumer[who];
    _cleanup_arena struct arena arena = {0};
    struct err err = {0};
    struct engine_write write = start(w, WRITE_ERASE, &arena);
    write.consumer = str_of(c->id);
    int rc = engine_run(w->e, &write, &err);
    if (!c->known || c->erased) {
        assert_true(rc < 0);
        return;
    }
    assert_int_equal(rc, 0);
    memset(c->says, 0, sizeof c->says);
    c->erased = policy_law_of(w->policy, str_of(c->residence))->suppression_list.n > 0;
    if (c->erased)
        return;
    /* Nobody knows any more that they ever were. */
    forget_consents(w, who);
    c->known = c->restricted = c->opt_out = c->by_people = false;
    c->residence = "SE";
    c->born = INT32_MIN;
}

static void step(struct world *w)
{
    size_t who = pick(w, CONSUMERS), what = pick(w, 100);
    if (what < 45 || w->consent_count == 0) {
        answer(w, who);
        compare_consumer(w, who);
        return;
    }
    struct model_consent some = w->consents[pick(w, w->consent_count)];
    if (what < 60)
        withdraw(w, &some);
    else if (what < 70)
        renew(w, &some);
    else if (what < 82)
        amend(w, &some);
    else if (what < 99)
        change_consumer(w, who);
    else if (pick(w, 3) == 0)
        erase(w, who);
    compare_consumer(w, who);
    compare_consumer(w, (size_t)some.consumer);
}

static void verify_world(struct world *w)
{
    struct db *lov;
    struct err err = {0};
    struct ledger_report ledger;
    struct state_report state;
    assert_int_equal(engine_open_store(w->dir, "lov", &lov, &err), 0);
    assert_int_equal(ledger_verify(lov, 0, NULL, NULL, &ledger, &err), 0);
    if (ledger.wrong_seq >= 0)
        fail_msg("event %lld: %s", (long long)ledger.wrong_seq, ledger.wrong);
    assert_int_equal(state_verify(lov, 0, &state, &err), 0);
    if (state.wrong)
        fail_msg("state at event %lld: %s", (long long)state.seq, state.what);
    db_close(lov);
}

static void test_every_decision_is_the_models_over_random_histories(void **state)
{
    struct world *w = *state;
    static const struct edit material[] = {
        {"notices/personal_offers", "version: 1", "version: 2"},
        {"notices/budget_overview", "version: 1", "version: 2"},
        {"notices/budget_overview", "material: true", "material: false"},
    };
    static const struct edit suspended[] = {
        {"recipients.yaml", "training: {until: 2030-12-31}",
         "status: suspended\n    training: {until: 2030-12-31}"},
        {"notices/personal_offers", "version: 1", "version: 2"},
        {"notices/budget_overview", "version: 1", "version: 2"},
        {"notices/budget_overview", "material: true", "material: false"},
        {"recipients.yaml", "from: 2026-11-01", "from: 2027-03-01"},
    };
    apply_policy(w, NULL, 0);
    for (int i = 1; i <= STEPS; i++) {
        step(w);
        if (i == STEPS / 2)
            apply_policy(w, material, sizeof material / sizeof *material);
        if (i == STEPS * 3 / 4)
            apply_policy(w, suspended, sizeof suspended / sizeof *suspended);
        if (i % 25 == 0) {
            compare_all(w);
            compare_audiences(w);
        }
        if (i % 1000 == 0) {
            open_again(w);
            compare_all(w);
            compare_audiences(w);
        }
    }
    verify_world(w);
    print_message("%ld decisions compared over %zu consents\n", w->compared, w->consent_count);
    assert_true(w->compared >= 1000000);
    assert_true(w->compared_by_reader == w->compared);
    for (int i = 0; i < REASON_COUNT; i++)
        print_message("%10ld %s\n", w->reasons[i], decision_reason_name((enum decision_reason)i));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_every_decision_is_the_models_over_random_histories,
                                        make_world, end_world),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
