/* publish.c - see publish.h. */
#include "ledger/publish.h"

#include <string.h>

#include "ledger/ledger.h"
#include "ledger/tiles.h"

/* Of one transaction: 16,384 events, some ten milliseconds of the writer. */
enum { TILES_A_STEP = 64 };

/* ---- meta ---- */

static int meta_get(struct db *lov, const char *name, struct buf *out, struct err *err)
{
    static const char sql[] = "select value from meta where name = $1";
    struct db_stmt *s = db_use(lov, sql);
    db_bind_text(s, 1, str_of(name));
    int rc = db_step(s, err);
    if (rc != 1)
        return rc;
    buf_str(out, db_text(s, 0));
    db_done(s);
    return 1;
}

static int meta_add(struct db *lov, const char *name, struct str value, struct err *err)
{
    static const char sql[] =
        "insert into meta (name, value) values ($1, $2) on conflict (name) do nothing";
    struct db_stmt *s = db_use(lov, sql);
    db_bind_text(s, 1, str_of(name));
    db_bind_text(s, 2, value);
    return db_run(s, err);
}

int publish_check_origin(struct str origin, struct err *err)
{
    if (!note_name_valid(origin) || origin.n > ORIGIN_MAX || origin.p[origin.n - 1] == '/')
        return err_reason(err, LOV_EINVAL, "invalid_origin",
                          "an origin is like consent.example.com/lov: up to %d bytes without "
                          "spaces and '+', and it does not end in '/'",
                          ORIGIN_MAX);
    return 0;
}

int publish_set_origin(struct db *lov, struct str origin, struct err *err)
{
    int rc = publish_check_origin(origin, err);
    return rc ? rc : meta_add(lov, "origin", origin, err);
}

int publish_origin(struct db *lov, struct buf *out, struct err *err)
{
    return meta_get(lov, "origin", out, err);
}

int publish_note_public(struct db *lov, const struct ed25519_key *key, struct err *err)
{
    _cleanup_buf struct buf hex = {0};
    hex_encode(key->b, sizeof key->b, &hex);
    return meta_add(lov, "log_key", buf_view(&hex), err);
}

int publish_public(struct db *lov, struct ed25519_key *out, struct err *err)
{
    _cleanup_buf struct buf hex = {0};
    int rc = meta_get(lov, "log_key", &hex, err);
    if (rc < 0)
        return rc;
    if (rc == 0 || !hex_decode(buf_view(&hex), out->b, sizeof out->b))
        return err_set(err, LOV_ENOTFOUND, "the store does not say its log's key");
    return 0;
}

int publish_key(struct str origin, uint32_t shard, const struct ed25519_key *key,
                struct note_key *out, struct err *err)
{
    _cleanup_buf struct buf name = {0};
    buf_str(&name, origin);
    buf_printf(&name, "/%u", shard);
    return note_key_make(buf_view(&name), NOTE_ED25519, key, out, err);
}

/* ---- making one ---- */

static int save(struct db *lov, uint32_t shard, const struct checkpoint *c,
                const struct log_signer *signer, int64_t now, struct err *err)
{
    static const char sql[] = "insert into checkpoint (shard, size, at, root, text, signature) "
                              "values ($1, $2, $3, $4, $5, $6)";
    _cleanup_buf struct buf text = {0}, signature = {0};
    checkpoint_format(c, &text);
    note_sign(buf_view(&text), &signer->key, &signer->seed, now, &signature);
    struct db_stmt *s = db_use(lov, sql);
    db_bind_int(s, 1, shard);
    db_bind_int(s, 2, c->size);
    db_bind_int(s, 3, now);
    db_bind_blob(s, 4, (struct str){(const char *)c->root.b, sizeof c->root.b});
    db_bind_text(s, 5, buf_view(&text));
    db_bind_text(s, 6, buf_view(&signature));
    return db_run(s, err);
}

/* Is the root of the first `size` events, as tiles and leaves are now, this one? */
static int check_root(struct db *lov, uint32_t shard, int64_t size, const struct sha256 *root,
                      const char *what, struct err *err)
{
    struct tiles tiles;
    struct sha256 made;
    tiles_init(&tiles, lov, shard);
    int rc = proof_make_root(&tiles.source, size, &made, err);
    if (rc == LOV_ENOTFOUND)
        return err_reason(err, LOV_ECORRUPT, "history_dropped",
                          "shard %u has not the %lld events that %s counts", shard, (long long)size,
                          what);
    if (rc)
        return rc;
    if (memcmp(made.b, root->b, sizeof made.b) != 0)
        return err_reason(err, LOV_ECORRUPT, "history_changed",
                          "the first %lld events of shard %u do not add up to %s", (long long)size,
                          shard, what);
    return 0;
}

