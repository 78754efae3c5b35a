/* trie.c - a double-array trie over bytes (Aoe, "An efficient digital search algorithm by using a
 * double-array structure", 1989).
 *
 * Why it exists
 *   WordPiece asks at every position of a word for the longest piece that starts there. A hash
 *   table would be asked once for each possible length; a trie answers in one walk, a byte a step,
 *   one memory access each.
 *
 * How it works
 *   All nodes live in one array. A node s owns a number base; its child by byte b is the cell
 *   base ^ b, if that cell's check says s. As only the low eight bits change, all children of s lie
 *   in one block of 256 cells, so that a walk never leaves the array. Building places nodes breadth
 *   first: near the root, where every walk begins, cells are close together.
 *
 *       cell   0: root   97: 'a' of root   12: 't' of 97 (ends "at")   ...
 *       base   0         12 ^ 't'          ...
 *       check  -         0                 97
 *
 *   A node with one child takes the first free cell. For a node with several, bases are tried from
 *   `hint` on; once the search has gone PATIENCE cells beyond it, the hint follows, so that the
 *   work is bounded for any set of keys. Gaps left behind go to nodes with one child.
 *
 * Invariants
 *   I1  n_cells is a multiple of 256, and every base >> 1 is below it.
 *   I2  cells below first_free are taken.
 *   I3  free cells have base 0 and check KUA__TRIE_FREE; the root is nobody's child.
 */
#include "text/trie.h"

#include <assert.h>
#include <string.h>

enum { BLOCK = 256, PATIENCE = 512, CELLS_MAX = 1 << 28 };

/* A node whose children are still to be placed: keys[first..last) share `depth` bytes. */
typedef struct pending {
    uint32_t state, first, last, depth;
} pending;

typedef struct builder {
    kua__trie *trie;
    const kua__key *keys;
    pending *queue;
    size_t head, tail, queue_room;
    size_t first_free, hint;
    uint8_t label[BLOCK];      /* of the node in hand: its children's bytes, ascending, */
    uint32_t start[BLOCK + 1]; /* and where the keys of each begin */
    size_t n_children;
} builder;

int kua__key_order(const void *a, const void *b)
{
    const kua__key *x = a, *y = b;
    int order = memcmp(x->bytes, y->bytes, KUA__MIN(x->n, y->n));
    return order ? order : (x->n > y->n) - (x->n < y->n);
}

static kua_status add_cells(kua__trie *trie)
{
    size_t old = trie->n_cells, n = old ? old * 2 : 4 * BLOCK;
    if (n > CELLS_MAX)
        return kua__fail(KUA_FORMAT, "vocabulary: its trie has over %d cells", CELLS_MAX);
    kua__trie_cell *cell = kua__realloc_array(trie->cell, n, sizeof(*cell));
    if (!cell) return kua__fail_nomem(n * sizeof(*cell), "a vocabulary's trie");
    trie->cell = cell;
    uint32_t *id = kua__realloc_array(trie->id, n, sizeof(*id));
    if (!id) return kua__fail_nomem(n * sizeof(*id), "a vocabulary's trie");
    trie->id = id;
    trie->n_cells = n;
    for (size_t i = old; i < n; i++) {
        cell[i] = (kua__trie_cell){0, KUA__TRIE_FREE};
        id[i] = 0;
    }
    return KUA_OK;
}

static bool is_free(const builder *b, size_t cell)
{
    return b->trie->cell[cell].check == KUA__TRIE_FREE && cell != KUA__TRIE_ROOT;
}

/* The first free cell at or after `at`. */
static kua_status next_free(builder *b, size_t at, size_t *out)
{
    for (;; at++) {
        if (at >= b->trie->n_cells) KUA__TRY(add_cells(b->trie));
        if (is_free(b, at)) break;
    }
    *out = at;
    return KUA_OK;
}

