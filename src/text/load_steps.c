/* load_steps.c - normalisers, pre-tokenizers and decoders of a tokenizer.json.
 *
 * The file lists stages of many kinds, nested in "Sequence". Those that models in use have are
 * read; any other is refused by name with the stage's number, because ids from a pipeline that is
 * nearly right are worse than none. What only concerns offsets (trim_offsets) is passed over.
 */
#include <assert.h>
#include <string.h>

#include "text/load.h"

enum { NESTING_MAX = 4 };

kua_status kua__load_section(const char *name, const json_t *object, const char *key,
                             const json_t **out)
{
    assert(name && key && out);
    *out = json_object_get(object, key);
    if (json_is_null(*out)) *out = NULL;
    if (!*out || json_is_object(*out)) return KUA_OK;
    return kua__fail(KUA_FORMAT, "%s: %s is not an object", name, key);
}

kua_status kua__load_type(const char *name, const json_t *object, const char *where,
                          const char **out)
{
    kua_status st = json_is_object(object) ? kua__json_string(name, object, "type", out)
                                           : kua__fail(KUA_FORMAT, "%s: is not an object", name);
    return st ? kua__fail_prefix(st, "%s", where) : KUA_OK;
}

/* Calls `read` for a stage, or for each of a Sequence's. */
typedef kua_status (*stage_fn)(const char *name, const json_t *stage, const char *type, void *ctx);

static kua_status each_stage(const char *name, const json_t *stage, const char *where,
                             const char *list_key, stage_fn read, void *ctx, int depth)
{
    const char *type = NULL;
    KUA__TRY(kua__load_type(name, stage, where, &type));
    if (!kua__streq(type, "Sequence")) return read(name, stage, type, ctx);
    const json_t *list = json_object_get(stage, list_key);
    if (!json_is_array(list) || depth == NESTING_MAX) {
        return kua__fail(KUA_FORMAT, "%s: %s.%s is %s", name, where, list_key,
                         json_is_array(list) ? "nested too deeply" : "not an array");
    }
    for (size_t i = 0; i < json_array_size(list); i++)
        KUA__TRY(each_stage(name, json_array_get(list, i), where, list_key, read, ctx, depth + 1));
    return KUA_OK;
}

/* Copies a short text of a stage. */
static kua_status short_text(const char *name, const char *where, const char *key,
                             const char *value, char *out, size_t room)
{
    size_t n = strlen(value);
    if (n >= room) {
        return kua__fail(KUA_FORMAT, "%s: %s.%s has %zu bytes, at most %zu are allowed", name,
                         where, key, n, room - 1);
    }
    memcpy(out, value, n + 1);
    return KUA_OK;
}

/* ---- normalisers ---- */

kua_status kua__load_fold(const char *name, const json_t *normalizer, kua__fold_options *fold)
{
    KUA__TRY(kua__json_bool_or(name, normalizer, "clean_text", true, &fold->clean_text));
    KUA__TRY(kua__json_bool_or(name, normalizer, "handle_chinese_chars", true, &fold->chinese));
    KUA__TRY(kua__json_bool_or(name, normalizer, "lowercase", true, &fold->lowercase));
    return kua__json_bool_or(name, normalizer, "strip_accents", fold->lowercase,
                             &fold->strip_accents);
}

static kua_status read_replace(const char *name, const json_t *stage, kua__normal_step *step)
{
    const json_t *pattern = json_object_get(stage, "pattern");
    const char *text = json_string_value(json_object_get(pattern, "String")), *to = NULL;
    const char *regex = json_string_value(json_object_get(pattern, "Regex"));
    KUA__TRY(kua__json_string(name, stage, "content", &to));
    KUA__TRY(short_text(name, "normalizer", "content", to, step->to, sizeof(step->to)));
    step->kind = KUA__NORMAL_REPLACE;
    if (regex && kua__streq(regex, " {2,}")) {
        step->kind = KUA__NORMAL_COLLAPSE;
        return KUA_OK;
    }
    if (!text || !*text) {
        return kua__fail(KUA_FORMAT,
                         "%s: normalizer.pattern is %s\"%.60s\", expected a String or the Regex "
                         "\" {2,}\"",
                         name, regex ? "the Regex " : "", regex ? regex : "");
    }
    return short_text(name, "normalizer", "pattern", text, step->from, sizeof(step->from));
}

