/* unigram.c - the Viterbi search of a unigram language model (Kudo, "Subword regularization",
 * 2018).
 *
 * How a word becomes ids
 *   Every piece has a log probability; a cut's score is the sum over its pieces. From each
 *   character on, one walk of the trie meets all pieces that start there and offers each end a
 *   way to it; the best way is kept.
 *
 *       position   0  1  2  3  4
 *                  ▁  h  o  t          "▁ho" + "t" or "▁" + "hot" ...
 *
 *   A character that is no piece may be stepped over as unknown, 10 below the worst piece. Unknown
 *   ones in a row are one token (or, with byte_fallback, their bytes). Scores are summed in double
 *   precision from the left and a later way must be better, not equal: so are the reference's, and
 *   ties fall as there.
 *
 * Invariants
 *   I1  node[i].from is NONE until a way to i is known; every character's start has one.
 */
#include "text/unigram.h"

#include <assert.h>
#include <string.h>

#include "text/fold.h"

#define NONE UINT32_MAX
static const double UNK_PENALTY = 10.0;

kua_status kua__unigram_build(kua__unigram *unigram, const kua__vocab *vocab, double *score,
                              size_t n_model)
{
    assert(unigram && vocab && score && n_model >= 1);
    unigram->score = score;
    double least = score[0];
    for (size_t i = 1; i < n_model; i++)
        least = KUA__MIN(least, score[i]);
    unigram->unk_score = least - UNK_PENALTY;
    for (uint32_t byte = 0; byte < 256; byte++) {
        char text[8];
        snprintf(text, sizeof(text), "<0x%02X>", byte);
        unigram->byte[byte] =
            unigram->byte_fallback ? kua__vocab_find(vocab, text, 6) : KUA_TOKEN_NONE;
    }
    return KUA_OK;
}

void kua__unigram_release(kua__unigram *unigram)
{
    assert(unigram);
    kua__free(unigram->score);
    *unigram = (kua__unigram){0};
}

static void offer(kua__node *to, double score, uint32_t from, uint32_t id)
{
    if (to->from != NONE && !(score > to->score)) return;
    *to = (kua__node){score, from, id};
}

static void search(const kua__unigram *unigram, const kua__vocab *vocab, kua__node *node,
                   const uint8_t *word, size_t n)
{
    const kua__trie *trie = &vocab->trie;
    for (size_t i = 0; i <= n; i++)
        node[i] = (kua__node){0, NONE, 0};
    size_t length;
    for (size_t at = 0; at < n; at += length) {
        double here = node[at].score;
        bool single = false;
        uint32_t state = KUA__TRIE_ROOT;
        kua__utf8_decode(word + at, n - at, &length);
        for (size_t i = at; i < n; i++) {
            state = kua__trie_step(trie, state, word[i]);
            if (state == KUA__TRIE_DEAD) break;
            if (!kua__trie_ends(trie, state)) continue;
            uint32_t id = trie->id[state];
            offer(&node[i + 1], here + unigram->score[id], (uint32_t)at, id);
            single |= i + 1 - at == length;
        }
        if (!single)
            offer(&node[at + length], here + unigram->unk_score, (uint32_t)at, unigram->unk);
    }
}

/* What is unknown: a piece after all (joined), its bytes, or the unknown token. */
static bool put_unknown(const kua__unigram *unigram, const kua__vocab *vocab, kua__scratch *s,
                        const uint8_t *text, size_t n)
{
    uint32_t id = kua__vocab_find(vocab, (const char *)text, n);
    if (id != KUA_TOKEN_NONE) return kua__scratch_put(s, id);
    bool all = unigram->byte_fallback;
    for (size_t i = 0; all && i < n; i++)
        all = unigram->byte[text[i]] != KUA_TOKEN_NONE;
    if (!all) return unigram->unk == KUA_TOKEN_NONE || kua__scratch_put(s, unigram->unk);
    for (size_t i = 0; i < n; i++) {
        if (!kua__scratch_put(s, unigram->byte[text[i]])) return false;
    }
    return true;
}

/* The way back gives the ends; turned round in place, it is walked forward. */
static bool put_path(const kua__unigram *unigram, const kua__vocab *vocab, kua__scratch *s,
                     const uint8_t *word, size_t n)
{
    kua__node *node = s->node;
    uint32_t end = (uint32_t)n, next = NONE;
    while (end != 0) { /* score is not needed any more: its place in `from` points forward */
        uint32_t from = node[end].from;
        assert(from < end);
        node[end].from = next;
        next = end;
        end = from;
    }
    for (uint32_t at = 0; next != NONE;) {
        uint32_t stop = next;
        uint32_t id = node[stop].id;
        while (id == unigram->unk && node[stop].from != NONE && node[node[stop].from].id == id)
            stop = node[stop].from;
        bool more = id == unigram->unk ? put_unknown(unigram, vocab, s, word + at, stop - at)
                                       : kua__scratch_put(s, id);
        if (!more) return false;
        at = stop;
        next = node[stop].from;
    }
    return true;
}

static bool cut_word(const kua__unigram *unigram, const kua__vocab *vocab, kua__scratch *s,
                     const uint8_t *word, size_t n)
{
    if (!kua__scratch_room(s, (void **)&s->node, &s->node_room, n + 1, sizeof(*s->node)))
        return false;
    search(unigram, vocab, s->node, word, n);
    return put_path(unigram, vocab, s, word, n);
}

bool kua__unigram_word(const kua__unigram *unigram, const kua__vocab *vocab, kua__scratch *s,
                       const uint8_t *word, size_t n)
{
    assert(unigram && s && word && n > 0);
    if (n > KUA__CACHE_BYTES) return cut_word(unigram, vocab, s, word, n);
    uint64_t key[4];
    kua__cached *entry = kua__cache_slot(s, word, n, 0, key);
    if (kua__cache_hit(entry, key)) {
        for (uint32_t i = 0; i < entry->n; i++) {
            if (!kua__scratch_put(s, entry->id[i])) return false;
        }
        return true;
    }
    size_t first = s->n;
    bool more = cut_word(unigram, vocab, s, word, n);
    kua__cache_keep(entry, key, s, first);
    return more;
}
