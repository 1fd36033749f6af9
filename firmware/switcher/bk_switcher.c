/* bk_switcher.c: no model here; something else reads the weights, and is told of each set. */
#include "bk_switcher.h"

#include <string.h>

#include "bk_error.h"
#include "bk_runtime.h"

__attribute__((weak)) const uint8_t *bk_switcher_model_id(void) { return NULL; }

__attribute__((weak)) int bk_switcher_use(const bk_patch *const *set, uint32_t n) {
    (void)set, (void)n;
    return BK_RC_OK;
}

static void about(void *self, bk_session_about *out) {
    (void)self;
    *out = (bk_session_about){.model_id = bk_switcher_model_id()};
}

static int check(void *self, const bk_members *running, const bk_patch *patch) {
    const uint8_t *id = bk_switcher_model_id();
    (void)self, (void)running;
    if (!patch->model_id) return BK_ERR_PATCH_UNBOUND;
    return !id || memcmp(id, patch->model_id, 32) == 0 ? BK_OK : BK_ERR_PATCH_MODEL;
}

static int use(void *self, const bk_members *running, const bk_members *wanted, uint64_t *ns,
               bk_say *why) {
    uint64_t start = bk_port_ns();
    int rc = BK_OK;
    (void)why;
    for (uint32_t i = 0; i < wanted->set.n && !rc; i++)
        rc = check(self, running, wanted->patches[i]);
    if (!rc) rc = bk_switcher_use(wanted->patches, wanted->set.n);
    *ns = bk_port_ns() - start;
    return rc;
}

static const bk_device_session hooks = {.about = about, .check = check, .use = use};

void bk_runtime_open(bk_device_parts *parts, const bk_board *board, bk_say *why) {
    (void)board, (void)why;
    parts->session = &hooks;
}
