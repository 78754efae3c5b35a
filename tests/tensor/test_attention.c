/* test_attention.c - every attention kernel against the formula in double precision.
 *
 * Method: lengths around every block and vector border, head dimensions with and without a vector
 * kernel, heads that share keys, causal with and without earlier tokens, scores so large that a
 * softmax without its shift would overflow. Scratch memory is filled with not-a-number first:
 * whatever a kernel reads it must have written.
 */
#include "testlib.h"

#include <math.h>
#include <string.h>

#include "tensor/attention.h"

typedef struct shape {
    size_t heads, kv_heads, dim;
} shape;

static const shape shapes[] = {{3, 3, 32}, {2, 2, 64}, {1, 1, 16}, {2, 2, 48}, {2, 2, 5},
                               {1, 1, 1},  {6, 2, 32}, {4, 1, 64}, {9, 3, 16}, {4, 2, 3}};
static const size_t lengths[] = {0,  1,  2,  3,  4,  7,  8,  9,   15, 16,
                                 17, 20, 31, 32, 33, 47, 64, 100, 512};

/* Output of head h, token i: out[dim]. */
static void formula(const kua__attend_options *a, const kua__attend_rows *rows, size_t h, size_t i,
                    double *out)
{
    size_t group = h / (a->heads / a->kv_heads);
    size_t n = a->causal ? rows->keys - rows->n + i + 1 : rows->keys;
    const float *q = rows->q + i * rows->q_row + h * a->dim;
    double score[600], most = -INFINITY, sum = 0;
    for (size_t j = 0; j < n; j++) {
        const float *k = rows->k + j * rows->kv_row + group * a->dim;
        score[j] = 0;
        for (size_t d = 0; d < a->dim; d++)
            score[j] += (double)q[d] * k[d];
        score[j] *= a->scale;
        most = fmax(most, score[j]);
    }
    for (size_t j = 0; j < n; j++)
        sum += score[j] = exp(score[j] - most);
    for (size_t c = 0; c < a->dim; c++) {
        out[c] = 0;
        for (size_t j = 0; j < n; j++)
            out[c] += score[j] / sum * rows->v[j * rows->kv_row + group * a->dim + c];
    }
}

static void fill(float *x, size_t n, float scale, uint64_t seed)
{
    kua__rng rng = kua__rng_make(seed, 1);
    for (size_t i = 0; i < n; i++)
        x[i] = scale * kua__rng_normal(&rng);
}

static double largest_difference(const kua__attend_options *a, const kua__attend_rows *rows,
                                 const float *out)
{
    double largest = 0, expected[64];
    for (size_t i = 0; i<rows->n; i += rows->n> 100 ? 37 : 1) {
        for (size_t h = 0; h < a->heads; h++) {
            formula(a, rows, h, i, expected);
            for (size_t c = 0; c < a->dim; c++) {
                double d = fabs(expected[c] - out[(i * a->heads + h) * a->dim + c]);
                largest = d <= largest ? largest : d; /* not-a-number sticks */
            }
        }
    }
    return largest;
}

/* n queries, the last of past + n tokens. */
static void check(kua__isa isa, shape s, size_t n, size_t past, bool causal, float size)
{
    kua__attend_options a = {s.heads, s.kv_heads, s.dim,  1 / sqrtf((float)s.dim),
                             causal,  0,          s.heads};
    size_t width = s.heads * s.dim, kv = s.kv_heads * s.dim, row = width + 2 * kv, keys = n + past;
    size_t room = kua__attention_scratch(&a, keys);
    float *qkv = kua__malloc((keys * row + 1) * sizeof(float)),
          *out = kua__malloc((n * width + 1) * sizeof(float));
    float *scratch = kua__malloc((room + 1) * sizeof(float));
    assert_true(qkv && out && scratch);
    fill(qkv, keys * row, size, n + s.dim);
    memset(scratch, 0xff, (room + 1) * sizeof(float));
    out[n * width] = 7;
    kua__attend_rows rows = {qkv + past * row, qkv + width, qkv + width + kv, row, row, n, keys};
    kua__attend_of(isa, s.dim)(&a, &rows, out, scratch);
    assert_true(out[n * width] == 7);
    assert_true(isnan(scratch[room]));
    assert_near(largest_difference(&a, &rows, out), 0, size > 2 ? 2e-4 * size : 5e-6);
    kua__free(qkv);
    kua__free(out);
    kua__free(scratch);
}

/* Both sides, causal, and causal behind tokens of a cache. */
static void check_all(kua__isa isa, shape s, size_t n, float size)
{
    check(isa, s, n, 0, false, size);
    check(isa, s, n, 0, true, size);
    for (size_t past = 1; past < (n > 64 ? 4 : 80); past = past * 3 + 1)
        check(isa, s, n, past, true, size);
}

static void kernels_follow_the_formula(void **state)
{
    (void)state;
    for (int isa = 0; isa < KUA__ISA_COUNT; isa++) {
        if (!kua__kernels_of((kua__isa)isa)) {
            print_message("skipped: this processor lacks instruction set %d\n", isa);
            continue;
        }
        for (size_t i = 0; i < KUA__COUNT(shapes); i++) {
            for (size_t k = 0; k < KUA__COUNT(lengths); k++)
                check_all((kua__isa)isa, shapes[i], lengths[k], 1);
        }
    }
}

static void large_scores_do_not_overflow(void **state)
{
    (void)state;
    for (int isa = 0; isa < KUA__ISA_COUNT; isa++) {
        if (kua__kernels_of((kua__isa)isa)) check_all((kua__isa)isa, shapes[0], 33, 40);
    }
}

static void the_choice_is_the_best_there_is(void **state)
{
    (void)state;
    kua__isa isa = kua__kernels_get()->isa;
    assert_true(kua__attend_get(32) == kua__attend_of(isa, 32));
    assert_true(kua__attend_get(5) == kua__attend_plain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kernels_follow_the_formula),
        cmocka_unit_test(large_scores_do_not_overflow),
        cmocka_unit_test(the_choice_is_the_best_there_is),
    };
    return cmocka_run_group_tests(tests, test_no_leaks_begin, test_no_leaks_end);
}
