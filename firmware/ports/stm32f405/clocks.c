/* clocks.c: 168 MHz from the 16 MHz internal oscillator (RM0090, chapters 3 and 7). */
#include "bk_chip.h"
#include "bk_cortex_m.h"

#define FLASH_ACR BK_REG(0x40023C00)
#define RCC_CR BK_REG(0x40023800)
#define RCC_PLLCFGR BK_REG(0x40023804)
#define RCC_CFGR BK_REG(0x40023808)

enum {
    HSI_HZ = 16000000,
    CORE_HZ = 168000000,
    WAIT_STATES = 5,
    PREFETCH = 1 << 8,
    I_CACHE = 1 << 9,
    D_CACHE = 1 << 10, /* FLASH_ACR */
    PLL_ON = 1 << 24,
    PLL_READY = 1 << 25,                                   /* RCC_CR */
    PLL_M = 16,
    PLL_N = 336 << 6,
    PLL_P_2 = 0,
    PLL_Q = 7 << 24,              /* RCC_PLLCFGR */
    APB1_BY_4 = 5 << 10,
    APB2_BY_2 = 4 << 13,
    USE_PLL = 2,
    PLL_USED = 2 << 2 /* RCC_CFGR */
};

#ifdef BK_EMULATED
/* No clock controller in the emulator: its core always runs at the part's full speed. */
uint32_t bk_stm32f4_clocks(void) { return CORE_HZ; }
#else
uint32_t bk_stm32f4_clocks(void) {
    RCC_PLLCFGR = PLL_M | PLL_N | PLL_P_2 | PLL_Q;
    RCC_CR |= PLL_ON;
    if (!bk_wait_until(&RCC_CR, PLL_READY, PLL_READY)) return HSI_HZ;
    FLASH_ACR = WAIT_STATES | PREFETCH | I_CACHE | D_CACHE;
    RCC_CFGR = APB1_BY_4 | APB2_BY_2 | USE_PLL;
    if (bk_wait_until(&RCC_CFGR, 3 << 2, PLL_USED)) return CORE_HZ;
    RCC_CFGR = 0; /* with the buses as fast as the core again */
    return HSI_HZ;
}
#endif
