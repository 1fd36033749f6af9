/* avx512_vector.c: quantisation, norms, gates and attention, 16 lanes at a time: the lanes, their
 * order and every rounding as in bk_vector.h and bk_math.c. */
#include "avx512.h"
#include "bk_fp16.h"
#include "bk_math.h"
#include "bk_vector.h"

static inline float sum_lanes(__m512 v) {
    __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

static inline __mmask16 first(size_t n) { return (__mmask16)(n >= 16 ? 0xffff : (1u << n) - 1); }

static inline __m512 halves(const uint16_t *h) {
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)h));
}

/* bk_exp */
static inline __m512 exp16(__m512 x) {
    __m512 magic = _mm512_set1_ps(12582912.0f);
    __mmask16 live = _mm512_cmp_ps_mask(x, _mm512_set1_ps(-87.3f), _CMP_GE_OQ);
    x = _mm512_min_ps(x, _mm512_set1_ps(88.0f));
    __m512 n = _mm512_mul_ps(x, _mm512_set1_ps(1.44269504088896341f));
    n = _mm512_sub_ps(_mm512_add_ps(n, magic), magic);
    __m512 r = _mm512_sub_ps(x, _mm512_mul_ps(n, _mm512_set1_ps(0.693359375f)));
    r = _mm512_sub_ps(r, _mm512_mul_ps(n, _mm512_set1_ps(-2.12194440e-4f)));
    __m512 p = _mm512_set1_ps(1.9875691500e-4f);
    p = _mm512_add_ps(_mm512_mul_ps(p, r), _mm512_set1_ps(1.3981999507e-3f));
    p = _mm512_add_ps(_mm512_mul_ps(p, r), _mm512_set1_ps(8.3334519073e-3f));
    p = _mm512_add_ps(_mm512_mul_ps(p, r), _mm512_set1_ps(4.1665795894e-2f));
    p = _mm512_add_ps(_mm512_mul_ps(p, r), _mm512_set1_ps(1.6666665459e-1f));
    p = _mm512_add_ps(_mm512_mul_ps(p, r), _mm512_set1_ps(5.0000001201e-1f));
    p = _mm512_add_ps(_mm512_mul_ps(p, _mm512_mul_ps(r, r)), r);
    p = _mm512_add_ps(p, _mm512_set1_ps(1.0f));
    __m512i power = _mm512_add_epi32(_mm512_cvttps_epi32(n), _mm512_set1_epi32(127));
    return _mm512_maskz_mul_ps(live, p, _mm512_castsi512_ps(_mm512_slli_epi32(power, 23)));
}

/* ---- quantised vectors -------------------------------------------------------------------- */

static inline float amax_of(const float *x) {
    __m512 most = _mm512_setzero_ps();
    for (int i = 0; i < 8; i++) /* the second operand wins over NaN */
        most = _mm512_max_ps(_mm512_abs_ps(_mm512_loadu_ps(x + 16 * i)), most);
    return _mm512_reduce_max_ps(most);
}

static inline int32_t round_block(const float *x, float inverse, int8_t *q) {
    __m512i sum = _mm512_setzero_si512();
    for (int i = 0; i < 8; i++) {
        __m512 v = _mm512_mul_ps(_mm512_loadu_ps(x + 16 * i), _mm512_set1_ps(inverse));
        __m512i bits = _mm512_castps_si512(_mm512_add_ps(v, _mm512_set1_ps(12582912.0f)));
        sum = _mm512_add_epi32(sum, _mm512_srai_epi32(_mm512_slli_epi32(bits, 24), 24));
        _mm_storeu_si128((__m128i *)(void *)(q + 16 * i), _mm512_cvtepi32_epi8(bits));
    }
    return _mm512_reduce_add_epi32(sum);
}

void bk_avx512_quantise(const float *x, uint32_t cols, void *act) {
    bk_act_quantise_with(x, cols, act, amax_of, round_block);
}

/* Sum of the 64 q whose bit is set. */
static inline __m512i masked_64(const uint8_t *bits, const int8_t *q) {
    __m512i kept = _mm512_maskz_loadu_epi8((__mmask64)bk_load64_le(bits), q);
    __m512i pairs = _mm512_maddubs_epi16(_mm512_set1_epi8(1), kept);
    return _mm512_madd_epi16(pairs, _mm512_set1_epi16(1));
}

