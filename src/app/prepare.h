/* app/prepare.h - what training a classifier and a tagger have in common before the first step. */
#ifndef KUA_APP_PREPARE_H
#define KUA_APP_PREPARE_H

#include "app/classifier.h"

/* Is the encoder itself changed? */
bool kua__app_tunes_encoder(const kua__app_config *config);
/* The absolute path of the encoder into c->config, its sizes and tokenizer into c->backbone. */
kua_status kua__prepare_encoder(kua_classifier *c, const char *folder,
                                const kua__app_settings *settings);
/* States the memory, loads the weights, begins tuning. A frozen encoder's token states come into
 * *states (owned) where they fit into cache_mb, else it stays NULL. */
kua_status kua__prepare_weights(kua_classifier *c, const kua_id_batch *ids,
                                const kua__app_settings *settings, const kua_monitor *monitor,
                                kua__rng *rng, float **states, size_t *expected_bytes);
/* The head's numbers from a classifier of the same kind. */
void kua__prepare_copy_head(const kua_classifier *from, kua_classifier *to);
/* 48 hexadecimal digits of the texts, options and settings: whose a checkpoint is. */
void kua__prepare_mark(const kua__app_settings *settings, const char *options, const void *data,
                       size_t n, char out[64]);

#endif
