/* examples.c - reading a table of texts and labels, and files of vectors beside it.
 *
 *     table --rows--> bytes + text_at, labels in order of first appearance
 *           --end-->  text[] points into bytes; labels are sorted and renumbered, so that the same
 *                     rows in another order give the same classifier
 *
 * Texts are kept in one block that grows, which is why text[] is made at the end.
 */
#include "app/examples.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/safetensors.h"

enum { ROWS_MAX = 1 << 30 };

typedef struct columns {
    size_t text, label, split, group;
    bool has_text, has_label, has_split, has_group;
} columns;

/* ---- rows ---- */

static kua_status want(kua__table *t, const char *name, size_t *column, bool *has)
{
    *has = name != NULL;
    return name ? kua__table_want(t, name, column) : KUA_OK;
}

static kua_status find_columns(kua__table *t, const kua_classify_data *data,
                               const kua__wanted *wanted, columns *c)
{
    KUA__TRY(want(t, data->text, &c->text, &c->has_text));
    KUA__TRY(want(t, wanted->labels ? data->label : NULL, &c->label, &c->has_label));
    KUA__TRY(want(t, data->split, &c->split, &c->has_split));
    return want(t, data->group, &c->group, &c->has_group);
}

static bool field_is(const kua__field *f, const char *text)
{
    return text && f->text && f->n == strlen(text) && !memcmp(f->text, text, f->n);
}

static kua_status grow(kua__examples *ex)
{
    if (ex->n < ex->capacity) return KUA_OK;
    size_t room = ex->capacity ? 2 * ex->capacity : 1024;
    struct {
        void **at;
        size_t size;
    } arrays[] = {{(void **)&ex->row, sizeof(*ex->row)},
                  {(void **)&ex->group, sizeof(*ex->group)},
                  {(void **)&ex->part, sizeof(*ex->part)},
                  {(void **)&ex->text_at, sizeof(*ex->text_at)},
                  {(void **)&ex->label_at, sizeof(*ex->label_at)}};
    for (size_t i = 0; i < KUA__COUNT(arrays); i++) {
        void *grown = kua__realloc_array(*arrays[i].at, room + 1, arrays[i].size);
        if (!grown) return kua__fail_nomem((room + 1) * arrays[i].size, "texts");
        *arrays[i].at = grown;
    }
    ex->capacity = room;
    return KUA_OK;
}

/* One label of row ex->n. */
static kua_status add_label(kua__examples *ex, const kua__table *t, const kua_classify_data *data,
                            const kua__wanted *wanted, const kua__row *row, const char *text,
                            size_t n)
{
    if (n == 0 || n > KUA_LABEL_BYTES_MAX || memchr(text, 0, n))
        return kua__fail(KUA_FORMAT, "%s:%zu: column '%s' %s, expected a label of 1..%d bytes",
                         kua__table_name(t), row->line, data->label, n ? "is too long" : "is empty",
                         KUA_LABEL_BYTES_MAX);
    uint32_t id = 0;
    if (wanted->known) {
        id = kua__ids_find(wanted->known, text, n);
        if (id == KUA__NO_ID && !ex->unseen++) ex->unseen_line = row->line;
    } else {
        KUA__TRY(kua__ids_add(&ex->labels, text, n, &id));
        if (ex->labels.count > KUA_LABELS_MAX)
            return kua__fail(KUA_FORMAT, "%s:%zu: column '%s' has more than %d different labels",
                             kua__table_name(t), row->line, data->label, KUA_LABELS_MAX);
    }
    for (size_t i = ex->label_at[ex->n]; i < ex->n_labels; i++)
        if (ex->label[i] == id) return KUA_OK; /* "a,a" is one label */
    KUA__TRY(KUA__GROW(&ex->label, &ex->label_capacity, ex->n_labels, "labels"));
    ex->label[ex->n_labels++] = id;
    return KUA_OK;
}

static kua_status add_labels(kua__examples *ex, const kua__table *t, const kua_classify_data *data,
                             const kua__wanted *wanted, const kua__row *row, const kua__field *f)
{
    if (!data->separator) return add_label(ex, t, data, wanted, row, f->text, f->n);
    const char *at = f->text, *end = at ? at + f->n : NULL;
    size_t width = strlen(data->separator);
    while (at && at < end) { /* an empty field: a text without labels */
        const char *next = memmem(at, (size_t)(end - at), data->separator, width);
        size_t n = (size_t)((next ? next : end) - at);
        KUA__TRY(add_label(ex, t, data, wanted, row, at, n));
        at = next ? next + width : end;
    }
    return KUA_OK;
}

