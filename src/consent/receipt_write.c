/* receipt_write.c - a receipt as JSON-LD. The context is in the receipt itself, so that reading it
 * asks no server. What the event says is written as the event says it, by name, and beside it what
 * the policy calls it: labels in each of its languages, and terms of DPV. */
#include <stdio.h>

#include "base/json.h"
#include "consent/receipt_private.h"

/* ---- pieces ---- */

static void hex_member(struct jw *w, const char *name, const void *p, size_t n)
{
    jw_key(w, name);
    jw_hex(w, p, n);
}

static void base64_value(struct jw *w, const void *p, size_t n)
{
    _cleanup_buf struct buf text = {0};
    base64_encode(p, n, &text);
    jw_str(w, buf_view(&text));
}

/* "@id": "urn:lov:KIND:..." */
__attribute__((format(printf, 2, 3))) static void urn(struct jw *w, const char *format, ...)
{
    _cleanup_buf struct buf text = {0};
    char part[512];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(part, sizeof part, format, args);
    va_end(args);
    buf_cstr(&text, "urn:lov:");
    buf_add(&text, part, n < (int)sizeof part ? (size_t)n : sizeof part - 1);
    jw_str_member(w, "@id", buf_view(&text));
}

/* A label in each language that it has. */
static void text_member(struct jw *w, const char *name, const struct policy *p,
                        const struct policy_text *text)
{
    jw_key(w, name);
    jw_object_start(w);
    for (size_t i = 0; i < p->language_count; i++) {
        if (!text->in[i].n)
            continue;
        jw_key_str(w, p->languages[i]);
        jw_str(w, text->in[i]);
    }
    jw_object_end(w);
}

/* ---- who ---- */

static void write_controller(struct jw *w, const char *name, const struct policy *p)
{
    jw_key(w, name);
    jw_object_start(w);
    urn(w, "controller:%.*s", STR_ARG(p->controller));
    jw_key(w, "@type");
    jw_raw(w, STR("[\"dpv:Organisation\",\"dpv:DataController\"]"));
    jw_str_member(w, "dct:identifier", p->controller);
    jw_str_member(w, "dpv:hasIdentifier", p->controller);
    jw_str_member(w, "schema:name", p->controller_name);
    jw_str_member(w, "dpv:hasName", p->controller_name);
    jw_str_member(w, "dpv:hasContact", p->contact);
    jw_key(w, "schema:contactPoint");
    jw_object_start(w);
    jw_cstr_member(w, "@type", "schema:ContactPoint");
    jw_str_member(w, "schema:description", p->contact);
    jw_object_end(w);
    jw_object_end(w);
}

static void write_consumer(struct jw *w, const struct receipt_facts *f)
{
    _cleanup_buf struct buf hex = {0};
    hex_encode(f->event.cid.b, sizeof f->event.cid.b, &hex);
    jw_key(w, "dpv:hasDataSubject");
    jw_object_start(w);
    urn(w, "consumer:%s", hex.p);
    jw_cstr_member(w, "@type", "dpv:Consumer");
    jw_str_member(w, "dct:identifier", buf_view(&hex));
    jw_str_member(w, "dpv:hasIdentifier", buf_view(&hex));
    jw_object_end(w);
}

static void write_recipient(struct jw *w, const struct receipt_facts *f)
{
    const struct policy_recipient *r =
        f->policy ? policy_recipient(f->policy, f->consent.recipient) : NULL;
    jw_key(w, "dpv:hasRecipient");
    jw_object_start(w);
    urn(w, "recipient:%.*s", STR_ARG(f->consent.recipient));
    jw_cstr_member(w, "@type", "dpv:Recipient");
    jw_str_member(w, "dct:identifier", f->consent.recipient);
    jw_str_member(w, "dpv:hasIdentifier", f->consent.recipient);
    if (r) {
        text_member(w, "dct:title", f->policy, &r->label);
        jw_cstr_member(w, "lov:kind", recipient_kind_name(r->kind));
    }
    jw_object_end(w);
}

/* ---- what and why ---- */

