/* bk_cpu_crc.h: CRC-32C by this CPU's own instruction. */
#ifndef BK_CPU_CRC_H
#define BK_CPU_CRC_H

#include "bk_crc.h"

/* What bk_model.crc32c takes; NULL when the CPU has no such instruction. */
bk_crc32c_fn bk_cpu_crc32c(void);

#endif
