/* write.c - records are put, corrected, deleted and expire on the writer's thread: the row and the
 * event that says so, in one transaction.
 *
 * What is written was checked against a policy before it came here, and another may be in force by
 * now: the category's form, which stands for its fields, must still be the same. */
#include <string.h>

#include "vault/issue.h"
#include "vault/private.h"
#include "vault/quality.h"

enum { FUTURE_TOLERANCE_MS = 60000, ERASED_AT_ONCE = 1000 };

/* ---- what every change needs ---- */

static int need_policy(const struct write_scope *scope, struct err *err)
{
    if (scope->policy)
        return 0;
    return err_reason(err, LOV_EUNAVAILABLE, "no_policy",
                      "no policy is in force: apply one with lov policy apply");
}

static int need_consumer(const struct write_scope *scope, struct err *err)
{
    if (scope->who)
        return 0;
    return err_reason(err, LOV_ENOTFOUND, "unknown_consumer", "there is no such consumer");
}

/* The category, and how long what was observed then may be kept. */
static int need_category(const struct write_scope *scope, struct str id,
                         const struct policy_category **out, int64_t *kept_ms, struct err *err)
{
    const struct policy_category *c = policy_category(scope->policy, id);
    if (!c)
        return err_reason(err, LOV_EINVAL, "unknown_category", "the policy has no such category");
    int days = policy_retention_days(scope->policy, c);
    if (!days)
        return err_reason(err, LOV_EINVAL, "not_in_policy",
                          "no activity uses category %.*s, so nothing of it may be kept",
                          STR_ARG(c->id));
    *out = c;
    *kept_ms = days * (int64_t)DAY_MS;
    return 0;
}

static int check_times(const struct write_scope *scope, const struct record *r, int64_t kept_ms,
                       struct err *err)
{
    if (r->observed_at > scope->now + FUTURE_TOLERANCE_MS)
        return err_reason(err, LOV_EINVAL, "time_out_of_range",
                          "observed_at: a time that has been");
    if (r->observed_at + kept_ms <= scope->now ||
        (r->retention_end != TIME_NONE && r->retention_end <= scope->now))
        return err_reason(err, LOV_EINVAL, "retention_over",
                          "the record is older than the policy lets it be kept");
    return 0;
}

static int check_form(const struct policy_category *c, const struct vault_content *content,
                      struct err *err)
{
    if (memcmp(content->form, c->form, sizeof c->form) == 0)
        return 0;
    return err_reason(err, LOV_EUNAVAILABLE, "unavailable",
                      "the policy changed while the record was written: send it again");
}

static void seal_record(struct write_scope *scope, const struct secret *key,
                        const struct vault_content *content, struct record *r)
{
    _cleanup_buf struct buf about = {0}, plain = {0}, sealed = {0};
    buf_char(&plain, SEALED_FORMAT);
    buf_add(&plain, content->form, sizeof content->form);
    buf_str(&plain, content->json);
    seal(key, record_associated(r, &about), buf_view(&plain), &sealed);
    secret_wipe_bytes(plain.p, plain.n);
    r->sealed = arena_str(scope->arena, buf_view(&sealed));
}

static int data_key(struct write_scope *scope, struct secret *out, struct err *err)
{
    int rc = identity_data_key(engine_identity(scope->engine), scope->identities, &scope->who->cid,
                               out, err);
    return rc == 0 ? err_reason(err, LOV_ECONFLICT, "erased", "the consumer was erased")
                   : (rc < 0 ? rc : 0);
}

static int append(struct write_scope *scope, const char *kind, const struct record *r, int64_t *seq,
                  struct err *err)
{
    _cleanup_buf struct buf body = {0};
    record_body(r, &body);
    return engine_append(scope, kind, (struct str){0}, buf_view(&body), seq, err);
}

/* ---- put ---- */

/* What is narrower than the policy, on top of what it is. */
static int set_limits(struct write_scope *scope, const struct vault_content *content,
                      struct record *r, struct err *err)
{
    int rc = limits_check(scope->policy, &content->limits, err);
    return rc ? rc : limits_merge(r->limits, &content->limits, scope->arena, &r->limits, err);
}

