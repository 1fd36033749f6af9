/* avx2_vector.c: quantisation, norms, gates and attention with 16 lanes in two registers: the
 * lanes, their order and every rounding as in bk_vector.h and bk_math.c. */
#include "avx2.h"
#include "bk_fp16.h"
#include "bk_math.h"
#include "bk_vector.h"

/* low: lanes 0..7, high: 8..15 */
static inline float sum_lanes(__m256 low, __m256 high) {
    __m256 eight = _mm256_add_ps(low, high);
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

static inline __m256 halves(const uint16_t *h) {
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)h));
}

static inline float max_lane(__m256 v) {
    __m128 m = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    m = _mm_max_ps(m, _mm_movehl_ps(m, m));
    return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
}

/* bk_exp */
static inline __m256 exp8(__m256 x) {
    __m256 magic = _mm256_set1_ps(12582912.0f);
    __m256 live = _mm256_cmp_ps(x, _mm256_set1_ps(-87.3f), _CMP_GE_OQ);
    x = _mm256_min_ps(x, _mm256_set1_ps(88.0f));
    __m256 n = _mm256_mul_ps(x, _mm256_set1_ps(1.44269504088896341f));
    n = _mm256_sub_ps(_mm256_add_ps(n, magic), magic);
    __m256 r = _mm256_sub_ps(x, _mm256_mul_ps(n, _mm256_set1_ps(0.693359375f)));
    r = _mm256_sub_ps(r, _mm256_mul_ps(n, _mm256_set1_ps(-2.12194440e-4f)));
    __m256 p = _mm256_set1_ps(1.9875691500e-4f);
    p = _mm256_add_ps(_mm256_mul_ps(p, r), _mm256_set1_ps(1.3981999507e-3f));
    p = _mm256_add_ps(_mm256_mul_ps(p, r), _mm256_set1_ps(8.3334519073e-3f));
    p = _mm256_add_ps(_mm256_mul_ps(p, r), _mm256_set1_ps(4.1665795894e-2f));
    p = _mm256_add_ps(_mm256_mul_ps(p, r), _mm256_set1_ps(1.6666665459e-1f));
    p = _mm256_add_ps(_mm256_mul_ps(p, r), _mm256_set1_ps(5.0000001201e-1f));
    p = _mm256_add_ps(_mm256_mul_ps(p, _mm256_mul_ps(r, r)), r);
    p = _mm256_add_ps(p, _mm256_set1_ps(1.0f));
    __m256i power = _mm256_add_epi32(_mm256_cvttps_epi32(n), _mm256_set1_epi32(127));
    p = _mm256_mul_ps(p, _mm256_castsi256_ps(_mm256_slli_epi32(power, 23)));
    return _mm256_and_ps(p, live);
}

/* ---- quantised vectors -------------------------------------------------------------------- */

static inline int32_t sum_epi32(__m256i v) {
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1)));
}

/* The low bytes of 8 dwords, each dword's sign extended from it added to sum. */
static inline __m128i low_bytes(__m256i bits, __m256i *sum) {
    __m128i pick = _mm_setr_epi8(0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);
    __m128i a = _mm_shuffle_epi8(_mm256_castsi256_si128(bits), pick);
    __m128i b = _mm_shuffle_epi8(_mm256_extracti128_si256(bits, 1), pick);
    *sum = _mm256_add_epi32(*sum, _mm256_srai_epi32(_mm256_slli_epi32(bits, 24), 24));
    return _mm_unpacklo_epi32(a, b);
}

static inline float amax_of(const float *x) {
    __m256 most = _mm256_setzero_ps(), sign = _mm256_set1_ps(-0.0f);
    for (int i = 0; i < 16; i++) /* the second operand wins over NaN */
        most = _mm256_max_ps(_mm256_andnot_ps(sign, _mm256_loadu_ps(x + 8 * i)), most);
    return max_lane(most);
}

static inline int32_t round_block(const float *x, float inverse, int8_t *q) {
    __m256i sum = _mm256_setzero_si256();
    for (int i = 0; i < 16; i++) {
        __m256 v = _mm256_mul_ps(_mm256_loadu_ps(x + 8 * i), _mm256_set1_ps(inverse));
        __m256i bits = _mm256_castps_si256(_mm256_add_ps(v, _mm256_set1_ps(12582912.0f)));
        _mm_storel_epi64((__m128i *)(void *)(q + 8 * i), low_bytes(bits, &sum));
    }
    return sum_epi32(sum);
}

