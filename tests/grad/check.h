/* tests/grad/check.h - comparing the tape's gradients with finite differences.
 *
 * A scalar made of an operation's result (its product with fixed random numbers, summed) is
 * differentiated by the tape and by central differences. Values are f32, so the step is large
 * (1e-2) and the tolerance relative to the largest slope of the same matrix; a wrong formula is off
 * by far more.
 */
#ifndef KUA_TESTS_GRAD_CHECK_H
#define KUA_TESTS_GRAD_CHECK_H

#include "testlib.h"

#include <math.h>

#include "grad/grad.h"

enum { CHECK_PARAMS = 5, CHECK_MIX = 4096 };

typedef struct scene {
    kua__tape *t;
    kua__params params;
    kua__param *p[CHECK_PARAMS];
    float mix[CHECK_MIX];
    kua__ragged seq;
    const void *extra; /* targets, indices: what the case wants */
} scene;

typedef kua__var *(*build_fn)(scene *s);

typedef struct shape {
    size_t rows, cols;
} shape;

static inline void scene_open(scene *s, size_t n, const shape *shapes, uint64_t seed)
{
    kua__rng rng = kua__rng_make(seed, 0);
    *s = (scene){0};
    assert_ok(kua__tape_create(&(kua__tape_options){.chunk_bytes = 1 << 14, .seed = 3}, &s->t));
    kua__params_init(&s->params);
    for (size_t i = 0; i < n; i++) {
        char name[2] = {(char)('a' + i), 0};
        assert_ok(kua__params_add(&s->params, name, shapes[i].rows, shapes[i].cols,
                                  KUA__INIT_NORMAL, 0.8f, &rng, &s->p[i]));
    }
    for (size_t i = 0; i < CHECK_MIX; i++)
        s->mix[i] = kua__rng_normal(&rng);
}

static inline void scene_close(scene *s)
{
    kua__tape_free(s->t);
    kua__params_release(&s->params);
}

static inline kua__var *use(scene *s, size_t i)
{
    return kua__use(s->t, s->p[i]);
}

/* A scalar in which every element of y counts differently. */
static inline kua__var *mixed(scene *s, kua__var *y)
{
    if (!y) return NULL;
    assert_true(y->rows * y->cols <= CHECK_MIX);
    return kua__sum(s->t, kua__mul(s->t, y, kua__input(s->t, y->rows, y->cols, s->mix)));
}

static inline double value_of(scene *s, build_fn build)
{
    uint64_t step = kua__tape_step(s->t); /* the same draws each time */
    kua__tape_reset(s->t);
    kua__tape_set_step(s->t, step);
    kua__var *y = build(s);
    assert_ok(kua__tape_status(s->t));
    return y->value[0];
}

static inline void check_slopes(scene *s, build_fn build)
{
    value_of(s, build);
    kua__params_clear_grads(&s->params);
    kua__tape_reset(s->t);
    assert_ok(kua__tape_backward(s->t, build(s)));
    for (size_t i = 0; i < s->params.n; i++) {
        kua__param *p = s->params.all[i];
        size_t n = p->rows * p->cols, stride = n / 61 + 1;
        float most = 0;
        for (size_t j = 0; j < n; j++)
            most = fmaxf(most, fabsf(p->grad[j]));
        for (size_t j = 0; j < n; j += stride) {
            float kept = p->value[j];
            p->value[j] = kept + 1e-2f;
            double up = value_of(s, build);
            p->value[j] = kept - 1e-2f;
            double down = value_of(s, build);
            p->value[j] = kept;
            double step = (double)(kept + 1e-2f) - (double)(kept - 1e-2f);
            assert_near(p->grad[j], (up - down) / step, 5e-3 * most + 2e-3);
        }
    }
}

/* Opens, checks, closes. */
static inline void check_case(build_fn build, size_t n, const shape *shapes, kua__ragged seq,
                              const void *extra)
{
    scene s;
    scene_open(&s, n, shapes, 11);
    s.seq = seq;
    s.extra = extra;
    check_slopes(&s, build);
    scene_close(&s);
}

#endif
