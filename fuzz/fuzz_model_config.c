/* fuzz/fuzz_model_config.c - the JSON files of a model folder: the first byte tells which of the
 * four, the rest is its text. Refused with a message, or every number within its limits. */
#include <stdlib.h>
#include <string.h>

#include "encoder/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds) abort();
}

static void require_sane_sizes(const kua__model_config *c)
{
    require(c->hidden >= 1 && c->hidden <= KUA__MODEL_HIDDEN_MAX);
    require(c->heads >= 1 && c->kv_heads >= 1 && c->heads % c->kv_heads == 0);
    require(c->learned_positions || c->head_dim % 2 == 0);
    require(c->first_position < c->positions);
    require(c->layers >= 1 && c->layers <= KUA__MODEL_LAYERS_MAX);
    require(c->inner >= 1 && c->inner <= KUA__MODEL_INNER_MAX);
    require(c->vocab >= 1 && c->vocab <= KUA_VOCAB_MAX && c->positions >= 1);
    require(c->types <= KUA__MODEL_TYPES_MAX && c->epsilon >= 0 && c->epsilon <= 1);
}

static kua_status parse(int which, const char *text, size_t n)
{
    kua__model_config config;
    kua__pooling_config pooling = {.pooling = KUA_POOLING_MEAN};
    if (which == 0) {
        kua_status st = kua__config_parse("fuzz", text, n, &config);
        if (!st) require_sane_sizes(&config);
        return st;
    }
    kua_status st = which == 1   ? kua__pooling_parse("fuzz", text, n, &pooling)
                    : which == 2 ? kua__modules_parse("fuzz", text, n, &pooling)
                                 : kua__sentence_parse("fuzz", text, n, &pooling);
    require(pooling.pooling != KUA_POOLING_MODEL && pooling.pooling <= KUA_POOLING_LAST);
    return st;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) return 0;
    long live = kua__alloc_live();
    kua_status st = parse(data[0] % 4, (const char *)data + 1, size - 1);
    require(st == KUA_OK || (st == KUA_FORMAT && strlen(kua_error_message()) > 0));
    require(kua__alloc_live() == live);
    return 0;
}
