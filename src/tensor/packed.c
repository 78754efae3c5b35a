/* packed.c - oneDNN's matmul primitive with weights in the layout of its own choice.
 *
 * Why not sgemm: it re-packs the weights in every call and knows no epilogue. A matmul primitive
 * whose weights have `format_tag_any` reaches 95 % of the core's peak, and applies bias, GELU and
 * the residual sum to a block of the result while it is in cache.
 *
 * Who owns what
 *     kua__packed   weights and bias in oneDNN's layout; immutable after create
 *     kua__lane     a stream, and a hash table of plans. A plan is a compiled primitive for one
 *                   (shape, epilogue, rows) with its own source, destination and scratchpad
 *                   objects, whose pointers change with each run; so a lane belongs to one thread
 *                   at a time, and a run allocates nothing of ours
 *     engine        one for the process, never destroyed (oneDNN keeps global state beside it)
 *
 * The layout is chosen for REFERENCE_ROWS rows; plans for other numbers of rows are asked to take
 * it as it is. It depends on `in` and `out` only, so they do, with the fast kernel; any plan is
 * right, whichever kernel it gets.
 */
#include "tensor/packed.h"

#include <assert.h>
#include <dnnl.h>
#include <pthread.h>
#include <string.h>

#include "tensor/gemm.h"
#include "tensor/kernels.h"
#include "tensor/packed_low.h"

enum { REFERENCE_ROWS = 256, SIDE_MAX = 1 << 24 };

/* A range of columns of the result: its weights and bias, views of the whole. */
typedef struct range {
    size_t first, cols;
    dnnl_memory_desc_t layout;
    dnnl_memory_t weight, bias; /* bias: NULL for none */
} range;

struct kua__packed {
    kua__low *low; /* of bf16 and int8, and then nothing else is set; NULL: f32, by oneDNN */
    size_t out, in, bytes;
    kua__epilogue epilogue;
    range whole, *part; /* [parts] NULL for one part */
    size_t parts;
    void *block; /* what weights and bias stand on */
};

typedef struct plan {
    size_t full, out, in, rows; /* `out` columns of a matrix that has `full` */
    kua__epilogue epilogue;
    bool bias;
    dnnl_primitive_t primitive;
    dnnl_memory_t x, y, scratch; /* scratch: NULL for none */
    void *scratch_block;
} plan;

struct kua__lane {
    dnnl_stream_t stream;
    plan *slot[2 * KUA__LANE_PLANS]; /* open addressing, at most half full */
    size_t n;
    float *part; /* [part_room] the result of a part before it joins the rows of y */
    size_t part_room;
    uint32_t *tile; /* [tile_room] rows of x as words, of products of bf16 and int8 */
    size_t tile_room;
};

/* Held while oneDNN makes primitives. Its cache of them (2.6.3) compares keys that another thread
 * is still at work on: ThreadSanitizer finds it. Executing needs no lock. */
static pthread_mutex_t making = PTHREAD_MUTEX_INITIALIZER;

static pthread_once_t engine_once = PTHREAD_ONCE_INIT;
static dnnl_engine_t engine; /* written once under engine_once; NULL: oneDNN gave none */

static void make_engine(void)
{
    if (dnnl_engine_create(&engine, dnnl_cpu, 0)) engine = NULL;
}

/* rows, in and out of the product that oneDNN refused. */
static kua_status failed(dnnl_status_t st, size_t rows, size_t out, size_t in)
{
    if (st == dnnl_out_of_memory)
        return kua__fail_nomem(out * in * sizeof(float), "a packed matrix product");
    return kua__fail(KUA_INTERNAL, "packed product: oneDNN gave status %d for %zux%zu by %zux%zu",
                     (int)st, rows, in, in, out);
}

/* Calls one function after another; the first status that is not success sticks. */
#define STEP(st, call) ((st) = (st) ? (st) : (call))

/* ---- describing a product ---- */

