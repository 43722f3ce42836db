/* store.c - /v1/store: what keeps the stores in order. */
#include "api/private.h"

struct rotate_request {
    bool go_on;
};
static const struct json_field rotate_fields[] = {
    {"continue", JSON_K_BOOL, offsetof(struct rotate_request, go_on), false, 0, 0},
};

/* One step a call, so that no call is long, whoever asks sees how it goes, and nothing has to be
 * stopped: who stops asking has stopped it. */
int store_rotate(struct http_call *call)
{
    struct err err = {0};
    struct rotate_request request = {0};
    _cleanup_json json_t *body = NULL;
    int rc = request_body(call, rotate_fields, 1, JSON_REFUSE_UNKNOWN, &request, &body, &err);
    struct engine_rotation r = {.actor = caller_of(call)->actor, .go_on = request.go_on};
    if (rc == 0)
        rc = engine_rotate(api_of(call)->engine, &r, &err);
    if (rc)
        return answer_problem(call, &err);
    struct engine_counts counts = engine_counts(api_of(call)->engine);
    struct jw j = answer_start(call, 200);
    jw_object_start(&j);
    jw_bool_member(&j, "done", r.done);
    jw_int_member(&j, "rows", r.rows);
    jw_int_member(&j, "consumers", counts.consumers);
    jw_bool_member(&j, "environment", r.environment);
    jw_object_end(&j);
    return 0;
}