static int put_one(struct engine_write *w, struct write_scope *scope, const struct secret *key,
                   const struct policy_category *category, int64_t kept_ms,
                   const struct vault_content *content, struct record *out, struct err *err)
{
    int64_t next = ledger_next(engine_ledger(scope->engine), scope->who->shard), seq;
    struct record r = {
        .shard = scope->who->shard,
        .cid = scope->who->cid,
        .category = category->id,
        .seq = next,
        .event = next,
        .version = 1,
        .source = content->source,
        .observed_at = content->observed_at == TIME_NONE ? scope->now : content->observed_at,
        .retention_end = content->retention_end,
    };
    int rc = check_times(scope, &r, kept_ms, err);
    if (rc == 0)
        rc = set_limits(scope, content, &r, err);
    if (rc)
        return rc;
    seal_record(scope, key, content, &r);
    rc = append(scope, "record.put", &r, &seq, err);
    if (rc == 0 && seq != r.seq)
        bug("a record's event has another number than its record");
    if (rc == 0)
        rc = record_insert(scope->lov, &r, err);
    if (w->out_seq < 0)
        w->out_seq = r.seq;
    *out = r;
    return rc;
}

static int put(struct engine_write *w, struct write_scope *scope, struct err *err)
{
    const struct vault_change *change = w->input;
    const struct policy_category *category = NULL;
    _cleanup_secret struct secret key = {0};
    int64_t kept_ms = 0;
    w->out_seq = -1;
    int rc = need_policy(scope, err);
    if (rc == 0)
        rc = need_category(scope, change->category, &category, &kept_ms, err);
    if (rc == 0)
        rc = need_consumer(scope, err);
    if (rc == 0)
        rc = data_key(scope, &key, err);
    for (size_t i = 0; rc == 0 && i < change->count; i++)
        rc = check_form(category, &change->items[i], err);
    struct record *records = arena_array(scope->arena, change->count + 1, sizeof *records);
    for (size_t i = 0; rc == 0 && i < change->count; i++)
        rc = put_one(w, scope, &key, category, kept_ms, &change->items[i], &records[i], err);
    for (size_t i = 0; rc == 0 && i < change->count; i++)
        rc = quality_check(change->vault, scope, &key, category, &records[i], &change->items[i],
                           false, err);
    return rc;
}

/* ---- correct and delete ---- */

static int find_record(struct write_scope *scope, const struct vault_change *change,
                       struct record *out, struct err *err)
{
    int rc = need_consumer(scope, err);
    if (rc)
        return rc;
    rc = record_get(scope->lov, scope->who->shard, &scope->who->cid, change->category,
                    change->record, scope->arena, out, err);
    if (rc < 0)
        return rc;
    if (rc == 0 || (change->only_source.n && !str_eq(change->only_source, out->source)))
        return err_reason(err, LOV_ENOTFOUND, "unknown_record", "there is no such record");
    if (change->version && change->version != out->version)
        return err_reason(err, LOV_ECONFLICT, "record_moved_on",
                          "the record has version %lld by now, not %lld: look at it again",
                          (long long)out->version, (long long)change->version);
    return 0;
}

/* Puts other content in the place of what *r has. */
static int rewrite(struct engine_write *w, struct write_scope *scope, struct vault *v,
                   const struct secret *key, const struct policy_category *category,
                   int64_t kept_ms, const struct vault_content *content, struct record *r,
                   struct err *err)
{
    r->version++;
    r->source = content->source;
    if (content->observed_at != TIME_NONE)
        r->observed_at = content->observed_at;
    if (content->retention_end != TIME_NONE)
        r->retention_end = content->retention_end;
    int rc = check_times(scope, r, kept_ms, err);
    if (rc == 0)
        rc = set_limits(scope, content, r, err);
    if (rc)
        return rc;
    seal_record(scope, key, content, r);
    rc = append(scope, "record.correct", r, &r->event, err);
    if (rc == 0)
        rc = record_replace(scope->lov, r, err);
    w->out_seq = r->event;
    w->written = r->version;
    return rc ? rc : quality_check(v, scope, key, category, r, content, true, err);
}

