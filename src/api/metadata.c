/* metadata.c - /v1/records: what is known about many records, without what is in them: listed,
 * changed and deleted by consumer, category, source, and the purposes that their limits name.
 *
 * A change is made part by part, each a durable commit; the answer tells of all of them. What one
 * call does not get to, `next` continues. Cursors are sealed: a place among the records of all is a
 * cid. */
#include <string.h>

#include "api/private.h"

#define COUNT(table) (sizeof(table) / sizeof *(table))

enum {
    PART = 1000,       /* records that one write looks at: some milliseconds */
    PARTS_A_CALL = 50, /* then somebody else's call is overdue */
};

struct filtering {
    struct vault_filter filter;
    struct str consumer;
    struct uid cid;
    struct vault_place after;
    struct sha256 binding; /* of caller and filter: what a cursor is for */
};

/* ---- cursors ---- */

static struct str binding_str(const struct filtering *f)
{
    return (struct str){(const char *)f->binding.b, sizeof f->binding.b};
}

static void bind_cursor(const struct http_call *call, struct filtering *f)
{
    const struct vault_filter *v = &f->filter;
    struct str nul = {"", 1};
    struct str parts[] = {caller_of(call)->actor,
                          nul,
                          call->route ? str_of(call->route->pattern) : nul,
                          nul,
                          f->consumer,
                          nul,
                          v->category,
                          nul,
                          v->source,
                          nul,
                          v->purpose};
    f->binding = sha256_parts(parts, COUNT(parts));
}

static int take_cursor(struct http_call *call, struct filtering *f, struct str text,
                       struct err *err)
{
    enum { HEAD = sizeof f->after.cid.b + sizeof f->after.seq };
    _cleanup_buf struct buf sealed = {0}, plain = {0};
    bind_cursor(call, f);
    if (!text.n)
        return 0;
    if (!base64url_decode(text, &sealed) ||
        unseal(&api_of(call)->cursor_key, binding_str(f), buf_view(&sealed), &plain, NULL) ||
        plain.n <= HEAD)
        return err_reason(err, LOV_EINVAL, "invalid_cursor", "after is not a cursor of this list");
    memcpy(f->after.cid.b, plain.p, sizeof f->after.cid.b);
    memcpy(&f->after.seq, plain.p + sizeof f->after.cid.b, sizeof f->after.seq);
    f->after.category = arena_str(&call->arena, (struct str){plain.p + HEAD, plain.n - HEAD});
    return 0;
}

static void write_cursor(struct http_call *call, const struct filtering *f,
                         const struct vault_place *last, bool more, struct jw *w)
{
    _cleanup_buf struct buf plain = {0}, sealed = {0}, text = {0};
    if (more) {
        buf_add(&plain, last->cid.b, sizeof last->cid.b);
        buf_add(&plain, &last->seq, sizeof last->seq);
        buf_str(&plain, last->category);
        seal(&api_of(call)->cursor_key, binding_str(f), buf_view(&plain), &sealed);
        base64url_encode(sealed.p, sealed.n, &text);
    }
    jw_optional_member(w, "next", buf_view(&text));
}

static int find_consumer(struct http_call *call, struct filtering *f, struct err *err)
{
    struct identity_row who;
    if (!f->consumer.n)
        return 0;
    int rc = f->consumer.n <= CONSUMER_ID_MAX
                 ? consumer_find(api_of(call)->engine, f->consumer, &who, err)
                 : 0;
    if (rc == 0)
        return err_reason(err, LOV_ENOTFOUND, "unknown_consumer", "there is no such consumer");
    f->cid = who.cid;
    f->filter.cid = &f->cid;
    return rc < 0 ? rc : 0;
}

/* ---- lists ---- */

struct listing {
    struct filtering filtering;
    int64_t limit;
    struct api *api;
    struct db *identities;
    struct jw w;
    int64_t count;
    struct vault_place last;
    struct buf category; /* of last */
    struct buf name;     /* of its consumer, as JSON */
    bool more;
    struct err err;
};

/* Records of a consumer stand together: the name is looked up once. */
static int name_consumer(struct listing *l, const struct uid *cid)
{
    struct jw w = {.out = &l->name};
    if (l->count && memcmp(l->last.cid.b, cid->b, sizeof cid->b) == 0)
        return 0;
    buf_clear(&l->name);
    return consumer_name_write(l->api, l->identities, cid, &w, &l->err);
}

