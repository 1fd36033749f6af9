/* bk_chip.h: the MPS2 board with the AN500 image: a Cortex-M7 (Arm DAI 0500; QEMU mps2-an500).
 * Weights in RAM, so patches are XORed where they lie. */
#ifndef BK_CHIP_H
#define BK_CHIP_H

#define BK_CHIP_ID "mps2-an500"
#define BK_CHIP_WRITABLE true
#define BK_CHIP_SECTORS 8
#define BK_CHIP_HZ 25000000u
#define BK_CMSDK_UART 0x40004000u
#define BK_CMSDK_WATCHDOG 0x40008000u
#define BK_CMSDK_WATCHDOG_HZ BK_CHIP_HZ
#define BK_CHIP_KERNEL bk_kernel_dsp
#ifndef BK_WATCHDOG_S
#define BK_WATCHDOG_S 30 /* an emulator may be slow */
#endif
#define BK_N_IRQ 32
#define BK_UART_IRQ 0
#define BK_UART_TX_IRQ 1

void bk_uart_irq(void);
void bk_cmsdk_tx_irq(void);
#define BK_CHIP_VECTORS [15 + BK_UART_IRQ] = bk_uart_irq, [15 + BK_UART_TX_IRQ] = bk_cmsdk_tx_irq

#endif
