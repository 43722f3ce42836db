/* flight.c - one message of a webhook on its way, by libcurl.
 *
 * The address that is connected to is looked at when its socket is made, whatever the name said
 * before. Redirects are not followed, since they could lead anywhere, and no proxy of the
 * environment is asked, since what it connects to is not seen here. What the endpoint answers
 * beside its status is thrown away. */
#include "notify/private.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

enum { CONNECT_SECONDS = 10, ANSWER_MAX = 64 << 10, RETRY_AFTER_MAX = 3600 };

struct flight {
    CURL *curl;
    struct curl_slist *headers;
    struct buf body;
    void *ctx;
    bool guarded, plain, refused;
    size_t answered;
};

/* ---- what curl calls ---- */

static curl_socket_t open_socket(void *ctx, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct flight *f = ctx;
    (void)purpose;
    bool allowed = f->plain ? address_is_loopback(&address->addr) : true;
    if (f->guarded)
        allowed = allowed && webhook_address_is_public(&address->addr);
    if (!allowed) {
        f->refused = true;
        return CURL_SOCKET_BAD;
    }
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static size_t throw_away(char *p, size_t size, size_t n, void *ctx)
{
    struct flight *f = ctx;
    (void)p;
    f->answered += size * n;
    return f->answered > ANSWER_MAX ? 0 : size * n;
}

/* ---- starting ---- */

static struct curl_slist *add_header(struct curl_slist *list, const char *name, struct str value)
{
    _cleanup_buf struct buf line = {0};
    buf_printf(&line, "%s: %.*s", name, STR_ARG(value));
    return curl_slist_append(list, line.p);
}

static void set_headers(struct flight *f, const struct flight_options *o)
{
    _cleanup_buf struct buf signature = {0}, timestamp = {0};
    int64_t now = clock_now();
    buf_int(&timestamp, now / 1000);
    webhook_sign(o->secrets, now, o->id, now / 1000, o->body, &signature);
    f->headers = curl_slist_append(NULL, "Expect:");
    f->headers =
        add_header(f->headers, "Content-Type", STR("application/cloudevents+json; charset=utf-8"));
    f->headers = add_header(f->headers, "webhook-id", o->id);
    f->headers = add_header(f->headers, "webhook-timestamp", buf_view(&timestamp));
    f->headers = add_header(f->headers, "webhook-signature", buf_view(&signature));
}

static void set_options(struct flight *f, const struct flight_options *o)
{
    CURL *c = f->curl;
    curl_easy_setopt(c, CURLOPT_PRIVATE, f);
    curl_easy_setopt(c, CURLOPT_URL, o->url);
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "https,http");
    curl_easy_setopt(c, CURLOPT_PROXY, "");
    curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_SECONDS);
    curl_easy_setopt(c, CURLOPT_TIMEOUT, (long)o->notify->timeout_seconds);
    curl_easy_setopt(c, CURLOPT_USERAGENT, "lov/" LOV_VERSION);
    curl_easy_setopt(c, CURLOPT_HTTPHEADER, f->headers);
    curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)f->body.n);
    curl_easy_setopt(c, CURLOPT_POSTFIELDS, f->body.p);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, throw_away);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, f);
    curl_easy_setopt(c, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    curl_easy_setopt(c, CURLOPT_OPENSOCKETDATA, f);
    if (o->notify->ca_file)
        curl_easy_setopt(c, CURLOPT_CAINFO, o->notify->ca_file);
}

static void free_flight(struct flight *f)
{
    if (f->curl)
        curl_easy_cleanup(f->curl);
    curl_slist_free_all(f->headers);
    buf_free(&f->body);
    free(f);
}

struct flight *flight_start(CURLM *multi, const struct flight_options *o, void *ctx)
{
    struct flight *f = mem_zero(sizeof *f);
    f->ctx = ctx;
    f->guarded = !o->notify->private_addresses;
    f->plain = strncasecmp(o->url, "http:", 5) == 0;
    buf_str(&f->body, o->body);
    f->curl = curl_easy_init();
    if (f->curl) {
        set_headers(f, o);
        set_options(f, o);
        if (curl_multi_add_handle(multi, f->curl) == CURLM_OK)
            return f;
    }
    free_flight(f);
    return NULL;
}

void *flight_of(CURL *curl)
{
    struct flight *f = NULL;
    curl_easy_getinfo(curl, CURLINFO_PRIVATE, &f);
    return f->ctx;
}

/* ---- ending ---- */

static const char *error_word(const struct flight *f, CURLcode result)
{
    if (f->refused)
        return "private_address";
    switch (result) {
    case CURLE_OPERATION_TIMEDOUT:
        return "timeout";
    case CURLE_COULDNT_RESOLVE_HOST:
        return "unknown_host";
    case CURLE_COULDNT_CONNECT:
        return "unreachable";
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
        return "tls";
    default:
        return "broken_off";
    }
}

void flight_end(CURLM *multi, struct flight *f, CURLcode result, struct flight_end *out)
{
    long status = 0;
    curl_off_t after = 0;
    curl_easy_getinfo(f->curl, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(f->curl, CURLINFO_RETRY_AFTER, &after);
    /* An answer that is too long was broken off, but its status stands. */
    bool answered = result == CURLE_OK || (result == CURLE_WRITE_ERROR && f->answered > ANSWER_MAX);
    bool good = answered && status >= 200 && status <= 299;
    *out = (struct flight_end){
        .delivered = good,
        .gone = answered && status == 410,
        .status = (int)status,
        .error = good       ? ""
                 : answered ? "status"
                            : error_word(f, result),
        .retry_after_ms = (after > RETRY_AFTER_MAX ? RETRY_AFTER_MAX : after) * 1000,
    };
    curl_multi_remove_handle(multi, f->curl);
    free_flight(f);
}
