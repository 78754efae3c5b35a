/* pretrain.c - the command that teaches a language model a shop's words. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "kua/pretrain.h"

static void show_point(const char *name, const json_t *point)
{
    printf("%-8s step %6.0f   loss %.4f   accuracy %.2f %%", name, cli_real(point, "step"),
           cli_real(point, "loss"), 100 * cli_real(point, "accuracy"));
    if (json_object_get(point, "perplexity"))
        printf("   perplexity %.2f", cli_real(point, "perplexity"));
    if (json_object_get(point, "bits_per_character"))
        printf("   %.4f bits a character", cli_real(point, "bits_per_character"));
    printf("\n");
}

static void show_pretrain(const json_t *report)
{
    char a[32], b[32], c[32];
    printf("%s: %s examples, %.0f steps, %s tokens in %.1f s (%s tokens/s)\n",
           cli_string(report, "objective"), cli_number(cli_real(report, "examples"), a),
           cli_real(report, "steps"), cli_number(cli_real(report, "tokens"), b),
           cli_real(report, "seconds"), cli_number(cli_real(report, "tokens_per_second"), c));
    printf("on %.0f held-out texts\n", cli_real(report, "held_out"));
    show_point("before", json_object_get(report, "before"));
    show_point("best", json_object_get(report, "best"));
    const json_t *ngram = json_object_get(report, "ngram");
    if (ngram)
        printf("%.0f-gram, modified Kneser-Ney    loss %.4f   perplexity %.2f   %.4f bits a "
               "character\n",
               cli_real(ngram, "order"), cli_real(ngram, "loss"), cli_real(ngram, "perplexity"),
               cli_real(ngram, "bits_per_character"));
    printf("written: %s\n", cli_string(report, "out"));
}

static bool parse_objective(const char *text, kua_objective *out)
{
    static const char *const names[] = {"mlm", "clm", "contrastive"};
    for (int i = 0; i < 3; i++) {
        if (!strcmp(text, names[i])) {
            *out = (kua_objective)i;
            return true;
        }
    }
    fprintf(stderr, "kua: --objective is '%s', expected mlm, clm or contrastive\n", text);
    return false;
}

typedef struct pretrain_job {
    const cli_args *args;
    kua_pretrain_options options;
} pretrain_job;

static kua_status shop_job(kua_workspace *ws, const void *ctx, char **report)
{
    const pretrain_job *job = ctx;
    return kua_pretrain_workspace(ws, cli_text(job->args, "--domains"),
                                  cli_flag(job->args, "--bought-together"), &job->options, report);
}

static int run_on_file(const cli_args *args, kua_pretrain_options *o)
{
    const char *file = cli_required(args, "--text");
    if (!file) return CLI_USAGE;
    char *folder = NULL, *report = NULL;
    kua_status st = o->model ? kua_model_folder(o->model, &folder) : KUA_OK;
    if (folder) o->model = folder;
    if (!st) st = kua_pretrain_file(file, o, cli_monitor(args), &report);
    kua_text_free(folder);
    return cli_report(args, st, report, show_pretrain);
}

static int run_pretrain(const cli_args *args)
{
    pretrain_job job = {args, {0}};
    kua_pretrain_options *o = &job.options;
    bool bad = false;
    const char *objective = cli_required(args, "--objective");
    if (!objective || !parse_objective(objective, &o->objective)) return CLI_USAGE;
    if (!(o->out = cli_required(args, "--out"))) return CLI_USAGE;
    o->model = cli_text(args, "--model");
    o->config = cli_text(args, "--from-scratch");
    o->tokenizer = cli_text(args, "--tokenizer");
    if (!o->model == !o->config) {
        fprintf(stderr, "kua: give either --model or --from-scratch\n");
        return CLI_USAGE;
    }
    if (o->config && !o->tokenizer) {
        fprintf(stderr, "kua: --from-scratch wants --tokenizer\n");
        return CLI_USAGE;
    }
    char *settings = cli_settings(args, &bad);
    if (bad) return CLI_USAGE;
    o->settings = settings;
    int status =
        args->n_words ? cli_run_job(args, shop_job, &job, show_pretrain) : run_on_file(args, o);
    free(settings);
    return status;
}

static const cli_option pretrain_options[] = {
    {"--objective", CLI_TEXT, "NAME",
     "mlm (masked words), clm (the next word) or contrastive (a text and its partner)"},
    {"--text", CLI_TEXT, "FILE", "without a workspace: one text a line"},
    {"--model", CLI_TEXT, "DIR|NAME", "go on from this model"},
    {"--from-scratch", CLI_TEXT, "CONFIG", "or begin at random with the sizes of a config.json"},
    {"--tokenizer", CLI_TEXT, "DIR", "from scratch: tokenizer.json, vocab.txt or merges.txt"},
    {"--out", CLI_TEXT, "DIR", "the model's folder to write; a checkpoint lies there meanwhile"},
    {"--domains", CLI_TEXT, "A,B", "of the workspace; default: all"},
    {"--bought-together", CLI_FLAG, NULL,
     "contrastive: items that follow one another in a user's history are partners"},
    {"--set", CLI_SET, "KEY=VALUE",
     "epochs, steps, batch_tokens, accumulate, max_tokens, lr, warmup, weight_decay, clip, "
     "dropout, "
     "seed, bf16, recompute, tune (full, lora, gradual), rank, alpha, targets, layer_decay, l2_sp, "
     "held_out, held_out_max, evals, patience, mask, pack, temperature, ngram"},
    {0},
};

const cli_command cli_pretrain = {
    "pretrain",
    "WS|--text F  --model DIR|--from-scratch CONFIG  --objective mlm|clm|contrastive --out DIR",
    "teach a language model a shop's own words",
    "Held-out texts are chosen by a hash of the text; the weights that are best on them are "
    "written.\nMemory is stated before it is taken.",
    "  kua pretrain myshop --model minilm-l6 --objective mlm --out shop-minilm --set epochs=2\n"
    "  kua pretrain --text reviews.txt --from-scratch gpt.json --tokenizer bpe --objective clm "
    "--out gpt --set ngram=5",
    0,
    1,
    pretrain_options,
    run_pretrain,
    "goes on from the checkpoint in --out",
};