void bk_avx2_quantise(const float *x, uint32_t cols, void *act) {
    bk_act_quantise_with(x, cols, act, amax_of, round_block);
}

/* Sums of the 32 q whose bit is set. */
static inline __m256i masked_32(const uint8_t *bits, const int8_t *q) {
    __m256i spread = _mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2,
                                      2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3);
    __m256i each = _mm256_set1_epi64x((long long)0x8040201008040201);
    __m256i four = _mm256_shuffle_epi8(_mm256_set1_epi32((int)bk_load32_le(bits)), spread);
    __m256i set = _mm256_min_epu8(_mm256_and_si256(four, each), _mm256_set1_epi8(1));
    return _mm256_madd_epi16(_mm256_maddubs_epi16(set, bk_avx2_load(q)), _mm256_set1_epi16(1));
}

static inline int32_t masked_sum(const uint8_t *bits, const int8_t *q) {
    __m256i sum = _mm256_setzero_si256();
    for (uint32_t i = 0; i < 4; i++)
        sum = _mm256_add_epi32(sum, masked_32(bits + 4 * i, q + 32 * i));
    return sum_epi32(sum);
}

float bk_avx2_row(const uint8_t *blocks, uint32_t cols, const void *act) {
    return bk_act_row_with(blocks, cols, act, masked_sum, bk_fp16_to_f32);
}

/* ---- norm and gate ------------------------------------------------------------------------ */

static inline __m256 weights_at(const bk_vec *w, size_t i) {
    if (w->type == BK_TYPE_F32) return _mm256_castsi256_ps(bk_avx2_load(w->data + 4 * i));
    __m128i h = _mm_loadu_si128((const __m128i *)(const void *)(w->data + 2 * i));
    if (w->type == BK_TYPE_F16) return _mm256_cvtph_ps(h);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16));
}

static float sum_of_squares(const float *x, uint32_t n) {
    __m256 low = _mm256_setzero_ps(), high = low;
    float lanes[BK_LANES];
    uint32_t i = 0;
    for (; i + BK_LANES <= n; i += BK_LANES) {
        __m256 a = _mm256_loadu_ps(x + i), b = _mm256_loadu_ps(x + i + 8);
        low = _mm256_add_ps(low, _mm256_mul_ps(a, a));
        high = _mm256_add_ps(high, _mm256_mul_ps(b, b));
    }
    _mm256_storeu_ps(lanes, low);
    _mm256_storeu_ps(lanes + 8, high);
    for (uint32_t l = 0; i + l < n; l++) lanes[l] += x[i + l] * x[i + l];
    return bk_sum_lanes(lanes);
}

void bk_avx2_rms_norm(const float *x, const bk_vec *w, float eps, float *out) {
    float inverse = bk_rsqrt(sum_of_squares(x, w->n) / (float)w->n + eps);
    __m256 all = _mm256_set1_ps(inverse);
    uint32_t i = 0;
    for (; i + 8 <= w->n; i += 8) {
        __m256 v = _mm256_mul_ps(_mm256_loadu_ps(x + i), all);
        _mm256_storeu_ps(out + i, _mm256_mul_ps(v, weights_at(w, i)));
    }
    for (; i < w->n; i++) out[i] = (x[i] * inverse) * bk_dense_load(w->data, w->type, i);
}

void bk_avx2_silu_mul(float *gate, const float *up, size_t n) {
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256 g = _mm256_loadu_ps(gate + i);
        __m256 e = exp8(_mm256_xor_ps(g, _mm256_set1_ps(-0.0f)));
        __m256 s = _mm256_div_ps(g, _mm256_add_ps(_mm256_set1_ps(1.0f), e));
        _mm256_storeu_ps(gate + i, _mm256_mul_ps(s, _mm256_loadu_ps(up + i)));
    }
    bk_vector_silu_mul(gate + i, up + i, n - i);
}

/* ---- attention ---------------------------------------------------------------------------- */

