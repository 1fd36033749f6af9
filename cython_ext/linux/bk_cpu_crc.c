/* bk_cpu_crc.c: SSE4.2 and ARMv8 CRC; eight bytes an instruction. */
#include "bk_cpu_crc.h"

#include <stdbool.h>

#include "bk_bytes.h"

#if defined(__x86_64__)
#include <nmmintrin.h>
#define TARGET __attribute__((target("sse4.2")))
#define STEP8(crc, word) _mm_crc32_u64(crc, word) /* clears the upper half */
#define STEP1(crc, byte) _mm_crc32_u8((uint32_t)(crc), byte)

static bool has_instruction(void) { return __builtin_cpu_supports("sse4.2"); }

#elif defined(__aarch64__) && defined(__linux__)
#include <arm_acle.h>
#include <sys/auxv.h>
#define TARGET __attribute__((target("+crc")))
#define STEP8(crc, word) __crc32cd((uint32_t)(crc), word)
#define STEP1(crc, byte) __crc32cb((uint32_t)(crc), byte)
enum { HAS_CRC32 = 1 << 7 }; /* HWCAP_CRC32, as old headers lack the name */

static bool has_instruction(void) { return (getauxval(AT_HWCAP) & HAS_CRC32) != 0; }
#endif

#ifdef TARGET
TARGET static uint32_t crc32c(uint32_t crc, const uint8_t *p, size_t n) {
    uint64_t sum = ~crc;
    for (; n >= 8; n -= 8, p += 8) sum = STEP8(sum, bk_load64_le(p));
    for (; n > 0; n--, p++) sum = STEP1(sum, *p);
    return ~(uint32_t)sum;
}

bk_crc32c_fn bk_cpu_crc32c(void) { return has_instruction() ? crc32c : NULL; }
#else
bk_crc32c_fn bk_cpu_crc32c(void) { return NULL; }
#endif
