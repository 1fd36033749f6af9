/* mve_vectors.c: norms, gates, attention and quantisation on a Cortex-M55 or M85; see the header. */
#if defined(__ARM_FEATURE_MVE) && (__ARM_FEATURE_MVE & 2)

#pragma GCC optimize("O2")

#include "mve_vectors.h"

#include <stdbool.h>

#include "bk_act.h"
#include "bk_vector.h"

/* ---- sums over 16 lanes ------------------------------------------------------------------- */

static inline float32x4_t add_mul(float32x4_t sum, float32x4_t a, float32x4_t b) {
    return vaddq_f32(sum, vmulq_f32(a, b));
}

/* 8+8, 4+4, 2+2, 1+1 */
static inline float add_lanes(float32x4_t a, float32x4_t b, float32x4_t c, float32x4_t d) {
    float32x4_t four = vaddq_f32(vaddq_f32(a, c), vaddq_f32(b, d));
    return (vgetq_lane_f32(four, 0) + vgetq_lane_f32(four, 2)) +
           (vgetq_lane_f32(four, 1) + vgetq_lane_f32(four, 3));
}

/* ---- norm --------------------------------------------------------------------------------- */

static float dot_self(const float *x, uint32_t n) {
    float32x4_t a = vdupq_n_f32(0), b = a, c = a, d = a;
    for (const float *end = x + n; x < end; x += BK_LANES) {
        float32x4_t v = vldrwq_f32(x), w = vldrwq_f32(x + 4);
        a = add_mul(a, v, v);
        b = add_mul(b, w, w);
        v = vldrwq_f32(x + 8), w = vldrwq_f32(x + 12);
        c = add_mul(c, v, v);
        d = add_mul(d, w, w);
    }
    return add_lanes(a, b, c, d);
}

void bk_mve_rms_norm(const float *x, const bk_vec *w, float eps, float *out) {
    /* beside such an eps no subnormal counts in the sum */
    if (w->n % BK_LANES || w->type != BK_TYPE_F32 || !(eps > 1e-10f)) {
        bk_vector_rms_norm(x, w, eps, out);
        return;
    }
    float inverse = bk_rsqrt(dot_self(x, w->n) / (float)w->n + eps);
    bk_mve_watch();
    for (uint32_t i = 0; i < w->n; i += 4) {
        const uint8_t *at = w->data + 4 * (size_t)i; /* unaligned */
        float32x4_t y = vmulq_n_f32(vldrwq_f32(x + i), inverse);
        y = vmulq_f32(y, vreinterpretq_f32_u8(vldrbq_u8(at)));
        if (bk_mve_lost(&y)) {
            for (uint32_t j = i; j < i + 4; j++)
                out[j] = (x[j] * inverse) * bk_loadf32_le(w->data + 4 * (size_t)j);
            bk_mve_watch();
            continue;
        }
        vstrwq_f32(out + i, y);
    }
}

/* ---- gate --------------------------------------------------------------------------------- */

/* bk_exp, step by step */
static inline float32x4_t exp4(float32x4_t x) {
    mve_pred16_t alive = vcmpgeq_n_f32(x, -87.3f);
    x = vpselq_f32(vdupq_n_f32(88.0f), x, vcmpgtq_n_f32(x, 88.0f));
    x = vpselq_f32(x, vdupq_n_f32(0), alive); /* whose power of two exists */
    const float magic = 12582912.0f;
    float32x4_t n = vsubq_n_f32(vaddq_n_f32(vmulq_n_f32(x, 1.44269504088896341f), magic), magic);
    float32x4_t r = vsubq_f32(x, vmulq_n_f32(n, 0.693359375f));
    r = vsubq_f32(r, vmulq_n_f32(n, -2.12194440e-4f));
    float32x4_t p = vmulq_n_f32(r, 1.9875691500e-4f);
    p = vmulq_f32(vaddq_n_f32(p, 1.3981999507e-3f), r);
    p = vmulq_f32(vaddq_n_f32(p, 8.3334519073e-3f), r);
    p = vmulq_f32(vaddq_n_f32(p, 4.1665795894e-2f), r);
    p = vmulq_f32(vaddq_n_f32(p, 1.6666665459e-1f), r);
    p = vmulq_f32(vaddq_n_f32(p, 5.0000001201e-1f), vmulq_f32(r, r));
    p = vaddq_n_f32(vaddq_f32(p, r), 1.0f);
    int32x4_t power = vshlq_n_s32(vaddq_n_s32(vcvtq_s32_f32(n), 127), 23);
    p = vmulq_f32(p, vreinterpretq_f32_s32(power));
    return vpselq_f32(p, vdupq_n_f32(0), alive);
}

