/* setup.c - the commands that bring a shop in: init, import, inspect.
 *
 * They show what the library reports, in the order in which a shop owner would ask: what is new,
 * what was left out and why, where the rejected lines are. --json has everything.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

/* ---- init ---- */

static void show_init(const json_t *report)
{
    printf("workspace %s is ready; next: kua import %s --items FILE --events FILE\n",
           cli_string(report, "workspace"), cli_string(report, "workspace"));
}

static int run_init(const cli_args *args)
{
    kua_status st = kua_workspace_create(args->word[0]);
    char *text = NULL;
    if (!st) {
        json_t *report = json_pack("{s:s}", "workspace", args->word[0]);
        text = json_dumps(report, JSON_COMPACT);
        json_decref(report);
    }
    return cli_report(args, st, text, show_init);
}

static const cli_option no_options[] = {{0}};

const cli_command cli_init = {
    "init",
    "WS",
    "make a workspace: a folder that holds a shop's data, vectors and models",
    NULL,
    "  kua init myshop",
    1,
    1,
    no_options,
    run_init,
};

/* ---- import ---- */

/* Steps that removed nothing are left out; the JSON has them. */
static void show_cleaning(const json_t *steps)
{
    size_t i;
    json_t *step;
    json_array_foreach(steps, i, step)
    {
        char n[32];
        if (cli_real(step, "removed") > 0) {
            printf("  %-22s %12s removed   %s\n", cli_string(step, "step"),
                   cli_number(cli_real(step, "removed"), n), cli_string(step, "why"));
        }
    }
}

static void show_import(const json_t *report)
{
    char a[32], b[32], c[32];
    printf("new: %s items, %s users, %s events\n", cli_number(cli_real(report, "items"), a),
           cli_number(cli_real(report, "users"), b), cli_number(cli_real(report, "events"), c));
    show_cleaning(json_object_get(report, "cleaned"));
    if (*cli_string(report, "rejects"))
        printf("rejected lines are in %s\n", cli_string(report, "rejects"));
}

/* "train=F,valid=F,test=F" into three texts inside `copy`. */
static bool split_files(char *copy, kua_import_options *o)
{
    assert(copy && o);
    for (char *part = copy, *next; part; part = next) {
        next = strchr(part, ','); /* a file's name cannot hold a comma here */
        if (next) *next++ = 0;
        if (!strncmp(part, "train=", 6))
            o->train = part + 6;
        else if (!strncmp(part, "valid=", 6))
            o->valid = part + 6;
        else if (!strncmp(part, "test=", 5))
            o->test = part + 5;
        else
            return false;
    }
    return o->train && o->valid && o->test;
}

static kua_status import_job(kua_workspace *ws, const void *options, char **report)
{
    return kua_import(ws, options, report);
}

static int run_import(const cli_args *args)
{
    kua_import_options o = {
        .domain = cli_text(args, "--domain"),
        .items = cli_text(args, "--items"),
        .events = cli_text(args, "--events"),
        .users = cli_text(args, "--users"),
        .map = cli_text(args, "--map"),
    };
    char *split = cli_text(args, "--split") ? strdup(cli_text(args, "--split")) : NULL;
    bool bad = false;
    if (split && !split_files(split, &o)) {
        fprintf(stderr, "kua import: --split is '%s', expected train=FILE,valid=FILE,test=FILE\n",
                cli_text(args, "--split"));
        free(split);
        return CLI_USAGE;
    }
    char *settings = cli_settings(args, &bad);
    o.settings = settings;
    int code = bad ? CLI_USAGE : cli_run_job(args, import_job, &o, show_import);
    free(settings);
    free(split);
    return code;
}