static dnnl_status_t append_epilogue(dnnl_post_ops_t ops, kua__epilogue epilogue)
{
    switch (epilogue) {
    case KUA__EPILOGUE_GELU:
        return dnnl_post_ops_append_eltwise(ops, 1, dnnl_eltwise_gelu_erf, 0, 0);
    case KUA__EPILOGUE_RELU:
        return dnnl_post_ops_append_eltwise(ops, 1, dnnl_eltwise_relu, 0, 0);
    case KUA__EPILOGUE_ADD:
        return dnnl_post_ops_append_sum(ops, 1);
    case KUA__EPILOGUE_NONE:
        break;
    }
    return dnnl_success;
}

static dnnl_status_t make_attributes(kua__epilogue epilogue, dnnl_primitive_attr_t *out)
{
    dnnl_post_ops_t ops = NULL;
    dnnl_status_t st = dnnl_primitive_attr_create(out);
    STEP(st, dnnl_primitive_attr_set_scratchpad_mode(*out, dnnl_scratchpad_mode_user));
    STEP(st, dnnl_post_ops_create(&ops));
    STEP(st, append_epilogue(ops, epilogue));
    STEP(st, dnnl_primitive_attr_set_post_ops(*out, ops));
    if (ops) dnnl_post_ops_destroy(ops);
    return st;
}

/* A row-major matrix. */
static dnnl_status_t matrix(dnnl_memory_desc_t *md, size_t rows, size_t cols)
{
    dnnl_dims_t dims = {(dnnl_dim_t)rows, (dnnl_dim_t)cols};
    return dnnl_memory_desc_init_by_tag(md, 2, dims, dnnl_f32, dnnl_ab);
}

static dnnl_status_t any_layout(dnnl_memory_desc_t *md, size_t in, size_t out)
{
    dnnl_dims_t dims = {(dnnl_dim_t)in, (dnnl_dim_t)out};
    return dnnl_memory_desc_init_by_tag(md, 2, dims, dnnl_f32, dnnl_format_tag_any);
}

/* rows x in by in x cols with that layout. */
static dnnl_status_t describe(size_t rows, size_t in, size_t cols, const dnnl_memory_desc_t *layout,
                              bool bias, kua__epilogue epilogue, dnnl_primitive_desc_t *out)
{
    assert(rows >= 1 && in >= 1 && cols >= 1 && out);
    dnnl_memory_desc_t x, y, b;
    dnnl_matmul_desc_t product;
    dnnl_primitive_attr_t attributes = NULL;
    dnnl_status_t st = matrix(&x, rows, in);
    STEP(st, matrix(&y, rows, cols));
    STEP(st, matrix(&b, 1, cols));
    STEP(st, dnnl_matmul_desc_init(&product, &x, layout, bias ? &b : NULL, &y));
    STEP(st, make_attributes(epilogue, &attributes));
    STEP(st, dnnl_primitive_desc_create(out, &product, attributes, engine, NULL));
    if (attributes) dnnl_primitive_attr_destroy(attributes);
    return st;
}

/* ---- packing ---- */

static size_t align64(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

/* Copies W^T (a view of the caller's [out,in]) into the chosen layout. */
static dnnl_status_t reorder(kua__packed *w, const float *weight)
{
    dnnl_memory_desc_t from;
    dnnl_dims_t dims = {(dnnl_dim_t)w->in, (dnnl_dim_t)w->out}, strides = {1, (dnnl_dim_t)w->in};
    dnnl_primitive_desc_t desc = NULL;
    dnnl_primitive_t primitive = NULL;
    dnnl_stream_t stream = NULL;
    dnnl_memory_t source = NULL;
    dnnl_status_t st = dnnl_memory_desc_init_by_strides(&from, 2, dims, dnnl_f32, strides);
    STEP(st, dnnl_stream_create(&stream, engine, dnnl_stream_default_flags));
    STEP(st, dnnl_memory_create(&source, &from, engine, (void *)(uintptr_t)weight)); /* read only */
    STEP(st,
         dnnl_reorder_primitive_desc_create(&desc, &from, engine, &w->whole.layout, engine, NULL));
    STEP(st, dnnl_primitive_create(&primitive, desc));
    dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, source}, {DNNL_ARG_TO, w->whole.weight}};
    STEP(st, dnnl_primitive_execute(primitive, stream, 2, args));
    if (primitive) dnnl_primitive_destroy(primitive);
    if (desc) dnnl_primitive_desc_destroy(desc);
    if (source) dnnl_memory_destroy(source);
    if (stream) dnnl_stream_destroy(stream);
    return st;
}