static void write_purpose(struct jw *w, const struct receipt_facts *f)
{
    const struct policy_purpose *p =
        f->policy ? policy_purpose(f->policy, f->consent.purpose) : NULL;
    jw_key(w, "dpv:hasPurpose");
    jw_object_start(w);
    urn(w, "purpose:%.*s", STR_ARG(f->consent.purpose));
    jw_cstr_member(w, "@type", "dpv:Purpose");
    jw_str_member(w, "dct:identifier", f->consent.purpose);
    if (p) {
        text_member(w, "dct:title", f->policy, &p->label);
        text_member(w, "dct:description", f->policy, &p->description);
        if (p->dpv.n)
            jw_str_member(w, "skos:broader", p->dpv);
    }
    jw_object_end(w);
}

static void write_category(struct jw *w, const struct receipt_facts *f, struct str id)
{
    const struct policy_category *c = f->policy ? policy_category(f->policy, id) : NULL;
    jw_object_start(w);
    urn(w, "category:%.*s", STR_ARG(id));
    jw_cstr_member(w, "@type",
                   c && c->sensitive ? "dpv:SensitivePersonalData" : "dpv:PersonalData");
    jw_str_member(w, "dct:identifier", id);
    if (c) {
        text_member(w, "dct:title", f->policy, &c->label);
        if (c->dpv.n)
            jw_str_member(w, "skos:broader", c->dpv);
    }
    jw_object_end(w);
}

static void write_categories(struct jw *w, const struct receipt_facts *f, const char *name,
                             const struct str *ids, size_t count)
{
    jw_key(w, name);
    jw_array_start(w);
    for (size_t i = 0; i < count; i++)
        write_category(w, f, ids[i]);
    jw_array_end(w);
}

/* DPV has no term for opting out: then the most general one stands, and the word beside it. */
static const char *dpv_basis(enum policy_basis basis)
{
    switch (basis) {
    case BASIS_CONSENT:
        return "dpv:Consent";
    case BASIS_LEGITIMATE_INTEREST:
        return "dpv:LegitimateInterest";
    case BASIS_CONTRACT:
        return "dpv:Contract";
    case BASIS_LEGAL_OBLIGATION:
        return "dpv:LegalObligation";
    case BASIS_VITAL_INTEREST:
        return "dpv:VitalInterest";
    case BASIS_PUBLIC_TASK:
        return "dpv:PublicInterest";
    default:
        return "dpv:LegalBasis";
    }
}

/* By law, since the receipt does not say where the consumer lives. */
static void write_bases(struct jw *w, const struct policy *p, const struct policy_activity *a)
{
    jw_key(w, "dpv:hasLegalBasis");
    jw_array_start(w);
    for (size_t i = 0; i < p->law_count; i++) {
        if (a->basis[i] == BASIS_NONE)
            continue;
        jw_object_start(w);
        jw_cstr_member(w, "@type", dpv_basis(a->basis[i]));
        jw_cstr_member(w, "lov:basis", policy_basis_name(a->basis[i]));
        jw_key(w, "dpv:hasApplicableLaw");
        jw_object_start(w);
        urn(w, "law:%.*s", STR_ARG(p->laws[i].id));
        jw_str_member(w, "schema:name", p->laws[i].name);
        jw_object_end(w);
        jw_object_end(w);
    }
    jw_array_end(w);
}

/* Where the laws apply under which the activity has a basis. */
static void write_jurisdictions(struct jw *w, const struct policy *p,
                                const struct policy_activity *a)
{
    jw_key(w, "dpv:hasJurisdiction");
    jw_array_start(w);
    for (size_t i = 0; i < p->law_count; i++) {
        const struct policy_law *law = &p->laws[i];
        for (size_t k = 0; a->basis[i] != BASIS_NONE && k < law->territory_count; k++) {
            _cleanup_buf struct buf place = {0};
            buf_printf(&place, "loc:%.*s", STR_ARG(law->territories[k]));
            jw_str(w, buf_view(&place));
        }
    }
    jw_array_end(w);
}

/* What the consumer may ask for by those laws, and where. */
static void write_rights(struct jw *w, const struct policy *p, const struct policy_activity *a)
{
    jw_key(w, "dpv:hasRight");
    jw_array_start(w);
    for (size_t i = 0; i < p->law_count; i++) {
        const struct policy_law *law = &p->laws[i];
        for (size_t k = 0; a->basis[i] != BASIS_NONE && k < law->deadline_count; k++) {
            jw_object_start(w);
            jw_cstr_member(w, "@type", "dpv:DataSubjectRight");
            jw_str_member(w, "dct:identifier", law->deadlines[k].right);
            jw_key(w, "dpv:hasApplicableLaw");
            jw_object_start(w);
            urn(w, "law:%.*s", STR_ARG(law->id));
            jw_object_end(w);
            jw_str_member(w, "dpv:isExercisedAt", p->contact);
            jw_object_end(w);
        }
    }
    jw_array_end(w);
}

