/* data/report_json.c - JSON that is complete or not there.
 *
 * jansson ignores some failures of its own output (a key that did not fit is left out), so text is
 * written into a buffer of ours, whose failures stick.
 *
 * Every function here takes NULL for a value that could not be made, so that a report is written
 * down without a check after each line, and looked at once, in kua__json_finish. Values are owned
 * by whom they are given to: after a failure they are released here, not by the caller.
 */
#include "data/report_json.h"

#include <assert.h>
#include <string.h>

static json_t *checked(json_t *json, kua_status *st)
{
    if (!json && !*st) {
        *st = kua__fail_nomem(64, "a report");
    }
    return json;
}

json_t *kua__json_new_object(kua_status *st)
{
    assert(st);
    return checked(json_object(), st);
}

json_t *kua__json_new_array(kua_status *st)
{
    assert(st);
    return checked(json_array(), st);
}

json_t *kua__json_text(const char *text)
{
    assert(text);
    size_t n = strlen(text), valid = kua__utf8_valid(text, n);
    if (valid == n) {
        return json_stringn(text, n);
    }
    char *copy = kua__strndup(text, n);
    for (size_t i = 0; copy && i < n; i++) {
        copy[i] = (unsigned char)copy[i] < 0x80 ? copy[i] : '?';
    }
    json_t *json = copy ? json_stringn(copy, n) : NULL;
    kua__free(copy);
    return json;
}

void kua__json_put(json_t *object, const char *key, json_t *value, kua_status *st)
{
    assert(key && st);
    if (!object || !value || *st) {
        json_decref(value);
        checked(NULL, st);
    } else if (json_object_set_new(object, key, value)) {
        checked(NULL, st);
    }
}

void kua__json_push(json_t *array, json_t *value, kua_status *st)
{
    assert(st);
    if (!array || !value || *st) {
        json_decref(value);
        checked(NULL, st);
    } else if (json_array_append_new(array, value)) {
        checked(NULL, st);
    }
}

kua_status kua__json_finish(json_t *json, kua_status st, json_t **out)
{
    assert(out);
    *out = st ? NULL : json;
    if (st) {
        json_decref(json);
    }
    return st;
}

static int add_text(const char *text, size_t n, void *buf)
{
    kua__buf_add(buf, text, n);
    return 0; /* a failure sticks in the buffer */
}

kua_status kua__json_to_text(const json_t *json, char **out)
{
    assert(json && out);
    kua__buf buf = {0};
    *out = NULL;
    int failed = json_dump_callback(json, add_text, &buf, JSON_COMPACT | JSON_SORT_KEYS);
    kua_status st = kua__buf_status(&buf);
    if (!st && failed) st = kua__fail_nomem(buf.len, "the text of a report");
    if (st) {
        kua__buf_release(&buf);
        return st;
    }
    *out = buf.data; /* a buffer's memory is kua__free's */
    return KUA_OK;
}
