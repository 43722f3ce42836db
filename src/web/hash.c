/* hash.c - passwords, which take their time and a thread of their own, and what signing in to the
 * portal and to the console have in common. */
#include <string.h>

#include "base/hash.h"
#include "base/password.h"
#include "web/private.h"

/* ---- passwords ---- */

static void run_hash(struct job *job)
{
    struct hash_job *h = (struct hash_job *)job;
    _cleanup_buf struct buf hash = {0};
    if (!h->make) {
        h->fits = password_fits(h->password, h->hash);
        return;
    }
    h->fits = password_hash(h->password, &hash);
    h->hash = arena_str(h->arena, buf_view(&hash));
}

int hash_later(struct visit *v, struct hash_job *job, void *work, http_handler *then)
{
    job->job = (struct job){.call = v->call, .run = run_hash};
    job->arena = v->arena;
    v->call->work = work;
    v->call->then = then;
    if (worker_submit(v->web->hasher, &job->job))
        return HTTP_LATER;
    v->call->then = NULL;
    return visit_trouble(v, 503, "oops_busy");
}

const char *judge_account(struct http_call *call, size_t name_max, struct str *name,
                          struct hash_job *job)
{
    struct str again = {0};
    if (!http_form(call, "name", name_max, name) || str_trim(*name).n == 0 ||
        !str_no_controls(*name, false))
        return "welcome_name";
    if (!http_form(call, "password", PASSWORD_MOST, &job->password) ||
        job->password.n < PASSWORD_LEAST)
        return "welcome_short";
    if (!http_form(call, "again", PASSWORD_MOST, &again) || !str_eq(again, job->password))
        return "welcome_differ";
    *name = str_trim(*name);
    return str_eq(*name, job->password) ? "welcome_same" : NULL;
}

/* ---- how often ---- */

bool may_try(struct visit *v, struct str name)
{
    int64_t now = clock_monotonic();
    uint64_t peer = http_peer(v->call);
    struct sha256 hash = sha256_of(name);
    uint64_t key;
    memcpy(&key, hash.b, sizeof key);
    if (limiter_take(v->web->by_name, key, now) == 0 &&
        (!peer || limiter_take(v->web->by_address, peer, now) == 0))
        return true;
    http_answer_header(v->call, "Retry-After", STR("60"));
    return false;
}

/* ---- the browser, in a few words ---- */

static const char *named(struct str agent, const char *const *table, size_t count)
{
    for (size_t i = 0; i < count; i += 2)
        if (memmem(agent.p, agent.n, table[i], strlen(table[i])))
            return table[i + 1];
    return "";
}

struct str device_of(struct http_call *call)
{
    static const char *const browsers[] = {"Firefox", "Firefox", "Edg",   "Edge",
                                           "OPR",     "Opera",   "Chrom", "Chrome",
                                           "Safari",  "Safari",  "curl",  "curl"};
    static const char *const systems[] = {"Android",   "Android", "iPhone",  "iPhone",
                                          "iPad",      "iPad",    "Windows", "Windows",
                                          "Macintosh", "macOS",   "Linux",   "Linux"};
    struct str agent = http_header(call, "User-Agent");
    if (!agent.n)
        return (struct str){0};
    const char *b = named(agent, browsers, 12), *s = named(agent, systems, 12);
    return arena_printf(&call->arena, "%s%s%s", b, *b && *s ? ", " : "", s);
}
