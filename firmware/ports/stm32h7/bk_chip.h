/* bk_chip.h: STM32H743 on an ST Nucleo-144: registers as in ST's reference manual RM0433. */
#ifndef BK_CHIP_H
#define BK_CHIP_H

#include "bk_flash.h"

#define BK_CHIP_KERNEL bk_kernel_dsp
#define BK_N_IRQ 150
#define BK_CHIP_IWDG 0x58004800u
#define BK_UART_IRQ 39 /* USART3, which the board's ST-LINK carries over USB */

void bk_uart_irq(void);
#define BK_CHIP_VECTORS [15 + BK_UART_IRQ] = bk_uart_irq

enum { BK_PCLK1_OF_CORE = 4 }; /* USART3's clock is the core's divided by this */

/* The core at 400 MHz from the internal oscillator, or at its 64 MHz if that fails; returns which. */
uint32_t bk_stm32h7_clocks(void);

/* The last four sectors of the second bank, 128 KB each. */
extern const bk_flash bk_stm32h7_flash;

#endif
