/* vectors.c - the vectors of the shop's texts: the file, and back to a matrix per domain.
 *
 *     vectors/text.safetensors
 *         "hash"     [n] I64        of each distinct text
 *         "vectors"  [n, dim] F32
 *         meta "model"
 *
 * Keyed by the text's hash, so that a later import leaves what is encoded valid and only new texts
 * cost anything. The file is written whole; another model starts it anew.
 *
 * Texts are told apart by 64 bits of hash alone: among n texts two are alike with a chance of about
 * n^2 / 2^65, which for a million is 3 in 10^8, and would give an item another one's vector.
 *
 *     items' texts --hash--> in the file?  yes: its row      no, and first of its kind: encode
 */
#include "engine/vectors.h"

#include <assert.h>
#include <string.h>

static const char vectors_folder[] = "vectors", vectors_file[] = "text.safetensors";

uint64_t kua__text_hash(const char *text)
{
    return kua__hash64(text, strlen(text), 0x6b7561);
}

/* ---- hash to row: open addressing ---- */

kua_status kua__hash_rows_init(kua__hash_rows *t, size_t n)
{
    size_t slots = 64; /* a power of two, at most half full: a search ends at an empty one */
    while (slots < 2 * n)
        slots *= 2;
    t->mask = slots - 1;
    KUA__TRY(KUA__NEW_ARRAY(&t->hash, slots, "hashes of texts"));
    return KUA__NEW_ZEROED(&t->row, slots, "rows of texts");
}

/* The slot of a hash: its own, or the empty one where it belongs. */
static size_t rows_slot(const kua__hash_rows *t, uint64_t hash)
{
    assert(t->row && t->hash);
    size_t i = hash & t->mask;
    while (t->row[i] && t->hash[i] != hash)
        i = (i + 1) & t->mask;
    return i;
}

bool kua__hash_rows_add(kua__hash_rows *t, uint64_t hash, uint32_t row)
{
    size_t i = rows_slot(t, hash);
    if (t->row[i]) return false;
    t->hash[i] = hash;
    t->row[i] = row + 1;
    return true;
}

uint32_t kua__hash_rows_find(const kua__hash_rows *t, uint64_t hash)
{
    return t->row[rows_slot(t, hash)];
}

void kua__hash_rows_release(kua__hash_rows *t)
{
    kua__free(t->hash);
    kua__free(t->row);
}

/* ---- the file ---- */

static uint64_t stored_hash(const kua__vector_file *v, size_t i)
{
    assert(i < v->n);
    uint64_t hash; /* by memcpy: the mapping may be unaligned */
    memcpy(&hash, (const char *)v->hash->data + i * sizeof(hash), sizeof(hash));
    return hash;
}

void kua__vector_file_close(kua__vector_file *v)
{
    kua__safetensors_close(v->file);
    kua__hash_rows_release(&v->rows);
    *v = (kua__vector_file){0};
}

static kua_status vector_file_check(kua__vector_file *v, const char *path)
{
    v->hash = kua__safetensors_find(v->file, "hash");
    v->vectors = kua__safetensors_find(v->file, "vectors");
    bool good = v->hash && v->vectors && v->hash->dtype == KUA__I64 && v->hash->rank == 1 &&
                v->vectors->dtype == KUA__F32 && v->vectors->rank == 2 &&
                v->hash->dim[0] == v->vectors->dim[0];
    if (!good)
        return kua__fail(KUA_FORMAT, "%s: expected \"hash\" [n] I64 and \"vectors\" [n, dim] F32",
                         path);
    v->n = v->vectors->dim[0];
    v->dim = v->vectors->dim[1];
    return KUA_OK;
}

kua_status kua__vector_file_open(const kua_workspace *ws, const char *model, kua__vector_file *v)
{
    *v = (kua__vector_file){0};
    char *path = kua__engine_path(ws, vectors_folder, vectors_file);
    if (!path) return kua__fail_nomem(0, "a path");
    kua_status st = KUA_OK;
    if (kua__exists(path)) {
        st = kua__safetensors_open(path, &v->file);
        if (!st) st = vector_file_check(v, path);
        const char *made_by = st ? NULL : kua__safetensors_meta(v->file, "model");
        if (!st && model && !(made_by && kua__streq(made_by, model))) kua__vector_file_close(v);
        if (!st) st = kua__hash_rows_init(&v->rows, v->n);
        for (size_t i = 0; !st && i < v->n; i++)
            kua__hash_rows_add(&v->rows, stored_hash(v, i), (uint32_t)i);
    }
    kua__free(path);
    if (st) kua__vector_file_close(v);
    return st;
}

/* The old rows are copied from the mapped file, which stays as it is until the new one is renamed
 * over it. */
kua_status kua__vector_file_write(const kua_workspace *ws, const char *model,
                                  const kua__vector_file *old, const uint64_t *hash,
                                  const float *rows, size_t fresh, size_t dim)
{
    char *folder = kua__path_join(ws->path, vectors_folder),
         *path = kua__engine_path(ws, vectors_folder, vectors_file);
    kua__st_writer *w = NULL;
    size_t n = old->n + fresh;
    kua_status st = folder && path ? kua__make_folders(folder) : kua__fail_nomem(0, "a path");
    if (!st) st = kua__st_writer_create(path, &w);
    if (!st) st = kua__st_writer_declare(w, "hash", KUA__I64, 1, &n);
    if (!st) st = kua__st_writer_declare(w, "vectors", KUA__F32, 2, (size_t[]){n, dim});
    if (!st) st = kua__st_writer_meta(w, "model", model);
    if (!st && old->n) st = kua__st_writer_write(w, old->hash->data, old->hash->bytes);
    if (!st) st = kua__st_writer_write(w, hash, fresh * sizeof(*hash));
    if (!st && old->n) st = kua__st_writer_write(w, old->vectors->data, old->vectors->bytes);
    if (!st) st = kua__st_writer_write(w, rows, fresh * dim * sizeof(*rows));
    if (!st) st = kua__st_writer_commit(w);
    kua__st_writer_free(w);
    kua__free(folder);
    kua__free(path);
    return st;
}

kua_status kua__engine_vectors(kua_workspace *ws, const kua__shop *shop, uint32_t domain,
                               float **out, size_t *dim)
{
    assert(ws && shop && domain < shop->n_domains && out && dim);
    *out = NULL;
    *dim = 0;
    kua__vector_file v;
    KUA__TRY(kua__vector_file_open(ws, NULL, &v));
    const kua__domain *d = &shop->domains[domain];
    kua_status st = v.file ? KUA__NEW_ZEROED(out, d->n_items * v.dim, "item vectors") : KUA_OK;
    for (size_t i = 0; !st && v.file && i < d->n_items; i++) {
        const char *text = shop->items[d->first_item + i].text;
        uint32_t row = *text ? kua__hash_rows_find(&v.rows, kua__text_hash(text)) : 0;
        if (row) kua__tensor_to_f32(v.vectors, (row - 1) * v.dim, v.dim, *out + i * v.dim);
    }
    if (!st) *dim = v.dim;
    kua__vector_file_close(&v);
    return st;
}
