/* data/inspect.c - one pass over a shop for each question that `kua inspect` answers.
 *
 *     shop -> for each domain: counts per user and per item -> spread -> JSON
 *          -> for each user: the domains it has events in -> pairs of domains
 *
 * One pass for each question and not one for all: the command is asked rarely, and each answer can
 * be read, and changed, by itself.
 *
 * Failures come in two kinds, kept apart because the first must not leave JSON half built: `made`
 * is what our own allocations say, `st` what building JSON says (data/report_json.h). The domain's
 * object is finished, or released, once, with whichever failed first.
 */
#include "data/inspect.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "data/report_json.h"

enum { RARE = 5 }; /* fewer events than this: rare, and a cold user */

typedef struct spread {
    size_t n, zero, rare; /* values above 0; equal to 0; 1 .. RARE - 1 */
    size_t max, total;
    double median;
} spread;

static int by_size(const void *a, const void *b)
{
    size_t x = *(const size_t *)a, y = *(const size_t *)b;
    return x < y ? -1 : x > y;
}

/* Sorts counts. The mean and median are over those that are not 0. */
static spread measure(size_t *counts, size_t n)
{
    spread s = {0};
    qsort(counts, n, sizeof(*counts), by_size);
    /* Zeros are now in front, the others from s.zero on. */
    while (s.zero < n && counts[s.zero] == 0) {
        s.zero++;
    }
    s.n = n - s.zero;
    for (size_t i = s.zero; i < n; i++) {
        s.total += counts[i];
        s.rare += counts[i] < RARE;
    }
    s.max = n ? counts[n - 1] : 0;
    size_t middle = s.zero + s.n / 2; /* of those that are not 0; the upper one of an even number */
    if (s.n) {
        s.median = s.n % 2 ? (double)counts[middle]
                           : ((double)counts[middle - 1] + (double)counts[middle]) / 2;
    }
    return s;
}

static json_t *spread_json(const spread *s, kua_status *st)
{
    json_t *json = kua__json_new_object(st);
    kua__json_put(json, "mean", json_real(s->n ? (double)s->total / (double)s->n : 0), st);
    kua__json_put(json, "median", json_real(s->median), st);
    kua__json_put(json, "max", json_integer((json_int_t)s->max), st);
    return json;
}

static double share(size_t part, size_t whole)
{
    return whole ? (double)part / (double)whole : 0;
}

/* ---- events ---- */

/* Events whose user had the item before: last[item] is the user + 1 who had it last. */
static kua_status count_repeats(const kua__log *log, size_t *out)
{
    assert(log->n_users < UINT32_MAX); /* last[] holds number + 1 */
    uint32_t *last;
    *out = 0;
    KUA__TRY(KUA__NEW_ZEROED(&last, log->n_items, "last users of items"));
    for (size_t u = 0; u < log->n_users; u++) {
        for (size_t e = log->user_at[u]; e < log->user_at[u + 1]; e++) {
            *out += last[log->item[e]] == u + 1;
            last[log->item[e]] = (uint32_t)u + 1;
        }
    }
    kua__free(last);
    return KUA_OK;
}

static void put_dates(json_t *json, const kua__log *log, kua_status *st)
{
    int64_t first = INT64_MAX, last = INT64_MIN;
    char date[32];
    for (size_t e = 0; e < log->n_events; e++) {
        first = KUA__MIN(first, log->time[e]);
        last = KUA__MAX(last, log->time[e]);
    }
    bool known = log->has_clock && log->n_events;
    kua__json_put(json, "clock", json_boolean(log->has_clock), st);
    if (known) {
        kua__format_date(first, date);
        kua__json_put(json, "first", json_string(date), st);
        kua__format_date(last, date);
        kua__json_put(json, "last", json_string(date), st);
    } else {
        kua__json_put(json, "first", json_null(), st);
        kua__json_put(json, "last", json_null(), st);
    }
}

static void put_types(json_t *json, const kua__log *log, kua_status *st)
{
    size_t count[KUA__EVENT_TYPES] = {0};
    json_t *types = kua__json_new_object(st);
    for (size_t e = 0; e < log->n_events; e++) {
        assert(log->type[e] < KUA__EVENT_TYPES);
        count[log->type[e]]++;
    }
    for (int t = 0; t < KUA__EVENT_TYPES; t++) {
        if (count[t]) {
            kua__json_put(types, kua__event_type_name((kua__event_type)t),
                          json_integer((json_int_t)count[t]), st);
        }
    }
    kua__json_put(json, "types", types, st);
}

