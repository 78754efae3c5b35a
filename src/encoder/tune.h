/* encoder/tune.h - what of a pretrained model is trained for a new task, how fast, and what that
 * costs in memory.
 *
 *     kua__tune_plan plan = kua__tune_defaults();
 *     plan.how = KUA__TUNE_LORA;
 *     kua__tuning tuning;
 *     st = kua__tuning_begin(&tuning, &plan, &model, &params, &rng);    after the model is loaded
 *     for (epoch ...) {
 *         kua__tuning_epoch(&tuning, epoch);                            thaws the next layer
 *         for (batch ...) {
 *             ... kua__model_on_tape(t, &model, ...), the task's own head, loss, backward ...
 *             kua__tuning_pull(&tuning);                                L2-SP, before the step
 *             kua__optim_step(&optim, &params);
 *         }
 *     }
 *     if (!st) st = kua__tuning_end(&tuning);                           adapters become weights
 *     kua__tuning_release(&tuning);
 *
 * The plan touches the model's parameters only (frozen, lr_scale); those of a task's head in the
 * same kua__params stay as they are: trained at the full rate.
 *
 *     how       trained besides the head                 what it is for
 *     NONE      nothing: vectors are features            computed once by the fast encoder
 *     HEAD      nothing, but token vectors stay on       recurrent heads
 *               the tape
 *     LORA      adapters of low rank                     little data, many tasks on one model
 *               (Hu et al., 2022)
 *     GRADUAL   the last layer first, then one more      little data (Howard and Ruder, "ULMFiT",
 *               every `thaw_every` epochs                2018)
 *     FULL      everything
 *
 * Discriminative rates (ULMFiT): a parameter at depth d of n layers learns at
 * rate * encoder_rate * layer_decay^(n - d). L2-SP (Li et al., 2018): weights are pulled to where
 * they started, not to zero.
 */
#ifndef KUA_ENCODER_TUNE_H
#define KUA_ENCODER_TUNE_H

#include "encoder/lora.h"
#include "encoder/model_tape.h"

typedef enum kua__tune_how {
    KUA__TUNE_NONE,
    KUA__TUNE_HEAD,
    KUA__TUNE_LORA,
    KUA__TUNE_GRADUAL,
    KUA__TUNE_FULL,
    KUA__TUNE_COUNT
} kua__tune_how;

const char *kua__tune_name(kua__tune_how how); /* "none", "head", "lora", "gradual", "full" */
/* KUA_INVALID names the five. */
kua_status kua__tune_parse(const char *text, kua__tune_how *out);

typedef struct kua__tune_plan {
    kua__tune_how how;
    float encoder_rate; /* of the learning rate, for the model's parameters */
    float layer_decay;  /* 1: all layers at one rate */
    float l2_sp;        /* 0: none; .01 is usual. Not with adapters: they start at zero */
    kua__lora_options lora;
    size_t thaw_every; /* epochs */
    bool train_words;  /* FULL, GRADUAL: the table of words too; it is most of a small model */
    bool recompute;    /* activation checkpointing */
} kua__tune_plan;

/* FULL, rates 1, no L2-SP, rank 8 with alpha 16 on query-key-value, a layer every epoch, words
 * trained, nothing recomputed. */
kua__tune_plan kua__tune_defaults(void);

typedef struct kua__tuning {
    kua__tune_plan plan;
    kua__tape_model *model;
    kua__params *params;
    float **start; /* [params->n] where weights began; NULL without L2-SP */
    size_t n;      /* of start */
} kua__tuning;

/* *tuning is to be released after a failure too. KUA_INVALID: a number of the plan is out of range.
 */
kua_status kua__tuning_begin(kua__tuning *tuning, const kua__tune_plan *plan,
                             kua__tape_model *model, kua__params *params, kua__rng *rng);
/* Before epoch 0, 1, 2, ...; whether more is trained than in the one before. */
bool kua__tuning_epoch(kua__tuning *tuning, size_t epoch);
void kua__tuning_pull(kua__tuning *tuning);
/* Adds adapters to the weights; the model is an ordinary one again and can be saved. */
kua_status kua__tuning_end(kua__tuning *tuning);
void kua__tuning_release(kua__tuning *tuning);

/* ---- memory, stated before anything is allocated ---- */

typedef struct kua__tune_memory {
    size_t trained;     /* numbers that are trained */
    size_t weights;     /* bytes: of all parameters */
    size_t gradients;   /* of trained parameters */
    size_t moments;     /* Adam's two */
    size_t start;       /* L2-SP's copy */
    size_t activations; /* of one batch, at the widest moment */
    size_t total;
} kua__tune_memory;

/* For batches of `tokens` tokens in texts no longer than `longest`; `words` rows of a batch go
 * through the head for words (0: there is none). */
kua__tune_memory kua__tune_memory_of(const kua__tune_plan *plan, const kua__model_config *config,
                                     size_t tokens, size_t longest, size_t words);

#endif
