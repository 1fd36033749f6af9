/* test_patch.c: a hand-made model of two layers; patches written by the test's own encoder. */
#include <stdlib.h>

#include "bk_crc.h"
#include "bk_overlay_build.h"
#include "check.h"

enum { LAYERS = 2, HIDDEN = 256, FFN = 384, MAX_COLS = FFN, MAX_ROWS = FFN };

/* ---- a random model ---- */

static bk_model model;
static uint8_t *weights, *pristine;
static size_t weight_bytes;
static uint32_t seed = 1;

static uint32_t rnd(uint32_t below) {
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % below;
}

static void make_model(void) {
    static const uint32_t shape[BK_N_PROJ][2] = {{HIDDEN, HIDDEN}, {128, HIDDEN}, {128, HIDDEN},
                                                 {HIDDEN, HIDDEN}, {FFN, HIDDEN}, {FFN, HIDDEN},
                                                 {HIDDEN, FFN}};
    size_t at = 0;
    for (uint32_t p = 0; p < BK_N_PROJ; p++)
        weight_bytes += LAYERS * shape[p][0] * bk_q1_row_bytes(shape[p][1]);
    weights = malloc(weight_bytes);
    pristine = malloc(weight_bytes);
    for (size_t i = 0; i < weight_bytes; i++) weights[i] = (uint8_t)rnd(256);
    for (size_t i = 0; i < weight_bytes; i += BK_Q1_BYTES)
        bk_store16_le(weights + i, (uint16_t)(0x2c00 + rnd(0x400))); /* fp16 0.0625..0.125 */
    memcpy(pristine, weights, weight_bytes);
    model.n_layers = LAYERS;
    model.writable = true;
    for (uint32_t i = 0; i < sizeof model.id; i++) model.id[i] = (uint8_t)(i + 1);
    for (uint32_t l = 0; l < LAYERS; l++)
        for (uint32_t p = 0; p < BK_N_PROJ; p++) {
            model.layers[l].proj[p] = (bk_mat){.data = weights + at,
                                               .type = BK_TYPE_Q1_0,
                                               .rows = shape[p][0],
                                               .cols = shape[p][1]};
            at += shape[p][0] * bk_q1_row_bytes(shape[p][1]);
        }
}

/* ---- an encoder ---- */

typedef struct {
    uint8_t p[8192];
    size_t bits;
} bit_writer;

static void put(bit_writer *b, uint32_t value, uint32_t n) {
    for (; n > 0; n--, b->bits++) {
        if (b->bits % 8 == 0) b->p[b->bits / 8] = 0;
        b->p[b->bits / 8] |= (uint8_t)((value >> (n - 1) & 1) << (7 - b->bits % 8));
    }
}

static void put_gamma(bit_writer *b, uint32_t value) {
    uint32_t n = 0;
    while (value >> (n + 1)) n++;
    put(b, 0, n);
    put(b, value, n + 1);
}

static void put_rice(bit_writer *b, uint32_t value, uint32_t k) {
    for (uint32_t q = value >> k; q > 0; q--) put(b, 1, 1);
    put(b, 0, 1);
    put(b, value & (((uint32_t)1 << k) - 1), k);
}

typedef struct {
    uint32_t section, row, col;
} flip;

static size_t stream_of(const flip *flips, uint32_t n, uint32_t k, uint32_t w, uint8_t *out) {
    static bit_writer b;
    b.bits = 0;
    put(&b, k, 8);
    put(&b, w, 8);
    int64_t section = -1;
    for (uint32_t i = 0, row = 0; i < n; i++) {
        if (flips[i].section != section) {
            uint32_t count = 1;
            while (i + count < n && flips[i + count].section == flips[i].section) count++;
            put_gamma(&b, (uint32_t)(flips[i].section - section));
            put_gamma(&b, count);
            section = flips[i].section;
            row = 0;
        }
        put_rice(&b, flips[i].row - row, k);
        put(&b, flips[i].col, w);
        row = flips[i].row;
    }
    memcpy(out, b.p, (b.bits + 7) / 8);
    return (b.bits + 7) / 8;
}

typedef struct {
    const flip *flips[BK_N_FLIP_KINDS];
    uint32_t n[BK_N_FLIP_KINDS];
} flip_set;

typedef struct {
    uint8_t bytes[16384];
    size_t n;
    bk_patch patch;
} file;

