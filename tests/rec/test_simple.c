/* test_simple.c - every simple recommender against its formula, computed naively on dense arrays.
 *
 * Method: a random world with and without a clock and repeats; all numbers are given, so that
 * nothing is chosen. The references add in the same order and in float where the recommender does,
 * since the nearest neighbours of a tie would be others otherwise; what they do not share is the
 * sparse counting, the selection, and the files' common code.
 */
#include "small.h"

enum { CASES = 4 };

/* Every number that a simple recommender may have. */
typedef struct numbers {
    double half_life, decay, counts, again, again_half_life, again_decay, again_power;
    double keep, shrink, user_power, idf_power, recent, lambda, max_items, whitening;
} numbers;

static const numbers cases[CASES] = {
    {0, .7, 0, 0, 0, 1, 0, 3, 10, 0, 1, 0, 5, 99, 0},
    {0, .8, 2, .5, 0, .9, 1, 300, 0, .5, .5, 0, 2, 99, 1},
    {60, 1, 1, 2, 90, 1, .5, 7, 2, .5, 1, 120, 1, 12, .5},
    {0, 1, 0, 1, 0, .98, .5, 1, 20, .25, 0, 50, 30, 5, 1},
};

/* ---- what is counted ---- */

static size_t n_events(const small *s, size_t user, uint32_t item)
{
    size_t n = 0;
    for (size_t i = s->log.user_at[user]; i < s->split.valid_at[user]; i++)
        n += s->log.item[i] == item;
    return n;
}

static size_t n_items_of(const small *s, size_t user)
{
    size_t n = 0;
    for (uint32_t i = 0; i < ITEMS; i++)
        n += n_events(s, user, i) > 0;
    return n;
}

static size_t n_buyers(const small *s, uint32_t item)
{
    size_t n = 0;
    for (size_t u = 0; u < USERS; u++)
        n += n_events(s, u, item) > 0;
    return n;
}

static float user_weight(const small *s, size_t user, double power)
{
    size_t n = n_items_of(s, user);
    return n ? (float)pow((double)n, -power) : 0;
}

/* The history as weights of all items, the newest event first. */
static void weigh(const kua__history *h, double half_life, double decay, double counts, int64_t now,
                  float out[ITEMS])
{
    for (uint32_t item = 0; item < ITEMS; item++) {
        double weight = 1;
        bool met = false;
        out[item] = 0;
        for (size_t i = h->n; i-- > 0; weight *= decay) {
            double days = KUA__MAX((double)(now - h->time[i]) / DAY, 0);
            if (h->item[i] != item || (met && counts == 2)) continue;
            out[item] += (float)(half_life > 0 ? exp2(-days / half_life) : weight);
            met = true;
        }
        if (counts == 1) out[item] = log1pf(out[item]);
    }
}

/* ---- what was bought before, and what is popular ---- */

static double rate_of(const small *s, uint32_t item)
{
    double all = 0, all_again = 0, again = 0;
    for (uint32_t i = 0; i < ITEMS; i++) {
        for (size_t u = 0; u < USERS; u++) {
            size_t n = n_events(s, u, i);
            all += n > 0;
            all_again += n > 1;
            again += i == item && n > 1;
        }
    }
    return (again + 5 * all_again / all) / ((double)n_buyers(s, item) + 5);
}

static void finish(const small *s, const numbers *n, double weight, const kua__query *q,
                   double scores[ITEMS])
{
    double top = 0, most = 1;
    float own[ITEMS];
    for (uint32_t i = 0; i < ITEMS; i++) {
        top = KUA__MAX(top, scores[i]);
        most = KUA__MAX(most, (double)n_buyers(s, i));
    }
    weigh(&q->target, n->again_half_life, n->again_decay, 1, q->now, own);
    for (uint32_t i = 0; i < ITEMS; i++) {
        scores[i] = top > 1e-20 ? scores[i] / top : 0;
        scores[i] += 1e-6 * (double)n_buyers(s, i) / most;
        if (own[i] > 0) scores[i] += weight * (double)own[i] * pow(rate_of(s, i), n->again_power);
    }
}

/* ---- the formulas ---- */

typedef void (*formula)(const small *s, const numbers *n, const kua__query *q,
                        double scores[ITEMS]);

