/* bk_cortex_m.h: what every Cortex-M port shares: the core's own registers, and the hooks between
 * the shared code and a chip's folder. Register names and addresses: Armv7-M and Armv8-M manuals.
 */
#ifndef BK_CORTEX_M_H
#define BK_CORTEX_M_H

#include <stdbool.h>
#include "bk_port.h"

#ifndef BK_CTX
#define BK_CTX 48 /* tokens of context */
#endif

#define BK_REG(address) (*(volatile uint32_t *)(uintptr_t)(address))

#define BK_SYST_CSR BK_REG(0xE000E010)
#define BK_SYST_RVR BK_REG(0xE000E014)
#define BK_SYST_CVR BK_REG(0xE000E018)
#define BK_ICSR BK_REG(0xE000ED04)
#define BK_VTOR BK_REG(0xE000ED08)
#define BK_AIRCR BK_REG(0xE000ED0C)
#define BK_CFSR BK_REG(0xE000ED28)
#define BK_HFSR BK_REG(0xE000ED2C)
#define BK_MMFAR BK_REG(0xE000ED34)
#define BK_BFAR BK_REG(0xE000ED38)
#define BK_CPACR BK_REG(0xE000ED88)

enum { BK_ICSR_PENDSTSET = 1 << 26 };

static inline void bk_irq_off(void) { __asm volatile("cpsid i" ::: "memory"); }
static inline void bk_irq_on(void) { __asm volatile("cpsie i" ::: "memory"); }
static inline void bk_wait_for_interrupt(void) { __asm volatile("dsb\n\twfi" ::: "memory"); }
static inline void bk_barrier(void) { __asm volatile("dsb\n\tisb" ::: "memory"); }

static inline void bk_irq_enable(uint32_t n) { (&BK_REG(0xE000E100))[n / 32] = 1u << n % 32; }
static inline void bk_irq_disable(uint32_t n) { (&BK_REG(0xE000E180))[n / 32] = 1u << n % 32; }
static inline void bk_irq_kick(uint32_t n) { (&BK_REG(0xE000E200))[n / 32] = 1u << n % 32; }

/* ---- what the linker script of a chip defines ---- */

extern uint8_t bk_link_stack_bottom[], bk_link_stack_top[];
extern uint8_t bk_link_data_load[], bk_link_data[], bk_link_data_end[];
extern uint8_t bk_link_bss[], bk_link_bss_end[];
extern uint8_t bk_link_model_load[], bk_link_model[], bk_link_model_end[];
extern uint8_t bk_link_model_copy[]; /* its address: bytes to copy at the start; 0: used in place */
extern uint8_t bk_link_memory[], bk_link_memory_end[]; /* RAM that nothing else uses */
extern uint8_t bk_link_store[], bk_link_store_end[]; /* kept through a reset */

/* ---- the kernels of cython_ext/kernels/cortex_m ---- */

extern const bk_kernel bk_kernel_dsp, bk_kernel_mve;

/* ---- the shared code, for a chip's bk_port_start ---- */

void bk_clock_start(uint32_t core_hz); /* SysTick, one interrupt a millisecond */
uint32_t bk_clock_hz(void);
/* Starts tick, watchdog and UART of a chip with this clock, and adds to the board what the linker
 * script decides: model, kernel, context and memory. */
const bk_board *bk_start(bk_board *board, uint32_t core_hz);
/* Waits at most a moment: a part that never gets ready still starts, slowly, and says so. */
bool bk_wait_until(volatile uint32_t *reg, uint32_t mask, uint32_t value);
void bk_place_model(bk_board *board); /* model, kernel and context; nothing in a switcher */

/* ---- what a chip gives (and its bk_chip.h: BK_UART_IRQ, BK_N_IRQ, BK_CHIP_VECTORS,
 *      BK_CHIP_KERNEL) ---- */

void bk_chip_watchdog_start(void); /* bk_port_feed_watchdog is the chip's, too */
/* The UART: set up with its receive interrupt on; its interrupt; is there a byte (taken); may one
 * be sent; send it. Where `take` sees that the hardware dropped bytes, it calls bk_uart_overrun. */
void bk_chip_uart_start(void);
bool bk_chip_uart_take(uint8_t *byte);
bool bk_chip_uart_may_send(void);
void bk_chip_uart_send(uint8_t byte);
/* Mask the receive interrupt (the ring is full) or let it come again, also for a byte that waits.
 * Called where the UART does not interrupt. */
void bk_chip_uart_listen(bool on);
/* Let an interrupt come when a byte may be sent; it comes once. */
void bk_chip_uart_call_when_free(void);
/* Called by the vector table for BK_UART_IRQ; it takes what has arrived. */
void bk_uart_irq(void);
void bk_uart_overrun(void);

#endif
