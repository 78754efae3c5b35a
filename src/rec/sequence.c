/* sequence.c - the recommender "sequence" towards the outside: fitting, scoring, files, transfer.
 *
 * A saved model holds what scoring and transfer need and nothing that only training did:
 *
 *     model.json          format, settings, facts, the repeat term, shapes
 *     model.safetensors   input, output [n_items, dim], popularity, rate; the body's parameters;
 * whitening
 *
 * The id table and the domain's vector are not kept: they are part of input, and another domain has
 * others.
 */
#include "rec/sequence.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/json.h"
#include "rec/sequence_model.h"
#include "tensor/gemm.h"
#include "tensor/safetensors.h"

static const double WHITENING = 0.5;

enum { FORMAT = 2, QUERIES = 256 /* encoded at a time */ };

static const char SETTINGS[] =
    "{\"dim\": [128, \"width of the model\"],"
    "\"layers\": [2, \"gated transformer layers\"],"
    "\"heads\": [2, \"attention heads of a layer\"],"
    "\"widening\": [2, \"width of the feed-forward part over dim\"],"
    "\"maxlen\": [50, \"events of a history that are read, and of a training window\"],"
    "\"items\": [\"both\", \"what an item's vector is made of: both, text or ids\"],"
    "\"targets\": [\"new\", \"events that training predicts: all, or new (not bought before)\"],"
    "\"partners\": [\"usual\", \"simple recommenders whose scores are mixed in, with commas "
    "between; "
    "or none\"],"
    "\"partner_weights\": [{}, \"of their scores, the largest being 1: {\\\"itemknn\\\": 2}; "
    "empty: "
    "chosen on validation\"],"
    "\"partner_settings\": [{}, \"of each: {\\\"itemknn\\\": {\\\"neighbours\\\": 50}}\"],"
    "\"text_dim\": [384, \"principal components of the text vectors\"],"
    "\"dropout\": [0.5, \"share of zeros in the layers\"],"
    "\"text_dropout\": [0.1, \"share of zeros in whitened text\"],"
    "\"lr\": [0.002, \"learning rate\"],"
    "\"body_lr\": [1.0, \"factor on the learning rate of a transferred body\"],"
    "\"weight_decay\": [0.01, \"of AdamW\"],"
    "\"beta2\": [0.98, \"of AdamW\"],"
    "\"clip\": [5.0, \"largest gradient norm; 0: any\"],"
    "\"averaging\": [2.0, \"epochs that the moving average of weights reaches back; 0: none\"],"
    "\"warmup\": [100, \"steps until the full learning rate\"],"
    "\"batch_tokens\": [2048, \"events in a batch\"],"
    "\"negatives\": [-1, \"items drawn for the softmax, beside the batch's own; 0: all items; "
    "-1: all up to 30,000 items, else 4,096\"],"
    "\"epoch_tokens\": [0, \"events of each domain in an epoch, at random; 0: all\"],"
    "\"repeat_weight\": [-1, \"of the repeat term; -1: chosen on validation\"],"
    "\"tau\": [0.07, \"temperature of the cosine\"],"
    "\"input_scale\": [8.0, \"factor on item vectors at the input\"],"
    "\"id_std\": [0.02, \"deviation of id vectors at the start\"],"
    "\"id_evidence\": [5, \"an id counts n / (n + this), for n events; without text it is whole\"],"
    "\"epochs\": [40, \"at most\"],"
    "\"blind_epochs\": [12, \"where there are no validation events\"],"
    "\"patience\": [6, \"epochs without a better validation before stopping\"],"
    "\"valid_users\": [6000, \"validation users at most\"],"
    "\"repeat_half_life\": [-1, \"days after which a purchase counts half in it; 0: by position; "
    "-1: chosen\"],"
    "\"repeat_power\": [-1, \"of how often the item's buyers buy it again, in it; -1: chosen\"],"
    "\"repeat_decay\": [0.95, \"weight of an event per event after it, where there is no clock\"],"
    "\"bf16\": [true, \"train with bfloat16 products where the processor has them\"]}";

