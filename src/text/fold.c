/* fold.c - BERT's normalisation, prepared as one table.
 *
 * Why it exists
 *   The reference normalises in four passes over a string (clean, Chinese, accents, lower case) and
 *   splits it in two more. All of them look at single characters, but for canonical ordering. So
 *   their composition is a function of the code point, computed once when a tokenizer is loaded:
 *
 *       'K' -> letter k     '.' -> alone     U+00E9 -> letter e     U+200B -> nothing
 *
 * How it works
 *   page[c / 128] names a page of cells; equal pages are kept once (162 of 8,704 differ). What a
 *   code point decomposes into and its lower case come from utf8proc; bert_tables.c says where the
 *   reference thinks otherwise.
 *
 * Canonical ordering
 *   Decomposing sorts every run of combining characters by class. Nearly all of them are accents,
 *   which are then removed, and removing some does not change the order of the rest. The few that
 *   stay (KUA__MOVES) are gathered up to the next starter, sorted as they come, and handed out from
 *   a queue. An accent of class 0 is removed too, yet it ends a run: KUA__FOLD_BREAK.
 *
 * Invariants
 *   I1  a cursor yields only LETTER, SPACE, ALONE and CHINESE, and at the end KUA__FOLD_END.
 *   I2  only with strip_accents are there MOVES, BREAK and HANGUL cells.
 *   I3  n_queue <= KUA__FOLD_RUN_MAX + 1: a longer run is sorted in stretches.
 */
#include "text/fold.h"

#include <assert.h>
#include <string.h>
#include <utf8proc.h>

#include "text/bert_tables.h"

enum {
    IS_CONTROL = 1,
    IS_SPACE = 2,
    IS_PUNCTUATION = 4,
    IS_CHINESE = 8,
    IS_MARK = 16,
    IS_WHOLE = 32,
    N_POINTS = 0x110000,
    PARTS_MAX = 8,          /* of one canonical decomposition; the longest known has 4 */
    UNCASED_FROM = 0x30000, /* from here on nothing has a lower case or a decomposition */
    HANGUL_FIRST = 0xac00,
    HANGUL_LAST = 0xd7a3,
    DOTTED_I = 0x130, /* the one character whose lower case is two: i and U+0307 */
    DOT_ABOVE = 0x307,
};

/* ---- UTF-8 ---- */

/* What the first byte asks for: how many more bytes, and the range of the first of them, which is
 * where overlong forms, surrogates and numbers over U+10FFFF are told. */
static int lead_byte(uint8_t byte, uint8_t *low, uint8_t *high)
{
    *low = byte == 0xe0 ? 0xa0 : byte == 0xf0 ? 0x90 : 0x80;
    *high = byte == 0xed ? 0x9f : byte == 0xf4 ? 0x8f : 0xbf;
    if (byte >= 0xc2 && byte <= 0xdf) return 1;
    if (byte >= 0xe0 && byte <= 0xef) return 2;
    if (byte >= 0xf0 && byte <= 0xf4) return 3;
    return -1;
}

uint32_t kua__utf8_decode(const uint8_t *text, size_t n, size_t *length)
{
    assert(n >= 1);
    *length = 1;
    if (text[0] < 0x80) return text[0];
    uint8_t low, high;
    int more = lead_byte(text[0], &low, &high);
    if (more < 0) return 0xfffd;
    uint32_t c = text[0] & (0x3f >> more);
    for (int i = 0; i < more; i++) {
        if (*length == n || text[*length] < low || text[*length] > high) return 0xfffd;
        c = c << 6 | (text[(*length)++] & 0x3f);
        low = 0x80;
        high = 0xbf;
    }
    return c;
}

size_t kua__utf8_encode(uint32_t c, uint8_t *out)
{
    assert(c < N_POINTS);
    if (c < 0x80) {
        out[0] = (uint8_t)c;
        return 1;
    }
    size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--, c >>= 6)
        out[i] = (uint8_t)(0x80 | (c & 0x3f));
    out[0] = (uint8_t)((0xf00 >> n) | c); /* 110xxxxx, 1110xxxx, 11110xxx */
    return n;
}

/* ---- building the table ---- */

static void mark_ranges(uint8_t *flags, const kua__range *range, size_t n, uint8_t flag)
{
    for (size_t i = 0; i < n; i++) {
        assert(range[i].first <= range[i].last && range[i].last < N_POINTS);
        for (uint32_t c = range[i].first; c <= range[i].last; c++)
            flags[c] |= flag;
    }
}

