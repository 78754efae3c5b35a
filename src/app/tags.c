/* tags.c - reading BIO files, tokens of units, decoding, entities.
 *
 * A line is "unit tag"; the last space parts them, so that a unit may hold spaces, or be one. A
 * line without anything ends a text.
 *
 * Each unit is tokenised by itself, as transformers' is_split_into_words does: its first piece
 * carries the tag, so that tags and tokens never disagree about where a unit begins. Units repeat
 * (a few thousand characters): each is tokenised once.
 */
#include "app/tags.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { UNIT_BYTES_MAX = 4096, TYPE_BYTES_MAX = 64, TYPES_MAX = 256 };

void kua__tagged_init(kua__tagged *t)
{
    *t = (kua__tagged){.characters = true};
    kua__ids_init(&t->types);
}

void kua__tagged_release(kua__tagged *t)
{
    kua__free(t->unit_at);
    kua__free(t->byte_at);
    kua__free(t->tag);
    kua__buf_release(&t->bytes);
    kua__ids_release(&t->types);
    *t = (kua__tagged){0};
}

/* ---- building ---- */

/* Room for `need` elements. */
#define ROOM(ptr, capacity, need, what)                                                            \
    while (*(capacity) < (need))                                                                   \
    KUA__TRY(KUA__GROW(ptr, capacity, *(capacity), what))

static kua_status begin_text(kua__tagged *t)
{
    ROOM(&t->unit_at, &t->text_capacity, t->n + 2, "texts");
    t->unit_at[t->n] = t->unit_at[t->n + 1] = t->n_units;
    return KUA_OK;
}

static bool is_character(const char *text, size_t n)
{
    unsigned char c = n ? (unsigned char)text[0] : 0;
    return n == (c < 0x80 ? 1U : c < 0xe0 ? 2U : c < 0xf0 ? 3U : 4U);
}

static kua_status add_unit(kua__tagged *t, const char *text, size_t n, uint32_t tag)
{
    ROOM(&t->byte_at, &t->unit_capacity, t->n_units + 2, "units");
    KUA__TRY(KUA__GROW(&t->tag, &t->tag_capacity, t->n_units, "units"));
    t->characters &= is_character(text, n);
    t->tag[t->n_units] = tag;
    t->byte_at[t->n_units] = t->bytes.len;
    kua__buf_add(&t->bytes, text, n);
    t->byte_at[++t->n_units] = t->bytes.len;
    t->unit_at[t->n + 1] = t->n_units;
    return kua__buf_status(&t->bytes);
}

/* ---- files ---- */

/* The first type is numbered while reading and sorted at the end; *out is 2 type + 1 or + 2. */
static kua_status read_tag(kua__tagged *t, const char *name, size_t line, const char *text,
                           size_t n, const kua__ids *known, uint32_t *out)
{
    uint32_t type = 0;
    *out = 0;
    if (n == 1 && text[0] == 'O') return KUA_OK;
    if (n < 3 || n > TYPE_BYTES_MAX || (text[0] != 'B' && text[0] != 'I') || text[1] != '-' ||
        memchr(text, 0, n))
        return kua__fail(KUA_FORMAT, "%s:%zu: the tag is '%.*s', expected O, B-TYPE or I-TYPE",
                         name, line, (int)KUA__MIN(n, (size_t)40), text);
    if (known)
        type = kua__ids_find(known, text + 2, n - 2);
    else
        KUA__TRY(kua__ids_add(&t->types, text + 2, n - 2, &type));
    if (t->types.count > TYPES_MAX)
        return kua__fail(KUA_FORMAT, "%s:%zu: more than %d types", name, line, TYPES_MAX);
    t->unknown += type == KUA__NO_ID;
    *out = type == KUA__NO_ID ? KUA__NO_ID : 2 * type + (text[0] == 'B' ? 1 : 2);
    return KUA_OK;
}

