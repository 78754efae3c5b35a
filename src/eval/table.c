/* table.c - rows of models and their intervals as JSON: what `kua eval --json`, the report and the
 * tests read.
 *
 * One slice at a time: the users of the slice, a column of per-user values for every row and
 * measure, one bootstrap over all of them (so that every difference is paired), then numbers into
 * JSON. Nothing of a slice outlives it.
 *
 *     block of a slice     columns    [rows][KUA__MEASURES][n_users]   averaged over seeds
 *                          replicates [rows][KUA__MEASURES][resamples]
 *
 * JSON is built without a look at each step: `put` and `push` accept what an earlier failure left,
 * and remember it in table.failed, which is looked at before a child is used and at the end. What
 * comes from our own allocations is a status, as everywhere.
 */
#include "eval/eval.h"

#include <assert.h>
#include <math.h>

#include "base/json.h"

enum { DECIMALS = 1000000 }; /* a figure has six places: more is noise, and makes files long */

typedef struct table {
    const kua__eval_set *set;
    const kua__eval_row *rows;
    size_t n_rows, baseline, resamples; /* baseline: number of a row */
    uint64_t seed;
    json_t **slices; /* [n_rows] borrowed: where slices of a row are put */
    bool failed;     /* jansson was out of memory at some point: checked once at the end */
} table;

typedef struct block {
    kua__columns *columns; /* [n_rows] */
    const float **column;  /* [n_rows * KUA__MEASURES] */
    double *replicates, *scratch;
    size_t n_users;
} block;

static json_t *number(double x)
{
    return json_real(round(x * DECIMALS) / DECIMALS);
}

/* Both take `value` over, also where they fail; either may be NULL after an earlier failure. */
static void put(table *t, json_t *object, const char *key, json_t *value)
{
    if (json_object_set_new(object, key, value)) t->failed = true;
}

static void push(table *t, json_t *array, json_t *value)
{
    if (json_array_append_new(array, value)) t->failed = true;
}

/* An object that already belongs to `object`; NULL only after a failure, which `put` then
 * remembers. */
static json_t *put_object(table *t, json_t *object, const char *key)
{
    json_t *child = json_object();
    put(t, object, key, child);
    return t->failed ? NULL : child;
}

/* ---- one slice ---- */

static void block_release(const table *t, block *b)
{
    for (size_t r = 0; b->columns && r < t->n_rows; r++)
        kua__columns_release(&b->columns[r]);
    kua__free(b->columns);
    kua__free(b->column);
    kua__free(b->replicates);
    kua__free(b->scratch);
    *b = (block){0};
}

static kua_status block_fill(const table *t, kua__slice slice, const uint8_t *item_mask, block *b)
{
    size_t n_columns = t->n_rows * KUA__MEASURES;
    KUA__TRY(KUA__NEW_ZEROED(&b->columns, t->n_rows, "rows of a slice"));
    for (size_t r = 0; r < t->n_rows; r++) {
        KUA__TRY(kua__eval_columns(t->set, t->rows[r].results, t->rows[r].n_results, slice,
                                   item_mask, &b->columns[r]));
        b->n_users = b->columns[r].n_users;
        /* All rows answer the same questions, so that columns of two rows can be subtracted. */
        assert(r == 0 || b->n_users == b->columns[r - 1].n_users);
    }
    if (b->n_users == 0) return KUA_OK;
    KUA__TRY(KUA__NEW_ARRAY(&b->column, n_columns, "columns of a slice"));
    KUA__TRY(KUA__NEW_ARRAY(&b->replicates, n_columns * t->resamples, "bootstrap replicates"));
    KUA__TRY(KUA__NEW_ARRAY(&b->scratch, t->resamples, "bootstrap replicates"));
    for (size_t c = 0; c < n_columns; c++)
        b->column[c] = b->columns[c / KUA__MEASURES].value + c % KUA__MEASURES * b->n_users;
    return kua__bootstrap(b->column, n_columns, b->n_users, t->resamples, t->seed, b->replicates);
}

static double mean_of(const block *b, size_t row, size_t measure)
{
    assert(measure < KUA__MEASURES && b->n_users >= 1);
    const float *value = b->column[row * KUA__MEASURES + measure];
    double sum = 0;
    for (size_t u = 0; u < b->n_users; u++)
        sum += value[u];
    return sum / (double)b->n_users;
}

