/* crypt.c - see crypt.h. A failure inside OpenSSL that is not a wrong key is a bug or a broken
 * machine: it stops the process rather than write something unsealed. */
#include "base/crypt.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>
#include <openssl/core_names.h>
#include <openssl/rand.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { NONCE = 12, TAG = 16 };

struct cipher_block {
    EVP_CIPHER_CTX *encrypt, *decrypt;
};

/* Looking the algorithm up costs more than sealing something short, so it is done once: fetched is
 * written before anybody reads it and never again. */
static pthread_once_t fetch_once = PTHREAD_ONCE_INIT;
static const EVP_CIPHER *fetched;

static void fetch(void)
{
    fetched = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    if (!fetched)
        bug("this OpenSSL has no AES-256-GCM");
}

static const EVP_CIPHER *aes_256_gcm(void)
{
    pthread_once(&fetch_once, fetch);
    return fetched;
}

void secret_wipe(struct secret *s)
{
    OPENSSL_cleanse(s->b, sizeof s->b);
}

void secret_wipe_bytes(void *p, size_t n)
{
    if (p)
        OPENSSL_cleanse(p, n);
}

void random_bytes(void *out, size_t n)
{
    if (n > INT_MAX || RAND_bytes(out, (int)n) != 1)
        bug("no random bytes");
}

struct uid uid_new(void)
{
    struct uid id;
    random_bytes(id.b, sizeof id.b);
    return id;
}

struct str uid_str(const struct uid *id)
{
    return (struct str){(const char *)id->b, sizeof id->b};
}

struct secret secret_derive(const struct secret *from, struct str info)
{
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *ctx = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)from->b, sizeof from->b),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)info.p, info.n),
        OSSL_PARAM_construct_end(),
    };
    struct secret out;
    if (!ctx || EVP_KDF_derive(ctx, out.b, sizeof out.b, params) != 1)
        bug("HKDF failed");
    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
    return out;
}

struct sha256 hmac_sha256(const struct secret *key, struct str data)
{
    struct sha256 out;
    unsigned n = 0;
    if (!HMAC(EVP_sha256(), key->b, sizeof key->b, (const unsigned char *)data.p, data.n, out.b,
              &n) ||
        n != sizeof out.b)
        bug("HMAC-SHA-256 failed");
    return out;
}

void seal(const struct secret *key, struct str associated, struct str plain, struct buf *out)
{
    if (plain.n > INT_MAX / 2 || associated.n > INT_MAX / 2)
        bug("too much to seal");
    size_t start = out->n;
    buf_reserve(out, plain.n + SEAL_EXTRA);
    unsigned char *p = (unsigned char *)out->p + start;
    random_bytes(p, NONCE);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int n = 0, rest = 0;
    int ok =
        ctx && EVP_EncryptInit_ex2(ctx, aes_256_gcm(), key->b, p, NULL) &&
        EVP_EncryptUpdate(ctx, NULL, &n, (const unsigned char *)associated.p, (int)associated.n) &&
        EVP_EncryptUpdate(ctx, p + NONCE, &n, (const unsigned char *)plain.p, (int)plain.n) &&
        EVP_EncryptFinal_ex(ctx, p + NONCE + n, &rest) &&
        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TAG, p + NONCE + plain.n);
    EVP_CIPHER_CTX_free(ctx);
    if (!ok)
        bug("AES-256-GCM failed");
    out->n = start + plain.n + SEAL_EXTRA;
    out->p[out->n] = '\0';
}

/* A context with the cipher and the key in it, and perhaps the nonce. */
static EVP_CIPHER_CTX *open_ctx(const struct secret *key, const unsigned char *nonce)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    if (!ctx || !EVP_DecryptInit_ex2(ctx, aes_256_gcm(), key->b, nonce, NULL))
        bug("AES-256-GCM failed");
    return ctx;
}

static bool open_with(EVP_CIPHER_CTX *ctx, struct str associated, struct str sealed,
                      struct buf *out)
{
    size_t n = sealed.n - SEAL_EXTRA, start = out->n;
    buf_reserve(out, n + TAG);
    const unsigned char *in = (const unsigned char *)sealed.p;
    unsigned char *p = (unsigned char *)out->p + start, tag[TAG];
    memcpy(tag, in + NONCE + n, TAG);
    int got = 0, rest = 0;
    int ok = EVP_DecryptUpdate(ctx, NULL, &got, (const unsigned char *)associated.p,
                               (int)associated.n) &&
             EVP_DecryptUpdate(ctx, p, &got, in + NONCE, (int)n) &&
             EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TAG, tag) &&
             EVP_DecryptFinal_ex(ctx, p + got, &rest);
    if (ok)
        out->n = start + n;
    else
        OPENSSL_cleanse(p, n);
    out->p[out->n] = '\0';
    return ok;
}

