/* encoder/pretrain.h - what the files of pre-training share.
 *
 *     pretrain.c            the call: model, tokenizer, memory, files in and out
 *     pretrain_settings.c   settings from JSON
 *     pretrain_corpus.c     texts -> token ids once -> pieces -> examples; held-out side
 *     pretrain_batch.c      examples -> one ragged batch: masks, targets
 *     pretrain_loss.c       a batch -> loss on the tape, or a judgement of held-out examples
 *     pretrain_run.c        steps, epochs, evaluation, the best weights
 *     pretrain_resume.c     checkpoints
 */
#ifndef KUA_ENCODER_PRETRAIN_H
#define KUA_ENCODER_PRETRAIN_H

#include <jansson.h>

#include "encoder/tune.h"
#include "kua/pretrain.h"

/* ---- settings ---- */

typedef struct kua__pretrain_settings {
    size_t epochs, steps, batch_tokens, accumulate, max_tokens, evals, patience, held_out_max,
        ngram;
    double held_out, lr, warmup, weight_decay, clip, dropout, mask, temperature;
    uint64_t seed;
    bool bf16, pack;
    kua__tune_plan plan;
} kua__pretrain_settings;

/* `json` may be NULL. KUA_INVALID names what is unknown or out of range. */
kua_status kua__pretrain_settings_read(const json_t *json, bool from_scratch,
                                       kua__pretrain_settings *out);

/* ---- texts as examples ---- */

/* Pieces are stretches of token ids, special ones included; an example is one of them, or two that
 * belong together. The training examples come first, the held-out ones behind them. */
typedef struct kua__corpus {
    uint32_t *id;
    size_t *at; /* [n + 1] where each piece begins in id */
    size_t n, id_room, at_room;
    uint32_t (*example)[2]; /* pieces; the second may be the first again */
    size_t n_train, n_held;
    size_t longest, train_tokens;
    size_t held_texts, held_characters; /* code points, and one for each text's end */
    size_t front, back;                 /* special tokens around a piece */
    uint32_t mask, first, last;         /* token ids; KUA__NO_ID: none */
    size_t vocab;
} kua__corpus;

kua_status kua__corpus_build(const kua_pretrain_texts *texts, const kua_tokenizer *tokenizer,
                             kua_objective objective, const kua__pretrain_settings *settings,
                             const kua_monitor *monitor, kua__corpus *out);
void kua__corpus_release(kua__corpus *corpus);

/* ---- batches ---- */

typedef struct kua__words_batch {
    uint32_t *id, *at; /* [tokens], [n + 1]: what goes in */
    uint32_t *row;     /* [n_rows] rows of the output that are asked (mlm), NULL: all of them */
    uint32_t *word;    /* [n_rows] what they should say */
    size_t n, tokens, n_rows, room;
} kua__words_batch;

/* Room for batches of so many tokens, and one piece more. */
kua_status kua__words_batch_init(kua__words_batch *b, size_t batch_tokens, size_t longest);
void kua__words_batch_release(kua__words_batch *b);

/* Examples order[first], order[first + 1], ... as fit into batch_tokens; the first that does not.
 * `stream` numbers the draws of masks: another for each epoch. */
size_t kua__words_batch_fill(kua__words_batch *b, const kua__corpus *c, kua_objective objective,
                             const kua__pretrain_settings *s, const uint32_t *order, size_t first,
                             size_t n, uint64_t stream);
/* How many steps an epoch of this order takes. */
size_t kua__words_batch_steps(const kua__corpus *c, kua_objective objective,
                              const kua__pretrain_settings *s, const uint32_t *order);

/* ---- the run ---- */

typedef struct kua__judged {
    double loss; /* mean, natural logarithm */
    double accuracy;
    double bits; /* for a character of held-out text; clm only */
    size_t counted;
} kua__judged;

typedef struct kua__pretraining {
    kua_objective objective;
    const kua__pretrain_settings *settings;
    const kua__corpus *corpus;
    const kua_monitor *monitor;
    const char *checkpoint; /* file; its best weights lie beside it */
    kua_pooling pooling;    /* contrastive */

    kua__params params;
    kua__tape_model model;
    kua__tuning tuning;
    kua__tape *tape;
    kua__optim optim;
    kua__words_batch batch;
    uint32_t *order;   /* [n_train] of the epoch under way */
    uint32_t *held;    /* [n_held] */
    char identity[20]; /* what the run is of */

    size_t epoch, cursor;      /* in order */
    size_t step, total, every; /* steps: done, planned, between evaluations */
    size_t best_step, worse;   /* evaluations since the best one */
    double best_loss;
    double train_sum; /* since the last evaluation */
    size_t train_n;
    uint64_t tokens, tokens_before; /* of all calls, and of those before this one */
    json_t *curve, *before, *best;
} kua__pretraining;

/* The loss of the batch under way, on the tape. */
kua__var *kua__pretrain_loss(kua__pretraining *r);
/* Held-out examples, with masks and dropout that are the same every time. */
kua_status kua__pretrain_judge(kua__pretraining *r, kua__judged *out);

/* Trains; leaves the best weights in params. Model, tuning, tape are made. */
kua_status kua__pretrain_train(kua__pretraining *r);

kua_status kua__pretrain_identify(kua__pretraining *r);
kua_status kua__pretrain_save(kua__pretraining *r);
/* *found: there was a checkpoint of this very run, and it is loaded. */
kua_status kua__pretrain_restore(kua__pretraining *r, bool *found);
kua_status kua__pretrain_save_best(kua__pretraining *r);
kua_status kua__pretrain_load_best(kua__pretraining *r);
void kua__pretrain_forget(const kua__pretraining *r); /* removes both files */

#endif
