/* load_json.c - a tokenizer from tokenizer.json.
 *
 * The file can describe a pipeline of many kinds of normalisers, splitters and models; this reads
 * those in use and refuses any other by name, because ids from a pipeline that is nearly right are
 * worse than none:
 *
 *     model           WordPiece        BPE, Unigram (load_models.c)
 *     normalizer      BertNormalizer   see load_steps.c
 *     pre_tokenizer   BertPreTokenizer see load_steps.c
 *     post_processor  TemplateProcessing (its "single" form), BertProcessing, RobertaProcessing,
 *                     ByteLevel, a Sequence of these, or null
 *     added_tokens    any
 *     truncation      its max_length is reported, not applied
 *     padding         its pad_token names the pad id
 *
 * Order: the model's pieces first, since added tokens are compared with them by id; those before
 * the post-processor, whose ids may be theirs; the names of special tokens last, when all are
 * known. Everything is borrowed from the parsed file until recipe.c copies it.
 */
#include <assert.h>
#include <string.h>

#include "base/json.h"
#include "text/load.h"

static kua_status expect_type(const char *name, const json_t *object, const char *section_name,
                              const char *expected)
{
    const char *type = NULL;
    KUA__TRY(kua__load_type(name, object, section_name, &type));
    if (kua__streq(type, expected)) return KUA_OK;
    return kua__fail(KUA_FORMAT, "%s: %s.type is \"%.60s\", expected \"%s\"", name, section_name,
                     type, expected);
}

/* ---- the model ---- */

kua_status kua__load_pieces(kua__recipe *recipe, json_t *vocab)
{
    if (!json_is_object(vocab)) {
        return kua__fail(KUA_FORMAT, "%s: model.vocab is %s, expected an object of piece: id",
                         recipe->name, vocab ? "of another kind" : "missing");
    }
    for (void *at = json_object_iter(vocab); at; at = json_object_iter_next(vocab, at)) {
        const char *piece = json_object_iter_key(at);
        const json_t *id = json_object_iter_value(at);
        if (!json_is_integer(id) || json_integer_value(id) < 0 ||
            json_integer_value(id) >= KUA_VOCAB_MAX) {
            return kua__fail(KUA_FORMAT, "%s: model.vocab[\"%.40s\"] is not an integer 0..%d",
                             recipe->name, piece, KUA_VOCAB_MAX - 1);
        }
        KUA__TRY(kua__pieces_add(&recipe->pieces, recipe->name, 0, piece, strlen(piece),
                                 (uint32_t)json_integer_value(id)));
    }
    recipe->n_model = recipe->pieces.n;
    return KUA_OK;
}

static kua_status read_wordpiece(kua__recipe *recipe, json_t *model)
{
    const char *name = recipe->name;
    int64_t max_chars = 0;
    KUA__TRY(kua__json_string_or(name, model, "unk_token", "[UNK]", &recipe->unk));
    KUA__TRY(kua__json_string_or(name, model, "continuing_subword_prefix", "##", &recipe->prefix));
    KUA__TRY(kua__json_int_or(name, model, "max_input_chars_per_word", 1, KUA_WORD_CHARS_MAX, 100,
                              &max_chars));
    if (strlen(recipe->prefix) > KUA__PREFIX_BYTES_MAX) {
        return kua__fail(
            KUA_FORMAT, "%s: model.continuing_subword_prefix has %zu bytes, at most %d are allowed",
            name, strlen(recipe->prefix), KUA__PREFIX_BYTES_MAX);
    }
    recipe->max_chars = (size_t)max_chars;
    return kua__load_pieces(recipe, json_object_get(model, "vocab"));
}

/* The model's kind; files of old versions do not say it. */
static kua_status find_kind(const char *name, const json_t *model, kua_tokenizer_kind *kind)
{
    static const char *const types[] = {"WordPiece", "BPE", "Unigram"};
    const char *type = json_object_get(model, "merges")                 ? types[1]
                       : json_is_array(json_object_get(model, "vocab")) ? types[2]
                                                                        : types[0];
    if (json_object_get(model, "type")) KUA__TRY(kua__load_type(name, model, "model", &type));
    for (size_t i = 0; i < KUA__COUNT(types); i++) {
        *kind = (kua_tokenizer_kind)i;
        if (kua__streq(type, types[i])) return KUA_OK;
    }
    return kua__fail(KUA_FORMAT,
                     "%s: model.type is \"%.60s\", expected \"WordPiece\", \"BPE\" or \"Unigram\"",
                     name, type);
}

