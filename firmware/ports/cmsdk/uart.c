/* uart.c: the CMSDK UART: one byte each way, no FIFO. */
#include "bk_chip.h"
#include "bk_cmsdk.h"

void bk_cmsdk_tx_irq(void);

static bk_cmsdk_uart *const uart = (bk_cmsdk_uart *)BK_CMSDK_UART;

void bk_chip_uart_start(void) {
    uart->bauddiv = BK_CHIP_HZ / 115200;
    uart->ctrl = BK_CMSDK_TX | BK_CMSDK_RX | BK_CMSDK_RX_INT;
    bk_irq_enable(BK_UART_IRQ);
    bk_irq_enable(BK_UART_TX_IRQ);
    bk_irq_kick(BK_UART_IRQ); /* a byte that came before raises nothing by itself */
}

bool bk_chip_uart_take(uint8_t *byte) {
    if (uart->state & BK_CMSDK_RX_OVERRUN) {
        uart->state = BK_CMSDK_RX_OVERRUN;
        bk_uart_overrun();
    }
    /* Acknowledge before reading: a byte that arrives in between raises its own interrupt. */
    uart->intstatus = BK_CMSDK_RX;
    if (!(uart->state & BK_CMSDK_RX_FULL)) return false;
    *byte = (uint8_t)uart->data;
    return true;
}

bool bk_chip_uart_may_send(void) { return !(uart->state & BK_CMSDK_TX_FULL); }

void bk_chip_uart_send(uint8_t byte) { uart->data = byte; }

void bk_chip_uart_listen(bool on) {
    if (on) {
        uart->ctrl |= BK_CMSDK_RX_INT;
        bk_irq_kick(BK_UART_IRQ);
    } else {
        uart->ctrl &= ~(uint32_t)BK_CMSDK_RX_INT;
        uart->intstatus = BK_CMSDK_RX; /* else it keeps interrupting, masked or not */
    }
}

void bk_chip_uart_call_when_free(void) { uart->ctrl |= BK_CMSDK_TX_INT; }

void bk_cmsdk_tx_irq(void) {
    uart->ctrl &= ~(uint32_t)BK_CMSDK_TX_INT;
    uart->intstatus = BK_CMSDK_TX;
}
