/* encoder/model_tape_slots.h - which parameters a model on the tape has. */
#ifndef KUA_ENCODER_MODEL_TAPE_SLOTS_H
#define KUA_ENCODER_MODEL_TAPE_SLOTS_H

#include "encoder/names.h"

/* As kua__slot_used(), but query, key and value may be one (KUA__SLOT_QKV) where the file has
 * three. */
bool kua__tape_slot_used(const kua__model_config *config, kua__slot slot);

#endif
