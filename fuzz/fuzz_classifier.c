/* fuzz/fuzz_classifier.c - classifier.json: refused with a message, or a description that is whole.
 */
#include <stdlib.h>
#include <string.h>

#include "app/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    long live = kua__alloc_live();
    kua__app_config c;
    kua_status st = kua__app_config_parse("fuzz", (const char *)data, size, &c);
    require(st == KUA_OK || (st == KUA_FORMAT && strlen(kua_error_message()) > 0));
    if (!st) {
        require(c.labels.count >= 1 && c.labels.count <= KUA_LABELS_MAX);
        require(kua__app_outs(&c) >= 1 && kua__app_outs(&c) <= c.labels.count);
        require(c.hidden >= 1 && c.hidden <= KUA__APP_HIDDEN_MAX && c.dim <= KUA__APP_DIM_MAX);
        require(c.method != KUA__ENCODER || c.encoder);
        for (size_t k = 1; c.tagger && k < c.labels.count; k++)
            require(strlen(c.labels.name[k]) >= 2);
    }
    kua__app_config_release(&c);
    require(kua__alloc_live() == live);
    return 0;
}
