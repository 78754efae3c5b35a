/* split.c - pre-tokenizers by hand.
 *
 * Why it exists
 *   The reference splits with regular expressions and copies each part. The expressions in use are
 *   a handful, and each is a small automaton over four classes of characters (chars.c), so they are
 *   written out here:
 *
 *       GPT-2    's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
 *       llama 3  (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|
 *                ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
 *
 *   Both match at every position, so that cutting at the matches loses nothing.
 *
 * How it works
 *   Steps follow one another; each hands its parts to the next, the last to the caller. Only steps
 *   that change the text (a blank or a mark in front, marks for blanks) copy it, into the room of
 *   their own number: a part is used up before the step's next part is made.
 *
 * Invariants
 *   I1  the parts of a step, one after another, are its text (without white space for BLANKS).
 *   I2  KUA__SLACK bytes behind every part are readable: the word cache compares whole registers.
 */
#include "text/split.h"

#include <assert.h>
#include <string.h>

typedef struct splitting {
    const kua__splitter *splitter;
    kua__buf *room;
    kua__word_fn take;
    void *ctx;
} splitting;

static bool run(const splitting *s, size_t k, const uint8_t *text, size_t n, bool at_start);

/* ---- the expressions ---- */

bool kua__pattern_find(const char *expression, kua__pattern *out)
{
    static const struct {
        const char *text;
        kua__pattern pattern;
    } known[] = {
        {"'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
         {false, 0}},
        {"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| "
         "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
         {true, 3}},
        {"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| "
         "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
         {true, 1}},
    };
    assert(expression && out);
    for (size_t i = 0; i < KUA__COUNT(known); i++) {
        if (!kua__streq(expression, known[i].text)) continue;
        *out = known[i].pattern;
        return true;
    }
    return false;
}

/* Where the run of characters of one class ends that is (or is not) at `at`; at most `most` of
 * them, 0: any number. */
static size_t run_of(const uint8_t *chars, const uint8_t *text, size_t n, size_t at,
                     kua__char_class class, uint32_t most)
{
    size_t length = 1;
    for (uint32_t i = 0; at < n && (most == 0 || i < most); i++, at += length) {
        if (kua__char_at(chars, text + at, n - at, &length) != class) break;
    }
    return at;
}

/* The letter at text[at], in lower case where `fold`; U+017F is an s to (?i:). */
static int contraction_letter(const uint8_t *text, size_t n, size_t at, bool fold, size_t *length)
{
    *length = 1;
    if (at >= n) return 0;
    if (!fold) return text[at];
    if (n - at >= 2 && text[at] == 0xc5 && text[at + 1] == 0xbf) {
        *length = 2;
        return 's';
    }
    return text[at] >= 'A' && text[at] <= 'Z' ? text[at] + 32 : text[at];
}

/* The length of 's, 't, 're, 've, 'm, 'll or 'd at the text's head; 0: none is there. */
static size_t contraction(const uint8_t *text, size_t n, bool fold)
{
    if (n < 2 || text[0] != '\'') return 0;
    size_t first_length, second_length;
    int first = contraction_letter(text, n, 1, fold, &first_length);
    if (first == 's' || first == 't' || first == 'm' || first == 'd') return 1 + first_length;
    int second = contraction_letter(text, n, 1 + first_length, fold, &second_length);
    bool two = (first == 'r' && second == 'e') || (first == 'v' && second == 'e') ||
               (first == 'l' && second == 'l');
    return two ? 1 + first_length + second_length : 0;
}

/* \s+(?!\S)|\s+ : white space, but its last character belongs to what follows, unless it is the
 * only one. `newer`: \s*[\r\n]+ before. */
static size_t blanks(const uint8_t *chars, const uint8_t *text, size_t n, bool newer)
{
    size_t at = 0, last = 0, line = 0, length;
    while (at < n && kua__char_at(chars, text + at, n - at, &length) == KUA__CHAR_BLANK) {
        last = at;
        at += length;
        if (text[last] == '\n' || text[last] == '\r') line = at;
    }
    assert(at > 0);
    if (newer && line) return line;
    return at == n || last == 0 ? at : last;
}

