/* pretrain.c - the call: from texts and a model's folder to another model's folder.
 *
 *     settings -> tokenizer -> corpus -> config -> memory stated -> parameters -> run -> files
 *
 * A head for words that a file lacks (encoders of sentences are published without one) begins as
 * BERT's own does, but for its bias: the logarithm of how frequent each word is in the texts, so
 * that the first steps do not go into learning that.
 */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/json.h"
#include "encoder/model.h"
#include "encoder/ngram.h"
#include "encoder/pretrain.h"

typedef struct job {
    const kua_pretrain_options *o;
    const kua_pretrain_texts *texts;
    const kua_monitor *monitor;
    kua__pretrain_settings settings;
    kua_tokenizer *tokenizer;
    kua__corpus corpus;
    kua__model_config config;
    kua__tune_memory memory;
    kua__pretraining run;
    bool head_found;
    char *checkpoint;
    double begun;
} job;

static const char *const objectives[] = {"mlm", "clm", "contrastive"};

static const char *tokenizer_path(const job *j)
{
    const kua_pretrain_options *o = j->o;
    return o->tokenizer ? o->tokenizer : o->model ? o->model : o->config;
}

static kua_status read_settings(job *j)
{
    json_t *json = NULL;
    const char *text = j->o->settings;
    if (text) KUA__TRY(kua__json_parse("pre-training settings", text, strlen(text), &json));
    kua_status st = kua__pretrain_settings_read(json, !j->o->model, &j->settings);
    json_decref(json);
    return st;
}

/* ---- the model's sizes ---- */

static kua_status config_from_scratch(job *j)
{
    json_t *json = NULL;
    unsigned long lost = kua__json_lost();
    KUA__TRY(kua__json_load(j->o->config, &json));
    if (json_is_object(json) && !json_object_get(json, "vocab_size"))
        json_object_set_new(json, "vocab_size", json_integer((json_int_t)j->corpus.vocab));
    char *text = kua__json_dumps(json, JSON_COMPACT);
    kua_status st = text ? kua__json_whole(lost, "a config") : kua__fail_nomem(1, "a config");
    if (!st) st = kua__config_parse(j->o->config, text, strlen(text), &j->config);
    kua__free(text);
    json_decref(json);
    return st;
}

static kua_status config_of_model(job *j)
{
    kua__weights *file = NULL;
    KUA__TRY(kua__weights_open(j->o->model, &file));
    kua_status st = kua__config_find(j->o->model, file, &j->config);
    kua__weights_close(file);
    return st;
}

static kua_status check_config(const job *j)
{
    const kua__model_config *c = &j->config;
    const char *family = kua__family_name(c->family);
    if (j->o->objective == KUA_OBJECTIVE_MLM && c->causal)
        return kua__fail(KUA_INVALID, "pre-training: %s sees only what stands before: use clm",
                         family);
    if (j->o->objective == KUA_OBJECTIVE_CLM && !c->causal)
        return kua__fail(KUA_INVALID, "pre-training: %s sees both sides: use mlm", family);
    if (j->corpus.vocab > c->vocab)
        return kua__fail(KUA_FORMAT, "pre-training: the tokenizer has %zu tokens, the model %zu",
                         j->corpus.vocab, c->vocab);
    if (j->settings.max_tokens > kua__config_longest(c))
        return kua__fail(KUA_INVALID,
                         "pre-training: max_tokens is %zu, the model's longest text has %zu",
                         j->settings.max_tokens, kua__config_longest(c));
    return KUA_OK;
}

static double megabytes(size_t bytes)
{
    return (double)bytes / 1e6;
}

/* What it will take, told before any of it is allocated. */
static void state_memory(job *j)
{
    const kua__pretrain_settings *s = &j->settings;
    size_t tokens = s->batch_tokens + j->corpus.longest, words = 0;
    if (j->o->objective == KUA_OBJECTIVE_MLM) words = (size_t)(1.3 * s->mask * (double)tokens) + 1;
    if (j->o->objective == KUA_OBJECTIVE_CLM) words = tokens;
    j->memory = kua__tune_memory_of(&s->plan, &j->config, tokens, j->corpus.longest, words);
    const kua__tune_memory *m = &j->memory;
    kua__log_line(j->monitor, KUA_LOG_INFO,
                  "memory: %.0f MB (weights %.0f, gradients %.0f, moments %.0f, activations %.0f); "
                  "%zu numbers are trained",
                  megabytes(m->total), megabytes(m->weights), megabytes(m->gradients),
                  megabytes(m->moments + m->start), megabytes(m->activations), m->trained);
}

/* ---- the start ---- */

