/* eval/report.h - one HTML file that shows a shop owner what was found. */
#ifndef KUA_EVAL_REPORT_H
#define KUA_EVAL_REPORT_H

#include <jansson.h>

#include "base/base.h"

/* Writes the report of `data` (schema: head of report.c) to `path`, whole or not at all. The file
 * needs nothing else. */
kua_status kua__report_write(const char *path, const json_t *data);

#endif
