/* bench/rec.c - quality and time of the simple recommenders on a dataset.
 *
 *     rec FOLDER TARGET[,SOURCE...] [vectors=FOLDER] [split=time=DATE] [only=NAME,...]
 *         [NAME.setting=value ...]
 *     rec ../shared/data/amazon-2014 beauty vectors=vectors
 *
 * FOLDER/NAME/NAME.inter and .item are RecBole atomic files; vectors/NAME.safetensors holds
 * "vectors" [items, dim] in the order of the .item file. Leave-one-out: fitted on training, asked
 * with training and validation, all items ranked, with seen items masked and not. With a time split
 * the settings are chosen on validation and the model is fitted again on all before DATE; ranked
 * are the items sold before; columns are everything that was bought and what was new to the user.
 */
#include <stdio.h>
#include <stdlib.h>

#include "data/shop_build.h"
#include "eval/eval.h"
#include "tensor/safetensors.h"
#include "rec/recommenders.h"

enum { DOMAINS = 8 };

typedef struct setup {
    char *name[DOMAINS];
    size_t n;
    kua__shop *shop;
    kua__split split[DOMAINS];
    kua__safetensors *file[DOMAINS];
    kua__side side[DOMAINS];
    kua__source choosing_source[DOMAINS], final_source[DOMAINS];
    kua__world choosing, final;
    kua__eval_set set[2];
    const char *only;
    int n_given;
    char **given;
} setup;

static void must(kua_status st)
{
    if (!st) return;
    fprintf(stderr, "%s\n", kua_error_message());
    exit(1);
}

static const char *option(int argc, char **argv, const char *name)
{
    size_t n = strlen(name);
    for (int i = 3; i < argc; i++) {
        if (!strncmp(argv[i], name, n) && argv[i][n] == '=') return argv[i] + n + 1;
    }
    return NULL;
}

static void load_shop(setup *s, const char *folder)
{
    kua__atomic_domain domain[DOMAINS];
    static char path[2 * DOMAINS][4096];
    for (size_t i = 0; i < s->n; i++) {
        const char *name = s->name[i];
        snprintf(path[2 * i], sizeof(path[0]), "%s/%s/%s.item", folder, name, name);
        snprintf(path[2 * i + 1], sizeof(path[0]), "%s/%s/%s.inter", folder, name, name);
        domain[i] = (kua__atomic_domain){name, path[2 * i], path[2 * i + 1]};
    }
    must(kua__shop_from_atomic(domain, s->n, &s->shop));
}

static void load_vectors(setup *s, size_t i, const char *folder)
{
    char path[4096];
    const kua__tensor *t = NULL;
    snprintf(path, sizeof(path), "%s/%s.safetensors", folder, s->name[i]);
    must(kua__safetensors_open(path, &s->file[i]));
    t = kua__safetensors_find(s->file[i], "vectors");
    if (!t || t->rank != 2 || t->dim[0] != s->shop->domains[s->side[i].domain].n_items)
        must(kua__fail(KUA_SHAPE, "%s: vectors do not fit the items", path));
    s->side[i].vector = kua__tensor_f32(t);
    s->side[i].dim = t->dim[1];
}

static void make_split(setup *s, size_t i, const char *split)
{
    const kua__log *log = &s->shop->domains[s->side[i].domain].log;
    int64_t test, last = 0;
    if (!split) {
        must(kua__split_leave_one_out(log, &s->split[i]));
        return;
    }
    if (strncmp(split, "time=", 5) || !kua__parse_date(split + 5, strlen(split + 5), &test))
        must(kua__fail(KUA_INVALID, "split is '%s', expected time=DATE", split));
    for (size_t e = 0; e < s->shop->domains[s->side[0].domain].log.n_events; e++)
        last = KUA__MAX(last, s->shop->domains[s->side[0].domain].log.time[e]);
    must(kua__split_time(log, 2 * test - last - 1, test, &s->split[i]));
}

static void make_worlds(setup *s, bool time)
{
    const kua__log *log = &s->shop->domains[s->side[0].domain].log;
    for (size_t i = 1; i < s->n; i++) {
        const kua__log *own = &s->shop->domains[s->side[i].domain].log;
        s->choosing_source[i - 1] = (kua__source){s->side[i], {own, s->split[i].valid_at}};
        s->final_source[i - 1] =
            (kua__source){s->side[i], {own, time ? s->split[i].test_at : s->split[i].valid_at}};
    }
    s->choosing = (kua__world){s->side[0],
                               {log, s->split[0].valid_at},
                               {log, s->split[0].test_at},
                               s->choosing_source,
                               s->n - 1,
                               1};
    s->final = s->choosing;
    if (time) s->final.train = s->final.valid;
    if (time) s->final.sources = s->final_source;
    for (int k = 0; k < 2; k++) {
        kua__eval_options options = {.part = KUA__PART_TEST,
                                     .mask_seen = time ? k == 1 : k == 0,
                                     .new_only = time && k == 1,
                                     .sold_only = time};
        must(kua__eval_set_build(&s->set[k], &s->final, &s->split[0], &options));
    }
}

