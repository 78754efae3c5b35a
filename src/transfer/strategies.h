/* transfer/strategies.h - the strategies of this layer, one file each; strategies.c lists them. */
#ifndef KUA_TRANSFER_STRATEGIES_H
#define KUA_TRANSFER_STRATEGIES_H

#include "transfer/transfer.h"

extern const kua__strategy kua__strategy_target_only, kua__strategy_crossknn, kua__strategy_frozen,
    kua__strategy_finetune;

#endif
