/* webauthn.c - see webauthn.h. CBOR is taken apart by libcbor, keys and signatures are OpenSSL's.
 */
#include "base/webauthn.h"

#include <cbor.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "base/hash.h"
#include "base/json.h"
#include "base/pubkey.h"

enum { ES256 = -7, EDDSA = -8, RS256 = -257, RSA_BITS_LEAST = 2048 };
enum { FLAG_PRESENT = 0x01, FLAG_VERIFIED = 0x04, FLAG_CREDENTIAL = 0x40 };

static int wrong(struct err *err, const char *what)
{
    return err_reason(err, LOV_EINVAL, "passkey_refused", "%s", what);
}

/* ---- client data (§5.8.1) ---- */

struct client_data {
    struct str type, challenge, origin;
    bool crossOrigin;
};
static const struct json_field client_fields[] = {
    {"type", JSON_K_STRING, offsetof(struct client_data, type), true, 1, 32},
    {"challenge", JSON_K_STRING, offsetof(struct client_data, challenge), true, 1, 128},
    {"origin", JSON_K_STRING, offsetof(struct client_data, origin), true, 1, 512},
    {"crossOrigin", JSON_K_BOOL, offsetof(struct client_data, crossOrigin), false, 0, 0},
};

static int read_client(struct str text, json_t **json, struct client_data *out, struct err *err)
{
    if (text.n > WEBAUTHN_MAX || json_read(text, json, NULL) ||
        json_take(*json, client_fields, 4, JSON_IGNORE_UNKNOWN, "", NULL, out, NULL))
        return wrong(err, "the client's data is not what a browser sends");
    return 0;
}

int webauthn_challenge(struct str client_data, struct arena *arena, struct str *challenge,
                       struct err *err)
{
    _cleanup_json json_t *json = NULL;
    struct client_data c = {0};
    int rc = read_client(client_data, &json, &c, err);
    if (rc == 0)
        *challenge = arena_str(arena, c.challenge);
    return rc;
}

static int check_client(struct str text, const char *type, const struct webauthn_expected *expected,
                        struct err *err)
{
    _cleanup_json json_t *json = NULL;
    struct client_data c = {0};
    int rc = read_client(text, &json, &c, err);
    if (rc)
        return rc;
    if (!str_is(c.type, type))
        return wrong(err, "the client's data is for another step");
    if (!str_eq(c.origin, expected->origin) || c.crossOrigin)
        return wrong(err, "the passkey was asked for by another site");
    return 0;
}

/* ---- authenticator data (§6.1) ---- */

enum { RP_HASH = 32, DATA_HEAD = 37, AAGUID = 16 };

static int check_data(struct str data, const struct webauthn_expected *expected, int64_t *count,
                      struct err *err)
{
    if (data.n < DATA_HEAD || data.n > WEBAUTHN_MAX)
        return wrong(err, "the authenticator's data has a wrong size");
    struct sha256 hash = sha256_of(expected->rp_id);
    const uint8_t *p = (const uint8_t *)data.p;
    if (memcmp(p, hash.b, RP_HASH) != 0)
        return wrong(err, "the passkey is for another site");
    if ((p[RP_HASH] & (FLAG_PRESENT | FLAG_VERIFIED)) != (FLAG_PRESENT | FLAG_VERIFIED))
        return wrong(err, "the authenticator did not verify who was there");
    *count = (int64_t)p[33] << 24 | (int64_t)p[34] << 16 | (int64_t)p[35] << 8 | p[36];
    return 0;
}

/* ---- CBOR ---- */

static void item_free(cbor_item_t **item)
{
    if (*item)
        cbor_decref(item);
}
#define _cleanup_item __attribute__((cleanup(item_free)))

/* Passes over one item. False when it is not as CTAP2 writes it (definite lengths, few levels, no
 * tags), or says that it holds more than there is: libcbor takes memory for what an item says. */
