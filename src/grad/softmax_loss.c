/* softmax_loss.c - cross-entropy of states against a whole item table, without the logits of a
 * batch ever existing.
 *
 *     loss = mean over rows r of  log sum over j of exp(h_r . w_j)  -  h_r . w_target(r)
 *
 * A batch of 1,500 states against 12,000 items has 18 million logits: 72 MB written and read
 * several times. Here a chunk of rows at a time goes through all three products while its logits
 * are in the cache:
 *
 *     logits = h W^T  ->  share = (softmax - one at the target) / rows  ->  dh = share W,
 *                                                                           dW += share^T h
 *
 * So both gradients are known when the forward pass ends, for a loss whose own gradient is 1; the
 * backward pass scales them. That saves the fourth product which computing logits again would cost.
 * Where the tape asks for bf16 and the processor has it, all of this is one kernel
 * (tensor/softmax_bf16.h), which keeps the logits in registers; else, or where it gives up, the
 * products are kua__product's, and softmax and sums are f32.
 *
 * A bias that is trained needs the sum of the shares of each item, which the one kernel does not
 * keep: it takes the chunks. With a vocabulary's 30,000 rows a chunk is then 256 rows and more, as
 * the table is read once a chunk.
 *
 * Same bits for the same number of threads: rows are independent, and chunks are added in order.
 */
#include "grad/apply.h"

#include <assert.h>
#include <math.h>

#include "tensor/softmax_bf16.h"

enum {
    CHUNK_FLOATS = 1 << 20, /* of logits: 4 MiB */
    CHUNK_ROWS_MIN = 16,
    CHUNK_ROWS_MIN_BIAS = 256,
    CHUNK_ROWS_MAX = 512
};

typedef struct softmax_loss {
    kua__var *h, *w, *y;
    const float *bias;      /* [w->rows]; NULL: none */
    const uint32_t *target; /* [h->rows] */
    size_t counted;         /* rows that have a target */
    kua__var *b;            /* the same where it is trained */
    float *dh, *dw, *db;    /* gradients for dy = 1; NULL: not wanted */
    double loss;            /* sum over the counted rows */
    /* the chunk under way */
    size_t first;
    float *logits;   /* [rows of the chunk, w->rows] */
    float *row_loss; /* [rows of the chunk] */
} softmax_loss;

static void share_task(void *ctx, size_t first, size_t last)
{
    const softmax_loss *op = ctx;
    const kua__kernels *k = kua__kernels_get();
    size_t m = op->w->rows;
    float each = 1.0f / (float)op->counted;
    assert(op->counted >= 1);
    for (size_t r = first; r < last; r++) {
        float *row = op->logits + r * m;
        uint32_t target = op->target[op->first + r];
        op->row_loss[r] = 0;
        if (target == KUA__NO_ID) {
            memset(row, 0, m * sizeof(*row));
            continue;
        }
        if (op->bias) k->add(row, row, op->bias, m);
        float most = k->max(row, m), at_target = row[target];
        float sum = k->exp_sum(row, row, most, m);
        op->row_loss[r] = logf(sum) + most - at_target;
        k->scale(row, row, each / sum, m);
        row[target] -= each;
    }
}

static void chunk(kua__tape *t, softmax_loss *op, size_t rows)
{
    assert(op->first + rows <= op->h->rows);
    const kua__var *h = op->h, *w = op->w;
    size_t m = w->rows, d = w->cols;
    const float *part = h->value + op->first * d; /* dW of the first chunk is written, then added */
    kua__product(t, false, true, rows, m, d, part, d, w->value, d, false, op->logits);
    kua__parallel_for(rows, 1, share_task, op);
    for (size_t r = 0; r < rows; r++)
        op->loss += op->row_loss[r];
    if (op->dh)
        kua__product(t, false, false, rows, d, m, op->logits, m, w->value, d, false,
                     op->dh + op->first * d);
    if (op->dw)
        kua__product(t, true, false, m, d, rows, op->logits, m, part, d, op->first > 0, op->dw);
    if (op->db) kua__sum_rows(op->db, op->logits, rows, m);
}

/* The gradient known since the forward pass, for the loss's own. */
static void add_scaled(kua__tape *t, kua__var *x, const float *unit, float dy)
{
    bool add;
    float *dx = unit ? kua__grad(t, x, &add) : NULL;
    if (dx) kua__apply_scale(dx, unit, dy, x->rows * x->cols, add);
}

static void softmax_loss_back(kua__tape *t, void *ctx)
{
    const softmax_loss *op = ctx;
    float dy = op->y->grad[0];
    add_scaled(t, op->h, op->dh, dy);
    add_scaled(t, op->w, op->dw, dy);
    if (op->b) add_scaled(t, op->b, op->db, dy);
}

