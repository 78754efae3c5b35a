/* test_trie.c - the trie against plain search, and WordPiece against a naive one, on random
 * vocabularies.
 *
 * Method: pieces and words over three letters, so that prefixes, overlaps and dead ends are common.
 * The naive WordPiece tries every length from the longest down with a linear search, as the paper's
 * pseudo-code does. Also: sets of keys that make a double array gappy must neither take long nor
 * grow without bound.
 */
#include "testlib.h"

#include <string.h>

#include "kua/tokenizer.h"
#include "text/trie.h"
#include "text/wordpiece.h"

enum { PIECES_MAX = 200, PIECE_MAX = 8, WORD_MAX = 30 };

typedef struct vocabulary {
    char piece[PIECES_MAX][PIECE_MAX + 3];
    size_t n;
} vocabulary;

static bool has(const vocabulary *v, const char *piece, size_t n, uint32_t *id)
{
    for (size_t i = 0; i < v->n; i++) {
        if (strlen(v->piece[i]) != n || memcmp(v->piece[i], piece, n) != 0) continue;
        *id = (uint32_t)i;
        return true;
    }
    return false;
}

static void random_letters(kua__rng *rng, char *out, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        out[i] = (char)('a' + kua__rng_below(rng, 3));
    out[n] = 0;
}

static void make_vocabulary(kua__rng *rng, vocabulary *v)
{
    static const char *const special[] = {"[UNK]", "[CLS]", "[SEP]"};
    v->n = 0;
    for (size_t i = 0; i < KUA__COUNT(special); i++)
        snprintf(v->piece[v->n++], sizeof(v->piece[0]), "%s", special[i]);
    uint32_t wanted = 4 + kua__rng_below(rng, PIECES_MAX - 4), id;
    for (uint32_t i = 0; i < wanted && v->n < PIECES_MAX; i++) {
        char letters[PIECE_MAX + 1];
        random_letters(rng, letters, 1 + kua__rng_below(rng, 5));
        char *piece = v->piece[v->n];
        snprintf(piece, sizeof(v->piece[0]), "%s%s", kua__rng_below(rng, 2) ? "##" : "", letters);
        if (!has(v, piece, strlen(piece), &id)) v->n++;
    }
}

static size_t naive_wordpiece(const vocabulary *v, const char *word, uint32_t *out)
{
    size_t made = 0, n = strlen(word);
    for (size_t at = 0; at < n;) {
        size_t length = n - at;
        for (; length > 0; length--) {
            char piece[WORD_MAX + 3];
            snprintf(piece, sizeof(piece), "%s%.*s", at ? "##" : "", (int)length, word + at);
            if (has(v, piece, strlen(piece), &out[made])) break;
        }
        if (length == 0) {
            out[0] = 0;
            return 1;
        }
        made++;
        at += length;
    }
    return made;
}

static void check_words(kua__rng *rng, const vocabulary *v, const kua_tokenizer *tokenizer)
{
    kua_ids ids = {0};
    for (int i = 0; i < 200; i++) {
        char word[WORD_MAX + 1];
        uint32_t expected[WORD_MAX];
        random_letters(rng, word, 1 + kua__rng_below(rng, WORD_MAX));
        size_t n = naive_wordpiece(v, word, expected);
        assert_ok(kua_tokenizer_encode(tokenizer, word, strlen(word), 0, &ids));
        assert_int_equal(ids.n, n + 2);
        assert_memory_equal(ids.id + 1, expected, n * sizeof(*expected));
    }
    kua_ids_release(&ids);
}

static void wordpiece_agrees_with_a_naive_one(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        kua__rng rng = kua__rng_make(seed, 0);
        vocabulary v;
        make_vocabulary(&rng, &v);
        kua__buf text = {0};
        for (size_t i = 0; i < v.n; i++)
            kua__buf_printf(&text, "%s\n", v.piece[i]);
        kua_tokenizer *tokenizer = NULL;
        assert_ok(kua__tokenizer_from_vocab("v", text.data, text.len, "c", NULL, 0, &tokenizer));
        check_words(&rng, &v, tokenizer);
        kua_tokenizer_free(tokenizer);
        kua__buf_release(&text);
    }
}

/* ---- the trie alone
 * -----------------------------------------------------------------------------------------------
 */

/* Random byte strings, sorted, without repeats. Free keys and bytes with kua__free. */
static size_t random_keys(kua__rng *rng, size_t n, uint32_t max_bytes, uint32_t alphabet,
                          kua__key **keys, char **bytes)
{
    assert_ok(KUA__NEW_ARRAY(keys, n, "keys"));
    assert_ok(KUA__NEW_ARRAY(bytes, n * max_bytes, "keys"));
    for (size_t i = 0; i < n; i++) {
        char *key = *bytes + i * max_bytes;
        uint32_t length = 1 + kua__rng_below(rng, max_bytes);
        for (uint32_t k = 0; k < length; k++)
            key[k] = (char)kua__rng_below(rng, alphabet);
        (*keys)[i] = (kua__key){key, length, 0};
    }
    qsort(*keys, n, sizeof(**keys), kua__key_order);
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        if (kept && kua__key_order(&(*keys)[kept - 1], &(*keys)[i]) == 0) continue;
        (*keys)[kept] = (*keys)[i];
        (*keys)[kept].id = (uint32_t)(kept * 7);
        kept++;
    }
    return kept;
}

