/* bk_math.c: exp, rsqrt, sin/cos, fixed-order sums and fixed-point logarithms. */
#include "bk_math.h"

#include "bk_bytes.h"
#include "bk_fp16.h"

/* Adding 1.5 * 2^23 leaves a float rounded to the nearest integer, ties to even. */
static float round_even(float x) { return (x + 12582912.0f) - 12582912.0f; }

float bk_exp(float x) {
    if (!(x >= -87.3f)) return 0.0f;
    if (x > 88.0f) x = 88.0f;
    float n = round_even(x * 1.44269504088896341f);
    float p = bk_exp_rest(x, n);
    uint32_t power = (uint32_t)((int32_t)n + 127) << 23; /* 2^n: n is in [-126, 127] */
    return p * bk_float_from_bits(power);
}

float bk_rsqrt(float x) {
    float half = 0.5f * x;
    float y = bk_float_from_bits(0x5f375a86u - (bk_float_bits(x) >> 1));
    for (int i = 0; i < 4; i++) y = y * (1.5f - (half * y) * y);
    return y;
}

float bk_sum_lanes(const float lanes[BK_LANES]) {
    float s[8];
    for (int i = 0; i < 8; i++) s[i] = lanes[i] + lanes[i + 8];
    for (int i = 0; i < 4; i++) s[i] = s[i] + s[i + 4];
    return (s[0] + s[2]) + (s[1] + s[3]);
}

float bk_dot(const float *a, const float *b, uint32_t n) {
    float lanes[BK_LANES] = {0};
    uint32_t i = 0;
    for (; i + BK_LANES <= n; i += BK_LANES)
        for (uint32_t l = 0; l < BK_LANES; l++) lanes[l] += a[i + l] * b[i + l];
    for (uint32_t l = 0; i + l < n; l++) lanes[l] += a[i + l] * b[i + l];
    return bk_sum_lanes(lanes);
}

float bk_dot_f16(const float *a, const uint16_t *b, uint32_t n) {
    float lanes[BK_LANES] = {0};
    uint32_t i = 0;
    for (; i + BK_LANES <= n; i += BK_LANES)
        for (uint32_t l = 0; l < BK_LANES; l++) lanes[l] += a[i + l] * bk_fp16_to_f32(b[i + l]);
    for (uint32_t l = 0; i + l < n; l++) lanes[l] += a[i + l] * bk_fp16_to_f32(b[i + l]);
    return bk_sum_lanes(lanes);
}

float bk_sum(const float *a, uint32_t n) {
    float lanes[BK_LANES] = {0};
    uint32_t i = 0;
    for (; i + BK_LANES <= n; i += BK_LANES)
        for (uint32_t l = 0; l < BK_LANES; l++) lanes[l] += a[i + l];
    for (uint32_t l = 0; i + l < n; l++) lanes[l] += a[i + l];
    return bk_sum_lanes(lanes);
}

void bk_cos_sin(uint64_t turns, float *cosine, float *sine) {
    /* Nearest quarter turn, and what is left of it, in [-1/8, 1/8) of a turn. */
    uint32_t quarter = (uint32_t)((turns + (UINT64_C(1) << 61)) >> 62) & 3;
    uint64_t rest = turns - ((uint64_t)quarter << 62);
    int32_t high = (int32_t)(uint32_t)(rest >> 30); /* rest / 2^30 fits 32 bits with its sign */
    float x = (float)high * 3.6572951981e-10f;      /* 2 pi / 2^34 */
    float z = x * x;
    float s = -1.9515295891e-4f;
    s = s * z + 8.3321608736e-3f;
    s = s * z - 1.6666654611e-1f;
    s = (s * z) * x + x;
    float c = 2.443315711809948e-5f;
    c = c * z - 1.388731625493765e-3f;
    c = c * z + 4.166664568298827e-2f;
    c = (c * z) * z - 0.5f * z;
    c = c + 1.0f;
    switch (quarter) {
    case 0:
        *cosine = c;
        *sine = s;
        break;
    case 1:
        *cosine = -s;
        *sine = c;
        break;
    case 2:
        *cosine = -c;
        *sine = -s;
        break;
    default:
        *cosine = s;
        *sine = -c;
        break;
    }
}

uint64_t bk_mul_q64(uint64_t a, uint64_t b) {
    uint64_t a0 = (uint32_t)a, a1 = a >> 32, b0 = (uint32_t)b, b1 = b >> 32;
    uint64_t middle = a1 * b0 + ((a0 * b0) >> 32);
    uint64_t other = a0 * b1 + (uint32_t)middle;
    return a1 * b1 + (middle >> 32) + (other >> 32);
}

int64_t bk_log2_q32(float x) {
    uint32_t bits = bk_float_bits(x);
    int64_t log = (int64_t)((int32_t)(bits >> 23 & 0xff) - 127) * ((int64_t)1 << 32);
    uint64_t m = (uint64_t)((bits & 0x7fffff) | 0x800000) << 40; /* mantissa, Q1.63 */
    /* Squaring the mantissa doubles its logarithm: each carry past 2 is the next bit. */
    for (int64_t bit = (int64_t)1 << 31; bit; bit >>= 1) {
        m = bk_mul_q64(m, m); /* Q2.62 */
        if (m >> 63) log += bit;
        else m <<= 1;
    }
    return log;
}

/* 2^(-2^-k) for k = 1..32, in Q0.64 */
static const uint64_t ROOTS[32] = {
    0xb504f333f9de6484, 0xd744fccad69d6af4, 0xeac0c6e7dd24392e, 0xf5257d152486cc2c,
    0xfa83b2db722a033a, 0xfd3e0c0cf486c174, 0xfe9e115c7b8f884b, 0xff4ecb59511ec8a5,
    0xffa756521c8daed1, 0xffd3a751c0f7e10b, 0xffe9d2b2f7db2755, 0xfff4e91bff1b8c3d,
    0xfffa747ea0040664, 0xfffd3a3b7814eb53, 0xfffe9d1cc60ddab1, 0xffff4e8e25879bfa,
    0xffffa7470363f451, 0xffffd3a37dda0313, 0xffffe9d1bdf703ae, 0xfffff4e8debe025e,
    0xfffffa746f4fa150, 0xfffffd3a37a3f8b0, 0xfffffe9d1bd1065a, 0xffffff4e8de845ad,
    0xffffffa746f41376, 0xffffffd3a37a05e3, 0xffffffe9d1bd01fb, 0xfffffff4e8de80c0,
    0xfffffffa746f4050, 0xfffffffd3a37a024, 0xfffffffe9d1bd011, 0xffffffff4e8de808,
};

uint64_t bk_exp2_neg_q64(uint64_t x) {
    if (x >> 38) return 0; /* 2^-64 and below */
    uint64_t power = UINT64_MAX;
    for (uint32_t k = 0; k < 32; k++)
        if (x >> (31 - k) & 1) power = bk_mul_q64(power, ROOTS[k]);
    return power >> (uint32_t)(x >> 32);
}
