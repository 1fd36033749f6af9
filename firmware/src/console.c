/* console.c: text for a human on the UART. */
#include "bk_console.h"

#include <string.h>

#include "bk_port.h"
#include "bk_say.h"

void bk_console_put_bytes(const char *p, size_t n) {
    while (n) {
        const char *end = memchr(p, '\n', n);
        size_t m = end ? (size_t)(end - p) : n;
        if (m) bk_port_write((const uint8_t *)p, m);
        if (!end) return;
        bk_port_write((const uint8_t *)"\r\n", 2);
        p += m + 1;
        n -= m + 1;
    }
}

void bk_console_put(const char *text) { bk_console_put_bytes(text, strlen(text)); }

void bk_console_put_uint(uint32_t v) {
    char digits[11];
    bk_say s;
    bk_say_start(&s, digits, sizeof digits);
    bk_say_uint(&s, v);
    bk_console_put(digits);
}

void bk_console_put_hex(const uint8_t *p, size_t n) {
    char two[3];
    for (size_t i = 0; i < n; i++) {
        bk_say s;
        bk_say_start(&s, two, sizeof two);
        bk_say_hex(&s, p + i, 1);
        bk_console_put(two);
    }
}
