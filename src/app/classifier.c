/* classifier.c - a classifier's parts, their files, and probabilities from them.
 *
 *     FOLDER/classifier.json     written last: a folder without it is no classifier
 *            head.safetensors    head.*, or tfidf.* with a linear model
 *            encoder/            where the encoder was tuned
 *
 * head.safetensors of tfidf: "tfidf.text" u8, all terms one after another; "tfidf.end" i64, where
 * each ends; "tfidf.idf" f32; "head.weight" [outs, terms], "head.bias".
 */
#include "app/classifier.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "grad/tape.h"
#include "tensor/safetensors.h"

void kua__classifier_init(kua_classifier *c)
{
    *c = (kua_classifier){0};
    kua__ids_init(&c->config.labels);
    kua__ids_init(&c->tfidf.terms);
    kua__params_init(&c->params);
    kua__params_init(&c->frozen);
}

void kua__classifier_release(kua_classifier *c)
{
    kua__backbone_release(&c->backbone);
    kua_encoder_free(c->encoder);
    kua__tape_free(c->tape);
    kua__params_release(&c->params);
    kua__params_release(&c->frozen);
    kua__affine_release(&c->linear);
    kua__tfidf_release(&c->tfidf);
    kua__app_config_release(&c->config);
}

bool kua__app_by_token(const kua__app_config *config)
{
    return config->method == KUA__ENCODER && (config->tagger || config->head == KUA__HEAD_LSTM);
}

char *kua__encoder_folder(const char *folder, const kua__app_config *config)
{
    assert(folder && config->encoder);
    return config->encoder[0] == '/' ? kua__strdup(config->encoder)
                                     : kua__path_join(folder, config->encoder);
}

/* ---- probabilities ---- */

void kua__app_expand(const kua__app_config *config, const float *z, size_t n, float *p)
{
    size_t labels = config->labels.count, outs = kua__app_outs(config);
    if (outs == labels) {
        memcpy(p, z, n * labels * sizeof(*p));
        return;
    }
    for (size_t i = 0; i < n; i++) {
        p[2 * i] = 1 - z[i];
        p[2 * i + 1] = z[i];
    }
}

static kua__var *picked_rows(kua__tape *t, const float *rows, size_t dim, const uint32_t *pick,
                             size_t n)
{
    float *x = kua__tape_floats(t, n, dim);
    for (size_t i = 0; x && i < n; i++)
        memcpy(x + i * dim, rows + pick[i] * dim, dim * sizeof(*x));
    return x ? kua__input(t, n, dim, x) : NULL;
}

static kua__var *picked_states(kua__tape *t, const kua__app_input *in, size_t dim,
                               const uint32_t *pick, kua__ragged seq)
{
    size_t tokens = seq.at[seq.n];
    float *x = kua__tape_floats(t, tokens, dim);
    for (size_t i = 0; x && i < seq.n; i++)
        memcpy(x + seq.at[i] * dim, in->states + in->ids->offset[pick[i]] * dim,
               (seq.at[i + 1] - seq.at[i]) * dim * sizeof(*x));
    return x ? kua__input(t, tokens, dim, x) : NULL;
}

kua__var *kua__classifier_on_tape(const kua_classifier *c, kua__tape *t, const kua__app_input *in,
                                  const uint32_t *pick, size_t n, float dropout, kua__ragged *seq)
{
    assert(c && t && in && pick && seq);
    *seq = (kua__ragged){0};
    size_t dim = c->config.dim;
    if (in->rows)
        return kua__head_on_tape(t, &c->head, picked_rows(t, in->rows, dim, pick, n), *seq,
                                 dropout);
    kua__picked p = kua__pick_texts(t, in->ids, pick, n);
    if (!p.id) return NULL;
    *seq = p.seq;
    kua__var *x = in->states ? picked_states(t, in, dim, pick, p.seq)
                             : kua__model_on_tape(t, &c->backbone.model, p.id, p.seq,
                                                  c->trained ? dropout : 0);
    if (!kua__app_by_token(&c->config))
        x = kua__pool_on_tape(t, x, p.seq, c->backbone.pooling, false);
    return kua__head_on_tape(t, &c->head, x, p.seq, dropout);
}

/* Rows of steps become the mean of each text's steps. */
static void mean_steps(float *z, kua__ragged seq, size_t outs)
{
    for (size_t i = 0; i < seq.n; i++) {
        float *to = z + i * outs; /* never behind what is still to be read */
        size_t n = seq.at[i + 1] - seq.at[i];
        for (size_t o = 0; o < outs; o++) {
            double sum = 0;
            for (size_t k = seq.at[i]; k < seq.at[i + 1]; k++)
                sum += z[k * outs + o];
            to[o] = n ? (float)(sum / (double)n) : 0;
        }
    }
}

