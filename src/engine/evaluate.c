/* evaluate.c - kua_evaluate: the same questions to several models, one table.
 *
 * Setting the stage reads both domains' vectors and counting the questions goes through all events,
 * so it is done once for each list of sources that a model has, not once a model.
 *
 * A name may end in ":raw": the transferred model without the guard's switches, so that a table can
 * show both what a strategy does and what is published. Models with sources get questions with
 * their own sources' histories; the users and the relevant items are the target's and the same for
 * all.
 */
#include <assert.h>
#include <string.h>

#include "engine/scorer.h"

typedef struct evaluated {
    kua__kept model;
    char *name; /* as given, with ":raw" */
    bool raw;
    kua__eval_result *results; /* [n_results] one a seed */
    size_t n_results;
} evaluated;

/* The questions for models with the same sources. */
typedef struct asked {
    const char *sources; /* borrowed from a model */
    kua__stage stage;
    kua__world world;
    kua__eval_set set;
} asked;

typedef struct evaluation {
    kua_workspace *ws;
    const kua_evaluate_options *options;
    evaluated *row;
    size_t n_rows;
    char *split;
    asked *asked; /* [n_rows at most] */
    size_t n_asked;
    const asked
        *main; /* of the first row with sources, else of the first: what slices are made from */
} evaluation;

static kua_status row_open(evaluation *e, const char *name, size_t n, evaluated *row)
{
    assert(row >= e->row && row < e->row + e->n_rows);
    row->raw = n > 4 && !memcmp(name + n - 4, ":raw", 4);
    row->name = kua__strndup(name, n);
    if (!row->name) return kua__fail_nomem(n, "a model's name");
    char *plain = kua__strndup(name, row->raw ? n - 4 : n);
    kua_status st =
        plain ? kua__kept_open(e->ws, plain, 0, &row->model) : kua__fail_nomem(n, "a model's name");
    kua__free(plain);
    if (st) return st;
    if (!kua__streq(row->model.domain, e->row[0].model.domain) ||
        (e->options->domain && !kua__streq(row->model.domain, e->options->domain))) {
        return kua__fail(KUA_INVALID, "model %s recommends in '%s', not in '%s'", row->model.name,
                         row->model.domain,
                         e->options->domain ? e->options->domain : e->row[0].model.domain);
    }
    return KUA_OK;
}

/* One row for each name in the list. n_rows counts a row before it is opened: releasing what is
 * half open is fine. */
static kua_status rows_open(evaluation *e)
{
    const char *p = e->options->models;
    size_t room = 1;
    for (const char *c = p; *c; c++)
        room += *c == ',';
    KUA__TRY(KUA__NEW_ZEROED(&e->row, room, "rows of a table"));
    for (; e->n_rows < room; p += strcspn(p, ",") + 1) {
        evaluated *row = &e->row[e->n_rows++];
        KUA__TRY(row_open(e, p, strcspn(p, ","), row));
    }
    return KUA_OK;
}

/* How questions are put: options of the command, and what the split asks for. */
static kua__eval_options question_options(const evaluation *e, const kua__stage *stage)
{
    /* By date the catalogue of that day is ranked; else, as benchmarks do, all of the domain. */
    bool time = stage->side[0].split.kind == KUA__SPLIT_TIME;
    const kua_evaluate_options *o = e->options;
    return (kua__eval_options){.part = o->valid ? KUA__PART_VALID : KUA__PART_TEST,
                               .mask_seen = o->mask_seen || o->new_only,
                               .new_only = o->new_only,
                               .sold_only = time,
                               .seed = 1};
}

static kua__world question_world(const evaluation *e, const kua__stage *stage)
{
    return e->options->valid ? kua__stage_choosing(stage, 1) : kua__stage_final(stage, 1);
}

static kua_status ask(evaluation *e, const kua__kept *model, asked **out)
{
    assert(e->asked && e->n_asked <= e->n_rows);
    for (size_t i = 0; i < e->n_asked; i++) {
        *out = &e->asked[i];
        if (kua__streq(e->asked[i].sources, model->sources)) return KUA_OK;
    }
    /* n_asked grows when it is whole: evaluation_release frees only those. */
    asked *a = *out = &e->asked[e->n_asked];
    KUA__TRY(kua__kept_stage(e->ws, model, e->split, &a->stage));
    a->sources = model->sources;
    a->world = question_world(e, &a->stage);
    kua__eval_options options = question_options(e, &a->stage);
    kua_status st = kua__eval_set_build(&a->set, &a->world, &a->stage.side[0].split, &options);
    if (st) kua__stage_release(&a->stage);
    e->n_asked += !st;
    return st;
}