static inline int32_t masked_sum(const uint8_t *bits, const int8_t *q) {
    __m512i sum = _mm512_add_epi32(masked_64(bits, q), masked_64(bits + 8, q + 64));
    return _mm512_reduce_add_epi32(sum);
}

float bk_avx512_row(const uint8_t *blocks, uint32_t cols, const void *act) {
    return bk_act_row_with(blocks, cols, act, masked_sum, bk_fp16_to_f32);
}

/* ---- norm and gate ------------------------------------------------------------------------ */

static inline __m512 weights_at(const bk_vec *w, size_t i, __mmask16 m) {
    if (w->type == BK_TYPE_F32) return _mm512_maskz_loadu_ps(m, w->data + 4 * i);
    __m256i h = _mm256_maskz_loadu_epi16(m, w->data + 2 * i);
    if (w->type == BK_TYPE_F16) return _mm512_cvtph_ps(h);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16));
}

void bk_avx512_rms_norm(const float *x, const bk_vec *w, float eps, float *out) {
    __m512 lanes = _mm512_setzero_ps();
    for (size_t i = 0; i < w->n; i += 16) {
        __mmask16 m = first(w->n - i);
        __m512 v = _mm512_maskz_loadu_ps(m, x + i);
        lanes = _mm512_mask_add_ps(lanes, m, lanes, _mm512_mul_ps(v, v));
    }
    __m512 inverse = _mm512_set1_ps(bk_rsqrt(sum_lanes(lanes) / (float)w->n + eps));
    for (size_t i = 0; i < w->n; i += 16) {
        __mmask16 m = first(w->n - i);
        __m512 v = _mm512_mul_ps(_mm512_maskz_loadu_ps(m, x + i), inverse);
        _mm512_mask_storeu_ps(out + i, m, _mm512_mul_ps(v, weights_at(w, i, m)));
    }
}

void bk_avx512_silu_mul(float *gate, const float *up, size_t n) {
    __m512 one = _mm512_set1_ps(1.0f);
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 m = first(n - i);
        __m512 g = _mm512_maskz_loadu_ps(m, gate + i), u = _mm512_maskz_loadu_ps(m, up + i);
        __m512 e = exp16(_mm512_xor_ps(g, _mm512_set1_ps(-0.0f)));
        __m512 s = _mm512_div_ps(g, _mm512_add_ps(one, e));
        _mm512_mask_storeu_ps(gate + i, m, _mm512_mul_ps(s, u));
    }
}

/* ---- attention ---------------------------------------------------------------------------- */

/* The sums of 16 vectors' lanes, in the order of sum_lanes, as one vector. */
static inline __attribute__((always_inline)) __m512 sum_lanes_of_16(__m512 *v) {
#pragma GCC unroll 8
    for (int t = 0; t < 8; t++) /* 8 + 8: sums of t and t + 8 */
        v[t] = _mm512_add_ps(_mm512_shuffle_f32x4(v[t], v[t + 8], 0x44),
                             _mm512_shuffle_f32x4(v[t], v[t + 8], 0xee));
#pragma GCC unroll 4
    for (int t = 0; t < 4; t++) /* 4 + 4: t, t + 8, t + 4, t + 12 */
        v[t] = _mm512_add_ps(_mm512_shuffle_f32x4(v[t], v[t + 4], 0x88),
                             _mm512_shuffle_f32x4(v[t], v[t + 4], 0xdd));
#pragma GCC unroll 2
    for (int t = 0; t < 2; t++) { /* 2 + 2: in each quarter t, t + 2 */
        __m512d a = _mm512_castps_pd(v[t]), b = _mm512_castps_pd(v[t + 2]);
        v[t] = _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(a, b)),
                             _mm512_castpd_ps(_mm512_unpackhi_pd(a, b)));
    }
    __m512 even = _mm512_shuffle_ps(v[0], v[1], 0x88), odd = _mm512_shuffle_ps(v[0], v[1], 0xdd);
    __m512i back = _mm512_setr_epi32(0, 2, 1, 3, 8, 10, 9, 11, 4, 6, 5, 7, 12, 14, 13, 15);
    return _mm512_permutexvar_ps(back, _mm512_add_ps(even, odd));
}

