/* console.c: text for a human on the UART. */
#include "bk_console.h"

#include <string.h>

#include "bk_port.h"

/* A newline is sent as CR LF. */
static void put(void *to, const char *p, size_t n) {
    (void)to;
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

const bk_text_sink bk_console = {put, NULL};
