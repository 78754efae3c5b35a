/* tests/base/test_threads.c - the pool: everything is done once, cuts repeat, nested and concurrent
 * calls, fork. */
#include "testlib.h"

#include "base/crew.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { N = 1000 };

typedef struct record {
    atomic_int touched[N];
    atomic_int ranges;
    atomic_size_t shortest;
    size_t n;
} record;

static void touch(void *ctx, size_t first, size_t last)
{
    record *r = ctx;
    assert_true(first < last && last <= r->n);
    for (size_t i = first; i < last; i++) {
        atomic_fetch_add(&r->touched[i], 1);
    }
    atomic_fetch_add(&r->ranges, 1);
    size_t shortest = atomic_load(&r->shortest);
    while (last - first < shortest &&
           !atomic_compare_exchange_weak(&r->shortest, &shortest, last - first)) {
    }
}

static void touch_chunk(void *ctx, int thread, size_t first, size_t last)
{
    assert_in_range(thread, 0, kua__threads() - 1);
    assert_int_equal(thread, kua__thread_index());
    touch(ctx, first, last);
}

static void expect_each_once(record *r, size_t n)
{
    for (size_t i = 0; i < N; i++) {
        assert_int_equal(r->touched[i], i < n);
    }
}

static void every_element_is_visited_once(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 5; threads++) {
        kua__threads_set(threads);
        assert_int_equal(kua__threads(), threads);
        for (size_t n = 0; n < 60; n++) {
            for (size_t grain = 0; grain < 9; grain++) {
                record a = {.n = n, .shortest = SIZE_MAX}, b = {.n = n, .shortest = SIZE_MAX};
                kua__parallel_for(n, grain, touch, &a);
                expect_each_once(&a, n);
                assert_true(a.ranges <= threads);
                assert_true(n == 0 || a.shortest >= KUA__MIN(n, grain));
                kua__parallel_chunks(n, grain, touch_chunk, &b);
                expect_each_once(&b, n);
            }
        }
    }
}

static void many_short_jobs(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 4; threads++) {
        kua__threads_set(threads);
        for (int i = 0; i < 3000; i++) {
            record r = {.n = 8, .shortest = SIZE_MAX};
            kua__parallel_for(8, 1, touch, &r);
            assert_int_equal(r.ranges, threads);
            if (i % 1000 == 0) {
                usleep(2000); /* the crew falls asleep */
            }
        }
    }
}

/* A sum whose value depends on where the ranges are cut. */
typedef struct partial {
    const float *values;
    float sums[16];
    atomic_int next;
    size_t firsts[16];
} partial;

static void add_range(void *ctx, size_t first, size_t last)
{
    partial *p = ctx;
    float sum = 0;
    for (size_t i = first; i < last; i++) {
        sum += p->values[i];
    }
    int at = atomic_fetch_add(&p->next, 1);
    p->sums[at] = sum;
    p->firsts[at] = first;
}

static float sum_in_order(partial *p)
{
    float total = 0;
    size_t done = 0;
    for (int n = p->next, k = 0; k < n; k++) { /* ranges by their first element */
        int best = -1;
        for (int i = 0; i < n; i++) {
            if (p->firsts[i] >= done && (best < 0 || p->firsts[i] < p->firsts[best])) {
                best = i;
            }
        }
        total += p->sums[best];
        done = p->firsts[best] + 1;
    }
    return total;
}

static float parallel_sum(const float *values, size_t n)
{
    partial p = {.values = values};
    kua__parallel_for(n, 10, add_range, &p);
    return sum_in_order(&p);
}

typedef struct nested {
    const float *values;
    float result[4];
} nested;

static void nested_sums(void *ctx, size_t first, size_t last)
{
    nested *n = ctx;
    for (size_t i = first; i < last; i++) {
        n->result[i] = parallel_sum(n->values, 9973);
    }
}

static void results_repeat_also_when_nested(void **state)
{
    (void)state;
    float *values = malloc(9973 * sizeof(*values));
    kua__rng rng = kua__rng_make(1, 1);
    for (size_t i = 0; i < 9973; i++) {
        values[i] = kua__rng_normal(&rng);
    }
    for (int threads = 1; threads <= 4; threads++) {
        kua__threads_set(threads);
        float expected = parallel_sum(values, 9973);
        for (int i = 0; i < 200; i++) {
            float again = parallel_sum(values, 9973);
            assert_memory_equal(&again, &expected, sizeof(again));
        }
        nested inner = {.values = values};
        kua__parallel_for(4, 1, nested_sums, &inner);
        for (int i = 0; i < 4; i++) { /* the same cut, run in order on one thread */
            assert_memory_equal(&inner.result[i], &expected, sizeof(expected));
        }
    }
    free(values);
}

/* Uneven chunks with scratch memory per thread. */
typedef struct uneven {
    uint64_t scratch[8];
    atomic_ullong total;
} uneven;

