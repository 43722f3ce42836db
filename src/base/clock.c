/* clock.c - see clock.h. */
#include "base/clock.h"

#include <time.h>

#include "base/civil.h"
#include "base/err.h"

int64_t clock_now(void)
{
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now) != 0)
        bug("no wall clock");
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t clock_monotonic(void)
{
    struct timespec now;
    if (clock_gettime(CLOCK_MONOTONIC, &now) != 0)
        bug("no monotonic clock");
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Returns the place behind. */
static char *put_digits(char *to, int value, int width)
{
    for (int i = width - 1; i >= 0; i--) {
        to[i] = (char)('0' + value % 10);
        value /= 10;
    }
    return to + width;
}

static char *put_date(char *to, int32_t day)
{
    struct civil c = civil_from_days(day);
    to = put_digits(to, c.year, 4);
    *to++ = '-';
    to = put_digits(to, c.month, 2);
    *to++ = '-';
    return put_digits(to, c.day, 2);
}

void date_format(int32_t day, struct buf *out)
{
    char text[sizeof "2026-12-01"];
    buf_add(out, text, (size_t)(put_date(text, day) - text));
}

void time_format(int64_t at, struct buf *out)
{
    char text[sizeof "2026-12-01T10:15:30.500Z"];
    int64_t days = at / DAY_MS, rest = at % DAY_MS;
    if (rest < 0) {
        rest += DAY_MS;
        days--;
    }
    int ms = (int)(rest % 1000), seconds = (int)(rest / 1000);
    char *to = put_date(text, (int32_t)days);
    *to++ = 'T';
    to = put_digits(to, seconds / 3600, 2);
    *to++ = ':';
    to = put_digits(to, seconds / 60 % 60, 2);
    *to++ = ':';
    to = put_digits(to, seconds % 60, 2);
    if (ms) {
        *to++ = '.';
        to = put_digits(to, ms, 3);
    }
    *to++ = 'Z';
    buf_add(out, text, (size_t)(to - text));
}

/* Takes exactly `width` digits off the head of *s. */
static bool take_digits(struct str *s, size_t width, int *out)
{
    if (s->n < width)
        return false;
    int v = 0;
    for (size_t i = 0; i < width; i++) {
        if (s->p[i] < '0' || s->p[i] > '9')
            return false;
        v = v * 10 + (s->p[i] - '0');
    }
    s->p += width;
    s->n -= width;
    *out = v;
    return true;
}

static bool take_char(struct str *s, char c)
{
    if (s->n == 0 || s->p[0] != c)
        return false;
    s->p++;
    s->n--;
    return true;
}

static bool take_date(struct str *s, int32_t *out)
{
    struct civil c;
    if (!take_digits(s, 4, &c.year) || !take_char(s, '-') || !take_digits(s, 2, &c.month) ||
        !take_char(s, '-') || !take_digits(s, 2, &c.day))
        return false;
    if (c.year < 1800 || c.month < 1 || c.month > 12 || c.day < 1 || c.day > 31)
        return false;
    int32_t days = days_from_civil(c);
    struct civil back = civil_from_days(days);
    if (back.month != c.month || back.day != c.day)
        return false;
    *out = days;
    return true;
}

bool date_parse(struct str text, int32_t *out)
{
    int32_t days;
    if (!take_date(&text, &days) || text.n != 0)
        return false;
    *out = days;
    return true;
}

static bool take_fraction(struct str *s, int *ms)
{
    *ms = 0;
    if (!take_char(s, '.'))
        return true;
    size_t digits = 0;
    for (int scale = 100; s->n && s->p[0] >= '0' && s->p[0] <= '9'; scale /= 10, digits++) {
        *ms += (s->p[0] - '0') * scale;
        s->p++;
        s->n--;
    }
    return digits >= 1 && digits <= 9;
}

static bool take_zone(struct str *s, int *minutes)
{
    *minutes = 0;
    if (take_char(s, 'Z') || take_char(s, 'z'))
        return true;
    int sign = take_char(s, '+') ? 1 : take_char(s, '-') ? -1 : 0;
    int h, m;
    if (sign == 0 || !take_digits(s, 2, &h) || !take_char(s, ':') || !take_digits(s, 2, &m))
        return false;
    *minutes = sign * (h * 60 + m);
    return h <= 23 && m <= 59;
}

bool time_parse(struct str s, int64_t *out)
{
    int32_t day;
    int h, m, sec, ms, zone;
    if (!take_date(&s, &day) || !(take_char(&s, 'T') || take_char(&s, 't')))
        return false;
    if (!take_digits(&s, 2, &h) || !take_char(&s, ':') || !take_digits(&s, 2, &m) ||
        !take_char(&s, ':') || !take_digits(&s, 2, &sec) || !take_fraction(&s, &ms) ||
        !take_zone(&s, &zone) || s.n != 0)
        return false;
    if (h > 23 || m > 59 || sec > 60)
        return false;
    if (sec == 60)
        sec = 59;
    int64_t at = date_start(day) + ((h * 60 + m - zone) * 60 + sec) * INT64_C(1000) + ms;
    /* The zone may lead into a year that has no text of its own in UTC. */
    if (at < date_start(days_from_civil((struct civil){1900, 1, 1})) ||
        at >= date_start(days_from_civil((struct civil){10000, 1, 1})))
        return false;
    *out = at;
    return true;
}
