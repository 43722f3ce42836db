/* address.c - where a webhook may go. What a URL says is looked at when it is registered; where its
 * name leads is looked at each time, in the address that is connected to, so that a name which
 * leads elsewhere afterwards gains nothing. */
#include <netinet/in.h>
#include <string.h>

#include "notify/private.h"

/* ---- addresses ---- */

struct net {
    uint8_t bits;
    uint8_t address[16];
};

/* Not globally reachable, or of many at once: RFC 6890, and what its registries list. */
static const struct net four[] = {
    {8, {0}},
    {8, {10}},
    {10, {100, 64}},
    {8, {127}},
    {16, {169, 254}},
    {12, {172, 16}},
    {24, {192, 0, 0}},
    {24, {192, 0, 2}},
    {24, {192, 88, 99}},
    {16, {192, 168}},
    {15, {198, 18}},
    {24, {198, 51, 100}},
    {24, {203, 0, 113}},
    {4, {224}},
    {4, {240}},
};
static const struct net six[] = {
    {128, {0}},
    {128, {[15] = 1}},
    {64, {0x01}},                   /* 100::/64 */
    {32, {0x20, 0x01, 0x0d, 0xb8}}, /* 2001:db8::/32 */
    {32, {0x20, 0x01, 0, 0}},       /* 2001::/32: an address of IPv4 is inside, veiled */
    {7, {0xfc}},
    {10, {0xfe, 0x80}},
    {10, {0xfe, 0xc0}},
    {8, {0xff}},
};
/* Those that hold an address of IPv4, and where. */
static const struct {
    struct net net;
    size_t offset;
} holding[] = {
    {{96, {[10] = 0xff, 0xff}}, 12},   /* ::ffff:0:0/96 */
    {{96, {0, 0x64, 0xff, 0x9b}}, 12}, /* 64:ff9b::/96 */
    {{48, {0, 0x64, 0xff, 0x9b, 0, 1}}, 12},
    {{16, {0x20, 0x02}}, 2}, /* 2002::/16 */
    {{96, {0}}, 12},         /* ::/96 */
};
#define COUNT(table) (sizeof(table) / sizeof *(table))

static bool is_in(const uint8_t *address, const struct net *net)
{
    size_t whole = net->bits / 8;
    uint8_t mask = (uint8_t)(0xff00 >> (net->bits % 8));
    return memcmp(address, net->address, whole) == 0 &&
           (net->bits % 8 == 0 || (address[whole] & mask) == (net->address[whole] & mask));
}

static bool is_in_any(const uint8_t *address, const struct net *nets, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (is_in(address, &nets[i]))
            return true;
    return false;
}

/* The bytes of an address, and whether it is one of IPv4. NULL: of neither kind. */
static const uint8_t *bytes_of(const struct sockaddr *address, bool *old)
{
    *old = address->sa_family == AF_INET;
    if (*old)
        return (const uint8_t *)&((const struct sockaddr_in *)(const void *)address)->sin_addr;
    if (address->sa_family == AF_INET6)
        return ((const struct sockaddr_in6 *)(const void *)address)->sin6_addr.s6_addr;
    return NULL;
}

bool webhook_address_is_public(const struct sockaddr *address)
{
    bool old;
    const uint8_t *bytes = bytes_of(address, &old);
    if (!bytes)
        return false;
    if (old)
        return !is_in_any(bytes, four, COUNT(four));
    if (is_in_any(bytes, six, COUNT(six)))
        return false;
    for (size_t i = 0; i < COUNT(holding); i++)
        if (is_in(bytes, &holding[i].net))
            return !is_in_any(bytes + holding[i].offset, four, COUNT(four));
    return true;
}

bool address_is_loopback(const struct sockaddr *address)
{
    static const struct net loopback = {8, {127}}, one = {128, {[15] = 1}};
    bool old;
    const uint8_t *bytes = bytes_of(address, &old);
    return bytes && is_in(bytes, old ? &loopback : &one);
}

/* ---- URLs ---- */

static int bad(struct err *err, const char *what)
{
    return err_reason(err, LOV_EINVAL, "invalid_url", "url: %s", what);
}

bool host_is_loopback(struct str host)
{
    uint64_t octet = 0;
    bool four_of_them = str_starts(host, STR("127."));
    for (size_t i = 4; i < host.n && four_of_them; i++) {
        four_of_them = host.p[i] == '.' || (host.p[i] >= '0' && host.p[i] <= '9');
        octet += host.p[i] == '.';
    }
    return str_is(host, "localhost") || str_is(host, "[::1]") || (four_of_them && octet == 2);
}

static int check_parts(CURLU *parts, struct err *err)
{
    char *scheme = NULL, *host = NULL, *other = NULL;
    int rc = 0;
    if (curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0) ||
        curl_url_get(parts, CURLUPART_HOST, &host, 0) || !*host)
        rc = bad(err, "say https://, a host and a path");
    bool safe = rc == 0 && strcmp(scheme, "https") == 0;
    if (rc == 0 && !safe && strcmp(scheme, "http") != 0)
        rc = bad(err, "it begins with https://");
    if (rc == 0 && !safe && !host_is_loopback(str_of(host)))
        rc = bad(err, "plain http is for this machine's loopback addresses alone: use https");
    if (rc == 0 && (curl_url_get(parts, CURLUPART_USER, &other, 0) == CURLUE_OK ||
                    curl_url_get(parts, CURLUPART_PASSWORD, &other, 0) == CURLUE_OK))
        rc = bad(err, "no user and password: what is sent is signed");
    if (rc == 0 && curl_url_get(parts, CURLUPART_FRAGMENT, &other, 0) == CURLUE_OK)
        rc = bad(err, "nothing behind #: that is never sent");
    curl_free(scheme);
    curl_free(host);
    curl_free(other);
    return rc;
}

int webhook_url_check(struct str url, struct err *err)
{
    char text[WEBHOOK_URL_MAX + 1];
    if (!url.n || url.n > WEBHOOK_URL_MAX)
        return bad(err, "1 to 2000 characters");
    for (size_t i = 0; i < url.n; i++)
        if (url.p[i] <= 0x20 || url.p[i] >= 0x7f || url.p[i] == '\\')
            return bad(err, "only printable characters of ASCII, others percent-encoded");
    memcpy(text, url.p, url.n);
    text[url.n] = '\0';
    CURLU *parts = curl_url();
    if (!parts)
        bug("no memory for a URL");
    int rc = curl_url_set(parts, CURLUPART_URL, text, 0) ? bad(err, "it cannot be read")
                                                         : check_parts(parts, err);
    curl_url_cleanup(parts);
    return rc;
}
