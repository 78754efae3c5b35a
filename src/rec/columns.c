/* columns.c - inverse of a matrix of which many rows are nearly empty.
 *
 * Most items of a shop have few buyers, so that they met few other items: a third of the rows of
 * Amazon Beauty's item matrix hold fewer than sixty of its 12,000 columns. Eliminating those rows
 * first, in the order of minimum degree (as sparse direct solvers do), costs next to nothing and
 * leaves a dense matrix of the others only, and the time of an inverse goes with the cube of that.
 *
 *     order:   1 sparse rows            2 dense rows
 *
 *              [ A11  A12 ]   A11 = L D L^T, L sparse;  L21 = A21 L^-T D^-1, sparse
 *              [ A21  A22 ]   S = A22 - L21 D L21^T, dense
 *
 *     columns of 2:   P22 = S^-1                       (inverse.c)
 *                     P12[k] = - sum over i of L[i,k] P[i]            for k = n1 - 1 .. 0
 *     columns of 1:   the rows of 2 are P12^T; the others, again from the last to the first,
 *                     P[k] = y[k] / d[k] - sum over i of L[i,k] P[i]  with y = L^-1 e
 *
 * Columns do not depend on one another, so they are made in parallel, KUA__COLUMNS at a time: small
 * enough that a chunk stays in the cache, wide enough for vector instructions.
 *
 * Elimination fills: a row that is eliminated connects all its neighbours. It ends where the
 * smallest degree exceeds a share of the rows that are left (WORTH): from there the dense inverse
 * is cheaper. In a matrix without empty rows it ends at once, and all is dense.
 *
 * Memory: n^2 / 8 bytes of connections (freed before the rest) and n2 max(n1, n2) floats: a chunk
 * of columns of P22 is read by nobody once its columns of P12 are made, so these take its place.
 *
 * George and Liu, "The evolution of the minimum degree ordering algorithm", 1989.
 */
#include "rec/columns.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "rec/inverse.h"
#include "tensor/kernels.h"

enum { WORTH = 20, WIDTH = KUA__COLUMNS };

typedef struct sparse {
    kua__columns_problem *problem;
    size_t n, n1, n2;
    const kua__kernels *kernels;
    /* while ordering */
    uint64_t *bits; /* [n, words] connections among rows that are left */
    size_t words;
    uint32_t *degree; /* [n] KUA__NO_ID: eliminated */
    /* L by columns: rows as places, ascending, without the diagonal */
    size_t *at;         /* [n1 + 1] */
    uint32_t *place_of; /* [n] */
    uint32_t *row;
    float *value;
    float *d; /* [n1] */
    size_t nonzeros, room;
    float *s;           /* [n2, n2] S, then P22 */
    float *scratch;     /* [threads, n] or [threads, n, WIDTH] */
    kua_status *status; /* [threads] */
} sparse;

/* ---- order ---- */

static void connect_rows(void *ctx, int thread, size_t first, size_t last)
{
    sparse *s = ctx;
    float *out = s->scratch + (size_t)thread * s->n;
    for (size_t i = first; i < last; i++) {
        uint64_t *bits = s->bits + i * s->words;
        uint32_t degree = 0;
        s->problem->row(s->problem->ctx, i, out);
        for (size_t j = 0; j < s->n; j++) {
            if (out[j] == 0 || j == i) continue;
            bits[j / 64] |= (uint64_t)1 << (j % 64);
            degree++;
        }
        s->degree[i] = degree;
    }
}

static uint32_t least_connected(const sparse *s)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < s->n; i++) {
        if (s->degree[i] < s->degree[best]) best = i;
    }
    return best;
}

