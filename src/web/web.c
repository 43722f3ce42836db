/* web.c - the routes, and what all pages share. */
#include "web/web.h"

#include <stdlib.h>
#include <string.h>

#include "api/receipt_page.h"
#include "web/console.h"

#define GET_PAGE(path, function)                                                                   \
    {                                                                                              \
        .method = "GET", .pattern = (path), .handler = (function), .open = true                    \
    }
#define POST_FORM(path, function)                                                                  \
    {                                                                                              \
        .method = "POST", .pattern = (path), .handler = (function), .open = true,                  \
        .body_max = WEB_FORM_MAX, .raw = true                                                      \
    }

/* Of the console: `permission` is what the role of whoever sits there must have. */
#define DESK_PAGE(path, function, permission)                                                      \
    {                                                                                              \
        .method = "GET", .pattern = (path), .handler = (function), .open = true,                   \
        .allow = (permission)                                                                      \
    }
#define DESK_FORM(path, function, permission)                                                      \
    {                                                                                              \
        .method = "POST", .pattern = (path), .handler = (function), .open = true,                  \
        .allow = (permission), .body_max = WEB_FORM_MAX, .raw = true                               \
    }

#define DESK_UPLOAD(path, function, permission)                                                    \
    {                                                                                              \
        .method = "POST", .pattern = (path), .handler = (function), .open = true,                  \
        .allow = (permission), .body_max = WEB_UPLOAD_MAX, .raw = true                             \
    }

