/* train_merge.c - learns merges from counted words (Sennrich et al., 2016).
 *
 * How it works
 *   Every distinct word is a row of symbols with a count. The pair of neighbours with the largest
 *   count becomes a new symbol, in all words that hold it; then the next.
 *
 *       l o w e r x5   l o w x3      pairs (l,o) 8  (o,w) 8  (w,e) 5 ...
 *       lo w e r  x5   lo w  x3      pairs (lo,w) 8 (w,e) 5 ...
 *
 *   A pair knows the words that it came up in (a chain of nodes in one array), so that a merge
 *   touches those words only. The largest count is the top of a heap whose entries may be stale:
 *   one whose count has changed goes back with the right one. Where counts are equal, the pair with
 *   the smaller ids comes first, so that the result depends on nothing else.
 *
 *   WordPiece learns the same way, with "##" before what continues a word (as the reference's
 *   trainer does, which is not Google's likelihood rule).
 *
 * Invariants
 *   I1  word i is symbol[start[i]] .. symbol[start[i] + length[i] - 1].
 *   I2  every pair of neighbours is in the table and its chain names the word.
 */
#include <assert.h>
#include <string.h>

#include "text/chars.h"
#include "text/train.h"

#define NONE      UINT32_MAX
#define PAIR_NONE UINT64_MAX

typedef struct pair {
    uint64_t key; /* left << 32 | right */
    int64_t count;
    uint32_t first, last; /* of its chain */
    bool touched;         /* waits to be put on the heap */
} pair;

typedef struct node {
    uint32_t word, next;
} node;

typedef struct ranked {
    int64_t count;
    uint64_t key;
} ranked;

typedef struct trainer {
    const kua__word_counts *counts;
    kua__learning *learning;
    uint32_t *symbol, *length;
    size_t *start;
    pair *table; /* [mask + 1] */
    size_t mask, n_pairs;
    node *nodes;
    size_t n_nodes, nodes_room;
    ranked *heap;
    size_t n_heap, heap_room;
    uint64_t *touched;
    size_t n_touched, touched_room;
} trainer;

void kua__learning_release(kua__learning *learning)
{
    assert(learning);
    kua__ids_release(&learning->pieces);
    kua__free(learning->merge);
    *learning = (kua__learning){0};
}

/* ---- the alphabet ---- */

typedef struct letter {
    uint32_t c;
    uint64_t count;
} letter;

static int by_count(const void *a, const void *b)
{
    const letter *x = a, *y = b;
    if (x->count != y->count) return x->count < y->count ? 1 : -1;
    return (x->c > y->c) - (x->c < y->c);
}

static int by_point(const void *a, const void *b)
{
    const letter *x = a, *y = b;
    return (x->c > y->c) - (x->c < y->c);
}

/* Counts of all code points; bit 63: it continues some word. */
static void count_letters(const kua__word_counts *counts, uint64_t *count)
{
    for (size_t i = 0; i < counts->words.count; i++) {
        const uint8_t *word = (const uint8_t *)counts->words.name[i];
        size_t n = counts->words.len[i], length;
        for (size_t at = 0; at < n; at += length) {
            uint32_t c = kua__utf8_decode(word + at, n - at, &length);
            count[c] += counts->count[i];
            if (at) count[c] |= UINT64_C(1) << 63;
        }
    }
}

static kua_status add_piece(kua__learning *learning, bool continues, uint32_t c)
{
    char text[8] = "##";
    uint32_t id;
    size_t n = kua__utf8_encode(c, (uint8_t *)text + 2);
    return kua__ids_add(&learning->pieces, continues ? text : text + 2, continues ? n + 2 : n, &id);
}

/* The most frequent `limit` characters: alone, then as what continues a word. */
static kua_status add_letters(kua__learning *learning, uint64_t *count, letter *letters,
                              size_t limit)
{
    size_t n = 0;
    for (uint32_t c = 0; c < 0x110000; c++) {
        if (count[c]) letters[n++] = (letter){c, count[c] & ~(UINT64_C(1) << 63)};
    }
    qsort(letters, n, sizeof(*letters), by_count);
    n = KUA__MIN(n, limit);
    if (n) qsort(letters, n, sizeof(*letters), by_point);
    for (size_t i = 0; i < n; i++)
        KUA__TRY(add_piece(learning, false, letters[i].c));
    for (size_t i = 0; i < n; i++) {
        if (count[letters[i].c] >> 63) KUA__TRY(add_piece(learning, true, letters[i].c));
    }
    return KUA_OK;
}

