/* kernels.c - chooses the table of kernels once.
 *
 * The choice is what the processor can do, lowered by KUA_ISA. Asking for more than the processor
 * has is not an error: tests set KUA_ISA=avx512 everywhere and get what there is. The avx512 table
 * needs all sets that its file is compiled for but bf16, whose instructions are only in files that
 * kua__cpu_has_bf16() guards.
 */
#include "tensor/kernels.h"

#include <assert.h>
#include <pthread.h>

#include "tensor/kernels_tables.h"

static pthread_once_t once = PTHREAD_ONCE_INIT;
static const kua__kernels *chosen; /* written once under `once` */
static bool bf16;                  /* the same */

static const char *const isa_names[KUA__ISA_COUNT] = {"plain", "avx2", "avx512"};

const kua__kernels *kua__kernels_of(kua__isa isa)
{
    assert(isa < KUA__ISA_COUNT);
#if defined(__x86_64__)
    if (isa == KUA__ISA_AVX512) {
        bool has = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                   __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                   __builtin_cpu_supports("avx512vnni");
        return has ? &kua__kernels_avx512 : NULL;
    }
    if (isa == KUA__ISA_AVX2) {
        bool has = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
        return has ? &kua__kernels_avx2 : NULL;
    }
#endif
    return isa == KUA__ISA_PLAIN ? &kua__kernels_plain : NULL;
}

static kua__isa isa_wanted(void)
{
    const char *text = getenv("KUA_ISA");
    for (int i = 0; text && i < KUA__ISA_COUNT; i++) {
        if (kua__streq(text, isa_names[i])) return (kua__isa)i;
    }
    return KUA__ISA_AVX512; /* unset or unknown: the best there is */
}

static void choose(void)
{
    kua__isa wanted = isa_wanted();
    for (int i = (int)wanted; i >= 0 && !chosen; i--)
        chosen = kua__kernels_of((kua__isa)i);
    assert(chosen); /* the plain one is always there */
#if defined(__x86_64__)
    bf16 = chosen->isa == KUA__ISA_AVX512 && __builtin_cpu_supports("avx512bf16");
#endif
}

const kua__kernels *kua__kernels_get(void)
{
    pthread_once(&once, choose);
    return chosen;
}

bool kua__cpu_has_bf16(void)
{
    pthread_once(&once, choose);
    return bf16;
}