static int write_about(void *ctx, const struct vault_about *a)
{
    struct listing *l = ctx;
    struct jw *w = &l->w;
    if (l->count == l->limit) {
        l->more = true;
        return 1;
    }
    int rc = name_consumer(l, &a->cid);
    if (rc)
        return rc;
    jw_object_start(w);
    jw_key(w, "id");
    jw_raw(w, STR("\""));
    consent_id_format(l->api->engine, 0, a->seq, w->out);
    buf_char(w->out, '"');
    jw_key(w, "consumer");
    jw_raw(w, buf_view(&l->name));
    jw_str_member(w, "category", a->category);
    jw_int_member(w, "version", a->version);
    jw_int_member(w, "event", a->event);
    jw_str_member(w, "source", a->source);
    jw_time_member(w, "observed_at", a->observed_at);
    jw_time_member(w, "retention_end", a->retention_end);
    jw_key(w, "limits");
    jw_raw(w, a->limits.n ? a->limits : STR("{}"));
    jw_object_end(w);
    l->count++;
    buf_clear(&l->category);
    buf_str(&l->category, a->category);
    l->last = (struct vault_place){a->cid, buf_view(&l->category), a->seq};
    return 0;
}

static int answer_listing(struct http_call *call)
{
    struct pending *p = call->work;
    struct listing *l = p->more;
    struct engine_write *w = &p->writes[0];
    struct db_pool *identities = engine_identities(l->api->engine);
    if (w->job.rc)
        return answer_problem(call, &w->job.err);
    int rc = db_pool_get(identities, &l->identities, &l->err);
    if (rc)
        return answer_problem(call, &l->err);
    /* One state of the store: otherwise each name takes its locks and looks whether it changed. */
    rc = identity_begin_read(engine_identity(l->api->engine), l->identities, &l->err);
    if (rc) {
        db_pool_put(identities, l->identities);
        return answer_problem(call, &l->err);
    }
    l->w = answer_start(call, 200);
    jw_object_start(&l->w);
    jw_array_member(&l->w, "items");
    rc = vault_list(l->api->vault, w, &l->filtering.after, l->limit + 1, write_about, l, &l->err);
    db_rollback(l->identities);
    db_pool_put(identities, l->identities);
    jw_array_end(&l->w);
    write_cursor(call, &l->filtering, &l->last, l->more, &l->w);
    jw_int_member(&l->w, "event", w->out_seq);
    jw_object_end(&l->w);
    buf_free(&l->name);
    buf_free(&l->category);
    return rc < 0 ? answer_problem(call, &l->err) : 0;
}

int metadata_list(struct http_call *call)
{
    static const char *const names[] = {"consumer", "category", "source", "purpose", NULL};
    struct listing *l = arena_alloc(&call->arena, sizeof *l);
    struct filtering *f = &l->filtering;
    struct str after = {0};
    int rc = request_page(call, names, &l->limit, &after, &l->err);
    http_query(call, "consumer", &f->consumer);
    http_query(call, "category", &f->filter.category);
    http_query(call, "source", &f->filter.source);
    http_query(call, "purpose", &f->filter.purpose);
    if (rc == 0)
        rc = take_cursor(call, f, after, &l->err);
    if (rc == 0)
        rc = find_consumer(call, f, &l->err);
    if (rc)
        return answer_problem(call, &l->err);
    l->api = api_of(call);
    struct pending *p = pending_new(call, NULL, 1);
    p->more = l;
    p->writes[0].consumer = f->consumer;
    vault_record_listing(&p->writes[0], &f->filter);
    return pending_submit(p, answer_listing);
}

/* ---- changes ---- */

struct where_request {
    struct str consumer, category, source, purpose;
};
#define MEMBER(kind, type, name, bound)                                                            \
    {                                                                                              \
#name, kind, offsetof(type, name), false, 0, bound                                         \
    }
static const struct json_field where_fields[] = {
    MEMBER(JSON_K_STRING, struct where_request, consumer, 0),
    MEMBER(JSON_K_NAME, struct where_request, category, 0),
    MEMBER(JSON_K_NAME, struct where_request, source, 0),
    MEMBER(JSON_K_NAME, struct where_request, purpose, 0),
};

struct set_request {
    struct str source;
    int64_t retention_end;
    const json_t *limits;
};
static const struct json_field set_fields[] = {
    MEMBER(JSON_K_NAME, struct set_request, source, 0),
    MEMBER(JSON_K_TIME, struct set_request, retention_end, 0),
    MEMBER(JSON_K_OBJECT, struct set_request, limits, 0),
};

