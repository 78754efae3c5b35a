/* base/base.h - what every layer stands on: failure messages, memory, strings, random numbers,
 * threads, files.
 *
 * Conventions
 *   A function that can fail returns kua_status; the function that detects a failure writes the
 * message with kua__fail() and everyone above passes the code up with KUA__TRY. Memory comes from
 * the functions below and from nowhere else, so that tests can make every allocation fail once and
 * can count what is still alive.
 */
#ifndef KUA_BASE_BASE_H
#define KUA_BASE_BASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "kua/monitor.h"
#include "kua/status.h"
#include "base/banned.h"

/* ---- failing ---- */

#define KUA__PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

/* Writes this thread's message and returns `status`: return kua__fail(KUA_INVALID, "%s: k is %zu",
 * name, k); */
kua_status kua__fail(kua_status status, const char *format, ...) KUA__PRINTF(2, 3);
/* The same with ": <strerror(errno)>" at the end; KUA_NOMEM for ENOMEM, else KUA_IO. */
kua_status kua__fail_errno(const char *format, ...) KUA__PRINTF(1, 2);
/* kua__fail(KUA_NOMEM, "out of memory: <bytes> bytes for <what>") */
kua_status kua__fail_nomem(size_t bytes, const char *what);

/* Puts "<prefix>: " before the message of a failure that a lower layer reported. Returns `status`
 * unchanged. */
kua_status kua__fail_prefix(kua_status status, const char *format, ...) KUA__PRINTF(2, 3);

/* Evaluates a call and returns its status from this function if it failed. */
#define KUA__TRY(call)                                                                             \
    do {                                                                                           \
        kua_status try_status_ = (call);                                                           \
        if (try_status_) return try_status_;                                                       \
    } while (0)

/* The same for functions with one exit: sets `st` and jumps to `done`. */
#define KUA__GOTO(st, call)                                                                        \
    do {                                                                                           \
        (st) = (call);                                                                             \
        if (st) goto done;                                                                         \
    } while (0)

#define KUA__COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define KUA__MIN(a, b)    ((a) < (b) ? (a) : (b))
#define KUA__MAX(a, b)    ((a) > (b) ? (a) : (b))

/* ---- memory ---- */

/* All return NULL on failure (never for 0 bytes) and write no message. Alignment is 64 bytes (a
 * cache line, a vector register). The array forms refuse a product that overflows. */
void *kua__malloc(size_t bytes);
void *kua__calloc(size_t n, size_t size);
void *kua__alloc_array(size_t n, size_t size);
void *kua__realloc_array(void *old, size_t n, size_t size);
char *kua__strdup(const char *text);
char *kua__strndup(const char *text, size_t n);
void kua__free(void *p); /* NULL is allowed */

/* Allocates n objects of *ptr's type into *ptr, or returns KUA_NOMEM with a message that names
 * `what`. */
#define KUA__NEW_ARRAY(ptr, n, what)                                                               \
    ((*(ptr) = kua__alloc_array((n), sizeof(**(ptr))))                                             \
         ? KUA_OK                                                                                  \
         : (kua__fail_nomem((n) * sizeof(**(ptr)), what), KUA_NOMEM)) /* for analysers to see */
#define KUA__NEW_ZEROED(ptr, n, what)                                                              \
    ((*(ptr) = kua__calloc((n), sizeof(**(ptr))))                                                  \
         ? KUA_OK                                                                                  \
         : (kua__fail_nomem((n) * sizeof(**(ptr)), what), KUA_NOMEM))

/* Makes room for one more element of a growing array: doubles *capacity where count == *capacity.
 * *ptr is unchanged on failure. */
kua_status kua__grow(void **ptr, size_t *capacity, size_t count, size_t size, const char *what);
#define KUA__GROW(ptr, capacity, count, what)                                                      \
    kua__grow((void **)(ptr), (capacity), (count), sizeof(**(ptr)), (what))

/* Test hooks: the nth allocation from now fails (0: none does); how many blocks are alive. */
void kua__alloc_fail_after(long nth);
bool kua__alloc_has_failed(
    void); /* since the last kua__alloc_fail_after(nth > 0): has that allocation come? */
long kua__alloc_live(void);

/* An arena: memory that is released as a whole (a model, a training step, a request).
 *
 *     chunk -> chunk -> chunk       each at least `chunk_bytes`; alloc bumps a pointer in the
 * newest
 *
 * After reset the chunks are kept, so that a steady-state step allocates nothing from the system.
 */
