/* pipeline.c - BPE and Unigram: a text through all the stages of its tokenizer.
 *
 *     text      "Hello <mask>, world"
 *       repair            bytes that are not UTF-8 become U+FFFD; copied, with slack behind it
 *       added tokens      Hello | <mask> | , world      as the text came
 *       normalise         each section alone
 *       added tokens      those that are looked for in normalised text
 *       split             Hello | ,  | Ġworld           split.c
 *       model             ids                           bpe.c, unigram.c
 *
 * WordPiece does all this in one pass (tokenizer.c), for a table of characters is all its stages
 * need. Here stages differ from file to file, and words repeat: a cache of words (scratch.c) makes
 * up for the copies.
 *
 * Ids are collected in the scratch and copied to where they belong at the end: normalising may make
 * a text longer, so that its bytes bound nothing.
 */
#include "text/pipeline.h"

#include <assert.h>
#include <string.h>

#include "text/wordpiece.h"

enum { BATCH_GRAIN = 64, TEXT_BYTES_MAX = 1 << 30 };

kua_status kua__pipeline_make(kua_tokenizer_kind kind, kua__pipeline **out)
{
    assert(out && kind != KUA_TOKENIZER_WORDPIECE);
    KUA__TRY(KUA__NEW_ZEROED(out, 1, "a tokenizer"));
    (*out)->kind = kind;
    (*out)->bpe.unk = (*out)->unigram.unk = KUA_TOKEN_NONE;
    kua__pool_init(&(*out)->pool);
    return KUA_OK;
}

void kua__pipeline_free(kua__pipeline *p)
{
    if (!p) return;
    kua__normal_release(&p->normal);
    kua__splitter_release(&p->split);
    kua__bpe_release(&p->bpe);
    kua__unigram_release(&p->unigram);
    kua__pool_release(&p->pool);
    kua__free(p);
}

typedef struct working {
    const kua_tokenizer *tokenizer;
    kua__scratch *s;
} working;

static bool take_bpe(void *ctx, const uint8_t *word, size_t n)
{
    const working *w = ctx;
    return kua__bpe_word(&w->tokenizer->pipeline->bpe, &w->tokenizer->vocab, w->s, word, n);
}

static bool take_unigram(void *ctx, const uint8_t *word, size_t n)
{
    const working *w = ctx;
    return kua__unigram_word(&w->tokenizer->pipeline->unigram, &w->tokenizer->vocab, w->s, word, n);
}

/* Words of a part without added tokens. */
static bool encode_words(working *w, const char *text, size_t n, bool at_start)
{
    const kua__pipeline *p = w->tokenizer->pipeline;
    kua__word_fn take = p->kind == KUA_TOKENIZER_BPE ? take_bpe : take_unigram;
    if (kua__split(&p->split, w->s->room, (const uint8_t *)text, n, at_start, take, w)) return true;
    for (size_t i = 0; i < p->split.n; i++)
        w->s->failed |= w->s->room[i].failed;
    return false;
}

static bool add_slack(kua__buf *buf)
{
    static const char zeros[KUA__SLACK];
    kua__buf_add(buf, zeros, sizeof(zeros));
    if (buf->failed) return false;
    buf->len -= sizeof(zeros);
    return true;
}

/* Normalises; *text and *n become the result, which may not be the text's beginning any more. */
static bool normalise(working *w, const char **text, size_t *n, bool *at_start)
{
    const kua__normal *normal = &w->tokenizer->pipeline->normal;
    if (normal->n == 0) return true;
    kua__buf *last = &w->s->normal[(normal->n - 1) % 2];
    bool moved;
    if (!kua__normal_apply(normal, w->s->normal, *text, *n, n, &moved) || !add_slack(last)) {
        w->s->failed = true;
        return false;
    }
    *text = last->data;
    *at_start &= !moved;
    return true;
}

