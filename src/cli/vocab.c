/* vocab.c - the command that learns a vocabulary from texts, for a model made from nothing. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

static void show_vocabulary(const json_t *report)
{
    char a[32], b[32], c[32];
    printf("%s: %s pieces from %s distinct words of %s lines in %.1f s\n",
           cli_string(report, "kind"), cli_number(cli_real(report, "vocab_size"), a),
           cli_number(cli_real(report, "words"), b), cli_number(cli_real(report, "lines"), c),
           cli_real(report, "seconds"));
    printf("written: %s\n", cli_string(report, "out"));
}

static bool parse_kind(const char *text, kua_tokenizer_kind *out)
{
    if (!text || !strcmp(text, "wordpiece"))
        *out = KUA_TOKENIZER_WORDPIECE;
    else if (!strcmp(text, "bpe"))
        *out = KUA_TOKENIZER_BPE;
    else {
        fprintf(stderr, "kua: --kind is '%s', expected wordpiece or bpe\n", text);
        return false;
    }
    return true;
}

static int run_vocabulary(const cli_args *args)
{
    const char *text = cli_required(args, "--text"),
               *out = text ? cli_required(args, "--out") : NULL;
    long size = 0, frequency = 0;
    if (!text || !out) return CLI_USAGE;
    kua_tokenizer_training training = {.cased = cli_flag(args, "--cased"),
                                       .monitor = cli_monitor(args)};
    if (!parse_kind(cli_text(args, "--kind"), &training.kind) ||
        !cli_count(args, "--size", 16, KUA_VOCAB_MAX, 30000, &size) ||
        !cli_count(args, "--min-frequency", 1, 1000000, 2, &frequency))
        return CLI_USAGE;
    training.vocab_size = (size_t)size;
    training.min_frequency = (size_t)frequency;
    char *report = NULL;
    kua_status st = kua_vocabulary_file(text, &training, out, &report);
    return cli_report(args, st, report, show_vocabulary);
}

static const cli_option vocabulary_options[] = {
    {"--text", CLI_TEXT, "FILE", "one text a line"},
    {"--kind", CLI_TEXT, "KIND", "wordpiece (BERT's, default) or bpe (bytes, GPT-2's)"},
    {"--size", CLI_COUNT, "N", "pieces, special tokens included (default: 30000)"},
    {"--min-frequency", CLI_COUNT, "N", "a pair is merged that often at least (default: 2)"},
    {"--cased", CLI_FLAG, NULL, "wordpiece: keep capitals and accents"},
    {"--out", CLI_TEXT, "DIR", "the folder to write: tokenizer.json, for wordpiece vocab.txt too"},
    {0},
};

const cli_command cli_vocabulary = {
    "vocab",
    "--text F --out DIR [--kind wordpiece|bpe] [--size N]",
    "learn a vocabulary from texts",
    "For kua pretrain --from-scratch. The files open in Python's tokenizers too.",
    "  kua vocab --text reviews.txt --kind bpe --size 8000 --out bpe",
    0,
    0,
    vocabulary_options,
    run_vocabulary,
    NULL,
};
