/* events.c - the ledger as callers see it: one consumer's history, and all events in order. */
#include <string.h>

#include "api/private.h"
#include "base/clock.h"

struct event_list {
    struct http_call *call;
    struct jw w;
    struct db *identities; /* NULL: no names (one consumer's history) */
    bool open_sealed;
    int64_t limit, count, last;
    bool more;
    struct err err;
    struct str kind;  /* "access", or all that begin with "consent."; empty: every */
    int64_t from, to; /* ms UTC, [from, to); TIME_NONE: no end */
    bool ended;       /* an event was not before `to` */
};

static bool is_wanted(const struct event_list *list, struct str kind)
{
    if (str_ends(list->kind, STR(".")))
        return str_starts(kind, list->kind);
    return !list->kind.n || str_eq(kind, list->kind);
}

static int event_row(void *ctx, const struct ledger_event *event)
{
    struct event_list *list = ctx;
    if (list->to != TIME_NONE && event->at >= list->to) {
        list->ended = true;
        return 1;
    }
    if (!is_wanted(list, event->kind))
        return 0;
    if (list->count == list->limit) {
        list->more = true;
        return 1;
    }
    list->count++;
    list->last = event->seq;
    struct event_view view = {
        .engine = api_of(list->call)->engine,
        .identities = list->identities,
        .open_sealed = list->open_sealed,
    };
    return event_write(&view, event, &list->w, &list->err);
}

/* ---- lists ---- */

static void list_start(struct event_list *list)
{
    list->w = answer_start(list->call, 200);
    jw_object_start(&list->w);
    jw_array_member(&list->w, "items");
}

static void list_end(struct event_list *list)
{
    jw_array_end(&list->w);
    answer_next(list->call, &list->w, list->more, list->last);
    jw_object_end(&list->w);
}

/* The cursor is the number of the last event on the page before. */
static int take_cursor(struct str after, int64_t *seq, struct err *err)
{
    *seq = -1;
    if (!after.n || str_to_int(after, -1, INT64_MAX - 1, seq))
        return 0;
    return err_reason(err, LOV_EINVAL, "invalid_cursor", "after is not a cursor of this list");
}

static int read_history(struct event_list *list, const struct consumer *who, int64_t after)
{
    struct db_pool *pool = engine_lov(api_of(list->call)->engine);
    struct db *db;
    int rc = db_pool_get(pool, &db, &list->err);
    if (rc)
        return rc;
    list_start(list);
    rc = ledger_history(db, who->who.shard, who->last_event, after, list->limit + 1, event_row,
                        list, &list->err);
    list_end(list);
    db_pool_put(pool, db);
    return rc < 0 ? rc : 0;
}

int history_list(struct http_call *call)
{
    struct event_list list = {
        .call = call,
        .to = TIME_NONE,
        .open_sealed = (caller_of(call)->permissions & MAY_READ_EVIDENCE) != 0,
    };
    struct str after = {0}, id = call->param[0];
    struct consumer who = {0};
    int64_t seq = -1;
    int rc = request_page(call, NULL, &list.limit, &after, &list.err);
    if (rc == 0)
        rc = take_cursor(after, &seq, &list.err);
    if (rc == 0 && id.n <= CONSUMER_ID_MAX)
        rc = consumer_get(api_of(call)->engine, id, &call->arena, &who, &list.err);
    if (rc == 0 && !list.err.code)
        rc = err_reason(&list.err, LOV_ENOTFOUND, "unknown_consumer", "there is no such consumer");
    if (rc == 1)
        rc = read_history(&list, &who, seq);
    return rc ? answer_problem(call, &list.err) : 0;
}

static int read_events(struct event_list *list, struct db *db, struct ledger_filter *filter)
{
    int64_t scanned, size = 0, first = 0;
    struct sha256 root;
    int rc = ledger_head(db, filter->shard, &size, &root, &list->err);
    if (rc == 0 && list->from != TIME_NONE)
        rc = ledger_since(db, filter->shard, size, list->from, &first, &list->err);
    if (rc)
        return rc;
    if (first - 1 > filter->after)
        filter->after = first - 1;
    scanned = filter->after;
    list_start(list);
    rc = ledger_read(db, filter, event_row, list, &scanned, &list->err);
    /* A page that is cut to a recipient or a kind may end early, and even be empty: there is more
     * all the same. */
    if (rc == 0) {
        list->last = scanned;
        list->more = scanned + 1 < size;
    } else if (list->ended) {
        list->more = false;
    }
    list_end(list);
    return rc < 0 ? rc : 0;
}

static int take_shard(struct http_call *call, uint32_t *out, struct err *err)
{
    struct str text;
    int64_t shard = 0;
    if (http_query(call, "shard", &text) && !str_to_int(text, 0, UINT32_MAX, &shard))
        return err_reason(err, LOV_EINVAL, "invalid_query", "shard is a number");
    *out = (uint32_t)shard;
    return 0;
}

static int take_time(struct http_call *call, const char *name, int64_t *out, struct err *err)
{
    struct str text;
    *out = TIME_NONE;
    if (http_query(call, name, &text) && !time_parse(text, out))
        return err_reason(err, LOV_EINVAL, "invalid_query", "%s is an RFC 3339 time", name);
    return 0;
}

/* What a search cuts the list to. A recipient's key sees its own activities, whatever it asks. */
static int take_search(struct http_call *call, struct event_list *list,
                       struct ledger_filter *filter, struct err *err)
{
    enum { SCANNED = 100000 };
    struct str text;
    http_query(call, "kind", &list->kind);
    if (http_query(call, "recipient", &text) && !filter->recipient.n)
        filter->recipient = text;
    filter->limit = list->kind.n ? SCANNED : list->limit;
    int rc = take_time(call, "from", &list->from, err);
    return rc ? rc : take_time(call, "to", &list->to, err);
}

int events_list(struct http_call *call)
{
    static const char *const more[] = {"shard", "kind", "recipient", "from", "to", NULL};
    struct engine *e = api_of(call)->engine;
    struct event_list list = {.call = call};
    struct ledger_filter filter = {.recipient = caller_of(call)->recipient};
    struct str after = {0};
    struct db *db;
    int rc = request_page(call, more, &list.limit, &after, &list.err);
    if (rc == 0)
        rc = take_cursor(after, &filter.after, &list.err);
    if (rc == 0)
        rc = take_shard(call, &filter.shard, &list.err);
    if (rc == 0)
        rc = take_search(call, &list, &filter, &list.err);
    if (rc == 0)
        rc = db_pool_get(engine_lov(e), &db, &list.err);
    if (rc)
        return answer_problem(call, &list.err);
    rc = db_pool_get(engine_identities(e), &list.identities, &list.err);
    if (rc == 0) {
        /* One state of the store: otherwise each name takes its locks and looks whether it changed.
         */
        rc = identity_begin_read(engine_identity(e), list.identities, &list.err);
        if (rc == 0) {
            rc = read_events(&list, db, &filter);
            db_rollback(list.identities);
        }
        db_pool_put(engine_identities(e), list.identities);
    }
    db_pool_put(engine_lov(e), db);
    return rc ? answer_problem(call, &list.err) : 0;
}
