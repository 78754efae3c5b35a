/* attention.c - scaled dot-product attention with several heads over ragged sequences (Vaswani et
 * al., "Attention is all you need", 2017).
 *
 * Nothing is padded: the unit of work is one head of one sequence, whose L x L score matrix lives
 * in the scratch of the thread that works on it and nowhere else. The backward pass computes the
 * shares again instead of keeping them: with short sequences that costs less than memory traffic,
 * and with long ones the shares of a whole batch would be most of a step's memory.
 *
 *     q, k, v   [tokens, heads * width]    head h of a token: its columns from h * width on;
 *                                          packed (qkv): three such blocks side by side
 *     unit      sequence s, head h         rows at[s] .. at[s + 1] of those columns
 *
 *     share = softmax(q k^T / sqrt(width))     over the keys that a query may see
 *     y     = share v
 *
 * Where keys and values have fewer heads than queries ("grouped-query attention", Ainslie et al.,
 * 2023), `group` query heads in a row read one head of keys: then the unit is a head of keys with
 * all its query heads, so that no two threads add to one gradient of a key.
 *
 * Histories of shops are short (median 5 to 9 events): below SHORT tokens rows are multiplied by
 * the dot and axpy kernels, which skip what a causal mask hides; above by matrix products.
 *
 * Invariants
 *   A1  Every token belongs to exactly one sequence, so units write disjoint parts of y and of the
 *       gradients: who does a unit changes no bit.
 *   A2  Shares of hidden keys are exactly 0 wherever a matrix product reads them.
 */
#include "grad/apply.h"

#include <assert.h>
#include <math.h>
#include <stdatomic.h>

#include "tensor/gemm.h"

enum { SHORT = 40 };

/* One of q, k, v: where its rows are, and where their gradients go (NULL: not wanted). */
typedef struct stream {
    kua__var *x;
    size_t first_col;
    float *grad;
    bool add;
} stream;

typedef struct attention {
    stream q, k, v;
    kua__var *y;
    kua__ragged seq;
    size_t heads, width; /* heads of keys and values; columns of a head */
    size_t group;        /* query heads that read one head of keys */
    bool causal;
    size_t longest;
    float *scratch;      /* [threads, 2, longest, longest] */
    _Atomic bool failed; /* a matrix product ran out of memory */
} attention;

/* One query head of one sequence. */
typedef struct unit {
    attention *op;
    size_t n, row;      /* tokens, first row */
    size_t col, kv_col; /* first column of the head in q and y, in k and v */
    bool first;         /* of the query heads that share these keys */
    float scale;
    float *share, *dshare; /* [n, n] */
} unit;

/* Where the unit's first row of a stream begins. */
static size_t place_of(const unit *u, const stream *s)
{
    size_t col = s == &u->op->q ? u->col : u->kv_col;
    assert(s->first_col + col + u->op->width <= s->x->cols);
    return u->row * s->x->cols + s->first_col + col;
}

static const float *rows_of(const unit *u, const stream *s)
{
    return s->x->value + place_of(u, s);
}

static float *y_row(const unit *u, float *base, size_t i)
{
    return base + (u->row + i) * u->op->y->cols + u->col;
}

/* How many keys query i sees: they are the first ones. */
static size_t seen(const unit *u, size_t i)
{
    return u->op->causal ? i + 1 : u->n;
}

static void multiply(const unit *u, bool ta, bool tb, size_t m, size_t n, size_t k, float alpha,
                     const float *a, size_t lda, const float *b, size_t ldb, float beta, float *c,
                     size_t ldc)
{
    if (kua__gemm(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)) u->op->failed = true;
}

/* out[i, j] = scale a_i . b_j for the keys j that i sees; a and b are rows `a_stride` and
 * `b_stride` apart. */
static void dots(const unit *u, const float *a, size_t a_stride, const float *b, size_t b_stride,
                 float scale, float *out)
{
    size_t n = u->n, width = u->op->width;
    if (n >= SHORT) {
        multiply(u, false, true, n, n, width, scale, a, a_stride, b, b_stride, 0, out, n);
        return;
    }
    const kua__kernels *kern = kua__kernels_get();
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < seen(u, i); j++)
            out[i * n + j] = scale * kern->dot(a + i * a_stride, b + j * b_stride, width);
    }
}