static kua_status read_model(kua__recipe *recipe, const json_t *root)
{
    json_t *model = json_object_get(root, "model");
    kua_tokenizer_kind kind;
    if (!json_is_object(model)) {
        return kua__fail(KUA_FORMAT, "%s: model is %s, expected an object", recipe->name,
                         model ? "of another kind" : "missing");
    }
    KUA__TRY(find_kind(recipe->name, model, &kind));
    if (kind == KUA_TOKENIZER_WORDPIECE) return read_wordpiece(recipe, model);
    KUA__TRY(kua__pipeline_make(kind, &recipe->pipeline));
    return kind == KUA_TOKENIZER_BPE ? kua__load_bpe(recipe, model)
                                     : kua__load_unigram(recipe, model);
}

/* ---- normaliser and splitter ---- */

static kua_status read_normalizer(kua__recipe *recipe, const json_t *root)
{
    const char *name = recipe->name;
    const json_t *normalizer = NULL;
    KUA__TRY(kua__load_section(name, root, "normalizer", &normalizer));
    if (!normalizer) return KUA_OK; /* all options are off */
    KUA__TRY(expect_type(name, normalizer, "normalizer", "BertNormalizer"));
    return kua__load_fold(name, normalizer, &recipe->fold);
}

/* BERT's splitter has no options: blanks and punctuation, which fold.c knows. */
static kua_status read_splitter(const char *name, const json_t *root)
{
    const json_t *splitter = NULL;
    KUA__TRY(kua__load_section(name, root, "pre_tokenizer", &splitter));
    if (!splitter)
        return kua__fail(KUA_FORMAT, "%s: pre_tokenizer is missing, expected \"BertPreTokenizer\"",
                         name);
    return expect_type(name, splitter, "pre_tokenizer", "BertPreTokenizer");
}

/* What stands before and behind the model, by its kind; how ids become text. */
static kua_status read_stages(kua__recipe *recipe, const json_t *root)
{
    static const kua__decoder wordpiece = {
        .kind = KUA__DECODE_WORDPIECE, .cleanup = true, .prefix = "##"};
    const char *name = recipe->name;
    kua__pipeline *p = recipe->pipeline;
    if (!p) {
        recipe->decoder = wordpiece;
        KUA__TRY(kua__load_decoder(name, root, &recipe->decoder));
        KUA__TRY(read_normalizer(recipe, root));
        return read_splitter(name, root);
    }
    recipe->decoder = (kua__decoder){.kind = KUA__DECODE_PLAIN, .mark = "\xe2\x96\x81"};
    KUA__TRY(kua__load_decoder(name, root, &recipe->decoder));
    KUA__TRY(kua__load_normalizer(name, root, &p->normal));
    KUA__TRY(kua__load_splitter(name, root, &p->split));
    bool bytes = p->split.n && p->split.step[p->split.n - 1].kind == KUA__SPLIT_BYTES;
    if (bytes && (p->kind != KUA_TOKENIZER_BPE || p->bpe.byte_fallback)) {
        return kua__fail(KUA_FORMAT, "%s: pre_tokenizer is ByteLevel and the model %s", name,
                         p->kind == KUA_TOKENIZER_BPE ? "has byte_fallback" : "is Unigram");
    }
    return KUA_OK;
}

/* ---- added tokens ---- */

/* An added token is a piece of the model with the same id, or a new piece. Pieces of the model
 * number up to half a million, so they are looked up by id in `by_id`. */
static kua_status place_token(kua__recipe *recipe, const kua__key *const *by_id,
                              const char *content, uint32_t id)
{
    const kua__key *piece = by_id[id];
    if (!piece)
        return kua__pieces_add(&recipe->pieces, recipe->name, 0, content, strlen(content), id);
    if (piece->n == strlen(content) && memcmp(piece->bytes, content, piece->n) == 0) return KUA_OK;
    return kua__fail(KUA_FORMAT,
                     "%s: added token \"%.40s\" has id %u, which is \"%.*s\" in model.vocab",
                     recipe->name, content, id, (int)KUA__MIN(piece->n, 40), piece->bytes);
}

static kua_status read_token(kua__recipe *recipe, const kua__key *const *by_id, size_t i,
                             const json_t *item)
{
    const char *name = recipe->name, *content = NULL;
    if (!json_is_object(item))
        return kua__fail(KUA_FORMAT, "%s: added_tokens[%zu] is not an object", name, i);
    int64_t id = 0;
    bool special = false;
    kua__added_token token = {0};
    KUA__TRY(kua__json_string(name, item, "content", &content));
    KUA__TRY(kua__json_int(name, item, "id", 0, KUA_VOCAB_MAX - 1, &id));
    KUA__TRY(kua__json_bool_or(name, item, "special", false, &special));
    KUA__TRY(kua__json_bool_or(name, item, "single_word", false, &token.single_word));
    KUA__TRY(kua__json_bool_or(name, item, "normalized", !special, &token.normalized));
    KUA__TRY(kua__json_bool_or(name, item, "lstrip", false, &token.lstrip));
    KUA__TRY(kua__json_bool_or(name, item, "rstrip", false, &token.rstrip));
    token.special = special;
    size_t n = strlen(content);
    if (n == 0 || n > KUA_PIECE_BYTES_MAX) {
        return kua__fail(KUA_FORMAT, "%s: added_tokens[%zu].content has %zu bytes, expected 1..%d",
                         name, i, n, KUA_PIECE_BYTES_MAX);
    }
    token.content = content;
    token.n = (uint32_t)n;
    token.id = (uint32_t)id;
    KUA__TRY(place_token(recipe, by_id, content, token.id));
    return kua__recipe_add_token(recipe, token);
}

