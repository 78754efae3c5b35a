/* fuzz/fuzz_safetensors.c - any bytes as a tensor file: refused with a message, or every tensor
 * lies inside the data and can be read to its last element. What loads is found by its own name. */
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "tensor/safetensors.h"

static void require(bool holds)
{
    if (!holds) abort();
}

static void require_sane(const kua__safetensors *f, const kua__tensor *t, const char *data,
                         size_t n)
{
    const char *begin = t->data;
    float last = 0;
    require(begin >= data && t->bytes <= n && (size_t)(begin - data) <= n - t->bytes);
    require(t->rank <= KUA__RANK_MAX && t->bytes == t->count * kua__dtype_size(t->dtype));
    require(kua__safetensors_find(f, t->name) == t);
    const kua__tensor *same = NULL;
    require(kua__safetensors_need(f, t->name, t->rank, t->dim, &same) == KUA_OK && same == t);
    if (t->count) kua__tensor_to_f32(t, t->count - 1, 1, &last);
    require(kua__tensor_f32(t) == NULL || kua__tensor_f32(t) == t->data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    long live = kua__alloc_live();
    kua__safetensors *f = NULL;
    kua_status st = kua__safetensors_parse("fuzz", data, size, &f);
    require((st == KUA_OK) == (f != NULL));
    if (st) {
        require(st == KUA_FORMAT && strlen(kua_error_message()) > 0);
    } else {
        for (size_t i = 0; i < kua__safetensors_count(f); i++)
            require_sane(f, kua__safetensors_at(f, i), (const char *)data, size);
        require(kua__safetensors_find(f, "") == NULL);
        (void)kua__safetensors_meta(f, "format");
    }
    kua__safetensors_close(f);
    require(kua__alloc_live() == live);
    return 0;
}
