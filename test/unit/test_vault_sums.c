/* test_vault_sums.c - sums: what a recipient can find by asking, and by subtracting answers of all
 * times from each other, is never about fewer than k consumers. LOV_SEED repeats a run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "test_api_fixture.h"
#include "test_seed.h"
#include "vault/aggregate.h"

enum { K = 5, STEPS = 12, PEOPLE_A_STEP = 30, QUERIES_A_STEP = 90, GROUPS_MAX = 64 };

static uint64_t seed;

static const char *const departments[] = {"food", "clothes", "home", "electronics", "garden"};
#define VIEW                                                                                       \
    "fields: [{field: purchases.department, group: true}, "                                        \
    "{field: purchases.bought_at, to: month, group: true}, purchases.amount, purchases.quantity]"

/* stock_planning_by_operations with another view. */
static void apply_view(struct world *w, const char *view)
{
    static const char from[] = "view:\n      form: aggregate\n      k: 20\n      fields:\n"
                               "        - {field: purchases.department, group: true}\n"
                               "        - {field: purchases.bought_at, to: month, group: true}\n"
                               "        - purchases.quantity\n        - purchases.amount\n";
    struct err err = {0};
    struct policy_bundle bundle = {0};
    _cleanup_arena struct arena arena = {0};
    assert_int_equal(policy_bundle_read("policy", &bundle, &err), 0);
    for (size_t i = 0; i < bundle.count; i++) {
        struct policy_file *file = &bundle.files[i];
        const char *start = strstr(file->text.p, from);
        if (start && str_is(file->path, "activities.yaml"))
            file->text = arena_printf(&bundle.arena, "%.*s%s\n%s", (int)(start - file->text.p),
                                      file->text.p, view, start + strlen(from));
    }
    struct engine_write write = {
        .kind = WRITE_POLICY, .actor = STR("test"), .arena = &arena, .bundle = &bundle};
    if (engine_run(w->e, &write, &err))
        fail_msg("%s: %s", err.text, write.findings.count ? write.findings.items[0].text.p : "");
    policy_unref(write.policy);
    policy_findings_free(&write.findings);
    policy_bundle_free(&bundle);
}

static int64_t make_blocks(struct world *w)
{
    struct vault *v;
    struct err err = {0};
    int64_t blocks;
    assert_int_equal(vault_open(w->e, &v, &err), 0);
    if (vault_aggregate(v, &blocks, &err))
        fail_msg("%s", err.text);
    vault_close(v);
    return blocks;
}

static void buy(struct world *w, const char *who, const char *department, int month,
                const char *amount, const char *currency, char id[33])
{
    char target[160], body[400];
    snprintf(target, sizeof target, "/v1/consumers/%s/records/purchases", who);
    snprintf(body, sizeof body,
             "{\"data\":{\"order_id\":\"o\",\"bought_at\":\"2026-%02d-05T10:00:00Z\",\"product\":"
             "\"p\",\"department\":\"%s\",\"quantity\":1,\"amount\":{\"amount\":\"%s\","
             "\"currency\":\"%s\"}}}",
             month, department, amount, currency);
    _cleanup_answer struct answer a = ask(w, NULL, "POST", target, body);
    assert_status(a, 201);
    if (id)
        snprintf(id, 33, "%s", text_at(&a, "id"));
}

static struct answer sums(struct world *w, const char *more)
{
    char body[300];
    snprintf(body, sizeof body,
             "{\"purpose\":\"stock_planning\",\"recipient\":\"operations\",\"category\":"
             "\"purchases\"%s}",
             more);
    return ask(w, NULL, "POST", "/v1/aggregates", body);
}

static int64_t count_at(const json_t *group)
{
    return json_integer_value(json_object_get(group, "count"));
}

static const json_t *groups_of(const struct answer *a)
{
    return at(a->json, "groups");
}

static int64_t total(const struct answer *a)
{
    int64_t n = 0;
    for (size_t i = 0; i < json_array_size(groups_of(a)); i++)
        n += count_at(json_array_get(groups_of(a), i));
    return n;
}

/* ---- small groups ---- */

