/* base/arena.c - memory that is released as a whole.
 *
 *     first                     current
 *       |                          |
 *     [chunk: full] -> [chunk: full] -> [chunk: free] -> [chunk: free]
 *
 * Allocation bumps `used` of the current chunk. Where that is full, the first free chunk behind it
 * that is large enough is moved next to it and becomes current; only where none is does the system
 * get asked. So a step that repeats the same requests after a reset asks the system for nothing.
 *
 * Invariants
 *   I1  chunks behind `current` are empty (used == 0).
 *   I2  payloads start on 64 bytes, and so does every block but a string.
 */
#include "base/base.h"

#include <assert.h>
#include <string.h>

enum { ALIGNMENT = 64 };

typedef struct kua__arena_chunk {
    _Alignas(ALIGNMENT) struct kua__arena_chunk *next;
    size_t size, used; /* bytes of the payload, which follows this header */
} chunk;

static char *payload(chunk *c)
{
    return (char *)(c + 1);
}

void kua__arena_init(kua__arena *arena, size_t chunk_bytes)
{
    assert(arena && chunk_bytes > 0);
    *arena = (kua__arena){.chunk_bytes = chunk_bytes};
}

/* Bytes from `used` to the next multiple of `align`, then `bytes`; NULL where that does not fit. */
static void *bump(chunk *c, size_t bytes, size_t align)
{
    size_t start = (c->used + align - 1) & ~(align - 1);
    if (start > c->size || bytes > c->size - start) {
        return NULL;
    }
    c->used = start + bytes;
    return payload(c) + start;
}

static void insert_after(kua__arena *arena, chunk *fresh)
{
    chunk **link = arena->current ? &arena->current->next : &arena->first;
    fresh->next = *link;
    *link = fresh;
    arena->current = fresh;
}

/* Makes a chunk with room for `bytes` current: a free one, or a new one. */
static bool next_chunk(kua__arena *arena, size_t bytes)
{
    chunk **link = arena->current ? &arena->current->next : &arena->first;
    for (; *link; link = &(*link)->next) {
        chunk *c = *link;
        assert(c->used == 0); /* I1 */
        if (c->size >= bytes) {
            *link = c->next;
            insert_after(arena, c);
            return true;
        }
    }
    size_t size = KUA__MAX(bytes, arena->chunk_bytes), total;
    if (__builtin_add_overflow(size, sizeof(chunk), &total)) {
        return false;
    }
    chunk *fresh = kua__malloc(total);
    if (!fresh) {
        return false;
    }
    *fresh = (chunk){.size = size};
    insert_after(arena, fresh);
    return true;
}

static void *arena_take(kua__arena *arena, size_t bytes, size_t align)
{
    assert(arena && arena->chunk_bytes > 0);
    void *p = arena->current ? bump(arena->current, bytes, align) : NULL;
    if (!p && next_chunk(arena, bytes)) {
        p = bump(arena->current, bytes, align);
        assert(p);
    }
    return p;
}

void *kua__arena_alloc(kua__arena *arena, size_t bytes)
{
    void *p = arena_take(arena, bytes, ALIGNMENT);
    assert((uintptr_t)p % ALIGNMENT == 0); /* I2 */
    return p;
}

void *kua__arena_zalloc(kua__arena *arena, size_t bytes)
{
    void *p = kua__arena_alloc(arena, bytes);
    if (p) {
        memset(p, 0, bytes);
    }
    return p;
}

char *kua__arena_strndup(kua__arena *arena, const char *text, size_t n)
{
    assert(text || n == 0);
    char *copy = n < SIZE_MAX ? arena_take(arena, n + 1, 1) : NULL;
    if (copy) {
        if (n) {
            memcpy(copy, text, n);
        }
        copy[n] = '\0';
    }
    return copy;
}

void kua__arena_reset(kua__arena *arena)
{
    assert(arena);
    for (chunk *c = arena->first; c; c = c->next) {
        c->used = 0;
    }
    arena->current = NULL;
}

size_t kua__arena_bytes(const kua__arena *arena)
{
    size_t bytes = 0;
    for (const chunk *c = arena->first; c; c = c->next) {
        bytes += sizeof(*c) + c->size;
    }
    return bytes;
}

void kua__arena_release(kua__arena *arena)
{
    assert(arena);
    for (chunk *c = arena->first, *next; c; c = next) {
        next = c->next;
        kua__free(c);
    }
    arena->first = arena->current = NULL;
}
