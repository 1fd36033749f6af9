/* bk_chip.h: RP2350, two Cortex-M33 of which one is used, in its secure state: addresses from its
 * data sheet. */
#ifndef BK_CHIP_H
#define BK_CHIP_H

#include <stdint.h>

#define BK_CHIP_ID "pico2"
#define BK_CHIP_HZ 150000000u
#define BK_CHIP_KERNEL bk_kernel_dsp

#define BK_CLOCKS 0x40010000u
#define BK_PSM_WDSEL 0x40018008u
#define BK_RESETS 0x40020000u
#define BK_IO_BANK0 0x40028000u
#define BK_PADS_BANK0 0x40038000u
#define BK_XOSC 0x40048000u
#define BK_PLL_SYS 0x40050000u
#define BK_UART0 0x40070000u
#define BK_WATCHDOG 0x400d8000u
#define BK_TICKS_WATCHDOG 0x40108030u

#define BK_RESET_IO_BANK0 (1u << 6)
#define BK_RESET_PADS_BANK0 (1u << 9)
#define BK_RESET_PLL_SYS (1u << 14)
#define BK_RESET_UART0 (1u << 26)

#define BK_PLL_DIV1 5u
#define BK_PLL_DIV2 2u
#define BK_PSM_ALL_BUT_OSCILLATORS 0x1fffff3u
#define BK_WATCHDOG_COUNT 8000000u /* 8 s */
#define BK_CHIP_START_TICK()                                                                       \
    (BK_REG(BK_TICKS_WATCHDOG + 4) = 12, BK_REG(BK_TICKS_WATCHDOG) = 1) /* 1 MHz of 12 */

#define BK_N_IRQ 52
#define BK_UART_IRQ 33

void bk_uart_irq(void);
#define BK_CHIP_VECTORS [15 + BK_UART_IRQ] = bk_uart_irq

/* A function of the boot ROM, by its two letters, for Arm code in the secure state. */
#define BK_CHIP_ROM_LOOK_UP(code)                                                                  \
    (((void *(*)(uint32_t, uint32_t))(uintptr_t)bk_rp2_rom_half(0x16))(code, 0x0004))

#endif
