/* classify.c - the commands that tell texts apart: classify, tag.
 *
 * Both have three verbs: train writes a folder, eval measures it on rows with labels, predict
 * writes labels for rows without. Numbers of the training are --set NAME=VALUE; --settings lists
 * them.
 */
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "kua/classify.h"

/* ---- what is shown ---- */

static void show_measures(const json_t *m)
{
    printf("%.0f rows: accuracy %.4f, macro F1 %.4f, log loss %.4f", cli_real(m, "rows"),
           cli_real(m, "accuracy"), cli_real(m, "macro_f1"), cli_real(m, "log_loss"));
    if (!isnan(cli_real(m, "auc"))) printf(", area under the curve %.4f", cli_real(m, "auc"));
    printf("\n");
}

static void show_classes(const json_t *list, const char *label, const char *rows)
{
    enum { COLUMNS = 5, ROOM = 60 };
    const char *header[COLUMNS] = {label, rows, "precision", "recall", "F1"};
    static const char *const keys[] = {"precision", "recall", "f1"};
    static char text[ROOM][COLUMNS - 1][16];
    static const char *cells[ROOM * COLUMNS];
    int n = 0;
    size_t i;
    json_t *row;
    json_array_foreach(list, i, row)
    {
        if (n == ROOM) break;
        cells[n * COLUMNS] = cli_string(row, label);
        snprintf(text[n][0], 16, "%.0f", cli_real(row, rows));
        for (int k = 0; k < 3; k++)
            snprintf(text[n][k + 1], 16, "%.4f", cli_real(row, keys[k]));
        for (int k = 1; k < COLUMNS; k++)
            cells[n * COLUMNS + k] = text[n][k - 1];
        n++;
    }
    cli_table(header, COLUMNS, cells, n);
}

static void show_eval(const json_t *report)
{
    char n[32];
    show_measures(report);
    show_classes(json_object_get(report, "classes"), "label", "rows");
    if (cli_real(report, "unseen") > 0)
        printf("%.0f rows have labels that were not trained on\n", cli_real(report, "unseen"));
    printf("%s texts/s\n", cli_number(cli_real(report, "texts_per_second"), n));
}

static void show_train(const json_t *report)
{
    char a[32], b[32], c[32];
    printf("%s, %s head, tune %s: %s rows, %.0f labels, %s numbers trained, %.1f s, peak %s MB\n",
           cli_string(report, "method"), cli_string(report, "head"), cli_string(report, "tune"),
           cli_number(cli_real(report, "train_rows"), a), cli_real(report, "labels"),
           cli_number(cli_real(report, "trained"), b), cli_real(report, "seconds"),
           cli_number(cli_real(report, "peak_bytes") / 1e6, c));
    if (!isnan(cli_real(report, "best_epoch")))
        printf("best epoch: %.0f of %zu\n", cli_real(report, "best_epoch"),
               json_array_size(json_object_get(report, "epochs")));
    if (!isnan(cli_real(report, "l2"))) printf("L2: %g\n", cli_real(report, "l2"));
    const json_t *valid = json_object_get(report, "valid");
    if (valid && !isnan(cli_real(valid, "accuracy"))) {
        printf("validation: ");
        show_measures(valid);
    } else if (valid) {
        printf("validation: F1 %.4f of %.0f entities\n", cli_real(valid, "f1"),
               cli_real(valid, "entities"));
    }
}

static void show_predict(const json_t *report)
{
    char n[32];
    printf("%.0f rows into %s, %s texts/s\n", cli_real(report, "rows"), cli_string(report, "out"),
           cli_number(cli_real(report, "texts_per_second"), n));
}

static void show_settings(const json_t *report)
{
    size_t i;
    json_t *row;
    json_array_foreach(report, i, row)
    {
        printf("%-14s %-8g %g to %g: %s\n", cli_string(row, "name"), cli_real(row, "default"),
               cli_real(row, "low"), cli_real(row, "high"), cli_string(row, "what"));
    }
}

