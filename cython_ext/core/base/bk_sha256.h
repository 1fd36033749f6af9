/* bk_sha256.h: SHA-256 (FIPS 180-4), incremental. */
#ifndef BK_SHA256_H
#define BK_SHA256_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint32_t h[8];
    uint64_t n;      /* bytes so far */
    uint8_t tail[64];
} bk_sha256;

void bk_sha256_init(bk_sha256 *s);
void bk_sha256_update(bk_sha256 *s, const void *data, size_t n);
void bk_sha256_final(bk_sha256 *s, uint8_t digest[32]);

#endif
