/* tokenizer.c - text to ids: words by the fold table, pieces by the trie. This is WordPiece; for
 * the other kinds see pipeline.c.
 *
 * How a text becomes ids
 *
 *     "Kids' 2T [MASK] Café"
 *       added tokens   Kids' 2T  | [MASK] | Café       found in the text as it came
 *       fold           kids | ' | 2t      | cafe       letters fill `word`, a blank ends it
 *       WordPiece      kids   '   2 ##t     cafe       the longest piece, from the root, then "##"
 *
 *   Letters are copied into `word`, because a walk of the trie may go further than the piece that
 *   it finds. A word of more than max_chars characters is [UNK] whatever it says, so its rest is
 *   only counted: `word` has a fixed size, and 1 MB without a blank costs no more than any other
 *   text. Encoding stops as soon as the limit is reached.
 *
 * Room
 *   Each id comes from at least one byte of the text: a piece takes a character, and no folding
 *   makes more characters out of one than it had bytes. So n bytes need room for n ids at most,
 *   which is reserved before the work begins, and the inner loops cannot fail. They still check the
 *   room: a wrong proof must not become a wrong write.
 *
 * Invariants
 *   I1  chars <= max_chars: word[0..bytes) is the word so far; chars == max_chars + 1: too long.
 *   I2  n <= room.
 */
#include <assert.h>
#include <string.h>

#include "text/wordpiece.h"

typedef struct encoding {
    const kua_tokenizer *tokenizer;
    uint32_t *id; /* [room] */
    size_t n, room;
    size_t bytes, chars; /* of the word in hand */
    uint8_t word[KUA_WORD_CHARS_MAX * 4];
} encoding;

static bool is_full(const encoding *e)
{
    return e->n == e->room;
}

static void put_id(encoding *e, uint32_t id)
{
    if (e->n < e->room) e->id[e->n++] = id;
}

/* WordPiece: the longest piece that the rest starts with, again and again; one miss, and the word
 * is unknown. */
static void put_pieces(encoding *e, const uint8_t *word, size_t bytes)
{
    assert(bytes > 0);
    const kua_tokenizer *t = e->tokenizer;
    size_t before = e->n;
    uint32_t from = KUA__TRIE_ROOT;
    for (size_t at = 0; at < bytes;) {
        uint32_t id = 0;
        size_t length = 0;
        if (from != KUA__TRIE_DEAD)
            length = kua__trie_longest(&t->vocab.trie, from, word + at, bytes - at, &id);
        if (length == 0) {
            e->n = before;
            put_id(e, t->info.unk);
            return;
        }
        put_id(e, id);
        at += length;
        from = t->continuation;
    }
}

static void end_word(encoding *e)
{
    if (e->chars > e->tokenizer->max_chars)
        put_id(e, e->tokenizer->info.unk);
    else if (e->chars)
        put_pieces(e, e->word, e->bytes);
    e->bytes = e->chars = 0;
}

static void add_letter(encoding *e, uint32_t c)
{
    if (e->chars > e->tokenizer->max_chars) return;
    if (++e->chars > e->tokenizer->max_chars) return; /* I1: now too long */
    assert(e->bytes + 4 <= sizeof(e->word));
    e->bytes += kua__utf8_encode(c, e->word + e->bytes);
}

/* The fast path: ASCII letters and digits straight from the text into the word. */
static void take_letters(encoding *e, kua__fold_cursor *cursor)
{
    if (e->chars >= e->tokenizer->max_chars) return;
    size_t left = KUA__MIN((size_t)(cursor->end - cursor->at), e->tokenizer->max_chars - e->chars),
           i = 0;
    const uint8_t *letter = cursor->fold->letter, *at = cursor->at;
    uint8_t *word = e->word + e->bytes;
    assert(e->bytes + left <= sizeof(e->word)); /* I1, and these are ASCII */
    for (uint8_t c; i < left && (c = letter[at[i]]); i++)
        word[i] = c;
    cursor->at += i;
    e->bytes += i;
    e->chars += i;
}

/* Splits into words and encodes them, until the end or the limit. */
static void encode_words(encoding *e, const kua__fold *fold, const char *text, size_t n)
{
    assert(e->chars == 0);
    kua__fold_cursor cursor;
    kua__fold_start(&cursor, fold, text, n);
    while (!is_full(e)) {
        if (kua__fold_plain(&cursor)) take_letters(e, &cursor);
        kua__fold_cell cell = kua__fold_next(&cursor);
        switch (KUA__CELL_KIND(cell)) {
        case KUA__LETTER:
            add_letter(e, KUA__CELL_VALUE(cell));
            break;
        case KUA__ALONE:
        case KUA__CHINESE:
            end_word(e);
            add_letter(e, KUA__CELL_VALUE(cell));
            end_word(e);
            break;
        default: /* a blank, or the end */
            end_word(e);
            if (cell == KUA__FOLD_END) return;
        }
    }
    e->bytes = e->chars = 0;
}

