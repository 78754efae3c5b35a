/* tensor.c - what lies in a file, as floats.
 *
 * A plain element is read through memcpy, since offsets in a file need not be aligned. Of a
 * quantised tensor one block at a time is turned into floats, straight into the caller's memory
 * where the whole block is wanted. The arithmetic of a block is the reference's, operation by
 * operation in f32, so that results are the same to the bit (tools/record-quants.py).
 *
 * Invariants of every tensor that a reader hands out
 *   I1  [data, data + bytes) lies inside the mapping; bytes = count / block * size of its type.
 *   I2  where the type is quantised, the last dimension is a multiple of the block: no block is in
 *       two rows.
 */
#include "tensor/tensor.h"

#include <assert.h>
#include <string.h>

#include "tensor/quant.h"

static const struct {
    const char *name;
    size_t block, size;
} dtypes[KUA__DTYPE_COUNT] = {
#define X(name, block, size) {#name, block, size},
    KUA__DTYPE_MAP(X)
#undef X
};

const char *kua__dtype_name(kua__dtype dtype)
{
    assert((unsigned)dtype < KUA__DTYPE_COUNT);
    return dtypes[dtype].name;
}

size_t kua__dtype_block(kua__dtype dtype)
{
    assert((unsigned)dtype < KUA__DTYPE_COUNT);
    return dtypes[dtype].block;
}

size_t kua__dtype_size(kua__dtype dtype)
{
    assert((unsigned)dtype < KUA__DTYPE_COUNT);
    return dtypes[dtype].size;
}

/* ---- shapes ---- */

bool kua__tensor_measure(kua__tensor *tensor)
{
    assert(tensor && tensor->rank <= KUA__RANK_MAX && (unsigned)tensor->dtype < KUA__DTYPE_COUNT);
    size_t block = dtypes[tensor->dtype].block, count = 1, bytes = 0;
    size_t last = tensor->rank ? tensor->dim[tensor->rank - 1] : 1;
    bool overflow = false;
    for (size_t i = 0; i < tensor->rank; i++)
        overflow = overflow || __builtin_mul_overflow(count, tensor->dim[i], &count);
    overflow =
        overflow || __builtin_mul_overflow(count / block, dtypes[tensor->dtype].size, &bytes);
    tensor->count = count;
    tensor->bytes = bytes;
    return !overflow && last % block == 0;
}

const char *kua__shape_text(size_t rank, const size_t *dim, char out[KUA__SHAPE_TEXT_MAX])
{
    assert(rank <= KUA__RANK_MAX && (dim || rank == 0) && out);
    size_t at = 0;
    out[at++] = '[';
    for (size_t i = 0; i < rank; i++)
        at += (size_t)snprintf(out + at, KUA__SHAPE_TEXT_MAX - at, "%s%zu", i ? "," : "", dim[i]);
    snprintf(out + at, KUA__SHAPE_TEXT_MAX - at, "]");
    return out;
}

kua_status kua__tensor_expect(const char *file, const char *name, const kua__tensor *t, size_t rank,
                              const size_t *dim)
{
    assert(file && name && rank <= KUA__RANK_MAX && (dim || rank == 0));
    if (!t) return kua__fail(KUA_NOTFOUND, "%s: no tensor \"%s\"", file, name);
    if (t->rank != rank || (rank && memcmp(t->dim, dim, rank * sizeof(*dim)) != 0)) {
        char has[KUA__SHAPE_TEXT_MAX], wants[KUA__SHAPE_TEXT_MAX];
        return kua__fail(KUA_SHAPE, "%s: tensor \"%s\" is %s, expected %s", file, name,
                         kua__shape_text(t->rank, t->dim, has), kua__shape_text(rank, dim, wants));
    }
    return KUA_OK;
}

/* ---- plain numbers ---- */

static float bf16_to_float(uint16_t b)
{
    union {
        uint32_t bits;
        float value;
    } u = {(uint32_t)b << 16};
    return u.value;
}

static float same(float x)
{
    return x;
}

#define CONVERT(type, to_float)                                                                    \
    for (size_t i = 0; i < n; i++) {                                                               \
        type x;                                                                                    \
        memcpy(&x, from + i * sizeof(x), sizeof(x));                                               \
        out[i] = to_float(x);                                                                      \
    }                                                                                              \
    break

