/* bk_sha512.h: SHA-512 (FIPS 180-4), incremental. */
#ifndef BK_SHA512_H
#define BK_SHA512_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint64_t h[8];
    uint64_t n;       /* bytes so far */
    uint8_t tail[128];
} bk_sha512;

void bk_sha512_init(bk_sha512 *s);
void bk_sha512_update(bk_sha512 *s, const void *data, size_t n);
void bk_sha512_final(bk_sha512 *s, uint8_t digest[64]);

#endif
