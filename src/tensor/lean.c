/* lean.c - products with weights in a mapped file: which rows, by whom, one or many at a time.
 *
 *     few rows of x     each row of W meets them in its own type; where there is an instruction for
 *                       it, whole numbers of 4 or 8 bits meet x rounded to 21 bits
 *     many              KUA__LEAN_PANEL rows of W are widened to f32, then oneDNN multiplies; what
 *                       widening costs is shared by the rows of x
 *
 * A part is a range of columns of y, that is of rows of W; cut by size alone, so results repeat.
 */
#include "tensor/lean.h"

#include <assert.h>
#include <string.h>

#include "tensor/gemm.h"
#include "tensor/lean_kernels.h"

enum { FEW = 4 }; /* rows of x, up to which widening does not pay */

struct kua__lean {
    const kua__tensor *tensor[KUA__LEAN_STACK];
    size_t n, out, in, parts;
    const float *bias;
    bool add;
};

/* ---- kernels ---- */

static const kua__lean_kernels none;

const kua__lean_kernels *kua__lean_kernels_of(kua__isa isa)
{
    if (!kua__kernels_of(isa)) return &none;
#if defined(__x86_64__)
    if (isa == KUA__ISA_AVX512) return kua__lean_kernels_avx512();
    if (isa == KUA__ISA_AVX2) return kua__lean_kernels_avx2();
#endif
    return &none;
}

kua__lean_dot_fn kua__lean_dot_of(kua__isa isa, kua__dtype type)
{
    assert((unsigned)type < KUA__DTYPE_COUNT);
    return kua__lean_kernels_of(isa)->dot[type];
}

static const kua__lean_kernels *kernels(void)
{
    return kua__lean_kernels_of(kua__kernels_get()->isa);
}

/* ---- making ---- */

kua_status kua__lean_create(const kua__lean_options *options, kua__lean **out)
{
    assert(options && out && options->n >= 1 && options->n <= KUA__LEAN_STACK);
    assert(options->parts >= 1);
    *out = NULL;
    kua__lean *lean = NULL;
    KUA__TRY(KUA__NEW_ZEROED(&lean, 1, "a product"));
    lean->n = options->n;
    lean->in = options->tensor[0]->dim[1];
    lean->bias = options->bias;
    lean->add = options->add;
    lean->parts = options->parts;
    for (size_t i = 0; i < lean->n; i++) {
        const kua__tensor *t = options->tensor[i];
        assert(t && t->rank == 2 && t->dim[1] == lean->in);
        if (t->turned) {
            kua__free(lean);
            return kua__fail(KUA_FORMAT,
                             "tensor \"%s\" lies as [in,out] and cannot stay in its file", t->name);
        }
        lean->tensor[i] = t;
        lean->out += t->dim[0];
    }
    *out = lean;
    return KUA_OK;
}

void kua__lean_free(kua__lean *lean)
{
    kua__free(lean);
}

size_t kua__lean_panel(const kua__lean *lean)
{
    assert(lean);
    return KUA__LEAN_PANEL * lean->in;
}

/* ---- running ---- */

/* Rows of one tensor: `row` of it is column `column` of y. */
typedef struct range {
    const kua__tensor *t;
    size_t row, n, column;
} range;

static const void *row_at(const kua__tensor *t, size_t row)
{
    size_t bytes = t->dim[1] / kua__dtype_block(t->dtype) * kua__dtype_size(t->dtype);
    return (const char *)t->data + row * bytes;
}

static void widen(const kua__tensor *t, size_t row, size_t n, float *out)
{
    void (*fn)(const void *, float *, size_t) = kernels()->widen[t->dtype];
    if (fn)
        fn(row_at(t, row), out, n * t->dim[1]);
    else
        kua__tensor_to_f32(t, row * t->dim[1], n * t->dim[1], out);
}

