/* packed_int8_scalar.h - what the kernels of int8 without vectors of 512 bits share: a number at a
 * time, with the very operations of the vector kernels, so that all give the same bits. */
#ifndef KUA_TENSOR_PACKED_INT8_SCALAR_H
#define KUA_TENSOR_PACKED_INT8_SCALAR_H

#include <float.h>
#include <math.h>

#include "tensor/packed_low.h"

/* q = x inverse + zero, x = (q - zero) scale */
typedef struct row_map {
    float inverse, zero, scale;
} row_map;

static inline row_map map_of(const float *x, size_t n)
{
    float least = 0, most = 0;
    for (size_t i = 0; i < n; i++) {
        least = x[i] < least ? x[i] : least;
        most = x[i] > most ? x[i] : most;
    }
    float range = most - least;
    range = range > 255 * FLT_MIN ? range : 1;
    float inverse = 255.0f / range;
    return (row_map){inverse, (float)(int)(-least * inverse + .5f), range / 255.0f};
}

static inline int quantised(float x, row_map map)
{
    float v = rintf(fmaf(x, map.inverse, map.zero));
    return (int)(v > 0 ? v < 255 ? v : 255 : 0);
}

static inline float gelu(float x)
{
    static const float c[] = {2.27812346e-8f, -1.59859115e-6f, 4.79552876e-5f, -8.14013241e-4f,
                              8.77237928e-3f, -6.4573108e-2f,  3.97883397e-1f};
    float in = fminf(fmaxf(x, -4), 4), z = in * in, p = c[0];
    for (size_t i = 1; i < KUA__COUNT(c); i++)
        p = fmaf(p, z, c[i]);
    return x * fmaf(p, in, .5f);
}

/* y[j] from the sum of column j. */
static inline void finish(const kua__low *w, int32_t sum, row_map map, size_t j, float *y)
{
    float v = fmaf(-map.zero, w->sum[j], (float)sum) * w->scale[j];
    v = fmaf(v, map.scale, w->bias[j]);
    switch (w->epilogue) {
    case KUA__EPILOGUE_GELU:
        v = gelu(v);
        break;
    case KUA__EPILOGUE_RELU:
        v = v > 0 ? v : 0;
        break;
    case KUA__EPILOGUE_ADD:
        v += y[j];
        break;
    case KUA__EPILOGUE_NONE:
        break;
    }
    y[j] = v;
}

#endif
