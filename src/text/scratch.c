/* scratch.c - working memory and the word cache.
 *
 * Why it exists
 *   A tokenizer is immutable, yet BPE wants to remember words: most of a text is words seen before,
 *   and merging one anew costs fifty times what looking it up does. So what changes lies in
 *   scratches. A thread borrows one for a text (or for some texts of a batch) and gives it back;
 *   the tokenizer keeps them, so that repeated use allocates nothing.
 *
 * The cache
 *   8,192 lines of 64 bytes, found by a hash of the word and overwritten by the next word with the
 *   same hash. An entry holds the whole word, so that a hit is certain: the cache changes the time
 *   and nothing else. Ids of a word that was cut by the limit are not kept.
 */
#include "text/scratch.h"

#include <assert.h>
#include <string.h>

enum { KEEP_BYTES_MAX = 4 << 20 }; /* a text of 1 MB does not stay in memory for good */

static void scratch_free(kua__scratch *s)
{
    if (!s) return;
    kua__buf_release(&s->text);
    kua__buf_release(&s->normal[0]);
    kua__buf_release(&s->normal[1]);
    kua__buf_release(&s->piece);
    for (size_t i = 0; i < KUA__SPLIT_STEPS_MAX; i++)
        kua__buf_release(&s->room[i]);
    kua__free(s->id);
    kua__free(s->symbol);
    kua__free(s->heap);
    kua__free(s->node);
    kua__free(s->cache);
    kua__free(s);
}

void kua__pool_init(kua__pool *pool)
{
    assert(pool);
    *pool = (kua__pool){0};
    pthread_mutex_init(&pool->lock, NULL);
}

void kua__pool_release(kua__pool *pool)
{
    assert(pool);
    while (pool->first) {
        kua__scratch *s = pool->first;
        pool->first = s->next;
        scratch_free(s);
    }
    pthread_mutex_destroy(&pool->lock);
}

kua__scratch *kua__pool_take(kua__pool *pool)
{
    assert(pool);
    pthread_mutex_lock(&pool->lock);
    kua__scratch *s = pool->first;
    if (s) pool->first = s->next;
    pthread_mutex_unlock(&pool->lock);
    if (!s) {
        s = kua__calloc(1, sizeof(*s));
        if (s && !(s->cache = kua__calloc(KUA__CACHE_ENTRIES, sizeof(*s->cache)))) {
            kua__free(s);
            s = NULL;
        }
    }
    if (s) {
        s->n = 0;
        s->failed = false;
    }
    return s;
}

static size_t held_bytes(const kua__scratch *s)
{
    size_t bytes = s->text.capacity + s->normal[0].capacity + s->normal[1].capacity +
                   s->id_room * sizeof(*s->id) + s->symbol_room * sizeof(*s->symbol) +
                   s->heap_room * sizeof(*s->heap) + s->node_room * sizeof(*s->node);
    for (size_t i = 0; i < KUA__SPLIT_STEPS_MAX; i++)
        bytes += s->room[i].capacity;
    return bytes;
}

void kua__pool_give(kua__pool *pool, kua__scratch *s)
{
    assert(pool && s);
    if (s->failed || held_bytes(s) > KEEP_BYTES_MAX) {
        scratch_free(s);
        return;
    }
    pthread_mutex_lock(&pool->lock);
    s->next = pool->first;
    pool->first = s;
    pthread_mutex_unlock(&pool->lock);
}

bool kua__scratch_room(kua__scratch *scratch, void **array, size_t *room, size_t n, size_t size)
{
    assert(scratch && array && room && size);
    if (n <= *room) return true;
    size_t more = KUA__MAX(n, *room + *room / 2);
    void *grown = kua__alloc_array(more, size);
    if (!grown) {
        scratch->failed = true;
        return false;
    }
    kua__free(*array);
    *array = grown;
    *room = more;
    return true;
}

bool kua__scratch_put(kua__scratch *s, uint32_t id)
{
    if (s->n >= s->limit) return false;
    if (s->n == s->id_room) {
        size_t more = KUA__MAX(256, s->id_room * 2);
        uint32_t *grown = kua__realloc_array(s->id, more, sizeof(*grown));
        if (!grown) {
            s->failed = true;
            return false;
        }
        s->id = grown;
        s->id_room = more;
    }
    s->id[s->n++] = id;
    return s->n < s->limit;
}

kua__cached *kua__cache_slot(kua__scratch *s, const uint8_t *word, size_t n, unsigned set,
                             uint64_t key[4])
{
    static const uint8_t mask[64] = {255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
                                     255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
                                     255, 255, 255, 255, 255, 255, 255, 255, 255, 255};
    assert(n >= 1 && n <= KUA__CACHE_BYTES && set <= 1);
    uint64_t keep[4];
    memcpy(key, word, 32);
    memcpy(keep, mask + 32 - n, 32);
    for (int i = 0; i < 4; i++)
        key[i] &= keep[i];
    key[3] |= (uint64_t)(n | set << 7) << 56;
    uint64_t h = (key[0] ^ (key[3] << 7 | key[3] >> 57)) * UINT64_C(0x9e3779b97f4a7c15);
    h ^= (key[1] ^ (key[2] << 13 | key[2] >> 51)) * UINT64_C(0xc2b2ae3d27d4eb4f);
    h ^= h >> 29;
    return &s->cache[(h * UINT64_C(0xff51afd7ed558ccd)) >> (64 - 13)];
}

void kua__cache_keep(kua__cached *entry, const uint64_t key[4], const kua__scratch *s, size_t first)
{
    assert(entry && first <= s->n);
    size_t n = s->n - first;
    if (n > KUA__CACHE_IDS || s->n >= s->limit || s->failed) return;
    memcpy(entry->key, key, sizeof(entry->key));
    if (n) memcpy(entry->id, s->id + first, n * sizeof(*entry->id));
    entry->n = (uint32_t)n;
}
