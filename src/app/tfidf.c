/* tfidf.c - the terms of a text, the vocabulary, and the rows.
 *
 *     text --lower case--> characters --runs--> words | marks (no spaces between words)
 *
 * A word is a run of letters and digits of a script with spaces; marks are all other characters but
 * spaces: Chinese, Japanese and Korean ones, and punctuation, which tells moods apart. Terms of
 * both kinds have a byte in front ('w', 'p', 'c'), so that a one-character word and a character
 * differ.
 *
 * Bytes that are not UTF-8 are read as spaces.
 */
#include "app/tfidf.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

enum { MARKS_MOST = 3, PART_LEAST = 3, PART_MOST = 5, WORD_CHARS_MAX = 64, TERM_ROOM = 640 };

/* ---- characters ---- */

typedef enum kind { SPACE, LETTER, MARK } kind;

static bool is_letter(utf8proc_int32_t c)
{
    bool spaceless = (c >= 0x2e80 && c <= 0xd7ff) || (c >= 0xf900 && c <= 0xfaff) || c >= 0x20000;
    utf8proc_category_t k = utf8proc_category(c);
    return !spaceless && ((k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_LO) ||
                          (k >= UTF8PROC_CATEGORY_MN && k <= UTF8PROC_CATEGORY_NO));
}

static kind kind_of(utf8proc_int32_t c)
{
    utf8proc_category_t k = utf8proc_category(c);
    if (c < 0 || (k >= UTF8PROC_CATEGORY_ZS && k <= UTF8PROC_CATEGORY_CO) || k == 0) return SPACE;
    return is_letter(c) ? LETTER : MARK;
}

/* A run of characters of one kind, lower-case, and where each begins. */
typedef struct run {
    char byte[4 * WORD_CHARS_MAX + 2];
    size_t at[WORD_CHARS_MAX + 3], n; /* n characters; at[n]: bytes */
} run;

static void run_add(run *r, utf8proc_int32_t c)
{
    assert(r->n < WORD_CHARS_MAX + 2);
    utf8proc_ssize_t n = utf8proc_encode_char(c, (utf8proc_uint8_t *)r->byte + r->at[r->n]);
    r->at[r->n + 1] = r->at[r->n] + (size_t)n;
    r->n++;
}

/* ---- terms ---- */

typedef struct speaker {
    kua__term_fn fn;
    void *ctx;
    run run, last; /* last: the word before, for pairs; n 0: none */
    kind kind;     /* of run */
} speaker;

static kua_status say(const speaker *s, char sort, const char *text, size_t n)
{
    char term[TERM_ROOM];
    assert(n + 1 < sizeof(term));
    term[0] = sort;
    memcpy(term + 1, text, n);
    return s->fn(s->ctx, term, n + 1);
}

/* All strings of `least` to `most` characters of a run. */
static kua_status say_parts(const speaker *s, char sort, const run *r, size_t least, size_t most)
{
    for (size_t from = 0; from < r->n; from++)
        for (size_t n = least; n <= most && from + n <= r->n; n++)
            KUA__TRY(say(s, sort, r->byte + r->at[from], r->at[from + n] - r->at[from]));
    return KUA_OK;
}

static kua_status say_pair(const speaker *s)
{
    char pair[2 * sizeof(s->run.byte) + 1];
    size_t a = s->last.at[s->last.n], b = s->run.at[s->run.n];
    memcpy(pair, s->last.byte, a);
    pair[a] = ' ';
    memcpy(pair + a + 1, s->run.byte, b);
    return say(s, 'w', pair, a + 1 + b);
}

static kua_status say_word(speaker *s)
{
    run padded = {.n = 0};
    run_add(&padded, ' ');
    memcpy(padded.byte + 1, s->run.byte, s->run.at[s->run.n]);
    for (size_t i = 1; i <= s->run.n; i++)
        padded.at[i + 1] = s->run.at[i] + 1;
    padded.n = s->run.n + 1;
    run_add(&padded, ' ');
    KUA__TRY(say(s, 'w', s->run.byte, s->run.at[s->run.n]));
    if (s->last.n) KUA__TRY(say_pair(s));
    KUA__TRY(say_parts(s, 'p', &padded, PART_LEAST, PART_MOST));
    s->last = s->run;
    return KUA_OK;
}

static kua_status end_run(speaker *s)
{
    kua_status st = KUA_OK;
    if (s->run.n && s->kind == LETTER) st = say_word(s);
    if (s->run.n && s->kind == MARK) {
        st = say_parts(s, 'c', &s->run, 1, MARKS_MOST);
        s->last.n = 0;
    }
    s->run.n = 0;
    return st;
}

kua_status kua__text_terms(const char *text, size_t n, kua__term_fn fn, void *ctx)
{
    assert((text || n == 0) && fn);
    speaker s = {.fn = fn, .ctx = ctx, .kind = SPACE};
    for (size_t at = 0; at < n;) {
        utf8proc_int32_t c = -1;
        utf8proc_ssize_t bytes = utf8proc_iterate((const utf8proc_uint8_t *)text + at,
                                                  (utf8proc_ssize_t)KUA__MIN(n - at, 4), &c);
        at += bytes > 0 ? (size_t)bytes : 1;
        c = bytes > 0 ? utf8proc_tolower(c) : -1;
        kind k = kind_of(c);
        if (k != s.kind || s.run.n == WORD_CHARS_MAX) KUA__TRY(end_run(&s));
        s.kind = k;
        if (k != SPACE) run_add(&s.run, c);
    }
    return end_run(&s);
}

/* ---- the vocabulary ---- */

/* The terms of one text as numbers. */
typedef struct bag {
    kua__ids *terms;
    bool grows; /* unknown terms are added, else left out */
    uint32_t *id;
    size_t n, capacity;
} bag;

