/* bk_dense.c: element access and GEMV for tensors that are not packed bits. */
#include "bk_dense.h"

#include "bk_fp16.h"
#include "bk_math.h"

float bk_dense_load(const uint8_t *data, uint32_t type, size_t i) {
    switch (type) {
    case BK_TYPE_F16: return bk_fp16_to_f32(bk_load16_le(data + 2 * i));
    case BK_TYPE_BF16: return bk_bf16_to_f32(bk_load16_le(data + 2 * i));
    default: return bk_loadf32_le(data + 4 * i);
    }
}

void bk_dense_gemv(const bk_mat *w, const float *x, float *y, uint32_t row0, uint32_t row1) {
    for (uint32_t r = row0; r < row1; r++) {
        float lanes[BK_LANES] = {0};
        size_t row = (size_t)r * w->cols;
        for (uint32_t j = 0; j < w->cols; j++)
            lanes[j % BK_LANES] += bk_dense_load(w->data, w->type, row + j) * x[j];
        y[r] = bk_sum_lanes(lanes);
    }
}
