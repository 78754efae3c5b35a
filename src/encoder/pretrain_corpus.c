/* pretrain_corpus.c - texts to token ids once, cut into pieces.
 *
 *     mlm           [CLS] stretch [SEP]: a text longer than max_tokens gives several pieces
 *     clm           begin text end, in windows of max_tokens + 1 that share one token, so that
 * every token but the first is asked once; with `pack` all texts are one stream contrastive   a
 * text, cut off at max_tokens
 *
 * Batches are ragged, so nothing is padded and packing is not needed to fill them; it is there for
 * models that will see long contexts. Without it no token sees another text.
 *
 * A text is held out or not by a hash of its bytes: equal texts are on one side, and another run on
 * a larger catalogue holds out the same ones. The held-out side ends at held_out_max texts, and
 * what is over is not trained on either.
 */
#include <assert.h>
#include <string.h>

#include "encoder/pretrain.h"

typedef struct builder {
    kua__corpus *c;
    const kua_pretrain_texts *texts;
    const kua__pretrain_settings *s;
    kua_objective objective;
    kua_id_batch ids;   /* of all texts */
    uint32_t *piece_of; /* [texts->n] contrastive: a text's piece */
    uint32_t *stream;   /* clm: the window under way */
    size_t n_stream, stream_room;
    size_t held; /* texts */
} builder;

/* ---- special tokens ---- */

static uint32_t find_any(const kua_tokenizer *t, const char *const *pieces, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t id = kua_tokenizer_find(t, pieces[i], strlen(pieces[i]));
        if (id != KUA_TOKEN_NONE) return id;
    }
    return KUA__NO_ID;
}

/* Which tokens stand around a text, found out by looking at what encoding adds. */
static kua_status look_at_specials(const kua_tokenizer *t, kua__corpus *c)
{
    kua_ids none = {0}, some = {0};
    kua_status st = kua_tokenizer_encode(t, "", 0, 0, &none);
    if (!st) st = kua_tokenizer_encode(t, "a", 1, 0, &some);
    if (!st) {
        while (c->front < none.n && none.id[c->front] == some.id[c->front])
            c->front++;
        if (none.n > 1) c->front = KUA__MIN(c->front, none.n - 1);
        c->back = none.n - c->front;
        if (c->front) c->first = none.id[0];
        if (c->back) c->last = none.id[none.n - 1];
    }
    kua_ids_release(&none);
    kua_ids_release(&some);
    return st;
}

static kua_status find_specials(const kua_tokenizer *t, kua_objective objective, kua__corpus *c)
{
    static const char *const ends[] = {"<|endoftext|>", "</s>", "<|im_end|>", "<eos>", "[SEP]"};
    kua_tokenizer_info info = kua_tokenizer_describe(t);
    c->vocab = info.vocab_size;
    c->mask = info.mask == KUA_TOKEN_NONE ? KUA__NO_ID : info.mask;
    c->first = c->last = KUA__NO_ID;
    KUA__TRY(look_at_specials(t, c));
    if (objective == KUA_OBJECTIVE_MLM && c->mask == KUA__NO_ID)
        return kua__fail(KUA_INVALID,
                         "pre-training: the tokenizer has no mask token, mlm needs one");
    if (objective != KUA_OBJECTIVE_CLM) return KUA_OK;
    uint32_t end = find_any(t, ends, KUA__COUNT(ends));
    if (c->last == KUA__NO_ID) c->last = end;
    if (c->first == KUA__NO_ID) c->first = c->last;
    return c->last != KUA__NO_ID
               ? KUA_OK
               : kua__fail(KUA_INVALID, "pre-training: the tokenizer has no token that ends a "
                                        "text (<|endoftext|>, </s>, <eos> or [SEP])");
}

/* ---- pieces ---- */

static kua_status make_room(void **p, size_t *room, size_t n, size_t size)
{
    if (n <= *room) return KUA_OK;
    size_t more = KUA__MAX(n, 2 * *room);
    void *larger = kua__realloc_array(*p, more, size);
    if (!larger) return kua__fail_nomem(more * size, "token ids");
    *p = larger;
    *room = more;
    return KUA_OK;
}

