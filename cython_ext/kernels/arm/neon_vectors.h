/* neon_vectors.h: what all NEON kernels share: the vector functions, quantisation, one row. */
#ifndef BK_NEON_VECTORS_H
#define BK_NEON_VECTORS_H

#include <arm_neon.h>

#include "bk_act.h"
#include "bk_kernel.h"
#include "bk_tile.h"

BK_KERNEL_DECLARE_VECTORS(bk_neon)
float bk_neon_row(const uint8_t *blocks, uint32_t cols, const void *act); /* as bk_act_row */

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

/* A kernel's own layout, packed row by row; and what its table has of that and of this file. */
#define BK_NEON_LAYOUT(tile, place, bit_at)                                                        \
    BK_TILE_LAYOUT(static, own, tile, bit_at)                                                      \
    static void own_pack(const bk_mat *w, uint32_t row0, uint32_t row1) {                          \
        bk_tile_pack(tile, w, row0, row1, place);                                                  \
    }
#define BK_NEON_SHARED(tile)                                                                       \
    BK_TILE_MEMBERS(own, tile), .row = bk_neon_row, BK_KERNEL_VECTORS(bk_neon)

#endif