static void popularity(const small *s, const numbers *n, const kua__query *q, double scores[ITEMS])
{
    (void)q;
    for (uint32_t u = 0; u < USERS; u++) {
        kua__history h = kua__cut_history(&s->world.train, u);
        float own[ITEMS];
        weigh(&h, n->half_life, 1, n->counts, s->now, own);
        for (uint32_t i = 0; i < ITEMS; i++)
            scores[i] += (double)own[i];
    }
}

static void repeat(const small *s, const numbers *n, const kua__query *q, double scores[ITEMS])
{
    finish(s, n, 1, q, scores);
}

/* sim(i, j) for all i, in float as it is kept; 0: never met */
static void similar_to(const small *s, const numbers *n, uint32_t j, float sim[ITEMS])
{
    double size[ITEMS] = {0};
    float co[ITEMS] = {0};
    for (size_t u = 0; u < USERS; u++) {
        float w = user_weight(s, u, n->user_power);
        for (uint32_t i = 0; i < ITEMS; i++) {
            if (!n_events(s, u, i)) continue;
            size[i] += (double)w;
            co[i] += n_events(s, u, j) ? w : 0;
        }
    }
    for (uint32_t i = 0; i < ITEMS; i++) {
        double cosine = (double)co[i] / (sqrt(size[j] * size[i]) + n->shrink);
        sim[i] = co[i] > 0 && i != j ? (float)cosine : 0;
    }
}

/* How many of value[n] come before value[i]: larger ones, and equal ones of a smaller number. */
static size_t rank_of(const float *value, size_t n, size_t i)
{
    size_t rank = 0;
    for (size_t k = 0; k < n; k++)
        rank += value[k] > value[i] || (value[k] == value[i] && k < i);
    return rank;
}

static void itemknn(const small *s, const numbers *n, const kua__query *q, double scores[ITEMS])
{
    float own[ITEMS], sim[ITEMS];
    weigh(&q->target, n->half_life, n->decay, n->counts, q->now, own);
    for (uint32_t j = 0; j < ITEMS; j++) {
        similar_to(s, n, j, sim);
        for (uint32_t i = 0; i < ITEMS; i++) {
            if (sim[i] > 0 && (double)rank_of(sim, ITEMS, i) < n->keep)
                scores[j] += (double)own[i] * (double)sim[i];
        }
    }
    finish(s, n, n->again, q, scores);
}

static float idf_of(const small *s, const numbers *n, uint32_t item)
{
    return (float)pow(log(1 + USERS / (1 + (double)n_buyers(s, item))), n->idf_power);
}

static float user_similarity(const small *s, const numbers *n, const float own[ITEMS], uint32_t v)
{
    double asker = 0, other = 0;
    float dot = 0;
    for (uint32_t i = 0; i < ITEMS; i++) {
        float idf = idf_of(s, n, i), a = own[i] * idf, b = log1pf((float)n_events(s, v, i)) * idf;
        asker += (double)a * (double)a;
        other += (double)b * (double)b;
        dot += a * b;
    }
    return (float)((double)dot / (sqrt(asker) * (double)(float)sqrt(other) + n->shrink + 1e-9));
}

/* 2^(-age of v's newest event with the item / half-life); 0: v never bought it. */
static double bought(const small *s, const numbers *n, uint32_t v, uint32_t item)
{
    for (size_t i = s->split.valid_at[v]; i-- > s->log.user_at[v];) {
        double days = s->log.has_clock ? (double)(s->now - s->log.time[i]) / DAY : 0;
        if (s->log.item[i] == item) return n->recent > 0 ? exp2(-days / n->recent) : 1;
    }
    return 0;
}

static void userknn(const small *s, const numbers *n, const kua__query *q, double scores[ITEMS])
{
    float own[ITEMS], sim[USERS];
    weigh(&q->target, n->half_life, n->decay, n->counts, q->now, own);
    for (uint32_t v = 0; v < USERS; v++)
        sim[v] = v == q->user ? 0 : user_similarity(s, n, own, v);
    for (uint32_t v = 0; v < USERS; v++) {
        if (!(sim[v] > 0) || (double)rank_of(sim, USERS, v) >= n->keep) continue;
        for (uint32_t j = 0; j < ITEMS; j++)
            scores[j] += (double)sim[v] * bought(s, n, v, j);
    }
    finish(s, n, n->again, q, scores);
}

