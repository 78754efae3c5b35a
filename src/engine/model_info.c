/* model_info.c - what a model's files hold, and whether kua can run it.
 *
 * show reads headers only, so that it answers at once for a file of any size, and goes as far as it
 * can: a file of an unknown architecture still has tensors to show. check does what work would
 * begin with: it loads the model; whatever that says is the answer.
 */
#include <assert.h>
#include <string.h>

#include "base/json.h"
#include "encoder/model.h"
#include "engine/model_files.h"
#include "kua/encoder.h"
#include "kua/engine.h"
#include "kua/generate.h"
#include "kua/model.h"
#include "tensor/weights.h"

enum { TEXT_MAX = 2000 }; /* bytes of a setting that are shown */

/* ---- parts of show's report ---- */

static json_t *describe_tensor(const kua__tensor *t)
{
    json_t *shape = json_array();
    for (size_t i = 0; i < t->rank; i++)
        json_array_append_new(shape, json_integer((json_int_t)t->dim[i]));
    return json_pack("{s:s, s:s, s:o, s:I, s:b}", "name", t->name, "type",
                     kua__dtype_name(t->dtype), "shape", shape, "bytes", (json_int_t)t->bytes,
                     "turned", t->turned);
}

/* Tensors, and how many numbers there are in all and of each type. */
static void describe_tensors(const kua__weights *w, json_t *out)
{
    json_int_t of_type[KUA__DTYPE_COUNT] = {0}, all = 0;
    json_t *list = json_array(), *types = json_object();
    for (size_t i = 0; i < kua__weights_count(w); i++) {
        const kua__tensor *t = kua__weights_at(w, i);
        json_array_append_new(list, describe_tensor(t));
        of_type[t->dtype] += (json_int_t)t->count;
        all += (json_int_t)t->count;
    }
    for (kua__dtype d = 0; d < KUA__DTYPE_COUNT; d++) {
        if (of_type[d]) json_object_set_new(types, kua__dtype_name(d), json_integer(of_type[d]));
    }
    json_object_set_new(out, "parameters", json_integer(all));
    json_object_set_new(out, "types", types);
    json_object_set_new(out, "tensors", list);
}

static json_t *describe_text(kua__gguf_text text)
{
    size_t n = kua__utf8_valid(text.data, KUA__MIN(text.n, (size_t)TEXT_MAX));
    return json_stringn(text.data, n);
}

static json_t *describe_value(const kua__gguf_value *v)
{
    if (v->array) {
        char text[64];
        snprintf(text, sizeof(text), "%s[%zu]", kua__gguf_type_name(v->type), v->n);
        return json_string(text);
    }
    switch (v->type) {
    case KUA__GGUF_TEXT:
        return describe_text(kua__gguf_text_at(v, 0));
    case KUA__GGUF_BOOL:
        return json_boolean(kua__gguf_int_at(v, 0) != 0);
    case KUA__GGUF_F32:
    case KUA__GGUF_F64:
        return json_real(kua__gguf_real_at(v, 0));
    default:
        return json_integer(kua__gguf_int_at(v, 0));
    }
}

static json_t *describe_metadata(const kua__weights *w)
{
    json_t *out = json_object();
    const kua__gguf *gguf = kua__weights_gguf(w);
    const kua__onnx *onnx = kua__weights_onnx(w);
    if (gguf) json_object_set_new(out, "GGUF.version", json_integer(kua__gguf_version(gguf)));
    for (size_t i = 0; gguf && i < kua__gguf_values(gguf); i++) {
        const kua__gguf_value *v = kua__gguf_value_at(gguf, i);
        json_t *value = describe_value(v); /* NULL: a number that JSON lacks */
        json_object_set_new(out, v->key, value ? value : json_null());
    }
    if (onnx) {
        json_object_set_new(out, "producer", json_string(kua__onnx_producer(onnx)));
        json_object_set_new(out, "opset", json_integer(kua__onnx_opset(onnx)));
    }
    const char *key = NULL, *text = NULL;
    for (size_t i = 0; (text = kua__weights_meta_at(w, i, &key)); i++)
        json_object_set_new(out, key, json_string(text));
    return out;
}

static json_t *describe_sizes(const kua__model_config *c)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "layers", (json_int_t)c->layers,
                     "hidden", (json_int_t)c->hidden, "heads", (json_int_t)c->heads, "kv_heads",
                     (json_int_t)c->kv_heads, "head_dim", (json_int_t)c->head_dim, "inner",
                     (json_int_t)c->inner, "vocab", (json_int_t)c->vocab, "positions",
                     (json_int_t)c->positions);
}

/* A failure that is part of the answer; only running out of memory ends it. */
static kua_status note(json_t *out, const char *key, kua_status st)
{
    if (st == KUA_NOMEM || st == KUA_OK) return st;
    json_object_set_new(out, key, json_string(kua_error_message()));
    return KUA_OK;
}

static kua_status describe_tokenizer(const char *path, const kua__weights *w, size_t vocab,
                                     json_t *out)
{
    kua_tokenizer *tokenizer = NULL;
    json_t *part = json_object();
    kua_status st = kua__tokenizer_find(path, w, vocab ? vocab : KUA_VOCAB_MAX, &tokenizer);
    if (!st) {
        kua_tokenizer_info info = kua_tokenizer_describe(tokenizer);
        json_object_set_new(part, "kind", json_string(kua_tokenizer_kind_name(info.kind)));
        json_object_set_new(part, "tokens", json_integer((json_int_t)info.vocab_size));
    }
    st = note(part, "problem", st);
    json_object_set_new(out, "tokenizer", part);
    kua_tokenizer_free(tokenizer);
    return st;
}