static bool check_targets(kua__tape *t, softmax_loss *op)
{
    for (size_t r = 0; r < op->h->rows; r++) {
        uint32_t target = op->target[r];
        if (target == KUA__NO_ID) continue;
        if (target >= op->w->rows) {
            kua__tape_fail(t, KUA_INVALID, "softmax_loss: target[%zu] is %u, the table has %zu", r,
                           target, op->w->rows);
            return false;
        }
        op->counted++;
    }
    return true;
}

static bool make_results(kua__tape *t, softmax_loss *op)
{
    const kua__var *h = op->h, *w = op->w;
    bool b_wants = op->b && op->b->wants;
    op->y = kua__tape_result(t, 1, 1, h->wants || w->wants || b_wants);
    if (!op->y) return false;
    if (b_wants) {
        if (!(op->db = kua__tape_floats(t, 1, w->rows))) return false;
        memset(op->db, 0, w->rows * sizeof(*op->db));
    }
    if (h->wants && !(op->dh = kua__tape_floats(t, h->rows, h->cols))) return false;
    return !w->wants || (op->dw = kua__tape_floats(t, w->rows, w->cols));
}

/* Loss and gradients by the fused kernel; false where it cannot, or on a failure kept in the tape.
 */
static bool fused(kua__tape *t, softmax_loss *op)
{
    const kua__var *h = op->h, *w = op->w;
    kua__softmax_problem p = {.rows = h->rows,
                              .items = w->rows,
                              .dim = h->cols,
                              .h = h->value,
                              .w = w->value,
                              .bias = op->bias,
                              .target = op->target,
                              .dh = op->dh,
                              .dw = op->dw};
    p.each = 1.0f / (float)op->counted;
    if (!kua__tape_bf16(t) || op->db || !kua__softmax_bf16_fits(&p)) return false;
    float *scratch = kua__tape_scratch(t, kua__softmax_bf16_scratch(&p));
    if (!scratch || !kua__softmax_bf16(&p, scratch)) return false;
    op->loss = p.loss;
    return true;
}

static void in_chunks(kua__tape *t, softmax_loss *op)
{
    assert(op->counted >= 1 && op->h->rows >= 1);
    size_t rows = CHUNK_FLOATS / KUA__MAX(op->w->rows, 1);
    size_t least = op->db ? CHUNK_ROWS_MIN_BIAS : CHUNK_ROWS_MIN;
    rows = KUA__MIN(KUA__MAX(rows, least), CHUNK_ROWS_MAX);
    rows = KUA__MIN(rows, op->h->rows);
    op->row_loss = kua__tape_floats(t, rows, 1);
    op->logits = kua__tape_scratch(t, rows * op->w->rows);
    if (!op->row_loss || !op->logits) return;
    for (; op->first < op->h->rows; op->first += rows)
        chunk(t, op, KUA__MIN(rows, op->h->rows - op->first));
}

static kua__var *loss_of(kua__tape *t, softmax_loss op)
{
    const kua__var *h = op.h, *w = op.w;
    assert(op.target || h->rows == 0);
    if (h->cols != w->cols) return kua__tape_fail_shapes(t, "softmax_loss", "h", h, "w", w);
    if (!check_targets(t, &op)) return NULL;
    if (!make_results(t, &op)) return NULL;
    if (op.counted == 0) { /* nothing to learn: loss 0, gradients 0 */
        op.y->value[0] = 0;
        op.y->wants = false;
        return op.y;
    }
    if (!fused(t, &op)) in_chunks(t, &op);
    op.y->value[0] = (float)(op.loss / (double)op.counted);
    return kua__tape_node(t, op.y, softmax_loss_back, &op, sizeof(op));
}

kua__var *kua__softmax_loss_biased(kua__tape *t, kua__var *h, kua__var *w, const float *bias,
                                   const uint32_t *target)
{
    if (!h || !w) return NULL;
    return loss_of(t, (softmax_loss){.h = h, .w = w, .bias = bias, .target = target});
}

kua__var *kua__softmax_loss_trained(kua__tape *t, kua__var *h, kua__var *w, kua__var *bias,
                                    const uint32_t *target)
{
    if (!h || !w || !bias) return NULL;
    if (bias->rows != 1 || bias->cols != w->rows)
        return kua__tape_fail_shapes(t, "softmax_loss", "w", w, "bias", bias);
    return loss_of(
        t, (softmax_loss){.h = h, .w = w, .bias = bias->value, .b = bias, .target = target});
}

kua__var *kua__softmax_loss(kua__tape *t, kua__var *h, kua__var *w, const uint32_t *target)
{
    return kua__softmax_loss_biased(t, h, w, NULL, target);
}