static kua_status bag_add(void *ctx, const char *term, size_t n)
{
    bag *b = ctx;
    uint32_t id = 0;
    if (b->grows)
        KUA__TRY(kua__ids_add(b->terms, term, n, &id));
    else
        id = kua__ids_find(b->terms, term, n);
    if (id == KUA__NO_ID) return KUA_OK;
    KUA__TRY(KUA__GROW(&b->id, &b->capacity, b->n, "terms of a text"));
    b->id[b->n++] = id;
    return KUA_OK;
}

static int ascending(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* The bag of a text, sorted. */
static kua_status bag_fill(bag *b, const kua_text *text)
{
    b->n = 0;
    KUA__TRY(kua__text_terms(text->data, text->n, bag_add, b));
    if (b->n) qsort(b->id, b->n, sizeof(*b->id), ascending);
    return KUA_OK;
}

typedef struct counter {
    uint32_t *texts; /* [capacity] in how many texts a term is */
    size_t capacity;
} counter;

static kua_status count_bag(counter *c, const bag *b)
{
    if (b->terms->count > c->capacity) {
        size_t room = KUA__MAX(2 * c->capacity, b->terms->count + 1024);
        uint32_t *grown = kua__realloc_array(c->texts, room, sizeof(*grown));
        if (!grown) return kua__fail_nomem(room * sizeof(*grown), "counts of terms");
        memset(grown + c->capacity, 0, (room - c->capacity) * sizeof(*grown));
        c->texts = grown;
        c->capacity = room;
    }
    assert(c->texts || b->n == 0);
    for (size_t i = 0; i < b->n; i++)
        c->texts[b->id[i]] += i == 0 || b->id[i] != b->id[i - 1];
    return KUA_OK;
}

/* Keeps the terms that are in enough texts. */
static kua_status keep_frequent(kua__tfidf *v, const kua__ids *all, const counter *c, size_t n,
                                size_t min_texts)
{
    size_t kept = 0;
    assert(c->texts || all->count == 0);
    for (size_t i = 0; i < all->count; i++)
        kept += c->texts[i] >= min_texts;
    KUA__TRY(KUA__NEW_ARRAY(&v->idf, kept, "weights of terms"));
    for (size_t i = 0; i < all->count; i++) {
        uint32_t id = 0;
        if (c->texts[i] < min_texts) continue;
        KUA__TRY(kua__ids_add(&v->terms, all->name[i], all->len[i], &id));
        v->idf[id] = (float)(log((1 + (double)n) / (1 + (double)c->texts[i])) + 1);
    }
    return KUA_OK;
}

kua_status kua__tfidf_fit(kua__tfidf *v, const kua_text *text, const uint8_t *use, size_t n,
                          size_t min_texts)
{
    assert(v && (text || n == 0) && use && min_texts >= 1);
    *v = (kua__tfidf){0};
    kua__ids_init(&v->terms);
    kua__ids all;
    kua__ids_init(&all);
    bag b = {.terms = &all, .grows = true};
    counter c = {0};
    size_t used = 0;
    kua_status st = KUA_OK;
    for (size_t i = 0; i < n && !st; i++) {
        if (use[i]) continue;
        used++;
        st = bag_fill(&b, &text[i]);
        if (!st) st = count_bag(&c, &b);
    }
    if (!st) st = keep_frequent(v, &all, &c, used, min_texts);
    kua__ids_release(&all);
    kua__free(b.id);
    kua__free(c.texts);
    return st;
}

void kua__tfidf_release(kua__tfidf *v)
{
    kua__ids_release(&v->terms);
    kua__free(v->idf);
    *v = (kua__tfidf){0};
}

/* ---- rows ---- */

typedef struct rows {
    kua__design *x;
    size_t used, col_capacity, value_capacity;
} rows;

static kua_status add_row(rows *r, const kua__tfidf *v, const bag *b)
{
    kua__design *x = r->x;
    size_t first = r->used;
    double sum = 0;
    for (size_t i = 0, same = 0; i < b->n; i = same) {
        for (same = i; same < b->n && b->id[same] == b->id[i];)
            same++;
        KUA__TRY(KUA__GROW(&x->col, &r->col_capacity, r->used, "rows of terms"));
        KUA__TRY(KUA__GROW(&x->value, &r->value_capacity, r->used, "rows of terms"));
        double value = (1 + log((double)(same - i))) * v->idf[b->id[i]];
        x->col[r->used] = b->id[i];
        x->value[r->used++] = (float)value;
        sum += value * value;
    }
    for (size_t k = first; k < r->used; k++)
        x->value[k] *= (float)(1 / sqrt(sum));
    return KUA_OK;
}

kua_status kua__tfidf_rows(const kua__tfidf *v, const kua_text *text, size_t n, kua__design *out)
{
    assert(v && (text || n == 0) && out);
    *out = (kua__design){.rows = n, .cols = v->terms.count};
    rows r = {.x = out};
    bag b = {.terms = (kua__ids *)(uintptr_t)&v->terms}; /* only read: it does not grow */
    kua_status st = KUA__NEW_ZEROED(&out->at, n + 1, "rows of terms");
    if (!st) st = KUA__GROW(&out->col, &r.col_capacity, 0, "rows of terms"); /* never NULL */
    if (!st) st = KUA__GROW(&out->value, &r.value_capacity, 0, "rows of terms");
    for (size_t i = 0; i < n && !st; i++) {
        st = bag_fill(&b, &text[i]);
        if (!st) st = add_row(&r, v, &b);
        out->at[i + 1] = r.used;
    }
    kua__free(b.id);
    if (st) kua__design_release(out);
    return st;
}
