/* neon_vectors.h: what all NEON kernels share: the vector functions, quantisation, one row. */
#ifndef BK_NEON_VECTORS_H
#define BK_NEON_VECTORS_H

#include <arm_neon.h>

#include "bk_act.h"
#include "bk_kernel.h"

/* The common part of a quantised vector, as bk_act_quantise. */
void bk_neon_quantise(const float *x, uint32_t cols, void *act);

/* y of one row given by its file blocks, as bk_act_row. */
float bk_neon_row(const uint8_t *blocks, uint32_t cols, const void *act);

void bk_neon_rms_norm(const float *x, const bk_vec *w, float eps, float *out);
void bk_neon_silu_mul(float *gate, const float *up, size_t n);
void bk_neon_attend(const float *q, const uint16_t *k, const uint16_t *v, uint32_t n, uint32_t d,
                    float *scores, float *out);

/* Four fp16 as floats; every fp16 is exact. */
static inline float32x4_t bk_neon_low_f32(uint16x8_t h) {
    return vcvt_f32_f16(vreinterpret_f16_u16(vget_low_u16(h)));
}

static inline float32x4_t bk_neon_high_f32(uint16x8_t h) {
    return vcvt_high_f32_f16(vreinterpretq_f16_u16(h));
}

/* y + dot * ds: two roundings, as the contract has it. */
static inline float32x4_t bk_neon_add_block(float32x4_t y, int32x4_t dot, float32x4_t ds) {
    return vaddq_f32(y, vmulq_f32(vcvtq_f32_s32(dot), ds));
}

#endif