static void put_head(file *f, uint32_t major, uint32_t value) {
    uint8_t *p = f->bytes + f->n;
    if (value < 24) {
        p[0] = (uint8_t)(major << 5 | value);
        f->n += 1;
    } else if (value < 256) {
        p[0] = (uint8_t)(major << 5 | 24);
        p[1] = (uint8_t)value;
        f->n += 2;
    } else if (value < 65536) {
        p[0] = (uint8_t)(major << 5 | 25);
        bk_store16_be(p + 1, (uint16_t)value);
        f->n += 3;
    } else {
        p[0] = (uint8_t)(major << 5 | 26);
        bk_store16_be(p + 1, (uint16_t)(value >> 16));
        bk_store16_be(p + 3, (uint16_t)value);
        f->n += 5;
    }
}

static void put_bytes(file *f, uint32_t major, const void *p, size_t n) {
    put_head(f, major, (uint32_t)n);
    memcpy(f->bytes + f->n, p, n);
    f->n += n;
}

static uint32_t bit_width(const flip *flips, uint32_t n) {
    uint32_t seen = 0, w = 0;
    for (uint32_t i = 0; i < n; i++) seen |= flips[i].col;
    while (seen >> w) w++;
    return w;
}

static void write_file(file *f, const flip_set *set, const uint32_t *crc) {
    static uint8_t stream[8192];
    uint32_t kinds = 0;
    for (uint32_t kind = 0; kind < BK_N_FLIP_KINDS; kind++) kinds += set->n[kind] > 0;
    f->n = 0;
    put_head(f, 5, 2 + kinds + (crc ? 2 : 0));
    put_head(f, 0, 0);
    put_head(f, 0, 1);
    put_head(f, 0, 1);
    put_bytes(f, 3, "a-test.1", 8);
    if (crc) {
        put_head(f, 0, 3);
        put_bytes(f, 2, model.id, sizeof model.id);
    }
    for (uint32_t kind = 0; kind < BK_N_FLIP_KINDS; kind++)
        if (set->n[kind]) {
            size_t n = stream_of(set->flips[kind], set->n[kind], 4,
                                 bit_width(set->flips[kind], set->n[kind]), stream);
            put_head(f, 0, 4 + kind);
            put_bytes(f, 2, stream, n);
        }
    if (crc) {
        put_head(f, 0, 7);
        put_head(f, 0, *crc);
    }
}

/* A bound patch: written once without the CRC to compute it, then with it. */
static void make_file(file *f, const flip_set *set) {
    uint32_t crc;
    write_file(f, set, NULL);
    CHECK(bk_patch_parse(f->bytes, f->n, &f->patch) == BK_OK);
    CHECK(bk_patch_row_crc(&f->patch, &model, &crc) == BK_OK);
    write_file(f, set, &crc);
    CHECK(bk_patch_parse(f->bytes, f->n, &f->patch) == BK_OK);
    CHECK(bk_patch_check(&f->patch, &model, false) == BK_OK);
}

/* ---- flips used below; every projection and both layers occur ---- */

static const flip some_rows[] = {{0, 0, 0},  {0, 255, 0}, {1, 7, 0},   {4, 100, 0},
                                 {6, 31, 0}, {9, 3, 0},   {13, 200, 0}};
static const flip some_groups[] = {{0, 0, 0}, {0, 0, 1}, {1, 9, 1}, {6, 30, 2}, {13, 200, 1}};
static const flip some_bits[] = {{0, 0, 129}, {2, 0, 0},      {2, 0, 255}, {4, 100, 77},
                                 {10, 5, 1},  {13, 200, 383}, {13, 201, 0}};
static const flip other_bits[] = {{0, 0, 129}, {4, 99, 3}, {4, 100, 77}, {4, 100, 78}};
static const flip_set rows_only = {{some_rows}, {7, 0, 0}};
static const flip_set groups_only = {{NULL, some_groups}, {0, 5, 0}};
static const flip_set bits_only = {{NULL, NULL, some_bits}, {0, 0, 7}};
static const flip_set all_kinds = {{some_rows, some_groups, some_bits}, {7, 5, 7}};
static const flip_set overlapping = {{some_rows + 3, some_groups, other_bits}, {3, 2, 4}};

/* ---- GEMVs of the whole model ---- */

static float outputs[2][LAYERS * BK_N_PROJ][MAX_ROWS];

