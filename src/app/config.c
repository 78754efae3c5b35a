/* config.c - reading and writing classifier.json.
 *
 *     {"version": 1, "task": "classify", "method": "encoder", "head": "linear", "tune": "full",
 *      "multi": false, "dim": 384, "hidden": 128, "max_tokens": 128, "labels": ["no", "yes"],
 *      "encoder": "encoder", "trained": {...}}
 *
 * A version that is newer than this program's is refused before anything else is read.
 */
#include "app/config.h"

#include <assert.h>
#include <string.h>

#include "base/json.h"
#include "kua/encoder.h"

const char *const kua__method_names[KUA__METHODS] = {"tfidf", "vectors", "encoder"};
const char *const kua__head_names[KUA__HEADS] = {"linear", "mlp", "lstm"};

kua_status kua__app_choice(const char *what, const char *name, const char *const *names, size_t n,
                           int *out)
{
    assert(what && name && names && out);
    char list[128];
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        if (kua__streq(name, names[i])) {
            *out = (int)i;
            return KUA_OK;
        }
        at += (size_t)snprintf(list + at, sizeof(list) - at, "%s%s", i ? ", " : "", names[i]);
    }
    return kua__fail(KUA_INVALID, "%s is '%.40s', expected one of %s", what, name, list);
}

size_t kua__app_outs(const kua__app_config *c)
{
    assert(c->labels.count >= 1);
    return c->labels.count == 2 && !c->multi && !c->tagger ? 1 : c->labels.count;
}

bool kua__app_softmax(const kua__app_config *c)
{
    return !c->multi && kua__app_outs(c) > 1;
}

void kua__app_config_release(kua__app_config *c)
{
    kua__ids_release(&c->labels);
    kua__free(c->encoder);
    *c = (kua__app_config){0};
}

/* ---- reading ---- */

static kua_status choice(const char *name, const json_t *json, const char *key,
                         const char *const *names, size_t n, int *out)
{
    const char *text = NULL;
    KUA__TRY(kua__json_string(name, json, key, &text));
    if (kua__app_choice(key, text, names, n, out))
        return kua__fail(KUA_FORMAT, "%s: %s is '%.40s', which this program does not know", name,
                         key, text);
    return KUA_OK;
}

static kua_status count(const char *name, const json_t *json, const char *key, int64_t high,
                        size_t *out)
{
    int64_t value = 0;
    KUA__TRY(kua__json_int(name, json, key, 0, high, &value));
    *out = (size_t)value;
    return KUA_OK;
}

static kua_status read_labels(const char *name, const json_t *json, kua__app_config *c)
{
    const json_t *list = json_object_get(json, "labels");
    size_t n = json_array_size(list);
    if (!json_is_array(list) || n < 1 || n > KUA_LABELS_MAX)
        return kua__fail(KUA_FORMAT, "%s: labels is no array of 1..%d texts", name, KUA_LABELS_MAX);
    for (size_t i = 0; i < n; i++) {
        const json_t *label = json_array_get(list, i);
        size_t bytes = json_string_length(label);
        uint32_t id = 0;
        if (bytes < 1 || bytes > KUA_LABEL_BYTES_MAX || memchr(json_string_value(label), 0, bytes))
            return kua__fail(KUA_FORMAT, "%s: labels[%zu] is no text of 1..%d bytes", name, i,
                             KUA_LABEL_BYTES_MAX);
        KUA__TRY(kua__ids_add(&c->labels, json_string_value(label), bytes, &id));
        if (id != i) return kua__fail(KUA_FORMAT, "%s: labels[%zu] is there twice", name, i);
    }
    return KUA_OK;
}

static kua_status read_encoder(const char *name, const json_t *json, kua__app_config *c)
{
    const char *path = NULL;
    KUA__TRY(kua__json_string_or(name, json, "encoder", NULL, &path));
    if (c->method == KUA__ENCODER && (!path || !*path))
        return kua__fail(KUA_FORMAT, "%s: encoder is missing", name);
    if (!path) return KUA_OK;
    c->encoder = kua__strdup(path);
    return c->encoder ? KUA_OK : kua__fail_nomem(strlen(path), "a path");
}

/* A tagger's labels are O, then B-TYPE and I-TYPE of each type. */
static kua_status check_tags(const char *name, const kua__app_config *c)
{
    bool good = c->labels.count % 2 == 1 && kua__streq(c->labels.name[0], "O");
    for (size_t k = 1; k + 1 < c->labels.count && good; k += 2) {
        const char *b = c->labels.name[k], *i = c->labels.name[k + 1];
        good = kua__has_prefix(b, "B-") && kua__has_prefix(i, "I-") && kua__streq(b + 2, i + 2);
    }
    return good ? KUA_OK : kua__fail(KUA_FORMAT, "%s: labels are not O, B-TYPE, I-TYPE, ...", name);
}