static const cli_option import_options[] = {
    {"--domain", CLI_TEXT, "NAME", "put all these items into this domain (category)"},
    {"--items", CLI_TEXT, "FILE", "items: RecBole .item, .csv, .tsv or .jsonl"},
    {"--events", CLI_TEXT, "FILE", "events: RecBole .inter, .csv, .tsv or .jsonl"},
    {"--users", CLI_TEXT, "FILE", "users"},
    {"--map", CLI_TEXT, "FILE", "JSON that names the columns; see docs/FORMATS.md"},
    {"--split", CLI_TEXT, "F,F,F", "train=F,valid=F,test=F: a given split, in place of --events"},
    {"--set", CLI_SET, "K=V",
     "max_bad_share, unknown_items, duplicates, bot_events_per_hour, bot_events_per_day, k_core, "
     "latest_time"},
    {0},
};

const cli_command cli_import = {
    "import",
    "WS [--domain NAME] --items FILE --events FILE [--map FILE] [--split train=F,valid=F,test=F]",
    "read items, users and events into the workspace",
    "An import is one transaction: it is all there or not at all, and a repeat adds nothing. Lines "
    "that cannot be\n"
    "read go to a rejects file; the import stops when more than 1 % of them are bad (--set "
    "max_bad_share=.05).",
    "  kua import myshop --domain beauty --items beauty.item --events beauty.inter",
    1,
    1,
    import_options,
    run_import,
    "imports the files anew, since nothing of them was kept",
};

/* ---- inspect ---- */

static void show_domains(const json_t *domains)
{
    enum { COLUMNS = 7, ROOM = 512 }; /* more domains than that are for --json */
    static const char *const header[COLUMNS] = {"domain",   "items", "users", "events",
                                                "sparsity", "first", "last"};
    static char text[ROOM][COLUMNS][48];
    static const char *cells[ROOM * COLUMNS];
    int rows = 0;
    size_t i;
    json_t *d;
    json_array_foreach(domains, i, d)
    {
        if (rows == ROOM) break;
        char number[32];
        const char *keys[] = {"items", "users", "events"};
        snprintf(text[rows][0], sizeof(text[rows][0]), "%s", cli_string(d, "name"));
        for (int k = 0; k < 3; k++) {
            snprintf(text[rows][1 + k], sizeof(text[rows][0]), "%s",
                     cli_number(cli_real(d, keys[k]), number));
        }
        snprintf(text[rows][4], sizeof(text[rows][0]), "%.4f %%", 100 * cli_real(d, "sparsity"));
        snprintf(text[rows][5], sizeof(text[rows][0]), "%s", cli_string(d, "first"));
        snprintf(text[rows][6], sizeof(text[rows][0]), "%s", cli_string(d, "last"));
        for (int c = 0; c < COLUMNS; c++)
            cells[rows * COLUMNS + c] = text[rows][c];
        rows++;
    }
    cli_table(header, COLUMNS, cells, rows);
}

static void show_shared(const json_t *pairs)
{
    size_t i;
    json_t *p;
    char n[32];
    if (json_array_size(pairs)) printf("\nshared users\n");
    json_array_foreach(pairs, i, p)
    {
        if (i == 12) {
            printf("  ... %zu pairs in all; --json lists them\n", json_array_size(pairs));
            break;
        }
        printf("  %-20s %-20s %10s\n", cli_string(p, "a"), cli_string(p, "b"),
               cli_number(cli_real(p, "users"), n));
    }
}

static void show_inspect(const json_t *report)
{
    show_domains(json_object_get(report, "domains"));
    show_shared(json_object_get(report, "shared_users"));
    printf("\ncleaned\n");
    show_cleaning(json_object_get(report, "cleaned"));
}

static kua_status inspect_job(kua_workspace *ws, const void *options, char **report)
{
    (void)options;
    return kua_inspect(ws, report);
}

static int run_inspect(const cli_args *args)
{
    return cli_run_job(args, inspect_job, NULL, show_inspect);
}

const cli_command cli_inspect = {
    "inspect",
    "WS",
    "show what the workspace holds: domains, shared users, what was cleaned and why",
    NULL,
    "  kua inspect myshop\n  kua inspect myshop --json | jq .domains",
    1,
    1,
    no_options,
    run_inspect,
};
