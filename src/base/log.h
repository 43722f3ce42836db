/*
 * log.h - one line of JSON per message on a file descriptor (RFC 3339 time, level, msg, fields).
 *
 * Callers pass what is safe to keep: never a consumer's id, a key, a body or a URL with either.
 * Any thread; a line is one write(2), so lines never mix.
 */
#ifndef LOV_BASE_LOG_H
#define LOV_BASE_LOG_H

#include <stdatomic.h>

#include "base/str.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

struct log {
    int fd;
    _Atomic int level; /* lines above it are dropped; set by reload, read by all, relaxed */
};

/* `fields` is either empty or the inside of a JSON object ("\"port\":8787"). */
void log_line(struct log *log, enum log_level level, const char *message, struct str fields);
void log_printf(struct log *log, enum log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
bool log_level_parse(struct str name, enum log_level *out);

#endif
