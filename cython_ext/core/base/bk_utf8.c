/* bk_utf8.c: bytes become characters. */
#include "bk_utf8.h"

#include <string.h>

static size_t replacement(uint8_t *out) {
    memcpy(out, "\xef\xbf\xbd", 3);
    return 3;
}

/* Continuation bytes that a first byte asks for; 0xff: it cannot be one. */
static uint8_t follow(uint8_t byte) {
    if (byte < 0x80) return 0;
    if (byte >= 0xc2 && byte < 0xe0) return 1;
    if (byte >= 0xe0 && byte < 0xf0) return 2;
    if (byte >= 0xf0 && byte < 0xf5) return 3;
    return 0xff;
}

/* May this byte go on? The second byte rules out long forms, surrogates and what is too large. */
static bool goes_on(const bk_utf8 *u, uint8_t byte) {
    uint8_t low = 0x80, high = 0xbf;
    if (u->n == 1) {
        if (u->held[0] == 0xe0) low = 0xa0;
        if (u->held[0] == 0xed) high = 0x9f;
        if (u->held[0] == 0xf0) low = 0x90;
        if (u->held[0] == 0xf4) high = 0x8f;
    }
    return byte >= low && byte <= high;
}

size_t bk_utf8_feed(bk_utf8 *u, uint8_t byte, uint8_t *out) {
    size_t n = 0;
    if (u->left) {
        if (goes_on(u, byte)) {
            if (--u->left) {
                u->held[u->n++] = byte;
                return 0;
            }
            n = u->n;
            memcpy(out, u->held, n);
            out[n++] = byte;
            u->n = 0;
            return n;
        }
        n = replacement(out);
        u->left = 0;
    }
    u->n = 0;
    uint8_t more = follow(byte);
    if (more == 0xff) return n + replacement(out + n);
    if (more == 0) {
        out[n] = byte;
        return n + 1;
    }
    u->held[0] = byte;
    u->n = 1;
    u->left = more;
    return n;
}

size_t bk_utf8_finish(bk_utf8 *u, uint8_t *out) {
    bool open = u->left != 0;
    *u = (bk_utf8){0};
    return open ? replacement(out) : 0;
}

uint32_t bk_utf8_char(const char *p, size_t n, size_t *used) {
    static const uint8_t mask[] = {0x7f, 0x1f, 0x0f, 0x07};
    uint8_t more = follow((uint8_t)*p);
    if (more == 0xff || more >= n) {
        *used = 1;
        return 0xfffd;
    }
    uint32_t c = (uint8_t)*p & mask[more];
    for (uint32_t i = 1; i <= more; i++) c = c << 6 | ((uint8_t)p[i] & 0x3f);
    *used = 1u + more;
    return c;
}

void bk_utf8_strip(const char **p, size_t *n) {
    size_t m;
    while (*n && bk_utf8_is_space(bk_utf8_char(*p, *n, &m))) {
        *p += m;
        *n -= m;
    }
    while (*n) {
        size_t at = *n - 1;
        while (at && ((uint8_t)(*p)[at] & 0xc0) == 0x80) at--;
        if (!bk_utf8_is_space(bk_utf8_char(*p + at, *n - at, &m))) return;
        *n = at;
    }
}