static int part_of(const kua__wanted *wanted, const kua__field *f)
{
    for (int i = 0; i < 2; i++)
        if (field_is(f, wanted->part[i])) return i;
    return -1;
}

static kua_status add_row(kua__examples *ex, const kua__table *t, const columns *c,
                          const kua_classify_data *data, const kua__wanted *wanted,
                          const kua__row *row)
{
    int part = c->has_split && wanted->part[0] ? part_of(wanted, &row->field[c->split]) : 0;
    if (part < 0) return KUA_OK;
    KUA__TRY(grow(ex));
    ex->row[ex->n] = (uint32_t)ex->file_rows;
    ex->part[ex->n] = (uint8_t)part;
    ex->text_at[ex->n] = ex->bytes.len;
    ex->label_at[ex->n] = (uint32_t)ex->n_labels;
    ex->group[ex->n] = (uint32_t)ex->n;
    if (c->has_text && row->field[c->text].text)
        kua__buf_add(&ex->bytes, row->field[c->text].text, row->field[c->text].n);
    if (c->has_group) {
        const kua__field *g = &row->field[c->group];
        KUA__TRY(kua__ids_add(&ex->groups, g->text ? g->text : "", g->n, &ex->group[ex->n]));
    }
    if (c->has_label) KUA__TRY(add_labels(ex, t, data, wanted, row, &row->field[c->label]));
    ex->n++;
    return kua__buf_status(&ex->bytes);
}

/* ---- the end ---- */

typedef struct named {
    const char *name;
    uint32_t id;
} named;

static int by_name(const void *a, const void *b)
{
    return strcmp(((const named *)a)->name, ((const named *)b)->name);
}

static kua_status renumber(kua__examples *ex, kua__ids *sorted, named *order, uint32_t *place)
{
    for (size_t i = 0; i < ex->labels.count; i++)
        order[i] = (named){ex->labels.name[i], (uint32_t)i};
    qsort(order, ex->labels.count, sizeof(*order), by_name);
    for (size_t i = 0; i < ex->labels.count; i++)
        KUA__TRY(kua__ids_add(sorted, order[i].name, strlen(order[i].name), &place[order[i].id]));
    for (size_t i = 0; i < ex->n_labels; i++)
        ex->label[i] = place[ex->label[i]];
    return KUA_OK;
}

static kua_status sort_labels(kua__examples *ex)
{
    named *order = NULL;
    uint32_t *place = NULL;
    kua__ids sorted;
    kua__ids_init(&sorted);
    kua_status st = KUA__NEW_ARRAY(&order, ex->labels.count, "labels");
    if (!st) st = KUA__NEW_ARRAY(&place, ex->labels.count, "labels");
    if (!st) st = renumber(ex, &sorted, order, place);
    if (!st) {
        kua__ids old = ex->labels;
        ex->labels = sorted;
        sorted = old;
    }
    kua__ids_release(&sorted);
    kua__free(order);
    kua__free(place);
    return st;
}

static kua_status point_texts(kua__examples *ex)
{
    KUA__TRY(KUA__NEW_ARRAY(&ex->text, ex->n, "texts"));
    ex->text_at[ex->n] = ex->bytes.len;
    ex->label_at[ex->n] = (uint32_t)ex->n_labels;
    for (size_t i = 0; i < ex->n; i++)
        ex->text[i] = (kua_text){ex->bytes.data ? ex->bytes.data + ex->text_at[i] : NULL,
                                 ex->text_at[i + 1] - ex->text_at[i]};
    return KUA_OK;
}

kua_status kua__examples_of(kua__examples *ex, kua__table *table, const kua_classify_data *data,
                            const kua__wanted *wanted)
{
    assert(ex && table && data && wanted && (!wanted->labels || data->label));
    assert(!data->separator || *data->separator);
    *ex = (kua__examples){0};
    kua__ids_init(&ex->labels);
    kua__ids_init(&ex->groups);
    columns c = {0};
    kua__row row;
    KUA__TRY(find_columns(table, data, wanted, &c));
    for (;;) {
        KUA__TRY(kua__table_next(table, &row));
        if (!row.line) break;
        if (row.bad)
            return kua__fail(KUA_FORMAT, "%s:%zu: %s", kua__table_name(table), row.line, row.bad);
        if (ex->file_rows == ROWS_MAX)
            return kua__fail(KUA_FORMAT, "%s: more than %d rows", kua__table_name(table), ROWS_MAX);
        KUA__TRY(add_row(ex, table, &c, data, wanted, &row));
        ex->file_rows++;
    }
    KUA__TRY(grow(ex)); /* the arrays of ends have one more */
    KUA__TRY(point_texts(ex));
    return wanted->known ? KUA_OK : sort_labels(ex); /* known: in its order */
}

