/* finetune.c - model-based transfer: begin where the sources ended, and train on with a smaller
 * rate for the body.
 *
 *     w_T = argmin L_T(w), begun at w_S
 *
 * The body's learning rate is body_lr times that of the new item vectors.
 * Discriminative rates as in Howard and Ruder, "Universal language model fine-tuning for text
 * classification", 2018.
 */
#include "rec/sequence.h"
#include "transfer/strategies.h"

static kua_status fit(const kua__world *world, const kua__rec *source, const json_t *settings,
                      const kua_monitor *monitor, kua__rec **out)
{
    return kua__sequence_fit_from(world, settings, source, KUA__SEQUENCE_FINETUNE, monitor, out);
}

const kua__strategy kua__strategy_finetune = {
    .name = "finetune",
    .summary = "the sources' model trained on in the target, its body at a smaller rate",
    .rec = "sequence",
    .settings = "{}",
    .needs_source = true,
    .fit = fit,
};
