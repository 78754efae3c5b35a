/* data/intake_private.h - what the files of the intake share. */
#ifndef KUA_DATA_INTAKE_PRIVATE_H
#define KUA_DATA_INTAKE_PRIVATE_H

#include "data/intake.h"
#include "data/mapping.h"
#include "data/rejects.h"

enum { KUA__INTAKE_FILES = 5, KUA__ID_MAX = 512 };

typedef struct kua__intake_settings {
    double max_bad_share;
    bool auto_unknown, create_unknown, keep_duplicates;
    int64_t bot_events_per_hour, bot_events_per_day, k_core, latest_time;
} kua__intake_settings;

typedef struct kua__intake_file {
    const char *path; /* NULL: not given */
    kua__section section;
    uint8_t part;
    uint64_t rows, bad;
    double seconds;
} kua__intake_file;

typedef struct kua__step_count {
    uint64_t removed;
    char example[160]; /* "" where nothing was removed */
} kua__step_count;

/* A row with a history (item_id_list): unrolled when all files are read. */
typedef struct kua__history_row {
    uint32_t user, item, file;
    uint32_t seq;
    uint8_t part;
    size_t from, n; /* in history_items */
    uint64_t line;
} kua__history_row;

struct kua__intake_private {
    kua__import_options
        options; /* strings are the caller's, but for files that the mapping names */
    kua__intake_settings settings;
    kua__mapping *mapping;
    char *mapped[KUA__SECTIONS];
    kua__intake_file files[KUA__INTAKE_FILES];
    kua__rejects rejects;
    kua__step_count steps[KUA__CLEAN_STEPS];
    const kua_monitor *monitor;
    kua__buf scratch, raw;
    kua__history_row *histories;
    size_t n_histories, histories_room;
    uint32_t *history_items;
    size_t n_history_items, history_items_room;
    uint32_t seq;
    bool *no_clock; /* per domain of this import's events: a row without a time was read */
    size_t no_clock_room;
};

/* One row being turned into a record: where fields come from, and what is wrong with it. */
typedef struct kua__reading {
    kua__intake *in;
    kua__intake_file *file;
    kua__table *table;
    kua__binding binding;
    kua__row row;
    bool bad; /* the row is rejected; the reason is noted */
} kua__reading;

kua_status kua__intake_settings_read(const json_t *json, kua__intake_settings *out);

/* The value of a role's first column (its constant); empty where there is none. Blanks at the ends
 * are cut. */
kua__field kua__reading_field(const kua__reading *r, kua__role role);
/* Rejects the row: "<column> is '<value>', expected <what>"; always KUA_OK or a failure to write.
 */
kua_status kua__reading_reject(kua__reading *r, kua__role role, kua__field value,
                               const char *expected);
/* An id: not empty, at most KUA__ID_MAX bytes; else rejects the row. */
kua_status kua__reading_id(kua__reading *r, kua__role role, kua__field *out);
kua_status kua__reading_number(kua__reading *r, kua__role role, float fallback, float *out);
/* The row's domain: the option, the column; *out is KUA__NO_ID where neither tells. */
kua_status kua__reading_domain(kua__reading *r, uint32_t *out);

/* Calls `take` for every row of a file, keeps the bad ones, and checks their share. */
typedef kua_status (*kua__take_row)(kua__reading *r);
kua_status kua__intake_rows(kua__intake *in, kua__intake_file *file, kua__take_row take);

kua_status kua__intake_read_items(kua__intake *in, kua__intake_file *file);
kua_status kua__intake_read_users(kua__intake *in, kua__intake_file *file);
kua_status kua__intake_read_events(kua__intake *in, kua__intake_file *file);
/* After the last file of events: unrolls histories, numbers positions, decides about clocks. */
kua_status kua__intake_end_events(kua__intake *in);

kua_status kua__intake_domain_number(kua__intake *in, const char *name, size_t n, uint32_t *out);
/* KUA__NO_ID where there is none; *ambiguous (may be NULL) where domain is KUA__NO_ID and several
 * domains have it. */
uint32_t kua__intake_find_item(const kua__intake *in, uint32_t domain, const char *id, size_t n,
                               bool *ambiguous);
kua_status kua__intake_add_item(kua__intake *in, uint32_t domain, const char *id, size_t n,
                                uint32_t *out);
/* Counts a removal; the first one's words are the example. */
void kua__intake_count(kua__intake *in, kua__clean_step step, uint64_t n, const char *format, ...)
    KUA__PRINTF(4, 5);

#endif
