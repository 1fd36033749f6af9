/* bk_crc.h: the three checksums of the formats spoken here.
 *
 * CRC-32C (Castagnoli) guards the rows of a patch, CRC-32 (IEEE 802.3) is what SMP's file group
 * hashes with, CRC-16/XMODEM closes an SMP serial frame. Each continues from the value of the
 * bytes before; start with 0, as in zlib: crc(crc(0, a), b) == crc(0, a || b).
 */
#ifndef BK_CRC_H
#define BK_CRC_H

#include <stddef.h>
#include <stdint.h>

uint32_t bk_crc32c(uint32_t crc, const uint8_t *p, size_t n);     /* "123456789" -> e3069283 */
uint32_t bk_crc32_ieee(uint32_t crc, const uint8_t *p, size_t n); /* "123456789" -> cbf43926 */
uint16_t bk_crc16_xmodem(uint16_t crc, const uint8_t *p, size_t n); /* "123456789" -> 31c3 */

/* A port's own way to compute bk_crc32c, where the CPU has an instruction for it. */
typedef uint32_t (*bk_crc32c_fn)(uint32_t crc, const uint8_t *p, size_t n);

#endif