static dnnl_status_t choose_layout(kua__packed *w, bool bias)
{
    dnnl_memory_desc_t any;
    dnnl_primitive_desc_t desc = NULL;
    dnnl_status_t st = any_layout(&any, w->in, w->out);
    STEP(st, describe(REFERENCE_ROWS, w->in, w->out, &any, bias, w->epilogue, &desc));
    if (!st) w->whole.layout = *dnnl_primitive_desc_query_md(desc, dnnl_query_weights_md, 0);
    if (desc) dnnl_primitive_desc_destroy(desc);
    return st;
}

/* Columns that stand together in the layout: a part begins at a multiple of them. */
static size_t columns_together(const dnnl_memory_desc_t *layout)
{
    const dnnl_blocking_desc_t *b = &layout->format_desc.blocking;
    size_t columns = 1;
    for (int i = 0; i < b->inner_nblks; i++)
        columns *= b->inner_idxs[i] == 1 ? (size_t)b->inner_blks[i] : 1;
    return columns;
}

/* Columns [first, first + cols) as a view of the block: a description of those alone, and where
 * they begin. Objects are made before the numbers are written, because making one clears its
 * padding. */
static dnnl_status_t make_range(range *r, const kua__packed *w, size_t bias_at, bool bias)
{
    assert(w->block && r->first + r->cols <= w->out);
    dnnl_memory_desc_t b;
    dnnl_dims_t dims = {(dnnl_dim_t)w->in, (dnnl_dim_t)r->cols}, from = {0, (dnnl_dim_t)r->first};
    dnnl_status_t st =
        r == &w->whole ? dnnl_success
                       : dnnl_memory_desc_init_submemory(&r->layout, &w->whole.layout, dims, from);
    if (st) return st;
    char *weight = (char *)w->block + (size_t)r->layout.offset0 * sizeof(float);
    r->layout.offset0 = 0;
    STEP(st, dnnl_memory_create(&r->weight, &r->layout, engine, weight));
    STEP(st, matrix(&b, 1, r->cols));
    char *bias_block = (char *)w->block + bias_at + r->first * sizeof(float);
    if (bias) STEP(st, dnnl_memory_create(&r->bias, &b, engine, bias_block));
    return st;
}

/* Cuts the columns in `parts` ranges of about the same length, or fewer where there are not as
 * many. */
static kua_status cut_parts(kua__packed *w, size_t parts)
{
    /* By whole groups of columns, since a view may begin nowhere else; the last may be shorter. */
    size_t unit = columns_together(&w->whole.layout), units = (w->out + unit - 1) / unit;
    w->parts = KUA__MAX(KUA__MIN(parts, units), (size_t)1);
    if (w->parts == 1) return KUA_OK;
    KUA__TRY(KUA__NEW_ZEROED(&w->part, w->parts, "parts of a packed matrix"));
    for (size_t i = 0; i < w->parts; i++) {
        size_t first = units * i / w->parts * unit, last = units * (i + 1) / w->parts * unit;
        w->part[i].first = first;
        w->part[i].cols = KUA__MIN(last, w->out) - first;
    }
    return KUA_OK;
}

static kua_status pack(kua__packed *w, const kua__packed_options *o)
{
    bool bias = o->bias != NULL;
    dnnl_status_t st = choose_layout(w, bias);
    if (st) return failed(st, REFERENCE_ROWS, w->out, w->in);
    size_t bias_at = align64(dnnl_memory_desc_get_size(&w->whole.layout)),
           bias_bytes = w->out * sizeof(float);
    w->bytes = bias_at + (bias ? bias_bytes : 0);
    if (!(w->block = kua__malloc(w->bytes))) return kua__fail_nomem(w->bytes, "packed weights");
    KUA__TRY(cut_parts(w, o->parts));
    st = make_range(&w->whole, w, bias_at, bias);
    for (size_t i = 0; w->part && i < w->parts; i++)
        STEP(st, make_range(&w->part[i], w, bias_at, bias));
    STEP(st, reorder(w, o->weight));
    if (!st && bias) memcpy((char *)w->block + bias_at, o->bias, bias_bytes);
    return st ? failed(st, REFERENCE_ROWS, w->out, w->in) : KUA_OK;
}