static kua_status create(const json_t *settings, kua__rec **out)
{
    kua__sequence *s = NULL;
    *out = NULL;
    KUA__TRY(kua__sequence_new(settings, &s));
    *out = &s->rec;
    return KUA_OK;
}

/* ---- fitting ---- */

static kua__sequence_domain domain_of(const kua__world *world)
{
    return (kua__sequence_domain){.side = &world->side,
                                  .train = &world->train,
                                  .valid = &world->valid,
                                  .sources = world->sources,
                                  .n_sources = world->n_sources};
}

static void add_vectors(const kua__side *side, const kua__cut *cut, size_t dim, kua__vectors *lists,
                        size_t *n)
{
    if (side->vector && side->dim == dim)
        lists[(*n)++] = (kua__vectors){side->vector, cut->log->n_items};
}

/* The whitening belongs to the body: a transferred adaptor needs the statistics that it was trained
 * with. */
static kua_status learn_whitening(kua__sequence *s, const kua__vectors *lists, size_t n, size_t dim)
{
    if (!s->options.use_text || n == 0) return KUA_OK;
    KUA__TRY(kua__whitening_fit(&s->whitening, lists, n, dim, s->options.text_dim, WHITENING));
    return kua__whitening_to_unit(&s->whitening, lists, n);
}

/* From the target's vectors and those of all sources. */
static kua_status fit_whitening(kua__sequence *s, const kua__world *world)
{
    size_t n = 0, dim = world->side.dim;
    kua__vectors *lists = NULL;
    KUA__TRY(KUA__NEW_ARRAY(&lists, 1 + world->n_sources, "domains"));
    add_vectors(&world->side, &world->train, dim, lists, &n);
    for (size_t i = 0; n && i < world->n_sources; i++)
        add_vectors(&world->sources[i].side, &world->sources[i].cut, dim, lists, &n);
    kua_status st = learn_whitening(s, lists, n, dim);
    kua__free(lists);
    return st;
}

static kua_status fit(kua__rec *rec, const kua__world *world, const kua_monitor *monitor)
{
    kua__sequence *s = (kua__sequence *)rec;
    assert(!s->input && !s->layer);
    kua__rng rng = kua__rng_make(world->seed, 1);
    KUA__TRY(kua__partners_fit(s, world, monitor));
    KUA__TRY(fit_whitening(s, world));
    KUA__TRY(kua__sequence_make_body(s, &rng));
    kua__sequence_domain domain = domain_of(world);
    return kua__sequence_train(s, &domain, 1, world->seed, world->checkpoint, monitor);
}

/* From all domains, where each of them has vectors. */
static kua_status pretrain_whitening(kua__sequence *s, const kua__pretraining *what)
{
    size_t have = 0, n = what->n, dim = what->domains[0].side->dim;
    kua__vectors *lists = NULL;
    KUA__TRY(KUA__NEW_ARRAY(&lists, n + 1, "domains"));
    for (size_t d = 0; d < n; d++)
        add_vectors(what->domains[d].side, what->domains[d].train, dim, lists, &have);
    bool all = have == n;
    if (what->target.n) lists[have++] = what->target;
    kua_status st = all ? learn_whitening(s, lists, have, dim) : KUA_OK;
    kua__free(lists);
    return st;
}

static kua_status drop_ids(kua__sequence *s)
{
    s->options.use_ids = false;
    return json_object_set_new(s->rec.settings, "items", json_string("text"))
               ? kua__fail_nomem(1, "a recommender's settings")
               : KUA_OK;
}

kua_status kua__sequence_pretrain(const kua__pretraining *what, const kua_monitor *monitor,
                                  kua__rec **out)
{
    assert(what->n >= 1 && what->domains);
    kua__sequence *s = NULL;
    kua__rng rng = kua__rng_make(what->seed, 1);
    *out = NULL;
    KUA__TRY(kua__sequence_new(what->settings, &s));
    kua_status st = pretrain_whitening(s, what);
    if (!st && s->whitening.k) st = drop_ids(s);
    if (!st) st = kua__sequence_make_body(s, &rng);
    if (!st)
        st = kua__sequence_train(s, what->domains, what->n, what->seed, what->checkpoint, monitor);
    if (st)
        kua__sequence_free(&s->rec);
    else
        *out = &s->rec;
    return st;
}

