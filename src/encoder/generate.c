/* generate.c - kua_generator: a causal model, the keys and values of what it has read, and the loop
 * that appends a token.
 *
 *     ids   [ prompt ........ | new tokens ....... |        ]      max_tokens
 *           0                                      n               keys and values of 0 .. n - 1
 * are in the cache logits of token n
 *
 * A prompt goes through in pieces of PROMPT_ROWS tokens, so that scratch does not grow with it. All
 * threads share each step (a crew): there is one text only.
 *
 * Text comes out in whole characters: a token may hold half of one. Decoding is not a
 * concatenation of pieces everywhere (a blank at the start may go), so what a token adds is the
 * difference of two decodings that begin at the same token:
 *
 *     shown = decode(ids[from .. told)), now = decode(ids[from .. n)): what now has more is new,
 *     unless it ends in half a character, which decodes as U+FFFD
 */
#include "kua/generate.h"

#include <assert.h>
#include <string.h>

#include "encoder/model.h"
#include "encoder/sample.h"

enum {
    PROMPT_ROWS = 256,
    TOKENS_DEFAULT = 2048,
    STOPS_MAX = 5,
    CONTEXT = 4, /* tokens of the prompt that the first decoding begins with */
};

struct kua_generator {
    kua__model model;
    kua_tokenizer *tokenizer;
    kua__cache cache;
    kua__scratch *member, **crew; /* [model.parts] */
    float *logits;                /* [vocab] */
    kua__candidate *candidates;   /* [vocab] */
    uint32_t *ids;                /* [max_tokens] */
    size_t n, max_tokens;
    size_t from, told; /* of the text that was given out */
    kua_text_buffer shown, now;
    uint32_t stop[STOPS_MAX];
    size_t n_stops;
    kua__rng rng;
    double prompt_seconds;
    size_t prompt_tokens;
};

/* ---- loading ---- */

/* Tokens that end a text: the tokenizer's, and what chat models and base models use. */
static void find_stops(kua_generator *g)
{
    static const char *const names[] = {"<|endoftext|>", "<|im_end|>", "</s>", "<|eot_id|>"};
    uint32_t eos = kua_tokenizer_describe(g->tokenizer).eos;
    if (eos != KUA_TOKEN_NONE) g->stop[g->n_stops++] = eos;
    for (size_t i = 0; i < KUA__COUNT(names); i++) {
        uint32_t id = kua_tokenizer_find(g->tokenizer, names[i], strlen(names[i]));
        if (id != KUA_TOKEN_NONE) g->stop[g->n_stops++] = id;
    }
    assert(g->n_stops <= STOPS_MAX);
}

static kua_status make_room(kua_generator *g)
{
    size_t words = g->model.config.vocab, rows = KUA__MIN(g->max_tokens, (size_t)PROMPT_ROWS);
    KUA__TRY(KUA__NEW_ZEROED(&g->member, g->model.parts, "scratch memory"));
    KUA__TRY(KUA__NEW_ZEROED(&g->crew, g->model.parts, "scratch memory"));
    for (size_t i = 0; i < g->model.parts; i++) {
        g->crew[i] = &g->member[i];
        KUA__TRY(kua__scratch_init(g->crew[i], &g->model, rows, g->max_tokens));
    }
    KUA__TRY(KUA__NEW_ARRAY(&g->logits, words, "logits"));
    KUA__TRY(KUA__NEW_ARRAY(&g->candidates, words, "words to draw from"));
    KUA__TRY(KUA__NEW_ARRAY(&g->ids, g->max_tokens, "tokens"));
    return kua__cache_init(&g->cache, &g->model.config, g->max_tokens);
}

static kua_status choose_max_tokens(kua_generator *g, const kua__model_config *c, size_t option)
{
    size_t most = kua__config_longest(c);
    if (option > most)
        return kua__fail(KUA_INVALID, "generator: max_tokens is %zu, expected 1..%zu", option,
                         most);
    g->max_tokens = option ? option : KUA__MIN(most, (size_t)TOKENS_DEFAULT);
    return KUA_OK;
}

static kua_status prepare(kua_generator *g, const char *path, const kua__weights *file,
                          const kua_generator_options *o, kua__model_config *c)
{
    KUA__TRY(kua__config_find(path, file, c));
    if (!c->causal) {
        return kua__fail(KUA_FORMAT,
                         "%s: a model of family %s does not generate; gpt2 and llama do", path,
                         kua__family_name(c->family));
    }
    KUA__TRY(kua__tokenizer_find(path, file, c->vocab, &g->tokenizer));
    find_stops(g);
    return choose_max_tokens(g, c, o->max_tokens);
}

