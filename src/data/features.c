/* data/features.c - counts, recency, price bands and category paths.
 *
 *     log, cut at end[user]  ->  counts per item / sums per user  ->  rows  ->  scaled columns
 *
 * Counts are taken in one pass over the log up to the cut. Quantiles and bands come from a sorted
 * copy: the rank of a value is the middle of the run of values equal to it, so that ties share it.
 *
 * NAN stands for "not known" (no price, no event before the cut) until the columns are scaled: a
 * zero would be a value of its own, and pull the mean. Scaling then puts what is not known in the
 * middle of its column, so that it says nothing.
 *
 * Sums of float columns are taken in double: a column is as long as the catalogue or the list of
 * users, and a float sum loses the small ones.
 */
#include "data/features.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum { DAY = 86400, PRICE_BANDS = 5 };

enum { ITEM_EVENTS, ITEM_USERS, ITEM_RECENCY, ITEM_PRICE, ITEM_BAND, ITEM_DEPTH, ITEM_COLUMNS };
enum { USER_EVENTS, USER_ITEMS, USER_REPEATS, USER_RECENCY, USER_VALUE, USER_COLUMNS };

static const char *const item_names[ITEM_COLUMNS] = {"events", "users",      "recency",
                                                     "price",  "price_band", "depth"};
static const char *const user_names[USER_COLUMNS] = {"events", "items", "repeats", "recency",
                                                     "value"};

/* ---- scaling ---- */

static int by_value(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return x < y ? -1 : x > y;
}

/* The known values, sorted; *n of them. Owned by the caller. */
static kua_status sorted_known(const float *value, size_t n, size_t stride, float **out,
                               size_t *n_out)
{
    assert(out && n_out && stride >= 1);
    KUA__TRY(KUA__NEW_ARRAY(out, n, "values to scale"));
    assert(*out);
    *n_out = 0;
    for (size_t i = 0; i < n; i++) {
        if (!isnan(value[i * stride])) {
            (*out)[(*n_out)++] = value[i * stride];
        }
    }
    qsort(*out, *n_out, sizeof(**out), by_value);
    return KUA_OK;
}

