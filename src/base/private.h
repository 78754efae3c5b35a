/* base/private.h - what files of this layer share and no other layer sees. */
#ifndef KUA_BASE_PRIVATE_H
#define KUA_BASE_PRIVATE_H

#include <stddef.h>

/* A counted block with malloc's own alignment, for many small ones (strings, JSON). Freed with
 * kua__free or free(). */
void *kua__malloc_unaligned(size_t bytes);

/* Spins on a core that has a sibling thread: tells it to wait. */
static inline void kua__pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

#endif
