/* bk_dense.h: F32, F16 and BF16 tensors beside the packed ones: norms, and whole matrices. */
#ifndef BK_DENSE_H
#define BK_DENSE_H

#include "bk_gguf.h"
#include "bk_q1.h"

/* A vector where it lies: F32, F16 or BF16. */
typedef struct {
    const uint8_t *data; /* [n] */
    uint32_t type;
    uint32_t n;
} bk_vec;

/* Element i as a float. */
float bk_dense_load(const uint8_t *data, uint32_t type, size_t i);

/* y[row0..row1) of w x, each row summed over 16 lanes (bk_math.h). */
void bk_dense_gemv(const bk_mat *w, const float *x, float *y, uint32_t row0, uint32_t row1);

#endif
