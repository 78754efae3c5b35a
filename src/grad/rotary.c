/* rotary.c - rotary position embedding (Su et al., "RoFormer", 2021).
 *
 * Pair j of a head's columns is turned by the angle place / theta^(2 j / width), so that the
 * product of a query and a key depends on how far apart they are, not on where they stand:
 *
 *     ya = xa cos - xb sin        two layouts: (a, b) = (j, j + width / 2), llama's in files of
 *     yb = xa sin + xb cos        Hugging Face's, or (2 j, 2 j + 1), that of the paper and of GGUF
 *
 * A rotation's transpose is the rotation by the opposite angle: the way back is the same loop with
 * the sines negated. Cosines and sines are made once a call, in double precision: at place 8,000
 * an angle in f32 is off by 5e-4.
 */
#include "grad/apply.h"

#include <assert.h>
#include <math.h>

typedef struct rotary {
    kua__var *x, *y;
    kua__ragged seq;
    size_t width;
    bool interleaved;
    const float *turn;     /* [longest, width / 2, 2]: cosine and sine */
    const uint32_t *place; /* [rows] */
    /* the pass under way */
    float *to;
    const float *from;
    float sign;
    bool add;
} rotary;

static void turn_row(const rotary *op, float *to, const float *from, const float *turn)
{
    size_t half = op->width / 2;
    size_t step = op->interleaved ? 2 : 1, apart = op->interleaved ? 1 : half;
    for (size_t j = 0; j < half; j++) {
        size_t a = j * step, b = a + apart;
        float c = turn[2 * j], s = op->sign * turn[2 * j + 1];
        float ya = from[a] * c - from[b] * s, yb = from[a] * s + from[b] * c;
        to[a] = op->add ? to[a] + ya : ya;
        to[b] = op->add ? to[b] + yb : yb;
    }
}

static void rotary_task(void *ctx, size_t first, size_t last)
{
    const rotary *op = ctx;
    size_t cols = op->x->cols;
    for (size_t r = first; r < last; r++) {
        const float *turn = op->turn + (size_t)op->place[r] * op->width;
        for (size_t col = 0; col < cols; col += op->width)
            turn_row(op, op->to + r * cols + col, op->from + r * cols + col, turn);
    }
}

static void run(rotary *op)
{
    assert(op->to && op->from);
    if (op->x->rows) kua__parallel_for(op->x->rows, kua__row_grain(op->x->cols), rotary_task, op);
}

static void rotary_back(kua__tape *t, void *ctx)
{
    rotary *op = ctx;
    op->to = kua__grad(t, op->x, &op->add);
    op->from = op->y->grad;
    op->sign = -1;
    if (op->to) run(op);
}

static bool make_turns(kua__tape *t, rotary *op, float theta)
{
    size_t longest = 0;
    uint32_t *place = kua__tape_alloc(t, op->x->rows * sizeof(*place));
    if (!place) return false;
    for (size_t i = 0; i < op->seq.n; i++) {
        size_t first = op->seq.at[i], n = op->seq.at[i + 1] - first;
        longest = KUA__MAX(longest, n);
        for (size_t k = 0; k < n; k++)
            place[first + k] = (uint32_t)k;
    }
    float *turn = kua__tape_floats(t, longest, op->width);
    if (!turn) return false;
    for (size_t j = 0; j < op->width / 2; j++) {
        double speed = pow(theta, -2.0 * (double)j / (double)op->width);
        for (size_t k = 0; k < longest; k++) {
            turn[k * op->width + 2 * j] = (float)cos((double)k * speed);
            turn[k * op->width + 2 * j + 1] = (float)sin((double)k * speed);
        }
    }
    op->turn = turn;
    op->place = place;
    return true;
}

kua__var *kua__rotary(kua__tape *t, kua__var *x, kua__ragged seq, size_t width, float theta,
                      bool interleaved)
{
    if (!x || !kua__ragged_check(t, "rotary", x, seq)) return NULL;
    assert(theta > 0);
    if (width == 0 || width % 2 || x->cols % width)
        return kua__tape_fail(t, KUA_SHAPE, "rotary: x is %zux%zu, heads have %zu columns", x->rows,
                              x->cols, width);
    rotary op = {.x = x, .seq = seq, .width = width, .interleaved = interleaved, .sign = 1};
    if (!make_turns(t, &op, theta)) return NULL;
    op.y = kua__tape_result(t, x->rows, x->cols, x->wants);
    if (!op.y) return NULL;
    op.to = op.y->value;
    op.from = x->value;
    run(&op);
    return kua__tape_node(t, op.y, rotary_back, &op, sizeof(op));
}
