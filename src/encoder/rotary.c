/* rotary.c - positions as turned pairs (Su et al., "RoFormer", 2021).
 *
 * Pair i of a head is turned by position * theta^(-2i/dim). Which two numbers are a pair is a
 * matter of layout: (i, i + dim/2) in transformers' files, neighbours in GGUF's, whose query and
 * key rows were put in that order.
 */
#include <assert.h>
#include <math.h>

#include "encoder/model.h"

void kua__rotary_table(float *turn, size_t n, size_t dim, float theta)
{
    assert(turn && dim >= 2 && dim % 2 == 0 && theta >= 1);
    size_t half = dim / 2;
    for (size_t p = 0; p < n; p++) {
        for (size_t i = 0; i < half; i++) {
            /* In f32 as the reference: at position 8,000 the rounding of an angle shows. */
            float speed = 1.0f / (float)pow((double)theta, (double)(2 * i) / (double)dim);
            float angle = (float)p * speed;
            turn[p * dim + i] = (float)cos((double)angle);
            turn[p * dim + half + i] = (float)sin((double)angle);
        }
    }
}

static void rotate_halves(float *x, const float *c, const float *s, size_t half)
{
    for (size_t i = 0; i < half; i++) {
        float a = x[i], b = x[half + i];
        x[i] = a * c[i] - b * s[i];
        x[half + i] = b * c[i] + a * s[i];
    }
}

static void rotate_neighbours(float *x, const float *c, const float *s, size_t half)
{
    for (size_t i = 0; i < half; i++) {
        float a = x[2 * i], b = x[2 * i + 1];
        x[2 * i] = a * c[i] - b * s[i];
        x[2 * i + 1] = b * c[i] + a * s[i];
    }
}

void kua__rotate(float *x, const float *turn, size_t heads, size_t dim, bool interleaved)
{
    assert(x && turn && dim % 2 == 0);
    for (size_t h = 0; h < heads; h++, x += dim) {
        if (interleaved)
            rotate_neighbours(x, turn, turn + dim / 2, dim / 2);
        else
            rotate_halves(x, turn, turn + dim / 2, dim / 2);
    }
}
