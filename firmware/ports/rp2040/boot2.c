/* boot2.c: the 256 bytes with which an RP2040 starts: its ROM copies them from flash to RAM, checks
 * the CRC that firmware/scripts/firmware_uf2.py puts into their last word, and runs them. They let the flash be
 * read as memory, with the plain read command that every part knows, and start the program.
 */
#include "bk_cortex_m.h"

#define SSI(offset) BK_REG(0x18000000 + (offset))

enum {
    READ_COMMAND = 0x03,
    DIVIDE_BY_4 = 4,
    VECTORS = 0x10000100,
    FRAME_32_EEPROM_READ = 31 << 16 | 3 << 8, /* ctrlr0 */
    COMMAND_8_ADDRESS_24 = 2 << 8 | 6 << 2 /* spi_ctrlr0 */
};

_Noreturn void bk_rp2040_boot2(void);

__attribute__((section(".boot"), used)) _Noreturn void bk_rp2040_boot2(void) {
    SSI(0x08) = 0;
    SSI(0x14) = DIVIDE_BY_4;
    SSI(0x00) = FRAME_32_EEPROM_READ;
    SSI(0x04) = 0;
    SSI(0xf4) = READ_COMMAND << 24 | COMMAND_8_ADDRESS_24;
    SSI(0x08) = 1;
    const volatile uint32_t *vectors = (const volatile uint32_t *)VECTORS;
    uint32_t stack = vectors[0], start = vectors[1];
    BK_VTOR = VECTORS;
    __asm volatile("msr msp, %0\n\tbx %1" ::"r"(stack), "r"(start));
    __builtin_unreachable();
}
