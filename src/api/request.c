/* request.c - bodies, pages and idempotency keys. */
#include <string.h>

#include "api/private.h"

enum { IDEMPOTENCY_KEY_MAX = 128 };

int request_body(struct http_call *call, const struct json_field *fields, size_t count,
                 enum json_unknown unknown, void *out, json_t **body, struct err *err)
{
    struct str text = call->body.n ? call->body : STR("{}");
    json_t *json = NULL;
    int rc = json_read(text, &json, err);
    if (rc)
        return rc;
    rc = json_take(json, fields, count, unknown, "", &call->arena, out, err);
    if (rc)
        json_decref(json);
    else
        *body = json;
    return rc;
}

static int check_query(struct http_call *call, const char *const *more, struct err *err)
{
    const char *names[8] = {"limit", "after"};
    for (size_t i = 0; more && more[i]; i++)
        names[i + 2] = more[i];
    return http_query_check(call, names, err);
}

int request_page(struct http_call *call, const char *const *more, int64_t *limit, struct str *after,
                 struct err *err)
{
    int rc = check_query(call, more, err);
    if (rc)
        return rc;
    struct str text;
    *limit = LIST_DEFAULT;
    if (http_query(call, "limit", &text) && !str_to_int(text, 1, LIST_MAX, limit))
        return err_reason(err, LOV_EINVAL, "invalid_query", "limit is a number from 1 to %d",
                          (int)LIST_MAX);
    *after = (struct str){0};
    http_query(call, "after", after);
    return 0;
}

int request_json(struct arena *arena, const json_t *value, const char *name, bool object,
                 size_t max, struct str *out, struct err *err)
{
    if (!value)
        return 0;
    _cleanup_buf struct buf text = {0};
    if (!json_is_string(value) && !(object && json_is_object(value)))
        return err_reason(err, LOV_EINVAL, "invalid_field", "%s: expected a string%s", name,
                          object ? " or an object" : "");
    json_canonical(value, &text);
    if (text.n > max)
        return err_reason(err, LOV_EINVAL, "invalid_field", "%s: at most %zu bytes", name, max);
    *out = arena_str(arena, buf_view(&text));
    return 0;
}

void request_digests(const struct api *api, const struct request_key *k, const json_t *body,
                     size_t item, struct arena *arena, struct engine_write *w)
{
    _cleanup_buf struct buf text = {0};
    if (body)
        json_canonical(body, &text);
    /* A NUL between the parts: none of them can hold one, so no two calls give the same bytes. */
    struct str nul = {"", 1};
    struct str number = arena_printf(arena, "%zu", item);
    /* What was asked names the consumer, and whoever could try all ids against a plain hash would
     * find whose event it was: so a secret goes in, and the caller's key, which is kept nowhere. */
    struct str secret = {(const char *)api->idempotency_key.b, sizeof(struct secret)};
    struct str of_caller[] = {secret, k->actor, nul, k->key, nul, number};
    struct str of_request[] = {secret, k->key, nul, k->method, nul, k->path, nul, buf_view(&text)};
    w->idempotent = true;
    w->idempotency = sha256_parts(of_caller, sizeof of_caller / sizeof *of_caller);
    w->request = sha256_parts(of_request, sizeof of_request / sizeof *of_request);
}

int request_idempotency(struct http_call *call, const json_t *body, size_t item,
                        struct engine_write *w, struct err *err)
{
    struct str key = http_header(call, "Idempotency-Key");
    if (!key.p)
        return 0;
    bool printable = key.n >= 1 && key.n <= IDEMPOTENCY_KEY_MAX;
    for (size_t i = 0; i < key.n && printable; i++)
        printable = key.p[i] >= 0x20 && key.p[i] <= 0x7e;
    if (!printable)
        return err_reason(err, LOV_EINVAL, "invalid_idempotency_key",
                          "Idempotency-Key is 1 to %d printable ASCII characters",
                          (int)IDEMPOTENCY_KEY_MAX);
    struct request_key k = {caller_of(call)->actor, key, call->method, call->path};
    request_digests(api_of(call), &k, body, item, &call->arena, w);
    return 0;
}