/* Settings for one recommender: what the first fit chose, then what the command line says. */
static json_t *settings_of(const setup *s, const char *name, const json_t *chosen)
{
    json_t *all = chosen ? json_deep_copy(chosen) : json_object();
    size_t n = strlen(name);
    for (int i = 0; i < s->n_given; i++) {
        char *key = s->given[i], *equals = strchr(key, '=');
        if (strncmp(key, name, n) || key[n] != '.' || !equals) continue;
        char *copy = kua__strndup(key + n + 1, (size_t)(equals - key) - n - 1);
        json_t *value = json_loads(equals + 1, JSON_DECODE_ANY, NULL);
        json_object_set_new(all, copy, value ? value : json_string(equals + 1));
        kua__free(copy);
    }
    return all;
}

static bool is_wanted(const setup *s, const char *name)
{
    size_t n = strlen(name);
    if (!s->only) return true;
    for (const char *p = s->only; *p; p += strcspn(p, ",") + (p[strcspn(p, ",")] == ',')) {
        if (strcspn(p, ",") == n && !strncmp(p, name, n)) return true;
    }
    return false;
}

static void print_chosen(const kua__rec *rec)
{
    char *text = json_dumps(rec->facts, JSON_COMPACT | JSON_REAL_PRECISION(4));
    printf("             %s\n", text ? text : "");
    kua__free(text);
}

static void run_one(const setup *s, const kua__rec_ops *ops)
{
    kua__rec *rec = NULL;
    double seconds[3], value[2][2], start = kua__seconds();
    json_t *settings = settings_of(s, ops->name, NULL);
    bool time = s->split[0].kind == KUA__SPLIT_TIME;
    must(kua__rec_create_from(ops, settings, &rec));
    must(kua__rec_fit(rec, &s->choosing, NULL));
    seconds[0] = kua__seconds() - start;
    print_chosen(rec);
    start = kua__seconds();
    if (time) {
        json_t *chosen = settings_of(s, ops->name, json_object_get(rec->facts, "chosen"));
        kua__rec_free(rec);
        must(kua__rec_create_from(ops, chosen, &rec));
        must(kua__rec_fit(rec, &s->final, NULL));
        json_decref(chosen);
    }
    seconds[1] = kua__seconds() - start;
    start = kua__seconds();
    for (int k = 0; k < 2; k++) {
        kua__eval_result result;
        must(kua__eval_rec(&s->set[k], rec, NULL, &result));
        must(kua__eval_mean(&s->set[k], &result, KUA__RECALL_10, &value[k][0]));
        must(kua__eval_mean(&s->set[k], &result, KUA__NDCG_10, &value[k][1]));
        kua__eval_result_release(&result);
    }
    seconds[2] = kua__seconds() - start;
    printf(
        "%-12s %.4f %.4f   %.4f %.4f   choose %6.2f s, refit %5.2f s, evaluate %5.2f s, peak %zu "
        "MB\n",
        ops->name, value[0][0], value[0][1], value[1][0], value[1][1], seconds[0], seconds[1],
        seconds[2], kua__peak_rss_bytes() >> 20);
    fflush(stdout);
    json_decref(settings);
    kua__rec_free(rec);
}

int main(int argc, char **argv)
{
    static setup s;
    if (argc < 3)
        must(kua__fail(KUA_INVALID, "usage: rec FOLDER TARGET[,SOURCE...] [option=value]"));
    const char *split = option(argc, argv, "split"), *vectors = option(argc, argv, "vectors");
    s.only = option(argc, argv, "only");
    s.given = argv + 3, s.n_given = argc - 3;
    for (char *p = argv[2]; p && s.n < DOMAINS; s.n++) {
        s.name[s.n] = p;
        p = strchr(p, ',');
        if (p) *p++ = 0;
    }
    load_shop(&s, argv[1]);
    for (size_t i = 0; i < s.n; i++) {
        s.side[i].shop = s.shop;
        must(kua__shop_domain(s.shop, s.name[i], &s.side[i].domain));
        if (vectors) load_vectors(&s, i, vectors);
        make_split(&s, i, split);
    }
    make_worlds(&s, split != NULL);
    printf("%s: %zu users asked, R@10 N@10 %s\n", s.name[0], s.set[0].n_users,
           split ? "all   new only" : "seen masked   not");
    for (size_t i = 0; kua__rec_all[i]; i++) {
        const char *name = kua__rec_all[i]->name;
        bool text = kua__streq(name, "textknn"), sequence = kua__streq(name, "sequence");
        if (is_wanted(&s, name) && (!text || vectors) && (!sequence || s.only))
            run_one(&s, kua__rec_all[i]);
    }
    if (s.n > 1 && is_wanted(&s, "crossknn")) run_one(&s, &kua__rec_crossknn);
    return 0;
}
