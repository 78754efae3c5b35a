/* gemm.c - f32 matrix products: oneDNN's sgemm on each thread's share of C.
 *
 * Why cut here: oneDNN brings OpenMP threads of its own; two pools on the same cores disturb one
 * another, and its cut depends on the number it finds free. So OpenMP is held to one thread (per
 * calling thread, the setting is thread-local) and C is cut by us, along its longer side, in units
 * that suit oneDNN's kernel: 8 rows by 48 columns. Along k nothing is cut: sums keep one order.
 */
#include "tensor/gemm.h"

#include <assert.h>
#include <dnnl.h>
#include <stdatomic.h>

enum {
    ROW_UNIT = 8,
    COL_UNIT = 48,
    SMALL_WORK = 1 << 17 /* multiplications below which waking threads costs more than it gives */
};

extern void omp_set_num_threads(int n); /* libgomp, which oneDNN stands on */

void kua__dnnl_single_thread(void)
{
    static _Thread_local bool done;
    if (done) return;
    omp_set_num_threads(1);
    done = true;
}

typedef struct gemm_job {
    bool ta, tb;
    size_t m, n, k, lda, ldb, ldc;
    float alpha, beta;
    const float *a, *b;
    float *c;
    bool by_rows;
    _Atomic int failed; /* a dnnl_status_t */
} gemm_job;

/* Rows (or columns) [first, last) of C. */
static void gemm_part(gemm_job *job, size_t first, size_t last)
{
    assert(first < last && last <= (job->by_rows ? job->m : job->n));
    const float *a = job->a, *b = job->b;
    float *c = job->c;
    size_t m = job->m, n = job->n;
    if (job->by_rows) {
        a += job->ta ? first : first * job->lda;
        c += first * job->ldc;
        m = last - first;
    } else {
        b += job->tb ? first * job->ldb : first;
        c += first;
        n = last - first;
    }
    kua__dnnl_single_thread();
    dnnl_status_t st =
        dnnl_sgemm(job->ta ? 'T' : 'N', job->tb ? 'T' : 'N', (dnnl_dim_t)m, (dnnl_dim_t)n,
                   (dnnl_dim_t)job->k, job->alpha, a, (dnnl_dim_t)job->lda, b, (dnnl_dim_t)job->ldb,
                   job->beta, c, (dnnl_dim_t)job->ldc);
    if (st != dnnl_success) job->failed = (int)st;
}

static void gemm_task(void *ctx, size_t first, size_t last)
{
    gemm_job *job = ctx;
    size_t unit = job->by_rows ? ROW_UNIT : COL_UNIT, end = job->by_rows ? job->m : job->n;
    gemm_part(job, first * unit, KUA__MIN(last * unit, end));
}

/* sgemm refuses k = 0, where C = beta C. */
static void scale_rows(size_t m, size_t n, float beta, float *c, size_t ldc)
{
    for (size_t i = 0; i < m; i++) {
        for (size_t j = 0; j < n; j++)
            c[i * ldc + j] = beta == 0 ? 0 : beta * c[i * ldc + j];
    }
}

kua_status kua__gemm(bool ta, bool tb, size_t m, size_t n, size_t k, float alpha, const float *a,
                     size_t lda, const float *b, size_t ldb, float beta, float *c, size_t ldc)
{
    assert(lda >= (ta ? m : k) && ldb >= (tb ? k : n) && ldc >= n);
    if (m == 0 || n == 0) return KUA_OK;
    assert(c && (k == 0 || (a && b)));
    if (k == 0) {
        scale_rows(m, n, beta, c, ldc);
        return KUA_OK;
    }
    gemm_job job = {ta, tb, m, n, k, lda, ldb, ldc, alpha, beta, a, b, c, m >= n, 0};
    /* Small ones on this thread, uncut: still a function of the shape alone. */
    if (m * n * k <= SMALL_WORK) {
        gemm_part(&job, 0, job.by_rows ? m : n);
    } else {
        size_t unit = job.by_rows ? ROW_UNIT : COL_UNIT;
        kua__parallel_for(((job.by_rows ? m : n) + unit - 1) / unit, 1, gemm_task, &job);
    }
    if (job.failed == dnnl_out_of_memory)
        return kua__fail_nomem(m * n * sizeof(float), "a matrix product's scratch");
    if (job.failed)
        return kua__fail(KUA_INTERNAL, "gemm: oneDNN gave status %d for %zux%zu by %zux%zu",
                         (int)job.failed, m, k, k, n);
    return KUA_OK;
}
