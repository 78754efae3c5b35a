/* kua/generate.h - text that goes on where a prompt ends, from a causal model (GPT-2, llama).
 *
 *     kua_generator *generator = NULL;
 *     kua_sampling sampling = {.max_new = 32};                      temperature 0: the likeliest
 * word kua_status st = kua_generator_load("models/smollm2-135m", NULL, &generator); if (!st) st =
 * kua_generator_prompt(generator, "The capital of France is", 24); if (!st) st =
 * kua_generator_run(generator, &sampling, print_piece, stdout, NULL);
 *     kua_generator_free(generator);
 *
 * Memory: weights stay in the mapped file, in the types that they have there (4-bit ones are read
 * as such), so that a quantised model needs its file's size and no more; GPT-2's files, whose
 *     matrices lie the other way round, are copied. Beside that: keys and values, 8 bytes for each
 *     layer, token and key dimension, of which only what is used becomes resident; see
 *     kua_generator_info.
 *
 * Results: computed in f32 from the widened weights. The same prompt, sampling and number of
 * threads give the same text.
 *
 * Threads: a generator belongs to one thread at a time; it uses all threads for each token.
 */
#ifndef KUA_GENERATE_H
#define KUA_GENERATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kua/status.h"
#include "kua/tokenizer.h"

typedef struct kua_generator_options {
    size_t max_tokens; /* prompt and answer together; 0: 2048, or what the model allows */
} kua_generator_options;

/* How the next token is chosen from its probabilities. {0} is: always the likeliest. */
typedef struct kua_sampling {
    float temperature; /* probabilities to the power of 1 / temperature; 0: the likeliest */
    size_t top_k;      /* of the k likeliest; 0: of all */
    float top_p;       /* of the fewest whose probabilities sum to at least that; 0: of all */
    uint64_t seed;
    size_t max_new;  /* tokens; 0: until the end */
    bool ignore_end; /* go on behind the token that ends a text */
} kua_sampling;

typedef struct kua_generator_info {
    const char *family; /* "llama" */
    size_t layers, dim, vocab_size, max_tokens, parameters;
    size_t file_bytes;   /* mapped, shared with other processes */
    size_t memory_bytes; /* own, where every position is used */
} kua_generator_info;

typedef enum kua_generator_end {
    KUA_END_TOKEN,   /* the model ended the text */
    KUA_END_MAX_NEW, /* sampling.max_new tokens are there */
    KUA_END_FULL,    /* max_tokens are used up */
    KUA_END_CALLER   /* the callback said so */
} kua_generator_end;

typedef struct kua_generator_stats {
    size_t prompt_tokens, new_tokens;
    double prompt_seconds, new_seconds;
    kua_generator_end end;
} kua_generator_stats;

typedef struct kua_generator kua_generator;

/* text[n] is what the last token or tokens add: whole characters, not NUL-terminated; n may be 0.
 * false ends the run. */
typedef bool (*kua_piece_fn)(void *user, uint32_t id, const char *text, size_t n);

/* `path` is a folder or file as for kua_encoder_load(). KUA_FORMAT: as there, or the model is not
 * causal. */
KUA_MUST_CHECK kua_status kua_generator_load(const char *path, const kua_generator_options *options,
                                             kua_generator **out);
void kua_generator_free(kua_generator *generator); /* NULL is allowed */
kua_generator_info kua_generator_describe(const kua_generator *generator);
const kua_tokenizer *kua_generator_tokenizer(const kua_generator *generator); /* borrowed */

/* Forgets what was there and reads a prompt. KUA_INVALID: it has no token, more than fit, or an id
 * that is no row of the table of words. */
KUA_MUST_CHECK kua_status kua_generator_prompt(kua_generator *generator, const char *text,
                                               size_t n);
KUA_MUST_CHECK kua_status kua_generator_prompt_ids(kua_generator *generator, const uint32_t *ids,
                                                   size_t n);
/* Of the next token, [vocab_size]; valid until the next call. NULL before a prompt. */
const float *kua_generator_logits(const kua_generator *generator);

/* Tokens until an end; may be called again to go on. piece and stats may be NULL. KUA_INVALID: no
 * prompt, or a sampling out of range. */
KUA_MUST_CHECK kua_status kua_generator_run(kua_generator *generator, const kua_sampling *sampling,
                                            kua_piece_fn piece, void *user,
                                            kua_generator_stats *stats);

/* All tokens: those of the prompt, then the new ones. */
const uint32_t *kua_generator_ids(const kua_generator *generator, size_t *n);

#endif