static kua_status read_line(kua__tagged *t, const char *name, size_t line, const char *text,
                            size_t n, const kua__ids *known)
{
    const char *space = memrchr(text, ' ', n);
    const char *tab = memrchr(text, '\t', n);
    if (tab && (!space || tab > space)) space = tab;
    size_t unit = space ? (size_t)(space - text) : 0;
    uint32_t tag;
    if (unit < 1 || unit > UNIT_BYTES_MAX)
        return kua__fail(KUA_FORMAT, "%s:%zu: expected a unit of 1..%d bytes, a space and a tag",
                         name, line, UNIT_BYTES_MAX);
    if (kua__utf8_valid(text, n) != n || memchr(text, 0, n))
        return kua__fail(KUA_FORMAT, "%s:%zu: is not UTF-8, or has a NUL", name, line);
    KUA__TRY(read_tag(t, name, line, space + 1, n - unit - 1, known, &tag));
    return add_unit(t, text, unit, tag);
}

typedef struct named {
    const char *name;
    uint32_t id;
} named;

static int by_name(const void *a, const void *b)
{
    return strcmp(((const named *)a)->name, ((const named *)b)->name);
}

/* Types in order of their names: the same texts in another order give the same tags. */
static kua_status sort_types(kua__tagged *t)
{
    named order[TYPES_MAX];
    uint32_t place[TYPES_MAX];
    kua__ids sorted;
    kua_status st = KUA_OK;
    kua__ids_init(&sorted);
    for (size_t i = 0; i < t->types.count; i++)
        order[i] = (named){t->types.name[i], (uint32_t)i};
    qsort(order, t->types.count, sizeof(*order), by_name);
    for (size_t i = 0; i < t->types.count && !st; i++)
        st = kua__ids_add(&sorted, order[i].name, strlen(order[i].name), &place[order[i].id]);
    for (size_t u = 0; u < t->n_units && !st; u++)
        if (t->tag[u]) t->tag[u] = 2 * place[(t->tag[u] - 1) / 2] + 1 + (t->tag[u] - 1) % 2;
    if (!st) {
        kua__ids old = t->types;
        t->types = sorted;
        sorted = old;
    }
    kua__ids_release(&sorted);
    return st;
}

kua_status kua__tagged_parse(kua__tagged *t, const char *name, const char *text, size_t n,
                             const kua__ids *known)
{
    assert(t && name && (text || n == 0));
    kua__tagged_init(t);
    KUA__TRY(begin_text(t));
    size_t line = 0;
    for (size_t at = 0; at < n;) {
        const char *begin = text + at, *end = memchr(begin, '\n', n - at);
        size_t length = end ? (size_t)(end - begin) : n - at;
        at += length + 1;
        line++;
        if (length && begin[length - 1] == '\r') length--;
        if (length) {
            KUA__TRY(read_line(t, name, line, begin, length, known));
        } else if (t->unit_at[t->n] < t->n_units) {
            t->n++;
            KUA__TRY(begin_text(t));
        }
    }
    t->n += t->unit_at[t->n] < t->n_units; /* the last text may have no empty line behind it */
    if (!t->n) return kua__fail(KUA_FORMAT, "%s: there are no texts", name);
    return known ? KUA_OK : sort_types(t);
}

kua_status kua__tagged_load(kua__tagged *t, const char *path, const kua__ids *known)
{
    assert(t && path);
    kua__tagged_init(t);
    kua__map map = {0};
    KUA__TRY(kua__map_open(&map, path));
    kua_status st = kua__tagged_parse(t, path, map.data, map.size, known);
    kua__map_close(&map);
    return st;
}

