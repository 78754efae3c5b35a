/* classify_use.c - measuring a classifier, and asking it about a table's rows.
 *
 * The file of predictions has a line a row:
 *
 *     row   truth   label   probability   p:NO   p:YES
 *
 * `row` counts the table's rows from 0; `truth` is there where labels were read.
 */
#include "app/classifier.h"

#include <assert.h>
#include <string.h>

#include "app/measure.h"
#include "base/json.h"

typedef struct use {
    kua_classifier c;
    kua__examples ex;
    float *rows, *p; /* p [n, labels] */
    uint32_t *all;   /* 0 .. n - 1 */
    double seconds;
} use;

static kua_status check_data(const kua_classifier *c, const char *folder,
                             const kua_classify_data *d)
{
    if (c->config.tagger)
        return kua__fail(KUA_INVALID, "%s: is a tagger, not a classifier", folder);
    if (c->config.method == KUA__VECTORS && !d->vectors)
        return kua__fail(KUA_INVALID, "%s: was trained on vectors: name files of them", folder);
    if (c->config.method != KUA__VECTORS && !d->text)
        return kua__fail(KUA_INVALID, "%s: needs a column of texts", folder);
    if (c->config.multi && d->label && !d->separator)
        return kua__fail(KUA_INVALID, "%s: gives many labels a text: name their separator", folder);
    return KUA_OK;
}

static kua_status read_rows(use *u, const kua_classify_data *d, bool labels)
{
    kua__wanted wanted = {.known = &u->c.config.labels, .labels = labels};
    if (d->split) wanted.part[0] = d->part ? d->part : "test";
    KUA__TRY(kua__examples_read(&u->ex, d, &wanted));
    KUA__TRY(KUA__NEW_ARRAY(&u->all, u->ex.n, "rows"));
    for (size_t i = 0; i < u->ex.n; i++)
        u->all[i] = (uint32_t)i;
    return KUA_OK;
}

static kua_status ask(use *u, const kua_classify_data *d, const kua_monitor *monitor)
{
    double start = kua__seconds();
    size_t dim = 0;
    KUA__TRY(KUA__NEW_ARRAY(&u->p, u->ex.n * u->c.config.labels.count, "probabilities"));
    kua_status st;
    if (u->c.config.method == KUA__VECTORS) {
        KUA__TRY(kua__examples_vectors(&u->ex, d->vectors, &u->rows, &dim));
        if (dim != u->c.config.dim)
            return kua__fail(KUA_SHAPE, "%s: has %zu columns, the classifier was trained on %zu",
                             d->vectors, dim, u->c.config.dim);
        kua__app_input in = {.rows = u->rows};
        st = kua__classifier_judge_all(&u->c, &in, u->ex.n, monitor, u->p);
    } else {
        st = kua_classifier_predict(&u->c, u->ex.text, u->ex.n, monitor, u->p);
    }
    u->seconds = kua__seconds() - start;
    return st;
}

/* ---- predictions ---- */

static kua__answers answers_of(const use *u)
{
    return (kua__answers){&u->c.config, &u->ex, u->all, u->ex.n, u->p};
}

static void write_names(kua__writer *w, const use *u, const char *separator, size_t i, bool truth)
{
    kua__answers a = answers_of(u);
    bool first = true;
    for (size_t k = 0; k < u->c.config.labels.count; k++) {
        if (!(truth ? kua__answers_true(&a, i, k) : kua__answers_says(&a, i, k))) continue;
        kua__writer_printf(w, "%s%s", first ? "" : separator, u->c.config.labels.name[k]);
        first = false;
    }
}

static kua_status write_predictions(const use *u, const char *path, const char *separator,
                                    bool truth)
{
    kua__writer w;
    size_t labels = u->c.config.labels.count;
    kua__answers a = answers_of(u);
    KUA__TRY(kua__writer_open(&w, path));
    kua__writer_printf(&w, "row\t%slabel\tprobability", truth ? "truth\t" : "");
    for (size_t k = 0; k < labels; k++)
        kua__writer_printf(&w, "\tp:%s", u->c.config.labels.name[k]);
    for (size_t i = 0; i < u->ex.n; i++) {
        kua__writer_printf(&w, "\n%u\t", u->ex.row[i]);
        if (truth) {
            write_names(&w, u, separator, i, true);
            kua__writer_printf(&w, "\t");
        }
        write_names(&w, u, separator, i, false);
        kua__writer_printf(&w, "\t%.6f", (double)u->p[i * labels + kua__answers_best(&a, i)]);
        for (size_t k = 0; k < labels; k++)
            kua__writer_printf(&w, "\t%.6f", (double)u->p[i * labels + k]);
    }
    kua__writer_printf(&w, "\n");
    return kua__writer_commit(&w);
}

static void use_release(use *u)
{
    kua__classifier_release(&u->c);
    kua__examples_release(&u->ex);
    kua__free(u->rows);
    kua__free(u->p);
    kua__free(u->all);
}

/* ---- jobs ---- */

static kua_status give(json_t *json, char **report)
{
    if (report) *report = json ? kua__json_dumps(json, JSON_INDENT(2)) : NULL;
    json_decref(json);
    return json && (!report || *report) ? KUA_OK : kua__fail_nomem(0, "a report");
}

static kua_status run(use *u, const char *folder, const kua_classify_data *data, bool labels,
                      const char *out, const kua_monitor *monitor)
{
    KUA__TRY(kua__classifier_open(&u->c, folder));
    KUA__TRY(check_data(&u->c, folder, data));
    KUA__TRY(read_rows(u, data, labels));
    KUA__TRY(ask(u, data, monitor));
    const char *separator = data->separator ? data->separator : ",";
    return out ? write_predictions(u, out, separator, labels) : KUA_OK;
}

kua_status kua_classify_eval(const char *folder, const kua_classify_data *data,
                             const char *predictions, const kua_monitor *monitor, char **report)
{
    assert(folder && data && data->path && data->label);
    if (report) *report = NULL;
    use u = {0};
    kua_status st = run(&u, folder, data, true, predictions, monitor);
    if (!st && u.ex.unseen)
        kua__log_line(
            monitor, KUA_LOG_WARN,
            "%s: %zu labels are none that the classifier was trained on, the first in line "
            "%zu; they count as wrong",
            data->path, u.ex.unseen, u.ex.unseen_line);
    if (!st) {
        kua__answers a = answers_of(&u);
        json_t *json = kua__answers_measure(&a);
        if (json)
            json_object_set_new(json, "texts_per_second",
                                json_real((double)u.ex.n / (u.seconds > 0 ? u.seconds : 1e-9)));
        st = give(json, report);
    }
    use_release(&u);
    return st;
}

kua_status kua_classify_predict(const char *folder, const kua_classify_data *data, const char *out,
                                const kua_monitor *monitor, char **report)
{
    assert(folder && data && data->path && out);
    if (report) *report = NULL;
    use u = {0};
    kua_status st = run(&u, folder, data, false, out, monitor);
    if (!st)
        st =
            give(json_pack("{s:I, s:s, s:f}", "rows", (json_int_t)u.ex.n, "out", out,
                           "texts_per_second", (double)u.ex.n / (u.seconds > 0 ? u.seconds : 1e-9)),
                 report);
    use_release(&u);
    return st;
}
