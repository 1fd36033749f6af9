/* dsp_vectors.c: norms, gates, attention and quantisation in few instructions; see the header. */
#if defined(__ARM_FEATURE_DSP) && defined(__ARM_FP)

#pragma GCC optimize("O2")

#include "dsp_vectors.h"

#include <arm_acle.h>
#include <stdbool.h>

#include "bk_act.h"
#include "bk_vector.h"

/* ---- pieces of assembly: eight numbers at a time ------------------------------------------ */

/* s0..7 *= s8..15; s(16 or 24).. += s0..7 */
#define MUL8                                                                                       \
    "vmul.f32 s0, s0, s8\n\tvmul.f32 s1, s1, s9\n\tvmul.f32 s2, s2, s10\n\t"                       \
    "vmul.f32 s3, s3, s11\n\tvmul.f32 s4, s4, s12\n\tvmul.f32 s5, s5, s13\n\t"                     \
    "vmul.f32 s6, s6, s14\n\tvmul.f32 s7, s7, s15\n\t"
#define ADD8_16                                                                                    \
    "vadd.f32 s16, s16, s0\n\tvadd.f32 s17, s17, s1\n\tvadd.f32 s18, s18, s2\n\t"                  \
    "vadd.f32 s19, s19, s3\n\tvadd.f32 s20, s20, s4\n\tvadd.f32 s21, s21, s5\n\t"                  \
    "vadd.f32 s22, s22, s6\n\tvadd.f32 s23, s23, s7\n\t"
#define ADD8_24                                                                                    \
    "vadd.f32 s24, s24, s0\n\tvadd.f32 s25, s25, s1\n\tvadd.f32 s26, s26, s2\n\t"                  \
    "vadd.f32 s27, s27, s3\n\tvadd.f32 s28, s28, s4\n\tvadd.f32 s29, s29, s5\n\t"                  \
    "vadd.f32 s30, s30, s6\n\tvadd.f32 s31, s31, s7\n\t"
#define SCALE8(by)                                                                                 \
    "vmul.f32 s0, s0, " by "\n\tvmul.f32 s1, s1, " by "\n\tvmul.f32 s2, s2, " by                   \
    "\n\t"                                                                                         \
    "vmul.f32 s3, s3, " by "\n\tvmul.f32 s4, s4, " by "\n\tvmul.f32 s5, s5, " by                   \
    "\n\t"                                                                                         \
    "vmul.f32 s6, s6, " by "\n\tvmul.f32 s7, s7, " by "\n\t"
/* 8 fp16 from p to the even and odd of s(a).. */
#define LOAD_F16(p, a, b, c, d, e, f, g, h)                                                        \
    "vldmia " p "!, {s" #a "-s" #d                                                                 \
    "}\n\t"                                                                                        \
    "vcvtt.f32.f16 s" #h ", s" #d "\n\tvcvtb.f32.f16 s" #g ", s" #d                                \
    "\n\t"                                                                                         \
    "vcvtt.f32.f16 s" #f ", s" #c "\n\tvcvtb.f32.f16 s" #e ", s" #c                                \
    "\n\t"                                                                                         \
    "vcvtt.f32.f16 s" #d ", s" #b "\n\tvcvtb.f32.f16 s" #c ", s" #b                                \
    "\n\t"                                                                                         \
    "vcvtt.f32.f16 s" #b ", s" #a "\n\tvcvtb.f32.f16 s" #a ", s" #a "\n\t"
#define KEYS "s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7"
#define SUMS                                                                                       \
    "s16", "s17", "s18", "s19", "s20", "s21", "s22", "s23", "s24", "s25", "s26", "s27", "s28",     \
        "s29", "s30", "s31"
