/* civil.c - see civil.h. The arithmetic of an era of 400 years that starts on 1 March, which puts
 * the leap day last and needs no tables. */
#include "base/civil.h"

int32_t days_from_civil(struct civil c)
{
    int year = c.year - (c.month <= 2);
    int era = (year >= 0 ? year : year - 399) / 400;
    int year_of_era = year - era * 400;
    int day_of_year = (153 * (c.month + (c.month > 2 ? -3 : 9)) + 2) / 5 + c.day - 1;
    int day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

struct civil civil_from_days(int32_t days)
{
    int z = days + 719468;
    int era = (z >= 0 ? z : z - 146096) / 146097;
    int day_of_era = z - era * 146097;
    int year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int shifted = (5 * day_of_year + 2) / 153;
    int month = shifted + (shifted < 10 ? 3 : -9);
    return (struct civil){.year = year_of_era + era * 400 + (month <= 2),
                          .month = month,
                          .day = day_of_year - (153 * shifted + 2) / 5 + 1};
}

int64_t date_start(int32_t day)
{
    return (int64_t)day * DAY_MS;
}

int32_t date_add_years(int32_t day, int years)
{
    struct civil c = civil_from_days(day);
    c.year += years;
    return days_from_civil(c);
}