static void put_values(json_t *json, const kua__log *log, kua_status *st)
{
    double low = INFINITY, high = -INFINITY, sum = 0;
    for (size_t e = 0; e < log->n_events; e++) {
        low = fmin(low, (double)log->value[e]);
        high = fmax(high, (double)log->value[e]);
        sum += (double)log->value[e];
    }
    json_t *values = kua__json_new_object(st);
    const double n = (double)log->n_events;
    kua__json_put(values, "min", json_real(log->n_events ? low : 0), st);
    kua__json_put(values, "mean", json_real(log->n_events ? sum / n : 0), st);
    kua__json_put(values, "max", json_real(log->n_events ? high : 0), st);
    kua__json_put(json, "values", values, st);
}

static kua_status put_counts(json_t *json, const kua__domain *domain, kua_status *st)
{
    const kua__log *log = &domain->log;
    size_t *of_user = NULL, *of_item = NULL, repeats = 0;
    kua_status made = KUA__NEW_ARRAY(&of_user, log->n_users, "counts of users");
    if (!made) made = KUA__NEW_ZEROED(&of_item, log->n_items, "counts of items");
    if (!made) made = count_repeats(log, &repeats);
    if (!made) {
        for (size_t u = 0; u < log->n_users; u++) {
            of_user[u] = log->user_at[u + 1] - log->user_at[u];
        }
        for (size_t e = 0; e < log->n_events; e++) {
            of_item[log->item[e]]++;
        }
        spread users = measure(of_user, log->n_users), items = measure(of_item, log->n_items);
        /* Distinct pairs are the events that are no repeat, since a pair's first event is one. */
        double cells = (double)users.n * (double)log->n_items;
        double pairs = (double)(log->n_events - repeats);
        kua__json_put(json, "users", json_integer((json_int_t)users.n), st);
        kua__json_put(json, "items", json_integer((json_int_t)log->n_items), st);
        kua__json_put(json, "events", json_integer((json_int_t)log->n_events), st);
        kua__json_put(json, "sparsity", json_real(cells > 0 ? 1 - pairs / cells : 1), st);
        kua__json_put(json, "repeats", json_real(share(repeats, log->n_events)), st);
        kua__json_put(json, "per_user", spread_json(&users, st), st);
        kua__json_put(json, "per_item", spread_json(&items, st), st);
        kua__json_put(json, "cold_items", json_real(share(items.zero, log->n_items)), st);
        kua__json_put(json, "rare_items", json_real(share(items.rare, log->n_items)), st);
        kua__json_put(json, "cold_users", json_real(share(users.rare, users.n)), st);
    }
    kua__free(of_user);
    kua__free(of_item);
    return made;
}

/* ---- items ---- */

static void put_missing(json_t *json, const kua__shop *shop, const kua__domain *domain,
                        kua_status *st)
{
    size_t name = 0, text = 0, category = 0, price = 0;
    for (size_t i = 0; i < domain->n_items; i++) {
        const kua__item *item = &shop->items[domain->first_item + i];
        name += item->name == item->id || kua__streq(item->name, item->id);
        text += !*item->text;
        category += !*item->category;
        price += isnan(item->price);
    }
    json_t *missing = kua__json_new_object(st);
    kua__json_put(missing, "name", json_integer((json_int_t)name), st);
    kua__json_put(missing, "text", json_integer((json_int_t)text), st);
    kua__json_put(missing, "category", json_integer((json_int_t)category), st);
    kua__json_put(missing, "price", json_integer((json_int_t)price), st);
    kua__json_put(json, "missing", missing, st);
}

static size_t characters(const char *text)
{
    /* Bytes that continue a character are 10xxxxxx; all others begin one. */
    size_t n = 0;
    for (; *text; text++) {
        n += ((unsigned char)*text & 0xC0) != 0x80;
    }
    return n;
}

/* Texts that are equal are one for the encoder: the share of distinct ones tells how much it can
 * tell items apart. */
static kua_status put_text(json_t *json, const kua__shop *shop, const kua__domain *domain,
                           kua_status *st)
{
    kua__ids distinct;
    size_t with = 0, chars = 0;
    kua_status made = KUA_OK;
    kua__ids_init(&distinct);
    for (size_t i = 0; !made && i < domain->n_items; i++) {
        const char *text = shop->items[domain->first_item + i].text;
        uint32_t id;
        if (*text) {
            made = kua__ids_add(&distinct, text, strlen(text), &id);
            chars += characters(text);
            with++;
        }
    }
    json_t *out = kua__json_new_object(st);
    kua__json_put(out, "items", json_integer((json_int_t)with), st);
    kua__json_put(out, "coverage", json_real(share(with, domain->n_items)), st);
    kua__json_put(out, "distinct", json_integer((json_int_t)distinct.count), st);
    kua__json_put(out, "mean_chars", json_real(share(chars, with)), st);
    kua__json_put(json, "text", out, st);
    kua__ids_release(&distinct);
    return made;
}

