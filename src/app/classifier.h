/* app/classifier.h - the inside of kua_classifier: a description, and the parts that its method
 * has.
 *
 *     method    a text becomes                       parts
 *     tfidf     a sparse row                         tfidf, linear
 *     vectors   a row that the caller has            head
 *     encoder   a pooled row (linear, mlp)           encoder, head
 *               token states (lstm, tagger)          backbone, head
 */
#ifndef KUA_APP_CLASSIFIER_H
#define KUA_APP_CLASSIFIER_H

#include "app/backbone.h"
#include "app/head.h"
#include "app/tfidf.h"
#include "kua/classify.h"
#include "kua/encoder.h"

struct kua_classifier {
    kua__app_config config;
    kua__tfidf tfidf;
    kua__affine linear;
    kua__params params, frozen; /* frozen: of a backbone that is not trained */
    kua__head head;
    kua_encoder *encoder;
    kua__backbone backbone;
    bool trained; /* the backbone is being trained: it drops out */
    kua__tape *tape;
};

void kua__classifier_init(kua_classifier *c);
void kua__classifier_release(kua_classifier *c);

/* Where a config's encoder is: itself, or inside `folder`. Owned; NULL: out of memory. */
char *kua__encoder_folder(const char *folder, const kua__app_config *config);
/* Does the head see single tokens? */
bool kua__app_by_token(const kua__app_config *config);
/* Everything from a folder, ready to predict. *c is to be released after a failure too. */
kua_status kua__classifier_open(kua_classifier *c, const char *folder);
/* head.safetensors, encoder/ where it was tuned, and classifier.json last. */
kua_status kua__classifier_save(kua_classifier *c, const char *folder, const json_t *trained);

/* What a head is asked about: one of rows, states with ids, ids. */
typedef struct kua__app_input {
    const float *rows;       /* [n, dim] a row a text */
    const kua_id_batch *ids; /* tokens */
    const float *states;     /* [tokens, dim] of a frozen encoder; NULL: to be computed */
} kua__app_input;

/* Logits of texts pick[n]; a row a text, or a row a token (then *seq says whose). */
kua__var *kua__classifier_on_tape(const kua_classifier *c, kua__tape *t, const kua__app_input *in,
                                  const uint32_t *pick, size_t n, float dropout, kua__ragged *seq);
/* Probabilities [n, labels] of texts pick[n]; resets the tape, which must not be training. */
kua_status kua__classifier_judge(const kua_classifier *c, kua__tape *t, const kua__app_input *in,
                                 const uint32_t *pick, size_t n, float *probability);
/* The same for all n texts of `in`, told as progress. */
kua_status kua__classifier_judge_all(kua_classifier *c, const kua__app_input *in, size_t n,
                                     const kua_monitor *monitor, float *probability);
/* outs columns of probabilities as one a label, in rows of p[n, labels]; z[n, outs]. */
void kua__app_expand(const kua__app_config *config, const float *z, size_t n, float *p);
/* Pooled rows of texts, [n, dim], not of length 1. */
kua_status kua__classifier_pool(kua_classifier *c, const kua_text *texts, size_t n,
                                const kua_monitor *monitor, float *rows);

#endif
