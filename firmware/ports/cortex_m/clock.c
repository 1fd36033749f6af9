/* clock.c: time from SysTick: an interrupt a millisecond, and the counter within it. */
#include "bk_cortex_m.h"
#include "bk_port.h"

void bk_clock_irq(void);

static volatile uint32_t ticks;  /* milliseconds, low word */
static volatile uint32_t wraps;  /* of ticks */
static uint32_t hz, per_tick;

void bk_clock_start(uint32_t core_hz) {
    hz = core_hz;
    per_tick = core_hz / 1000;
    BK_SYST_RVR = per_tick - 1;
    BK_SYST_CVR = 0;
    BK_SYST_CSR = 7; /* the core's clock, interrupt, on */
}

uint32_t bk_clock_hz(void) { return hz; }

bool bk_wait_until(volatile uint32_t *reg, uint32_t mask, uint32_t value) {
    for (uint32_t i = 0; i < 1000000; i++)
        if ((*reg & mask) == value) return true;
    return false;
}

void bk_clock_irq(void) {
    uint32_t t = ticks + 1;
    ticks = t;
    if (!t) wraps++;
}

uint32_t bk_port_ms(void) { return ticks; }

uint64_t bk_port_ns(void) {
    uint32_t ms, high, left;
    /* Read again if a tick came in between or waits to be counted, and at the end of a tick, where
     * an emulated counter stands still until the next one is there. */
    do {
        high = wraps;
        ms = ticks;
        left = BK_SYST_CVR;
    } while (left <= 1 || ms != ticks || (BK_ICSR & BK_ICSR_PENDSTSET));
    uint64_t all_ms = (uint64_t)high << 32 | ms;
    /* in two steps of 32 bits; per_tick is below 2^22 */
    uint32_t within = (per_tick - 1 - left) * 1000u;
    return all_ms * 1000000u + within / per_tick * 1000u + within % per_tick * 1000u / per_tick;
}
