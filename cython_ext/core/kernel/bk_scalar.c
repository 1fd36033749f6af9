/* bk_scalar.c: the kernel that every CPU has: plain C over the file's own layout. */
#include "bk_act.h"
#include "bk_kernel.h"
#include "bk_vector.h"

static void gemv(const bk_mat *w, const void *act, float *y, uint32_t row0, uint32_t row1) {
    size_t row_bytes = bk_q1_row_bytes(w->cols);
    for (uint32_t r = row0; r < row1; r++) y[r] = bk_act_row(w->data + r * row_bytes, w->cols, act);
}

BK_KERNEL(bk_kernel_scalar, "scalar", "scalar", bk_act_plain_bytes, bk_act_quantise, gemv, NULL,
          .tile = 1, .row = bk_act_row, BK_KERNEL_VECTORS(bk_vector));
