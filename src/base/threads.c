/* base/threads.c - one pool of workers, made when first needed.
 *
 * Why not OpenMP
 *   A region of a small model lasts tens of microseconds, and the library must not fight an
 * application's own OpenMP settings. Here a worker watches its ticket for 20 us after a job
 * (training posts the next one within that) and then sleeps on a condition, so that an idle program
 * costs nothing.
 *
 *     caller                                     worker w
 *     job = ...; pending = helpers               sees its ticket change (spinning, or woken)
 *     ticket[w]++ under its lock; signal         runs its part of job
 *     runs range 0 itself                        pending--; the last one wakes the caller
 *     waits until pending == 0
 *
 * Invariants
 *   I1  `job` is written only while pending == 0 and the poster holds pool.busy; workers read it
 * between their ticket and their decrement of pending. I2  The ranges of kua__parallel_for depend
 * on n, grain and kua__threads() alone. Whoever cannot have the pool (a nested call, a second
 * thread of the application, no workers) runs the same ranges in order.
 */
#include "base/base.h"

#include <assert.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/crew.h"
#include "base/private.h"

enum { THREADS_MAX = 256 };
enum { BARRIER_SPINS = 2000 }; /* some 30 us */
static const double SPIN_SECONDS = 20e-6;

typedef struct worker {
    _Alignas(64) pthread_mutex_t lock; /* guards `asleep`, and changes of `ticket` */
    pthread_cond_t wake;
    atomic_uint ticket;
    bool asleep;
    pthread_t thread;
} worker;

/* Either task (static ranges) or chunk (handed out) is set. */
typedef struct job {
    kua__range_fn task;
    kua__chunk_fn chunk;
    void *ctx;
    size_t n, grain, ranges;
    atomic_size_t next; /* first element that no thread has taken yet, of a chunk job */
} job;

static struct {
    pthread_mutex_t
        busy;    /* held by the one caller that uses the pool; guards `workers` and `current` */
    int workers; /* threads 1..workers exist */
    job *current;
    atomic_bool stop;
    atomic_int pending;
    pthread_mutex_t done_lock;
    pthread_cond_t done;
} pool = {.busy = PTHREAD_MUTEX_INITIALIZER,
          .done_lock = PTHREAD_MUTEX_INITIALIZER,
          .done = PTHREAD_COND_INITIALIZER};

/* Who waits long at a barrier sleeps: the system then hands the core to whom it waits for, and
 * wakes it before others that only compute. One place for all barriers, since it is rare. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t complete;
    atomic_int sleepers;
} late = {.lock = PTHREAD_MUTEX_INITIALIZER, .complete = PTHREAD_COND_INITIALIZER};

static worker crew[THREADS_MAX];
static atomic_int wanted; /* 0: the default */
static _Thread_local int thread_index;
static _Thread_local bool inside; /* a task: further calls run here */

/* ---- how many ---- */

static int default_threads(void)
{
    int64_t n = 0;
    const char *text = getenv("KUA_THREADS");
    if (text && kua__parse_i64(text, strlen(text), &n) && n >= 1) {
        return (int)KUA__MIN(n, THREADS_MAX);
    }
    cpu_set_t set;
    n = sched_getaffinity(0, sizeof(set), &set) ? 1 : CPU_COUNT(&set);
    return (int)KUA__MAX(1, KUA__MIN(n, THREADS_MAX));
}

int kua__threads(void)
{
    int n = atomic_load_explicit(&wanted, memory_order_relaxed);
    if (n == 0) {
        n = default_threads();
        int none = 0; /* whoever comes first decides */
        if (!atomic_compare_exchange_strong(&wanted, &none, n)) {
            n = none;
        }
    }
    return n;
}

int kua__thread_index(void)
{
    return thread_index;
}

/* ---- ranges ---- */

/* Range i of `ranges`: sizes differ by one at most. */
static void range_of(size_t n, size_t ranges, size_t i, size_t *first, size_t *last)
{
    size_t each = n / ranges, longer = n % ranges;
    *first = i * each + KUA__MIN(i, longer);
    *last = *first + each + (i < longer);
}

static void run_range(const job *j, size_t i)
{
    size_t first, last;
    range_of(j->n, j->ranges, i, &first, &last);
    j->task(j->ctx, first, last);
}

static void run_chunks(job *j, int thread)
{
    size_t first;
    while ((first = atomic_fetch_add_explicit(&j->next, j->grain, memory_order_relaxed)) < j->n) {
        j->chunk(j->ctx, thread, first, KUA__MIN(j->n, first + j->grain));
    }
}

