/* set.c - the questions of an evaluation: who is asked, what is relevant, what may be ranked.
 *
 *     log of a user    [ ------------- history ------------- | ---- scored ---- | ... ]
 *                                                            q0                 q1
 *     validation       q0 = valid_at, q1 = test_at
 *     test             q0 = test_at,  q1 = user_at[u + 1]
 *
 * Invariants
 *   I1  a question's history ends at q0: nothing of the scored part, or of later parts, can be
 *       read through it.
 *   I2  every question has at least one relevant item, and every relevant item is ranked.
 *   I3  relevant items are distinct and ascending within a user.
 *   I4  questions stand in order of their users, also after a draw; relevant_at never falls.
 *
 * Building, and why in this order: training events are counted first, because slices of items and
 * novelty need them; then what is ranked, because a relevant item must be; then the questions; and
 * only those that a draw keeps get the histories of their sources.
 */
#include "eval/eval.h"

#include <assert.h>
#include <math.h>

static const char *const slice_names[KUA__SLICES] = {
#define X(id, name, words) name,
    KUA__SLICE_MAP(X)
#undef X
};

static const char *const slice_words[KUA__SLICES] = {
#define X(id, name, words) words,
    KUA__SLICE_MAP(X)
#undef X
};
_Static_assert(KUA__SLICES <= 32, "slices are bits of a uint32_t");
_Static_assert(KUA__EVENT_TYPES <= 32, "event types are bits of a uint32_t");

enum {
    BIT_ALL = 1u << KUA__SLICE_ALL,
    ITEM_SLICES = 1u << KUA__SLICE_COLD_ITEMS | 1u << KUA__SLICE_ZERO_ITEMS |
                  1u << KUA__SLICE_WARM_ITEMS | 1u << KUA__SLICE_HEAD_ITEMS |
                  1u << KUA__SLICE_TAIL_ITEMS,
    NEVER_RELEVANT = 1u << KUA__EVENT_DISLIKE | 1u << KUA__EVENT_SEARCH
};

const char *kua__slice_name(kua__slice slice)
{
    assert(slice < KUA__SLICES);
    return slice_names[slice];
}

const char *kua__slice_words(kua__slice slice)
{
    assert(slice < KUA__SLICES);
    return slice_words[slice];
}

bool kua__slice_is_items(kua__slice slice)
{
    assert(slice < KUA__SLICES);
    return ITEM_SLICES >> slice & 1;
}

uint32_t kua__slice_user_bits(const kua__query *query, size_t n_sources)
{
    assert(query);
    size_t n_source_events = 0;
    for (size_t s = 0; query->sources && s < n_sources; s++)
        n_source_events += query->sources[s].n;
    uint32_t bits = BIT_ALL;
    bits |= query->target.n > KUA__COLD_EVENTS ? 1u << KUA__SLICE_WARM_USERS
                                               : 1u << KUA__SLICE_COLD_USERS;
    if (query->target.n == 0) bits |= 1u << KUA__SLICE_ZERO_USERS;
    bits |= n_source_events ? 1u << KUA__SLICE_SHARED_USERS : 1u << KUA__SLICE_ALONE_USERS;
    return bits;
}

/* ---- items ---- */

static size_t scored_begin(const kua__split *split, int part, size_t u)
{
    assert(u < split->n_users);
    return part == KUA__PART_VALID ? split->valid_at[u] : split->test_at[u];
}

static size_t scored_end(const kua__log *log, const kua__split *split, int part, size_t u)
{
    return part == KUA__PART_VALID ? split->test_at[u] : log->user_at[u + 1];
}

static void count_training(kua__eval_set *set)
{
    const kua__cut *cut = &set->world->train;
    for (size_t u = 0; u < cut->log->n_users; u++) {
        assert(cut->end[u] >= cut->log->user_at[u] && cut->end[u] <= cut->log->user_at[u + 1]);
        for (size_t e = cut->log->user_at[u]; e < cut->end[u]; e++) {
            set->train_count[cut->log->item[e]]++;
            set->train_total++;
        }
    }
}

