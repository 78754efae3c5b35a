/* bpe.c - byte pair encoding (Sennrich et al., "Neural machine translation of rare words with
 * subword units", 2016; on bytes: Radford et al., 2019).
 *
 * How a word becomes ids
 *   It starts as one symbol a byte (or a character). Again and again the pair of neighbours whose
 *   merge was learnt first becomes one symbol, the leftmost first where several are equal, until no
 *   neighbours merge.
 *
 *       l o w e r    lo w e r    low e r    low er    lower
 *
 *   Short words (nearly all) keep the rank of each pair in an array and look for the least in it.
 *   That is quadratic, so longer ones use a heap of (rank, place) and a linked list of symbols:
 *   O(n log n) for a megabyte without a blank. An entry of the heap is stale when the pair at its
 *   place has another rank by now; it is then passed over.
 *
 *   Merges are in one open hash table by both ids.
 *
 * Where a word may be cut
 *   A merge reaches over the border of two characters only if some piece has both side by side (or
 *   the end of one and the beginning of the other). Few pairs of Chinese characters are, and a
 *   Chinese "word" is a whole clause that never comes again. So the pairs that any piece has are
 *   noted in a bitmap by their hash when the model is loaded, and a word is cut between all others:
 *   its parts are short, come again, and are found in the cache. A collision in the bitmap only
 *   means one cut less. This is sure only where every byte is a symbol.
 *
 * Invariants
 *   I1  symbols between two stay in the order of the text; `next` of the last is NONE.
 *   I2  every pair of neighbours that merges has an entry in the heap.
 */
#include "text/bpe.h"

#include <assert.h>
#include <string.h>

#include "text/chars.h"

enum {
    SHORT_MAX = 40,
    JOIN_BITS = 1 << 18,   /* by hash of two characters, */
    RAGGED_BITS = 1 << 16, /* and by two bytes, where a piece holds only parts of the characters */
    PART = 1, /* which cache entry: the ids of a part, to which ignore_merges does not apply */
};
#define NONE UINT32_MAX

/* ---- building ---- */

static size_t slot_of(const kua__bpe *bpe, uint64_t key)
{
    uint64_t h = key * UINT64_C(0x9e3779b97f4a7c15);
    return (size_t)(h ^ h >> 32) & bpe->mask;
}

static void put_pair(kua__bpe *bpe, uint64_t key, uint32_t rank, uint32_t id)
{
    size_t at = slot_of(bpe, key);
    while (bpe->pair[at].key != KUA__PAIR_NONE && bpe->pair[at].key != key)
        at = (at + 1) & bpe->mask;
    bpe->pair[at] =
        (kua__pair){key, rank, id}; /* listed twice: the later counts, as in the reference */
}

static kua_status find_side(const char *name, const kua__vocab *vocab, size_t i, const char *piece,
                            size_t n, uint32_t *id)
{
    *id = kua__vocab_find(vocab, piece, n);
    if (*id != KUA_TOKEN_NONE) return KUA_OK;
    return kua__fail(KUA_FORMAT, "%s: merge %zu names \"%.*s\", which is not in the vocabulary",
                     name, i, (int)KUA__MIN(n, 60), piece);
}

static kua_status add_merge(kua__bpe *bpe, const char *name, const kua__vocab *vocab,
                            const kua__merge *merge, size_t i)
{
    char joined[2 * KUA_PIECE_BYTES_MAX];
    uint32_t left, right, both;
    KUA__TRY(find_side(name, vocab, i, merge->left, merge->n_left, &left));
    KUA__TRY(find_side(name, vocab, i, merge->right, merge->n_right, &right));
    assert(merge->n_left <= KUA_PIECE_BYTES_MAX && merge->n_right <= KUA_PIECE_BYTES_MAX);
    memcpy(joined, merge->left, merge->n_left);
    memcpy(joined + merge->n_left, merge->right, merge->n_right);
    KUA__TRY(find_side(name, vocab, i, joined, merge->n_left + merge->n_right, &both));
    put_pair(bpe, (uint64_t)left << 32 | right, (uint32_t)i, both);
    return KUA_OK;
}

