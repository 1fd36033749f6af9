/* kernel.c: the board's kernel gives the bits of the scalar one. tests/c has the long version. */
#include <string.h>

#include "bk_fp16.h"
#include "checks.h"

enum { MAX_COLS = 768, ROWS = 19 };

static uint32_t seed = 20240229;

static uint32_t random_bits(void) {
    seed = seed * 1664525u + 1013904223u;
    return seed >> 8;
}

static float uniform(void) { return (float)(int32_t)(random_bits() - 0x800000) / 8388608.0f; }

static void fill_blocks(uint8_t *to, uint32_t blocks) {
    static const uint16_t awkward[] = {0x0000, 0x8000, 0x0001, 0x83ff, 0xa800, 0x3c00};
    for (uint32_t b = 0; b < blocks; b++, to += BK_Q1_BYTES) {
        uint32_t kind = random_bits() % 8;
        uint16_t d = kind < 6 ? awkward[kind] : bk_fp16_from_f32(0.02f * uniform());
        bk_store16_le(to, d);
        for (uint32_t i = BK_Q1_BITS_AT; i < BK_Q1_BYTES; i++) to[i] = (uint8_t)random_bits();
    }
}

/* One shape: the quantised vector's common part, and every row's product. */
static bool same_products(const bk_kernel *k, uint32_t cols, uint32_t how) {
    const bk_kernel *ref = &bk_kernel_scalar;
    size_t bytes;
    uint8_t *act = take_all(&bytes), *ref_act = act + k->act_bytes(cols);
    float *x = (float *)(void *)(ref_act + ref->act_bytes(cols)); /* [cols] */
    float *want = x + cols, *have = want + ROWS;
    uint8_t *blocks = (uint8_t *)(have + ROWS) + 1;
    bk_mat w = {.data = blocks, .type = BK_TYPE_Q1_0, .rows = ROWS, .cols = cols};
    fill_blocks(blocks, ROWS * cols / BK_Q1_COLS);
    for (uint32_t i = 0; i < cols; i++)
        x[i] = how == 0 ? 0.0f : how == 1 ? -1.5f : how == 2 ? 1e-41f * uniform() : uniform();
    k->quantise(x, cols, act);
    ref->quantise(x, cols, ref_act);
    if (memcmp(act, ref_act, cols + cols / BK_Q1_COLS * 8)) return false;
    memset(want, 0xa5, 2 * ROWS * sizeof(float));
    uint32_t first = k->tile > 1 ? 0 : how;
    k->gemv(&w, act, have, first, ROWS);
    ref->gemv(&w, ref_act, want, first, ROWS);
    if (memcmp(have, want, ROWS * sizeof(float))) return false;
    float one = k->row(w.data, cols, act), two = ref->row(w.data, cols, ref_act);
    return !memcmp(&one, &two, sizeof one);
}

static bool same_vectors(const bk_kernel *k) {
    const bk_kernel *ref = &bk_kernel_scalar;
    size_t bytes;
    float *x = take_all(&bytes), *have = x + MAX_COLS, *want = have + MAX_COLS; /* [MAX_COLS] */
    float *up = want + MAX_COLS, *norm = up + MAX_COLS, *scores = norm + MAX_COLS;
    uint16_t *keys = (uint16_t *)(void *)(scores + 40), *values = keys + 40 * 32; /* [40, 32] */
    for (uint32_t i = 0; i < MAX_COLS; i++) {
        x[i] = 8 * uniform(), up[i] = uniform(), norm[i] = 1 + uniform();
        have[i] = want[i] = x[i];
    }
    bk_vec weights = {.data = (const uint8_t *)norm, .type = BK_TYPE_F32, .n = MAX_COLS};
    k->silu_mul(have, up, MAX_COLS);
    ref->silu_mul(want, up, MAX_COLS);
    if (memcmp(have, want, MAX_COLS * sizeof(float))) return false;
    k->rms_norm(x, &weights, 1e-6f, have);
    ref->rms_norm(x, &weights, 1e-6f, want);
    if (memcmp(have, want, MAX_COLS * sizeof(float))) return false;
    for (uint32_t i = 0; i < 40 * 32; i++) {
        keys[i] = bk_fp16_from_f32(uniform());
        values[i] = bk_fp16_from_f32(uniform());
    }
    for (uint32_t n = 1; n <= 40; n += 13) {
        k->attend(x, keys, values, n, 32, scores, have);
        ref->attend(x, keys, values, n, 32, scores, want);
        if (memcmp(have, want, 32 * sizeof(float))) return false;
    }
    return true;
}

void check_kernel(const bk_board *board) {
    bool products = true;
    for (uint32_t cols = 128; cols <= MAX_COLS; cols += 128)
        for (uint32_t how = 0; how < 4; how++) products &= same_products(board->kernel, cols, how);
    check("kernel: products as the scalar kernel's", products);
    check("kernel: norm, activation and attention as the scalar kernel's",
          same_vectors(board->kernel));
}
