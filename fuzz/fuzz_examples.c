/* fuzz/fuzz_examples.c - a table of texts and labels, and the terms of the texts: the first byte
 * tells whether a text has many labels. Refused with a message, or labels that are all known.
 */
#include <stdlib.h>
#include <string.h>

#include "app/examples.h"
#include "app/tfidf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds) abort();
}

static kua_status count_term(void *ctx, const char *term, size_t n)
{
    require(term[0] == 'w' || term[0] == 'p' || term[0] == 'c');
    require(n >= 2);
    ++*(size_t *)ctx;
    return KUA_OK;
}

static void require_whole(const kua__examples *ex)
{
    for (size_t i = 0; i < ex->n; i++) {
        size_t terms = 0;
        require(ex->label_at[i] <= ex->label_at[i + 1] && ex->row[i] < ex->file_rows);
        require(kua__text_terms(ex->text[i].data, ex->text[i].n, count_term, &terms) == KUA_OK);
        require(terms <= 20 * ex->text[i].n);
    }
    for (size_t k = 0; k < ex->label_at[ex->n]; k++)
        require(ex->label[k] < ex->labels.count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) return 0;
    long live = kua__alloc_live();
    kua_classify_data d = {.text = "t", .label = "l", .separator = data[0] % 2 ? "," : NULL};
    kua__examples ex = {0};
    kua__table *t = NULL;
    kua_status st = kua__table_open_memory("fuzz", data + 1, size - 1, KUA__TABLE_TSV, &t);
    if (!st) st = kua__examples_of(&ex, t, &d, &(kua__wanted){.labels = true});
    require(st == KUA_OK || (st == KUA_FORMAT && strlen(kua_error_message()) > 0));
    if (!st) require_whole(&ex);
    kua__examples_release(&ex);
    kua__table_close(t);
    require(kua__alloc_live() == live);
    return 0;
}
