/* data/features.h - numbers that describe items and users, from a shop and the events before a cut.
 *
 *     kua__features f;
 *     kua_status st = kua__features_items(shop, domain, split.valid_at, KUA__SCALE_ZSCORE, &f);
 *     f.value[i * f.dim + 1]     column f.names[1] of item i
 *     kua__features_release(&f);
 *
 * Only events before end[user] count, so that nothing of a validation or test part leaks in; end
 * may be NULL for all events.
 */
#ifndef KUA_DATA_FEATURES_H
#define KUA_DATA_FEATURES_H

#include "data/shop.h"

typedef enum kua__scale {
    KUA__SCALE_NONE,    /* as they are; NAN: not known */
    KUA__SCALE_ZSCORE,  /* mean 0, variance 1; not known: 0 */
    KUA__SCALE_QUANTILE /* share of smaller values plus half of the equal ones; not known: .5 */
} kua__scale;

typedef struct kua__features {
    size_t n, dim;
    const char *const *names; /* [dim] */
    float *value;             /* [n, dim], row-major */
} kua__features;

/* events, users (both log(1 + n)), recency (days from the last event to the last of the domain;
 * only with a clock), price (log(1 + p)), price_band (0 .. 4, fifths of the priced items), depth
 * (levels of the category's path; 0: none). */
kua_status kua__features_items(const kua__shop *shop, uint32_t domain, const size_t *end,
                               kua__scale scale, kua__features *out);
/* events, items (both log(1 + n)), repeats (share of events of an item that the user had before),
 * recency, value (mean of the events' values). */
kua_status kua__features_users(const kua__shop *shop, uint32_t domain, const size_t *end,
                               kua__scale scale, kua__features *out);
void kua__features_release(kua__features *features);

/* Scales value[0], value[stride], ... value[(n - 1) * stride] in place. */
kua_status kua__scale_column(float *value, size_t n, size_t stride, kua__scale scale);

/* band[i] of item i of the domain: 0 .. n_bands - 1 with equally many priced items in each (equal
 * prices in one band), n_bands where the price is not known. 1 <= n_bands <= 255. */
kua_status kua__price_bands(const kua__shop *shop, uint32_t domain, uint8_t n_bands, uint8_t *band);

/* The path's level, 0 the broadest: "A > B > C" level 1 is "B"; NULL past the last. */
const char *kua__category_level(const char *path, size_t level, size_t *n);
size_t kua__category_depth(const char *path);

#endif
