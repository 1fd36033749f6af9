/* fault.c: where a fault happened, in one line on the UART, then a reset; a test is ended. */
#include "bk_fault.h"

#include "bk_cortex_m.h"
#include "bk_port.h"
#include "bk_test.h"

enum { FRAME_LR = 5, FRAME_PC = 6, FRAME_WORDS = 8, CFSR_STKOF = 1 << 20 };

static void put(char c) {
    if (bk_test_put) {
        bk_test_put(c);
        return;
    }
    /* Bounded: a UART that takes nothing must not keep the chip from its reset. */
    for (uint32_t i = 0; i < 1000000 && !bk_chip_uart_may_send(); i++) continue;
    if (bk_chip_uart_may_send()) bk_chip_uart_send((uint8_t)c);
}

static void put_text(const char *s) {
    while (*s) put(*s++);
}

static void put_word(const char *name, uint32_t v) {
    put_text(name);
    for (int shift = 28; shift >= 0; shift -= 4) put("0123456789abcdef"[v >> shift & 15]);
}

__attribute__((used)) static _Noreturn void report(const uint32_t *frame, uint32_t exception) {
    const uint32_t *bottom = (const uint32_t *)(void *)bk_link_stack_bottom;
    const uint32_t *top = (const uint32_t *)(void *)bk_link_stack_top;
    put_text("\r\nfault: exception=");
    put("0123456789abcdef"[exception >> 4 & 15]);
    put("0123456789abcdef"[exception & 15]);
    if (frame >= bottom && frame + FRAME_WORDS <= top) {
        put_word(" pc=", frame[FRAME_PC]);
        put_word(" lr=", frame[FRAME_LR]);
    }
    uint32_t cause = 0;
#if __ARM_ARCH > 6 /* a Cortex-M0+ knows no causes */
    cause = BK_CFSR;
    put_word(" cfsr=", cause);
    put_word(" hfsr=", BK_HFSR);
    put_word(" mmfar=", BK_MMFAR);
    put_word(" bfar=", BK_BFAR);
#endif
    if (frame < bottom || (cause & CFSR_STKOF)) /* by address, or by the core's own limit */
        put_word(" stack overflow sp=", (uint32_t)(uintptr_t)frame);
    put_text("\r\n");
    if (bk_test_exit) bk_test_exit(99);
    bk_port_reset();
}

/* The stack may be what failed: the report runs at its bottom, or, if that is where it failed, at
 * its top; not over what it is to report. */
__attribute__((naked)) void bk_fault_entry(void) {
    __asm volatile(
        "mrs r0, msp\n\t"
        "mrs r1, ipsr\n\t"
        "ldr r2, 1f\n\t"
        "cmp r0, r2\n\t"
        "bhi 0f\n\t"
        "ldr r2, 2f\n"
        "0:\n\t"
        "msr msp, r2\n\t"
        "ldr r2, 3f\n\t"
        "bx r2\n\t"
        ".balign 4\n"
        "1: .word bk_link_stack_bottom + 512\n"
        "2: .word bk_link_stack_top\n"
        "3: .word %c0" ::"i"(report));
}
