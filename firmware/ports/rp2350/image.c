/* image.c: what an RP2350's boot ROM looks for in the first 4 KB of flash: that this is a program
 * for its Arm cores, secure, whose vector table comes first. */
#include <stdint.h>

enum { SECURE_ARM_PROGRAM = 0x10210142, LAST_ITEM = 0x000001ff, NO_OTHER_BLOCK = 0 };

__attribute__((section(".vectors.image"), used)) static const uint32_t image[] = {
    0xffffded3, SECURE_ARM_PROGRAM, LAST_ITEM, NO_OTHER_BLOCK, 0xab123579,
};
