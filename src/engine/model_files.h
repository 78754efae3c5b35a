/* engine/model_files.h - the cache of models, as its files share it.
 *
 *     $KUA_CACHE/                      (default $XDG_CACHE_HOME/kua, ~/.cache/kua)
 *       .lock                          one fetch at a time
 *       models/.part.PID/              of a fetch that runs, or was killed
 *       models/NAME/                   whole, or not there
 *         SHA256SUMS, .package         what its files must be; the checksum of what they came from
 */
#ifndef KUA_ENGINE_MODEL_FILES_H
#define KUA_ENGINE_MODEL_FILES_H

#include <jansson.h>

#include "base/base.h"
#include "engine/pins.h"

typedef enum kua__folder_state {
    KUA__FOLDER_WHOLE,
    KUA__FOLDER_ABSENT,
    KUA__FOLDER_BAD
} kua__folder_state;

char *kua__cache_folder(void);             /* owned; NULL: out of memory */
char *kua__cached_model(const char *name); /* its folder, there or not; owned; NULL: the same */
/* Is a folder of the cache what its pin says? Of a bad one, why[] says what is wrong. */
kua_status kua__pin_check(const kua__pin *pin, const char *folder, kua__folder_state *state,
                          char why[200]);
/* Fetches it into `folder`, in place of whatever is there. */
kua_status kua__pin_fetch(const kua__pin *pin, const char *folder, const kua_monitor *monitor);

/* Turns a report into text and releases it; KUA_NOMEM where a part of it was lost since
 * lost_before = kua__json_lost(). */
kua_status kua__model_report(json_t *json, unsigned long lost_before, char **report);

#endif