/* B = -P / diag(P) of the items with most buyers, zeros on the diagonal and elsewhere. */
static void ease_weights(const small *s, const numbers *n, double b[ITEMS * ITEMS])
{
    float buyers[ITEMS];
    for (uint32_t i = 0; i < ITEMS; i++)
        buyers[i] = (float)n_buyers(s, i);
    for (uint32_t i = 0; i < ITEMS; i++) {
        for (uint32_t j = 0; j < ITEMS; j++) {
            bool in = (double)rank_of(buyers, ITEMS, i) < n->max_items &&
                      (double)rank_of(buyers, ITEMS, j) < n->max_items;
            double sum = i == j ? n->lambda : 0;
            for (size_t u = 0; in && u < USERS; u++) {
                if (n_events(s, u, i) && n_events(s, u, j))
                    sum += (double)user_weight(s, u, n->user_power);
            }
            b[i * ITEMS + j] = sum;
        }
    }
    small_invert(b, ITEMS);
    for (size_t j = 0; j < ITEMS; j++) {
        double diagonal = b[j * ITEMS + j];
        for (size_t i = 0; i < ITEMS; i++)
            b[i * ITEMS + j] = i == j ? 0 : -b[i * ITEMS + j] / diagonal;
    }
}

static void ease(const small *s, const numbers *n, const kua__query *q, double scores[ITEMS])
{
    double b[ITEMS * ITEMS];
    float own[ITEMS];
    ease_weights(s, n, b);
    weigh(&q->target, n->half_life, n->decay, n->counts, q->now, own);
    for (size_t i = 0; i < ITEMS; i++) {
        for (size_t j = 0; j < ITEMS; j++)
            scores[j] += (double)own[i] * b[i * ITEMS + j];
    }
    finish(s, n, n->again, q, scores);
}

/* Rows minus the mean of those with text; the others stay 0. */
static void centred(const small *s, double x[ITEMS * DIM])
{
    for (size_t c = 0; c < DIM; c++) {
        double sum = 0;
        for (size_t i = 0; i < ITEMS; i++)
            sum += (double)s->vector[i * DIM + c];
        for (size_t i = 0; i < ITEMS; i++)
            x[i * DIM + c] = i == 2 ? 0 : (double)s->vector[i * DIM + c] - sum / (ITEMS - 1);
    }
}

/* C^-1/2 by the iteration of Denman and Beavers, 1976: y to C^1/2, z to C^-1/2. */
static void inverse_root(double z[DIM * DIM])
{
    double y[DIM * DIM];
    memcpy(y, z, sizeof(y));
    for (size_t i = 0; i < DIM * DIM; i++)
        z[i] = i % (DIM + 1) == 0;
    for (int round = 0; round < 60; round++) {
        double yi[DIM * DIM], zi[DIM * DIM];
        memcpy(yi, y, sizeof(yi));
        memcpy(zi, z, sizeof(zi));
        small_invert(yi, DIM);
        small_invert(zi, DIM);
        for (size_t i = 0; i < DIM * DIM; i++) {
            y[i] = (y[i] + zi[i]) / 2;
            z[i] = (z[i] + yi[i]) / 2;
        }
    }
}

/* M = C^-whitening for whitening 0, 1/2 and 1: <z_i, z_j> is the cosine of x_i and x_j under M. */
static void whitening_matrix(const double x[ITEMS * DIM], double whitening, double m[DIM * DIM])
{
    for (size_t a = 0; a < DIM; a++) {
        for (size_t b = 0; b < DIM; b++) {
            m[a * DIM + b] = 0;
            for (size_t i = 0; i < ITEMS; i++)
                m[a * DIM + b] += x[i * DIM + a] * x[i * DIM + b] / ITEMS;
        }
    }
    if (whitening == 1) small_invert(m, DIM);
    if (whitening == .5) inverse_root(m);
    for (size_t i = 0; whitening == 0 && i < DIM * DIM; i++)
        m[i] = i % (DIM + 1) == 0;
}

static double product(const double *x, const double *m, const double *y)
{
    double sum = 0;
    for (size_t a = 0; a < DIM; a++) {
        for (size_t b = 0; b < DIM; b++)
            sum += x[a] * m[a * DIM + b] * y[b];
    }
    return sum;
}

