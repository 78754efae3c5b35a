/* load_gguf.c - a tokenizer from the metadata of a GGUF file.
 *
 *     tokenizer.ggml.model             "gpt2": byte-level BPE
 *     tokenizer.ggml.pre               which splitter
 *     tokenizer.ggml.tokens            pieces by id
 *     tokenizer.ggml.token_type        1 normal, 3 control, 4 given by the user, ...
 *     tokenizer.ggml.merges            "a b" in the order learnt
 *     tokenizer.ggml.*_token_id        bos, eos, padding, unknown
 *     tokenizer.ggml.add_bos_token     is it put before a text? (add_eos_token: behind)
 *
 * Control tokens are found in a text before it is split, as the original's added tokens were. Other
 * models ("llama", "bert", "t5") are refused by name.
 */
#include <assert.h>
#include <string.h>

#include "text/load.h"

enum { TYPE_CONTROL = 3, TYPE_USER = 4 };

static const kua__split_step gpt2_step = {.kind = KUA__SPLIT_BYTES, .cut = true},
                             plain_step = {.kind = KUA__SPLIT_BYTES},
                             digits_step = {.kind = KUA__SPLIT_DIGITS},
                             llama3_step = {.kind = KUA__SPLIT_PATTERN, .pattern = {true, 3}},
                             qwen2_step = {.kind = KUA__SPLIT_PATTERN, .pattern = {true, 1}};

static kua_status choose_splitter(const char *name, kua__gguf_text pre, kua__splitter *split)
{
    static const struct {
        const char *name;
        const kua__split_step *first, *second;
    } known[] = {
        {"gpt-2", &gpt2_step, NULL},
        {"gpt2", &gpt2_step, NULL},
        {"default", &gpt2_step, NULL},
        {"smollm", &digits_step, &gpt2_step},
        {"llama-bpe", &llama3_step, &plain_step},
        {"llama3", &llama3_step, &plain_step},
        {"qwen2", &qwen2_step, &plain_step},
    };
    for (size_t i = 0; i < KUA__COUNT(known); i++) {
        if (strlen(known[i].name) != pre.n || memcmp(known[i].name, pre.data, pre.n) != 0) continue;
        split->step[split->n++] = *known[i].first;
        if (known[i].second) split->step[split->n++] = *known[i].second;
        return KUA_OK;
    }
    return kua__fail(
        KUA_FORMAT,
        "%s: tokenizer.ggml.pre is \"%.*s\", expected gpt-2, smollm, llama-bpe or qwen2", name,
        (int)KUA__MIN(pre.n, 60), pre.data);
}

static kua_status need_array(const kua__gguf *file, const char *key, kua__gguf_type type,
                             const kua__gguf_value **out)
{
    *out = kua__gguf_array(file, key, type);
    if (*out) return KUA_OK;
    return kua__fail(KUA_FORMAT, "%s: %s is missing or no array of %s", kua__gguf_path(file), key,
                     kua__gguf_type_name(type));
}

static kua_status read_tokens(kua__recipe *recipe, const kua__gguf *file)
{
    const kua__gguf_value *tokens = NULL;
    const kua__gguf_value *types =
        kua__gguf_array(file, "tokenizer.ggml.token_type", KUA__GGUF_I32);
    KUA__TRY(need_array(file, "tokenizer.ggml.tokens", KUA__GGUF_TEXT, &tokens));
    if (types && types->n != tokens->n) {
        return kua__fail(KUA_FORMAT,
                         "%s: tokenizer.ggml.token_type has %zu elements for %zu tokens",
                         recipe->name, types->n, tokens->n);
    }
    for (size_t i = 0; i < tokens->n; i++) {
        kua__gguf_text text = kua__gguf_text_at(tokens, i);
        KUA__TRY(kua__pieces_add(&recipe->pieces, recipe->name, 0, text.data, text.n, (uint32_t)i));
        int64_t type = types ? kua__gguf_int_at(types, i) : 1;
        if (type != TYPE_CONTROL && type != TYPE_USER) continue;
        KUA__TRY(
            kua__recipe_add_token(recipe, (kua__added_token){.content = text.data,
                                                             .n = (uint32_t)text.n,
                                                             .id = (uint32_t)i,
                                                             .special = type == TYPE_CONTROL}));
    }
    recipe->n_model = recipe->pieces.n;
    return KUA_OK;
}

