/* base/alloc.c - where all memory of the library comes from.
 *
 * Why not malloc itself
 *   Vectors want the alignment of a cache line, products of sizes must not overflow, and tests must
 * be able to make any single allocation fail and to count what is still alive. Blocks are plain
 * malloc blocks underneath, so AddressSanitizer sees their exact size.
 *
 *     kua__alloc_fail_after(3)      alloc: countdown 3 -> 2     alloc: 2 -> 1     alloc: 1 -> 0,
 * this one fails
 *
 * Invariants
 *   I1  live = blocks handed out and not yet freed, over all threads.
 *   I2  a failed call changes nothing: the old block of a failed realloc is still valid.
 */
#include "base/base.h"

#include <assert.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/private.h"

enum { ALIGNMENT = 64 };

static atomic_long live;
static atomic_long countdown;

void kua__alloc_fail_after(long nth)
{
    assert(nth >= 0);
    atomic_store(&countdown, nth);
}

bool kua__alloc_has_failed(void)
{
    return atomic_load(&countdown) <= 0;
}

long kua__alloc_live(void)
{
    return atomic_load(&live);
}

/* True for the one allocation that the test hook chose. Costs one relaxed load where no test is on.
 */
static bool must_fail(void)
{
    if (atomic_load_explicit(&countdown, memory_order_relaxed) <= 0) {
        return false;
    }
    return atomic_fetch_sub(&countdown, 1) == 1;
}

static void *count(void *p)
{
    if (p) {
        atomic_fetch_add_explicit(&live, 1, memory_order_relaxed);
    }
    return p;
}

void *kua__malloc(size_t bytes)
{
    void *p = NULL;
    if (bytes > PTRDIFF_MAX || must_fail() || posix_memalign(&p, ALIGNMENT, bytes ? bytes : 1)) {
        return NULL;
    }
    return count(p);
}

void *kua__malloc_unaligned(size_t bytes)
{
    if (bytes > PTRDIFF_MAX || must_fail()) {
        return NULL;
    }
    return count(malloc(bytes ? bytes : 1));
}

void kua__free(void *p)
{
    if (p) {
        atomic_fetch_sub_explicit(&live, 1, memory_order_relaxed);
        free(p);
    }
}

void *kua__alloc_array(size_t n, size_t size)
{
    size_t bytes;
    return __builtin_mul_overflow(n, size, &bytes) ? NULL : kua__malloc(bytes);
}

void *kua__calloc(size_t n, size_t size)
{
    void *p = kua__alloc_array(n, size);
    if (p) {
        memset(p, 0, n * size);
    }
    return p;
}

/* realloc() would lose the alignment, so a block always moves. malloc_usable_size is at least what
 * was asked for. */
void *kua__realloc_array(void *old, size_t n, size_t size)
{
    void *p = kua__alloc_array(n, size);
    if (p && old) {
        size_t had = malloc_usable_size(old);
        memcpy(p, old, KUA__MIN(had, n * size));
        kua__free(old);
    }
    return p;
}

char *kua__strndup(const char *text, size_t n)
{
    assert(text || n == 0);
    char *copy = n < SIZE_MAX ? kua__malloc_unaligned(n + 1) : NULL;
    if (copy) {
        if (n) {
            memcpy(copy, text, n);
        }
        copy[n] = '\0';
    }
    return copy;
}

char *kua__strdup(const char *text)
{
    assert(text);
    return kua__strndup(text, strlen(text));
}

kua_status kua__grow(void **ptr, size_t *capacity, size_t n, size_t size, const char *what)
{
    assert(ptr && capacity && size > 0 && what);
    assert(n <= *capacity);
    if (n < *capacity) {
        return KUA_OK;
    }
    size_t more = *capacity ? 2 * *capacity : KUA__MAX((size_t)4, 256 / size);
    void *p = more > *capacity ? kua__realloc_array(*ptr, more, size) : NULL;
    if (!p) {
        return kua__fail_nomem(more * size, what);
    }
    *ptr = p;
    *capacity = more;
    return KUA_OK;
}