/* There is no vector division. */
static inline float32x4_t divide(float32x4_t over, float32x4_t under) {
    register float32x4_t a __asm__("q0") = over, b __asm__("q1") = under;
    __asm__(
        "vdiv.f32 s0, s0, s4\n\tvdiv.f32 s1, s1, s5\n\t"
        "vdiv.f32 s2, s2, s6\n\tvdiv.f32 s3, s3, s7"
        : "+w"(a)
        : "w"(b));
    return a;
}

void bk_mve_silu_mul(float *gate, const float *up, size_t n) {
    size_t fours = n & ~(size_t)3;
    bk_mve_watch();
    for (size_t i = 0; i < fours; i += 4) {
        float32x4_t g = vldrwq_f32(gate + i);
        float32x4_t below = vaddq_n_f32(exp4(vnegq_f32(g)), 1.0f);
        float32x4_t y = vmulq_f32(divide(g, below), vldrwq_f32(up + i));
        if (bk_mve_lost(&y)) {
            bk_vector_silu_mul(gate + i, up + i, 4);
            bk_mve_watch();
        } else {
            vstrwq_f32(gate + i, y);
        }
    }
    bk_vector_silu_mul(gate + fours, up + fours, n - fours);
}

/* ---- attention ---------------------------------------------------------------------------- */

/* q . k; d is a multiple of 16 and not 0 */
static inline float dot_f16(const float *q, const uint16_t *k, uint32_t d) {
    float32x4_t s0 = vdupq_n_f32(0), s1 = s0, s2 = s0, s3 = s0, x, y;
    const float *end = q + d;
#define FOUR(s)                                                                                    \
    "vldrw.32 %q[x], [%[q]], #16\n\tvldrh.u32 %q[y], [%[k]], #8\n\tbk_vcvtb %q[y], %q[y]\n\t"      \
    "vmul.f32 %q[x], %q[x], %q[y]\n\tvadd.f32 %q[" s "], %q[" s "], %q[x]\n\t"
    __asm__ volatile("1:\n\t" FOUR("s0") FOUR("s1") FOUR("s2")
                         FOUR("s3") "cmp %[q], %[end]\n\tbne 1b"
                     : [q] "+&r"(q), [k] "+&l"(k), [s0] "+&w"(s0), [s1] "+&w"(s1), [s2] "+&w"(s2),
                       [s3] "+&w"(s3), [x] "=&w"(x), [y] "=&w"(y)
                     : [end] "r"(end)
                     : "cc", "memory");
#undef FOUR
    return add_lanes(s0, s1, s2, s3);
}

