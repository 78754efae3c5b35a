/* fuzz/fuzz_onnx.c - any bytes as an ONNX file: refused with a message, or every tensor can be read
 * and no two have the same name. */
#include "tensor/onnx.h"
#include "fuzz_weights.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    long live = kua__alloc_live();
    kua__onnx *f = NULL;
    kua_status st = kua__onnx_parse("fuzz", data, size, &f);
    require((st == KUA_OK) == (f != NULL));
    if (st) {
        require(st == KUA_FORMAT && strlen(kua_error_message()) > 0);
    } else {
        size_t n = kua__onnx_count(f);
        for (size_t i = 0; i < n; i++) {
            require_sane(kua__onnx_at(f, i));
            for (size_t k = 0; k < i && n < 100; k++)
                require(strcmp(kua__onnx_at(f, i)->name, kua__onnx_at(f, k)->name) != 0);
        }
    }
    kua__onnx_close(f);
    require(kua__alloc_live() == live);
    return 0;
}
