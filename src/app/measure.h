/* app/measure.h - how good probabilities are. */
#ifndef KUA_APP_MEASURE_H
#define KUA_APP_MEASURE_H

#include <jansson.h>

#include "app/config.h"
#include "app/examples.h"

/* Truth and answers of n texts. */
typedef struct kua__answers {
    const kua__app_config *config;
    const kua__examples *ex; /* labels of text pick[i]; KUA__NO_ID: unseen */
    const uint32_t *pick;    /* [n] */
    size_t n;
    const float *probability; /* [n, labels] */
} kua__answers;

/* Is label k given to text i? One label a text: the likeliest; else all over one half. */
bool kua__answers_says(const kua__answers *a, size_t i, size_t k);
bool kua__answers_true(const kua__answers *a, size_t i, size_t k);
size_t kua__answers_best(const kua__answers *a, size_t i); /* the likeliest label */
double kua__answers_loss(const kua__answers *a);     /* mean log loss, unseen labels left out */
double kua__answers_accuracy(const kua__answers *a); /* texts with exactly the right labels */
/* The members of kua_classify_eval's report. NULL: out of memory. */
json_t *kua__answers_measure(const kua__answers *a);

#endif
