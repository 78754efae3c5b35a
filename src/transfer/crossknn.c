/* crossknn.c - the recommender crossknn as a strategy: nothing is trained, what shared users bought
 * in both domains is counted. */
#include "rec/recommenders.h"
#include "transfer/strategies.h"

static kua_status fit(const kua__world *world, const kua__rec *source, const json_t *settings,
                      const kua_monitor *monitor, kua__rec **out)
{
    (void)source;
    return kua__rec_fitted(&kua__rec_crossknn, settings, world, monitor, out);
}

const kua__strategy kua__strategy_crossknn = {
    .name = "crossknn",
    .summary = "source item to target item over shared users: the simple transfer",
    .rec = "crossknn",
    .settings = "{}",
    .fit = fit,
};