static kua_status read_added(kua__recipe *recipe, const json_t *root)
{
    const json_t *list = json_object_get(root, "added_tokens");
    if (!list || json_is_null(list)) return KUA_OK;
    if (!json_is_array(list))
        return kua__fail(KUA_FORMAT, "%s: added_tokens is not an array", recipe->name);
    kua__key *copy = NULL; /* pieces.key moves while it grows */
    const kua__key **by_id = NULL;
    kua_status st = KUA__NEW_ARRAY(&copy, recipe->n_model, "a vocabulary");
    if (!st) st = KUA__NEW_ZEROED(&by_id, KUA_VOCAB_MAX, "a vocabulary");
    for (size_t i = 0; !st && i < recipe->n_model; i++) {
        copy[i] = recipe->pieces.key[i];
        by_id[copy[i].id] = &copy[i];
    }
    for (size_t i = 0; !st && i < json_array_size(list); i++)
        st = read_token(recipe, by_id, i, json_array_get(list, i));
    kua__free(by_id);
    kua__free(copy);
    return st;
}

/* ---- special tokens around a text ---- */

static kua_status add_around(kua__recipe *recipe, bool behind, const json_t *id)
{
    assert(recipe->around.n_before <= KUA__AROUND_MAX &&
           recipe->around.n_behind <= KUA__AROUND_MAX);
    kua__around *around = &recipe->around;
    uint32_t *list = behind ? around->behind : around->before;
    size_t *n = behind ? &around->n_behind : &around->n_before;
    if (!json_is_integer(id) || json_integer_value(id) < 0 ||
        (size_t)json_integer_value(id) >= recipe->pieces.n) {
        return kua__fail(KUA_FORMAT, "%s: post_processor has an id outside 0..%zu", recipe->name,
                         recipe->pieces.n - 1);
    }
    if (*n == KUA__AROUND_MAX) {
        return kua__fail(KUA_FORMAT, "%s: post_processor puts over %d tokens on one side of a text",
                         recipe->name, KUA__AROUND_MAX);
    }
    list[(*n)++] = (uint32_t)json_integer_value(id);
    return KUA_OK;
}

/* One of {"SpecialToken": {"id": NAME}}, whose ids are listed in special_tokens[NAME], and
 * {"Sequence": ..}, the text. */
static kua_status read_template_part(kua__recipe *recipe, const json_t *processor, size_t i,
                                     const json_t *part, bool *behind)
{
    const json_t *special = json_object_get(part, "SpecialToken");
    if (!special) {
        if (json_object_get(part, "Sequence") && !*behind) {
            *behind = true;
            return KUA_OK;
        }
        return kua__fail(
            KUA_FORMAT, "%s: post_processor.single[%zu] is not a SpecialToken or the only Sequence",
            recipe->name, i);
    }
    const char *id = NULL;
    KUA__TRY(kua__json_string(recipe->name, special, "id", &id));
    const json_t *ids =
        json_object_get(json_object_get(json_object_get(processor, "special_tokens"), id), "ids");
    if (!json_is_array(ids)) {
        return kua__fail(KUA_FORMAT, "%s: post_processor.special_tokens[\"%.40s\"].ids is missing",
                         recipe->name, id);
    }
    for (size_t k = 0; k < json_array_size(ids); k++)
        KUA__TRY(add_around(recipe, *behind, json_array_get(ids, k)));
    return KUA_OK;
}

static kua_status read_template(kua__recipe *recipe, const json_t *processor)
{
    const json_t *single = json_object_get(processor, "single");
    if (!json_is_array(single))
        return kua__fail(KUA_FORMAT, "%s: post_processor.single is not an array", recipe->name);
    bool behind = false;
    for (size_t i = 0; i < json_array_size(single); i++) {
        KUA__TRY(read_template_part(recipe, processor, i, json_array_get(single, i), &behind));
    }
    if (behind) return KUA_OK;
    return kua__fail(KUA_FORMAT,
                     "%s: post_processor.single has no Sequence, expected the text's place there",
                     recipe->name);
}

