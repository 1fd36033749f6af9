/* watchdog.c: the CMSDK watchdog: its interrupt at the first zero, a reset at the second. */
#include "bk_chip.h"
#include "bk_cmsdk.h"

typedef struct {
    volatile uint32_t load, value, control, intclr, ris, mis;
} watchdog;

enum { INTERRUPT = 1, RESET = 2 };

static watchdog *const wdog = (watchdog *)BK_CMSDK_WATCHDOG;
#define LOCK BK_REG(BK_CMSDK_WATCHDOG + 0xC00)

void bk_chip_watchdog_start(void) {
    LOCK = 0x1ACCE551;
    wdog->load = BK_CMSDK_WATCHDOG_HZ / 2 * BK_WATCHDOG_S; /* two rounds until the reset */
    wdog->control = INTERRUPT | RESET;
    LOCK = 0;
}

void bk_port_feed_watchdog(void) {
    LOCK = 0x1ACCE551;
    wdog->intclr = 1; /* also reloads the counter */
    LOCK = 0;
}
