/* bk_vector.h: the vector functions of the kernel table in plain C.
 *
 * Inline and written over 16 lanes, so that a kernel's file, compiled for its instruction set, gets
 * them vectorised; additions and their order are spelled out, so every compilation has equal bits.
 */
#ifndef BK_VECTOR_H
#define BK_VECTOR_H

#include "bk_dense.h"
#include "bk_fp16.h"
#include "bk_math.h"

static inline void bk_vector_rms_norm(const float *x, const bk_vec *w, float eps, float *out) {
    float inverse = bk_rsqrt(bk_dot(x, x, w->n) / (float)w->n + eps);
    for (uint32_t i = 0; i < w->n; i++)
        out[i] = (x[i] * inverse) * bk_dense_load(w->data, w->type, i);
}

static inline void bk_vector_silu_mul(float *gate, const float *up, size_t n) {
    for (size_t i = 0; i < n; i++) gate[i] = gate[i] / (1.0f + bk_exp(-gate[i])) * up[i];
}

static inline void bk_vector_attend(const float *q, const uint16_t *k, const uint16_t *v,
                                    uint32_t n, uint32_t d, float *scores, float *out) {
    float scale = bk_rsqrt((float)d), top = -3.4e38f;
    for (uint32_t t = 0; t < n; t++) {
        scores[t] = bk_dot_f16(q, k + (size_t)t * d, d) * scale;
        if (scores[t] > top) top = scores[t];
    }
    for (uint32_t t = 0; t < n; t++) scores[t] = bk_exp(scores[t] - top);
    float inverse = 1.0f / bk_sum(scores, n);
    for (uint32_t i = 0; i < d; i++) out[i] = 0.0f;
    for (uint32_t t = 0; t < n; t++)
        for (uint32_t i = 0; i < d; i++) out[i] += scores[t] * bk_fp16_to_f32(v[(size_t)t * d + i]);
    for (uint32_t i = 0; i < d; i++) out[i] *= inverse;
}

#endif
