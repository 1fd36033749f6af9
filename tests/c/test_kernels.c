/* test_kernels.c: every kernel that this CPU can run gives the scalar kernel's bits.
 *
 * Random matrices and vectors with the awkward cases in them: row counts that fill no tile, zero,
 * negative and subnormal scales, blocks of zeros, equal, tiny, huge and infinite activations.
 */
#include <stdlib.h>
#include <string.h>

#include "bk_act.h"
#include "bk_cpu.h"
#include "bk_fp16.h"
#include "bk_math.h"
#include "check.h"

enum { MAX_VECTORS = 70, PAD = 5 };

static const bk_kernel *const ref = &bk_kernel_scalar;

/* ---- random things ------------------------------------------------------------------------ */

static uint64_t seed = 20240229;

static uint32_t random_bits(void) {
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(seed >> 32);
}

static uint32_t below(uint32_t n) { return random_bits() % n; }

static float uniform(void) { return (float)(int32_t)random_bits() * 4.6566129e-10f; } /* -1..1 */

static void *room(size_t bytes) {
    void *p = aligned_alloc(64, (bytes + 127) & ~(size_t)63);
    if (!p) abort();
    memset(p, 0xa5, (bytes + 127) & ~(size_t)63);
    return p;
}

static uint16_t random_scale(void) {
    switch (below(8)) {
    case 0: return 0;
    case 1: return 0x8000;
    case 2: return (uint16_t)below(0x400);            /* subnormal */
    case 3: return (uint16_t)(0x8000 | below(0x7c00)); /* negative */
    default: return bk_fp16_from_f32(0.02f * uniform());
    }
}

static bk_mat random_matrix(uint32_t rows, uint32_t cols) {
    size_t blocks = (size_t)rows * (cols / BK_Q1_COLS);
    uint8_t *data = room(blocks * BK_Q1_BYTES + 1);
    bk_mat w = {.data = data + 1, .type = BK_TYPE_Q1_0, .rows = rows, .cols = cols}; /* unaligned */
    for (size_t b = 0; b < blocks; b++) {
        uint8_t *at = data + 1 + b * BK_Q1_BYTES;
        uint32_t kind = below(10);
        bk_store16_le(at, random_scale());
        for (uint32_t i = BK_Q1_BITS_AT; i < BK_Q1_BYTES; i++)
            at[i] = kind == 0 ? 0 : kind == 1 ? 0xff : (uint8_t)random_bits();
    }
    return w;
}

static void free_matrix(bk_mat *w) {
    free((void *)(uintptr_t)(w->data - 1));
    free(w->packed);
}

/* One block; kinds 0.. are the awkward ones. */
static void random_block(float *x, uint32_t kind) {
    float infinity = bk_float_from_bits(0x7f800000);
    for (uint32_t j = 0; j < BK_Q1_COLS; j++) {
        switch (kind) {
        case 0: x[j] = 0.0f; break;
        case 1: x[j] = -0.37f; break;
        case 2: x[j] = random_bits() & 1 ? 3.0f : -3.0f; break;
        case 3: x[j] = 1e-36f * uniform(); break;
        case 4: x[j] = 1e37f * uniform(); break;
        case 5: x[j] = (float)((int32_t)below(255) - 127) * 0.5f; break; /* ties */
        case 6: x[j] = j == 77 ? infinity : uniform(); break;
        case 7: x[j] = 5.0f; break;
        case 8: x[j] = j == 3 ? 1000.0f : uniform(); break;
        default: x[j] = uniform() * uniform() * 4.0f;
        }
    }
}

static float *random_vector(uint32_t n) {
    float *x = room(n * sizeof(float));
    for (uint32_t b = 0; b < n / BK_Q1_COLS; b++) random_block(x + b * BK_Q1_COLS, below(20));
    for (uint32_t j = n / BK_Q1_COLS * BK_Q1_COLS; j < n; j++) x[j] = uniform();
    return x;
}

/* The same bits, except that any NaN equals any other: an infinity times a zero scale. */
static bool same(const float *a, const float *b, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (bk_float_bits(a[i]) != bk_float_bits(b[i]) && (a[i] == a[i] || b[i] == b[i])) {
            fprintf(stderr, "[%u of %u] %.9g is not %.9g\n", (unsigned)i, (unsigned)n, (double)a[i],
                    (double)b[i]); /* newlib has no %zu */
            return false;
        }
    return true;
}

