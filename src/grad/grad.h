/* grad/grad.h - automatic differentiation: a tape of matrix operations on a step arena.
 *
 * Everything is a row-major f32 matrix [rows, cols]. Batches are ragged: the tokens of a batch
 * stand one after another as rows, and `kua__ragged` says where each sequence begins; nothing is
 * ever padded. A matrix may have no rows.
 *
 *     kua__tape_reset(t);                          a new step; the last one's memory is used again
 *     kua__var *x = kua__input(t, rows, cols, data);
 *     kua__var *h = kua__linear(t, x, kua__use(t, w), kua__use(t, b));
 *     h = kua__gelu(t, h);                         operations accept NULL and then do nothing:
 *     kua__var *loss = kua__cross_entropy(t, h, y);          the first error stays in the tape,
 *     st = kua__tape_backward(t, loss);                      and one check at the end reports it
 *     if (!st) st = kua__optim_step(optim, params);          also clears the gradients
 *
 * Memory: variables live in the tape's arena until kua__tape_reset(); a steady-state step allocates
 * nothing. Threads: a tape belongs to one thread; its operations use the pool of base. Same seed,
 * same number of threads: same bits. How an operation registers itself is told in grad/tape.h.
 */
#ifndef KUA_GRAD_GRAD_H
#define KUA_GRAD_GRAD_H

#include <jansson.h>

#include "base/base.h"

typedef struct kua__tape kua__tape;

typedef struct kua__var {
    size_t rows, cols;
    float *value; /* [rows, cols] */
    float *
        grad; /* [rows, cols]; made by the backward pass when first needed. After it only leaves and
                 parameters have one: results of operations gave theirs back. NULL: zero so far */
    bool wants;               /* a gradient is wanted */
    struct kua__param *param; /* NULL: made by an operation or an input */
} kua__var;

/* ---- parameters ---- */

/* A trained matrix. */
typedef struct kua__param {
    char name[64];
    size_t rows, cols;
    float *value;       /* [rows, cols] */
    float *grad;        /* [rows, cols]; NULL until the first backward pass that needs it */
    float *m, *v;       /* Adam's moments; NULL until the first optimiser step */
    float lr_scale;     /* multiplies the learning rate, 1 from the start; 0: not stepped */
    float weight_decay; /* < 0, as from the start: the optimiser's */
    bool sparse;        /* gradients touch few rows (embedding tables): only those are stepped */
    bool frozen;        /* no gradient is computed */
    uint8_t *touched;   /* [rows], sparse only: rows with a gradient since the last step */
} kua__param;

typedef struct kua__params { /* a model's parameters, in order of creation */
    kua__param **all;
    size_t n, capacity;
    kua__arena arena; /* the structs; matrices are blocks of their own */
} kua__params;

typedef enum kua__init {
    KUA__INIT_ZEROS,
    KUA__INIT_ONES,
    KUA__INIT_NORMAL, /* mean 0, standard deviation `scale` */
    KUA__INIT_XAVIER, /* uniform in +-scale * sqrt(6 / (rows + cols)) */
    KUA__INIT_UNIFORM /* uniform in +-scale */
} kua__init;

void kua__params_init(kua__params *params);
/* A new parameter; `rng` may be NULL for zeros and ones. KUA_INVALID where the name is taken or too
 * long. */
kua_status kua__params_add(kua__params *params, const char *name, size_t rows, size_t cols,
                           kua__init init, float scale, kua__rng *rng, kua__param **out);
/* As before, for an embedding table: sparse, with touched[]. */
kua_status kua__params_add_table(kua__params *params, const char *name, size_t rows, size_t cols,
                                 float scale, kua__rng *rng, kua__param **out);
kua__param *kua__params_find(const kua__params *params, const char *name); /* NULL: none */
/* frozen = `frozen` for every parameter whose name begins with `prefix` ("" for all); how many
 * there were. */
size_t kua__params_freeze(kua__params *params, const char *prefix, bool frozen);
size_t kua__params_count(const kua__params *params); /* numbers, not matrices */
size_t kua__params_bytes(const kua__params *params); /* values, gradients and moments held now */
void kua__params_clear_grads(kua__params *params);   /* sparse ones: touched rows only */
/* sqrt of the sum of squares of all gradients, in double precision. */
double kua__params_grad_norm(const kua__params *params);
void kua__params_release(kua__params *params);

/* ---- the tape ---- */

/* Sequences of a batch: tokens at[i] .. at[i + 1] are sequence i; at[n] == rows of the token
 * matrix. Sequences may be empty. The array must live until kua__tape_reset(). */
typedef struct kua__ragged {
    size_t n;
    const uint32_t *at; /* [n + 1] */
} kua__ragged;

