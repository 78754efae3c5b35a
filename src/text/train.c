/* train.c - learns a vocabulary and writes it as the files that this library and others read.
 *
 *     texts --train_words.c--> counted words --train_merge.c--> pieces, merges --> tokenizer.json
 *                                                                                  (vocab.txt)
 */
#include "text/train.h"

#include <assert.h>
#include <string.h>

#include "base/json.h"

static const char *const bert_special[] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
static const char *const gpt_special[] = {"<|endoftext|>"};

/* ---- tokenizer.json ---- */

static json_t *piece_text(const kua__learning *learning, uint32_t id)
{
    return json_stringn(learning->pieces.name[id], learning->pieces.len[id]);
}

static json_t *special_tokens(const kua_tokenizer_training *options)
{
    json_t *list = json_array();
    for (size_t i = 0; i < options->n_special; i++) {
        json_array_append_new(list,
                              json_pack("{s:I,s:s,s:b,s:b,s:b,s:b,s:b}", "id", (json_int_t)i,
                                        "content", options->special[i], "single_word", 0, "lstrip",
                                        0, "rstrip", 0, "normalized", 0, "special", 1));
    }
    return list;
}

static json_t *vocabulary(const kua__learning *learning)
{
    json_t *vocab = json_object();
    for (size_t id = 0; id < learning->pieces.count; id++) {
        json_object_setn_new(vocab, learning->pieces.name[id], learning->pieces.len[id],
                             json_integer((json_int_t)id));
    }
    return vocab;
}

static json_t *merges(const kua__learning *learning)
{
    json_t *list = json_array();
    for (size_t i = 0; i < learning->n_merges; i++) {
        json_array_append_new(list,
                              json_pack("[o,o]", piece_text(learning, learning->merge[i].left),
                                        piece_text(learning, learning->merge[i].right)));
    }
    return list;
}

static size_t special_id(const kua_tokenizer_training *options, const char *name)
{
    size_t i = 0;
    while (i < options->n_special && !kua__streq(options->special[i], name))
        i++;
    return i;
}

/* [CLS] $A [SEP], where both are special tokens. */
static json_t *template_of(const kua_tokenizer_training *options)
{
    size_t cls = special_id(options, "[CLS]"), sep = special_id(options, "[SEP]");
    if (cls == options->n_special || sep == options->n_special) return json_null();
    return json_pack("{s:s,s:[{s:{s:s,s:i}},{s:{s:s,s:i}},{s:{s:s,s:i}}],"
                     "s:[{s:{s:s,s:i}},{s:{s:s,s:i}},{s:{s:s,s:i}},{s:{s:s,s:i}},{s:{s:s,s:i}}],"
                     "s:{s:{s:s,s:[I],s:[s]},s:{s:s,s:[I],s:[s]}}}",
                     "type", "TemplateProcessing", "single", "SpecialToken", "id", "[CLS]",
                     "type_id", 0, "Sequence", "id", "A", "type_id", 0, "SpecialToken", "id",
                     "[SEP]", "type_id", 0, "pair", "SpecialToken", "id", "[CLS]", "type_id", 0,
                     "Sequence", "id", "A", "type_id", 0, "SpecialToken", "id", "[SEP]", "type_id",
                     0, "Sequence", "id", "B", "type_id", 1, "SpecialToken", "id", "[SEP]",
                     "type_id", 1, "special_tokens", "[CLS]", "id", "[CLS]", "ids", (json_int_t)cls,
                     "tokens", "[CLS]", "[SEP]", "id", "[SEP]", "ids", (json_int_t)sep, "tokens",
                     "[SEP]");
}

static json_t *wordpiece_root(const kua__learning *learning, const kua_tokenizer_training *options)
{
    return json_pack("{s:s,s:n,s:n,s:o,s:{s:s,s:b,s:b,s:n,s:b},s:{s:s},s:o,s:{s:s,s:s,s:b},"
                     "s:{s:s,s:s,s:s,s:i,s:o}}",
                     "version", "1.0", "truncation", "padding", "added_tokens",
                     special_tokens(options), "normalizer", "type", "BertNormalizer", "clean_text",
                     1, "handle_chinese_chars", 1, "strip_accents", "lowercase", !options->cased,
                     "pre_tokenizer", "type", "BertPreTokenizer", "post_processor",
                     template_of(options), "decoder", "type", "WordPiece", "prefix", "##",
                     "cleanup", 1, "model", "type", "WordPiece", "unk_token", "[UNK]",
                     "continuing_subword_prefix", "##", "max_input_chars_per_word", 100, "vocab",
                     vocabulary(learning));
}

static json_t *bpe_root(const kua__learning *learning, const kua_tokenizer_training *options)
{
    return json_pack(
        "{s:s,s:n,s:n,s:o,s:n,s:{s:s,s:b,s:b,s:b},s:n,s:{s:s,s:b,s:b,s:b},"
        "s:{s:s,s:n,s:n,s:n,s:n,s:b,s:b,s:b,s:o,s:o}}",
        "version", "1.0", "truncation", "padding", "added_tokens", special_tokens(options),
        "normalizer", "pre_tokenizer", "type", "ByteLevel", "add_prefix_space", 0, "trim_offsets",
        1, "use_regex", 1, "post_processor", "decoder", "type", "ByteLevel", "add_prefix_space", 1,
        "trim_offsets", 1, "use_regex", 1, "model", "type", "BPE", "dropout", "unk_token",
        "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", 0, "byte_fallback", 0,
        "ignore_merges", 0, "vocab", vocabulary(learning), "merges", merges(learning));
}