static kua_status read_precompiled(const char *name, const json_t *stage, kua__normal *normal,
                                   bool *empty)
{
    const json_t *map = json_object_get(stage, "precompiled_charsmap");
    *empty = !map || json_is_null(map) || (json_is_string(map) && json_string_length(map) == 0);
    if (*empty) return KUA_OK;
    if (!json_is_string(map) || normal->has_map) {
        return kua__fail(KUA_FORMAT, "%s: normalizer.precompiled_charsmap is %s", name,
                         normal->has_map ? "there twice" : "not a text");
    }
    KUA__TRY(
        kua__charsmap_parse(&normal->map, name, json_string_value(map), json_string_length(map)));
    normal->has_map = true;
    return KUA_OK;
}

static kua_status read_bert(const char *name, const json_t *stage, kua__normal *normal)
{
    kua__fold_options options = {0};
    if (normal->has_fold)
        return kua__fail(KUA_FORMAT, "%s: normalizer has two BertNormalizer", name);
    KUA__TRY(kua__load_fold(name, stage, &options));
    KUA__TRY(kua__fold_init(&normal->fold, options));
    normal->has_fold = true;
    return KUA_OK;
}

/* The kinds that are a name and a few flags. */
static bool plain_normalizer(const char *type, kua__normal_step *step)
{
    static const struct {
        const char *type;
        kua__normal_step step;
    } known[] = {
        {"NFC", {.kind = KUA__NORMAL_FORM, .compose = true}},
        {"NFD", {.kind = KUA__NORMAL_FORM}},
        {"NFKC", {.kind = KUA__NORMAL_FORM, .compose = true, .compatible = true}},
        {"NFKD", {.kind = KUA__NORMAL_FORM, .compatible = true}},
        {"Nmt", {.kind = KUA__NORMAL_NMT}},
        {"Lowercase", {.kind = KUA__NORMAL_LOWER}},
        {"StripAccents", {.kind = KUA__NORMAL_STRIP_ACCENTS}},
    };
    for (size_t i = 0; i < KUA__COUNT(known); i++) {
        if (!kua__streq(type, known[i].type)) continue;
        *step = known[i].step;
        return true;
    }
    return false;
}

static kua_status read_strip(const char *name, const json_t *stage, kua__normal_step *step)
{
    step->kind = KUA__NORMAL_STRIP;
    KUA__TRY(kua__json_bool_or(name, stage, "strip_left", true, &step->left));
    return kua__json_bool_or(name, stage, "strip_right", true, &step->right);
}

static kua_status read_prepend(const char *name, const json_t *stage, kua__normal_step *step)
{
    const char *text = NULL;
    step->kind = KUA__NORMAL_PREPEND;
    KUA__TRY(kua__json_string(name, stage, "prepend", &text));
    return short_text(name, "normalizer", "prepend", text, step->to, sizeof(step->to));
}

static kua_status read_normal_stage(const char *name, const json_t *stage, const char *type,
                                    void *ctx)
{
    kua__normal *normal = ctx;
    if (normal->n == KUA__NORMAL_STEPS_MAX) {
        return kua__fail(KUA_FORMAT, "%s: normalizer has over %d stages", name,
                         KUA__NORMAL_STEPS_MAX);
    }
    kua__normal_step *step = &normal->step[normal->n];
    bool empty = false;
    if (kua__streq(type, "Precompiled")) {
        step->kind = KUA__NORMAL_CHARSMAP;
        KUA__TRY(read_precompiled(name, stage, normal, &empty));
    } else if (kua__streq(type, "Replace")) {
        KUA__TRY(read_replace(name, stage, step));
    } else if (kua__streq(type, "Strip")) {
        KUA__TRY(read_strip(name, stage, step));
    } else if (kua__streq(type, "Prepend")) {
        KUA__TRY(read_prepend(name, stage, step));
    } else if (kua__streq(type, "BertNormalizer")) {
        step->kind = KUA__NORMAL_BERT;
        KUA__TRY(read_bert(name, stage, normal));
    } else if (!plain_normalizer(type, step)) {
        return kua__fail(KUA_FORMAT,
                         "%s: normalizer.type is \"%.60s\", expected Precompiled, NFC, NFD, NFKC, "
                         "NFKD, Nmt, Lowercase, StripAccents, Strip, Replace, Prepend or "
                         "BertNormalizer",
                         name, type);
    }
    normal->n += !empty;
    return KUA_OK;
}

