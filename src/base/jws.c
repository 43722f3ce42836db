/* jws.c - see jws.h. The algorithm is the token's word, but it is only taken where the key is of
 * the kind that it needs: a public key never serves as anything else (RFC 8725 §3.1). */
#include "base/jws.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

#include "base/hash.h"
#include "base/json.h"
#include "base/pubkey.h"

enum { RSA_BYTES_LEAST = 256, RSA_BYTES_MOST = 1024, ECDSA_BYTES = 64 };

static int malformed(struct err *err, const char *what)
{
    return err_reason(err, LOV_EINVAL, "invalid_token", "the token %s", what);
}

static struct str member(const json_t *object, const char *name)
{
    const json_t *text = json_object_get(object, name);
    return json_is_string(text) ? json_text(text) : (struct str){0};
}

/* ---- keys ---- */

static bool take_bytes(const json_t *jwk, const char *name, struct buf *out)
{
    struct str text = member(jwk, name);
    return text.n && base64url_decode(text, out);
}

static EVP_PKEY *rsa_key(const json_t *jwk)
{
    _cleanup_buf struct buf n = {0}, e = {0};
    if (!take_bytes(jwk, "n", &n) || !take_bytes(jwk, "e", &e) || n.n < RSA_BYTES_LEAST ||
        n.n > RSA_BYTES_MOST || e.n > 4)
        return NULL;
    return pubkey_rsa(buf_view(&n), buf_view(&e));
}

static EVP_PKEY *ec_key(const json_t *jwk)
{
    _cleanup_buf struct buf x = {0}, y = {0};
    if (!str_is(member(jwk, "crv"), "P-256") || !take_bytes(jwk, "x", &x) ||
        !take_bytes(jwk, "y", &y))
        return NULL;
    return pubkey_p256(buf_view(&x), buf_view(&y));
}

static EVP_PKEY *okp_key(const json_t *jwk)
{
    _cleanup_buf struct buf x = {0};
    if (!str_is(member(jwk, "crv"), "Ed25519") || !take_bytes(jwk, "x", &x))
        return NULL;
    return pubkey_ed25519(buf_view(&x));
}

static const struct algorithm {
    const char *name, *type;
    EVP_PKEY *(*key)(const json_t *jwk);
    bool pss, raw, plain; /* PSS padding; r and s side by side; no hash of its own */
} algorithms[] = {
    {"ES256", "EC", ec_key, false, true, false},     {"RS256", "RSA", rsa_key, false, false, false},
    {"PS256", "RSA", rsa_key, true, false, false},   {"EdDSA", "OKP", okp_key, false, false, true},
    {"Ed25519", "OKP", okp_key, false, false, true}, /* RFC 9864 */
};

static const struct algorithm *algorithm_of(struct str name)
{
    for (size_t i = 0; i < sizeof algorithms / sizeof *algorithms; i++)
        if (str_is(name, algorithms[i].name))
            return &algorithms[i];
    return NULL;
}

static bool fits(const json_t *jwk, const struct algorithm *a, struct str kid)
{
    struct str use = member(jwk, "use"), alg = member(jwk, "alg");
    return str_is(member(jwk, "kty"), a->type) && (!use.n || str_is(use, "sig")) &&
           (!alg.n || str_is(alg, a->name)) && (!kid.n || str_eq(kid, member(jwk, "kid")));
}

/* The one that fits; NULL when there is none, or several. */
static const json_t *find_key(const json_t *set, const struct algorithm *a, struct str kid)
{
    const json_t *found = NULL, *jwk;
    size_t i, count = 0;
    json_array_foreach(json_object_get(set, "keys"), i, jwk) {
        if (fits(jwk, a, kid)) {
            found = jwk;
            count++;
        }
    }
    return count == 1 ? found : NULL;
}

/* ---- signatures ---- */

/* ECDSA's r and s side by side (RFC 7518 §3.4) as OpenSSL wants them. */
static bool to_der(struct buf *signature)
{
    if (signature->n != ECDSA_BYTES)
        return false;
    ECDSA_SIG *pair = ECDSA_SIG_new();
    unsigned char *der = NULL;
    const uint8_t *raw = (const uint8_t *)signature->p;
    ECDSA_SIG_set0(pair, BN_bin2bn(raw, 32, NULL), BN_bin2bn(raw + 32, 32, NULL));
    int n = i2d_ECDSA_SIG(pair, &der);
    ECDSA_SIG_free(pair);
    if (n <= 0)
        return false;
    buf_clear(signature);
    buf_add(signature, der, (size_t)n);
    OPENSSL_free(der);
    return true;
}

static bool verifies(const struct algorithm *a, const json_t *jwk, struct str text,
                     struct buf *signature)
{
    EVP_PKEY *key = a->key(jwk);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *options = NULL;
    bool good = key && (!a->raw || to_der(signature)) &&
                EVP_DigestVerifyInit(ctx, &options, a->plain ? NULL : EVP_sha256(), NULL, key) == 1;
    if (good && a->pss)
        good = EVP_PKEY_CTX_set_rsa_padding(options, RSA_PKCS1_PSS_PADDING) == 1 &&
               EVP_PKEY_CTX_set_rsa_pss_saltlen(options, RSA_PSS_SALTLEN_DIGEST) == 1;
    good = good && EVP_DigestVerify(ctx, (const uint8_t *)signature->p, signature->n,
                                    (const uint8_t *)text.p, text.n) == 1;
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    return good;
}

static json_t *read_part(struct str part)
{
    _cleanup_buf struct buf text = {0};
    json_t *json = NULL;
    if (!base64url_decode(part, &text) || json_read(buf_view(&text), &json, NULL))
        return NULL;
    return json;
}

int jws_verify(struct str token, const json_t *keys, json_t **payload, struct err *err)
{
    struct str rest = token, head = str_cut(&rest, '.'), body = str_cut(&rest, '.');
    struct str signed_text = {token.p, head.n + 1 + body.n};
    _cleanup_buf struct buf signature = {0};
    if (token.n > JWS_MAX || !head.n || !body.n || !base64url_decode(rest, &signature))
        return malformed(err, "is not a signed one");
    _cleanup_json json_t *header = read_part(head);
    const struct algorithm *a = algorithm_of(member(header, "alg"));
    /* What must be understood and is not (RFC 7515 §4.1.11). */
    if (!a || json_object_get(header, "crit"))
        return malformed(err, "is signed in a way that is not admitted");
    const json_t *jwk = find_key(keys, a, member(header, "kid"));
    if (!jwk)
        return err_reason(err, LOV_ENOTFOUND, "unknown_key", "no key fits the token");
    if (!verifies(a, jwk, signed_text, &signature))
        return malformed(err, "has a signature that is not the key's");
    json_t *read = read_part(body);
    if (!json_is_object(read)) {
        json_decref(read);
        return malformed(err, "holds no JSON object");
    }
    *payload = read;
    return 0;
}