static void run(int slot, const bk_overlay *overlay) {
    const bk_kernel *k = &bk_kernel_scalar;
    static _Alignas(64) uint8_t act[4 * MAX_COLS];
    float x[MAX_COLS];
    CHECK(k->act_bytes(MAX_COLS) <= sizeof act);
    for (uint32_t s = 0; s < LAYERS * BK_N_PROJ; s++) {
        const bk_mat *w = &model.layers[s / BK_N_PROJ].proj[s % BK_N_PROJ];
        for (uint32_t i = 0; i < w->cols; i++) /* one block of zeros: sums of signed zeros */
            x[i] = i < 128 && s == 1 ? 0.0f : (float)((int)((i * 37 + s) % 201) - 100) / 64.0f;
        if (s == 9) memset(x, 0, sizeof x);
        k->quantise(x, w->cols, act);
        k->gemv(w, act, outputs[slot][s], 0, w->rows);
        bk_overlay_fix(overlay, s / BK_N_PROJ, (bk_proj)(s % BK_N_PROJ), w, k, act,
                       outputs[slot][s]);
    }
}

static bool same_outputs(void) { return memcmp(outputs[0], outputs[1], sizeof outputs[0]) == 0; }

static bool is_pristine(void) { return memcmp(weights, pristine, weight_bytes) == 0; }

/* In place and overlay must give the same bits, differ from no patch, and leave nothing behind. */
static void check_both_ways(const bk_patch *const *set, uint32_t n) {
    static _Alignas(8) uint8_t mem[1 << 16];
    bk_overlay overlay;
    size_t bytes = 0;
    run(0, NULL);
    CHECK(bk_overlay_bytes(set, n, &model, &bytes) == BK_OK && bytes <= sizeof mem);
    CHECK(bk_overlay_build(&overlay, set, n, &model, mem, bytes - 1) == BK_ERR_MEMORY);
    CHECK(bk_overlay_build(&overlay, set, n, &model, mem, bytes) == BK_OK);
    run(1, &overlay);
    CHECK(is_pristine());
    CHECK(!same_outputs());
    for (uint32_t i = 0; i < n; i++) CHECK(bk_patch_xor(set[i], &model) == BK_OK);
    CHECK(!is_pristine());
    run(0, NULL);
    CHECK(same_outputs());
    for (uint32_t i = 0; i < n; i++) CHECK(bk_patch_xor(set[i], &model) == BK_OK);
    CHECK(is_pristine());
}

static void test_two_ways(void) {
    static const flip_set *const sets[] = {&rows_only, &groups_only, &bits_only, &all_kinds};
    static file a, b;
    for (uint32_t i = 0; i < 4; i++) {
        const bk_patch *one[] = {&a.patch};
        make_file(&a, sets[i]);
        check_both_ways(one, 1);
    }
    make_file(&b, &overlapping);
    const bk_patch *ab[] = {&a.patch, &b.patch}, *ba[] = {&b.patch, &a.patch};
    check_both_ways(ab, 2);
    static float first[LAYERS * BK_N_PROJ][MAX_ROWS];
    memcpy(first, outputs[1], sizeof first);
    check_both_ways(ba, 2);
    CHECK(memcmp(first, outputs[1], sizeof first) == 0);
}

static void test_twice_cancels(void) {
    static file a;
    static _Alignas(8) uint8_t mem[1 << 16];
    bk_overlay overlay;
    make_file(&a, &all_kinds);
    const bk_patch *twice[] = {&a.patch, &a.patch};
    CHECK(bk_overlay_build(&overlay, twice, 2, &model, mem, sizeof mem) == BK_OK);
    run(0, NULL);
    run(1, &overlay);
    CHECK(same_outputs());
    CHECK(overlay.n_rows == overlay.n_shadows); /* sign entries cancel and are not kept */
    const bk_patch *many[BK_MAX_ACTIVE + 1];
    for (uint32_t i = 0; i <= BK_MAX_ACTIVE; i++) many[i] = &a.patch;
    CHECK(bk_overlay_build(&overlay, many, BK_MAX_ACTIVE + 1, &model, mem, sizeof mem) ==
          BK_ERR_LIMIT);
}

