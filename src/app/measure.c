/* measure.c - accuracy, precision, recall, F1, log loss, area under the curve, confusion.
 *
 * A text whose label the classifier has never seen counts as wrong everywhere but in the log loss,
 * where it has no number.
 */
#include "app/measure.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CONFUSION_MOST = 40 };

size_t kua__answers_best(const kua__answers *a, size_t i)
{
    size_t k = a->config->labels.count, best = 0;
    const float *p = a->probability + i * k;
    for (size_t j = 1; j < k; j++)
        if (p[j] > p[best]) best = j;
    return best;
}

bool kua__answers_says(const kua__answers *a, size_t i, size_t k)
{
    size_t labels = a->config->labels.count;
    return a->config->multi ? a->probability[i * labels + k] >= .5f : kua__answers_best(a, i) == k;
}

bool kua__answers_true(const kua__answers *a, size_t i, size_t k)
{
    const kua__examples *ex = a->ex;
    for (size_t at = ex->label_at[a->pick[i]]; at < ex->label_at[a->pick[i] + 1]; at++)
        if (ex->label[at] == k) return true;
    return false;
}

static double log_of(double p)
{
    return -log(fmin(fmax(p, 1e-15), 1));
}

double kua__answers_loss(const kua__answers *a)
{
    size_t labels = a->config->labels.count, counted = 0;
    double sum = 0;
    for (size_t i = 0; i < a->n; i++) {
        const float *p = a->probability + i * labels;
        bool any = false;
        for (size_t k = 0; k < labels; k++) {
            bool is = kua__answers_true(a, i, k);
            if (is || a->config->multi) sum += log_of(is ? p[k] : 1 - p[k]);
            any |= is;
        }
        counted += any || a->config->multi;
    }
    return counted ? sum / (double)counted : 0;
}

static bool is_right(const kua__answers *a, size_t i)
{
    const uint32_t *at = a->ex->label_at + a->pick[i];
    for (uint32_t k = at[0]; k < at[1]; k++)
        if (a->ex->label[k] == KUA__NO_ID) return false;
    for (size_t k = 0; k < a->config->labels.count; k++)
        if (kua__answers_says(a, i, k) != kua__answers_true(a, i, k)) return false;
    return true;
}

double kua__answers_accuracy(const kua__answers *a)
{
    size_t right = 0;
    for (size_t i = 0; i < a->n; i++)
        right += is_right(a, i);
    return a->n ? (double)right / (double)a->n : 0;
}

/* ---- by label ---- */

typedef struct counts {
    size_t right, said, truly;
} counts;

static double f1_of(counts c)
{
    return c.said + c.truly ? 2 * (double)c.right / (double)(c.said + c.truly) : 0;
}

static json_t *label_json(const char *label, counts c)
{
    return json_pack("{s:s, s:I, s:f, s:f, s:f}", "label", label, "rows", (json_int_t)c.truly,
                     "precision", c.said ? (double)c.right / (double)c.said : 0., "recall",
                     c.truly ? (double)c.right / (double)c.truly : 0., "f1", f1_of(c));
}

static void measure_labels(const kua__answers *a, json_t *report)
{
    counts all = {0};
    double sum = 0;
    json_t *list = json_array();
    size_t labels = a->config->labels.count, present = 0;
    for (size_t k = 0; k < labels; k++) {
        counts c = {0};
        for (size_t i = 0; i < a->n; i++) {
            bool said = kua__answers_says(a, i, k), truly = kua__answers_true(a, i, k);
            c.said += said;
            c.truly += truly;
            c.right += said && truly;
        }
        all = (counts){all.right + c.right, all.said + c.said, all.truly + c.truly};
        sum += f1_of(c);
        present += c.said || c.truly;
        json_array_append_new(list, label_json(a->config->labels.name[k], c));
    }
    json_object_set_new(report, "macro_f1", json_real(present ? sum / (double)present : 0));
    json_object_set_new(report, "micro_f1", json_real(f1_of(all)));
    json_object_set_new(report, "classes", list);
}

static json_t *confusion(const kua__answers *a)
{
    json_t *rows = json_array();
    for (size_t truth = 0; truth < a->config->labels.count; truth++) {
        json_t *row = json_array();
        for (size_t said = 0; said < a->config->labels.count; said++) {
            size_t n = 0;
            for (size_t i = 0; i < a->n; i++)
                n += kua__answers_true(a, i, truth) && kua__answers_best(a, i) == said;
            json_array_append_new(row, json_integer((json_int_t)n));
        }
        json_array_append_new(rows, row);
    }
    return rows;
}

/* ---- area under the curve ---- */

typedef struct scored {
    float p;
    bool yes;
} scored;

static int by_score(const void *a, const void *b)
{
    float x = ((const scored *)a)->p, y = ((const scored *)b)->p;
    return (x > y) - (x < y);
}

/* The chance that a random yes is above a random no; ties count half. NAN: only one kind. */
static double area(scored *s, size_t n)
{
    double ranks = 0, yes = 0;
    qsort(s, n, sizeof(*s), by_score);
    for (size_t i = 0, end = 0; i < n; i = end) {
        size_t here = 0;
        for (end = i; end < n && s[end].p == s[i].p; end++)
            here += s[end].yes;
        ranks += (double)here * ((double)(i + end + 1) / 2);
        yes += (double)here;
    }
    double no = (double)n - yes;
    return yes > 0 && no > 0 ? (ranks - yes * (yes + 1) / 2) / (yes * no) : NAN;
}

static void measure_area(const kua__answers *a, json_t *report)
{
    scored *s = kua__alloc_array(a->n, sizeof(*s));
    if (!s) return;
    for (size_t i = 0; i < a->n; i++)
        s[i] = (scored){a->probability[2 * i + 1], kua__answers_true(a, i, 1)};
    double auc = area(s, a->n);
    if (!isnan(auc)) json_object_set_new(report, "auc", json_real(auc));
    kua__free(s);
}

json_t *kua__answers_measure(const kua__answers *a)
{
    assert(a && a->config && a->ex && (a->pick || a->n == 0));
    size_t labels = a->config->labels.count, unseen = 0;
    for (size_t i = 0; i < a->n; i++)
        for (size_t k = a->ex->label_at[a->pick[i]]; k < a->ex->label_at[a->pick[i] + 1]; k++)
            unseen += a->ex->label[k] == KUA__NO_ID;
    json_t *report = json_pack("{s:I, s:f, s:f, s:I}", "rows", (json_int_t)a->n, "accuracy",
                               kua__answers_accuracy(a), "log_loss", kua__answers_loss(a), "unseen",
                               (json_int_t)unseen);
    if (!report) return NULL;
    measure_labels(a, report);
    if (!a->config->multi && labels == 2) measure_area(a, report);
    if (!a->config->multi && labels <= CONFUSION_MOST)
        json_object_set_new(report, "confusion", confusion(a));
    return report;
}
