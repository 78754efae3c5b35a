/* text.c - a table for a terminal, and each user's numbers for who wants to test a difference.
 *
 * The table's text is made from its JSON and not from the results, so that what a terminal shows
 * and what a file holds cannot differ. Columns are of fixed width but the first; numbers have the
 * four places that papers of this field print.
 */
#include "eval/eval.h"

#include <assert.h>
#include <math.h>

static double real_at(const json_t *object, const char *key)
{
    return json_number_value(json_object_get(object, key));
}

static const char *text_at(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

/* ".0531" as tables of this field write it: four places, no leading zero. */
static void put_share(kua__buf *out, double x, const char *sign)
{
    /* What rounds to 1 keeps its digit before the point; what rounds to 0 has no sign. */
    char digits[32];
    snprintf(digits, sizeof(digits), "%.4f", fabs(x));
    const char *from = fabs(x) < .99995 ? digits + 1 : digits;
    kua__buf_printf(out, "%s%s", x < -.00005 ? "-" : sign, from);
}

static void put_cell(kua__buf *out, double x)
{
    kua__buf_puts(out, "  ");
    put_share(out, x, "");
}

static void put_interval(kua__buf *out, const json_t *row, const char *measure)
{
    const json_t *pair = json_object_get(json_object_get(row, "intervals"), measure);
    kua__buf_puts(out, " [");
    put_share(out, json_number_value(json_array_get(pair, 0)), "");
    kua__buf_puts(out, " ");
    put_share(out, json_number_value(json_array_get(pair, 1)), "");
    kua__buf_puts(out, "]");
}

/* +1 better than the baseline beyond the interval, -1 worse, 0 neither. */
static int compared(const json_t *difference)
{
    if (!difference) return 0;
    return real_at(difference, "low") > 0 ? 1 : real_at(difference, "high") < 0 ? -1 : 0;
}

static void put_compared(kua__buf *out, const json_t *row)
{
    const json_t *d = json_object_get(json_object_get(row, "difference"), "ndcg@10");
    static const char *const words[] = {"worse", "same", "better"};
    if (!d) {
        kua__buf_printf(out, "  %-27s", "(compared with this)");
        return;
    }
    kua__buf_puts(out, "  ");
    put_share(out, real_at(d, "mean"), "+");
    kua__buf_puts(out, " [");
    put_share(out, real_at(d, "low"), "+");
    kua__buf_puts(out, " ");
    put_share(out, real_at(d, "high"), "+");
    kua__buf_printf(out, "] %-6s", words[compared(d) + 1]);
}

static void put_cost(kua__buf *out, const json_t *row)
{
    double seconds = real_at(row, "seconds"), bytes = real_at(row, "bytes");
    kua__buf_printf(out, "  %7.1f%%", 100 * real_at(row, "coverage"));
    if (seconds > 0)
        kua__buf_printf(out, "  %6.1f s", seconds);
    else
        kua__buf_printf(out, "  %8s", "");
    if (bytes > 0) kua__buf_printf(out, "  %6.0f MB", bytes / 1e6);
}

static size_t name_width(const json_t *rows)
{
    size_t width = 5, i;
    const json_t *row;
    json_array_foreach(rows, i, row) width = KUA__MAX(width, strlen(text_at(row, "model")));
    return width;
}

static void put_row(kua__buf *out, const json_t *row, int width, bool color)
{
    static const char *const tail[] = {"recall@5", "recall@20", "mrr@10", "map@10"};
    const json_t *metrics = json_object_get(row, "metrics");
    const json_t *difference = json_object_get(json_object_get(row, "difference"), "ndcg@10");
    bool bold = color && compared(difference) > 0;
    kua__buf_printf(out, "%s%-*s", bold ? "\033[1m" : "", width, text_at(row, "model"));
    put_cell(out, real_at(metrics, "recall@10"));
    put_interval(out, row, "recall@10");
    put_cell(out, real_at(metrics, "ndcg@10"));
    put_interval(out, row, "ndcg@10");
    put_compared(out, row);
    for (size_t k = 0; k < KUA__COUNT(tail); k++)
        put_cell(out, real_at(metrics, tail[k]));
    put_cost(out, row);
    kua__buf_printf(out, "%s\n", bold ? "\033[0m" : "");
}

static void put_heading(kua__buf *out, const json_t *table, int width)
{
    const json_t *protocol = json_object_get(table, "protocol");
    if (*text_at(table, "title")) kua__buf_printf(out, "%s\n", text_at(table, "title"));
    kua__buf_printf(out, "%.0f users: %s. 95 %% intervals over users.\n",
                    real_at(protocol, "users"), text_at(protocol, "words"));
    kua__buf_printf(out,
                    "%-*s  %-19s  %-19s  ndcg@10 vs %-16.16s  rec@5  re@20  mrr10  map10  coverage "
                    " training    memory\n",
                    width, "model", "recall@10", "ndcg@10", text_at(table, "baseline"));
}

static void put_slices(kua__buf *out, const json_t *rows, int width)
{
    const json_t *row, *first = json_object_get(json_array_get(rows, 0), "slices"), *slice;
    const char *name;
    size_t i;
    if (json_object_size(first) == 0) return;
    kua__buf_printf(out, "\nndcg@10 of slices\n%-*s", width, "");
    json_object_foreach((json_t *)(uintptr_t)first, name, slice)
        kua__buf_printf(out, "  %11s", name);
    kua__buf_printf(out, "\n%-*s", width, "users");
    json_object_foreach((json_t *)(uintptr_t)first, name, slice)
        kua__buf_printf(out, "  %11.0f", real_at(slice, "users"));
    kua__buf_puts(out, "\n");
    json_array_foreach(rows, i, row)
    {
        kua__buf_printf(out, "%-*s", width, text_at(row, "model"));
        json_object_foreach((json_t *)(uintptr_t)first, name, slice)
        {
            const json_t *mine = json_object_get(json_object_get(row, "slices"), name);
            kua__buf_puts(out, "        ");
            put_share(out, real_at(json_object_get(mine, "metrics"), "ndcg@10"), "");
        }
        kua__buf_puts(out, "\n");
    }
}

kua_status kua__table_text(const json_t *table, bool color, kua__buf *out)
{
    assert(json_is_object(table));
    assert(out);
    const json_t *rows = json_object_get(table, "rows"), *row;
    int width = (int)name_width(rows);
    size_t i;
    put_heading(out, table, width);
    json_array_foreach(rows, i, row) put_row(out, row, width, color);
    put_slices(out, rows, width);
    return kua__buf_status(out);
}

/* ---- each user ---- */

static void write_user(kua__writer *w, const kua__eval_set *set, const kua__eval_row *row,
                       size_t seed, const kua__columns *columns, size_t k)
{
    size_t q = columns->row[k], at = set->relevant_at[q], end = set->relevant_at[q + 1];
    const kua__ids *users = &set->world->side.shop->users;
    float best = KUA__MISS;
    for (size_t i = at; i < end; i++)
        best = KUA__MIN(best, row->results[seed].rank[i]);
    kua__writer_printf(w, "%s\t%s\t%zu\t%zu\t", users->name[set->query[q].user], row->name, seed,
                       end - at);
    if (best < KUA__MISS) kua__writer_printf(w, "%g", (double)best + 1);
    for (size_t m = 0; m < KUA__MEASURES; m++)
        kua__writer_printf(w, "\t%.6g", (double)columns->value[m * columns->n_users + k]);
    kua__writer_add(w, "\n", 1);
}

static kua_status write_row(kua__writer *w, const kua__eval_set *set, const kua__eval_row *row)
{
    for (size_t seed = 0; seed < row->n_results; seed++) {
        kua__columns columns;
        KUA__TRY(kua__eval_columns(set, &row->results[seed], 1, KUA__SLICE_ALL, NULL, &columns));
        for (size_t k = 0; k < columns.n_users; k++)
            write_user(w, set, row, seed, &columns, k);
        kua__columns_release(&columns);
    }
    return KUA_OK;
}

kua_status kua__per_user_write(const char *path, const kua__eval_set *set,
                               const kua__eval_row *rows, size_t n_rows)
{
    assert(path && set && rows);
    kua__writer w;
    kua_status st = kua__writer_open(&w, path);
    if (st) goto failed;
    kua__writer_printf(&w, "user\tmodel\tseed\trelevant\tbest_rank");
    for (int m = 0; m < KUA__MEASURES; m++)
        kua__writer_printf(&w, "\t%s", kua__measure_name(m));
    kua__writer_add(&w, "\n", 1);
    for (size_t r = 0; !st && r < n_rows; r++)
        st = write_row(&w, set, &rows[r]);
    if (!st) return kua__writer_commit(&w);
failed:
    kua__writer_abort(&w);
    return st;
}
