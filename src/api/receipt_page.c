/* receipt_page.c - see receipt_page.h. The page is made of the signed document alone, so paper and
 * file say the same. What is in the QR code is a link that any phone opens without an account: the
 * log's open proof of the event, by number, with the event's hash behind "#", where no server sees
 * it and a reader can compare it. Some 130 characters keep the modules large enough for a camera.
 */
#include "api/receipt_page.h"

#include <qrencode.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/template.h"
#include "ledger/checkpoint.h"

static struct str web_file(const char *name)
{
    for (size_t i = 0; i < embedded_web_count; i++)
        if (strcmp(embedded_web[i].name, name) == 0)
            return (struct str){embedded_web[i].text, embedded_web[i].size};
    bug("web/%s is not built in", name);
}

static json_t *read_words(void)
{
    struct err err = {0};
    json_t *words = NULL;
    if (json_read(web_file("receipt.json"), &words, &err))
        bug("web/receipt.json: %s", err.text);
    return words;
}

struct str receipt_page_language(struct str name)
{
    static const char *const languages[] = {"sv", "en"};
    for (size_t i = 0; i < 2; i++)
        if (name.n == 2 && strncasecmp(name.p, languages[i], 2) == 0)
            return str_of(languages[i]);
    return (struct str){0};
}

void receipt_page_policy(struct buf *out)
{
    struct sha256 style = sha256_of(web_file("receipt.css"));
    buf_cstr(out, "default-src 'none'; style-src 'sha256-");
    base64_encode(style.b, sizeof style.b, out);
    buf_cstr(out, "'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'");
}

/* ---- the code ---- */

/* One path: a run of dark modules in a row is one rectangle. */
static void svg_path(const QRcode *code, int quiet, struct buf *out)
{
    for (int y = 0; y < code->width; y++) {
        const unsigned char *row = code->data + (ptrdiff_t)y * code->width;
        for (int x = 0; x < code->width;) {
            int from = x;
            while (x < code->width && (row[x] & 1))
                x++;
            if (x > from)
                buf_printf(out, "M%d %dh%dv1h-%dz", from + quiet, y + quiet, x - from, x - from);
            else
                x++;
        }
    }
}

void qr_svg(struct str text, struct str label, struct buf *out)
{
    enum { QUIET = 4 };
    QRcode *code = QRcode_encodeData((int)text.n, (const unsigned char *)text.p, 0, QR_ECLEVEL_M);
    if (!code)
        return;
    int side = code->width + 2 * QUIET;
    buf_printf(out,
               "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" role=\"img\" "
               "aria-label=\"",
               side, side);
    html_escape(label, out);
    buf_printf(out,
               "\" shape-rendering=\"crispEdges\"><rect width=\"%d\" height=\"%d\" fill=\"#fff\"/>"
               "<path fill=\"#000\" d=\"",
               side, side);
    svg_path(code, QUIET, out);
    buf_cstr(out, "\"/></svg>");
    QRcode_free(code);
}

/* ---- values ---- */

static const json_t *at(const json_t *json, const char *const *path)
{
    for (; json && *path; path++)
        json = json_object_get(json, *path);
    return json;
}
#define PATH(...) ((const char *const[]){__VA_ARGS__, NULL})

static struct str text_at(const json_t *json, const char *const *path)
{
    const json_t *v = at(json, path);
    return json_is_string(v) ? json_text(v) : (struct str){0};
}

static void set(json_t *view, const char *name, struct str text)
{
    if (text.n)
        json_object_set_new(view, name, json_stringn(text.p, text.n));
}

/* The label of a thing in the page's language, or in any, or else its name. */
static struct str label(const json_t *thing, const char *member, const char *language)
{
    const json_t *texts = json_object_get(thing, member);
    const json_t *text = json_object_get(texts, language);
    void *first = texts ? json_object_iter((json_t *)texts) : NULL;
    if (!text && first)
        text = json_object_iter_value(first);
    if (!text && strcmp(member, "dct:title") == 0)
        text = json_object_get(thing, "dct:identifier");
    return json_is_string(text) ? json_text(text) : (struct str){0};
}

