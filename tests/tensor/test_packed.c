/* test_packed.c - packed products against sums in double precision: every epilogue, with and
 * without a bias, for numbers of rows around the steps of kua__packed_rows(). */
#include "testlib.h"

#include <math.h>

#include "tensor/packed.h"
#include "tensor/packed_low.h"

enum { ROWS_MAX = 80 };

static float *numbers(size_t n, uint64_t seed)
{
    kua__rng rng = kua__rng_make(seed, 3);
    float *x = kua__alloc_array(n, sizeof(float));
    assert_non_null(x);
    for (size_t i = 0; i < n; i++)
        x[i] = kua__rng_normal(&rng);
    return x;
}

static double expected(const kua__packed_options *o, const float *x, size_t column, double before)
{
    double sum = o->bias ? o->bias[column] : 0;
    for (size_t i = 0; i < o->in; i++)
        sum += (double)x[i] * o->weight[column * o->in + i];
    switch (o->epilogue) {
    case KUA__EPILOGUE_GELU:
        return sum * .5 * erfc(-sum / sqrt(2));
    case KUA__EPILOGUE_RELU:
        return fmax(sum, 0);
    case KUA__EPILOGUE_ADD:
        return before + sum;
    case KUA__EPILOGUE_NONE:
        break;
    }
    return sum;
}

static void check(const kua__packed_options *o, kua__lane *lane, size_t rows)
{
    kua__packed *w = NULL;
    float *x = numbers(rows * o->in, 5), *before = numbers(rows * o->out, 6),
          *y = numbers(rows * o->out, 6);
    assert_ok(kua__packed_create(o, &w));
    assert_true(kua__packed_bytes(w) >= o->in * o->out * sizeof(float));
    assert_ok(kua__packed_run(w, lane, rows, x, y));
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < o->out; c++)
            assert_near(y[r * o->out + c], expected(o, x + r * o->in, c, before[r * o->out + c]),
                        2e-4);
    kua__packed_free(w);
    kua__free(x);
    kua__free(before);
    kua__free(y);
}

static void every_epilogue(void **state)
{
    (void)state;
    static const size_t sides[][2] = {{1, 1}, {5, 3}, {48, 32}, {40, 70}},
                        rows[] = {0, 1, 7, 16, ROWS_MAX};
    kua__lane *lane = NULL;
    assert_ok(kua__lane_create(&lane));
    for (size_t s = 0; s < KUA__COUNT(sides); s++) {
        size_t out = sides[s][0], in = sides[s][1];
        float *weight = numbers(out * in, 1), *bias = numbers(out, 2);
        for (int e = KUA__EPILOGUE_NONE; e <= KUA__EPILOGUE_ADD; e++) {
            for (size_t r = 0; r < KUA__COUNT(rows); r++) {
                kua__packed_options o = {out, in, weight, r % 2 ? NULL : bias, (kua__epilogue)e};
                check(&o, lane, rows[r]);
            }
        }
        kua__free(weight);
        kua__free(bias);
    }
    kua__lane_free(lane);
    kua__lane_free(NULL);
    kua__packed_free(NULL);
}

/* More numbers of rows than a lane keeps plans for: it starts over, results stay right. */
static void a_lane_forgets(void **state)
{
    (void)state;
    float *weight = numbers(4, 1), *x = numbers(2 * KUA__LANE_PLANS, 2),
          *y = numbers(2 * KUA__LANE_PLANS, 3);
    kua__packed_options o = {2, 2, weight, NULL, KUA__EPILOGUE_NONE};
    kua__packed *w = NULL;
    kua__lane *lane = NULL;
    assert_ok(kua__packed_create(&o, &w));
    assert_ok(kua__lane_create(&lane));
    long settled = 0;
    for (size_t rows = 1; rows <= KUA__LANE_PLANS; rows++)
        assert_ok(kua__packed_run(w, lane, rows, x, y));
    settled = kua__alloc_live();
    assert_ok(kua__packed_run(w, lane, KUA__LANE_PLANS, x, y)); /* kept: nothing new */
    assert_int_equal(kua__alloc_live(), settled);
    float *wide = numbers(2 * (KUA__LANE_PLANS + 1), 2),
          *out = numbers(2 * (KUA__LANE_PLANS + 1), 3);
    assert_ok(kua__packed_run(w, lane, KUA__LANE_PLANS + 1, wide, out));
    bool plans = !kua__low_of(KUA__PRECISION_F32, kua__kernels_get()->isa); /* oneDNN's */
    assert_true(plans ? kua__alloc_live() < settled : kua__alloc_live() == settled + 2);
    assert_near(out[2 * KUA__LANE_PLANS], expected(&o, wide + 2 * KUA__LANE_PLANS, 0, 0), 1e-5);
    kua__lane_free(lane);
    kua__packed_free(w);
    kua__free(weight), kua__free(x), kua__free(y), kua__free(wide), kua__free(out);
}

