/* rejects.c - the rows that an import refused: their numbers and why, never what is in them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "cli/rejects.h"

enum { TOLD = 10 };

struct rejects {
    FILE *file; /* NULL: the first few are told on stderr */
    bool json;
    int64_t told;
};

int rejects_open(const char *path, int64_t keep, struct rejects **out, struct err *err)
{
    FILE *file = NULL;
    if (path) {
        file = fopen(path, keep ? "r+" : "w");
        if (!file || ftruncate(fileno(file), keep) != 0 || fseeko(file, keep, SEEK_SET) != 0) {
            int rc = err_set(err, LOV_EIO, "cannot write %s: %s", path, strerror(errno));
            if (file)
                fclose(file);
            return rc;
        }
    }
    struct rejects *r = mem_zero(sizeof *r);
    r->file = file;
    r->json = path && str_ends(str_of(path), STR(".jsonl"));
    if (file && !keep && !r->json)
        fputs("row,line,reason,detail\r\n", file);
    *out = r;
    return 0;
}

void rejects_close(struct rejects *r)
{
    if (r && r->file)
        fclose(r->file);
    free(r);
}

static void write_json(struct rejects *r, int64_t row, int64_t line, const char *reason,
                       const char *detail)
{
    _cleanup_buf struct buf out = {0};
    struct jw w = {.out = &out};
    jw_object_start(&w);
    jw_int_member(&w, "row", row);
    jw_int_member(&w, "line", line);
    jw_cstr_member(&w, "reason", reason);
    jw_cstr_member(&w, "detail", detail);
    jw_object_end(&w);
    fprintf(r->file, "%s\n", out.p);
}

void rejects_add(struct rejects *r, int64_t row, int64_t line, const char *reason,
                 const char *detail)
{
    if (!r->file) {
        if (r->told++ < TOLD)
            fprintf(stderr, "lov: row %lld (line %lld): %s\n", (long long)row, (long long)line,
                    detail);
        return;
    }
    if (r->json) {
        write_json(r, row, line, reason, detail);
        return;
    }
    fprintf(r->file, "%lld,%lld,%s,\"", (long long)row, (long long)line, reason);
    for (const char *p = detail; *p; p++) {
        if (*p == '"')
            fputc('"', r->file);
        fputc(*p, r->file);
    }
    fputs("\"\r\n", r->file);
}

int rejects_sync(struct rejects *r, int64_t *bytes, struct err *err)
{
    *bytes = 0;
    if (!r->file)
        return 0;
    if (fflush(r->file) != 0 || fsync(fileno(r->file)) != 0)
        return err_set(err, LOV_EIO, "cannot write the rejects: %s", strerror(errno));
    *bytes = (int64_t)ftello(r->file);
    return 0;
}
