/* zip.c - ZIP by libarchive. */
#include <archive.h>
#include <archive_entry.h>
#include <stdlib.h>

#include "api/zip.h"

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
