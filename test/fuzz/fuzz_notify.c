/* fuzz_notify.c - any bytes as a webhook's URL, the kind of an event that it asks for, the address
 * of an e-mail, and a socket's address. */
#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "notify/notify.h"

static void demand(bool holds)
{
    if (!holds)
        abort();
}

static void try_url(struct str bytes)
{
    if (webhook_url_check(bytes, NULL) != 0)
        return;
    demand(bytes.n <= WEBHOOK_URL_MAX && str_no_controls(bytes, false));
    demand(bytes.n > 7 && (bytes.p[0] == 'h' || bytes.p[0] == 'H'));
}

static void try_address(struct str bytes)
{
    if (!mail_address_check(bytes))
        return;
    demand(str_no_controls(bytes, false));
    for (size_t i = 0; i < bytes.n; i++)
        demand(bytes.p[i] != '<' && bytes.p[i] != '>' && bytes.p[i] != ',' && bytes.p[i] != ' ');
}

static void try_socket(struct str bytes)
{
    struct sockaddr_in6 six = {.sin6_family = AF_INET6};
    struct sockaddr_in four = {.sin_family = AF_INET};
    if (bytes.n < sizeof six.sin6_addr)
        return;
    memcpy(&six.sin6_addr, bytes.p, sizeof six.sin6_addr);
    memcpy(&four.sin_addr, bytes.p + 12, sizeof four.sin_addr);
    /* An address of IPv4 is no more public for being written as one of IPv6. */
    memset(&six.sin6_addr, 0, 10);
    memset((char *)&six.sin6_addr + 10, 0xff, 2);
    demand(webhook_address_is_public((const struct sockaddr *)&six) ==
           webhook_address_is_public((const struct sockaddr *)&four));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct str bytes = {(const char *)data, n};
    try_url(bytes);
    try_address(bytes);
    try_socket(bytes);
    webhook_kind_check(bytes);
    return 0;
}
