/* api.c - the routes, who calls, and the housekeeping thread. */
#include "api/api.h"

#include <errno.h>
#include <strings.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "api/private.h"

/* Largest bodies: of a few members, of one thing, of a thousand, of a thousand with evidence, of a
 * whole policy. */
enum {
    BODY_MEMBERS = 4 << 10,
    BODY_ONE = 64 << 10,
    BODY_MANY = 4 << 20,
    BODY_BATCH = 8 << 20,
    BODY_POLICY = 16 << 20,
};

/* Withdrawing is the last thing refused under load: a consumer's no must always come through. */
static const struct http_route routes[] = {
    {.method = "POST",
     .pattern = "/v1/consents",
     .handler = consents_create,
     .allow = MAY_WRITE_CONSENTS,
     .body_max = BODY_ONE},
    {.method = "POST",
     .pattern = "/v1/consents/batch",
     .handler = consents_batch,
     .allow = MAY_WRITE_CONSENTS,
     .body_max = BODY_BATCH},
    {.method = "GET",
     .pattern = "/v1/consents/{id}",
     .handler = consents_get,
     .allow = MAY_READ_CONSENTS},
    {.method = "GET",
     .pattern = "/v1/consents/{id}/receipt",
     .handler = consents_receipt,
     .allow = MAY_READ_CONSENTS},
    {.method = "POST",
     .pattern = "/v1/consents/{id}/withdraw",
     .handler = consents_withdraw,
     .allow = MAY_WRITE_CONSENTS,
     .body_max = BODY_ONE,
     .body_optional = true,
     .last_to_shed = true},
    {.method = "POST",
     .pattern = "/v1/consents/{id}/renew",
     .handler = consents_renew,
     .allow = MAY_WRITE_CONSENTS,
     .body_max = BODY_ONE},
    {.method = "POST",
     .pattern = "/v1/consents/{id}/amend",
     .handler = consents_amend,
     .allow = MAY_WRITE_CONSENTS,
     .body_max = BODY_ONE},

    {.method = "GET",
     .pattern = "/v1/consumers/{consumer}",
     .handler = consumers_get,
     .allow = MAY_READ_CONSUMERS},
    {.method = "PUT",
     .pattern = "/v1/consumers/{consumer}",
     .handler = consumers_put,
     .allow = MAY_WRITE_CONSUMERS,
     .body_max = BODY_MEMBERS},
    {.method = "POST",
     .pattern = "/v1/consumers/{consumer}/erase",
     .handler = consumers_erase,
     .allow = MAY_ERASE,
     .body_max = BODY_MEMBERS,
     .body_optional = true},
    {.method = "GET",
     .pattern = "/v1/consumers/{consumer}/consents",
     .handler = consumers_consents,
     .allow = MAY_READ_CONSENTS},
    {.method = "POST",
     .pattern = "/v1/consumers/{consumer}/records/{category}",
     .handler = records_create,
     .allow = MAY_WRITE_RECORDS,
     .body_max = BODY_BATCH},
    {.method = "GET",
     .pattern = "/v1/consumers/{consumer}/records/{category}",
     .handler = records_list,
     .allow = MAY_READ_RECORDS},
    {.method = "PUT",
     .pattern = "/v1/consumers/{consumer}/records/{category}/{id}",
     .handler = records_correct,
     .allow = MAY_WRITE_RECORDS,
     .body_max = BODY_ONE},
    {.method = "DELETE",
     .pattern = "/v1/consumers/{consumer}/records/{category}/{id}",
     .handler = records_delete,
     .allow = MAY_WRITE_RECORDS},
    {.method = "GET",
     .pattern = "/v1/records/{category}",
     .handler = audience_read,
     .allow = MAY_READ_RECORDS},
    {.method = "POST",
     .pattern = "/v1/aggregates",
     .handler = aggregates_ask,
     .allow = MAY_READ_RECORDS,
     .body_max = BODY_MEMBERS},
    {.method = "GET",
     .pattern = "/v1/retention",
     .handler = retention_list,
     .allow = MAY_READ_RETENTION},
    {.method = "POST",
     .pattern = "/v1/requests",
     .handler = requests_create,
     .allow = MAY_OPEN_REQUESTS,
     .body_max = BODY_ONE},
    {.method = "GET",
     .pattern = "/v1/requests",
     .handler = requests_list,
     .allow = MAY_READ_REQUESTS},
    {.method = "GET",
     .pattern = "/v1/requests/{id}",
     .handler = requests_get,
     .allow = MAY_READ_REQUESTS},
    {.method = "POST",
     .pattern = "/v1/requests/{id}/ask-identity",
     .handler = requests_step,
     .allow = MAY_WRITE_REQUESTS,
     .body_max = BODY_ONE,
     .body_optional = true},
    {.method = "POST",
     .pattern = "/v1/requests/{id}/verify-identity",
     .handler = requests_step,
     .allow = MAY_WRITE_REQUESTS,
     .body_max = BODY_ONE,
     .body_optional = true},
    {.method = "POST",
     .pattern = "/v1/requests/{id}/extend",
     .handler = requests_step,
     .allow = MAY_WRITE_REQUESTS,
     .body_max = BODY_ONE,
     .body_optional = true},
    {.method = "POST",
     .pattern = "/v1/requests/{id}/fulfil",
     .handler = requests_step,
     .allow = MAY_WRITE_REQUESTS,
     .body_max = BODY_ONE,
     .body_optional = true},
    {.method = "POST",
     .pattern = "/v1/requests/{id}/refuse",
     .handler = requests_step,
     .allow = MAY_WRITE_REQUESTS,
     .body_max = BODY_ONE,
     .body_optional = true},
    {.method = "POST",
     .pattern = "/v1/requests/{id}/withdraw",
     .handler = requests_step,
     .allow = MAY_WRITE_REQUESTS,
     .body_max = BODY_ONE,
     .body_optional = true},
    {.method = "GET",
     .pattern = "/v1/requests/{id}/export",
     .handler = requests_export,
     .allow = MAY_EXPORT},
    {.method = "GET",
     .pattern = "/v1/consumers/{consumer}/requests",
     .handler = requests_of_consumer,
     .allow = MAY_READ_REQUESTS},
    {.method = "POST",
     .pattern = "/v1/consumers/{consumer}/holds",
     .handler = holds_create,
     .allow = MAY_WRITE_HOLDS,
     .body_max = BODY_MEMBERS},
    {.method = "GET",
     .pattern = "/v1/consumers/{consumer}/holds",
     .handler = holds_list,
     .allow = MAY_READ_REQUESTS},
    {.method = "DELETE",
     .pattern = "/v1/consumers/{consumer}/holds/{id}",
     .handler = holds_release,
     .allow = MAY_WRITE_HOLDS},
    {.method = "GET",
     .pattern = "/v1/notifications",
     .handler = notifications_list,
     .allow = MAY_BE_TOLD},
    {.method = "POST",
     .pattern = "/v1/notifications/{id}/acknowledge",
     .handler = notifications_acknowledge,
     .allow = MAY_BE_TOLD,
     .body_max = BODY_MEMBERS,
     .body_optional = true},
    {.method = "POST",
     .pattern = "/v1/consumers/{consumer}/signals",
     .handler = consumers_signal,
     .allow = MAY_WRITE_CONSENTS,
     .body_max = BODY_MEMBERS,
     .body_optional = true,
     .last_to_shed = true},
    {.method = "GET", .pattern = "/.well-known/gpc.json", .handler = gpc_support, .open = true},
    {.method = "GET",
     .pattern = "/v1/consumers/{consumer}/history",
     .handler = history_list,
     .allow = MAY_READ_HISTORY},
    {.method = "GET", .pattern = "/v1/events", .handler = events_list, .allow = MAY_READ_EVENTS},

    {.method = "GET", .pattern = "/v1/policy", .handler = policy_get, .allow = MAY_READ_POLICY},
    {.method = "GET",
     .pattern = "/v1/policy/history",
     .handler = policy_history,
     .allow = MAY_READ_POLICY},
    {.method = "POST",
     .pattern = "/v1/policy",
     .handler = policy_apply,
     .allow = MAY_WRITE_POLICY,
     .body_max = BODY_POLICY},
    {.method = "POST",
     .pattern = "/v1/policy/check",
     .handler = policy_check,
     .allow = MAY_WRITE_POLICY,
     .body_max = BODY_POLICY},
    {.method = "POST",
     .pattern = "/v1/policy/diff",
     .handler = policy_compare,
     .allow = MAY_WRITE_POLICY,
     .body_max = BODY_POLICY},
    {.method = "GET",
     .pattern = "/v1/notices/{id}",
     .handler = notices_get,
     .allow = MAY_READ_NOTICES},

    {.method = "POST",
     .pattern = "/v1/accesses",
     .handler = accesses_report,
     .allow = MAY_REPORT_USES,
     .body_max = BODY_MANY},
    {.method = "POST",
     .pattern = "/access/v1/evaluation",
     .handler = authzen_evaluation,
     .allow = MAY_DECIDE,
     .body_max = BODY_ONE},
    {.method = "POST",
     .pattern = "/access/v1/evaluations",
     .handler = authzen_evaluations,
     .allow = MAY_DECIDE,
     .body_max = BODY_MANY},
    {.method = "POST",
     .pattern = "/access/v1/search/subject",
     .handler = search_subject,
     .allow = MAY_DECIDE,
     .body_max = BODY_ONE},
    {.method = "POST",
     .pattern = "/access/v1/search/resource",
     .handler = search_resource,
     .allow = MAY_DECIDE,
     .body_max = BODY_ONE},
    {.method = "POST",
     .pattern = "/access/v1/search/action",
     .handler = search_action,
     .allow = MAY_DECIDE,
     .body_max = BODY_ONE},
    {.method = "GET",
     .pattern = "/.well-known/authzen-configuration",
     .handler = authzen_metadata,
     .open = true},

    {.method = "GET",
     .pattern = "/log/{shard}/checkpoint",
     .handler = log_checkpoint,
     .open = true},
    {.method = "POST",
     .pattern = "/log/{shard}/cosignature",
     .handler = log_cosign,
     .open = true,
     .body_max = BODY_ONE,
     .raw = true},
    {.method = "GET",
     .pattern = "/log/{shard}/tile/entries/{tile...}",
     .handler = log_entries,
     .allow = MAY_READ_ENTRIES},
    {.method = "GET", .pattern = "/log/{shard}/tile/{tile...}", .handler = log_tile, .open = true},
    {.method = "GET", .pattern = "/v1/log", .handler = log_describe, .open = true},
    {.method = "POST",
     .pattern = "/v1/log/checkpoint",
     .handler = log_make_checkpoint,
     .allow = MAY_WRITE_POLICY,
     .body_max = BODY_MEMBERS,
     .body_optional = true},
    {.method = "GET", .pattern = "/v1/log/proof/inclusion", .handler = log_inclusion, .open = true},
    {.method = "GET",
     .pattern = "/v1/log/proof/consistency",
     .handler = log_consistency,
     .open = true},

    {.method = "POST",
     .pattern = "/v1/keys",
     .handler = keys_create,
     .allow = MAY_MANAGE_KEYS,
     .body_max = BODY_MEMBERS},
    {.method = "GET", .pattern = "/v1/keys", .handler = keys_list, .allow = MAY_MANAGE_KEYS},
    {.method = "DELETE",
     .pattern = "/v1/keys/{id}",
     .handler = keys_revoke,
     .allow = MAY_MANAGE_KEYS},

    {.method = "POST",
     .pattern = "/v1/store/rotate",
     .handler = store_rotate,
     .allow = MAY_OPERATE,
     .body_max = BODY_MEMBERS,
     .body_optional = true},

    {.method = "GET", .pattern = "/metrics", .handler = operations_metrics, .open = true},
    {.method = "GET",
     .pattern = "/healthz",
     .handler = operations_alive,
     .open = true,
     .last_to_shed = true},
    {.method = "GET",
     .pattern = "/readyz",
     .handler = operations_ready,
     .open = true,
     .last_to_shed = true},
};

