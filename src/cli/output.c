/* output.c - the progress bar, Ctrl-C, failure messages, numbers and tables.
 *
 *     terminal    one line that is drawn over ten times a second; a new stage begins a new line
 *     else        a line every ten seconds, so that a log stays readable
 *     --quiet     neither; warnings are shown all the same
 *
 * The bar is on stderr and its state is the process's: there is one terminal. Whoever prints
 * removes the bar first, or ends its line.
 *
 * Ctrl-C sets a flag, which the next call of the monitor answers with "cancel"; the library then
 * ends cleanly and says KUA_CANCELED. A signal handler may do no more than that.
 */
#include <assert.h>
#include <inttypes.h>
#include <locale.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"

/* ---- progress ---- */

static volatile sig_atomic_t interrupted;

/* The first Ctrl-C asks for a clean end, the second one ends at once. */
static void on_interrupt(int signal_number)
{
    if (interrupted) _exit(128 + signal_number);
    interrupted = 1;
}

static struct {
    bool quiet, terminal, drawn; /* drawn: the cursor stands behind a bar */
    char stage[64];
    double since, last; /* seconds of the monotonic clock: the stage's begin, the last drawing */
    const char *interrupted; /* cli_command's */
    uint64_t first; /* units that were done when the stage was first seen: a resumed job's rate is
                       of this run */
} bar;

static double now_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void cli_monitor_clear(void)
{
    if (bar.drawn && bar.terminal) fprintf(stderr, "\r\033[K");
    bar.drawn = false;
}

static void format_span(double seconds, char out[16])
{
    /* 99:59:59 is as much as the room holds, and as good as "long". */
    assert(seconds >= 0);
    int s = seconds > 359999 ? 359999 : (int)(seconds + .5);
    if (s >= 3600) {
        snprintf(out, 16, "%d:%02d:%02d", s / 3600, s / 60 % 60, s % 60);
    } else {
        snprintf(out, 16, "%d:%02d", s / 60, s % 60);
    }
}

static void draw(const char *stage, uint64_t done, uint64_t total, double elapsed)
{
    char rate[32], left[16] = "-:--", n[32];
    double speed = elapsed > 0 && done > bar.first ? (double)(done - bar.first) / elapsed : 0;
    if (total && speed > 0) format_span((double)(total - done) / speed, left);
    cli_number(speed, rate);
    cli_number((double)done, n);
    if (!total) {
        fprintf(stderr, "%s%-28s %s  %s/s", bar.terminal ? "\r" : "", stage, n, rate);
    } else {
        int filled = (int)(20 * done / total);
        fprintf(stderr, "%s%-28s [%.*s%.*s] %3d%%  %s/s  %s left", bar.terminal ? "\r" : "", stage,
                filled, "####################", 20 - filled, "....................",
                (int)(100 * done / total), rate, left);
    }
    fprintf(stderr, bar.terminal ? "\033[K" : "\n");
    bar.drawn = true;
}

static bool on_progress(void *user, const char *stage, uint64_t done, uint64_t total)
{
    (void)user;
    double now = now_seconds();
    /* A job that begins again under the same name (another seed) has done less than before. */
    if (strcmp(stage, bar.stage) != 0 || done < bar.first) {
        if (bar.drawn && bar.terminal) fputc('\n', stderr);
        bar.drawn = false;
        snprintf(bar.stage, sizeof(bar.stage), "%s", stage);
        bar.since = now;
        bar.last = bar.terminal ? 0 : now;
        bar.first = done < total || !total ? done : 0;
    }
    bool due = now - bar.last > (bar.terminal ? .1 : 10.);
    if (!bar.quiet && (due || (bar.drawn && done == total))) {
        bar.last = now;
        draw(stage, done, total, now - bar.since);
    }
    return !interrupted;
}

static void on_log(void *user, kua_log_level level, const char *line)
{
    (void)user;
    if (bar.quiet && level < KUA_LOG_WARN) return;
    if (level == KUA_LOG_DEBUG) return;
    cli_monitor_clear();
    fprintf(stderr, "%s%s\n", level == KUA_LOG_WARN ? "warning: " : "", line);
}

