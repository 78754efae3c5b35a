/* grad/tape.h - how an operation is written: for the files of src/grad and for layers with
 * operations of their own.
 *
 * An operation checks its inputs, makes its result, computes it, and registers a backward function:
 *
 *     struct square { kua__var *x, *y; };
 *
 *     static void square_back(kua__tape *t, void *ctx)
 *     {
 *         struct square *op = ctx;
 *         bool add;
 *         float *dx = kua__grad(t, op->x, &add);     NULL: not wanted
 *         const float *dy = op->y->grad;             never NULL here
 *         for (...) dx[i] = (add ? dx[i] : 0) + 2 * op->x->value[i] * dy[i];
 *     }
 *
 *     kua__var *kua__square(kua__tape *t, kua__var *x)
 *     {
 *         if (!x) return NULL;                       an earlier error, already in the tape
 *         kua__var *y = kua__tape_result(t, x->rows, x->cols, x->wants);
 *         if (!y) return NULL;                       out of memory, in the tape
 *         ... fill y->value ...
 *         return KUA__NODE(t, y, square_back, struct square, .x = x, .y = y);
 *     }
 *
 * Backward: nodes run in reverse order of recording, and only those whose result got a gradient.
 * When a node is done, the gradient of its result goes to a pool from which the next gradients
 * come: the gradients alive at a time are few, and warm in the cache. So a backward function must
 * not keep op->y->grad, and must ask kua__grad() for each input only after it has read what it
 * needs from op->y->grad if the two could be the same variable (they never are).
 *
 * Invariants
 *   T1  v->wants is false for everything that no trained parameter or input with gradient feeds:
 *       such nodes are not recorded. With training off nothing wants a gradient.
 *   T2  v->grad of an operation's result is NULL before the backward pass and after its node ran.
 *   T3  after an error every operation returns NULL and the first error is kept.
 */
#ifndef KUA_GRAD_TAPE_H
#define KUA_GRAD_TAPE_H

#include "grad/grad.h"

typedef void (*kua__backward_fn)(kua__tape *t, void *ctx);

/* Keeps the first error with its message and returns NULL: return kua__tape_fail(t, KUA_SHAPE,
 * "matmul: a is ..."). */
void *kua__tape_fail(kua__tape *t, kua_status status, const char *format, ...) KUA__PRINTF(3, 4);
/* Keeps a failure that a lower layer reported (message: this thread's). Returns NULL. */
void *kua__tape_fail_status(kua__tape *t, kua_status status);
/* "<op>: <a_name> is RxC, <b_name> is RxC" as KUA_SHAPE. */
void *kua__tape_fail_shapes(kua__tape *t, const char *op, const char *a_name, const kua__var *a,
                            const char *b_name, const kua__var *b);

/* Memory until kua__tape_reset(), not cleared. NULL: out of memory, kept in the tape. */
void *kua__tape_alloc(kua__tape *t, size_t bytes);
float *kua__tape_floats(kua__tape *t, size_t rows,
                        size_t cols); /* refuses a product that overflows */
void *kua__tape_copy(kua__tape *t, const void *data, size_t bytes);
/* Scratch for one operation, forward or backward: valid until the next kua__tape_scratch on this
 * tape or reset. */
float *kua__tape_scratch(kua__tape *t, size_t floats);

/* A result with room for its values (not cleared). */
kua__var *kua__tape_result(kua__tape *t, size_t rows, size_t cols, bool wants);
/* A result whose values are someone else's (a view). */
kua__var *kua__tape_view(kua__tape *t, size_t rows, size_t cols, float *value, bool wants);

/* Registers `back` to run when y has a gradient; does nothing where y wants none. ctx is copied
 * (bytes long). Returns y, or NULL on failure. */
kua__var *kua__tape_node(kua__tape *t, kua__var *y, kua__backward_fn back, const void *ctx,
                         size_t bytes);
#define KUA__NODE(t, y, back, type, ...)                                                           \
    kua__tape_node(t, y, back, &(type){__VA_ARGS__}, sizeof(type))

/* Where the gradient of x goes: NULL where none is wanted, or out of memory (kept in the tape).
 * *add says whether to add to what is there; if false the contents are garbage and every element
 * must be written. x may be NULL. */
float *kua__grad(kua__tape *t, kua__var *x, bool *add);
/* The same, always to be added to: zeroes it first where it is new. For operations that write only
 * some rows: they tell which with kua__grad_touch(). */
float *kua__grad_zeroed(kua__tape *t, kua__var *x);
/* Rows [first, first + n) of x's gradient are written. Matters where x is a sparse parameter (then
 * threads may mark the same rows at once: all write 1), else does nothing. kua__grad() marks all
 * rows. */
void kua__grad_touch(kua__var *x, size_t first, size_t n);
/* y's gradient becomes x's, or is added to it, without a copy where possible: for operations that
 * pass it through. y->grad must not be read afterwards. */
void kua__grad_pass(kua__tape *t, kua__var *x, kua__var *y);

/* A number for one drawing operation of this step: kua__philox(kua__tape_seed(t),
 * kua__tape_stream(t), i, out). */
uint64_t kua__tape_stream(kua__tape *t);
bool kua__tape_bf16(const kua__tape *t);

/* KUA_SHAPE (kept, false) unless seq covers exactly the rows of x in order. */
bool kua__ragged_check(kua__tape *t, const char *op, const kua__var *x, kua__ragged seq);

#endif
