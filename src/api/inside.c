/* inside.c - the API as the console asks it: in the process, by somebody whom the console knows, so
 * that what staff may do is said and checked in one place whichever way they come. */
#include "api/private.h"
#include "base/hash.h"

static struct principal *principal_of(const struct api_asker *asker, struct arena *arena)
{
    struct principal *who = arena_alloc(arena, sizeof *who);
    *who = (struct principal){0};
    role_find(asker->role, &who->permissions);
    if (asker->recipient.n)
        who->permissions &= MAY_READ_FOR_DEPARTMENT;
    if (asker->recipient.n && who->permissions)
        who->permissions = MAY_READ_RECORDS;
    who->actor = arena_str(arena, asker->actor);
    who->recipient = arena_str(arena, asker->recipient);
    who->hash = hash64(who->actor);
    who->person = true;
    return who;
}

struct http_call *api_ask_as(const struct http_call *call, const struct api_asker *asker,
                             const char *method, const char *target, struct str body)
{
    struct http_call *inner = http_call_new(method, target, body);
    inner->principal = principal_of(asker, &inner->arena);
    if (body.n)
        http_call_add_header(inner, "Content-Type", STR("application/json"));
    http_dispatch(api_app(api_of(call)), inner);
    return inner;
}

int api_answer_as(struct http_call *call, const struct api_asker *asker, const char *target)
{
    call->principal = principal_of(asker, &call->arena);
    return http_go_on(call, target);
}
