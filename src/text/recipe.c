/* recipe.c - makes a tokenizer of what a loader has read.
 *
 * A recipe is the common ground of the two file kinds: pieces with ids, added tokens, options. It
 * borrows all text from the file; the tokenizer that is made of it copies what it keeps, so that
 * the file may be closed.
 *
 *     vocab.txt, config       --load_vocab.c-->         --vocab.c-->    ids to pieces, trie
 *     vocab.json, merges.txt  --load_merges.c->         --fold.c-->     WordPiece's characters
 *     tokenizer.json          --load_json.c--->  recipe --bpe.c-->      merges
 *     GGUF metadata           --load_gguf.c--->         --unigram.c-->  scores
 *                                                       --added.c-->    two sets of added tokens
 */
#include <assert.h>
#include <string.h>

#include "text/wordpiece.h"

void kua__recipe_release(kua__recipe *recipe)
{
    kua__pieces_release(&recipe->pieces);
    kua__free(recipe->added);
    kua__pipeline_free(recipe->pipeline);
    kua__free(recipe->merge);
    kua__free(recipe->score);
    *recipe = (kua__recipe){0};
}

uint32_t kua__recipe_find(const kua__recipe *recipe, const char *piece, size_t n)
{
    assert(recipe && (piece || n == 0));
    for (size_t i = 0; i < recipe->pieces.n; i++) {
        const kua__key *key = &recipe->pieces.key[i];
        if (key->n == n && memcmp(key->bytes, piece, n) == 0) return key->id;
    }
    return KUA_TOKEN_NONE;
}

kua_status kua__recipe_add_token(kua__recipe *recipe, kua__added_token token)
{
    assert(token.content && token.n > 0);
    KUA__TRY(KUA__GROW(&recipe->added, &recipe->added_room, recipe->n_added, "added tokens"));
    recipe->added[recipe->n_added++] = token;
    return KUA_OK;
}

/* How an added token reads after normalisation, appended to `out`. */
static void normalise_token(const kua__fold *fold, const kua__pipeline *pipeline,
                            const kua__added_token *token, kua__buf *out)
{
    if (!pipeline) {
        kua__fold_string(fold, token->content, token->n, out);
        return;
    }
    kua__buf work[2] = {0};
    size_t n = 0;
    bool moved;
    const char *text =
        kua__normal_apply(&pipeline->normal, work, token->content, token->n, &n, &moved);
    if (text)
        kua__buf_add(out, text, n);
    else
        out->failed = true;
    kua__buf_release(&work[0]);
    kua__buf_release(&work[1]);
}

/* Keys of the added tokens that are (or are not) to be looked for in normalised text. */
static kua_status make_set(const kua__recipe *recipe, const kua__fold *fold,
                           const kua__pipeline *pipeline, bool normalized, kua__added_set *set)
{
    kua__key *keys = NULL;
    /* Normalised tokens are spelt anew into `text`, one behind the other with a NUL between, which
     * may move while it grows: keys get their places when it is whole. */
    kua__buf text = {0};
    size_t n = 0;
    KUA__TRY(KUA__NEW_ARRAY(&keys, recipe->n_added, "added tokens"));
    for (size_t i = 0; i < recipe->n_added; i++) {
        const kua__added_token *token = &recipe->added[i];
        if (token->normalized != normalized) continue;
        keys[n++] = (kua__key){token->content, token->n, token->id};
        if (normalized) normalise_token(fold, pipeline, token, &text);
        kua__buf_add(&text, "", 1);
    }
    kua_status st = n ? kua__buf_status(&text) : KUA_OK;
    size_t used = 0;
    for (size_t i = 0, at = 0; normalized && !st && i < n; i++, at += keys[i - 1].n + 1) {
        kua__key key = {text.data + at, (uint32_t)strlen(text.data + at), keys[i].id};
        keys[i].n = key.n;             /* for the next `at` */
        if (key.n) keys[used++] = key; /* nothing is left of it: it can never be found */
    }
    if (!st)
        st = kua__added_build(set, recipe->name, keys, normalized ? used : n, recipe->added,
                              recipe->n_added);
    kua__buf_release(&text);
    kua__free(keys);
    return st;
}

static kua_status find_unk(kua_tokenizer *t, const kua__recipe *recipe)
{
    t->info.unk = KUA_TOKEN_NONE;
    if (!recipe->unk) return KUA_OK;
    t->info.unk = kua__recipe_find(recipe, recipe->unk, strlen(recipe->unk));
    if (t->info.unk != KUA_TOKEN_NONE) return KUA_OK;
    return kua__fail(KUA_FORMAT, "%s: the unknown token \"%s\" is not in the vocabulary",
                     recipe->name, recipe->unk);
}

