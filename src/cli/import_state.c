/* import_state.c - how far an import has come, in a file that is replaced whole: after a crash it
 * says where the last batch ended or where the one before did, and the API's idempotency takes care
 * of what was done in between. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "cli/import.h"

enum { STATE_MAX = 4096 };

int import_state_open(struct import_state *s, const char *dir, const struct sha256 *file,
                      const struct sha256 *mapping, enum import_kind kind, struct err *err)
{
    *s = (struct import_state){.mapping = *mapping};
    buf_printf(&s->folder, "%s/import", dir);
    buf_printf(&s->path, "%s/", s->folder.p);
    hex_encode(file->b, sizeof file->b, &s->path);
    static const char *const ends[] = {".json", ".consumers.json", ".records.json", ".export.json"};
    buf_cstr(&s->path, ends[kind]);
    return dir_create(s->folder.p, 0700, err);
}

void import_state_close(struct import_state *s)
{
    buf_free(&s->path);
    buf_free(&s->folder);
}

struct saved {
    struct str mapping;
    int64_t rows, accepted, replayed, rejected, rejects_bytes;
};
#define NUMBER(name)                                                                               \
    {                                                                                              \
#name, JSON_K_INT, offsetof(struct saved, name), true, 0, 0                                \
    }
static const struct json_field fields[] = {
    {"mapping", JSON_K_STRING, offsetof(struct saved, mapping), true, 64, 64},
    NUMBER(rows),
    NUMBER(accepted),
    NUMBER(replayed),
    NUMBER(rejected),
    NUMBER(rejects_bytes),
};

int import_state_load(struct import_state *s, struct err *err)
{
    _cleanup_buf struct buf text = {0}, hex = {0};
    _cleanup_json json_t *json = NULL;
    _cleanup_arena struct arena arena = {0};
    struct saved saved = {0};
    if (!file_exists(s->path.p))
        return 0;
    int rc = file_read(s->path.p, STATE_MAX, &text, err);
    if (rc == 0)
        rc = json_read(buf_view(&text), &json, err);
    if (rc == 0)
        rc = json_take(json, fields, sizeof fields / sizeof *fields, JSON_REFUSE_UNKNOWN, "",
                       &arena, &saved, err);
    if (rc)
        return err_set(err, LOV_ECORRUPT, "%s is damaged: remove it, and import from the start",
                       s->path.p);
    hex_encode(s->mapping.b, sizeof s->mapping.b, &hex);
    if (!str_eq(saved.mapping, buf_view(&hex)))
        return err_reason(err, LOV_ECONFLICT, "mapping_changed",
                          "the import was begun with another mapping: take that one, or import "
                          "from the start without --resume");
    s->rows = saved.rows;
    s->accepted = saved.accepted;
    s->replayed = saved.replayed;
    s->rejected = saved.rejected;
    s->rejects_bytes = saved.rejects_bytes;
    return 1;
}

int import_state_save(const struct import_state *s, struct err *err)
{
    _cleanup_buf struct buf text = {0}, next = {0};
    struct jw w = {.out = &text};
    jw_object_start(&w);
    jw_hex_member(&w, "mapping", s->mapping.b, sizeof s->mapping.b);
    jw_int_member(&w, "rows", s->rows);
    jw_int_member(&w, "accepted", s->accepted);
    jw_int_member(&w, "replayed", s->replayed);
    jw_int_member(&w, "rejected", s->rejected);
    jw_int_member(&w, "rejects_bytes", s->rejects_bytes);
    jw_object_end(&w);
    buf_printf(&next, "%s.next", s->path.p);
    unlink(next.p);
    int rc = file_create(next.p, 0600, buf_view(&text), err);
    if (rc)
        return rc;
    if (rename(next.p, s->path.p) != 0)
        return err_set(err, LOV_EIO, "cannot write %s: %s", s->path.p, strerror(errno));
    return dir_sync(s->folder.p, err);
}

void import_state_remove(const struct import_state *s)
{
    unlink(s->path.p);
}
