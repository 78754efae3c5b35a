/* sequence_repeat.c - the repeat term: what this user bought before, added to the network's score.
 *
 *     score(j) += weight log(1 + f(j)) (rate(j) / mean rate)^power
 *
 *     f(j)     the user's own events with j, older ones less: 2^(-age / half_life) in days, or
 *              decay^(events after it) where there is no clock
 *     rate(j)  share of j's buyers who bought it again: milk, but no mascara
 *
 * The network sees order and content, but half of a grocery basket is what the basket before held,
 * and a count says that better than a state of 128 numbers does. The term's numbers are chosen on
 * validation, so where nobody buys again the weight is 0. A rate is smoothed with PRIOR buyers who
 * behave like the average item's.
 */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "rec/sequence_model.h"

enum { PRIOR = 5, SECONDS_PER_DAY = 86400 };

/* How often the user of this range has items of it: counts[item] is 0 before and after. */
static void count_user(const kua__cut *cut, size_t user, uint32_t *counts, float *buyers,
                       float *again)
{
    const kua__log *log = cut->log;
    for (size_t i = log->user_at[user]; i < cut->end[user]; i++) {
        uint32_t n = ++counts[log->item[i]];
        if (n == 1) buyers[log->item[i]] += 1;
        if (n == 2) again[log->item[i]] += 1;
    }
    for (size_t i = log->user_at[user]; i < cut->end[user]; i++)
        counts[log->item[i]] = 0;
}

kua_status kua__repeat_rates(const kua__cut *cut, float *rate)
{
    size_t n = cut->log->n_items;
    uint32_t *counts = NULL;
    float *buyers = NULL;
    double all = 0, repeated = 0;
    kua_status st;
    memset(rate, 0, n * sizeof(*rate));
    KUA__GOTO(st, KUA__NEW_ZEROED(&counts, n, "item counts"));
    KUA__GOTO(st, KUA__NEW_ZEROED(&buyers, n, "item counts"));
    for (size_t u = 0; u < cut->log->n_users; u++)
        count_user(cut, u, counts, buyers, rate);
    for (size_t i = 0; i < n; i++) {
        all += (double)buyers[i];
        repeated += (double)rate[i];
    }
    double mean = repeated > 0 ? repeated / all : 1;
    for (size_t i = 0; i < n; i++)
        rate[i] = (float)((rate[i] + PRIOR * mean) / (buyers[i] + PRIOR) / mean);
done:
    kua__free(counts);
    kua__free(buyers);
    return st;
}

void kua__repeat_counts(const kua__repeat_term *term, const kua__history *history, int64_t now,
                        float *count)
{
    bool clock = term->half_life > 0 && history->time;
    double each = 1;
    for (size_t i = history->n; i-- > 0; each *= term->decay) {
        double days = clock ? (double)(now - history->time[i]) / SECONDS_PER_DAY : 0;
        count[history->item[i]] += (float)(clock ? exp2(-fmax(days, 0) / term->half_life) : each);
    }
}

float kua__repeat_value(const kua__repeat_term *term, float count, float rate)
{
    return (float)term->weight * log1pf(count) * powf(rate, (float)term->power);
}

void kua__repeat_add(const kua__repeat_term *term, const float *rate, const kua__history *history,
                     int64_t now, float *count, float *scores)
{
    kua__repeat_counts(term, history, now, count);
    for (size_t i = 0; i < history->n; i++) {
        uint32_t item = history->item[i];
        if (count[item] > 0) scores[item] += kua__repeat_value(term, count[item], rate[item]);
        count[item] = 0;
    }
}

double kua__repeat_share(const kua__cut *cut)
{
    const kua__log *log = cut->log;
    size_t repeated = 0, events = 0;
    for (size_t u = 0; u < log->n_users; u++) {
        size_t begin = log->user_at[u], end = cut->end[u];
        for (size_t i = begin; i < end; i++) { /* looks back no further than a long history */
            size_t back = i - begin > 200 ? i - 200 : begin;
            while (back < i && log->item[back] != log->item[i])
                back++;
            repeated += back < i;
        }
        events += end - begin;
    }
    return events ? (double)repeated / (double)events : 0;
}

/* ---- what may be chosen ---- */

static const double weights[] = {0, 1, 4, 16, 32, 64, 128, 256, 512, 1024};
static const double half_lives[] = {30, 60, 120, 240, 1000}, powers[] = {0, 0.5, 1};

/* One number's candidates: the list where it is to be chosen (< 0), else itself. */
typedef struct candidates {
    const double *value;
    size_t n;
} candidates;

static candidates candidates_of(const double *given, const double *list, size_t n)
{
    return *given < 0 ? (candidates){list, n} : (candidates){given, 1};
}

size_t kua__repeat_choices(const kua__repeat_term *given, bool clock, kua__repeat_term *out)
{
    const double by_position = 0;
    candidates weight = candidates_of(&given->weight, weights, KUA__COUNT(weights));
    candidates power = candidates_of(&given->power, powers, KUA__COUNT(powers));
    candidates life =
        candidates_of(clock ? &given->half_life : &by_position, half_lives, KUA__COUNT(half_lives));
    size_t n = 0;
    assert(weight.n * life.n * power.n <= KUA__REPEAT_CHOICES);
    for (size_t l = 0; l < life.n; l++) { /* outermost: counts are made anew for each */
        for (size_t w = 0; w < weight.n; w++) {
            for (size_t p = 0; p < power.n; p++)
                out[n++] = (kua__repeat_term){weight.value[w], life.value[l], given->decay,
                                              power.value[p]};
        }
    }
    return n;
}
