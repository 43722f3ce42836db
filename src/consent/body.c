/* body.c - consumers and consents as the bodies of events. A row and the body of the event that
 * last changed it say the same, to the byte: that is what state_verify() compares, and how replay.c
 * makes rows of events. */
#include <string.h>

#include "base/json.h"
#include "consent/state.h"

static const char *const statuses[] = {"active", "refused", "withdrawn", "expired", "superseded"};

const char *consent_status_name(enum consent_status status)
{
    return statuses[status];
}

bool consent_status_parse(struct str text, enum consent_status *out)
{
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
        if (str_is(text, statuses[i])) {
            *out = (enum consent_status)i;
            return true;
        }
    }
    return false;
}

/* ---- names ---- */

struct str *names_copy(struct arena *arena, const struct str *names, size_t count)
{
    struct str *copy = arena_array(arena, count, sizeof *copy);
    for (size_t i = 0; i < count; i++)
        copy[i] = arena_str(arena, names[i]);
    return copy;
}

bool names_have(const struct str *names, size_t count, struct str name)
{
    for (size_t i = 0; i < count; i++)
        if (str_eq(names[i], name))
            return true;
    return false;
}

/* ---- out ---- */

void body_sealed(struct jw *w, struct str sealed)
{
    jw_key(w, "sealed");
    if (sealed.n == 0) {
        jw_null(w);
        return;
    }
    jw_raw(w, (struct str){0});
    buf_char(w->out, '"');
    base64url_encode(sealed.p, sealed.n, w->out);
    buf_char(w->out, '"');
}

void body_consumer(const struct consumer_row *row, struct buf *out)
{
    struct jw w = {.out = out};
    jw_object_start(&w);
    /* Only where it is so: events from before there was such a thing say the same. */
    if (row->no_automated_decision)
        jw_bool_member(&w, "no_automated_decision", true);
    jw_bool_member(&w, "opt_out_signal", row->opt_out_signal);
    jw_str_member(&w, "residence", row->residence);
    jw_bool_member(&w, "restricted", row->restricted);
    body_sealed(&w, row->sealed);
    jw_object_end(&w);
}

void body_consent(const struct consent *c, struct buf *out)
{
    struct jw w = {.out = out};
    jw_object_start(&w);
    jw_int_member(&w, "consent", c->seq);
    jw_str_member(&w, "purpose", c->purpose);
    jw_str_member(&w, "recipient", c->recipient);
    jw_strs_member(&w, "categories", c->categories, c->category_count);
    jw_strs_member(&w, "narrowed", c->narrowed, c->narrowed_count);
    jw_cstr_member(&w, "status", statuses[c->status]);
    jw_key(&w, "notice");
    jw_object_start(&w);
    jw_str_member(&w, "id", c->notice);
    jw_int_member(&w, "version", c->notice_version);
    jw_str_member(&w, "language", c->notice_language);
    jw_key(&w, "hash");
    jw_hex(&w, c->notice_hash.b, sizeof c->notice_hash.b);
    jw_object_end(&w);
    jw_str_member(&w, "channel", c->channel);
    jw_time_member(&w, "given_at", c->given_at);
    jw_time_member(&w, "expires_at", c->expires_at);
    jw_bool_member(&w, "guardian", c->by_guardian);
    body_sealed(&w, c->sealed);
    jw_object_end(&w);
}

void body_superseded(const struct superseded_list *list, struct buf *body)
{
    struct jw w = {.out = body};
    if (!list->count)
        return;
    body->n--; /* the closing brace */
    buf_cstr(body, ",\"supersedes\":");
    jw_array_start(&w);
    for (size_t i = 0; i < list->count; i++) {
        jw_object_start(&w);
        jw_int_member(&w, "consent", list->items[i].consent);
        jw_int_member(&w, "event", list->items[i].event);
        jw_object_end(&w);
    }
    jw_array_end(&w);
    buf_char(body, '}');
}

