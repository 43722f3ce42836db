/* demo_load.c - fills the demo company. Many writes are under way at a time, so that one durable
 * commit takes hundreds: a slot holds one write with its memory, and comes back when it is done.
 * The writer keeps the order of submission, so a consumer is there before their answers; a
 * withdrawal needs the number of the consent that it takes back, so it follows from the consent's
 * end. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cli/demo.h"
#include "vault/vault.h"

enum { SLOTS = 1000, EXPIRE_AT_ONCE = 1000 };

struct loader;

struct slot {
    struct engine_write w; /* first: done() finds the slot by it */
    struct arena arena;
    struct loader *loader;
    struct slot *next;
    bool withdraw, is_first;
    size_t records;
};

struct loader {
    struct engine *e;
    const struct policy *policy;
    struct demo_counts *counts;             /* under lock */
    const struct policy_category *category; /* of purchases; NULL: the policy has none */
    const struct demo_customers *customers;
    size_t next_purchase; /* of the customers' list */
    int64_t today;
    struct progress progress;
    pthread_mutex_t lock;
    pthread_cond_t returned;
    struct slot *free; /* under lock */
    size_t free_count; /* under lock */
    struct err failed; /* under lock: the first one */
    struct slot slots[SLOTS];
};

/* ---- slots ---- */

static struct slot *take_slot(struct loader *l)
{
    pthread_mutex_lock(&l->lock);
    while (!l->free)
        pthread_cond_wait(&l->returned, &l->lock);
    struct slot *s = l->free;
    l->free = s->next;
    l->free_count--;
    bool failed = l->failed.code != 0;
    if (failed) {
        s->next = l->free;
        l->free = s;
        l->free_count++;
    }
    pthread_mutex_unlock(&l->lock);
    if (failed)
        return NULL;
    s->withdraw = s->is_first = false;
    s->records = 0;
    s->w = (struct engine_write){
        .actor = STR("local"),
        .arena = &s->arena,
        .expires_at = TIME_NONE,
        .given_at = TIME_NONE,
    };
    return s;
}

static void wait_for_all(struct loader *l)
{
    pthread_mutex_lock(&l->lock);
    while (l->free_count < SLOTS)
        pthread_cond_wait(&l->returned, &l->lock);
    pthread_mutex_unlock(&l->lock);
}

/* Under the lock. */
static void count(struct loader *l, const struct slot *s)
{
    struct demo_counts *n = l->counts;
    const struct engine_write *w = &s->w;
    if (w->job.rc) {
        if (!l->failed.code)
            l->failed = w->job.err;
        return;
    }
    n->consumers += w->kind == WRITE_CONSUMER;
    n->records += w->kind == WRITE_OTHER ? (int64_t)s->records : 0;
    n->consents += w->kind == WRITE_GIVE || w->kind == WRITE_REFUSE;
    n->given += w->kind == WRITE_GIVE;
    n->refused += w->kind == WRITE_REFUSE;
    n->withdrawn += w->kind == WRITE_WITHDRAW;
    if (s->is_first)
        consent_id_format(l->e, w->out.shard, w->out.seq, &n->first);
}

static void done(struct engine_write *w)
{
    struct slot *s = (struct slot *)w;
    struct loader *l = s->loader;
    bool again = s->withdraw && w->job.rc == 0;
    pthread_mutex_lock(&l->lock);
    count(l, s);
    pthread_mutex_unlock(&l->lock);
    if (again) {
        s->withdraw = false;
        s->w = (struct engine_write){
            .kind = WRITE_WITHDRAW,
            .actor = STR("local"),
            .arena = &s->arena,
            .shard = w->out.shard,
            .consent = w->out.seq,
            .channel = STR("import"),
            .expires_at = TIME_NONE,
            .given_at = TIME_NONE,
            .done = done,
        };
        engine_submit(l->e, &s->w);
        return;
    }
    arena_free(&s->arena);
    pthread_mutex_lock(&l->lock);
    s->next = l->free;
    l->free = s;
    l->free_count++;
    pthread_cond_signal(&l->returned);
    pthread_mutex_unlock(&l->lock);
}

static void submit(struct slot *s)
{
    s->w.done = done;
    engine_submit(s->loader->e, &s->w);
}

/* ---- what is written ---- */

static bool load_consumer(struct loader *l, const struct demo_person *p)
{
    struct slot *s = take_slot(l);
    if (!s)
        return false;
    s->w.kind = WRITE_CONSUMER;
    s->w.consumer = arena_str(&s->arena, str_of(p->id));
    s->w.set.has_residence = true;
    s->w.set.residence = str_of(p->residence);
    submit(s);
    return true;
}

static bool load_answer(struct loader *l, const struct demo_person *p,
                        const struct policy_activity *a, const struct demo_answer *answer)
{
    struct slot *s = take_slot(l);
    if (!s)
        return false;
    struct engine_write *w = &s->w;
    w->kind = answer->give ? WRITE_GIVE : WRITE_REFUSE;
    w->consumer = arena_str(&s->arena, str_of(p->id));
    w->purpose = a->purpose->id;
    w->recipient = a->recipient->id;
    w->category_count = answer->categories;
    w->categories = arena_array(&s->arena, answer->categories, sizeof *w->categories);
    for (size_t i = 0; i < answer->categories; i++)
        w->categories[i] = a->categories[i]->id;
    w->notice = (struct notice_shown){
        .id = a->notice->id,
        .version = a->notice->version,
        .language =
            policy_notice_text(a->notice, p->language) ? p->language : l->policy->languages[0],
    };
    w->channel = answer->days_ago ? STR("import") : STR("web");
    if (answer->days_ago)
        w->given_at =
            l->today - (int64_t)answer->days_ago * DAY_MS + answer->seconds * INT64_C(1000);
    s->withdraw = answer->withdrawn;
    s->is_first = p->number == 1 && answer->days_ago == 0;
    submit(s);
    return true;
}

