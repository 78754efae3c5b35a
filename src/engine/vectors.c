/* vectors.c - item texts to vectors, once per distinct text, and back to a matrix per domain.
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
#include "engine/engine.h"

#include <assert.h>
#include <string.h>

#include "kua/encoder.h"
#include "tensor/safetensors.h"

static const char vectors_folder[] = "vectors", vectors_file[] = "text.safetensors";

static uint64_t text_hash(const char *text)
{
    return kua__hash64(text, strlen(text), 0x6b7561);
}

/* ---- hash to row: open addressing ---- */

typedef struct hash_rows {
    uint64_t *hash;
    uint32_t *row; /* row + 1; 0: empty */
    size_t mask;
} hash_rows;

static kua_status rows_init(hash_rows *t, size_t n)
{
    size_t slots = 64; /* a power of two, at most half full: a search ends at an empty one */
    while (slots < 2 * n)
        slots *= 2;
    t->mask = slots - 1;
    KUA__TRY(KUA__NEW_ARRAY(&t->hash, slots, "hashes of texts"));
    return KUA__NEW_ZEROED(&t->row, slots, "rows of texts");
}

/* The slot of a hash: its own, or the empty one where it belongs. */
static size_t rows_slot(const hash_rows *t, uint64_t hash)
{
    assert(t->row && t->hash);
    size_t i = hash & t->mask;
    while (t->row[i] && t->hash[i] != hash)
        i = (i + 1) & t->mask;
    return i;
}

static bool rows_add(hash_rows *t, uint64_t hash, uint32_t row)
{
    size_t i = rows_slot(t, hash);
    if (t->row[i]) return false;
    t->hash[i] = hash;
    t->row[i] = row + 1;
    return true;
}

static void rows_release(hash_rows *t)
{
    kua__free(t->hash);
    kua__free(t->row);
}

/* ---- the file ---- */

typedef struct vector_file {
    kua__safetensors *file; /* NULL: none yet */
    const kua__tensor *hash, *vectors;
    size_t n, dim;
    hash_rows rows;
} vector_file;

static uint64_t stored_hash(const vector_file *v, size_t i)
{
    assert(i < v->n);
    uint64_t hash; /* by memcpy: the mapping may be unaligned */
    memcpy(&hash, (const char *)v->hash->data + i * sizeof(hash), sizeof(hash));
    return hash;
}

static void vector_file_close(vector_file *v)
{
    kua__safetensors_close(v->file);
    rows_release(&v->rows);
    *v = (vector_file){0};
}

static kua_status vector_file_check(vector_file *v, const char *path)
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

/* model NULL: whatever the file holds; else a file of another model counts as none. */
static kua_status vector_file_open(const kua_workspace *ws, const char *model, vector_file *v)
{
    *v = (vector_file){0};
    char *path = kua__engine_path(ws, vectors_folder, vectors_file);
    if (!path) return kua__fail_nomem(0, "a path");
    kua_status st = KUA_OK;
    if (kua__exists(path)) {
        st = kua__safetensors_open(path, &v->file);
        if (!st) st = vector_file_check(v, path);
        const char *made_by = st ? NULL : kua__safetensors_meta(v->file, "model");
        if (!st && model && !(made_by && kua__streq(made_by, model))) vector_file_close(v);
        if (!st) st = rows_init(&v->rows, v->n);
        for (size_t i = 0; !st && i < v->n; i++)
            rows_add(&v->rows, stored_hash(v, i), (uint32_t)i);
    }
    kua__free(path);
    if (st) vector_file_close(v);
    return st;
}

kua_status kua__engine_vectors(kua_workspace *ws, const kua__shop *shop, uint32_t domain,
                               float **out, size_t *dim)
{
    assert(ws && shop && domain < shop->n_domains && out && dim);
    *out = NULL;
    *dim = 0;
    vector_file v;
    KUA__TRY(vector_file_open(ws, NULL, &v));
    const kua__domain *d = &shop->domains[domain];
    kua_status st = v.file ? KUA__NEW_ZEROED(out, d->n_items * v.dim, "item vectors") : KUA_OK;
    for (size_t i = 0; !st && v.file && i < d->n_items; i++) {
        const char *text = shop->items[d->first_item + i].text;
        uint32_t row = *text ? v.rows.row[rows_slot(&v.rows, text_hash(text))] : 0;
        if (row) kua__tensor_to_f32(v.vectors, (row - 1) * v.dim, v.dim, *out + i * v.dim);
    }
    if (!st) *dim = v.dim;
    vector_file_close(&v);
    return st;
}

/* ---- encoding ---- */

