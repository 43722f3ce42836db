/* api.c - the routes, and who calls. */
#include "api/api.h"

#include <strings.h>
#include <stdlib.h>
#include <string.h>

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
    {.method = "GET",
     .pattern = "/v1/erasures/{event}/receipt",
     .handler = erasures_receipt,
     .allow = MAY_READ_HISTORY},
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
    {.method = "GET",
     .pattern = "/v1/consumers/{consumer}/records/{category}/{id}",
     .handler = records_get,
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
    {.method = "POST",
     .pattern = "/v1/reads",
     .handler = reads_create,
     .allow = MAY_READ_RECORDS,
     .body_max = BODY_MEMBERS},
    {.method = "GET", .pattern = "/v1/reads", .handler = reads_list, .allow = MAY_READ_PROPOSALS},
    {.method = "GET",
     .pattern = "/v1/reads/{id}",
     .handler = reads_get,
     .allow = MAY_READ_PROPOSALS},
    {.method = "GET",
     .pattern = "/v1/reads/{id}/result",
     .handler = reads_result,
     .allow = MAY_READ_RECORDS},
    {.method = "POST",
     .pattern = "/v1/reads/{id}/approve",
     .handler = reads_approve,
     .allow = MAY_APPROVE_READS,
     .body_max = BODY_MEMBERS},
    {.method = "POST",
     .pattern = "/v1/reads/{id}/reject",
     .handler = reads_reject,
     .allow = MAY_APPROVE_READS,
     .body_max = BODY_MEMBERS,
     .body_optional = true},
    {.method = "GET",
     .pattern = "/v1/records",
     .handler = metadata_list,
     .allow = MAY_READ_RETENTION},
    {.method = "POST",
     .pattern = "/v1/records/change",
     .handler = metadata_change,
     .allow = MAY_ERASE,
     .body_max = BODY_ONE},
    {.method = "POST",
     .pattern = "/v1/records/delete",
     .handler = metadata_delete,
     .allow = MAY_ERASE,
     .body_max = BODY_MEMBERS},
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
    {.method = "POST",
     .pattern = "/v1/consumers/{consumer}/invitations",
     .handler = accounts_invite,
     .allow = MAY_WRITE_CONSUMERS,
     .body_max = BODY_MEMBERS,
     .body_optional = true},
    {.method = "POST",
     .pattern = "/v1/consumers/{consumer}/delegates",
     .handler = accounts_delegate,
     .allow = MAY_WRITE_CONSUMERS,
     .body_max = BODY_MEMBERS},
    {.method = "DELETE",
     .pattern = "/v1/consumers/{consumer}/delegates/{person}",
     .handler = accounts_undelegate,
     .allow = MAY_WRITE_CONSUMERS},
    {.method = "GET", .pattern = "/v1/events", .handler = events_list, .allow = MAY_READ_EVENTS},

    {.method = "GET",
     .pattern = "/v1/consumers/{consumer}/issues",
     .handler = consumers_issues,
     .allow = MAY_READ_CONSUMERS},
    {.method = "GET", .pattern = "/v1/issues", .handler = issues_list, .allow = MAY_READ_CONSUMERS},
    {.method = "POST",
     .pattern = "/v1/issues/{id}/settle",
     .handler = issues_settle,
     .allow = MAY_WRITE_CONSUMERS,
     .body_max = BODY_MEMBERS},

    {.method = "GET",
     .pattern = "/v1/overview",
     .handler = overview_read,
     .allow = MAY_USE_CONSOLE},
    {.method = "GET",
     .pattern = "/v1/response-times",
     .handler = response_times,
     .allow = MAY_READ_REQUESTS},
    {.method = "GET", .pattern = "/v1/uses", .handler = uses_list, .allow = MAY_READ_EVENTS},

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
     .allow = MAY_WRITE_POLICY | MAY_PROPOSE_POLICY,
     .body_max = BODY_POLICY},
    {.method = "POST",
     .pattern = "/v1/policy/diff",
     .handler = policy_compare,
     .allow = MAY_WRITE_POLICY | MAY_PROPOSE_POLICY,
     .body_max = BODY_POLICY},
    {.method = "POST",
     .pattern = "/v1/policy/proposals",
     .handler = proposals_create,
     .allow = MAY_WRITE_POLICY | MAY_PROPOSE_POLICY,
     .body_max = BODY_POLICY},
    {.method = "GET",
     .pattern = "/v1/policy/proposals",
     .handler = proposals_list,
     .allow = MAY_READ_PROPOSALS | MAY_PROPOSE_POLICY},
    {.method = "GET",
     .pattern = "/v1/policy/proposals/{id}",
     .handler = proposals_get,
     .allow = MAY_READ_PROPOSALS | MAY_PROPOSE_POLICY},
    {.method = "POST",
     .pattern = "/v1/policy/proposals/{id}/approve",
     .handler = proposals_approve,
     .allow = MAY_WRITE_POLICY,
     .body_max = BODY_MEMBERS},
    {.method = "POST",
     .pattern = "/v1/policy/proposals/{id}/reject",
     .handler = proposals_reject,
     .allow = MAY_WRITE_POLICY,
     .body_max = BODY_MEMBERS,
     .body_optional = true},
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
     .pattern = "/v1/staff",
     .handler = staff_create,
     .allow = MAY_MANAGE_STAFF,
     .body_max = BODY_MEMBERS},
    {.method = "GET", .pattern = "/v1/staff", .handler = staff_list, .allow = MAY_MANAGE_STAFF},
    {.method = "GET",
     .pattern = "/v1/staff/{id}",
     .handler = staff_read,
     .allow = MAY_MANAGE_STAFF},
    {.method = "POST",
     .pattern = "/v1/staff/{id}/change",
     .handler = staff_change,
     .allow = MAY_MANAGE_STAFF,
     .body_max = BODY_MEMBERS},
    {.method = "POST",
     .pattern = "/v1/staff/{id}/invitations",
     .handler = staff_invite,
     .allow = MAY_MANAGE_STAFF,
     .body_max = BODY_MEMBERS,
     .body_optional = true},
    {.method = "POST",
     .pattern = "/v1/staff/{id}/disable",
     .handler = staff_end,
     .allow = MAY_MANAGE_STAFF,
     .body_max = BODY_MEMBERS,
     .body_optional = true},
    {.method = "POST",
     .pattern = "/v1/staff/{id}/training",
     .handler = staff_train,
     .allow = MAY_MANAGE_STAFF,
     .body_max = BODY_MEMBERS},
    {.method = "POST",
     .pattern = "/v1/webhooks",
     .handler = webhooks_create,
     .allow = MAY_MANAGE_WEBHOOKS,
     .body_max = BODY_MEMBERS},
    {.method = "GET",
     .pattern = "/v1/webhooks",
     .handler = webhooks_list,
     .allow = MAY_MANAGE_WEBHOOKS},
    {.method = "GET",
     .pattern = "/v1/webhooks/{id}",
     .handler = webhooks_get,
     .allow = MAY_MANAGE_WEBHOOKS},
    {.method = "DELETE",
     .pattern = "/v1/webhooks/{id}",
     .handler = webhooks_revoke,
     .allow = MAY_MANAGE_WEBHOOKS},
    {.method = "POST",
     .pattern = "/v1/webhooks/{id}/rotate",
     .handler = webhooks_rotate,
     .allow = MAY_MANAGE_WEBHOOKS,
     .body_max = BODY_MEMBERS,
     .body_optional = true},
    {.method = "POST",
     .pattern = "/v1/webhooks/{id}/replay",
     .handler = webhooks_replay,
     .allow = MAY_MANAGE_WEBHOOKS,
     .body_max = BODY_MEMBERS,
     .body_optional = true},
    {.method = "POST",
     .pattern = "/v1/webhooks/{id}/test",
     .handler = webhooks_test,
     .allow = MAY_MANAGE_WEBHOOKS,
     .body_max = BODY_MEMBERS,
     .body_optional = true},
    {.method = "GET",
     .pattern = "/v1/webhooks/{id}/failures",
     .handler = webhooks_failures,
     .allow = MAY_MANAGE_WEBHOOKS},

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
    if (call->principal)
        caller = caller_of(call); /* api_ask_as(), api_answer_as() */
    else if (header.p)
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

