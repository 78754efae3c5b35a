/* data/intake_items.c - rows of the catalogue and of the list of users.
 *
 * An item's text is its text columns joined by a space, a category's " > " as a space; where that
 * is empty, the text_else columns. Its name, for people, is the name column, else the text's first
 * words, else the id.
 *
 * Memory: the strings of items live in the intake's arena. A row that describes an item again
 * leaves the old strings there until the intake is freed. own->raw and own->scratch are used by
 * every field in turn: what is in them is over with the next field.
 */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "data/intake_private.h"
#include "data/report_json.h"
#include "data/text_clean.h"

enum { NAME_BYTES = 80 };

static bool is_category_column(const kua__reading *r, size_t column)
{
    const kua__source_columns *category = &r->binding.role[KUA__ROLE_CATEGORY];
    for (size_t i = 0; i < category->n; i++) {
        if (category->column[i] == column) {
            return true;
        }
    }
    return false;
}

/* Appends s[n] with " > " as one space. */
static void add_flat(kua__buf *to, const char *s, size_t n)
{
    for (size_t i = 0; i < n;) {
        const char *mark = memmem(s + i, n - i, " > ", 3);
        size_t end = mark ? (size_t)(mark - s) : n;
        kua__buf_add(to, s + i, end - i);
        kua__buf_add(to, " ", mark ? 1 : 0);
        i = mark ? end + 3 : n;
    }
}

/* The role's columns joined by `between` into own->raw, empty ones left out. */
static void join(const kua__reading *r, kua__role role, const char *between, bool flat)
{
    assert(role < KUA__ROLES && between);
    const kua__source_columns *source = &r->binding.role[role];
    kua__buf *raw = &r->in->own->raw;
    kua__buf_clear(raw);
    if (source->constant) {
        kua__buf_puts(raw, source->constant);
    }
    for (size_t i = 0; i < source->n; i++) {
        assert(source->column[i] < kua__table_columns(r->table));
        kua__field field = r->row.field[source->column[i]];
        if (field.n == 0) {
            continue;
        }
        kua__buf_puts(raw, raw->len ? between : "");
        if (flat && is_category_column(r, source->column[i])) {
            add_flat(raw, field.text, field.n);
        } else {
            kua__buf_add(raw, field.text, field.n);
        }
    }
}

/* own->raw, cleaned, into the arena. */
static kua_status keep_clean(kua__intake *in, const char **out)
{
    struct kua__intake_private *own = in->own;
    KUA__TRY(kua__buf_status(&own->raw));
    kua__buf_clear(&own->scratch);
    if (own->raw.len) {
        KUA__TRY(kua__text_clean(own->raw.data, own->raw.len, &own->scratch));
    }
    *out = "";
    if (own->scratch.len) {
        *out = kua__arena_strndup(&in->arena, own->scratch.data, own->scratch.len);
    }
    return *out ? KUA_OK : kua__fail_nomem(own->scratch.len + 1, "an item's text");
}

static kua_status read_text(kua__reading *r, kua__role role, const char *between, bool flat,
                            const char **out)
{
    join(r, role, between, flat);
    return keep_clean(r->in, out);
}

/* The first words of a text, at most NAME_BYTES. */
static kua_status name_from_text(kua__intake *in, const char *text, const char **out)
{
    assert(*text);
    size_t n = strlen(text);
    if (n > NAME_BYTES) {
        n = kua__utf8_valid(text, NAME_BYTES);
        /* Whole words; where the first one is longer, whole characters. */
        const char *blank = memrchr(text, ' ', n);
        n = blank ? (size_t)(blank - text) : n;
    }
    *out = kua__arena_strndup(&in->arena, text, n);
    return *out ? KUA_OK : kua__fail_nomem(n + 1, "an item's name");
}

static kua_status fill_item(kua__reading *r, kua__intake_item *item)
{
    KUA__TRY(read_text(r, KUA__ROLE_TEXT, " ", true, &item->text));
    if (!*item->text) {
        KUA__TRY(read_text(r, KUA__ROLE_TEXT_ELSE, " ", true, &item->text));
    }
    KUA__TRY(read_text(r, KUA__ROLE_NAME, " ", false, &item->name));
    if (!*item->name && *item->text) {
        KUA__TRY(name_from_text(r->in, item->text, &item->name));
    }
    KUA__TRY(read_text(r, KUA__ROLE_CATEGORY, " > ", false, &item->category));
    return read_text(r, KUA__ROLE_BRAND, " ", false, &item->brand);
}