typedef struct kua__arena {
    struct kua__arena_chunk *first, *current;
    size_t chunk_bytes;
} kua__arena;

void kua__arena_init(kua__arena *arena, size_t chunk_bytes);
void *kua__arena_alloc(kua__arena *arena, size_t bytes); /* 64-byte aligned; NULL: out of memory */
void *kua__arena_zalloc(kua__arena *arena, size_t bytes);
char *kua__arena_strndup(kua__arena *arena, const char *text, size_t n);
void kua__arena_reset(kua__arena *arena);
size_t kua__arena_bytes(const kua__arena *arena); /* held from the system */
void kua__arena_release(kua__arena *arena);

/* ---- strings ---- */

/* A growing byte buffer, always NUL-terminated. The first failure sticks (`failed`), so that a row
 * of appends needs one check at the end: kua__buf_status(). */
typedef struct kua__buf {
    char *data; /* never NULL after the first append that worked */
    size_t len, capacity;
    bool failed;
} kua__buf;

void kua__buf_add(kua__buf *buf, const void *data, size_t n);
void kua__buf_puts(kua__buf *buf, const char *text);
void kua__buf_printf(kua__buf *buf, const char *format, ...) KUA__PRINTF(2, 3);
void kua__buf_clear(kua__buf *buf); /* keeps the memory */
kua_status kua__buf_status(const kua__buf *buf);
void kua__buf_release(kua__buf *buf);

bool kua__streq(const char *a, const char *b);
bool kua__has_prefix(const char *text, const char *prefix);
bool kua__has_suffix(const char *text, const char *suffix);
/* Whole-text numbers: false where text[n] is empty, has anything else in it, or is out of range.
 * "nan"/"inf" are refused. */
bool kua__parse_double(const char *text, size_t n, double *out);
bool kua__parse_i64(const char *text, size_t n, int64_t *out);
/* Length of the longest valid UTF-8 prefix of text[n]; n if all of it is valid. */
size_t kua__utf8_valid(const char *text, size_t n);

/* Names to dense numbers 0, 1, 2, ... in order of first appearance. Names may hold any bytes but
 * NUL. */
typedef struct kua__ids {
    kua__arena arena;
    const char **name; /* [count] */
    uint32_t *len;     /* [count] bytes of each name */
    uint32_t *slot;    /* [n_slots] number + 1, 0: empty */
    size_t count, capacity, n_slots;
} kua__ids;

enum { KUA__NO_ID = UINT32_MAX };

void kua__ids_init(kua__ids *ids);
kua_status kua__ids_add(kua__ids *ids, const char *name, size_t n,
                        uint32_t *out);                                  /* finds or adds */
uint32_t kua__ids_find(const kua__ids *ids, const char *name, size_t n); /* KUA__NO_ID: unknown */
void kua__ids_release(kua__ids *ids);

uint64_t kua__hash64(const void *data, size_t n, uint64_t seed);

/* SHA-256: init, add any number of times, done; or of a whole file. `hex` is lower case. */
enum { KUA__SHA256_HEX = 65 };

typedef struct kua__sha256 {
    uint32_t state[8];
    uint64_t bytes;
    uint8_t block[64];
} kua__sha256;

void kua__sha256_init(kua__sha256 *sha);
void kua__sha256_add(kua__sha256 *sha, const void *data, size_t n);
void kua__sha256_done(kua__sha256 *sha, char hex[KUA__SHA256_HEX]);
kua_status kua__sha256_file(const char *path, char hex[KUA__SHA256_HEX]);

/* ---- random numbers: a draw depends on (seed, stream, index) and on nothing else ---- */

/* Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011). */
void kua__philox(uint64_t seed, uint64_t stream, uint64_t index, uint32_t out[4]);

/* A sequence of draws from one stream. */
typedef struct kua__rng {
    uint64_t seed, stream, index;
    uint32_t have[4];
    int left;
} kua__rng;

kua__rng kua__rng_make(uint64_t seed, uint64_t stream);
uint32_t kua__rng_u32(kua__rng *rng);
uint32_t kua__rng_below(kua__rng *rng, uint32_t n); /* 0..n-1, unbiased; n >= 1 */
float kua__rng_uniform(kua__rng *rng);              /* [0, 1) */
float kua__rng_normal(kua__rng *rng);               /* mean 0, variance 1 */
void kua__rng_shuffle(kua__rng *rng, uint32_t *values, size_t n);

/* ---- threads ---- */

/* How many threads work; default: the cores this process may use, or KUA_THREADS. Set it before the
 * first work. */