/* ---- transfer ---- */

/* What was chosen for the source's domain is to be chosen anew. */
static kua_status reset_choices(json_t *settings)
{
    static const char *const keys[] = {
        "repeat_weight",   "repeat_half_life", "repeat_power", "partners",
        "partner_weights", "partner_settings", "blind_epochs", "items"};
    json_t *known = NULL;
    KUA__TRY(kua__json_parse("sequence", SETTINGS, sizeof(SETTINGS) - 1, &known));
    int failed = 0;
    for (size_t i = 0; i < KUA__COUNT(keys); i++)
        failed |=
            json_object_set(settings, keys[i], json_array_get(json_object_get(known, keys[i]), 0));
    json_decref(known);
    return failed ? kua__fail_nomem(1, "a recommender's settings") : KUA_OK;
}

/* `settings` over the source's, but with the source's shapes. */
static kua_status merged_settings(const json_t *settings, const kua__rec *source, json_t **out)
{
    static const char *const shapes[] = {"dim",      "layers", "heads",
                                         "widening", "maxlen", "text_dim"};
    json_t *merged = *out = kua__json_copy(source->settings);
    if (!merged) return kua__fail_nomem(1, "a recommender's settings");
    KUA__TRY(reset_choices(merged));
    int failed = settings && json_object_update(merged, (json_t *)settings);
    for (size_t i = 0; i < KUA__COUNT(shapes) && !failed; i++)
        failed = json_object_set(merged, shapes[i], json_object_get(source->settings, shapes[i]));
    return failed ? kua__fail_nomem(1, "a recommender's settings") : KUA_OK;
}

static kua_status check_vectors(const kua__world *world, const kua__sequence *source)
{
    size_t theirs = source->whitening.k ? source->whitening.dim : 0;
    size_t ours = world->side.vector ? world->side.dim : 0;
    if (theirs == 0 || ours == theirs) return KUA_OK;
    return kua__fail(KUA_INVALID,
                     "sequence: the source's text vectors have %zu numbers, the target's %zu",
                     theirs, ours);
}

static void take_body(kua__sequence *s, const kua__sequence *source, kua__sequence_mode mode)
{
    for (size_t i = 0; i < s->params.n; i++) {
        kua__param *p = s->params.all[i];
        const kua__param *from = kua__params_find(&source->params, p->name);
        assert(from && from->rows == p->rows && from->cols == p->cols);
        memcpy(p->value, from->value, p->rows * p->cols * sizeof(float));
        p->frozen = mode == KUA__SEQUENCE_FROZEN;
        p->lr_scale = s->options.body_lr;
    }
}

static kua_status fit_with_body(kua__sequence *s, const kua__world *world,
                                const kua__sequence *source, kua__sequence_mode mode,
                                const kua_monitor *monitor)
{
    kua__rng rng = kua__rng_make(world->seed, 1);
    KUA__TRY(kua__partners_fit(s, world, monitor));
    if (source->whitening.k) KUA__TRY(kua__whitening_copy(&s->whitening, &source->whitening));
    KUA__TRY(kua__sequence_make_body(s, &rng));
    take_body(s, source, mode);
    kua__sequence_domain domain = domain_of(world);
    return kua__sequence_train(s, &domain, 1, world->seed, world->checkpoint, monitor);
}

kua_status kua__sequence_fit_from(const kua__world *world, const json_t *settings,
                                  const kua__rec *source_rec, kua__sequence_mode mode,
                                  const kua_monitor *monitor, kua__rec **out)
{
    assert(world && source_rec && source_rec->ops == &kua__rec_sequence && out);
    const kua__sequence *source = (const kua__sequence *)source_rec;
    kua__sequence *s = NULL;
    json_t *merged = NULL;
    *out = NULL;
    kua_status st = check_vectors(world, source);
    if (!st) st = merged_settings(settings, source_rec, &merged);
    if (!st) st = kua__sequence_new(merged, &s);
    if (!st) st = fit_with_body(s, world, source, mode, monitor);
    json_decref(merged);
    if (st)
        kua__sequence_free(s ? &s->rec : NULL);
    else
        *out = &s->rec;
    return st;
}

