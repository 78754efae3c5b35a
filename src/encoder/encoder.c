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
        kua_status st = kua__bert_scratch_init(&s->bert, &e->bert, e->rows, e->max_tokens);
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
    if (o->batch_tokens > BATCH_TOKENS_MAX) {
        return kua__fail(KUA_INVALID, "encoder: batch_tokens is %zu, expected 0..%d",
                         o->batch_tokens, BATCH_TOKENS_MAX);
    }
    return KUA_OK;
}

/* The option, else the folder's limit, never more than the model has positions. */
static kua_status choose_max_tokens(kua_encoder *e, size_t option, size_t stated, size_t positions,
                                    const char *folder)
{
    size_t special = kua_tokenizer_describe(e->tokenizer).special_per_text;
    size_t most = KUA__MIN(positions, (size_t)KUA_ENCODER_TOKENS_MAX),
           least = KUA__MAX(special, (size_t)1);
    if (option && (option < least || option > most)) {
        return kua__fail(KUA_INVALID, "encoder: max_tokens is %zu, expected %zu..%zu", option,
                         least, most);
    }
    if (most < least) {
        return kua__fail(
            KUA_FORMAT,
            "%s/config.json: max_position_embeddings is %zu, the tokenizer adds %zu tokens", folder,
            positions, special);
    }
    if (!stated) stated = TOKENS_UNSTATED;
    e->max_tokens = option ? option : KUA__MAX(least, KUA__MIN(stated, most));
    return KUA_OK;
}

/* Fewer tokens than rows is usual: tables are padded to round numbers. */
static kua_status check_vocabulary(const kua_encoder *e, const kua__model_config *c,
                                   const char *folder)
{
    size_t has = kua_tokenizer_describe(e->tokenizer).vocab_size;
    if (has <= c->vocab) return KUA_OK;
    return kua__fail(KUA_FORMAT,
                     "%s: the tokenizer has %zu tokens, config.json's vocab_size is %zu", folder,
                     has, c->vocab);
}

static kua_status load(kua_encoder *e, const char *folder, const kua_encoder_options *o)
{
    kua__model_config config;
    kua__pooling_config pooling;
    KUA__TRY(check_options(o));
    KUA__TRY(kua__config_load(folder, &config));
    if (config.family != KUA__FAMILY_BERT)
        return kua__fail(KUA_FORMAT, "%s: family %s cannot be encoded with yet", folder,
                         kua__family_name(config.family));
    KUA__TRY(kua__pooling_load(folder, &pooling));
    KUA__TRY(kua_tokenizer_load(folder, &e->tokenizer));
    KUA__TRY(check_vocabulary(e, &config, folder));
    KUA__TRY(choose_max_tokens(e, o->max_tokens, pooling.max_tokens, config.positions, folder));
    e->pooling = o->pooling ? o->pooling : pooling.pooling ? pooling.pooling : KUA_POOLING_MEAN;
    e->unit = o->unit ? o->unit == KUA_UNIT_YES : pooling.unit;
    e->batch_tokens = o->batch_tokens ? o->batch_tokens : BATCH_TOKENS;
    e->rows = KUA__MAX(e->batch_tokens, e->max_tokens);
    return kua__bert_load(&e->bert, folder, &config, e->max_tokens);
}

kua_status kua_encoder_load(const char *folder, const kua_encoder_options *options,
                            kua_encoder **out)
{
    assert(folder && out);
    *out = NULL;
    kua_encoder *e = NULL;
    KUA__TRY(KUA__NEW_ZEROED(&e, 1, "an encoder"));
    pthread_mutex_init(&e->lock, NULL);
    kua_status st = load(e, folder, options ? options : &(kua_encoder_options){0});
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
        kua__bert_scratch_release(&s->bert);
        kua__free(s);
    }
    pthread_mutex_destroy(&encoder->lock);
    kua__bert_release(&encoder->bert);
    kua_tokenizer_free(encoder->tokenizer);
    kua__free(encoder);
}

/* ---- describing ---- */

size_t kua_encoder_dim(const kua_encoder *encoder)
{
    assert(encoder);
    return encoder->bert.config.hidden;
}

const kua_tokenizer *kua_encoder_tokenizer(const kua_encoder *encoder)
{
    assert(encoder);
    return encoder->tokenizer;
}

kua_encoder_info kua_encoder_describe(const kua_encoder *encoder)
{
    assert(encoder);
    const kua__model_config *c = &encoder->bert.config;
    return (kua_encoder_info){
        .dim = c->hidden,
        .layers = c->layers,
        .heads = c->heads,
        .inner = c->inner,
        .vocab_size = c->vocab,
        .max_tokens = encoder->max_tokens,
        .pooling = encoder->pooling,
        .unit = encoder->unit,
        .parameters = encoder->bert.parameters,
        .weight_bytes = kua__bert_bytes(&encoder->bert),
        .scratch_bytes = kua__bert_scratch_bytes(c, encoder->rows, encoder->max_tokens),
    };
}