static size_t naive_longest(const kua__key *keys, size_t n, const uint8_t *text, size_t length,
                            uint32_t *id)
{
    size_t best = 0;
    for (size_t i = 0; i < n; i++) {
        if (keys[i].n <= best || keys[i].n > length || memcmp(keys[i].bytes, text, keys[i].n) != 0)
            continue;
        best = keys[i].n;
        *id = keys[i].id;
    }
    return best;
}

static void the_longest_key_is_found(void **state)
{
    (void)state;
    static const struct {
        size_t n;
        uint32_t bytes, alphabet;
    } shapes[] = {{1, 1, 256},   {5, 3, 2},      {100, 4, 3},  {300, 2, 256},
                  {1000, 12, 2}, {2000, 6, 256}, {400, 1, 256}};
    for (size_t i = 0; i < KUA__COUNT(shapes); i++) {
        kua__rng rng = kua__rng_make(i + 1, 1);
        kua__key *keys = NULL;
        char *bytes = NULL;
        kua__trie trie;
        size_t n =
            random_keys(&rng, shapes[i].n, shapes[i].bytes, shapes[i].alphabet, &keys, &bytes);
        assert_ok(kua__trie_build(&trie, keys, n));
        for (int k = 0; k < 2000; k++) {
            uint8_t text[16];
            for (size_t b = 0; b < sizeof(text); b++)
                text[b] = (uint8_t)kua__rng_below(&rng, shapes[i].alphabet);
            size_t length = kua__rng_below(&rng, sizeof(text) + 1);
            uint32_t expected = 0, got = 0;
            assert_int_equal(kua__trie_longest(&trie, KUA__TRIE_ROOT, text, length, &got),
                             naive_longest(keys, n, text, length, &expected));
            assert_int_equal(got, expected);
        }
        kua__trie_release(&trie);
        kua__free(keys);
        kua__free(bytes);
    }
}

static void an_empty_trie_finds_nothing(void **state)
{
    (void)state;
    kua__trie trie;
    uint32_t id = 9;
    assert_ok(kua__trie_build(&trie, NULL, 0));
    assert_int_equal(kua__trie_longest(&trie, KUA__TRIE_ROOT, (const uint8_t *)"\0a", 2, &id), 0);
    assert_int_equal(kua__trie_walk(&trie, KUA__TRIE_ROOT, "a", 1), KUA__TRIE_DEAD);
    assert_int_equal(kua__trie_walk(&trie, KUA__TRIE_ROOT, "", 0), KUA__TRIE_ROOT);
    kua__trie_release(&trie);
}

/* Nodes whose two children lie at every possible distance: the hardest sets to fit together. */
static void awkward_keys_stay_cheap(void **state)
{
    (void)state;
    enum { N = 1 << 17 };
    kua__key *keys = NULL;
    char *bytes = NULL;
    assert_ok(KUA__NEW_ARRAY(&keys, 2 * N, "keys"));
    assert_ok(KUA__NEW_ARRAY(&bytes, 8 * (size_t)N, "keys"));
    for (uint32_t i = 0; i < N; i++) {
        for (uint32_t side = 0; side < 2; side++) {
            char *key = bytes + 4 * (2 * (size_t)i + side);
            uint32_t low = i & 127, high = 128 + (i >> 3 & 127);
            key[0] = (char)(i >> 9), key[1] = (char)(i >> 1), key[2] = (char)(i & 1),
            key[3] = (char)(side ? high : low);
            keys[2 * (size_t)i + side] = (kua__key){key, 4, 2 * i + side};
        }
    }
    qsort(keys, 2 * N, sizeof(*keys), kua__key_order);
    kua__trie trie;
    double start = kua__seconds();
    assert_ok(kua__trie_build(&trie, keys, 2 * N));
    double seconds = kua__seconds() - start;
    print_message("%d keys: %.2f s, %zu cells\n", 2 * N, seconds, trie.n_cells);
    assert_true(seconds < 2);
    assert_true(trie.n_cells <= 16 * (size_t)N);
    kua__trie_release(&trie);
    kua__free(keys);
    kua__free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_longest_key_is_found),
        cmocka_unit_test(an_empty_trie_finds_nothing),
        cmocka_unit_test(awkward_keys_stay_cheap),
        cmocka_unit_test(wordpiece_agrees_with_a_naive_one),
    };
    return cmocka_run_group_tests(tests, test_no_leaks_begin, test_no_leaks_end);
}
