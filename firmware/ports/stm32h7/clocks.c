/* clocks.c: 400 MHz from the 64 MHz internal oscillator (RM0433, chapters 6 to 8). */
#include "bk_chip.h"
#include "bk_cortex_m.h"

#define PWR_CSR1 BK_REG(0x58024804)
#define PWR_CR3 BK_REG(0x5802480C)
#define PWR_D3CR BK_REG(0x58024818)
#define RCC_CR BK_REG(0x58024400)
#define RCC_CFGR BK_REG(0x58024410)
#define RCC_D1CFGR BK_REG(0x58024418)
#define RCC_D2CFGR BK_REG(0x5802441C)
#define RCC_D3CFGR BK_REG(0x58024420)
#define RCC_PLLCKSELR BK_REG(0x58024428)
#define RCC_PLLCFGR BK_REG(0x5802442C)
#define RCC_PLL1DIVR BK_REG(0x58024430)
#define FLASH_ACR BK_REG(0x52002000)
#define ICIALLU BK_REG(0xE000EF50)
#define CCR BK_REG(0xE000ED14)

enum {
    HSI_HZ = 64000000,
    CORE_HZ = 400000000,
    SUPPLY_UNCHANGED = 1 << 2 | 1 << 1,             /* PWR_CR3: once; the LDO stays on */
    SUPPLY_READY = 1 << 13,                         /* PWR_CSR1, PWR_D3CR */
    SCALE_1 = 3 << 14,                              /* PWR_D3CR */
    FROM_HSI_BY_4 = 4 << 4,                         /* RCC_PLLCKSELR: 16 MHz */
    INPUT_8_TO_16 = 3 << 2,
    OUTPUT_P = 1 << 16,     /* RCC_PLLCFGR */
    TIMES_50_BY_2 = 49 | 1 << 9 | 1 << 16 | 1 << 24, /* RCC_PLL1DIVR: 800 MHz, then 400 */
    PLL_ON = 1 << 24,
    PLL_READY = 1 << 25,          /* RCC_CR */
    BUS_BY_2 = 8,
    D1_APB_BY_2 = 4 << 4,             /* RCC_D1CFGR: 200 MHz, 100 MHz */
    D2_APBS_BY_2 = 4 << 4 | 4 << 8,
    D3_APB_BY_2 = 4 << 4,
    WAIT_STATES = 2 | 2 << 4,                       /* FLASH_ACR, for a bus of 200 MHz */
    USE_PLL = 3,
    PLL_USED = 3 << 3,                 /* RCC_CFGR */
    I_CACHE = 1 << 17                               /* CCR */
};

static void use_i_cache(void) {
    ICIALLU = 0;
    bk_barrier();
    CCR |= I_CACHE;
    bk_barrier();
}

uint32_t bk_stm32h7_clocks(void) {
    use_i_cache();
    PWR_CR3 = SUPPLY_UNCHANGED;
    if (!bk_wait_until(&PWR_CSR1, SUPPLY_READY, SUPPLY_READY)) return HSI_HZ;
    PWR_D3CR |= SCALE_1;
    if (!bk_wait_until(&PWR_D3CR, SUPPLY_READY, SUPPLY_READY)) return HSI_HZ;
    RCC_PLLCKSELR = FROM_HSI_BY_4;
    RCC_PLLCFGR = INPUT_8_TO_16 | OUTPUT_P;
    RCC_PLL1DIVR = TIMES_50_BY_2;
    RCC_CR |= PLL_ON;
    if (!bk_wait_until(&RCC_CR, PLL_READY, PLL_READY)) return HSI_HZ;
    RCC_D1CFGR = BUS_BY_2 | D1_APB_BY_2;
    RCC_D2CFGR = D2_APBS_BY_2;
    RCC_D3CFGR = D3_APB_BY_2;
    FLASH_ACR = WAIT_STATES;
    RCC_CFGR = USE_PLL;
    /* The buses are divided in both cases, so USART3's share of the core's clock is the same. */
    return bk_wait_until(&RCC_CFGR, 7 << 3, PLL_USED) ? CORE_HZ : HSI_HZ;
}