/* Takes v out and connects its neighbours with one another. */
static kua_status eliminate(sparse *s, uint32_t v)
{
    const uint64_t *row = s->bits + v * s->words;
    for (size_t w = 0; w < s->words; w++) {
        for (uint64_t left = row[w]; left; left &= left - 1) {
            uint32_t i = (uint32_t)(64 * w) + (uint32_t)__builtin_ctzll(left);
            assert(s->degree[i] != KUA__NO_ID);
            KUA__TRY(KUA__GROW(&s->row, &s->room, s->nonzeros, "a sparse factor"));
            s->row[s->nonzeros++] = i;
        }
    }
    for (size_t k = s->nonzeros - s->degree[v]; k < s->nonzeros; k++) {
        uint32_t i = s->row[k];
        uint64_t *mine = s->bits + i * s->words;
        mine[v / 64] &= ~((uint64_t)1 << (v % 64));
        for (size_t w = 0; w < s->words; w++) {
            uint64_t more = row[w] & ~mine[w];
            mine[w] |= more;
            s->degree[i] += more ? (uint32_t)__builtin_popcountll(more) : 0;
        }
        mine[i / 64] &= ~((uint64_t)1 << (i % 64));
        s->degree[i] -= 2; /* v is gone, and i counted itself */
    }
    s->degree[v] = KUA__NO_ID;
    return KUA_OK;
}

static int by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* The rows that are left keep their order; L's rows become places. */
static void number_places(sparse *s)
{
    size_t place = s->n1;
    for (uint32_t i = 0; i < s->n; i++) {
        if (s->degree[i] != KUA__NO_ID) s->problem->order[place++] = i;
    }
    assert(place == s->n);
    for (uint32_t p = 0; p < s->n; p++)
        s->place_of[s->problem->order[p]] = p;
    for (size_t k = 0; k < s->nonzeros; k++)
        s->row[k] = s->place_of[s->row[k]];
    for (size_t k = 0; s->row && k < s->n1; k++) /* NULL: no row met another */
        qsort(s->row + s->at[k], s->at[k + 1] - s->at[k], sizeof(*s->row), by_number);
}

static kua_status find_order(sparse *s)
{
    s->words = (s->n + 63) / 64;
    KUA__TRY(KUA__NEW_ZEROED(&s->bits, s->n * s->words, "connections"));
    KUA__TRY(KUA__NEW_ARRAY(&s->degree, s->n, "connections"));
    KUA__TRY(KUA__NEW_ZEROED(&s->at, s->n + 1, "a sparse factor"));
    KUA__TRY(KUA__NEW_ARRAY(&s->place_of, s->n, "a sparse factor"));
    kua__parallel_chunks(s->n, 16, connect_rows, s);
    for (s->n1 = 0; s->n1 < s->n; s->n1++) {
        uint32_t v = least_connected(s);
        if ((size_t)s->degree[v] * WORTH > s->n - s->n1) break;
        s->problem->order[s->n1] = v;
        KUA__TRY(eliminate(s, v));
        s->at[s->n1 + 1] = s->nonzeros;
    }
    s->n2 = s->n - s->n1;
    s->problem->n_sparse = s->n1;
    number_places(s);
    kua__free(s->bits);
    kua__free(s->degree);
    s->bits = NULL, s->degree = NULL;
    return KUA_OK;
}

/* ---- L and D ---- */

typedef struct factor {
    float *sum;     /* [n] by place; 0 outside of what is worked on */
    uint32_t *head; /* [n1] first finished column whose next row is this one */
    uint32_t *next; /* [n1] the next such column */
    size_t *now;    /* [n1] where a finished column's next row is */
} factor;

/* Files column m under its next row, if that is a row of 1. */
static void file_under(const sparse *s, factor *f, uint32_t m)
{
    if (f->now[m] == s->at[m + 1] || s->row[f->now[m]] >= s->n1) return;
    uint32_t row = s->row[f->now[m]];
    f->next[m] = f->head[row];
    f->head[row] = m;
}

/* Column k: the matrix's own, minus what the finished columns before give to it. */
static kua_status factor_column(sparse *s, factor *f, uint32_t k)
{
    const uint32_t *order = s->problem->order;
    s->problem->row(s->problem->ctx, order[k], s->scratch);
    float pivot = s->scratch[order[k]];
    for (size_t i = s->at[k]; i < s->at[k + 1]; i++)
        f->sum[s->row[i]] = s->scratch[order[s->row[i]]];
    for (uint32_t m = f->head[k], next; m != KUA__NO_ID; m = next) {
        next = f->next[m];
        float give = s->value[f->now[m]] * s->d[m];
        pivot -= give * s->value[f->now[m]];
        for (size_t i = ++f->now[m]; i < s->at[m + 1]; i++)
            f->sum[s->row[i]] -= give * s->value[i];
        file_under(s, f, m);
    }
    if (!(pivot > 0))
        return kua__fail(KUA_INVALID, "a matrix is not positive definite (pivot %g)",
                         (double)pivot);
    s->d[k] = pivot;
    for (size_t i = s->at[k]; i < s->at[k + 1]; i++)
        s->value[i] = f->sum[s->row[i]] / pivot;
    f->now[k] = s->at[k];
    file_under(s, f, k);
    return KUA_OK;
}

