/* bench/sequence.c - the sequential recommender on a dataset: quality, time an epoch, memory.
 *
 *     sequence FOLDER NAME [VECTORS.safetensors|-] [setting=value ...] [MORE.safetensors ...]
 *     sequence ../shared/data/amazon-2014 beauty vectors/beauty.safetensors epochs=3
 *
 * Reads FOLDER/NAME/NAME.inter and .item by itself (first two columns and the time), leaves one
 * event of each user out for validation and one for test, ranks all items with seen ones masked.
 * VECTORS holds "vectors" [items, dim] in the order of the .item file; MORE are other domains', for
 * the whitening only.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "data/split.h"
#include "rec/sequence.h"
#include "tensor/safetensors.h"

enum { BLOCK = 512, TOP = 10, SOURCES = 8 };

typedef struct dataset {
    kua__ids users, items;
    kua__raw_event *event;
    size_t n, capacity;
    kua__log log;
    kua__split split;
    float *vector;
    size_t dim;
} dataset;

static const char *field_end(const char *p, const char *end)
{
    while (p < end && *p != '\t' && *p != '\n' && *p != '\r')
        p++;
    return p;
}

static const char *next_line(const char *p, const char *end)
{
    const char *newline = memchr(p, '\n', (size_t)(end - p));
    return newline ? newline + 1 : end;
}

static kua_status read_items(dataset *d, const char *path)
{
    kua__map map;
    KUA__TRY(kua__map_open(&map, path));
    const char *end = map.data + map.size;
    for (const char *p = next_line(map.data, end); p < end; p = next_line(p, end)) {
        uint32_t number;
        KUA__TRY(kua__ids_add(&d->items, p, (size_t)(field_end(p, end) - p), &number));
    }
    kua__map_close(&map);
    return KUA_OK;
}

static kua_status read_events(dataset *d, const char *path)
{
    kua__map map;
    KUA__TRY(kua__map_open(&map, path));
    const char *end = map.data + map.size;
    for (const char *p = next_line(map.data, end); p < end; p = next_line(p, end)) {
        const char *user_end = field_end(p, end), *item_end = field_end(user_end + 1, end);
        kua__raw_event e = {.value = 1, .type = KUA__EVENT_PURCHASE};
        KUA__TRY(kua__ids_add(&d->users, p, (size_t)(user_end - p), &e.user));
        KUA__TRY(kua__ids_add(&d->items, user_end + 1, (size_t)(item_end - user_end - 1), &e.item));
        e.time = (int64_t)strtod(item_end + 1, NULL);
        KUA__TRY(KUA__GROW(&d->event, &d->capacity, d->n, "events"));
        d->event[d->n++] = e;
    }
    kua__map_close(&map);
    KUA__TRY(kua__log_build(&d->log, d->users.count, d->items.count, d->event, d->n, false));
    return kua__split_leave_one_out(&d->log, &d->split);
}

static kua_status read_vectors(dataset *d, const char *path)
{
    kua__safetensors *file = NULL;
    if (kua__streq(path, "-")) return KUA_OK;
    KUA__TRY(kua__safetensors_open(path, &file));
    const kua__tensor *t = kua__safetensors_find(file, "vectors");
    if (!t || t->rank != 2 || t->dim[0] != d->items.count)
        return kua__fail(KUA_SHAPE, "%s: no vectors for %zu items", path, d->items.count);
    d->dim = t->dim[1];
    KUA__TRY(KUA__NEW_ARRAY(&d->vector, t->count, "vectors"));
    kua__tensor_to_f32(t, 0, t->count, d->vector);
    kua__safetensors_close(file);
    return KUA_OK;
}

static kua_status read_dataset(dataset *d, const char *folder, const char *name,
                               const char *vectors)
{
    char path[4096];
    kua__ids_init(&d->users);
    kua__ids_init(&d->items);
    snprintf(path, sizeof(path), "%s/%s/%s.item", folder, name, name);
    KUA__TRY(read_items(d, path));
    snprintf(path, sizeof(path), "%s/%s/%s.inter", folder, name, name);
    KUA__TRY(read_events(d, path));
    return read_vectors(d, vectors);
}

/* The defaults, with "name=value" of the command line over them. */
static json_t *settings_of(int n, char **given)
{
    json_t *described = json_loads(kua__rec_sequence.settings, 0, NULL), *all = json_object(), *e;
    const char *key;
    json_object_foreach(described, key, e) json_object_set(all, key, json_array_get(e, 0));
    for (int i = 0; i < n; i++) {
        char *equals = strchr(given[i], '=');
        if (!equals) continue;
        *equals = 0;
        json_t *value = json_loads(equals + 1, JSON_DECODE_ANY, NULL);
        json_object_set_new(all, given[i], value ? value : json_string(equals + 1));
    }
    json_decref(described);
    return all;
}

static void log_line(void *user, kua_log_level level, const char *text)
{
    (void)user;
    (void)level;
    printf("%s\n", text);
    fflush(stdout);
}

typedef struct measures {
    double recall[2], ndcg[2]; /* masked, not masked */
    size_t n;
} measures;

