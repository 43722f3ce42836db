/* receipt_words.c - holds what a receipt says in words against the event that it carries. What the
 * event decides must be there as the event has it: members, their types and names, and the context
 * that gives them their meaning. What is the company's own word (labels, laws, contacts) is not
 * looked at here; but nothing else may be said of what the event decides, or a second purpose could
 * stand beside the first. Links no database. */
#include <string.h>

#include "base/clock.h"
#include "consent/receipt_private.h"
#include "consent/state.h"

const char receipt_context[] =
    "{\"dct\":\"http://purl.org/dc/terms/\",\"dpv\":\"https://w3id.org/dpv#\","
    "\"loc\":\"https://w3id.org/dpv/loc#\",\"pd\":\"https://w3id.org/dpv/pd#\",\"rdf\":\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\","
    "\"schema\":\"https://schema.org/\",\"skos\":\"http://www.w3.org/2004/02/skos/core#\","
    "\"xsd\":\"http://www.w3.org/2001/XMLSchema#\",\"lov\":\"urn:lov:terms:\","
    "\"dct:title\":{\"@container\":\"@language\"},"
    "\"dct:description\":{\"@container\":\"@language\"},"
    "\"dct:conformsTo\":{\"@type\":\"@id\"},"
    "\"dct:created\":{\"@type\":\"xsd:dateTime\"},\"dct:modified\":{\"@type\":\"xsd:dateTime\"},"
    "\"dpv:hasLegalBasis\":{\"@type\":\"@id\"},\"dpv:hasProcessing\":{\"@type\":\"@id\"},"
    "\"dpv:hasJurisdiction\":{\"@type\":\"@id\"},"
    "\"dpv:isIndicatedBy\":{\"@type\":\"@id\"},"
    "\"dpv:isIndicatedAtTime\":{\"@type\":\"xsd:dateTime\"},"
    "\"lov:expires\":{\"@type\":\"xsd:dateTime\"},\"skos:broader\":{\"@type\":\"@id\"},"
    "\"consumer\":\"lov:consumer\",\"personal\":\"lov:personal\",\"proof\":\"lov:proof\","
    "\"checkpoint\":\"lov:checkpoint\",\"event\":\"lov:encoding\",\"leaf\":\"lov:leaf\","
    "\"hashes\":{\"@id\":\"lov:hashes\",\"@container\":\"@list\"},\"seq\":\"lov:seq\","
    "\"shard\":\"lov:shard\",\"size\":\"lov:size\",\"signature\":\"lov:signature\"}";

/* ---- terms ---- */

static const struct {
    const char *kind, *status;
} kinds[] = {
    {"consent.give", "dpv:ConsentGiven"},         {"consent.refuse", "dpv:ConsentRefused"},
    {"consent.withdraw", "dpv:ConsentWithdrawn"}, {"consent.renew", "dpv:RenewedConsentGiven"},
    {"consent.amend", "dpv:ConsentGiven"},        {"consent.expire", "dpv:ConsentExpired"},
};

const char *receipt_status(struct str kind)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (str_is(kind, kinds[i].kind))
            return kinds[i].status;
    return NULL;
}

const char *receipt_indicated_by(struct str kind, bool by_guardian)
{
    if (str_is(kind, "consent.expire"))
        return NULL;
    return by_guardian ? "dpv:GuardianOfDataSubject" : "dpv:DataSubject";
}

const char *receipt_duration(bool ends)
{
    return ends ? "dpv:UntilTimeDuration" : "dpv:UntilEventDuration";
}

bool receipt_until(const struct consent *c, struct buf *out)
{
    bool ends = c->status == CONSENT_ACTIVE && c->expires_at != TIME_NONE;
    if (ends)
        time_format(c->expires_at, out);
    else
        buf_cstr(out, c->status == CONSENT_ACTIVE ? "withdrawal" : "a new answer");
    return ends;
}

const json_t *receipt_member(const json_t *json, const char *const *path)
{
    for (; json && *path; path++)
        json = json_object_get(json, *path);
    return json;
}

/* ---- what may be said ---- */

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})
#define PATH LIST
#define PROCESS "dpv:hasRecordOfActivity", "dpv:hasProcess"
#define STATUS "dpv:hasRecordOfActivity", "dpv:hasConsentStatus"
#define NOTICE "dpv:hasRecordOfActivity", "dpv:hasNotice"