int publish_step(struct db *lov, uint32_t shard, const struct log_signer *signer, int64_t now,
                 bool *more, struct err *err)
{
    _cleanup_buf struct buf memory = {0};
    struct checkpoint head = {.origin = note_key_name(&signer->key)};
    struct published last = {0};
    bool complete = true;
    *more = false;
    int rc = ledger_head(lov, shard, &head.size, &head.root, err);
    int found = rc ? rc : publish_get(lov, shard, -1, &memory, &last, err);
    if (found < 0)
        return found;
    if (found && last.size > head.size)
        return err_reason(err, LOV_ECORRUPT, "history_dropped",
                          "shard %u has %lld events, its last checkpoint counts %lld", shard,
                          (long long)head.size, (long long)last.size);
    if (found && last.size == head.size)
        return memcmp(last.root.b, head.root.b, sizeof head.root.b) == 0
                   ? 0
                   : err_reason(err, LOV_ECORRUPT, "history_changed",
                                "the head of shard %u is not what its last checkpoint says", shard);
    rc = tiles_extend(lov, shard, head.size, TILES_A_STEP, &complete, err);
    if (rc || !complete) {
        *more = rc == 0;
        return rc;
    }
    rc = check_root(lov, shard, head.size, &head.root, "its head", err);
    if (rc == 0 && found)
        rc = check_root(lov, shard, last.size, &last.root, "its last checkpoint", err);
    return rc ? rc : save(lov, shard, &head, signer, now, err);
}

/* ---- reading ---- */

static int read_row(struct db_stmt *s, struct buf *memory, struct published *out, struct err *err)
{
    struct str root = db_blob(s, 2), text = db_text(s, 3), signature = db_text(s, 4);
    if (root.n != sizeof out->root.b)
        return err_set(err, LOV_ECORRUPT, "the checkpoint of size %lld is damaged",
                       (long long)db_int(s, 0));
    *out = (struct published){.size = db_int(s, 0), .at = db_int(s, 1)};
    memcpy(out->root.b, root.p, root.n);
    buf_clear(memory);
    buf_reserve(memory, text.n + signature.n + 1);
    buf_str(memory, text);
    buf_str(memory, signature);
    out->text = (struct str){memory->p, text.n};
    out->signature = (struct str){memory->p + text.n, signature.n};
    return 1;
}

int publish_get(struct db *lov, uint32_t shard, int64_t size, struct buf *memory,
                struct published *out, struct err *err)
{
    static const char one[] = "select size, at, root, text, signature from checkpoint "
                              "where shard = $1 and size = $2";
    static const char last[] = "select size, at, root, text, signature from checkpoint "
                               "where shard = $1 order by size desc limit 1";
    struct db_stmt *s = db_use(lov, size < 0 ? last : one);
    db_bind_int(s, 1, shard);
    if (size >= 0)
        db_bind_int(s, 2, size);
    int rc = db_step(s, err);
    if (rc != 1)
        return rc;
    rc = read_row(s, memory, out, err);
    db_done(s);
    return rc;
}

static int no_checkpoint(uint32_t shard, int64_t size, struct err *err)
{
    if (size < 0)
        return err_reason(err, LOV_ENOTFOUND, "no_checkpoint",
                          "shard %u has no checkpoint: lov log checkpoint makes one", shard);
    return err_reason(err, LOV_ENOTFOUND, "no_checkpoint",
                      "shard %u has no checkpoint of %lld events", shard, (long long)size);
}

int publish_note(struct db *lov, uint32_t shard, int64_t size, struct buf *out, struct err *err)
{
    static const char sql[] = "select line from cosignature where shard = $1 and size = $2 "
                              "order by name, key_id";
    _cleanup_buf struct buf memory = {0};
    struct published p = {0};
    int rc = publish_get(lov, shard, size, &memory, &p, err);
    if (rc != 1)
        return rc < 0 ? rc : no_checkpoint(shard, size, err);
    buf_str(out, p.text);
    buf_char(out, '\n');
    buf_str(out, p.signature);
    struct db_stmt *s = db_use(lov, sql);
    db_bind_int(s, 1, shard);
    db_bind_int(s, 2, p.size);
    while ((rc = db_step(s, err)) == 1)
        buf_str(out, db_text(s, 0));
    return rc;
}