void kua__threads_set(int n);
int kua__threads(void);

/* Runs task(ctx, first, last) over disjoint ranges that cover 0..n, one range a thread, none
 * shorter than `grain` (but the last). The cut depends only on n, grain and the number of threads:
 * results repeat. Returns when all are done. A call from inside a task runs on that thread alone.
 * Tasks may not fail: they write a status where the caller can see it. */
typedef void (*kua__range_fn)(void *ctx, size_t first, size_t last);
void kua__parallel_for(size_t n, size_t grain, kua__range_fn task, void *ctx);
/* The same, but ranges of `grain` are handed out as threads become free: for uneven work whose
 * result does not depend on who does it. task gets its thread's number 0..threads-1 for scratch
 * memory. */
typedef void (*kua__chunk_fn)(void *ctx, int thread, size_t first, size_t last);
void kua__parallel_chunks(size_t n, size_t grain, kua__chunk_fn task, void *ctx);
int kua__thread_index(void); /* 0 on the calling thread, 1.. on the workers */

/* What went wrong in a task: messages are one a thread, so the task keeps its own here, and the
 * calling thread fails with it once more. One for each thread; starts zeroed. */
typedef struct kua__failure {
    kua_status status; /* KUA_OK: none */
    size_t at;         /* what the task worked on: of several failures the lowest is told */
    char message[512];
} kua__failure;
void kua__failure_keep(kua__failure *failure, kua_status status, size_t at);
/* KUA_OK where none of n has failed. */
kua_status kua__failure_first(const kua__failure *failure, size_t n);

/* ---- progress ---- */

/* KUA_CANCELED if the monitor says so, else KUA_OK. Cheap: calls the monitor ten times a second at
 * most, and always for done == total. monitor may be NULL. */
kua_status kua__progress(const kua_monitor *monitor, const char *stage, uint64_t done,
                         uint64_t total);
void kua__log_line(const kua_monitor *monitor, kua_log_level level, const char *format, ...)
    KUA__PRINTF(3, 4);
double kua__seconds(void); /* monotonic clock */
size_t kua__peak_rss_bytes(void);

/* ---- time: seconds since 1970-01-01 UTC ---- */

/* Accepts "2017-11-05", "2017-11-05 13:02:07", "2017-11-05T13:02:07Z" (also with +hh:mm). */
bool kua__parse_date(const char *text, size_t n, int64_t *out);
void kua__format_date(int64_t seconds, char out[32]); /* "2017-11-05" or "2017-11-05 13:02:07" */

/* ---- files ---- */

/* A file mapped into memory, read-only. An empty file has data == "" and size 0. */
typedef struct kua__map {
    const char *data;
    size_t size;
} kua__map;

kua_status kua__map_open(kua__map *map, const char *path);
void kua__map_close(kua__map *map);

/* A file that appears whole or not at all: written beside its place, synced, then renamed over it.
 *     kua__writer w;  kua__writer_open(&w, path);  kua__writer_add(...)...;  st =
 * kua__writer_commit(&w); Errors stick until commit, which reports the first. abort (or a crash)
 * leaves the old file as it was. */
typedef struct kua__writer {
    FILE *file;
    char *path, *temporary;
    kua_status status; /* of the first failure */
    int error;         /* its errno */
} kua__writer;

kua_status kua__writer_open(kua__writer *w, const char *path);
void kua__writer_add(kua__writer *w, const void *data, size_t n);
void kua__writer_printf(kua__writer *w, const char *format, ...) KUA__PRINTF(2, 3);
kua_status kua__writer_commit(kua__writer *w);
void kua__writer_abort(kua__writer *w); /* also after a failed open or commit */

kua_status kua__write_file(const char *path, const void *data, size_t n); /* atomic, as above */
kua_status kua__make_folders(const char *path);                           /* mkdir -p */
kua_status kua__remove_tree(const char *path); /* rm -r; missing is fine */
bool kua__exists(const char *path);
/* Of all files under a folder, or of a file; 0 where there is none. */
uint64_t kua__tree_bytes(const char *path);
/* "<a>/<b>", to be freed with kua__free; NULL: out of memory */
char *kua__path_join(const char *a, const char *b);

/* An exclusive lock on a file (created where missing), held by this process until release.
 * KUA_STORE with "workspace is in use by process N" where another process holds it. */
typedef struct kua__lock {
    int fd;
} kua__lock;
kua_status kua__lock_take(kua__lock *lock, const char *path);
void kua__lock_release(kua__lock *lock);

#endif