kua_status kua__load_normalizer(const char *name, const json_t *root, kua__normal *normal)
{
    const json_t *stage = NULL;
    KUA__TRY(kua__load_section(name, root, "normalizer", &stage));
    if (!stage) return KUA_OK;
    return each_stage(name, stage, "normalizer", "normalizers", read_normal_stage, normal, 0);
}

/* ---- pre-tokenizers ---- */

/* The mark of a Metaspace: one character. */
static kua_status read_mark(const char *name, const char *where, const json_t *stage, char out[5])
{
    const char *mark = NULL;
    size_t length = 0;
    KUA__TRY(kua__json_string_or(name, stage, "replacement", "\xe2\x96\x81", &mark));
    if (*mark) kua__utf8_decode((const uint8_t *)mark, strlen(mark), &length);
    if (length == 0 || mark[length]) {
        return kua__fail(KUA_FORMAT, "%s: %s.replacement is \"%.40s\", expected one character",
                         name, where, mark);
    }
    memcpy(out, mark, length + 1);
    return KUA_OK;
}

static kua_status read_prepending(const char *name, const char *where, const json_t *stage,
                                  kua__prepend *out)
{
    const char *scheme = NULL;
    bool prefix = true;
    KUA__TRY(kua__json_bool_or(name, stage, "add_prefix_space", true, &prefix));
    KUA__TRY(
        kua__json_string_or(name, stage, "prepend_scheme", prefix ? "always" : "never", &scheme));
    *out = kua__streq(scheme, "always")  ? KUA__PREPEND_ALWAYS
           : kua__streq(scheme, "first") ? KUA__PREPEND_FIRST
                                         : KUA__PREPEND_NEVER;
    if (*out != KUA__PREPEND_NEVER || kua__streq(scheme, "never")) return KUA_OK;
    return kua__fail(KUA_FORMAT,
                     "%s: %s.prepend_scheme is \"%.40s\", expected \"always\", \"first\" or "
                     "\"never\"",
                     name, where, scheme);
}

static kua_status read_metaspace(const char *name, const json_t *stage, kua__split_step *step)
{
    step->kind = KUA__SPLIT_METASPACE;
    KUA__TRY(read_mark(name, "pre_tokenizer", stage, step->mark));
    step->n_mark = (uint8_t)strlen(step->mark);
    KUA__TRY(read_prepending(name, "pre_tokenizer", stage, &step->prepend));
    return kua__json_bool_or(name, stage, "split", true, &step->cut);
}

static kua_status read_byte_level(const char *name, const json_t *stage, kua__split_step *step)
{
    bool prefix = true;
    step->kind = KUA__SPLIT_BYTES;
    KUA__TRY(kua__json_bool_or(name, stage, "add_prefix_space", true, &prefix));
    step->prepend = prefix ? KUA__PREPEND_ALWAYS : KUA__PREPEND_NEVER;
    return kua__json_bool_or(name, stage, "use_regex", true, &step->cut);
}

static kua_status read_split(const char *name, const json_t *stage, kua__split_step *step)
{
    const json_t *pattern = json_object_get(stage, "pattern");
    const char *regex = json_string_value(json_object_get(pattern, "Regex")), *behavior = NULL;
    bool invert = false;
    KUA__TRY(kua__json_string_or(name, stage, "behavior", "Isolated", &behavior));
    KUA__TRY(kua__json_bool_or(name, stage, "invert", false, &invert));
    bool removes = kua__streq(behavior, "Removed") && invert;
    step->kind = KUA__SPLIT_PATTERN;
    if (!regex || !kua__pattern_find(regex, &step->pattern)) {
        return kua__fail(KUA_FORMAT,
                         "%s: pre_tokenizer.pattern is \"%.80s\", expected the regular expression "
                         "of GPT-2, llama 3 or Qwen 2",
                         name, regex ? regex : "");
    }
    if ((kua__streq(behavior, "Isolated") && !invert) || removes) return KUA_OK;
    return kua__fail(KUA_FORMAT, "%s: pre_tokenizer.behavior is \"%.40s\"%s, expected \"Isolated\"",
                     name, behavior, invert ? " and inverted" : "");
}