kua_status kua__classifier_judge(const kua_classifier *c, kua__tape *t, const kua__app_input *in,
                                 const uint32_t *pick, size_t n, float *probability)
{
    assert(!kua__tape_training(t) && probability);
    kua__ragged seq;
    kua__tape_reset(t);
    kua__var *z = kua__classifier_on_tape(c, t, in, pick, n, 0, &seq);
    if (!z) return kua__tape_status(t);
    kua__probabilities(z->value, z->rows, z->cols, kua__app_softmax(&c->config));
    if (kua__head_by_step(&c->head)) mean_steps(z->value, seq, z->cols);
    kua__app_expand(&c->config, z->value, n, probability);
    return KUA_OK;
}

enum { JUDGED = 64 };

kua_status kua__classifier_judge_all(kua_classifier *c, const kua__app_input *in, size_t n,
                                     const kua_monitor *monitor, float *probability)
{
    assert(c && in && (probability || n == 0));
    if (!c->tape) KUA__TRY(kua__tape_create(NULL, &c->tape));
    kua__tape_set_training(c->tape, false);
    for (size_t first = 0; first < n; first += JUDGED) {
        uint32_t pick[JUDGED];
        size_t some = KUA__MIN(n - first, (size_t)JUDGED);
        for (size_t i = 0; i < some; i++)
            pick[i] = (uint32_t)(first + i);
        KUA__TRY(kua__classifier_judge(c, c->tape, in, pick, some,
                                       probability + first * c->config.labels.count));
        KUA__TRY(kua__progress(monitor, "classify texts", first + some, n));
    }
    return KUA_OK;
}

kua_status kua__classifier_pool(kua_classifier *c, const kua_text *texts, size_t n,
                                const kua_monitor *monitor, float *rows)
{
    assert(c && c->encoder && kua_encoder_dim(c->encoder) == c->config.dim);
    return kua_encoder_encode(c->encoder, texts, n, monitor, rows, NULL);
}

static kua_status predict_tfidf(const kua_classifier *c, const kua_text *texts, size_t n, float *p)
{
    kua__design x = {0};
    float *z = NULL;
    kua_status st = kua__tfidf_rows(&c->tfidf, texts, n, &x);
    if (!st) st = KUA__NEW_ARRAY(&z, n * c->linear.outs, "logits");
    if (!st) st = kua__affine_apply(&c->linear, &x, z);
    if (!st) {
        kua__probabilities(z, n, c->linear.outs, kua__app_softmax(&c->config));
        kua__app_expand(&c->config, z, n, p);
    }
    kua__free(z);
    kua__design_release(&x);
    return st;
}

static kua_status predict_pooled(kua_classifier *c, const kua_text *texts, size_t n,
                                 const kua_monitor *monitor, float *p)
{
    float *rows = NULL;
    KUA__TRY(KUA__NEW_ARRAY(&rows, n * c->config.dim, "vectors"));
    kua_status st = kua__classifier_pool(c, texts, n, monitor, rows);
    if (!st) st = kua__classifier_judge_all(c, &(kua__app_input){.rows = rows}, n, monitor, p);
    kua__free(rows);
    return st;
}

static kua_status predict_tokens(kua_classifier *c, const kua_text *texts, size_t n,
                                 const kua_monitor *monitor, float *p)
{
    kua_id_batch ids = {0};
    kua_status st =
        kua_tokenizer_encode_batch(c->backbone.tokenizer, texts, n, c->config.max_tokens, &ids);
    if (!st) st = kua__classifier_judge_all(c, &(kua__app_input){.ids = &ids}, n, monitor, p);
    kua_id_batch_release(&ids);
    return st;
}

kua_status kua_classifier_predict(kua_classifier *c, const kua_text *texts, size_t n,
                                  const kua_monitor *monitor, float *probability)
{
    assert(c && (texts || n == 0) && (probability || n == 0));
    if (c->config.method == KUA__VECTORS)
        return kua__fail(KUA_INVALID, "the classifier was trained on vectors: give it vectors");
    if (n == 0) return KUA_OK;
    if (c->config.method == KUA__TFIDF) return predict_tfidf(c, texts, n, probability);
    return kua__app_by_token(&c->config) ? predict_tokens(c, texts, n, monitor, probability)
                                         : predict_pooled(c, texts, n, monitor, probability);
}

