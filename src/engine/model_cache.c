/* model_cache.c - the cache of models: where it is, what is in it, and whether that is whole.
 *
 * A folder is whole where its .package has the checksum of the pinned package, every file of
 * SHA256SUMS has the checksum stated there, and what kua writes itself is what it would write now.
 */
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "engine/model_files.h"
#include "kua/engine.h"
#include "kua/model.h"
#include "tensor/weights.h"

/* ---- where ---- */

char *kua__cache_folder(void)
{
    const char *cache = getenv("KUA_CACHE"), *xdg = getenv("XDG_CACHE_HOME"),
               *home = getenv("HOME");
    if (cache && *cache) return kua__strdup(cache);
    if (xdg && *xdg) return kua__path_join(xdg, "kua");
    return kua__path_join(home && *home ? home : ".", ".cache/kua");
}

char *kua__cached_model(const char *name)
{
    assert(name);
    char *cache = kua__cache_folder(), *models = cache ? kua__path_join(cache, "models") : NULL;
    char *folder = models ? kua__path_join(models, name) : NULL;
    kua__free(cache);
    kua__free(models);
    return folder;
}

/* A path, or the name of a model? A folder in the way that only has the name is none. */
static kua_status is_path(const char *model, bool *out)
{
    *out = strchr(model, '/') != NULL;
    if (*out || !kua__exists(model)) return KUA_OK;
    char *file = NULL, *config = kua__path_join(model, "config.json");
    if (!config) return kua__fail_nomem(strlen(model) + 16, "a path");
    kua_status st = kua__weights_locate(model, &file);
    *out = st == KUA_OK || kua__exists(config);
    kua__free(file);
    kua__free(config);
    return st == KUA_NOMEM ? st : KUA_OK;
}

kua_status kua_model_folder(const char *model, char **folder)
{
    assert(model && folder);
    bool path = false;
    *folder = NULL;
    KUA__TRY(is_path(model, &path));
    *folder = path ? kua__strdup(model) : kua__cached_model(model);
    if (!*folder) return kua__fail_nomem(strlen(model), "a path");
    if (path || kua__exists(*folder)) return KUA_OK;
    kua_status st = kua__fail(KUA_NOTFOUND,
                              "model '%s': neither a folder or file with a model, nor in the model "
                              "cache (%s)%s%s",
                              model, *folder,
                              kua__pin_find(model) ? "; it comes with: kua model get "
                                                   : "; kua model list tells what there is",
                              kua__pin_find(model) ? model : "");
    kua__free(*folder);
    *folder = NULL;
    return st;
}

/* ---- whole or not ---- */

/* Compares a small file with a text; a missing one differs. */
static kua_status same_text(const char *folder, const char *name, const char *text, bool *same)
{
    kua__map map;
    char *path = kua__path_join(folder, name);
    if (!path) return kua__fail_nomem(strlen(folder), "a path");
    *same = false;
    if (!kua__map_open(&map, path)) {
        *same = map.size == strlen(text) && memcmp(map.data, text, map.size) == 0;
        kua__map_close(&map);
    }
    kua__free(path);
    return KUA_OK;
}

/* One line of SHA256SUMS: "<64 hex digits>  <path>". */
static kua_status check_line(const char *folder, const char *line, size_t n, char why[200])
{
    char hex[KUA__SHA256_HEX], name[256];
    if (n < 67 || n - 66 >= sizeof(name) || line[64] != ' ' || line[65] != ' ') {
        snprintf(why, 200, "a line of SHA256SUMS is damaged");
        return KUA_OK;
    }
    snprintf(name, sizeof(name), "%.*s", (int)(n - 66), line + 66);
    char *path = kua__path_join(folder, name);
    if (!path) return kua__fail_nomem(strlen(folder) + n, "a path");
    kua_status st = kua__sha256_file(path, hex);
    kua__free(path);
    if (st == KUA_NOMEM) return st;
    if (st)
        snprintf(why, 200, "%.120s cannot be read", name);
    else if (memcmp(hex, line, 64) != 0)
        snprintf(why, 200, "%.120s is damaged", name);
    return KUA_OK;
}

static kua_status check_sums(const char *folder, const char *sums, char why[200])
{
    kua__map map;
    KUA__TRY(kua__map_open(&map, sums));
    kua_status st = KUA_OK;
    for (size_t at = 0; !st && !why[0] && at < map.size;) {
        const char *line = map.data + at, *end = memchr(line, '\n', map.size - at);
        size_t n = end ? (size_t)(end - line) : map.size - at;
        st = check_line(folder, line, n, why);
        at += n + 1;
    }
    kua__map_close(&map);
    return st;
}