static void set_labels(json_t *view, const char *name, const json_t *things, const char *language)
{
    size_t i;
    const json_t *thing;
    json_t *list = json_array();
    json_array_foreach(things, i, thing) {
        struct str text = label(thing, "dct:title", language);
        json_array_append_new(list, json_stringn(text.p, text.n));
    }
    json_object_set_new(view, name, list);
}

/* "2026-11-23T15:54:27.120Z" as "2026-11-23 15:54:27". */
static void set_time(json_t *view, const char *name, const char *text_name, struct str time)
{
    char text[20];
    if (time.n < sizeof text)
        return;
    memcpy(text, time.p, sizeof text - 1);
    text[10] = ' ';
    set(view, name, time);
    set(view, text_name, (struct str){text, sizeof text - 1});
}

/* ---- the view ---- */

static void view_process(json_t *view, const json_t *record, const char *language)
{
    const json_t *process = json_object_get(record, "dpv:hasProcess");
    const json_t *purpose = json_object_get(process, "dpv:hasPurpose");
    const json_t *narrowed = json_object_get(process, "lov:narrowed");
    set(view, "purpose", label(purpose, "dct:title", language));
    set(view, "purpose_text", label(purpose, "dct:description", language));
    set(view, "recipient",
        label(json_object_get(process, "dpv:hasRecipient"), "dct:title", language));
    set_labels(view, "categories", json_object_get(process, "dpv:hasPersonalData"), language);
    set_labels(view, "narrowed", narrowed, language);
    json_object_set_new(view, "narrowed_any", json_boolean(json_array_size(narrowed) > 0));
}

static void view_status(json_t *view, const json_t *record, const json_t *words)
{
    const json_t *status = json_object_get(record, "dpv:hasConsentStatus");
    struct str kind = text_at(status, PATH("lov:event"));
    struct str channel = text_at(status, PATH("dpv:hasIndicationMethod"));
    const json_t *headline = json_object_getn(words, kind.p, kind.n);
    const json_t *how = json_object_getn(words, channel.p, channel.n);
    set(view, "headline", headline ? json_text(headline) : kind);
    set(view, "channel", how ? json_text(how) : channel);
    json_object_set_new(view, "negative",
                        json_boolean(str_is(kind, "consent.refuse") ||
                                     str_is(kind, "consent.withdraw") ||
                                     str_is(kind, "consent.expire")));
    json_object_set_new(view, "guardian",
                        json_boolean(str_is(text_at(status, PATH("dpv:isIndicatedBy")),
                                            "dpv:GuardianOfDataSubject")));
    set_time(view, "at", "at_text", text_at(status, PATH("dpv:isIndicatedAtTime")));
    if (!str_is(kind, "consent.withdraw")) /* it has ended already */
        set_time(view, "expires", "expires_text", text_at(status, PATH("lov:expires")));
    set_time(view, "given", "given_text", text_at(record, PATH("dct:created")));
}

static void view_record(json_t *view, const json_t *record)
{
    const struct {
        const char *name;
        const char *const *path;
    } members[] = {
        {"id", PATH("dct:identifier")},
        {"controller", PATH("dpv:hasDataController", "schema:name")},
        {"contact", PATH("dpv:hasConsentControl", "dpv:isExercisedAt")},
        {"notice", PATH("dpv:hasNotice", "dct:identifier")},
        {"notice_title", PATH("dpv:hasNotice", "lov:title")},
        {"notice_version", PATH("dpv:hasNotice", "schema:version")},
        {"notice_language", PATH("dpv:hasNotice", "dct:language")},
        {"notice_hash", PATH("dpv:hasNotice", "lov:sha256")},
    };
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        set(view, members[i].name, text_at(record, members[i].path));
}