/* ---- options ---- */

/* --settings lists them; needs no verb. */
static int list_settings(const cli_args *args)
{
    char *report = NULL;
    kua_status st = kua_classify_settings(&report);
    return cli_report(args, st, report, show_settings);
}

/* The folder of --model, owned (kua_text_free); NULL where there is no --model, or it is tfidf. */
static kua_status model_folder(const char *model, char **folder)
{
    *folder = NULL;
    return model && strcmp(model, "tfidf") != 0 ? kua_model_folder(model, folder) : KUA_OK;
}

static kua_classify_data data_of(const cli_args *args)
{
    return (kua_classify_data){.path = cli_text(args, "--data"),
                               .text = cli_text(args, "--text-column"),
                               .label = cli_text(args, "--label-column"),
                               .separator = cli_text(args, "--label-separator"),
                               .split = cli_text(args, "--split-column"),
                               .part = cli_text(args, "--part"),
                               .group = cli_text(args, "--group-column"),
                               .vectors = cli_text(args, "--vectors")};
}

static int wrong_verb(const cli_args *args)
{
    fprintf(stderr, "kua %s: '%s' is none of train, eval, predict\nusage: kua %s %s\n",
            args->command->name, args->n_words ? args->word[0] : "", args->command->name,
            args->command->usage);
    return CLI_USAGE;
}

/* ---- classify ---- */

static int train(const cli_args *args, const kua_classify_data *data)
{
    bool bad = false;
    if (!cli_required(args, "--label-column") || !cli_required(args, "--out")) return CLI_USAGE;
    char *settings = cli_settings(args, &bad), *folder = NULL, *report = NULL;
    if (bad) return CLI_USAGE;
    const char *model = cli_text(args, "--model");
    kua_classify_options o = {.data = *data,
                              .head = cli_text(args, "--head"),
                              .tune = cli_text(args, "--tune"),
                              .from = cli_text(args, "--from"),
                              .out = cli_text(args, "--out"),
                              .settings = settings};
    kua_status st = model_folder(model, &folder);
    o.model = folder ? folder : model;
    if (!st) st = kua_classify_train(&o, cli_monitor(args), &report);
    int code = cli_report(args, st, report, show_train);
    kua_text_free(folder);
    free(settings);
    return code;
}

static int run_classify(const cli_args *args)
{
    if (cli_flag(args, "--list")) return list_settings(args);
    const char *verb = args->word[0];
    kua_classify_data data = data_of(args);
    if (!cli_required(args, "--data")) return CLI_USAGE;
    if (!strcmp(verb, "train")) return train(args, &data);
    const char *from = cli_required(args, "--classifier");
    char *report = NULL;
    if (!from) return CLI_USAGE;
    if (!strcmp(verb, "eval")) {
        if (!cli_required(args, "--label-column")) return CLI_USAGE;
        kua_status st =
            kua_classify_eval(from, &data, cli_text(args, "--out"), cli_monitor(args), &report);
        return cli_report(args, st, report, show_eval);
    }
    if (strcmp(verb, "predict") != 0) return wrong_verb(args);
    const char *out = cli_required(args, "--out");
    if (!out) return CLI_USAGE;
    kua_status st = kua_classify_predict(from, &data, out, cli_monitor(args), &report);
    return cli_report(args, st, report, show_predict);
}

