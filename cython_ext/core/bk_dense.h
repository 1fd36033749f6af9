/* bk_dense.h: F32, F16 and BF16 tensors beside the packed ones: norms, and whole matrices. */
#ifndef BK_DENSE_H
#define BK_DENSE_H

#include "bk_gguf.h"
#include "bk_q1.h"

/* Element i as a float. */
float bk_dense_load(const uint8_t *data, uint32_t type, size_t i);

/* y[rows] = w x, each row summed over 16 lanes (bk_math.h). */
void bk_dense_gemv(const bk_mat *w, const float *x, float *y);

#endif
