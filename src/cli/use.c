/* use.c - the commands that use models: eval, recommend, similar, report.
 *
 * Answers are short lists: they are read into arrays of a fixed size (HITS_MAX), which bounds -n. A
 * hit's texts belong to the workspace, which is therefore closed after printing.
 *
 *     eval        the library's table, of which a terminal gets five columns and --json all
 *     recommend   a list; with --history also what was bought before and, as of a past day, after:
 *                 a star marks what the user then did buy
 */
#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

/* ---- eval ---- */

static void interval_text(const json_t *row, const char *metric, char *out, size_t room)
{
    assert(out && room > 0);
    const json_t *pair = json_object_get(json_object_get(row, "intervals"), metric);
    double value = cli_real(json_object_get(row, "metrics"), metric);
    snprintf(out, room, "%.4f [%.4f, %.4f]", value, json_number_value(json_array_get(pair, 0)),
             json_number_value(json_array_get(pair, 1)));
}

static void slice_text(const json_t *row, const char *slice, char *out, size_t room)
{
    const json_t *s = json_object_get(json_object_get(row, "slices"), slice);
    double value = cli_real(s, "ndcg@10");
    if (isnan(value)) value = cli_real(json_object_get(s, "metrics"), "ndcg@10");
    snprintf(out, room, isnan(value) ? "-" : "%.4f", value);
}

static void show_eval(const json_t *report)
{
    enum { COLUMNS = 5, ROOM = 64 };
    static const char *const header[COLUMNS] = {"model", "R@10", "N@10", "N@10 cold items",
                                                "N@10 cold users"};
    static char text[ROOM][COLUMNS][48];
    static const char *cells[ROOM * COLUMNS];
    const json_t *protocol = json_object_get(report, "protocol");
    printf("%s\n", cli_string(protocol, "words"));
    int rows = 0;
    size_t i;
    json_t *row;
    json_array_foreach(json_object_get(report, "rows"), i, row)
    {
        if (rows == ROOM) break;
        snprintf(text[rows][0], 48, "%s", cli_string(row, "model"));
        interval_text(row, "recall@10", text[rows][1], 48);
        interval_text(row, "ndcg@10", text[rows][2], 48);
        slice_text(row, "cold_items", text[rows][3], 48);
        slice_text(row, "cold_users", text[rows][4], 48);
        for (int c = 0; c < COLUMNS; c++)
            cells[rows * COLUMNS + c] = text[rows][c];
        rows++;
    }
    cli_table(header, COLUMNS, cells, rows);
}

static kua_status eval_job(kua_workspace *ws, const void *options, char **report)
{
    return kua_evaluate(ws, options, report);
}

static int run_eval(const cli_args *args)
{
    kua_evaluate_options o = {
        .models = cli_required(args, "--model"),
        .baseline = cli_text(args, "--baseline"),
        .domain = cli_text(args, "--domain"),
        .split = cli_text(args, "--split"),
        .mask_seen = cli_flag(args, "--mask-seen"),
        .new_only = cli_flag(args, "--new-only"),
        .valid = cli_flag(args, "--valid"),
        .per_user = cli_text(args, "--per-user"),
    };
    long seed = 1;
    if (!o.models || !cli_count(args, "--seed", 1, 1000000000, 1, &seed)) return CLI_USAGE;
    o.seed = (uint64_t)seed;
    return cli_run_job(args, eval_job, &o, show_eval);
}

static const cli_option eval_options[] = {
    {"--model", CLI_TEXT, "M,M2", "the models to evaluate, one row each"},
    {"--baseline", CLI_TEXT, "M", "differences are measured against this one (the first)"},
    {"--domain", CLI_TEXT, "NAME", "the category (that of the models)"},
    {"--mask-seen", CLI_FLAG, "", "do not recommend what the history holds"},
    {"--new-only", CLI_FLAG, "", "count only what was new to the user; implies --mask-seen"},
    {"--split", CLI_TEXT, "S",
     "leave-one-out, given or time=DATE; another than trained with: the models are fitted anew"},
    {"--valid", CLI_FLAG, "", "score the validation part instead of the test part"},
    {"--per-user", CLI_TEXT, "FILE", "write every user's metrics to a TSV file"},
    {"--seed", CLI_COUNT, "N", "seed of the bootstrap (1)"},
    {0},
};

