/*
 * clock.h - time. Instants are int64_t milliseconds since 1970-01-01T00:00:00Z; days are int32_t
 * days since the same day. Text is RFC 3339 with a zone; we write UTC with "Z".
 */
#ifndef LOV_BASE_CLOCK_H
#define LOV_BASE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/civil.h"
#include "base/str.h"

#define TIME_NONE INT64_MIN

/* The wall clock. */
int64_t clock_now(void);
/* Nanoseconds of a clock that never runs backwards. */
int64_t clock_monotonic(void);

/* "2026-11-23T15:54:27.120Z"; milliseconds are left out where they are zero. */
void time_format(int64_t at, struct buf *out);
/* RFC 3339 §5.6 date-time, years 1900 to 9999 in UTC, zone required, a leap second read as :59. */
bool time_parse(struct str text, int64_t *out);

/* "2026-11-23", Gregorian, years 1800 to 9999. */
bool date_parse(struct str text, int32_t *out);
void date_format(int32_t day, struct buf *out);

#endif