static kua_status factor_sparse(sparse *s)
{
    factor f = {0};
    kua_status st = KUA__NEW_ARRAY(&s->value, s->nonzeros, "a sparse factor");
    if (!st) st = KUA__NEW_ARRAY(&s->d, s->n1, "a sparse factor");
    if (!st) st = KUA__NEW_ZEROED(&f.sum, s->n, "a column");
    if (!st) st = KUA__NEW_ARRAY(&f.head, s->n1, "a sparse factor");
    if (!st) st = KUA__NEW_ARRAY(&f.next, s->n1, "a sparse factor");
    if (!st) st = KUA__NEW_ARRAY(&f.now, s->n1, "a sparse factor");
    if (!st) memset(f.head, 0xff, s->n1 * sizeof(*f.head));
    for (uint32_t k = 0; !st && k < s->n1; k++)
        st = factor_column(s, &f, k);
    kua__free(f.sum);
    kua__free(f.head);
    kua__free(f.next);
    kua__free(f.now);
    return st;
}

/* ---- S ---- */

typedef struct schur {
    sparse *s;
    size_t *at;       /* [n2 + 1] columns of L that reach a row of 2 */
    uint32_t *column; /* and where: index into s->row and s->value */
    size_t *where;
} schur;

static kua_status list_rows(schur *c)
{
    sparse *s = c->s;
    size_t n = 0;
    KUA__TRY(KUA__NEW_ZEROED(&c->at, s->n2 + 2, "a sparse factor"));
    for (size_t i = 0; i < s->nonzeros; i++) {
        if (s->row[i] < s->n1) continue;
        c->at[s->row[i] - s->n1 + 2]++;
        n++;
    }
    for (size_t i = 0; i < s->n2; i++)
        c->at[i + 2] += c->at[i + 1];
    KUA__TRY(KUA__NEW_ARRAY(&c->column, n, "a sparse factor"));
    KUA__TRY(KUA__NEW_ARRAY(&c->where, n, "a sparse factor"));
    for (uint32_t k = 0; k < s->n1; k++) {
        for (size_t i = s->at[k]; i < s->at[k + 1]; i++) {
            if (s->row[i] < s->n1) continue;
            size_t to = c->at[s->row[i] - s->n1 + 1]++;
            c->column[to] = k;
            c->where[to] = i;
        }
    }
    return KUA_OK;
}

/* Lower triangle of rows [first, last). */
static void schur_rows(void *ctx, int thread, size_t first, size_t last)
{
    const schur *c = ctx;
    const sparse *s = c->s;
    float *out = s->scratch + (size_t)thread * s->n;
    for (size_t r = first; r < last; r++) {
        float *row = s->s + r * s->n2;
        const uint32_t *order = s->problem->order + s->n1;
        s->problem->row(s->problem->ctx, order[r], out);
        for (size_t j = 0; j <= r; j++)
            row[j] = out[order[j]];
        for (size_t k = c->at[r]; k < c->at[r + 1]; k++) {
            uint32_t column = c->column[k];
            float give = s->value[c->where[k]] * s->d[column];
            /* Of this column the rows up to r: they end where r itself stands. */
            for (size_t i = c->where[k] + 1; i-- > s->at[column] && s->row[i] >= s->n1;)
                row[s->row[i] - s->n1] -= give * s->value[i];
        }
    }
}

static kua_status make_schur(sparse *s)
{
    schur c = {.s = s};
    kua_status st = list_rows(&c);
    if (!st) st = KUA__NEW_ARRAY(&s->s, KUA__MAX(s->n1, s->n2) * s->n2, "a dense matrix");
    if (!st) kua__parallel_chunks(s->n2, 16, schur_rows, &c);
    kua__free(c.at);
    kua__free(c.column);
    kua__free(c.where);
    return st;
}

/* ---- columns ---- */

