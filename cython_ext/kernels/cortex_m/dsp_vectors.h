/* dsp_vectors.h: the vector functions for a single-precision FPU and the DSP extension.
 *
 * Each repeats bk_vector.h or bk_act.c step by step. VMLA is not used: it has the same bits, but
 * costs a Cortex-M4 three cycles where VMUL and VADD take two.
 */
#ifndef BK_DSP_VECTORS_H
#define BK_DSP_VECTORS_H

#include "bk_dense.h"

void bk_dsp_quantise(const float *x, uint32_t cols, void *act); /* the common part of an act */
void bk_dsp_rms_norm(const float *x, const bk_vec *w, float eps, float *out);
void bk_dsp_silu_mul(float *gate, const float *up, size_t n);
void bk_dsp_attend(const float *q, const uint16_t *k, const uint16_t *v, uint32_t n, uint32_t d,
                   float *scores, float *out);

/* Exact, as bk_fp16_to_f32 is. */
static inline float bk_dsp_from_f16(uint16_t h) {
    float x = bk_float_from_bits(h);
    __asm__("vcvtb.f32.f16 %0, %0" : "+t"(x));
    return x;
}

#endif
