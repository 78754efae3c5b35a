/* packed_low.c - weights of 16 and 8 bits laid out for their kernels, and which kernel that is.
 *
 * Columns of int8 have a scale each: the largest of a column's numbers becomes 127. Rows of x get
 * theirs when they come, since only then is known how large they are. The sums of the columns undo
 * the shift that makes x unsigned.
 */
#include "tensor/packed_low.h"

#include <assert.h>
#include <math.h>
#include <string.h>

kua__low_fn kua__low_of(kua__precision precision, kua__isa isa)
{
    if (!kua__kernels_of(isa)) return NULL;
#if defined(__x86_64__)
    if (precision == KUA__PRECISION_BF16)
        return isa == KUA__ISA_AVX512 && __builtin_cpu_supports("avx512bf16") ? kua__low_bf16_avx512
                                                                              : NULL;
    if (precision == KUA__PRECISION_F32) return isa == KUA__ISA_AVX512 ? kua__low_f32_avx512 : NULL;
    if (isa == KUA__ISA_AVX512) return kua__low_int8_avx512;
    if (isa == KUA__ISA_AVX2) return kua__low_int8_avx2;
#endif
    return precision == KUA__PRECISION_INT8 ? kua__low_int8_plain : NULL;
}

/* Number k of column j, as the kernels find it. */
static void put_int8(kua__low *w, size_t j, const float *column)
{
    float most = 0;
    for (size_t k = 0; k < w->in; k++)
        most = fmaxf(most, fabsf(column[k]));
    float scale = most > 0 ? most / 127 : 1, inverse = 1 / scale;
    int8_t *to = (int8_t *)(w->panel + j / KUA__LOW_COLS * w->words * KUA__LOW_COLS) +
                 4 * (j % KUA__LOW_COLS);
    long sum = 0;
    for (size_t k = 0; k < w->in; k++) {
        long q = lrintf(column[k] * inverse);
        to[k / 4 * 4 * KUA__LOW_COLS + k % 4] = (int8_t)KUA__MAX(-127, KUA__MIN(127, q));
        sum += KUA__MAX(-127, KUA__MIN(127, q));
    }
    w->scale[j] = scale;
    w->sum[j] = (float)sum;
}

static void put_bf16(kua__low *w, size_t j, const float *column)
{
    const kua__kernels *kernels = kua__kernels_get();
    uint16_t *to = (uint16_t *)(w->panel + j / KUA__LOW_COLS * w->words * KUA__LOW_COLS) +
                   2 * (j % KUA__LOW_COLS);
    for (size_t k = 0; k < w->in; k++)
        kernels->to_bf16(to + k / 2 * 2 * KUA__LOW_COLS + k % 2, column + k, 1);
}

static void put_f32(kua__low *w, size_t j, const float *column)
{
    uint32_t *to = w->panel + j / KUA__LOW_COLS * w->words * KUA__LOW_COLS + j % KUA__LOW_COLS;
    for (size_t k = 0; k < w->in; k++)
        memcpy(to + k * KUA__LOW_COLS, column + k, sizeof(*to));
}

static kua_status make_room(kua__low *w)
{
    size_t cols = w->panels * KUA__LOW_COLS, n = cols * w->words;
    KUA__TRY(KUA__NEW_ZEROED(&w->panel, n, "packed weights"));
    KUA__TRY(KUA__NEW_ZEROED(&w->bias, cols, "packed weights"));
    w->bytes = n * sizeof(*w->panel) + cols * sizeof(float);
    if (w->precision != KUA__PRECISION_INT8) return KUA_OK;
    KUA__TRY(KUA__NEW_ZEROED(&w->scale, cols, "packed weights"));
    KUA__TRY(KUA__NEW_ZEROED(&w->sum, cols, "packed weights"));
    w->bytes += 2 * cols * sizeof(float);
    return KUA_OK;
}

kua_status kua__low_create(const kua__packed_options *o, kua__low **out)
{
    assert(o && o->weight && out);
    assert(o->in >= 1 && o->in <= KUA__LOW_IN_MAX);
    kua__low *w = NULL;
    *out = NULL;
    KUA__TRY(KUA__NEW_ZEROED(&w, 1, "packed weights"));
    static const size_t per_word[] = {1, 2, 4};
    *w = (kua__low){.precision = o->precision, .epilogue = o->epilogue, .out = o->out, .in = o->in};
    w->words = (o->in + per_word[o->precision] - 1) / per_word[o->precision];
    w->panels = (o->out + KUA__LOW_COLS - 1) / KUA__LOW_COLS;
    w->parts = KUA__MAX(KUA__MIN(o->parts, w->panels), (size_t)1);
    kua_status st = make_room(w);
    if (st) {
        kua__low_free(w);
        return st;
    }
    static void (*const put[])(kua__low *, size_t, const float *) = {put_f32, put_bf16, put_int8};
    for (size_t j = 0; j < w->out; j++)
        put[w->precision](w, j, o->weight + j * w->in);
    if (o->bias) memcpy(w->bias, o->bias, w->out * sizeof(*w->bias));
    *out = w;
    return KUA_OK;
}

void kua__low_free(kua__low *w)
{
    if (!w) return;
    kua__free(w->panel);
    kua__free(w->bias);
    kua__free(w->scale);
    kua__free(w->sum);
    kua__free(w);
}

size_t kua__low_scratch(const kua__low *w, size_t rows)
{
    assert(w && rows >= 1);
    /* A word of x each; the kernel of AVX2 keeps up to 4 rows at twice that. */
    size_t block = KUA__MAX(KUA__MIN(rows, (size_t)KUA__LOW_BLOCK), (size_t)8);
    return block * w->words + 16 * KUA__LOW_ROWS;
}

void kua__low_part(const kua__low *w, size_t part, size_t *first, size_t *last)
{
    assert(w && part < w->parts && first && last);
    *first = w->panels * part / w->parts;
    *last = w->panels * (part + 1) / w->parts;
}
