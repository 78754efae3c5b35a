/* neighbours.c - sparse co-counts, one target item at a time, and the best of them by row.
 *
 * For item j the items i of its users are counted in a dense array of the thread; only touched entries are looked at and
 * cleared. The work is the sum over j, over the users of j, of the length of their rows: no pair that never met costs
 * anything. The kept lists are then turned from columns j to rows i, which is how scoring reads them.
 */
#include "rec/neighbours.h"

#include <math.h>
#include <stdlib.h>

typedef struct near {
    uint32_t item;
    float weight;
} near;

typedef struct build {
    const kua__pairs *from, *to_users;
    const uint32_t *size; /* [n_from] users of i */
    bool same;
    double shrink;
    size_t keep;
    uint32_t *count;   /* [threads, n_from] 0 before and after each j */
    uint32_t *touched; /* [threads, n_from] */
    near *list;        /* [threads, n_from] */
    near *best;        /* [n_to, keep] */
    uint32_t *n_best;  /* [n_to] */
} build;

static int by_weight(const void *a, const void *b)
{
    const near *x = a, *y = b;
    if (x->weight != y->weight) return x->weight > y->weight ? -1 : 1;
    return (x->item > y->item) - (x->item < y->item);
}

static size_t count_partners(const build *b, size_t j, uint32_t *count, uint32_t *touched)
{
    size_t n = 0;
    for (size_t k = b->to_users->at[j]; k < b->to_users->at[j + 1]; k++) {
        size_t user = b->to_users->col[k];
        for (size_t i = b->from->at[user]; i < b->from->at[user + 1]; i++) {
            uint32_t item = b->from->col[i];
            if (!count[item]++) touched[n++] = item;
        }
    }
    return n;
}

static void build_task(void *ctx, int thread, size_t first, size_t last)
{
    const build *b = ctx;
    size_t room = b->from->n_cols;
    uint32_t *count = b->count + (size_t)thread * room, *touched = b->touched + (size_t)thread * room;
    near *list = b->list + (size_t)thread * room;
    for (size_t j = first; j < last; j++) {
        size_t n = count_partners(b, j, count, touched), kept = 0;
        double size_j = (double)(b->to_users->at[j + 1] - b->to_users->at[j]);
        for (size_t k = 0; k < n; k++) {
            uint32_t i = touched[k];
            double sim = count[i] / (sqrt(size_j * b->size[i]) + b->shrink);
            count[i] = 0;
            if (!b->same || i != j) list[kept++] = (near){i, (float)sim};
        }
        qsort(list, kept, sizeof(*list), by_weight);
        b->n_best[j] = (uint32_t)KUA__MIN(kept, b->keep);
        memcpy(b->best + j * b->keep, list, b->n_best[j] * sizeof(*list));
    }
}

/* Columns j with their best i into rows i. */
static kua_status to_rows(const near *best, const uint32_t *n_best, size_t keep, size_t n_from, size_t n_to, kua__neighbours *out)
{
    size_t *next = NULL;
    *out = (kua__neighbours){.n_from = n_from, .n_to = n_to, .n_at = n_from + 1};
    for (size_t j = 0; j < n_to; j++) out->n += n_best[j];
    kua_status st = KUA__NEW_ZEROED(&out->at, n_from + 1, "neighbours");
    if (!st) st = KUA__NEW_ARRAY(&out->to, out->n, "neighbours");
    if (!st) st = KUA__NEW_ARRAY(&out->weight, out->n, "neighbours");
    if (!st) st = KUA__NEW_ARRAY(&next, n_from, "neighbours");
    for (size_t j = 0; !st && j < n_to; j++) {
        for (size_t k = 0; k < n_best[j]; k++) out->at[best[j * keep + k].item + 1]++;
    }
    for (size_t i = 0; !st && i < n_from; i++) {
        out->at[i + 1] += out->at[i];
        next[i] = out->at[i];
    }
    for (size_t j = 0; !st && j < n_to; j++) {
        for (size_t k = 0; k < n_best[j]; k++) {
            size_t to = next[best[j * keep + k].item]++;
            out->to[to] = (uint32_t)j;
            out->weight[to] = best[j * keep + k].weight;
        }
    }
    kua__free(next);
    if (st) kua__neighbours_release(out);
    return st;
}