const kua_monitor *cli_monitor(const cli_args *args)
{
    assert(args && args->command);
    static const kua_monitor monitor = {.progress = on_progress, .log = on_log};
    bar.quiet = args->quiet;
    bar.interrupted = args->command->interrupted;
    bar.terminal = isatty(STDERR_FILENO) == 1;
    struct sigaction act = {.sa_handler = on_interrupt};
    sigaction(SIGINT, &act, NULL);
    sigaction(SIGTERM, &act, NULL);
    return &monitor;
}

/* ---- failing ---- */

int cli_fail(kua_status status)
{
    assert(status);
    if (bar.drawn && bar.terminal) fputc('\n', stderr);
    bar.drawn = false;
    if (status == KUA_CANCELED) {
        fprintf(stderr, "kua: interrupted; the same command %s\n",
                bar.interrupted ? bar.interrupted : "starts it anew");
        return CLI_INTERRUPTED;
    }
    fprintf(stderr, "kua: %s\n", kua_error_message());
    return CLI_FAILED;
}

int cli_open(const cli_args *args, kua_workspace **ws)
{
    kua_status st = kua_workspace_open(args->word[0], cli_monitor(args), ws);
    return st ? cli_fail(st) : CLI_OK;
}

int cli_report(const cli_args *args, kua_status status, char *report,
               void (*show)(const json_t *report))
{
    assert(args && show);
    if (status) { /* a report that was made all the same is not shown */
        kua_text_free(report);
        return cli_fail(status);
    }
    if (!report) {
        fprintf(stderr, "kua: out of memory for a report\n");
        return CLI_FAILED;
    }
    if (bar.drawn && bar.terminal) fputc('\n', stderr);
    bar.drawn = false;
    if (args->json) {
        printf("%s\n", report);
    } else {
        json_t *json = json_loads(report, JSON_DECODE_ANY, NULL);
        if (json) show(json);
        json_decref(json);
    }
    kua_text_free(report);
    return fflush(stdout) ? CLI_FAILED : CLI_OK;
}

int cli_run_job(const cli_args *args, cli_job job, const void *options,
                void (*show)(const json_t *report))
{
    assert(job && show);
    kua_workspace *ws = NULL;
    char *report = NULL;
    int code = cli_open(args, &ws);
    if (!code) {
        kua_status st = job(ws, options, &report);
        code = cli_report(args, st, report, show);
    }
    kua_workspace_close(ws);
    return code;
}

/* ---- numbers and tables ---- */

const char *cli_number(double value, char buf[32])
{
    assert(buf);
    char plain[32];
    snprintf(plain, sizeof(plain), fabs(value) < 10 && value != floor(value) ? "%.2f" : "%.0f",
             value);
    size_t digits = strcspn(plain, "."), at = 0; /* those before the point are grouped by three */
    for (size_t i = 0; plain[i] && at + 2 < 32; i++) {
        if (i && i < digits && (digits - i) % 3 == 0 && plain[i - 1] != '-') buf[at++] = ',';
        buf[at++] = plain[i];
    }
    buf[at] = 0;
    return buf;
}

/* NAN where there is none, which callers can tell from 0. */
double cli_real(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

const char *cli_string(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

/* Columns on a terminal: bytes that continue a UTF-8 character have none. */
static int width(const char *text)
{
    int n = 0;
    for (; *text; text++)
        n += (*text & 0xc0) != 0x80;
    return n;
}

void cli_table(const char *const *header, int columns, const char **cells, int rows)
{
    assert(columns >= 1 && rows >= 0 && header && (cells || rows == 0));
    for (int row = -1; row < rows; row++) {
        for (int c = 0; c < columns; c++) {
            int widest = width(header[c]);
            for (int r = 0; r < rows; r++) {
                int w = width(cells[r * columns + c]);
                if (w > widest) widest = w;
            }
            const char *text = row < 0 ? header[c] : cells[row * columns + c];
            int pad = widest - width(text);
            if (c)
                printf("  %*s%s", pad, "", text);
            else
                printf("%s%*s", text, pad, "");
        }
        printf("\n");
    }
}
