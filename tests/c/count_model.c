/* count_model.c: run one step of a whole model, or one switch of its patches, a given number of
 * times, and nothing else that depends on that number: the difference between two runs under an
 * instruction counter is the cost.
 *
 *   count_model MODEL KERNEL OPERATION POSITION PATCH TIMES
 *
 * Operations: token (at POSITION, with logits; under the patch's overlay unless PATCH is -); select
 * (another overlay for the state), build (an overlay); apply, change (to an equal patch), revert,
 * check (the CRC alone) in place. POSITION is the length of the cache before the token.
 */
#include <string.h>

#include "bk_cpu.h"
#include "bk_forward.h"
#include "bk_pack.h"
#include "model_file.h"

enum { CTX = 48 };

typedef struct {
    bk_model model;
    bk_state state;
    uint32_t position;
    float *logits;
    bk_patch patch;
    bk_overlay overlay;
    void *mem; /* of the overlay */
    size_t bytes;
} job;

static const bk_kernel *kernel_named(const char *name) {
    bk_cpu_kernel entry;
    for (unsigned i = 0; bk_cpu_kernel_at(i, &entry); i++)
        if (!strcmp(entry.kernel->name, name)) return entry.kernel;
    exit(3);
}

static void open_all(job *j, char **argv) {
    open_model(&j->model, read_file(argv[1]));
    CHECK(bk_model_pack(&j->model, kernel_named(argv[2]), NULL, 0, NULL) == BK_OK);
    j->model.writable = true;
    size_t n = bk_state_bytes(&j->model, CTX, 1, 1);
    CHECK(bk_state_init(&j->state, &j->model, CTX, 1, NULL, room(n), n) == BK_OK);
    j->logits = room(j->model.vocab * sizeof(float));
    j->position = (uint32_t)atoi(argv[4]);
    for (int32_t t = 0; (uint32_t)t < j->position; t++)
        CHECK(bk_forward(&j->state, &(int32_t){40 + t}, 1, NULL) == BK_OK);
}

/* False if there is no such operation. */
static bool run(job *j, const char *operation) {
    const bk_patch *set[] = {&j->patch};
    int rc = BK_OK;
    if (!strcmp(operation, "token")) {
        j->state.pos = j->position;
        rc = bk_forward(&j->state, &(int32_t){40}, 1, j->logits);
    } else if (!strcmp(operation, "select")) {
        j->state.overlay = j->state.overlay ? NULL : &j->overlay;
        j->state.pos = 0;
    } else if (!strcmp(operation, "build")) {
        size_t bytes;
        rc = bk_overlay_bytes(set, 1, &j->model, &bytes);
        rc |= bk_overlay_build(&j->overlay, set, 1, &j->model, j->mem, j->bytes);
    } else if (!strcmp(operation, "apply")) {
        rc = bk_patch_swap(&j->model, NULL, 0, set, 1, false);
    } else if (!strcmp(operation, "change")) {
        rc = bk_patch_swap(&j->model, set, 1, set, 1, false);
    } else if (!strcmp(operation, "revert")) {
        rc = bk_patch_swap(&j->model, set, 1, NULL, 0, false);
    } else if (!strcmp(operation, "check")) {
        rc = bk_patch_check(&j->patch, &j->model, false);
    } else {
        return false;
    }
    return rc == BK_OK;
}

int main(int argc, char **argv) {
    static job j;
    if (argc != 7) return 2;
    open_all(&j, argv);
    if (strcmp(argv[5], "-")) {
        j.mem = open_patch(&j.patch, read_file(argv[5]), &j.model, &j.overlay, &j.bytes);
        j.state.overlay = &j.overlay;
    }
    if (!strcmp(argv[3], "change") || !strcmp(argv[3], "revert")) CHECK(run(&j, "apply"));
    for (int t = atoi(argv[6]); t > 0; t--) CHECK(run(&j, argv[3]));
    return CHECK_RESULT();
}
