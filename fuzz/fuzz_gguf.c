/* fuzz/fuzz_gguf.c - any bytes as a GGUF file: refused with a message, or every tensor lies inside
 * the data and can be read, and every setting answers. */
#include "tensor/gguf.h"
#include "fuzz_weights.h"

static void require_inside(const void *p, size_t bytes, const uint8_t *data, size_t n)
{
    const uint8_t *begin = p;
    require(begin >= data && bytes <= n && (size_t)(begin - data) <= n - bytes);
}

static void ask(const kua__gguf *f, const kua__gguf_value *v, const uint8_t *data, size_t size)
{
    int64_t whole = 0;
    double real = 0;
    bool yes = false;
    kua__gguf_text text;
    require(kua__gguf_value_find(f, v->key) == v);
    (void)kua__gguf_int_or(f, v->key, 0, 1000, 1, &whole);
    (void)kua__gguf_real_or(f, v->key, 0, 1, 1, &real);
    (void)kua__gguf_bool_or(f, v->key, false, &yes);
    (void)kua__gguf_string(f, v->key, &text);
    for (size_t i = 0; i < v->n && v->texts; i++)
        require_inside(kua__gguf_text_at(v, i).data, kua__gguf_text_at(v, i).n, data, size);
    if (v->type == KUA__GGUF_TEXT || v->type == KUA__GGUF_ARRAY || v->n == 0) return;
    (void)kua__gguf_real_at(v, v->n - 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    long live = kua__alloc_live();
    kua__gguf *f = NULL;
    kua_status st = kua__gguf_parse("fuzz", data, size, &f);
    require((st == KUA_OK) == (f != NULL));
    if (st) {
        require(st == KUA_FORMAT && strlen(kua_error_message()) > 0);
    } else {
        for (size_t i = 0; i < kua__gguf_count(f); i++) {
            const kua__tensor *t = kua__gguf_at(f, i);
            require_inside(t->data, t->bytes, data, size);
            require_sane(t);
            require(kua__gguf_find(f, t->name) == t);
        }
        for (size_t i = 0; i < kua__gguf_values(f); i++)
            ask(f, kua__gguf_value_at(f, i), data, size);
    }
    kua__gguf_close(f);
    require(kua__alloc_live() == live);
    return 0;
}