static void test_a_group_under_k_is_in_no_answer_and_no_total(void **state)
{
    struct world *w = *state;
    char who[16];
    apply_view(w, "view: {form: aggregate, k: 5, " VIEW "}");
    for (int i = 0; i < 7; i++) {
        snprintf(who, sizeof who, "f%d", i);
        buy(w, who, "food", 3, "10.50", "SEK", NULL);
    }
    for (int i = 0; i < 4; i++) {
        snprintf(who, sizeof who, "g%d", i);
        buy(w, who, "garden", 3, "99", "SEK", NULL);
    }
    /* One consumer, many records; another currency; no amount of quantity. */
    for (int i = 0; i < 10; i++)
        buy(w, "f1", "home", 4, "7", "SEK", NULL);
    buy(w, "f2", "food", 3, "1000", "EUR", NULL);
    _cleanup_answer struct answer early = sums(w, "");
    assert_status(early, 200);
    assert_int_equal(total(&early), 0);
    assert_int_equal(make_blocks(w), 1);
    _cleanup_answer struct answer all = sums(w, "");
    assert_int_equal(json_array_size(groups_of(&all)), 1);
    assert_string_equal(text_at(&all, "groups.0.group.department"), "food");
    assert_string_equal(text_at(&all, "groups.0.group.bought_at"), "2026-03");
    assert_string_equal(text_at(&all, "groups.0.fields.amount.sum"), "73.5");
    assert_string_equal(text_at(&all, "groups.0.fields.amount.mean"), "10.5");
    assert_string_equal(text_at(&all, "groups.0.fields.quantity.sum"), "7");
    _cleanup_answer struct answer one = sums(w, ",\"group_by\":[],\"fields\":[]");
    assert_status(one, 200);
    assert_int_equal(total(&one), 7);
    /* The fifth gardener. */
    buy(w, "g4", "garden", 3, "99", "SEK", NULL);
    assert_int_equal(make_blocks(w), 1);
    _cleanup_answer struct answer now = sums(w, ",\"group_by\":[\"department\"]");
    assert_int_equal(total(&now), 12);
    assert_int_equal(make_blocks(w), 0);
}

static void test_what_may_be_asked_is_what_the_view_has(void **state)
{
    struct world *w = *state;
    static const char *const wrong[] = {
        ",\"group_by\":[\"store\"]",           ",\"group_by\":[\"amount\"]",
        ",\"group_by\":[\"amount.currency\"]", ",\"fields\":[\"order_id\"]",
        ",\"fields\":[\"department\"]",        ",\"where\":{\"store\":\"Lund\"}",
        ",\"group_by\":\"department\"",        ",\"group_by\":[\"department\",\"department\"]"};
    apply_view(w, "view: {form: aggregate, k: 5, " VIEW "}");
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        _cleanup_answer struct answer a = sums(w, wrong[i]);
        if (a.status != 400)
            fail_msg("%s: status %d", wrong[i], a.status);
    }
    _cleanup_answer struct answer rows =
        ask(w, NULL, "POST", "/v1/aggregates",
            "{\"purpose\":\"customer_support\",\"recipient\":\"customer_service\",\"category\":"
            "\"purchases\"}");
    assert_status(rows, 422);
    assert_reason(rows, "not_in_policy");
    char key[80];
    make_key(w, "{\"recipient\":\"marketing\"}", key, NULL);
    _cleanup_answer struct answer other =
        ask(w, key, "POST", "/v1/aggregates",
            "{\"purpose\":\"stock_planning\",\"recipient\":\"operations\",\"category\":"
            "\"purchases\"}");
    assert_status(other, 403);
    _cleanup_answer struct answer no_activity =
        ask(w, key, "POST", "/v1/aggregates",
            "{\"purpose\":\"stock_planning\",\"category\":\"purchases\"}");
    assert_status(no_activity, 403);
    assert_reason(no_activity, "not_in_policy");
}

/* ---- subtracting ---- */

/* What an attacker keeps: each group of each answer, by what was asked and for which group. */
struct known {
    char key[200];
    int64_t count;
    double sum;
};

/* Of two counts of the same group at two times, or of a group and its parts, the difference is
 * about somebody: none, or at least k. Each consumer here has one record. */
static void check_difference(int64_t a, int64_t b, const char *what)
{
    int64_t d = llabs(a - b);
    if (d > 0 && d < K)
        fail_msg("%s: %lld and %lld tell of %lld consumers", what, (long long)a, (long long)b,
                 (long long)d);
}