static int by_key_down(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x < y) - (x > y);
}

/* Most training events first, equal counts by smaller number; the first fifth is the head. */
static kua_status mark_items(kua__eval_set *set)
{
    /* One number to sort by: the count above, and below it the item's number upside down. */
    assert(set->n_items < UINT32_MAX);
    uint64_t *key = NULL;
    KUA__TRY(KUA__NEW_ARRAY(&key, set->n_items, "item order"));
    for (size_t i = 0; i < set->n_items; i++)
        key[i] = (uint64_t)set->train_count[i] << 32 | (UINT32_MAX - i);
    qsort(key, set->n_items, sizeof(*key), by_key_down);
    for (size_t r = 0; r < set->n_items; r++) {
        size_t i = UINT32_MAX - (uint32_t)key[r];
        uint32_t count = set->train_count[i];
        uint32_t bits = BIT_ALL;
        bits |=
            count > KUA__COLD_EVENTS ? 1u << KUA__SLICE_WARM_ITEMS : 1u << KUA__SLICE_COLD_ITEMS;
        if (count == 0) bits |= 1u << KUA__SLICE_ZERO_ITEMS;
        bits |=
            r < (set->n_items + 4) / 5 ? 1u << KUA__SLICE_HEAD_ITEMS : 1u << KUA__SLICE_TAIL_ITEMS;
        set->item_bits[i] = bits;
    }
    kua__free(key);
    return KUA_OK;
}

/* Which items are not ranked. allowed[n_items] is written for the search of relevant items. */
static kua_status exclude_items(kua__eval_set *set, const kua__split *split, uint8_t *allowed)
{
    const kua__log *log = set->world->train.log;
    const uint8_t *candidates = set->options.candidates;
    for (size_t i = 0; i < set->n_items; i++)
        allowed[i] = !set->options.sold_only;
    for (size_t u = 0; set->options.sold_only && u < log->n_users; u++) {
        size_t end = scored_begin(split, set->options.part, u);
        for (size_t e = log->user_at[u]; e < end; e++)
            allowed[log->item[e]] = 1;
    }
    KUA__TRY(KUA__NEW_ARRAY(&set->excluded, set->n_items, "items that are not ranked"));
    for (size_t i = 0; i < set->n_items; i++) {
        allowed[i] = allowed[i] && (!candidates || candidates[i]);
        if (!allowed[i]) set->excluded[set->n_excluded++] = (uint32_t)i;
    }
    return KUA_OK;
}

static kua_status norm_vectors(kua__eval_set *set)
{
    const kua__side *side = &set->world->side;
    if (!side->vector) return KUA_OK;
    KUA__TRY(KUA__NEW_ARRAY(&set->inverse_norm, set->n_items, "vector norms"));
    for (size_t i = 0; i < set->n_items; i++) {
        const float *v = side->vector + i * side->dim;
        double sum = 0;
        for (size_t j = 0; j < side->dim; j++)
            sum += (double)v[j] * v[j];
        set->inverse_norm[i] = sum > 0 ? (float)(1 / sqrt(sum)) : 0;
    }
    return KUA_OK;
}

/* ---- questions ---- */

static int by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static size_t sort_unique(uint32_t *item, size_t n)
{
    size_t kept = 0;
    if (n == 0) return 0;
    qsort(item, n, sizeof(*item), by_number);
    for (size_t i = 0; i < n; i++) {
        if (kept == 0 || item[kept - 1] != item[i]) item[kept++] = item[i];
    }
    return kept;
}

typedef struct builder {
    kua__eval_set *set;
    const kua__split *split;
    const uint8_t *allowed;          /* [n_items] */
    uint32_t *seen_by;               /* [n_items] user number + 1 of the last user who had it */
    size_t capacity, query_capacity; /* of set->relevant and set->query */
} builder;