/* The part of thread `index` where 1 + helpers threads take part: ranges that lack a worker fall to
 * thread 0. */
static void run_part(job *j, int index, int helpers)
{
    bool was_inside = inside;
    inside = true;
    if (j->chunk) {
        run_chunks(j, index);
    } else {
        run_range(j, (size_t)index);
        for (size_t i = (size_t)helpers + 1; index == 0 && i < j->ranges; i++) {
            run_range(j, i);
        }
    }
    inside = was_inside;
}

/* I2: the same ranges, on this thread alone. */
static void run_alone(job *j)
{
    bool was_inside = inside;
    inside = true;
    for (size_t i = 0; j->task && i < j->ranges; i++) {
        run_range(j, i);
    }
    if (j->chunk) {
        run_chunks(j, thread_index);
    }
    inside = was_inside;
}

/* ---- workers ---- */

/* True as soon as *value differs from `old`; false after SPIN_SECONDS. */
static bool spin_while_equal(atomic_uint *value, unsigned old)
{
    double end = kua__seconds() + SPIN_SECONDS;
    do {
        for (int i = 0; i < 64; i++) {
            if (atomic_load_explicit(value, memory_order_acquire) != old) {
                return true;
            }
            kua__pause();
        }
    } while (kua__seconds() < end);
    return false;
}

static void wait_for_ticket(worker *w, unsigned seen)
{
    if (spin_while_equal(&w->ticket, seen)) {
        return;
    }
    pthread_mutex_lock(&w->lock);
    w->asleep = true;
    while (atomic_load_explicit(&w->ticket, memory_order_acquire) == seen) {
        pthread_cond_wait(&w->wake, &w->lock);
    }
    w->asleep = false;
    pthread_mutex_unlock(&w->lock);
}

static void post_ticket(worker *w)
{
    pthread_mutex_lock(&w->lock);
    atomic_fetch_add_explicit(&w->ticket, 1, memory_order_release);
    if (w->asleep) {
        pthread_cond_signal(&w->wake);
    }
    pthread_mutex_unlock(&w->lock);
}

static void part_is_done(void)
{
    if (atomic_fetch_sub_explicit(&pool.pending, 1, memory_order_acq_rel) == 1) {
        pthread_mutex_lock(&pool.done_lock); /* the caller may be between its check and its wait */
        pthread_cond_signal(&pool.done);
        pthread_mutex_unlock(&pool.done_lock);
    }
}

static void *worker_main(void *argument)
{
    worker *w = argument;
    thread_index = (int)(w - crew);
    for (unsigned seen = 0;; seen++) {
        wait_for_ticket(w, seen);
        if (atomic_load(&pool.stop)) {
            return NULL;
        }
        run_part(pool.current, thread_index, pool.workers);
        part_is_done();
    }
}

static void wait_until_done(void)
{
    double end = kua__seconds() + SPIN_SECONDS;
    do {
        for (int i = 0; i < 64; i++) {
            if (atomic_load_explicit(&pool.pending, memory_order_acquire) == 0) {
                return;
            }
            kua__pause();
        }
    } while (kua__seconds() < end);
    pthread_mutex_lock(&pool.done_lock);
    while (atomic_load_explicit(&pool.pending, memory_order_acquire) != 0) {
        pthread_cond_wait(&pool.done, &pool.done_lock);
    }
    pthread_mutex_unlock(&pool.done_lock);
}

/* ---- the pool ---- */

/* A child of fork() has no workers, and locks in whatever state they were. */
static void forget_after_fork(void)
{
    pthread_mutex_init(&pool.busy, NULL);
    pthread_mutex_init(&pool.done_lock, NULL);
    pthread_cond_init(&pool.done, NULL);
    pthread_mutex_init(&late.lock, NULL);
    pthread_cond_init(&late.complete, NULL);
    atomic_store(&late.sleepers, 0);
    pool.workers = 0;
    atomic_store(&pool.pending, 0);
    thread_index = 0;
    inside = false;
}

static void watch_forks(void)
{
    pthread_atfork(NULL, NULL, forget_after_fork);
}

static bool hire(worker *w)
{
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->wake, NULL);
    atomic_store(&w->ticket, 0);
    w->asleep = false;
    return pthread_create(&w->thread, NULL, worker_main, w) == 0;
}

