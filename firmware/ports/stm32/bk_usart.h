/* bk_usart.h: what the USARTs of all STM32s share: bits, baud rate, start. */
#ifndef BK_USART_H
#define BK_USART_H

#include "bk_chip.h"
#include "bk_cortex_m.h"

enum {
    BK_USART_OVERRUN = 1 << 3,
    BK_USART_RX_FULL = 1 << 5,
    BK_USART_TX_FREE = 1 << 7, /* status */
    BK_USART_RX_ON = 1 << 2,
    BK_USART_TX_ON = 1 << 3,                                /* cr1 */
    BK_USART_RX_INT = 1 << 5,
    BK_USART_TX_INT = 1 << 7,
};

/* 115200 baud from a clock of `hz`; `on`: the bit of cr1 that starts this one. */
static inline void bk_usart_start(volatile uint32_t *brr, volatile uint32_t *cr1, uint32_t on,
                                  uint32_t hz) {
    *brr = (hz + 115200 / 2) / 115200;
    *cr1 = on | BK_USART_RX_ON | BK_USART_TX_ON | BK_USART_RX_INT;
    bk_irq_enable(BK_UART_IRQ);
}

#endif
