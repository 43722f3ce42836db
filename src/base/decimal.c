/* decimal.c - see decimal.h. */
#include "base/decimal.h"

enum { WHOLE_DIGITS = 12, PART_DIGITS = 6 };

bool decimal_parse(struct str text, int64_t *out)
{
    struct str rest = text;
    bool negative = rest.n && *rest.p == '-';
    rest.p += negative;
    rest.n -= negative;
    bool dot = str_find(rest, '.') < rest.n;
    struct str whole = str_cut(&rest, '.');
    int64_t n = 0;
    if (whole.n < 1 || whole.n > WHOLE_DIGITS || (whole.n > 1 && *whole.p == '0') ||
        (dot && (rest.n < 1 || rest.n > PART_DIGITS)))
        return false;
    for (size_t i = 0; i < whole.n + PART_DIGITS; i++) {
        size_t k = i - whole.n;
        char c = i < whole.n ? whole.p[i] : k < rest.n ? rest.p[k] : '0';
        if (c < '0' || c > '9')
            return false;
        n = n * 10 + (c - '0');
    }
    *out = negative ? -n : n;
    return true;
}

void decimal_format(int64_t millionths, struct buf *out)
{
    uint64_t n = millionths < 0 ? -(uint64_t)millionths : (uint64_t)millionths;
    if (millionths < 0)
        buf_char(out, '-');
    buf_printf(out, "%llu.%06llu", (unsigned long long)(n / DECIMAL_ONE),
               (unsigned long long)(n % DECIMAL_ONE));
    while (out->p[out->n - 1] == '0')
        out->n--;
    if (out->p[out->n - 1] == '.')
        out->n--;
    out->p[out->n] = '\0';
}