/* A piece: maybe one token, the stretch, maybe one token. */
static kua_status add_piece(kua__corpus *c, uint32_t first, const uint32_t *id, size_t n,
                            uint32_t last)
{
    size_t at = c->at[c->n];
    KUA__TRY(make_room((void **)&c->id, &c->id_room, at + n + 2, sizeof(*c->id)));
    KUA__TRY(make_room((void **)&c->at, &c->at_room, c->n + 2, sizeof(*c->at)));
    if (first != KUA__NO_ID) c->id[at++] = first;
    memcpy(c->id + at, id, n * sizeof(*id));
    at += n;
    if (last != KUA__NO_ID) c->id[at++] = last;
    c->longest = KUA__MAX(c->longest, at - c->at[c->n]);
    c->at[++c->n] = at;
    return KUA_OK;
}

static const uint32_t *content(const builder *b, size_t text, size_t *n)
{
    const kua__corpus *c = b->c;
    size_t from = b->ids.offset[text], to = b->ids.offset[text + 1], around = c->front + c->back;
    *n = to - from > around ? to - from - around : 0;
    return b->ids.ids.id + from + c->front;
}

static kua_status add_masked(builder *b, size_t text)
{
    size_t n, most = b->s->max_tokens - b->c->front - b->c->back;
    const uint32_t *id = content(b, text, &n);
    uint32_t first = b->c->front ? b->c->first : KUA__NO_ID;
    uint32_t last = b->c->back ? b->c->last : KUA__NO_ID;
    for (size_t at = 0; at < n; at += most)
        KUA__TRY(add_piece(b->c, first, id + at, KUA__MIN(most, n - at), last));
    return KUA_OK;
}

/* The stream so far in windows; what is left of it begins the next one. */
static kua_status cut_stream(builder *b, bool to_the_end)
{
    size_t at = 0, window = b->s->max_tokens;
    while (b->n_stream - at > (to_the_end ? 1 : window)) {
        size_t n = KUA__MIN(window + 1, b->n_stream - at);
        KUA__TRY(add_piece(b->c, KUA__NO_ID, b->stream + at, n, KUA__NO_ID));
        at += n - 1;
    }
    b->n_stream -= at;
    memmove(b->stream, b->stream + at, b->n_stream * sizeof(*b->stream));
    return KUA_OK;
}

static kua_status add_causal(builder *b, size_t text)
{
    size_t n;
    const uint32_t *id = content(b, text, &n);
    bool begun = b->s->pack && b->n_stream > 0;
    KUA__TRY(
        make_room((void **)&b->stream, &b->stream_room, b->n_stream + n + 2, sizeof(*b->stream)));
    if (!begun) {
        b->n_stream = 0; /* the last token of the text before */
        b->stream[b->n_stream++] = b->c->first;
    }
    memcpy(b->stream + b->n_stream, id, n * sizeof(*id));
    b->n_stream += n;
    b->stream[b->n_stream++] = b->c->last;
    return cut_stream(b, !b->s->pack);
}

static kua_status add_whole(builder *b, size_t text)
{
    size_t from = b->ids.offset[text], n = b->ids.offset[text + 1] - from;
    b->piece_of[text] = KUA__NO_ID;
    if (n <= b->c->front + b->c->back) return KUA_OK;
    b->piece_of[text] = (uint32_t)b->c->n;
    return add_piece(b->c, KUA__NO_ID, b->ids.ids.id + from, n, KUA__NO_ID);
}

/* ---- sides ---- */

static bool is_held_out(const builder *b, const kua_text *t)
{
    uint64_t hash = kua__hash64(t->data, t->n, 0x6865);
    return (double)(hash >> 11) * 0x1p-53 < b->s->held_out;
}

static size_t count_characters(const kua_text *t)
{
    size_t n = 0;
    for (size_t i = 0; i < t->n; i++)
        n += ((unsigned char)t->data[i] & 0xc0) != 0x80;
    return n;
}

static kua_status add_text(builder *b, size_t text)
{
    switch (b->objective) {
    case KUA_OBJECTIVE_MLM:
        return add_masked(b, text);
    case KUA_OBJECTIVE_CLM:
        return add_causal(b, text);
    default:
        return add_whole(b, text);
    }
}

