/* problem.c - headers of an answer, and answers that say no (RFC 9457). */
#include <strings.h>

#include "base/json.h"
#include "http/private.h"

struct status_word {
    int status;
    const char *title;
    const char *reason; /* where the error gives none */
};

static const struct status_word status_words[] = {
    {400, "Bad Request", "invalid"},
    {401, "Unauthorized", "unauthenticated"},
    {403, "Forbidden", "forbidden"},
    {404, "Not Found", "not_found"},
    {405, "Method Not Allowed", "method_not_allowed"},
    {408, "Request Timeout", "timeout"},
    {409, "Conflict", "conflict"},
    {410, "Gone", "gone"},
    {412, "Precondition Failed", "precondition_failed"},
    {413, "Content Too Large", "too_large"},
    {414, "URI Too Long", "target_too_long"},
    {415, "Unsupported Media Type", "unsupported_media_type"},
    {422, "Unprocessable Content", "unprocessable"},
    {428, "Precondition Required", "precondition_required"},
    {429, "Too Many Requests", "too_many_requests"},
    {431, "Request Header Fields Too Large", "head_too_large"},
    {500, "Internal Server Error", "internal"},
    {503, "Service Unavailable", "unavailable"},
};

static struct status_word word_of(int status)
{
    for (size_t i = 0; i < sizeof status_words / sizeof *status_words; i++)
        if (status_words[i].status == status)
            return status_words[i];
    return (struct status_word){status, "Error", "error"};
}

static int status_of(int code)
{
    switch (code) {
    case LOV_EINVAL:
        return 400;
    case LOV_EAUTH:
        return 401;
    case LOV_EFORBIDDEN:
        return 403;
    case LOV_ENOTFOUND:
        return 404;
    case LOV_ECONFLICT:
        return 409;
    case LOV_ELIMIT:
        return 413;
    case LOV_EUNAVAILABLE:
        return 503;
    default:
        return 500;
    }
}

void http_answer_header(struct http_call *call, const char *name, struct str value)
{
    if (!str_no_controls(value, false))
        bug("control character in the answer's %s header", name);
    struct http_header *header = arena_alloc(&call->arena, sizeof *header);
    header->name = arena_str(&call->arena, str_of(name));
    header->value = arena_str(&call->arena, value);
    header->next = call->out_headers;
    call->out_headers = header;
}

struct str answer_header(const struct http_call *call, const char *name)
{
    for (const struct http_header *h = call->out_headers; h; h = h->next)
        if (strcasecmp(h->name.p, name) == 0)
            return h->value;
    return (struct str){0};
}

static void default_header(struct http_call *call, const char *name, struct str value)
{
    if (!answer_header(call, name).p)
        http_answer_header(call, name, value);
}

int http_problem_status(struct http_call *call, int status, const char *reason, const char *detail)
{
    struct status_word word = word_of(status);
    if (!reason || !*reason)
        reason = word.reason;
    if (call->problem) {
        int (*tell)(struct http_call *, int, const char *, const char *) = call->problem;
        call->problem = NULL;
        return tell(call, status, reason, detail ? detail : "");
    }
    call->status = status;
    call->content_type = "application/problem+json";
    buf_clear(&call->out);
    struct jw w = {.out = &call->out};
    jw_object_start(&w);
    jw_str_member(&w, "type", arena_printf(&call->arena, "urn:lov:problem:%s", reason));
    jw_cstr_member(&w, "title", word.title);
    jw_int_member(&w, "status", status);
    if (detail && *detail)
        jw_cstr_member(&w, "detail", detail);
    jw_cstr_member(&w, "reason", reason);
    jw_object_end(&w);
    if (status == 401)
        default_header(call, "WWW-Authenticate", STR("Bearer"));
    if (status == 429 || status == 503)
        default_header(call, "Retry-After", STR("1"));
    return 0;
}

static void log_failure(const struct http_call *call, const struct err *err)
{
    _cleanup_buf struct buf fields = {0};
    struct jw w = {.out = &fields};
    jw_cstr_member(&w, "route", call->route ? call->route->pattern : "none");
    jw_int_member(&w, "code", err->code);
    jw_cstr_member(&w, "detail", err->text);
    log_line(call->transport->log, LOG_ERROR, "a request failed", buf_view(&fields));
}

int http_problem(struct http_call *call, const struct err *err)
{
    int status = status_of(err->code);
    if (status != 500)
        return http_problem_status(call, status, err->reason, err->text);
    if (!call->transport->log)
        /* In-process: whoever dispatched is the only one to tell. */
        return http_problem_status(call, 500, "internal", err->text);
    log_failure(call, err);
    return http_problem_status(call, 500, "internal",
                               "something failed here; the server's log says what");
}

void problem_wait(struct http_call *call, int status, const char *reason, const char *detail,
                  int64_t ns)
{
    int64_t seconds = ns / 1000000000 + 1;
    http_answer_header(call, "Retry-After", arena_printf(&call->arena, "%lld", (long long)seconds));
    http_problem_status(call, status, reason, detail);
}
