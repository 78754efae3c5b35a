/* encoder.c - kua_encoder: a model, its tokenizer, and a pool of scratch memory.
 *
 * The pool is what makes a loaded encoder usable by several threads at once: a call takes as many
 * scratches as it has threads, making what is missing, and gives them back at its end. They are
 * kept, with the compiled products in them, so that the next call allocates nothing of that size.
 *
 *     free -> scratch -> scratch -> NULL     guarded by `lock`; who takes one owns it until it is
 *                                            given back, so that scratches need no lock
 */
#include "encoder/encoder.h"

#include <assert.h>
#include <string.h>

enum {
    BATCH_TOKENS = 256, /* forward.c says why */
    BATCH_TOKENS_MAX = 1 << 16,
    TOKENS_UNSTATED =
        256, /* a folder without sentence_bert_config.json: sentence-transformers' usual limit */
};

/* ---- the pool ---- */

kua_status kua__encoder_take(kua_encoder *e, kua__encoder_scratch **out)
{
    assert(e && out && e->max_tokens >= 1);
    pthread_mutex_lock(&e->lock);
    kua__encoder_scratch *s = e->free;
    if (s) e->free = s->next;
    pthread_mutex_unlock(&e->lock);
    if (!s) {
        KUA__TRY(KUA__NEW_ZEROED(&s, 1, "an encoder's scratch memory"));
        kua_status st = kua__scratch_init(&s->scratch, &e->model, e->rows, e->max_tokens);
        if (st) {
            kua__free(s);
            return st;
        }
    }
    *out = s;
    return KUA_OK;
}

void kua__encoder_give(kua_encoder *e, kua__encoder_scratch *s)
{
    if (!s) return;
    pthread_mutex_lock(&e->lock);
    s->next = e->free;
    e->free = s;
    pthread_mutex_unlock(&e->lock);
}

/* ---- loading ---- */

static kua_status check_options(const kua_encoder_options *o)
{
    if ((unsigned)o->pooling > KUA_POOLING_LAST)
        return kua__fail(KUA_INVALID, "encoder: pooling is %d, expected 0..%d", (int)o->pooling,
                         KUA_POOLING_LAST);
    if ((unsigned)o->unit > KUA_UNIT_NO)
        return kua__fail(KUA_INVALID, "encoder: unit is %d, expected 0..%d", (int)o->unit,
                         KUA_UNIT_NO);
    if ((unsigned)o->precision > KUA_PRECISION_INT8)
        return kua__fail(KUA_INVALID, "encoder: precision is %d, expected 0..%d", (int)o->precision,
                         KUA_PRECISION_INT8);
    if (o->batch_tokens > BATCH_TOKENS_MAX) {
        return kua__fail(KUA_INVALID, "encoder: batch_tokens is %zu, expected 0..%d",
                         o->batch_tokens, BATCH_TOKENS_MAX);
    }
    return KUA_OK;
}

/* The option, else the folder's limit, never more than the model has positions. */
static kua_status choose_max_tokens(kua_encoder *e, size_t option, size_t stated, size_t positions,
                                    const char *path)
{
    size_t special = kua_tokenizer_describe(e->tokenizer).special_per_text;
    size_t most = KUA__MIN(positions, (size_t)KUA_ENCODER_TOKENS_MAX),
           least = KUA__MAX(special, (size_t)1);
    if (option && (option < least || option > most)) {
        return kua__fail(KUA_INVALID, "encoder: max_tokens is %zu, expected %zu..%zu", option,
                         least, most);
    }
    if (most < least) {
        return kua__fail(KUA_FORMAT,
                         "%s: the model has %zu positions, the tokenizer adds %zu tokens", path,
                         positions, special);
    }
    if (!stated) stated = TOKENS_UNSTATED;
    e->max_tokens = option ? option : KUA__MAX(least, KUA__MIN(stated, most));
    return KUA_OK;
}

