/* frozen.c - feature-based transfer: what the sources taught is kept as it is, only the target's
 * item vectors are learned.
 *
 *     w_T = (w_S adaptor, layers, positions: frozen; theta: id vectors of the target's items)
 */
#include "rec/sequence.h"
#include "transfer/strategies.h"

static kua_status fit(const kua__world *world, const kua__rec *source, const json_t *settings,
                      const kua_monitor *monitor, kua__rec **out)
{
    return kua__sequence_fit_from(world, settings, source, KUA__SEQUENCE_FROZEN, monitor, out);
}

const kua__strategy kua__strategy_frozen = {
    .name = "frozen",
    .summary = "adaptor and sequence layers of the sources as they are, new item vectors",
    .rec = "sequence",
    .settings = "{}",
    .needs_source = true,
    .fit = fit,
};
