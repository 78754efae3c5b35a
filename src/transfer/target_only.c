/* target_only.c - no transfer: the sequence model fitted on the target alone, the row that every
 * strategy has to beat. */
#include "rec/sequence.h"
#include "transfer/strategies.h"

static kua_status fit(const kua__world *world, const kua__rec *source, const json_t *settings,
                      const kua_monitor *monitor, kua__rec **out)
{
    (void)source;
    kua__world alone = *world;
    alone.n_sources = 0;
    return kua__rec_fitted(&kua__rec_sequence, settings, &alone, monitor, out);
}

const kua__strategy kua__strategy_target_only = {
    .name = "target-only",
    .summary = "no transfer: the sequence model on the target alone",
    .rec = "sequence",
    .settings = "{}",
    .fit = fit,
};
