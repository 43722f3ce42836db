/* console_today.c - the first page: what is due, what is wrong, how consent and use stand. */
#include <stdlib.h>
#include <string.h>

#include "web/console.h"

enum { SOON_DAYS = 30, REQUESTS_SHOWN = 5, REQUESTS_READ = 1000, READS_READ = 1000 };

/* ---- alerts ---- */

static json_t *add_alert(struct visit *v, const char *what, struct str who, struct str day)
{
    json_t *alert = json_object();
    set_text(alert, "what", word(v, what));
    set_text(alert, "who", who);
    set_text(alert, "day", day);
    json_array_append_new(json_object_get(v->view, "alerts"), alert);
    return alert;
}

static void alert_count(struct visit *v, const char *what, int64_t count, const char *path)
{
    if (count)
        set_text(
            add_alert(v, what, arena_printf(v->arena, "%lld", (long long)count), (struct str){0}),
            "path", str_of(path));
}

/* Something that ends within SOON_DAYS, or has ended. */
static void alert_end(struct visit *v, const char *soon, const char *over, struct str who,
                      int64_t end)
{
    if (end == TIME_NONE || end == INT64_MAX || end - v->now > SOON_DAYS * (int64_t)DAY_MS)
        return;
    int32_t day = (int32_t)(end / DAY_MS) - 1;
    add_alert(v, end <= v->now ? over : soon, who, day_text(v, day));
}

static void alert_recipients(struct visit *v)
{
    for (size_t i = 0; v->policy && i < v->policy->recipient_count; i++) {
        const struct policy_recipient *r = &v->policy->recipients[i];
        struct str label = policy_text_in(v->policy, &r->label, v->language);
        if (r->suspended)
            add_alert(v, "alert_suspended", label, (struct str){0});
        alert_end(v, "alert_contract_soon", "alert_contract_over", label, r->contract_end);
        alert_end(v, "alert_safeguards_soon", "alert_safeguards_over", label, r->safeguards_end);
        alert_end(v, "alert_training_soon", "alert_training_over", label, r->training_end);
    }
    for (size_t i = 0; v->policy && i < v->policy->law_count; i++) {
        const struct policy_law *law = &v->policy->laws[i];
        for (size_t k = 0; k < law->pending_count; k++)
            add_alert(v, "alert_law", law->name,
                      day_text(v, (int32_t)(law->pending[k].from / DAY_MS)));
    }
}

/* Reads of many that wait for whoever sits there: to be decided, or to be made. */
static void alert_reads(struct visit *v)
{
    int status;
    size_t i;
    const json_t *r;
    int64_t undecided = 0, approved = 0;
    const json_t *answer = desk_ask(
        v, "GET", arena_printf(v->arena, "/v1/reads?limit=%d", (int)READS_READ), NULL, &status);
    json_array_foreach(json_object_get(answer, "items"), i, r) {
        bool own = json_is_true(json_object_get(r, "own"));
        undecided += str_is(member(r, "state"), "open") && !own;
        approved += str_is(member(r, "state"), "approved") && own;
    }
    alert_count(v, "alert_reads", undecided, "/console/reads");
    alert_count(v, "alert_reads_approved", approved, "/console/reads");
}

/* What nobody does alone, or was done alone, and who will approve. */
static void alert_eyes(struct visit *v, const json_t *seen)
{
    const json_t *item;
    size_t i;
    json_array_foreach(seen, i, item) {
        struct str kind = member(item, "kind"), id = member(item, "id");
        struct str roles = member(item, "roles"), role = str_cut(&roles, ' ');
        int64_t at = v->now;
        time_parse(member(item, "at"), &at);
        struct str who =
            str_is(kind, "policy")
                ? arena_printf(v->arena, "%.*s, %.*s %.*s", STR_ARG(word(v, "desk_policy")),
                               STR_ARG(word(v, "version")), STR_ARG(id))
                : actor_text(v,
                             arena_printf(v->arena, "staff:%.*s/%.*s", STR_ARG(role), STR_ARG(id)));
        add_alert(v, arena_printf(v->arena, "alert_eyes_%.*s", STR_ARG(kind)).p, who,
                  day_text(v, (int32_t)(at / DAY_MS)));
    }
}

static void set_alerts(struct visit *v, const json_t *overview)
{
    int64_t overdue = member_int(json_object_get(overview, "requests"), "overdue");
    json_object_set_new(v->view, "alerts", json_array());
    if (json_is_true(json_object_get(json_object_get(overview, "log"), "wrong")))
        add_alert(v, "alert_log", (struct str){0}, (struct str){0});
    if (!v->policy)
        add_alert(v, "alert_no_policy", (struct str){0}, (struct str){0});
    if (may(v, MAY_READ_REQUESTS))
        alert_count(v, "alert_overdue", overdue, "/console/requests");
    if (may(v, MAY_APPROVE_READS))
        alert_reads(v);
    if (may(v, MAY_READ_EVENTS)) {
        alert_eyes(v, json_object_get(json_object_get(overview, "four_eyes"), "seen"));
        alert_recipients(v);
    }
    alert_end(v, "alert_own_training", "alert_own_training", (struct str){0},
              v->desk->staff.trained_until);
}

/* ---- requests ---- */

static int by_deadline(const void *a, const void *b)
{
    return str_cmp(member(*(const json_t *const *)a, "due_at"),
                   member(*(const json_t *const *)b, "due_at"));
}

