/* start.c: the vector table and what happens between reset and main. */
#include <string.h>

#include "bk_chip.h"
#include "bk_cortex_m.h"
#include "bk_fault.h"
#include "bk_port.h"
#include "bk_test.h"

int main(void);
_Noreturn void bk_start_reset(void);
void bk_clock_irq(void);

enum { STACK_PAINT = 0x5AA55AA5 };

typedef void (*handler)(void);

/* A chip names its handlers in BK_CHIP_VECTORS; every other interrupt is a fault that says where. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverride-init"
__attribute__((section(".vectors"), used)) static const struct {
    uint8_t *stack;
    handler entry[15 + BK_N_IRQ];
} vectors = {
    bk_link_stack_top,
    {
        bk_start_reset,
        [1 ... 14 + BK_N_IRQ] = bk_fault_entry,
        [14] = bk_clock_irq,
        BK_CHIP_VECTORS,
    },
};
#pragma GCC diagnostic pop

static void paint_stack(void) {
    uint32_t *p = (uint32_t *)(void *)bk_link_stack_bottom;
    uint32_t *end;
    __asm volatile("mrs %0, msp" : "=r"(end));
    end -= 8; /* what this function itself may push */
    while (p < end) *p++ = STACK_PAINT;
}

_Noreturn void bk_start_reset(void) {
#if __ARM_ARCH >= 8
    __asm volatile("msr msplim, %0" ::"r"(bk_link_stack_bottom));
#endif
    BK_VTOR = (uint32_t)(uintptr_t)&vectors;
#ifdef __ARM_FP
    BK_CPACR |= 0xFu << 20; /* the FPU, and MVE */
#endif
    bk_barrier();
    memcpy(bk_link_data, bk_link_data_load, (size_t)(bk_link_data_end - bk_link_data));
    memset(bk_link_bss, 0, (size_t)(bk_link_bss_end - bk_link_bss));
    memcpy(bk_link_model, bk_link_model_load, (size_t)bk_link_model_copy);
    paint_stack();
    int status = main();
    if (bk_test_exit) bk_test_exit(status);
    bk_port_reset();
}

size_t bk_port_stack_used(void) {
    const uint32_t *p = (const uint32_t *)(void *)bk_link_stack_bottom;
    const uint32_t *end = (const uint32_t *)(void *)bk_link_stack_top;
    while (p < end && *p == STACK_PAINT) p++;
    return (size_t)(end - p) * sizeof *p;
}

size_t bk_port_stack_bytes(void) { return (size_t)(bk_link_stack_top - bk_link_stack_bottom); }

_Noreturn void bk_port_reset(void) {
    bk_barrier();
    BK_AIRCR = 0x05FA0004u; /* key, SYSRESETREQ */
    bk_barrier();
    for (;;) bk_wait_for_interrupt();
}