static void test_refusals(void) {
    static file f, good;
    static _Alignas(8) uint8_t mem[1 << 12];
    bk_overlay overlay;
    uint32_t crc = 0;
    make_file(&good, &all_kinds);
    size_t row_bytes = bk_q1_row_bytes(model.layers[1].proj[BK_DOWN_PROJ].cols);
    uint8_t *touched = (uint8_t *)(uintptr_t)model.layers[1].proj[BK_DOWN_PROJ].data;
    touched[200 * row_bytes + 5] ^= 4;
    CHECK(bk_patch_check(&good.patch, &model, true) == BK_ERR_PATCH_CRC);
    touched[200 * row_bytes + 5] ^= 4;
    model.id[31] ^= 1;
    CHECK(bk_patch_check(&good.patch, &model, true) == BK_ERR_PATCH_MODEL);
    model.id[31] ^= 1;
    model.writable = false;
    CHECK(bk_patch_xor(&good.patch, &model) == BK_ERR_READ_ONLY);
    model.writable = true;

    write_file(&f, &rows_only, NULL);
    CHECK(bk_patch_parse(f.bytes, f.n, &f.patch) == BK_OK);
    CHECK(bk_patch_check(&f.patch, &model, false) == BK_ERR_PATCH_UNBOUND);
    CHECK(bk_patch_check(&f.patch, &model, true) == BK_OK);

    static const flip beyond[][2] = {{{0, 1, 0}, {14, 0, 0}},
                                     {{0, 1, 0}, {1, 128, 0}},
                                     {{0, 1, 0}, {6, 1, 3}},
                                     {{0, 1, 0}, {6, 1, 384}}};
    static const uint32_t kind_of[] = {0, 0, 1, 2};
    for (uint32_t i = 0; i < 4; i++) {
        flip_set set = {{NULL}, {0}};
        set.flips[kind_of[i]] = beyond[i];
        set.n[kind_of[i]] = 2;
        write_file(&f, &set, NULL);
        const bk_patch *one[] = {&f.patch};
        CHECK(bk_patch_parse(f.bytes, f.n, &f.patch) == BK_OK);
        CHECK(bk_patch_check(&f.patch, &model, true) == BK_ERR_PATCH_RANGE);
        CHECK(bk_patch_xor(&f.patch, &model) == BK_ERR_PATCH_RANGE);
        CHECK(bk_overlay_build(&overlay, one, 1, &model, mem, sizeof mem) == BK_ERR_PATCH_RANGE);
        CHECK(is_pristine());
    }
    model.layers[0].proj[0].type = BK_TYPE_F16;
    CHECK(bk_patch_row_crc(&good.patch, &model, &crc) == BK_ERR_PATCH_RANGE);
    model.layers[0].proj[0].type = BK_TYPE_Q1_0;
}

static void test_swap(void) {
    static file a, b, bad;
    static uint8_t *with_a;
    make_file(&a, &all_kinds);
    make_file(&b, &overlapping);
    make_file(&bad, &bits_only);
    bad.patch.crc ^= 1;
    const bk_patch *old_set[] = {&a.patch}, *next[] = {&b.patch, &a.patch};
    const bk_patch *broken[] = {&b.patch, &bad.patch};
    CHECK(bk_patch_swap(&model, NULL, 0, old_set, 1, false) == BK_OK);
    with_a = malloc(weight_bytes);
    memcpy(with_a, weights, weight_bytes);
    CHECK(memcmp(with_a, pristine, weight_bytes) != 0);
    CHECK(bk_patch_swap(&model, old_set, 1, broken, 2, false) == BK_ERR_PATCH_CRC);
    CHECK(memcmp(with_a, weights, weight_bytes) == 0);
    CHECK(bk_patch_swap(&model, old_set, 1, next, 2, false) == BK_OK);
    CHECK(bk_patch_xor(&b.patch, &model) == BK_OK);
    CHECK(memcmp(with_a, weights, weight_bytes) == 0);
    CHECK(bk_patch_swap(&model, old_set, 1, NULL, 0, false) == BK_OK);
    CHECK(is_pristine());
    free(with_a);
}

/* ---- the decoder against bad bytes ---- */

static int parse_copy(const uint8_t *bytes, size_t n, bk_patch *patch) {
    uint8_t *exact = malloc(n ? n : 1); /* so that the sanitizer sees a read past the end */
    memcpy(exact, bytes, n);
    int rc = bk_patch_parse(exact, n, patch);
    if (rc == BK_OK) /* what parses must be walkable */
        (void)bk_patch_check(patch, &model, true);
    free(exact);
    return rc;
}

