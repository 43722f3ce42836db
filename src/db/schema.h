/*
 * schema.h - the schema files of db/schema/, built into the program, named "lov_001.sql". Each text
 * has a NUL behind it.
 */
#ifndef LOV_DB_SCHEMA_H
#define LOV_DB_SCHEMA_H

#include <stddef.h>

struct embedded {
    const char *name;
    const char *text;
    size_t size;
};

extern const struct embedded embedded_schema[];
extern const size_t embedded_schema_count;

#endif