/* For the rare files with added tokens that are looked for in normalised text. */
static kua_status encode_normalised(encoding *e, const char *text, size_t n)
{
    const kua_tokenizer *t = e->tokenizer;
    kua__buf normal = {0};
    kua__fold_string(&t->fold, text, n, &normal);
    kua_status st = kua__buf_status(&normal);
    size_t at = 0;
    kua__added_match match;
    while (!st && !is_full(e) &&
           kua__added_next(&t->normalised, normal.data, normal.len, at, &match)) {
        encode_words(e, &t->split, normal.data + at, match.start - at);
        put_id(e, match.id);
        at = match.start + match.length;
    }
    if (!st && normal.len) encode_words(e, &t->split, normal.data + at, normal.len - at);
    kua__buf_release(&normal);
    return st;
}

static kua_status encode_section(encoding *e, const char *text, size_t n)
{
    if (n == 0) return KUA_OK;
    if (kua__added_any(&e->tokenizer->normalised)) return encode_normalised(e, text, n);
    encode_words(e, &e->tokenizer->fold, text, n);
    return KUA_OK;
}

/* Up to `room` ids of text[n] into id[]; *made is their number. Fails only for want of memory. */
static kua_status encode_body(const kua_tokenizer *t, const char *text, size_t n, uint32_t *id,
                              size_t room, size_t *made)
{
    encoding e; /* not cleared: `word` is 4 bytes times the longest word, and written before read */
    e.tokenizer = t;
    e.id = id;
    e.room = room;
    e.n = e.bytes = e.chars = 0;
    size_t at = 0;
    kua_status st = KUA_OK;
    kua__added_match match;
    while (!st && !is_full(&e) && kua__added_next(&t->raw, text, n, at, &match)) {
        st = encode_section(&e, text + at, match.start - at);
        put_id(&e, match.id);
        at = match.start + match.length;
    }
    if (!st && at < n) st = encode_section(&e, text + at, n - at);
    *made = e.n;
    return st;
}

/* Writes special tokens, body, special tokens. */
static kua_status encode_text(const kua_tokenizer *t, const char *text, size_t n, uint32_t *id,
                              size_t room, size_t *made)
{
    const kua__around *around = &t->around;
    assert(room >= around->n_before + around->n_behind);
    size_t body = 0;
    memcpy(id, around->before, around->n_before * sizeof(*id));
    id += around->n_before;
    kua_status st = encode_body(t, text, n, id, room - around->n_before - around->n_behind, &body);
    memcpy(id + body, around->behind, around->n_behind * sizeof(*id));
    *made = around->n_before + body + around->n_behind;
    return st;
}

/* ---- the public functions ---- */

static kua_status check_limit(const kua_tokenizer *t, size_t limit)
{
    if (limit == 0 || limit >= t->info.special_per_text) return KUA_OK;
    return kua__fail(KUA_INVALID,
                     "tokenizer: the limit is %zu ids, and %zu of them are special tokens", limit,
                     t->info.special_per_text);
}

/* The largest number of ids that a text of n bytes may need. */
static size_t room_for(const kua_tokenizer *t, size_t n, size_t limit)
{
    size_t all = n > SIZE_MAX - KUA__AROUND_MAX * 2 ? SIZE_MAX : n + t->info.special_per_text;
    return limit ? KUA__MIN(all, limit) : all;
}

static kua_status reserve_ids(kua_ids *ids, size_t room)
{
    if (room <= ids->room) return KUA_OK;
    room = KUA__MAX(room, ids->room + ids->room / 2);
    uint32_t *id = kua__realloc_array(ids->id, room, sizeof(*id));
    if (!id) return kua__fail(KUA_NOMEM, "out of memory: room for %zu token ids", room);
    ids->id = id;
    ids->room = room;
    return KUA_OK;
}

kua_status kua_tokenizer_encode(const kua_tokenizer *tokenizer, const char *text, size_t n,
                                size_t limit, kua_ids *ids)
{
    assert(tokenizer && (text || n == 0) && ids);
    ids->n = 0;
    KUA__TRY(check_limit(tokenizer, limit));
    if (tokenizer->pipeline)
        return kua__pipeline_encode_one(tokenizer, text ? text : "", n, limit, ids);
    size_t room = room_for(tokenizer, n, limit), made = 0;
    KUA__TRY(reserve_ids(ids, KUA__MAX(room, 1)));
    KUA__TRY(encode_text(tokenizer, text ? text : "", n, ids->id, room, &made));
    ids->n = made;
    return KUA_OK;
}

/* A batch in work. While texts are encoded, offset[i] is where text i's room begins, and offset[n +
 * 1 + i] its number of ids. */
