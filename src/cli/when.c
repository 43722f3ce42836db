/* when.c - times as other systems write them. */
#include <string.h>

#include "base/clock.h"
#include "cli/import.h"

enum unit { YEAR, MONTH, DAY, HOUR, MINUTE, SECOND, UNITS };

static const struct {
    const char *word;
    enum unit unit;
} words[] = {
    {"YYYY", YEAR}, {"MM", MONTH}, {"DD", DAY}, {"hh", HOUR}, {"mm", MINUTE}, {"ss", SECOND},
};

/* The unit that the pattern goes on with, and the length of its word; UNITS when it is other text.
 */
static enum unit unit_at(const char *pattern, size_t *n)
{
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        *n = strlen(words[i].word);
        if (strncmp(pattern, words[i].word, *n) == 0)
            return words[i].unit;
    }
    *n = 1;
    return UNITS;
}

static int64_t epoch_unit(const char *pattern)
{
    return strcmp(pattern, "epoch") == 0 ? 1000 : strcmp(pattern, "epoch_ms") == 0 ? 1 : 0;
}

bool when_valid(const char *pattern)
{
    bool seen[UNITS + 1] = {0};
    size_t n;
    if (epoch_unit(pattern))
        return true;
    for (const char *p = pattern; *p; p += n) {
        enum unit u = unit_at(p, &n);
        if (u != UNITS && seen[u])
            return false;
        seen[u] = true;
    }
    return seen[YEAR] && seen[MONTH] && seen[DAY];
}

static bool parse_epoch(int64_t unit, struct str text, int64_t *out)
{
    int64_t n;
    int64_t most = INT64_C(253402300799999) / unit; /* the end of year 9999 */
    if (!str_to_int(text, -most, most, &n))
        return false;
    *out = n * unit;
    return true;
}

static bool take_parts(const char *pattern, struct str text, int64_t parts[UNITS])
{
    size_t n;
    for (; *pattern; pattern += n) {
        enum unit u = unit_at(pattern, &n);
        if (text.n < n)
            return false;
        if (u == UNITS && text.p[0] != *pattern)
            return false;
        if (u != UNITS && !str_to_int((struct str){text.p, n}, 0, 9999, &parts[u]))
            return false;
        text.p += n;
        text.n -= n;
    }
    return text.n == 0;
}

bool when_parse(const char *pattern, struct str text, int64_t *out)
{
    int64_t parts[UNITS] = {0};
    int64_t unit = epoch_unit(pattern);
    char rfc[40];
    if (unit)
        return parse_epoch(unit, text, out);
    if (!take_parts(pattern, text, parts))
        return false;
    int n = snprintf(rfc, sizeof rfc, "%04d-%02d-%02dT%02d:%02d:%02dZ", (int)parts[YEAR],
                     (int)parts[MONTH], (int)parts[DAY], (int)parts[HOUR], (int)parts[MINUTE],
                     (int)parts[SECOND]);
    return time_parse((struct str){rfc, (size_t)n}, out);
}