static uint8_t *make_flags(void)
{
    uint8_t *flags = kua__calloc(N_POINTS, 1);
    if (!flags) return NULL;
    mark_ranges(flags, kua__bert_control, kua__bert_n_control, IS_CONTROL);
    mark_ranges(flags, kua__bert_space, kua__bert_n_space, IS_SPACE);
    mark_ranges(flags, kua__bert_punctuation, kua__bert_n_punctuation, IS_PUNCTUATION);
    mark_ranges(flags, kua__bert_chinese, kua__bert_n_chinese, IS_CHINESE);
    mark_ranges(flags, kua__bert_mark, kua__bert_n_mark, IS_MARK);
    mark_ranges(flags, kua__bert_whole, kua__bert_n_whole, IS_WHOLE);
    return flags;
}

static int32_t span_value(const kua__span *span, size_t n, uint32_t c)
{
    for (size_t i = 0; i < n && span[i].first <= c; i++) {
        if (c <= span[i].last) return span[i].value;
    }
    return 0;
}

/* The tables' word first: they hold what utf8proc does not know. */
uint32_t kua__fold_lower(uint32_t c)
{
    assert(c < N_POINTS);
    if (c < 0x80) return c >= 'A' && c <= 'Z' ? c + 32 : c;
    if (c >= UNCASED_FROM) return c;
    int32_t distance = span_value(kua__bert_lower, kua__bert_n_lower, c);
    return distance ? (uint32_t)((int32_t)c + distance)
                    : (uint32_t)utf8proc_tolower((utf8proc_int32_t)c);
}

/* One code point that is neither a control character to clean nor to be decomposed any more. */
static kua__fold_cell fold_part(const kua__fold *fold, const uint8_t *flags, uint32_t c)
{
    if (fold->options.strip_accents) {
        if (flags[c] & IS_MARK) {
            bool moves = utf8proc_get_property((utf8proc_int32_t)c)->combining_class > 0;
            return moves ? KUA__FOLD_NOTHING : KUA__FOLD_BREAK;
        }
        int32_t class = span_value(kua__bert_combining, kua__bert_n_combining, c);
        if (class) return KUA__CELL(KUA__MOVES, c, class);
    }
    uint32_t to = fold->options.lowercase ? kua__fold_lower(c) : c;
    if (flags[to] & IS_SPACE) return KUA__CELL(KUA__SPACE, to, 0);
    if (flags[to] & IS_PUNCTUATION) return KUA__CELL(KUA__ALONE, to, 0);
    return KUA__CELL(KUA__LETTER, to, 0);
}

static size_t decompose(const kua__fold *fold, const uint8_t *flags, uint32_t c,
                        uint32_t parts[PARTS_MAX])
{
    parts[0] = c;
    if (!fold->options.strip_accents) {
        if (!fold->options.lowercase || c != DOTTED_I) return 1;
        parts[1] = DOT_ABOVE; /* part 0 becomes i, as U+0130's simple lower case is */
        return 2;
    }
    if (c >= UNCASED_FROM || c < 0xc0 || (flags[c] & IS_WHOLE)) return 1;
    utf8proc_int32_t room[PARTS_MAX];
    int last = 0;
    utf8proc_ssize_t n =
        utf8proc_decompose_char((utf8proc_int32_t)c, room, PARTS_MAX, UTF8PROC_DECOMPOSE, &last);
    assert(n >= 1 && n <= PARTS_MAX);
    for (utf8proc_ssize_t i = 0; i < n; i++)
        parts[i] = (uint32_t)room[i];
    return (size_t)n;
}

static kua_status add_several(kua__fold *fold, const kua__fold_cell *cells, size_t n,
                              kua__fold_cell *out)
{
    assert(n >= 2 && n <= PARTS_MAX);
    *out = KUA__CELL(KUA__SEVERAL, fold->n_several, n);
    for (size_t i = 0; i < n; i++) {
        KUA__TRY(
            KUA__GROW(&fold->several, &fold->several_room, fold->n_several, "a tokenizer's table"));
        fold->several[fold->n_several++] = cells[i];
    }
    return KUA_OK;
}

