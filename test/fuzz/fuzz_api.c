/* fuzz_api.c - any body to any route that takes one, on a real engine. The first byte picks route
 * and caller, the rest is the body. No body may bring an answer that is not JSON, or a 500; and the
 * reader of plain questions may accept nothing but what the general one reads the same. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/authzen.h"
#include "base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct {
    const char *method, *target;
} targets[] = {
    {"POST", "/v1/consents"},
    {"POST", "/v1/consents/batch"},
    {"POST", "/v1/consents/%s/withdraw"},
    {"POST", "/v1/consents/%s/renew"},
    {"POST", "/v1/consents/%s/amend"},
    {"PUT", "/v1/consumers/00001"},
    {"POST", "/v1/consumers/00002/erase"},
    {"POST", "/v1/policy"},
    {"POST", "/v1/policy/check"},
    {"POST", "/v1/policy/diff"},
    {"POST", "/v1/accesses"},
    {"POST", "/access/v1/evaluation"},
    {"POST", "/access/v1/evaluations"},
    {"POST", "/access/v1/search/subject"},
    {"POST", "/access/v1/search/resource"},
    {"POST", "/access/v1/search/action"},
    {"POST", "/v1/keys"},
    {"POST", "/v1/consumers/00003/records/purchases"},
    {"POST", "/v1/consumers/00003/records/contact"},
    {"PUT", "/v1/consumers/00003/records/browsing/%s"},
    {"POST", "/v1/aggregates"},
    {"POST", "/v1/records/change"},
    {"POST", "/v1/records/delete"},
    {"POST", "/v1/reads"},
    {"POST", "/v1/requests"},
    {"POST", "/v1/consumers/00003/holds"},
    {"POST", "/v1/consumers/00003/signals"},
};
enum { TARGETS = sizeof targets / sizeof *targets };

struct world {
    char dir[64], consent[33], key[80];
    struct log log;
    struct engine *e;
    struct api *api;
};

static void check(int rc, const struct err *err)
{
    if (rc)
        bug("the fuzzer's engine: %s", err->text);
}

static struct http_call *send_body(struct world *w, const char *method, const char *target,
                                   const char *key, struct str body)
{
    struct http_call *call = http_call_new(method, target, body);
    http_call_add_header(call, "Content-Type", STR("application/json"));
    if (key)
        http_call_add_header(call, "Authorization", str_of(key));
    http_dispatch(api_app(w->api), call);
    return call;
}

static void keep_member(struct world *w, const char *target, const char *body, const char *member,
                        const char *format, char *out, size_t n)
{
    struct http_call *call = send_body(w, "POST", target, NULL, str_of(body));
    json_t *json = NULL;
    struct err err = {0};
    check(json_read(buf_view(&call->out), &json, &err), &err);
    const char *text = json_string_value(json_object_get(json, member));
    if (!text)
        bug("%s: %s", target, call->out.p);
    snprintf(out, n, "%s%s", format, text);
    json_decref(json);
    http_call_free(call);
}

static void apply_policy(struct world *w)
{
    struct err err = {0};
    struct policy_bundle bundle = {0};
    _cleanup_arena struct arena arena = {0};
    const char *dir = getenv("LOV_POLICY");
    check(policy_bundle_read(dir ? dir : "policy", &bundle, &err), &err);
    struct engine_write write = {
        .kind = WRITE_POLICY, .actor = STR("fuzz"), .arena = &arena, .bundle = &bundle};
    check(engine_run(w->e, &write, &err), &err);
    policy_unref(write.policy);
    policy_findings_free(&write.findings);
    policy_bundle_free(&bundle);
}

static struct world *world_new(void)
{
    static struct world w;
    struct err err = {0};
    w = (struct world){0};
    /* In memory where there is such a folder: a fuzzer needs no durable writes. */
    snprintf(w.dir, sizeof w.dir, "%s/lov-fuzz-XXXXXX",
             access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
    if (!mkdtemp(w.dir))
        bug("no folder for the fuzzer");
    w.log = (struct log){.fd = STDERR_FILENO, .level = LOG_ERROR};
    check(engine_init(w.dir, &err), &err);
    check(engine_open(w.dir, &w.log, &w.e, &err), &err);
    check(api_open(w.e, NULL, &w.api, &err), &err);
    apply_policy(&w);
    keep_member(&w, "/v1/consents",
                "{\"consumer\":\"00001\",\"purpose\":\"personal_offers\","
                "\"recipient\":\"marketing\",\"categories\":[\"purchases\"],"
                "\"decision\":\"give\",\"notice\":{\"id\":\"personal_offers\",\"version\":1,"
                "\"language\":\"en\"},\"channel\":\"web\"}",
                "id", "", w.consent, sizeof w.consent);
    keep_member(&w, "/v1/keys", "{\"recipient\":\"marketing\"}", "key", "Bearer ", w.key,
                sizeof w.key);
    return &w;
}

