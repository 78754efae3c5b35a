/* data/shop_atomic.c - RecBole atomic files straight into a shop in memory.
 *
 * Tests and benchmarks read the research data this way, without a store. Columns have the order of
 * those files: user_id, item_id, timestamp; and item_id, title, categories, keywords. A title and
 * its categories make the text, with " > " replaced by a space; the keywords where both are empty.
 */
#include "data/shop_build.h"

#include <assert.h>
#include <string.h>

enum { MAX_COLUMNS = 16 };

typedef struct line {
    const char *field[MAX_COLUMNS];
    size_t len[MAX_COLUMNS], n;
} line;

/* The next line of the file, cut at tabs; false at the end. */
static bool next_line(const char **at, const char *end, line *out)
{
    if (*at == end) {
        return false;
    }
    const char *stop = memchr(*at, '\n', (size_t)(end - *at));
    stop = stop ? stop : end;
    for (out->n = 0; out->n < MAX_COLUMNS; out->n++) {
        const char *tab = memchr(*at, '\t', (size_t)(stop - *at));
        out->field[out->n] = *at;
        out->len[out->n] = (size_t)((tab ? tab : stop) - *at);
        if (!tab) {
            out->n++;
            break;
        }
        *at = tab + 1;
    }
    *at = stop == end ? end : stop + 1;
    return true;
}

static void add_flat(kua__buf *text, const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (n - i >= 3 && memcmp(s + i, " > ", 3) == 0) {
            kua__buf_puts(text, " ");
            i += 2;
        } else {
            kua__buf_add(text, s + i, 1);
        }
    }
}

/* id\0name\0text\0category\0 into buf, and pointers to them into item. */
static kua_status make_item(const line *l, kua__buf *buf, kua__item *item)
{
    size_t at[4];
    const size_t title = l->n > 1 ? l->len[1] : 0, category = l->n > 2 ? l->len[2] : 0;
    kua__buf_clear(buf);
    for (int part = 0; part < 4; part++) {
        at[part] = buf->len;
        if (part == 0) kua__buf_add(buf, l->field[0], l->len[0]);
        if (part == 1 && title) kua__buf_add(buf, l->field[1], title);
        if (part == 2 && title) add_flat(buf, l->field[1], title);
        if (part == 2 && title && category) kua__buf_puts(buf, " ");
        if (part == 2 && category) add_flat(buf, l->field[2], category);
        if (part == 2 && !title && !category && l->n > 3) add_flat(buf, l->field[3], l->len[3]);
        if (part == 3 && category) kua__buf_add(buf, l->field[2], category);
        kua__buf_add(buf, "", 1);
    }
    KUA__TRY(kua__buf_status(buf));
    item->id = buf->data + at[0];
    item->name = buf->data + at[1];
    item->text = buf->data + at[2];
    item->category = buf->data + at[3];
    return KUA_OK;
}

static kua_status add_item(kua__shop_builder *b, kua__ids *ids, uint32_t first,
                           const kua__item *item)
{
    uint32_t number, added;
    KUA__TRY(kua__ids_add(ids, item->id, strlen(item->id), &number));
    if (first + number < b->shop.n_items) {
        return KUA_OK; /* known already */
    }
    KUA__TRY(kua__shop_builder_item(b, item, &added));
    assert(added == first + number);
    return KUA_OK;
}

static kua_status read_items(kua__shop_builder *b, kua__ids *ids, uint32_t domain, const char *path)
{
    kua__map map;
    kua__buf buf = {0};
    line l;
    const uint32_t first = (uint32_t)b->shop.n_items;
    KUA__TRY(kua__map_open(&map, path));
    const char *at = map.data, *end = map.data + map.size;
    bool header = next_line(&at, end, &l);
    kua_status st = header ? KUA_OK : kua__fail(KUA_FORMAT, "%s: is empty", path);
    while (!st && next_line(&at, end, &l)) {
        kua__item item = {.domain = domain, .price = __builtin_nanf("")};
        st = make_item(&l, &buf, &item);
        if (!st) st = add_item(b, ids, first, &item);
    }
    kua__buf_release(&buf);
    kua__map_close(&map);
    return st;
}

static kua_status add_event(kua__shop_builder *b, kua__ids *ids, uint32_t domain, uint32_t first,
                            const line *l, const char *path)
{
    kua__raw_event event = {.value = 1, .type = KUA__EVENT_PURCHASE};
    double time;
    if (l->n < 3 || !kua__parse_double(l->field[2], l->len[2], &time)) {
        return kua__fail(KUA_FORMAT, "%s: a line is not user, item, timestamp", path);
    }
    kua__item item = {.domain = domain, .price = __builtin_nanf("")};
    char id[256];
    snprintf(id, sizeof(id), "%.*s", (int)l->len[1], l->field[1]);
    item.id = id;
    KUA__TRY(add_item(b, ids, first, &item));
    KUA__TRY(kua__shop_builder_user(b, l->field[0], l->len[0], &event.user));
    event.item = first + kua__ids_find(ids, id, strlen(id));
    event.time = (int64_t)time;
    return kua__shop_builder_event(b, &event);
}

static kua_status read_events(kua__shop_builder *b, kua__ids *ids, uint32_t domain, uint32_t first,
                              const char *path)
{
    kua__map map;
    line l;
    KUA__TRY(kua__map_open(&map, path));
    const char *at = map.data, *end = map.data + map.size;
    bool header = next_line(&at, end, &l);
    kua_status st = header ? KUA_OK : kua__fail(KUA_FORMAT, "%s: is empty", path);
    while (!st && next_line(&at, end, &l)) {
        st = add_event(b, ids, domain, first, &l, path);
    }
    kua__map_close(&map);
    return st;
}

static kua_status read_domain(kua__shop_builder *b, const kua__atomic_domain *domain)
{
    kua__ids ids;
    uint32_t number, first = (uint32_t)b->shop.n_items;
    kua__ids_init(&ids);
    kua_status st = kua__shop_builder_domain(b, domain->name, false, &number);
    if (!st && domain->items) st = read_items(b, &ids, number, domain->items);
    if (!st) st = read_events(b, &ids, number, first, domain->events);
    kua__ids_release(&ids);
    return st;
}

kua_status kua__shop_from_atomic(const kua__atomic_domain *domains, size_t n, kua__shop **out)
{
    assert((domains || n == 0) && out);
    kua__shop_builder b;
    kua_status st = KUA_OK;
    *out = NULL;
    kua__shop_builder_init(&b);
    for (size_t d = 0; !st && d < n; d++) {
        st = read_domain(&b, &domains[d]);
    }
    if (!st) st = kua__shop_builder_finish(&b, out);
    kua__shop_builder_release(&b);
    return st;
}
