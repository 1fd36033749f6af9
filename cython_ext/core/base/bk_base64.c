#include "bk_base64.h"

static const uint8_t ALPHABET[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void bk_base64_encode(const uint8_t *in, size_t n, uint8_t out[4]) {
    uint32_t bits = (uint32_t)in[0] << 16;
    if (n > 1) bits |= (uint32_t)in[1] << 8;
    if (n > 2) bits |= in[2];
    out[0] = ALPHABET[bits >> 18];
    out[1] = ALPHABET[bits >> 12 & 63];
    out[2] = n > 1 ? ALPHABET[bits >> 6 & 63] : '=';
    out[3] = n > 2 ? ALPHABET[bits & 63] : '=';
}

int bk_base64_value(uint8_t c) {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    if (c == '+') return 62;
    if (c == '/') return 63;
    return c == '=' ? BK_BASE64_PAD : BK_BASE64_BAD;
}
