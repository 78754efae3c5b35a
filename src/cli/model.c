/* model.c - the commands that make and keep models: train, transfer, models.
 *
 * Each is a translation: options into the library's struct, the library's report into lines. What
 * kinds, strategies and settings there are is asked of the library (kua_kinds, kua_strategies), so
 * that --list cannot fall behind it.
 */
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

/* Details of --help: every kind (or strategy) with its settings, as the library describes them. */
static void show_kinds(const json_t *kinds)
{
    json_t *kind, *setting;
    size_t i;
    const char *key;
    json_array_foreach(kinds, i, kind)
    {
        printf("  %-12s %s\n", cli_string(kind, "name"), cli_string(kind, "summary"));
        json_object_foreach(json_object_get(kind, "settings"), key, setting)
        {
            char *fallback = json_dumps(json_array_get(setting, 0), JSON_ENCODE_ANY);
            printf("    %-18s %-10s %s\n", key, fallback ? fallback : "",
                   json_string_value(json_array_get(setting, 1)));
            free(fallback);
        }
    }
}

static int list_kinds(const cli_args *args, kua_status (*list)(char **))
{
    char *text = NULL;
    kua_status st = list(&text);
    return cli_report(args, st, text, show_kinds);
}

/* "key value" of every number; curves, and settings within settings, are left to --json. */
static void show_numbers(const json_t *object)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)object, key, value)
    {
        if (json_is_number(value)) printf("  %s %.4g", key, json_number_value(value));
    }
}

/* What a fit found out, in two lines. */
static void show_facts(const json_t *seed)
{
    const json_t *facts = json_object_get(seed, "facts");
    printf("  seed %.0f:", cli_real(seed, "seed"));
    show_numbers(facts);
    printf("\n");
    const json_t *mixed = json_object_get(facts, "partners");
    const json_t *shown = mixed ? mixed : json_object_get(facts, "chosen");
    if (json_object_size(shown) == 0) return;
    printf("    %s:", mixed ? "mixed in, weights" : "chosen on validation");
    show_numbers(shown);
    printf("\n");
}

static void show_model(const json_t *report)
{
    char bytes[32];
    printf("model %s, version %.0f: %s for %s (%s), %.1f s, peak memory %s MB\n",
           cli_string(report, "name"), cli_real(report, "version"), cli_string(report, "kind"),
           cli_string(report, "domain"), cli_string(report, "split"), cli_real(report, "seconds"),
           cli_number(cli_real(report, "peak_bytes") / 1e6, bytes));
    size_t i;
    json_t *seed;
    json_array_foreach(json_object_get(report, "seeds"), i, seed)
    {
        show_facts(seed);
    }
}

/* What train and transfer have in common. */
typedef struct fit_words {
    long seed, seeds;
    char *settings; /* owned */
} fit_words;

static bool read_fit_words(const cli_args *args, fit_words *out)
{
    assert(args && out);
    bool bad = false;
    *out = (fit_words){0};
    if (!cli_count(args, "--seed", 1, 1000000000, 1, &out->seed)) return false;
    if (!cli_count(args, "--seeds", 1, 100, 1, &out->seeds)) return false;
    out->settings = cli_settings(args, &bad);
    return !bad;
}

/* ---- train ---- */

static kua_status train_job(kua_workspace *ws, const void *options, char **report)
{
    return kua_train(ws, options, report);
}

static int run_train(const cli_args *args)
{
    if (cli_flag(args, "--list")) return list_kinds(args, kua_kinds);
    fit_words words;
    kua_train_options o = {.domain = cli_required(args, "--domain"),
                           .split = cli_text(args, "--split")};
    if (!o.domain || !(o.kind = cli_required(args, "--model")) ||
        !(o.name = cli_required(args, "--name")))
        return CLI_USAGE;
    if (!read_fit_words(args, &words)) return CLI_USAGE;
    o.seed = (uint64_t)words.seed;
    o.seeds = (int)words.seeds;
    o.settings = words.settings;
    int code = cli_run_job(args, train_job, &o, show_model);
    free(words.settings);
    return code;
}

static const cli_option train_options[] = {
    {"--domain", CLI_TEXT, "NAME", "the category to recommend in"},
    {"--model", CLI_TEXT, "KIND", "sequence, itemknn, userknn, ease, textknn, repeat, popularity"},
    {"--name", CLI_TEXT, "M", "the model's name; a new version where it exists"},
    {"--seed", CLI_COUNT, "N", "random seed (1)"},
    {"--seeds", CLI_COUNT, "N", "fit N models, with seeds N, N+1, ... (1)"},
    {"--split", CLI_TEXT, "S", "leave-one-out (default), given, or time=DATE: what is held out"},
    {"--set", CLI_SET, "K=V", "a setting of the model, many times; --list shows them all"},
    {"--list", CLI_FLAG, "", "list the models and their settings"},
    {0},
};

const cli_command cli_train = {
    "train",
    "WS --domain NAME --model KIND --name M [--seed N] [--set key=value ...]",
    "fit a recommender on one category",
    "What the split holds out for validation chooses settings and the best epoch; what it holds "
    "out for test is not\n"
    "looked at. Interrupted training goes on where it stopped when the same command is run again.",
    "  kua train myshop --domain beauty --model sequence --name seq --seed 1\n"
    "  kua train myshop --domain beauty --model itemknn --name knn --set neighbours=20\n  kua "
    "train --list",
    1,
    1,
    train_options,
    run_train,
    "goes on (a sequence model after its last finished epoch)",
};

/* ---- transfer ---- */

static void show_transfer(const json_t *report)
{
    show_model(report);
    printf("%s\n", cli_string(json_object_get(report, "verdict"), "words"));
}

