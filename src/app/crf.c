/* crf.c - the chain's loss by the forward-backward algorithm, in doubles.
 *
 *     a[i, k] = log of the sum over all ways to tag units 0..i that end in k
 *     b[i, k] = the same for units i + 1 .. n - 1, given k at i
 *     p(y_i = k) = exp(a + b - log Z),   p(j then k) = exp(a_j + transition + emission + b_k - log
 * Z)
 *
 * The gradient is what the chain expects less what is true; it is known as soon as the loss is, so
 * the forward pass keeps it and the backward pass only scales it.
 */
#include "app/crf.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "grad/tape.h"

typedef struct chain {
    kua__var *emission, *transition, *y;
    float *de, *dt; /* gradients of the summed loss */
    float scale;    /* 1 / units */
} chain;

/* A text under work: pointers to its own rows. */
typedef struct text {
    size_t n, tags;
    const float *e, *t;
    const uint32_t *target;
    double *a, *b; /* [n, tags] */
} text;

static double log_sum(const double *x, size_t n)
{
    double most = x[0], sum = 0;
    for (size_t i = 1; i < n; i++)
        most = fmax(most, x[i]);
    for (size_t i = 0; i < n; i++)
        sum += exp(x[i] - most);
    return most + log(sum);
}

enum { TAGS_MAX = 1024 };

static void forward(const text *x)
{
    double ways[TAGS_MAX];
    for (size_t k = 0; k < x->tags; k++)
        x->a[k] = (double)x->t[x->tags * x->tags + k] + x->e[k];
    for (size_t i = 1; i < x->n; i++) {
        for (size_t k = 0; k < x->tags; k++) {
            for (size_t j = 0; j < x->tags; j++)
                ways[j] = x->a[(i - 1) * x->tags + j] + x->t[j * x->tags + k];
            x->a[i * x->tags + k] = log_sum(ways, x->tags) + x->e[i * x->tags + k];
        }
    }
}

static void backward(const text *x)
{
    double ways[TAGS_MAX];
    for (size_t k = 0; k < x->tags; k++)
        x->b[(x->n - 1) * x->tags + k] = 0;
    for (size_t i = x->n - 1; i-- > 0;) {
        for (size_t j = 0; j < x->tags; j++) {
            for (size_t k = 0; k < x->tags; k++)
                ways[k] = (double)x->t[j * x->tags + k] + x->e[(i + 1) * x->tags + k] +
                          x->b[(i + 1) * x->tags + k];
            x->b[i * x->tags + j] = log_sum(ways, x->tags);
        }
    }
}

static double truth_score(const text *x)
{
    double sum = 0;
    for (size_t i = 0; i < x->n; i++) {
        size_t from = i ? x->target[i - 1] : x->tags;
        sum += (double)x->t[from * x->tags + x->target[i]] + x->e[i * x->tags + x->target[i]];
    }
    return sum;
}

/* Adds the text's gradients, given log Z. */
static void gradients(const text *x, double z, float *de, float *dt)
{
    for (size_t i = 0; i < x->n; i++) {
        for (size_t k = 0; k < x->tags; k++) {
            double p = exp(x->a[i * x->tags + k] + x->b[i * x->tags + k] - z);
            de[i * x->tags + k] = (float)(p - (x->target[i] == k));
            if (i == 0) dt[x->tags * x->tags + k] += (float)(p - (x->target[0] == k));
        }
        for (size_t j = 0; i > 0 && j < x->tags; j++) {
            for (size_t k = 0; k < x->tags; k++) {
                double p = exp(x->a[(i - 1) * x->tags + j] + x->t[j * x->tags + k] +
                               x->e[i * x->tags + k] + x->b[i * x->tags + k] - z);
                bool is = x->target[i - 1] == j && x->target[i] == k;
                dt[j * x->tags + k] += (float)(p - is);
            }
        }
    }
}

static void chain_back(kua__tape *t, void *ctx)
{
    chain *op = ctx;
    float factor = *op->y->grad * op->scale;
    struct {
        kua__var *x;
        const float *d;
    } inputs[] = {{op->emission, op->de}, {op->transition, op->dt}};
    for (size_t i = 0; i < KUA__COUNT(inputs); i++) {
        bool add;
        float *g = kua__grad(t, inputs[i].x, &add);
        size_t n = g ? inputs[i].x->rows * inputs[i].x->cols : 0;
        for (size_t k = 0; k < n; k++)
            g[k] = (add ? g[k] : 0) + factor * inputs[i].d[k];
    }
}

static size_t longest(kua__ragged texts)
{
    size_t most = 0;
    for (size_t i = 0; i < texts.n; i++)
        most = KUA__MAX(most, (size_t)(texts.at[i + 1] - texts.at[i]));
    return most;
}

static double run_texts(const chain *op, kua__ragged texts, const uint32_t *target, double *room,
                        size_t most)
{
    size_t tags = op->emission->cols;
    double sum = 0;
    for (size_t i = 0; i < texts.n; i++) {
        size_t first = texts.at[i];
        text x = {texts.at[i + 1] - first, tags,           op->emission->value + first * tags,
                  op->transition->value,   target + first, room,
                  room + most * tags};
        if (!x.n) continue;
        forward(&x);
        backward(&x);
        double z = log_sum(x.a + (x.n - 1) * tags, tags);
        sum += z - truth_score(&x);
        gradients(&x, z, op->de + first * tags, op->dt);
    }
    return sum;
}

kua__var *kua__crf_loss(kua__tape *t, kua__var *emission, kua__var *transition, kua__ragged texts,
                        const uint32_t *target)
{
    if (!emission || !transition) return NULL;
    size_t tags = emission->cols, units = emission->rows, most = longest(texts);
    assert(texts.at[texts.n] == units && tags <= TAGS_MAX && target);
    if (transition->rows != tags + 1 || transition->cols != tags)
        return kua__tape_fail_shapes(t, "crf_loss", "emission", emission, "transition", transition);
    chain op = {.emission = emission, .transition = transition};
    op.y = kua__tape_result(t, 1, 1, emission->wants || transition->wants);
    op.de = kua__tape_floats(t, units, tags);
    op.dt = kua__tape_floats(t, tags + 1, tags);
    double *room = kua__tape_alloc(t, 2 * most * tags * sizeof(*room));
    if (!op.y || !op.de || !op.dt || !room) return NULL;
    memset(op.dt, 0, (tags + 1) * tags * sizeof(*op.dt));
    op.scale = units ? 1 / (float)units : 0;
    *op.y->value = (float)run_texts(&op, texts, target, room, most) * op.scale;
    return kua__tape_node(t, op.y, chain_back, &op, sizeof(op));
}
