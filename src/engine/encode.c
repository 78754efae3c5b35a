/* encode.c - texts to vectors: those of a workspace that have none yet, or the lines of a file.
 *
 * Texts are tokenised at once and encoded in portions, so that what is done can be kept: a canceled
 * or killed run of a large catalogue goes on where it was.
 *
 *     items' texts --hash--> in the file?  yes: its row      no, and first of its kind: encode
 */
#include <assert.h>
#include <string.h>

#include "engine/vectors.h"
#include "kua/encoder.h"

typedef struct fresh_texts {
    kua_text *text;
    uint64_t *hash;
    size_t n, distinct;
} fresh_texts;

/* Distinct texts of the shop that the file does not have. */
static kua_status find_fresh(const kua__shop *shop, const kua__vector_file *v, fresh_texts *out)
{
    kua__hash_rows seen = {0};
    KUA__TRY(KUA__NEW_ARRAY(&out->text, shop->n_items, "texts"));
    KUA__TRY(KUA__NEW_ARRAY(&out->hash, shop->n_items, "hashes of texts"));
    kua_status st = kua__hash_rows_init(&seen, shop->n_items);
    for (size_t i = 0; !st && i < shop->n_items; i++) {
        const char *text = shop->items[i].text;
        uint64_t hash = kua__text_hash(text);
        if (!*text || !kua__hash_rows_add(&seen, hash, (uint32_t)i)) continue;
        out->distinct++;
        if (v->file && kua__hash_rows_find(&v->rows, hash)) continue;
        out->text[out->n] = (kua_text){text, strlen(text)};
        out->hash[out->n++] = hash;
    }
    kua__hash_rows_release(&seen);
    return st;
}

static const char *const precision_names[] = {"f32", "bf16", "int8"};

static kua_status encode_report(const char *model, kua_precision precision, size_t dim,
                                size_t texts, size_t encoded, uint64_t tokens, double seconds,
                                char **report)
{
    return kua__engine_report(
        json_pack("{s:s, s:s, s:I, s:I, s:I, s:f, s:f, s:f, s:I}", "model", model, "precision",
                  precision_names[precision], "dim", (json_int_t)dim, "texts", (json_int_t)texts,
                  "encoded", (json_int_t)encoded, "seconds", seconds, "texts_per_second",
                  seconds > 0 ? (double)encoded / seconds : 0, "tokens_per_second",
                  seconds > 0 ? (double)tokens / seconds : 0, "peak_bytes",
                  (json_int_t)kua__peak_rss_bytes()),
        report);
}

static kua_status load_encoder(const char *model, kua_precision precision, kua_encoder **out)
{
    char *folder = NULL;
    kua_encoder_options options = {.precision = precision};
    KUA__TRY(kua_model_folder(model, &folder));
    kua_status st = kua_encoder_load(folder, &options, out);
    kua__free(folder);
    return st;
}

/* ---- portions ---- */

enum { PORTION = 8192, SAVE_SECONDS = 120 };

/* Many texts, encoded a portion at a time: one stage to whoever watches. */
typedef struct run {
    kua_encoder *encoder;
    kua_id_batch ids;
    size_t texts, done; /* done: of the texts */
    float *rows;        /* [texts, dim] */
    kua_encoder_stats stats;
    kua_monitor outer, inner;
} run;

/* Tokens of a portion, as tokens of all: what earlier portions had counts as done. */
static bool tell(void *user, const char *stage, uint64_t done, uint64_t total)
{
    const run *r = user;
    const size_t *offset = r->ids.offset;
    size_t next = KUA__MIN(r->done + PORTION, r->texts), all = offset[r->texts];
    double share = total ? (double)done / (double)total : 1;
    double at = (double)offset[r->done] + share * (double)(offset[next] - offset[r->done]);
    bool last = next == r->texts && done == total;
    return r->outer.progress(r->outer.user, stage, last ? all : KUA__MIN((uint64_t)at, all - 1),
                             all);
}

/* Equal texts cost nothing within a portion only: give distinct ones. */
static kua_status run_begin(run *r, kua_encoder *encoder, const kua_text *texts, size_t n,
                            const kua_monitor *monitor)
{
    kua_encoder_info info = kua_encoder_describe(encoder);
    *r = (run){.encoder = encoder, .texts = n};
    if (monitor) r->outer = *monitor;
    r->inner = (kua_monitor){r->outer.progress ? tell : NULL, NULL, r};
    KUA__TRY(KUA__NEW_ARRAY(&r->rows, n * info.dim, "vectors"));
    return kua_tokenizer_encode_batch(kua_encoder_tokenizer(encoder), texts, n, info.max_tokens,
                                      &r->ids);
}

static void run_release(run *r)
{
    kua_id_batch_release(&r->ids);
    kua__free(r->rows);
}

static kua_status run_portion(run *r)
{
    assert(r->done < r->texts);
    size_t n = KUA__MIN((size_t)PORTION, r->texts - r->done), dim = kua_encoder_dim(r->encoder);
    kua_id_batch part = {r->ids.ids, r->ids.offset + r->done, n, 0};
    kua_encoder_stats stats;
    KUA__TRY(kua_encoder_encode_ids(r->encoder, &part, &r->inner, r->rows + r->done * dim, &stats));
    r->done += n;
    r->stats.texts += stats.texts;
    r->stats.distinct += stats.distinct;
    r->stats.tokens += stats.tokens;
    return KUA_OK;
}