static kua_status write_json(const kua__learning *learning, const kua_tokenizer_training *options,
                             const char *path)
{
    unsigned long lost = kua__json_lost();
    json_t *root = options->kind == KUA_TOKENIZER_BPE ? bpe_root(learning, options)
                                                      : wordpiece_root(learning, options);
    kua_status st = kua__json_whole(lost, "a vocabulary");
    if (!st && !root) st = kua__fail_nomem(learning->pieces.count, "a vocabulary");
    if (!st) st = kua__json_save(path, root);
    json_decref(root);
    return st;
}

/* ---- vocab.txt ---- */

static kua_status write_vocab(const kua__learning *learning, const char *path)
{
    kua__buf text = {0};
    for (size_t id = 0; id < learning->pieces.count; id++) {
        kua__buf_add(&text, learning->pieces.name[id], learning->pieces.len[id]);
        kua__buf_add(&text, "\n", 1);
    }
    kua_status st = kua__buf_status(&text);
    if (!st) st = kua__write_file(path, text.data, text.len);
    kua__buf_release(&text);
    return st;
}

typedef enum output { JSON, VOCAB, CONFIG } output;

static kua_status write_one(const kua__learning *learning, const kua_tokenizer_training *options,
                            const char *folder, output what)
{
    static const char *const names[] = {"tokenizer.json", "vocab.txt", "tokenizer_config.json"};
    const char *config =
        options->cased ? "{\"do_lower_case\": false}\n" : "{\"do_lower_case\": true}\n";
    char *path = kua__path_join(folder, names[what]);
    if (!path) return kua__fail_nomem(strlen(folder), "a path");
    kua_status st = what == JSON    ? write_json(learning, options, path)
                    : what == VOCAB ? write_vocab(learning, path)
                                    : kua__write_file(path, config, strlen(config));
    kua__free(path);
    return st;
}

kua_status kua__write_learnt(const kua__learning *learning, const kua_tokenizer_training *options,
                             const char *folder)
{
    KUA__TRY(kua__make_folders(folder));
    KUA__TRY(write_one(learning, options, folder, JSON));
    if (options->kind == KUA_TOKENIZER_BPE) return KUA_OK;
    KUA__TRY(write_one(learning, options, folder, VOCAB));
    return write_one(learning, options, folder, CONFIG);
}

/* ---- options ---- */

static kua_status check_special(const kua_tokenizer_training *options)
{
    for (size_t i = 0; i < options->n_special; i++) {
        size_t n = strlen(options->special[i]);
        if (n == 0 || n > KUA_PIECE_BYTES_MAX || kua__utf8_valid(options->special[i], n) < n ||
            strchr(options->special[i], '\n')) {
            return kua__fail(KUA_INVALID,
                             "training: special token %zu is \"%.40s\", expected a line of 1..%d "
                             "bytes of UTF-8",
                             i, options->special[i], KUA_PIECE_BYTES_MAX);
        }
    }
    if (options->kind == KUA_TOKENIZER_BPE || special_id(options, "[UNK]") < options->n_special)
        return KUA_OK;
    return kua__fail(KUA_INVALID, "training: no special token is \"[UNK]\", which WordPiece needs");
}

/* Fills in what is 0, and refuses what fits nothing. */
static kua_status complete(kua_tokenizer_training *o)
{
    if (o->kind != KUA_TOKENIZER_BPE && o->kind != KUA_TOKENIZER_WORDPIECE) {
        return kua__fail(KUA_INVALID,
                         "training: the kind is \"%s\", expected \"wordpiece\" or \"bpe\"",
                         kua_tokenizer_kind_name(o->kind));
    }
    bool bpe = o->kind == KUA_TOKENIZER_BPE;
    if (!o->special) {
        o->special = bpe ? gpt_special : bert_special;
        o->n_special = bpe ? KUA__COUNT(gpt_special) : KUA__COUNT(bert_special);
    }
    if (!o->vocab_size) o->vocab_size = 30000;
    if (!o->min_frequency) o->min_frequency = 2;
    if (!o->alphabet_limit) o->alphabet_limit = o->vocab_size / 3;
    if (!o->max_words) o->max_words = 4 << 20;
    if (o->vocab_size > KUA_VOCAB_MAX || o->max_words < 2 || o->max_words > UINT32_MAX / 2) {
        return kua__fail(
            KUA_INVALID,
            "training: vocab_size is %zu and max_words %zu, expected up to %d, and 2..%u",
            o->vocab_size, o->max_words, KUA_VOCAB_MAX, UINT32_MAX / 2);
    }
    return check_special(o);
}

kua_status kua_tokenizer_train(const kua_text *texts, size_t n,
                               const kua_tokenizer_training *options, const char *folder,
                               kua_tokenizer_trained *report)
{
    assert((texts || n == 0) && options && folder);
    kua_tokenizer_training o = *options;
    kua__word_counts counts;
    kua__learning learning;
    KUA__TRY(complete(&o));
    KUA__TRY(kua__count_words(texts, n, &o, &counts));
    kua_status st = kua__learn(&counts, &o, &learning);
    if (!st) {
        st = kua__write_learnt(&learning, &o, folder);
        if (report)
            *report = (kua_tokenizer_trained){learning.pieces.count, learning.n_merges,
                                              counts.words.count, counts.forgotten};
        kua__learning_release(&learning);
    }
    kua__word_counts_release(&counts);
    return st;
}
