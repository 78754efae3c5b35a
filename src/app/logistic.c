/* logistic.c - the objective, its gradient, and the choice of the L2 term.
 *
 *     Z = X W + b            rows over the threads
 *     R = weight (p(Z) - Y)
 *     dW = X^T R + l2 (W - prior),  db = column sums of R      columns over the threads
 *
 * A sparse X is kept twice, by rows and by columns, so that both products write each element of
 * their result on one thread: no locks, and the same bits every time. W is [cols, outs], so that a
 * number of X meets `outs` neighbouring weights.
 *
 * l2 is stated in units of the mean square length of the rows: TF-IDF rows have length 1, vectors
 * of an encoder perhaps 20, and the same grid serves both. Each fit starts from the last one: going
 * from strong to weak terms, few steps are needed for each.
 */
#include "app/logistic.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "app/lbfgs.h"
#include "tensor/gemm.h"

/* ---- designs ---- */

kua_status kua__design_turn(kua__design *x)
{
    assert(x && !x->dense && x->at);
    size_t n = x->at[x->rows];
    KUA__TRY(KUA__NEW_ZEROED(&x->turned_at, x->cols + 2, "columns of a sparse matrix"));
    KUA__TRY(KUA__NEW_ARRAY(&x->turned_row, n, "columns of a sparse matrix"));
    KUA__TRY(KUA__NEW_ARRAY(&x->turned_value, n, "columns of a sparse matrix"));
    size_t *end = x->turned_at + 1; /* counts, then begins, then ends of the columns */
    for (size_t k = 0; k < n; k++) {
        assert(x->col[k] < x->cols);
        end[x->col[k] + 1]++;
    }
    for (size_t c = 0; c < x->cols; c++)
        end[c + 1] += end[c];
    for (size_t r = 0; r < x->rows; r++) {
        for (size_t k = x->at[r]; k < x->at[r + 1]; k++) {
            size_t place = end[x->col[k]]++;
            x->turned_row[place] = (uint32_t)r;
            x->turned_value[place] = x->value[k];
        }
    }
    return KUA_OK;
}

void kua__design_release(kua__design *x)
{
    kua__free(x->at);
    kua__free(x->col);
    kua__free(x->value);
    kua__free(x->turned_at);
    kua__free(x->turned_row);
    kua__free(x->turned_value);
    *x = (kua__design){0};
}

/* ---- x W + b ---- */

kua_status kua__affine_create(kua__affine *m, size_t cols, size_t outs)
{
    assert(m && outs >= 1);
    *m = (kua__affine){.cols = cols, .outs = outs};
    KUA__TRY(KUA__NEW_ZEROED(&m->w, cols * outs + outs, "a linear model"));
    m->bias = m->w + cols * outs; /* one block: one vector for the search */
    return KUA_OK;
}

void kua__affine_release(kua__affine *m)
{
    kua__free(m->w);
    *m = (kua__affine){0};
}

typedef struct product {
    const kua__design *x;
    const float *w, *bias, *r; /* r[rows, outs] */
    size_t outs;
    float *out;
} product;

static void sparse_rows(void *ctx, size_t first, size_t last)
{
    const product *p = ctx;
    for (size_t i = first; i < last; i++) {
        float *z = p->out + i * p->outs;
        memcpy(z, p->bias, p->outs * sizeof(*z));
        for (size_t k = p->x->at[i]; k < p->x->at[i + 1]; k++) {
            const float *w = p->w + p->x->col[k] * p->outs, value = p->x->value[k];
            for (size_t o = 0; o < p->outs; o++)
                z[o] += value * w[o];
        }
    }
}

static void sparse_columns(void *ctx, size_t first, size_t last)
{
    const product *p = ctx;
    for (size_t c = first; c < last; c++) {
        float *g = p->out + c * p->outs;
        memset(g, 0, p->outs * sizeof(*g));
        for (size_t k = p->x->turned_at[c]; k < p->x->turned_at[c + 1]; k++) {
            const float *r = p->r + p->x->turned_row[k] * p->outs, value = p->x->turned_value[k];
            for (size_t o = 0; o < p->outs; o++)
                g[o] += value * r[o];
        }
    }
}

static kua_status rows_times(const kua__design *x, const float *w, const float *bias, size_t outs,
                             float *z)
{
    product p = {.x = x, .w = w, .bias = bias, .outs = outs, .out = z};
    if (!x->dense) return kua__parallel_for(x->rows, 64, sparse_rows, &p), KUA_OK;
    for (size_t i = 0; i < x->rows; i++)
        memcpy(z + i * outs, bias, outs * sizeof(*z));
    return kua__gemm(false, false, x->rows, outs, x->cols, 1, x->dense, x->cols, w, outs, 1, z,
                     outs);
}