struct shape {
    const char *what;
    const char *const *path, *const *members;
};
static const struct shape shapes[] = {
    {"the receipt", PATH(NULL),
     LIST("@context", "@id", "@type", "dct:conformsTo", "dct:identifier", "dpv:hasIdentifier",
          "dct:created", "dct:publisher", "dpv:hasRecordOfActivity", "consumer", "personal",
          "proof")},
    {"the record", PATH("dpv:hasRecordOfActivity"),
     LIST("@id", "@type", "dct:conformsTo", "dct:identifier", "dpv:hasIdentifier", "dct:created",
          "dct:modified", "dpv:hasDataSubject", "dpv:hasDataController", "dpv:hasConsentStatus",
          "dpv:hasProcess", "dpv:hasNotice", "dpv:hasConsentControl")},
    {"the consumer", PATH("dpv:hasRecordOfActivity", "dpv:hasDataSubject"),
     LIST("@id", "@type", "dct:identifier", "dpv:hasIdentifier")},
    {"what happened", PATH(STATUS),
     LIST("@type", "lov:event", "lov:status", "dpv:isIndicatedBy", "dpv:hasIndicationMethod",
          "dpv:isIndicatedAtTime", "lov:expires", "dpv:hasDuration")},
    {"how long it holds", PATH(STATUS, "dpv:hasDuration"), LIST("@type", "rdf:value")},
    {"the process", PATH(PROCESS),
     LIST("@type", "dpv:hasPurpose", "dpv:hasRecipient", "dpv:hasPersonalData", "lov:narrowed",
          "dpv:hasProcessing", "dpv:hasLegalBasis", "dpv:hasStorageCondition",
          "dpv:hasJurisdiction", "dpv:hasRight")},
    {"the purpose", PATH(PROCESS, "dpv:hasPurpose"),
     LIST("@id", "@type", "dct:identifier", "dct:title", "dct:description", "skos:broader")},
    {"the recipient", PATH(PROCESS, "dpv:hasRecipient"),
     LIST("@id", "@type", "dct:identifier", "dpv:hasIdentifier", "dct:title", "lov:kind")},
    {"the notice", PATH(NOTICE),
     LIST("@id", "@type", "dct:identifier", "schema:version", "dct:language", "lov:sha256",
          "lov:title", "lov:text")},
};
static const char *const category_members[] = {"@id",       "@type",        "dct:identifier",
                                               "dct:title", "skos:broader", NULL};

/* The first member of `json` that is none of `members`; NULL where there is none. */
static const char *stranger(const json_t *json, const char *const *members)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)json, name, value) {
        size_t i = 0;
        while (members[i] && strcmp(members[i], name) != 0)
            i++;
        if (!members[i])
            return name;
    }
    return NULL;
}

static const char *says_more(const json_t *receipt, struct arena *arena)
{
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const char *name = stranger(receipt_member(receipt, shapes[i].path), shapes[i].members);
        if (name)
            return arena_printf(arena, "\"%.60s\", which %s has,", name, shapes[i].what).p;
    }
    return NULL;
}

/* ---- what must be said ---- */

static bool says(const json_t *json, const char *const *path, struct str expected)
{
    const json_t *value = receipt_member(json, path);
    return json_is_string(value) && str_eq(json_text(value), expected);
}

static bool says_names(const json_t *list, const struct str *names, size_t count,
                       struct arena *arena)
{
    if (!json_is_array(list) || json_array_size(list) != count)
        return false;
    for (size_t i = 0; i < count; i++) {
        const json_t *item = json_array_get(list, i);
        if (!says(item, PATH("dct:identifier"), names[i]) ||
            !says(item, PATH("@id"),
                  arena_printf(arena, "urn:lov:category:%.*s", STR_ARG(names[i]))) ||
            stranger(item, category_members))
            return false;
    }
    return true;
}

static struct str text_of_time(struct arena *arena, int64_t t)
{
    _cleanup_buf struct buf text = {0};
    if (t != TIME_NONE)
        time_format(t, &text);
    return arena_str(arena, buf_view(&text));
}

static struct str text_of_bytes(struct arena *arena, const void *p, size_t n)
{
    _cleanup_buf struct buf text = {0};
    hex_encode(p, n, &text);
    return arena_str(arena, buf_view(&text));
}

struct told {
    const char *what;
    const char *const *path;
    struct str text;
};

static const char *first_untrue(const json_t *json, const struct told *told, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!says(json, told[i].path, told[i].text))
            return told[i].what;
    return NULL;
}
#define FIRST_UNTRUE(json, list) first_untrue(json, list, sizeof(list) / sizeof *(list))