static void put_difference(table *t, const block *b, size_t row, size_t measure, json_t *out)
{
    assert(row != t->baseline);
    const double *mine = b->replicates + (row * KUA__MEASURES + measure) * t->resamples;
    const double *base = b->replicates + (t->baseline * KUA__MEASURES + measure) * t->resamples;
    double mean = mean_of(b, row, measure) - mean_of(b, t->baseline, measure);
    kua__interval i = kua__interval_make(mean, mine, base, t->resamples, b->scratch);
    json_t *entry = put_object(t, out, kua__measure_name((int)measure));
    put(t, entry, "mean", number(i.mean));
    put(t, entry, "low", number(i.low));
    put(t, entry, "high", number(i.high));
    put(t, entry, "p", number(i.p));
}

/* metrics, intervals and difference of one row. What describes the shown list belongs to users, so
 * item slices leave it out. */
static void put_row(table *t, const block *b, size_t row, bool items, json_t *out)
{
    json_t *metrics = put_object(t, out, "metrics"), *intervals = put_object(t, out, "intervals");
    json_t *difference = row == t->baseline ? NULL : put_object(t, out, "difference");
    size_t n_measures = items ? KUA__RANK_MEASURES : KUA__MEASURES;
    for (size_t m = 0; m < n_measures; m++) {
        const char *name = kua__measure_name((int)m);
        double mean = mean_of(b, row, m);
        kua__interval i =
            kua__interval_make(mean, b->replicates + (row * KUA__MEASURES + m) * t->resamples, NULL,
                               t->resamples, b->scratch);
        json_t *pair = json_array();
        push(t, pair, number(i.low));
        push(t, pair, number(i.high));
        put(t, metrics, name, number(mean));
        put(t, intervals, name, pair);
        if (difference) put_difference(t, b, row, m, difference);
    }
}

static kua_status put_slice(table *t, kua__slice slice, const uint8_t *item_mask, const char *name,
                            const char *words, json_t **targets)
{
    block b = {0};
    kua_status st = block_fill(t, slice, item_mask, &b);
    for (size_t r = 0; !st && b.n_users && r < t->n_rows; r++) {
        json_t *out = name ? put_object(t, targets[r], name) : targets[r];
        put(t, out, name ? "users" : "users_asked", json_integer((json_int_t)b.n_users));
        if (words) put(t, out, "words", json_string(words));
        put_row(t, &b, r, item_mask || kua__slice_is_items(slice), out);
    }
    block_release(t, &b);
    return st;
}

/* ---- categories ---- */

/* Length of a category's first level. */
static size_t top_level(const char *category)
{
    const char *end = strstr(category, " > ");
    return end ? (size_t)(end - category) : strlen(category);
}

typedef struct category_list {
    kua__ids names;
    uint32_t *of_item; /* [n_items] */
    size_t *relevant;  /* [names.count] */
    uint8_t *mask;     /* [n_items] */
} category_list;

static kua_status find_categories(const table *t, category_list *list)
{
    const kua__side *side = &t->set->world->side;
    const kua__item *items = side->shop->items + side->shop->domains[side->domain].first_item;
    KUA__TRY(KUA__NEW_ARRAY(&list->of_item, t->set->n_items, "categories"));
    KUA__TRY(KUA__NEW_ARRAY(&list->mask, t->set->n_items, "categories"));
    for (size_t i = 0; i < t->set->n_items; i++) {
        size_t n = top_level(items[i].category);
        list->of_item[i] = KUA__NO_ID;
        if (n) KUA__TRY(kua__ids_add(&list->names, items[i].category, n, &list->of_item[i]));
    }
    KUA__TRY(KUA__NEW_ZEROED(&list->relevant, list->names.count, "categories"));
    for (size_t k = 0; k < t->set->n_relevant; k++) {
        uint32_t c = list->of_item[t->set->relevant[k]];
        if (c != KUA__NO_ID) list->relevant[c]++;
    }
    return KUA_OK;
}

/* The categories with most relevant items, largest first. */
static kua_status put_categories(table *t, category_list *list, size_t n, json_t **targets)
{
    /* Selection, not sorting: a few of them are wanted. What was shown is set to 0. */
    for (size_t k = 0; k < n; k++) {
        size_t best = 0;
        for (size_t c = 1; c < list->names.count; c++) {
            if (list->relevant[c] > list->relevant[best]) best = c;
        }
        if (list->names.count == 0 || list->relevant[best] == 0) break;
        for (size_t i = 0; i < t->set->n_items; i++)
            list->mask[i] = list->of_item[i] == best;
        KUA__TRY(put_slice(t, KUA__SLICE_ALL, list->mask, list->names.name[best], NULL, targets));
        list->relevant[best] = 0;
    }
    return KUA_OK;
}