static void set_requests(struct visit *v)
{
    int status;
    const json_t *answer = desk_ask(
        v, "GET", arena_printf(v->arena, "/v1/requests?state=live&limit=%d", REQUESTS_READ), NULL,
        &status);
    const json_t *items = json_object_get(answer, "items");
    size_t count = json_array_size(items);
    const json_t **sorted = arena_array(v->arena, count + 1, sizeof *sorted);
    json_t *due = json_array();
    for (size_t i = 0; i < count; i++)
        sorted[i] = json_array_get(items, i);
    qsort(sorted, count, sizeof *sorted, by_deadline);
    for (size_t i = 0; i < count && i < REQUESTS_SHOWN; i++) {
        json_t *view = json_object();
        set_text(view, "id", member(sorted[i], "id"));
        set_text(view, "right", word_of(v, "right_", member(sorted[i], "right")));
        set_text(view, "state", word_of(v, "state_", member(sorted[i], "state")));
        set_moment_of(v, view, "due", member(sorted[i], "due_at"));
        set_true(view, "overdue", json_is_true(json_object_get(sorted[i], "overdue")));
        json_array_append_new(due, view);
    }
    set_true(v->view, "sees_requests", true);
    json_object_set_new(v->view, "due", due);
}

/* ---- uses and denials ---- */

/* Columns of a chart 1000 wide and 100 high: permitted below, denied on top. */
static void set_uses(struct visit *v, const json_t *uses)
{
    const json_t *days = json_object_get(uses, "days"), *day;
    size_t i, count = json_array_size(days);
    int64_t most = 1, permitted = 0, denied = 0;
    json_t *columns = json_array();
    json_array_foreach(days, i, day) {
        int64_t sum = member_int(day, "permitted") + member_int(day, "denied");
        most = sum > most ? sum : most;
    }
    json_array_foreach(days, i, day) {
        json_t *column = json_object();
        int32_t number = 0;
        int64_t yes = permille(member_int(day, "permitted"), most) / 10;
        int64_t no = permille(member_int(day, "denied"), most) / 10;
        date_parse(member(day, "day"), &number);
        set_text(column, "day", day_text(v, number));
        set_int(column, "permitted", member_int(day, "permitted"));
        set_int(column, "denied", member_int(day, "denied"));
        set_int(column, "x", (int64_t)(i * 1000 / count));
        set_int(column, "width", (int64_t)(1000 / count) - 8);
        set_int(column, "yes_y", 100 - yes);
        set_int(column, "yes_height", yes);
        set_int(column, "no_y", 100 - yes - no);
        set_int(column, "no_height", no);
        permitted += member_int(day, "permitted");
        denied += member_int(day, "denied");
        json_array_append_new(columns, column);
    }
    json_object_set_new(v->view, "columns", columns);
    set_int(v->view, "permitted", permitted);
    set_int(v->view, "denied", denied);
    set_moment_of(v, v->view, "from", member(uses, "from"));
}

static int by_count(const void *a, const void *b)
{
    int64_t left = member_int(*(json_t *const *)a, "count");
    int64_t right = member_int(*(json_t *const *)b, "count");
    return left < right ? 1 : left > right ? -1 : 0;
}

/* Reasons, the most frequent first. */
static void set_reasons(struct visit *v, const char *name, json_t *denied)
{
    const char *reason;
    const json_t *count;
    int64_t most = 0;
    json_t *rows[REASON_COUNT], *list = json_array();
    size_t n = 0;
    json_object_foreach(denied, reason, count) {
        int64_t number = json_integer_value(count);
        most = number > most ? number : most;
        if (n == REASON_COUNT)
            break;
        rows[n] = json_object();
        set_text(rows[n], "reason", word_of(v, "reason_", str_of(reason)));
        set_int(rows[n++], "count", number);
    }
    qsort(rows, n, sizeof *rows, by_count);
    for (size_t i = 0; i < n; i++) {
        set_int(rows[i], "width", permille(member_int(rows[i], "count"), most));
        json_array_append_new(list, rows[i]);
    }
    json_object_set_new(v->view, name, list);
}

/* ---- consent ---- */

static void set_rates(struct visit *v, const json_t *overview)
{
    const json_t *activities = json_object_get(overview, "activities"), *a;
    int64_t consumers = member_int(overview, "consumers");
    json_t *rows = json_array();
    size_t i;
    json_array_foreach(activities, i, a) {
        json_t *row = json_object();
        const json_t *permitted = json_object_get(a, "permitted");
        int64_t rate = permille(json_integer_value(permitted), consumers);
        set_text(row, "purpose", purpose_label(v, member(a, "purpose")));
        set_text(row, "recipient", recipient_label(v, member(a, "recipient")));
        set_true(row, "known", json_is_integer(permitted));
        set_int(row, "permitted", json_integer_value(permitted));
        set_int(row, "width", rate);
        set_text(
            row, "rate",
            arena_printf(v->arena, "%lld.%lld %%", (long long)rate / 10, (long long)rate % 10));
        json_array_append_new(rows, row);
    }
    json_object_set_new(v->view, "rates", rows);
    set_int(v->view, "consumers", consumers);
}

/* ---- the page ---- */

int console_today(struct http_call *call)
{
    _cleanup_visit struct visit v = {0};
    int status;
    if (!console_begin(call, &v))
        return 0;
    const json_t *overview = desk_ask(&v, "GET", STR("/v1/overview"), NULL, &status);
    if (status != 200)
        return desk_problem(&v, status, overview);
    const json_t *uses = json_object_get(overview, "uses");
    const json_t *decisions = json_object_get(overview, "decisions");
    set_alerts(&v, overview);
    if (may(&v, MAY_READ_REQUESTS))
        set_requests(&v);
    set_uses(&v, uses);
    set_reasons(&v, "reasons", json_object_get(uses, "denied"));
    set_reasons(&v, "decided", json_object_get(decisions, "denied"));
    set_int(v.view, "decided_yes", member_int(decisions, "permitted"));
    set_rates(&v, overview);
    return visit_page(&v, 200, "console_today.html", "today");
}