/* Appends the relevant items of user u; nothing where there are none. */
static kua_status collect_relevant(builder *b, size_t u, size_t *n)
{
    kua__eval_set *set = b->set;
    const kua__log *log = set->world->train.log;
    uint32_t types =
        set->options.relevant_types ? set->options.relevant_types : ~(uint32_t)NEVER_RELEVANT;
    size_t begin = scored_begin(b->split, set->options.part, u), start = set->n_relevant;
    for (size_t e = log->user_at[u]; set->options.new_only && e < begin; e++)
        b->seen_by[log->item[e]] = (uint32_t)u + 1;
    for (size_t e = begin; e < scored_end(log, b->split, set->options.part, u); e++) {
        uint32_t i = log->item[e];
        if (!(types >> log->type[e] & 1) || (set->options.new_only && b->seen_by[i] == u + 1))
            continue;
        if (!b->allowed[i]) {
            set->n_dropped++;
            continue;
        }
        KUA__TRY(KUA__GROW(&set->relevant, &b->capacity, set->n_relevant, "relevant items"));
        set->relevant[set->n_relevant++] = i;
    }
    *n = sort_unique(set->relevant + start, set->n_relevant - start);
    /* Bought twice is one item to find. */
    set->n_relevant = start + *n;
    return KUA_OK;
}

/* A split by date asks everybody at the same moment; the others when the event comes that is to be
 * found. Without a clock there is no moment. */
static int64_t question_time(const builder *b, size_t u)
{
    const kua__log *log = b->set->world->train.log;
    if (!log->has_clock) return 0;
    if (b->split->kind == KUA__SPLIT_TIME) return b->set->cut_time;
    return log->time[scored_begin(b->split, b->set->options.part, u)];
}

static kua__query make_query(const builder *b, size_t u)
{
    const kua__log *log = b->set->world->train.log;
    size_t at = log->user_at[u];
    assert(scored_begin(b->split, b->set->options.part, u) >= at); /* I1 */
    return (kua__query){
        .user = (uint32_t)u,
        .now = question_time(b, u),
        .target = {.item = log->item + at,
                   .time = log->time + at,
                   .type = log->type + at,
                   .n = scored_begin(b->split, b->set->options.part, u) - at},
    };
}

static kua_status collect_questions(builder *b)
{
    kua__eval_set *set = b->set;
    size_t n_users = set->world->train.log->n_users;
    KUA__TRY(KUA__NEW_ARRAY(&set->relevant_at, n_users + 1, "questions"));
    set->relevant_at[0] = 0;
    for (size_t u = 0; u < n_users; u++) {
        size_t n = 0;
        KUA__TRY(collect_relevant(b, u, &n));
        if (n == 0) continue;
        KUA__TRY(KUA__GROW(&set->query, &b->query_capacity, set->n_users, "questions"));
        set->query[set->n_users++] = make_query(b, u);
        set->relevant_at[set->n_users] = set->n_relevant;
    }
    return KUA_OK;
}

/* Keeps a random subset of the questions, in their order. */
static kua_status draw_users(kua__eval_set *set)
{
    size_t keep = set->options.max_users;
    uint32_t *order = NULL;
    if (keep == 0 || keep >= set->n_users) return KUA_OK;
    KUA__TRY(KUA__NEW_ARRAY(&order, set->n_users, "draw of users"));
    for (size_t q = 0; q < set->n_users; q++)
        order[q] = (uint32_t)q;
    kua__rng rng = kua__rng_make(set->options.seed, 1);
    kua__rng_shuffle(&rng, order, set->n_users);
    qsort(order, keep, sizeof(*order), by_number);
    size_t n_relevant = 0;
    for (size_t k = 0; k < keep; k++) {
        size_t q = order[k], at = set->relevant_at[q], n = set->relevant_at[q + 1] - at;
        memmove(set->relevant + n_relevant, set->relevant + at, n * sizeof(*set->relevant));
        set->query[k] = set->query[q];
        set->relevant_at[k] = n_relevant; /* k <= q: what is still to be read stays whole */
        n_relevant += n;
    }
    set->relevant_at[keep] = n_relevant;
    set->n_users = keep;
    set->n_relevant = n_relevant;
    kua__free(order);
    return KUA_OK;
}