static kua_status add_categories(table *t, size_t n, json_t **targets)
{
    category_list list = {0};
    kua__ids_init(&list.names);
    kua_status st = find_categories(t, &list);
    if (!st) st = put_categories(t, &list, n, targets);
    kua__ids_release(&list.names);
    kua__free(list.of_item);
    kua__free(list.relevant);
    kua__free(list.mask);
    return st;
}

/* ---- the whole ---- */

static const char *split_name(kua__split_kind kind)
{
    static const char *const names[] = {"leave-one-out", "time", "given"};
    assert((size_t)kind < KUA__COUNT(names));
    return names[kind];
}

static void describe_protocol(const kua__eval_set *set, kua__buf *words)
{
    const kua__eval_options *o = &set->options;
    size_t ranked = set->n_items - set->n_excluded;
    char cut[32];
    kua__format_date(set->cut_time, cut);
    if (set->kind == KUA__SPLIT_LEAVE_ONE_OUT)
        kua__buf_printf(words, "each user's %s event is to be found",
                        o->part == KUA__PART_TEST ? "last" : "last but one");
    else if (set->kind == KUA__SPLIT_TIME)
        kua__buf_printf(words, "all that a user had from %s on is to be found", cut);
    else
        kua__buf_puts(words, "the events of a given file are to be found");
    if (o->sampled)
        kua__buf_printf(words,
                        " among %zu SAMPLED items (not comparable with rankings of all items)",
                        o->sampled);
    else
        kua__buf_printf(words, " among all %zu items%s", ranked,
                        o->sold_only ? " known before that day" : "");
    if (o->new_only)
        kua__buf_puts(words, "; only what was new to the user counts");
    else
        kua__buf_printf(words, "; items of the history are %s",
                        o->mask_seen ? "masked" : "not masked");
}

static kua_status put_protocol(table *t, json_t *root)
{
    const kua__eval_set *set = t->set;
    const kua__eval_options *o = &set->options;
    kua__buf words = {0};
    json_t *p = put_object(t, root, "protocol");
    describe_protocol(set, &words);
    put(t, p, "split", json_string(split_name(set->kind)));
    put(t, p, "part", json_string(o->part == KUA__PART_TEST ? "test" : "valid"));
    put(t, p, "mask_seen", json_boolean(o->mask_seen));
    put(t, p, "new_only", json_boolean(o->new_only));
    put(t, p, "users", json_integer((json_int_t)set->n_users));
    put(t, p, "relevant", json_integer((json_int_t)set->n_relevant));
    put(t, p, "ranked_items", json_integer((json_int_t)(set->n_items - set->n_excluded)));
    put(t, p, "dropped_relevant", json_integer((json_int_t)set->n_dropped));
    put(t, p, "sampled", json_integer((json_int_t)o->sampled));
    put(t, p, "resamples", json_integer((json_int_t)t->resamples));
    if (set->kind == KUA__SPLIT_TIME) put(t, p, "cut", json_integer((json_int_t)set->cut_time));
    kua_status st = kua__buf_status(&words);
    if (!st) put(t, p, "words", json_string(words.data));
    kua__buf_release(&words);
    return st;
}

/* How much the mean moves from seed to seed: a second kind of doubt, which the interval over users
 * does not show. */
static kua_status put_spread(table *t, const kua__eval_row *row, json_t *out)
{
    assert(row->n_results >= 2);
    static const int measures[] = {KUA__RECALL_10, KUA__NDCG_10};
    json_t *spread = put_object(t, out, "seed_spread");
    for (size_t k = 0; k < KUA__COUNT(measures); k++) {
        double sum = 0, square = 0, n = (double)row->n_results;
        for (size_t r = 0; r < row->n_results; r++) {
            double mean = 0;
            KUA__TRY(kua__eval_mean(t->set, &row->results[r], measures[k], &mean));
            sum += mean;
            square += mean * mean;
        }
        double variance = fmax(0, (square - sum * sum / n) / (n - 1));
        put(t, spread, kua__measure_name(measures[k]), number(sqrt(variance)));
    }
    return KUA_OK;
}