/* b = log of the share of each word among the training tokens, one added to each count. */
static void start_bias(job *j)
{
    const kua__corpus *c = &j->corpus;
    kua__param *bias = kua__word_bias(&j->run.model);
    if (!bias) return;
    size_t n = c->train_tokens;
    for (size_t i = 0; i < bias->cols; i++)
        bias->value[i] = 1;
    for (size_t i = 0; i < n; i++)
        bias->value[c->id[i]] += 1;
    for (size_t i = 0; i < bias->cols; i++)
        bias->value[i] = logf(bias->value[i] / (float)(n + bias->cols));
}

static kua_status make_model(job *j)
{
    kua__pretraining *r = &j->run;
    kua__rng rng = kua__rng_make(j->settings.seed, 1);
    kua__tape_parts parts =
        j->o->objective == KUA_OBJECTIVE_CONTRASTIVE ? KUA__TAPE_BODY : KUA__TAPE_HEAD;
    KUA__TRY(kua__tape_model_create(&r->model, &r->params, &j->config, parts, &rng));
    if (j->o->model) KUA__TRY(kua__tape_model_load(&r->model, j->o->model, &j->head_found));
    if (parts == KUA__TAPE_HEAD && !j->head_found) {
        start_bias(j);
        if (j->o->model && kua__word_bias(&r->model))
            kua__log_line(j->monitor, KUA_LOG_INFO,
                          "%s has no head for words: a new one is begun on its table of words",
                          j->o->model);
    }
    KUA__TRY(kua__tuning_begin(&r->tuning, &j->settings.plan, &r->model, &r->params, &rng));
    if (parts == KUA__TAPE_HEAD && !j->head_found && j->settings.plan.how != KUA__TUNE_FULL) {
        kua__tape_pair *once = r->model.once; /* a new head is trained whatever the plan */
        kua__param *own[] = {once[KUA__SLOT_HEAD_DENSE].weight, once[KUA__SLOT_HEAD_DENSE].bias,
                             once[KUA__SLOT_HEAD_NORM].weight, once[KUA__SLOT_HEAD_NORM].bias,
                             once[KUA__SLOT_HEAD_BIAS].bias};
        for (size_t i = 0; i < KUA__COUNT(own); i++)
            if (own[i]) own[i]->frozen = false;
    }
    return KUA_OK;
}

static kua_status read_pooling(job *j)
{
    kua__pooling_config pooling = {.pooling = KUA_POOLING_MODEL};
    if (j->o->model) KUA__TRY(kua__pooling_load(j->o->model, &pooling));
    kua_pooling usual = j->config.causal ? KUA_POOLING_LAST : KUA_POOLING_MEAN;
    j->run.pooling = pooling.pooling == KUA_POOLING_MODEL ? usual : pooling.pooling;
    return KUA_OK;
}

static kua_status prepare(job *j)
{
    KUA__TRY(read_settings(j));
    KUA__TRY(kua_tokenizer_load(tokenizer_path(j), &j->tokenizer));
    KUA__TRY(kua__corpus_build(j->texts, j->tokenizer, j->o->objective, &j->settings, j->monitor,
                               &j->corpus));
    KUA__TRY(j->o->model ? config_of_model(j) : config_from_scratch(j));
    KUA__TRY(check_config(j));
    /* llamas are trained without; but SimCSE lives on it */
    bool none = j->config.rms && j->o->objective != KUA_OBJECTIVE_CONTRASTIVE;
    if (j->settings.dropout < 0) j->settings.dropout = none ? 0 : .1;
    KUA__TRY(read_pooling(j));
    state_memory(j);
    KUA__TRY(kua__make_folders(j->o->out));
    j->checkpoint = kua__path_join(j->o->out, "checkpoint.safetensors");
    if (!j->checkpoint) return kua__fail_nomem(1, "a path");
    kua__pretraining *r = &j->run;
    r->objective = j->o->objective;
    r->settings = &j->settings;
    r->corpus = &j->corpus;
    r->monitor = j->monitor;
    r->checkpoint = j->checkpoint;
    KUA__TRY(make_model(j));
    return kua__tape_create(
        &(kua__tape_options){.seed = j->settings.seed, .bf16 = j->settings.bf16}, &r->tape);
}

/* ---- an n-gram model beside it ---- */

/* Calls fn for every text of the examples' side: windows that share a token are joined again. */
typedef kua_status (*text_fn)(void *ctx, const uint32_t *id, size_t n);

static kua_status each_text(const kua__corpus *c, size_t first, size_t last, uint32_t *room,
                            text_fn fn, void *ctx)
{
    size_t n = 0;
    for (size_t p = first; p < last; p++) {
        const uint32_t *id = c->id + c->at[p];
        size_t more = c->at[p + 1] - c->at[p];
        for (size_t i = 1; i < more; i++) { /* what comes first stood in the window before */
            if (n == 0) room[n++] = c->first;
            room[n++] = id[i];
            if (id[i] != c->last) continue;
            KUA__TRY(fn(ctx, room, n));
            n = 0;
        }
    }
    return KUA_OK;
}

