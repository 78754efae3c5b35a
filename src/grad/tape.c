/* tape.c - records operations and runs them backward.
 *
 * Nodes are a list in the step's arena, newest first, which is an order in which every result comes
 * before what it was made of. Backward walks it once. Gradients of results live only between the
 * first operation that adds to them and their own node, so their memory goes round in a pool:
 *
 *     [ header | floats ... ]   header: capacity, next free one
 *
 * The pool's blocks come from the arena too; kua__tape_reset() forgets all of it at once.
 *
 * A step
 *
 *     reset -> leaves, operations (recorded) -> backward -> optimiser
 *       ^                                        |             the tape's part ends here: gradients
 *       `----------------------------------------'             of parameters are the parameters'
 *
 * Errors stick (T3 of tape.h): after the first, nothing is allocated, so that every operation gives
 * NULL and every NULL is passed on. Model code is therefore written without a test in it.
 *
 * Draws are numbered: step * DRAWS_MAX + the number of the draw in the step. Two operations of one
 * step, or one operation in two steps, never see the same numbers, and a run that goes on from a
 * checkpoint draws what it would have drawn.
 */
#include "grad/tape.h"

#include <assert.h>

#include "grad/apply.h"

enum { DEFAULT_CHUNK = 16 << 20, MESSAGE_MAX = 400, DRAWS_MAX = 1 << 20 };

typedef struct node {
    struct node *before;
    kua__var *y;
    kua__backward_fn back;
    void *ctx;
} node;

typedef struct grad_block {
    struct grad_block *next;
    size_t capacity; /* floats */
} grad_block;

enum { BLOCK_HEADER = 64 }; /* keeps the floats aligned */
_Static_assert(sizeof(grad_block) <= BLOCK_HEADER, "the header of a block has its place");

struct kua__tape {
    kua__arena arena;
    node *last;             /* newest; NULL: nothing recorded, or already run */
    grad_block *free_grads; /* of results whose node has run */
    float *scratch;         /* of one operation at a time */
    size_t scratch_floats;
    uint64_t seed, step, draws;
    bool bf16, training;
    bool forgetful;   /* results want no gradient, though draws are those of training */
    kua__tape *inner; /* of parts that are computed twice; NULL: not used yet */
    kua_status status;
    char message[MESSAGE_MAX]; /* of status */
};

kua_status kua__tape_create(const kua__tape_options *options, kua__tape **out)
{
    assert(out);
    kua__tape_options o = options ? *options : (kua__tape_options){0};
    kua__tape *t = kua__calloc(1, sizeof(*t));
    *out = t;
    if (!t) return kua__fail_nomem(sizeof(*t), "a tape");
    kua__arena_init(&t->arena, o.chunk_bytes ? o.chunk_bytes : DEFAULT_CHUNK);
    t->seed = o.seed;
    t->bf16 = o.bf16;
    t->training = true;
    return KUA_OK;
}

void kua__tape_free(kua__tape *t)
{
    if (!t) return;
    kua__tape_free(t->inner);
    kua__arena_release(&t->arena);
    kua__free(t);
}

void kua__tape_reset(kua__tape *t)
{
    assert(t);
    kua__arena_reset(&t->arena);
    t->last = NULL;
    t->free_grads = NULL;
    t->scratch = NULL;
    t->scratch_floats = 0;
    t->step++;
    t->draws = 0;
    t->status = KUA_OK;
}

void kua__tape_set_training(kua__tape *t, bool training)
{
    assert(t);
    t->training = training;
}

bool kua__tape_training(const kua__tape *t)
{
    return t->training;
}

void kua__tape_set_step(kua__tape *t, uint64_t step)
{
    t->step = step;
    t->draws = 0;
}

uint64_t kua__tape_step(const kua__tape *t)
{
    return t->step;
}

uint64_t kua__tape_seed(const kua__tape *t)
{
    return t->seed;
}

void kua__tape_set_seed(kua__tape *t, uint64_t seed)
{
    t->seed = seed;
}

bool kua__tape_bf16(const kua__tape *t)
{
    return t->bf16;
}