static void plain_to_f32(const kua__tensor *tensor, size_t first, size_t n, float *out)
{
    assert(dtypes[tensor->dtype].block == 1);
    const char *from = (const char *)tensor->data + first * dtypes[tensor->dtype].size;
    switch (tensor->dtype) {
    case KUA__F32:
        CONVERT(float, same);
    case KUA__F16:
        CONVERT(uint16_t, kua__half_to_float);
    case KUA__BF16:
        CONVERT(uint16_t, bf16_to_float);
    case KUA__I8:
        CONVERT(int8_t, (float));
    case KUA__U8:
    case KUA__BOOL:
        CONVERT(uint8_t, (float));
    case KUA__I32:
        CONVERT(int32_t, (float));
    case KUA__I64:
        CONVERT(int64_t, (float));
    default:
        assert(!"a plain type out of the list");
    }
}

/* ---- blocks ---- */

static void blocks_to_f32(const kua__tensor *tensor, size_t first, size_t n, float *out)
{
    size_t block = dtypes[tensor->dtype].block, size = dtypes[tensor->dtype].size;
    assert(block > 1 && block <= KUA__BLOCK_MAX);
    const uint8_t *data = tensor->data;
    float whole[KUA__BLOCK_MAX];
    while (n > 0) {
        size_t inside = first % block, part = KUA__MIN(n, block - inside);
        const uint8_t *from = data + first / block * size;
        if (part == block) {
            kua__block_to_f32(tensor->dtype, from, out);
        } else {
            kua__block_to_f32(tensor->dtype, from, whole);
            memcpy(out, whole + inside, part * sizeof(*out));
        }
        first += part;
        out += part;
        n -= part;
    }
}

void kua__tensor_to_f32(const kua__tensor *tensor, size_t first, size_t n, float *out)
{
    assert(tensor && (unsigned)tensor->dtype < KUA__DTYPE_COUNT);
    assert(first <= tensor->count && n <= tensor->count - first && (out || n == 0));
    if (dtypes[tensor->dtype].block == 1)
        plain_to_f32(tensor, first, n, out);
    else
        blocks_to_f32(tensor, first, n, out);
}

const float *kua__tensor_f32(const kua__tensor *tensor)
{
    assert(tensor);
    bool aligned = (uintptr_t)tensor->data % sizeof(float) == 0;
    return tensor->dtype == KUA__F32 && aligned && !tensor->turned ? tensor->data : NULL;
}

/* ---- matrices ---- */

/* A strip of columns at a time: what is read lies together, and what is written stays in the cache
 * until its line is full. */
static void turn(const kua__tensor *tensor, size_t rows, size_t cols, float *out)
{
    enum { STRIP = 64 };
    float piece[STRIP];
    for (size_t r = 0; r < rows; r += STRIP) {
        size_t n = KUA__MIN((size_t)STRIP, rows - r);
        for (size_t c = 0; c < cols; c++) {
            plain_to_f32(tensor, c * rows + r, n, piece);
            for (size_t i = 0; i < n; i++)
                out[(r + i) * cols + c] = piece[i];
        }
    }
}

void kua__tensor_matrix_f32(const kua__tensor *tensor, size_t rows, size_t cols, float *out)
{
    assert(tensor && out && tensor->count == rows * cols);
    if (tensor->turned) {
        assert(tensor->rank == 2 && tensor->dim[0] == rows && tensor->dim[1] == cols);
        turn(tensor, rows, cols, out);
    } else {
        kua__tensor_to_f32(tensor, 0, tensor->count, out);
    }
}

/* ---- by name ---- */

static int by_tensor_name(const void *a, const void *b, void *ctx)
{
    const kua__tensor *t = ctx;
    return strcmp(t[*(const uint32_t *)a].name, t[*(const uint32_t *)b].name);
}

void kua__tensors_sort(const kua__tensor *all, size_t n, uint32_t *by_name)
{
    assert(by_name || n == 0);
    for (size_t i = 0; i < n; i++)
        by_name[i] = (uint32_t)i;
    if (n) qsort_r(by_name, n, sizeof(*by_name), by_tensor_name, (void *)(uintptr_t)all);
}

const kua__tensor *kua__tensors_find(const kua__tensor *all, size_t n, const uint32_t *by_name,
                                     const char *name)
{
    assert(name && (by_name || n == 0));
    size_t low = 0, high = n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        const kua__tensor *t = &all[by_name[mid]];
        int order = strcmp(name, t->name);
        if (order == 0) return t;
        if (order < 0)
            high = mid;
        else
            low = mid + 1;
    }
    return NULL;
}