/* ---- scoring ---- */

static void finish_scores(const kua__sequence *s, const kua__query *query, float *count,
                          float *scores)
{
    if (query->target.n == 0)
        memcpy(scores, s->popularity, s->rec.n_items * sizeof(*scores));
    else if (s->repeat.weight != 0)
        kua__repeat_add(&s->repeat, s->rate, &query->target, query->now, count, scores);
}

static kua_status score_part(const kua__sequence *s, const kua__query *queries, size_t n,
                             float *state, float *count, float *scores)
{
    size_t dim = s->options.dim, n_items = s->rec.n_items;
    kua__history history[QUERIES];
    for (size_t i = 0; i < n; i++)
        history[i] = queries[i].target;
    KUA__TRY(kua__sequence_encode(s, s->input, n_items, history, n, false, state));
    KUA__TRY(
        kua__gemm(false, true, n, n_items, dim, 1, state, dim, s->output, dim, 0, scores, n_items));
    KUA__TRY(kua__partners_add(s, queries, n, scores));
    for (size_t i = 0; i < n; i++)
        finish_scores(s, &queries[i], count, scores + i * n_items);
    return KUA_OK;
}

static kua_status score(const kua__rec *rec, const kua__query *queries, size_t n, float *scores)
{
    const kua__sequence *s = (const kua__sequence *)rec;
    assert(s->input);
    float *state = NULL, *count = NULL;
    size_t n_items = s->rec.n_items;
    kua_status st;
    KUA__GOTO(st, KUA__NEW_ARRAY(&state, KUA__MIN(n, QUERIES) * s->options.dim, "states"));
    KUA__GOTO(st, KUA__NEW_ZEROED(&count, n_items, "item counts"));
    for (size_t i = 0; i < n && !st; i += QUERIES)
        st = score_part(s, queries + i, KUA__MIN(QUERIES, n - i), state, count,
                        scores + i * n_items);
done:
    kua__free(state);
    kua__free(count);
    return st;
}

/* ---- files ---- */

/* Everything that is saved, as (name, rows, cols, where): one list for both directions. */
typedef struct tensor_of {
    const char *name;
    size_t rows, cols;
    float *value;
} tensor_of;

enum { FIXED_TENSORS = 6 };

static bool is_saved(const kua__param *p)
{
    return !kua__has_prefix(p->name, "ids") && !kua__has_prefix(p->name, "domain");
}

static kua_status list_tensors(const kua__sequence *s, tensor_of **out, size_t *n)
{
    size_t items = s->rec.n_items, dim = s->options.dim;
    const kua__whitening *w = &s->whitening;
    KUA__TRY(KUA__NEW_ARRAY(out, FIXED_TENSORS + s->params.n, "a list of tensors"));
    tensor_of *list = *out;
    *n = 0;
    list[(*n)++] = (tensor_of){"items.input", items, dim, s->input};
    list[(*n)++] = (tensor_of){"items.output", items, dim, s->output};
    list[(*n)++] = (tensor_of){"items.popularity", 1, items, s->popularity};
    list[(*n)++] = (tensor_of){"items.rate", 1, items, s->rate};
    if (w->k) {
        list[(*n)++] = (tensor_of){"whitening.mean", 1, w->dim, w->mean};
        list[(*n)++] = (tensor_of){"whitening.basis", w->k, w->dim, w->basis};
    }
    for (size_t i = 0; i < s->params.n; i++) {
        const kua__param *p = s->params.all[i];
        if (is_saved(p)) list[(*n)++] = (tensor_of){p->name, p->rows, p->cols, p->value};
    }
    return KUA_OK;
}

static kua_status write_tensors(const char *path, const tensor_of *list, size_t n)
{
    kua__st_writer *w = NULL;
    kua_status st = kua__st_writer_create(path, &w);
    for (size_t i = 0; i < n && !st; i++)
        st = kua__st_writer_declare(w, list[i].name, KUA__F32, 2,
                                    (size_t[]){list[i].rows, list[i].cols});
    for (size_t i = 0; i < n && !st; i++)
        st = kua__st_writer_write(w, list[i].value, list[i].rows * list[i].cols * sizeof(float));
    if (!st) st = kua__st_writer_commit(w);
    kua__st_writer_free(w);
    return st;
}

