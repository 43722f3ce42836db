/* log.c - what the ledger publishes: checkpoints and tiles in the formats of C2SP, proofs as JSON.
 * All of it is open but the entries, which name what was consented to, if not by whom. */
#include <string.h>

#include "api/private.h"
#include "base/file.h"
#include "ledger/publish.h"
#include "ledger/tiles.h"

enum { WITNESSES_FILE_MAX = 64 << 10 };

/* What a handler needs; ended by log_end(). */
struct log_call {
    struct http_call *call;
    struct db *db;
    uint32_t shard;
    struct err err;
};

/* ---- parameters ---- */

static int take_number(struct http_call *call, const char *name, int64_t *out, struct err *err)
{
    struct str text;
    if (http_query(call, name, &text) && !str_to_int(text, 0, INT64_MAX, out))
        return err_reason(err, LOV_EINVAL, "invalid_query", "%s is a number", name);
    return 0;
}

/* Without waiting for the newest events. */
static int log_start_rows(struct log_call *l, struct http_call *call, const char *const *names)
{
    struct engine *e = api_of(call)->engine;
    int64_t shard = 0;
    bool in_path = call->param[0].p != NULL;
    *l = (struct log_call){.call = call};
    int rc = http_query_check(call, names, &l->err);
    if (rc == 0 && !in_path)
        rc = take_number(call, "shard", &shard, &l->err);
    if (rc)
        return rc;
    if ((in_path && !str_to_int(call->param[0], 0, UINT32_MAX, &shard)) ||
        shard >= engine_shards(e))
        return err_reason(&l->err, LOV_ENOTFOUND, "unknown_shard", "there is no such shard");
    l->shard = (uint32_t)shard;
    return db_pool_get_rows(engine_lov(e), &l->db, &l->err);
}

/* Afterwards it sees every event that was acknowledged before. */
static int log_settle(struct log_call *l)
{
    struct db_pool *pool = engine_lov(api_of(l->call)->engine);
    db_pool_put(pool, l->db);
    l->db = NULL;
    return db_pool_get(pool, &l->db, &l->err);
}

static int log_start(struct log_call *l, struct http_call *call, const char *const *names)
{
    int rc = log_start_rows(l, call, names);
    return rc ? rc : log_settle(l);
}

static int log_end(struct log_call *l, int rc)
{
    if (l->db)
        db_pool_put(engine_lov(api_of(l->call)->engine), l->db);
    if (!rc)
        return 0;
    buf_clear(&l->call->out);
    return answer_problem(l->call, &l->err);
}

/* ---- checkpoints and tiles ---- */

int log_checkpoint(struct http_call *call)
{
    static const char *const names[] = {"size", NULL};
    struct log_call l;
    int64_t size = -1;
    int rc = log_start(&l, call, names);
    if (rc == 0)
        rc = take_number(call, "size", &size, &l.err);
    if (rc == 0)
        rc = publish_note(l.db, l.shard, size, &call->out, &l.err);
    if (rc == 0) {
        call->status = 200;
        call->content_type = "text/plain; charset=utf-8";
        http_answer_header(call, "Cache-Control", STR("no-cache"));
    }
    return log_end(&l, rc);
}

/* Answers a tile; `level` -1: entries. */
static int answer_tile(struct log_call *l, int level, int64_t index, unsigned width)
{
    struct http_call *call = l->call;
    struct sha256 hash[TILE_WIDTH];
    struct tiles tiles;
    int rc;
    if (level < 0) {
        rc = tiles_entries(l->db, l->shard, index, width, &call->out, &l->err);
    } else {
        tiles_init(&tiles, l->db, l->shard);
        rc = tiles_read(&tiles, (unsigned)level, index, width, hash, &l->err);
        if (rc == 0)
            buf_add(&call->out, hash, width * sizeof hash[0]);
    }
    if (rc)
        return rc;
    call->status = 200;
    call->content_type = "application/octet-stream";
    /* What a tile of that width holds never changes. */
    http_answer_header(call, "Cache-Control",
                       level < 0 ? STR("private, max-age=31536000, immutable")
                                 : STR("public, max-age=31536000, immutable"));
    return 0;
}

static int tile(struct http_call *call, struct str path, bool entries)
{
    static const char *const names[] = {NULL};
    struct log_call l;
    int level = 0;
    int64_t index = 0;
    unsigned width = 0;
    int rc = log_start_rows(&l, call, names);
    /* A path that was encoded in another way comes to the open route: "entries%2F000". */
    if (rc == 0 && (!tiles_parse_path(path, &level, &index, &width) || entries != (level < 0)))
        rc = err_reason(&l.err, LOV_ENOTFOUND, "unknown_tile", "this is not the path of a tile");
    if (rc)
        return log_end(&l, rc);
    rc = answer_tile(&l, level, index, width);
    /* What there is of it never changes: only who asks for more waits. */
    if (rc == LOV_ENOTFOUND) {
        buf_clear(&call->out);
        rc = log_settle(&l);
        if (rc == 0)
            rc = answer_tile(&l, level, index, width);
    }
    return log_end(&l, rc);
}

