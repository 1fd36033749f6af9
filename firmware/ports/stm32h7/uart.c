/* uart.c: USART3 on PD8 and PD9, 115200 baud (RM0433, chapters 11 and 48). */
#include "bk_usart.h"

#define RCC_AHB4ENR BK_REG(0x580244E0)
#define RCC_APB1LENR BK_REG(0x580244E8)
#define RCC_D1CFGR BK_REG(0x58024418)
#define GPIOD_MODER BK_REG(0x58020C00)
#define GPIOD_AFRH BK_REG(0x58020C24)

typedef struct {
    volatile uint32_t cr1, cr2, cr3, brr, gtpr, rtor, rqr, isr, icr, rdr, tdr;
} usart;

enum { ON = 1 << 0 }; /* cr1 */

static usart *const uart = (usart *)0x40004800u;

void bk_chip_uart_start(void) {
    uint32_t hz = RCC_D1CFGR & 8 ? bk_clock_hz() / BK_PCLK1_OF_CORE : bk_clock_hz();
    RCC_AHB4ENR |= 1u << 3;   /* GPIOD */
    RCC_APB1LENR |= 1u << 18; /* USART3 */
    (void)RCC_APB1LENR;       /* the clock is there two cycles later */
    GPIOD_MODER = (GPIOD_MODER & ~(0xFu << 16)) | 0xAu << 16; /* PD8, PD9: alternate function */
    GPIOD_AFRH = (GPIOD_AFRH & ~0xFFu) | 0x77u;
    bk_usart_start(&uart->brr, &uart->cr1, ON, hz);
}

bool bk_chip_uart_take(uint8_t *byte) {
    uint32_t status = uart->isr;
    uart->cr1 &= ~(uint32_t)BK_USART_TX_INT; /* it has done its work: see call_when_free */
    if (status & BK_USART_OVERRUN) {
        uart->icr = BK_USART_OVERRUN;
        bk_uart_overrun();
    }
    if (!(status & BK_USART_RX_FULL)) return false;
    *byte = (uint8_t)uart->rdr;
    return true;
}

bool bk_chip_uart_may_send(void) { return (uart->isr & BK_USART_TX_FREE) != 0; }

void bk_chip_uart_send(uint8_t byte) { uart->tdr = byte; }

/* An overrun interrupts as long as RX_INT is on: masked, it waits in the status. */
void bk_chip_uart_listen(bool on) {
    if (on) uart->cr1 |= BK_USART_RX_INT;
    else uart->cr1 &= ~(uint32_t)BK_USART_RX_INT;
}

void bk_chip_uart_call_when_free(void) { uart->cr1 |= BK_USART_TX_INT; }
