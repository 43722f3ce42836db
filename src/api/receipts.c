/* receipts.c - GET /v1/consents/{id}/receipt: the receipt of a consent's last event or an earlier
 * one, as JSON-LD or as a page to print. Both are made of the same signed document. And GET
 * /v1/erasures/{event}/receipt, that of an erasure. */
#include "api/private.h"
#include "api/receipt_page.h"
#include "consent/receipt.h"

struct receipt_query {
    struct receipt_request request;
    struct str language;
    bool page;
};

/* ---- the query ---- */

static int invalid(struct err *err, const char *what)
{
    return err_reason(err, LOV_EINVAL, "invalid_query", "%s", what);
}

/* Browsers would rather have text/html, programs take what comes. */
static bool wants_page(struct http_call *call)
{
    struct str accept = http_header(call, "Accept");
    int page = http_accept_weight(accept, "text/html");
    int file = http_accept_weight(accept, "application/ld+json");
    return page > file;
}

/* The language that the reader would rather have ("sv-FI" is Swedish: RFC 4647 §3.4); empty when
 * the page is in none of theirs. */
static struct str wanted_language(struct http_call *call)
{
    struct str list = http_header(call, "Accept-Language"), name, best = {0};
    int weight, most = 0;
    while (http_accept_next(&list, &name, &weight)) {
        struct str language = receipt_page_language(str_cut(&name, '-'));
        if (language.n && weight > most) {
            best = language;
            most = weight;
        }
    }
    return best;
}

static int take_format(struct http_call *call, struct receipt_query *q, struct err *err)
{
    struct str format = {0};
    if (!http_query(call, "format", &format)) {
        q->page = wants_page(call);
        return 0;
    }
    q->page = str_is(format, "html");
    return q->page || str_is(format, "json") ? 0 : invalid(err, "format: json or html");
}

/* Without being asked nothing personal is told, not even to those who may see it. */
static int take_copy(struct http_call *call, struct receipt_query *q, struct err *err)
{
    struct str copy = {0};
    if (!http_query(call, "copy", &copy) || str_is(copy, "plain"))
        return 0;
    if (!str_is(copy, "consumer"))
        return invalid(err, "copy: plain or consumer");
    if (!(caller_of(call)->permissions & MAY_READ_EVIDENCE))
        return err_reason(err, LOV_EFORBIDDEN, "forbidden",
                          "the consumer's copy holds evidence, which this key may not read");
    q->request.personal = true;
    return 0;
}

static int take_query(struct http_call *call, struct receipt_query *q, struct err *err)
{
    static const char *const names[] = {"event", "copy", "format", "language", NULL};
    struct str event;
    int rc = http_query_check(call, names, err);
    q->request.event = -1;
    if (rc == 0 && http_query(call, "event", &event) &&
        !str_to_int(event, 0, INT64_MAX, &q->request.event))
        rc = invalid(err, "event is the number of an event");
    if (rc == 0)
        rc = take_format(call, q, err);
    if (rc == 0)
        rc = take_copy(call, q, err);
    struct str language;
    if (rc == 0 && http_query(call, "language", &language)) {
        q->language = receipt_page_language(language);
        return q->language.n ? 0 : invalid(err, "language: sv or en");
    }
    q->language = wanted_language(call);
    return rc;
}

/* ---- who may ---- */

static int find_consent(struct http_call *call, struct receipt_request *r, struct err *err)
{
    struct engine *e = api_of(call)->engine;
    struct str recipient = caller_of(call)->recipient;
    struct consent c = {0};
    int rc = consent_id_parse(e, call->param[0], &r->shard, &r->consent)
                 ? consent_get(e, r->shard, r->consent, &call->arena, &c, err)
                 : 0;
    if (rc == 0 || (rc == 1 && recipient.n && !str_eq(recipient, c.recipient)))
        return err_reason(err, LOV_ENOTFOUND, "unknown_consent", "there is no such consent");
    return rc < 0 ? rc : 0;
}

/* ---- the answer ---- */

static int answer_page(struct http_call *call, const struct receipt_query *q, struct str receipt,
                       struct err *err)
{
    _cleanup_buf struct buf policy = {0}, base = {0};
    api_base(call, &base);
    int rc = receipt_page(receipt, buf_view(&base), q->language, &call->out, err);
    if (rc)
        return rc;
    receipt_page_policy(&policy);
    call->content_type = "text/html; charset=utf-8";
    http_answer_header(call, "Content-Security-Policy", buf_view(&policy));
    http_answer_header(call, "Referrer-Policy", STR("no-referrer"));
    return 0;
}

/* Always the file: there is nothing in it to read but a number and a time. */
int erasures_receipt(struct http_call *call)
{
    struct err err = {0};
    int64_t event;
    int rc = 0;
    if (!str_to_int(call->param[0], 0, INT64_MAX, &event))
        rc = err_reason(&err, LOV_ENOTFOUND, "unknown_event", "there is no erasure of that number");
    if (rc == 0)
        rc = receipt_make_erasure(api_of(call)->engine, 0, event, &call->arena, &call->out, &err);
    if (rc) {
        buf_clear(&call->out);
        return answer_problem(call, &err);
    }
    call->status = 200;
    call->content_type = "application/ld+json";
    http_answer_header(call, "Cache-Control", STR("no-store"));
    return 0;
}

int consents_receipt(struct http_call *call)
{
    struct err err = {0};
    struct receipt_query q = {0};
    _cleanup_buf struct buf receipt = {0};
    int rc = take_query(call, &q, &err);
    if (rc == 0)
        rc = find_consent(call, &q.request, &err);
    if (rc == 0)
        rc = receipt_make(api_of(call)->engine, &q.request, &call->arena, &receipt, &err);
    if (rc)
        return answer_problem(call, &err);
    call->status = 200;
    call->content_type = "application/ld+json";
    http_answer_header(call, "Cache-Control", STR("no-store"));
    http_answer_header(call, "Vary", STR("Accept, Accept-Language"));
    if (!q.page)
        buf_str(&call->out, buf_view(&receipt));
    else if ((rc = answer_page(call, &q, buf_view(&receipt), &err)) != 0)
        buf_clear(&call->out);
    return rc ? answer_problem(call, &err) : 0;
}
