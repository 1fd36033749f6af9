/* bk_utf8_ascii.c: instead of the core's bk_utf8_class.c: no tokenizer, and so no Unicode tables. */
#include "bk_utf8.h"

bool bk_utf8_is_space(uint32_t c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

bool bk_utf8_is_word(uint32_t c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
