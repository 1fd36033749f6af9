/* bk_fp16.h: IEEE binary16 and bfloat16 to and from binary32, in integers: the same on every CPU. */
#ifndef BK_FP16_H
#define BK_FP16_H

#include "bk_bytes.h"

static inline float bk_fp16_to_f32(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000) << 16;
    uint32_t rest = (uint32_t)(h & 0x7fff);
    if (rest >= 0x7c00) /* infinity, NaN */
        return bk_float_from_bits(sign | 0x7f800000 | (rest & 0x3ff) << 13);
    if (rest >= 0x0400) return bk_float_from_bits(sign | ((rest << 13) + 0x38000000));
    /* subnormal: rest * 2^-24 is exact in binary32 */
    float magnitude = (float)rest * 5.9604644775390625e-8f;
    return bk_float_from_bits(sign | bk_float_bits(magnitude));
}

/* Rounds to nearest, ties to even; overflow gives infinity, NaN stays NaN (quiet). */
static inline uint16_t bk_fp16_from_f32(float f) {
    uint32_t bits = bk_float_bits(f);
    uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    uint32_t a = bits & 0x7fffffff;
    if (a >= 0x7f800000) return (uint16_t)(sign | 0x7c00 | (a > 0x7f800000 ? 0x200 : 0));
    if (a >= 0x477ff000) return (uint16_t)(sign | 0x7c00); /* >= 65520 rounds to infinity */
    if (a < 0x38800000) {
        /* subnormal: adding 0.5 aligns the mantissa so that the addition itself rounds to even */
        uint32_t r = bk_float_bits(bk_float_from_bits(a) + 0.5f);
        return (uint16_t)(sign | (r - 0x3f000000));
    }
    uint32_t odd = a >> 13 & 1;
    return (uint16_t)(sign | (a - 0x38000000 + 0xfff + odd) >> 13);
}

static inline float bk_bf16_to_f32(uint16_t h) { return bk_float_from_bits((uint32_t)h << 16); }

#endif