/* out[0..16) = sum of scores[t] * v[t][0..16), times inverse; n is not 0 */
static inline void mix_16(const uint16_t *v, uint32_t n, uint32_t d, const float *scores,
                          float inverse, float *out) {
    float32x4_t s0 = vdupq_n_f32(0), s1 = s0, s2 = s0, s3 = s0, x;
    const float *end = scores + n;
    uint32_t by;
#define FOUR(s)                                                                                    \
    "vldrh.u32 %q[x], [%[v]], #8\n\tbk_vcvtb %q[x], %q[x]\n\t"                                     \
    "vmul.f32 %q[x], %q[x], %[by]\n\tvadd.f32 %q[" s "], %q[" s "], %q[x]\n\t"
    __asm__ volatile("1:\n\tldr %[by], [%[scores]], #4\n\t" FOUR("s0") FOUR("s1") FOUR("s2")
                         FOUR("s3") "add %[v], %[v], %[step]\n\tcmp %[scores], %[end]\n\tbne 1b"
                     : [v] "+&l"(v), [scores] "+&r"(scores), [s0] "+&w"(s0), [s1] "+&w"(s1),
                       [s2] "+&w"(s2), [s3] "+&w"(s3), [x] "=&w"(x), [by] "=&r"(by)
                     : [end] "r"(end), [step] "r"(2 * d - 2 * BK_LANES)
                     : "cc", "memory");
#undef FOUR
    vstrwq_f32(out, vmulq_n_f32(s0, inverse));
    vstrwq_f32(out + 4, vmulq_n_f32(s1, inverse));
    vstrwq_f32(out + 8, vmulq_n_f32(s2, inverse));
    vstrwq_f32(out + 12, vmulq_n_f32(s3, inverse));
}

void bk_mve_attend(const float *q, const uint16_t *k, const uint16_t *v, uint32_t n, uint32_t d,
                   float *scores, float *out) {
    if (n == 0 || d == 0 || d % BK_LANES) {
        bk_vector_attend(q, k, v, n, d, scores, out);
        return;
    }
    bk_mve_watch();
    float scale = bk_rsqrt((float)d), top = -3.4e38f;
    for (uint32_t t = 0; t < n; t++) {
        scores[t] = dot_f16(q, k + (size_t)t * d, d) * scale;
        if (scores[t] > top) top = scores[t];
    }
    uint32_t t = 0;
    for (; t + 4 <= n; t += 4)
        vstrwq_f32(scores + t, exp4(vsubq_n_f32(vldrwq_f32(scores + t), top)));
    for (; t < n; t++) scores[t] = bk_exp(scores[t] - top);
    float inverse = 1.0f / bk_sum(scores, n);
    for (uint32_t i = 0; i < d; i += BK_LANES) mix_16(v + i, n, d, scores, inverse, out + i);
    float32x4_t last = vldrwq_f32(out);
    if (bk_mve_lost(&last)) bk_vector_attend(q, k, v, n, d, scores, out);
}

/* ---- quantised vectors -------------------------------------------------------------------- */

/* The bits of the greatest |x|: ordered as integers, with NaN above all. */
static uint32_t amax_bits(const float *x) {
    uint32x4_t top = vdupq_n_u32(0);
    for (const float *end = x + BK_Q1_COLS; x < end; x += 4)
        top = vmaxq_u32(top, vreinterpretq_u32_f32(vabsq_f32(vldrwq_f32(x))));
    return vmaxvq_u32(0, top);
}

/* 128 q; returns their sum. */
static int32_t round_block(const float *x, float inverse, int8_t *q) {
    int32_t sum = 0;
    for (const int8_t *end = q + BK_Q1_COLS; q < end; q += 16, x += 16) {
        for (uint32_t j = 0; j < 16; j += 4) {
            float32x4_t v = vaddq_n_f32(vmulq_n_f32(vldrwq_f32(x + j), inverse), 12582912.0f);
            vstrbq_s32(q + j, vreinterpretq_s32_f32(v));
        }
        sum = vaddvaq_s8(sum, vldrbq_s8(q));
    }
    return sum;
}

static inline float amax_of(const float *x) {
    float amax = bk_float_from_bits(amax_bits(x));
    return amax != amax ? bk_act_amax(x) : amax; /* a NaN counts for nothing */
}

void bk_mve_quantise(const float *x, uint32_t cols, void *act) {
    bk_act_quantise_with(x, cols, act, amax_of, round_block);
}

#endif
