/* data/shop_build.h - puts a shop together from domains, users, items and events in any order.
 *
 *     kua__shop_builder b;
 *     kua__shop_builder_init(&b);
 *     kua_status st = kua__shop_builder_domain(&b, "beauty", true, &domain);
 *     kua__item soap = {.id = "B004", .domain = domain};
 *     if (!st) st = kua__shop_builder_item(&b, &soap, &item);
 *     if (!st) st = kua__shop_builder_user(&b, "A1YJ", 4, &user);
 *     kua__raw_event bought = {user, item, time, 1, type, part};
 *     if (!st) st = kua__shop_builder_event(&b, &bought);
 *     if (!st) st = kua__shop_builder_finish(&b, &shop);
 *     kua__shop_builder_release(&b);               also after finish
 */
#ifndef KUA_DATA_SHOP_BUILD_H
#define KUA_DATA_SHOP_BUILD_H

#include "data/shop.h"

typedef struct kua__shop_builder {
    kua__shop shop;         /* users, items as they come, domains, strings */
    kua__raw_event *events; /* item: the builder's number */
    size_t n_events, events_room, items_room, domains_room;
} kua__shop_builder;

void kua__shop_builder_init(kua__shop_builder *b);
kua_status kua__shop_builder_domain(kua__shop_builder *b, const char *name, bool has_clock,
                                    uint32_t *out);
kua_status kua__shop_builder_user(kua__shop_builder *b, const char *id, size_t n, uint32_t *out);
/* Copies the strings; NULL or "" for name becomes the id, NULL for text and category "". *out is
 * the number that events of this builder use: the shop's own numbers come with finish. */
kua_status kua__shop_builder_item(kua__shop_builder *b, const kua__item *item, uint32_t *out);
kua_status kua__shop_builder_event(kua__shop_builder *b, const kua__raw_event *event);
/* Items of one domain keep the order in which they were added. */
kua_status kua__shop_builder_finish(kua__shop_builder *b, kua__shop **out);
void kua__shop_builder_release(kua__shop_builder *b);

/* One domain of RecBole atomic files, for tests and benchmarks that need no store. */
typedef struct kua__atomic_domain {
    const char *name, *items, *events; /* name and two paths; items may be NULL */
} kua__atomic_domain;
kua_status kua__shop_from_atomic(const kua__atomic_domain *domains, size_t n, kua__shop **out);

#endif