kua_status kua__examples_read(kua__examples *ex, const kua_classify_data *data,
                              const kua__wanted *wanted)
{
    assert(ex && data && data->path && wanted);
    *ex = (kua__examples){0};
    kua__table_format format;
    kua__table *table = NULL;
    KUA__TRY(kua__table_format_of(data->path, &format));
    KUA__TRY(kua__table_open(data->path, format, &table));
    kua_status st = kua__examples_of(ex, table, data, wanted);
    kua__table_close(table);
    if (!st && !ex->n && data->split && wanted->part[0])
        return kua__fail(KUA_FORMAT, "%s: no row has '%s' in column '%s' (%zu rows)", data->path,
                         wanted->part[0], data->split, ex->file_rows);
    if (!st && !ex->n) return kua__fail(KUA_FORMAT, "%s: there are no rows", data->path);
    return st;
}

void kua__examples_release(kua__examples *ex)
{
    kua__free(ex->text);
    kua__free(ex->row);
    kua__free(ex->group);
    kua__free(ex->part);
    kua__free(ex->label);
    kua__free(ex->label_at);
    kua__free(ex->text_at);
    kua__buf_release(&ex->bytes);
    kua__ids_release(&ex->labels);
    kua__ids_release(&ex->groups);
    *ex = (kua__examples){0};
}

/* ---- vectors ---- */

enum { FILES_MAX = 8 };

typedef struct files {
    kua__safetensors *file[FILES_MAX];
    const kua__tensor *tensor[FILES_MAX];
    size_t n;
} files;

static kua_status open_one(files *f, const char *path, size_t n, size_t rows)
{
    if (f->n == FILES_MAX) return kua__fail(KUA_INVALID, "vectors: more than %d files", FILES_MAX);
    char *copy = kua__strndup(path, n);
    if (!copy) return kua__fail_nomem(n, "a path");
    kua_status st = kua__safetensors_open(copy, &f->file[f->n]);
    if (!st) {
        const kua__tensor *t = kua__safetensors_find(f->file[f->n], "vectors");
        if (!t)
            st = kua__fail(KUA_FORMAT, "%s: there is no tensor 'vectors'", copy);
        else if (t->rank != 2 || t->dim[0] != rows)
            st = kua__fail(KUA_SHAPE, "%s: 'vectors' has %zu rows, the table has %zu", copy,
                           t->rank ? t->dim[0] : 0, rows);
        else
            f->tensor[f->n++] = t;
    }
    kua__free(copy);
    return st;
}

static kua_status open_all(files *f, const char *paths, size_t rows, size_t *dim)
{
    *dim = 0;
    for (const char *at = paths; at;) {
        size_t n = strcspn(at, ",");
        KUA__TRY(open_one(f, at, n, rows));
        assert(f->n && f->tensor[f->n - 1]);
        *dim += f->tensor[f->n - 1]->dim[1];
        at = at[n] ? at + n + 1 : NULL;
    }
    return *dim ? KUA_OK : kua__fail(KUA_SHAPE, "%s: vectors have no columns", paths);
}

/* To length 1; false where a number is not finite. */
static bool unit(float *x, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)x[i] * x[i];
    if (!isfinite(sum)) return false;
    float factor = sum > 0 ? (float)(1 / sqrt(sum)) : 0;
    for (size_t i = 0; i < n; i++)
        x[i] *= factor;
    return true;
}

static kua_status copy_rows(const files *f, const kua__examples *ex, float *rows, size_t dim)
{
    for (size_t i = 0; i < ex->n; i++) {
        float *out = rows + i * dim;
        for (size_t k = 0; k < f->n; k++) {
            size_t n = f->tensor[k]->dim[1];
            kua__tensor_to_f32(f->tensor[k], ex->row[i] * n, n, out);
            if (!unit(out, n))
                return kua__fail(KUA_FORMAT, "%s: row %u is not finite",
                                 kua__safetensors_path(f->file[k]), ex->row[i]);
            out += n;
        }
    }
    return KUA_OK;
}

kua_status kua__examples_vectors(const kua__examples *ex, const char *paths, float **rows,
                                 size_t *dim)
{
    assert(ex && paths && rows && dim);
    *rows = NULL;
    files f = {0};
    kua_status st = open_all(&f, paths, ex->file_rows, dim);
    if (!st) st = KUA__NEW_ARRAY(rows, ex->n * *dim, "vectors");
    if (!st) st = copy_rows(&f, ex, *rows, *dim);
    for (size_t i = 0; i < FILES_MAX; i++)
        kua__safetensors_close(f.file[i]);
    return st;
}