static int64_t sum_where(const json_t *fine, const char *name, const json_t *value)
{
    int64_t n = 0;
    for (size_t i = 0; i < json_array_size(fine); i++) {
        const json_t *g = json_array_get(fine, i);
        const json_t *is = json_object_get(json_object_get(g, "group"), name);
        if (!name[0] || json_equal((json_t *)is, (json_t *)value))
            n += count_at(g);
    }
    return n;
}

static const char *const questions[] = {
    "",
    ",\"group_by\":[]",
    ",\"group_by\":[\"department\"]",
    ",\"group_by\":[\"bought_at\"]",
    ",\"group_by\":[\"department\",\"bought_at\"],\"fields\":[]",
    ",\"fields\":[\"quantity\"]",
    ",\"group_by\":[],\"fields\":[\"amount\"]"};
enum { QUESTIONS = sizeof questions / sizeof *questions, ANSWERS_MAX = STEPS * QUESTIONS };

struct attack {
    json_t *answers[STEPS][QUESTIONS];
};

static void check_over_time(const json_t *older, const json_t *newer)
{
    for (size_t i = 0; i < json_array_size(newer); i++) {
        const json_t *g = json_array_get(newer, i);
        json_t *name = json_object_get(g, "group");
        int64_t before = 0;
        for (size_t k = 0; k < json_array_size(older); k++)
            if (json_equal(json_object_get(json_array_get(older, k), "group"), name))
                before = count_at(json_array_get(older, k));
        char *text = json_dumps(name, JSON_COMPACT);
        check_difference(before, count_at(g), text);
        free(text);
    }
}

/* Coarse groups at one time against their parts at another. */
static void check_parts(const json_t *coarse, const json_t *fine, const char *name)
{
    for (size_t i = 0; i < json_array_size(coarse); i++) {
        const json_t *g = json_array_get(coarse, i);
        const json_t *value = json_object_get(json_object_get(g, "group"), name);
        check_difference(count_at(g), sum_where(fine, name, value), name);
    }
}

static void check_attack(const struct attack *x, int steps)
{
    for (int a = 0; a < steps; a++) {
        for (int b = 0; b < steps; b++) {
            for (int q = 0; q < QUESTIONS; q++)
                check_over_time(x->answers[a][q], x->answers[b][q]);
            check_parts(x->answers[a][2], x->answers[b][4], "department");
            check_parts(x->answers[a][3], x->answers[b][4], "bought_at");
            check_parts(x->answers[a][1], x->answers[b][4], "");
        }
    }
}

/* Consumers come, are erased, object, and have their records corrected and deleted. */
static void live(struct world *w, int step)
{
    char who[32], target[160], id[33], amount[32];
    for (int i = 0; i < PEOPLE_A_STEP; i++) {
        snprintf(who, sizeof who, "p-%d-%d", step, i);
        snprintf(amount, sizeof amount, "%d", (int)(1 + seed_below(&seed, 100000)));
        buy(w, who, departments[seed_below(&seed, 5)], (int)(7 + seed_below(&seed, 3)), amount,
            "SEK", id);
        uint64_t fate = seed_below(&seed, 12);
        if (fate > 3)
            continue;
        if (seed_below(&seed, 2))
            make_blocks(w);
        if (fate == 0) {
            snprintf(target, sizeof target, "/v1/consumers/%s/records/purchases/%s", who, id);
            _cleanup_answer struct answer a = ask(w, NULL, "DELETE", target, "");
            assert_status(a, 200);
        } else if (fate == 1) {
            snprintf(target, sizeof target, "/v1/consumers/%s/erase", who);
            _cleanup_answer struct answer a = ask(w, NULL, "POST", target, "");
            assert_status(a, 200);
        } else if (fate == 2) {
            snprintf(target, sizeof target, "/v1/consumers/%s/records/purchases/%s", who, id);
            _cleanup_answer struct answer a =
                ask(w, NULL, "PUT", target,
                    "{\"data\":{\"order_id\":\"o\",\"bought_at\":\"2026-09-05T10:00:00Z\","
                    "\"product\":\"p\",\"department\":\"food\",\"quantity\":3,\"amount\":"
                    "{\"amount\":\"5\",\"currency\":\"SEK\"}}}");
            assert_status(a, 200);
        } else {
            snprintf(target, sizeof target, "/v1/consumers/%s", who);
            _cleanup_answer struct answer a = ask(w, NULL, "PUT", target, "{\"restricted\":true}");
            assert_status(a, 200);
        }
    }
}