static void write_terms(struct jw *w, const struct policy *p, const struct policy_activity *a)
{
    _cleanup_buf struct buf days = {0};
    write_bases(w, p, a);
    write_jurisdictions(w, p, a);
    write_rights(w, p, a);
    if (a->retention_days <= 0)
        return;
    buf_printf(&days, "P%dD", a->retention_days);
    jw_key(w, "dpv:hasStorageCondition");
    jw_object_start(w);
    jw_cstr_member(w, "@type", "dpv:StorageDuration");
    jw_str_member(w, "dpv:hasDuration", buf_view(&days));
    jw_object_end(w);
}

static const struct policy_activity *activity_of(const struct receipt_facts *f)
{
    const struct policy *p = f->policy;
    const struct policy_recipient *r = p ? policy_recipient(p, f->consent.recipient) : NULL;
    const struct policy_purpose *why = p ? policy_purpose(p, f->consent.purpose) : NULL;
    return r && why ? policy_activity(p, r, why) : NULL;
}

static void write_process(struct jw *w, const struct receipt_facts *f)
{
    const struct consent *c = &f->consent;
    const struct policy_activity *a = activity_of(f);
    jw_key(w, "dpv:hasProcess");
    jw_object_start(w);
    jw_cstr_member(w, "@type", "dpv:Process");
    write_purpose(w, f);
    write_recipient(w, f);
    write_categories(w, f, "dpv:hasPersonalData", c->categories, c->category_count);
    if (c->narrowed_count)
        write_categories(w, f, "lov:narrowed", c->narrowed, c->narrowed_count);
    jw_key(w, "dpv:hasProcessing");
    jw_str(w, STR("dpv:Use"));
    if (a)
        write_terms(w, f->policy, a);
    jw_object_end(w);
}

static void write_notice(struct jw *w, const struct receipt_facts *f)
{
    const struct consent *c = &f->consent;
    _cleanup_buf struct buf version = {0};
    buf_int(&version, c->notice_version);
    jw_key(w, "dpv:hasNotice");
    jw_object_start(w);
    urn(w, "notice:%.*s:%d:%.*s", STR_ARG(c->notice), c->notice_version,
        STR_ARG(c->notice_language));
    jw_cstr_member(w, "@type", "dpv:ConsentNotice");
    jw_str_member(w, "dct:identifier", c->notice);
    jw_str_member(w, "schema:version", buf_view(&version));
    jw_str_member(w, "dct:language", c->notice_language);
    hex_member(w, "lov:sha256", c->notice_hash.b, sizeof c->notice_hash.b);
    if (f->notice_text.n) {
        jw_str_member(w, "lov:title", f->notice_title);
        jw_str_member(w, "lov:text", f->notice_text);
    }
    jw_object_end(w);
}

/* ---- what happened ---- */

static void write_duration(struct jw *w, const struct consent *c)
{
    _cleanup_buf struct buf until = {0};
    bool ends = receipt_until(c, &until);
    jw_key(w, "dpv:hasDuration");
    jw_object_start(w);
    jw_cstr_member(w, "@type", receipt_duration(ends));
    jw_str_member(w, "rdf:value", buf_view(&until));
    jw_object_end(w);
}

static void write_status(struct jw *w, const struct receipt_facts *f)
{
    const struct consent *c = &f->consent;
    const char *by = receipt_indicated_by(f->event.kind, c->by_guardian);
    jw_key(w, "dpv:hasConsentStatus");
    jw_object_start(w);
    jw_cstr_member(w, "@type", receipt_status(f->event.kind));
    jw_str_member(w, "lov:event", f->event.kind);
    jw_cstr_member(w, "lov:status", consent_status_name(c->status));
    if (by)
        jw_cstr_member(w, "dpv:isIndicatedBy", by);
    jw_str_member(w, "dpv:hasIndicationMethod", c->channel);
    jw_time_member(w, "dpv:isIndicatedAtTime", f->event.at);
    if (c->expires_at != TIME_NONE)
        jw_time_member(w, "lov:expires", c->expires_at);
    write_duration(w, c);
    jw_object_end(w);
}

