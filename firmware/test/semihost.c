/* semihost.c: text and exit status of a test program, out of the emulator (Arm semihosting).
 *
 * Only test programs are linked with it: without a debugger or an emulator a call is a fault.
 */
#include <stdint.h>

#include "bk_test.h"

enum { SYS_WRITEC = 0x03, SYS_WRITE0 = 0x04, SYS_EXIT_EXTENDED = 0x20 };

static void call(uint32_t operation, const void *argument) {
    register uint32_t r0 __asm("r0") = operation;
    register const void *r1 __asm("r1") = argument;
    __asm volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
}

void bk_test_put(char c) { call(SYS_WRITEC, &c); }

void bk_test_text(const char *s) { call(SYS_WRITE0, s); }

_Noreturn void bk_test_exit(int status) {
    uint32_t block[2] = {0x20026, (uint32_t)status}; /* ADP_Stopped_ApplicationExit */
    for (;;) call(SYS_EXIT_EXTENDED, block);
}