static void test_damage(void) {
    static file f;
    static uint8_t bytes[sizeof f.bytes];
    bk_patch patch;
    make_file(&f, &all_kinds);
    for (size_t n = 0; n < f.n; n++) CHECK(parse_copy(f.bytes, n, &patch) == BK_ERR_TRUNCATED);
    memcpy(bytes, f.bytes, f.n);
    bytes[f.n] = 0;
    CHECK(parse_copy(bytes, f.n + 1, &patch) == BK_ERR_MALFORMED);
    for (size_t at = 0; at < f.n; at++)
        for (uint32_t bit = 0; bit < 8; bit++) {
            memcpy(bytes, f.bytes, f.n);
            bytes[at] ^= (uint8_t)(1u << bit);
            (void)parse_copy(bytes, f.n, &patch);
        }
    for (uint32_t round = 0; round < 20000; round++) {
        memcpy(bytes, f.bytes, f.n);
        for (uint32_t i = rnd(4) + 1; i > 0; i--) bytes[rnd((uint32_t)f.n)] = (uint8_t)rnd(256);
        (void)parse_copy(bytes, f.n - rnd(3), &patch);
    }
    memcpy(bytes, f.bytes, f.n);
    bytes[2] = 2;
    CHECK(parse_copy(bytes, f.n, &patch) == BK_ERR_VERSION);
    bytes[0] = 0xd2;
    CHECK(parse_copy(bytes, f.n, &patch) == BK_ERR_PATCH_SIGNED);
}

static int walk_stream(const uint8_t *p, size_t n, bk_flip_kind kind) {
    bk_flips f;
    int rc = bk_flips_open(&f, p, n, kind);
    while (rc >= 0 && (rc = bk_flips_next(&f)) == 1);
    return rc;
}

static void test_streams(void) {
    static uint8_t s[8192];
    size_t n = stream_of(some_bits, 7, 4, 9, s);
    CHECK(walk_stream(s, n, BK_FLIP_BITS) == BK_OK);
    CHECK(walk_stream(s, n, BK_FLIP_ROWS) == BK_ERR_MALFORMED); /* rows have no columns */
    s[n] = 0;
    CHECK(walk_stream(s, n + 1, BK_FLIP_BITS) == BK_ERR_MALFORMED); /* a byte of padding */
    s[0] = 32;
    CHECK(walk_stream(s, n, BK_FLIP_BITS) == BK_ERR_MALFORMED);
    n = stream_of(some_bits, 7, 4, 10, s); /* wider columns than needed */
    CHECK(walk_stream(s, n, BK_FLIP_BITS) == BK_ERR_MALFORMED);
    static const flip same_bit[] = {{3, 5, 6}, {3, 5, 6}}, falling[] = {{3, 5, 6}, {3, 5, 1}};
    n = stream_of(same_bit, 2, 0, 3, s);
    CHECK(walk_stream(s, n, BK_FLIP_BITS) == BK_ERR_MALFORMED);
    n = stream_of(falling, 2, 0, 3, s);
    CHECK(walk_stream(s, n, BK_FLIP_BITS) == BK_ERR_MALFORMED);
    static const flip same_row[] = {{3, 5, 0}, {3, 5, 0}}, one_row[] = {{6, 16777215, 0}};
    n = stream_of(same_row, 2, 0, 0, s);
    CHECK(walk_stream(s, n, BK_FLIP_ROWS) == BK_ERR_MALFORMED);
    n = stream_of(one_row, 1, 24, 0, s);
    CHECK(walk_stream(s, n, BK_FLIP_ROWS) == BK_OK);
    memset(s, 0xff, sizeof s); /* a unary run without an end */
    s[0] = s[1] = 0;
    CHECK(walk_stream(s, sizeof s, BK_FLIP_ROWS) == BK_ERR_MALFORMED);
    memset(s + 2, 0, sizeof s - 2); /* a gamma code without an end */
    CHECK(walk_stream(s, sizeof s, BK_FLIP_ROWS) == BK_ERR_MALFORMED);
}

static void test_crc(void) {
    const uint8_t *digits = (const uint8_t *)"123456789";
    CHECK(bk_crc32c(0, digits, 9) == 0xe3069283);
    CHECK(bk_crc32_ieee(0, digits, 9) == 0xcbf43926);
    CHECK(bk_crc16_xmodem(0, digits, 9) == 0x31c3);
    CHECK(bk_crc32c(bk_crc32c(0, digits, 4), digits + 4, 5) == 0xe3069283);
    CHECK(bk_crc32_ieee(bk_crc32_ieee(0, digits, 4), digits + 4, 5) == 0xcbf43926);
    CHECK(bk_crc16_xmodem(bk_crc16_xmodem(0, digits, 4), digits + 4, 5) == 0x31c3);
}

int main(void) {
    make_model();
    test_crc();
    test_streams();
    test_damage();
    test_two_ways();
    test_twice_cancels();
    test_refusals();
    test_swap();
    free(weights);
    free(pristine);
    return CHECK_RESULT();
}
