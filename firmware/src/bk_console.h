/* bk_console.h: text for a human on the UART; programs on the same line skip it. */
#ifndef BK_CONSOLE_H
#define BK_CONSOLE_H

#include <stddef.h>
#include <stdint.h>

/* A newline is sent as CR LF. */
void bk_console_put(const char *text);
void bk_console_put_bytes(const char *p, size_t n);
void bk_console_put_uint(uint32_t v);
void bk_console_put_hex(const uint8_t *p, size_t n);

#endif
