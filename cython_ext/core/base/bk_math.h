/* bk_math.h: the forward pass's own functions: IEEE additions and multiplications in a fixed order,
 * so that every CPU gives the same bits. No libm.
 *
 * Sums over a vector run over 16 partial sums (element i goes to partial i % 16), which are then
 * added as 8+8, 4+4, 2+2, 1+1: one AVX-512 register, four NEON registers, or a loop.
 */
#ifndef BK_MATH_H
#define BK_MATH_H

#include <stdint.h>

enum { BK_LANES = 16 };

float bk_exp(float x); /* Cephes' expf; 0 below -87.3, clamped at 88 */

/* exp(x) / 2^n, n being x / ln 2 rounded to even: the polynomial of bk_exp. */
static inline float bk_exp_rest(float x, float n) {
    float r = x - n * 0.693359375f; /* ln 2 in two parts: the first product is exact */
    r = r - n * -2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r;
    return p + 1.0f;
}

float bk_rsqrt(float x); /* Newton's iteration; x > 0 */

float bk_sum_lanes(const float lanes[BK_LANES]);
float bk_dot(const float *a, const float *b, uint32_t n);
float bk_dot_f16(const float *a, const uint16_t *b, uint32_t n); /* b: fp16 bits */
float bk_sum(const float *a, uint32_t n);

/* cos and sin of an angle given as a fraction of a turn, turns / 2^64. */
void bk_cos_sin(uint64_t turns, float *cosine, float *sine);

/* Fixed-point helpers for rope frequencies; Q32.32. */
int64_t bk_log2_q32(float x); /* x > 0 and normal */
uint64_t bk_exp2_neg_q64(uint64_t x); /* 2^-(x / 2^32) * 2^64 - 1 at most; x in Q32.32 */
uint64_t bk_mul_q64(uint64_t a, uint64_t b); /* high 64 bits of a * b */

#endif