static int correct(struct engine_write *w, struct write_scope *scope, struct err *err)
{
    const struct vault_change *change = w->input;
    const struct policy_category *category = NULL;
    struct record r = {0};
    _cleanup_secret struct secret key = {0};
    int64_t kept_ms = 0;
    int rc = need_policy(scope, err);
    if (rc == 0)
        rc = need_category(scope, change->category, &category, &kept_ms, err);
    if (rc == 0)
        rc = check_form(category, change->items, err);
    if (rc == 0)
        rc = find_record(scope, change, &r, err);
    if (rc == 0)
        rc = data_key(scope, &key, err);
    return rc ? rc
              : rewrite(w, scope, change->vault, &key, category, kept_ms, change->items, &r, err);
}

int end_record(struct write_scope *scope, const char *kind, const struct record *r, int64_t *event,
               struct err *err)
{
    _cleanup_buf struct buf body = {0};
    struct jw j = {.out = &body};
    jw_object_start(&j);
    jw_int_member(&j, "record", r->seq);
    jw_str_member(&j, "category", r->category);
    jw_int_member(&j, "version", r->version);
    jw_object_end(&j);
    int rc = engine_append(scope, kind, (struct str){0}, buf_view(&body), event, err);
    if (rc == 0)
        rc = record_remove(scope->lov, r, err);
    return rc ? rc : quality_forget(scope, r, err);
}

static int delete_one(struct engine_write *w, struct write_scope *scope, struct err *err)
{
    struct record r = {0};
    int rc = find_record(scope, w->input, &r, err);
    if (rc == 0)
        rc = held_refuse(scope, r.category, err);
    return rc ? rc : end_record(scope, "record.delete", &r, &w->out_seq, err);
}

/* ---- answers to questions ---- */

static int find_issue(struct write_scope *scope, int64_t seq, struct issue *out, struct err *err)
{
    int rc = need_consumer(scope, err);
    if (rc)
        return rc;
    rc = issue_get(scope->lov, scope->who->shard, &scope->who->cid, seq, scope->arena, out, err);
    if (rc == 0)
        return err_reason(err, LOV_ENOTFOUND, "unknown_issue",
                          "there is no such issue, or it is settled");
    return rc < 0 ? rc : 0;
}

static int take_proposal(const struct issue *i, const struct secret *key, json_t **out,
                         struct err *err)
{
    _cleanup_buf struct buf text = {0};
    int rc = issue_proposal(i, key, &text, err);
    if (rc == 0 && !text.n)
        rc = err_reason(err, LOV_ECONFLICT, "no_proposal",
                        "nothing is proposed: correct the record, or confirm it");
    if (rc == 0)
        rc = json_read(buf_view(&text), out, err);
    secret_wipe_bytes(text.p, text.n);
    return rc;
}

static int apply_proposal(struct engine_write *w, struct write_scope *scope, struct vault *v,
                          const struct issue *i, const struct secret *key, const json_t *proposal,
                          struct err *err)
{
    const struct policy_category *category = NULL;
    const struct vault_change change = {
        .category = i->category, .record = i->record, .version = i->version};
    struct vault_content content = {.observed_at = TIME_NONE, .retention_end = TIME_NONE};
    struct record r = {0};
    int64_t kept_ms = 0;
    int rc = find_record(scope, &change, &r, err);
    if (rc == 0 && json_is_true(json_object_get(proposal, "drop"))) {
        rc = held_refuse(scope, r.category, err);
        return rc ? rc : end_record(scope, "record.delete", &r, &w->out_seq, err);
    }
    if (rc == 0)
        rc = need_policy(scope, err);
    if (rc == 0)
        rc = need_category(scope, i->category, &category, &kept_ms, err);
    if (rc == 0)
        rc = vault_check(category, json_object_get(proposal, "data"), scope->arena, &content, err);
    content.source = r.source;
    return rc ? rc : rewrite(w, scope, v, key, category, kept_ms, &content, &r, err);
}