static kua_status load(kua_generator *g, const char *path, const kua_generator_options *o)
{
    kua__weights *file = NULL;
    kua__model_config c;
    KUA__TRY(kua__weights_open(path, &file));
    kua_status st = prepare(g, path, file, o, &c);
    if (st) {
        kua__weights_close(file);
        return st;
    }
    bool turned = !kua__weights_gguf(file) && kua__naming_of(c.family)->turned;
    kua__model_options options = {.max_tokens = g->max_tokens, .head = true, .lean = !turned};
    KUA__TRY(kua__model_load(&g->model, file, &c, &options));
    return make_room(g);
}

kua_status kua_generator_load(const char *path, const kua_generator_options *options,
                              kua_generator **out)
{
    assert(path && out);
    *out = NULL;
    kua_generator *g = NULL;
    KUA__TRY(KUA__NEW_ZEROED(&g, 1, "a generator"));
    kua_status st = load(g, path, options ? options : &(kua_generator_options){0});
    if (st)
        kua_generator_free(g);
    else
        *out = g;
    return st;
}

void kua_generator_free(kua_generator *generator)
{
    if (!generator) return;
    for (size_t i = 0; generator->member && i < generator->model.parts; i++)
        kua__scratch_release(&generator->member[i]);
    kua__free(generator->member);
    kua__free(generator->crew);
    kua__free(generator->logits);
    kua__free(generator->candidates);
    kua__free(generator->ids);
    kua_text_buffer_release(&generator->shown);
    kua_text_buffer_release(&generator->now);
    kua__cache_release(&generator->cache);
    kua_tokenizer_free(generator->tokenizer);
    kua__model_release(&generator->model);
    kua__free(generator);
}

kua_generator_info kua_generator_describe(const kua_generator *generator)
{
    assert(generator);
    const kua__model *m = &generator->model;
    const kua__model_config *c = &m->config;
    size_t rows = generator->member[0].rows;
    return (kua_generator_info){
        .family = kua__family_name(c->family),
        .layers = c->layers,
        .dim = c->hidden,
        .vocab_size = c->vocab,
        .max_tokens = generator->max_tokens,
        .parameters = m->parameters,
        .file_bytes = kua__weights_bytes(m->file),
        .memory_bytes = kua__model_bytes(m) + kua__cache_bytes(c, generator->max_tokens) +
                        m->parts * kua__scratch_bytes(m, rows, generator->max_tokens) +
                        c->vocab * (sizeof(float) + sizeof(kua__candidate)),
    };
}

const kua_tokenizer *kua_generator_tokenizer(const kua_generator *generator)
{
    assert(generator);
    return generator->tokenizer;
}

/* ---- reading tokens ---- */

/* Tokens ids[first .. first + n) go through the model; logits are of what follows. */
static kua_status read_tokens(kua_generator *g, size_t first, size_t n)
{
    const uint32_t *text = g->ids + first;
    uint32_t length = (uint32_t)n;
    kua__text_batch batch = {1, n, &text, &length, &g->cache};
    assert(g->cache.past == first && n >= 1 && n <= g->member[0].rows);
    KUA__TRY(kua__model_forward(&g->model, g->crew, g->model.parts, &batch));
    float *x = g->crew[0]->x;
    size_t h = g->model.config.hidden;
    memmove(x, x + (n - 1) * h, h * sizeof(*x));
    return kua__model_words(&g->model, g->crew, g->model.parts, 1, g->logits);
}

kua_status kua_generator_prompt_ids(kua_generator *generator, const uint32_t *ids, size_t n)
{
    assert(generator && (ids || n == 0));
    kua_generator *g = generator;
    double start = kua__seconds();
    g->n = g->cache.past = 0;
    if (n < 1 || n > g->max_tokens)
        return kua__fail(KUA_INVALID, "generator: the prompt has %zu tokens, expected 1..%zu", n,
                         g->max_tokens);
    for (size_t i = 0; i < n; i++) {
        if (ids[i] >= g->model.config.vocab)
            return kua__fail(KUA_INVALID,
                             "generator: token %zu of the prompt is %u, the model has "
                             "%zu",
                             i, ids[i], g->model.config.vocab);
    }
    memcpy(g->ids, ids, n * sizeof(*ids));
    for (size_t at = 0; at < n; at += g->member[0].rows)
        KUA__TRY(read_tokens(g, at, KUA__MIN(n - at, g->member[0].rows)));
    g->n = g->told = n;
    g->from = n > CONTEXT ? n - CONTEXT : 0;
    g->rng = kua__rng_make(0, 0);
    g->prompt_tokens = n;
    g->prompt_seconds = kua__seconds() - start;
    return KUA_OK;
}