size_t kua__tape_bytes(const kua__tape *t)
{
    return kua__arena_bytes(&t->arena) + (t->inner ? kua__tape_bytes(t->inner) : 0);
}

uint64_t kua__tape_stream(kua__tape *t)
{
    assert(t->draws < DRAWS_MAX);
    return t->step * DRAWS_MAX + t->draws++;
}

/* ---- errors ---- */

void *kua__tape_fail(kua__tape *t, kua_status status, const char *format, ...)
{
    assert(t && status && format);
    if (t->status) return NULL;
    va_list args;
    va_start(args, format);
    vsnprintf(t->message, sizeof(t->message), format, args);
    va_end(args);
    t->status = kua__fail(status, "%s", t->message);
    return NULL;
}

void *kua__tape_fail_status(kua__tape *t, kua_status status)
{
    char message[MESSAGE_MAX];
    snprintf(message, sizeof(message), "%s", kua_error_message());
    return kua__tape_fail(t, status, "%s", message);
}

void *kua__tape_fail_shapes(kua__tape *t, const char *op, const char *a_name, const kua__var *a,
                            const char *b_name, const kua__var *b)
{
    assert(a && b);
    return kua__tape_fail(t, KUA_SHAPE, "%s: %s is %zux%zu, %s is %zux%zu", op, a_name, a->rows,
                          a->cols, b_name, b->rows, b->cols);
}

kua_status kua__tape_status(const kua__tape *t)
{
    assert(t);
    return t->status ? kua__fail(t->status, "%s", t->message) : KUA_OK;
}

bool kua__ragged_check(kua__tape *t, const char *op, const kua__var *x, kua__ragged seq)
{
    assert(t && x);
    bool good = seq.n == 0 ? x->rows == 0 : seq.at && seq.at[0] == 0 && seq.at[seq.n] == x->rows;
    for (size_t i = 0; good && i < seq.n; i++)
        good = seq.at[i] <= seq.at[i + 1];
    if (good) return true;
    kua__tape_fail(t, KUA_SHAPE, "%s: x is %zux%zu, its %zu sequences end at row %u", op, x->rows,
                   x->cols, seq.n, seq.n && seq.at ? seq.at[seq.n] : 0);
    return false;
}

/* ---- memory ---- */

void *kua__tape_alloc(kua__tape *t, size_t bytes)
{
    void *p = t->status ? NULL : kua__arena_alloc(&t->arena, bytes ? bytes : 1);
    if (!p && !t->status) kua__tape_fail_status(t, kua__fail_nomem(bytes, "a training step"));
    return p;
}

float *kua__tape_floats(kua__tape *t, size_t rows, size_t cols)
{
    size_t bytes;
    if (__builtin_mul_overflow(rows, cols, &bytes) ||
        __builtin_mul_overflow(bytes, sizeof(float), &bytes))
        return kua__tape_fail(t, KUA_NOMEM, "tape: a matrix of %zux%zu overflows", rows, cols);
    return kua__tape_alloc(t, bytes);
}

void *kua__tape_copy(kua__tape *t, const void *data, size_t bytes)
{
    void *p = kua__tape_alloc(t, bytes);
    if (p && bytes) memcpy(p, data, bytes);
    return p;
}

float *kua__tape_scratch(kua__tape *t, size_t floats)
{
    /* A larger one leaves the smaller behind in the arena, until reset. */
    if (floats > t->scratch_floats) {
        t->scratch = kua__tape_floats(t, floats, 1);
        t->scratch_floats = t->scratch ? floats : 0;
    }
    return t->status ? NULL : t->scratch;
}

/* ---- variables and nodes ---- */

static bool wants_any(const kua__tape *t)
{
    return t->training && !t->forgetful;
}

kua__var *kua__tape_view(kua__tape *t, size_t rows, size_t cols, float *value, bool wants)
{
    assert(t && (value || t->status || rows == 0 || cols == 0));
    kua__var *v = kua__tape_alloc(t, sizeof(*v));
    if (!v) return NULL;
    *v = (kua__var){rows, cols, value, NULL, wants && wants_any(t), NULL};
    return v;
}

