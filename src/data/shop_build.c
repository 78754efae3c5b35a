/* data/shop_build.c - from items and events in any order to a shop whose domains are consecutive.
 *
 *     items as added      a0 b0 a1 b1 b2        domain of each: 0 1 0 1 1
 *     place of each        0  2  1  3  4        counting sort by domain, stable
 *     shop->items         a0 a1 b0 b1 b2        domains[1].first_item == 2
 *
 * Events are dealt out to their domains in one block, and each domain's part of it becomes a log.
 * Until then they name items by the builder's numbers, because an item's place is known only when
 * all items have come: what a log holds, local numbers, is place - first_item.
 *
 * Ownership: the builder owns all until finish hands it to the shop as a whole (the structs are
 * copied, their memory moves); init then leaves the builder empty, so that release is always right.
 * A failed finish leaves everything with the builder.
 */
#include "data/shop_build.h"

#include <assert.h>
#include <string.h>

enum { ARENA_CHUNK = 1 << 20 };

void kua__shop_builder_init(kua__shop_builder *b)
{
    assert(b);
    *b = (kua__shop_builder){0};
    kua__ids_init(&b->shop.users);
    kua__arena_init(&b->shop.arena, ARENA_CHUNK);
}

static kua_status copy_text(kua__shop_builder *b, const char *text, const char **out)
{
    *out = *text ? kua__arena_strndup(&b->shop.arena, text, strlen(text)) : "";
    return *out ? KUA_OK : kua__fail_nomem(strlen(text) + 1, "a text of the shop");
}

kua_status kua__shop_builder_domain(kua__shop_builder *b, const char *name, bool has_clock,
                                    uint32_t *out)
{
    assert(b && name && out);
    kua__shop *shop = &b->shop;
    KUA__TRY(KUA__GROW(&shop->domains, &b->domains_room, shop->n_domains, "domains"));
    kua__domain *domain = &shop->domains[shop->n_domains];
    *domain = (kua__domain){.log = {.has_clock = has_clock}}; /* n_domains grows when it is whole */
    KUA__TRY(copy_text(b, name, &domain->name));
    *out = (uint32_t)shop->n_domains++;
    return KUA_OK;
}

kua_status kua__shop_builder_user(kua__shop_builder *b, const char *id, size_t n, uint32_t *out)
{
    assert(b && id && out);
    return kua__ids_add(&b->shop.users, id, n, out);
}

kua_status kua__shop_builder_item(kua__shop_builder *b, const kua__item *item, uint32_t *out)
{
    assert(b && item && item->id && out);
    assert(item->domain < b->shop.n_domains);
    kua__shop *shop = &b->shop;
    if (shop->n_items >= KUA__NO_ID) {
        return kua__fail(KUA_INVALID, "a shop holds at most %u items", KUA__NO_ID);
    }
    KUA__TRY(KUA__GROW(&shop->items, &b->items_room, shop->n_items, "items"));
    kua__item *to = &shop->items[shop->n_items];
    *to = *item;
    KUA__TRY(copy_text(b, item->id, &to->id));
    if (item->name && *item->name) {
        KUA__TRY(copy_text(b, item->name, &to->name));
    } else {
        to->name = to->id;
    }
    KUA__TRY(copy_text(b, item->text ? item->text : "", &to->text));
    KUA__TRY(copy_text(b, item->category ? item->category : "", &to->category));
    *out = (uint32_t)shop->n_items++;
    return KUA_OK;
}

kua_status kua__shop_builder_event(kua__shop_builder *b, const kua__raw_event *event)
{
    assert(b && event);
    assert(event->user < b->shop.users.count && event->item < b->shop.n_items);
    assert(event->type < KUA__EVENT_TYPES && event->part <= KUA__PART_TEST);
    KUA__TRY(KUA__GROW(&b->events, &b->events_room, b->n_events, "events"));
    b->events[b->n_events++] = *event;
    return KUA_OK;
}

/* ---- finishing ---- */

