/* port.c: what the chip's folder promises in bk_port.h. */
#include "checks.h"

/* Against each other: an emulator on a busy host has no other honest measure. */
static bool time_passes(void) {
    uint32_t earliest = bk_port_ms();
    uint64_t ns = bk_port_ns(), before = ns - 1;
    uint32_t latest = bk_port_ms();
    for (uint32_t i = 0; i < 20000; i++) {
        for (volatile uint32_t work = 0; work < 100; work++) continue;
        uint64_t now = bk_port_ns();
        if (now <= before) return false;
        before = now;
    }
    while (bk_port_ms() - latest < 20) bk_port_sleep();
    uint64_t low = bk_port_ms() - latest, passed = bk_port_ns() - ns;
    uint64_t high = bk_port_ms() - earliest;
    return passed / 1000000 + 1 >= low && passed / 1000000 <= high + 1;
}

/* Recursion that the compiler cannot turn into a loop. */
static __attribute__((noinline)) uint32_t dig(uint32_t depth) {
    volatile uint8_t room[256];
    for (uint32_t i = 0; i < sizeof room; i++) room[i] = (uint8_t)depth;
    return depth ? dig(depth - 1) + room[depth] : room[0];
}

static bool stack_is_measured(void) {
    size_t before = bk_port_stack_used();
    (void)dig(10);
    size_t after = bk_port_stack_used();
    return before > 0 && after >= before && after >= 11 * 256 && after < bk_port_stack_bytes();
}

static bool memory_is_memory(const bk_board *b) {
    if ((uintptr_t)b->memory % 64 || b->memory_bytes < 65536) return false;
    volatile uint8_t *p = b->memory;
    for (size_t i = 0; i < b->memory_bytes; i++) p[i] = (uint8_t)(i * 7 + (i >> 8));
    for (size_t i = 0; i < b->memory_bytes; i++)
        if (p[i] != (uint8_t)(i * 7 + (i >> 8))) return false;
    return true;
}

void check_port(const bk_board *b) {
    check("port: milliseconds and nanoseconds agree, neither stands still", time_passes());
    check("port: the stack's deepest use is known", stack_is_measured());
    check("port: all memory of the board can be used", memory_is_memory(b));
    check("port: nothing received, nothing lost",
          bk_port_read(b->memory, 1) == 0 && !bk_port_lost());
}