static kua_status take_item(kua__reading *r)
{
    kua__intake *in = r->in;
    kua__field id;
    uint32_t domain, number;
    float price;
    KUA__TRY(kua__reading_id(r, KUA__ROLE_ITEM, &id));
    if (!r->bad) KUA__TRY(kua__reading_domain(r, &domain));
    if (!r->bad) KUA__TRY(kua__reading_number(r, KUA__ROLE_PRICE, NAN, &price));
    if (r->bad) {
        return KUA_OK;
    }
    number = kua__intake_find_item(in, domain, id.text, id.n, NULL);
    if (number == KUA__NO_ID) {
        KUA__TRY(kua__intake_add_item(in, domain, id.text, id.n, &number));
    } else if (in->items[number].read) {
        kua__intake_count(in, KUA__CLEAN_ITEMS, 1, "%.*s", (int)id.n, id.text);
    }
    in->items[number].read = true;
    in->domains[domain].n_items++; /* more than none is all that matters */
    in->items[number].price = price;
    return fill_item(r, &in->items[number]);
}

/* Without a domain for every row there is nowhere to put an item. */
static kua_status take_first_item(kua__reading *r)
{
    const kua__source_columns *source = &r->binding.role[KUA__ROLE_DOMAIN];
    if (!r->in->own->options.domain && source->n == 0 && !source->constant) {
        return kua__fail(KUA_INVALID,
                         "%s: which domain do these items belong to? Name it in the import, or "
                         "map items.domain to a column",
                         r->file->path);
    }
    return take_item(r);
}

kua_status kua__intake_read_items(kua__intake *in, kua__intake_file *file)
{
    return kua__intake_rows(in, file, take_first_item);
}

/* ---- users ---- */

static kua_status keep_attributes(kua__intake *in, uint32_t user, const char *text)
{
    size_t room = in->attributes_room;
    while (in->attributes_room <= user) {
        KUA__TRY(KUA__GROW(&in->attributes, &in->attributes_room, in->attributes_room,
                           "attributes of users"));
        memset(in->attributes + room, 0, (in->attributes_room - room) * sizeof(*in->attributes));
        room = in->attributes_room;
    }
    in->attributes[user] = kua__arena_strndup(&in->arena, text, strlen(text));
    return in->attributes[user] ? KUA_OK : kua__fail_nomem(strlen(text) + 1, "attributes");
}

/* Mapped columns, else all but the id's. */
static json_t *attributes_of(const kua__reading *r, kua_status *st)
{
    const kua__source_columns *mapped = &r->binding.role[KUA__ROLE_ATTRIBUTES];
    size_t n = mapped->n ? mapped->n : kua__table_columns(r->table);
    json_t *object = kua__json_new_object(st);
    for (size_t i = 0; i < n; i++) {
        size_t column = mapped->n ? mapped->column[i] : i;
        kua__field field = r->row.field[column];
        if (column != r->binding.role[KUA__ROLE_USER].column[0] && field.n) {
            kua__json_put(object, kua__table_column(r->table, column),
                          json_stringn(field.text, field.n), st);
        }
    }
    return object;
}

static kua_status take_user(kua__reading *r)
{
    kua__field id;
    uint32_t user;
    KUA__TRY(kua__reading_id(r, KUA__ROLE_USER, &id));
    if (r->bad) {
        return KUA_OK;
    }
    KUA__TRY(kua__ids_add(&r->in->users, id.text, id.n, &user));
    kua_status st = KUA_OK;
    json_t *attributes = attributes_of(r, &st);
    char *text = NULL;
    if (!st) st = kua__json_to_text(attributes, &text);
    if (!st) st = keep_attributes(r->in, user, text);
    kua__free(text);
    json_decref(attributes);
    return st;
}

kua_status kua__intake_read_users(kua__intake *in, kua__intake_file *file)
{
    return kua__intake_rows(in, file, take_user);
}
