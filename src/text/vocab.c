/* vocab.c - checks a list of pieces and turns it into a vocabulary.
 *
 * Why it is strict
 *   An id is a row of the model's embedding table. A vocabulary with a hole, or with a line lost or
 *   doubled by an editor, shifts rows, and the model then gives vectors that look fine and mean
 *   nothing. So anything but a one-to-one list of 0..n-1 is refused, with both places named.
 *
 * Invariants
 *   I1  at[0] = 0, and piece i occupies bytes[at[i]] up to its NUL; no piece is empty or holds one.
 */
#include "text/vocab.h"

#include <assert.h>
#include <string.h>

#include "kua/tokenizer.h"

kua_status kua__pieces_add(kua__pieces *pieces, const char *name, size_t line, const char *piece,
                           size_t n, uint32_t id)
{
    assert(name && piece);
    char place[32] = "";
    if (line) snprintf(place, sizeof(place), ":%zu", line);
    if (pieces->n >= KUA_VOCAB_MAX) {
        return kua__fail(KUA_FORMAT, "%s%s: more than %d pieces", name, place, KUA_VOCAB_MAX);
    }
    if (n == 0) return kua__fail(KUA_FORMAT, "%s%s: piece %u is empty", name, place, id);
    if (n > KUA_PIECE_BYTES_MAX) {
        return kua__fail(KUA_FORMAT,
                         "%s%s: piece %u has %zu bytes (\"%.40s...\"), at most %d are allowed",
                         name, place, id, n, piece, KUA_PIECE_BYTES_MAX);
    }
    if (memchr(piece, 0, n))
        return kua__fail(KUA_FORMAT, "%s%s: piece %u holds a NUL byte", name, place, id);
    size_t valid = kua__utf8_valid(piece, n);
    if (valid < n) {
        return kua__fail(KUA_FORMAT, "%s%s: piece %u is not UTF-8: byte 0x%02x at position %zu",
                         name, place, id, (unsigned char)piece[valid], valid);
    }
    KUA__TRY(KUA__GROW(&pieces->key, &pieces->room, pieces->n, "a vocabulary"));
    pieces->key[pieces->n++] = (kua__key){piece, (uint32_t)n, id};
    return KUA_OK;
}

void kua__pieces_release(kua__pieces *pieces)
{
    kua__free(pieces->key);
    *pieces = (kua__pieces){0};
}

/* Fills by_id, a permutation of the keys, or tells which id is missing, doubled or too large. */
static kua_status order_by_id(const char *name, const kua__pieces *pieces, const kua__key **by_id)
{
    memset(by_id, 0, pieces->n * sizeof(*by_id));
    for (size_t i = 0; i < pieces->n; i++) {
        const kua__key *key = &pieces->key[i];
        if (key->id >= pieces->n)
            continue; /* then another id is missing: the message below names it */
        const kua__key *other = by_id[key->id];
        if (other) {
            return kua__fail(KUA_FORMAT, "%s: id %u is both \"%.*s\" and \"%.*s\"", name, key->id,
                             (int)other->n, other->bytes, (int)key->n, key->bytes);
        }
        by_id[key->id] = key;
    }
    for (size_t id = 0; id < pieces->n; id++) {
        if (!by_id[id]) {
            return kua__fail(KUA_FORMAT, "%s: no piece has id %zu, expected each of 0..%zu once",
                             name, id, pieces->n - 1);
        }
    }
    return KUA_OK;
}

static kua_status copy_pieces(kua__vocab *vocab, const kua__key *const *by_id, size_t n)
{
    size_t bytes = 0;
    for (size_t id = 0; id < n; id++)
        bytes += by_id[id]->n + 1;
    KUA__TRY(KUA__NEW_ARRAY(&vocab->bytes, bytes, "a vocabulary"));
    KUA__TRY(KUA__NEW_ARRAY(&vocab->at, n, "a vocabulary"));
    size_t at = 0;
    for (size_t id = 0; id < n; id++) {
        vocab->at[id] = at;
        memcpy(vocab->bytes + at, by_id[id]->bytes, by_id[id]->n);
        at += by_id[id]->n;
        vocab->bytes[at++] = 0;
    }
    assert(at == bytes);
    vocab->n = n;
    return KUA_OK;
}

static kua_status build_trie(kua__vocab *vocab, const char *name, kua__key *key, size_t n)
{
    qsort(key, n, sizeof(*key), kua__key_order);
    for (size_t i = 1; i < n; i++) {
        if (kua__key_order(&key[i - 1], &key[i]) != 0) continue;
        uint32_t first = KUA__MIN(key[i - 1].id, key[i].id),
                 second = KUA__MAX(key[i - 1].id, key[i].id);
        return kua__fail(KUA_FORMAT, "%s: \"%.*s\" is piece %u and piece %u (counted from 0)", name,
                         (int)key[i].n, key[i].bytes, first, second);
    }
    return kua__trie_build(&vocab->trie, key, n);
}

kua_status kua__vocab_build(kua__vocab *vocab, const char *name, kua__pieces *pieces,
                            size_t n_model)
{
    assert(n_model <= pieces->n);
    *vocab = (kua__vocab){0};
    if (n_model == 0) return kua__fail(KUA_FORMAT, "%s: the vocabulary is empty", name);
    const kua__key **by_id = NULL;
    KUA__TRY(KUA__NEW_ARRAY(&by_id, pieces->n, "a vocabulary"));
    kua_status st = order_by_id(name, pieces, by_id);
    if (!st) st = copy_pieces(vocab, by_id, pieces->n);
    kua__free(by_id);
    if (!st) st = build_trie(vocab, name, pieces->key, n_model);
    if (st) kua__vocab_release(vocab);
    return st;
}

void kua__vocab_release(kua__vocab *vocab)
{
    kua__free(vocab->bytes);
    kua__free(vocab->at);
    kua__trie_release(&vocab->trie);
    *vocab = (kua__vocab){0};
}

uint32_t kua__vocab_find(const kua__vocab *vocab, const char *piece, size_t n)
{
    assert(vocab && (piece || n == 0));
    uint32_t id = KUA_TOKEN_NONE;
    size_t length = kua__trie_longest(&vocab->trie, KUA__TRIE_ROOT, (const uint8_t *)piece, n, &id);
    return n && length == n ? id : KUA_TOKEN_NONE;
}

const char *kua__vocab_piece(const kua__vocab *vocab, uint32_t id)
{
    return id < vocab->n ? vocab->bytes + vocab->at[id] : NULL;
}