/* Slices such as "users known from a source" need sources: a model that has them decides, the first
 * one of these. */
static kua_status ask_main(evaluation *e)
{
    const kua__kept *from = &e->row[0].model;
    for (size_t i = e->n_rows; i-- > 0;) {
        if (*e->row[i].model.sources) from = &e->row[i].model;
    }
    asked *a = NULL;
    KUA__TRY(KUA__NEW_ZEROED(&e->asked, e->n_rows, "questions"));
    KUA__TRY(ask(e, from, &a));
    e->main = a;
    return KUA_OK;
}

/* The seeds of a model are measured one by one, and never in memory together. */
static kua_status run_row(evaluation *e, evaluated *row)
{
    asked *a = NULL;
    KUA__TRY(ask(e, &row->model, &a));
    kua_status st = KUA__NEW_ZEROED(&row->results, row->model.n_seeds, "results");
    for (size_t k = 0; !st && k < row->model.n_seeds; k++) {
        kua__scorer scorer;
        st = kua__scorer_open(e->ws, &row->model, k, &a->stage, &a->world, row->raw, &scorer);
        if (st) break;
        assert(a->set.n_users == e->main->set.n_users); /* rows of one table are comparable */
        st = kua__eval_run(&a->set, kua__scorer_score, &scorer, e->ws->monitor, &row->results[k]);
        row->n_results += !st;
        kua__scorer_release(&scorer);
    }
    return st;
}

static kua_status make_table(evaluation *e, json_t **out)
{
    kua__eval_row *rows = NULL;
    KUA__TRY(KUA__NEW_ZEROED(&rows, e->n_rows, "rows of a table"));
    for (size_t i = 0; i < e->n_rows; i++) {
        const json_t *record = json_object_get(e->row[i].model.row, "record");
        rows[i] = (kua__eval_row){
            .name = e->row[i].name,
            .settings = e->row[i].model.settings,
            .results = e->row[i].results,
            .n_results = e->row[i].n_results,
            .seconds = json_number_value(json_object_get(record, "seconds")),
            .bytes = (size_t)json_integer_value(json_object_get(record, "peak_bytes")),
        };
    }
    kua__table_options options = {.title = e->row[0].model.domain,
                                  .baseline = e->options->baseline,
                                  .seed = e->options->seed ? e->options->seed : 1};
    kua_status st = kua__table_json(&e->main->set, rows, e->n_rows, &options, out);
    if (!st && e->options->per_user)
        st = kua__per_user_write(e->options->per_user, &e->main->set, rows, e->n_rows);
    kua__free(rows);
    return st;
}

static void evaluation_release(evaluation *e)
{
    for (size_t i = 0; i < e->n_rows; i++) {
        for (size_t k = 0; k < e->row[i].n_results; k++)
            kua__eval_result_release(&e->row[i].results[k]);
        kua__free(e->row[i].results);
        kua__free(e->row[i].name);
        kua__kept_release(&e->row[i].model);
    }
    for (size_t i = 0; i < e->n_asked; i++) {
        kua__eval_set_release(&e->asked[i].set);
        kua__stage_release(&e->asked[i].stage);
    }
    kua__free(e->asked);
    kua__free(e->row);
    kua__free(e->split);
}

kua_status kua_evaluate(kua_workspace *ws, const kua_evaluate_options *o, char **report)
{
    assert(ws && o && o->models);
    if (report) *report = NULL;
    evaluation e = {.ws = ws, .options = o};
    json_t *table = NULL;
    kua_status st = rows_open(&e);
    if (!st) {
        e.split = kua__strdup(o->split ? o->split : e.row[0].model.split);
        st = e.split ? ask_main(&e) : kua__fail_nomem(0, "a split's name");
    }
    for (size_t i = 0; !st && i < e.n_rows; i++)
        st = run_row(&e, &e.row[i]);
    if (!st) st = make_table(&e, &table);
    evaluation_release(&e);
    if (!st) return kua__engine_report(table, report);
    json_decref(table);
    return st;
}