kua_status kua__neighbours_build(const kua__pairs *from, const kua__pairs *to_users, bool same, double shrink, size_t keep,
                                 kua__neighbours *out)
{
    size_t threads = (size_t)kua__threads(), room = threads * from->n_cols;
    uint32_t *size = NULL;
    build b = {.from = from, .to_users = to_users, .same = same, .shrink = shrink, .keep = keep};
    *out = (kua__neighbours){0};
    kua_status st;
    KUA__GOTO(st, KUA__NEW_ZEROED(&size, from->n_cols, "neighbours"));
    KUA__GOTO(st, KUA__NEW_ZEROED(&b.count, room, "neighbours"));
    KUA__GOTO(st, KUA__NEW_ARRAY(&b.touched, room, "neighbours"));
    KUA__GOTO(st, KUA__NEW_ARRAY(&b.list, room, "neighbours"));
    KUA__GOTO(st, KUA__NEW_ARRAY(&b.best, to_users->n_rows * keep, "neighbours"));
    KUA__GOTO(st, KUA__NEW_ARRAY(&b.n_best, to_users->n_rows, "neighbours"));
    for (size_t i = 0; i < from->n; i++) size[from->col[i]]++;
    b.size = size;
    kua__parallel_chunks(to_users->n_rows, 64, build_task, &b);
    st = to_rows(b.best, b.n_best, keep, from->n_cols, to_users->n_rows, out);
done:
    kua__free(size);
    kua__free(b.count);
    kua__free(b.touched);
    kua__free(b.list);
    kua__free(b.best);
    kua__free(b.n_best);
    return st;
}

kua_status kua__neighbours_trim(const kua__neighbours *all, size_t keep, kua__neighbours *out)
{
    near *best = NULL;
    uint32_t *n_best = NULL;
    *out = (kua__neighbours){0};
    kua_status st = KUA__NEW_ARRAY(&best, all->n_to * keep, "neighbours");
    if (!st) st = KUA__NEW_ZEROED(&n_best, all->n_to, "neighbours");
    for (uint32_t i = 0; !st && i < all->n_from; i++) {
        for (size_t k = all->at[i]; k < all->at[i + 1]; k++) {
            uint32_t j = all->to[k];
            near *list = best + j * keep, one = {i, all->weight[k]};
            size_t at = n_best[j] < keep ? n_best[j]++ : keep;
            if (at == keep && by_weight(&one, &list[keep - 1]) > 0) continue;
            if (at == keep) at--;
            for (; at > 0 && by_weight(&one, &list[at - 1]) < 0; at--) list[at] = list[at - 1];
            list[at] = one;
        }
    }
    if (!st) st = to_rows(best, n_best, keep, all->n_from, all->n_to, out);
    kua__free(best);
    kua__free(n_best);
    return st;
}

void kua__neighbours_release(kua__neighbours *n)
{
    kua__free(n->at);
    kua__free(n->to);
    kua__free(n->weight);
    *n = (kua__neighbours){0};
}

void kua__neighbours_add(const kua__neighbours *n, const uint32_t *item, const float *weight, size_t count, float scale, float *scores)
{
    for (size_t k = 0; k < count; k++) {
        if (item[k] >= n->n_from) continue;
        for (size_t i = n->at[item[k]]; i < n->at[item[k] + 1]; i++) scores[n->to[i]] += scale * weight[k] * n->weight[i];
    }
}

kua_status kua__neighbours_check(const kua__neighbours *n, const char *name)
{
    bool good = n->n_at == n->n_from + 1 && n->at[0] == 0 && n->at[n->n_from] == n->n;
    for (size_t i = 0; good && i < n->n_from; i++) good = n->at[i] <= n->at[i + 1];
    for (size_t i = 0; good && i < n->n; i++) good = n->to[i] < n->n_to;
    return good ? KUA_OK : kua__fail(KUA_FORMAT, "%s: the lists of neighbours do not fit together", name);
}
