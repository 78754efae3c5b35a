/* names.c - one table of names per family, and reading by them.
 *
 * A table is data: what a new family needs is a row of kua__config's switches and a table here. The
 * shapes follow from the config alone (kua__slot_shape), so a file can be checked whole before
 * anything is allocated for it.
 */
#include "encoder/names.h"

#include <assert.h>
#include <string.h>

/* ---- the tables ---- */

#define BERT_BODY                                                                                  \
    [KUA__SLOT_WORD] = "embeddings.word_embeddings",                                               \
    [KUA__SLOT_PLACE] = "embeddings.position_embeddings",                                          \
    [KUA__SLOT_TYPE] = "embeddings.token_type_embeddings",                                         \
    [KUA__SLOT_FIRST_NORM] = "embeddings.LayerNorm",                                               \
    [KUA__SLOT_QUERY] = "encoder.layer.%zu.attention.self.query",                                  \
    [KUA__SLOT_KEY] = "encoder.layer.%zu.attention.self.key",                                      \
    [KUA__SLOT_VALUE] = "encoder.layer.%zu.attention.self.value",                                  \
    [KUA__SLOT_OUT] = "encoder.layer.%zu.attention.output.dense",                                  \
    [KUA__SLOT_ATTEND_NORM] = "encoder.layer.%zu.attention.output.LayerNorm",                      \
    [KUA__SLOT_UP] = "encoder.layer.%zu.intermediate.dense",                                       \
    [KUA__SLOT_DOWN] = "encoder.layer.%zu.output.dense",                                           \
    [KUA__SLOT_INNER_NORM] = "encoder.layer.%zu.output.LayerNorm"

