/* base/json.c - settings from JSON, with messages that name the file, the field, its value and what
 * was expected.
 *
 * jansson reports some failed allocations as syntax errors or not at all. Its memory comes from
 * here, so a failure is noted where it happens (`out_of_memory`) and the status is right.
 *
 * Worse: its parser drops a byte of a token where the token's buffer cannot grow (its sizes are
 * powers of two), reads past its end afterwards, and its writer drops a key. So a parse begins with
 * a reserve that is large enough to let the longest token grow; after a failure buffers come from
 * there, everything else keeps failing, and the parse ends at the next node it makes. The
 * allocator is set before main() runs: a value made with one allocator and freed with another would
 * be a wrong count. Blocks are plain malloc blocks, so an application that uses jansson itself and
 * frees a text with free() is right too.
 */
#include "base/json.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "base/private.h"

static _Thread_local bool out_of_memory;
static _Thread_local unsigned long lost; /* allocations that failed, ever */
static _Thread_local struct {
    char *data;
    size_t used, size;
} reserve; /* {0} where nothing is parsed */

enum { RESERVE_LEAST = 4096, TOKEN_GROWTH = 4 /* 32 + 64 + ... up to twice a token */ };

static void *from_reserve(size_t bytes)
{
    bool buffer = bytes >= 32 && (bytes & (bytes - 1)) == 0;
    if (!reserve.data || !buffer || bytes > reserve.size - reserve.used) return NULL;
    reserve.used += bytes;
    return reserve.data + reserve.used - bytes;
}

static void *json_alloc(size_t bytes)
{
    void *p = out_of_memory && reserve.data ? NULL : kua__malloc_unaligned(bytes);
    if (p) return p;
    out_of_memory = true;
    lost++;
    return from_reserve(bytes);
}

static void json_release(void *p)
{
    uintptr_t at = (uintptr_t)p, first = (uintptr_t)reserve.data;
    if (reserve.data && at >= first && at < first + reserve.size) return;
    kua__free(p);
}

__attribute__((constructor)) static void use_our_memory(void)
{
    json_set_alloc_funcs(json_alloc, json_release);
}

/* ---- whole documents ---- */

/* An upper bound of the longest token: bytes between quotes that no backslash hides. */
static size_t longest_token(const char *text, size_t n)
{
    size_t longest = 0, start = 0;
    for (size_t i = 0; i < n; i++) {
        if (text[i] == '\\') {
            i++;
        } else if (text[i] == '"') {
            longest = KUA__MAX(longest, i - start);
            start = i;
        }
    }
    return KUA__MAX(longest, n - start);
}

static json_t *parse(const char *text, size_t n, json_error_t *error)
{
    reserve.size = RESERVE_LEAST + TOKEN_GROWTH * longest_token(text, n);
    reserve.used = 0;
    reserve.data = kua__malloc_unaligned(reserve.size);
    out_of_memory = !reserve.data;
    json_t *json = NULL;
    if (reserve.data) json = json_loadb(text, n, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, error);
    if (out_of_memory) { /* a value without what failed is no value */
        json_decref(json);
        json = NULL;
    }
    kua__free(reserve.data);
    reserve.data = NULL;
    reserve.used = reserve.size = 0;
    return json;
}

kua_status kua__json_parse(const char *name, const char *text, size_t n, json_t **out)
{
    assert(name && (text || n == 0) && out);
    json_error_t error = {.line = 1};
    *out = parse(text ? text : "", n, &error);
    if (*out) return KUA_OK;
    if (out_of_memory) {
        return kua__fail(KUA_NOMEM, "%s: out of memory while reading %zu bytes of JSON", name, n);
    }
    return kua__fail(KUA_FORMAT, "%s:%d:%d: %s", name, error.line, error.column, error.text);
}

kua_status kua__json_load(const char *path, json_t **out)
{
    assert(path && out);
    *out = NULL;
    kua__map map;
    KUA__TRY(kua__map_open(&map, path));
    kua_status st = kua__json_parse(path, map.data, map.size, out);
    kua__map_close(&map);
    return st;
}

unsigned long kua__json_lost(void)
{
    return lost;
}

char *kua__json_dumps(const json_t *json, size_t flags)
{
    assert(json);
    out_of_memory = false;
    char *text = json_dumps(json, flags | JSON_ENCODE_ANY);
    if (!out_of_memory) return text;
    kua__free(text); /* lacks something */
    return NULL;
}

kua_status kua__json_whole(unsigned long lost_before, const char *what)
{
    assert(lost_before <= lost);
    return lost == lost_before ? KUA_OK : kua__fail_nomem(0, what);
}

