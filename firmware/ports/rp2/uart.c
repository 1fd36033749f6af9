/* uart.c: UART0, a PL011, on GP0 and GP1: 115200 baud, its FIFOs of 32 bytes in use. */
#include "bk_chip.h"
#include "bk_rp2.h"

enum {
    RX_EMPTY = 1 << 4,
    TX_FULL = 1 << 5,                                  /* fr */
    OVERRUN = 1 << 11,                                                    /* dr */
    RX_INT = 1 << 4,
    TX_INT = 1 << 5,
    TIMEOUT_INT = 1 << 6,               /* imsc, icr */
    UART_ON = 1 << 0 | 1 << 8 | 1 << 9,
    EIGHT_BITS_FIFO = 3 << 5 | 1 << 4, /* cr, lcr_h */
    FUNCTION_UART = 2
};

typedef struct {
    volatile uint32_t dr, rsr, rest[4], fr, rest2, ilpr, ibrd, fbrd, lcr_h, cr, ifls, imsc, ris,
        mis, icr;
} pl011;

_Static_assert(offsetof(pl011, fr) == 0x18 && offsetof(pl011, ibrd) == 0x24, "PL011's layout");
_Static_assert(offsetof(pl011, imsc) == 0x38 && offsetof(pl011, icr) == 0x44, "PL011's layout");

static pl011 *const uart = (pl011 *)BK_UART0;

static void use_pin(uint32_t pin) {
    BK_REG(BK_PADS_BANK0 + 4 + 4 * pin) = 1 << 6 | 1 << 3 | 1 << 1; /* input, pull-up, Schmitt */
    BK_REG(BK_IO_BANK0 + 8 * pin + 4) = FUNCTION_UART;
}

void bk_chip_uart_start(void) {
    uint32_t wanted = BK_RESET_UART0 | BK_RESET_IO_BANK0 | BK_RESET_PADS_BANK0;
    bk_rp2_set(BK_RESETS, BK_RESET_UART0);
    bk_rp2_clear(BK_RESETS, wanted);
    (void)bk_wait_until(&BK_REG(BK_RESETS + 8), wanted, wanted);
    use_pin(0);
    use_pin(1);
    uint32_t by_128 = (bk_clock_hz() * 8 + 115200 / 2) / 115200; /* 128 * hz / (16 * baud) */
    uart->ibrd = by_128 >> 7;
    uart->fbrd = ((by_128 & 0x7f) + 1) / 2;
    uart->lcr_h = EIGHT_BITS_FIFO;
    uart->ifls = 0; /* an interrupt at an eighth: there is time before the FIFO is full */
    uart->imsc = RX_INT | TIMEOUT_INT;
    uart->cr = UART_ON;
    bk_irq_enable(BK_UART_IRQ);
}

bool bk_chip_uart_take(uint8_t *byte) {
    uart->imsc &= ~(uint32_t)TX_INT; /* it has done its work: see call_when_free */
    if (uart->fr & RX_EMPTY) return false;
    uint32_t data = uart->dr;
    if (data & OVERRUN) bk_uart_overrun();
    *byte = (uint8_t)data;
    return true;
}

bool bk_chip_uart_may_send(void) { return !(uart->fr & TX_FULL); }

void bk_chip_uart_send(uint8_t byte) { uart->dr = byte; }

void bk_chip_uart_listen(bool on) {
    if (on) bk_rp2_set((uint32_t)(uintptr_t)&uart->imsc, RX_INT | TIMEOUT_INT);
    else bk_rp2_clear((uint32_t)(uintptr_t)&uart->imsc, RX_INT | TIMEOUT_INT);
}

void bk_chip_uart_call_when_free(void) { bk_rp2_set((uint32_t)(uintptr_t)&uart->imsc, TX_INT); }