static kua_status columns_times(const kua__design *x, const float *r, size_t outs, float *g)
{
    product p = {.x = x, .r = r, .outs = outs, .out = g};
    if (!x->dense) return kua__parallel_for(x->cols, 256, sparse_columns, &p), KUA_OK;
    return kua__gemm(true, false, x->cols, outs, x->rows, 1, x->dense, x->cols, r, outs, 0, g,
                     outs);
}

kua_status kua__affine_apply(const kua__affine *m, const kua__design *x, float *logits)
{
    assert(m && x && m->cols == x->cols && (logits || x->rows == 0));
    return x->rows ? rows_times(x, m->w, m->bias, m->outs, logits) : KUA_OK;
}

void kua__probabilities(float *z, size_t rows, size_t outs, bool softmax)
{
    for (size_t i = 0; i < rows; i++, z += outs) {
        float most = z[0], sum = 0;
        for (size_t o = 0; o < outs; o++)
            most = fmaxf(most, z[o]);
        for (size_t o = 0; o < outs; o++) {
            z[o] = softmax ? expf(z[o] - most) : 1 / (1 + expf(-z[o]));
            sum += z[o];
        }
        for (size_t o = 0; softmax && o < outs; o++)
            z[o] /= sum;
    }
}

/* ---- the objective ---- */

typedef struct problem {
    const kua__logistic_task *task;
    const uint8_t *learn;
    double l2;
    float *z; /* [rows, outs] logits, then residuals */
    size_t asked;
} problem;

static double softmax_loss(float *z, const float *y, size_t outs)
{
    double most = z[0], sum = 0, loss = 0;
    for (size_t o = 0; o < outs; o++)
        most = fmax(most, z[o]);
    for (size_t o = 0; o < outs; o++)
        sum += exp(z[o] - most);
    for (size_t o = 0; o < outs; o++) {
        loss -= y[o] > 0 ? y[o] * (z[o] - most - log(sum)) : 0;
        z[o] = (float)(exp(z[o] - most) / sum) - y[o];
    }
    return loss;
}

static double sigmoid_loss(float *z, const float *y, size_t outs)
{
    double loss = 0;
    for (size_t o = 0; o < outs; o++) {
        double v = z[o];
        loss += fmax(v, 0) - v * y[o] + log1p(exp(-fabs(v)));
        z[o] = (float)(1 / (1 + exp(-v)) - y[o]);
    }
    return loss;
}

/* z becomes residuals; the sum of the losses of the rows whose `use` is `which`. */
static double losses(const kua__logistic_task *t, float *z, const uint8_t *use, uint8_t which)
{
    double sum = 0;
    for (size_t i = 0; i < t->x->rows; i++) {
        float *row = z + i * t->outs;
        if (use[i] != which) {
            memset(row, 0, t->outs * sizeof(*row));
            continue;
        }
        const float *y = t->target + i * t->outs;
        sum += t->softmax ? softmax_loss(row, y, t->outs) : sigmoid_loss(row, y, t->outs);
    }
    return sum;
}

static kua_status objective(void *ctx, const float *w, float *g, double *value)
{
    problem *p = ctx;
    const kua__logistic_task *t = p->task;
    size_t outs = t->outs, n = t->x->cols * outs;
    KUA__TRY(rows_times(t->x, w, w + n, outs, p->z));
    *value = losses(t, p->z, p->learn, 0);
    KUA__TRY(columns_times(t->x, p->z, outs, g));
    memset(g + n, 0, outs * sizeof(*g));
    for (size_t i = 0; i < t->x->rows; i++)
        for (size_t o = 0; o < outs; o++)
            g[n + o] += p->z[i * outs + o];
    double penalty = 0;
    for (size_t i = 0; i < n; i++) {
        double away = w[i] - (t->prior ? t->prior->w[i] : 0);
        penalty += away * away;
        g[i] += (float)(p->l2 * away);
    }
    *value += p->l2 / 2 * penalty;
    return kua__progress(t->monitor, "logistic regression", ++p->asked, 0);
}

static double mean_square_length(const kua__design *x)
{
    double sum = 0;
    size_t n = x->dense ? x->rows * x->cols : x->at[x->rows];
    const float *value = x->dense ? x->dense : x->value;
    for (size_t i = 0; i < n; i++)
        sum += (double)value[i] * value[i];
    return sum > 0 ? sum / (double)x->rows : 1;
}