static void rows_are_rounded_up(void **state)
{
    (void)state;
    for (size_t n = 0; n < 600; n++) {
        size_t up = kua__packed_rows(n);
        assert_true(up >= n && up - n < 16 && kua__packed_rows(up) == up);
        assert_true(n > 16 || up == n);
    }
}

/* All parts of one product, run one after another, against the product as a whole. */
static void check_parts(const kua__packed_options *o, kua__lane *lane, size_t rows)
{
    kua__packed *w = NULL;
    float *x = numbers(rows * o->in, 5), *whole = numbers(rows * o->out, 6),
          *y = numbers(rows * o->out, 6);
    assert_ok(kua__packed_create(o, &w));
    assert_in_range(kua__packed_parts(w), 1, KUA__MAX(o->parts, (size_t)1));
    assert_ok(kua__packed_run(w, lane, rows, x, whole));
    for (size_t i = 0; i < kua__packed_parts(w); i++)
        assert_ok(kua__packed_run_part(w, lane, i, rows, x, y));
    for (size_t i = 0; i < rows * o->out; i++)
        assert_near(y[i], whole[i], 1e-5);
    kua__packed_free(w);
    kua__free(x);
    kua__free(whole);
    kua__free(y);
}

static void parts_give_the_whole(void **state)
{
    (void)state;
    static const size_t sides[][2] = {{1, 1}, {5, 3}, {200, 32}, {384, 70}, {129, 16}};
    kua__lane *lane = NULL;
    assert_ok(kua__lane_create(&lane));
    for (size_t s = 0; s < KUA__COUNT(sides); s++) {
        size_t out = sides[s][0], in = sides[s][1];
        float *weight = numbers(out * in, 1), *bias = numbers(out, 2);
        for (int e = KUA__EPILOGUE_NONE; e <= KUA__EPILOGUE_ADD; e++) {
            for (size_t parts = 0; parts < 6; parts++) {
                kua__packed_options o = {
                    out, in, weight, parts % 2 ? bias : NULL, (kua__epilogue)e, parts};
                check_parts(&o, lane, 12);
            }
        }
        kua__free(weight);
        kua__free(bias);
    }
    kua__lane_free(lane);
}

/* ---- bf16 and int8 ---- */

/* How far y is from the sums in double precision, as a share of their size. */
static double distance(const kua__packed_options *o, const float *x, const float *before,
                       const float *y, size_t rows)
{
    double wrong = 0, right = 1e-30;
    for (size_t i = 0; i < rows * o->out; i++) {
        double want = expected(o, x + i / o->out * o->in, i % o->out, before[i]);
        wrong += (y[i] - want) * (y[i] - want);
        right += want * want;
    }
    return sqrt(wrong / right);
}

/* As a whole and in parts, which must give the same bits. */
static void check_low(const kua__packed_options *o, kua__lane *lane, size_t rows, double most)
{
    kua__packed *w = NULL;
    float *x = numbers(rows * o->in, 5), *before = numbers(rows * o->out, 6),
          *y = numbers(rows * o->out, 6), *parts = numbers(rows * o->out, 6);
    assert_ok(kua__packed_create(o, &w));
    assert_ok(kua__packed_run(w, lane, rows, x, y));
    double far = distance(o, x, before, y, rows);
    if (!(far <= most))
        fail_msg("precision %d, %zux%zu, %zu rows, epilogue %d: %.5f", (int)o->precision, o->out,
                 o->in, rows, (int)o->epilogue, far);
    for (size_t i = 0; i < kua__packed_parts(w); i++)
        assert_ok(kua__packed_run_part(w, lane, i, rows, x, parts));
    if (kua__low_of(o->precision, kua__kernels_get()->isa))
        assert_memory_equal(y, parts, rows * o->out * sizeof(*y));
    kua__packed_free(w);
    kua__free(x), kua__free(before), kua__free(y), kua__free(parts);
}

