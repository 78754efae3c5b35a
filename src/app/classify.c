/* classify.c - training a classifier.
 *
 *     read rows -> hold some back -> targets
 *       tfidf                          terms, then logistic regression          (fit_tfidf)
 *       vectors, or a frozen encoder   rows once, then
 *         linear, tune none            logistic regression                      (fit_linear)
 *         else                         the head by Adam on the kept rows        (fit_steps)
 *       tokens, or a tuned encoder     everything on a tape                     (fit_steps)
 *     measure on the rows held back -> save
 *
 * The output folder is written when all is done. Only checkpoints appear in it before.
 */
#include <assert.h>
#include <limits.h>
#include <string.h>

#include "app/measure.h"
#include "app/prepare.h"
#include "app/trainer.h"
#include "base/json.h"
#include "grad/tape.h"

typedef struct job {
    const kua_classify_options *o;
    const kua_monitor *monitor;
    kua__app_settings settings;
    kua__examples ex;
    kua_classifier c;
    char *encoder;       /* folder of the pretrained encoder; NULL: none */
    kua_classifier from; /* .config.labels.count 0: none */
    uint8_t *held;       /* [n] 1: for validation */
    float *target;       /* [n, outs] */
    float *rows;         /* [n, dim] of a frozen encoder, or the data's vectors */
    kua_id_batch ids;
    float *states;           /* [tokens, dim] */
    uint32_t *learn, *judge; /* [n_learn], [n_judge] examples */
    size_t n_learn, n_judge;
    kua__trainer trainer; /* .epochs NULL: not used */
    double l2;
    size_t expected_bytes;
} job;

static double setting(const job *j, kua__app_setting which)
{
    return j->settings.value[which];
}

/* ---- what was asked for ---- */

static kua_status choose_method(job *j)
{
    const kua_classify_options *o = j->o;
    kua__app_config *c = &j->c.config;
    int head = 0;
    KUA__TRY(
        kua__app_choice("head", o->head ? o->head : "linear", kua__head_names, KUA__HEADS, &head));
    KUA__TRY(kua__tune_parse(o->tune ? o->tune : "none", &c->tune));
    c->head = (kua__head_kind)head;
    bool tfidf = o->model && kua__streq(o->model, "tfidf");
    c->method = tfidf ? KUA__TFIDF : o->data.vectors ? KUA__VECTORS : KUA__ENCODER;
    if (c->method != KUA__VECTORS && !o->data.text)
        return kua__fail(KUA_INVALID, "classify: there is neither a text column nor vectors");
    if (c->method == KUA__ENCODER && !o->model && !o->from)
        return kua__fail(KUA_INVALID,
                         "classify: there is no model, no vectors and no classifier to "
                         "start from");
    if (tfidf && (c->head != KUA__HEAD_LINEAR || c->tune != KUA__TUNE_NONE || o->from))
        return kua__fail(KUA_INVALID, "classify: tfidf has a linear head that starts from nothing");
    if (c->method == KUA__VECTORS &&
        (c->head == KUA__HEAD_LSTM || kua__app_tunes_encoder(&j->c.config)))
        return kua__fail(KUA_INVALID, "classify: vectors have no tokens and no encoder to tune");
    c->multi = o->data.separator != NULL;
    c->last_step = setting(j, KUA__SET_LAST_STEP) != 0;
    c->hidden = kua__setting_count(&j->settings, KUA__SET_HIDDEN);
    return KUA_OK;
}

/* The classifier to start from gives its head; its encoder where no other is named. */
static kua_status open_from(job *j)
{
    if (!j->o->from) return KUA_OK;
    KUA__TRY(kua__app_config_load(j->o->from, &j->from.config));
    const kua__app_config *f = &j->from.config;
    if (f->tagger || f->method == KUA__TFIDF)
        return kua__fail(KUA_INVALID, "%s: has no encoder and no dense head to start from",
                         j->o->from);
    kua__rng rng = kua__rng_make(1, 0);
    char *path = kua__path_join(j->o->from, "head.safetensors");
    if (!path) return kua__fail_nomem(0, "a path");
    kua_status st = kua__head_create(&j->from.head, &j->from.params, f, &rng);
    if (!st) st = kua__head_load(&j->from.params, path);
    kua__free(path);
    return st;
}

