/* watchdog.c: an STM32's independent watchdog: about 8 s, from an oscillator of 17 to 47 kHz. Once
 * started it cannot be stopped. */
#include "bk_chip.h"
#include "bk_cortex_m.h"
#include "bk_port.h"

#define IWDG_KR BK_REG(BK_CHIP_IWDG)
#define IWDG_PR BK_REG(BK_CHIP_IWDG + 4)
#define IWDG_RLR BK_REG(BK_CHIP_IWDG + 8)

enum { START = 0xCCCC, ACCESS = 0x5555, FEED = 0xAAAA, BY_256 = 6, COUNT = 1000 /* at 32 kHz */ };

void bk_chip_watchdog_start(void) {
    IWDG_KR = START;
    IWDG_KR = ACCESS;
    IWDG_PR = BY_256;
    IWDG_RLR = COUNT;
    IWDG_KR = FEED;
}

void bk_port_feed_watchdog(void) { IWDG_KR = FEED; }
