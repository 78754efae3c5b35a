/* bench/import.c - import, repeat and load of 1.5 million events.
 *
 *     build/bench/import [EVENTS]
 *
 * The shop is made up: 50,000 items in 10 departments, 5,000 users, popular items first; its files
 * and its store lie in a temporary folder that is removed afterwards.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "store/store.h"

enum { ITEMS = 50000, DEPARTMENTS = 10, USERS = 5000 };

static void check(kua_status st)
{
    if (st) {
        fprintf(stderr, "%s\n", kua_error_message());
        exit(1);
    }
}

static void write_items(const char *path)
{
    FILE *f = fopen(path, "w");
    if (!f) exit(1);
    fprintf(f, "item_id\ttitle\tdomain\tcategories\n");
    for (int i = 0; i < ITEMS; i++) {
        int d = i % DEPARTMENTS;
        fprintf(f, "item%d\tA thing of kind %d, size %d\tdepartment%d\tShelf %d > Row %d\n", i,
                i % 977, i % 31, d, d, i % 53);
    }
    fclose(f);
}

static void write_events(const char *path, int n)
{
    FILE *f = fopen(path, "w");
    kua__rng rng = kua__rng_make(1, 1);
    if (!f) exit(1);
    fprintf(f, "user_id\titem_id\ttimestamp\trating\n");
    for (int i = 0; i < n; i++) {
        float skew = kua__rng_uniform(&rng);
        fprintf(f, "user%u\titem%d\t%d\t%d\n", kua__rng_below(&rng, USERS),
                (int)(skew * skew * ITEMS), 1500000000 + i * 20, 1 + i % 5);
    }
    fclose(f);
}

static void import(kua__store *store, const char *items, const char *events, const char *what,
                   int n)
{
    json_t *report = NULL;
    json_t *settings = json_pack("{s:i}", "bot_events_per_day", what[0] == 'i' ? 0 : 1000000);
    double start = kua__seconds();
    check(kua__store_import(
        store, &(kua__import_options){.items = items, .events = events, .settings = settings}, NULL,
        &report));
    double took = kua__seconds() - start;
    printf("%-8s %5.2f s  %8.0f rows/s  %8lld events added\n", what, took, n / took,
           (long long)json_integer_value(json_object_get(report, "events")));
    json_decref(report);
    json_decref(settings);
}

int main(int argc, char **argv)
{
    int64_t n = 1500000;
    char folder[] = "/tmp/kua-bench-XXXXXX";
    if (argc > 1 && !kua__parse_i64(argv[1], strlen(argv[1]), &n)) return 2;
    if (!mkdtemp(folder)) return 1;
    char *items = kua__path_join(folder, "items.tsv"),
         *events = kua__path_join(folder, "events.tsv"), *db = kua__path_join(folder, "kua.db");
    write_items(items);
    write_events(events, (int)n);
    kua__store *store = NULL;
    check(kua__store_create(db));
    check(kua__store_open(db, &store));
    import(store, items, events, "import", (int)n);
    import(store, items, events, "repeat", (int)n);
    kua__shop *shop = NULL;
    double start = kua__seconds();
    check(kua__store_load_shop(store, NULL, 0, &shop));
    printf("%-8s %5.2f s\npeak memory %.0f MB\n", "load", kua__seconds() - start,
           (double)kua__peak_rss_bytes() / 1e6);
    kua__shop_free(shop);
    kua__store_close(store);
    check(kua__remove_tree(folder));
    kua__free(items);
    kua__free(events);
    kua__free(db);
    return 0;
}