/* ---- the shop's texts ---- */

/* What is encoded is kept: at the end, when the caller cancels, and now and then, so that a killed
 * run loses two minutes at most. Writing copies the whole file, hence not after each portion. */
static kua_status encode_fresh(kua_workspace *ws, const char *model, const kua__vector_file *old,
                               const fresh_texts *fresh, run *r)
{
    size_t dim = kua_encoder_dim(r->encoder), saved = 0;
    double last = kua__seconds();
    kua_status st = KUA_OK;
    while (!st && r->done < r->texts) {
        st = run_portion(r);
        bool now = r->done == r->texts || st || kua__seconds() - last > SAVE_SECONDS;
        if (!now || r->done == saved) continue;
        kua__failure failure = {0};
        if (st) kua__failure_keep(&failure, st, 0); /* writing may leave another message */
        kua_status wrote =
            kua__vector_file_write(ws, model, old, fresh->hash, r->rows, r->done, dim);
        saved = r->done;
        last = kua__seconds();
        st = st ? kua__failure_first(&failure, 1) : wrote;
    }
    return st;
}

/* What a workspace's vectors are said to be made by: vectors of one precision do not mix with those
 * of another. */
static kua_status maker_of(const char *model, kua_precision precision, char **out)
{
    kua__buf name = {0};
    kua__buf_printf(&name, "%s%s%s", model, precision ? ", " : "",
                    precision ? precision_names[precision] : "");
    kua_status st = kua__buf_status(&name);
    if (st)
        kua__buf_release(&name);
    else
        *out = name.data;
    return st;
}

kua_status kua_encode(kua_workspace *ws, const char *model, kua_precision precision, char **report)
{
    assert(ws && model);
    if (report) *report = NULL;
    const kua__shop *shop = NULL;
    kua__vector_file old = {0};
    fresh_texts fresh = {0};
    kua_encoder *encoder = NULL;
    char *maker = NULL;
    run r = {0};
    kua_status st;
    KUA__GOTO(st, kua__engine_lock(ws));
    KUA__GOTO(st, kua__engine_shop(ws, &shop));
    KUA__GOTO(st, load_encoder(model, precision, &encoder));
    KUA__GOTO(st, maker_of(model, precision, &maker));
    KUA__GOTO(st, kua__vector_file_open(ws, maker, &old));
    size_t dim = kua_encoder_dim(encoder);
    if (old.file && old.dim != dim) kua__vector_file_close(&old); /* another model of that name */
    KUA__GOTO(st, find_fresh(shop, &old, &fresh));
    double start = kua__seconds();
    KUA__GOTO(st, run_begin(&r, encoder, fresh.text, fresh.n, ws->monitor));
    KUA__GOTO(st, encode_fresh(ws, maker, &old, &fresh, &r));
    st = encode_report(model, precision, dim, fresh.distinct, fresh.n, r.stats.tokens,
                       kua__seconds() - start, report);
done:
    kua_encoder_free(encoder);
    kua__vector_file_close(&old);
    kua__free(fresh.text);
    kua__free(fresh.hash);
    kua__free(maker);
    run_release(&r);
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

kua_status kua_encode_file(const char *model, kua_precision precision, const char *text_file,
                           const char *out_file, const kua_monitor *monitor, char **report)
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
    KUA__GOTO(st, load_encoder(model, precision, &encoder));
    KUA__GOTO(st, cut_lines(&map, &lines, &n));
    size_t dim = kua_encoder_dim(encoder);
    KUA__GOTO(st, KUA__NEW_ARRAY(&rows, n * dim, "vectors"));
    double start = kua__seconds();
    KUA__GOTO(st, kua_encoder_encode(encoder, lines, n, monitor, rows, &stats));
    double seconds = kua__seconds() - start;
    KUA__GOTO(st, write_vectors(out_file, rows, n, dim));
    st = encode_report(model, precision, dim, n, n, stats.tokens, seconds, report);
done:
    kua_encoder_free(encoder);
    kua__map_close(&map);
    kua__free(lines);
    kua__free(rows);
    return st;
}

kua_status kua_vocabulary_file(const char *text_file, const kua_tokenizer_training *training,
                               const char *folder, char **report)
{
    assert(text_file && training && folder);
    if (report) *report = NULL;
    kua__map map = {0};
    kua_text *lines = NULL;
    kua_tokenizer_trained trained = {0};
    size_t n = 0;
    double start = kua__seconds();
    kua_status st = kua__map_open(&map, text_file);
    if (st) return st;
    KUA__GOTO(st, cut_lines(&map, &lines, &n));
    KUA__GOTO(st, kua_tokenizer_train(lines, n, training, folder, &trained));
    st = kua__engine_report(
        json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:f, s:s}", "kind",
                  kua_tokenizer_kind_name(training->kind), "vocab_size",
                  (json_int_t)trained.vocab_size, "merges", (json_int_t)trained.merges, "words",
                  (json_int_t)trained.words, "forgotten", (json_int_t)trained.forgotten, "lines",
                  (json_int_t)n, "seconds", kua__seconds() - start, "out", folder),
        report);
done:
    kua__map_close(&map);
    kua__free(lines);
    return st;
}