/* The length of the match at the head of text[n], n >= 1. */
static size_t match_old(const uint8_t *chars, const uint8_t *text, size_t n, kua__pattern pattern)
{
    (void)pattern;
    size_t length, at = text[0] == ' ' && n > 1;
    kua__char_class class = kua__char_at(chars, text + at, n - at, &length);
    if (class == KUA__CHAR_BLANK) return blanks(chars, text, n, false);
    if (text[0] == '\'' && (length = contraction(text, n, false)) > 0) return length;
    return run_of(chars, text, n, at, class, 0);
}

static size_t match_new(const uint8_t *chars, const uint8_t *text, size_t n, kua__pattern pattern)
{
    size_t first = 1, length = contraction(text, n, true);
    if (length) return length;
    kua__char_class class = kua__char_at(chars, text, n, &first);
    if (class == KUA__CHAR_NUMBER) return run_of(chars, text, n, 0, class, pattern.numbers);
    bool line = text[0] == '\n' || text[0] == '\r';
    size_t letters = class == KUA__CHAR_LETTER || line ? 0 : first;
    if (!line) {
        size_t end = run_of(chars, text, n, letters, KUA__CHAR_LETTER, 0);
        if (end > letters) return end;
    }
    size_t from = text[0] == ' ', end = run_of(chars, text, n, from, KUA__CHAR_OTHER, 0);
    if (end == from) return blanks(chars, text, n, true);
    while (end < n && (text[end] == '\n' || text[end] == '\r'))
        end++;
    return end;
}

static bool by_pattern(const splitting *s, size_t k, const uint8_t *text, size_t n, bool at_start)
{
    const kua__splitter *splitter = s->splitter;
    kua__pattern pattern = splitter->step[k].pattern;
    bool last = k + 1 == splitter->n;
    for (size_t at = 0; at < n;) {
        size_t length = pattern.newer ? match_new(splitter->chars, text + at, n - at, pattern)
                                      : match_old(splitter->chars, text + at, n - at, pattern);
        assert(length > 0 && length <= n - at);
        bool more = last ? s->take(s->ctx, text + at, length)
                         : run(s, k + 1, text + at, length, at_start && at == 0);
        if (!more) return false;
        at += length;
    }
    return true;
}

/* ---- the other steps ---- */

static bool by_digits(const splitting *s, size_t k, const uint8_t *text, size_t n, bool at_start)
{
    const uint8_t *chars = s->splitter->chars;
    bool alone = s->splitter->step[k].kind == KUA__SPLIT_DIGITS;
    size_t from = 0, length;
    for (size_t at = 0; at < n;) {
        if (kua__char_at(chars, text + at, n - at, &length) != KUA__CHAR_NUMBER) {
            at += length;
            continue;
        }
        if (at > from && !run(s, k + 1, text + from, at - from, at_start && from == 0))
            return false;
        size_t end = alone ? at + length : run_of(chars, text, n, at, KUA__CHAR_NUMBER, 0);
        if (!run(s, k + 1, text + at, end - at, at_start && at == 0)) return false;
        from = at = end;
    }
    return from == n || run(s, k + 1, text + from, n - from, at_start && from == 0);
}

static bool by_blanks(const splitting *s, size_t k, const uint8_t *text, size_t n, bool at_start)
{
    size_t from = 0, length;
    for (size_t at = 0; at < n; at += length) {
        uint32_t c = kua__utf8_decode(text + at, n - at, &length);
        if (!kua__is_blank(c)) continue;
        if (at > from && !run(s, k + 1, text + from, at - from, at_start && from == 0))
            return false;
        from = at + length;
    }
    return from == n || run(s, k + 1, text + from, n - from, at_start && from == 0);
}

/* Adds the slack of I2; false: out of memory. */
static bool finish_room(kua__buf *room)
{
    static const char zeros[KUA__SLACK];
    kua__buf_add(room, zeros, sizeof(zeros));
    if (room->failed) return false;
    room->len -= sizeof(zeros);
    return true;
}

