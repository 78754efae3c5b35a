/* strategies.c - the list of strategies, and the recommenders that they end in. */
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

const kua__rec_ops *kua__transfer_rec_find(const char *name)
{
    return kua__streq(name, kua__rec_crossknn.name) ? &kua__rec_crossknn : kua__rec_find(name);
}