/* Whether an own kernel does it, and in what; otherwise oneDNN does in f32. */
static bool low_precision(const kua__packed_options *o, kua__precision *precision)
{
    if (o->in > KUA__LOW_IN_MAX) return false;
    kua__isa isa = kua__kernels_get()->isa;
    *precision = kua__low_of(o->precision, isa) ? o->precision : KUA__PRECISION_F32;
    return kua__low_of(*precision, isa) != NULL;
}

static kua_status create_low(const kua__packed_options *options, kua__packed **out)
{
    kua__packed *w = NULL;
    KUA__TRY(KUA__NEW_ZEROED(&w, 1, "a packed matrix"));
    kua_status st = kua__low_create(options, &w->low);
    if (st)
        kua__packed_free(w);
    else
        *out = w;
    return st;
}

kua_status kua__packed_create(const kua__packed_options *options, kua__packed **out)
{
    assert(options && options->weight && out && options->parts <= KUA__PACKED_PARTS_MAX);
    assert(options->in >= 1 && options->in <= SIDE_MAX);
    assert(options->out >= 1 && options->out <= SIDE_MAX);
    *out = NULL;
    kua__packed_options low = *options;
    if (low_precision(options, &low.precision)) return create_low(&low, out);
    pthread_once(&engine_once, make_engine);
    if (!engine) return kua__fail(KUA_INTERNAL, "oneDNN has no engine for this processor");
    kua__dnnl_single_thread();
    kua__packed *w = NULL;
    KUA__TRY(KUA__NEW_ZEROED(&w, 1, "a packed matrix"));
    w->out = w->whole.cols = options->out;
    w->in = options->in;
    w->epilogue = options->epilogue;
    pthread_mutex_lock(&making);
    kua_status st = pack(w, options);
    pthread_mutex_unlock(&making);
    if (st)
        kua__packed_free(w);
    else
        *out = w;
    return st;
}

static void range_release(range *r)
{
    if (r->weight) dnnl_memory_destroy(r->weight);
    if (r->bias) dnnl_memory_destroy(r->bias);
}

void kua__packed_free(kua__packed *packed)
{
    if (!packed) return;
    range_release(&packed->whole);
    for (size_t i = 0; packed->part && i < packed->parts; i++)
        range_release(&packed->part[i]);
    kua__low_free(packed->low);
    kua__free(packed->part);
    kua__free(packed->block);
    kua__free(packed);
}

size_t kua__packed_bytes(const kua__packed *packed)
{
    assert(packed);
    return packed->low ? packed->low->bytes : packed->bytes;
}

size_t kua__packed_parts(const kua__packed *packed)
{
    assert(packed);
    return packed->low ? packed->low->parts : packed->parts;
}

/* ---- plans ---- */

static void plan_free(plan *p)
{
    if (!p) return;
    if (p->primitive) dnnl_primitive_destroy(p->primitive);
    if (p->x) dnnl_memory_destroy(p->x);
    if (p->y) dnnl_memory_destroy(p->y);
    if (p->scratch) dnnl_memory_destroy(p->scratch);
    kua__free(p->scratch_block);
    kua__free(p);
}

static kua_status plan_scratch(plan *p, const_dnnl_primitive_desc_t desc)
{
    const dnnl_memory_desc_t *md = dnnl_primitive_desc_query_md(desc, dnnl_query_scratchpad_md, 0);
    size_t bytes = md ? dnnl_memory_desc_get_size(md) : 0;
    if (bytes == 0) return KUA_OK;
    if (!(p->scratch_block = kua__malloc(bytes)))
        return kua__fail_nomem(bytes, "a product's scratch");
    dnnl_status_t st = dnnl_memory_create(&p->scratch, md, engine, p->scratch_block);
    return st ? failed(st, p->rows, p->out, p->in) : KUA_OK;
}

