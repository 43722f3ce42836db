/* summary.c - what a summary tells a consumer: who used their data in the months that have ended,
 * for what, how often, and how many yeses stand. */
#include "notify/private.h"

enum { MOST_ACTIVITIES = 50, MOST_EVENTS = 20000 };

struct use {
    struct str activity;
    int64_t count;
};

struct counting {
    struct arena *arena;
    int64_t from, to; /* instants */
    struct use uses[MOST_ACTIVITIES];
    size_t count;
    int64_t others, yes;
};

/* How many months end with this one, for who wants so many summaries; 0: none. */
static int months_of(enum message_summary summary, int month)
{
    switch (summary) {
    case SUMMARY_MONTHLY:
        return 1;
    case SUMMARY_QUARTERLY:
        return (month - 1) % 3 == 0 ? 3 : 0;
    case SUMMARY_YEARLY:
        return month == 1 ? 12 : 0;
    default:
        return 0;
    }
}

static int32_t months_before(int32_t day, int months)
{
    struct civil c = civil_from_days(day);
    c.month -= months;
    while (c.month < 1) {
        c.month += 12;
        c.year--;
    }
    return days_from_civil(c);
}

static void count_use(struct counting *c, struct str activity)
{
    for (size_t i = 0; i < c->count; i++) {
        if (str_eq(c->uses[i].activity, activity)) {
            c->uses[i].count++;
            return;
        }
    }
    if (c->count < MOST_ACTIVITIES)
        c->uses[c->count++] = (struct use){arena_str(c->arena, activity), 1};
    else
        c->others++;
}

enum { ENOUGH = 1 };

static int see_event(void *ctx, const struct ledger_event *event)
{
    struct counting *c = ctx;
    if (event->at < c->from)
        return ENOUGH;
    if (event->at < c->to && str_is(event->kind, "access"))
        count_use(c, event->activity);
    return 0;
}

static int see_consent(void *ctx, const struct consent *consent)
{
    struct counting *c = ctx;
    c->yes += consent->status == CONSENT_ACTIVE;
    return 0;
}

static void write_json(const struct counting *c, int32_t from, int32_t to, struct buf *out)
{
    _cleanup_buf struct buf first = {0}, last = {0};
    struct jw w = {.out = out};
    date_format(from, &first);
    date_format(to - 1, &last);
    jw_object_start(&w);
    jw_cstr_member(&w, "kind", "summary");
    jw_str_member(&w, "from", buf_view(&first));
    jw_str_member(&w, "to", buf_view(&last));
    jw_int_member(&w, "yes", c->yes);
    jw_array_member(&w, "uses");
    for (size_t i = 0; i < c->count; i++) {
        struct str purpose = c->uses[i].activity, recipient = str_cut(&purpose, '/');
        jw_object_start(&w);
        jw_str_member(&w, "recipient", recipient);
        jw_str_member(&w, "purpose", purpose);
        jw_int_member(&w, "count", c->uses[i].count);
        jw_object_end(&w);
    }
    jw_array_end(&w);
    jw_int_member(&w, "more", c->others);
    jw_object_end(&w);
}

static int count_all(struct engine *e, struct db *lov, const struct consumer *who,
                     struct counting *c, struct err *err)
{
    int rc = ledger_back(lov, who->who.shard, who->last_event, MOST_EVENTS, see_event, c, err);
    if (rc >= 0)
        rc = consent_list_living(e, &who->who, c->arena, see_consent, c, err);
    return rc < 0 ? rc : 0;
}

int summary_write(struct engine *e, struct db *lov, struct db *identities, const struct uid *cid,
                  int32_t month, struct arena *arena, uint32_t *shard, struct buf *out,
                  struct err *err)
{
    struct message_settings settings;
    struct identity_row row;
    struct consumer who = {0};
    _cleanup_buf struct buf name = {0};
    int rc = identity_find_cid(identities, cid, &row, err);
    if (rc != 1)
        return rc;
    rc = settings_read(lov, row.shard, cid, &settings, err);
    if (rc)
        return rc;
    int months = months_of(settings.summary, civil_from_days(month).month);
    if (!months)
        return 0;
    rc = identity_name(engine_identity(e), identities, cid, &name, err);
    if (rc == 1)
        rc = consumer_get(e, buf_view(&name), arena, &who, err);
    if (rc != 1)
        return rc;
    struct counting *c = arena_alloc(arena, sizeof *c);
    int32_t from = months_before(month, months);
    c->arena = arena;
    c->from = date_start(from);
    c->to = date_start(month);
    rc = count_all(e, lov, &who, c, err);
    if (rc)
        return rc;
    *shard = row.shard;
    write_json(c, from, month, out);
    return 1;
}
