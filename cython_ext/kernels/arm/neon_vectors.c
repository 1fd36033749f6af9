/* neon_vectors.c: norms, gates, attention and quantisation, four floats at a time.
 *
 * Every function repeats bk_vector.h or bk_act.c step by step: the same operations in the same
 * order on each element, sums over 16 lanes in four registers.
 */
#include "neon_vectors.h"

#include "bk_fp16.h"
#include "bk_math.h"

/* ---- sums over 16 lanes ------------------------------------------------------------------- */

static inline float32x4_t add_mul(float32x4_t sum, float32x4_t a, float32x4_t b) {
    return vaddq_f32(sum, vmulq_f32(a, b));
}

/* 8+8, 4+4, 2+2, 1+1 */
static inline float add_lanes(const float32x4_t s[4]) {
    float32x4_t four = vaddq_f32(vaddq_f32(s[0], s[2]), vaddq_f32(s[1], s[3]));
    float32x2_t two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
    return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
}

static float add_lanes_and(const float32x4_t s[4], const float *rest, uint32_t n) {
    float lanes[BK_LANES];
    for (int i = 0; i < 4; i++) vst1q_f32(lanes + 4 * i, s[i]);
    for (uint32_t l = 0; l < n; l++) lanes[l] += rest[l];
    return bk_sum_lanes(lanes);
}

static float dot_self(const float *x, uint32_t n) {
    float32x4_t s[4] = {vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0)};
    uint32_t i = 0;
    for (; i + BK_LANES <= n; i += BK_LANES)
        for (uint32_t l = 0; l < 4; l++) {
            float32x4_t v = vld1q_f32(x + i + 4 * l);
            s[l] = add_mul(s[l], v, v);
        }
    float rest[BK_LANES];
    for (uint32_t l = 0; i + l < n; l++) rest[l] = x[i + l] * x[i + l];
    return i == n ? add_lanes(s) : add_lanes_and(s, rest, n - i);
}

static float sum_of(const float *x, uint32_t n) {
    float32x4_t s[4] = {vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0)};
    uint32_t i = 0;
    for (; i + BK_LANES <= n; i += BK_LANES)
        for (uint32_t l = 0; l < 4; l++) s[l] = vaddq_f32(s[l], vld1q_f32(x + i + 4 * l));
    return i == n ? add_lanes(s) : add_lanes_and(s, x + i, n - i);
}

/* ---- norm and gate ------------------------------------------------------------------------ */

static inline float32x4_t load_weights(const bk_vec *w, uint32_t i) {
    if (w->type == BK_TYPE_F32) return vreinterpretq_f32_u8(vld1q_u8(w->data + 4 * (size_t)i));
    uint16x4_t h = vreinterpret_u16_u8(vld1_u8(w->data + 2 * (size_t)i));
    if (w->type == BK_TYPE_F16) return vcvt_f32_f16(vreinterpret_f16_u16(h));
    return vreinterpretq_f32_u32(vshll_n_u16(h, 16));
}

void bk_neon_rms_norm(const float *x, const bk_vec *w, float eps, float *out) {
    float inverse = bk_rsqrt(dot_self(x, w->n) / (float)w->n + eps);
    uint32_t i = 0;
    for (; i + 4 <= w->n; i += 4)
        vst1q_f32(out + i, vmulq_f32(vmulq_n_f32(vld1q_f32(x + i), inverse), load_weights(w, i)));
    for (; i < w->n; i++) out[i] = (x[i] * inverse) * bk_dense_load(w->data, w->type, i);
}

/* bk_exp, step by step */
static inline float32x4_t exp4(float32x4_t x) {
    uint32x4_t alive = vcgeq_f32(x, vdupq_n_f32(-87.3f));
    x = vbslq_f32(vcgtq_f32(x, vdupq_n_f32(88.0f)), vdupq_n_f32(88.0f), x);
    const float32x4_t magic = vdupq_n_f32(12582912.0f);
    float32x4_t n = vsubq_f32(vaddq_f32(vmulq_n_f32(x, 1.44269504088896341f), magic), magic);
    float32x4_t r = vsubq_f32(x, vmulq_n_f32(n, 0.693359375f));
    r = vsubq_f32(r, vmulq_n_f32(n, -2.12194440e-4f));
    float32x4_t p = vdupq_n_f32(1.9875691500e-4f);
    p = add_mul(vdupq_n_f32(1.3981999507e-3f), p, r);
    p = add_mul(vdupq_n_f32(8.3334519073e-3f), p, r);
    p = add_mul(vdupq_n_f32(4.1665795894e-2f), p, r);
    p = add_mul(vdupq_n_f32(1.6666665459e-1f), p, r);
    p = add_mul(vdupq_n_f32(5.0000001201e-1f), p, r);
    p = add_mul(r, p, vmulq_f32(r, r));
    p = vaddq_f32(p, vdupq_n_f32(1.0f));
    int32x4_t power = vshlq_n_s32(vaddq_s32(vcvtq_s32_f32(n), vdupq_n_s32(127)), 23);
    p = vmulq_f32(p, vreinterpretq_f32_s32(power));
    return vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(p), alive));
}

