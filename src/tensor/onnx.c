#include "tensor/onnx.h"
kua_status kua__onnx_parse(const char *name, const void *data, size_t n, kua__onnx **out)
{
    (void)data;
    (void)n;
    *out = NULL;
    return kua__fail(KUA_FORMAT, "%s: ONNX files cannot be read yet", name);
}
void kua__onnx_close(kua__onnx *file)
{
    (void)file;
}
size_t kua__onnx_count(const kua__onnx *file)
{
    (void)file;
    return 0;
}
const kua__tensor *kua__onnx_at(const kua__onnx *file, size_t i)
{
    (void)file;
    (void)i;
    return NULL;
}
const char *kua__onnx_meta(const kua__onnx *file, const char *key)
{
    (void)file;
    (void)key;
    return NULL;
}
