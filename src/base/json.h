/* base/json.h - reading settings from JSON with messages that name the file and the field.
 *
 * jansson does the parsing; this adds what every reader of a config file here needs. Memory of
 * jansson goes through kua__malloc, so that it takes part in the out-of-memory tests.
 */
#ifndef KUA_BASE_JSON_H
#define KUA_BASE_JSON_H

#include <jansson.h>

#include "base/base.h"

/* Parses text[n]; `name` is for messages ("model/config.json:3:7: ..."). *out is owned:
 * json_decref. */
kua_status kua__json_parse(const char *name, const char *text, size_t n, json_t **out);
kua_status kua__json_load(const char *path, json_t **out);
kua_status kua__json_save(const char *path, const json_t *json); /* atomic, indented */
/* json_dumps(), but NULL where any allocation failed: jansson's own may then lack a key. To be
 * freed with kua__free. */
char *kua__json_dumps(const json_t *json, size_t flags);
/* json_deep_copy(), but NULL where any allocation failed; NULL of NULL. */
json_t *kua__json_copy(const json_t *json);
/* How many of jansson's allocations have failed in this thread so far. What its other functions
 * build may then lack a member: who builds a value takes the count before, and asks afterwards
 * whether it is whole; KUA_NOMEM where not. */
unsigned long kua__json_lost(void);
kua_status kua__json_whole(unsigned long lost_before, const char *what);

/* Members of an object. The `or` forms give a default where the member is missing or null; a member
 * of the wrong kind or outside [low, high] is KUA_FORMAT: "<name>: hidden_size is \"x\", expected
 * an integer 1..65536". */
kua_status kua__json_int(const char *name, const json_t *object, const char *key, int64_t low,
                         int64_t high, int64_t *out);
kua_status kua__json_int_or(const char *name, const json_t *object, const char *key, int64_t low,
                            int64_t high, int64_t fallback, int64_t *out);
kua_status kua__json_real_or(const char *name, const json_t *object, const char *key, double low,
                             double high, double fallback, double *out);
kua_status kua__json_bool_or(const char *name, const json_t *object, const char *key, bool fallback,
                             bool *out);
kua_status kua__json_string(const char *name, const json_t *object, const char *key,
                            const char **out); /* borrowed */
kua_status kua__json_string_or(const char *name, const json_t *object, const char *key,
                               const char *fallback, const char **out);

#endif
