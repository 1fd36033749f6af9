/* start.c: a C program with main(argc, argv), stdio and exit on a bare Cortex-M with semihosting.
 *
 * Newlib's librdimon does the calls; this gives it a vector table, a stack, an FPU that is switched
 * on, and the arguments that the emulator holds. A fault ends the program with status 99 and says where.
 */
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
    SYS_WRITE0 = 4,
    SYS_GET_CMDLINE = 0x15,
    SYS_EXIT_EXTENDED = 0x20,
    APPLICATION_EXIT = 0x20026
};
enum { MAX_ARGS = 40 };

extern uint8_t stack_top[], bss_start[], bss_end[];
int main(int argc, char **argv);
void initialise_monitor_handles(void);
void reset(void);
void fault(void);
void _init(void);
void _fini(void);

static int semihost(int operation, void *argument) {
    register int r0 __asm__("r0") = operation;
    register void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

static void say(const char *what, uint32_t value) {
    char text[64] = {0};
    strcpy(text, what);
    for (int shift = 28; shift >= 0; shift -= 4)
        text[strlen(what) + 7 - (size_t)shift / 4] = "0123456789abcdef"[value >> shift & 15];
    strcat(text, "\n");
    semihost(SYS_WRITE0, text);
}

/* Says where and why (CFSR), then ends the program. */
static __attribute__((used)) void fault_at(const uint32_t *frame) {
    uint32_t block[2] = {APPLICATION_EXIT, 99};
    say("fault at ", frame[6]);
    say("called from ", frame[5]);
    say("CFSR ", *(volatile uint32_t *)0xe000ed28);
    semihost(SYS_EXIT_EXTENDED, block);
}

__attribute__((naked)) void fault(void) { __asm__ volatile("mov r0, sp\n\tbl fault_at\n1:\tb 1b"); }

typedef void (*vector)(void);

__attribute__((section(".vectors"), used)) static const vector VECTORS[16] = {
    (vector)stack_top,
    reset,
    fault,
    fault,
    fault,
    fault,
    fault,
    fault,
    fault,
    fault,
    fault,
    fault,
    fault,
    fault,
    fault,
    fault,
};

void *aligned_alloc(size_t alignment, size_t n) {
    return memalign(alignment, n);
} /* newlib's does not link */

void _init(void) {} /* what newlib's exit() wants */
void _fini(void) {}

void reset(void) {
    static char line[2048];
    static char *argv[MAX_ARGS + 1];
    struct {
        char *p;
        uint32_t n;
    } command = {line, sizeof line};
    int argc = 0;
    *(volatile uint32_t *)0xe000ed88 |= 0xfu << 20; /* CPACR: the FPU and MVE */
    *(volatile uint32_t *)0xe000ed08 = (uint32_t)VECTORS;
    __asm__ volatile("dsb; isb" ::: "memory");
    memset(bss_start, 0, (size_t)(bss_end - bss_start));
    initialise_monitor_handles();
    if (semihost(SYS_GET_CMDLINE, &command) == 0)
        for (char *word = strtok(line, " "); word && argc < MAX_ARGS; word = strtok(NULL, " "))
            argv[argc++] = word;
    exit(main(argc, argv));
}