/* out_i += scale sum over j of weight[i, j] b_j, or with the weights transposed. */
static void mix(const unit *u, const float *weight, bool transposed, const float *b,
                size_t b_stride, float scale, float *out, size_t out_stride)
{
    size_t n = u->n, width = u->op->width;
    if (n >= SHORT) {
        multiply(u, transposed, false, n, width, n, scale, weight, n, b, b_stride, 1, out,
                 out_stride);
        return;
    }
    const kua__kernels *kern = kua__kernels_get();
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < seen(u, i); j++) {
            size_t to = transposed ? j : i, from = transposed ? i : j;
            kern->axpy(out + to * out_stride, b + from * b_stride, scale * weight[i * n + j],
                       width);
        }
    }
}

static void compute_shares(const unit *u)
{
    const attention *op = u->op;
    size_t n = u->n;
    dots(u, rows_of(u, &op->q), op->q.x->cols, rows_of(u, &op->k), op->k.x->cols, u->scale,
         u->share);
    for (size_t i = 0; i < n; i++) {
        float *row = u->share + i * n;
        kua__kernels_get()->softmax(row, row, seen(u, i));
        memset(row + seen(u, i), 0, (n - seen(u, i)) * sizeof(*row)); /* A2 */
    }
}

static void clear_rows(float *first, size_t stride, size_t rows, size_t width)
{
    for (size_t i = 0; i < rows; i++)
        memset(first + i * stride, 0, width * sizeof(*first));
}

static void forward_unit(const unit *u)
{
    const attention *op = u->op;
    float *y = y_row(u, op->y->value, 0);
    compute_shares(u);
    clear_rows(y, op->y->cols, u->n, op->width);
    mix(u, u->share, false, rows_of(u, &op->v), op->v.x->cols, 1, y, op->y->cols);
}

/* The part of a stream's gradient that belongs to this unit, ready to be added to. */
static float *open_grad(const unit *u, const stream *s)
{
    if (!s->grad) return NULL;
    float *grad = s->grad + place_of(u, s);
    if (!s->add && (s == &u->op->q || u->first)) clear_rows(grad, s->x->cols, u->n, u->op->width);
    return grad;
}

static void backward_unit(const unit *u)
{
    /* The gradient of softmax needs its result only, and that of the scores goes over the place
     * where dy . v stood; q and k come last, because they need all of it. */
    const attention *op = u->op;
    size_t n = u->n, y_stride = op->y->cols;
    const float *dy = y_row(u, op->y->grad, 0);
    compute_shares(u);
    float *dv = open_grad(u, &op->v);
    if (dv) mix(u, u->share, true, dy, y_stride, 1, dv, op->v.x->cols);
    if (!op->q.grad && !op->k.grad) return;
    dots(u, dy, y_stride, rows_of(u, &op->v), op->v.x->cols, 1, u->dshare);
    for (size_t i = 0; i < n; i++) {
        float *row = u->dshare + i * n;
        kua__kernels_get()->softmax_back(row, u->share + i * n, row, seen(u, i), false);
        memset(row + seen(u, i), 0, (n - seen(u, i)) * sizeof(*row)); /* A2 */
    }
    float *dq = open_grad(u, &op->q), *dk = open_grad(u, &op->k);
    if (dq)
        mix(u, u->dshare, false, rows_of(u, &op->k), op->k.x->cols, u->scale, dq, op->q.x->cols);
    if (dk) mix(u, u->dshare, true, rows_of(u, &op->q), op->q.x->cols, u->scale, dk, op->k.x->cols);
}

static void units_task(void *ctx, int thread, size_t first, size_t last)
{
    assert(thread < kua__threads());
    attention *op = ctx;
    size_t square = op->longest * op->longest;
    float *share = op->scratch + (size_t)thread * 2 * square;
    for (size_t i = first; i < last; i++) {
        size_t s = i / op->heads, head = i % op->heads, row = op->seq.at[s];
        assert(s < op->seq.n);
        unit u = {.op = op,
                  .n = op->seq.at[s + 1] - row,
                  .row = row,
                  .kv_col = head * op->width,
                  .scale = 1.0f / sqrtf((float)op->width),
                  .share = share,
                  .dshare = share + square};
        for (size_t g = 0; u.n && g < op->group; g++) {
            u.first = g == 0;
            u.col = (head * op->group + g) * op->width;
            if (op->y->grad)
                backward_unit(&u);
            else
                forward_unit(&u);
        }
    }
}

