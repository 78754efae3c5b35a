/* app/examples.h - a table's rows as texts with labels, groups and parts.
 *
 * Everything that a row says wrongly is an error with file, line, column and value: a classifier
 * that was trained on half of a file would be worse than none.
 */
#ifndef KUA_APP_EXAMPLES_H
#define KUA_APP_EXAMPLES_H

#include "base/base.h"
#include "data/table.h"
#include "kua/classify.h"

typedef struct kua__examples {
    size_t n, file_rows; /* file_rows: all rows of the table, of which n belong to wanted parts */
    kua_text *text;      /* [n] */
    uint32_t *row;       /* [n] place in the table, from 0 */
    uint32_t *group;     /* [n] */
    uint8_t *part;       /* [n] index into the wanted parts */
    uint32_t *label;     /* labels of text i: label[label_at[i]] .. label[label_at[i + 1] - 1] */
    uint32_t *label_at;  /* [n + 1] */
    kua__ids labels;     /* sorted by bytes */
    size_t unseen;       /* labels (of eval) that are not known: KUA__NO_ID */
    size_t unseen_line;  /* of the first */
    /* while reading */
    kua__buf bytes;
    size_t *text_at, capacity, label_capacity, n_labels;
    kua__ids groups;
} kua__examples;

/* Which rows are wanted. */
typedef struct kua__wanted {
    const char *part[2];   /* values of the split column; unused: NULL */
    const kua__ids *known; /* labels that there are; NULL: those of the file */
    bool labels;           /* false: the label column is not read */
} kua__wanted;

/* *ex is to be released after a failure too. */
kua_status kua__examples_read(kua__examples *ex, const kua_classify_data *data,
                              const kua__wanted *wanted);
/* The same from an open table: for tests and fuzzing. */
kua_status kua__examples_of(kua__examples *ex, kua__table *table, const kua_classify_data *data,
                            const kua__wanted *wanted);
void kua__examples_release(kua__examples *ex);

/* Rows of `vectors` (kua_classify_data) for the examples, [n, *dim], each file's part of length 1.
 * *rows is owned: kua__free. */
kua_status kua__examples_vectors(const kua__examples *ex, const char *files, float **rows,
                                 size_t *dim);

#endif
