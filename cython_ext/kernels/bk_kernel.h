/* bk_kernel.h: the table of functions that an instruction set provides.
 *
 * All tables compute the same bits (DESIGN: bit-exact everywhere):
 *   quantise  per 128 columns: s = amax/127, q = round-half-even(x * (127/amax)), int8
 *   gemv      y[r] = ((0 + c0) + c1) + ...  with c_b = (float)dot_b * (d_b * s_b), dot_b exact
 * The quantised form is the kernel's own (bit planes, padded, ...): act_bytes says how large one
 * vector of it is, and only the functions of the same table read it.
 */
#ifndef BK_KERNEL_H
#define BK_KERNEL_H

#include <stdbool.h>

#include "bk_q1.h"

typedef struct bk_kernel {
    const char *name;
    /* bytes of one quantised vector of `cols` columns; a multiple of 64 */
    size_t (*act_bytes)(uint32_t cols);
    /* x [cols] floats -> act */
    void (*quantise)(const float *x, uint32_t cols, void *act);
    /* y[row0..row1) of one vector; y is indexed by row */
    void (*gemv)(const bk_mat *w, const void *act, float *y, uint32_t row0, uint32_t row1);
    /* one row given by its blocks: what gemv would write for it */
    float (*row)(const uint8_t *blocks, uint32_t cols, const void *act);
} bk_kernel;

extern const bk_kernel bk_kernel_scalar;

#endif