/* What was sealed, one line a member, an object as its JSON. */
static void view_personal(json_t *view, const json_t *receipt, const json_t *words)
{
    struct str text = text_at(receipt, PATH("personal"));
    _cleanup_json json_t *personal = NULL;
    const char *name;
    json_t *value;
    set(view, "consumer", text_at(receipt, PATH("consumer")));
    if (!text.n || json_read(text, &personal, NULL))
        return;
    json_t *list = json_array();
    json_object_foreach(personal, name, value) {
        _cleanup_buf struct buf shown = {0};
        const char *word = strcmp(name, "guardian") == 0 ? "guardian_name" : name;
        const json_t *title = json_object_get(words, word);
        if (json_is_string(value))
            buf_str(&shown, json_text(value));
        else
            json_canonical(value, &shown);
        json_t *item = json_object();
        set(item, "name", title ? json_text(title) : str_of(name));
        set(item, "text", buf_view(&shown));
        json_array_append_new(list, item);
    }
    json_object_set_new(view, "personal", list);
}

static int view_checkpoint(json_t *view, const json_t *proof, struct checkpoint *c, struct err *err)
{
    struct note note;
    _cleanup_buf struct buf root = {0};
    int rc = note_parse(text_at(proof, PATH("checkpoint")), &note, err);
    if (rc == 0)
        rc = checkpoint_parse(note.text, c, err);
    if (rc)
        return rc;
    base64_encode(c->root.b, sizeof c->root.b, &root);
    set(view, "origin", c->origin);
    set(view, "root", buf_view(&root));
    set(view, "leaf", text_at(proof, PATH("leaf")));
    json_object_set_new(view, "size", json_integer(c->size));
    json_object_set(view, "seq", json_object_get(proof, "seq"));
    json_object_set(view, "shard", json_object_get(proof, "shard"));
    return 0;
}

/* Without an address to link to, the code holds what is needed to find and compare the event. */
static void view_code(json_t *view, const json_t *proof, struct str base, int64_t size)
{
    _cleanup_buf struct buf text = {0}, leaf = {0}, hash = {0}, svg = {0};
    long long seq = json_integer_value(json_object_get(proof, "seq"));
    long long shard = json_integer_value(json_object_get(proof, "shard"));
    if (base64_decode(text_at(proof, PATH("leaf")), &hash))
        base64url_encode(hash.p, hash.n, &leaf);
    buf_str(&text, base);
    if (base.n)
        buf_printf(&text, "/v1/log/proof/inclusion?shard=%lld&seq=%lld&size=%lld#%s", shard, seq,
                   (long long)size, leaf.p);
    else
        buf_printf(&text, "%.*s %lld %s", STR_ARG(text_at(view, PATH("origin"))), seq, leaf.p);
    qr_svg(buf_view(&text), text_at(view, PATH("t", "qr")), &svg);
    set(view, "code", buf_view(&svg));
    if (base.n)
        set(view, "link", buf_view(&text));
}

int receipt_page(struct str receipt, struct str base, struct str language, struct buf *out,
                 struct err *err)
{
    _cleanup_json json_t *json = NULL, *words = read_words(), *view = json_object();
    struct checkpoint c;
    int rc = json_read(receipt, &json, err);
    if (rc)
        return rc;
    const json_t *record = json_object_get(json, "dpv:hasRecordOfActivity");
    const json_t *proof = json_object_get(json, "proof");
    if (!language.n)
        language = text_at(record, PATH("dpv:hasNotice", "dct:language"));
    const char *lang = str_is(language, "sv") ? "sv" : "en";
    const json_t *t = json_object_get(words, lang);
    json_object_set(view, "t", (json_t *)t);
    set(view, "lang", str_of(lang));
    set(view, "style", web_file("receipt.css"));
    view_record(view, record);
    view_process(view, record, lang);
    view_status(view, record, t);
    view_personal(view, json, t);
    rc = view_checkpoint(view, proof, &c, err);
    if (rc)
        return rc;
    view_code(view, proof, base, c.size);
    template_render(web_file("receipt.html"), view, out);
    return 0;
}
