/* bk_kernel.h: the table of functions that an instruction set provides.
 *
 * All tables compute the same bits (ARCHITECTURE.md: bit-exact):
 *   quantise  per 128 columns: s = amax/127, q = round-half-even(x * (127/amax)), int8
 *   gemv      y[r] = ((0 + c0) + c1) + ...  with c_b = (float)dot_b * (d_b * s_b), dot_b exact
 *   vectors   sums over 16 lanes, then 8+8, 4+4, 2+2, 1+1 (bk_math.h); no fused multiply-add
 *
 * A quantised vector ("act") starts with the part that bk_act.h describes, which every kernel
 * writes alike; behind it a kernel keeps what is its own (look-up tables, bit planes).
 */
#ifndef BK_KERNEL_H
#define BK_KERNEL_H

#include <stdbool.h>

#include "bk_dense.h"
#include "bk_q1.h"

typedef struct bk_kernel {
    const char *name;   /* "scalar", "avx512-lut", "neon-sdot", ... */
    const char *family; /* "scalar", "look-up", "popcount", "dot-product" */

    /* ---- packed bits ---- */

    /* rows that gemv and gemm compute together: row ranges start at multiples of it and end at one
     * or at w->rows; 1 if it does not matter */
    uint32_t tile;
    /* gemv, gemm and row change the act (their tables in it): one core at a time, and whatever
     * bk_parallel the caller has stays idle */
    bool writes_act;
    /* bytes of one quantised vector of `cols` columns; a multiple of 64 */
    size_t (*act_bytes)(uint32_t cols);
    /* x [cols] floats -> act */
    void (*quantise)(const float *x, uint32_t cols, void *act);
    /* y[row0..row1) of one vector; y is indexed by row */
    void (*gemv)(const bk_mat *w, const void *act, float *y, uint32_t row0, uint32_t row1);
    /* n vectors, act_bytes(cols) apart: y[t * stride + r]; NULL: gemv for each */
    void (*gemm)(const bk_mat *w, const void *act, uint32_t n, float *y, size_t stride,
                 uint32_t row0, uint32_t row1);
    /* one row given by its blocks in the file's layout: what gemv would write for it */
    float (*row)(const uint8_t *blocks, uint32_t cols, const void *act);

    /* ---- the kernel's own layout of a matrix; all NULL if it reads the file's ---- */

    /* bytes of w->packed, a multiple of 64 */
    size_t (*packed_bytes)(uint32_t rows, uint32_t cols);
    /* rows [row0, row1) from w->data into w->packed (64-byte aligned); ranges as for gemv. The
     * range that reaches w->rows also fills the last tile's missing rows with zero scales. */
    void (*pack)(const bk_mat *w, uint32_t row0, uint32_t row1);
    /* XOR in w->packed: one weight; or 128 of them (negating the group's scale is as exact) */
    void (*flip_bit)(const bk_mat *w, uint32_t row, uint32_t col);
    void (*flip_group)(const bk_mat *w, uint32_t row, uint32_t group);

    /* ---- vectors ---- */

    /* out = (x * rsqrt(sum(x x) / n + eps)) * weights; out may be x */
    void (*rms_norm)(const float *x, const bk_vec *weights, float eps, float *out);
    /* gate = gate / (1 + exp(-gate)) * up */
    void (*silu_mul)(float *gate, const float *up, size_t n);
    /* out[d] = softmax(q . K * rsqrt(d)) . V over n positions; k, v: f16 [n, d]; scores: [n] */
    void (*attend)(const float *q, const uint16_t *k, const uint16_t *v, uint32_t n, uint32_t d,
                   float *scores, float *out);
} bk_kernel;

extern const bk_kernel bk_kernel_scalar;

/* A kernel's table: what it multiplies with, then the members that it shares with others. */
#define BK_KERNEL(symbol, its_name, its_family, its_act_bytes, its_quantise, its_gemv, its_gemm,   \
                  ...)                                                                             \
    const bk_kernel symbol = {.name = its_name,                                                    \
                              .family = its_family,                                                \
                              .act_bytes = its_act_bytes,                                          \
                              .quantise = its_quantise,                                            \
                              .gemv = its_gemv,                                                    \
                              .gemm = its_gemm,                                                    \
                              __VA_ARGS__}

/* An instruction set's vector functions and its bk_act_quantise, as its header declares them ... */
#define BK_KERNEL_DECLARE_VECTORS(set)                                                             \
    void set##_quantise(const float *x, uint32_t cols, void *act);                                 \
    void set##_rms_norm(const float *x, const bk_vec *weights, float eps, float *out);             \
    void set##_silu_mul(float *gate, const float *up, size_t n);                                   \
    void set##_attend(const float *q, const uint16_t *k, const uint16_t *v, uint32_t n,            \
                      uint32_t d, float *scores, float *out);

/* ... and as its kernels' tables have them. */
#define BK_KERNEL_VECTORS(set)                                                                     \
    .rms_norm = set##_rms_norm, .silu_mul = set##_silu_mul, .attend = set##_attend

#endif
