/* avx512_vnni.h: the GEMM by byte dot products, for every kernel with the layout of avx512.h. */
#ifndef BK_AVX512_VNNI_H
#define BK_AVX512_VNNI_H

#include "bk_kernel.h"

/* As bk_kernel's gemm; only the common part of each act is read, act_bytes apart. */
void bk_avx512_vnni_gemm(const bk_mat *w, const uint8_t *act, size_t act_bytes, uint32_t n,
                         float *y, size_t stride, uint32_t row0, uint32_t row1);

#endif
