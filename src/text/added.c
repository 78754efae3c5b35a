/* added.c - finds "[MASK]" and its like inside a text.
 *
 * The reference looks for all added tokens at once with an Aho-Corasick automaton, leftmost and
 * longest first, without overlaps. As real files have a handful that all begin with '[', here a
 * scan for possible first bytes comes first, and the trie is walked only there. A token has at most
 * KUA_PIECE_BYTES_MAX bytes, so that this too is linear in the text.
 *
 * A match that its single_word flag forbids is passed over whole, as in the reference: what begins
 * inside it is not tried. The flags lstrip and rstrip extend a match over white space, which BERT's
 * word splitter would drop anyway: WordPiece asks for matches without them (kua__added_next), BPE
 * and Unigram with them (kua__added_step).
 */
#include "text/added.h"

#include <assert.h>
#include <string.h>
#include <utf8proc.h>

#include "text/chars.h"

/* flags[] spans the ids from the lowest to the highest. */
static kua_status mark_flags(kua__added_set *set, const kua__added_token *tokens, size_t n)
{
    assert(n > 0);
    uint32_t low = UINT32_MAX, high = 0;
    for (size_t i = 0; i < n; i++) {
        low = KUA__MIN(low, tokens[i].id);
        high = KUA__MAX(high, tokens[i].id);
    }
    set->low = low;
    set->n = high - low + 1;
    KUA__TRY(KUA__NEW_ZEROED(&set->flags, set->n, "added tokens"));
    for (size_t i = 0; i < n; i++) {
        set->flags[tokens[i].id - low] = (uint8_t)((tokens[i].single_word ? KUA__ADDED_SINGLE : 0) |
                                                   (tokens[i].lstrip ? KUA__ADDED_LSTRIP : 0) |
                                                   (tokens[i].rstrip ? KUA__ADDED_RSTRIP : 0));
    }
    return KUA_OK;
}

kua_status kua__added_build(kua__added_set *set, const char *name, kua__key *keys, size_t n,
                            const kua__added_token *tokens, size_t n_tokens)
{
    assert(set && name && (keys || n == 0) && n <= n_tokens);
    *set = (kua__added_set){.only = -2};
    if (n == 0) return KUA_OK;
    qsort(keys, n, sizeof(*keys), kua__key_order);
    for (size_t i = 0; i < n; i++) {
        assert(keys[i].n > 0);
        uint8_t first = (uint8_t)keys[i].bytes[0];
        set->first[first] = true;
        set->only = i == 0 || set->only == first ? first : -1;
        if (i && kua__key_order(&keys[i - 1], &keys[i]) == 0) {
            return kua__fail(KUA_FORMAT, "%s: added_tokens has \"%.*s\" twice, as id %u and id %u",
                             name, (int)keys[i].n, keys[i].bytes, keys[i - 1].id, keys[i].id);
        }
    }
    kua_status st = mark_flags(set, tokens, n_tokens);
    if (!st) st = kua__trie_build(&set->trie, keys, n);
    if (st) kua__added_release(set);
    return st;
}

void kua__added_release(kua__added_set *set)
{
    kua__trie_release(&set->trie);
    kua__free(set->flags);
    *set = (kua__added_set){.only = -2};
}

/* What the regular expression \w matches: letters, marks, digits, connectors and joiners. */
static bool is_word_character(uint32_t c)
{
    if (c == 0x200c || c == 0x200d) return true;
    if ((c >= 0x24b6 && c <= 0x24e9) || (c >= 0x1f130 && c <= 0x1f149) ||
        (c >= 0x1f150 && c <= 0x1f169) || (c >= 0x1f170 && c <= 0x1f189)) {
        return true; /* letters in circles and squares are alphabetic symbols */
    }
    switch (utf8proc_category((utf8proc_int32_t)c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
        return true;
    default:
        return false;
    }
}

static bool touches_word(const uint8_t *text, size_t n, size_t start, size_t end)
{
    assert(start < end && end <= n);
    size_t length;
    if (end < n && is_word_character(kua__utf8_decode(text + end, n - end, &length))) return true;
    if (start == 0) return false;
    size_t before = start - 1; /* back to where the character before begins: at most 4 bytes */
    while (before > 0 && start - before < 4 && (text[before] & 0xc0) == 0x80)
        before--;
    return is_word_character(kua__utf8_decode(text + before, start - before, &length));
}

/* memchr where one byte begins all tokens, as '[' does in BERT's files. */
static size_t next_candidate(const kua__added_set *set, const uint8_t *text, size_t n, size_t from)
{
    if (set->only >= 0) {
        const uint8_t *found = from < n ? memchr(text + from, set->only, n - from) : NULL;
        return found ? (size_t)(found - text) : n;
    }
    while (from < n && !set->first[text[from]])
        from++;
    return from;
}

bool kua__added_next(const kua__added_set *set, const char *text, size_t n, size_t from,
                     kua__added_match *match)
{
    assert(set && match && from <= n);
    if (!kua__added_any(set)) return false;
    const uint8_t *bytes = (const uint8_t *)text;
    for (size_t at = from; (at = next_candidate(set, bytes, n, at)) < n;) {
        uint32_t id = 0;
        size_t length = kua__trie_longest(&set->trie, KUA__TRIE_ROOT, bytes + at, n - at, &id);
        if (length == 0) {
            at++;
            continue;
        }
        assert(id - set->low < set->n);
        if (!(set->flags[id - set->low] & KUA__ADDED_SINGLE) ||
            !touches_word(bytes, n, at, at + length)) {
            *match = (kua__added_match){at, length, id};
            return true;
        }
        at += length;
    }
    return false;
}

/* Where the white space begins that ends at `end`, not before `from`. */
static size_t blanks_before(const uint8_t *text, size_t from, size_t end)
{
    while (end > from) {
        size_t at = end - 1, length;
        while (at > from && end - at < 4 && (text[at] & 0xc0) == 0x80)
            at--;
        if (!kua__is_blank(kua__utf8_decode(text + at, end - at, &length))) break;
        end = at;
    }
    return end;
}

static size_t blanks_behind(const uint8_t *text, size_t n, size_t at)
{
    size_t length;
    while (at < n && kua__is_blank(kua__utf8_decode(text + at, n - at, &length)))
        at += length;
    return at;
}

bool kua__added_step(kua__added_walk *walk, kua__added_match *match)
{
    assert(walk && walk->done <= walk->n && walk->at <= walk->n);
    const uint8_t *bytes = (const uint8_t *)walk->text;
    const kua__added_set *set = walk->set;
    if (!kua__added_next(set, walk->text, walk->n, walk->at, match)) return false;
    walk->at = match->start + match->length;
    size_t start = KUA__MAX(match->start, walk->done), end = walk->at;
    uint8_t flags = set->flags[match->id - set->low];
    if (flags & KUA__ADDED_LSTRIP) start = blanks_before(bytes, walk->done, start);
    if (flags & KUA__ADDED_RSTRIP) end = blanks_behind(bytes, walk->n, end);
    end = KUA__MAX(end, start);
    *match = (kua__added_match){start, end - start, match->id};
    walk->done = end;
    return true;
}