/* The consent's number is the company's own: the same wherever it stands. */
static const char *wrong_name(const json_t *receipt, const struct ledger_event *e, struct arena *a)
{
    const json_t *id = receipt_member(receipt, PATH("dpv:hasRecordOfActivity", "dct:identifier"));
    struct str record = json_is_string(id) ? json_text(id) : (struct str){0};
    struct str own = arena_printf(a, "%.*s:%lld", STR_ARG(record), (long long)e->seq);
    const struct told told[] = {
        {"the receipt's type", PATH("@type"), STR("dpv:ConsentReceipt")},
        {"the receipt's schema", PATH("dct:conformsTo"), STR(RECEIPT_SCHEMA "receipt")},
        {"the receipt's number", PATH("dct:identifier"), own},
        {"the receipt's number", PATH("dpv:hasIdentifier"), own},
        {"the receipt's number", PATH("@id"),
         arena_printf(a, "urn:lov:receipt:%.*s", STR_ARG(own))},
        {"the record's type", PATH("dpv:hasRecordOfActivity", "@type"), STR("dpv:ConsentRecord")},
        {"the record's schema", PATH("dpv:hasRecordOfActivity", "dct:conformsTo"),
         STR(RECEIPT_SCHEMA "record")},
        {"the record's number", PATH("dpv:hasRecordOfActivity", "dpv:hasIdentifier"), record},
        {"the record's number", PATH("dpv:hasRecordOfActivity", "@id"),
         arena_printf(a, "urn:lov:consent:%.*s", STR_ARG(record))},
    };
    _cleanup_json json_t *context = NULL;
    if (json_read(str_of(receipt_context), &context, NULL))
        bug("the context of receipts is not JSON");
    if (!json_equal(context, json_object_get(receipt, "@context")))
        return "the meaning of its terms (@context)";
    return FIRST_UNTRUE(receipt, told);
}

static const char *wrong_process(const json_t *receipt, const struct consent *c, struct arena *a)
{
    const struct told told[] = {
        {"the process's type", PATH(PROCESS, "@type"), STR("dpv:Process")},
        {"the processing", PATH(PROCESS, "dpv:hasProcessing"), STR("dpv:Use")},
        {"the recipient", PATH(PROCESS, "dpv:hasRecipient", "dct:identifier"), c->recipient},
        {"the recipient", PATH(PROCESS, "dpv:hasRecipient", "dpv:hasIdentifier"), c->recipient},
        {"the recipient", PATH(PROCESS, "dpv:hasRecipient", "@id"),
         arena_printf(a, "urn:lov:recipient:%.*s", STR_ARG(c->recipient))},
        {"the recipient", PATH(PROCESS, "dpv:hasRecipient", "@type"), STR("dpv:Recipient")},
        {"the purpose", PATH(PROCESS, "dpv:hasPurpose", "dct:identifier"), c->purpose},
        {"the purpose", PATH(PROCESS, "dpv:hasPurpose", "@id"),
         arena_printf(a, "urn:lov:purpose:%.*s", STR_ARG(c->purpose))},
        {"the purpose", PATH(PROCESS, "dpv:hasPurpose", "@type"), STR("dpv:Purpose")},
    };
    const char *what = FIRST_UNTRUE(receipt, told);
    if (what)
        return what;
    const json_t *process = receipt_member(receipt, PATH(PROCESS));
    if (!says_names(json_object_get(process, "dpv:hasPersonalData"), c->categories,
                    c->category_count, a))
        return "the categories";
    const json_t *narrowed = json_object_get(process, "lov:narrowed");
    if (c->narrowed_count ? !says_names(narrowed, c->narrowed, c->narrowed_count, a)
                          : narrowed != NULL)
        return "what was taken out";
    return NULL;
}

static const char *wrong_notice(const json_t *receipt, const struct consent *c, struct arena *a)
{
    struct str version = arena_printf(a, "%d", c->notice_version);
    const struct told told[] = {
        {"the notice", PATH(NOTICE, "dct:identifier"), c->notice},
        {"the notice", PATH(NOTICE, "@type"), STR("dpv:ConsentNotice")},
        {"the notice", PATH(NOTICE, "@id"),
         arena_printf(a, "urn:lov:notice:%.*s:%.*s:%.*s", STR_ARG(c->notice), STR_ARG(version),
                      STR_ARG(c->notice_language))},
        {"the notice's language", PATH(NOTICE, "dct:language"), c->notice_language},
        {"the notice's hash", PATH(NOTICE, "lov:sha256"),
         text_of_bytes(a, c->notice_hash.b, sizeof c->notice_hash.b)},
        {"the notice's version", PATH(NOTICE, "schema:version"), version},
    };
    return FIRST_UNTRUE(receipt, told);
}