/* Which id each byte has: by GPT-2's spelling, or, for byte_fallback, "<0x0A>". */
static void find_bytes(kua__bpe *bpe, const kua__vocab *vocab)
{
    uint32_t spelling[256];
    kua__byte_spelling(spelling);
    for (uint32_t byte = 0; byte < 256; byte++) {
        char text[8];
        size_t n = 6;
        if (bpe->bytes)
            n = kua__utf8_encode(spelling[byte], (uint8_t *)text);
        else
            snprintf(text, sizeof(text), "<0x%02X>", byte);
        bpe->byte[byte] =
            bpe->bytes || bpe->byte_fallback ? kua__vocab_find(vocab, text, n) : KUA_TOKEN_NONE;
    }
}

/* Spells a piece as bytes into out[]; 0: it holds a character that stands for no byte. */
static size_t spell_out(const char *piece, char *out)
{
    size_t n = strlen(piece), made = 0, length;
    for (size_t at = 0; at < n; at += length) {
        int byte =
            kua__byte_spelled(kua__utf8_decode((const uint8_t *)piece + at, n - at, &length));
        if (byte < 0) return 0;
        out[made++] = (char)byte;
    }
    return made;
}

/* A trie of the pieces as bytes, for ignore_merges. */
static kua_status build_whole(kua__bpe *bpe, const kua__vocab *vocab)
{
    size_t bytes = vocab->at[vocab->n - 1] + strlen(vocab->bytes + vocab->at[vocab->n - 1]) + 1;
    char *spelt = NULL;
    kua__key *key = NULL;
    kua_status st = KUA__NEW_ARRAY(&spelt, bytes, "a vocabulary");
    if (!st) st = KUA__NEW_ARRAY(&key, vocab->n, "a vocabulary");
    size_t n = 0, at = 0;
    for (uint32_t id = 0; !st && id < vocab->n; id++) {
        const char *piece = kua__vocab_piece(vocab, id);
        size_t length = spell_out(piece, spelt + at);
        if (length == 0 || kua__vocab_find(vocab, piece, strlen(piece)) != id) continue;
        key[n++] = (kua__key){spelt + at, (uint32_t)length, id};
        at += length;
    }
    if (!st) {
        qsort(key, n, sizeof(*key), kua__key_order);
        st = kua__trie_build(&bpe->whole, key, n);
    }
    kua__free(spelt);
    kua__free(key);
    return st;
}

/* ---- where a word may be cut ---- */

static bool starts_character(uint8_t byte)
{
    return (byte & 0xc0) != 0x80;
}

static size_t join_bit(uint32_t before, uint32_t behind)
{
    uint64_t h = ((uint64_t)before << 21 | behind) * UINT64_C(0x9e3779b97f4a7c15);
    return (size_t)(h >> 32) % JOIN_BITS;
}

static size_t ragged_bit(uint8_t before, uint8_t behind)
{
    return JOIN_BITS + ((size_t)before << 8 | behind);
}

static void set_bit(uint8_t *bits, size_t at)
{
    bits[at / 8] |= (uint8_t)(1 << at % 8);
}

static bool has_bit(const uint8_t *bits, size_t at)
{
    return bits[at / 8] >> at % 8 & 1;
}

/* The whole character at the head of text[n], or at its end; false: it is cut off there. */
static bool whole_character(const uint8_t *text, size_t n, uint32_t *c, size_t *length)
{
    *c = kua__utf8_decode(text, n, length);
    return *c != 0xfffd && starts_character(text[0]);
}

/* Notes the borders inside one piece. */
static void note_joins(uint8_t *bits, const uint8_t *piece, size_t n)
{
    for (size_t at = 1; at < n; at++) {
        if (!starts_character(piece[at])) continue;
        size_t from = at - 1, length_before, length_behind;
        uint32_t before, behind;
        while (from && !starts_character(piece[from]))
            from--;
        if (whole_character(piece + from, at - from, &before, &length_before) &&
            length_before == at - from &&
            whole_character(piece + at, n - at, &behind, &length_behind))
            set_bit(bits, join_bit(before, behind));
        else
            set_bit(bits, ragged_bit(piece[at - 1], piece[at]));
    }
}

