/* strategies.c - the list of strategies. */
#include "transfer/strategies.h"

const kua__strategy *const kua__strategy_all[] = {
    &kua__strategy_target_only,
    &kua__strategy_crossknn,
    &kua__strategy_frozen,
    &kua__strategy_finetune,
    NULL,
};

const kua__strategy *kua__strategy_find(const char *name)
{
    for (size_t i = 0; kua__strategy_all[i]; i++) {
        if (kua__streq(kua__strategy_all[i]->name, name)) return kua__strategy_all[i];
    }
    return NULL;
}