static const struct http_route routes[] = {
    GET_PAGE("/portal", overview_get),
    GET_PAGE("/portal/assets/{name}", assets_get),
    GET_PAGE("/portal/language/{language}", language_set),
    GET_PAGE("/portal/sign-in", sign_page),
    POST_FORM("/portal/sign-in", sign_in),
    POST_FORM("/portal/sign-in/passkey", sign_in_passkey),
    GET_PAGE("/portal/provider", provider_go),
    GET_PAGE("/portal/provider/back", provider_back),
    POST_FORM("/portal/sign-out", sign_out),
    GET_PAGE("/portal/welcome/{token}", welcome_page),
    POST_FORM("/portal/welcome/{token}", welcome_post),
    GET_PAGE("/portal/prove", prove_page),
    POST_FORM("/portal/prove", prove_post),
    GET_PAGE("/portal/choices", choices_get),
    GET_PAGE("/portal/choices/{activity}", choice_get),
    {.method = "POST",
     .pattern = "/portal/choices/{activity}",
     .handler = choices_post,
     .open = true,
     .body_max = WEB_FORM_MAX,
     .raw = true,
     .last_to_shed = true},
    GET_PAGE("/portal/activity", activity_get),
    GET_PAGE("/portal/activity/export", activity_export),
    GET_PAGE("/portal/activity/stream", streams_get),
    GET_PAGE("/portal/activity/{event}/complaint", complaint_page),
    POST_FORM("/portal/activity/{event}/complaint", complaint_post),
    GET_PAGE("/portal/why/{event}", why_get),
    GET_PAGE("/portal/data", data_get),
    POST_FORM("/portal/data/issues/{issue}", data_settle),
    GET_PAGE("/portal/requests", requests_page),
    POST_FORM("/portal/requests/{request}/withdraw", request_withdraw),
    GET_PAGE("/portal/requests/{request}/file", request_file),
    GET_PAGE("/portal/ask/{right}", ask_page),
    POST_FORM("/portal/ask/{right}", ask_post),
    GET_PAGE("/portal/receipts", receipts_get),
    GET_PAGE("/portal/receipts/{consent}", receipt_get),
    GET_PAGE("/portal/receipts/{consent}/file", receipt_file),
    GET_PAGE("/portal/receipts/{consent}/print", receipt_print),
    GET_PAGE("/portal/policies", policies_get),
    GET_PAGE("/portal/policies/{notice}", policies_version),
    GET_PAGE("/portal/messages", messages_get),
    GET_PAGE("/portal/messages/{message}", message_get_page),
    POST_FORM("/portal/messages/read", messages_read),
    POST_FORM("/portal/messages/settings", messages_settings),
    POST_FORM("/portal/messages/{message}/unread", message_unread_again),
    GET_PAGE("/portal/apps", apps_get),
    GET_PAGE("/portal/account", account_get_page),
    POST_FORM("/portal/account/sessions/{session}/end", account_end_session),
    POST_FORM("/portal/account/sessions/end-others", account_end_others),
    POST_FORM("/portal/account/act", account_act),
    POST_FORM("/portal/account/passkeys", passkey_make),
    POST_FORM("/portal/account/passkeys/{passkey}/end", passkey_remove),
    GET_PAGE("/portal/{rest...}", page_missing),

    GET_PAGE("/console/language/{language}", console_language),
    GET_PAGE("/console/sign-in", console_sign_page),
    POST_FORM("/console/sign-in", console_sign_in),
    GET_PAGE("/console/second", console_second_page),
    POST_FORM("/console/second", console_second),
    POST_FORM("/console/sign-out", console_sign_out),
    GET_PAGE("/console/welcome/{token}", console_welcome_page),
    POST_FORM("/console/welcome/{token}", console_welcome),
    DESK_PAGE("/console/account", console_account, MAY_USE_CONSOLE),
    DESK_FORM("/console/account/sessions/{session}/end", console_end_session, MAY_USE_CONSOLE),
    DESK_FORM("/console/account/sessions/end-others", console_end_others, MAY_USE_CONSOLE),
    DESK_FORM("/console/account/passkeys", console_passkey_make, MAY_USE_CONSOLE),
    DESK_FORM("/console/account/passkeys/{passkey}/end", console_passkey_end, MAY_USE_CONSOLE),
    DESK_FORM("/console/role", console_role, MAY_USE_CONSOLE),
    DESK_PAGE("/console/policy", console_policy, MAY_READ_POLICY),
    DESK_PAGE("/console/policy/files", console_policy_files, MAY_READ_POLICY),
    DESK_PAGE("/console/policy/propose", console_propose_page, MAY_WRITE_POLICY),
    DESK_UPLOAD("/console/policy/propose", console_propose, MAY_WRITE_POLICY),
    DESK_PAGE("/console/policy/proposals/{proposal}", console_proposal, MAY_READ_PROPOSALS),
    DESK_FORM("/console/policy/proposals/{proposal}/approve", console_approve, MAY_WRITE_POLICY),
    DESK_FORM("/console/policy/proposals/{proposal}/reject", console_reject, MAY_WRITE_POLICY),
    DESK_PAGE("/console/reads", console_reads, MAY_READ_PROPOSALS),
    DESK_FORM("/console/reads", console_read_propose, MAY_READ_RECORDS),
    DESK_PAGE("/console/reads/{read}", console_read, MAY_READ_PROPOSALS),
    DESK_FORM("/console/reads/{read}/approve", console_read_approve, MAY_APPROVE_READS),
    DESK_FORM("/console/reads/{read}/reject", console_read_reject, MAY_APPROVE_READS),
    DESK_FORM("/console/reads/{read}/file", console_read_file, MAY_READ_RECORDS),
    DESK_PAGE("/console/requests", console_requests, MAY_READ_REQUESTS),
    DESK_FORM("/console/requests", console_request_open, MAY_OPEN_REQUESTS),
    DESK_PAGE("/console/requests/{request}", console_request, MAY_READ_REQUESTS),
    DESK_FORM("/console/requests/{request}/{step}", console_request_step, MAY_WRITE_REQUESTS),
    DESK_PAGE("/console/recipients", console_recipients, MAY_READ_EVENTS),
    DESK_PAGE("/console/recipients/{recipient}", console_recipient, MAY_READ_EVENTS),
    DESK_PAGE("/console/consumers", console_consumers, MAY_READ_CONSUMERS),
    DESK_FORM("/console/consumers", console_look, MAY_READ_CONSUMERS),
    DESK_PAGE("/console/log", console_log, MAY_READ_EVENTS),
    DESK_FORM("/console/log", console_log_search, MAY_READ_EVENTS),
    DESK_FORM("/console/log/export", console_log_export, MAY_READ_EVENTS),
    DESK_PAGE("/console/log/{event}", console_log_event, MAY_READ_EVENTS),
    DESK_PAGE("/console/reports", console_reports, MAY_READ_EVENTS | MAY_READ_REQUESTS),
    DESK_PAGE("/console/reports/{report}", console_report, MAY_READ_EVENTS | MAY_READ_REQUESTS),
    DESK_PAGE("/console/staff", console_staff, MAY_MANAGE_STAFF),
    DESK_FORM("/console/staff", console_invite, MAY_MANAGE_STAFF),
    DESK_PAGE("/console/staff/{staff}", console_member, MAY_MANAGE_STAFF),
    DESK_FORM("/console/staff/{staff}/change", console_member_change, MAY_MANAGE_STAFF),
    DESK_FORM("/console/staff/{staff}/link", console_member_link, MAY_MANAGE_STAFF),
    DESK_FORM("/console/staff/{staff}/disable", console_member_disable, MAY_MANAGE_STAFF),
    DESK_PAGE("/console", console_today, MAY_USE_CONSOLE),
    DESK_PAGE("/console/{rest...}", console_missing, MAY_USE_CONSOLE),
};

