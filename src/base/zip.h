/*
 * zip.h - a ZIP file in memory (APPNOTE 6.3, by libarchive): the same entries give the same bytes.
 * One thread.
 */
#ifndef LOV_BASE_ZIP_H
#define LOV_BASE_ZIP_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

struct zip;
/* Appends to *out, which must outlive it. Beyond `max` bytes, of entries or of the file, adding is
 * refused with LOV_ELIMIT. */
struct zip *zip_new(struct buf *out, size_t max);
int zip_add(struct zip *z, const char *name, struct str content, struct err *err);
/* Writes the directory. The file is whole only when it returns 0. */
int zip_finish(struct zip *z, struct err *err);
void zip_free(struct zip *z); /* NULL is nothing */

struct zip_file {
    struct str name, content; /* the name has a NUL behind it */
};
/* Every file in it, by name in order of bytes, in the arena. LOV_EINVAL "invalid_zip" of what is no
 * ZIP, is damaged, or has a name twice, a name that is no UTF-8, or what is neither file nor
 * folder; LOV_ELIMIT when the files are more than `max` bytes together, or more than ZIP_FILES_MAX.
 * Names are not safe as paths. */
enum { ZIP_FILES_MAX = 65536 };
int zip_read(struct str zip, size_t max, struct arena *arena, struct zip_file **out, size_t *count,
             struct err *err);

#endif