const cli_command cli_eval = {
    "eval",
    "WS --model M[,M2] [--domain NAME] [--mask-seen] [--split S] [--per-user F]",
    "rank all items of a category for every test user and say how good that was",
    "All items of the category are ranked, never a sample. Brackets are 95 % intervals of a paired "
    "bootstrap over users.",
    "  kua eval myshop --model seq,knn --mask-seen\n  kua eval myshop --model seq --json | jq "
    "'.metrics.\"ndcg@10\"'",
    1,
    1,
    eval_options,
    run_eval,
};

/* ---- recommend and similar ---- */

static json_t *hits_json(const kua_hit *hits, size_t n)
{
    assert(hits || n == 0);
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) {
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:f}", "item", hits[i].item, "name",
                                              hits[i].name, "category", hits[i].category, "score",
                                              (double)hits[i].score));
    }
    return list;
}

static void show_hits(const json_t *report)
{
    size_t i;
    json_t *hit;
    const json_t *list = json_object_get(report, "items");
    if (!json_array_size(list)) printf("nothing to show\n");
    json_array_foreach(list, i, hit)
    {
        printf("%3zu  %8.4f  %-14s %s\n", i + 1, cli_real(hit, "score"), cli_string(hit, "item"),
               cli_string(hit, "name"));
    }
}

static int print_hits(const cli_args *args, kua_status st, const char *key, const char *value,
                      const kua_hit *hits, size_t n)
{
    char *text = NULL;
    if (!st) {
        json_t *report = json_pack("{s:s, s:o}", key, value, "items", hits_json(hits, n));
        text = json_dumps(report, JSON_COMPACT | JSON_REAL_PRECISION(7));
        json_decref(report);
    }
    return cli_report(args, st, text, show_hits);
}

enum { HITS_MAX = 1000, HISTORY_MAX = 20 };

/* Names of what a user bought, each once. */
static void print_names(const char *title, const kua_hit *hits, size_t n, const kua_hit *ticked,
                        size_t n_ticked)
{
    printf("%s\n", n ? title : "");
    for (size_t i = 0; i < n; i++) {
        bool known = false;
        for (size_t k = 0; k < n_ticked; k++)
            known |= !strcmp(ticked[k].item, hits[i].item);
        printf("   %s %-12s %s\n", known ? "*" : " ", hits[i].item, hits[i].name);
    }
}

/* Bought before, recommended, bought after: the last of these exists where the answer is as of a
 * past day. */
static int print_story(kua_workspace *ws, const kua_recommend_options *o, const char *domain,
                       const kua_hit *hits, size_t n, size_t room)
{
    assert(o && o->user && domain && room <= HISTORY_MAX);
    static kua_hit before[HISTORY_MAX], after[HITS_MAX];
    size_t n_before = 0, n_after = 0;
    kua_status st = kua_history(ws, o->user, domain, o->as_of, NULL, before, room, &n_before);
    if (!st && o->as_of)
        st = kua_history(ws, o->user, domain, NULL, o->as_of, after, HITS_MAX, &n_after);
    if (st) return cli_fail(st);
    printf("user %s, %s", o->user, domain);
    printf(o->as_of ? ", as of %s (* bought afterwards)\n" : "\n", o->as_of);
    print_names("  bought last:", before, n_before, NULL, 0);
    print_names("  recommended:", hits, n, after, n_after);
    print_names("  bought next:", after, n_after < room ? n_after : room, NULL, 0);
    return CLI_OK;
}

static int run_recommend(const cli_args *args)
{
    kua_recommend_options o = {
        .model = cli_text(args, "--model"),
        .domain = cli_text(args, "--domain"),
        .user = cli_required(args, "--user"),
        .as_of = cli_text(args, "--as-of"),
        .repeats = cli_flag(args, "--repeats"),
    };
    long n = 10, history = 0;
    if (!o.user || !cli_count(args, "-n", 1, HITS_MAX, 10, &n)) return CLI_USAGE;
    if (!cli_count(args, "--history", 1, HISTORY_MAX, 0, &history)) return CLI_USAGE;
    if (history && (args->json || !o.domain)) {
        fprintf(stderr,
                "kua recommend: --history needs --domain, and is for people, not for --json\n");
        return CLI_USAGE;
    }
    kua_workspace *ws = NULL;
    int code = cli_open(args, &ws);
    if (!code) {
        static kua_hit hits[HITS_MAX];
        size_t found = 0;
        kua_status st = kua_recommend(ws, &o, hits, (size_t)n, &found);
        code = st || !history ? print_hits(args, st, "user", o.user, hits, found)
                              : print_story(ws, &o, o.domain, hits, found, (size_t)history);
    }
    kua_workspace_close(ws);
    return code;
}