typedef struct fresh_texts {
    kua_text *text;
    uint64_t *hash;
    size_t n, distinct;
} fresh_texts;

/* Distinct texts of the shop that the file does not have. */
static kua_status find_fresh(const kua__shop *shop, const vector_file *v, fresh_texts *out)
{
    hash_rows seen = {0};
    KUA__TRY(KUA__NEW_ARRAY(&out->text, shop->n_items, "texts"));
    KUA__TRY(KUA__NEW_ARRAY(&out->hash, shop->n_items, "hashes of texts"));
    kua_status st = rows_init(&seen, shop->n_items);
    for (size_t i = 0; !st && i < shop->n_items; i++) {
        const char *text = shop->items[i].text;
        uint64_t hash = text_hash(text);
        if (!*text || !rows_add(&seen, hash, (uint32_t)i)) continue;
        out->distinct++;
        if (v->file && v->rows.row[rows_slot(&v->rows, hash)]) continue;
        out->text[out->n] = (kua_text){text, strlen(text)};
        out->hash[out->n++] = hash;
    }
    rows_release(&seen);
    return st;
}

/* The old rows are copied from the mapped file, which stays as it is until the new one is renamed
 * over it. */
static kua_status vector_file_write(const kua_workspace *ws, const char *model,
                                    const vector_file *old, const fresh_texts *fresh,
                                    const float *rows, size_t dim)
{
    char *folder = kua__path_join(ws->path, vectors_folder),
         *path = kua__engine_path(ws, vectors_folder, vectors_file);
    kua__st_writer *w = NULL;
    size_t n = old->n + fresh->n;
    kua_status st = folder && path ? kua__make_folders(folder) : kua__fail_nomem(0, "a path");
    if (!st) st = kua__st_writer_create(path, &w);
    if (!st) st = kua__st_writer_declare(w, "hash", KUA__I64, 1, &n);
    if (!st) st = kua__st_writer_declare(w, "vectors", KUA__F32, 2, (size_t[]){n, dim});
    if (!st) st = kua__st_writer_meta(w, "model", model);
    if (!st && old->n) st = kua__st_writer_write(w, old->hash->data, old->hash->bytes);
    if (!st) st = kua__st_writer_write(w, fresh->hash, fresh->n * sizeof(*fresh->hash));
    if (!st && old->n) st = kua__st_writer_write(w, old->vectors->data, old->vectors->bytes);
    if (!st) st = kua__st_writer_write(w, rows, fresh->n * dim * sizeof(*rows));
    if (!st) st = kua__st_writer_commit(w);
    kua__st_writer_free(w);
    kua__free(folder);
    kua__free(path);
    return st;
}

static kua_status encode_report(const char *model, size_t dim, size_t texts, size_t encoded,
                                uint64_t tokens, double seconds, char **report)
{
    return kua__engine_report(
        json_pack("{s:s, s:I, s:I, s:I, s:f, s:f, s:f, s:I}", "model", model, "dim",
                  (json_int_t)dim, "texts", (json_int_t)texts, "encoded", (json_int_t)encoded,
                  "seconds", seconds, "texts_per_second",
                  seconds > 0 ? (double)encoded / seconds : 0, "tokens_per_second",
                  seconds > 0 ? (double)tokens / seconds : 0, "peak_bytes",
                  (json_int_t)kua__peak_rss_bytes()),
        report);
}

static kua_status load_encoder(const char *model, kua_encoder **out)
{
    char *folder = NULL;
    KUA__TRY(kua_model_folder(model, &folder));
    kua_status st = kua_encoder_load(folder, NULL, out);
    kua__free(folder);
    return st;
}

kua_status kua_encode(kua_workspace *ws, const char *model, char **report)
{
    assert(ws && model);
    if (report) *report = NULL;
    const kua__shop *shop = NULL;
    vector_file old = {0};
    fresh_texts fresh = {0};
    kua_encoder *encoder = NULL;
    kua_encoder_stats stats = {0};
    float *rows = NULL;
    kua_status st;
    KUA__GOTO(st, kua__engine_lock(ws));
    KUA__GOTO(st, kua__engine_shop(ws, &shop));
    KUA__GOTO(st, load_encoder(model, &encoder));
    KUA__GOTO(st, vector_file_open(ws, model, &old));
    KUA__GOTO(st, find_fresh(shop, &old, &fresh));
    size_t dim = kua_encoder_dim(encoder);
    double start = kua__seconds();
    if (fresh.n) {
        KUA__GOTO(st, KUA__NEW_ARRAY(&rows, fresh.n * dim, "vectors"));
        KUA__GOTO(st, kua_encoder_encode(encoder, fresh.text, fresh.n, ws->monitor, rows, &stats));
        KUA__GOTO(st, vector_file_write(ws, model, &old, &fresh, rows, dim));
    }
    st = encode_report(model, dim, fresh.distinct, fresh.n, stats.tokens, kua__seconds() - start,
                       report);
done:
    kua_encoder_free(encoder);
    vector_file_close(&old);
    kua__free(fresh.text);
    kua__free(fresh.hash);
    kua__free(rows);
    return st;
}

