/* uart.c: USART1 on PA9 and PA10, 115200 baud (RM0090, chapters 8 and 30). */
#include "bk_usart.h"

#define RCC_AHB1ENR BK_REG(0x40023830)
#define RCC_APB2ENR BK_REG(0x40023844)
#define GPIOA_MODER BK_REG(0x40020000)
#define GPIOA_PUPDR BK_REG(0x4002000C)
#define GPIOA_AFRH BK_REG(0x40020024)

typedef struct {
    volatile uint32_t sr, dr, brr, cr1, cr2, cr3;
} usart;

enum { ON = 1 << 13 }; /* cr1 */

static usart *const uart = (usart *)0x40011000u;

void bk_chip_uart_start(void) {
    uint32_t hz = bk_clock_hz();
    uint32_t apb2_hz = hz > 84000000 ? hz / 2 : hz;
    RCC_AHB1ENR |= 1u << 0;
    RCC_APB2ENR |= 1u << 4;
    GPIOA_MODER = (GPIOA_MODER & ~(0xFu << 18)) | 0xAu << 18; /* PA9, PA10: alternate function */
    GPIOA_PUPDR = (GPIOA_PUPDR & ~(3u << 20)) | 1u << 20;     /* an open PA10 reads as idle */
    GPIOA_AFRH = (GPIOA_AFRH & ~0xFF0u) | 0x770u;             /* number 7: USART1 */
    bk_usart_start(&uart->brr, &uart->cr1, ON, apb2_hz);
}

bool bk_chip_uart_take(uint8_t *byte) {
    uint32_t status = uart->sr;
    uart->cr1 &= ~(uint32_t)BK_USART_TX_INT; /* it has done its work: see call_when_free */
    if (!(status & (BK_USART_RX_FULL | BK_USART_OVERRUN))) return false;
    uint32_t data = uart->dr; /* clears both */
    if (status & BK_USART_OVERRUN) bk_uart_overrun();
    *byte = (uint8_t)data;
    return (status & BK_USART_RX_FULL) != 0;
}

bool bk_chip_uart_may_send(void) { return (uart->sr & BK_USART_TX_FREE) != 0; }

void bk_chip_uart_send(uint8_t byte) { uart->dr = byte; }

/* QEMU's USART keeps its interrupt up although RX_INT goes down, so the NVIC is told, too. */
void bk_chip_uart_listen(bool on) {
    if (on) {
        uart->cr1 |= BK_USART_RX_INT;
        bk_irq_enable(BK_UART_IRQ);
    } else {
        uart->cr1 &= ~(uint32_t)BK_USART_RX_INT;
        bk_irq_disable(BK_UART_IRQ);
    }
}

void bk_chip_uart_call_when_free(void) {
    uart->cr1 |= BK_USART_TX_INT;
    bk_irq_enable(BK_UART_IRQ);
}
