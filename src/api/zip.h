/*
 * zip.h - a ZIP file in memory (APPNOTE 6.3, by libarchive): the same entries give the same bytes.
 * One thread. Private.
 */
#ifndef LOV_API_ZIP_H
#define LOV_API_ZIP_H

#include <stdbool.h>

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

#endif
