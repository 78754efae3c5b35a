/* generate.c - the command that goes on where a prompt ends.
 *
 * Text is printed as it comes; with --json one object at the end holds it, with the tokens, why it
 * ended, and how fast it was.
 */
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "kua/generate.h"

enum { TOKENS_DEFAULT = 64 };

/* ---- Ctrl-C ---- */

static volatile sig_atomic_t interrupted;

static void on_interrupt(int number)
{
    (void)number;
    interrupted = 1;
}

/* ---- output ---- */

typedef struct output {
    bool json;
    char *text; /* with --json */
    size_t n, room;
    bool lost; /* no memory for it */
} output;

static void keep_text(output *o, const char *text, size_t n)
{
    if (o->n + n + 1 > o->room) {
        size_t room = 2 * (o->n + n + 1);
        char *more = realloc(o->text, room);
        if (!more) {
            o->lost = true;
            return;
        }
        o->text = more;
        o->room = room;
    }
    memcpy(o->text + o->n, text, n);
    o->n += n;
    o->text[o->n] = 0;
}

static bool take_piece(void *user, uint32_t id, const char *text, size_t n)
{
    output *o = user;
    (void)id;
    if (o->json) {
        keep_text(o, text, n);
    } else {
        fwrite(text, 1, n, stdout);
        fflush(stdout);
    }
    return !interrupted && !o->lost;
}

static double rate(size_t n, double seconds)
{
    return seconds > 0 ? (double)n / seconds : 0;
}

static const char *end_name(kua_generator_end end)
{
    static const char *const names[] = {"end of text", "n tokens", "context is full",
                                        "interrupted"};
    return names[end];
}

static void print_json(const kua_generator *g, const output *o, const kua_generator_stats *s)
{
    size_t n = 0;
    const uint32_t *ids = kua_generator_ids(g, &n);
    kua_generator_info info = kua_generator_describe(g);
    json_t *tokens = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(tokens, json_integer(ids[i]));
    json_t *report =
        json_pack("{s:s#, s:o, s:I, s:I, s:s, s:f, s:f, s:I, s:I}", "text", o->text ? o->text : "",
                  (int)o->n, "ids", tokens, "prompt_tokens", (json_int_t)s->prompt_tokens,
                  "new_tokens", (json_int_t)s->new_tokens, "end", end_name(s->end),
                  "prompt_tokens_per_second", rate(s->prompt_tokens, s->prompt_seconds),
                  "new_tokens_per_second", rate(s->new_tokens, s->new_seconds), "file_bytes",
                  (json_int_t)info.file_bytes, "memory_bytes", (json_int_t)info.memory_bytes);
    if (report) json_dumpf(report, stdout, JSON_INDENT(2));
    printf("\n");
    json_decref(report);
}

static void print_speed(const kua_generator_stats *s)
{
    printf("\n");
    fflush(stdout);
    fprintf(stderr, "%zu tokens of the prompt, %.0f a second; %zu new ones, %.1f a second; %s\n",
            s->prompt_tokens, rate(s->prompt_tokens, s->prompt_seconds), s->new_tokens,
            rate(s->new_tokens, s->new_seconds), end_name(s->end));
}

/* ---- the command ---- */

/* A number behind an option; false after a message. */
static bool real_option(const cli_args *args, const char *name, double high, float *out)
{
    const char *text = cli_text(args, name);
    char *end = NULL;
    if (!text) return true;
    double value = strtod(text, &end);
    if (end == text || *end || !(value >= 0 && value <= high)) {
        fprintf(stderr, "kua generate: %s is '%s', expected a number 0..%g\n", name, text, high);
        return false;
    }
    *out = (float)value;
    return true;
}

static bool read_sampling(const cli_args *args, kua_sampling *s, long *context)
{
    long n = 0, top_k = 0, seed = 0;
    if (!real_option(args, "--temperature", 100, &s->temperature)) return false;
    if (!real_option(args, "--top-p", 1, &s->top_p)) return false;
    if (!cli_count(args, "-n", 1, 1000000, TOKENS_DEFAULT, &n)) return false;
    if (!cli_count(args, "--top-k", 0, 1000000, 0, &top_k)) return false;
    if (!cli_count(args, "--seed", 0, 1000000000, 1, &seed)) return false;
    if (!cli_count(args, "--context", 0, 1000000, 0, context)) return false;
    s->max_new = (size_t)n;
    s->top_k = (size_t)top_k;
    s->seed = (uint64_t)seed;
    s->ignore_end = cli_flag(args, "--ignore-end");
    return true;
}

static kua_status generate(const cli_args *args, kua_generator *g, const char *prompt,
                           const kua_sampling *sampling)
{
    output o = {.json = args->json};
    kua_generator_stats stats = {0};
    kua_status st = kua_generator_prompt(g, prompt, strlen(prompt));
    if (!st && !o.json && !args->quiet) printf("%s", prompt);
    if (!st) st = kua_generator_run(g, sampling, take_piece, &o, &stats);
    if (!st && o.json) print_json(g, &o, &stats);
    if (!st && !o.json) print_speed(&stats);
    free(o.text);
    return st;
}

static int run_generate(const cli_args *args)
{
    const char *model = cli_required(args, "--model"),
               *prompt = model ? cli_required(args, "--prompt") : NULL;
    kua_sampling sampling = {0};
    long context = 0;
    if (!prompt || !read_sampling(args, &sampling, &context)) return CLI_USAGE;
    char *path = NULL;
    kua_generator *g = NULL;
    signal(SIGINT, on_interrupt);
    kua_status st = kua_model_folder(model, &path);
    kua_generator_options options = {.max_tokens = (size_t)context};
    if (!st) st = kua_generator_load(path, &options, &g);
    if (!st) st = generate(args, g, prompt, &sampling);
    kua_generator_free(g);
    kua_text_free(path);
    if (st) return cli_fail(st);
    return interrupted ? CLI_INTERRUPTED : CLI_OK;
}

static const cli_option options[] = {
    {"--model", CLI_TEXT, "DIR|FILE|NAME", "a causal model: GPT-2 or llama, GGUF or safetensors"},
    {"--prompt", CLI_TEXT, "TEXT", "what to go on from"},
    {"-n", CLI_COUNT, "N", "new tokens at most (default 64)"},
    {"--temperature", CLI_TEXT, "X",
     "0: always the likeliest token (default); 1: as the model says"},
    {"--top-k", CLI_COUNT, "K", "draw from the K likeliest only; 0: from all (default)"},
    {"--top-p", CLI_TEXT, "P", "draw from the fewest tokens whose probabilities reach P"},
    {"--seed", CLI_COUNT, "S", "of the draws (default 1)"},
    {"--context", CLI_COUNT, "N", "tokens of prompt and answer together (default 2048)"},
    {"--ignore-end", CLI_FLAG, NULL, "go on behind the token that ends a text"},
    {0},
};

const cli_command cli_generate = {
    "generate",
    "--model DIR|FILE|NAME --prompt TEXT [-n N] [--temperature X] [--top-k K] [--top-p P]",
    "write on where a prompt ends, with a causal language model",
    "Weights stay in the mapped file in the types they have there, so that a quantised model needs "
    "little more memory than its file has bytes.",
    "  kua generate --model smollm2-135m --prompt 'The capital of France is' -n 8\n"
    "  kua generate --model smollm2-135m --prompt 'Once upon a time' --temperature 0.8 --top-p 0.9",
    0,
    0,
    options,
    run_generate,
};
