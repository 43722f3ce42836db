/* store.c - the versions that were applied. The bundle's files are the truth and are compiled again
 * when loaded; the table of notices repeats their texts, because a receipt of long ago must find
 * its text by name, version and language. */
#include <string.h>

#include "policy/draft.h"
#include "policy/policy.h"

static const char select_policy[] = "select version, bundle, hash, applied_at from policy "
                                    "where version = $1 or $1 = 0 order by version desc limit 1";
static const char select_past[] =
    "select id, language, version, material, hash from notice where policy_version <= $1";
static const char select_newest[] = "select coalesce(max(version), 0) from policy";
static const char insert_policy[] =
    "insert into policy (version, applied_at, actor, hash, bundle) values ($1, $2, $3, $4, $5)";
/* The no-op update makes a row that is there already come back, to be compared. */
static const char insert_notice[] =
    "insert into notice (id, version, language, material, hash, markdown, policy_version) "
    "values ($1, $2, $3, $4, $5, $6, $7) on conflict (id, version, language) "
    "do update set policy_version = notice.policy_version returning hash";
static const char select_history[] =
    "select version, applied_at, actor, hash from policy where version < $1 or $1 = 0 "
    "order by version desc limit $2";
static const char select_notice[] =
    "select markdown, hash, material from notice where id = $1 and version = $2 and language = $3";

struct past {
    struct arena arena;
    struct policy_past_notice *items;
    size_t count, cap;
};

static int take_hash(struct str blob, struct sha256 *out, struct err *err)
{
    if (blob.n != sizeof out->b)
        return err_set(err, LOV_ECORRUPT, "a stored policy hash has %zu bytes", blob.n);
    memcpy(out->b, blob.p, sizeof out->b);
    return 0;
}

static int past_add(struct past *p, struct db_stmt *s, struct err *err)
{
    if (p->count == p->cap) {
        size_t cap = p->cap ? p->cap * 2 : 64;
        struct policy_past_notice *items = arena_array(&p->arena, cap, sizeof *items);
        if (p->count)
            memcpy(items, p->items, p->count * sizeof *items);
        p->items = items;
        p->cap = cap;
    }
    struct policy_past_notice *item = &p->items[p->count++];
    item->id = arena_str(&p->arena, db_text(s, 0));
    item->language = arena_str(&p->arena, db_text(s, 1));
    item->version = (int)db_int(s, 2);
    item->material = db_int(s, 3) != 0;
    return take_hash(db_blob(s, 4), &item->hash, err);
}

static int load_past(struct db *db, int version, struct past *out, struct err *err)
{
    struct db_stmt *s = db_use(db, select_past);
    db_bind_int(s, 1, version);
    int rc;
    while ((rc = db_step(s, err)) == 1) {
        rc = past_add(out, s, err);
        if (rc)
            break;
    }
    db_done(s);
    return rc;
}

static int newest_version(struct db *db, int *out, struct err *err)
{
    struct db_stmt *s = db_use(db, select_newest);
    int rc = db_step(s, err);
    if (rc == 1)
        *out = (int)db_int(s, 0);
    db_done(s);
    return rc < 0 ? rc : 0;
}

struct stored {
    int version;
    int64_t applied_at;
    struct sha256 hash;
};

static int read_stored(struct db *db, int version, struct stored *out, struct buf *json,
                       struct err *err)
{
    struct db_stmt *s = db_use(db, select_policy);
    db_bind_int(s, 1, version);
    int rc = db_step(s, err);
    if (rc == 1) {
        out->version = (int)db_int(s, 0);
        out->applied_at = db_int(s, 3);
        buf_str(json, db_text(s, 1));
        rc = take_hash(db_blob(s, 2), &out->hash, err);
    } else if (rc == 0) {
        rc = version ? err_set(err, LOV_ENOTFOUND, "there is no policy version %d", version)
                     : err_reason(err, LOV_ENOTFOUND, "no_policy",
                                  "no policy was applied yet: run lov policy apply");
    }
    db_done(s);
    return rc;
}

static int compile_stored(const struct policy_bundle *bundle, const struct past *past,
                          const struct stored *stored, struct policy **out, struct err *err)
{
    struct policy_findings findings = {0};
    int rc =
        policy_compile(bundle, past->items, past->count, stored->applied_at, out, &findings, err);
    for (size_t i = 0; rc && i < findings.count; i++) {
        const struct policy_finding *f = &findings.items[i];
        if (f->severity != POLICY_ERROR)
            continue;
        rc = err_set(err, LOV_EVERSION,
                     "policy version %d does not pass this version of Lov: %.*s:%d: %.*s",
                     stored->version, STR_ARG(f->file), f->line, STR_ARG(f->text));
        break;
    }
    policy_findings_free(&findings);
    return rc;
}

int policy_store_load(struct db *db, int version, struct policy **out, struct err *err)
{
    _cleanup_buf struct buf json = {0};
    struct policy_bundle bundle = {0};
    struct past past = {0};
    struct policy *policy = NULL;
    struct stored found = {0};
    int rc = read_stored(db, version, &found, &json, err);
    if (rc)
        return rc;
    rc = policy_bundle_from_json(buf_view(&json), &bundle, err);
    if (rc == 0)
        rc = load_past(db, found.version, &past, err);
    if (rc == 0)
        rc = compile_stored(&bundle, &past, &found, &policy, err);
    if (rc == 0 && memcmp(&policy->hash, &found.hash, sizeof found.hash) != 0)
        rc = err_set(err, LOV_ECORRUPT, "policy version %d is not what was applied", found.version);
    if (rc == 0) {
        policy->version = found.version;
        *out = policy_ref(policy);
    }
    policy_unref(policy);
    policy_bundle_free(&bundle);
    arena_free(&past.arena);
    return rc;
}

