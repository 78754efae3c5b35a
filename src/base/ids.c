/* base/ids.c - names to dense numbers: users, items, categories, brands.
 *
 *     slot   [ 0 | 2 | 0 | 1 | 0 | 3 | 0 | 0 ]     number + 1 at hash(name) mod n_slots, or the
 * next free slot name   [ "u17" | "u4" | "x" ]                in order of first appearance
 *
 * Invariants
 *   I1  n_slots is 0 or a power of two, and at least twice count: a probe always finds an empty
 * slot soon. I2  a failed add leaves every number and name as it was.
 */
#include "base/base.h"

#include <assert.h>
#include <string.h>

enum { ARENA_CHUNK = 64 * 1024, FIRST_SLOTS = 64 };

static inline uint64_t fold(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Eight bytes a round, each folded in with a 64x64->128 bit product (the idea of wyhash; Wang Yi,
 * 2019). The values are part of no file format. */
uint64_t kua__hash64(const void *data, size_t n, uint64_t seed)
{
    static const uint64_t p0 = UINT64_C(0xa0761d6478bd642f), p1 = UINT64_C(0xe7037ed1a0b428db);
    assert(data || n == 0);
    const unsigned char *s = data;
    uint64_t h = seed ^ fold(n ^ p0, p1), word;
    for (; n >= 8; n -= 8, s += 8) {
        memcpy(&word, s, 8);
        h = fold(h ^ word ^ p0, p1 ^ h);
    }
    word = 0;
    if (n) {
        memcpy(&word, s, n);
    }
    h = fold(h ^ word ^ p1, p0);
    return fold(h ^ p0, p1);
}

void kua__ids_init(kua__ids *ids)
{
    assert(ids);
    *ids = (kua__ids){0};
    kua__arena_init(&ids->arena, ARENA_CHUNK);
}

/* The slot that holds the name, or the empty one where it belongs. */
static size_t find_slot(const kua__ids *ids, const char *name, size_t n)
{
    size_t mask = ids->n_slots - 1, at = kua__hash64(name, n, 0) & mask;
    for (; ids->slot[at]; at = (at + 1) & mask) {
        uint32_t id = ids->slot[at] - 1;
        if (ids->len[id] == n && memcmp(ids->name[id], name, n) == 0) {
            break;
        }
    }
    return at;
}

uint32_t kua__ids_find(const kua__ids *ids, const char *name, size_t n)
{
    assert(ids && name);
    if (!ids->n_slots) {
        return KUA__NO_ID;
    }
    uint32_t slot = ids->slot[find_slot(ids, name, n)];
    return slot ? slot - 1 : KUA__NO_ID;
}

static kua_status grow_slots(kua__ids *ids)
{
    if (ids->n_slots >= 2 * (ids->count + 1)) {
        return KUA_OK;
    }
    size_t n_slots = ids->n_slots ? 4 * ids->n_slots : FIRST_SLOTS;
    uint32_t *old = ids->slot, *slot;
    KUA__TRY(KUA__NEW_ZEROED(&slot, n_slots, "a table of names"));
    ids->slot = slot;
    ids->n_slots = n_slots;
    for (size_t id = 0; id < ids->count; id++) {
        ids->slot[find_slot(ids, ids->name[id], ids->len[id])] = (uint32_t)id + 1;
    }
    kua__free(old);
    return KUA_OK;
}

/* Both arrays have one capacity: it changes when both have grown. */
static kua_status grow_names(kua__ids *ids)
{
    size_t capacity = ids->capacity;
    KUA__TRY(KUA__GROW(&ids->name, &capacity, ids->count, "names"));
    if (capacity == ids->capacity) {
        return KUA_OK;
    }
    uint32_t *len = kua__realloc_array(ids->len, capacity, sizeof(*len));
    if (!len) {
        return kua__fail_nomem(capacity * sizeof(*len), "lengths of names");
    }
    ids->len = len;
    ids->capacity = capacity;
    return KUA_OK;
}

kua_status kua__ids_add(kua__ids *ids, const char *name, size_t n, uint32_t *out)
{
    assert(ids && name && out);
    assert(!memchr(name, '\0', n));
    if (n >= UINT32_MAX || ids->count >= UINT32_MAX - 1) {
        return kua__fail(KUA_INVALID, "names: %zu names, and one of %zu bytes, limit is 2^32",
                         ids->count, n);
    }
    *out = kua__ids_find(ids, name, n);
    if (*out != KUA__NO_ID) {
        return KUA_OK;
    }
    KUA__TRY(grow_slots(ids));
    KUA__TRY(grow_names(ids));
    char *copy = kua__arena_strndup(&ids->arena, name, n);
    if (!copy) {
        return kua__fail_nomem(n + 1, "a name");
    }
    uint32_t id = (uint32_t)ids->count;
    ids->slot[find_slot(ids, name, n)] = id + 1;
    ids->name[id] = copy;
    ids->len[id] = (uint32_t)n;
    ids->count++;
    *out = id;
    return KUA_OK;
}

void kua__ids_release(kua__ids *ids)
{
    assert(ids);
    kua__free(ids->name);
    kua__free(ids->len);
    kua__free(ids->slot);
    kua__arena_release(&ids->arena);
    *ids = (kua__ids){.arena = {.chunk_bytes = ids->arena.chunk_bytes}};
}