bool body_says(struct str body, struct str of_row)
{
    static const struct str more = {",\"supersedes\":[", 15};
    if (str_eq(body, of_row))
        return true;
    struct str same = {of_row.p, of_row.n - 1};
    return str_starts(body, same) &&
           str_starts((struct str){body.p + same.n, body.n - same.n}, more);
}

/* ---- in ---- */

/* A consent's body; only texts and objects that are borrowed from the JSON. */
struct consent_fields {
    struct str purpose, recipient, status, channel, sealed;
    struct json_names categories, narrowed;
    const json_t *notice, *supersedes;
    int64_t consent, given_at, expires_at;
    bool guardian;
};
struct notice_fields {
    struct str id, language, hash;
    int64_t version;
};
struct consumer_fields {
    struct str residence, sealed;
    bool restricted, opt_out_signal, no_automated_decision;
};

enum { SEALED_MAX = 1 << 20, CATEGORIES_MAX = 1000, RESIDENCE_MAX = 8, SUPERSEDED_MAX = 1000 };

#define FIELD(type, member, kind, required, min, max)                                              \
    {                                                                                              \
#member, kind, offsetof(struct type, member), required, min, max                           \
    }
static const struct json_field consent_table[] = {
    FIELD(consent_fields, purpose, JSON_K_NAME, true, 0, 0),
    FIELD(consent_fields, recipient, JSON_K_NAME, true, 0, 0),
    FIELD(consent_fields, status, JSON_K_NAME, true, 0, 0),
    FIELD(consent_fields, channel, JSON_K_NAME, true, 0, 0),
    FIELD(consent_fields, sealed, JSON_K_STRING, false, 1, SEALED_MAX),
    FIELD(consent_fields, categories, JSON_K_NAMES, true, 0, CATEGORIES_MAX),
    FIELD(consent_fields, narrowed, JSON_K_NAMES, true, 0, CATEGORIES_MAX),
    FIELD(consent_fields, notice, JSON_K_OBJECT, true, 0, 0),
    FIELD(consent_fields, consent, JSON_K_INT, true, 0, 0),
    FIELD(consent_fields, given_at, JSON_K_TIME, true, 0, 0),
    FIELD(consent_fields, expires_at, JSON_K_TIME, false, 0, 0),
    FIELD(consent_fields, guardian, JSON_K_BOOL, true, 0, 0),
    FIELD(consent_fields, supersedes, JSON_K_ARRAY, false, 1, SUPERSEDED_MAX),
};
static const struct json_field superseded_table[] = {
    FIELD(superseded, consent, JSON_K_INT, true, 0, INT64_MAX),
    FIELD(superseded, event, JSON_K_INT, true, 0, INT64_MAX),
};
static const struct json_field notice_table[] = {
    FIELD(notice_fields, id, JSON_K_NAME, true, 0, 0),
    FIELD(notice_fields, language, JSON_K_STRING, true, 0, 0),
    FIELD(notice_fields, hash, JSON_K_STRING, true, 64, 64),
    FIELD(notice_fields, version, JSON_K_INT, true, 0, 0),
};
static const struct json_field consumer_table[] = {
    FIELD(consumer_fields, residence, JSON_K_STRING, true, 0, RESIDENCE_MAX),
    FIELD(consumer_fields, sealed, JSON_K_STRING, false, 1, SEALED_MAX),
    FIELD(consumer_fields, restricted, JSON_K_BOOL, true, 0, 0),
    FIELD(consumer_fields, opt_out_signal, JSON_K_BOOL, true, 0, 0),
    FIELD(consumer_fields, no_automated_decision, JSON_K_BOOL, false, 0, 0),
};
#define TAKE(json, table, arena, out, err)                                                         \
    json_take(json, table, sizeof(table) / sizeof *(table), JSON_REFUSE_UNKNOWN, "", arena, out,   \
              err)

static bool read_sealed(struct str text, struct arena *arena, struct str *out)
{
    _cleanup_buf struct buf bytes = {0};
    if (text.n && !base64url_decode(text, &bytes))
        return false;
    *out = text.n ? arena_str(arena, buf_view(&bytes)) : (struct str){0};
    return true;
}