/* ---- cosignatures ---- */

static int verify_cosignature(struct str text, const struct note_line *line,
                              const struct witnesses *by, int64_t *at, struct err *err)
{
    for (size_t i = 0; i < by->count; i++) {
        int rc = note_verify_line(text, line, &by->key[i], at, err);
        if (rc == LOV_ECORRUPT)
            return err_reason(err, LOV_EINVAL, "invalid_cosignature",
                              "a cosignature does not verify over this checkpoint");
        if (rc == 0)
            return 0;
    }
    return err_reason(err, LOV_EINVAL, "unknown_witness",
                      "a cosignature is by none of the witnesses that this log asks");
}

static int keep(struct db *lov, uint32_t shard, int64_t size, const struct note_line *line,
                int64_t at, int *kept, struct err *err)
{
    static const char sql[] =
        "insert into cosignature (shard, size, name, key_id, at, line) "
        "values ($1, $2, $3, $4, $5, $6) on conflict (shard, size, name, key_id) do nothing";
    _cleanup_buf struct buf whole = {0};
    buf_str(&whole, line->line);
    if (whole.p[whole.n - 1] != '\n')
        buf_char(&whole, '\n');
    int64_t before = db_changes(lov);
    struct db_stmt *s = db_use(lov, sql);
    db_bind_int(s, 1, shard);
    db_bind_int(s, 2, size);
    db_bind_text(s, 3, line->name);
    db_bind_int(s, 4, line->id);
    db_bind_int(s, 5, at);
    db_bind_text(s, 6, buf_view(&whole));
    int rc = db_run(s, err);
    *kept += rc == 0 && db_changes(lov) > before;
    return rc;
}

struct verified {
    int64_t size;
    size_t count;
    struct note_line line[NOTE_LINES_MAX];
    int64_t at[NOTE_LINES_MAX];
};

static int verify_lines(struct db *lov, uint32_t shard, int64_t size, struct str lines,
                        const struct witnesses *by, struct verified *out, struct err *err)
{
    _cleanup_buf struct buf memory = {0};
    struct published p = {0};
    int rc = publish_get(lov, shard, size, &memory, &p, err);
    if (rc != 1)
        return rc < 0 ? rc : no_checkpoint(shard, size, err);
    out->size = p.size;
    out->count = 0;
    rc = lines.n ? 0 : err_set(err, LOV_EINVAL, "send one or more signature lines");
    while (rc == 0 && lines.n > 0) {
        size_t i = out->count;
        if (i == NOTE_LINES_MAX)
            return err_set(err, LOV_EINVAL, "more than %d signature lines", NOTE_LINES_MAX);
        rc = note_line_parse(str_cut(&lines, '\n'), &out->line[i], err);
        if (rc == 0)
            rc = verify_cosignature(p.text, &out->line[i], by, &out->at[i], err);
        out->count++;
    }
    return rc;
}

int publish_verify(struct db *lov, uint32_t shard, int64_t size, struct str lines,
                   const struct witnesses *by, struct err *err)
{
    struct verified v = {0};
    return verify_lines(lov, shard, size, lines, by, &v, err);
}

int publish_cosign(struct db *lov, uint32_t shard, int64_t size, struct str lines,
                   const struct witnesses *by, int *kept, struct err *err)
{
    struct verified v = {0};
    int rc = verify_lines(lov, shard, size, lines, by, &v, err);
    *kept = 0;
    for (size_t i = 0; rc == 0 && i < v.count; i++)
        rc = keep(lov, shard, v.size, &v.line[i], v.at[i], kept, err);
    return rc;
}

int publish_witnesses(struct str text, struct witnesses *out, struct err *err)
{
    out->count = 0;
    while (text.n > 0) {
        struct str line = str_trim(str_cut(&text, '\n'));
        if (line.n == 0 || line.p[0] == '#')
            continue;
        if (out->count == WITNESSES_MAX)
            return err_set(err, LOV_ELIMIT, "there are more than %d witnesses", WITNESSES_MAX);
        int rc = note_key_parse(line, &out->key[out->count], err);
        if (rc)
            return rc;
        out->count++;
    }
    return 0;
}
