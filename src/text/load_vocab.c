/* load_vocab.c - a tokenizer from vocab.txt, and the choice between the files of a folder.
 *
 * vocab.txt has one piece a line; the line's number, from 0, is its id. What it does not say is in
 * tokenizer_config.json: do_lower_case, strip_accents, tokenize_chinese_chars and the names of the
 * special tokens. Missing members get the values that the reference's BertTokenizer has for them.
 *
 * Of a folder tokenizer.json is taken where it is there: it says everything, the others only part.
 * A byte order mark is refused, since it would be a part of the first piece.
 */
#include <assert.h>
#include <dirent.h>
#include <string.h>
#include <sys/stat.h>

#include "base/json.h"
#include "text/load.h"

enum { FILE_BYTES_MAX = 64 << 20 };

static kua_status read_lines(kua__recipe *recipe, const char *text, size_t n)
{
    if (n >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
        return kua__fail(KUA_FORMAT,
                         "%s:1: begins with a byte order mark, expected the first piece",
                         recipe->name);
    }
    size_t line = 0;
    for (size_t at = 0; at < n;) {
        const char *start = text + at, *end = memchr(start, '\n', n - at);
        size_t length = end ? (size_t)(end - start) : n - at;
        at += length + (end != NULL);
        if (length && start[length - 1] == '\r') length--;
        line++;
        KUA__TRY(kua__pieces_add(&recipe->pieces, recipe->name, line, start, length,
                                 (uint32_t)(line - 1)));
    }
    recipe->n_model = recipe->pieces.n;
    return KUA_OK;
}

/* A special token's name: "[CLS]", or {"content": "[CLS]", ...}. */
static kua_status token_name(const char *name, const json_t *config, const char *key,
                             const char *fallback, const char **out)
{
    const json_t *value = json_object_get(config, key);
    if (json_is_object(value)) return kua__json_string(name, value, "content", out);
    return kua__json_string_or(name, config, key, fallback, out);
}

/* Finds a special token and makes it one that is recognised in a text. Without `required` it may be
 * missing. */
static kua_status special(kua__recipe *recipe, const char *name, const json_t *config,
                          const char *key, const char *fallback, bool required, uint32_t *id)
{
    const char *piece = NULL;
    KUA__TRY(token_name(name, config, key, fallback, &piece));
    *id = kua__recipe_find(recipe, piece, strlen(piece));
    if (*id == KUA_TOKEN_NONE) {
        if (!required) return KUA_OK;
        return kua__fail(KUA_FORMAT, "%s: no line is \"%s\", expected the %s there", recipe->name,
                         piece, key);
    }
    for (size_t i = 0; i < recipe->n_added; i++) { /* a file may use one token in two parts */
        if (recipe->added[i].id == *id) return KUA_OK;
    }
    return kua__recipe_add_token(
        recipe, (kua__added_token){
                    .content = piece, .n = (uint32_t)strlen(piece), .id = *id, .special = true});
}

static kua_status read_specials(kua__recipe *recipe, const char *name, const json_t *config)
{
    kua_tokenizer_info *info = &recipe->info;
    KUA__TRY(token_name(name, config, "unk_token", "[UNK]", &recipe->unk));
    KUA__TRY(special(recipe, name, config, "unk_token", "[UNK]", true, &info->unk));
    KUA__TRY(special(recipe, name, config, "cls_token", "[CLS]", true, &info->cls));
    KUA__TRY(special(recipe, name, config, "sep_token", "[SEP]", true, &info->sep));
    KUA__TRY(special(recipe, name, config, "pad_token", "[PAD]", false, &info->pad));
    KUA__TRY(special(recipe, name, config, "mask_token", "[MASK]", false, &info->mask));
    recipe->around =
        (kua__around){.before = {info->cls}, .behind = {info->sep}, .n_before = 1, .n_behind = 1};
    return KUA_OK;
}

static kua_status read_config(kua__recipe *recipe, const char *name, const json_t *config)
{
    if (!json_is_object(config)) return kua__fail(KUA_FORMAT, "%s: is not a JSON object", name);
    kua__fold_options *fold = &recipe->fold;
    fold->clean_text = true;
    KUA__TRY(kua__json_bool_or(name, config, "do_lower_case", true, &fold->lowercase));
    KUA__TRY(kua__json_bool_or(name, config, "tokenize_chinese_chars", true, &fold->chinese));
    KUA__TRY(
        kua__json_bool_or(name, config, "strip_accents", fold->lowercase, &fold->strip_accents));
    recipe->prefix = "##";
    recipe->decoder =
        (kua__decoder){.kind = KUA__DECODE_WORDPIECE, .cleanup = true, .prefix = "##"};
    recipe->max_chars = 100;
    return read_specials(recipe, name, config);
}