typedef struct batch_work {
    const kua_tokenizer *tokenizer;
    const kua_text *texts;
    kua_id_batch *batch;
    bool *failed; /* one text could not be encoded for want of memory */
} batch_work;

static void encode_some(void *ctx, int thread, size_t first, size_t last)
{
    (void)thread;
    const batch_work *work = ctx;
    size_t *offset = work->batch->offset, *made = offset + work->batch->n + 1;
    for (size_t i = first; i < last; i++) {
        const char *text = work->texts[i].data ? work->texts[i].data : "";
        kua_status st =
            encode_text(work->tokenizer, text, work->texts[i].n, work->batch->ids.id + offset[i],
                        offset[i + 1] - offset[i], &made[i]);
        if (st) __atomic_store_n(work->failed, true, __ATOMIC_RELAXED);
    }
}

static kua_status reserve_batch(const kua_tokenizer *t, const kua_text *texts, size_t n,
                                size_t limit, kua_id_batch *batch)
{
    size_t need = 2 * n + 1;
    if (need > batch->room) {
        size_t *offset = kua__realloc_array(batch->offset, need, sizeof(*offset));
        if (!offset)
            return kua__fail_nomem(need * sizeof(*offset), "the offsets of a batch of texts");
        batch->offset = offset;
        batch->room = need;
    }
    batch->offset[0] = 0;
    for (size_t i = 0; i < n; i++)
        batch->offset[i + 1] = batch->offset[i] + room_for(t, texts[i].n, limit);
    batch->n = n;
    return reserve_ids(&batch->ids, KUA__MAX(batch->offset[n], 1));
}

/* Moves the ids of all texts together. */
static void close_gaps(kua_id_batch *batch)
{
    size_t *offset = batch->offset, *made = offset + batch->n + 1, at = 0;
    for (size_t i = 0; i < batch->n; i++) {
        assert(at <= offset[i] && made[i] <= offset[i + 1] - offset[i]);
        memmove(batch->ids.id + at, batch->ids.id + offset[i], made[i] * sizeof(uint32_t));
        offset[i] = at;
        at += made[i];
    }
    offset[batch->n] = at;
    batch->ids.n = at;
}

kua_status kua_tokenizer_encode_batch(const kua_tokenizer *tokenizer, const kua_text *texts,
                                      size_t n, size_t limit, kua_id_batch *batch)
{
    assert(tokenizer && (texts || n == 0) && batch);
    batch->n = batch->ids.n = 0;
    KUA__TRY(check_limit(tokenizer, limit));
    if (tokenizer->pipeline) return kua__pipeline_encode_batch(tokenizer, texts, n, limit, batch);
    kua_status st = reserve_batch(tokenizer, texts, n, limit, batch);
    bool failed = false;
    if (!st) {
        kua__parallel_chunks(n, 64, encode_some, &(batch_work){tokenizer, texts, batch, &failed});
        if (failed) st = kua__fail(KUA_NOMEM, "out of memory: normalising one of %zu texts", n);
    }
    if (st) {
        batch->n = 0;
        return st;
    }
    close_gaps(batch);
    return KUA_OK;
}

void kua_ids_release(kua_ids *ids)
{
    assert(ids);
    kua__free(ids->id);
    *ids = (kua_ids){0};
}

void kua_id_batch_release(kua_id_batch *batch)
{
    assert(batch);
    kua_ids_release(&batch->ids);
    kua__free(batch->offset);
    *batch = (kua_id_batch){0};
}

kua_tokenizer_info kua_tokenizer_describe(const kua_tokenizer *tokenizer)
{
    assert(tokenizer);
    return tokenizer->info;
}

const char *kua_tokenizer_kind_name(kua_tokenizer_kind kind)
{
    static const char *const names[] = {
#define X(name, text) text,
        KUA_TOKENIZER_KIND_MAP(X)
#undef X
    };
    assert((size_t)kind < KUA__COUNT(names));
    return names[kind];
}

const char *kua_tokenizer_piece(const kua_tokenizer *tokenizer, uint32_t id)
{
    assert(tokenizer);
    return kua__vocab_piece(&tokenizer->vocab, id);
}

uint32_t kua_tokenizer_find(const kua_tokenizer *tokenizer, const char *piece, size_t n)
{
    assert(tokenizer && (piece || n == 0));
    uint32_t id = kua__vocab_find(&tokenizer->vocab, piece, n);
    if (id != KUA_TOKEN_NONE || !tokenizer->has_more) return id;
    for (uint32_t i = 0; i < tokenizer->vocab.n;
         i++) { /* added tokens are in no trie that is keyed by their spelling */
        const char *other = kua__vocab_piece(&tokenizer->vocab, i);
        if (strlen(other) == n && memcmp(other, piece, n) == 0) return i;
    }
    return KUA_TOKEN_NONE;
}