/* ---- the file of TF-IDF ---- */

static kua_status declare_tfidf(kua__st_writer *w, const kua_classifier *c, size_t bytes)
{
    size_t terms = c->tfidf.terms.count, outs = c->linear.outs;
    KUA__TRY(kua__st_writer_declare(w, "tfidf.end", KUA__I64, 1, &terms));
    KUA__TRY(kua__st_writer_declare(w, "tfidf.idf", KUA__F32, 1, &terms));
    KUA__TRY(kua__st_writer_declare(w, "head.weight", KUA__F32, 2, (size_t[]){terms, outs}));
    KUA__TRY(kua__st_writer_declare(w, "head.bias", KUA__F32, 1, &outs));
    return kua__st_writer_declare(w, "tfidf.text", KUA__U8, 1, &bytes);
}

static kua_status write_tfidf(kua__st_writer *w, const kua_classifier *c)
{
    const kua__ids *terms = &c->tfidf.terms;
    int64_t end = 0;
    for (size_t i = 0; i < terms->count; i++) {
        end += terms->len[i];
        KUA__TRY(kua__st_writer_write(w, &end, sizeof(end)));
    }
    KUA__TRY(kua__st_writer_write(w, c->tfidf.idf, terms->count * sizeof(float)));
    KUA__TRY(kua__st_writer_write(w, c->linear.w, terms->count * c->linear.outs * sizeof(float)));
    KUA__TRY(kua__st_writer_write(w, c->linear.bias, c->linear.outs * sizeof(float)));
    for (size_t i = 0; i < terms->count; i++)
        KUA__TRY(kua__st_writer_write(w, terms->name[i], terms->len[i]));
    return kua__st_writer_commit(w);
}

static kua_status save_tfidf(const kua_classifier *c, const char *path)
{
    kua__st_writer *w = NULL;
    size_t bytes = 0;
    for (size_t i = 0; i < c->tfidf.terms.count; i++)
        bytes += c->tfidf.terms.len[i];
    KUA__TRY(kua__st_writer_create(path, &w));
    kua_status st = declare_tfidf(w, c, bytes);
    if (!st) st = write_tfidf(w, c);
    kua__st_writer_free(w);
    return st;
}

static int64_t end_at(const kua__tensor *ends, size_t i)
{
    int64_t end;
    memcpy(&end, (const char *)ends->data + i * sizeof(end), sizeof(end));
    return end;
}

static kua_status read_terms(kua__tfidf *v, const char *path, const kua__tensor *ends,
                             const kua__tensor *text)
{
    int64_t first = 0;
    for (size_t i = 0; i < ends->count; i++) {
        int64_t end = end_at(ends, i);
        uint32_t id = 0;
        if (end <= first || (uint64_t)end > text->count || end - first > UINT16_MAX)
            return kua__fail(KUA_FORMAT,
                             "%s: tfidf.end[%zu] is %lld behind %lld, there are %zu bytes", path, i,
                             (long long)end, (long long)first, text->count);
        const char *term = (const char *)text->data + first;
        if (memchr(term, 0, (size_t)(end - first)))
            return kua__fail(KUA_FORMAT, "%s: tfidf.text has a NUL in term %zu", path, i);
        KUA__TRY(kua__ids_add(&v->terms, term, (size_t)(end - first), &id));
        if (id != i) return kua__fail(KUA_FORMAT, "%s: term %zu is there twice", path, i);
        first = end;
    }
    return KUA_OK;
}

static kua_status read_tfidf(kua_classifier *c, const kua__safetensors *file)
{
    const char *path = kua__safetensors_path(file);
    const kua__tensor *ends = kua__safetensors_find(file, "tfidf.end"), *idf, *weight, *bias;
    const kua__tensor *text = kua__safetensors_find(file, "tfidf.text");
    size_t outs = kua__app_outs(&c->config), terms = ends ? ends->count : 0;
    if (!ends || !text || ends->dtype != KUA__I64 || text->dtype != KUA__U8)
        return kua__fail(KUA_FORMAT, "%s: tfidf.end (I64) or tfidf.text (U8) is missing", path);
    KUA__TRY(kua__safetensors_need(file, "tfidf.idf", 1, &terms, &idf));
    KUA__TRY(kua__safetensors_need(file, "head.weight", 2, (size_t[]){terms, outs}, &weight));
    KUA__TRY(kua__safetensors_need(file, "head.bias", 1, &outs, &bias));
    KUA__TRY(read_terms(&c->tfidf, path, ends, text));
    KUA__TRY(KUA__NEW_ARRAY(&c->tfidf.idf, terms, "weights of terms"));
    KUA__TRY(kua__affine_create(&c->linear, terms, outs));
    kua__tensor_to_f32(idf, 0, terms, c->tfidf.idf);
    kua__tensor_to_f32(weight, 0, terms * outs, c->linear.w);
    kua__tensor_to_f32(bias, 0, outs, c->linear.bias);
    return KUA_OK;
}

