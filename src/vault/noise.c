/* noise.c - the noise of differential privacy. Whole numbers and rational probabilities only: the
 * low bits of floating-point noise have given secrets away (Mironov 2012). */
#include "vault/aggregate.h"

/* 0 to bound - 1, without bias. */
static uint64_t below(uint64_t bound)
{
    uint64_t n, most = UINT64_MAX - UINT64_MAX % bound;
    do
        random_bytes(&n, sizeof n);
    while (n >= most);
    return n % bound;
}

/* True with probability exp(-p/q), 0 <= p <= q: the series is cut where a coin of p/(q k) first
 * falls the other way, and the parity of k decides. */
static bool flip_exp(uint64_t p, uint64_t q)
{
    uint64_t k = 1;
    while (below(q) < p && below(k) == 0)
        k++;
    return k % 2 == 1;
}

int64_t noise_laplace(int64_t t, int64_t s)
{
    for (;;) {
        uint64_t u = below((uint64_t)t), v = 0;
        if (!flip_exp(u, (uint64_t)t))
            continue;
        while (flip_exp(1, 1))
            v++;
        /* v beyond 2^20 has a probability below exp(-10^6). */
        wide x = ((wide)u + (wide)t * (wide)v) / s;
        bool negative = below(2) == 1;
        if ((negative && x == 0) || x > INT64_MAX / 2)
            continue;
        return negative ? -(int64_t)x : (int64_t)x;
    }
}