static kua_status attach_sources(kua__eval_set *set)
{
    size_t n_sources = set->world->n_sources;
    KUA__TRY(KUA__NEW_ARRAY(&set->user_bits, set->n_users, "slices"));
    KUA__TRY(KUA__NEW_ARRAY(&set->source_history, set->n_users * n_sources, "source histories"));
    for (size_t q = 0; q < set->n_users; q++) {
        kua__history *history = set->source_history + q * n_sources;
        for (size_t s = 0; s < n_sources; s++) {
            const kua__cut *cut =
                set->options.sources ? &set->options.sources[s] : &set->world->sources[s].cut;
            history[s] = kua__cut_history(cut, set->query[q].user);
        }
        set->query[q].sources = n_sources ? history : NULL;
        set->user_bits[q] = kua__slice_user_bits(&set->query[q], n_sources);
    }
    return KUA_OK;
}

static kua_status build_with(builder *b, uint8_t **allowed)
{
    kua__eval_set *set = b->set;
    KUA__TRY(KUA__NEW_ZEROED(&set->train_count, set->n_items, "item counts"));
    KUA__TRY(KUA__NEW_ZEROED(&set->item_bits, set->n_items, "item slices"));
    KUA__TRY(KUA__NEW_ZEROED(&b->seen_by, set->n_items, "seen items"));
    KUA__TRY(KUA__NEW_ARRAY(allowed, set->n_items, "ranked items"));
    b->allowed = *allowed;
    count_training(set);
    KUA__TRY(mark_items(set));
    KUA__TRY(exclude_items(set, b->split, *allowed));
    KUA__TRY(norm_vectors(set));
    KUA__TRY(collect_questions(b));
    KUA__TRY(draw_users(set));
    if (set->n_users == 0) {
        return kua__fail(KUA_INVALID,
                         "nothing to evaluate in '%s': no user has a relevant event in the %s part "
                         "(%zu events are on items that are not ranked)",
                         set->world->side.shop->domains[set->world->side.domain].name,
                         set->options.part == KUA__PART_VALID ? "validation" : "test",
                         set->n_dropped);
    }
    return attach_sources(set);
}

kua_status kua__eval_set_build(kua__eval_set *set, const kua__world *world, const kua__split *split,
                               const kua__eval_options *options)
{
    assert(set && world && split && options);
    assert(options->part == KUA__PART_VALID || options->part == KUA__PART_TEST);
    assert(split->n_users == world->train.log->n_users);
    assert(world->train.end && (world->n_sources == 0 || world->sources));
    *set = (kua__eval_set){
        .world = world,
        .options = *options,
        .kind = split->kind,
        .cut_time = options->part == KUA__PART_VALID ? split->valid_time : split->test_time,
        .n_items = world->train.log->n_items,
    };
    set->options.mask_seen |= options->new_only;
    builder b = {.set = set, .split = split};
    uint8_t *allowed = NULL;
    kua_status st = build_with(&b, &allowed);
    kua__free(allowed);
    kua__free(b.seen_by);
    if (st) kua__eval_set_release(set);
    return st;
}

void kua__eval_set_release(kua__eval_set *set)
{
    assert(set);
    kua__free(set->query);
    kua__free(set->source_history);
    kua__free(set->relevant_at);
    kua__free(set->relevant);
    kua__free(set->user_bits);
    kua__free(set->item_bits);
    kua__free(set->train_count);
    kua__free(set->inverse_norm);
    kua__free(set->excluded);
    *set = (kua__eval_set){0};
}
