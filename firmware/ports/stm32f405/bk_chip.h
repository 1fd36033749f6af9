/* bk_chip.h: STM32F405: registers as in ST's reference manual RM0090. */
#ifndef BK_CHIP_H
#define BK_CHIP_H

#include <stdint.h>

#define BK_CHIP_KERNEL bk_kernel_dsp
#define BK_N_IRQ 82
#define BK_UART_IRQ 37 /* USART1 */
#define BK_CHIP_IWDG 0x40003000u

void bk_uart_irq(void);
#define BK_CHIP_VECTORS [15 + BK_UART_IRQ] = bk_uart_irq

/* The core at 168 MHz from the internal oscillator: the same on every board, whatever its crystal.
 * Returns what it became. */
uint32_t bk_stm32f4_clocks(void);

#endif