static void write_control(struct jw *w, const struct policy *p)
{
    jw_key(w, "dpv:hasConsentControl");
    jw_object_start(w);
    jw_cstr_member(w, "@type", "dpv:WithdrawConsent");
    jw_str_member(w, "dpv:isExercisedAt", p->contact);
    jw_object_end(w);
}

static void write_record(struct jw *w, const struct receipt_facts *f)
{
    jw_key(w, "dpv:hasRecordOfActivity");
    jw_object_start(w);
    urn(w, "consent:%.*s", STR_ARG(f->id));
    jw_cstr_member(w, "@type", "dpv:ConsentRecord");
    jw_cstr_member(w, "dct:conformsTo", RECEIPT_SCHEMA "record");
    jw_str_member(w, "dct:identifier", f->id);
    jw_str_member(w, "dpv:hasIdentifier", f->id);
    jw_time_member(w, "dct:created", f->consent.given_at);
    jw_time_member(w, "dct:modified", f->event.at);
    write_consumer(w, f);
    if (f->policy)
        write_controller(w, "dpv:hasDataController", f->policy);
    write_status(w, f);
    write_process(w, f);
    write_notice(w, f);
    if (f->policy)
        write_control(w, f->policy);
    jw_object_end(w);
}

static void write_proof(struct jw *w, const struct receipt_facts *f)
{
    jw_key(w, "proof");
    jw_object_start(w);
    jw_int_member(w, "shard", f->event.shard);
    jw_int_member(w, "seq", f->event.seq);
    jw_key(w, "leaf");
    base64_value(w, f->event.leaf.b, sizeof f->event.leaf.b);
    jw_key(w, "event");
    base64_value(w, f->encoding.p, f->encoding.n);
    jw_key(w, "hashes");
    jw_array_start(w);
    for (size_t i = 0; i < f->path.count; i++)
        base64_value(w, f->path.hash[i].b, sizeof f->path.hash[i].b);
    jw_array_end(w);
    jw_str_member(w, "checkpoint", f->checkpoint);
    jw_object_end(w);
}

void receipt_write(const struct receipt_facts *f, struct buf *out)
{
    _cleanup_buf struct buf id = {0};
    struct jw w = {.out = out};
    jw_object_start(&w);
    jw_key(&w, "@context");
    jw_raw(&w, str_of(receipt_context));
    urn(&w, "receipt:%.*s:%lld", STR_ARG(f->id), (long long)f->event.seq);
    jw_cstr_member(&w, "@type", "dpv:ConsentReceipt");
    jw_cstr_member(&w, "dct:conformsTo", RECEIPT_SCHEMA "receipt");
    buf_printf(&id, "%.*s:%lld", STR_ARG(f->id), (long long)f->event.seq);
    jw_str_member(&w, "dct:identifier", buf_view(&id));
    jw_str_member(&w, "dpv:hasIdentifier", buf_view(&id));
    jw_time_member(&w, "dct:created", f->now);
    if (f->policy)
        write_controller(&w, "dct:publisher", f->policy);
    write_record(&w, f);
    if (f->consumer.n)
        jw_str_member(&w, "consumer", f->consumer);
    if (f->personal.n)
        jw_str_member(&w, "personal", f->personal);
    write_proof(&w, f);
    jw_object_end(&w);
}

/* ---- of an erasure ---- */

void receipt_write_erasure(const struct receipt_facts *f, struct buf *out)
{
    _cleanup_buf struct buf record = {0};
    struct jw w = {.out = out};
    receipt_erasure_record(&f->event, &record);
    jw_object_start(&w);
    jw_key(&w, "@context");
    jw_raw(&w, str_of(receipt_context));
    urn(&w, "receipt:event:%u:%lld", f->event.shard, (long long)f->event.seq);
    jw_cstr_member(&w, "@type", "lov:ErasureReceipt");
    jw_time_member(&w, "dct:created", f->now);
    if (f->policy)
        write_controller(&w, "dct:publisher", f->policy);
    jw_key(&w, "dpv:hasRecordOfActivity");
    jw_raw(&w, buf_view(&record));
    write_proof(&w, f);
    jw_object_end(&w);
}
