/* app/settings.h - the numbers that training a classifier or tagger can be told. */
#ifndef KUA_APP_SETTINGS_H
#define KUA_APP_SETTINGS_H

#include <jansson.h>

#include "base/base.h"

/* id, name, default, low, high, whole number?, what it is */
#define KUA__APP_SETTING_MAP(X)                                                                    \
    X(EPOCHS, "epochs", 5, 1, 10000, true, "passes over the training rows")                        \
    X(BATCH, "batch", 32, 1, 65536, true, "rows computed together")                                \
    X(ACCUMULATE, "accumulate", 1, 1, 4096, true, "batches whose gradients make one step")         \
    X(LR, "lr", 1e-3, 1e-9, 1, false, "learning rate of the head")                                 \
    X(ENCODER_LR, "encoder_lr", 5e-5, 0, 1, false, "learning rate of the encoder (full)")          \
    X(LORA_LR, "lora_lr", 5e-4, 0, 1, false, "learning rate of the low-rank additions")            \
    X(LAYER_DECAY, "layer_decay", 1, .01, 1, false, "learning rate of a layer over the one above") \
    X(THAW_EVERY, "thaw_every", 1, 1, 1000, true,                                                  \
      "gradual: epochs until one layer more is trained")                                           \
    X(WEIGHT_DECAY, "weight_decay", .01, 0, 10, false, "AdamW's, of the encoder")                  \
    X(L2SP, "l2sp", 0, 0, 100, false, "pull of the encoder towards where it started (L2-SP)")      \
    X(DROPOUT, "dropout", .1, 0, .95, false, "in the encoder and in front of the head")            \
    X(WARMUP, "warmup", .1, 0, 1, false,                                                           \
      "share of the steps in which the rate rises (where the encoder is tuned)")                   \
    X(CLIP, "clip", 1, 0, 1e6, false,                                                              \
      "largest norm of all gradients (where the encoder is tuned); 0: no limit")                   \
    X(PATIENCE, "patience", 2, 0, 10000, true,                                                     \
      "epochs without a better validation loss before training ends; 0: never")                    \
    X(HIDDEN, "hidden", 128, 1, 8192, true, "width of the mlp's or lstm's layer")                  \
    X(LAST_STEP, "last_step", 0, 0, 1, true, "lstm: only the last step's state is asked, not all") \
    X(TRAIN_WORDS, "train_words", 1, 0, 1, true,                                                   \
      "full, gradual: the table of words is trained too")                                          \
    X(RECOMPUTE, "recompute", 0, 0, 1, true, "layers are computed twice instead of kept")          \
    X(RANK, "rank", 8, 1, 256, true, "of the low-rank additions")                                  \
    X(ALPHA, "alpha", 16, 0, 4096, false, "their scale is alpha / rank")                           \
    X(MAX_TOKENS, "max_tokens", 128, 4, 8192, true, "longer texts are cut")                        \
    X(VALID_SHARE, "valid_share", .1, 0, .9, false,                                                \
      "rows kept back for validation where the data has none")                                     \
    X(SEED, "seed", 1, 0, 4294967295., true, "of shuffling, starts and dropout")                   \
    X(BF16, "bf16", 1, 0, 1, true,                                                                 \
      "products in bf16 with f32 sums and weights, where the processor can")                       \
    X(SCRATCH, "scratch", 0, 0, 1, true, "the encoder starts from random numbers")                 \
    X(MIN_TEXTS, "min_texts", 1, 1, 1e6, true, "tfidf: terms in fewer texts are left out")         \
    X(L2, "l2", 0, 0, 1e6, false, "of a linear head that is not tuned; 0: chosen")                 \
    X(CACHE_MB, "cache_mb", 1024, 0, 1e6, true, "memory for the frozen encoder's token states")    \
    X(CHECKPOINT_S, "checkpoint_s", 120, 0, 1e9, false, "seconds between checkpoints")

typedef enum kua__app_setting {
#define X(id, name, fallback, low, high, whole, what) KUA__SET_##id,
    KUA__APP_SETTING_MAP(X)
#undef X
        KUA__APP_SETTINGS
} kua__app_setting;

typedef struct kua__app_settings {
    double value[KUA__APP_SETTINGS];
} kua__app_settings;

/* `json`: text of an object, or NULL. KUA_INVALID names the setting, its value and what is
 * expected. */
kua_status kua__app_settings_parse(const char *json, kua__app_settings *out);
/* [{"name", "default", ..}]; NULL: out of memory. */
json_t *kua__app_settings_list(void);
/* {"epochs": 5, ..} */
json_t *kua__app_settings_json(const kua__app_settings *s);

static inline size_t kua__setting_count(const kua__app_settings *s, kua__app_setting which)
{
    return (size_t)s->value[which];
}

#endif