/* q . K of 4 positions, d columns each. */
static inline void dots_of_4(const float *q, const uint16_t *k, uint32_t d, float *to) {
    __m256 low[4], high[4];
#pragma GCC unroll 4
    for (int t = 0; t < 4; t++) low[t] = high[t] = _mm256_setzero_ps();
    for (uint32_t i = 0; i < d; i += 16) {
        __m256 a = _mm256_loadu_ps(q + i), b = _mm256_loadu_ps(q + i + 8);
#pragma GCC unroll 4
        for (uint32_t t = 0; t < 4; t++) {
            const uint16_t *at = k + (size_t)t * d + i;
            low[t] = _mm256_add_ps(low[t], _mm256_mul_ps(a, halves(at)));
            high[t] = _mm256_add_ps(high[t], _mm256_mul_ps(b, halves(at + 8)));
        }
    }
#pragma GCC unroll 4
    for (int t = 0; t < 4; t++) to[t] = sum_lanes(low[t], high[t]);
}

/* scores = exp(scores - top); returns their sum. */
static float exp_sum(float *scores, uint32_t n, float top) {
    __m256 low = _mm256_setzero_ps(), high = low, tops = _mm256_set1_ps(top);
    float lanes[BK_LANES];
    uint32_t t = 0;
    for (; t + BK_LANES <= n; t += BK_LANES) {
        __m256 a = exp8(_mm256_sub_ps(_mm256_loadu_ps(scores + t), tops));
        __m256 b = exp8(_mm256_sub_ps(_mm256_loadu_ps(scores + t + 8), tops));
        _mm256_storeu_ps(scores + t, a);
        _mm256_storeu_ps(scores + t + 8, b);
        low = _mm256_add_ps(low, a);
        high = _mm256_add_ps(high, b);
    }
    _mm256_storeu_ps(lanes, low);
    _mm256_storeu_ps(lanes + 8, high);
    for (uint32_t l = 0; t + l < n; l++) {
        scores[t + l] = bk_exp(scores[t + l] - top);
        lanes[l] += scores[t + l];
    }
    return bk_sum_lanes(lanes);
}

static float softmax(const float *q, const uint16_t *k, uint32_t n, uint32_t d, float *scores) {
    float scale = bk_rsqrt((float)d), top = -3.4e38f;
    uint32_t t = 0;
    for (; t + 4 <= n; t += 4) dots_of_4(q, k + (size_t)t * d, d, scores + t);
    for (; t < n; t++) scores[t] = bk_dot_f16(q, k + (size_t)t * d, d);
    for (t = 0; t < n; t++) {
        scores[t] = scores[t] * scale;
        if (scores[t] > top) top = scores[t];
    }
    return 1.0f / exp_sum(scores, n, top);
}

/* out = weights . V for c x 8 dimensions, kept in registers over the positions. */
static inline __attribute__((always_inline)) void mix(const float *weights, const uint16_t *v,
                                                      uint32_t n, uint32_t d, uint32_t c,
                                                      float inverse, float *out) {
    __m256 sums[8];
#pragma GCC unroll 8
    for (uint32_t i = 0; i < c; i++) sums[i] = _mm256_setzero_ps();
    for (uint32_t t = 0; t < n; t++, v += d) {
        __m256 w = _mm256_set1_ps(weights[t]);
#pragma GCC unroll 8
        for (uint32_t i = 0; i < c; i++)
            sums[i] = _mm256_add_ps(sums[i], _mm256_mul_ps(w, halves(v + 8 * i)));
    }
#pragma GCC unroll 8
    for (uint32_t i = 0; i < c; i++)
        _mm256_storeu_ps(out + 8 * i, _mm256_mul_ps(sums[i], _mm256_set1_ps(inverse)));
}

void bk_avx2_attend(const float *q, const uint16_t *k, const uint16_t *v, uint32_t n, uint32_t d,
                    float *scores, float *out) {
    if (d % 16 || d == 0) {
        bk_vector_attend(q, k, v, n, d, scores, out);
        return;
    }
    float inverse = softmax(q, k, n, d, scores);
    uint32_t i = 0;
    for (; i + 64 <= d; i += 64) mix(scores, v + i, n, d, 8, inverse, out + i);
    for (; i < d; i += 16) mix(scores, v + i, n, d, 2, inverse, out + i);
}