typedef struct kua__tape_options {
    size_t chunk_bytes; /* of the arena; 0: 16 MiB */
    uint64_t seed;      /* of dropout and other draws */
    bool bf16;          /* matrix products in bf16 with f32 sums, where the processor has them */
} kua__tape_options;

kua_status kua__tape_create(const kua__tape_options *options,
                            kua__tape **out); /* options may be NULL */
void kua__tape_free(kua__tape *t);            /* NULL is allowed */
/* Forgets everything recorded, errors too, and counts one step on. */
void kua__tape_reset(kua__tape *t);
/* Off (evaluation): dropout does nothing, no gradients, nothing is recorded. On from the start. */
void kua__tape_set_training(kua__tape *t, bool training);
bool kua__tape_training(const kua__tape *t);
/* Draws depend on (seed, step, number of the drawing operation in this step). */
void kua__tape_set_step(kua__tape *t, uint64_t step);
uint64_t kua__tape_step(const kua__tape *t);
uint64_t kua__tape_seed(const kua__tape *t);
void kua__tape_set_seed(kua__tape *t, uint64_t seed);
/* The first error, with its message as this thread's message again. */
kua_status kua__tape_status(const kua__tape *t);
/* Adds d loss / d param to the gradient of every parameter in use. loss is 1x1, or NULL after an
 * error. */
kua_status kua__tape_backward(kua__tape *t, kua__var *loss);
size_t kua__tape_bytes(const kua__tape *t); /* held from the system */

/* Leaves. Inputs borrow `value` until kua__tape_reset(). */
kua__var *kua__input(kua__tape *t, size_t rows, size_t cols, const float *value);
kua__var *kua__input_with_grad(kua__tape *t, size_t rows, size_t cols,
                               const float *value); /* .grad after backward */
kua__var *kua__use(kua__tape *t,
                   kua__param *param); /* NULL stays NULL without an error: an absent bias */

/* ---- operations: what they give, and the shapes they want ---- */

kua__var *kua__matmul(kua__tape *t, kua__var *a, kua__var *b);    /* a b      [m,k] [k,n] */
kua__var *kua__matmul_nt(kua__tape *t, kua__var *a, kua__var *b); /* a b^T    [m,k] [n,k] */
kua__var *kua__matmul_tn(kua__tape *t, kua__var *a, kua__var *b); /* a^T b    [k,m] [k,n] */
/* x w^T + b: x [rows,in], w [out,in] as torch stores it, b [1,out] or NULL for none (then check w
 * yourself) */
kua__var *kua__linear(kua__tape *t, kua__var *x, kua__var *w, kua__var *b);

kua__var *kua__add(kua__tape *t, kua__var *a, kua__var *b); /* same shape */
kua__var *kua__sub(kua__tape *t, kua__var *a, kua__var *b);
kua__var *kua__mul(kua__tape *t, kua__var *a, kua__var *b); /* elementwise */
kua__var *kua__scale(kua__tape *t, kua__var *x, float factor);
kua__var *kua__add_row(kua__tape *t, kua__var *x,
                       kua__var *row); /* row [1,cols] added to every row */
kua__var *kua__mul_row(kua__tape *t, kua__var *x, kua__var *row);
kua__var *kua__mul_col(kua__tape *t, kua__var *x, kua__var *col); /* col [rows,1] times each row */

kua__var *kua__gelu(kua__tape *t, kua__var *x);      /* x Phi(x), with erf */
kua__var *kua__gelu_tanh(kua__tape *t, kua__var *x); /* GPT-2's: with tanh in place of erf */
kua__var *kua__relu(kua__tape *t, kua__var *x);
kua__var *kua__sigmoid(kua__tape *t, kua__var *x);
kua__var *kua__tanh(kua__tape *t, kua__var *x);
kua__var *kua__silu(kua__tape *t, kua__var *x);
kua__var *kua__swiglu(kua__tape *t, kua__var *x); /* [rows,2c] -> silu(left half) * right half */

kua__var *kua__softmax(kua__tape *t, kua__var *x); /* of each row */
kua__var *kua__layer_norm(kua__tape *t, kua__var *x, kua__var *gain, kua__var *bias,
                          float epsilon); /* [1,cols] */
kua__var *kua__rms_norm(kua__tape *t, kua__var *x, kua__var *gain, float epsilon);
kua__var *kua__l2_normalize(kua__tape *t, kua__var *x,
                            float epsilon); /* x / max(|x|, epsilon), each row */
kua__var *kua__dropout(kua__tape *t, kua__var *x,
                       float p); /* p: share of zeros, kept ones grow by 1/(1-p) */

