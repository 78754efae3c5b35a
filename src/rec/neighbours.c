/* neighbours.c - sparse co-counts, one target item at a time, and the best of them by row.
 *
 * For item j the items i of its users are summed in a dense array of the thread; only touched
 * entries are looked at and cleared. The work is the sum over j, over the users of j, of the length
 * of their rows: no pair that never met costs anything, and memory is one array of items a thread
 * besides the lists that are kept. The lists are then turned from columns j to rows i, which is how
 * scoring reads them.
 */
#include "rec/neighbours.h"

#include <assert.h>
#include <math.h>
#include <string.h>

typedef struct build {
    const kua__pairs *from, *to_users;
    const float *user_weight;
    const double *size_from, *size_to; /* |i|, |j| */
    bool same;
    double shrink;
    float *sum;      /* [threads, n_from] 0 before and after each j */
    kua__near *list; /* [threads, n_from] what j has met */
    kua__nearest *out;
} build;

static size_t meet(const build *b, size_t j, float *sum, kua__near *list)
{
    size_t n = 0;
    for (size_t k = b->to_users->at[j]; k < b->to_users->at[j + 1]; k++) {
        size_t user = b->to_users->col[k];
        float w = b->user_weight[user];
        if (w == 0) continue; /* else sum would not tell who was met */
        for (size_t i = b->from->at[user]; i < b->from->at[user + 1]; i++) {
            uint32_t item = b->from->col[i];
            if (sum[item] == 0) list[n++].id = item;
            sum[item] += w;
        }
    }
    return n;
}

static void build_lists(void *ctx, int thread, size_t first, size_t last)
{
    const build *b = ctx;
    float *sum = b->sum + (size_t)thread * b->from->n_cols;
    kua__near *list = b->list + (size_t)thread * b->from->n_cols;
    for (size_t j = first; j < last; j++) {
        size_t n = meet(b, j, sum, list), kept = 0;
        for (size_t k = 0; k < n; k++) {
            uint32_t i = list[k].id;
            double sim = (double)sum[i] / (sqrt(b->size_to[j] * b->size_from[i]) + b->shrink);
            sum[i] = 0;
            if (!b->same || i != j) list[kept++] = (kua__near){i, (float)sim};
        }
        size_t keep = kua__near_top(list, kept, b->out->keep);
        b->out->n_best[j] = (uint32_t)keep;
        memcpy(b->out->best + j * b->out->keep, list, keep * sizeof(*list));
    }
}

/* Sums of user weights by item: of columns (users x items) or of rows (items x users). */
static kua_status sizes(const kua__pairs *p, const float *user_weight, bool users_are_rows,
                        double **out)
{
    KUA__TRY(KUA__NEW_ZEROED(out, users_are_rows ? p->n_cols : p->n_rows, "item sizes"));
    for (size_t r = 0; r < p->n_rows; r++) {
        for (size_t i = p->at[r]; i < p->at[r + 1]; i++) {
            size_t item = users_are_rows ? p->col[i] : r, user = users_are_rows ? r : p->col[i];
            (*out)[item] += (double)user_weight[user];
        }
    }
    return KUA_OK;
}

kua_status kua__nearest_build(const kua__pairs *from, const kua__pairs *to_users,
                              const float *user_weight, bool same, double shrink, size_t keep,
                              kua__nearest *out)
{
    size_t threads = (size_t)kua__threads(), n_to = to_users->n_rows;
    double *size_from = NULL, *size_to = NULL;
    build b = {from, to_users, user_weight, .same = same, .shrink = shrink, .out = out};
    assert(keep >= 1 && from->n_rows == to_users->n_cols);
    keep = KUA__MAX(KUA__MIN(keep, from->n_cols), 1); /* no list is longer */
    *out = (kua__nearest){.n_from = from->n_cols, .n_to = n_to, .keep = keep};
    kua_status st;
    KUA__GOTO(st, sizes(from, user_weight, true, &size_from));
    KUA__GOTO(st, sizes(to_users, user_weight, false, &size_to));
    KUA__GOTO(st, KUA__NEW_ZEROED(&b.sum, threads * from->n_cols, "neighbours"));
    KUA__GOTO(st, KUA__NEW_ARRAY(&b.list, threads * from->n_cols, "neighbours"));
    KUA__GOTO(st, KUA__NEW_ARRAY(&out->best, n_to * keep, "neighbours"));
    KUA__GOTO(st, KUA__NEW_ARRAY(&out->n_best, n_to, "neighbours"));
    b.size_from = size_from, b.size_to = size_to;
    kua__parallel_chunks(n_to, 64, build_lists, &b);
done:
    kua__free(size_from);
    kua__free(size_to);
    kua__free(b.sum);
    kua__free(b.list);
    if (st) kua__nearest_release(out);
    return st;
}