static void uneven_chunk(void *ctx, int thread, size_t first, size_t last)
{
    uneven *u = ctx;
    for (size_t i = first; i < last; i++) {
        for (size_t j = 0; j < i; j++) {
            u->scratch[thread] += j & 1;
        }
    }
    atomic_fetch_add(&u->total, last - first);
}

static void chunks_have_scratch_of_their_own(void **state)
{
    (void)state;
    kua__threads_set(3);
    uneven u = {0};
    kua__parallel_chunks(2000, 7, uneven_chunk, &u);
    assert_int_equal(u.total, 2000);
    uint64_t sum = 0;
    for (size_t i = 0; i < KUA__COUNT(u.scratch); i++) {
        sum += u.scratch[i];
    }
    uint64_t expected = 0;
    for (uint64_t i = 0; i < 2000; i++) {
        expected += i / 2;
    }
    assert_int_equal(sum, expected);
}

/* ---- together ---- */

enum { CREW = 3, STEPS = 2000 };

typedef struct walk {
    kua__barrier barrier;
    size_t at[CREW]; /* no atomics: the barrier makes them visible */
    atomic_int wrong, nested;
} walk;

static void walk_member(void *ctx, size_t first, size_t last)
{
    walk *w = ctx;
    assert_int_equal(last, first + 1);
    for (size_t step = 1; step <= STEPS; step++) {
        w->at[first] = step;
        kua__barrier_wait(&w->barrier);
        for (size_t i = 0; i < CREW; i++) {
            if (w->at[i] != step) atomic_fetch_add(&w->wrong, 1);
        }
        kua__barrier_wait(&w->barrier);
    }
    if (kua__parallel_together(2, walk_member, ctx)) atomic_fetch_add(&w->nested, 1);
}

static void a_crew_meets_at_every_step(void **state)
{
    (void)state;
    kua__threads_set(CREW);
    for (int i = 0; i < 5; i++) {
        walk w = {.barrier = {.n = CREW}};
        assert_true(kua__parallel_together(CREW, walk_member, &w));
        assert_int_equal(w.wrong, 0);
        assert_int_equal(w.nested, 0);
        for (size_t m = 0; m < CREW; m++) {
            assert_int_equal(w.at[m], STEPS);
        }
    }
    walk none = {.barrier = {.n = CREW + 1}};
    assert_false(kua__parallel_together(CREW + 1, walk_member, &none));
    assert_int_equal(none.at[0], 0);
}

static void *application_thread(void *argument)
{
    (void)argument;
    for (int i = 0; i < 500; i++) {
        record r = {.n = 100, .shortest = SIZE_MAX};
        kua__parallel_for(100, 5, touch, &r);
        expect_each_once(&r, 100);
        kua__fail(KUA_INVALID, "mine %d", i);
        char expected[32];
        snprintf(expected, sizeof(expected), "mine %d", i);
        assert_string_equal(kua_error_message(), expected);
    }
    return NULL;
}

static void an_application_may_use_many_threads(void **state)
{
    (void)state;
    kua__threads_set(2);
    kua__fail(KUA_INVALID, "the first thread's own");
    pthread_t threads[4];
    for (size_t i = 0; i < KUA__COUNT(threads); i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, application_thread, NULL), 0);
    }
    for (size_t i = 0; i < KUA__COUNT(threads); i++) {
        pthread_join(threads[i], NULL);
    }
    assert_string_equal(kua_error_message(), "the first thread's own");
}

static void a_child_of_fork_gets_a_crew_of_its_own(void **state)
{
    (void)state;
#if !defined(__SANITIZE_THREAD__) /* which forbids threads after a fork of many threads */
    kua__threads_set(3);
    record r = {.n = 100, .shortest = SIZE_MAX};
    kua__parallel_for(100, 5, touch, &r);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        record mine = {.n = 100, .shortest = SIZE_MAX};
        kua__parallel_for(100, 5, touch, &mine);
        _exit(mine.ranges == 3 ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
#endif
}

static void the_default_can_be_set_from_outside(void **state)
{
    (void)state;
    setenv("KUA_THREADS", "3", 1);
    kua__threads_set(0);
    assert_int_equal(kua__threads(), 3);
    setenv("KUA_THREADS", "many", 1);
    kua__threads_set(0);
    assert_in_range(kua__threads(), 1, 256);
    unsetenv("KUA_THREADS");
    kua__threads_set(100000);
    assert_int_equal(kua__threads(), 256);
    kua__threads_set(2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_element_is_visited_once),
        cmocka_unit_test(many_short_jobs),
        cmocka_unit_test(results_repeat_also_when_nested),
        cmocka_unit_test(chunks_have_scratch_of_their_own),
        cmocka_unit_test(a_crew_meets_at_every_step),
        cmocka_unit_test(an_application_may_use_many_threads),
        cmocka_unit_test(a_child_of_fork_gets_a_crew_of_its_own),
        cmocka_unit_test(the_default_can_be_set_from_outside),
    };
    return cmocka_run_group_tests(tests, test_no_leaks_begin, test_no_leaks_end);
}