static kua_status add_characters(const kua__word_counts *counts,
                                 const kua_tokenizer_training *options, kua__learning *learning)
{
    uint64_t *count = NULL;
    letter *letters = NULL;
    kua_status st = KUA__NEW_ZEROED(&count, 0x110000, "an alphabet");
    if (!st) st = KUA__NEW_ARRAY(&letters, 0x110000, "an alphabet");
    if (!st) {
        count_letters(counts, count);
        st = add_letters(learning, count, letters, options->alphabet_limit);
    }
    kua__free(count);
    kua__free(letters);
    return st;
}

static kua_status add_bytes(kua__learning *learning)
{
    uint32_t spelling[256], id;
    kua__byte_spelling(spelling);
    for (uint32_t c = 0; c < 0x144; c++) { /* by what stands for them, as the reference sorts */
        uint8_t text[4];
        if (kua__byte_spelled(c) < 0) continue;
        KUA__TRY(kua__ids_add(&learning->pieces, (char *)text, kua__utf8_encode(c, text), &id));
    }
    return KUA_OK;
}

/* ---- symbols ---- */

static uint32_t letter_id(const kua__learning *learning, const uint8_t *text, size_t n,
                          bool continues)
{
    char piece[8] = "##";
    assert(n <= 4);
    memcpy(piece + 2, text, n);
    return kua__ids_find(&learning->pieces, continues ? piece : piece + 2, continues ? n + 2 : n);
}

static uint32_t byte_id(const kua__learning *learning, uint32_t spelt)
{
    uint8_t text[4];
    return kua__ids_find(&learning->pieces, (char *)text, kua__utf8_encode(spelt, text));
}

/* Writes a word's symbols; returns how many. Characters outside the alphabet are left out. */
static uint32_t spell(const trainer *t, size_t i, const uint32_t *byte, uint32_t *out)
{
    const uint8_t *word = (const uint8_t *)t->counts->words.name[i];
    size_t n = t->counts->words.len[i], length = 1;
    uint32_t made = 0;
    for (size_t at = 0; at < n; at += length) {
        if (byte) {
            out[made++] = byte[word[at]];
            continue;
        }
        kua__utf8_decode(word + at, n - at, &length);
        uint32_t id = letter_id(t->learning, word + at, length, at > 0);
        if (id != KUA__NO_ID) out[made++] = id;
    }
    return made;
}

static kua_status spell_all(trainer *t, bool bytes)
{
    size_t n = t->counts->words.count, all = 0, at = 0;
    uint32_t byte[256], spelling[256];
    for (size_t i = 0; i < n; i++)
        all += t->counts->words.len[i];
    KUA__TRY(KUA__NEW_ARRAY(&t->symbol, all, "words"));
    KUA__TRY(KUA__NEW_ARRAY(&t->length, n, "words"));
    KUA__TRY(KUA__NEW_ARRAY(&t->start, n, "words"));
    kua__byte_spelling(spelling);
    for (uint32_t b = 0; bytes && b < 256; b++)
        byte[b] = byte_id(t->learning, spelling[b]);
    for (size_t i = 0; i < n; i++) {
        t->start[i] = at;
        t->length[i] = spell(t, i, bytes ? byte : NULL, t->symbol + at);
        at += t->length[i];
    }
    return KUA_OK;
}

/* ---- pairs ---- */

static size_t slot_of(const trainer *t, uint64_t key)
{
    uint64_t h = key * UINT64_C(0x9e3779b97f4a7c15);
    size_t at = (size_t)(h ^ h >> 32) & t->mask;
    while (t->table[at].key != PAIR_NONE && t->table[at].key != key)
        at = (at + 1) & t->mask;
    return at;
}

static kua_status resize(trainer *t, size_t size)
{
    pair *old = t->table;
    size_t n_old = old ? t->mask + 1 : 0;
    KUA__TRY(KUA__NEW_ARRAY(&t->table, size, "pairs"));
    t->mask = size - 1;
    for (size_t i = 0; i < size; i++)
        t->table[i] = (pair){PAIR_NONE, 0, NONE, NONE, false};
    for (size_t i = 0; i < n_old; i++) {
        if (old[i].key != PAIR_NONE) t->table[slot_of(t, old[i].key)] = old[i];
    }
    kua__free(old);
    return KUA_OK;
}

