/* inside.c - the API as the console asks it: in the process, by somebody whom the console knows, so
 * that what staff may do is said and checked in one place whichever way they come. */
#include "api/private.h"
#include "base/hash.h"

struct http_call *api_ask_as(const struct http_call *call, const struct api_asker *asker,
                             const char *method, const char *target, struct str body)
{
    struct http_call *inner = http_call_new(method, target, body);
    struct principal *who = arena_alloc(&inner->arena, sizeof *who);
    role_find(asker->role, &who->permissions);
    if (asker->recipient.n)
        who->permissions &= MAY_READ_FOR_DEPARTMENT;
    if (asker->recipient.n && who->permissions)
        who->permissions = MAY_READ_RECORDS;
    who->actor = arena_str(&inner->arena, asker->actor);
    who->recipient = arena_str(&inner->arena, asker->recipient);
    who->hash = hash64(who->actor);
    who->person = true;
    inner->principal = who;
    if (body.n)
        http_call_add_header(inner, "Content-Type", STR("application/json"));
    http_dispatch(api_app(api_of(call)), inner);
    return inner;
}