/* Combinations that no training writes. */
static kua_status check(const char *name, const kua__app_config *c)
{
    if (c->dim < 1 && c->method != KUA__TFIDF) return kua__fail(KUA_FORMAT, "%s: dim is 0", name);
    if (c->hidden < 1) return kua__fail(KUA_FORMAT, "%s: hidden is 0", name);
    if (c->method == KUA__TFIDF && c->head != KUA__HEAD_LINEAR)
        return kua__fail(KUA_FORMAT, "%s: method tfidf has the head %s, expected linear", name,
                         kua__head_names[c->head]);
    if (c->method != KUA__ENCODER && (c->tagger || c->head == KUA__HEAD_LSTM))
        return kua__fail(KUA_FORMAT, "%s: method %s has no tokens", name,
                         kua__method_names[c->method]);
    if (c->method == KUA__ENCODER && c->max_tokens < 4)
        return kua__fail(KUA_FORMAT, "%s: max_tokens is %zu, expected at least 4", name,
                         c->max_tokens);
    if (!c->multi && c->labels.count < 2)
        return kua__fail(KUA_FORMAT, "%s: there is one label only", name);
    return c->tagger ? check_tags(name, c) : KUA_OK;
}

static kua_status read_all(const char *name, const json_t *json, kua__app_config *c)
{
    static const char *const tasks[] = {"classify", "tag"};
    int64_t version = 0;
    int task = 0, method = 0, head = 0;
    const char *tune = NULL;
    KUA__TRY(kua__json_int(name, json, "version", 1, INT32_MAX, &version));
    if (version > KUA__APP_VERSION)
        return kua__fail(KUA_FORMAT,
                         "%s: version is %d, this program reads up to %d: it was made by a newer "
                         "kua",
                         name, (int)version, KUA__APP_VERSION);
    KUA__TRY(choice(name, json, "task", tasks, 2, &task));
    KUA__TRY(choice(name, json, "method", kua__method_names, KUA__METHODS, &method));
    KUA__TRY(choice(name, json, "head", kua__head_names, KUA__HEADS, &head));
    KUA__TRY(kua__json_string(name, json, "tune", &tune));
    if (kua__tune_parse(tune, &c->tune))
        return kua__fail(KUA_FORMAT, "%s: tune is '%.40s', which this program does not know", name,
                         tune);
    c->tagger = task == 1;
    c->method = (kua__method)method;
    c->head = (kua__head_kind)head;
    KUA__TRY(kua__json_bool_or(name, json, "multi", false, &c->multi));
    KUA__TRY(kua__json_bool_or(name, json, "last_step", false, &c->last_step));
    KUA__TRY(kua__json_bool_or(name, json, "characters", false, &c->characters));
    KUA__TRY(count(name, json, "dim", KUA__APP_DIM_MAX, &c->dim));
    KUA__TRY(count(name, json, "hidden", KUA__APP_HIDDEN_MAX, &c->hidden));
    KUA__TRY(count(name, json, "max_tokens", KUA_ENCODER_TOKENS_MAX, &c->max_tokens));
    KUA__TRY(read_labels(name, json, c));
    KUA__TRY(read_encoder(name, json, c));
    return check(name, c);
}

kua_status kua__app_config_parse(const char *name, const char *text, size_t n, kua__app_config *c)
{
    assert(name && (text || n == 0) && c);
    *c = (kua__app_config){0};
    kua__ids_init(&c->labels);
    json_t *json = NULL;
    KUA__TRY(kua__json_parse(name, text, n, &json));
    kua_status st = read_all(name, json, c);
    json_decref(json);
    return st;
}

kua_status kua__app_config_load(const char *folder, kua__app_config *c)
{
    assert(folder && c);
    *c = (kua__app_config){0};
    kua__map map = {0};
    char *path = kua__path_join(folder, "classifier.json");
    if (!path) return kua__fail_nomem(strlen(folder), "a path");
    kua_status st =
        kua__exists(path)
            ? kua__map_open(&map, path)
            : kua__fail(KUA_NOTFOUND, "%s: no classifier is here (classifier.json)", folder);
    if (!st) st = kua__app_config_parse(path, map.data, map.size, c);
    kua__map_close(&map);
    kua__free(path);
    return st;
}

/* ---- writing ---- */

static json_t *to_json(const kua__app_config *c, const json_t *trained)
{
    json_t *labels = json_array();
    for (size_t i = 0; i < c->labels.count; i++)
        json_array_append_new(labels, json_string(c->labels.name[i]));
    return json_pack("{s:i, s:s, s:s, s:s, s:s, s:b, s:b, s:b, s:I, s:I, s:I, s:o, s:s*, s:O*}",
                     "version", KUA__APP_VERSION, "task", c->tagger ? "tag" : "classify", "method",
                     kua__method_names[c->method], "head", kua__head_names[c->head], "tune",
                     kua__tune_name(c->tune), "multi", c->multi, "last_step", c->last_step,
                     "characters", c->characters, "dim", (json_int_t)c->dim, "hidden",
                     (json_int_t)c->hidden, "max_tokens", (json_int_t)c->max_tokens, "labels",
                     labels, "encoder", c->encoder, "trained", trained);
}

kua_status kua__app_config_save(const char *folder, const kua__app_config *c, const json_t *trained)
{
    assert(folder && c);
    unsigned long lost = kua__json_lost();
    char *path = kua__path_join(folder, "classifier.json");
    json_t *json = to_json(c, trained);
    kua_status st = path && json ? kua__json_whole(lost, "a classifier's description")
                                 : kua__fail_nomem(0, "a classifier's description");
    if (!st) st = kua__json_save(path, json);
    json_decref(json);
    kua__free(path);
    return st;
}
