/* uart.c: the receive ring between the UART's interrupt and the main loop, and sending.
 *
 * A full ring masks the interrupt instead of dropping bytes: what then waits in the UART is the
 * sender's to hold back, if the line knows flow control; if not, the UART counts what it lost.
 */
#include "bk_chip.h"
#include "bk_cortex_m.h"
#include "bk_port.h"

#ifndef BK_RX_RING
#define BK_RX_RING 2048 /* a power of two: the largest request with room to spare */
#endif

enum { SEND_TIMEOUT_MS = 2000 };

_Static_assert((BK_RX_RING & (BK_RX_RING - 1)) == 0, "BK_RX_RING is a power of two");

static uint8_t ring[BK_RX_RING];
static volatile uint32_t head; /* written by the interrupt */
static volatile uint32_t tail; /* written by bk_port_read */
static volatile bool masked;
static volatile uint32_t lost; /* counted by the interrupt */

void bk_uart_overrun(void) { lost++; }

void bk_uart_irq(void) {
    uint32_t h = head;
    for (;;) {
        if (h - tail == BK_RX_RING) {
            masked = true;
            bk_chip_uart_listen(false);
            break;
        }
        if (!bk_chip_uart_take(&ring[h % BK_RX_RING])) break;
        head = ++h;
    }
}

size_t bk_port_read(uint8_t *p, size_t cap) {
    uint32_t t = tail, h = head;
    size_t n = 0;
    while (t != h && n < cap) p[n++] = ring[t++ % BK_RX_RING];
    tail = t;
    if (masked && n) {
        masked = false;
        bk_irq_off();
        bk_chip_uart_listen(true);
        bk_irq_on();
    }
    return n;
}

uint32_t bk_port_lost(void) { return lost; }

/* A host that does not read must not stop the device for ever: after a while bytes are dropped. */
static bool wait_until_free(void) {
    uint32_t since = bk_port_ms();
    while (!bk_chip_uart_may_send()) {
        if (bk_port_ms() - since > SEND_TIMEOUT_MS) return false;
        bk_irq_off();
        bk_chip_uart_call_when_free();
        if (!bk_chip_uart_may_send()) bk_wait_for_interrupt();
        bk_irq_on();
    }
    return true;
}

void bk_port_write(const uint8_t *p, size_t n) {
    for (size_t i = 0; i < n && wait_until_free(); i++) bk_chip_uart_send(p[i]);
}

void bk_port_sleep(void) {
    bk_irq_off();
    if (head == tail) bk_wait_for_interrupt(); /* wakes also for what is pending */
    bk_irq_on();
}