kua_status kua_generator_prompt(kua_generator *generator, const char *text, size_t n)
{
    assert(generator && (text || n == 0));
    kua_ids ids = {0};
    kua_status st = kua_tokenizer_encode(generator->tokenizer, text, n, 0, &ids);
    if (!st) st = kua_generator_prompt_ids(generator, ids.id, ids.n);
    kua_ids_release(&ids);
    return st;
}

const float *kua_generator_logits(const kua_generator *generator)
{
    assert(generator);
    return generator->n ? generator->logits : NULL;
}

const uint32_t *kua_generator_ids(const kua_generator *generator, size_t *n)
{
    assert(generator && n);
    *n = generator->n;
    return generator->ids;
}

/* ---- giving text out ---- */

static bool ends_in_half(const kua_text_buffer *t)
{
    return t->n >= 3 && memcmp(t->data + t->n - 3, "\xef\xbf\xbd", 3) == 0;
}

/* What the tokens behind `told` add, where it is whole characters or nothing follows. */
static kua_status new_text(kua_generator *g, bool last, const char **text, size_t *n)
{
    *text = "";
    *n = 0;
    KUA__TRY(
        kua_tokenizer_decode(g->tokenizer, g->ids + g->from, g->told - g->from, true, &g->shown));
    KUA__TRY(kua_tokenizer_decode(g->tokenizer, g->ids + g->from, g->n - g->from, true, &g->now));
    if (g->now.n <= g->shown.n || (ends_in_half(&g->now) && !last)) return KUA_OK;
    *text = g->now.data + g->shown.n;
    *n = g->now.n - g->shown.n;
    g->from = g->told;
    g->told = g->n;
    return KUA_OK;
}

static bool is_stop(const kua_generator *g, uint32_t id)
{
    for (size_t i = 0; i < g->n_stops; i++) {
        if (g->stop[i] == id) return true;
    }
    return false;
}

/* One token more. *going is false at an end, and *end says which. */
static kua_status step(kua_generator *g, const kua_sampling *s, size_t made, kua_piece_fn piece,
                       void *user, bool *going, kua_generator_end *end)
{
    const char *text = "";
    size_t n = 0;
    uint32_t id = kua__sample(s, g->logits, g->model.config.vocab, g->candidates, &g->rng);
    bool over = !s->ignore_end && is_stop(g, id);
    if (!over) {
        size_t at = g->n++;
        g->ids[at] = id;
        *end = s->max_new && made + 1 >= s->max_new ? KUA_END_MAX_NEW : KUA_END_FULL;
        over = *end == KUA_END_MAX_NEW || g->n == g->max_tokens;
        KUA__TRY(read_tokens(g, at, 1));
    } else {
        *end = KUA_END_TOKEN;
    }
    KUA__TRY(new_text(g, over, &text, &n));
    *going = !over;
    if (piece && !piece(user, id, text, n) && !over) {
        *going = false;
        *end = KUA_END_CALLER;
    }
    return KUA_OK;
}

kua_status kua_generator_run(kua_generator *generator, const kua_sampling *sampling,
                             kua_piece_fn piece, void *user, kua_generator_stats *stats)
{
    assert(generator && sampling);
    kua_generator *g = generator;
    kua_generator_end end = KUA_END_FULL;
    KUA__TRY(kua__sampling_check(sampling, g->model.config.vocab));
    if (g->n == 0) return kua__fail(KUA_INVALID, "generator: there is no prompt to go on from");
    if (g->rng.seed != sampling->seed) g->rng = kua__rng_make(sampling->seed, 0);
    size_t first = g->n;
    double start = kua__seconds();
    for (bool going = g->n < g->max_tokens; going;)
        KUA__TRY(step(g, sampling, g->n - first, piece, user, &going, &end));
    if (stats) {
        *stats = (kua_generator_stats){.prompt_tokens = g->prompt_tokens,
                                       .new_tokens = g->n - first,
                                       .prompt_seconds = g->prompt_seconds,
                                       .new_seconds = kua__seconds() - start,
                                       .end = end};
    }
    return KUA_OK;
}