static kua_status read_digits(const char *name, const json_t *stage, kua__split_step *step)
{
    bool alone = false;
    KUA__TRY(kua__json_bool_or(name, stage, "individual_digits", false, &alone));
    step->kind = alone ? KUA__SPLIT_DIGITS : KUA__SPLIT_NUMBERS;
    return KUA_OK;
}

static kua_status read_split_stage(const char *name, const json_t *stage, const char *type,
                                   void *ctx)
{
    kua__splitter *splitter = ctx;
    if (splitter->n == KUA__SPLIT_STEPS_MAX) {
        return kua__fail(KUA_FORMAT, "%s: pre_tokenizer has over %d stages", name,
                         KUA__SPLIT_STEPS_MAX);
    }
    if (splitter->n && splitter->step[splitter->n - 1].kind == KUA__SPLIT_BYTES) {
        return kua__fail(KUA_FORMAT, "%s: pre_tokenizer has \"%.40s\" behind ByteLevel", name,
                         type);
    }
    kua__split_step *step = &splitter->step[splitter->n++];
    if (kua__streq(type, "ByteLevel")) return read_byte_level(name, stage, step);
    if (kua__streq(type, "Metaspace")) return read_metaspace(name, stage, step);
    if (kua__streq(type, "Digits")) return read_digits(name, stage, step);
    if (kua__streq(type, "Split")) return read_split(name, stage, step);
    if (kua__streq(type, "WhitespaceSplit")) {
        step->kind = KUA__SPLIT_BLANKS;
        return KUA_OK;
    }
    return kua__fail(KUA_FORMAT,
                     "%s: pre_tokenizer.type is \"%.60s\", expected ByteLevel, Digits, Split, "
                     "Metaspace or WhitespaceSplit",
                     name, type);
}

kua_status kua__load_splitter(const char *name, const json_t *root, kua__splitter *splitter)
{
    const json_t *stage = NULL;
    KUA__TRY(kua__load_section(name, root, "pre_tokenizer", &stage));
    if (!stage) return KUA_OK;
    return each_stage(name, stage, "pre_tokenizer", "pretokenizers", read_split_stage, splitter, 0);
}

/* ---- decoders ---- */

static kua_status read_decode_stage(const char *name, const json_t *stage, const char *type,
                                    void *ctx)
{
    kua__decoder *d = ctx;
    kua__prepend prepend;
    const char *text = NULL;
    if (kua__streq(type, "ByteLevel")) {
        d->kind = KUA__DECODE_BYTES;
    } else if (kua__streq(type, "WordPiece")) {
        d->kind = KUA__DECODE_WORDPIECE;
        KUA__TRY(kua__json_string_or(name, stage, "prefix", "##", &text));
        KUA__TRY(short_text(name, "decoder", "prefix", text, d->prefix, sizeof(d->prefix)));
        return kua__json_bool_or(name, stage, "cleanup", true, &d->cleanup);
    } else if (kua__streq(type, "Metaspace")) {
        d->kind = KUA__DECODE_METASPACE;
        KUA__TRY(read_mark(name, "decoder", stage, d->mark));
        KUA__TRY(read_prepending(name, "decoder", stage, &prepend));
        d->drop_first = prepend != KUA__PREPEND_NEVER;
    } else if (kua__streq(type, "Replace")) { /* llama 2: Replace, ByteFallback, Fuse, Strip */
        text = json_string_value(json_object_get(json_object_get(stage, "pattern"), "String"));
        if (!text) text = "";
        KUA__TRY(short_text(name, "decoder", "pattern", text, d->mark, sizeof(d->mark)));
    } else if (kua__streq(type, "ByteFallback")) {
        d->kind = KUA__DECODE_FALLBACK;
    } else if (kua__streq(type, "Strip")) {
        d->drop_first = true;
    } else if (!kua__streq(type, "Fuse")) {
        return kua__fail(KUA_FORMAT,
                         "%s: decoder.type is \"%.60s\", expected WordPiece, ByteLevel, Metaspace, "
                         "or Replace, ByteFallback, Fuse and Strip",
                         name, type);
    }
    return KUA_OK;
}

kua_status kua__load_decoder(const char *name, const json_t *root, kua__decoder *decoder)
{
    const json_t *stage = NULL;
    KUA__TRY(kua__load_section(name, root, "decoder", &stage));
    if (!stage) return KUA_OK;
    return each_stage(name, stage, "decoder", "decoders", read_decode_stage, decoder, 0);
}