/* ---- who calls ---- */

/* The token of "Authorization: Bearer <token>" (RFC 6750 §2.1; the scheme in any case). */
static struct str bearer_token(struct str header)
{
    struct str scheme = str_cut(&header, ' ');
    if (scheme.n != 6 || strncasecmp(scheme.p, "Bearer", 6) != 0)
        return (struct str){0};
    return str_trim(header);
}

static int authenticate(struct http_call *call, struct err *err)
{
    struct str header = http_header(call, "Authorization");
    const struct principal *caller = NULL;
    if (header.p)
        caller = keys_find(api_of(call)->keys, bearer_token(header));
    else if (call->local)
        caller = operator_principal();
    else if (call->route->handler == log_entries && api_of(call)->public_entries)
        caller = anybody_principal();
    if (!caller)
        return err_reason(err, LOV_EAUTH, header.p ? "invalid_key" : "unauthenticated",
                          header.p ? "the key is not valid, or was revoked"
                                   : "send an API key as Authorization: Bearer lov_...");
    if (!(caller->permissions & call->route->allow))
        return err_reason(err, LOV_EFORBIDDEN, "forbidden",
                          "this key may not do this: docs/api.md has the table of roles");
    call->principal = (void *)caller;
    return 0;
}

static uint64_t caller_hash(const struct http_call *call)
{
    return caller_of(call)->hash;
}