kua_status kua__tagged_add_text(kua__tagged *t, const kua_text *text, bool characters)
{
    assert(t && text);
    KUA__TRY(begin_text(t));
    for (size_t at = 0; at < text->n;) {
        unsigned char c = (unsigned char)text->data[at];
        size_t n = 1;
        bool space = c == 0 || c == ' ' || c == '\t' || c == '\n' || c == '\r';
        if (characters && !space) {
            n = c < 0xc0 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
            n = kua__utf8_valid(text->data + at, KUA__MIN(n, text->n - at)) == n ? n : 1;
        } else if (!space) {
            while (at + n < text->n && !strchr(" \t\n\r", text->data[at + n]))
                n++;
        }
        if (!space) KUA__TRY(add_unit(t, text->data + at, n, 0));
        at += n;
    }
    t->n++;
    return KUA_OK;
}

/* ---- tokens ---- */

/* Pieces of units that were seen: piece[piece_at[u]] .. of the unit numbered u. */
typedef struct pieces {
    kua__ids units;
    kua_ids scratch;
    uint32_t *piece;
    size_t *at, at_capacity, piece_capacity, n;
} pieces;

static kua_status tokenise(pieces *p, const kua_tokenizer *tokenizer, const char *text, size_t n,
                           kua_tokenizer_info info)
{
    KUA__TRY(kua_tokenizer_encode(tokenizer, text, n, 0, &p->scratch));
    const uint32_t *id = p->scratch.id;
    size_t first = 0, last = p->scratch.n;
    if (last > first && id[first] == info.cls) first++;
    if (last > first && id[last - 1] == info.sep) last--;
    uint32_t unknown = info.unk != KUA_TOKEN_NONE ? info.unk : 0;
    if (first == last) id = &unknown, first = 0, last = 1; /* a unit that the tokenizer drops */
    for (size_t i = first; i < last; i++) {
        KUA__TRY(KUA__GROW(&p->piece, &p->piece_capacity, p->n, "pieces"));
        p->piece[p->n++] = id[i];
    }
    return KUA_OK;
}

static kua_status pieces_of(pieces *p, const kua_tokenizer *tokenizer, const char *text, size_t n,
                            kua_tokenizer_info info, uint32_t *unit)
{
    size_t before = p->units.count;
    KUA__TRY(kua__ids_add(&p->units, text, n, unit));
    if (p->units.count == before) return KUA_OK;
    ROOM(&p->at, &p->at_capacity, before + 2, "pieces");
    p->at[before] = p->n;
    KUA__TRY(tokenise(p, tokenizer, text, n, info));
    p->at[before + 1] = p->n;
    return KUA_OK;
}

static kua_status push(kua_ids *ids, uint32_t id)
{
    KUA__TRY(KUA__GROW(&ids->id, &ids->room, ids->n, "tokens"));
    ids->id[ids->n++] = id;
    return KUA_OK;
}

static kua_status add_tokens(kua__tag_tokens *out, const kua__tagged *t, size_t text, pieces *p,
                             const kua_tokenizer *tokenizer, kua_tokenizer_info info, size_t most)
{
    size_t start = out->ids.ids.n, room = most - (info.sep != KUA_TOKEN_NONE);
    if (info.cls != KUA_TOKEN_NONE) KUA__TRY(push(&out->ids.ids, info.cls));
    for (size_t u = t->unit_at[text]; u < t->unit_at[text + 1]; u++) {
        uint32_t unit;
        size_t n = t->byte_at[u + 1] - t->byte_at[u];
        KUA__TRY(pieces_of(p, tokenizer, t->bytes.data + t->byte_at[u], n, info, &unit));
        size_t at = out->ids.ids.n - start, length = p->at[unit + 1] - p->at[unit];
        out->first[u] = at + length <= room ? (uint32_t)at : KUA__NO_ID;
        if (at + length > room) room = 0; /* what is behind is cut off too */
        for (size_t i = 0; i < length && room; i++)
            KUA__TRY(push(&out->ids.ids, p->piece[p->at[unit] + i]));
    }
    if (info.sep != KUA_TOKEN_NONE) KUA__TRY(push(&out->ids.ids, info.sep));
    return KUA_OK;
}