void bk_neon_silu_mul(float *gate, const float *up, size_t n) {
    size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        float32x4_t g = vld1q_f32(gate + i);
        float32x4_t below = vaddq_f32(vdupq_n_f32(1.0f), exp4(vnegq_f32(g)));
        vst1q_f32(gate + i, vmulq_f32(vdivq_f32(g, below), vld1q_f32(up + i)));
    }
    for (; i < n; i++) gate[i] = gate[i] / (1.0f + bk_exp(-gate[i])) * up[i];
}

/* ---- attention ---------------------------------------------------------------------------- */

static inline uint16x8_t load_f16(const uint16_t *p) { return vld1q_u16(p); }

/* q . k for two positions at once, so that q is loaded once; d % 16 == 0 */
static inline void dot_two(const float *q, const uint16_t *k0, const uint16_t *k1, uint32_t d,
                           float out[2]) {
    float32x4_t a[4], b[4];
    for (int l = 0; l < 4; l++) a[l] = b[l] = vdupq_n_f32(0);
    for (uint32_t i = 0; i < d; i += BK_LANES)
        for (uint32_t h = 0; h < 2; h++) {
            float32x4_t q0 = vld1q_f32(q + i + 8 * h), q1 = vld1q_f32(q + i + 8 * h + 4);
            uint16x8_t u = load_f16(k0 + i + 8 * h), v = load_f16(k1 + i + 8 * h);
            a[2 * h] = add_mul(a[2 * h], q0, bk_neon_low_f32(u));
            a[2 * h + 1] = add_mul(a[2 * h + 1], q1, bk_neon_high_f32(u));
            b[2 * h] = add_mul(b[2 * h], q0, bk_neon_low_f32(v));
            b[2 * h + 1] = add_mul(b[2 * h + 1], q1, bk_neon_high_f32(v));
        }
    out[0] = add_lanes(a);
    out[1] = add_lanes(b);
}

/* scores[t] = (q . k[t]) * scale; the greatest of them and -3.4e38 */
static float score(const float *q, const uint16_t *k, uint32_t n, uint32_t d, float scale,
                   float *scores) {
    float top = -3.4e38f;
    bool lanes = d % BK_LANES == 0;
    for (uint32_t t = 0; t < n; t += 2) {
        const uint16_t *k0 = k + (size_t)t * d, *k1 = t + 1 < n ? k0 + d : k0;
        float two[2];
        if (lanes) {
            dot_two(q, k0, k1, d, two);
        } else {
            two[0] = bk_dot_f16(q, k0, d);
            two[1] = bk_dot_f16(q, k1, d);
        }
        for (uint32_t i = 0; i < 2 && t + i < n; i++) {
            scores[t + i] = two[i] * scale;
            if (scores[t + i] > top) top = scores[t + i];
        }
    }
    return top;
}

/* out[0..4 * regs) = sum of scores[t] * v[t][..], times inverse; the sums stay in registers */
static inline __attribute__((always_inline)) void mix(const uint16_t *v, uint32_t n, uint32_t d,
                                                      const float *scores, float inverse,
                                                      float *out, uint32_t regs) {
    float32x4_t sum[16];
    for (uint32_t i = 0; i < regs; i++) sum[i] = vdupq_n_f32(0);
    for (uint32_t t = 0; t < n; t++, v += d) {
        float32x4_t s = vdupq_n_f32(scores[t]);
        for (uint32_t i = 0; i < regs; i += 2) {
            uint16x8_t h = load_f16(v + 4 * i);
            sum[i] = add_mul(sum[i], s, bk_neon_low_f32(h));
            sum[i + 1] = add_mul(sum[i + 1], s, bk_neon_high_f32(h));
        }
    }
    for (uint32_t i = 0; i < regs; i++) vst1q_f32(out + 4 * i, vmulq_n_f32(sum[i], inverse));
}