/* 8+8, 4+4, 2+2, 1+1 of s16..31, into s16 */
#define ADD_LANES                                                                                  \
    "vadd.f32 s16, s16, s24\n\tvadd.f32 s17, s17, s25\n\tvadd.f32 s18, s18, s26\n\t"               \
    "vadd.f32 s19, s19, s27\n\tvadd.f32 s20, s20, s28\n\tvadd.f32 s21, s21, s29\n\t"               \
    "vadd.f32 s22, s22, s30\n\tvadd.f32 s23, s23, s31\n\tvadd.f32 s16, s16, s20\n\t"               \
    "vadd.f32 s17, s17, s21\n\tvadd.f32 s18, s18, s22\n\tvadd.f32 s19, s19, s23\n\t"               \
    "vadd.f32 s16, s16, s18\n\tvadd.f32 s17, s17, s19\n\tvadd.f32 s16, s16, s17\n\t"

static const float ZEROS[BK_LANES] = {0};

/* ---- norm --------------------------------------------------------------------------------- */

/* Sum of squares; n is a multiple of 16 and not 0. */
static float dot_self(const float *x, uint32_t n) {
    const float *end = x + n;
    register float sum __asm__("s16");
    __asm__ volatile(
        "vldmia %[zeros], {s16-s31}\n\t"
        "1:\n\t"
        "vldmia %[x]!, {s0-s15}\n\t"
        "vmul.f32 s0, s0, s0\n\tvmul.f32 s1, s1, s1\n\tvmul.f32 s2, s2, s2\n\t"
        "vmul.f32 s3, s3, s3\n\tvmul.f32 s4, s4, s4\n\tvmul.f32 s5, s5, s5\n\t"
        "vmul.f32 s6, s6, s6\n\tvmul.f32 s7, s7, s7\n\t" ADD8_16
        "vmul.f32 s0, s8, s8\n\tvmul.f32 s1, s9, s9\n\tvmul.f32 s2, s10, s10\n\t"
        "vmul.f32 s3, s11, s11\n\tvmul.f32 s4, s12, s12\n\tvmul.f32 s5, s13, s13\n\t"
        "vmul.f32 s6, s14, s14\n\tvmul.f32 s7, s15, s15\n\t" ADD8_24
        "cmp %[x], %[end]\n\tbne 1b\n\t" ADD_LANES
        : [x] "+&r"(x), "=t"(sum)
        : [end] "r"(end), [zeros] "r"(ZEROS)
        : "cc", "memory", KEYS, "s8", "s9", "s10", "s11", "s12", "s13", "s14", "s15", "s17", "s18",
          "s19", "s20", "s21", "s22", "s23", "s24", "s25", "s26", "s27", "s28", "s29", "s30",
          "s31");
    return sum;
}

/* out = (x * inverse) * w; n is a multiple of 8 and not 0. */
static void scale_by(const float *x, float inverse, const float *w, float *out, uint32_t n) {
    const float *end = x + n;
    __asm__ volatile(
        "1:\n\t"
        "vldmia %[x]!, {s0-s7}\n\tvldmia %[w]!, {s8-s15}\n\t" SCALE8("%[inverse]") MUL8
        "vstmia %[out]!, {s0-s7}\n\tcmp %[x], %[end]\n\tbne 1b\n\t"
        : [x] "+&r"(x), [w] "+&r"(w), [out] "+&r"(out)
        : [end] "r"(end), [inverse] "t"(inverse)
        : "cc", "memory", KEYS, "s8", "s9", "s10", "s11", "s12", "s13", "s14", "s15");
}

void bk_dsp_rms_norm(const float *x, const bk_vec *w, float eps, float *out) {
    if (w->n == 0 || w->n % BK_LANES || w->type != BK_TYPE_F32 || (uintptr_t)w->data & 3) {
        bk_vector_rms_norm(x, w, eps, out);
        return;
    }
    float inverse = bk_rsqrt(dot_self(x, w->n) / (float)w->n + eps);
    scale_by(x, inverse, (const float *)(uintptr_t)w->data, out, w->n);
}

/* ---- gate --------------------------------------------------------------------------------- */

/* bk_exp for x in [-87.3, 88]. */
static inline float exp_inside(float x) {
    const float magic = 12582912.0f;
    float rounded = x * 1.44269504088896341f + magic; /* ends in the integer n */
    float p = bk_exp_rest(x, rounded - magic);
    return p * bk_float_from_bits((bk_float_bits(rounded) + 127) << 23);
}

