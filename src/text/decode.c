/* decode.c - ids back into text, as the reference's decoders do it.
 *
 * A tokenizer loses what it normalises away, so that this is a round trip only for byte-level BPE.
 * For the others it gives the text that people would write: "##" joined, marks turned into blanks,
 * and for BERT no blank before punctuation (`cleanup`, whose rules are the reference's, English
 * contractions included, applied to each piece alone as there).
 *
 * All pieces are joined into one row of bytes first; what is not UTF-8 in it then becomes U+FFFD,
 * because byte-level pieces may hold half a character each. (A cut at the limit leaves such a
 * half.)
 */
#include <assert.h>
#include <string.h>

#include "text/wordpiece.h"

/* Replaces every `from` in text[*n] by the shorter or equal `to`, in place. */
static void shorten(char *text, size_t *n, const char *from, const char *to)
{
    size_t n_from = strlen(from), n_to = strlen(to), made = 0;
    assert(n_to <= n_from);
    for (size_t at = 0; at < *n;) {
        if (*n - at >= n_from && memcmp(text + at, from, n_from) == 0) {
            memcpy(text + made, to, n_to);
            made += n_to;
            at += n_from;
        } else {
            text[made++] = text[at++];
        }
    }
    *n = made;
}

static void clean_up(kua__buf *out, size_t from)
{
    static const char *const rules[][2] = {
        {" .", "."},   {" ?", "?"},     {" !", "!"},     {" ,", ","},
        {" ' ", "'"},  {" n't", "n't"}, {" 'm", "'m"},   {" do not", " don't"},
        {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"},
    };
    if (out->failed || out->len == from) return;
    size_t n = out->len - from;
    for (size_t i = 0; i < KUA__COUNT(rules); i++)
        shorten(out->data + from, &n, rules[i][0], rules[i][1]);
    out->len = from + n;
    out->data[out->len] = 0;
}

static void add_wordpiece(const kua__decoder *d, const char *piece, size_t n, bool first,
                          kua__buf *out)
{
    size_t from = out->len, prefix = strlen(d->prefix);
    if (!first && prefix && n >= prefix && memcmp(piece, d->prefix, prefix) == 0) {
        kua__buf_add(out, piece + prefix, n - prefix);
    } else {
        if (!first) kua__buf_add(out, " ", 1);
        kua__buf_add(out, piece, n);
    }
    if (d->cleanup) clean_up(out, from);
}

/* A piece of which one character stands for no byte is taken as it is. */
static void add_bytes(const char *piece, size_t n, kua__buf *out)
{
    size_t from = out->len, length;
    for (size_t at = 0; at < n; at += length) {
        int byte =
            kua__byte_spelled(kua__utf8_decode((const uint8_t *)piece + at, n - at, &length));
        if (byte < 0) {
            if (!out->failed) out->len = from;
            kua__buf_add(out, piece, n);
            return;
        }
        kua__buf_add(out, &(char){(char)byte}, 1);
    }
}

static void add_marked(const kua__decoder *d, const char *piece, size_t n, bool drop, kua__buf *out)
{
    size_t mark = strlen(d->mark);
    for (size_t at = 0; at < n;) {
        bool here = n - at >= mark && memcmp(piece + at, d->mark, mark) == 0;
        if (here && !drop) kua__buf_add(out, " ", 1);
        if (!here) kua__buf_add(out, piece + at, 1);
        at += here ? mark : 1;
    }
}

/* The byte of "<0x0A>", or -1. */
static int byte_piece(const char *piece, size_t n)
{
    if (n != 6 || memcmp(piece, "<0x", 3) != 0 || piece[5] != '>') return -1;
    int value = 0;
    for (int i = 3; i < 5; i++) {
        char c = piece[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                           : -1;
        if (digit < 0) return -1;
        value = value * 16 + digit;
    }
    return value;
}

static void add_piece(const kua__decoder *d, const char *piece, bool first, kua__buf *out)
{
    size_t n = strlen(piece);
    int byte;
    switch (d->kind) {
    case KUA__DECODE_WORDPIECE:
        add_wordpiece(d, piece, n, first, out);
        break;
    case KUA__DECODE_BYTES:
        add_bytes(piece, n, out);
        break;
    case KUA__DECODE_METASPACE:
        add_marked(d, piece, n, first && d->drop_first, out);
        break;
    case KUA__DECODE_FALLBACK:
        byte = byte_piece(piece, n);
        if (byte >= 0)
            kua__buf_add(out, &(char){(char)byte}, 1);
        else
            add_marked(d, piece, n, false, out);
        break;
    case KUA__DECODE_PLAIN:
        if (!first) kua__buf_add(out, " ", 1);
        kua__buf_add(out, piece, n);
        break;
    }
}

/* A row of byte pieces that is not UTF-8 is one U+FFFD a byte in the reference. */
static void seal_bytes(kua__buf *out, size_t from)
{
    if (out->failed || out->len == from) return;
    size_t n = out->len - from;
    if (kua__utf8_valid(out->data + from, n) == n) return;
    out->len = from;
    for (size_t i = 0; i < n; i++)
        kua__buf_puts(out, "\xef\xbf\xbd");
}

static kua_status add_all(const kua_tokenizer *t, const uint32_t *ids, size_t n, bool skip_special,
                          kua__buf *out)
{
    bool first = true, fallback = t->decoder.kind == KUA__DECODE_FALLBACK;
    size_t bytes_from = SIZE_MAX; /* where a row of byte pieces began */
    for (size_t i = 0; i < n; i++) {
        const char *piece = kua__vocab_piece(&t->vocab, ids[i]);
        if (!piece) {
            return kua__fail(KUA_INVALID, "tokenizer: id %zu is %u, expected 0..%zu", i, ids[i],
                             t->vocab.n - 1);
        }
        if (skip_special && t->special[ids[i]]) continue;
        bool byte = fallback && byte_piece(piece, strlen(piece)) >= 0;
        if (byte && bytes_from == SIZE_MAX) bytes_from = out->len;
        if (!byte && bytes_from != SIZE_MAX) {
            seal_bytes(out, bytes_from);
            bytes_from = SIZE_MAX;
        }
        add_piece(&t->decoder, piece, first, out);
        first = false;
    }
    if (bytes_from != SIZE_MAX) seal_bytes(out, bytes_from);
    return KUA_OK;
}

static kua_status grow_text(kua_text_buffer *text, size_t n)
{
    if (n < text->room) return KUA_OK;
    size_t room = KUA__MAX(n + 1, text->room + text->room / 2);
    char *data = kua__realloc_array(text->data, room, 1);
    if (!data) return kua__fail_nomem(room, "a decoded text");
    text->data = data;
    text->room = room;
    return KUA_OK;
}

/* Copies bytes as UTF-8. */
static kua_status copy_text(const char *bytes, size_t n, kua_text_buffer *text)
{
    KUA__TRY(grow_text(text, 3 * n)); /* a broken byte becomes three */
    while (n) {
        size_t good = kua__utf8_valid(bytes, n), length = 0;
        memcpy(text->data + text->n, bytes, good);
        text->n += good;
        bytes += good;
        n -= good;
        if (n == 0) break;
        kua__utf8_decode((const uint8_t *)bytes, n, &length);
        memcpy(text->data + text->n, "\xef\xbf\xbd", 3);
        text->n += 3;
        bytes += length;
        n -= length;
    }
    text->data[text->n] = 0;
    return KUA_OK;
}

kua_status kua_tokenizer_decode(const kua_tokenizer *tokenizer, const uint32_t *ids, size_t n,
                                bool skip_special, kua_text_buffer *text)
{
    assert(tokenizer && (ids || n == 0) && text);
    text->n = 0;
    kua__buf bytes = {0};
    kua_status st = add_all(tokenizer, ids, n, skip_special, &bytes);
    if (!st && bytes.failed) st = kua__buf_status(&bytes);
    bool blank = tokenizer->decoder.kind == KUA__DECODE_FALLBACK && tokenizer->decoder.drop_first &&
                 bytes.len && bytes.data[0] == ' ';
    if (!st) st = copy_text(bytes.len ? bytes.data + blank : "", bytes.len - blank, text);
    kua__buf_release(&bytes);
    return st;
}

void kua_text_buffer_release(kua_text_buffer *text)
{
    assert(text);
    kua__free(text->data);
    *text = (kua_text_buffer){0};
}