static bool by_bytes(const splitting *s, size_t k, const uint8_t *text, size_t n, bool at_start)
{
    const kua__split_step *step = &s->splitter->step[k];
    if (step->prepend != KUA__PREPEND_NEVER && text[0] != ' ') {
        kua__buf *room = &s->room[k];
        kua__buf_clear(room);
        kua__buf_add(room, " ", 1);
        kua__buf_add(room, text, n);
        if (!finish_room(room)) return false;
        text = (const uint8_t *)room->data;
        n = room->len;
    }
    return step->cut ? by_pattern(s, k, text, n, at_start) : run(s, k + 1, text, n, at_start);
}

/* Blanks become marks, and one stands in front unless there is one. */
static bool put_marks(const kua__split_step *step, kua__buf *room, const uint8_t *text, size_t n,
                      bool at_start)
{
    kua__buf_clear(room);
    bool has_mark =
        text[0] == ' ' || (n >= step->n_mark && !memcmp(text, step->mark, step->n_mark));
    bool wanted =
        step->prepend == KUA__PREPEND_ALWAYS || (step->prepend == KUA__PREPEND_FIRST && at_start);
    if (wanted && !has_mark) kua__buf_add(room, step->mark, step->n_mark);
    for (size_t at = 0; at < n;) {
        const uint8_t *blank = memchr(text + at, ' ', n - at);
        size_t length = blank ? (size_t)(blank - text) - at : n - at;
        kua__buf_add(room, text + at, length);
        if (blank) kua__buf_add(room, step->mark, step->n_mark);
        at += length + (blank != NULL);
    }
    return finish_room(room);
}

static bool by_marks(const splitting *s, size_t k, const uint8_t *text, size_t n, bool at_start)
{
    const kua__split_step *step = &s->splitter->step[k];
    kua__buf *room = &s->room[k];
    if (!put_marks(step, room, text, n, at_start)) return false;
    const char *data = room->data;
    size_t from = 0, end = room->len;
    for (size_t at = 1; step->cut && at + step->n_mark <= end; at++) {
        const char *found = memmem(data + at, end - at, step->mark, step->n_mark);
        if (!found) break;
        at = (size_t)(found - data);
        if (at > from && !run(s, k + 1, (const uint8_t *)data + from, at - from, false))
            return false;
        from = at;
        at += step->n_mark - 1u;
    }
    return from == end || run(s, k + 1, (const uint8_t *)data + from, end - from, false);
}

/* Gives a part of text to step k, or to the caller behind the last. */
static bool run(const splitting *s, size_t k, const uint8_t *text, size_t n, bool at_start)
{
    assert(k <= s->splitter->n && n > 0);
    if (k == s->splitter->n) return s->take(s->ctx, text, n);
    switch (s->splitter->step[k].kind) {
    case KUA__SPLIT_DIGITS:
    case KUA__SPLIT_NUMBERS:
        return by_digits(s, k, text, n, at_start);
    case KUA__SPLIT_PATTERN:
        return by_pattern(s, k, text, n, at_start);
    case KUA__SPLIT_BYTES:
        return by_bytes(s, k, text, n, at_start);
    case KUA__SPLIT_BLANKS:
        return by_blanks(s, k, text, n, at_start);
    default:
        return by_marks(s, k, text, n, at_start);
    }
}

bool kua__split(const kua__splitter *splitter, kua__buf room[KUA__SPLIT_STEPS_MAX],
                const uint8_t *text, size_t n, bool at_start, kua__word_fn take, void *ctx)
{
    assert(splitter && room && take && (text || n == 0));
    if (n == 0) return true;
    return run(&(splitting){splitter, room, take, ctx}, 0, text, n, at_start);
}

kua_status kua__splitter_prepare(kua__splitter *splitter)
{
    assert(splitter && splitter->n <= KUA__SPLIT_STEPS_MAX && !splitter->chars);
    bool needed = false;
    for (size_t i = 0; i < splitter->n; i++) {
        kua__split_kind kind = splitter->step[i].kind;
        needed |= kind != KUA__SPLIT_BLANKS && kind != KUA__SPLIT_METASPACE;
    }
    splitter->bytes = splitter->n && splitter->step[splitter->n - 1].kind == KUA__SPLIT_BYTES;
    return needed ? kua__chars_make(&splitter->chars) : KUA_OK;
}

void kua__splitter_release(kua__splitter *splitter)
{
    assert(splitter);
    kua__free(splitter->chars);
    *splitter = (kua__splitter){0};
}