json_t *kua__json_copy(const json_t *json)
{
    unsigned long before = lost;
    json_t *copy = json_deep_copy(json);
    if (lost == before) return copy;
    json_decref(copy); /* lacks something */
    return NULL;
}

kua_status kua__json_save(const char *path, const json_t *json)
{
    assert(path && json);
    char *text = kua__json_dumps(json, JSON_INDENT(2));
    if (!text) {
        return kua__fail(out_of_memory ? KUA_NOMEM : KUA_INTERNAL, "%s: %s", path,
                         out_of_memory ? "out of memory while writing JSON" : "is no tree of JSON");
    }
    kua_status st = kua__write_file(path, text, strlen(text));
    kua__free(text);
    return st;
}

/* ---- members ---- */

enum { SHOWN_BYTES = 64 };

/* "is <value>", cut after SHOWN_BYTES, or "is missing". */
static const char *show(const json_t *value, char out[SHOWN_BYTES + 8])
{
    if (!value) {
        return "missing";
    }
    char text[SHOWN_BYTES];
    size_t need = json_dumpb(value, text, sizeof(text), JSON_ENCODE_ANY | JSON_COMPACT);
    size_t n = kua__utf8_valid(text, KUA__MIN(need, sizeof(text)));
    snprintf(out, SHOWN_BYTES + 8, "%.*s%s", (int)n, text, need > sizeof(text) ? "..." : "");
    return out;
}

static const json_t *member(const char *name, const json_t *object, const char *key)
{
    assert(name && key);
    (void)name;
    const json_t *value = json_object_get(object, key); /* NULL too where object is none */
    return json_is_null(value) ? NULL : value;
}

static kua_status expected_int(const char *name, const char *key, const json_t *value, int64_t low,
                               int64_t high)
{
    char shown[SHOWN_BYTES + 8];
    return kua__fail(KUA_FORMAT, "%s: %s is %s, expected an integer %" PRId64 "..%" PRId64, name,
                     key, show(value, shown), low, high);
}

kua_status kua__json_int(const char *name, const json_t *object, const char *key, int64_t low,
                         int64_t high, int64_t *out)
{
    assert(low <= high && out);
    const json_t *value = member(name, object, key);
    if (!json_is_integer(value) || json_integer_value(value) < low ||
        json_integer_value(value) > high) {
        return expected_int(name, key, value, low, high);
    }
    *out = json_integer_value(value);
    return KUA_OK;
}

kua_status kua__json_int_or(const char *name, const json_t *object, const char *key, int64_t low,
                            int64_t high, int64_t fallback, int64_t *out)
{
    assert(out);
    if (!member(name, object, key)) {
        *out = fallback;
        return KUA_OK;
    }
    return kua__json_int(name, object, key, low, high, out);
}

kua_status kua__json_real_or(const char *name, const json_t *object, const char *key, double low,
                             double high, double fallback, double *out)
{
    assert(low <= high && out);
    const json_t *value = member(name, object, key);
    if (!value) {
        *out = fallback;
        return KUA_OK;
    }
    double real = json_number_value(value);
    if (!json_is_number(value) || !(real >= low && real <= high)) {
        char shown[SHOWN_BYTES + 8];
        return kua__fail(KUA_FORMAT, "%s: %s is %s, expected a number %g..%g", name, key,
                         show(value, shown), low, high);
    }
    *out = real;
    return KUA_OK;
}

kua_status kua__json_bool_or(const char *name, const json_t *object, const char *key, bool fallback,
                             bool *out)
{
    assert(out);
    const json_t *value = member(name, object, key);
    if (value && !json_is_boolean(value)) {
        char shown[SHOWN_BYTES + 8];
        return kua__fail(KUA_FORMAT, "%s: %s is %s, expected true or false", name, key,
                         show(value, shown));
    }
    *out = value ? json_is_true(value) : fallback;
    return KUA_OK;
}

kua_status kua__json_string(const char *name, const json_t *object, const char *key,
                            const char **out)
{
    assert(out);
    const json_t *value = member(name, object, key);
    if (!json_is_string(value)) {
        char shown[SHOWN_BYTES + 8];
        return kua__fail(KUA_FORMAT, "%s: %s is %s, expected a text", name, key,
                         show(value, shown));
    }
    *out = json_string_value(value);
    return KUA_OK;
}

kua_status kua__json_string_or(const char *name, const json_t *object, const char *key,
                               const char *fallback, const char **out)
{
    assert(out);
    if (!member(name, object, key)) {
        *out = fallback;
        return KUA_OK;
    }
    return kua__json_string(name, object, key, out);
}
