/* issue.c - see issue.h. Only what is not settled has a row; how the rest ended is in the ledger.
 */
#include "vault/issue.h"

#include <string.h>

/* ---- rows and bodies ---- */

static struct str associated(const struct issue *i, struct buf *out)
{
    buf_cstr(out, "lov issue");
    buf_add(out, i->cid.b, sizeof i->cid.b);
    buf_printf(out, "%u/%lld", i->shard, (long long)i->seq);
    return buf_view(out);
}

void issue_body(const struct issue *i, struct buf *out)
{
    struct sha256 hash = sha256_of(i->sealed);
    struct jw w = {.out = out};
    jw_object_start(&w);
    jw_str_member(&w, "category", i->category);
    jw_int_member(&w, "record", i->record);
    jw_int_member(&w, "version", i->version);
    jw_str_member(&w, "finding", i->kind);
    jw_str_member(&w, "field", i->field);
    jw_str_member(&w, "rule", i->rule);
    jw_hex_member(&w, "proposal_sha256", hash.b, sizeof hash.b);
    jw_object_end(&w);
}

bool issue_from_row(struct db_stmt *s, uint32_t shard, struct issue *out)
{
    struct str cid = db_blob(s, 0);
    *out = (struct issue){
        .shard = shard,
        .seq = db_int(s, 1),
        .category = db_text(s, 2),
        .record = db_int(s, 3),
        .version = db_int(s, 4),
        .kind = db_text(s, 5),
        .field = db_text(s, 6),
        .rule = db_text(s, 7),
        .sealed = db_blob(s, 8),
    };
    if (cid.n != sizeof out->cid.b)
        return false;
    memcpy(out->cid.b, cid.p, cid.n);
    return true;
}

int issue_get(struct db *lov, uint32_t shard, const struct uid *cid, int64_t seq,
              struct arena *arena, struct issue *out, struct err *err)
{
    static const char sql[] =
        "select " ISSUE_COLUMNS " from issue where shard = $1 and cid = $2 and seq = $3";
    struct db_stmt *s = db_use(lov, sql);
    db_bind_int(s, 1, shard);
    db_bind_blob(s, 2, uid_str(cid));
    db_bind_int(s, 3, seq);
    int rc = db_step(s, err);
    if (rc != 1)
        return rc;
    bool ok = issue_from_row(s, shard, out);
    struct str *const texts[] = {&out->category, &out->kind, &out->field, &out->rule, &out->sealed};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        *texts[i] = arena_str(arena, *texts[i]);
    db_done(s);
    return ok ? 1 : err_set(err, LOV_ECORRUPT, "an issue's row is damaged: run lov log verify");
}

static int insert(struct db *lov, const struct issue *i, struct err *err)
{
    static const char sql[] =
        "insert into issue (shard, cid, seq, category, record, version, kind, field, rule, sealed) "
        "values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    struct db_stmt *s = db_use(lov, sql);
    db_bind_int(s, 1, i->shard);
    db_bind_blob(s, 2, uid_str(&i->cid));
    db_bind_int(s, 3, i->seq);
    db_bind_text(s, 4, i->category);
    db_bind_int(s, 5, i->record);
    db_bind_int(s, 6, i->version);
    db_bind_text(s, 7, i->kind);
    db_bind_text(s, 8, i->field);
    db_bind_text(s, 9, i->rule);
    if (i->sealed.n)
        db_bind_blob(s, 10, i->sealed);
    else
        db_bind_null(s, 10);
    return db_run(s, err);
}

/* ---- asking ---- */

static void seal_proposal(struct write_scope *scope, const struct secret *key,
                          const struct finding *f, struct issue *i)
{
    _cleanup_buf struct buf about = {0}, plain = {0}, sealed = {0};
    struct jw w = {.out = &plain};
    if (!f->proposal.n && !f->drop)
        return;
    jw_object_start(&w);
    if (f->drop)
        jw_bool_member(&w, "drop", true);
    if (f->proposal.n) {
        jw_key(&w, "data");
        jw_raw(&w, f->proposal);
    }
    jw_object_end(&w);
    seal(key, associated(i, &about), buf_view(&plain), &sealed);
    secret_wipe_bytes(plain.p, plain.n);
    i->sealed = arena_str(scope->arena, buf_view(&sealed));
}