void bk_neon_attend(const float *q, const uint16_t *k, const uint16_t *v, uint32_t n, uint32_t d,
                    float *scores, float *out) {
    float top = score(q, k, n, d, bk_rsqrt((float)d), scores);
    uint32_t t = 0, i = 0;
    for (; t + 4 <= n; t += 4)
        vst1q_f32(scores + t, exp4(vsubq_f32(vld1q_f32(scores + t), vdupq_n_f32(top))));
    for (; t < n; t++) scores[t] = bk_exp(scores[t] - top);
    float inverse = 1.0f / sum_of(scores, n);
    for (; i + 64 <= d; i += 64) mix(v + i, n, d, scores, inverse, out + i, 16);
    for (; i + 8 <= d; i += 8) mix(v + i, n, d, scores, inverse, out + i, 2);
    for (; i < d; i++) {
        float sum = 0.0f;
        for (t = 0; t < n; t++) sum += scores[t] * bk_fp16_to_f32(v[(size_t)t * d + i]);
        out[i] = sum * inverse;
    }
}

/* ---- quantised vectors -------------------------------------------------------------------- */

static inline float amax_of(const float *x) { /* a NaN is never greater */
    float32x4_t top[4];
    for (uint32_t l = 0; l < 4; l++) top[l] = vdupq_n_f32(0);
    for (uint32_t j = 0; j < BK_Q1_COLS; j += 16)
        for (uint32_t l = 0; l < 4; l++) {
            float32x4_t a = vabsq_f32(vld1q_f32(x + j + 4 * l));
            top[l] = vbslq_f32(vcgtq_f32(a, top[l]), a, top[l]);
        }
    return vmaxvq_f32(vmaxq_f32(vmaxq_f32(top[0], top[1]), vmaxq_f32(top[2], top[3])));
}

static inline uint16x8_t round_to_bits(const float *x, float inverse) {
    const float32x4_t magic = vdupq_n_f32(12582912.0f);
    float32x4_t a = vaddq_f32(vmulq_n_f32(vld1q_f32(x), inverse), magic);
    float32x4_t b = vaddq_f32(vmulq_n_f32(vld1q_f32(x + 4), inverse), magic);
    return vuzp1q_u16(vreinterpretq_u16_f32(a), vreinterpretq_u16_f32(b));
}

static inline int32_t round_block(const float *x, float inverse, int8_t *q) {
    int16x8_t sum = vdupq_n_s16(0);
    for (uint32_t j = 0; j < BK_Q1_COLS; j += 16, x += 16, q += 16) {
        uint8x16_t low = vreinterpretq_u8_u16(round_to_bits(x, inverse));
        uint8x16_t high = vreinterpretq_u8_u16(round_to_bits(x + 8, inverse));
        int8x16_t bytes = vreinterpretq_s8_u8(vuzp1q_u8(low, high));
        vst1q_s8(q, bytes);
        sum = vpadalq_s8(sum, bytes);
    }
    return vaddlvq_s16(sum);
}

void bk_neon_quantise(const float *x, uint32_t cols, void *act) {
    bk_act_quantise_with(x, cols, act, amax_of, round_block);
}

/* Sum of the activations whose sign bit is set, over one block. */
static inline int32_t masked_sum(const uint8_t *bits, const int8_t *q) {
    static const uint8_t SPREAD[16] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1};
    const uint8x16_t bit = vreinterpretq_u8_u64(vdupq_n_u64(UINT64_C(0x8040201008040201)));
    uint8x16_t w = vld1q_u8(bits), at = vld1q_u8(SPREAD);
    int16x8_t sum = vdupq_n_s16(0);
    for (uint32_t j = 0; j < BK_Q1_COLS; j += 16) {
        uint8x16_t set = vtstq_u8(vqtbl1q_u8(w, at), bit);
        sum = vpadalq_s8(sum, vandq_s8(vld1q_s8(q + j), vreinterpretq_s8_u8(set)));
        at = vaddq_u8(at, vdupq_n_u8(2));
    }
    return vaddlvq_s16(sum);
}

float bk_neon_row(const uint8_t *blocks, uint32_t cols, const void *act) {
    return bk_act_row_with(blocks, cols, act, masked_sum, bk_fp16_to_f32);
}