static kua_status read_tensors(const char *path, const tensor_of *list, size_t n)
{
    kua__safetensors *file = NULL;
    kua_status st = kua__safetensors_open(path, &file);
    for (size_t i = 0; i < n && !st; i++) {
        const kua__tensor *tensor = NULL;
        st = kua__safetensors_need(file, list[i].name, 2, (size_t[]){list[i].rows, list[i].cols},
                                   &tensor);
        if (!st) kua__tensor_to_f32(tensor, 0, tensor->count, list[i].value);
    }
    kua__safetensors_close(file);
    return st;
}

/* Calls one of the two above for the tensors of s. */
static kua_status with_tensors(const kua__sequence *s, const char *folder,
                               kua_status (*use)(const char *, const tensor_of *, size_t))
{
    tensor_of *list = NULL;
    size_t n = 0;
    char *path = kua__path_join(folder, "model.safetensors");
    kua_status st = path ? list_tensors(s, &list, &n) : kua__fail_nomem(1, "a path");
    if (!st) st = use(path, list, n);
    kua__free(list);
    kua__free(path);
    return st;
}

static json_t *describe(const kua__sequence *s)
{
    json_t *partners = NULL;
    if (kua__partners_weights(s, &partners)) return NULL;
    return json_pack("{s:i,s:s,s:O,s:O,s:o,s:{s:f,s:f,s:f,s:f},s:I,s:I,s:I}", "format", FORMAT,
                     "recommender", "sequence", "settings", s->rec.settings, "facts", s->rec.facts,
                     "partners", partners, "repeat", "weight", s->repeat.weight, "half_life",
                     s->repeat.half_life, "decay", s->repeat.decay, "power", s->repeat.power,
                     "items", (json_int_t)s->rec.n_items, "text", (json_int_t)s->whitening.dim,
                     "components", (json_int_t)s->whitening.k);
}

static kua_status save(const kua__rec *rec, const char *folder)
{
    const kua__sequence *s = (const kua__sequence *)rec;
    assert(s->input);
    KUA__TRY(kua__make_folders(folder));
    KUA__TRY(with_tensors(s, folder, write_tensors));
    json_t *json = describe(s);
    char *path = kua__path_join(folder, "model.json");
    kua_status st = json && path ? kua__json_save(path, json) : kua__fail_nomem(1, "a model");
    json_decref(json);
    kua__free(path);
    return st ? st : kua__partners_save(s, folder);
}

/* The part of model.json that has numbers. */
typedef struct header {
    int64_t format, items, text, components;
    kua__repeat_term repeat;
} header;

static kua_status read_repeat(const char *path, const json_t *json, kua__repeat_term *term)
{
    const json_t *repeat = json_object_get(json, "repeat");
    if (!json_is_object(repeat)) return kua__fail(KUA_FORMAT, "%s: repeat is missing", path);
    KUA__TRY(kua__json_real_or(path, repeat, "weight", 0, 1e6, 0, &term->weight));
    KUA__TRY(kua__json_real_or(path, repeat, "half_life", 0, 1e6, 0, &term->half_life));
    KUA__TRY(kua__json_real_or(path, repeat, "decay", 0, 1, 1, &term->decay));
    return kua__json_real_or(path, repeat, "power", 0, 10, 0, &term->power);
}

static kua_status read_header(const char *path, const json_t *json, size_t n_items, header *h)
{
    KUA__TRY(kua__json_int(path, json, "format", 0, INT32_MAX, &h->format));
    if (h->format != FORMAT)
        return kua__fail(KUA_FORMAT, "%s: format is %lld, this version reads %d", path,
                         (long long)h->format, FORMAT);
    KUA__TRY(kua__json_int(path, json, "items", 0, UINT32_MAX, &h->items));
    if ((size_t)h->items != n_items)
        return kua__fail(KUA_FORMAT, "%s: the model knows %lld items, the shop has %zu", path,
                         (long long)h->items, n_items);
    KUA__TRY(kua__json_int(path, json, "text", 0, 65536, &h->text));
    KUA__TRY(kua__json_int(path, json, "components", 0, h->text, &h->components));
    KUA__TRY(read_repeat(path, json, &h->repeat));
    if (!json_is_object(json_object_get(json, "settings")))
        return kua__fail(KUA_FORMAT, "%s: settings is missing", path);
    return KUA_OK;
}

