/* load_models.c - the models BPE and Unigram of a tokenizer.json, and vocab.json with merges.txt.
 *
 * BPE     "vocab": {piece: id}, "merges": ["a b", ..] or [["a", "b"], ..] in the order learnt.
 *         Options that change ids and that no model in use has are refused: dropout, a prefix or a
 *         suffix of pieces.
 * Unigram "vocab": [[piece, score], ..], ids by place; "unk_id".
 *
 * merges.txt has one merge a line, perhaps "#version: ..." first. With vocab.json it is how GPT-2
 * and RoBERTa came; the splitter is GPT-2's then, and "<s>" and "</s>" stand around a text where
 * both are pieces, which is RoBERTa.
 */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "text/load.h"

kua_status kua__load_merge_pair(kua__recipe *recipe, size_t i, const char *left, size_t n_left,
                                const char *right, size_t n_right)
{
    if (n_left == 0 || n_right == 0 || n_left > KUA_PIECE_BYTES_MAX ||
        n_right > KUA_PIECE_BYTES_MAX) {
        return kua__fail(KUA_FORMAT,
                         "%s: merge %zu has pieces of %zu and %zu bytes, expected 1..%d",
                         recipe->name, i, n_left, n_right, KUA_PIECE_BYTES_MAX);
    }
    if (recipe->n_merges == KUA_VOCAB_MAX)
        return kua__fail(KUA_FORMAT, "%s: has over %d merges", recipe->name, KUA_VOCAB_MAX);
    KUA__TRY(KUA__GROW(&recipe->merge, &recipe->merges_room, recipe->n_merges, "merges"));
    recipe->merge[recipe->n_merges++] =
        (kua__merge){left, right, (uint32_t)n_left, (uint32_t)n_right};
    return KUA_OK;
}

kua_status kua__load_merge(kua__recipe *recipe, size_t i, const char *text, size_t n)
{
    assert(recipe && (text || n == 0));
    const char *blank = n ? memchr(text, ' ', n) : NULL;
    size_t left = blank ? (size_t)(blank - text) : 0;
    if (!blank || memchr(blank + 1, ' ', n - left - 1)) {
        return kua__fail(KUA_FORMAT, "%s: merge %zu is \"%.*s\", expected two pieces and a blank",
                         recipe->name, i, (int)KUA__MIN(n, 60), text ? text : "");
    }
    return kua__load_merge_pair(recipe, i, text, left, blank + 1, n - left - 1);
}

static kua_status read_merge(kua__recipe *recipe, size_t i, const json_t *item)
{
    if (json_is_string(item))
        return kua__load_merge(recipe, i, json_string_value(item), json_string_length(item));
    const json_t *left = json_array_get(item, 0), *right = json_array_get(item, 1);
    if (json_array_size(item) == 2 && json_is_string(left) && json_is_string(right)) {
        return kua__load_merge_pair(recipe, i, json_string_value(left), json_string_length(left),
                                    json_string_value(right), json_string_length(right));
    }
    return kua__fail(KUA_FORMAT, "%s: model.merges[%zu] is not a text or a pair of texts",
                     recipe->name, i);
}

