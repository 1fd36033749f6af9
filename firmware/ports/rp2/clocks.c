/* clocks.c: crystal, PLL, and the watchdog's tick. */
#include "bk_chip.h"
#include "bk_rp2.h"

enum {
    XOSC_RANGE_AND_ON = 0xfabaa0,
    XOSC_STARTUP = 47, /* 1 ms at 12 MHz */
    PLL_POWER_DOWN = 1 << 0 | 1 << 5,
    PLL_POST_DOWN = 1 << 3,
    REF_XOSC = 2,
    SYS_AUX = 1,
    PERI_ON = 1 << 11,
    WATCHDOG_ON = 1 << 30
};

#define XOSC_STATUS (BK_XOSC + 0x04)
#define PLL_FBDIV (BK_PLL_SYS + 0x08)
#define PLL_PRIM (BK_PLL_SYS + 0x0c)
#define PLL_PWR (BK_PLL_SYS + 0x04)
#define RESET_DONE (BK_RESETS + 0x08)
#define CLK_REF_CTRL (BK_CLOCKS + 0x30)
#define CLK_SYS_CTRL (BK_CLOCKS + 0x3c)
#define CLK_PERI_CTRL (BK_CLOCKS + 0x48)
#define WATCHDOG_LOAD (BK_WATCHDOG + 0x04)

static void start_pll(void) {
    bk_rp2_set(BK_RESETS, BK_RESET_PLL_SYS);
    bk_rp2_clear(BK_RESETS, BK_RESET_PLL_SYS);
    (void)bk_wait_until(&BK_REG(RESET_DONE), BK_RESET_PLL_SYS, BK_RESET_PLL_SYS);
    BK_REG(BK_PLL_SYS) = 1;  /* 12 MHz as they come */
    BK_REG(PLL_FBDIV) = 125; /* 1500 MHz */
    bk_rp2_clear(PLL_PWR, PLL_POWER_DOWN);
    (void)bk_wait_until(&BK_REG(BK_PLL_SYS), 1u << 31, 1u << 31);
    BK_REG(PLL_PRIM) = BK_PLL_DIV1 << 16 | BK_PLL_DIV2 << 12;
    bk_rp2_clear(PLL_PWR, PLL_POST_DOWN);
}

uint32_t bk_rp2_clocks(void) {
    BK_REG(BK_XOSC + 0x0c) = XOSC_STARTUP;
    BK_REG(BK_XOSC) = XOSC_RANGE_AND_ON;
    (void)bk_wait_until(&BK_REG(XOSC_STATUS), 1u << 31, 1u << 31);
    BK_REG(CLK_REF_CTRL) = REF_XOSC;
    (void)bk_wait_until(&BK_REG(CLK_REF_CTRL + 8), 1 << 2, 1 << 2);
    bk_rp2_clear(CLK_SYS_CTRL, SYS_AUX); /* off the PLL, which is about to stop */
    (void)bk_wait_until(&BK_REG(CLK_SYS_CTRL + 8), 1, 1);
    start_pll();
    BK_REG(CLK_SYS_CTRL) = 0; /* auxiliary source: the PLL */
    BK_REG(CLK_SYS_CTRL) = SYS_AUX;
    (void)bk_wait_until(&BK_REG(CLK_SYS_CTRL + 8), 2, 2);
    BK_REG(CLK_PERI_CTRL) = PERI_ON; /* from the same clock */
    return BK_CHIP_HZ;
}

void bk_chip_watchdog_start(void) {
    BK_CHIP_START_TICK();
    BK_REG(BK_PSM_WDSEL) = BK_PSM_ALL_BUT_OSCILLATORS;
    bk_port_feed_watchdog();
    bk_rp2_set(BK_WATCHDOG, WATCHDOG_ON);
}

void bk_port_feed_watchdog(void) { BK_REG(WATCHDOG_LOAD) = BK_WATCHDOG_COUNT; }
