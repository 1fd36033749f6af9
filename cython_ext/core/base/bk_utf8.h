/* bk_utf8.h: bytes that come one by one become characters; what is no UTF-8 becomes U+FFFD.
 *
 * As Python's decoder with errors="replace", so that a device's text is the host's: each longest
 * beginning of a character that cannot go on is replaced by one U+FFFD.
 */
#ifndef BK_UTF8_H
#define BK_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { BK_UTF8_MAX = 7 }; /* bytes that one byte may bring about: U+FFFD, then a character */

typedef struct {
    uint8_t held[3]; /* the character so far */
    uint8_t n, left; /* bytes held; bytes still to come */
} bk_utf8;

/* Take one byte; whole characters go to out [BK_UTF8_MAX]. Returns their bytes. */
size_t bk_utf8_feed(bk_utf8 *u, uint8_t byte, uint8_t *out);

/* Nothing comes any more: U+FFFD for a character that was never completed. */
size_t bk_utf8_finish(bk_utf8 *u, uint8_t *out);

/* The first character of n >= 1 bytes, and in *used how many it takes; U+FFFD where they end in
 * the middle of it. Of bytes that are no UTF-8 any character may come. */
uint32_t bk_utf8_char(const char *p, size_t n, size_t *used);

/* White space, and letters with digits, in the sense of Unicode. */
bool bk_utf8_is_space(uint32_t c);
bool bk_utf8_is_word(uint32_t c);

/* Take the white space at both ends away. */
void bk_utf8_strip(const char **p, size_t *n);

#endif
