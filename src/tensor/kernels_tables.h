/* tensor/kernels_tables.h - the tables that kernels.c chooses from; empty files on other
 * processors. */
#ifndef KUA_TENSOR_KERNELS_TABLES_H
#define KUA_TENSOR_KERNELS_TABLES_H

#include "tensor/kernels.h"

extern const kua__kernels kua__kernels_plain;
#if defined(__x86_64__)
extern const kua__kernels kua__kernels_avx2;
extern const kua__kernels kua__kernels_avx512;
#endif

/* Every table names its functions alike. */
#define KUA__KERNEL_TABLE                                                                          \
    .add = k_add, .sub = k_sub, .mul = k_mul, .mul_add = k_mul_add, .scale = k_scale,              \
    .axpy = k_axpy, .lerp = k_lerp, .exp = k_exp, .sum = k_sum, .dot = k_dot, .max = k_max,        \
    .above = k_above, .gelu = k_gelu, .relu = k_relu, .sigmoid = k_sigmoid, .tanh = k_tanh,        \
    .silu = k_silu, .gelu_back = k_gelu_back, .relu_back = k_relu_back,                            \
    .sigmoid_back = k_sigmoid_back, .tanh_back = k_tanh_back, .silu_back = k_silu_back,            \
    .swiglu = k_swiglu, .swiglu_back = k_swiglu_back, .softmax = k_softmax,                        \
    .softmax_back = k_softmax_back, .exp_sum = k_exp_sum, .layer_norm = k_layer_norm,              \
    .layer_norm_back = k_layer_norm_back, .rms_norm = k_rms_norm,                                  \
    .rms_norm_back = k_rms_norm_back, .lstm = k_lstm, .lstm_back = k_lstm_back, .gru = k_gru,      \
    .gru_back = k_gru_back, .dropout = k_dropout, .adam = k_adam, .to_bf16 = k_to_bf16,            \
    .from_bf16 = k_from_bf16

#endif
