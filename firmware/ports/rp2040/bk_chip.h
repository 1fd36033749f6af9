/* bk_chip.h: RP2040, two Cortex-M0+ of which one is used: addresses from its data sheet. */
#ifndef BK_CHIP_H
#define BK_CHIP_H

#include <stdint.h>

#define BK_CHIP_ID "pico"
#define BK_CHIP_HZ 125000000u
#define BK_CHIP_KERNEL bk_kernel_scalar

#define BK_CLOCKS 0x40008000u
#define BK_RESETS 0x4000c000u
#define BK_PSM_WDSEL 0x40010008u
#define BK_IO_BANK0 0x40014000u
#define BK_PADS_BANK0 0x4001c000u
#define BK_XOSC 0x40024000u
#define BK_PLL_SYS 0x40028000u
#define BK_UART0 0x40034000u
#define BK_WATCHDOG 0x40058000u

#define BK_RESET_IO_BANK0 (1u << 5)
#define BK_RESET_PADS_BANK0 (1u << 8)
#define BK_RESET_PLL_SYS (1u << 12)
#define BK_RESET_UART0 (1u << 22)

#define BK_PLL_DIV1 6u
#define BK_PLL_DIV2 2u
#define BK_PSM_ALL_BUT_OSCILLATORS 0x1fffcu
#define BK_WATCHDOG_COUNT 16000000u /* 8 s: this chip counts every microsecond twice */
#define BK_CHIP_START_TICK() (BK_REG(BK_WATCHDOG + 0x2c) = 12 | 1 << 9) /* 1 MHz of 12 */

#define BK_N_IRQ 32
#define BK_UART_IRQ 20

void bk_uart_irq(void);
#define BK_CHIP_VECTORS [15 + BK_UART_IRQ] = bk_uart_irq

/* A function of the boot ROM, by its two letters: two half-word pointers are at fixed places. */
#define BK_CHIP_ROM_LOOK_UP(code)                                                                  \
    (((void *(*)(const void *, uint32_t))(uintptr_t)bk_rp2_rom_half(0x18))(                        \
        (const void *)(uintptr_t)bk_rp2_rom_half(0x14), code))

#endif