static void textknn(const small *s, const numbers *n, const kua__query *q, double scores[ITEMS])
{
    double x[ITEMS * DIM], m[DIM * DIM];
    float own[ITEMS];
    centred(s, x);
    whitening_matrix(x, n->whitening, m);
    weigh(&q->target, n->half_life, n->decay, n->counts, q->now, own);
    for (size_t i = 0; i < ITEMS; i++) {
        for (size_t j = 0; j < ITEMS; j++) {
            const double *a = x + i * DIM, *b = x + j * DIM;
            if (i == 2 || j == 2) continue; /* no text */
            scores[j] +=
                (double)own[i] * product(a, m, b) / sqrt(product(a, m, a) * product(b, m, b));
        }
    }
    finish(s, n, n->again, q, scores);
}

/* ---- the comparison ---- */

static void compare(const char *kind, const char *settings, const small *s, const numbers *n,
                    formula reference, double tolerance)
{
    kua__rec *rec = small_fit(s, kind, settings);
    float scores[USERS * ITEMS];
    small_score(s, rec, scores);
    for (uint32_t u = 0; u < USERS; u++) {
        kua__query q = small_query(s, u);
        double want[ITEMS] = {0};
        reference(s, n, &q, want);
        for (size_t i = 0; i < ITEMS; i++)
            assert_near((double)scores[u * ITEMS + i], want[i], tolerance * (1 + fabs(want[i])));
    }
    kua__rec_free(rec);
}

static const char weighing[] = "\"half_life\": %g, \"decay\": %g, \"counts\": %g, \"again\": %g, "
                               "\"again_half_life\": %g, \"again_decay\": %g, \"again_power\": %g}";

/* The kind's own settings, then those of all. */
static const char *complete(char out[512], const numbers *n, const char *own)
{
    int at = snprintf(out, 512, "%s", own);
    char *to = out + at;
    snprintf(to, 512 - (size_t)at, weighing, n->half_life, n->decay, n->counts, n->again,
             n->again_half_life, n->again_decay, n->again_power);
    return out;
}

typedef void (*checker)(const small *s, const numbers *n);

static void in_all_worlds(checker check)
{
    for (int world = 0; world < 4; world++) {
        small s;
        small_open(&s, world & 1, world & 2);
        small_no_validation(&s);
        for (size_t i = 0; i < CASES; i++)
            check(&s, &cases[i]);
        small_close(&s);
    }
}

static void check_popularity(const small *s, const numbers *n)
{
    char text[512];
    snprintf(text, sizeof(text), "{\"half_life\": %g, \"counts\": %g}", n->half_life, n->counts);
    compare("popularity", text, s, n, popularity, 1e-5);
}

static void check_repeat(const small *s, const numbers *n)
{
    char text[512];
    snprintf(text, sizeof(text), "{\"half_life\": %g, \"decay\": %g, \"power\": %g}",
             n->again_half_life, n->again_decay, n->again_power);
    compare("repeat", text, s, n, repeat, 1e-5);
}

static void check_itemknn(const small *s, const numbers *n)
{
    char own[128], text[512];
    snprintf(own, sizeof(own), "{\"neighbours\": %g, \"shrink\": %g, \"user_power\": %g, ", n->keep,
             n->shrink, n->user_power);
    compare("itemknn", complete(text, n, own), s, n, itemknn, 1e-5);
}

static void check_userknn(const small *s, const numbers *n)
{
    char own[160], text[512];
    snprintf(own, sizeof(own),
             "{\"neighbours\": %g, \"shrink\": %g, \"idf_power\": %g, "
             "\"neighbour_half_life\": %g, ",
             n->keep, n->shrink, n->idf_power, n->recent);
    compare("userknn", complete(text, n, own), s, n, userknn, 1e-5);
}

/* The weights are kept in bf16: 8 bits. */
static void check_ease(const small *s, const numbers *n)
{
    char own[128], text[512];
    snprintf(own, sizeof(own), "{\"lambda\": %g, \"user_power\": %g, \"max_items\": %g, ",
             n->lambda, n->user_power, n->max_items);
    compare("ease", complete(text, n, own), s, n, ease, 5e-3);
}

static void check_textknn(const small *s, const numbers *n)
{
    char own[128], text[512];
    snprintf(own, sizeof(own), "{\"components\": 128, \"whitening\": %g, ", n->whitening);
    compare("textknn", complete(text, n, own), s, n, textknn, 1e-4);
}

