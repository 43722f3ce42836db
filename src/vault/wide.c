/* wide.c - whole numbers of 128 bits as text. */
#include "vault/aggregate.h"

static const int64_t MILLION = 1000000;

void wide_write(wide n, struct buf *out)
{
    char digits[48];
    size_t i = sizeof digits;
    bool negative = n < 0;
    do {
        int digit = (int)(n % 10);
        digits[--i] = (char)('0' + (digit < 0 ? -digit : digit));
        n /= 10;
    } while (n);
    if (negative)
        digits[--i] = '-';
    buf_add(out, digits + i, sizeof digits - i);
}

bool wide_read(struct str text, wide *out)
{
    enum { DIGITS_MAX = 36 }; /* below 2^127 */
    bool negative = text.n && *text.p == '-';
    struct str rest = {text.p + negative, text.n - negative};
    wide n = 0;
    if (rest.n < 1 || rest.n > DIGITS_MAX)
        return false;
    for (size_t i = 0; i < rest.n; i++) {
        if (rest.p[i] < '0' || rest.p[i] > '9')
            return false;
        n = n * 10 + (rest.p[i] - '0');
    }
    *out = negative ? -n : n;
    return true;
}

void wide_write_decimal(wide n, struct buf *out)
{
    int64_t part = (int64_t)(n % MILLION);
    char text[16];
    if (n < 0)
        buf_char(out, '-');
    wide_write(n < 0 ? -(n / MILLION) : n / MILLION, out);
    if (!part)
        return;
    size_t length =
        (size_t)snprintf(text, sizeof text, ".%06lld", (long long)(part < 0 ? -part : part));
    while (text[length - 1] == '0')
        length--;
    buf_add(out, text, length);
}
