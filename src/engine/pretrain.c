/* pretrain.c - pre-training on a workspace's item texts, and on what was bought together.
 *
 * Pairs are neighbours in a user's history within one domain. Only the training part of a
 * leave-one-out split is looked at: vectors that had learned from a test event would make every
 * later evaluation on that split better than it is.
 */
#include <assert.h>
#include <string.h>

#include "engine/engine.h"
#include "kua/pretrain.h"

typedef struct gathered {
    kua_text *text;      /* [n_items] of the shop; empty where the domain is not asked */
    uint32_t (*pair)[2]; /* [n_pairs] */
    size_t n_pairs, room;
} gathered;

static bool is_asked(const char *domains, const char *name)
{
    size_t n = strlen(name);
    for (const char *at = domains; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
        if (!strncmp(at, name, n) && (at[n] == ',' || at[n] == 0)) return true;
    }
    return domains == NULL;
}

static kua_status check_domains(const kua__shop *shop, const char *domains)
{
    for (const char *at = domains; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
        size_t n = strcspn(at, ","), d = 0;
        while (d < shop->n_domains &&
               (strlen(shop->domains[d].name) != n || strncmp(shop->domains[d].name, at, n) != 0))
            d++;
        if (d == shop->n_domains)
            return kua__fail(KUA_NOTFOUND, "no domain '%.*s' in the workspace", (int)n, at);
    }
    return KUA_OK;
}

static kua_status add_pair(gathered *g, size_t a, size_t b)
{
    KUA__TRY(KUA__GROW(&g->pair, &g->room, g->n_pairs, "pairs"));
    g->pair[g->n_pairs][0] = (uint32_t)a;
    g->pair[g->n_pairs++][1] = (uint32_t)b;
    return KUA_OK;
}

static kua_status gather_pairs(gathered *g, const kua__domain *d)
{
    kua__split split;
    const kua__log *log = &d->log;
    KUA__TRY(kua__split_leave_one_out(log, &split));
    kua_status st = KUA_OK;
    for (size_t u = 0; !st && u < log->n_users; u++) {
        for (size_t i = log->user_at[u] + 1; !st && i < split.valid_at[u]; i++) {
            if (log->item[i] != log->item[i - 1])
                st = add_pair(g, d->first_item + log->item[i - 1], d->first_item + log->item[i]);
        }
    }
    kua__split_release(&split);
    return st;
}

static kua_status gather(const kua__shop *shop, const char *domains, bool together, gathered *g)
{
    KUA__TRY(check_domains(shop, domains));
    KUA__TRY(KUA__NEW_ZEROED(&g->text, shop->n_items + 1, "texts"));
    for (size_t d = 0; d < shop->n_domains; d++) {
        const kua__domain *domain = &shop->domains[d];
        if (!is_asked(domains, domain->name)) continue;
        for (size_t i = domain->first_item; i < domain->first_item + domain->n_items; i++)
            g->text[i] = (kua_text){shop->items[i].text, strlen(shop->items[i].text)};
        if (together) KUA__TRY(gather_pairs(g, domain));
    }
    return KUA_OK;
}

kua_status kua_pretrain_workspace(kua_workspace *ws, const char *domains, bool bought_together,
                                  const kua_pretrain_options *options, char **report)
{
    assert(ws && options);
    const kua__shop *shop = NULL;
    gathered g = {0};
    char *folder = NULL;
    kua_pretrain_options o = *options;
    if (report) *report = NULL;
    kua_status st = kua__engine_shop(ws, &shop);
    if (!st) st = gather(shop, domains, bought_together, &g);
    if (!st && bought_together && g.n_pairs == 0)
        st = kua__fail(KUA_NOTFOUND, "no two items follow one another in anybody's history");
    if (!st && o.model) st = kua_model_folder(o.model, &folder);
    if (!st && o.model) o.model = folder;
    kua_pretrain_texts texts = {.text = g.text, .pair = g.pair ? *g.pair : NULL};
    texts.n = shop ? shop->n_items : 0;
    texts.n_pairs = g.n_pairs;
    if (!st) st = kua_pretrain(&texts, &o, ws->monitor, report);
    kua__free(folder);
    kua__free(g.text);
    kua__free(g.pair);
    return st;
}