static bool skip_item(const uint8_t **p, const uint8_t *end, int depth)
{
    enum { LEVELS = 8, TEXT = 2, LIST = 4, MAP = 5, TAG = 6, LONG = 24, RESERVED = 28 };
    if (*p == end || depth > LEVELS)
        return false;
    unsigned first = *(*p)++, major = first >> 5, info = first & 31;
    size_t extra = info < LONG ? 0 : (size_t)1 << (info - LONG);
    uint64_t n = info < LONG ? info : 0;
    if (info >= RESERVED || major == TAG || extra > (size_t)(end - *p))
        return false;
    while (extra--)
        n = n << 8 | *(*p)++;
    if (major < TEXT || major > TAG)
        return true;
    if (n > (size_t)(end - *p))
        return false;
    if (major < LIST) {
        *p += n;
        return true;
    }
    for (uint64_t i = 0; i < (major == MAP ? 2 * n : n); i++)
        if (!skip_item(p, end, depth + 1))
            return false;
    return true;
}

/* One item at the beginning of `bytes`; NULL when it is malformed. */
static cbor_item_t *read_item(struct str bytes)
{
    struct cbor_load_result result = {0};
    const uint8_t *p = (const uint8_t *)bytes.p;
    if (!bytes.n || !skip_item(&p, p + bytes.n, 0))
        return NULL;
    cbor_item_t *item = cbor_load((cbor_data)bytes.p, bytes.n, &result);
    return item;
}

static const cbor_item_t *find(const cbor_item_t *map,
                               bool (*is)(const cbor_item_t *, const void *), const void *key)
{
    if (!cbor_isa_map(map) || !cbor_map_is_definite(map))
        return NULL;
    struct cbor_pair *pairs = cbor_map_handle(map);
    for (size_t i = 0; i < cbor_map_size(map); i++)
        if (is(pairs[i].key, key))
            return pairs[i].value;
    return NULL;
}

static bool is_text(const cbor_item_t *item, const void *key)
{
    struct str want = str_of(key);
    return cbor_isa_string(item) && cbor_string_is_definite(item) &&
           str_eq((struct str){(const char *)cbor_string_handle(item), cbor_string_length(item)},
                  want);
}

static bool to_int(const cbor_item_t *item, int64_t *out)
{
    if (!item || !cbor_is_int(item) || cbor_get_int(item) > INT32_MAX)
        return false;
    int64_t v = (int64_t)cbor_get_int(item);
    *out = cbor_isa_negint(item) ? -1 - v : v;
    return true;
}

static bool is_int(const cbor_item_t *item, const void *key)
{
    int64_t v;
    return to_int(item, &v) && v == *(const int64_t *)key;
}

static const cbor_item_t *member(const cbor_item_t *map, int64_t key)
{
    return find(map, is_int, &key);
}

static struct str bytes_of(const cbor_item_t *item)
{
    if (!item || !cbor_isa_bytestring(item) || !cbor_bytestring_is_definite(item))
        return (struct str){0};
    return (struct str){(const char *)cbor_bytestring_handle(item), cbor_bytestring_length(item)};
}

/* ---- keys (RFC 9053 §7, RFC 8230 §4) ---- */

static EVP_PKEY *rsa_key(struct str n, struct str e)
{
    if (n.n < RSA_BITS_LEAST / 8 || n.n > 512 || e.n < 1 || e.n > 4)
        return NULL;
    return pubkey_rsa(n, e);
}

static EVP_PKEY *cose_key(const cbor_item_t *map, int64_t *algorithm)
{
    enum { KTY = 1, ALG = 3, OKP = 1, EC2 = 2, RSA_KEY = 3, P256 = 1, ED25519 = 6 };
    int64_t type = 0, curve = 0;
    if (!to_int(member(map, KTY), &type) || !to_int(member(map, ALG), algorithm))
        return NULL;
    to_int(member(map, -1), &curve);
    if (type == EC2 && *algorithm == ES256 && curve == P256)
        return pubkey_p256(bytes_of(member(map, -2)), bytes_of(member(map, -3)));
    if (type == RSA_KEY && *algorithm == RS256)
        return rsa_key(bytes_of(member(map, -1)), bytes_of(member(map, -2)));
    struct str x = bytes_of(member(map, -2));
    return type == OKP && *algorithm == EDDSA && curve == ED25519 ? pubkey_ed25519(x) : NULL;
}