/* ---- a text file ---- */

static kua_status cut_lines(const kua__map *map, kua_text **out, size_t *n)
{
    size_t count = 0, at = 0;
    for (const char *p = map->data, *end = p + map->size; p < end; p++) {
        p = memchr(p, '\n', (size_t)(end - p));
        count++;
        if (!p) break;
    }
    KUA__TRY(KUA__NEW_ARRAY(out, count, "lines"));
    for (const char *p = map->data, *end = p + map->size; p < end;) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        size_t length = (size_t)((stop ? stop : end) - p);
        (*out)[at++] = (kua_text){p, length && p[length - 1] == '\r' ? length - 1 : length};
        p += length + 1;
    }
    *n = at;
    return KUA_OK;
}

static kua_status write_vectors(const char *path, const float *rows, size_t n, size_t dim)
{
    kua__st_writer *w = NULL;
    KUA__TRY(kua__st_writer_create(path, &w));
    kua_status st = kua__st_writer_declare(w, "vectors", KUA__F32, 2, (size_t[]){n, dim});
    if (!st) st = kua__st_writer_write(w, rows, n * dim * sizeof(*rows));
    if (!st) st = kua__st_writer_commit(w);
    kua__st_writer_free(w);
    return st;
}

kua_status kua_encode_file(const char *model, const char *text_file, const char *out_file,
                           const kua_monitor *monitor, char **report)
{
    assert(model && text_file && out_file);
    if (report) *report = NULL;
    kua__map map = {0};
    kua_encoder *encoder = NULL;
    kua_encoder_stats stats = {0};
    kua_text *lines = NULL;
    float *rows = NULL;
    size_t n = 0;
    kua_status st = kua__map_open(&map, text_file);
    if (st) return st;
    KUA__GOTO(st, load_encoder(model, &encoder));
    KUA__GOTO(st, cut_lines(&map, &lines, &n));
    size_t dim = kua_encoder_dim(encoder);
    KUA__GOTO(st, KUA__NEW_ARRAY(&rows, n * dim, "vectors"));
    double start = kua__seconds();
    KUA__GOTO(st, kua_encoder_encode(encoder, lines, n, monitor, rows, &stats));
    double seconds = kua__seconds() - start;
    KUA__GOTO(st, write_vectors(out_file, rows, n, dim));
    st = encode_report(model, dim, n, n, stats.tokens, seconds, report);
done:
    kua_encoder_free(encoder);
    kua__map_close(&map);
    kua__free(lines);
    kua__free(rows);
    return st;
}

/* ---- where models are ---- */

static char *cache_folder(void)
{
    const char *cache = getenv("KUA_CACHE"), *xdg = getenv("XDG_CACHE_HOME"),
               *home = getenv("HOME");
    if (cache && *cache) return kua__strdup(cache);
    if (xdg && *xdg) return kua__path_join(xdg, "kua");
    return kua__path_join(home && *home ? home : ".", ".cache/kua");
}

kua_status kua_model_folder(const char *model, char **folder)
{
    assert(model && folder);
    *folder = NULL;
    char *config = kua__path_join(model, "config.json");
    if (!config) return kua__fail_nomem(0, "a path");
    bool is_folder = kua__exists(config);
    kua__free(config);
    if (is_folder || strchr(model, '/')) {
        *folder = kua__strdup(model);
        return *folder ? KUA_OK : kua__fail_nomem(0, "a path");
    }
    char *cache = cache_folder(), *models = cache ? kua__path_join(cache, "models") : NULL;
    *folder = models ? kua__path_join(models, model) : NULL;
    kua__free(cache);
    kua__free(models);
    if (!*folder) return kua__fail_nomem(0, "a path");
    if (kua__exists(*folder)) return KUA_OK;
    kua_status st = kua__fail(KUA_NOTFOUND,
                              "model '%s': neither a folder with config.json nor in the model "
                              "cache (%s); tools/fetch model gets minilm-l6",
                              model, *folder);
    kua__free(*folder);
    *folder = NULL;
    return st;
}