/* All units, forward or (where y has a gradient) backward. */
static void run_units(kua__tape *t, attention *op)
{
    size_t square = op->longest * op->longest;
    if (square == 0) return;
    op->scratch = kua__tape_scratch(t, (size_t)kua__threads() * 2 * square);
    if (!op->scratch) return;
    size_t grain = op->longest >= 64 ? 1 : 16; /* handing out costs, too */
    kua__parallel_chunks(op->seq.n * op->heads, grain, units_task, op);
    if (op->failed) kua__tape_fail(t, KUA_NOMEM, "attention: out of memory in a matrix product");
}

static void attention_back(kua__tape *t, void *ctx)
{
    attention *op = ctx;
    stream *all[] = {&op->q, &op->k, &op->v};
    for (size_t i = 0; i < 3; i++) {
        /* Three streams of one matrix ask for its gradient once: a second kua__grad would say "add"
         * to what nobody has written yet. */
        bool packed = i > 0 && all[i]->x == all[0]->x;
        all[i]->grad = packed ? all[0]->grad : kua__grad(t, all[i]->x, &all[i]->add);
        if (packed) all[i]->add = all[0]->add;
    }
    run_units(t, op);
}

/* cols: of y; op.heads and op.group are given. */
static kua__var *attend(kua__tape *t, attention op, size_t cols)
{
    size_t heads = op.heads * op.group;
    if (heads == 0 || cols % heads)
        return kua__tape_fail(t, KUA_SHAPE, "attention: %zu columns do not divide into %zu heads",
                              cols, heads);
    if (!kua__ragged_check(t, "attention", op.q.x, op.seq)) return NULL;
    for (size_t i = 0; i < op.seq.n; i++) {
        size_t n = op.seq.at[i + 1] - op.seq.at[i];
        op.longest = KUA__MAX(op.longest, n);
    }
    op.width = cols / heads;
    bool wants = op.q.x->wants || op.k.x->wants || op.v.x->wants;
    op.y = kua__tape_result(t, op.q.x->rows, cols, wants);
    if (!op.y) return NULL;
    assert(!op.y->grad);
    run_units(t, &op);
    return kua__tape_node(t, op.y, attention_back, &op, sizeof(op));
}

kua__var *kua__attention_grouped(kua__tape *t, kua__var *q, kua__var *k, kua__var *v,
                                 kua__ragged seq, size_t heads, size_t kv_heads, bool causal)
{
    if (!q || !k || !v) return NULL;
    assert(q != k && k != v && q != v);
    if (kv_heads == 0 || heads % kv_heads)
        return kua__tape_fail(t, KUA_SHAPE, "attention: %zu heads do not share %zu heads of keys",
                              heads, kv_heads);
    size_t group = heads / kv_heads;
    if (q->rows != k->rows || q->cols != group * k->cols)
        return kua__tape_fail_shapes(t, "attention", "q", q, "k", k);
    if (k->rows != v->rows || k->cols != v->cols)
        return kua__tape_fail_shapes(t, "attention", "k", k, "v", v);
    attention op = {.q = {q},
                    .k = {k},
                    .v = {v},
                    .seq = seq,
                    .heads = kv_heads,
                    .group = group,
                    .causal = causal};
    return attend(t, op, q->cols);
}

kua__var *kua__attention(kua__tape *t, kua__var *q, kua__var *k, kua__var *v, kua__ragged seq,
                         size_t heads, bool causal)
{
    return kua__attention_grouped(t, q, k, v, seq, heads, heads, causal);
}

kua__var *kua__self_attention(kua__tape *t, kua__var *qkv, kua__ragged seq, size_t heads,
                              bool causal)
{
    if (!qkv) return NULL;
    if (qkv->cols % 3)
        return kua__tape_fail(t, KUA_SHAPE, "attention: qkv is %zux%zu, columns must divide by 3",
                              qkv->rows, qkv->cols);
    size_t cols = qkv->cols / 3;
    attention op = {.q = {qkv, 0},
                    .k = {qkv, cols},
                    .v = {qkv, 2 * cols},
                    .seq = seq,
                    .heads = heads,
                    .group = 1,
                    .causal = causal};
    return attend(t, op, cols);
}
