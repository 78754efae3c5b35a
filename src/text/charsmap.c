/* charsmap.c - reads and applies a precompiled_charsmap.
 *
 * What it is
 *     u32 bytes of the trie | the trie, u32 units | replacements, each with a NUL behind it
 *
 *   A unit is a node of a double array (darts-clone): 8 bits label, an offset to its children, a
 *   bit that says that an entry ends here; the unit at the offset then holds the entry's value,
 *   which is where its replacement begins.
 *
 * How it is applied
 *   As the reference does: by extended grapheme clusters. One of fewer than 6 bytes is replaced as
 *   a whole by the shortest entry that it starts with (so that an accent is lost where the letter
 *   before it alone is an entry; models were trained with that). Otherwise character by character.
 *   A cluster is mostly one character; only where the next may belong to it is utf8proc asked.
 *
 * Nothing in the file is believed: offsets are compared with the array's size at each step, and a
 * value that points outside the replacements is no entry.
 */
#include "text/charsmap.h"

#include <assert.h>
#include <string.h>
#include <utf8proc.h>

#include "text/fold.h"

enum { CLUSTER_MAX = 6, MAP_BYTES_MAX = 16 << 20 };

static int sextet(char c)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Decodes into *out, owned. */
static kua_status from_base64(const char *name, const char *text, size_t n, uint8_t **out,
                              size_t *made)
{
    size_t given = n;
    while (n && text[n - 1] == '=' && given - n < 2)
        n--;
    if (n > MAP_BYTES_MAX) {
        return kua__fail(KUA_FORMAT,
                         "%s: precompiled_charsmap has %zu characters, at most %d are allowed",
                         name, n, MAP_BYTES_MAX);
    }
    KUA__TRY(KUA__NEW_ARRAY(out, n / 4 * 3 + 3, "a character map"));
    uint32_t bits = 0;
    *made = 0;
    for (size_t i = 0; i < n; i++) {
        int value = sextet(text[i]);
        if (value < 0 || n % 4 == 1) {
            kua__free(*out);
            *out = NULL;
            return kua__fail(KUA_FORMAT, "%s: precompiled_charsmap is not base64 at character %zu",
                             name, i);
        }
        bits = bits << 6 | (uint32_t)value;
        if (i % 4) (*out)[(*made)++] = (uint8_t)(bits >> (6 - 2 * (i % 4)));
    }
    return KUA_OK;
}

static kua_status take_parts(kua__charsmap *map, const char *name, const uint8_t *data, size_t n)
{
    uint32_t bytes = 0;
    if (n >= 4) memcpy(&bytes, data, 4);
    if (n < 4 || bytes % 4 || bytes < 4 || bytes > n - 4) {
        return kua__fail(KUA_FORMAT,
                         "%s: precompiled_charsmap has %zu bytes, and its trie is said to have %u",
                         name, n, bytes);
    }
    size_t n_text = n - 4 - bytes;
    const char *text = (const char *)data + 4 + bytes;
    if (n_text == 0 || text[n_text - 1] != 0 || kua__utf8_valid(text, n_text) < n_text) {
        return kua__fail(KUA_FORMAT,
                         "%s: precompiled_charsmap's %zu bytes of replacements are not UTF-8 that "
                         "ends with a NUL",
                         name, n_text);
    }
    map->n_units = bytes / 4;
    map->n_text = n_text;
    KUA__TRY(KUA__NEW_ARRAY(&map->unit, map->n_units, "a character map"));
    memcpy(map->unit, data + 4, bytes);
    KUA__TRY(KUA__NEW_ARRAY(&map->text, n_text, "a character map"));
    memcpy(map->text, text, n_text);
    return KUA_OK;
}

kua_status kua__charsmap_parse(kua__charsmap *map, const char *name, const char *base64, size_t n)
{
    assert(map && name && (base64 || n == 0));
    *map = (kua__charsmap){0};
    uint8_t *data = NULL;
    size_t bytes = 0;
    KUA__TRY(from_base64(name, base64, n, &data, &bytes));
    kua_status st = take_parts(map, name, data, bytes);
    kua__free(data);
    if (st) kua__charsmap_release(map);
    return st;
}

void kua__charsmap_release(kua__charsmap *map)
{
    assert(map);
    kua__free(map->unit);
    kua__free(map->text);
    *map = (kua__charsmap){0};
}

/* ---- applying ---- */

static size_t children(uint32_t unit)
{
    return (size_t)(unit >> 10) << ((unit & 512) >> 6);
}

/* The replacement of the shortest entry that text[n] starts with; NULL: there is none. */
static const char *find(const kua__charsmap *map, const uint8_t *text, size_t n)
{
    size_t at = children(map->unit[0]);
    for (size_t i = 0; i < n && text[i]; i++) {
        at ^= text[i];
        if (at >= map->n_units) return NULL;
        uint32_t unit = map->unit[at];
        if ((unit & 0x800000ff) != text[i]) return NULL;
        at ^= children(unit);
        if (at >= map->n_units) return NULL;
        if (!(unit & 256)) continue;
        size_t value = map->unit[at] & 0x7fffffff;
        return value < map->n_text && (map->text[value] & 0xc0) != 0x80 ? map->text + value : NULL;
    }
    return NULL;
}

/* Code points that are unassigned and invisible by default part clusters as control characters do;
 * utf8proc takes them for letters. */
static bool is_control(uint32_t c)
{
    return c == 0x2065 || (c >= 0xfff0 && c <= 0xfff8) || c == 0xe0000 ||
           (c >= 0xe0002 && c <= 0xe001f) || (c >= 0xe0080 && c <= 0xe00ff) ||
           (c >= 0xe01f0 && c <= 0xe0fff);
}

/* The length of the cluster at the head of text[n], n >= 1; *alone: it is one character. */
static size_t cluster(const uint8_t *text, size_t n, bool *alone)
{
    size_t length, next;
    utf8proc_int32_t state = 0;
    uint32_t c = kua__utf8_decode(text, n, &length);
    *alone = true;
    for (size_t at = length; at < n; at += next) {
        if (c < 0x80 && text[at] < 0x80 && c != '\r') return at;
        uint32_t d = kua__utf8_decode(text + at, n - at, &next);
        if (is_control(c) || is_control(d) ||
            utf8proc_grapheme_break_stateful((utf8proc_int32_t)c, (utf8proc_int32_t)d, &state))
            return at;
        *alone = false;
        c = d;
    }
    return n;
}

static void put(const char *replacement, const uint8_t *text, size_t n, kua__buf *out)
{
    if (replacement)
        kua__buf_add(out, replacement, strlen(replacement));
    else
        kua__buf_add(out, text, n);
}

void kua__charsmap_apply(const kua__charsmap *map, const uint8_t *text, size_t n, kua__buf *out)
{
    assert(map && map->n_units && out && (text || n == 0));
    size_t from = 0; /* what is unchanged is added in one go */
    for (size_t at = 0, length; at < n; at += length) {
        bool alone;
        length = cluster(text + at, n - at, &alone);
        const char *whole = alone || length < CLUSTER_MAX ? find(map, text + at, length) : NULL;
        if (alone && !whole) continue;
        kua__buf_add(out, text + from, at - from);
        from = at + length;
        if (whole) {
            put(whole, NULL, 0, out);
            continue;
        }
        for (size_t i = at, one; i < at + length; i += one) {
            kua__utf8_decode(text + i, at + length - i, &one);
            put(find(map, text + i, one), text + i, one, out);
        }
    }
    kua__buf_add(out, text + from, n - from);
}
