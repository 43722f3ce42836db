/* answer.c - problems by reason, and the consent as callers see it. */
#include <string.h>

#include "api/private.h"

/* The engine's refusals. What is not well-formed is a 400; what is well-formed but against the
 * rules is a 422, so that a client can tell its bugs from the consumer's or the company's choice.
 */
static const struct {
    const char *reason;
    int status;
} statuses[] = {
    {"unknown_purpose", 422},      {"unknown_recipient", 422},
    {"unknown_category", 422},     {"not_in_policy", 422},
    {"notice_not_in_force", 422},  {"notice_language_missing", 422},
    {"notice_hash_mismatch", 422}, {"notice_required", 422},
    {"expires_too_late", 422},     {"expires_in_the_past", 422},
    {"time_out_of_range", 422},    {"guardian_required", 422},
    {"nothing_to_amend", 422},     {"idempotency_key_reused", 422},
    {"policy_invalid", 422},       {"unknown_notice", 422},
    {"unknown_consent", 404},      {"unknown_event", 404},
    {"unknown_consumer", 404},     {"erased", 410},
    {"not_active", 409},           {"superseded", 409},
    {"policy_moved_on", 409},      {"no_policy", 503},
    {"unknown_record", 404},       {"record_moved_on", 409},
    {"too_many_groups", 422},      {"retention_over", 422},
    {"invalid_record", 422},       {"out_of_range", 422},
    {"rule_broken", 422},          {"unknown_right", 422},
    {"no_such_right", 422},        {"unknown_reason", 422},
};

static const struct {
    int code, status;
} status_of_code[] = {
    {LOV_EINVAL, 400},    {LOV_EAUTH, 401},  {LOV_EFORBIDDEN, 403},   {LOV_ENOTFOUND, 404},
    {LOV_ECONFLICT, 409}, {LOV_ELIMIT, 413}, {LOV_EUNAVAILABLE, 503},
};

static int status_of_reason(const char *reason)
{
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++)
        if (strcmp(statuses[i].reason, reason) == 0)
            return statuses[i].status;
    return 0;
}

void answer_next(struct http_call *call, struct jw *w, bool more, int64_t last)
{
    struct str cursor = {0};
    if (more)
        cursor = arena_printf(&call->arena, "%lld", (long long)last);
    jw_optional_member(w, "next", cursor);
}

void answer_file_name(struct http_call *call, struct str name, const char *ending)
{
    enum { NAME_MAX = 64 };
    _cleanup_buf struct buf value = {0};
    buf_cstr(&value, "attachment; filename=\"");
    for (size_t i = 0; i < name.n && i < NAME_MAX; i++) {
        char c = name.p[i];
        bool plain = c == '_' || c == '-' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
                     (c >= 'A' && c <= 'Z');
        buf_char(&value, plain ? c : '_');
    }
    buf_printf(&value, ".%s\"", ending);
    http_answer_header(call, "Content-Disposition", buf_view(&value));
}

int problem_status(const struct err *err)
{
    int status = status_of_reason(err->reason);
    for (size_t i = 0; !status && i < sizeof status_of_code / sizeof *status_of_code; i++)
        if (status_of_code[i].code == err->code)
            status = status_of_code[i].status;
    return status ? status : 500;
}

int answer_problem(struct http_call *call, const struct err *err)
{
    int status = status_of_reason(err->reason);
    if (!status)
        return http_problem(call, err);
    return http_problem_status(call, status, err->reason, err->text);
}

void problem_write(struct jw *w, const struct err *err)
{
    int status = problem_status(err);
    char type[80];
    const char *reason = status == 500 ? "internal" : err->reason;
    snprintf(type, sizeof type, "urn:lov:problem:%s", *reason ? reason : "invalid");
    jw_object_start(w);
    jw_cstr_member(w, "type", type);
    jw_int_member(w, "status", status);
    /* What is behind a 500 is not the caller's to know. */
    if (status != 500)
        jw_cstr_member(w, "detail", err->text);
    jw_cstr_member(w, "reason", *reason ? reason : "invalid");
    jw_object_end(w);
}

struct jw answer_start(struct http_call *call, int status)
{
    call->status = status;
    call->content_type = "application/json";
    buf_clear(&call->out);
    return (struct jw){.out = &call->out};
}

int consumer_name_write(struct api *api, struct db *identities, const struct uid *cid, struct jw *w,
                        struct err *err)
{
    _cleanup_buf struct buf name = {0};
    int rc = identity_name(engine_identity(api->engine), identities, cid, &name, err);
    if (rc < 0)
        return rc;
    if (rc == 1)
        jw_str(w, buf_view(&name));
    else
        jw_null(w);
    return 0;
}

static void notice_write(struct jw *w, const struct consent *c)
{
    jw_object_member(w, "notice");
    jw_str_member(w, "id", c->notice);
    jw_int_member(w, "version", c->notice_version);
    jw_str_member(w, "language", c->notice_language);
    jw_hex_member(w, "hash", c->notice_hash.b, sizeof c->notice_hash.b);
    jw_object_end(w);
}

static void json_member(struct jw *w, const char *name, const json_t *value)
{
    jw_key(w, name);
    if (!value || json_is_null(value)) {
        jw_null(w);
        return;
    }
    _cleanup_buf struct buf text = {0};
    json_canonical(value, &text);
    jw_raw(w, buf_view(&text));
}

/* "guardian" and "evidence": null where there is none, or it is not for this caller. */
static int sealed_write(const struct consent_writer *cw, const struct consent *c, struct jw *w,
                        struct err *err)
{
    _cleanup_buf struct buf text = {0};
    _cleanup_json json_t *opened = NULL;
    int rc = 0;
    if (c->sealed.n && (cw->caller->permissions & MAY_READ_EVIDENCE))
        rc = consent_unseal(cw->api->engine, c, &text, err);
    if (rc < 0)
        return rc;
    if (text.n)
        rc = json_read(buf_view(&text), &opened, err);
    if (rc < 0)
        return err_set(err, LOV_ECORRUPT, "what is sealed in a consent is not JSON");
    json_member(w, "guardian", json_object_get(opened, "guardian"));
    json_member(w, "evidence", json_object_get(opened, "evidence"));
    return 0;
}

int consent_write(const struct consent_writer *cw, const struct consent *c, struct jw *w,
                  struct err *err)
{
    _cleanup_buf struct buf id = {0};
    consent_id_format(cw->api->engine, c->shard, c->seq, &id);
    jw_object_start(w);
    jw_str_member(w, "id", buf_view(&id));
    jw_key(w, "consumer");
    int rc = 0;
    if (cw->consumer.n)
        jw_str(w, cw->consumer);
    else
        rc = consumer_name_write(cw->api, cw->identities, &c->cid, w, err);
    if (rc)
        return rc;
    jw_str_member(w, "purpose", c->purpose);
    jw_str_member(w, "recipient", c->recipient);
    jw_strs_member(w, "categories", c->categories, c->category_count);
    jw_strs_member(w, "narrowed", c->narrowed, c->narrowed_count);
    jw_cstr_member(w, "status", consent_status_name(c->status));
    notice_write(w, c);
    jw_str_member(w, "channel", c->channel);
    jw_time_member(w, "given_at", c->given_at);
    jw_time_member(w, "expires_at", c->expires_at);
    rc = sealed_write(cw, c, w, err);
    jw_object_end(w);
    return rc;
}
