/* operations.c - /metrics, /healthz, /readyz: for machines that watch machines. They are open, so
 * they tell counts and states and nothing of anybody. */
#include "api/private.h"
#include "vault/vault.h"

struct gauge {
    const char *name, *type, *help;
    int64_t value;
};

static void print_gauge(const struct gauge *g, struct buf *out)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n%s %lld\n", g->name, g->help, g->name, g->type,
               g->name, (long long)g->value);
}

static void print_decisions(const struct counters *counters, struct buf *out)
{
    buf_cstr(out, "# HELP lov_decisions_total Decisions by outcome and reason.\n"
                  "# TYPE lov_decisions_total counter\n");
    for (int i = 0; i < REASON_COUNT; i++)
        buf_printf(out, "lov_decisions_total{permit=\"%s\",reason=\"%s\"} %llu\n",
                   i == REASON_PERMITTED ? "true" : "false",
                   decision_reason_name((enum decision_reason)i),
                   (unsigned long long)counters_sum(counters, (enum decision_reason)i));
}

static void print_findings(struct vault *v, struct buf *out)
{
    const char *name;
    int64_t count;
    buf_cstr(out, "# HELP lov_findings_total Records that looked wrong, by what was found.\n"
                  "# TYPE lov_findings_total counter\n");
    for (int i = 0; (name = vault_finding(v, i, &count)); i++)
        buf_printf(out, "lov_findings_total{finding=\"%s\"} %lld\n", name, (long long)count);
}

static void print_requests(struct engine *e, struct buf *out)
{
    struct request_counts c;
    struct err ignored; /* what cannot be read is not told as a number */
    if (request_counts(e, &c, &ignored))
        return;
    buf_cstr(out, "# HELP lov_requests Requests of consumers by state.\n"
                  "# TYPE lov_requests gauge\n");
    for (int i = 0; i < REQUEST_STATES; i++)
        buf_printf(out, "lov_requests{state=\"%s\"} %lld\n",
                   request_state_name((enum request_state)i), (long long)c.by_state[i]);
    struct gauge overdue = {"lov_requests_overdue", "gauge",
                            "Requests that should have been answered by now.", c.overdue};
    print_gauge(&overdue, out);
}

static void print_webhooks(struct api *api, struct buf *out)
{
    struct notify_counts c;
    struct err ignored;
    /* Acquire: pairs with api_set_notify(). */
    if (notify_counts(api->engine, atomic_load_explicit(&api->notify, memory_order_acquire), &c,
                      &ignored))
        return;
    buf_printf(out,
               "# HELP lov_webhook_attempts_total Messages of webhooks by what became of them.\n"
               "# TYPE lov_webhook_attempts_total counter\n"
               "lov_webhook_attempts_total{outcome=\"delivered\"} %llu\n"
               "lov_webhook_attempts_total{outcome=\"failed\"} %llu\n"
               "lov_webhook_attempts_total{outcome=\"dead\"} %llu\n",
               (unsigned long long)c.delivered, (unsigned long long)c.failed,
               (unsigned long long)c.dead);
    const struct gauge gauges[] = {
        {"lov_messages_total", "counter", "Messages to consumers.", (int64_t)c.messages},
        {"lov_mails_total", "counter", "E-mails that the mail server took.", (int64_t)c.mails},
        {"lov_mails_failed_total", "counter", "E-mails that it did not take.",
         (int64_t)c.mails_failed},
        {"lov_mails_waiting", "gauge", "Messages that an e-mail is to tell of.", c.mails_waiting},
        {"lov_webhooks", "gauge", "Webhooks that are registered.", c.webhooks},
        {"lov_webhook_waiting", "gauge", "Failed messages that are tried again.", c.waiting},
        {"lov_webhook_dead_letters", "gauge", "Messages that are tried no more.", c.dead_letters},
        {"lov_webhook_behind", "gauge", "Events that the slowest webhook has not looked at.",
         c.behind},
    };
    for (size_t i = 0; i < sizeof gauges / sizeof *gauges; i++)
        print_gauge(&gauges[i], out);
}

int operations_metrics(struct http_call *call)
{
    struct api *api = api_of(call);
    struct engine_counts c = engine_counts(api->engine);
    struct engine_audit_state audit = engine_audit_state(api->engine);
    /* Acquire: pairs with api_set_server(). */
    struct http_server *server = atomic_load_explicit(&api->server, memory_order_acquire);
    const struct gauge gauges[] = {
        {"lov_consumers", "gauge", "Consumers that are known.", c.consumers},
        {"lov_permits", "gauge", "Answers in the permit index, one a category.", c.permits},
        {"lov_policy_version", "gauge", "Version of the policy in force; 0: none.",
         c.policy_version},
        {"lov_writer_stopped", "gauge", "1 after a commit failed: nothing more is written.",
         c.writer.stopped_by_error},
        {"lov_commits_total", "counter", "Durable commits.", (int64_t)c.writer.commits},
        {"lov_writes_total", "counter", "Writes that were asked for.", (int64_t)c.writer.jobs},
        {"lov_writes_refused_total", "counter", "Writes that were refused or failed.",
         (int64_t)c.writer.failures},
        {"lov_log_wrong", "gauge", "1 when the ledger is not what was signed.", audit.wrong},
        {"lov_log_audits_total", "counter", "Audits of the ledger that came to an end.",
         audit.runs},
        {"lov_log_audited_events_total", "counter", "Events that audits have recomputed.",
         audit.events},
    };
    call->status = 200;
    call->content_type = "text/plain; version=0.0.4; charset=utf-8";
    print_decisions(api->counters, &call->out);
    print_findings(api->vault, &call->out);
    for (size_t i = 0; i < sizeof gauges / sizeof *gauges; i++)
        print_gauge(&gauges[i], &call->out);
    print_requests(api->engine, &call->out);
    print_webhooks(api, &call->out);
    if (server)
        http_server_metrics(server, &call->out);
    return 0;
}

int operations_alive(struct http_call *call)
{
    struct jw w = answer_start(call, 200);
    jw_object_start(&w);
    jw_cstr_member(&w, "status", "alive");
    jw_object_end(&w);
    return 0;
}

int operations_ready(struct http_call *call)
{
    struct engine *e = api_of(call)->engine;
    struct engine_counts c = engine_counts(e);
    struct rules *rules = engine_rules(e);
    struct decision d = {.cause = CAUSE_NONE};
    decide_available(e, rules, &d);
    rules_unref(rules);
    const char *reasons[] = {
        decision_cause_name(d.cause),
        c.writer.stopped_by_error ? "writer_stopped" : "",
        engine_audit_state(e).wrong ? "log_wrong" : "",
    };
    bool ready = !*reasons[0] && !*reasons[1] && !*reasons[2];
    struct jw w = answer_start(call, ready ? 200 : 503);
    jw_object_start(&w);
    jw_bool_member(&w, "ready", ready);
    jw_array_member(&w, "reasons");
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (*reasons[i])
            jw_str(&w, str_of(reasons[i]));
    jw_array_end(&w);
    jw_object_end(&w);
    return 0;
}