/* small_gain: a step that gains a smaller share ends the search. */
static kua_status fit(const kua__logistic_task *task, const uint8_t *learn, double l2,
                      double small_gain, kua__affine *m)
{
    assert(task && learn && m && m->cols == task->x->cols && m->outs == task->outs && l2 >= 0);
    problem p = {.task = task, .learn = learn, .l2 = l2 * mean_square_length(task->x)};
    size_t n = 0;
    for (size_t i = 0; i < task->x->rows; i++)
        n += learn[i] == 0;
    KUA__TRY(KUA__NEW_ARRAY(&p.z, task->x->rows * task->outs, "logits"));
    kua__lbfgs_options options = {.most = 300, .small = 1e-5 * (double)n, .small_gain = small_gain};
    kua_status st = kua__lbfgs(objective, &p, m->w, (m->cols + 1) * m->outs, &options);
    kua__free(p.z);
    return st;
}

kua_status kua__logistic_fit(const kua__logistic_task *task, const uint8_t *learn, double l2,
                             kua__affine *m)
{
    return fit(task, learn, l2, 1e-6, m);
}

/* ---- choosing the L2 term ---- */

static const double grid[] = {100, 30, 10, 3, 1, .3, .1, .03, .01, .003};
enum { GRID = KUA__COUNT(grid), FOLDS = 5, FEW = 2000, PATIENCE = 2 };

/* Adds the held-out log loss of each grid point to loss[GRID]; those that were not tried get the
 * worst. */
static kua_status try_grid(const kua__logistic_task *t, const uint8_t *use, float *z,
                           double loss[GRID])
{
    kua__affine m = {0};
    double best = INFINITY;
    int worse = 0;
    KUA__TRY(kua__affine_create(&m, t->x->cols, t->outs));
    if (t->prior) memcpy(m.w, t->prior->w, (m.cols + 1) * m.outs * sizeof(*m.w));
    kua_status st = KUA_OK;
    for (int g = 0; g < GRID && !st; g++) {
        if (worse >= PATIENCE) {
            loss[g] = INFINITY;
            continue;
        }
        st = fit(t, use, grid[g], 1e-4, &m);
        if (!st) st = kua__affine_apply(&m, t->x, z);
        double now = st ? 0 : losses(t, z, use, 1);
        worse = now < best ? 0 : worse + 1;
        best = fmin(best, now);
        loss[g] += now;
    }
    kua__affine_release(&m);
    return st;
}

/* fold[rows]: 0.. FOLDS - 1 by group, at random; rows that are left out get FOLDS. */
static void draw_folds(const kua__logistic_task *t, uint8_t *fold)
{
    for (size_t i = 0; i < t->x->rows; i++) {
        uint32_t draw[4];
        kua__philox(t->seed, 77, t->group ? t->group[i] : i, draw);
        fold[i] = t->held[i] ? FOLDS : (uint8_t)(draw[0] % FOLDS);
    }
}

static kua_status by_folds(const kua__logistic_task *t, size_t n, uint8_t *fold, uint8_t *use,
                           float *z, double loss[GRID])
{
    int folds = n < FEW ? FOLDS : 1; /* many rows: one fold tells enough */
    draw_folds(t, fold);
    for (int f = 0; f < folds; f++) {
        for (size_t i = 0; i < t->x->rows; i++)
            use[i] = fold[i] == FOLDS ? 2 : fold[i] == f;
        KUA__TRY(try_grid(t, use, z, loss));
    }
    return KUA_OK;
}

static kua_status grid_losses(const kua__logistic_task *t, double loss[GRID])
{
    size_t rows = t->x->rows, n = 0, held = 0;
    for (size_t i = 0; i < rows; i++) {
        n += t->held[i] == 0;
        held += t->held[i] == 1;
    }
    uint8_t *fold = NULL, *use = NULL;
    float *z = NULL;
    kua_status st = KUA__NEW_ARRAY(&fold, rows, "folds");
    if (!st) st = KUA__NEW_ARRAY(&use, rows, "folds");
    if (!st) st = KUA__NEW_ARRAY(&z, rows * t->outs, "logits");
    if (!st) st = held ? try_grid(t, t->held, z, loss) : by_folds(t, n, fold, use, z, loss);
    kua__free(fold);
    kua__free(use);
    kua__free(z);
    return st;
}

kua_status kua__logistic_choose(const kua__logistic_task *task, kua__affine *m, double *l2)
{
    assert(task && task->held && m && l2);
    double loss[GRID] = {0};
    KUA__TRY(grid_losses(task, loss));
    int best = 0;
    for (int g = 1; g < GRID; g++)
        if (loss[g] < loss[best]) best = g;
    *l2 = grid[best];
    if (task->prior) memcpy(m->w, task->prior->w, (m->cols + 1) * m->outs * sizeof(*m->w));
    return kua__logistic_fit(task, task->held, *l2, m);
}
