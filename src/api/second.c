/* second.c - what one person proposes and another one approves: the rules that all such calls
 * share.
 *
 * Who is one person is told by the end of an actor, whatever the role before it. Approving names
 * the hash of what was looked at: nobody approves what they have not seen. */
#include <string.h>

#include "api/private.h"

struct approval {
    struct str hash;
};
static const struct json_field approval_fields[] = {
    {"hash", JSON_K_STRING, offsetof(struct approval, hash), true, 64, 64},
};

static struct str person_of(struct str actor)
{
    struct str rest = actor;
    str_cut(&rest, '/');
    return rest.n ? rest : actor;
}

bool second_is_same(struct str one, struct str other)
{
    return str_eq(person_of(one), person_of(other));
}

int second_person(struct str proposed_by, struct str actor, struct err *err)
{
    if (!second_is_same(proposed_by, actor))
        return 0;
    return err_reason(err, LOV_EFORBIDDEN, "own_proposal",
                      "somebody else than who proposed it has to approve it");
}

int second_hash(struct http_call *call, struct sha256 *out, struct err *err)
{
    struct approval in = {0};
    _cleanup_json json_t *body = NULL;
    int rc = request_body(call, approval_fields, 1, JSON_REFUSE_UNKNOWN, &in, &body, err);
    if (rc == 0 && !hex_decode(in.hash, out->b, sizeof out->b))
        rc = second_differs(err);
    return rc;
}

int second_differs(struct err *err)
{
    return err_reason(err, LOV_ECONFLICT, "proposal_differs",
                      "hash: that of the proposal as it was looked at");
}

int second_page(struct http_call *call, int64_t *limit, int64_t *before, struct err *err)
{
    uint32_t shard;
    struct str after;
    *before = INT64_MAX;
    int rc = request_page(call, NULL, limit, &after, err);
    if (rc == 0 && after.n && !consent_id_parse(api_of(call)->engine, after, &shard, before))
        rc = err_reason(err, LOV_EINVAL, "invalid_cursor", "after is not a cursor of this list");
    return rc;
}