static int damaged(struct err *err)
{
    return err_set(err, LOV_ECORRUPT, "an event of a consumer is damaged: run lov log verify");
}

struct str body_erasure(bool suppressed)
{
    return suppressed ? STR("{\"suppressed\":true}") : STR("{\"suppressed\":false}");
}

bool body_is_suppressed(struct str body)
{
    return !str_eq(body, body_erasure(false));
}

int body_read_consumer(struct str body, struct arena *arena, struct consumer_row *out,
                       struct err *err)
{
    struct consumer_fields f = {0};
    _cleanup_json json_t *json = NULL;
    struct err why;
    struct str sealed;
    if (json_read(body, &json, &why) || TAKE(json, consumer_table, arena, &f, &why) ||
        !read_sealed(f.sealed, arena, &sealed))
        return damaged(err);
    out->residence = arena_str(arena, f.residence);
    out->restricted = f.restricted;
    out->opt_out_signal = f.opt_out_signal;
    out->no_automated_decision = f.no_automated_decision;
    out->sealed = sealed;
    return 0;
}

int body_read_consent(struct str body, struct arena *arena, struct consent *out, struct err *err)
{
    struct consent_fields f = {.given_at = TIME_NONE, .expires_at = TIME_NONE};
    struct notice_fields n = {0};
    struct consent c = {0};
    _cleanup_json json_t *json = NULL;
    struct err why;
    if (json_read(body, &json, &why) || TAKE(json, consent_table, arena, &f, &why) ||
        TAKE(f.notice, notice_table, arena, &n, &why) || !read_sealed(f.sealed, arena, &c.sealed) ||
        !hex_decode(n.hash, c.notice_hash.b, sizeof c.notice_hash.b) ||
        !consent_status_parse(f.status, &c.status))
        return damaged(err);
    c.seq = f.consent;
    c.purpose = arena_str(arena, f.purpose);
    c.recipient = arena_str(arena, f.recipient);
    c.categories = names_copy(arena, f.categories.items, f.categories.count);
    c.category_count = f.categories.count;
    c.narrowed = names_copy(arena, f.narrowed.items, f.narrowed.count);
    c.narrowed_count = f.narrowed.count;
    c.notice = arena_str(arena, n.id);
    c.notice_version = (int)n.version;
    c.notice_language = arena_str(arena, n.language);
    c.channel = arena_str(arena, f.channel);
    c.given_at = f.given_at;
    c.expires_at = f.expires_at;
    c.by_guardian = f.guardian;
    *out = c;
    return 0;
}

/* A look before reading JSON: most bodies have none. */
static bool names_superseded(struct str body)
{
    static const char member[] = ",\"supersedes\":[";
    return memmem(body.p, body.n, member, sizeof member - 1) != NULL;
}

int body_read_superseded(struct str body, struct arena *arena, struct superseded_list *out,
                         struct err *err)
{
    struct consent_fields f = {0};
    _cleanup_json json_t *json = NULL;
    struct err why;
    size_t i;
    const json_t *item;
    *out = (struct superseded_list){0};
    if (!names_superseded(body))
        return 0;
    if (json_read(body, &json, &why) || TAKE(json, consent_table, arena, &f, &why))
        return damaged(err);
    out->items = arena_array(arena, json_array_size(f.supersedes), sizeof *out->items);
    json_array_foreach(f.supersedes, i, item) {
        struct superseded *s = &out->items[out->count++];
        if (TAKE(item, superseded_table, arena, s, &why) || s->consent > s->event)
            return damaged(err);
    }
    return 0;
}

int64_t body_consent_seq(struct str body)
{
    static const struct str start = {"{\"consent\":", 11};
    int64_t seq = -1;
    if (!str_starts(body, start))
        return -1;
    struct str rest = {body.p + start.n, body.n - start.n};
    return str_to_int(str_cut(&rest, ','), 0, INT64_MAX, &seq) ? seq : -1;
}