static kua_status find_encoder(job *j)
{
    if (j->c.config.method != KUA__ENCODER) return KUA_OK;
    if (!j->o->model && j->from.config.method != KUA__ENCODER)
        return kua__fail(KUA_INVALID, "%s: was trained on vectors: a model is needed", j->o->from);
    j->encoder =
        j->o->model ? kua__strdup(j->o->model) : kua__encoder_folder(j->o->from, &j->from.config);
    if (!j->encoder) return kua__fail_nomem(0, "a path");
    return kua__prepare_encoder(&j->c, j->encoder, &j->settings);
}

/* Same kind of head over the same labels and vectors? */
static bool from_fits(const job *j)
{
    const kua__app_config *a = &j->from.config, *b = &j->c.config;
    if (a->labels.count != b->labels.count || a->multi != b->multi || a->head != b->head)
        return false;
    if (a->dim != b->dim || (a->head != KUA__HEAD_LINEAR && a->hidden != b->hidden)) return false;
    for (size_t i = 0; i < a->labels.count; i++)
        if (!kua__streq(a->labels.name[i], b->labels.name[i])) return false;
    return true;
}

/* ---- rows ---- */

/* Labels of the classifier to start from count as seen: a few rows need not have all of them. */
static kua_status take_labels(job *j)
{
    kua__ids *to = &j->c.config.labels;
    const kua__ids *from = &j->ex.labels;
    const kua__ids *old = &j->from.config.labels;
    bool covered = old->count > 0;
    for (size_t i = 0; i < from->count && covered; i++)
        covered = kua__ids_find(old, from->name[i], from->len[i]) != KUA__NO_ID;
    const kua__ids *all = covered ? old : from;
    for (size_t i = 0; i < all->count; i++) {
        uint32_t id;
        KUA__TRY(kua__ids_add(to, all->name[i], all->len[i], &id));
    }
    for (size_t i = 0; i < j->ex.n_labels && covered; i++) {
        const char *name = from->name[j->ex.label[i]];
        j->ex.label[i] = kua__ids_find(to, name, strlen(name));
    }
    if (to->count >= 2 || (to->count == 1 && j->c.config.multi)) return KUA_OK;
    return kua__fail(KUA_FORMAT,
                     "%s: all %zu rows have the label '%s': there is nothing to tell apart",
                     j->o->data.path, j->ex.n, to->count ? to->name[0] : "");
}

static kua_status read_rows(job *j)
{
    const kua_classify_data *d = &j->o->data;
    kua__wanted wanted = {.labels = true};
    if (d->split) {
        wanted.part[0] = "train";
        wanted.part[1] = "valid";
    }
    KUA__TRY(kua__examples_read(&j->ex, d, &wanted));
    return take_labels(j);
}

enum { ROWS_FOR_VALIDATION = 100 };

/* Rows of part "valid"; else a share by group. A linear head that is not tuned needs none: it has
 * folds of its own. */
static kua_status hold_rows(job *j)
{
    bool exact = j->c.config.head == KUA__HEAD_LINEAR && j->c.config.tune == KUA__TUNE_NONE;
    size_t given = 0;
    KUA__TRY(KUA__NEW_ZEROED(&j->held, j->ex.n, "rows"));
    KUA__TRY(KUA__NEW_ARRAY(&j->learn, j->ex.n, "rows"));
    KUA__TRY(KUA__NEW_ARRAY(&j->judge, j->ex.n, "rows"));
    for (size_t i = 0; i < j->ex.n; i++)
        given += j->held[i] = j->ex.part[i] == 1;
    bool draw = !given && !exact && j->ex.n >= ROWS_FOR_VALIDATION;
    for (size_t i = 0; i < j->ex.n; i++) {
        uint32_t random[4];
        kua__philox((uint64_t)setting(j, KUA__SET_SEED), 55, j->ex.group[i], random);
        if (draw) j->held[i] = random[0] / 4294967296. < setting(j, KUA__SET_VALID_SHARE);
        if (j->held[i])
            j->judge[j->n_judge++] = (uint32_t)i;
        else
            j->learn[j->n_learn++] = (uint32_t)i;
    }
    return j->n_learn ? KUA_OK
                      : kua__fail(KUA_FORMAT, "%s: no row is left to learn from", j->o->data.path);
}

static kua_status make_targets(job *j)
{
    size_t outs = kua__app_outs(&j->c.config);
    KUA__TRY(KUA__NEW_ZEROED(&j->target, j->ex.n * outs, "labels"));
    for (size_t i = 0; i < j->ex.n; i++) {
        for (size_t k = j->ex.label_at[i]; k < j->ex.label_at[i + 1]; k++) {
            uint32_t label = j->ex.label[k];
            if (outs == 1)
                j->target[i] = label == 1 || (j->c.config.multi && label == 0);
            else
                j->target[i * outs + label] = 1;
        }
    }
    return KUA_OK;
}