static kua_status load_tfidf(kua_classifier *c, const char *path)
{
    kua__safetensors *file = NULL;
    KUA__TRY(kua__safetensors_open(path, &file));
    kua_status st = read_tfidf(c, file);
    kua__safetensors_close(file);
    return st;
}

/* ---- loading and saving ---- */

static kua_status load_encoder(kua_classifier *c, const char *folder)
{
    kua__rng rng = kua__rng_make(1, 0);
    char *encoder = kua__encoder_folder(folder, &c->config);
    if (!encoder) return kua__fail_nomem(0, "a path");
    kua_status st;
    if (kua__app_by_token(&c->config)) {
        st = kua__backbone_open(&c->backbone, encoder, c->config.max_tokens);
        if (!st) st = kua__backbone_weights(&c->backbone, &c->frozen, false, &rng);
    } else {
        kua_encoder_options options = {.unit = KUA_UNIT_NO, .max_tokens = c->config.max_tokens};
        st = kua_encoder_load(encoder, &options, &c->encoder);
    }
    size_t dim = st ? 0 : c->encoder ? kua_encoder_dim(c->encoder) : c->backbone.dim;
    if (!st && dim != c->config.dim)
        st = kua__fail(KUA_SHAPE, "%s: vectors have %zu numbers, the head expects %zu", encoder,
                       dim, c->config.dim);
    kua__free(encoder);
    return st;
}

kua_status kua__classifier_open(kua_classifier *c, const char *folder)
{
    assert(c && folder);
    kua__classifier_init(c);
    KUA__TRY(kua__app_config_load(folder, &c->config));
    kua__rng rng = kua__rng_make(1, 0);
    char *path = kua__path_join(folder, "head.safetensors");
    if (!path) return kua__fail_nomem(0, "a path");
    kua_status st;
    if (c->config.method == KUA__TFIDF) {
        st = load_tfidf(c, path);
    } else {
        st = kua__head_create(&c->head, &c->params, &c->config, &rng);
        if (!st) st = kua__head_load(&c->params, path);
        if (!st && c->config.method == KUA__ENCODER) st = load_encoder(c, folder);
    }
    kua__free(path);
    return st;
}

kua_status kua__classifier_save(kua_classifier *c, const char *folder, const json_t *trained)
{
    assert(c && folder);
    char *head = kua__path_join(folder, "head.safetensors");
    char *encoder = kua__path_join(folder, "encoder");
    kua_status st = head && encoder ? kua__make_folders(folder) : kua__fail_nomem(0, "a path");
    if (!st)
        st =
            c->config.method == KUA__TFIDF ? save_tfidf(c, head) : kua__head_save(&c->params, head);
    if (!st && c->trained) st = kua__backbone_save(&c->backbone, encoder);
    if (!st) st = kua__app_config_save(folder, &c->config, trained);
    kua__free(head);
    kua__free(encoder);
    return st;
}

/* ---- public ---- */

kua_status kua_classifier_load(const char *folder, kua_classifier **out)
{
    assert(folder && out);
    *out = NULL;
    kua_classifier *c = NULL;
    KUA__TRY(KUA__NEW_ARRAY(&c, 1, "a classifier"));
    kua_status st = kua__classifier_open(c, folder);
    if (!st && c->config.tagger)
        st = kua__fail(KUA_INVALID, "%s: is a tagger, not a classifier", folder);
    if (st) {
        kua__classifier_release(c);
        kua__free(c);
        return st;
    }
    *out = c;
    return KUA_OK;
}

void kua_classifier_free(kua_classifier *c)
{
    if (!c) return;
    kua__classifier_release(c);
    kua__free(c);
}

size_t kua_classifier_labels(const kua_classifier *c)
{
    assert(c);
    return c->config.labels.count;
}

const char *kua_classifier_label(const kua_classifier *c, size_t i)
{
    assert(c && i < c->config.labels.count);
    return c->config.labels.name[i];
}