/* Sorts the items by domain; place[old number] is the new one. */
static kua_status order_items(kua__shop *shop, uint32_t *place)
{
    kua__item *sorted;
    KUA__TRY(KUA__NEW_ARRAY(&sorted, shop->n_items, "items"));
    for (size_t i = 0; i < shop->n_items; i++) {
        shop->domains[shop->items[i].domain].n_items++;
    }
    size_t at = 0;
    for (size_t d = 0; d < shop->n_domains; d++) {
        shop->domains[d].first_item = at;
        at += shop->domains[d].n_items;
        shop->domains[d].n_items = 0; /* counted again below, as the items find their places */
    }
    for (size_t i = 0; i < shop->n_items; i++) {
        kua__domain *domain = &shop->domains[shop->items[i].domain];
        place[i] = (uint32_t)(domain->first_item + domain->n_items++);
        sorted[place[i]] = shop->items[i];
        assert(place[i] < shop->n_items);
    }
    kua__free(shop->items);
    shop->items = sorted;
    return KUA_OK;
}

/* Deals events out to their domains, with local item numbers: those of domain d are
 * dealt[at[d]] .. dealt[at[d + 1]]. */
static void deal_events(const kua__shop_builder *b, const uint32_t *place, kua__raw_event *dealt,
                        size_t *at)
{
    const kua__shop *shop = &b->shop;
    memset(at, 0, (shop->n_domains + 1) * sizeof(*at));
    for (size_t e = 0; e < b->n_events; e++) {
        at[shop->items[place[b->events[e].item]].domain + 1]++;
    }
    for (size_t d = 0; d < shop->n_domains; d++) {
        at[d + 1] += at[d];
    }
    for (size_t e = 0; e < b->n_events; e++) {
        uint32_t item = place[b->events[e].item], d = shop->items[item].domain;
        dealt[at[d]] = b->events[e];
        dealt[at[d]++].item = item - (uint32_t)shop->domains[d].first_item;
    }
    memmove(at + 1, at, shop->n_domains * sizeof(*at));
    at[0] = 0; /* each offset had run on to where the next domain begins */
    assert(at[shop->n_domains] == b->n_events);
}

static kua_status build_logs(kua__shop_builder *b, const uint32_t *place)
{
    kua__shop *shop = &b->shop;
    kua__raw_event *dealt = NULL;
    size_t *at = NULL;
    kua_status st = KUA__NEW_ARRAY(&dealt, b->n_events, "events");
    if (!st) st = KUA__NEW_ARRAY(&at, shop->n_domains + 1, "offsets of domains");
    if (!st) {
        deal_events(b, place, dealt, at);
        kua__free(b->events); /* before the logs: they need the room */
        b->events = NULL;
        b->events_room = 0;
    }
    for (size_t d = 0; !st && d < shop->n_domains; d++) {
        kua__domain *domain = &shop->domains[d];
        st = kua__log_build(&domain->log, shop->users.count, domain->n_items, dealt + at[d],
                            at[d + 1] - at[d], domain->log.has_clock);
    }
    kua__free(at);
    kua__free(dealt);
    return st;
}

kua_status kua__shop_builder_finish(kua__shop_builder *b, kua__shop **out)
{
    assert(b && out);
    uint32_t *place = NULL;
    *out = NULL;
    kua__shop *shop;
    KUA__TRY(KUA__NEW_ZEROED(&shop, 1, "a shop"));
    kua_status st = KUA__NEW_ARRAY(&place, b->shop.n_items, "places of items");
    if (!st) st = order_items(&b->shop, place);
    if (!st) st = build_logs(b, place);
    kua__free(place);
    if (st) {
        kua__free(shop);
        return st;
    }
    *shop = b->shop;
    kua__shop_builder_init(b);
    *out = shop;
    return KUA_OK;
}

void kua__shop_builder_release(kua__shop_builder *b)
{
    assert(b);
    for (size_t d = 0; d < b->shop.n_domains; d++) {
        kua__log_release(&b->shop.domains[d].log);
    }
    kua__free(b->shop.domains);
    kua__free(b->shop.items);
    kua__ids_release(&b->shop.users);
    kua__arena_release(&b->shop.arena);
    kua__free(b->events);
    *b = (kua__shop_builder){0};
}
