/* tensor/lean.h - products whose weights stay where they are in a mapped file, in the type they
 * have there.
 *
 *     y[rows,out] = x[rows,in] W^T + bias     or     y += ...
 *
 * Generating text multiplies one row at a time, so that every weight is read once a token and the
 * memory's speed decides: 4-bit weights are then several times as fast as f32 ones, and need no
 * memory beside the file's pages. Numbers are widened to f32 in registers (for one row) or panel by
 * panel (for many, then multiplied by oneDNN), so results are those of the widened weights. Where
 * the processor multiplies whole numbers (AVX-512), quantised weights meet rows of x that are
 * rounded to 21 bits in blocks of 32, which is as exact as the order of a sum of floats is.
 *
 * W may be stacked of several tensors (query, key and value), each [out_i, in].
 *
 *     kua__lean *lean = NULL;
 *     st = kua__lean_create(&(kua__lean_options){.tensor = {q, k, v}, .n = 3, .parts = 2}, &lean);
 *     for (part = 0; part < parts; part++)                                  each on a thread
 *         if (!st) st = kua__lean_run_part(lean, part, rows, x, y, panel);
 *
 * Threads: immutable once created.
 */
#ifndef KUA_TENSOR_LEAN_H
#define KUA_TENSOR_LEAN_H

#include "tensor/kernels.h"
#include "tensor/tensor.h"

enum {
    KUA__LEAN_STACK = 3,
    KUA__LEAN_PANEL = 64, /* rows of W that are widened at a time */
};

typedef struct kua__lean_options {
    const kua__tensor *tensor[KUA__LEAN_STACK]; /* rank 2, the same `in`, not turned; borrowed */
    size_t n;
    const float *bias; /* [out], borrowed; NULL: none */
    bool add;          /* to what y holds */
    size_t parts;      /* >= 1: in which kua__lean_run_part() cuts */
} kua__lean_options;

typedef struct kua__lean kua__lean;

kua_status kua__lean_create(const kua__lean_options *options, kua__lean **out);
void kua__lean_free(kua__lean *lean); /* NULL is allowed */
/* Floats of a thread's panel. */
size_t kua__lean_panel(const kua__lean *lean);

/* One of `parts` ranges of columns of y; panel is 64-byte aligned. Parts of one product may run at
 * the same time. */
kua_status kua__lean_run_part(const kua__lean *lean, size_t part, size_t rows, const float *x,
                              float *y, float *panel);

/* Sum of row[n] x[n], the row in its type: of this process, and of an instruction set for tests.
 * n is a multiple of the type's block. NULL: there is none for that type and set; the row is then
 * widened first. */
typedef float (*kua__lean_dot_fn)(const void *row, const float *x, size_t n);
kua__lean_dot_fn kua__lean_dot_of(kua__isa isa, kua__dtype type);

#endif