static kua_status plan_build(plan *p, const range *r)
{
    dnnl_primitive_desc_t desc = NULL;
    dnnl_memory_desc_t x, y;
    dnnl_status_t st = describe(p->rows, p->in, p->out, &r->layout, p->bias, p->epilogue, &desc);
    STEP(st, dnnl_primitive_create(&p->primitive, desc));
    STEP(st, matrix(&x, p->rows, p->in));
    STEP(st, matrix(&y, p->rows, p->out));
    STEP(st, dnnl_memory_create(&p->x, &x, engine, DNNL_MEMORY_NONE));
    STEP(st, dnnl_memory_create(&p->y, &y, engine, DNNL_MEMORY_NONE));
    kua_status status = st ? failed(st, p->rows, p->out, p->in) : plan_scratch(p, desc);
    if (desc) dnnl_primitive_desc_destroy(desc);
    return status;
}

static bool plan_is(const plan *p, const plan *key)
{
    return p->full == key->full && p->out == key->out && p->in == key->in && p->rows == key->rows &&
           p->epilogue == key->epilogue && p->bias == key->bias;
}

/* The slot of a plan, or the empty one where it belongs. */
static plan **find_slot(kua__lane *lane, const plan *key)
{
    assert(lane->n <= KUA__LANE_PLANS); /* half of the slots: there is an empty one */
    size_t size = KUA__COUNT(lane->slot);
    size_t shape[6] = {key->full, key->out, key->in, key->rows, (size_t)key->epilogue, key->bias};
    size_t i = kua__hash64(shape, sizeof(shape), 0) % size;
    while (lane->slot[i] && !plan_is(lane->slot[i], key))
        i = (i + 1) % size;
    return &lane->slot[i];
}

static void lane_clear(kua__lane *lane)
{
    for (size_t i = 0; i < KUA__COUNT(lane->slot); i++) {
        plan_free(lane->slot[i]);
        lane->slot[i] = NULL;
    }
    lane->n = 0;
}

static kua_status plan_get(kua__lane *lane, const plan *key, const range *r, plan **out)
{
    plan **slot = find_slot(lane, key);
    if (!*slot) {
        /* Full: all are forgotten, which is rare and simple; the slot is another one then. */
        if (lane->n == KUA__LANE_PLANS) {
            lane_clear(lane);
            slot = find_slot(lane, key);
        }
        plan *p = NULL;
        KUA__TRY(KUA__NEW_ZEROED(&p, 1, "a plan of a product"));
        *p = *key;
        pthread_mutex_lock(&making);
        kua_status st = plan_build(p, r);
        pthread_mutex_unlock(&making);
        if (st) {
            plan_free(p);
            return st;
        }
        *slot = p;
        lane->n++;
    }
    *out = *slot;
    return KUA_OK;
}

/* ---- lanes ---- */

kua_status kua__lane_create(kua__lane **out)
{
    assert(out);
    *out = NULL;
    pthread_once(&engine_once, make_engine);
    if (!engine) return kua__fail(KUA_INTERNAL, "oneDNN has no engine for this processor");
    kua__lane *lane = NULL;
    KUA__TRY(KUA__NEW_ZEROED(&lane, 1, "a lane of products"));
    dnnl_status_t st = dnnl_stream_create(&lane->stream, engine, dnnl_stream_default_flags);
    if (st) {
        kua__free(lane);
        return kua__fail(KUA_INTERNAL, "oneDNN gave status %d for a stream", (int)st);
    }
    *out = lane;
    return KUA_OK;
}

void kua__lane_free(kua__lane *lane)
{
    if (!lane) return;
    lane_clear(lane);
    dnnl_stream_destroy(lane->stream);
    kua__free(lane->part);
    kua__free(lane->tile);
    kua__free(lane);
}

size_t kua__packed_rows(size_t rows)
{
    if (kua__low_of(KUA__PRECISION_F32, kua__kernels_get()->isa)) return rows; /* own kernels */
    size_t unit = rows <= 16 ? 1 : rows <= 64 ? 8 : 16;
    return (rows + unit - 1) / unit * unit;
}