kua_status kua__tag_tokens_make(kua__tag_tokens *out, const kua__tagged *t,
                                const kua_tokenizer *tokenizer, size_t max_tokens)
{
    assert(out && t && tokenizer && max_tokens >= 4);
    *out = (kua__tag_tokens){0};
    kua_tokenizer_info info = kua_tokenizer_describe(tokenizer);
    pieces p = {0};
    kua__ids_init(&p.units);
    kua_status st = KUA__NEW_ARRAY(&out->first, t->n_units, "tokens of units");
    if (!st) st = KUA__NEW_ZEROED(&out->ids.offset, t->n + 1, "texts");
    out->ids.n = st ? 0 : t->n;
    out->ids.room = out->ids.n;
    for (size_t i = 0; i < t->n && !st; i++) {
        st = add_tokens(out, t, i, &p, tokenizer, info, max_tokens);
        out->ids.offset[i + 1] = out->ids.ids.n;
    }
    kua__ids_release(&p.units);
    kua_ids_release(&p.scratch);
    kua__free(p.piece);
    kua__free(p.at);
    return st;
}

void kua__tag_tokens_release(kua__tag_tokens *t)
{
    kua_id_batch_release(&t->ids);
    kua__free(t->first);
    *t = (kua__tag_tokens){0};
}

/* ---- entities ---- */

size_t kua__entities(const uint32_t *tag, size_t n, kua__entity *out)
{
    size_t found = 0;
    bool open = false;
    for (size_t i = 0; i < n; i++) {
        uint32_t type = tag[i] == 0 || tag[i] == KUA__NO_ID ? KUA__NO_ID : (tag[i] - 1) / 2;
        bool inside = type != KUA__NO_ID && tag[i] % 2 == 0;
        if (open && inside && out[found - 1].type == type) {
            out[found - 1].last = i;
            continue;
        }
        open = type != KUA__NO_ID;
        if (open) out[found++] = (kua__entity){i, i, type};
    }
    return found;
}

/* May tag b follow tag a (n: the begin)? */
static bool follows(size_t a, size_t b, size_t tags)
{
    bool inside = b > 0 && b % 2 == 0;
    return !inside || (a < tags && (a == b || a + 1 == b));
}

typedef struct lattice {
    const float *score, *transition;
    size_t tags;
    double *best;   /* [2, tags] of this unit and of the one before */
    uint32_t *from; /* [n, tags] the tag before */
} lattice;

static void decode_unit(const lattice *l, size_t i)
{
    size_t tags = l->tags;
    const double *last = l->best + (i + 1) % 2 * tags;
    double *now = l->best + i % 2 * tags;
    for (size_t b = 0; b < tags; b++) {
        double most = -INFINITY;
        l->from[i * tags + b] = 0;
        for (size_t a = i ? 0 : tags; a < (i ? tags : tags + 1); a++) {
            double way = (i ? last[a] : 0) + (l->transition ? l->transition[a * tags + b] : 0);
            if (!follows(a, b, tags) || way <= most) continue;
            most = way;
            l->from[i * tags + b] = (uint32_t)a;
        }
        now[b] = most + l->score[i * tags + b];
    }
}

kua_status kua__tag_decode(const float *score, const float *transition, size_t n, size_t tags,
                           uint32_t *out)
{
    assert((score && out) || n == 0);
    if (n == 0) return KUA_OK;
    lattice l = {.score = score, .transition = transition, .tags = tags};
    kua_status st = KUA__NEW_ARRAY(&l.best, 2 * tags, "a path of tags");
    if (!st) st = KUA__NEW_ARRAY(&l.from, n * tags, "a path of tags");
    for (size_t i = 0; i < n && !st; i++)
        decode_unit(&l, i);
    if (!st) {
        const double *end = l.best + (n - 1) % 2 * tags;
        uint32_t at = 0;
        for (size_t b = 1; b < tags; b++)
            if (end[b] > end[at]) at = (uint32_t)b;
        for (size_t i = n; i-- > 0; at = l.from[i * tags + at])
            out[i] = at;
    }
    kua__free(l.best);
    kua__free(l.from);
    return st;
}