static kua_status find_joins(kua__bpe *bpe, const kua__vocab *vocab)
{
    for (uint32_t byte = 0; byte < 256; byte++) {
        if (bpe->byte[byte] == KUA_TOKEN_NONE) return KUA_OK;
    }
    KUA__TRY(KUA__NEW_ZEROED(&bpe->joins, (JOIN_BITS + RAGGED_BITS) / 8, "a vocabulary"));
    for (uint32_t id = 0; id < vocab->n; id++) {
        char spelt[KUA_PIECE_BYTES_MAX];
        size_t n = spell_out(kua__vocab_piece(vocab, id), spelt);
        note_joins(bpe->joins, (const uint8_t *)spelt, n);
    }
    return KUA_OK;
}

kua_status kua__bpe_build(kua__bpe *bpe, const char *name, const kua__vocab *vocab,
                          const kua__merge *merge, size_t n_merges)
{
    assert(bpe && name && vocab && (merge || n_merges == 0));
    size_t size = 64;
    while (size < n_merges * 2 + 2)
        size *= 2;
    KUA__TRY(KUA__NEW_ARRAY(&bpe->pair, size, "the merges of a vocabulary"));
    bpe->mask = size - 1;
    for (size_t i = 0; i < size; i++)
        bpe->pair[i] = (kua__pair){KUA__PAIR_NONE, NONE, 0};
    for (size_t i = 0; i < n_merges; i++)
        KUA__TRY(add_merge(bpe, name, vocab, &merge[i], i));
    find_bytes(bpe, vocab);
    if (bpe->bytes) KUA__TRY(find_joins(bpe, vocab));
    return bpe->ignore_merges && bpe->bytes ? build_whole(bpe, vocab) : KUA_OK;
}

void kua__bpe_release(kua__bpe *bpe)
{
    assert(bpe);
    kua__free(bpe->pair);
    kua__free(bpe->joins);
    kua__trie_release(&bpe->whole);
    *bpe = (kua__bpe){0};
}

/* ---- merging ---- */

static const kua__pair *find_pair(const kua__bpe *bpe, uint32_t left, uint32_t right)
{
    uint64_t key = (uint64_t)left << 32 | right;
    for (size_t at = slot_of(bpe, key);; at = (at + 1) & bpe->mask) {
        if (bpe->pair[at].key == key) return &bpe->pair[at];
        if (bpe->pair[at].key == KUA__PAIR_NONE) return &bpe->pair[at]; /* rank NONE */
    }
}

static bool put_all(kua__scratch *s, const uint32_t *id, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!kua__scratch_put(s, id[i])) return false;
    }
    return true;
}

/* Up to SHORT_MAX symbols. rank[i] is that of id[i] and id[i + 1]. */
static bool merge_short(const kua__bpe *bpe, kua__scratch *s, uint32_t *id, size_t n)
{
    uint32_t rank[SHORT_MAX], becomes[SHORT_MAX];
    assert(n >= 1 && n <= SHORT_MAX);
    for (size_t i = 0; i + 1 < n; i++) {
        const kua__pair *pair = find_pair(bpe, id[i], id[i + 1]);
        rank[i] = pair->rank;
        becomes[i] = pair->id;
    }
    for (;;) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < n; i++) {
            if (rank[i] < rank[best]) best = i;
        }
        if (n < 2 || rank[best] == NONE) break;
        id[best] = becomes[best];
        n--;
        for (size_t i = best + 1; i < n; i++) {
            id[i] = id[i + 1];
            rank[i - 1] = rank[i];
            becomes[i - 1] = becomes[i];
        }
        for (size_t i = best ? best - 1 : 0; i <= best && i + 1 < n; i++) {
            const kua__pair *pair = find_pair(bpe, id[i], id[i + 1]);
            rank[i] = pair->rank;
            becomes[i] = pair->id;
        }
    }
    return put_all(s, id, n);
}

static void heap_push(uint64_t *heap, size_t *n, uint64_t value)
{
    size_t at = (*n)++;
    for (; at && heap[(at - 1) / 2] > value; at = (at - 1) / 2)
        heap[at] = heap[(at - 1) / 2];
    heap[at] = value;
}