/* ---- the scalar kernel against the definition ---------------------------------------------- */

/* The exact integer sum of one block's signs times 128 int8 activations. */
static int32_t block_dot(const uint8_t *block, const int8_t *q) {
    const uint8_t *bits = block + BK_Q1_BITS_AT;
    int32_t sum = 0;
    for (uint32_t j = 0; j < BK_Q1_COLS; j++) {
        int32_t sign = ((bits[j / 8] >> (j % 8)) & 1) * 2 - 1;
        sum += sign * q[j];
    }
    return sum;
}

static void check_definition(uint32_t cols) {
    bk_mat w = random_matrix(3, cols);
    float *x = random_vector(cols), y[3];
    uint8_t *act = room(ref->act_bytes(cols));
    ref->quantise(x, cols, act);
    ref->gemv(&w, act, y, 0, 3);
    const bk_act_block *blocks = bk_act_blocks(act, cols);
    for (uint32_t r = 0; r < 3; r++) {
        const uint8_t *at = w.data + r * bk_q1_row_bytes(cols);
        float sum = 0.0f;
        for (uint32_t b = 0; b < cols / BK_Q1_COLS; b++, at += BK_Q1_BYTES) {
            int32_t dot = block_dot(at, (const int8_t *)act + b * BK_Q1_COLS);
            sum = sum + (float)dot * (bk_fp16_to_f32(bk_load16_le(at)) * blocks[b].scale);
        }
        CHECK(same(&sum, &y[r], 1));
    }
    free(act), free(x), free_matrix(&w);
}

/* ---- products ----------------------------------------------------------------------------- */

/* n vectors, quantised by one kernel. */
static uint8_t *quantised(const bk_kernel *k, const float *x, uint32_t cols, uint32_t n) {
    size_t bytes = k->act_bytes(cols);
    uint8_t *act = room(bytes * n);
    for (uint32_t t = 0; t < n; t++) k->quantise(x + (size_t)t * cols, cols, act + t * bytes);
    return act;
}

static void check_quantise(const bk_kernel *k, const float *x, uint32_t cols, uint32_t n) {
    uint8_t *a = quantised(k, x, cols, n), *b = quantised(ref, x, cols, n);
    size_t common = cols + cols / BK_Q1_COLS * sizeof(bk_act_block);
    CHECK(k->act_bytes(cols) % 64 == 0);
    for (uint32_t t = 0; t < n; t++)
        CHECK(memcmp(a + t * k->act_bytes(cols), b + t * ref->act_bytes(cols), common) == 0);
    free(a), free(b);
}

/* Both products over [row0, row1) against the file's rows; nothing else may be written. */
static void check_product(const bk_kernel *k, const bk_mat *w, const float *x, uint32_t n,
                          uint32_t row0, uint32_t row1) {
    size_t stride = w->rows + PAD, total = n * stride;
    uint8_t *act = quantised(k, x, w->cols, n), *plain = quantised(ref, x, w->cols, n);
    float *want = room(total * sizeof(float)), *got = room(total * sizeof(float));
    for (uint32_t t = 0; t < n; t++)
        ref->gemv(w, plain + t * ref->act_bytes(w->cols), want + t * stride, row0, row1);
    for (uint32_t t = 0; t < n; t++)
        k->gemv(w, act + t * k->act_bytes(w->cols), got + t * stride, row0, row1);
    CHECK(same(want, got, total));
    memset(got, 0xa5, total * sizeof(float));
    if (k->gemm) k->gemm(w, act, n, got, stride, row0, row1);
    if (k->gemm) CHECK(same(want, got, total));
    for (uint32_t r = row0; r < row1; r += 1 + (row1 - row0) / 9) {
        float y = k->row(w->data + r * bk_q1_row_bytes(w->cols), w->cols, act);
        CHECK(same(&want[r], &y, 1));
    }
    free(act), free(plain), free(want), free(got);
}

