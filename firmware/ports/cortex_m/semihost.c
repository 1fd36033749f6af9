/* semihost.c: text and exit status of a test program. */
#include "bk_semihost.h"

#ifdef PIO_UNIT_TESTING
#include <stdint.h>

enum { SYS_WRITEC = 0x03, SYS_WRITE0 = 0x04, SYS_EXIT_EXTENDED = 0x20 };

static void call(uint32_t operation, const void *argument) {
    register uint32_t r0 __asm("r0") = operation;
    register const void *r1 __asm("r1") = argument;
    __asm volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
}

void bk_semihost_put(char c) { call(SYS_WRITEC, &c); }

void bk_semihost_text(const char *s) { call(SYS_WRITE0, s); }

_Noreturn void bk_semihost_exit(int status) {
    uint32_t block[2] = {0x20026, (uint32_t)status}; /* ADP_Stopped_ApplicationExit */
    for (;;) call(SYS_EXIT_EXTENDED, block);
}
#endif
