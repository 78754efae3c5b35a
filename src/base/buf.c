/* base/buf.c - a growing byte buffer whose first failure sticks.
 *
 * A report is a long row of appends; checking each would bury what it says. So an append after a
 * failure does nothing, and kua__buf_status() at the end tells whether all of them worked.
 *
 * Invariants
 *   I1  where data is not NULL: len < capacity and data[len] == 0.
 */
#include "base/base.h"

#include <assert.h>
#include <string.h>

/* Room for n more bytes and the NUL, or `failed`. */
static bool buf_reserve(kua__buf *buf, size_t n)
{
    assert(buf);
    if (buf->failed) {
        return false;
    }
    if (n < buf->capacity - buf->len) { /* capacity 0 means len 0: n < 0 is false */
        return true;
    }
    size_t need, capacity;
    if (__builtin_add_overflow(buf->len, n, &need) || need >= SIZE_MAX / 2) {
        buf->failed = true;
        return false;
    }
    capacity = KUA__MAX(need + 1, KUA__MAX(2 * buf->capacity, (size_t)64));
    char *data = kua__realloc_array(buf->data, capacity, 1);
    if (!data) {
        buf->failed = true;
        return false;
    }
    buf->data = data;
    buf->capacity = capacity;
    return true;
}

void kua__buf_add(kua__buf *buf, const void *data, size_t n)
{
    assert(data || n == 0);
    if (!buf_reserve(buf, n)) {
        return;
    }
    if (n) {
        memcpy(buf->data + buf->len, data, n);
    }
    buf->len += n;
    buf->data[buf->len] = '\0';
}

void kua__buf_puts(kua__buf *buf, const char *text)
{
    assert(text);
    kua__buf_add(buf, text, strlen(text));
}

void kua__buf_printf(kua__buf *buf, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    assert(n >= 0);
    if (buf_reserve(buf, (size_t)n)) {
        vsnprintf(buf->data + buf->len, (size_t)n + 1, format, again);
        buf->len += (size_t)n;
    }
    va_end(again);
    va_end(args);
}

void kua__buf_clear(kua__buf *buf)
{
    assert(buf);
    buf->len = 0;
    buf->failed = false;
    if (buf->data) {
        buf->data[0] = '\0';
    }
}

kua_status kua__buf_status(const kua__buf *buf)
{
    assert(buf);
    return buf->failed ? kua__fail_nomem(buf->capacity * 2, "a text buffer") : KUA_OK;
}

void kua__buf_release(kua__buf *buf)
{
    assert(buf);
    kua__free(buf->data);
    *buf = (kua__buf){0};
}