static const kua__naming namings[KUA__FAMILY_COUNT] = {
    [KUA__FAMILY_BERT] =
        {
            .title = "BERT",
            .prefix = "bert.",
            .old_norms = true,
            .stem = {BERT_BODY, [KUA__SLOT_HEAD_DENSE] = "cls.predictions.transform.dense",
                     [KUA__SLOT_HEAD_NORM] = "cls.predictions.transform.LayerNorm",
                     [KUA__SLOT_HEAD_BIAS] = "cls.predictions",
                     [KUA__SLOT_HEAD] = "cls.predictions.decoder"},
        },
    [KUA__FAMILY_DISTILBERT] =
        {
            .title = "DistilBERT",
            .prefix = "distilbert.",
            .stem = {[KUA__SLOT_WORD] = "embeddings.word_embeddings",
                     [KUA__SLOT_PLACE] = "embeddings.position_embeddings",
                     [KUA__SLOT_FIRST_NORM] = "embeddings.LayerNorm",
                     [KUA__SLOT_QUERY] = "transformer.layer.%zu.attention.q_lin",
                     [KUA__SLOT_KEY] = "transformer.layer.%zu.attention.k_lin",
                     [KUA__SLOT_VALUE] = "transformer.layer.%zu.attention.v_lin",
                     [KUA__SLOT_OUT] = "transformer.layer.%zu.attention.out_lin",
                     [KUA__SLOT_ATTEND_NORM] = "transformer.layer.%zu.sa_layer_norm",
                     [KUA__SLOT_UP] = "transformer.layer.%zu.ffn.lin1",
                     [KUA__SLOT_DOWN] = "transformer.layer.%zu.ffn.lin2",
                     [KUA__SLOT_INNER_NORM] = "transformer.layer.%zu.output_layer_norm",
                     [KUA__SLOT_HEAD_DENSE] = "vocab_transform",
                     [KUA__SLOT_HEAD_NORM] = "vocab_layer_norm",
                     [KUA__SLOT_HEAD_BIAS] = "vocab_projector",
                     [KUA__SLOT_HEAD] = "vocab_projector"},
        },
    [KUA__FAMILY_ROBERTA] =
        {
            .title = "RoBERTa",
            .prefix = "roberta.",
            .old_norms = true,
            .stem = {BERT_BODY, [KUA__SLOT_HEAD_DENSE] = "lm_head.dense",
                     [KUA__SLOT_HEAD_NORM] = "lm_head.layer_norm",
                     [KUA__SLOT_HEAD_BIAS] = "lm_head", [KUA__SLOT_HEAD] = "lm_head.decoder"},
        },
    [KUA__FAMILY_GPT2] =
        {
            .title = "GPT-2",
            .prefix = "transformer.",
            .turned = true,
            .stem = {[KUA__SLOT_WORD] = "wte",
                     [KUA__SLOT_PLACE] = "wpe",
                     [KUA__SLOT_ATTEND_NORM] = "h.%zu.ln_1",
                     [KUA__SLOT_QKV] = "h.%zu.attn.c_attn",
                     [KUA__SLOT_OUT] = "h.%zu.attn.c_proj",
                     [KUA__SLOT_INNER_NORM] = "h.%zu.ln_2",
                     [KUA__SLOT_UP] = "h.%zu.mlp.c_fc",
                     [KUA__SLOT_DOWN] = "h.%zu.mlp.c_proj",
                     [KUA__SLOT_LAST_NORM] = "ln_f",
                     [KUA__SLOT_HEAD] = "lm_head"},
        },
    [KUA__FAMILY_LLAMA] =
        {
            .title = "llama",
            .prefix = "model.",
            .stem = {[KUA__SLOT_WORD] = "embed_tokens",
                     [KUA__SLOT_ATTEND_NORM] = "layers.%zu.input_layernorm",
                     [KUA__SLOT_QUERY] = "layers.%zu.self_attn.q_proj",
                     [KUA__SLOT_KEY] = "layers.%zu.self_attn.k_proj",
                     [KUA__SLOT_VALUE] = "layers.%zu.self_attn.v_proj",
                     [KUA__SLOT_OUT] = "layers.%zu.self_attn.o_proj",
                     [KUA__SLOT_INNER_NORM] = "layers.%zu.post_attention_layernorm",
                     [KUA__SLOT_GATE] = "layers.%zu.mlp.gate_proj",
                     [KUA__SLOT_UP] = "layers.%zu.mlp.up_proj",
                     [KUA__SLOT_DOWN] = "layers.%zu.mlp.down_proj",
                     [KUA__SLOT_LAST_NORM] = "norm",
                     [KUA__SLOT_HEAD] = "lm_head"},
        },
};

static const kua__naming gguf_llama = {
    .title = "GGUF's llama",
    .prefix = "",
    .paired = true,
    .stem = {[KUA__SLOT_WORD] = "token_embd",
             [KUA__SLOT_ATTEND_NORM] = "blk.%zu.attn_norm",
             [KUA__SLOT_QUERY] = "blk.%zu.attn_q",
             [KUA__SLOT_KEY] = "blk.%zu.attn_k",
             [KUA__SLOT_VALUE] = "blk.%zu.attn_v",
             [KUA__SLOT_OUT] = "blk.%zu.attn_output",
             [KUA__SLOT_INNER_NORM] = "blk.%zu.ffn_norm",
             [KUA__SLOT_GATE] = "blk.%zu.ffn_gate",
             [KUA__SLOT_UP] = "blk.%zu.ffn_up",
             [KUA__SLOT_DOWN] = "blk.%zu.ffn_down",
             [KUA__SLOT_LAST_NORM] = "output_norm",
             [KUA__SLOT_HEAD] = "output"},
};

const kua__naming *kua__naming_of(kua__family family)
{
    assert((unsigned)family < KUA__FAMILY_COUNT);
    return &namings[family];
}

const kua__naming *kua__naming_gguf(kua__family family)
{
    return family == KUA__FAMILY_LLAMA ? &gguf_llama : NULL;
}

/* ---- slots ---- */

bool kua__slot_in_layer(kua__slot slot)
{
    return slot >= KUA__SLOT_ATTEND_NORM && slot <= KUA__SLOT_DOWN;
}

