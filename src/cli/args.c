/* args.c - the command line against a command's table of options.
 *
 * Accepts "--name VALUE" and "--name=VALUE", options and words in any order, and "-n" beside long
 * names. Every command also has --json, --quiet, --threads N and --help.
 *
 *     argv --cli_parse--> cli_args: words, value[option], set[], json, quiet
 *                           `- or one line that says what is wrong, and the usage: exit status 2
 *
 * Nothing is copied: all texts are argv's, which outlive the command. An option that is given twice
 * has its last value; --set may be given many times, and its pairs are put together at the end.
 *
 * An empty word or value is refused everywhere: it would mean something else for each option.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

/* Always -1, so that a caller can complain and give up in one line. */
static int complain(const cli_command *command, const char *what, const char *name)
{
    assert(command && what && name);
    fprintf(stderr, "kua %s: %s '%s'\nusage: kua %s %s\n", command->name, what, name, command->name,
            command->usage);
    return -1;
}

static int find_option(const cli_command *command, const char *name, size_t n)
{
    for (int i = 0; command->options[i].name; i++) {
        assert(i < CLI_OPTIONS_MAX); /* value[] has a place for each */
        if (strlen(command->options[i].name) == n && !memcmp(command->options[i].name, name, n))
            return i;
    }
    return -1;
}

static bool set_threads(const cli_command *command, const char *text)
{
    char *end = NULL;
    long n = strtol(text, &end, 10);
    if (!*text || *end || n < 1 || n > 1024) {
        return complain(command, "--threads must be 1..1024, not", text), false;
    }
    kua_threads((int)n);
    return true;
}

/* The value of the option at argv[*i]: behind '=', or the next word. */
static const char *option_value(int argc, char **argv, int *i)
{
    const char *equals = strchr(argv[*i], '=');
    if (equals) return equals + 1;
    return *i + 1 < argc ? argv[++*i] : NULL;
}

static bool parse_option(const cli_command *command, int argc, char **argv, int *i, cli_args *out)
{
    const char *arg = argv[*i];
    size_t n = strcspn(arg, "=");
    if (!strcmp(arg, "--json")) return out->json = true;
    if (!strcmp(arg, "--quiet")) return out->quiet = true;
    /* --threads is every command's, and takes effect at once: it has no place in value[]. */
    bool threads = n == 9 && !memcmp(arg, "--threads", 9);
    int option = threads ? 0 : find_option(command, arg, n);
    if (option < 0) return complain(command, "no option", arg), false;
    if (!threads && command->options[option].type == CLI_FLAG) {
        out->value[option] = "";
        return true;
    }
    const char *value = option_value(argc, argv, i);
    if (!value) return complain(command, "a value is missing behind", arg), false;
    if (!*value) return complain(command, "an empty value is given to", arg), false;
    if (threads) return set_threads(command, value);
    if (command->options[option].type != CLI_SET) {
        out->value[option] = value;
        return true;
    }
    if (out->n_sets == CLI_SETS_MAX) return complain(command, "too many", arg), false;
    out->set[out->n_sets++] = value;
    return true;
}

bool cli_parse(const cli_command *command, int argc, char **argv, cli_args *out)
{
    assert(command && command->options && command->run && out);
    assert(command->min_words <= command->max_words &&
           command->max_words <= (int)(sizeof(out->word) / sizeof(out->word[0])));
    *out = (cli_args){.command = command};
    for (int i = 0; i < argc; i++) {
        if (argv[i][0] == '-' && argv[i][1]) { /* "-" alone is a word */
            if (!parse_option(command, argc, argv, &i, out)) return false;
        } else if (!*argv[i]) {
            return complain(command, "an argument is empty:", argv[i]), false;
        } else if (out->n_words == command->max_words) {
            return complain(command, "one argument too many:", argv[i]), false;
        } else {
            out->word[out->n_words++] = argv[i];
        }
    }
    /* --list asks what there is, for which no workspace is needed. */
    if (out->n_words < command->min_words && !cli_flag(out, "--list")) {
        fprintf(stderr, "kua %s: an argument is missing\nusage: kua %s %s\n", command->name,
                command->name, command->usage);
        return false;
    }
    return true;
}

const char *cli_text(const cli_args *args, const char *name)
{
    assert(args && args->command && name);
    int option = find_option(args->command, name, strlen(name));
    return option < 0 ? NULL : args->value[option];
}

bool cli_flag(const cli_args *args, const char *name)
{
    return cli_text(args, name) != NULL;
}

const char *cli_required(const cli_args *args, const char *name)
{
    const char *value = cli_text(args, name);
    if (!value) {
        fprintf(stderr, "kua %s: %s is missing\nusage: kua %s %s\n", args->command->name, name,
                args->command->name, args->command->usage);
    }
    return value;
}

bool cli_count(const cli_args *args, const char *name, long low, long high, long fallback,
               long *out)
{
    assert(low <= high && out);
    const char *text = cli_text(args, name);
    *out = fallback;
    if (!text) return true;
    char *end = NULL;
    errno = 0;
    *out = strtol(text, &end, 10);
    if (*text && !*end && !errno && *out >= low && *out <= high) return true;
    fprintf(stderr, "kua %s: %s is '%s', expected a whole number %ld..%ld\n", args->command->name,
            name, text, low, high);
    return false;
}

/* 20 -> number, true -> boolean, anything else -> text. */
static json_t *setting_value(const char *text)
{
    json_t *value = json_loads(text, JSON_DECODE_ANY, NULL);
    return value ? value : json_string(text);
}

char *cli_settings(const cli_args *args, bool *bad)
{
    assert(args && bad);
    *bad = false;
    if (!args->n_sets) return NULL;
    json_t *object = json_object();
    for (int i = 0; i < args->n_sets; i++) {
        const char *equals = strchr(args->set[i], '=');
        if (!equals || equals == args->set[i]) {
            fprintf(stderr, "kua %s: --set is '%s', expected key=value\n", args->command->name,
                    args->set[i]);
            *bad = true;
            break;
        }
        char key[64];
        snprintf(key, sizeof(key), "%.*s", (int)(equals - args->set[i]), args->set[i]);
        if (json_object_set_new(object, key, setting_value(equals + 1))) {
            fprintf(stderr, "kua %s: --set '%s' is not UTF-8, or there is no memory for it\n",
                    args->command->name, args->set[i]);
            *bad = true;
            break;
        }
    }
    char *text = *bad ? NULL : json_dumps(object, JSON_COMPACT);
    if (!*bad && !text) {
        fprintf(stderr, "kua %s: out of memory for settings\n", args->command->name);
        *bad = true;
    }
    json_decref(object);
    return text;
}

void cli_help(const cli_command *command)
{
    printf("kua %s - %s\n\nusage: kua %s %s\n", command->name, command->summary, command->name,
           command->usage);
    if (command->details) printf("\n%s\n", command->details);
    printf("\noptions:\n");
    for (const cli_option *o = command->options; o->name; o++) {
        char left[64];
        snprintf(left, sizeof(left), "%s %s", o->name, o->value ? o->value : "");
        printf("  %-22s %s\n", left, o->help);
    }
    printf("  %-22s %s\n", "--json", "print the result as JSON");
    printf("  %-22s %s\n", "--quiet", "show no progress");
    printf("  %-22s %s\n", "--threads N", "use N threads (default: all cores)");
    printf("\nexample:\n%s\n", command->example);
}
