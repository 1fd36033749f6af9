/* bk_qwen3.h: Qwen3: grouped-query attention with per-head norms, SwiGLU. */
#ifndef BK_QWEN3_H
#define BK_QWEN3_H

#include "bk_arch.h"

extern const bk_arch bk_arch_qwen3;

#endif
