/* kua/classify.h - texts to classes: training, measuring and asking a classifier.
 *
 *     kua_classify_options o = {.data = {.path = "reviews.tsv", .text = "review", .label =
 * "stars"}, .model = "models/minilm-l6", .head = "linear", .tune = "none", .out = "stars"};
 *     kua_status st = kua_classify_train(&o, NULL, NULL);
 *
 *     kua_classifier *stars = NULL;
 *     kua_text text = {"arrived broken", 14};
 *     float p[5];
 *     if (!st) st = kua_classifier_load("stars", &stars);
 *     if (!st) st = kua_classifier_predict(stars, &text, 1, NULL, p);
 *     kua_classifier_free(stars);
 *
 * What is learned
 *     two labels        one output and a sigmoid (the second label in byte order is "yes")
 *     more labels       softmax
 *     with a separator  a text has any number of labels: one sigmoid each
 *
 * Models ("model")
 *     a folder          a pretrained encoder, as kua_encoder_load() takes it
 *     "tfidf"           no encoder: words, their pairs and characters 3 to 5 of them, characters 1
 *                       to 3 where a script has no spaces; TF-IDF and logistic regression
 *     NULL              the data's `vectors` alone, or the encoder of `from`
 *
 * Heads                 linear; mlp (one hidden layer); lstm: encoder -> LSTM(128) -> Dense ->
 *                       sigmoid or softmax. "All steps" is read as Keras' return_sequences: the
 *                       Dense layer and the sigmoid stand on the state of every step, each step is
 *                       taught the text's label, and a text's probability is the mean of its steps'
 *
 * Tuning ("tune")
 *     none              texts are encoded once. A linear head is the exact minimum of logistic
 *                       regression with an L2 term chosen on validation; other heads are trained on
 *                       the kept vectors
 *     head              the encoder is frozen, the head is trained by Adam with dropout
 *     lora              low-rank additions to the encoder's products, and the head
 *     full              everything
 *
 * A classifier is a folder: classifier.json (with a version), head.safetensors, and encoder/ where
 * the encoder was tuned; else it names the encoder's folder. It appears whole, at the end.
 *
 * Cancelling: training that the monitor stops leaves OUT/checkpoint.safetensors, from which the
 *     same call goes on. Errors name file, line, column and value.
 */
#ifndef KUA_CLASSIFY_H
#define KUA_CLASSIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kua/monitor.h"
#include "kua/status.h"
#include "kua/tokenizer.h"

enum { KUA_LABELS_MAX = 4096, KUA_LABEL_BYTES_MAX = 256 };

/* A table (.tsv, .csv, .jsonl) and what its columns are. */
typedef struct kua_classify_data {
    const char *path;
    const char *text, *label; /* columns; text may be NULL where there are vectors */
    const char *separator;    /* between the labels of one text; NULL: one label a text */
    const char *split;        /* column that says which part a row belongs to; NULL: none */
    const char *part;         /* eval, predict: only rows of this part; NULL: "test", or all rows
                                 where `split` is NULL. train: uses "train", and "valid" if any */
    const char *group;        /* column: rows of one group stay together when validation rows are
                                 drawn; NULL: each row for itself */
    const char *vectors;      /* comma-separated safetensors files with "vectors" [rows, dim], one
                                 row a row of the table, each brought to length 1; NULL: none */
} kua_classify_data;

typedef struct kua_classify_options {
    kua_classify_data data;
    const char *model, *head, *tune; /* head NULL: "linear", tune NULL: "none" */
    const char *from;     /* a classifier's folder to start from: its encoder, and its head where
                             the labels are the same; NULL: none */
    const char *out;      /* the folder to write */
    const char *settings; /* JSON object, see kua_classify_settings(); NULL: defaults */
} kua_classify_options;

/* JSON array of {"name", "default", "low", "high", "what"}. */
KUA_MUST_CHECK kua_status kua_classify_settings(char **report);

/* Report: {"labels", "train_rows", "valid_rows", "method", "head", "tune", "parameters", "trained",
 * "expected_bytes", "peak_bytes", "seconds", "l2" or "epochs": [{"loss", "valid_loss",
 * "valid_accuracy"}], "best_epoch", "valid": {as kua_classify_eval}}.
 * KUA_FORMAT: a row is bad, or there is one label only. KUA_NOTFOUND: no such file or model. */
KUA_MUST_CHECK kua_status kua_classify_train(const kua_classify_options *options,
                                             const kua_monitor *monitor, char **report);

/* Report: {"rows", "accuracy", "macro_f1", "micro_f1", "log_loss", "auc" (two labels), "classes":
 * [{"label", "rows", "precision", "recall", "f1"}], "confusion": [[..]], "unseen": rows whose label
 * the classifier has never seen (counted as wrong), "texts_per_second"}. `predictions`: a TSV file
 * to write, or NULL. */
KUA_MUST_CHECK kua_status kua_classify_eval(const char *folder, const kua_classify_data *data,
                                            const char *predictions, const kua_monitor *monitor,
                                            char **report);

/* Labels for a table without any: writes `out`, a TSV file with "row", "label", "probability" and a
 * column of probabilities for each label. Report: {"rows", "out"}. */
KUA_MUST_CHECK kua_status kua_classify_predict(const char *folder, const kua_classify_data *data,
                                               const char *out, const kua_monitor *monitor,
                                               char **report);

/* ---- a classifier in memory: immutable, but predict needs exclusive use ---- */

typedef struct kua_classifier kua_classifier;

/* KUA_FORMAT: of a newer version, or damaged; the message names file and field. */
KUA_MUST_CHECK kua_status kua_classifier_load(const char *folder, kua_classifier **out);
void kua_classifier_free(kua_classifier *classifier); /* NULL is allowed */
size_t kua_classifier_labels(const kua_classifier *classifier);
const char *kua_classifier_label(const kua_classifier *classifier, size_t i); /* borrowed */
/* Writes probability[n * labels]. KUA_INVALID: it was trained on vectors, not on texts. */
KUA_MUST_CHECK kua_status kua_classifier_predict(kua_classifier *classifier, const kua_text *texts,
                                                 size_t n, const kua_monitor *monitor,
                                                 float *probability);

/* ---- tagging: spans of a text ---- */

/* Files hold one unit (a character, or a word) and its tag a line, "帽 B-HCCX", an empty line
 * between texts; tags are BIO. */
typedef struct kua_tag_options {
    const char *train, *valid;                        /* valid NULL: every tenth text of train */
    const char *model, *tune, *from, *out, *settings; /* as above; the head is linear */
} kua_tag_options;

KUA_MUST_CHECK kua_status kua_tag_train(const kua_tag_options *options, const kua_monitor *monitor,
                                        char **report);
/* Report: {"texts", "units", "precision", "recall", "f1" (of entities with exactly the right span
 * and type), "unit_accuracy", "types": [{"type", "entities", "precision", "recall", "f1"}]}. */
KUA_MUST_CHECK kua_status kua_tag_eval(const char *folder, const char *data,
                                       const kua_monitor *monitor, char **report);
/* Report: an array, for each text an array of {"type", "text", "first", "last" (bytes)}. */
KUA_MUST_CHECK kua_status kua_tag_predict(const char *folder, const kua_text *texts, size_t n,
                                          const kua_monitor *monitor, char **report);

#endif