/* ---- exact linear heads ---- */

static kua_status choose_linear(job *j, const kua__design *x, kua__affine *m)
{
    kua__affine prior = {0};
    kua__logistic_task task = {.x = x,
                               .outs = kua__app_outs(&j->c.config),
                               .softmax = kua__app_softmax(&j->c.config),
                               .target = j->target,
                               .held = j->held,
                               .group = j->ex.group,
                               .seed = (uint64_t)setting(j, KUA__SET_SEED),
                               .monitor = j->monitor};
    KUA__TRY(kua__affine_create(m, x->cols, task.outs));
    kua_status st = KUA_OK;
    if (j->from.config.labels.count && from_fits(j)) {
        st = kua__affine_create(&prior, x->cols, task.outs);
        if (!st) kua__head_get(&j->from.head, &prior);
        task.prior = &prior;
    }
    j->l2 = setting(j, KUA__SET_L2);
    if (!st)
        st = j->l2 > 0 ? kua__logistic_fit(&task, j->held, j->l2, m)
                       : kua__logistic_choose(&task, m, &j->l2);
    kua__affine_release(&prior);
    return st;
}

static kua_status fit_tfidf(job *j)
{
    kua__design x = {0};
    KUA__TRY(kua__tfidf_fit(&j->c.tfidf, j->ex.text, j->held, j->ex.n,
                            kua__setting_count(&j->settings, KUA__SET_MIN_TEXTS)));
    KUA__TRY(kua__tfidf_rows(&j->c.tfidf, j->ex.text, j->ex.n, &x));
    kua_status st = x.cols ? kua__design_turn(&x)
                           : kua__fail(KUA_FORMAT, "%s: the texts have no terms", j->o->data.path);
    if (!st) st = choose_linear(j, &x, &j->c.linear);
    kua__design_release(&x);
    return st;
}

static kua_status fit_linear(job *j)
{
    kua__design x = {.rows = j->ex.n, .cols = j->c.config.dim, .dense = j->rows};
    kua__affine m = {0};
    kua_status st = choose_linear(j, &x, &m);
    if (!st) kua__head_set(&j->c.head, &m);
    kua__affine_release(&m);
    return st;
}

/* ---- heads and encoders by steps ---- */

static kua__app_input input_of(const job *j)
{
    if (j->rows) return (kua__app_input){.rows = j->rows};
    return (kua__app_input){.ids = &j->ids, .states = j->states};
}

/* Targets of the rows of `z`: a text's for each of its steps where the head answers each step. */
static kua__var *loss_of(const job *j, kua__tape *t, kua__var *z, const uint32_t *pick, size_t n,
                         kua__ragged seq)
{
    bool by_step = kua__head_by_step(&j->c.head), softmax = kua__app_softmax(&j->c.config);
    size_t outs = j->c.head.outs, rows = by_step ? seq.at[n] : n;
    float *target = softmax ? NULL : kua__tape_floats(t, rows, outs);
    uint32_t *label = softmax ? kua__tape_alloc(t, rows * sizeof(*label)) : NULL;
    if (!z || (softmax ? !label : !target)) return NULL;
    for (size_t i = 0; i < n; i++) {
        size_t first = by_step ? seq.at[i] : i, last = by_step ? seq.at[i + 1] : i + 1;
        for (size_t r = first; r < last; r++) {
            if (softmax)
                label[r] = j->ex.label[j->ex.label_at[pick[i]]];
            else
                memcpy(target + r * outs, j->target + pick[i] * outs, outs * sizeof(*target));
        }
    }
    return softmax ? kua__cross_entropy(t, z, label) : kua__bce(t, z, target);
}

static kua__var *batch_loss(void *ctx, kua__tape *t, const uint32_t *pick, size_t n)
{
    job *j = ctx;
    kua__app_input in = input_of(j);
    kua__ragged seq;
    kua__var *z =
        kua__classifier_on_tape(&j->c, t, &in, pick, n, (float)setting(j, KUA__SET_DROPOUT), &seq);
    return loss_of(j, t, z, pick, n, seq);
}

enum { JUDGED = 64 };

static kua_status judge_held(job *j, kua__tape *t, float *p)
{
    kua__app_input in = input_of(j);
    for (size_t first = 0; first < j->n_judge; first += JUDGED) {
        size_t n = KUA__MIN(j->n_judge - first, (size_t)JUDGED);
        KUA__TRY(kua__classifier_judge(&j->c, t, &in, j->judge + first, n,
                                       p + first * j->c.config.labels.count));
    }
    return KUA_OK;
}

