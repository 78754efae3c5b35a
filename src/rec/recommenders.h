/* rec/recommenders.h - the recommenders of this layer, one file each; rec.c lists them. */
#ifndef KUA_REC_RECOMMENDERS_H
#define KUA_REC_RECOMMENDERS_H

#include "rec/rec.h"

extern const kua__rec_ops kua__rec_popularity, kua__rec_repeat, kua__rec_itemknn, kua__rec_userknn,
    kua__rec_ease, kua__rec_textknn, kua__rec_crossknn;

#endif