static kua_status domain_json(const kua__shop *shop, const kua__domain *domain, json_t **out)
{
    kua_status st = KUA_OK;
    json_t *json = kua__json_new_object(&st);
    kua__json_put(json, "name", kua__json_text(domain->name), &st);
    kua_status made = put_counts(json, domain, &st);
    put_dates(json, &domain->log, &st);
    put_types(json, &domain->log, &st);
    put_values(json, &domain->log, &st);
    kua__json_put(json, "given_split", json_boolean(domain->log.part != NULL), &st);
    put_missing(json, shop, domain, &st);
    if (!made) made = put_text(json, shop, domain, &st);
    return kua__json_finish(json, made ? made : st, out);
}

/* ---- users of two domains ---- */

typedef struct pair {
    size_t a, b, users;
} pair;

/* Equal counts by number: whatever qsort does with ties, the report is the same everywhere. */
static int most_first(const void *a, const void *b)
{
    const pair *x = a, *y = b;
    if (x->users != y->users) return x->users > y->users ? -1 : 1;
    if (x->a != y->a) return x->a < y->a ? -1 : 1;
    return x->b < y->b ? -1 : x->b > y->b;
}

static bool has_events(const kua__domain *domain, size_t user)
{
    assert(user < domain->log.n_users);
    return domain->log.user_at[user + 1] > domain->log.user_at[user];
}

/* Counts pairs[a * n + b], a < b: for every user the domains that they have, each with each. */
static kua_status count_pairs(const kua__shop *shop, pair *pairs)
{
    const size_t n = shop->n_domains;
    size_t *own;
    KUA__TRY(KUA__NEW_ARRAY(&own, n, "domains of a user"));
    for (size_t u = 0; u < shop->users.count; u++) {
        size_t count = 0;
        for (size_t d = 0; d < n; d++) {
            if (has_events(&shop->domains[d], u)) {
                own[count++] = d;
            }
        }
        for (size_t i = 0; i < count; i++) {
            for (size_t j = i + 1; j < count; j++) {
                pairs[own[i] * n + own[j]].users++;
            }
        }
    }
    kua__free(own);
    return KUA_OK;
}

static json_t *pairs_json(const kua__shop *shop, const pair *pairs, size_t n, kua_status *st)
{
    json_t *list = kua__json_new_array(st);
    for (size_t i = 0; i < n && pairs[i].users; i++) {
        json_t *one = kua__json_new_object(st);
        kua__json_put(one, "a", kua__json_text(shop->domains[pairs[i].a].name), st);
        kua__json_put(one, "b", kua__json_text(shop->domains[pairs[i].b].name), st);
        kua__json_put(one, "users", json_integer((json_int_t)pairs[i].users), st);
        kua__json_push(list, one, st);
    }
    return list;
}

static kua_status shared_json(const kua__shop *shop, json_t **out)
{
    const size_t n = shop->n_domains;
    pair *pairs;
    *out = NULL;
    KUA__TRY(KUA__NEW_ZEROED(&pairs, n * n, "pairs of domains"));
    for (size_t i = 0; i < n * n; i++) {
        pairs[i].a = i / n;
        pairs[i].b = i % n;
    }
    kua_status st = count_pairs(shop, pairs);
    json_t *list = NULL;
    if (!st) {
        qsort(pairs, n * n, sizeof(*pairs), most_first);
        list = pairs_json(shop, pairs, n * n, &st);
    }
    kua__free(pairs);
    return kua__json_finish(list, st, out);
}

kua_status kua__shop_inspect(const kua__shop *shop, json_t **out)
{
    assert(shop && out);
    kua_status st = KUA_OK, made = KUA_OK;
    json_t *json = kua__json_new_object(&st), *domains = kua__json_new_array(&st), *shared = NULL;
    size_t events = 0;
    for (size_t d = 0; !made && d < shop->n_domains; d++) {
        json_t *one = NULL;
        made = domain_json(shop, &shop->domains[d], &one);
        if (!made) kua__json_push(domains, one, &st);
        events += shop->domains[d].log.n_events;
    }
    if (!made) made = shared_json(shop, &shared);
    kua__json_put(json, "users", json_integer((json_int_t)shop->users.count), &st);
    kua__json_put(json, "items", json_integer((json_int_t)shop->n_items), &st);
    kua__json_put(json, "events", json_integer((json_int_t)events), &st);
    kua__json_put(json, "domains", domains, &st);
    if (!made) kua__json_put(json, "shared_users", shared, &st);
    return kua__json_finish(json, made ? made : st, out);
}
