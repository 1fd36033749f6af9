/* bk_utf8_class.c: what Unicode says of a character. */
#include "bk_unicode.h"
#include "bk_utf8.h"

static uint32_t class_of(uint32_t c) {
    uint32_t low = 0, high = bk_unicode_n;
    while (high - low > 1) {
        uint32_t middle = (low + high) / 2;
        if (bk_unicode_runs[middle] >> 2 <= c) low = middle;
        else high = middle;
    }
    return bk_unicode_runs[low] & 3;
}

bool bk_utf8_is_space(uint32_t c) { return class_of(c) == BK_UNICODE_SPACE; }

bool bk_utf8_is_word(uint32_t c) {
    uint32_t class = class_of(c);
    return class == BK_UNICODE_LETTER || class == BK_UNICODE_NUMBER;
}
