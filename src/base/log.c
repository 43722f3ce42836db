/* log.c - see log.h. */
#include "base/log.h"

#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"

static const char *const level_names[] = {"error", "warn", "info", "debug"};

bool log_level_parse(struct str name, enum log_level *out)
{
    for (int i = LOG_ERROR; i <= LOG_DEBUG; i++) {
        if (str_is(name, level_names[i])) {
            *out = (enum log_level)i;
            return true;
        }
    }
    return false;
}

void log_line(struct log *log, enum log_level level, const char *message, struct str fields)
{
    if ((int)level > atomic_load_explicit(&log->level, memory_order_relaxed))
        return;
    _cleanup_buf struct buf line = {0};
    struct jw w = {.out = &line};
    jw_object_start(&w);
    jw_time_member(&w, "time", clock_now());
    jw_cstr_member(&w, "level", level_names[level]);
    jw_cstr_member(&w, "msg", message);
    if (fields.n)
        jw_raw(&w, fields);
    jw_object_end(&w);
    buf_char(&line, '\n');
    /* A log that cannot be written must not stop the work: there is nobody left to tell. */
    ssize_t ignored = write(log->fd, line.p, line.n);
    (void)ignored;
}

void log_printf(struct log *log, enum log_level level, const char *format, ...)
{
    enum { MOST = 511 };
    char message[MOST + 2];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    message[str_utf8_head(str_of(message), MOST).n] = '\0';
    log_line(log, level, message, (struct str){0});
}