void kua__nearest_release(kua__nearest *n)
{
    kua__free(n->best);
    kua__free(n->n_best);
    *n = (kua__nearest){0};
}

/* ---- rows ---- */

static void fill_rows(const kua__nearest *nearest, size_t keep, kua__pairs *p, size_t *next)
{
    for (size_t j = 0; j < nearest->n_to; j++) {
        for (size_t k = 0; k < KUA__MIN(nearest->n_best[j], keep); k++)
            p->at[nearest->best[j * nearest->keep + k].id + 1]++;
    }
    for (size_t i = 0; i < nearest->n_from; i++) {
        p->at[i + 1] += p->at[i];
        next[i] = p->at[i];
    }
    for (size_t j = 0; j < nearest->n_to; j++) {
        for (size_t k = 0; k < KUA__MIN(nearest->n_best[j], keep); k++) {
            kua__near near = nearest->best[j * nearest->keep + k];
            p->col[next[near.id]] = (uint32_t)j;
            p->weight[next[near.id]++] = near.weight;
        }
    }
}

kua_status kua__neighbours_from(const kua__nearest *nearest, size_t keep, kua__neighbours *out)
{
    size_t n_from = nearest->n_from, *next = NULL;
    kua__pairs *p = &out->rows;
    assert(keep >= 1);
    *out = (kua__neighbours){{.n_rows = n_from, .n_cols = nearest->n_to}, n_from + 1};
    for (size_t j = 0; j < nearest->n_to; j++)
        p->n += KUA__MIN(nearest->n_best[j], keep);
    kua_status st = KUA__NEW_ZEROED(&p->at, n_from + 1, "neighbours");
    if (!st) st = KUA__NEW_ARRAY(&p->col, p->n, "neighbours");
    if (!st) st = KUA__NEW_ARRAY(&p->weight, p->n, "neighbours");
    if (!st) st = KUA__NEW_ARRAY(&next, n_from, "neighbours");
    if (!st) fill_rows(nearest, keep, p, next);
    kua__free(next);
    if (st) kua__neighbours_release(out);
    return st;
}

void kua__neighbours_release(kua__neighbours *n)
{
    kua__pairs_release(&n->rows);
    n->n_at = 0;
}

void kua__neighbours_add(const kua__neighbours *n, const kua__bag *bag, float scale, float *scores)
{
    const kua__pairs *p = &n->rows;
    for (size_t k = 0; k < bag->n; k++) {
        assert(bag->item[k] < p->n_rows);
        float w = scale * bag->weight[k];
        for (size_t i = p->at[bag->item[k]]; i < p->at[bag->item[k] + 1]; i++)
            scores[p->col[i]] += w * p->weight[i];
    }
}

void kua__neighbours_parts(kua__neighbours *n, const char *prefix, kua__parts *parts)
{
    char name[24];
    snprintf(name, sizeof(name), "%s.at", prefix);
    kua__parts_array(parts, name, KUA__I64, (void **)&n->rows.at, &n->n_at);
    snprintf(name, sizeof(name), "%s.to", prefix);
    kua__parts_array(parts, name, KUA__I32, (void **)&n->rows.col, &n->rows.n);
    snprintf(name, sizeof(name), "%s.weight", prefix);
    kua__parts_array(parts, name, KUA__F32, (void **)&n->rows.weight, &n->rows.n);
}

kua_status kua__neighbours_check(kua__neighbours *n, size_t n_from, size_t n_to, const char *name)
{
    n->rows.n_rows = n_from;
    n->rows.n_cols = n_to;
    return kua__pairs_check(&n->rows, n->n_at, name);
}