/* Of what happened and to whom. */
static const char *wrong_event(const json_t *receipt, const struct ledger_event *e,
                               const struct consent *c, struct arena *a)
{
    struct str consumer = text_of_bytes(a, e->cid.b, sizeof e->cid.b);
    _cleanup_buf struct buf until = {0};
    bool ends = receipt_until(c, &until);
    const struct told told[] = {
        {"the consumer", PATH("dpv:hasRecordOfActivity", "dpv:hasDataSubject", "dct:identifier"),
         consumer},
        {"the consumer", PATH("dpv:hasRecordOfActivity", "dpv:hasDataSubject", "dpv:hasIdentifier"),
         consumer},
        {"the consumer", PATH("dpv:hasRecordOfActivity", "dpv:hasDataSubject", "@id"),
         arena_printf(a, "urn:lov:consumer:%.*s", STR_ARG(consumer))},
        {"the consumer", PATH("dpv:hasRecordOfActivity", "dpv:hasDataSubject", "@type"),
         STR("dpv:Consumer")},
        {"when it was given", PATH("dpv:hasRecordOfActivity", "dct:created"),
         text_of_time(a, c->given_at)},
        {"when it was changed", PATH("dpv:hasRecordOfActivity", "dct:modified"),
         text_of_time(a, e->at)},
        {"what happened", PATH(STATUS, "@type"), str_of(receipt_status(e->kind))},
        {"what happened", PATH(STATUS, "lov:event"), e->kind},
        {"when it happened", PATH(STATUS, "dpv:isIndicatedAtTime"), text_of_time(a, e->at)},
        {"the state", PATH(STATUS, "lov:status"), str_of(consent_status_name(c->status))},
        {"the channel", PATH(STATUS, "dpv:hasIndicationMethod"), c->channel},
        {"how long it holds", PATH(STATUS, "dpv:hasDuration", "@type"),
         str_of(receipt_duration(ends))},
        {"how long it holds", PATH(STATUS, "dpv:hasDuration", "rdf:value"), buf_view(&until)},
    };
    const char *what = FIRST_UNTRUE(receipt, told);
    if (what)
        return what;
    const json_t *by = receipt_member(receipt, PATH(STATUS, "dpv:isIndicatedBy"));
    const char *who = receipt_indicated_by(e->kind, c->by_guardian);
    if (who ? !says(by, PATH(NULL), str_of(who)) : by != NULL)
        return "who said so";
    const json_t *end = receipt_member(receipt, PATH(STATUS, "lov:expires"));
    if (c->expires_at == TIME_NONE ? end != NULL
                                   : !says(end, PATH(NULL), text_of_time(a, c->expires_at)))
        return "when it ends";
    return NULL;
}

/* By the same statements for who makes it and who verifies it. */
void receipt_erasure_record(const struct ledger_event *event, struct buf *out)
{
    _cleanup_buf struct buf number = {0}, id = {0};
    struct jw w = {.out = out};
    hex_encode(event->cid.b, sizeof event->cid.b, &number);
    jw_object_start(&w);
    buf_printf(&id, "urn:lov:event:%u:%lld", event->shard, (long long)event->seq);
    jw_str_member(&w, "@id", buf_view(&id));
    jw_cstr_member(&w, "@type", "lov:Erasure");
    jw_str_member(&w, "lov:event", event->kind);
    jw_time_member(&w, "dct:created", event->at);
    buf_clear(&id);
    buf_printf(&id, "urn:lov:consumer:%s", number.p);
    jw_object_member(&w, "dpv:hasDataSubject");
    jw_str_member(&w, "@id", buf_view(&id));
    jw_cstr_member(&w, "@type", "dpv:Consumer");
    jw_str_member(&w, "dct:identifier", buf_view(&number));
    jw_object_end(&w);
    jw_bool_member(&w, "lov:suppressed", body_is_suppressed(event->body));
    jw_object_end(&w);
}

/* It has no words beside what the event says, but for who publishes it. */
const char *receipt_erasure_contradiction(const json_t *receipt, const struct ledger_event *event)
{
    static const char *const members[] = {"@context",
                                          "@id",
                                          "@type",
                                          "dct:created",
                                          "dct:publisher",
                                          "proof",
                                          "dpv:hasRecordOfActivity",
                                          NULL};
    _cleanup_buf struct buf text = {0};
    _cleanup_json json_t *record = NULL, *context = NULL;
    receipt_erasure_record(event, &text);
    if (json_read(buf_view(&text), &record, NULL) ||
        json_read(str_of(receipt_context), &context, NULL))
        bug("what an erasure's receipt is made of is not JSON");
    if (!says(receipt, PATH("@type"), STR("lov:ErasureReceipt")))
        return "the receipt's type";
    if (!json_equal(context, json_object_get(receipt, "@context")))
        return "the meaning of its terms (@context)";
    if (!json_equal(record, json_object_get(receipt, "dpv:hasRecordOfActivity")))
        return "the record";
    return stranger(receipt, members) ? "a member beside them" : NULL;
}

const char *receipt_contradiction(const json_t *receipt, const struct ledger_event *event,
                                  const struct consent *consent, struct arena *arena)
{
    const char *what = wrong_event(receipt, event, consent, arena);
    if (!what)
        what = wrong_process(receipt, consent, arena);
    if (!what)
        what = wrong_notice(receipt, consent, arena);
    if (!what)
        what = wrong_name(receipt, event, arena);
    return what ? what : says_more(receipt, arena);
}
