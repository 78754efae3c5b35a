/* product.c - matrix products with transposes, and the linear layer.
 *
 * y = op(a) op(b). With dy the gradient of y:
 *     of op(a): dy op(b)^T     of op(b): op(a)^T dy
 * and where an input is stored transposed, the transpose of that: four cases, one formula each, no
 * copies. A product that adds to a gradient does so in the product itself (beta 1).
 */
#include "grad/apply.h"

#include <assert.h>

typedef struct product {
    kua__var *a, *b, *y;
    bool ta, tb;
} product;

static void product_back(kua__tape *t, void *ctx)
{
    const product *op = ctx;
    const kua__var *a = op->a, *b = op->b, *y = op->y;
    size_t m = y->rows, n = y->cols, k = op->ta ? a->rows : a->cols;
    assert(k == (op->tb ? b->cols : b->rows)); /* as the forward pass checked */
    bool add;
    float *da = kua__grad(t, op->a, &add);
    if (da && !op->ta)
        kua__product(t, false, !op->tb, m, k, n, y->grad, n, b->value, b->cols, add, da);
    if (da && op->ta)
        kua__product(t, op->tb, true, k, m, n, b->value, b->cols, y->grad, n, add, da);
    float *db = kua__grad(t, op->b, &add);
    if (db && !op->tb)
        kua__product(t, !op->ta, false, k, n, m, a->value, a->cols, y->grad, n, add, db);
    if (db && op->tb)
        kua__product(t, true, op->ta, n, k, m, y->grad, n, a->value, a->cols, add, db);
}

static kua__var *product_of(kua__tape *t, const char *name, kua__var *a, kua__var *b, bool ta,
                            bool tb)
{
    if (!a || !b) return NULL;
    size_t m = ta ? a->cols : a->rows, k = ta ? a->rows : a->cols;
    size_t n = tb ? b->rows : b->cols, k_of_b = tb ? b->cols : b->rows;
    if (k != k_of_b) return kua__tape_fail_shapes(t, name, "a", a, "b", b);
    kua__var *y = kua__tape_result(t, m, n, a->wants || b->wants);
    if (!y) return NULL;
    kua__product(t, ta, tb, m, n, k, a->value, a->cols, b->value, b->cols, false, y->value);
    return KUA__NODE(t, y, product_back, product, a, b, y, ta, tb);
}

kua__var *kua__matmul(kua__tape *t, kua__var *a, kua__var *b)
{
    return product_of(t, "matmul", a, b, false, false);
}

kua__var *kua__matmul_nt(kua__tape *t, kua__var *a, kua__var *b)
{
    return product_of(t, "matmul_nt", a, b, false, true);
}

kua__var *kua__matmul_tn(kua__tape *t, kua__var *a, kua__var *b)
{
    return product_of(t, "matmul_tn", a, b, true, false);
}

typedef struct linear {
    product product;
    kua__var *bias;
} linear;

static void linear_back(kua__tape *t, void *ctx)
{
    linear *op = ctx;
    const kua__var *y = op->product.y;
    float *db = op->bias ? kua__grad_zeroed(t, op->bias) : NULL;
    if (db) {
        kua__grad_touch(op->bias, 0, 1);
        kua__sum_rows(db, y->grad, y->rows, y->cols);
    }
    product_back(t, &op->product);
}

kua__var *kua__linear(kua__tape *t, kua__var *x, kua__var *w, kua__var *b)
{
    if (!x || !w) return NULL;
    if (x->cols != w->cols) return kua__tape_fail_shapes(t, "linear", "x", x, "w", w);
    if (b && (b->rows != 1 || b->cols != w->rows))
        return kua__tape_fail_shapes(t, "linear", "w", w, "b", b);
    kua__var *y = kua__tape_result(t, x->rows, w->rows, x->wants || w->wants || (b && b->wants));
    if (!y) return NULL;
    kua__product(t, false, true, x->rows, w->rows, x->cols, x->value, x->cols, w->value, w->cols,
                 false, y->value);
    if (b) kua__add_row_to(y->value, b->value, y->rows, y->cols);
    return KUA__NODE(t, y, linear_back, linear, {x, w, y, false, true}, b);
}