static kua_status count_text(void *ctx, const uint32_t *id, size_t n)
{
    return kua__ngram_add(ctx, id, n);
}

typedef struct score {
    const kua__ngram *g;
    double sum;
    size_t n;
} score;

static kua_status score_text(void *ctx, const uint32_t *id, size_t n)
{
    score *s = ctx;
    s->sum -= kua__ngram_score(s->g, id, n);
    s->n += n - 1;
    return KUA_OK;
}

static kua_status run_ngram(const job *j, kua__ngram *g, json_t *report)
{
    const kua__corpus *c = &j->corpus;
    uint32_t *room = NULL;
    score s = {.g = g};
    KUA__TRY(KUA__NEW_ARRAY(&room, c->at[c->n] + 1, "a text"));
    kua_status st = kua__ngram_init(g, j->settings.ngram, c->vocab);
    if (!st) st = each_text(c, 0, c->n_train, room, count_text, g);
    if (!st) st = kua__ngram_finish(g);
    if (!st) st = each_text(c, c->n_train, c->n, room, score_text, &s);
    kua__free(room);
    if (st || s.n == 0) return st;
    double bits = s.sum / log(2) / (double)c->held_characters;
    json_t *json = json_pack("{s:I,s:f,s:f,s:f,s:I}", "order", (json_int_t)j->settings.ngram,
                             "loss", s.sum / (double)s.n, "perplexity", exp(s.sum / (double)s.n),
                             "bits_per_character", bits, "bytes", (json_int_t)kua__ngram_bytes(g));
    if (json_object_set_new(report, "ngram", json)) return kua__fail_nomem(1, "a report");
    kua__log_line(j->monitor, KUA_LOG_INFO, "%zu-gram with Kneser-Ney: %.4f bits a character",
                  j->settings.ngram, bits);
    return KUA_OK;
}

static kua_status add_ngram(const job *j, json_t *report)
{
    if (j->settings.ngram == 0 || j->o->objective != KUA_OBJECTIVE_CLM) return KUA_OK;
    kua__ngram g = {0};
    kua_status st = run_ngram(j, &g, report);
    kua__ngram_release(&g);
    return st;
}

/* ---- what is written ---- */

static kua_status copy_file(const char *from, const char *to, const char *name, size_t *copied)
{
    char *in = kua__path_join(from, name), *out = kua__path_join(to, name);
    kua__map map;
    kua_status st = in && out ? KUA_OK : kua__fail_nomem(1, "a path");
    if (!st && kua__exists(in)) {
        st = kua__map_open(&map, in);
        if (!st) {
            st = kua__write_file(out, map.data, map.size);
            *copied += 1;
            kua__map_close(&map);
        }
    }
    kua__free(in);
    kua__free(out);
    return st;
}

/* Those of the tokenizer, and those that say how token vectors become one. */
static kua_status copy_files(const job *j)
{
    static const char *const names[] = {
        "tokenizer.json", "tokenizer_config.json",   "vocab.txt",        "vocab.json",
        "merges.txt",     "special_tokens_map.json", "added_tokens.json"};
    static const char *const pooling[] = {"modules.json", "sentence_bert_config.json",
                                          "1_Pooling/config.json"};
    const char *from = tokenizer_path(j);
    char *folder = NULL;
    size_t n = 0;
    for (size_t i = 0; i < KUA__COUNT(names); i++)
        KUA__TRY(copy_file(from, j->o->out, names[i], &n));
    if (n == 0)
        kua__log_line(j->monitor, KUA_LOG_WARN,
                      "the tokenizer stays in %s: it is no file that could be copied", from);
    if (!j->o->model) return KUA_OK;
    if (!(folder = kua__path_join(j->o->out, "1_Pooling"))) return kua__fail_nomem(1, "a path");
    kua_status st = kua__make_folders(folder);
    kua__free(folder);
    for (size_t i = 0; !st && i < KUA__COUNT(pooling); i++)
        st = copy_file(j->o->model, j->o->out, pooling[i], &n);
    return st;
}

static json_t *describe_memory(const kua__tune_memory *m)
{
    return json_pack("{s:I,s:I,s:I,s:I,s:I,s:I}", "weights", (json_int_t)m->weights, "gradients",
                     (json_int_t)m->gradients, "moments", (json_int_t)m->moments, "start",
                     (json_int_t)m->start, "activations", (json_int_t)m->activations, "total",
                     (json_int_t)m->total);
}

