/* import_items.c - the catalogue: rows of an items file into items with cleaned texts. */
#include "store/import.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "data/clean.h"

/* ---- numbers ------------------------------------------------------------------------------------------------------------ */

static kua_status plain_add(importer *im, const char *key, size_t n, uint32_t item)
{
    uint32_t id = 0;
    KUA__TRY(kua__ids_add(&im->plain, key, n, &id));
    if (id + 1 < im->plain.count) return KUA_OK; /* known: the first item with this key counts */
    KUA__TRY(KUA__GROW(&im->plain_item, &im->plain_capacity, id, "items by key"));
    im->plain_item[id] = item;
    return KUA_OK;
}

kua_status kua__import_item_number(importer *im, uint32_t domain, const char *key, size_t n, uint32_t *out)
{
    char name[512];
    if (n > 400) return kua__fail(KUA_FORMAT, "item id '%.40s...' has %zu bytes, at most 400 are allowed", key, n);
    int length = snprintf(name, sizeof(name), "%u/%.*s", domain, (int)n, key);
    size_t before = im->keys.count;
    KUA__TRY(kua__ids_add(&im->keys, name, (size_t)length, out));
    if (im->keys.count == before) return KUA_OK;
    KUA__TRY(KUA__GROW(&im->item, &im->item_capacity, im->n_items, "items"));
    const char *copy = kua__arena_strndup(&im->arena, key, n);
    if (!copy) return kua__fail_nomem(n, "an item's id");
    assert(*out == im->n_items);
    im->item[im->n_items++] = (import_item){.key = copy, .name = "", .text = "", .category = "", .domain = domain, .price = NAN, .is_new = true};
    return plain_add(im, key, n, *out);
}

static kua_status known_domains(importer *im)
{
    sqlite3_stmt *q = NULL;
    bool row = false;
    uint32_t id = 0;
    kua_status st = kua__db_prepare(im->store, "SELECT name FROM domains ORDER BY id", &q);
    while (!st && !(st = kua__db_step(im->store, q, &row)) && row) {
        const char *name = kua__db_text(q, 0);
        st = kua__ids_add(&im->domains, name, strlen(name), &id);
    }
    sqlite3_finalize(q);
    return st;
}

kua_status kua__import_known(importer *im)
{
    sqlite3_stmt *q = NULL;
    bool row = false;
    uint32_t id = 0;
    KUA__TRY(known_domains(im));
    kua_status st = kua__db_prepare(im->store, "SELECT d.name, i.key FROM items i JOIN domains d ON d.id = i.domain ORDER BY i.id", &q);
    while (!st && !(st = kua__db_step(im->store, q, &row)) && row) {
        const char *domain = kua__db_text(q, 0), *key = kua__db_text(q, 1);
        uint32_t d = kua__ids_find(&im->domains, domain, strlen(domain));
        st = kua__import_item_number(im, d, key, strlen(key), &id);
        if (!st) im->item[id].is_new = false;
    }
    sqlite3_finalize(q);
    im->old_items = im->n_items;
    q = NULL;
    if (!st) st = kua__db_prepare(im->store, "SELECT key FROM users ORDER BY id", &q);
    while (!st && !(st = kua__db_step(im->store, q, &row)) && row) {
        const char *key = kua__db_text(q, 0);
        st = kua__ids_add(&im->users, key, strlen(key), &id);
    }
    sqlite3_finalize(q);
    im->old_users = im->users.count;
    return st;
}

/* ---- rows ----------------------------------------------------------------------------------------------------------------- */

void kua__import_reject(importer *im, const kua__reader *reader, const char *why)
{
    kua__field raw = kua__reader_raw(reader);
    im->removed[IMPORT_BAD_LINE]++;
    if (im->rejects.len > (64u << 20)) return; /* enough to see what is wrong */
    kua__buf_printf(&im->rejects, "%s:%llu: %s\t", kua__reader_name(reader), (unsigned long long)kua__reader_line(reader), why);
    kua__buf_add(&im->rejects, raw.text, KUA__MIN(raw.n, (size_t)4096));
    kua__buf_puts(&im->rejects, "\n");
}

kua_status kua__import_share(const importer *im, const kua__reader *reader, uint64_t rows, uint64_t bad)
{
    if ((double)bad <= im->options->max_bad_share * (double)rows) return KUA_OK;
    const char *first = im->rejects.data ? im->rejects.data : "";
    return kua__fail(KUA_FORMAT, "%s: %llu of %llu lines cannot be read, more than the allowed share of %g; the first: %.*s",
                     kua__reader_name(reader), (unsigned long long)bad, (unsigned long long)rows, im->options->max_bad_share,
                     (int)strcspn(first, "\t\n"), first);
}

kua_status kua__import_text(importer *im, const kua__reader *reader, const kua__binding *binding, const char *between)
{
    kua__buf_clear(&im->scratch);
    if (binding->constant) {
        kua__buf_puts(&im->scratch, binding->constant);
        return kua__buf_status(&im->scratch);
    }
    for (int i = 0; i < binding->n_columns; i++) {
        kua__field f = kua__reader_field(reader, binding->column[i]);
        kua__buf_clear(&im->scratch2);
        KUA__TRY(kua__clean_text(f.text, f.n, &im->scratch2));
        if (!im->scratch2.len) continue;
        if (im->scratch.len) kua__buf_puts(&im->scratch, between);
        kua__buf_add(&im->scratch, im->scratch2.data, im->scratch2.len);
    }
    return kua__buf_status(&im->scratch);
}

