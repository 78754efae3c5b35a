/* tensor/quant.h - one block of a quantised tensor as floats; see tensor/tensor.h for the types. */
#ifndef KUA_TENSOR_QUANT_H
#define KUA_TENSOR_QUANT_H

#include "tensor/tensor.h"

/* block[kua__dtype_size(dtype)] to out[kua__dtype_block(dtype)]. */
void kua__block_to_f32(kua__dtype dtype, const uint8_t *block, float *out);

/* IEEE half to single: exponent 0 is a multiple of 2^-24, 31 is infinity or not a number. */
static inline float kua__half_to_float(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = h >> 10 & 31, mantissa = h & 0x3ff;
    union {
        uint32_t bits;
        float value;
    } u;
    if (exponent == 0) {
        u.value = (float)mantissa * 0x1p-24f;
        u.bits |= sign;
    } else {
        u.bits = sign | (exponent == 31 ? 255 : exponent + 112) << 23 | mantissa << 13;
    }
    return u.value;
}

#endif