kua__var *kua__tape_result(kua__tape *t, size_t rows, size_t cols, bool wants)
{
    float *value = kua__tape_floats(t, rows, cols);
    return value ? kua__tape_view(t, rows, cols, value, wants) : NULL;
}

kua__var *kua__input(kua__tape *t, size_t rows, size_t cols, const float *value)
{
    assert(value || rows == 0);
    return kua__tape_view(t, rows, cols, (float *)value, false); /* wants none: never written */
}

kua__var *kua__input_with_grad(kua__tape *t, size_t rows, size_t cols, const float *value)
{
    assert(value || rows == 0);
    return kua__tape_view(t, rows, cols, (float *)value, true);
}

kua__var *kua__use(kua__tape *t, kua__param *param)
{
    if (!param) return NULL;
    bool wants = wants_any(t) && !param->frozen;
    if (wants && !param->grad) {
        /* + 1: an empty one has a gradient too, so that NULL always means none yet. */
        param->grad = kua__calloc(param->rows * param->cols + 1, sizeof(float));
        if (!param->grad)
            return kua__tape_fail_status(
                t, kua__fail_nomem(param->rows * param->cols * 4, param->name));
    }
    kua__var *v = kua__tape_view(t, param->rows, param->cols, param->value, wants);
    if (!v) return NULL;
    v->param = param;
    v->grad = wants ? param->grad : NULL;
    return v;
}

kua__var *kua__tape_node(kua__tape *t, kua__var *y, kua__backward_fn back, const void *ctx,
                         size_t bytes)
{
    assert(t && y && back && (ctx || bytes == 0));
    if (!y->wants) return t->status ? NULL : y;
    node *n = kua__tape_alloc(t, sizeof(*n));
    void *copy = kua__tape_copy(t, ctx, bytes);
    if (!n || !copy) return NULL;
    *n = (node){t->last, y, back, copy};
    t->last = n;
    return y;
}

/* ---- gradients ---- */

/* The smallest free block that fits and is not mostly wasted, else a new one. */
static float *grad_take(kua__tape *t, size_t floats)
{
    /* A small gradient in a large block would have the next large one allocate. */
    grad_block **best = NULL;
    for (grad_block **at = &t->free_grads; *at; at = &(*at)->next) {
        size_t capacity = (*at)->capacity;
        if (capacity >= floats && capacity <= 4 * floats + 1024 &&
            (!best || capacity < (*best)->capacity))
            best = at;
    }
    grad_block *block = best ? *best : kua__tape_alloc(t, BLOCK_HEADER + floats * sizeof(float));
    if (!block) return NULL;
    if (best)
        *best = block->next;
    else
        block->capacity = floats;
    return (float *)((char *)block + BLOCK_HEADER);
}

static void grad_return(kua__tape *t, kua__var *y)
{
    if (!y->grad || y->param) return;
    /* Its place is in front of the floats, wherever they were handed on to by kua__grad_pass. */
    grad_block *block = (grad_block *)((char *)y->grad - BLOCK_HEADER);
    block->next = t->free_grads;
    t->free_grads = block;
    y->grad = NULL;
}

void kua__grad_touch(kua__var *x, size_t first, size_t n)
{
    assert(first + n <= x->rows);
    if (x->param && x->param->touched && n) memset(x->param->touched + first, 1, n);
}

float *kua__grad(kua__tape *t, kua__var *x, bool *add)
{
    assert(t && add);
    *add = true;
    if (!x || !x->wants || t->status) return NULL;
    if (x->param) kua__grad_touch(x, 0, x->rows);
    if (!x->grad) {
        *add = false;
        x->grad = grad_take(t, x->rows * x->cols);
    }
    return x->grad;
}

float *kua__grad_zeroed(kua__tape *t, kua__var *x)
{
    if (!x || !x->wants || t->status) return NULL;
    if (!x->grad) {
        x->grad = grad_take(t, x->rows * x->cols);
        if (x->grad) memset(x->grad, 0, x->rows * x->cols * sizeof(float));
    }
    return x->grad;
}