int policy_store_compile(struct db *db, const struct policy_bundle *bundle, int64_t as_of,
                         struct policy **out, struct policy_findings *findings, struct err *err)
{
    struct past past = {0};
    int version = 0;
    int rc = newest_version(db, &version, err);
    if (rc == 0)
        rc = load_past(db, version, &past, err);
    if (rc == 0)
        rc = policy_compile(bundle, past.items, past.count, as_of, out, findings, err);
    arena_free(&past.arena);
    return rc;
}

static struct str bytes_of(const struct sha256 *hash)
{
    return (struct str){(const char *)hash->b, sizeof hash->b};
}

static int save_text(struct db *db, const struct policy_notice *n,
                     const struct policy_notice_text *text, int version, struct err *err)
{
    struct db_stmt *s = db_use(db, insert_notice);
    db_bind_text(s, 1, n->id);
    db_bind_int(s, 2, n->version);
    db_bind_text(s, 3, text->language);
    db_bind_int(s, 4, n->material);
    db_bind_blob(s, 5, bytes_of(&text->hash));
    db_bind_text(s, 6, text->markdown);
    db_bind_int(s, 7, version);
    int rc = db_step(s, err);
    bool same = rc == 1 && str_eq(db_blob(s, 0), bytes_of(&text->hash));
    db_done(s);
    if (rc < 0)
        return rc;
    if (!same)
        return err_reason(err, LOV_ECONFLICT, "text_changed",
                          "notice %.*s version %d in %.*s was published with another text",
                          STR_ARG(n->id), n->version, STR_ARG(text->language));
    return 0;
}

static int save_texts(struct db *db, const struct policy *p, int version, struct err *err)
{
    for (size_t i = 0; i < p->notice_count; i++) {
        for (size_t j = 0; j < p->notices[i].text_count; j++) {
            int rc = save_text(db, &p->notices[i], &p->notices[i].texts[j], version, err);
            if (rc)
                return rc;
        }
    }
    return 0;
}

int policy_store_save(struct db *db, const struct policy_bundle *bundle, struct policy *policy,
                      struct str actor, int64_t now, struct err *err)
{
    _cleanup_buf struct buf json = {0};
    policy_bundle_to_json(bundle, &json);
    struct sha256 hash = sha256_of(buf_view(&json));
    if (memcmp(&hash, &policy->hash, sizeof hash) != 0)
        bug("policy_store_save: the policy was compiled from another bundle");
    int version = 0;
    int rc = newest_version(db, &version, err);
    if (rc)
        return rc;
    version++;
    struct db_stmt *s = db_use(db, insert_policy);
    db_bind_int(s, 1, version);
    db_bind_int(s, 2, now);
    db_bind_text(s, 3, actor);
    db_bind_blob(s, 4, bytes_of(&hash));
    db_bind_text(s, 5, buf_view(&json));
    rc = db_run(s, err);
    if (rc == 0)
        rc = save_texts(db, policy, version, err);
    if (rc == 0)
        policy->version = version;
    return rc;
}

int policy_store_history(struct db *db, int before, size_t limit,
                         int (*row)(void *ctx, const struct policy_version *v), void *ctx,
                         struct err *err)
{
    struct db_stmt *s = db_use(db, select_history);
    db_bind_int(s, 1, before);
    db_bind_int(s, 2, (int64_t)limit);
    int rc;
    while ((rc = db_step(s, err)) == 1) {
        struct policy_version v = {
            .version = (int)db_int(s, 0), .applied_at = db_int(s, 1), .actor = db_text(s, 2)};
        rc = take_hash(db_blob(s, 3), &v.hash, err);
        if (rc == 0)
            rc = row(ctx, &v);
        if (rc)
            break;
    }
    db_done(s);
    return rc;
}

int policy_store_published(struct db *db, struct str id, int version, struct str language,
                           struct arena *arena, struct policy_published *out, struct err *err)
{
    struct db_stmt *s = db_use(db, select_notice);
    db_bind_text(s, 1, id);
    db_bind_int(s, 2, version);
    db_bind_text(s, 3, language);
    int rc = db_step(s, err);
    if (rc < 0)
        return rc;
    if (rc == 0)
        return err_set(err, LOV_ENOTFOUND, "there is no notice %.*s version %d in %.*s",
                       STR_ARG(id), version, STR_ARG(language));
    struct sha256 hash;
    rc = take_hash(db_blob(s, 1), &hash, err);
    if (rc == 0) {
        out->markdown = arena_str(arena, db_text(s, 0));
        out->title = notice_title(arena, out->markdown);
        out->hash = hash;
        out->material = db_int(s, 2) != 0;
    }
    db_done(s);
    return rc;
}

int policy_store_notice(struct db *db, struct str id, int version, struct str language,
                        struct buf *markdown, struct sha256 *hash, struct err *err)
{
    _cleanup_arena struct arena arena = {0};
    struct policy_published published = {0};
    int rc = policy_store_published(db, id, version, language, &arena, &published, err);
    if (rc)
        return rc;
    buf_str(markdown, published.markdown);
    if (hash)
        *hash = published.hash;
    return 0;
}

int policy_store_bundle(struct db *db, int version, struct buf *json, struct err *err)
{
    struct stored found;
    return read_stored(db, version, &found, json, err);
}
