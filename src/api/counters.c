/* counters.c - decisions by reason. Each processor adds to a line of its own, so that counting
 * costs the hot path one uncontended addition; reading sums the lines and may miss one under way.
 */
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "api/private.h"

enum { LINES = 32, CACHE_LINE = 64 };

struct line {
    _Alignas(CACHE_LINE) _Atomic uint64_t count[REASON_COUNT];
};
struct counters {
    struct line lines[LINES];
};

struct counters *counters_new(void)
{
    struct counters *c = aligned_alloc(CACHE_LINE, sizeof *c);
    if (!c)
        bug("out of memory (counters)");
    memset(c, 0, sizeof *c);
    return c;
}

void counters_free(struct counters *counters)
{
    free(counters);
}

void counters_add(struct counters *counters, enum decision_reason reason)
{
    int cpu = sched_getcpu();
    struct line *line = &counters->lines[(cpu < 0 ? 0U : (unsigned)cpu) % LINES];
    atomic_fetch_add_explicit(&line->count[reason], 1, memory_order_relaxed);
}

uint64_t counters_sum(const struct counters *counters, enum decision_reason reason)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < LINES; i++)
        sum += atomic_load_explicit(&counters->lines[i].count[reason], memory_order_relaxed);
    return sum;
}