/* The two halves of the rows as two cores would take them, then all at once. */
static void pack(const bk_kernel *k, bk_mat *w) {
    if (!k->pack) return;
    uint32_t middle = w->rows / 2 / k->tile * k->tile;
    w->packed = room(k->packed_bytes(w->rows, w->cols));
    CHECK(k->packed_bytes(w->rows, w->cols) % 64 == 0);
    k->pack(w, middle, w->rows);
    if (middle) k->pack(w, 0, middle);
}

/* Flip single weights and groups in both layouts; the packed one must follow the file's. */
static void flip_some(const bk_kernel *k, const bk_mat *w) {
    for (int i = 0; i < 40; i++) {
        uint32_t r = below(w->rows), c = below(w->cols);
        uint8_t *row = (uint8_t *)(uintptr_t)w->data + r * bk_q1_row_bytes(w->cols);
        if (i & 1) {
            bk_q1_flip_group(row, c / BK_Q1_COLS);
            if (k->flip_group) k->flip_group(w, r, c / BK_Q1_COLS);
        } else {
            bk_q1_flip_bit(row, c);
            if (k->flip_bit) k->flip_bit(w, r, c);
        }
    }
}

static void check_matrix(const bk_kernel *k, uint32_t rows, uint32_t cols, uint32_t n) {
    bk_mat w = random_matrix(rows, cols);
    float *x = random_vector(cols * n);
    CHECK(!k->pack == !k->packed_bytes && !k->pack == !k->flip_bit && !k->pack == !k->flip_group);
    check_quantise(k, x, cols, n);
    pack(k, &w);
    check_product(k, &w, x, n, 0, rows);
    uint32_t middle = rows / 2 / k->tile * k->tile;
    if (middle) check_product(k, &w, x, n, middle, rows);
    if (middle) check_product(k, &w, x, n, 0, middle);
    flip_some(k, &w);
    check_product(k, &w, x, 1, 0, rows);
    free(x), free_matrix(&w);
}

static void check_products(const bk_kernel *k) {
    static const uint32_t ROWS[] = {37, 1, 127, 129, 300, 64, 128, 16};
    static const uint32_t COLS[] = {128, 256, 384, 896, 2048, 6144, 1152};
    static const uint32_t VECTORS[] = {1, 2, 3, 5, 8, 17, 6, 4};
    for (uint32_t i = 0; i < 8; i++)
        for (uint32_t j = 0; j < 3; j++)
            check_matrix(k, ROWS[i], COLS[(i + 3 * j) % 7], VECTORS[(i + j) % 8]);
    check_matrix(k, 2, 1024, 1);
    check_matrix(k, 3, 512, 2);
    check_matrix(k, 7, 640, 1);
    check_matrix(k, 512, 768, 1);
    check_matrix(k, 130, 12288, 2);
    check_matrix(k, 200, 384, MAX_VECTORS);
    check_matrix(k, 129, 2048, 33);
}

/* Every dot product that a block can have at its extremes: all q = +-127 and all bits equal. */
static void check_extremes(const bk_kernel *k) {
    enum { COLS = 256 };
    bk_mat w = random_matrix(40, COLS);
    float *x = room(COLS * sizeof(float));
    for (uint32_t r = 0; r < 40; r++)
        for (uint32_t b = 0; b < COLS / BK_Q1_COLS; b++) {
            uint8_t *row = (uint8_t *)(uintptr_t)w.data + r * bk_q1_row_bytes(COLS);
            uint8_t *at = row + b * BK_Q1_BYTES;
            bk_store16_le(at, 0x3c00);
            memset(at + BK_Q1_BITS_AT, r & 1 ? 0xff : r & 2 ? 0x0f : 0, 16);
        }
    pack(k, &w);
    for (int sign = -1; sign <= 1; sign += 2) {
        for (uint32_t j = 0; j < COLS; j++) x[j] = (float)sign * 7.0f;
        check_product(k, &w, x, 1, 0, 40);
    }
    free(x), free_matrix(&w);
}

/* ---- vectors ------------------------------------------------------------------------------ */

