/*
 * test_api_fixture.h - the HTTP interface of a real engine in a folder of its own, with the demo
 * company's policy in force, called in-process.
 */
#ifndef LOV_TEST_API_FIXTURE_H
#define LOV_TEST_API_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include <cmocka.h>

#include "api/api.h"
#include "base/file.h"
#include "base/json.h"

struct world {
    char dir[64];
    struct log log;
    struct engine *e;
    struct api *api;
};

static inline void world_policy(struct world *w)
{
    struct err err = {0};
    struct policy_bundle bundle = {0};
    _cleanup_arena struct arena arena = {0};
    const char *dir = getenv("LOV_POLICY");
    assert_int_equal(policy_bundle_read(dir ? dir : "policy", &bundle, &err), 0);
    struct engine_write write = {
        .kind = WRITE_POLICY, .actor = STR("test"), .arena = &arena, .bundle = &bundle};
    if (engine_run(w->e, &write, &err))
        fail_msg("%s", err.text);
    policy_unref(write.policy);
    policy_findings_free(&write.findings);
    policy_bundle_free(&bundle);
}

static inline void world_open(struct world *w)
{
    struct err err = {0};
    if (engine_open(w->dir, &w->log, &w->e, &err) || api_open(w->e, NULL, &w->api, &err))
        fail_msg("%s", err.text);
}

static inline void world_close(struct world *w)
{
    api_close(w->api);
    engine_close(w->e);
}

static inline int world_bare(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    struct err err = {0};
    snprintf(w->dir, sizeof w->dir, "/tmp/lov-api-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    w->log = (struct log){.fd = STDERR_FILENO, .level = LOG_ERROR};
    if (engine_init(w->dir, &err))
        fail_msg("%s", err.text);
    world_open(w);
    *state = w;
    return 0;
}

static inline int world_begin(void **state)
{
    world_bare(state);
    world_policy(*state);
    return 0;
}

static inline int world_end(void **state)
{
    struct world *w = *state;
    char command[128];
    world_close(w);
    snprintf(command, sizeof command, "rm -rf %s", w->dir);
    int rc = system(command);
    free(w);
    return rc;
}

/* What came back; `json` is NULL where it is none. */
struct answer {
    int status;
    json_t *json;
    char location[128], text[256];
    bool replayed;
};

static inline void answer_free(struct answer *a)
{
    json_decref(a->json);
    a->json = NULL;
}
#define _cleanup_answer __attribute__((cleanup(answer_free)))

struct call_options {
    const char *key;         /* API key; NULL: the operator */
    const char *idempotency; /* Idempotency-Key */
    const char *type;        /* Content-Type; NULL: application/json */
};

static inline void copy_header(const struct http_call *call, const char *name, char *out, size_t n)
{
    for (const struct http_header *h = call->out_headers; h; h = h->next)
        if (strncasecmp(h->name.p, name, h->name.n) == 0)
            snprintf(out, n, "%.*s", STR_ARG(h->value));
}

static inline struct answer ask_with(struct world *w, const struct call_options *options,
                                     const char *method, const char *target, struct str body)
{
    struct http_call *call = http_call_new(method, target, body);
    struct answer a = {0};
    char replayed[8] = "", authorization[256];
    http_call_add_header(call, "Content-Type",
                         str_of(options->type ? options->type : "application/json"));
    if (options->key) {
        snprintf(authorization, sizeof authorization, "Bearer %s", options->key);
        http_call_add_header(call, "Authorization", str_of(authorization));
    }
    if (options->idempotency)
        http_call_add_header(call, "Idempotency-Key", str_of(options->idempotency));
    http_dispatch(api_app(w->api), call);
    a.status = call->status;
    copy_header(call, "Location", a.location, sizeof a.location);
    copy_header(call, "Idempotency-Replayed", replayed, sizeof replayed);
    a.replayed = strcmp(replayed, "true") == 0;
    snprintf(a.text, sizeof a.text, "%.*s", STR_ARG(buf_view(&call->out)));
    a.json = json_loadb(call->out.p ? call->out.p : "", call->out.n, 0, NULL);
    http_call_free(call);
    return a;
}

static inline struct answer ask(struct world *w, const char *key, const char *method,
                                const char *target, const char *body)
{
    struct call_options options = {.key = key};
    return ask_with(w, &options, method, target, str_of(body));
}

/* The text at a path such as "context.reason" or "items.0.id"; "" where there is none. */
static inline const json_t *at(const json_t *json, const char *path)
{
    char name[64];
    while (*path && json) {
        size_t n = strcspn(path, ".");
        snprintf(name, sizeof name, "%.*s", (int)n, path);
        json = json_is_array(json) ? json_array_get(json, (size_t)atoi(name))
                                   : json_object_get(json, name);
        path += n + (path[n] == '.');
    }
    return json;
}

static inline const char *text_at(const struct answer *a, const char *path)
{
    const char *text = json_string_value(at(a->json, path));
    return text ? text : "";
}

#define assert_status(a, expected)                                                                 \
    do {                                                                                           \
        if ((a).status != (expected))                                                              \
            fail_msg("status %d, not %d: %s", (a).status, (expected), (a).text);                   \
    } while (0)
#define assert_reason(a, expected)                                                                 \
    do {                                                                                           \
        if (strcmp(text_at(&(a), "reason"), (expected)) != 0)                                      \
            fail_msg("reason %s, not %s: %s", text_at(&(a), "reason"), (expected), (a).text);      \
    } while (0)

#define GIVE(consumer)                                                                             \
    "{\"consumer\":\"" consumer "\",\"purpose\":\"personal_offers\","                              \
    "\"recipient\":\"marketing\",\"categories\":[\"purchases\",\"profile\"],"                      \
    "\"decision\":\"give\",\"notice\":{\"id\":\"personal_offers\",\"version\":1,"                  \
    "\"language\":\"sv\"},\"channel\":\"web\",\"evidence\":{\"form\":\"checkout\"}}"

#define QUESTION(consumer, category)                                                               \
    "{\"subject\":{\"type\":\"recipient\",\"id\":\"marketing\"},"                                  \
    "\"action\":{\"name\":\"personal_offers\"},"                                                   \
    "\"resource\":{\"type\":\"" category "\",\"id\":\"" consumer "\"}}"

/* Gives a consent and returns its id. */
static inline void give(struct world *w, const char *body, char id[33])
{
    _cleanup_answer struct answer a = ask(w, NULL, "POST", "/v1/consents", body);
    assert_status(a, 201);
    snprintf(id, 33, "%s", text_at(&a, "id"));
}

/* Makes a key and returns its text and id. */
static inline void make_key(struct world *w, const char *body, char key[80], char id[20])
{
    _cleanup_answer struct answer a = ask(w, NULL, "POST", "/v1/keys", body);
    assert_status(a, 201);
    snprintf(key, 80, "%s", text_at(&a, "key"));
    if (id)
        snprintf(id, 20, "%s", text_at(&a, "id"));
}

#endif
