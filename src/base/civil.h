/*
 * civil.h - days of the Gregorian calendar. Needs libc alone, since liblov links it.
 */
#ifndef LOV_BASE_CIVIL_H
#define LOV_BASE_CIVIL_H

#include <stdint.h>

#define DAY_NONE INT32_MIN
enum { DAY_MS = 86400000 };

struct civil {
    int year, month, day;
};

/* Days since 1970-01-01. */
int32_t days_from_civil(struct civil c);
struct civil civil_from_days(int32_t days);
/* The day `years` later; 29 February becomes 1 March. */
int32_t date_add_years(int32_t day, int years);
/* Its first instant, ms UTC. */
int64_t date_start(int32_t day);

#endif
