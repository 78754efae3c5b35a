/* fuzz/fuzz_tags.c - BIO files: refused with a message, or texts whose units and tags agree; and
 * the same bytes as a text to be tagged.
 */
#include <stdlib.h>
#include <string.h>

#include "app/tags.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds) abort();
}

static void require_whole(const kua__tagged *t)
{
    require(t->unit_at[0] == 0 && t->unit_at[t->n] <= t->n_units);
    for (size_t i = 0; i < t->n; i++)
        require(t->unit_at[i] <= t->unit_at[i + 1]);
    for (size_t u = 0; u < t->n_units; u++) {
        require(t->byte_at[u] < t->byte_at[u + 1] && t->byte_at[u + 1] <= t->bytes.len);
        require(t->tag[u] == 0 || (t->tag[u] - 1) / 2 < t->types.count);
    }
    kua__entity *e = malloc((t->n_units + 1) * sizeof(*e));
    size_t n = e ? kua__entities(t->tag, t->n_units, e) : 0;
    require(n <= t->n_units);
    free(e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    long live = kua__alloc_live();
    kua__tagged t;
    kua_status st = kua__tagged_parse(&t, "fuzz", (const char *)data, size, NULL);
    require(st == KUA_OK || (st == KUA_FORMAT && strlen(kua_error_message()) > 0));
    if (!st) require_whole(&t);
    kua__tagged_release(&t);
    for (int characters = 0; characters < 2; characters++) {
        kua_text text = {(const char *)data, size};
        kua__tagged_init(&t);
        require(kua__tagged_add_text(&t, &text, characters) == KUA_OK && t.n == 1);
        require(t.unit_at[1] == t.n_units && t.n_units <= size);
        kua__tagged_release(&t);
    }
    require(kua__alloc_live() == live);
    return 0;
}
