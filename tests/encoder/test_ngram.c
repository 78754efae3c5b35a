/* test_ngram.c - Kneser-Ney smoothing against its formula, worked out on a text by hand and by a
 * second, slow program over arrays of n-grams.
 */
#include "testlib.h"

#include <math.h>
#include <string.h>

#include "encoder/ngram.h"

enum { VOCAB = 7, TEXTS = 60, LENGTH = 12 };

/* ---- the slow way ---- */

typedef struct texts {
    uint32_t id[TEXTS][LENGTH];
    size_t n[TEXTS];
} texts;

static bool stands_at(const texts *t, size_t text, size_t at, const uint32_t *gram, size_t k)
{
    return at + k <= t->n[text] && memcmp(&t->id[text][at], gram, k * sizeof(*gram)) == 0;
}

static double occurrences(const texts *t, const uint32_t *gram, size_t k)
{
    double n = 0;
    for (size_t i = 0; i < TEXTS; i++)
        for (size_t at = 0; at < t->n[i]; at++)
            n += stands_at(t, i, at, gram, k);
    return n;
}

/* c of the formula. */
static double count(const texts *t, const uint32_t *gram, size_t k, size_t order)
{
    if (k == 1 && gram[0] == 0) return 0; /* begins a text, is never asked */
    if (k == order || gram[0] == 0) return occurrences(t, gram, k);
    double n = 0;
    uint32_t longer[8];
    memcpy(longer + 1, gram, k * sizeof(*gram));
    for (longer[0] = 0; longer[0] < VOCAB; longer[0]++)
        n += occurrences(t, longer, k + 1) > 0;
    return n;
}

static void each_gram(size_t number, size_t k, uint32_t *gram)
{
    for (size_t i = 0; i < k; i++, number /= VOCAB)
        gram[i] = (uint32_t)(number % VOCAB);
}

static double discount(const texts *t, size_t k, size_t order, size_t r)
{
    double n[5] = {0};
    size_t all = (size_t)pow(VOCAB, (double)k);
    for (size_t i = 0; i < all; i++) {
        uint32_t gram[8];
        each_gram(i, k, gram);
        double c = count(t, gram, k, order);
        if (c >= 1 && c <= 4) n[(int)c]++;
    }
    double y = n[1] + 2 * n[2] > 0 ? n[1] / (n[1] + 2 * n[2]) : .5;
    double d = (double)r - (double)(r + 1) * y * n[r + 1] / n[r];
    bool good = n[r] > 0 && n[r + 1] > 0 && d > 0; /* else one discount for all */
    return good ? d : fmin(y, (double)r);
}

static double slow(const texts *t, const uint32_t *gram, size_t k, size_t order)
{
    double lower = k == 1 ? 1.0 / VOCAB : slow(t, gram + 1, k - 1, order);
    double d[4] = {0, discount(t, k, order, 1), discount(t, k, order, 2), discount(t, k, order, 3)};
    uint32_t other[8];
    double total = 0, left = 0;
    memcpy(other, gram, k * sizeof(*gram));
    for (other[k - 1] = 0; other[k - 1] < VOCAB; other[k - 1]++) {
        double c = count(t, other, k, order);
        total += c;
        if (c > 0) left += d[(int)fmin(c, 3)];
    }
    if (total == 0) return lower;
    double c = count(t, gram, k, order);
    return fmax(c - d[(int)fmin(c, 3)], 0) / total + left / total * lower;
}

static void make_texts(texts *t)
{
    kua__rng rng = kua__rng_make(4, 4);
    for (size_t i = 0; i < TEXTS; i++) {
        t->n[i] = 4 + kua__rng_below(&rng, LENGTH - 4);
        t->id[i][0] = 0;
        for (size_t k = 1; k < t->n[i]; k++) { /* some tokens follow others more often */
            uint32_t draw = 1 + kua__rng_below(&rng, VOCAB - 2);
            t->id[i][k] = kua__rng_below(&rng, 3) ? 1 + (t->id[i][k - 1] * 2 + draw / 4) % 5 : draw;
        }
        t->id[i][t->n[i] - 1] = VOCAB - 1;
    }
}