bool kua__slot_in_head(kua__slot slot)
{
    return slot >= KUA__SLOT_HEAD_DENSE;
}

bool kua__slot_is_norm(kua__slot slot)
{
    return slot == KUA__SLOT_FIRST_NORM || slot == KUA__SLOT_ATTEND_NORM ||
           slot == KUA__SLOT_INNER_NORM || slot == KUA__SLOT_LAST_NORM ||
           slot == KUA__SLOT_HEAD_NORM;
}

bool kua__slot_is_product(kua__slot slot)
{
    return kua__slot_in_layer(slot) && !kua__slot_is_norm(slot);
}

bool kua__slot_used(const kua__naming *naming, const kua__model_config *c, kua__slot slot)
{
    assert(naming && c && (unsigned)slot < KUA__SLOT_COUNT);
    if (!naming->stem[slot]) return false;
    switch (slot) {
    case KUA__SLOT_PLACE:
        return c->learned_positions;
    case KUA__SLOT_TYPE:
        return c->types > 0;
    case KUA__SLOT_FIRST_NORM:
        return !c->pre_norm;
    case KUA__SLOT_LAST_NORM:
        return c->pre_norm;
    case KUA__SLOT_GATE:
        return c->gated;
    case KUA__SLOT_HEAD:
        return !c->tied;
    default:
        return true;
    }
}

bool kua__slot_has(const kua__model_config *c, kua__slot slot, kua__part part)
{
    if (slot == KUA__SLOT_HEAD_BIAS) return part == KUA__BIAS;
    if (part == KUA__WEIGHT || slot == KUA__SLOT_HEAD_DENSE) return true;
    if (kua__slot_is_norm(slot)) return !c->rms;
    return kua__slot_is_product(slot) && c->biases;
}

void kua__slot_shape(const kua__model_config *c, kua__slot slot, size_t *rows, size_t *cols)
{
    assert(c && rows && cols && (unsigned)slot < KUA__SLOT_COUNT);
    size_t h = c->hidden, q = c->heads * c->head_dim, kv = c->kv_heads * c->head_dim;
    const size_t shape[KUA__SLOT_COUNT][2] = {
        [KUA__SLOT_WORD] = {c->vocab, h},  [KUA__SLOT_PLACE] = {c->positions, h},
        [KUA__SLOT_TYPE] = {c->types, h},  [KUA__SLOT_FIRST_NORM] = {0, h},
        [KUA__SLOT_ATTEND_NORM] = {0, h},  [KUA__SLOT_QUERY] = {q, h},
        [KUA__SLOT_KEY] = {kv, h},         [KUA__SLOT_VALUE] = {kv, h},
        [KUA__SLOT_QKV] = {q + 2 * kv, h}, [KUA__SLOT_OUT] = {h, q},
        [KUA__SLOT_INNER_NORM] = {0, h},   [KUA__SLOT_GATE] = {c->inner, h},
        [KUA__SLOT_UP] = {c->inner, h},    [KUA__SLOT_DOWN] = {h, c->inner},
        [KUA__SLOT_LAST_NORM] = {0, h},    [KUA__SLOT_HEAD_DENSE] = {h, h},
        [KUA__SLOT_HEAD_NORM] = {0, h},    [KUA__SLOT_HEAD_BIAS] = {0, c->vocab},
        [KUA__SLOT_HEAD] = {c->vocab, h},
    };
    *rows = shape[slot][0];
    *cols = shape[slot][1];
}

size_t kua__slot_dims(const kua__naming *naming, const kua__model_config *c, kua__slot slot,
                      kua__part part, size_t dim[2])
{
    size_t rows = 0, cols = 0;
    kua__slot_shape(c, slot, &rows, &cols);
    bool turned = naming->turned && kua__slot_is_product(slot);
    if (part == KUA__WEIGHT && rows) {
        dim[0] = turned ? cols : rows;
        dim[1] = turned ? rows : cols;
        return 2;
    }
    dim[0] = part == KUA__BIAS && rows ? rows : cols;
    dim[1] = 1;
    return 1;
}