/* A cell is 0 for a letter that stays what it is, so that pages of such letters are equal. */
static kua_status fold_point(kua__fold *fold, const uint8_t *flags, uint32_t c, kua__fold_cell *out)
{
    *out = KUA__FOLD_NOTHING;
    if (fold->options.clean_text && (flags[c] & IS_CONTROL)) return KUA_OK;
    *out = KUA__CELL(KUA__SPACE, ' ', 0);
    if (fold->options.clean_text && (flags[c] & IS_SPACE)) return KUA_OK;
    *out = KUA__CELL(KUA__HANGUL, 0, 0);
    if (fold->options.strip_accents && c >= HANGUL_FIRST && c <= HANGUL_LAST) return KUA_OK;

    uint32_t parts[PARTS_MAX];
    kua__fold_cell cells[PARTS_MAX];
    size_t n = decompose(fold, flags, c, parts), kept = 0;
    for (size_t i = 0; i < n; i++) {
        cells[kept] = fold_part(fold, flags, parts[i]);
        /* An accent leaves nothing among a letter's parts, but alone it needs a cell. */
        if (n == 1 || cells[kept] != KUA__FOLD_NOTHING) kept++;
    }
    if (kept == 0) {
        *out = KUA__FOLD_NOTHING;
        return KUA_OK;
    }
    if (kept > 1) return add_several(fold, cells, kept, out);
    *out = cells[0];
    kua__fold_kind kind = KUA__CELL_KIND(*out);
    if (fold->options.chinese && (flags[c] & IS_CHINESE)) kind = KUA__CHINESE;
    if (kind == KUA__DROP || kind == KUA__MOVES) return KUA_OK;
    uint32_t value = KUA__CELL_VALUE(*out);
    *out = KUA__CELL(kind, value == c ? 0 : value, 0);
    return KUA_OK;
}

/* Adds the page to the table, or finds an equal one there. */
static kua_status keep_page(kua__fold *fold, size_t number,
                            const kua__fold_cell page[KUA__FOLD_PAGE])
{
    size_t bytes = KUA__FOLD_PAGE * sizeof(*page);
    size_t last = number ? fold->page[number - 1] * (size_t)KUA__FOLD_PAGE : 0, at = 0;
    /* The page before is tried first: most of Unicode is long runs of equal pages. */
    if (number && memcmp(fold->cell + last, page, bytes) == 0)
        at = last;
    else
        while (at < fold->n_cells && memcmp(fold->cell + at, page, bytes) != 0)
            at += KUA__FOLD_PAGE;
    fold->page[number] = (uint16_t)(at / KUA__FOLD_PAGE);
    if (at < fold->n_cells) return KUA_OK;
    for (size_t i = 0; i < KUA__FOLD_PAGE; i++) {
        KUA__TRY(KUA__GROW(&fold->cell, &fold->cells_room, fold->n_cells, "a tokenizer's table"));
        fold->cell[fold->n_cells++] = page[i];
    }
    return KUA_OK;
}

static kua_status fill_pages(kua__fold *fold, const uint8_t *flags)
{
    for (size_t number = 0; number < KUA__FOLD_PAGES; number++) {
        size_t first = number * KUA__FOLD_PAGE;
        if (first > UNCASED_FROM &&
            memcmp(flags + first, flags + first - KUA__FOLD_PAGE, KUA__FOLD_PAGE) == 0) {
            fold->page[number] =
                fold->page[number - 1]; /* here flags are all that tells characters apart */
            continue;
        }
        kua__fold_cell page[KUA__FOLD_PAGE];
        for (size_t i = 0; i < KUA__FOLD_PAGE; i++) {
            KUA__TRY(fold_point(fold, flags, (uint32_t)(first + i), &page[i]));
        }
        KUA__TRY(keep_page(fold, number, page));
    }
    return KUA_OK;
}

kua_status kua__fold_init(kua__fold *fold, kua__fold_options options)
{
    assert(fold);
    *fold = (kua__fold){.options = options};
    uint8_t *flags = make_flags();
    if (!flags) return kua__fail_nomem(N_POINTS, "a tokenizer's table");
    kua_status st = fill_pages(fold, flags);
    kua__free(flags);
    if (st) {
        kua__fold_release(fold);
        return st;
    }
    for (uint32_t c = 1; c < 0x80; c++) {
        kua__fold_cell cell = fold->cell[fold->page[0] * (size_t)KUA__FOLD_PAGE + c];
        uint32_t value = KUA__CELL_VALUE(cell) ? KUA__CELL_VALUE(cell) : c;
        if (KUA__CELL_KIND(cell) == KUA__LETTER) fold->letter[c] = (uint8_t)value;
    }
    return KUA_OK;
}

void kua__fold_release(kua__fold *fold)
{
    kua__free(fold->cell);
    kua__free(fold->several);
    fold->cell = fold->several = NULL;
    fold->n_cells = fold->n_several = fold->cells_room = fold->several_room = 0;
}

