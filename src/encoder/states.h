/* encoder/states.h - every token's vector from the fast encoder: what a head over tokens
 * (recurrent, tagging) is trained on while the encoder itself stays as it is. */
#ifndef KUA_ENCODER_STATES_H
#define KUA_ENCODER_STATES_H

#include "kua/encoder.h"

/* Texts one after another: text i is id[at[i] .. at[i + 1]). Writes states[at[n], dim], the last
 * layer's output, in the same order; with all threads, or on the calling one inside a task of the
 * pool. KUA_INVALID: a text has no or more than max_tokens tokens, or an id is not below
 * vocab_size.
 */
kua_status kua__encoder_states(kua_encoder *encoder, const uint32_t *id, const uint32_t *at,
                               size_t n, float *states);

#endif