void kua__slot_name(const kua__naming *naming, const char *prefix, kua__slot slot, size_t layer,
                    kua__part part, char *out, size_t room)
{
    assert(naming && prefix && out && naming->stem[slot]);
    /* "%zu" is replaced by hand: a format that is no literal is what compilers rightly warn of. */
    const char *stem = naming->stem[slot], *mark = strstr(stem, "%zu");
    const char *before = kua__slot_in_head(slot) ? "" : prefix;
    const char *what = part == KUA__WEIGHT ? "weight" : "bias";
    if (mark)
        snprintf(out, room, "%s%.*s%zu%s.%s", before, (int)(mark - stem), stem, layer, mark + 3,
                 what);
    else
        snprintf(out, room, "%s%s.%s", before, stem, what);
}

/* ---- finding ---- */

enum { NAME_ROOM = 2 * KUA__TENSOR_NAME_MAX + 64 };

/* What stands before the name of the table of words. */
static bool find_prefix(kua__names *names)
{
    char word[NAME_ROOM];
    kua__slot_name(names->naming, "", KUA__SLOT_WORD, 0, KUA__WEIGHT, word, sizeof(word));
    for (size_t i = 0; i < kua__weights_count(names->file); i++) {
        const char *name = kua__weights_at(names->file, i)->name;
        size_t n = strlen(name);
        if (!kua__has_suffix(name, word)) continue;
        n -= strlen(word);
        if ((n && name[n - 1] != '.') || n > KUA__TENSOR_NAME_MAX) continue;
        memcpy(names->prefix, name, n);
        names->prefix[n] = 0;
        return true;
    }
    return false;
}

kua_status kua__names_find(kua__names *names, const kua__model_config *config,
                           const kua__weights *file)
{
    assert(names && config && file);
    const kua__naming *naming =
        kua__weights_gguf(file) ? kua__naming_gguf(config->family) : kua__naming_of(config->family);
    *names = (kua__names){.file = file, .naming = naming, .config = *config};
    if (!naming) {
        return kua__fail(KUA_FORMAT, "%s: a GGUF file of family %s, known is llama",
                         kua__weights_path(file), kua__family_name(config->family));
    }
    if (find_prefix(names)) return KUA_OK;
    return kua__fail(KUA_FORMAT, "%s: no tensor \"%s.weight\", with or without a prefix",
                     kua__weights_path(file), naming->stem[KUA__SLOT_WORD]);
}

/* Old files call a norm's weight and bias gamma and beta. */
static void use_old_name(const kua__weights *file, kua__part part, char *name, size_t room)
{
    char old[NAME_ROOM];
    size_t n = strlen(name) - strlen(part == KUA__WEIGHT ? "weight" : "bias");
    snprintf(old, sizeof(old), "%.*s%s", (int)n, name, part == KUA__WEIGHT ? "gamma" : "beta");
    if (kua__weights_find(file, old)) snprintf(name, room, "%s", old);
}

static void name_of(const kua__names *names, kua__slot slot, size_t layer, kua__part part,
                    char out[NAME_ROOM])
{
    kua__slot_name(names->naming, names->prefix, slot, layer, part, out, NAME_ROOM);
    if (names->naming->old_norms && kua__slot_is_norm(slot) && !kua__weights_find(names->file, out))
        use_old_name(names->file, part, out, NAME_ROOM);
}

bool kua__names_has(const kua__names *names, kua__slot slot, size_t layer, kua__part part)
{
    assert(names && names->file);
    char name[NAME_ROOM];
    if (!names->naming->stem[slot]) return false;
    name_of(names, slot, layer, part, name);
    return kua__weights_find(names->file, name) != NULL;
}

/* ---- reading ---- */

static bool is_number(kua__dtype type)
{
    return type != KUA__I8 && type != KUA__U8 && type != KUA__I32 && type != KUA__I64 &&
           type != KUA__BOOL;
}

