/*
 * file.h - whole files, and folders.
 */
#ifndef LOV_BASE_FILE_H
#define LOV_BASE_FILE_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/str.h"

/* Appends the file to *out; LOV_ELIMIT when it is larger than `max`. */
int file_read(const char *path, size_t max, struct buf *out, struct err *err);
/* Creates a file that must not exist, durable (file and folder synced) when it returns. */
int file_create(const char *path, mode_t mode, struct str content, struct err *err);
bool file_exists(const char *path);
/* LOV_EINVAL when group or others can read or write `path`. */
int file_check_private(const char *path, struct err *err);
/* mkdir -p with `mode` for the last one. */
int dir_create(const char *path, mode_t mode, struct err *err);
/* Syncs the folder itself, so that names created in it survive a crash. */
int dir_sync(const char *path, struct err *err);

/* Calls `visit` with the path of each regular file under `root`, relative to it, folder by folder
 * with the names of each in byte order, at most 8 levels deep; hidden names are left out; links are
 * not followed. Stops when `visit` returns non-zero and returns that. */
int dir_walk(const char *root, int (*visit)(void *ctx, const char *relative, struct err *err),
             void *ctx, struct err *err);

#endif