/* ---- housekeeping ---- */

enum {
    HOUSEKEEPING_SECONDS = 1,
    EXPIRE_BATCH = 1000,
    CHECKPOINT_SECONDS = 10,
    AUDIT_SECONDS = 60,
    AGGREGATE_SECONDS = 60,
};

/* False when it failed; said once, until it works again. */
static bool expire(struct api *api, bool worked)
{
    int64_t written;
    do {
        _cleanup_arena struct arena arena = {0};
        struct err err = {0};
        struct engine_write w = {
            .kind = WRITE_EXPIRE,
            .actor = STR("lov"),
            .arena = &arena,
            .limit = EXPIRE_BATCH,
            .expires_at = TIME_NONE,
            .given_at = TIME_NONE,
        };
        if (engine_run(api->engine, &w, &err)) {
            if (worked)
                log_printf(engine_log(api->engine), LOG_ERROR, "recording expiry failed: %s",
                           err.text);
            return false;
        }
        written = w.written;
    } while (written == EXPIRE_BATCH);
    return true;
}

/* The same for records that have been kept long enough. */
static bool expire_records(struct api *api, bool worked)
{
    struct err err = {0};
    int64_t deleted;
    do {
        if (vault_expire_due(api->vault, EXPIRE_BATCH, &deleted, &err)) {
            if (worked)
                log_printf(engine_log(api->engine), LOG_ERROR, "deleting what is due failed: %s",
                           err.text);
            return false;
        }
    } while (deleted >= EXPIRE_BATCH);
    return true;
}