/* q . K of 16 positions; c: d / 16. */
static inline __attribute__((always_inline)) __m512 dots_of_16(const float *q, const uint16_t *k,
                                                               uint32_t c) {
    __m512 sums[16];
    __m512 q0 = _mm512_loadu_ps(q);
#pragma GCC unroll 16
    for (uint32_t t = 0; t < 16; t++) {
        sums[t] = _mm512_mul_ps(q0, halves(k + (size_t)t * 16 * c));
        sums[t] = _mm512_add_ps(_mm512_setzero_ps(), sums[t]); /* the sum starts at +0 */
    }
    for (uint32_t i = 1; i < c; i++) {
        __m512 qi = _mm512_loadu_ps(q + 16 * i);
#pragma GCC unroll 16
        for (uint32_t t = 0; t < 16; t++) {
            __m512 ki = halves(k + (size_t)t * 16 * c + 16 * i);
            sums[t] = _mm512_add_ps(sums[t], _mm512_mul_ps(qi, ki));
        }
    }
    return sum_lanes_of_16(sums);
}

static inline float dot_of_1(const float *q, const uint16_t *k, uint32_t c) {
    __m512 lanes = _mm512_setzero_ps();
    for (uint32_t i = 0; i < c; i++) {
        __m512 product = _mm512_mul_ps(_mm512_loadu_ps(q + 16 * i), halves(k + 16 * i));
        lanes = _mm512_add_ps(lanes, product);
    }
    return sum_lanes(lanes);
}

/* Scores, then their exp relative to the largest; returns 1 / their sum. */
static inline __attribute__((always_inline)) float softmax(const float *q, const uint16_t *k,
                                                           uint32_t n, uint32_t c, float *scores) {
    float scale = bk_rsqrt((float)(16 * c));
    __m512 tops = _mm512_set1_ps(-3.4e38f), sums = _mm512_setzero_ps();
    uint32_t t = 0;
    for (; t + 16 <= n; t += 16) {
        __m512 s = dots_of_16(q, k + (size_t)t * 16 * c, c);
        s = _mm512_mul_ps(s, _mm512_set1_ps(scale));
        tops = _mm512_max_ps(s, tops);
        _mm512_storeu_ps(scores + t, s);
    }
    float top = _mm512_reduce_max_ps(tops);
    for (; t < n; t++) {
        scores[t] = dot_of_1(q, k + (size_t)t * 16 * c, c) * scale;
        if (scores[t] > top) top = scores[t];
    }
    for (t = 0; t < n; t += 16) {
        __mmask16 m = first(n - t);
        __m512 s = _mm512_sub_ps(_mm512_maskz_loadu_ps(m, scores + t), _mm512_set1_ps(top));
        s = exp16(s);
        sums = _mm512_mask_add_ps(sums, m, sums, s);
        _mm512_mask_storeu_ps(scores + t, m, s);
    }
    return 1.0f / sum_lanes(sums);
}

/* out = weights . V for up to 8 x 16 dimensions, kept in registers over the positions. */
static inline __attribute__((always_inline)) void mix(const float *weights, const uint16_t *v,
                                                      uint32_t n, uint32_t d, uint32_t c,
                                                      float inverse, float *out) {
    __m512 sums[8];
#pragma GCC unroll 8
    for (uint32_t i = 0; i < c; i++) sums[i] = _mm512_setzero_ps();
    for (uint32_t t = 0; t < n; t++, v += d) {
        __m512 w = _mm512_set1_ps(weights[t]);
#pragma GCC unroll 8
        for (uint32_t i = 0; i < c; i++)
            sums[i] = _mm512_add_ps(sums[i], _mm512_mul_ps(w, halves(v + 16 * i)));
    }
#pragma GCC unroll 8
    for (uint32_t i = 0; i < c; i++)
        _mm512_storeu_ps(out + 16 * i, _mm512_mul_ps(sums[i], _mm512_set1_ps(inverse)));
}

void bk_avx512_attend(const float *q, const uint16_t *k, const uint16_t *v, uint32_t n, uint32_t d,
                      float *scores, float *out) {
    if (d == 128) { /* every published size */
        mix(scores, v, n, d, 8, softmax(q, k, n, 8, scores), out);
    } else if (d == 64) {
        mix(scores, v, n, d, 4, softmax(q, k, n, 4, scores), out);
    } else if (d % 16 == 0 && d > 0) {
        float inverse = softmax(q, k, n, d / 16, scores);
        for (uint32_t i = 0; i < d; i += 16) mix(scores, v + i, n, d, 1, inverse, out + i);
    } else {
        bk_vector_attend(q, k, v, n, d, scores, out);
    }
}
