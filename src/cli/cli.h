/* cli/cli.h - what the command's files share: options, output, and one function per command.
 *
 * A command is a row in a table (main.c): name, one-line summary, options, an example, and the
 * function that runs it.
 * --help, the man page's list and the checking of arguments all come from that row.
 */
#ifndef KUA_CLI_CLI_H
#define KUA_CLI_CLI_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "kua/engine.h"

enum {
    CLI_OK = 0,
    CLI_FAILED = 1,
    CLI_USAGE = 2,
    CLI_INTERRUPTED = 130,
    CLI_OPTIONS_MAX = 24,
    CLI_SETS_MAX = 64
};

typedef enum cli_type { CLI_FLAG, CLI_TEXT, CLI_COUNT, CLI_SET } cli_type;

/* One option of a command. CLI_SET may be given many times (key=value). */
typedef struct cli_option {
    const char *name; /* "--domain" */
    cli_type type;
    const char *value; /* what stands behind it in --help: "NAME" */
    const char *help;
} cli_option;

typedef struct cli_args cli_args;

typedef struct cli_command {
    const char *name;
    const char *usage;         /* "WS --domain NAME --model KIND --name M" */
    const char *summary;       /* one line */
    const char *details;       /* paragraphs for --help; may be NULL */
    const char *example;       /* one or more lines */
    int min_words, max_words;  /* positional arguments */
    const cli_option *options; /* ends with a NULL name */
    int (*run)(const cli_args *args);
    const char *interrupted; /* what the same command does after Ctrl-C; NULL: it starts anew */
} cli_command;

/* What stood on the command line, checked against the command's options. */
struct cli_args {
    const cli_command *command;
    const char *word[4];
    int n_words;
    const char *value[CLI_OPTIONS_MAX]; /* by option; "" for a given flag, NULL: not given */
    const char *set[CLI_SETS_MAX];
    int n_sets;
    bool json, quiet;
};

/* Fills *out; false after a message on stderr. */
bool cli_parse(const cli_command *command, int argc, char **argv, cli_args *out);
const char *cli_text(const cli_args *args, const char *name); /* NULL: not given */
bool cli_flag(const cli_args *args, const char *name);
/* A whole number from low to high; false after a message. */
bool cli_count(const cli_args *args, const char *name, long low, long high, long fallback,
               long *out);
/* The --set options as JSON text, owned; NULL without a message where there are none, *bad where
 * one is malformed. */
char *cli_settings(const cli_args *args, bool *bad);
/* A required option; NULL after a message that shows the usage. */
const char *cli_required(const cli_args *args, const char *name);
void cli_help(const cli_command *command);

/* A monitor that draws a progress bar on a terminal, or a line now and then elsewhere, and turns
 * Ctrl-C into cancel. */
const kua_monitor *cli_monitor(const cli_args *args);
void cli_monitor_clear(void); /* removes the bar before anything else is printed */

/* Opens the workspace named by the first word with the monitor. */
int cli_open(const cli_args *args, kua_workspace **ws);
/* Prints the message of a failed call; returns the exit status for it. */
int cli_fail(kua_status status);
/* A job of the engine on an open workspace; `options` are the job's own. */
typedef kua_status (*cli_job)(kua_workspace *ws, const void *options, char **report);
/* Opens the workspace, runs the job, prints its report, closes the workspace; returns the exit
 * status. */
int cli_run_job(const cli_args *args, cli_job job, const void *options,
                void (*show)(const json_t *report));
/* Prints a report: JSON as it is with --json, else by `show`. Frees the text. */
int cli_report(const cli_args *args, kua_status status, char *report,
               void (*show)(const json_t *report));

/* ---- output helpers ---- */
void cli_table(const char *const *header, int columns, const char **cells,
               int rows);                           /* left, then right aligned */
const char *cli_number(double value, char buf[32]); /* 1,469,307 */
double cli_real(const json_t *object, const char *key);
const char *cli_string(const json_t *object, const char *key);

extern const cli_command cli_init, cli_import, cli_inspect, cli_encode, cli_tokenize, cli_generate,
    cli_train, cli_transfer, cli_eval, cli_classify, cli_tag, cli_recommend, cli_similar,
    cli_models, cli_report_command, cli_pretrain, cli_vocabulary, cli_model;

#endif
