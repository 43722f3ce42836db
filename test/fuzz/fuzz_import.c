/* fuzz_import.c - bytes as a file to import. The first byte says what the rest is: a CSV file or
 * JSON Lines under a sound mapping, or a mapping file, which then reads a small file. Nothing may
 * crash, leak or take long; a row is either refused with a reason, or valid JSON within its bound.
 */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "cli/import.h"

static void look_up(struct str text)
{
    struct lookup *l = NULL;
    struct err err = {0};
    struct str found;
    if (lookup_load(text, "a", "b", "c", "x", &l, &err)) {
        if (!*err.text)
            abort();
        return;
    }
    if (lookup_find(l, STR("1"), &found) && found.n > text.n)
        abort();
    lookup_free(l);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MEMBERS                                                                                    \
    "members:\n"                                                                                   \
    "  - {member: consumer, column: who}\n"                                                        \
    "  - {member: purpose, constant: p}\n"                                                         \
    "  - {member: recipient, column: to, default: r}\n"                                            \
    "  - {member: categories, column: what, separator: '|', values: [{from: a, to: b}]}\n"         \
    "  - {member: decision, column: yes, values: [{from: y, to: give}, {from: n, to: refuse}]}\n"  \
    "  - {member: notice.id, constant: n}\n"                                                       \
    "  - {member: notice.version, column: v}\n"                                                    \
    "  - {member: notice.language, constant: sv}\n"                                                \
    "  - {member: channel, constant: import}\n"                                                    \
    "  - {member: given_at, column: at, date: YYYYMMDDhhmmss}\n"                                   \
    "  - {member: expires_at, column: end, date: epoch}\n"                                         \
    "  - {member: evidence, column: e}\n"

static const char csv_mapping[] = "format: csv\n" MEMBERS;
static const char numbered_mapping[] = "format: csv\nheader: false\ndelimiter: ';'\nmembers:\n"
                                       "  - {member: consumer, column: '1'}\n"
                                       "  - {member: birth_date, column: '3', date: DD.MM.YYYY}\n"
                                       "  - {member: restricted, column: '2'}\n";
static const char columns_mapping[] =
    "format: columns\n"
    "header: false\n"
    "members:\n"
    "  - {member: consumer, column: '1'}\n"
    "  - {member: category, column: '2'}\n"
    "  - {member: data.a, column: '3', type: integer}\n"
    "  - {member: data.b, column: '4', type: amount, currency: SEK}\n"
    "  - {member: data.c, column: '#', prefix: row-}\n";
static const char json_mapping[] = "format: jsonl\n" MEMBERS;
static const char small_file[] = "who,to,what\n1,r,a\n2,,\n";

static void check_item(const struct import_item *item)
{
    _cleanup_json json_t *json = NULL;
    struct err err = {0};
    if (item->row < 1 || item->line < 1)
        abort();
    if (item->err.code) {
        if (!*item->err.text || !*item->err.reason)
            abort();
        return;
    }
    if (item->json.n > ITEM_MAX || json_read(item->json, &json, &err) || !json_is_object(json))
        abort();
}

static void read_rows(const struct mapping *m, struct str text)
{
    struct rows rows;
    struct err err = {0};
    size_t before = 0;
    int more = 1;
    if (rows_open(&rows, m, text, &err))
        return;
    while (more) {
        _cleanup_arena struct arena arena = {0};
        struct import_item item;
        more = rows_next(&rows, &arena, &item);
        if (!more)
            break;
        check_item(&item);
        if (rows.csv.at <= before || rows.csv.at > text.n)
            abort();
        before = rows.csv.at;
    }
    rows_close(&rows);
}

static void read_under(const char *mapping, enum import_kind kind, struct str text)
{
    struct mapping *m = NULL;
    struct err err = {0};
    if (mapping_load(str_of(mapping), kind, &m, &err))
        abort();
    read_rows(m, text);
    mapping_free(m);
}

static void load_mapping(struct str text, enum import_kind kind)
{
    struct mapping *m = NULL;
    struct err err = {0};
    if (mapping_load(text, kind, &m, &err) == 0)
        read_rows(m, STR(small_file));
    else if (!*err.text)
        abort();
    mapping_free(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct str text = {(const char *)data + 1, size - 1};
    switch (data[0] % 8) {
    case 0:
        read_under(csv_mapping, IMPORT_CONSENTS, text);
        break;
    case 1:
        read_under(numbered_mapping, IMPORT_CONSUMERS, text);
        break;
    case 2:
        read_under(json_mapping, IMPORT_CONSENTS, text);
        break;
    case 3:
        load_mapping(text, IMPORT_CONSENTS);
        break;
    case 4:
        load_mapping(text, IMPORT_CONSUMERS);
        break;
    case 5:
        read_under(columns_mapping, IMPORT_RECORDS, text);
        break;
    case 6:
        look_up(text);
        break;
    default:
        load_mapping(text, IMPORT_RECORDS);
        break;
    }
    return 0;
}