static kua_status keep_text(importer *im, const char **out)
{
    *out = kua__arena_strndup(&im->arena, im->scratch.len ? im->scratch.data : "", im->scratch.len);
    return *out ? KUA_OK : kua__fail_nomem(im->scratch.len, "an item's text");
}

/* Without a mapping: name and category as one text (path separators as blanks), keywords where both are empty. */
static kua_status usual_text(importer *im, const kua__reader *reader, const import_item *item, int keywords)
{
    kua__buf_clear(&im->scratch);
    kua__buf_puts(&im->scratch, item->name);
    for (const char *p = item->category; *p;) {
        const char *next = strstr(p, " > ");
        if (im->scratch.len) kua__buf_puts(&im->scratch, " ");
        kua__buf_add(&im->scratch, p, next ? (size_t)(next - p) : strlen(p));
        p = next ? next + 3 : p + strlen(p);
    }
    if (im->scratch.len) return kua__buf_status(&im->scratch);
    kua__field f = kua__reader_field(reader, keywords);
    return kua__clean_text(f.text, f.n, &im->scratch);
}

static kua_status fill_item(importer *im, const kua__reader *r, const kua__bindings *b, int keywords, import_item *item)
{
    KUA__TRY(kua__import_text(im, r, &b->role[KUA__ROLE_NAME], " "));
    KUA__TRY(keep_text(im, &item->name));
    KUA__TRY(kua__import_text(im, r, &b->role[KUA__ROLE_CATEGORY], " > "));
    KUA__TRY(keep_text(im, &item->category));
    const kua__binding *text = &b->role[KUA__ROLE_TEXT];
    KUA__TRY(text->n_columns ? kua__import_text(im, r, text, " ") : usual_text(im, r, item, keywords));
    KUA__TRY(keep_text(im, &item->text));
    if (!*item->name) item->name = item->text;
    const kua__binding *price = &b->role[KUA__ROLE_PRICE];
    kua__field f = kua__reader_field(r, price->n_columns ? price->column[0] : -1);
    if (!kua__parse_double(f.text, f.n, &item->price)) item->price = NAN;
    return KUA_OK;
}

static kua_status item_row(importer *im, const kua__reader *r, const kua__bindings *b, int keywords, const char **bad)
{
    uint32_t domain = 0, number = 0;
    kua__field key = kua__reader_field(r, b->role[KUA__ROLE_ITEM].column[0]);
    if (!key.n) {
        *bad = "the item's id is empty";
        return KUA_OK;
    }
    if (im->options->domain) {
        kua__buf_clear(&im->scratch);
        kua__buf_puts(&im->scratch, im->options->domain);
    } else {
        KUA__TRY(kua__import_text(im, r, &b->role[KUA__ROLE_DOMAIN], " "));
    }
    if (!im->scratch.len) {
        *bad = "the domain is empty";
        return KUA_OK;
    }
    KUA__TRY(kua__ids_add(&im->domains, im->scratch.data, im->scratch.len, &domain));
    KUA__TRY(kua__import_item_number(im, domain, key.text, key.n, &number));
    return fill_item(im, r, b, keywords, &im->item[number]);
}

kua_status kua__import_items(importer *im, const char *path)
{
    kua__reader *r = NULL;
    kua__bindings b;
    bool more = true;
    uint64_t rows = 0, bad_rows = 0;
    kua_status st = kua__reader_open(path, &r);
    if (st) return st;
    KUA__GOTO(st, kua__mapping_bind(im->options->mapping, "items", r, &b));
    if (!im->options->domain && !b.role[KUA__ROLE_DOMAIN].n_columns && !b.role[KUA__ROLE_DOMAIN].constant) {
        KUA__GOTO(st, kua__fail(KUA_INVALID, "%s: no column tells the domain; give --domain NAME or map items.domain", path));
    }
    int keywords = kua__reader_column(r, "keywords");
    for (;;) {
        const char *bad = NULL;
        KUA__GOTO(st, kua__reader_next(r, &more, &bad));
        if (!more) break;
        rows++;
        if (!bad) KUA__GOTO(st, item_row(im, r, &b, keywords, &bad));
        if (bad) {
            kua__import_reject(im, r, bad);
            bad_rows++;
        }
        if (rows % 4096 == 0) KUA__GOTO(st, kua__progress(im->monitor, "read items", kua__reader_offset(r), kua__reader_size(r)));
    }
    im->lines += rows;
    st = kua__import_share(im, r, rows, bad_rows);
done:
    kua__reader_close(r);
    return st;
}

kua_status kua__import_users(importer *im, const char *path)
{
    kua__reader *r = NULL;
    kua__bindings b;
    bool more = true;
    KUA__TRY(kua__reader_open(path, &r));
    kua_status st = kua__mapping_bind(im->options->mapping, "users", r, &b);
    while (!st) {
        const char *bad = NULL;
        uint32_t id = 0;
        st = kua__reader_next(r, &more, &bad);
        if (st || !more) break;
        kua__field key = kua__reader_field(r, b.role[KUA__ROLE_USER].column[0]);
        if (!bad && !key.n) bad = "the user's id is empty";
        if (bad) kua__import_reject(im, r, bad);
        else st = kua__ids_add(&im->users, key.text, key.n, &id);
        im->lines++;
    }
    kua__reader_close(r);
    return st;
}