static kua_status describe_model(const char *path, const kua__weights *w, json_t *out)
{
    kua__model_config config = {0};
    kua_status st = kua__config_find(path, w, &config);
    if (!st) {
        json_object_set_new(out, "family", json_string(kua__family_name(config.family)));
        json_object_set_new(out, "sizes", describe_sizes(&config));
    }
    size_t vocab = st ? 0 : config.vocab;
    KUA__TRY(note(out, "problem", st));
    return describe_tokenizer(path, w, vocab, out);
}

static kua_status show_at(const char *path, char **report)
{
    kua__weights *w = NULL;
    KUA__TRY(kua__weights_open(path, &w));
    unsigned long lost = kua__json_lost();
    json_t *out =
        json_pack("{s:s, s:s, s:s, s:I, s:I}", "path", path, "file", kua__weights_path(w), "format",
                  kua__weights_format(w), "files", (json_int_t)kua__weights_files(w), "bytes",
                  (json_int_t)kua__weights_bytes(w));
    kua_status st = out ? describe_model(path, w, out) : kua__fail_nomem(0, "a report");
    if (!st) {
        json_object_set_new(out, "metadata", describe_metadata(w));
        describe_tensors(w, out);
        st = kua__model_report(out, lost, report);
    } else {
        json_decref(out);
    }
    kua__weights_close(w);
    return st;
}

kua_status kua_model_show(const char *model, char **report)
{
    assert(model && report);
    char *path = NULL;
    *report = NULL;
    KUA__TRY(kua_model_folder(model, &path));
    kua_status st = show_at(path, report);
    kua__free(path);
    return st;
}

/* ---- check ---- */

/* Of causal models: with the head that words need? */
static kua_status find_uses(const char *path, json_t *uses)
{
    kua_generator *generator = NULL;
    kua_status st = kua_generator_load(path, NULL, &generator);
    json_array_append_new(uses, json_string("encode"));
    if (!st) json_array_append_new(uses, json_string("generate"));
    kua_generator_free(generator);
    return st == KUA_NOMEM ? st : KUA_OK;
}

static void describe_encoder(const kua_encoder *encoder, json_t *uses, json_t *out)
{
    kua_encoder_info info = kua_encoder_describe(encoder);
    json_object_set_new(out, "runs", json_true());
    json_object_set_new(out, "family", json_string(info.family));
    json_object_set_new(out, "dim", json_integer((json_int_t)info.dim));
    json_object_set_new(out, "parameters", json_integer((json_int_t)info.parameters));
    json_object_set_new(out, "weight_bytes", json_integer((json_int_t)info.weight_bytes));
    json_object_set_new(out, "max_tokens", json_integer((json_int_t)info.max_tokens));
    json_object_set_new(out, "uses", uses);
}

/* Most numbers of an ONNX file that was quantised are of 8 bits, and its graph computes the weights
 * from them. */
static bool is_quantised(const kua__weights *w)
{
    size_t small = 0, all = 0;
    for (size_t i = 0; i < kua__weights_count(w); i++) {
        const kua__tensor *t = kua__weights_at(w, i);
        all += t->count;
        if (t->dtype == KUA__I8 || t->dtype == KUA__U8) small += t->count;
    }
    return kua__weights_onnx(w) && small > all / 2;
}

/* Loading says that a tensor is missing; why it is, is known only here. Returns st. */
static kua_status explain(const char *path, kua_status st)
{
    kua__weights *w = NULL;
    kua__buf why = {0};
    kua__buf_puts(&why, kua_error_message());
    if (!kua__weights_open(path, &w) && is_quantised(w))
        kua__buf_puts(&why,
                      " (its weights are quantised to 8 bits; kua reads ONNX files of floats)");
    kua__weights_close(w);
    if (!why.failed) st = kua__fail(st, "%s", why.data);
    kua__buf_release(&why);
    return st;
}

static kua_status check_at(const char *path, json_t *out)
{
    kua_encoder *encoder = NULL;
    kua_status st = kua_encoder_load(path, NULL, &encoder);
    if (st) {
        json_object_set_new(out, "runs", json_false());
        return note(out, "why", st == KUA_NOMEM ? st : explain(path, st));
    }
    json_t *uses = json_array();
    st = find_uses(path, uses);
    if (st)
        json_decref(uses);
    else
        describe_encoder(encoder, uses, out);
    kua_encoder_free(encoder);
    return st;
}

kua_status kua_model_check(const char *model, char **report)
{
    assert(model && report);
    char *path = NULL;
    *report = NULL;
    KUA__TRY(kua_model_folder(model, &path));
    unsigned long lost = kua__json_lost();
    json_t *out = json_pack("{s:s}", "path", path);
    kua_status st = out ? check_at(path, out) : kua__fail_nomem(0, "a report");
    if (st)
        json_decref(out);
    else
        st = kua__model_report(out, lost, report);
    kua__free(path);
    return st;
}