/* Brings the crew up to `n` workers, or as many as the system allows. Needs pool.busy. */
static void hire_up_to(int n)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, watch_forks);
    while (pool.workers < n && hire(&crew[pool.workers + 1])) {
        pool.workers++;
    }
}

static void dismiss_all(void)
{
    atomic_store(&pool.stop, true);
    for (int i = 1; i <= pool.workers; i++) {
        post_ticket(&crew[i]);
        pthread_join(crew[i].thread, NULL);
    }
    pool.workers = 0;
    atomic_store(&pool.stop, false);
}

void kua__threads_set(int n)
{
    assert(!inside);
    pthread_mutex_lock(&pool.busy);
    atomic_store(&wanted, n < 1 ? default_threads() : KUA__MIN(n, THREADS_MAX));
    if (pool.workers > kua__threads() - 1) {
        dismiss_all();
    }
    pthread_mutex_unlock(&pool.busy);
}

/* Hands j to `helpers` workers and this thread. Needs pool.busy. */
static void run_shared(job *j, int helpers)
{
    assert(helpers <= pool.workers);
    pool.current = j;
    atomic_store_explicit(&pool.pending, helpers, memory_order_relaxed);
    for (int i = 1; i <= helpers; i++) {
        post_ticket(&crew[i]);
    }
    run_part(j, 0, helpers);
    wait_until_done();
    pool.current = NULL;
}

/* Runs j with as many threads as it has ranges. */
static void run(job *j)
{
    if (inside || j->ranges < 2 || pthread_mutex_trylock(&pool.busy)) {
        run_alone(j);
        return;
    }
    hire_up_to(kua__threads() - 1);
    run_shared(j, (int)KUA__MIN(j->ranges - 1, (size_t)pool.workers));
    pthread_mutex_unlock(&pool.busy);
}

void kua__parallel_for(size_t n, size_t grain, kua__range_fn task, void *ctx)
{
    assert(task);
    if (n == 0) {
        return;
    }
    size_t ranges = KUA__MIN((size_t)kua__threads(), n / KUA__MAX(grain, (size_t)1));
    job j = {.task = task, .ctx = ctx, .n = n, .ranges = KUA__MAX(ranges, (size_t)1)};
    run(&j);
}

void kua__parallel_chunks(size_t n, size_t grain, kua__chunk_fn task, void *ctx)
{
    assert(task);
    if (n == 0) {
        return;
    }
    grain = KUA__MAX(grain, (size_t)1);
    size_t chunks = n / grain + (n % grain != 0);
    job j = {.chunk = task, .ctx = ctx, .n = n, .grain = grain};
    j.ranges = KUA__MIN((size_t)kua__threads(), chunks);
    run(&j);
}

/* ---- together ---- */

bool kua__parallel_together(size_t n, kua__range_fn task, void *ctx)
{
    assert(task && n >= 1);
    if (inside || n > (size_t)kua__threads() || pthread_mutex_trylock(&pool.busy)) {
        return false;
    }
    hire_up_to(kua__threads() - 1);
    bool enough = n - 1 <= (size_t)pool.workers;
    if (enough) {
        job j = {.task = task, .ctx = ctx, .n = n, .ranges = n};
        run_shared(&j, (int)n - 1);
    }
    pthread_mutex_unlock(&pool.busy);
    return enough;
}

static void sleep_until(atomic_size_t *arrived, size_t end)
{
    pthread_mutex_lock(&late.lock);
    atomic_fetch_add(&late.sleepers, 1);
    while (atomic_load(arrived) < end) {
        pthread_cond_wait(&late.complete, &late.lock);
    }
    atomic_fetch_sub(&late.sleepers, 1);
    pthread_mutex_unlock(&late.lock);
}

/* Either the last one sees the sleeper, or the sleeper sees that all have come: both orders are
 * sequentially consistent. */
void kua__barrier_wait(kua__barrier *barrier)
{
    assert(barrier && barrier->n >= 1);
    size_t mine = atomic_fetch_add(&barrier->arrived, 1);
    size_t end = (mine / barrier->n + 1) * barrier->n;
    if (mine + 1 == end) {
        if (atomic_load(&late.sleepers) == 0) return;
        pthread_mutex_lock(&late.lock);
        pthread_cond_broadcast(&late.complete);
        pthread_mutex_unlock(&late.lock);
        return;
    }
    for (int i = 0; i < BARRIER_SPINS; i++) {
        if (atomic_load_explicit(&barrier->arrived, memory_order_acquire) >= end) return;
        kua__pause();
    }
    sleep_until(&barrier->arrived, end);
}
