/* switcher.c: the defaults of bk_switcher.h. */
#include "bk_switcher.h"

#ifdef BK_SWITCHER

__attribute__((weak)) const uint8_t *bk_switcher_model_id(void) { return NULL; }

__attribute__((weak)) int bk_switcher_use(const bk_patch *const *set, uint32_t n) {
    (void)set, (void)n;
    return 0;
}

#endif
