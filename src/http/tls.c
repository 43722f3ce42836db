/* tls.c - certificate and key. Each pair that was read is a generation; a handshake takes the
 * newest one through a callback. Older generations stay until the server ends, because a handshake
 * in another thread may still use them, and certificates are renewed a few times a year; a reload
 * that finds the same files makes no new one. */
#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "http/server.h"

enum { CHAIN_MAX = 16, FILE_MAX = 1 << 20 };

static const char PRIORITIES[] = "SECURE128:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:%SERVER_PRECEDENCE";

struct generation {
    struct generation *older;
    struct sha256 files;
    gnutls_pcert_st chain[CHAIN_MAX];
    unsigned count;
    gnutls_privkey_t key;
};

struct tls {
    char *cert_path, *key_path;
    /* Written by tls_reload (release), read by handshakes (acquire). */
    _Atomic(struct generation *) newest;
};

static void generation_free(struct generation *g)
{
    for (unsigned i = 0; i < g->count; i++)
        gnutls_pcert_deinit(&g->chain[i]);
    if (g->key)
        gnutls_privkey_deinit(g->key);
    free(g);
}

static gnutls_datum_t datum(const struct buf *b)
{
    return (gnutls_datum_t){(unsigned char *)b->p, (unsigned)b->n};
}

static bool key_fits(struct generation *g)
{
    unsigned char of_cert[64], of_key[64];
    size_t cert_size = sizeof of_cert, key_size = sizeof of_key;
    gnutls_pubkey_t public;
    if (gnutls_pubkey_init(&public) != 0)
        return false;
    bool same = gnutls_pubkey_import_privkey(public, g->key, 0, 0) == 0 &&
                gnutls_pubkey_get_key_id(public, 0, of_key, &key_size) == 0 &&
                gnutls_pubkey_get_key_id(g->chain[0].pubkey, 0, of_cert, &cert_size) == 0 &&
                key_size == cert_size && memcmp(of_key, of_cert, key_size) == 0;
    gnutls_pubkey_deinit(public);
    return same;
}

static int parse(const struct tls *tls, const struct buf *cert, const struct buf *key,
                 struct generation *g, struct err *err)
{
    gnutls_datum_t cert_pem = datum(cert), key_pem = datum(key);
    unsigned count = CHAIN_MAX;
    int rc = gnutls_pcert_list_import_x509_raw(g->chain, &count, &cert_pem, GNUTLS_X509_FMT_PEM,
                                               GNUTLS_X509_CRT_LIST_FAIL_IF_UNSORTED);
    if (rc != 0)
        return err_set(err, LOV_EINVAL, "%s holds no usable certificate chain: %s", tls->cert_path,
                       gnutls_strerror(rc));
    g->count = count;
    rc = gnutls_privkey_init(&g->key);
    if (rc == 0)
        rc = gnutls_privkey_import_x509_raw(g->key, &key_pem, GNUTLS_X509_FMT_PEM, NULL, 0);
    if (rc != 0)
        return err_set(err, LOV_EINVAL, "%s holds no usable private key: %s", tls->key_path,
                       gnutls_strerror(rc));
    if (!key_fits(g))
        return err_set(err, LOV_EINVAL,
                       "the private key in %s is not that of the certificate in %s", tls->key_path,
                       tls->cert_path);
    return 0;
}

int tls_reload(struct tls *tls, struct err *err)
{
    struct buf cert = {0}, key = {0};
    struct generation *newest = atomic_load_explicit(&tls->newest, memory_order_acquire);
    struct generation *g = mem_zero(sizeof *g);
    int rc = file_check_private(tls->key_path, err);
    if (rc == 0)
        rc = file_read(tls->cert_path, FILE_MAX, &cert, err);
    if (rc == 0)
        rc = file_read(tls->key_path, FILE_MAX, &key, err);
    if (rc)
        goto out;
    struct str parts[] = {buf_view(&cert), buf_view(&key)};
    g->files = sha256_parts(parts, 2);
    if (newest && memcmp(&newest->files, &g->files, sizeof g->files) == 0)
        goto out;
    rc = parse(tls, &cert, &key, g, err);
    if (rc)
        goto out;
    g->older = newest;
    atomic_store_explicit(&tls->newest, g, memory_order_release);
    g = NULL;
out:
    if (g)
        generation_free(g);
    if (key.p)
        explicit_bzero(key.p, key.cap);
    buf_free(&key);
    buf_free(&cert);
    return rc;
}

int tls_new(const char *cert, const char *key, struct tls **out, struct err *err)
{
    struct tls *tls = mem_zero(sizeof *tls);
    tls->cert_path = str_dup(str_of(cert));
    tls->key_path = str_dup(str_of(key));
    int rc = tls_reload(tls, err);
    if (rc) {
        tls_free(tls);
        return rc;
    }
    *out = tls;
    return 0;
}

void tls_free(struct tls *tls)
{
    if (!tls)
        return;
    struct generation *g = atomic_load_explicit(&tls->newest, memory_order_acquire);
    while (g) {
        struct generation *older = g->older;
        generation_free(g);
        g = older;
    }
    free(tls->cert_path);
    free(tls->key_path);
    free(tls);
}

/* libmicrohttpd keeps its connection as the session's pointer. */
static int choose_certificate(gnutls_session_t session, const gnutls_datum_t *authorities,
                              int authority_count, const gnutls_pk_algorithm_t *algorithms,
                              int algorithm_count, gnutls_pcert_st **chain, unsigned *count,
                              gnutls_privkey_t *key)
{
    (void)authorities;
    (void)authority_count;
    (void)algorithms;
    (void)algorithm_count;
    struct connection *connection = connection_of(gnutls_session_get_ptr(session));
    struct generation *g =
        atomic_load_explicit(&connection->server->tls->newest, memory_order_acquire);
    *chain = g->chain;
    *count = g->count;
    *key = g->key;
    return 0;
}

void tls_add_options(struct MHD_OptionItem *options, size_t *count)
{
    gnutls_certificate_retrieve_function2 *choose = choose_certificate;
    /* The option item holds a data pointer; POSIX lets a function's address pass through one. */
    void *callback = NULL;
    memcpy(&callback, &choose, sizeof callback);
    options[(*count)++] =
        (struct MHD_OptionItem){MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)(uintptr_t)PRIORITIES};
    options[(*count)++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_CERT_CALLBACK, 0, callback};
}
