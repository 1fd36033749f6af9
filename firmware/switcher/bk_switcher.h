/* bk_switcher.h: what a program adds to a firmware without inference, which stores patches and
 * keeps the active set for weights that something else reads.
 *
 * Both functions have a default that a program replaces by defining its own.
 */
#ifndef BK_SWITCHER_H
#define BK_SWITCHER_H

#include "bk_patch.h"

/* [32] the id of the only model whose patches are taken; NULL, the default: those of any. */
const uint8_t *bk_switcher_model_id(void);

/* This set is active from now on: called at start and at every switch, before the store records
 * it. The patches are good for the time of the call; walk their flips with bk_flips_open and
 * bk_flips_next (bk_flips.h). Returns BK_RC_OK, or another bk_rc to refuse: then the set from
 * before stays, and no other call follows. */
int bk_switcher_use(const bk_patch *const *set, uint32_t n);

#endif
