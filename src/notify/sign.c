/* sign.c - the secrets of a webhook, and what is signed with them (Standard Webhooks 1.0, symmetric
 * signatures). */
#include <string.h>

#include "notify/private.h"

void webhook_secrets_wipe(struct webhook_secrets *s)
{
    for (int i = 0; i < WEBHOOK_SECRETS; i++)
        secret_wipe(&s->key[i]);
    s->count = 0;
}

void webhook_secret_format(const struct secret *key, struct buf *out)
{
    buf_cstr(out, "whsec_");
    base64_encode(key->b, sizeof key->b, out);
}

void webhook_sign(const struct webhook_secrets *s, int64_t at, struct str id, int64_t timestamp,
                  struct str body, struct buf *out)
{
    _cleanup_buf struct buf signed_text = {0};
    buf_printf(&signed_text, "%.*s.%lld.", STR_ARG(id), (long long)timestamp);
    buf_str(&signed_text, body);
    for (int i = 0; i < s->count; i++) {
        if (s->until[i] != TIME_NONE && s->until[i] <= at)
            continue;
        struct sha256 mac = hmac_sha256(&s->key[i], buf_view(&signed_text));
        if (out->n)
            buf_char(out, ' ');
        buf_cstr(out, "v1,");
        base64_encode(mac.b, sizeof mac.b, out);
    }
}

/* ---- at rest: for each secret its 32 bytes and until when, 8 bytes ---- */

enum { SECRET_ROW = sizeof(struct secret) + 8 };

/* With where it goes and what for, so that nothing is signed for a row that was changed by hand. */
static struct str associated(const struct webhook *h, struct buf *out)
{
    buf_printf(out, "lov webhook %.*s\n%.*s\n%.*s\n%.*s", STR_ARG(h->id), STR_ARG(h->recipient),
               STR_ARG(h->kinds), STR_ARG(h->url));
    return buf_view(out);
}

void webhook_secrets_seal(const struct identity *who, const struct webhook *h,
                          const struct webhook_secrets *s, struct buf *out)
{
    _cleanup_buf struct buf about = {0}, plain = {0};
    _cleanup_secret struct secret key = identity_secret(who, "webhook");
    for (int i = 0; i < s->count; i++) {
        buf_add(&plain, s->key[i].b, sizeof s->key[i].b);
        buf_add(&plain, &s->until[i], sizeof s->until[i]);
    }
    seal(&key, associated(h, &about), buf_view(&plain), out);
    secret_wipe_bytes(plain.p, plain.n);
}

int webhook_unseal(const struct identity *who, const struct webhook *h, struct webhook_secrets *out,
                   struct err *err)
{
    _cleanup_buf struct buf about = {0}, plain = {0};
    _cleanup_secret struct secret key = identity_secret(who, "webhook");
    int rc = unseal(&key, associated(h, &about), h->sealed, &plain, err);
    if (rc)
        return rc;
    if (plain.n % SECRET_ROW || plain.n / SECRET_ROW > WEBHOOK_SECRETS) {
        secret_wipe_bytes(plain.p, plain.n);
        return err_set(err, LOV_ECORRUPT, "the secrets of a webhook are damaged");
    }
    out->count = (int)(plain.n / SECRET_ROW);
    for (int i = 0; i < out->count; i++) {
        const char *row = plain.p + (size_t)i * SECRET_ROW;
        memcpy(out->key[i].b, row, sizeof out->key[i].b);
        memcpy(&out->until[i], row + sizeof out->key[i].b, sizeof out->until[i]);
    }
    secret_wipe_bytes(plain.p, plain.n);
    return 0;
}
