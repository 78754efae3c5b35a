/* app/trainer.h - the loop over epochs that classifiers and taggers share.
 *
 * Invariants
 *   I1  the rows of an epoch are shuffled by (seed, epoch): a run that goes on from a checkpoint
 *       takes the same batches as one that was never stopped.
 *   I2  a checkpoint is taken between steps only; it holds parameters, moments, the tape's step,
 * and how far the run is. best.safetensors beside it holds the best epoch's parameters. I3  with
 * validation rows the parameters at the end are those of the best epoch.
 */
#ifndef KUA_APP_TRAINER_H
#define KUA_APP_TRAINER_H

#include <jansson.h>

#include "app/settings.h"
#include "encoder/tune.h"
#include "grad/grad.h"

/* How good the parameters are on the validation rows. */
typedef struct kua__valid {
    double loss, score; /* score: accuracy, or F1 of entities */
} kua__valid;

typedef struct kua__trainer {
    const kua__app_settings *settings;
    kua__params *params;
    kua__tuning *tuning; /* NULL: nothing but the head is trained */
    const uint32_t *row; /* [n] what is trained on: numbers that `loss` gets back */
    size_t n;
    /* Mean loss of rows pick[n], on the tape; NULL: an error, in the tape. */
    kua__var *(*loss)(void *ctx, kua__tape *t, const uint32_t *pick, size_t n);
    /* NULL: there are no validation rows. */
    kua_status (*validate)(void *ctx, kua__tape *t, kua__valid *out);
    void *ctx;
    const char *folder;      /* of checkpoints */
    const char *fingerprint; /* a checkpoint of another one is not gone on from */
    const char *score_name;  /* "accuracy" */
    const kua_monitor *monitor;
    /* results */
    json_t *epochs; /* array; to be decref'd */
    size_t best_epoch, steps;
    bool resumed;
} kua__trainer;

kua_status kua__trainer_run(kua__trainer *tr);

#endif
