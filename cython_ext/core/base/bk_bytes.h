/* bk_bytes.h: explicit little- and big-endian loads and stores; no alignment is assumed. */
#ifndef BK_BYTES_H
#define BK_BYTES_H

#if defined(__ARM_FEATURE_MVE) && defined(__GNUC__) && !defined(__clang__)
/* Helium's floats flush subnormals to zero and the FPU's do not; GCC would use them unasked. */
#pragma GCC optimize("no-tree-vectorize")
#endif

#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct {
    const uint8_t *p; /* NULL when absent */
    size_t n;
} bk_span;

static inline uint16_t bk_load16_le(const uint8_t *p) {
    return (uint16_t)(p[0] | (uint16_t)(p[1] << 8));
}

static inline uint32_t bk_load32_le(const uint8_t *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t bk_load64_le(const uint8_t *p) {
    return (uint64_t)bk_load32_le(p) | (uint64_t)bk_load32_le(p + 4) << 32;
}

static inline void bk_store16_le(uint8_t *p, uint16_t v) {
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}

static inline void bk_store32_le(uint8_t *p, uint32_t v) {
    bk_store16_le(p, (uint16_t)v);
    bk_store16_le(p + 2, (uint16_t)(v >> 16));
}

static inline uint16_t bk_load16_be(const uint8_t *p) {
    return (uint16_t)((uint16_t)(p[0] << 8) | p[1]);
}

static inline uint32_t bk_load32_be(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | (uint32_t)p[3];
}

static inline void bk_store16_be(uint8_t *p, uint16_t v) {
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static inline float bk_float_from_bits(uint32_t bits) {
    float f;
    __builtin_memcpy(&f, &bits, sizeof f); /* a plain memcpy is a call under -ffreestanding */
    return f;
}

static inline uint32_t bk_float_bits(float f) {
    uint32_t bits;
    __builtin_memcpy(&bits, &f, sizeof bits);
    return bits;
}

static inline float bk_loadf32_le(const uint8_t *p) { return bk_float_from_bits(bk_load32_le(p)); }

#endif