static kua_status find_or_add(trainer *t, uint64_t key, pair **out)
{
    size_t at = slot_of(t, key);
    if (t->table[at].key == PAIR_NONE) {
        if (2 * (t->n_pairs + 1) > t->mask + 1) {
            pair *old = t->table;
            kua_status st = resize(t, 2 * (t->mask + 1));
            if (st) {
                t->table = old;
                return st;
            }
            at = slot_of(t, key);
        }
        t->table[at].key = key;
        t->n_pairs++;
    }
    *out = &t->table[at];
    return KUA_OK;
}

/* A pair came up (or is gone) in a word. */
static kua_status change(trainer *t, uint32_t left, uint32_t right, uint32_t word, int64_t by)
{
    pair *p = NULL;
    uint64_t key = (uint64_t)left << 32 | right;
    KUA__TRY(find_or_add(t, key, &p));
    p->count += by;
    if (by < 0) return KUA_OK;
    if (p->last == NONE || t->nodes[p->last].word != word) {
        KUA__TRY(KUA__GROW(&t->nodes, &t->nodes_room, t->n_nodes, "pairs"));
        uint32_t made = (uint32_t)t->n_nodes++;
        t->nodes[made] = (node){word, NONE};
        if (p->last == NONE)
            p->first = made;
        else
            t->nodes[p->last].next = made;
        p->last = made;
    }
    if (p->touched) return KUA_OK;
    KUA__TRY(KUA__GROW(&t->touched, &t->touched_room, t->n_touched, "pairs"));
    p->touched = true;
    t->touched[t->n_touched++] = key;
    return KUA_OK;
}

/* ---- the heap ---- */

static bool comes_before(ranked a, ranked b)
{
    return a.count != b.count ? a.count > b.count : a.key < b.key;
}

static kua_status push(trainer *t, ranked value)
{
    KUA__TRY(KUA__GROW(&t->heap, &t->heap_room, t->n_heap, "pairs"));
    size_t at = t->n_heap++;
    for (; at && comes_before(value, t->heap[(at - 1) / 2]); at = (at - 1) / 2)
        t->heap[at] = t->heap[(at - 1) / 2];
    t->heap[at] = value;
    return KUA_OK;
}

static ranked pop(trainer *t)
{
    assert(t->n_heap > 0);
    ranked top = t->heap[0], last = t->heap[--t->n_heap];
    size_t at = 0;
    for (size_t child; (child = 2 * at + 1) < t->n_heap; at = child) {
        if (child + 1 < t->n_heap && comes_before(t->heap[child + 1], t->heap[child])) child++;
        if (!comes_before(t->heap[child], last)) break;
        t->heap[at] = t->heap[child];
    }
    t->heap[at] = last;
    return top;
}

static kua_status push_touched(trainer *t)
{
    for (size_t i = 0; i < t->n_touched; i++) {
        pair *p = &t->table[slot_of(t, t->touched[i])];
        p->touched = false;
        if (p->count > 0) KUA__TRY(push(t, (ranked){p->count, p->key}));
    }
    t->n_touched = 0;
    return KUA_OK;
}

static kua_status count_pairs(trainer *t)
{
    KUA__TRY(resize(t, 1 << 16));
    for (uint32_t i = 0; i < t->counts->words.count; i++) {
        const uint32_t *symbol = t->symbol + t->start[i];
        for (uint32_t k = 0; k + 1 < t->length[i]; k++)
            KUA__TRY(change(t, symbol[k], symbol[k + 1], i, (int64_t)t->counts->count[i]));
    }
    return push_touched(t);
}

/* ---- merging ---- */

static kua_status merge_in_word(trainer *t, uint32_t word, kua__learnt old, uint32_t made)
{
    uint32_t *symbol = t->symbol + t->start[word], n = t->length[word];
    int64_t count = (int64_t)t->counts->count[word];
    for (uint32_t i = 0; i + 1 < n; i++) {
        if (symbol[i] != old.left || symbol[i + 1] != old.right) continue;
        if (i) {
            KUA__TRY(change(t, symbol[i - 1], old.left, word, -count));
            KUA__TRY(change(t, symbol[i - 1], made, word, count));
        }
        symbol[i] = made;
        n--;
        memmove(symbol + i + 1, symbol + i + 2, (n - i - 1) * sizeof(*symbol));
        if (i + 1 < n) {
            KUA__TRY(change(t, old.right, symbol[i + 1], word, -count));
            KUA__TRY(change(t, made, symbol[i + 1], word, count));
        }
    }
    t->length[word] = n;
    return KUA_OK;
}