kua__var *kua__concat_cols(kua__tape *t, kua__var *const *parts, size_t n);
kua__var *kua__concat_rows(kua__tape *t, kua__var *const *parts, size_t n);
kua__var *kua__slice_cols(kua__tape *t, kua__var *x, size_t first, size_t n);
kua__var *kua__slice_rows(kua__tape *t, kua__var *x, size_t first, size_t n);
/* Row i of the result is row index[i] of x; index lives until reset. KUA_INVALID where one is
 * outside. */
kua__var *kua__gather_rows(kua__tape *t, kua__var *x, const uint32_t *index, size_t n);

kua__var *kua__mean_rows(kua__tape *t, kua__var *x,
                         kua__ragged seq); /* [seq.n,cols]; empty sequences give zeros */
kua__var *kua__first_row(kua__tape *t, kua__var *x, kua__ragged seq);
kua__var *kua__last_row(kua__tape *t, kua__var *x, kua__ragged seq);
kua__var *kua__max_rows(kua__tape *t, kua__var *x, kua__ragged seq);

/* Recurrent layers over each sequence from a zero state; all hidden states [tokens,h]. Gates as in
 * torch: LSTM w [4h,in], u [4h,h], b [1,4h] in order i f g o; GRU w [3h,in], u [3h,h], b and bu
 * [1,3h] in order r z n, bu the bias of the recurrent product. Biases may be NULL. */
kua__var *kua__lstm(kua__tape *t, kua__var *x, kua__ragged seq, kua__var *w, kua__var *u,
                    kua__var *b);
kua__var *kua__gru(kua__tape *t, kua__var *x, kua__ragged seq, kua__var *w, kua__var *u,
                   kua__var *b, kua__var *bu);

/* Attention with `heads` heads inside each sequence: q, k, v [tokens,d], d divisible by heads;
 * causal: a token sees itself and those before it. The score matrix exists per sequence and head
 * only. */
kua__var *kua__attention(kua__tape *t, kua__var *q, kua__var *k, kua__var *v, kua__ragged seq,
                         size_t heads, bool causal);
/* The same where `heads / kv_heads` query heads in a row share a head of keys and values: q
 * [tokens,d], k and v [tokens, d kv_heads / heads]. */
kua__var *kua__attention_grouped(kua__tape *t, kua__var *q, kua__var *k, kua__var *v,
                                 kua__ragged seq, size_t heads, size_t kv_heads, bool causal);
/* Each head's columns turned by angles that grow with the token's place in its sequence (Su et al.,
 * "RoFormer", 2021): pair j of a head by place / theta^(2 j / width). A pair is columns j and j +
 * width / 2, or 2 j and 2 j + 1 where `interleaved`. width: columns of a head; even. */
kua__var *kua__rotary(kua__tape *t, kua__var *x, kua__ragged seq, size_t width, float theta,
                      bool interleaved);
/* The same for q, k, v side by side in one matrix [tokens,3d], as one linear layer gives them. */
kua__var *kua__self_attention(kua__tape *t, kua__var *qkv, kua__ragged seq, size_t heads,
                              bool causal);

kua__var *kua__sum(kua__tape *t, kua__var *x);  /* 1x1 */
kua__var *kua__mean(kua__tape *t, kua__var *x); /* 1x1; 0 where x is empty */
/* Mean over the rows of -log softmax(logits)[target]; rows with target KUA__NO_ID do not count.
 * 1x1. */
kua__var *kua__cross_entropy(kua__tape *t, kua__var *logits, const uint32_t *target);
/* Mean over the rows of -log softmax(h w^T)[target]: h [n,d], an item table w [m,d]. The n x m
 * logits exist a chunk at a time only. Rows with target KUA__NO_ID do not count. target lives until
 * reset. */
kua__var *kua__softmax_loss(kua__tape *t, kua__var *h, kua__var *w, const uint32_t *target);
/* The same with a number of its own added to all logits of an item: bias[m], NULL: none. It gets no
 * gradient and lives until reset. */
kua__var *kua__softmax_loss_biased(kua__tape *t, kua__var *h, kua__var *w, const float *bias,
                                   const uint32_t *target);
/* The same with a bias [1,m] that is trained. */
kua__var *kua__softmax_loss_trained(kua__tape *t, kua__var *h, kua__var *w, kua__var *bias,
                                    const uint32_t *target);

/* Sampled softmax, for catalogues whose full table is too much for a step: a few items stand for
 * all. */
typedef struct kua__candidates {
    uint32_t *item; /* [n] ascending, each once */
    float *log_q;   /* [n] log of the chance that the item was drawn at all */
    size_t n;
} kua__candidates;

/* The targets of a batch (KUA__NO_ID skipped), and `uniform` draws from all n_items;
 * share[n_items]: how often each is a target, adding up to 1. target[n] becomes places in the
 * result, which lives until reset. Draws are the tape's. NULL item: an error, kept in the tape. */
kua__candidates kua__draw_candidates(kua__tape *t, size_t n_items, const float *share,
                                     size_t uniform, uint32_t *target, size_t n);