/* A part of the text between two raw added tokens. */
static bool encode_section(working *w, const char *text, size_t n, bool at_start)
{
    if (n == 0) return true;
    if (!normalise(w, &text, &n, &at_start)) return false;
    kua__added_walk walk = {&w->tokenizer->normalised, text, n, 0, 0};
    kua__added_match match;
    for (size_t from = 0; kua__added_step(&walk, &match); from = walk.done) {
        if (!encode_words(w, text + from, match.start - from, at_start && from == 0)) return false;
        if (!kua__scratch_put(w->s, match.id)) return false;
    }
    return encode_words(w, text + walk.done, n - walk.done, at_start && walk.done == 0);
}

/* The text as UTF-8 with slack behind it, in s->text. */
static bool repair(kua__scratch *s, const char *text, size_t n)
{
    kua__buf_clear(&s->text);
    while (n) {
        size_t good = kua__utf8_valid(text, n), length = 0;
        kua__buf_add(&s->text, text, good);
        text += good;
        n -= good;
        if (n == 0) break;
        kua__utf8_decode((const uint8_t *)text, n, &length);
        kua__buf_puts(&s->text, "\xef\xbf\xbd");
        text += length;
        n -= length;
    }
    if (add_slack(&s->text)) return true;
    s->failed = true;
    return false;
}

static kua_status check_size(size_t n)
{
    if (n <= TEXT_BYTES_MAX) return KUA_OK;
    return kua__fail(KUA_INVALID, "tokenizer: a text has %zu bytes, at most %d are allowed", n,
                     TEXT_BYTES_MAX);
}

kua_status kua__pipeline_encode(const kua_tokenizer *t, kua__scratch *s, const char *text, size_t n,
                                size_t limit)
{
    assert(t && t->pipeline && s && (text || n == 0));
    working w = {t, s};
    s->n = 0;
    s->limit = limit;
    if (limit == 0 || n == 0) return KUA_OK;
    KUA__TRY(check_size(n));
    bool more = repair(s, text, n);
    const char *data = s->text.data;
    kua__added_walk walk = {&t->raw, data, s->text.len, 0, 0};
    kua__added_match match;
    for (size_t from = 0; more && kua__added_step(&walk, &match); from = walk.done) {
        more = encode_section(&w, data + from, match.start - from, from == 0) &&
               kua__scratch_put(s, match.id);
    }
    if (more) encode_section(&w, data + walk.done, s->text.len - walk.done, walk.done == 0);
    return s->failed ? kua__fail_nomem(n, "the ids of a text") : KUA_OK;
}

static kua_status grow_ids(kua_ids *ids, size_t more)
{
    size_t room = ids->n + more;
    if (room <= ids->room) return KUA_OK;
    room = KUA__MAX(room, ids->room + ids->room / 2);
    uint32_t *id = kua__realloc_array(ids->id, room, sizeof(*id));
    if (!id) return kua__fail_nomem(room * sizeof(*id), "token ids");
    ids->id = id;
    ids->room = room;
    return KUA_OK;
}

/* Appends a text's ids, those around it included. */
static kua_status append(const kua_tokenizer *t, kua__scratch *s, const char *text, size_t n,
                         size_t limit, kua_ids *ids)
{
    const kua__around *around = &t->around;
    size_t special = around->n_before + around->n_behind;
    KUA__TRY(kua__pipeline_encode(t, s, text, n, limit ? limit - special : SIZE_MAX));
    KUA__TRY(grow_ids(ids, s->n + special + !(s->n + special)));
    uint32_t *to = ids->id + ids->n;
    memcpy(to, around->before, around->n_before * sizeof(*to));
    if (s->n) memcpy(to + around->n_before, s->id, s->n * sizeof(*to));
    memcpy(to + around->n_before + s->n, around->behind, around->n_behind * sizeof(*to));
    ids->n += s->n + special;
    return KUA_OK;
}

kua_status kua__pipeline_encode_one(const kua_tokenizer *t, const char *text, size_t n,
                                    size_t limit, kua_ids *ids)
{
    assert(t && t->pipeline && ids && ids->n == 0);
    kua__scratch *s = kua__pool_take(&t->pipeline->pool);
    if (!s) return kua__fail_nomem(sizeof(*s), "a tokenizer's working memory");
    kua_status st = append(t, s, text, n, limit, ids);
    kua__pool_give(&t->pipeline->pool, s);
    if (st) ids->n = 0;
    return st;
}

