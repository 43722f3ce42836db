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

static int page_of(struct http_call *call, int64_t *limit, int64_t *before, struct err *err)
{
    uint32_t shard;
    struct str after;
    *before = INT64_MAX;
    int rc = request_page(call, NULL, limit, &after, err);
    if (rc == 0 && after.n && !consent_id_parse(api_of(call)->engine, after, &shard, before))
        rc = err_reason(err, LOV_EINVAL, "invalid_cursor", "after is not a cursor of this list");
    return rc;
}

static int list_rows(struct http_call *call, struct db *db, const char *sql, second_row *row,
                     int64_t before, int64_t limit, struct jw *w, struct err *err)
{
    struct db_stmt *s = db_use(db, sql);
    _cleanup_buf struct buf last = {0};
    int64_t count = 0;
    int rc;
    db_bind_int(s, 1, before);
    db_bind_int(s, 2, limit + 1);
    while ((rc = db_step(s, err)) == 1) {
        uint32_t shard;
        int64_t seq;
        if (count++ == limit)
            continue;
        rc = row(call, s, w, &shard, &seq, err);
        if (rc) {
            db_done(s);
            return rc;
        }
        buf_clear(&last);
        consent_id_format(api_of(call)->engine, shard, seq, &last);
    }
    jw_array_end(w);
    jw_optional_member(w, "next", count > limit ? buf_view(&last) : (struct str){0});
    return rc;
}

int second_list(struct http_call *call, const char *sql, second_row *row)
{
    struct err err = {0};
    struct engine *e = api_of(call)->engine;
    int64_t limit, before;
    struct db *db;
    int rc = page_of(call, &limit, &before, &err);
    if (rc == 0)
        rc = db_pool_get(engine_lov(e), &db, &err);
    if (rc)
        return answer_problem(call, &err);
    struct jw w = answer_start(call, 200);
    jw_object_start(&w);
    jw_array_member(&w, "items");
    rc = list_rows(call, db, sql, row, before, limit, &w, &err);
    db_pool_put(engine_lov(e), db);
    jw_object_end(&w);
    return rc ? answer_problem(call, &err) : 0;
}
