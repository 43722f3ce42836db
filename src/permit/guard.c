/* guard.c - see guard.h. The handler only looks at a fixed table and calls mmap, which is a plain
 * system call on Linux: the page that is gone becomes zero, as the rest of that mapping does, and
 * the reader finds an index without a live writer. Everything else goes to the handler before ours.
 */
#include "permit/guard.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

enum { MOST = 256 };

struct guarded {
    _Atomic uintptr_t base; /* 0: free; set last, release */
    _Atomic size_t size;
    _Atomic(atomic_bool *) broken;
};
static struct guarded table[MOST];
static struct sigaction before;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* who installs */
static _Atomic uintptr_t handed_on; /* the address that the handler before ours looks at now */

static bool cover(uintptr_t at)
{
    for (int i = 0; i < MOST; i++) {
        uintptr_t base = atomic_load_explicit(&table[i].base, memory_order_acquire);
        size_t size = atomic_load_explicit(&table[i].size, memory_order_relaxed);
        if (base <= 1 || at < base || at - base >= size)
            continue;
        atomic_store_explicit(atomic_load_explicit(&table[i].broken, memory_order_relaxed), true,
                              memory_order_release);
        return mmap((void *)base, size, PROT_READ, // NOLINT(performance-no-int-to-ptr)
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) != MAP_FAILED;
    }
    return false;
}

static void on_bus_error(int signal, siginfo_t *info, void *context)
{
    if (cover((uintptr_t)info->si_addr))
        return;
    uintptr_t at = (uintptr_t)info->si_addr;
    /* It may hand it back to us, when it was put over an older self of ours. */
    bool again = atomic_exchange(&handed_on, at) == at;
    if (!again && before.sa_flags & SA_SIGINFO) {
        before.sa_sigaction(signal, info, context);
    } else if (!again && before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) {
        before.sa_handler(signal);
    } else {
        /* The instruction is tried again, and ends the process as it would have without us. */
        struct sigaction end = {.sa_handler = SIG_DFL};
        sigaction(SIGBUS, &end, NULL);
    }
    atomic_store(&handed_on, (uintptr_t)0);
}

/* At each opening: whoever runs us may have put another handler over ours since. */
static void install(void)
{
    struct sigaction there, ours = {.sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK};
    ours.sa_sigaction = on_bus_error;
    sigemptyset(&ours.sa_mask);
    pthread_mutex_lock(&lock);
    if (sigaction(SIGBUS, NULL, &there) == 0 &&
        !(there.sa_flags & SA_SIGINFO && there.sa_sigaction == on_bus_error)) {
        before = there;
        sigaction(SIGBUS, &ours, NULL);
    }
    pthread_mutex_unlock(&lock);
}

bool guard_add(const void *base, size_t size, atomic_bool *broken)
{
    install();
    for (int i = 0; i < MOST; i++) {
        uintptr_t none = 0;
        /* 1 holds the place: nothing lies there. */
        if (!atomic_compare_exchange_strong(&table[i].base, &none, (uintptr_t)1))
            continue;
        atomic_store_explicit(&table[i].size, size, memory_order_relaxed);
        atomic_store_explicit(&table[i].broken, broken, memory_order_relaxed);
        atomic_store_explicit(&table[i].base, (uintptr_t)base, memory_order_release);
        return true;
    }
    return false;
}

void guard_remove(const void *base)
{
    for (int i = 0; i < MOST; i++) {
        uintptr_t there = (uintptr_t)base;
        if (atomic_compare_exchange_strong(&table[i].base, &there, (uintptr_t)0))
            return;
    }
}
