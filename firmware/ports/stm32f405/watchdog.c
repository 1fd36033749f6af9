/* watchdog.c: the independent watchdog (RM0090, chapter 21). Once started it cannot be stopped. */
#include "bk_chip.h"
#include "bk_cortex_m.h"
#include "bk_port.h"

#define IWDG_KR BK_REG(0x40003000)
#define IWDG_PR BK_REG(0x40003004)
#define IWDG_RLR BK_REG(0x40003008)

enum { START = 0xCCCC, ACCESS = 0x5555, FEED = 0xAAAA, BY_256 = 6, COUNT = 1000 /* 8 s at 32 kHz */ };

void bk_stm32f4_watchdog_start(void) {
    IWDG_KR = START;
    IWDG_KR = ACCESS;
    IWDG_PR = BY_256;
    IWDG_RLR = COUNT;
    IWDG_KR = FEED;
}

void bk_port_feed_watchdog(void) { IWDG_KR = FEED; }