static int settle(struct engine_write *w, struct write_scope *scope, struct err *err)
{
    const struct vault_answer *answer = w->input;
    struct issue i;
    _cleanup_secret struct secret key = {0};
    _cleanup_json json_t *proposal = NULL;
    int rc = find_issue(scope, answer->issue, &i, err);
    w->out_seq = answer->issue;
    if (rc == 0 && !answer->accept)
        return issue_close(scope, i.record, i.seq, "confirmed", &w->written, err);
    if (rc == 0)
        rc = data_key(scope, &key, err);
    if (rc == 0)
        rc = take_proposal(&i, &key, &proposal, err);
    return rc ? rc : apply_proposal(w, scope, answer->vault, &i, &key, proposal, err);
}

/* ---- expire ---- */

/* The records of one consumer and category that are due, collected before the first is deleted. */
static int list_due(struct write_scope *scope, const struct vault_ending *ending,
                    struct record *out, size_t *count, struct err *err)
{
    static const char sql[] = "select " RECORD_COLUMNS " from record where shard = $1 and "
                              "cid = $2 and category = $3 and (observed_at <= $4 or "
                              "retention_end <= $5) order by seq limit $6";
    struct db_stmt *s = db_use(scope->lov, sql);
    db_bind_int(s, 1, scope->who->shard);
    db_bind_blob(s, 2, uid_str(&scope->who->cid));
    db_bind_text(s, 3, ending->category);
    db_bind_int(s, 4, ending->before);
    db_bind_int(s, 5, scope->now);
    db_bind_int(s, 6, ending->limit);
    int rc;
    while ((rc = db_step(s, err)) == 1) {
        struct record *r = &out[(*count)++];
        if (!record_from_row(s, scope->who->shard, r)) {
            db_done(s);
            return err_set(err, LOV_ECORRUPT, "a record's row is damaged: run lov log verify");
        }
        r->category = ending->category;
        r->source = r->sealed = r->limits = (struct str){0};
    }
    return rc;
}

/* Ends what list_due() lists, by events of that kind; *ended says how many. */
static int end_due(struct write_scope *scope, const struct vault_ending *ending, const char *kind,
                   int64_t *ended, struct err *err)
{
    size_t count = 0;
    int64_t event;
    struct record *due = arena_array(scope->arena, (size_t)ending->limit, sizeof *due);
    int rc = list_due(scope, ending, due, &count, err);
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = end_record(scope, kind, &due[i], &event, err);
    *ended = (int64_t)count;
    return rc;
}

static int expire(struct engine_write *w, struct write_scope *scope, struct err *err)
{
    const struct vault_ending *ending = w->input;
    w->written = 0;
    if (!scope->who)
        return 0;
    int rc = held_any(scope->lov, scope->who, ending->category, scope->now, err);
    if (rc)
        return rc < 0 ? rc : 0;
    return end_due(scope, ending, "record.expire", &w->written, err);
}

int vault_erase_category(struct write_scope *scope, struct str category, int64_t *erased,
                         struct err *err)
{
    const struct vault_ending all = {category, INT64_MAX, ERASED_AT_ONCE};
    int64_t some = 0, sum = 0;
    int rc = need_consumer(scope, err);
    if (rc == 0)
        rc = held_refuse(scope, category, err);
    do {
        if (rc == 0)
            rc = end_due(scope, &all, "record.delete", &some, err);
        sum += some;
    } while (rc == 0 && some == ERASED_AT_ONCE);
    *erased = sum;
    return rc;
}

/* ---- the door ---- */

static void make(struct engine_write *w, const void *change,
                 int (*other)(struct engine_write *w, struct write_scope *scope, struct err *err))
{
    w->kind = WRITE_OTHER;
    w->other = other;
    w->input = change;
}

void vault_put(struct vault *v, struct engine_write *w, struct vault_change *change)
{
    change->vault = v;
    make(w, change, put);
}

void vault_correct(struct vault *v, struct engine_write *w, struct vault_change *change)
{
    change->vault = v;
    make(w, change, correct);
}

void vault_delete(struct vault *v, struct engine_write *w, struct vault_change *change)
{
    change->vault = v;
    make(w, change, delete_one);
}

void vault_settle(struct vault *v, struct engine_write *w, struct vault_answer *answer)
{
    answer->vault = v;
    make(w, answer, settle);
}

void vault_expire(struct engine_write *w, const struct vault_ending *ending)
{
    make(w, ending, expire);
}