/* How many of sorted[n] are below x (or, with `equal`, not above it). */
static size_t count_below(const float *sorted, size_t n, float x, bool equal)
{
    /* Invariant: all of sorted[0 .. low) are below x, none of sorted[high ..] is. */
    size_t low = 0, high = n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (sorted[middle] < x || (equal && sorted[middle] <= x)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static kua_status scale_quantile(float *value, size_t n, size_t stride)
{
    float *sorted;
    size_t known;
    KUA__TRY(sorted_known(value, n, stride, &sorted, &known));
    for (size_t i = 0; i < n; i++) {
        float *x = &value[i * stride];
        if (isnan(*x)) {
            *x = .5f;
            continue;
        }
        /* x is itself one of the sorted: to >= below + 1, and known is not 0. */
        size_t below = count_below(sorted, known, *x, false);
        size_t to = count_below(sorted, known, *x, true);
        *x = (float)((double)(below + to) / (2 * (double)known));
    }
    kua__free(sorted);
    return KUA_OK;
}

static void scale_zscore(float *value, size_t n, size_t stride)
{
    double sum = 0, squares = 0;
    size_t known = 0;
    for (size_t i = 0; i < n; i++) {
        if (!isnan(value[i * stride])) {
            sum += (double)value[i * stride];
            known++;
        }
    }
    const double mean = known ? sum / (double)known : 0;
    /* A second pass and not the sum of squares: the difference of two large sums would be all
     * rounding where the deviation is small beside the mean. */
    for (size_t i = 0; i < n; i++) {
        double d = isnan(value[i * stride]) ? 0 : (double)value[i * stride] - mean;
        squares += d * d;
    }
    const double deviation = known ? sqrt(squares / (double)known) : 0;
    for (size_t i = 0; i < n; i++) {
        float *x = &value[i * stride];
        *x = isnan(*x) || deviation <= 0 ? 0 : (float)(((double)*x - mean) / deviation);
    }
}

kua_status kua__scale_column(float *value, size_t n, size_t stride, kua__scale scale)
{
    assert((value || n == 0) && stride >= 1);
    assert(scale >= KUA__SCALE_NONE && scale <= KUA__SCALE_QUANTILE);
    if (scale == KUA__SCALE_ZSCORE) {
        scale_zscore(value, n, stride);
    }
    return scale == KUA__SCALE_QUANTILE ? scale_quantile(value, n, stride) : KUA_OK;
}

static kua_status scale_all(kua__features *f, kua__scale scale)
{
    for (size_t c = 0; c < f->dim; c++) {
        KUA__TRY(kua__scale_column(f->value + c, f->n, f->dim, scale));
    }
    return KUA_OK;
}

/* ---- prices and categories ---- */

kua_status kua__price_bands(const kua__shop *shop, uint32_t domain, uint8_t n_bands, uint8_t *band)
{
    assert(shop && domain < shop->n_domains && n_bands >= 1 && band);
    const kua__domain *d = &shop->domains[domain];
    assert(d->first_item + d->n_items <= shop->n_items);
    float *price, *sorted;
    size_t known;
    KUA__TRY(KUA__NEW_ARRAY(&price, d->n_items, "prices"));
    for (size_t i = 0; i < d->n_items; i++) {
        price[i] = shop->items[d->first_item + i].price;
    }
    kua_status st = sorted_known(price, d->n_items, 1, &sorted, &known);
    /* Only how many are strictly cheaper counts: equal prices share a band, and since that is below
     * `known` the band is below n_bands, which stays free for "not known". */
    for (size_t i = 0; !st && i < d->n_items; i++) {
        size_t rank = isnan(price[i]) ? 0 : count_below(sorted, known, price[i], false);
        band[i] =
            isnan(price[i]) ? n_bands : (uint8_t)(rank * n_bands / KUA__MAX(known, (size_t)1));
    }
    if (!st) kua__free(sorted);
    kua__free(price);
    return st;
}

const char *kua__category_level(const char *path, size_t level, size_t *n)
{
    assert(path && n);
    static const char mark[] = " > ";
    for (; *path; level--) {
        const char *end = strstr(path, mark);
        if (level == 0) {
            *n = end ? (size_t)(end - path) : strlen(path);
            return path;
        }
        if (!end) {
            break;
        }
        path = end + strlen(mark);
    }
    *n = 0;
    return NULL;
}

size_t kua__category_depth(const char *path)
{
    size_t depth = 0, n;
    while (kua__category_level(path, depth, &n)) {
        depth++;
    }
    return depth;
}

/* ---- items ---- */

/* Where the events of a user that may be looked at end. A cut outside the user's own slice would
 * read another user's events, which nothing later could notice. */
static size_t end_of(const kua__log *log, const size_t *end, size_t user)
{
    size_t at = end ? end[user] : log->user_at[user + 1];
    assert(at >= log->user_at[user] && at <= log->user_at[user + 1]);
    return at;
}

static kua_status features_new(kua__features *out, size_t n, size_t dim, const char *const *names)
{
    *out = (kua__features){.n = n, .dim = dim, .names = names};
    return KUA__NEW_ZEROED(&out->value, n * dim, "features");
}

/* The last time before the cut; INT64_MIN where there is none. */
static int64_t latest_time(const kua__log *log, const size_t *end)
{
    int64_t latest = INT64_MIN;
    for (size_t u = 0; u < log->n_users; u++) {
        size_t at = end_of(log, end, u);
        if (at > log->user_at[u]) {
            latest = KUA__MAX(latest, log->time[at - 1]);
        }
    }
    return latest;
}

static float recency(const kua__log *log, int64_t latest, int64_t last)
{
    return log->has_clock && last != INT64_MIN ? (float)((double)(latest - last) / DAY) : NAN;
}

typedef struct item_count {
    uint32_t events, users;
    uint32_t last_user; /* its number + 1; 0: nobody yet. Users come one after the other, so that
                           comparing with the last one counts each once */
    int64_t last;       /* seconds; INT64_MIN: no event before the cut */
} item_count;

static void count_items(const kua__log *log, const size_t *end, item_count *count)
{
    for (size_t i = 0; i < log->n_items; i++) {
        count[i] = (item_count){.last = INT64_MIN};
    }
    for (size_t u = 0; u < log->n_users; u++) {
        for (size_t e = log->user_at[u], stop = end_of(log, end, u); e < stop; e++) {
            item_count *c = &count[log->item[e]];
            c->events++;
            c->users += c->last_user != u + 1;
            c->last_user = (uint32_t)u + 1;
            c->last = KUA__MAX(c->last, log->time[e]);
        }
    }
}

static void fill_items(const kua__shop *shop, const kua__domain *d, const size_t *end,
                       const item_count *count, const uint8_t *band, kua__features *out)
{
    assert(out->n == d->n_items && out->dim == ITEM_COLUMNS);
    const int64_t latest = latest_time(&d->log, end);
    for (size_t i = 0; i < d->n_items; i++) {
        const kua__item *item = &shop->items[d->first_item + i];
        float *row = out->value + i * ITEM_COLUMNS;
        row[ITEM_EVENTS] = log1pf((float)count[i].events);
        row[ITEM_USERS] = log1pf((float)count[i].users);
        row[ITEM_RECENCY] = recency(&d->log, latest, count[i].last);
        row[ITEM_PRICE] = item->price < 0 ? NAN : log1pf(item->price);
        row[ITEM_BAND] = band[i] == PRICE_BANDS ? NAN : (float)band[i];
        row[ITEM_DEPTH] = (float)kua__category_depth(item->category);
    }
}

kua_status kua__features_items(const kua__shop *shop, uint32_t domain, const size_t *end,
                               kua__scale scale, kua__features *out)
{
    assert(shop && domain < shop->n_domains && out);
    const kua__domain *d = &shop->domains[domain];
    item_count *count = NULL;
    uint8_t *band = NULL;
    kua_status st = features_new(out, d->n_items, ITEM_COLUMNS, item_names);
    if (!st) st = KUA__NEW_ARRAY(&count, d->n_items, "counts of items");
    if (!st) st = KUA__NEW_ARRAY(&band, d->n_items, "price bands");
    if (!st) st = kua__price_bands(shop, domain, PRICE_BANDS, band);
    if (!st) {
        count_items(&d->log, end, count);
        fill_items(shop, d, end, count, band, out);
        st = scale_all(out, scale);
    }
    kua__free(count);
    kua__free(band);
    if (st) kua__features_release(out);
    return st;
}

/* ---- users ---- */

/* One user's row; last[item] is the user + 1 who had the item last. */
static void fill_user(const kua__log *log, size_t user, size_t stop, int64_t latest, uint32_t *last,
                      float *row)
{
    assert(stop >= log->user_at[user] && user < UINT32_MAX);
    const size_t from = log->user_at[user], n = stop - from;
    size_t repeats = 0;
    double sum = 0;
    for (size_t e = from; e < stop; e++) {
        repeats += last[log->item[e]] == user + 1;
        last[log->item[e]] = (uint32_t)user + 1;
        sum += (double)log->value[e];
    }
    row[USER_EVENTS] = log1pf((float)n);
    row[USER_ITEMS] = log1pf((float)(n - repeats));
    row[USER_REPEATS] = n ? (float)((double)repeats / (double)n) : NAN;
    row[USER_RECENCY] = recency(log, latest, n ? log->time[stop - 1] : INT64_MIN);
    row[USER_VALUE] = n ? (float)(sum / (double)n) : NAN;
}

kua_status kua__features_users(const kua__shop *shop, uint32_t domain, const size_t *end,
                               kua__scale scale, kua__features *out)
{
    assert(shop && domain < shop->n_domains && out);
    const kua__log *log = &shop->domains[domain].log;
    uint32_t *last = NULL;
    kua_status st = features_new(out, log->n_users, USER_COLUMNS, user_names);
    if (!st) st = KUA__NEW_ZEROED(&last, log->n_items, "last users of items");
    if (!st) {
        const int64_t latest = latest_time(log, end);
        for (size_t u = 0; u < log->n_users; u++) {
            fill_user(log, u, end_of(log, end, u), latest, last, out->value + u * USER_COLUMNS);
        }
        st = scale_all(out, scale);
    }
    kua__free(last);
    if (st) kua__features_release(out);
    return st;
}

void kua__features_release(kua__features *features)
{
    assert(features);
    kua__free(features->value);
    *features = (kua__features){0};
}