kua_status kua__names_tensor(const kua__names *names, kua__slot slot, size_t layer, kua__part part,
                             const kua__tensor **out)
{
    assert(names && names->file && out);
    char name[NAME_ROOM];
    size_t dim[2], rank = kua__slot_dims(names->naming, &names->config, slot, part, dim);
    name_of(names, slot, layer, part, name);
    if (kua__weights_need(names->file, name, rank, dim, out))
        return kua__fail_prefix(KUA_FORMAT, "does not fit its config");
    if (!is_number((*out)->dtype)) {
        return kua__fail(KUA_FORMAT, "%s: tensor \"%s\" is of type %s, expected F32, F16 or BF16",
                         kua__weights_path(names->file), name, kua__dtype_name((*out)->dtype));
    }
    return KUA_OK;
}

kua_status kua__names_read(const kua__names *names, kua__slot slot, size_t layer, kua__part part,
                           float *out)
{
    assert(out);
    const kua__tensor *t = NULL;
    KUA__TRY(kua__names_tensor(names, slot, layer, part, &t));
    if (t->rank == 2 && names->naming->turned && kua__slot_is_product(slot)) {
        /* A row of the file at a time goes to a column of `out`. */
        size_t in = t->dim[0], n = t->dim[1];
        float part_of_row[256];
        for (size_t i = 0; i < in; i++) {
            for (size_t at = 0; at < n; at += KUA__COUNT(part_of_row)) {
                size_t here = KUA__MIN(n - at, KUA__COUNT(part_of_row));
                kua__tensor_to_f32(t, i * n + at, here, part_of_row);
                for (size_t k = 0; k < here; k++)
                    out[(at + k) * in + i] = part_of_row[k];
            }
        }
        return KUA_OK;
    }
    if (t->rank == 2)
        kua__tensor_matrix_f32(t, t->dim[0], t->dim[1], out);
    else
        kua__tensor_to_f32(t, 0, t->count, out);
    return KUA_OK;
}

static kua_status check_slot(const kua__names *names, kua__slot slot, size_t layer)
{
    const kua__tensor *t = NULL;
    for (int part = KUA__WEIGHT; part <= KUA__BIAS; part++) {
        if (kua__slot_has(&names->config, slot, (kua__part)part))
            KUA__TRY(kua__names_tensor(names, slot, layer, (kua__part)part, &t));
    }
    return KUA_OK;
}

kua_status kua__names_check(const kua__names *names)
{
    assert(names && names->config.layers >= 1);
    for (kua__slot slot = 0; !kua__slot_in_head(slot); slot++) {
        if (!kua__slot_used(names->naming, &names->config, slot)) continue;
        size_t n = kua__slot_in_layer(slot) ? names->config.layers : 1;
        for (size_t layer = 0; layer < n; layer++)
            KUA__TRY(check_slot(names, slot, layer));
    }
    return KUA_OK;
}

/* ---- layouts ---- */

void kua__turn(float *to, const float *from, size_t rows, size_t cols)
{
    assert(to && from && to != from);
    enum { TILE = 32 };
    for (size_t i = 0; i < rows; i += TILE) {
        for (size_t k = 0; k < cols; k += TILE) {
            for (size_t r = i; r < KUA__MIN(i + TILE, rows); r++) {
                for (size_t c = k; c < KUA__MIN(k + TILE, cols); c++)
                    to[c * rows + r] = from[r * cols + c];
            }
        }
    }
}

void kua__names_halves(float *to, const float *from, size_t heads, size_t head_dim, size_t cols)
{
    assert(to && from && to != from && head_dim % 2 == 0);
    for (size_t h = 0; h < heads; h++) {
        for (size_t i = 0; i < head_dim; i++) {
            size_t source = i < head_dim / 2 ? 2 * i : 2 * (i - head_dim / 2) + 1;
            memcpy(to + (h * head_dim + i) * cols, from + (h * head_dim + source) * cols,
                   cols * sizeof(*to));
        }
    }
}