static int open_one(struct write_scope *scope, const struct secret *key, const struct record *r,
                    const struct finding *f, struct err *err)
{
    _cleanup_buf struct buf body = {0};
    struct issue i = {
        .shard = r->shard,
        .cid = r->cid,
        .seq = ledger_next(engine_ledger(scope->engine), r->shard),
        .category = r->category,
        .record = r->seq,
        .version = r->version,
        .kind = str_of(finding_kind_name(f->kind)),
        .field = f->field,
        .rule = f->rule,
    };
    int64_t seq;
    seal_proposal(scope, key, f, &i);
    issue_body(&i, &body);
    int rc = engine_append(scope, "issue.open", (struct str){0}, buf_view(&body), &seq, err);
    if (rc == 0 && seq != i.seq)
        bug("an issue's event has another number than the issue");
    return rc ? rc : insert(scope->lov, &i, err);
}

int issue_open(struct write_scope *scope, const struct secret *key, const struct record *r,
               const struct findings *f, struct err *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < f->count; i++)
        rc = open_one(scope, key, r, &f->items[i], err);
    return rc;
}

int issue_proposal(const struct issue *i, const struct secret *key, struct buf *json,
                   struct err *err)
{
    _cleanup_buf struct buf about = {0};
    return i->sealed.n ? unseal(key, associated(i, &about), i->sealed, json, err) : 0;
}

/* ---- settling ---- */

/* Their numbers, before the first row goes. */
static int list_open(struct write_scope *scope, int64_t record, int64_t seq, int64_t **out,
                     size_t *count, struct err *err)
{
    static const char sql[] = "select seq from issue where shard = $1 and cid = $2 and record = $3 "
                              "and ($4 < 0 or seq = $4) order by seq";
    struct db_stmt *s = db_use(scope->lov, sql);
    size_t cap = 0;
    db_bind_int(s, 1, scope->who->shard);
    db_bind_blob(s, 2, uid_str(&scope->who->cid));
    db_bind_int(s, 3, record);
    db_bind_int(s, 4, seq);
    int rc;
    while ((rc = db_step(s, err)) == 1) {
        if (*count == cap) {
            int64_t *grown = arena_array(scope->arena, cap ? cap * 2 : 8, sizeof *grown);
            if (cap)
                memcpy(grown, *out, cap * sizeof *grown);
            *out = grown;
            cap = cap ? cap * 2 : 8;
        }
        (*out)[(*count)++] = db_int(s, 0);
    }
    return rc;
}

static int close_one(struct write_scope *scope, int64_t record, int64_t seq, const char *how,
                     struct err *err)
{
    static const char sql[] = "delete from issue where shard = $1 and cid = $2 and seq = $3";
    _cleanup_buf struct buf body = {0};
    struct jw w = {.out = &body};
    int64_t event;
    jw_object_start(&w);
    jw_int_member(&w, "issue", seq);
    jw_int_member(&w, "record", record);
    jw_cstr_member(&w, "settled", how);
    jw_object_end(&w);
    int rc = engine_append(scope, "issue.close", (struct str){0}, buf_view(&body), &event, err);
    if (rc)
        return rc;
    struct db_stmt *s = db_use(scope->lov, sql);
    db_bind_int(s, 1, scope->who->shard);
    db_bind_blob(s, 2, uid_str(&scope->who->cid));
    db_bind_int(s, 3, seq);
    return db_run(s, err);
}

int issue_close(struct write_scope *scope, int64_t record, int64_t seq, const char *how,
                int64_t *closed, struct err *err)
{
    int64_t *seqs = NULL;
    size_t count = 0;
    int rc = list_open(scope, record, seq, &seqs, &count, err);
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = close_one(scope, record, seqs[i], how, err);
    if (closed)
        *closed = (int64_t)count;
    return rc;
}