static bool all_fit(const builder *b, size_t base)
{
    assert(b->n_children >= 2);
    for (size_t i = 0; i < b->n_children; i++) {
        /* All in one block of 256 (I1): if the first is inside the array, so are the others. */
        if (!is_free(b, base ^ b->label[i])) return false;
    }
    return true;
}

static kua_status find_base(builder *b, uint32_t *base)
{
    assert(b->n_children >= 1 && b->first_free >= 1);
    KUA__TRY(next_free(b, b->first_free, &b->first_free));
    if (b->n_children == 1) {
        *base = (uint32_t)(b->first_free ^ b->label[0]);
        return KUA_OK;
    }
    KUA__TRY(next_free(b, KUA__MAX(b->hint, b->first_free), &b->hint));
    size_t at = b->hint;
    while (!all_fit(b, at ^ b->label[0])) {
        KUA__TRY(next_free(b, at + 1, &at));
        if (at - b->hint > PATIENCE) b->hint = at;
    }
    *base = (uint32_t)(at ^ b->label[0]);
    return KUA_OK;
}

static kua_status enqueue(builder *b, pending node)
{
    KUA__TRY(KUA__GROW(&b->queue, &b->queue_room, b->tail, "a vocabulary's trie"));
    b->queue[b->tail++] = node;
    return KUA_OK;
}

/* Splits the node's keys by their next byte into label[] and start[]. */
static void find_children(builder *b, pending node)
{
    assert(node.first < node.last);
    b->n_children = 0;
    for (uint32_t i = node.first; i < node.last; i++) {
        assert(b->keys[i].n > node.depth);
        uint8_t byte = (uint8_t)b->keys[i].bytes[node.depth];
        if (b->n_children && b->label[b->n_children - 1] == byte) continue;
        assert(!b->n_children || b->label[b->n_children - 1] < byte);
        b->label[b->n_children] = byte;
        b->start[b->n_children++] = i;
    }
    b->start[b->n_children] = node.last;
}

/* Places one node's children; a child whose first key ends there is an entry, the rest goes on the
 * queue. */
static kua_status place(builder *b, pending node)
{
    find_children(b, node);
    uint32_t base = 0;
    KUA__TRY(find_base(b, &base));
    kua__trie *trie = b->trie;
    assert(base < trie->n_cells);
    trie->cell[node.state].base |= base << 1;
    for (size_t i = 0; i < b->n_children; i++) {
        pending child = {base ^ b->label[i], b->start[i], b->start[i + 1], node.depth + 1};
        assert(is_free(b, child.state));
        trie->cell[child.state].check = node.state;
        if (b->keys[child.first].n == child.depth) {
            trie->cell[child.state].base = 1;
            trie->id[child.state] = b->keys[child.first++].id;
        }
        if (child.first < child.last) KUA__TRY(enqueue(b, child));
    }
    return KUA_OK;
}

kua_status kua__trie_build(kua__trie *trie, const kua__key *keys, size_t n)
{
    assert(trie && (keys || n == 0) && n <= UINT32_MAX);
    *trie = (kua__trie){0};
    builder b = {.trie = trie, .keys = keys, .first_free = 1, .hint = 1};
    kua_status st = add_cells(trie);
    if (!st && n) st = enqueue(&b, (pending){KUA__TRIE_ROOT, 0, (uint32_t)n, 0});
    while (!st && b.head < b.tail)
        st = place(&b, b.queue[b.head++]);
    kua__free(b.queue);
    if (st) kua__trie_release(trie);
    return st;
}

uint32_t kua__trie_walk(const kua__trie *trie, uint32_t from, const char *text, size_t n)
{
    assert(trie && (text || n == 0));
    for (size_t i = 0; i < n && from != KUA__TRIE_DEAD; i++) {
        from = kua__trie_step(trie, from, (uint8_t)text[i]);
    }
    return from;
}

void kua__trie_release(kua__trie *trie)
{
    kua__free(trie->cell);
    kua__free(trie->id);
    *trie = (kua__trie){0};
}