static struct world *world;

static void world_end(void)
{
    char command[96];
    if (!world)
        return;
    api_close(world->api);
    engine_close(world->e);
    snprintf(command, sizeof command, "rm -rf %s", world->dir);
    if (system(command))
        fprintf(stderr, "%s is left over\n", world->dir);
    world = NULL;
}

/* A world is used up after a while, so that a long run does not fill the memory with its ledger. */
static void world_ready(void)
{
    enum { RUNS = 50000 };
    static unsigned runs;
    if (runs % RUNS == 0) {
        world_end();
        world = world_new();
    }
    /* After OpenSSL's own handler was registered by its first use, so that ours runs before it. */
    if (runs++ == 0)
        atexit(world_end);
}

static void check_answer(const struct http_call *call)
{
    json_t *json = NULL;
    struct err err = {0};
    if (call->status < 200 || call->status >= 504 || call->status == 500)
        bug("status %d: %s", call->status, call->out.p);
    if (json_read(buf_view(&call->out), &json, &err))
        bug("an answer is not JSON: %s", err.text);
    json_decref(json);
}

static void check_text(const json_t *json, const char *object, const char *name, struct str text)
{
    const json_t *value = json_object_get(json_object_get(json, object), name);
    if (!json_is_string(value) || !str_eq(json_text(value), text))
        bug("%s.%s is read in two ways", object, name);
}

static void check_plain(struct str body)
{
    struct plain_question plain;
    struct err err = {0};
    json_t *json = NULL;
    if (!plain_question_read(body, &plain))
        return;
    if (json_read(body, &json, &err))
        bug("a plain question is not JSON: %s", err.text);
    check_text(json, "subject", "type", plain.subject_type);
    check_text(json, "subject", "id", plain.recipient);
    check_text(json, "action", "name", plain.purpose);
    check_text(json, "resource", "type", plain.category);
    check_text(json, "resource", "id", plain.consumer);
    json_decref(json);
}

/* The member of an item, or else the default. */
static const json_t *either(const json_t *item, const json_t *defaults, const char *entity,
                            const char *name)
{
    const json_t *of = json_object_get(item, entity);
    return json_object_get(of ? of : json_object_get(defaults, entity), name);
}

static void check_item(const json_t *item, const json_t *defaults, const struct plain_question *q)
{
    if (!str_eq(json_text(either(item, defaults, "subject", "type")), q->subject_type) ||
        !str_eq(json_text(either(item, defaults, "subject", "id")), q->recipient) ||
        !str_eq(json_text(either(item, defaults, "action", "name")), q->purpose) ||
        !str_eq(json_text(either(item, defaults, "resource", "type")), q->category) ||
        !str_eq(json_text(either(item, defaults, "resource", "id")), q->consumer) ||
        json_is_true(either(item, defaults, "context", "record")) != q->record)
        bug("an item of a list is read in two ways");
}

static void check_list(struct str body)
{
    struct plain_list plain;
    struct err err = {0};
    json_t *json = NULL;
    _cleanup_arena struct arena arena = {0};
    if (!plain_list_read(body, &arena, &plain))
        return;
    if (json_read(body, &json, &err))
        bug("a plain list is not JSON: %s", err.text);
    const json_t *list = json_object_get(json, "evaluations");
    if (json_array_size(list) != plain.count || plain.count > BATCH_MAX)
        bug("a plain list has %zu items", plain.count);
    for (size_t i = 0; i < plain.count; i++)
        check_item(json_array_get(list, i), json, &plain.items[i]);
    json_decref(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char target[96];
    if (!size)
        return 0;
    world_ready();
    check_plain((struct str){(const char *)data + 1, size - 1});
    check_list((struct str){(const char *)data + 1, size - 1});
    size_t pick = data[0] % TARGETS;
    bool recipient = data[0] / TARGETS % 2;
    const char *hole = strstr(targets[pick].target, "%s");
    snprintf(target, sizeof target, "%.*s%s%s",
             hole ? (int)(hole - targets[pick].target) : (int)strlen(targets[pick].target),
             targets[pick].target, hole ? world->consent : "", hole ? hole + 2 : "");
    struct http_call *call =
        send_body(world, targets[pick].method, target, recipient ? world->key : NULL,
                  (struct str){(const char *)data + 1, size - 1});
    check_answer(call);
    http_call_free(call);
    return 0;
}