/* The softmax loss over candidates whose rows are w [n,d], each logit less its log_q: on average
 * the gradient is that of the softmax over all items (Bengio and Senecal, 2008; Yi et al.,
 * "Sampling-bias corrected neural modeling", 2019). target: places among the candidates. */
kua__var *kua__sampled_loss(kua__tape *t, kua__var *h, kua__var *w,
                            const kua__candidates *candidates, const uint32_t *target);
/* Mean over all elements of the binary cross-entropy with targets in [0,1], [rows,cols] like
 * logits. */
kua__var *kua__bce(kua__tape *t, kua__var *logits, const float *target);
kua__var *kua__mse(kua__tape *t, kua__var *a, kua__var *b);

/* y = part(t, x, ctx), of which only y is kept: the way back computes the part once more, with the
 * same draws, and goes back through that (Chen et al., "Training deep nets with sublinear memory
 * cost", 2016). ctx[bytes] is copied. The gradients are those of part(t, x, ctx) itself, bit for
 * bit where x is no parameter. `part` may use parameters; other variables that it reads get no
 * gradient from it. */
typedef kua__var *(*kua__part_fn)(kua__tape *t, kua__var *x, const void *ctx);
kua__var *kua__recompute(kua__tape *t, kua__var *x, kua__part_fn part, const void *ctx,
                         size_t bytes);

kua__var *kua__reverse_grad(kua__tape *t, kua__var *x,
                            float lambda); /* x forward, -lambda times backward */
kua__var *kua__stop_grad(kua__tape *t, kua__var *x);

/* ---- optimisers ---- */

typedef enum kua__schedule {
    KUA__CONSTANT,
    KUA__COSINE,
    KUA__LINEAR
} kua__schedule; /* after warm-up, down to final_scale */

typedef struct kua__optim_options {
    float lr, beta1, beta2, epsilon;
    float weight_decay; /* AdamW's: value -= lr * weight_decay * value */
    bool coupled_decay; /* plain Adam with L2: added to the gradient instead */
    float clip_norm;    /* largest global gradient norm; 0: no clipping */
    kua__schedule schedule;
    uint64_t warmup_steps, total_steps; /* total_steps 0: the schedule stays at 1 after warm-up */
    float final_scale;                  /* of lr at total_steps and after */
} kua__optim_options;

kua__optim_options
kua__optim_defaults(void); /* AdamW: 1e-3, .9, .999, 1e-8, no decay, no clipping, constant */

typedef struct kua__optim {
    kua__optim_options options;
    uint64_t step; /* steps taken */
    float lr;      /* what the last step used */
    double norm;   /* gradient norm of the last step, before clipping */
} kua__optim;

void kua__optim_init(kua__optim *optim, const kua__optim_options *options);
float kua__optim_lr(const kua__optim *optim, uint64_t step); /* of step 1, 2, ... */
/* Clips, steps every parameter that has a gradient, clears the gradients. A parameter's moments are
 * made in its first step. KUA_INVALID where the norm is not finite: nothing is changed but the
 * gradients, which are cleared. */
kua_status kua__optim_step(kua__optim *optim, kua__params *params);

/* Exponential moving average of all parameters. swap exchanges it with the values (evaluate, then
 * swap back). */
typedef struct kua__ema {
    float decay;
    uint64_t updates; /* the effective decay is min(decay, (1 + updates) / (10 + updates)) */
    float **value;    /* [n] of params->all */
    size_t n;
} kua__ema;

kua_status kua__ema_init(kua__ema *ema, const kua__params *params, float decay);
void kua__ema_update(kua__ema *ema, const kua__params *params);
void kua__ema_swap(kua__ema *ema, kua__params *params);
void kua__ema_release(kua__ema *ema);

/* ---- checkpoints: one safetensors file that resumes bit for bit ---- */

/* What goes in; all but params may be NULL. Loading fills the same objects, made beforehand with
 * the same shapes. */
typedef struct kua__checkpoint {
    kua__params *params;
    kua__optim *optim; /* step count and options; moments lie beside the parameters */
    kua__ema *ema;
    kua__tape *tape; /* its step and seed */
    kua__rng *rng;
} kua__checkpoint;

/* `user` (may be NULL) is kept word for word: epochs, best score, settings. Atomic: the old file
 * stays until the new one is whole. */
kua_status kua__checkpoint_save(const char *path, const kua__checkpoint *what, const json_t *user);
/* KUA_FORMAT/KUA_SHAPE names the tensor and both shapes, and nothing is changed. *user (may be
 * NULL) is the caller's to json_decref; JSON null where none was saved. */
kua_status kua__checkpoint_load(const char *path, const kua__checkpoint *what, json_t **user);

#endif