static uint64_t heap_pop(uint64_t *heap, size_t *n)
{
    assert(*n > 0);
    uint64_t top = heap[0], last = heap[--*n];
    size_t at = 0;
    for (size_t child; (child = 2 * at + 1) < *n; at = child) {
        if (child + 1 < *n && heap[child + 1] < heap[child]) child++;
        if (heap[child] >= last) break;
        heap[at] = heap[child];
    }
    heap[at] = last;
    return top;
}

static void push_pair(const kua__bpe *bpe, kua__scratch *s, size_t *n_heap, uint32_t at)
{
    uint32_t next = s->symbol[at].next;
    if (next == NONE) return;
    const kua__pair *pair = find_pair(bpe, s->symbol[at].id, s->symbol[next].id);
    if (pair->rank == NONE) return;
    assert(*n_heap < s->heap_room);
    heap_push(s->heap, n_heap, (uint64_t)pair->rank << 32 | at);
}

/* Any number of symbols, in s->symbol. */
static bool merge_long(const kua__bpe *bpe, kua__scratch *s, size_t n)
{
    size_t n_heap = 0;
    kua__symbol *symbol = s->symbol;
    if (!kua__scratch_room(s, (void **)&s->heap, &s->heap_room, 3 * n, sizeof(*s->heap)))
        return false;
    for (uint32_t i = 0; i < n; i++) {
        symbol[i].previous = i ? i - 1 : NONE;
        symbol[i].next = i + 1 < n ? i + 1 : NONE;
    }
    for (uint32_t i = 0; i < n; i++)
        push_pair(bpe, s, &n_heap, i);
    while (n_heap) {
        uint64_t top = heap_pop(s->heap, &n_heap);
        uint32_t at = (uint32_t)top, next = symbol[at].next;
        if (symbol[at].id == NONE || next == NONE) continue;
        const kua__pair *pair = find_pair(bpe, symbol[at].id, symbol[next].id);
        if (pair->rank != top >> 32) continue; /* stale */
        symbol[at].id = pair->id;
        symbol[at].next = symbol[next].next;
        if (symbol[next].next != NONE) symbol[symbol[next].next].previous = at;
        symbol[next].id = NONE;
        push_pair(bpe, s, &n_heap, at);
        if (symbol[at].previous != NONE) push_pair(bpe, s, &n_heap, symbol[at].previous);
    }
    for (uint32_t i = 0; i != NONE; i = symbol[i].next) {
        if (!kua__scratch_put(s, symbol[i].id)) return false;
    }
    return true;
}

/* ---- symbols ---- */

/* Collects symbols; an unknown character waits, as the next may be joined to it. */
typedef struct symbols {
    const kua__bpe *bpe;
    kua__symbol *symbol;
    size_t n;
    bool unknown;
} symbols;

static void add_unknown(symbols *out)
{
    if (out->unknown) out->symbol[out->n++].id = out->bpe->unk;
    out->unknown = false;
}

static void miss(symbols *out)
{
    if (out->bpe->unk == KUA_TOKEN_NONE) return;
    if (!out->bpe->fuse_unk) add_unknown(out);
    out->unknown = true;
}

static void take_byte(symbols *out, uint8_t byte)
{
    uint32_t id = out->bpe->byte[byte];
    if (id == KUA_TOKEN_NONE) {
        miss(out);
        return;
    }
    add_unknown(out);
    out->symbol[out->n++].id = id;
}

static void take_character(symbols *out, const kua__vocab *vocab, const uint8_t *text, size_t n)
{
    uint32_t id = kua__vocab_find(vocab, (const char *)text, n);
    if (id != KUA_TOKEN_NONE) {
        add_unknown(out);
        out->symbol[out->n++].id = id;
        return;
    }
    bool all = true;
    for (size_t i = 0; i < n; i++)
        all &= out->bpe->byte[text[i]] != KUA_TOKEN_NONE;
    if (!all) {
        miss(out);
        return;
    }
    for (size_t i = 0; i < n; i++) /* as in the reference, an unknown one goes on waiting */
        out->symbol[out->n++].id = out->bpe->byte[text[i]];
}

