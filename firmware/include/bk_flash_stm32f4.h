/* bk_flash_stm32f4.h: the three 16 KB sectors 1 to 3 of an STM32F4, at 0x08004000.
 *
 * Untested on hardware: written to the flash interface of RM0090 (chapter 3). The supply has to be
 * 2.7 V at least, for words of 32 bits. While a sector is erased (0.25 s, at most 0.5 s by the
 * datasheet) or a word programmed, every fetch from flash waits, interrupts too: a host waits for
 * the answer to its request, so no byte is expected meanwhile; a watchdog has to be more patient.
 */
#ifndef BK_FLASH_STM32F4_H
#define BK_FLASH_STM32F4_H

#include "bk_flash.h"

extern const bk_flash bk_flash_stm32f4;

#endif