/* The dates are moved by whole days, so that the last purchase of all was yesterday. */
static int64_t moved(const struct loader *l, const struct demo_purchase *bought, unsigned seconds)
{
    int64_t day = bought->day - l->customers->last_day - 1;
    return l->today + day * DAY_MS + seconds * INT64_C(1000);
}

/* False where the policy's category is not the demo's: then nothing is stored. */
static bool check_purchase(struct loader *l, const struct demo_person *p, unsigned n,
                           const struct demo_purchase *bought, struct arena *arena,
                           struct vault_content *out)
{
    struct demo_goods goods = demo_goods(p, n);
    _cleanup_buf struct buf when = {0};
    char order[32], *dollars = arena_cstr(arena, bought->dollars);
    int64_t at = moved(l, bought, goods.seconds);
    time_format(at, &when);
    snprintf(order, sizeof order, "%s-%u", p->id, n + 1);
    _cleanup_json json_t *data =
        json_pack("{s:s,s:s,s:s,s:s,s:i,s:{s:s,s:s}}", "order_id", order, "bought_at", when.p,
                  "product", "CD", "department", goods.department, "quantity", (int)bought->cds,
                  "amount", "amount", dollars, "currency", "USD");
    *out = (struct vault_content){
        .source = STR("cdnow"), .observed_at = at, .retention_end = TIME_NONE};
    return vault_check(l->category, data, arena, out, NULL) == 0;
}

static bool load_purchases(struct loader *l, const struct demo_person *p)
{
    const struct demo_purchase *list = l->customers->list + l->next_purchase;
    unsigned count = p->purchases;
    l->next_purchase += count;
    if (!l->category || !count)
        return true;
    struct slot *s = take_slot(l);
    if (!s)
        return false;
    struct vault_change *change = arena_alloc(&s->arena, sizeof *change);
    change->category = l->category->id;
    change->items = arena_array(&s->arena, count, sizeof *change->items);
    for (unsigned i = 0; i < count; i++)
        if (check_purchase(l, p, i, &list[i], &s->arena, &change->items[change->count]))
            change->count++;
    s->records = change->count;
    s->w.consumer = arena_str(&s->arena, str_of(p->id));
    vault_put(&s->w, change);
    submit(s);
    return true;
}

static bool load_person(struct loader *l, const struct demo_person *p)
{
    const struct policy_law *law = policy_law_of(l->policy, str_of(p->residence));
    bool ok = load_consumer(l, p) && load_purchases(l, p);
    for (size_t i = 0; i < l->policy->activity_count && ok; i++) {
        const struct policy_activity *a = &l->policy->activities[i];
        struct demo_answer answer = demo_draw(p, a, a->basis[law->index]);
        if (answer.asked)
            ok = load_answer(l, p, a, &answer);
    }
    return ok;
}

/* Consents that ran out before today are recorded as such. */
static int expire(struct loader *l, struct err *err)
{
    int64_t written;
    do {
        _cleanup_arena struct arena arena = {0};
        struct engine_write w = {
            .kind = WRITE_EXPIRE,
            .actor = STR("lov"),
            .arena = &arena,
            .limit = EXPIRE_AT_ONCE,
            .expires_at = TIME_NONE,
            .given_at = TIME_NONE,
        };
        int rc = engine_run(l->e, &w, err);
        if (rc)
            return rc;
        written = w.written;
        l->counts->expired += written;
    } while (written == EXPIRE_AT_ONCE);
    return 0;
}

/* So that there are sums to ask for at once. */
static int aggregate(struct loader *l, struct err *err)
{
    struct vault *vault;
    int64_t blocks;
    int rc = vault_open(l->e, &vault, err);
    if (rc)
        return rc;
    do
        rc = vault_aggregate(vault, &blocks, err);
    while (rc == 0 && blocks);
    vault_close(vault);
    return rc;
}

static struct loader *loader_new(struct engine *e, const struct policy *policy,
                                 const struct demo_customers *customers, struct demo_counts *counts)
{
    struct loader *l = mem_zero(sizeof *l);
    l->e = e;
    l->policy = policy;
    l->counts = counts;
    l->customers = customers;
    l->category = policy_category(policy, STR("purchases"));
    l->today = clock_now() / DAY_MS * DAY_MS;
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->returned, NULL);
    for (size_t i = 0; i < SLOTS; i++) {
        l->slots[i].loader = l;
        l->slots[i].next = l->free;
        l->free = &l->slots[i];
    }
    l->free_count = SLOTS;
    progress_start(&l->progress, "consumers");
    return l;
}

int demo_load(struct engine *e, const struct demo_customers *customers, struct demo_counts *out,
              struct err *err)
{
    struct rules *rules = engine_rules(e);
    if (!rules)
        return err_reason(err, LOV_EUNAVAILABLE, "no_policy", "the demo policy is not in force");
    struct loader *l = loader_new(e, rules_policy(rules), customers, out);
    bool ok = true;
    for (unsigned number = 1; number <= customers->count && ok; number++) {
        struct demo_person p = demo_person(customers, number);
        ok = load_person(l, &p);
        progress_show(&l->progress, (double)number / (double)customers->count, number);
    }
    wait_for_all(l);
    progress_end(&l->progress);
    int rc = l->failed.code;
    if (rc && err)
        *err = l->failed;
    if (rc == 0)
        rc = expire(l, err);
    if (rc == 0)
        rc = aggregate(l, err);
    pthread_cond_destroy(&l->returned);
    pthread_mutex_destroy(&l->lock);
    free(l);
    rules_unref(rules);
    return rc;
}
