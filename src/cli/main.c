/* main.c - finds the command and runs it.
 *
 *     kua                        overview on stderr, status 2: something was forgotten
 *     kua help, --help, -h       overview on stdout, status 0
 *     kua help COMMAND           the same as kua COMMAND --help
 *     kua COMMAND ...            cli_parse, then the command's own function
 *
 * Status: 0 done, 1 failed (one line on stderr), 2 wrong usage, 130 interrupted. Results go to
 * stdout and everything else to stderr, so that output can be piped.
 */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

static const cli_command *const commands[] = {
    &cli_init,  &cli_import,         &cli_inspect,  &cli_encode,    &cli_tokenize, &cli_generate,
    &cli_train, &cli_transfer,       &cli_eval,     &cli_recommend, &cli_similar,  &cli_models,
    &cli_model, &cli_report_command, &cli_classify, &cli_tag,       &cli_pretrain, &cli_vocabulary,
};
enum { N_COMMANDS = sizeof(commands) / sizeof(commands[0]) };

static void print_overview(FILE *out)
{
    fprintf(out, "kua %s - recommendations across categories, by transfer learning\n\n",
            KUA_VERSION);
    fprintf(out, "usage: kua COMMAND [WORKSPACE] [options]\n\n");
    for (int i = 0; i < N_COMMANDS; i++) {
        fprintf(out, "  %-10s %s\n", commands[i]->name, commands[i]->summary);
    }
    fprintf(out, "\nkua COMMAND --help explains a command and shows an example.\n"
                 "The usual order: init, import, inspect, encode, train, transfer, eval, models "
                 "publish, recommend.\n");
}

static const cli_command *find_command(const char *name)
{
    for (int i = 0; i < N_COMMANDS; i++) {
        if (!strcmp(commands[i]->name, name)) return commands[i];
    }
    return NULL;
}

/* Anywhere behind the command: who asks for help has often typed half of the rest. */
static bool wants_help(int argc, char **argv)
{
    for (int i = 2; i < argc; i++) {
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) return true;
    }
    return false;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        print_overview(stderr);
        return CLI_USAGE;
    }
    if (!strcmp(argv[1], "--version")) {
        printf("kua %s\n", KUA_VERSION);
        return CLI_OK;
    }
    bool help = !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help");
    if (help && argc == 2) {
        print_overview(stdout);
        return CLI_OK;
    }
    const cli_command *command = find_command(help ? argv[2] : argv[1]);
    if (!command) {
        fprintf(stderr, "kua: no command '%s'; kua --help lists the commands\n",
                help ? argv[2] : argv[1]);
        return CLI_USAGE;
    }
    if (help || wants_help(argc, argv)) {
        cli_help(command);
        return CLI_OK;
    }
    cli_args args;
    if (!cli_parse(command, argc - 2, argv + 2, &args)) return CLI_USAGE;
    return command->run(&args);
}