static void test_a_thousand_answers_subtracted_tell_of_no_group_under_k(void **state)
{
    struct world *w = *state;
    struct attack x = {0};
    int asked = 0;
    apply_view(w, "view: {form: aggregate, k: 5, " VIEW "}");
    for (int step = 0; step < STEPS; step++) {
        live(w, step);
        make_blocks(w);
        if (step == STEPS / 2) {
            world_close(w);
            world_open(w);
        }
        for (int i = 0; i < QUERIES_A_STEP; i++, asked++) {
            int q = i < QUESTIONS ? i : (int)seed_below(&seed, QUESTIONS);
            _cleanup_answer struct answer a = sums(w, questions[q]);
            assert_status(a, 200);
            json_t *groups = json_incref((json_t *)groups_of(&a));
            /* Asked again it is the same. */
            if (x.answers[step][q] && !json_equal(x.answers[step][q], groups))
                fail_msg("another answer to the same question");
            json_decref(x.answers[step][q]);
            x.answers[step][q] = groups;
        }
    }
    assert_true(asked >= 1000);
    assert_true(json_array_size(x.answers[STEPS - 1][4]) >= 10);
    check_attack(&x, STEPS);
    struct state_report report;
    struct db *lov;
    struct err err = {0};
    assert_int_equal(engine_open_store(w->dir, "lov", &lov, &err), 0);
    assert_int_equal(vault_verify(lov, 0, &report, &err), 0);
    assert_false(report.wrong);
    db_close(lov);
    for (int s = 0; s < STEPS; s++)
        for (int q = 0; q < QUESTIONS; q++)
            json_decref(x.answers[s][q]);
}

static void run_sql(struct world *w, const char *sql)
{
    char path[128];
    struct db *db;
    struct err err = {0};
    snprintf(path, sizeof path, "%s/lov.db", w->dir);
    assert_int_equal(db_open(path, DB_WRITE, &db, &err), 0);
    assert_int_equal(db_run(db_use(db, sql), &err), 0);
    db_close(db);
}

static void test_a_block_that_no_event_published_is_found(void **state)
{
    struct world *w = *state;
    static const char *const lies[] = {
        "update aggregate_block set records = records + 1", "delete from aggregate_block",
        "insert into aggregate_block select shard, recipient, purpose, category, seq + 1, part, "
        "form, keys, records, sums, epsilon, at from kept"};
    struct state_report report;
    struct db *lov;
    struct err err = {0};
    char who[16];
    apply_view(w, "view: {form: aggregate, k: 5, " VIEW "}");
    for (int i = 0; i < 5; i++) {
        snprintf(who, sizeof who, "f%d", i);
        buy(w, who, "food", 3, "1", "SEK", NULL);
    }
    assert_int_equal(make_blocks(w), 1);
    run_sql(w, "create table kept as select * from aggregate_block");
    for (size_t i = 0; i <= sizeof lies / sizeof *lies; i++) {
        if (i)
            run_sql(w, lies[i - 1]);
        assert_int_equal(engine_open_store(w->dir, "lov", &lov, &err), 0);
        assert_int_equal(vault_verify(lov, 0, &report, &err), 0);
        assert_int_equal(report.wrong, i > 0);
        db_close(lov);
        run_sql(w, "delete from aggregate_block");
        run_sql(w, "insert into aggregate_block select * from kept");
    }
}

