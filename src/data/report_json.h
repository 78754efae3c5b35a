/* data/report_json.h - building JSON reports where memory may run out at any point.
 *
 *     kua_status st = KUA_OK;
 *     json_t *report = kua__json_new_object(&st);
 *     kua__json_put(report, "events", json_integer(n), &st);
 *     return kua__json_finish(report, st, out);
 *
 * A failure sticks in `st`; everything given to these functions is theirs, also after a failure.
 */
#ifndef KUA_DATA_REPORT_JSON_H
#define KUA_DATA_REPORT_JSON_H

#include <jansson.h>

#include "base/base.h"

json_t *kua__json_new_object(kua_status *st);
json_t *kua__json_new_array(kua_status *st);
/* A string of text that may not be UTF-8 (file names): broken bytes become '?'. */
json_t *kua__json_text(const char *text);
void kua__json_put(json_t *object, const char *key, json_t *value, kua_status *st);
void kua__json_push(json_t *array, json_t *value, kua_status *st);
/* Compact text of json with sorted keys, owned by the caller (kua__free). */
kua_status kua__json_to_text(const json_t *json, char **out);
/* *out is json, or NULL with json released. */
kua_status kua__json_finish(json_t *json, kua_status st, json_t **out);

#endif