int log_tile(struct http_call *call)
{
    return tile(call, call->param[1], false);
}

int log_entries(struct http_call *call)
{
    struct str path = call->param[1];
    return tile(call, arena_printf(&call->arena, "entries/%.*s", STR_ARG(path)), true);
}

/* ---- cosignatures ---- */

static int read_witnesses(struct api *api, struct witnesses *out, struct err *err)
{
    _cleanup_buf struct buf text = {0};
    out->count = 0;
    if (!api->witnesses_path || !file_exists(api->witnesses_path))
        return 0;
    int rc = file_read(api->witnesses_path, WITNESSES_FILE_MAX, &text, err);
    if (rc == 0)
        rc = publish_witnesses(buf_view(&text), out, err);
    if (rc == 0)
        return 0;
    log_printf(engine_log(api->engine), LOG_ERROR, "%s: %s", api->witnesses_path, err->text);
    return err_set(err, LOV_EUNAVAILABLE, "the file of the witnesses cannot be read");
}

int log_cosign(struct http_call *call)
{
    static const char *const names[] = {"size", NULL};
    struct log_call l;
    struct witnesses by;
    int64_t size = -1;
    int kept = 0;
    int rc = log_start(&l, call, names);
    if (rc == 0)
        rc = take_number(call, "size", &size, &l.err);
    if (rc == 0)
        rc = read_witnesses(api_of(call), &by, &l.err);
    /* On a reading connection first: who has no right key does not keep the writer busy. */
    if (rc == 0)
        rc = publish_verify(l.db, l.shard, size, call->body, &by, &l.err);
    if (rc == 0)
        rc = engine_cosign(api_of(call)->engine, l.shard, size, call->body, &by, &kept, &l.err);
    if (rc == 0) {
        struct jw w = answer_start(call, 200);
        jw_object_start(&w);
        jw_int_member(&w, "kept", kept);
        jw_object_end(&w);
    }
    return log_end(&l, rc);
}

/* ---- what there is ---- */

static void key_member(struct jw *w, const struct note_key *key)
{
    _cleanup_buf struct buf vkey = {0};
    note_key_format(key, &vkey);
    jw_str_member(w, "key", buf_view(&vkey));
}

static int describe_shard(struct log_call *l, uint32_t shard, struct jw *w)
{
    _cleanup_buf struct buf note = {0};
    const struct note_key *key = &engine_signer(api_of(l->call)->engine, shard)->key;
    int rc = publish_note(l->db, shard, -1, &note, &l->err);
    if (rc && rc != LOV_ENOTFOUND)
        return rc;
    jw_object_start(w);
    jw_int_member(w, "shard", shard);
    jw_str_member(w, "origin", note_key_name(key));
    key_member(w, key);
    jw_key(w, "checkpoint");
    if (note.n)
        jw_str(w, buf_view(&note));
    else
        jw_null(w);
    jw_object_end(w);
    return 0;
}

static int describe(struct log_call *l)
{
    struct jw w = answer_start(l->call, 200);
    int rc = 0;
    jw_object_start(&w);
    jw_key(&w, "shards");
    jw_array_start(&w);
    for (uint32_t i = 0; rc == 0 && i < engine_shards(api_of(l->call)->engine); i++)
        rc = describe_shard(l, i, &w);
    jw_array_end(&w);
    jw_object_end(&w);
    return rc;
}

int log_describe(struct http_call *call)
{
    static const char *const names[] = {NULL};
    struct log_call l;
    int rc = log_start(&l, call, names);
    if (rc == 0)
        rc = describe(&l);
    return log_end(&l, rc);
}

int log_make_checkpoint(struct http_call *call)
{
    static const char *const names[] = {NULL};
    struct log_call l;
    int rc = log_start(&l, call, names);
    if (rc == 0)
        rc = engine_publish(api_of(call)->engine, &l.err);
    if (rc == 0)
        rc = describe(&l);
    return log_end(&l, rc);
}

/* ---- proofs ---- */

static void hash_write(struct jw *w, const struct sha256 *hash)
{
    _cleanup_buf struct buf text = {0};
    base64_encode(hash->b, sizeof hash->b, &text);
    jw_str(w, buf_view(&text));
}

static void proof_write(struct jw *w, const struct proof *proof)
{
    jw_key(w, "hashes");
    jw_array_start(w);
    for (size_t i = 0; i < proof->count; i++)
        hash_write(w, &proof->hash[i]);
    jw_array_end(w);
}