/* ---- the door ---- */

enum { CHECKPOINT_SECONDS = 10, AUDIT_SECONDS = 60, AGGREGATE_SECONDS = 60 };

static size_t join_routes(struct api *api, const struct api_options *options)
{
    enum { OWN = sizeof routes / sizeof *routes };
    size_t more = options ? options->more_count : 0;
    api->routes = mem_grow(NULL, OWN + more, sizeof *routes);
    memcpy(api->routes, routes, sizeof routes);
    if (more)
        memcpy(api->routes + OWN, options->more, more * sizeof *routes);
    api->more = options ? options->more_ctx : NULL;
    return OWN + more;
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
    house_init(api);
    size_t route_count = join_routes(api, options);
    api->app = (struct http_app){
        .ctx = api,
        .routes = api->routes,
        .route_count = route_count,
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
    house_stop(api);
    secret_wipe(&api->cursor_key);
    secret_wipe(&api->idempotency_key);
    counters_free(api->counters);
    keys_close(api->keys);
    vault_close(api->vault);
    free(api->routes);
    free(api->base_url);
    free(api->witnesses_path);
    free(api);
}

const struct http_app *api_app(struct api *api)
{
    return &api->app;
}

struct vault *api_vault(const struct http_call *call)
{
    return api_of(call)->vault;
}

void *api_more(const struct http_call *call)
{
    return api_of(call)->more;
}

void api_base(const struct http_call *call, struct buf *out)
{
    struct api *api = api_of(call);
    /* Acquire: pairs with api_set_server(). */
    struct http_server *server = atomic_load_explicit(&api->server, memory_order_acquire);
    if (api->base_url)
        buf_cstr(out, api->base_url);
    else if (server)
        buf_printf(out, "%s://%.*s", http_server_scheme(server),
                   STR_ARG(http_server_address(server)));
}

void api_set_server(struct api *api, struct http_server *server)
{
    atomic_store_explicit(&api->server, server, memory_order_release);
}

void api_set_notify(struct api *api, struct notify *notify)
{
    atomic_store_explicit(&api->notify, notify, memory_order_release);
}