static kua_status read_one_processor(kua__recipe *recipe, const json_t *processor)
{
    const char *name = recipe->name, *type = NULL;
    KUA__TRY(kua__load_type(name, processor, "post_processor", &type));
    if (kua__streq(type, "ByteLevel")) return KUA_OK; /* offsets only */
    if (recipe->around.n_before || recipe->around.n_behind)
        return kua__fail(KUA_FORMAT, "%s: post_processor puts tokens around a text twice", name);
    if (kua__streq(type, "TemplateProcessing")) return read_template(recipe, processor);
    if (kua__streq(type, "BertProcessing") || kua__streq(type, "RobertaProcessing")) {
        /* "cls": ["[CLS]", 101], "sep": ["[SEP]", 102] */
        KUA__TRY(add_around(recipe, false, json_array_get(json_object_get(processor, "cls"), 1)));
        return add_around(recipe, true, json_array_get(json_object_get(processor, "sep"), 1));
    }
    return kua__fail(KUA_FORMAT,
                     "%s: post_processor.type is \"%.60s\", expected \"TemplateProcessing\", "
                     "\"BertProcessing\", \"RobertaProcessing\", \"ByteLevel\" or \"Sequence\"",
                     name, type);
}

static kua_status read_processor(kua__recipe *recipe, const json_t *root)
{
    const char *name = recipe->name, *type = NULL;
    const json_t *processor = NULL;
    KUA__TRY(kua__load_section(name, root, "post_processor", &processor));
    if (!processor) return KUA_OK;
    KUA__TRY(kua__load_type(name, processor, "post_processor", &type));
    if (!kua__streq(type, "Sequence")) return read_one_processor(recipe, processor);
    const json_t *list = json_object_get(processor, "processors");
    if (!json_is_array(list))
        return kua__fail(KUA_FORMAT, "%s: post_processor.processors is not an array", name);
    for (size_t i = 0; i < json_array_size(list); i++)
        KUA__TRY(read_one_processor(recipe, json_array_get(list, i)));
    return KUA_OK;
}

/* ---- the rest ---- */

static kua_status read_info(kua__recipe *recipe, const json_t *root)
{
    const char *name = recipe->name, *pad = "[PAD]";
    kua_tokenizer_info *info = &recipe->info;
    const kua__around *around = &recipe->around;
    const json_t *truncation = NULL, *padding = NULL;
    KUA__TRY(kua__load_section(name, root, "truncation", &truncation));
    KUA__TRY(kua__load_section(name, root, "padding", &padding));
    int64_t limit = 0;
    if (truncation) KUA__TRY(kua__json_int(name, truncation, "max_length", 0, INT32_MAX, &limit));
    if (padding) KUA__TRY(kua__json_string_or(name, padding, "pad_token", pad, &pad));
    info->max_tokens = (size_t)limit;
    if (recipe->pipeline) {
        if (padding) info->pad = kua__recipe_find(recipe, pad, strlen(pad));
        kua__load_customary(recipe);
        return KUA_OK;
    }
    info->pad = kua__recipe_find(recipe, pad, strlen(pad));
    info->mask = kua__recipe_find(recipe, "[MASK]", 6);
    info->cls = around->n_before ? around->before[0] : kua__recipe_find(recipe, "[CLS]", 5);
    info->sep = around->n_behind ? around->behind[0] : kua__recipe_find(recipe, "[SEP]", 5);
    return KUA_OK;
}

static kua_status read_root(kua__recipe *recipe, const json_t *root)
{
    if (!json_is_object(root))
        return kua__fail(KUA_FORMAT, "%s: is not a JSON object", recipe->name);
    KUA__TRY(read_model(recipe, root));
    KUA__TRY(read_stages(recipe, root));
    KUA__TRY(read_added(recipe, root));
    KUA__TRY(read_processor(recipe, root));
    return read_info(recipe, root);
}

kua_status kua__tokenizer_from_root(const char *name, const json_t *root, kua_tokenizer **out)
{
    assert(name && root && out);
    *out = NULL;
    kua__recipe recipe = kua__recipe_start(name);
    kua_status st = read_root(&recipe, root);
    if (!st) st = kua__tokenizer_make(&recipe, out);
    kua__recipe_release(&recipe);
    return st;
}

kua_status kua__tokenizer_from_json(const char *name, const char *text, size_t n,
                                    kua_tokenizer **out)
{
    assert(name && (text || n == 0) && out);
    *out = NULL;
    json_t *root = NULL;
    KUA__TRY(kua__json_parse(name, text, n, &root));
    kua_status st = kua__tokenizer_from_root(name, root, out);
    json_decref(root);
    return st;
}
