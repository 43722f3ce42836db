/* progress.c - the bar. Redrawn five times a second at most, on its own line, and wiped when the
 * work ends, so that nothing of it mixes with what the command prints. */
#include <unistd.h>

#include "base/clock.h"
#include "cli/cli.h"

#define SECOND INT64_C(1000000000)
enum { QUIET_SECONDS = 2, WIDTH = 30 };

void progress_start(struct progress *p, const char *what)
{
    *p = (struct progress){
        .what = what,
        .started = clock_monotonic(),
        .terminal = isatty(STDERR_FILENO) == 1,
    };
}

void progress_show(struct progress *p, double part, int64_t count)
{
    int64_t now = clock_monotonic();
    int64_t took = now - p->started;
    if (!p->terminal || took < QUIET_SECONDS * SECOND || now - p->shown < SECOND / 5)
        return;
    p->shown = now;
    double seconds = (double)took / (double)SECOND;
    double rate = (double)count / seconds;
    if (part <= 0) {
        fprintf(stderr, "\r%lld %s, %.0f a second\033[K", (long long)count, p->what, rate);
        return;
    }
    char bar[WIDTH + 1];
    int filled = (int)(part * WIDTH);
    for (int i = 0; i < WIDTH; i++)
        bar[i] = i < filled ? '#' : '.';
    bar[WIDTH] = '\0';
    fprintf(stderr, "\r[%s] %3.0f %%  %lld %s, %.0f a second, %.0f s left\033[K", bar, part * 100,
            (long long)count, p->what, rate, seconds * (1 - part) / part);
}

void progress_end(struct progress *p)
{
    if (p->shown)
        fputs("\r\033[K", stderr);
    p->shown = 0;
}
