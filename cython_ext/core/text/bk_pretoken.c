/* bk_pretoken.c: Qwen2's pre-tokenizer, one alternative of its regular expression after another. */
#include "bk_pretoken.h"

#include <stdbool.h>

#include "bk_unicode.h"

static uint32_t class_of(uint32_t code) {
    uint32_t lo = 0, hi = bk_unicode_n;
    while (hi - lo > 1) { /* the run that holds `code` is in [lo, hi) */
        uint32_t mid = (lo + hi) / 2;
        if (bk_unicode_runs[mid] >> 2 <= code) lo = mid;
        else hi = mid;
    }
    return bk_unicode_runs[lo] & 3;
}

static bool continues(const uint8_t *s, size_t n, size_t at) {
    return at < n && (s[at] & 0xC0) == 0x80;
}

/* Decode the code point at s[0], n >= 1; its length in bytes, 0 when the bytes are not UTF-8. */
static size_t decode(const uint8_t *s, size_t n, uint32_t *code) {
    uint32_t c = s[0];
    *code = c;
    if (c < 0x80) return 1;
    if (c < 0xC2 || !continues(s, n, 1)) return 0;
    c = c << 6 | (s[1] & 0x3Fu);
    if (s[0] < 0xE0) {
        *code = c & 0x7FF;
        return 2;
    }
    if (!continues(s, n, 2)) return 0;
    c = (c << 6 | (s[2] & 0x3Fu)) & 0xFFFFF;
    if (s[0] < 0xF0) {
        *code = c & 0xFFFF;
        return *code < 0x800 || (*code >> 11) == 0x1B ? 0 : 3; /* overlong, or a surrogate */
    }
    if (s[0] > 0xF4 || !continues(s, n, 3)) return 0;
    *code = (c << 6 | (s[3] & 0x3Fu)) & 0x1FFFFF;
    return *code < 0x10000 || *code > 0x10FFFF ? 0 : 4;
}

/* The class of the code point at `at` < n; *end becomes the offset behind it. */
static uint32_t class_at(const uint8_t *s, size_t n, size_t at, size_t *end) {
    uint32_t c = s[at];
    *end = at + 1;
    if (c < 0x80) {
        if ((c | 32) - 'a' < 26) return BK_UNICODE_LETTER;
        if (c - '0' < 10) return BK_UNICODE_NUMBER;
        return c == ' ' || c - '\t' < 5 ? BK_UNICODE_SPACE : BK_UNICODE_OTHER;
    }
    size_t length = decode(s + at, n - at, &c);
    if (!length) return BK_UNICODE_OTHER;
    *end = at + length;
    return class_of(c);
}

/* The end of the run of one class that starts at `at`. */
static size_t run(const uint8_t *s, size_t n, size_t at, uint32_t kind) {
    size_t end;
    while (at < n && class_at(s, n, at, &end) == kind) at = end;
    return at;
}

static bool is_newline(uint8_t c) { return c == '\r' || c == '\n'; }

static size_t newlines(const uint8_t *s, size_t n, size_t at) {
    while (at < n && is_newline(s[at])) at++;
    return at;
}

/* (?i:'s|'t|'re|'ve|'m|'ll|'d): its length, or 0. Case folding makes U+017F another s. */
static size_t contraction(const uint8_t *s, size_t n) {
    if (s[0] != '\'' || n < 2) return 0;
    uint8_t a = s[1] | 32, b = n > 2 ? s[2] | 32 : 0;
    if (s[1] < 0x80 && (a == 's' || a == 't' || a == 'm' || a == 'd')) return 2;
    if (n < 3) return 0;
    if (s[1] == 0xC5 && s[2] == 0xBF) return 3;
    if (s[1] >= 0x80 || s[2] >= 0x80) return 0;
    bool pair = (a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l');
    return pair ? 3 : 0;
}

/* \s*[\r\n]+|\s+(?!\S)|\s+ at white space: up to its last newline; else all but the last one
 * when something follows, so that a space stays with the word behind it. */
static size_t spaces(const uint8_t *s, size_t n) {
    size_t at = 0, end = 0, last = 0, newline = 0;
    while (at < n && class_at(s, n, at, &end) == BK_UNICODE_SPACE) {
        if (is_newline(s[at])) newline = end;
        last = at;
        at = end;
    }
    if (newline) return newline;
    return at == n || last == 0 ? at : last;
}

size_t bk_pretoken_next(const uint8_t *s, size_t n) {
    size_t first, second, length = contraction(s, n);
    if (length) return length;
    uint32_t kind = class_at(s, n, 0, &first);
    if (kind == BK_UNICODE_LETTER) return run(s, n, first, kind);
    if (kind == BK_UNICODE_NUMBER) return first;
    uint32_t next = first < n ? class_at(s, n, first, &second) : BK_UNICODE_SPACE;
    if (next == BK_UNICODE_LETTER && !is_newline(s[0])) return run(s, n, second, next);
    if (kind == BK_UNICODE_OTHER) return newlines(s, n, run(s, n, first, kind));
    if (next == BK_UNICODE_OTHER && s[0] == ' ') return newlines(s, n, run(s, n, second, next));
    return spaces(s, n);
}