static void measure(const dataset *d, uint32_t user, const float *scores, measures *m)
{
    size_t begin = d->log.user_at[user], at = d->split.test_at[user];
    uint32_t target = d->log.item[at];
    double better = 0, seen = 0;
    bool repeated = false;
    for (size_t i = 0; i < d->log.n_items; i++)
        better += scores[i] > scores[target];
    for (size_t i = begin; i < at; i++) {
        bool counted = false;
        for (size_t k = begin; k < i; k++)
            counted |= d->log.item[k] == d->log.item[i];
        repeated |= d->log.item[i] == target;
        seen += !counted && scores[d->log.item[i]] > scores[target];
    }
    double rank[2] = {repeated ? 1e9 : better - seen, better};
    for (int k = 0; k < 2; k++) {
        if (rank[k] >= TOP) continue;
        m->recall[k] += 1;
        m->ndcg[k] += 1 / log2(rank[k] + 2);
    }
    m->n++;
}

static kua_status evaluate(const dataset *d, const kua__rec *rec)
{
    measures m = {{0}, {0}, 0};
    kua__query query[BLOCK];
    float *scores = NULL;
    KUA__TRY(KUA__NEW_ARRAY(&scores, BLOCK * d->log.n_items, "scores"));
    kua__cut cut = {&d->log, d->split.test_at};
    double begun = kua__seconds();
    for (size_t u = 0; u < d->log.n_users;) {
        size_t n = 0;
        for (; u < d->log.n_users && n < BLOCK; u++) {
            if (d->split.test_at[u] < d->log.user_at[u + 1])
                query[n++] =
                    (kua__query){(uint32_t)u, 0, kua__cut_history(&cut, (uint32_t)u), NULL};
        }
        KUA__TRY(rec->ops->score(rec, query, n, scores));
        for (size_t i = 0; i < n; i++)
            measure(d, query[i].user, scores + i * d->log.n_items, &m);
    }
    double n = (double)m.n;
    printf("test: %zu users, masked R@10 %.4f N@10 %.4f, unmasked R@10 %.4f N@10 %.4f, %.2f s\n",
           m.n, m.recall[0] / n, m.ndcg[0] / n, m.recall[1] / n, m.ndcg[1] / n,
           kua__seconds() - begun);
    kua__free(scores);
    return KUA_OK;
}

/* A domain of which nothing but the items' vectors is known. */
static kua_status read_source(const char *path, kua__log *log, kua__source *out)
{
    dataset d = {0};
    kua__safetensors *file = NULL;
    KUA__TRY(kua__safetensors_open(path, &file));
    const kua__tensor *t = kua__safetensors_find(file, "vectors");
    if (!t || t->rank != 2) return kua__fail(KUA_SHAPE, "%s: no vectors", path);
    d.items.count = t->dim[0];
    KUA__TRY(read_vectors(&d, path));
    *log = (kua__log){.n_items = t->dim[0]};
    *out = (kua__source){.side = {.vector = d.vector, .dim = d.dim}, .cut = {log, NULL}};
    kua__safetensors_close(file);
    return KUA_OK;
}

static kua_status run(int argc, char **argv)
{
    dataset d = {0};
    kua__log source_log[SOURCES];
    kua__source source[SOURCES];
    size_t n_sources = 0;
    for (int i = 4; i < argc && n_sources < SOURCES; i++) {
        if (!kua__has_suffix(argv[i], ".safetensors")) continue;
        KUA__TRY(read_source(argv[i], &source_log[n_sources], &source[n_sources]));
        n_sources++;
    }
    const char *vectors = argc > 3 && !strchr(argv[3], '=') ? argv[3] : "-";
    KUA__TRY(read_dataset(&d, argv[1], argv[2], vectors));
    printf("%s: %zu users, %zu items, %zu events, vectors of %zu, %d threads\n", argv[2],
           d.log.n_users, d.log.n_items, d.n, d.dim, kua__threads());
    json_t *settings = settings_of(argc - 3, argv + 3);
    json_t *seed = json_object_get(settings, "seed");
    kua__world world = {.side = {.vector = d.vector, .dim = d.dim},
                        .train = {&d.log, d.split.valid_at},
                        .valid = {&d.log, d.split.test_at},
                        .sources = source,
                        .n_sources = n_sources,
                        .seed = seed ? (uint64_t)json_integer_value(seed) : 1};
    kua_monitor monitor = {.log = log_line};
    kua__rec *rec = NULL;
    KUA__TRY(kua__rec_sequence.create(settings, &rec));
    double begun = kua__seconds();
    KUA__TRY(kua__rec_sequence.fit(rec, &world, &monitor));
    printf("fit: %.1f s, best epoch %lld, validation %.4f, peak memory %.0f MB\n",
           kua__seconds() - begun,
           (long long)json_integer_value(json_object_get(rec->facts, "epochs")),
           json_real_value(json_object_get(rec->facts, "valid_ndcg@10")),
           (double)kua__peak_rss_bytes() / 1e6);
    KUA__TRY(evaluate(&d, rec));
    kua__rec_sequence.free(rec);
    json_decref(settings);
    return KUA_OK;
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr,
                "usage: sequence FOLDER NAME [VECTORS.safetensors|-] [setting=value ...]\n");
        return 2;
    }
    if (run(argc, argv) == KUA_OK) return 0;
    fprintf(stderr, "%s\n", kua_error_message());
    return 1;
}
