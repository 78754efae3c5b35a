/* train_words.c - counts the words of texts, in bounded memory.
 *
 * A catalogue has few distinct words, reviews of a large shop have millions, most of them seen
 * once. When max_words are in memory, those with the smallest counts are forgotten until half is
 * left. What is forgotten depends on the texts and their order only.
 */
#include <assert.h>
#include <string.h>

#include "text/fold.h"
#include "text/split.h"
#include "text/train.h"

typedef struct counting {
    kua__word_counts *counts;
    kua_status status;
} counting;

void kua__word_counts_release(kua__word_counts *counts)
{
    assert(counts);
    kua__ids_release(&counts->words);
    kua__free(counts->count);
    *counts = (kua__word_counts){0};
}

/* Keeps the words with more than `least`. */
static kua_status keep_over(kua__word_counts *counts, uint64_t least)
{
    kua__ids kept;
    size_t n = 0;
    kua_status st = KUA_OK;
    kua__ids_init(&kept);
    for (size_t i = 0; !st && i < counts->words.count; i++) {
        uint32_t id;
        if (counts->count[i] <= least) {
            counts->forgotten += counts->count[i];
            continue;
        }
        st = kua__ids_add(&kept, counts->words.name[i], counts->words.len[i], &id);
        if (!st) counts->count[n++] = counts->count[i];
    }
    if (st) {
        kua__ids_release(&kept);
        return st;
    }
    kua__ids_release(&counts->words);
    counts->words = kept;
    return KUA_OK;
}

static kua_status add_word(kua__word_counts *counts, const char *word, size_t n)
{
    uint32_t id;
    for (uint64_t least = 1; counts->words.count >= counts->max_words; least++)
        KUA__TRY(keep_over(counts, least));
    size_t before = counts->words.count;
    KUA__TRY(kua__ids_add(&counts->words, word, n, &id));
    if (counts->words.count > before) {
        KUA__TRY(KUA__GROW(&counts->count, &counts->room, before, "word counts"));
        counts->count[id] = 0;
    }
    counts->count[id]++;
    return KUA_OK;
}

static bool take_word(void *ctx, const uint8_t *word, size_t n)
{
    counting *c = ctx;
    if (n > KUA__TRAIN_WORD_BYTES_MAX || memchr(word, 0, n)) return true;
    c->status = add_word(c->counts, (const char *)word, n);
    return c->status == KUA_OK;
}

/* ---- words of bytes ---- */

typedef struct byte_words {
    kua__splitter splitter;
    kua__buf text, room[KUA__SPLIT_STEPS_MAX];
} byte_words;

/* The text as UTF-8 with slack behind it. */
static kua_status repair(kua__buf *out, const char *text, size_t n)
{
    static const char zeros[KUA__SLACK];
    kua__buf_clear(out);
    for (size_t length; n; text += length, n -= length) {
        length = kua__utf8_valid(text, n);
        kua__buf_add(out, text, length);
        if (length) continue;
        kua__utf8_decode((const uint8_t *)text, n, &length);
        kua__buf_puts(out, "\xef\xbf\xbd");
    }
    kua__buf_add(out, zeros, sizeof(zeros));
    return kua__buf_status(out);
}

static kua_status count_bytes(byte_words *b, const kua_text *text, counting *c)
{
    KUA__TRY(repair(&b->text, text->data, text->n));
    kua__split(&b->splitter, b->room, (const uint8_t *)b->text.data, b->text.len - KUA__SLACK, true,
               take_word, c);
    return c->status;
}

/* ---- BERT's words ---- */

static kua_status end_word(counting *c, kua__buf *word)
{
    if (word->failed) return kua__buf_status(word);
    if (word->len) take_word(c, (const uint8_t *)word->data, word->len);
    kua__buf_clear(word);
    return c->status;
}

static kua_status count_folded(const kua__fold *fold, const kua_text *text, kua__buf *word,
                               counting *c)
{
    kua__fold_cursor cursor;
    kua__fold_start(&cursor, fold, text->data, text->n);
    for (;;) {
        kua__fold_cell cell = kua__fold_next(&cursor);
        kua__fold_kind kind = KUA__CELL_KIND(cell);
        uint8_t bytes[4];
        if (kind != KUA__LETTER) KUA__TRY(end_word(c, word));
        if (cell == KUA__FOLD_END) return KUA_OK;
        if (kind == KUA__SPACE) continue;
        kua__buf_add(word, bytes, kua__utf8_encode(KUA__CELL_VALUE(cell), bytes));
        if (kind != KUA__LETTER) KUA__TRY(end_word(c, word));
    }
}

/* ---- both ---- */

static kua_status count_all_bytes(const kua_text *texts, size_t n, const kua_monitor *monitor,
                                  counting *c)
{
    byte_words b = {.splitter = {.step = {{.kind = KUA__SPLIT_BYTES, .cut = true}}, .n = 1}};
    kua_status st = kua__splitter_prepare(&b.splitter);
    for (size_t i = 0; !st && i < n; i++) {
        st = kua__progress(monitor, "counting words", i, n);
        if (!st && texts[i].n) st = count_bytes(&b, &texts[i], c);
    }
    kua__splitter_release(&b.splitter);
    kua__buf_release(&b.text);
    kua__buf_release(&b.room[0]);
    return st;
}

static kua_status count_all_folded(const kua_text *texts, size_t n,
                                   const kua_tokenizer_training *options, counting *c)
{
    kua__fold fold;
    kua__buf word = {0};
    KUA__TRY(kua__fold_init(&fold, (kua__fold_options){.clean_text = true,
                                                       .chinese = true,
                                                       .strip_accents = !options->cased,
                                                       .lowercase = !options->cased}));
    kua_status st = KUA_OK;
    for (size_t i = 0; !st && i < n; i++) {
        st = kua__progress(options->monitor, "counting words", i, n);
        if (!st && texts[i].n) st = count_folded(&fold, &texts[i], &word, c);
    }
    kua__fold_release(&fold);
    kua__buf_release(&word);
    return st;
}

kua_status kua__count_words(const kua_text *texts, size_t n, const kua_tokenizer_training *options,
                            kua__word_counts *counts)
{
    assert((texts || n == 0) && options && counts && options->max_words > 0);
    *counts = (kua__word_counts){.max_words = options->max_words};
    kua__ids_init(&counts->words);
    counting c = {counts, KUA_OK};
    kua_status st = options->kind == KUA_TOKENIZER_BPE
                        ? count_all_bytes(texts, n, options->monitor, &c)
                        : count_all_folded(texts, n, options, &c);
    if (!st) st = kua__progress(options->monitor, "counting words", n, n);
    if (st) kua__word_counts_release(counts);
    return st;
}
