/* lbfgs.c - limited-memory BFGS with a backtracking line search.
 *
 * The last PAIRS steps s and changes of the gradient y stand for the curvature:
 *
 *     q = g;  newest to oldest:  a = s.q / y.s,  q -= a y
 *     q *= s.y / y.y of the newest
 *     oldest to newest:          q += (a - y.q / y.s) s          -q is the direction
 *
 * Vectors are floats, sums are doubles. A pair whose curvature y.s is not clearly positive
 * (rounding near the minimum) is left out, so that the direction always leads down.
 */
#include "app/lbfgs.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "tensor/kernels.h"

enum { PAIRS = 10, HALVINGS_MAX = 30 };

typedef struct search {
    size_t n, pairs, newest;    /* pairs kept; newest: its place in the ring */
    float *s[PAIRS], *y[PAIRS]; /* [n] each */
    double curvature[PAIRS];    /* y.s */
    float *gradient, *next_gradient, *next, *direction;
    float *block;
    double *sums; /* of chunks */
} search;

enum { CHUNK = 1 << 14 };

typedef struct chunked {
    const float *a, *b;
    float *y;
    float factor;
    size_t n;
    double *sum; /* [chunks] */
} chunked;

static void dot_chunks(void *ctx, size_t first, size_t last)
{
    const chunked *c = ctx;
    for (size_t i = first; i < last; i++) {
        double sum = 0;
        for (size_t at = i * CHUNK; at < KUA__MIN(c->n, (i + 1) * CHUNK); at += 256) {
            size_t n = KUA__MIN(KUA__MIN(c->n, (i + 1) * CHUNK) - at, (size_t)256);
            sum += (double)kua__kernels_get()->dot(c->a + at, c->b + at, n);
        }
        c->sum[i] = sum;
    }
}

/* Sums of chunks are added in their order: the same bits whatever the number of threads. */
static double dot(const search *s, const float *a, const float *b)
{
    size_t chunks = (s->n + CHUNK - 1) / CHUNK;
    chunked c = {.a = a, .b = b, .n = s->n, .sum = s->sums};
    double sum = 0;
    kua__parallel_for(chunks, 4, dot_chunks, &c);
    for (size_t i = 0; i < chunks; i++)
        sum += s->sums[i];
    return sum;
}

static void add_chunks(void *ctx, size_t first, size_t last)
{
    const chunked *c = ctx;
    size_t at = first * CHUNK, end = KUA__MIN(c->n, last * CHUNK);
    kua__kernels_get()->axpy(c->y + at, c->a + at, c->factor, end - at);
}

static void add_scaled(const search *s, float *y, const float *x, double factor)
{
    chunked c = {.a = x, .y = y, .factor = (float)factor, .n = s->n};
    kua__parallel_for((s->n + CHUNK - 1) / CHUNK, 4, add_chunks, &c);
}

static double largest(const float *x, size_t n)
{
    double most = 0;
    for (size_t i = 0; i < n; i++)
        most = fmax(most, fabs((double)x[i]));
    return most;
}

static kua_status search_init(search *s, size_t n)
{
    *s = (search){.n = n};
    KUA__TRY(KUA__NEW_ARRAY(&s->block, (2 * PAIRS + 4) * n, "a search's vectors"));
    KUA__TRY(KUA__NEW_ARRAY(&s->sums, n / CHUNK + 1, "a search's sums"));
    float *at = s->block;
    for (size_t i = 0; i < PAIRS; i++, at += 2 * n) {
        s->s[i] = at;
        s->y[i] = at + n;
    }
    s->gradient = at;
    s->next_gradient = at + n;
    s->next = at + 2 * n;
    s->direction = at + 3 * n;
    return KUA_OK;
}

/* direction = -(inverse curvature) gradient */
static void find_direction(search *s)
{
    double a[PAIRS];
    memcpy(s->direction, s->gradient, s->n * sizeof(float));
    for (size_t k = 0; k < s->pairs; k++) {
        size_t i = (s->newest + PAIRS - k) % PAIRS;
        a[i] = dot(s, s->s[i], s->direction) / s->curvature[i];
        add_scaled(s, s->direction, s->y[i], -a[i]);
    }
    const float *y = s->y[s->newest];
    double size = sqrt(dot(s, s->gradient, s->gradient));
    double scale = s->pairs ? s->curvature[s->newest] / dot(s, y, y) : 1 / fmax(size, 1e-12);
    for (size_t i = 0; i < s->n; i++)
        s->direction[i] *= (float)-scale;
    for (size_t k = s->pairs; k-- > 0;) {
        size_t i = (s->newest + PAIRS - k) % PAIRS;
        double b = dot(s, s->y[i], s->direction) / s->curvature[i];
        add_scaled(s, s->direction, s->s[i], -a[i] - b);
    }
}

/* Keeps the pair of the step from x to next. */
static void remember(search *s, const float *x)
{
    size_t place = s->pairs ? (s->newest + 1) % PAIRS : 0;
    float *step = s->s[place], *change = s->y[place];
    for (size_t i = 0; i < s->n; i++) {
        step[i] = s->next[i] - x[i];
        change[i] = s->next_gradient[i] - s->gradient[i];
    }
    double curvature = dot(s, step, change);
    if (curvature <= 1e-10 * dot(s, change, change)) return;
    s->curvature[place] = curvature;
    s->newest = place;
    if (s->pairs < PAIRS) s->pairs++;
}

/* The first of 1, 1/2, 1/4 ... of the direction that goes down enough (Armijo); false: none does.
 */
static kua_status line_search(search *s, kua__lbfgs_fn fn, void *ctx, const float *x, double *value,
                              bool *found)
{
    double slope = dot(s, s->gradient, s->direction), step = 1, next = 0;
    *found = false;
    for (int i = 0; i < HALVINGS_MAX && slope < 0 && !*found; i++, step /= 2) {
        memcpy(s->next, x, s->n * sizeof(*x));
        add_scaled(s, s->next, s->direction, step);
        KUA__TRY(fn(ctx, s->next, s->next_gradient, &next));
        *found = isfinite(next) && next <= *value + 1e-4 * step * slope;
    }
    if (*found) *value = next;
    return KUA_OK;
}

static kua_status run(search *s, kua__lbfgs_fn fn, void *ctx, float *x,
                      const kua__lbfgs_options *options)
{
    double value = 0;
    KUA__TRY(fn(ctx, x, s->gradient, &value));
    for (size_t i = 0; i < options->most && largest(s->gradient, s->n) > options->small; i++) {
        bool found = false;
        double before = value;
        find_direction(s);
        KUA__TRY(line_search(s, fn, ctx, x, &value, &found));
        if (!found && !s->pairs) break;
        if (!found) { /* once more, straight down */
            s->pairs = 0;
            continue;
        }
        remember(s, x);
        memcpy(x, s->next, s->n * sizeof(*x));
        float *old = s->gradient;
        s->gradient = s->next_gradient;
        s->next_gradient = old;
        if (before - value <= options->small_gain * fabs(before)) break;
    }
    return KUA_OK;
}

kua_status kua__lbfgs(kua__lbfgs_fn fn, void *ctx, float *x, size_t n,
                      const kua__lbfgs_options *options)
{
    assert(fn && x && n >= 1 && options && options->most >= 1);
    search s;
    kua_status st = search_init(&s, n);
    if (!st) st = run(&s, fn, ctx, x, options);
    kua__free(s.block);
    kua__free(s.sums);
    return st;
}