static kua_status validate(void *ctx, kua__tape *t, kua__valid *out)
{
    job *j = ctx;
    float *p = NULL;
    KUA__TRY(KUA__NEW_ARRAY(&p, j->n_judge * j->c.config.labels.count, "probabilities"));
    kua_status st = judge_held(j, t, p);
    kua__answers a = {&j->c.config, &j->ex, j->judge, j->n_judge, p};
    if (!st) *out = (kua__valid){kua__answers_loss(&a), kua__answers_accuracy(&a)};
    kua__free(p);
    return st;
}

static kua_status fit_steps(job *j)
{
    char mark[64], options[PATH_MAX];
    const kua_classify_options *o = j->o;
    snprintf(options, sizeof(options), "%s|%s|%s|%s|%zu|%zu", o->model ? o->model : "",
             o->from ? o->from : "", o->head ? o->head : "", o->tune ? o->tune : "", j->n_learn,
             j->n_judge);
    kua__prepare_mark(&j->settings, options, j->ex.bytes.data, j->ex.bytes.len, mark);
    j->trainer = (kua__trainer){.settings = &j->settings,
                                .params = &j->c.params,
                                .tuning = j->c.trained ? &j->c.backbone.tuning : NULL,
                                .row = j->learn,
                                .n = j->n_learn,
                                .loss = batch_loss,
                                .validate = j->n_judge ? validate : NULL,
                                .ctx = j,
                                .folder = j->o->out,
                                .fingerprint = mark,
                                .score_name = "accuracy",
                                .monitor = j->monitor};
    KUA__TRY(kua__trainer_run(&j->trainer));
    return j->c.trained ? kua__tuning_end(&j->c.backbone.tuning) : KUA_OK;
}

/* ---- what a head stands on ---- */

static kua_status encode_rows(job *j)
{
    kua_encoder_options options = {.unit = KUA_UNIT_NO, .max_tokens = j->c.config.max_tokens};
    KUA__TRY(kua_encoder_load(j->encoder, &options, &j->c.encoder));
    KUA__TRY(KUA__NEW_ARRAY(&j->rows, j->ex.n * j->c.config.dim, "vectors"));
    return kua__classifier_pool(&j->c, j->ex.text, j->ex.n, j->monitor, j->rows);
}

static kua_status tokens_and_weights(job *j, kua__rng *rng)
{
    KUA__TRY(kua_tokenizer_encode_batch(j->c.backbone.tokenizer, j->ex.text, j->ex.n,
                                        j->c.config.max_tokens, &j->ids));
    return kua__prepare_weights(&j->c, &j->ids, &j->settings, j->monitor, rng, &j->states,
                                &j->expected_bytes);
}

static kua_status fit(job *j)
{
    kua__rng rng = kua__rng_make((uint64_t)setting(j, KUA__SET_SEED), 3);
    if (j->c.config.method == KUA__TFIDF) return fit_tfidf(j);
    bool tokens = kua__app_by_token(&j->c.config) || kua__app_tunes_encoder(&j->c.config);
    if (j->c.config.method == KUA__VECTORS)
        KUA__TRY(kua__examples_vectors(&j->ex, j->o->data.vectors, &j->rows, &j->c.config.dim));
    else
        KUA__TRY(tokens ? tokens_and_weights(j, &rng) : encode_rows(j));
    KUA__TRY(kua__head_create(&j->c.head, &j->c.params, &j->c.config, &rng));
    if (j->from.config.labels.count && from_fits(j)) kua__prepare_copy_head(&j->from, &j->c);
    bool exact =
        !tokens && j->c.config.head == KUA__HEAD_LINEAR && j->c.config.tune == KUA__TUNE_NONE;
    return exact ? fit_linear(j) : fit_steps(j);
}

/* ---- the report ---- */

static kua_status judge_valid(job *j, float *p)
{
    if (j->c.config.method == KUA__TFIDF) {
        for (size_t i = 0; i < j->n_judge; i++)
            KUA__TRY(kua_classifier_predict(&j->c, &j->ex.text[j->judge[i]], 1, NULL,
                                            p + i * j->c.config.labels.count));
        return KUA_OK;
    }
    kua__tape *t = NULL;
    KUA__TRY(kua__tape_create(NULL, &t));
    kua__tape_set_training(t, false);
    kua_status st = judge_held(j, t, p);
    kua__tape_free(t);
    return st;
}