/* What was asked, else what the folder says, else what suits: the last token of a causal model is
 * the only one that saw the whole text. */
static kua_pooling choose_pooling(kua_pooling option, kua_pooling stated, bool causal)
{
    if (option) return option;
    return stated ? stated : causal ? KUA_POOLING_LAST : KUA_POOLING_MEAN;
}

static kua_status load(kua_encoder *e, const char *path, const kua__weights *file,
                       const kua_encoder_options *o, kua__model_config *config)
{
    kua__pooling_config pooling;
    KUA__TRY(kua__config_find(path, file, config));
    KUA__TRY(kua__pooling_load(path, &pooling));
    KUA__TRY(kua__tokenizer_find(path, file, config->vocab, &e->tokenizer));
    KUA__TRY(
        choose_max_tokens(e, o->max_tokens, pooling.max_tokens, kua__config_longest(config), path));
    e->pooling = choose_pooling(o->pooling, pooling.pooling, config->causal);
    e->unit = o->unit ? o->unit == KUA_UNIT_YES : pooling.unit;
    e->batch_tokens = o->batch_tokens ? o->batch_tokens : BATCH_TOKENS;
    e->rows = KUA__MAX(e->batch_tokens, e->max_tokens);
    return KUA_OK;
}

static kua_status open_encoder(kua_encoder *e, const char *path, const kua_encoder_options *o)
{
    kua__weights *file = NULL;
    kua__model_config config;
    KUA__TRY(check_options(o));
    KUA__TRY(kua__weights_open(path, &file));
    kua_status st = load(e, path, file, o, &config);
    if (st) {
        kua__weights_close(file);
        return st;
    }
    kua__model_options options = {.max_tokens = e->max_tokens,
                                  .precision = (kua__precision)o->precision};
    return kua__model_load(&e->model, file, &config, &options);
}

kua_status kua_encoder_load(const char *path, const kua_encoder_options *options, kua_encoder **out)
{
    assert(path && out);
    *out = NULL;
    kua_encoder *e = NULL;
    KUA__TRY(KUA__NEW_ZEROED(&e, 1, "an encoder"));
    pthread_mutex_init(&e->lock, NULL);
    kua_status st = open_encoder(e, path, options ? options : &(kua_encoder_options){0});
    if (st)
        kua_encoder_free(e);
    else
        *out = e;
    return st;
}

void kua_encoder_free(kua_encoder *encoder)
{
    if (!encoder) return;
    while (encoder->free) {
        kua__encoder_scratch *s = encoder->free;
        encoder->free = s->next;
        kua__scratch_release(&s->scratch);
        kua__free(s);
    }
    pthread_mutex_destroy(&encoder->lock);
    kua__model_release(&encoder->model);
    kua_tokenizer_free(encoder->tokenizer);
    kua__free(encoder);
}

/* ---- describing ---- */

size_t kua_encoder_dim(const kua_encoder *encoder)
{
    assert(encoder);
    return encoder->model.config.hidden;
}

const kua_tokenizer *kua_encoder_tokenizer(const kua_encoder *encoder)
{
    assert(encoder);
    return encoder->tokenizer;
}

kua_encoder_info kua_encoder_describe(const kua_encoder *encoder)
{
    assert(encoder);
    const kua__model_config *c = &encoder->model.config;
    return (kua_encoder_info){
        .family = kua__family_name(c->family),
        .dim = c->hidden,
        .layers = c->layers,
        .heads = c->heads,
        .inner = c->inner,
        .vocab_size = c->vocab,
        .max_tokens = encoder->max_tokens,
        .pooling = encoder->pooling,
        .unit = encoder->unit,
        .parameters = encoder->model.parameters,
        .weight_bytes = kua__model_bytes(&encoder->model),
        .scratch_bytes = kua__scratch_bytes(&encoder->model, encoder->rows, encoder->max_tokens),
    };
}