static void check_rms_norm(const bk_kernel *k, uint32_t n, uint32_t type) {
    float *x = random_vector(n), *want = room(n * sizeof(float)), *got = room(n * sizeof(float));
    uint8_t *weights = room(4 * (size_t)n + 1);
    for (uint32_t i = 0; i < n; i++) {
        x[i] = uniform() * 3.0f;
        if (type == BK_TYPE_F32)
            bk_store32_le(weights + 1 + 4 * (size_t)i, bk_float_bits(uniform()));
        else bk_store16_le(weights + 1 + 2 * (size_t)i, bk_fp16_from_f32(uniform()));
    }
    bk_vec w = {weights + 1, type, n};
    ref->rms_norm(x, &w, 1e-6f, want);
    k->rms_norm(x, &w, 1e-6f, got);
    CHECK(same(want, got, n));
    k->rms_norm(x, &w, 1e-6f, x);
    CHECK(same(want, x, n));
    free(x), free(want), free(got), free(weights);
}

static void check_silu_mul(const bk_kernel *k, size_t n) {
    float *up = room(n * sizeof(float)), *want = room(n * sizeof(float));
    float *got = room(n * sizeof(float));
    static const float EDGES[] = {0.0f, -0.0f, 87.3f, -87.3f, 88.0f, -88.1f, 1e30f, -1e30f, 1e-40f};
    for (size_t i = 0; i < n; i++) {
        up[i] = uniform();
        want[i] = i % 5 == 0 ? EDGES[i / 5 % 9] : uniform() * (i % 3 ? 8.0f : 100.0f);
    }
    memcpy(got, want, n * sizeof(float));
    ref->silu_mul(want, up, n);
    k->silu_mul(got, up, n);
    CHECK(same(want, got, n));
    free(up), free(want), free(got);
}

static void check_attend(const bk_kernel *k, uint32_t n, uint32_t d, float spread) {
    size_t cache = (size_t)n * d;
    uint16_t *keys = room(cache * 2), *values = room(cache * 2);
    float *q = room(d * sizeof(float)), *want = room(d * sizeof(float));
    float *got = room(d * sizeof(float)), *scores = room((n + 15) / 16 * 16 * sizeof(float));
    for (uint32_t i = 0; i < d; i++) q[i] = uniform() * spread;
    for (size_t i = 0; i < cache; i++) {
        keys[i] = bk_fp16_from_f32(uniform() * spread);
        values[i] = bk_fp16_from_f32(i % 7 ? uniform() : 1e-6f * uniform());
    }
    ref->attend(q, keys, values, n, d, scores, want);
    k->attend(q, keys, values, n, d, scores, got);
    CHECK(same(want, got, d));
    free(keys), free(values), free(q), free(want), free(got), free(scores);
}

static void check_vectors(const bk_kernel *k) {
    static const uint32_t SIZES[] = {1, 15, 16, 17, 64, 100, 128, 256, 2048, 2560, 4096};
    static const uint32_t DIMS[] = {8, 32, 64, 80, 96, 100, 128, 256};
    for (uint32_t i = 0; i < sizeof SIZES / sizeof SIZES[0]; i++) {
        check_rms_norm(k, SIZES[i], BK_TYPE_F32);
        check_rms_norm(k, SIZES[i], BK_TYPE_F16);
        check_rms_norm(k, SIZES[i], BK_TYPE_BF16);
        check_silu_mul(k, SIZES[i]);
    }
    for (uint32_t i = 0; i < sizeof DIMS / sizeof DIMS[0]; i++)
        for (uint32_t n = 1; n < 40; n += 1 + n / 5) check_attend(k, n, DIMS[i], 2.0f);
    check_attend(k, 1000, 128, 1.0f);
    check_attend(k, 333, 64, 30.0f); /* scores so far apart that exp gives 0 */
}

int main(void) {
    bk_cpu_kernel entry;
    unsigned ran = 0;
    bool scalar = false;
    for (uint32_t cols = 128; cols <= 2048; cols *= 2) check_definition(cols);
    for (unsigned i = 0; bk_cpu_kernel_at(i, &entry); i++) {
        const bk_kernel *k = entry.kernel;
        int before = check_failures;
        scalar |= k == ref;
        printf("%-16s ", k->name);
        fflush(stdout);
        if (!entry.runs) {
            printf("needs %s\n", entry.needs);
            continue;
        }
        check_products(k);
        check_extremes(k);
        check_vectors(k);
        puts(check_failures == before ? "ok" : "FAILED");
        ran++;
    }
    CHECK(scalar && ran >= 1);
    if (!check_failures) puts("ok");
    return CHECK_RESULT();
}
