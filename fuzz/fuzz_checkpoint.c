/* fuzz_checkpoint.c - arbitrary bytes as a checkpoint: refused with a message and nothing changed,
 * or loaded.
 *
 * The loader takes a path, because checkpoints are mapped; the bytes lie in a file without a name.
 */
#include <assert.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/base.h"
#include "grad/grad.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void load(const char *path)
{
    kua__params params;
    kua__param *w = NULL, *table = NULL;
    kua__optim optim;
    kua__ema ema = {0};
    kua__rng rng = kua__rng_make(1, 2);
    kua__tape *tape = NULL;
    json_t *user = NULL;
    kua__params_init(&params);
    kua__optim_init(&optim, NULL);
    /* the names and shapes of the seed, tests/grad/data/checkpoint-v1.safetensors */
    bool made = !kua__params_add_table(&params, "table", 9, 5, 0, NULL, &table) &&
                !kua__params_add(&params, "w", 3, 5, KUA__INIT_ONES, 0, NULL, &w) &&
                !kua__ema_init(&ema, &params, 0.5f) && !kua__tape_create(NULL, &tape);
    const kua__checkpoint what = {&params, &optim, &ema, tape, &rng};
    if (made && kua__checkpoint_load(path, &what, &user)) {
        assert(kua_error_message()[0] && !user);
        assert(w->value[4] == 1 && optim.step == 0 && rng.seed == 1);
    }
    json_decref(user);
    kua__tape_free(tape);
    kua__ema_release(&ema);
    kua__params_release(&params);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64];
    int fd = memfd_create("checkpoint", 0);
    if (fd < 0) return 0;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    if (size == 0 || write(fd, data, size) == (ssize_t)size) load(path);
    close(fd);
    return 0;
}
