/* data/inspect.h - what a shop holds, in numbers: for `kua inspect` and the report. */
#ifndef KUA_DATA_INSPECT_H
#define KUA_DATA_INSPECT_H

#include <jansson.h>

#include "data/shop.h"

/* {"users": n, "items": n, "events": n,
 *  "domains": [{"name", "users", "items", "events", "sparsity", "clock": bool, "first", "last"
 * (dates, null without a clock), "types": {"purchase": n}, "values": {"min", "mean", "max"},
 *     "given_split": bool, "missing": {"name", "text", "category", "price"} (items without),
 *     "text": {"items", "distinct", "mean_chars"}, "per_user": {"mean", "median", "max"},
 *     "per_item": {...}, "cold_items": share without events, "rare_items": share with 1..4,
 *     "cold_users": share of the domain's users with 1..4 events, "repeats": share of events whose
 *     user had the item before}],
 *  "shared_users": [{"a", "b", "users"}]   every pair of domains with at least one, most first }
 * users of a domain are those with events in it; sparsity is 1 - distinct (user, item) pairs over
 * users * items. *out is owned by the caller. */
kua_status kua__shop_inspect(const kua__shop *shop, json_t **out);

#endif