static kua_status read_merges(kua__recipe *recipe, const kua__gguf *file)
{
    const kua__gguf_value *merges = NULL;
    KUA__TRY(need_array(file, "tokenizer.ggml.merges", KUA__GGUF_TEXT, &merges));
    for (size_t i = 0; i < merges->n; i++) {
        kua__gguf_text text = kua__gguf_text_at(merges, i);
        KUA__TRY(kua__load_merge(recipe, i, text.data, text.n));
    }
    return KUA_OK;
}

static kua_status read_id(const kua__recipe *recipe, const kua__gguf *file, const char *key,
                          uint32_t *out)
{
    int64_t id = KUA_TOKEN_NONE;
    if (recipe->pieces.n == 0) return KUA_OK;
    KUA__TRY(kua__gguf_int_or(file, key, 0, (int64_t)recipe->pieces.n - 1, KUA_TOKEN_NONE, &id));
    *out = (uint32_t)id;
    return KUA_OK;
}

/* bos before a text and eos behind it, where the file says so. */
static kua_status read_around(kua__recipe *recipe, const kua__gguf *file)
{
    kua__around *around = &recipe->around;
    bool bos = false, eos = false;
    KUA__TRY(kua__gguf_bool_or(file, "tokenizer.ggml.add_bos_token", false, &bos));
    KUA__TRY(kua__gguf_bool_or(file, "tokenizer.ggml.add_eos_token", false, &eos));
    if ((bos && recipe->info.bos == KUA_TOKEN_NONE) ||
        (eos && recipe->info.eos == KUA_TOKEN_NONE)) {
        return kua__fail(KUA_FORMAT,
                         "%s: tokenizer.ggml.add_%s_token is true, and its id is missing",
                         recipe->name, bos ? "bos" : "eos");
    }
    if (bos) around->before[around->n_before++] = recipe->info.bos;
    if (eos) around->behind[around->n_behind++] = recipe->info.eos;
    return KUA_OK;
}

static kua_status read_specials(kua__recipe *recipe, const kua__gguf *file)
{
    kua_tokenizer_info *info = &recipe->info;
    KUA__TRY(read_id(recipe, file, "tokenizer.ggml.bos_token_id", &info->bos));
    KUA__TRY(read_id(recipe, file, "tokenizer.ggml.eos_token_id", &info->eos));
    KUA__TRY(read_id(recipe, file, "tokenizer.ggml.padding_token_id", &info->pad));
    KUA__TRY(read_around(recipe, file));
    kua__load_customary(recipe);
    return KUA_OK;
}

static kua_status read_gguf(kua__recipe *recipe, const kua__gguf *file)
{
    kua__gguf_text model, pre = {"default", 7};
    KUA__TRY(kua__gguf_string(file, "tokenizer.ggml.model", &model));
    if (model.n != 4 || memcmp(model.data, "gpt2", 4) != 0) {
        return kua__fail(KUA_FORMAT,
                         "%s: tokenizer.ggml.model is \"%.*s\", expected \"gpt2\" (byte-level BPE)",
                         recipe->name, (int)KUA__MIN(model.n, 60), model.data);
    }
    if (kua__gguf_value_find(file, "tokenizer.ggml.pre"))
        KUA__TRY(kua__gguf_string(file, "tokenizer.ggml.pre", &pre));
    KUA__TRY(kua__pipeline_make(KUA_TOKENIZER_BPE, &recipe->pipeline));
    KUA__TRY(choose_splitter(recipe->name, pre, &recipe->pipeline->split));
    recipe->pipeline->bpe.ignore_merges = recipe->pipeline->split.step[0].pattern.numbers == 3;
    recipe->decoder.kind = KUA__DECODE_BYTES;
    KUA__TRY(read_tokens(recipe, file));
    KUA__TRY(read_merges(recipe, file));
    return read_specials(recipe, file);
}

kua_status kua__tokenizer_from_gguf(const kua__gguf *file, kua_tokenizer **out)
{
    assert(file && out);
    *out = NULL;
    kua__recipe recipe = kua__recipe_start(kua__gguf_path(file));
    kua_status st = read_gguf(&recipe, file);
    if (!st) st = kua__tokenizer_make(&recipe, out);
    kua__recipe_release(&recipe);
    return st;
}
