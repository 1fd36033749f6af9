/* bk_base64.h: base64 (RFC 4648, with padding), four characters at a time. */
#ifndef BK_BASE64_H
#define BK_BASE64_H

#include <stddef.h>
#include <stdint.h>

enum { BK_BASE64_BAD = -1, BK_BASE64_PAD = -2 };

/* 1 to 3 bytes become 4 characters. */
void bk_base64_encode(const uint8_t *in, size_t n, uint8_t out[4]);

/* The 6 bits that a character stands for, BK_BASE64_PAD for '=', else BK_BASE64_BAD. */
int bk_base64_value(uint8_t c);

#endif
