/* encode.c - the commands that turn text into ids and vectors: encode, tokenize.
 *
 * `encode` has two forms. With a workspace it encodes the shop's texts, and only those that have no
 * vector yet; with --text-file it needs no workspace, and writes one row a line, for whoever wants
 * the encoder alone. `tokenize` is a filter: lines in, one JSON array a line out, so that its ids
 * can be compared with another tokenizer's by diff.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "kua/tokenizer.h"

static void show_encode(const json_t *report)
{
    char a[32], b[32], c[32], d[32];
    printf("%s of %s distinct texts encoded into %.0f numbers each",
           cli_number(cli_real(report, "encoded"), a), cli_number(cli_real(report, "texts"), b),
           cli_real(report, "dim"));
    if (cli_real(report, "encoded") > 0) {
        printf(": %s texts/s, %s tokens/s", cli_number(cli_real(report, "texts_per_second"), c),
               cli_number(cli_real(report, "tokens_per_second"), d));
    }
    printf("\n");
}

static int encode_file(const cli_args *args, const char *model)
{
    const char *in = cli_required(args, "--text-file"),
               *out = in ? cli_required(args, "--out") : NULL;
    if (!out) return CLI_USAGE;
    char *report = NULL;
    kua_status st = kua_encode_file(model, in, out, cli_monitor(args), &report);
    return cli_report(args, st, report, show_encode);
}

static kua_status encode_job(kua_workspace *ws, const void *model, char **report)
{
    return kua_encode(ws, model, report);
}

static int run_encode(const cli_args *args)
{
    const char *model = cli_required(args, "--model");
    if (!model) return CLI_USAGE;
    return args->n_words ? cli_run_job(args, encode_job, model, show_encode)
                         : encode_file(args, model);
}

static const cli_option encode_options[] = {
    {"--model", CLI_TEXT, "DIR|NAME",
     "a folder with config.json, model.safetensors and a tokenizer, or a cached model's name"},
    {"--text-file", CLI_TEXT, "FILE", "without a workspace: one text a line"},
    {"--out", CLI_TEXT, "FILE",
     "without a workspace: the safetensors file to write, one row a line"},
    {0},
};

const cli_command cli_encode = {
    "encode",
    "WS --model DIR|NAME   or   --model DIR|NAME --text-file F --out FILE",
    "turn item texts into vectors with a pretrained language model",
    "Each distinct text is encoded once; texts that have a vector already are skipped.",
    "  kua encode myshop --model minilm-l6\n  kua encode --model minilm-l6 --text-file titles.txt "
    "--out vectors.safetensors",
    0,
    1,
    encode_options,
    run_encode,
    "goes on with the texts that have no vector yet",
};

/* ---- tokenize ---- */

static void print_ids(const uint32_t *ids, size_t n)
{
    putchar('[');
    for (size_t i = 0; i < n; i++)
        printf("%s%u", i ? "," : "", ids[i]);
    puts("]");
}

static kua_status tokenize_lines(const kua_tokenizer *tokenizer)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t n;
    kua_status st = KUA_OK;
    kua_ids ids = {0};
    while (!st && (n = getline(&line, &room, stdin)) >= 0) {
        if (n && line[n - 1] == '\n') n--; /* the last line may have none */
        st = kua_tokenizer_encode(tokenizer, line, (size_t)n, 0, &ids);
        if (!st) print_ids(ids.id, ids.n);
    }
    kua_ids_release(&ids);
    free(line);
    return st;
}

static int run_tokenize(const cli_args *args)
{
    const char *model = cli_required(args, "--model");
    if (!model) return CLI_USAGE;
    char *folder = NULL;
    kua_tokenizer *tokenizer = NULL;
    kua_status st = kua_model_folder(model, &folder);
    if (!st) st = kua_tokenizer_load(folder, &tokenizer);
    if (!st) st = tokenize_lines(tokenizer);
    kua_tokenizer_free(tokenizer);
    kua_text_free(folder);
    return st ? cli_fail(st) : CLI_OK;
}

static const cli_option tokenize_options[] = {
    {"--model", CLI_TEXT, "DIR|NAME",
     "a folder with tokenizer.json or vocab.txt, or a cached model's name"},
    {0},
};

const cli_command cli_tokenize = {
    "tokenize",
    "--model DIR|NAME < LINES",
    "print the token ids of each line, special tokens included, as a JSON array",
    NULL,
    "  echo 'wireless headphones' | kua tokenize --model minilm-l6",
    0,
    0,
    tokenize_options,
    run_tokenize,
};