static void test_a_large_group_is_cut_into_blocks_of_which_none_is_small(void **state)
{
    struct world *w = *state;
    enum { PEOPLE = 11, EACH = 1000 };
    _cleanup_buf struct buf body = {0};
    apply_view(w, "view: {form: aggregate, k: 5, " VIEW "}");
    buf_cstr(&body, "{\"records\":[");
    for (int i = 0; i < EACH; i++)
        buf_printf(&body,
                   "%s{\"data\":{\"order_id\":\"%d\",\"bought_at\":\"2026-03-05T10:00:00Z\","
                   "\"product\":\"p\",\"department\":\"food\",\"quantity\":1,\"amount\":"
                   "{\"amount\":\"999999999999.999999\",\"currency\":\"SEK\"}}}",
                   i ? "," : "", i);
    buf_cstr(&body, "]}");
    for (int i = 0; i < PEOPLE; i++) {
        char target[100];
        snprintf(target, sizeof target, "/v1/consumers/big%d/records/purchases", i);
        _cleanup_answer struct answer a = ask(w, NULL, "POST", target, body.p);
        assert_status(a, 201);
    }
    assert_int_equal(make_blocks(w), 2);
    _cleanup_answer struct answer a = sums(w, "");
    assert_int_equal(total(&a), PEOPLE * EACH);
    assert_string_equal(text_at(&a, "groups.0.fields.amount.sum"), "10999999999999999.989");
    assert_string_equal(text_at(&a, "groups.0.fields.amount.mean"), "999999999999.999999");
}

/* ---- differential privacy ---- */

static void test_noise_is_discrete_laplace(void **state)
{
    (void)state;
    enum { N = 40000 };
    /* Scale 7/2: variance 2 e^(-1/b) / (1 - e^(-1/b))^2 = 24.3 */
    double sum = 0, square = 0;
    int zero = 0;
    for (int i = 0; i < N; i++) {
        double x = (double)noise_laplace(7, 2);
        sum += x;
        square += x * x;
        zero += x == 0;
    }
    /* P(0) = (1 - e^(-1/b)) / (1 + e^(-1/b)) = 0.1419 */
    assert_true(sum / N > -0.15 && sum / N < 0.15);
    assert_true(square / N > 22.5 && square / N < 26.2);
    assert_true(zero / (double)N > 0.133 && zero / (double)N < 0.151);
    /* As large as it may be. */
    assert_true(noise_laplace((INT64_C(1) << 61), 1) != noise_laplace((INT64_C(1) << 61), 1));
}

static void test_a_privacy_budget_is_spent_once_and_survives_a_restart(void **state)
{
    struct world *w = *state;
    char who[16];
    apply_view(w, "view: {form: aggregate, k: 5, privacy: {epsilon: '0.5', budget: '1', days: 30, "
                  "records: 2, most: 100}, " VIEW "}");
    for (int i = 0; i < 40; i++) {
        snprintf(who, sizeof who, "f%d", i);
        buy(w, who, "food", 3, "50", "SEK", NULL);
        buy(w, who, "home", 3, "5000", "SEK", NULL); /* counts as 100 */
        buy(w, who, "garden", 3, "50", "SEK", NULL); /* the third: waits */
    }
    assert_int_equal(make_blocks(w), 2);
    _cleanup_answer struct answer first = sums(w, "");
    assert_int_equal(json_array_size(groups_of(&first)), 2);
    for (int i = 40; i < 80; i++) {
        snprintf(who, sizeof who, "f%d", i);
        buy(w, who, "food", 3, "50", "SEK", NULL);
    }
    world_close(w);
    world_open(w);
    /* Half of the budget is left for the second half of the period. */
    assert_int_equal(make_blocks(w), 0);
    _cleanup_answer struct answer second = sums(w, "");
    assert_true(json_equal((json_t *)groups_of(&first), (json_t *)groups_of(&second)));
    /* No access is recorded for what is not told. */
    _cleanup_answer struct answer history = ask(w, NULL, "GET", "/v1/consumers/f79/history", "");
    assert_int_equal(json_array_size(at(history.json, "items")), 2);
}

int main(void)
{
    seed = seed_start();
    const struct CMUnitTest tests[] = {
#define WITH_POLICY(test) cmocka_unit_test_setup_teardown(test, world_begin, world_end)
        WITH_POLICY(test_a_group_under_k_is_in_no_answer_and_no_total),
        WITH_POLICY(test_what_may_be_asked_is_what_the_view_has),
        WITH_POLICY(test_a_thousand_answers_subtracted_tell_of_no_group_under_k),
        WITH_POLICY(test_a_block_that_no_event_published_is_found),
        WITH_POLICY(test_a_large_group_is_cut_into_blocks_of_which_none_is_small),
        WITH_POLICY(test_a_privacy_budget_is_spent_once_and_survives_a_restart),
#undef WITH_POLICY
        cmocka_unit_test(test_noise_is_discrete_laplace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