static kua_status mark_special(kua_tokenizer *t, const kua__recipe *recipe)
{
    KUA__TRY(KUA__NEW_ZEROED(&t->special, t->vocab.n, "a tokenizer"));
    for (size_t i = 0; i < recipe->n_added; i++) {
        assert(recipe->added[i].id < t->vocab.n);
        t->special[recipe->added[i].id] = recipe->added[i].special;
    }
    return KUA_OK;
}

/* WordPiece: the table of characters, and the trie's state behind the prefix. */
static kua_status fill_wordpiece(kua_tokenizer *t, const kua__recipe *recipe)
{
    t->continuation =
        kua__trie_walk(&t->vocab.trie, KUA__TRIE_ROOT, recipe->prefix, strlen(recipe->prefix));
    return kua__fold_init(&t->fold, recipe->fold);
}

/* BPE and Unigram: the pipeline is the recipe's until here. */
static kua_status fill_pipeline(kua_tokenizer *t, kua__recipe *recipe)
{
    kua__pipeline *p = t->pipeline = recipe->pipeline;
    recipe->pipeline = NULL;
    t->info.kind = p->kind;
    KUA__TRY(kua__splitter_prepare(&p->split));
    if (p->kind == KUA_TOKENIZER_UNIGRAM) {
        double *score = recipe->score; /* added tokens have none */
        recipe->score = NULL;
        p->unigram.unk = t->info.unk;
        return kua__unigram_build(&p->unigram, &t->vocab, score, recipe->n_model);
    }
    p->bpe.bytes = p->split.bytes;
    p->bpe.unk = t->info.unk;
    return kua__bpe_build(&p->bpe, recipe->name, &t->vocab, recipe->merge, recipe->n_merges);
}

static kua_status fill(kua_tokenizer *t, kua__recipe *recipe)
{
    t->max_chars = recipe->max_chars;
    t->around = recipe->around;
    t->decoder = recipe->decoder;
    t->has_more = recipe->pieces.n > recipe->n_model;
    t->info = recipe->info;
    t->info.vocab_size = recipe->pieces.n;
    t->info.special_per_text = t->around.n_before + t->around.n_behind;
    t->info.lowercase = recipe->fold.lowercase;
    KUA__TRY(find_unk(t, recipe));
    KUA__TRY(kua__vocab_build(&t->vocab, recipe->name, &recipe->pieces, recipe->n_model));
    KUA__TRY(mark_special(t, recipe));
    KUA__TRY(recipe->pipeline ? fill_pipeline(t, recipe) : fill_wordpiece(t, recipe));
    KUA__TRY(make_set(recipe, &t->fold, t->pipeline, false, &t->raw));
    KUA__TRY(make_set(recipe, &t->fold, t->pipeline, true, &t->normalised));
    if (!t->pipeline && kua__added_any(&t->normalised))
        KUA__TRY(kua__fold_init(&t->split, (kua__fold_options){0}));
    return KUA_OK;
}

kua_status kua__tokenizer_make(kua__recipe *recipe, kua_tokenizer **out)
{
    assert(recipe && out && recipe->name);
    assert(recipe->pipeline || (recipe->unk && recipe->prefix && recipe->max_chars >= 1 &&
                                recipe->max_chars <= KUA_WORD_CHARS_MAX));
    assert(recipe->n_model <= recipe->pieces.n);
    *out = NULL;
    kua_tokenizer *t = NULL;
    KUA__TRY(KUA__NEW_ZEROED(&t, 1, "a tokenizer"));
    t->raw.only = t->normalised.only = -2;
    kua_status st = fill(t, recipe);
    if (st) {
        kua_tokenizer_free(t);
        return st;
    }
    *out = t;
    return KUA_OK;
}

void kua_tokenizer_free(kua_tokenizer *tokenizer)
{
    if (!tokenizer) return;
    kua__vocab_release(&tokenizer->vocab);
    kua__fold_release(&tokenizer->fold);
    kua__fold_release(&tokenizer->split);
    kua__added_release(&tokenizer->raw);
    kua__added_release(&tokenizer->normalised);
    kua__pipeline_free(tokenizer->pipeline);
    kua__free(tokenizer->special);
    kua__free(tokenizer);
}