struct change_request {
    const json_t *where, *set;
    struct str after;
};
static const struct json_field change_fields[] = {
    {"where", JSON_K_OBJECT, offsetof(struct change_request, where), true, 0, 0},
    {"after", JSON_K_STRING, offsetof(struct change_request, after), false, 0, 512},
    {"set", JSON_K_OBJECT, offsetof(struct change_request, set), true, 0, 0},
};

struct changing {
    struct filtering filtering;
    struct vault_bulk bulk;
    struct vault_bulk_part part;
    int64_t matched, changed, held;
    int parts;
};

static int submit_part(struct http_call *call, struct changing *x);

static int answer_part(struct http_call *call)
{
    struct pending *p = call->work;
    struct changing *x = p->more;
    const struct engine_write *w = &p->writes[0];
    if (w->job.rc)
        return answer_problem(call, &w->job.err);
    x->matched += x->part.matched;
    x->changed += x->part.changed;
    x->held += x->part.held;
    x->bulk.after = x->part.last;
    if (x->bulk.remove && x->part.changed)
        engine_unclean(api_of(call)->engine);
    if (x->part.more && ++x->parts < PARTS_A_CALL)
        return submit_part(call, x);
    struct jw j = answer_start(call, 200);
    jw_object_start(&j);
    jw_int_member(&j, "matched", x->matched);
    jw_int_member(&j, x->bulk.remove ? "deleted" : "changed", x->changed);
    if (x->bulk.remove)
        jw_int_member(&j, "on_hold", x->held);
    write_cursor(call, &x->filtering, &x->part.last, x->part.more, &j);
    jw_object_end(&j);
    return 0;
}

static int submit_part(struct http_call *call, struct changing *x)
{
    struct pending *p = pending_new(call, NULL, 1);
    p->more = x;
    vault_bulk(&p->writes[0], &x->bulk);
    return pending_submit(p, answer_part);
}

/* Nothing is done to everything by leaving the filter out. */
static int take_where(struct http_call *call, const struct change_request *in, struct filtering *f,
                      struct err *err)
{
    struct where_request where = {0};
    struct arena *arena = &call->arena;
    int rc = json_take(in->where, where_fields, COUNT(where_fields), JSON_REFUSE_UNKNOWN, "where",
                       arena, &where, err);
    if (rc)
        return rc;
    if (!where.consumer.n && !where.category.n && !where.source.n && !where.purpose.n)
        return err_reason(err, LOV_EINVAL, "missing_field",
                          "where: name a consumer, category, source or purpose");
    f->consumer = arena_str(arena, where.consumer);
    f->filter = (struct vault_filter){
        .category = arena_str(arena, where.category),
        .source = arena_str(arena, where.source),
        .purpose = arena_str(arena, where.purpose),
    };
    rc = take_cursor(call, f, in->after, err);
    return rc ? rc : find_consumer(call, f, err);
}

static int take_set(struct http_call *call, const struct change_request *in, struct vault_bulk *b,
                    struct err *err)
{
    struct set_request set = {.retention_end = TIME_NONE};
    if (b->remove)
        return 0;
    int rc = json_take(in->set, set_fields, COUNT(set_fields), JSON_REFUSE_UNKNOWN, "set",
                       &call->arena, &set, err);
    if (rc == 0)
        rc = vault_limits_take(set.limits, "set.limits", &call->arena, &b->limits, err);
    if (rc)
        return rc;
    b->source = arena_str(&call->arena, set.source);
    b->has_retention_end = json_object_get(in->set, "retention_end") != NULL;
    b->retention_end = set.retention_end;
    if (json_object_size(in->set) == 0)
        return err_reason(err, LOV_EINVAL, "missing_field",
                          "set: name a source, retention_end or limits");
    return 0;
}

static int change(struct http_call *call, bool remove)
{
    struct err err = {0};
    struct change_request in = {0};
    _cleanup_json json_t *body = NULL;
    struct changing *x = arena_alloc(&call->arena, sizeof *x);
    x->bulk.remove = remove;
    int rc = request_body(call, change_fields, COUNT(change_fields) - remove, JSON_REFUSE_UNKNOWN,
                          &in, &body, &err);
    if (rc == 0)
        rc = take_where(call, &in, &x->filtering, &err);
    if (rc == 0)
        rc = take_set(call, &in, &x->bulk, &err);
    if (rc)
        return answer_problem(call, &err);
    x->bulk.filter = x->filtering.filter;
    x->bulk.after = x->filtering.after;
    x->bulk.limit = PART;
    x->bulk.part = &x->part;
    return submit_part(call, x);
}

int metadata_change(struct http_call *call)
{
    return change(call, false);
}

int metadata_delete(struct http_call *call)
{
    return change(call, true);
}