/* x[k] := y[k] / d[k] - sum over i of L[i,k] x[i], from the last sparse row up; y is in x. */
static void solve_back(const sparse *s, float *x)
{
    for (size_t k = s->n1; k-- > 0;) {
        float *row = x + k * WIDTH;
        for (size_t i = s->at[k]; i < s->at[k + 1]; i++)
            s->kernels->axpy(row, x + (size_t)s->row[i] * WIDTH, -s->value[i], WIDTH);
    }
}

static void dense_columns(void *ctx, int thread, size_t first, size_t last)
{
    const sparse *s = ctx;
    float *x = s->scratch + (size_t)thread * s->n * WIDTH;
    size_t width = last - first;
    memset(x, 0, s->n * WIDTH * sizeof(*x));
    for (size_t i = 0; i < s->n2; i++)
        memcpy(x + (s->n1 + i) * WIDTH, s->s + i * s->n2 + first, width * sizeof(*x));
    solve_back(s, x);
    for (size_t k = 0; k < s->n1; k++)
        memcpy(s->s + k * s->n2 + first, x + k * WIDTH, width * sizeof(*x));
    s->problem->columns(s->problem->ctx, s->n1 + first, width, x);
}

/* y = L^-1 e for columns first .. last, divided by d; only rows from `first` on are not 0. */
static void solve_forward(const sparse *s, size_t first, size_t last, float *x)
{
    for (size_t c = first; c < last; c++)
        x[c * WIDTH + c - first] = 1;
    for (size_t k = first; k < s->n1; k++) {
        float *row = x + k * WIDTH, any = 0;
        for (size_t c = 0; c < WIDTH; c++)
            any += row[c] != 0 ? 1.0F : 0.0F;
        if (any == 0) continue;
        for (size_t i = s->at[k]; i < s->at[k + 1] && s->row[i] < s->n1; i++)
            s->kernels->axpy(x + (size_t)s->row[i] * WIDTH, row, -s->value[i], WIDTH);
        s->kernels->scale(row, row, 1 / s->d[k], WIDTH);
    }
}

static void sparse_columns(void *ctx, int thread, size_t first, size_t last)
{
    const sparse *s = ctx;
    float *x = s->scratch + (size_t)thread * s->n * WIDTH;
    size_t width = last - first;
    memset(x, 0, s->n * WIDTH * sizeof(*x));
    solve_forward(s, first, last, x);
    for (size_t i = 0; i < s->n2; i++) {
        for (size_t c = 0; c < width; c++)
            x[(s->n1 + i) * WIDTH + c] = s->s[(first + c) * s->n2 + i];
    }
    solve_back(s, x);
    s->problem->columns(s->problem->ctx, first, width, x);
}

static kua_status make_columns(sparse *s, const kua_monitor *monitor)
{
    kua__free(s->scratch);
    s->scratch = NULL;
    size_t threads = (size_t)kua__threads();
    KUA__TRY(KUA__NEW_ARRAY(&s->scratch, threads * s->n * WIDTH, "columns"));
    kua__parallel_chunks(s->n2, WIDTH, dense_columns, s);
    KUA__TRY(kua__progress(monitor, "weights", s->n2, s->n + 1));
    kua__parallel_chunks(s->n1, WIDTH, sparse_columns, s);
    return kua__progress(monitor, "weights", s->n + 1, s->n + 1);
}

kua_status kua__inverse_columns(kua__columns_problem *problem, const kua_monitor *monitor)
{
    sparse s = {.problem = problem, .n = problem->n, .kernels = kua__kernels_get()};
    size_t threads = (size_t)kua__threads();
    assert(problem->order && problem->n < KUA__NO_ID);
    kua_status st;
    KUA__GOTO(st, KUA__NEW_ARRAY(&s.scratch, threads * s.n, "rows"));
    KUA__GOTO(st, find_order(&s));
    KUA__GOTO(st, factor_sparse(&s));
    KUA__GOTO(st, make_schur(&s));
    double start = kua__seconds();
    KUA__GOTO(st, kua__inverse_spd(s.s, s.n2, s.n2, monitor));
    problem->dense_seconds = kua__seconds() - start;
    st = make_columns(&s, monitor);
done:
    kua__free(s.bits);
    kua__free(s.degree);
    kua__free(s.at);
    kua__free(s.place_of);
    kua__free(s.row);
    kua__free(s.value);
    kua__free(s.d);
    kua__free(s.s);
    kua__free(s.scratch);
    return st;
}
