/* base/crew.h - several threads that go through many short steps together.
 *
 * A step of a small model lasts ten microseconds; handing each to the pool (kua__parallel_for)
 * costs a few. Here the pool is asked once, and its members meet at a barrier between the steps:
 *
 *     static void member(void *ctx, size_t first, size_t last)        last == first + 1
 *     {
 *         for each step:
 *             do part `first` of it;
 *             kua__barrier_wait(&ctx->barrier);
 *     }
 *     if (!kua__parallel_together(n, member, ctx)) ...               on this thread alone, then
 */
#ifndef KUA_BASE_CREW_H
#define KUA_BASE_CREW_H

#include <stdatomic.h>

#include "base/base.h"

/* Runs task(ctx, i, i + 1) for i = 0 .. n - 1 at the same time, each on a thread of its own, and
 * returns when all are done. False, and nothing has run: there are not n threads to be had now (a
 * call from inside a task, a second thread of the application, fewer workers). */
bool kua__parallel_together(size_t n, kua__range_fn task, void *ctx);

/* {.n = members}, on a cache line of its own. */
typedef struct kua__barrier {
    _Alignas(64) atomic_size_t arrived; /* since the beginning: round k ends at k n */
    size_t n;
} kua__barrier;

/* Returns when all n members have come; what they wrote before is then visible to each. Spins, and
 * sleeps if that takes long. */
void kua__barrier_wait(kua__barrier *barrier);

#endif