static const cli_option recommend_options[] = {
    {"--user", CLI_TEXT, "U", "the user's id"},
    {"--model", CLI_TEXT, "M", "the model (the published one of --domain)"},
    {"--domain", CLI_TEXT, "NAME", "the category (the model's)"},
    {"-n", CLI_COUNT, "N", "how many (10)"},
    {"--as-of", CLI_TEXT, "DATE",
     "what would have been recommended then: later events are not known"},
    {"--repeats", CLI_FLAG, "", "also what the user has already bought"},
    {"--history", CLI_COUNT, "N", "also show the last N purchases, and with --as-of the next N"},
    {0},
};

const cli_command cli_recommend = {
    "recommend",
    "WS --user U (--model M | --domain NAME) [-n 10]",
    "the best items of a category for a user",
    NULL,
    "  kua recommend myshop --model beauty-ft --user A1YJEY40YUW4SE -n 10\n  kua recommend myshop "
    "--domain beauty --user A1YJEY40YUW4SE   (the published model's)",
    1,
    1,
    recommend_options,
    run_recommend,
};

static int run_similar(const cli_args *args)
{
    const char *item = cli_required(args, "--item");
    long n = 10;
    if (!item || !cli_count(args, "-n", 1, HITS_MAX, 10, &n)) return CLI_USAGE;
    kua_workspace *ws = NULL;
    int code = cli_open(args, &ws);
    if (!code) {
        static kua_hit hits[HITS_MAX];
        size_t found = 0;
        kua_status st = kua_similar(ws, item, cli_text(args, "--domain"), hits, (size_t)n, &found);
        code = print_hits(args, st, "similar_to", item, hits, found);
    }
    kua_workspace_close(ws);
    return code;
}

static const cli_option similar_options[] = {
    {"--item", CLI_TEXT, "I", "the item's id"},
    {"--domain", CLI_TEXT, "NAME", "look in this category (the item's own)"},
    {"-n", CLI_COUNT, "N", "how many (10)"},
    {0},
};

const cli_command cli_similar = {
    "similar",
    "WS --item I [--domain NAME] [-n 10]",
    "the items whose texts are nearest to an item's",
    NULL,
    "  kua similar myshop --item B004756YJA -n 5",
    1,
    1,
    similar_options,
    run_similar,
};

/* ---- report ---- */

static void show_report(const json_t *report)
{
    printf("report: %s\n", cli_string(report, "report"));
}

/* The whole file as text, or NULL after a message. */
static char *read_text(const char *path)
{
    assert(path);
    FILE *file = fopen(path, "rb");
    json_error_t error;
    json_t *json = file ? json_loadf(file, 0, &error) : NULL;
    if (!file)
        fprintf(stderr, "kua report: %s: %s\n", path, strerror(errno));
    else if (!json)
        fprintf(stderr, "kua report: %s:%d: %s\n", path, error.line, error.text);
    if (file) fclose(file);
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    return text;
}

static int run_report(const cli_args *args)
{
    const char *domain = cli_required(args, "--domain"),
               *out = domain ? cli_required(args, "--out") : NULL;
    if (!out) return CLI_USAGE;
    char *tables = cli_text(args, "--tables") ? read_text(cli_text(args, "--tables")) : NULL;
    if (cli_text(args, "--tables") && !tables) return CLI_FAILED;
    kua_workspace *ws = NULL;
    int code = cli_open(args, &ws);
    if (!code) {
        kua_status st = kua_report(ws, domain, tables, out);
        json_t *report = json_pack("{s:s}", "report", out);
        char *text = json_dumps(report, JSON_COMPACT);
        json_decref(report);
        code = cli_report(args, st, text, show_report);
    }
    kua_workspace_close(ws);
    free(tables);
    return code;
}

static const cli_option report_options[] = {
    {"--domain", CLI_TEXT, "NAME", "the category that was transferred to"},
    {"--tables", CLI_TEXT, "FILE",
     "JSON of {\"tables\": [results of kua eval --json], \"users\": [ids of examples], "
     "\"scaling\": result of tools/scaling}"},
    {"--out", CLI_TEXT, "FILE", "the HTML file to write"},
    {0},
};

const cli_command cli_report_command = {
    "report",
    "WS --domain NAME [--tables FILE] --out FILE",
    "one HTML file: the data, curves, results, verdict, examples",
    NULL,
    "  kua report myshop --domain beauty --out report.html",
    1,
    1,
    report_options,
    run_report,
};