/* ---- reading ---- */

/* Unicode 15, section 3.12: a syllable is a lead consonant, a vowel and perhaps a tail. */
static kua__fold_cell take_syllable_apart(kua__fold_cursor *cursor, uint32_t c)
{
    uint32_t s = c - HANGUL_FIRST, tail = s % 28;
    cursor->jamo[0] = KUA__CELL(KUA__LETTER, 0x1100 + s / (21 * 28), 0);
    cursor->jamo[1] = KUA__CELL(KUA__LETTER, 0x1161 + s / 28 % 21, 0);
    cursor->jamo[2] = KUA__CELL(KUA__LETTER, 0x11a7 + tail, 0);
    cursor->more = cursor->jamo + 1;
    cursor->n_more = tail ? 2 : 1;
    return cursor->jamo[0];
}

/* The next character before canonical ordering; may be DROP or MOVES too. */
static kua__fold_cell next_unordered(kua__fold_cursor *cursor)
{
    assert(cursor->at <= cursor->end);
    const kua__fold *fold = cursor->fold;
    if (cursor->n_more) {
        cursor->n_more--;
        return *cursor->more++;
    }
    if (cursor->at == cursor->end) return KUA__FOLD_END;
    size_t length;
    uint32_t c = kua__utf8_decode(cursor->at, (size_t)(cursor->end - cursor->at), &length);
    cursor->at += length;
    kua__fold_cell cell =
        fold->cell[fold->page[c / KUA__FOLD_PAGE] * (size_t)KUA__FOLD_PAGE + c % KUA__FOLD_PAGE];
    switch (KUA__CELL_KIND(cell)) {
    case KUA__SEVERAL:
        cursor->more = fold->several + KUA__CELL_VALUE(cell) + 1;
        cursor->n_more = KUA__CELL_EXTRA(cell) - 1;
        return cursor->more[-1];
    case KUA__HANGUL:
        return take_syllable_apart(cursor, c);
    default:
        return KUA__CELL_VALUE(cell) ? cell : cell | c;
    }
}

/* Sorts `first` and the combining characters behind it into the queue, with what ended them at its
 * end. */
static void gather_run(kua__fold_cursor *cursor, kua__fold_cell first)
{
    assert(cursor->queued == cursor->n_queue && KUA__CELL_KIND(first) == KUA__MOVES);
    uint32_t n = 0;
    kua__fold_cell cell = first;
    for (; n < KUA__FOLD_RUN_MAX; cell = next_unordered(cursor)) {
        if (cell == KUA__FOLD_NOTHING) continue;
        if (KUA__CELL_KIND(cell) != KUA__MOVES) break;
        uint32_t at = n++;
        for (; at && KUA__CELL_EXTRA(cursor->queue[at - 1]) > KUA__CELL_EXTRA(cell); at--) {
            cursor->queue[at] = cursor->queue[at - 1];
        }
        cursor->queue[at] = cell;
    }
    for (uint32_t i = 0; i < n; i++) {
        cursor->queue[i] = KUA__CELL(KUA__LETTER, KUA__CELL_VALUE(cursor->queue[i]), 0);
    }
    cursor->queue[n++] = cell;
    cursor->queued = 0;
    cursor->n_queue = n;
}

kua__fold_cell kua__fold_next(kua__fold_cursor *cursor)
{
    for (;;) {
        bool queued = cursor->queued < cursor->n_queue;
        kua__fold_cell cell = queued ? cursor->queue[cursor->queued++] : next_unordered(cursor);
        switch (KUA__CELL_KIND(cell)) {
        case KUA__MOVES:
            gather_run(cursor, cell);
            break;
        case KUA__DROP:
            if (cell == KUA__FOLD_END) return cell;
            break;
        default:
            return cell;
        }
    }
}

void kua__fold_string(const kua__fold *fold, const char *text, size_t n, kua__buf *out)
{
    assert(fold && out && (text || n == 0));
    kua__fold_cursor cursor;
    kua__fold_start(&cursor, fold, text, n);
    for (kua__fold_cell cell; (cell = kua__fold_next(&cursor)) != KUA__FOLD_END;) {
        uint8_t bytes[6] = {' '};
        bool alone = KUA__CELL_KIND(cell) == KUA__CHINESE;
        size_t length = alone + kua__utf8_encode(KUA__CELL_VALUE(cell), bytes + alone);
        if (alone) bytes[length++] = ' ';
        kua__buf_add(out, bytes, length);
    }
}