/* Options that must be off. */
static kua_status refuse_options(const char *name, const json_t *model)
{
    static const char *const texts[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    double dropout = 0;
    KUA__TRY(kua__json_real_or(name, model, "dropout", 0, 1, 0, &dropout));
    if (dropout > 0) {
        return kua__fail(KUA_FORMAT, "%s: model.dropout is %g, and ids would be random: expected 0",
                         name, dropout);
    }
    for (size_t i = 0; i < KUA__COUNT(texts); i++) {
        const char *text = NULL;
        KUA__TRY(kua__json_string_or(name, model, texts[i], "", &text));
        if (*text)
            return kua__fail(KUA_FORMAT, "%s: model.%s is \"%.40s\", expected none", name, texts[i],
                             text);
    }
    return KUA_OK;
}

kua_status kua__load_bpe(kua__recipe *recipe, const json_t *model)
{
    const char *name = recipe->name;
    kua__bpe *bpe = &recipe->pipeline->bpe;
    const json_t *merges = json_object_get(model, "merges");
    KUA__TRY(refuse_options(name, model));
    KUA__TRY(kua__json_string_or(name, model, "unk_token", NULL, &recipe->unk));
    KUA__TRY(kua__json_bool_or(name, model, "fuse_unk", false, &bpe->fuse_unk));
    KUA__TRY(kua__json_bool_or(name, model, "byte_fallback", false, &bpe->byte_fallback));
    KUA__TRY(kua__json_bool_or(name, model, "ignore_merges", false, &bpe->ignore_merges));
    KUA__TRY(kua__load_pieces(recipe, json_object_get(model, "vocab")));
    if (!json_is_array(merges))
        return kua__fail(KUA_FORMAT, "%s: model.merges is not an array", name);
    for (size_t i = 0; i < json_array_size(merges); i++)
        KUA__TRY(read_merge(recipe, i, json_array_get(merges, i)));
    return KUA_OK;
}

static kua_status read_scored(kua__recipe *recipe, size_t i, const json_t *item)
{
    const json_t *piece = json_array_get(item, 0), *score = json_array_get(item, 1);
    if (json_array_size(item) != 2 || !json_is_string(piece) || !json_is_number(score)) {
        return kua__fail(KUA_FORMAT, "%s: model.vocab[%zu] is not a pair of a text and a score",
                         recipe->name, i);
    }
    recipe->score[i] = json_number_value(score);
    if (!isfinite(recipe->score[i]))
        return kua__fail(KUA_FORMAT, "%s: model.vocab[%zu] has no finite score", recipe->name, i);
    return kua__pieces_add(&recipe->pieces, recipe->name, 0, json_string_value(piece),
                           json_string_length(piece), (uint32_t)i);
}

kua_status kua__load_unigram(kua__recipe *recipe, const json_t *model)
{
    const char *name = recipe->name;
    const json_t *vocab = json_object_get(model, "vocab");
    size_t n = json_array_size(vocab);
    int64_t unk = 0;
    if (n == 0 || n > KUA_VOCAB_MAX) {
        return kua__fail(KUA_FORMAT, "%s: model.vocab has %zu pieces, expected an array of 1..%d",
                         name, n, KUA_VOCAB_MAX);
    }
    KUA__TRY(kua__json_int(name, model, "unk_id", 0, (int64_t)n - 1, &unk));
    KUA__TRY(kua__json_bool_or(name, model, "byte_fallback", false,
                               &recipe->pipeline->unigram.byte_fallback));
    KUA__TRY(KUA__NEW_ARRAY(&recipe->score, n, "scores"));
    for (size_t i = 0; i < n; i++)
        KUA__TRY(read_scored(recipe, i, json_array_get(vocab, i)));
    recipe->n_model = n;
    recipe->unk = json_string_value(json_array_get(json_array_get(vocab, (size_t)unk), 0));
    return KUA_OK;
}

/* ---- customary names ---- */

kua__recipe kua__recipe_start(const char *name)
{
    uint32_t none = KUA_TOKEN_NONE;
    return (kua__recipe){.name = name,
                         .info = {.pad = none,
                                  .unk = none,
                                  .cls = none,
                                  .sep = none,
                                  .mask = none,
                                  .bos = none,
                                  .eos = none}};
}

uint32_t kua__load_first(const kua__recipe *recipe, const char *const *names, size_t n)
{
    uint32_t id = KUA_TOKEN_NONE;
    for (size_t i = 0; i < n && id == KUA_TOKEN_NONE; i++)
        id = kua__recipe_find(recipe, names[i], strlen(names[i]));
    return id;
}

void kua__load_customary(kua__recipe *recipe)
{
    static const char *const pad[] = {"<pad>", "[PAD]", "<|endoftext|>"},
                             *const mask[] = {"<mask>", "[MASK]"},
                             *const bos[] = {"<s>", "<|begin_of_text|>", "<|endoftext|>"},
                             *const eos[] = {"</s>", "<|end_of_text|>", "<|endoftext|>"};
    kua_tokenizer_info *info = &recipe->info;
    const kua__around *around = &recipe->around;
    if (info->pad == KUA_TOKEN_NONE) info->pad = kua__load_first(recipe, pad, KUA__COUNT(pad));
    if (info->mask == KUA_TOKEN_NONE) info->mask = kua__load_first(recipe, mask, KUA__COUNT(mask));
    if (info->bos == KUA_TOKEN_NONE) info->bos = kua__load_first(recipe, bos, KUA__COUNT(bos));
    if (info->eos == KUA_TOKEN_NONE) info->eos = kua__load_first(recipe, eos, KUA__COUNT(eos));
    if (info->cls == KUA_TOKEN_NONE)
        info->cls = around->n_before ? around->before[0] : kua__recipe_find(recipe, "<s>", 3);
    if (info->sep == KUA_TOKEN_NONE)
        info->sep = around->n_behind ? around->behind[0] : kua__recipe_find(recipe, "</s>", 4);
}

/* ---- vocab.json and merges.txt ---- */

static kua_status read_merge_lines(kua__recipe *recipe, const char *name, const char *text,
                                   size_t n)
{
    size_t line = 0;
    for (size_t at = 0; at < n; line++) {
        const char *start = text + at, *end = memchr(start, '\n', n - at);
        size_t length = end ? (size_t)(end - start) : n - at;
        at += length + (end != NULL);
        if (length && start[length - 1] == '\r') length--;
        if (length == 0 || (line == 0 && length >= 8 && memcmp(start, "#version", 8) == 0))
            continue;
        kua_status st = kua__load_merge(recipe, recipe->n_merges, start, length);
        if (st) return kua__fail_prefix(st, "%s:%zu", name, line + 1);
    }
    return KUA_OK;
}

/* An added token that is a piece already; nothing where it is none. */
static kua_status add_named(kua__recipe *recipe, const char *content, bool lstrip)
{
    uint32_t id = kua__recipe_find(recipe, content, strlen(content));
    if (id == KUA_TOKEN_NONE) return KUA_OK;
    return kua__recipe_add_token(recipe, (kua__added_token){.content = content,
                                                            .n = (uint32_t)strlen(content),
                                                            .id = id,
                                                            .lstrip = lstrip,
                                                            .special = true});
}

static kua_status read_two_files(kua__recipe *recipe, json_t *vocab, const char *merges_name,
                                 const char *merges, size_t n_merges)
{
    static const char *const names[] = {"<s>", "<pad>", "</s>", "<unk>", "<mask>", "<|endoftext|>"};
    kua__around *around = &recipe->around;
    KUA__TRY(kua__pipeline_make(KUA_TOKENIZER_BPE, &recipe->pipeline));
    KUA__TRY(kua__load_pieces(recipe, vocab));
    KUA__TRY(read_merge_lines(recipe, merges_name, merges, n_merges));
    for (size_t i = 0; i < KUA__COUNT(names); i++)
        KUA__TRY(add_named(recipe, names[i], kua__streq(names[i], "<mask>")));
    uint32_t cls = kua__recipe_find(recipe, "<s>", 3), sep = kua__recipe_find(recipe, "</s>", 4);
    if (cls != KUA_TOKEN_NONE && sep != KUA_TOKEN_NONE)
        *around = (kua__around){.before = {cls}, .behind = {sep}, .n_before = 1, .n_behind = 1};
    recipe->pipeline->split.step[0] = (kua__split_step){.kind = KUA__SPLIT_BYTES, .cut = true};
    recipe->pipeline->split.n = 1;
    recipe->decoder.kind = KUA__DECODE_BYTES;
    kua__load_customary(recipe);
    return KUA_OK;
}

kua_status kua__tokenizer_from_merges(const char *name, const char *vocab, size_t n_vocab,
                                      const char *merges_name, const char *merges, size_t n_merges,
                                      kua_tokenizer **out)
{
    assert(name && vocab && merges_name && (merges || n_merges == 0) && out);
    *out = NULL;
    json_t *json = NULL;
    KUA__TRY(kua__json_parse(name, vocab, n_vocab, &json));
    kua__recipe recipe = kua__recipe_start(name);
    kua_status st = read_two_files(&recipe, json, merges_name, merges, n_merges);
    if (!st) st = kua__tokenizer_make(&recipe, out);
    kua__recipe_release(&recipe);
    json_decref(json);
    return st;
}
