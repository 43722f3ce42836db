/* fuzz_token.c - what strangers send to be let in: signed tokens, client data and attestations of
 * passkeys. The first byte says which; nothing that is made up may be believed. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/jws.h"
#include "base/webauthn.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char keys[] =
    "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":"
    "\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"},{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":"
    "\"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4\",\"y\":"
    "\"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM\"}]}";

static void token(struct str text)
{
    json_t *set = NULL, *payload = NULL;
    if (json_read(STR(keys), &set, NULL) == 0 && jws_verify(text, set, &payload, NULL) == 0)
        abort(); /* nobody here has the keys */
    json_decref(set);
}

/* Attestations need no signature: what is accepted must be whole. */
static void attestation(struct str text)
{
    static const struct webauthn_expected expected = {{"https://shop.example", 20},
                                                      {"shop.example", 12}};
    struct str client = STR("{\"type\":\"webauthn.create\",\"challenge\":\"YQ\","
                            "\"origin\":\"https://shop.example\"}");
    struct webauthn_credential made = {0};
    _cleanup_arena struct arena arena = {0};
    if (webauthn_register(client, text, &expected, &arena, &made, NULL) == 0 &&
        (made.id.n < 16 || made.id.n > WEBAUTHN_ID_MAX || !made.key.n || !made.algorithm))
        abort();
}

static void client_data(struct str text)
{
    struct str challenge = {0};
    _cleanup_arena struct arena arena = {0};
    webauthn_challenge(text, &arena, &challenge, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size)
        return 0;
    struct str text = {(const char *)data + 1, size - 1};
    switch (data[0] % 3) {
    case 0:
        token(text);
        break;
    case 1:
        attestation(text);
        break;
    default:
        client_data(text);
    }
    return 0;
}