/* One comparison of the bits finds what needs bk_exp's bounds: |x| > 87, and NaN. */
static inline bool is_inside(float x) { return bk_float_bits(x) << 1 <= 0x42ae0000u << 1; }

void bk_dsp_silu_mul(float *gate, const float *up, size_t n) {
    const float *end = gate + n;
    while (gate < end) {
        /* no call in this loop, so that all constants stay in registers */
        for (float g; gate < end && is_inside(g = *gate); gate++)
            *gate = g / (1.0f + exp_inside(-g)) * *up++;
        if (gate < end) bk_vector_silu_mul(gate++, up++, 1);
    }
}

/* x = exp(x - top) */
static void exp_all(float *x, uint32_t n, float top) {
    const float *end = x + n;
    while (x < end) {
        for (float y; x < end && is_inside(y = *x - top); x++) *x = exp_inside(y);
        if (x < end) *x = bk_exp(*x - top), x++;
    }
}

/* ---- attention ---------------------------------------------------------------------------- */

/* q . k; d is a multiple of 16 and not 0; k is aligned to 4. */
static float dot_f16(const float *q, const uint16_t *k, uint32_t d) {
    const float *end = q + d;
    register float sum __asm__("s16");
    __asm__ volatile(
        "vldmia %[zeros], {s16-s31}\n\t"
        "1:\n\t"
        "vldmia %[q]!, {s0-s7}\n\t" LOAD_F16("%[k]", 8, 9, 10, 11, 12, 13, 14, 15) MUL8 ADD8_16
        "vldmia %[q]!, {s0-s7}\n\t" LOAD_F16("%[k]", 8, 9, 10, 11, 12, 13, 14, 15) MUL8 ADD8_24
        "cmp %[q], %[end]\n\tbne 1b\n\t" ADD_LANES
        : [q] "+&r"(q), [k] "+&r"(k), "=t"(sum)
        : [end] "r"(end), [zeros] "r"(ZEROS)
        : "cc", "memory", KEYS, "s8", "s9", "s10", "s11", "s12", "s13", "s14", "s15", "s17", "s18",
          "s19", "s20", "s21", "s22", "s23", "s24", "s25", "s26", "s27", "s28", "s29", "s30",
          "s31");
    return sum;
}

/* out[0..16) = sum of scores[t] * v[t][0..16), times inverse; v is aligned to 4, n not 0. */
static void mix_16(const uint16_t *v, uint32_t n, uint32_t d, const float *scores, float inverse,
                   float *out) {
    const float *end = scores + n;
    __asm__ volatile(
        "vldmia %[zeros], {s16-s31}\n\t"
        "1:\n\t"
        "vldmia %[scores]!, {s8}\n\t" LOAD_F16("%[v]", 0, 1, 2, 3, 4, 5, 6, 7) SCALE8("s8")
            ADD8_16 LOAD_F16("%[v]", 0, 1, 2, 3, 4, 5, 6, 7) SCALE8("s8") ADD8_24
        "add %[v], %[step]\n\tcmp %[scores], %[end]\n\tbne 1b\n\t"
        "vmov s8, %[inverse]\n\t"
        "vmul.f32 s16, s16, s8\n\tvmul.f32 s17, s17, s8\n\tvmul.f32 s18, s18, s8\n\t"
        "vmul.f32 s19, s19, s8\n\tvmul.f32 s20, s20, s8\n\tvmul.f32 s21, s21, s8\n\t"
        "vmul.f32 s22, s22, s8\n\tvmul.f32 s23, s23, s8\n\tvmul.f32 s24, s24, s8\n\t"
        "vmul.f32 s25, s25, s8\n\tvmul.f32 s26, s26, s8\n\tvmul.f32 s27, s27, s8\n\t"
        "vmul.f32 s28, s28, s8\n\tvmul.f32 s29, s29, s8\n\tvmul.f32 s30, s30, s8\n\t"
        "vmul.f32 s31, s31, s8\n\t"
        "vstmia %[out], {s16-s31}\n\t"
        : [v] "+&r"(v), [scores] "+&r"(scores)
        : [step] "r"(2 * d - 2 * BK_LANES), [end] "r"(end), [zeros] "r"(ZEROS), [out] "r"(out),
          [inverse] "r"(inverse)
        : "cc", "memory", KEYS, "s8", SUMS);
}

