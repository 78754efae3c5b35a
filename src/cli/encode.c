/* encode.c - the commands that turn text into ids and vectors: encode, tokenize.
 *
 * `encode` has two forms. With a workspace it encodes the shop's texts, and only those that have no
 * vector yet; with --text-file it needs no workspace, and writes one row a line, for whoever wants
 * the encoder alone. `tokenize` is a filter: lines in, one JSON array a line out, so that its ids
 * can be compared with another tokenizer's by diff; with --decode it takes such arrays back.
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

/* false: the usage is wrong, which has been said. */
static bool precision_of(const cli_args *args, kua_precision *out)
{
    static const char *const names[] = {"f32", "bf16", "int8"};
    const char *text = cli_text(args, "--precision");
    for (int i = 0; i < 3; i++) {
        if (strcmp(text ? text : "f32", names[i]) == 0) {
            *out = (kua_precision)i;
            return true;
        }
    }
    fprintf(stderr, "kua %s: --precision is '%s', expected f32, bf16 or int8\n",
            args->command->name, text);
    return false;
}

static int encode_file(const cli_args *args, const char *model, kua_precision precision)
{
    const char *in = cli_required(args, "--text-file"),
               *out = in ? cli_required(args, "--out") : NULL;
    if (!out) return CLI_USAGE;
    char *report = NULL;
    kua_status st = kua_encode_file(model, precision, in, out, cli_monitor(args), &report);
    return cli_report(args, st, report, show_encode);
}

typedef struct encode_call {
    const char *model;
    kua_precision precision;
} encode_call;

static kua_status encode_job(kua_workspace *ws, const void *call, char **report)
{
    const encode_call *c = call;
    return kua_encode(ws, c->model, c->precision, report);
}

static int run_encode(const cli_args *args)
{
    encode_call call = {.model = cli_required(args, "--model")};
    if (!call.model || !precision_of(args, &call.precision)) return CLI_USAGE;
    return args->n_words ? cli_run_job(args, encode_job, &call, show_encode)
                         : encode_file(args, call.model, call.precision);
}

static const cli_option encode_options[] = {
    {"--model", CLI_TEXT, "DIR|NAME",
     "a folder with config.json, model.safetensors and a tokenizer, or a cached model's name"},
    {"--precision", CLI_TEXT, "P",
     "f32 (default), bf16 (twice as fast, cosine .9999) or int8 (three times, cosine .998)"},
    {"--text-file", CLI_TEXT, "FILE", "without a workspace: one text a line"},
    {"--out", CLI_TEXT, "FILE",
     "without a workspace: the safetensors file to write, one row a line"},
    {0},
};