static kua_status make_shapes(kua__sequence *s, const header *h)
{
    size_t n = (size_t)h->items * s->options.dim;
    kua__whitening *w = &s->whitening;
    kua__rng rng = kua__rng_make(0, 0);
    s->rec.n_items = (size_t)h->items;
    s->repeat = h->repeat;
    KUA__TRY(KUA__NEW_ARRAY(&s->input, n, "item vectors"));
    KUA__TRY(KUA__NEW_ARRAY(&s->output, n, "item vectors"));
    KUA__TRY(KUA__NEW_ARRAY(&s->popularity, s->rec.n_items, "item counts"));
    KUA__TRY(KUA__NEW_ARRAY(&s->rate, s->rec.n_items, "item rates"));
    w->dim = (size_t)h->text;
    w->k = (size_t)h->components;
    if (w->k) {
        KUA__TRY(KUA__NEW_ARRAY(&w->mean, w->dim, "the whitening of text vectors"));
        KUA__TRY(KUA__NEW_ARRAY(&w->basis, w->k * w->dim, "the whitening of text vectors"));
    }
    return kua__sequence_make_body(s, &rng);
}

/* The settings of a file may lack one, or have one of another type: the defaults say which. */
static kua_status check_settings(const char *path, const json_t *settings)
{
    json_t *known = NULL;
    const char *key;
    json_t *entry;
    KUA__TRY(kua__json_parse("sequence", SETTINGS, sizeof(SETTINGS) - 1, &known));
    kua_status st = KUA_OK;
    json_object_foreach(known, key, entry)
    {
        const json_t *value = json_object_get(settings, key), *expected = json_array_get(entry, 0);
        bool same = (json_is_string(expected) && json_is_string(value)) ||
                    (json_is_boolean(expected) && json_is_boolean(value)) ||
                    (json_is_object(expected) && json_is_object(value)) ||
                    (json_is_number(expected) && json_is_number(value));
        if (!same && !st)
            st = kua__fail(KUA_FORMAT, "%s: setting %s is missing or wrong", path, key);
    }
    json_decref(known);
    return st;
}

static kua_status load_described(const char *folder, const char *path, const json_t *json,
                                 const kua__world *world, kua__sequence **out)
{
    header h;
    const json_t *settings = json_object_get(json, "settings");
    KUA__TRY(read_header(path, json, world->train.log->n_items, &h));
    KUA__TRY(check_settings(path, settings));
    KUA__TRY(kua__sequence_new(settings, out));
    json_t *facts = json_object_get(json, "facts");
    if (json_is_object(facts) && json_object_update((*out)->rec.facts, facts))
        return kua__fail_nomem(1, "facts about training");
    KUA__TRY(make_shapes(*out, &h));
    KUA__TRY(with_tensors(*out, folder, read_tensors));
    return kua__partners_load(*out, folder, json_object_get(json, "partners"), world);
}

static kua_status load(const char *folder, const kua__world *world, kua__rec **out)
{
    kua__sequence *s = NULL;
    json_t *json = NULL;
    *out = NULL;
    char *path = kua__path_join(folder, "model.json");
    kua_status st = path ? kua__json_load(path, &json) : kua__fail_nomem(1, "a path");
    if (!st) st = load_described(folder, path, json, world, &s);
    json_decref(json);
    kua__free(path);
    if (st)
        kua__sequence_free(s ? &s->rec : NULL);
    else
        *out = &s->rec;
    return st;
}

const kua__rec_ops kua__rec_sequence = {
    .name = "sequence",
    .summary = "gated transformer over histories; items from text and ids",
    .settings = SETTINGS,
    .create = create,
    .fit = fit,
    .score = score,
    .save = save,
    .load = load,
    .free = kua__sequence_free,
};
