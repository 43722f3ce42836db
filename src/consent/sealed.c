/* sealed.c - what is personal in a consumer's rows and events: JSON under the consumer's own key,
 * with their cid as associated data. */
#include "base/json.h"
#include "consent/engine.h"

static struct str associated(const struct uid *cid, struct buf *out)
{
    buf_cstr(out, "lov consumer data");
    buf_add(out, cid->b, sizeof cid->b);
    return buf_view(out);
}

int seal_json(const struct identity *who, struct db *identities, const struct uid *cid,
              struct str json, struct arena *arena, struct str *out, struct err *err)
{
    _cleanup_secret struct secret key;
    _cleanup_buf struct buf about = {0}, sealed = {0};
    int rc = identity_data_key(who, identities, cid, &key, err);
    if (rc < 0)
        return rc;
    if (rc == 0)
        return err_reason(err, LOV_ECONFLICT, "erased", "the consumer was erased");
    seal(&key, associated(cid, &about), json, &sealed);
    *out = arena_str(arena, buf_view(&sealed));
    return 0;
}

int unseal_json(const struct identity *who, struct db *identities, const struct uid *cid,
                struct str sealed, struct buf *json, struct err *err)
{
    _cleanup_secret struct secret key;
    _cleanup_buf struct buf about = {0};
    if (sealed.n == 0)
        return 0;
    int rc = identity_data_key(who, identities, cid, &key, err);
    if (rc != 1)
        return rc;
    return unseal(&key, associated(cid, &about), sealed, json, err);
}

int sealed_born(const struct identity *who, struct db *identities, const struct uid *cid,
                struct str sealed, int32_t *out, struct err *err)
{
    static const struct json_field fields[] = {{"birth_date", JSON_K_DATE, 0, false, 0, 0}};
    _cleanup_buf struct buf text = {0};
    _cleanup_json json_t *json = NULL;
    *out = DAY_NONE;
    int rc = unseal_json(who, identities, cid, sealed, &text, err);
    if (rc || text.n == 0)
        return rc;
    rc = json_read(buf_view(&text), &json, err);
    return rc ? rc : json_take(json, fields, 1, JSON_IGNORE_UNKNOWN, "", NULL, out, err);
}