void bk_dsp_attend(const float *q, const uint16_t *k, const uint16_t *v, uint32_t n, uint32_t d,
                   float *scores, float *out) {
    if (n == 0 || d == 0 || d % BK_LANES || ((uintptr_t)k | (uintptr_t)v) & 3) {
        bk_vector_attend(q, k, v, n, d, scores, out);
        return;
    }
    float scale = bk_rsqrt((float)d), top = -3.4e38f;
    for (uint32_t t = 0; t < n; t++) {
        scores[t] = dot_f16(q, k + (size_t)t * d, d) * scale;
        if (scores[t] > top) top = scores[t];
    }
    exp_all(scores, n, top);
    float inverse = 1.0f / bk_sum(scores, n);
    for (uint32_t i = 0; i < d; i += BK_LANES) mix_16(v + i, n, d, scores, inverse, out + i);
}

/* ---- quantised vectors -------------------------------------------------------------------- */

/* Twice the bits of the greatest |x|: ordered as integers, with NaN above all. */
static uint32_t amax_bits(const float *x) {
    uint32_t top = 0;
#pragma GCC unroll 8
    for (uint32_t j = 0; j < BK_Q1_COLS; j++) {
        uint32_t a = bk_float_bits(x[j]) << 1;
        if (a > top) top = a;
    }
    return top;
}

/* 128 q; returns their sum. */
static int32_t round_block(const float *x, float inverse, int8_t *q) {
    const float *end = x + BK_Q1_COLS;
    uint32_t sum = 0, a, b, c, d;
    __asm__ volatile(
        "1:\n\t"
        "vldmia %[x]!, {s0-s3}\n\t"
        "vmul.f32 s0, s0, %[i]\n\tvmul.f32 s1, s1, %[i]\n\t"
        "vmul.f32 s2, s2, %[i]\n\tvmul.f32 s3, s3, %[i]\n\t"
        "vadd.f32 s0, s0, %[m]\n\tvadd.f32 s1, s1, %[m]\n\t"
        "vadd.f32 s2, s2, %[m]\n\tvadd.f32 s3, s3, %[m]\n\t"
        "vmov %[a], %[b], s0, s1\n\tvmov %[c], %[d], s2, s3\n\t"
        "pkhbt %[a], %[a], %[c], lsl #16\n\tpkhbt %[b], %[b], %[d], lsl #16\n\t"
        "sxtab16 %[sum], %[sum], %[a]\n\tsxtab16 %[sum], %[sum], %[b]\n\t"
        "uxtb16 %[a], %[a]\n\tuxtb16 %[b], %[b]\n\torr %[a], %[a], %[b], lsl #8\n\t"
        "str %[a], [%[q]], #4\n\tcmp %[x], %[end]\n\tbne 1b\n\t"
        : [x] "+&r"(x), [q] "+&r"(q), [sum] "+&r"(sum), [a] "=&r"(a), [b] "=&r"(b), [c] "=&r"(c),
          [d] "=&r"(d)
        : [end] "r"(end), [i] "t"(inverse), [m] "t"(12582912.0f)
        : "cc", "memory", "s0", "s1", "s2", "s3");
    return __smuad((int16x2_t)sum, (int16x2_t)0x00010001);
}

static inline float amax_of(const float *x) {
    uint32_t top = amax_bits(x);
    if (top > 0xff000000) return bk_act_amax(x); /* a NaN, which counts for nothing */
    return bk_float_from_bits(top >> 1);
}

void bk_dsp_quantise(const float *x, uint32_t cols, void *act) {
    bk_act_quantise_with(x, cols, act, amax_of, round_block);
}

#endif
