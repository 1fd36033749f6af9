/* watchdog.c: the CMSDK watchdog: its interrupt at the first zero, a reset at the second. */
#include "bk_chip.h"
#include "bk_cmsdk.h"

typedef struct {
    volatile uint32_t load, value, control, intclr, ris, mis;
} watchdog;

enum { INTERRUPT = 1, RESET = 2 };

static watchdog *const wdog = (watchdog *)BK_CMSDK_WATCHDOG;
#define LOCK BK_REG(BK_CMSDK_WATCHDOG + 0xC00)

void bk_cmsdk_watchdog_start(uint32_t hz, uint32_t seconds) {
    LOCK = 0x1ACCE551;
    wdog->load = hz / 2 * seconds; /* two rounds until the reset */
    wdog->control = INTERRUPT | RESET;
    LOCK = 0;
}

void bk_cmsdk_watchdog_feed(void) {
    LOCK = 0x1ACCE551;
    wdog->intclr = 1; /* also reloads the counter */
    LOCK = 0;
}
