/* zip.c - ZIP by libarchive. */
#include <archive.h>
#include <archive_entry.h>
#include <stdlib.h>
#include <string.h>

#include "base/crypt.h"
#include "base/zip.h"

/* The first day that the format can name, 1980-01-01, for every entry. */
enum { ZIP_EPOCH = 315532800 };

struct zip {
    struct archive *archive;
    struct buf *out;
    size_t max, added;
};

static la_ssize_t take_bytes(struct archive *a, void *ctx, const void *p, size_t n)
{
    struct zip *z = ctx;
    if (z->out->n + n > z->max) {
        archive_set_error(a, ARCHIVE_FAILED, "too large");
        return -1;
    }
    buf_add(z->out, p, n);
    return (la_ssize_t)n;
}

struct zip *zip_new(struct buf *out, size_t max)
{
    struct zip *z = mem_zero(sizeof *z);
    z->out = out;
    z->max = max;
    z->archive = archive_write_new();
    if (!z->archive || archive_write_set_format_zip(z->archive) != ARCHIVE_OK ||
        archive_write_set_bytes_in_last_block(z->archive, 1) != ARCHIVE_OK ||
        archive_write_open(z->archive, z, NULL, take_bytes, NULL) != ARCHIVE_OK)
        bug("libarchive writes no ZIP");
    return z;
}

static int failed(struct zip *z, struct err *err)
{
    if (z->out->n + z->added > z->max)
        return err_reason(err, LOV_ELIMIT, "export_too_large", "more than %zu MiB", z->max >> 20);
    return err_set(err, LOV_EIO, "the ZIP file failed: %s", archive_error_string(z->archive));
}

int zip_add(struct zip *z, const char *name, struct str content, struct err *err)
{
    if (__builtin_add_overflow(z->added, content.n, &z->added) || z->added > z->max)
        return err_reason(err, LOV_ELIMIT, "export_too_large", "more than %zu MiB", z->max >> 20);
    struct archive_entry *entry = archive_entry_new();
    archive_entry_set_pathname(entry, name);
    archive_entry_set_size(entry, (la_int64_t)content.n);
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, 0600);
    archive_entry_set_mtime(entry, ZIP_EPOCH, 0);
    bool ok = archive_write_header(z->archive, entry) == ARCHIVE_OK &&
              (content.n == 0 ||
               archive_write_data(z->archive, content.p, content.n) == (la_ssize_t)content.n) &&
              archive_write_finish_entry(z->archive) == ARCHIVE_OK;
    archive_entry_free(entry);
    return ok ? 0 : failed(z, err);
}

int zip_finish(struct zip *z, struct err *err)
{
    return archive_write_close(z->archive) == ARCHIVE_OK ? 0 : failed(z, err);
}

void zip_free(struct zip *z)
{
    if (!z)
        return;
    archive_write_free(z->archive);
    free(z);
}

/* ---- reading ---- */

struct zip_reading {
    struct archive *archive;
    struct arena *arena;
    struct zip_file *files;
    size_t count, cap, max, read;
    struct err *err;
};

static int invalid(struct err *err, const char *why)
{
    return err_reason(err, LOV_EINVAL, "invalid_zip", "not a ZIP file that can be read: %s", why);
}

static int too_large(const struct zip_reading *z)
{
    return err_reason(z->err, LOV_ELIMIT, "zip_too_large",
                      "the ZIP file holds more than %zu MiB or %d files", z->max >> 20,
                      (int)ZIP_FILES_MAX);
}

/* The size that the file claims is not believed. */
static int read_content(struct zip_reading *z, struct str *out)
{
    _cleanup_buf struct buf content = {0};
    char part[16384];
    la_ssize_t n;
    while ((n = archive_read_data(z->archive, part, sizeof part)) > 0) {
        z->read += (size_t)n;
        if (z->read > z->max)
            return too_large(z);
        buf_add(&content, part, (size_t)n);
    }
    if (n < 0)
        return invalid(z->err, archive_error_string(z->archive));
    *out = arena_str(z->arena, buf_view(&content));
    secret_wipe_bytes(content.p, content.n);
    return 0;
}

static int read_entry(struct zip_reading *z, struct archive_entry *entry)
{
    const char *name = archive_entry_pathname_utf8(entry);
    if (archive_entry_filetype(entry) == AE_IFDIR)
        return 0;
    if (!name || archive_entry_filetype(entry) != AE_IFREG)
        return invalid(z->err, "it holds what is no file with a name in UTF-8");
    if (z->count == ZIP_FILES_MAX)
        return too_large(z);
    if (z->count == z->cap)
        z->files = mem_grow(z->files, z->cap = z->cap ? z->cap * 2 : 64, sizeof *z->files);
    struct zip_file *file = &z->files[z->count++];
    *file = (struct zip_file){.name = str_of(arena_cstr(z->arena, str_of(name)))};
    return read_content(z, &file->content);
}

static int by_name(const void *a, const void *b)
{
    return str_cmp(((const struct zip_file *)a)->name, ((const struct zip_file *)b)->name);
}

static int read_all(struct zip_reading *z, struct str zip)
{
    struct archive_entry *entry;
    int rc = 0, more;
    if (archive_read_support_format_zip_seekable(z->archive) != ARCHIVE_OK ||
        archive_read_open_memory(z->archive, zip.p, zip.n) != ARCHIVE_OK)
        return invalid(z->err, archive_error_string(z->archive));
    while (rc == 0 && (more = archive_read_next_header(z->archive, &entry)) == ARCHIVE_OK)
        rc = read_entry(z, entry);
    if (rc)
        return rc;
    if (more != ARCHIVE_EOF)
        return invalid(z->err, archive_error_string(z->archive));
    if (z->count == 0)
        return invalid(z->err, "it holds no file");
    qsort(z->files, z->count, sizeof *z->files, by_name);
    for (size_t i = 1; i < z->count; i++)
        if (str_eq(z->files[i - 1].name, z->files[i].name))
            return invalid(z->err, "it holds two files of one name");
    return 0;
}

int zip_read(struct str zip, size_t max, struct arena *arena, struct zip_file **out, size_t *count,
             struct err *err)
{
    struct zip_reading z = {.archive = archive_read_new(), .arena = arena, .max = max, .err = err};
    if (!z.archive)
        bug("libarchive reads no ZIP");
    int rc = read_all(&z, zip);
    if (rc == 0) {
        *count = z.count;
        *out = arena_array(arena, z.count, sizeof **out);
        memcpy(*out, z.files, z.count * sizeof **out);
    }
    free(z.files);
    archive_read_free(z.archive);
    return rc;
}
