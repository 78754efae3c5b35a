/* pooling.c - how a text's token vectors become one, and where texts are cut, from the files that
 * Python's sentence-transformers writes.
 *
 *     1_Pooling/config.json          mean, first, largest or last  else encoder.c's choice
 *     modules.json                   is there a Normalize?         else: yes
 *     sentence_bert_config.json      where texts are cut           else encoder.c's own limit
 *
 * Modules behind the pooling other than Normalize are refused: a model that loads gives the
 * reference's vectors.
 */
#include <assert.h>
#include <string.h>

#include "base/json.h"
#include "encoder/config.h"

typedef kua_status (*parse_fn)(const char *name, const json_t *json, void *out);

static kua_status parse(const char *name, const char *text, size_t n, parse_fn fn, void *out)
{
    assert(name && (text || n == 0) && out);
    json_t *json = NULL;
    KUA__TRY(kua__json_parse(name, text, n, &json));
    kua_status st = fn(name, json, out);
    json_decref(json);
    return st;
}

/* ---- 1_Pooling/config.json ---- */

static const struct {
    const char *key;
    kua_pooling pooling; /* KUA_POOLING_MODEL: known, not computed here */
} modes[] = {
    {"pooling_mode_mean_tokens", KUA_POOLING_MEAN},
    {"pooling_mode_cls_token", KUA_POOLING_CLS},
    {"pooling_mode_max_tokens", KUA_POOLING_MAX},
    {"pooling_mode_mean_sqrt_len_tokens", KUA_POOLING_MODEL},
    {"pooling_mode_weightedmean_tokens", KUA_POOLING_MODEL},
    {"pooling_mode_lasttoken", KUA_POOLING_LAST},
};

static kua_status pooling(const char *name, const json_t *json, void *ctx)
{
    kua__pooling_config *c = ctx;
    const char *chosen = NULL;
    if (!json_is_object(json)) return kua__fail(KUA_FORMAT, "%s: is not a JSON object", name);
    for (size_t i = 0; i < KUA__COUNT(modes); i++) {
        bool on = false;
        KUA__TRY(kua__json_bool_or(name, json, modes[i].key, false, &on));
        if (!on) continue;
        if (modes[i].pooling == KUA_POOLING_MODEL) {
            return kua__fail(KUA_FORMAT, "%s: %s is true, known are mean, cls, max and lasttoken",
                             name, modes[i].key);
        }
        if (chosen)
            return kua__fail(KUA_FORMAT, "%s: both %s and %s are true", name, chosen, modes[i].key);
        chosen = modes[i].key;
        c->pooling = modes[i].pooling;
    }
    return chosen ? KUA_OK : kua__fail(KUA_FORMAT, "%s: no pooling mode is true", name);
}

kua_status kua__pooling_parse(const char *name, const char *text, size_t n,
                              kua__pooling_config *out)
{
    return parse(name, text, n, pooling, out);
}

/* ---- modules.json: a list of what is applied in turn ---- */

static kua_status modules(const char *name, const json_t *json, void *ctx)
{
    kua__pooling_config *c = ctx;
    if (!json_is_array(json)) return kua__fail(KUA_FORMAT, "%s: is not a JSON array", name);
    c->unit = false;
    for (size_t i = 0; i < json_array_size(json); i++) {
        const char *type = NULL;
        KUA__TRY(kua__json_string(name, json_array_get(json, i), "type", &type));
        const char *dot = strrchr(type, '.'), *kind = dot ? dot + 1 : type;
        if (kua__streq(kind, "Normalize")) {
            c->unit = true;
        } else if (!kua__streq(kind, "Transformer") && !kua__streq(kind, "Pooling")) {
            return kua__fail(
                KUA_FORMAT,
                "%s: module %zu is \"%.60s\", known are Transformer, Pooling and Normalize", name,
                i, type);
        }
    }
    return KUA_OK;
}

kua_status kua__modules_parse(const char *name, const char *text, size_t n,
                              kua__pooling_config *out)
{
    return parse(name, text, n, modules, out);
}

/* ---- sentence_bert_config.json ---- */

static kua_status sentence(const char *name, const json_t *json, void *ctx)
{
    kua__pooling_config *c = ctx;
    int64_t tokens = 0;
    if (!json_is_object(json)) return kua__fail(KUA_FORMAT, "%s: is not a JSON object", name);
    KUA__TRY(kua__json_int_or(name, json, "max_seq_length", 1, 1 << 20, 0, &tokens));
    c->max_tokens = (size_t)tokens;
    return KUA_OK;
}

kua_status kua__sentence_parse(const char *name, const char *text, size_t n,
                               kua__pooling_config *out)
{
    return parse(name, text, n, sentence, out);
}

/* ---- folders ---- */

/* Parses a file of the folder; where it is absent nothing happens. */
static kua_status load(const char *folder, const char *file, parse_fn fn, void *out)
{
    char *path = kua__path_join(folder, file);
    if (!path) return kua__fail_nomem(strlen(folder) + strlen(file), "a path");
    kua__map map;
    kua_status st = KUA_OK;
    if (kua__exists(path)) {
        st = kua__map_open(&map, path);
        if (!st) {
            st = parse(path, map.data, map.size, fn, out);
            kua__map_close(&map);
        }
    }
    kua__free(path);
    return st;
}

kua_status kua__pooling_load(const char *folder, kua__pooling_config *out)
{
    assert(folder && out);
    *out = (kua__pooling_config){.pooling = KUA_POOLING_MODEL, .unit = true};
    KUA__TRY(load(folder, "1_Pooling/config.json", pooling, out));
    KUA__TRY(load(folder, "modules.json", modules, out));
    return load(folder, "sentence_bert_config.json", sentence, out);
}