static bool can_be_sealed(struct str associated, struct str sealed)
{
    return sealed.n >= SEAL_EXTRA && sealed.n <= INT_MAX / 2 && associated.n <= INT_MAX / 2;
}

int unseal(const struct secret *key, struct str associated, struct str sealed, struct buf *out,
           struct err *err)
{
    if (!can_be_sealed(associated, sealed))
        return err_set(err, LOV_ECORRUPT, "sealed value has a wrong length");
    EVP_CIPHER_CTX *ctx = open_ctx(key, (const unsigned char *)sealed.p);
    bool ok = open_with(ctx, associated, sealed, out);
    EVP_CIPHER_CTX_free(ctx);
    return ok ? 0 : err_set(err, LOV_ECORRUPT, "sealed value does not open with this key");
}

struct opener {
    EVP_CIPHER_CTX *ctx;
};

struct opener *opener_new(const struct secret *key)
{
    struct opener *o = mem_alloc(sizeof *o);
    o->ctx = open_ctx(key, NULL);
    return o;
}

void opener_free(struct opener *o)
{
    if (!o)
        return;
    EVP_CIPHER_CTX_free(o->ctx); /* wipes the key */
    free(o);
}

bool opener_open(struct opener *o, struct str associated, struct str sealed, struct buf *out)
{
    if (!can_be_sealed(associated, sealed))
        return false;
    if (!EVP_DecryptInit_ex(o->ctx, NULL, NULL, NULL, (const unsigned char *)sealed.p))
        bug("AES-256-GCM failed");
    return open_with(o->ctx, associated, sealed, out);
}

static EVP_PKEY *ed25519_private(const struct secret *seed)
{
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed->b, sizeof seed->b);
    if (!key)
        bug("Ed25519 failed");
    return key;
}

struct ed25519_key ed25519_public(const struct secret *seed)
{
    EVP_PKEY *key = ed25519_private(seed);
    struct ed25519_key out;
    size_t n = sizeof out.b;
    if (EVP_PKEY_get_raw_public_key(key, out.b, &n) != 1 || n != sizeof out.b)
        bug("Ed25519 failed");
    EVP_PKEY_free(key);
    return out;
}

struct ed25519_signature ed25519_sign(const struct secret *seed, struct str message)
{
    EVP_PKEY *key = ed25519_private(seed);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    struct ed25519_signature out;
    size_t n = sizeof out.b;
    if (!ctx || EVP_DigestSignInit(ctx, NULL, NULL, NULL, key) != 1 ||
        EVP_DigestSign(ctx, out.b, &n, (const unsigned char *)message.p, message.n) != 1 ||
        n != sizeof out.b)
        bug("Ed25519 failed");
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    return out;
}

bool ed25519_verify(const struct ed25519_key *key, struct str message,
                    const struct ed25519_signature *signature)
{
    EVP_PKEY *public = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key->b, sizeof key->b);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool good = public && ctx && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, public) == 1 &&
                EVP_DigestVerify(ctx, signature->b, sizeof signature->b,
                                 (const unsigned char *)message.p, message.n) == 1;
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(public);
    return good;
}

static EVP_CIPHER_CTX *block_ctx(const uint8_t key[16], int encrypt)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    if (!ctx || !EVP_CipherInit_ex(ctx, EVP_aes_128_ecb(), NULL, key, NULL, encrypt) ||
        !EVP_CIPHER_CTX_set_padding(ctx, 0))
        bug("AES-128 failed");
    return ctx;
}

struct cipher_block *cipher_block_new(const uint8_t key[16])
{
    struct cipher_block *c = mem_alloc(sizeof *c);
    c->encrypt = block_ctx(key, 1);
    c->decrypt = block_ctx(key, 0);
    return c;
}

void cipher_block_free(struct cipher_block *c)
{
    if (!c)
        return;
    EVP_CIPHER_CTX_free(c->encrypt);
    EVP_CIPHER_CTX_free(c->decrypt);
    free(c);
}

/* One ECB block leaves no state in the context, so threads may share it: EVP_Cipher runs the
 * permutation alone and does not touch the buffers of EVP_CipherUpdate. */
static void run_block(EVP_CIPHER_CTX *ctx, const uint8_t in[16], uint8_t out[16])
{
    if (EVP_Cipher(ctx, out, in, 16) <= 0)
        bug("AES-128 failed");
}

void cipher_block_encrypt(const struct cipher_block *c, const uint8_t in[16], uint8_t out[16])
{
    run_block(c->encrypt, in, out);
}

void cipher_block_decrypt(const struct cipher_block *c, const uint8_t in[16], uint8_t out[16])
{
    run_block(c->decrypt, in, out);
}