const cli_command cli_encode = {
    "encode",
    "WS --model DIR|NAME   or   --model DIR|NAME --text-file F --out FILE",
    "turn item texts into vectors with a pretrained language model",
    "Each distinct text is encoded once; texts that have a vector already are skipped. Vectors of\n"
    "another precision do not mix: asking for another encodes all texts anew.",
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

/* Ids of a line, "[1,2,3]" or "1 2 3", into *ids; false after a message. */
static bool read_ids(const char *line, size_t number, kua_ids *ids)
{
    ids->n = 0;
    for (const char *at = line + strspn(line, " \t\r\n[],"); *at; at += strspn(at, " \t\r\n[],")) {
        char *end = NULL;
        unsigned long id = strtoul(at, &end, 10);
        if (end == at || *at == '-' || *at == '+' || id > UINT32_MAX) {
            fprintf(stderr, "line %zu, column %zu: \"%.20s\" is not an id\n", number,
                    (size_t)(at - line) + 1, at);
            return false;
        }
        if (ids->n == ids->room) {
            size_t room = ids->room ? 2 * ids->room : 64;
            uint32_t *grown = realloc(ids->id, room * sizeof(*grown));
            if (!grown) {
                fprintf(stderr, "out of memory: %zu ids\n", room);
                return false;
            }
            ids->id = grown;
            ids->room = room;
        }
        ids->id[ids->n++] = (uint32_t)id;
        at = end;
    }
    return true;
}

static void print_text(const kua_text_buffer *text, bool json)
{
    if (!json) {
        fwrite(text->data, 1, text->n, stdout);
        putchar('\n');
        return;
    }
    json_t *value = json_stringn(text->data, text->n);
    char *quoted = value ? json_dumps(value, JSON_ENCODE_ANY) : NULL;
    puts(quoted ? quoted : "null");
    kua_text_free(quoted);
    json_decref(value);
}

/* `ids` are this function's own: they never meet the library's memory. */
static int decode_lines(const kua_tokenizer *tokenizer, const cli_args *args)
{
    char *line = NULL;
    size_t room = 0, number = 0;
    kua_ids ids = {0};
    kua_text_buffer text = {0};
    int status = CLI_OK;
    while (status == CLI_OK && getline(&line, &room, stdin) >= 0) {
        if (!read_ids(line, ++number, &ids)) {
            status = CLI_FAILED;
            break;
        }
        kua_status st = kua_tokenizer_decode(tokenizer, ids.id, ids.n,
                                             !cli_flag(args, "--keep-special"), &text);
        if (st)
            status = cli_fail(st);
        else
            print_text(&text, args->json);
    }
    kua_text_buffer_release(&text);
    free(ids.id);
    free(line);
    return status;
}

/* ---- what a tokenizer is ---- */

static void add_token(json_t *to, const kua_tokenizer *tokenizer, const char *name, uint32_t id)
{
    if (id == KUA_TOKEN_NONE) return;
    json_object_set_new(
        to, name,
        json_pack("{s:I,s:s}", "id", (json_int_t)id, "piece", kua_tokenizer_piece(tokenizer, id)));
}

static int describe(const kua_tokenizer *tokenizer, const cli_args *args)
{
    kua_tokenizer_info info = kua_tokenizer_describe(tokenizer);
    const struct {
        const char *name;
        uint32_t id;
    } tokens[] = {{"pad", info.pad}, {"unk", info.unk}, {"cls", info.cls},  {"sep", info.sep},
                  {"bos", info.bos}, {"eos", info.eos}, {"mask", info.mask}};
    const char *kind = kua_tokenizer_kind_name(info.kind);
    if (!args->json) {
        printf("%s, %zu pieces, %zu tokens around each text\n", kind, info.vocab_size,
               info.special_per_text);
        for (size_t i = 0; i < sizeof(tokens) / sizeof(*tokens); i++) {
            if (tokens[i].id != KUA_TOKEN_NONE)
                printf("%-4s %7u  %s\n", tokens[i].name, tokens[i].id,
                       kua_tokenizer_piece(tokenizer, tokens[i].id));
        }
        return CLI_OK;
    }
    json_t *report =
        json_pack("{s:s,s:I,s:I,s:I}", "kind", kind, "vocab_size", (json_int_t)info.vocab_size,
                  "special_per_text", (json_int_t)info.special_per_text, "max_tokens",
                  (json_int_t)info.max_tokens);
    for (size_t i = 0; i < sizeof(tokens) / sizeof(*tokens); i++)
        add_token(report, tokenizer, tokens[i].name, tokens[i].id);
    char *text = json_dumps(report, JSON_INDENT(2));
    puts(text ? text : "{}");
    kua_text_free(text);
    json_decref(report);
    return CLI_OK;
}

static int run_tokenize(const cli_args *args)
{
    const char *model = cli_required(args, "--model");
    if (!model) return CLI_USAGE;
    char *folder = NULL;
    kua_tokenizer *tokenizer = NULL;
    kua_status st = kua_model_folder(model, &folder);
    if (!st) st = kua_tokenizer_load(folder, &tokenizer);
    int status = CLI_OK;
    if (!st && cli_flag(args, "--describe"))
        status = describe(tokenizer, args);
    else if (!st && cli_flag(args, "--decode"))
        status = decode_lines(tokenizer, args);
    else if (!st)
        st = tokenize_lines(tokenizer);
    kua_tokenizer_free(tokenizer);
    kua_text_free(folder);
    return st ? cli_fail(st) : status;
}

static const cli_option tokenize_options[] = {
    {"--model", CLI_TEXT, "DIR|FILE|NAME",
     "a folder or file with a tokenizer (tokenizer.json, vocab.json and merges.txt, vocab.txt, "
     ".gguf), or a cached model's name"},
    {"--decode", CLI_FLAG, NULL, "the other way: lines of ids in, texts out"},
    {"--keep-special", CLI_FLAG, NULL, "with --decode: special tokens too"},
    {"--describe", CLI_FLAG, NULL, "what the tokenizer is, and its special tokens"},
    {0},
};

const cli_command cli_tokenize = {
    "tokenize",
    "--model DIR|FILE|NAME [--decode | --describe] < LINES",
    "print the token ids of each line, special tokens included, as a JSON array",
    "WordPiece, byte-level BPE and Unigram: the same ids as the tokenizers package gives. --decode "
    "reads lines of ids, as JSON arrays or with blanks between, and prints a text for each (a JSON "
    "string with --json, since a text may hold line breaks).",
    "  echo 'wireless headphones' | kua tokenize --model minilm-l6\n"
    "  echo '504 3575 282 4649 314' | kua tokenize --model smollm2-135m --decode",
    0,
    0,
    tokenize_options,
    run_tokenize,
};