const struct http_route *web_routes(size_t *count)
{
    *count = sizeof routes / sizeof *routes;
    return routes;
}

static const struct embedded *find_file(struct str name)
{
    for (size_t i = 0; i < embedded_web_count; i++)
        if (str_is(name, embedded_web[i].name))
            return &embedded_web[i];
    return NULL;
}

static json_t *read_words(const struct embedded *file)
{
    struct err err = {0};
    json_t *json = NULL;
    if (json_read((struct str){file->text, file->size}, &json, &err))
        bug("web/%s: %s", file->name, err.text);
    return json;
}

/* Every file portal.<language>.json is a language; console.<language>.json has what the console
 * says beside that. */
static void load_words(struct web *web)
{
    struct str prefix = STR("portal."), suffix = STR(".json");
    for (size_t i = 0; i < embedded_web_count; i++) {
        struct str name = str_of(embedded_web[i].name);
        _cleanup_buf struct buf console = {0};
        if (!str_starts(name, prefix) || !str_ends(name, suffix))
            continue;
        if (web->word_count == WEB_LANGUAGES)
            bug("more than %d languages", (int)WEB_LANGUAGES);
        struct words *w = &web->words[web->word_count++];
        w->language = (struct str){name.p + prefix.n, name.n - prefix.n - suffix.n};
        w->json = read_words(&embedded_web[i]);
        w->console = json_copy(w->json);
        buf_printf(&console, "console.%.*s.json", STR_ARG(w->language));
        const struct embedded *file = find_file(buf_view(&console));
        json_t *own = file ? read_words(file) : NULL;
        json_object_update(w->console, own);
        json_decref(own);
    }
}

int web_open(struct engine *e, const struct web_options *options, struct web **out, struct err *err)
{
    /* Attempts to sign in: of one name, and from one address, behind which many may sit. */
    enum { NAME_TRIES = 20, ADDRESS_TRIES = 300, TRIES_SECONDS = 300 };
    /* More than anybody who serves one person after the other needs. */
    enum { LOOKS = 60, LOOKS_SECONDS = 600 };
    (void)err;
    struct web *web = mem_zero(sizeof *web);
    web->engine = e;
    web->secure = options && options->secure;
    web->mail = options && options->mail;
    web->csrf_key = identity_secret(engine_identity(e), "forms");
    load_words(web);
    web->by_name = limiter_new(NAME_TRIES, TRIES_SECONDS);
    web->by_address = limiter_new(ADDRESS_TRIES, TRIES_SECONDS);
    web->looks = limiter_new(LOOKS, LOOKS_SECONDS);
    web->hasher = worker_new("lov-password");
    if (options && options->provider)
        web->provider = provider_new(options->provider, engine_identity(e));
    web->streams = streams_new(e);
    web->challenges = challenges_new();
    if (options && options->base_url)
        web->base_url = str_of(str_dup(str_of(options->base_url)));
    if (options && options->training_url)
        web->training_url = str_of(str_dup(str_of(options->training_url)));
    while (web->base_url.n && web->base_url.p[web->base_url.n - 1] == '/')
        web->base_url.n--;
    *out = web;
    return 0;
}

struct str web_word(void *ctx, struct str language, const char *name)
{
    const struct web *web = ctx;
    const json_t *word = NULL;
    for (size_t i = 0; i < web->word_count; i++)
        if (str_eq(web->words[i].language, language))
            word = json_object_get(web->words[i].json, name);
    for (size_t i = 0; !word && i < web->word_count; i++)
        if (str_is(web->words[i].language, "en"))
            word = json_object_get(web->words[i].json, name);
    return word ? json_text(word) : str_of(name);
}

void web_stop_streams(struct web *web)
{
    streams_stop(web->streams);
}

void web_close(struct web *web)
{
    if (!web)
        return;
    streams_free(web->streams);
    challenges_free(web->challenges);
    free((char *)web->base_url.p);
    free((char *)web->training_url.p);
    worker_free(web->hasher);
    provider_free(web->provider);
    limiter_free(web->by_name);
    limiter_free(web->by_address);
    limiter_free(web->looks);
    for (size_t i = 0; i < web->word_count; i++) {
        json_decref(web->words[i].json);
        json_decref(web->words[i].console);
    }
    secret_wipe(&web->csrf_key);
    free(web);
}
