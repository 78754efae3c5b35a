/* tiny.h - a shop of a few users and items, written down as a list of events. */
#ifndef TINY_H
#define TINY_H

#include "testlib.h"

#include "data/split.h"
#include "eval/eval.h"

typedef struct tiny_event {
    uint32_t user, item;
    int64_t time;
} tiny_event;

enum { TINY_USERS = 64, TINY_ITEMS = 64, TINY_EVENTS = 1024, TINY_DIM = 2 };

typedef struct tiny {
    kua__shop shop;
    kua__domain domain[2]; /* target, source */
    kua__item item[2 * TINY_ITEMS];
    size_t user_at[2][TINY_USERS + 1];
    uint32_t event_item[2][TINY_EVENTS];
    int64_t time[2][TINY_EVENTS];
    float value[2][TINY_EVENTS];
    uint8_t type[2][TINY_EVENTS];
    size_t valid_at[TINY_USERS], test_at[TINY_USERS], source_end[TINY_USERS];
    kua__split split;
    kua__source source;
    kua__world world;
} tiny;

static const char *const tiny_names[] = {"a", "b", "c", "d", "e", "f", "g", "h"};

/* Events must be sorted by user, then time. */
static inline void tiny_log(tiny *t, int d, size_t n_users, size_t n_items,
                            const tiny_event *events, size_t n)
{
    size_t at = 0;
    for (size_t u = 0; u < n_users; u++) {
        t->user_at[d][u] = at;
        for (; at < n && events[at].user == u; at++) {
            t->event_item[d][at] = events[at].item;
            t->time[d][at] = events[at].time;
            t->value[d][at] = 1;
            t->type[d][at] = KUA__EVENT_PURCHASE;
        }
    }
    assert_int_equal(at, n);
    t->user_at[d][n_users] = at;
    t->domain[d].n_items = n_items;
    t->domain[d].log.n_users = n_users;
    t->domain[d].log.n_items = n_items;
    t->domain[d].log.n_events = n;
    t->domain[d].log.user_at = t->user_at[d];
    t->domain[d].log.item = t->event_item[d];
    t->domain[d].log.time = t->time[d];
    t->domain[d].log.value = t->value[d];
    t->domain[d].log.type = t->type[d];
    t->domain[d].log.has_clock = true;
}

/* A target domain; everything is training until tiny_split_at. */
static inline tiny *tiny_make(size_t n_users, size_t n_items, const tiny_event *events, size_t n)
{
    tiny *t = calloc(1, sizeof(*t));
    assert_non_null(t);
    tiny_log(t, 0, n_users, n_items, events, n);
    t->domain[0].name = "beauty";
    t->domain[1].name = "toys";
    t->shop.domains = t->domain;
    t->shop.n_domains = 2;
    t->shop.items = t->item;
    kua__ids_init(&t->shop.users);
    for (size_t u = 0; u < n_users; u++) {
        uint32_t number;
        char name[16];
        snprintf(name, sizeof(name), "user%zu", u);
        assert_ok(kua__ids_add(&t->shop.users, name, strlen(name), &number));
    }
    for (size_t i = 0; i < 2 * TINY_ITEMS; i++) {
        t->item[i].id = t->item[i].name = i < 8 ? tiny_names[i] : "more";
        t->item[i].text = "";
        t->item[i].category = i % 2 ? "odd > one" : "even";
    }
    t->world.side.shop = &t->shop;
    t->world.train.log = t->world.valid.log = &t->domain[0].log;
    t->world.train.end = t->valid_at;
    t->world.valid.end = t->test_at;
    t->split.n_users = n_users;
    t->split.valid_at = t->valid_at;
    t->split.test_at = t->test_at;
    return t;
}

/* Leave-one-out by hand: the last event is test, the one before validation, users below 3 events
 * are all training. */
static inline void tiny_split_last(tiny *t)
{
    t->split.kind = KUA__SPLIT_LEAVE_ONE_OUT;
    for (size_t u = 0; u < t->split.n_users; u++) {
        size_t end = t->user_at[0][u + 1], n = end - t->user_at[0][u];
        t->valid_at[u] = n < 3 ? end : end - 2;
        t->test_at[u] = n < 3 ? end : end - 1;
    }
}

static inline void tiny_split_time(tiny *t, int64_t valid_time, int64_t test_time)
{
    t->split.kind = KUA__SPLIT_TIME;
    t->split.valid_time = valid_time;
    t->split.test_time = test_time;
    for (size_t u = 0; u < t->split.n_users; u++) {
        t->valid_at[u] = t->test_at[u] = t->user_at[0][u];
        for (size_t e = t->user_at[0][u]; e < t->user_at[0][u + 1]; e++) {
            t->valid_at[u] += t->time[0][e] < valid_time;
            t->test_at[u] += t->time[0][e] < test_time;
        }
    }
}

static inline void tiny_add_source(tiny *t, const tiny_event *events, size_t n)
{
    tiny_log(t, 1, t->split.n_users, 4, events, n);
    t->domain[1].first_item = TINY_ITEMS;
    for (size_t u = 0; u < t->split.n_users; u++)
        t->source_end[u] = t->user_at[1][u + 1];
    t->source = (kua__source){.side = {.shop = &t->shop, .domain = 1},
                              .cut = {.log = &t->domain[1].log, .end = t->source_end}};
    t->world.sources = &t->source;
    t->world.n_sources = 1;
}

static inline void tiny_free(tiny *t)
{
    kua__ids_release(&t->shop.users);
    free(t);
}

#endif