static kua_status measure_valid(job *j, json_t *report)
{
    if (!j->n_judge) return KUA_OK;
    float *p = NULL;
    KUA__TRY(KUA__NEW_ARRAY(&p, j->n_judge * j->c.config.labels.count, "probabilities"));
    kua_status st = judge_valid(j, p);
    kua__answers a = {&j->c.config, &j->ex, j->judge, j->n_judge, p};
    if (!st) json_object_set_new(report, "valid", kua__answers_measure(&a));
    kua__free(p);
    return st;
}

static size_t count_trained(const job *j)
{
    if (j->c.config.method == KUA__TFIDF) return (j->c.linear.cols + 1) * j->c.linear.outs;
    size_t n = 0;
    for (size_t i = 0; i < j->c.params.n; i++) {
        const kua__param *p = j->c.params.all[i];
        n += p->frozen ? 0 : p->rows * p->cols;
    }
    return n;
}

static kua_status make_report(job *j, double seconds, json_t **out)
{
    unsigned long lost = kua__json_lost();
    json_t *r = json_pack(
        "{s:I, s:I, s:I, s:s, s:s, s:s, s:I, s:f}", "labels", (json_int_t)j->c.config.labels.count,
        "train_rows", (json_int_t)j->n_learn, "valid_rows", (json_int_t)j->n_judge, "method",
        kua__method_names[j->c.config.method], "head", kua__head_names[j->c.config.head], "tune",
        kua__tune_name(j->c.config.tune), "trained", (json_int_t)count_trained(j), "seconds",
        seconds);
    *out = r;
    if (!r) return kua__fail_nomem(0, "a report");
    if (j->l2 > 0) json_object_set_new(r, "l2", json_real(j->l2));
    if (j->trainer.epochs) {
        json_object_set(r, "epochs", j->trainer.epochs);
        json_object_set_new(r, "best_epoch", json_integer((json_int_t)j->trainer.best_epoch));
        json_object_set_new(r, "steps", json_integer((json_int_t)j->trainer.steps));
    }
    if (j->expected_bytes)
        json_object_set_new(r, "expected_bytes", json_integer((json_int_t)j->expected_bytes));
    json_object_set_new(r, "peak_bytes", json_integer((json_int_t)kua__peak_rss_bytes()));
    json_object_set_new(r, "settings", kua__app_settings_json(&j->settings));
    KUA__TRY(measure_valid(j, r));
    return kua__json_whole(lost, "a report");
}

static kua_status run(job *j, char **report)
{
    double start = kua__seconds();
    json_t *json = NULL;
    KUA__TRY(kua__app_settings_parse(j->o->settings, &j->settings));
    KUA__TRY(choose_method(j));
    KUA__TRY(open_from(j));
    KUA__TRY(find_encoder(j));
    KUA__TRY(read_rows(j));
    KUA__TRY(hold_rows(j));
    KUA__TRY(make_targets(j));
    KUA__TRY(fit(j));
    kua_status st = make_report(j, kua__seconds() - start, &json);
    if (!st) st = kua__classifier_save(&j->c, j->o->out, json);
    if (!st && report) {
        *report = kua__json_dumps(json, JSON_INDENT(2));
        if (!*report) st = kua__fail_nomem(0, "a report");
    }
    json_decref(json);
    return st;
}

kua_status kua_classify_train(const kua_classify_options *options, const kua_monitor *monitor,
                              char **report)
{
    assert(options && options->data.path && options->data.label && options->out);
    if (report) *report = NULL;
    job j = {.o = options, .monitor = monitor};
    kua__classifier_init(&j.c);
    kua__classifier_init(&j.from);
    kua_status st = run(&j, report);
    json_decref(j.trainer.epochs);
    kua__classifier_release(&j.c);
    kua__classifier_release(&j.from);
    kua__examples_release(&j.ex);
    kua_id_batch_release(&j.ids);
    kua__free(j.encoder);
    kua__free(j.held);
    kua__free(j.target);
    kua__free(j.rows);
    kua__free(j.states);
    kua__free(j.learn);
    kua__free(j.judge);
    return st;
}

kua_status kua_classify_settings(char **report)
{
    assert(report);
    json_t *list = kua__app_settings_list();
    *report = list ? kua__json_dumps(list, JSON_INDENT(2)) : NULL;
    json_decref(list);
    return *report ? KUA_OK : kua__fail_nomem(0, "a list of settings");
}