static const cli_option classify_options[] = {
    {"--data", CLI_TEXT, "F", "a .tsv, .csv or .jsonl file"},
    {"--text-column", CLI_TEXT, "C", "the column of texts"},
    {"--label-column", CLI_TEXT, "L", "the column of labels"},
    {"--label-separator", CLI_TEXT, "S", "a text has any number of labels, with S between them"},
    {"--split-column", CLI_TEXT, "C", "the column whose value is train, valid or test"},
    {"--part", CLI_TEXT, "P", "eval, predict: rows of this part (default: test)"},
    {"--group-column", CLI_TEXT, "C", "rows of one group are kept back together"},
    {"--vectors", CLI_TEXT, "F,F", "vectors of the rows, as kua encode --out writes them"},
    {"--model", CLI_TEXT, "M", "train: an encoder's folder or cached name, or tfidf"},
    {"--head", CLI_TEXT, "H", "train: linear (default), mlp, or lstm: LSTM(128) and Dense"},
    {"--tune", CLI_TEXT, "T", "train: none (default), head, lora, gradual, full"},
    {"--from", CLI_TEXT, "DIR", "train: start from this classifier's encoder and head"},
    {"--classifier", CLI_TEXT, "DIR", "eval, predict: the folder that train wrote"},
    {"--out", CLI_TEXT, "DIR|F", "train: the folder to write; else a TSV file of predictions"},
    {"--set", CLI_SET, "K=V", "a number of the training; --list shows them"},
    {"--list", CLI_FLAG, NULL, "list the settings"},
    {0},
};

const cli_command cli_classify = {
    "classify",
    "train --data F --text-column C --label-column L --model M --out DIR | eval|predict "
    "--classifier DIR --data F ...",
    "train, measure and use a text classifier",
    "With two labels a sigmoid tells them apart, with more a softmax; with --label-separator a "
    "text\n"
    "has any number of labels. --tune none encodes once and fits the head on the vectors; head "
    "runs\n"
    "steps of Adam on it; lora, gradual and full train the encoder too. --model tfidf needs no\n"
    "encoder. --head lstm is the classic: encoder -> LSTM(128, all steps) -> Dense, sigmoid, "
    "Adam,\n"
    "binary cross-entropy, 5 epochs, batch 32. Ctrl-C leaves a checkpoint that the same command\n"
    "goes on from.",
    "  kua classify train --data reviews.tsv --text-column review --label-column label \\\n"
    "      --model minilm-l6 --head lstm --out sentiment\n"
    "  kua classify eval --classifier sentiment --data held-out.tsv --text-column review "
    "--label-column label",
    1,
    1,
    classify_options,
    run_classify,
    "goes on from the checkpoint",
};

/* ---- tag ---- */

static void show_tags(const json_t *report)
{
    char n[32];
    printf("%.0f texts: precision %.4f, recall %.4f, F1 %.4f of %.0f entities with exact spans; "
           "%.4f of the units\n",
           cli_real(report, "texts"), cli_real(report, "precision"), cli_real(report, "recall"),
           cli_real(report, "f1"), cli_real(report, "entities"), cli_real(report, "unit_accuracy"));
    show_classes(json_object_get(report, "types"), "type", "entities");
    printf("%s texts/s\n", cli_number(cli_real(report, "texts_per_second"), n));
}

static void show_entities(const json_t *report)
{
    size_t i, k;
    json_t *text, *entity;
    json_array_foreach(report, i, text)
    {
        json_array_foreach(text, k, entity)
        {
            printf("%s%s [%s]", k ? "  " : "", cli_string(entity, "text"),
                   cli_string(entity, "type"));
        }
        printf("\n");
    }
}

static int tag_train(const cli_args *args)
{
    bool bad = false;
    if (!cli_required(args, "--data") || !cli_required(args, "--out")) return CLI_USAGE;
    char *settings = cli_settings(args, &bad), *folder = NULL, *report = NULL;
    if (bad) return CLI_USAGE;
    kua_status st = model_folder(cli_text(args, "--model"), &folder);
    kua_tag_options o = {.train = cli_text(args, "--data"),
                         .valid = cli_text(args, "--valid-data"),
                         .model = folder,
                         .tune = cli_text(args, "--tune"),
                         .from = cli_text(args, "--from"),
                         .out = cli_text(args, "--out"),
                         .settings = settings};
    if (!st) st = kua_tag_train(&o, cli_monitor(args), &report);
    int code = cli_report(args, st, report, show_train);
    kua_text_free(folder);
    free(settings);
    return code;
}