/* The checkpoint of that size, where one was signed, so that the proof stands alone. */
static int checkpoint_write(struct log_call *l, int64_t size, struct jw *w)
{
    _cleanup_buf struct buf note = {0};
    int rc = publish_note(l->db, l->shard, size, &note, &l->err);
    if (rc && rc != LOV_ENOTFOUND)
        return rc;
    jw_key(w, "checkpoint");
    if (note.n)
        jw_str(w, buf_view(&note));
    else
        jw_null(w);
    return 0;
}

/* The size of the last checkpoint where `size` is -1; not beyond it, so that each proof leads to
 * something that was signed. */
static int take_size(struct log_call *l, int64_t *size)
{
    _cleanup_buf struct buf memory = {0};
    struct published last = {0};
    int rc = publish_get(l->db, l->shard, -1, &memory, &last, &l->err);
    if (rc < 0)
        return rc;
    if (*size < 0)
        *size = last.size;
    if (*size > last.size)
        return err_reason(&l->err, LOV_ENOTFOUND, "not_published",
                          "the last checkpoint of shard %u has %lld events", l->shard,
                          (long long)last.size);
    return 0;
}

static int write_inclusion(struct log_call *l, int64_t seq, int64_t size)
{
    struct tiles tiles;
    struct proof proof;
    struct sha256 leaf, root;
    tiles_init(&tiles, l->db, l->shard);
    int rc = proof_make_inclusion(&tiles.source, seq, size, &proof, &l->err);
    if (rc == 0)
        rc = tiles.source.hashes(&tiles, 0, seq, 1, &leaf, &l->err);
    if (rc == 0)
        rc = proof_make_root(&tiles.source, size, &root, &l->err);
    if (rc)
        return rc;
    struct jw w = answer_start(l->call, 200);
    jw_object_start(&w);
    jw_int_member(&w, "shard", l->shard);
    jw_int_member(&w, "seq", seq);
    jw_int_member(&w, "size", size);
    jw_key(&w, "leaf");
    hash_write(&w, &leaf);
    jw_key(&w, "root");
    hash_write(&w, &root);
    proof_write(&w, &proof);
    rc = checkpoint_write(l, size, &w);
    jw_object_end(&w);
    return rc;
}

int log_inclusion(struct http_call *call)
{
    static const char *const names[] = {"shard", "seq", "size", NULL};
    struct log_call l;
    int64_t seq = -1, size = -1;
    int rc = log_start(&l, call, names);
    if (rc == 0)
        rc = take_number(call, "seq", &seq, &l.err);
    if (rc == 0)
        rc = take_number(call, "size", &size, &l.err);
    if (rc == 0 && seq < 0)
        rc = err_reason(&l.err, LOV_EINVAL, "invalid_query", "seq is the number of an event");
    if (rc == 0)
        rc = take_size(&l, &size);
    if (rc == 0 && seq >= size)
        rc = err_reason(&l.err, LOV_ENOTFOUND, "not_published",
                        "event %lld is not among the first %lld of shard %u", (long long)seq,
                        (long long)size, l.shard);
    if (rc == 0)
        rc = write_inclusion(&l, seq, size);
    return log_end(&l, rc);
}

static int write_consistency(struct log_call *l, int64_t from, int64_t to)
{
    struct tiles tiles;
    struct proof proof;
    struct sha256 old, new;
    tiles_init(&tiles, l->db, l->shard);
    int rc = proof_make_consistency(&tiles.source, from, to, &proof, &l->err);
    if (rc == 0)
        rc = proof_make_root(&tiles.source, from, &old, &l->err);
    if (rc == 0)
        rc = proof_make_root(&tiles.source, to, &new, &l->err);
    if (rc)
        return rc;
    struct jw w = answer_start(l->call, 200);
    jw_object_start(&w);
    jw_int_member(&w, "shard", l->shard);
    jw_int_member(&w, "from", from);
    jw_int_member(&w, "to", to);
    jw_key(&w, "from_root");
    hash_write(&w, &old);
    jw_key(&w, "to_root");
    hash_write(&w, &new);
    proof_write(&w, &proof);
    rc = checkpoint_write(l, to, &w);
    jw_object_end(&w);
    return rc;
}

int log_consistency(struct http_call *call)
{
    static const char *const names[] = {"shard", "from", "to", NULL};
    struct log_call l;
    int64_t from = -1, to = -1;
    int rc = log_start(&l, call, names);
    if (rc == 0)
        rc = take_number(call, "from", &from, &l.err);
    if (rc == 0)
        rc = take_number(call, "to", &to, &l.err);
    if (rc == 0 && from < 0)
        rc = err_reason(&l.err, LOV_EINVAL, "invalid_query", "from is a number of events");
    if (rc == 0)
        rc = take_size(&l, &to);
    if (rc == 0 && from > to)
        rc = err_reason(&l.err, LOV_EINVAL, "invalid_query", "from is larger than to");
    if (rc == 0)
        rc = write_consistency(&l, from, to);
    return log_end(&l, rc);
}