/* The columns of r, as a matrix of their own. */
static kua_status run_range(const kua__packed *w, const range *r, kua__epilogue epilogue,
                            kua__lane *lane, size_t rows, const float *x, float *y)
{
    assert(rows >= 1 && r->cols >= 1);
    plan *p = NULL;
    plan key = {w->out, r->cols, w->in, rows, epilogue, r->bias != NULL};
    kua__dnnl_single_thread();
    KUA__TRY(plan_get(lane, &key, r, &p));
    dnnl_exec_arg_t args[5] = {
        {DNNL_ARG_SRC, p->x}, {DNNL_ARG_WEIGHTS, r->weight}, {DNNL_ARG_DST, p->y}};
    int n = 3;
    if (r->bias) args[n++] = (dnnl_exec_arg_t){DNNL_ARG_BIAS, r->bias};
    if (p->scratch) args[n++] = (dnnl_exec_arg_t){DNNL_ARG_SCRATCHPAD, p->scratch};
    dnnl_status_t st = dnnl_memory_set_data_handle(p->x, (void *)(uintptr_t)x); /* read only */
    STEP(st, dnnl_memory_set_data_handle(p->y, y));
    STEP(st, dnnl_primitive_execute(p->primitive, lane->stream, n, args));
    return st ? failed(st, rows, r->cols, w->in) : KUA_OK;
}

static kua_status run_low(const kua__low *low, kua__lane *lane, size_t first, size_t last,
                          size_t rows, const float *x, float *y)
{
    size_t room = kua__low_scratch(low, rows);
    if (room > lane->tile_room) {
        uint32_t *tile = kua__alloc_array(room, sizeof(*tile));
        if (!tile) return kua__fail_nomem(room * sizeof(*tile), "rows of a product");
        kua__free(lane->tile);
        lane->tile = tile;
        lane->tile_room = room;
    }
    kua__low_product p = {low, first, last, rows, x, y, lane->tile};
    kua__low_of(low->precision, kua__kernels_get()->isa)(&p);
    return KUA_OK;
}

kua_status kua__packed_run(const kua__packed *packed, kua__lane *lane, size_t rows, const float *x,
                           float *y)
{
    assert(packed && lane && (rows == 0 || (x && y)));
    if (rows == 0) return KUA_OK;
    if (packed->low) return run_low(packed->low, lane, 0, packed->low->panels, rows, x, y);
    return run_range(packed, &packed->whole, packed->epilogue, lane, rows, x, y);
}

static kua_status part_room(kua__lane *lane, size_t floats)
{
    if (floats <= lane->part_room) return KUA_OK;
    float *room = kua__alloc_array(floats, sizeof(*room));
    if (!room) return kua__fail_nomem(floats * sizeof(*room), "a part of a product");
    kua__free(lane->part);
    lane->part = room;
    lane->part_room = floats;
    return KUA_OK;
}

/* oneDNN's fast kernel writes dense matrices only, so a part is computed beside y and moved then.
 */
kua_status kua__packed_run_part(const kua__packed *packed, kua__lane *lane, size_t part,
                                size_t rows, const float *x, float *y)
{
    assert(packed && lane && part < kua__packed_parts(packed) && (rows == 0 || (x && y)));
    if (rows == 0) return KUA_OK;
    if (packed->low) {
        size_t first, last;
        kua__low_part(packed->low, part, &first, &last);
        return run_low(packed->low, lane, first, last, rows, x, y);
    }
    if (packed->parts == 1) return kua__packed_run(packed, lane, rows, x, y);
    const range *r = &packed->part[part];
    bool add = packed->epilogue == KUA__EPILOGUE_ADD;
    KUA__TRY(part_room(lane, rows * r->cols));
    kua__epilogue epilogue = add ? KUA__EPILOGUE_NONE : packed->epilogue;
    KUA__TRY(run_range(packed, r, epilogue, lane, rows, x, lane->part));
    for (size_t i = 0; i < rows; i++) {
        float *to = y + i * packed->out + r->first;
        const float *from = lane->part + i * r->cols;
        if (add)
            kua__kernels_get()->add(to, to, from, r->cols);
        else
            memcpy(to, from, r->cols * sizeof(*to));
    }
    return KUA_OK;
}