static kua_status add_side(builder *b, bool held)
{
    b->n_stream = 0;
    for (size_t i = 0; i < b->texts->n; i++) {
        const kua_text *t = &b->texts->text[i];
        size_t n;
        (void)content(b, i, &n);
        if (n == 0) continue;
        if (is_held_out(b, t) != held) continue;
        if (held && b->c->held_texts >= b->s->held_out_max) continue;
        KUA__TRY(add_text(b, i));
        b->c->held_texts += held;
        b->c->held_characters += held ? count_characters(t) + 1 : 0;
    }
    return b->s->pack && b->objective == KUA_OBJECTIVE_CLM ? cut_stream(b, true) : KUA_OK;
}

/* ---- examples ---- */

static kua_status singles(kua__corpus *c, size_t n_train)
{
    KUA__TRY(KUA__NEW_ARRAY(&c->example, c->n + 1, "examples"));
    for (size_t i = 0; i < c->n; i++)
        c->example[i][0] = c->example[i][1] = (uint32_t)i;
    c->n_train = n_train;
    c->n_held = c->n - n_train;
    return KUA_OK;
}

/* A pair trains where both texts do, is held out where one is, and ends at held_out_max, too. */
static kua_status pairs(builder *b, size_t n_train)
{
    kua__corpus *c = b->c;
    KUA__TRY(KUA__NEW_ARRAY(&c->example, b->texts->n_pairs + 1, "examples"));
    for (int held = 0; held < 2; held++) {
        for (size_t i = 0; i < b->texts->n_pairs; i++) {
            const uint32_t *p = b->texts->pair + 2 * i;
            if (p[0] >= b->texts->n || p[1] >= b->texts->n)
                return kua__fail(KUA_INVALID, "pre-training: pair %zu is of texts %u and %u of %zu",
                                 i, p[0], p[1], b->texts->n);
            uint32_t a = b->piece_of[p[0]], z = b->piece_of[p[1]];
            if (a == KUA__NO_ID || z == KUA__NO_ID || a == z) continue;
            if ((a >= n_train || z >= n_train) != held) continue;
            if (held && c->n_held >= b->s->held_out_max) break;
            size_t at = c->n_train + c->n_held;
            c->example[at][0] = a;
            c->example[at][1] = z;
            *(held ? &c->n_held : &c->n_train) += 1;
        }
    }
    return KUA_OK;
}

static kua_status build(builder *b)
{
    kua__corpus *c = b->c;
    KUA__TRY(make_room((void **)&c->at, &c->at_room, 2, sizeof(*c->at)));
    c->at[0] = 0;
    if (b->objective == KUA_OBJECTIVE_CONTRASTIVE) {
        KUA__TRY(KUA__NEW_ARRAY(&b->piece_of, b->texts->n + 1, "pieces"));
        memset(b->piece_of, 0xff, b->texts->n * sizeof(*b->piece_of));
    }
    KUA__TRY(add_side(b, false));
    size_t n_train = c->n;
    c->train_tokens = c->at[n_train];
    KUA__TRY(add_side(b, true));
    KUA__TRY(b->texts->pair && b->piece_of ? pairs(b, n_train) : singles(c, n_train));
    if (c->n_train == 0)
        return kua__fail(KUA_INVALID, "pre-training: none of %zu texts is left to train on",
                         b->texts->n);
    return KUA_OK;
}

kua_status kua__corpus_build(const kua_pretrain_texts *texts, const kua_tokenizer *tokenizer,
                             kua_objective objective, const kua__pretrain_settings *settings,
                             const kua_monitor *monitor, kua__corpus *out)
{
    assert(texts && tokenizer && settings && out);
    *out = (kua__corpus){0};
    builder b = {.c = out, .texts = texts, .s = settings, .objective = objective};
    kua_status st = find_specials(tokenizer, objective, out);
    size_t limit = objective == KUA_OBJECTIVE_CONTRASTIVE ? settings->max_tokens : 0;
    if (!st) st = kua__progress(monitor, "tokenise", 0, texts->n);
    if (!st) st = kua_tokenizer_encode_batch(tokenizer, texts->text, texts->n, limit, &b.ids);
    if (!st) st = build(&b);
    kua_id_batch_release(&b.ids);
    kua__free(b.piece_of);
    kua__free(b.stream);
    return st;
}

void kua__corpus_release(kua__corpus *corpus)
{
    kua__free(corpus->id);
    kua__free(corpus->at);
    kua__free(corpus->example);
    *corpus = (kua__corpus){0};
}