static kua_status put_head(table *t, const kua__eval_row *row, json_t *out)
{
    double coverage = 0, gini = 0, seconds = 0;
    for (size_t r = 0; r < row->n_results; r++) {
        coverage += row->results[r].coverage / (double)row->n_results;
        gini += row->results[r].gini / (double)row->n_results;
        seconds += row->results[r].seconds / (double)row->n_results;
    }
    put(t, out, "model", json_string(row->name));
    put(t, out, "seeds", json_integer((json_int_t)row->n_results));
    put(t, out, "coverage", number(coverage));
    put(t, out, "gini", number(gini));
    put(t, out, "eval_seconds", number(seconds));
    if (row->note) put(t, out, "note", json_string(row->note));
    if (row->settings) {
        put(t, out, "settings", kua__json_copy(row->settings));
    }
    if (row->seconds > 0) put(t, out, "seconds", number(row->seconds));
    if (row->bytes) put(t, out, "bytes", json_integer((json_int_t)row->bytes));
    return row->n_results > 1 ? put_spread(t, row, out) : KUA_OK;
}

static kua_status put_rows(table *t, size_t n_categories, json_t *rows, json_t **row,
                           json_t **categories)
{
    for (size_t r = 0; r < t->n_rows; r++) {
        row[r] = json_object();
        push(t, rows, row[r]);
        if (t->failed) return kua__fail_nomem(0, "a table");
        KUA__TRY(put_head(t, &t->rows[r], row[r]));
    }
    KUA__TRY(put_slice(t, KUA__SLICE_ALL, NULL, NULL, NULL, row));
    for (size_t r = 0; r < t->n_rows; r++) {
        t->slices[r] = put_object(t, row[r], "slices");
        categories[r] = n_categories ? put_object(t, row[r], "categories") : NULL;
    }
    for (int s = KUA__SLICE_ALL + 1; s < KUA__SLICES; s++) {
        KUA__TRY(put_slice(t, (kua__slice)s, NULL, kua__slice_name((kua__slice)s),
                           kua__slice_words((kua__slice)s), t->slices));
    }
    return n_categories ? add_categories(t, n_categories, categories) : KUA_OK;
}

static kua_status build(table *t, const kua__table_options *o, json_t *root)
{
    json_t *rows, **work = NULL;
    if (o->title) put(t, root, "title", json_string(o->title));
    KUA__TRY(put_protocol(t, root));
    put(t, root, "baseline", json_string(t->rows[t->baseline].name));
    put(t, root, "rows", rows = json_array());
    if (t->failed) return kua__fail_nomem(0, "a table");
    KUA__TRY(KUA__NEW_ZEROED(&work, 3 * t->n_rows, "rows"));
    t->slices = work + 2 * t->n_rows;
    kua_status st = put_rows(t, o->categories, rows, work, work + t->n_rows);
    kua__free(work);
    for (size_t k = 0; !st && k < 3; k++) {
        const char *key = (const char *[]){"metrics", "intervals", "slices"}[k];
        json_t *value = json_object_get(json_array_get(rows, 0), key);
        put(t, root, key, json_incref(value));
    }
    return !st && t->failed ? kua__fail_nomem(0, "a table") : st;
}

static kua_status find_baseline(table *t, const char *name)
{
    t->baseline = 0;
    for (size_t r = 0; name && r < t->n_rows; r++) {
        if (kua__streq(t->rows[r].name, name)) {
            t->baseline = r;
            return KUA_OK;
        }
    }
    return name ? kua__fail(KUA_NOTFOUND, "baseline '%s' is not a row of the table", name) : KUA_OK;
}

kua_status kua__table_json(const kua__eval_set *set, const kua__eval_row *rows, size_t n_rows,
                           const kua__table_options *options, json_t **out)
{
    assert(set && rows && options && out);
    assert(n_rows >= 1);
    for (size_t r = 0; r < n_rows; r++)
        assert(rows[r].name && rows[r].results && rows[r].n_results >= 1);
    *out = NULL;
    table t = {.set = set,
               .rows = rows,
               .n_rows = n_rows,
               .resamples = options->resamples ? options->resamples : KUA__RESAMPLES,
               .seed = options->seed};
    KUA__TRY(find_baseline(&t, options->baseline));
    json_t *root = json_object();
    if (!root) return kua__fail_nomem(0, "a table");
    kua_status st = build(&t, options, root);
    if (st)
        json_decref(root);
    else
        *out = root;
    return st;
}