/* One text a line, from stdin. */
static int tag_lines(const cli_args *args, const char *folder)
{
    enum { MOST = 1 << 20 };
    kua_text *text = NULL;
    size_t n = 0, room = 0, size = 0;
    char *line = NULL, *report = NULL;
    ssize_t got;
    bool full = false;
    while (!full && n < MOST && (got = getline(&line, &size, stdin)) >= 0) {
        if (got && line[got - 1] == '\n') got--;
        if (n == room) {
            room = room ? 2 * room : 256;
            kua_text *grown = realloc(text, room * sizeof(*text));
            full = !grown;
            text = grown ? grown : text;
        }
        char *copy = full ? NULL : strndup(line, (size_t)got);
        full = !copy;
        if (copy) text[n++] = (kua_text){copy, strlen(copy)};
    }
    if (full) fprintf(stderr, "kua tag: out of memory for texts\n");
    kua_status st = full ? KUA_OK : kua_tag_predict(folder, text, n, cli_monitor(args), &report);
    int code = full ? CLI_FAILED : cli_report(args, st, report, show_entities);
    for (size_t i = 0; i < n; i++)
        free((char *)(uintptr_t)text[i].data);
    free(text);
    free(line);
    return code;
}

static int run_tag(const cli_args *args)
{
    if (cli_flag(args, "--list")) return list_settings(args);
    const char *verb = args->word[0];
    if (!strcmp(verb, "train")) return tag_train(args);
    bool eval = !strcmp(verb, "eval");
    if (!eval && strcmp(verb, "predict") != 0) return wrong_verb(args);
    const char *tagger = cli_required(args, "--tagger");
    if (!tagger) return CLI_USAGE;
    if (!eval) return tag_lines(args, tagger);
    const char *data = cli_required(args, "--data");
    char *report = NULL;
    if (!data) return CLI_USAGE;
    kua_status st = kua_tag_eval(tagger, data, cli_monitor(args), &report);
    return cli_report(args, st, report, show_tags);
}

static const cli_option tag_options[] = {
    {"--data", CLI_TEXT, "F",
     "a unit and its tag a line ('帽 B-HCCX'), an empty line between texts"},
    {"--valid-data", CLI_TEXT, "F", "train: texts that choose the epoch (default: a tenth)"},
    {"--model", CLI_TEXT, "M", "train: an encoder's folder or cached name"},
    {"--tune", CLI_TEXT, "T", "train: none, head, lora, gradual, full (default)"},
    {"--from", CLI_TEXT, "DIR", "train: start from this classifier's or tagger's encoder"},
    {"--tagger", CLI_TEXT, "DIR", "eval, predict: the folder that train wrote"},
    {"--out", CLI_TEXT, "DIR", "train: the folder to write"},
    {"--set", CLI_SET, "K=V", "a number of the training; --list shows them"},
    {"--list", CLI_FLAG, NULL, "list the settings"},
    {0},
};

const cli_command cli_tag = {
    "tag",
    "train --data F --model M --out DIR | eval --tagger DIR --data F | predict --tagger DIR < "
    "LINES",
    "train, measure and use a tagger: brands, products, models in titles",
    "Units (characters or words) have BIO tags. A linear head stands on the state of each unit's\n"
    "first token; the answer is the likeliest sequence in which every I follows its B. Measured "
    "is\n"
    "F1 of entities with exactly the right span and type.",
    "  kua tag train --data train.txt --valid-data dev.txt --model bge-small-zh --out titles\n"
    "  kua tag eval --tagger titles --data test.txt\n"
    "  echo '法国理肤泉舒缓特护保湿防晒霜' | kua tag predict --tagger titles",
    1,
    1,
    tag_options,
    run_tag,
    "goes on from the checkpoint",
};