/* ---- batches ---- */

typedef struct batch_work {
    const kua_tokenizer *tokenizer;
    const kua_text *texts;
    size_t limit;
    size_t *made;       /* [n] ids of each text */
    kua_ids *part;      /* [parts] of BATCH_GRAIN texts each */
    kua_status *status; /* [parts] */
} batch_work;

static void encode_part(void *ctx, int thread, size_t first, size_t last)
{
    (void)thread;
    const batch_work *work = ctx;
    const kua_tokenizer *t = work->tokenizer;
    kua__scratch *s = kua__pool_take(&t->pipeline->pool);
    for (size_t i = first; i < last; i++) {
        kua_ids *part = &work->part[i / BATCH_GRAIN];
        kua_status *status = &work->status[i / BATCH_GRAIN];
        size_t before = part->n;
        if (!s) *status = KUA_NOMEM;
        if (*status) continue;
        *status = append(t, s, work->texts[i].data ? work->texts[i].data : "", work->texts[i].n,
                         work->limit, part);
        work->made[i] = part->n - before;
    }
    if (s) kua__pool_give(&t->pipeline->pool, s);
}

/* Puts the parts one behind the other. */
static kua_status join(const batch_work *work, size_t parts, kua_id_batch *batch)
{
    size_t all = 0, at = 0;
    for (size_t i = 0; i < parts; i++)
        all += work->part[i].n;
    batch->ids.n = 0;
    KUA__TRY(grow_ids(&batch->ids, all + 1));
    for (size_t i = 0; i < parts; i++) {
        if (work->part[i].n)
            memcpy(batch->ids.id + at, work->part[i].id, work->part[i].n * sizeof(uint32_t));
        at += work->part[i].n;
    }
    batch->ids.n = all;
    return KUA_OK;
}

static kua_status reserve_offsets(kua_id_batch *batch, size_t n)
{
    if (n + 1 <= batch->room) return KUA_OK;
    size_t *offset = kua__realloc_array(batch->offset, n + 1, sizeof(*offset));
    if (!offset)
        return kua__fail_nomem((n + 1) * sizeof(*offset), "the offsets of a batch of texts");
    batch->offset = offset;
    batch->room = n + 1;
    return KUA_OK;
}

static kua_status run_batch(batch_work *work, size_t parts, size_t n, kua_id_batch *batch)
{
    KUA__TRY(KUA__NEW_ZEROED(&work->part, parts, "a batch of texts"));
    KUA__TRY(KUA__NEW_ZEROED(&work->status, parts, "a batch of texts"));
    KUA__TRY(reserve_offsets(batch, n));
    work->made = batch->offset + 1;
    for (size_t i = 0; i < n; i++)
        KUA__TRY(check_size(work->texts[i].n));
    kua__parallel_chunks(n, BATCH_GRAIN, encode_part, work);
    for (size_t i = 0; i < parts; i++) {
        if (work->status[i])
            return kua__fail(work->status[i], "out of memory: the ids of %zu texts", n);
    }
    batch->offset[0] = 0;
    for (size_t i = 0; i < n; i++)
        batch->offset[i + 1] += batch->offset[i];
    return join(work, parts, batch);
}

kua_status kua__pipeline_encode_batch(const kua_tokenizer *t, const kua_text *texts, size_t n,
                                      size_t limit, kua_id_batch *batch)
{
    assert(t && t->pipeline && (texts || n == 0) && batch);
    size_t parts = (n + BATCH_GRAIN - 1) / BATCH_GRAIN;
    batch_work work = {t, texts, limit, NULL, NULL, NULL};
    kua_status st = run_batch(&work, parts, n, batch);
    for (size_t i = 0; work.part && i < parts; i++)
        kua__free(work.part[i].id);
    kua__free(work.part);
    kua__free(work.status);
    batch->n = st ? 0 : n;
    if (st) batch->ids.n = 0;
    return st;
}