/* ---- registering ---- */

/* The credential behind the head of the authenticator's data (§6.5.1). */
static int read_credential(struct str data, struct arena *arena, struct webauthn_credential *out,
                           struct err *err)
{
    const uint8_t *p = (const uint8_t *)data.p;
    size_t at = DATA_HEAD + AAGUID + 2;
    if (!(p[RP_HASH] & FLAG_CREDENTIAL) || data.n < at)
        return wrong(err, "the authenticator's data has no credential");
    size_t n = (size_t)p[at - 2] << 8 | p[at - 1];
    if (n < 16 || n > WEBAUTHN_ID_MAX || data.n - at <= n)
        return wrong(err, "the credential's id has a wrong size");
    _cleanup_item cbor_item_t *map = read_item((struct str){data.p + at + n, data.n - at - n});
    EVP_PKEY *key = map ? cose_key(map, &out->algorithm) : NULL;
    if (!key)
        return wrong(err, "the credential's key is of none of the kinds that were asked for");
    unsigned char *der = NULL;
    int size = i2d_PUBKEY(key, &der);
    EVP_PKEY_free(key);
    if (size <= 0)
        return wrong(err, "the credential's key cannot be used");
    out->id = arena_str(arena, (struct str){data.p + at, n});
    out->key = arena_str(arena, (struct str){(const char *)der, (size_t)size});
    OPENSSL_free(der);
    return 0;
}

int webauthn_register(struct str client_data, struct str attestation,
                      const struct webauthn_expected *expected, struct arena *arena,
                      struct webauthn_credential *out, struct err *err)
{
    struct webauthn_credential made = {0};
    int rc = check_client(client_data, "webauthn.create", expected, err);
    if (rc)
        return rc;
    _cleanup_item cbor_item_t *object =
        attestation.n <= WEBAUTHN_MAX ? read_item(attestation) : NULL;
    const cbor_item_t *format = object ? find(object, is_text, "fmt") : NULL;
    if (!format || !is_text(format, "none"))
        return wrong(err, "an attestation was sent that nobody asked for");
    struct str data = bytes_of(find(object, is_text, "authData"));
    rc = check_data(data, expected, &made.count, err);
    if (rc == 0)
        rc = read_credential(data, arena, &made, err);
    if (rc == 0)
        *out = made;
    return rc;
}

/* ---- signing in ---- */

static bool verifies(const struct webauthn_credential *known, struct str text, struct str signature)
{
    const unsigned char *der = (const unsigned char *)known->key.p;
    EVP_PKEY *key = d2i_PUBKEY(NULL, &der, (long)known->key.n);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    const EVP_MD *hash = known->algorithm == EDDSA ? NULL : EVP_sha256();
    bool good = key && ctx && EVP_DigestVerifyInit(ctx, NULL, hash, NULL, key) == 1 &&
                EVP_DigestVerify(ctx, (const uint8_t *)signature.p, signature.n,
                                 (const uint8_t *)text.p, text.n) == 1;
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    return good;
}

int webauthn_assert(struct str client_data, struct str authenticator_data, struct str signature,
                    const struct webauthn_expected *expected,
                    const struct webauthn_credential *known, int64_t *count, struct err *err)
{
    int64_t now = 0;
    int rc = check_client(client_data, "webauthn.get", expected, err);
    if (rc == 0)
        rc = check_data(authenticator_data, expected, &now, err);
    if (rc)
        return rc;
    struct sha256 hash = sha256_of(client_data);
    _cleanup_buf struct buf text = {0};
    buf_str(&text, authenticator_data);
    buf_add(&text, hash.b, sizeof hash.b);
    if (!verifies(known, buf_view(&text), signature))
        return wrong(err, "the signature is not the passkey's");
    /* A counter that does not grow is that of a copy (§7.2 step 21). */
    if ((now || known->count) && now <= known->count)
        return wrong(err, "the passkey was used elsewhere in between: it may have been copied");
    *count = now;
    return 0;
}