static json_t *describe(const job *j)
{
    const kua__pretraining *r = &j->run;
    const char *head = r->model.parts == KUA__TAPE_BODY ? "none" : j->head_found ? "loaded" : "new";
    double seconds = kua__seconds() - j->begun;
    return json_pack(
        "{s:s,s:s?,s:s,s:I,s:I,s:I,s:I,s:I,s:o,s:s,s:I,s:I,s:I,s:f,s:f,s:I,s:O,s:O,s:O}",
        "objective", objectives[r->objective], "model", j->o->model, "out", j->o->out, "texts",
        (json_int_t)j->texts->n, "held_out", (json_int_t)j->corpus.held_texts, "examples",
        (json_int_t)j->corpus.n_train, "parameters", (json_int_t)kua__params_count(&r->params),
        "trained", (json_int_t)j->memory.trained, "memory", describe_memory(&j->memory), "head",
        head, "steps", (json_int_t)r->step, "epochs", (json_int_t)r->epoch + 1, "tokens",
        (json_int_t)r->tokens, "seconds", seconds, "tokens_per_second",
        (double)(r->tokens - r->tokens_before) / seconds, "peak_bytes",
        (json_int_t)kua__peak_rss_bytes(), "before", r->before, "best", r->best, "curve", r->curve);
}

static kua_status write_report(const job *j, char **report)
{
    unsigned long lost = kua__json_lost();
    json_t *json = describe(j);
    char *path = kua__path_join(j->o->out, "pretrain.json");
    kua_status st =
        json && path ? kua__json_whole(lost, "a report") : kua__fail_nomem(1, "a report");
    if (!st) st = add_ngram(j, json);
    if (!st) st = kua__json_save(path, json);
    if (!st && report && !(*report = kua__json_dumps(json, JSON_COMPACT)))
        st = kua__fail_nomem(1, "a report");
    kua__free(path);
    json_decref(json);
    return st;
}

static kua_status finish(job *j, char **report)
{
    KUA__TRY(kua__tuning_end(&j->run.tuning));
    KUA__TRY(kua__tape_model_save(&j->run.model, j->o->out));
    KUA__TRY(copy_files(j));
    KUA__TRY(write_report(j, report));
    kua__pretrain_forget(&j->run);
    return KUA_OK;
}

static void release(job *j)
{
    kua__pretraining *r = &j->run;
    kua__tape_free(r->tape);
    kua__tuning_release(&r->tuning);
    kua__tape_model_release(&r->model);
    kua__params_release(&r->params);
    kua__words_batch_release(&r->batch);
    kua__free(r->order);
    kua__free(r->held);
    json_decref(r->curve);
    json_decref(r->before);
    json_decref(r->best);
    kua__corpus_release(&j->corpus);
    kua_tokenizer_free(j->tokenizer);
    kua__free(j->checkpoint);
}

kua_status kua_pretrain(const kua_pretrain_texts *texts, const kua_pretrain_options *options,
                        const kua_monitor *monitor, char **report)
{
    assert(texts && options && (texts->text || texts->n == 0));
    if (report) *report = NULL;
    if (!options->out) return kua__fail(KUA_INVALID, "pre-training: no folder to write to");
    if (!options->model && !options->config)
        return kua__fail(KUA_INVALID, "pre-training: neither a model nor a config is given");
    job j = {.o = options, .texts = texts, .monitor = monitor, .begun = kua__seconds()};
    kua__params_init(&j.run.params);
    kua_status st = prepare(&j);
    if (!st) st = kua__pretrain_train(&j.run);
    if (!st) st = finish(&j, report);
    release(&j);
    return st;
}

/* ---- lines of a file ---- */

static kua_status cut_lines(const kua__map *map, kua_text **out, size_t *n)
{
    size_t room = 0;
    for (const char *at = map->data, *end = at + map->size; at < end;) {
        const char *line = memchr(at, '\n', (size_t)(end - at));
        size_t length = (size_t)((line ? line : end) - at);
        KUA__TRY(KUA__GROW(out, &room, *n, "texts"));
        (*out)[(*n)++] = (kua_text){at, length && at[length - 1] == '\r' ? length - 1 : length};
        at += length + 1;
    }
    return KUA_OK;
}

kua_status kua_pretrain_file(const char *text_file, const kua_pretrain_options *options,
                             const kua_monitor *monitor, char **report)
{
    assert(text_file && options);
    kua__map map;
    kua_text *text = NULL;
    size_t n = 0;
    if (report) *report = NULL;
    KUA__TRY(kua__map_open(&map, text_file));
    kua_status st = cut_lines(&map, &text, &n);
    if (!st && n == 0) st = kua__fail(KUA_INVALID, "%s: no text in it", text_file);
    if (!st)
        st = kua_pretrain(&(kua_pretrain_texts){.text = text, .n = n}, options, monitor, report);
    kua__free(text);
    kua__map_close(&map);
    return st;
}
