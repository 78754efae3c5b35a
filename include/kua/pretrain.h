/* kua/pretrain.h - teaching a language model a shop's own words before it is used or fine-tuned.
 *
 *     kua_pretrain_options o = {.objective = KUA_OBJECTIVE_MLM, .model = "models/minilm-l6",
 *                               .out = "models/minilm-shop", .settings = "{\"epochs\": 2}"};
 *     kua_status st = kua_pretrain_file("titles.txt", &o, NULL, NULL);
 *
 * Objectives
 *     mlm           masked words (BERT and its kin): of 15 % of the tokens 80 % are hidden, 10 %
 *                   replaced by another, 10 % left; anew in every epoch
 *     clm           the next word (GPT-2, llama)
 *     contrastive   a text and its partner closer than a text and the others of its batch: partners
 *                   are pairs that the caller gives ("bought together"), or where there are none
 *                   the text itself under another dropout mask (SimCSE, Gao et al., 2021)
 *
 * Settings: a JSON object; what is not given is
 *     epochs 3, steps 0 (0: as the epochs make), batch_tokens 4096, accumulate 1 (batches a step),
 *     max_tokens 128 (a text's or window's), lr 5e-5 (from scratch 1e-3), warmup .06 (share of the
 *     steps; then a cosine), weight_decay .01, clip 1, dropout .1 (llama: 0), seed 1, bf16 true,
 *     recompute false (layers twice instead of kept: less memory, a third more work),
 *     tune "full" (or lora, gradual), rank 8, alpha 16, targets "attention", layer_decay 1, l2_sp
 * 0, held_out .02 (share of the texts), held_out_max 2000 (texts), evals 10 (a run), patience 0 (0:
 *     to the end), mask .15, pack false (clm: texts one after the other in full windows),
 *     temperature .05, ngram 0 (clm: a Kneser-Ney model of that order on the same tokens, to
 * compare)
 *
 * Held out: chosen by a hash of the text, so that equal texts are on one side. The best weights on
 *     held-out text are what is written.
 *
 * What is written: OUT/config.json, OUT/model.safetensors and the tokenizer's files, which open in
 *     kua_encoder_load() and in Python's transformers; OUT/pretrain.json, the report.
 *
 * Cancelling: the monitor returns false: KUA_CANCELED, and OUT/checkpoint.safetensors stays, from
 *     which the same call goes on, bit for bit. One is also left every few minutes.
 *
 * Memory: stated to the monitor's log before anything is allocated.
 *
 * Report: {"objective", "model", "out", "texts", "held_out", "examples", "parameters", "trained",
 *     "memory": {"weights", "gradients", "moments", "start", "activations", "total"}, "head":
 * "loaded" | "new" | "none", "steps", "epochs", "tokens", "seconds", "tokens_per_second",
 * "peak_bytes", "before", "best": {"step", "loss", "perplexity", "accuracy", "bits_per_character"},
 * "curve":
 *     [{"step", "epoch", "train", ..}], "ngram": {..}}
 */
#ifndef KUA_PRETRAIN_H
#define KUA_PRETRAIN_H

#include <stddef.h>
#include <stdint.h>

#include "kua/monitor.h"
#include "kua/status.h"
#include "kua/tokenizer.h"

typedef enum kua_objective {
    KUA_OBJECTIVE_MLM,
    KUA_OBJECTIVE_CLM,
    KUA_OBJECTIVE_CONTRASTIVE
} kua_objective;

typedef struct kua_pretrain_options {
    kua_objective objective;
    const char *model;     /* a folder to go on from; NULL: from scratch */
    const char *config;    /* from scratch: a config.json; its vocab_size may be missing */
    const char *tokenizer; /* file or folder; NULL: the model's folder, or that of the config */
    const char *out;       /* folder to write */
    const char *settings;  /* JSON; NULL: defaults */
} kua_pretrain_options;

/* Texts in memory, and which of them belong together: pair[2 * n_pairs] are numbers of texts. */
typedef struct kua_pretrain_texts {
    const kua_text *text;
    size_t n;
    const uint32_t *pair; /* NULL: none */
    size_t n_pairs;
} kua_pretrain_texts;

/* KUA_INVALID names the setting; KUA_FORMAT: a file of the model is damaged, or the objective does
 * not fit its family. monitor and report may be NULL; the report is the caller's (kua_text_free).
 */
KUA_MUST_CHECK kua_status kua_pretrain(const kua_pretrain_texts *texts,
                                       const kua_pretrain_options *options,
                                       const kua_monitor *monitor, char **report);
/* The same with one text a line of a file. */
KUA_MUST_CHECK kua_status kua_pretrain_file(const char *text_file,
                                            const kua_pretrain_options *options,
                                            const kua_monitor *monitor, char **report);

#endif
