/* bytes.c: check sums and hashes by the vectors of their standards. */
#include <string.h>

#include "bk_crc.h"
#include "bk_fp16.h"
#include "bk_sha256.h"
#include "checks.h"

static const uint8_t digits[] = "123456789";

static bool sha256_is(const char *text, size_t repeat, const uint8_t want[32]) {
    bk_sha256 s;
    uint8_t digest[32];
    bk_sha256_init(&s);
    for (size_t i = 0; i < repeat; i++) bk_sha256_update(&s, text, strlen(text));
    bk_sha256_final(&s, digest);
    return !memcmp(digest, want, sizeof digest);
}

/* FIPS 180-2, appendix B. */
static bool sha256_vectors(void) {
    static const uint8_t abc[32] = {
        0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40,
        0xde, 0x5d, 0xae, 0x22, 0x23, 0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17,
        0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad,
    };
    static const uint8_t long_a[32] = {
        0xcd, 0xc7, 0x6e, 0x5c, 0x99, 0x14, 0xfb, 0x92, 0x81, 0xa1, 0xc7,
        0xe2, 0x84, 0xd7, 0x3e, 0x67, 0xf1, 0x80, 0x9a, 0x48, 0xa4, 0x97,
        0x20, 0x0e, 0x04, 0x6d, 0x39, 0xcc, 0xc7, 0x11, 0x2c, 0xd0,
    };
    return sha256_is("abc", 1, abc) && sha256_is("aaaaaaaaaa", 100000, long_a);
}

static bool halves_are_exact(void) {
    for (uint32_t h = 0; h < 0x10000; h++) {
        if ((h & 0x7c00) == 0x7c00 && (h & 0x3ff)) continue; /* a NaN's payload is free */
        if (bk_fp16_from_f32(bk_fp16_to_f32((uint16_t)h)) != h) return false;
    }
    return true;
}

void check_bytes(const bk_board *board) {
    (void)board;
    check("crc32c", bk_crc32c(0, digits, 9) == 0xe3069283);
    check("crc32", bk_crc32_ieee(0, digits, 9) == 0xcbf43926);
    check("crc16", bk_crc16_xmodem(0, digits, 9) == 0x31c3);
    check("sha256", sha256_vectors());
    check("every fp16 there and back", halves_are_exact());
}
