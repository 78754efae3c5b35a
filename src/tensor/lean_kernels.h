/* tensor/lean_kernels.h - rows of weights in the type of their file, against f32 rows. */
#ifndef KUA_TENSOR_LEAN_KERNELS_H
#define KUA_TENSOR_LEAN_KERNELS_H

#include "tensor/lean.h"

/* By type; NULL: none, kua__tensor_to_f32() widens then. */
typedef struct kua__lean_kernels {
    kua__lean_dot_fn dot[KUA__DTYPE_COUNT];
    void (*widen[KUA__DTYPE_COUNT])(const void *row, float *out, size_t n);
} kua__lean_kernels;

/* An empty table where the processor lacks the set. */
const kua__lean_kernels *kua__lean_kernels_of(kua__isa isa);
const kua__lean_kernels *kua__lean_kernels_avx2(void);
const kua__lean_kernels *kua__lean_kernels_avx512(void);

#endif