kua_status kua__tokenizer_from_vocab(const char *name, const char *text, size_t n,
                                     const char *config_name, const char *config, size_t n_config,
                                     kua_tokenizer **out)
{
    assert(name && (text || n == 0) && out);
    *out = NULL;
    json_t *json = NULL;
    const char *from = config ? config_name : "tokenizer_config.json";
    KUA__TRY(kua__json_parse(from, config ? config : "{}", config ? n_config : 2, &json));
    kua__recipe recipe = kua__recipe_start(name);
    kua_status st = read_lines(&recipe, text, n);
    if (!st) st = read_config(&recipe, from, json);
    if (!st) st = kua__tokenizer_make(&recipe, out);
    kua__recipe_release(&recipe);
    json_decref(json);
    return st;
}

/* ---- files ---- */

static kua_status open_limited(kua__map *map, const char *path)
{
    KUA__TRY(kua__map_open(map, path));
    if (map->size <= FILE_BYTES_MAX) return KUA_OK;
    size_t size = map->size;
    kua__map_close(map);
    return kua__fail(KUA_FORMAT, "%s: has %zu bytes, at most %d are read as a tokenizer", path,
                     size, FILE_BYTES_MAX);
}

/* "<folder of path>/<name>", in *out; NULL: out of memory. */
static char *sibling(const char *path, const char *name)
{
    const char *slash = strrchr(path, '/');
    char *folder =
        slash ? kua__strndup(path, (size_t)(slash - path) + (slash == path)) : kua__strdup(".");
    char *joined = folder ? kua__path_join(folder, name) : NULL;
    kua__free(folder);
    return joined;
}

/* What tokenizer_config.json says of the tokens that begin, end and pad a text. */
static void take_named(kua_tokenizer *t, const json_t *config, const char *key, uint32_t *id)
{
    const json_t *value = json_object_get(config, key);
    if (json_is_object(value)) value = json_object_get(value, "content");
    if (!json_is_string(value)) return;
    uint32_t found = kua_tokenizer_find(t, json_string_value(value), json_string_length(value));
    if (found != KUA_TOKEN_NONE) *id = found;
}

/* WordPiece files name all that matters themselves. */
static kua_status read_beside(const char *path, kua_tokenizer *t)
{
    assert(path && t);
    if (!t->pipeline) return KUA_OK;
    char *beside = sibling(path, "tokenizer_config.json");
    if (!beside) return kua__fail_nomem(strlen(path), "a path");
    json_t *config = NULL;
    kua_status st = kua__exists(beside) ? kua__json_load(beside, &config) : KUA_OK;
    take_named(t, config, "bos_token", &t->info.bos);
    take_named(t, config, "eos_token", &t->info.eos);
    take_named(t, config, "pad_token", &t->info.pad);
    json_decref(config);
    kua__free(beside);
    return st;
}

static kua_status load_json(const char *path, kua_tokenizer **out)
{
    kua__map map;
    KUA__TRY(open_limited(&map, path));
    kua_status st = kua__tokenizer_from_json(path, map.data, map.size, out);
    kua__map_close(&map);
    return st;
}

static kua_status load_gguf(const char *path, kua_tokenizer **out)
{
    kua__gguf *file = NULL;
    KUA__TRY(kua__gguf_open(path, &file));
    kua_status st = kua__tokenizer_from_gguf(file, out);
    kua__gguf_close(file);
    return st;
}

/* vocab.json, with merges.txt beside it. */
static kua_status load_merges(const char *path, kua_tokenizer **out)
{
    char *beside = sibling(path, "merges.txt");
    if (!beside) return kua__fail_nomem(strlen(path), "a path");
    kua__map vocab = {0}, merges = {0};
    kua_status st = open_limited(&vocab, path);
    if (!st) st = open_limited(&merges, beside);
    if (!st) {
        st = kua__tokenizer_from_merges(path, vocab.data, vocab.size, beside, merges.data,
                                        merges.size, out);
        kua__map_close(&merges);
    }
    if (vocab.data) kua__map_close(&vocab);
    kua__free(beside);
    return st;
}

