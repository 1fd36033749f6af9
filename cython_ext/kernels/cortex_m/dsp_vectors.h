/* dsp_vectors.h: what the DSP kernel's products share with its vectors. */
#ifndef BK_DSP_VECTORS_H
#define BK_DSP_VECTORS_H

#include "bk_bytes.h"
#include "bk_vector.h"

/* Exact, as bk_fp16_to_f32 is. */
static inline float bk_dsp_from_f16(uint16_t h) {
    float out = bk_float_from_bits(h);
    __asm__("vcvtb.f32.f16 %0, %0" : "+t"(out));
    return out;
}

#endif