static void low_precision_is_close(void **state)
{
    (void)state;
    static const size_t sides[][2] = {{1, 1}, {5, 3}, {48, 32}, {40, 70}, {33, 193}, {96, 640}},
                        rows[] = {1, 2, 3, 7, 12, 25, 100};
    kua__lane *lane = NULL;
    assert_ok(kua__lane_create(&lane));
    for (size_t s = 0; s < KUA__COUNT(sides); s++) {
        size_t out = sides[s][0], in = sides[s][1];
        float *weight = numbers(out * in, 1), *bias = numbers(out, 2);
        for (int e = KUA__EPILOGUE_NONE; e <= KUA__EPILOGUE_ADD; e++) {
            for (size_t r = 0; r < KUA__COUNT(rows); r++) {
                kua__packed_options o = {
                    out, in, weight, r % 2 ? NULL : bias, (kua__epilogue)e, 1 + r % 3};
                o.precision = KUA__PRECISION_BF16;
                check_low(&o, lane, rows[r], .01);
                o.precision = KUA__PRECISION_INT8;
                check_low(&o, lane, rows[r], .025);
            }
        }
        kua__free(weight);
        kua__free(bias);
    }
    kua__lane_free(lane);
}

/* Every kernel of int8 gives the bits of the plain one. */
static void check_kernel(kua__low_fn fn, const kua__low *low, size_t rows, float *x)
{
    size_t n = rows * low->out;
    float *plain = numbers(n, 6), *y = numbers(n, 6);
    uint32_t *tile = kua__alloc_array(kua__low_scratch(low, rows), sizeof(*tile));
    assert_non_null(tile);
    kua__low_product p = {low, 0, low->panels, rows, x, plain, tile};
    kua__low_int8_plain(&p);
    p.y = y;
    fn(&p);
    assert_memory_equal(y, plain, n * sizeof(*y));
    kua__free(plain), kua__free(y), kua__free(tile);
}

static void kernels_agree(void **state)
{
    (void)state;
    enum { OUT = 70, IN = 333, ROWS = 120 };
    float *weight = numbers(OUT * IN, 1), *bias = numbers(OUT, 2), *x = numbers(ROWS * IN, 3);
    memset(x, 0, IN * sizeof(*x)); /* a row of nothing */
    for (size_t i = IN; i < 2 * IN; i++)
        x[i] = fabsf(x[i]) * 1e6f; /* one without negative numbers */
    for (int e = KUA__EPILOGUE_NONE; e <= KUA__EPILOGUE_ADD; e++) {
        kua__packed_options o = {OUT, IN, weight, bias, (kua__epilogue)e};
        kua__low *low = NULL;
        o.precision = KUA__PRECISION_INT8;
        assert_ok(kua__low_create(&o, &low));
        for (int isa = 0; isa < KUA__ISA_COUNT; isa++) {
            kua__low_fn fn = kua__low_of(KUA__PRECISION_INT8, (kua__isa)isa);
            for (size_t rows = 1; fn && rows <= ROWS; rows += rows < 30 ? 1 : 45)
                check_kernel(fn, low, rows, x);
        }
        kua__low_free(low);
    }
    kua__free(weight), kua__free(bias), kua__free(x);
}

static void every_allocation_fails_once(void **state)
{
    (void)state;
    float weight[6] = {1, 2, 3, 4, 5, 6}, bias[2] = {1, 2}, x[3] = {1, 1, 1}, y[2];
    kua__packed_options o = {2, 3, weight, bias, KUA__EPILOGUE_NONE, 2};
    kua_status st;
    TEST_EVERY_ALLOCATION(st)
    {
        kua__packed *w = NULL;
        kua__lane *lane = NULL;
        st = kua__packed_create(&o, &w);
        if (!st) st = kua__lane_create(&lane);
        for (size_t i = 0; !st && i < kua__packed_parts(w); i++)
            st = kua__packed_run_part(w, lane, i, 1, x, y);
        kua__lane_free(lane);
        kua__packed_free(w);
    }
    assert_near(y[0], 7, 1e-5);
    assert_near(y[1], 17, 1e-5);
    o.precision = KUA__PRECISION_INT8;
    TEST_EVERY_ALLOCATION(st)
    {
        kua__packed *w = NULL;
        kua__lane *lane = NULL;
        st = kua__packed_create(&o, &w);
        if (!st) st = kua__lane_create(&lane);
        if (!st) st = kua__packed_run(w, lane, 1, x, y);
        kua__lane_free(lane);
        kua__packed_free(w);
    }
    assert_near(y[0], 7, .05);
    assert_near(y[1], 17, .05);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_epilogue),
        cmocka_unit_test(a_lane_forgets),
        cmocka_unit_test(parts_give_the_whole),
        cmocka_unit_test(rows_are_rounded_up),
        cmocka_unit_test(low_precision_is_close),
        cmocka_unit_test(kernels_agree),
        cmocka_unit_test(every_allocation_fails_once),
    };
    return cmocka_run_group_tests(tests, test_no_leaks_begin, test_no_leaks_end);
}
