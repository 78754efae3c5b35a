/* pretrain_batch.c - examples to one ragged batch.
 *
 * Masks are drawn by a counter: what happens to a token depends on the seed, the epoch, and the
 * token's place in the corpus. So a run that goes on from a checkpoint hides what it would have
 * hidden, batches may be planned twice, and held-out text is asked the same every time.
 */
#include <assert.h>
#include <string.h>

#include "encoder/pretrain.h"

kua_status kua__words_batch_init(kua__words_batch *b, size_t batch_tokens, size_t longest)
{
    assert(b);
    *b = (kua__words_batch){.room = batch_tokens + 2 * longest};
    KUA__TRY(KUA__NEW_ARRAY(&b->id, b->room, "a batch"));
    KUA__TRY(KUA__NEW_ARRAY(&b->at, b->room + 1, "a batch"));
    KUA__TRY(KUA__NEW_ARRAY(&b->row, b->room, "a batch"));
    return KUA__NEW_ARRAY(&b->word, b->room, "a batch");
}

void kua__words_batch_release(kua__words_batch *b)
{
    kua__free(b->id);
    kua__free(b->at);
    kua__free(b->row);
    kua__free(b->word);
    *b = (kua__words_batch){0};
}

static size_t length_of(const kua__corpus *c, uint32_t piece)
{
    return c->at[piece + 1] - c->at[piece];
}

/* Tokens that an example brings into a batch. */
static size_t weight_of(const kua__corpus *c, kua_objective objective, const uint32_t example[2])
{
    if (objective == KUA_OBJECTIVE_CONTRASTIVE)
        return length_of(c, example[0]) + length_of(c, example[1]);
    return length_of(c, example[0]) - (objective == KUA_OBJECTIVE_CLM);
}

/* Where a batch that begins at `first` ends; one example at least. */
static size_t end_of(const kua__corpus *c, kua_objective objective, size_t batch_tokens,
                     const uint32_t *order, size_t first, size_t n)
{
    size_t tokens = 0, i = first;
    for (; i < n; i++) {
        size_t more = weight_of(c, objective, c->example[order[i]]);
        if (i > first && tokens + more > batch_tokens) break;
        tokens += more;
    }
    return i;
}

size_t kua__words_batch_steps(const kua__corpus *c, kua_objective objective,
                              const kua__pretrain_settings *s, const uint32_t *order)
{
    size_t batches = 0;
    for (size_t i = 0; i < c->n_train; batches++)
        i = end_of(c, objective, s->batch_tokens, order, i, c->n_train);
    return (batches + s->accumulate - 1) / s->accumulate;
}

static void add_ids(kua__words_batch *b, const uint32_t *id, size_t n)
{
    assert(b->tokens + n <= b->room);
    memcpy(b->id + b->tokens, id, n * sizeof(*id));
    b->tokens += n;
    b->at[++b->n] = (uint32_t)b->tokens;
}

/* Of the tokens that are asked 80 % are hidden, 10 % are another, 10 % are left as they are (Devlin
 * et al., 2019): the model cannot know which it sees is true. */
static void mask_piece(kua__words_batch *b, const kua__corpus *c, const kua__pretrain_settings *s,
                       uint32_t piece, uint64_t stream)
{
    size_t from = c->at[piece], n = length_of(c, piece);
    uint32_t *id = b->id + b->tokens;
    uint32_t asked = (uint32_t)(s->mask * 4294967295.0);
    add_ids(b, c->id + from, n);
    for (size_t i = c->front; i + c->back < n; i++) {
        uint32_t draw[4];
        kua__philox(s->seed, stream, from + i, draw);
        if (draw[0] >= asked) continue;
        b->row[b->n_rows] = (uint32_t)(id + i - b->id);
        b->word[b->n_rows++] = id[i];
        if (draw[1] < 3435973837u) /* .8 */
            id[i] = c->mask;
        else if (draw[1] < 3865470566u) /* .9 */
            id[i] = (uint32_t)(((uint64_t)draw[2] * c->vocab) >> 32);
    }
}

static void shift_piece(kua__words_batch *b, const kua__corpus *c, uint32_t piece)
{
    size_t from = c->at[piece], n = length_of(c, piece) - 1;
    memcpy(b->word + b->n_rows, c->id + from + 1, n * sizeof(*b->word));
    b->n_rows += n;
    add_ids(b, c->id + from, n);
}

size_t kua__words_batch_fill(kua__words_batch *b, const kua__corpus *c, kua_objective objective,
                             const kua__pretrain_settings *s, const uint32_t *order, size_t first,
                             size_t n, uint64_t stream)
{
    assert(b && c && s && order && first < n);
    size_t end = end_of(c, objective, s->batch_tokens, order, first, n);
    b->n = b->tokens = b->n_rows = 0;
    b->at[0] = 0;
    for (size_t side = 0; side < (objective == KUA_OBJECTIVE_CONTRASTIVE ? 2 : 1); side++) {
        for (size_t i = first; i < end; i++) {
            uint32_t piece = c->example[order[i]][side];
            if (objective == KUA_OBJECTIVE_MLM)
                mask_piece(b, c, s, piece, stream);
            else if (objective == KUA_OBJECTIVE_CLM)
                shift_piece(b, c, piece);
            else
                add_ids(b, c->id + c->at[piece], length_of(c, piece));
        }
    }
    return end;
}