/* Reminds of requests that are due. */
static bool remind(struct api *api, bool worked)
{
    struct err err = {0};
    int64_t written;
    if (request_remind(api->engine, EXPIRE_BATCH, &written, &err) == 0)
        return true;
    if (worked)
        log_printf(engine_log(api->engine), LOG_ERROR, "reminding of requests failed: %s",
                   err.text);
    return false;
}

/* Makes the blocks of sums that can be made; tried again at the next time. */
static void aggregate(struct api *api)
{
    struct err err = {0};
    int64_t blocks;
    if (vault_aggregate(api->vault, &blocks, &err))
        log_printf(engine_log(api->engine), LOG_ERROR, "sums could not be made: %s", err.text);
}

/* Publishes and audits when it is time; what fails is said, and tried again at the next time. */
static void keep_log(struct api *api, int64_t second)
{
    struct err err = {0};
    struct log *log = engine_log(api->engine);
    if (second % api->checkpoint_seconds == 0 && engine_publish(api->engine, &err))
        log_printf(log, LOG_ERROR, "no checkpoint was made: %s", err.text);
    if (second % api->audit_seconds == 0 && engine_audit(api->engine, &err))
        log_printf(log, LOG_ERROR, "the ledger could not be audited: %s", err.text);
}

/* False when it is time to stop. */
static bool wait_a_second(struct api *api)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += HOUSEKEEPING_SECONDS;
    pthread_mutex_lock(&api->lock);
    int rc = 0;
    while (!api->stopping && rc != ETIMEDOUT)
        rc = pthread_cond_timedwait(&api->wake, &api->lock, &until);
    bool go_on = !api->stopping;
    pthread_mutex_unlock(&api->lock);
    return go_on;
}

