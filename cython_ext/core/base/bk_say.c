/* bk_say.c: sentences, put together without a C library. */
#include "bk_say.h"

#include <stdbool.h>
#include <string.h>

#include "bk_divide.h"
#include "bk_utf8.h"

enum { QUOTED_MAX = 24 }; /* characters of a prompt or answer in a sentence */

void bk_say_start(bk_say *s, char *text, size_t cap) {
    *s = (bk_say){text, cap, 0};
    text[0] = 0;
}

void bk_say_bytes(bk_say *s, const char *p, size_t n) {
    size_t room = s->cap - 1 - s->n;
    if (n > room) {
        n = room;
        while (n && ((uint8_t)p[n] & 0xc0) == 0x80) n--;
    }
    memcpy(s->text + s->n, p, n);
    s->n += n;
    s->text[s->n] = 0;
}

void bk_say_text(bk_say *s, const char *text) { bk_say_bytes(s, text, strlen(text)); }

void bk_say_uint(bk_say *s, uint64_t v) {
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + bk_divide(&v, 10));
    } while (v);
    bk_say_bytes(s, digits + at, sizeof digits - at);
}

void bk_say_hex(bk_say *s, const uint8_t *p, size_t n) {
    static const char hex[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        bk_say_bytes(s, &hex[p[i] >> 4], 1);
        bk_say_bytes(s, &hex[p[i] & 15], 1);
    }
}

static void say_char(bk_say *s, const char *p, size_t n, char mark) {
    if (*p == mark) bk_say_text(s, "\\");
    switch (*p) {
    case '\n': bk_say_text(s, "\\n"); break;
    case '\r': bk_say_text(s, "\\r"); break;
    case '\t': bk_say_text(s, "\\t"); break;
    case '\\': bk_say_text(s, "\\\\"); break;
    default:
        if ((uint8_t)*p < 0x20 || *p == 0x7f) {
            bk_say_text(s, "\\x");
            bk_say_hex(s, (const uint8_t *)p, 1);
        } else {
            bk_say_bytes(s, p, n);
        }
    }
}

/* Bytes up to and including the given number of characters. */
static size_t first_chars(const char *p, size_t n, size_t chars) {
    size_t at = 0;
    while (at < n && chars--)
        for (at++; at < n && ((uint8_t)p[at] & 0xc0) == 0x80;) at++;
    return at;
}

void bk_say_quoted(bk_say *s, const char *p, size_t n) {
    bk_utf8_strip(&p, &n);
    bool longer = first_chars(p, n, QUOTED_MAX) < n;
    const char *mark = memchr(p, '\'', n) && !memchr(p, '"', n) ? "\"" : "'";
    if (longer) n = first_chars(p, n, QUOTED_MAX - 1);
    bk_say_text(s, mark);
    while (n) {
        size_t m = first_chars(p, n, 1);
        say_char(s, p, m, *mark);
        p += m;
        n -= m;
    }
    bk_say_text(s, longer ? "\xe2\x80\xa6" : ""); /* … */
    bk_say_text(s, mark);
}