static kua_status transfer_job(kua_workspace *ws, const void *options, char **report)
{
    return kua_transfer(ws, options, report);
}

static int run_transfer(const cli_args *args)
{
    if (cli_flag(args, "--list")) return list_kinds(args, kua_strategies);
    fit_words words;
    kua_transfer_options o = {.sources = cli_required(args, "--source"),
                              .split = cli_text(args, "--split")};
    if (!o.sources || !(o.target = cli_required(args, "--target")) ||
        !(o.strategy = cli_required(args, "--strategy")) ||
        !(o.name = cli_required(args, "--name"))) {
        return CLI_USAGE;
    }
    if (!read_fit_words(args, &words)) return CLI_USAGE;
    o.seed = (uint64_t)words.seed;
    o.seeds = (int)words.seeds;
    o.settings = words.settings;
    int code = cli_run_job(args, transfer_job, &o, show_transfer);
    free(words.settings);
    return code;
}

static const cli_option transfer_options[] = {
    {"--source", CLI_TEXT, "A,B", "the categories to carry over from"},
    {"--target", CLI_TEXT, "NAME", "the category to recommend in"},
    {"--strategy", CLI_TEXT, "S", "target-only, crossknn, frozen, finetune"},
    {"--name", CLI_TEXT, "M", "the model's name; a new version where it exists"},
    {"--seed", CLI_COUNT, "N", "random seed (1)"},
    {"--seeds", CLI_COUNT, "N", "fit N models, with seeds N, N+1, ... (1)"},
    {"--split", CLI_TEXT, "S", "leave-one-out (default), given, or time=DATE: what is held out"},
    {"--set", CLI_SET, "K=V", "a setting of the strategy, many times; --list shows them all"},
    {"--list", CLI_FLAG, "", "list the strategies and their settings"},
    {0},
};

const cli_command cli_transfer = {
    "transfer",
    "WS --source A,B --target NAME --strategy S --name M [--seed N]",
    "carry what other categories know over to a category; the guard decides whether it is used",
    "Fits the target-only model too. Where the transferred model is worse than it on validation "
    "users, beyond the\n"
    "95 % interval, the target-only model is kept under this name and the verdict says so.",
    "  kua transfer myshop --source toys,sports --target beauty --strategy finetune --name "
    "beauty-ft",
    1,
    1,
    transfer_options,
    run_transfer,
    "goes on (a sequence model after its last finished epoch)",
};

/* ---- models ---- */

static void show_models(const json_t *models)
{
    size_t i;
    json_t *m;
    if (!json_array_size(models)) printf("no models yet; kua train makes one\n");
    json_array_foreach(models, i, m)
    {
        double valid =
            cli_real(json_object_get(json_object_get(m, "record"), "metrics"), "ndcg@10");
        printf("%s %-22s v%-3.0f %-12s %-20s %s",
               json_is_true(json_object_get(m, "published")) ? "*" : " ", cli_string(m, "name"),
               cli_real(m, "version"), cli_string(m, "kind"), cli_string(m, "domain"),
               cli_string(m, "created"));
        if (isnan(valid)) /* a model of the sources is chosen on them */
            printf("\n");
        else
            printf("  valid ndcg@10 %.4f\n", valid);
    }
}

static void show_any(const json_t *report)
{
    char *text = json_dumps(report, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
    printf("%s\n", text ? text : "");
    free(text);
}

static void show_published(const json_t *report)
{
    printf("published for %s: %s, version %.0f\n", cli_string(report, "domain"),
           cli_string(report, "name"), cli_real(report, "version"));
}

static int run_models(const cli_args *args)
{
    const char *action = args->n_words > 1 ? args->word[1] : "list",
               *name = cli_text(args, "--model");
    long version = 0;
    /* All that can be wrong with the words is told before the workspace is opened. */
    if (!cli_count(args, "--version", 1, 1000000, 0, &version)) return CLI_USAGE;
    bool list = !strcmp(action, "list"), show = !strcmp(action, "show"),
         publish = !strcmp(action, "publish"), rollback = !strcmp(action, "rollback");
    if (!list && !show && !publish && !rollback) {
        fprintf(stderr, "kua models: no action '%s', expected list, show, publish or rollback\n",
                action);
        return CLI_USAGE;
    }
    if (!name && args->n_words > 2) name = args->word[2];
    if ((show || publish) && !name) name = cli_required(args, "--model");
    const char *domain = list || show || publish ? NULL : cli_required(args, "--domain");
    if (((show || publish) && !name) || (!list && !show && !publish && !domain)) return CLI_USAGE;
    kua_workspace *ws = NULL;
    int code = cli_open(args, &ws);
    if (!code) {
        char *report = NULL;
        kua_status st = list || show ? kua_models(ws, list ? NULL : name, &report)
                        : publish    ? kua_publish(ws, name, (int)version, &report)
                                     : kua_rollback(ws, domain, &report);
        code = cli_report(args, st, report, list ? show_models : show ? show_any : show_published);
    }
    kua_workspace_close(ws);
    return code;
}

static const cli_option models_options[] = {
    {"--model", CLI_TEXT, "M", "the model to show or publish (or as a word behind the action)"},
    {"--version", CLI_COUNT, "N", "publish this version (the newest)"},
    {"--domain", CLI_TEXT, "NAME", "roll this category back to what was published before"},
    {0},
};

const cli_command cli_models = {
    "models",
    "WS list | show M | publish M [--version N] | rollback --domain NAME",
    "list, show, publish and roll back models",
    "The published model of a category is what kua recommend uses. * marks it in the list.",
    "  kua models myshop list\n  kua models myshop publish beauty-ft\n  kua models myshop rollback "
    "--domain beauty",
    1,
    3,
    models_options,
    run_models,
};