static size_t find_symbols(const kua__bpe *bpe, const kua__vocab *vocab, kua__scratch *s,
                           const uint8_t *word, size_t n)
{
    symbols out = {bpe, s->symbol, 0, false};
    size_t length = 1;
    for (size_t at = 0; at < n; at += length) {
        if (bpe->bytes) {
            take_byte(&out, word[at]);
            continue;
        }
        kua__utf8_decode(word + at, n - at, &length);
        take_character(&out, vocab, word + at, length);
    }
    add_unknown(&out);
    assert(out.n <= n);
    return out.n;
}

static bool merge_word(const kua__bpe *bpe, const kua__vocab *vocab, kua__scratch *s,
                       const uint8_t *word, size_t n)
{
    if (!kua__scratch_room(s, (void **)&s->symbol, &s->symbol_room, n + 1, sizeof(*s->symbol)))
        return false;
    size_t count = find_symbols(bpe, vocab, s, word, n);
    if (count == 0) return true;
    if (count > SHORT_MAX) return merge_long(bpe, s, count);
    uint32_t id[SHORT_MAX];
    for (size_t i = 0; i < count; i++)
        id[i] = s->symbol[i].id;
    return merge_short(bpe, s, id, count);
}

/* A part of a word, to which merges are confined. */
static bool put_part(const kua__bpe *bpe, const kua__vocab *vocab, kua__scratch *s,
                     const uint8_t *part, size_t n)
{
    if (n > KUA__CACHE_BYTES) return merge_word(bpe, vocab, s, part, n);
    uint64_t key[4];
    kua__cached *entry = kua__cache_slot(s, part, n, PART, key);
    if (kua__cache_hit(entry, key)) return put_all(s, entry->id, entry->n);
    size_t first = s->n;
    bool more = merge_word(bpe, vocab, s, part, n);
    kua__cache_keep(entry, key, s, first);
    return more;
}

/* Cuts a word where no merge can reach. */
static bool put_parts(const kua__bpe *bpe, const kua__vocab *vocab, kua__scratch *s,
                      const uint8_t *word, size_t n)
{
    size_t from = 0, length;
    uint32_t before = kua__utf8_decode(word, n, &length);
    for (size_t at = length; at < n; at += length) {
        uint32_t c = kua__utf8_decode(word + at, n - at, &length);
        if (!has_bit(bpe->joins, join_bit(before, c)) &&
            !has_bit(bpe->joins, ragged_bit(word[at - 1], word[at]))) {
            if (!put_part(bpe, vocab, s, word + from, at - from)) return false;
            from = at;
        }
        before = c;
    }
    return put_part(bpe, vocab, s, word + from, n - from);
}

/* A word that is not in the cache. */
static bool put_word(const kua__bpe *bpe, const kua__vocab *vocab, kua__scratch *s,
                     const uint8_t *word, size_t n)
{
    if (bpe->ignore_merges) {
        uint32_t id = 0;
        const kua__trie *trie = bpe->bytes ? &bpe->whole : &vocab->trie;
        if (kua__trie_longest(trie, KUA__TRIE_ROOT, word, n, &id) == n)
            return kua__scratch_put(s, id);
    }
    return bpe->joins ? put_parts(bpe, vocab, s, word, n) : merge_word(bpe, vocab, s, word, n);
}

/* Words that end in a character of several bytes are mostly clauses that come but once: their parts
 * are cached instead. */
bool kua__bpe_word(const kua__bpe *bpe, const kua__vocab *vocab, kua__scratch *s,
                   const uint8_t *word, size_t n)
{
    assert(bpe && s && word && n > 0);
    if (n > KUA__CACHE_BYTES || (bpe->joins && word[n - 1] >= 0x80))
        return put_word(bpe, vocab, s, word, n);
    uint64_t key[4];
    kua__cached *entry = kua__cache_slot(s, word, n, 0, key);
    if (kua__cache_hit(entry, key)) return put_all(s, entry->id, entry->n);
    size_t first = s->n;
    bool more = put_word(bpe, vocab, s, word, n);
    kua__cache_keep(entry, key, s, first);
    return more;
}