static kua_status check_version(const kua__pin *pin, const char *folder, char why[200])
{
    char package[KUA__SHA256_HEX + 1];
    bool same = false;
    snprintf(package, sizeof(package), "%s\n", pin->sha256);
    KUA__TRY(same_text(folder, ".package", package, &same));
    for (const kua__pin_text *t = pin->text; same && t->to; t++)
        KUA__TRY(same_text(folder, t->to, t->text, &same));
    if (!same) snprintf(why, 200, "it is of another version");
    return KUA_OK;
}

kua_status kua__pin_check(const kua__pin *pin, const char *folder, kua__folder_state *state,
                          char why[200])
{
    assert(pin && folder && state && why);
    why[0] = 0;
    *state = KUA__FOLDER_ABSENT;
    char *sums = kua__path_join(folder, "SHA256SUMS");
    if (!sums) return kua__fail_nomem(strlen(folder) + 16, "a path");
    kua_status st = KUA_OK;
    if (kua__exists(sums)) {
        st = check_version(pin, folder, why);
        if (!st && !why[0]) st = check_sums(folder, sums, why);
        *state = why[0] ? KUA__FOLDER_BAD : KUA__FOLDER_WHOLE;
    } else if (kua__exists(folder)) {
        snprintf(why, 200, "it has no SHA256SUMS");
        *state = KUA__FOLDER_BAD;
    }
    kua__free(sums);
    return st;
}

/* ---- the list ---- */

static void describe(json_t *row, const char *folder)
{
    bool there = kua__exists(folder);
    json_object_set_new(row, "there", json_boolean(there));
    json_object_set_new(row, "folder", json_string(folder));
    json_object_set_new(row, "bytes",
                        json_integer(there ? (json_int_t)kua__tree_bytes(folder) : 0));
}

static kua_status add_row(json_t *rows, const char *name, json_t *row)
{
    char *folder = kua__cached_model(name);
    if (!folder) {
        json_decref(row);
        return kua__fail_nomem(strlen(name), "a path");
    }
    describe(row, folder);
    json_array_append_new(rows, row);
    kua__free(folder);
    return KUA_OK;
}

static kua_status add_known(json_t *rows)
{
    for (const kua__pin *pin = kua__pins; pin->name; pin++) {
        json_t *row = json_pack("{s:s, s:s, s:s, s:s, s:s, s:I}", "name", pin->name, "about",
                                pin->about, "licence", pin->licence, "package", pin->package,
                                "version", pin->version, "download_bytes", (json_int_t)pin->bytes);
        KUA__TRY(add_row(rows, pin->name, row));
    }
    return KUA_OK;
}

/* What somebody put into the cache. */
static kua_status add_others(json_t *rows, const char *models)
{
    DIR *dir = opendir(models);
    kua_status st = KUA_OK;
    if (!dir) return errno == ENOMEM ? kua__fail_errno("%s", models) : KUA_OK;
    for (const struct dirent *e; !st && (e = readdir(dir));) {
        size_t n = strlen(e->d_name);
        if (e->d_name[0] == '.' || kua__pin_find(e->d_name) || kua__utf8_valid(e->d_name, n) != n)
            continue;
        st = add_row(rows, e->d_name, json_pack("{s:s}", "name", e->d_name));
    }
    closedir(dir);
    return st;
}

kua_status kua__model_report(json_t *json, unsigned long lost_before, char **report)
{
    assert(report);
    *report = NULL;
    kua_status st = kua__json_whole(lost_before, "a report");
    if (!st && !(*report = kua__json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(9))))
        st = kua__fail_nomem(0, "a report");
    json_decref(json);
    return st;
}

static kua_status list_cache(const char *cache, const char *models, char **report)
{
    unsigned long lost = kua__json_lost();
    json_t *rows = json_array();
    kua_status st = add_known(rows);
    if (!st) st = add_others(rows, models);
    if (!st)
        return kua__model_report(json_pack("{s:s, s:o}", "cache", cache, "models", rows), lost,
                                 report);
    json_decref(rows);
    return st;
}

kua_status kua_model_list(char **report)
{
    assert(report);
    *report = NULL;
    char *cache = kua__cache_folder(), *models = cache ? kua__path_join(cache, "models") : NULL;
    kua_status st =
        cache && models ? list_cache(cache, models, report) : kua__fail_nomem(0, "a path");
    kua__free(cache);
    kua__free(models);
    return st;
}
