/* bk_overlay.h: an active set over weights that stay untouched (flash, a shared mmap).
 *
 * Rows that are only negated become entries of a sign list, applied to a GEMV's output. Rows with
 * group or bit flips get a patched shadow copy that the kernel reads instead. The result has the
 * same bits as patching in place, and switching sets is one pointer swap.
 */
#ifndef BK_OVERLAY_H
#define BK_OVERLAY_H

#include "bk_model.h"

typedef struct {
    uint32_t row;
    uint32_t shadow; /* 0: negate the output; else 1 + offset of the shadow row in `shadows` */
} bk_overlay_row;

typedef struct bk_overlay {
    const uint32_t *first; /* [n_sections + 1]: section s owns rows first[s] .. first[s + 1] */
    const bk_overlay_row *rows; /* in (section, row) order */
    const uint8_t *shadows; /* patched rows, one after the other */
    uint32_t n_sections; /* n_layers * 7 */
    uint32_t n_rows, n_shadows; /* all rows changed; those of them with a shadow */
} bk_overlay;

/* After a GEMV of layer `layer`, projection p: set right the rows of y [w->rows] that the overlay
 * changes. overlay may be NULL. */
void bk_overlay_fix(const bk_overlay *overlay, uint32_t layer, bk_proj p, const bk_mat *w,
                    const bk_kernel *k, const void *act, float *y);

#endif