static void chances_are_those_of_the_formula(void **state)
{
    (void)state;
    static texts t;
    make_texts(&t);
    for (size_t order = 1; order <= 3; order++) {
        kua__ngram g;
        assert_ok(kua__ngram_init(&g, order, VOCAB));
        for (size_t i = 0; i < TEXTS; i++)
            assert_ok(kua__ngram_add(&g, t.id[i], t.n[i]));
        assert_ok(kua__ngram_finish(&g));
        for (size_t i = 0; i < (size_t)pow(VOCAB, (double)order); i += order == 3 ? 5 : 1) {
            uint32_t gram[8];
            each_gram(i, order, gram);
            if (order == 3 && gram[1] == 0) continue; /* no text begins in another's middle */
            assert_near(kua__ngram_chance(&g, gram, order - 1, gram[order - 1]),
                        slow(&t, gram, order, order), 1e-12);
        }
        kua__ngram_release(&g);
    }
}

static void chances_add_up_to_one(void **state)
{
    (void)state;
    static texts t;
    make_texts(&t);
    kua__ngram g;
    assert_ok(kua__ngram_init(&g, 4, VOCAB));
    for (size_t i = 0; i < TEXTS; i++)
        assert_ok(kua__ngram_add(&g, t.id[i], t.n[i]));
    assert_ok(kua__ngram_finish(&g));
    static const uint32_t contexts[][3] = {{0, 1, 2}, {3, 3, 3}, {1, 6, 6}, {5, 2, 4}};
    for (size_t i = 0; i < KUA__COUNT(contexts); i++) {
        for (size_t n = 0; n <= 3; n++) {
            double sum = 0;
            for (uint32_t w = 0; w < VOCAB; w++)
                sum += kua__ngram_chance(&g, contexts[i] + 3 - n, n, w);
            assert_near(sum, 1, 1e-12);
        }
    }
    double sum = 0;
    for (size_t k = 1; k < t.n[0]; k++)
        sum += log(kua__ngram_chance(&g, t.id[0], k, t.id[0][k]));
    assert_near(kua__ngram_score(&g, t.id[0], t.n[0]), sum, 1e-12);
    kua__ngram_release(&g);
}

/* "a b a b a": bigrams from scratch. Continuation counts: a after begin and b (2), b after a (1),
 * end after a (1). n1 = 2, n2 = 1 of unigrams: Y = 1/2, D1 = 1/2, D2 = Y as there is no 3. */
static void known_values(void **state)
{
    (void)state;
    kua__ngram g;
    const uint32_t id[] = {0, 1, 2, 1, 2, 1, 3};
    assert_ok(kua__ngram_init(&g, 2, 4));
    assert_ok(kua__ngram_add(&g, id, KUA__COUNT(id)));
    assert_ok(kua__ngram_finish(&g));
    double uniform = .25, left1 = (.5 + .5 + .5) / 4;
    double b = .5 / 4 + left1 * uniform; /* P(b) */
    assert_near(kua__ngram_chance(&g, NULL, 0, 2), b, 1e-12);
    assert_near(kua__ngram_chance(&g, NULL, 0, 1), 1.5 / 4 + left1 * uniform, 1e-12);
    /* Bigrams: "0 a" 1, "a b" 2, "b a" 2, "a end" 1: Y = 1/3 ... n1 = 2, n2 = 2, n3 = 0. */
    double y = 2.0 / 6, d1 = 1 - 2 * y, d2 = y;
    assert_near(kua__ngram_chance(&g, (uint32_t[]){1}, 1, 2), (2 - d2) / 3 + (d1 + d2) / 3 * b,
                1e-12);
    kua__ngram_release(&g);
}

static void every_allocation_fails_once(void **state)
{
    (void)state;
    static texts t;
    make_texts(&t);
    kua_status st;
    TEST_EVERY_ALLOCATION(st)
    {
        kua__ngram g;
        st = kua__ngram_init(&g, 3, VOCAB);
        for (size_t i = 0; !st && i < 3; i++)
            st = kua__ngram_add(&g, t.id[i], t.n[i]);
        if (!st) st = kua__ngram_finish(&g);
        kua__ngram_release(&g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chances_are_those_of_the_formula),
        cmocka_unit_test(chances_add_up_to_one),
        cmocka_unit_test(known_values),
        cmocka_unit_test(every_allocation_fails_once),
    };
    return cmocka_run_group_tests(tests, test_no_leaks_begin, test_no_leaks_end);
}
