/* test_attention.c - every attention kernel against the formula in double precision.
 *
 * Method: lengths around every block and vector border, head dimensions with and without a vector
 * kernel, scores so large that a softmax without its shift would overflow. Scratch memory is filled
 * with not-a-number first: whatever a kernel reads it must have written.
 */
#include "testlib.h"

#include <math.h>
#include <string.h>

#include "tensor/attention.h"

typedef struct shape {
    size_t heads, dim;
} shape;

static const shape shapes[] = {{3, 32}, {2, 64}, {1, 16}, {2, 48}, {2, 5}, {1, 1}};
static const size_t lengths[] = {0,  1,  2,  3,  4,  7,  8,  9,   15, 16,
                                 17, 20, 31, 32, 33, 47, 64, 100, 512};

/* Output of head h, token i, coordinate c. */
static double formula(const kua__attend_options *a, size_t n, const float *qkv, size_t h, size_t i,
                      size_t c)
{
    size_t width = a->heads * a->dim, row = 3 * width;
    const float *q = qkv + i * row + h * a->dim;
    double score[512], most = -INFINITY, sum = 0, mixed = 0;
    for (size_t j = 0; j < n; j++) {
        const float *k = qkv + j * row + width + h * a->dim;
        score[j] = 0;
        for (size_t d = 0; d < a->dim; d++)
            score[j] += (double)q[d] * k[d];
        score[j] *= a->scale;
        most = fmax(most, score[j]);
    }
    for (size_t j = 0; j < n; j++) {
        double e = exp(score[j] - most);
        sum += e;
        mixed += e * qkv[j * row + 2 * width + h * a->dim + c];
    }
    return mixed / sum;
}

static void fill(float *x, size_t n, float scale, uint64_t seed)
{
    kua__rng rng = kua__rng_make(seed, 1);
    for (size_t i = 0; i < n; i++)
        x[i] = scale * kua__rng_normal(&rng);
}

static double largest_difference(const kua__attend_options *a, size_t n, const float *qkv,
                                 const float *out)
{
    double largest = 0;
    for (size_t i = 0; i<n; i += n> 100 ? 37 : 1) {
        for (size_t h = 0; h < a->heads; h++) {
            for (size_t c = 0; c < a->dim; c++) {
                double d =
                    fabs(formula(a, n, qkv, h, i, c) - out[i * a->heads * a->dim + h * a->dim + c]);
                largest = d <= largest ? largest : d; /* not-a-number sticks */
            }
        }
    }
    return largest;
}

static void check(kua__isa isa, shape s, size_t n, float size)
{
    kua__attend_options a = {s.heads, s.dim, 1 / sqrtf((float)s.dim), 0, s.heads};
    size_t width = s.heads * s.dim, room = kua__attention_scratch(&a, n);
    float *qkv = kua__malloc((n * 3 * width + 1) * sizeof(float)),
          *out = kua__malloc((n * width + 1) * sizeof(float));
    float *scratch = kua__malloc((room + 1) * sizeof(float));
    assert_true(qkv && out && scratch);
    fill(qkv, n * 3 * width, size, n + s.dim);
    memset(scratch, 0xff, (room + 1) * sizeof(float));
    out[n * width] = 7;
    kua__attend_of(isa, s.dim)(&a, n, qkv, out, scratch);
    assert_true(out[n * width] == 7);
    assert_true(isnan(scratch[room]));
    assert_near(largest_difference(&a, n, qkv, out), 0, size > 2 ? 2e-4 * size : 5e-6);
    kua__free(qkv);
    kua__free(out);
    kua__free(scratch);
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
                check((kua__isa)isa, shapes[i], lengths[k], 1);
        }
    }
}

static void large_scores_do_not_overflow(void **state)
{
    (void)state;
    for (int isa = 0; isa < KUA__ISA_COUNT; isa++) {
        if (kua__kernels_of((kua__isa)isa)) check((kua__isa)isa, shapes[0], 33, 40);
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
