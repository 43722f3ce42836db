/*
 * json.h - JSON in by jansson, out by hand into a buf.
 *
 * In: json_read() refuses what RFC 8259 and I-JSON (RFC 7493) refuse: duplicate names, invalid
 * UTF-8, lone surrogates, trailing bytes, more than JSON_DEPTH levels, numbers out of range. Then a
 * table of fields takes an object apart into a struct: each field has a name, a kind, a bound and
 * whether it is required; errors name the field by its path ("notice.version").
 * Out: a jw (JSON writer) places commas; text is escaped as RFC 8259 §7 demands.
 */
#ifndef LOV_BASE_JSON_H
#define LOV_BASE_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

enum { JSON_DEPTH = 16 };

#define _cleanup_json __attribute__((cleanup(json_cleanup)))
void json_cleanup(json_t **json);

/* The caller owns *out (json_decref, or _cleanup_json). LOV_EINVAL names line and column. */
int json_read(struct str text, json_t **out, struct err *err);

enum json_kind {
    JSON_K_STRING, /* struct str; min and max in bytes; no control characters */
    JSON_K_TEXT,   /* the same, line breaks and tabs admitted */
    JSON_K_NAME,   /* struct str that is a policy name (str_is_name) */
    JSON_K_INT,    /* int64_t between min and max */
    JSON_K_BOOL,   /* bool */
    JSON_K_TIME,   /* int64_t ms, from RFC 3339 text */
    JSON_K_DATE,   /* int32_t day, from "YYYY-MM-DD" */
    JSON_K_OBJECT, /* json_t *, borrowed */
    JSON_K_ARRAY,  /* json_t *, borrowed; min and max in items */
    JSON_K_NAMES,  /* struct json_names: array of distinct names; min and max in items */
    JSON_K_ANY,    /* json_t *, borrowed */
};

struct json_names {
    struct str *items;
    size_t count;
};

struct json_field {
    const char *name;
    enum json_kind kind;
    size_t offset; /* of the member in the struct to fill */
    bool required;
    int64_t min, max; /* 0, 0: the kind's own bound (1..256 bytes, 0..2^53-1, 0..1000 items) */
};

enum json_unknown { JSON_REFUSE_UNKNOWN, JSON_IGNORE_UNKNOWN };

/* Fills *out from `object`. Strings borrow from `object`; arrays of names come from the arena. A
 * member that is absent or null keeps what *out holds. `path` is put before field names in errors
 * ("" at the top). All errors are LOV_EINVAL with reason "invalid_field", "missing_field" or
 * "unknown_field". */
int json_take(const json_t *object, const struct json_field *fields, size_t count,
              enum json_unknown unknown, const char *path, struct arena *arena, void *out,
              struct err *err);

/* An object whose members are read straight into a struct; parts are those of its fields that are
 * objects with a table of their own. */
struct json_plain {
    const struct json_field *fields;
    size_t count; /* at most 32 */
    const struct json_plain *parts;
    size_t part_count;
    const char *name; /* of a part */
    size_t offset;    /* of its struct in the struct to fill */
};
/* Does what json_read() and json_take() with JSON_REFUSE_UNKNOWN do, in a tenth of the time, where
 * the text is as most are: printable ASCII without escapes, whole numbers, no null, no objects and
 * arrays but parts and a few names. False for all else, right or wrong: read it with those two,
 * which say what is wrong. *out may be half filled then. Strings borrow from `text`. */
bool json_take_plain(struct str text, const struct json_plain *object, struct arena *arena,
                     void *out);

/* The text of a JSON string, borrowed. */
struct str json_text(const json_t *string);
/* Is it the text that jw_time(), jw_hex() write of this? */
bool json_is_time(const json_t *json, int64_t at);
bool json_is_hex(const json_t *json, const void *p, size_t n);
/* Canonical text of any JSON value: members sorted by name, no white space. */
void json_canonical(const json_t *json, struct buf *out);

/* Writer. Between jw_object_start/_end name each member with jw_key, or use the jw_..._member
 * forms that do both. */
struct jw {
    struct buf *out;
    bool comma;
};
void jw_object_start(struct jw *w);
void jw_object_end(struct jw *w);
void jw_array_start(struct jw *w);
void jw_array_end(struct jw *w);
/* A constant of ours: not escaped. Here to be inlined, so that its length is known. */
static inline void jw_key(struct jw *w, const char *name)
{
    size_t n = strlen(name);
    buf_reserve(w->out, n + 4);
    char *p = w->out->p + w->out->n, *start = p;
    if (w->comma)
        *p++ = ',';
    *p++ = '"';
    memcpy(p, name, n);
    p += n;
    *p++ = '"';
    *p++ = ':';
    *p = '\0';
    w->out->n += (size_t)(p - start);
    w->comma = false;
}
void jw_key_str(struct jw *w, struct str name);
void jw_str(struct jw *w, struct str text);
void jw_int(struct jw *w, int64_t v);
void jw_bool(struct jw *w, bool v);
void jw_null(struct jw *w);
void jw_time(struct jw *w, int64_t at); /* TIME_NONE is null */
void jw_hex(struct jw *w, const void *p, size_t n);
/* JSON that is already text. */
void jw_raw(struct jw *w, struct str json);
static inline void jw_str_member(struct jw *w, const char *name, struct str text)
{
    jw_key(w, name);
    jw_str(w, text);
}
static inline void jw_cstr_member(struct jw *w, const char *name, const char *text)
{
    jw_str_member(w, name, str_of(text));
}
static inline void jw_int_member(struct jw *w, const char *name, int64_t v)
{
    jw_key(w, name);
    jw_int(w, v);
}
static inline void jw_bool_member(struct jw *w, const char *name, bool v)
{
    jw_key(w, name);
    jw_bool(w, v);
}
void jw_time_member(struct jw *w, const char *name, int64_t at);
void jw_hex_member(struct jw *w, const char *name, const void *p, size_t n);
/* Null for the empty text. */
void jw_optional_member(struct jw *w, const char *name, struct str text);
void jw_strs_member(struct jw *w, const char *name, const struct str *texts, size_t count);
/* An array of what commas separate. */
void jw_list_member(struct jw *w, const char *name, struct str list);
/* End them with jw_array_end and jw_object_end. */
void jw_array_member(struct jw *w, const char *name);
void jw_object_member(struct jw *w, const char *name);

/* Escaped text without the quotes, for templates of our own. */
void json_escape(struct buf *out, struct str text);

#endif
