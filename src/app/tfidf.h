/* app/tfidf.h - texts as sparse rows: words, pairs of words, and short strings of characters.
 *
 *     "Nike shoes 跑步鞋"   words nike, shoes, "nike shoes"; characters of " nike " and " shoes " 3
 *                          to 5 at a time; 跑 步 鞋 跑步 步鞋 跑步鞋
 *
 * A count c of a term that is in d of n texts weighs (1 + ln c) (ln((1 + n) / (1 + d)) + 1), and
 * each row has length 1: scikit-learn's TfidfVectorizer with sublinear_tf.
 */
#ifndef KUA_APP_TFIDF_H
#define KUA_APP_TFIDF_H

#include "app/logistic.h"
#include "kua/tokenizer.h"

typedef struct kua__tfidf {
    kua__ids terms;
    float *idf; /* [terms] */
} kua__tfidf;

/* Terms of the texts with use[i] == 0 that are in at least min_texts of them. *v is to be released
 * after a failure too. */
kua_status kua__tfidf_fit(kua__tfidf *v, const kua_text *text, const uint8_t *use, size_t n,
                          size_t min_texts);
/* Rows of texts; terms that are not known are nothing. Without columns: kua__design_turn. */
kua_status kua__tfidf_rows(const kua__tfidf *v, const kua_text *text, size_t n, kua__design *out);
void kua__tfidf_release(kua__tfidf *v);

/* The terms of a text, each as often as it is there. */
typedef kua_status (*kua__term_fn)(void *ctx, const char *term, size_t n);
kua_status kua__text_terms(const char *text, size_t n, kua__term_fn fn, void *ctx);

#endif