#define FORMULA(kind)                                                                              \
    static void kind##_is_its_formula(void **state)                                                \
    {                                                                                              \
        (void)state;                                                                               \
        in_all_worlds(check_##kind);                                                               \
    }
FORMULA(popularity)
FORMULA(repeat)
FORMULA(itemknn)
FORMULA(userknn)
FORMULA(ease)
FORMULA(textknn)

/* ---- cases of their own ---- */

/* Two users by hand: a bought 0 1 1, b bought 1 2; the question is 1, and shrink 1. */
static void itemknn_by_hand(void **state)
{
    (void)state;
    kua__raw_event events[] = {{.user = 0, .item = 0, .time = 0, .value = 1},
                               {.user = 0, .item = 1, .time = 1, .value = 1},
                               {.user = 1, .item = 1, .time = 0, .value = 1},
                               {.user = 1, .item = 2, .time = 1, .value = 1}};
    kua__log log;
    assert_ok(kua__log_build(&log, 2, 3, events, 4, false));
    const size_t end[] = {2, 4};
    kua__world world = {.train = {&log, end}, .valid = {&log, end}};
    json_t *settings = small_settings("{\"shrink\": 1, \"user_power\": 0, \"neighbours\": 9, "
                                      "\"decay\": 1, \"counts\": 0, \"again\": 0}");
    kua__rec *rec = NULL;
    assert_ok(kua__rec_create("itemknn", settings, &rec));
    assert_ok(kua__rec_fit(rec, &world, NULL));
    const uint32_t item[] = {1, 0};
    const int64_t time[] = {0, 0};
    kua__query q = {.user = KUA__NO_ID, .target = {item, time, NULL, 1}};
    float score[3];
    assert_ok(kua__rec_score(rec, &q, 1, score)); /* sim(1, 0) = sim(1, 2) = 1 / (sqrt(2) + 1) */
    assert_near((double)score[0], 1 + .5e-6, 1e-7);
    assert_near((double)score[1], 1e-6, 1e-9);
    assert_near((double)score[2], 1 + .5e-6, 1e-7);
    q.target.n = 2; /* 2 is near 1 only, 1 is near 0, 0 near 1 */
    assert_ok(kua__rec_score(rec, &q, 1, score));
    for (size_t i = 0; i < 3; i++)
        assert_near((double)score[i], 1, 2e-6);
    kua__rec_free(rec);
    json_decref(settings);
    kua__log_release(&log);
}

/* Whom nobody knows gets what is popular, and items that a model has never seen are passed over. */
static void strangers_get_what_is_popular(void **state)
{
    (void)state;
    static const char *const kinds[] = {"repeat", "itemknn", "userknn", "ease", "textknn"};
    small s;
    small_open(&s, true, true);
    for (size_t k = 0; k < KUA__COUNT(kinds); k++) {
        kua__rec *rec = small_fit(&s, kinds[k], "{}");
        const uint32_t unknown[] = {ITEMS, 4000000};
        const int64_t time[] = {0, 1};
        kua__query q[] = {{.user = KUA__NO_ID}, {.user = 3, .target = {unknown, time, NULL, 2}}};
        float scores[2 * ITEMS];
        assert_ok(kua__rec_score(rec, q, 2, scores));
        for (uint32_t i = 0; i < ITEMS; i++) {
            assert_float_equal(scores[i], scores[ITEMS + i], 0);
            for (uint32_t j = 0; j < i; j++)
                assert_int_equal(scores[i] > scores[j], n_buyers(&s, i) > n_buyers(&s, j));
        }
        kua__rec_free(rec);
    }
    small_close(&s);
}

static void textknn_needs_vectors(void **state)
{
    (void)state;
    small s;
    small_open(&s, false, false);
    s.world.side.vector = NULL;
    kua__rec *rec = NULL;
    assert_ok(kua__rec_create("textknn", NULL, &rec));
    assert_fails(kua__rec_fit(rec, &s.world, NULL), KUA_INVALID, "have no vectors; kua encode");
    kua__rec_free(rec);
    small_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(popularity_is_its_formula),
        cmocka_unit_test(repeat_is_its_formula),
        cmocka_unit_test(itemknn_is_its_formula),
        cmocka_unit_test(userknn_is_its_formula),
        cmocka_unit_test(ease_is_its_formula),
        cmocka_unit_test(textknn_is_its_formula),
        cmocka_unit_test(itemknn_by_hand),
        cmocka_unit_test(strangers_get_what_is_popular),
        cmocka_unit_test(textknn_needs_vectors),
    };
    return cmocka_run_group_tests(tests, test_no_leaks_begin, test_no_leaks_end);
}
