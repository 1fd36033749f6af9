/* bk_chip.h: the MPS3 board with the AN547 image: a Cortex-M55 with MVE in an SSE-300 subsystem, in
 * its secure state (Arm DAI 0547; QEMU mps3-an547). The weights lie in RAM, but only a
 * loader can bring them back after a reset, so they are never written: patches go through an
 * overlay. */
#ifndef BK_CHIP_H
#define BK_CHIP_H

#define BK_CHIP_ID "mps3-an547"
#define BK_CHIP_WRITABLE false
#define BK_CHIP_SECTORS 4
#define BK_CHIP_HZ 32000000u
#define BK_CMSDK_UART 0x59303000u
#define BK_CMSDK_WATCHDOG 0x5802E000u
#define BK_CMSDK_WATCHDOG_HZ 32768u /* the slow clock */
#define BK_CHIP_KERNEL bk_kernel_mve
#ifndef BK_WATCHDOG_S
#define BK_WATCHDOG_S 30 /* an emulator may be slow */
#endif
#define BK_N_IRQ 96
#define BK_UART_IRQ 33
#define BK_UART_TX_IRQ 34

void bk_uart_irq(void);
void bk_cmsdk_tx_irq(void);
#define BK_CHIP_VECTORS [15 + BK_UART_IRQ] = bk_uart_irq, [15 + BK_UART_TX_IRQ] = bk_cmsdk_tx_irq

#endif