static kua_status load_vocab(const char *path, const char *config_path, kua_tokenizer **out)
{
    kua__map map, config = {0};
    KUA__TRY(open_limited(&map, path));
    kua_status st = kua__exists(config_path) ? open_limited(&config, config_path) : KUA_OK;
    if (!st) {
        st = kua__tokenizer_from_vocab(path, map.data, map.size, config_path, config.data,
                                       config.size, out);
        if (config.data) kua__map_close(&config);
    }
    kua__map_close(&map);
    return st;
}

static kua_status load_text(const char *path, kua_tokenizer **out)
{
    char *config = sibling(path, "tokenizer_config.json");
    if (!config) return kua__fail_nomem(strlen(path), "a path");
    kua_status st = load_vocab(path, config, out);
    kua__free(config);
    return st;
}

static kua_status load_file(const char *path, kua_tokenizer **out)
{
    const char *slash = strrchr(path, '/');
    kua_status st;
    if (kua__has_suffix(path, ".gguf")) return load_gguf(path, out);
    if (kua__streq(slash ? slash + 1 : path, "vocab.json"))
        st = load_merges(path, out);
    else if (kua__has_suffix(path, ".json"))
        st = load_json(path, out);
    else
        return load_text(path, out);
    if (!st) st = read_beside(path, *out);
    if (st) {
        kua_tokenizer_free(*out);
        *out = NULL;
    }
    return st;
}

/* The one file of a folder whose name ends in `suffix`, in *out, owned; NULL: there is none. */
static kua_status only_file(const char *folder, const char *suffix, char **out)
{
    *out = NULL;
    DIR *dir = opendir(folder);
    if (!dir) return kua__fail_errno("%s", folder);
    kua_status st = KUA_OK;
    for (struct dirent *entry; !st && (entry = readdir(dir));) {
        if (!kua__has_suffix(entry->d_name, suffix)) continue;
        if (*out)
            st = kua__fail(KUA_FORMAT, "%s: has several files of the name *%s, expected one",
                           folder, suffix);
        else if (!(*out = kua__path_join(folder, entry->d_name)))
            st = kua__fail_nomem(strlen(folder), "a path");
    }
    closedir(dir);
    if (!st) return KUA_OK;
    kua__free(*out);
    *out = NULL;
    return st;
}

static kua_status load_folder(const char *folder, kua_tokenizer **out)
{
    static const char *const names[] = {"tokenizer.json", "vocab.json", "vocab.txt"};
    static const char *const suffixes[] = {"-tokenizer.json", ".gguf"};
    for (size_t i = 0; i < KUA__COUNT(names) + KUA__COUNT(suffixes); i++) {
        bool named = i < KUA__COUNT(names);
        char *path = NULL;
        if (named && !(path = kua__path_join(folder, names[i])))
            return kua__fail_nomem(strlen(folder), "a path");
        if (!named) KUA__TRY(only_file(folder, suffixes[i - KUA__COUNT(names)], &path));
        bool there = path && kua__exists(path);
        kua_status st = there ? load_file(path, out) : KUA_OK;
        kua__free(path);
        if (there) return st;
    }
    return kua__fail(KUA_NOTFOUND,
                     "%s: has neither tokenizer.json, vocab.json, vocab.txt nor a .gguf file",
                     folder);
}

/* A file of weights without a tokenizer of its own: the one in its folder. */
static kua_status load_beside(const char *path, kua_tokenizer **out)
{
    char *folder = sibling(path, "");
    if (!folder) return kua__fail_nomem(strlen(path), "a path");
    kua_status st = load_folder(folder, out);
    kua__free(folder);
    return st;
}

static bool is_weights(const char *path)
{
    return kua__has_suffix(path, ".onnx") || kua__has_suffix(path, ".safetensors") ||
           kua__has_suffix(path, ".safetensors.index.json");
}

kua_status kua_tokenizer_load(const char *path, kua_tokenizer **out)
{
    assert(path && out);
    *out = NULL;
    struct stat st;
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) return load_folder(path, out);
    if (!kua__exists(path)) return kua__fail(KUA_NOTFOUND, "%s: no such file or folder", path);
    return is_weights(path) ? load_beside(path, out) : load_file(path, out);
}
