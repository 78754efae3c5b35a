/* crossknn.c - the recommender crossknn as a strategy: nothing is trained, what shared users bought
 * in both domains is counted. */
#include "rec/recommenders.h"
#include "transfer/strategies.h"

static kua_status fit(const kua__world *world, const kua__rec *source, const json_t *settings,
                      const kua_monitor *monitor, kua__rec **out)
{
    (void)source;
    KUA__TRY(kua__rec_create_from(&kua__rec_crossknn, settings, out));
    kua_status st = kua__rec_fit(*out, world, monitor);
    if (st) {
        kua__rec_free(*out);
        *out = NULL;
    }
    return st;
}

const kua__strategy kua__strategy_crossknn = {
    .name = "crossknn",
    .summary = "source item to target item over shared users: the simple transfer",
    .rec = "crossknn",
    .settings = "{}",
    .fit = fit,
};
