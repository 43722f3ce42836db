/* rotate.c - sealing everything anew under another key-encryption key, and looking whether what is
 * sealed is what the row says. Nothing remembers how far a rotation has come: what opens by the new
 * key is done, so that beginning again costs one look at each row and can't be wrong. */
#include <string.h>

#include "identity/store.h"

enum { MOST_ROWS = 1000 };

struct sealed_row {
    struct uid cid;
    struct buf id, key;
};

/* 1: the value was under an older key and *out is sealed anew; 0: nothing to do. */
static int reseal(const struct identity *who, struct str associated, struct str sealed,
                  struct buf *out, struct err *err)
{
    _cleanup_buf struct buf plain = {0};
    if (unseal(&who->keys.key[0], associated, sealed, &plain, NULL) == 0) {
        memset(plain.p, 0, plain.n);
        return 0;
    }
    int rc = kek_unseal(who, associated, sealed, &plain, err);
    if (rc)
        return rc;
    kek_seal(who, associated, buf_view(&plain), out);
    memset(plain.p, 0, plain.n);
    return 1;
}

static int update_row(struct db *db, const struct sealed_row *row, struct err *err)
{
    static const char sql[] = "update consumer set sealed_id = $2, data_key = $3 where cid = $1";
    struct db_stmt *s = db_use(db, sql);
    db_bind_blob(s, 1, uid_str(&row->cid));
    db_bind_blob(s, 2, buf_view(&row->id));
    db_bind_blob(s, 3, buf_view(&row->key));
    return db_run(s, err);
}

/* 1: *out is what the row should hold; 0: it holds that. */
static int read_row(const struct identity *who, struct db_stmt *s, struct sealed_row *out,
                    struct err *err)
{
    _cleanup_buf struct buf about = {0};
    struct str cid = db_blob(s, 1);
    if (cid.n != sizeof out->cid.b)
        return err_set(err, LOV_ECORRUPT, "identity row of a wrong size");
    memcpy(out->cid.b, cid.p, cid.n);
    int id = reseal(who, identity_associated(SEALED_ID, &out->cid, &about), db_blob(s, 2), &out->id,
                    err);
    if (id < 0)
        return id;
    int key = reseal(who, identity_associated(SEALED_KEY, &out->cid, &about), db_blob(s, 3),
                     &out->key, err);
    if (key < 0)
        return key;
    if (id == 0)
        buf_str(&out->id, db_blob(s, 2));
    if (key == 0)
        buf_str(&out->key, db_blob(s, 3));
    return id || key;
}

static void free_rows(struct sealed_row *rows, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        buf_free(&rows[i].id);
        buf_free(&rows[i].key);
    }
}

/* Rows are read first and written then: a statement that reads a table is not told what happens
 * when the table changes under it. */
int identity_rotate_some(const struct identity *who, struct db *db, int64_t after, int64_t limit,
                         int64_t *last, int64_t *rows, struct err *err)
{
    static const char sql[] = "select number, cid, sealed_id, data_key from consumer "
                              "where number > $1 order by number limit $2";
    struct sealed_row changed[MOST_ROWS] = {0};
    int64_t count = 0, seen = 0, number = after;
    if (limit > MOST_ROWS)
        limit = MOST_ROWS;
    struct db_stmt *s = db_use(db, sql);
    db_bind_int(s, 1, after);
    db_bind_int(s, 2, limit);
    int rc;
    while ((rc = db_step(s, err)) == 1) {
        seen++;
        number = db_int(s, 0);
        rc = read_row(who, s, &changed[count], err);
        if (rc < 0) {
            db_done(s);
            free_rows(changed, count + 1);
            return rc;
        }
        if (rc == 1) {
            count++;
        } else {
            free_rows(&changed[count], 1);
            changed[count] = (struct sealed_row){0};
        }
    }
    for (int64_t i = 0; rc == 0 && i < count; i++)
        rc = update_row(db, &changed[i], err);
    free_rows(changed, count);
    if (rc)
        return rc;
    *rows = seen;
    *last = seen < limit ? -1 : number;
    return 0;
}

/* Every secret is bound to "lov " and its name. */
int identity_rotate_secrets(const struct identity *who, struct db *db, struct err *err)
{
    enum { MOST_SECRETS = 64 };
    static const char select[] = "select name, sealed from secret order by name";
    static const char update[] = "update secret set sealed = $2 where name = $1";
    struct {
        struct buf name, sealed;
    } changed[MOST_SECRETS] = {0};
    size_t count = 0;
    struct db_stmt *s = db_use(db, select);
    int rc;
    while ((rc = db_step(s, err)) == 1) {
        _cleanup_buf struct buf about = {0};
        if (count == MOST_SECRETS)
            bug("more than %d secrets", (int)MOST_SECRETS);
        buf_printf(&about, "lov %.*s", STR_ARG(db_text(s, 0)));
        rc = reseal(who, buf_view(&about), db_blob(s, 1), &changed[count].sealed, err);
        if (rc < 0)
            break;
        if (rc == 1)
            buf_str(&changed[count++].name, db_text(s, 0));
    }
    if (rc < 0)
        db_done(s);
    for (size_t i = 0; rc == 0 && i < count; i++) {
        s = db_use(db, update);
        db_bind_text(s, 1, buf_view(&changed[i].name));
        db_bind_blob(s, 2, buf_view(&changed[i].sealed));
        rc = db_run(s, err);
    }
    for (size_t i = 0; i < MOST_SECRETS; i++) {
        buf_free(&changed[i].name);
        buf_free(&changed[i].sealed);
    }
    return rc < 0 ? rc : 0;
}

/* ---- verifying ---- */

/* NULL when the row is right. */
static const char *judge_row(const struct identity *who, struct db_stmt *s)
{
    _cleanup_buf struct buf about = {0}, id = {0}, key = {0};
    struct str lookup = db_blob(s, 0), cid_bytes = db_blob(s, 3);
    struct uid cid;
    if (lookup.n != sizeof(struct hash128) || cid_bytes.n != sizeof cid.b)
        return "it is of a wrong size";
    memcpy(cid.b, cid_bytes.p, cid_bytes.n);
    if (kek_unseal(who, identity_associated(SEALED_ID, &cid, &about), db_blob(s, 4), &id, NULL) !=
        0)
        return "what is sealed as its id does not open";
    struct hash128 expected = identity_lookup(who, buf_view(&id));
    memset(id.p, 0, id.n);
    if (memcmp(expected.b, lookup.p, lookup.n) != 0)
        return "it is found by another id than its own";
    if (db_int(s, 2) != identity_shard(who, &expected))
        return "it names another shard than its own";
    int rc =
        kek_unseal(who, identity_associated(SEALED_KEY, &cid, &about), db_blob(s, 5), &key, NULL);
    bool sized = rc == 0 && key.n == sizeof(struct secret);
    if (key.p)
        memset(key.p, 0, key.n);
    return sized ? NULL : "its data key does not open";
}

int identity_verify(const struct identity *who, struct db *db, struct identity_report *out,
                    struct err *err)
{
    static const char sql[] = "select lookup, number, shard, cid, sealed_id, data_key "
                              "from consumer order by number";
    *out = (struct identity_report){.wrong_number = -1};
    struct db_stmt *s = db_use(db, sql);
    int rc;
    while ((rc = db_step(s, err)) == 1) {
        out->what = judge_row(who, s);
        if (out->what) {
            out->wrong_number = db_int(s, 1);
            db_done(s);
            return 0;
        }
        out->consumers++;
    }
    return rc;
}
