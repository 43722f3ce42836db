/* migrate.c - finds the migrations of a store among the schema files that are built in. */
#include <stdio.h>
#include <string.h>

#include "db/db.h"
#include "db/schema.h"

enum { MOST = 64 };

int db_migrate_embedded(struct db *db, const char *store, struct err *err)
{
    struct db_migration list[MOST];
    size_t count = 0;
    for (; count < MOST; count++) {
        char name[64];
        snprintf(name, sizeof name, "%s_%03zu.sql", store, count + 1);
        size_t i = 0;
        while (i < embedded_schema_count && strcmp(embedded_schema[i].name, name) != 0)
            i++;
        if (i == embedded_schema_count)
            break;
        struct str sql = {embedded_schema[i].text, embedded_schema[i].size};
        list[count] = (struct db_migration){(int)count + 1, sql};
    }
    if (count == 0)
        bug("no schema for the store %s", store);
    return db_migrate(db, list, count, err);
}

int db_migrated(struct db *db, int64_t *out, struct err *err)
{
    static const char sql[] = "select coalesce(max(number), 0) from migration";
    struct db_stmt *s = db_use(db, sql);
    return db_number(s, out, err);
}