static void *keep_house(void *arg)
{
    struct api *api = arg;
    struct err err = {0};
    bool worked = true, deleted = true, reminded = true;
    int64_t second = 0;
    do {
        if (second % api->aggregate_seconds == 0)
            aggregate(api);
        keep_log(api, second++);
        worked = expire(api, worked);
        deleted = expire_records(api, deleted);
        reminded = remind(api, reminded);
        engine_scrub_again(api->engine, 0);
    } while (wait_a_second(api));
    if (engine_publish(api->engine, &err))
        log_printf(engine_log(api->engine), LOG_ERROR, "no last checkpoint: %s", err.text);
    return NULL;
}

int api_start_housekeeping(struct api *api, struct err *err)
{
    api->housekeeping = true;
    if (pthread_create(&api->housekeeper, NULL, keep_house, api)) {
        api->housekeeping = false;
        return err_set(err, LOV_EUNAVAILABLE, "no thread for housekeeping");
    }
    pthread_setname_np(api->housekeeper, "lov-house");
    return 0;
}

static void stop_housekeeping(struct api *api)
{
    if (!api->housekeeping)
        return;
    pthread_mutex_lock(&api->lock);
    api->stopping = true;
    pthread_cond_signal(&api->wake);
    pthread_mutex_unlock(&api->lock);
    pthread_join(api->housekeeper, NULL);
}

/* ---- the door ---- */

static void init_sync(struct api *api)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    /* So that a wall clock set back does not stop expiry. */
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&api->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&api->lock, NULL);
}

int api_open(struct engine *e, const struct api_options *options, struct api **out, struct err *err)
{
    struct keys *keys;
    int rc = keys_open(e, &keys, err);
    if (rc)
        return rc;
    struct vault *vault;
    rc = vault_open(e, &vault, err);
    if (rc) {
        keys_close(keys);
        return rc;
    }
    struct api *api = mem_zero(sizeof *api);
    api->engine = e;
    api->keys = keys;
    api->vault = vault;
    api->counters = counters_new();
    api->cursor_key = identity_secret(engine_identity(e), "cursor");
    api->idempotency_key = identity_secret(engine_identity(e), "idempotency");
    api->checkpoint_seconds =
        options && options->checkpoint_seconds ? options->checkpoint_seconds : CHECKPOINT_SECONDS;
    api->audit_seconds = options && options->audit_seconds ? options->audit_seconds : AUDIT_SECONDS;
    api->aggregate_seconds =
        options && options->aggregate_seconds ? options->aggregate_seconds : AGGREGATE_SECONDS;
    api->public_entries = options && options->public_entries;
    if (options && options->witnesses_path)
        api->witnesses_path = str_dup(str_of(options->witnesses_path));
    if (options && options->base_url) {
        struct str url = str_of(options->base_url);
        while (url.n && url.p[url.n - 1] == '/')
            url.n--;
        api->base_url = str_dup(url);
    }
    init_sync(api);
    api->app = (struct http_app){
        .ctx = api,
        .routes = routes,
        .route_count = sizeof routes / sizeof *routes,
        .authenticate = authenticate,
        .caller = caller_hash,
    };
    *out = api;
    return 0;
}

void api_close(struct api *api)
{
    if (!api)
        return;
    stop_housekeeping(api);
    pthread_cond_destroy(&api->wake);
    pthread_mutex_destroy(&api->lock);
    secret_wipe(&api->cursor_key);
    secret_wipe(&api->idempotency_key);
    counters_free(api->counters);
    keys_close(api->keys);
    vault_close(api->vault);
    free(api->base_url);
    free(api->witnesses_path);
    free(api);
}

const struct http_app *api_app(struct api *api)
{
    return &api->app;
}

void api_set_server(struct api *api, struct http_server *server)
{
    atomic_store_explicit(&api->server, server, memory_order_release);
}