void kua__grad_pass(kua__tape *t, kua__var *x, kua__var *y)
{
    assert(x && y && x != y && (y->grad || !x->wants || t->status));
    size_t n = x->rows * x->cols;
    assert(n == y->rows * y->cols);
    if (!x->wants || t->status) return;
    if (!x->grad) {
        /* Never a parameter: kua__use() gave it a gradient of its own. */
        x->grad = y->grad;
        y->grad = NULL;
        return;
    }
    if (x->param) kua__grad_touch(x, 0, x->rows);
    kua__add_to(x->grad, y->grad, n);
}

static void run_back(kua__tape *t)
{
    for (node *n = t->last; n && !t->status; n = n->before) {
        if (!n->y->grad) continue; /* nothing that the loss depends on */
        n->back(t, n->ctx);
        grad_return(t, n->y);
    }
    t->last = NULL; /* a second pass over freed gradients would be wrong */
}

kua_status kua__tape_backward(kua__tape *t, kua__var *loss)
{
    assert(t);
    if (t->status) return kua__tape_status(t);
    if (!loss) return kua__fail(KUA_INVALID, "backward: there is no loss");
    if (loss->rows != 1 || loss->cols != 1)
        return kua__fail(KUA_SHAPE, "backward: loss is %zux%zu, must be 1x1", loss->rows,
                         loss->cols);
    float *seed = kua__grad_zeroed(t, loss);
    if (seed) *seed += 1;
    run_back(t);
    return kua__tape_status(t);
}

/* ---- parts that are computed twice ---- */

typedef struct recomputed {
    kua__var *x, *y;
    kua__part_fn part;
    void *ctx;
    uint64_t draws;   /* of the step when the part began */
    kua__var *inside; /* x on the inner tape */
} recomputed;

/* The part on the inner tape, with the draws that it has here. */
static kua__var *run_part(kua__tape *t, recomputed *op, bool forgetful)
{
    kua__tape *in = t->inner;
    kua__tape_reset(in);
    in->seed = t->seed;
    in->step = t->step;
    in->draws = op->draws;
    in->training = t->training;
    in->forgetful = forgetful;
    op->inside = kua__tape_view(in, op->x->rows, op->x->cols, op->x->value, op->x->wants);
    kua__var *y = op->part(in, op->inside, op->ctx);
    if (in->status) kua__tape_fail(t, in->status, "%s", in->message);
    return t->status ? NULL : y;
}

static void recomputed_back(kua__tape *t, void *ctx)
{
    recomputed *op = ctx;
    kua__tape *in = t->inner;
    kua__var *y = run_part(t, op, false);
    float *dy = y ? kua__grad_zeroed(in, y) : NULL;
    if (!dy) return;
    size_t n = op->x->rows * op->x->cols;
    kua__add_to(dy, op->y->grad, y->rows * y->cols);
    run_back(in);
    if (in->status) kua__tape_fail(t, in->status, "%s", in->message);
    bool add;
    const float *from = op->inside->grad;
    float *dx = from ? kua__grad(t, op->x, &add) : NULL;
    if (dx) kua__apply_scale(dx, from, 1, n, add);
}

kua__var *kua__recompute(kua__tape *t, kua__var *x, kua__part_fn part, const void *ctx,
                         size_t bytes)
{
    if (!x) return NULL;
    assert(part && (ctx || bytes == 0));
    if (!wants_any(t)) return part(t, x, ctx);
    if (!t->inner) {
        kua__tape_options o = {.chunk_bytes = t->arena.chunk_bytes, .bf16 = t->bf16};
        kua_status st = kua__tape_create(&o, &t->inner);
        if (st) return kua__tape_fail_status(t, st);
    }
    recomputed op = {.x = x, .part = part, .draws = t->draws};
    op.ctx = kua__tape_copy(t, ctx, bytes);
    const kua__var *once = op.ctx ? run_part(t, &op, true) : NULL;
    if (!once) return NULL;
    t->draws = t->inner->draws;
    /* Whether a parameter in it is trained is not known here: the way back finds out. */
    op.y = kua__tape_result(t, once->rows, once->cols, true);
    if (!op.y) return NULL;
    memcpy(op.y->value, once->value, once->rows * once->cols * sizeof(float));
    return kua__tape_node(t, op.y, recomputed_back, &op, sizeof(op));
}