/* Where the sum of row `row` of W and row i of x belongs. */
static void put(const kua__lean *lean, const range *r, size_t row, size_t i, float sum, float *y)
{
    float *to = y + i * lean->out + r->column + row;
    *to = (lean->add ? *to : 0) + sum + (lean->bias ? lean->bias[r->column + row] : 0);
}

/* Rows of x are rounded to 21 bits, on the panel. */
static void run_rounded(const kua__lean *lean, const range *r, size_t rows, const float *x,
                        float *y, float *panel)
{
    const kua__lean_kernels *k = kernels();
    size_t blocks = lean->in / KUA__LEAN_BLOCK;
    kua__lean_block *rounded = (kua__lean_block *)(void *)panel;
    for (size_t i = 0; i < rows; i++)
        k->round(x + i * lean->in, rounded + i * blocks, lean->in);
    for (size_t j = 0; j < r->n; j++) {
        const void *row = row_at(r->t, r->row + j);
        for (size_t i = 0; i < rows; i++)
            put(lean, r, j, i, k->dot_rounded[r->t->dtype](row, rounded + i * blocks, lean->in), y);
    }
}

static void run_few(const kua__lean *lean, const range *r, size_t rows, const float *x, float *y,
                    float *panel)
{
    kua__lean_dot_fn dot = kernels()->dot[r->t->dtype];
    const kua__kernels *k = kua__kernels_get();
    const float *lies = kua__tensor_f32(r->t);
    for (size_t j = 0; j < r->n; j++) {
        const float *w = lies ? lies + (r->row + j) * lean->in : panel;
        if (!lies && !dot) widen(r->t, r->row + j, 1, panel);
        for (size_t i = 0; i < rows; i++) {
            const float *from = x + i * lean->in;
            float sum = !lies && dot ? dot(row_at(r->t, r->row + j), from, lean->in)
                                     : k->dot(w, from, lean->in);
            put(lean, r, j, i, sum, y);
        }
    }
}

static kua_status run_many(const kua__lean *lean, const range *r, size_t rows, const float *x,
                           float *y, float *panel)
{
    for (size_t j = 0; j < r->n; j += KUA__LEAN_PANEL) {
        size_t here = KUA__MIN(r->n - j, (size_t)KUA__LEAN_PANEL);
        float *to = y + r->column + j;
        widen(r->t, r->row + j, here, panel);
        KUA__TRY(kua__gemm(false, true, rows, here, lean->in, 1, x, lean->in, panel, lean->in,
                           lean->add ? 1 : 0, to, lean->out));
        for (size_t i = 0; lean->bias && i < rows; i++) {
            float *row = to + i * lean->out;
            kua__kernels_get()->add(row, row, lean->bias + r->column + j, here);
        }
    }
    return KUA_OK;
}

kua_status kua__lean_run_part(const kua__lean *lean, size_t part, size_t rows, const float *x,
                              float *y, float *panel)
{
    assert(lean && part < lean->parts && x && y && panel);
    /* FEW rounded rows of x fit on the panel. */
    static_assert(FEW * sizeof(kua__lean_block) <=
                      KUA__LEAN_PANEL * KUA__LEAN_BLOCK * sizeof(float),
                  "room for rounded rows");
    size_t first = lean->out * part / lean->parts, last = lean->out * (part + 1) / lean->parts;
    for (size_t i = 0, at = 0; i < lean->n; at += lean->tensor[i++]->dim[0]) {
        size_t from = KUA__MAX(first, at), to = KUA__MIN(last, at + lean->tensor[i]->dim[0]);
        if (from >= to) continue;
        range r = {lean->tensor[i], from - at, to - from, from};
        if (rows <= FEW && kernels()->dot_rounded[r.t->dtype])
            run_rounded(lean, &r, rows, x, y, panel);
        else if (rows <= FEW)
            run_few(lean, &r, rows, x, y, panel);
        else
            KUA__TRY(run_many(lean, &r, rows, x, y, panel));
    }
    return KUA_OK;
}