static kua_status name_pair(kua__learning *learning, kua__learnt pair_of, bool prefixed,
                            uint32_t *id)
{
    char text[2 * KUA_PIECE_BYTES_MAX];
    const kua__ids *pieces = &learning->pieces;
    const char *right = pieces->name[pair_of.right];
    size_t n = pieces->len[pair_of.left], n_right = pieces->len[pair_of.right];
    size_t skip = prefixed && n_right > 2 && right[0] == '#' && right[1] == '#' ? 2 : 0;
    *id = NONE;
    if (n + n_right - skip > KUA_PIECE_BYTES_MAX) return KUA_OK; /* no file could be loaded */
    memcpy(text, pieces->name[pair_of.left], n);
    memcpy(text + n, right + skip, n_right - skip);
    return kua__ids_add(&learning->pieces, text, n + n_right - skip, id);
}

/* Makes the pair at the top of the heap a piece. */
static kua_status merge_pair(trainer *t, uint64_t key, bool prefixed)
{
    kua__learning *learning = t->learning;
    kua__learnt old = {(uint32_t)(key >> 32), (uint32_t)key};
    uint32_t made;
    KUA__TRY(name_pair(learning, old, prefixed, &made));
    if (made == NONE) return KUA_OK;
    KUA__TRY(KUA__GROW(&learning->merge, &learning->merges_room, learning->n_merges, "merges"));
    learning->merge[learning->n_merges++] = old;
    pair *p = &t->table[slot_of(t, key)];
    uint32_t at = p->first;
    p->first = p->last = NONE; /* its chain is used up; p moves when the table grows */
    for (; at != NONE; at = t->nodes[at].next)
        KUA__TRY(merge_in_word(t, t->nodes[at].word, old, made));
    return push_touched(t);
}

static kua_status merge_all(trainer *t, const kua_tokenizer_training *options)
{
    kua__ids *pieces = &t->learning->pieces;
    size_t from = pieces->count;
    while (t->n_heap && pieces->count < options->vocab_size) {
        KUA__TRY(kua__progress(options->monitor, "learning pieces", pieces->count - from,
                               options->vocab_size - from));
        ranked top = pop(t);
        const pair *p = &t->table[slot_of(t, top.key)];
        if (p->first == NONE) continue;
        if (p->count != top.count) {
            if (p->count > 0) KUA__TRY(push(t, (ranked){p->count, top.key}));
            continue;
        }
        if (top.count < (int64_t)options->min_frequency) break;
        KUA__TRY(merge_pair(t, top.key, options->kind == KUA_TOKENIZER_WORDPIECE));
    }
    return kua__progress(options->monitor, "learning pieces", 1, 1);
}

static void trainer_release(trainer *t)
{
    kua__free(t->symbol);
    kua__free(t->length);
    kua__free(t->start);
    kua__free(t->table);
    kua__free(t->nodes);
    kua__free(t->heap);
    kua__free(t->touched);
}

static kua_status start_pieces(const kua__word_counts *counts,
                               const kua_tokenizer_training *options, kua__learning *learning)
{
    uint32_t id;
    for (size_t i = 0; i < options->n_special; i++) {
        KUA__TRY(
            kua__ids_add(&learning->pieces, options->special[i], strlen(options->special[i]), &id));
        if (id == i) continue;
        return kua__fail(KUA_INVALID, "training: special token %zu is \"%s\", as token %u is", i,
                         options->special[i], id);
    }
    KUA__TRY(options->kind == KUA_TOKENIZER_BPE ? add_bytes(learning)
                                                : add_characters(counts, options, learning));
    if (learning->pieces.count <= options->vocab_size) return KUA_OK;
    return kua__fail(KUA_INVALID,
                     "training: vocab_size is %zu, and special tokens and alphabet are %zu pieces",
                     options->vocab_size, learning->pieces.count);
}

kua_status kua__learn(const kua__word_counts *counts, const kua_tokenizer_training *options,
                      kua__learning *learning)
{
    assert(counts && options && learning);
    *learning = (kua__learning){0};
    kua__ids_init(&learning->pieces);
    trainer t = {.counts = counts, .learning = learning};
    kua_status st = start_pieces(counts, options, learning);
    if (!st) st = spell_all(&t, options->kind == KUA_TOKENIZER_BPE);
    if (!st) st = count_pairs(&t);
    if (!st) st = merge_all(&t, options);
    trainer_release(&t);
    if (st) kua__learning_release(learning);
    return st;
}
