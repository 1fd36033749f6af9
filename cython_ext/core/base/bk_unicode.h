/* bk_unicode.h: which code points are letters, numbers or white space (Unicode 16.0). */
#ifndef BK_UNICODE_H
#define BK_UNICODE_H

#include <stdint.h>

/* \p{L}, \p{N}, \s (White_Space), and all the rest, unassigned code points included. */
enum { BK_UNICODE_OTHER, BK_UNICODE_LETTER, BK_UNICODE_NUMBER, BK_UNICODE_SPACE };

/* Runs of one class, ascending: (first code point << 2 | class); the first run starts at 0. */
extern const uint16_t bk_unicode_n;
extern const uint32_t bk_unicode_runs[];

#endif
