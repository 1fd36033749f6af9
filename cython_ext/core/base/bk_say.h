/* bk_say.h: sentences, put together without a C library.
 *
 * The text is NUL-terminated at all times; what does not fit is left out, never half a UTF-8
 * sequence.
 */
#ifndef BK_SAY_H
#define BK_SAY_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    char *text;
    size_t cap, n; /* bytes, the NUL included; bytes without it */
} bk_say;

void bk_say_start(bk_say *s, char *text, size_t cap); /* cap >= 1 */
void bk_say_bytes(bk_say *s, const char *p, size_t n);
void bk_say_text(bk_say *s, const char *text);
void bk_say_uint(bk_say *s, uint64_t v);
void bk_say_hex(bk_say *s, const uint8_t *p, size_t n);

/* Text in quotation marks, without the white space at its ends, at most 24 characters of it;
 * control characters are escaped. */
void bk_say_quoted(bk_say *s, const char *p, size_t n);

#endif
